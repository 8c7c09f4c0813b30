"""
Rows as programs take them: prices as text, and cells that are no formula to a program of tables.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from reconciler.errors import UsageError
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


class Rows(list[dict[str, Any]]):
    """Rows of a listing: a list of dictionaries, prices as text, so that nothing is lost."""

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`. Raises UsageError where pandas is not installed."""
        return _of("pandas").DataFrame(list(self))

    def to_polars(self) -> Any:
        """A `polars.DataFrame`. Raises UsageError where polars is not installed."""
        return _of("polars").DataFrame(list(self))

    def to_arrow(self) -> Any:
        """A `pyarrow.Table`. Raises UsageError where pyarrow is not installed."""
        return _of("pyarrow").Table.from_pylist(list(self))

    def to_csv(self, path: str | Path) -> None:
        """Write them to a file, replacing it."""
        columns = list(self[0]) if self else []
        Path(path).write_text(csv_of(columns, self), encoding="utf-8")


def _of(library: str) -> Any:
    """A library that is the user's, and no dependency of ours."""
    try:
        return import_module(library)
    except ImportError:
        raise UsageError(
            f"{library} is not installed", next_step=f"Install it: pip install {library}."
        ) from None
