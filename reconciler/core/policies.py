"""Which price to ask for: join the best price, improve it by a tick, or cross to the other side."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from reconciler.core.events import Quoted
from reconciler.core.settings import Policy, Settings

BPS = Decimal(10_000)


class Pricing(NamedTuple):
    """How an order asks for its contracts."""

    price: Decimal
    post_only: bool
    immediate: bool
    stage: str


def policy_of(settings: Settings, name: str) -> Policy:
    """The policy called *name*, or the default one."""
    return settings.policies.get(name or settings.default_policy) or Policy()


def stage_of(policy: Policy, worked_us: int) -> str:
    """How hard to try after working a gap for *worked_us*."""
    if policy.escalate_after_us and worked_us >= policy.escalate_after_us:
        return policy.escalate_to
    return policy.start


def price(policy: Policy, stage: str, side: int, quote: Quoted, tick: Decimal) -> Pricing | None:
    """
    Choose the price for a buy (*side* +1) or a sell (-1).

    Returns:
        None when the quote lacks what this stage needs.
    """
    own, other = (quote.bid, quote.ask) if side > 0 else (quote.ask, quote.bid)
    if stage == "cross":
        if other is None:
            return None
        through = other * (1 + side * Decimal(policy.max_slippage_bps) / BPS)
        return Pricing(to_tick(through, tick, -side), False, True, stage)
    if own is None:
        return None
    if stage == "inside" and other is not None and (other - own) * side > tick:
        return Pricing(to_tick(own + side * tick, tick, -side), True, False, stage)
    # A tick that just changed may leave the best price between two of the new ones.
    return Pricing(to_tick(own, tick, -side), True, False, stage)


def worth_an_amend(
    policy: Policy, new: Pricing, now: Decimal, best: Decimal | None, priced_us: int, tick: Decimal
) -> bool:
    """
    Whether a resting order is far enough from where it should be.

    Args:
        now: The price that it rests at.
        best: The best price on its side, which may be its own.
        priced_us: For how long the gap had been worked when it was priced last.
    """
    harder = new.stage != stage_of(policy, priced_us)
    if new.stage == "inside" and now == best and not harder:
        return False  # nobody outbids himself
    return abs(new.price - now) >= (1 if harder else policy.reprice_ticks) * tick


def to_tick(price: Decimal, tick: Decimal, direction: int) -> Decimal:
    """The multiple of *tick* nearest to *price*, not above it for -1, not below it for +1."""
    rounding = ROUND_CEILING if direction > 0 else ROUND_FLOOR
    return (price / tick).to_integral_value(rounding=rounding) * tick


def outside_collar(price: Decimal, mark: Decimal, collar_bps: int) -> bool:
    """Whether *price* is further from *mark* than the collar allows."""
    return abs(price - mark) * 10_000 > mark * collar_bps
