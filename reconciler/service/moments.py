"""Moments and amounts as programs write them: ISO 8601 with a zone, and exact decimals."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from reconciler.errors import UsageError

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,12})?")


def iso(at_us: int) -> str:
    """Microseconds since the epoch as ISO 8601, UTC, to the millisecond."""
    seconds, rest = divmod(at_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:03d}Z"


def moment_us(text: str, name: str) -> int:
    """
    Microseconds since the epoch.

    Raises:
        UsageError: It is no moment with a zone: who says 12:00 has to say where.
    """
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError
        found = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{name} is {text[:40]!r}, which is no moment",
            next_step="Write it as 2026-11-01T12:00:00Z.",
        ) from None
    whole = int(found.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + found.microsecond


def decimal(text: str, name: str) -> Decimal:
    """
    An exact number.

    Raises:
        UsageError: It is none, or one with an exponent.
    """
    if not _DECIMAL.fullmatch(text):
        raise UsageError(
            f"{name} is {text[:40]!r}, which is no number", next_step="Write it as 2500 or 0.5."
        )
    return Decimal(text)
