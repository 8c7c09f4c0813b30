"""
Files of targets and of schedules: TOML, CSV or JSON, strictly read.

What is not exactly right is refused with the file, the place and what it should be: half a file
that was understood is worse than none.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.cli import parse
from reconciler.errors import UsageError

if TYPE_CHECKING:
    from reconciler.service.door import ScheduleRequest, TargetsRequest

MOST_BYTES = 1_000_000
TARGET = (
    "contracts", "by", "notional", "percent", "policy", "ttl", "on_expiry", "deadline", "price",
    "confirm", "source", "reason", "key", "if_version",
)  # fmt: skip
NUMBERS = ("contracts", "by", "confirm", "if_version")
ROW = ("symbol", "contracts", "at", "name", "after", "by", "policy", "reason")


def targets(path: str, *, prune: bool) -> TargetsRequest:
    """
    The targets of a file; ``-`` is standard input.

    Raises:
        UsageError: It cannot be read, or is not what it should be.
    """
    from reconciler.service.door import TargetRequest, TargetsRequest

    form, text = _read(path)
    source, reason = Path(path).name if path != "-" else "stdin", ""
    if form == "csv":
        rows = [(row.pop("symbol", ""), row) for row in _table(path, text, ("symbol", *TARGET))]
    else:
        whole = _tree(path, form, text)
        source = _text(path, whole.pop("source", source), "source")
        reason = _text(path, whole.pop("reason", reason), "reason")
        rows = _pairs(path, whole.pop("targets", None))
        _none_left(path, whole, "source, reason and targets")
    return TargetsRequest(
        targets=tuple(
            TargetRequest(**_target(f"{path}: {name}", name, row, source, reason))
            for name, row in rows
        ),
        prune=prune,
        source=source,
        reason=reason,
    )


def schedule(path: str, name: str) -> ScheduleRequest:
    """
    The rows of a file of times and targets; ``-`` is standard input.

    Raises:
        UsageError: It cannot be read, or is not what it should be.
    """
    from reconciler.service.door import ScheduleEntry, ScheduleRequest

    form, text = _read(path)
    source, reason = Path(path).name if path != "-" else "stdin", ""
    if form == "csv":
        rows: Iterable[Any] = _table(path, text, ROW)
    else:
        whole = _tree(path, form, text)
        source = _text(path, whole.pop("source", source), "source")
        reason = _text(path, whole.pop("reason", reason), "reason")
        rows = whole.pop("rows", None)
        _none_left(path, whole, "source, reason and rows")
        if not isinstance(rows, list):
            raise UsageError(f"{path}: rows is not a list of rows")
    entries = tuple(
        ScheduleEntry(**_row(f"{path}: row {number}", row)) for number, row in enumerate(rows)
    )
    if not entries:
        raise UsageError(f"{path}: there is no row in it", next_step="See docs/targets.md.")
    return ScheduleRequest(name=name, rows=entries, source=source, reason=reason)


def _target(where: str, name: Any, row: Any, source: str, reason: str) -> dict[str, Any]:
    """One target as fields of a `TargetRequest`."""
    if not isinstance(row, Mapping):
        row = {"contracts": row}
    for word in row:
        if word not in TARGET:
            raise UsageError(f"{where}: {word!r} is no word here; {', '.join(TARGET)} are")
    fields: dict[str, Any] = {
        "symbol": _text(where, name, "symbol"), "source": source, "reason": reason
    }  # fmt: skip
    for word, value in row.items():
        if value is None or value == "":
            continue
        if word in NUMBERS:
            fields[word] = _whole(where, value, word)
        elif word in ("notional", "percent", "price"):
            fields[word] = _number(where, value, word)
        elif word == "ttl":
            fields["ttl_s"] = _span(where, value, word)
        elif word == "deadline":
            fields[word] = _deadline(where, value)
        else:
            fields[word] = _text(where, value, word)
    return fields


def _row(where: str, row: Any) -> dict[str, Any]:
    """One row as fields of a `ScheduleEntry`."""
    if not isinstance(row, Mapping):
        raise UsageError(f"{where} is not a row with names")
    for word in row:
        if word not in ROW:
            raise UsageError(f"{where}: {word!r} is no word here; {', '.join(ROW)} are")
    fields: dict[str, Any] = {}
    for word, value in row.items():
        if value is None or value == "":
            continue
        if word == "contracts":
            fields[word] = _whole(where, value, word)
        elif word == "by":
            fields["delay_s"] = _span(where, value, word)
        elif word == "at":
            fields[word] = _moment(where, value)
        else:
            fields[word] = _text(where, value, word)
    for word in ("symbol", "contracts"):
        if word not in fields:
            raise UsageError(f"{where}: {word} is missing")
    return fields


# -- forms of files --------------------------------------------------------------------------------


def _read(path: str) -> tuple[str, str]:
    """The form of a file, and what is in it."""
    try:
        raw = sys.stdin.buffer.read(MOST_BYTES + 1) if path == "-" else _bytes(Path(path))
        text = raw.decode("utf-8-sig")  # spreadsheets begin with a mark
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", next_step="") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text in UTF-8", next_step="Write it in UTF-8.") from None
    if len(raw) > MOST_BYTES:
        raise UsageError(f"{path} has more than {MOST_BYTES // 10**6} MB: that is no list")
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix in ("toml", "csv", "json"):
        return suffix, text
    return _guess(text), text


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _guess(text: str) -> str:
    """The form of what has no name: JSON begins with a brace, CSV with its names."""
    first = text.lstrip().partition("\n")[0]
    if first.startswith(("{", "[{")):
        return "json"
    return "csv" if "," in first and "symbol" in first and "=" not in first else "toml"


def _tree(path: str, form: str, text: str) -> dict[str, Any]:
    try:
        if form == "toml":
            found: Any = tomllib.loads(text, parse_float=Decimal)
        else:
            found = json.loads(text, parse_float=Decimal, object_pairs_hook=_no_name_twice)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no {form.upper()}: {error}", next_step="Correct it.") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: there are no names in it", next_step="See docs/targets.md.")
    return found


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _table(path: str, text: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows under a line of names."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text), strict=True) if any(line)]
    except csv.Error as error:
        raise UsageError(f"{path} is no CSV: {error}", next_step="Correct it.") from None
    if not lines:
        raise UsageError(f"{path} is empty", next_step=f"It begins with {names[0]},{names[1]}.")
    head = [name.strip() for name in lines[0]]
    for name in head:
        if name not in names or head.count(name) > 1:
            raise UsageError(f"{path}: column {name!r} is unknown or there twice",
                             next_step=f"There are: {', '.join(names)}.")  # fmt: skip
    rows = []
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(head):
            raise UsageError(f"{path}: row {number} has {len(line)} fields, not {len(head)}")
        rows.append(dict(zip(head, (field.strip() for field in line), strict=True)))
    return rows


def _pairs(path: str, found: Any) -> list[tuple[Any, Any]]:
    """Symbols and their targets, as a table of names or as a list of rows."""
    if isinstance(found, Mapping):
        return list(found.items())
    if not isinstance(found, list) or not all(isinstance(row, Mapping) for row in found):
        raise UsageError(
            f"{path}: targets is missing, or no table", next_step="See docs/targets.md."
        )
    return [
        (row.get("symbol", ""), {k: v for k, v in row.items() if k != "symbol"}) for row in found
    ]


def _none_left(path: str, whole: Mapping[str, Any], there_are: str) -> None:
    for name in whole:
        raise UsageError(f"{path}: {name!r} is no word here; {there_are} are")


# -- values ----------------------------------------------------------------------------------------


def _whole(where: str, value: Any, word: str) -> int:
    if type(value) is int:
        return value
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
        return int(value)
    raise UsageError(f"{where}: {word} is {str(value)[:40]!r}, which is no whole number")


def _number(where: str, value: Any, word: str) -> str:
    if type(value) is int or isinstance(value, Decimal):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    if isinstance(value, str):
        return value
    raise UsageError(f"{where}: {word} is {str(value)[:40]!r}, which is no number")


def _text(where: str, value: Any, word: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where}: {word} is {str(value)[:40]!r}, which is no text")
    return value


def _span(where: str, value: Any, word: str) -> int:
    try:
        return parse.seconds(_text(where, value, word))
    except UsageError as error:
        raise UsageError(
            f"{where}: {word}: {error.message}", next_step=error.next_step, **error.fields
        ) from None


def _moment(where: str, value: Any, word: str = "at") -> str:
    """A moment as text, or as TOML has it."""
    if hasattr(value, "isoformat"):
        if getattr(value, "tzinfo", None) is None:
            raise UsageError(f"{where}: {word} is {value}, which has no zone: write it with a Z")
        return str(value.isoformat())
    return _text(where, value, word)


def _deadline(where: str, value: Any) -> str:
    text = _moment(where, value, "deadline")
    return text if text != value else parse.until(text)
