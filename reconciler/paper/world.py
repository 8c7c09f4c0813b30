"""
One paper exchange in memory: exchange, prices, streams, REST and faults put together.

No sockets here. The server calls `tick` every `TICK_MS` and hands over requests and messages; venue
time is the computer's clock, because clients compare it with theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from . import errors
from .auth import DEFAULT_KEYS, Key, KeyRing
from .exchange import Exchange
from .instruments import CATALOGUE
from .limits import Limits
from .prices import STEP_MS, Walk
from .quirks import Quirks
from .recording import Recording, Replay
from .rest import Api
from .stream import Hub, Later

TICK_MS = 20  # how often time is looked at
PULSE_MS = 500  # instrument rows
POSITION_PULSE_MS = 5_000  # marks of open positions (section 10.3)
MAX_STEPS_A_TICK = 50  # a stalled machine catches up no further than this


class World:
    """The venue without its sockets."""

    def __init__(
        self,
        *,
        seed: int,
        symbols: Sequence[str],
        now_ms: int,
        later: Later,
        quirks: Quirks | None = None,
        speed: float = 1.0,
        recording: Recording | None = None,
        walk: bool = True,
        rate_limits: bool = True,
        keys: Sequence[Key] = DEFAULT_KEYS,
        balances: Mapping[str, int] | None = None,
    ) -> None:
        ring = KeyRing(tuple(keys))
        self.exchange = Exchange(
            [CATALOGUE[symbol] for symbol in symbols],
            ring.accounts(),
            seed=seed,
            now_ms=now_ms,
            balances=balances,
        )
        self.quirks = quirks or Quirks(seed=seed)
        self.hub = Hub(
            self.exchange, ring, self.quirks, later, now_ms=now_ms, rate_limits=rate_limits
        )
        self.api = Api(self.exchange, self.hub, ring, Limits(enabled=rate_limits), self.quirks)
        self.speed = speed
        self.moving = walk
        self.walks = {symbol: Walk(self.exchange, symbol, seed) for symbol in symbols}
        self.replay: Replay | None = None
        if recording is not None:
            self.replay = Replay(self.exchange, recording, now_ms, speed)
        for symbol, found in self.walks.items():
            if self.replay is None or symbol not in self.replay.symbols:
                found.open(now_ms)
        self._step_ms = STEP_MS / speed
        self._next_step = now_ms + self._step_ms
        self._next_pulse = float(now_ms)
        self._next_positions = float(now_ms)
        self.tick(now_ms)

    def tick(self, now_ms: int) -> None:
        """Do everything that time brings up to now, and send the rows."""
        self.exchange.due(now_ms)
        if self.replay is not None:
            self.replay.run(now_ms)
        steps = 0
        while self.moving and self._next_step <= now_ms and steps < MAX_STEPS_A_TICK:
            self._next_step += self._step_ms
            steps += 1
            for symbol, walk in self.walks.items():
                if self.replay is None or symbol not in self.replay.symbols:
                    walk.step(now_ms)
        if self._next_step <= now_ms:
            self._next_step = now_ms + self._step_ms
        if now_ms >= self._next_pulse:
            self._next_pulse = now_ms + PULSE_MS
            positions = now_ms >= self._next_positions
            if positions:
                self._next_positions = now_ms + POSITION_PULSE_MS
            self.exchange.pulse(now_ms, positions=positions)
        self.publish(now_ms)
        self.hub.tick(now_ms)

    def move_to(self, symbol: str, price: Decimal, now_ms: int) -> None:
        """
        Put the best house bid of a symbol at *price*.

        Raises:
            Refusal: the symbol's prices come from a recording.
        """
        if self.replay is not None and symbol in self.replay.symbols:
            raise errors.bad_request(f"prices of {symbol} come from a recording")
        self.walks[symbol].move_to(price, now_ms)
        self.exchange.pulse(now_ms, positions=True)

    def publish(self, now_ms: int) -> None:
        self.hub.publish(self.exchange.flush(now_ms), now_ms)
