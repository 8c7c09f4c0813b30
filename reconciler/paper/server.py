"""
Sockets: HTTP and websocket on loopback, by uvicorn. The only module that knows uvicorn and asyncio.

One event loop in one thread owns the whole exchange, so nothing needs a lock. The application is
plain ASGI: it needs the request target as received, and the means to drop a connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from . import control, errors
from .limits import Bucket
from .protocol import encode
from .stream import Later, Session
from .web import Answer, Request
from .world import TICK_MS, World

log = logging.getLogger("reconciler.paper")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY = 1_000_000  # bytes
CONNECTS_AN_HOUR = 720  # websocket connections (section 12.2)
CONNECTS_BURST = 720
FAREWELL_S = 0.2  # for a close frame to leave
ASK_WITHIN_S = 10  # in this process
_RAW = "reconciler.paper.raw"
_CREDENTIALS = ("api-key", "api-expires", "api-signature")


def now_ms() -> int:
    """Venue time: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class DroppableHttp(HttpToolsProtocol):
    """
    uvicorn's HTTP protocol, with two things that ASGI leaves out: a way to drop the connection
    unanswered, and the request target byte for byte (``/order?`` is not ``/order`` to a signature).
    """

    def on_headers_complete(self) -> None:
        self.scope["extensions"] = {
            _RAW: {
                "drop": self.transport.abort,
                "close": self.transport.close,
                "target": self.url.decode("latin-1"),
            }
        }
        super().on_headers_complete()


class DroppableWebsocket(WebSocketsSansIOProtocol):
    """uvicorn's websocket protocol, with a way to cut off a peer that reads no more."""

    async def run_asgi(self) -> None:
        self.scope["extensions"][_RAW] = {"drop": self.transport.abort}
        await super().run_asgi()

    def shutdown(self) -> None:
        """As uvicorn's, for a socket that may be closing already."""
        if self.conn.state is State.OPEN:
            super().shutdown()
        else:
            self.transport.close()


class OrderlyUvicorn(uvicorn.Server):
    """uvicorn, which says goodbye to the websockets before it waits for them."""

    def __init__(self, config: uvicorn.Config, goodbye: Callable[[], None]) -> None:
        super().__init__(config)
        self._goodbye = goodbye
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Ask the server to end, from any thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """As uvicorn's, but `stop` is heard at once."""
        self._loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864_000
            try:
                await asyncio.wait_for(self._stopping.wait(), 0.1)
            except TimeoutError:
                continue  # a tick has passed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._goodbye()
        await asyncio.sleep(0.01)  # let the sessions end by themselves
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0.01)  # what is gone by now isn't waited for in tenths of a second
        await super().shutdown(sockets)


class Application:
    """The ASGI application over one world."""

    def __init__(self, make_world: Callable[[Later], World], connects: Bucket | None) -> None:
        self._make_world = make_world
        self.world: World | None = None
        self._connects = connects
        self._ticker: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._http(scope, receive, send)
            except asyncio.CancelledError:  # the venue ends while an answer is held back
                scope["extensions"][_RAW]["drop"]()
                await asyncio.sleep(0)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        loop = self.loop = asyncio.get_running_loop()
        self.world = self._make_world(loop.call_later)
        self._ticker = loop.create_task(self._tick(self.world))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._ticker.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    def goodbye(self) -> None:
        """Close all websockets and admit no more."""
        if self.world is not None:
            self.world.hub.disconnect_all()

    async def _tick(self, world: World) -> None:
        """Time passes. A failure here is a defect: it is told, and the venue stops answering."""
        try:
            while True:
                await asyncio.sleep(TICK_MS / 1000)
                world.tick(now_ms())
        except Exception:
            log.exception("the paper exchange's clock stopped")
            self.world = None
            raise

    # -- HTTP ---------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > MAX_BODY:
                refusal = errors.Refusal(413, "Request Entity Too Large")
                await _reply(send, Answer(status=413, body=encode(refusal.body())))
                return
            if not message.get("more_body"):
                break
        answer = await self.answer(_request(scope, body))
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if not answer.dropped:
            await _reply(send, answer)
        if answer.dropped or answer.cut or answer.closes:
            await _hang_up(scope, receive, answer)

    async def answer(self, request: Request) -> Answer:
        """The answer to a request, wherever it came from."""
        world = self.world
        if world is None:
            refusal = errors.Refusal(503, "Service unavailable")
            return Answer(status=503, body=encode(refusal.body()))
        if request.path.startswith("/paper/"):
            return control.answer(world, request, now_ms())
        admitted = world.api.admit(request, now_ms())
        if isinstance(admitted, Answer):
            return admitted
        if admitted.wait_s:
            await asyncio.sleep(admitted.wait_s)
        return world.api.act(admitted, now_ms())

    # -- websocket ----------------------------------------------------------------------------

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        world = self.world
        refusal = self._refuse_connection(scope, world)
        if world is None or refusal is not None:
            await _refuse_upgrade(send, refusal or errors.Refusal(503, "Service unavailable"))
            return
        wake, ended = asyncio.Event(), asyncio.Event()
        session = world.hub.open(wake.set, ended.set)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        try:
            try:
                _sign_in(session, _headers(scope), query)
            except errors.Refusal as problem:
                await _refuse_upgrade(send, problem)
                return
            await send({"type": "websocket.accept"})
            remaining = self._connects.remaining if self._connects is not None else 719
            session.welcome(remaining, now_ms())
            if query.get("subscribe"):
                topics = [t for t in query["subscribe"].split(",") if t]
                request = {"op": "subscribe", "args": topics}
                session.subscribe(list(topics), request, now_ms())
            await _converse(session, wake, ended, scope, receive, send)
        finally:
            world.hub.leave(session)

    def _refuse_connection(self, scope: Scope, world: World | None) -> errors.Refusal | None:
        if world is None:
            return errors.Refusal(503, "Service unavailable")
        if scope["path"] not in ("/realtime", "/realtimePlatform"):
            return errors.not_found()
        if self._connects is not None:
            self._connects.refill(now_ms())
            if self._connects.wait_ms() > 0:
                return errors.rate_limited(max(1, int(self._connects.wait_ms() / 1000)))
            self._connects.take()
        return None


def _headers(scope: Scope) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}


def _request(scope: Scope, body: bytes) -> Request:
    return Request(
        verb=scope["method"], path=scope["path"], target=scope["extensions"][_RAW]["target"],
        query=scope["query_string"].decode("latin-1"), headers=_headers(scope), body=body,
        address=scope["client"][0] if scope["client"] else "",
    )  # fmt: skip


async def _reply(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.cut:
        half = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        return
    await send({"type": "http.response.body", "body": answer.body})


async def _hang_up(scope: Scope, receive: Receive, answer: Answer) -> None:
    """Close the connection under a client's feet; what was written of the answer still leaves."""
    scope["extensions"][_RAW]["close" if answer.cut or answer.closes else "drop"]()
    while not answer.closes and (await receive())["type"] != "http.disconnect":
        pass


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


def _sign_in(session: Session, headers: Mapping[str, str], query: Mapping[str, str]) -> None:
    """Credentials in the upgrade's headers or in the URL (section 2.2)."""
    source = headers if "api-key" in headers else query
    if "api-key" in source:
        session.sign_in({name: source.get(name, "") for name in _CREDENTIALS}, now_ms())


async def _read(session: Session, receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        text = message.get("text")
        if text is None:
            text = (message.get("bytes") or b"").decode("utf-8", "replace")
        session.receive(text, now_ms())


async def _write(session: Session, wake: asyncio.Event, send: Send) -> None:
    """Send what the session has to say, for as long as the socket takes it."""
    while True:
        await wake.wait()
        wake.clear()
        while session.outbox:
            await send({"type": "websocket.send", "text": session.outbox.popleft().decode()})


async def _converse(
    session: Session, wake: asyncio.Event, ended: asyncio.Event, scope: Scope,
    receive: Receive, send: Send,
) -> None:  # fmt: skip
    """Read and write until either side ends it; a peer that takes no more bytes is cut off."""
    reader = asyncio.create_task(_read(session, receive))
    writer = asyncio.create_task(_write(session, wake, send))
    ender = asyncio.create_task(ended.wait())
    tasks = {reader, writer, ender}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in done:
        task.result()
    if not session.closing:
        return
    farewell = {"type": "websocket.close", "code": 1001, "reason": "going away"}
    try:
        await asyncio.wait_for(send(farewell), FAREWELL_S)
    except TimeoutError:
        scope["extensions"][_RAW]["drop"]()


def bind(port: int) -> socket.socket:
    """
    A socket bound to loopback, port 0 for a free one.

    Raises:
        OSError: the port is in use.
    """
    # asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it answers take 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


class Server:
    """One venue being served."""

    def __init__(
        self, bound: socket.socket, make_world: Callable[[Later], World], *, rate_limits: bool
    ) -> None:
        self._socket = bound
        self.port: int = bound.getsockname()[1]
        connects = Bucket(CONNECTS_BURST, 3_600_000, now_ms()) if rate_limits else None
        self.application = Application(make_world, connects)
        config = uvicorn.Config(
            self.application, http=DroppableHttp, ws=DroppableWebsocket, lifespan="on",
            log_config=None, log_level="warning", access_log=False, server_header=False,
            ws_per_message_deflate=False, ws_ping_interval=None, timeout_keep_alive=90,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._uvicorn = OrderlyUvicorn(config, self.application.goodbye)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""
        self._uvicorn.run(sockets=[self._socket])

    def start(self) -> None:
        """Serve in a thread of its own; returns when requests are taken."""
        self._thread = threading.Thread(target=self.run, name="paper-exchange", daemon=True)
        self._thread.start()
        while not self._uvicorn.started:
            if not self._thread.is_alive():
                raise RuntimeError("the paper exchange did not start; its log says why")
            time.sleep(0.002)

    def ask(self, verb: str, target: str, body: bytes) -> Answer:
        """An answer without a socket: the request is served in the venue's thread, between two."""
        loop = self.application.loop
        if loop is None or self._thread is None or not self._thread.is_alive():
            raise RuntimeError("the paper exchange does not run")
        path, _, query = target.partition("?")
        request = Request(
            verb=verb, path=path, target=target, query=query,
            headers={"content-type": "application/json"}, body=body, address="127.0.0.1",
        )  # fmt: skip
        asked = asyncio.run_coroutine_threadsafe(self.application.answer(request), loop)
        return asked.result(ASK_WITHIN_S)

    def stop(self) -> None:
        """End in order: sockets closed, thread gone."""
        self._uvicorn.stop()
        if self._thread is not None:
            self._thread.join(10)
        self._socket.close()
