"""
Time passes, and what no longer matters is forgotten.

Nothing is forgotten that could still change a decision, or a judgement: what is left out is a note
for people, a moment that has passed, or an age beyond all that anything asks for.
"""

from __future__ import annotations

import msgspec

from reconciler.core.events import OrderStatus
from reconciler.core.ledger import NEVER_US, Book, Ledger, Order, Request, Work
from reconciler.core.lifecycle import State as SymbolState
from reconciler.core.limits.results import Tally
from reconciler.core.trouble import mismatch
from reconciler.simulation.search_pages import Page
from reconciler.simulation.search_state import (
    NOW_US,
    UNIT_US,
    Bounds,
    Change,
    Post,
    Row,
    State,
    cl_ord_id_of,
)

LEDGER_TIMES = ("synced_us", "sync_asked_us", "sync_again_us", "watermark_us")
BOOK_TIMES = (
    "differs_since_us", "position_read_again_us", "foreign_until_us", "refused_until_us",
    "moved_venue_us",
)  # fmt: skip
ORDER_TIMES = (
    "placed_us", "expires_us", "over_us", "over_venue_us", "seen_venue_us", "working_us",
    "cancel_sent_us", "cancel_again_us", "read_asked_us", "read_again_us", "quarantined_until_us",
)  # fmt: skip
DOUBT_TIMES = ("expired_us", "barrier_us", "empty_read_us")
#: Times that nothing here depends on, or that `tidy` sets: the clock is always freshly measured,
#: no price is ever amended, no target expires, no order is too many, nobody uses the switch
#: or forbids anything for a while.
IDLE_TIMES = {
    "at_us", "horizon_us", "clock_offset_us", "clock_error_us", "clock_at_us",
    "throttled_until_us", "placed_us", "dead_man_acked_us", "dead_man_asked_us",
    "since_us", "venue_position_venue_us", "waiting_since_us", "priced_us", "set_us", "expires_us",
    "gap_since_us", "amended_us", "futile_us", "modes_end_us", "mode_until_us", "halted_until_us",
    "frozen_until_us", "deadline_us", "wake_us", "anchor_venue_us", "anchor_again_us", "version_us",
}  # fmt: skip
#: Times for people, and those of the anchor, which is older than all that happens here.
BOOK_NOTES = tuple(
    name
    for name in Book.__struct_fields__
    if name in ("since_us", "waiting_since_us", "venue_position_venue_us", "anchor_venue_us")
)


def _shift(thing: object, names: tuple[str, ...], floor_us: int) -> None:
    for name in names:
        at_us = getattr(thing, name)
        if at_us:
            setattr(thing, name, max(at_us - UNIT_US, floor_us))


def _older(at_us: int, floor_us: int) -> int:
    return max(at_us - UNIT_US, floor_us) if at_us else 0


def pass_time(state: State, bounds: Bounds) -> None:
    """One unit goes by: everything is older than before."""
    floor_us = NOW_US - bounds.old * UNIT_US
    state.page = state.page.form(("later", floor_us), lambda ledger: _pass_time(ledger, floor_us))
    for post in state.posts:
        post.at_us = _older(post.at_us, floor_us)
        post.sent_us = _older(post.sent_us, floor_us)
        post.expires_us = _older(post.expires_us, floor_us)
        if post.phase == "wire" and post.expires_us < NOW_US:
            post.phase = "never"
        for fill in post.fills:
            fill.at_us = _older(fill.at_us, floor_us)
    for fill in state.others:
        fill.at_us = _older(fill.at_us, floor_us)
    for cancel in state.cancels:
        cancel.sent_us = _older(cancel.sent_us, floor_us)
    edge_us = NOW_US - UNIT_US  # a request of before can't be let in any more
    state.cancels = [c for c in state.cancels if c.awaited or c.queued or c.sent_us >= edge_us]
    for reply in state.replies:
        reply.at_us -= UNIT_US
        if reply.row is not None:
            reply.row = _older_row(reply.row, floor_us)
    state.order_rows = [_older_row(row, floor_us) for row in state.order_rows]
    state.execution_rows = [(n, k, _older(us, floor_us)) for n, k, us in state.execution_rows]
    state.position_rows = [(n, _older(us, floor_us)) for n, us in state.position_rows]
    state.changes = [Change(c.at_us - UNIT_US, c.number, c.what) for c in state.changes]
    state.stream_us = _older(state.stream_us, floor_us)
    state.resync_us = _older(state.resync_us, floor_us)
    state.position_asked_us = _older(state.position_asked_us, floor_us)


def _pass_time(ledger: Ledger, floor_us: int) -> None:
    (book,) = ledger.books.values()
    _shift(ledger, LEDGER_TIMES, floor_us)
    _shift(book, BOOK_TIMES, floor_us)
    if book.wake_us != NEVER_US:
        book.wake_us -= UNIT_US
    for order in book.orders.values():
        _shift(order, ORDER_TIMES, floor_us)
        if order.doubt is not None:
            _shift(order.doubt, DOUBT_TIMES, floor_us)


def _older_row(row: Row, floor_us: int) -> Row:
    return Row(row.number, row.filled, row.status, _older(row.at_us, floor_us))


def tidy(state: State, bounds: Bounds, real: bool = False) -> None:
    """
    Forget what cannot make a difference any more.

    Args:
        real: Keep the time since the last sync, so that the regular audit comes by itself.
    """
    floor_us = NOW_US - bounds.old * UNIT_US
    _tidy_changes(state, bounds)
    silent = _silent(state)
    key = floor_us, not bounds.patience, real, _all_booked(state), silent, _dead(state, silent)
    state.page = state.page.form(("tidy", key), lambda ledger: _tidy_ledger(ledger, *key))
    for post in state.posts:
        _tidy_post(state, post, silent, floor_us)
    state.cancels = [c for c in state.cancels if c.awaited or state.post(c.number).phase in _BEFORE]
    if state.stream in ("up", "gone"):
        state.stream_us = 0


def plain(page: Page, bounds: Bounds) -> Page:
    """The tidy form of a ledger, whatever is on its way."""
    key = NOW_US - bounds.old * UNIT_US, not bounds.patience, False, False, (), ()
    return page.form(("plain", key), lambda ledger: _tidy_ledger(ledger, *key))


#: A cancel that nobody waits for does nothing but to an order that may still trade.
_BEFORE = ("wire", "queued", "open")


def _tidy_ledger(
    ledger: Ledger,
    floor_us: int,
    prompt: bool,
    real: bool,
    all_booked: bool,
    silent: tuple[int, ...],
    dead: tuple[int, ...],
) -> None:
    (book,) = ledger.books.values()
    ledger.at_us = ledger.clock_at_us = NOW_US
    if not real:
        # From its sync on an order that ended is missed. Where none is, the next one ends later.
        ended = any(order.status == "ended" for order in book.orders.values())
        ledger.synced_us = max(ledger.synced_us, NOW_US - UNIT_US) if ended else NOW_US - UNIT_US
    if ledger.sync_again_us <= NOW_US:
        ledger.sync_again_us = 0
    if book.confirmed or mismatch.is_unexplained(ledger, book):
        book.moved_venue_us = 0  # asked of what differs, and of the newest: what comes is that
    if all_booked:
        ledger.watermark_us = floor_us  # whatever comes is newer
    ledger.horizon_us = 0
    ledger.incidents = {}
    ledger.next_incident_id = 1
    ledger.placed_us = []
    ledger.orders_day = ledger.orders_today = 0
    ledger.margins_told = []
    if ledger.frozen:
        ledger.frozen = "frozen"
    _tidy_book(book)
    if prompt and ledger.sync_asked_us is not None:
        book.wake_us = NEVER_US  # the resync ends before time passes, and sets another
    _renumber(ledger, book)
    for order in book.orders.values():
        _tidy_order(order, book)
    for number in silent:
        known = book.orders.get(cl_ord_id_of(number))
        if known is not None and known.status in OVER:
            known.over_venue_us = min(known.over_venue_us, floor_us)
            known.seen_venue_us = min(known.seen_venue_us, floor_us)
    for number in dead:
        _bury(book, cl_ord_id_of(number), floor_us)


OVER = ("closed", "refused", "void")


def _silent(state: State) -> tuple[int, ...]:
    """The orders that trade no more, and that no row from before can speak of any more."""
    speakable = {change.number for change in state.changes}
    speakable.update(row.number for row in state.order_rows)
    speakable.update(reply.number for reply in state.replies)
    return tuple(
        post.number
        for post in state.posts
        if post.phase in ("over", "never") and post.number not in speakable
    )


def _dead(state: State, silent: tuple[int, ...]) -> tuple[int, ...]:
    """
    Those of them that the core is done with, too: no request and no row about them is under way.

    One without a fill is never spoken of again, for a sync reads executions and open orders: it is
    as if it had not been. Of one with fills the executions may be read again, and all that the
    core asks of it then is whether it has them.
    """
    book, busy = state.book, {cancel.number for cancel in state.cancels if cancel.awaited}
    busy.update(number for number, _, _ in state.execution_rows)
    asked = {request.cl_ord_id for request in state.ledger.requests.values()}
    dead = []
    for number in silent:
        name = cl_ord_id_of(number)
        order = book.orders.get(name)
        if order is None or number in busy or name in asked:
            continue
        if order.status not in OVER or order.zombie or name == book.live or name in book.strays:
            continue
        if all(fill.booked for fill in state.post(number).fills):
            dead.append(number)
    return tuple(dead)


def _bury(book: Book, name: str, floor_us: int) -> None:
    """Of an order that is dead only the ids of its executions are asked for."""
    order = book.orders.pop(name)
    if not order.exec_ids:
        return
    book.orders[name] = Order(
        cl_ord_id=name, symbol=order.symbol, contracts=order.contracts, asked=order.contracts,
        price=order.price, reduce_only=False, target_version=0, position=0, placed_us=0,
        expires_us=NOW_US, policy="", request_id=0, status=order.status, order_id=order.order_id,
        filled=order.filled, booked=order.booked, exec_ids=order.exec_ids, over_us=NOW_US,
        over_venue_us=floor_us, seen_venue_us=floor_us,
    )  # fmt: skip


def _tidy_post(state: State, post: Post, silent: tuple[int, ...], floor_us: int) -> None:
    if post.phase != "wire":
        post.expires_us = 0  # it got in, or never will
    if post.sent_us and not state.request("placeorder", cl_ord_id_of(post.number)):
        post.sent_us = 0
    if post.number not in silent:
        return
    post.at_us = floor_us
    order = state.book.orders.get(cl_ord_id_of(post.number))
    if order is None or order.status in OVER:
        post.low = post.high = 0  # it fills no more
        for fill in post.fills:
            fill.at_us = floor_us
    if order is None and not post.sent_us:  # buried
        post.phase, post.contracts, post.reduce_only = "never", 1, False
        post.status = OrderStatus.NEW


def _all_booked(state: State) -> bool:
    own = all(fill.booked for post in state.posts for fill in post.fills)
    return own and all(fill.booked for fill in state.others)


def _tidy_book(book: Book) -> None:
    for name in BOOK_NOTES:
        setattr(book, name, 0)
    book.quote = None
    book.waiting_for, book.wants_quote = "", False
    book.placed_us, book.amended_us, book.futile_us = [], [], []
    book.orders_day = book.orders_today = 0  # what limits of money and of days are told from
    book.paid_minor, book.mark, book.result = None, None, Tally()
    book.changes, book.foreign_names = [], {}
    book.refusals = 0
    book.repairs = min(book.repairs, 1)
    book.frozen = book.frozen_by
    book.instrument_version = 1
    for name in ("position_read_again_us", "foreign_until_us", "refused_until_us"):
        if getattr(book, name) <= NOW_US:
            setattr(book, name, 0)
    if book.wake_us > NOW_US + 100 * UNIT_US:
        book.wake_us = NEVER_US  # to look for a better price, which there is never
    book.wake_us = max(book.wake_us, NOW_US)
    for exec_id in book.foreign_execs:
        book.foreign_execs[exec_id] = NOW_US
    target = book.target
    if target is not None:
        target.set_us = target.gap_since_us = 0
        target.work = Work()
        target.held = False


def _forget_notes(order: Order) -> None:
    """
    For people, and for the price of a row that is newer; prices stay as they are here.

    Here the venue's clock is never set back: of all rows seen, that of the end is the newest.
    """
    order.venue_status, order.seen_venue_us = None, order.over_venue_us


def _tidy_order(order: Order, book: Book) -> None:
    order.request_id = order.reads = order.priced_us = order.position = 0
    order.target_version = 0
    _forget_notes(order)
    live = order.status in ("intended", "working", "in_doubt")
    if order.status != "intended":
        order.placed_us = 0
    if order.status not in ("intended", "in_doubt"):
        order.expires_us = NOW_US
    if order.status != "working":
        order.working_us = 0
    if order.over_us is not None and order.status != "ended":
        order.over_us = NOW_US
    if not order.read_id:
        order.read_asked_us = 0
    if not live and order.status != "ended":
        order.read_again_us = 0
    elif order.read_again_us:
        order.read_again_us = max(order.read_again_us, NOW_US)
    if not live or order.cancel_again_us <= NOW_US:
        order.cancel_again_us = 0
    order.cancels = min(order.cancels, 2 if live else int(order.cancel_id > 0))
    if not order.cancel_id and book.state is not SymbolState.CANCELLING:
        order.cancel_sent_us = 0
    if order.doubt is not None:
        order.doubt.since_us, order.doubt.why = 0, ""


def _renumber(ledger: Ledger, book: Book) -> None:
    """Give the requests that are out the lowest numbers, in an order of their own."""
    asked = sorted(ledger.requests.items(), key=_by_name)
    ledger.requests = {
        str(number): msgspec.structs.replace(request, asked_us=NOW_US)  # each has its own end here
        for number, (_, request) in enumerate(asked, 1)
    }
    ledger.next_request_id = len(asked) + 1
    for new, (old_text, request) in enumerate(asked, 1):
        old = int(old_text)
        if request.type == "readposition" and book.position_id == old:
            book.position_id = -new
        elif request.cl_ord_id:
            order = book.orders[request.cl_ord_id]
            if request.type == "cancelorder" and order.cancel_id == old:
                order.cancel_id = -new
            elif request.type == "readorder" and order.read_id == old:
                order.read_id = -new
    book.position_id = abs(book.position_id)
    for order in book.orders.values():
        order.cancel_id, order.read_id = abs(order.cancel_id), abs(order.read_id)


def _by_name(item: tuple[str, Request]) -> tuple[str, str, int]:
    number, request = item
    return request.type, request.cl_ord_id, int(number)


def _tidy_changes(state: State, bounds: Bounds) -> None:
    """A change that every read must show by now is no longer news."""
    oldest_us = NOW_US
    for asked_us in (state.position_asked_us, state.resync_us):
        oldest_us = min(oldest_us, asked_us or NOW_US)
    if state.stream == "joining":
        oldest_us = min(oldest_us, state.stream_us)
    for order in state.book.orders.values():
        if order.read_id:
            oldest_us = min(oldest_us, order.read_asked_us)
    edge_us = oldest_us - bounds.lag * UNIT_US
    state.changes = [change for change in state.changes if change.at_us >= edge_us]
