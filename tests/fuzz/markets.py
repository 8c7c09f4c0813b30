"""Frames of public tables, through decoding and joining to prices, books and bars."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from reconciler.bitmex import messages
from reconciler.bitmex.public import conflated
from reconciler.bitmex.public_rows import PublicRows
from reconciler.errors import ProtocolError
from reconciler.feed import Joined, Lost, Page
from reconciler.strategy.history import Joiner, Needs
from reconciler.strategy.market import Market
from tests.bitmex import made
from tests.fuzz.material import hostile, number

SYMBOLS = ("XBTUSD", "ETHUSD")
BARS = {"1s": 3, "1m": 3}
START_US = 1_779_274_800_000_000  # as `made.AT`


def drawn(rng: random.Random) -> dict[str, Any]:
    """A frame that might come at any time."""
    symbol = rng.choice(SYMBOLS)
    action = rng.choice(("insert", "insert", "update", "partial", "delete"))
    table, row = rng.choice(
        (
            ("trade", trade(rng, symbol)),
            ("trade", trade(rng, symbol)),
            ("quote", {"symbol": symbol, "bidPrice": number(rng), "askPrice": number(rng)}),
            ("orderBookL2_25", level(rng, symbol)),
            ("orderBook10", {"symbol": symbol, "bids": [[number(rng), 5]], "asks": []}),
            ("instrument", instrument(rng, symbol)),
            ("funding", {"symbol": symbol, "fundingRate": number(rng), "timestamp": made.AT}),
        )
    )
    return {"table": table, "action": action, "filter": {"symbol": symbol}, "data": [row]}


def trade(rng: random.Random, symbol: str) -> dict[str, Any]:
    second = rng.randrange(60)
    return {
        "symbol": symbol, "side": rng.choice(("Buy", "Sell")), "size": rng.randrange(1, 900),
        "price": number(rng), "trdMatchID": f"t{rng.randrange(40)}", "grossValue": 7,
        "timestamp": f"{made.AT[:17]}{second:02d}.{rng.randrange(1000):03d}Z",
    }  # fmt: skip


def level(rng: random.Random, symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol, "id": rng.randrange(6), "side": rng.choice(("Buy", "Sell")),
        "size": rng.randrange(900), "price": number(rng),
    }  # fmt: skip


def instrument(rng: random.Random, symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol, "lotSize": rng.choice((1, 100)), "tickSize": 0.5,
        "multiplier": rng.choice((-100_000_000, 100, 1)), "isInverse": rng.random() < 0.5,
        "markPrice": number(rng), "fundingTimestamp": made.AT,
    }  # fmt: skip


class Markets:
    """A feed without its sockets, and the market behind it."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()
        self.now_us = START_US
        self.rows = PublicRows(SYMBOLS)
        self.joiner = Joiner({symbol: Needs(BARS) for symbol in SYMBOLS})
        self.market = Market(SYMBOLS, dict.fromkeys(SYMBOLS, BARS), keep=50)
        self.market.advance(self.now_us)

    def close(self) -> None: ...

    def one(self) -> bytes:
        rng = self.rng
        said = hostile(rng, drawn(rng))
        try:
            batch = conflated(self.rows.take(messages.frame(said)))
        except ProtocolError:
            batch = []
            self.seen["refused"] += 1
        else:
            self.seen["told" if batch else "quiet"] += 1
        if rng.random() < 0.05:
            batch.append(rng.choice((Joined(), Lost("the cable"))))
        self.now_us += rng.choice((1, 1_000, 700_000))
        for news in self.joiner.take(batch, self.now_us):
            self.market.take(news)
        for asked in self.joiner.asks(self.now_us):
            page = Page(asked=asked, failed=rng.choice(("", "", "503")))
            for news in self.joiner.page(page, self.now_us):
                self.market.take(news)
        self.market.advance(self.now_us)
        self.check()
        return said

    def check(self) -> None:
        """What holds after every frame."""
        assert self.market.venue_us <= self.now_us + 3_600_000_000, "a row has moved the clock"
        for symbol, market in self.market.items():
            for name in BARS:
                bars = market.bars(name, 99)
                for bar in bars:
                    assert bar.symbol == symbol
                    assert bar.low <= bar.close <= bar.high
                    assert (bar.contracts > 0) == (bar.trades > 0)
                for before, after in pairwise(bars):
                    assert before.end_us == after.start_us, "a hole between bars"
                    assert after.open == before.close
            bids, asks = market.book.bids(0), market.book.asks(0)
            assert bids == sorted(bids, reverse=True)
            assert asks == sorted(asks)
