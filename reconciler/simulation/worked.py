"""
O6 and V1 for policies: what a policy was set to do is what its orders do.

Told by the drawn settings, the events as they were committed and the venue's own orders, with
arithmetic of its own: prices of *last* and *signal*, when an order may be repriced and how often,
the pace of what is spread over time, the share of the book, stages that only become harder.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import Policy, Stage
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.pace import MINUTE_US
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.oracle import Oracle

STEP_US = 1 * SECOND  # the least between two prices of one order
LATE_US = 12 * SECOND  # in which an amend that is out is answered, or doubted
AWAKE_US = 2 * SECOND  # whoever hears nothing for longer was asleep
SLICE = re.compile(r"slice (\d+) of (\d+)$")
NEVER_US = 2**62


@dataclass(slots=True)
class Way:
    """One target, and how far it has been worked."""

    contracts: int
    policy: str
    began_us: int  # of what is spread over time
    price: Decimal | None = None
    deadline_us: int | None = None
    left: int | None = None  # the position that it began at
    rung: int = 0  # the hardest so far


@dataclass(slots=True)
class Resting:
    """An order of ours, as it was last priced."""

    name: str
    side: int
    price: Decimal
    priced_us: int
    rung: int
    version: str
    amends: int = 0
    timed: bool = True  # by the clock of this run
    late_us: int = 0  # since when it is of too soft a stage
    amend: int = 0  # the request that asked for this price
    before: Decimal | None = None  # the price that it had


@dataclass(slots=True)
class Worked:
    """Judges how one life's targets are worked."""

    oracle: Oracle
    shown: int = 0  # prices that were worked out again: a life without any proves nothing
    _quotes: dict[str, e.Quoted] = field(default_factory=dict)
    _ways: dict[str, Way] = field(default_factory=dict)
    _orders: dict[str, Resting] = field(default_factory=dict)  # the newest, by symbol
    _amended: dict[str, deque[int]] = field(default_factory=dict)  # in the world's time
    _known: set[str] = field(default_factory=set)  # symbols whose position is sure
    _heard_us: int = 0

    def hear(
        self, event: e.AnyEvent, choices: Sequence[d.AnyDecision], facts: Sequence[d.AnyFact]
    ) -> None:
        """What was committed: an event, what was decided on it, and what it led to."""
        if isinstance(event, e.Quoted):
            self._quotes[event.symbol] = event
        elif isinstance(event, e.TargetSet):
            self._begin(event)
        elif isinstance(event, e.Started):
            self._restarted(event.at_us)
        elif isinstance(event, e.Answered):
            self._answered(event)
        quote = getattr(event, "quote", None)
        if isinstance(quote, e.Quoted):
            self._quotes[quote.symbol] = quote
        for fact in facts:
            self._learn(fact, event.at_us)
        for symbol, way in self._ways.items():
            self._rest(symbol, way)
        for choice in choices:
            if isinstance(choice, d.PlaceOrder):
                self._place(choice, event.at_us)
            elif isinstance(choice, d.AmendOrder):
                self._amend(choice, event.at_us)
            elif isinstance(choice, d.CancelOrder):
                resting = self._orders.get(choice.symbol)
                if resting is not None and resting.name == choice.cl_ord_id:
                    del self._orders[choice.symbol]
        self._deadlines(event.at_us)
        self._heard_us = event.at_us

    # -- what is known ---------------------------------------------------------------------------

    def _begin(self, target: e.TargetSet) -> None:
        """A target; one that only says the same again goes on with its way."""
        symbol, before = target.symbol, self._ways.get(target.symbol)
        same = before is not None and before.contracts == target.contracts
        if before is None or not same or before.policy != target.policy:
            began_us = target.at_us
            if before is not None and self._policy(before.policy).over_us:
                steps, due, every_us = self._steps(before, target.at_us)
                if due < steps:  # whoever changes his mind has no first step each time
                    began_us = before.began_us + due * every_us
            before = self._ways[symbol] = Way(target.contracts, target.policy, began_us)
        before.price, before.deadline_us = target.price, target.deadline_us

    def _learn(self, fact: d.AnyFact, at_us: int) -> None:
        if isinstance(fact, d.TargetClosed) and fact.outcome == "expired":
            if fact.version != self.oracle.versions.get(fact.symbol):
                return  # another has come in that very moment
            way = self._ways.pop(fact.symbol)
            if fact.now is not None:
                self._ways[fact.symbol] = Way(fact.now, way.policy, at_us)
        elif isinstance(fact, d.PositionMoved) and fact.anchor is not None:
            self._known.add(fact.symbol)
        elif isinstance(fact, d.TargetHeld) and fact.symbol in self._ways:
            self._ways[fact.symbol].rung = 0
        elif isinstance(fact, d.OrderChanged):
            resting = self._orders.get(fact.symbol)
            if resting is not None and resting.name == fact.cl_ord_id and fact.status != "working":
                resting.late_us = 0
                if fact.status not in ("intended", "in_doubt"):
                    del self._orders[fact.symbol]
        elif isinstance(fact, d.WaitingFor) and (told := SLICE.match(fact.what)):
            self._is_not_behind(fact.symbol, int(told[1]) - 1, at_us)

    def _answered(self, answer: e.Answered) -> None:
        """An amend that came to nothing has left the price as it was."""
        if answer.outcome in (e.Outcome.DONE, e.Outcome.IN_DOUBT):
            return
        for resting in self._orders.values():
            if resting.amend == answer.request_id and resting.before is not None:
                resting.price, resting.before = resting.before, None

    def _restarted(self, at_us: int) -> None:
        """Clocks of two runs are not compared."""
        self._quotes.clear()
        for way in self._ways.values():
            way.began_us = min(way.began_us, at_us)
        for resting in self._orders.values():
            resting.timed, resting.late_us = False, 0

    def _rest(self, symbol: str, way: Way) -> None:
        """Whether there is a gap; without one the next begins with the first stage."""
        if symbol not in self._known:
            return
        held, retold = self.oracle.position[symbol], self.oracle.retold
        goal = retold.reach(symbol, way.contracts)
        assert goal is not None
        gaps = [abs(n - held) > self._band(way, n) for n in (way.contracts, goal)]
        if way.left is None and any(gaps):
            way.left = held
        if not all(gaps) or retold.only_reduces(symbol):
            way.rung = 0

    def _band(self, way: Way, goal: int) -> int:
        return self._policy(way.policy).band_contracts if goal else 0

    def _policy(self, name: str) -> Policy:
        settings = self.oracle.world.settings
        return settings.policies[name or settings.default_policy]

    # -- what is judged --------------------------------------------------------------------------

    def _place(self, order: d.PlaceOrder, at_us: int) -> None:
        policy, way = self._policy(order.policy), self._ways[order.symbol]
        side = 1 if order.contracts > 0 else -1
        self._climbs(order, way)
        self._price(order.symbol, side, order.price, policy.rungs[order.rung], policy)
        if policy.slice_book_percent:
            self._share(order, policy.slice_book_percent)
        if policy.over_us:
            self._is_not_ahead(order, way, at_us)
        self._orders[order.symbol] = Resting(
            order.cl_ord_id, side, order.price, at_us, order.rung, order.policy_version
        )

    def _amend(self, amend: d.AmendOrder, at_us: int) -> None:
        resting, way = self._orders.get(amend.symbol), self._ways[amend.symbol]
        if resting is None or resting.name != amend.cl_ord_id:
            return  # it is of a life before it was given up, and came back
        policy = self._policy(way.policy)
        self._climbs(amend, way)
        self._price(amend.symbol, resting.side, amend.price, policy.rungs[amend.rung], policy)
        self._is_worth_it(amend, resting, policy, at_us)
        self._budget(amend, resting, policy)
        resting.amend, resting.before = amend.request_id, resting.price
        resting.price, resting.priced_us, resting.timed = amend.price, at_us, True
        resting.rung, resting.version = amend.rung, amend.policy_version

    def _climbs(self, order: d.PlaceOrder | d.AmendOrder, way: Way) -> None:
        """O6: while the gap is the same no stage is softer than the one before."""
        if self._policy(way.policy).over_us:
            return  # each step begins with the first
        if order.rung < way.rung:
            raise Broken("O6", f"{order.cl_ord_id} is of stage {order.rung} after {way.rung}")
        way.rung = order.rung

    def _price(self, symbol: str, side: int, asked: Decimal, stage: Stage, policy: Policy) -> None:
        """O6: *last* and *signal* ask for the price that they are set to."""
        quote, tick = self._quotes[symbol], self.oracle.retold.rules[symbol][1]
        if stage.how == "last" and quote.last is not None:
            self._was_traded(symbol, quote.last)
            price = Fraction(quote.last) + side * stage.offset_ticks * Fraction(tick)
        elif stage.how == "signal" and (given := self._ways[symbol].price) is not None:
            price = Fraction(given) * (10_000 + side * policy.max_slippage_bps) / 10_000
            price += side * stage.offset_ticks * Fraction(tick)
            if quote.mark is not None:
                collar = self.oracle.world.settings.limits_of(symbol).price_collar_bps
                edge = Fraction(quote.mark) * (10_000 + side * collar) / 10_000
                price = min(price, edge) if side > 0 else max(price, edge)
        else:
            return
        self.shown += 1
        rest = price - Fraction(asked)  # what rounding left, to the side of the order
        if asked % tick or not 0 <= rest * side < Fraction(tick):
            raise Broken("O6", f"{symbol}: {asked} for {stage.how}, and {float(price):.4f} is due")

    def _was_traded(self, symbol: str, last: Decimal) -> None:
        """The venue's market did trade there."""
        exchange = self.oracle.world.exchange
        marks = [exchange.marks[symbol], *(mark for _, mark in exchange.past_marks[symbol])]
        if not any(last - 1 <= mark - mark % 1 <= last for mark in marks):
            raise Broken("O6", f"{symbol}: nobody traded at {last}")

    def _share(self, order: d.PlaceOrder, percent: int) -> None:
        """O6: a slice is no larger than its share of the touch, but for a lot."""
        quote, lot = self._quotes[order.symbol], self.oracle.retold.rules[order.symbol][0]
        bid, ask = quote.bid_contracts, quote.ask_contracts
        touch = ask if (order.contracts > 0) == order.immediate else bid
        if touch is not None and abs(order.contracts) * 100 > max(touch * percent, lot * 100):
            raise Broken(
                "O6", f"{order.cl_ord_id}: {order.contracts} are no {percent} % of {touch}"
            )

    def _is_worth_it(
        self, amend: d.AmendOrder, resting: Resting, policy: Policy, at_us: int
    ) -> None:
        """O6: a price is old and left behind before it is another, or the stage is."""
        tick = self.oracle.retold.rules[amend.symbol][1]
        named = policy.version != resting.version
        harder = not named and amend.rung > resting.rung
        least_us, ticks = policy.reprice_after_us, max(policy.reprice_ticks, 1)
        if named or harder:
            least_us, ticks = min(least_us, STEP_US), 1
        if resting.timed and at_us - resting.priced_us < least_us:
            raise Broken("O6", f"{amend.cl_ord_id} was repriced too early, to {amend.price}")
        moved = (amend.price - self._price_of(resting)) * resting.side
        if (abs(moved) if named else moved) < ticks * tick:
            raise Broken("O6", f"{amend.cl_ord_id} was moved by {moved} only, to {amend.price}")

    def _price_of(self, resting: Resting) -> Decimal:
        """As the venue has it, where it is to be relied upon."""
        placed = self.oracle.world.exchange.by_name.get(resting.name)
        return placed[-1].price if placed and self.oracle.strict else resting.price

    def _budget(self, amend: d.AmendOrder, resting: Resting, policy: Policy) -> None:
        """O6: the amends of an order, and of a minute, are inside their budget."""
        if policy.max_amends_per_order and resting.amends >= policy.max_amends_per_order:
            raise Broken("O6", f"{amend.cl_ord_id} is amended once more than it may be")
        resting.amends += 1
        now_us = self.oracle.world.agenda.now_us
        amended = self._amended.setdefault(amend.symbol, deque())
        amended.append(now_us)
        while amended[0] <= now_us - MINUTE_US:
            amended.popleft()
        if policy.max_amends_per_minute and len(amended) > policy.max_amends_per_minute:
            raise Broken("O6", f"{len(amended)} amends of {amend.symbol} in a minute")

    # -- over time -------------------------------------------------------------------------------

    def _steps(self, way: Way, at_us: int) -> tuple[int, int, int]:
        """Of what is spread over time: how many steps there are, are due, and how long one is."""
        policy = self._policy(way.policy)
        every_us = policy.slice_every_us or max(policy.over_us // 20, SECOND)
        over_us = min(policy.over_us, self._last_call_us(way) - way.began_us)
        steps = max(1, (over_us + every_us - 1) // every_us)
        return steps, max(0, min(steps, 1 + (at_us - way.began_us) // every_us)), every_us

    def _last_call_us(self, way: Way) -> int:
        if way.deadline_us is None:
            return NEVER_US
        return way.deadline_us - self._policy(way.policy).before_deadline_us

    def _is_not_ahead(self, order: d.PlaceOrder, way: Way, at_us: int) -> None:
        """O6: nothing is ahead of an even way there."""
        if self.oracle.retold.reach(order.symbol, way.contracts) != way.contracts:
            return  # it leads elsewhere
        assert way.left is not None
        steps, due, _ = self._steps(way, at_us)
        side = 1 if way.contracts > way.left else -1
        done = (order.position + order.contracts - way.left) * side
        if order.contracts * side < 0:
            return  # others have moved it past the target
        if done > Fraction(abs(way.contracts - way.left) * due, steps):
            said = f"{order.position:+d} {order.contracts:+d} on the way from {way.left:+d}"
            raise Broken("O6", f"{order.cl_ord_id} is ahead: {said}, step {due} of {steps}")

    def _is_not_behind(self, symbol: str, due: int, at_us: int) -> None:
        """V1: nobody waits for a step that has come, however often he was restarted."""
        steps, true, _ = self._steps(self._ways[symbol], at_us)
        if due < true:
            raise Broken("V1", f"{symbol} waits for step {due + 1}, and {true} of {steps} are due")

    def _deadlines(self, at_us: int) -> None:
        """V1: an order of a softer stage does not rest on when the deadline comes near."""
        for symbol, resting in self._orders.items():
            way, retold = self._ways.get(symbol), self.oracle.retold
            if way is None or way.deadline_us is None or not resting.timed:
                continue
            soft = resting.rung < len(self._policy(way.policy).rungs) - 1
            late = soft and at_us >= self._last_call_us(way) and retold.could_work(symbol)
            if not late or at_us - self._heard_us > AWAKE_US:
                resting.late_us = 0
            elif at_us - (resting.late_us or at_us) > LATE_US:
                raise Broken("V1", f"{resting.name} rests on, past its deadline")
            else:
                resting.late_us = resting.late_us or at_us
