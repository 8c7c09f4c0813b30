"""
What would bring a symbol to its target.

Looks at all we know and at no single event, so an event that is late, lost or repeated costs time
and never a wrong order. Reads the ledger, and writes there only its notes: what the symbol waits
for, when to look again, whether it needs a price.
"""

from __future__ import annotations

from reconciler.core import placing, proving, working
from reconciler.core.decisions import AnyDecision, ArmDeadMan, Resync
from reconciler.core.gate import missing
from reconciler.core.ledger import AUDIT_EVERY_US, Book
from reconciler.core.lifecycle import State
from reconciler.core.look import Look
from reconciler.core.review import missing_fills_us
from reconciler.core.trouble import strangers
from reconciler.core.turn import Turn


def plan(turn: Turn, book: Book) -> list[AnyDecision]:
    """Decide, and leave the notes in the book."""
    look = Look(turn, book)
    for order in book.own_orders():
        proving.look_up(look, order)
        proving.end_doubt(look, order)
        if order.status == "ended":
            look.wake(missing_fills_us(look.ledger, order))
        if order.cl_ord_id != book.live:
            proving.clear_away(look, order)
    if book.state is State.IDLE:
        placing.place(look)
    elif book.state is State.FILLED:
        look.waiting_for = missing(look.ledger, book) or "the books to agree"
    else:
        assert book.order is not None
        working.work(look, book.order)
    proving.check_position(look)
    strangers.cancel(look)
    look.take_note()
    return look.decisions


def plan_account(turn: Turn) -> list[AnyDecision]:
    """What the account as a whole needs: a regular look at all of it, and the dead man's switch."""
    ledger = turn.ledger
    decisions: list[AnyDecision] = []
    if not ledger.in_sync:
        return decisions
    why = turn.resync_why
    if turn.at_us >= ledger.synced_us + AUDIT_EVERY_US:
        why = why or "regular audit"
    if why and ledger.sync_asked_us is None and turn.at_us >= ledger.sync_again_us:
        decisions.append(Resync(request_id=ledger.next_request_id, reason=why))
    limit_us = ledger.settings.dead_man_us
    if not limit_us:
        return decisions
    number = ledger.next_request_id + len(decisions)
    if turn.at_us < ledger.dead_man_due_us():
        return decisions
    if ledger.stopping:
        if ledger.dead_man_armed and not any(ledger.own_alive()):
            decisions.append(ArmDeadMan(request_id=number, timeout_ms=0))
    else:
        decisions.append(ArmDeadMan(request_id=number, timeout_ms=limit_us // 1000))
    return decisions
