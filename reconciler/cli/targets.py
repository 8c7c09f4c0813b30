"""Say what you want: `set`, `wait`, `halt`, `resume`."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from reconciler.cli import output, parse
from reconciler.cli.app import Ask, command
from reconciler.errors import (
    InDoubt,
    NotFound,
    NotLeader,
    Refused,
    Unreachable,
    UsageError,
    WaitTimeout,
)

ON_TARGET = "on-target"
STATES = ("idle", "placing", "working", "cancelling", "filled")
OFFLINE = "no service is running: recorded; `reconciler run` will act on it"

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the journal.")]
Timeout = Annotated[
    str | None, typer.Option(metavar="D", help="Give up after 90s, 5m…; default: never.")
]


@command("set")
def set_(
    ask: Ask,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="As XBTUSD.")],
    contracts: Annotated[
        str | None,
        typer.Argument(metavar="CONTRACTS", help="Position to hold; below zero is short."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="CONTRACTS", help="Change the target by so much.")
    ] = None,
    policy: Annotated[str, typer.Option(metavar="P", help="A policy of the configuration.")] = "",
    ttl: Annotated[str | None, typer.Option(metavar="D", help="Valid for 90s, 4h, 1d…")] = None,
    on_expiry: Annotated[
        str, typer.Option(metavar="DO", help="Then: hold, flatten or freeze.")
    ] = "",
    source: Annotated[str, typer.Option(metavar="S", help="Who wants it.")] = "cli",
    reason: Reason = "",
    if_version: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Only if this version is in force.")
    ] = None,
    key: Annotated[str, typer.Option(metavar="K", help="Makes a repeat harmless.")] = "",
    wait_: Annotated[bool, typer.Option("--wait", help="Wait until it is held.")] = False,
    timeout: Timeout = None,
) -> None:
    """Set the target of one symbol."""
    if (contracts is None) == (by is None):
        raise UsageError("a target is either CONTRACTS or --by CONTRACTS")
    if timeout is not None and not wait_:
        raise UsageError("--timeout needs --wait")
    from reconciler.cli import wiring
    from reconciler.service.door import TargetRequest

    asked = TargetRequest(
        symbol=symbol,
        contracts=parse.contracts(contracts) if contracts is not None else None,
        by=parse.contracts(by) if by is not None else None,
        source=source,
        reason=reason,
        policy=policy,
        ttl_s=parse.seconds(ttl) if ttl is not None else None,
        on_expiry=on_expiry,
        if_version=if_version,
        key=key,
    )
    limit_s = parse.seconds(timeout) if timeout is not None else None
    door, running = wiring.door(ask)
    with _held_told(), _closing(door):
        done = door.set_target(asked)
    _show(ask, _set_in_words(done), done)
    if done.note:
        ask.note(f"note: {done.note}")
    if not running:
        ask.note(f"note: {OFFLINE}")
    if wait_:
        _wait(ask, [symbol], ON_TARGET, limit_s, version=done.version)


@command("wait")
def wait(
    ask: Ask,
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that have a target.")] = False,
    for_: Annotated[
        str, typer.Option("--for", metavar="WHAT", help="on-target, or a state.")
    ] = ON_TARGET,
    timeout: Timeout = None,
) -> None:
    """Wait until symbols hold their targets."""
    if for_ not in (ON_TARGET, *STATES):
        raise UsageError(f"{for_!r} cannot be waited for", next_step=f"One of {ON_TARGET}, "
                         f"{', '.join(STATES)}.")  # fmt: skip
    if bool(symbols) == all_:
        raise UsageError("say which symbols to wait for, or --all")
    limit_s = parse.seconds(timeout) if timeout is not None else None
    _wait(ask, symbols or [], for_, limit_s)


@command("halt")
def halt(
    ask: Ask,
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...")] = None,
    reason: Reason = "",
) -> None:
    """Cancel resting orders and send nothing more. Works with no service running, too."""
    from reconciler.cli import wiring

    began = time.monotonic()
    door, _ = wiring.door(ask, venue=True)
    with _held_told(), _closing(door):
        done = door.halt(by=_me(), reason=reason, symbols=tuple(symbols or ()))
    seconds = time.monotonic() - began
    number = len(done.resting)
    resting = f"{number} order{'s' if number > 1 else ''} may rest: {', '.join(done.resting)}"
    said = f"halted  {_count(done.symbols)}; {resting if done.resting else '0 orders rest'}"
    _show(ask, f"{said} ({seconds:.2f} s)", done)
    if done.resting:
        raise InDoubt(f"halted, but {resting}: the venue has not confirmed their end")


@command("resume")
def resume(
    ask: Ask,
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...")] = None,
    reason: Reason = "",
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take the venue's position as an adjustment.")
    ] = False,
) -> None:
    """End a halt or a freeze."""
    from reconciler.cli import wiring

    _confirm(ask, "Resume trading?")
    door, running = wiring.door(ask)
    with _held_told(), _closing(door):
        done = door.resume(by=_me(), reason=reason, symbols=tuple(symbols or ()), adopt=adopt)
    adopted = "".join(f"; {name} adjusted by {n:+d}" for name, n in done.adopted.items())
    _show(ask, f"resumed  {_count(done.symbols)}{adopted}", done)
    if not running:
        ask.note(f"note: {OFFLINE}")


def _wait(
    ask: Ask, symbols: list[str], what: str, limit_s: int | None, *, version: int = 0
) -> None:
    """Look until every symbol is as it should be."""
    began = time.monotonic()
    with _rows_now(ask) as look:
        while True:
            rows = {row["symbol"]: row for row in look()}
            chosen = symbols or [name for name, row in rows.items() if row["target"] is not None]
            for name in chosen:
                if name not in rows:
                    raise NotFound(f"{name[:40]!r} has never had a target", symbol=name[:40])
            left = [n for n in chosen if not _is(rows[n], what, version)]
            seconds = time.monotonic() - began
            looked_after = bool(left) or what != ON_TARGET or _is_looked_after(ask)
            if not left and looked_after:
                break
            if not looked_after and limit_s is not None and seconds >= limit_s:
                raise Unreachable(
                    "no service is running: what the journal says of the venue may be old",
                    next_step="Start `reconciler run`.",
                )
            if limit_s is not None and seconds >= limit_s:
                raise WaitTimeout(
                    "; ".join(_still(rows[name], what, seconds) for name in left),
                    next_step="See `reconciler status`, or wait longer.",
                    symbols=", ".join(left),
                )
            time.sleep(0.1)
    for name in chosen:
        row = rows[name]
        held = f"on target {row['target']:+d}" if what == ON_TARGET else row["state"]
        _show(ask, f"{name}  {held} after {seconds:.1f} s", row)


def _is_looked_after(ask: Ask) -> bool:
    """Whether a service keeps the journal up to the venue, so that "on target" is true now."""
    if ask.api is not None:
        return True
    from reconciler.journal.lock import is_held
    from reconciler.service.servicefile import ServiceFile

    database = ask.settings().database_path
    found = ServiceFile(database).read()
    return is_held(database) and (found is None or _lives(found.pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _rows_now(ask: Ask) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What tells the state of all symbols: the journal, or the service that was named."""
    if ask.api is not None:
        from reconciler.cli import wiring

        door = wiring.running(ask)
        assert door is not None
        with _closing(door):
            yield lambda: list(door.status()["symbols"])
        return
    from reconciler.journal import History

    with History.open(ask.settings().database_path) as journal:
        yield lambda: journal.status().dicts()


def _is(row: output.Row, what: str, version: int) -> bool:
    if row["version"] < version:
        return False
    if what != ON_TARGET:
        return bool(row["state"] == what)
    return row["target"] is not None and row["state"] == "idle" and not row["waiting_for"]


def _still(row: output.Row, what: str, seconds: float) -> str:
    if row["target"] is None and what == ON_TARGET:
        return f"{row['symbol']}  has no target"
    gap = f"gap {row['gap']:+d}, " if row["gap"] is not None else ""
    waiting = f"waiting for {row['waiting_for']}" if row["waiting_for"] else "waiting for nothing"
    return f"{row['symbol']}  still {row['state']} after {seconds:.1f} s: {gap}{waiting}"


def _set_in_words(done: Any) -> str:
    parts = [done.symbol, f"target {done.contracts:+d}"]
    if done.previous is not None:
        parts.append(f"was {done.previous:+d}")
        parts.append(f"change {done.contracts - done.previous:+d}" if done.changed else "unchanged")
    elif not done.changed:
        parts.append("unchanged")
    parts.append(f"version {done.version}")
    if done.expires_at is not None:
        parts += [f"expires {done.expires_at}", f"on_expiry {done.on_expiry}"]
    return "  ".join(parts)


def _show(ask: Ask, words: str, value: Any) -> None:
    """One result: a line for people, or all of it."""
    if ask.form in {"json", "jsonl"}:
        import json

        import msgspec

        plain = msgspec.to_builtins(value) if not isinstance(value, dict) else output.exact(value)
        print(json.dumps(plain, default=str))
    else:
        print(output.plain(words))


def _count(symbols: tuple[str, ...]) -> str:
    return f"{len(symbols)} symbol{'' if len(symbols) == 1 else 's'}"


def _confirm(ask: Ask, question: str) -> None:
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


def _me() -> str:
    try:
        return f"cli {getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


@contextmanager
def _closing(door: Any) -> Iterator[None]:
    try:
        yield
    finally:
        door.close()


@contextmanager
def _held_told() -> Iterator[None]:
    """A journal that is held by a process without a door: say who has it."""
    from reconciler.cli import wiring

    try:
        yield
    except NotLeader as error:
        if isinstance(error.fields.get("path"), (str, Path)):
            raise wiring.held(error) from None
        raise
