"""Guards to take away, those of tests/core/test_world.py and more, and where they are missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest

from reconciler.core import apply, decisions, doubt, fills, gate, orders, review, step
from reconciler.core.events import Answered, OrderRead, Outcome, Started
from reconciler.core.ledger import NEVER_US, Book, Ledger, Order
from reconciler.core.lifecycle import State
from reconciler.core.turn import Turn
from reconciler.simulation import search_world
from reconciler.simulation.search_runs import QUICK
from reconciler.simulation.search_state import Bounds
from tests.core import test_world as world

Take = Callable[[pytest.MonkeyPatch], None]


def void_after_one_look_up(patch: pytest.MonkeyPatch) -> None:
    """All steps of the proof but the second look-up."""

    def see_nothing(turn: Turn, book: Book, order: Order, asked_us: int) -> None:
        whole(turn, book, order, asked_us)
        if order.doubt is not None and order.doubt.empty_read_us is not None:
            doubt.void(turn, book, order)

    whole = doubt.see_nothing
    patch.setattr(doubt, "see_nothing", see_nothing)


def sent_again(patch: pytest.MonkeyPatch) -> None:
    """No answer: the same request once more, under the same id."""

    def begin(turn: Turn, book: Book, order: Order, why: str) -> None:
        whole(turn, book, order, why)
        turn.decisions.append(
            decisions.PlaceOrder(
                request_id=order.request_id, cl_ord_id=order.cl_ord_id, symbol=order.symbol,
                contracts=order.contracts, price=order.price, post_only=True,
                reduce_only=order.reduce_only, immediate=False, expires_us=order.expires_us,
                deadline_us=turn.at_us, target_version=1, instrument_version=1,
                position=order.position, bid=None, ask=None, mark=None, policy="", reason="again",
            )
        )  # fmt: skip

    whole = doubt.begin
    patch.setattr(doubt, "begin", begin)


def placed_beside_a_doubt(patch: pytest.MonkeyPatch) -> None:
    """An order in doubt does not keep the next one from being placed."""

    def plan(turn: Turn, book: Book) -> list[decisions.AnyDecision]:
        if book.order is not None and book.order.doubt is not None:
            book.state, book.live = State.IDLE, ""
        return whole(turn, book)

    whole = step.plan
    patch.setattr(step, "plan", plan)
    conditions = tuple(c for c in gate.CONDITIONS if c is not gate._known_orders)
    patch.setattr(gate, "CONDITIONS", conditions)


def a_cancel_that_found_nothing_is_proof(patch: pytest.MonkeyPatch) -> None:
    """Nothing to cancel: then there is nothing."""

    def see_barrier(turn: Turn, order: Order) -> None:
        if order.doubt is not None:
            doubt.void(turn, turn.ledger.book(order.symbol), order)

    patch.setattr(doubt, "see_barrier", see_barrier)


def settled_without_its_position(patch: pytest.MonkeyPatch) -> None:
    """A filled symbol is idle again before the position row agrees, and the gate does not ask."""
    world.unconfirmed(patch)


def over_is_closed(patch: pytest.MonkeyPatch) -> None:
    """An order that ended is closed before its fills are counted."""

    def owes(ledger: Ledger, book: Book) -> bool:
        return ledger.in_sync and book.confirmed

    def close(turn: Turn, book: Book, order: Order) -> None:
        if order.status == "ended":
            order.status = "closed"
            book.live = "" if book.live == order.cl_ord_id else book.live

    patch.setattr(orders, "_close_if_complete", close)
    patch.setattr(review, "coherent", owes)


def the_anchor_moves(patch: pytest.MonkeyPatch) -> None:
    """A sync takes the venue's position for the books."""

    def synced(turn: Turn, event: object) -> None:
        for book in turn.ledger.books.values():
            fills.set_anchor(turn, book, book.venue_position or 0, book.venue_position_venue_us)
        whole(turn, event)

    whole = apply._synced
    patch.setitem(apply._HANDLERS, apply.Synced, synced)


def a_restart_takes_doubt_for_life(patch: pytest.MonkeyPatch) -> None:
    """What was unanswered at a crash is taken for working."""

    def started(turn: Turn, event: Started) -> None:
        for order in turn.ledger.own_alive():
            order.status = "working"
        whole(turn, event)

    whole = apply._started
    patch.setitem(apply._HANDLERS, Started, started)


def nobody_wakes_it(patch: pytest.MonkeyPatch) -> None:
    """The ledger never asks for a tick."""
    patch.setattr(Ledger, "next_wake_us", lambda self: NEVER_US)


def nobody_looks_again(patch: pytest.MonkeyPatch) -> None:
    """A look-up that did not help is not repeated."""

    def order_read(turn: Turn, event: OrderRead) -> None:
        order = next(iter(turn.ledger.books.values())).orders[event.cl_ord_id]
        whole(turn, event)
        order.read_again_us = 0

    whole = apply._order_read
    patch.setitem(apply._HANDLERS, OrderRead, order_read)


def a_refused_cancel_ends_it(patch: pytest.MonkeyPatch) -> None:
    """Whatever a cancel is answered, the order is taken for over."""

    def see(turn: Turn, book: Book, order: Order, a: Answered) -> None:
        whole(turn, book, order, a)
        if order.alive and book.live == order.cl_ord_id:
            refused = Answered(at_us=turn.at_us, request_id=0, outcome=Outcome.REFUSED)
            orders.refuse(turn, book, order, refused)

    whole = orders.see_cancel_answer
    patch.setattr(orders, "see_cancel_answer", see)


def the_journal_folds_otherwise(patch: pytest.MonkeyPatch) -> None:
    """A decision leaves a trace in the run that the journal does not have."""

    def recall(ledger: Ledger, event: object, taken: list[decisions.AnyDecision]) -> object:
        return whole(ledger, event, [d for d in taken if not isinstance(d, decisions.ReadOrder)])

    whole = search_world.recall
    patch.setattr(search_world, "recall", recall)


class Gone(NamedTuple):
    """A guard taken away, where to search, and how the promise that breaks is called."""

    take: Take
    bounds: Bounds
    breaks: str


def _more(name: str, **changes: object) -> Bounds:
    return msgspec.structs.replace(QUICK[name], **changes)


CRASH, LOSS, TWO = QUICK["crash"], QUICK["loss"], QUICK["two-targets"]
PLAIN = _more("crash", leaps=False)  # else a second look notices it first
IN_ORDER = _more("in-order", crashes=0, losses=2)
GONE = (
    Gone(world.no_barrier, IN_ORDER, "O1"),
    Gone(world.no_expiry, CRASH, "O1"),
    Gone(world.no_hold_time, CRASH, "O1"),
    Gone(world.one_empty_look_up, CRASH, "O1"),
    Gone(world.a_timeout_is_a_refusal, CRASH, "O1"),
    Gone(world.a_restart_forgets, CRASH, "O1"),
    Gone(world.closed_without_its_fills, CRASH, "F3"),
    Gone(world.nothing_is_known_twice, CRASH, "F1"),
    Gone(world.the_position_row_leads, CRASH, "F2"),
    Gone(world.blind, _more("drop", targets=(1, 2), audits=0), "O5"),
    Gone(void_after_one_look_up, CRASH, "O1"),
    Gone(sent_again, LOSS, "O3"),
    Gone(placed_beside_a_doubt, LOSS, "O1"),
    Gone(a_cancel_that_found_nothing_is_proof, CRASH, "O1"),
    Gone(settled_without_its_position, TWO, "O5"),
    Gone(over_is_closed, TWO, "F3"),
    Gone(the_anchor_moves, CRASH, "F2"),
    Gone(a_restart_takes_doubt_for_life, CRASH, "vanished_order"),
    Gone(nobody_wakes_it, PLAIN, "V1"),
    Gone(nobody_looks_again, PLAIN, "V1"),
    Gone(a_refused_cancel_ends_it, TWO, "O1"),
    Gone(the_journal_folds_otherwise, CRASH, "R1"),
)
