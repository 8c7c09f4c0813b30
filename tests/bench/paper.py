"""
Time the paper exchange under load, from outside, over real sockets.

    scripts/bench --venue [--seconds S] [--rate N ...]

The venue, those who order and those who listen are three processes. Wall times share the machine
with whatever else runs on it, so the venue's own processor time (`os.times`) stands beside them:
that is what an order, or a second of market, costs. It always ends with 0: it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from reconciler.paper.instruments import CATALOGUE
from tests.bench import load

CHECKOUT = Path(__file__).resolve().parents[2]
PUBLIC = "instrument:XBTUSD,quote:XBTUSD,trade:XBTUSD,orderBookL2_25:XBTUSD"
PRIVATE = "order,execution,position,margin"
CLIENTS = 50
SIGNED = 10  # of them, half of either account
LINES = 16
TICK = 0.1
LEVELS = 7  # prices that the load trades at
SYMBOLS = 10
BULK = 10  # orders in one bulk call
WARM = 200  # orders before anything is measured


class Served:
    """A paper exchange in a process of its own."""

    def __init__(self, **options: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.paper_served", json.dumps(options)],
            cwd=CHECKOUT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def cpu(self) -> float:
        """Seconds of processor that the venue has used so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("cpu\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


@contextmanager
def served(**options: object) -> Iterator[Served]:
    venue = Served(**options)
    try:
        yield venue
    finally:
        venue.stop()


def clients() -> list[tuple[str, int | None]]:
    """Topics and account of every websocket."""
    everyone: list[tuple[str, int | None]] = [(PUBLIC, None)] * (CLIENTS - SIGNED)
    return everyone + [(f"{PUBLIC},{PRIVATE}", n % 2) for n in range(SIGNED)]


def make_room(port: int) -> float:
    """Sell what the house bids at the best prices, so that the load trades there with itself."""
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/api/v1/orderBook/L2?symbol=XBTUSD&depth={LEVELS}"
    ) as answer:
        bids = [row for row in json.loads(answer.read()) if row["side"] == "Buy"]
    lowest = min(row["price"] for row in bids)
    sweep = {
        "symbol": "XBTUSD", "side": "Sell", "orderQty": sum(row["size"] for row in bids),
        "price": lowest, "timeInForce": "ImmediateOrCancel",
    }  # fmt: skip
    _, statuses, _ = load.post(port, [load.request(0, "/api/v1/order", sweep)], 1, 1)
    assert statuses[200] == 1
    return float(lowest)


def orders_a_second(rate: float, seconds: float, listening: bool, each: int = 1) -> None:
    """Orders at a steady rate, *each* of them in one request."""
    count = int(rate * seconds)
    with served(walk=False, rate_limits=False) as venue:
        price = make_room(venue.port)
        load.post(venue.port, load.orders(WARM, "XBTUSD", price, TICK), 400, LINES)
        if each == 1:
            made = load.orders(count, "XBTUSD", price, TICK)
        else:
            made = load.bulks(count, each, "XBTUSD", price, TICK)
        with load.Listeners(venue.port, clients() if listening else []) as listeners:
            before, own = venue.cpu(), time.process_time()
            took, statuses, whole = load.post(venue.port, made, rate / each, LINES)
            own = time.process_time() - own
            used = venue.cpu() - before
    ms = {part: 1000 * load.percentile(took, part) for part in (0.5, 0.99, 0.999)}
    how = f"by {each}" if each > 1 else ""
    print(
        f"{rate:6.0f} asked {how:<5} {count / whole:6.0f} orders/s  p50 {ms[0.5]:6.1f}  "
        f"p99 {ms[0.99]:6.1f}  p99.9 {ms[0.999]:6.1f} ms   venue {1e6 * used / count:5.0f} µs/order"
        f"  {used / whole:4.2f} cores   asking {1e6 * own / count:3.0f} µs/order   "
        f"{dict(statuses)}   "
        f"{CLIENTS if listening else 0} websockets, {listeners.bytes / 1e6:.0f} MB, "
        f"{listeners.lost} lost",
        flush=True,
    )


def market(wanted: int, seconds: float) -> None:
    """A living market alone, with one websocket that hears everything."""
    year = datetime.now(UTC).year % 100 + 1
    futures = [f"XBT{month}{year + n}" for n in range(3) for month in "HMUZ"]
    symbols = [*CATALOGUE, *futures][:SYMBOLS]
    with served(symbols=symbols, quotes=round(wanted / len(symbols)), rate_limits=False) as venue:
        with load.Listeners(venue.port, [("quote,trade,orderBookL2_25,instrument", None)]) as heard:
            time.sleep(1)  # of warming up
            before, began = venue.cpu(), time.perf_counter()
            time.sleep(seconds)
            used, whole = venue.cpu() - before, time.perf_counter() - began
    a_second = heard.quotes / (whole + 1)
    print(
        f"{len(symbols)} symbols, {a_second:5.0f} quotes/s   {used / whole:4.2f} cores   "
        f"{1e6 * used / whole / a_second:4.0f} µs/quote",
        flush=True,
    )


def calibrated() -> float:
    """Milliseconds that a fixed piece of work takes here and now, at best."""
    took = []
    for _ in range(7):
        began, found = time.process_time(), {}
        for number in range(200_000):
            found[number % 1_000] = number * 3 // 2
        took.append(time.process_time() - began)
    return 1000 * min(took)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench --venue", description="The venue alone.")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, action="append")
    wanted = parser.parse_args(arguments)
    began = time.monotonic()
    print(
        f"a fixed piece of work takes {calibrated():.1f} ms, load average {os.getloadavg()[0]:.1f}"
    )
    for listening in (False, True):
        for rate in wanted.rate or [500, 1000, 2000]:
            orders_a_second(rate, wanted.seconds, listening)
        orders_a_second(2000, wanted.seconds, listening, BULK)
    for quotes in (100, 1000):
        market(quotes, wanted.seconds)
    print(f"{time.monotonic() - began:.0f} s in all, load average {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
