"""
Lives on a disk that refuses: the n-th request of some kind, once or from then on.

A case is written ``fault:seed:world:error:only:at:once``, where *world* is "old" for a journal that
is there, "new" for one that has to be made, "process" for one that need not survive a power loss.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from reconciler.errors import ReconcilerError, StorageFault
from reconciler.journal.store import Journal
from reconciler.simulation.disk import Fault
from reconciler.simulation.images import Damage, Image, Platter, now
from tests import fresh
from tests.crash.campaign import Failure
from tests.crash.checks import Lost, check
from tests.crash.life import Life, batches

#: Requests that can be refused, and "" for any of them.
REQUESTS = ("", "open", "make", "write", "truncate", "sync", "delete", "rename")
ERRORS = ("io", "full", "readonly")

#: What is looked at after a fault: the files as they are, and what a power loss leaves of them.
LOOKS = (Damage.KEPT, Damage.LOST, Damage.SUBSET, Damage.SECTOR, Damage.NAMES_ANY)


class Case(NamedTuple):
    """One fault in one life."""

    seed: int
    world: str
    fault: Fault

    def __str__(self) -> str:
        at, error, lasting, only = self.fault
        often = "lasting" if lasting else "once"
        return f"fault:{self.seed}:{self.world}:{error}:{only}:{at}:{often}"

    @classmethod
    def read(cls, words: str) -> Case:
        _, seed, world, error, only, at, often = words.split(":")
        fault = Fault(int(at), error, often == "lasting", only)  # type: ignore[arg-type]
        return cls(int(seed), world, fault)


class World:
    """A disk to begin on, and the life on it when nothing goes wrong."""

    def __init__(self, name: str, seed: int, scratch: Path) -> None:
        self.name, self.seed, self.scratch = name, seed, scratch
        self.durability = "process" if name == "process" else "power"
        self.start = Image({}, ())
        root = scratch / "fault"
        if name != "new":
            self.start.put(root)
            first = Life(root, seed)
            with first.disk:
                journal = first.open()
                batches(first, journal, 3)
                first.close(journal)
            self.start = now(first.disk)
            self.seq, self.first = first.promise.seq, first
        self.start.put(root)
        self.easy = self.begin(None)
        script(self.easy, self.durability, lambda do: do())

    def begin(self, fault: Fault | None) -> Life:
        """A new life on the same disk."""
        life = Life(self.scratch / "fault", self.seed, fault=fault)
        if self.name != "new":
            life.states = dict(self.first.states)
            life.promise, life.database_id = self.first.promise, self.first.database_id
            life.promises = [(0, life.promise)]
        if hasattr(self, "easy"):
            life.states = self.easy.states
        return life


def script(life: Life, durability: str, attempt: Callable[[Callable[[], object]], object]) -> None:
    """A short life. Each step is attempted, whatever became of those before it."""
    held: list[Journal] = []
    with life.disk:
        attempt(lambda: held.append(life.open(durability)))
        if not held:
            return
        journal = held[0]
        for step in (
            lambda: batches(life, journal, 3),
            lambda: life.rest(journal),
            lambda: life.record(journal, 4),
            lambda: life.snapshot(journal),
            lambda: batches(life, journal, 2),
            lambda: life.backup(journal),
            lambda: life.rest(journal),
            lambda: life.record(journal, 2),
            lambda: life.close(journal),
        ):
            attempt(step)
        journal.close()


def suffer(world: World, fault: Fault) -> tuple[Counter[str], list[str]]:
    """
    Live with one fault; then heal, and start again from what is there.

    Returns:
        What was seen: errors by name. And what does not hold.
    """
    root = world.scratch / "fault"
    world.start.put(root)
    life = world.begin(fault)
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    stopped: list[ReconcilerError] = []
    stops: list[int] = []  # operations done when a call failed

    def attempt(do: Callable[[], object]) -> None:
        before = life.promise
        try:
            do()
        except ReconcilerError as error:
            seen[type(error).__name__] += 1
            if life.phase_at(len(life.disk.ops)) != "backup":  # a copy that fails stops nothing
                stopped.append(error)
                stops.append(len(life.disk.ops))
        except Exception as error:
            wrong.append(f"V7: {type(error).__name__}: {error}")
        else:
            if stopped and life.promise != before:
                wrong.append(f"V7: accepted after {stopped[0]}")

    script(life, world.durability, attempt)
    if life.disk.refused == 0:
        seen["never asked"] += 1
    life.disk.heal()
    if stopped and not isinstance(stopped[0], StorageFault):
        wrong.append(f"V7: {type(stopped[0]).__name__}: {stopped[0]}")
    if stops:
        wrong += [f"V7: after {stopped[0]}: {op}" for op in life.disk.ops[stops[0] :]]
    platter, draw = Platter(life.disk), Random(str(fault))
    last = len(life.disk.ops)
    doubt = any(op.kind == "unsynced" for op in life.disk.ops)  # even a kill may show less then
    for moment in sorted({last, *(draw.randint(min([*stops, last]), last) for _ in range(2))}):
        platter.forward(moment, draw)
        for damage in LOOKS:
            platter.image(damage, draw).put(world.scratch / "image")
            try:
                power = world.durability == "power" or (damage is Damage.KEPT and not doubt)
                with fresh.journals():  # that of the life was made by the migrations
                    check(world.scratch / "image", life, moment, power=power)
            except Lost as lost:
                wrong.append(f"{lost} ({damage} at {moment})")
    return seen, wrong


def cases(world: World, count: int, draw: Random) -> list[Case]:
    """Faults of every kind, at any request of the life."""
    found = []
    for _ in range(count):
        only = draw.choice(REQUESTS)
        most = world.easy.disk.requests[only]
        fault = Fault(draw.randrange(max(1, most)), draw.choice(ERRORS), draw.random() < 0.5, only)  # type: ignore[arg-type]
        found.append(Case(world.seed, world.name, fault))
    return found


def faults(name: str, seed: int, count: int, scratch: Path) -> tuple[Counter[str], list[Failure]]:
    """Many faults in one world."""
    shutil.rmtree(scratch / "fault", ignore_errors=True)
    world = World(name, seed, scratch)
    all_seen: Counter[str] = Counter()
    failures = []
    for case in cases(world, count, Random(f"fault:{name}:{seed}")):
        seen, wrong = suffer(world, case.fault)
        all_seen += seen
        all_seen["cases"] += 1
        failures += [Failure(str(case), "a fault", words) for words in wrong[:1]]
    return all_seen, failures
