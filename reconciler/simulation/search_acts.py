"""What each move of the search does: to the venue, to the wire, or to the real core."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.core import events as e
from reconciler.core.ledger import Ledger
from reconciler.simulation.search_state import (
    NOW_US,
    SYMBOL,
    UNIT_US,
    State,
    cl_ord_id_of,
    started,
)
from reconciler.simulation.search_tidy import pass_time
from reconciler.simulation.search_views import executions_of, hidden_at, position_of, view_of
from reconciler.simulation.search_world import World

READ, STREAM, REPLY = e.Source.READ, e.Source.STREAM, e.Source.REPLY
LOSABLE = ("placeorder", "cancelorder", "readorder", "readposition")


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
    Killed. The ledger is what the journal folds to, which `World.step` checks. Requests that are
    on their way may still arrive or not, so it is all one whether they had left; nobody waits for
    their answers.
    """
    state = world.state
    state.crashes += 1
    state.replies = []
    state.position_asked_us = 0
    for cancel in state.cancels:
        cancel.awaited = False
    for post in state.posts:
        post.sent_us = 0
    _silence(state, "gone")


def _restart(world: World, _: int, __: int) -> None:
    _silence(world.state, "down")
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
    state, synced_us = world.state, world.state.ledger.synced_us
    state.page = state.page.form("audit", lambda ledger: _synced(ledger, NOW_US - 3 * UNIT_US))
    world.feed(e.Tick(at_us=NOW_US))
    # It is due for another reason: nothing else is to be thought so old.
    state.page = state.page.form(("synced", synced_us), lambda ledger: _synced(ledger, synced_us))


def _synced(ledger: Ledger, at_us: int) -> None:
    ledger.synced_us = at_us


def _wait(world: World, _: int, __: int) -> None:
    pass_time(world.state, world.bounds)
    if world.state.stream != "gone" and world.state.ledger.next_wake_us() <= NOW_US:
        world.feed(e.Tick(at_us=NOW_US))


DO: dict[str, Callable[[World, int, int], None]] = {
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
    "restart": _restart,
    "target": _target,
    "foreign": _foreign,
    "audit": _audit,
    "wait": _wait,
    **{f"lose {kind}": _lose(kind) for kind in LOSABLE},
}
