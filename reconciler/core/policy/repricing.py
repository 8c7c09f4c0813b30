"""The price of an order that rests: kept, followed with the market, or taken back for another."""

from __future__ import annotations

from reconciler.core import placing
from reconciler.core.decisions import AmendOrder
from reconciler.core.ledger import Order, Target
from reconciler.core.limits import guards, sizing
from reconciler.core.look import Look
from reconciler.core.policy import ladder, policies
from reconciler.core.settings import IMMEDIATE, Policy

STEP_AFTER_US = 1_000_000  # whoever changes policies quickly is followed once a second


def reprice(look: Look, order: Order, target: Target) -> None:
    """Bring the order to where its policy wants it now: by an amend, or by another order."""
    book, ledger = look.book, look.ledger
    if not ledger.in_sync or order.immediate:
        return
    assert book.instrument is not None  # or there were no order
    policy = policies.policy_of(ledger.settings, target.policy)
    rung, stage = ladder.stage_of(policy, target.work)
    if rung:  # it may change no price: who looks sees why it is on all the same
        look.waiting_for += ladder.in_words(policy, target.work)
    look.wake(ladder.next_us(policy, target))
    step = _step(order, target, policy, rung)
    if step and not ladder.can_become(order, stage):
        soon_us = order.priced_us + STEP_AFTER_US
        if stage.how not in IMMEDIATE and look.at_us < soon_us:
            look.wake(soon_us)
            return
        look.waiting_for = f"the end of {order.cl_ord_id}"
        look.cancel(order, f"{stage.how} now ({_named(look, target, policy)})")
        return
    if ledger.throttled_until_us > look.at_us or not book.instrument.open:
        look.wake(ledger.throttled_until_us)
        return  # what is left of the budget is for cancels
    if order.read_again_us:
        return  # what became of it is being asked: an amend of an order that is over finds nothing
    if _over_budget(look, order, policy, step):
        return
    since_us, due_us = _cadence(look, order, target, policy, step)
    if look.at_us < since_us:
        look.wake(due_us)
    elif book.quote is not None and book.quote.at_us == look.at_us:
        look.wake(look.at_us + policy.reprice_after_us)
        _follow(look, order, target, policy, step)
    elif look.at_us >= due_us:
        look.wants_quote = True
    else:
        look.wake(due_us)


def _step(order: Order, target: Target, policy: Policy, rung: int) -> str:
    """Whether the order is of another policy ("anew"), or of a softer stage of this one."""
    if order.policy_version != policy.version:
        return "anew"
    return "harder" if order.rung < rung else ""


def _cadence(
    look: Look, order: Order, target: Target, policy: Policy, step: str
) -> tuple[int, int]:
    """From when on the order may be repriced, and when a price is to be asked for."""
    since_us = order.priced_us + policy.reprice_after_us
    checked_us = look.book.quote.at_us if look.book.quote else 0
    due_us = max(order.priced_us, checked_us) + policy.reprice_after_us
    if not step:
        return since_us, due_us
    soon_us = max(target.work.rung_since_us, order.priced_us + STEP_AFTER_US)
    return min(since_us, soon_us), due_us if checked_us >= soon_us else min(due_us, soon_us)


def _over_budget(look: Look, order: Order, policy: Policy, step: str) -> bool:
    """Whether its amends are used up: then it stays, or an order of a harder stage replaces it."""
    most = policy.max_amends_per_order
    if most and order.amends >= most:
        look.waiting_for = f"a fill of {order.cl_ord_id}: its {most} amends are used up"
        if step:
            look.waiting_for = f"the end of {order.cl_ord_id}"
            look.cancel(order, f"its {most} amends are used up, and its policy has gone on")
        return True
    free_us = None
    if policy.max_amends_per_minute:
        free_us = sizing.minute_is_full(
            look.book.amended_us, look.at_us, policy.max_amends_per_minute
        )
    if free_us is None:
        return False
    most = policy.max_amends_per_minute
    said = f"a fill of {order.cl_ord_id}: the {most} amends of this minute are used up"
    look.wait_for(said, free_us)
    return True


def _follow(look: Look, order: Order, target: Target, policy: Policy, step: str) -> None:
    """Amend to the price of now, if that is worth it."""
    rung, stage = ladder.stage_of(policy, target.work)
    basis = placing.basis_of(look, target, order.side)
    pricing = policies.price(policy, stage, basis)
    if isinstance(pricing, str) or pricing.immediate:
        return  # immediate: a signal without its price; the order that had one stays
    ask = guards.Ask(look.rules, order.contracts, pricing.price, order.reduce_only, counted=True)
    if guards.of_price(look.ledger, look.book, ask):
        return
    anew, harder = step == "anew", step == "harder"
    if policies.worth_an_amend(policy, basis, pricing, order.price, anew=anew, harder=harder):
        look.decisions.append(
            AmendOrder(
                request_id=look.next_id(),
                cl_ord_id=order.cl_ord_id,
                symbol=order.symbol,
                price=pricing.price,
                expires_us=look.expires_us(),
                reason=f"{pricing.stage} at {pricing.price} ({_named(look, target, policy)})",
                stage=pricing.stage,
                policy_version=policy.version,
                rung=rung,
            )
        )


def _named(look: Look, target: Target, policy: Policy) -> str:
    """The policy and its stage, in words."""
    name = target.policy or look.ledger.settings.default_policy
    return name + ladder.in_words(policy, target.work)
