"""
What each route does: a question in, an answer out. No socket and no framework.

A GET never changes anything. Listings are read from the journal by a connection that can only
read; what changes something goes through the door of the service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from reconciler.api.answers import Answer, Problem
from reconciler.errors import InDoubt, NotFound, ReconcilerError
from reconciler.journal import History
from reconciler.service.door import Door, TargetRequest

T = TypeVar("T")

MOST_ROWS = 1000
LISTS = ("orders", "fills", "transitions", "executions")
#: Columns that are exact prices, and travel as text.
PRICES = frozenset({"price", "entry_price", "mark_price", "arrival_price", "vwap"})


class Request(NamedTuple):
    """One question, with the body as it came."""

    names: Mapping[str, str]  # of the path
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class TargetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a PUT of a target may say; see `TargetRequest`."""

    contracts: int | None = None
    by: int | None = None
    source: str = "http"
    reason: str = ""
    policy: str = ""
    ttl_s: int | None = None
    on_expiry: str = ""


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a halt or a resume may say."""

    by: str = "http"
    reason: str = ""
    symbols: tuple[str, ...] = ()
    adopt: bool = False


class Routes:
    """The handlers, over a door and the journal behind it."""

    def __init__(self, door: Door, database: Path) -> None:
        self._door = door
        self._database = database

    def table(self) -> list[tuple[str, str, Callable[[Request], Answer]]]:
        """Method, path and handler of every route."""
        base = "/api/v1"
        return [
            ("GET", "/healthz", self.healthz),
            ("GET", "/readyz", self.readyz),
            ("GET", f"{base}/status", self.status),
            ("GET", f"{base}/symbols/{{symbol}}", self.symbol),
            ("GET", f"{base}/targets", self.targets),
            ("GET", f"{base}/targets/{{symbol}}", self.target),
            ("PUT", f"{base}/targets/{{symbol}}", self.set_target),
            ("POST", f"{base}/halt", self.halt),
            ("POST", f"{base}/resume", self.resume),
            ("POST", f"{base}/backup", self.backup),
            *((("GET", f"{base}/{kind}", self._lister(kind))) for kind in LISTS),
        ]

    def healthz(self, request: Request) -> Answer:
        """The process is alive."""
        return Answer(200, {"ok": True})

    def readyz(self, request: Request) -> Answer:
        """Recovered and in sync with the venue, or 503 with what is missing."""
        try:
            service = self._ask(self._door.status)["service"]
        except ReconcilerError as error:
            return Answer(503, {"ready": False, "reasons": [error.message]})
        reasons = [] if service.get("in_sync") else ["not in sync with the exchange"]
        reasons += [
            f"{name}: {service[name]}"
            for name in ("halted", "frozen", "stopping")
            if service.get(name)
        ]
        return Answer(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})

    def status(self, request: Request) -> Answer:
        """Everything that is so now."""
        return Answer(200, self._ask(self._door.status))

    def symbol(self, request: Request) -> Answer:
        """One symbol: its state, its orders that are alive, its last transitions."""
        name = request.names["symbol"]
        rows = self._ask(self._door.status)["symbols"]
        found = next((row for row in rows if row["symbol"] == name), None)
        if found is None:
            raise _no_symbol(name)
        with History.open(self._database) as history:
            orders = history.rows("v_orders", symbol=[name], limit=20).dicts()
            transitions = history.rows("v_transitions", symbol=[name], limit=20).dicts()
        alive = [row for row in orders if row["leaves_contracts"]]
        return Answer(200, {**found, "orders": exact(alive), "transitions": exact(transitions)})

    def targets(self, request: Request) -> Answer:
        """The targets in force, or with ``history=1`` every one that there was."""
        if request.query.get("history") == "1":
            return self._list("targets", request, leave=("history",))
        _known(request.query, ("history",))
        with History.open(self._database) as history:
            rows = in_force(history)
        return Answer(200, {"rows": rows, "next": None})

    def target(self, request: Request) -> Answer:
        """The target of one symbol, with its version as the entity tag."""
        name = request.names["symbol"]
        with History.open(self._database) as history:
            row = next((row for row in in_force(history) if row["symbol"] == name), None)
        if row is None:
            raise NotFound(f"{name[:40]!r} has no target", symbol=name[:40])
        return Answer(200, row, {"etag": f'"{row["version"]}"'})

    def set_target(self, request: Request) -> Answer:
        """Record a target: 201 if it is new, 200 if it is the one in force."""
        body = parsed(request.body, TargetBody)
        asked = TargetRequest(
            symbol=request.names["symbol"],
            if_version=_version(request.headers.get("if-match")),
            key=request.headers.get("idempotency-key", ""),
            **{name: getattr(body, name) for name in body.__struct_fields__},
        )
        done = self._ask(lambda: self._door.set_target(asked))
        status = 201 if done.changed else 200
        return Answer(status, msgspec.to_builtins(done), {"etag": f'"{done.version}"'})

    def halt(self, request: Request) -> Answer:
        """Cancel own orders and send nothing more."""
        asked = parsed(request.body, Command)
        if asked.adopt:
            raise Problem(400, "bad_request", "A halt adopts nothing.")
        done = self._ask(
            lambda: self._door.halt(by=asked.by, reason=asked.reason, symbols=asked.symbols)
        )
        return Answer(200, msgspec.to_builtins(done))

    def resume(self, request: Request) -> Answer:
        """End a halt or a freeze."""
        asked = parsed(request.body, Command)
        done = self._ask(
            lambda: self._door.resume(
                by=asked.by, reason=asked.reason, symbols=asked.symbols, adopt=asked.adopt
            )
        )
        return Answer(200, msgspec.to_builtins(done))

    def backup(self, request: Request) -> Answer:
        """Write a verified copy of the journal."""
        parsed(request.body or b"{}", Nothing)
        return Answer(200, {"path": self._ask(self._door.backup)})

    def _lister(self, kind: str) -> Callable[[Request], Answer]:
        return lambda request: self._list(kind, request)

    def _list(self, kind: str, request: Request, leave: tuple[str, ...] = ()) -> Answer:
        """Rows of a view, the newest first."""
        _known(request.query, ("symbol", "since", "until", "limit", *leave))
        limit = request.query.get("limit", "50")
        if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= MOST_ROWS:
            raise Problem(400, "bad_request", f"limit is a number from 1 to {MOST_ROWS}.")
        symbol = request.query.get("symbol")
        with History.open(self._database) as history:
            if symbol is not None and symbol not in history.symbols():
                self._require_symbol(symbol)
            found = history.rows(
                f"v_{kind}",
                symbol=[symbol] if symbol else (),
                since_us=_moment(request.query.get("since"), "since"),
                until_us=_moment(request.query.get("until"), "until"),
                limit=int(limit),
            )
        return Answer(200, {"rows": exact(found.dicts()), "next": None})

    def _require_symbol(self, name: str) -> None:
        """One of which nothing is stored yet is known to the service, or to nobody."""
        if name not in [row["symbol"] for row in self._ask(self._door.status)["symbols"]]:
            raise _no_symbol(name)

    @staticmethod
    def _ask(question: Callable[[], T]) -> T:
        try:
            return question()
        except TimeoutError:
            raise InDoubt("the service gave no answer in time") from None


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body without anything to say."""


def _no_symbol(name: str) -> NotFound:
    return NotFound(f"there is no symbol {name[:40]!r}", symbol=name[:40])


def in_force(history: History) -> list[dict[str, Any]]:
    """The targets that are held now, one row of v_targets a symbol."""
    now = {row["symbol"]: row["version"] for row in history.status().dicts() if row["version"]}
    found = []
    for symbol, version in now.items():
        newest = history.rows("v_targets", symbol=[symbol], limit=1).dicts()
        found += [r for r in newest if r["version"] == version and r["closed_at"] is None]
    return found


def exact(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their prices as text: a reader's float loses nothing on the way."""
    for row in rows:
        for name in PRICES & row.keys():
            if row[name] is not None:
                row[name] = f"{row[name]}"
    return rows


def parsed(body: bytes, shape: type[T]) -> T:
    """
    JSON, strictly: no fraction where a whole number is meant, no name twice, none unknown.

    Raises:
        Problem: 400, with what is wrong.
    """
    try:
        value = json.loads(
            body,
            object_pairs_hook=_no_name_twice,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        return msgspec.convert(value, shape)
    except (ValueError, RecursionError) as error:
        said = str(error) if not isinstance(error, json.JSONDecodeError) else error.msg
        raise Problem(400, "bad_request", f"The body is not understood: {said[:200]}.") from None


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _refuse_number(text: str) -> None:
    raise ValueError(f"{text[:40]} is not a whole number")


def _version(header: str | None) -> int | None:
    """The version in ``If-Match: "41"``."""
    if header is None:
        return None
    match = re.fullmatch(r'"([0-9]{1,18})"', header.strip())
    if match is None:
        raise Problem(400, "bad_request", 'If-Match is a version in quotes, such as "41".')
    return int(match[1])


def _known(query: Mapping[str, str], names: tuple[str, ...]) -> None:
    for name in query:
        if name not in names:
            known = ", ".join(names)
            raise Problem(400, "bad_request", f"{name[:40]!r} is no parameter here; {known} are.")


def _moment(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Problem(
            400, "bad_request", f"{name} is a time such as 2026-11-01T12:00:00Z."
        ) from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return int(found.timestamp() * 1_000) * 1_000
