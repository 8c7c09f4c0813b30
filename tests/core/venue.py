"""
A venue small enough to be believed: orders, fills and positions, and what can be read of them.

It knows nothing of the core's rules. It acts at the moment that the world says, and shows every
change as rows of three tables; how late, how often and whether those arrive is the world's affair.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from reconciler.core import decisions as d
from reconciler.core import events as e

#: Shows a row of "order", "execution" or "position" to whoever listens.
Show = Callable[[str, e.AnyEvent], None]

LIVE = (e.OrderStatus.NEW, e.OrderStatus.PARTLY_FILLED)


@dataclass(slots=True)
class VenueOrder:
    """An order as the venue knows it; ``cl_ord_id`` is empty for a person's."""

    order_id: str
    cl_ord_id: str
    symbol: str
    contracts: int
    price: Decimal
    reduce_only: bool
    filled: int = 0
    status: e.OrderStatus = e.OrderStatus.NEW
    text: str = ""

    @property
    def side(self) -> int:
        return 1 if self.contracts > 0 else -1

    @property
    def leaves(self) -> int:
        return abs(self.contracts) - self.filled if self.status in LIVE else 0


class Venue:
    """The truth."""

    def __init__(self, rng: random.Random, positions: dict[str, int], lot: int, show: Show) -> None:
        self.rng = rng
        self.lot = lot
        self.show = show
        self.now_us = 0  # the venue's own time; set by the world before it asks for anything
        self.position = dict(positions)
        self.foreign = dict.fromkeys(positions, 0)  # moved by others, in all
        self.orders: dict[str, VenueOrder] = {}
        self.order_rows: list[tuple[int, e.OrderSeen]] = []
        self.executions: list[tuple[int, e.ExecutionSeen]] = []
        self.positions = {symbol: [(0, contracts)] for symbol, contracts in positions.items()}

    def _us(self) -> int:
        return self.now_us // 1000 * 1000  # rows are dated in milliseconds; ties are common

    # -- what the engine does --------------------------------------------------------------------

    def place(self, asked: d.PlaceOrder, fate: str) -> VenueOrder:
        """Take in an order. *fate* is "rest", "fill" (some at once) or "kill" (post-only)."""
        order = VenueOrder(
            order_id=f"v{len(self.orders) + 1}",
            cl_ord_id=asked.cl_ord_id,
            symbol=asked.symbol,
            contracts=asked.contracts,
            price=asked.price,
            reduce_only=asked.reduce_only,
        )
        self.orders[order.order_id] = order
        position = self.position[asked.symbol]
        if asked.reduce_only and position * order.side >= 0:
            self._end(order, e.OrderStatus.REJECTED, f"ReduceOnly and position is {position}")
            return order
        self._cut(order)
        self._execution(order, e.ExecutionKind.ORDER_STATE, 0)
        if asked.immediate:
            if fate != "kill":
                self._trade(order, self._part(order) if fate == "fill" else order.leaves)
            if order.status in LIVE:
                self._end(order, e.OrderStatus.CANCELLED, "Canceled: IOC")
        elif asked.post_only and fate == "kill":
            self._end(order, e.OrderStatus.CANCELLED, "Canceled: ParticipateDoNotInitiate")
        else:
            self._row(order)
            if fate == "fill":
                self._trade(order, self._part(order))
        return order

    def cancel(self, cl_ord_id: str, order_id: str) -> list[VenueOrder]:
        """Cancel what is open under these names; empty: there was nothing to cancel."""
        base = cl_ord_id.partition("/")[0]
        found = [
            order
            for order in self.orders.values()
            if order.status in LIVE and (order.order_id == order_id or order.cl_ord_id == base)
        ]
        for order in found:
            self._end(order, e.OrderStatus.CANCELLED, "Canceled via API.")
        return found

    def amend(self, cl_ord_id: str, price: Decimal) -> VenueOrder | None:
        """Change a price; None: there was no open order of that name."""
        for order in self.orders.values():
            if order.cl_ord_id == cl_ord_id and order.status in LIVE:
                order.price = price
                self._execution(order, e.ExecutionKind.ORDER_STATE, 0)
                self._row(order)
                return order
        return None

    def match(self, order: VenueOrder, whole: bool = False) -> None:
        """Somebody trades with a resting order."""
        if order.status in LIVE:
            self._trade(order, order.leaves if whole else self._part(order))

    def person_trades(self, symbol: str, contracts: int) -> None:
        """A person takes from the book; reduce-only orders that became too big shrink."""
        person = VenueOrder(f"p{len(self.orders) + 1}", "", symbol, contracts, Decimal(100), False)
        self.orders[person.order_id] = person
        self.foreign[symbol] += contracts
        self._trade(person, abs(contracts))
        for order in list(self.orders.values()):
            if order.symbol == symbol and order.reduce_only and order.status in LIVE:
                self._cut(order, shown=True)

    def _cut(self, order: VenueOrder, shown: bool = False) -> None:
        """A reduce-only order never has more open than there is to reduce."""
        if not order.reduce_only:
            return
        open_most = max(0, -self.position[order.symbol] * order.side)
        if order.leaves <= open_most:
            return
        if open_most == 0:
            self._end(order, e.OrderStatus.CANCELLED, "Canceled: nothing to reduce")
            return
        order.contracts = order.side * (order.filled + open_most)
        if shown:
            self._row(order)

    def _part(self, order: VenueOrder) -> int:
        if self.rng.random() < 0.3:
            return order.leaves
        return self.rng.randint(1, order.leaves // self.lot) * self.lot

    def _trade(self, order: VenueOrder, contracts: int) -> None:
        order.filled += contracts
        done = order.filled == abs(order.contracts)
        order.status = e.OrderStatus.FILLED if done else e.OrderStatus.PARTLY_FILLED
        signed = order.side * contracts
        self.position[order.symbol] += signed
        self.positions[order.symbol].append((self.now_us, self.position[order.symbol]))
        self._execution(order, e.ExecutionKind.TRADE, signed)
        self._row(order)
        self.show("position", self.position_row(order.symbol, self.now_us))

    def _end(self, order: VenueOrder, status: e.OrderStatus, text: str) -> None:
        order.status, order.text = status, text
        self._row(order)

    # -- what it shows ---------------------------------------------------------------------------

    def row(self, order: VenueOrder) -> e.OrderSeen:
        """The order as it is now."""
        return e.OrderSeen(
            at_us=0,
            symbol=order.symbol,
            order_id=order.order_id,
            cl_ord_id=order.cl_ord_id,
            contracts=order.contracts,
            filled=order.filled,
            leaves=order.leaves,
            price=order.price,
            status=order.status,
            source=e.Source.STREAM,
            venue_us=self._us(),
            text=order.text,
        )

    def _row(self, order: VenueOrder) -> None:
        row = self.row(order)
        self.order_rows.append((self.now_us, row))
        self.show("order", row)

    def _execution(self, order: VenueOrder, kind: e.ExecutionKind, contracts: int) -> None:
        row = e.ExecutionSeen(
            at_us=0,
            exec_id=f"x{len(self.executions) + 1}",
            symbol=order.symbol,
            order_id=order.order_id,
            cl_ord_id=order.cl_ord_id,
            type=kind,
            contracts=contracts,
            price=order.price,
            order_filled=order.filled,
            fee_minor=abs(contracts),
            cost_minor=-contracts * 1_000,
            currency="XBt",
            liquidity="maker" if contracts else "",
            source=e.Source.STREAM,
            venue_us=self._us(),
        )
        self.executions.append((self.now_us, row))
        self.show("execution", row)

    # -- what a look-up finds, as things were at a moment ------------------------------------------

    def position_row(self, symbol: str, then_us: int) -> e.PositionSeen:
        contracts = next(n for us, n in reversed(self.positions[symbol]) if us <= then_us)
        return e.PositionSeen(
            at_us=0,
            symbol=symbol,
            contracts=contracts,
            source=e.Source.STREAM,
            venue_us=self._us(),
        )

    def orders_at(self, then_us: int, cl_ord_id: str = "") -> list[e.OrderSeen]:
        """The newest row of each order then; of one client order id, or of all that are open."""
        newest: dict[str, e.OrderSeen] = {}
        for us, row in self.order_rows:
            if us <= then_us and cl_ord_id in ("", row.cl_ord_id):
                newest[row.order_id] = row
        return [row for row in newest.values() if cl_ord_id or row.status in LIVE]

    def executions_at(
        self, then_us: int, cl_ord_id: str = "", since_us: int = 0
    ) -> list[e.ExecutionSeen]:
        return [
            row
            for us, row in self.executions
            if us <= then_us and row.venue_us >= since_us and cl_ord_id in ("", row.cl_ord_id)
        ]

    def own_open(self, symbol: str) -> list[VenueOrder]:
        """Every order of ours that rests on *symbol*."""
        return [
            order
            for order in self.orders.values()
            if order.symbol == symbol and order.cl_ord_id and order.status in LIVE
        ]
