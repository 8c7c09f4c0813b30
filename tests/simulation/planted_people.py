"""Planted faults of what people and rules decide: each settles, or lets pass, what it must not."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from reconciler.core import apply
from reconciler.core.events import Adjusted, Started, TargetSet
from reconciler.core.limits import usual
from reconciler.core.targets import amounts
from reconciler.core.trouble import mismatch, resolve
from reconciler.core.turn import Turn
from reconciler.service import planning, targeting
from tests.simulation.planted import FAULTS, Patch, fault, wrapped

__all__ = ["FAULTS", "PEOPLE"]

_BEFORE = frozenset(FAULTS)


@fault
def a_difference_is_settled_by_nobody(patch: Patch) -> None:
    patch.setattr(mismatch, "settled", lambda ledger: [])


@fault
def to_adopt_wants_nothing_else(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        return lambda *args: [one for one in whole(*args) if isinstance(one, Adjusted)]

    wrapped(patch, mismatch, "_events", make)


@fault
def to_trade_back_wants_what_is_there(patch: Patch) -> None:
    wrapped(patch, mismatch, "_events", lambda whole: lambda *args: whole(*args[:2], "adopt"))


@fault
def differences_are_not_counted(patch: Patch) -> None:
    def remember(book: Any, adjustment: Any) -> None:
        """Nothing."""

    patch.setattr(mismatch, "remember", remember)


@fault
def a_difference_is_settled_under_a_halt(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def may(ledger: Any, book: Any) -> Any:
            kept = ledger.halted, book.halted
            ledger.halted = book.halted = ""
            try:
                return whole(ledger, book)
            finally:
                ledger.halted, book.halted = kept

        return may

    wrapped(patch, mismatch, "_may_be_settled", make)


@fault
def whatever_differs_is_settled_at_once(patch: Patch) -> None:
    """Fills on their way are taken for what nobody explains."""

    def settled(ledger: Any) -> Any:
        rule, found = ledger.settings.on_mismatch, list[TargetSet | Adjusted]()
        for book in ledger.books.values() if rule != "halt" and ledger.in_sync else ():
            if book.anchor is not None and book.venue_position not in (None, book.position):
                found.extend(mismatch._events(ledger, book, rule))
        return found

    patch.setattr(mismatch, "settled", settled)


@fault
def a_decision_closes_whatever_is_open(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def close(turn: Any, symbol: str, said: str, by: str, *kinds: str) -> None:
            for name in [n for n in turn.ledger.incidents if by == "ann"]:
                whole(turn, name.partition(" ")[2], said, by)
            whole(turn, symbol, said, by, *kinds)

        return close

    wrapped(patch, Turn, "close_incidents", make)


@fault
def who_adopts_goes_on_wanting(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        return lambda *args: [one for one in whole(*args) if isinstance(one, Adjusted)]

    wrapped(patch, resolve, "settlement", make)


@fault
def a_difference_of_now_is_one_for_good(patch: Patch) -> None:
    """An execution on its way is not waited for."""
    patch.setattr(mismatch, "is_unexplained", lambda ledger, book: True)


@fault
def to_trade_back_by_a_word_wants_what_is_there(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        return lambda book, at_us, decision, *said: whole(book, at_us, "adopt", *said)

    wrapped(patch, resolve, "settlement", make)


@fault
def a_decision_closes_all_of_its_symbol(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def close(turn: Any, symbol: str, said: str, by: str, *kinds: str) -> None:
            whole(turn, symbol, said, by, *(() if by == "ann" else kinds))

        return close

    wrapped(patch, Turn, "close_incidents", make)


@fault
def who_adopts_has_no_policy(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        return lambda *args: replace(whole(*args), policy="")

    wrapped(patch, mismatch, "wanted", make)


@fault
def who_adopts_wants_it_without_end(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        return lambda *args: replace(whole(*args), expires_us=None)

    wrapped(patch, mismatch, "wanted", make)


@fault
def a_file_needs_nobody_to_confirm_it(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def set_targets(request: Any, *args: Any) -> Any:
            sure = tuple(replace(one, confirm=one.contracts) for one in request.targets)
            return whole(replace(request, targets=sure), *args)

        return set_targets

    wrapped(patch, targeting, "set_targets", make)


@fault
def any_number_is_confirmed_by_any(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def check(ledger: Any, book: Any, contracts: int, confirm: int | None, *at: Any) -> None:
            whole(ledger, book, contracts, None if confirm is None else contracts, *at)

        return check

    wrapped(patch, usual, "check", make)


@fault
def a_restart_forgets_what_is_usual(patch: Patch) -> None:
    whole = apply._HANDLERS[Started]

    def started(turn: Any, event: Any) -> None:
        whole(turn, event)
        for book in turn.ledger.books.values():
            book.changes = []

    patch.setitem(apply._HANDLERS, Started, started)


@fault
def money_is_rounded_up(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def whole_lots(instrument: Any, size: int, sign: Any, asked: str) -> Any:
            return whole(instrument, size + instrument.lot // 2, sign, asked)

        return whole_lots

    wrapped(patch, amounts, "_whole_lots", make)


@fault
def what_was_asked_is_not_recorded(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        return lambda *args: whole(*args)._replace(asked="")

    wrapped(patch, amounts, "_whole_lots", make)


@fault
def prune_leaves_what_it_does_not_name(patch: Patch) -> None:
    wrapped(patch, targeting, "whole", lambda whole: lambda request, *_: request.targets)
    patch.setattr(planning, "whole", targeting.whole)


@fault
def a_file_is_set_as_far_as_it_goes(patch: Patch) -> None:
    def make(whole: Any) -> Any:
        def set_targets(request: Any, *args: Any) -> Any:
            try:
                return whole(request, *args)
            except targeting.OneRefused as one:
                kept = tuple(t for t in request.targets if t.symbol != one.request.symbol)
                if not kept:
                    raise
                return whole(replace(request, targets=kept), *args)

        return set_targets

    wrapped(patch, targeting, "set_targets", make)


@fault
def a_plan_stands_on_nothing(patch: Patch) -> None:
    patch.setattr(planning, "_stands_on", lambda ledger, symbol: {})


PEOPLE = frozenset(FAULTS) - _BEFORE
