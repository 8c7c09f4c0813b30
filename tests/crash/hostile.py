"""
Files that somebody, or some disk, has changed: one case is ``hostile:seed:number``.

Opened, read or replayed, such a journal is what it was, or a shorter one where only SQLite's log
was touched, or an error of ours says what is wrong. Nothing else escapes, and nothing is repaired
in silence.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

from reconciler.errors import ReconcilerError
from reconciler.journal import History, care, codec, readers, replay
from reconciler.journal.history import VIEWS
from reconciler.journal.store import Journal
from reconciler.simulation.images import Image, now
from tests.crash.campaign import Failure
from tests.crash.life import HOME, Life, batches, rows_in
from tests.journal.making import Books, recall, step

#: No look may take longer, on a machine that does ten other things.
SECONDS = 20.0

FILES = ("", "", "", "-wal", "-wal", "-shm", ".tip", ".lock")


class Base(NamedTuple):
    """A journal to spoil: closed in order, or with all of its last run in SQLite's log."""

    image: Image
    life: Life
    seq: int
    tip: int


def bases(seed: int, scratch: Path) -> list[Base]:
    """Both kinds."""
    made = []
    for closed in (True, False):
        root = scratch / "base"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        life = Life(root, seed)
        with life.disk:
            journal = life.open()
            batches(life, journal, 5)
            life.snapshot(journal)
            life.rest(journal)
            tip = journal.last_seq
            batches(life, journal, 4)
            if closed:
                life.close(journal)
                tip = journal.last_seq
        image = now(life.disk)
        image.files[f"{HOME}-shm"] = bytes(32_768)
        made.append(Base(image, life, life.promise.seq, tip))
        if not closed:
            journal._writer.close()
            journal._lock.release()
    return made


def spoil(files: dict[str, bytes], draw: Random) -> str:
    """Change bytes of one of the files; what was done to it."""
    name = str(HOME) + draw.choice(FILES)
    raw = bytearray(files.get(name, b""))
    size = len(raw)
    how = draw.choice(("flip", "flip", "flip", "run", "cut", "longer", "garbage", "empty", "swap"))
    if how == "flip" and size:
        for _ in range(draw.choice((1, 1, 1, 2, 8, 60))):
            raw[draw.randrange(size)] ^= 1 << draw.randrange(8)
    elif how == "run" and size:
        start = draw.randrange(size)
        length = min(size - start, draw.choice((4, 64, 512, 4_096)))
        raw[start : start + length] = draw.choice((bytes(length), draw.randbytes(length)))
    elif how == "cut" and size:
        del raw[draw.choice((draw.randrange(size), size // 4_096 * 4_096 - 4_096)) :]
    elif how == "longer":
        raw += draw.choice((bytes(4_096), draw.randbytes(draw.randrange(1, 9_000))))
    elif how == "garbage":
        raw = bytearray(draw.randbytes(draw.choice((1, 100, 4_096, 50_000))))
    elif how == "swap" and size > 8_192:  # two pages change places
        first, second = (draw.randrange(size // 4_096) * 4_096 for _ in range(2))
        page = raw[first : first + 4_096]
        raw[first : first + 4_096] = raw[second : second + 4_096]
        raw[second : second + 4_096] = page
    else:
        raw.clear()
    files[name] = bytes(raw)
    return f"{how} {name.removeprefix(str(HOME)) or 'database'}"


class Spoilt:
    """What a spoilt journal did when it was looked at."""

    def __init__(self, base: Base, what: str) -> None:
        self.base = base
        self.what = what
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []

    def look(self, name: str, do: Callable[[], object]) -> None:
        """Do one thing; an error of ours is an answer."""
        started = time.monotonic()
        try:
            do()
            self.seen[f"{name}: works"] += 1
        except ReconcilerError as error:
            self.seen[f"{name}: {type(error).__name__}"] += 1
        except AssertionError as error:
            self.wrong.append(f"{name}, {self.what}: {error}")
        except Exception as error:
            self.wrong.append(f"{name}, {self.what}: {type(error).__name__}: {error}")
        if (took := time.monotonic() - started) > SECONDS:
            self.wrong.append(f"{name}, {self.what}: took {took:.1f} s")

    def open(self, path: Path) -> None:
        """The ledger is that of a commit, and of the last one unless the log was touched."""
        with Journal.open(path, account="main", create=False) as journal:
            ledger = journal.recover(fold=recall, shape=Books, logic="stub").ledger
            seq = journal.last_seq
            rows = rows_in(journal._db)
        expected = self.base.life.expected(seq)
        assert expected is not None, f"no commit ended at {seq}"
        assert codec.encode(ledger) == expected[0], f"another ledger at {seq}"
        assert seq >= self.base.tip, f"ends at {seq}, the side file said {self.base.tip}"
        if not self.what.endswith(("-wal", ".tip")):
            assert seq == self.base.seq, f"ends at {seq}, not {self.base.seq}"
        if rows != expected[1]:
            self.seen["rows that differ, and the start does not see it"] += 1

    def read(self, path: Path) -> None:
        """Every view and every event can be asked for."""
        with History.open(path) as history:
            for view in VIEWS:
                history.rows(view)
            history.meta()
            list(history)

    def replay(self, path: Path) -> None:
        """A replay that finds no difference has read what was written."""
        report = replay(path, step=step, shape=Books)
        if report.difference is not None:
            self.seen["replay: finds it"] += 1
            return
        expected = self.base.life.expected(report.events)
        assert expected is not None, f"no commit ended at {report.events}"
        assert report.ledger_hash == codec.digest(expected[0]).hex(), "another ledger"
        with closing(readers.connect(path)) as db:
            try:
                same = rows_in(db) == expected[1]
            except sqlite3.Error:
                same = False
        if not same:  # in columns that it does not compare: see replay.LATER and replay.COMPARED
            self.seen["rows that differ, and replay does not see it"] += 1

    def verify(self, path: Path) -> None:
        """SQLite's own check and the chain, over the whole file."""
        care.verify(path)


def one(base: Base, draw: Random, root: Path) -> Spoilt:
    """Spoil a journal, and look at it in every way."""
    files = dict(base.image.files)
    spoilt = Spoilt(base, spoil(files, draw))
    image = base.image._replace(files=files)
    path = root / HOME
    image.put(root)
    for look in (spoilt.read, spoilt.replay, spoilt.verify):
        spoilt.look(look.__name__, partial(look, path))
    for name, raw in files.items():  # who only reads changes nothing
        if not name.endswith("-shm") and changed(root / name, raw):
            spoilt.wrong.append(f"{spoilt.what}: reading changed {name}")
    spoilt.look("open", lambda: spoilt.open(path))
    refused = not spoilt.seen["open: works"]
    if refused:
        for name, raw in files.items():
            if name.endswith((".db", "-wal", ".tip")) and changed(root / name, raw):
                spoilt.wrong.append(f"{spoilt.what}: refused, and {name} was changed")
    return spoilt


def changed(file: Path, raw: bytes) -> bool:
    """Whether a file is not what it was; an empty one may go."""
    return (file.read_bytes() if file.exists() else b"") != raw


def hostile(
    seed: int, count: int, scratch: Path, *, number: int | None = None
) -> tuple[Counter[str], list[Failure]]:
    """Many spoilt journals; or one of them, by its number."""
    both = bases(seed, scratch)
    seen: Counter[str] = Counter()
    failures = []
    for at in range(count) if number is None else (number,):
        draw = Random(f"hostile:{seed}:{at}")
        spoilt = one(draw.choice(both), draw, scratch / "spoilt")
        seen += spoilt.seen
        seen["files"] += 1
        case = f"hostile:{seed}:{at}"
        failures += [Failure(case, spoilt.what, words) for words in spoilt.wrong]
    return seen, failures


def odd_things(path: Path) -> dict[str, Callable[[], object]]:
    """What may stand where a file of the journal was, that is no such file."""
    victim = path.with_name("victim")
    victim.write_bytes(b"somebody's own")

    def instead(ending: str, make: Callable[[Path], object]) -> Callable[[], object]:
        def do() -> None:
            place = path.with_name(path.name + ending)
            place.unlink(missing_ok=True)
            make(place)

        return do

    return {
        f"{kind} for {ending or 'database'}": instead(ending, make)
        for ending in ("", "-wal", "-shm", ".tip", ".lock", ".tip.new")
        for kind, make in (
            ("folder", lambda place: place.mkdir()),
            ("pipe", os.mkfifo),
            ("link to nothing", lambda place: place.symlink_to("nowhere")),
            ("link to itself", lambda place: place.symlink_to(place.name)),
            ("link to a file", lambda place: place.symlink_to(victim)),
            ("link to zeros", lambda place: place.symlink_to("/dev/zero")),
            ("2 TB of nothing", lambda place: (place.touch(0o600), os.truncate(place, 2 * 2**40))),
        )
    }
