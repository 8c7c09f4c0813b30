"""A server that misbehaves on purpose, on a loopback port, and remembers what it was sent."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

Conduct = Callable[["Rogue", socket.socket, bytes], bool]


class Rogue:
    """
    Answers every request by *conduct*, one thread a connection.

    Args:
        conduct: Given the server, the connection and the body of a request; it answers, or not.
            Whether the connection stays open.
        context: For TLS.
    """

    def __init__(self, conduct: Conduct, context: ssl.SSLContext | None = None) -> None:
        self.conduct = conduct
        self.requests: list[bytes] = []  # whole, in the order of arrival
        self.connections: list[socket.socket] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Rogue:
        return self

    def __exit__(self, *exc: object) -> None:
        hang_up(self._listener)
        for connection in self.connections:
            hang_up(connection)

    def wait(self, wanted: Callable[[], bool], within_s: float = 5) -> None:
        """Until *wanted*; it may look at this server."""
        with self._changed:
            assert self._changed.wait_for(wanted, within_s), "it did not come to that in time"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with self._changed:
                self.connections.append(connection)
                self._changed.notify_all()
            held = b""
            while True:
                while not whole(held):
                    piece = connection.recv(65_536)
                    if not piece:
                        return
                    held += piece
                head, _, rest = held.partition(b"\r\n\r\n")
                size = length(head)
                request, held = head + b"\r\n\r\n" + rest[:size], rest[size:]
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                if not self.conduct(self, connection, rest[:size]):
                    hang_up(connection)
                    return
        except OSError:
            pass


def length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def whole(held: bytes) -> bool:
    head, found, rest = held.partition(b"\r\n\r\n")
    return bool(found) and len(rest) >= length(head)


def hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()


def answer(
    connection: socket.socket, body: Any, status: str = "200 OK", head: str = "", cut: int = 0
) -> None:
    """An answer; the last *cut* bytes of it are left out."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    text = f"HTTP/1.1 {status}\r\ncontent-length: {len(raw)}\r\n{head}\r\n"
    said = text.encode() + raw
    connection.sendall(said[: len(said) - cut])


def drip(connection: socket.socket, said: bytes, pause_s: float) -> None:
    """One byte at a time."""
    for number in range(len(said)):
        connection.sendall(said[number : number + 1])
        time.sleep(pause_s)
