"""Strategies over HTTP: which there are, to start and stop them, and what others say of theirs."""

from __future__ import annotations

from typing import Literal

import msgspec

from reconciler.api.answers import Answer
from reconciler.api.reading import Handler, Request, ask, known, parsed
from reconciler.api.signals import number_of
from reconciler.service.door import Door, StrategyReport
from reconciler.service.leases import LEASE_US
from reconciler.service.strategy_door import DOES


class Do(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a start, stop or restart may say."""

    by: str = "http"
    zero: bool = False


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a strategy in another process says of itself; see `StrategyReport`."""

    state: Literal["running", "stopped", "failed"]
    detail: str = ""
    parameters: str = ""


class Hold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a process says that holds the name of its strategy."""

    run: str
    who: str = ""


class StrategyRoutes:
    """The handlers, over a door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def table(self, base: str) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of every route."""
        one = f"{base}/strategies/{{name}}"
        return [
            ("GET", f"{base}/strategies", self.all),
            ("PUT", one, self.report),
            ("POST", f"{one}/hold", self.hold),
            *(("POST", f"{one}/{what}", self._doing(what)) for what in DOES),
        ]

    def all(self, request: Request) -> Answer:
        """Every strategy: where it stands, and its signals."""
        known(request.query, ())
        return Answer(200, {"rows": ask(self._door.strategies), "next": None})

    def hold(self, request: Request) -> Answer:
        """A process runs this strategy: 409 if another one does."""
        asked = parsed(request.body, Hold)
        name = request.names["name"]
        ask(lambda: self._door.hold_strategy(name, asked.run, asked.who))
        return Answer(200, {"strategy": name, "run": asked.run, "for_s": LEASE_US // 1_000_000})

    def report(self, request: Request) -> Answer:
        """A strategy in another process runs, was stopped, or has failed."""
        said = parsed(request.body, Said)
        report = StrategyReport(
            strategy=request.names["name"],
            state=said.state,
            detail=said.detail,
            parameters=said.parameters,
            run=request.headers.get("strategy-run", ""),
            number=number_of(request),
        )
        ask(lambda: self._door.report_strategy(report))
        return Answer(200, msgspec.to_builtins(report))

    def _doing(self, what: str) -> Handler:
        def handle(request: Request) -> Answer:
            """Start, stop or restart a strategy; stopped, its signals hold, or end (zero)."""
            asked = parsed(request.body or b"{}", Do)
            name = request.names["name"]
            done = ask(lambda: self._door.strategy(name, what, by=asked.by, zero=asked.zero))
            return Answer(200, done)

        return handle
