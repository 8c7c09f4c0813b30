"""
What is on its way and is no news any more arrives at once: one order of events stands for many.

A row or an answer that changes nothing, and could change nothing whenever it came, may as well come
now. Let a path deliver it later. Moved to the front, it leaves the ledger as it is, so every other
move of the path finds the ledger that it found, and leads to the same decisions; what is queued
behind it was to wait for it in any case; a drop or a crash that would have lost it finds it gone,
which is the same; and time may pass earlier, never later. So the path with it in front goes through
the same states but for the row itself, which no promise speaks of. The converse is plain: the path
with it in front is one of all the paths. Which those are:

a row of an order that is over, and no newer than its end: over is for ever, short of a revival;
a row of a working order, known to the state, that counts no more fills than are known: working
ends in over alone;
an execution that is booked: booked is for ever;
an answer that comes with no row or with such a row, about an order that it can do nothing to any
more (a place that is seen, a cancel of what is over), unless its request may still be lost: then
the two moves compete, and both orders are searched.

A row of the position is never of them: it is news again once another one has come between.
But each makes the core look at its books once more, and later may be another moment to look. So of
every ledger that is reached it is shown that a second look decides nothing and changes nothing:
`look_again`. (What time makes due has its own tick.) And of each thing that is taken early it is
shown that it changed nothing then. `tests/search` compares with searches without all this.
"""

from __future__ import annotations

from reconciler.core import events as e
from reconciler.core.ledger import Ledger
from reconciler.core.lifecycle import State as SymbolState
from reconciler.simulation.search_judge import Broken
from reconciler.simulation.search_pages import Page
from reconciler.simulation.search_state import NOW_US, Reply, Row, State, cl_ord_id_of
from reconciler.simulation.search_tidy import plain
from reconciler.simulation.search_world import World


def _row_is_old(state: State, row: Row) -> bool:
    order = state.book.orders.get(cl_ord_id_of(row.number))
    if order is None or state.book.state is SymbolState.PLACING:
        return False  # it may be what tells that an order is there
    over = row.status in e.OVER
    if order.over_us is not None:
        return row.filled <= order.filled and (over or row.at_us <= order.seen_venue_us)
    return order.status == "working" and not over and row.filled <= order.filled


def _answer_is_old(state: State, reply: Reply) -> bool:
    order = state.book.orders.get(cl_ord_id_of(reply.number))
    if order is None or (reply.row is not None and not _row_is_old(state, reply.row)):
        return False
    if reply.type == "placeorder":
        return reply.outcome == e.Outcome.DONE and (
            order.status == "working" or order.over_us is not None
        )
    return order.over_us is not None


def _execution_is_old(state: State, number: int, index: int) -> bool:
    fills = state.post(number).fills if number else state.others
    return fills[index].booked


#: Has every book looked at, and says nothing.
LOOK = e.Throttled(at_us=NOW_US, until_us=0, reason="")


def look_again(world: World) -> None:
    """The same ledger looked at once more is the same, and nothing is decided anew."""
    page = world.state.page
    if world.state.stream == "gone":
        return  # there is nobody to look
    if LOOK not in page.after:
        led = page.after[LOOK] = world.step(page, LOOK)
        if led.decisions or plain(led.page, world.bounds) is not plain(page, world.bounds):
            raise Broken(f"a second look decides {led.decisions}, or changes the ledger")
        world.check(page, LOOK, led)


def take_old(world: World) -> bool:
    """Let one thing arrive that is no news; false if there is none."""
    state = world.state
    if state.execution_rows and _execution_is_old(state, *state.execution_rows[0][:2]):
        number, index, _ = state.execution_rows.pop(0)
        return _feed_nothing(world, world.execution_event(number, index, e.Source.STREAM))
    if state.order_rows:
        row = state.order_rows[0]
        if _row_is_old(state, row):
            del state.order_rows[0]
            return _feed_nothing(world, world.order_event(row, e.Source.STREAM))
    if state.losses < world.bounds.losses:
        return False
    for index, reply in enumerate(state.replies):
        if _answer_is_old(state, reply):
            del state.replies[index]
            return _answer_nothing(world, reply)
    return False


def _answer_nothing(world: World, reply: Reply) -> bool:
    if reply.row is not None:
        _feed_nothing(world, world.order_event(reply.row, e.Source.REPLY))
    number = world.state.request(reply.type, cl_ord_id_of(reply.number))
    page = world.state.page

    def answered(ledger: Ledger) -> None:
        del ledger.requests[str(number)]
        (book,) = ledger.books.values()
        if reply.type == "cancelorder":
            book.orders[cl_ord_id_of(reply.number)].cancel_id = 0

    world.answered(reply.type, cl_ord_id_of(reply.number), e.Outcome(reply.outcome))
    wanted = page.form(("answered", number, reply.type, reply.number), answered)
    return _is_nothing(world, wanted, reply)


def _feed_nothing(world: World, event: e.AnyEvent) -> bool:
    page = world.state.page
    world.feed(event)
    return _is_nothing(world, page, event)


def _is_nothing(world: World, wanted: Page, what: object) -> bool:
    """It led to nothing, as was claimed; the two ledgers are compared in their tidy form."""
    found, wanted = (plain(page, world.bounds) for page in (world.state.page, wanted))
    if found is not wanted:
        raise Broken(f"news after all: {what}")
    return True
