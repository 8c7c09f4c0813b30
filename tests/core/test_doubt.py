"""The steps of the proof that ends a doubt, each by itself: none may be cut short."""

from __future__ import annotations

from reconciler.core import doubt
from reconciler.core.ledger import Book, Order
from reconciler.core.turn import Turn
from tests.stories.teller import tell


def in_doubt() -> tuple[Turn, Book, Order]:
    """An order that has expired without an answer, step (a) done and nothing after it."""
    teller = tell("target +100 -> place r1 +100\nlost r1 -> read r1")
    turn, order = Turn(teller.ledger, teller.now_us), teller.order("r1")
    assert order.doubt is not None
    order.doubt.expired_us = teller.now_us
    return turn, teller.book, order


def test_a_cancel_sent_before_the_expiry_is_no_barrier() -> None:
    """Step (b) counts only a cancel that no copy of the request could still follow."""
    turn, _, order = in_doubt()
    assert order.doubt is not None
    order.cancel_sent_us = turn.at_us - 1
    doubt.see_barrier(turn, order)
    assert order.doubt.barrier_us is None
    order.cancel_sent_us = turn.at_us
    doubt.see_barrier(turn, order)
    assert order.doubt.barrier_us == turn.at_us


def test_a_cancel_answered_while_blind_is_no_barrier() -> None:
    """Step (b) needs the stream: what became of the order could not be seen."""
    turn, _, order = in_doubt()
    assert order.doubt is not None
    order.cancel_sent_us = turn.at_us
    turn.ledger.in_sync = False
    doubt.see_barrier(turn, order)
    assert order.doubt.barrier_us is None


def test_no_barrier_counts_before_the_expiry() -> None:
    """Step (d) rests on (a) and (b), whoever forgot one of them."""
    turn, book, order = in_doubt()
    assert order.doubt is not None
    late_us = turn.at_us + 60_000_000
    order.doubt.barrier_us, order.doubt.expired_us = turn.at_us, None
    doubt.see_nothing(turn, book, order, late_us)
    assert order.doubt.empty_read_us is None


def test_two_empty_look_ups_are_proof_only_when_they_are_far_enough_apart() -> None:
    """Step (d): what both of them could have missed, the second would have shown."""
    turn, book, order = in_doubt()
    assert order.doubt is not None
    timing = turn.ledger.settings.timing
    order.doubt.barrier_us = turn.at_us
    first_us = turn.at_us + timing.hold_us
    doubt.see_nothing(turn, book, order, first_us - 1)
    assert order.doubt.empty_read_us is None
    doubt.see_nothing(turn, book, order, first_us)
    doubt.see_nothing(turn, book, order, first_us + timing.read_lag_us - 1)
    assert order.status == "in_doubt"
    book_was_live = book.live
    turn.ledger.in_sync = False
    doubt.see_nothing(turn, book, order, first_us + timing.read_lag_us)
    assert (order.status, book.live) == ("in_doubt", book_was_live)
