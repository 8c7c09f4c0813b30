"""
HTTP on the wire: what can be answered at once is answered in one write.

uvicorn feeds the parser, and keeps websocket upgrades, queues of pipelined requests and large
bodies. A request whose answer needs no waiting never gets that far: its parts are gathered, the
answer is made as soon as the last byte is here, and leaves in one write, without a scope, a task or
a timer of its own. What has to wait (a fault, a slow peer, a large body that still comes) goes the
way of ASGI, and so does every failure.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .sockets import RAW, Receive, Scope, Send, address_of, headers_of
from .uvicorn_door import (
    HIGH_WATER_LIMIT,
    STATUS_LINE,
    HttpToolsProtocol,
    parse_url,
)
from .web import Answer, Request

if TYPE_CHECKING:
    from .server import Application, Begun


class Http(HttpToolsProtocol):
    """
    uvicorn's HTTP protocol, with what ASGI leaves out: answers at once, a way to drop the
    connection unanswered, and the request target byte for byte (``/order?`` is not ``/order`` to a
    signature).
    """

    _gathers = False  # the head of a request is here, its body comes, and uvicorn knows nothing yet
    _body = b""
    _idle_since: float | None = None  # loop time of the last answer; None: a request is under way

    # -- a request comes ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """As uvicorn's, without a scope: as a rule nobody asks for one."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        # uvicorn sets its date every second or so: an answer would be older than its request.
        self.server_state.default_headers = [_date(int(time.time()))]
        none_yet = self.cycle is None  # which uvicorn's types do not know
        waits = not none_yet and not self.cycle.response_complete
        if waits or self.expect_100_continue or self.parser.should_upgrade():
            self._hand_over()  # pipelined, or the peer wants to be told before it sends the body
        else:
            self._gathers, self._body = True, b""

    def on_body(self, body: bytes) -> None:
        if not self._gathers:
            super().on_body(body)
            return
        self._body += body
        if len(self._body) > HIGH_WATER_LIMIT:  # large: uvicorn takes it in pieces
            self._hand_over()

    def on_message_complete(self) -> None:
        if self._gathers and self.flow.write_paused:
            self._hand_over()
        if not self._gathers:
            super().on_message_complete()
            return
        application: Application = self.config.app  # type: ignore[assignment]
        try:
            begun = application.begin(self._request())
        except Exception as problem:
            self._finish(_failing(problem))  # uvicorn logs it and answers 500
            return
        if isinstance(begun, Answer) and begun.prompt:
            self._gathers = False
            self._answer(begun)
        else:
            self._finish(_finishing(application, begun))

    def _request(self) -> Request:
        path, query, target = _parts(self.url)
        return Request(
            verb=self.parser.get_method().decode("ascii"), path=path, target=target, query=query,
            headers={name.decode("latin-1"): text.decode("latin-1") for name, text in self.headers},
            body=self._body, address=self.client[0] if self.client else "",
        )  # fmt: skip

    # -- and goes the way of ASGI -------------------------------------------------------------

    def _hand_over(self) -> None:
        """Let uvicorn have what was gathered."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the scope has this list
        self.scope["extensions"] = {
            RAW: {
                "drop": self.transport.abort,
                "close": self.transport.close,
                "target": url.decode("latin-1"),
            }
        }
        super().on_headers_complete()
        if self._gathers:
            self._gathers = False
            super().on_body(self._body)

    def _finish(self, rest: Any) -> None:
        """Let uvicorn run *rest*, an application, in place of the whole."""
        self.app, whole = rest, self.app
        self._hand_over()
        self.app = whole
        super().on_message_complete()

    # -- the answer ---------------------------------------------------------------------------

    def _answer(self, answer: Answer) -> None:
        parser = self.parser
        lasts = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        parts = [STATUS_LINE[answer.status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        more = "".join([f"{key}: {text}\r\n" for key, text in answer.headers.items()])
        size = len(answer.body)
        head = f"content-type: {answer.content_type}\r\ncontent-length: {size}\r\n{more}"
        parts.append(head.encode("latin-1"))
        parts.append(b"\r\n" if lasts else b"connection: close\r\n\r\n")
        if parser.get_method() != b"HEAD":
            parts.append(answer.body)
        self.transport.write(b"".join(parts))
        self.server_state.total_requests += 1
        if not lasts:
            self.transport.close()
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch(self.timeout_keep_alive)

    # -- a connection that idles --------------------------------------------------------------
    # uvicorn makes a timer with every answer and cancels it with every request. Here one looks
    # when it may be time, and again when it is not.

    def _watch(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _unwatch(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def _unset_keepalive_if_required(self) -> None:
        """Something came."""
        self._idle_since = None

    def on_response_complete(self) -> None:
        """An answer by way of ASGI has left: uvicorn makes its timer."""
        self._unwatch()
        super().on_response_complete()
        self._idle_since = self.loop.time()

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return  # the answer to what came will have it watched again
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._watch(left)
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()


@lru_cache(maxsize=1)
def _date(second: int) -> tuple[bytes, bytes]:
    return b"date", formatdate(second, usegmt=True).encode("ascii")


@lru_cache(maxsize=1_024)
def _parts(url: bytes) -> tuple[str, str, str]:
    """Path, query, and the request target as it came."""
    parsed = parse_url(url)
    path = parsed.path.decode("ascii")
    return (
        unquote(path) if "%" in path else path,
        (parsed.query or b"").decode("latin-1"),
        url.decode("latin-1"),
    )


def request_of(scope: Scope, body: bytes) -> Request:
    return Request(
        verb=scope["method"], path=scope["path"], target=scope["extensions"][RAW]["target"],
        query=scope["query_string"].decode("latin-1"), headers=headers_of(scope), body=body,
        address=address_of(scope),
    )  # fmt: skip


def _finishing(application: Application, begun: Begun) -> Any:
    """What is left to do of a request, as an ASGI application."""

    async def finish(scope: Scope, receive: Receive, send: Send) -> None:
        await application.finish(begun, scope, receive, send)

    return finish


def _failing(problem: Exception) -> Any:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise problem

    return fail
