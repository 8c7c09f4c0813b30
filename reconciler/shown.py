"""
Rows as programs take them: prices as text, and cells that are no formula to a program of tables.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.logs import inert

#: Columns that are exact prices, and travel as text: a reader's float loses nothing on the way.
PRICES = frozenset({"price", "entry_price", "mark_price", "arrival_price", "vwap"})
NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")


def exact(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its prices as text."""
    return {
        name: str(value) if name in PRICES and value is not None else value
        for name, value in row.items()
    }


def plain(value: Any) -> str:
    """A value as text that can harm no terminal."""
    return "" if value is None else inert(str(value))


def cell(value: Any) -> str:
    """A value as text that is no formula to a program of tables."""
    text = plain(value)
    harmless = not text.startswith(("=", "+", "-", "@")) or NUMBER.fullmatch(text)
    return text if harmless else f"'{text}"


def csv_of(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows under a line of names."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(row[name]) for name in columns] for row in rows)
    return written.getvalue()
