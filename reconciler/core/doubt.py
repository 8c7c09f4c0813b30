"""
The proof that a request never got in. Nothing else ends a doubt, but evidence that it did.

All in this order, the stream in sync throughout; whatever interrupts it begins it anew:
(a) no copy of the request can be let in any more: the venue's time is past its expiry;
(b) the barrier: a cancel sent after (a) was answered, and changed nothing;
(c) the venue holds no command longer than `Timing.hold_us`, and so long ago was (a);
(d) two look-ups, both asked after (b) and (c) and `Timing.read_lag_us` apart, were empty.

(b) is enough if the venue handles commands in order, (c) if it holds them for a bounded time; (d)
makes sure that we see it. docs/guarantees.md says why.
"""

from __future__ import annotations

from reconciler.core.ledger import Book, Doubt, Order
from reconciler.core.turn import Turn


def begin(turn: Turn, book: Book, order: Order, why: str) -> None:
    """Nobody knows whether the venue has this order. Only proof ends that."""
    order.status = "in_doubt"
    order.doubt = Doubt(since_us=turn.at_us, why=why)
    order.read_again_us = turn.at_us
    turn.order_changed(order, why)
    turn.incident("in_doubt", book.symbol, f"{order.cl_ord_id}: {why}")
    turn.touch(book)


def may_be_expired(turn: Turn, order: Order) -> bool:
    """Step (a)."""
    ledger = turn.ledger
    if not ledger.in_sync or not ledger.clock_is_good():
        return False
    assert ledger.clock_error_us is not None  # a good clock was measured
    surely_us = ledger.venue_now_us() - ledger.clock_error_us
    return surely_us > order.expires_us + ledger.settings.timing.clock_margin_us


def see_barrier(turn: Turn, order: Order) -> None:
    """Step (b): a cancel changed nothing."""
    doubt = order.doubt
    if doubt is None or doubt.expired_us is None or not turn.ledger.in_sync:
        return
    if order.cancel_sent_us >= doubt.expired_us:
        doubt.barrier_us = turn.at_us


def see_nothing(turn: Turn, book: Book, order: Order, asked_us: int) -> None:
    """Steps (c) and (d): a look-up found nothing."""
    doubt = order.doubt
    timing = turn.ledger.settings.timing
    if doubt is None or doubt.expired_us is None or doubt.barrier_us is None:
        return
    if not turn.ledger.in_sync or asked_us < max(
        doubt.barrier_us, doubt.expired_us + timing.hold_us
    ):
        return
    if doubt.empty_read_us is None:
        doubt.empty_read_us = asked_us
    elif asked_us - doubt.empty_read_us >= timing.read_lag_us:
        void(turn, book, order)


def void(turn: Turn, book: Book, order: Order) -> None:
    """Proven: it never got in. Its quantity still counts in the worst case for a while."""
    order.status, order.doubt = "void", None
    order.quarantined_until_us = turn.at_us + turn.ledger.settings.timing.quarantine_us
    turn.move(book, "void", "expired, nothing to cancel, two look-ups empty")
    book.live = ""  # it was this one: nothing else is placed beside a doubt
    book.strays.append(order.cl_ord_id)
    turn.order_changed(order, "expired, nothing to cancel, two look-ups empty")
    turn.close_incidents(book.symbol, "proven never accepted", "core", "in_doubt")
    turn.back_off(book, "it never got in")
    turn.touch(book)
