"""
A random world around the real `step`: a venue, a wire that loses and delays, a service that dies.

All of it follows from a seed, in virtual time; nothing sleeps. After every event the world compares
what the core did with the venue's truth, which the core never sees. A broken promise is a `Broken`,
and names its seed.

    python -m tests.core.world --seeds 10000 --from 1

What the venue and the wire may do is what the settings assume of them (`Timing.hold_us`,
`Timing.read_lag_us`), no more: a command is held no longer than that after it was let in, or all
commands are handled in order; a look-up shows everything older than the lag; rows of one table
stay in order.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from decimal import Decimal

import msgspec

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.ledger import NEVER_US, Ledger
from reconciler.core.lifecycle import State
from reconciler.core.settings import Settings
from reconciler.core.step import recall, step
from tests.core.venue import Venue

SECOND = 1_000_000
START_US = 1_790_000_000 * SECOND
SYMBOLS = ("XBTUSD", "ETHUSD")
LONG_AGO = -(10**18)

#: Incidents that cannot happen while the venue keeps to what is assumed of it.
NEVER = (
    "zombie_order",
    "twin_order",
    "unknown_own_order",
    "changed_order",
    "overfill",
    "wrong_side",
    "impossible",
    "unknown_execution",
)


class Broken(AssertionError):
    """A promise was not kept."""


class World:
    """One seed's venue, wire, service and judge."""

    def __init__(self, seed: int, harsh: bool = False, beyond: bool = False) -> None:
        """*harsh*: mostly loss of answers. *beyond*: the venue does what is assumed impossible."""
        rng = self.rng = random.Random(seed)
        self.seed = seed
        self.now_us = START_US
        self.skew_us = 0  # of the service's clock; may change when it starts again
        self.ahead_us = rng.randint(-3 * SECOND, 3 * SECOND)  # of the venue's clock
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.symbols = SYMBOLS[: rng.choice((1, 1, 2))]
        self.lot = rng.choice((1, 1, 100))
        self.draw_odds()
        self.beyond = beyond
        if harsh:  # slow, silent and now and then dead: what the proof of absence is there for
            self.p_slow_wire, self.p_hold, self.p_lose_answer = 0.5, 0.5, 0.1
            self.mean_us["crash"] = 60 * SECOND
            self.mean_us["drop"] = 0

        flat = {symbol: rng.choice((0, 0, 3, -2)) * 100 for symbol in self.symbols}
        self.venue = Venue(rng, flat, self.lot, self.show)
        self.engine_free_us = 0
        self.dead_us = NEVER_US
        self.settings = Settings(
            symbols=self.symbols, dead_man_us=rng.choice((0, 0, 20, 60)) * SECOND
        )
        self.fifo = rng.random() < (0.8 if harsh else 0.4)

        self.ledger = Ledger()
        self.journal: list[tuple[e.AnyEvent, list[d.AnyDecision]]] = []
        self.run = 0
        self.alive = False
        self.sees = False  # in sync, as far as the service was told
        self.connection = 0
        self.subscribed = False
        self.row_due_us = dict.fromkeys(("order", "execution", "position"), 0)
        self.out: set[int] = set()  # requests without an answer yet
        self.quotes_out: set[str] = set()
        self.version = 0
        self.ticks_without_news = 0

        self.posted: set[str] = set()
        self.recent_posts: dict[str, deque[int]] = {s: deque() for s in self.symbols}
        self.last_read: dict[str, int] = {}
        self.booked: dict[str, int] = {}
        self.booked_foreign = dict.fromkeys(self.symbols, 0)
        self.booked_own = dict.fromkeys(self.symbols, 0)
        self.wanted: dict[str, int | None] = dict.fromkeys(self.symbols)
        self.span = {symbol: (n, n) for symbol, n in flat.items()}
        self.row_seen: dict[str, int | None] = dict.fromkeys(self.symbols)
        self.seen_incidents: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.rows_used: set[tuple[str, str]] = set()  # of the table
        self.start()

    def draw_odds(self) -> None:
        """How hostile this seed is. Each fault is absent, rare or common."""
        rng = self.rng

        def odds(rare: float, common: float) -> float:
            return rng.choice((0.0, rare, common))

        self.p_refuse = odds(0.05, 0.3)
        self.p_lose_request = odds(0.05, 0.3)
        self.p_lose_answer = odds(0.05, 0.4)
        self.p_slow_wire = odds(0.05, 0.3)
        self.p_hold = odds(0.05, 0.3)
        self.p_late_rows = odds(0.05, 0.3)
        self.p_repeat = odds(0.05, 0.3)
        self.p_silent_loss = rng.choice((0.0, 0.0, 0.0, 0.01))
        self.p_kill = odds(0.05, 0.3)
        self.p_not_sent = odds(0.02, 0.1)
        self.p_lag = odds(0.2, 1.0)
        self.fill_mean_us = rng.choice((1, 4, 15)) * SECOND
        self.mean_us = {
            "drop": rng.choice((0, 60, 15)) * SECOND,
            "crash": rng.choice((0, 60, 15)) * SECOND,
            "person": rng.choice((0, 60, 20)) * SECOND,
            "target": rng.choice((30, 10, 3)) * SECOND,
            "halt": rng.choice((0, 0, 40)) * SECOND,
            "venue": rng.choice((0, 0, 40)) * SECOND,
        }

    # -- time ------------------------------------------------------------------------------------

    def later(self, delay_us: int, do: Callable[[], None]) -> None:
        """Do something after a while, whatever becomes of the service."""
        heapq.heappush(self.heap, (self.now_us + delay_us, next(self.numbers), do))

    def chance(self, odds: float) -> bool:
        return odds > 0 and self.rng.random() < odds

    def between(self, low_ms: int, high_ms: int) -> int:
        return self.rng.randint(low_ms * 1000, high_ms * 1000)

    @property
    def own_us(self) -> int:
        """What the service's clock says."""
        return self.now_us + self.skew_us

    def move_to(self, at_us: int) -> None:
        self.now_us = max(self.now_us, at_us)
        self.venue.now_us = self.now_us + self.ahead_us

    def advance(self, duration_us: int) -> None:
        """Let everything happen that is due within *duration_us*."""
        end_us = self.now_us + duration_us
        while True:
            due_us = self.heap[0][0] if self.heap else end_us + 1
            wake_us = self.ledger.next_wake_us() if self.alive else NEVER_US
            wake_us = max(wake_us - self.skew_us, self.now_us)
            if min(due_us, wake_us) > end_us:
                break
            if wake_us < due_us:
                self.move_to(wake_us)
                self.ticks_without_news += 1
                if self.ticks_without_news > 200:
                    raise self.broken(f"wakes for ever: {self.told()}")
                self.feed(e.Tick(at_us=self.own_us))
            else:
                self.ticks_without_news = 0
                self.move_to(due_us)
                heapq.heappop(self.heap)[2]()
        self.move_to(end_us)

    # -- the service -------------------------------------------------------------------------------

    def feed(self, event: e.AnyEvent) -> None:
        """Step one event; judge; send."""
        self.counts["steps"] += 1
        outcome = step(self.ledger, event)
        self.journal.append((event, outcome.decisions))
        self.judge(event, outcome.decisions, outcome.facts)
        for decision in outcome.decisions:
            self.out.add(decision.request_id)
            self.send(decision)
        for symbol in self.symbols:
            book = self.ledger.books.get(symbol)
            if book is not None and book.wants_quote and symbol not in self.quotes_out:
                self.quotes_out.add(symbol)
                self.in_this_run(self.between(0, 50), lambda s=symbol: self.quote(s))  # type: ignore[misc]

    def tell(self, event: e.AnyEvent) -> None:
        """Give the service an event dated now."""
        self.feed(msgspec.structs.replace(event, at_us=self.own_us))

    def in_this_run(self, delay_us: int, do: Callable[[], None]) -> None:
        """Do something after a while, unless the service is a different one by then."""
        run = self.run

        def unless_dead() -> None:
            if self.run == run and self.alive:
                do()

        self.later(delay_us, unless_dead)

    def start(self) -> None:
        """A run begins: the ledger is what the journal says."""
        self.run += 1
        self.alive = True
        self.out.clear()
        self.quotes_out.clear()
        us = self.own_us
        self.feed(
            e.Started(
                at_us=us,
                run_id=f"run{self.run}",
                epoch=self.run,
                id_family="rc-",
                id_install="rc-w-",
                id_stem=f"rc-w-{self.run}-",
            )
        )
        self.feed(e.Configured(at_us=us, settings=self.settings))
        for symbol in self.symbols:
            self.feed(self.instrument(symbol))
        self.measure_clock()
        self.in_this_run(self.between(50, 3_000), self.connect)

    def crash(self) -> None:
        """The process is gone; so is all that was not in the journal."""
        if not self.alive:
            return
        self.alive = self.sees = False
        self.subscribed = False
        self.connection += 1
        folded = Ledger()
        for event, decisions in self.journal:
            recall(folded, event, decisions)
        if canonical(folded) != canonical(self.ledger):
            raise self.broken("the journal, folded, is another ledger")
        self.ledger = folded
        if self.rng.random() < 0.2:
            self.skew_us += self.rng.choice((-3_600, -7, 7, 3_600)) * SECOND
        self.later(self.between(10, 8_000), self.start)

    def instrument(self, symbol: str, is_open: bool = True) -> e.InstrumentSeen:
        return e.InstrumentSeen(
            at_us=self.own_us,
            symbol=symbol,
            open=is_open,
            state="Open" if is_open else "Closed",
            lot=self.lot,
            tick=Decimal("0.5"),
            max_contracts=10_000_000,
            max_price=Decimal(1_000_000),
            inverse=True,
            quanto=False,
            multiplier=-100_000_000,
            settle_currency="XBt",
            quote_currency="USD",
            maker_fee=Decimal("0.0005"),
            taker_fee=Decimal("0.0005"),
        )

    def measure_clock(self) -> None:
        error_us = self.between(1, 300)
        offset_us = self.ahead_us - self.skew_us + self.rng.randint(-error_us, error_us)
        self.tell(e.ClockMeasured(at_us=0, offset_us=offset_us, error_us=error_us))
        self.in_this_run(30 * SECOND, self.measure_clock)

    def quote(self, symbol: str) -> None:
        self.quotes_out.discard(symbol)
        if self.ledger.books[symbol].wants_quote:
            bid = Decimal(100) + Decimal(self.rng.randint(-3, 3)) / 2
            mark = bid + Decimal("0.2")
            self.tell(
                e.Quoted(at_us=0, symbol=symbol, bid=bid, ask=bid + Decimal("0.5"), mark=mark)
            )

    # -- the stream --------------------------------------------------------------------------------

    def show(self, table: str, row: e.AnyEvent) -> None:
        """The venue changed: a row is on its way, behind the others of its table."""
        if table == "order" and isinstance(row, e.OrderSeen) and row.cl_ord_id:
            self.check_one_open(row.symbol)
        if table == "execution" and isinstance(row, e.ExecutionSeen) and row.cl_ord_id:
            self.check_span(row)
        if not self.subscribed or self.chance(self.p_silent_loss):
            return
        for _ in range(2 if self.chance(self.p_repeat) else 1):
            late = self.chance(self.p_late_rows)
            due_us = self.now_us + (self.between(100, 4_000) if late else self.between(2, 60))
            due_us = self.row_due_us[table] = max(due_us, self.row_due_us[table])
            self.on_this_connection(due_us - self.now_us, lambda: self.row_arrives(row))

    def row_arrives(self, row: e.AnyEvent) -> None:
        if isinstance(row, e.PositionSeen):
            self.row_seen[row.symbol] = row.contracts
        self.tell(row)

    def on_this_connection(self, delay_us: int, do: Callable[[], None]) -> None:
        connection = self.connection

        def unless_dropped() -> None:
            if self.connection == connection and self.alive:
                do()

        self.later(delay_us, unless_dropped)

    def drop(self) -> None:
        """The stream dies at once; that is noticed after a while."""
        if not self.alive or not self.subscribed:
            return
        self.subscribed = False
        self.connection += 1
        self.in_this_run(self.between(0, 5_000), self.notice)

    def notice(self) -> None:
        if self.subscribed:
            return
        self.sees = False
        self.tell(e.StreamLost(at_us=0, reason="silence"))
        self.in_this_run(self.between(50, 15_000), self.connect)

    def connect(self) -> None:
        """Subscribe: the tables' images first, then changes; then read what was missed."""
        if self.subscribed:
            return
        self.connection += 1
        self.subscribed = True
        for table in self.row_due_us:
            self.row_due_us[table] = self.now_us
        for row in self.venue.orders_at(self.venue.now_us):
            self.show("order", row)
        for symbol in self.symbols:
            self.show("position", self.venue.position_row(symbol, self.venue.now_us))
        self.on_this_connection(self.between(20, 2_000), lambda: self.read_all(None))

    def read_all(self, request_id: int | None) -> None:
        """A resync: executions from before the watermark, open orders, positions; then `Synced`."""
        began_us = self.venue.now_us
        then_us = began_us - self.lag()
        since_us = self.ledger.watermark_us - 60 * SECOND
        rows: list[e.AnyEvent] = [
            *self.venue.executions_at(then_us, since_us=since_us),
            *(resting := self.venue.orders_at(then_us)),
            *(self.venue.position_row(symbol, then_us) for symbol in self.symbols),
        ]
        synced = e.Synced(
            at_us=0,
            watermark_us=began_us - 2 * SECOND,
            open_order_ids=tuple(row.order_id for row in resting),
        )

        def arrive() -> None:
            for row in rows:
                self.row_arrives(read(row))
            self.sees = True
            self.tell(synced)
            if request_id is not None:
                self.answer(request_id, e.Outcome.DONE)

        self.on_this_connection(self.between(20, 1_500), arrive)

    def lag(self) -> int:
        return self.between(0, 2_000) if self.chance(self.p_lag) else 0

    # -- requests ----------------------------------------------------------------------------------

    def send(self, decision: d.AnyDecision) -> None:
        """Put one request on the wire, and give up on its answer after five seconds."""
        number = decision.request_id
        if isinstance(decision, d.PlaceOrder) and self.chance(self.p_not_sent):
            self.in_this_run(
                self.between(5, 1_500), lambda: self.answer(number, e.Outcome.NOT_SENT, "deadline")
            )
            return
        self.in_this_run(5 * SECOND, lambda: self.answer(number, e.Outcome.IN_DOUBT, "timeout"))
        if isinstance(decision, d.Resync):
            if self.chance(self.p_refuse):
                self.in_this_run(20_000, lambda: self.answer(number, e.Outcome.REFUSED, "busy"))
            else:
                self.read_all(number)
            return
        if self.chance(self.p_lose_request):
            return
        slow = self.chance(self.p_slow_wire)
        travel_us = self.between(1_000, 7_000) if slow else self.between(5, 100)
        self.later(travel_us, lambda: self.door(decision))

    def door(self, decision: d.AnyDecision) -> None:
        """The request arrives. Look-ups are answered here; commands wait for the engine."""
        number = decision.request_id
        match decision:
            case d.ReadOrder() | d.ReadPosition():
                self.look_up(decision)
                return
            case d.PlaceOrder(expires_us=expires_us) | d.AmendOrder(expires_us=expires_us):
                if self.venue.now_us > expires_us:
                    self.answer_later(number, e.Outcome.REFUSED, "expired")
                    return
            case d.ArmDeadMan(timeout_ms=timeout_ms):
                self.dead_us = self.now_us + timeout_ms * 1000 if timeout_ms else NEVER_US
                self.later(timeout_ms * 1000, self.dead_man)
                acked = e.DeadManAcked(at_us=0, timeout_ms=timeout_ms)
                self.answer_later(number, e.Outcome.DONE, rows=[acked])
                return
        if self.chance(self.p_refuse):
            self.answer_later(number, e.Outcome.REFUSED, "overloaded")
            return
        hold_us = self.between(1, 10)
        if self.chance(self.p_hold):
            # In order, however long; or in any order, but not longer than the bound.
            longest = 60_000 if self.beyond else 25_000 if self.fifo else 9_900
            hold_us = self.between(500, longest)
        if self.fifo and not self.beyond:
            self.engine_free_us = max(self.engine_free_us, self.now_us + hold_us)
            hold_us = self.engine_free_us - self.now_us
        self.later(hold_us, lambda: self.engine(decision))

    def engine(self, decision: d.AnyDecision) -> None:
        """The venue acts."""
        number = decision.request_id
        match decision:
            case d.PlaceOrder():
                if decision.cl_ord_id in self.posted:
                    raise self.broken(f"O3: {decision.cl_ord_id} was posted twice")
                self.posted.add(decision.cl_ord_id)
                fate = "kill" if self.chance(self.p_kill) else self.rng.choice(("rest", "fill"))
                order = self.venue.place(decision, fate)
                self.fill_later(order.order_id)
                self.answer_later(number, e.Outcome.DONE, rows=[self.venue.row(order)])
            case d.CancelOrder():
                ended = self.venue.cancel(decision.cl_ord_id, decision.order_id)
                outcome = e.Outcome.DONE if ended else e.Outcome.NOTHING
                self.answer_later(number, outcome, rows=[self.venue.row(o) for o in ended])
            case d.AmendOrder():
                amended = self.venue.amend(decision.cl_ord_id, decision.price)
                if amended is None:
                    self.answer_later(number, e.Outcome.NOTHING)
                else:
                    self.answer_later(number, e.Outcome.DONE, rows=[self.venue.row(amended)])

    def dead_man(self) -> None:
        """Nobody told the venue in time that we are there: it cancels all."""
        if self.now_us >= self.dead_us:
            for symbol in self.symbols:
                for order in self.venue.own_open(symbol):
                    self.venue.cancel(order.cl_ord_id, order.order_id)

    def fill_later(self, order_id: str) -> None:
        """Somebody will trade with it, again and again until it is gone."""
        order = self.venue.orders[order_id]
        if not order.leaves:
            return

        def fill() -> None:
            self.venue.match(order)
            self.fill_later(order_id)

        self.later(int(self.rng.expovariate(1 / self.fill_mean_us)) + 1, fill)

    def look_up(self, decision: d.ReadOrder | d.ReadPosition) -> None:
        number, then_us = decision.request_id, self.venue.now_us - self.lag()
        if isinstance(decision, d.ReadPosition):
            row = self.venue.position_row(decision.symbol, then_us)
            self.answer_later(number, e.Outcome.DONE, rows=[read(row)])
            return
        orders = self.venue.orders_at(then_us, decision.cl_ord_id)
        executions = self.venue.executions_at(then_us, decision.cl_ord_id)
        found = e.OrderRead(
            at_us=0,
            request_id=number,
            cl_ord_id=decision.cl_ord_id,
            orders=len(orders),
            executions=len(executions),
        )
        rows: list[e.AnyEvent] = [read(row) for row in orders]
        rows += [read(row) for row in executions]
        self.answer_later(number, e.Outcome.DONE, rows=[*rows, found])

    def answer_later(
        self, number: int, outcome: e.Outcome, code: str = "", rows: list[e.AnyEvent] | None = None
    ) -> None:
        """The answer sets out; it may not arrive."""
        if self.chance(self.p_lose_answer):
            return
        delay_us = self.between(1, 3_000) if self.chance(self.p_slow_wire) else self.between(1, 60)
        self.in_this_run(delay_us, lambda: self.answer(number, outcome, code, rows or []))

    def answer(
        self, number: int, outcome: e.Outcome, code: str = "", rows: list[e.AnyEvent] | None = None
    ) -> None:
        if number not in self.out:
            return
        self.out.discard(number)
        found = False
        for row in rows or []:
            found = found or isinstance(row, e.OrderRead)
            if isinstance(row, e.OrderSeen) and row.source is e.Source.STREAM:
                row = msgspec.structs.replace(row, source=e.Source.REPLY)
            self.row_arrives(row)
        if not found:
            self.tell(e.Answered(at_us=0, request_id=number, outcome=outcome, code=code))

    # -- the weather -------------------------------------------------------------------------------

    def storm(self, duration_us: int) -> None:
        """Faults, people and new targets, each in its own time."""
        self.set_target(self.symbols[0])
        end_us = self.now_us + duration_us
        things: dict[str, Callable[[], None]] = {
            "drop": self.drop,
            "crash": self.crash,
            "person": self.person,
            "target": lambda: self.set_target(self.rng.choice(self.symbols)),
            "halt": self.halt,
            "venue": self.trouble,
        }
        for name, do in things.items():
            if self.mean_us[name]:
                self.again(name, do, end_us)
        self.advance(duration_us)

    def again(self, name: str, do: Callable[[], None], end_us: int) -> None:
        delay_us = int(self.rng.expovariate(1 / self.mean_us[name])) + 1

        def once_more() -> None:
            do()
            self.again(name, do, end_us)

        if self.now_us + delay_us < end_us:
            self.later(delay_us, once_more)

    def set_target(self, symbol: str, expires: bool | None = None) -> None:
        if not self.alive:
            return
        self.version += 1
        expires = self.rng.random() < 0.1 if expires is None else expires
        self.tell(
            e.TargetSet(
                at_us=0,
                symbol=symbol,
                contracts=self.rng.randint(-3, 3) * 100,
                version=self.version,
                source="world",
                policy=self.rng.choice(("passive", "passive", "urgent")),
                expires_us=self.own_us + self.between(1_000, 60_000) if expires else None,
                on_expiry=self.rng.choice(("hold", "flatten")),
            )
        )

    def person(self) -> None:
        if self.ledger.in_sync:
            self.venue.person_trades(
                self.rng.choice(self.symbols), self.rng.choice((-2, -1, 1, 2)) * 100
            )

    def halt(self) -> None:
        if not self.alive:
            return
        if self.rng.random() < 0.3:
            self.tell(e.Stopping(at_us=0, reason="story", keep_orders=self.rng.random() < 0.3))
            self.in_this_run(self.between(500, 10_000), self.crash)
            return
        symbols = self.rng.choice(((), self.symbols[:1]))
        self.tell(e.Halted(at_us=0, by="world", reason="drill", symbols=symbols))
        self.in_this_run(
            self.between(500, 20_000),
            lambda: self.tell(e.Resumed(at_us=0, by="world", reason="over", symbols=symbols)),
        )

    def trouble(self) -> None:
        """The venue closes for a while, or asks for fewer requests."""
        if not self.alive:
            return
        if self.rng.random() < 0.5:
            until_us = self.own_us + self.between(500, 20_000)
            self.tell(e.Throttled(at_us=0, until_us=until_us, reason="budget"))
            return
        symbol = self.rng.choice(self.symbols)
        self.feed(self.instrument(symbol, is_open=False))
        self.in_this_run(
            self.between(500, 20_000), lambda: self.feed(self.instrument(symbol, is_open=True))
        )

    def heal(self) -> None:
        """No faults from now on, and nobody but us."""
        for name in vars(self):
            if name.startswith("p_"):
                setattr(self, name, 0.0)
        self.fill_mean_us = 2 * SECOND
        if not self.alive:
            self.advance(9 * SECOND)
        if not self.alive:
            self.start()
        if self.ledger.stopping:
            self.crash()
            self.advance(9 * SECOND)
        if self.ledger.halted or any(book.halted for book in self.ledger.books.values()):
            self.tell(e.Resumed(at_us=0, by="world", reason="over"))
        for symbol in self.symbols:
            self.feed(self.instrument(symbol))
            self.set_target(symbol, expires=False)

    def live(self, storm_us: int = 90 * SECOND) -> None:
        """The whole life of a seed."""
        self.advance(5 * SECOND)
        self.storm(storm_us)
        self.heal()
        self.converge()

    # -- the judge ---------------------------------------------------------------------------------

    def broken(self, what: str) -> Broken:
        return Broken(f"seed {self.seed}, {(self.now_us - START_US) / SECOND:.3f} s: {what}")

    def told(self) -> str:
        """What the core says of every symbol."""
        return "; ".join(
            f"{symbol} {book.state} {book.position:+d} (venue {self.venue.position[symbol]:+d}) "
            f"target {book.target.contracts if book.target else None} waits for "
            f"{book.waiting_for!r} frozen {book.frozen!r}"
            for symbol, book in self.ledger.books.items()
        )

    def judge(
        self, event: e.AnyEvent, decisions: list[d.AnyDecision], facts: list[d.AnyFact]
    ) -> None:
        """Compare what just happened with the truth."""
        for fact in facts:
            match fact:
                case d.FillBooked():
                    self.judge_fill(fact)
                case d.Transition():
                    self.rows_used.add((fact.trigger, fact.from_state))
                case d.IncidentOpened():
                    self.seen_incidents[fact.type] += 1
                    if fact.type in NEVER and not self.beyond:
                        raise self.broken(f"{fact.type}: {fact.summary}")
        for decision in decisions:
            self.counts[type(decision).__name__] += 1
            match decision:
                case d.PlaceOrder():
                    self.judge_place(decision)
                case d.ReadOrder():
                    self.judge_read(decision)
        for symbol, book in self.ledger.books.items():
            wanted = book.target.contracts if book.target else None
            if wanted != self.wanted[symbol]:
                self.wanted[symbol] = wanted
                if wanted is not None:
                    own = wanted - self.booked_foreign[symbol]
                    low, high = self.span[symbol]
                    self.span[symbol] = min(low, own), max(high, own)
            if book.anchor is not None:
                booked = self.booked_own[symbol] + self.booked_foreign[symbol]
                if book.position != book.anchor + booked:
                    raise self.broken(f"F2: {symbol} {book.position:+d} is not its executions")

    def judge_fill(self, fact: d.FillBooked) -> None:
        if fact.exec_id in self.booked:
            raise self.broken(f"F1: {fact.exec_id} was booked twice")
        truth = self.venue.executions[int(fact.exec_id[1:]) - 1][1]
        if truth.contracts != fact.contracts or truth.cl_ord_id != fact.cl_ord_id:
            raise self.broken(f"F1: {fact} is not what happened: {truth}")
        self.booked[fact.exec_id] = fact.contracts
        (self.booked_own if fact.cl_ord_id else self.booked_foreign)[fact.symbol] += fact.contracts

    def judge_place(self, order: d.PlaceOrder) -> None:
        """O5: every condition of a new order, from what the world knows."""
        ledger, symbol = self.ledger, order.symbol
        book = ledger.books[symbol]
        if ledger.stopping or ledger.halted or book.halted or not self.sees:
            raise self.broken(f"O5: placed while stopped or blind: {order}")
        if self.row_seen[symbol] != order.position:
            raise self.broken(
                f"O5: planned from {order.position:+d}, the venue said {self.row_seen[symbol]}"
            )
        target = book.target.contracts if book.target else 0
        foreign = self.booked_foreign[symbol]
        start, goal = order.position - foreign, target - foreign
        self.span[symbol] = min(start, goal), max(start, goal)
        recent = self.recent_posts[symbol]
        recent.append(self.now_us)
        while recent[0] <= self.now_us - 60 * SECOND:
            recent.popleft()
        if len(recent) > 60:
            raise self.broken(f"V2: {len(recent)} orders within a minute")

    def judge_read(self, look: d.ReadOrder) -> None:
        """No order is looked up all the time."""
        before_us = self.last_read.get(look.cl_ord_id, LONG_AGO)
        self.last_read[look.cl_ord_id] = self.now_us
        if self.now_us - before_us < 100_000:
            self.counts["hasty reads"] += 1

    def check_one_open(self, symbol: str) -> None:
        """O1: one order of ours at the most rests on a symbol."""
        resting = self.venue.own_open(symbol)
        if len(resting) > 1 and not self.beyond:
            raise self.broken(f"O1: {[order.cl_ord_id for order in resting]} rest on {symbol}")

    def check_span(self, row: e.ExecutionSeen) -> None:
        """O4: what others did apart, our fills stay between the start and the targets since."""
        low, high = self.span[row.symbol]
        own = self.venue.position[row.symbol] - self.venue.foreign[row.symbol]
        if row.contracts and not low <= own <= high and not self.beyond:
            raise self.broken(f"O4: {own:+d} on {row.symbol}, which is not in {low:+d}..{high:+d}")

    def converge(self, within_us: int = 120 * SECOND, steps: int = 2_000) -> None:
        """V1, F1, F2: once all is well, the position is the target, and the books are the truth."""
        first_step, began_us = self.counts["steps"], self.now_us
        while not self.settled():
            if self.beyond and self.ledger.frozen:
                self.advance(within_us)
                break
            if self.now_us - began_us > within_us:
                raise self.broken(f"V1: not there after {within_us // SECOND} s: {self.told()}")
            if self.counts["steps"] - first_step > steps:
                raise self.broken(f"V1: not there after {steps} steps: {self.told()}")
            self.advance(SECOND)
        self.counts["seconds to converge"] = (self.now_us - began_us) // SECOND
        self.advance(3 * SECOND)
        truth = {r.exec_id: r.contracts for _, r in self.venue.executions if r.contracts}
        if self.booked != truth:
            raise self.broken(f"F1: booked and true fills differ: {self.booked} {truth}")
        for symbol, book in self.ledger.books.items():
            if book.position != self.venue.position[symbol]:
                raise self.broken(f"F2: {self.told()}")
            if self.beyond and self.ledger.frozen:
                if self.venue.own_open(symbol) or not self.ledger.incidents:
                    raise self.broken(f"an order is left on {symbol}, or nobody was told")
                continue
            if book.frozen or any(name.endswith(f" {symbol}") for name in self.ledger.incidents):
                raise self.broken(f"left behind: {self.told()}, {list(self.ledger.incidents)}")

    def settled(self) -> bool:
        return all(
            book.target is not None
            and book.state is State.IDLE
            and book.position == book.target.contracts == self.venue.position[symbol]
            and book.confirmed
            for symbol, book in self.ledger.books.items()
        )


def read(row: e.AnyEvent) -> e.AnyEvent:
    """The same row, looked up on purpose."""
    return msgspec.structs.replace(row, source=e.Source.READ)


def canonical(ledger: Ledger) -> bytes:
    """The ledger's bytes, the same for the same ledger in every process."""
    return msgspec.json.encode(ledger, order="deterministic")


def main() -> int:
    """Live many seeds; name those that broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--harsh", action="store_true")
    parser.add_argument("--storm", type=int, default=90, help="seconds of faults")
    asked = parser.parse_args()
    began, total, bad = time.monotonic(), Counter[str](), 0
    incidents = Counter[str]()
    for seed in range(asked.first, asked.first + asked.seeds):
        world = World(seed, asked.harsh)
        try:
            world.live(asked.storm * SECOND)
        except Exception as broken:  # a crash of the core is a finding too
            bad += 1
            print(f"seed {seed}: {type(broken).__name__}: {broken}", flush=True)
        total.update(world.counts)
        incidents.update(world.seen_incidents)
    took = time.monotonic() - began
    print(f"{asked.seeds} seeds, {bad} bad, {total['steps']} steps, {took:.1f} s", end=", ")
    print(f"{total['steps'] / took:.0f} steps/s")
    print(dict(total), dict(incidents))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
