"""
Load on a paper exchange: orders at a steady rate, and websockets that take whatever comes.

Both sides are as light as Python allows, because they share the machine with what is measured:
requests are signed and built before the clock starts, answers are looked at for their status only,
and frames are counted by the bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from multiprocessing import Event, Process, Queue
from typing import Any

FAR = 4_000_000_000  # api-expires: some day in 2096
KEYS = (("sim-key", "sim-secret"), ("sim-key-2", "sim-secret-2"))


def signature(secret: str, verb: str, path: str, body: bytes = b"") -> str:
    message = f"{verb}{path}{FAR}".encode() + body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def request(who: int, path: str, fields: object) -> bytes:
    """A whole POST of one of the two accounts."""
    key, secret = KEYS[who]
    body = json.dumps(fields, separators=(",", ":")).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"api-key: {key}\r\napi-expires: {FAR}\r\n"
        f"api-signature: {signature(secret, 'POST', path, body)}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def orders(count: int, symbol: str, price: float, tick: float) -> list[bytes]:
    """
    Orders that all go through matching: every second one trades with the one before it.

    The accounts change sides all the time, so no position grows, and the price goes up and down by
    some ticks, so the book moves.
    """
    made = []
    for number in range(count):
        pair, second = divmod(number, 2)
        buys = (pair + second) % 2 == 0
        at = round(price + tick * (pair % 7), 2)
        fields = {
            "symbol": symbol, "side": "Buy" if buys else "Sell", "orderQty": 100, "price": at,
            "ordType": "Limit", "clOrdID": f"load-{number}",
        }  # fmt: skip
        made.append(request(second, "/api/v1/order", fields))
    return made


def bulks(count: int, each: int, symbol: str, price: float, tick: float) -> list[bytes]:
    """The same in bulk calls: every second one trades with all of the one before it."""
    made = []
    for number in range(count // each):
        pair, second = divmod(number, 2)
        buys = (pair + second) % 2 == 0
        fields = {
            "symbol": symbol, "side": "Buy" if buys else "Sell", "orderQty": 100,
            "price": round(price + tick * (pair % 7), 2), "ordType": "Limit",
        }  # fmt: skip
        named = [{**fields, "clOrdID": f"bulk-{number}-{nth}"} for nth in range(each)]
        made.append(request(second, "/api/v1/order/bulk", {"orders": named}))
    return made


class Line:
    """One connection that is kept alive; one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""
        self.due = 0.0  # when the request that is under way should have left; 0: none is

    def read(self) -> int | None:
        """The status of the answer, once it is there."""
        self.held += self.socket.recv(65_536)
        head, found, rest = self.held.partition(b"\r\n\r\n")
        if not found:
            if not self.held:
                raise ConnectionError("the venue hung up")
            return None
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        size = int(lower[at : lower.find(b"\r\n", at) if b"\r\n" in lower[at:] else None])
        if len(rest) < size:
            return None
        self.held = rest[size:]
        return int(head[9:12])


def post(
    port: int, requests: Sequence[bytes], a_second: float, lines: int
) -> tuple[list[float], Counter[int], float]:
    """
    Send *requests* at a steady rate: seconds each took, statuses, and seconds it took in all.

    A request's time counts from when it was due, so one that had to wait for a free connection, or
    for this process, is slow: nothing is left out of the figures because the venue was busy.
    """
    free: deque[Line] = deque(Line(port) for _ in range(lines))
    everyone = list(free)
    selector = selectors.DefaultSelector()
    for line in free:
        selector.register(line.socket, selectors.EVENT_READ, line)
    took: list[float] = []
    statuses: Counter[int] = Counter()
    start = time.perf_counter() + 0.01
    sent = 0
    while len(took) < len(requests):
        now = time.perf_counter()
        while sent < len(requests) and free and start + sent / a_second <= now:
            line = free.popleft()
            line.due = start + sent / a_second
            line.socket.send(requests[sent])
            sent += 1
        wait = 0.05
        if sent < len(requests) and free:
            wait = max(0.0, start + sent / a_second - time.perf_counter())
        for key, _ in selector.select(wait):
            line = key.data
            status = line.read()
            if status is not None:
                took.append(time.perf_counter() - line.due)
                statuses[status] += 1
                free.append(line)
    whole = time.perf_counter() - start
    for line in everyone:
        line.socket.close()
    selector.close()
    return took, statuses, whole


# -- those who listen -------------------------------------------------------------------------


def _upgrade(port: int, topics: str, who: int | None) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port))
    head = (
        f"GET /realtime?subscribe={topics} HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\n"
        f"connection: Upgrade\r\nsec-websocket-version: 13\r\n"
        f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
    )
    if who is not None:
        key, secret = KEYS[who]
        head += (
            f"api-key: {key}\r\napi-expires: {FAR}\r\n"
            f"api-signature: {signature(secret, 'GET', '/realtime')}\r\n"
        )
    peer.sendall(head.encode() + b"\r\n")
    said = b""
    while b"\r\n\r\n" not in said:
        said += peer.recv(65_536)
    assert said.startswith(b"HTTP/1.1 101"), said[:200]
    return peer


def _listen(
    port: int, clients: Sequence[tuple[str, int | None]], up: Any, stop: Any, told: Any
) -> None:
    selector = selectors.DefaultSelector()
    received = {}
    for topics, who in clients:
        peer = _upgrade(port, topics, who)
        peer.setblocking(False)
        received[peer.fileno()] = 0
        selector.register(peer, selectors.EVENT_READ, peer)
    up.set()
    lost = quotes = 0
    while not stop.is_set():
        for key, _ in selector.select(0.1):
            try:
                got = key.data.recv(1_048_576)
            except OSError:
                got = b""
            if got:
                received[key.fd] += len(got)
                quotes += got.count(b'"askSize"')  # rows of quote, less the few that are torn
            else:
                selector.unregister(key.data)
                lost += 1
    told.put((sum(received.values()), lost, quotes))


class Listeners:
    """Websockets in a process of their own, for as long as the block lasts."""

    def __init__(self, port: int, clients: Sequence[tuple[str, int | None]]) -> None:
        self._up, self._stop, self._told = Event(), Event(), Queue()  # type: ignore[var-annotated]
        self._process = Process(
            target=_listen, args=(port, clients, self._up, self._stop, self._told), daemon=True
        )
        self.bytes = self.lost = self.quotes = 0

    def __enter__(self) -> Listeners:
        self._process.start()
        assert self._up.wait(30), "the listeners did not get in"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.bytes, self.lost, self.quotes = self._told.get(timeout=10)
        self._process.join(10)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which *part* of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
