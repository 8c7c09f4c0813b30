"""
What must hold when the first byte of a request is about to be written, in truth.

The half of the oracle that looks at the wire; see `oracle` for the other.
"""

from __future__ import annotations

from collections import Counter, deque
from decimal import Decimal
from typing import TYPE_CHECKING

from reconciler.bitmex.answers import Kind
from reconciler.bitmex.outgoing import Job
from reconciler.core import decisions as d
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.fortune import Fortune
from reconciler.simulation.pace import Pace
from reconciler.simulation.promises import Broken
from reconciler.simulation.purse import Purse

if TYPE_CHECKING:
    from reconciler.simulation.world import World


class AtTheWire:
    """
    Judges every request.

    Args:
        world: The life.
        inside: Whether the ledger is ours and can be looked into; a control shows only its deeds.
    """

    def __init__(self, world: World, inside: bool = True) -> None:
        self.world = world
        self.inside = inside
        self.checks = 0
        self.placed_by_name: dict[str, d.PlaceOrder] = {}
        self.written: set[str] = set()
        self.own_booked: Counter[str] = Counter()
        self.own_fills: Counter[str] = Counter()
        self.purse = Purse(world)
        self.pace = Pace(world)
        self.fortune = Fortune(world)
        self.futile: dict[str, deque[int]] = {}  # posts since anything else changed
        self.hardest: dict[str, int] = {}  # and how hard they have tried since

    @property
    def strict(self) -> bool:
        """Whether the venue keeps to all that is assumed of it."""
        return self.world.weather.assumptions_hold

    def writing(self, job: Job) -> None:
        """The first byte of a request is about to be written."""
        if job.asked.kind is not Kind.PLACE:
            return
        name, symbol = job.asked.cl_ord_id, job.asked.symbol
        decision = self.placed_by_name.get(name)
        self.o3_single_shot(name)
        if decision is None:
            raise Broken("O2", f"{name} was never decided")
        if self.inside:
            self.o2_intent_first(name)
            self.v7_fail_stop(name)
            self.o5_gate(decision)
            self.o5_dead_man(decision)
            self.o6_limits(decision)
            self.o6_policy(decision)
            self.o7_stop_means_stop(symbol)
            self.v2_no_livelock(decision)

    def starved(self, decision: d.AnyDecision) -> None:
        """O8: a cancel or a heartbeat is handed to the wire at once."""
        raise Broken("O8", f"{decision} was held back")

    def o3_single_shot(self, name: str) -> None:
        """O3: at most one POST of an intent is ever written, over all runs."""
        self.checks += 1
        if name in self.written:
            raise Broken("O3", f"{name} was written twice")
        self.written.add(name)

    def o2_intent_first(self, name: str) -> None:
        """O2: the intent was durable before the first byte of its POST."""
        self.checks += 1
        if name not in self.world.journal.intents:
            raise Broken("O2", f"{name} is not in the journal")

    def o5_gate(self, decision: d.PlaceOrder) -> None:
        """O5: at the moment of writing, the conditions of the gate hold in truth."""
        self.checks += 1
        world, symbol = self.world, decision.symbol
        process = world.process
        assert process is not None
        now_us = process.loop.now_us()
        if now_us > decision.deadline_us:
            raise Broken("O5", f"{decision.cl_ord_id} was written past its deadline")
        if not process.gateway.in_sync:
            raise Broken("O5", f"{decision.cl_ord_id} was written out of sync")
        if process.gateway.silence_us(now_us) > 10 * SECOND + 300_000:
            raise Broken("V6", f"{decision.cl_ord_id} was written into silence")
        if not self.strict:
            return
        own, booked = world.exchange.own[symbol], self.own_booked[symbol]
        if own != booked:
            raise Broken("O5", f"{symbol}: own fills are {own:+d}, the books have {booked:+d}")
        ledger = process.engine.ledger
        true_us = world.venue_clock.now_us() - now_us
        calm_us = world.agenda.now_us - world.venue_clock_set_us
        if calm_us > 30 * SECOND and abs(true_us - ledger.clock_offset_us) > 1_500_000:
            raise Broken("O5", f"the venue's clock is {true_us - ledger.clock_offset_us} µs off")

    def o5_dead_man(self, decision: d.PlaceOrder) -> None:
        """
        O5: the dead man's switch, if it is used, is armed at the venue.

        Unless the disarming of a process before us came only now: the venue may turn two commands
        round, nobody is told, and the next heartbeat mends it.
        """
        world = self.world
        if world.settings.dead_man_us:
            self.checks += 1
            if world.exchange.switch in ("never armed", "fired"):
                raise Broken("O5", f"{decision.cl_ord_id}: the switch has {world.exchange.switch}")

    def v7_fail_stop(self, name: str) -> None:
        """V7: after a commit that failed, no order is written."""
        self.checks += 1
        if self.world.journal.broken:
            raise Broken("V7", f"{name} was written after the journal had failed")

    def o6_limits(self, decision: d.PlaceOrder) -> None:
        """O6: order size, worst case, collar, pace and purse are inside their limits."""
        self.checks += 1
        world, symbol = self.world, decision.symbol
        limits = world.settings.limits_of(symbol)
        size = abs(decision.contracts)
        if size > limits.max_order_contracts:
            raise Broken("O6", f"{decision.cl_ord_id} is {size} contracts")
        final = abs(decision.position + decision.contracts)
        if final > limits.max_position_contracts and final > abs(decision.position):
            raise Broken("O6", f"{decision.cl_ord_id} leads to {final} contracts")
        if decision.mark is None or (
            abs(decision.price - decision.mark) * 10_000 > decision.mark * limits.price_collar_bps
        ):
            raise Broken("O6", f"{decision.price} against a mark of {decision.mark}")
        self.pace.writing(decision)
        self.purse.writing(decision)
        self.fortune.writing(decision)

    def o6_policy(self, decision: d.PlaceOrder) -> None:
        """O6: what is to rest takes nothing, no slice is larger than one, nobody pays too much."""
        self.checks += 1
        policy = self.world.settings.policies[decision.policy]
        side = 1 if decision.contracts > 0 else -1
        other = decision.ask if side > 0 else decision.bid
        through = Decimal(0) if other is None else (decision.price - other) * side
        if decision.post_only and through >= 0 and other is not None:
            raise Broken("O6", f"{decision.cl_ord_id} is to rest at {decision.price}, past {other}")
        if policy.slice_contracts and abs(decision.contracts) > policy.slice_contracts:
            raise Broken("O6", f"{decision.cl_ord_id} is a slice of {decision.contracts}")
        if decision.stage == "cross" and through * 10_000 > (other or 0) * policy.max_slippage_bps:
            raise Broken("O6", f"{decision.cl_ord_id} pays {decision.price} against {other}")

    def o7_stop_means_stop(self, symbol: str) -> None:
        """O7: after a stop, a halt, a freeze or a pause is durable, no POST is written."""
        self.checks += 1
        assert self.world.process is not None
        ledger = self.world.process.engine.ledger
        book = ledger.books[symbol]
        why = ledger.stopping or ledger.halted or book.halted or ledger.frozen or book.frozen
        if "pause" in (ledger.mode, book.mode):
            why = why or "a pause"
        if why:
            raise Broken("O7", f"a POST for {symbol} was written after: {why}")

    def v2_no_livelock(self, decision: d.PlaceOrder) -> None:
        """
        V2: while nothing else changes, at most six POSTs a minute are written.

        The step to a harder stage of a policy is a change, but only once: to and fro is none. A
        slice that has come due is none either: what it follows is the fill of the one before.
        """
        self.checks += 1
        tries = 2 * decision.rung + decision.immediate
        if tries > self.hardest.get(decision.symbol, 0):
            self.something_changed(decision.symbol)
            self.hardest[decision.symbol] = tries
        futile = self.futile.setdefault(decision.symbol, deque())
        futile.append(self.world.agenda.now_us)
        while futile[0] < self.world.agenda.now_us - 59 * SECOND:
            futile.popleft()
        if len(futile) > 6:
            raise Broken("V2", f"{len(futile)} POSTs in a minute, and nothing else happened")

    def something_changed(self, symbol: str) -> None:
        """A reason for another POST."""
        if symbol:
            self.futile.pop(symbol, None)
            self.hardest.pop(symbol, None)
        else:
            self.futile.clear()
            self.hardest.clear()
