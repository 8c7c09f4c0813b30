"""
What a symbol and the account gained or lost: since midnight UTC, and since it was best.

A book's result is what its position is worth at the mark, less all that was paid for it: costs,
fees and funding. That is realised and unrealised profit in one figure, in exact integers, and it
needs no cost of a position that is older than the journal: that one is taken in at the first mark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from reconciler.core.limits import worth

if TYPE_CHECKING:
    from reconciler.core.ledger import Book

DAY_US = 86_400_000_000


class Tally(msgspec.Struct, kw_only=True):
    """One figure of money, and where it stood when the day began and when it was highest."""

    day: int = -1  # days since the epoch, UTC; -1: never noted
    now_minor: int = 0
    began_minor: int = 0
    best_minor: int = 0

    @property
    def loss_minor(self) -> int:
        """What the day has cost so far."""
        return self.began_minor - self.now_minor

    @property
    def drawdown_minor(self) -> int:
        """How far below its best it is."""
        return self.best_minor - self.now_minor

    def note(self, at_us: int, minor: int) -> None:
        """A new figure. A day begins with the last one of the day before, and no day twice."""
        day = max(at_us // DAY_US, self.day)  # the clock of another run may be behind
        if self.day < 0:
            self.now_minor = self.began_minor = self.best_minor = minor
        elif day != self.day:
            self.began_minor = self.now_minor
        self.day, self.now_minor = day, minor
        self.best_minor = max(self.best_minor, minor)

    def anew(self) -> None:
        """Somebody has seen what was lost: count from here."""
        self.began_minor = self.best_minor = self.now_minor

    def forget(self) -> None:
        """Nobody asked for a while: nothing is lost, and the next figure is the first."""
        self.anew()
        self.day = -1


def see_mark(book: Book) -> None:
    """Remember the newest mark: a quote may lack one."""
    quote = book.quote
    if quote is not None and quote.mark is not None and quote.mark > 0:
        book.mark = quote.mark


def mark(book: Book, at_us: int) -> None:
    """Value the book at its newest mark, if that is known."""
    instrument = book.instrument
    if book.position == 0:
        value: int | None = 0
    elif instrument is None or book.mark is None:
        return
    else:
        value = worth.cost(instrument, book.position, book.mark)
    if value is None:
        return
    if book.paid_minor is None:  # what it was worth just now is what it cost
        book.paid_minor = value - book.result.now_minor
    book.result.note(at_us, value - book.paid_minor)


def paid(book: Book, minor: int) -> None:
    """A fill's cost, a fee or funding: with the venue's sign, above zero if it was paid."""
    if book.paid_minor is not None:
        book.paid_minor += minor


def moved(book: Book, contracts: int) -> None:
    """The books moved without a fill: at the mark, so that nothing is gained or lost by it."""
    if book.paid_minor is None or book.instrument is None or book.mark is None:
        book.paid_minor = None
        return
    value = worth.cost(book.instrument, contracts, book.mark)
    book.paid_minor = None if value is None else book.paid_minor + value


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of money that was reached: nothing adds risk until it lets go."""

    words: str
    limit: int  # as it was set then: another one is judged anew
    day: int
