"""
People, and hands that nobody sees: what is asked of a service by those who are in its way.

Somebody moves the position, and no execution ever tells of it. Somebody decides incidents: of any
kind, in any way, twice, and just before the process is killed. What they ask goes through the very
code of the service's door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reconciler.core.events import AnyEvent
from reconciler.errors import ReconcilerError
from reconciler.service import commands, deciding, targeting
from reconciler.service.door import TargetRequest, TargetsRequest
from reconciler.service.planning import Plans
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.asked import FILE
from reconciler.simulation.exchange import cost_of
from reconciler.simulation.process import CRASH_POINTS, Process
from reconciler.simulation.settled import PERSON, RESUMES, RULES

if TYPE_CHECKING:
    from reconciler.simulation.exchange import Exchange
    from reconciler.simulation.world import World

DECISIONS = ("adopt", "adopt", "trade_back", "trade_back", "ignore")
SURE_US = 5 * SECOND  # after the first position was taken: what came before is in it


class People:
    """The people of one world."""

    def __init__(self, world: World) -> None:
        self.world, self.draws = world, world.draws
        self._files = 0
        self._plans: tuple[Process, Plans] | None = None  # of a process
        one = self.draws.one
        if world.peopled and world.weather.assumptions_hold:
            world.settings = replace(
                world.settings,
                on_mismatch=one("on mismatch", ("halt", *RULES, *RULES)),
                mismatches_per_day=one("mismatches", (1, 1, 2, 10)),
            )
        if world.peopled and not world.weather.signal_us:  # strategies have nobody to confirm
            own = replace(
                world.settings.limits,
                usual_times=one("usual times", (0, 1, 2)),
                usual_last=one("usual of", (1, 4, 20)),
                usual_above_contracts=one("usual above", (0, 100)),
            )
            world.settings = replace(world.settings, limits=own)

    def happenings(self) -> dict[str, Callable[[], None]]:
        """What they do, by the name that the weather has for it."""
        return {
            "drift_us": self._drift,
            "resolve_us": self._resolve,
            "ask_us": self._ask,
            "file_us": self._file,
        }

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

        _post(process, make)

    def _resume(self, symbol: str) -> None:
        """The other way: `resume --adopt`, and the target stays."""
        process = self.world.up
        assert process is not None
        now_us = process.loop.now_us

        def make(ledger: Any) -> Iterable[AnyEvent]:
            try:
                return commands.resume(ledger, now_us(), RESUMES, "seen", (symbol,), True)[0]
            except ReconcilerError:
                return ()

        _post(process, make)

    def _look(self) -> None:
        """Who has a rule for it finds no difference; another decides it."""
        world = self.world
        if world.finished or world.encore.begun:
            return
        settled = world.oracle.settled
        settled.none_waits()
        for number, (kind, symbol) in tuple(settled.open.items()):
            if kind == "position_differs" and world.up is not None and settled.waits(symbol):
                decision = self.draws.one("last decision", ("adopt", "trade_back", "resume"))
                if decision == "resume":
                    self._resume(symbol)
                else:
                    self._decide(number, decision)
        world.later(5 * SECOND, self._look)

    # -- people who ask ----------------------------------------------------------------------------

    def _ask(self) -> None:
        """For money, or for a number with a zero too many; at times said twice, or half so."""
        one, symbol = self.draws.one, self.draws.one("ask", self.world.symbols)
        how, rng = one("ask", ("notional", "percent", "slip", "slip")), self.draws.of("ask")
        request = TargetRequest(symbol=symbol, source="person")
        if how == "notional":
            request = replace(request, notional=str(rng.randint(-400, 400)))
        elif how == "percent":
            request = replace(request, percent=f"{rng.randint(-35, 35)}.{rng.randint(1, 9)}")
        else:
            contracts = rng.randint(-3, 3) * one("a zero", (100, 100, 1_000))
            confirm = one("confirm", (None, contracts, contracts, 100))
            request = replace(request, contracts=contracts, confirm=confirm)
        self._request(request)

    def _request(self, request: TargetRequest) -> None:
        process, judge = self.world.up, self.world.oracle.asked
        if process is None:
            return
        quote_of = process.gateway.quote

        def make(ledger: Any) -> Iterable[AnyEvent]:
            due = judge.due(request, quote_of(request.symbol))
            events = self._made(
                process,
                request,
                lambda now_us: targeting.set_target(request, "hold", now_us, ledger, quote_of),
            )
            judge.answered(request, due, events)
            return events

        _post(process, make)

    @staticmethod
    def _made(process: Process, request: Any, make: Any) -> Sequence[AnyEvent]:
        """As the door has it: a refusal is recorded."""
        now_us = process.loop.now_us()
        events, _ = process._refusals.recorded(request, lambda: make(now_us), now_us)
        return events

    def _file(self) -> None:
        """Some symbols or all, at times with *prune*, or with one that is refused; or by a plan."""
        one, rng, process = self.draws.one, self.draws.of("file"), self.world.up
        if process is None:
            return
        self._files += 1
        why = f"{FILE}{self._files}"
        named = [symbol for symbol in self.world.symbols if rng.random() < 0.5]
        request = TargetsRequest(
            targets=tuple(
                TargetRequest(
                    symbol=symbol,
                    contracts=(
                        size := rng.randint(-3, 3) * one("in a file", (100,) * 9 + (5_000,))
                    ),
                    confirm=one("sure", (size, size, None)),
                    source=why,
                    reason=why,
                )
                for symbol in named
            ),
            prune=not named or one("prune", (True, True, False)),
            source=why,
            reason=why,
        )
        if one("by a plan", (False, True)):
            self._plan(process, request, why)
        else:
            _post(process, partial(self._whole, process, request, why))

    def _whole(
        self, process: Process, request: TargetsRequest, why: str, ledger: Any
    ) -> Sequence[AnyEvent]:
        """All of it, or a refusal of the first that a rule refuses."""
        judge, quote_of = self.world.oracle.asked, process.gateway.quote
        wanted = judge.whole(request)
        events = self._made(
            process,
            None,
            lambda now_us: targeting.set_targets(request, "hold", now_us, ledger, quote_of),
        )
        judge.file_comes(why, wanted, events)
        return events

    def _plan(self, process: Process, request: TargetsRequest, why: str) -> None:
        """Have a look, and set it in a while: as it was shown, if nothing has moved."""
        if self._plans is None or self._plans[0] is not process:
            self._plans = process, Plans()
        plans, judge = self._plans[1], self.world.oracle.asked

        def look(ledger: Any) -> Iterable[AnyEvent]:
            wanted, stands_on = judge.whole(request), judge.stands_on()
            now_us, quote_of = process.loop.now_us(), process.gateway.quote
            shown = plans.make(request, "hold", now_us, ledger, quote_of)
            judge.plan_shows(wanted, shown["rows"])
            if shown["plan_id"]:
                take = partial(self._take, process, plans, shown["plan_id"], wanted, stands_on, why)
                self.world.later(self.draws.ms("plan", 1, 6_000), partial(_post, process, take))
            return ()

        _post(process, look)

    def _take(
        self,
        process: Process,
        plans: Plans,
        name: str,
        wanted: dict[str, int],
        stands_on: Any,
        why: str,
        ledger: Any,
    ) -> Sequence[AnyEvent]:
        plan = plans.take(name, process.loop.now_us(), ledger)  # or it has moved
        judge = self.world.oracle.asked
        judge.plan_stands(wanted, stands_on)
        judge.whole(plan.request)  # what is unusual of it, another may have been looked at since
        events = self._made(
            process,
            None,
            lambda now_us: targeting.set_targets(plan.request, "hold", now_us, ledger),
        )
        judge.file_comes(why, wanted, events)
        return events


def _post(process: Process, make: Callable[[Any], Iterable[AnyEvent]]) -> None:
    """Have a door asked, unless its process was suspended and wakes in another's world."""
    process.post(lambda led: () if process.deposed or process.engine.failed else make(led))


def drift(exchange: Exchange, symbol: str, contracts: int, now_us: int) -> None:
    """The venue's position moves, at the mark; there is no execution of it, now or later."""
    exchange.position[symbol] += contracts
    exchange.positions[symbol].append((now_us, exchange.position[symbol]))
    exchange.paid[symbol] += cost_of(contracts, exchange.marks[symbol])
    exchange._show_position(symbol, exchange.position[symbol])
    for order in list(exchange.alive.values()):
        if order.symbol == symbol:
            exchange._shrink(order)
