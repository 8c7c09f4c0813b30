"""
What SQLite and the file system say, as errors of ours.

A file that is damaged is `Broken`; everything else that goes wrong beneath us is a `StorageFault`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from reconciler.errors import Broken, NotLeader, StorageFault, Unreachable

#: Codes of SQLite that speak of what is in the file, not of getting at it.
DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}

#: What a value that we never wrote leads to, where ours are read.
STRANGE: Final = (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError)


def of(error: BaseException, path: Path, doing: str = "writing to") -> BaseException:
    """What an error means for the journal at *path*; what is no error of storage stays itself."""
    said = getattr(error, "orig", None) or error  # SQLAlchemy wraps what SQLite raises
    if isinstance(said, sqlite3.IntegrityError):
        if "fenced" in str(said):
            return NotLeader("a newer epoch has begun: another process has taken over")
        return Broken(f"the journal refuses a row: {said}", path=str(path))
    if isinstance(said, UnicodeDecodeError) or (isinstance(said, sqlite3.Error) and _damage(said)):
        return damaged(path, said)
    if isinstance(said, (sqlite3.Error, OSError)):
        name = getattr(said, "sqlite_errorname", type(said).__name__)
        return StorageFault(f"{doing} {path} failed: {said} ({name})", path=str(path))
    return error


def damaged(path: Path, said: object) -> Broken:
    """The file holds what nobody wrote."""
    return Broken(
        f"{path} is damaged: {said}",
        next_step="Keep the file as it is and put a backup in its place.",
        path=str(path),
    )


@contextmanager
def told(path: Path, doing: str) -> Iterator[None]:
    """Raise errors of storage as ours; an error in SQL is none."""
    try:
        yield
    except Exception as error:
        if _code(getattr(error, "orig", None) or error) == sqlite3.SQLITE_ERROR:
            raise
        if (told := of(error, path, doing)) is error:
            raise
        raise told from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """The same for those who only read: our own SQL fails if a table is not what it was."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # its words may be no text
        if (code := _code(error)) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Unreachable(f"{path} is busy: {error}", path=str(path)) from error
        if code == sqlite3.SQLITE_ERROR:
            raise damaged(path, error) from error
        raise of(error, path, "reading") from error


@contextmanager
def ours(path: Path) -> Iterator[None]:
    """Take what cannot be understood for damage, where only values that we wrote are read."""
    try:
        yield
    except STRANGE as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    except sqlite3.OperationalError as error:
        if _code(error) != sqlite3.SQLITE_ERROR:
            raise
        raise damaged(path, error) from error  # our own SQL: a table is not what it was


def _damage(error: sqlite3.Error) -> bool:
    code = _code(error)
    if code is None:  # found by Python: a text that is not UTF-8
        return "decode" in str(error)
    return code in DAMAGED


def _code(error: object) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
