"""
What may be asked and what is answered, for programs: OpenAPI 3.1, made of the routes themselves.

Which routes there are, their words and the shapes of bodies are read off the code. What a handler
takes beside that stands in `TAKES`, and a test asks each route whether it is so.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from reconciler import __version__
from reconciler.api.answers import STATUS
from reconciler.api.reading import Handler
from reconciler.api.signals import SignalBody
from reconciler.api.strategies import Do, Hold, Said
from reconciler.api.wishes import Command, DecisionBody, ScheduleBody, TargetBody, TargetsBody
from reconciler.service import door

BASE = "/api/v1"
PATH = "/api/openapi.json"
LISTING = ("symbol", "since", "until", "limit", "cursor")
TARGET, STRATEGY = f"{BASE}/targets/{{symbol}}", f"{BASE}/strategies/{{name}}"
RUN = ("Strategy-Run", "Strategy-Number")


class Takes(NamedTuple):
    """What a route takes beside the names in its path, and what it answers when all is well."""

    body: type | None = None
    fields: tuple[str, ...] | None = None  # of the body; None: all
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    answer: type | None = None  # None: an object
    statuses: tuple[int, ...] = (200,)


def _commands() -> dict[str, Takes]:
    """Modes, halt and resume, of the account and of a symbol."""
    timed, ended = ("by", "reason", "symbols", "until"), ("by", "reason", "symbols", "adopt")
    found = {}
    for words, fields in (
        (("pause", "reduce-only", "freeze", "flatten"), timed),
        (("resume",), ended),
    ):
        for word in words:
            for path in (f"{BASE}/{word}", f"{BASE}/symbols/{{symbol}}/{word}"):
                found[f"POST {path}"] = Takes(Command, fields, answer=door.CommandResult)
    found[f"POST {BASE}/halt"] = Takes(Command, timed, answer=door.CommandResult)
    return found


#: By method and path; a route that is missing takes nothing.
TAKES: Mapping[str, Takes] = {
    f"GET {BASE}/targets": Takes(query=("history", *LISTING)),
    f"PUT {BASE}/targets": Takes(TargetsBody, query=("prune",), answer=door.TargetVersions),
    f"PUT {TARGET}": Takes(
        TargetBody,
        headers=("Idempotency-Key", "If-Match"),
        answer=door.TargetVersion,
        statuses=(200, 201),
    ),
    f"DELETE {TARGET}": Takes(Command, ("by", "reason"), answer=door.TargetVersion),
    f"POST {BASE}/plans": Takes(TargetsBody, query=("prune",), statuses=(201,)),
    f"POST {BASE}/plans/{{plan}}/apply": Takes(answer=door.TargetVersions),
    **_commands(),
    f"POST {BASE}/incidents/{{incident}}/resolve": Takes(DecisionBody, answer=door.Decided),
    f"GET {BASE}/schedules/{{name}}": Takes(answer=door.ScheduleShown),
    f"PUT {BASE}/schedules/{{name}}": Takes(ScheduleBody, answer=door.ScheduleShown),
    f"DELETE {BASE}/schedules/{{name}}": Takes(
        Command, ("by", "reason"), answer=door.ScheduleShown
    ),
    f"POST {BASE}/signals": Takes(
        SignalBody, headers=RUN, answer=door.SignalResult, statuses=(200, 201)
    ),
    f"POST {BASE}/reload": Takes(answer=door.Reloaded),
    f"GET {BASE}/why/{{name}}": Takes(query=("at",)),
    f"GET {BASE}/diagram": Takes(query=("symbol",)),
    f"GET {BASE}/stream": Takes(query=("kinds", "symbol"), headers=("Last-Event-ID",)),
    f"PUT {STRATEGY}": Takes(Said, headers=RUN, answer=door.StrategyReport),
    f"POST {STRATEGY}/hold": Takes(Hold),
    **{f"POST {STRATEGY}/{word}": Takes(Do) for word in ("start", "stop", "restart")},
}


def described(table: Sequence[tuple[str, str, Handler]], listings: Sequence[str]) -> dict[str, Any]:
    """
    The description of routes.

    Args:
        table: Method, path and handler of each.
        listings: Paths of those that give rows of a view, page by page.
    """
    shapes = [one for takes in TAKES.values() for one in (takes.body, takes.answer) if one]
    _, schemas = msgspec.json.schema_components(
        dict.fromkeys(shapes), ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for method, path, handler in table:
        takes = TAKES.get(f"{method} {path}", Takes())
        if path in listings and method == "GET":
            takes = Takes(query=LISTING)
        paths.setdefault(path, {})[method.lower()] = _operation(path, handler, takes, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "reconciler", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _problem()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    path: str, handler: Handler, takes: Takes, schemas: Mapping[str, Any]
) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if words := inspect.getdoc(handler):
        said["summary"] = words.partition("\n")[0]
    parameters = [_parameter("path", name) for name in re.findall(r"{(\w+)}", path)]
    parameters += [_parameter("query", name) for name in takes.query]
    parameters += [_parameter("header", name) for name in takes.headers]
    if parameters:
        said["parameters"] = parameters
    if takes.body is not None:
        said["requestBody"] = {"content": {"application/json": {"schema": _body(takes, schemas)}}}
    shape = _named(takes.answer) if takes.answer else {"type": "object"}
    done = {"description": "Done.", "content": {"application/json": {"schema": shape}}}
    refused = {"schema": {"$ref": "#/components/schemas/Problem"}}
    said["responses"] = {str(status): done for status in takes.statuses} | {
        "default": {"description": "Refused.", "content": {"application/problem+json": refused}}
    }
    if not path.startswith("/api/"):
        said["security"] = []  # without a token
    return said


def _parameter(place: str, name: str) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": {"type": "string"}}


def _body(takes: Takes, schemas: Mapping[str, Any]) -> dict[str, Any]:
    assert takes.body is not None
    if takes.fields is None:
        return _named(takes.body)
    known = schemas[takes.body.__name__]["properties"]
    some = {name: known[name] for name in takes.fields}
    return {"type": "object", "properties": some, "additionalProperties": False}


def _named(shape: type) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{shape.__name__}"}


def _problem() -> dict[str, Any]:
    """An error, as RFC 9457 has it; `code` names the rule that said no."""
    text, codes = {"type": "string"}, sorted(STATUS)
    return {
        "type": "object",
        "properties": {
            **dict.fromkeys(("type", "title", "detail"), text),
            "status": {"type": "integer"},
            "code": {"type": "string", "examples": codes},
            "fields": {"type": "object"},
        },
        "required": ["type", "title", "status", "code", "detail", "fields"],
    }
