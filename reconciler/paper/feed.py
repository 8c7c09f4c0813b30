"""
What moves the markets of one exchange as time goes by: walks and paths, a recording, other traders.

All of it goes by market time. How far a market is depends on the time alone and not on how often
one looks: steps that were missed are made up for.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from . import errors
from .exchange import Exchange
from .paths import Path
from .prices import STEP_MS, Walk
from .recording import Recording, Replay
from .times import Clock
from .traders import Traders

MAX_STEPS = 20  # a stalled machine catches up no further than this in one go
MAX_EVENTS = 30
QUOTES_A_SECOND = 10


class Feed:
    """Prices and other traders."""

    def __init__(
        self, exchange: Exchange, clock: Clock, seed: int, now_ms: int, *,
        recording: Recording | None = None, paths: Mapping[str, Path] | None = None,
        moving: bool = True, quotes: int = QUOTES_A_SECOND,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._clock = clock
        self._moving = moving
        self._opened_ms = clock.market_ms(now_ms)
        given = dict(paths or {})
        self._walks = {s: Walk(exchange, s, seed, given.get(s)) for s in exchange.catalogue}
        self._replay = None if recording is None else Replay(exchange, recording, clock, now_ms)
        self._paths = given
        for _, walk in self._own():
            walk.open(now_ms)
        self._steps = self._events = 0  # done so far
        self._quotes = quotes
        self._traders = [Traders(exchange, walk, seed) for _, walk in self._own()]

    def _own(self) -> list[tuple[str, Walk]]:
        """The symbols whose prices come from no recording."""
        recorded = () if self._replay is None else self._replay.symbols
        return [(symbol, walk) for symbol, walk in self._walks.items() if symbol not in recorded]

    def tick(self, now_ms: int) -> None:
        """Bring the markets up to now."""
        if self._replay is not None:
            self._replay.run(now_ms)
        if not self._moving:
            return
        gone_ms = self._clock.market_ms(now_ms) - self._opened_ms
        steps = gone_ms // STEP_MS
        self._steps = max(self._steps, steps - MAX_STEPS)
        while self._steps < steps:
            self._steps += 1
            for symbol, walk in self._own():
                if self._exchange.markets[symbol].state == "Open":
                    walk.step(self._steps * STEP_MS, now_ms)
        self._trade(gone_ms * self._quotes * 9 // 8_000, now_ms)  # one event in nine shows no quote

    def _trade(self, events: int, now_ms: int) -> None:
        """Let the other traders act until each has had so many events in all."""
        self._events = max(self._events, events - MAX_EVENTS)
        while self._events < events:
            self._events += 1
            for traders in self._traders:
                if self._exchange.markets[traders.symbol].state == "Open":
                    traders.act(now_ms)
                    self._exchange.tell_quote(traders.symbol, now_ms)

    def movable(self, symbol: str) -> bool:
        """Whether a price that is set lasts: it does not where a recording or path gives it."""
        return (self._replay is None or symbol not in self._replay.symbols) and (
            symbol not in self._paths
        )

    def check_movable(self, symbol: str) -> None:
        """
        Refuse to move what is moved by a file.

        Raises:
            Refusal: the symbol's prices come from a recording or a path.
        """
        if not self.movable(symbol):
            where = "a path" if symbol in self._paths else "a recording"
            raise errors.bad_request(f"prices of {symbol} come from {where}")

    def move_to(self, symbol: str, price: Decimal, now_ms: int) -> None:
        """Put the best house bid of a symbol at *price*."""
        self._walks[symbol].move_to(price, now_ms)
