"""Decide an incident: `resolve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.app import Ask, command
from reconciler.cli.doing import OFFLINE, Reason, closing, held_told, me, tell
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.service.door import Decided

WORDS = {"adopt": "adopted", "trade_back": "traded back", "ignore": "ignored"}


@command("resolve")
def resolve(
    ask: Ask,
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="As INC-12.")],
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Books and target take the venue's position.")
    ] = False,
    trade_back: Annotated[
        bool, typer.Option("--trade-back", help="The books take it; then back to the target.")
    ] = False,
    ignore: Annotated[
        bool, typer.Option("--ignore", help="Close one that stops nothing, and leave it at that.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Decide an incident: adopt, trade back or ignore."""
    from reconciler.cli import wiring

    said = {"adopt": adopt, "trade_back": trade_back, "ignore": ignore}
    chosen = [name for name, is_so in said.items() if is_so]
    if len(chosen) != 1:
        raise UsageError(
            "a decision is one of three", next_step="Say --adopt, --trade-back or --ignore."
        )
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done = door.resolve(incident, chosen[0], by=me(), reason=reason)
    tell(ask, _line(done), done)
    if done.note:
        ask.note(f"note: {done.symbol} still waits for {done.note}")
    if not running:
        ask.note(f"note: {OFFLINE}")


def _line(done: Decided) -> str:
    """What became of it, in one line."""
    said = f"INC-{done.incident_id}  {WORDS[done.decision]}"
    if done.position is None or done.decision == "ignore":
        return f"{said}: {done.kind}{f' of {done.symbol}' if done.symbol else ''}"
    before = done.position - done.adjusted
    moved = (
        f"position {done.symbol} {before:+d} → {done.position:+d}, as a signed adjustment"
        if done.adjusted
        else f"position {done.symbol} {done.position:+d}, as the books have it"
    )
    wanted = f"target {done.target:+d}" if done.target is not None else "no target"
    return f"{said}: {moved}; {wanted}"
