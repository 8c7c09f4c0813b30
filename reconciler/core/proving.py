"""What has to be looked up at the venue, or ended, before anybody may go on."""

from __future__ import annotations

from reconciler.core.decisions import ReadOrder, ReadPosition
from reconciler.core.ledger import Order
from reconciler.core.lifecycle import State
from reconciler.core.look import Look
from reconciler.core.trouble import mismatch


def look_up(look: Look, order: Order) -> None:
    """Ask the venue about an order in doubt, or one that lacks fills."""
    if not order.read_again_us or order.read_id or not look.ledger.in_sync:
        return
    if not (order.alive or order.status == "ended"):
        return
    if look.at_us < order.read_again_us:
        look.wake(order.read_again_us)
        return
    why = "in doubt" if order.doubt is not None else "what became of it"
    if order.status == "ended":
        why = f"{order.filled - order.booked} fills are missing"
    look.decisions.append(
        ReadOrder(
            request_id=look.next_id(),
            cl_ord_id=order.cl_ord_id,
            symbol=order.symbol,
            reason=why,
        )
    )


def end_doubt(look: Look, order: Order) -> None:
    """Steps (a) to (d); evidence on the way ends it sooner. See docs/guarantees.md."""
    doubt = order.doubt
    ledger = look.ledger
    if doubt is None:
        return
    stop = look.stopped(order)
    if stop:  # it may be there: harmless if it is not, and no proof that it is not
        look.cancel(order, stop)
    if not ledger.in_sync:
        return
    if doubt.expired_us is None:
        if ledger.clock_is_good():  # a better clock is an event of its own
            error_us = ledger.clock_error_us or 0
            known_us = order.expires_us + look.timing.clock_margin_us + error_us
            look.wake(max(known_us - ledger.clock_offset_us + 1, look.at_us + 100_000))
    elif doubt.barrier_us is None and not stop:
        look.cancel(order, "barrier: it has expired; is there anything to cancel?")
    else:
        look.wake(max(doubt.expired_us + look.timing.hold_us, order.read_again_us))


def clear_away(look: Look, order: Order) -> None:
    """An order beside the state's own one: whatever it is, it should not be alive."""
    if order.status == "working":
        look.cancel(order, "it was thought over")
    elif order.quarantined_until_us:
        look.wake(order.quarantined_until_us)


def check_position(look: Look) -> None:
    """While the venue's row and the books differ, look; in the end read everything again."""
    ledger, book = look.ledger, look.book
    if not ledger.in_sync or book.confirmed:
        return
    if book.anchor is None:
        look.wake(book.anchor_again_us)
        if look.at_us >= book.anchor_again_us and (book.target or book.anchor_again_us):
            _want_resync(look, f"{book.symbol} has no first position")
        return
    if book.frozen:
        _explain(look)
        return
    if book.state not in (State.IDLE, State.FILLED):
        return
    assert book.differs_since_us is not None  # in sync, and not confirmed
    repair_us = book.differs_since_us + look.timing.position_grace_us
    if mismatch.is_repaired(ledger, book):
        look.wake(book.differs_since_us + 2 * look.timing.position_grace_us)
    elif look.at_us < repair_us:
        look.wake(repair_us)
    else:
        _want_resync(look, f"position of {book.symbol} differs")
    if book.position_id:
        return
    if look.at_us < book.position_read_again_us:
        look.wake(book.position_read_again_us)
        return
    look.decisions.append(
        ReadPosition(
            request_id=look.next_id(),
            symbol=book.symbol,
            reason=f"is it {book.position:+d}?",
        )
    )


def _explain(look: Look) -> None:
    """While it is frozen, read all again if the difference is another: somebody will decide it."""
    ledger, book = look.ledger, look.book
    if book.differs_since_us is None or mismatch.is_unexplained(ledger, book):
        return
    again_us = book.differs_since_us + look.timing.position_grace_us
    if look.at_us < again_us:
        look.wake(again_us)
    else:
        _want_resync(look, f"position of {book.symbol} differs anew")


def _want_resync(look: Look, why: str) -> None:
    """Have everything read again. One resync serves all symbols: the account decides it."""
    if look.ledger.sync_asked_us is None:
        look.turn.resync_why = look.turn.resync_why or why
        look.wake(look.ledger.sync_again_us)
