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

Levels = dict[int, dict[int, int]]  # by side: ticks -> contracts
Moved = list[tuple[int, int, int, int]]  # side, ticks, contracts now and before; 0: not there


class BookFeed:
    """What has been sent of every book that somebody hears."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._sent: dict[tuple[str, str], Levels] = {}  # by table and symbol

    def begin(self, table: str, symbol: str) -> None:
        """Somebody is about to be sent the image: from now on differences are told."""
        if (table, symbol) not in self._sent:
            book, depth = self.exchange.markets[symbol].book, BOOKS[table]
            self._sent[table, symbol] = {s: dict(book.levels(s, depth)) for s in (BUY, SELL)}

    def forget(self, table: str, symbol: str) -> None:
        """Nobody hears this book any more."""
        self._sent.pop((table, symbol), None)

    def differences(self, table: str, symbol: str, now_ms: int) -> Iterator[tuple[str, list[Row]]]:
        """(action, rows) of one book since the last call: what went, changed and came."""
        sent = self._sent.get((table, symbol))
        if sent is None:  # a new contract: nothing yet
            sent = self._sent[table, symbol] = {BUY: {}, SELL: {}}
        book, depth = self.exchange.markets[symbol].book, BOOKS[table]
        moved = _touched(book, sent) if depth is None else _window(book, sent, depth)
        inst, at = self.exchange.catalogue[symbol], iso(now_ms)
        rows: dict[str, list[Row]] = {"delete": [], "update": [], "insert": []}
        for side, ticks, size, known in moved:
            row = book_row(inst, side, ticks, size or known, at)
            if size:
                sent[side][ticks] = size
                rows["update" if known else "insert"].append(row)
            else:
                del sent[side][ticks], row["size"]
                rows["delete"].append(row)
        for action, found in rows.items():
            if found:
                yield action, found


def _touched(book: Book, sent: Levels) -> Moved:
    """The levels that orders touched and that show something else now."""
    found = [(s, t, book.size(s, t), sent[s].get(t, 0)) for s, t in sorted(book.dirty)]
    return [level for level in found if level[2] != level[3]]


def _window(book: Book, sent: Levels, depth: int) -> Moved:
    """What changed in the best *depth* of a side, and what went from there or came there."""
    moved: Moved = []
    for side in (BUY, SELL):
        before = sent[side]
        touched = [ticks for of, ticks in book.dirty if of == side]
        if not touched or _behind(side, touched, before, depth):
            continue
        sizes = {ticks: book.size(side, ticks) for ticks in touched}
        if all(size and ticks in before for ticks, size in sizes.items()):  # nothing came or went
            moved += [
                (side, ticks, sizes[ticks], before[ticks])
                for ticks in (sizes if len(sizes) == 1 else [t for t in before if t in sizes])
                if sizes[ticks] != before[ticks]
            ]
            continue
        after = dict(book.levels(side, depth))
        moved += [
            (side, ticks, after.get(ticks, 0), known)
            for ticks, known in before.items()
            if after.get(ticks, 0) != known
        ]
        moved += [(side, ticks, size, 0) for ticks, size in after.items() if ticks not in before]
    return moved


def _behind(side: int, touched: list[int], before: dict[int, int], depth: int) -> bool:
    """Whether all that was touched is behind a window that is full."""
    if len(before) < depth:
        return False
    edge = min(before) if side == BUY else max(before)
    return all((ticks - edge) * side < 0 for ticks in touched)
