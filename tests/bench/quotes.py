"""
From a quote to a decision, and a hundred busy symbols.

    scripts/bench --market [--quick]
    scripts/bench --bars [--trades N]

*Quote to decision* is what a quote costs in our code from the bytes of its frame to what the core
decides: decode, market, one strategy's `on_tick`, its signal, netting, core. Nearly always the
signal stays the same and the way ends there; where it changes, the ledger is a fresh copy each time
and the target's order is decided. One thread, no socket, no disk: what strategies add. *A hundred
symbols* are played by a process of its own over a real websocket, at a hundred quotes and five
trades a second each; feed, market, bars of 15 s and 1 m and a strategy a symbol run here, as in the
service, and their CPU time is taken. *Bars* are those of a million made-up trades against an
independent one-pass builder.
"""

from __future__ import annotations

import argparse
import copy
import gc
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from reconciler.bitmex import PublicFeed, messages
from reconciler.bitmex.public import conflated
from reconciler.bitmex.public_rows import PublicRows
from reconciler.core.events import AnyEvent, TargetSet
from reconciler.core.ledger import Ledger
from reconciler.core.settings import Limits, Settings
from reconciler.core.step import step
from reconciler.feed import Best, Joined, News, Rules
from reconciler.service.netting import Memory, Weights, checked, follow
from reconciler.strategy.base import Strategy
from reconciler.strategy.history import Joiner, Needs
from reconciler.strategy.host import Host
from reconciler.strategy.market import GRACE_US, Market, Tick
from reconciler.strategy.portfolio import Portfolio
from reconciler.strategy.registry import Spec
from reconciler.strategy.runner import Runner
from reconciler.strategy.signals import Signal
from tests.bench import quotes as quotes_module  # strategies are loaded from it, by name
from tests.bench.rounds import machine
from tests.bench.sender import LOT, QUOTES_S, SYMBOLS, TRADES_S, play
from tests.bench.venue import iso
from tests.stories.teller import Teller

LAGS_US: list[int] = []  # from a quote's leaving the venue to its tick in a strategy


class Watching(Strategy):
    """The same, and it looks at the clock: the venue's moment stands in the size of the bid."""

    def on_tick(self, tick: Tick) -> None:
        if tick.trade is None and tick.bid is not None and tick.bid_contracts is not None:
            self.signal(tick.symbol, 1 if tick.bid < 64_000 else -1, "where the bid is")
            LAGS_US.append(time.monotonic_ns() // 1_000 - tick.bid_contracts)


class Leaning(Strategy):
    """Long below 64,000 and short above: as little as a strategy can be."""

    def on_tick(self, tick: Tick) -> None:
        if tick.bid is not None:
            self.signal(tick.symbol, 1 if tick.bid < 64_000 else -1, "where the bid is")


def spec(symbols: tuple[str, ...], bar: str = "") -> Spec:
    return Spec(name="lean", kind="tests.bench.quotes:Leaning", symbols=symbols, bar=bar)


# -- quote to decision


def quote(symbol: str, bid: int) -> bytes:
    return (
        f'{{"table":"quote","action":"insert","data":[{{"timestamp":"{iso()}","symbol":"{symbol}",'
        f'"bidSize":2500,"bidPrice":{bid}.5,"askPrice":{bid + 1},"askSize":1800}}]}}'
    ).encode()


class Path:
    """The whole way in one thread, stage by stage."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self.rows = PublicRows(symbols)
        self.joiner = Joiner({})
        self.said: list[Signal] = []
        self.market = Market(symbols, grace_us=GRACE_US)
        self.runner = Runner(
            [spec(symbols)],
            self.market,
            on_signal=self.said.append,
            on_change=lambda _: None,
        )
        self.runner.start("lean")
        self.runner.drain()
        self.runner.take(Joined())
        self.runner.drain()
        self.weights = Weights(
            (
                Portfolio(
                    name="main",
                    strategies={"*": Decimal(1)},
                    symbols=dict.fromkeys(symbols, Decimal(10 * LOT)),
                ),
            ),
            tuple(self.runner.instances),
        )
        limits = Limits(max_position_contracts=10**6, max_order_contracts=10**6)
        settings = Settings(symbols=symbols, limits=limits)
        self.teller = Teller(settings, lot=LOT)
        self.teller.bid, self.teller.ask = Decimal(64_000), Decimal("64000.5")
        self.teller.mark = Decimal(64_000)
        self.now_us = self.teller.now_us

    def decode(self, said: bytes) -> list[News]:
        batch = conflated(self.rows.take(messages.frame(said)))
        return self.joiner.take(batch, self.now_us)

    def strategies(self, batch: Iterable[News]) -> None:
        for news in batch:
            self.runner.take(news)
        self.runner.drain()

    def net(self, ledger: Ledger, signals: list[Signal]) -> list[AnyEvent]:
        """What is to be recorded: the signal, and the target that follows."""
        said = [checked(signal, self.weights, ledger) for signal in signals]
        return follow(ledger, said, self.weights, "hold", ledger.at_us, Memory()).events

    def decide(self, ledger: Ledger, events: list[AnyEvent]) -> int:
        """Let the core decide; how many orders it wants placed."""
        orders = 0
        for event in events:
            if isinstance(event, TargetSet):
                event = msgspec.structs.replace(event, quote=self.teller.quoted(event.symbol))
            orders += len(step(ledger, event).decisions)
        return orders


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Microseconds, and what came of it."""
    start = time.perf_counter_ns()
    found = call(*arguments)
    return (time.perf_counter_ns() - start) / 1_000, found


def quote_to_decision(rounds: int) -> None:
    """Measure, and print."""
    path = Path(SYMBOLS)
    stages: dict[str, list[float]] = {name: [] for name in ("decode", "strategy", "unchanged")}
    for number in range(rounds):
        said = quote(SYMBOLS[number % len(SYMBOLS)], 63_000 + number // len(SYMBOLS) % 500)
        first, batch = timed(path.decode, said)
        second, _ = timed(path.strategies, batch)
        for name, us in zip(stages, (first, second, first + second), strict=True):
            stages[name].append(us)
    assert {signal.symbol for signal in path.said} == set(SYMBOLS)
    assert len(path.said) < rounds / 10, "signals that stay the same are told now and then at most"
    changed: dict[str, list[float]] = {name: [] for name in ("signal", "net", "core", "all")}
    turns = max(rounds // 40, 100)
    ledgers = [copy.deepcopy(path.teller.ledger) for _ in range(turns)]
    gc.collect()
    gc.freeze()  # as the service does
    for number, ledger in enumerate(ledgers):
        path.said.clear()
        bid = 65_000 if number // len(SYMBOLS) % 2 == 0 else 63_000
        said = quote(SYMBOLS[number % len(SYMBOLS)], bid)
        first, _ = timed(lambda said: path.strategies(path.decode(said)), said)
        assert len(path.said) == 1
        second, events = timed(path.net, ledger, path.said)
        third, orders = timed(path.decide, ledger, events)
        assert orders == 1, "one order is decided"
        for name, us in zip(changed, (first, second, third, first + second + third), strict=True):
            changed[name].append(us)
    print(f"\nquote to decision, µs a quote ({len(SYMBOLS)} symbols, one strategy)")
    print(f"{'':40}{'p50':>8}{'p99':>8}")
    for title, found in (
        ("bytes to news: decode", stages["decode"]),
        ("news to signal: market, strategy", stages["strategy"]),
        ("= bytes to signal, which is unchanged", stages["unchanged"]),
        ("bytes to signal, which changed", changed["signal"]),
        ("signal to target: netting, intake", changed["net"]),
        ("target to order: core, as for any target", changed["core"]),
        ("= bytes to order", changed["all"]),
    ):
        found = sorted(found)
        p99 = found[len(found) * 99 // 100]
        print(f"{title:40}{statistics.median(found):8.1f}{p99:8.1f}")


# -- a hundred symbols over a socket


def hundred_symbols(seconds: float) -> None:
    """Measure, and print."""
    ports: Any = multiprocessing.Queue()
    end = multiprocessing.Event()
    sender = multiprocessing.Process(target=play, args=(ports, seconds + 6, end), daemon=True)
    sender.start()
    url = f"http://127.0.0.1:{ports.get(timeout=20)}"
    counts = {"news": 0, "quotes": 0, "batches": 0, "signals": 0, "frames": 0}
    host: list[Host] = []

    def sink(batch: Any) -> None:
        counts["batches"] += 1
        counts["news"] += len(batch)
        counts["quotes"] += sum(type(news) is Best for news in batch)
        host[0].offer(batch)

    market = Market(SYMBOLS, grace_us=GRACE_US)
    specs = [
        Spec(name=f"lean{n}", kind="tests.bench.quotes:Watching", symbols=(symbol,), bar="15s")
        for n, symbol in enumerate(SYMBOLS)
    ]
    feed = PublicFeed(url, SYMBOLS, sink, joiner=Joiner({s: Needs({}) for s in SYMBOLS}))
    host.append(
        Host(
            specs,
            market,
            venue_us=feed.venue_us,
            on_signal=lambda _: counts.update(signals=counts["signals"] + 1),
            on_change=lambda _: None,
        )
    )
    host[0].start([one.identifier for one in specs])
    for symbol in SYMBOLS:
        market.want(symbol, "1m")
    feed.start()
    try:
        time.sleep(5)  # history is read, and all is warm
        quotes_module.LAGS_US.clear()
        counts["frames"] = int(str(feed.health()["frames"]))
        before, begun = dict(counts), time.monotonic()
        used = resource.getrusage(resource.RUSAGE_SELF)
        time.sleep(seconds)
        counts["frames"] = int(str(feed.health()["frames"]))
        after = resource.getrusage(resource.RUSAGE_SELF)
        wall = time.monotonic() - begun
        spent = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        lags = sorted(quotes_module.LAGS_US)
        bars = sum(len(market[symbol].bars("15s", 99)) for symbol in SYMBOLS)
        quotes = counts["quotes"] - before["quotes"]
        frames = counts["frames"] - before["frames"]
        print(f"\n{len(SYMBOLS)} symbols, {QUOTES_S} quotes and {TRADES_S} trades a second each")
        print(f"CPU of feed, market, bars, strategies  {spent / wall:8.0%} of one core")
        print(f"frames read a second                   {frames / wall:8.0f}")
        print(f"quotes told a second, conflated        {quotes / wall:8.0f}")
        batches = counts["batches"] - before["batches"]
        overflows = host[0].health()["overflows"]
        print(f"batches a second                       {batches / wall:8.0f}")
        print(
            f"from the venue to on_tick, p50, p99    {lags[len(lags) // 2] / 1_000:8.2f} ms,"
            f"{lags[len(lags) * 99 // 100] / 1_000:8.2f} ms"
        )
        print(f"bars closed                            {bars:8d}")
        print(f"overflows, told                        {overflows:8d}")
    finally:
        feed.close(2)
        host[0].stop()
        end.set()
        sender.join(5)
        sender.kill()


# -- bars


def bars(count: int) -> None:
    """A million made-up trades, late by up to a second, against an independent builder."""
    from reconciler.strategy.bars import length_us
    from reconciler.strategy.series import Series
    from tests.strategy.made import one_pass, shuffled, trades

    rng = Random(5)
    made = trades(rng, count)
    arrived = [made[0], *shuffled(rng, made[1:])]
    rules = Rules(symbol="XBTUSD", lot=LOT, tick=Decimal("0.5"), multiplier=-100_000_000)
    print(f"\nbars of {count:,} made-up trades, 30 % late by up to a second")
    for name in ("1s", "15s", "1m", "1h", "1d"):
        length = length_us(name)
        series = Series("XBTUSD", length, keep=10**7)
        series.multiplier = rules.multiplier
        start = time.perf_counter()
        for trade in arrived:
            series.take(trade, trade.value_minor)
        until_us = made[-1].venue_us + 2 * length
        series.advance(until_us)
        taken = time.perf_counter() - start
        ours = [
            (b.start_us, b.open, b.high, b.low, b.close, b.contracts, b.trades, b.turnover_minor)
            for b in series.last(10**7)
        ]
        theirs = one_pass(made, length, until_us)
        assert ours == theirs, name
        print(f"{name:>4}: {len(ours):9,} bars, all equal; {taken / count * 1e6:6.2f} µs a trade")


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds, for a first look")
    parser.add_argument("--bars", action="store_true", help="bars, and nothing else")
    parser.add_argument("--trades", type=int, default=1_000_000, help="how many for --bars")
    wanted = parser.parse_args()
    print(machine(), flush=True)
    if wanted.bars:
        bars(wanted.trades)
        return 0
    quote_to_decision(4_000 if wanted.quick else 40_000)
    hundred_symbols(5 if wanted.quick else 20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
