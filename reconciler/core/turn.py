"""One event's turn: what it has led to so far, and the small verbs that every handler uses."""

from __future__ import annotations

from reconciler.core import lifecycle
from reconciler.core.decisions import (
    AnyDecision,
    AnyFact,
    IncidentClosed,
    IncidentOpened,
    OrderChanged,
    PositionMoved,
    Transition,
)
from reconciler.core.ledger import Book, Ledger, Order
from reconciler.core.lifecycle import IllegalTransition

#: Freezes that end by themselves, once what was missing is found.
REPAIRABLE = ("missing_fills", "position_differs")
SOON_US = 1_000_000  # after a refusal of something else


class Turn:
    """The ledger, the time, and what this event has led to."""

    __slots__ = ("at_us", "decisions", "facts", "ledger", "resync_why", "touched")

    def __init__(self, ledger: Ledger, at_us: int) -> None:
        self.ledger = ledger
        self.at_us = at_us
        self.facts: list[AnyFact] = []
        self.decisions: list[AnyDecision] = []
        self.touched: dict[str, Book] = {}  # the books that must be looked at again, in order
        self.resync_why = ""  # why a symbol wants everything read again

    def touch(self, book: Book) -> None:
        """Have *book* looked at before the turn ends."""
        self.touched[book.symbol] = book

    def touch_all(self) -> None:
        """Have every book looked at."""
        self.touched.update(self.ledger.books)

    def move(self, book: Book, trigger: str, detail: str = "") -> bool:
        """Take one row of the table. What the table does not allow is an incident."""
        before = book.state
        order = book.order
        try:
            lifecycle.advance(book, trigger)
        except IllegalTransition as refusal:
            self.freeze(book, "impossible", f"{refusal} ({detail or 'no detail'})")
            return False
        self.facts.append(
            Transition(
                symbol=book.symbol,
                trigger=trigger,
                from_state=before,
                to_state=book.state,
                cl_ord_id=order.cl_ord_id if order is not None else "",
                target_version=order.target_version if order is not None else 0,
                dwell_us=self.at_us - book.since_us if book.since_us else 0,
                detail=detail,
            )
        )
        if book.state is not before:
            book.since_us = self.at_us
        self.touch(book)
        return True

    def order_changed(self, order: Order, evidence: str) -> None:
        """Write down what is known of *order* now."""
        self.facts.append(
            OrderChanged(
                cl_ord_id=order.cl_ord_id,
                symbol=order.symbol,
                status=order.status,
                venue_status=order.venue_status or "",
                venue_order_id=order.order_id,
                price=order.price,
                filled=order.filled,
                booked=order.booked,
                evidence=evidence,
            )
        )

    def position_moved(self, book: Book) -> None:
        """Write down the books of a symbol and its exposure envelope."""
        low, high = book.worst_case()
        self.facts.append(
            PositionMoved(
                symbol=book.symbol,
                contracts=book.position,
                venue_contracts=book.venue_position,
                anchor=book.anchor,
                worst_short=low,
                worst_long=high,
            )
        )

    def incident(self, kind: str, symbol: str, summary: str, severity: str = "warning") -> None:
        """Open an incident, unless one of this kind is open for *symbol* already."""
        ledger = self.ledger
        name = f"{kind} {symbol}"
        if name in ledger.incidents:
            return
        number = ledger.next_incident_id
        ledger.next_incident_id += 1
        ledger.incidents[name] = number
        self.facts.append(
            IncidentOpened(
                incident_id=number, severity=severity, type=kind, symbol=symbol, summary=summary
            )
        )

    def close_incidents(self, symbol: str, decision: str, by: str, *kinds: str) -> None:
        """Close the open incidents of *symbol*, or only those of the named kinds."""
        ledger = self.ledger
        for name, number in sorted(ledger.incidents.items(), key=lambda item: item[1]):
            kind, _, whose = name.partition(" ")
            if whose == symbol and (not kinds or kind in kinds):
                del ledger.incidents[name]
                self.facts.append(IncidentClosed(incident_id=number, decision=decision, by=by))

    def asked_anew(self, book: Book, why: str) -> None:
        """What the venue refused is not what is asked for now: no reason to wait for it."""
        book.refusals = 0
        book.refused_until_us = min(book.refused_until_us, self.at_us + SOON_US)
        self.close_incidents(book.symbol, why, "core", "refused")

    def back_off(self, book: Book, why: str) -> None:
        """A try came to nothing: the next one waits longer than the one before."""
        timing = self.ledger.settings.timing
        book.refusals += 1
        wait_us = timing.refusal_backoff_us * 2 ** min(book.refusals - 1, 16)
        book.refused_until_us = self.at_us + min(wait_us, timing.refusal_backoff_max_us)
        if book.refusals >= 3:
            said = f"{book.refusals} times in a row; the last: {why}"
            self.incident("refused", book.symbol, said)

    def freeze(self, book: Book, kind: str, summary: str) -> None:
        """No new order for this symbol until somebody decides. Cancels go on."""
        if not book.frozen or (book.frozen_by in REPAIRABLE and kind not in REPAIRABLE):
            book.frozen, book.frozen_by = summary, kind
        self.incident(kind, book.symbol, summary, "critical")
        self.touch(book)

    def thaw(self, book: Book, kind: str, how: str) -> None:
        """The cause of a freeze of a REPAIRABLE kind is gone. A freeze of another kind stays."""
        if book.frozen_by == kind:
            book.frozen = book.frozen_by = ""
        self.close_incidents(book.symbol, how, "core", kind)
        self.touch(book)

    def freeze_account(self, kind: str, summary: str) -> None:
        """No new order at all until somebody decides. Cancels go on."""
        self.ledger.frozen = self.ledger.frozen or summary
        self.incident(kind, "", summary, "critical")
        self.touch_all()
