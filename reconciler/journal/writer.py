"""
The one connection that writes, and the checks before it does.

SQLAlchemy owns the connection; the hot path runs on the DBAPI connection beneath it. There is
never a second one that writes or checkpoints: SQLite before 3.51.3 can corrupt a WAL database
when two connections do so at the same moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool

from reconciler.errors import Broken, ConfigError, ReconcilerError, StorageFault
from reconciler.journal import readers

#: What a commit survives -> SQLite's word. EXTRA also keeps the switch to WAL through a power loss.
SYNCHRONOUS: Mapping[str, str] = {"power": "EXTRA", "process": "NORMAL"}

#: How long a lock of another connection is waited for.
BUSY_MS = 5_000

#: Files larger than this are not read from end to end at every start.
QUICK_CHECK_BYTES = 128 * 2**20


#: Connections that could not be closed without writing.
_abandoned: list[Writer] = []


class Writer:
    """An engine and the DBAPI connection that it keeps."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._held = engine.raw_connection()
        self.db: sqlite3.Connection = cast(sqlite3.Connection, self._held.dbapi_connection)

    @classmethod
    def open(cls, path: Path, *, durability: str) -> Writer:
        """
        Connect to a database that exists, with the settings of fault-model 3.9, in their order.

        Raises:
            StorageFault: The file system does not allow a WAL.
        """
        address = f"file:{quote(str(path))}?mode=rw"

        def connect() -> sqlite3.Connection:
            db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
            db.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StorageFault(f"{path} cannot be switched to a WAL (it stays {mode})")
            for setting in (
                "foreign_keys = ON",
                "trusted_schema = OFF",
                "cell_size_check = ON",
                "mmap_size = 0",
                f"busy_timeout = {BUSY_MS}",
                "wal_autocheckpoint = 0",
                "recursive_triggers = ON",  # so that REPLACE cannot delete what is append-only
            ):
                db.execute(f"PRAGMA {setting}").fetchone()
            return db

        return cls(create_engine("sqlite://", creator=connect, poolclass=StaticPool))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One write transaction for SQLAlchemy and for `db` alike; committed at the end, or not."""
        with self.engine.connect() as connection, connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def close(self) -> None:
        """Close the connection, and with it SQLite's files."""
        self.engine.dispose()
        self.db.close()

    def abandon(self, path: Path) -> None:
        """
        Close the connection and leave the files as they are.

        The last connection to close works off the log and syncs again. A disk that failed must not
        be asked again, a damaged file not be changed, and another's journal not be touched: so a
        connection that cannot write stays until after this one.
        """
        try:
            reader = readers.connect(path)
        except (ReconcilerError, sqlite3.Error):
            _abandoned.append(self)  # not even that: open until the process ends
            return
        try:
            self.close()
        finally:
            reader.close()


def check(db: sqlite3.Connection, path: Path) -> None:
    """
    SQLite's own check of the file: of all of it, or only of the small tables of a large one.

    Raises:
        Broken: Something is damaged.
    """
    large = path.stat().st_size > QUICK_CHECK_BYTES
    parts = ("(meta)", "(symbol_now)", "(orders)", "(targets)", "(snapshots)") if large else ("",)
    for part in parts:
        said = [str(row[0]) for row in db.execute(f"PRAGMA quick_check{part}")]
        if said != ["ok"]:
            raise Broken(
                f"{path} is damaged: {said[0]}",
                next_step="Keep the file as it is and put a backup in its place.",
                path=str(path),
            )


def meta(db: sqlite3.Connection) -> dict[str, Any]:
    """The values of ``meta``; the epoch as a number."""
    values: dict[str, Any] = dict(db.execute("SELECT key, value FROM meta").fetchall())
    values["epoch"] = int(values["epoch"])
    return values


def require_account(values: Mapping[str, Any], account: str, path: Path) -> None:
    """ConfigError unless the journal is that of *account*."""
    if values["account"] != account:
        raise ConfigError(
            f"{path} is the journal of account {values['account']!r}, not of {account!r}",
            next_step="Name the account, or another file, in the configuration.",
            path=str(path),
        )
