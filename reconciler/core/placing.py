"""A new order: whether there may be one, how large, at which price."""

from __future__ import annotations

import msgspec

from reconciler.core import guards, ladder, modes, policies, shares, sizing, slices
from reconciler.core.decisions import PlaceOrder
from reconciler.core.gate import missing, opens_at_us
from reconciler.core.ledger import Target
from reconciler.core.look import Look
from reconciler.core.policies import Pricing
from reconciler.core.settings import Policy

LOOK_AGAIN_US = 1_000_000  # when only a price or the market can change an answer
OTHERS_AGAIN_US = 5_000_000  # when only other symbols can, or a limit of money is in the way


def place(look: Look) -> None:
    """Place the next order toward the target, or say what it waits for."""
    ledger, book = look.ledger, look.book
    target = book.target
    if target is None:
        return
    policy = policies.policy_of(ledger.settings, target.policy)
    goal = modes.reach(ledger, book, target.contracts)
    gap = goal - book.position
    if shares.may_cross(book) and not look.quote_is_fresh():
        look.wants_quote = True  # strategies pass contracts to one another at the mark
    what = missing(ledger, book)
    if abs(gap) <= policy.band_contracts and not what:
        if goal != target.contracts:
            why = modes.only_reduces(ledger, book)
            look.waiting_for = f"resume: {why}: target {target.contracts:+d} would add"
        return
    if what or book.instrument is None:
        look.waiting_for = what
        opens_us = opens_at_us(ledger, book)
        if opens_us is not None:
            look.wake(opens_us)
        return
    path = policy
    if target.contracts and modes.flattens(ledger, book):
        path = msgspec.structs.replace(policy, over_us=0)  # it leads elsewhere
    late, again_us = slices.wait(path, book, target, look.at_us)
    if late:
        look.waiting_for = late
        look.wake(again_us)
        return
    goal = modes.reach(ledger, book, slices.goal(path, target, book.position, look.at_us))
    size = sizing.next_size(ledger, book, goal)
    if not size.contracts:
        look.waiting_for = size.why_not
        return
    if _limited(look, size):
        return
    if not look.quote_is_fresh():
        look.waiting_for, look.wants_quote = "a price", True
        return
    look.wake(ladder.next_us(policy, target))
    _, stage = ladder.stage_of(policy, target.work)
    pricing = policies.price(policy, stage, basis_of(look, target, 1 if size.contracts > 0 else -1))
    if isinstance(pricing, str):
        problem = pricing
    else:
        problem = guards.of_price(ledger, book, 0, pricing.price, size.reduce_only)
    if problem or isinstance(pricing, str):
        look.waiting_for = problem
        look.wake(look.at_us + LOOK_AGAIN_US)
        return
    size, note = slices.cut(path, book, target, size, pricing.immediate)
    size = guards.fitted(ledger, book, size, pricing.price)
    ask = guards.Ask(size.contracts, pricing.price, size.reduce_only)
    why = size.why_not or guards.refusal(ledger, book, ask)
    if why:
        look.waiting_for = why
        look.wake(look.at_us + OTHERS_AGAIN_US)
        return
    _decide_place(look, target, policy, size, pricing, note)


def basis_of(look: Look, target: Target, side: int) -> policies.Basis:
    """What the price of an order toward *target* is drawn from."""
    book = look.book
    assert book.quote is not None
    assert book.instrument is not None
    return policies.Basis(
        side=side,
        quote=book.quote,
        tick=book.instrument.tick,
        collar_bps=look.ledger.settings.limits_of(book.symbol).price_collar_bps,
        signal=target.price,
        refused=book.refusals,
    )


def _decide_place(
    look: Look, target: Target, policy: Policy, size: sizing.Size, pricing: Pricing, note: str
) -> None:
    ledger, book = look.ledger, look.book
    assert book.quote is not None
    assert ledger.run is not None
    policy_name = target.policy or ledger.settings.default_policy
    cl_ord_id = f"{ledger.run.id_stem}{ledger.next_order_number:06d}"
    look.waiting_for = f"an answer about {cl_ord_id}"
    look.wake(look.at_us + look.timing.in_flight_deadline_us)
    look.decisions.append(
        PlaceOrder(
            request_id=look.next_id(),
            cl_ord_id=cl_ord_id,
            symbol=book.symbol,
            contracts=size.contracts,
            price=pricing.price,
            post_only=pricing.post_only,
            reduce_only=size.reduce_only,
            immediate=pricing.immediate,
            expires_us=look.expires_us(),
            deadline_us=look.at_us + look.timing.send_within_us,
            target_version=target.version,
            instrument_version=book.instrument_version,
            position=book.position,
            bid=book.quote.bid,
            ask=book.quote.ask,
            mark=book.quote.mark,
            policy=policy_name,
            stage=pricing.stage,
            policy_version=ladder.version_of(policy),
            rung=target.work.rung,
            reason=(
                f"target {target.contracts:+d}, position {book.position:+d}, "
                f"{pricing.stage} at {pricing.price} "
                f"({policy_name}{ladder.in_words(policy, target.work)}{note})"
            ),
        )
    )


def _limited(look: Look, size: sizing.Size) -> bool:
    """Whether a limit stands against any order now; why ask for a price in vain?"""
    ledger, book = look.ledger, look.book
    why = guards.before_a_price(ledger, book, size.reduce_only)
    if not why:
        return False
    look.waiting_for = why
    free_us = guards.frees_us(ledger, book)
    if free_us is None and not (book.hits or ledger.hits):  # those let go by an event, or midnight
        free_us = look.at_us + OTHERS_AGAIN_US
    if free_us is not None:
        look.wake(free_us)
    return True
