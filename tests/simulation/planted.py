"""
Planted faults: guards of the product, removed or broken one at a time.

Each is a name, what it takes away, and how. Only tests apply them; `tests.simulation.hunt` says
which seed of the simulation notices, and after how many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.bitmex import answers, gateway, lookups, rest, session, sync, tables, vitals
from reconciler.core import apply, doubt, expect, fills, gate, orders, proving, review, working
from reconciler.core.events import (
    Answered,
    Halted,
    OrderRead,
    Outcome,
    PositionSeen,
    Started,
    Stopping,
    StreamLost,
    Throttled,
)
from reconciler.core.ledger import Doubt, Ledger
from reconciler.core.limits import guards, sizing
from reconciler.core.policy import policies, slices
from reconciler.core.portfolio import shares
from reconciler.core.targets import modes
from reconciler.core.turn import Turn
from reconciler.errors import StorageFault
from reconciler.service import engine
from reconciler.simulation import memory

Patch = pytest.MonkeyPatch
Fault = Callable[[Patch], None]


FAULTS: dict[str, Fault] = {}


def fault(plant: Fault) -> Fault:
    """Put it on the list."""
    FAULTS[plant.__name__] = plant
    return plant


def without(condition: str) -> None:
    """A condition of the gate is not asked."""

    def plant(patch: Patch) -> None:
        kept = tuple(c for c in gate.CONDITIONS if c.__name__ != condition)
        assert len(kept) == len(gate.CONDITIONS) - 1
        patch.setattr(gate, "CONDITIONS", kept)
        asked_again = AGAIN.get(condition)
        if asked_again is not None:
            left = tuple(g for g in guards.AT_ANY_PRICE if g.__name__ != asked_again)
            assert len(left) == len(guards.AT_ANY_PRICE) - 1
            patch.setattr(guards, "AT_ANY_PRICE", left)

    FAULTS[f"gate without {condition}"] = plant


#: A condition of the gate, and the guard that asks the same again.
AGAIN = {"_in_sync": "_stream"}


for _name in ("_stopped", "_in_sync", "_confirmed", "_instrument", "_clock", "_budget"):
    without(_name)


def ignoring(event: type) -> None:
    """The core does not take in an event."""

    def plant(patch: Patch) -> None:
        patch.setitem(apply._HANDLERS, event, lambda turn, event: None)

    FAULTS[f"{event.__name__} is ignored"] = plant


for _event in (StreamLost, Halted, Stopping, Throttled):
    ignoring(_event)


def wrapped(patch: Patch, module: Any, name: str, make: Callable[[Any], Any]) -> None:
    patch.setattr(module, name, make(getattr(module, name)))


@fault
def a_timeout_is_a_refusal(patch: Patch) -> None:
    def begin(turn: Any, book: Any, order: Any, why: str) -> None:
        refused = Answered(at_us=turn.at_us, request_id=0, outcome=Outcome.REFUSED, text=why)
        orders.refuse(turn, book, order, refused)

    patch.setattr(doubt, "begin", begin)


@fault
def one_empty_look_up_is_absence(patch: Patch) -> None:
    def see_nothing(turn: Any, book: Any, order: Any, asked_us: int) -> None:
        if order.doubt is not None:
            doubt.void(turn, book, order)

    patch.setattr(doubt, "see_nothing", see_nothing)


@fault
def no_barrier(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def begin(turn: Any, book: Any, order: Any, why: str) -> None:
            whole(turn, book, order, why)
            order.doubt = Doubt(since_us=turn.at_us, why=why, barrier_us=turn.at_us)

        return begin

    wrapped(patch, doubt, "begin", make)


@fault
def no_expiry(patch: Patch) -> None:
    patch.setattr(doubt, "may_be_expired", lambda turn, order: turn.ledger.in_sync)


@fault
def no_hold_time(patch: Patch) -> None:
    def see_nothing(turn: Any, book: Any, order: Any, asked_us: int) -> None:
        if order.doubt is not None and order.doubt.expired_us is not None:
            doubt.void(turn, book, order)

    patch.setattr(doubt, "see_nothing", see_nothing)


@fault
def a_doubt_never_ends(patch: Patch) -> None:
    patch.setattr(doubt, "see_barrier", lambda turn, order: None)


@fault
def a_restart_forgets(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def started(turn: Any, event: Any) -> None:
            for book in turn.ledger.books.values():
                order = book.order
                if order is not None and order.status == "intended":
                    answer = Answered(at_us=0, request_id=0, outcome=Outcome.NOT_SENT)
                    orders.refuse(turn, book, order, answer)
            whole(turn, event)

        return started

    patch.setitem(apply._HANDLERS, Started, make(apply._started))


@fault
def closed_without_its_fills(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def close(turn: Any, book: Any, order: Any) -> None:
            counted, order.filled = order.filled, order.booked
            whole(turn, book, order)
            order.filled = counted

        return close

    wrapped(patch, orders, "_close_if_complete", make)


@fault
def a_fill_is_booked_as_often_as_shown(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def book_execution(turn: Any, book: Any, row: Any, order: Any) -> bool:
            (order.exec_ids if order is not None else book.foreign_execs).clear()
            return bool(whole(turn, book, row, order))

        return book_execution

    wrapped(patch, fills, "book_execution", make)


@fault
def the_position_row_leads(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def see_position(turn: Any, book: Any, row: PositionSeen) -> None:
            if book.anchor is not None:
                book.position = row.contracts
            whole(turn, book, row)

        return see_position

    wrapped(patch, fills, "see_position", make)


@fault
def foreign_fills_are_not_booked(patch: Patch) -> None:
    patch.setattr(fills, "is_news", lambda turn, book, row: False)


@fault
def funding_moves_the_position(patch: Patch) -> None:
    def book_funding(turn: Any, book: Any, row: Any) -> None:
        if fills.is_news(turn, book, row) and book.anchor is not None:
            book.position += row.contracts

    patch.setattr(fills, "book_funding", book_funding)


@fault
def filled_follows_the_last_row(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def see_order(turn: Any, book: Any, order: Any, row: Any) -> None:
            if order.over_us is None:
                order.filled = min(order.filled, row.filled)
            whole(turn, book, order, row)

        return see_order

    wrapped(patch, orders, "see_order", make)


@fault
def late_rows_are_in_no_anchor(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def set_anchor(turn: Any, book: Any, contracts: int, venue_us: int) -> None:
            whole(turn, book, contracts, venue_us)
            book.anchor_venue_us = 0

        return set_anchor

    wrapped(patch, fills, "set_anchor", make)


@fault
def refusals_are_not_waited_for(patch: Patch) -> None:
    patch.setattr(Turn, "back_off", lambda turn, book, why: None)


@fault
def no_limit_of_orders(patch: Patch) -> None:
    patch.setattr(guards, "minute_is_full", lambda placed_us, at_us, most: None)


@fault
def no_order_size_limit(patch: Patch) -> None:
    def next_size(ledger: Ledger, book: Any, target: int) -> sizing.Size:
        gap = target - book.position
        return sizing.Size(gap, False, "")

    patch.setattr(sizing, "next_size", next_size)


@fault
def through_zero_in_one_order(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def next_size(ledger: Ledger, book: Any, target: int) -> sizing.Size:
            size: sizing.Size = whole(ledger, book, target)
            return sizing.Size(size.contracts * 2, False, size.why_not)

        return next_size

    wrapped(patch, sizing, "next_size", make)


@fault
def past_the_target_is_fine(patch: Patch) -> None:
    patch.setattr(sizing, "passes_the_target", lambda book, order, target: False)


@fault
def slices_are_of_any_size(patch: Patch) -> None:
    patch.setattr(slices, "cut", lambda policy, book, target, size, taking: (size, ""))


@fault
def a_touch_is_crossed_by_what_is_to_rest(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def price(policy: Any, stage: Any, basis: Any) -> Any:
            pricing = whole(policy, stage, basis)
            if isinstance(pricing, str) or not pricing.post_only or basis.other is None:
                return pricing
            return pricing._replace(price=basis.other)

        return price

    wrapped(patch, policies, "price", make)


@fault
def crossing_pays_anything(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def price(policy: Any, stage: Any, basis: Any) -> Any:
            pricing = whole(policy, stage, basis)
            if isinstance(pricing, str) or not pricing.immediate:
                return pricing
            return pricing._replace(price=pricing.price + basis.side * basis.tick)

        return price

    wrapped(patch, policies, "price", make)


@fault
def halted_orders_stay(patch: Patch) -> None:
    patch.setattr(working, "unwanted", lambda look, order: "")


@fault
def a_person_s_pause_is_not_heard(patch: Patch) -> None:
    patch.setattr(modes, "PAUSE", "never")


@fault
def reduce_only_is_not_heard(patch: Patch) -> None:
    patch.setattr(modes, "only_reduces", lambda ledger, book: "")
    patch.setattr(modes, "reach", lambda ledger, book, target: target)


@fault
def missing_fills_are_not_looked_up(patch: Patch) -> None:
    patch.setattr(proving, "look_up", lambda look, order: None)


@fault
def the_position_is_never_read(patch: Patch) -> None:
    patch.setattr(proving, "check_position", lambda look: None)


@fault
def no_settling(patch: Patch) -> None:
    patch.setattr(review, "coherent", lambda ledger, book: True)


@fault
def request_numbers_stand_still(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def place(turn: Any, decision: Any) -> None:
            whole(turn, decision)
            turn.ledger.next_order_number = 1

        return place

    patch.setitem(expect._HANDLERS, expect.PlaceOrder, make(expect._place))


@fault
def any_503_is_a_refusal(patch: Patch) -> None:
    patch.setitem(answers.CODES_BY_STATUS, 503, "overloaded")


@fault
def a_502_is_a_refusal(patch: Patch) -> None:
    def doubt_of(asked: Any, reply: Any, at_us: int, code: str, text: str = "") -> Answered:
        return answers._answered(asked, Outcome.REFUSED, at_us, code=code, reply=reply)

    patch.setattr(answers, "_doubt", doubt_of)


@fault
def a_failure_is_not_sent(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def events_of(asked: Any, answer: Any, at_us: int) -> list[Any]:
            if isinstance(answer, answers.Failure):
                answer = answers.Failure(code=answer.code, unsent=True)
            found: list[Any] = whole(asked, answer, at_us)
            return found

        return events_of

    wrapped(patch, answers, "events_of", make)


@fault
def no_overlap_and_no_lag(patch: Patch) -> None:
    patch.setattr(sync, "OVERLAP_US", 0)
    patch.setattr(sync, "LAG_US", -30_000_000)


@fault
def silence_is_patience(patch: Patch) -> None:
    patch.setattr(session, "SILENCE_US", 10**12)
    patch.setattr(tables, "MUTE_US", 10**12)  # or the next audit would find it, half a minute late


@fault
def a_pause_is_nothing(patch: Patch) -> None:
    patch.setattr(gateway, "PAUSE_US", 10**12)
    patch.setattr(gateway, "BLIND_US", 10**12)


@fault
def live_before_it_was_read(patch: Patch) -> None:
    patch.setattr(gateway.BitmexGateway, "_live", True)
    patch.setattr(gateway.BitmexGateway, "_sees", lambda self, now_us: True)
    patch.setitem(apply._HANDLERS, StreamLost, lambda turn, event: None)


@fault
def a_stop_withdraws_nothing(patch: Patch) -> None:
    patch.setattr(engine, "STOPS", ())


@fault
def rows_never_seen_are_fine(patch: Patch) -> None:
    patch.setattr(tables.Accounts, "unexplained", lambda self, name: False)


@fault
def absent_is_zero(patch: Patch) -> None:
    def update(self: Any, row: dict[str, object]) -> dict[str, object] | None:
        key = self._find(row)
        if key is None:
            return None
        self.rows[key] = {**row}
        return self.rows[key]

    patch.setattr(tables.Table, "_update", update)


@fault
def sent_before_it_is_written_down(patch: Patch) -> None:
    def handle(self: Any, events: Any) -> None:
        pending = engine.deque(events)
        while pending and not self.failed:
            steps = self._step_all(pending)
            for _, decisions, _ in steps:
                for decision in decisions:
                    pending.extend(self.venue.send(decision))
            self._record(steps)

    patch.setattr(engine.Engine, "handle", handle)


@fault
def the_watermark_is_our_own_clock(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def begin(self: Any, now_us: int) -> None:
            whole(self, now_us)
            self.watermark_us = max(self.watermark_us, now_us)

        return begin

    wrapped(patch, sync.Sync, "begin", make)


@fault
def the_welcome_tells_no_time(patch: Patch) -> None:
    patch.setattr(vitals.Vitals, "welcomed", lambda *_: None)


@fault
def a_failed_commit_is_no_end(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def record(self: Any, steps: Any) -> None:
            try:
                whole(self, steps)
            except StorageFault:
                self.failed = False

        return record

    wrapped(patch, engine.Engine, "_record", make)


@fault
def a_start_forgets_what_was_decided(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        return lambda ledger, event, decisions: whole(ledger, event, ())

    wrapped(patch, memory, "recall", make)


@fault
def a_look_up_that_failed_found_nothing(patch: Patch) -> None:
    def hand_over(self: Any, found: list[Any]) -> None:
        whole(self, [_nothing_found(event) for event in found])

    whole = lookups.LookUps._hand_over
    patch.setattr(lookups.LookUps, "_hand_over", hand_over)


def _nothing_found(event: Any) -> Any:
    if not isinstance(event, Answered) or event.outcome is Outcome.DONE:
        return event
    number = event.request_id
    return OrderRead(at_us=0, request_id=number, cl_ord_id="", orders=0, executions=0)


@fault
def a_sync_is_done_before_its_fills_are_read(patch: Patch) -> None:
    def since(self: Any, *args: Any) -> list[Any]:
        whole(self, *args)
        return []

    whole = rest.Reader.executions_since
    patch.setattr(rest.Reader, "executions_since", since)


@fault
def parts_are_rounded_down(patch: Patch) -> None:
    patch.setattr(
        shares, "split", lambda total, weights: [total * w // sum(weights) for w in weights]
    )


@fault
def strategies_pass_nothing_on(patch: Patch) -> None:
    patch.setattr(shares, "cross", lambda turn, book: None)


@fault
def funding_is_not_shared(patch: Patch) -> None:
    patch.setattr(shares, "share_funding", lambda turn, book, row: None)
