"""
Which moves a state allows, and what each of them does.

The first move of a state is its *fair* one: what happens next if no fault and nobody interferes.
Following fair moves alone must lead every state to its target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reconciler.core import events as e
from reconciler.core.lifecycle import State as SymbolState
from reconciler.simulation import search_judge as judge
from reconciler.simulation.search_state import (
    NOW_US,
    SYMBOL,
    UNIT_US,
    Bounds,
    State,
    cl_ord_id_of,
    number_of,
    started,
)
from reconciler.simulation.search_tidy import pass_time, tidy
from reconciler.simulation.search_views import executions_of, hidden_at, position_of, view_of, views
from reconciler.simulation.search_world import World

#: What happens, and two numbers that say to what; their meaning is the move's own.
Move = tuple[str, int, int]
READ, STREAM, REPLY = e.Source.READ, e.Source.STREAM, e.Source.REPLY


def moves(state: State, bounds: Bounds) -> list[Move]:
    """All that may happen next, the fair move first. Always the same for the same state."""
    if state.beyond:
        return []
    return [*_fair(state, bounds), *_choices(state, bounds), *_faults(state, bounds)]


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


LOSABLE = ("placeorder", "cancelorder", "readorder", "readposition")


def _overdue(state: State, bounds: Bounds) -> bool:
    """Whether something must happen, or be lost, before time may pass."""
    edge_us = NOW_US - bounds.patience * UNIT_US
    if state.stream in ("dead", "joining") and state.stream_us <= edge_us:
        return True
    waits = [state.resync_us, state.position_asked_us]
    waits += [cancel.sent_us for cancel in state.cancels if cancel.awaited]
    waits += [post.sent_us for post in state.posts]
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


# -- the moves -----------------------------------------------------------------------------------


def _arrive(world: World, number: int, _: int) -> None:
    post = world.state.post(number)
    post.phase, post.at_us = "queued", NOW_US


def _rest(world: World, number: int, _: int) -> None:
    post = world.state.post(number)
    world.rest(post)
    world.reply("placeorder", number, e.Outcome.DONE, world.row_of(post))


def _take(world: World, number: int, _: int) -> None:
    post = world.state.post(number)
    world.rest(post)
    if post.phase == "open":
        world.fill(post, post.leaves)
    world.reply("placeorder", number, e.Outcome.DONE, world.row_of(post))


def _kill(world: World, number: int, _: int) -> None:
    """Post-only that would take: over as soon as it is there."""
    world.state.ends += 1
    post = world.state.post(number)
    world.end(post, e.OrderStatus.CANCELLED)
    world.reply("placeorder", number, e.Outcome.DONE, world.row_of(post))


def _reject(world: World, number: int, _: int) -> None:
    world.state.refusals += 1
    post = world.state.post(number)
    world.end(post, e.OrderStatus.REJECTED)
    world.reply("placeorder", number, e.Outcome.DONE, world.row_of(post))


def _refuse(world: World, number: int, _: int) -> None:
    world.state.refusals += 1
    world.state.post(number).phase = "never"
    world.reply("placeorder", number, e.Outcome.REFUSED)


def _fill(world: World, number: int, contracts: int) -> None:
    world.fill(world.state.post(number), contracts)


def _end(world: World, number: int, _: int) -> None:
    world.state.ends += 1
    world.end(world.state.post(number), e.OrderStatus.CANCELLED)


def _cancel(world: World, index: int, _: int) -> None:
    cancel = world.state.cancels.pop(index)
    post = world.state.post(cancel.number)
    if post.phase == "open":
        world.end(post, e.OrderStatus.CANCELLED)
        outcome, row = e.Outcome.DONE, world.row_of(post)
    else:
        outcome, row = e.Outcome.NOTHING, None
    if cancel.awaited:
        world.reply("cancelorder", cancel.number, outcome, row)


def _queue_cancel(world: World, index: int, _: int) -> None:
    world.state.cancels[index].queued = True


def _refuse_cancel(world: World, index: int, _: int) -> None:
    world.state.refusals += 1
    cancel = world.state.cancels.pop(index)
    world.reply("cancelorder", cancel.number, e.Outcome.REFUSED)


def _answer(world: World, index: int, _: int) -> None:
    reply = world.state.replies.pop(index)
    if reply.row is not None:
        world.feed(world.order_event(reply.row, REPLY))
    world.answered(reply.type, cl_ord_id_of(reply.number), e.Outcome(reply.outcome))


def _lose(kind: str) -> Callable[[World, int, int], None]:
    def lose(world: World, number: int, _: int) -> None:
        """The client gives up. The request may still arrive."""
        state = world.state
        state.losses += 1
        state.replies = [r for r in state.replies if (r.type, r.number) != (kind, number)]
        if kind == "cancelorder":
            for cancel in state.cancels:
                cancel.awaited = cancel.awaited and cancel.number != number
        if kind == "readposition":
            state.position_asked_us = 0
        world.answered(kind, cl_ord_id_of(number) if number else "", e.Outcome.IN_DOUBT)

    return lose


def _read(world: World, number: int, hidden_count: int) -> None:
    state = world.state
    hidden = hidden_at(state, hidden_count)
    row = view_of(world, state.post(number), hidden)
    executions = executions_of(state, number, hidden)
    if row is not None:
        world.feed(world.order_event(row, READ))
    for index in executions:
        world.feed(world.execution_event(number, index, READ))
    world.feed(
        e.OrderRead(
            at_us=NOW_US,
            request_id=state.request("readorder", cl_ord_id_of(number)),
            cl_ord_id=cl_ord_id_of(number),
            orders=int(row is not None),
            executions=len(executions),
        )
    )


def _read_position(world: World, hidden_count: int, _: int) -> None:
    world.state.position_asked_us = 0
    position = position_of(world, hidden_at(world.state, hidden_count))
    world.feed(world.position_event(position, NOW_US, READ))
    world.answered("readposition", "", e.Outcome.DONE)


def _order_row(world: World, _: int, __: int) -> None:
    world.feed(world.order_event(world.state.order_rows.pop(0), STREAM))


def _execution_row(world: World, _: int, __: int) -> None:
    number, index, _at_us = world.state.execution_rows.pop(0)
    world.feed(world.execution_event(number, index, STREAM))


def _position_row(world: World, _: int, __: int) -> None:
    contracts, at_us = world.state.position_rows.pop(0)
    world.feed(world.position_event(contracts, at_us, STREAM))


def _drop(world: World, _: int, __: int) -> None:
    """The stream is dead; nobody has noticed."""
    world.state.drops += 1
    _silence(world.state, "dead")


def _silence(state: State, phase: str) -> None:
    state.stream, state.stream_us, state.resync_us = phase, NOW_US, 0
    state.order_rows, state.execution_rows, state.position_rows = [], [], []


def _notice(world: World, _: int, __: int) -> None:
    _silence(world.state, "down")
    world.feed(e.StreamLost(at_us=NOW_US, reason="silence"))


def _connect(world: World, _: int, __: int) -> None:
    """Subscribed: what is there now, and from now on what changes."""
    state = world.state
    state.stream, state.stream_us = "joining", NOW_US
    for post in state.posts:
        if post.phase == "open":
            world.feed(world.order_event(world.row_of(post), STREAM))
    world.feed(world.position_event(world.position(), NOW_US, STREAM))


def _sync(world: World, hidden_count: int, _: int) -> None:
    """A resync ends: executions since the watermark, open orders, the position."""
    state = world.state
    began_us = state.stream_us if state.stream == "joining" else state.resync_us
    hidden, watermark_us = hidden_at(state, hidden_count), state.ledger.watermark_us
    for number in (0, *(post.number for post in state.posts)):
        fills = state.post(number).fills if number else state.others
        for index in executions_of(state, number, hidden):
            # What is booked already may be read once more: the venue's pages overlap.
            if fills[index].booked or fills[index].at_us >= watermark_us:
                world.feed(world.execution_event(number, index, READ))
    resting = []
    for post in state.posts:
        row = view_of(world, post, hidden)
        if row is not None and row.status not in e.OVER:
            resting.append(f"v{post.number}")
            world.feed(world.order_event(row, READ))
    world.feed(world.position_event(position_of(world, hidden), NOW_US, READ))
    state.stream, state.resync_us = "up", 0
    world.feed(
        e.Synced(
            at_us=NOW_US,
            watermark_us=began_us - world.bounds.core_lag * UNIT_US,
            open_order_ids=tuple(resting),
        )
    )
    for number_text, request in list(state.ledger.requests.items()):
        if request.type == "resync":
            world.feed(
                e.Answered(at_us=NOW_US, request_id=int(number_text), outcome=e.Outcome.DONE)
            )


def _crash(world: World, _: int, __: int) -> None:
    """
    Killed and started again. The ledger is what the journal folds to, which `World.folds` checks;
    requests that are on their way may still arrive, and nobody waits for their answers.
    """
    state = world.state
    state.crashes += 1
    state.replies = []
    state.position_asked_us = 0
    for cancel in state.cancels:
        cancel.awaited = False
    _silence(state, "down")
    world.feed(started())
    world.feed(e.ClockMeasured(at_us=NOW_US, offset_us=0, error_us=0))


def _target(world: World, _: int, __: int) -> None:
    state = world.state
    contracts = world.bounds.targets[state.targets]
    state.targets += 1
    world.feed(
        e.TargetSet(
            at_us=NOW_US,
            symbol=SYMBOL,
            contracts=contracts,
            version=state.targets,
            source="search",
        )
    )


def _foreign(world: World, _: int, __: int) -> None:
    world.somebody_trades(world.bounds.foreign[len(world.state.others)])


def _audit(world: World, _: int, __: int) -> None:
    """The regular look at everything is due."""
    world.state.audits += 1
    world.state.ledger.synced_us = NOW_US - 3 * UNIT_US
    world.feed(e.Tick(at_us=NOW_US))


def _wait(world: World, _: int, __: int) -> None:
    pass_time(world.state, world.bounds)
    if world.state.ledger.next_wake_us() <= NOW_US:
        world.feed(e.Tick(at_us=NOW_US))


_DO: dict[str, Callable[[World, int, int], None]] = {
    "notice": _notice,
    "connect": _connect,
    "sync": _sync,
    "arrive": _arrive,
    "rest": _rest,
    "take": _take,
    "kill": _kill,
    "reject": _reject,
    "refuse": _refuse,
    "fill": _fill,
    "end": _end,
    "cancel": _cancel,
    "queue cancel": _queue_cancel,
    "refuse cancel": _refuse_cancel,
    "answer": _answer,
    "read": _read,
    "read position": _read_position,
    "order row": _order_row,
    "execution row": _execution_row,
    "position row": _position_row,
    "drop": _drop,
    "crash": _crash,
    "target": _target,
    "foreign": _foreign,
    "audit": _audit,
    "wait": _wait,
    **{f"lose {kind}": _lose(kind) for kind in LOSABLE},
}


def make(world: World, move: Move, real: bool = False) -> None:
    """
    Let *move* happen, judge what came of it, and leave the state tidy.

    Raises:
        Broken: A promise was not kept.
        AssertionError: The core found itself where it cannot be.
    """
    name, first, second = move
    _DO[name](world, first, second)
    judge.judge(world.state, world.bounds)
    tidy(world.state, world.bounds, real)
