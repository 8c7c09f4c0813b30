"""
The door when no service runs: take the lock, write, let go.

The journal sees a short run of its own, so its history has no second kind of writer. Nothing is
sent: without a stream the gate is shut. A halt that must reach the venue starts a service for
just as long as it takes.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from reconciler import __version__
from reconciler.core.events import AnyEvent, Configured, Started
from reconciler.core.ledger import Ledger
from reconciler.core.step import step
from reconciler.errors import PlanExpired, Unreachable
from reconciler.journal import Journal, past
from reconciler.service import commands, deciding, netting, planning, scheduling, targeting
from reconciler.service.clock import SteadyClock
from reconciler.service.door import (
    CommandResult,
    Decided,
    ModeRequest,
    Reloaded,
    ScheduleRequest,
    ScheduleShown,
    SignalResult,
    StrategyReport,
    TargetRequest,
    TargetsRequest,
    TargetVersion,
    TargetVersions,
)
from reconciler.service.engine import Engine
from reconciler.service.options import Options
from reconciler.service.service import ID_FAMILY, Service
from reconciler.strategy.signals import Signal
from reconciler.venue import Host, Venue

DOUBT_WITHIN_S = 30.0  # proof that an order never arrived takes some twenty seconds

T = TypeVar("T")
Made = tuple[Sequence[AnyEvent], Callable[[Ledger], T]]


class OfflineDoor:
    """Implements `reconciler.service.door.Door` on the journal itself."""

    def __init__(
        self, options: Options, make_venue: Callable[[Host, Service], Venue] | None = None
    ) -> None:
        self.options = options
        self._make_venue = make_venue
        self._clock = SteadyClock()
        self._refusals = targeting.Refusals()

    def set_target(self, request: TargetRequest) -> TargetVersion:
        """See `Door.set_target`. Without prices: nothing can be asked for in money."""
        on_expiry = self.options.on_expiry
        return self._audited(
            request,
            lambda ledger, now_us: targeting.set_target(request, on_expiry, now_us, ledger),
        )

    def set_targets(self, request: TargetsRequest) -> TargetVersions:
        """See `Door.set_targets`."""
        on_expiry = self.options.on_expiry
        return self._audited(
            None,
            lambda ledger, now_us: targeting.set_targets(request, on_expiry, now_us, ledger),
        )

    def forget_target(self, symbol: str, *, by: str, reason: str = "") -> TargetVersion:
        """See `Door.forget_target`."""
        return self._write(
            lambda ledger, now_us: targeting.forget(ledger, symbol, by, reason, now_us)
        )

    def plan(self, request: TargetsRequest) -> dict[str, Any]:
        """See `Door.plan`. Without prices, and without an id: nobody would remember it."""

        def make(ledger: Ledger, now_us: int) -> Made[dict[str, Any]]:
            on_expiry = self.options.on_expiry
            shown, _, _ = planning.drawn(request, on_expiry, now_us, ledger, targeting.no_quote)
            return (), lambda _: shown

        return self._read(make)

    def apply_plan(self, plan_id: str) -> TargetVersions:
        """Plans live in a running service."""
        raise PlanExpired(
            f"no service is running, so nobody remembers plan {plan_id[:20]!r}",
            next_step="Start `reconciler run` and make the plan again, or apply the file.",
        )

    def set_mode(self, request: ModeRequest) -> CommandResult:
        """See `Door.set_mode`. What rests is cancelled when the service starts."""
        did = commands.DID.get(request.mode, "")
        return self._write(
            lambda ledger, now_us: (
                commands.set_mode(ledger, now_us, request),
                lambda after: commands.command_result(
                    after, did, request.symbols, until=request.until
                ),
            )
        )

    def set_schedule(self, request: ScheduleRequest) -> ScheduleShown:
        """See `Door.set_schedule`."""
        return self._audited(
            scheduling.as_target(request),
            lambda ledger, now_us: scheduling.set_schedule(ledger, now_us, request),
        )

    def schedules(self) -> list[ScheduleShown]:
        """See `Door.schedules`."""
        return scheduling.all_shown(past.ledger_at(self.options.database).ledger)

    def halt(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), until: str = ""
    ) -> CommandResult:
        """Record the halt; then, if an order may be alive, connect just to end it."""
        result = self._write(
            lambda ledger, now_us: (
                commands.halt(ledger, now_us, by, reason, symbols, until),
                lambda after: commands.command_result(after, "halted", symbols, until=until),
            )
        )
        if not result.resting or self._make_venue is None:
            return result
        left: list[tuple[str, ...]] = []
        options = self.options
        options.once, options.keep_orders = False, False
        options.stop_within_s = DOUBT_WITHIN_S
        service = Service(options, self._make_venue)
        service.stop("halted")
        service.run()
        self._write(
            lambda ledger, _: ((), lambda after: left.append(commands.resting(after, symbols)))
        )
        return msgspec.structs.replace(result, resting=left[0])

    def resume(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), adopt: bool = False
    ) -> CommandResult:
        """See `Door.resume`."""

        def make(ledger: Ledger, now_us: int) -> Any:
            events, adopted = commands.resume(ledger, now_us, by, reason, symbols, adopt)
            return events, lambda after: commands.command_result(after, "resumed", symbols, adopted)

        result: CommandResult = self._write(make)
        return result

    def resolve(self, incident: str, decision: str, *, by: str, reason: str) -> Decided:
        """See `Door.resolve`. Nobody asks the venue here, so there is no figure of now to take."""
        if decision in ("adopt", "trade_back"):
            raise Unreachable(
                "no service is running, so the venue's position is not known",
                next_step="Start `reconciler run`: what is frozen stays so until you decide.",
            )
        return self._write(
            lambda ledger, now_us: deciding.resolve(ledger, now_us, incident, decision, by, reason)
        )

    def signal(self, signal: Signal) -> SignalResult:
        """See `Door.signal`."""
        options = self.options

        def make(ledger: Ledger, now_us: int) -> Made[SignalResult]:
            checked = netting.checked(signal, options.weights, ledger)
            before = ledger.next_signal_number
            followed = netting.follow(
                ledger, [checked], options.weights, options.on_expiry, now_us, netting.Memory()
            )
            return followed.events, lambda after: netting.answer(
                checked, followed, followed.finish(after), before, after
            )

        return self._write(make)

    def status(self) -> dict[str, Any]:
        """Not asked here: without a service the journal's views tell it, and need no lock."""
        return self._write(
            lambda ledger, _: (
                (),
                lambda after: commands.status(after, self.options.account, {"running": False}),
            )
        )

    def strategies(self) -> list[dict[str, Any]]:
        """Strategies run in a service."""
        raise _no_service()

    def strategy(self, name: str, do: str, *, by: str, zero: bool = False) -> dict[str, Any]:
        """Strategies run in a service."""
        raise _no_service()

    def hold_strategy(self, strategy: str, run: str, who: str = "", number: int = 0) -> None:
        """A strategy's name is held at a service; this is not one."""
        raise _no_service()

    def report_strategy(self, report: StrategyReport) -> None:
        """A strategy reports to a service; this is not one."""
        raise _no_service()

    def reload(self) -> Reloaded:
        """A service reads its configuration again; this is not one."""
        raise Unreachable(
            "no service is running: the next one reads the configuration as it is then",
            next_step="`reconciler config check` says whether it makes sense.",
        )

    def backup(self) -> str:
        """See `Door.backup`."""
        journal = self._open()
        try:
            return str(journal.backup())
        finally:
            journal.close()

    def close(self) -> None:
        """Nothing is held between two questions."""

    def _open(self) -> Journal:
        return Journal.open(
            self.options.database,
            account=self.options.account,
            mode="command",
            durability=self.options.durability,
            environment=self.options.environment,
            version=__version__,
        )

    def _audited(self, request: TargetRequest | None, make: Callable[[Ledger, int], Made[T]]) -> T:
        """Write, and have a refusal recorded before it is told."""

        def call(ledger: Ledger, now_us: int) -> Made[T]:
            return self._refusals.recorded(request, lambda: make(ledger, now_us), now_us)

        return self._write(call)

    def _read(self, make: Callable[[Ledger, int], Made[T]]) -> T:
        """Ask the journal as it stands, or an empty one: nothing is locked, made or written."""
        path = self.options.database
        ledger: Ledger = past.ledger_at(path).ledger if path.exists() else Ledger()
        now_us = self._now_us()
        ledger.stopping = ""  # a word about the run that is over
        step(ledger, Configured(at_us=now_us, settings=self.options.settings))
        return make(ledger, now_us)[1](ledger)

    def _now_us(self) -> int:
        return max(self._clock.now_us(), time.time_ns() // 1000)

    def _write(self, make: Callable[[Ledger, int], Made[T]]) -> T:
        journal = self._open()
        engine: Engine | None = None
        try:
            ledger: Ledger = journal.recover().ledger
            now_us = self._now_us()
            family = f"{ID_FAMILY}{journal.installation}-"
            settings = Configured(at_us=now_us, settings=self.options.settings)
            checked = copy.deepcopy(ledger)  # what is no request leaves no trace
            step(checked, settings)  # what is asked is checked by today's limits
            events, finish = make(checked, now_us)
            if not events:
                return finish(checked)
            started = Started(
                at_us=now_us,
                run_id=f"{journal.installation}-{journal.epoch}",
                epoch=journal.epoch,
                id_family=ID_FAMILY,
                id_install=family,
                id_stem=f"{family}{journal.epoch}-offline-",
                mode="command",
            )
            engine = Engine(ledger, journal, self._clock.now_us)
            engine.handle([started, settings, *events])
            return finish(ledger)
        finally:
            if engine is None or engine.failed:
                journal.close()
            else:
                journal.close(engine.ledger)


def _no_service() -> Unreachable:
    return Unreachable(
        "no service is running, and strategies run in one", next_step="Start `reconciler run`."
    )
