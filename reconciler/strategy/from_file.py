"""
From a file: strengths that somebody else writes down, and changes.

    [targets]                       symbol,strength,reason
    XBTUSD = 3000                   XBTUSD,3000,close
    ETHUSD = -80                    ETHUSD,-80,close

TOML or CSV, by the ending of its name. With a portfolio in which a strength of 1 is one contract,
these are contracts. Symbols that are not named are left as they were. A file that makes no sense is
reported and changes nothing. One that is being written is let be until it has not changed for a
second; whoever writes it under another name and renames it is on the safe side.
"""

from __future__ import annotations

import csv
import io
import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.strategy.base import BadSignal, Strategy, strength_of

if TYPE_CHECKING:
    from reconciler.strategy.market import Snapshot

LARGEST = 1_000_000  # bytes

Strengths = dict[str, tuple[Decimal, str]]  # strength and reason, by symbol


class FromFile(Strategy):
    """Says what a file says."""

    path: str

    def on_start(self) -> None:
        self._path = Path(self.path).expanduser()
        self._looked: tuple[int, ...] | None = None  # at the look before
        self._done: tuple[int, ...] | None = None  # what was read, well or not
        self._missing = False
        self._look(wait=False)

    def on_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.symbol == self.symbols[0]:
            self._look(wait=True)

    def _look(self, *, wait: bool) -> None:
        try:
            stat = self._path.stat()
        except OSError as error:
            if not self._missing:
                self._missing = True
                self.warn(f"{self._path} cannot be read: {error.strerror}; what was said holds")
            return
        self._missing = False
        seen = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
        settled, self._looked = seen == self._looked, seen
        if seen == self._done or (wait and not settled):
            return
        self._done = seen
        try:
            strengths = self._read()
        except (OSError, ValueError, RecursionError, csv.Error) as error:
            self.warn(f"{self._path}: {error}; nothing was changed")
            return
        for symbol, (strength, reason) in strengths.items():
            self.signal(symbol, strength, reason)

    def _read(self) -> Strengths:
        if not self._path.is_file():
            raise ValueError("it is no plain file")  # to open a pipe may take for ever
        with self._path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST:,} bytes")
        text = raw.decode("utf-8-sig")
        found = of_csv(text) if self._path.suffix.lower() == ".csv" else of_toml(text)
        for symbol in found:
            if symbol not in self.symbols:
                raise ValueError(f"{symbol[:40]!r} is none of {', '.join(self.symbols)}")
        return found


def of_toml(text: str) -> Strengths:
    """
    The table ``[targets]`` of a TOML text.

    Raises:
        ValueError: It is none, or holds something else.
    """
    values = tomllib.loads(text, parse_float=_decimal)
    targets = values.get("targets")
    if not isinstance(targets, dict):
        raise ValueError("it has no table [targets]")
    reason = values.get("reason", "")
    if not isinstance(reason, str):
        raise ValueError("its reason is no text")
    return {symbol: (_strength(symbol, value), reason) for symbol, value in targets.items()}


def of_csv(text: str) -> Strengths:
    """
    Lines of symbol and strength (or contracts) under a head, and reasons if it has them.

    Raises:
        ValueError: A line is not understood, or a symbol is there twice.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    head = reader.fieldnames or ()
    number = next((name for name in ("strength", "contracts") if name in head), None)
    if number is None or "symbol" not in head:
        raise ValueError("its first line must name the columns symbol and strength")
    found: Strengths = {}
    for row in reader:
        symbol = row["symbol"]
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num} has not as many columns as the head")
        if symbol in found:
            raise ValueError(f"{symbol[:40]!r} is there twice")
        try:
            value = _decimal(row[number].strip())
        except ValueError as error:
            raise ValueError(f"{symbol[:40]}: {error}") from None
        found[symbol] = (_strength(symbol, value), row.get("reason") or "")
    return found


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text[:40]!r} is no number") from None


def _strength(symbol: str, value: object) -> Decimal:
    try:
        return strength_of(value)
    except BadSignal as error:
        raise ValueError(f"{symbol[:40]}: {error}") from None
