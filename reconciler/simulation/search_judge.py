"""
What must hold in every state of the search, from the venue's truth, which the core never sees.

O1 one order, O3 sent once, O4 no fill past the target, F1 each fill once, F2 the books are their
executions, F3 closed is complete; and beside them: void and refused orders are not there, and
nothing happens that the core calls impossible.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.core import decisions as d
from reconciler.core.lifecycle import State as SymbolState
from reconciler.core.turn import REPAIRABLE
from reconciler.simulation.search_state import NOW_US, Bounds, Post, State, cl_ord_id_of, number_of

#: Incidents that cannot happen while the venue keeps to what is assumed of it.
NEVER = frozenset(
    {
        "zombie_order",
        "twin_order",
        "unknown_own_order",
        "changed_order",
        "overfill",
        "wrong_side",
        "impossible",
        "unknown_execution",
        "vanished_order",
    }
)


class Broken(Exception):
    """A promise was not kept."""


def can_trade(post: Post) -> bool:
    """It is open, or may still become so."""
    return post.phase in ("queued", "open") or (post.phase == "wire" and post.expires_us >= NOW_US)


def judge_facts(state: State, facts: Iterable[d.AnyFact]) -> None:
    """Mark what was booked."""
    for fact in facts:
        if isinstance(fact, d.FillBooked):
            _booked(state, fact)
        elif isinstance(fact, d.IncidentOpened) and fact.type in NEVER:
            raise Broken(f"{fact.type}: {fact.summary}")


def _booked(state: State, fact: d.FillBooked) -> None:
    order, _, which = fact.exec_id[1:].partition(".")
    number, index = int(order), int(which)
    fills = state.post(number).fills if number else state.others
    if index >= len(fills):
        raise Broken(f"F1: {fact.exec_id} never happened")
    fill = fills[index]
    if fill.booked:
        raise Broken(f"F1: {fact.exec_id} was booked twice")
    if fill.contracts != fact.contracts or bool(number) != bool(fact.cl_ord_id):
        raise Broken(f"F1, F4: {fact} is not what happened: {fill}")
    fill.booked = True


def judge_place(state: State, order: d.PlaceOrder) -> None:
    """O3, O5, and the claim that carries O1: no earlier order is there or can still come."""
    if number_of(order.cl_ord_id) <= len(state.posts):
        raise Broken(f"O3, O9: {order.cl_ord_id} is sent again")
    for post in state.posts:
        if can_trade(post):
            raise Broken(f"O1: {order.cl_ord_id} while r{post.number} is {post.phase}")
    if not state.ledger.in_sync or state.stream in ("gone", "down", "joining"):
        raise Broken(f"O5: {order.cl_ord_id} is placed while out of sync")
    if state.book.venue_position != order.position:
        raise Broken(f"O5: planned from {order.position:+d}, the venue said otherwise")


def judge_fill(state: State, post: Post) -> None:
    """O4: our fills stay between the position that the order was planned from and its target."""
    own = state.own()
    if not post.low <= own <= post.high:
        raise Broken(f"O4: our fills make {own:+d}, which is not in {post.low:+d}..{post.high:+d}")


def judge(state: State, bounds: Bounds) -> None:
    """Everything else, after every move."""
    if sum(can_trade(post) for post in state.posts) > 1:
        raise Broken("O1: two orders of ours are, or may yet be, open")
    book = state.book
    if sum(order.alive for order in book.orders.values()) > 1:
        raise Broken("O1: two intents are live")
    if book.anchor is not None:
        booked = sum(f.contracts for p in state.posts for f in p.fills if f.booked)
        booked += state.foreign_booked()
        if book.position != book.anchor + booked:
            raise Broken(f"F2: {book.position:+d} is not {book.anchor:+d} and {booked:+d}")
    for post in state.posts:
        order = book.orders.get(cl_ord_id_of(post.number))
        if order is None:
            continue
        if order.status == "closed":
            if post.phase != "over" or order.booked != post.filled:
                raise Broken(
                    f"F3: r{post.number} is closed, and {post.phase}, {post.filled} filled"
                )
        elif order.status in ("void", "refused"):
            if can_trade(post) or post.filled:
                raise Broken(f"O1: r{post.number} is {order.status}, and {post.phase}")


def quiet(state: State) -> bool:
    """Nothing is on its way, nothing is open."""
    return (
        state.stream == "up"
        and not (state.replies or state.cancels or state.ledger.requests)
        and not (state.order_rows or state.execution_rows or state.position_rows)
        and not any(can_trade(post) for post in state.posts)
    )


def end_of(state: State, bounds: Bounds) -> str:
    """Why a path may rest here: it is "on target", or named as "frozen: ..."; "" if it may not."""
    ledger, book = state.ledger, state.book
    if not quiet(state) or not ledger.in_sync:
        return ""
    if book.state is SymbolState.IDLE and book.confirmed and book.target is not None:
        truth = venue_position(state, bounds)
        if book.position == book.target.contracts == truth and not (book.frozen or ledger.frozen):
            return "on target"
    if ledger.frozen or (book.frozen and book.frozen_by not in REPAIRABLE):
        return f"frozen: {book.frozen_by or 'account'}"
    return ""


def venue_position(state: State, bounds: Bounds) -> int:
    """The truth."""
    return bounds.start + state.own() + sum(fill.contracts for fill in state.others)
