"""
The life of a journal on a disk that remembers, and what was promised at each moment of it.

A promise is made when a call returns. From then on every image of the disk has to keep it.
"""

from __future__ import annotations

import atexit
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from reconciler.journal import care, codec, schema
from reconciler.journal.schema import SCHEMA
from reconciler.journal.store import Journal
from reconciler.simulation.disk import Disk, Fault
from tests.journal.making import Books, recovered, stepped, story

#: Tables that are not all of one step: what runs and snapshots say differs from start to start.
LEFT_OUT = ("meta", "runs", "snapshots", "alembic_version")

#: Where the journal is, beneath the root of the disk. Its folder is new, too.
HOME = Path("home") / "journal.db"

#: The schema after ours: what an upgrade leads to.
NEWER = f"{int(SCHEMA) + 1:04}"


class Promise(NamedTuple):
    """What may no longer be lost."""

    made: bool = False  # there is a journal
    seq: int = 0
    epoch: int = 0
    schema: str = SCHEMA
    copies: tuple[tuple[str, int], ...] = ()  # backups: name, and seq they reach at least
    restored: int = 0  # an older backup, to this seq, is in the place of the journal


class Life:
    """One recorded life."""

    def __init__(self, root: Path, seed: int, *, fault: Fault | None = None) -> None:
        self.disk = Disk(root, fault=fault)
        self.root = root
        self.path = root / HOME
        self.draw = random.Random(seed)
        self.seed = seed
        self.durable = True  # a commit survives a power loss, not only the end of the process
        self.events = story(seed, 400)
        self.books = Books()
        self.promise = Promise()
        self.promises: list[tuple[int, Promise]] = [(0, self.promise)]
        self.states: dict[int, tuple[bytes, str]] = {}  # seq of a commit -> ledger, all rows
        self.begun = 0  # the newest seq that was ever handed to `record`
        self.database_id = ""
        self.phases: list[tuple[int, str]] = []
        self.copies: dict[str, bytes] = {}  # what backups hold

    # Steps of a life.

    def phase(self, name: str) -> None:
        """Name what happens from now on, for those who read of a failure."""
        self.phases.append((len(self.disk.ops), name))

    def promised(self, **more: object) -> None:
        """Something was acknowledged."""
        self.promise = self.promise._replace(**more)  # type: ignore[arg-type]
        self.promises.append((len(self.disk.ops), self.promise))

    def open(self, durability: str = "power") -> Journal:
        """Begin a run, and read what there is."""
        self.phase("open")
        journal = Journal.open(self.path, account="main", durability=durability)
        self.database_id = journal.database_id
        self.promised(made=True, epoch=journal.epoch)
        self.books = recovered(journal)
        self.keep(journal.last_seq)
        return journal

    def record(self, journal: Journal, count: int) -> None:
        """One commit of *count* events."""
        self.phase("record")
        start = journal.last_seq
        steps = stepped(self.books, self.events[start : start + count])
        self.begun = start + len(steps)
        self.before_record(start + len(steps))
        journal.record(steps)
        self.promised(seq=journal.last_seq)
        journal.tell()  # of what is sent by now
        self.keep(journal.last_seq)

    def before_record(self, seq: int) -> None:
        """A careless life promises here what is not written yet."""

    def keep(self, seq: int) -> None:
        """Remember what is stored at this seq."""
        if seq not in self.states:
            self.states[seq] = codec.encode(self.books), rows_of(self.path)

    def rest(self, journal: Journal) -> None:
        """Nothing to do: the log is worked off, the side file moves along."""
        self.phase("rest")
        journal._wal.tip_due_ns = 0
        journal.checkpoint_if_idle()

    def backup(self, journal: Journal) -> None:
        """A copy, in a folder that may be new."""
        self.phase("backup")
        seq = journal.last_seq
        self.copied(journal.backup(), seq)

    def copied(self, copy: Path, seq: int) -> None:
        """There is a backup now."""
        name = str(copy.relative_to(self.root))
        care.verify(copy)
        self.copies[name] = copy.read_bytes()
        self.promised(copies=(*self.promise.copies, (name, seq)))

    def snapshot(self, journal: Journal) -> None:
        self.phase("snapshot")
        journal.snapshot(self.books, logic="stub")

    def close(self, journal: Journal) -> None:
        """With a last snapshot, and with the log worked off."""
        self.snapshot(journal)
        self.phase("close")
        journal.close()
        self.phase("closed")

    # Looking back.

    def promise_at(self, done: int) -> Promise:
        """What had been promised when *done* operations were."""
        return next(promise for at, promise in reversed(self.promises) if at <= done)

    def phase_at(self, done: int) -> str:
        """What was going on when *done* operations were."""
        return next((name for at, name in reversed(self.phases) if at <= done), "before")

    def expected(self, seq: int) -> tuple[bytes, str] | None:
        """Ledger and rows after *seq*; None if no commit ends there."""
        return self.states.get(seq)


def rows_of(path: Path) -> str:
    """A fingerprint of every row of every step, by a connection that the disk does not see."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro&vfs=unix", uri=True)) as db:
        return rows_in(db)


def rows_in(db: sqlite3.Connection) -> str:
    """The same, by a connection that is there already."""
    tables = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ).fetchall()
    found = sha256()
    for (table,) in tables:
        if table not in LEFT_OUT and not str(table).startswith("sqlite_"):
            rows = db.execute(f"SELECT * FROM {table}").fetchall()
            if rows:
                found.update(repr((table, rows)).encode())
    return found.hexdigest()


def batches(life: Life, journal: Journal, times: int) -> None:
    """Some commits of a few events each."""
    for _ in range(times):
        life.record(journal, life.draw.choice((1, 2, 5, 9)))


def whole(life: Life, durability: str = "power") -> None:
    """
    Made, written, snapshotted, worked off while writing goes on, copied, closed; then once more.

    The log is written over from its start several times, which is where old frames could be
    taken for new ones.
    """
    life.durable = durability == "power"
    with life.disk:
        journal = life.open(durability)
        batches(life, journal, 4)
        life.snapshot(journal)
        batches(life, journal, 2)
        life.rest(journal)
        batches(life, journal, 3)
        life.rest(journal)
        batches(life, journal, 2)
        life.backup(journal)
        life.record(journal, 4)
        life.close(journal)
        journal = life.open(durability)
        batches(life, journal, 2)
        life.rest(journal)
        batches(life, journal, 2)
        life.close(journal)


def process(life: Life) -> None:
    """A life whose commits survive the death of the process, and not always a power loss."""
    whole(life, "process")


def restart(life: Life) -> None:
    """What a start does with what it finds; the root holds a journal, or the image of one."""
    with life.disk:
        journal = life.open()
        batches(life, journal, 2)
        life.rest(journal)
        life.record(journal, 3)
        life.close(journal)


def upgrade(life: Life) -> None:
    """A journal, and then a newer program with one more table."""
    with life.disk:
        journal = life.open()
        batches(life, journal, 3)
        life.close(journal)
    upgrade_again(life)


def upgrade_again(life: Life) -> None:
    """The newer program, for the first time or after it was stopped."""
    with life.disk:
        life.phase("upgrade")
        done = care.upgrade(life.path, migrations=newer_schema(), head=NEWER)
        life.promised(schema=NEWER)
        if done.backup is not None:
            life.copied(done.backup, life.promise.seq)


@cache
def newer_schema() -> Path:
    """Our migrations, and one more."""
    folder = Path(tempfile.mkdtemp(prefix="reconciler-migrations-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(schema.migrations_folder(), folder, dirs_exist_ok=True)
    (folder / "versions" / f"{NEWER}_more.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = {NEWER!r}, {SCHEMA!r}\nbranch_labels = depends_on = None\n"
        "def upgrade():\n"
        "    op.get_bind().exec_driver_sql('CREATE TABLE notes (words TEXT) STRICT')\n"
    )
    return folder


def restore(life: Life) -> None:
    """A backup takes the place of a journal whose program was killed: its log is still there."""
    with life.disk:
        journal = life.open()
        batches(life, journal, 3)
        life.backup(journal)
        batches(life, journal, 2)
        if life.seed % 2:  # there is a side file, or none yet
            life.rest(journal)
            batches(life, journal, 2)
    journal._lock.release()  # as a kill does
    restore_again(life)
    journal._writer.close()


def restore_again(life: Life) -> None:
    """The same backup, for the first time or after the restoring was stopped."""
    name, seq = life.promise.copies[0]
    with life.disk:
        life.phase("restore")
        care.restore(life.root / name, life.path)
        life.phase("restored")
        life.promised(restored=seq)


#: Name -> the life, and what is done after a power loss in it, by the phase where it happened.
LIVES: dict[str, tuple[Callable[[Life], None], dict[str, Callable[[Life], None]]]] = {
    "whole": (whole, {}),
    "process": (process, {}),
    "upgrade": (upgrade, {"upgrade": upgrade_again}),
    "restore": (restore, {"restore": restore_again}),
}
