"""
Step, record, send: in this order, always.

    events ─> core.step ─> journal: one commit ─> venue.send ─> (answers come back as events)
                                                      └─> journal: the tables that did not precede

Everything here happens in one thread, the loop's. If the commit fails nothing is sent, and
nothing ever again: the ledger in memory is then ahead of the disk, so the process must end.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import get_args

import msgspec

from reconciler.core import step as core
from reconciler.core.decisions import (
    AmendOrder,
    AnyDecision,
    AnyFact,
    CancelOrder,
    IncidentOpened,
    PlaceOrder,
)
from reconciler.core.events import (
    Answered,
    AnyEvent,
    Halted,
    ModeSet,
    Outcome,
    Priced,
    Quoted,
    Started,
    Stopping,
    TargetSet,
)
from reconciler.core.ledger import Ledger
from reconciler.core.limits import guards
from reconciler.core.targets import modes, schedules
from reconciler.core.trouble import mismatch
from reconciler.journal import Journal
from reconciler.venue import Venue

Step = tuple[AnyEvent, Sequence[AnyDecision], Sequence[AnyFact]]
Watcher = Callable[[Sequence[Step]], None]
Decide = Callable[[Ledger, AnyEvent], core.Outcome]

STOPS = (Halted, ModeSet, Stopping)  # no order is written after one of these is on the disk

PRICED = get_args(Priced)  # a tuple is looked through faster than a union
SNAPSHOT_EVERY = 10_000  # journal rows
MOST_IN_A_COMMIT = 1_000  # events


class Engine:
    """The ledger, the journal behind it, and the venue in front of it."""

    def __init__(
        self,
        ledger: Ledger,
        journal: Journal,
        now_us: Callable[[], int],
        decide: Decide = core.step,
    ) -> None:
        self.ledger = ledger
        self.journal = journal
        self.venue: Venue | None = None  # none: decisions are recorded and not sent
        self.failed = False
        self.watchers: list[Watcher] = []
        self._now_us = now_us
        self._decide = decide  # the core; a simulation watches it
        self._quotes_came = False
        self._due_us: int | None = None  # None: something was stepped since it was found
        self._snapshot_seq = journal.last_seq

    def handle(self, events: Iterable[AnyEvent]) -> None:
        """Take in *events* in this order, and whatever they lead to at once."""
        pending = deque(events)
        if pending:
            self._due_us = None
        while pending and not self.failed:
            steps = self._step_all(pending)
            self._record(steps)
            if self.venue is not None:
                for event, _, facts in steps:
                    if _stops(event, facts):
                        self.venue.withdraw()
                for _, decisions, _ in steps:
                    for decision in decisions:
                        pending.extend(self._send(self.venue, decision))
                        if type(decision) is PlaceOrder:
                            os.sched_yield()  # a venue on this machine may need the processor
            self._tell()
            for watch in self.watchers:
                watch(steps)

    def due_us(self) -> int:
        """When time alone has something to do: the core, or a row of a schedule."""
        if self._due_us is None:
            ledger = self.ledger
            self._due_us = min(ledger.next_wake_us(), schedules.next_due_us(ledger))
        return self._due_us

    def quote_changed(self, symbol: str) -> None:
        """New prices have come: they are used once the rows that came with them are stepped."""
        book = self.ledger.books.get(symbol)
        if book is not None and book.wants_quote:
            self._quotes_came = True

    def use_quotes(self) -> None:
        """Give the prices that came to the decisions that wait for them."""
        if self._quotes_came:
            self._quotes_came = False
            self.handle(self._wanted_quotes())

    def cancel_from_memory(self) -> list[str]:
        """
        After a failure, with the disk unusable: cancel what may be alive, as well as we can.

        Returns:
            The client order ids that were named to the venue.
        """
        self.failed = True
        named = []
        for order in self.ledger.own_alive():
            named.append(order.cl_ord_id)
            if self.venue is not None:
                cancel = CancelOrder(
                    request_id=0,
                    cl_ord_id=order.cl_ord_id,
                    symbol=order.symbol,
                    reason="the service failed",
                )
                for _ in self.venue.send(cancel):
                    pass  # nothing can be recorded any more
        return named

    def snapshot_if_due(self) -> None:
        """Keep recovery short."""
        if self.journal.last_seq - self._snapshot_seq >= SNAPSHOT_EVERY:
            self.journal.snapshot(self.ledger)
            self._snapshot_seq = self.journal.last_seq

    def _step_all(self, pending: deque[AnyEvent]) -> list[Step]:
        """Step until nothing is pending, with a price for whoever wants one."""
        ledger = self.ledger
        steps: list[Step] = []
        while pending and len(steps) < MOST_IN_A_COMMIT:
            event = pending.popleft()
            if event.at_us < ledger.at_us and not isinstance(event, Started):
                event = msgspec.structs.replace(event, at_us=ledger.at_us)
            if not pending and isinstance(event, PRICED):
                event = self._with_quote(event)
            decisions, facts = self._decide(ledger, event)
            steps.append((event, decisions, facts))
            if not pending:
                pending.extend(self._wanted_quotes())
                pending.extend(mismatch.settled(ledger))
        return steps

    def _send(self, venue: Venue, decision: AnyDecision) -> Iterable[AnyEvent]:
        """Send it, unless what came in the same commit, a stop or a fill, has overtaken it."""
        if isinstance(decision, PlaceOrder) and self._stopped(decision):
            return [self._not_sent(decision, "stopped")]
        if isinstance(decision, (PlaceOrder, AmendOrder)):
            why = guards.last_look(self.ledger, decision)
            if why:
                return [self._not_sent(decision, "guard", why)]
        return venue.send(decision)

    def _not_sent(self, decision: AnyDecision, code: str, text: str = "") -> Answered:
        return Answered(
            at_us=self._now_us(),
            request_id=decision.request_id,
            outcome=Outcome.NOT_SENT,
            code=code,
            text=text,
        )

    def _stopped(self, order: PlaceOrder) -> bool:
        ledger, book = self.ledger, self.ledger.books[order.symbol]
        return bool(ledger.stopping or modes.forbids(ledger, book, order.reduce_only))

    def _wanted_quotes(self) -> list[Quoted]:
        quotes = []
        for book in self.ledger.books.values():
            if book.wants_quote:
                quote = self._quote(book.symbol)
                if quote is not None:
                    quotes.append(quote)
        return quotes

    def _with_quote(self, event: Priced) -> Priced:
        """The event with the prices that an order after it will need, if one is likely."""
        book = self.ledger.books.get(event.symbol)
        if book is None or not (book.may_place or isinstance(event, TargetSet)):
            return event
        quote = self._quote(event.symbol)
        if quote is None:
            return event
        # One moment: the core takes a price of this very moment for a look at the market.
        quote = msgspec.structs.replace(quote, at_us=event.at_us)
        return msgspec.structs.replace(event, quote=quote)

    def _quote(self, symbol: str) -> Quoted | None:
        return self.venue.quote(symbol) if self.venue is not None else None

    def _record(self, steps: Sequence[Step]) -> None:
        try:
            self.journal.record(steps)
        except BaseException:
            self.failed = True  # in memory more has happened than on the disk
            raise

    def _tell(self) -> None:
        """Write the tables that an order did not wait for."""
        try:
            self.journal.tell()
        except BaseException:
            self.failed = True
            raise


def _stops(event: AnyEvent, facts: Sequence[AnyFact]) -> bool:
    """Whether no order may be written any more once this is on the disk."""
    if isinstance(event, STOPS):
        return True
    opened = [fact for fact in facts if type(fact) is IncidentOpened]
    return any(incident.severity == "critical" for incident in opened)
