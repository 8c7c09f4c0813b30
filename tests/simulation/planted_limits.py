"""
Planted faults of limits: each guard of what an order may risk or cost, removed by itself.

Where two guards keep one promise, both go: `sizing` cuts an order to what `guards` would refuse.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from reconciler.core import apply, review
from reconciler.core.events import Started
from reconciler.core.ledger import NEVER_US, Ledger
from reconciler.core.limits import guards, sizing, watch
from reconciler.core.limits.results import Tally
from reconciler.core.settings import Settings
from reconciler.core.targets import intake, modes, schedules, wishes
from tests.simulation.planted import FAULTS, Patch, fault, wrapped

__all__ = ["FAULTS", "LIMITS"]


def without_guard(patch: Patch, guard: str) -> None:
    names = ("AT_ANY_PRICE", "OF_REQUESTS", "BEFORE_A_PRICE", "CUT_TO", "OF_SIZE", "LASTING")
    left = 0
    for name in names:
        asked = getattr(guards, name)
        kept = tuple(one for one in asked if one.__name__ != guard)
        left += len(asked) - len(kept)
        patch.setattr(guards, name, kept)
    assert left, f"there is no guard {guard}"
    # What is kept of an answer was asked of all of them.
    patch.setattr(guards, "asked_under", lru_cache(guards.asked_under.__wrapped__))


def unguarded(guard: str) -> None:
    """A limit is asked of no order, neither when it is decided nor before it leaves."""

    def plant(patch: Patch) -> None:
        without_guard(patch, guard)
        if "notional" in guard:
            patch.setattr(guards, "fitted", lambda ledger, book, size, price, rules: size)

    FAULTS[f"guards without {guard}"] = plant


for _name in ("_orders_a_day", "_order_notional", "_position_notional", "_open_orders",
              "_uncrossed", "_collar", "_hits", "_margin_known", "_liquidation_known"):  # fmt: skip
    unguarded(_name)

#: The faults from here on: limits that only the lives with tight ones reach.
_BEFORE = frozenset(FAULTS)


@fault
def no_order_is_too_large(patch: Patch) -> None:
    without_guard(patch, "_order_size")
    unlimited(patch, max_order_contracts=10**9)


@fault
def no_position_is_too_large(patch: Patch) -> None:
    without_guard(patch, "_position")
    unlimited(patch, max_position_contracts=10**9)


def unlimited(patch: Patch, **lifted: int) -> None:
    """The size of an order is cut to no limit of these names."""

    def next_size(ledger: Ledger, book: Any, target: int) -> sizing.Size:
        settings: Settings = ledger.settings
        ledger.settings = replace(settings, limits=replace(settings.limits, **lifted))
        try:
            return whole(ledger, book, target)
        finally:
            ledger.settings = settings

    whole = sizing.next_size
    patch.setattr(sizing, "next_size", next_size)


def never_reached(name: str) -> None:
    """A limit of losses is not looked at: of no symbol, and not of the account."""

    def plant(patch: Patch) -> None:
        whole = watch._losses

        def losses(hits: Any, whose: str, limits: Any, tally: Any, at_us: int) -> None:
            whole(hits, whose, limits, tally, at_us)
            hits.pop(f"{whose}{name}", None)

        patch.setattr(watch, "_losses", losses)

    FAULTS[f"{name} is never reached"] = plant


for _name in ("max_daily_loss_minor", "max_drawdown_minor"):
    never_reached(_name)


@fault
def no_margin_is_too_small(patch: Patch) -> None:
    patch.setattr(watch, "_margins", lambda ledger, at_us: None)


@fault
def no_liquidation_is_too_near(patch: Patch) -> None:
    patch.setattr(watch, "_liquidation", lambda book, least, at_us: None)


@fault
def nothing_runs_away(patch: Patch) -> None:
    patch.setattr(watch, "_runaway", lambda turn, book, rules: None)


@fault
def what_rests_stays_beyond_a_limit(patch: Patch) -> None:
    patch.setattr(guards, "to_take_back", lambda ledger, book, reduces: "")


@fault
def a_restart_renews_the_minute(patch: Patch) -> None:
    patch.setattr(apply, "_of_last_minute", lambda turn, times_us: [])


def forgotten(name: str, forget: Any) -> None:
    """A restart begins something anew."""

    def plant(patch: Patch) -> None:
        whole = apply._HANDLERS[Started]

        def started(turn: Any, event: Any) -> None:
            whole(turn, event)
            for one in (turn.ledger, *turn.ledger.books.values()):
                forget(one)

        patch.setitem(apply._HANDLERS, Started, started)

    FAULTS[name] = plant


def _today(one: Any) -> None:
    one.orders_today = 0


def _losses_so_far(one: Any) -> None:
    one.hits = {}
    if isinstance(one, Ledger):
        one.results = {}
    else:
        one.result = Tally()


forgotten("a restart renews the day", _today)
forgotten("a restart forgets what was lost", _losses_so_far)


@fault
def a_target_never_runs_out(patch: Patch) -> None:
    patch.setattr(review, "expire_target", lambda turn, book: None)


def _with_ends(name: str, change: Any) -> None:
    """*change* is made to the target of a book before its end is looked at."""

    def plant(patch: Patch) -> None:
        def make(whole: Any) -> Any:
            def expire(turn: Any, book: Any) -> None:
                target = book.target
                if target is not None and target.expires_us is not None:
                    change(target, turn.at_us)
                whole(turn, book)

            return expire

        wrapped(patch, review, "expire_target", make)

    FAULTS[name] = plant


def _early(target: Any, at_us: int) -> None:
    if target.expires_us < at_us + 2_000_000:
        target.expires_us = at_us


def _held(target: Any, at_us: int) -> None:
    if target.on_expiry == "flatten":
        target.on_expiry = "hold"


_with_ends("a_target_runs_out_early", _early)
_with_ends("what_was_to_be_flattened_is_held", _held)


@fault
def a_flatten_is_only_a_reduce_only(patch: Patch) -> None:
    def reach(ledger: Ledger, book: Any, target: int) -> int:
        if modes.FLATTEN not in (ledger.mode, book.mode) or target * book.position <= 0:
            return whole(ledger, book, target)
        return target if abs(target) < abs(book.position) else int(book.position)

    whole = modes.reach
    patch.setattr(modes, "reach", reach)


@fault
def a_stranger_freezes_nothing(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def freeze(turn: Any, book: Any, kind: str, summary: str) -> None:
            if kind != "foreign_order":
                whole(turn, book, kind, summary)

        return freeze

    wrapped(patch, apply.Turn, "freeze", make)


@fault
def who_was_told_too_late_wins(patch: Patch) -> None:
    """Compare-and-set compares nothing."""

    def make(whole: Any) -> Any:
        return lambda ledger, wanted, *args: whole(ledger, replace(wanted, if_version=None), *args)

    wrapped(patch, intake, "accept", make)


@fault
def a_row_comes_due_again(patch: Patch) -> None:
    patch.setattr(wishes, "_row_done", lambda turn, row: _one_less(turn, row))


def _one_less(turn: Any, row: str) -> None:
    name, _, number = row.rpartition("/")
    if name in turn.ledger.schedules:
        turn.ledger.schedule_done[name] = int(number) + (turn.at_us % 2)


@fault
def rows_that_came_due_in_a_crash_are_lost(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def started(turn: Any, event: Any) -> None:
            whole(turn, event)
            for name, table in turn.ledger.schedules.items():
                past = sum(row.due_us <= turn.at_us for row in table.rows)
                turn.ledger.schedule_done[name] = past

        return started

    patch.setitem(apply._HANDLERS, Started, make(apply._HANDLERS[Started]))


@fault
def a_row_waits_until_something_else_happens(patch: Patch) -> None:
    """Nobody is woken for it."""
    patch.setattr(schedules, "next_due_us", lambda ledger: NEVER_US)


@fault
def a_row_overrules_what_was_said_since(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def next_event(ledger: Any, at_us: int) -> Any:
            before = {symbol: book.version_us for symbol, book in ledger.books.items()}
            for book in ledger.books.values():
                book.version_us = 0
            found = whole(ledger, at_us)
            for symbol, version_us in before.items():
                ledger.books[symbol].version_us = version_us
            return found

        return next_event

    wrapped(patch, schedules, "next_event", make)


LIMITS = frozenset(FAULTS) - _BEFORE
