"""An order that is there: keep it, cancel it, or leave its price to its policy."""

from __future__ import annotations

from reconciler.core.ledger import Order
from reconciler.core.lifecycle import State
from reconciler.core.limits import guards, sizing
from reconciler.core.look import Look
from reconciler.core.policy import repricing
from reconciler.core.targets import modes


def work(look: Look, order: Order) -> None:
    """Keep it, reprice it or cancel it."""
    book = look.book
    if order.status == "intended":
        no_answer_us = order.placed_us + look.timing.in_flight_deadline_us
        look.wait_for(f"an answer about {order.cl_ord_id}", no_answer_us)
        return
    if order.doubt is not None:
        look.waiting_for = f"an answer about {order.cl_ord_id}"
        return
    if book.state is State.CANCELLING:
        look.waiting_for = f"the end of {order.cl_ord_id}"
        look.cancel(order, "asked again")
        return
    look.waiting_for = f"a fill of {order.cl_ord_id}"
    why = unwanted(look, order)
    if why:
        look.waiting_for = f"the end of {order.cl_ord_id}"
        look.cancel(order, why)
    elif book.target is not None and not order.amend_id:
        repricing.reprice(look, order, book.target)


def unwanted(look: Look, order: Order) -> str:
    """Why this order should not be there; "" if it should."""
    ledger, book = look.ledger, look.book
    if order.zombie:
        return "it was thought over"
    stop = look.stopped(order)
    stop = stop or guards.to_take_back(ledger, book, order.reduce_only)
    if stop:
        return stop
    if order.price_in_doubt:
        return "its price is in doubt"
    target = book.target
    if target is None:
        return "no target"
    goal = modes.reach(ledger, book, target.contracts)
    if sizing.passes_the_target(book, order, goal):
        return f"target {target.contracts:+d}"
    final = book.position + order.unbooked
    most = look.rules.limits.max_position_contracts
    if abs(final) > most and abs(final) > abs(book.position):
        return f"limits.max_position_contracts = {most}"
    return ""
