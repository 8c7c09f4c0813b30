"""
Frames of the stream through the gateway as it is, without sockets and threads.

Honest frames are the paper exchange's own (a session signed in, orders placed and filled), and
wide rows as BitMEX sends them.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from reconciler.bitmex import BitmexConfig, BitmexGateway
from reconciler.core import events as e
from reconciler.core.events import AnyEvent
from reconciler.journal import codec
from reconciler.paper.auth import sign
from reconciler.paper.web import Answer, Request
from reconciler.paper.world import World
from tests.bitmex import made
from tests.fuzz.material import hostile, number

SYMBOLS = ("XBTUSD", "ETHUSD")
NOW_MS = 1_779_274_800_000
ACCOUNT = 1001  # of the paper exchange's first key
LARGEST = 2**63 - 1
CONFIG = BitmexConfig(
    base_url="http://127.0.0.1:1", api_key="sim-key", api_secret="sim-secret", symbols=SYMBOLS
)
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


@cache
def opening() -> tuple[dict[str, Any], ...]:
    """Frames of the paper exchange from the welcome to a filled order, as trees."""
    world = World(seed=3, symbols=SYMBOLS, now_ms=NOW_MS, later=lambda *_: None, rate_limits=False)
    session = world.hub.open(lambda: None)
    expires = str(NOW_MS // 1000 + 3_600)
    login = [CONFIG.api_key, int(expires), sign("sim-secret", "GET", "/realtime", expires)]
    session.receive(json.dumps({"op": "authKeyExpires", "args": login}), NOW_MS)
    topics = ["order", "execution", "position", "margin"]
    topics += [f"{kind}:{s}" for s in SYMBOLS for kind in ("instrument", "quote", "trade")]
    session.receive(json.dumps({"op": "subscribe", "args": topics}), NOW_MS)
    at = NOW_MS
    for size in (100, -200, 300):
        side, at = ("Buy" if size > 0 else "Sell"), at + 500
        fields = {"symbol": "XBTUSD", "side": side, "orderQty": abs(size)}
        fields |= {"ordType": "Market", "clOrdID": f"rc-{at}"}
        body = json.dumps(fields).encode()
        signed = {
            "api-key": "sim-key",
            "api-expires": expires,
            "api-signature": sign("sim-secret", "POST", "/api/v1/order", expires, body),
            "content-type": "application/json",
        }
        request = Request(
            verb="POST",
            path="/api/v1/order",
            target="/api/v1/order",
            query="",
            headers=signed,
            body=body,
            address="",
        )
        admitted = world.api.admit(request, at)
        if not isinstance(admitted, Answer):
            world.api.act(admitted, at)
        world.publish(at)
        world.tick(at + 200)
    welcome = {"info": "Welcome to the BitMEX Realtime API.", "version": "2", "limit": {}}
    frames = [welcome, *(json.loads(frame) for frame in session.outbox if frame != b"pong")]
    assert {"order", "execution", "position", "margin", "instrument", "quote"} <= {
        frame.get("table") for frame in frames
    }
    return tuple(frames)


@cache
def images() -> tuple[bytes, ...]:
    """What a connection needs until it can be in sync."""
    frames = opening()
    last = max(n for n, frame in enumerate(frames) if frame.get("action") == "partial")
    return tuple(json.dumps(frame).encode() for frame in frames[: last + 1])


def drawn(rng: random.Random) -> dict[str, Any]:
    """A frame that might come at any time."""
    what = rng.randrange(9)
    action = rng.choice(("insert", "insert", "update", "partial", "delete"))
    if what < 2:
        return rng.choice(opening())
    if what == 2:
        return {"table": "execution", "action": "insert", "data": [execution(rng)]}
    if what == 3:
        rows = [order(rng) for _ in range(rng.randrange(1, 3))]
        return {"table": "order", "action": action, "keys": ["orderID"], "data": rows}
    if what == 4:
        row = {
            "account": ACCOUNT,
            "symbol": rng.choice(SYMBOLS),
            "currency": "XBt",
            "strategy": "OneWay",
            "currentQty": rng.randrange(-900, 900),
            "avgEntryPrice": number(rng),
            "isOpen": True,
            "timestamp": made.AT,
        }
        keys = ["account", "symbol", "strategy"]
        return {"table": "position", "action": action, "keys": keys, "data": [row]}
    if what == 5:
        row = {
            "symbol": rng.choice(SYMBOLS),
            "bidPrice": number(rng),
            "askPrice": number(rng),
            "timestamp": made.AT,
        }
        return {"table": "quote", "action": "insert", "data": [row]}
    if what == 6:
        row = {"symbol": rng.choice(SYMBOLS), "markPrice": number(rng), "state": "Open"}
        return {"table": "instrument", "action": "update", "data": [row]}
    if what == 7:
        row = {"account": ACCOUNT, "currency": "XBt", "walletBalance": rng.randrange(10**9)}
        return {"table": "margin", "action": action, "keys": ["account", "currency"], "data": [row]}
    request = {"op": rng.choice(("subscribe", "authKeyExpires", "unsubscribe")), "args": ["order"]}
    said = rng.choice(("Rate limit exceeded, retry in 29 seconds.", "Unknown table: x", "no"))
    return {"status": 400, "error": said, "meta": {"retryAfter": 3}, "request": request}


def execution(rng: random.Random) -> dict[str, Any]:
    """A row of the execution table, its prices in any spelling."""
    return made.execution(
        account=ACCOUNT,
        execID=f"{rng.getrandbits(40):x}",
        side=rng.choice(("Buy", "Sell")),
        lastQty=rng.randrange(1, 1_000),
        lastPx=number(rng),
        clOrdID=rng.choice(("rc-17", "rc-18", "", "mine")),
        execType=rng.choice(("Trade", "Trade", "New", "Funding", "Liquidation", "AmendReject")),
    )


def order(rng: random.Random) -> dict[str, Any]:
    """A row of the order table."""
    total = rng.randrange(1, 1_000)
    filled = rng.randrange(0, total + 1)
    return made.order(
        account=ACCOUNT,
        orderID=f"order-{rng.randrange(8)}",
        side=rng.choice(("Buy", "Sell")),
        orderQty=total,
        cumQty=filled,
        leavesQty=total - filled,
        price=number(rng),
        ordStatus=rng.choice(("New", "PartiallyFilled", "Filled", "Canceled")),
    )


class Still:
    """A host whose clock the test holds, and whose calls wait for the test."""

    def __init__(self) -> None:
        self.at_us = NOW_MS * 1000
        self.calls: list[Callable[[], Iterable[AnyEvent]]] = []

    def now_us(self) -> int:
        return self.at_us

    def post(self, events: Sequence[AnyEvent]) -> None:
        raise AssertionError("a thread of the gateway died")

    def call_soon(self, call: Callable[[], Iterable[AnyEvent]]) -> None:
        self.calls.append(call)

    def add_reader(self, fileno: int, read: Callable[[], Iterable[AnyEvent]]) -> None: ...

    def remove_reader(self, fileno: int) -> None: ...


class Sent:
    """In place of the websocket."""

    connect_error = ""
    connections = 1

    def send(self, said: Iterable[str]) -> None:
        for text in said:
            assert text == "ping" or json.loads(text)["op"]

    def drop(self, wait_us: int = 0) -> None:
        assert 0 <= wait_us <= 300_000_000

    def settled(self) -> None: ...


class Frames:
    """The gateway, one connection after another, given frames."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()
        self.host = Still()
        self.gateway = BitmexGateway(CONFIG, self.host)
        self.gateway._stream = Sent()  # type: ignore[assignment]
        self.gateway._reader.ask = lambda task: None  # type: ignore[method-assign]
        self.gateway.on_trade = lambda symbol, contracts, price, at_us: None

    def close(self) -> None:
        self.gateway._reader._session.close()

    def one(self) -> bytes:
        rng, gateway = self.rng, self.gateway
        if gateway._session is None:
            self.connect(rng.choice((0, 1, 2, 400, 400, 400)))
        self.host.at_us += rng.choice((1, 1_000, 400_000))
        said = hostile(rng, drawn(rng))
        events = self.give(said)
        self.check(said, events)
        if rng.random() < 0.1:
            self.host.at_us += rng.choice((300_000, 6_000_000))
            encoded(list(gateway.tick(self.host.at_us)))
        return said

    def connect(self, frames: int = 400) -> None:
        """A new connection, and the first frames of it."""
        assert not list(self.gateway.stream_opened())
        for said in images()[:frames]:
            self.give(said)
        if self.gateway._session is not None:
            self.gateway._session.read_done()

    def give(self, said: bytes) -> list[AnyEvent]:
        """One frame; the events that followed."""
        events: list[AnyEvent] = []
        if self.gateway._session is not None:
            self.gateway.stream_said(said, events)
        return events

    def check(self, said: bytes, events: list[AnyEvent]) -> None:
        """What holds after every frame."""
        gateway = self.gateway
        encoded(events)
        self.seen["lost" if gateway._session is None else "events" if events else "quiet"] += 1
        if gateway._session is None:
            kinds = {type(event) for event in events}
            assert kinds <= {e.StreamLost}, f"a refused frame told {kinds}: {said[:300]!r}"
            return
        for name, table in gateway._accounts.tables.items():
            for key, row in table.rows.items():
                assert table._key(row) == key, f"a row of {name} stands under another's key"
        told = [event for event in events if isinstance(event, e.ExecutionSeen)]
        if told:
            exact(said, told)


def encoded(events: list[AnyEvent]) -> None:
    """Every event can be written down, read back the same, and kept in columns."""
    for event in events:
        assert _events.decode(codec.encode(event)) == event, event
        for name in event.__struct_fields__:
            value = getattr(event, name)
            if type(value) is int:
                assert -LARGEST <= value <= LARGEST, f"{name} fits no column: {value}"


def exact(said: bytes, told: list[e.ExecutionSeen]) -> None:
    """Plain json reads the same quantities and prices from the frame."""
    text = said.decode("utf-8", "replace")
    rows = json.loads(text, parse_float=spelt, parse_int=spelt)["data"]
    by_id = {row["execID"]: row for row in rows}
    for event in told:
        row = by_id[event.exec_id]
        if event.contracts and event.type is not e.ExecutionKind.FUNDING:
            sign = {"Buy": 1, "Sell": -1}[row["side"]]
            assert event.contracts == sign * row["lastQty"], row
        if event.price is not None:
            assert event.price == row["lastPx"], row


def spelt(text: str) -> Decimal | None:
    """A number as it stands there; None for one that nobody can mean."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return None
