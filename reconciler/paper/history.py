"""
What the market did before the venue opened, so that charts and look-backs have something to show.

Drawn from the seed, backwards from the first price that is quoted: hourly closes, then the minutes
of an hour when somebody asks for them. Counted from the opening minute and not by the calendar:
the same seed tells the same past at whatever time the venue is started.
"""

from __future__ import annotations

import random
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from .instruments import Instrument

HOURS = 5 * 24  # of past
MINUTE_MS = 60_000
_HOUR = 60  # minutes
_SWING = 60  # an hour moves up to this many hundredths of a percent
P_QUIET = 0.04  # chance that nothing trades in a minute


class Minute(NamedTuple):
    """One minute of one instrument; when nothing traded, all four prices are the close before."""

    open: Decimal  # the close of the minute before (protocol sheet, section 5)
    high: Decimal
    low: Decimal
    close: Decimal
    trades: int = 0
    volume: int = 0  # contracts
    turnover: int = 0  # minor units of the settlement currency
    last_size: int | None = None  # contracts; None: nothing traded
    home: Decimal = Decimal(0)  # homeNotional, never below zero
    foreign: Decimal = Decimal(0)
    # the best prices at its end: (bid, contracts, ask, contracts)
    quote: tuple[Decimal | None, int, Decimal | None, int] = (None, 0, None, 0)


class History:
    """The minutes before `opened_ms` of one instrument."""

    def __init__(self, inst: Instrument, seed: int, opened_ms: int) -> None:
        self.inst = inst
        self.seed = seed
        self.until_ms = opened_ms // MINUTE_MS * MINUTE_MS  # where the live minutes begin
        self.since_ms = self.until_ms - HOURS * _HOUR * MINUTE_MS
        self.anchor = inst.start_price  # the last close of the past
        self._warmed = 0  # hours

    def minute(self, end_ms: int) -> Minute | None:
        """The minute that ended at *end_ms*, None when it lies outside the past."""
        ago = (self.until_ms - end_ms) // MINUTE_MS
        if end_ms > self.until_ms or ago >= HOURS * _HOUR:
            return None
        ticks = max(2, int(self.anchor / self.inst.tick))
        hour = _minutes(self.inst, self.seed, ticks, ago // _HOUR)
        return hour[_HOUR - 1 - ago % _HOUR]

    def warm(self) -> None:
        """
        Draw one more hour of the past ahead of the first question.

        All of it takes a tenth of a second, and who asks for a chart must not keep others waiting.
        """
        if self._warmed < HOURS:
            self._warmed += 1
            self.minute(self.until_ms - (self._warmed * _HOUR - 1) * MINUTE_MS)


@lru_cache(maxsize=64)
def _closes(underlying: str, seed: int, anchor: int) -> tuple[int, ...]:
    """Ticks at the end of each hour, the latest first, and where the oldest of them began."""
    draw = random.Random(f"{seed}/{underlying}/past")  # contracts on one thing move together
    closes = [anchor]
    for _ in range(HOURS):
        closes.append(max(2, closes[-1] + closes[-1] * draw.randint(-_SWING, _SWING) // 10_000))
    return tuple(closes)


@lru_cache(maxsize=40 * HOURS)
def _minutes(inst: Instrument, seed: int, anchor: int, hour: int) -> tuple[Minute, ...]:
    """The sixty minutes of an hour, counted backwards from the opening; the oldest first."""
    closes = _closes(inst.underlying, seed, anchor)
    first, last = closes[hour + 1], closes[hour]
    draw = random.Random(f"{seed}/{inst.symbol}/past/{hour}")
    width = max(2, last // 2_000)  # ticks that a minute moves
    steps = [draw.randint(-width, width) for _ in range(_HOUR)]
    lead = last - first - sum(steps)  # what the steps miss, spread over the hour
    made: list[Minute] = []
    before, walked = first, first
    for number, step in enumerate(steps, 1):
        walked += step
        close = max(2, walked + lead * number // _HOUR)
        if number < _HOUR and draw.random() < P_QUIET:
            close = before
            made.append(_quiet(inst, draw, before))
        else:
            made.append(_busy(inst, draw, before, close, width))
        before = close
    return tuple(made)


def _quiet(inst: Instrument, draw: random.Random, close: int) -> Minute:
    price = inst.price(close)
    return Minute(price, price, price, price, quote=_quote(inst, draw, close))


def _busy(inst: Instrument, draw: random.Random, before: int, close: int, width: int) -> Minute:
    trades = draw.choice((1, 3, 20, 90, 150, 240))
    first = close if trades == 1 else max(2, before + draw.randint(-1, 1))
    spread = 0 if trades == 1 else width // 3
    high = max(first, close) + draw.randint(0, spread)
    low = max(1, min(first, close) - draw.randint(0, spread))
    last_size = inst.lot * max(1, inst.house_size * draw.randint(5, 120) // (100 * inst.lot))
    volume = last_size * trades
    middle = inst.price((high + low + close) // 3)
    home, foreign = inst.notional(volume, middle)
    return Minute(
        inst.price(before), inst.price(high), inst.price(low), inst.price(close), trades, volume,
        inst.value(volume, middle), last_size, abs(home), abs(foreign), _quote(inst, draw, close),
    )  # fmt: skip


def _quote(
    inst: Instrument, draw: random.Random, close: int
) -> tuple[Decimal | None, int, Decimal | None, int]:
    """A quote one tick wide around the close, which is its bid or its ask."""
    bid = max(1, close - draw.randint(0, 1))
    size = inst.lot * max(1, inst.house_size * draw.randint(40, 160) // (100 * inst.lot))
    return inst.price(bid), size, inst.price(bid + 1), size + inst.lot
