"""
The runner: what happens to whom, in which order. No thread, no clock, no socket.

    market data ─> Market ─> calls of callbacks ─> signals, failures

What comes in is turned into *calls*, one a strategy and callback, and they are carried out one
after the other: the same inputs give the same signals, in a test as in the service. To carry out a
call has two halves, so that somebody else may end it: `carry_out` runs the user's code, `finish`
books what came of it. Between the two a strategy may be stuck; `reconciler.strategy.host` finishes
its call in its place, and goes on with the others.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from reconciler.errors import NotFound, Refused
from reconciler.feed import History, Joined, Lost, News
from reconciler.strategy import base, registry
from reconciler.strategy.bars import KEEP, length_us
from reconciler.strategy.base import CALLBACKS, BadSignal, Strategy
from reconciler.strategy.failing import told, whole
from reconciler.strategy.history import Needs as Past
from reconciler.strategy.instance import DONE, Call, Change, Instance, Loaded, Outcome, row_of
from reconciler.strategy.market import BarEvent, Market, Snapshot, Tick
from reconciler.strategy.registry import Spec
from reconciler.strategy.signals import Signal

if TYPE_CHECKING:
    from reconciler.core.decisions import FillShared

WAITING = "waiting for the market"
LOAD = "load"  # the call that imports the class and makes the instance
MOST_NOTES = 20  # of a strategy, in a second of the market
REPEAT_US = 1_000_000  # a signal that says the same again is handed on so often, and not more


class Runner:
    """
    Strategies on one market.

    Args:
        specs: The instances that there are; none runs until `start`.
        market: What they all look at. Whoever feeds it hands its news to `see`.
        on_signal: Told every signal that is another one than before, and repeats once a second:
            a target with a time to live lives on by them.
        on_change: Told when a strategy runs, is stopped or fails.
        warn: Told what a strategy wants in the log: its identifier, and the text.
        on_loaded: Told when all that were to be loaded are, or have failed: what the market has to
            bring is known then.
        signals: In force from before, by identifier and symbol.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        market: Market,
        *,
        on_signal: Callable[[Signal], None],
        on_change: Callable[[Change], None],
        warn: Callable[[str, str], None] = lambda *_: None,
        on_loaded: Callable[[], None] = lambda: None,
        signals: Iterable[Signal] = (),
    ) -> None:
        self.instances = {spec.identifier: Instance(spec) for spec in specs}
        self.market = market
        self._on_signal = on_signal
        self._on_change = on_change
        self._warn = warn
        self._on_loaded = on_loaded
        #: Of symbols whose past has been told: the bars that were asked for; None: all of them.
        self._known: dict[str, Mapping[int, int] | None] = {}
        self._pending: deque[Call] = deque()
        self._hearers: dict[tuple[str, str], list[Instance]] = {}  # by callback and symbol
        self._hearers_of = self.instances
        for signal in signals:
            if (instance := self.instances.get(signal.strategy)) is not None:
                instance.signals[signal.symbol] = signal

    # -- commands

    def start(self, identifier: str) -> None:
        """Load it and let it run, once the market is ready for it. Raises NotFound, Refused."""
        instance = self.instance(identifier)
        if instance.state in ("waiting", "running"):
            raise Refused(f"{identifier} is {instance.state} already")
        instance.begin()
        self._pending.append(Call(instance, instance.life, LOAD))

    def stop(self, identifier: str, detail: str = "", *, zero: bool = False) -> None:
        """Call nothing of it any more. Raises NotFound, Refused."""
        instance = self.instance(identifier)
        if instance.state not in ("waiting", "running"):
            raise Refused(f"{identifier} does not run: it is {instance.state}")
        self._end(instance, "stopped", detail, zero=zero)
        self._tell_if_loaded()  # the others may have waited for this one

    def restart(self, identifier: str, *, zero: bool = False) -> None:
        """
        Let it begin afresh. Raises NotFound.

        That it stopped in between is told to nobody: a kill at that moment must not leave it so.
        """
        instance = self.instance(identifier)
        if instance.state in ("waiting", "running"):
            self._leave_off(instance, "off", "")
            if zero:
                self._zero(instance)
        self.start(instance.identifier)

    def adopt(self, spec: Spec, signals: Iterable[Signal] = ()) -> None:
        """
        There is another instance, or what is configured of one has changed.

        It does not begin by this, nor begin anew.

        Args:
            spec: As it is from now on.
            signals: In force, of a new one.
        """
        if (known := self.instances.get(spec.identifier)) is not None:
            known.spec = spec
            return
        self.market.add(spec.symbols)
        instance = Instance(spec)
        instance.signals = {signal.symbol: signal for signal in signals}
        self.instances = self.instances | {spec.identifier: instance}  # others look at the old one

    def drop(self, identifier: str) -> None:
        """There is no such instance any more. Told to nobody: whoever asks for it knows."""
        self._leave_off(self.instances[identifier], "off", "")
        self.instances = {n: one for n, one in self.instances.items() if n != identifier}
        self._tell_if_loaded()

    def fail(self, identifier: str, error: BaseException) -> None:
        """What it said cannot be dealt with: it has failed, if it still runs."""
        instance = self.instances.get(identifier)
        if instance is not None and instance.state in ("waiting", "running"):
            self._fail(instance, "signal", error)

    def fail_all(self, error: BaseException) -> None:
        """What all of them stand on has broken: every one that runs has failed."""
        for instance in self.instances.values():
            if instance.state in ("waiting", "running"):
                self._fail(instance, "market", error)

    def instance(self, identifier: str) -> Instance:
        """One of them, by its identifier or the name in the configuration. Raises NotFound."""
        if (named := self.instances.get(identifier)) is not None:
            return named
        for instance in self.instances.values():
            if identifier == instance.spec.name:
                return instance
        known = ", ".join(self.instances) or "none"
        raise NotFound(
            f"there is no strategy {identifier[:60]!r}", next_step=f"There are: {known}."
        )

    def leave(self, identifier: str, state: str, detail: str) -> None:
        """It does not begin, and why: told to nobody, for it was told before."""
        instance = self.instance(identifier)
        instance.state, instance.detail = state, detail
        if state == "failed" and instance.spec.on_failure == "zero":
            self._zero(instance)  # unless it was: a kill may have come between the two

    def wanted(self) -> tuple[dict[str, Past], tuple[str, ...]]:
        """What the market has to bring: of each symbol its past, and tables beside the usual."""
        past: dict[str, dict[str, int]] = {}
        tables: dict[str, None] = {}
        for instance in self.instances.values():
            if instance.strategy is None:
                continue
            tables.update(dict.fromkeys(instance.needs.tables))
            for symbol in instance.spec.symbols:
                bars = past.setdefault(symbol, {})
                for length in instance.bars:
                    bars[length] = max(bars.get(length, 0), instance.needs.look_back)
        return {symbol: Past(bars) for symbol, bars in past.items()}, tuple(tables)

    # -- what comes in

    def take(self, news: News) -> None:
        """A feed told something: the calls that follow are due, in this order."""
        if isinstance(news, History):
            self._known[news.symbol] = news.bars
        elif isinstance(news, Lost):
            self._known.clear()  # it will be told anew
        self._see(self.market.take(news))
        if isinstance(news, (History, Joined)):  # nothing else makes a market ready
            self._begin_ready()

    def advance(self, venue_us: int) -> None:
        """The venue's clock says so: bars end, and seconds have their snapshots."""
        self._see(self.market.advance(venue_us))

    def _see(self, told: Iterable[Tick | BarEvent | Snapshot]) -> None:
        for one in told:
            if isinstance(one, Tick):
                self._queue("on_tick", one.symbol, one)
            elif isinstance(one, Snapshot):
                self._queue("on_snapshot", one.symbol, one)
            elif one.kind == "open":
                self._queue("on_bar_open", one.bar.symbol, one.bar, one.bar.length_us)
            elif one.kind == "close":
                self._queue("on_bar_close", one.bar.symbol, one.bar, one.bar.length_us)
            # One that was revised can be looked at in the market: nobody acts on it twice.

    def fill(self, fill: FillShared) -> None:
        """A strategy's part of a fill was booked."""
        instance = self.instances.get(fill.strategy)
        if instance is not None and instance.state == "running":
            self._pending.append(Call(instance, instance.life, "on_fill", fill))

    def _begin_ready(self) -> None:
        """Let those begin for whom the market has become ready."""
        for instance in self.instances.values():
            if instance.detail == WAITING and self._is_ready(instance):
                instance.detail = "beginning"
                self._pending.append(Call(instance, instance.life, "on_start"))

    def _is_ready(self, instance: Instance) -> bool:
        """Whether the market has what it needs: it is in sync, and its past has been told."""
        return not self._lacks(instance)

    def _lacks(self, instance: Instance) -> str:
        """What of the market it waits for, in words."""
        symbols = instance.spec.symbols
        if dark := [symbol for symbol in symbols if not self.market[symbol].in_sync]:
            return f"{_some(dark)}: not in sync"
        if past := [symbol for symbol in symbols if not self._knows(symbol, instance)]:
            bars = ", ".join(instance.bars)
            return f"{_some(past)}: history is read, {instance.needs.look_back} bars of {bars}"
        return ""

    def _knows(self, symbol: str, instance: Instance) -> bool:
        """Whether as much of a symbol's past has been told as an instance asked for."""
        look_back = instance.needs.look_back
        if not look_back:
            return True
        if symbol not in self._known:
            return False
        told = self._known[symbol]
        return told is None or all(told.get(n, -1) >= look_back for n in instance.lengths_us)

    def _queue(self, name: str, symbol: str, argument: object, length: int = 0) -> None:
        for instance in self._hearing(name, symbol):
            if instance.state == "running" and (not length or length in instance.lengths_us):
                self._pending.append(Call(instance, instance.life, name, argument))

    def _hearing(self, name: str, symbol: str) -> Iterable[Instance]:
        """Who defines a callback for a symbol: looked up once, for there are many ticks."""
        if self._hearers_of is not self.instances:
            self._hearers, self._hearers_of = {}, self.instances
        found = self._hearers.get((name, symbol))
        if found is None:
            found = self._hearers[name, symbol] = [
                instance
                for instance in self.instances.values()
                if name in instance.defined and symbol in instance.spec.symbols
            ]
        return found

    # -- carrying out

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due."""
        return not self._pending

    def drain(self) -> None:
        """Carry out all that is due, here and now: for tests and simulations."""
        while (call := self.next_call()) is not None:
            self.finish(call, self.carry_out(call))

    def next_call(self) -> Call | None:
        """The call that is due; those of strategies that have ended are dropped."""
        while self._pending:
            call = self._pending.popleft()
            if call.life == call.instance.life:
                return call
        return None

    def carry_out(self, call: Call) -> Outcome:
        """Run the user's code, and touch nothing of ours: it may end after it was given up."""
        instance = call.instance
        try:
            if call.name == LOAD:
                return Outcome(loaded=self._load(instance))
            arguments = () if call.argument is None else (call.argument,)
            getattr(instance.strategy, call.name)(*arguments)
        except BaseException as error:  # even sys.exit(): the service is not the strategy's to end
            return Outcome(error)
        return DONE

    def finish(self, call: Call, outcome: Outcome) -> None:
        """Book what came of a call: the instance, its signals, or its failure."""
        instance = call.instance
        if call.life == instance.life:
            if outcome.error is not None:
                self._fail(instance, call.name, outcome.error)
            elif outcome.loaded is not None:
                self._loaded(instance, outcome.loaded)
            elif instance.said and not all(map(instance.may_say, list(instance.said.values()))):
                self._fail(instance, call.name, BadSignal("it spoke as somebody else"))
            else:
                if call.name == "on_start":
                    instance.state, instance.detail = "running", ""
                    self._tell(instance)
                if instance.said:
                    self._send(instance)
            if call.name == LOAD:
                self._tell_if_loaded()

    def _tell_if_loaded(self) -> None:
        """None is to be loaded any more: what the market has to bring is known."""
        if not any(one.name == LOAD and one.life == one.instance.life for one in self._pending):
            self._on_loaded()

    def _send(self, instance: Instance) -> None:
        """What a callback said counts now that it has come back."""
        for symbol in list(instance.said):  # a thread of the strategy's may be saying more
            signal = instance.clean(instance.said.pop(symbol))
            before = instance.signals.get(symbol)
            instance.signals[symbol] = signal
            now_us = self.market.venue_us
            repeats = before is not None and before.strength == signal.strength
            if repeats and now_us - instance.told_us.get(symbol, 0) < REPEAT_US:
                continue  # no news; but now and then, to show that it still thinks so
            instance.told_us[symbol] = now_us
            self._on_signal(signal)

    def _load(self, instance: Instance) -> Loaded:
        spec = instance.spec
        strategy = base.make(
            registry.load(spec.kind),
            identifier=instance.identifier,
            symbols=spec.symbols,
            bar=spec.bar,
            parameters=spec.parameters,
        )
        said: dict[str, Signal] = {}
        strategy._say = lambda signal: said.update({signal.symbol: signal})
        strategy._warn = functools.partial(self._note, instance)
        strategy.market = self.market
        strategy.signals = MappingProxyType(instance.signals)
        if old := registry.outdated(type(strategy)):
            strategy.warn(f"{old} was written anew: only a new start of the service takes that")
        return Loaded(strategy, base.needs_of(strategy), said)

    def _note(self, instance: Instance, text: str) -> None:
        """A line for the log: of many in a second the first ones, and how many more there were."""
        second = self.market.venue_us // 1_000_000
        if second != instance.noted_s:
            more, instance.notes, instance.noted_s = instance.notes - MOST_NOTES, 0, second
            if more > 0:
                self._warn(instance.identifier, f"{more:,} more lines were left out")
        instance.notes += 1
        if instance.notes <= MOST_NOTES:
            self._warn(instance.identifier, instance.masked(text))

    def _loaded(self, instance: Instance, loaded: Loaded) -> None:
        strategy, instance.needs, instance.said = loaded
        kind = type(strategy)
        instance.strategy = strategy
        instance.defined = frozenset(
            name for name in CALLBACKS if getattr(kind, name) is not getattr(Strategy, name)
        )
        self._hearers = {}
        instance.parameters = msgspec.json.encode(base.shown_parameters(strategy)).decode()
        instance.lengths_us = frozenset(map(length_us, instance.bars))
        for symbol in instance.spec.symbols:
            for length in instance.bars:
                self.market.want(symbol, length, max(KEEP, instance.needs.look_back))
        instance.detail = WAITING
        self._begin_ready()

    def _fail(self, instance: Instance, callback: str, error: BaseException) -> None:
        """A strategy has failed: it is stopped, and its last signals are held or zeroed."""
        zero, hidden = instance.spec.on_failure == "zero", instance.hidden
        detail, text = told(callback, error, hidden), whole(error, hidden)
        self._end(instance, "failed", detail, zero=zero, whole=text)

    def _end(
        self, instance: Instance, state: str, detail: str, *, zero: bool, whole: str = ""
    ) -> None:
        self._leave_off(instance, state, detail)
        self._tell(instance, whole)
        if zero:
            self._zero(instance)

    @staticmethod
    def _leave_off(instance: Instance, state: str, detail: str) -> None:
        """Nothing of it is called any more, and what it is in the middle of counts for nothing."""
        instance.life += 1
        instance.state, instance.detail = state, detail
        instance.strategy, instance.said = None, {}

    def _zero(self, instance: Instance) -> None:
        """End its signals in force."""
        reason = f"{instance.state}: {instance.detail}"[: base.LONGEST_REASON]
        for symbol, last in list(instance.signals.items()):
            if last.strength:
                nothing = {"strength": Decimal(0), "reason": reason, "price": None}
                instance.signals[symbol] = msgspec.structs.replace(last, **nothing)
                self._on_signal(instance.signals[symbol])

    def _tell(self, instance: Instance, whole: str = "") -> None:
        self._on_change(
            Change(
                strategy=instance.identifier,
                state=instance.state,
                detail=instance.detail,
                parameters=instance.parameters,
                traceback=whole,
            )
        )

    def table(self) -> list[dict[str, Any]]:
        """Every instance, for people."""
        return [
            row_of(one.spec)
            | {
                "state": one.state,
                "signals": ", ".join(f"{s} {x.strength:+f}" for s, x in one.signals.items()),
                "detail": self._detail(one),
                "parameters": one.parameters,
            }
            for one in self.instances.values()
        ]

    def _detail(self, instance: Instance) -> str:
        if instance.detail != WAITING:
            return instance.detail
        return f"{WAITING}: {lacks}" if (lacks := self._lacks(instance)) else WAITING


def _some(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - 3} more" if len(symbols) > 3 else ""
    return ", ".join(symbols[:3]) + more
