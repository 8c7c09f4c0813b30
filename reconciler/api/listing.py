"""
The past by HTTP: listings page by page, one thing with its causes, the diagram with what happened.

Read from the journal by a connection that can only read.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from reconciler import diagram
from reconciler.api.answers import Answer, Problem, Text
from reconciler.api.reading import Handler, Request, ask, known
from reconciler.core.lifecycle import State
from reconciler.errors import NotFound
from reconciler.journal import History, tracing
from reconciler.journal.history import Rows
from reconciler.service.door import Door
from reconciler.shown import csv_of, exact

MOST_ROWS = 1000
#: Listing -> its view, where that has another name.
LISTS = {
    kind: f"v_{kind}"
    for kind in (
        *("orders", "fills", "transitions", "executions", "runs", "daily", "equity"),
        *("signals", "shares", "fill_shares", "refusals", "modes", "incidents"),
    )
} | {"holdings": "v_strategies"}
JSON, CSV, LINES = FORMS = "application/json", "text/csv", "application/x-ndjson"
WEIGHT = re.compile(r"q\s*=\s*([01](?:\.[0-9]{0,3})?)")


class Listings:
    """The handlers, over a journal; the door knows the symbols that are not in it yet."""

    def __init__(self, door: Door, database: Path) -> None:
        self._door = door
        self._database = database

    def table(self, base: str) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of every route."""
        return [
            *((("GET", f"{base}/{kind}", self._lister(kind))) for kind in LISTS),
            ("GET", f"{base}/orders/{{name}}", self.order),
            ("GET", f"{base}/why/{{name}}", self.why),
            ("GET", f"{base}/diagram", self.diagram),
        ]

    def _lister(self, kind: str) -> Handler:
        def listing(request: Request) -> Answer:
            """Rows, the newest first, page by page; as CSV or lines of JSON, too."""
            return self.rows(kind, request)

        return listing

    def rows(self, kind: str, request: Request, leave: tuple[str, ...] = ()) -> Answer:
        """Rows of a view, the newest first, in the form that Accept names."""
        known(request.query, ("symbol", "since", "until", "limit", "cursor", *leave))
        limit = request.query.get("limit", "50")
        if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= MOST_ROWS:
            raise Problem(400, "bad_request", f"limit is a number from 1 to {MOST_ROWS}.")
        symbol = request.query.get("symbol")
        with History.open(self._database) as history:
            if symbol is not None:
                require_symbol(self._door, history, symbol)
            found, following = history.page(
                LISTS.get(kind, f"v_{kind}"),
                symbol=[symbol] if symbol else (),
                since_us=_moment(request.query.get("since"), "since"),
                until_us=_moment(request.query.get("until"), "until"),
                limit=int(limit),
                cursor=request.query.get("cursor", ""),
            )
        return _in_form(found, following, request.headers.get("accept", ""))

    def order(self, request: Request) -> Answer:
        """One order with its events, and the target that it was for."""
        known(request.query, ())
        with History.open(self._database) as history:
            return Answer(200, tracing.of_order(history, request.names["name"]))

    def why(self, request: Request) -> Answer:
        """The causes of an order, a fill or a symbol; of a symbol also as it was at a moment."""
        known(request.query, ("at",))
        at_us = _moment(request.query.get("at"), "at")
        with History.open(self._database) as history:
            if at_us is not None:
                return Answer(200, tracing.of_symbol_at(history, request.names["name"], at_us))
            return Answer(200, tracing.traced(history, request.names["name"]))

    def diagram(self, request: Request) -> Answer:
        """States and edges, with how often each was taken; of a symbol, also where it is now."""
        known(request.query, ("symbol",))
        symbol = request.query.get("symbol")
        with History.open(self._database) as history:
            now = {row["symbol"]: row["state"] for row in history.status().dicts()}
            if symbol is not None:
                require_symbol(self._door, history, symbol)
            counts = tracing.counted(history, symbol)
        return Answer(
            200,
            {
                "states": [str(state) for state in State],
                "edges": [
                    {
                        "from": edge.start,
                        "to": edge.end,
                        "triggers": list(edge.triggers),
                        "count": sum(
                            counts.get((edge.start, word, edge.end), 0) for word in edge.triggers
                        ),
                    }
                    for edge in diagram.edges()
                ],
                "current": now.get(symbol, str(State.IDLE)) if symbol is not None else None,
            },
        )


def require_symbol(door: Door, history: History, name: str) -> None:
    """One of which nothing is stored yet is known to the service, or to nobody."""
    if name in history.symbols():
        return
    if name not in [row["symbol"] for row in ask(door.status)["symbols"]]:
        raise no_symbol(name)


def no_symbol(name: str) -> NotFound:
    """The error of a symbol that nobody knows."""
    return NotFound(f"there is no symbol {name[:40]!r}", symbol=name[:40])


def _in_form(found: Rows, following: str, accept: str) -> Answer:
    """Rows as JSON, as CSV or as lines of JSON."""
    rows = [exact(row) for row in found.dicts()]
    headers = {"x-next-cursor": following} if following else {}
    form = _wanted(accept)
    if form == CSV:
        return Answer(200, Text(CSV, csv_of(found.columns, rows)), headers)
    if form == LINES:
        lines = "".join(json.dumps(row, default=str) + "\n" for row in rows)
        return Answer(200, Text(LINES, lines), headers)
    return Answer(200, {"rows": rows, "next": following or None})


def _wanted(accept: str) -> str:
    """The form that is wanted most. Who wants none of ours is given JSON: better than nothing."""
    kinds: dict[str, Decimal] = {}
    for one in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        weights = [found[1] for found in map(WEIGHT.fullmatch, parameters) if found]
        kinds[kind] = Decimal(weights[0]) if weights else Decimal(1)

    def rank(form: str) -> tuple[Decimal, int]:
        """That of the nearest name that includes it; of two alike, the nearer one counts."""
        names = ("*/*", f"{form.partition('/')[0]}/*", form)
        near = max((place for place, name in enumerate(names) if name in kinds), default=0)
        weight = kinds.get(names[near], Decimal(0))
        return weight, near if weight else 0

    return max(FORMS, key=rank)


def _moment(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return int(found.timestamp() * 1_000) * 1_000
    except (ValueError, OverflowError):
        raise Problem(
            400, "bad_request", f"{name} is a time such as 2026-11-01T12:00:00Z."
        ) from None


def in_force(history: History) -> list[dict[str, Any]]:
    """The targets that are held now, one row of v_targets a symbol."""
    now = {row["symbol"]: row["version"] for row in history.status().dicts() if row["version"]}
    found = []
    for symbol, version in now.items():
        newest = history.rows("v_targets", symbol=[symbol], limit=1).dicts()
        found += [r for r in newest if r["version"] == version and r["closed_at"] is None]
    return [exact(row) for row in found]
