"""
The websocket side of the server: upgrades, frames on the wire, slow and silent peers (9.1, 12.2).

A session's frames are written as bytes that uvicorn never sees: each is framed without masking, so
all that is queued for a peer leaves in one write. uvicorn keeps the handshake, the reading, pings
and the close.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from . import errors, topics
from .limits import Bucket
from .multiplex import PATH as MULTIPLEXED
from .multiplex import Multiplex
from .protocol import encode
from .session import Session
from .uvicorn_door import ClientDisconnected, State, WebSocketsSansIOProtocol
from .world import World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RAW = "reconciler.paper.raw"
PATHS = {"/realtime": False, "/realtimePlatform": True, MULTIPLEXED: False}  # platform topics alone
CONNECTS_AN_HOUR = 720  # an address (section 12.2)
CONNECTS_AT_ONCE, CONNECTS_WINDOW_MS = 9, 3_000  # about three a second
MAX_MESSAGE = 100_000  # bytes: some thousand topics
FAREWELL_S = 0.2  # for a close frame to leave
FLUSH_SHARE = 8  # of time that passes, an eighth at most is spent on writing
_CREDENTIALS = ("api-key", "api-expires", "api-signature")


class Wire(WebSocketsSansIOProtocol):
    """uvicorn's websocket protocol, with a way to write frames in bulk and one to hang up."""

    on_data: Callable[[], None] = staticmethod(lambda: None)
    on_resume: Callable[[], None] = staticmethod(lambda: None)

    async def run_asgi(self) -> None:
        self.scope["extensions"][RAW] = {"wire": self}
        await super().run_asgi()

    def data_received(self, data: bytes) -> None:
        """As uvicorn's; pings of the protocol keep a connection alive, too."""
        self.on_data()
        super().data_received(data)

    def send_receive_event_to_app(self) -> None:
        """As uvicorn's; it logs text that is no UTF-8 as a failure of its own."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(1007, "invalid UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.on_resume()

    @property
    def ready(self) -> bool:
        """Whether the peer takes bytes at present."""
        return (
            self.writable.is_set()
            and self.conn.state is State.OPEN
            and not self.transport.is_closing()
        )

    def write(self, messages: bytes) -> None:
        """Send what `framed` made."""
        self.transport.write(messages)

    def drop(self) -> None:
        self.transport.abort()

    def shutdown(self) -> None:
        """As uvicorn's, for a socket that may be closing already."""
        if self.conn.state is State.OPEN:
            super().shutdown()
        else:
            self.transport.close()


def framed(payloads: Iterable[bytes]) -> bytes:
    """Text messages as they go over the wire."""
    parts: list[bytes] = []
    for payload in payloads:
        parts += (_header(len(payload)), payload)
    return b"".join(parts)


def _header(length: int) -> bytes:
    """The header of an unmasked text frame (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


class Flusher:
    """
    Writes what sessions have queued, soon after they queued it.

    At once when there is time; when many peers keep it busy it waits a few times as long as the
    last round took, and more frames leave together.
    """

    def __init__(self) -> None:
        self._waiting: dict[Session | Multiplex, Wire] = {}
        self._due = False
        self._not_before = 0.0

    def wake(self, session: Session | Multiplex, wire: Wire) -> None:
        self._waiting[session] = wire
        if not self._due:
            self._due = True
            loop = asyncio.get_running_loop()
            loop.call_at(self._not_before, self._flush)  # in the past: as soon as may be

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting, self._waiting, self._due = self._waiting, {}, False
        last: list[bytes] = []
        messages = b""
        for session, wire in waiting.items():
            if session.outbox and wire.ready:  # else `resume_writing` will wake it
                frames = session.take()
                if frames != last:  # those who hear the same stand together
                    last, messages = frames, framed(frames)
                wire.write(messages)
        ended = loop.time()
        self._not_before = ended + (ended - began) * (FLUSH_SHARE - 1)


class Connects:
    """How many connections an address may open; None of it counts when limits are off."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._buckets: dict[str, tuple[Bucket, Bucket]] = {}

    def admit(self, address: str, now_ms: int) -> int:
        """
        Count a connection; returns how many are left.

        Raises:
            Refusal: 429 with the headers of the connection limiter.
        """
        if not self.enabled:
            return CONNECTS_AN_HOUR - 1
        if address not in self._buckets:
            self._buckets[address] = (
                Bucket(CONNECTS_AN_HOUR, 3_600_000, now_ms),
                Bucket(CONNECTS_AT_ONCE, CONNECTS_WINDOW_MS, now_ms),
            )
        buckets = self._buckets[address]
        for bucket in buckets:
            bucket.refill(now_ms)
        wait_ms = max(bucket.wait_ms() for bucket in buckets)
        if wait_ms > 0:
            seconds = max(1, -(-int(wait_ms) // 1000))
            refusal = errors.rate_limited(seconds)
            refusal.headers |= {
                "x-ratelimit-limit": str(CONNECTS_AN_HOUR), "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": str(now_ms // 1000 + seconds),
            }  # fmt: skip
            raise refusal
        for bucket in buckets:
            bucket.take()
        return buckets[0].remaining


class Websockets:
    """Serves websocket scopes over one world."""

    def __init__(self, connects: Connects, now_ms: Callable[[], int]) -> None:
        self.connects = connects
        self._now_ms = now_ms
        self._flusher = Flusher()

    async def serve(self, world: World | None, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from its upgrade to its end."""
        await receive()
        wire: Wire = scope["extensions"][RAW]["wire"]
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        wanted = [name for name in query.get("subscribe", "").split(",") if name]
        ended = asyncio.Event()
        session: Session | None = None
        try:
            try:
                if world is None:
                    raise errors.Refusal(503, "Service unavailable")
                if world.hub.faults.at_connect(self._now_ms()):
                    wire.drop()
                    raise ClientDisconnected
                remaining = self._admit(world, scope, wanted)
                if _path(scope) == MULTIPLEXED:
                    await self._multiplexed(world, scope, wire, remaining, receive, send)
                    return
                session = self._open(world, scope, wire, ended)
                self._sign_in(session, headers_of(scope), query)
            except errors.Refusal as refusal:
                await _refuse_upgrade(send, refusal)
                return
            await send({"type": "websocket.accept"})
            session.welcome(remaining, self._now_ms())
            world.hub.faults.connected(session)
            if wanted:
                request = {"op": "subscribe", "args": wanted}
                session.subscribe(list(wanted), request, self._now_ms())
            await self._converse(session, wire, ended, receive, send)
        finally:
            if world is not None and session is not None:
                world.hub.leave(session)

    def _admit(self, world: World, scope: Scope, wanted: list[str]) -> int:
        """
        Let a connection in; returns how many more there may be.

        Raises:
            Refusal: 403, 404, 429 or 400, answered in place of the upgrade (section 9.2).
        """
        if world.quirks.asked("ip-ban"):
            world.api.bans.check(address_of(scope), self._now_ms())
        if _path(scope) not in PATHS:
            raise errors.not_found()
        remaining = self.connects.admit(address_of(scope), self._now_ms())
        for name in wanted:
            try:
                topics.parse(name, world.exchange, platform=PATHS[_path(scope)])
            except topics.UnknownTopic as problem:
                raise errors.bad_request(str(problem)) from None
        return remaining

    def _open(self, world: World, scope: Scope, wire: Wire, ended: asyncio.Event) -> Session:
        session: Session

        def wake() -> None:
            self._flusher.wake(session, wire)

        def heard() -> None:
            session.alive_ms = self._now_ms()

        session = world.hub.open(wake, ended.set, platform=PATHS[_path(scope)])
        session.address = address_of(scope)
        wire.on_data, wire.on_resume = heard, wake
        return session

    async def _multiplexed(
        self, world: World, scope: Scope, wire: Wire, remaining: int, receive: Receive, send: Send
    ) -> None:
        """A socket whose streams come and go."""
        ended = asyncio.Event()
        streams: Multiplex

        def wake() -> None:
            self._flusher.wake(streams, wire)

        streams = Multiplex(
            world.hub, wake, ended.set, address=address_of(scope), remaining=remaining
        )
        wire.on_data, wire.on_resume = lambda: streams.heard(self._now_ms()), wake
        try:
            await send({"type": "websocket.accept"})
            await self._converse(streams, wire, ended, receive, send)
        finally:
            streams.leave()

    def _sign_in(
        self, session: Session, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> None:
        """Credentials in the upgrade's headers or in the URL (section 2.2)."""
        source = headers if "api-key" in headers else query
        if "api-key" in source:
            session.sign_in({name: source.get(name, "") for name in _CREDENTIALS}, self._now_ms())

    async def _read(self, session: Session | Multiplex, receive: Receive) -> None:
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            if text is None:
                text = (message.get("bytes") or b"").decode("utf-8", "replace")
            session.receive(text, self._now_ms())

    async def _converse(
        self,
        session: Session | Multiplex,
        wire: Wire,
        ended: asyncio.Event,
        receive: Receive,
        send: Send,
    ) -> None:
        """Read until either side ends it; a peer that takes no more bytes is cut off."""
        reader = asyncio.create_task(self._read(session, receive))
        ender = asyncio.create_task(ended.wait())
        try:
            done, _ = await asyncio.wait({reader, ender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reader.cancel()
            ender.cancel()
        for task in done:
            task.result()
        if not session.closing:
            return
        farewell = {"type": "websocket.close", "code": 1001, "reason": "going away"}
        try:
            await asyncio.wait_for(send(farewell), FAREWELL_S)
        except TimeoutError:
            wire.drop()


def headers_of(scope: Scope) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}


def _path(scope: Scope) -> str:
    return str(scope["path"]).rstrip("/")


def address_of(scope: Scope) -> str:
    return scope["client"][0] if scope["client"] else ""


async def _refuse_upgrade(send: Send, refusal: errors.Refusal) -> None:
    """At the upgrade ``error`` is a plain text (section 2.2)."""
    body = encode({"error": refusal.message})
    headers = [(b"content-type", b"application/json; charset=utf-8")]
    headers += [(k.encode(), v.encode()) for k, v in refusal.headers.items()]
    await send(
        {"type": "websocket.http.response.start", "status": refusal.status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})
    raise ClientDisconnected  # uvicorn would otherwise log that no handshake was completed
