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
from reconciler.service import interval
from reconciler.service.engine import Step, Watcher
from reconciler.service.netting import Weights
from reconciler.service.telling import Say
from reconciler.strategy.failing import whole
from reconciler.strategy.history import Needs
from reconciler.strategy.host import Host
from reconciler.strategy.market import GRACE_US, Market
from reconciler.strategy.outbox import Outbox
from reconciler.strategy.portfolio import known
from reconciler.strategy.registry import Spec
from reconciler.strategy.runner import Change, Runner
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

Wanted = tuple[Mapping[str, Needs], tuple[str, ...]]

HANDED_OVER_WITHIN_S = 10.0

#: Of the log, by the state of a strategy.
LEVEL = {"running": "info", "stopped": "warning", "failed": "error"}
NAME = {"running": "strategy.start", "stopped": "strategy.stop", "failed": "strategy.fail"}

#: Of a strategy that no table and no source names: what it said counts no more, and nobody runs it.
GONE = "it was taken out of the configuration"


def gone(ledger: Ledger, weights: Weights, at_us: int) -> list[StrategyChanged]:
    """
    Tell of those that were taken out since the last run, whatever their state was.

    Where nobody at all is named, a file was lost or makes no sense: that is no word about anybody.
    """
    if not weights.strategies and not weights.portfolios:
        return []
    return [
        StrategyChanged(at_us=at_us, strategy=name, state="stopped", detail=GONE)
        for name, said in ledger.strategies.items()
        if said.detail != GONE and not known(weights.portfolios, weights.strategies, name)
    ]


class Strategies:
    """
    The strategies of a service.

    Args:
        specs: As configured.
        make_feed: Makes the source of market data, once it is known what is needed.
        in_loop: Runs a call in the loop and steps what it returns.
        now_us: The time for events.
        signal: Records a signal, and returns once it is; called in a thread of its own.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        make_feed: MakeFeed,
        *,
        in_loop: Callable[[Callable[[], Iterable[AnyEvent]]], None],
        now_us: Callable[[], int],
        signal: Callable[[Signal], object],
        say: Say,
    ) -> None:
        self.specs = tuple(specs)
        self._make_feed = make_feed
        self._in_loop = in_loop
        self._now_us = now_us
        self._signal = signal
        self._say = say
        self._outbox = Outbox(self._record, self._refused, on_crash=self._broke)
        self._feed: Feed | None = None
        self._host: Host | None = None
        self._asked: Wanted = ({}, ())
        self._closed = False

    # -- in the loop

    def watcher(self, ledger: Ledger) -> Watcher:
        """For the engine: what is done with each batch of steps."""
        return lambda steps: self._watch(steps, ledger)

    def _watch(self, steps: Sequence[Step], ledger: Ledger) -> None:
        """Begin once the service is in sync, and hand over fills."""
        host = self._host
        for event, _, facts in steps:
            if host is None and isinstance(event, Synced) and not ledger.stopping:
                host = self._begin(ledger)
            for fact in facts:
                if isinstance(fact, FillShared) and host is not None:
                    host.fill(fact)

    def _begin(self, ledger: Ledger) -> Host:
        own = [spec for spec in self.specs if spec.runs == "service"]
        symbols = dict.fromkeys(symbol for spec in own for symbol in spec.symbols)
        signals = [
            Signal(
                strategy=one.strategy,
                symbol=one.symbol,
                strength=one.strength,
                reason=one.reason,
                price=one.price,
            )
            for one in ledger.signals.values()
        ]
        host = self._host = Host(
            own,
            Market(symbols, grace_us=GRACE_US),
            venue_us=self._venue_us,
            on_signal=self._outbox.put,
            on_change=self._changed,
            warn=lambda strategy, text: self._say(
                "warning", "strategy.note", strategy=strategy, text=text
            ),
            rejoin=self._rejoin,
            on_crash=self._broke,
            on_loaded=lambda: self._in_loop(self._connect),
            signals=signals,
        )
        self._outbox.start()
        interval.enter()
        host.start(spec.identifier for spec in own if self._may_begin(spec, ledger))
        return host

    def _may_begin(self, spec: Spec, ledger: Ledger) -> bool:
        """Whether it starts with the service: not if a person or its own failure stopped it."""
        assert self._host is not None
        before = ledger.strategies.get(spec.identifier)
        if not spec.enabled:
            self._host.runner.leave(spec.identifier, "off", "enabled = false")
            return False
        was_stopped = before is not None and before.state == "stopped" and before.detail != GONE
        has_failed = before is not None and before.state == "failed" and before.parameters
        if before is None or not (was_stopped or has_failed):
            return True
        self._host.runner.leave(spec.identifier, before.state, before.detail)
        self._say(
            "warning",
            "strategy.stop",
            strategy=spec.identifier,
            detail=f"{before.state} in an earlier run: {before.detail}",
            next=f"reconciler strategies start {spec.name}",
        )
        return False

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
        self._outbox.stop()

    # -- in the strategies' threads

    def _venue_us(self) -> int:
        return self._feed.venue_us() if self._feed is not None else self._now_us()

    def _broke(self, error: BaseException) -> None:
        """An error of our own beside the loop: it ends the strategies, and not the service."""
        said = f"{type(error).__name__}: {error}"
        self._say("critical", "strategy.fail", strategy="all", detail=said, traceback=whole(error))

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
        self._outbox.put(change)

    def _record(self, one: Signal | Change) -> None:
        if isinstance(one, Signal):
            self._signal(one)
        else:
            self._in_loop(lambda: [self._event(one)])

    def _refused(self, one: Signal | Change, error: ReconcilerError) -> None:
        """A signal that leads nowhere: nobody weighs it, or its target is refused."""
        assert isinstance(one, Signal)
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
                [spec for spec in self.specs if spec.runs == "service"],
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
            if what == "restart" and runner.instance(name).state not in ("waiting", "running"):
                runner.start(name)
                return
            if what in ("stop", "restart"):
                runner.stop(name, f"by {by}", zero=zero)
            if what in ("start", "restart"):
                runner.start(name)

        self._host.do(command)
        if not self._outbox.handed_over(HANDED_OVER_WITHIN_S):
            raise TimeoutError("it is done, and not recorded yet: the service is busy")
        identifier = self._host.runner.instance(name).identifier
        return next(row for row in self.table() if row["strategy"] == identifier)

    def health(self) -> dict[str, object]:
        """For people: how many are in which state, and what of the threads beside the loop."""
        found: dict[str, object] = dict(Counter(row["state"] for row in self.table()))
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


def _covers(asked: Wanted, wanted: Wanted) -> bool:
    """Whether what was asked of the market has all that is wanted now."""
    needs, tables = asked
    return set(wanted[1]) <= set(tables) and all(
        symbol in needs
        and all(needs[symbol].bars.get(length, -1) >= n for length, n in past.bars.items())
        for symbol, past in wanted[0].items()
    )
