"""
The gate: every condition of a new order, in one list.

Each returns in words what is missing, or "" when it holds. The first thing missing is what the
symbol is *waiting for*.
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.core.ledger import Book, Ledger
from reconciler.core.limits import guards
from reconciler.core.targets import modes


def coherent(ledger: Ledger, book: Book) -> bool:
    """
    Whether the three accounts of the position agree.

    The stream is in sync, no intent is live or in doubt, every order that ended has all its
    fills booked, and the venue's position row, seen after the newest execution, is the ledger's.
    """
    if not ledger.in_sync or not book.confirmed:
        return False
    return not _known_orders(ledger, book)


def _stopped(ledger: Ledger, book: Book) -> str:
    if ledger.stopping:
        return f"stopping: {ledger.stopping}"
    if words := modes.in_words(ledger, book):
        return words
    if book.symbol not in ledger.settings.named:
        return "the symbol to be configured again"
    return ""


def _in_sync(ledger: Ledger, book: Book) -> str:
    return "" if ledger.in_sync else "the stream"


def _known_orders(ledger: Ledger, book: Book) -> str:
    for order in book.own_orders():
        if order.status == "ended":
            return f"{order.filled - order.booked} fills of {order.cl_ord_id}"
        if order.alive:
            return f"the end of {order.cl_ord_id}"
    return ""


def _confirmed(ledger: Ledger, book: Book) -> str:
    if book.anchor is None:
        return "the first position"
    if not book.confirmed:
        return f"the venue's position to be {book.position:+d}"
    return ""


def _settled(ledger: Ledger, book: Book) -> str:
    if book.foreign_until_us > ledger.at_us:
        return "a foreign trade to settle"
    return ""


def _instrument(ledger: Ledger, book: Book) -> str:
    if book.instrument is None:
        return "the instrument"
    if not book.instrument.open:
        return f"the market to open: it is {book.instrument.state}"
    return ""


def _clock(ledger: Ledger, book: Book) -> str:
    return "" if ledger.clock_is_good() else "the venue's clock"


def _budget(ledger: Ledger, book: Book) -> str:
    if ledger.throttled_until_us > ledger.at_us:
        return f"the request budget: {ledger.throttled_why}"
    if book.refused_until_us > ledger.at_us:
        return "a while after a refusal"
    return ""


def _dead_man(ledger: Ledger, book: Book) -> str:
    limit_us = ledger.settings.dead_man_us
    if limit_us and ledger.at_us - ledger.dead_man_acked_us > limit_us // 2:
        return "the dead man's switch to be armed"
    return ""


CONDITIONS: tuple[Callable[[Ledger, Book], str], ...] = (
    _stopped,
    _in_sync,
    _known_orders,
    _confirmed,
    _settled,
    _instrument,
    _clock,
    _budget,
    _dead_man,
)


def may_work(ledger: Ledger, book: Book, goal: int) -> bool:
    """Whether the time that passes is one in which the gap to *goal* could be worked."""
    if _stopped(ledger, book) or _in_sync(ledger, book) or _instrument(ledger, book):
        return False
    reduces = (goal - book.position) * book.position < 0
    return bool(book.live) or not guards.waits_long(ledger, book, reduces)


def missing(ledger: Ledger, book: Book) -> str:
    """The first condition of a new order that does not hold; "" when the gate is open."""
    for condition in CONDITIONS:
        what = condition(ledger, book)
        if what:
            return what
    return ""


def opens_at_us(ledger: Ledger, book: Book) -> int | None:
    """When time alone may open the gate; None when time alone will not."""
    times = (
        book.foreign_until_us,
        ledger.throttled_until_us,
        book.refused_until_us,
    )
    later = [time for time in times if time > ledger.at_us]
    return min(later) if later else None
