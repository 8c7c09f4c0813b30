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

from reconciler import __version__
from reconciler.core.events import AnyEvent, Configured, Started
from reconciler.core.ledger import Ledger
from reconciler.core.step import step
from reconciler.journal import Journal
from reconciler.service import commands
from reconciler.service.clock import SteadyClock
from reconciler.service.door import CommandResult, TargetRequest, TargetVersion
from reconciler.service.engine import Engine
from reconciler.service.service import ID_FAMILY, Options, Service
from reconciler.venue import Host, Venue

T = TypeVar("T")


class OfflineDoor:
    """Implements `reconciler.service.door.Door` on the journal itself."""

    def __init__(
        self, options: Options, make_venue: Callable[[Host, Service], Venue] | None = None
    ) -> None:
        self.options = options
        self._make_venue = make_venue
        self._clock = SteadyClock()

    def set_target(self, request: TargetRequest) -> TargetVersion:
        """See `Door.set_target`."""
        on_expiry = self.options.on_expiry
        return self._write(
            lambda ledger, now_us: commands.set_target(request, on_expiry, now_us, ledger)
        )

    def halt(self, *, by: str, reason: str, symbols: tuple[str, ...] = ()) -> CommandResult:
        """Record the halt; then, if an order may be alive, connect just to end it."""
        result = self._write(
            lambda ledger, now_us: (
                commands.halt(ledger, now_us, by, reason, symbols),
                lambda after: commands.command_result(after, "halted", symbols),
            )
        )
        if not result.resting or self._make_venue is None:
            return result
        left: list[tuple[str, ...]] = []
        options = self.options
        options.once, options.keep_orders = False, False
        service = Service(options, self._make_venue)
        service.stop("halted")
        service.run()
        self._write(
            lambda ledger, _: ((), lambda after: left.append(commands.resting(after, symbols)))
        )
        return CommandResult(did="halted", symbols=result.symbols, resting=left[0])

    def resume(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), adopt: bool = False
    ) -> CommandResult:
        """See `Door.resume`."""

        def make(ledger: Ledger, now_us: int) -> Any:
            events, adopted = commands.resume(ledger, now_us, by, reason, symbols, adopt)
            return events, lambda after: commands.command_result(after, "resumed", symbols, adopted)

        result: CommandResult = self._write(make)
        return result

    def status(self) -> dict[str, Any]:
        """Not asked here: without a service the journal's views tell it, and need no lock."""
        return self._write(
            lambda ledger, _: (
                (),
                lambda after: commands.status(after, self.options.account, {"running": False}),
            )
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

    def _write(
        self,
        make: Callable[[Ledger, int], tuple[Sequence[AnyEvent], Callable[[Ledger], T]]],
    ) -> T:
        journal = self._open()
        engine: Engine | None = None
        try:
            ledger: Ledger = journal.recover().ledger
            now_us = max(self._clock.now_us(), time.time_ns() // 1000)
            family = f"{ID_FAMILY}{journal.installation}-"
            settings = Configured(at_us=now_us, settings=self.options.settings)
            checked = copy.deepcopy(ledger)  # a refusal leaves no trace in the journal
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
