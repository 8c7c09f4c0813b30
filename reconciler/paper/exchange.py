"""
The exchange itself: orders meet books, books change accounts, changes become rows.

Rule 1: no I/O and no clock. Venue time in milliseconds comes with every call.
Rule 2: what a caller may see is decided here; how it travels is not.
Rule 3: every call leaves its rows in `flush`, in the order of each table. Between tables the order
        means nothing (protocol sheet, section 11).

House orders (account 0) make the market: they trade like others and appear in no private table.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from . import errors, executions
from .account import DEFAULT_BALANCES, Account, Position
from .instruments import Instrument, commission
from .intake import Amend, check_qty, check_ticks
from .market import BUY, SELL, Match, Resting
from .orders import (
    CANCELED,
    CLOSE,
    FILLED,
    NEW,
    PARTIAL,
    POST_ONLY,
    REJECTED,
    NewOrder,
    Order,
    Row,
)
from .protocol import (
    MARGIN_IDENTITY,
    NO_ID,
    ORDER_IDENTITY,
    POSITION_IDENTITY,
    Change,
    changed,
    margin_row,
    position_row,
)
from .times import iso
from .venue_market import Market

HOUSE = 0
MAX_OPEN_ORDERS = 200  # per symbol and account (section 4.2)
REVIVE_MS = 60_000  # a filled order can be revived by leavesQty this long (section 4.3)
DAY_MS = 86_400_000
VERSIONS_KEPT_MS = 10_000


class Exchange:
    """All state of the venue. One thread owns it."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        accounts: Iterable[int],
        *,
        seed: int,
        now_ms: int,
        balances: Mapping[str, int] | None = None,
    ) -> None:
        self.opened_ms = now_ms
        self.catalogue = {inst.symbol: inst for inst in instruments}
        self.markets = {inst.symbol: Market(inst, now_ms) for inst in instruments}
        funds = dict(DEFAULT_BALANCES if balances is None else balances)
        self.accounts = {number: Account(number, dict(funds)) for number in accounts}
        self.house_qty = dict.fromkeys(self.catalogue, 0)
        self.orders: dict[str, Order] = {}
        self.executions: dict[int, list[Row]] = {number: [] for number in self.accounts}
        for account in self.accounts.values():
            for currency in account.deposited:
                account.margin_sent[currency] = margin_row(account, currency, now_ms)
        self.switches: dict[int, int] = {}  # account -> when cancelAllAfter fires, ms
        self._open: dict[tuple[int, str], dict[str, Order]] = {}
        self._by_client_id: dict[tuple[int, str], Order] = {}  # newest of that clOrdID
        self._ids = random.Random(f"{seed}/ids/{now_ms}")  # no id repeats after a restart
        self._house_seq = 0
        self._day = now_ms // DAY_MS
        self._changes: list[Change] = []
        self._touched_orders: dict[str, Order] = {}
        self._touched_positions: dict[tuple[int, str], Position] = {}

    # -- looking ------------------------------------------------------------------------------

    def open_orders(self, account: int, symbol: str | None = None) -> list[Order]:
        """Open orders of an account, oldest first."""
        if symbol is not None:
            return list(self._open.get((account, symbol), {}).values())
        found = [o for (a, _), group in self._open.items() if a == account for o in group.values()]
        return sorted(found, key=lambda order: order.seq)

    def find(self, account: int, order_id: str = "", cl_ord_id: str = "") -> Order | None:
        """An order of the account by the venue's id or by the client's (then the newest)."""
        if order_id:
            order = self.orders.get(order_id)
            return order if order is not None and order.account == account else None
        return self._by_client_id.get((account, cl_ord_id))

    def position(self, account: int, symbol: str) -> Position:
        market = self.markets[symbol]
        return self.accounts[account].position(market.inst, market.mark)

    # -- placing ------------------------------------------------------------------------------

    def place(self, account: int, new: NewOrder, now_ms: int) -> Order:
        """
        Take in an order: check it against the account, match it, rest what is left.

        Returns:
            The order in its final state: New, PartiallyFilled, Filled or Canceled.

        Raises:
            Refusal: the account or the market does not allow it. Nothing changed.
        """
        market = self.markets[new.instrument.symbol]
        self._admit(account, new, market)
        qty = self._quantity(account, new)
        order = self._make(account, new, qty, now_ms)
        self._check_margin(order, market, qty)
        self._open.setdefault((account, new.instrument.symbol), {})[order.order_id] = order
        self.orders[order.order_id] = order
        if order.cl_ord_id:
            self._by_client_id[account, order.cl_ord_id] = order
        if CLOSE in order.exec_inst:
            self._make_room_for_close(order, now_ms)
        self._record(order, "New", now_ms)
        self._enter(order, market, now_ms)
        return order

    def refuse_row(self, account: int, new: NewOrder, reason: str, now_ms: int) -> Order:
        """An order that is answered, and shown in the tables, as Rejected."""
        order = self._make(account, new, new.qty or 0, now_ms)
        self.orders[order.order_id] = order
        if order.cl_ord_id and not self._client_id_is_open(account, order.cl_ord_id):
            self._by_client_id[account, order.cl_ord_id] = order
        order.reject_reason = reason
        order.end(REJECTED, f"Rejected: {reason}\n{order.text}")
        self._touched_orders[order.order_id] = order
        self._record(order, "Rejected", now_ms)
        return order

    def _admit(self, account: int, new: NewOrder, market: Market) -> None:
        if market.state != "Open":
            raise errors.bad_request("Market is not open")
        if new.cl_ord_id and self._client_id_is_open(account, new.cl_ord_id):
            raise errors.bad_request("Duplicate clOrdID")
        if len(self._open.get((account, market.inst.symbol), ())) >= MAX_OPEN_ORDERS:
            raise errors.bad_request("Too many open orders")

    def _client_id_is_open(self, account: int, cl_ord_id: str) -> bool:
        found = self._by_client_id.get((account, cl_ord_id))
        return found is not None and found.open

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

    def _make(self, account: int, new: NewOrder, qty: int, now_ms: int) -> Order:
        return Order(
            order_id=self._guid(), account=account, instrument=new.instrument, side=new.side,
            qty=qty, ticks=new.ticks, ord_type=new.ord_type, tif=new.tif, exec_inst=new.exec_inst,
            cl_ord_id=new.cl_ord_id, cl_ord_link_id=new.cl_ord_link_id,
            display_qty=new.display_qty, text=new.text, placed_ms=now_ms, seq=len(self.orders),
            strategy=new.strategy, leaves=qty, transact_ms=now_ms, changed_ms=now_ms,
        )  # fmt: skip

    def _check_margin(self, order: Order, market: Market, contracts: int) -> None:
        """Refuse what the account cannot back (section 7, insufficient Available Balance)."""
        position = self.position(order.account, order.instrument.symbol)
        if order.reduce_only:
            return
        closing = max(0, -position.qty * order.side)
        resting = position.open_buy_qty if order.side == BUY else position.open_sell_qty
        opening = min(contracts, contracts + resting - closing)
        if opening <= 0:
            return
        ticks = order.ticks if order.ticks is not None else market.book.best(-order.side)
        price = market.mark if ticks is None else order.instrument.price(ticks)
        cost = order.instrument.value(opening, price)
        required = position.order_margin(opening, cost)
        currency = order.instrument.settle
        if required > self.accounts[order.account].available(currency):
            raise errors.insufficient(required, currency)

    def _make_room_for_close(self, order: Order, now_ms: int) -> None:
        """Close cancels own other orders of its side when together they exceed the position."""
        held = abs(self.position(order.account, order.instrument.symbol).qty)
        group = self._open[order.account, order.instrument.symbol].values()
        others = [o for o in group if o.side == order.side and o is not order]
        if order.leaves + sum(o.leaves for o in others) > held:
            for other in others:
                self._end(other, "Canceled: Order had execInst of Close", now_ms)

    def _enter(self, order: Order, market: Market, now_ms: int) -> None:
        """Match an order that isn't in the book, then rest or end what is left of it."""
        self._touched_orders[order.order_id] = order
        self._touch(order.account, order.instrument.symbol)
        book = market.book
        limit = order.ticks if order.ord_type != "Market" else None
        if POST_ONLY in order.exec_inst and book.crosses(order.side, limit):
            self._end(order, f"{errors.POST_ONLY_CANCELED}\n{order.text}", now_ms)
            return
        if order.tif == "FillOrKill":
            if book.available(order.side, limit, order.leaves) < order.leaves:
                self._end(order, f"{errors.FOK_CANCELED}\n{order.text}", now_ms)
                return
        while order.leaves:
            match = book.next_match(order.side, limit, order.leaves)
            if match is None:
                break
            if order.ord_type == "Market":
                order.ticks = match.ticks  # the row shows the last price touched (section 4.1)
            self._settle(market, match, order.side, order, now_ms)
        if not order.leaves:
            self._close(order)
        elif order.tif in ("ImmediateOrCancel", "FillOrKill"):
            self._end(order, f"{errors.IOC_CANCELED}\n{order.text}", now_ms)
        else:
            assert order.ticks is not None
            order.working = True
            book.rest(
                Resting(order.order_id, order.account, order.side, order.ticks, order.leaves)
            )
        self._trim_reduce_only(order.account, market, now_ms)

    # -- amending and canceling ---------------------------------------------------------------

    def amend(self, account: int, asked: Amend, now_ms: int) -> Order:
        """
        Change price or quantity of an open order (section 4.3).

        Raises:
            Refusal: 400; the order is as it was.
        """
        order = self.find(account, asked.order_id, asked.orig_cl_ord_id)
        if order is None:
            name = "orderID" if asked.order_id else "origClOrdID"
            raise errors.bad_request(f"Invalid {name}")
        revive = (
            order.status == FILLED
            and asked.leaves is not None
            and now_ms - order.transact_ms <= REVIVE_MS
        )
        if not order.open and not revive:
            raise errors.bad_request(f"Invalid ordStatus: {order.status}")
        leaves = self._amended_leaves(order, asked)
        ticks = order.ticks
        if asked.price is not None:
            ticks = check_ticks(order.instrument, asked.price)
        words = []
        if leaves != order.leaves:
            words.append("orderQty" if asked.qty is not None else "leavesQty")
        if ticks != order.ticks:
            words.append("price")
        if asked.cl_ord_id and asked.cl_ord_id != order.cl_ord_id:
            if self._client_id_is_open(account, asked.cl_ord_id):
                raise errors.bad_request("Duplicate clOrdID")
        elif not words:
            raise errors.bad_request(
                "Invalid amend: orderQty, leavesQty, price, stopPx unchanged"
            )
        market = self.markets[order.instrument.symbol]
        if leaves > order.leaves:
            self._check_margin(order, market, leaves - order.leaves)
        self._apply_amend(order, asked, leaves, ticks, words, now_ms)
        return order

    def _amended_leaves(self, order: Order, asked: Amend) -> int:
        """The open quantity that an amend asks for, or a refusal."""
        inst = order.instrument
        if asked.qty is not None:
            check_qty(inst, asked.qty)
            if asked.qty <= order.cum:
                raise errors.invalid("Invalid orderQty")
            leaves = asked.qty - order.cum
        elif asked.leaves is not None:
            if asked.leaves <= 0 or asked.leaves > inst.max_qty:
                raise errors.invalid("Invalid leavesQty")
            if asked.leaves % inst.lot:
                raise errors.bad_request("Invalid leavesQty for lotSize")
            leaves = asked.leaves
        else:
            return order.leaves
        if order.reduce_only:
            held = self.position(order.account, inst.symbol).qty
            if -held * order.side <= 0:
                raise errors.nothing_to_reduce("ReduceOnly", order.side_name, held)
            leaves = min(leaves, -held * order.side)
        return leaves

    def _apply_amend(
        self,
        order: Order,
        asked: Amend,
        leaves: int,
        ticks: int | None,
        words: list[str],
        now_ms: int,
    ) -> None:
        market = self.markets[order.instrument.symbol]
        shrinks = ticks == order.ticks and 0 < leaves <= order.leaves
        if asked.cl_ord_id:
            order.cl_ord_id = asked.cl_ord_id
            self._by_client_id[order.account, asked.cl_ord_id] = order
        if words:
            annotation = asked.text or "Submitted via API."
            order.text = f"Amended {' '.join(words)}\n{annotation}"
        order.transact_ms = now_ms
        order.qty, order.ticks = order.cum + leaves, ticks
        if shrinks:
            market.book.shrink(order.order_id, leaves)
        else:
            market.book.remove(order.order_id)
        order.leaves = leaves
        order.status = PARTIAL if order.cum else NEW
        self._open.setdefault((order.account, order.instrument.symbol), {})[
            order.order_id
        ] = order
        self._touched_orders[order.order_id] = order
        self._touch(order.account, order.instrument.symbol)
        self._record(order, "Replaced", now_ms)
        if not shrinks:
            self._enter(order, market, now_ms)

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
            self._end(order, f"Canceled\n{text or 'Canceled via API.'}", now_ms)
            rows.append(self._stamped(order, now_ms))
        return rows

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

    def _end(self, order: Order, text: str, now_ms: int) -> None:
        """Take an open order out of the market as Canceled."""
        self.markets[order.instrument.symbol].book.remove(order.order_id)
        order.end(CANCELED, text)
        order.transact_ms = now_ms
        self._close(order)
        self._record(order, "Canceled", now_ms)

    def _close(self, order: Order) -> None:
        self._open[order.account, order.instrument.symbol].pop(order.order_id, None)
        self._touched_orders[order.order_id] = order
        self._touch(order.account, order.instrument.symbol)

    # -- trading ------------------------------------------------------------------------------

    def _settle(
        self, market: Market, match: Match, taker_side: int, taker: Order | None, now_ms: int
    ) -> None:
        """Book one match on both sides and in the public tables."""
        match_id = self._guid()
        maker = self.orders.get(match.maker_id)
        self._book_side(market, maker, -taker_side, match, match_id, False, now_ms)
        self._book_side(market, taker, taker_side, match, match_id, True, now_ms)
        row = market.traded(taker_side, match.ticks, match.size, match_id, now_ms)
        self._changes.append(Change("trade", "insert", None, market.inst.symbol, row))
        if maker is not None:
            self._trim_reduce_only(maker.account, market, now_ms)

    def _book_side(
        self, market: Market, order: Order | None, side: int, match: Match, match_id: str,
        takes: bool, now_ms: int,
    ) -> None:  # fmt: skip
        inst = market.inst
        signed = side * match.size
        if order is None:
            self.house_qty[inst.symbol] += signed
            return
        price = inst.price(match.ticks)
        cost = inst.cost(signed, price)
        rate = inst.taker_fee if takes else inst.maker_fee
        fee = commission(abs(cost), rate)
        order.fill(match.size, price)
        order.transact_ms = now_ms
        position = self.position(order.account, inst.symbol)
        market.open_interest += max(0, position.qty + signed) - max(0, position.qty)
        self.accounts[order.account].trade(position, signed, price, cost, fee)
        self._touched_orders[order.order_id] = order
        self._touch(order.account, inst.symbol)
        row = executions.trade(
            order, self._guid(), match_id, match.size, price, cost, fee, rate, takes, now_ms
        )
        self.executions[order.account].append(row)
        self._changes.append(Change("execution", "insert", order.account, inst.symbol, row))
        if order.status == FILLED:
            self._close(order)

    def _trim_reduce_only(self, account: int, market: Market, now_ms: int) -> None:
        """Amend down or cancel resting ReduceOnly orders that now exceed the position (4.2)."""
        group = self._open.get((account, market.inst.symbol))
        if not group:
            return
        resting = [o for o in group.values() if o.reduce_only and o.working]
        if not resting:
            return
        held = self.position(account, market.inst.symbol).qty
        # Least aggressive first: furthest from the touch, and of those the youngest.
        resting.sort(key=lambda o: (o.side * (o.ticks or 0), -o.seq))
        for side in (BUY, SELL):
            mine = [o for o in resting if o.side == side]
            excess = sum(o.leaves for o in mine) - max(0, -held * side)
            for order in mine:
                if excess <= 0:
                    break
                cut = min(excess, order.leaves)
                excess -= cut
                self._cut(order, cut, market, now_ms)

    def _cut(self, order: Order, contracts: int, market: Market, now_ms: int) -> None:
        if contracts == order.leaves:
            self._end(order, "Canceled: Order had execInst of ReduceOnly", now_ms)
            return
        order.leaves -= contracts
        order.qty -= contracts
        market.book.shrink(order.order_id, order.leaves)
        order.transact_ms = now_ms
        order.text = f"Amended orderQty: Order had execInst of ReduceOnly\n{order.text}"
        self._touched_orders[order.order_id] = order
        self._touch(order.account, order.instrument.symbol)
        self._record(order, "Replaced", now_ms)

    # -- the house ----------------------------------------------------------------------------

    def house_rest(self, symbol: str, side: int, ticks: int, size: int, now_ms: int) -> str:
        """A house order: trades with what it crosses, then rests. Its id, or "" if nothing rests."""
        left = self.house_take(symbol, side, size, ticks, now_ms)
        if not left:
            return ""
        self._house_seq += 1
        order_id = f"house-{self._house_seq}"
        self.markets[symbol].book.rest(Resting(order_id, HOUSE, side, ticks, left))
        return order_id

    def house_take(
        self, symbol: str, side: int, size: int, limit: int | None, now_ms: int
    ) -> int:
        """The house takes up to *size* contracts; returns those it did not get."""
        market = self.markets[symbol]
        while size:
            match = market.book.next_match(side, limit, size)
            if match is None:
                break
            self._settle(market, match, side, None, now_ms)
            size -= match.size
        return size

    def fill_from_house(self, order: Order, size: int, now_ms: int) -> None:
        """The house trades with one resting order out of turn, as a racing taker would."""
        market = self.markets[order.instrument.symbol]
        match = market.book.hit(order.order_id, size)
        self._settle(market, match, -order.side, None, now_ms)

    # -- time ---------------------------------------------------------------------------------

    def arm(self, account: int, timeout_ms: int, now_ms: int) -> int:
        """Set the dead man's switch (0 disarms); returns when it fires, 0 if never."""
        if timeout_ms <= 0:
            self.switches.pop(account, None)
            return 0
        self.switches[account] = now_ms + timeout_ms
        return now_ms + timeout_ms

    def due(self, now_ms: int) -> None:
        """Do what time brings: dead man's switches, end of Day orders, funding."""
        for account in [a for a, at in self.switches.items() if at <= now_ms]:
            del self.switches[account]
            for order in self.open_orders(account):
                self._end(order, "Canceled: cancelAllAfter timeout\nSubmitted via API.", now_ms)
        if now_ms // DAY_MS != self._day:
            self._day = now_ms // DAY_MS
            for account in self.accounts:
                for order in self.open_orders(account):
                    if order.tif == "Day":
                        self._end(order, "Canceled: End of day\nSubmitted via API.", now_ms)
        for market in self.markets.values():
            if market.funding_ms <= now_ms:
                self._fund(market, now_ms)

    def _fund(self, market: Market, now_ms: int) -> None:
        """Longs pay shorts |markValue| x rate when the rate is above zero (section 8.3)."""
        for account in self.accounts.values():
            position = account.positions.get(market.inst.symbol)
            if position is None or not position.qty:
                continue
            value = abs(position.mark_value)
            signed = value if position.qty > 0 else -value
            amount = commission(signed, market.funding_rate)
            account.charge(position, amount)
            row = executions.funding(self._guid(), position, market.funding_rate, amount, now_ms)
            self.executions[account.number].append(row)
            symbol = market.inst.symbol
            self._changes.append(Change("execution", "insert", account.number, symbol, row))
            self._touch(account.number, symbol)
        market.fund(now_ms)

    def pulse(self, now_ms: int, *, positions: bool) -> None:
        """Renew marks and instrument rows; with *positions* also the positions' marks (10.3)."""
        for symbol, market in self.markets.items():
            market.remark()
            row = market.row(now_ms)
            delta = changed(market.sent, row, ("symbol",))
            market.sent = row
            if delta is not None:
                self._changes.append(Change("instrument", "update", None, symbol, delta))
            for account in self.accounts.values():
                held = account.positions.get(symbol)
                if held is not None and held.mark != market.mark:
                    held.mark = market.mark
                    if positions and held.qty:
                        self._touch(account.number, symbol)

    def set_leverage(self, account: int, symbol: str, leverage: Decimal, now_ms: int) -> Row:
        """Set a position's leverage (0: cross); its row."""
        position = self.position(account, symbol)
        position.leverage = leverage
        self._touch(account, symbol)
        return position_row(self.accounts[account], position, now_ms)

    # -- rows out -----------------------------------------------------------------------------

    def flush(self, now_ms: int) -> list[Change]:
        """All rows since the last call, with times set to *now_ms*."""
        for order in self._touched_orders.values():
            self._flush_order(order, now_ms)
        self._touched_orders.clear()
        margins: dict[tuple[int, str], None] = {}
        for position in self._touched_positions.values():
            self._flush_position(position, now_ms)
            margins[position.account, position.instrument.settle] = None
        self._touched_positions.clear()
        for number, currency in margins:
            self._flush_margin(self.accounts[number], currency, now_ms)
        for symbol, market in self.markets.items():
            if market.book.touched:
                quote = market.quote(now_ms)
                if quote is not None:
                    self._changes.append(Change("quote", "insert", None, symbol, quote))
        changes, self._changes = self._changes, []
        return changes

    def _flush_order(self, order: Order, now_ms: int) -> None:
        order.changed_ms = now_ms
        row = order.row()
        if order.sent is None:
            action, delta = "insert", row
        else:
            action = "update"
            found = changed(order.sent, row, ORDER_IDENTITY)
            if found is None:
                return
            delta = found
        order.sent = row
        order.versions.append((now_ms, row))
        while len(order.versions) > 1 and order.versions[1][0] < now_ms - VERSIONS_KEPT_MS:
            del order.versions[0]
        symbol = order.instrument.symbol
        self._changes.append(Change("order", action, order.account, symbol, delta))

    def _flush_position(self, p: Position, now_ms: int) -> None:
        """
        One update for a change of open orders, two for a fill: first the open orders with the old
        quantity, then the quantity (section 10.3).
        """
        p.open_buy_qty = p.open_buy_cost = p.open_sell_qty = p.open_sell_cost = 0
        for order in self._open.get((p.account, p.instrument.symbol), {}).values():
            price = order.price or p.mark
            cost = p.instrument.cost(order.leaves, price)  # the sign of a buy on both sides
            if order.side == BUY:
                p.open_buy_qty += order.leaves
                p.open_buy_cost += cost
            else:
                p.open_sell_qty += order.leaves
                p.open_sell_cost += cost
        row = position_row(self.accounts[p.account], p, now_ms)
        symbol = p.instrument.symbol
        if p.sent is None:
            self._changes.append(Change("position", "insert", p.account, symbol, row))
        else:
            steps = [row]
            if p.filled:
                early = dict(p.sent)
                early.update({k: v for k, v in row.items() if k.startswith("openOrder")})
                early["timestamp"] = row["timestamp"]
                steps.insert(0, early)
            before = p.sent
            for step in steps:
                delta = changed(before, step, POSITION_IDENTITY)
                if delta is not None:
                    self._changes.append(Change("position", "update", p.account, symbol, delta))
                before = step
        p.sent, p.filled = row, False

    def _flush_margin(self, account: Account, currency: str, now_ms: int) -> None:
        row = margin_row(account, currency, now_ms)
        before = account.margin_sent.get(currency)
        delta = row if before is None else changed(before, row, MARGIN_IDENTITY)
        account.margin_sent[currency] = row
        if delta is not None:
            action = "insert" if before is None else "update"
            self._changes.append(Change("margin", action, account.number, None, delta))

    def _touch(self, account: int, symbol: str) -> None:
        key = (account, symbol)
        if key not in self._touched_positions:
            self._touched_positions[key] = self.position(account, symbol)

    def _record(self, order: Order, exec_type: str, now_ms: int) -> None:
        """An execution row that moves no contracts."""
        row = executions.event(order, self._guid(), exec_type, now_ms)
        self.executions[order.account].append(row)
        symbol = order.instrument.symbol
        self._changes.append(Change("execution", "insert", order.account, symbol, row))

    def _guid(self) -> str:
        digits = f"{self._ids.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def sum_of_contracts(exchange: Exchange, symbol: str) -> int:
    """Contracts of all accounts and the house together: always zero."""
    held = sum(
        account.positions[symbol].qty
        for account in exchange.accounts.values()
        if symbol in account.positions
    )
    return held + exchange.house_qty[symbol]
