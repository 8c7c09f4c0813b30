"""Many lives, and the story of one that failed."""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from reconciler.journal import codec
from reconciler.simulation.agenda import SECOND, START_US
from reconciler.simulation.oracle import Broken
from reconciler.simulation.shrink import shrunk
from reconciler.simulation.world import World

BATCH = 20


@dataclass(slots=True)
class Life:
    """What became of one seed."""

    seed: int
    error: str = ""
    invariant: str = ""
    steps: int = 0
    checks: int = 0
    simulated_s: float = 0.0
    restarts: int = 0
    trace: str = ""  # the hash of the journal's last row
    incidents: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


def live(seed: int, make: Callable[[int], World] = World) -> Life:
    """Live one seed, whatever comes of it."""
    world = make(seed)
    life = Life(seed)
    try:
        world.live()
    except Exception as error:  # a crash of the code under test is a finding like any other
        life.error = f"{type(error).__name__}: {error}"
        if not isinstance(error, Broken):
            life.error += "\n" + "".join(traceback.format_exception(error)[-4:])
        life.invariant = getattr(error, "invariant", type(error).__name__)
    life.steps, life.checks = world.oracle.steps, world.oracle.checks
    life.simulated_s, life.restarts = world.simulated_s, world.restarts
    life.trace = world.journal.last_hash.hex()
    life.incidents = world.oracle.incidents
    life.faults = Counter(draw.kind for draw in world.draws.tape)
    return life


def live_batch(first: int) -> list[Life]:
    """Live `BATCH` seeds."""
    return [live(seed) for seed in range(first, first + BATCH)]


def batches(first: int, seeds: int, until_s: float) -> Iterator[int]:
    """First seeds of batches, until there were enough or time is up."""
    start = first
    while (seeds and start < first + seeds) or (until_s and time.monotonic() < until_s):
        yield start
        start += BATCH


def live_many(first: int, seeds: int, minutes: float, jobs: int) -> int:
    """Live many seeds and print the figures. Returns an exit code."""
    began = time.monotonic()
    until_s = began + minutes * 60 if minutes else 0.0
    total = Counter[str]()
    incidents, faults = Counter[str](), Counter[str]()
    failed: list[Life] = []

    def take(lives: list[Life]) -> None:
        for one in lives:
            total.update(seeds=1, steps=one.steps, checks=one.checks, restarts=one.restarts)
            total["simulated_s"] += round(one.simulated_s)
            incidents.update(one.incidents)
            faults.update(one.faults)
            if one.error:
                failed.append(one)
                print(f"seed {one.seed}: {one.error}", flush=True)

    if jobs == 1:
        for start in batches(first, seeds, until_s):
            take(live_batch(start))
    else:
        with ProcessPoolExecutor(jobs) as pool:
            waiting = []
            for start in batches(first, seeds, until_s):
                waiting.append(pool.submit(live_batch, start))
                while len(waiting) >= 2 * jobs:
                    take(waiting.pop(0).result())
            for one in waiting:
                take(one.result())
    took = time.monotonic() - began
    rows = {
        "seeds": f"{total['seeds']:,} (from {first})",
        "simulated hours": f"{total['simulated_s'] / 3600:,.1f}",
        "steps": f"{total['steps']:,}",
        "invariants checked": f"{total['checks']:,}",
        "faults that struck": f"{sum(faults.values()):,}",
        "restarts": f"{total['restarts']:,}",
        "failures": str(len(failed)),
        "took": f"{took:.0f} s, {jobs} processes, {total['steps'] / took:,.0f} steps/s",
    }
    for name, value in rows.items():
        print(f"{name:>20}  {value}")
    print(f"{'incidents':>20}  {dict(incidents.most_common())}")
    return 1 if failed else 0


def report(seed: int, shrinking: bool = True) -> int:
    """Live one seed and tell its story. Returns an exit code."""
    world = World(seed)
    life = live(seed, lambda _: world)
    print(f"seed {seed}: {life.error or 'every promise was kept'}")
    print(f"weather: {world.weather.shown()}")
    if not life.error:
        print(f"{life.steps} steps, {life.simulated_s:.0f} s, trace {life.trace}")
        return 0
    if shrinking:
        _, world, life = shrunk(seed, life)
        print(f"smallest: {life.error}")
    print("faults that struck:")
    for draw in world.draws.tape:
        print(f"  {(draw.at_us - START_US) / SECOND:9.3f} {draw.kind} {draw.number}")
    print("last events:")
    for at_us, event, decisions in world.oracle.recent:
        print(f"  {(at_us - START_US) / SECOND:9.3f} {codec.encode(event).decode()[:300]}")
        for decision in decisions:
            print(f"            -> {codec.encode(decision).decode()[:300]}")
    print(f"again: python -m reconciler.simulation --seed {seed}", file=sys.stdout)
    return 1
