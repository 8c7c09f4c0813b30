"""
Bytes of a websocket through the stream as it reads them: whole, in pieces, and wrong.

What is honest must come out as it went in, however it was cut into frames and arrivals: the quick
way for whole frames and the library's way must never disagree.
"""

from __future__ import annotations

import random
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import websocket

from reconciler.bitmex.stream import Buffered, Stream
from reconciler.core.events import AnyEvent
from tests.fuzz.frames import CONFIG, Still
from tests.fuzz.material import damaged

SIZES = (0, 1, 5, 124, 125, 126, 127, 128, 300, 1_000, 4_000, 20_000, 65_535, 65_536, 65_537)
TEXT, MORE, PING, PONG, CLOSE = 0x1, 0x0, 0x9, 0xA, 0x8


class Heard:
    """In place of the gateway."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.closed: list[str] = []

    def stream_opened(self) -> Iterable[AnyEvent]:
        return ()

    def stream_said(self, said: bytes, events: list[AnyEvent]) -> None:
        self.said.append(bytes(said))

    def stream_alive(self) -> None: ...

    def stream_closed(self, reason: str) -> Iterable[AnyEvent]:
        self.closed.append(reason)
        return ()

    def stream_crashed(self, error: BaseException) -> None:
        raise AssertionError("no thread was started") from error


def framed(opcode: int, payload: bytes, final: bool = True) -> bytes:
    """A frame as a server sends it."""
    first = opcode | (0x80 if final else 0)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + struct.pack(">H", size) + payload
    return bytes((first, 127)) + struct.pack(">Q", size) + payload


class Streams:
    """One connection an input."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()

    def close(self) -> None: ...

    def one(self) -> bytes:
        rng = self.rng
        said, sent = self.drawn()
        honest = rng.random() < 0.5
        if not honest:
            sent = damaged(rng, sent) if rng.random() < 0.7 else rng.randbytes(rng.randrange(1, 90))
        heard = self.read(sent)
        assert len(heard.closed) <= 1
        if honest:
            assert heard.said == said, "what came out is not what went in"
            assert not heard.closed, heard.closed
        self.seen["honest" if honest else "closed" if heard.closed else "waits"] += 1
        return sent[:2_000]

    def drawn(self) -> tuple[list[bytes], bytes]:
        """Some messages, and the frames that carry them."""
        rng = self.rng
        said, sent = [], []
        for _ in range(rng.randrange(1, 5)):
            text = b"x" * (rng.choice(SIZES) if rng.random() < 0.5 else rng.randrange(200))
            said.append(text)
            opcode = TEXT
            while rng.random() < 0.3:  # in many frames, with others between them
                at = rng.randrange(len(text) + 1)
                sent.append(framed(opcode, text[:at], final=False))
                text, opcode = text[at:], MORE
                if rng.random() < 0.3:
                    sent.append(framed(rng.choice((PING, PONG)), b"hello"))
            sent.append(framed(opcode, text))
            if rng.random() < 0.2:
                sent.append(framed(rng.choice((PING, PONG)), rng.randbytes(3)))
        return said, b"".join(sent)

    def read(self, sent: bytes) -> Heard:
        """Let the stream read *sent*, in as many arrivals as the dice say."""
        rng, heard, host = self.rng, Heard(), Still()
        ours, theirs = socket.socketpair()
        stream = Stream(CONFIG.stream, None, host, heard)
        ws = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
        buffered = Buffered(ours)
        ws.sock, ws.connected = cast(Any, buffered), True
        try:
            assert not stream._adopt(ws, buffered)
            theirs.settimeout(1)
            while sent and not heard.closed:
                size = rng.choice((1, 2, 3, 10, 1_000, 30_000)) if rng.random() < 0.4 else 30_000
                theirs.sendall(sent[:size])
                sent = sent[size:]
                stream._readable()
                while host.calls:
                    list(host.calls.pop()())
        finally:
            stream.drop()
            ours.close()
            theirs.close()
        return heard
