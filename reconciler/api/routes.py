"""
What each route does: a question in, an answer out. No socket and no framework.

A GET never changes anything. Listings are read from the journal by a connection that can only
read; what changes something goes through the door of the service.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from reconciler.api import description
from reconciler.api.answers import Answer
from reconciler.api.listing import LISTS, Listings, in_force, no_symbol
from reconciler.api.live import Stream
from reconciler.api.reading import Handler, Nothing, Request, ask, known, parsed
from reconciler.api.signals import Signals
from reconciler.api.strategies import StrategyRoutes
from reconciler.api.wishes import Wishes
from reconciler.errors import NotFound, ReconcilerError
from reconciler.journal import History
from reconciler.service.door import Door
from reconciler.shown import exact


class Routes:
    """The handlers, over a door and the journal behind it."""

    def __init__(self, door: Door, database: Path) -> None:
        self._door = door
        self._database = database
        self._listings = Listings(door, database)

    def table(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of every route."""
        base = description.BASE
        return [
            ("GET", "/healthz", self.healthz),
            ("GET", "/readyz", self.readyz),
            ("GET", description.PATH, self.description),
            ("GET", f"{base}/status", self.status),
            ("GET", f"{base}/symbols/{{symbol}}", self.symbol),
            ("GET", f"{base}/targets", self.targets),
            ("GET", f"{base}/targets/{{symbol}}", self.target),
            *Wishes(self._door).table(base),
            *Signals(self._door).table(base),
            ("POST", f"{base}/backup", self.backup),
            ("POST", f"{base}/reload", self.reload),
            *self._listings.table(base),
            *Stream(self._door, self._database).table(base),
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

    def description(self, request: Request) -> Answer:
        """What may be asked here, for programs: OpenAPI 3.1."""
        known(request.query, ())
        listings = [f"{description.BASE}/{kind}" for kind in LISTS]
        return Answer(200, description.described(self.table(), listings))

    def status(self, request: Request) -> Answer:
        """Everything that is so now."""
        known(request.query, ())
        return Answer(200, ask(self._door.status))

    def symbol(self, request: Request) -> Answer:
        """One symbol: its state, its orders that are alive, its last transitions."""
        known(request.query, ())
        name = request.names["symbol"]
        rows = ask(self._door.status)["symbols"]
        found = next((row for row in rows if row["symbol"] == name), None)
        if found is None:
            raise no_symbol(name)
        with History.open(self._database) as history:
            orders = history.rows("v_orders", symbol=[name], limit=20).dicts()
            transitions = history.rows("v_transitions", symbol=[name], limit=20).dicts()
        alive = [exact(row) for row in orders if row["leaves_contracts"]]
        return Answer(200, {**found, "orders": alive, "transitions": transitions})

    def targets(self, request: Request) -> Answer:
        """The targets in force, or with ``history=1`` every one that there was."""
        if request.query.get("history") == "1":
            return self._listings.rows("targets", request, leave=("history",))
        known(request.query, ("history",))
        with History.open(self._database) as history:
            rows = in_force(history)
        return Answer(200, {"rows": rows, "next": None})

    def target(self, request: Request) -> Answer:
        """The target of one symbol, with its version as the entity tag."""
        known(request.query, ())
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
