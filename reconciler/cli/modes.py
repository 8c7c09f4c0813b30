"""Say how far it may go: `pause`, `reduce-only`, `freeze`, `flatten`, `halt`, `resume`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from reconciler.cli import parse
from reconciler.cli.app import Ask, command
from reconciler.cli.doing import (
    OFFLINE,
    Reason,
    Until,
    closing,
    confirm,
    count,
    held_told,
    me,
    tell,
)
from reconciler.errors import InDoubt

Symbols = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SYMBOL]...", help="Only these; without any, the account."),
]


@command("pause")
def pause(ask: Ask, symbols: Symbols = None, reason: Reason = "", until: Until = None) -> None:
    """Place no order; cancel what rests; keep what is held."""
    _set(ask, "pause", symbols, reason, until)


@command("reduce-only")
def reduce_only(
    ask: Ask, symbols: Symbols = None, reason: Reason = "", until: Until = None
) -> None:
    """Only bring positions nearer to zero."""
    _set(ask, "reduce_only", symbols, reason, until)


@command("freeze")
def freeze(ask: Ask, symbols: Symbols = None, reason: Reason = "", until: Until = None) -> None:
    """Stop symbols with an incident, until somebody decides and resumes, or until a time."""
    _set(ask, "freeze", symbols, reason, until)


@command("flatten")
def flatten(ask: Ask, symbols: Symbols = None, reason: Reason = "", until: Until = None) -> None:
    """Set targets to zero, and stay there until `resume`, whatever is wanted meanwhile."""
    confirm(ask, f"Close {', '.join(symbols) if symbols else 'every position'}?")
    _set(ask, "flatten", symbols, reason, until)


def _set(ask: Ask, mode: str, symbols: list[str] | None, reason: str, until: str | None) -> None:
    from reconciler.cli import wiring
    from reconciler.service.door import ModeRequest

    wanted = ModeRequest(
        mode=mode,
        by=me(),
        reason=reason,
        symbols=tuple(symbols or ()),
        until=parse.until(until) if until is not None else "",
    )
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done = door.set_mode(wanted)
    _told(ask, done)
    if not running:
        ask.note(f"note: {OFFLINE}")
    elif done.resting:
        raise InDoubt(f"{done.did}, but {_orders(done)}: the venue has not confirmed their end")


def _told(ask: Ask, done: Any) -> None:
    """One line for each symbol: what is so now, and what is kept."""
    if ask.form in {"json", "jsonl"}:
        tell(ask, "", done)
        return
    until = f" until {done.until}" if done.until else ""
    what = done.did
    if what == "flattened":
        what, until = f"target 0, until {done.until or 'you resume'}", ""
    for symbol in done.symbols:
        position = done.positions.get(symbol, 0)
        tell(ask, f"{symbol}  {what}{until}; position {position:+d}", done)
    if done.note:
        ask.note(f"note: {done.note}")


def _orders(done: Any) -> str:
    number = len(done.resting)
    return f"{number} order{'s' if number > 1 else ''} may rest: {', '.join(done.resting)}"


@command("halt")
def halt(ask: Ask, symbols: Symbols = None, reason: Reason = "", until: Until = None) -> None:
    """Cancel resting orders and send nothing more. Works with no service running, too."""
    from reconciler.cli import wiring

    began = time.monotonic()
    end = parse.until(until) if until is not None else ""
    door, _ = wiring.door(ask, venue=True)
    with held_told(), closing(door):
        done = door.halt(by=me(), reason=reason, symbols=tuple(symbols or ()), until=end)
    seconds = time.monotonic() - began
    said = f"halted  {count(done.symbols)}{f' until {done.until}' if done.until else ''}"
    tell(
        ask, f"{said}; {_orders(done) if done.resting else '0 orders rest'} ({seconds:.2f} s)", done
    )
    if done.resting:
        raise InDoubt(f"halted, but {_orders(done)}: the venue has not confirmed their end")


@command("resume")
def resume(
    ask: Ask,
    symbols: Symbols = None,
    reason: Reason = "",
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take the venue's position as an adjustment.")
    ] = False,
) -> None:
    """End a halt, a freeze, a pause or reduce-only."""
    from reconciler.cli import wiring

    confirm(ask, "Resume trading?")
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done = door.resume(by=me(), reason=reason, symbols=tuple(symbols or ()), adopt=adopt)
    adopted = "".join(f"; {name} adjusted by {n:+d}" for name, n in done.adopted.items())
    tell(ask, f"resumed  {count(done.symbols)}{adopted}", done)
    if done.note:
        ask.note(f"note: {done.note}")
    if not running:
        ask.note(f"note: {OFFLINE}")
