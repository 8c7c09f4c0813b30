"""
A person decides an incident: adopt the venue's figure, trade back to the target, or ignore it.

What is no longer so closes its incident by itself, and what merely tells of something may be
ignored. A freeze of a symbol ends by a decision about what it holds. A freeze of the account is
about more than a position, and a halt or a mode is somebody's word: only `resume` ends those.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core import orders
from reconciler.core.events import Adjusted, Resolved, TargetSet
from reconciler.core.ledger import Book, Ledger
from reconciler.core.trouble import mismatch
from reconciler.core.turn import Turn

#: What was decided, as the closed incident tells it.
DONE = {"adopt": "adopted", "trade_back": "traded back", "ignore": "ignored"}
#: Kinds that tell of something and stop nothing.
NOTICES = ("refused", "sibling", "duplicate_id", "strategy_failed", "foreign_order")
#: Kinds that are open for as long as what they tell is so.
LASTING = {
    "in_doubt": "evidence from the venue ends it",
    "limit": "it ends once there is room again, or by `resume` where a person has to look",
}
#: Kinds that end when the books take the venue's figure.
OF_THE_BOOKS = ("position_differs", "missing_fills", "vanished_order")


def named(ledger: Ledger, incident_id: int) -> tuple[str, str] | None:
    """Kind and symbol of an open incident."""
    for kind, symbol, number in _incidents(ledger):
        if number == incident_id:
            return kind, symbol
    return None


def freezes(ledger: Ledger, kind: str, symbol: str) -> bool:
    """Whether an incident keeps its symbol, or the account, from placing anything."""
    if kind == "foreign_order":  # it freezes, or it tells of a cancel that is under way
        book = ledger.book(symbol)
        return book.frozen_by == kind or not book.foreign_cancels
    return kind not in NOTICES and kind not in LASTING


def objection(ledger: Ledger, kind: str, symbol: str, decision: str) -> str:
    """Why *decision* does not decide such an incident now; "" if it does."""
    if kind in LASTING:
        return f"nobody decides it: {LASTING[kind]}"
    if not symbol:
        return "it freezes the account, which stays frozen: `resume` ends that, once it is safe"
    frozen = freezes(ledger, kind, symbol)
    if decision == "ignore":
        return f"it freezes {symbol}, which stays frozen: adopt or trade back" if frozen else ""
    if not frozen:
        return "it froze nothing, so there is nothing to settle: it can be ignored"
    return _unsettled(ledger, ledger.books[symbol])


def _unsettled(ledger: Ledger, book: Book) -> str:
    """Why the venue's figure cannot be taken now: it may not hold all that it soon will."""
    if not ledger.in_sync or book.venue_position is None:
        return "the venue's figure of now is not known: wait until the stream is in sync"
    vanished = _open(ledger, book, "vanished_order")
    for order in book.own_orders():
        if order.alive and not (vanished and order.status == "working"):
            return f"{order.cl_ord_id} may still trade: wait until it is over"
    known = any(_open(ledger, book, kind) for kind in OF_THE_BOOKS)
    if not book.confirmed and not (known and mismatch.is_unexplained(ledger, book)):
        return "books and venue are being compared just now: try again in some seconds"
    return ""


def settlement(
    book: Book, at_us: int, decision: str, by: str, reason: str
) -> list[TargetSet | Adjusted]:
    """What target and books are told with the decision; nothing, where they agree already."""
    assert book.venue_position is not None
    found: list[TargetSet | Adjusted] = []
    if decision == "adopt" and book.target is not None:
        if book.target.contracts != book.venue_position:
            found.append(mismatch.wanted(at_us, book, by, reason))
    if book.venue_position != book.position:
        found.append(mismatch.adjustment(at_us, book, by, reason))
    return found


def resolve(turn: Turn, event: Resolved) -> None:
    """Close the incident in the name of whoever decided; end the freeze, if that was decided."""
    incident = named(turn.ledger, event.incident_id)
    if incident is None:
        return  # it was closed meanwhile
    kind, symbol = incident
    if objection(turn.ledger, kind, symbol, event.decision):
        return  # nor does a journal's word end what only a resume ends
    said = f"{DONE[event.decision]}: {event.reason}"
    if event.decision == "ignore":
        turn.close_incidents(symbol, said, event.by, kind)
        return
    book = turn.ledger.book(symbol)
    vanished = _open(turn.ledger, book, "vanished_order")
    orders.close_short(turn, book, event.by, vanished=vanished)
    turn.close_incidents(symbol, said, event.by, kind, *OF_THE_BOOKS)
    book.repairs = 0
    book.differs_since_us = None if book.confirmed else turn.at_us
    if kind == "by_hand":
        book.frozen_until_us = None
    if book.frozen_by in (kind, *OF_THE_BOOKS):
        thaw(turn.ledger, book)
    turn.touch(book)


def thaw(ledger: Ledger, whose: Ledger | Book) -> None:
    """End the freeze of a symbol or of the account, unless there is another reason for one."""
    number, by = min(reasons(ledger, whose), default=(0, ""))
    whose.frozen = f"{by} (INC-{number})" if by else ""
    if isinstance(whose, Book):
        whose.frozen_by = by


def reasons(ledger: Ledger, whose: Ledger | Book) -> list[tuple[int, str]]:
    """Number and kind of each incident that freezes the symbol, or the account."""
    of_it = whose.symbol if isinstance(whose, Book) else ""
    return [
        (number, kind)
        for kind, symbol, number in _incidents(ledger)
        if symbol == of_it and freezes(ledger, kind, symbol)
    ]


def _incidents(ledger: Ledger) -> Iterator[tuple[str, str, int]]:
    """Kind, symbol and number of each that is open."""
    for name, number in ledger.incidents.items():
        kind, _, symbol = name.partition(" ")
        yield kind, symbol, number


def _open(ledger: Ledger, book: Book, kind: str) -> bool:
    return f"{kind} {book.symbol}" in ledger.incidents
