"""
HTTP and websocket on loopback, by uvicorn; this and `sockets` alone know asyncio.

One event loop in one thread owns the whole exchange, so nothing needs a lock. The application is
plain ASGI: it needs the request target as received, and the means to drop a connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from . import errors, uvicorn_door
from .protocol import encode
from .rest import Admitted
from .sockets import (
    MAX_MESSAGE,
    RAW,
    Connects,
    Receive,
    Scope,
    Send,
    Websockets,
    Wire,
)
from .stream import Later
from .web import Answer, Request
from .wire_http import Http, request_of
from .world import TICK_MS, World

log = logging.getLogger("reconciler.paper")

MAX_BODY = 1_000_000  # bytes
ASK_WITHIN_S = 10  # in this process


Begun = Answer | Admitted  # done, or waiting before the engine


def now_ms() -> int:
    """Venue time: milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class OrderlyUvicorn(uvicorn_door.Server):
    """uvicorn, which says goodbye to the websockets before it waits for them."""

    def __init__(self, config: uvicorn_door.Config, goodbye: Callable[[], None]) -> None:
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
        await asyncio.sleep(0.01)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)  # which waits in tenths of a second
            return
        for listening in self.servers:
            listening.close()
        for bound in sockets or ():
            bound.close()
        await self.lifespan.shutdown()


class Application:
    """The ASGI application over one world."""

    def __init__(self, make_world: Callable[[Later], World], connects: Connects) -> None:
        self._make_world = make_world
        self.world: World | None = None
        self._websockets = Websockets(connects, now_ms)
        self._ticker: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                await self._http(scope, receive, send)
            except asyncio.CancelledError:  # the venue ends while an answer is held back
                scope["extensions"][RAW]["drop"]()
                await asyncio.sleep(0)
        elif scope["type"] == "websocket":
            await self._websockets.serve(self.world, scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        loop = self.loop = asyncio.get_running_loop()
        self.world = self._make_world(loop.call_later)
        self.world.hub.turn.soon = loop.call_soon
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
        await self.finish(self.begin(request_of(scope, body)), scope, receive, send)

    async def finish(self, begun: Begun, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for what the answer waits for, and send it or hang up."""
        answer = await self._end(begun)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if not answer.dropped:
            await _reply(send, answer)
        if answer.dropped or answer.cut or answer.closes:
            await _hang_up(scope, receive, answer)

    async def answer(self, request: Request) -> Answer:
        """The answer to a request, wherever it came from."""
        return await self._end(self.begin(request))

    def begin(self, request: Request) -> Begun:
        """As much of a request as needs no waiting: as a rule, all of it."""
        world = self.world
        if world is None:
            refusal = errors.Refusal(503, "Service unavailable")
            return Answer(status=503, body=encode(refusal.body()))
        if f"{request.path}/".startswith("/paper/"):
            return world.control(request, now_ms())
        admitted = world.api.admit(request, now_ms())
        if isinstance(admitted, Answer) or admitted.wait_s:
            return admitted
        return world.api.act(admitted, now_ms())

    async def _end(self, begun: Begun) -> Answer:
        if isinstance(begun, Answer):
            return begun
        world = self.world
        await asyncio.sleep(begun.wait_s)
        assert world is not None
        return world.api.act(begun, now_ms())


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
    scope["extensions"][RAW]["close" if answer.cut or answer.closes else "drop"]()
    while (answer.dropped or answer.cut) and (await receive())["type"] != "http.disconnect":
        pass


def bind(port: int) -> socket.socket:
    """
    A socket bound to loopback, port 0 for a free one.

    Raises:
        OSError: the port is in use.
        ValueError: there is no such port.
    """
    if not 0 <= port <= 65_535:
        raise ValueError(f"port must be 0-65535: {port}")
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


class Certificate(NamedTuple):
    """Files of a certificate and its key (PEM), for programs that speak nothing but TLS."""

    certificate: str
    key: str

    def check(self) -> Certificate:
        """
        Itself, if the two files belong together.

        Raises:
            OSError: one cannot be read.
            ValueError: they are no certificate and its key.
        """
        for name in self:
            with open(name, "rb"):  # which names the file that is missing; ssl does not
                pass
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self)
        except ssl.SSLError as problem:
            why = problem.reason or problem
            raise ValueError(
                f"{self.certificate}, {self.key}: no certificate and key: {why}"
            ) from None
        return self


class Server:
    """One venue being served."""

    def __init__(
        self, bound: socket.socket, make_world: Callable[[Later], World], *, rate_limits: bool,
        tls: Certificate | None = None,
    ) -> None:  # fmt: skip
        self._socket = bound
        self.port: int = bound.getsockname()[1]
        connects = Connects(enabled=rate_limits)
        self.application = Application(make_world, connects)
        config = uvicorn_door.Config(
            self.application, http=Http, ws=Wire, lifespan="on",
            log_config=None, log_level="warning", access_log=False, server_header=False,
            ws_per_message_deflate=False, ws_ping_interval=None, ws_max_size=MAX_MESSAGE,
            timeout_keep_alive=90, timeout_graceful_shutdown=1,
            ssl_certfile=tls and tls.certificate, ssl_keyfile=tls and tls.key,
        )  # fmt: skip
        self._uvicorn = OrderlyUvicorn(config, self.application.goodbye)
        self._thread: threading.Thread | None = None
        self._serving = False

    def run(self) -> None:
        """Serve in this thread until SIGINT or SIGTERM."""
        self._serving = True  # from here on the socket is uvicorn's to close
        if self._uvicorn.should_exit:  # a signal was faster
            self._socket.close()
            return
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
        if self._thread is not None or not self._serving:
            self._socket.close()
