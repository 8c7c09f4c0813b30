"""
Rate limits as token buckets, refilled continuously (protocol sheet, section 12.1).

120 requests a minute a signed account, 30 a minute for unsigned requests of an address, and a
second bucket of 10 a second on the order routes.
"""

from __future__ import annotations

from . import errors


class Bucket:
    """A token bucket. Times are milliseconds; tokens are fractions of a request."""

    def __init__(self, size: int, window_ms: int, now_ms: int) -> None:
        self.size = size
        self._per_ms = size / window_ms
        self._tokens = float(size)
        self._at_ms = now_ms

    def refill(self, now_ms: int) -> None:
        elapsed = max(0, now_ms - self._at_ms)
        self._tokens = min(float(self.size), self._tokens + elapsed * self._per_ms)
        self._at_ms = now_ms

    @property
    def remaining(self) -> int:
        return int(self._tokens)

    def take(self) -> None:
        self._tokens -= 1

    def wait_ms(self) -> float:
        """Milliseconds until a token is there."""
        return max(0.0, (1 - self._tokens) / self._per_ms)

    def full_in_ms(self) -> float:
        return (self.size - self._tokens) / self._per_ms


class Limits:
    """The buckets of every account and address."""

    PER_MINUTE = 120
    PER_MINUTE_UNSIGNED = 30
    PER_SECOND = 10

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._minute: dict[str, Bucket] = {}
        self._second: dict[str, Bucket] = {}

    def admit(self, who: str, *, signed: bool, burst: bool, now_ms: int) -> dict[str, str]:
        """
        Count a request of *who*; returns the rate-limit headers of its answer.

        Raises:
            Refusal: 429 with ``retry-after``, headers included.
        """
        size = self.PER_MINUTE if signed else self.PER_MINUTE_UNSIGNED
        minute = self._bucket(self._minute, who, size, 60_000, now_ms)
        buckets = [minute]
        second = None
        if burst:
            second = self._bucket(self._second, who, self.PER_SECOND, 1_000, now_ms)
            buckets.append(second)
        wait_ms = max(bucket.wait_ms() for bucket in buckets)
        if self.enabled:
            if wait_ms > 0:
                refusal = errors.rate_limited(max(1, -(-int(wait_ms) // 1000)))
                refusal.headers |= self._headers(minute, second, now_ms)
                refusal.headers["x-ratelimit-remaining"] = "0"
                raise refusal
            for bucket in buckets:
                bucket.take()
        return self._headers(minute, second, now_ms)

    @staticmethod
    def _bucket(
        group: dict[str, Bucket], who: str, size: int, window_ms: int, now_ms: int
    ) -> Bucket:
        bucket = group.get(who)
        if bucket is None:
            bucket = group[who] = Bucket(size, window_ms, now_ms)
        bucket.refill(now_ms)
        return bucket

    @staticmethod
    def _headers(minute: Bucket, second: Bucket | None, now_ms: int) -> dict[str, str]:
        headers = {
            "x-ratelimit-limit": str(minute.size),
            "x-ratelimit-remaining": str(minute.remaining),
            "x-ratelimit-reset": str(int((now_ms + minute.full_in_ms()) / 1000) + 1),
        }
        if second is not None:
            headers["x-ratelimit-limit-1s"] = str(second.size)
            headers["x-ratelimit-remaining-1s"] = str(second.remaining)
        return headers
