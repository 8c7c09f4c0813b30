"""
All state of the venue, and the rows that tell of its changes.

Private rows leave in `flush`, in the order of each table. Between tables the order means nothing
(protocol sheet, section 11).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import executions
from .account import DEFAULT_BALANCES, Account, Position
from .forgetting import KEEP, Forgetting
from .indices import Indices
from .instruments import Instrument
from .margin import Standing, standing
from .money_rows import margin_row, position_row, transaction, wallet_row
from .orders import Order, Row
from .protocol import MARGIN_IDENTITY, ORDER_IDENTITY, POSITION_IDENTITY, Change, changed
from .records import Records
from .tally import Tally
from .times import Clock
from .venue_market import Market

HOUSE = 0
ENGINE = -1
DAY_MS = 86_400_000
VERSIONS_KEPT_MS = 10_000
OPEN_ORDERS = (  # what a position's row tells of them
    "openOrderBuyQty", "openOrderBuyCost", "openOrderBuyPremium", "openOrderSellQty",
    "openOrderSellCost", "openOrderSellPremium",
)  # fmt: skip


@dataclass(slots=True)
class Takeover:
    """Contracts that the engine took over in a liquidation, and must get rid of."""

    order_id: str
    symbol: str
    side: int  # +1: the engine buys
    ticks: int  # the bankruptcy price
    due_ms: int  # market time at which it waits for the book no longer
    leaves: int
    sent: Row | None = None


class State:
    """What the venue knows. One thread owns it."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        accounts: Iterable[int],
        *,
        seed: int,
        now_ms: int,
        balances: Mapping[str, int] | None = None,
        clock: Clock | None = None,
        keep: int = KEEP,
    ) -> None:
        self.clock = clock or Clock(now_ms)
        self.opened_ms = now_ms
        self.catalogue = {inst.symbol: inst for inst in instruments}
        self.markets = {inst.symbol: Market(inst, now_ms, seed, self.clock) for inst in instruments}
        self.indices = Indices(list(self.markets.values()), seed, now_ms)
        perpetuals = [inst.symbol for inst in instruments if inst.kind.startswith("FFWC")]
        currencies = sorted({inst.settle for inst in instruments if inst.settle})
        self.records = Records(perpetuals, currencies, seed, now_ms)
        funds = dict(DEFAULT_BALANCES if balances is None else balances)
        self.accounts = {number: Account(number, dict(funds)) for number in accounts}
        self.house = Account(HOUSE, {})
        self._unnamed_taker = HOUSE  # whose trades are those of a taker without an order
        # The insurance fund goes on from the last balance that was told.
        told = {str(row["currency"]): row["walletBalance"] for row in self.records.insurance}
        self.engine = Account(ENGINE, {c: int(str(told[c])) for c in currencies})
        self.fees: dict[str, int] = {}  # minor units by currency, what members paid the venue
        self.odd_units: dict[str, int] = {}  # what rounding left of funding and settlements
        self.forgetting = Forgetting(keep)
        self._arrived = 0  # orders
        self.orders: dict[str, Order] = {}
        self.orders_of: dict[int, list[Order]] = {number: [] for number in self.accounts}
        self.executions: dict[int, list[Row]] = {number: [] for number in self.accounts}
        for account in self.accounts.values():
            for place, (currency, amount) in enumerate(account.deposited.items()):
                account.margin_sent[currency] = margin_row(account, currency, now_ms)
                first = f"00000000-0000-0000-{place:04d}-{account.number:012d}"
                account.history.append(
                    transaction(
                        account, currency, kind="Deposit", amount=amount, at_ms=now_ms,
                        transact_id=first,
                    )
                )  # fmt: skip
        self.switches: dict[int, int] = {}  # account -> when cancelAllAfter fires, ms
        self._open: dict[tuple[int, str], dict[str, Order]] = {}
        self._tallies: dict[tuple[int, str], Tally] = {}  # sums over these
        self._by_client_id: dict[tuple[int, str], Order] = {}  # newest of that clOrdID
        self._ids = random.Random(f"{seed}/ids/{now_ms}")  # no id repeats after a restart
        self.suspended: set[int] = set()  # accounts that may only cancel
        self._house_seq = 0
        self._asleep: dict[str, dict[str, Order]] = {}  # by symbol: orders that wait for a price
        self._moved: set[str] = set()  # symbols with such orders whose prices moved
        self._roused: list[Order] = []  # linked orders whose primary has filled
        self._links: dict[tuple[int, str], list[Order]] = {}  # by account and clOrdLinkID
        self._reacting = False
        self._day = now_ms // DAY_MS
        self._noon = (now_ms - DAY_MS // 2) // DAY_MS  # days of the daily settlement
        self._changes: list[Change] = []
        self._touched_orders: dict[str, Order] = {}
        self._touched_positions: dict[tuple[int, str], Position] = {}
        self._touched_wallets: dict[tuple[int, str], None] = {}
        self.takeovers: dict[str, Takeover] = {}  # liquidation orders of the engine, by id

    @property
    def house_qty(self) -> dict[str, int]:
        """The house's contracts by symbol."""
        held = self.house.positions
        return {symbol: held[symbol].qty if symbol in held else 0 for symbol in self.catalogue}

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
        """Remember an order, for as long as `Forgetting` says."""
        self._arrived += 1
        self.orders[order.order_id] = order
        self.orders_of[order.account].append(order)

    def is_linked(self, order: Order) -> bool:
        """Whether an open order is linked to it."""
        link = order.cl_ord_link_id
        return bool(link) and any(o.open for o in self._links.get((order.account, link), ()))

    def forget(self, order: Order) -> None:
        """Know nothing of an order any more but what it left in positions and sums."""
        del self.orders[order.order_id]
        if self._by_client_id.get((order.account, order.cl_ord_id)) is order:
            del self._by_client_id[order.account, order.cl_ord_id]
        self._links.pop((order.account, order.cl_ord_link_id), None)  # none of it is open

    def client_id_is_open(self, account: int, cl_ord_id: str) -> bool:
        found = self._by_client_id.get((account, cl_ord_id))
        return found is not None and found.open

    # -- rows out --------------------------------------------------------------------------------

    def flush_orders(self, now_ms: int) -> None:
        """Rows of the orders that were touched since the last call, for the next `flush`."""
        for order in self._touched_orders.values():
            self._flush_order(order, now_ms)
        self._touched_orders.clear()

    def flush(self, now_ms: int) -> list[Change]:
        """All rows since the last call, with times set to *now_ms*."""
        self.flush_orders(now_ms)
        self._flush_money(now_ms)
        for symbol, market in self.markets.items():
            if market.book.touched:
                quote = market.quote(now_ms)
                if quote is not None:
                    self._changes.append(Change("quote", "insert", None, symbol, quote))
        self.forgetting.sweep(self, now_ms)
        changes, self._changes = self._changes, []
        return changes

    def _flush_money(self, now_ms: int) -> None:
        """Rows of positions, margins and wallets."""
        touched = self._touched_positions.values()
        for position in touched:
            self._count_orders(position)
        standings: dict[tuple[int, str], Standing] = {}
        for position in touched:
            inst = position.instrument
            for currency in (inst.settle, inst.base) if inst.is_spot else (inst.settle,):
                key = (position.account, currency)
                if key not in standings:
                    standings[key] = standing(self.accounts[position.account], currency)
            if not inst.is_spot:
                self._flush_position(position, standings[position.account, inst.settle], now_ms)
        self._touched_positions.clear()
        for (number, currency), found in standings.items():
            self._flush_margin(self.accounts[number], currency, found, now_ms)
        for number, currency in self._touched_wallets:
            row = wallet_row(self.accounts[number], currency, now_ms)
            self._changes.append(Change("wallet", "update", number, None, row))
        self._touched_wallets.clear()

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

    def _count_orders(self, p: Position, without: Order | None = None) -> None:
        """Sum up the open orders of a position: quantity, cost, and premium over the mark."""
        tally = self._tallies.get((p.account, p.instrument.symbol))
        if tally is not None:
            tally.count(p, without)

    def _flush_position(self, p: Position, s: Standing, now_ms: int) -> None:
        """
        One update for a change of open orders, two for a fill: first the open orders with the old
        quantity, then the quantity (section 10.3).
        """
        row = position_row(self.accounts[p.account], p, now_ms, s)
        symbol = p.instrument.symbol
        if p.sent is None:
            self._changes.append(Change("position", "insert", p.account, symbol, row))
        else:
            before = p.sent
            if p.filled:
                ordered = {name: row[name] for name in OPEN_ORDERS if row[name] != before[name]}
                if ordered:
                    early = {name: row[name] for name in POSITION_IDENTITY}
                    early |= {**ordered, "timestamp": row["timestamp"]}
                    self._changes.append(Change("position", "update", p.account, symbol, early))
                    before = {**before, **ordered}
            delta = changed(before, row, POSITION_IDENTITY)
            if delta is not None:
                self._changes.append(Change("position", "update", p.account, symbol, delta))
        p.sent, p.filled = row, False

    def _flush_margin(self, account: Account, currency: str, s: Standing, now_ms: int) -> None:
        row = margin_row(account, currency, now_ms, s)
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

    def _touch_order(self, order: Order) -> None:
        """Something about an order changes: a row will tell."""
        self._touched_orders[order.order_id] = order
        self._recount(order)

    def _recount(self, order: Order) -> None:
        """What an order adds to the sums of its position changes."""
        key = (order.account, order.instrument.symbol)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        tally.mark(order)

    def _record(self, order: Order, exec_type: str, now_ms: int) -> None:
        """An execution row that moves no contracts."""
        row = executions.event(order, self._guid(), exec_type, now_ms)
        self.executions[order.account].append(row)
        symbol = order.instrument.symbol
        self._changes.append(Change("execution", "insert", order.account, symbol, row))

    def _guid(self) -> str:
        digits = f"{self._ids.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
