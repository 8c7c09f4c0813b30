"""
The reconciler is `step`, called in a loop.

It does no I/O and reads no clock: the same ledger and the same events always give the same
decisions and facts, so a restart is a replay and a failed simulation is a seed.

    event ─> apply (what it proves) ─> review (what time adds) ─> plan (what to do) ─> expect
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reconciler.core.apply import apply
from reconciler.core.decisions import AnyDecision, AnyFact
from reconciler.core.events import AnyEvent
from reconciler.core.expect import expect
from reconciler.core.ledger import Ledger
from reconciler.core.limits.watch import watch_account, watch_book
from reconciler.core.plan import plan, plan_account
from reconciler.core.review import review
from reconciler.core.turn import Turn

#: Raised whenever the same events may lead to other decisions or facts than before.
LOGIC_VERSION = 4


class Outcome(NamedTuple):
    """What one event led to."""

    decisions: list[AnyDecision]
    facts: list[AnyFact]


def step(ledger: Ledger, event: AnyEvent) -> Outcome:
    """Take in one event and say what follows and what to do next."""
    turn = Turn(ledger, event.at_us)
    apply(turn, event)
    for book in list(turn.touched.values()):
        review(turn, book)
        watch_book(turn, book)
    watch_account(turn)
    for book in list(turn.touched.values()):
        for decision in plan(turn, book):
            turn.decisions.append(decision)
            expect(turn, decision)
    for decision in plan_account(turn):
        turn.decisions.append(decision)
        expect(turn, decision)
    return Outcome(turn.decisions, turn.facts)


def recall(ledger: Ledger, event: AnyEvent, decisions: Sequence[AnyDecision]) -> list[AnyFact]:
    """
    Take in an event together with what was decided on it then, deciding nothing anew.

    So a newer planner can start on an older journal: what was sent was sent.
    """
    turn = Turn(ledger, event.at_us)
    apply(turn, event)
    for book in list(turn.touched.values()):
        review(turn, book)
        watch_book(turn, book)
    watch_account(turn)
    for book in list(turn.touched.values()):
        plan(turn, book)  # for its notes alone
        for decision in decisions:
            if getattr(decision, "symbol", None) == book.symbol:
                expect(turn, decision)
    for decision in decisions:
        if getattr(decision, "symbol", None) not in turn.touched:
            expect(turn, decision)
    return turn.facts
