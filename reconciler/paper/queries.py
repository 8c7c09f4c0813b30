"""
The table queries that all GET routes share (protocol sheet, section 3).

``symbol, filter, columns, count, start, reverse, startTime, endTime`` over rows, oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from . import errors
from .intake import flag, text, whole
from .orders import TERMINAL, Row
from .protocol import decode
from .times import parse_iso

DEFAULT_COUNT = 100


def select(
    rows: Sequence[Row],
    fields: Mapping[str, object],
    *,
    max_count: int = 500,
    keys: Iterable[str] = (),
    time: str = "timestamp",
) -> list[Row]:
    """
    The rows that a request asks for.

    Args:
        rows: All rows of the table, oldest first.
        fields: The request's parameters.
        max_count: Largest ``count`` that is allowed.
        keys: Columns that come whatever ``columns`` says.
        time: The column that ``startTime`` and ``endTime`` look at.

    Raises:
        Refusal: 400, a parameter is not valid.
    """
    where = _object(fields, "filter")
    symbol = text(fields, "symbol")
    if symbol:
        where = {**where, "symbol": symbol}
    start_ms = _time(fields.get("startTime", where.pop("startTime", None)), "startTime")
    end_ms = _time(fields.get("endTime", where.pop("endTime", None)), "endTime")
    if where or start_ms is not None or end_ms is not None:
        rows = [
            row for row in rows if _matches(row, where) and _within(row, time, start_ms, end_ms)
        ]
    count = _count(fields, "count", DEFAULT_COUNT, max_count)
    start = _count(fields, "start", 0, 10_000_000)
    if flag(fields, "reverse", False):
        stop = len(rows) - start
        page = list(rows[max(0, stop - count) : max(0, stop)])[::-1]
    else:
        page = list(rows[start : start + count])
    columns = _columns(fields)
    if columns is None:
        return page
    wanted = {*columns, *keys}
    return [{k: v for k, v in row.items() if k in wanted} for row in page]


def matches(row: Row, fields: Mapping[str, object]) -> bool:
    """Whether a row meets the request's ``filter`` and ``symbol``."""
    where = _object(fields, "filter")
    symbol = text(fields, "symbol")
    return _matches(row, {**where, "symbol": symbol} if symbol else where)


def _matches(row: Row, where: Mapping[str, object]) -> bool:
    for name, wanted in where.items():
        if name == "open":
            live = row.get("ordStatus") not in TERMINAL and "ordStatus" in row
            if bool(wanted) != live:
                return False
        elif name == "ordStatus.isTerminated":
            if bool(wanted) != (row.get("ordStatus") in TERMINAL):
                return False
        elif name == "symbol" and isinstance(wanted, str):
            if str(row.get("symbol", "")).upper() != wanted.upper():
                return False
        elif name.startswith("timestamp"):
            if not _timestamp_matches(str(row.get("timestamp", "")), name, wanted):
                return False
        elif isinstance(wanted, list):
            if row.get(name) not in wanted:
                return False
        elif isinstance(wanted, dict):
            raise errors.invalid("filter values are not valid")
        elif row.get(name) != wanted:
            return False
    return True


def _timestamp_matches(stamp: str, name: str, wanted: object) -> bool:
    """``timestamp``, ``timestamp.time``, ``.date``, ``.hh``, ``.mm``, ``.ss``."""
    part = {
        "timestamp": stamp, "timestamp.date": stamp[:10], "timestamp.time": stamp[11:-1],
        "timestamp.hh": stamp[11:13], "timestamp.mm": stamp[14:16], "timestamp.ss": stamp[17:19],
    }.get(name)  # fmt: skip
    if part is None:
        raise errors.invalid("filter values are not valid")
    return part.startswith(str(wanted).zfill(2) if isinstance(wanted, int) else str(wanted))


def _within(row: Row, column: str, start_ms: int | None, end_ms: int | None) -> bool:
    if start_ms is None and end_ms is None:
        return True
    at = parse_iso(str(row[column]))
    return (start_ms is None or at >= start_ms) and (end_ms is None or at <= end_ms)


def _object(fields: Mapping[str, object], name: str) -> dict[str, object]:
    value = fields.get(name)
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = decode(value)
        except ValueError:
            raise errors.invalid(f"{name} values are not valid") from None
    if not isinstance(value, dict):
        raise errors.invalid(f"{name} values are not valid")
    return dict(value)


def _columns(fields: Mapping[str, object]) -> list[str] | None:
    value = fields.get("columns")
    if value is None or value == "":
        return None
    if isinstance(value, str):
        if value.startswith("["):
            try:
                value = decode(value)
            except ValueError:
                raise errors.invalid("columns is invalid") from None
        else:
            value = value.split(",")
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise errors.invalid("columns is invalid")
    return value


def _count(fields: Mapping[str, object], name: str, default: int, most: int) -> int:
    value = whole(fields, name)
    if value is None:
        return default
    if value < 0 or value > most:
        raise errors.invalid(f"{name} is invalid")
    return value


def _time(value: object, name: str) -> int | None:
    if value is None or value == "":
        return None
    try:
        return parse_iso(str(value))
    except ValueError:
        raise errors.invalid(f"{name} is invalid") from None
