"""Tables of times and targets: `schedule set`, `list`, `show`, `remove`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reconciler.cli import files, output
from reconciler.cli.app import Ask, command, group
from reconciler.cli.doing import OFFLINE, Reason, closing, confirm, held_told, me, tell
from reconciler.errors import NotFound

schedule = group("schedule", "Targets at their times: set, list, show, remove.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the schedule.")]
LIST = ("name", "rows", "done", "next_at")
ROWS = ("n", "at", "symbol", "contracts", "policy", "reason", "done")


@command("set", of=schedule)
def set_(
    ask: Ask,
    name: Name,
    file: Annotated[
        str, typer.Option("-f", "--file", metavar="FILE", help="TOML, CSV or JSON; - is stdin.")
    ],
) -> None:
    """Put the rows of a file in the place of the schedule of that name."""
    from reconciler.cli import wiring

    request = files.schedule(file, name)
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done = door.set_schedule(request)
    number = len(done.rows)
    tell(ask, f"{name}  {number} row{'' if number == 1 else 's'}, the next at {done.next_at}", done)
    if not running:
        ask.note(f"note: {OFFLINE}")


@command("list", of=schedule)
def list_(ask: Ask) -> None:
    """Show every schedule: how many rows, how many are done, when the next is due."""
    rows = [
        {"name": one.name, "rows": len(one.rows), "done": one.done, "next_at": one.next_at}
        for one in _all(ask)
    ]
    output.write(rows, LIST, output.Listing("", LIST, "name", "schedule"), ask.form)


@command("show", of=schedule)
def show(ask: Ask, name: Name) -> None:
    """Show the rows of one schedule."""
    found = next((one for one in _all(ask) if one.name == name), None)
    if found is None:
        raise NotFound(
            f"there is no schedule {name[:40]!r}", next_step="See `reconciler schedule list`."
        )
    output.write(found.rows, ROWS, output.Listing("", ROWS, "n", f"schedule/{name}"), ask.form)


@command("remove", of=schedule)
def remove(ask: Ask, name: Name, reason: Reason = "") -> None:
    """Let nothing more of a schedule come due. Targets that were set stay."""
    from reconciler.cli import wiring
    from reconciler.service.door import ScheduleRequest

    confirm(ask, f"Remove schedule {name}?")
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done = door.set_schedule(ScheduleRequest(name=name, rows=(), source=me(), reason=reason))
    tell(ask, f"{name}  removed", done)
    if not running:
        ask.note(f"note: {OFFLINE}")


def _all(ask: Ask) -> list[Any]:
    from reconciler.cli import wiring

    door, _ = wiring.door(ask)
    with held_told(), closing(door):
        return door.schedules()
