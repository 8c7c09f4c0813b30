"""
The door over HTTP: what a running service may be asked from another process.

An answer that did not come is never taken for a no: what was asked may have been done.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec
import requests

from reconciler import errors
from reconciler.errors import (
    InDoubt,
    ProtocolError,
    ReconcilerError,
    UnknownSymbol,
    Unreachable,
    UsageError,
)
from reconciler.service.door import CommandResult, TargetRequest, TargetVersion

T = TypeVar("T")

#: A code in an answer -> the error that it was.
ERRORS: dict[str, type[ReconcilerError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ReconcilerError)
}
ERRORS |= {
    "bad_request": errors.UsageError,
    "unauthorized": errors.Refused,
    "forbidden": errors.Refused,
    "recovering": errors.Unreachable,
    "too_many_requests": errors.Unreachable,
}


class HttpDoor:
    """
    Implements `reconciler.service.door.Door` on a service at an address.

    Args:
        url: As ``http://127.0.0.1:8764``.
        token: That the service knows.
        timeout_s: How long an answer may take; a halt waits for the venue.
    """

    def __init__(self, url: str, token: str, timeout_s: float = 20) -> None:
        self.url = url.rstrip("/").removesuffix("/api/v1")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, and no password from elsewhere
        self._session.headers["Authorization"] = f"Bearer {token}"

    def is_alive(self) -> bool:
        """Whether a service answers there at all."""
        try:
            answer = self._session.get(f"{self.url}/healthz", timeout=3, allow_redirects=False)
        except requests.RequestException:
            return False
        return answer.status_code == 200

    def set_target(self, request: TargetRequest) -> TargetVersion:
        """See `Door.set_target`."""
        headers = {}
        if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,60}", request.symbol):
            shown = request.symbol[:40]
            raise UnknownSymbol(f"{shown!r} is the name of no symbol", symbol=shown)
        if request.key:
            if not request.key.isascii() or not request.key.isprintable():
                raise UsageError("the key must be plain ASCII text", key=request.key)
            headers["Idempotency-Key"] = request.key
        if request.if_version is not None:
            headers["If-Match"] = f'"{request.if_version}"'
        asked = msgspec.to_builtins(request)
        body = {
            name: value
            for name, value in asked.items()
            if name not in {"symbol", "key", "if_version"} and value not in (None, "")
        }
        return self._ask("PUT", f"/targets/{request.symbol}", TargetVersion, body, headers)

    def halt(self, *, by: str, reason: str, symbols: tuple[str, ...] = ()) -> CommandResult:
        """See `Door.halt`."""
        return self._ask(
            "POST", "/halt", CommandResult, {"by": by, "reason": reason, "symbols": symbols}
        )

    def resume(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), adopt: bool = False
    ) -> CommandResult:
        """See `Door.resume`."""
        body = {"by": by, "reason": reason, "symbols": symbols, "adopt": adopt}
        return self._ask("POST", "/resume", CommandResult, body)

    def status(self) -> dict[str, Any]:
        """See `Door.status`."""
        return self._ask("GET", "/status", dict[str, Any])

    def backup(self) -> str:
        """See `Door.backup`."""
        return str(self._ask("POST", "/backup", dict[str, Any], {}, timeout_s=130)["path"])

    def rows(self, kind: str, **params: object) -> list[dict[str, Any]]:
        """Rows of a listing: orders, fills, transitions, executions or targets."""
        found: list[dict[str, Any]] = self._ask("GET", f"/{kind}", dict[str, Any], params=params)[
            "rows"
        ]
        return found

    def close(self) -> None:
        """See `Door.close`."""
        self._session.close()

    def _ask(
        self,
        method: str,
        path: str,
        shape: type[T],
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        *,
        params: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> T:
        headers = dict(headers or {})
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            answer = self._session.request(
                method,
                f"{self.url}/api/v1{path}",
                data=data,
                headers=headers,
                params=params,
                timeout=(3, timeout_s or self._timeout_s),
                allow_redirects=False,
            )
        except requests.ConnectTimeout:
            raise Unreachable(f"no service answers at {self.url}", url=self.url) from None
        except requests.RequestException as error:
            if method == "GET" or _never_left(error):
                raise Unreachable(f"no service answers at {self.url}", url=self.url) from None
            raise InDoubt(
                f"no answer came from {self.url}: it may or may not have been done", url=self.url
            ) from None
        if answer.status_code >= 400:
            raise _error(answer)
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ProtocolError(f"{self.url} is no reconciler of this version: {error}") from None


def _never_left(error: requests.RequestException) -> bool:
    """Whether the request failed before a byte of it was sent."""
    if not isinstance(error, requests.ConnectionError):
        return False
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError"}


def _error(answer: requests.Response) -> ReconcilerError:
    """The error that a service told, as the error that it was there."""
    try:
        told = answer.json()
        code, detail, fields = str(told["code"]), str(told["detail"]), dict(told["fields"])
    except (ValueError, KeyError, TypeError):
        return ProtocolError(f"{answer.url} answered {answer.status_code} without saying why")
    kind = ERRORS.get(code, ReconcilerError)
    return kind(detail, next_step="", **{str(name): value for name, value in fields.items()})
