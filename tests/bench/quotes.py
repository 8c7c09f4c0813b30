"""
From a quote to a decision, and a hundred busy symbols.

    scripts/bench --market [--quick]
    scripts/bench --bars [--trades N]

*Quote to decision* is told in `decision`. *A hundred symbols* are played by a process of its own
over a real websocket, at a hundred quotes and five trades a second each; feed, market, bars of 15 s
and 1 m and a strategy a symbol run here, as in the service, and their CPU time is taken. *Bars* are
those of a million made-up trades against an independent one-pass builder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from decimal import Decimal
from random import Random
from typing import Any

from reconciler.bitmex import PublicFeed
from reconciler.feed import Best, Rules
from reconciler.strategy.base import Strategy
from reconciler.strategy.history import Joiner, Needs
from reconciler.strategy.host import Host
from reconciler.strategy.market import GRACE_US, Market, Tick
from reconciler.strategy.registry import Spec
from tests.bench import quotes as quotes_module  # strategies are loaded from it, by name
from tests.bench.decision import quote_to_decision, wake_up
from tests.bench.rounds import machine
from tests.bench.sender import LOT, QUOTES_S, SYMBOLS, TRADES_S, play

LAGS_US: list[int] = []  # from a quote's leaving the venue to its tick in a strategy


class Watching(Strategy):
    """Looks at the bid, and at the clock: the venue's moment stands in the size of the bid."""

    def on_tick(self, tick: Tick) -> None:
        if tick.trade is None and tick.bid is not None and tick.bid_contracts is not None:
            self.signal(tick.symbol, 1 if tick.bid < 64_000 else -1, "where the bid is")
            LAGS_US.append(time.monotonic_ns() // 1_000 - tick.bid_contracts)


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
    for others in (0, 2):
        quote_to_decision(4_000 if wanted.quick else 40_000, others)
    wake_up(200 if wanted.quick else 2_000)
    hundred_symbols(5 if wanted.quick else 20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
