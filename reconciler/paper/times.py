"""
Times: integer milliseconds inside, ISO 8601 UTC with milliseconds on the wire (section 3).

Two clocks, one notion of speed. *Wall* time is the computer's: it is what rows are stamped with and
what clients compare with theirs, so signatures, rate limits and the dead man's switch count in it.
*Market* time begins with it and runs `speed` times as fast: the walk, recordings, scenarios,
funding, settlement and the end of the day go by it. At speed 1 the two are equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """How market time runs against wall time; both in milliseconds since the epoch."""

    opened_ms: int  # when both were equal
    speed: Fraction = Fraction(1)

    def market_ms(self, wall_ms: int) -> int:
        """Market time at a moment of wall time."""
        return self.opened_ms + int((wall_ms - self.opened_ms) * self.speed)

    def wall_ms(self, market_ms: int) -> int:
        """The first moment of wall time at which it is *market_ms* in the market."""
        gone = (market_ms - self.opened_ms) / self.speed
        return self.opened_ms + -(-gone.numerator // gone.denominator)


@lru_cache(maxsize=4096)
def iso(at_ms: int) -> str:
    """``2026-05-20T11:00:00.000Z`` for milliseconds since the epoch."""
    seconds, rest = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=4096)
def _second(at_s: int) -> str:
    """Of the thousand times within a second all but the end is the same, and slow to make."""
    return f"{_EPOCH + timedelta(seconds=at_s):%Y-%m-%dT%H:%M:%S}"


def parse_iso(text: str) -> int:
    """
    Milliseconds since the epoch of an ISO 8601 time, or of a date alone; UTC when it names no zone.

    Raises:
        ValueError: it is neither.
    """
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def duration_ms(value: object) -> int | None:
    """Milliseconds of ``30`` (seconds), ``1.5``, ``"30s"``, ``"1m30s"`` or ``"500ms"``."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return int(value * 1000) if value >= 0 else None
    if not isinstance(value, str) or not value:
        return None
    parts = _PART.findall(value)
    if "".join(number + unit for number, unit in parts) != value:
        return None
    return int(sum(Decimal(number) * _UNITS[unit] for number, unit in parts))
