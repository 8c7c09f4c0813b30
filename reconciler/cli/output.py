"""
Results, in the form that was asked for.

A listing has the columns of its view. Tables show some of them, in words for people; every other
form has all of them, as they are, prices as text.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reconciler.logs import inert
from reconciler.shown import PRICES, cell
from reconciler.shown import exact as exact
from reconciler.shown import plain as plain

#: Columns whose sign matters even when it is plus.
SIGNED = frozenset({"target", "position", "gap", "change", "net_contracts", "signed_contracts"})
NOTHING = "–"

Row = Mapping[str, Any]


class Listing(NamedTuple):
    """How a kind of rows is shown."""

    view: str
    shown: tuple[str, ...]  # columns of a table
    name: str  # the column that names a row
    kind: str = ""  # for ``-o name``: order/rc-7f-000413


def write(
    rows: Sequence[Row], columns: Sequence[str], listing: Listing, form: str, *, head: bool = True
) -> None:
    """Print rows to standard output: of each, the *columns*."""
    if form == "json":
        print(json.dumps([_chosen(row, columns) for row in rows], default=str))
    elif form == "jsonl":
        for row in rows:
            print(json.dumps(_chosen(row, columns), default=str, separators=(",", ":")))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if head:
            writer.writerow(columns)
        writer.writerows([cell(row[name]) for name in columns] for row in rows)
    elif form == "name":
        for row in rows:
            print(inert(f"{listing.kind}/{row[listing.name]}"))
    else:
        names = list(columns) if form == "wide" else [n for n in listing.shown if n in columns]
        print_table(names, [[shown(name, row[name]) for name in names] for row in rows], head=head)


def _chosen(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    return exact({name: row[name] for name in columns})


def print_table(names: Sequence[str], cells: Sequence[Sequence[str]], *, head: bool = True) -> None:
    """Columns in line; those of numbers to the right."""
    heads = [name.replace("_", " ").upper() for name in names]
    widths = [
        max([len(heads[i]) if head else 0, *(len(row[i]) for row in cells)])
        for i in range(len(names))
    ]
    right = [
        bool(cells) and all(re.fullmatch(r"[-+–0-9.,:%]*", row[i]) for row in cells)
        for i in range(len(names))
    ]
    for row in ([heads] if head else []) + [list(row) for row in cells]:
        parts = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ]
        print("  ".join(parts).rstrip())


def shown(name: str, value: Any) -> str:
    """A value as a table has it."""
    if value is None or value == "":
        return NOTHING
    if name in SIGNED and isinstance(value, int):
        return f"{value:+,d}" if value else "0"
    if name == "vwap":
        return f"{float(value):.2f}"
    if isinstance(value, float) and name not in PRICES:
        return f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return plain(value)


def span(seconds: float) -> str:
    """A duration for people: ``4.1 s``, ``31 min``, ``2 h 5 min``, ``3 d``."""
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"
