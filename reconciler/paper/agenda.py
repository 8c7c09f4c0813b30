"""What is to happen later, in venue time: a list of actions that `World.tick` works off."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[int], None]  # is given venue time in ms


class Agenda:
    """Actions by the time they are due; of one time, the first that was put down comes first."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Action]] = []
        self._count = 0

    def at(self, at_ms: int, action: Action) -> None:
        """Let *action* happen at a time, or at the next look if that is past."""
        self._count += 1
        heapq.heappush(self._due, (at_ms, self._count, action))

    def run(self, now_ms: int) -> None:
        """Do all that is due, also what comes up meanwhile."""
        while self._due and self._due[0][0] <= now_ms:
            heapq.heappop(self._due)[2](now_ms)
