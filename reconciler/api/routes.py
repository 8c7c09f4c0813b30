"""
What each route does: a question in, an answer out. No socket and no framework.

A GET never changes anything. Listings are read from the journal by a connection that can only
read; what changes something goes through the door of the service.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from reconciler.api.answers import Answer, Problem
from reconciler.api.reading import Handler, Nothing, Request, ask, known, parsed
from reconciler.api.signals import Signals
from reconciler.api.strategies import StrategyRoutes
from reconciler.api.wishes import Wishes
from reconciler.errors import NotFound, ReconcilerError
from reconciler.journal import History
from reconciler.service.door import Door

MOST_ROWS = 1000
#: Listing -> its view, where that has another name.
LISTS = {
    kind: f"v_{kind}"
    for kind in (
        *("orders", "fills", "transitions", "executions"),
        *("signals", "shares", "fill_shares", "refusals", "modes", "incidents"),
    )
} | {"holdings": "v_strategies"}
#: Columns that are exact prices, and travel as text.
PRICES = frozenset({"price", "entry_price", "mark_price", "arrival_price", "vwap"})


class Routes:
    """The handlers, over a door and the journal behind it."""

    def __init__(self, door: Door, database: Path) -> None:
        self._door = door
        self._database = database

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of every route."""
        base = "/api/v1"
        return [
            ("GET", "/healthz", self.healthz),
            ("GET", "/readyz", self.readyz),
            ("GET", f"{base}/status", self.status),
            ("GET", f"{base}/symbols/{{symbol}}", self.symbol),
            ("GET", f"{base}/targets", self.targets),
            ("GET", f"{base}/targets/{{symbol}}", self.target),
            *Wishes(self._door).table(base),
            *Signals(self._door).table(base),
            ("POST", f"{base}/backup", self.backup),
            ("POST", f"{base}/reload", self.reload),
            *((("GET", f"{base}/{kind}", self._lister(kind))) for kind in LISTS),
            *StrategyRoutes(self._door).table(base),
        ]

    def healthz(self, request: Request) -> Answer:
        """The process is alive."""
        return Answer(200, {"ok": True})

    def readyz(self, request: Request) -> Answer:
        """Recovered and in sync with the venue, or 503 with what is missing."""
        try:
            service = ask(self._door.status)["service"]
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
        return Answer(200, ask(self._door.status))

    def symbol(self, request: Request) -> Answer:
        """One symbol: its state, its orders that are alive, its last transitions."""
        name = request.names["symbol"]
        rows = ask(self._door.status)["symbols"]
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
        known(request.query, ("history",))
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

    def backup(self, request: Request) -> Answer:
        """Write a verified copy of the journal."""
        parsed(request.body or b"{}", Nothing)
        return Answer(200, {"path": ask(self._door.backup)})

    def reload(self, request: Request) -> Answer:
        """Read the configuration again: 200 with what changed, or 422, and nothing did."""
        parsed(request.body or b"{}", Nothing)
        return Answer(200, msgspec.to_builtins(ask(self._door.reload)))

    def _lister(self, kind: str) -> Handler:
        return lambda request: self._list(kind, request)

    def _list(self, kind: str, request: Request, leave: tuple[str, ...] = ()) -> Answer:
        """Rows of a view, the newest first."""
        known(request.query, ("symbol", "since", "until", "limit", *leave))
        limit = request.query.get("limit", "50")
        if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= MOST_ROWS:
            raise Problem(400, "bad_request", f"limit is a number from 1 to {MOST_ROWS}.")
        symbol = request.query.get("symbol")
        with History.open(self._database) as history:
            if symbol is not None and symbol not in history.symbols():
                self._require_symbol(symbol)
            found = history.rows(
                LISTS.get(kind, f"v_{kind}"),
                symbol=[symbol] if symbol else (),
                since_us=_moment(request.query.get("since"), "since"),
                until_us=_moment(request.query.get("until"), "until"),
                limit=int(limit),
            )
        return Answer(200, {"rows": exact(found.dicts()), "next": None})

    def _require_symbol(self, name: str) -> None:
        """One of which nothing is stored yet is known to the service, or to nobody."""
        if name not in [row["symbol"] for row in ask(self._door.status)["symbols"]]:
            raise _no_symbol(name)


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
