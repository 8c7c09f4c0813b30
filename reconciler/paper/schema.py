"""
What the venue says about its own interface: ``/schema`` and ``/explorer/swagger.json``.

Both are made from what is served: models from the tables that the websocket sends, operations from
the routes and `spec.OPERATIONS`. A route that nobody described is a failing test, not a gap here.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from . import errors, intake, topics
from .spec import MODELS, OPERATIONS, PARAMETERS, Operation
from .tables import TABLES

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked, Route

BASE = "/api/v1"
VERSION = "1.2.0"
_TYPES: dict[str, dict[str, str]] = {
    "guid": {"type": "string", "format": "guid"},
    "string": {"type": "string"},
    "symbol": {"type": "string"},
    "": {"type": "string"},
    "long": {"type": "number", "format": "int64"},
    "float": {"type": "number", "format": "double"},
    "boolean": {"type": "boolean"},
    "timestamp": {"type": "string", "format": "date-time"},
    "timespan": {"type": "string", "format": "date-time"},
    "array": {"type": "array"},
}
_PROBLEMS = {
    "400": "Parameter Error", "401": "Unauthorized", "403": "Access Denied", "404": "Not Found",
}  # fmt: skip
_UNTYPED: dict[str, object] = {"type": "object", "properties": {}}


def models(api: Api, asked: Asked) -> object:
    """Keys and types of the models, of all or of the one that is named."""
    known: dict[str, object] = {
        name: {"keys": list(TABLES[table].keys), "types": dict(TABLES[table].types)}
        for name, table in MODELS.items()
    }
    wanted = intake.text(asked.fields, "model")
    if not wanted:
        return known
    found = {name: model for name, model in known.items() if name.lower() == wanted.lower()}
    if not found:
        raise errors.bad_request("table is not valid")
    return next(iter(found.values()))


def websocket_help(api: Api, asked: Asked) -> object:
    return topics.subjects()


def about(api: Api, asked: Asked) -> object:
    return {"name": "BitMEX API", "version": VERSION, "timestamp": asked.now_ms}


def swagger(api: Api, asked: Asked) -> object:
    return description()


@cache
def description() -> dict[str, object]:
    """The description of all routes under `BASE`, in Swagger 2.0."""
    from .routes import ROUTES  # here, for the routes name this module

    paths: dict[str, dict[str, object]] = {}
    for (verb, path), route in ROUTES.items():
        operation = OPERATIONS.get((verb, path))
        if operation is not None:
            name = path.removeprefix(BASE) or "/"
            paths.setdefault(name, {})[verb.lower()] = _operation(verb, route, operation)
    return {
        "swagger": "2.0",
        "info": {
            "title": "BitMEX API", "version": VERSION,
            "description": "REST API of a paper exchange that speaks BitMEX's protocol.",
        },
        "basePath": BASE,
        "schemes": ["http"],
        "consumes": ["application/json", "application/x-www-form-urlencoded"],
        "produces": ["application/json", "application/xml", "text/csv"],
        "securityDefinitions": {
            title: {"type": "apiKey", "name": header, "in": "header"}
            for title, header in (
                ("apiExpires", "api-expires"), ("apiKey", "api-key"),
                ("apiSignature", "api-signature"),
            )
        },
        "paths": paths,
        "definitions": _definitions(),
    }  # fmt: skip


def _definitions() -> dict[str, object]:
    made: dict[str, object] = {
        "Error": {
            "type": "object", "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "properties": {
                        "message": {"type": "string"}, "name": {"type": "string"},
                        "details": {"type": "string"},
                    },
                }
            },
        }
    }  # fmt: skip
    for name, table in MODELS.items():
        spec = TABLES[table]
        made[name] = {
            "type": "object", "required": list(spec.keys or ("timestamp",)),
            "properties": {field: _TYPES[kind] for field, kind in spec.types.items()},
        }  # fmt: skip
    return made


def _operation(verb: str, route: Route, told: Operation) -> dict[str, object]:
    reference: dict[str, object] = (
        {"$ref": f"#/definitions/{told.model}"} if told.model else dict(_UNTYPED)
    )
    schema = {"type": "array", "items": reference} if told.many else reference
    responses: dict[str, object] = {
        "200": {"description": "Request was successful", "schema": schema}
    }
    for status, meaning in _PROBLEMS.items():
        responses[status] = {"description": meaning, "schema": {"$ref": "#/definitions/Error"}}
    made: dict[str, object] = {
        "tags": [told.name.partition(".")[0]], "summary": told.summary, "operationId": told.name,
        "parameters": [_parameter(verb, name, told) for name in told.takes],
        "responses": responses, "deprecated": told.deprecated,
    }  # fmt: skip
    if route.access != "public":
        made["security"] = [{"apiExpires": [], "apiKey": [], "apiSignature": []}]
    return made


def _parameter(verb: str, name: str, told: Operation) -> dict[str, object]:
    kind, words = PARAMETERS[name]
    made: dict[str, object] = {
        "name": name, "in": "query" if verb == "GET" else "formData", "description": words,
        "required": name in told.needs,
    }  # fmt: skip
    if kind == "JSON":
        return {**made, "type": "string", "format": "JSON"}
    return {**made, **_TYPES[kind]}
