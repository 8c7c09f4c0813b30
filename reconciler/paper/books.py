"""
The book tables as their subscribers have them, and the frames that bring them up to date (10.5).

A book is compared with what was last sent, once an operation: price levels that came, changed or
went are one insert, update or delete frame. In ``orderBookL2_25`` a level also comes and goes
when it moves through the window of 25 a side.
"""

from __future__ import annotations

from collections.abc import Iterator

from .exchange import Exchange
from .market import BUY, SELL
from .orders import Row
from .protocol import book_row
from .times import iso
from .topics import BOOKS

Levels = dict[tuple[int, int], int]  # (side, ticks) -> contracts


class BookFeed:
    """What has been sent of every book that somebody hears."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._sent: dict[tuple[str, str], Levels] = {}  # by table and symbol

    def begin(self, table: str, symbol: str) -> None:
        """Somebody is about to be sent the image: from now on differences are told."""
        if (table, symbol) not in self._sent:
            self._sent[table, symbol] = self._levels(table, symbol)

    def forget(self, table: str, symbol: str) -> None:
        """Nobody hears this book any more."""
        self._sent.pop((table, symbol), None)

    def differences(self, table: str, symbol: str, now_ms: int) -> Iterator[tuple[str, list[Row]]]:
        """(action, rows) of one book since the last call: what went, changed and came."""
        before = self._sent.get((table, symbol), {})
        after = self._levels(table, symbol)
        if before == after:
            return
        self._sent[table, symbol] = after
        inst, at = self.exchange.catalogue[symbol], iso(now_ms)
        gone: list[Row] = []
        changed: list[Row] = []
        new: list[Row] = []
        for (side, ticks), size in before.items():
            if (side, ticks) not in after:
                row = book_row(inst, side, ticks, size, at)
                del row["size"]
                gone.append(row)
        for (side, ticks), size in after.items():
            known = before.get((side, ticks))
            if known != size:
                (new if known is None else changed).append(book_row(inst, side, ticks, size, at))
        for action, rows in (("delete", gone), ("update", changed), ("insert", new)):
            if rows:
                yield action, rows

    def _levels(self, table: str, symbol: str) -> Levels:
        book, depth = self.exchange.markets[symbol].book, BOOKS[table]
        return {
            (side, ticks): size for side in (BUY, SELL) for ticks, size in book.levels(side, depth)
        }
