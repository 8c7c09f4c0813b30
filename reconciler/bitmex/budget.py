"""
The request budget: two buckets that the venue refills, as its headers tell.

Cancels and heartbeats go first: a part of each bucket is kept for them, and they are never held
back. Then look-ups, which wait while a bucket is down to that reserve. New orders and amends come
last: they leave another part to the look-ups, or many symbols that trade would starve the resync
that tells them where they stand. After a 429 everything but cancels and heartbeats waits until the
moment that the venue named.

Pure; times come as arguments. A header tells of the moment when its request arrived: what was
sent since is taken off.

Source: https://www.bitmex.com/app/restAPI, "Request Rate Limits".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.core.events import Throttled

MINUTE_RESERVE = 20  # for cancels and heartbeats
SECOND_RESERVE = 2
READ_RESERVE = 10  # for look-ups besides: two resyncs
MOST_KEPT = 5  # no reserve is more than a fifth of its bucket, however small the venue makes that
ONE = 1_000_000


@dataclass(slots=True)
class Bucket:
    """Requests that may be sent now, refilled continuously; counted in millionths."""

    limit: int  # requests
    period_us: int
    reserve: int  # requests kept from look-ups and new orders
    for_reads: int = 0  # requests kept from new orders besides
    left: int = 0  # millionths of a request
    at_us: int = 0

    def __post_init__(self) -> None:
        self.left = self.limit * ONE

    def refill(self, now_us: int) -> None:
        """Let the time since the last call count."""
        full = self.limit * ONE
        passed_us = now_us - self.at_us
        if passed_us > 0:
            self.at_us = now_us
            if self.left < full:
                self.left += passed_us * full // self.period_us
        if self.left > full:
            self.left = full

    def spend(self, now_us: int) -> None:
        """A request is being written."""
        self.refill(now_us)
        self.left = max(self.left - ONE, 0)

    def observe(self, left: int, now_us: int) -> None:
        """The venue says how many requests are left."""
        self.refill(now_us)
        self.left = min(max(left, 0), self.limit) * ONE

    def _needed(self, order: bool) -> int:
        """What has to be there for one request more, in millionths."""
        kept = min(self.reserve, self.limit // MOST_KEPT)
        if order:
            kept += min(self.for_reads, self.limit // MOST_KEPT)
        return (kept + 1) * ONE

    @property
    def low(self) -> bool:
        """Whether the next new order would take from what is kept."""
        return self.left < self._needed(order=True)

    def free_us(self, *, order: bool) -> int:
        """When, after `at_us`, one request above what is kept is there."""
        missing = self._needed(order) - self.left
        if missing <= 0:
            return self.at_us
        return self.at_us - (-missing * self.period_us // (self.limit * ONE))


class Budget:
    """What we may still send, as far as the venue told us."""

    def __init__(self) -> None:
        self.minute = Bucket(120, 60_000_000, MINUTE_RESERVE, READ_RESERVE)
        self.second = Bucket(10, 1_000_000, SECOND_RESERVE)
        self.sent = 0  # requests ever, all routes
        self.sent_orders = 0  # those on the routes with the second bucket
        self.blocked_until_us = 0  # by a 429
        self.blocked_why = ""
        self._told_until_us = 0

    def spend(self, now_us: int, *, order: bool) -> None:
        """A request is being written; *order* on the routes that have the second bucket too."""
        self.sent += 1
        self.minute.spend(now_us)
        if order:
            self.sent_orders += 1
            self.second.spend(now_us)

    @property
    def low(self) -> bool:
        """Whether the next new order may have to wait."""
        return self.minute.low or self.second.low or self.blocked_until_us > self.minute.at_us

    def free_us(self, now_us: int, *, order: bool) -> int:
        """The moment from which a request that is no cancel may be sent; *now_us* if at once."""
        self.minute.refill(now_us)
        until = max(now_us, self.minute.free_us(order=order), self.blocked_until_us)
        if order:
            self.second.refill(now_us)
            until = max(until, self.second.free_us(order=True))
        return until

    def observe(self, headers: Mapping[str, str], now_us: int, sent: int, sent_orders: int) -> None:
        """
        Believe the headers of an answer.

        Args:
            headers: Of the answer, names in lower case. Absent or odd ones change nothing.
            now_us: Now.
            sent: Value of `sent` right after that request was written.
            sent_orders: Likewise.
        """
        limit = _number(headers.get("x-ratelimit-limit"))
        if limit:
            self.minute.limit = limit
        left = _number(headers.get("x-ratelimit-remaining"))
        if left is not None:
            self.minute.observe(left - (self.sent - sent), now_us)
        limit = _number(headers.get("x-ratelimit-limit-1s"))
        if limit:
            self.second.limit = limit
        left = _number(headers.get("x-ratelimit-remaining-1s"))
        if left is not None:
            self.second.observe(left - (self.sent_orders - sent_orders), now_us)

    def block(self, until_us: int, why: str = "rate_limited") -> None:
        """The venue said 429: nothing but cancels and heartbeats before *until_us*."""
        if until_us > self.blocked_until_us:
            self.blocked_until_us, self.blocked_why = until_us, why

    def throttled(self, now_us: int) -> Throttled | None:
        """The event that new orders must wait, once for each time, and again when it is longer."""
        until = self.free_us(now_us, order=True)
        if until <= now_us or until <= self._told_until_us + 100_000:
            return None
        self._told_until_us = until
        reason = self.blocked_why if until == self.blocked_until_us else "reserve"
        return Throttled(at_us=now_us, until_us=until, reason=reason)

    def health(self, now_us: int) -> dict[str, list[int]]:
        """Left and limit of each bucket, for people."""
        self.minute.refill(now_us)
        self.second.refill(now_us)
        return {
            "per_minute": [self.minute.left // ONE, self.minute.limit],
            "per_second": [self.second.left // ONE, self.second.limit],
        }


def _number(value: str | None) -> int | None:
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 6:
        return None
    return int(value)
