"""A new order: whether there may be one, how large, at which price."""

from __future__ import annotations

import msgspec

from reconciler.core.decisions import PlaceOrder
from reconciler.core.gate import missing, opens_at_us
from reconciler.core.ledger import Target
from reconciler.core.limits import guards, sizing
from reconciler.core.limits.sizing import Size
from reconciler.core.look import Look
from reconciler.core.policy import ladder, policies, slices
from reconciler.core.policy.policies import Pricing
from reconciler.core.portfolio import shares
from reconciler.core.settings import Policy
from reconciler.core.targets import modes

LOOK_AGAIN_US = 1_000_000  # when only a price or the market can change an answer
OTHERS_AGAIN_US = 5_000_000  # when only other symbols can, or a limit of money is in the way


def place(look: Look) -> None:
    """Place the next order toward the target, or say what it waits for."""
    target = look.book.target
    if target is None:
        look.waiting_for = modes.in_words(look.ledger, look.book)
        return
    policy = policies.policy_of(look.ledger.settings, target.policy)
    if not _may(look, target, policy):
        return
    path = policy
    if target.contracts and modes.flattens(look.ledger, look.book):
        path = msgspec.structs.replace(policy, over_us=0)  # it leads elsewhere
    size = _size(look, target, path)
    pricing = None if size is None else _price(look, target, policy, size)
    if size is None or pricing is None:
        return
    size, note = slices.cut(path, look.book, target, size, pricing.immediate)
    size = guards.fitted(look.ledger, look.book, size, pricing.price, look.rules)
    ask = guards.Ask(look.rules, size.contracts, pricing.price, size.reduce_only)
    why = size.why_not or guards.of_size(look.ledger, look.book, ask)
    if why:
        look.wait_for(why, look.at_us + OTHERS_AGAIN_US)
        return
    _decide_place(look, target, policy, size, pricing, note)


def _may(look: Look, target: Target, policy: Policy) -> bool:
    """Whether there is a gap to work, and the gate is open."""
    ledger, book = look.ledger, look.book
    if shares.may_cross(book):  # strategies pass contracts to one another at the mark
        look.wants_quote = not look.quote_is_fresh()
        look.wake(look.at_us + OTHERS_AGAIN_US)  # this quote has none that is young enough
    what = missing(ledger, book)
    if what:
        look.wait_for(what, opens_at_us(ledger, book))
        return False
    goal = modes.reach(ledger, book, target.contracts)
    if policies.is_gap(policy, book.position, goal):
        return True
    if goal != target.contracts:
        why = modes.only_reduces(ledger, book)
        look.wait_for(f"resume: {why}: target {target.contracts:+d} would add")
    return False


def _size(look: Look, target: Target, path: Policy) -> Size | None:
    """As much of the gap as is due and as the limits of contracts leave, unless it has to wait."""
    ledger, book = look.ledger, look.book
    goal = target.contracts
    if path.over_us:
        late, again_us = slices.wait(path, book, target, look.at_us)
        if late:
            look.wait_for(late, again_us)
            return None
        goal = slices.goal(path, target, book.position, look.at_us)
    if target.contracts:  # the way to zero is within reach, a step of it too
        goal = modes.reach(ledger, book, goal)
    size = sizing.next_size(ledger, book, goal)
    if not size.contracts:
        look.wait_for(size.why_not)
        return None
    return None if _limited(look, size) else size


def _price(look: Look, target: Target, policy: Policy, size: Size) -> Pricing | None:
    """What the stage asks for at the prices of now, unless something is wrong with them."""
    if not look.quote_is_fresh():
        look.wait_for("a price")
        look.wants_quote = True
        return None
    look.wake(ladder.next_us(policy, target))
    _, stage = ladder.stage_of(policy, target.work)
    pricing = policies.price(policy, stage, basis_of(look, target, 1 if size.contracts > 0 else -1))
    if isinstance(pricing, str):
        look.wait_for(pricing, look.at_us + LOOK_AGAIN_US)
        return None
    ask = guards.Ask(look.rules, 0, pricing.price, size.reduce_only)
    why = guards.of_price(look.ledger, look.book, ask)
    if why:
        look.wait_for(why, look.at_us + LOOK_AGAIN_US)
        return None
    return pricing


def basis_of(look: Look, target: Target, side: int) -> policies.Basis:
    """What the price of an order toward *target* is drawn from."""
    book = look.book
    assert book.quote is not None
    assert book.instrument is not None
    return policies.Basis(
        side=side,
        quote=book.quote,
        tick=book.instrument.tick,
        collar_bps=look.rules.limits.price_collar_bps,
        signal=target.price,
        refused=book.refusals,
    )


def _decide_place(
    look: Look, target: Target, policy: Policy, size: Size, pricing: Pricing, note: str
) -> None:
    ledger, book = look.ledger, look.book
    assert book.quote is not None
    assert ledger.run is not None
    policy_name = target.policy or ledger.settings.default_policy
    cl_ord_id = f"{ledger.run.id_stem}{ledger.next_order_number:06d}"
    look.wait_for(f"an answer about {cl_ord_id}", look.at_us + look.timing.in_flight_deadline_us)
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
            policy_version=policy.version,
            rung=target.work.rung,
            reason=(
                f"target {target.contracts:+d}, position {book.position:+d}, "
                f"{pricing.stage} at {pricing.price} "
                f"({policy_name}{ladder.in_words(policy, target.work)}{note})"
            ),
        )
    )


def _limited(look: Look, size: Size) -> bool:
    """Whether a limit stands against any order now; why ask for a price in vain?"""
    ledger, book = look.ledger, look.book
    why = guards.before_a_price(ledger, book, look.rules, size.reduce_only)
    if not why:
        return False
    free_us = guards.frees_us(ledger, book)
    if free_us is None and not (book.hits or ledger.hits):  # those let go by an event, or midnight
        free_us = look.at_us + OTHERS_AGAIN_US
    look.wait_for(why, free_us)
    return True
