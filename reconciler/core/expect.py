"""
Remember what was just decided, as if it were under way already.

So the next look at the ledger contains our own last action, and nothing is decided twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from reconciler.core.decisions import (
    AmendOrder,
    AnyDecision,
    ArmDeadMan,
    CancelOrder,
    PlaceOrder,
    ReadOrder,
    ReadPosition,
    Resync,
)
from reconciler.core.ledger import Order, Request
from reconciler.core.lifecycle import State
from reconciler.core.limits.results import DAY_US
from reconciler.core.portfolio import shares
from reconciler.core.trouble import strangers
from reconciler.core.turn import Turn

MOST_FUTILE = 1_000  # orders without a fill that are remembered


def expect(turn: Turn, decision: AnyDecision) -> None:
    """Move the ledger by *decision*."""
    ledger = turn.ledger
    ledger.next_request_id = max(ledger.next_request_id, decision.request_id + 1)
    ledger.requests[str(decision.request_id)] = Request(
        type=type(decision).__name__.lower(),
        asked_us=turn.at_us,
        symbol=getattr(decision, "symbol", ""),
        cl_ord_id=getattr(decision, "cl_ord_id", ""),
    )
    _HANDLERS[type(decision)](turn, decision)


def _place(turn: Turn, decision: PlaceOrder) -> None:
    ledger = turn.ledger
    book = ledger.book(decision.symbol)
    assert not book.live, f"{book.symbol}: {book.live} is live; a second intent must not be"
    assert not any(o.alive for o in book.own_orders()), f"{book.symbol}: a stray is alive"
    ledger.next_order_number += 1
    order = Order(
        cl_ord_id=decision.cl_ord_id,
        symbol=decision.symbol,
        contracts=decision.contracts,
        asked=decision.contracts,
        price=decision.price,
        reduce_only=decision.reduce_only,
        immediate=decision.immediate,
        post_only=decision.post_only,
        rung=decision.rung,
        policy_version=decision.policy_version,
        target_version=decision.target_version,
        position=decision.position,
        placed_us=turn.at_us,
        expires_us=decision.expires_us,
        policy=decision.policy,
        request_id=decision.request_id,
        priced_us=turn.at_us,
        parts=shares.order_parts(book, decision.contracts),
    )
    book.orders[order.cl_ord_id] = order
    book.live = order.cl_ord_id
    _count(book.placed_us, turn.at_us)
    _count(ledger.placed_us, turn.at_us)
    book.futile_us.append(turn.at_us)
    del book.futile_us[: -MOST_FUTILE - 1]
    for counter in (book, ledger):
        day = max(turn.at_us // DAY_US, counter.orders_day)  # none begins twice: clocks may go back
        counter.orders_today = counter.orders_today + 1 if counter.orders_day == day else 1
        counter.orders_day = day
    turn.move(book, "place", decision.reason)
    turn.order_changed(order, "decided")
    turn.position_moved(book)


def _count(last_minute: list[int], at_us: int) -> None:
    del last_minute[: bisect_right(last_minute, at_us - 60_000_000)]
    last_minute.append(at_us)


def _amend(turn: Turn, decision: AmendOrder) -> None:
    book = turn.ledger.book(decision.symbol)
    order = book.orders[decision.cl_ord_id]
    order.amend_id = decision.request_id
    order.amends += 1
    order.amended_from, order.price = order.price, decision.price
    order.priced_us = turn.at_us
    order.rung, order.policy_version = decision.rung, decision.policy_version
    _count(book.amended_us, turn.at_us)
    turn.move(book, "reprice", decision.reason)
    turn.order_changed(order, decision.reason)


def _cancel(turn: Turn, decision: CancelOrder) -> None:
    book = turn.ledger.book(decision.symbol)
    if not decision.cl_ord_id:
        strangers.expect_cancel(turn, book, decision)
        return
    order = book.orders[decision.cl_ord_id]
    order.cancel_id = decision.request_id
    order.cancel_sent_us = turn.at_us
    order.cancels += 1
    if book.live == decision.cl_ord_id and book.state in (State.PLACING, State.WORKING):
        turn.move(book, "cancel", decision.reason)


def _read_order(turn: Turn, decision: ReadOrder) -> None:
    order = turn.ledger.book(decision.symbol).orders[decision.cl_ord_id]
    order.read_id = decision.request_id
    order.read_asked_us = turn.at_us
    order.reads += 1


def _read_position(turn: Turn, decision: ReadPosition) -> None:
    turn.ledger.book(decision.symbol).position_id = decision.request_id


def _resync(turn: Turn, decision: Resync) -> None:
    turn.ledger.sync_asked_us = turn.at_us
    for book in turn.ledger.books.values():
        if book.differs_since_us is not None:
            book.repairs += 1
            book.differs_since_us = turn.at_us


def _arm(turn: Turn, decision: ArmDeadMan) -> None:
    turn.ledger.dead_man_asked_us = turn.at_us


_HANDLERS: dict[type, Callable[[Turn, Any], None]] = {
    PlaceOrder: _place,
    AmendOrder: _amend,
    CancelOrder: _cancel,
    ReadOrder: _read_order,
    ReadPosition: _read_position,
    Resync: _resync,
    ArmDeadMan: _arm,
}
