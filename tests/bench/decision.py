"""
What a quote costs in our code, from the bytes of its frame to what the core decides.

Nearly always a strategy's signal stays the same, and the way ends there. Where it changes, a target
and an order follow, in a ledger that lives on: the order is filled, and the market tells quotes
that change nobody's mind, before the next one does. A person has a ledger of his own and sets the
same targets; what strategies add is their way without his. The two take turns, a block of all
symbols each. One thread, no socket and no disk: how long it takes to wake the loop is measured by
itself.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from reconciler.bitmex import messages
from reconciler.bitmex.public import conflated
from reconciler.bitmex.public_rows import PublicRows
from reconciler.core.decisions import AnyDecision, PlaceOrder
from reconciler.core.events import AnyEvent, Signalled, TargetSet
from reconciler.core.ledger import Ledger
from reconciler.core.settings import Limits, Settings
from reconciler.core.step import step
from reconciler.feed import Joined, News
from reconciler.journal import Journal
from reconciler.service.door import TargetRequest
from reconciler.service.engine import Engine
from reconciler.service.handover import Handover
from reconciler.service.loop import Loop
from reconciler.service.netting import Memory, Weights, check_say, follow
from reconciler.service.targeting import set_target
from reconciler.strategy.base import Strategy
from reconciler.strategy.history import Joiner
from reconciler.strategy.market import GRACE_US, Market, Tick
from reconciler.strategy.portfolio import Portfolio
from reconciler.strategy.registry import Spec
from reconciler.strategy.runner import Runner
from reconciler.strategy.signals import Signal
from tests.bench.sender import LOT, SYMBOLS
from tests.bench.venue import iso
from tests.stories.teller import Teller

BETWEEN = 20  # quotes that change nobody's mind, before one that does
TURN_US = 20_000  # of the ledgers' time: 50 changes a second


class Leaning(Strategy):
    """Long, and twice so below a level: as little as a strategy can be, and one order a change."""

    level: int = 64_000

    def on_tick(self, tick: Tick) -> None:
        if tick.bid is not None:
            self.signal(tick.symbol, 2 if tick.bid < self.level else 1, "where the bid is")


def specs(others: int) -> list[Spec]:
    """Of each symbol one that changes its mind, and others that never do, netted with it."""
    return [
        Spec(
            name=f"lean{symbol}{number}",
            kind="tests.bench.decision:Leaning",
            symbols=(symbol,),
            number=number + 1,
            parameters={"level": 1_000 if number else 64_000},
        )
        for symbol in SYMBOLS
        for number in range(1 + others)
    ]


def quote(symbol: str, bid: int) -> bytes:
    """The frame."""
    return (
        f'{{"table":"quote","action":"insert","data":[{{"timestamp":"{iso()}","symbol":"{symbol}",'
        f'"bidSize":2500,"bidPrice":{bid}.5,"askPrice":{bid + 1},"askSize":1800}}]}}'
    ).encode()


class Account:
    """A ledger that lives on: what it orders is filled."""

    def __init__(self) -> None:
        most = 10**6
        limits = Limits(
            max_position_contracts=most, max_order_contracts=most, max_orders_per_minute=most
        )
        self.teller = Teller(Settings(symbols=SYMBOLS, limits=limits), lot=LOT)
        self.teller.bid, self.teller.ask = Decimal(64_000), Decimal("64000.5")
        self.teller.mark = self.teller.last = Decimal(64_000)
        self.fills = 0

    @property
    def ledger(self) -> Ledger:
        return self.teller.ledger

    def record(self, event: AnyEvent) -> Sequence[AnyDecision]:
        """What the core decides, with a price beside a target as the engine puts it."""
        if isinstance(event, TargetSet):
            event = msgspec.structs.replace(event, quote=self.teller.quoted(event.symbol))
        return step(self.ledger, event).decisions

    def settle(self, decisions: Sequence[AnyDecision]) -> None:
        """One order was decided: it is answered and filled."""
        (order,) = [one for one in decisions if isinstance(one, PlaceOrder)]
        told, self.fills = self.teller, self.fills + 1
        told.say(order)
        told.symbol = order.symbol
        told.traded("r1", abs(order.contracts), f"x{self.fills}")
        told.names.clear()
        told.fills.clear()
        told.now_us += TURN_US

    def rest(self) -> None:
        """After a block: time passes, and stories are forgotten."""
        self.teller.lives(1_000)
        for of_stories in (self.teller.history, self.teller.facts, self.teller.done):
            of_stories.clear()


class Way:
    """The whole way in one thread, stage by stage."""

    def __init__(self, others: int) -> None:
        self.rows = PublicRows(SYMBOLS)
        self.joiner = Joiner({})
        self.said: list[Signal] = []
        self.market = Market(SYMBOLS, grace_us=GRACE_US)
        them = specs(others)
        self.runner = Runner(
            them, self.market, on_signal=self.said.append, on_change=lambda _: None
        )
        for one in them:
            self.runner.start(one.identifier)
        self.runner.drain()
        self.runner.take(Joined())
        self.runner.drain()
        self.weights = weights(them)
        self.memory = Memory()
        self.account = Account()

    def decode(self, said: bytes) -> list[News]:
        batch = conflated(self.rows.take(messages.frame(said)))
        return self.joiner.take(batch, self.account.teller.now_us)

    def strategies(self, batch: Iterable[News]) -> None:
        for news in batch:
            self.runner.take(news)
        self.runner.drain()

    def idle(self, number: int) -> None:
        """The market goes on, and nobody changes his mind."""
        for other in range(number + 1, number + 1 + BETWEEN):
            symbol = SYMBOLS[other % len(SYMBOLS)]
            bid = self.market[symbol].bid
            assert bid is not None
            near = int(bid) + (1 if int(bid) % 2 == 0 else -1)
            self.strategies(self.decode(quote(symbol, near)))
        self.said.clear()

    def net(self, signals: Collection[Signal]) -> list[AnyEvent]:
        """What is to be recorded: the signal, and the target that follows."""
        ledger = self.account.ledger
        for signal in signals:
            check_say(signal, self.weights, ledger)
        now_us = self.account.teller.now_us
        return follow(ledger, signals, self.weights, "hold", now_us, self.memory).events


def weights(them: Sequence[Spec]) -> Weights:
    main = Portfolio(
        name="main",
        strategies={"*": Decimal("0.5")},
        symbols=dict.fromkeys(SYMBOLS, Decimal(20 * LOT)),
    )
    return Weights((main,), tuple(one.identifier for one in them))


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Microseconds, and what came of it."""
    start = time.perf_counter_ns()
    found = call(*arguments)
    return (time.perf_counter_ns() - start) / 1_000, found


def quote_to_decision(rounds: int, others: int) -> None:
    """Measure, and print."""
    way = Way(others)
    decode, strategy = [], []
    for number in range(rounds):
        said = quote(SYMBOLS[number % len(SYMBOLS)], 63_000 + number // len(SYMBOLS) % 500)
        us, batch = timed(way.decode, said)
        decode.append(us)
        strategy.append(timed(way.strategies, batch)[0])
    assert {signal.symbol for signal in way.said} == set(SYMBOLS)
    assert len(way.said) < rounds * (1 + others) / 10, "the same is told now and then at most"
    whom = f"{len(SYMBOLS)} symbols, {1 + others} {'strategies' if others else 'strategy'} on each"
    print(f"\nquote to decision, µs a quote: {whom}")
    print(f"{'':46}{'p50':>8}{'p99':>8}")
    row("bytes to news: decode", decode)
    row("news to signal: market, strategies", strategy)
    row("= bytes to signal, which is unchanged", added(decode, strategy))
    changed_signals(way, max(rounds // 2_000, 4))


def changed_signals(way: Way, blocks: int) -> None:
    """Each symbol in its turn: its bid crosses the level, and an order follows."""
    person = Account()
    for event in way.net({(one.strategy, one.symbol): one for one in way.said}.values()):
        decisions = way.account.record(event)
        if isinstance(event, TargetSet):  # what was said so far is in force, for both
            way.account.settle(decisions)
            person.settle(by_hand(person, event)[1])
    gc.collect()
    gc.freeze()  # as the service does
    theirs: list[list[float]] = []
    hands: list[list[float]] = []
    differences: list[float] = []
    for number in range(blocks + 1):
        targets, block = by_strategies(way, 63_000 if number % 2 else 65_000)
        whole = [sum(turn) for turn in block]
        by_person: list[list[float]] = []
        for turn, target in enumerate(targets):
            way.idle(turn)
            us, decisions = by_hand(person, target)
            person.settle(decisions)
            by_person.append(us)
        person.rest()
        if number:  # the first block has warmed all up
            theirs += block
            hands += by_person
            alone = statistics.median([sum(turn) for turn in by_person])
            differences.append(statistics.median(whole) - alone)
    print("where one strategy changes its mind, and an order follows:")
    titles = (
        "bytes to news: decode",
        "news to signal: market, strategies",
        "signal to target: checks, netting",
        "the signal recorded: core",
        "target to order: core",
    )
    for title, found in zip(titles, zip(*theirs, strict=True), strict=True):
        row(title, found)
    row("= bytes to decision", [sum(turn) for turn in theirs])
    checks, steps = zip(*hands, strict=True)
    row("a person's target: checks", checks)
    row("target to order: core", steps)
    row("= a person's target to decision", [sum(turn) for turn in hands])
    print(f"{'= added by strategies, median over blocks':46}{statistics.median(differences):8.1f}")


def by_strategies(way: Way, bid: int) -> tuple[list[TargetSet], list[list[float]]]:
    """A block: what was set, and the µs of each stage, turn by turn."""
    targets, found = [], []
    for turn, symbol in enumerate(SYMBOLS):
        way.idle(turn)
        decode_us, batch = timed(way.decode, quote(symbol, bid))
        strategy_us, _ = timed(way.strategies, batch)
        net_us, (signal, target) = timed(way.net, way.said)
        assert isinstance(signal, Signalled)
        assert isinstance(target, TargetSet)
        record_us, _ = timed(way.account.record, signal)
        target_us, decisions = timed(way.account.record, target)
        way.account.settle(decisions)
        targets.append(target)
        found.append([decode_us, strategy_us, net_us, record_us, target_us])
    way.account.rest()
    return targets, found


def by_hand(person: Account, like: TargetSet) -> tuple[list[float], Sequence[AnyDecision]]:
    """The same target as the service takes it from somebody: checked, and decided on."""
    request = TargetRequest(
        symbol=like.symbol, contracts=like.contracts, source="cli", reason=like.reason
    )
    now_us = person.teller.now_us
    check_us, (events, _) = timed(set_target, request, "hold", now_us, person.ledger)
    step_us, decisions = timed(person.record, events[0])
    return [check_us, step_us], decisions


def wake_up(rounds: int) -> None:
    """From a signal in the strategies' thread to the loop, which was asleep: measure, and print."""
    loop, over, came = Loop(), threading.Event(), threading.Event()
    arrived_ns: list[int] = []

    def turn() -> None:
        with (
            TemporaryDirectory(prefix="bench-") as folder,
            Journal.open(Path(folder) / "journal.db", account="bench") as journal,
        ):
            loop.run(Engine(Ledger(), journal, loop.now_us), None, over.is_set)

    def take(_: Ledger, signals: Iterable[Signal]) -> tuple[()]:
        arrived_ns.append(time.perf_counter_ns())
        came.set()
        return ()

    turning = threading.Thread(target=turn)
    turning.start()
    handover = Handover(loop.record, take, _refuse, _refuse)
    signal = Signal(strategy="lean", symbol=SYMBOLS[0], strength=Decimal(1))
    found = []
    try:
        for _ in range(rounds):
            time.sleep(0.005)  # the loop has gone to sleep
            start_ns = time.perf_counter_ns()
            handover.put(signal)
            came.wait(10)
            came.clear()
            found.append((arrived_ns[-1] - start_ns) / 1_000)
    finally:
        over.set()
        loop.call_soon(tuple)
        turning.join(10)
        loop.close()
    print()
    row("beside it: the loop is woken for a signal", found)


def _refuse(*_: object) -> Any:
    raise AssertionError("nothing but signals is handed over here")


def added(*stages: Sequence[float]) -> list[float]:
    """Turn by turn."""
    return [sum(turn) for turn in zip(*stages, strict=True)]


def row(title: str, found: Sequence[float]) -> None:
    """Print its p50 and p99."""
    ordered = sorted(found)
    p99 = ordered[len(ordered) * 99 // 100]
    print(f"{title:46}{statistics.median(ordered):8.1f}{p99:8.1f}")
