"""
Which price to ask for, in each of the ways that a stage of a policy knows.

Resting, and never taking: join the best price, improve it by a tick, stand one tick before the
other side. Resting or taking: a price from the last trade, or from the signal. Taking what is there
and no more: cross to the other side, or anything up to the price collar.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from reconciler.core.events import Quoted
from reconciler.core.settings import Policy, Settings, Stage

BPS = Decimal(10_000)
POST_ONLY = ("join", "inside", "post")
RIGHT_SIDE = "a price on the right side"


class Pricing(NamedTuple):
    """How an order asks for its contracts."""

    price: Decimal
    post_only: bool
    immediate: bool
    stage: str


class Basis(NamedTuple):
    """What a price is drawn from."""

    side: int  # +1 buys, -1 sells
    quote: Quoted
    tick: Decimal
    collar_bps: int = 0  # from the mark
    signal: Decimal | None = None  # the price that the signal was given at
    refused: int = 0  # tries in a row that came to nothing

    @property
    def own(self) -> Decimal | None:
        """The best price on the side of the order."""
        return self.quote.bid if self.side > 0 else self.quote.ask

    @property
    def other(self) -> Decimal | None:
        """The best price that it could take."""
        return self.quote.ask if self.side > 0 else self.quote.bid

    @property
    def edge(self) -> Decimal | None:
        """The last price inside the collar; None: no mark to tell it from."""
        if self.quote.mark is None:
            return None
        edge = self.quote.mark * (1 + self.side * self.collar_bps / BPS)
        return to_tick(edge, self.tick, -self.side)

    def resting(self, price: Decimal, stage: Stage, post_only: bool = True) -> Pricing:
        """Rest at *price*: on the grid, and not beyond it."""
        return Pricing(to_tick(price, self.tick, -self.side), post_only, False, stage.how)


def policy_of(settings: Settings, name: str) -> Policy:
    """The policy called *name*, or the default one."""
    return settings.policies.get(name or settings.default_policy) or Policy()


def is_gap(policy: Policy, position: int, goal: int) -> bool:
    """Whether *goal* is further than what the policy leaves alone: to zero, that is nothing."""
    return abs(goal - position) > (policy.band_contracts if goal else 0)


def price(policy: Policy, stage: Stage, basis: Basis) -> Pricing | str:
    """How an order of this stage asks; or, in words, what the prices lack for it."""
    return _WAYS[stage.how](policy, stage, basis)


def _join(policy: Policy, stage: Stage, basis: Basis) -> Pricing | str:
    # A tick that just changed may leave the best price between two of the new ones.
    return RIGHT_SIDE if basis.own is None else basis.resting(basis.own, stage)


def _inside(policy: Policy, stage: Stage, basis: Basis) -> Pricing | str:
    own, other, step = basis.own, basis.other, basis.side * basis.tick
    if own is None or other is None or (other - own) * basis.side <= basis.tick:
        return _join(policy, stage, basis)
    return basis.resting(own + step, stage)


def _post(policy: Policy, stage: Stage, basis: Basis) -> Pricing | str:
    """One tick before the other side; one more for each time that this came too near."""
    if basis.other is None:
        return _join(policy, stage, basis)
    asked = basis.other - basis.side * basis.tick * (1 + basis.refused)
    if basis.own is not None and (asked - basis.own) * basis.side < 0:
        asked = basis.own
    return basis.resting(asked, stage)


def _last(policy: Policy, stage: Stage, basis: Basis) -> Pricing | str:
    if basis.quote.last is None:
        return "the price of a trade"
    asked = basis.quote.last + basis.side * stage.offset_ticks * basis.tick
    return basis.resting(asked, stage, post_only=False)


def _signal(policy: Policy, stage: Stage, basis: Basis) -> Pricing | str:
    """The price of the signal, give or take; without one it may pay as much from the touch."""
    if basis.signal is None:
        return _cross(policy, stage, basis)
    asked = _through(basis.signal, policy, basis) + basis.side * stage.offset_ticks * basis.tick
    if basis.edge is not None and (asked - basis.edge) * basis.side > 0:
        asked = basis.edge  # the market is better than the signal's: no need to pay that much
    return basis.resting(asked, stage, post_only=False)


def _cross(policy: Policy, stage: Stage, basis: Basis) -> Pricing | str:
    """The other side, and so much through it as both the policy and the collar allow."""
    if basis.other is None:
        return RIGHT_SIDE
    asked = to_tick(_through(basis.other, policy, basis), basis.tick, -basis.side)
    edge = basis.edge
    if edge is not None and (edge - basis.other) * basis.side >= 0:
        asked = min(asked, edge) if basis.side > 0 else max(asked, edge)
    return Pricing(asked, False, True, "cross")


def _market(policy: Policy, stage: Stage, basis: Basis) -> Pricing | str:
    """Whatever is offered up to the edge of the collar: a market order has no such edge."""
    mark, other, edge = basis.quote.mark, basis.other, basis.edge
    if other is None:
        return RIGHT_SIDE
    if edge is None:
        return "the mark price"
    if (other - edge) * basis.side > 0:
        return (
            f"an offer within limits.price_collar_bps = {basis.collar_bps} "
            f"of the mark: {other} against {mark}"
        )
    return Pricing(edge, False, True, stage.how)


_WAYS: dict[str, Callable[[Policy, Stage, Basis], Pricing | str]] = {
    "join": _join,
    "inside": _inside,
    "post": _post,
    "last": _last,
    "signal": _signal,
    "cross": _cross,
    "market": _market,
}


def _through(price: Decimal, policy: Policy, basis: Basis) -> Decimal:
    return price * (1 + basis.side * Decimal(policy.max_slippage_bps) / BPS)


def worth_an_amend(
    policy: Policy, basis: Basis, new: Pricing, now: Decimal, *, anew: bool, harder: bool
) -> bool:
    """
    Whether a resting order is far enough from where it should be.

    Only a market that moved away is followed: one that comes nearer fills us.

    Args:
        now: The price that it rests at.
        anew: It was priced by another policy; then every tick counts, up or down.
        harder: By a softer stage of this one; then every tick counts.
    """
    moved = (new.price - now) * basis.side
    if anew:
        return abs(moved) >= basis.tick
    if new.stage == "inside" and now == basis.own and not harder:
        return False  # nobody outbids himself
    return moved >= (1 if harder else max(policy.reprice_ticks, 1)) * basis.tick


def to_tick(price: Decimal, tick: Decimal, direction: int) -> Decimal:
    """The multiple of *tick* nearest to *price*, not above it for -1, not below it for +1."""
    rounding = ROUND_CEILING if direction > 0 else ROUND_FLOOR
    return (price / tick).to_integral_value(rounding=rounding) * tick


def outside_collar(price: Decimal, mark: Decimal, collar_bps: int) -> bool:
    """Whether *price* is further from *mark* than the collar allows."""
    return abs(price - mark) * 10_000 > mark * collar_bps
