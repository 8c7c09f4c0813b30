"""
The table queries that all GET routes share (protocol sheet, section 3).

``symbol, filter, columns, count, start, reverse, startTime, endTime`` over rows, oldest first. A
wrong parameter is refused in the words of section 7, "GET errors".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from . import errors
from .intake import flag, text, whole
from .orders import TERMINAL, Row
from .protocol import decode
from .times import iso, parse_iso

DEFAULT_COUNT = 100
Test = Callable[[Row], bool]
_MOST_ROWS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a table are asked for, and which of their columns."""

    where: dict[str, object]
    start_ms: int | None
    end_ms: int | None
    count: int
    start: int
    reverse: bool
    columns: frozenset[str] | None

    def cut(self, length: int) -> range:
        """The places of the page's rows, in the order of the answer, among *length* rows."""
        if not self.reverse:
            return range(length)[self.start : self.start + self.count]
        stop = max(0, length - self.start)
        return range(max(0, stop - self.count), stop)[::-1]

    def strip(self, rows: list[Row], keys: Iterable[str]) -> list[Row]:
        """Only the columns that were asked for, and the keys."""
        if self.columns is None:
            return rows
        wanted = self.columns.union(keys)
        return [{k: v for k, v in row.items() if k in wanted} for row in rows]


def page(
    fields: Mapping[str, object], *, max_count: int = 500, default_count: int = DEFAULT_COUNT,
    reverse: bool = False,
) -> Page:  # fmt: skip
    """
    Read the parameters of a table query.

    Args:
        fields: The request's parameters.
        max_count: Largest ``count`` that is allowed.
        default_count: ``count`` when none is given.
        reverse: ``reverse`` when it is not given.

    Raises:
        Refusal: 400, a parameter is not valid.
    """
    where = _object(fields, "filter")
    symbol = text(fields, "symbol")
    if symbol:
        where["symbol"] = symbol
    count = _count(fields, "count", default_count)
    if count > max_count:
        raise errors.too_many(max_count)
    try:
        backwards = flag(fields, "reverse", reverse)
    except errors.Refusal:
        raise errors.bad_parameter("reverse") from None
    return Page(
        start_ms=_time(fields, where, "startTime"), end_ms=_time(fields, where, "endTime"),
        where=where, count=count, start=_count(fields, "start", 0), reverse=backwards,
        columns=_columns(fields),
    )  # fmt: skip


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
    return paged(rows, page(fields, max_count=max_count), keys=keys, time=time)


def paged(
    rows: Sequence[Row], asked: Page, *, keys: Iterable[str] = (), time: str = "timestamp"
) -> list[Row]:
    """As `select`, for parameters that were read."""
    found = tests(asked.where)
    if asked.start_ms is not None or asked.end_ms is not None:
        found.append(_within(time, asked.start_ms, asked.end_ms))
    if found:
        rows = [row for row in rows if all(test(row) for test in found)]
    return asked.strip([rows[i] for i in asked.cut(len(rows))], keys)


def matches(row: Row, fields: Mapping[str, object]) -> bool:
    """Whether a row meets the request's ``filter`` and ``symbol``."""
    where = _object(fields, "filter")
    symbol = text(fields, "symbol")
    if symbol:
        where["symbol"] = symbol
    return all(test(row) for test in tests(where))


def tests(where: Mapping[str, object]) -> list[Test]:
    """What a row has to pass, one test a key of the filter."""
    return [_test(name, wanted) for name, wanted in where.items()]


def _test(name: str, wanted: object) -> Test:
    if isinstance(wanted, dict):
        raise errors.bad_filter()
    base, _, part = name.partition(".")
    if name == "open":
        return lambda row: bool(wanted) == ("ordStatus" in row and row["ordStatus"] not in TERMINAL)
    if name == "ordStatus.isTerminated":
        return lambda row: bool(wanted) == (row.get("ordStatus") in TERMINAL)
    if name == "symbol":
        any_of = wanted if isinstance(wanted, list) else [wanted]
        symbols = {str(one).upper() for one in any_of}
        return lambda row: str(row.get("symbol", "")).upper() in symbols
    if part:
        if part not in _PARTS or isinstance(wanted, list):
            raise errors.bad_filter()
        return lambda row: base in row and _part_matches(str(row[base]), part, wanted)
    if isinstance(wanted, list):
        return lambda row: row.get(name) in wanted
    if name == "timestamp" and isinstance(wanted, str):
        return lambda row: _same_time(str(row.get(name, "")), wanted)
    return lambda row: row.get(name) == wanted


# Parts of a time that a filter may name, as places in ``2026-05-20T11:00:00.000Z``. They are those
# of the database behind the real venue, where `mm` is the month and `uu` the minute.
_PARTS: dict[str, slice | None] = {
    "date": slice(0, 10), "time": slice(11, 23), "month": slice(0, 7), "minute": slice(11, 16),
    "second": slice(11, 19), "year": slice(0, 4), "yyyy": slice(0, 4), "mm": slice(5, 7),
    "dd": slice(8, 10), "hh": slice(11, 13), "uu": slice(14, 16), "ss": slice(17, 19),
    "ms": slice(20, 23), "ww": None,
}  # fmt: skip


def _part_matches(stamp: str, part: str, wanted: object) -> bool:
    place = _PARTS[part]
    if place is None:  # day of the week: 0 is Saturday, 6 is Friday
        days = parse_iso(stamp[:10]) // 86_400_000  # since a Thursday
        return str((days + 5) % 7) == str(wanted)
    is_there, text_of = stamp[place], str(wanted)
    if part == "time":  # 12:00 is 12:00:00.000
        return is_there == text_of + "00:00:00.000"[len(text_of) :]
    if is_there.isdigit() and text_of.isdigit():
        return int(is_there) == int(text_of)
    return is_there == text_of


def _same_time(stamp: str, wanted: str) -> bool:
    try:
        return parse_iso(stamp) == parse_iso(wanted)
    except ValueError:
        return False


def _within(column: str, start_ms: int | None, end_ms: int | None) -> Test:
    """Rows between two times. All times are written alike, so their texts are in their order."""
    first = "" if start_ms is None else iso(max(0, start_ms))
    last = "~" if end_ms is None else iso(max(0, end_ms))
    return lambda row: first <= str(row[column]) <= last


def _object(fields: Mapping[str, object], name: str) -> dict[str, object]:
    value = fields.get(name)
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = decode(value)
        except ValueError:
            raise errors.bad_filter() from None
    if not isinstance(value, dict):
        raise errors.bad_filter()
    return dict(value)


def _columns(fields: Mapping[str, object]) -> frozenset[str] | None:
    value = fields.get("columns")
    if value is None or value == "":
        return None
    if isinstance(value, str):
        if value.startswith(("[", "{")):
            try:
                value = decode(value)
            except ValueError:
                raise errors.bad_parameter("columns") from None
        else:
            value = [name.strip() for name in value.split(",")]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise errors.bad_parameter("columns")
    return frozenset(value)


def _count(fields: Mapping[str, object], name: str, default: int) -> int:
    try:
        value = whole(fields, name)
    except errors.Refusal:
        raise errors.bad_parameter(name) from None
    if value is None:
        return default
    if not 0 <= value <= _MOST_ROWS:
        raise errors.bad_parameter(name)
    return value


def _time(fields: Mapping[str, object], where: dict[str, object], name: str) -> int | None:
    """A time from the request or, under the same name, from its filter."""
    inside = where.pop(name, None)
    value = fields.get(name) or inside
    if value is None or value == "":
        return None
    if isinstance(value, bool | int | Decimal):  # seconds or milliseconds: BitMEX takes neither
        raise errors.bad_parameter(name)
    try:
        return parse_iso(str(value))
    except (ValueError, OverflowError):
        raise errors.bad_parameter(name) from None
