"""
A proxy between the service and the venue that does, on request, what networks do.

It reads whole requests and whole answers, so that a fault strikes exactly one of them. After an
upgrade it carries bytes both ways, and can swallow those of one way.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Self

from tests.bitmex.rogue import hang_up, length

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
BAD_GATEWAY = (
    b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%s"
    % (len(HTML), HTML)
)

#: Name -> what it does to a request or its answer.
FAULTS = {
    "drop-request": "The connection ends before the request goes on.",
    "drop-answer": "The request goes on; its answer is thrown away, the connection ended.",
    "delay": "The request goes on late.",
    "late": "The connection ends at once; the request goes on late all the same.",
    "swallow": "The request is taken and nothing follows.",
    "half-open": "The request goes on; its answer is swallowed and the connection stays.",
    "truncate": "The answer is cut off in its middle.",
    "truncate-head": "The answer is cut off in its head.",
    "twice": "The whole request goes on twice; the first answer comes back.",
    "html": "The request goes on; a page of a gateway comes back.",
    "html-only": "A page of a gateway comes back; the request goes nowhere.",
    "reset": "The connection is reset when the first bytes come; none goes on.",
    "drip": "The answer comes in pieces of one byte.",
}


class Fault(NamedTuple):
    """What is to be done to the next requests that begin like this."""

    name: str
    begins: bytes
    delay_s: float


class Proxy:
    """
    Listens on loopback and carries everything to *upstream*, a port there.

    Attributes:
        struck: How often each fault struck.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, int]] = []
        self._deaf = threading.Event()  # what the venue says on streams is swallowed
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()
        self._streams: set[socket.socket] = set()
        self._dark = False
        self.struck: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        hang_up(self._listener)
        self._end(self._open)

    # -- for tests

    def fault(
        self,
        name: str,
        times: int = 1,
        begins: bytes = b"POST /api/v1/order ",
        delay_s: float = 1.0,
    ) -> None:
        """Let *name* strike the next *times* requests that begin with *begins*."""
        assert name in FAULTS
        with self._lock:
            self._faults.append((Fault(name, begins, delay_s), times))

    def heal(self) -> None:
        """From now on everything is carried; what was swallowed stays lost."""
        with self._lock:
            self._faults.clear()
        self._deaf.clear()
        self._dark = False

    def deafen(self) -> None:
        """Streams stay open, and nothing that the venue says comes through."""
        self._deaf.set()

    def cut_streams(self) -> None:
        """End all websockets."""
        self._end(self._streams)

    def darken(self) -> None:
        """End everything, and take nothing new until `heal`."""
        self._dark = True
        self._end(self._open)

    # -- inside

    def _end(self, connections: set[socket.socket]) -> None:
        with self._lock:
            found = list(connections)
        for connection in found:
            hang_up(connection)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._dark:
                reset(client)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), self._kept(client):
            venue = socket.create_connection(("127.0.0.1", self._upstream), timeout=10)
            with self._kept(venue):
                self._carry(client, venue)

    def _carry(self, client: socket.socket, venue: socket.socket) -> None:
        """Requests and answers in turn, until one side is done."""
        client.settimeout(None)
        held = b""
        while True:
            if not held:
                held = client.recv(65_536)
                if not held:
                    return
            fault = self._strikes(held)
            if fault is not None and fault.name == "reset":
                reset(client)
                return
            request, held = whole(client, held)
            if b"upgrade: websocket" in request.lower():
                venue.sendall(request)
                self._stream(client, venue, held)
                return
            if not self._answer(client, venue, request, fault):
                return

    def _strikes(self, begun: bytes) -> Fault | None:
        with self._lock:
            for number, (fault, left) in enumerate(self._faults):
                if begun.startswith(fault.begins):
                    self._faults[number] = (fault, left - 1)
                    if left <= 1:
                        del self._faults[number]
                    self.struck[fault.name] += 1
                    return fault
        return None

    def _answer(
        self, client: socket.socket, venue: socket.socket, request: bytes, fault: Fault | None
    ) -> bool:
        """Carry one request and its answer; whether the connection goes on."""
        name = "" if fault is None else fault.name
        if name == "drop-request":
            return False
        if name == "html-only":
            client.sendall(BAD_GATEWAY)
            return True
        if name == "swallow":
            self._closed.wait(60)
            return False
        if name == "late":
            hang_up(client)
        if fault is not None and name in ("delay", "late"):
            self._closed.wait(fault.delay_s)
        venue.sendall(request)
        answer, _ = whole(venue, b"")
        if name == "twice":
            venue.sendall(request)
            whole(venue, b"")
        if name == "html":
            answer = BAD_GATEWAY
        elif name in ("drop-answer", "late"):
            return False
        elif name == "half-open":
            self._closed.wait(60)
            return False
        elif name == "truncate":
            client.sendall(answer[:-20])
            return False
        elif name == "truncate-head":
            client.sendall(answer[:15])
            return False
        elif name == "drip":
            for at in range(len(answer)):
                client.sendall(answer[at : at + 1])
                self._closed.wait(0.001)
            return True
        client.sendall(answer)
        return True

    def _stream(self, client: socket.socket, venue: socket.socket, held: bytes) -> None:
        """Bytes both ways, until one side ends."""
        venue.settimeout(None)
        if held:
            venue.sendall(held)
        with self._lock:
            self._streams |= {client, venue}
        try:
            back = threading.Thread(target=self._pump, args=(venue, client, True), daemon=True)
            back.start()
            self._pump(client, venue, False)
            back.join()
        finally:
            with self._lock:
                self._streams -= {client, venue}

    def _pump(self, source: socket.socket, to: socket.socket, from_venue: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                if from_venue and self._deaf.is_set():
                    self.struck["deaf"] += 1
                    continue
                to.sendall(piece)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _kept(self, connection: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
            hang_up(connection)


def whole(connection: socket.socket, held: bytes) -> tuple[bytes, bytes]:
    """
    One whole message, and what came behind it.

    Raises:
        ConnectionError: The other side ended first.
    """
    while True:
        head, found, rest = held.partition(b"\r\n\r\n")
        if found and len(rest) >= (size := length(head)):
            return head + found + rest[:size], rest[size:]
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionError("it ended")
        held += piece


def reset(connection: socket.socket) -> None:
    """Close it so that the other side sees a reset."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
