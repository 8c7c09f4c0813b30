"""What it means in events that a person decides an incident."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from reconciler.core.events import Adjusted, AnyEvent, Resolved
from reconciler.core.ledger import Ledger
from reconciler.core.targets import modes
from reconciler.core.trouble import resolve as incidents
from reconciler.errors import CannotDecide, NotFound, UsageError
from reconciler.service.door import Decided
from reconciler.service.words import check_words, legible

LISTED = "See `reconciler get incidents`."


def resolve(
    ledger: Ledger, now_us: int, incident: str, decision: str, by: str, reason: str
) -> tuple[list[AnyEvent], Callable[[Ledger], Decided]]:
    """
    The events of a decision, and what is told of it.

    Raises:
        NotFound: There is no such incident, or it is closed.
        CannotDecide: It cannot be decided so, or not now.
    """
    if decision not in incidents.DONE:
        known = ", ".join(incidents.DONE)
        raise UsageError(f"{decision[:40]!r} is no decision", next_step=f"One of {known}.")
    check_words(by=by, reason=reason)
    by, reason = legible(by), legible(reason)
    number = _number(incident)
    kind, symbol = _open(ledger, number)
    if not reason.strip():
        raise UsageError(
            f"INC-{number}: a decision needs a reason", next_step="Say it: --reason TEXT."
        )
    no = incidents.objection(ledger, kind, symbol, decision)
    if no:
        about = f" of {symbol}" if symbol else ""
        raise CannotDecide(f"INC-{number}, {kind}{about}: {no}", incident=number)
    word = Resolved(
        at_us=now_us,
        incident_id=number,
        decision=decision,  # type: ignore[arg-type]  # it is one of DONE
        by=by,
        reason=reason,
    )
    if decision == "ignore":
        return [word], lambda after: _told(after, word, kind, symbol, 0)
    told = incidents.settlement(ledger.books[symbol], now_us, decision, by, reason)
    moved = sum(event.contracts for event in told if isinstance(event, Adjusted))
    # The target first and the books last: between the two nothing can be placed.
    events: list[AnyEvent] = [event for event in told if not isinstance(event, Adjusted)]
    events += [word, *(event for event in told if isinstance(event, Adjusted))]
    return events, lambda after: _told(after, word, kind, symbol, moved)


def _number(incident: str) -> int:
    match = re.fullmatch(r"(?:INC-)?([0-9]{1,15})", incident, re.ASCII | re.IGNORECASE)
    if match is None:
        raise NotFound(f"{incident[:40]!r} is the name of no incident", next_step=LISTED)
    return int(match[1])


def _open(ledger: Ledger, number: int) -> tuple[str, str]:
    found = incidents.named(ledger, number)
    if found is not None:
        return found
    known = 0 < number < ledger.next_incident_id
    said = f"INC-{number} is closed already" if known else f"there is no incident INC-{number}"
    raise NotFound(said, next_step=LISTED, incident=number)


def _told(ledger: Ledger, word: Resolved, kind: str, symbol: str, moved: int) -> Decided:
    book = ledger.books.get(symbol)
    more: dict[str, Any] = {}
    if book is not None:
        more = {
            "position": book.position,
            "target": book.target.contracts if book.target is not None else None,
            "note": modes.in_words(ledger, book) or modes.only_reduces(ledger, book),
        }
    return Decided(
        incident_id=word.incident_id,
        kind=kind,
        symbol=symbol,
        decision=word.decision,
        adjusted=moved,
        **more,
    )
