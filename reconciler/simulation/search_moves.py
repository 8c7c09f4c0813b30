"""
Which moves a state allows, and that they are made.

The first move of a state is its *fair* one: what happens next if no fault and nobody interferes.
Following fair moves alone must lead every state to its target.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core.lifecycle import State as SymbolState
from reconciler.simulation import search_judge as judge
from reconciler.simulation.search_acts import DO, LOSABLE
from reconciler.simulation.search_news import look_again, take_old
from reconciler.simulation.search_state import (
    NOW_US,
    UNIT_US,
    Bounds,
    State,
    number_of,
)
from reconciler.simulation.search_tidy import tidy
from reconciler.simulation.search_views import views
from reconciler.simulation.search_world import World

#: What happens, and two numbers that say to what; their meaning is the move's own.
Move = tuple[str, int, int]


def moves(state: State, bounds: Bounds) -> list[Move]:
    """All that may happen next, the fair move first. Always the same for the same state."""
    if state.beyond:
        return []
    if state.stream == "gone":
        return [("restart", 0, 0), *_venue(state, bounds)]
    return [*_fair(state, bounds), *_choices(state, bounds), *_faults(state, bounds)]


def _venue(state: State, bounds: Bounds) -> Iterator[Move]:
    """What happens while nobody runs here."""
    for name, first, second in (*_fair(state, bounds), *_choices(state, bounds)):
        if name not in ("read", "read position", "target", "audit"):
            yield name, first, second


def _fair(state: State, bounds: Bounds) -> Iterator[Move]:
    """What is due, in an order that comes to an end."""
    if state.stream == "dead":
        yield "notice", 0, 0
    elif state.stream == "down":
        yield "connect", 0, 0
    elif state.stream == "joining":
        yield from (("sync", hidden, 0) for hidden in views(state, bounds, state.stream_us))
    elif state.resync_us:
        yield from (("sync", hidden, 0) for hidden in views(state, bounds, state.resync_us))
    for post in state.posts:
        if post.phase == "wire" and judge.can_trade(post):
            yield "arrive", post.number, 0
        elif post.phase == "queued":
            yield "rest", post.number, 0
    for index, cancel in enumerate(state.cancels):
        waits = state.post(cancel.number).phase == "queued" and bounds.in_order
        if not waits:
            yield "cancel", index, 0
        elif not cancel.queued:
            yield "queue cancel", index, 0
    for index in range(len(state.replies)):
        yield "answer", index, 0
    yield from _reads(state, bounds)
    if state.order_rows:
        yield "order row", 0, 0
    if state.execution_rows:
        yield "execution row", 0, 0
    if state.position_rows:
        yield "position row", 0, 0
    may_wait = not _overdue(state, bounds)
    if may_wait and state.book.state is not SymbolState.WORKING:
        yield "wait", 0, 0
    for post in state.posts:
        if post.phase == "open":
            yield "fill", post.number, post.leaves
    if may_wait and state.book.state is SymbolState.WORKING:
        yield "wait", 0, 0


def _reads(state: State, bounds: Bounds) -> Iterator[Move]:
    for name, order in state.book.orders.items():
        if order.read_id:
            number = number_of(name)
            for hidden in views(state, bounds, order.read_asked_us, number):
                yield "read", number, hidden
    if state.position_asked_us:
        for hidden in views(state, bounds, state.position_asked_us):
            yield "read position", hidden, 0


def _choices(state: State, bounds: Bounds) -> Iterator[Move]:
    """What may as well happen."""
    for post in state.posts:
        if post.phase == "queued":
            yield "take", post.number, 0
        elif post.phase == "open":
            yield from (("fill", post.number, part) for part in range(1, post.leaves))
    if state.targets < len(bounds.targets):
        yield "target", 0, 0
    if len(state.others) < len(bounds.foreign):
        yield "foreign", 0, 0
    if state.audits < bounds.audits and state.ledger.in_sync and not state.ledger.sync_asked_us:
        yield "audit", 0, 0


def _faults(state: State, bounds: Bounds) -> Iterator[Move]:
    """What the bounds allow to go wrong."""
    if state.refusals < bounds.refusals:
        for post in state.posts:
            if post.phase == "wire" and judge.can_trade(post):
                yield "refuse", post.number, 0
            elif post.phase == "queued":
                yield "reject", post.number, 0
        for index, cancel in enumerate(state.cancels):
            if cancel.awaited and not cancel.queued:
                yield "refuse cancel", index, 0
    if state.ends < bounds.ends:
        for post in state.posts:
            if post.phase == "queued":
                yield "kill", post.number, 0
            elif post.phase == "open":
                yield "end", post.number, 0
    if state.losses < bounds.losses:
        for kind in LOSABLE:
            for request in state.ledger.requests.values():
                if request.type == kind:
                    number = number_of(request.cl_ord_id) if request.cl_ord_id else 0
                    yield f"lose {kind}", number, 0
    if state.drops < bounds.drops and state.stream in ("up", "joining"):
        yield "drop", 0, 0
    if state.crashes < bounds.crashes:
        yield "crash", 0, 0


def _overdue(state: State, bounds: Bounds) -> bool:
    """Whether something must happen, or be lost, before time may pass."""
    edge_us = NOW_US - bounds.patience * UNIT_US
    if state.stream in ("dead", "joining") and state.stream_us <= edge_us:
        return True
    waits = [state.resync_us, state.position_asked_us]
    waits += [cancel.sent_us for cancel in state.cancels if cancel.awaited]
    waits += [post.sent_us for post in state.posts]
    if state.stream != "gone":
        waits += [o.read_asked_us for o in state.book.orders.values() if o.read_id]
    waits += [reply.at_us for reply in state.replies]
    waits += [row.at_us for row in state.order_rows[:1]]
    waits += [at_us for _, _, at_us in state.execution_rows[:1]]
    waits += [at_us for _, at_us in state.position_rows[:1]]
    if any(0 < at_us <= edge_us for at_us in waits):
        return True
    held_us = NOW_US - bounds.hold * UNIT_US
    bounded = not bounds.in_order
    return bounded and any(p.phase == "queued" and p.at_us <= held_us for p in state.posts)


def make(world: World, move: Move, real: bool = False) -> None:
    """
    Let *move* happen, judge what came of it, and leave the state tidy.

    Raises:
        Broken: A promise was not kept.
        AssertionError: The core found itself where it cannot be.
    """
    name, first, second = move
    DO[name](world, first, second)
    judge.judge(world.state, world.bounds)
    tidy(world.state, world.bounds, real)
    if world.bounds.leaps and not world.bounds.patience:
        look_again(world)
        while take_old(world):
            tidy(world.state, world.bounds, real)
