"""
People, and hands that nobody sees: what is asked of a service by those who are in its way.

Somebody moves the position, and no execution ever tells of it. Somebody decides incidents: of any
kind, in any way, twice, and just before the process is killed. What they ask goes through the very
code of the service's door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reconciler.core.events import AnyEvent
from reconciler.errors import ReconcilerError
from reconciler.service import deciding
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.exchange import cost_of
from reconciler.simulation.process import CRASH_POINTS
from reconciler.simulation.settled import PERSON, RULES

if TYPE_CHECKING:
    from reconciler.simulation.exchange import Exchange
    from reconciler.simulation.world import World

DECISIONS = ("adopt", "adopt", "trade_back", "trade_back", "ignore")
SURE_US = 5 * SECOND  # after the first position was taken: what came before is in it


class People:
    """The people of one world."""

    def __init__(self, world: World) -> None:
        self.world, self.draws = world, world.draws
        if world.peopled and world.weather.assumptions_hold:
            one = self.draws.one
            world.settings = replace(
                world.settings,
                on_mismatch=one("on mismatch", ("halt", *RULES, *RULES)),
                mismatches_per_day=one("mismatches", (1, 1, 2, 10)),
            )

    def happenings(self) -> dict[str, Callable[[], None]]:
        """What they do, by the name that the weather has for it."""
        return {"drift_us": self._drift, "resolve_us": self._resolve}

    def heal(self) -> None:
        """In fair weather somebody looks after what waits for him."""
        if self.world.peopled and self.world.weather.assumptions_hold:
            self.world.later(20 * SECOND, self._look)

    # -- a position that nothing explains ----------------------------------------------------------

    def _drift(self) -> None:
        """The position is another from now on, and no execution tells why."""
        world = self.world
        symbol, contracts = self.draws.one("drift", world.symbols), self._contracts()
        sure_us = world.oracle.anchored_us.get(symbol)
        if sure_us is None or world.agenda.now_us < sure_us + SURE_US:
            return
        if world.exchange.rules[symbol].state != "Settled":
            world.oracle.something_changed(symbol)
            world.oracle.settled.drifted(symbol, contracts)
            drift(world.exchange, symbol, contracts, world.agenda.now_us)

    def _contracts(self) -> int:
        return self.draws.one("drift", (-2, -1, 1, 2)) * 100

    # -- a person who decides ----------------------------------------------------------------------

    def _resolve(self) -> None:
        """Any incident, in any way; at times twice, or as his last word before the process dies."""
        process = self.world.up
        if process is None:
            return
        ledger = process.engine.ledger
        known = [*ledger.incidents.values(), ledger.next_incident_id - 1]
        number, decision = self.draws.one("incident", known), self.draws.one("decision", DECISIONS)
        how = self.draws.one("how decided", ("once", "once", "twice", "killed"))
        self._decide(number, decision)
        if how == "twice":
            self._decide(number, self.draws.one("decision", (decision, *DECISIONS)))
        elif how == "killed":
            process.crash_at = self.draws.one("killed", CRASH_POINTS[:3])

    def _decide(self, number: int, decision: str) -> None:
        process = self.world.up
        assert process is not None
        now_us = process.loop.now_us

        def make(ledger: Any) -> Iterable[AnyEvent]:
            try:
                name = f"INC-{number}"
                events, _ = deciding.resolve(ledger, now_us(), name, decision, PERSON, "seen")
            except ReconcilerError:
                return ()
            return events

        process.post(make)

    def _look(self) -> None:
        """Who has a rule for it finds no difference; another decides it."""
        world = self.world
        if world.finished or world.encore.begun:
            return
        settled = world.oracle.settled
        settled.none_waits()
        for number, (kind, symbol) in tuple(settled.open.items()):
            if kind == "position_differs" and world.up is not None and settled.waits(symbol):
                self._decide(number, self.draws.one("last decision", ("adopt", "trade_back")))
        world.later(5 * SECOND, self._look)


def drift(exchange: Exchange, symbol: str, contracts: int, now_us: int) -> None:
    """The venue's position moves, at the mark; there is no execution of it, now or later."""
    exchange.position[symbol] += contracts
    exchange.positions[symbol].append((now_us, exchange.position[symbol]))
    exchange.paid[symbol] += cost_of(contracts, exchange.marks[symbol])
    exchange._show_position(symbol, exchange.position[symbol])
    for order in list(exchange.alive.values()):
        if order.symbol == symbol:
            exchange._shrink(order)
