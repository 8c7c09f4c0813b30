"""
Connections that only read: they never create, migrate, lock or checkpoint.

SQLite's WAL needs its ``-shm`` and ``-wal`` files even for reading. Where the folder may be
written, SQLite makes them (private, as the database is) and leaves them; a reader has opened the
database file itself read-only, so it cannot take the lock that a checkpoint at closing needs.
Where the folder may not be written and no ``-wal`` is there, nobody writes either: the file is
then read as one that does not change.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from reconciler.errors import Broken, Unreachable
from reconciler.journal.files import beside

#: The smallest page of a database, in bytes; there is none without one.
PAGE = 512


def connect(path: Path, *, query_only: bool = True) -> sqlite3.Connection:
    """
    Open a journal for reading.

    Args:
        path: Of the database.
        query_only: False lets the connection write other files (VACUUM INTO); the database
            itself stays read-only.

    Raises:
        Unreachable: There is no such file, or it cannot be opened.
        Broken: It is empty, and was not.
    """
    if not path.is_file():
        raise Unreachable(
            f"there is no journal at {path}",
            next_step="Start `reconciler run` once, or name another in [database] url.",
            path=str(path),
        )
    log = beside(path, "-wal")
    if path.stat().st_size < PAGE and log.exists() and log.stat().st_size:
        raise Broken(  # SQLite takes a file of one byte for new, and removes the log
            f"{path} is empty, but {log.name} is not: the journal was lost",
            next_step="Keep both files as they are and put a backup in its place.",
            path=str(path),
        )
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    try:
        return _open(address, query_only)
    except sqlite3.OperationalError as error:
        refused = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
        if error.sqlite_errorcode & 0xFF not in refused or log.exists():
            raise Unreachable(f"{path} cannot be opened: {error}", path=str(path)) from error
    return _open(address + "&immutable=1", query_only)


def _open(address: str, query_only: bool) -> sqlite3.Connection:
    db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    try:
        if query_only:
            db.execute("PRAGMA query_only = ON")
        db.execute("PRAGMA trusted_schema = OFF")
        try:
            db.execute("PRAGMA cache_size = -16000")  # KiB, taken as needed
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_NOTADB:
                raise  # `schema.identify` says what it is instead
    except BaseException:
        db.close()
        raise
    return db
