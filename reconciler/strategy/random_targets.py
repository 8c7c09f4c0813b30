"""
A strategy without an opinion: every so often, a random target for each symbol.

It is for trying things out. Its draws come from a seed, so a run can be repeated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import NamedTuple


class Range(NamedTuple):
    """What may be wanted of a symbol."""

    most: int  # contracts, without sign
    lot: int


def draws(ranges: Mapping[str, Range], rng: Random, *, steps: int = 10) -> Iterator[dict[str, int]]:
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
