"""The live picture of a demo. The only module that knows rich."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reconciler.cli import flow, look, output
from reconciler.errors import ReconcilerError

if TYPE_CHECKING:
    from reconciler.journal import History
    from reconciler.service.door import Door

STYLES = {
    "idle": "dim",
    "placing": "yellow",
    "working": "cyan",
    "cancelling": "magenta",
    "filled": "green",
}
EVERY_S = 0.25
WIDE = 115  # columns; below it not all is shown
LEFT_OUT = {"worst_case", "since", "fills"}
TRANSITIONS = 12
FRAME = 5  # lines of a table beside its rows
STEPS = {"signal": "magenta", "target": "bold cyan", "order": "yellow", "fill": "green"}


class Screen:
    """
    Draws what the journal says, a few times a second; the headline is the service's own.

    The service is asked in a thread of its own: while it stops it may not answer, and a picture
    that waits for it would be the last thing to end.
    """

    def __init__(self, door: Door, database: Path, *, no_color: bool) -> None:
        self._door = door
        self._database = database
        self._console = Console(no_color=no_color, highlight=False)
        self._headline = ""

    def run(self, over: threading.Event) -> None:
        """Draw until *over* is set, and once more."""
        from reconciler.journal import History

        asking = threading.Thread(target=self._ask, args=(over,), daemon=True, name="headline")
        asking.start()
        with (
            History.open(self._database) as journal,
            Live(console=self._console, auto_refresh=False, transient=False) as live,
        ):
            while True:
                last = over.wait(EVERY_S)
                headline = "stopped" if last else f"{self._headline}   (Ctrl-C stops in order)"
                with contextlib.suppress(ReconcilerError):  # too slow for now: the next one tells
                    size = (self._console.width, self._console.height)
                    live.update(_picture(journal, headline, *size), refresh=True)
                if last:
                    return

    def _ask(self, over: threading.Event) -> None:
        while not over.wait(EVERY_S):
            with contextlib.suppress(ReconcilerError, OSError):
                self._headline = look.headline(self._door.status()["service"])


def _picture(journal: History, headline: str, width: int, height: int) -> Group:
    fills = journal.query("select symbol, count(*) from v_fills group by symbol").values
    symbols = [output.exact(row) for row in journal.status().dicts()]
    parts: list[Text | Table] = [
        Text(headline, style="bold", no_wrap=True, overflow="ellipsis"),
        _symbols(symbols, dict(fills), width),
    ]
    if strategies := flow.strategies(journal):
        parts.append(_strategies(strategies, width))
        left = height - 2 * FRAME - len(symbols) - len(strategies) - 2
        parts.append(_flow(flow.steps(journal, min(max(left, 3), TRANSITIONS)), width))
    else:
        rows = journal.rows("v_transitions", limit=TRANSITIONS).dicts()
        parts.append(_transitions(reversed(rows)))
    return Group(*parts)


def _strategies(rows: list[flow.Strategy], width: int) -> Table:
    """What each strategy says, what of the target is its, and what it holds. No number is cut."""
    narrow = width < WIDE
    heads = ("STRATEGY", "SIGNAL", "WANTS", "HOLDS", "AFTER FEES")
    cells = [
        (
            row.strategy or "(nobody)",
            "" if row.strength is None else f"{row.strength:+g}" if row.strength else "0",
            f"{row.wants:+,d}" if row.wants else "0",
            f"{row.holds:+,d}" if row.holds else "0",
            f"{row.net_minor:+,d} {row.currency}" if row.net_minor else "0",
        )
        for row in rows
    ]
    table = Table(expand=False, box=box.SIMPLE if narrow else box.HEAVY_HEAD)
    for name in heads:
        table.add_column(name, justify="left" if name == "STRATEGY" else "right", no_wrap=True)
    table.add_column("BECAUSE", no_wrap=True)
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    left = width - sum(widths) - 3 * len(widths) - 4
    for row, (name, signal, wants, holds, net) in zip(rows, cells, strict=True):
        ended = row.state in ("failed", "stopped")
        table.add_row(
            Text(name, style="red" if ended else ""),
            signal,
            wants,
            Text(holds, style="green" if row.holds == (row.wants or 0) else "yellow"),
            net,
            Text(_cut(row.state if ended else row.reason, left), style="dim"),
        )
    return table


def _flow(rows: list[flow.Step], width: int) -> Table:
    """Signal → target → order → fill."""
    table = Table.grid(padding=(0, 2))
    longest = max((len(row.symbol) for row in rows), default=0)
    left = width - longest - len("12:00:00Z") - len("signal") - 3 * 2
    for row in rows:
        what = Text(row.what, style=STEPS[row.what])
        said = _cut(ORDER.sub("…", row.said), left)
        table.add_row(f"{row.at[11:19]}Z", row.symbol, what, Text(said))
    return table


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


#: The part of a client order id that all orders of a run share: too long for a picture.
ORDER = re.compile(r"rc-[a-z0-9]+-\d+-[a-z0-9]+-(?=\d)")


def _symbols(rows: list[dict[str, Any]], fills: dict[str, int], width: int) -> Table:
    """No number is cut: a narrow terminal shows fewer columns, and wraps the words."""
    narrow = width < WIDE
    table = Table(expand=False, box=box.SIMPLE if narrow else box.HEAVY_HEAD)
    right = {"target", "position", "gap", "fills"}
    names = [n for n in (*look.STATUS.shown, "fills") if not (narrow and n in LEFT_OUT)]
    for name in names:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        heading = name.replace("_", " ").upper()
        table.add_column(heading, justify=justify, no_wrap=name != "waiting_for")
    for row in rows:
        row = {**row, **look.in_words(row), "fills": fills.get(row["symbol"], 0)}
        held = row["target"] is not None and not row["waiting_for"] and row["state"] == "idle"
        row["waiting_for"] = "on target" if held else ORDER.sub("…", row["waiting_for"] or "")
        cells = [Text(output.shown(name, row.get(name))) for name in names]
        cells[names.index("state")].stylize(STYLES.get(row["state"], ""))
        if held:
            cells[names.index("waiting_for")].stylize("green")
        table.add_row(*cells)
    return table


def _transitions(rows: Iterable[dict[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        change = Text(f"{row['from_state']} → ", style="dim")
        change.append(row["to_state"], style=STYLES.get(row["to_state"], ""))
        said = output.plain(row["detail"] or row["trigger"])
        table.add_row(f"{row['at'][11:19]}Z", row["symbol"], change, Text(said))
    return table
