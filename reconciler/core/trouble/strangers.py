"""
Foreign orders under ``foreign_orders = cancel``: taken away by the venue's own id, with patience.

Never one that bears our family's ids: another installation minds those of its own, and one under
ours without an intent stops the account (see `orders.unknown_own`).
"""

from __future__ import annotations

from reconciler.core.decisions import CancelOrder
from reconciler.core.events import Answered
from reconciler.core.ledger import Book, Ledger, Stranger
from reconciler.core.look import Look
from reconciler.core.turn import Turn

AGAIN_US = 1_000_000
MOST_DOUBLINGS = 6


def cancel(look: Look) -> None:
    """Ask for the end of each foreign order that may be cancelled, and none is asked for yet."""
    ledger, book = look.ledger, look.book
    if ledger.settings.foreign_orders != "cancel" or book.symbol not in ledger.settings.named:
        return
    for order_id in sorted(book.foreign_orders):
        stranger = book.foreign_cancels.get(order_id, Stranger())
        if stranger.request_id or not _may_be_cancelled(ledger, book, order_id):
            continue
        if look.at_us < stranger.again_us:
            look.wake(stranger.again_us)
            continue
        look.decisions.append(
            CancelOrder(
                request_id=look.next_id(),
                cl_ord_id="",
                symbol=book.symbol,
                reason="reconcile.foreign_orders = cancel",
                order_id=order_id,
            )
        )


def expect_cancel(turn: Turn, book: Book, decision: CancelOrder) -> None:
    """It is on its way."""
    stranger = book.foreign_cancels.setdefault(decision.order_id, Stranger())
    stranger.request_id = decision.request_id
    stranger.tries += 1
    contracts = book.foreign_orders.get(decision.order_id, 0)
    turn.incident(
        "foreign_order", book.symbol, f"{contracts:+d} rests that is not ours: it is cancelled"
    )


def see_answer(turn: Turn, book: Book, answer: Answered) -> None:
    """Whatever it says: the order's row tells what became of it, and until then we ask again."""
    for stranger in book.foreign_cancels.values():
        if stranger.request_id == answer.request_id:
            stranger.request_id = 0
            wait_us = AGAIN_US << min(stranger.tries - 1, MOST_DOUBLINGS)
            stranger.again_us = turn.at_us + max(wait_us, answer.retry_after_us)


def forget(turn: Turn, book: Book) -> None:
    """Drop what is told of orders that rest no more."""
    resting = book.foreign_orders
    book.foreign_names = {k: v for k, v in book.foreign_names.items() if k in resting}
    if not book.foreign_cancels:
        return
    book.foreign_cancels = {k: v for k, v in book.foreign_cancels.items() if k in resting}
    if not book.foreign_cancels and book.frozen_by != "foreign_order":  # or a person decides
        turn.close_incidents(book.symbol, "it rests no more", "core", "foreign_order")


def restart(book: Book) -> None:
    """Whoever heard the answers is gone."""
    for stranger in book.foreign_cancels.values():
        stranger.request_id = stranger.again_us = 0


def _may_be_cancelled(ledger: Ledger, book: Book, order_id: str) -> bool:
    family = ledger.run.id_family if ledger.run is not None else ""
    name = book.foreign_names.get(order_id, "")
    return not name.startswith(family)  # "": whose it is can't be told, and it is let be
