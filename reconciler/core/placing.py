"""A new order: whether there may be one, how large, at which price."""

from __future__ import annotations

from reconciler.core import policies, shares, sizing
from reconciler.core.decisions import PlaceOrder
from reconciler.core.gate import missing, opens_at_us
from reconciler.core.ledger import Target
from reconciler.core.look import Look
from reconciler.core.policies import Pricing

LOOK_AGAIN_US = 1_000_000  # when only a price or the market can change an answer


def place(look: Look) -> None:
    """Place the next order toward the target, or say what it waits for."""
    ledger, book = look.ledger, look.book
    target = book.target
    if target is None:
        return
    policy = policies.policy_of(ledger.settings, target.policy)
    gap = target.contracts - book.position
    if shares.may_cross(book) and not look.quote_is_fresh():
        look.wants_quote = True  # strategies pass contracts to one another at the mark
    what = missing(ledger, book)
    if abs(gap) <= policy.band_contracts and not what:
        return
    if what or book.instrument is None:
        look.waiting_for = what
        opens_us = opens_at_us(ledger, book)
        if opens_us is not None:
            look.wake(opens_us)
        return
    size = sizing.next_size(ledger, book, target.contracts)
    if not size.contracts:
        look.waiting_for = size.why_not
        return
    if _too_many_orders(look):
        return
    if not look.quote_is_fresh():
        look.waiting_for, look.wants_quote = "a price", True
        return
    assert book.quote is not None
    stage = policies.stage_of(policy, look.at_us - (target.gap_since_us or look.at_us))
    side = 1 if size.contracts > 0 else -1
    pricing = policies.price(policy, stage, side, book.quote, book.instrument.tick)
    problem = "a price on the right side" if pricing is None else price_problem(look, pricing)
    if problem or pricing is None:
        look.waiting_for = problem
        look.wake(look.at_us + LOOK_AGAIN_US)
        return
    _decide_place(look, target, size, pricing)


def _decide_place(look: Look, target: Target, size: sizing.Size, pricing: Pricing) -> None:
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
            reason=(
                f"target {target.contracts:+d}, position {book.position:+d}, "
                f"{pricing.stage} at {pricing.price} ({policy_name})"
            ),
        )
    )


def _too_many_orders(look: Look) -> bool:
    ledger, book = look.ledger, look.book
    most = ledger.settings.limits_of(book.symbol).max_orders_per_minute
    whole = ledger.settings.limits.max_orders_per_minute
    for placed_us, limit in ((book.placed_us, most), (ledger.placed_us, whole)):
        free_us = sizing.minute_is_full(placed_us, look.at_us, limit)
        if free_us is not None:
            look.waiting_for = f"limits.max_orders_per_minute = {limit}"
            look.wake(free_us)
            return True
    return False


def price_problem(look: Look, pricing: Pricing) -> str:
    """What is wrong with the quote, or with the price that was drawn from it."""
    book = look.book
    quote, instrument = book.quote, book.instrument
    assert quote is not None
    assert instrument is not None
    limits = look.ledger.settings.limits_of(book.symbol)
    if quote.age_us > limits.stale_price_us:
        return f"a price younger than {limits.stale_price_us // 1_000_000} s"
    if quote.bid is not None and quote.ask is not None and quote.bid >= quote.ask:
        return "an uncrossed book"
    if quote.mark is None or quote.mark <= 0:
        return "the mark price"
    if policies.outside_collar(pricing.price, quote.mark, limits.price_collar_bps):
        return (
            f"a price within limits.price_collar_bps = {limits.price_collar_bps} "
            f"of the mark: {pricing.price} against {quote.mark}"
        )
    if pricing.price <= 0 or (instrument.max_price and pricing.price > instrument.max_price):
        return f"a price that the venue allows: {pricing.price}"
    return ""
