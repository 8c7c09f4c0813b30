"""Planted faults of policies: each works a target otherwise than it was set to."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from reconciler.core import apply, expect, fills
from reconciler.core.decisions import AmendOrder
from reconciler.core.events import Started
from reconciler.core.policy import ladder, policies, repricing, slices
from reconciler.service import netting, signalling
from reconciler.strategy import portfolio
from tests.simulation.planted import FAULTS, Patch, fault, wrapped

__all__ = ["FAULTS", "NETTING", "POLICIES"]

_BEFORE = frozenset(FAULTS)


@fault
def last_is_a_tick_too_good(patch: Patch) -> None:
    def last(policy: Any, stage: Any, basis: Any) -> Any:
        return whole(policy, replace(stage, offset_ticks=stage.offset_ticks + 1), basis)

    whole = policies._WAYS["last"]
    patch.setitem(policies._WAYS, "last", last)


@fault
def a_signal_follows_the_market(patch: Patch) -> None:
    def signal(policy: Any, stage: Any, basis: Any) -> Any:
        return whole(policy, stage, basis._replace(signal=basis.signal and basis.other))

    whole = policies._WAYS["signal"]
    patch.setitem(policies._WAYS, "signal", signal)


@fault
def a_price_is_never_too_young(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def cadence(look: Any, order: Any, *args: Any) -> tuple[int, int]:
            return order.priced_us, int(whole(look, order, *args)[1])

        return cadence

    wrapped(patch, repricing, "_cadence", make)


@fault
def every_tick_is_followed(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def worth(policy: Any, *args: Any, anew: bool, harder: bool) -> bool:
            return bool(whole(replace(policy, reprice_ticks=1), *args, anew=anew, harder=harder))

        return worth

    wrapped(patch, policies, "worth_an_amend", make)


@fault
def amends_have_no_budget(patch: Patch) -> None:
    patch.setattr(repricing, "_over_budget", lambda look, order, policy, step: False)


@fault
def amends_are_not_counted(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def amend(turn: Any, decision: Any) -> None:
            whole(turn, decision)
            turn.ledger.book(decision.symbol).orders[decision.cl_ord_id].amends = 0

        return amend

    patch.setitem(expect._HANDLERS, AmendOrder, make(expect._amend))


@fault
def a_way_is_a_step_ahead(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def path_of(*args: Any) -> Any:
            path = whole(*args)
            return path._replace(due=min(path.due + 1, path.steps))

        return path_of

    wrapped(patch, slices, "path_of", make)


@fault
def a_restart_begins_the_way_anew(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def started(turn: Any, event: Any) -> None:
            whole(turn, event)
            for book in turn.ledger.books.values():
                if book.target is not None:
                    book.target.work.path_us, book.target.work.path_from = turn.at_us, None

        return started

    patch.setitem(apply._HANDLERS, Started, make(apply._HANDLERS[Started]))


@fault
def a_share_is_of_the_other_side(patch: Patch) -> None:
    whole = slices._resting
    patch.setattr(slices, "_resting", lambda quote, buys, taking: whole(quote, buys, not taking))


@fault
def a_share_is_all_there_is(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def cut(policy: Any, *args: Any) -> Any:
            return whole(replace(policy, slice_book_percent=0), *args)

        return cut

    wrapped(patch, slices, "cut", make)


def begin(work: Any, at_us: int) -> None:
    """The first stage is on, from now."""
    ladder.rest(work)
    work.rung_since_us = at_us


@fault
def a_fill_makes_patient_again(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def book_execution(turn: Any, book: Any, row: Any, order: Any) -> bool:
            booked = bool(whole(turn, book, row, order))
            if booked and book.target is not None:
                begin(book.target.work, turn.at_us)
            return booked

        return book_execution

    wrapped(patch, fills, "book_execution", make)


@fault
def a_start_makes_patient_again(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def started(turn: Any, event: Any) -> None:
            whole(turn, event)
            for book in turn.ledger.books.values():
                if book.target is not None:
                    begin(book.target.work, turn.at_us)

        return started

    patch.setitem(apply._HANDLERS, Started, make(apply._HANDLERS[Started]))


@fault
def what_rests_does_not_hear_the_deadline(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def step(order: Any, target: Any, policy: Any, rung: int) -> str:
            return "" if target.deadline_us is not None else str(whole(order, target, policy, rung))

        return step

    wrapped(patch, repricing, "_step", make)


POLICIES = frozenset(FAULTS) - _BEFORE


@fault
def rounding_is_always_to_the_nearest(patch: Patch) -> None:
    patch.setattr(portfolio, "_KEEP", 0)


@fault
def a_cap_is_cut_after_rounding(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def net(self: Any, signals: Any, lots: Any, before: Any) -> Any:
            return whole(self, signals, dict.fromkeys(lots, 1), before)

        return net

    wrapped(patch, portfolio.Netter, "net", make)


@fault
def a_batch_takes_its_first_signal(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def take(self: Any, ledger: Any) -> Any:
            del self._waiting[1:]
            return whole(self, ledger)

        return take

    wrapped(patch, signalling.Desk, "_take", make)


@fault
def a_target_names_old_signals(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def in_force(self: Any, symbol: str) -> Any:
            before = self.ledger.signals.get(symbol, {})
            return {k: before.get(k, v) for k, v in whole(self, symbol).items()}

        return in_force

    wrapped(patch, netting._Batch, "in_force", make)


@fault
def weights_wait_for_a_signal(patch: Patch) -> None:
    patch.setattr(signalling.Desk, "rebalance", lambda self, ledger, why: ())


@fault
def a_start_forgets_signals(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def started(turn: Any, event: Any) -> None:
            whole(turn, event)
            turn.ledger.signals.clear()

        return started

    patch.setitem(apply._HANDLERS, Started, make(apply._HANDLERS[Started]))


NETTING = frozenset(FAULTS) - _BEFORE - POLICIES
