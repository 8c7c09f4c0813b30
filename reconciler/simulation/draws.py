"""
Chance, by name: one stream of random numbers for each concern, and a tape of what went wrong.

Every stream follows from the seed and its own name, so a fault that is taken out of a life leaves
the draws of the others as they were: that is what makes a failure small (see `shrink`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Draw(NamedTuple):
    """A fault that struck: the *number*-th of its kind, and when."""

    kind: str
    number: int
    at_us: int


class Draws:
    """
    All the chance of one life.

    Args:
        seed: Names the life.
        muted: Faults that do not strike although they were drawn, by kind and count; a count of
            0 mutes all of a kind.
    """

    def __init__(self, seed: int, muted: frozenset[tuple[str, int]] = frozenset()) -> None:
        self.seed = seed
        self.tape: list[Draw] = []
        self.calm = False  # no fault strikes any more
        self.now: Callable[[], int] = lambda: 0
        self._muted = muted
        self._streams: dict[str, random.Random] = {}
        self._counts: dict[str, int] = {}

    def of(self, name: str) -> random.Random:
        """The stream called *name*."""
        stream = self._streams.get(name)
        if stream is None:
            # From text: the same in every process, whatever its hash seed.
            stream = self._streams[name] = random.Random(f"{self.seed}/{name}")
        return stream

    def strikes(self, kind: str, odds: float) -> bool:
        """Whether a fault of this *kind* happens here."""
        if odds <= 0 or self.calm or self.of(kind).random() >= odds:
            return False
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if (kind, count) in self._muted or (kind, 0) in self._muted:
            return False
        self.tape.append(Draw(kind, count, self.now()))
        return True

    def ms(self, name: str, low: int, high: int) -> int:
        """Microseconds between two numbers of milliseconds."""
        return low * 1000 + int(self.of(name).random() * (high - low) * 1000)

    def after(self, name: str, mean_us: int) -> int:
        """Microseconds until the next of a kind of event that has no memory."""
        return int(self.of(name).expovariate(1 / mean_us)) + 1

    def one(self, name: str, of: Sequence[T]) -> T:
        """One of several, each as likely."""
        return of[int(self.of(name).random() * len(of))]
