"""
Take in one event: the only place where the ledger learns anything.

One handler an event. What a row proves is in `orders`, what it moves is in `fills`, what follows
from time alone is in `review`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reconciler.core import doubt, fills, orders, review
from reconciler.core.events import (
    OVER,
    Adjusted,
    Answered,
    AnyEvent,
    ClockMeasured,
    Configured,
    DeadManAcked,
    ExecutionSeen,
    Halted,
    InstrumentSeen,
    MarginSeen,
    ModeSet,
    OrderRead,
    OrderSeen,
    Outcome,
    PositionSeen,
    Quoted,
    Resolved,
    Resumed,
    ScheduleSet,
    Signalled,
    Started,
    Stopping,
    StrategyChanged,
    StreamLost,
    Synced,
    TargetRefused,
    TargetSet,
    Throttled,
    Tick,
)
from reconciler.core.ledger import NO_ANSWER_US, SYNC_AGAIN_US, Book, Order
from reconciler.core.lifecycle import State
from reconciler.core.limits import watch
from reconciler.core.targets import modes, wishes
from reconciler.core.trouble import mismatch, resolve, strangers
from reconciler.core.turn import Turn

MINUTE_US = 60_000_000
HORIZON_US = 3_600_000_000  # rows this much older than the watermark are known and forgotten


def apply(turn: Turn, event: AnyEvent) -> None:
    """Move the ledger by *event*."""
    if type(event) is Started:
        _carry_over(turn)
    turn.ledger.at_us = turn.at_us
    if turn.at_us >= turn.ledger.modes_end_us:
        modes.end_due(turn)
    quote = getattr(event, "quote", None)
    if type(quote) is Quoted:
        _quoted(turn, quote)
    _HANDLERS[type(event)](turn, event)


def _started(turn: Turn, event: Started) -> None:
    """Whatever a crash or a stop interrupted takes the path of a lost answer."""
    ledger = turn.ledger
    ledger.run = event
    ledger.stopping = ""
    ledger.keep_orders = False
    ledger.clock_error_us = None
    ledger.throttled_until_us = 0
    ledger.dead_man_armed = False
    ledger.dead_man_acked_us = ledger.dead_man_asked_us = 0
    ledger.sync_asked_us = None
    ledger.sync_again_us = 0
    ledger.requests.clear()
    _out_of_sync(turn)
    for book in ledger.books.values():
        book.quote = None
        book.position_id = book.position_read_again_us = 0
        book.refused_until_us = book.foreign_until_us = book.anchor_again_us = 0
        book.futile_us = [turn.at_us] * len(book.futile_us)  # clocks of two runs: as above
        book.waiting_for = ""
        strangers.restart(book)
        if book.target is not None:  # clocks of two runs are not compared
            book.target.work.path_us = min(book.target.work.path_us, turn.at_us)
        for order in book.orders.values():  # one that is over may yet come alive again
            order.cancel_sent_us = order.read_asked_us = 0
            order.cancel_id = order.read_id = order.cancel_again_us = order.read_again_us = 0
        for order in book.own_orders():
            # Clocks of two runs are not compared: whatever we saw, we saw it just now.
            order.working_us = turn.at_us
            order.priced_us = min(order.priced_us, turn.at_us)
            order.over_us = None if order.over_us is None else min(order.over_us, turn.at_us)
            if order.doubt is not None or order.status == "ended":
                order.read_again_us = turn.at_us
            if order.amend_id:
                order.amend_id, order.price_in_doubt = 0, True
            if order.quarantined_until_us:  # counted anew
                order.quarantined_until_us = turn.at_us + ledger.settings.timing.quarantine_us
            if order.status == "intended":
                doubt.begin(turn, book, order, "the service stopped before an answer came")
    turn.touch_all()


def _carry_over(turn: Turn) -> None:
    """
    The last run's minute goes on in this one, as if no time had passed between them.

    Clocks of two runs are not compared: one that was set forward by an hour would renew the limits
    on the orders of a minute, one that was set back would keep them shut for an hour.
    """
    ledger = turn.ledger
    ledger.placed_us = _of_last_minute(turn, ledger.placed_us)
    for book in ledger.books.values():
        book.placed_us = _of_last_minute(turn, book.placed_us)
        book.amended_us = _of_last_minute(turn, book.amended_us)


def _of_last_minute(turn: Turn, times_us: list[int]) -> list[int]:
    """What was in the minute before the newest event, by the clock of then, by the one of now."""
    then_us = turn.ledger.at_us
    return [turn.at_us - (then_us - us) for us in times_us if us > then_us - MINUTE_US]


def _configured(turn: Turn, event: Configured) -> None:
    before, turn.ledger.settings = turn.ledger.settings, event.settings
    for symbol in event.settings.symbols:
        turn.ledger.book(symbol)
    watch.configured(turn.ledger, before)
    turn.touch_all()


def _stopping(turn: Turn, event: Stopping) -> None:
    turn.ledger.stopping = event.reason
    turn.ledger.keep_orders = event.keep_orders
    turn.touch_all()


def _instrument(turn: Turn, event: InstrumentSeen) -> None:
    book = turn.ledger.book(event.symbol)
    if book.instrument is not None and book.instrument.open and not event.open:
        turn.asked_anew(book, f"the market is {event.state}")  # that is why it refused
    book.instrument = event
    book.instrument_version += 1
    turn.touch(book)


def _quoted(turn: Turn, event: Quoted) -> None:
    book = turn.ledger.book(event.symbol)
    book.quote = event
    book.wants_quote = False
    turn.touch(book)


def _order(turn: Turn, row: OrderSeen) -> None:
    book = turn.ledger.book(row.symbol)
    order = orders.find(turn, row.symbol, row.cl_ord_id, row.order_id)
    if order is not None:
        orders.see_order(turn, book, order, row)
        return
    run = turn.ledger.run
    if row.status in OVER:
        book.foreign_orders.pop(row.order_id, None)
        strangers.forget(turn, book)
    else:
        side = 1 if row.contracts > 0 else -1
        known = row.order_id in book.foreign_orders
        book.foreign_orders[row.order_id] = side * row.leaves
        if row.cl_ord_id:
            book.foreign_names[row.order_id] = row.cl_ord_id
        if run is not None and row.cl_ord_id.startswith(run.id_install):
            orders.unknown_own(turn, row.symbol, row.cl_ord_id)
        elif not known and turn.ledger.settings.foreign_orders == "freeze":
            turn.freeze(book, "foreign_order", f"{row.contracts:+d} rests that is not ours")
    turn.position_moved(book)
    turn.touch(book)


def _execution(turn: Turn, row: ExecutionSeen) -> None:
    book = turn.ledger.book(row.symbol)
    order = orders.find(turn, row.symbol, row.cl_ord_id, row.order_id)
    orders.see_execution(turn, book, order, row)


def _position(turn: Turn, row: PositionSeen) -> None:
    fills.see_position(turn, turn.ledger.book(row.symbol), row)


def _margin(turn: Turn, event: MarginSeen) -> None:
    turn.ledger.margins[event.currency] = event
    if event.currency not in turn.ledger.margins_told:
        turn.ledger.margins_told.append(event.currency)
    if turn.ledger.settings.of_margin:
        turn.touch_all()


def _stream_lost(turn: Turn, event: StreamLost) -> None:
    _out_of_sync(turn)
    turn.touch_all()


def _out_of_sync(turn: Turn) -> None:
    """Nothing is certain but what is stored. Every proof under way begins anew."""
    turn.ledger.in_sync = False
    turn.ledger.margins_told = []
    turn.ledger.sync_asked_us = None
    for book in turn.ledger.books.values():
        book.confirmed = False
        book.differs_since_us = None
        for order in book.own_orders():
            if order.doubt is not None:
                order.doubt.expired_us = None
                order.doubt.barrier_us = None
                order.doubt.empty_read_us = None


def _synced(turn: Turn, event: Synced) -> None:
    ledger = turn.ledger
    first = not ledger.in_sync
    ledger.in_sync = True
    ledger.synced_us = turn.at_us
    ledger.sync_asked_us = None
    ledger.watermark_us = max(ledger.watermark_us, event.watermark_us)
    ledger.horizon_us = max(ledger.horizon_us, ledger.watermark_us - HORIZON_US)
    resting = set(event.open_order_ids)
    for book in ledger.books.values():
        if book.anchor is None:
            fills.find_anchor(turn, book)
        book.foreign_orders = {k: v for k, v in book.foreign_orders.items() if k in resting}
        strangers.forget(turn, book)
        for order in book.own_orders():
            if order.status == "working" and order.order_id not in resting:
                # It ended while we were not looking, or is younger than what reads show.
                order.read_again_us = order.read_again_us or turn.at_us
        if first:
            book.confirmed = book.anchor is not None and book.venue_position == book.position
            book.differs_since_us = None if book.confirmed else turn.at_us
        _forget_old(turn, book)
    turn.touch_all()


def _forget_old(turn: Turn, book: Book) -> None:
    """Drop what no row can speak of any more: rows before the horizon are ignored."""
    horizon_us = turn.ledger.horizon_us
    book.foreign_execs = {k: v for k, v in book.foreign_execs.items() if v >= horizon_us}
    keep = {order.cl_ord_id for order in book.own_orders()}
    for name, order in list(book.orders.items()):
        newest_us = max(order.seen_venue_us, order.over_venue_us, order.expires_us)
        if name not in keep and newest_us < horizon_us:
            del book.orders[name]


def _clock(turn: Turn, event: ClockMeasured) -> None:
    ledger = turn.ledger
    was_good = ledger.clock_is_good()
    ledger.clock_offset_us = event.offset_us
    ledger.clock_error_us = event.error_us
    ledger.clock_at_us = turn.at_us
    if not was_good:
        turn.touch_all()


def _answered(turn: Turn, answer: Answered) -> None:
    request = turn.ledger.requests.pop(str(answer.request_id), None)
    if request is None:
        return  # of a run that is over: the journal keeps it, nothing follows
    if request.type == "resync":
        if answer.outcome is not Outcome.DONE:
            turn.ledger.sync_asked_us = None
            turn.ledger.sync_again_us = turn.at_us + max(SYNC_AGAIN_US, answer.retry_after_us)
            for book in turn.ledger.books.values():
                book.repairs = 0  # a repair that did not happen is none
        turn.touch_all()
        return
    if not request.symbol:
        return
    book = turn.ledger.book(request.symbol)
    turn.touch(book)
    if request.type == "readposition":
        book.position_id = 0
        wait_us = turn.ledger.settings.timing.position_read_us * 4
        book.position_read_again_us = turn.at_us + wait_us
        return
    order = book.orders.get(request.cl_ord_id)
    if order is None:
        strangers.see_answer(turn, book, answer)
        return
    if request.type == "placeorder":
        orders.see_place_answer(turn, book, order, answer)
    elif request.type == "cancelorder":
        orders.see_cancel_answer(turn, book, order, answer)
    elif request.type == "amendorder":
        orders.see_amend_answer(turn, book, order, answer)
    else:
        order.read_id = 0  # it failed: it says nothing
        order.read_again_us = turn.at_us + max(_read_wait_us(turn, order), answer.retry_after_us)


def _order_read(turn: Turn, event: OrderRead) -> None:
    request = turn.ledger.requests.get(str(event.request_id))
    if request is None or request.type != "readorder":
        return
    del turn.ledger.requests[str(event.request_id)]
    book = turn.ledger.book(request.symbol)
    turn.touch(book)
    order = book.orders.get(request.cl_ord_id)
    if order is None:
        return
    asked_us, order.read_id = order.read_asked_us, 0
    timing = turn.ledger.settings.timing
    owed = order.doubt is not None or order.status == "ended" or book.state is State.FILLED
    order.read_again_us = turn.at_us + _read_wait_us(turn, order) if owed else 0
    if event.orders or event.executions:
        return
    doubt.see_nothing(turn, book, order, asked_us)
    if order.status != "working":
        return
    shown_us = order.working_us + timing.read_lag_us + 1
    if asked_us < shown_us:
        order.read_again_us = max(turn.at_us, shown_us)  # it may only be too young to be shown
    else:
        turn.freeze(
            book,
            "vanished_order",
            f"{order.cl_ord_id}: the venue showed it alive, and now has no trace of it",
        )


def _read_wait_us(turn: Turn, order: Order) -> int:
    """Fills that stay missing are looked for less and less often; a doubt is not left waiting."""
    patience = min(order.reads // 5, 4) if order.status == "ended" else 0
    return turn.ledger.settings.timing.read_every_us << patience


def _throttled(turn: Turn, event: Throttled) -> None:
    turn.ledger.throttled_until_us = max(turn.ledger.throttled_until_us, event.until_us)
    turn.ledger.throttled_why = event.reason
    turn.touch_all()


def _dead_man(turn: Turn, event: DeadManAcked) -> None:
    ledger = turn.ledger
    ledger.dead_man_armed = event.timeout_ms > 0
    # The venue counts from when it was asked; the answer may have waited for us since.
    ledger.dead_man_acked_us = ledger.dead_man_asked_us if event.timeout_ms else 0
    turn.touch_all()


def _resumed(turn: Turn, event: Resumed) -> None:
    ledger = turn.ledger
    modes.resume(turn, event)
    watch.resumed(turn, event.symbols)
    whose = event.symbols or tuple(ledger.books)
    if not event.symbols:
        ledger.frozen = ""
        turn.close_incidents("", f"resumed: {event.reason}", event.by)
    for symbol in whose:
        book = ledger.book(symbol)
        vanished = book.frozen_by == "vanished_order"
        book.frozen = book.frozen_by = ""
        book.repairs = 0
        book.differs_since_us = None if book.confirmed else turn.at_us
        book.refusals = book.refused_until_us = 0
        if event.adopt:
            orders.close_short(turn, book, event.by, vanished=vanished)
        turn.close_incidents(symbol, f"resumed: {event.reason}", event.by)
        turn.touch(book)


def _adjusted(turn: Turn, event: Adjusted) -> None:
    book = turn.ledger.book(event.symbol)
    fills.adjust(turn, book, event)
    mismatch.remember(book, event)


def _target_set(turn: Turn, event: TargetSet) -> None:
    """What ran out before it was replaced has run out, though nobody had looked since."""
    review.expire_target(turn, turn.ledger.book(event.symbol))
    wishes.set_target(turn, event)


def _tick(turn: Turn, event: Tick) -> None:
    for number in sorted(turn.ledger.requests, key=int):
        if turn.at_us < turn.ledger.requests[number].asked_us + NO_ANSWER_US:
            continue
        nobody = Answered(
            at_us=turn.at_us, request_id=int(number), outcome=Outcome.IN_DOUBT, code="no_answer"
        )
        _answered(turn, nobody)
    for book in turn.ledger.books.values():
        if book.wake_us <= turn.at_us:
            turn.touch(book)


_HANDLERS: dict[type, Callable[[Turn, Any], None]] = {
    Started: _started,
    Configured: _configured,
    Stopping: _stopping,
    InstrumentSeen: _instrument,
    Quoted: _quoted,
    OrderSeen: _order,
    ExecutionSeen: _execution,
    PositionSeen: _position,
    MarginSeen: _margin,
    StreamLost: _stream_lost,
    Synced: _synced,
    ClockMeasured: _clock,
    Answered: _answered,
    OrderRead: _order_read,
    Throttled: _throttled,
    DeadManAcked: _dead_man,
    TargetSet: _target_set,
    TargetRefused: wishes.refused,
    Signalled: wishes.signalled,
    StrategyChanged: wishes.strategy_changed,
    ScheduleSet: wishes.set_schedule,
    ModeSet: modes.set_mode,
    Halted: modes.halt,
    Resumed: _resumed,
    Adjusted: _adjusted,
    Resolved: resolve.resolve,
    Tick: _tick,
}
