"""The images can tell: each way of promising too much, or of syncing too little, fails in some."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.journal import care, files, schema, writer
from reconciler.journal.store import Journal
from tests.crash.__main__ import memory
from tests.crash.campaign import Tally, campaign
from tests.crash.life import Life

pytestmark = pytest.mark.slow

Plant = Callable[[pytest.MonkeyPatch], object]
LIVES = range(5, 9)  # seeds


@pytest.fixture
def scratch() -> Iterator[Path]:
    with memory() as folder:
        yield folder


def no_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(writer.SYNCHRONOUS, "power", "OFF")  # type: ignore[arg-type]


def sync_at_checkpoints_only(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(writer.SYNCHRONOUS, "power", "NORMAL")  # type: ignore[arg-type]


def promise_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Life, "before_record", lambda life, seq: life.promised(seq=seq))


def folders_unsynced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "sync_names", lambda path: files.sync(path))
    real = files.sync
    patch.setattr(files, "sync", lambda path: None if path.is_dir() else real(path))


def only_the_nearest_folder(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "sync_names", lambda path: files.sync(path.parent))


def side_file_hurries(patch: pytest.MonkeyPatch) -> None:
    """It names rows that are not synced."""

    def rest(journal: Any, *, idle: bool = True) -> None:
        files.write_tip(journal.path, files.Tip(journal.last_seq, journal._hash))

    patch.setattr(Journal, "checkpoint_if_idle", rest)


def side_file_unsynced(patch: pytest.MonkeyPatch) -> None:
    """Its name may be there before its bytes."""

    def write(database: Path, tip: files.Tip) -> None:
        new = files.beside(database, ".tip.new")
        new.unlink(missing_ok=True)
        files.create_private(new)
        fileno = files.os.open(new, files.os.O_WRONLY)
        files.os.write(fileno, f"{tip.seq} {tip.hash.hex()}\n".encode())
        files.os.close(fileno)
        new.replace(files.beside(database, ".tip"))

    patch.setattr(files, "write_tip", write)


def epoch_unsynced(patch: pytest.MonkeyPatch) -> None:
    """A run begins before its epoch is on the disk."""
    real = Journal._begin_epoch

    def begin(journal: Journal) -> None:
        journal._db.execute("PRAGMA synchronous = NORMAL")
        real(journal)
        journal._db.execute("PRAGMA synchronous = EXTRA")

    patch.setattr(Journal, "_begin_epoch", begin)


def log_first(patch: pytest.MonkeyPatch) -> None:
    """A restore that takes the log away before the database, and syncs neither."""

    def move(path: Path) -> Path:
        kept = files.beside(path, ".replaced")
        for ending in (*files.SIDE_FILES, ""):
            if (old := files.beside(path, ending)).exists():
                old.rename(files.beside(kept, ending))
        return kept

    patch.setattr(care, "_move_away", move)


def one_by_one(patch: pytest.MonkeyPatch) -> None:
    """Each event of a batch in a transaction of its own."""
    real = Journal.record

    def record(journal: Journal, steps: Any) -> int:
        for one in steps:
            real(journal, [one])
        return journal.last_seq

    patch.setattr(Journal, "record", record)


def side_file_in_place(patch: pytest.MonkeyPatch) -> None:
    """It is written over where it stands."""

    def write(database: Path, tip: files.Tip) -> None:
        fileno = os.open(files.beside(database, ".tip"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.ftruncate(fileno, 0)
        os.write(fileno, f"{tip.seq} {tip.hash.hex()}\n".encode())
        os.fsync(fileno)
        os.close(fileno)

    patch.setattr(files, "write_tip", write)


def made_under_its_own_name(patch: pytest.MonkeyPatch) -> None:
    """A journal that is there before it is whole."""

    def create(path: Path, *, account: str) -> None:
        files.create_private(path)
        connection = writer.Writer.open(path, durability="power")
        with connection.transaction() as begun:
            connection.db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            care._run_migrations(begun)
            values = care._identity(account) | {schema.MADE: schema.fingerprint(connection.db)}
            connection.db.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        connection.close()
        files.sync_names(path)

    patch.setattr(care, "create", create)


def upgrade_in_two(patch: pytest.MonkeyPatch) -> None:
    """The tables of the newer schema in one transaction, its number in another."""

    def migrate(path: Path, migrations: Path | None, head: str) -> None:
        connection = writer.Writer.open(path, durability="power")
        connection.db.execute("CREATE TABLE notes (words TEXT) STRICT")
        connection.db.execute("UPDATE alembic_version SET version_num = ?", (head,))
        connection.db.execute(
            "UPDATE meta SET value = ? WHERE key = ?",
            (schema.fingerprint(connection.db), schema.MADE),
        )
        connection.close()

    patch.setattr(care, "_migrate", migrate)


def upgrade_unsynced(patch: pytest.MonkeyPatch) -> None:
    """The upgrade is told before it is on the disk."""
    real = writer.Writer.open

    def opened(path: Path, *, durability: str) -> writer.Writer:
        found = real(path, durability=durability)
        found.db.execute("PRAGMA synchronous = OFF")
        return found

    patch.setattr(care.writer.Writer, "open", opened)


def restored_in_place(patch: pytest.MonkeyPatch) -> None:
    """A restore that writes over the journal, beside its log."""

    def restore(copy_of: Path, path: Path) -> None:
        path.with_name("journal.db.tip").unlink(missing_ok=True)
        fileno = os.open(path, os.O_WRONLY)
        os.write(fileno, copy_of.read_bytes())
        os.ftruncate(fileno, copy_of.stat().st_size)
        os.fsync(fileno)
        os.close(fileno)

    patch.setattr(care, "restore", restore)


@pytest.mark.parametrize(
    ("plant", "life", "invariant"),
    [
        (no_sync, "whole", "R"),
        (sync_at_checkpoints_only, "whole", "R3"),
        (promise_first, "whole", "R3"),
        (folders_unsynced, "whole", "R3"),
        (only_the_nearest_folder, "whole", "R3"),
        (side_file_hurries, "process", "R2"),
        (side_file_unsynced, "whole", "R2"),
        (epoch_unsynced, "whole", "R5"),
        (log_first, "restore", "R"),
        (one_by_one, "whole", "R2"),
        (side_file_in_place, "whole", "R2"),
        (made_under_its_own_name, "whole", "R2"),
        (upgrade_in_two, "upgrade", "R"),
        (upgrade_unsynced, "upgrade", "R"),
        (restored_in_place, "restore", "R"),
    ],
)
def test_a_planted_weakness_is_found(
    plant: Plant, life: str, invariant: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With a guard removed, some image breaks the invariant that the guard keeps.

    As a rule one of the first 400. Some windows are two operations wide, though, and which images
    show them depends on every write of a life: what is rare is looked for in up to four lives.
    """
    plant(monkeypatch)
    tally = Tally()
    for seed in LIVES:
        campaign(life, seed, 400, scratch, tally, enough=1, sought=invariant)
        said = [failure.said for failure in tally.failures]
        if any(words.startswith(invariant) for words in said):
            return
    raise AssertionError(f"{len(tally)} images, and none breaks {invariant}: {said[:3]}")
