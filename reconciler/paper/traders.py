"""
The other traders of a market: makers that quote at the touch, takers, and bursts of momentum.

They trade on the house's account, so what they do is in the books, in the public trades and in
the sum of all contracts like anybody's orders. One event costs one or two orders. The book's depth
and the slow moves of the price are not theirs: see `prices`.
"""

from __future__ import annotations

import random

from .exchange import Exchange
from .market import BUY, SELL
from .prices import Walk

P_RESIZE = 0.74  # a maker changes its size at the touch
P_INSIDE = 0.16  # a maker quotes inside the spread, or leaves from there
P_TAKE = 0.10  # a taker comes
P_BURST = 0.002  # chance an event that a burst begins
BURST_EVENTS = (20, 80)  # how many events a burst has
BURST_DRIFT = 6  # every so many of its events the price moves by a tick


class Traders:
    """The traders of one symbol."""

    def __init__(self, exchange: Exchange, walk: Walk, seed: int) -> None:
        self._exchange = exchange
        self._walk = walk
        self.symbol = walk.symbol
        self._draws = random.Random(f"{seed}/{walk.symbol}/traders")
        self._burst = 0  # events left of a burst
        self._burst_side = BUY

    def act(self, now_ms: int) -> None:
        """One event."""
        draws = self._draws
        if self._burst:
            self._burst -= 1
            if self._burst % BURST_DRIFT == 0:
                self._walk.drift(self._burst_side)
            if draws.random() < 0.5:
                self._take(self._burst_side, now_ms)
                return
        elif draws.random() < P_BURST:
            self._burst = draws.randint(*BURST_EVENTS)
            self._burst_side = draws.choice((BUY, SELL))
        one = draws.random()
        side = BUY if draws.random() < 0.5 else SELL
        if one < P_RESIZE:
            self._resize(side, now_ms)
        elif one < P_RESIZE + P_INSIDE:
            self._inside(side, now_ms)
        else:
            self._take(side, now_ms)

    def _resize(self, side: int, now_ms: int) -> None:
        """A house order at the touch has another size, and goes to the end of its queue."""
        best = self._exchange.markets[self.symbol].book.best(side)
        if best is not None and (side, best) in self._walk.house.orders:
            self._walk.house.rest(side, best, self._size(), now_ms)

    def _inside(self, side: int, now_ms: int) -> None:
        """Quote a tick better where the spread has room; where it has none, leave from there."""
        book = self._exchange.markets[self.symbol].book
        best, other = book.best(side), book.best(-side)
        if best is None or other is None:
            return
        if side * (other - best) > 1:
            self._walk.house.rest(side, best + side, self._size(), now_ms)
        elif side * (best - self._walk.touch(side)) > 0:
            self._walk.house.withdraw(side, best)

    def _take(self, side: int, now_ms: int) -> None:
        book = self._exchange.markets[self.symbol].book
        best = book.best(-side)
        if best is not None:
            size = self._size(int(self._draws.expovariate(1.0) * 40) + 1)
            self._exchange.house_take(self.symbol, side, size, best, now_ms)

    def _size(self, percent: int | None = None) -> int:
        """Contracts around the usual size of a house order, in whole lots, at least one."""
        inst = self._exchange.catalogue[self.symbol]
        if percent is None:
            percent = self._draws.randint(20, 200)
        return max(1, inst.house_size * percent // (100 * inst.lot)) * inst.lot
