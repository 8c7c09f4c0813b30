"""An order that is there: keep it, reprice it or cancel it."""

from __future__ import annotations

from reconciler.core import placing, policies, sizing
from reconciler.core.decisions import AmendOrder
from reconciler.core.ledger import Order, Target
from reconciler.core.lifecycle import State
from reconciler.core.look import Look
from reconciler.core.policies import Pricing


def work(look: Look, order: Order) -> None:
    """Keep it, reprice it or cancel it."""
    book = look.book
    if order.status == "intended":
        look.waiting_for = f"an answer about {order.cl_ord_id}"
        look.wake(order.placed_us + look.timing.in_flight_deadline_us)
        return
    if order.doubt is not None:
        look.waiting_for = f"an answer about {order.cl_ord_id}"
        return
    if book.state is State.CANCELLING:
        look.waiting_for = f"the end of {order.cl_ord_id}"
        look.cancel(order, "asked again")
        return
    look.waiting_for = f"a fill of {order.cl_ord_id}"
    why = unwanted(look, order)
    if why:
        look.waiting_for = f"the end of {order.cl_ord_id}"
        look.cancel(order, why)
    elif book.target is not None and not order.amend_id:
        _reprice(look, order, book.target)


def unwanted(look: Look, order: Order) -> str:
    """Why this order should not be there; "" if it should."""
    ledger, book = look.ledger, look.book
    if order.zombie:
        return "it was thought over"
    stop = look.stopped()
    if stop:
        return stop
    if order.price_in_doubt:
        return "its price is in doubt"
    target = book.target
    if target is None:
        return "no target"
    if sizing.passes_the_target(book, order, target.contracts):
        return f"target {target.contracts:+d}"
    final = book.position + order.unbooked
    most = ledger.settings.limits_of(book.symbol).max_position_contracts
    if abs(final) > most and abs(final) > abs(book.position):
        return f"limits.max_position_contracts = {most}"
    return ""


def _reprice(look: Look, order: Order, target: Target) -> None:
    """Follow the market, not more often than the policy says; then try harder."""
    book = look.book
    policy = policies.policy_of(look.ledger.settings, target.policy)
    if not look.ledger.in_sync or book.instrument is None:
        return
    worked_us = look.at_us - (target.gap_since_us or look.at_us)
    stage = policies.stage_of(policy, worked_us)
    if stage == "cross":  # a resting order can't: another takes its place
        if not order.immediate:
            look.cancel(order, f"{stage} now ({target.policy or 'default policy'})")
        return
    if policy.escalate_after_us:
        look.wake(look.at_us - worked_us + policy.escalate_after_us)
    if look.ledger.throttled_until_us > look.at_us or not book.instrument.open:
        look.wake(look.ledger.throttled_until_us)
        return  # what is left of the budget is for cancels
    checked_us = max(order.priced_us, book.quote.at_us if book.quote else 0)
    due_us = checked_us + policy.reprice_after_us
    if look.at_us < order.priced_us + policy.reprice_after_us:
        look.wake(due_us)
        return
    if look.quote_is_fresh() and book.quote is not None and book.quote.at_us == look.at_us:
        pricing = policies.price(policy, stage, order.side, book.quote, book.instrument.tick)
        look.wake(look.at_us + policy.reprice_after_us)
        if pricing is None or order.cancel_id or placing.price_problem(look, pricing):
            return
        best = book.quote.bid if order.side > 0 else book.quote.ask
        then_us = worked_us - (look.at_us - order.priced_us)
        tick = book.instrument.tick
        if policies.worth_an_amend(policy, pricing, order.price, best, then_us, tick):
            _decide_amend(look, order, pricing)
        return
    if look.at_us >= due_us:
        look.wants_quote = True
    else:
        look.wake(due_us)


def _decide_amend(look: Look, order: Order, pricing: Pricing) -> None:
    look.decisions.append(
        AmendOrder(
            request_id=look.next_id(),
            cl_ord_id=order.cl_ord_id,
            symbol=order.symbol,
            price=pricing.price,
            expires_us=look.expires_us(),
            reason=f"{pricing.stage} at {pricing.price}",
        )
    )
