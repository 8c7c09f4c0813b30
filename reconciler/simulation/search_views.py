"""
What a read finds: the venue as it was a moment ago.

A read shows everything older than `Bounds.lag`, and of what is younger some first part.
"""

from __future__ import annotations

from reconciler.core import events as e
from reconciler.simulation.search_state import NOW_US, UNIT_US, Bounds, Change, Post, Row, State
from reconciler.simulation.search_world import World


def views(state: State, bounds: Bounds, asked_us: int, number: int = -1) -> list[int]:
    """
    How many of the newest changes a read may hide that was asked for then.

    Of those numbers that make no difference to order *number*, only one.
    """
    counts, edge_us = [0], asked_us - bounds.lag * UNIT_US
    for hidden, change in enumerate(reversed(state.changes), 1):
        if change.at_us < edge_us:
            break
        if number in (-1, change.number):
            counts.append(hidden)
    return counts


def hidden_at(state: State, count: int) -> list[Change]:
    return state.changes[len(state.changes) - count :]


def view_of(world: World, post: Post, hidden: list[Change]) -> Row | None:
    """The order as it was before its hidden changes; None: it was not there."""
    mine = [change.what for change in hidden if change.number == post.number]
    if post.phase in ("wire", "queued", "never") or "in" in mine:
        return None
    if not mine:
        return world.row_of(post)
    shown = post.fills[: len(post.fills) - mine.count("fill")]
    filled = sum(abs(fill.contracts) for fill in shown)
    status = e.OrderStatus.PARTLY_FILLED if filled else e.OrderStatus.NEW
    at_us = shown[-1].at_us if shown else NOW_US - world.bounds.old * UNIT_US
    return Row(post.number, filled, status, at_us)


def executions_of(state: State, number: int, hidden: list[Change]) -> range:
    fills = state.post(number).fills if number else state.others
    gone = sum(change.number == number and change.what == "fill" for change in hidden)
    return range(len(fills) - gone)


def position_of(world: World, hidden: list[Change]) -> int:
    state = world.state
    position = world.position()
    numbers = (0, *(post.number for post in state.posts))
    for number in numbers:
        fills = state.post(number).fills if number else state.others
        shown = len(executions_of(state, number, hidden))
        position -= sum(fill.contracts for fill in fills[shown:])
    return position
