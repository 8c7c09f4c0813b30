"""The paper exchange to embed in a program or a test; `serving` is the command around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from . import server
from .auth import DEFAULT_KEYS, Key
from .hand import Hand
from .instruments import listing
from .protocol import decode, encode
from .quirks import Quirks
from .recording import Recording
from .stream import Later
from .world import World

SYMBOLS = ("XBTUSD", "ETHUSD", "XBTUSDT")


class PaperExchange(Hand):
    """
    A BitMEX that runs on this machine, for as long as the ``with`` block lasts.

    Its addresses are ``url`` (before ``/api/v1``) and ``ws_url``; ``keys`` are the API keys that it
    knows, ``key`` and ``secret`` the first of them. What a test does to it is told in `Hand`.

    Args:
        port: TCP port on 127.0.0.1; 0 takes a free one.
        seed: Names the random walk and every fault's draws.
        symbols: Instruments to list.
        faults: Probability by the name of a fault.
        speed: Steps of the walk, or of the recording, against real time.
        record: A recording of BitMEX frames to take prices from.
        walk: False gives a still market: its book moves only when told.
        rate_limits: False lifts BitMEX's limits, for measuring.
        keys: API keys in place of the two that everybody knows.
        balances: Deposit of each account in minor units by currency.
    """

    def __init__(
        self,
        port: int = 0,
        seed: int = 7,
        symbols: Sequence[str] = SYMBOLS,
        faults: Mapping[str, float] | None = None,
        speed: float = 1.0,
        record: Path | str | None = None,
        walk: bool = True,
        rate_limits: bool = True,
        keys: Sequence[Key] = DEFAULT_KEYS,
        balances: Mapping[str, int] | None = None,
    ) -> None:
        symbols = listing(symbols, server.now_ms())
        if not speed > 0:
            raise ValueError(f"speed must be above zero: {speed}")
        if not keys:
            raise ValueError("keys must hold at least one key")
        quirks = Quirks(faults, seed=seed)
        recording = None if record is None else Recording.load(Path(record))

        def make_world(later: Later) -> World:
            return World(
                seed=seed, symbols=symbols, now_ms=server.now_ms(), later=later, quirks=quirks,
                speed=speed, recording=recording, walk=walk, rate_limits=rate_limits, keys=keys,
                balances=balances,
            )  # fmt: skip

        self._server = server.Server(server.bind(port), make_world, rate_limits=rate_limits)
        self.port = self._server.port
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/realtime"
        self.symbols = symbols
        self.faults_at_start = dict(faults or {})
        self.keys = tuple(keys)
        self.key, self.secret = self.keys[0].key, self.keys[0].secret
        super().__init__(self._told)

    def _told(self, verb: str, what: str, fields: Mapping[str, object]) -> Any:
        """Ask the control door in this process."""
        given = {name: value for name, value in fields.items() if value is not None}
        query = f"?{urlencode(given)}" if verb == "GET" and given else ""
        body = encode(given) if verb == "POST" else b""
        answer = self._server.ask(verb, f"/paper/{what}{query}", body)
        found: Any = decode(answer.body)
        if answer.status != 200:
            raise ValueError(found["error"]["message"])
        return found

    def start(self) -> PaperExchange:
        self._server.start()
        return self

    def stop(self) -> None:
        self._server.stop()

    def run(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""
        self._server.run()

    def __enter__(self) -> PaperExchange:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
