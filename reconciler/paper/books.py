"""
The book tables as their subscribers have them, and the frames that bring them up to date (10.5).

Price levels that came, changed or went since the last look are one insert, update or delete frame.
Only levels that orders touched are looked at; in ``orderBookL2_25``, where a level also comes and
goes when it moves through the window of 25 a side, only sides that were touched inside of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from .exchange import Exchange
from .market import BUY, SELL, Book
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
            book, depth = self.exchange.markets[symbol].book, BOOKS[table]
            self._sent[table, symbol] = {
                (side, ticks): size
                for side in (BUY, SELL)
                for ticks, size in book.levels(side, depth)
            }

    def forget(self, table: str, symbol: str) -> None:
        """Nobody hears this book any more."""
        self._sent.pop((table, symbol), None)

    def differences(self, table: str, symbol: str, now_ms: int) -> Iterator[tuple[str, list[Row]]]:
        """(action, rows) of one book since the last call: what went, changed and came."""
        sent = self._sent.setdefault((table, symbol), {})  # a new contract: nothing yet
        book, depth = self.exchange.markets[symbol].book, BOOKS[table]
        after = _touched(book) if depth is None else _window(book, sent, depth)
        inst, at = self.exchange.catalogue[symbol], iso(now_ms)
        rows: dict[str, list[Row]] = {"delete": [], "update": [], "insert": []}
        for (side, ticks), size in after.items():
            known = sent.get((side, ticks), 0)
            if size == known:
                continue
            row = book_row(inst, side, ticks, size or known, at)
            if size:
                sent[side, ticks] = size
                rows["update" if known else "insert"].append(row)
            else:
                del sent[side, ticks], row["size"]
                rows["delete"].append(row)
        for action, found in rows.items():
            if found:
                yield action, found


def _touched(book: Book) -> Levels:
    """The levels that orders touched, with what they show now: perhaps nothing."""
    return {(side, ticks): book.size(side, ticks) for side, ticks in sorted(book.dirty)}


def _window(book: Book, sent: Levels, depth: int) -> Levels:
    """The levels of the best *depth*, and 0 for those sent before that are no longer among them."""
    after: Levels = {}
    for side in (BUY, SELL):
        touched = [ticks for of, ticks in book.dirty if of == side]
        before = [ticks for of, ticks in sent if of == side]
        if not touched or _behind(side, touched, before, depth):
            continue
        after.update({(side, ticks): 0 for ticks in before})
        after.update({(side, ticks): size for ticks, size in book.levels(side, depth)})
    return after


def _behind(side: int, touched: list[int], before: list[int], depth: int) -> bool:
    """Whether all that was touched is behind a window that is full."""
    if len(before) < depth:
        return False
    edge = min(ticks * side for ticks in before)
    return all(ticks * side < edge for ticks in touched)
