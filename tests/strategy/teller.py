"""A market and strategies without threads: say what happens, see what they signal."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import groupby
from typing import Any

from reconciler.feed import Best, Bucket, History, Joined, Trade
from reconciler.strategy.instance import Change
from reconciler.strategy.market import Market
from reconciler.strategy.registry import Spec
from reconciler.strategy.runner import Runner
from reconciler.strategy.signals import Signal

SYMBOL = "XBTUSD"
START_US = 1_790_000_010_000_000  # ten seconds past a minute
SECOND_US = 1_000_000


def spec(kind: str | type, name: str = "one", **more: Any) -> Spec:
    """An instance of a shipped strategy, or of a class of a test."""
    kind = kind if isinstance(kind, str) else f"{kind.__module__}:{kind.__name__}"
    return Spec(**{"name": name, "kind": kind, "symbols": (SYMBOL,), **more})


class Teller:
    """A runner, its market, and the venue's clock."""

    def __init__(self, *specs: Spec, signals: Iterable[Signal] = (), start: bool = True) -> None:
        symbols = dict.fromkeys(symbol for spec in specs for symbol in spec.symbols)
        self.market = Market(symbols)
        self.now_us = START_US
        self.signals: list[Signal] = []
        self.changes: list[Change] = []
        self.warnings: list[str] = []
        self.runner = Runner(
            specs,
            self.market,
            on_signal=self.signals.append,
            on_change=self.changes.append,
            warn=lambda _, text: self.warnings.append(text),
            signals=signals,
        )
        if start:
            for spec in specs:
                self.runner.start(spec.name)
            self.runner.drain()

    @property
    def said(self) -> list[str]:
        """Signals so far, in a few words."""
        return [f"{s.strategy} {s.symbol} {s.strength:+f}" for s in self.signals]

    @property
    def strengths(self) -> list[Decimal]:
        """Of the signals so far, in their order."""
        return [s.strength for s in self.signals]

    @property
    def opinions(self) -> list[Decimal]:
        """The same without repeats."""
        return [strength for strength, _ in groupby(self.strengths)]

    def state(self, identifier: str = "one") -> str:
        return self.runner.instance(identifier).state

    def detail(self, name: str) -> str:
        """What people are shown of it."""
        (row,) = [row for row in self.runner.table() if row["name"] == name]
        return str(row["detail"])

    def join(self, closes: Iterable[int] = (), length_us: int = SECOND_US, **more: Any) -> None:
        """The stream is in sync, after bars of history with these closes."""
        closes = list(closes)
        start_us = self.now_us - len(closes) * length_us
        buckets = [
            Bucket(
                symbol=SYMBOL, start_us=start_us + n * length_us, length_us=length_us,
                open_=Decimal(close), high=Decimal(close), low=Decimal(close),
                close=Decimal(close), contracts=100, trades=1, turnover_minor=1,
            )
            for n, close in enumerate(closes)
        ]  # fmt: skip
        self.take(Joined())
        for symbol in self.market:
            self.take(
                History(
                    symbol=symbol,
                    buckets=buckets,
                    until_us=self.now_us if buckets else 0,
                    since_us=self.now_us,
                    **more,
                )
            )

    def take(self, *news: Any) -> None:
        for one in news:
            self.runner.take(one)
            self.runner.drain()

    def trade(self, price: int, symbol: str = SYMBOL) -> None:
        self.take(Trade(symbol, Decimal(price), 100, 1, self.now_us))

    def quote(self, bid: int, ask: int, symbol: str = SYMBOL) -> None:
        self.take(Best(symbol, Decimal(bid), Decimal(ask), 1, 1, self.now_us))

    def wait(self, seconds: int = 1) -> None:
        """Time passes at the venue."""
        for _ in range(seconds):
            self.now_us += SECOND_US
            self.runner.advance(self.now_us)
            self.runner.drain()

    def close(self, *prices: int) -> None:
        """Bars of a second with these closes."""
        for price in prices:
            self.trade(price)
            self.wait()
