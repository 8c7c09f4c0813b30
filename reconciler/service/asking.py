"""The part of the service's door that is about targets, modes, plans and schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.core.events import AnyEvent, Quoted
from reconciler.core.ledger import Ledger
from reconciler.service import commands, deciding, scheduling, targeting
from reconciler.service.door import (
    CommandResult,
    Decided,
    ModeRequest,
    ScheduleRequest,
    ScheduleShown,
    TargetRequest,
    TargetsRequest,
    TargetVersion,
    TargetVersions,
)
from reconciler.service.planning import Plans

if TYPE_CHECKING:
    from reconciler.service.loop import Loop

T = TypeVar("T")
Made = tuple[Sequence[AnyEvent], Callable[[Ledger], T]]


class Asking:
    """
    What may be asked of a running service, from any thread.

    Args:
        loop: Where the ledger lives.
        on_expiry: What a target's end means, if it does not say.
        quote_of: The prices of now; called in the loop.
    """

    def __init__(
        self, loop: Loop, on_expiry: str, quote_of: Callable[[str], Quoted | None]
    ) -> None:
        self._loop, self._on_expiry, self._quote_of = loop, on_expiry, quote_of
        self._plans = Plans()
        self._refusals = targeting.Refusals()

    def set_target(self, request: TargetRequest) -> TargetVersion:
        """See `Door.set_target`."""

        def make(ledger: Ledger) -> Made[TargetVersion]:
            return targeting.set_target(
                request, self._on_expiry, self._loop.now_us(), ledger, self._quote_of
            )

        return self._audited(request, make)

    def set_targets(self, request: TargetsRequest) -> TargetVersions:
        """See `Door.set_targets`."""
        return self._audited(None, lambda ledger: self._several(request, ledger))

    def _several(self, request: TargetsRequest, ledger: Ledger) -> Made[TargetVersions]:
        now_us = self._loop.now_us()
        return targeting.set_targets(request, self._on_expiry, now_us, ledger, self._quote_of)

    def forget_target(self, symbol: str, *, by: str, reason: str = "") -> TargetVersion:
        """See `Door.forget_target`."""
        return self._loop.ask(
            lambda ledger: targeting.forget(ledger, symbol, by, reason, self._loop.now_us())
        )

    def plan(self, request: TargetsRequest) -> dict[str, Any]:
        """See `Door.plan`."""

        def make(ledger: Ledger) -> Made[dict[str, Any]]:
            now_us = self._loop.now_us()
            found = self._plans.make(request, self._on_expiry, now_us, ledger, self._quote_of)
            return (), lambda _: found

        return self._loop.ask(make)

    def apply_plan(self, plan_id: str) -> TargetVersions:
        """See `Door.apply_plan`."""

        def make(ledger: Ledger) -> Made[TargetVersions]:
            plan = self._plans.take(plan_id, self._loop.now_us(), ledger)
            events, finish = self._several(plan.request, ledger)
            return targeting.asked_as(plan.forms, events), finish

        return self._audited(None, make)

    def set_mode(self, request: ModeRequest) -> CommandResult:
        """See `Door.set_mode`."""
        symbols, did = request.symbols, commands.DID.get(request.mode, "")
        self._loop.ask(
            lambda ledger: (
                commands.set_mode(ledger, self._loop.now_us(), request),
                lambda _: None,
            )
        )
        self._loop.when(lambda ledger: not commands.unwanted(ledger, symbols), timeout_s=10)
        return self._loop.ask(
            lambda ledger: (
                (),
                lambda _: commands.command_result(ledger, did, symbols, until=request.until),
            )
        )

    def resolve(self, incident: str, decision: str, *, by: str, reason: str) -> Decided:
        """See `Door.resolve`."""

        def make(ledger: Ledger) -> Made[Decided]:
            now_us = self._loop.now_us()
            return deciding.resolve(ledger, now_us, incident, decision, by, reason)

        return self._loop.ask(make)

    def set_schedule(self, request: ScheduleRequest) -> ScheduleShown:
        """See `Door.set_schedule`."""
        audit = scheduling.as_target(request)
        return self._audited(
            audit,
            lambda ledger: scheduling.set_schedule(ledger, self._loop.now_us(), request),
        )

    def schedules(self) -> list[ScheduleShown]:
        """See `Door.schedules`."""
        return self._loop.ask(lambda ledger: ((), lambda _: scheduling.all_shown(ledger)))

    def _audited(self, request: TargetRequest | None, make: Callable[[Ledger], Made[T]]) -> T:
        """Ask, and have a refusal recorded before it is told."""

        def call(ledger: Ledger) -> Made[T]:
            now_us = self._loop.now_us()
            return self._refusals.recorded(request, lambda: make(ledger), now_us)

        return self._loop.ask(call)
