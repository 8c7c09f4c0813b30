"""The live picture of a demo. The only module that knows rich."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reconciler.cli import look, output
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.service.door import Door

STYLES = {
    "idle": "dim",
    "placing": "yellow",
    "working": "cyan",
    "cancelling": "magenta",
    "filled": "green",
}
EVERY_S = 0.25
TRANSITIONS = 12


class Screen:
    """Draws what the service and the journal say, a few times a second."""

    def __init__(self, door: Door, database: Path, *, no_color: bool) -> None:
        self._door = door
        self._database = database
        self._console = Console(no_color=no_color, highlight=False)

    def run(self, over: threading.Event) -> None:
        """Draw until *over* is set."""
        from reconciler.journal import History

        with (
            History.open(self._database) as journal,
            Live(console=self._console, auto_refresh=False, transient=False) as live,
        ):
            while True:
                last = over.wait(EVERY_S)
                with contextlib.suppress(ReconcilerError, TimeoutError):
                    live.update(self._picture(journal), refresh=True)
                if last:
                    return

    def _picture(self, journal: Any) -> Group:
        now = self._door.status()
        fills = journal.query("select symbol, count(*) from v_fills group by symbol").values
        rows = journal.rows("v_transitions", limit=TRANSITIONS).dicts()
        return Group(
            Text(look.headline(now["service"]), style="bold"),
            _symbols(now["symbols"], dict(fills)),
            _transitions(reversed(rows)),
            Text("Ctrl-C stops in order", style="dim"),
        )


def _symbols(rows: list[dict[str, Any]], fills: dict[str, int]) -> Table:
    table = Table(expand=False)
    right = {"target", "position", "gap", "fills"}
    names = [*look.STATUS.shown, "fills"]
    for name in names:
        heading = name.replace("_", " ").upper()
        table.add_column(heading, justify="right" if name in right else "left", no_wrap=True)
    for row in rows:
        row = {**row, **look.in_words(row), "fills": fills.get(row["symbol"], 0)}
        held = row["target"] is not None and not row["waiting_for"] and row["state"] == "idle"
        if held:
            row["waiting_for"] = "on target"
        cells = [Text(output.shown(name, row.get(name))) for name in names]
        cells[names.index("state")].stylize(STYLES.get(row["state"], ""))
        if held:
            cells[names.index("waiting_for")].stylize("green")
        table.add_row(*cells)
    return table


def _transitions(rows: Any) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        change = Text(f"{row['from_state']} → ", style="dim")
        change.append(row["to_state"], style=STYLES.get(row["to_state"], ""))
        said = output.plain(row["detail"] or row["trigger"])
        table.add_row(f"{row['at'][11:19]}Z", row["symbol"], change, Text(said))
    return table
