"""
What becomes of a difference that outlived its repair, under ``on_mismatch = adopt | trade_back``.

The core freezes the symbol in any case. The shell asks here, after every turn, what the rule makes
of the ledger as it is, and takes the answer in as events: so they are in the journal as anybody's
are, a replay has them, and a crash before them costs nothing: the symbol is frozen after it, too.
"""

from __future__ import annotations

from reconciler.core.events import Adjusted, TargetSet
from reconciler.core.ledger import Book, Ledger
from reconciler.core.limits.results import DAY_US

BY = "on_mismatch"
MOST_REPAIRS = 6  # what goes on moving unexplained is shown to a person in the end


def settled(ledger: Ledger) -> list[TargetSet | Adjusted]:
    """The events that end such a freeze; none, if there is none, or a person has to look."""
    rule = ledger.settings.on_mismatch
    if rule not in ("adopt", "trade_back") or not ledger.in_sync or ledger.frozen:
        return []
    events: list[TargetSet | Adjusted] = []
    for book in ledger.books.values():
        if book.frozen_by == "position_differs" and _may_be_settled(ledger, book):
            events.extend(_events(ledger, book, rule))
    return events


def is_unexplained(ledger: Ledger, book: Book) -> bool:
    """
    Whether every execution is known from before the moment that books and venue came apart.

    A moment that the venue's clock has yet to reach is one from before it was set back: it says
    nothing, and to wait for it would hide the difference until then.
    """
    soon_us = ledger.venue_now_us() + ledger.settings.timing.clock_margin_us
    return not ledger.watermark_us < book.moved_venue_us <= soon_us


def is_repaired(ledger: Ledger, book: Book) -> bool:
    """Whether a difference has outlived what can be read: once more would bring nothing new."""
    enough = 1 if is_unexplained(ledger, book) else MOST_REPAIRS
    return book.repairs >= enough


def remember(book: Book, adjustment: Adjusted) -> None:
    """Count what was settled by rule: so many a day, and the next one waits for a person."""
    if adjustment.by.startswith(BY):
        day = max(adjustment.at_us // DAY_US, book.settled_day)
        book.settled_today = book.settled_today + 1 if book.settled_day == day else 1
        book.settled_day = day


def _may_be_settled(ledger: Ledger, book: Book) -> bool:
    if book.venue_position is None or ledger.halted or book.halted:
        return False
    if not is_unexplained(ledger, book):
        return False
    if any(order.alive or order.status == "ended" for order in book.own_orders()):
        return False
    today = book.settled_today if book.settled_day >= ledger.at_us // DAY_US else 0
    return today < ledger.settings.mismatches_per_day


def _events(ledger: Ledger, book: Book, rule: str) -> list[TargetSet | Adjusted]:
    reason = f"the books said {book.position:+d}, the venue says {book.venue_position:+d}"
    by = f"{BY} = {rule}"
    adjusted = adjustment(ledger.at_us, book, by, reason)
    if rule == "trade_back" or book.target is None:
        return [adjusted]
    # The target first: while the symbol is frozen nothing can be placed for the old one.
    return [wanted(ledger.at_us, book, by, reason), adjusted]


def adjustment(at_us: int, book: Book, by: str, reason: str) -> Adjusted:
    """The books take the venue's figure."""
    assert book.venue_position is not None
    return Adjusted(
        at_us=at_us,
        symbol=book.symbol,
        contracts=book.venue_position - book.position,
        by=by,
        reason=reason,
    )


def wanted(at_us: int, book: Book, by: str, reason: str) -> TargetSet:
    """The venue's figure becomes the target, until the end that the target had."""
    assert book.venue_position is not None
    assert book.target is not None
    return TargetSet(
        at_us=at_us,
        symbol=book.symbol,
        contracts=book.venue_position,
        version=book.version + 1,
        source=by,
        reason=reason,
        policy=book.target.policy,
        expires_us=book.target.expires_us,
        on_expiry=book.target.on_expiry,
    )
