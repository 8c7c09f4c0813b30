"""
Where prices come from: a seeded random walk, or a path that is given, with a book around it.

Every symbol has random streams of its own, named by seed and symbol: the same seed gives the same
draws. The house quotes a ladder of orders around the price, and house takers hit the touch, so an
order that rests at the best price is filled within seconds.
"""

from __future__ import annotations

import random
from collections.abc import Set
from dataclasses import dataclass, field
from decimal import Decimal

from .exchange import Exchange
from .market import BUY, SELL
from .paths import Path

STEP_MS = 100  # of market time
LADDER = 40  # price levels a side
FAR_LEVELS = 5  # deep orders a side, so that a market order of any honest size trades

P_MOVE = 0.08  # chance a step that the price moves
P_REFRESH = 0.3  # chance a step that one level of the ladder changes size
P_TAKE = 0.18  # chance a step that a house taker comes
P_SWEEP = 0.03  # of those, chance of a large one


@dataclass(slots=True)
class House:
    """The house's resting orders in one symbol: at most one a price and side."""

    exchange: Exchange
    symbol: str
    orders: dict[tuple[int, int], str] = field(default_factory=dict)  # (side, ticks) -> id

    def quote(self, wanted: dict[tuple[int, int], int], now_ms: int) -> None:
        """Make the house's orders those of *wanted*: (side, ticks) -> contracts."""
        resting = self.exchange.markets[self.symbol].book.ids()
        missing = {
            key: size for key, size in wanted.items() if self.orders.get(key, "") not in resting
        }
        self.renew(wanted.keys(), missing, now_ms)

    def renew(
        self, kept: Set[tuple[int, int]], missing: dict[tuple[int, int], int], now_ms: int
    ) -> None:
        """
        Leave no order but at *kept*, then place those that are *missing*: (side, ticks) -> size.

        Orders that fit stay and keep their place. New ones may trade: a price that walks through a
        resting order fills it.
        """
        for side, ticks in [key for key in self.orders if key not in kept]:
            self.withdraw(side, ticks)
        for (side, ticks), size in missing.items():
            self.rest(side, ticks, size, now_ms)

    def rest(self, side: int, ticks: int, size: int, now_ms: int) -> None:
        """Place one house order, in place of the one at that price if there is one."""
        former = self.orders.pop((side, ticks), None)
        if former is not None:
            self.exchange.markets[self.symbol].book.remove(former)
        order_id = self.exchange.house_rest(self.symbol, side, ticks, size, now_ms)
        if order_id:
            self.orders[side, ticks] = order_id

    def withdraw(self, side: int, ticks: int) -> None:
        """Take the house order at a price out of the market."""
        order_id = self.orders.pop((side, ticks), None)
        if order_id is not None:
            self.exchange.markets[self.symbol].book.remove(order_id)


class Walk:
    """
    One symbol's price, and the market made around it.

    The price goes along *path*, and where that ends, or from the start without one, at random.
    """

    def __init__(
        self, exchange: Exchange, symbol: str, seed: int, path: Path | None = None
    ) -> None:
        self.exchange = exchange
        self.symbol = symbol
        self._path = path
        self.house = House(exchange, symbol)
        self._steps = random.Random(f"{seed}/{symbol}/walk")
        self._sizes = random.Random(f"{seed}/{symbol}/sizes")
        self._takers = random.Random(f"{seed}/{symbol}/takers")
        inst = exchange.catalogue[symbol]
        start = inst.start_price if path is None else path.start
        self._tick = inst.tick  # that `bid` counts
        self.bid = max(2, int(start / inst.tick))  # ticks of the best house bid
        self.spread = 1  # ticks
        self._ladder_at: tuple[int, int, Decimal] | None = None
        self._ladder: list[tuple[int, tuple[int, int]]] = []  # (level, (side, ticks)) there
        self._on_ladder: set[tuple[int, int]] = set()

    def open(self, now_ms: int) -> None:
        """Quote the first book."""
        self._quote(now_ms)

    def step(self, gone_ms: int, now_ms: int) -> None:
        """
        One step: perhaps a move, perhaps a taker, and the book made good.

        Args:
            gone_ms: Market time since the start.
            now_ms: Wall time.
        """
        self._retick()
        given = None if self._path is None else self._path.at(gone_ms)
        if given is not None:
            self.bid = max(2, int(given / self._tick))
        elif self._steps.random() < P_MOVE:
            self.drift(self._steps.choice((-2, -1, -1, 1, 1, 2)))
            self.spread = self._steps.choice((1, 1, 1, 2))
        if self._takers.random() < P_TAKE:
            self._take(now_ms)
        if self._sizes.random() < P_REFRESH:
            self._refresh(now_ms)
        self._quote(now_ms)

    def drift(self, ticks: int) -> None:
        """Move the price by some ticks; the book follows at the next step."""
        self.bid = max(2, self.bid + ticks)

    def touch(self, side: int) -> int:
        """Where the ladder of a side begins."""
        return self._ticks(side, 0)

    def _retick(self) -> None:
        """Count in the instrument's tick of today."""
        tick = self.exchange.catalogue[self.symbol].tick
        if tick != self._tick:
            self.bid = max(2, int(self.bid * self._tick / tick))
            self._tick = tick

    def move_to(self, price: Decimal, now_ms: int) -> None:
        """Recentre the book so that *price* is the best bid; crossed resting orders fill."""
        self._retick()
        inst = self.exchange.catalogue[self.symbol]
        self.bid = max(2, int(price / inst.tick))
        self.spread = 1
        self.house.quote({}, now_ms)
        book = self.exchange.markets[self.symbol].book
        for side, limit in ((SELL, self.bid + 1), (BUY, self.bid)):
            crossed = book.available(side, limit, 10**15)
            self.exchange.house_take(self.symbol, side, crossed, limit, now_ms)
        self._quote(now_ms)

    def _take(self, now_ms: int) -> None:
        """A house taker: its size is drawn around the size of a touch order, rarely far larger."""
        side = self._takers.choice((BUY, SELL))
        percent = 800 if self._takers.random() < P_SWEEP else 80
        size = self._contracts(int(self._takers.expovariate(1.0) * percent))
        book = self.exchange.markets[self.symbol].book
        best = book.best(-side)
        if best is None:
            return
        self.exchange.house_take(self.symbol, side, size, best + side * 3, now_ms)

    def _refresh(self, now_ms: int) -> None:
        """Renew one near level with another size; the new order goes to the end of its queue."""
        side = self._sizes.choice((BUY, SELL))
        level = self._sizes.randrange(0, 8)
        ticks = self._ticks(side, level)
        size = self._contracts(self._percent(level))
        if (side, ticks) in self.house.orders:
            self.house.rest(side, ticks, size, now_ms)

    def _quote(self, now_ms: int) -> None:
        """Make the book good: what is gone of the ladder is renewed, what is not of it goes."""
        here = (self.bid, self.spread, self._tick)
        if here != self._ladder_at:
            self._ladder_at = here
            self._ladder = [
                (level, (side, ticks))
                for side in (BUY, SELL)
                for level in range(LADDER + FAR_LEVELS)
                if (ticks := self._ticks(side, level)) > 0
            ]
            self._on_ladder = {key for _, key in self._ladder}
        house = self.house
        find = house.orders.get
        resting = self.exchange.markets[self.symbol].book.ids()
        missing = {
            key: self._contracts(self._percent(level))
            for level, key in self._ladder
            if find(key, "") not in resting
        }
        if missing or len(house.orders) != len(self._on_ladder):
            house.renew(self._on_ladder, missing, now_ms)

    def _ticks(self, side: int, level: int) -> int:
        """Price of a level of the ladder: close together at the touch, wider away from it."""
        touch = self.bid if side == BUY else self.bid + self.spread
        if level < LADDER:
            return touch - side * (level + level * level // 16)
        away = self.bid * (level - LADDER + 2) // 100  # 2 % .. 6 % away
        ticks = touch - side * away
        return ticks - ticks % 200 if ticks > 10_000 else ticks  # on round prices: they rarely move

    def _percent(self, level: int) -> int:
        """Size of a level in percent of `house_size`: drawn, and larger away from the touch."""
        if level >= LADDER:
            return 20_000
        return self._sizes.randint(40, 160) * (4 + level) // 4

    def _contracts(self, percent: int) -> int:
        """A size around `house_size` contracts, in whole lots, at least one."""
        inst = self.exchange.catalogue[self.symbol]
        return max(1, inst.house_size * percent // (100 * inst.lot)) * inst.lot
