"""
The door over HTTP: what a running service may be asked from another process.

An answer that did not come is never taken for a no: what was asked may have been done.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, TypeVar
from urllib.parse import quote

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
from reconciler.service.door import (
    CommandResult,
    Decided,
    ModeRequest,
    Reloaded,
    ScheduleRequest,
    ScheduleShown,
    SignalResult,
    StrategyReport,
    TargetRequest,
    TargetsRequest,
    TargetVersion,
    TargetVersions,
)
from reconciler.strategy.signals import Signal

T = TypeVar("T")
SILENT_S = 40  # a stream says that it is there more often

#: A code in an answer -> the error that it was.
ERRORS: dict[str, type[ReconcilerError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ReconcilerError)
}
ERRORS |= {
    "bad_request": errors.UsageError,
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
        self.token = token
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, and no password from elsewhere
        self._session.headers["Authorization"] = f"Bearer {token}"
        self.run = ""  # that holds a strategy's name: said with its signals and reports
        self.numbers = count(1)  # of these: what was long on its way is known by its number

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
            key = request.key
            if not key.isascii() or not key.isprintable() or key != key.strip():
                raise UsageError("the key must be plain ASCII text, no blank at its ends", key=key)
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

    def signal(self, signal: Signal) -> SignalResult:
        """See `Door.signal`."""
        body = msgspec.json.Encoder(decimal_format="number").encode(signal)
        return self._ask("POST", "/signals", SignalResult, None, self._held(), raw=body)

    def set_targets(self, request: TargetsRequest) -> TargetVersions:
        """See `Door.set_targets`."""
        return self._ask("PUT", "/targets", TargetVersions, _said(request))

    def forget_target(self, symbol: str, *, by: str, reason: str = "") -> TargetVersion:
        """See `Door.forget_target`."""
        path = f"/targets/{quote(symbol, safe='')}"
        return self._ask("DELETE", path, TargetVersion, {"by": by, "reason": reason})

    def plan(self, request: TargetsRequest) -> dict[str, Any]:
        """See `Door.plan`."""
        return self._ask("POST", "/plans", dict[str, Any], _said(request))

    def apply_plan(self, plan_id: str) -> TargetVersions:
        """See `Door.apply_plan`."""
        path = f"/plans/{quote(plan_id, safe='')}/apply"
        return self._ask("POST", path, TargetVersions, {})

    def set_mode(self, request: ModeRequest) -> CommandResult:
        """See `Door.set_mode`."""
        body = _said(request)
        mode = str(body.pop("mode")).replace("_", "-")
        return self._ask("POST", f"/{quote(mode, safe='')}", CommandResult, body)

    def set_schedule(self, request: ScheduleRequest) -> ScheduleShown:
        """See `Door.set_schedule`."""
        path = f"/schedules/{quote(request.name, safe='')}"
        if not request.rows:
            said = {"by": request.source, "reason": request.reason}
            return self._ask("DELETE", path, ScheduleShown, said)
        body = _said(request)
        del body["name"]
        return self._ask("PUT", path, ScheduleShown, body)

    def schedules(self) -> list[ScheduleShown]:
        """See `Door.schedules`."""
        rows = self._ask("GET", "/schedules", dict[str, Any])["rows"]
        return [msgspec.convert(row, ScheduleShown) for row in rows]

    def halt(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), until: str = ""
    ) -> CommandResult:
        """See `Door.halt`."""
        body = {"by": by, "reason": reason, "symbols": symbols, "until": until}
        return self._ask("POST", "/halt", CommandResult, body)

    def resume(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), adopt: bool = False
    ) -> CommandResult:
        """See `Door.resume`."""
        body = {"by": by, "reason": reason, "symbols": symbols, "adopt": adopt}
        return self._ask("POST", "/resume", CommandResult, body)

    def resolve(self, incident: str, decision: str, *, by: str, reason: str) -> Decided:
        """See `Door.resolve`."""
        path = f"/incidents/{quote(incident, safe='')}/resolve"
        body = {"decision": decision, "by": by, "reason": reason}
        return self._ask("POST", path, Decided, body)

    def status(self) -> dict[str, Any]:
        """See `Door.status`."""
        return self._ask("GET", "/status", dict[str, Any])

    def strategies(self) -> list[dict[str, Any]]:
        """See `Door.strategies`."""
        found: list[dict[str, Any]] = self._ask("GET", "/strategies", dict[str, Any])["rows"]
        return found

    def strategy(self, name: str, do: str, *, by: str, zero: bool = False) -> dict[str, Any]:
        """See `Door.strategy`."""
        path = f"/strategies/{quote(name, safe='')}/{do}"
        return self._ask("POST", path, dict[str, Any], {"by": by, "zero": zero})

    def hold_strategy(self, strategy: str, run: str, who: str = "", number: int = 0) -> None:
        """See `Door.hold_strategy`; numbers go with what is said."""
        path = f"/strategies/{quote(strategy, safe='')}/hold"
        self._ask("POST", path, dict[str, Any], {"run": run, "who": who})

    def report_strategy(self, report: StrategyReport) -> None:
        """See `Door.report_strategy`."""
        said = {"state": report.state, "detail": report.detail, "parameters": report.parameters}
        path = f"/strategies/{quote(report.strategy, safe='')}"
        named = {"Strategy-Run": report.run, "Strategy-Number": str(report.number)}
        self._ask("PUT", path, dict[str, Any], said, named if report.run else self._held())

    def _held(self) -> dict[str, str]:
        if not self.run:
            return {}
        return {"Strategy-Run": self.run, "Strategy-Number": str(next(self.numbers))}

    def reload(self) -> Reloaded:
        """See `Door.reload`."""
        return self._ask("POST", "/reload", Reloaded, {})

    def backup(self) -> str:
        """See `Door.backup`."""
        return str(self._ask("POST", "/backup", dict[str, Any], {}, timeout_s=130)["path"])

    def rows(self, kind: str, **params: object) -> list[dict[str, Any]]:
        """Rows of a listing: orders, fills, transitions, executions, targets, modes…"""
        found: list[dict[str, Any]] = self._ask("GET", f"/{kind}", dict[str, Any], params=params)[
            "rows"
        ]
        return found

    def page(self, kind: str, **params: object) -> tuple[list[dict[str, Any]], str]:
        """A page of a listing, and the cursor of the next one; "": there is none."""
        found = self._ask("GET", f"/{kind}", dict[str, Any], params=params)
        return found["rows"], found["next"] or ""

    def why(self, name: str, at: str = "") -> dict[str, Any]:
        """The causes of an order, a fill or a symbol; of a symbol also as it was at a moment."""
        params = {"at": at} if at else {}
        return self._ask("GET", f"/why/{quote(name, safe='')}", dict[str, Any], params=params)

    def events(
        self, kinds: Sequence[str], *, symbol: str = "", after: int | None = None
    ) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """
        What happens, as it happens: the number to go on after, the kind, and the row.

        A kind of "" tells only the number, of a stream that has begun or is silent.

        Args:
            kinds: transition, fill, target, refusal, mode, signal, incident.
            symbol: Only of this one.
            after: The number to go on after; None: from now on.

        Raises:
            Unreachable: The connection broke, or nobody answers.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        params = {"kinds": ",".join(kinds)} | ({"symbol": symbol} if symbol else {})
        try:
            with requests.Session() as session:  # of its own: others go on asking meanwhile
                session.trust_env = False
                answer = session.get(
                    f"{self.url}/api/v1/stream",
                    headers=headers,
                    params=params,
                    stream=True,
                    timeout=(3, SILENT_S),
                    allow_redirects=False,
                )
                if answer.status_code != 200:
                    raise _error(answer)
                yield from _told(answer.iter_lines(chunk_size=None))
        except requests.RequestException:
            raise Unreachable(f"no service answers at {self.url}", url=self.url) from None
        raise Unreachable(f"{self.url} has ended the stream", url=self.url)

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
        raw: bytes | None = None,
        params: dict[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> T:
        headers = dict(headers or {})
        data = raw if body is None else json.dumps(body).encode()
        if data is not None:
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


def _told(lines: Iterable[bytes]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Server-sent events out of their lines."""
    fields: dict[bytes, bytes] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(b": ")
            fields[name] = value
            continue
        number = int(fields.get(b"id", b"0"))
        if b"data" in fields:
            yield number, fields[b"event"].decode(), json.loads(fields[b"data"])
        elif b"id" in fields:
            yield number, "", {}
        fields = {}


def _said(request: msgspec.Struct) -> dict[str, Any]:
    """A request as a body, without what it does not say."""
    plain = msgspec.to_builtins(request)
    assert isinstance(plain, dict)
    for name in ("targets", "rows"):
        if name in plain:
            plain[name] = [_without_nothing(row) for row in plain[name]]
    return _without_nothing(plain)


def _without_nothing(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None and value != ""}


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
