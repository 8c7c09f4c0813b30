"""
One order book with price-time priority. Pure: no clock, no I/O, no float.

Rule 1: a better price trades first; at one price what is shown, by arrival, then what is hidden.
Rule 2: a trade happens at the price of the resting order.
Rule 3: lowering a size keeps an order's place; a new price or a larger size loses it.
Rule 4: an iceberg shows one slice at a time; each new slice goes to the end of the queue.
Rule 5: the book counts contracts and ticks. It knows no money, account rule or message.

Sides are +1 (buy) and -1 (sell); prices are integer ticks; sizes integer contracts.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Set
from dataclasses import dataclass, field

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
    display: int | None = None  # contracts shown at a time; 0: none, None: all
    shown: int = 0  # of `leaves`, those that the public book counts; kept by the book
    sweep: int = -1  # the last sweep that traded with it; kept by the book


@dataclass(slots=True)
class Level:
    """One price: the orders that show something, by arrival, and the hidden ones, by arrival."""

    lit: dict[str, Resting] = field(default_factory=dict)
    dark: dict[str, Resting] = field(default_factory=dict)
    shown: int = 0  # contracts

    @property
    def first(self) -> Resting:
        return next(iter(self.lit.values() if self.lit else self.dark.values()))

    @property
    def total(self) -> int:
        """Contracts, shown and hidden."""
        return sum(o.leaves for o in (*self.lit.values(), *self.dark.values()))


@dataclass(frozen=True, slots=True)
class Match:
    """Two orders met: the resting one and the taker traded *size* contracts at *ticks*."""

    maker_id: str
    maker_account: int
    ticks: int
    size: int
    maker_leaves: int  # of the resting order, afterwards
    hidden: bool = False  # contracts that were not shown traded: the maker pays as a taker


class Book:
    """Both sides of one instrument's market."""

    def __init__(self) -> None:
        # Per side: sorted distinct prices, and at each price the orders by arrival.
        self._prices: dict[int, list[int]] = {BUY: [], SELL: []}
        self._levels: dict[int, dict[int, Level]] = {BUY: {}, SELL: {}}
        self._orders: dict[str, Resting] = {}
        self._sweep = 0
        self.touched = False  # something changed since the flag was last cleared
        self.dirty: set[tuple[int, int]] = set()  # (side, ticks) whose shown size changed since

    def best(self, side: int) -> int | None:
        """Best price that *side* shows, in ticks, or None when it shows nothing."""
        levels = self._levels[side]
        for ticks in self._best_first(side):
            if levels[ticks].shown:
                return ticks
        return None

    def last(self, side: int) -> int | None:
        """Worst price that *side* shows, in ticks, or None when it shows nothing."""
        levels = self._levels[side]
        return next((ticks for ticks in self._worst_first(side) if levels[ticks].shown), None)

    def size(self, side: int, ticks: int) -> int:
        """Contracts shown at one price."""
        level = self._levels[side].get(ticks)
        return 0 if level is None else level.shown

    def get(self, order_id: str) -> Resting | None:
        return self._orders.get(order_id)

    def ids(self) -> Set[str]:
        """The ids of all orders, kept up to date."""
        return self._orders.keys()

    def orders(self) -> Iterator[Resting]:
        return iter(self._orders.values())

    def levels(self, side: int, depth: int | None = None) -> list[tuple[int, int]]:
        """(ticks, contracts) that *side* shows, best first, at most *depth* of them."""
        levels = self._levels[side]
        prices = self._prices[side]
        if depth is not None:
            prices = prices[max(0, len(prices) - depth) :] if side == BUY else prices[:depth]
        sizes = [levels[ticks].shown for ticks in prices]
        if 0 not in sizes:  # as a rule every level shows something
            rows = list(zip(prices, sizes, strict=True))
            return rows[::-1] if side == BUY else rows
        rows = []
        for ticks in self._best_first(side):
            if depth is not None and len(rows) >= depth:
                break
            shown = levels[ticks].shown
            if shown:
                rows.append((ticks, shown))
        return rows

    def queue(self, side: int, ticks: int) -> list[Resting]:
        """Orders at one price, first to trade first."""
        level = self._levels[side].get(ticks)
        return [] if level is None else [*level.lit.values(), *level.dark.values()]

    def queues(self) -> list[Resting]:
        """All orders, shown and hidden; those of one side and price as they would trade."""
        sides = ((side, ticks) for side in (BUY, SELL) for ticks in self._prices[side])
        return [order for side, ticks in sides for order in self.queue(side, ticks)]

    def touch(self, side: int) -> int | None:
        """Best price of *side*, shown or hidden: where a taker trades first."""
        prices = self._prices[side]
        if not prices:
            return None
        return prices[-1] if side == BUY else prices[0]

    def crosses(self, side: int, limit: int | None) -> bool:
        """Whether an order of *side* limited at *limit* would trade at once."""
        best = self.touch(-side)
        return best is not None and (limit is None or side * (limit - best) >= 0)

    def available(self, side: int, limit: int | None, wanted: int) -> int:
        """Contracts that an order of *side* could take at once, counted up to *wanted*."""
        total = 0
        levels = self._levels[-side]
        for ticks in self._best_first(-side):
            if limit is not None and side * (limit - ticks) < 0:
                break
            total += levels[ticks].total
            if total >= wanted:
                return wanted
        return total

    def begin_sweep(self) -> None:
        """A new taker comes: what it does to one iceberg is one transaction (`Match.hidden`)."""
        self._sweep += 1

    def next_match(self, side: int, limit: int | None, size: int) -> Match | None:
        """Trade with the first order in line, up to *size* contracts and no worse than *limit*."""
        if not self.crosses(side, limit):
            return None
        ticks = self.touch(-side)
        assert ticks is not None
        level = self._levels[-side][ticks]
        maker = level.first
        # An iceberg that this taker comes back to, or came to before, gives of its hidden part too.
        again = maker.leaves > maker.shown and size > level.shown
        hidden = not maker.shown or again or (maker.display is not None and self._came(maker))
        return self._hit(maker, min(size, maker.shown or maker.leaves), hidden)

    def hit(self, order_id: str, size: int) -> Match:
        """Trade *size* contracts of one resting order, whatever its place in the queue."""
        maker = self._orders[order_id]
        size = min(size, maker.leaves)
        return self._hit(maker, size, size > maker.shown)

    def rest(self, order: Resting) -> None:
        """Put *order* at the end of the queue at its price."""
        assert order.leaves > 0
        assert order.order_id not in self._orders
        levels = self._levels[order.side]
        level = levels.get(order.ticks)
        if level is None:
            level = levels[order.ticks] = Level()
            insort(self._prices[order.side], order.ticks)
        self._orders[order.order_id] = order
        self._show(order, level)
        self._touch(order)

    def remove(self, order_id: str) -> int:
        """Take an order out; returns the contracts it still had open (0: it was not there)."""
        order = self._orders.pop(order_id, None)
        if order is None:
            return 0
        level = self._levels[order.side][order.ticks]
        (level.lit if order.shown else level.dark).pop(order_id)
        level.shown -= order.shown
        self._touch(order)
        if not level.lit and not level.dark:
            self._drop_level(order.side, order.ticks)
        return order.leaves

    def shrink(self, order_id: str, leaves: int) -> None:
        """Lower an order's open size to *leaves* contracts; it keeps its place in the queue."""
        order = self._orders[order_id]
        assert 0 < leaves <= order.leaves
        order.leaves = leaves
        if order.shown > leaves:
            self._levels[order.side][order.ticks].shown -= order.shown - leaves
            order.shown = leaves
        self._touch(order)

    def settled(self) -> None:
        """Whoever looks at what changed has looked."""
        self.touched = False
        self.dirty.clear()

    def _touch(self, order: Resting) -> None:
        self.touched = True
        self.dirty.add((order.side, order.ticks))

    def _best_first(self, side: int) -> Iterator[int]:
        prices = self._prices[side]
        return reversed(prices) if side == BUY else iter(prices)

    def _worst_first(self, side: int) -> Iterator[int]:
        prices = self._prices[side]
        return iter(prices) if side == BUY else reversed(prices)

    def _came(self, maker: Resting) -> bool:
        return maker.sweep == self._sweep

    def _show(self, order: Resting, level: Level) -> None:
        """Show the order's next slice, at the end of the queue; a hidden order shows none."""
        order.shown = order.leaves if order.display is None else min(order.display, order.leaves)
        (level.lit if order.shown else level.dark)[order.order_id] = order
        level.shown += order.shown

    def _hit(self, maker: Resting, traded: int, hidden: bool) -> Match:
        left = maker.leaves - traded
        maker.sweep = self._sweep
        if not left:
            self.remove(maker.order_id)
            maker.leaves = 0
        elif not maker.shown:
            maker.leaves = left
        else:
            level = self._levels[maker.side][maker.ticks]
            level.shown -= min(traded, maker.shown)
            maker.leaves, maker.shown = left, max(0, maker.shown - traded)
            if not maker.shown:
                del level.lit[maker.order_id]
                self._show(maker, level)
        self._touch(maker)
        return Match(maker.order_id, maker.account, maker.ticks, traded, left, hidden)

    def _drop_level(self, side: int, ticks: int) -> None:
        del self._levels[side][ticks]
        prices = self._prices[side]
        del prices[bisect_left(prices, ticks)]
