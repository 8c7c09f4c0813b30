"""
The stages of a policy: which there are, which of them is on, and why.

A policy climbs: on time, when the market moves away, or when the deadline comes near. While the gap
is the same it never goes back to a softer stage, whatever the market does.
"""

from __future__ import annotations

import itertools
from decimal import Decimal

from reconciler.core.events import Quoted
from reconciler.core.ledger import NEVER_US, Book, Order, Target, Work
from reconciler.core.policy import policies
from reconciler.core.settings import IMMEDIATE, Policy, Stage
from reconciler.core.turn import Turn

LEAST_STEP_US = 1_000_000
LEAST_SPREAD_US = 10_000_000
SOFTNESS = ("join", "inside", "post", "cross", "market")


def stage_of(policy: Policy, work: Work) -> tuple[int, Stage]:
    """The number and the stage that is on."""
    stages = policy.rungs
    rung = min(work.rung, len(stages) - 1)
    return rung, stages[rung]


def in_words(policy: Policy, work: Work) -> str:
    """Which stage is on and why, where there are several."""
    most = len(policy.rungs)
    if most == 1:
        return ""
    return f", stage {work.rung + 1} of {most}" + (f": {work.why}" if work.why else "")


def can_become(order: Order, stage: Stage) -> bool:
    """Whether an amend of its price is enough to make *order* one of this stage."""
    return stage.how not in IMMEDIATE and order.post_only == (stage.how in policies.POST_ONLY)


def rest(work: Work) -> None:
    """There is nothing to do: the next gap begins at the first stage."""
    work.rung, work.rung_since_us, work.why, work.arrival = 0, 0, "", None


def climb(turn: Turn, book: Book, target: Target, policy: Policy, side: int) -> None:
    """
    Go up as far as time and market say.

    Args:
        side: Of the orders that the gap asks for: +1 buys.
    """
    work, stages = target.work, policy.rungs
    if work.arrival is None:
        work.arrival = _mid(turn, book)
    last = len(stages) - 1
    work.rung = min(work.rung, last)  # the policy may have fewer now
    heed_deadline(turn, target, policy)
    while work.rung < last:
        why = _is_over(turn, book, work, stages[work.rung], side)
        if not why:
            return
        work.rung, work.rung_since_us, work.why = work.rung + 1, turn.at_us, why


def heed_deadline(turn: Turn, target: Target, policy: Policy) -> None:
    """Go up to the last stage, if the deadline is near."""
    work, last = target.work, len(policy.rungs) - 1
    if work.rung < last and turn.at_us >= last_call_us(policy, target):
        why = f"{policy.before_deadline_us // 1_000_000} s before the deadline"
        work.rung, work.rung_since_us, work.why = last, turn.at_us, why


def _is_over(turn: Turn, book: Book, work: Work, stage: Stage, side: int) -> str:
    if stage.for_us and turn.at_us >= work.rung_since_us + stage.for_us:
        return f"{stage.how} for {stage.for_us // 1_000_000} s"
    if not stage.adverse_ticks:
        return ""
    mid = _mid(turn, book)
    if mid is None:
        return ""
    assert book.instrument is not None  # or nobody could work it
    assert work.arrival is not None  # the mid is one, at the latest
    moved = (mid - work.arrival) * side / book.instrument.tick
    return f"{moved:f} ticks against us" if moved >= stage.adverse_ticks else ""


def _mid(turn: Turn, book: Book) -> Decimal | None:
    """Between bid and ask, if both came with this event and are to be believed."""
    quote: Quoted | None = book.quote
    if quote is None or quote.at_us != turn.at_us or quote.bid is None or quote.ask is None:
        return None
    stale_us = turn.ledger.settings.limits_of(book.symbol).stale_price_us
    if quote.bid >= quote.ask or quote.age_us > stale_us:
        return None
    return (quote.bid + quote.ask) / 2


def last_call_us(policy: Policy, target: Target) -> int:
    """When the last stage has to begin, for the sake of the deadline."""
    if target.deadline_us is None:
        return NEVER_US
    return target.deadline_us - policy.before_deadline_us


def next_us(policy: Policy, target: Target) -> int:
    """When time alone may bring the next stage."""
    _, stage = stage_of(policy, target.work)
    over_us = target.work.rung_since_us + stage.for_us if stage.for_us else NEVER_US
    return min(over_us, last_call_us(policy, target))


def problem(policy: Policy) -> str:
    """What in the settings of a policy can't be meant; "" if all of it can."""
    stages = policy.rungs
    for number, stage in enumerate(stages, 1):
        if why := _problem_of_stage(stage, number, number == len(stages)):
            return why
    for softer, harder in itertools.pairwise(stage.how for stage in stages):
        if softer in IMMEDIATE and harder not in IMMEDIATE:
            return f"goes from {softer} to {harder}: what does not rest is followed by its like"
        if softer in SOFTNESS and harder in SOFTNESS:
            if SOFTNESS.index(softer) > SOFTNESS.index(harder):
                return f"goes from {softer} back to {harder}, which is softer"
    return _problem_of_slices(policy)


def _problem_of_stage(stage: Stage, number: int, is_last: bool) -> str:
    ends = bool(stage.for_us or stage.adverse_ticks or stage.until_deadline)
    if is_last and ends:
        return f"says what ends stage {number} ({stage.how}), and none follows"
    if not is_last and not ends:
        return (
            f"does not say what ends stage {number} ({stage.how}), and more follow: give it for_s, "
            "adverse_ticks or until_deadline"
        )
    if stage.until_deadline and (stage.for_us or stage.adverse_ticks):
        return f"ends stage {number} ({stage.how}) only at the deadline, and before it"
    if stage.offset_ticks and stage.how not in ("last", "signal"):
        return f"has offset_ticks in stage {number}, and {stage.how} knows none"
    return ""


def _problem_of_slices(policy: Policy) -> str:
    if policy.slice_every_us and not policy.over_us:
        return "has slice_every_s without over_s: nothing is spread over time"
    if policy.slice_every_us > policy.over_us:
        return "has a slice_every_s that is longer than over_s"
    if 0 < policy.over_us < LEAST_SPREAD_US:
        return f"has an over_s below {LEAST_SPREAD_US // 1_000_000}: too short to be spread"
    if 0 < policy.slice_every_us < LEAST_STEP_US:
        return f"has a slice_every_s below {LEAST_STEP_US // 1_000_000}: orders would not keep up"
    if policy.catch_up == "at_once" and not policy.over_us:
        return 'has catch_up = "at_once" without over_s: nothing is spread over time'
    return ""
