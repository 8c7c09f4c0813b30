"""
A gap in slices: by size, by a share of what rests in the book, or spread evenly over time.

What is spread is a path of equal steps, from the position at which the target was accepted to the
target. How far it should be follows from the path and the time, how far it is from the position: so
nothing is forgotten in a crash, and what others trade counts.
"""

from __future__ import annotations

from typing import NamedTuple

from reconciler.core.events import Quoted
from reconciler.core.ledger import NEVER_US, Book, Target
from reconciler.core.limits.sizing import Size
from reconciler.core.policy import ladder
from reconciler.core.settings import Policy


class Path(NamedTuple):
    """Where a target that is spread over time should be."""

    steps: int
    due: int  # of them
    next_us: int  # when the next is
    every_us: int


def path_of(policy: Policy, target: Target, at_us: int) -> Path:
    """The path of *target*, under a policy that spreads over time."""
    began_us = target.work.path_us
    every_us = policy.slice_every_us or max(policy.over_us // 20, ladder.LEAST_STEP_US)
    end_us = min(began_us + policy.over_us, ladder.last_call_us(policy, target))
    steps = max(-(-(end_us - began_us) // every_us), 1)
    due = min(max((at_us - began_us) // every_us + 1, 0), steps)
    next_us = began_us + due * every_us if due < steps else NEVER_US
    return Path(steps, due, next_us, every_us)


def goal(policy: Policy, target: Target, position: int, at_us: int) -> int:
    """The position to be at by now: between the one that is held and the target."""
    path = path_of(policy, target, at_us)
    began = target.work.path_from
    if began is None:
        return target.contracts
    way = target.contracts - began
    done = abs(way) * path.due // path.steps
    due = began + (done if way > 0 else -done)
    side = 1 if target.contracts > position else -1
    return position + side * max((min(due * side, target.contracts * side) - position * side), 0)


def wait(policy: Policy, book: Book, target: Target, at_us: int) -> tuple[str, int]:
    """What an order waits for because of its path, and until when; "", 0: for nothing."""
    path = path_of(policy, target, at_us)
    behind = abs(goal(policy, target, book.position, at_us) - book.position)
    assert book.instrument is not None
    if behind < book.instrument.lot and path.due < path.steps:
        return f"slice {path.due + 1} of {path.steps}", path.next_us
    if policy.catch_up == "at_once" or at_us >= ladder.last_call_us(policy, target):
        return "", 0
    if behind > _slice(path, target, book) and book.placed_us:  # what an outage left: not at once
        again_us = book.placed_us[-1] + path.every_us // 2
        if at_us < again_us:
            return f"slice {path.due} of {path.steps}, which is late", again_us
    return "", 0


def cut(policy: Policy, book: Book, target: Target, size: Size, taking: bool) -> tuple[Size, str]:
    """*size* as one slice, in whole lots and one at least; and in words which."""
    quote, instrument = book.quote, book.instrument
    assert quote is not None
    assert instrument is not None
    note, most = "", [abs(size.contracts)]
    if policy.slice_contracts:
        most.append(policy.slice_contracts)
    if policy.slice_book_percent:
        resting = _resting(quote, size.contracts > 0, taking)
        if resting is None:
            note = ", size of the book unknown"
        else:
            most.append(resting * policy.slice_book_percent // 100)
    if policy.over_us:
        path = path_of(policy, target, quote.at_us)
        note = f", slice {path.due} of {path.steps}{note}"
        if policy.catch_up != "at_once":
            most.append(2 * _slice(path, target, book))
    contracts = max(min(most) // instrument.lot, 1) * instrument.lot
    signed = contracts if size.contracts > 0 else -contracts
    return Size(signed, size.reduce_only, ""), note


def _slice(path: Path, target: Target, book: Book) -> int:
    """One step of the path, in whole lots, rounded up."""
    assert book.instrument is not None
    lot = book.instrument.lot
    assert target.work.path_from is not None  # since the first position, and no order is before it
    way = abs(target.contracts - target.work.path_from)
    return max(-(-way // (path.steps * lot)), 1) * lot


def _resting(quote: Quoted, buys: bool, taking: bool) -> int | None:
    """What a taker meets, or what a maker stands among."""
    return quote.ask_contracts if buys == taking else quote.bid_contracts


def begin_path(target: Target, before: Target | None, policy: Policy, at_us: int) -> None:
    """
    A new target begins a path; its first step is not due before the next one of the path that it
    takes the place of, or whoever changes his mind quickly would have a first step each time.

    Args:
        policy: That *before* was worked by.
    """
    target.work.path_us = at_us
    if before is not None and policy.over_us:
        next_us = path_of(policy, before, at_us).next_us
        if next_us != NEVER_US:
            target.work.path_us = next_us
