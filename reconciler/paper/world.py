"""
One paper exchange in memory: exchange, prices, streams, REST and faults put together.

No sockets here. The server calls `tick` every `TICK_MS` and hands over requests and messages; venue
time is the computer's clock, because clients compare it with theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial

from . import control
from .auth import DEFAULT_KEYS, Key, KeyRing
from .exchange import Exchange
from .feed import QUOTES_A_SECOND, Feed
from .forgetting import KEEP
from .happenings import Happenings
from .instruments import instrument
from .limits import Limits
from .orders import Row
from .paths import Path
from .quirks import Quirks
from .recording import Recording
from .rest import Api
from .scenario import Scenario, Script
from .stream import Hub, Later
from .times import Clock
from .web import Answer, Request

TICK_MS = 20  # how often time is looked at
PULSE_MS = 500  # instrument rows
POSITION_PULSE_MS = 5_000  # marks of open positions (section 10.3)


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
        paths: Mapping[str, Path] | None = None,
        script: Script | None = None,
        walk: bool = True,
        quotes: int = QUOTES_A_SECOND,
        rate_limits: bool = True,
        legacy: bool = False,
        keys: Sequence[Key] = DEFAULT_KEYS,
        balances: Mapping[str, int] | None = None,
        keep: int = KEEP,
        make_hub: Callable[..., Hub] = Hub,
        make_api: Callable[..., Api] = Api,
    ) -> None:
        ring = KeyRing(tuple(keys))
        self.clock = Clock(now_ms, Fraction(str(speed)))
        self.listed = {symbol: instrument(symbol) for symbol in symbols}
        self.exchange = Exchange(
            list(self.listed.values()),
            ring.accounts(),
            seed=seed,
            now_ms=now_ms,
            balances=balances,
            clock=self.clock,
            keep=keep,
        )
        self.quirks = quirks or Quirks(seed=seed)
        self.hub = make_hub(
            self.exchange, ring, self.quirks, later, now_ms=now_ms, rate_limits=rate_limits,
            legacy=legacy,
        )  # fmt: skip
        self.api = make_api(self.exchange, self.hub, ring, Limits(enabled=rate_limits), self.quirks)
        self.agenda = self.api.order_faults.agenda
        self.feed = Feed(
            self.exchange, self.clock, seed, now_ms,
            recording=recording, paths=paths, moving=walk, quotes=quotes,
        )  # fmt: skip
        self._happenings = Happenings(self, now_ms)
        self.scenario = None if script is None else Scenario(script, self, now_ms)
        self._next_pulse = self._next_positions = now_ms
        self.tick(now_ms)

    def tick(self, now_ms: int) -> None:
        """Do everything that time brings up to now, and send the rows."""
        self.hub.turn.end()
        self.agenda.run(now_ms)
        self._happenings.tick(now_ms)
        self.exchange.due(now_ms)
        self.feed.tick(now_ms)
        if now_ms >= self._next_pulse:
            self._next_pulse = now_ms + PULSE_MS
            positions = now_ms >= self._next_positions
            if positions:
                self._next_positions = now_ms + POSITION_PULSE_MS
            self.exchange.pulse(now_ms, positions=positions)
        self.publish(now_ms)
        self.hub.tick(now_ms)

    def publish(self, now_ms: int) -> None:
        self.hub.publish(self.exchange.flush(now_ms), now_ms)

    def control(self, request: Request, now_ms: int) -> Answer:
        """Serve a request under ``/paper/``."""
        self.hub.turn.end()
        return control.answer(self, request, now_ms)

    # -- what is done to it by hand, by a scenario, or by a fault -----------------------------

    def movable(self, symbol: str) -> bool:
        return self.feed.movable(symbol)

    def move_to(self, symbol: str, price: Decimal, now_ms: int) -> None:
        """
        Put the best house bid of a symbol at *price*.

        Raises:
            Refusal: the symbol's prices come from a file.
        """
        self.feed.check_movable(symbol)
        self.feed.move_to(symbol, price, now_ms)
        self.exchange.pulse(now_ms, positions=True)

    def set_state(self, symbol: str, state: str, now_ms: int) -> None:
        """Open or close an instrument for orders; one that is over stays so."""
        market = self.exchange.markets[symbol]
        if market.state in ("Open", "Closed"):
            market.state = state
        self.exchange.pulse(now_ms, positions=False)

    def reopen(self, symbol: str, now_ms: int) -> None:
        self.set_state(symbol, "Open", now_ms)

    def respecify(self, symbol: str, changes: Mapping[str, object], now_ms: int) -> None:
        """Change lot, tick, fees or margin rates; members see it in the instrument's row."""
        self.exchange.respecify(symbol, now_ms, **changes)
        self.exchange.pulse(now_ms, positions=False)

    def maintain(self, suspended_ms: int, cancel_only_ms: int, now_ms: int) -> None:
        """Maintenance (section 13): all sockets closed, suspension, cancels alone, and open."""
        self.announce("Scheduled maintenance", "Trading is suspended.", True, now_ms)
        self.publish(now_ms)
        self.hub.disconnect_all()
        self.api.faults.suspended_until_ms = now_ms + suspended_ms
        for symbol, market in self.exchange.markets.items():
            if market.state == "Open":
                self.set_state(symbol, "Closed", now_ms)
                ends_ms = now_ms + suspended_ms + cancel_only_ms
                self.agenda.at(ends_ms, partial(self.reopen, symbol))

    def announce(self, title: str, content: str, urgent: bool, now_ms: int) -> Row:
        """Tell everybody something."""
        return self.exchange.announce(title, content, now_ms, urgent=urgent)
