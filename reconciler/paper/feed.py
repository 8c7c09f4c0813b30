"""
What moves the markets of one exchange as time goes by: walks and paths, a recording, other traders.

All of it goes by market time. How far a market is depends on the time alone and not on how often
one looks: steps that were missed are made up for, and steps of the price and events of other
traders come in the order of their times, however many of them one look finds due. So the same seed
gives the same prices and trades in every process. One that had no time at all comes later to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from . import errors
from .exchange import Exchange
from .paths import Path
from .prices import STEP_MS, Walk
from .recording import Recording, Replay
from .times import Clock
from .traders import Traders

MAX_STEPS = 20  # a stalled machine, or a fast clock, does no more than this in one go
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
        self._played_ms = self._skipped_ms = 0  # market time: done, and given up for want of time
        self._events_a_ms = Fraction(quotes * 9, 8_000)  # one event in nine shows no quote
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
        behind_ms = gone_ms - self._skipped_ms - self._played_ms
        self._skipped_ms += max(0, behind_ms - self._most_ms())
        self._played_ms = gone_ms - self._skipped_ms
        self._play(self._played_ms, now_ms)

    def _most_ms(self) -> int:
        """How much market time is played in one go, at most."""
        most = MAX_STEPS * STEP_MS
        if self._events_a_ms:
            most = min(most, int(MAX_EVENTS / self._events_a_ms))
        return max(most, STEP_MS)

    def _play(self, until_ms: int, now_ms: int) -> None:
        """All steps and events up to a time, in the order of their times."""
        while (step_ms := (self._steps + 1) * STEP_MS) <= until_ms:
            self._trade(step_ms - 1, now_ms)
            self._steps += 1
            for symbol, walk in self._own():
                if self._exchange.markets[symbol].state == "Open":
                    walk.step(step_ms + self._skipped_ms, now_ms)
        self._trade(until_ms, now_ms)

    def _trade(self, until_ms: int, now_ms: int) -> None:
        """Let the other traders act until each has had its events up to a time."""
        events = int(until_ms * self._events_a_ms)
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
