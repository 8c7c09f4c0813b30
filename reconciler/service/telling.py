"""What the log says of each step: the facts a user would tell a colleague, one line each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.decisions import AnyDecision, AnyFact
from reconciler.core.events import AnyEvent

AGAIN_US = 600_000_000  # a limit that is met again and again is said once in so long
LIMIT = re.compile(r"limits(\.[a-z_]+)+")

#: Says one thing: level, name of the event (noun.verb), and its values.
Say = Callable[..., None]


class Teller:
    """A watcher of the engine that turns steps into log lines."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._limits: dict[str, str] = {}  # symbol: the limit that it waits for
        #: Symbol and limit: when it was said last, and how often it was met since.
        self._hits: dict[tuple[str, str], tuple[int, int]] = {}
        self._at_us = 0

    def __call__(
        self, steps: Sequence[tuple[AnyEvent, Sequence[AnyDecision], Sequence[AnyFact]]]
    ) -> None:
        for event, decisions, facts in steps:
            self._at_us = event.at_us
            self._event(event)
            for fact in facts:
                self._fact(fact)
            for decision in decisions:
                self._decision(decision)

    def _event(self, event: AnyEvent) -> None:
        match event:
            case e.TargetSet():
                self._say(
                    "info",
                    "target.accepted",
                    symbol=event.symbol,
                    contracts=event.contracts,
                    version=event.version,
                    source=event.source,
                    reason=event.reason,
                )
            case e.StreamLost():
                self._say("warning", "stream.close", reason=event.reason)
            case e.Synced():
                self._say("debug", "stream.resync", open_orders=len(event.open_order_ids))
            case e.Throttled():
                self._say("warning", "rate.wait", reason=event.reason, until_us=event.until_us)
            case e.Halted():
                self._say(
                    "critical", "service.halt", by=event.by, reason=event.reason, **_of(event)
                )
            case e.ModeSet():
                self._say(
                    "warning",
                    "mode.set",
                    mode=event.mode,
                    by=event.by,
                    reason=event.reason,
                    **_of(event),
                )
            case e.TargetRefused():
                self._say(
                    "warning",
                    "target.refused",
                    symbol=event.symbol,
                    contracts=event.contracts,
                    source=event.source,
                    code=event.code,
                    text=event.text,
                )
            case e.ScheduleSet():
                self._say("info", "schedule.set", name=event.name, rows=len(event.rows))
            case e.Resumed():
                self._say(
                    "warning", "service.resume", by=event.by, reason=event.reason, **_of(event)
                )
            case e.Resolved():
                self._say(
                    "warning",
                    "incident.resolve",
                    incident_id=event.incident_id,
                    decision=event.decision,
                    by=event.by,
                    reason=event.reason,
                )
            case e.Adjusted():
                self._say(
                    "warning",
                    "position.adjust",
                    symbol=event.symbol,
                    contracts=event.contracts,
                    by=event.by,
                    reason=event.reason,
                )
            case e.Answered(outcome=e.Outcome.NOT_SENT, code="guard"):
                self._hit("", event.text, request_id=event.request_id)
            case e.Answered(outcome=e.Outcome.REFUSED):
                self._say("warning", "request.refused", code=event.code, text=event.text)

    def _decision(self, decision: AnyDecision) -> None:
        match decision:
            case d.PlaceOrder():
                self._say(
                    "info",
                    "order.decided",
                    symbol=decision.symbol,
                    cl_ord_id=decision.cl_ord_id,
                    contracts=decision.contracts,
                    price=str(decision.price),
                    reason=decision.reason,
                )
            case d.Resync() if decision.reason != "regular audit":
                self._say("warning", "stream.resync", reason=decision.reason)

    def _fact(self, fact: AnyFact) -> None:
        match fact:
            case d.WaitingFor():
                self._limit(fact.symbol, fact.what)
            case d.Transition():
                self._say(
                    "info",
                    "symbol.transition",
                    symbol=fact.symbol,
                    trigger=fact.trigger,
                    from_state=fact.from_state,
                    to_state=fact.to_state,
                    cl_ord_id=fact.cl_ord_id,
                    detail=fact.detail,
                )
            case d.FillBooked():
                self._say(
                    "info",
                    "fill.booked",
                    symbol=fact.symbol,
                    contracts=fact.contracts,
                    price=str(fact.price),
                    cl_ord_id=fact.cl_ord_id,
                    position=fact.position,
                )
            case d.OrderChanged(status="in_doubt"):
                self._say(
                    "warning",
                    "order.in_doubt",
                    symbol=fact.symbol,
                    cl_ord_id=fact.cl_ord_id,
                    reason=fact.evidence,
                )
            case d.TargetHeld():
                self._say(
                    "info",
                    "target.held",
                    symbol=fact.symbol,
                    contracts=fact.contracts,
                    position=fact.position,
                    version=fact.version,
                )
            case d.TargetClosed(outcome="expired"):
                self._say("warning", "target.expired", symbol=fact.symbol, version=fact.version)
            case d.ModeEnded():
                self._say("warning", "mode.end", symbol=fact.symbol, mode=fact.mode, was=fact.why)
            case d.IncidentOpened():
                self._say(
                    "error" if fact.severity == "critical" else "warning",
                    "incident.open",
                    symbol=fact.symbol,
                    incident_id=fact.incident_id,
                    type=fact.type,
                    summary=fact.summary,
                )
            case d.IncidentClosed():
                self._say(
                    "info", "incident.close", incident_id=fact.incident_id, decision=fact.decision
                )

    def _limit(self, symbol: str, what: str) -> None:
        """When a symbol comes to wait for a limit, whatever its figures do since."""
        found = LIMIT.search(what)
        rule = found[0] if found else ""
        if rule and self._limits.get(symbol) != rule:
            self._hit(symbol, what)
        if rule or not what or what.startswith("an answer"):  # not while it asks for another price
            self._limits[symbol] = rule

    def _hit(self, symbol: str, what: str, **more: object) -> None:
        """One line for a limit that is met; one that is met again and again is counted."""
        found = LIMIT.search(what)
        rule = found[0] if found else what
        said_us, again = self._hits.get((symbol, rule), (-AGAIN_US, 0))
        if self._at_us - said_us < AGAIN_US:
            self._hits[symbol, rule] = said_us, again + 1
            return
        self._hits[symbol, rule] = self._at_us, 0
        about = {"symbol": symbol} if symbol else {}
        times = {"times_since": again} if again else {}
        self._say("warning", "limit.hit", **about, rule=rule, text=what, **times, **more)


def _of(event: e.Halted | e.ModeSet | e.Resumed) -> dict[str, Any]:
    return {"symbols": ",".join(event.symbols)} if event.symbols else {}
