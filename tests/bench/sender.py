"""A venue of a hundred busy symbols: a process that plays quotes and trades to one stream."""

from __future__ import annotations

import base64
import contextlib
import json
import select
import socket
import time
from hashlib import sha1
from random import Random
from typing import Any

from tests.bench.venue import MAGIC, frame, iso

SYMBOLS = tuple(f"SYM{number}USD" for number in range(100))
QUOTES_S, TRADES_S = 100, 5  # of each symbol
LOT = 100


def play(port_queue: Any, seconds: float, end: Any) -> None:
    """The venue: accepts one client, answers its subscriptions, then plays quotes and trades."""
    listener = socket.create_server(("127.0.0.1", 0))
    port_queue.put(listener.getsockname()[1])
    while True:
        sock, _ = listener.accept()
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(65_536)
        if b"pgrade: websocket" in head:
            break
        body = b"[]"  # history: nothing was traded before
        sock.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n" % len(body) + body
        )
        sock.close()
    key = next(
        line.split(b":", 1)[1].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(sha1(key + MAGIC).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        b"sec-websocket-accept: " + accept + b"\r\n\r\n"
    )
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(frame(json.dumps({"info": "Welcome", "timestamp": iso()})))
    topics: set[str] = set()
    held = b""
    while len(topics) < 3 * len(SYMBOLS):
        held += sock.recv(65_536)
        held, commands = _unmasked(held)
        for command in commands:
            args = json.loads(command)["args"]
            for topic in args:
                topics.add(topic)
                table, _, symbol = topic.partition(":")
                ack = {"success": True, "subscribe": topic, "request": {"op": "subscribe"}}
                sock.sendall(frame(json.dumps(ack)) + frame(json.dumps(_image(table, symbol))))
    with contextlib.suppress(OSError):  # the client has seen enough
        _stream(sock, listener, seconds)
    end.wait(20)
    sock.close()


def _unmasked(held: bytes) -> tuple[bytes, list[bytes]]:
    found = []
    while len(held) >= 2:
        size, start = held[1] & 127, 2
        if size == 126:
            size, start = int.from_bytes(held[2:4], "big"), 4
        if len(held) < start + 4 + size:
            break
        mask, body = held[start : start + 4], held[start + 4 : start + 4 + size]
        text = bytes(byte ^ mask[n % 4] for n, byte in enumerate(body))
        if text.startswith(b"{"):
            found.append(text)
        held = held[start + 4 + size :]
    return held, found


def _image(table: str, symbol: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    if table == "instrument":
        rows = [
            {
                "symbol": symbol, "lotSize": LOT, "tickSize": 0.5, "multiplier": -100_000_000,
                "isInverse": True, "markPrice": 64_000,
            }
        ]  # fmt: skip
    return {
        "table": table, "action": "partial", "keys": [], "filter": {"symbol": symbol}, "data": rows,
    }  # fmt: skip


def _stream(sock: socket.socket, listener: socket.socket, seconds: float) -> None:
    """Every 10 ms a quote of each symbol, and now and then a trade: paced by the clock."""
    rng = Random(1)
    start = time.monotonic()
    listener.setblocking(False)
    for beat in range(int(seconds * QUOTES_S)):
        stamp, now_us = iso(), time.monotonic_ns() // 1_000
        said = []
        for symbol in SYMBOLS:
            bid = 63_000 + rng.randrange(900)
            said.append(
                frame(
                    f'{{"table":"quote","action":"insert","data":[{{"timestamp":"{stamp}",'
                    f'"symbol":"{symbol}","bidSize":{now_us},"bidPrice":{bid}.5,'
                    f'"askPrice":{bid + 1},"askSize":1800}}]}}'
                )
            )
            if rng.random() < TRADES_S / QUOTES_S:
                name = f"{rng.getrandbits(64):016x}"
                said.append(
                    frame(
                        f'{{"table":"trade","action":"insert","data":[{{"timestamp":"{stamp}",'
                        f'"symbol":"{symbol}","side":"Buy","size":100,"price":{bid}.5,'
                        f'"tickDirection":"PlusTick","trdMatchID":"{name}","grossValue":157460,'
                        f'"homeNotional":0.0015746,"foreignNotional":100,"trdType":"Regular"}}]}}'
                    )
                )
        sock.sendall(b"".join(said))
        while (late := start + (beat + 1) / QUOTES_S - time.monotonic()) > 0:
            readable, _, _ = select.select([listener], [], [], late)
            if readable:
                _answer_history(listener)


def _answer_history(listener: socket.socket) -> None:
    sock, _ = listener.accept()
    sock.settimeout(1)
    sock.recv(65_536)
    sock.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
        b"x-ratelimit-limit: 9999\r\nx-ratelimit-remaining: 9999\r\nconnection: close\r\n\r\n[]"
    )
    sock.close()
