"""
Time, and what is due: a heap of calls in the order in which they happen.

``now_us`` is the time of the world, which nobody in it can read. The service reads its own clock,
which may be set wrong and run fast or slow; the venue reads another.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

SECOND = 1_000_000
START_US = 1_790_000_000 * SECOND


class Agenda:
    """Calls and when they are due. Equal times are kept in the order of asking."""

    def __init__(self, starts_us: int = 0) -> None:
        self.now_us = START_US + starts_us
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def later(self, delay_us: int, call: Callable[[], None]) -> None:
        """Have *call* called after a while."""
        heapq.heappush(self.heap, (self.now_us + delay_us, next(self._numbers), call))

    def due_us(self) -> int:
        """When the next call is due; far away when there is none."""
        return self.heap[0][0] if self.heap else 2**62

    def next(self) -> None:
        """Move on to the next call, and call it."""
        at_us, _, call = heapq.heappop(self.heap)
        if at_us > self.now_us:
            self.now_us = at_us
        call()


class Clock:
    """A clock that somebody set wrong and that runs a little fast or slow."""

    def __init__(self, agenda: Agenda, ahead_us: int = 0, drift_ppm: int = 0) -> None:
        self._agenda = agenda
        self._base_us = agenda.now_us
        self._shown_us = agenda.now_us + ahead_us
        self._ppm = drift_ppm

    def now_us(self) -> int:
        """What it shows."""
        passed = self._agenda.now_us - self._base_us
        if not self._ppm:
            return self._shown_us + passed
        return self._shown_us + passed + passed * self._ppm // 1_000_000

    def world_us(self, shown_us: int) -> int:
        """The world's time at which it will show *shown_us*, or a little after."""
        left = shown_us - self.now_us()
        if self._ppm:
            left += -left * self._ppm // 1_000_000 + 1
        return self._agenda.now_us + max(left, 0)

    def jump(self, by_us: int) -> None:
        """Somebody sets it."""
        self._shown_us += by_us
