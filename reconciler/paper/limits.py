"""
Rate limits as token buckets, refilled continuously (protocol sheet, section 12.1).

120 requests a minute a signed account, 30 a minute for unsigned requests of an address, and a
second bucket of 10 a second on the order routes. Who ignores 429s, or makes one mistake after the
other, may be banned.
"""

from __future__ import annotations

from collections import deque

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


class Bans:
    """
    Addresses that are turned away with 403: for an hour, and the next time for a week.

    How many refusals BitMEX takes is not published [unsure]: here thirty 429s in ten seconds, which
    nobody gets who waits as told, or 120 refusals of any kind in a minute.
    """

    IGNORED = (30, 10_000)  # 429s, ms
    MISTAKES = (120, 60_000)  # refusals with 4xx or 5xx, ms
    FIRST_MS = 3_600_000
    AGAIN_MS = 7 * 86_400_000

    def __init__(self) -> None:
        self._until: dict[str, int] = {}
        self._seen: dict[tuple[str, bool], deque[int]] = {}

    def check(self, address: str, now_ms: int) -> None:
        """
        Turn a banned address away.

        Raises:
            Refusal: 403.
        """
        if now_ms < self._until.get(address, 0):
            raise errors.forbidden()

    def enough(self, address: str, status: int, now_ms: int) -> bool:
        """
        A request of *address* was refused with *status*: whether these are too many now.

        They are counted from zero again when they are.
        """
        kinds = [(False, self.MISTAKES)] + ([(True, self.IGNORED)] if status == 429 else [])
        for ignored, (most, window_ms) in kinds:
            seen = self._seen.setdefault((address, ignored), deque(maxlen=most))
            seen.append(now_ms)
            if len(seen) == most and now_ms - seen[0] < window_ms:
                for kind in (False, True):
                    self._seen.pop((address, kind), None)
                return True
        return False

    def ban(self, address: str, now_ms: int) -> None:
        """For an hour; who was banned within the week, for a week."""
        former = self._until.get(address)
        recent = former is not None and now_ms - former < self.AGAIN_MS
        self._until[address] = now_ms + (self.AGAIN_MS if recent else self.FIRST_MS)
