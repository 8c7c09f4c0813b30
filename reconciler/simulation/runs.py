"""Many lives and their figures, and the story of one that failed."""

from __future__ import annotations

import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.journal import codec
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.oracle import Broken
from reconciler.simulation.realfile import FileJournal
from reconciler.simulation.shrink import Muted, shrunk
from reconciler.simulation.weather import MANNERED_FROM, NETTED_FROM, PEOPLED_FROM
from reconciler.simulation.world import World

BATCH = 20
TELL_EVERY_S = 30.0
MOST_SHRUNK = 5  # of the failures of one run
NETTED_EVERY = 4  # of so many batches of fresh lives one is of lives with strategies


@dataclass(slots=True)
class Life:
    """What became of one seed."""

    seed: int
    kind: str = ""
    on_disk: bool = False  # with the real journal
    netted: bool = False  # with strategies
    error: str = ""
    invariant: str = ""
    steps: int = 0
    checks: int = 0
    simulated_s: float = 0.0
    restarts: int = 0
    takeovers: int = 0
    processor_s: float = 0.0  # of real time
    trace: str = ""  # the hash of the journal's last row
    incidents: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


def live(seed: int, make: Callable[[int], World] = World) -> Life:
    """Live one seed, whatever comes of it."""
    began_s = time.process_time()
    world = make(seed)
    on_disk = isinstance(world.journal, FileJournal)
    life = Life(seed, world.weather.kind, on_disk, world.desks.open)
    try:
        world.live()
    except Exception as error:  # a crash of the code under test is a finding like any other
        life.error = f"{type(error).__name__}: {error}"
        if not isinstance(error, Broken):
            life.error += "\n" + "".join(traceback.format_exception(error)[-4:])
        life.invariant = getattr(error, "invariant", type(error).__name__)
    finally:
        world.journal.close()
    life.steps, life.checks = world.oracle.steps, world.oracle.checks
    life.simulated_s, life.restarts = world.simulated_s, world.restarts
    life.takeovers = world.takeovers
    life.processor_s = time.process_time() - began_s
    life.trace = world.journal.last_hash.hex()
    life.incidents = world.oracle.incidents
    life.faults = Counter(draw.kind for draw in world.draws.tape)
    return life


def fresh() -> int:
    """A first seed that nobody has lived yet, most likely; lives of every kind follow it."""
    return PEOPLED_FROM + secrets.randbelow(10**9) // 1_000 * 1_000


def live_batch(first: int, count: int = BATCH) -> list[Life]:
    """Live *count* seeds."""
    return [live(seed) for seed in range(first, first + count)]


def netted(seed: int) -> int:
    """The life with strategies that stands beside *seed*: as fresh as that one."""
    return NETTED_FROM + seed % 10**9


def older(seed: int) -> int:
    """The life with limits of old that stands beside *seed*: as fresh as that one."""
    return MANNERED_FROM + seed % 10**9


def batches(first: int, seeds: int, until_s: float, mixed: bool) -> Iterator[tuple[int, int]]:
    """First seeds and sizes of batches, until there were enough or time is up."""
    start = first
    while (seeds and start < first + seeds) or (until_s and time.monotonic() < until_s):
        count = min(BATCH, first + seeds - start) if seeds else BATCH
        strategies = mixed and (start - first) // BATCH % NETTED_EVERY == NETTED_EVERY - 1
        yield (netted(start) if strategies else start), count
        start += count


@dataclass(slots=True)
class Figures:
    """What many lives add up to."""

    first: int
    jobs: int
    began_s: float = field(default_factory=time.monotonic)
    processor_s: float = 0.0
    total: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    incidents: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Life] = field(default_factory=list)

    def take(self, one: Life) -> None:
        """Count a life."""
        self.total.update(seeds=1, steps=one.steps, checks=one.checks, restarts=one.restarts)
        self.total.update(takeovers=one.takeovers, on_disk=one.on_disk)
        self.total.update(netted=one.netted)
        self.processor_s += one.processor_s
        self.total["simulated_s"] += round(one.simulated_s)
        self.kinds[one.kind] += 1
        self.incidents.update(one.incidents)
        self.faults.update(one.faults)
        if one.error:
            self.failed.append(one)

    def line(self) -> str:
        """On the way."""
        total, took_s = self.total, time.monotonic() - self.began_s
        return (
            f"{took_s:6.0f} s  {total['seeds']:,} seeds, {total['simulated_s'] / 3600:,.0f} hours, "
            f"{total['steps']:,} steps, {total['checks']:,} checks, {len(self.failed)} failures"
        )

    def table(self) -> str:
        """At the end."""
        total, took_s = self.total, time.monotonic() - self.began_s
        speed = f"{total['steps'] / took_s:,.0f} steps/s"
        each = total["steps"] / max(self.processor_s, 0.001)
        rows = {
            "seeds": f"{total['seeds']:,} (from {self.first})",
            "kinds": told(self.kinds),
            "on the real SQLite": f"{total['on_disk']:,}",
            "with strategies": f"{total['netted']:,}",
            "simulated hours": f"{total['simulated_s'] / 3600:,.1f}",
            "steps": f"{total['steps']:,}",
            "invariants checked": f"{total['checks']:,}",
            "restarts": f"{total['restarts']:,}",
            "takeovers": f"{total['takeovers']:,}",
            "faults that struck": f"{sum(self.faults.values()):,}",
            "by kind": told(self.faults),
            "incidents": told(self.incidents),
            "failures": str(len(self.failed)),
            "a core alone": f"{self.processor_s:.0f} s, {each:,.0f} steps/s",
            "took": f"{took_s:.0f} s, {self.jobs} processes, {speed}",
        }
        return "\n".join(f"{name:>20}  {value}" for name, value in rows.items())


def told(counted: Counter[str]) -> str:
    """The most frequent first."""
    return ", ".join(f"{name} {count:,}" for name, count in counted.most_common()) or "none"


def live_many(first: int | None, seeds: int, minutes: float, jobs: int, failures: Path) -> int:
    """
    Live many seeds; print the figures on the way and at the end.

    Args:
        first: One after the other from here; without it fresh ones, with strategies and without.
        failures: Seeds that failed are written here, each with the command that repeats it.

    Returns:
        An exit code.
    """
    start = fresh() if first is None else first
    figures = Figures(start, jobs)
    until_s = figures.began_s + minutes * 60 if minutes else 0.0
    tell_s = figures.began_s + TELL_EVERY_S
    print(f"seeds from {start}", flush=True)
    for lives in lived(batches(start, seeds, until_s, mixed=first is None), jobs):
        for one in lives:
            figures.take(one)
            if one.error:
                say(f"seed {one.seed}: {one.error}\n  {command(one.seed)}", failures)
        if time.monotonic() > tell_s:
            tell_s = time.monotonic() + TELL_EVERY_S
            print(figures.line(), flush=True)
    print(figures.table(), flush=True)
    for one in figures.failed[:MOST_SHRUNK]:
        say(story(one), failures)
    return 1 if figures.failed else 0


def lived(work: Iterator[tuple[int, int]], jobs: int) -> Iterator[list[Life]]:
    """Batches as they are done."""
    if jobs == 1:
        for start, count in work:
            yield live_batch(start, count)
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting: set[Future[list[Life]]] = set()
        for start, count in work:
            waiting.add(pool.submit(live_batch, start, count))
            if len(waiting) >= 2 * jobs:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for one in done:
                    yield one.result()
        for one in waiting:
            yield one.result()


def say(text: str, failures: Path) -> None:
    """On the screen, and where it is found again."""
    print(text, flush=True)
    with failures.open("a") as kept:
        kept.write(text + "\n")


def command(seed: int, muted: Muted = frozenset()) -> str:
    """The one line that repeats a life."""
    words = f"python -m reconciler.simulation --seed {seed}"
    if muted:
        faults = ",".join(f"{kind}:{number}" if number else kind for kind, number in sorted(muted))
        words += f" --mute {faults}"
    return words


def muted_of(words: str) -> Muted:
    """What `command` has written after ``--mute``."""
    pairs = (word.partition(":") for word in words.split(",") if word)
    return frozenset((kind, int(number or 0)) for kind, _, number in pairs)


def story(life: Life, shrinking: bool = True, muted: Muted = frozenset()) -> str:
    """Why *life* failed: its weather, the faults that struck, the last events, and the command."""
    lines = [f"seed {life.seed}: {life.error}"]
    if shrinking:
        muted, world, life = shrunk(life.seed, life)
        lines.append(f"smallest: {life.error}")
    else:
        world = World(life.seed, muted)
        live(life.seed, lambda _: world)
    lines.append(f"weather: {world.weather.shown()}")
    lines.append("faults that struck:")
    for draw in world.draws.tape:
        lines.append(f"  {_s(world, draw.at_us):9.3f} {draw.kind} {draw.number}")
    lines.append("last events:")
    for at_us, event, decisions in world.oracle.recent:
        lines.append(f"  {_s(world, at_us):9.3f} {codec.encode(event).decode()[:300]}")
        for decision in decisions:
            lines.append(f"            -> {codec.encode(decision).decode()[:300]}")
    lines.append(f"again: {command(life.seed, muted)} --no-shrink")
    return "\n".join(lines)


def _s(world: World, at_us: int) -> float:
    return (at_us - world.began_us) / SECOND


def report(seed: int, shrinking: bool = True, muted: Muted = frozenset()) -> int:
    """Live one seed and tell its story. Returns an exit code."""
    life = live(seed, lambda seed: World(seed, muted))
    if life.error:
        print(story(life, shrinking and not muted, muted), file=sys.stdout)
        return 1
    print(f"seed {seed}: every promise was kept")
    print(f"{life.kind}, {life.steps} steps, {life.simulated_s:.0f} s, trace {life.trace}")
    return 0
