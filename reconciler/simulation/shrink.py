"""Make a failure small: mute faults, many at a time and then one by one, while it still fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reconciler.simulation.world import World

if TYPE_CHECKING:
    from reconciler.simulation.runs import Life

Muted = frozenset[tuple[str, int]]
MOST_TRIES = 150
MOST_S = 60.0  # of real time: lives of hours are slow


def shrunk(seed: int, life: Life) -> tuple[Muted, World, Life]:
    """
    The smallest set of faults found with which *seed* breaks the same promise.

    Returns:
        The faults muted, and the life that is left.
    """
    from reconciler.simulation.runs import live

    tries = 0
    until_s = time.monotonic() + MOST_S

    def attempt(muted: Muted) -> tuple[World, Life] | None:
        nonlocal tries
        tries = tries + 1 if time.monotonic() < until_s else MOST_TRIES
        world = World(seed, muted)
        found = live(seed, lambda _: world)
        return (world, found) if found.invariant == life.invariant else None

    muted: Muted = frozenset()
    best = attempt(muted)
    assert best is not None, "the same seed was not the same life"
    for kind in sorted({draw.kind for draw in best[0].draws.tape}):
        if tries < MOST_TRIES and (smaller := attempt(muted | {(kind, 0)})) is not None:
            muted, best = muted | {(kind, 0)}, smaller
    size = len(best[0].draws.tape) // 2
    while size and tries < MOST_TRIES:
        tape = [(draw.kind, draw.number) for draw in best[0].draws.tape]
        for start in range(0, len(tape), size):
            some = muted | frozenset(tape[start : start + size])
            if tries < MOST_TRIES and (smaller := attempt(some)) is not None:
                muted, best = some, smaller
        size //= 2
    return muted, *best
