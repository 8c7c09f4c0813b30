"""
Words of the command line as values, strictly: what is not exactly right is refused by name.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from reconciler.errors import UsageError

DAY_US = 86_400_000_000
LAST_US = 253_402_300_799_000_000  # the end of the year 9999
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,6})?)?Z?)?"
)


def contracts(text: str) -> int:
    """
    A signed whole number in ASCII digits, and nothing else: no exponent, point, blank or comma.

    Raises:
        UsageError: It is none; the message shows what was given.
    """
    plain = text.removeprefix("\x00")
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", plain):
        shown = plain if len(plain) <= 40 else f"{plain[:37]}..."
        raise UsageError(
            f"{shown!r} is not a whole number of contracts",
            next_step="Write it in digits with or without a sign: 3000, -300 or 0.",
            value=shown,
        )
    return int(plain)


def seconds(text: str) -> int:
    """
    A duration such as ``90s``, ``4h`` or ``1h30m``.

    Raises:
        UsageError: It is none, or nothing.
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(
            f"{text[:40]!r} is not a duration", next_step="Write it as 90s, 5m, 4h or 1d."
        )
    return sum(int(number) * UNITS_S[unit] for number, unit in parts)


def moment_us(
    text: str,
    last_start_us: Callable[[], int | None] = lambda: None,
    now_us: int | None = None,
) -> int:
    """
    A moment that was, in microseconds since the epoch: ``2h`` ago, a date, a date and time, a word,
    or ``14:00Z`` today or else yesterday.

    Args:
        text: Of the user.
        last_start_us: When the newest run of the service began.
        now_us: The time, if it is not that of the clock.

    Raises:
        UsageError: It is none of these.
    """
    now = time.time_ns() // 1000 if now_us is None else now_us
    at_us = _today_us(text, now)
    if at_us is not None:
        return at_us if at_us <= now else at_us - DAY_US
    if text == "today":
        return now - now % 86_400_000_000
    if text == "last-start":
        return last_start_us() or 0
    if _DURATION.match(text):
        return max(now - seconds(text) * 1_000_000, 0)  # before 1970 nothing was written
    match = _MOMENT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        numbers = [int(part or 0) for part in match.groups()]
        return int(datetime(*numbers, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type,misc]
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text[:40]!r} is not a time",
            next_step="Write 2h, 1d, 14:00Z, 2026-11-01, 2026-11-01T12:00Z, today or last-start.",
        ) from None


def until(text: str, now_us: int | None = None) -> str:
    """
    A moment to come, as ISO 8601: in ``30m``, at ``14:00Z`` today or else tomorrow, or as it is.

    Raises:
        UsageError: It is none of these.
    """
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    if _DURATION.match(text):
        last_us = now_us + seconds(text) * 1_000_000 + 999_999
        if last_us > LAST_US:
            raise UsageError(f"{text[:40]!r} is not a moment to come: no date is so far away")
        return iso(last_us)
    at_us = _today_us(text, now_us)
    if at_us is not None:
        return iso(at_us if at_us > now_us else at_us + DAY_US)
    match = _MOMENT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        numbers = [int(part or 0) for part in match.groups()]
        found = datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type,misc]
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text[:40]!r} is not a moment to come",
            next_step="Write 30m, 4h, 14:00Z, 2026-11-01 or 2026-11-01T12:00Z, in UTC.",
        ) from None
    return f"{found:%Y-%m-%dT%H:%M:%S}Z"


def _today_us(text: str, now_us: int) -> int | None:
    """A time of this day, as ``14:00Z``; None if it is none."""
    clock = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?Z", text)
    if clock is None:
        return None
    hours, minutes, rest = (int(part or 0) for part in clock.groups())
    return now_us - now_us % DAY_US + (hours * 3_600 + minutes * 60 + rest) * 1_000_000


def iso(at_us: int) -> str:
    """A moment as text, in whole seconds."""
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%S}Z"


def iso_us(text: str) -> int:
    """Microseconds since the epoch of a time as the views write it."""
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1_000) * 1_000
