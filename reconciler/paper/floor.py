"""
The trading floor: orders meet books, trades change accounts, changes become rows.

Rule 1: no I/O and no clock. Venue time in milliseconds comes with every call.
Rule 2: what a caller may see is decided here; how it travels is not.
Rule 3: every call leaves its rows in `flush`, in the order of each table. Between tables the order
        means nothing (protocol sheet, section 11).

House orders (account 0) make the market: they trade like others and appear in no private table.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from . import errors, executions
from .account import DEFAULT_BALANCES, Account, Position
from .indices import Indices
from .instruments import Instrument, commission
from .market import BUY, SELL, Match, Resting
from .orders import (
    AT_MARKET,
    CANCELED,
    FILLED,
    POST_ONLY,
    Order,
    Row,
)
from .protocol import (
    MARGIN_IDENTITY,
    ORDER_IDENTITY,
    POSITION_IDENTITY,
    Change,
    changed,
    margin_row,
    position_row,
)
from .records import Records
from .venue_market import Market

HOUSE = 0
MAX_OPEN_ORDERS = 200  # per symbol and account (section 4.2)
REVIVE_MS = 60_000  # a filled order can be revived by leavesQty this long (section 4.3)
DAY_MS = 86_400_000
VERSIONS_KEPT_MS = 10_000


class Floor:
    """All state of the venue, and what happens in it. One thread owns it."""

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
        self.markets = {inst.symbol: Market(inst, now_ms, seed) for inst in instruments}
        self.indices = Indices(list(self.markets.values()), seed, now_ms)
        perpetuals = [inst.symbol for inst in instruments if inst.kind.startswith("FFWC")]
        currencies = sorted({inst.settle for inst in instruments if inst.settle})
        self.records = Records(perpetuals, currencies, seed, now_ms)
        funds = dict(DEFAULT_BALANCES if balances is None else balances)
        self.accounts = {number: Account(number, dict(funds)) for number in accounts}
        self.house_qty = dict.fromkeys(self.catalogue, 0)
        self.orders: dict[str, Order] = {}
        self.orders_of: dict[int, list[Order]] = {number: [] for number in self.accounts}
        self.executions: dict[int, list[Row]] = {number: [] for number in self.accounts}
        for account in self.accounts.values():
            for currency in account.deposited:
                account.margin_sent[currency] = margin_row(account, currency, now_ms)
        self.switches: dict[int, int] = {}  # account -> when cancelAllAfter fires, ms
        self._open: dict[tuple[int, str], dict[str, Order]] = {}
        self._by_client_id: dict[tuple[int, str], Order] = {}  # newest of that clOrdID
        self._ids = random.Random(f"{seed}/ids/{now_ms}")  # no id repeats after a restart
        self.suspended: set[int] = set()  # accounts that may only cancel
        self._house_seq = 0
        self._asleep: dict[str, dict[str, Order]] = {}  # by symbol: orders that wait for a price
        self._moved: set[str] = set()  # symbols with such orders whose prices moved
        self._roused: list[Order] = []  # linked orders whose primary has filled
        self._links: dict[tuple[int, str], list[Order]] = {}  # by account and clOrdLinkID
        self._primaries: dict[tuple[int, str], Order] = {}  # of them, the newest OTO
        self._reacting = False
        self._day = now_ms // DAY_MS
        self._changes: list[Change] = []
        self._touched_orders: dict[str, Order] = {}
        self._touched_positions: dict[tuple[int, str], Position] = {}

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

    def _keep(self, order: Order) -> None:
        """Remember an order for ever."""
        self.orders[order.order_id] = order
        self.orders_of[order.account].append(order)

    def client_id_is_open(self, account: int, cl_ord_id: str) -> bool:
        found = self._by_client_id.get((account, cl_ord_id))
        return found is not None and found.open

    # -- trading ---------------------------------------------------------------------------------

    def _enter(self, order: Order, market: Market, now_ms: int) -> None:
        """Match an order that isn't in the book, then rest or end what is left of it."""
        self._touched_orders[order.order_id] = order
        self._touch(order.account, order.instrument.symbol)
        book = market.book
        limit = self._limit(order, market)
        if POST_ONLY in order.exec_inst and self._would_show(order, limit, market):
            self._end(order, f"{errors.POST_ONLY_CANCELED}\n{order.text}", now_ms)
            return
        if order.tif == "FillOrKill":
            if book.available(order.side, limit, order.leaves) < order.leaves:
                self._end(order, f"{errors.FOK_CANCELED}\n{order.text}", now_ms)
                return
        book.begin_sweep()
        while order.leaves:
            match = book.next_match(order.side, limit, order.leaves)
            if match is None:
                break
            if order.ord_type in AT_MARKET:
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
                Resting(
                    order.order_id, order.account, order.side, order.ticks, order.leaves,
                    order.display_qty,
                )
            )  # fmt: skip
        self._trim_reduce_only(order.account, market, now_ms)

    @staticmethod
    def _limit(order: Order, market: Market) -> int | None:
        """The worst price in ticks at which the order may trade; None: any."""
        if order.ord_type not in AT_MARKET:
            return order.ticks
        touch = market.book.best(-order.side)
        if order.slippage is None or touch is None:
            return None
        reach = int(touch * order.slippage / 100)  # whole ticks, never past the percentage
        return touch + order.side * reach

    @staticmethod
    def _would_show(order: Order, limit: int | None, market: Market) -> bool:
        """
        Whether an order would take what the book shows.

        A post-only order is not canceled for hidden contracts, or it would feel them out: it trades
        with them as the maker, and the hidden side pays as the taker [unsure].
        """
        best = market.book.best(-order.side)
        return best is not None and (limit is None or order.side * (limit - best) >= 0)

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
        if market.inst.symbol in self._asleep:
            self._moved.add(market.inst.symbol)
        for order in (maker, taker):
            if order is not None:
                self._after_fill(order, now_ms)

    def _after_fill(self, order: Order, now_ms: int) -> None:
        """What a fill sets off among linked orders; told by `Triggers`."""

    def _after_end(self, order: Order, now_ms: int) -> None:
        """What an order's end without a fill sets off; told by `Triggers`."""

    def _react(self, now_ms: int) -> None:
        """Let in the orders that waited for what just happened; told by `Triggers`."""

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
        # Hidden contracts pay the taker's fee, and a post-only order never does.
        hidden = match.hidden and not takes
        takes = takes and POST_ONLY not in order.exec_inst
        rate = inst.taker_fee if takes or hidden else inst.maker_fee
        fee = commission(abs(cost), rate)
        order.fill(match.size, price)
        order.transact_ms = now_ms
        position = self.position(order.account, inst.symbol)
        market.open_interest += max(0, position.qty + signed) - max(0, position.qty)
        self.accounts[order.account].trade(position, signed, price, cost, fee)
        self._touched_orders[order.order_id] = order
        self._touch(order.account, inst.symbol)
        row = executions.trade(
            order,
            self._guid(),
            match_id,
            match.size,
            price,
            cost,
            fee,
            rate,
            takes,
            now_ms,
            hidden=hidden,
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

    def _end(self, order: Order, text: str, now_ms: int) -> None:
        """Take an open order out of the market as Canceled; nothing if it has ended already."""
        if not order.open:
            return
        self.markets[order.instrument.symbol].book.remove(order.order_id)
        order.end(CANCELED, text)
        order.transact_ms = now_ms
        self._close(order)
        self._record(order, "Canceled", now_ms)
        self._after_end(order, now_ms)

    def _close(self, order: Order) -> None:
        self._open[order.account, order.instrument.symbol].pop(order.order_id, None)
        self._touched_orders[order.order_id] = order
        self._touch(order.account, order.instrument.symbol)

    # -- the house -------------------------------------------------------------------------------

    def house_rest(self, symbol: str, side: int, ticks: int, size: int, now_ms: int) -> str:
        """A house order trades with what it crosses, then rests; its id, or "" if none rests."""
        left = self.house_take(symbol, side, size, ticks, now_ms)
        if not left:
            return ""
        self._house_seq += 1
        order_id = f"house-{self._house_seq}"
        self.markets[symbol].book.rest(Resting(order_id, HOUSE, side, ticks, left))
        return order_id

    def house_take(self, symbol: str, side: int, size: int, limit: int | None, now_ms: int) -> int:
        """The house takes up to *size* contracts; returns those it did not get."""
        market = self.markets[symbol]
        market.book.begin_sweep()
        while size:
            match = market.book.next_match(side, limit, size)
            if match is None:
                break
            self._settle(market, match, side, None, now_ms)
            size -= match.size
        self._react(now_ms)
        return size

    def fill_from_house(self, order: Order, size: int, now_ms: int) -> None:
        """The house trades with one resting order out of turn, as a racing taker would."""
        market = self.markets[order.instrument.symbol]
        match = market.book.hit(order.order_id, size)
        self._settle(market, match, -order.side, None, now_ms)
        self._react(now_ms)

    # -- rows out --------------------------------------------------------------------------------

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
            if order.dormant:
                continue  # an untriggered order uses no margin (section 4.2)
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


def sum_of_contracts(exchange: Floor, symbol: str) -> int:
    """Contracts of all accounts and the house together: always zero."""
    held = sum(
        account.positions[symbol].qty
        for account in exchange.accounts.values()
        if symbol in account.positions
    )
    return held + exchange.house_qty[symbol]
