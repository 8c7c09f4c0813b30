"""What every answer of the venue teaches besides its body: budget, clock, latency. In the loop."""

from __future__ import annotations

import re

from reconciler.core.events import AnyEvent

from .answers import RETRY_MAX_US, Reply, http_date_us, retry_after_us, said
from .budget import Budget
from .clock import AHEAD_US, VenueClock
from .rows import time_us

AUDIT_US = 45_000_000  # without an answer for so long, one is asked for,
UNSURE_US = 3_000_000  # or for so long, while the venue's time is not known well enough to trade
SURE_US = 1_000_000  # as the core has it
RETRY_US = 1_000_000  # after a 429 that names no time
BANNED = "rate_limited: the venue asks for five minutes or more, stop what else uses this key"

#: "This request has expired - `expires` is in the past. Current time: 1516534870"
_CURRENT_TIME = re.compile(r"This request has expired.*Current time: (\d{9,10})\b")


class Vitals:
    """Budget and clock, fed by answers."""

    def __init__(self) -> None:
        self.budget = Budget()
        self.clock = VenueClock()
        self.latency_us: int | None = None
        self.answered_us = 0  # when the last answer came

    def learn(
        self, reply: Reply, sent: int, sent_orders: int, sent_us: int, received_us: int
    ) -> None:
        """
        Take in an answer.

        Args:
            reply: The answer.
            sent: `Budget.sent` right after its request was written.
            sent_orders: Likewise.
            sent_us: When that was.
            received_us: When the answer was whole.
        """
        self.answered_us = received_us
        self.latency_us = received_us - sent_us
        self.budget.observe(reply.headers, received_us, sent, sent_orders)
        if reply.status == 429:
            wait_us = retry_after_us(reply.headers, received_us)
            why = BANNED if wait_us >= RETRY_MAX_US else "rate_limited"
            self.budget.block(received_us + max(wait_us, RETRY_US), why)
        dated_us = http_date_us(reply.headers.get("date", ""))
        if dated_us is not None:
            self.clock.dated(dated_us, sent_us, received_us)
        elif (told_us := _current_time_us(reply.status, said(reply))) is not None:
            # Cut or rounded, nobody says: true of both is that it is not a second off.
            self.clock.dated(told_us, sent_us, received_us, early_us=1_000_000)

    def welcomed(self, timestamp: str | None, now_us: int) -> None:
        """The stream's first words say what time it is: what we sign next must not be expired."""
        stamp_us = time_us({"timestamp": timestamp})
        if stamp_us:
            self.clock.stamped(stamp_us, now_us)

    def expired(self, status: int | None, text: str, now_us: int) -> None:
        """The stream refused a login as expired: its sentence says what time it is."""
        told_us = _current_time_us(status, text)
        if told_us is not None:
            self.clock.stamped(told_us - 1_000_000, now_us)

    def venue_us(self, now_us: int) -> int:
        """The venue's time, as well as we know it."""
        return now_us + self.clock.offset_us(now_us)

    def surely_us(self, now_us: int) -> int | None:
        """What the venue's time has reached for certain; None while nothing is known."""
        least_us = self.clock.least_us(now_us)
        return None if least_us is None else now_us + least_us

    def patience_us(self, now_us: int) -> int:
        """How long to go without an answer, before one is asked for: positions, and the time."""
        interval = self.clock.interval(now_us)
        sure = interval is not None and interval[1] - interval[0] <= 2 * (SURE_US - AHEAD_US)
        return AUDIT_US if sure else UNSURE_US

    def blocked(self, now_us: int) -> str:
        """Why nothing is asked for now; "" when that is not so. A resync waits for it, too."""
        wait_us = self.budget.blocked_until_us - now_us
        if wait_us <= 0:
            return ""
        return f"{self.budget.blocked_why} (for {-(-wait_us // 1_000_000)} s more)"

    def throttled(self, now_us: int) -> list[AnyEvent]:
        """That new orders must wait, when that is news."""
        throttled = self.budget.throttled(now_us)
        return [] if throttled is None else [throttled]

    def news(self, now_us: int) -> list[AnyEvent]:
        """Everything that changed enough to be told."""
        events = self.throttled(now_us)
        if (measured := self.clock.news(now_us)) is not None:
            events.append(measured)
        return events

    def health(self, now_us: int) -> dict[str, object]:
        """For people."""
        interval = self.clock.interval(now_us)
        return {
            "latency_ms": None if self.latency_us is None else self.latency_us / 1000,
            "budget": self.budget.health(now_us),
            "clock_offset_ms": None if interval is None else sum(interval) // 2000,
            "clock_error_ms": None if interval is None else (interval[1] - interval[0]) // 2000,
        }


def _current_time_us(status: int | None, text: str | None) -> int | None:
    """The venue's time in its sentence about an expired request, for want of another source."""
    found = _CURRENT_TIME.match(text or "") if status in (None, 400, 401) else None
    return None if found is None else int(found[1]) * 1_000_000
