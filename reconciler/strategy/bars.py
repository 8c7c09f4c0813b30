"""
A bar: what was traded in a stretch of time. Pure; how bars come about is in `series`.

Bars are aligned to the epoch, so lengths that divide a day begin at midnight UTC. A bar holds the
trades of [start, end).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Literal

import msgspec

from reconciler.feed import Bucket, Rules

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
UNITS_US = {
    "s": SECOND_US, "m": 60 * SECOND_US, "h": 3_600 * SECOND_US, "d": DAY_US, "w": 7 * DAY_US
}  # fmt: skip
KEEP = 500  # closed bars of each length

_NAME = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_EXACT = Context(prec=28)


def length_us(name: str) -> int:
    """
    The length of bars named like ``1s``, ``15s``, ``1m``, ``4h``, ``1d``.

    Raises:
        ValueError: It is no such name.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"a bar is as long as a number and one of s, m, h, d, w: not {name!r}")
    return int(found[1]) * UNITS_US[found[2]]


def length_name(us: int) -> str:
    """The shortest name of a length: ``60s`` is ``1m``."""
    for unit in ("w", "d", "h", "m"):
        if us % UNITS_US[unit] == 0:
            return f"{us // UNITS_US[unit]}{unit}"
    return f"{us // SECOND_US}s"


class Bar(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    What was traded in [start, end).

    Attributes:
        contracts: Traded, without sign.
        turnover_minor: Their value in minor units of the settlement currency.
        last_us: Venue time of the newest trade up to its end; 0: not known.
        multiplier: As in `Rules`; 0: not known, and there is no `vwap`.
        complete: False where trades may be missing.
        revision: How often it was changed after it was closed.
    """

    symbol: str
    start_us: int
    length_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    contracts: int = 0
    trades: int = 0
    turnover_minor: int = 0
    last_us: int = 0
    multiplier: int = 0
    complete: bool = True
    revision: int = 0

    @property
    def end_us(self) -> int:
        """The first moment that is not of it."""
        return self.start_us + self.length_us

    @property
    def length(self) -> str:
        """Its length by name."""
        return length_name(self.length_us)

    @property
    def vwap_ratio(self) -> tuple[int, int] | None:
        """
        The volume-weighted average price, exactly, as numerator and denominator.

        Of contracts and turnover, as the venue's buckets have it: for inverse contracts that is the
        harmonic mean, for the values of whole lots are rounded to the minor unit.
        """
        if not self.turnover_minor or not self.multiplier:
            return None
        if self.multiplier < 0:
            return -self.multiplier * self.contracts, self.turnover_minor
        return self.turnover_minor, self.multiplier * self.contracts

    @property
    def vwap(self) -> Decimal | None:
        """The same as a decimal of 28 digits; None without trades."""
        ratio = self.vwap_ratio
        return None if ratio is None else _EXACT.divide(Decimal(ratio[0]), Decimal(ratio[1]))


class BarEvent(msgspec.Struct, frozen=True, gc=False):
    """
    A bar was opened, closed, or, after that, revised by a trade that came late.

    An opened bar may hold trades already: those that came in the grace of the bar before.
    """

    kind: Literal["open", "close", "revised"]
    bar: Bar


def value_minor(rules: Rules, price: Decimal, contracts: int) -> int:
    """The value of *contracts* at *price*; for inverse ones rounded lot by lot, as the venue."""
    if rules.multiplier > 0:
        return int(
            _EXACT.multiply(price, Decimal(rules.multiplier * contracts)).to_integral_value()
        )
    if price <= 0:
        return 0
    lots, rest = divmod(contracts, rules.lot)
    whole = _EXACT.divide(Decimal(-rules.multiplier * rules.lot), price).to_integral_value()
    part = _EXACT.divide(Decimal(-rules.multiplier * rest), price).to_integral_value()
    return int(whole) * lots + int(part)


class Covers:
    """Buckets of several sizes, to cover a stretch of time with."""

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self._by_start = {(bucket.start_us, bucket.length_us): bucket for bucket in buckets}
        self._sizes = sorted({length for _, length in self._by_start}, reverse=True)

    def fit(self, length: int) -> bool:
        """Whether bars of *length* can be made of them."""
        return bool(self._sizes) and length % self._sizes[-1] == 0

    def of(self, start_us: int, end_us: int) -> list[Bucket] | None:
        """The fewest buckets that together are [start, end); None if there is a hole."""
        found = []
        while start_us < end_us:
            for size in self._sizes:
                bucket = self._by_start.get((start_us, size))
                if bucket is not None and start_us + size <= end_us:
                    found.append(bucket)
                    start_us += size
                    break
            else:
                return None
        return found


def merged(group: list[Bucket], length: int, multiplier: int) -> Bar:
    """Buckets one after the other as one bar."""
    traded = [bucket for bucket in group if bucket.trades]
    close = group[-1].close
    return Bar(
        symbol=group[0].symbol,
        start_us=group[0].start_us,
        length_us=length,
        open=group[0].open_,
        high=max((bucket.high for bucket in traded), default=close),
        low=min((bucket.low for bucket in traded), default=close),
        close=close,
        contracts=sum(bucket.contracts for bucket in group),
        trades=sum(bucket.trades for bucket in group),
        turnover_minor=sum(bucket.turnover_minor for bucket in group),
        multiplier=multiplier,
    )
