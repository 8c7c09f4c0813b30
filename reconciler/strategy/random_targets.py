"""
A strategy without an opinion: every so often, a random target for each symbol.

It is for trying things out. Its draws come from a seed, so a run can be repeated.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, NamedTuple

from msgspec import Meta

from reconciler.strategy.base import Strategy

if TYPE_CHECKING:
    from reconciler.strategy.market import Snapshot


class Range(NamedTuple):
    """What may be wanted of a symbol."""

    most: int  # contracts, without sign
    lot: int


class Random(Strategy):
    """Now and then another strength from -1 to 1, for trying things out. Its draws have a seed."""

    every_s: Annotated[int, Meta(ge=1, le=86_400)] = 10
    steps: Annotated[int, Meta(ge=1, le=1_000)] = 10  # strengths on either side of 0
    seed: int = 7

    def on_start(self) -> None:
        self._rng = random.Random(f"{self.seed}/{self.identifier}")
        self._seconds = dict.fromkeys(self.symbols, 0)

    def on_snapshot(self, snapshot: Snapshot) -> None:
        if self._seconds[snapshot.symbol] % self.every_s == 0:
            drawn = self._rng.randint(-self.steps, self.steps)
            self.signal(snapshot.symbol, Decimal(drawn) / self.steps, f"drawn {drawn:+d}")
        self._seconds[snapshot.symbol] += 1


def draws(
    ranges: Mapping[str, Range], rng: random.Random, *, steps: int = 10
) -> Iterator[dict[str, int]]:
    """
    Targets for every symbol, without end.

    Each is a whole multiple of the lot within ``-most … +most``, of about *steps* sizes on either
    side, and mostly another one than before.
    """
    before: dict[str, int] = {}
    while True:
        for symbol, (most, lot) in ranges.items():
            step = max(most // steps // lot, 1) * lot
            reach = most // step
            drawn = rng.randint(-reach, reach) * step
            if drawn == before.get(symbol):
                drawn = rng.randint(-reach, reach) * step
            before[symbol] = drawn
        yield dict(before)


def follow(
    wanted: Iterator[dict[str, int]],
    set_target: Callable[[str, int], None],
    every_s: float,
    stop: threading.Event,
) -> None:
    """Set each draw, then wait, until *stop* is set."""
    for targets in wanted:
        for symbol, contracts in targets.items():
            if stop.is_set():
                return
            set_target(symbol, contracts)
        if stop.wait(every_s):
            return
