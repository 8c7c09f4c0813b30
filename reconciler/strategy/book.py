"""An order book, kept from its image and its changes, level by level. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from heapq import nlargest, nsmallest

from reconciler.feed import BookRows, BookTop

Pairs = list[tuple[Decimal, int]]
TOP = 25


class Book:
    """
    Bids and asks of one symbol.

    Attributes:
        known: False before the first image, and while the stream is lost.
        unexplained: Changes of levels that were never seen. A feed asks for a new image then.
    """

    def __init__(self) -> None:
        self.known = False
        self.unexplained = 0
        self._levels: dict[int, tuple[int, Decimal, int]] = {}  # id: side, price, contracts
        self._top: dict[tuple[int, int], Pairs] = {}  # what was asked for since the last change

    def bids(self, count: int = TOP) -> Pairs:
        """The best *count* bids as (price, contracts), the highest first; 0: all."""
        return self._best(1, count)

    def asks(self, count: int = TOP) -> Pairs:
        """The best *count* asks, the lowest first; 0: all."""
        return self._best(-1, count)

    def __len__(self) -> int:
        return len(self._levels)

    def _best(self, side: int, count: int) -> Pairs:
        found = self._top.get((side, count))
        if found is None:
            levels = [(p, n) for of, p, n in self._levels.values() if of == side]
            if 0 < count < len(levels):
                found = nlargest(count, levels) if side > 0 else nsmallest(count, levels)
            else:
                found = sorted(levels, reverse=side > 0)
            self._top[side, count] = found
        return found.copy()

    def clear(self) -> None:
        """Nothing is known of it any more."""
        self.known = False
        self._levels.clear()
        self._top.clear()

    def take(self, rows: BookRows) -> None:
        """Take in an image or changes. Changes before the first image say nothing."""
        self._top.clear()
        if rows.action == "image":
            self._levels.clear()
            self.known = True
            self.unexplained = 0
        elif not self.known:
            return
        levels = self._levels
        if rows.action == "delete":
            for row in rows.levels:
                if levels.pop(row.level_id, None) is None:
                    self.unexplained += 1
            return
        for row in rows.levels:
            before = levels.get(row.level_id)
            price = row.price if row.price is not None or before is None else before[1]
            contracts = row.contracts if row.contracts is not None or before is None else before[2]
            if price is None or contracts is None or (before is None and rows.action == "update"):
                self.unexplained += 1
            else:
                levels[row.level_id] = (row.side, price, contracts)

    def replace(self, top: BookTop) -> None:
        """Take in the best levels, all that is known of the book then."""
        self.known = True
        self._top.clear()
        self._levels = dict(enumerate(_sided(1, top.bids) + _sided(-1, top.asks)))


def _sided(side: int, pairs: Sequence[tuple[Decimal, int]]) -> list[tuple[int, Decimal, int]]:
    return [(side, price, contracts) for price, contracts in pairs]
