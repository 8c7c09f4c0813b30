"""
Prices that are given: a scripted path, or OHLC bars.

A path is a list of moments and prices; between two of them the price goes in a straight line. Two
points of one moment are a jump. Bars become a path that touches each open, high, low and close at
its exact price; whether the high or the low comes first, and when, is drawn from the seed.

    time,price                          time,open,high,low,close,volume
    0,61000                             2024-01-01T00:00:00Z,61000,61250.5,60800,61100,12
    1m30s,61500                         2024-01-01T00:01:00Z,61100,61100,60950,61000,7

Times are ISO 8601 (UTC without a zone), seconds or milliseconds since the epoch, or since the
start (``0``, ``1m30s``). What counts is how far they are apart: the first is when the market opens.
A bar's time is its beginning. TOML has the same: ``points = [[0, 61000], ["1m30s", 61500]]``.
"""

from __future__ import annotations

import csv
import random
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path as File

from .times import duration_ms, parse_iso

TIMES = ("time", "timestamp", "datetime", "date", "open time", "unix", "t")
BAR = ("open", "high", "low", "close")
MILLISECONDS_FROM = 100_000_000_000  # a count that large is milliseconds, not seconds
MINUTE_MS = 60_000  # the length of the only bar of a file


class BadPath(ValueError):
    """The file holds no prices; the text names the line and what is wrong."""


class Path:
    """Prices by milliseconds since the start."""

    def __init__(self, points: Sequence[tuple[int, Decimal]]) -> None:
        assert points
        self._times = [at for at, _ in points]
        self._prices = [price for _, price in points]

    @property
    def start(self) -> Decimal:
        return self._prices[0]

    def points(self) -> list[tuple[int, Decimal]]:
        """What it was made of."""
        return list(zip(self._times, self._prices, strict=True))

    @property
    def length_ms(self) -> int:
        return self._times[-1]

    def at(self, gone_ms: int) -> Decimal | None:
        """The price so long after the start; None when the path has ended."""
        if gone_ms > self._times[-1]:
            return None
        after = bisect_right(self._times, gone_ms)
        if after == len(self._times):
            return self._prices[-1]
        t0, t1 = self._times[after - 1], self._times[after]
        p0, p1 = self._prices[after - 1], self._prices[after]
        return p0 + (p1 - p0) * (gone_ms - t0) / (t1 - t0)


def load(file: File, seed: int) -> Path:
    """
    The path in a CSV or TOML file; *seed* decides how the price goes inside of bars.

    Raises:
        OSError: the file cannot be read.
        BadPath: it holds no path and no bars.
    """
    if file.suffix == ".toml":
        return _points(file, _from_toml(file))
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise BadPath(f"{file}: {problem}") from None
    if not rows:
        raise BadPath(f"{file}: it is empty")
    columns = {name.strip().lower(): i for i, name in enumerate(rows[0])}
    when = next((columns[name] for name in TIMES if name in columns), None)
    if when is None:
        raise BadPath(f"{file}, line 1: no column of {', '.join(TIMES)}")
    if "price" in columns:
        return _points(file, ((row, when, columns["price"]) for row in rows[1:]))
    missing = [name for name in BAR if name not in columns]
    if missing:
        raise BadPath(f"{file}, line 1: neither a column price nor {missing[0]}")
    return _bars(file, rows[1:], when, columns, seed)


def _from_toml(file: File) -> Iterable[tuple[Sequence[object], int, int]]:
    try:
        with file.open("rb") as raw:
            found = tomllib.load(raw, parse_float=Decimal).get("points")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BadPath(f"{file}: {problem}") from None
    if not isinstance(found, list) or not all(isinstance(p, list) and len(p) == 2 for p in found):
        raise BadPath(f"{file}: it needs points = [[time, price], ...]")
    return [(point, 0, 1) for point in found]


def _points(file: File, rows: Iterable[tuple[Sequence[object], int, int]]) -> Path:
    points: list[tuple[int, Decimal]] = []
    first = 0
    for number, (row, when, what) in enumerate(rows, 2 if file.suffix != ".toml" else 1):
        at, price = _moment(file, number, row, when), _price(file, number, row, what)
        first = first if points else at
        if points and at - first < points[-1][0]:
            raise BadPath(f"{file}, line {number}: its time is before the one above")
        points.append((at - first, price))
    if not points:
        raise BadPath(f"{file}: it has no prices")
    return Path(points)


def _bars(
    file: File, rows: Sequence[Sequence[str]], when: int, columns: Mapping[str, int], seed: int
) -> Path:
    """A path that touches the four prices of every bar."""
    draws = random.Random(f"{seed}/bars")
    bars = []
    for number, row in enumerate(rows, 2):
        prices = [_price(file, number, row, columns[name]) for name in BAR]
        opens, high, low, close = prices
        if high < max(opens, close) or low > min(opens, close):
            raise BadPath(f"{file}, line {number}: high and low do not hold open and close")
        bars.append((_moment(file, number, row, when), prices))
    if not bars:
        raise BadPath(f"{file}: it has no bars")
    starts = [at for at, _ in bars]
    lengths = [b - a for a, b in pairwise(starts)]
    if any(length <= 0 for length in lengths):
        line = next(i for i, length in enumerate(lengths) if length <= 0) + 3
        raise BadPath(f"{file}, line {line}: its time is not after the one above")
    lengths.append(lengths[-1] if lengths else MINUTE_MS)
    points: list[tuple[int, Decimal]] = []
    for (at, (opens, high, low, close)), length in zip(bars, lengths, strict=True):
        begin = at - starts[0]
        up_first = draws.random() < 0.5
        a, b = (high, low) if up_first else (low, high)
        early = begin + length * draws.randint(10, 45) // 100
        late = begin + length * draws.randint(55, 90) // 100
        points += [(begin, opens), (early, a), (late, b), (begin + length - 1, close)]
    return Path(points)


def _moment(file: File, number: int, row: Sequence[object], column: int) -> int:
    """Milliseconds of a time, since the epoch or since the start."""
    value = row[column] if column < len(row) else ""
    if not isinstance(value, str):
        value = str(value)
    text = value.strip()
    try:
        count = Decimal(text)
        if not count.is_finite() or count < 0:
            raise ValueError
        return int(count if count >= MILLISECONDS_FROM else count * 1000)
    except InvalidOperation:
        pass
    except ValueError:
        raise BadPath(f"{file}, line {number}: {text!r} is no time") from None
    since_start = duration_ms(text)
    if since_start is not None:
        return since_start
    try:
        return parse_iso(text)
    except ValueError:
        raise BadPath(f"{file}, line {number}: {text!r} is no time") from None


def _price(file: File, number: int, row: Sequence[object], column: int) -> Decimal:
    text = str(row[column]).strip() if column < len(row) else ""
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise BadPath(f"{file}, line {number}: {text!r} is no price") from None
    if not price.is_finite() or price <= 0:
        raise BadPath(f"{file}, line {number}: {text!r} is no price")
    return price
