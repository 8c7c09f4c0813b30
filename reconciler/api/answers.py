"""
Answers in JSON, and problems in the form of RFC 9457.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from reconciler.errors import ReconcilerError

#: A code of `reconciler.errors` -> the status of an answer; what is missing here is 500.
STATUS: Mapping[str, int] = {
    "usage": 400,
    "config": 422,
    "unauthorized": 401,
    "not_found": 404,
    "halted": 409,
    "not_leader": 409,
    "key_reused": 409,
    "already_runs": 409,
    "cannot_decide": 409,
    "differs": 409,
    "plan_expired": 410,
    "plan_moved": 409,
    "needs_confirmation": 422,
    "stale_version": 412,
    "limit_exceeded": 422,
    "unknown_symbol": 422,
    "unknown_strategy": 422,
    "not_a_lot": 422,
    "refused": 422,
    "needs_live": 422,
    "unreachable": 503,
    "in_doubt": 503,
    "storage_fault": 503,
}
NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Text(NamedTuple):
    """A body that is not JSON."""

    kind: str  # its content type
    text: str


class Live(NamedTuple):
    """A body that goes on: given a way to run what blocks in a thread, it yields its text."""

    lines: Callable[[Any], AsyncIterator[str]]


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


class Problem(Exception):
    """Ends a request with an error that is about HTTP itself."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = headers or {}


def problem(error: Problem | ReconcilerError) -> Answer:
    """An error as an answer."""
    if isinstance(error, Problem):
        return Answer(
            error.status,
            {
                "type": "about:blank",
                "title": error.code.replace("_", " ").capitalize(),
                "status": error.status,
                "code": error.code,
                "detail": error.detail,
                "fields": {},
            },
            error.headers,
        )
    status = STATUS.get(error.code, 500)
    title = (type(error).__doc__ or error.code).strip().partition(":")[0]
    return Answer(
        status,
        {
            "type": "about:blank",
            "title": title,
            "status": status,
            "code": "bad_request" if error.code == "usage" else error.code,
            "detail": str(error),
            "fields": {name: _plain(value) for name, value in error.fields.items()},
        },
    )


def encoded(answer: Answer) -> tuple[bytes, dict[str, str]]:
    """Body and headers on the wire."""
    kind = "application/problem+json" if answer.status >= 400 else "application/json"
    if isinstance(answer.body, Text):
        kind, raw = f"{answer.body.kind}; charset=utf-8", answer.body.text.encode()
    else:
        raw = json.dumps(answer.body, default=str).encode()
    return raw, {
        "content-type": kind,
        **NO_STORE,
        **answer.headers,
    }


async def send_problem(
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]], error: Problem | ReconcilerError
) -> None:
    """Send an error as a whole ASGI answer."""
    answer = problem(error)
    body, headers = encoded(answer)
    headers |= {"content-length": str(len(body)), "connection": "close"}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _plain(value: object) -> object:
    return value if isinstance(value, (int, str, bool, type(None))) else str(value)
