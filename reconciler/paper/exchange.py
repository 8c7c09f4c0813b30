"""
The exchange as its members know it: what may be asked of the floor, and what is refused.

Placing, amending and canceling (protocol sheet, section 4), and what time brings: dead man's
switches, the end of Day orders, funding. No I/O and no clock: venue time in milliseconds comes with
every call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from . import errors, executions
from .admission import check_limits, check_market, check_trail, pegged
from .clearing import NOON_MS
from .liquidation import Liquidation
from .market import BUY
from .orders import (
    CLOSE,
    FILLED,
    OTO,
    PENDING_CANCEL,
    REJECTED,
    TRAILING,
    WAITING,
    NewOrder,
    Order,
    Row,
)
from .protocol import (
    NO_ID,
    Change,
    changed,
)
from .times import iso
from .triggers import OTO_CANCELED
from .venue_market import Market

MAX_OPEN_ORDERS = 200  # per symbol and account (section 4.2)
MAX_STOP_ORDERS = 10  # of them untriggered
DAY_MS = 86_400_000


class Exchange(Liquidation):
    """The floor, with the rules of its door."""

    # -- placing ---------------------------------------------------------------------------------

    def place(self, account: int, new: NewOrder, now_ms: int) -> Order:
        """
        Take in an order: check it against the account, match it, rest what is left.

        Returns:
            The order in its final state: New, PartiallyFilled, Filled, Canceled or Rejected.

        Raises:
            Refusal: the account or the market does not allow it. Nothing changed.
        """
        market = self.markets[new.instrument.symbol]
        self._admit(account, new, market, now_ms)
        if new.ord_type == "Pegged":
            new = replace(new, ticks=pegged(new, new.peg_offset or 0, market))
        primary = self._primary(account, new.cl_ord_link_id)
        linked = primary is not None and primary.status != FILLED and new.contingency != OTO
        if primary is not None and primary.open and new.contingency == OTO:
            raise errors.bad_request("Invalid clOrdLinkID for contingencyType")  # one primary
        waits = linked or new.ord_type in WAITING
        qty = self._waiting_quantity(account, new) if waits else self._quantity(account, new)
        order = self._make(account, new, qty, now_ms)
        order.linked, order.whole = linked, new.qty is None
        if not waits:
            order.hurry()
            self._check_margin(order, market, order.qty)
        self._open.setdefault((account, new.instrument.symbol), {})[order.order_id] = order
        self._keep(order)
        self._link(order)
        if order.cl_ord_id:
            self._by_client_id[account, order.cl_ord_id] = order
        if CLOSE in order.exec_inst and not waits:
            self._make_room_for_close(order, now_ms)
        if waits:
            self._sleep(order, now_ms)
        self._record(order, "New", now_ms)
        if not waits:
            self._enter(order, market, now_ms)
        elif linked and primary is not None and not primary.open:
            # Its primary was canceled: it could never trade, and must not trade without it.
            self._end(order, f"{OTO_CANCELED}\n{order.text}", now_ms)
        self._react(now_ms)
        return order

    def close_position(self, account: int, new: NewOrder, now_ms: int) -> Order:
        """Close a whole position, canceling the symbol's other orders first (section 4.4)."""
        self._admit(account, new, self.markets[new.instrument.symbol], now_ms)
        self._quantity(account, new)
        others = self.open_orders(account, new.instrument.symbol)
        self.cancel_all(others, "Canceled via API.", now_ms)
        return self.place(account, new, now_ms)

    def refuse_row(self, account: int, new: NewOrder, reason: str, now_ms: int) -> Order:
        """An order that is answered, and shown in the tables, as Rejected."""
        order = self._make(account, new, new.qty or 0, now_ms)
        self._keep(order)
        if order.cl_ord_id and not self.client_id_is_open(account, order.cl_ord_id):
            self._by_client_id[account, order.cl_ord_id] = order
        order.reject_reason = reason
        order.end(REJECTED, f"Rejected: {reason}\n{order.text}")
        self._touch_order(order)
        self._record(order, "Rejected", now_ms)
        return order

    def _admit(self, account: int, new: NewOrder, market: Market, now_ms: int) -> None:
        check_market(market)
        if account in self.suspended:
            raise errors.bad_request("Account is suspended")
        currency = new.instrument.settle
        if currency not in self.accounts[account].deposited:
            raise errors.bad_request(f"Account has no {currency}")
        if new.expiry_ms is not None and new.expiry_ms < now_ms:
            raise errors.expired(now_ms // 1_000)
        if new.cl_ord_id and self.client_id_is_open(account, new.cl_ord_id):
            raise errors.bad_request("Duplicate clOrdID")
        if new.order_id in self.orders:
            raise errors.bad_request("Duplicate orderID")
        if new.ticks is not None:
            check_limits(market, new.instrument.price(new.ticks))
        if new.peg_type == TRAILING:
            check_trail(new, new.peg_offset or 0, market)
        mine = self._open.get((account, market.inst.symbol), {})
        if len(mine) >= MAX_OPEN_ORDERS:
            raise errors.bad_request("Too many open orders")  # [unsure] wording
        if new.ord_type in WAITING and _stops(mine.values()) >= MAX_STOP_ORDERS:
            raise errors.bad_request("Too many open stop orders")  # [unsure] wording

    def _quantity(self, account: int, new: NewOrder) -> int:
        """Contracts of the order: as asked, or what ReduceOnly and Close leave of it."""
        if "ReduceOnly" not in new.exec_inst and CLOSE not in new.exec_inst:
            assert new.qty is not None
            return new.qty
        held = self.position(account, new.instrument.symbol).qty
        reducible = -held * new.side
        if reducible <= 0:
            inst = CLOSE if CLOSE in new.exec_inst else "ReduceOnly"
            side = "Buy" if new.side == BUY else "Sell"
            raise errors.nothing_to_reduce(inst, side, held)
        return reducible if new.qty is None else min(new.qty, reducible)

    def _waiting_quantity(self, account: int, new: NewOrder) -> int:
        """
        Contracts of an order that waits: nobody looks at the position before it is let in.

        A Close without a quantity shows what there is to close now; the position decides when it
        triggers. Clients want a number in every row.
        """
        if new.qty is not None:
            return new.qty
        return max(0, -self.position(account, new.instrument.symbol).qty * new.side)

    def _make(self, account: int, new: NewOrder, qty: int, now_ms: int) -> Order:
        return Order(
            order_id=new.order_id or self._guid(), account=account,
            instrument=new.instrument, side=new.side,
            qty=qty, ticks=new.ticks, ord_type=new.ord_type, tif=new.tif, exec_inst=new.exec_inst,
            cl_ord_id=new.cl_ord_id, cl_ord_link_id=new.cl_ord_link_id,
            display_qty=new.display_qty, text=new.text, placed_ms=now_ms, seq=self._arrived,
            strategy=new.strategy, leaves=qty, transact_ms=now_ms, changed_ms=now_ms,
            stop_ticks=new.stop_ticks, peg_type=new.peg_type, peg_offset=new.peg_offset,
            contingency=new.contingency, slippage=new.slippage,
        )  # fmt: skip

    # -- canceling -------------------------------------------------------------------------------

    def cancel(
        self, account: int, order_ids: Sequence[str], client_ids: Sequence[str], text: str,
        now_ms: int,
    ) -> list[Row]:  # fmt: skip
        """Cancel by ids; a row for each, those that failed carry ``error`` (section 4.4)."""
        rows: list[Row] = []
        asked = [(i, "") for i in order_ids] + [("", c) for c in client_ids]
        for order_id, client_id in asked:
            order = self.find(account, order_id, client_id)
            if order is None or not order.open:
                rows.append(self._failed_cancel(account, order, order_id, client_id, now_ms))
                continue
            self._end(order, f"Canceled\n{text or 'Canceled via API.'}", now_ms)
            rows.append(self._stamped(order, now_ms))
        return rows

    def cancel_all(self, orders: Iterable[Order], text: str, now_ms: int) -> list[Row]:
        """Cancel the given open orders; their rows."""
        rows = []
        for order in list(orders):
            if order.open:  # it may have gone with one that it is linked to
                self._end(order, f"Canceled\n{text or 'Canceled via API.'}", now_ms)
            rows.append(self._stamped(order, now_ms))
        return rows

    def refuse_cancel(self, order: Order, now_ms: int) -> Row:
        """The row of a cancel that did nothing, though the order is open."""
        return self._failed_cancel(order.account, order, order.order_id, "", now_ms)

    def pend_cancel(self, order: Order, now_ms: int) -> Row:
        """The order is about to be canceled, and may trade until then; its row."""
        order.status = PENDING_CANCEL
        self._touch_order(order)
        return self._stamped(order, now_ms)

    def tell_quote(self, symbol: str, now_ms: int) -> None:
        """Tell of the best bid and ask if they changed, before something else changes them."""
        market = self.markets[symbol]
        row = market.quote(now_ms) if market.book.touched else None
        if row is not None:
            self._changes.append(Change("quote", "insert", None, symbol, row))

    def announce(self, title: str, content: str, now_ms: int, *, urgent: bool = False) -> Row:
        """Tell everybody something; the row of ``announcement``."""
        row = self.records.announce(title, content, now_ms, urgent=urgent)
        self._changes.append(Change("announcement", "insert", None, None, row))
        return row

    def kill(self, order: Order, text: str, now_ms: int) -> None:
        """Cancel an open order by the venue's own will."""
        self._end(order, text, now_ms)

    def forget_client_id(self, account: int, cl_ord_id: str) -> None:
        """Take in another order of that clOrdID, though one is open."""
        self._by_client_id.pop((account, cl_ord_id), None)

    def _failed_cancel(
        self, account: int, order: Order | None, order_id: str, client_id: str, now_ms: int
    ) -> Row:
        """The 2025 stub row of a cancel that did nothing, and its CancelReject execution."""
        at = iso(now_ms)
        row: Row = {"account": account}
        if order is None:
            row["error"] = "Unable to cancel order: Not found or not owned by user"
            row.update({"orderID": order_id} if order_id else {"clOrdID": client_id})
        else:
            row["error"] = "Unable to cancel order"
            row["orderID"] = order.order_id
        row.update(timestamp=at, transactTime=at, workingIndicator=False)
        shown_id = order.order_id if order is not None else order_id or NO_ID
        reject = executions.cancel_reject(self._guid(), shown_id, account, now_ms)
        self.executions[account].append(reject)
        self._changes.append(Change("execution", "insert", account, None, reject))
        return row

    def _stamped(self, order: Order, now_ms: int) -> Row:
        order.changed_ms = now_ms
        return order.row()

    # -- time ------------------------------------------------------------------------------------

    def arm(self, account: int, timeout_ms: int, now_ms: int) -> int:
        """Set the dead man's switch (0 disarms); returns when it fires, 0 if never."""
        if timeout_ms <= 0:
            self.switches.pop(account, None)
            return 0
        self.switches[account] = now_ms + timeout_ms
        return now_ms + timeout_ms

    def due(self, now_ms: int) -> None:
        """
        Do what time brings: dead man's switches by wall time, all else by market time.

        That is the end of Day orders, funding, the settlement of futures and the daily one.
        """
        self._trail(now_ms)
        for account in [a for a, at in self.switches.items() if at <= now_ms]:
            del self.switches[account]
            for order in self.open_orders(account):
                self._end(order, f"Canceled: cancelAllAfter timeout\n{order.text}", now_ms)
        market_ms = self.clock.market_ms(now_ms)
        if market_ms // DAY_MS != self._day:
            self._day = market_ms // DAY_MS
            self._end_day_orders(now_ms)
        for market in self.markets.values():
            expiry = market.inst.expiry_ms
            if expiry is not None and expiry <= market_ms and market.state != "Settled":
                self.settle(market.inst.symbol, now_ms)
            elif market.inst.is_perpetual and market.funding_ms <= market_ms:
                self.fund(market, now_ms)
                market.fund(market_ms)
        if (market_ms - NOON_MS) // DAY_MS != self._noon:
            self._noon = (market_ms - NOON_MS) // DAY_MS
            self.rebalance(now_ms)

    def _end_day_orders(self, now_ms: int) -> None:
        for account in self.accounts:
            for order in self.open_orders(account):
                if order.tif == "Day":
                    self._end(order, f"Canceled: End of day\n{order.text}", now_ms)

    def pulse(self, now_ms: int, *, positions: bool) -> None:
        """Renew marks and instrument rows; with *positions* also the positions' marks (10.3)."""
        self._moved.update(self._asleep)
        if positions:
            self.rank_all()
        for symbol, market in self.markets.items():
            market.remark()
            market.bins.history.warm()
            row = market.row(now_ms)
            delta = changed(market.sent, row, ("symbol",))
            market.sent = row
            if delta is not None:
                self._changes.append(Change("instrument", "update", None, symbol, delta))
            for account in self.accounts.values():
                held = account.positions.get(symbol)
                if held is None:
                    continue
                held.mark = market.mark
                if positions and held.qty:  # its own mark may stand: others share its balance
                    self._touch(account.number, symbol)
        self._changes += self.indices.tick(now_ms)
        self._react(now_ms)
        self.check_liquidations(now_ms)


def _stops(orders: Iterable[Order]) -> int:
    """How many of the open orders wait for a price."""
    return sum(order.untriggered for order in orders)
