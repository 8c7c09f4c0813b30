"""The websocket: frames in pieces, in bursts and over TLS, and connections that end."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from reconciler.bitmex import BitmexConfig
from reconciler.bitmex import stream as stream_module
from reconciler.core.events import StreamLost, Synced

from .loop import Loop
from .made import ACCOUNT, execution, order
from .rogue import Rogue, answer

Talk = Callable[[ServerConnection], None]
SYMBOL = "XBTUSD"


def say(socket_: ServerConnection, **said: object) -> None:
    socket_.send(json.dumps(said))


def table(socket_: ServerConnection, name: str, action: str, *rows: dict, **more: object) -> None:
    say(socket_, table=name, action=action, data=list(rows), **more)


def to_the_images(socket_: ServerConnection) -> None:
    """Welcome, login, acknowledgements and an empty image of everything."""
    say(socket_, info="Welcome", version="2.0.0", timestamp="2026-05-20T11:00:00.000Z")
    assert json.loads(socket_.recv())["op"] == "authKeyExpires"
    say(socket_, success=True, request={"op": "authKeyExpires", "args": ["k", 1, "SIGNED"]})
    command = json.loads(socket_.recv())
    for topic in command["args"]:
        say(socket_, success=True, subscribe=topic, request=command)
    for name, keys in (
        ("order", ["orderID"]),
        ("execution", []),
        ("position", ["account", "symbol"]),
        ("margin", ["account", "currency"]),
    ):
        table(socket_, name, "partial", keys=keys, filter={"account": ACCOUNT})
    rules = {
        "symbol": SYMBOL, "state": "Open", "lotSize": 100, "tickSize": 0.1, "multiplier": -1,
        "isInverse": True, "isQuanto": False, "settlCurrency": "XBt", "quoteCurrency": "USD",
    }  # fmt: skip
    table(socket_, "instrument", "partial", rules, keys=["symbol"], filter={"symbol": SYMBOL})


@contextmanager
def told(
    talk: Talk, certificate: Path | None = None
) -> Iterator[tuple[Loop, list[ServerConnection]]]:
    """A gateway that hears *talk* on every connection; REST finds nobody at home."""
    connections: list[ServerConnection] = []

    def handle(socket_: ServerConnection) -> None:
        connections.append(socket_)
        try:
            talk(socket_)
        except (ConnectionClosed, AssertionError):
            pass

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with serve(handle, "127.0.0.1", 0, ssl=context) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        with Loop() as loop:
            loop.run(
                BitmexConfig(
                    base_url="http://127.0.0.1:1",
                    ws_url=f"{'wss' if certificate else 'ws'}://127.0.0.1:{port}/realtime",
                    ca_file="" if certificate is None else str(certificate / "cert.pem"),
                    api_key="test-key",
                    api_secret="test-secret",
                    symbols=(SYMBOL,),
                )
            )
            yield loop, connections
        server.shutdown()


def wait_until(wanted: Callable[[], bool]) -> None:
    until = time.monotonic() + 8
    while not wanted():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.01)


def stay(socket_: ServerConnection) -> None:
    """Answer pings until the other side goes."""
    while True:
        if socket_.recv() == "ping":
            socket_.send("pong")


def test_frames_in_pieces_and_in_bursts() -> None:
    """However frames are cut, joined, fragmented and mixed with pings, each is heard, in order."""
    count = 700  # more than one drain takes

    def talk(socket_: ServerConnection) -> None:
        to_the_images(socket_)
        for number in range(count):
            said = json.dumps(
                {"table": "execution", "action": "insert",
                 "data": [execution(execID=f"e{number}", text="x" * (number * 7 % 900))]}
            )  # fmt: skip
            if number % 10 == 0:
                socket_.send([said[:50], said[50:51], said[51:]])
            elif number % 10 == 5:
                socket_.ping()
                socket_.send(said)
            else:
                socket_.send(said)
        stay(socket_)

    with told(talk) as (loop, _):
        loop.wait(lambda event: getattr(event, "exec_id", "") == f"e{count - 1}")
        seen = [event.exec_id for event in loop.events if hasattr(event, "exec_id")]
        assert seen == [f"e{number}" for number in range(count)]


def test_over_tls(certificate: Path) -> None:
    """Over TLS a frame cut anywhere, longer than a record, or one of many in a record is heard."""
    count = 300

    def talk(socket_: ServerConnection) -> None:
        to_the_images(socket_)
        for number in range(count):
            size = 40_000 if number % 50 == 0 else number % 300
            row = execution(execID=f"e{number}", text="x" * size)
            table(socket_, "execution", "insert", row)
        stay(socket_)

    with told(talk, certificate) as (loop, _):
        loop.wait(lambda event: getattr(event, "exec_id", "") == f"e{count - 1}")
        seen = [event.exec_id for event in loop.events if hasattr(event, "exec_id")]
        assert seen == [f"e{number}" for number in range(count)]


def test_bytes_one_by_one() -> None:
    """A frame that drips in byte by byte is waited for without blocking, and read once whole."""
    payload = json.dumps(
        {"table": "execution", "action": "insert", "data": [execution(execID="slow")]}
    ).encode()
    dripped = b"\x81\x7e" + struct.pack("!H", len(payload)) + payload

    def talk(socket_: ServerConnection) -> None:
        to_the_images(socket_)
        socket_.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(0, len(dripped), 3):
            socket_.socket.sendall(dripped[number : number + 3])
            time.sleep(0.0005)
        stay(socket_)

    with told(talk) as (loop, _):
        assert loop.wait(lambda event: getattr(event, "exec_id", "") == "slow")


def test_a_large_image() -> None:
    """An image of many rows, larger than any buffer, is read whole."""
    rows = [order(orderID=f"o{number}", clOrdID=f"c{number}") for number in range(3_000)]

    def talk(socket_: ServerConnection) -> None:
        to_the_images(socket_)
        table(socket_, "order", "partial", *rows, keys=["orderID"], filter={"account": ACCOUNT})
        stay(socket_)

    with told(talk) as (loop, _):
        loop.wait(lambda event: getattr(event, "cl_ord_id", "") == "c2999")
        assert sum(hasattr(event, "leaves") for event in loop.events) == 3_000


def test_rest_away_means_not_in_sync() -> None:
    """With a stream and without REST there is no sync, and no loss either."""

    def talk(socket_: ServerConnection) -> None:
        to_the_images(socket_)
        stay(socket_)

    with told(talk) as (loop, _):
        gateway = loop.gateway
        assert gateway is not None
        wait_until(lambda: gateway.health()["error"] == "unreachable")
        assert gateway.health()["stream"] == "syncing"
        assert not any(isinstance(event, Synced | StreamLost) for event in loop.events)


def test_a_silent_stream_is_asked_and_then_lost() -> None:
    """A half-open connection is pinged after 5 s and lost 5 s later; any pong keeps it."""
    heard: list[object] = []
    deaf = threading.Event()

    def talk(socket_: ServerConnection) -> None:
        to_the_images(socket_)
        while True:
            said = socket_.recv()
            heard.append(said)
            if not deaf.is_set():
                socket_.send("pong")

    with told(talk) as (loop, connections):
        gateway = loop.gateway
        assert gateway is not None
        wait_until(lambda: gateway.health()["stream"] == "syncing")

        def age_ms() -> int:
            age = gateway.health()["stream_age_ms"]
            assert isinstance(age, int)
            return age

        for number in range(1, 4):
            loop.skew_us += 5_100_000
            wait_until(lambda number=number: heard.count("ping") == number and age_ms() < 1_000)
        assert not any(isinstance(event, StreamLost) for event in loop.events)
        deaf.set()
        loop.skew_us += 5_100_000
        wait_until(lambda: heard.count("ping") == 4)
        assert not any(isinstance(event, StreamLost) for event in loop.events)
        loop.skew_us += 5_100_000
        assert "silent" in loop.wait_for(StreamLost).reason
        wait_until(lambda: len(connections) >= 2)


def test_one_loss_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that closes at once gives one loss each time, and is not hammered."""
    monkeypatch.setattr(stream_module, "BACKOFF_S", 0.02)

    def talk(socket_: ServerConnection) -> None:
        say(socket_, info="Welcome")

    with told(talk) as (loop, connections):
        wait_until(lambda: len(connections) >= 6)
        time.sleep(0.1)
        losses = sum(isinstance(event, StreamLost) for event in loop.events)
        assert len(connections) - 1 <= losses <= len(connections)


def test_backoff_grows() -> None:
    """The pauses between attempts are drawn from a range that doubles, up to half a minute."""
    stream = stream_module.Stream.__new__(stream_module.Stream)
    stream._attempts, stream._not_before_s = 0, 0.0

    class Highest:
        def uniform(self, low: float, high: float) -> float:
            return high

    stream._random = Highest()  # type: ignore[assignment]
    pauses = [stream._pause_s() for _ in range(12)]
    assert pauses[:4] == [0.0, 0.5, 1.0, 2.0]
    assert pauses[-1] == stream_module.BACKOFF_MAX_S


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        ("429 Too Many Requests", "retry-after: 0.6\r\n", 1.0),
        ("429 Too Many Requests", "", 1.0),
        ("429 Too Many Requests", "Retry-After: 7\r\n", 7.0),
        ("429 Too Many Requests", "retry-after: 86400\r\n", 300.0),
        ("503 Service Unavailable", "retry-after: 86400\r\n", 0.0),
    ],
)
def test_a_handshake_refused_for_a_while(status: str, headers: str, wait_s: float) -> None:
    """The venue says when it wants to be asked again; until then nobody knocks."""

    def refuse(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        answer(connection, b"{}", status, headers)
        return False

    with Rogue(refuse) as rogue, Loop() as loop:
        config = BitmexConfig(base_url=rogue.url, api_key="k", api_secret="s", symbols=(SYMBOL,))
        before_s = time.monotonic()
        stream = loop.run(config)._stream
        wait_until(lambda: stream._not_before_s > 0)
        assert before_s + wait_s <= stream._not_before_s <= time.monotonic() + wait_s
        assert status[:3] in stream.connect_error
        if wait_s:
            time.sleep(0.3)
            assert len(rogue.requests) == 1


@pytest.mark.parametrize(
    "said",
    [
        "not json",
        '{"table":"execution","action":"insert","data":[{"execID":5}]}',
        '{"table":"order","action":"update","data":[{"orderID":"x","cumQty":"5"},5]}',
        '{"table":"position","action":"insert","data":[{"symbol":"X","currentQty":"5"}]}',
        '{"status":401,"error":"Not any more."}',
        b"\xff\xfe",
    ],
)
def test_what_cannot_be_read_loses_the_connection(said: str | bytes) -> None:
    """An account frame that can't be read is never skipped: the connection is read anew."""

    def talk(socket_: ServerConnection) -> None:
        to_the_images(socket_)
        socket_.send(said)
        stay(socket_)

    with told(talk) as (loop, _):
        lost = loop.wait_for(StreamLost)
        assert lost.reason
        assert "SIGNED" not in repr(loop.events)


def test_public_nonsense_is_counted() -> None:
    """A quote that can't be read is counted and left out; the account's stream goes on."""

    def talk(socket_: ServerConnection) -> None:
        to_the_images(socket_)
        table(socket_, "quote", "insert", {"symbol": SYMBOL, "bidPrice": "high"})
        table(socket_, "quote", "insert", {"symbol": 5})
        table(socket_, "execution", "insert", execution())
        stay(socket_)

    with told(talk) as (loop, _):
        loop.wait(lambda event: hasattr(event, "exec_id"))
        gateway = loop.gateway
        assert gateway is not None
        assert gateway.health()["frames_refused"] == 2
        assert gateway.quote(SYMBOL) is None
