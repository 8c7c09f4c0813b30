"""
HTTP on the wire: what can be answered at once is answered in one write.

uvicorn parses, keeps connections alive and queues what is pipelined. A request whose answer needs
no waiting gets it as soon as its last byte is here: no task, no message from one to the other, one
write. That is worth a third of an order's time. What has to wait (a fault, a slow peer, a large
body that still comes) goes the way of ASGI, and so does every failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .sockets import RAW, Receive, Scope, Send, address_of, headers_of
from .uvicorn_door import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from .web import Answer, Request

if TYPE_CHECKING:
    from .server import Application, Begun


class Http(HttpToolsProtocol):
    """
    uvicorn's HTTP protocol, with what ASGI leaves out: answers at once, a way to drop the
    connection unanswered, and the request target byte for byte (``/order?`` is not ``/order`` to a
    signature).
    """

    _to_begin: RequestResponseCycle | None = None  # its head is here, its body comes

    def on_headers_complete(self) -> None:
        self.scope["extensions"] = {
            RAW: {
                "drop": self.transport.abort,
                "close": self.transport.close,
                "target": self.url.decode("latin-1"),
            }
        }
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """uvicorn begins with the head of a request; here it waits for the rest."""
        if cycle.more_body and not cycle.waiting_for_100_continue:
            self._to_begin = cycle
        else:  # it was pipelined, or the peer wants to be told before it sends the body
            super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        cycle = self._to_begin
        if cycle is not None and cycle is self.cycle and self.flow.read_paused:
            self._to_begin = None  # large: uvicorn takes it in pieces
            super()._start_asgi_task(cycle, self.app)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        cycle, self._to_begin = self._to_begin, None
        if cycle is None or cycle is not self.cycle:
            return
        if cycle.disconnected or self.flow.write_paused:
            super()._start_asgi_task(cycle, self.app)
            return
        application: Application = self.config.app  # type: ignore[assignment]
        try:
            begun = application.begin(request_of(dict(cycle.scope), bytes(cycle.body)))
        except Exception as problem:
            super()._start_asgi_task(cycle, _failing(problem))  # uvicorn logs it and answers 500
            return
        if isinstance(begun, Answer) and begun.prompt:
            self._answer(cycle, begun)
        else:
            super()._start_asgi_task(cycle, _finishing(application, begun))

    def _answer(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        body = b"" if cycle.scope["method"] == "HEAD" else answer.body
        parts = [STATUS_LINE[answer.status]]
        for name, value in cycle.default_headers:
            parts += (name, b": ", value, b"\r\n")
        more = "".join([f"{key}: {text}\r\n" for key, text in answer.headers.items()])
        size = len(answer.body)
        head = f"content-type: {answer.content_type}\r\ncontent-length: {size}\r\n{more}"
        parts.append(head.encode("latin-1"))
        parts += (b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()


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
