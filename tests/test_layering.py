"""
Arrows point one way, each heavy dependency comes in by one door, the core does no I/O, and
contracts and prices are never floats.

Read off the source, so it holds for whatever files there are. To move an arrow or a door, change
a table here, and say in the commit why.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

CORE = {"errors", "core"}
PORT = {*CORE, "venue", "feed", "logs", "shown"}
SHELL = {*PORT, "config", "bitmex", "journal", "strategy", "service"}
DOORS = {*SHELL, "client"}
ANY = {"*"}

# Each part of the package, and the parts that it may import besides itself.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "core": {"errors"},
    "paper": set(),  # reads the protocol by itself, so that it checks our reading
    "logs": {"errors"},
    "shown": {"errors", "logs"},  # rows as text
    "config": {"errors", "core", "logs"},
    "diagram": CORE,
    "venue": {*CORE, "feed"},
    "feed": set(),  # values and nothing else
    "bitmex": PORT,
    "journal": PORT,
    "strategy": PORT,
    "service": SHELL,
    "simulation": {*SHELL, "paper"},
    "client": SHELL,
    "remote": DOORS,
    "api": {*DOORS, "diagram"},
    "dashboard": {*DOORS, "api"},  # its pages are served by the one server, in api/
    "embedded": {*DOORS, "paper"},
    "testing": ANY,
    "cli": ANY,
    "__init__": ANY,  # the public names
    "__main__": {"cli"},
    "migrations": {"errors", "journal"},
}

# Each heavy dependency, and its doors: one module, or one module of a folder ("folder/"), or any
# module of it ("folder/*").
PLACES: dict[str, tuple[str, ...]] = {
    "alembic": ("reconciler/journal/care.py", "migrations/*"),
    "click": ("reconciler/cli/*",),
    "httptools": ("reconciler/paper/",),  # beside uvicorn, which finds it by itself
    "platformdirs": ("reconciler/config/",),
    "pydantic": ("reconciler/config/*",),
    "pydantic_settings": ("reconciler/config/",),
    "requests": ("reconciler/bitmex/", "reconciler/client.py"),
    "rich": ("reconciler/cli/screen.py",),
    "sqlalchemy": ("reconciler/journal/*", "migrations/*"),
    "starlette": ("reconciler/api/", "reconciler/paper/"),
    "structlog": ("reconciler/logs.py",),
    "transitions": ("reconciler/core/lifecycle.py",),
    "typer": ("reconciler/cli/*",),
    "uvicorn": ("reconciler/api/", "reconciler/paper/"),
    "websocket": ("reconciler/bitmex/",),
    "websockets": ("reconciler/paper/",),
}
LIGHT = {"msgspec"}  # anywhere
TOOLS = {"pytest": ("reconciler/testing.py",), "hypothesis": ()}

# All that the core may import: none of it knows the time, the weather, or the machine.
PURE = {
    "__future__", "abc", "bisect", "collections", "collections.abc", "dataclasses", "decimal",
    "enum", "fractions", "functools", "heapq", "itertools", "math", "msgspec", "operator",
    "transitions", "types", "typing", "typing_extensions",
}  # fmt: skip
IMPURE_CALLS = {"__import__", "breakpoint", "eval", "exec", "hash", "id", "input", "open", "print"}

# Where contracts, money and prices are computed: no float there.
EXACT = (
    "reconciler/core/",
    "reconciler/journal/",
    # of bitmex/ all but the modules that own sockets: those count time-outs in seconds
    *(
        f"reconciler/bitmex/{name}.py"
        for name in (
            "answers",
            "budget",
            "clock",
            "lookups",
            "messages",
            "outgoing",
            "public_messages",
            "public_rows",
            "quotes",
            "rows",
            "session",
            "sync",
            "tables",
            "vitals",
        )
    ),
    "reconciler/feed.py",
    *(
        f"reconciler/strategy/{name}.py"
        for name in ("bars", "book", "history", "market", "prices", "series")
    ),
    "reconciler/paper/market.py",
    "reconciler/paper/instruments.py",
    "reconciler/paper/account.py",
)
# (module, part of the line) -> why a float is right there.
FLOATS: dict[tuple[str, str], str] = {}


class Import(NamedTuple):
    """That *module* (dotted) is imported in line *line*."""

    module: str
    line: int


def test_arrows_point_one_way():
    """No part of the house knows a part above it, and a new part is given a place first."""
    assert problems(wrong_arrows) == []


def test_heavy_dependencies_come_in_by_one_door():
    """What a dependency does to us can be read, and changed, in one place."""
    assert problems(wrong_places) + crowds(sources()) == []


def test_the_core_does_no_io():
    """The core reads no clock, no random number and no file, so a restart is a replay."""
    assert problems(impurities) == []


def test_contracts_and_prices_are_never_floats():
    """No float where contracts, money and prices are computed: sums are exact."""
    assert problems(floats) == []


def test_no_excuse_outlives_its_float():
    """An entry of the list of allowed floats still excuses one."""
    texts = dict(sources())
    stale = [
        key
        for key in FLOATS
        if key[0] not in texts or not any(key[1] in line for line in texts[key[0]].splitlines())
    ]
    assert stale == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("reconciler/core/x.py", "from reconciler.journal import store"),
        ("reconciler/core/x.py", "from ..journal import store"),
        ("reconciler/core/x.py", "from .. import journal"),
        ("reconciler/core/deep/x.py", "from ...service import loop"),
        ("reconciler/core/__init__.py", "from ..bitmex import rest"),
        ("reconciler/journal/x.py", "import reconciler.bitmex.rest"),
        ("reconciler/service/x.py", "def f():\n    from reconciler import cli"),
        ("reconciler/service/x.py", "import_module('reconciler.api.http')"),
        ("reconciler/service/x.py", "if TYPE_CHECKING:\n    from reconciler.api import http"),
        ("reconciler/paper/x.py", "from reconciler.errors import Refused"),
        ("reconciler/paper/x.py", "from reconciler import Client"),
        ("reconciler/newcomer/x.py", "x = 1"),
    ],
)
def test_a_wrong_arrow_is_seen(path, text):
    """The check of arrows can fail: for whole and relative names, late and typing imports."""
    assert list(wrong_arrows(path, text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("reconciler/core/plan.py", "import transitions"),
        ("reconciler/service/x.py", "from sqlalchemy import select"),
        ("reconciler/journal/store.py", "import alembic.command"),
        ("reconciler/api/x.py", "import requests.adapters"),
        ("reconciler/cli/status.py", "from rich.table import Table"),
        ("reconciler/service/x.py", "def f():\n    import structlog"),
        ("reconciler/service/x.py", "import pandas"),
    ],
)
def test_a_wrong_door_is_seen(path, text):
    """The check of doors can fail: for the wrong module, and for a dependency nobody declared."""
    assert list(wrong_places(path, text))


def test_a_second_door_is_seen():
    """Two modules of one folder may not share a dependency that is to have one door."""
    both = [
        ("reconciler/bitmex/rest.py", "import requests"),
        ("reconciler/bitmex/stream.py", "from requests import Session"),
    ]
    assert crowds(both[:1]) == []
    assert crowds(both) == [
        "requests: one module of reconciler/bitmex/ may import it, not rest.py and stream.py"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from datetime import datetime",
        "import random",
        "import logging",
        "import hashlib",
        "import collections, os.path",
        "def f():\n    import socket",
        "x = open('file')",
        "x = hash('differs from process to process')",
        "print('hello')",
    ],
)
def test_an_impure_core_is_seen(text):
    """The check of the core can fail."""
    assert list(impurities("reconciler/core/x.py", text))
    assert not list(impurities("reconciler/service/x.py", text))


@pytest.mark.parametrize(
    "text",
    [
        "x = 0.5",
        "x = -1e3",
        "x = float('1')",
        "x: float = y",
        "x: 'float | None' = y",
        "def f(price: float): ...",
        "def f() -> list[float]: ...",
        "x = map(float, rows)",
    ],
)
def test_a_float_is_seen(text):
    """The check of floats can fail: for numbers, calls, annotations, and the name alone."""
    assert list(floats("reconciler/core/x.py", text))
    assert not list(floats("reconciler/cli/x.py", text))


def test_what_is_right_passes():
    """The checks let through what the house is made of."""
    for path, text in [
        ("reconciler/core/x.py", "import msgspec\nfrom decimal import Decimal\nx = Decimal('0.5')"),
        ("reconciler/core/lifecycle.py", "from transitions import Machine"),
        ("reconciler/core/__init__.py", "from .plan import plan\nfrom ..errors import Refused"),
        ("reconciler/journal/store.py", "from sqlalchemy import select\nfrom . import tables"),
        ("reconciler/paper/server.py", "import uvicorn\nfrom . import market"),
        ("reconciler/cli/run.py", "from reconciler import __version__\nimport typer"),
        ("reconciler/bitmex/rest.py", "from reconciler import errors"),
    ]:
        for check in (wrong_arrows, wrong_places, impurities, floats):
            assert list(check(path, text)) == []


# The checks. Each takes a path from the checkout and the text there, and yields what is wrong.


def wrong_arrows(path: str, text: str) -> Iterator[str]:
    part = part_of(path)
    if part not in ARROWS:
        yield f"{path}: the house has no part {part!r}; give it a place in ARROWS"
        return
    for module, line in imports(path, text):
        names = module.split(".")
        if names[0] != "reconciler":
            continue
        to = names[1] if len(names) > 1 else "__init__"
        if to not in ARROWS:
            to = "__init__"  # a public name, such as reconciler.Client
        if to == "__init__" and names[1:] == ["__version__"]:
            continue
        if to != part and to not in ARROWS[part] and "*" not in ARROWS[part]:
            yield f"{path}:{line}: {part} may not import {module}"


def wrong_places(path: str, text: str) -> Iterator[str]:
    for module, line in imports(path, text):
        name = module.split(".")[0]
        if name in sys.stdlib_module_names or name in {"reconciler", *LIGHT}:
            continue
        doors = {**PLACES, **TOOLS}.get(name)
        if doors is None:
            yield f"{path}:{line}: {name} is no dependency of ours; give it a place in PLACES"
        elif not any(path == door or in_folder(path, door) for door in doors):
            yield f"{path}:{line}: {module} is imported in {' and '.join(doors) or 'no module'}"


def crowds(texts: list[tuple[str, str]]) -> list[str]:
    """Dependencies that more than one module of a folder imports, where one is to."""
    found = []
    for name, doors in PLACES.items():
        for door in doors:
            if not door.endswith("/"):
                continue
            modules = [
                path.removeprefix(door)
                for path, text in texts
                if path.startswith(door)
                and any(module.split(".")[0] == name for module, _ in imports(path, text))
            ]
            if len(modules) > 1:
                who = " and ".join(modules)
                found.append(f"{name}: one module of {door} may import it, not {who}")
    return found


def impurities(path: str, text: str) -> Iterator[str]:
    if part_of(path) != "core":
        return
    for module, line in imports(path, text):
        if module.split(".")[0] == "reconciler":
            continue  # an arrow
        if not any(module == pure or module.startswith(f"{pure}.") for pure in PURE):
            yield f"{path}:{line}: the core may not import {module}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in IMPURE_CALLS:
                yield f"{path}:{node.lineno}: the core may not call {node.func.id}()"


def floats(path: str, text: str) -> Iterator[str]:
    if not path.startswith(EXACT):
        return
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        for annotation in annotations_in_quotes(node):
            if any(isinstance(n, ast.Name) and n.id == "float" for n in ast.walk(annotation)):
                break
        else:
            is_number = isinstance(node, ast.Constant) and isinstance(node.value, float)
            is_name = isinstance(node, ast.Name) and node.id == "float"
            if not (is_number or is_name):
                continue
        line = getattr(node, "lineno", 1)
        if not any(path == where and part in lines[line - 1] for where, part in FLOATS):
            yield f"{path}:{line}: a float: {lines[line - 1].strip()}"


# What the checks stand on.


def annotations_in_quotes(node: ast.AST) -> Iterator[ast.AST]:
    for name in ("annotation", "returns"):
        annotation = getattr(node, name, None)
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            yield ast.parse(annotation.value, mode="eval")


def imports(path: str, text: str) -> Iterator[Import]:
    """
    Every import in *text*: at the top, late, for typing, relative, or by `import_module`.

    ``from a import b`` counts as ``a.b`` when *a* is ours, because b may be a module.
    """
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module.split(".")[0] == "reconciler":
                for alias in node.names:
                    yield Import(f"{module}.{alias.name}", node.lineno)
            else:
                yield Import(module, node.lineno)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield Import(str(node.args[0].value), node.lineno)


def part_of(path: str) -> str:
    """The part of the house: ``core`` for reconciler/core/plan.py and for reconciler/core.py."""
    names = path.removesuffix(".py").split("/")
    return names[0] if names[0] != "reconciler" else names[1]


def in_folder(path: str, door: str) -> bool:
    return door.endswith(("/", "/*")) and path.startswith(door.removesuffix("*"))


def sources() -> list[tuple[str, str]]:
    return [
        (path.relative_to(CHECKOUT).as_posix(), path.read_text(encoding="utf-8"))
        for folder in ("reconciler", "migrations")
        for path in sorted((CHECKOUT / folder).rglob("*.py"))
    ]


def problems(check) -> list[str]:
    return [problem for path, text in sources() for problem in check(path, text)]
