"""
The schema of a database: which one it is, whether it is ours, and whether it is as it was made.

`care` migrates, when there is something to migrate; on every other start one SELECT tells.
"""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from pathlib import Path

from reconciler.errors import Broken, ConfigError, SchemaError

#: The revision of `migrations/` that this program reads and writes.
SCHEMA = "0003"

#: "Recj": says in the file's header whose database it is.
APPLICATION_ID = 0x5265636A

#: The schema of the first journals; some of them do not keep their `fingerprint`.
UNSIGNED = "0001"

#: Under this key ``meta`` keeps `fingerprint`, as it was when the last migration was done.
MADE = "schema_digest"


def migrations_folder() -> Path:
    """`migrations/`: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigError(
        f"the migrations are missing from {package}", next_step="Install the program again."
    )


def identify(db: sqlite3.Connection, path: Path) -> str:
    """
    The revision of a database of ours.

    Raises:
        ConfigError: It is somebody else's, or no database; the message says what it is.
    """
    try:
        application = int(db.execute("PRAGMA application_id").fetchone()[0])
        names = [str(row[0]) for row in db.execute("SELECT name FROM sqlite_master")]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_NOTADB:
            raise
        raise ConfigError(f"{path} is not a database", path=str(path)) from None
    if application != APPLICATION_ID or "alembic_version" not in names:
        what = f"with tables {', '.join(sorted(names)[:5])}" if names else "without tables"
        raise ConfigError(
            f"{path} is a database of another program"
            f" (application id {application:#010x}, {what}), not a journal",
            next_step="Name another file in [database] url.",
            path=str(path),
            application_id=application,
        )
    revision: tuple[str] | None = db.execute("SELECT version_num FROM alembic_version").fetchone()
    if revision is None:
        raise ConfigError(f"{path} was never finished: it has no schema", path=str(path))
    return revision[0]


def require(revision: str, path: Path, *, head: str = SCHEMA) -> None:
    """
    Refuse a schema that is not the program's.

    Raises:
        SchemaError: Older, with what to run; or newer, with both named.
    """
    if revision == head:
        return
    older = revision < head
    raise SchemaError(
        f"{path} has schema {revision}, this program needs {head}",
        next_step="Run `reconciler db upgrade`; it makes a backup first."
        if older
        else f"Use the program that made schema {revision}, or a newer one.",
        found=revision,
        needed=head,
    )


def fingerprint(db: sqlite3.Connection) -> str:
    """A hash of the SQL of every table, index, trigger and view that is not SQLite's own."""
    rows = db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master"
        " WHERE name NOT LIKE 'sqlite|_%' ESCAPE '|' ORDER BY type, name"
    ).fetchall()
    return sha256(repr(rows).encode()).hexdigest()


def require_as_made(db: sqlite3.Connection, path: Path) -> None:
    """
    Refuse a journal whose tables and guards are not those that the migrations made.

    SQLite's own check reads the SQL of a schema and does not ask whether it is what it was: one
    flipped bit gives a column another name, or makes a trigger let everything through.

    Raises:
        Broken: A table, index, trigger or view was changed, added or dropped.
    """
    made: tuple[str] | None = db.execute("SELECT value FROM meta WHERE key = ?", (MADE,)).fetchone()
    if made is None and identify(db, path) == UNSIGNED:
        return
    if made != (fingerprint(db),):
        raise Broken(
            f"the tables, indexes, triggers or views of {path} are not those that were made",
            next_step="Keep the file as it is and put a backup in its place.",
            path=str(path),
        )
