"""
Who may ask at all: checked before any handler sees a request.

A page in a browser can send requests to this machine. It cannot send our Host from a name of its
own (rebinding), cannot hide its Origin, cannot set our content type without asking first, and
does not know the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from reconciler.api.answers import Problem, send_problem
from reconciler.errors import ReconcilerError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 1_000_000  # bytes: a schedule of a thousand rows, each with its reason
READ_AWAY = 4 * MAX_BODY  # so much of what is too large is read, and not kept
OPEN = {"/healthz", "/readyz"}  # without a token
#: No other method has a handler; of these a page in a browser may send POST without asking first.
WRITING = {"POST", "PUT", "PATCH"}


class Guard:
    """An ASGI application around another: host, origin, token, content type, size."""

    def __init__(self, inner: Application, *, token: str, port: int) -> None:
        self._inner = inner
        self._token = token.encode()
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            headers = _headers(scope)
            self._check_sender(headers)
            self._check_token(scope["path"], headers)
            if scope["method"] in WRITING:
                _check_content_type(headers)
            body = await _body(headers, receive)
        except (Problem, ReconcilerError) as problem:
            await send_problem(send, problem)
            return
        await self._inner(scope, _again(body, receive), send)

    def _check_sender(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            raise Problem(400, "bad_request", "This is not an address of this service.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host}":
            raise Problem(403, "forbidden", "Pages of other sites may not ask here.")
        if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            raise Problem(403, "forbidden", "Pages of other sites may not ask here.")

    def _check_token(self, path: str, headers: Mapping[str, str]) -> None:
        if path in OPEN:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._token):
            raise Problem(
                401,
                "unauthorized",
                "The token is missing or wrong. Send it as Authorization: Bearer TOKEN.",
                {"www-authenticate": "Bearer"},
            )


def _check_content_type(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "bad_request", "Send application/json.")


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").lower()
        if name in found and name in {"host", "authorization", "origin", "content-type"}:
            raise Problem(400, "bad_request", f"The header {name} is there twice.")
        found[name] = value.decode("latin-1")
    return found


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes:
    too_large = Problem(413, "bad_request", f"The body is larger than {MAX_BODY} bytes.")
    length = headers.get("content-length", "0")
    if length.isdigit() and (announced := int(length[:20])) > MAX_BODY:
        if announced <= READ_AWAY:  # or the answer is lost: who still sends is cut off before it
            while (await receive()).get("more_body"):
                pass
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise too_large
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read once more, then whatever follows."""
    given = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
