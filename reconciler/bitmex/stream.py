"""
The websocket: connected in a thread of its own, read in the loop.

Connecting may block, so it happens in the thread `bitmex-stream`, with full-jitter backoff. The
connected socket is then handed to the loop, made non-blocking, and read there whenever it has
bytes: everything that is complete is drained, and its events are returned together, so that they
share one commit. A frame cut off in the middle waits in the buffer of websocket-client, which
goes on where it stopped.

The only module that imports websocket-client.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Protocol

import websocket

from reconciler.core.events import AnyEvent
from reconciler.venue import Host

from .answers import retry_after_us
from .net import Address, connect

HANDSHAKE_S = 10.0
BACKOFF_S = 0.25  # doubled with every attempt
BACKOFF_MAX_S = 30.0
STEADY_S = 10.0  # in sync that long, a connection ends the backoff: 360 an hour of 720 at worst
FRAMES_A_DRAIN = 512  # then others get their turn
FRAME_MAX = 64 * 1024 * 1024  # a longer one is an attack, or a fault
CHUNK = 65_536

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
BROKEN = (OSError, websocket.WebSocketException, ValueError)

_SAID = (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY)
_CLOSE = websocket.ABNF.OPCODE_CLOSE
_TEXT = websocket.ABNF.OPCODE_TEXT
_WHOLE_TEXT = 0x80 | _TEXT  # the first byte of a frame that is the whole of a message


class Reader(Protocol):
    """Who is told what the stream does; always in the loop."""

    def stream_opened(self) -> Iterable[AnyEvent]:
        """A connection stands. Nothing was read from it yet."""

    def stream_said(self, said: bytes, events: list[AnyEvent]) -> None:
        """A text frame came; what follows from it is appended to *events*."""

    def stream_alive(self) -> None:
        """A frame without words came, such as a ping."""

    def stream_closed(self, reason: str) -> Iterable[AnyEvent]:
        """The connection is gone."""

    def stream_crashed(self, error: BaseException) -> None:
        """Never expected: the connecting thread died. In that thread."""


class Buffered:
    """A socket that reads much at once and gives it out in small pieces."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._plain = not isinstance(sock, ssl.SSLSocket)
        self._held = b""
        self._at = 0
        self._dry = False  # the last read took all that there was
        self._closed = False  # websocket-client is done with it
        self.until_s = time.monotonic() + HANDSHAKE_S  # while it blocks

    @property
    def exhausted(self) -> bool:
        """Whether reading on would certainly find nothing."""
        return self._dry and self._at >= len(self._held)

    def wake(self) -> None:
        """The socket became readable."""
        self._dry = False

    def recv(self, size: int) -> bytes:
        """Up to *size* bytes; those held first."""
        if self._at >= len(self._held):
            self._fetch()
        start = self._at
        self._at = min(start + size, len(self._held))
        if start == 0 and self._at == len(self._held):
            return self._held
        return self._held[start : self._at]

    def whole_text(self) -> bytes | None:
        """What the next frame says, if it is a whole text and all of it is here; else None."""
        if self._at >= len(self._held):
            self._fetch()
        held, at = self._held, self._at
        if len(held) - at < 4 or held[at] != _WHOLE_TEXT:
            return None
        size, start = held[at + 1], at + 2
        if size == 126:
            size, start = held[at + 2] << 8 | held[at + 3], at + 4
        elif size > 126:  # huge, or masked as no server should
            return None
        if start + size > len(held):
            return None
        self._at = start + size
        return held[start : self._at]

    def _fetch(self) -> None:
        if self._sock.gettimeout() != 0:
            left = self.until_s - time.monotonic()
            if left <= 0:
                raise TimeoutError("the handshake took too long")
            self._sock.settimeout(left)
        self._held = self._sock.recv(CHUNK)
        self._at = 0
        # TLS hands out a record at a time, so a short read says nothing there.
        self._dry = self._plain and len(self._held) < CHUNK

    def send(self, data: bytes) -> int:
        return self._sock.send(data)

    def gettimeout(self) -> float | None:
        return self._sock.gettimeout()

    def settimeout(self, timeout: float | None) -> None:
        self._sock.settimeout(timeout)

    def fileno(self) -> int:
        return self._sock.fileno()

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def close(self) -> None:
        # Only noted: the loop still watches the number, which must not be given to another file.
        self._closed = True

    def release(self) -> None:
        """Close it."""
        self._sock.close()


class Stream:
    """Keeps one connection, for ever: connects, hands over, and connects again when it is lost."""

    def __init__(
        self, to: Address, context: ssl.SSLContext | None, host: Host, reader: Reader
    ) -> None:
        self._to = to
        self._context = context
        self._host = host
        self._reader = reader
        self._wanted = threading.Event()
        self._settled_s = 0.0
        self._closing = threading.Event()
        self._random = random.Random()
        self._attempts = 0
        self._not_before_s = 0.0
        self._socket: websocket.WebSocket | None = None
        self._buffered: Buffered | None = None
        self._thread = threading.Thread(target=self._run, name="bitmex-stream", daemon=True)
        self.connections = 0
        self.connect_error = ""  # why the last attempt failed

    def start(self) -> None:
        """Begin to connect."""
        self._wanted.set()
        self._thread.start()

    def settled(self) -> None:
        """The connection proved useful: if it stays so, the next attempt may be quick."""
        self._settled_s = time.monotonic()

    def send(self, said: Iterable[str]) -> None:
        """
        Send text frames. In the loop.

        Raises:
            OSError: The connection is gone, or so full that it may as well be.
        """
        if self._socket is None:
            raise OSError("not connected")
        for text in said:
            try:
                self._socket.send(text)
            except BROKEN as error:
                raise OSError(_short(error)) from None

    def drop(self, wait_us: int = 0) -> None:
        """Close the connection and connect again, after *wait_us* at least. In the loop."""
        ws, buffered = self._socket, self._buffered
        self._socket = self._buffered = None
        if ws is None or buffered is None:
            return
        self._host.remove_reader(buffered.fileno())
        _end(ws, buffered)
        now_s = time.monotonic()
        if self._settled_s and now_s - self._settled_s > STEADY_S:
            self._attempts = 0
        self._settled_s = 0.0
        self._not_before_s = now_s + wait_us / 1_000_000
        self._wanted.set()

    def close(self, until_s: float) -> None:
        """End the thread and the connection. In the loop, or when the loop runs no more."""
        self._closing.set()
        self._wanted.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(max(until_s - time.monotonic(), 0.01))
        self.drop()

    # -- the connecting thread

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._wanted.wait()
                if self._closing.wait(self._pause_s()):
                    return
                self._wanted.clear()
                try:
                    ws, buffered = self._connect()
                except BROKEN as error:
                    self.connect_error = _short(error)
                    self._not_before_s = time.monotonic() + _asked_to_wait_s(error)
                    self._wanted.set()
                    continue
                self._host.call_soon(partial(self._adopt, ws, buffered))
        except BaseException as error:
            self._reader.stream_crashed(error)

    def _pause_s(self) -> float:
        """Full jitter; the first attempt goes at once."""
        most = min(BACKOFF_S * 2 ** min(self._attempts, 10), BACKOFF_MAX_S)
        pause = self._random.uniform(0, most) if self._attempts else 0.0
        self._attempts += 1
        return max(pause, self._not_before_s - time.monotonic(), 0.0)

    def _connect(self) -> tuple[websocket.WebSocket, Buffered]:
        buffered = Buffered(connect(self._to, self._context))
        try:
            scheme = "wss" if self._to.secure else "ws"
            ws = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
            # With a socket of our own websocket-client looks at no proxy and no environment.
            ws.connect(  # type: ignore[no-untyped-call]
                f"{scheme}://{self._to.authority}{self._to.path}",
                socket=buffered,
                timeout=HANDSHAKE_S,
                redirect_limit=0,
                suppress_origin=True,
            )
        except BaseException:
            buffered.release()
            raise
        return ws, buffered

    # -- the loop

    def _adopt(self, ws: websocket.WebSocket, buffered: Buffered) -> list[AnyEvent]:
        if self._closing.is_set() or self._socket is not None:
            _end(ws, buffered)
            return []
        buffered.settimeout(0)
        self._socket, self._buffered = ws, buffered
        self.connections += 1
        self.connect_error = ""
        events = list(self._reader.stream_opened())
        if self._socket is ws:
            self._host.add_reader(buffered.fileno(), self._readable)
        events.extend(self._drain())  # the handshake may have read more than its own
        return events

    def _readable(self) -> list[AnyEvent]:
        if self._buffered is None:
            return []
        self._buffered.wake()
        return self._drain()

    def _drain(self) -> list[AnyEvent]:
        """Take in all complete frames."""
        events: list[AnyEvent] = []
        ws, buffered = self._socket, self._buffered
        if ws is None or buffered is None:
            return events
        reader = self._reader
        for _ in range(FRAMES_A_DRAIN):
            if buffered.exhausted:
                break
            try:
                # The usual frame is taken as it stands: websocket-client reads it in three pieces,
                # which takes longer than to decode it. It reads all the others.
                opcode, said = _TEXT, buffered.whole_text() if _between_frames(ws) else None
                if said is None:
                    opcode, said = ws.recv_data(control_frame=True)
            except WOULD_BLOCK:
                if (ws.frame_buffer.length or 0) > FRAME_MAX:
                    return self._ended(events, "a frame is too long")
                break
            except BROKEN as error:
                return self._ended(events, _short(error))
            if opcode == _CLOSE:
                return self._ended(events, "closed by the venue")
            if opcode in _SAID:
                reader.stream_said(said, events)
                if self._socket is not ws:  # what was said lost the connection
                    return events
            else:
                reader.stream_alive()
        else:
            self._host.call_soon(self._drain)
        return events

    def _ended(self, events: list[AnyEvent], reason: str) -> list[AnyEvent]:
        events.extend(self._reader.stream_closed(reason))
        return events


def _between_frames(ws: websocket.WebSocket) -> bool:
    """Whether websocket-client holds no part of a frame, nor of a message in many frames."""
    begun = ws.frame_buffer
    return begun.header is None and not begun.recv_buffer and not ws.cont_frame.recving_frames


def _end(ws: websocket.WebSocket, buffered: Buffered) -> None:
    ws.shutdown()  # type: ignore[no-untyped-call]
    buffered.release()


def _asked_to_wait_s(error: BaseException) -> float:
    """A handshake refused with 429 says for how long; to ask again before that leads to a ban."""
    if not isinstance(error, websocket.WebSocketBadStatusException) or error.status_code != 429:
        return 0.0
    headers = {str(k).lower(): str(v) for k, v in (error.resp_headers or {}).items()}
    return max(retry_after_us(headers, time.time_ns() // 1000) / 1e6, 1.0)


def _short(error: BaseException) -> str:
    """An error of the network in a few words. Headers of ours are in none of them."""
    if isinstance(error, websocket.WebSocketBadStatusException):
        return f"the handshake was answered with {error.status_code}"
    text = str(error)
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__
