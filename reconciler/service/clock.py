"""Where *now* comes from."""

from __future__ import annotations

import time

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SteadyClock:
    """
    Microseconds since the epoch, UTC, that never run backwards and count a suspended machine.

    The wall clock is read once, at the start; what follows is counted by the kernel's clock
    since boot. So a wall clock that jumps moves no timer; the venue's own time is measured
    against this clock, whatever the wall says.
    """

    def __init__(self) -> None:
        self._wall_us = time.time_ns() // 1000
        self._boot_ns = time.clock_gettime_ns(_BOOT)

    def now_us(self) -> int:
        """The time."""
        return self._wall_us + (time.clock_gettime_ns(_BOOT) - self._boot_ns) // 1000
