"""
``/realtimemd``: several conversations on one socket, each with its own key (protocol sheet, 1).

Frames both ways are ``[type, id, topic, payload]``: 0 says something in a stream, 1 opens one, 2
closes it. Id and topic are the client's names; what is signed on this path is ``/realtimemd``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import errors
from .orders import Row
from .protocol import decode, encode
from .session import Session

if TYPE_CHECKING:
    from .stream import Hub

PATH = "/realtimemd"
SAY, OPEN, CLOSE = 0, 1, 2
STREAMS = 50  # on one socket; how many BitMEX took is not known


class Multiplex:
    """The conversations of one socket, and what has yet to be sent of them."""

    def __init__(
        self, hub: Hub, wake: Callable[[], None], end: Callable[[], None], *, address: str = "",
        remaining: int = 0,
    ) -> None:  # fmt: skip
        self.closing = False
        self._hub = hub
        self._wake = wake
        self._end = end
        self._address = address
        self._remaining = remaining  # connections, as every welcome tells
        self._streams: dict[str, tuple[str, Session]] = {}  # id -> (topic, conversation)
        self._said: list[bytes] = []  # about streams, not in them

    @property
    def outbox(self) -> bool:
        """Whether there is something to send."""
        return bool(self._said) or any(s.outbox for _, s in self._streams.values())

    def take(self) -> list[bytes]:
        """All that is to be sent, each frame in its envelope."""
        frames = []
        for name, (topic, session) in self._streams.items():
            head = encode([SAY, name, topic])[:-1]
            for frame in session.take():
                payload = b'"pong"' if frame == b"pong" else frame
                frames.append(head + b"," + payload + b"]")
        said, self._said = self._said, []
        return frames + said

    def receive(self, message: str, now_ms: int) -> None:
        """Open, close or speak in a stream."""
        if message == "ping":
            self._say(b"pong")
            return
        try:
            parsed = decode(message)
        except ValueError:
            parsed = None
        kind, name, topic, payload = _parts(parsed)
        known = self._streams.get(name)
        if kind == OPEN and known is None and len(self._streams) < STREAMS:
            self._open(name, topic, now_ms)
        elif kind == CLOSE and known is not None:
            self._close(name)
        elif kind == SAY and known is not None:
            text = payload if isinstance(payload, str) else encode(payload).decode()
            known[1].receive(text, now_ms)
        else:
            refusal: Row = {"status": 400, "error": errors.UNRECOGNIZED, "meta": {}, "request": {}}
            self._say(encode([SAY, name, topic, refusal]))

    def heard(self, now_ms: int) -> None:
        """The peer gave a sign of life."""
        for _, session in self._streams.values():
            session.alive_ms = now_ms

    def leave(self) -> None:
        """The socket is gone."""
        for _, session in self._streams.values():
            self._hub.leave(session)
        self._streams.clear()

    def _open(self, name: str, topic: str, now_ms: int) -> None:
        session = self._hub.open(self._wake, lambda: self._ended(name))
        session.path, session.address = PATH, self._address
        self._streams[name] = (topic, session)
        session.welcome(self._remaining, now_ms)

    def _close(self, name: str) -> None:
        topic, session = self._streams.pop(name)
        self._hub.leave(session)
        self._say(encode([CLOSE, name, topic]))

    def _ended(self, name: str) -> None:
        """The venue ended a stream; with the last one goes the socket."""
        if name in self._streams:
            self._close(name)
        if not self._streams:
            self.closing = True
            self._end()

    def _say(self, frame: bytes) -> None:
        self._said.append(frame)
        self._wake()


def _parts(parsed: object) -> tuple[object, str, str, object]:
    """Type, id, topic and payload of what may be anything."""
    if not isinstance(parsed, list) or len(parsed) < 3 or isinstance(parsed[0], bool):
        return None, "", "", None
    return parsed[0], str(parsed[1]), str(parsed[2]), parsed[3] if len(parsed) > 3 else {}
