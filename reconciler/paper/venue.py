"""The paper exchange to embed in a program or a test; `serving` is the command around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from . import paths, server
from .auth import DEFAULT_KEYS, Key
from .feed import QUOTES_A_SECOND
from .forgetting import KEEP
from .hand import Hand
from .instruments import listing
from .protocol import decode, encode
from .quirks import Quirks
from .recording import Recording
from .rerun import taped
from .scenario import Script
from .stream import Later
from .tape import Writer
from .world import World

SYMBOLS = ("XBTUSD", "ETHUSD", "XBTUSDT")
MAX_SPEED = 1_000_000  # twelve days a second; a tick cannot take in much more
MAX_QUOTES = 1_000  # a second and symbol
LEAST_KEPT = 1_000  # requests


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
        speed: How fast market time runs: prices, scenario, funding, settlement, the day.
        replay: Frames to take prices from: a recording of BitMEX's, or what `record` wrote.
        prices: Files to take prices from by symbol: OHLC bars or a path, see `paths`.
        walk: False gives a still market: its book moves only when told.
        quotes: About how often a second other traders change the best prices; 0: never.
        scenario: A file, or its steps, of what happens when; see `scenario`.
        record: Write everything that is said to this file; `rerun` tells it again.
        rate_limits: False lifts BitMEX's limits, for measuring.
        legacy: True speaks as BitMEX did until 2022: wide rows with nulls, see `legacy`.
        tls: Files of a certificate and of its key: then it speaks https and wss, and nothing else.
        keys: API keys in place of the two that everybody knows.
        balances: Deposit of each account in minor units by currency.
        keep: Requests that the truth holds, and by that how much of the past is kept, see
            `forgetting`; 0 keeps everything.
    """

    def __init__(
        self,
        port: int = 0,
        seed: int = 7,
        symbols: Sequence[str] = SYMBOLS,
        faults: Mapping[str, float] | None = None,
        speed: float = 1.0,
        replay: Path | str | None = None,
        prices: Mapping[str, Path | str] | None = None,
        walk: bool = True,
        quotes: int = QUOTES_A_SECOND,
        scenario: Path | str | Sequence[Mapping[str, object]] | None = None,
        record: Path | str | None = None,
        rate_limits: bool = True,
        legacy: bool = False,
        tls: tuple[Path | str, Path | str] | None = None,
        keys: Sequence[Key] = DEFAULT_KEYS,
        balances: Mapping[str, int] | None = None,
        keep: int = KEEP,
    ) -> None:
        symbols = listing(symbols, server.now_ms())
        if not 0 < speed <= MAX_SPEED:
            raise ValueError(f"speed must be above zero and at most {MAX_SPEED:,}: {speed}")
        if not 0 <= quotes <= MAX_QUOTES:
            raise ValueError(f"quotes must be between 0 and {MAX_QUOTES:,} a second: {quotes}")
        if keep and keep < LEAST_KEPT:
            raise ValueError(f"keep must be 0, for everything, or at least {LEAST_KEPT:,}: {keep}")
        _check_keys(keys)
        options: dict[str, Any] = {
            "seed": seed, "symbols": symbols, "speed": speed, "walk": walk, "quotes": quotes,
            "rate_limits": rate_limits, "legacy": legacy, "keys": keys, "balances": balances,
            "keep": keep,
            "recording": None if replay is None else Recording.load(Path(replay)),
            "paths": _paths(prices or {}, symbols, seed),
        }  # fmt: skip
        if scenario is not None:
            options["script"] = _checked(scenario, options)
        faults = dict(faults or {})
        options["quirks"] = quirks = Quirks(faults, seed=seed)
        _check_listed(quirks.symbols(), symbols)
        certificate = None if tls is None else server.Certificate(*map(str, tls)).check()
        self._tape = None if record is None else Writer.to(Path(record))

        def make_world(later: Later) -> World:
            made = options | {"now_ms": server.now_ms(), "later": later}
            return World(**made) if self._tape is None else taped(self._tape, made, faults)

        self._server = server.Server(
            server.bind(port), make_world, rate_limits=rate_limits, tls=certificate
        )
        self.port = self._server.port
        secure = "" if tls is None else "s"
        self.url = f"http{secure}://127.0.0.1:{self.port}"
        self.ws_url = f"ws{secure}://127.0.0.1:{self.port}/realtime"
        self.symbols = symbols
        self.faults_at_start = faults
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
        self._close_tape()

    def _close_tape(self) -> None:
        if self._tape is not None:
            self._tape.close()

    def run(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""
        self._server.run()
        self._close_tape()

    def __enter__(self) -> PaperExchange:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _check_keys(keys: Sequence[Key]) -> None:
    if not keys:
        raise ValueError("keys must hold at least one key")
    names = [key.key for key in keys]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"key {twice[0]!r} was given twice: each key needs an id of its own")


def _check_listed(named: Mapping[str, str], symbols: Sequence[str]) -> None:
    """A fault for a symbol that is not here would never strike, and nobody would know."""
    for fault, symbol in named.items():
        if symbol not in symbols:
            raise ValueError(
                f"fault {fault} is for {symbol!r}, which is not listed; listed are "
                f"{', '.join(symbols)}"
            )


def _paths(
    files: Mapping[str, Path | str], symbols: Sequence[str], seed: int
) -> dict[str, paths.Path]:
    """The price paths by symbol."""
    unknown = sorted(set(files) - set(symbols))
    if unknown:
        raise ValueError(f"prices of {unknown[0]} were given, and it is not listed")
    return {symbol: paths.load(Path(file), seed) for symbol, file in files.items()}


def _checked(
    given: Path | str | Sequence[Mapping[str, object]], options: Mapping[str, Any]
) -> Script:
    """
    A scenario of which every step can be done.

    Raises:
        BadScenario: one cannot.
    """
    if isinstance(given, Path | str):
        script = Script.load(Path(given))
    else:
        steps: Any = decode(encode([dict(step) for step in given]))  # prices as exact numbers
        script = Script.parse({"step": steps})
    script.check(World(**options, now_ms=server.now_ms(), later=lambda seconds, action: None))
    return script
