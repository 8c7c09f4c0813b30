"""EMA cross: long while the fast average of closes is above the slow one, short while below."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from reconciler.strategy.base import Needs, Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.strategy.bars import Bar

SCALE = 10**12  # averages are whole numbers of this part of a unit: the same on every machine


class Average:
    """An exponential moving average of *length* closes, in whole numbers."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._scaled: int | None = None

    def take(self, price: Decimal) -> None:
        """One more close."""
        scaled = int(price.scaleb(12))
        if self._scaled is None:
            self._scaled = scaled
        else:
            self._scaled += 2 * (scaled - self._scaled) // (self._length + 1)

    @property
    def value(self) -> Decimal:
        """The average so far; at least one close has been taken."""
        assert self._scaled is not None
        return Decimal(self._scaled).scaleb(-12)


class EmaCross(Strategy):
    """
    Two averages of the closes of bars.

    It has no opinion before it has seen as many bars as the slow average is long, and takes them
    from history, so that a restart finds the averages where they were. Where history or a late
    trade revises what it took, the averages begin anew with the bars as they are then.
    """

    fast: Annotated[int, Meta(ge=1, le=10_000)] = 12
    slow: Annotated[int, Meta(ge=2, le=10_000)] = 26
    strength: Annotated[Decimal, Meta(gt=0, le=1_000)] = Decimal(1)
    short: bool = True  # False: nothing, instead of short, while the fast one is below
    warm_up: Annotated[int, Meta(ge=0, le=50_000)] = 0  # bars of history; 0: four times slow

    def check(self) -> None:
        if not self.bar:
            raise ValueError('bar is missing: write bar = "15s"')
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast} must be below slow = {self.slow}")

    def needs(self) -> Needs:
        return Needs(look_back=self.warm_up or 4 * self.slow)

    def on_start(self) -> None:
        self._averages: dict[str, tuple[Average, Average]] = {}
        self._seen: dict[str, int] = {}
        self._last: dict[str, Bar | None] = {}
        self._revised: dict[str, int] = {}
        for symbol in self.symbols:
            self._begin(symbol, self.market[symbol].bars(self.bar, self.needs().look_back))
            self._tell(symbol)

    def on_bar_close(self, bar: Bar) -> None:
        bars = self._bars_to(bar)
        before = bars[-2] if len(bars) > 1 else None
        revised = self.market[bar.symbol].revised(self.bar)
        if before == self._last[bar.symbol] and revised == self._revised[bar.symbol]:
            self._take(bar)
        else:  # a gap was filled, or a trade came late: what was taken is not what was
            self._begin(bar.symbol, self._bars_to(bar, self.needs().look_back))
        self._tell(bar.symbol)

    def _bars_to(self, bar: Bar, count: int = 2) -> list[Bar]:
        """The closed bars up to *bar*, as they are now; the market may be some bars ahead."""
        market = self.market[bar.symbol]
        newest = market.previous_bar(self.bar)
        ahead = 0 if newest is None else max(newest.start_us - bar.start_us, 0) // bar.length_us
        bars = market.bars(self.bar, count + ahead)
        return [one for one in bars if one.start_us <= bar.start_us]

    def _begin(self, symbol: str, bars: Sequence[Bar]) -> None:
        self._averages[symbol] = Average(self.fast), Average(self.slow)
        self._seen[symbol], self._last[symbol] = 0, None
        self._revised[symbol] = self.market[symbol].revised(self.bar)
        for bar in bars:
            self._take(bar)

    def _take(self, bar: Bar) -> None:
        self._seen[bar.symbol] += 1
        self._last[bar.symbol] = bar
        for average in self._averages[bar.symbol]:
            average.take(bar.close)

    def _tell(self, symbol: str) -> None:
        if self._seen[symbol] < self.slow:
            return
        fast, slow = (average.value for average in self._averages[symbol])
        if fast == slow:
            return  # neither above nor below: what was said holds
        below = -self.strength if self.short else Decimal(0)
        self.signal(
            symbol,
            self.strength if fast > slow else below,
            f"EMA {self.fast} {fast:.2f} {'above' if fast > slow else 'below'} "
            f"{self.slow} {slow:.2f}",
        )
