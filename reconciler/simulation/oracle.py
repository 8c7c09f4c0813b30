"""
The oracle: sees the venue's truth and the service's ledger, and says which promise was broken.

One method an invariant of the fault model, named by its id. ``step`` is called after every event
of the core, ``writing`` before the first byte of every request, ``traded`` and ``placed`` by the
venue. A broken invariant is a `Broken`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core import step as core
from reconciler.core.ledger import Book
from reconciler.journal import codec
from reconciler.simulation import at_the_end
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.asked import Asked
from reconciler.simulation.at_the_wire import AtTheWire
from reconciler.simulation.listings import Order
from reconciler.simulation.memory import Step
from reconciler.simulation.parts import Parts
from reconciler.simulation.promises import NEVER, OVER, UNWANTED_US, Broken
from reconciler.simulation.retold import Retold
from reconciler.simulation.settled import Settled
from reconciler.simulation.timetable import Timetable
from reconciler.simulation.worked import Worked

if TYPE_CHECKING:
    from reconciler.simulation.world import World


MOST_BYTES = 200_000
SET_LONG_AGO_US = 125 * SECOND  # words about the clock as it was are forgotten by then
CLOCK_SET_US = 5 * SECOND  # as far as the venue may have set its clock back, in all

__all__ = ["Broken", "Oracle"]


class Oracle(AtTheWire):
    """
    Judges one life.

    Args:
        world: The life.
        inside: Whether the ledger is ours and can be looked into; a control shows only its deeds.
    """

    def __init__(self, world: World, inside: bool = True) -> None:
        super().__init__(world, inside)
        self.steps = 0
        self.recent: deque[tuple[int, e.AnyEvent, list[d.AnyDecision]]] = deque(maxlen=40)
        self.incidents: Counter[str] = Counter()
        self.booked: dict[str, int] = {}
        self.span: dict[str, tuple[int, int]] = {}
        self.wanted: dict[str, int | None] = {}
        self.acknowledged: dict[str, int] = {}
        self.position: Counter[str] = Counter()  # as the newest fact has it
        self.moved: Counter[str] = Counter()  # by fills and adjustments, in all
        self.anchors: dict[str, int] = {}
        self.anchored_us: dict[str, int] = {}  # what others traded before is in the anchor
        self.retold, self.parts = Retold(), Parts()
        self.timetable = Timetable(world)
        self.worked = Worked(self)
        self.settled, self.asked = Settled(self), Asked(self)
        self.unwanted_us: dict[str, int] = {}  # since when an order must not be there
        self.watermark_us = 0
        self.filled: dict[str, int] = {}
        self.over: set[str] = set()
        self.versions: dict[str, int] = {}
        self.policies: dict[str, str] = {}
        self.quarantined: dict[str, int] = {}  # name -> until when a given-up order still counts
        self.alarms: list[int] = []  # when an incident told of what is assumed not to happen
        self.anomalies: list[tuple[int, str]] = []  # when the venue did so, and what

    # -- after every event of the core ------------------------------------------------------------

    def step(self, ledger: Any, event: e.AnyEvent) -> core.Outcome:
        """The core, watched."""
        if isinstance(event, e.Started):
            self._restarted()
        elif isinstance(event, e.ClockMeasured):
            self.a6_clock_is_known(event)
        outcome = core.step(ledger, event)
        self.steps += 1
        self.recent.append((self.world.agenda.now_us, event, outcome.decisions))
        for book in ledger.books.values():
            self.o1_one_live_in_the_store(book)
            self.o7_stop_is_followed_up(book, event.at_us)
        self.v4_bounded(ledger)
        return outcome

    def recorded(self, steps: Sequence[Step]) -> None:
        """What was just committed. What was stepped and lost with its process never happened."""
        for event, decisions, facts in steps:
            if isinstance(event, e.TargetSet):
                self.note_target(event.symbol, event.contracts)
                self.note_policy(event.symbol, event.policy)
                self.versions[event.symbol] = event.version
            elif isinstance(event, e.Synced):
                self.f5_watermark_never_goes_back(event)
            elif isinstance(event, e.Adjusted):
                self.moved[event.symbol] += event.contracts
            for judge in (self.settled, self.asked):
                judge.hear(event, decisions, facts)
            self.parts.hear(facts, self.position)
            for fact in facts:
                self._fact(fact)
            booked = {fact.symbol for fact in facts if isinstance(fact, d.FillBooked)}
            self.retold.hear(event, booked)
            self.pace.hear(event)
            self.timetable.hear(event)
            self.fortune.hear(event, facts)
            if self.inside:
                self.worked.hear(event, decisions, facts)
                if self.world.desks.open:
                    self.world.desks.nets.hear(event, decisions, facts)
            for decision in decisions:
                if isinstance(decision, d.PlaceOrder):
                    self.o5_decided(decision, event.at_us)
                    self.o5_prices_and_steps(decision)
                    self.o6_worst_case(decision)
                    self.o6_deadline(decision, event.at_us)
                    self.o9_ids_are_never_reused(decision)
                    self.note_intent(decision)
        if self.inside and self.world.desks.open:
            self.world.desks.nets.committed(event for event, _, _ in steps)
        if self.inside and self.world.process is not None:
            for book in self.world.process.engine.ledger.books.values():
                self.f2_ledger_is_its_executions(book)
            self.parts.agree(self.world.process.engine.ledger)

    def _fact(self, fact: d.AnyFact) -> None:
        if isinstance(fact, d.FillBooked):
            self.f1_each_fill_once(fact)
            self.something_changed(fact.symbol)
            self.position[fact.symbol] = fact.position
        elif isinstance(fact, d.OrderChanged):
            self.f3_complete_before_closed(fact)
            self.f5_filled_never_goes_back(fact)
        elif isinstance(fact, d.PositionMoved):
            self.position[fact.symbol] = fact.contracts
        elif isinstance(fact, d.TargetClosed):
            if fact.outcome == "expired" and fact.version == self.versions.get(fact.symbol):
                self.note_target(fact.symbol, fact.now)
        elif isinstance(fact, d.IncidentOpened):
            self.incidents[str(fact.type)] += 1
            if fact.type in NEVER:
                self.alarms.append(self.world.agenda.now_us)
            self.checks += 1
            if fact.type in NEVER and self.strict:
                raise Broken("incident", f"{fact.type}: {fact.summary}")

    def o1_one_live_in_the_store(self, book: Book) -> None:
        """O1: at most one live or doubtful intent a symbol is in the store."""
        self.checks += 1
        alive = [order for order in book.own_orders() if order.alive]
        if len(alive) > 1 and self.strict:
            raise Broken("O1", f"{[order.cl_ord_id for order in alive]} are alive in the ledger")

    def a6_clock_is_known(self, event: e.ClockMeasured) -> None:
        """A6: what is said of the venue's clock is true, once nobody has set it for a while."""
        world = self.world
        if not self.inside or world.agenda.now_us - world.venue_clock_set_us < SET_LONG_AGO_US:
            return
        self.checks += 1
        assert world.process is not None
        true_us = world.venue_clock.now_us() - world.process.loop.now_us()
        wrong_us = abs(event.offset_us - true_us)
        if wrong_us > event.error_us:
            raise Broken("A6", f"the clock is {wrong_us} µs off, and said {event.error_us} at most")

    def o5_decided(self, decision: d.PlaceOrder, at_us: int) -> None:
        """O5: when it was decided, the gate was open, as another reading of the events has it."""
        self.checks += 1
        what = self.retold.missing_for(decision, at_us)
        if not self.strict and what.startswith("the position row"):
            return  # reads may be any age: no row can be told to be the newest
        if what:
            raise Broken("O5", f"{decision.cl_ord_id} was decided, and {what}")

    def o5_prices_and_steps(self, decision: d.PlaceOrder) -> None:
        """O5: decided for the newest target, from prices that are some, in whole lots and ticks."""
        self.checks += 1
        name, symbol = decision.cl_ord_id, decision.symbol
        if not self.inside:
            return
        if decision.target_version != self.versions.get(symbol):
            raise Broken("O5", f"{name} is for version {decision.target_version} of the target")
        bid, ask = decision.bid, decision.ask
        if bid is not None and ask is not None and bid >= ask:
            raise Broken("O5", f"{name} was decided from bid {bid} and ask {ask}")
        lot, tick = self.retold.rules[symbol]
        if decision.contracts % lot or decision.price % tick:
            raise Broken("O5", f"{name}: {decision.contracts} at {decision.price} fit no order")

    def o6_worst_case(self, decision: d.PlaceOrder) -> None:
        """O6: what was given up still counts for ten minutes, as if it might come back."""
        self.checks += 1
        symbol, now_us = decision.symbol, self.world.agenda.now_us
        worst = decision.position + decision.contracts
        for name, until_us in self.quarantined.items():
            other = self.placed_by_name[name]
            came = self.world.exchange.by_name.get(name)  # then what it filled is booked
            still = other.contracts if not came else sum(o.side * o.leaves for o in came if o.open)
            if other.symbol == symbol and other.contracts * decision.contracts > 0:
                worst += still if now_us < until_us else 0
        if self.world.settings.foreign_orders != "ignore":
            worst += self.retold.others(symbol, decision.contracts)
        most = self.world.settings.limits_of(symbol).max_position_contracts
        if abs(worst) > most and not decision.reduce_only:
            raise Broken("O6", f"{decision.cl_ord_id}: the position could become {worst:+d}")

    def o6_deadline(self, decision: d.PlaceOrder, at_us: int) -> None:
        """V1: whoever has a deadline is at his policy's last stage once it comes near."""
        self.checks += 1
        policy = self.world.settings.policies[decision.policy]
        last = len(policy.rungs) - 1
        late = self.retold.is_late(decision.symbol, policy.before_deadline_us, at_us)
        if late and decision.rung < last and self.inside:
            raise Broken("V1", f"{decision.cl_ord_id}: {decision.stage} past the deadline")

    def o7_stop_is_followed_up(self, book: Book, at_us: int) -> None:
        """O7, O4: an order that must not be there is being cancelled, soon and again."""
        self.checks += 1
        order, symbol = book.order, book.symbol
        unwanted = False
        resting = order is not None and order.status == "working" and order.unbooked
        if order is not None and resting and order.filled < abs(order.asked) and not order.cancels:
            target = self.retold.reach(symbol, book.target.contracts if book.target else None)
            final = book.position + order.unbooked
            past = target is not None and (target - final) * order.side < 0
            unwanted = past or self.retold.halted(symbol) or bool(book.frozen)
            unwanted = unwanted or self.retold.unwanted(symbol)
            unwanted = unwanted or (not order.reduce_only and bool(self.fortune.in_the_way(symbol)))
        if not unwanted:
            self.unwanted_us.pop(symbol, None)
        elif at_us - self.unwanted_us.setdefault(symbol, at_us) > UNWANTED_US:
            raise Broken("O7", f"{symbol}: nobody cancels an order that must not be there")

    def o9_ids_are_never_reused(self, decision: d.PlaceOrder) -> None:
        """O9: no client order id is given twice over the life of the account."""
        self.checks += 1
        if decision.cl_ord_id in self.placed_by_name:
            raise Broken("O9", f"{decision.cl_ord_id} was given twice")

    def f1_each_fill_once(self, fact: d.FillBooked) -> None:
        """F1, F4: a booked fill happened, is booked once, and belongs to the right intent."""
        self.checks += 1
        truth = self.world.exchange.fills.get(fact.exec_id)
        if fact.exec_id in self.booked:
            raise Broken("F1", f"{fact.exec_id} was booked twice")
        if truth is None or truth[:2] != (fact.symbol, fact.contracts):
            raise Broken("F1", f"{fact} is not what happened: {truth}")
        if fact.cl_ord_id.partition("/")[0] != (truth[2] if truth[2] in self.written else ""):
            raise Broken("F4", f"{fact.exec_id} is {truth[2]!r}'s, and is booked for {fact}")
        self.booked[fact.exec_id] = fact.contracts
        at_us = self.world.exchange.filled_us(fact.exec_id)
        if not fact.cl_ord_id and at_us <= self.anchored_us.get(fact.symbol, 0):
            if fact.position == self.position[fact.symbol]:
                return  # it came late, and is in the anchor
        self.moved[fact.symbol] += fact.contracts
        if fact.cl_ord_id:
            self.own_booked[fact.symbol] += fact.contracts
            self.own_fills[fact.symbol] += 1

    def f2_ledger_is_its_executions(self, book: Book) -> None:
        """F2: the position moves by booked executions and adjustments, and by nothing else."""
        self.checks += 1
        if book.anchor is None:
            return
        drawn = book.position - self.moved[book.symbol]
        anchored = self.anchors.setdefault(book.symbol, drawn)
        self.anchored_us.setdefault(book.symbol, self.world.agenda.now_us)
        if drawn != anchored:
            raise Broken("F2", f"{book.symbol} moved by {drawn - anchored:+d} without a fill")

    def f3_complete_before_closed(self, fact: d.OrderChanged) -> None:
        """F3: a closed order trades no more and has all its fills; a refused one has none."""
        self.checks += 1
        name = fact.cl_ord_id
        orders = self.world.exchange.by_name.get(name, [])
        if not self.strict:
            if fact.status == "void" and any(order.open for order in orders):
                self.anomaly(fact.symbol, name, "an order that was given up, and rests")
            return
        if fact.status == "closed":
            filled = sum(order.filled for order in orders)
            if any(order.open for order in orders) or filled != fact.booked:
                raise Broken("F3", f"{name} was closed with {fact.booked} of {filled}")
        elif fact.status in ("refused", "void"):
            if any(order.open or order.filled for order in orders):
                raise Broken("F3", f"{name} is {fact.status}, and the venue has it")

    def f5_filled_never_goes_back(self, fact: d.OrderChanged) -> None:
        """F5: what an order has filled never shrinks."""
        self.checks += 1
        if fact.filled < self.filled.get(fact.cl_ord_id, 0):
            raise Broken("F5", f"{fact.cl_ord_id} has filled less than before")
        self.filled[fact.cl_ord_id] = fact.filled
        if fact.cl_ord_id in self.over and fact.status not in OVER and self.strict:
            raise Broken("F5", f"{fact.cl_ord_id} was over, and is {fact.status} again")
        if fact.status in OVER:
            self.over.add(fact.cl_ord_id)
        if fact.status == "void" and fact.cl_ord_id in self.placed_by_name:
            drift_us = 30 * SECOND  # of a clock of ours that is 5 % fast
            self.quarantined[fact.cl_ord_id] = self.world.agenda.now_us + 600 * SECOND - drift_us

    def f5_watermark_never_goes_back(self, event: e.Synced) -> None:
        """F5, F1: the watermark never goes back, and never says that what is to come was read."""
        self.checks += 1
        ahead_us = event.watermark_us - self.world.venue_clock.now_us()
        if ahead_us > CLOCK_SET_US and self.inside:
            raise Broken("F1", f"the watermark is {ahead_us} µs ahead of the venue's time")
        assert self.world.process is not None
        now_us = self.world.process.engine.ledger.watermark_us if self.inside else 2**62
        if now_us < self.watermark_us:
            raise Broken("F5", "the watermark went back")
        self.watermark_us = min(now_us, max(self.watermark_us, event.watermark_us))

    def v4_bounded(self, ledger: Any) -> None:
        """V4: requests without an answer stay few."""
        self.checks += 1
        if len(ledger.requests) > 200:
            raise Broken("V4", f"{len(ledger.requests)} requests are out")

    def v4_small(self, ledger: Any) -> None:
        """V4: what is remembered does not grow with the hours."""
        self.checks += 1
        size = len(codec.encode(ledger))
        if size > MOST_BYTES:
            raise Broken("V4", f"the ledger has grown to {size} bytes")

    # -- at the venue ------------------------------------------------------------------------------

    def placed(self, order: Order) -> None:
        """O1: one order of ours at most rests on a symbol, and none comes after it was given up."""
        if not order.own:
            return
        if not self.strict:
            self._note_what_was_not_assumed(order)
            return
        self.checks += 1
        resting = self.world.exchange.own_open(order.symbol)
        if len(resting) > 1:
            raise Broken("O1", f"{[o.cl_ord_id for o in resting]} rest on {order.symbol}")
        process = self.world.process
        if self.inside and process is not None:
            known = process.engine.ledger.book(order.symbol).orders.get(order.cl_ord_id)
            if known is not None and known.status in OVER:
                raise Broken("O1", f"{order.cl_ord_id} came alive after it was {known.status}")

    def _note_what_was_not_assumed(self, order: Order) -> None:
        """The venue has broken an assumption, and this order is what came of it."""
        exchange, name = self.world.exchange, order.cl_ord_id
        if len(exchange.by_name[name]) > 1:
            self.anomaly(order.symbol, name, "a second order under one name")
        elif name in self.over:
            self.anomaly(order.symbol, name, "an order that came after it was given up")

    def anomaly(self, symbol: str, name: str, what: str) -> None:
        """Something that has to be noticed, unless the account is frozen for the like of it."""
        process = self.world.process
        open_now = process.engine.ledger.incidents if process is not None else {}
        if not any(name.partition(" ")[0] in NEVER for name in open_now):
            self.anomalies.append((self.world.agenda.now_us, f"{symbol} {name}: {what}"))

    def detected(self) -> None:
        """What the venue did that it is assumed not to do was noticed, and said."""
        for at_us, what in self.anomalies:
            self.checks += 1
            if not any(alarm_us >= at_us for alarm_us in self.alarms):
                raise Broken("detection", f"{what}, and nobody was told")

    def traded(self, order: Order, contracts: int) -> None:
        """O4: an own fill stays between where its intent began and the targets since."""
        if not order.own or not self.strict:
            return
        self.checks += 1
        symbol = order.symbol
        low, high = self.span[symbol]
        own = self.world.exchange.own[symbol]
        if not low <= own <= high:
            raise Broken("O4", f"{symbol}: own fills are {own:+d}, not in {low:+d}..{high:+d}")

    def note_intent(self, decision: d.PlaceOrder) -> None:
        """From here on own fills may lead from what is held now to the target."""
        self.placed_by_name[decision.cl_ord_id] = decision
        symbol = decision.symbol
        start = self.world.exchange.own[symbol]
        target = self.retold.reach(symbol, self.wanted.get(symbol))
        goal = start
        if target is not None:
            # A control may believe anything: what others hold is taken from the truth then.
            held = decision.position if self.inside else self.world.exchange.position[symbol]
            goal = target - (held - start)
        self.span[symbol] = min(start, goal), max(start, goal)

    def note_policy(self, symbol: str, policy: str) -> None:
        """Another way to work the same target: what was refused is not what is asked for now."""
        if self.policies.get(symbol, policy) != policy:
            self.something_changed(symbol)
        self.policies[symbol] = policy

    def note_target(self, symbol: str, target: int | None) -> None:
        """A target is in force."""
        if self.wanted.get(symbol) == target:
            return
        self.wanted[symbol] = target
        self.something_changed(symbol)
        if target is not None:
            others = self.position[symbol] - self.own_booked[symbol]
            if not self.inside:
                exchange = self.world.exchange
                others = exchange.position[symbol] - exchange.own[symbol]
            own = target - others
            low, high = self.span.get(symbol, (own, own))
            self.span[symbol] = min(low, own), max(high, own)

    # -- at a restart, and at the end --------------------------------------------------------------

    def _restarted(self) -> None:
        self.something_changed("")
        self.unwanted_us.clear()

    def acknowledge(self, symbol: str, version: int, contracts: int) -> None:
        """A door has said: recorded."""
        self.acknowledged[symbol] = version

    def r3_acknowledged_is_durable(self, ledger: Any) -> None:
        """R3: what was acknowledged or acted on is in the ledger that a restart finds."""
        for symbol, version in self.acknowledged.items():
            self.checks += 1
            if ledger.book(symbol).version < version:
                raise Broken("R3", f"version {version} of {symbol} was acknowledged, and is lost")
        for name in self.written:
            if name not in self.world.journal.intents:
                raise Broken("R3", f"{name} was written, and is not in the journal")

    def quiet(self) -> None:
        """When all is quiet, books and truth are equal, and nothing is left behind."""
        at_the_end.quiet(self)

    def never_booked(self) -> list[str]:
        """F1: what happened since the first position, and is not in the books."""
        return at_the_end.never_booked(self)
