"""
One strategy in a process of its own: public market data in, signals out to the service by HTTP.

Neither side minds the other's end. While the service is away its newest signal waits; when it is
back that is handed over. When this process begins, the service tells which signals are in force.

It holds the strategy's name at the service, by saying so once a second: a second process of that
name is refused, and this one ends if another has taken its place while it was away.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
from decimal import Decimal
from itertools import count
from types import FrameType
from typing import TYPE_CHECKING, Any

from reconciler.cli import wiring
from reconciler.cli.app import Ask
from reconciler.core.decisions import FillShared
from reconciler.errors import (
    AlreadyRuns,
    ConfigError,
    NotFound,
    ReconcilerError,
    Refused,
    Unauthorized,
    Unreachable,
)
from reconciler.service.leases import LEASE_US
from reconciler.strategy.instance import Change
from reconciler.strategy.outbox import Outbox
from reconciler.strategy.signals import Signal

if TYPE_CHECKING:
    from reconciler.client import HttpDoor
    from reconciler.config import AppConfig
    from reconciler.strategy.registry import Spec
    from reconciler.venue import Feed

REACHED_WITHIN_S = 60.0  # at the start
LOOK_EVERY_S = 1.0  # for fills; so often it holds its name
FREE_WITHIN_S = LEASE_US / 1e6 + 1  # the name of one that is dead
MOST_FILLS = 1_000  # of all strategies, in one look


class Elsewhere:
    """One run of ``strategy run NAME``."""

    def __init__(self, ask: Ask, name: str, *, for_s: int | None) -> None:
        from reconciler.cli.run import log

        self._ask, self._config = ask, ask.settings()
        self._spec = _spec(self._config, name)
        self._for_s = for_s
        self._say = log(ask, self._config)
        self._over = threading.Event()
        self._door: HttpDoor | None = None
        self._feed: Feed | None = None
        self._failed = ""
        self._state = "off"
        self._reader: HttpDoor | None = None  # the same service, for the thread that looks
        self._last_fill = 0
        self._run, self._who = secrets.token_hex(8), f"{socket.gethostname()} pid {os.getpid()}"
        self._numbers = count(1)  # of what is said, whichever way it takes
        self._unwanted: Refused | None = None  # the service's word: another runs it, or nobody may
        self._told: dict[str, str] = {}  # by symbol: how it was refused last

    def run(self) -> None:
        """
        Run until somebody ends it.

        Raises:
            Refused: The strategy has failed.
            AlreadyRuns: Another process runs it.
            Refused, UnknownStrategy: Its table at the service says no, or is not there any more.
            Unreachable: No service answered at the start.
        """
        from reconciler.strategy.host import Host
        from reconciler.strategy.market import GRACE_US, Market

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signals = self._first_contact()
        outbox = self._outbox = Outbox(
            self._deliver, self._refused, waiting=self._waiting, on_crash=self._lost
        )
        host = self._host = Host(
            [self._spec],
            Market(self._spec.symbols, grace_us=GRACE_US),
            venue_us=self._venue_us,
            on_signal=outbox.put,
            on_change=self._changed,
            warn=lambda name, text: self._say("warning", "strategy.note", strategy=name, text=text),
            rejoin=lambda reason: self._feed.rejoin(reason) if self._feed is not None else None,
            on_crash=self._broke,
            on_loaded=self._connect,
            signals=signals,
        )
        outbox.start()
        host.start([self._spec.identifier])
        try:
            until = time.monotonic() + self._for_s if self._for_s is not None else float("inf")
            while not self._over.wait(LOOK_EVERY_S) and time.monotonic() < until:
                self._hold_on()
                self._look_for_fills()
        finally:
            if self._feed is not None:
                self._feed.close(1)
            host.stop()
            if self._state == "running" and self._unwanted is None:
                detail = "its process was ended; its last signal holds"
                outbox.put(Change(strategy=self._spec.identifier, state="stopped", detail=detail))
            outbox.drained(5)
            outbox.stop()
            for door in (self._door, self._reader):
                if door is not None:
                    door.close()
        if self._unwanted is not None:
            raise self._unwanted
        if self._failed:
            raise Refused(
                f"{self._spec.identifier} has failed: {self._failed}",
                next_step="Correct it, then run it again.",
            )

    # -- the service

    def _first_contact(self) -> list[Signal]:
        """The signals in force, told by the service; it may still be on its way up."""
        since: dict[type, float] = {}
        while True:
            try:
                self._new_fills()  # those of before are no news
                self._hold()
                return self._signals()
            except (Unreachable, Unauthorized, AlreadyRuns) as error:
                self._let_go()  # what answers next may be a new start, with another token
                self._let_go_of_reader()
                self._waiting(str(error))
                for_s = REACHED_WITHIN_S if isinstance(error, Unreachable) else FREE_WITHIN_S
                until_s = since.setdefault(type(error), time.monotonic()) + for_s
                if time.monotonic() > until_s or self._over.wait(1):
                    raise

    def _hold(self) -> None:
        if self._reader is None:
            self._reader = self._reach_anew()
        self._reader.hold_strategy(self._spec.identifier, self._run, self._who)

    def _hold_on(self) -> None:
        """Hold the name for some more seconds; without it there is nothing to do here."""
        try:
            self._hold()
        except Unauthorized:  # it was started again
            self._let_go_of_reader()
        except Refused as error:
            self._end(error)
        except ReconcilerError:  # the service is away: the next time
            self._let_go_of_reader()

    def _end(self, error: Refused) -> None:
        self._unwanted = error
        self._over.set()

    def _signals(self) -> list[Signal]:
        identifier = self._spec.identifier
        for row in self._reach().strategies():
            if row["strategy"] == identifier:
                return [
                    Signal(strategy=identifier, symbol=symbol, strength=Decimal(strength))
                    for symbol, strength in row["strengths"].items()
                ]
        return []

    def _reach(self) -> HttpDoor:
        """The door of the service; a service that was started again has another token."""
        if self._door is None:
            self._door = self._reach_anew()
        return self._door

    def _reach_anew(self) -> HttpDoor:
        """
        A door with the token of now: that of the journal's service, if it is the one that is meant.

        A service has a new token each time it starts, and the one in RECONCILER_TOKEN grows old.
        """
        from reconciler.service.servicefile import ServiceFile

        found, api = ServiceFile(self._config.database_path).read(), self._ask.api
        if found is not None and (api is None or _same(found.url, api)):
            door = wiring.beside(self._config.database_path)
        elif api is not None and not os.environ.get("RECONCILER_TOKEN"):
            raise Unreachable(
                f"{api} is not the service of this configuration, and RECONCILER_TOKEN is not set",
                next_step="Start `reconciler run`, or set it to the token of that service.",
            )
        else:
            door = wiring.running(self._ask, self._config)
        if door is None or not door.is_alive():
            raise Unreachable("no service is running", next_step="Start `reconciler run`.")
        door.run, door.numbers = self._run, self._numbers
        return door

    def _deliver(self, one: Signal | Change) -> None:
        from reconciler.service.door import StrategyReport

        try:
            if isinstance(one, Signal):
                self._reach().signal(one)
                self._told.pop(one.symbol, None)
                return
            assert one.state in ("running", "stopped", "failed")
            self._reach().report_strategy(
                StrategyReport(
                    strategy=one.strategy,
                    state=one.state,  # type: ignore[arg-type]
                    detail=one.detail,
                    parameters=one.parameters,
                )
            )
        except AlreadyRuns as error:
            self._end(error)
            raise
        except ReconcilerError as error:
            if isinstance(error, Unreachable | Unauthorized) or error.code in ("refused", "failed"):
                self._let_go()
            if isinstance(error, Unauthorized):  # of a run before: the next try finds the new one
                raise Unreachable(error.message) from None
            raise

    def _let_go(self) -> None:
        door, self._door = self._door, None
        if door is not None:
            door.close()

    def _look_for_fills(self) -> None:
        """Hand over its parts of fills since the last look."""
        if "on_fill" not in self._host.runner.instance(self._spec.identifier).defined:
            return
        try:
            for row in self._new_fills():
                self._host.fill(_fill(row))
        except ReconcilerError:  # what is missed now, the next look tells
            self._let_go_of_reader()

    def _let_go_of_reader(self) -> None:
        door, self._reader = self._reader, None
        if door is not None:
            door.close()

    def _new_fills(self) -> list[dict[str, Any]]:
        """What was booked since the last time, oldest first."""
        if self._reader is None:
            self._reader = self._reach_anew()
        rows = self._reader.rows("fill_shares", limit=MOST_FILLS)
        last = self._last_fill
        self._last_fill = max((row["seq"] for row in rows), default=last)
        new = [r for r in rows if r["seq"] > last and r["strategy"] == self._spec.identifier]
        return sorted(new, key=lambda row: row["seq"])

    # -- what is told

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._over.set()

    def _connect(self) -> None:
        needs, tables = self._host.runner.wanted()
        if needs and self._feed is None:
            make = wiring.make_feed(self._config)
            self._feed = make(needs, tables, self._host.offer, self._broke)
            self._feed.start()

    def _venue_us(self) -> int:
        return self._feed.venue_us() if self._feed is not None else time.time_ns() // 1000

    def _changed(self, change: Change) -> None:
        from reconciler.service.strategies import LEVEL, NAME

        self._state = change.state
        said = {"traceback": change.traceback} if change.traceback else {}
        self._say(
            LEVEL[change.state], NAME[change.state],
            strategy=change.strategy, detail=change.detail, **said,
        )  # fmt: skip
        self._outbox.put(change)
        if change.state == "failed":
            self._failed = change.detail
            self._over.set()

    def _refused(self, one: Signal | Change, error: ReconcilerError) -> None:
        """Tell it once: a strategy says the same once a second, and so would its refusal."""
        values = {"symbol": one.symbol} if isinstance(one, Signal) else {"state": one.state}
        key = " ".join(values.values())
        if self._told.get(key) != str(error):
            self._told[key] = str(error)
            self._say(
                "warning", "signal.refused", strategy=one.strategy, error=str(error), **values
            )

    _waits = ""

    def _waiting(self, why: str) -> None:
        if why and not self._waits:
            self._say("warning", "signal.wait", strategy=self._spec.identifier, error=why)
        elif self._waits and not why:
            self._say("info", "signal.again", strategy=self._spec.identifier)
        self._waits = why

    def _lost(self, _: Signal | Change, error: Exception) -> None:
        self._broke(error)

    def _broke(self, error: BaseException) -> None:
        self._failed = f"{type(error).__name__}: {error}"
        self._over.set()


def _spec(config: AppConfig, name: str) -> Spec:
    """
    The instance of that name, if it is to run here.

    Raises:
        NotFound: There is none.
        ConfigError: The service runs it itself, or nobody is to run it.
    """
    specs = wiring.strategies(config)
    for spec in specs:
        if name in (spec.name, spec.identifier):
            if spec.runs != "process":
                raise ConfigError(
                    f"strategy.{spec.name} runs inside the service",
                    next_step='Write runs = "process" in its table, then: reconciler config reload',
                    setting=f"strategy.{spec.name}.runs",
                )
            if not spec.enabled:
                raise ConfigError(
                    f"strategy.{spec.name} has enabled = false",
                    next_step="Write enabled = true in its table, then: reconciler config reload",
                    setting=f"strategy.{spec.name}.enabled",
                )
            return spec
    known = ", ".join(spec.name for spec in specs) or "none"
    raise NotFound(f"there is no strategy {name[:60]!r}", next_step=f"There are: {known}.")


def _same(one: str, other: str) -> bool:
    """Whether two addresses of an API are one."""
    return one.rstrip("/").removesuffix("/api/v1") == other.rstrip("/").removesuffix("/api/v1")


def _fill(row: dict[str, Any]) -> FillShared:
    """A row of the listing as the fact that it was."""
    return FillShared(
        exec_id=row["exec_id"],
        symbol=row["symbol"],
        strategy=row["strategy"],
        contracts=row["contracts"],
        price=None if row["price"] is None else Decimal(str(row["price"])),
        cost_minor=row["cost_minor"],
        fee_minor=row["fee_minor"],
        realised_minor=row["realised_pnl_minor"],
        currency=row["currency"],
        position=row["running_contracts"],
    )
