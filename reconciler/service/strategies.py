"""
Strategies inside the service: who runs, what they are told, and what becomes of what they say.

    venue's market data ─> Host (its own thread) ─> signals ─> the loop: recorded, netted to targets
    facts of the engine ─> on_fill                  changes ─> the loop: recorded as StrategyChanged

They begin once the service is in sync for the first time. Nothing they do can hold up the loop: it
hands market data over, and is handed signals. A strategy that a person stopped, or that failed
while it ran, stays so over restarts until somebody starts it; one that could not be loaded is tried
again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reconciler.core.decisions import FillShared
from reconciler.core.events import AnyEvent, StrategyChanged, Synced
from reconciler.core.ledger import Ledger
from reconciler.errors import NotFound, ReconcilerError, Refused
from reconciler.feed import News
from reconciler.service import interval, standing
from reconciler.service.engine import Step, Watcher
from reconciler.service.handover import Handover, Record
from reconciler.service.standing import GONE, MOVED, OFF, Adopted
from reconciler.service.telling import Say
from reconciler.strategy.failing import whole
from reconciler.strategy.history import Needs
from reconciler.strategy.host import Host
from reconciler.strategy.instance import Change
from reconciler.strategy.market import GRACE_US, Market
from reconciler.strategy.registry import Spec
from reconciler.strategy.runner import Runner
from reconciler.strategy.signals import Signal
from reconciler.venue import Feed

#: Makes the source of market data: what is needed of each symbol, more tables, where it goes, and
#: whom to tell that it has died.
MakeFeed = Callable[
    [
        Mapping[str, Needs],
        tuple[str, ...],
        Callable[[Iterable[News]], None],
        Callable[[BaseException], None],
    ],
    Feed,
]

#: What is to be recorded of signals, and whom to tell of those that are refused.
Take = Callable[
    [Ledger, Iterable[Signal], Callable[[Signal, ReconcilerError], None]], Sequence[AnyEvent]
]

Wanted = tuple[Mapping[str, Needs], tuple[str, ...]]

HANDED_OVER_WITHIN_S = 10.0

ALIVE = ("waiting", "running")

#: Of the log, by the state of a strategy.
LEVEL = {"running": "info", "stopped": "warning", "failed": "error"}
NAME = {"running": "strategy.start", "stopped": "strategy.stop", "failed": "strategy.fail"}


class Strategies:
    """
    The strategies of a service.

    Args:
        specs: As configured.
        make_feed: Makes the source of market data, once it is known what is needed.
        in_loop: Runs a call in the loop and steps what it returns.
        now_us: The time for events.
        record: Of the loop, as `Handover` has it.
        take: What is to be recorded of signals; it is handed whom to tell of those it refuses.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        make_feed: MakeFeed,
        *,
        in_loop: Callable[[Callable[[], Iterable[AnyEvent]]], None],
        now_us: Callable[[], int],
        record: Record,
        take: Take,
        say: Say,
    ) -> None:
        self.specs = tuple(specs)
        self._make_feed = make_feed
        self._in_loop = in_loop
        self._now_us = now_us
        self._take = take
        self._say = say
        self._handover = Handover(record, self._events, self._event, self._not_recorded)
        self._feed: Feed | None = None
        self._host: Host | None = None
        self._asked: Wanted = ({}, ())
        self._closed = False

    @property
    def own(self) -> list[Spec]:
        """Those that run in the service."""
        return [spec for spec in self.specs if spec.runs == "service"]

    # -- in the loop

    def watcher(self, ledger: Ledger) -> Watcher:
        """For the engine: what is done with each batch of steps."""
        return lambda steps: self._watch(steps, ledger)

    def _watch(self, steps: Sequence[Step], ledger: Ledger) -> None:
        """Begin once the service is in sync, and hand over fills."""
        host = self._host
        if host is None:
            if self.own and not ledger.stopping:
                if any(isinstance(event, Synced) for event, _, _ in steps):
                    self._begin(ledger)
            return
        for _, _, facts in steps:
            for fact in facts:
                if isinstance(fact, FillShared):
                    host.fill(fact)

    def _begin(self, ledger: Ledger) -> None:
        own = self.own
        symbols = dict.fromkeys(symbol for spec in own for symbol in spec.symbols)
        host = self._host = Host(
            own,
            Market(symbols, grace_us=GRACE_US),
            venue_us=self._venue_us,
            on_signal=self._handover.put,
            on_change=self._changed,
            warn=lambda strategy, text: self._say(
                "warning", "strategy.note", strategy=strategy, text=text
            ),
            rejoin=self._rejoin,
            on_crash=self._broke,
            on_loaded=lambda: self._in_loop(self._connect),
            signals=[one for spec in own for one in standing.in_force(ledger, spec.identifier)],
        )
        interval.enter()
        for spec in own:
            if (why := standing.held_back(spec, ledger)) is not None:
                host.runner.leave(spec.identifier, *why)
                self._say_held_back(spec, why)
        host.start(spec.identifier for spec in own if standing.held_back(spec, ledger) is None)

    def _say_held_back(self, spec: Spec, why: tuple[str, str]) -> None:
        state, detail = why
        if detail != OFF:
            self._say(
                "warning",
                "strategy.stop",
                strategy=spec.identifier,
                detail=f"{state} in an earlier run: {detail}",
                next=f"reconciler strategies start {spec.name}",
            )

    def adopt(self, specs: Sequence[Spec], ledger: Ledger) -> Adopted:
        """
        Other tables are in force: new ones begin, those that are gone end, changed ones begin anew.

        One that a person stopped stays so. One that failed is tried again if its table changed.
        """
        before = {spec.identifier: spec for spec in self.own}
        elsewhere = standing.ended_elsewhere(self.specs, specs)
        self.specs = tuple(specs)
        now = {spec.identifier: spec for spec in self.own}
        left = [identifier for identifier in before if identifier not in now]
        if self._host is None:
            if now and ledger.in_sync and not ledger.stopping:
                self._begin(ledger)
            return Adopted(started=tuple(self._beginning(now.values(), ledger)), stopped=elsewhere)
        instances = self._host.runner.instances
        # As far as is known here: what waits for their thread comes before this, and may change it.
        states = {name: instances[name].state for name in before if name in instances}
        runs = {name for name, state in states.items() if state in ALIVE}
        new = [spec for name, spec in now.items() if standing.is_new(spec, before.get(name))]
        begin = self._beginning(new, ledger)
        off = [n for n, spec in now.items() if n in before and standing.is_off(spec, before[n])]
        changed = [
            name
            for name, spec in now.items()
            if name in before and name not in off and standing.differ(spec, before[name])
        ]
        held = {spec.identifier: standing.held_back(spec, ledger) for spec in new}
        signals = {name: standing.in_force(ledger, name) for name in now}

        def command(runner: Runner) -> None:
            for name in left:
                runner.drop(name)
            for name, spec in now.items():
                runner.adopt(spec, signals[name])
            for name, why in held.items():
                if why is not None and runner.instance(name).state == "off":
                    runner.leave(name, *why)
            for name in off:
                if runner.instance(name).state in ALIVE:
                    runner.stop(name, OFF)
            for name in changed:
                if runner.instance(name).state in (*ALIVE, "failed"):
                    runner.restart(name)
            for name in begin:
                if runner.instance(name).state not in ALIVE:
                    runner.start(name)

        self._host.later(command)
        for name in left:
            self._say("warning", "strategy.stop", strategy=name, detail=self._why_left(name))
        return Adopted(
            started=tuple(name for name in begin if name not in runs),
            restarted=tuple(
                name
                for name in changed
                if name in runs or (states.get(name) == "failed" and name not in begin)
            ),
            stopped=(*left, *(name for name in off if name in runs), *elsewhere),
            events=[
                StrategyChanged(
                    at_us=self._now_us(),
                    strategy=name,
                    state="stopped",
                    detail=self._why_left(name),
                )
                for name in left
            ],
        )

    def _why_left(self, identifier: str) -> str:
        return MOVED if any(identifier == spec.identifier for spec in self.specs) else GONE

    @staticmethod
    def _beginning(specs: Iterable[Spec], ledger: Ledger) -> list[str]:
        return [spec.identifier for spec in specs if standing.held_back(spec, ledger) is None]

    def _connect(self) -> Iterable[AnyEvent]:
        """All are loaded: what the market has to bring is known. Ask for it, or for more of it."""
        if self._closed or self._host is None:
            return ()
        needs, tables = self._host.runner.wanted()
        if not needs or (self._feed is not None and _covers(self._asked, (needs, tables))):
            return ()
        self._asked = needs, tables
        try:
            if self._feed is not None:
                self._feed.want(needs, tables)
            else:
                self._feed = self._make_feed(needs, tables, self._host.offer, self.market_broke)
                self._feed.start()
        except ReconcilerError as error:  # theirs to fail of, not the loop's
            self.market_broke(error)
        return ()

    def close(self) -> None:
        """End the strategies and their market data."""
        if self._closed:
            return
        self._closed = True
        if self._feed is not None:
            self._feed.close(1)
        if self._host is not None:
            self._host.stop()
            interval.leave()

    # -- in the strategies' threads

    def _venue_us(self) -> int:
        return self._feed.venue_us() if self._feed is not None else self._now_us()

    def _broke(self, error: BaseException) -> None:
        """An error of our own beside the loop: it ends the strategies, and not the service."""
        said = f"{type(error).__name__}: {error}"
        self._say("critical", "strategy.fail", strategy="all", detail=said, traceback=whole(error))

    def _not_recorded(self, one: Signal, error: Exception) -> None:
        """What a strategy said breaks whoever is to record it: it has failed, and no other has."""
        self._broke(error)
        if self._host is not None:
            self._host.later(lambda runner: runner.fail(one.strategy, error))

    def market_broke(self, error: BaseException) -> None:
        """The feed's thread died."""
        self._broke(error)
        if self._host is not None:
            self._host.market_broke(error)

    def _rejoin(self, reason: str) -> None:
        if self._feed is not None:
            self._feed.rejoin(reason)

    def _changed(self, change: Change) -> None:
        said = {"traceback": change.traceback} if change.traceback else {}
        self._say(
            LEVEL[change.state],
            NAME[change.state],
            strategy=change.strategy,
            detail=change.detail,
            **said,
        )
        self._handover.put(change)

    def _events(self, ledger: Ledger, signals: Iterable[Signal]) -> Sequence[AnyEvent]:
        return self._take(ledger, signals, self._refused)

    def _refused(self, one: Signal, error: ReconcilerError) -> None:
        """A signal that leads nowhere: nobody weighs it."""
        self._say(
            "warning",
            "signal.refused",
            strategy=one.strategy,
            symbol=one.symbol,
            strength=f"{one.strength:f}",
            error=str(error),
        )

    def _event(self, change: Change) -> StrategyChanged:
        return StrategyChanged(
            at_us=self._now_us(),
            strategy=change.strategy,
            state=change.state,
            detail=change.detail,
            parameters=change.parameters,
        )

    # -- for doors, in any thread

    def table(self) -> list[dict[str, Any]]:
        """Every strategy of the configuration that runs in the service."""
        if self._host is None:
            return Runner(
                self.own,
                Market(()),
                on_signal=lambda _: None,
                on_change=lambda _: None,
            ).table()
        return self._host.table()

    def do(self, name: str, what: str, *, by: str, zero: bool = False) -> dict[str, Any]:
        """
        Start, stop or restart one.

        Raises:
            NotFound: There is none of that name.
            Refused: It runs already, does not run, or runs elsewhere.
            TimeoutError: It could not be done, or not be handed to the loop, for now.
        """
        self._refuse_strangers(name)
        if self._host is None:
            raise Refused("strategies begin once the service is in sync", next_step="Try again.")

        def command(runner: Runner) -> None:
            if what == "restart":
                runner.restart(name, zero=zero)
            elif what == "stop":
                runner.stop(name, f"by {by}", zero=zero)
            else:
                runner.start(name)

        self._host.do(command)
        if not self._handover.handed_over(HANDED_OVER_WITHIN_S):
            raise TimeoutError("it is done, and not recorded yet: the service is busy")
        identifier = self._host.runner.instance(name).identifier
        return next(row for row in self.table() if row["strategy"] == identifier)

    def health(self) -> dict[str, object]:
        """For people: how many are in which state, and what of the threads beside the loop."""
        table = self.table()
        found: dict[str, object] = dict(Counter(row["state"] for row in table))
        if waits := [row["detail"] for row in table if row["state"] == "waiting"]:
            found["waits"] = waits[0]
        if self._host is not None:
            found |= self._host.health()
        if self._feed is not None:
            found["market"] = self._feed.health()
        return found

    def _refuse_strangers(self, name: str) -> None:
        for spec in self.specs:
            if name in (spec.name, spec.identifier) and spec.runs != "service":
                raise Refused(
                    f"{spec.identifier} runs in a process of its own",
                    next_step="Start or stop that one: reconciler strategy run " + spec.name,
                )
        if not self.specs:
            raise NotFound("no strategy is configured", next_step="Write [strategy.NAME] tables.")
        if not any(name in (spec.name, spec.identifier) for spec in self.specs):
            there = ", ".join(spec.identifier for spec in self.specs)
            raise NotFound(f"there is no strategy {name[:60]!r}", next_step=f"There are: {there}.")


def _covers(asked: Wanted, wanted: Wanted) -> bool:
    """Whether what was asked of the market has all that is wanted now."""
    needs, tables = asked
    return set(wanted[1]) <= set(tables) and all(
        symbol in needs
        and all(needs[symbol].bars.get(length, -1) >= n for length, n in past.bars.items())
        for symbol, past in wanted[0].items()
    )
