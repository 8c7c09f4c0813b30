"""
What rows and answers prove about our orders.

Rule 1: a row with our client order id proves that the order exists. No absence proves anything
        but the whole proof in `reconciler.core.doubt`.
Rule 2: an order is *over* when a terminal row was seen, and *closed* when, besides, the sum of its
        stored fills is what that row counts.
Rule 3: ``filled`` never goes down. Rows overtake one another between tables and replies.
"""

from __future__ import annotations

from reconciler.core import doubt, fills
from reconciler.core.events import (
    OVER,
    Answered,
    ExecutionKind,
    ExecutionSeen,
    OrderSeen,
    OrderStatus,
    Outcome,
    Source,
)
from reconciler.core.ledger import Book, Order
from reconciler.core.lifecycle import State
from reconciler.core.turn import Turn


def find(turn: Turn, symbol: str, cl_ord_id: str, order_id: str) -> Order | None:
    """
    The own order that a row speaks of; None: foreign, or long forgotten.

    A second venue order under one of our client order ids is an order of its own, a *twin*: we
    never ask for one, so something repeated our request. Both are cancelled, their fills are ours.
    """
    if not cl_ord_id:
        return None
    book = turn.ledger.book(symbol)
    order = book.orders.get(cl_ord_id)
    if order is None or not order_id or not order.order_id or order.order_id == order_id:
        return order
    name = f"{cl_ord_id}/{order_id}"
    twin = book.orders.get(name)
    if twin is None:
        twin = book.orders[name] = Order(
            cl_ord_id=name,
            symbol=symbol,
            contracts=order.asked,
            asked=order.asked,
            price=order.price,
            reduce_only=order.reduce_only,
            target_version=order.target_version,
            position=order.position,
            placed_us=order.placed_us,
            expires_us=order.expires_us,
            policy=order.policy,
            request_id=order.request_id,
            status="working",
            order_id=order_id,
            zombie=True,
        )
        book.strays.append(name)
        turn.order_changed(twin, "a second order under one client order id")
        order.zombie = True
        turn.freeze_account(
            "twin_order",
            f"{symbol}: two orders at the venue bear {cl_ord_id}; both are being cancelled",
        )
    return twin


def see_order(turn: Turn, book: Book, order: Order, row: OrderSeen) -> None:
    """Take in one row of the order table about an order of ours."""
    if order.status in ("refused", "void") and row.status in OVER and not row.filled:
        return  # the venue says in a row what it, or the proof, had said already
    _compare(turn, book, order, row)
    order.order_id = order.order_id or row.order_id
    if order.over_us is not None:
        _see_after_end(turn, book, order, row)
        return
    more = row.filled > order.filled
    stale = row.filled < order.filled or row.venue_us < order.seen_venue_us
    order.filled = max(order.filled, row.filled)
    order.seen_venue_us = max(order.seen_venue_us, row.venue_us)
    if row.status in OVER:
        _end(turn, book, order, row)
        return
    if not stale:
        order.venue_status = row.status
        if row.price is not None and not order.amend_id and order.price != row.price:
            order.price = row.price
    if row.status is OrderStatus.UNKNOWN and row.source is not Source.READ:
        order.read_again_us = turn.at_us
    exists(turn, book, order, f"{row.source} row: {row.status}, {row.filled} filled", more)
    if (
        row.source is Source.READ
        and book.state is State.CANCELLING
        and book.live == order.cl_ord_id
        and order.cancel_id == 0
        and order.read_asked_us > order.cancel_sent_us
    ):
        turn.move(book, "keep", "looked up after the cancel: it lives")


def exists(turn: Turn, book: Book, order: Order, evidence: str, more: bool = False) -> None:
    """The venue has this order (rule 1). Ends doubt; wakes the dead."""
    was = order.status
    if was in ("refused", "void", "closed"):
        _rise(turn, book, order, evidence)
        return
    order.doubt = None
    if was in ("intended", "in_doubt"):
        order.status = "working"
        order.working_us = turn.at_us
        turn.close_incidents(book.symbol, "ended by evidence", "core", "in_doubt")
    if book.live == order.cl_ord_id and was != "ended":
        if more:
            turn.move(book, "part_fill", evidence)
        elif book.state is State.PLACING or (book.state is State.CANCELLING and was != "working"):
            turn.move(book, "accept", evidence)
    if was != order.status or more:
        turn.order_changed(order, evidence)
    turn.touch(book)


def see_execution(turn: Turn, book: Book, order: Order | None, row: ExecutionSeen) -> None:
    """Take in one row of the execution table."""
    if row.type is ExecutionKind.FUNDING:
        fills.book_funding(turn, book, row)
        return
    if row.type is ExecutionKind.UNKNOWN:
        if fills.is_news(turn, book, row):
            turn.freeze(book, "unknown_execution", f"execution {row.exec_id} is of an unknown kind")
        return
    if row.type not in fills.MOVES:
        known_over = order is not None and order.status in ("refused", "closed")
        if order is not None and order.over_us is None and not known_over:
            order.order_id = order.order_id or row.order_id
            exists(turn, book, order, f"{row.source} execution row")
        if order is None and _bears_our_ids(turn, row) and fills.is_news(turn, book, row):
            unknown_own(turn, row.symbol, row.cl_ord_id)  # it may have come and gone while blind
        return
    if not fills.book_execution(turn, book, row, order):
        return
    if order is None:
        _foreign(turn, book, row)
        return
    order.order_id = order.order_id or row.order_id
    if row.contracts * order.side < 0:
        turn.freeze(book, "wrong_side", f"{order.cl_ord_id}: execution {row.exec_id} is reversed")
    if order.booked > abs(order.contracts):
        _overfill(turn, book, order)
    if order.over_us is not None:
        _close_if_complete(turn, book, order)
        if order.booked > order.filled:
            _overfill(turn, book, order)
        return
    more = row.order_filled > order.filled
    order.filled = max(order.filled, row.order_filled)
    if order.booked > order.filled:
        _overfill(turn, book, order)
    if order.status in ("refused", "void", "closed"):
        exists(turn, book, order, f"execution {row.exec_id}", more)
        return
    if order.filled >= abs(order.contracts) and book.live == order.cl_ord_id:
        was, order.status, order.doubt = order.status, "working", None
        order.working_us = order.working_us or turn.at_us
        if was == "in_doubt":
            turn.close_incidents(book.symbol, "ended by evidence", "core", "in_doubt")
        if book.state is not State.FILLED:
            turn.move(book, "complete", f"execution {row.exec_id}: the last contract")
        turn.order_changed(order, f"execution {row.exec_id}")
        # The terminal row is still to come; if it doesn't, it is looked up.
        order.read_again_us = turn.at_us + turn.ledger.settings.timing.cancel_again_us
    else:
        exists(turn, book, order, f"execution {row.exec_id}", more)
        if not more:
            turn.order_changed(order, f"execution {row.exec_id}")
    turn.touch(book)


def see_place_answer(turn: Turn, book: Book, order: Order, answer: Answered) -> None:
    """How the one and only POST of an intent ended."""
    if answer.outcome is Outcome.DONE:
        if order.status == "intended":
            doubt.begin(turn, book, order, "an answer without the order's row")
        return
    if order.status not in ("intended", "in_doubt"):
        if order.status == "working":
            order.read_again_us = turn.at_us
        return  # evidence outranks words: the order exists, or it is over
    if answer.outcome in (Outcome.REFUSED, Outcome.NOT_SENT):
        refuse(turn, book, order, answer)
        return
    if answer.code == "duplicate_id":
        turn.incident(
            "duplicate_id", book.symbol, f"{order.cl_ord_id}: the venue says the id is in use"
        )
    if order.status == "intended":
        doubt.begin(turn, book, order, answer.text or answer.code or "no answer")


def refuse(turn: Turn, book: Book, order: Order, answer: Answered) -> None:
    """A definite no."""
    order.status, order.doubt = "refused", None
    text = f"{answer.outcome}: {(answer.text or answer.code).partition(chr(10))[0][:120]}"
    turn.move(book, "refuse", text)
    book.live = ""  # it was this one: whatever has no answer yet is what the state speaks of
    turn.order_changed(order, text)
    turn.close_incidents(book.symbol, "the venue refused it", "core", "in_doubt")
    if answer.retry_after_us:  # the venue speaks to the account: no new target shortens it
        ledger = turn.ledger
        until_us = turn.at_us + answer.retry_after_us
        ledger.throttled_until_us = max(ledger.throttled_until_us, until_us)
        ledger.throttled_why = text
    turn.back_off(book, text)
    turn.position_moved(book)
    turn.touch(book)


def _wanted_by_venue(turn: Turn, book: Book) -> None:
    """It let an order of ours trade, or rest until we took it away."""
    book.refusals = 0
    turn.close_incidents(book.symbol, "an order was let in", "core", "refused")


def see_cancel_answer(turn: Turn, book: Book, order: Order, a: Answered) -> None:
    """A cancel ended. Whatever it says, only rows prove what became of the order."""
    order.cancel_id = 0
    timing = turn.ledger.settings.timing
    order.cancel_again_us = turn.at_us + timing.cancel_again_us * 2 ** min(order.cancels - 1, 4)
    turn.touch(book)
    if order.over_us is not None or a.outcome is Outcome.DONE:
        return
    if a.outcome is Outcome.REFUSED:
        order.cancel_again_us = max(order.cancel_again_us, turn.at_us + a.retry_after_us)
        if order.doubt is None and book.live == order.cl_ord_id and book.state is State.CANCELLING:
            turn.move(book, "keep", f"cancel refused: {a.text or a.code}")
        return
    if a.outcome is Outcome.NOTHING:
        order.read_again_us = turn.at_us
        doubt.see_barrier(turn, order)


def see_amend_answer(turn: Turn, book: Book, order: Order, a: Answered) -> None:
    """An amend ended. If nobody knows how, the order's price is unknown and it must go."""
    order.amend_id = 0
    if a.outcome is not Outcome.DONE and order.amended_from is not None:
        order.price = order.amended_from
    if a.outcome is Outcome.IN_DOUBT:
        order.price_in_doubt = True
    if a.outcome in (Outcome.IN_DOUBT, Outcome.NOTHING):
        order.read_again_us = turn.at_us
    turn.touch(book)


def _compare(turn: Turn, book: Book, order: Order, row: OrderSeen) -> None:
    """The row must describe what we asked for; the venue may only lower a reduce-only order."""
    if row.contracts in (0, order.asked):
        return
    if order.reduce_only and 0 < row.contracts * order.side < abs(order.asked):
        if abs(row.contracts) < abs(order.contracts):  # a row from before it was lowered is late
            order.contracts = row.contracts
        return
    turn.freeze_account(
        "changed_order",
        f"{order.cl_ord_id}: asked for {order.asked:+d}, the venue shows "
        f"{row.contracts:+d} of {row.symbol}",
    )
    if row.contracts * order.side > 0:
        order.contracts = row.contracts  # exposure counts what is really there


def _end(turn: Turn, book: Book, order: Order, row: OrderSeen) -> None:
    """A terminal row: the order trades no more. What it filled must now be found."""
    if order.status in ("refused", "void"):  # and it filled: it was there all the same
        _rise(turn, book, order, f"{row.source} row: {row.status}, {row.filled} filled")
    was = order.status
    order.over_us, order.over_venue_us = turn.at_us, row.venue_us
    order.venue_status = row.status
    order.doubt = None
    order.status = "ended"
    order.read_again_us = turn.at_us + turn.ledger.settings.timing.cancel_again_us
    order.reads = 0
    evidence = f"{row.source} row: {row.status}, {row.filled} filled"
    if row.text and row.status is not OrderStatus.FILLED:
        evidence += f" ({row.text.splitlines()[0][:80]})"
    if was in ("intended", "in_doubt"):
        turn.close_incidents(book.symbol, "ended by evidence", "core", "in_doubt")
    rejected = (
        row.status is OrderStatus.REJECTED
        and order.filled == 0
        and book.live == order.cl_ord_id
        and (book.state is State.PLACING or (book.state is State.CANCELLING and was != "working"))
    )
    if rejected:
        refuse(
            turn,
            book,
            order,
            Answered(at_us=0, request_id=0, outcome=Outcome.REFUSED, text=row.text),
        )
        return
    if book.live == order.cl_ord_id:
        if row.status is OrderStatus.FILLED:
            if book.state is not State.FILLED:
                turn.move(book, "complete", evidence)
        elif order.filled:
            if book.state is not State.FILLED:
                turn.move(book, "cut_short", evidence)
        else:
            turn.move(book, "cancelled", evidence)
            if order.cancels:
                _wanted_by_venue(turn, book)
            else:  # not by us: post-only that would take, or nobody there to trade with
                turn.back_off(book, evidence)
    turn.order_changed(order, evidence)
    _close_if_complete(turn, book, order)
    turn.touch(book)


def _see_after_end(turn: Turn, book: Book, order: Order, row: OrderSeen) -> None:
    """A row of an order that is over: mostly an old one. A newer one that lives is a revival."""
    if row.status in OVER:
        if row.filled > order.filled:
            order.filled = row.filled
            if order.status == "closed":
                order.status = "ended"
                if order.cl_ord_id != book.live and order.cl_ord_id not in book.strays:
                    book.strays.append(order.cl_ord_id)
            turn.order_changed(order, f"{row.source} row counts more fills")
            _close_if_complete(turn, book, order)
            turn.touch(book)
        return
    if row.venue_us > order.seen_venue_us and row.filled >= order.filled:
        # Newer than every row before the end, not only than the last: the venue's clock may be set
        # back between them. And whoever counts fewer fills is older, whatever its time.
        order.over_us = None
        order.filled = row.filled
        order.venue_status = row.status
        _rise(turn, book, order, f"alive again: {row.status} after {order.over_venue_us}")


def _rise(turn: Turn, book: Book, order: Order, evidence: str) -> None:
    """An order thought over is alive: take it back, cancel it, and add no risk until told to."""
    order.status = "working"
    order.zombie = True
    order.doubt = None
    order.quarantined_until_us = 0
    order.working_us = turn.at_us
    if book.live in ("", order.cl_ord_id):
        book.live = order.cl_ord_id
        if order.cl_ord_id in book.strays:
            book.strays.remove(order.cl_ord_id)
        turn.move(book, "adopt", evidence)
    elif order.cl_ord_id not in book.strays:
        book.strays.append(order.cl_ord_id)
    turn.order_changed(order, evidence)
    turn.freeze_account(
        "zombie_order",
        f"{order.cl_ord_id} was thought over and was not ({evidence}); what is left is cancelled",
    )


def _close_if_complete(turn: Turn, book: Book, order: Order) -> None:
    """Rule 2: over, and every contract that the venue counts is in the books."""
    if order.status != "ended":
        return
    if order.booked > order.filled:
        _overfill(turn, book, order)
    if order.booked < order.filled:
        return
    order.status = "closed"
    turn.order_changed(order, f"{order.booked} of {order.filled} booked")
    if book.live == order.cl_ord_id and book.state is State.IDLE:
        book.live = ""
    if order.cl_ord_id in book.strays:
        book.strays.remove(order.cl_ord_id)
    if not any(other.status == "ended" for other in book.own_orders()):
        turn.thaw(book, "missing_fills", "every fill found")
    if order.filled:
        _wanted_by_venue(turn, book)
    turn.position_moved(book)
    turn.touch(book)


def close_short(turn: Turn, book: Book, by: str, *, vanished: bool) -> None:
    """
    Somebody decides that the missing fills of an order that is over will never be found, or that
    an order of which the venue has lost all trace is gone. Should it come back, it is a zombie.
    """
    for order in book.own_orders():
        if vanished and order.status == "working":
            order.over_us, order.over_venue_us = turn.at_us, order.seen_venue_us
            order.filled, order.status = order.booked, "ended"
            if book.live == order.cl_ord_id and book.state is not State.FILLED:
                turn.move(book, "cut_short" if order.booked else "cancelled", f"given up by {by}")
                if book.state is State.IDLE:
                    book.live = ""
        if order.status == "ended":
            order.status = "closed"
            turn.order_changed(order, f"closed {order.filled - order.booked} short by {by}")
            if order.cl_ord_id in book.strays:
                book.strays.remove(order.cl_ord_id)
            turn.position_moved(book)


def _overfill(turn: Turn, book: Book, order: Order) -> None:
    turn.freeze(
        book,
        "overfill",
        f"{order.cl_ord_id}: {order.booked} booked of {order.contracts:+d}; "
        f"the venue counts {order.filled}",
    )


def _foreign(turn: Turn, book: Book, row: ExecutionSeen) -> None:
    """Contracts moved that we did not intend: booked, shown, and after a while worked against."""
    book.foreign_until_us = turn.at_us + turn.ledger.settings.timing.foreign_settle_us
    family = turn.ledger.run.id_family if turn.ledger.run else "rc-"
    if _bears_our_ids(turn, row):
        unknown_own(turn, row.symbol, row.cl_ord_id)
    elif row.cl_ord_id.startswith(family):
        turn.incident("sibling", book.symbol, f"another installation trades here: {row.cl_ord_id}")
    if row.type is not ExecutionKind.TRADE:
        turn.freeze(
            book,
            row.type,
            f"{row.type}: the venue moved the position by {row.contracts:+d} ({row.exec_id})",
        )


def _bears_our_ids(turn: Turn, row: ExecutionSeen) -> bool:
    install = turn.ledger.run.id_install if turn.ledger.run else "rc-"
    return row.cl_ord_id.startswith(install)


def unknown_own(turn: Turn, symbol: str, cl_ord_id: str) -> None:
    """An order under our own ids that the journal knows nothing of: stop and ask."""
    turn.freeze_account(
        "unknown_own_order",
        f"{symbol}: {cl_ord_id} bears this installation's ids, but no intent is stored",
    )
