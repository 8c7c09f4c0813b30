"""
What changes something: targets, plans, modes and schedules, each through the door of the service.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from reconciler.api.answers import Answer, Problem
from reconciler.api.reading import Handler, Nothing, Request, ask, known, parsed
from reconciler.errors import NotFound
from reconciler.service.door import (
    Door,
    ModeRequest,
    ScheduleEntry,
    ScheduleRequest,
    TargetRequest,
    TargetsRequest,
)

#: A route's word for a mode.
MODES = {
    "pause": "pause",
    "reduce-only": "reduce_only",
    "freeze": "freeze",
    "flatten": "flatten",
}


class TargetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a PUT of a target may say; see `TargetRequest`."""

    contracts: int | None = None
    by: int | None = None
    notional: str | None = None
    percent: str | None = None
    source: str = "http"
    reason: str = ""
    policy: str = ""
    ttl_s: int | None = None
    on_expiry: str = ""
    deadline: str = ""
    price: str | None = None
    confirm: int | None = None


class OneOfMany(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several targets; what it does not say, the whole says for it."""

    symbol: str
    contracts: int | None = None
    by: int | None = None
    notional: str | None = None
    percent: str | None = None
    source: str | None = None
    reason: str | None = None
    policy: str = ""
    ttl_s: int | None = None
    on_expiry: str = ""
    deadline: str = ""
    price: str | None = None
    confirm: int | None = None
    key: str = ""
    if_version: int | None = None


class TargetsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a PUT of several targets, or a plan of them, may say."""

    targets: tuple[OneOfMany, ...]
    source: str = "http"
    reason: str = ""
    prune: bool = False


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a halt, a resume or a mode may say."""

    by: str = "http"
    reason: str = ""
    symbols: tuple[str, ...] = ()
    adopt: bool = False
    until: str = ""


class DecisionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a decision of an incident says."""

    decision: str
    reason: str
    by: str = "http"


class ScheduleBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a PUT of a schedule may say."""

    rows: tuple[ScheduleEntry, ...]
    source: str = "http"
    reason: str = ""


class Wishes:
    """The handlers, over a door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def table(self, base: str) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of every route."""
        modes: list[tuple[str, str, Handler]] = []
        for word, mode in MODES.items():
            modes.append(("POST", f"{base}/{word}", self._mode(mode)))
            modes.append(("POST", f"{base}/symbols/{{symbol}}/{word}", self._mode(mode)))
        return [
            ("PUT", f"{base}/targets", self.set_targets),
            ("PUT", f"{base}/targets/{{symbol}}", self.set_target),
            ("DELETE", f"{base}/targets/{{symbol}}", self.forget_target),
            ("POST", f"{base}/plans", self.plan),
            ("POST", f"{base}/plans/{{plan}}/apply", self.apply_plan),
            ("POST", f"{base}/halt", self.halt),
            ("POST", f"{base}/resume", self.resume),
            ("POST", f"{base}/symbols/{{symbol}}/resume", self.resume),
            *modes,
            ("POST", f"{base}/incidents/{{incident}}/resolve", self.resolve),
            ("GET", f"{base}/schedules", self.schedules),
            ("GET", f"{base}/schedules/{{name}}", self.schedule),
            ("PUT", f"{base}/schedules/{{name}}", self.set_schedule),
            ("DELETE", f"{base}/schedules/{{name}}", self.remove_schedule),
        ]

    def set_target(self, request: Request) -> Answer:
        """Record a target: 201 if it is new, 200 if it is the one in force."""
        body = parsed(request.body, TargetBody)
        asked = TargetRequest(
            symbol=request.names["symbol"],
            if_version=_version(request.headers.get("if-match")),
            key=request.headers.get("idempotency-key", ""),
            **{name: getattr(body, name) for name in body.__struct_fields__},
        )
        done = ask(lambda: self._door.set_target(asked))
        status = 201 if done.changed else 200
        return Answer(status, msgspec.to_builtins(done), {"etag": f'"{done.version}"'})

    def set_targets(self, request: Request) -> Answer:
        """Record several targets, or none of them; with ``prune=1`` all others are set to zero."""
        asked = _several(request)
        return Answer(200, msgspec.to_builtins(ask(lambda: self._door.set_targets(asked))))

    def forget_target(self, request: Request) -> Answer:
        """Want nothing of a symbol any more; what is held stays."""
        asked = _command(request, "reason", "by")
        done = ask(
            lambda: self._door.forget_target(
                request.names["symbol"], by=asked.by, reason=asked.reason
            )
        )
        return Answer(200, msgspec.to_builtins(done))

    def plan(self, request: Request) -> Answer:
        """What targets would lead to; with an id for five minutes."""
        asked = _several(request)
        return Answer(201, ask(lambda: self._door.plan(asked)))

    def apply_plan(self, request: Request) -> Answer:
        """Set the targets of a plan, if nothing has moved since."""
        parsed(request.body or b"{}", Nothing)
        done = ask(lambda: self._door.apply_plan(request.names["plan"]))
        return Answer(200, msgspec.to_builtins(done))

    def halt(self, request: Request) -> Answer:
        """Cancel own orders and send nothing more."""
        asked = _command(request, "by", "reason", "symbols", "until")
        done = ask(
            lambda: self._door.halt(
                by=asked.by, reason=asked.reason, symbols=asked.symbols, until=asked.until
            )
        )
        return Answer(200, msgspec.to_builtins(done))

    def resume(self, request: Request) -> Answer:
        """End a halt, a freeze or a mode."""
        asked = _command(request, "by", "reason", "symbols", "adopt")
        done = ask(
            lambda: self._door.resume(
                by=asked.by, reason=asked.reason, symbols=asked.symbols, adopt=asked.adopt
            )
        )
        return Answer(200, msgspec.to_builtins(done))

    def resolve(self, request: Request) -> Answer:
        """Decide an incident: adopt, trade_back or ignore."""
        body = parsed(request.body, DecisionBody)
        incident = request.names["incident"]
        done = ask(
            lambda: self._door.resolve(incident, body.decision, by=body.by, reason=body.reason)
        )
        return Answer(200, msgspec.to_builtins(done))

    def _mode(self, mode: str) -> Handler:
        def handle(request: Request) -> Answer:
            """Put a mode in force, for symbols or for the account, with an end or without."""
            asked = _command(request, "by", "reason", "symbols", "until")
            wanted = ModeRequest(
                mode=mode,
                by=asked.by,
                reason=asked.reason,
                symbols=asked.symbols,
                until=asked.until,
            )
            return Answer(200, msgspec.to_builtins(ask(lambda: self._door.set_mode(wanted))))

        return handle

    def schedules(self, request: Request) -> Answer:
        """Every schedule in force."""
        known(request.query, ())
        return Answer(200, {"rows": self._shown(), "next": None})

    def schedule(self, request: Request) -> Answer:
        """One schedule, with what of it came due."""
        known(request.query, ())
        name = request.names["name"]
        found = next((one for one in self._shown() if one["name"] == name), None)
        if found is None:
            raise NotFound(
                f"there is no schedule {name[:40]!r}",
                next_step="See `reconciler schedule list`.",
                name=name[:40],
            )
        return Answer(200, found)

    def _shown(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = msgspec.to_builtins(ask(self._door.schedules))
        return found

    def set_schedule(self, request: Request) -> Answer:
        """Put a schedule in the place of the one of that name."""
        body = parsed(request.body, ScheduleBody)
        if not body.rows:
            raise Problem(400, "bad_request", "A schedule has rows; DELETE removes one.")
        asked = ScheduleRequest(
            name=request.names["name"], rows=body.rows, source=body.source, reason=body.reason
        )
        return Answer(200, msgspec.to_builtins(ask(lambda: self._door.set_schedule(asked))))

    def remove_schedule(self, request: Request) -> Answer:
        """Nothing of it comes due any more."""
        said = _command(request, "by", "reason")
        asked = ScheduleRequest(
            name=request.names["name"], rows=(), source=said.by, reason=said.reason
        )
        return Answer(200, msgspec.to_builtins(ask(lambda: self._door.set_schedule(asked))))


def _several(request: Request) -> TargetsRequest:
    known(request.query, ("prune",))
    prune = request.query.get("prune", "0")
    if prune not in ("0", "1"):
        raise Problem(400, "bad_request", "prune is 1 or 0.")
    body = parsed(request.body, TargetsBody)
    targets = []
    for one in body.targets:
        fields = {name: getattr(one, name) for name in one.__struct_fields__}
        fields["source"] = body.source if one.source is None else one.source
        fields["reason"] = body.reason if one.reason is None else one.reason
        targets.append(TargetRequest(**fields))
    return TargetsRequest(
        targets=tuple(targets),
        prune=body.prune or prune == "1",
        source=body.source,
        reason=body.reason,
    )


def _command(request: Request, *fields: str) -> Command:
    """What a command says; of a symbol that is named in the path, it says no other."""
    asked = parsed(request.body or b"{}", Command)
    for name in asked.__struct_fields__:
        if name not in fields and getattr(asked, name):
            raise Problem(400, "bad_request", f"{name} means nothing here.")
    symbol = request.names.get("symbol")
    if symbol is None or "symbols" not in fields:
        return asked
    if asked.symbols not in ((), (symbol,)):
        raise Problem(400, "bad_request", "The path names one symbol, and the body others.")
    return msgspec.structs.replace(asked, symbols=(symbol,))


def _version(header: str | None) -> int | None:
    """The version in ``If-Match: "41"``."""
    if header is None:
        return None
    match = re.fullmatch(r'"([0-9]{1,18})"', header.strip())
    if match is None:
        raise Problem(400, "bad_request", 'If-Match is a version in quotes, such as "41".')
    return int(match[1])
