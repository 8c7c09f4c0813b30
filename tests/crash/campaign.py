"""
Many images of many lives.

A case is written ``life:seed:done:damage:draw``: the life, the operations that were done when the
power went, what became of the rest. More power losses, each while the one before is being recovered
from, are written after slashes: ``whole:7:311:torn:a/64:lost:b``.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from reconciler.journal.schema import SCHEMA
from reconciler.simulation.images import Damage, Image, moments
from tests import fresh
from tests.crash.checks import Lost, check
from tests.crash.life import LIVES, Life, Promise, restart, restore_again

#: Share of the images that are also written to, and proved by a replay.
DEEP = 0.04
#: Share of the images whose recovery is crashed again, how often, and how many times in a row.
AGAIN, TIMES, ROW = 0.01, 12, 4
#: How often more is drawn for what was like something before: a short life has few images.
ROUNDS = 20
#: Operations that change names.
NAMING = ("name", "unname", "rename", "sync_names")


class Moment(NamedTuple):
    """When the power went, and what became of the rest."""

    done: int
    damage: Damage
    draw: str

    def __str__(self) -> str:
        return f"{self.done}:{self.damage}:{self.draw}"


class Failure(NamedTuple):
    """An image in which something does not hold."""

    case: str
    phase: str
    said: str

    def __str__(self) -> str:
        return f"{self.said}\n    while {self.phase}; scripts/crash --repeat '{self.case}'"


class Tally:
    """What a campaign has seen."""

    def __init__(self) -> None:
        self.images: Counter[tuple[str, str]] = Counter()  # life, damage
        self.phases: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()  # life
        self.alike = 0  # images that were equal to one before, and not looked at once more
        self.deep = 0
        self.failures: list[Failure] = []

    def __len__(self) -> int:
        return self.images.total()

    def add(self, other: Tally) -> None:
        """Count what another campaign has seen, too."""
        self.images += other.images
        self.phases += other.phases
        self.operations += other.operations
        self.alike += other.alike
        self.deep += other.deep
        self.failures += other.failures


def live(name: str, seed: int, root: Path) -> Life:
    """Record a life."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    life = Life(root, seed)
    LIVES[name][0](life)
    return life


def drawn(life: Life, count: int, draw: Random) -> list[Moment]:
    """
    Moments of a life, in their order, with any damage.

    Half of them are drawn from all operations, half from each kind of phase alike, so that what
    takes few operations, as a restore does, is met as often as what takes many. Right before and
    right after a change of names more is at stake than in the middle of writing pages: a third of
    them is there, and no change of names hides behind another that comes before it.
    """
    last, kinds = len(life.disk.ops), list(Damage)
    named = [at for at, op in enumerate(life.disk.ops) if op.kind in NAMING]
    starts = [at for at, _ in life.phases]
    spans: dict[str, list[tuple[int, int]]] = {}
    for (start, phase), end in zip(life.phases, [*starts[1:], last], strict=True):
        spans.setdefault(phase, []).append((start, end))
    found = []
    for _ in range(count):
        first, end = (0, last)
        if draw.random() < 0.5:
            first, end = draw.choice(spans[draw.choice(list(spans))])
        done = draw.randint(first, end)
        near = named[bisect_left(named, first) : bisect_left(named, end)]
        if draw.random() < 1 / 3 and near:
            done = draw.choice(near) + draw.choice((0, 1))
        found.append(Moment(done, draw.choice(kinds), f"{draw.getrandbits(32):x}"))
    return sorted(found, key=lambda moment: moment.done)


def images(life: Life, chosen: list[Moment]) -> Iterator[tuple[Moment, Image]]:
    for moment, (_, image) in zip(chosen, moments(life.disk, iter(chosen)), strict=True):
        yield moment, image


def campaign(
    name: str, seed: int, count: int, scratch: Path, tally: Tally, *, enough: int = 20,
    sought: str = "",
) -> None:  # fmt: skip
    """
    Live a life, and check *count* images of it, all different; a few of them are crashed again.

    Args:
        name: Of the life.
        seed: For the life, and for all that is drawn.
        count: Images, without those of further power losses.
        scratch: A folder for files, best in memory.
        tally: Where to count, and to note what fails.
        enough: Failures after which to stop.
        sought: Only those count whose words begin so.
    """
    draw = Random(f"{name}:{seed}")
    life = live(name, seed, scratch / "life")
    tally.operations[name] += len(life.disk.ops)
    root = scratch / "image"
    seen: set[tuple[int, Promise]] = set()
    for _ in range(ROUNDS):
        for moment, image in images(life, drawn(life, count - len(seen), draw)):
            if sum(failure.said.startswith(sought) for failure in tally.failures) >= enough:
                return
            if (one := (image.likeness(), life.promise_at(moment.done))) in seen:
                tally.alike += 1
                continue
            seen.add(one)
            deep, again = draw.random() < DEEP, draw.random() < AGAIN
            image.put(root)
            case = f"{name}:{seed}:{moment}"
            seq = _one(tally, name, case, life, moment, root, deep=deep)
            if seq is not None and again:
                _crash_again(tally, name, case, life, moment, image, seq, scratch, draw)


def _one(
    tally: Tally, name: str, case: str, life: Life, moment: Moment, root: Path, *, deep: bool
) -> int | None:
    phase = life.phase_at(moment.done)
    tally.images[name, moment.damage] += 1
    tally.phases[phase] += 1
    tally.deep += deep
    try:
        power = life.durable or moment.damage is Damage.KEPT
        with fresh.journals():  # that of the life was made by the migrations
            return check(root, life, moment.done, power=power, deep=deep)
    except Exception as error:
        said = f"{'' if isinstance(error, Lost) else type(error).__name__ + ': '}{error}"
        tally.failures.append(Failure(case, phase, said))
        return None


def second(name: str, life: Life, moment: Moment, seq: int, root: Path) -> Life:
    """What is done after a power loss, on a disk that remembers, so that it can fail again."""
    again = Life(root, life.seed)
    again.events, again.copies = life.events, life.copies
    then = LIVES[name][1].get(life.phase_at(moment.done), restart)
    copied: set[int] = set()  # what a restore puts back; else that seq gets another history
    if then is restore_again:
        copied = {at for _, at in life.promise_at(moment.done).copies}
    again.states = {at: state for at, state in life.states.items() if at <= seq or at in copied}
    again.database_id = life.database_id
    promise = life.promise_at(moment.done)
    again.promise = promise._replace(made=bool(seq) or promise.made, seq=seq)
    if not life.durable and moment.damage is not Damage.KEPT:
        again.promise = again.promise._replace(epoch=0)
    again.promises = [(0, again.promise)]
    then(again)
    return again


def _crash_again(
    tally: Tally, name: str, case: str, life: Life, moment: Moment, image: Image, seq: int,
    scratch: Path, draw: Random,
) -> None:  # fmt: skip
    """Recover from an image and lose power meanwhile; some of those images, again and again."""
    row = case.count("/") + 1
    promise = life.promise_at(moment.done)
    if row == ROW or promise.restored or promise.schema != SCHEMA:
        return
    first, root = scratch / f"first {row}", scratch / f"again {row}"
    image.put(first)
    then = second(name, life, moment, seq, first)
    found = list(images(then, drawn(then, TIMES, draw)))
    once_more = draw.randrange(TIMES)
    for number, (later, left) in enumerate(found):
        left.put(root)
        words = f"{case}/{later}"
        reached = _one(tally, "again", words, then, later, root, deep=draw.random() < DEEP)
        if reached is not None and number == once_more:
            _crash_again(tally, name, words, then, later, left, reached, scratch, draw)


def repeat(case: str, scratch: Path) -> Failure | None:
    """Run one case again; its last image is left in *scratch*."""
    first, *rest = case.split("/")
    name, seed, *words = first.split(":")
    life, moment = live(name, int(seed), scratch / "life"), _moment(words)
    tally, root = Tally(), scratch / "image"
    kind, said = name, first
    while True:
        ((_, image),) = images(life, [moment])
        image.put(root)
        seq = _one(tally, kind, said, life, moment, root, deep=True)
        image.put(root)
        if seq is None or not rest:
            return tally.failures[0] if tally.failures else None
        shutil.copytree(root, before := scratch / f"first {len(rest)}")
        life = second(name, life, moment, seq, before)
        kind, said, moment = "again", f"{said}/{rest[0]}", _moment(rest.pop(0).split(":"))


def _moment(words: list[str]) -> Moment:
    done, damage, draw = words
    return Moment(int(done), Damage(damage), draw)


__all__ = ["Failure", "Moment", "Promise", "Tally", "campaign", "drawn", "images", "live", "repeat"]
