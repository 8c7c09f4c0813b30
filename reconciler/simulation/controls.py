"""
Controls: careless reconcilers that live in the same worlds. The oracle has to catch each of them.

`Naive` is the client that many people write: every tenth of a second compare the position row
with the target and fire the gap. Its cousins are as careful as they can be but for one weakness,
so that they show which promise rests on which rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.ledger import Book
from reconciler.core.lifecycle import State
from reconciler.core.settings import Settings
from reconciler.core.step import Outcome
from reconciler.simulation.memory import MemoryJournal
from reconciler.simulation.oracle import Oracle
from reconciler.simulation.weather import Weather
from reconciler.simulation.world import World

LOOK_US = 100_000
GIVE_UP_US = 3_000_000
READ_US = 1_000_000
SURELY_GONE_US = 40_000_000

#: name -> what is wrong with it
WEAKNESSES = {
    "naive": "fires the gap between position row and target, whatever is under way",
    "timeout is refusal": "takes a request without an answer for one that was refused",
    "same id again": "sends the same request once more when no answer comes",
    "position row is ledger": "closes on a terminal row and trusts the position row",
    "not found is gone": "gives an order up after it was not found three times",
    "status is enough": "counts fills, and closes on a terminal row before they are all there",
}


@dataclass(slots=True)
class Ticket:
    """The order that it believes to be out."""

    decision: d.PlaceOrder
    since_us: int
    doubtful: bool = False
    not_found: int = 0
    looked_us: int = 0
    booked: int = 0  # of its contracts
    counted: int | None = None  # by its terminal row


@dataclass(slots=True)
class NaiveBook:
    """What it knows of a symbol, with as much of a `Book` as the machinery looks at."""

    symbol: str
    anchor: int | None = None
    position: int = 0  # by executions
    venue_position: int = 0  # by rows
    target: Any = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    mark: Decimal | None = None
    wants_quote: bool = False
    may_place: bool = False  # it decides when it looks, and on nothing else
    ticket: Ticket | None = None
    seen: set[str] = field(default_factory=set)
    version: int = 0
    state: State = State.IDLE
    confirmed: bool = True
    waiting_for: str = ""
    frozen: str = ""
    frozen_by: str = ""
    halted: str = ""
    mode: str = ""
    instrument: None = None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    orders: dict[str, Any] = field(default_factory=dict)  # it keeps none
    wanted_at = Book.wanted_at


@dataclass(slots=True)
class NaiveLedger:
    """Its memory."""

    at_us: int = 0
    run: e.Started | None = None
    settings: Settings = field(default_factory=Settings)
    books: dict[str, NaiveBook] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    incidents: dict[str, int] = field(default_factory=dict)
    schedules: dict[str, e.ScheduleSet] = field(default_factory=dict)  # none
    signals: dict[str, e.Signalled] = field(default_factory=dict)  # none
    in_sync: bool = False
    watermark_us: int = 0
    offset_us: int = 0
    number: int = 0
    stopping: str = ""
    halted: str = ""
    frozen: str = ""
    mode: str = ""

    def next_wake_us(self) -> int:
        """It looks ten times a second."""
        return self.at_us - self.at_us % LOOK_US + LOOK_US

    def own_alive(self) -> Sequence[Any]:
        """It does not know."""
        return ()

    def book(self, symbol: str) -> NaiveBook:
        """The book of *symbol*."""
        return self.books.setdefault(symbol, NaiveBook(symbol))


class Control(Oracle):
    """Judges a control by its deeds alone. Its core is `step` here."""

    def __init__(self, world: World, weakness: str) -> None:
        super().__init__(world, inside=False)
        self.weakness = weakness

    def step(self, ledger: Any, event: e.AnyEvent) -> Any:
        """The control's core."""
        self.steps += 1
        ledger.at_us = max(ledger.at_us, event.at_us)
        self._learn(ledger, event)
        decisions: list[d.AnyDecision] = []
        if isinstance(event, e.Tick):
            for book in ledger.books.values():
                book.wants_quote = True
        elif (
            isinstance(event, e.Quoted)
            and ledger.in_sync
            and not ledger.stopping
            and not ledger.halted
        ):
            for book in ledger.books.values():
                decisions.extend(self._act(ledger, book))
        self.recent.append((self.world.agenda.now_us, event, decisions))
        return Outcome(decisions, [])

    def recorded(self, steps: Sequence[Any]) -> None:
        """What it decided, and which target is in force."""
        for event, decisions, _ in steps:
            if isinstance(event, e.TargetSet):
                self.note_target(event.symbol, event.contracts)
            for decision in decisions:
                if isinstance(decision, d.PlaceOrder):
                    if decision.cl_ord_id not in self.placed_by_name:
                        self.note_intent(decision)

    def _learn(self, ledger: NaiveLedger, event: e.AnyEvent) -> None:
        match event:
            case e.Started():
                ledger.run, ledger.in_sync, ledger.stopping = event, False, ""
                ledger.requests.clear()
            case e.Configured():
                ledger.settings = event.settings
                for symbol in event.settings.symbols:
                    ledger.book(symbol)
            case e.Stopping():
                ledger.stopping = event.reason
            case e.Halted():
                ledger.halted = event.reason
            case e.Resumed():
                ledger.halted = ""
            case e.StreamLost():
                ledger.in_sync = False
            case e.Synced():
                ledger.in_sync = True
                ledger.watermark_us = max(ledger.watermark_us, event.watermark_us)
                for book in ledger.books.values():
                    if book.anchor is None:
                        book.anchor = book.position = book.venue_position
            case e.ClockMeasured():
                ledger.offset_us = event.offset_us
            case e.TargetSet():
                book = ledger.book(event.symbol)
                book.target, book.version = event, event.version
            case e.Quoted():
                book = ledger.book(event.symbol)
                book.bid, book.ask, book.mark = event.bid, event.ask, event.mark
                book.wants_quote = False
            case e.PositionSeen():
                ledger.book(event.symbol).venue_position = event.contracts
            case e.ExecutionSeen():
                self._executed(ledger.book(event.symbol), event)
            case e.OrderSeen():
                self._order(ledger.book(event.symbol), event)
            case e.Answered() | e.OrderRead():
                self._answered(ledger, event)

    def _executed(self, book: NaiveBook, row: e.ExecutionSeen) -> None:
        if row.exec_id in book.seen or row.type not in ("trade", "liquidation"):
            return
        book.seen.add(row.exec_id)
        if book.anchor is not None:
            book.position += row.contracts
        ticket = book.ticket
        if ticket is not None and row.cl_ord_id == ticket.decision.cl_ord_id:
            ticket.booked += abs(row.contracts)
            self._close(book, ticket)
        if row.cl_ord_id:
            self.own_booked[row.symbol] += row.contracts
        self.position[row.symbol] = book.position

    def _order(self, book: NaiveBook, row: e.OrderSeen) -> None:
        ticket = book.ticket
        if ticket is None or row.cl_ord_id != ticket.decision.cl_ord_id:
            return
        ticket.doubtful, ticket.not_found = False, 0
        if row.status in e.OVER:
            ticket.counted = max(row.filled, ticket.counted or 0)
            self._close(book, ticket)

    def _close(self, book: NaiveBook, ticket: Ticket) -> None:
        """Over, and all its fills are there; some think that over is enough."""
        hasty = self.weakness in ("naive", "position row is ledger", "status is enough")
        if ticket.counted is not None and (hasty or ticket.booked >= ticket.counted):
            book.ticket = None

    def _answered(self, ledger: NaiveLedger, event: e.Answered | e.OrderRead) -> None:
        for book in ledger.books.values():
            ticket = book.ticket
            if ticket is None:
                continue
            if isinstance(event, e.OrderRead):
                if event.cl_ord_id == ticket.decision.cl_ord_id and not event.orders:
                    ticket.not_found += 1
            elif event.request_id == ticket.decision.request_id:
                if event.outcome in (e.Outcome.REFUSED, e.Outcome.NOT_SENT):
                    book.ticket = None
                elif event.outcome is e.Outcome.IN_DOUBT:
                    ticket.doubtful = True

    def _act(self, ledger: NaiveLedger, book: NaiveBook) -> list[d.AnyDecision]:
        if book.target is None or book.bid is None or book.ask is None:
            return []
        ticket = book.ticket
        if ticket is not None and self.weakness != "naive":
            return self._wait(ledger, book, ticket)
        held = book.position
        if self.weakness in ("naive", "position row is ledger"):
            held = book.venue_position
        if self.weakness == "status is enough" and held != book.venue_position:
            held = book.position
        gap = book.target.contracts - held
        if not gap or book.anchor is None:
            return []
        if ticket is not None and ledger.at_us - ticket.since_us < LOOK_US:
            return []
        decision = self._place(ledger, book, gap, held)
        book.ticket = Ticket(decision, ledger.at_us)
        return [decision]

    def _wait(self, ledger: NaiveLedger, book: NaiveBook, ticket: Ticket) -> list[d.AnyDecision]:
        """An order is out. What now?"""
        late = ticket.doubtful or ledger.at_us - ticket.since_us > GIVE_UP_US
        if not late:
            return []
        if self.weakness == "timeout is refusal" and ticket.doubtful:
            book.ticket = None
            return []
        if self.weakness == "same id again" and ticket.doubtful:
            ticket.doubtful, ticket.since_us = False, ledger.at_us
            return [self._again(ledger, ticket)]
        if self.weakness == "not found is gone" and ticket.not_found >= 3:
            book.ticket = None
            return []
        if ticket.not_found >= 3 and ledger.at_us - ticket.since_us > SURELY_GONE_US:
            book.ticket = None  # the cousins are patient here: it is not their weakness
            return []
        if ledger.at_us - ticket.looked_us < READ_US:
            return []
        ticket.looked_us = ledger.at_us
        ledger.number += 1
        return [
            d.ReadOrder(
                request_id=ledger.number,
                cl_ord_id=ticket.decision.cl_ord_id,
                symbol=book.symbol,
                reason="?",
            )
        ]

    def _again(self, ledger: NaiveLedger, ticket: Ticket) -> d.PlaceOrder:
        return msgspec.structs.replace(
            ticket.decision,
            deadline_us=ledger.at_us + 1_000_000,
            expires_us=self._expiry(ledger),
        )

    @staticmethod
    def _expiry(ledger: NaiveLedger) -> int:
        return (ledger.at_us + ledger.offset_us + 5_000_000) // 1_000_000 * 1_000_000 + 1_000_000

    def _place(self, ledger: NaiveLedger, book: NaiveBook, gap: int, held: int) -> d.PlaceOrder:
        assert ledger.run is not None
        assert book.bid is not None
        assert book.ask is not None
        ledger.number += 1
        return d.PlaceOrder(
            request_id=ledger.number,
            cl_ord_id=f"{ledger.run.id_stem}{ledger.number:06d}",
            symbol=book.symbol,
            contracts=gap,
            price=book.ask if gap > 0 else book.bid,
            post_only=False,
            reduce_only=False,
            immediate=True,
            expires_us=self._expiry(ledger),
            deadline_us=ledger.at_us + 1_000_000,
            target_version=book.version,
            instrument_version=1,
            position=held,
            bid=book.bid,
            ask=book.ask,
            mark=book.mark,
            policy="",
            reason="the gap",
        )


def control_world(seed: int, weakness: str, weather: Weather | None = None) -> World:
    """The world of a seed, with a control in it. It never dies: a restart would excuse it."""
    journal = MemoryJournal(thorough=False)
    journal.recall = lambda ledger, event, decisions: None
    journal.shape = NaiveLedger
    world = World(
        seed, weather=weather, oracle=lambda world: Control(world, weakness), journal=journal
    )
    for name in ("crash_us", "storage_us", "stop_us"):
        setattr(world.weather, name, 0)
    return world
