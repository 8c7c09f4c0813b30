"""What every command does that changes something: ask, confirm, tell, let go."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from reconciler.cli import output
from reconciler.cli.app import Ask
from reconciler.errors import NotLeader, Refused

OFFLINE = "no service is running: recorded; `reconciler run` will act on it"

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the journal.")]
Timeout = Annotated[
    str | None, typer.Option(metavar="D", help="Give up after 90s, 5m…; default: never.")
]
Until = Annotated[
    str | None,
    typer.Option(metavar="T", help="End by itself: in 30m, at 14:00Z, or at 2026-11-01T12:00Z."),
]


def tell(ask: Ask, words: str, value: Any) -> None:
    """One result: a line for people, or all of it."""
    if ask.form in {"json", "jsonl"}:
        import json

        import msgspec

        plain = msgspec.to_builtins(value) if not isinstance(value, dict) else output.exact(value)
        print(json.dumps(plain, default=str))
    else:
        print(output.plain(words))


def count(symbols: tuple[str, ...]) -> str:
    return f"{len(symbols)} symbol{'' if len(symbols) == 1 else 's'}"


def confirm(ask: Ask, question: str) -> None:
    """Have a person agree. Where nobody can be asked, only --yes does."""
    if ask.yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(
            "this has to be confirmed, and there is no terminal to ask on",
            next_step="Add --yes if you are sure. Nothing was changed.",
        )
    if not typer.confirm(question, default=False, err=True):
        raise Refused("not confirmed")


def me() -> str:
    try:
        return f"cli {getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


@contextmanager
def closing(door: Any) -> Iterator[None]:
    try:
        yield
    finally:
        door.close()


@contextmanager
def held_told() -> Iterator[None]:
    """A journal that is held by a process without a door: say who has it."""
    from reconciler.cli import wiring

    try:
        yield
    except NotLeader as error:
        if isinstance(error.fields.get("path"), (str, Path)):
            raise wiring.held(error) from None
        raise
