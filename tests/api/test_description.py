"""HTTP: the description for programs says what is so, route by route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.api.answers import Problem
from reconciler.api.description import PATH, TAKES
from reconciler.api.reading import Handler, Request
from reconciler.api.routes import Routes
from reconciler.errors import ReconcilerError
from tests.api.test_api import Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    served = Api(tmp_path)
    served.server.start()
    served.put({"contracts": 100})
    yield served
    served.server.stop()


def refusal(handler: Handler, path: str, query: dict[str, str], body: Any = None) -> str:
    """How a route refuses what it is asked; "" if it does not."""
    names = dict.fromkeys(re.findall(r"{(\w+)}", path), "XBTUSD")
    raw = b"" if body is None else json.dumps(body).encode()
    try:
        handler(Request(names, query, {}, raw))
    except Problem as problem:
        return problem.detail
    except ReconcilerError as error:
        return str(error)
    return ""


def test_every_route_is_described_as_it_is(api: Api) -> None:
    """Each with its own parameters and fields, and no other: a program that is made of it works."""
    said = api.ask("GET", PATH)
    assert said.status == 200
    whole = said.json
    schemas = whole["components"]["schemas"]
    assert set(re.findall(r"schemas/(\w+)", said.text)) <= set(schemas)
    table = Routes(api.door, api.database).table()
    assert {(m, p) for p, some in whole["paths"].items() for m in some} == {
        (method.lower(), path) for method, path, _ in table
    }
    assert set(TAKES) <= {f"{method} {path}" for method, path, _ in table}
    for method, path, handler in table:
        asked = whole["paths"][path][method.lower()]
        assert asked["summary"].endswith("."), path
        assert ("security" in asked) == (path in ("/healthz", "/readyz"))
        if "security" in asked:
            continue
        if method == "GET":
            takes_these_words(path, handler, asked.get("parameters", ()))
        elif "requestBody" in asked:
            takes_these_fields(path, handler, asked["requestBody"], schemas)
        else:
            assert "unknown field" in refusal(handler, path, {}, {"nope": 1}), path


def takes_these_words(path: str, handler: Handler, parameters: Any) -> None:
    """A parameter that is not described is refused, with all that are."""
    described = [one["name"] for one in parameters if one["in"] == "query"]
    more = {"history": "1"} if "history" in described else {}
    detail = refusal(handler, path, {"nope": "1", **more})
    listed = re.fullmatch(r"'nope' is no parameter here; (.*) are\.", detail)
    assert listed is not None, (path, detail)
    assert sorted(listed[1].split(", ")) == sorted(described or ["none"]), path


def takes_these_fields(path: str, handler: Handler, body: Any, schemas: Any) -> None:
    """A field that is described is looked at, and one that is not is refused."""
    shape = body["content"]["application/json"]["schema"]
    if "$ref" in shape:
        shape = schemas[shape["$ref"].rpartition("/")[2]]
    assert shape["additionalProperties"] is False
    for name in shape["properties"]:
        others = dict.fromkeys(shape.get("required", ()), "x")
        detail = refusal(handler, path, {}, {name: {}} | others | {name: {}})
        assert f"$.{name}" in detail or detail.startswith(f"{name} is {{}}"), (path, name, detail)
    every = {"by", "reason", "symbols", "adopt", "until", "zero", "contracts", "rows", "run"}
    for name in sorted(every - set(shape["properties"])):
        value = {"symbols": ["XBTUSD"], "adopt": True}.get(name, "x")
        detail = refusal(handler, path, {}, {name: value})
        assert "unknown field" in detail or "means nothing here" in detail, (path, name, detail)


def test_the_shapes_are_those_that_are_answered(api: Api) -> None:
    """An answer has just the fields that its schema has."""
    schemas = api.ask("GET", PATH).json["components"]["schemas"]
    done = api.put({"contracts": 300}).json
    assert set(done) == set(schemas["TargetVersion"]["properties"])
    assert set(api.put({"contracts": 10**9}).json) == set(schemas["Problem"]["properties"])
    assert msgspec.json.decode(api.ask("POST", "/api/v1/pause", {}).text).keys() == (
        schemas["CommandResult"]["properties"].keys()
    )
