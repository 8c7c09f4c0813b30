"""What a person or a program is told when a command fails: one sentence, and an exit code."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
import traceback
from collections.abc import Sequence

import typer

from reconciler.errors import (
    Broken,
    ReconcilerError,
    StorageFault,
    Unreachable,
    UsageError,
)

#: A code of an error -> the HTTP status that goes with it (409 for what no line names).
STATUS = {
    "usage": 400,
    "not_found": 404,
    "stale_version": 412,
    "limit_exceeded": 422,
    "unknown_symbol": 422,
    "not_a_lot": 422,
    "refused": 422,
    "plan_expired": 410,
    "unreachable": 503,
    "in_doubt": 503,
}
_USAGE = typer.BadParameter.__mro__[1]  # typer has its own copy of click, or not: by version


def wanted(arguments: Sequence[str]) -> tuple[str, bool]:
    """Output format and whether to show the whole trace, read before anything is understood."""
    form, debug, before = "", False, ""
    for word in arguments:
        if word == "--":
            break
        if before in {"-o", "--output"}:
            form = word
        elif word.startswith("--output="):
            form = word.partition("=")[2]
        elif word.startswith("-o") and len(word) > 2:
            form = word[2:]
        debug = debug or word == "-vv" or (word == "-v" and before == "-v")
        before = word
    return form, debug or bool(os.environ.get("RECONCILER_TEST_TRACE"))


def report(error: Exception, form: str, *, debug: bool) -> int:
    """Tell of *error* on standard error; the exit code that goes with it."""
    foreseen = _foreseen(error)
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    if foreseen is None:
        # The text of an error that nobody foresaw may hold anything: only -vv shows it.
        foreseen = ReconcilerError(
            f"{type(error).__name__}, which was not foreseen",
            next_step="Run it again with -vv, and report what it says and what `reconciler bundle`"
            " writes.",
        )
    if form in {"json", "jsonl"}:
        print(json.dumps(problem(foreseen)), file=sys.stderr)
    else:
        from reconciler.logs import inert

        print(f"error: {inert(str(foreseen))}", file=sys.stderr)
    return foreseen.exit_code


def problem(error: ReconcilerError) -> dict[str, object]:
    """An error in the form of RFC 9457, as HTTP and ``-o json`` give it."""
    words = (type(error).__doc__ or "").strip().splitlines()[0].partition(":")[0]
    return {
        "type": "about:blank",
        "title": words.strip().rstrip("."),
        "status": STATUS.get(error.code, 409 if error.exit_code == 5 else 500),
        "code": error.code,
        "detail": str(error),
        "fields": {
            name: value if isinstance(value, (int, str, bool, type(None))) else str(value)
            for name, value in error.fields.items()
        },
    }


def _foreseen(error: Exception) -> ReconcilerError | None:
    """*error* as one of ours, if it is one that happens."""
    if isinstance(error, ReconcilerError):
        return error
    if isinstance(error, _USAGE):
        said = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
        said = said[:1].lower() + said[1:].replace("\x00", "").replace(r"\x00", "")
        command = getattr(getattr(error, "ctx", None), "command_path", "reconciler")
        return UsageError(said, next_step=f"See `{command} --help`.")
    if isinstance(error, sqlite3.DatabaseError):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return Broken(f"the database is damaged: {error}")
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return Unreachable(f"the database is busy: {error}")
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            return StorageFault(f"the disk failed: {error}")
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
        if error.filename is None:
            return StorageFault(
                f"what was to be printed could not be written: {error.strerror}",
                next_step="Print it elsewhere.",
            )
    if isinstance(error, OSError) and error.filename is not None:
        return StorageFault(f"{error.filename}: {error.strerror}", next_step="See to that file.")
    return None
