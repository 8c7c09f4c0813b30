"""The part of the service's door that is about strategies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from reconciler.core.events import StrategyChanged
from reconciler.core.ledger import Ledger
from reconciler.core.portfolio import shares
from reconciler.errors import AlreadyRuns, NotFound, Refused, UnknownStrategy, UsageError
from reconciler.service.door import StrategyReport
from reconciler.service.leases import Leases
from reconciler.service.netting import IDENTIFIER
from reconciler.service.signalling import Desk
from reconciler.service.standing import GONE, OFF
from reconciler.service.strategies import LEVEL, NAME, Strategies
from reconciler.service.telling import Say
from reconciler.service.words import legible
from reconciler.strategy.instance import BLANK, row_of
from reconciler.strategy.registry import Spec

if TYPE_CHECKING:
    from reconciler.service.loop import Loop

DOES = ("start", "stop", "restart")
RUN = re.compile(r"[A-Za-z0-9_.-]{1,80}")
LONGEST_WHO = 120


class StrategyDoor:
    """The part of the service's door that is about strategies."""

    _loop: Loop
    _strategies: Strategies | None
    _say: Say
    desk: Desk
    leases: Leases

    def strategies(self) -> list[dict[str, Any]]:
        """See `Door.strategies`: those of the service, and those that report from elsewhere."""
        own = self._strategies.table() if self._strategies is not None else []
        elsewhere = [spec for spec in self._specs() if spec.runs != "service"]
        return self._loop.ask(lambda ledger: ((), lambda _: _rows(ledger, own, elsewhere)))

    def strategy(self, name: str, do: str, *, by: str, zero: bool = False) -> dict[str, Any]:
        """See `Door.strategy`."""
        if do not in DOES:
            raise UsageError(f"{do[:20]!r} cannot be done", next_step=f"One of {', '.join(DOES)}.")
        if self._strategies is None:
            raise NotFound("no strategy is configured", next_step="Write [strategy.NAME] tables.")
        row = self._strategies.do(name, do, by=legible(by), zero=zero)
        self._loop.ask(lambda _: ((), lambda _: None))  # its commit is before this answer
        return row

    def hold_strategy(self, strategy: str, run: str, who: str = "", number: int = 0) -> None:
        """See `Door.hold_strategy`."""
        self._refuse_own(strategy)
        self._refuse_unwanted(strategy)
        if not RUN.fullmatch(run):
            raise UsageError(f"{run[:40]!r} names no run: 1 to 80 of A-Z a-z 0-9 _ . -")
        self.leases.hold(strategy, run, legible(who)[:LONGEST_WHO], number)

    def lost_strategies(self, ledger: Ledger) -> list[StrategyChanged]:
        """In the loop, once a second: those whose process is lost, or back, or switched off."""
        far = [spec for spec in self._specs() if spec.runs != "service"]
        on = [spec.identifier for spec in far if spec.enabled]
        others = [spec.identifier for spec in self._specs() if spec.identifier not in on]
        changes = self.leases.changes(ledger, on, others)
        changes += self._switched_off(ledger, [spec for spec in far if not spec.enabled])
        for one in changes:
            self._say(LEVEL[one.state], NAME[one.state], strategy=one.strategy, detail=one.detail)
        return changes

    def _switched_off(self, ledger: Ledger, off: Sequence[Spec]) -> list[StrategyChanged]:
        """Those that run as far as is known, and may not any more: their last signals hold."""
        known = [ledger.strategies.get(spec.identifier) for spec in off]
        return [
            msgspec.structs.replace(one, at_us=self._loop.now_us(), state="stopped", detail=OFF)
            for one in known
            if one is not None and one.state == "running"
        ]

    def _refuse_unwanted(self, identifier: str) -> None:
        """A process that nobody wants (any more) is told so once a second, and ends."""
        if any(s.identifier == identifier and not s.enabled for s in self._specs()):
            raise Refused(
                f"{identifier} has enabled = false in its table",
                next_step="Write enabled = true there, then: reconciler config reload",
                strategy=identifier,
            )
        if not self.desk.weights.has_say(identifier):
            raise UnknownStrategy(
                f"{identifier} is in no table and no portfolio's source", strategy=identifier
            )

    def _refuse_own(self, identifier: str) -> None:
        if not IDENTIFIER.fullmatch(identifier):
            raise UsageError(f"{identifier[:40]!r} is the identifier of no strategy")
        if any(s.identifier == identifier and s.runs == "service" for s in self._specs()):
            raise AlreadyRuns(
                f"{identifier} runs inside the service",
                next_step='Write runs = "process" in its table, then `reconciler config reload`.',
                strategy=identifier,
            )

    def report_strategy(self, report: StrategyReport) -> None:
        """See `Door.report_strategy`."""
        self._refuse_own(report.strategy)
        if report.run:
            self.hold_strategy(report.strategy, report.run, number=report.number)
        self._say(
            LEVEL[report.state], NAME[report.state], strategy=report.strategy, detail=report.detail
        )
        event = StrategyChanged(
            at_us=self._loop.now_us(),
            strategy=report.strategy,
            state=report.state,
            detail=legible(report.detail),
            parameters=legible(report.parameters),
        )
        self._loop.ask(lambda _: ([event], lambda _: None))
        if report.run and report.state != "running":
            self.leases.free(report.strategy, report.run)

    def _specs(self) -> tuple[Spec, ...]:
        return self._strategies.specs if self._strategies is not None else ()


def _rows(
    ledger: Ledger, own: list[dict[str, Any]], elsewhere: Sequence[Spec]
) -> list[dict[str, Any]]:
    """Rows of all strategies, with what the ledger knows of each."""
    rows = {row["strategy"]: row for row in own}
    rows |= {spec.identifier: row_of(spec) for spec in elsewhere}
    for identifier in ledger.strategies:
        rows.setdefault(identifier, {**BLANK, "strategy": identifier})
    for identifier, row in rows.items():
        said = ledger.strategies.get(identifier)
        if said is not None and row["runs"] != "service":
            row |= {"state": said.state, "detail": said.detail, "parameters": said.parameters}
        has_say = said is None or said.detail != GONE
        in_force = [
            said[identifier] for said in ledger.signals.values() if has_say and identifier in said
        ]
        row["strengths"] = {one.symbol: f"{one.strength:f}" for one in in_force}
        row["signals"] = ", ".join(f"{one.symbol} {one.strength:+f}" for one in in_force)
        held = {s: shares.held(book, identifier) for s, book in ledger.books.items()}
        row["holds"] = ", ".join(
            f"{s} {contracts:+d}" for s, contracts in held.items() if contracts
        )
    return list(rows.values())
