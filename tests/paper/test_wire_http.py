"""HTTP on the wire, as odd clients speak it: in one piece, in many, ahead of the answers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

from uvicorn.server import ServerState

from reconciler.paper import PaperExchange
from reconciler.paper.auth import sign
from reconciler.paper.uvicorn_door import Config
from reconciler.paper.web import Answer
from reconciler.paper.wire_http import Http
from tests.paper.conftest import DEADLINE_S, Client

PATH = "/api/v1/order"


def line_to(venue: PaperExchange) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", venue.port), timeout=DEADLINE_S)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def order(name: str, *more: str) -> bytes:
    """A whole signed POST of a small order far from the market."""
    body = f'{{"symbol":"XBTUSD","orderQty":100,"price":50000,"clOrdID":"{name}"}}'.encode()
    expires = str(int(time.time()) + 60)
    head = [
        f"POST {PATH} HTTP/1.1", "host: venue", "content-type: application/json",
        "api-key: sim-key", f"api-expires: {expires}",
        f"api-signature: {sign('sim-secret', 'POST', PATH, expires, body)}",
        f"content-length: {len(body)}", *more,
    ]  # fmt: skip
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def answers(line: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """Status and body of the next answers, by their lengths."""
    held = b""
    found: list[tuple[int, bytes]] = []
    while len(found) < count:
        head, complete, rest = held.partition(b"\r\n\r\n")
        if complete:
            fields = dict(row.split(b": ", 1) for row in head.lower().split(b"\r\n")[1:])
            size = int(fields.get(b"content-length", b"0"))
            if len(rest) >= size:
                found.append((int(head[9:12]), rest[:size]))
                held = rest[size:]
                continue
        got = line.recv(65_536)
        assert got, f"hung up after {found!r} and {held!r}"
        held += got
    return found


def names(client: Client) -> list[str]:
    return [row["clOrdID"] for row in client.paper("truth")["orders"]]


def test_requests_of_one_segment_are_answered_in_their_order(venue, client):
    """A client may send ahead: every request is acted on once, and the answers keep the order."""
    with line_to(venue) as line:
        line.sendall(b"".join(order(f"p{n}") for n in range(5)))
        found = answers(line, 5)
    assert [status for status, _ in found] == [200] * 5
    assert all(f'"clOrdID":"p{n}"'.encode() in body for n, (_, body) in enumerate(found))
    assert names(client) == [f"p{n}" for n in range(5)]


def test_an_answer_that_waits_is_not_overtaken_by_the_next(venue, client):
    """The first of three is held back by a fault; the others, sent ahead, come after it."""
    client.fault("slow-answer")
    with line_to(venue) as line:
        line.sendall(b"".join(order(f"s{n}") for n in range(3)))
        found = answers(line, 3)
    assert [f'"clOrdID":"s{n}"'.encode() in body for n, (_, body) in enumerate(found)] == [True] * 3
    assert sorted(names(client)) == ["s0", "s1", "s2"]


def test_a_body_may_come_in_any_pieces(venue, client):
    """Byte by byte or in one piece, it is the same request."""
    whole = order("slow")
    with line_to(venue) as line:
        for at in range(len(whole)):
            line.sendall(whole[at : at + 1])
        assert answers(line, 1)[0][0] == 200
        line.sendall(order("next"))
        assert answers(line, 1)[0][0] == 200
    assert names(client) == ["slow", "next"]


def test_who_asks_before_sending_the_body_is_told_to_go_on(venue, client):
    """curl does so for large bodies: 100 Continue first, then the answer."""
    head, _, body = order("polite", "expect: 100-continue").partition(b"\r\n\r\n")
    with line_to(venue) as line:
        line.sendall(head + b"\r\n\r\n")
        assert answers(line, 1) == [(100, b"")]
        line.sendall(body)
        assert answers(line, 1)[0][0] == 200
    assert names(client) == ["polite"]


def test_a_body_beyond_all_measure_is_refused(venue, client):
    """More than a megabyte: 413 in BitMEX's shape, and nothing has changed."""
    with line_to(venue) as line:
        line.sendall(f"POST {PATH} HTTP/1.1\r\nhost: v\r\ncontent-length: 2000000\r\n\r\n".encode())
        line.sendall(b" " * 1_100_000)
        [(status, body)] = answers(line, 1)
    assert status == 413
    assert body == b'{"error":{"message":"Request Entity Too Large","name":"HTTPError"}}'
    assert names(client) == []


def test_an_old_client_is_hung_up_on_after_its_answer(venue):
    """HTTP/1.0, or ``connection: close``: one answer that says so, then the end."""
    for version, more in (("1.0", ""), ("1.1", "connection: close\r\n")):
        with line_to(venue) as line:
            line.sendall(f"GET /api/v1/trade HTTP/{version}\r\nhost: v\r\n{more}\r\n".encode())
            whole = b""
            while got := line.recv(65_536):
                whole += got
        assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in whole
        assert whole.endswith(b"]")


def test_a_head_has_the_length_of_a_body_that_does_not_come(venue):
    """The bytes behind the head are those of the next answer."""
    with line_to(venue) as line:
        line.sendall(b"HEAD /api/v1/nowhere HTTP/1.1\r\nhost: v\r\n\r\n")
        head = line.recv(65_536)
        assert head.startswith(b"HTTP/1.1 404")
        assert head.endswith(b"\r\n\r\n")
        line.sendall(b"GET /api/v1/nowhere HTTP/1.1\r\nhost: v\r\n\r\n")
        assert answers(line, 1)[0][0] == 404


# -- a connection that idles, on a clock of ours ----------------------------------------------


class Loop:
    """As much of an event loop as a connection needs: a clock, and timers by the moment."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        self.timers.append(asyncio.TimerHandle(self.now + seconds, call, (), self))  # type: ignore[arg-type]
        return self.timers[-1]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.timers.remove(handle)

    def go_on(self, to: float) -> None:
        while due := [timer for timer in self.timers if timer.when() <= to]:
            self.timers.remove(due[0])
            self.now = due[0].when()
            due[0]._run()
        self.now = to


class Line(asyncio.Transport):
    closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


ASKED = b"GET /api/v1/trade HTTP/1.1\r\nhost: v\r\n\r\n"


def idle() -> tuple[Loop, Line, Http]:
    """A connection on which a request was answered at the moment 0."""
    application = SimpleNamespace(begin=lambda request: Answer())
    config = Config(application, http=Http, timeout_keep_alive=90, lifespan="off", log_config=None)  # type: ignore[arg-type]
    config.load()
    loop, line = Loop(), Line()
    http = Http(config, ServerState(), {}, loop)  # type: ignore[arg-type]
    http.connection_made(line)
    http.data_received(ASKED)
    return loop, line, http


def test_a_connection_is_closed_when_it_has_idled_since_its_last_answer():
    """Ninety seconds after the last request, and not after one before it."""
    loop, line, http = idle()
    loop.go_on(60)
    http.data_received(ASKED)
    loop.go_on(149)
    assert not line.closed
    loop.go_on(150)
    assert line.closed


def test_a_request_that_has_begun_is_not_cut_off():
    """However long its head takes: the ninety seconds begin with its answer."""
    loop, line, http = idle()
    http.data_received(ASKED[:20])
    loop.go_on(200)
    assert not line.closed
    http.data_received(ASKED[20:])
    loop.go_on(289)
    assert not line.closed
    loop.go_on(290)
    assert line.closed


def test_a_connection_that_is_gone_leaves_no_timer():
    """Else each stays in memory for as long as it might have idled."""
    loop, _, http = idle()
    http.connection_lost(None)
    assert loop.timers == []


def test_an_answer_is_dated_when_its_request_comes(venue: PaperExchange) -> None:
    """Whoever tells our clock by it is told nothing that was over before he asked."""
    state = venue._server._uvicorn.server_state
    with line_to(venue) as line:
        for _ in range(2):
            state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]
            asked_s = int(time.time())
            line.sendall(b"HEAD /api/v1/instrument/active HTTP/1.1\r\nhost: venue\r\n\r\n")
            head = line.recv(65_536).decode().lower()
            (date,) = [row[6:] for row in head.split("\r\n") if row.startswith("date: ")]
            assert parsedate_to_datetime(date).timestamp() >= asked_s
