"""What follows from time and from the ledger alone, with no decision in it."""

from __future__ import annotations

import msgspec

from reconciler.core import doubt
from reconciler.core.decisions import TargetClosed, TargetHeld
from reconciler.core.gate import coherent, may_work
from reconciler.core.ledger import Book, Ledger, Order, Target, Work
from reconciler.core.lifecycle import State
from reconciler.core.policy import ladder, slices
from reconciler.core.policy.policies import is_gap, policy_of
from reconciler.core.portfolio import shares
from reconciler.core.settings import Policy
from reconciler.core.targets import modes
from reconciler.core.trouble import mismatch
from reconciler.core.turn import Turn

MISSING_FILLS_US = 10_000_000


def review(turn: Turn, book: Book) -> None:
    """Bring *book* up to now."""
    for order in book.own_orders():
        _order(turn, book, order)
    expire_target(turn, book)
    _watch_position(turn, book)
    if book.state is State.FILLED:
        _settle(turn, book)
    _hold(turn, book)
    shares.cross(turn, book)


def _order(turn: Turn, book: Book, order: Order) -> None:
    timing = turn.ledger.settings.timing
    if order.status == "intended":
        if turn.at_us >= order.placed_us + timing.in_flight_deadline_us:
            waited_ms = (turn.at_us - order.placed_us) // 1000
            doubt.begin(turn, book, order, f"no answer within {waited_ms} ms")
    elif order.status == "ended":
        if turn.ledger.in_sync and turn.at_us >= missing_fills_us(turn.ledger, order):
            turn.freeze(
                book,
                "missing_fills",
                f"{order.cl_ord_id}: the venue counts {order.filled} filled, {order.booked} found",
            )
    elif order.status == "void" and order.quarantined_until_us <= turn.at_us:
        order.quarantined_until_us = 0
        book.strays.remove(order.cl_ord_id)
        turn.position_moved(book)
    open_doubt = order.doubt
    if open_doubt is not None and open_doubt.expired_us is None:
        if doubt.may_be_expired(turn, order):
            open_doubt.expired_us = turn.at_us


def missing_fills_us(ledger: Ledger, order: Order) -> int:
    """When the fills of an order that is over are called missing. While blind, we don't count."""
    return max(order.over_us or ledger.at_us, ledger.synced_us) + MISSING_FILLS_US


def expire_target(turn: Turn, book: Book) -> None:
    target = book.target
    if target is None or target.expires_us is None or turn.at_us < target.expires_us:
        return
    flatten = target.on_expiry == "flatten"
    turn.facts.append(
        TargetClosed(
            symbol=book.symbol,
            version=target.version,
            outcome="expired",
            now=0 if flatten else None,
        )
    )
    if target.shares:
        book.netted_expired = True
    if flatten:
        target.shares = tuple(msgspec.structs.replace(s, contracts=0) for s in target.shares)
        if target.contracts:
            turn.asked_anew(book, "it expired: flatten")
        target.contracts, target.expires_us, target.held = 0, None, False
        target.deadline_us = target.price = None
        target.gap_since_us, target.work = 0, Work(path_us=turn.at_us)
        return
    book.target = None
    turn.asked_anew(book, "the target expired")
    if target.on_expiry == "freeze":
        turn.freeze(book, "target_expired", f"target version {target.version} expired")


def _watch_position(turn: Turn, book: Book) -> None:
    """
    A difference that outlives a repair freezes the symbol, with both figures shown.

    Not one that is younger than what the repair has read, for a while: what explains it may be on
    its way.
    """
    ledger = turn.ledger
    if not ledger.in_sync or book.differs_since_us is None or book.frozen:
        return
    if not mismatch.is_repaired(ledger, book):
        return
    if ledger.sync_asked_us is not None or book.venue_position == book.position:
        return
    if book.anchor is None:
        return  # there are no books yet
    if turn.at_us < book.differs_since_us + 2 * ledger.settings.timing.position_grace_us:
        return
    turn.freeze(
        book,
        "position_differs",
        f"the books say {book.position:+d}, the venue says "
        f"{book.venue_position if book.venue_position is not None else 'nothing'}",
    )


def _settle(turn: Turn, book: Book) -> None:
    order = book.order
    if order is None or order.status != "closed" or not coherent(turn.ledger, book):
        return
    turn.move(book, "settle", f"{order.booked} booked, position {book.position:+d}")
    book.live = ""


def _hold(turn: Turn, book: Book) -> None:
    """Say so, once a target, when the position is the target by every account of it."""
    target = book.target
    if target is None:
        return
    policy = policy_of(turn.ledger.settings, target.policy)
    goal = modes.reach(turn.ledger, book, target.contracts)  # a flatten leads away from a target
    at = book.position
    if is_gap(policy, at, target.contracts) or is_gap(policy, at, goal):
        _work(turn, book, target, policy, goal)
        target.held = False  # it was, perhaps: it has to be reached again
        return
    _rest(target)
    if not target.held and book.state is State.IDLE and coherent(turn.ledger, book):
        target.held = True
        turn.asked_anew(book, "the target is reached")
        turn.facts.append(
            TargetHeld(
                symbol=book.symbol,
                version=target.version,
                contracts=target.contracts,
                position=book.position,
            )
        )


def _work(turn: Turn, book: Book, target: Target, policy: Policy, goal: int) -> None:
    """How far its policy has come with the gap. Time when nobody could work it is no patience."""
    work, side = target.work, 1 if goal > book.position else -1
    if work.path_from is None and book.anchor is not None:
        work.path_from = book.position
    if policy.over_us:
        due = slices.goal(policy, target, book.position, turn.at_us)
        goal = modes.reach(turn.ledger, book, due)
    if goal == book.position:
        _rest(target)  # this far there is none
        return
    if not may_work(turn.ledger, book, goal):
        target.gap_since_us = 0  # the stage that is on begins anew when somebody can
        ladder.heed_deadline(turn, target, policy)  # that one waits for nobody
        return
    if not target.gap_since_us:
        target.gap_since_us = work.rung_since_us = turn.at_us
    ladder.climb(turn, book, target, policy, side)


def _rest(target: Target) -> None:
    target.gap_since_us = 0
    ladder.rest(target.work)
