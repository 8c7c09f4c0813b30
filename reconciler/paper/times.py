"""Times: integer milliseconds inside, ISO 8601 UTC with milliseconds on the wire (section 3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)
def iso(at_ms: int) -> str:
    """``2026-05-20T11:00:00.000Z`` for milliseconds since the epoch."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


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
