"""
One order book with price-time priority. Pure: no clock, no I/O, no float.

Rule 1: a better price trades first; at one price, the order that came first.
Rule 2: a trade happens at the price of the resting order.
Rule 3: lowering a size keeps an order's place; a new price or a larger size loses it.
Rule 4: the book counts contracts and ticks. It knows no money, account rule or message.

Sides are +1 (buy) and -1 (sell); prices are integer ticks; sizes integer contracts.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

BUY = 1
SELL = -1


@dataclass(slots=True)
class Resting:
    """An order in the book."""

    order_id: str
    account: int
    side: int
    ticks: int
    leaves: int  # contracts still open


@dataclass(frozen=True, slots=True)
class Match:
    """Two orders met: the resting one and the taker traded *size* contracts at *ticks*."""

    maker_id: str
    maker_account: int
    ticks: int
    size: int
    maker_leaves: int  # of the resting order, afterwards


class Book:
    """Both sides of one instrument's market."""

    def __init__(self) -> None:
        # Per side: sorted distinct prices, and at each price the orders by arrival.
        self._prices: dict[int, list[int]] = {BUY: [], SELL: []}
        self._levels: dict[int, dict[int, dict[str, Resting]]] = {BUY: {}, SELL: {}}
        self._orders: dict[str, Resting] = {}
        self._sizes: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
        self.touched = False  # something changed since the flag was last cleared

    def best(self, side: int) -> int | None:
        """Best price of *side* in ticks, or None when that side is empty."""
        prices = self._prices[side]
        if not prices:
            return None
        return prices[-1] if side == BUY else prices[0]

    def size(self, side: int, ticks: int) -> int:
        """Contracts resting at one price."""
        return self._sizes[side].get(ticks, 0)

    def get(self, order_id: str) -> Resting | None:
        return self._orders.get(order_id)

    def orders(self) -> Iterator[Resting]:
        return iter(self._orders.values())

    def levels(self, side: int, depth: int | None = None) -> list[tuple[int, int]]:
        """(ticks, contracts) of *side*, best first, at most *depth* of them."""
        prices = self._prices[side]
        best_first = reversed(prices) if side == BUY else iter(prices)
        sizes = self._sizes[side]
        rows: list[tuple[int, int]] = []
        for ticks in best_first:
            if depth is not None and len(rows) >= depth:
                break
            rows.append((ticks, sizes[ticks]))
        return rows

    def queue(self, side: int, ticks: int) -> list[Resting]:
        """Orders at one price, first to trade first."""
        return list(self._levels[side].get(ticks, {}).values())

    def crosses(self, side: int, limit: int | None) -> bool:
        """Whether an order of *side* limited at *limit* would trade at once."""
        best = self.best(-side)
        return best is not None and (limit is None or side * (limit - best) >= 0)

    def available(self, side: int, limit: int | None, wanted: int) -> int:
        """Contracts that an order of *side* could take at once, counted up to *wanted*."""
        total = 0
        for ticks, size in self.levels(-side):
            if limit is not None and side * (limit - ticks) < 0:
                break
            total += size
            if total >= wanted:
                return wanted
        return total

    def next_match(self, side: int, limit: int | None, size: int) -> Match | None:
        """Trade with the first order in line, up to *size* contracts and no worse than *limit*."""
        if not self.crosses(side, limit):
            return None
        ticks = self.best(-side)
        assert ticks is not None
        maker = next(iter(self._levels[-side][ticks].values()))
        return self._hit(maker, min(size, maker.leaves))

    def hit(self, order_id: str, size: int) -> Match:
        """Trade *size* contracts of one resting order, whatever its place in the queue."""
        maker = self._orders[order_id]
        return self._hit(maker, min(size, maker.leaves))

    def rest(self, order: Resting) -> None:
        """Put *order* at the end of the queue at its price."""
        assert order.leaves > 0
        assert order.order_id not in self._orders
        levels = self._levels[order.side]
        level = levels.get(order.ticks)
        if level is None:
            level = levels[order.ticks] = {}
            insort(self._prices[order.side], order.ticks)
            self._sizes[order.side][order.ticks] = 0
        level[order.order_id] = order
        self._orders[order.order_id] = order
        self._sizes[order.side][order.ticks] += order.leaves
        self.touched = True

    def remove(self, order_id: str) -> int:
        """Take an order out; returns the contracts it still had open (0: it was not there)."""
        order = self._orders.pop(order_id, None)
        if order is None:
            return 0
        level = self._levels[order.side][order.ticks]
        del level[order_id]
        self._sizes[order.side][order.ticks] -= order.leaves
        self.touched = True
        if not level:
            self._drop_level(order.side, order.ticks)
        return order.leaves

    def shrink(self, order_id: str, leaves: int) -> None:
        """Lower an order's open size to *leaves* contracts; it keeps its place in the queue."""
        order = self._orders[order_id]
        assert 0 < leaves <= order.leaves
        self._sizes[order.side][order.ticks] -= order.leaves - leaves
        order.leaves = leaves
        self.touched = True

    def _hit(self, maker: Resting, traded: int) -> Match:
        left = maker.leaves - traded
        if left:
            self.shrink(maker.order_id, left)
        else:
            self.remove(maker.order_id)
            maker.leaves = 0
        return Match(maker.order_id, maker.account, maker.ticks, traded, left)

    def _drop_level(self, side: int, ticks: int) -> None:
        del self._levels[side][ticks]
        del self._sizes[side][ticks]
        prices = self._prices[side]
        del prices[bisect_left(prices, ticks)]
