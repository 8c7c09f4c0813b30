"""
Fresh journals in a moment: the migrations run once in a process, and what they made is made again.

A test of anything but the journal needs one that is empty, and no test of how it came to be. The
first in each process is made by the migrations, and every other has to have its very fingerprint.
Tests of the journal itself, and whatever is recorded on a disk, run the migrations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

from sqlalchemy import Connection

from reconciler.journal import care, schema

by_migrations = care._run_migrations


class Made(NamedTuple):
    """What the migrations have made of an empty file."""

    tables: tuple[str, ...]  # and indexes, triggers, views, as SQL and in their order
    rows: tuple[tuple[str, tuple[object, ...]], ...]  # by table
    fingerprint: str


_made: Made | None = None


def by_copy(connection: Connection, *, folder: Path | None = None, to: str = "head") -> None:
    """In the place of `care._run_migrations`: the same, from memory if the file is empty."""
    global _made
    db = cast(sqlite3.Connection, connection.connection.dbapi_connection)
    is_new = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not is_new or folder is not None or to != "head":
        by_migrations(connection, folder=folder, to=to)
    elif _made is None:
        by_migrations(connection)
        _made = _read(db)
    else:
        for sql in _made.tables:
            db.execute(sql)
        for table, row in _made.rows:
            db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        assert schema.fingerprint(db) == _made.fingerprint


def _read(db: sqlite3.Connection) -> Made:
    found = db.execute(
        "SELECT type, name, sql FROM sqlite_master"
        " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite|_%' ESCAPE '|' ORDER BY rowid"
    ).fetchall()
    rows = [
        (name, row)
        for kind, name, _ in found
        if kind == "table"
        for row in db.execute(f"SELECT * FROM {name}").fetchall()
    ]
    return Made(tuple(sql for _, _, sql in found), tuple(rows), schema.fingerprint(db))


@contextmanager
def journals() -> Iterator[None]:
    """Every journal that is made meanwhile is a copy."""
    before, care._run_migrations = care._run_migrations, by_copy
    try:
        yield
    finally:
        care._run_migrations = before
