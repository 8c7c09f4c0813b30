"""
The service: recover, connect, hold the targets, and stop in order.

Recovery is not a mode: the ledger is folded from the journal, the run is announced to it as an
event, and from then on a crash looks like any lost answer.
"""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from reconciler import __version__
from reconciler.core.events import Configured, Halted, Quoted, Started, Stopping
from reconciler.core.ledger import Ledger
from reconciler.core.settings import Settings
from reconciler.errors import UsageError
from reconciler.journal import History, Journal
from reconciler.service import commands, garbage
from reconciler.service.asking import Asking
from reconciler.service.door import CommandResult, Reloaded, SignalResult
from reconciler.service.engine import Engine, Watcher
from reconciler.service.leases import Leases
from reconciler.service.loop import Loop
from reconciler.service.moments import iso
from reconciler.service.options import Options
from reconciler.service.reloading import Read, Reloader
from reconciler.service.servicefile import ServiceFile
from reconciler.service.signalling import Desk
from reconciler.service.standing import gone, silenced
from reconciler.service.strategies import Strategies
from reconciler.service.strategy_door import StrategyDoor
from reconciler.service.telling import Say, Teller
from reconciler.strategy.signals import Signal
from reconciler.venue import Host, Venue

END_WITHIN_S = 2.0  # for threads, after the two seconds that the venue has
FREE_BYTES = 64 * 2**20  # below it no new order is placed
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
ID_FAMILY = "rc-"


class Api(Protocol):
    """What the service needs of the server that carries its door."""

    url: str

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Service(Asking, StrategyDoor):
    """One run, from the lock to the last snapshot. It is its own `Door`."""

    def __init__(
        self,
        options: Options,
        make_venue: Callable[[Host, Service], Venue] | None,
        *,
        make_api: Callable[[Service, str], Api] | None = None,
        say: Say | None = None,
        watchers: tuple[Watcher, ...] = (),
        reload: Read | None = None,
    ) -> None:
        self.options = options
        self.loop = Loop()
        super().__init__(self.loop, options.on_expiry, self._quote_now)
        self._make_venue = make_venue
        self._make_api = make_api
        self._say = say or (lambda *_, **__: None)
        self.desk = Desk(
            self.loop,
            options.weights,
            options.on_expiry,
            self._say,
            options.read_weights,
        )
        self._watchers = watchers
        self._venue: Venue | None = None
        self._engine: Engine | None = None
        self._journal: Journal | None = None
        self._stop_asked = 0
        self._stop_by_us: int | None = None
        self._started_us = 0
        self._said_us, self._patience_us = self.loop.now_us(), 3_000_000
        self._strategies = self._make_strategies(options)
        self.leases = Leases(self.loop.now_us)
        self.reloader = Reloader(options, self.loop, self.desk, self._strategies, self._say, reload)
        self.ready = threading.Event()  # recovered, and the door is open

    def _make_strategies(self, options: Options) -> Strategies | None:
        if options.make_feed is None:
            return None
        return Strategies(
            options.strategies,
            options.make_feed,
            in_loop=self.loop.call_soon,
            now_us=self.loop.now_us,
            record=self.loop.record,
            take=self.desk.take,
            say=self._say,
        )

    # -- the life ------------------------------------------------------------------------------

    def run(self) -> int:
        """
        Run until stopped.

        Returns:
            The exit code: 0 after an orderly stop.

        Raises:
            ReconcilerError: before anything was sent: locked, foreign or broken database, a port
                in use.
        """
        self.handle_signals()
        journal = self._journal = Journal.open(
            self.options.database,
            account=self.options.account,
            durability=self.options.durability,
            environment=self.options.environment,
            version=__version__,
        )
        service_file = ServiceFile(self.options.database)
        api: Api | None = None
        quiet = False
        try:
            engine = self._recover(journal)
            token = secrets.token_urlsafe(24)
            if self._make_api is not None:
                api = self._make_api(self, token)
            if self._venue is not None:
                self._venue.start(engine.ledger.watermark_us)
            if api is not None:
                service_file.write(api.url, token)  # who is answered finds the token of now
                api.start()
            garbage.enter()
            quiet = True
            self.ready.set()
            return self._turn(engine)
        finally:
            if quiet:
                garbage.leave()
            service_file.remove()
            self._end(api)
            self._close(journal)
            self.loop.close()

    def stop(self, reason: str) -> None:
        """Ask for an orderly stop, from any thread; asked twice, at once."""
        self._stop_asked += 1
        if self._stop_asked > 1:
            self._stop_by_us = 0
        self.loop.post(
            [
                Stopping(
                    at_us=self.loop.now_us(),
                    reason=reason,
                    keep_orders=self.options.keep_orders,
                )
            ]
        )

    def _end(self, api: Api | None) -> None:
        """End all that has threads, side by side: each may have to wait for a silent network."""
        ends = [self._strategies.close] if self._strategies is not None else []
        ends += [api.stop] if api is not None else []
        helpers = [threading.Thread(target=end, name="ending", daemon=True) for end in ends]
        for helper in helpers:
            helper.start()
        if self._venue is not None:
            self._venue.close(timeout_s=2)
        until_s = time.monotonic() + END_WITHIN_S
        for helper in helpers:
            helper.join(max(until_s - time.monotonic(), 0.01))

    def reconfigure(self, settings: Settings) -> None:
        """Put new limits and policies in force, as an event like any other."""
        self.options.settings = settings
        self.loop.post([Configured(at_us=self.loop.now_us(), settings=settings)])

    def quote_changed(self, symbol: str) -> None:
        """For the venue, in the loop: new prices have come."""
        assert self._engine is not None
        self._engine.quote_changed(symbol)

    def other_account_seen(self, account: object) -> None:
        """For the venue, once, in the loop: it is sent rows of another account and drops them."""
        self._say("warning", "account.other", other=str(account))

    def _recover(self, journal: Journal) -> Engine:
        began = time.monotonic()
        recovered = journal.recover()
        ledger: Ledger = recovered.ledger
        engine = self._engine = Engine(ledger, journal, self.loop.now_us)
        engine.watchers.extend(self._watchers)
        engine.watchers.append(Teller(self._say))
        engine.watchers.append(self.desk.watch)
        if self._strategies is not None:
            engine.watchers.append(self._strategies.watcher(ledger))
        now_us = self._started_us = self.loop.now_us()
        family = f"{ID_FAMILY}{journal.installation}-"
        tag = "".join(secrets.choice(LETTERS) for _ in range(6))
        if self._make_venue is not None:
            # Before the first event: a halted account has orders to cancel at once.
            self._venue = engine.venue = self._make_venue(self.loop, self)
        engine.handle(
            [
                Started(
                    at_us=now_us,
                    run_id=f"{journal.installation}-{journal.epoch}",
                    epoch=journal.epoch,
                    id_family=ID_FAMILY,
                    id_install=family,
                    id_stem=f"{family}{journal.epoch}-{tag}-",
                ),
                Configured(at_us=now_us, settings=self.options.settings),
            ]
        )
        weights = self.desk.weights
        engine.handle([*gone(ledger, weights, now_us), *silenced(ledger, weights, now_us)])
        engine.handle(self.desk.rebalance(ledger, "the weights were changed before the start"))
        doubtful = [order.cl_ord_id for order in ledger.own_alive() if order.doubt is not None]
        self._say(
            "info",
            "recovery.done",
            seq=recovered.seq,
            events_folded=recovered.events_folded,
            took_ms=round((time.monotonic() - began) * 1000),
            in_doubt=",".join(doubtful),
        )
        return engine

    def _turn(self, engine: Engine) -> int:
        self.loop.housekeeping = self._keep_house
        self._say("info", "service.start", environment=self.options.environment)
        try:
            self.loop.run(engine, self._venue, self._is_done)
        except BaseException as failure:
            return self._fail(engine, failure)
        left = [order.cl_ord_id for order in engine.ledger.own_alive()]
        self._say(
            "info" if not left or self.options.keep_orders else "warning",
            "service.stop",
            reason=engine.ledger.stopping or "done",
            orders_that_may_be_alive=",".join(left),
        )
        return 0

    def _fail(self, engine: Engine, failure: BaseException) -> int:
        """Fail stop: no order after this moment; cancel what may be alive; say why."""
        named = engine.cancel_from_memory()
        self._say(
            "critical",
            "service.fail",
            error=f"{type(failure).__name__}: {failure}",
            cancelling=",".join(named),
        )
        if named:
            time.sleep(1.0)  # let the cancels leave; nobody may record their answers
        raise failure

    def _is_done(self) -> bool:
        assert self._engine is not None
        ledger, now_us = self._engine.ledger, self.loop.now_us()
        options = self.options
        if not ledger.stopping:
            if options.for_s is not None and now_us - self._started_us > options.for_s * 1e6:
                self.stop(f"ran for {options.for_s:g} s")
            elif options.once and self._all_held(ledger):
                self.stop("every target is held")
            return False
        if self._stop_by_us is None:
            self._stop_by_us = now_us + int(self.options.stop_within_s * 1e6)
        if now_us >= self._stop_by_us:
            return True
        drained = options.keep_orders or commands.nothing_rests(ledger, ())
        return drained and not ledger.dead_man_armed

    @staticmethod
    def _all_held(ledger: Ledger) -> bool:
        wanted = [book for book in ledger.books.values() if book.target is not None]
        return ledger.in_sync and all(
            book.target is not None and book.target.held and not book.waiting_for for book in wanted
        )

    def _keep_house(self) -> None:
        assert self._engine is not None
        assert self._journal is not None
        self._engine.snapshot_if_due()
        self._journal.checkpoint_if_idle()
        self._journal.check_identity()
        now_us = self.loop.now_us()
        self._say_if_out_of_sync(now_us)
        self._halt_if_full(now_us)
        self._engine.handle(self.desk.keep(self._engine.ledger))
        self._engine.handle(self.lost_strategies(self._engine.ledger))
        garbage.collect(now_us)

    def _halt_if_full(self, now_us: int) -> None:
        """Stop while there is still room to write down that we stopped."""
        assert self._engine is not None
        assert self._journal is not None
        free = self._journal.free_bytes()
        if free < FREE_BYTES and not self._engine.ledger.halted:
            reason = (
                f"{free // 2**20} MB are free on the journal's disk, {FREE_BYTES // 2**20} needed"
            )
            self._engine.handle([Halted(at_us=now_us, by="service", reason=reason)])

    def _say_if_out_of_sync(self, now_us: int) -> None:
        """A service that can't reach its venue says so, and why, not only once."""
        assert self._engine is not None
        if self._engine.ledger.in_sync or self._venue is None:
            self._said_us, self._patience_us = now_us, 3_000_000
        elif now_us - self._said_us > self._patience_us:
            self._said_us, self._patience_us = now_us, 30_000_000
            health = self._venue.health()
            self._say(
                "warning",
                "stream.wait",
                stream=health.get("stream"),
                error=health.get("error") or "no answer yet",
            )

    def _close(self, journal: Journal) -> None:
        engine = self._engine
        if engine is None or engine.failed:
            journal.close()
        else:
            journal.close(engine.ledger)

    def handle_signals(self) -> None:
        """Take the signals of the process, from its main thread; before `run` they wait for it."""
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, _: FrameType | None) -> None:
            self.stop(signal.Signals(number).name)

        def halt(_: int, __: FrameType | None) -> None:
            self.loop.post([Halted(at_us=self.loop.now_us(), by="SIGUSR1", reason="signal")])

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGUSR1, halt)
        if self.reloader.can_read:
            signal.signal(signal.SIGHUP, lambda *_: self.read_again())

    def read_again(self) -> None:
        """Read the configuration again, from any thread; the log tells what came of it."""
        self.reloader.soon()

    def _quote_now(self, symbol: str) -> Quoted | None:
        return self._venue.quote(symbol) if self._venue is not None else None

    # -- the door, for other threads; more in `Asking` ------------------------------------------

    def halt(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), until: str = ""
    ) -> CommandResult:
        """See `Door.halt`."""
        self.loop.ask(
            lambda ledger: (
                commands.halt(ledger, self.loop.now_us(), by, reason, symbols, until),
                lambda _: None,
            )
        )
        self.loop.when(lambda ledger: commands.nothing_rests(ledger, symbols), timeout_s=10)
        return self.loop.ask(
            lambda ledger: (
                (),
                lambda _: commands.command_result(ledger, "halted", symbols, until=until),
            )
        )

    def resume(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), adopt: bool = False
    ) -> CommandResult:
        """See `Door.resume`."""

        def make(ledger: Ledger) -> Any:
            events, adopted = commands.resume(
                ledger, self.loop.now_us(), by, reason, symbols, adopt
            )
            return events, lambda after: commands.command_result(after, "resumed", symbols, adopted)

        result: CommandResult = self.loop.ask(make)
        return result

    def signal(self, signal: Signal) -> SignalResult:
        """See `Door.signal`."""
        return self.desk.signal(signal)

    def reload(self) -> Reloaded:
        """See `Door.reload`."""
        return self.reloader.now()

    def status(self) -> dict[str, Any]:
        """See `Door.status`."""
        journal, options = self._journal, self.options
        assert journal is not None
        service = {
            "running": True,
            "started_at": iso(self._started_us),
            "environment": options.environment,
            "last_seq": journal.last_seq,
            **(self._venue.health() if self._venue is not None else {}),
            **({"strategies": own.health()} if (own := self._strategies) and own.own else {}),
        }
        found = self.loop.ask(
            lambda ledger: ((), lambda _: commands.status(ledger, options.account, service))
        )
        if found["incidents"]:  # the ledger knows only that they are open
            with History.open(options.database) as history:
                rows = history.rows("v_incidents", limit=0).dicts()
            told = {row["incident_id"]: row for row in rows if row["closed_at"] is None}
            found["incidents"] = [
                {**incident, **told.get(incident["incident_id"], {})}
                for incident in found["incidents"]
            ]
        return found

    def backup(self) -> str:
        """See `Door.backup`."""
        journal = self._journal
        assert journal is not None
        return str(journal.backup())  # in this thread: the loop goes on writing

    def close(self) -> None:
        """The service is closed by `stop`, not by its doors."""


def check_symbols(symbols: tuple[str, ...]) -> None:
    """A service without symbols would hold nothing."""
    if not symbols:
        raise UsageError("no symbol is configured: set [exchange] symbols")
