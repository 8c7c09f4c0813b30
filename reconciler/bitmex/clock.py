"""
The venue's clock, as an interval: venue time minus ours lies between a lower and an upper bound.

An answer with a `Date` header was dated between the moments when its request left and when it came
back; its date is cut to the second. So venue - ours is at least date - received and at most
date + 1 s - sent. A frame of the stream was stamped before it came: venue - ours is at least
stamp - received. The interval is what all of them leave; being kept short of memory, and widened
with age for drifting clocks, it follows one that is set. When nothing is left, one clock was set:
then only the newest word counts.

Pure; times come as arguments, in microseconds.
"""

from __future__ import annotations

from collections import deque

from reconciler.core.events import ClockMeasured

WINDOW_US = 120_000_000  # older words are forgotten
DRIFT_PER_S_US = 11_000  # how far two clocks may run apart in a second: one of them 1 % wrong
AHEAD_US = 200_000  # by so much the interval may widen before it is told again
NEWS_US = 50_000  # an interval that is narrower by less is not told
TELL_EVERY_US = 30_000_000
UNKNOWN_US = 3_600_000_000  # the error told once nothing is known any more

Bound = tuple[int, int]  # when, value


class VenueClock:
    """What is known of the offset of the venue's clock."""

    def __init__(self) -> None:
        # The best first. All of them widen alike, so what a newer one outdoes is of no more use.
        self._lower: deque[Bound] = deque()
        self._upper: deque[Bound] = deque()
        self._told: ClockMeasured | None = None
        self._found_us: int | None = None  # of which moment `_found` is; None: of none
        self._found: tuple[int, int] | None = None

    def dated(self, date_us: int, sent_us: int, received_us: int, early_us: int = 0) -> None:
        """
        An answer came with this `Date`.

        Args:
            date_us: Cut to the second, so it was later by less than that.
            sent_us: When its request left.
            received_us: When it came.
            early_us: By so much it may have been earlier, when it was not cut but rounded.
        """
        if received_us < sent_us:
            return
        self._add(received_us, date_us - early_us - received_us, date_us + 1_000_000 - sent_us)

    def stamped(self, stamp_us: int, received_us: int) -> None:
        """A frame came with this timestamp."""
        value = stamp_us - received_us
        if self._lower and received_us - self._lower[-1][0] < 1_000_000:
            if value <= self._lower[-1][1]:
                return  # one bound a second is enough
            self._lower.pop()
        self._add(received_us, value, None)

    def interval(self, now_us: int) -> tuple[int, int] | None:
        """Least and greatest offset, None while not both are known."""
        if now_us != self._found_us:  # every turn of the loop asks for the same moment thrice
            self._found_us, self._found = now_us, self._left(now_us)
        return self._found

    def _left(self, now_us: int) -> tuple[int, int] | None:
        """What all words leave of the interval."""
        least = self.least_us(now_us)
        if least is None or not self._upper:
            return None
        upper_us, greatest = self._upper[0]
        return least, greatest + _drift(now_us - upper_us)

    def least_us(self, now_us: int) -> int | None:
        """Venue time minus ours is at least this; None while nothing is known."""
        self._forget(now_us)
        if not self._lower:
            return None
        lower_us, least = self._lower[0]
        return least - _drift(now_us - lower_us)

    def offset_us(self, now_us: int) -> int:
        """
        Best guess of venue time minus ours; 0 when nothing was ever known.

        What was told last is old, or contradicted, but nearer to the truth than the wall clock.
        """
        interval = self.interval(now_us)
        if interval is not None:
            return sum(interval) // 2
        told_us = 0 if self._told is None else self._told.offset_us
        least_us = self.least_us(now_us)
        return told_us if least_us is None else max(told_us, least_us)

    def news(self, now_us: int) -> ClockMeasured | None:
        """
        The measurement, when the last one told is not true any more, much too wide, or old.

        What is told is wider than what is known: it has to hold until the next time. When all
        that was known is too old, that is told too, once, as an error of an hour.
        """
        interval, told = self.interval(now_us), self._told
        if interval is None:
            if told is None or told.error_us == UNKNOWN_US or now_us - told.at_us < TELL_EVERY_US:
                return None
            self._told = ClockMeasured(at_us=now_us, offset_us=told.offset_us, error_us=UNKNOWN_US)
            return self._told
        least, greatest = interval
        offset, error = (least + greatest) // 2, (greatest - least + 1) // 2
        if (
            told is not None
            and now_us - told.at_us < TELL_EVERY_US
            and told.offset_us - told.error_us <= least
            and greatest <= told.offset_us + told.error_us
            and told.error_us <= error + AHEAD_US + NEWS_US
        ):
            return None
        self._told = ClockMeasured(at_us=now_us, offset_us=offset, error_us=error + AHEAD_US)
        return self._told

    def _forget(self, now_us: int) -> None:
        for bounds in (self._lower, self._upper):
            while bounds and now_us - bounds[0][0] > WINDOW_US:
                bounds.popleft()

    def _add(self, at_us: int, least: int, greatest: int | None) -> None:
        lower, upper = self._lower, self._upper
        self._found_us = None
        while lower and lower[-1][1] - _drift(at_us - lower[-1][0]) <= least:
            lower.pop()
        lower.append((at_us, least))
        if greatest is not None:
            while upper and upper[-1][1] + _drift(at_us - upper[-1][0]) >= greatest:
                upper.pop()
            upper.append((at_us, greatest))
        interval = self._left(at_us)
        if interval is not None and interval[0] > interval[1]:
            lower.clear()
            upper.clear()
            lower.append((at_us, least))
            if greatest is not None:
                upper.append((at_us, greatest))


def _drift(age_us: int) -> int:
    return max(age_us, 0) * DRIFT_PER_S_US // 1_000_000
