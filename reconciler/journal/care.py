"""
Care of a journal: how it is made, copies that verify, upgrades that are all or nothing, restores.

Alembic is at home here. It takes as long to import as the rest of a start, so the store imports
this module only when there is a journal to make.

A copy is made by a connection that can only read, so it may be made while the service writes. What
writes (upgrade, restore) takes the lock first.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import string
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from reconciler.errors import Broken, ConfigError, NotFound, ReconcilerError
from reconciler.journal import chain, faults, files, readers, schema, writer
from reconciler.journal.lock import Lock
from reconciler.journal.schema import SCHEMA

#: More starts than a journal had between two backups, when it can't be read any more.
UNKNOWN_EPOCHS = 1_000
#: Alembic keeps what it migrates in its modules, and the accounts of a process start side by side.
_one_at_a_time = threading.Lock()


class Current(NamedTuple):
    """The schema of a database beside the program's."""

    found: str
    needed: str


class Upgraded(NamedTuple):
    """What an upgrade did. *backup* is None when there was nothing to do."""

    before: str
    after: str
    backup: Path | None


def create(path: Path, *, account: str) -> None:
    """
    Make a journal: whole and synced under another name first, then under its own.

    Raises:
        Broken: Something of an older journal is still there; it was lost, not new.
    """
    for ending in (".tip", *files.SIDE_FILES):
        if (left := files.beside(path, ending)).exists():
            raise Broken(
                f"{path} is gone, but {left.name} is there: a journal was lost",
                next_step="Restore a backup, or move what is left of it away.",
                path=str(path),
            )
    new = files.beside(path, ".new")
    for ending in ("", *files.SIDE_FILES):
        files.beside(new, ending).unlink(missing_ok=True)
    files.create_private(new)
    connection = writer.Writer.open(
        new, durability="process"
    )  # synced below, before it gets its name
    try:
        with connection.transaction() as begun:
            connection.db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            _run_migrations(begun)
            values = _identity(account) | {schema.MADE: schema.fingerprint(connection.db)}
            connection.db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", values.items())
        connection.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    files.sync(new)
    new.rename(path)
    files.sync_names(path)


def _identity(account: str) -> dict[str, str]:
    letters = string.ascii_lowercase + string.digits
    return {
        "database_id": secrets.token_hex(16),
        "application": "reconciler",
        "account": account,
        "installation": "".join(secrets.choice(letters) for _ in range(4)),
        "epoch": "0",
        "created_us": str(time.time_ns() // 1000),
    }


def current(path: Path) -> Current:
    """
    Which schema a journal has.

    Raises:
        Unreachable: There is none.
        ConfigError: It is no journal.
    """
    with faults.reading(path), faults.ours(path), closing(readers.connect(path)) as db:
        return Current(schema.identify(db, path), SCHEMA)


def backup(path: Path, to: Path | None = None) -> Path:
    """
    Copy a journal that no process has open for writing. A running service has `Journal.backup`.

    Returns:
        The copy; see `copy`.

    Raises:
        NotLeader: A process has it; ask that one.
        Broken: The copy does not verify.
    """
    path = _existing(path)
    lock = Lock.take(path, what="backup")
    try:
        return copy(path, to)
    finally:
        lock.release()


def copy(path: Path, to: Path | None = None) -> Path:
    """
    Copy a journal as it is at one moment to a new private file, and verify the copy.

    The caller is the process that holds the lock. The connection only reads, so whoever writes
    goes on meanwhile.

    Args:
        path: Of the journal.
        to: A file that does not exist yet; by default ``backups/NAME-TIME.db`` beside it.

    Raises:
        ConfigError: The file exists already.
        Broken: The copy does not verify; it was removed.
        StorageFault: The file system refuses. The journal is as it was.
    """
    if to is None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        to = path.parent / "backups" / f"{path.stem}-{now}{path.suffix or '.db'}"
    if to.exists():
        raise ConfigError(f"{to} exists already", next_step="Name a new file.", path=str(to))
    with faults.told(to, "writing"):
        files.private_folder(to.parent)
        new = files.beside(to, ".new")
        new.unlink(missing_ok=True)
        files.create_private(new)
        try:
            with closing(readers.connect(path, query_only=False)) as db:
                db.execute("VACUUM INTO ?", (str(new),))
            verify(new)
            files.sync(new)
            os.link(new, to)  # never over another file
        finally:
            new.unlink(missing_ok=True)
        files.sync_names(to)
    return to


def verify(path: Path) -> int:
    """
    Check a file from end to end: SQLite's own check, its references, the chain, the schema.

    Returns:
        The seq of the last event.

    Raises:
        Broken: It is damaged, or not what was written.
    """
    with faults.reading(path), faults.ours(path), closing(readers.connect(path)) as db:
        schema.identify(db, path)
        _integrity(db, path)
        for _ in chain.verified(db):
            pass
        schema.require_as_made(db, path)
        return chain.end(db)[0]


def upgrade(path: Path, *, migrations: Path | None = None, head: str = SCHEMA) -> Upgraded:
    """
    Bring an older schema up to the program's: backup first, then all revisions or none.

    Args:
        path: Of the journal.
        migrations: Their folder, if it is not our own.
        head: The revision to reach.

    Raises:
        NotLeader: A process has it.
        SchemaError: It is newer than the program; nothing was changed.
        Broken: It does not verify before or after; nothing was changed.
    """
    path = _existing(path)
    lock = Lock.take(path, what="upgrade")
    try:
        before = current(path).found
        if before >= head:
            schema.require(before, path, head=head)
            return Upgraded(before, before, None)
        kept = copy(path)
        with faults.told(path, "upgrading"):
            _migrate(path, migrations, head)
        return Upgraded(before, head, kept)
    finally:
        lock.release()


def _migrate(path: Path, migrations: Path | None, head: str) -> None:
    connection = writer.Writer.open(path, durability="power")
    try:
        db = connection.db
        db.execute("PRAGMA foreign_keys = OFF")  # tables may be rebuilt; checked before the commit
        end = chain.end(db)
        with connection.transaction() as begun:
            _run_migrations(begun, folder=migrations, to=head)
            _integrity(db, path)
            for _ in chain.verified(db):
                pass
            if chain.end(db) != end:
                raise Broken(f"the upgrade of {path} would change the journal: not done")
            db.execute(
                "INSERT INTO meta (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (schema.MADE, schema.fingerprint(db)),
            )
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()


def _run_migrations(
    connection: Connection, *, folder: Path | None = None, to: str = "head"
) -> None:
    """
    Run every revision that is missing on *connection*, in the transaction that it has open.

    Args:
        connection: Of SQLAlchemy, in a transaction; it is neither committed nor closed.
        folder: Of the migrations; by default our own.
        to: The revision to end at.
    """
    config = Config()
    config.set_main_option(
        "script_location", str(folder or schema.migrations_folder()).replace("%", "%%")
    )
    config.attributes["connection"] = connection
    with _one_at_a_time:
        command.upgrade(config, to)


def restore(copy_of: Path, path: Path) -> Path | None:
    """
    Put a backup in the place of a journal. What was there is kept under another name.

    The next run begins an epoch that neither of them had, reads a long way back at the venue, and
    meets orders that it does not know: see fault-model 3.12.

    Returns:
        Where the older journal is now; None if there was none.

    Raises:
        NotLeader: A process has the journal.
        Broken: The backup does not verify.
    """
    copy_of, path = _existing(copy_of), files.resolved(path)
    with faults.told(path, "restoring"):
        return _restore(copy_of, path)


def _restore(copy_of: Path, path: Path) -> Path | None:
    files.private_folder(path.parent)
    lock = Lock.take(path, what="restore")
    try:
        new = files.beside(path, ".new")
        for ending in ("", *files.SIDE_FILES):
            files.beside(new, ending).unlink(missing_ok=True)
        files.create_private(new)
        with closing(readers.connect(copy_of, query_only=False)) as db:
            db.execute("VACUUM INTO ?", (str(new),))
        verify(new)
        _raise_epoch(new, _epoch_of(path))
        files.sync(new)
        tip = files.beside(path, ".tip")
        older = tip.exists()
        if not older and path.exists():
            files.write_tip(path, _tip_of(new))  # true of the newer one already
            files.sync(path.parent)
        for ending in files.SIDE_FILES:
            files.beside(new, ending).unlink(missing_ok=True)
        kept = _move_away(path)
        new.rename(path)
        files.sync_names(path)
        if kept is not None and older:
            tip.rename(files.beside(kept, ".tip"))
            files.sync(path.parent)
        return kept
    finally:
        lock.release()


def prune(folder: Path, *, hourly: int = 24, daily: int = 7) -> list[Path]:
    """
    Remove old backups, but the newest of each of the last hours and days that have one.

    Returns:
        What was removed. Files whose names are not those of `copy` are left alone.
    """
    named = sorted(
        (found[1], file)
        for file in folder.glob("*.db")
        if (found := re.search(r"-(\d{8}T\d{6}\.\d{6}Z)$", file.stem))
    )
    kept: set[Path] = set()
    for length, most in ((len("20261122T12"), hourly), (len("20261122"), daily)):
        newest = {time_of[:length]: file for time_of, file in named}
        kept.update(file for _, file in sorted(newest.items())[-most:])
    removed = [file for _, file in named if file not in kept]
    for file in removed:
        file.unlink()
    return removed


def _epoch_of(path: Path) -> int | None:
    """The epoch of a journal that is about to be replaced; None if it can't be told."""
    if not path.exists():
        return 0
    try:
        with faults.reading(path), faults.ours(path), closing(readers.connect(path)) as db:
            return int(writer.meta(db)["epoch"])
    except ReconcilerError:
        return None  # damaged: that is why it is replaced


def _raise_epoch(new: Path, older: int | None) -> None:
    """Names that are made of the epoch must not come again."""
    connection = writer.Writer.open(new, durability="process")  # synced by the caller
    try:
        found = int(writer.meta(connection.db)["epoch"])
        epoch = found + UNKNOWN_EPOCHS if older is None else older
        if epoch > found:
            connection.db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (str(epoch),))
        connection.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()


def _tip_of(path: Path) -> files.Tip:
    with closing(readers.connect(path)) as db:
        return files.Tip(*chain.end(db)[:2])


def _move_away(path: Path) -> Path | None:
    """
    Give a journal and its log another name. The side file stays: while it is there without the
    journal, or beside a shorter one, every start refuses, whatever of this a power loss undoes.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = files.beside(path, f".replaced-{now}")
    moved = files.beside(path, ".tip").exists()
    # The database first, and synced: without its log it would be a shorter journal.
    for ending in ("", *files.SIDE_FILES):
        if (old := files.beside(path, ending)).exists():
            old.rename(files.beside(kept, ending))
            files.sync(path.parent)
            moved = True
    return kept if moved else None


def _integrity(db: sqlite3.Connection, path: Path) -> None:
    for question in ("integrity_check", "foreign_key_check"):
        said = [str(row[0]) for row in db.execute(f"PRAGMA {question}")]
        if said not in ([], ["ok"]):
            raise Broken(f"{path} is damaged ({question}): {said[0]}", path=str(path))


def _existing(path: Path) -> Path:
    path = files.resolved(path)
    if not path.is_file():
        raise NotFound(f"there is no file {path}", next_step="Name another.", path=str(path))
    return path
