"""
The process: the production loop, engine, gateway and journal code, alive between two crashes.

The real `Loop` runs; only its selector waits in virtual time. A crash is an exception that no
code of ours catches, raised while the loop waits, before or after a commit, or right after a
request was written. What is in memory is lost then; the journal stays.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from reconciler.bitmex.config import BitmexConfig
from reconciler.core import step as core
from reconciler.core.decisions import AnyDecision, PlaceOrder
from reconciler.core.events import AnyEvent, Configured, Share, Started, Stopping, StreamLost
from reconciler.core.ledger import Ledger
from reconciler.core.settings import Settings
from reconciler.core.step import Outcome
from reconciler.core.targets import intake, schedules
from reconciler.errors import NotLeader, ReconcilerError, Refused, UsageError
from reconciler.service import targeting
from reconciler.service.door import TargetRequest
from reconciler.service.engine import Engine
from reconciler.service.loop import Loop
from reconciler.simulation.agenda import SECOND, Agenda, Clock
from reconciler.simulation.memory import MemoryJournal, Step
from reconciler.simulation.network import Network, SimGateway
from reconciler.simulation.realfile import FileJournal
from reconciler.venue import Venue

STOP_WITHIN_US = 12 * SECOND
CRASH_POINTS = (
    "while waiting",
    "before a commit",
    "after a commit",
    "after a write",
    "before the tables",
)


class Unguarded(Engine):
    """For a control: our last look at an order is no part of what it does by itself."""

    def _send(self, venue: Venue, decision: AnyDecision) -> Iterable[AnyEvent]:
        if isinstance(decision, PlaceOrder) and self._stopped(decision):
            return [self._not_sent(decision, "stopped")]
        return venue.send(decision)


class Crash(BaseException):
    """The process is killed here."""


class _Key(NamedTuple):
    data: Callable[[], list[AnyEvent]]


class Decide(Protocol):
    """The core: `reconciler.core.step.step`, watched, or another in its place."""

    def __call__(self, ledger: Any, event: AnyEvent) -> Outcome: ...


class _Selector:
    """Waits in virtual time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def select(self, timeout_s: float) -> list[tuple[_Key, int]]:
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Nothing to let go of."""

    def register(self, *_: object) -> None:
        """Nothing to watch: the process knows its inbox."""

    unregister = register


class _Bell:
    """In place of the socket by which other threads wake the loop."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def send(self, _: bytes) -> None:
        self._process.ready = True

    def close(self) -> None:
        """Nothing to let go of."""


class _SimLoop(Loop):
    """The real loop, waiting in virtual time."""

    def __init__(self, process: Process, clock: Clock) -> None:
        super().__init__()
        self.beat_us = process.beat_us
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        self._clock: Any = clock
        self._selector: Any = _Selector(process)
        self._wake_out: Any = _Bell(process)


class Hooked:
    """A journal during whose commits the process may die."""

    def __init__(
        self,
        journal: Any,
        epoch: int,
        interrupt: Callable[[str], None],
        recorded: Callable[[Sequence[Step]], None],
    ) -> None:
        self._journal = journal
        self._epoch = epoch
        self._interrupt = interrupt
        self._recorded = recorded

    @property
    def last_seq(self) -> int:
        """Of the last event."""
        return int(self._journal.last_seq)

    def record(self, steps: Sequence[Step]) -> int:
        """Write steps down, unless killed first."""
        self._interrupt("before a commit")
        before = self.last_seq
        try:
            seq = int(self._journal.record(steps, self._epoch))
        finally:
            if self.last_seq > before:  # a commit that failed may have happened all the same
                self._recorded(steps)
        self._interrupt("after a commit")
        return seq

    def tell(self) -> None:
        """Write the tables of what was sent, unless killed first."""
        self._interrupt(CRASH_POINTS[-1])
        self._journal.tell()

    def snapshot(self, ledger: object) -> None:
        """Keep recovery short."""
        self._journal.snapshot(ledger)


class Process:
    """One run of the service."""

    def __init__(
        self,
        agenda: Agenda,
        clock: Clock,
        network: Network,
        journal: MemoryJournal | FileJournal,
        settings: Settings,
        decide: Decide,
        recorded: Callable[[Sequence[Step]], None],
        finished: Callable[[], bool],
        beat_us: int,
    ) -> None:
        self.agenda = agenda
        self.clock = clock
        self.journal = journal
        self.settings = settings
        self.epoch = journal.epoch
        self.crash_at = ""
        self.deposed = False  # suspended, and another has taken its place
        self.ready = False
        self.turns = 0  # of its loop
        self.begun: Callable[[], None] = lambda: None  # once it has started
        self.paused_until_us = 0
        self.beat_us = beat_us
        self._world_is_over = finished
        self._over = False
        self._refusals = targeting.Refusals()
        self._stop_by_us: int | None = None
        network.after_write = lambda: self._interrupt("after a write")
        config = BitmexConfig(
            base_url="http://venue.invalid",
            api_key="simulated-key",
            api_secret="simulated-secret",
            symbols=settings.symbols,
        )
        self.loop = _SimLoop(self, clock)
        self.gateway = SimGateway(config, self.loop, network, self._wake)
        recovered = journal.recover()
        hooked: Any = Hooked(journal, self.epoch, self._interrupt, recorded)
        made = Engine if isinstance(recovered.ledger, Ledger) else Unguarded
        self.engine = made(recovered.ledger, hooked, self.loop.now_us, decide)
        self.gateway.on_quote = self.engine.quote_changed

    def run(self) -> str:
        """
        Live until killed, stopped or over.

        Returns:
            How it ended: "crash", "stopped", "failed" or "over".
        """
        epoch = self.epoch
        engine = self.engine
        now_us = self.loop.now_us()
        engine.venue = self.gateway  # before the first event, as `Service` does
        try:
            engine.handle(
                [
                    Started(
                        at_us=now_us,
                        run_id=f"sim-{epoch}",
                        epoch=epoch,
                        id_family="rc-",
                        id_install="rc-simu-",
                        id_stem=f"rc-simu-{epoch}-abcdef-",
                    ),
                    Configured(at_us=now_us, settings=self.settings),
                ]
            )
            self.begun()
            self.gateway.start(engine.ledger.watermark_us)
            self.loop.run(engine, self.gateway, self._done)
        except Crash:
            return "crash"
        except ReconcilerError:
            self.crash_at = ""
            engine.cancel_from_memory()
            return "failed"
        finally:
            self.gateway.kill()
            self._over = True
        if self.deposed:
            return "failed"
        return "over" if self._world_is_over() else "stopped"

    # -- what the world does to it

    def wait(self, timeout_s: float) -> list[tuple[_Key, int]]:
        """Let the world go on until there is something to do."""
        self.turns += 1
        agenda, is_over = self.agenda, self._world_is_over
        until_us = self.clock.world_us(self.clock.now_us() + round(timeout_s * SECOND))
        while not self.ready and not is_over():
            if agenda.due_us() > until_us:
                agenda.now_us = max(agenda.now_us, until_us)
                break
            agenda.next()
            if self.crash_at:
                self._interrupt("while waiting")
        while agenda.now_us < self.paused_until_us and not is_over():
            if agenda.due_us() > self.paused_until_us:
                agenda.now_us = self.paused_until_us
                break
            agenda.next()
        self.ready = False
        stream = self.gateway.sim_stream
        return [(_Key(stream.read), selectors.EVENT_READ)] if stream.inbox else []

    def post(self, make: Callable[[Any], Iterable[AnyEvent]]) -> None:
        """Hand events over as a door does: alone, and acknowledged once they are recorded."""

        def call() -> Iterable[AnyEvent]:
            try:
                self.engine.handle(list(make(self.engine.ledger)))
            except (Refused, UsageError):
                pass
            return ()

        if not self._over:
            self.loop._queue(call, alone=True)

    def set_target(
        self,
        symbol: str,
        contracts: int,
        policy: str,
        ttl_us: int,
        on_expiry: str,
        acknowledged: Callable[[str, int, int], None],
        price: Decimal | None = None,
        in_us: int | None = None,
        shares: tuple[Share, ...] = (),
    ) -> None:
        """Somebody wants a position, at times by a deadline, or as a signal with its price."""

        def make(ledger: Any) -> Iterable[AnyEvent]:
            now_us = self.loop.now_us()
            wanted = intake.Wanted(
                symbol=symbol,
                contracts=contracts,
                by=None,
                source="sim",
                reason="",
                policy=policy,
                on_expiry=on_expiry,
                expires_us=now_us + ttl_us if ttl_us else None,
                if_version=None,
                key="",
                price=price,
                deadline_us=now_us + in_us if in_us is not None else None,
                confirm=contracts,
                shares=shares,
            )
            accepted = intake.accept(ledger, wanted, now_us)
            if accepted.event is not None:
                self.engine.handle([accepted.event])
                acknowledged(symbol, accepted.version, accepted.contracts)
            return ()

        self.post(make)

    def ask(self, request: TargetRequest) -> None:
        """Somebody asks at a door: what a rule refuses is recorded, as a service does."""
        now_us = self.loop.now_us

        def make(ledger: Any) -> Iterable[AnyEvent]:
            events, _ = self._refusals.recorded(
                request, lambda: targeting.set_target(request, "hold", now_us(), ledger), now_us()
            )
            return events

        self.post(make)

    def set_schedule(self, name: str, rows: tuple[schedules.Entry, ...]) -> None:
        """Somebody has a table of times and targets."""
        now_us = self.loop.now_us
        self.post(lambda ledger: [schedules.accept(ledger, name, rows, "table", "", now_us())])

    def then(self, call: Callable[[], None]) -> None:
        """Have *call* called after all that was handed over."""

        def events() -> Iterable[AnyEvent]:
            call()
            return ()

        if not self._over:
            self.loop._queue(events, alone=True)

    def suspend(self) -> None:
        """SIGSTOP, for so long that its connections are gone and another has its journal."""
        self.deposed = True
        self.crash_at = ""
        self.gateway.kill()
        self.engine._decide = core.step  # nobody watches it: what it thinks changes nothing

    def refused(self) -> bool:
        """SIGCONT: one turn of the loop. Whether it ended as one that may not write."""
        try:
            self.engine.handle([StreamLost(at_us=self.loop.now_us(), reason="a pause")])
        except NotLeader:
            self.engine.cancel_from_memory()
            return True
        return False

    def stop(self) -> None:
        """SIGTERM."""
        self._stop_by_us = self.loop.now_us() + STOP_WITHIN_US
        self.loop.post([Stopping(at_us=self.loop.now_us(), reason="SIGTERM")])

    def _wake(self) -> None:
        self.ready = True

    def _interrupt(self, where: str) -> None:
        if self.crash_at == where and not self._over:
            self.crash_at = ""
            raise Crash

    def _done(self) -> bool:
        if self._world_is_over():
            return True
        if self._stop_by_us is None or not self.engine.ledger.stopping:
            return False
        alive = any(self.engine.ledger.own_alive())
        return not alive or self.loop.now_us() >= self._stop_by_us
