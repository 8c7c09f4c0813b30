"""
What would bring a symbol to its target.

Looks at all we know and at no single event, so an event that is late, lost or repeated costs time
and never a wrong order. Reads the ledger, and writes there only its notes: what the symbol waits
for, when to look again, whether it needs a price.
"""

from __future__ import annotations

from reconciler.core import policies, sizing
from reconciler.core.decisions import (
    AmendOrder,
    AnyDecision,
    ArmDeadMan,
    CancelOrder,
    PlaceOrder,
    ReadOrder,
    ReadPosition,
    Resync,
    WaitingFor,
)
from reconciler.core.gate import missing, opens_at_us
from reconciler.core.ledger import (
    AUDIT_EVERY_US,
    NEVER_US,
    Book,
    Order,
    Target,
)
from reconciler.core.lifecycle import State
from reconciler.core.policies import Pricing
from reconciler.core.review import missing_fills_us
from reconciler.core.turn import Turn

LOOK_AGAIN_US = 1_000_000  # when only a price or the market can change an answer


class Planner:
    """One look at one book."""

    def __init__(self, turn: Turn, book: Book) -> None:
        self.turn = turn
        self.ledger = turn.ledger
        self.timing = turn.ledger.settings.timing
        self.book = book
        self.at_us = turn.at_us
        self.decisions: list[AnyDecision] = []
        self.wake_us = NEVER_US
        self.waiting_for = ""
        self.wants_quote = False

    def plan(self) -> list[AnyDecision]:
        """Decide, and leave the notes in the book."""
        book = self.book
        for order in book.own_orders():
            self._look_up(order)
            self._end_doubt(order)
            if order.cl_ord_id != book.live:
                self._clear_away(order)
        if book.state is State.IDLE:
            self._place()
        elif book.state is State.FILLED:
            self.waiting_for = missing(self.ledger, book) or "the books to agree"
        else:
            assert book.order is not None
            self._work(book.order)
        self._check_position()
        self._take_note()
        return self.decisions

    # -- an order that is there ---------------------------------------------------------------

    def _work(self, order: Order) -> None:
        """Keep it, reprice it or cancel it."""
        book = self.book
        if order.status == "intended":
            self.waiting_for = f"an answer about {order.cl_ord_id}"
            self._wake(order.placed_us + self.timing.in_flight_deadline_us)
            return
        if order.doubt is not None:
            self.waiting_for = f"an answer about {order.cl_ord_id}"
            return
        if book.state is State.CANCELLING:
            self.waiting_for = f"the end of {order.cl_ord_id}"
            self._cancel(order, "asked again")
            return
        self.waiting_for = f"a fill of {order.cl_ord_id}"
        why = self.unwanted(order)
        if why:
            self.waiting_for = f"the end of {order.cl_ord_id}"
            self._cancel(order, why)
        elif book.target is not None and not order.amend_id:
            self._reprice(order, book.target)

    def unwanted(self, order: Order) -> str:
        """Why this order should not be there; "" if it should."""
        ledger, book = self.ledger, self.book
        if order.zombie:
            return "it was thought over"
        stop = self._stopped()
        if stop:
            return stop
        if order.price_in_doubt:
            return "its price is in doubt"
        target = book.target
        if target is None:
            return "no target"
        if sizing.passes_the_target(book, order, target.contracts):
            return f"target {target.contracts:+d}"
        final = book.position + order.unbooked
        most = ledger.settings.limits_of(book.symbol).max_position_contracts
        if abs(final) > most and abs(final) > abs(book.position):
            return f"limits.max_position_contracts = {most}"
        return ""

    def _stopped(self) -> str:
        """Why no order of ours should be there at all; "" if one may."""
        ledger, book = self.ledger, self.book
        if ledger.stopping and not ledger.keep_orders:
            return f"stopping: {ledger.stopping}"
        if ledger.halted or book.halted:
            return "halted"
        if ledger.frozen or book.frozen:
            return "frozen"
        return "" if book.symbol in ledger.settings.symbols else "not a configured symbol"

    def _reprice(self, order: Order, target: Target) -> None:
        """Follow the market, not more often than the policy says; then try harder."""
        book = self.book
        policy = policies.policy_of(self.ledger.settings, target.policy)
        if not self.ledger.in_sync or book.instrument is None:
            return
        worked_us = self.at_us - (target.gap_since_us or self.at_us)
        stage = policies.stage_of(policy, worked_us)
        if stage == "cross":  # a resting order can't: another takes its place
            if not order.immediate:
                self._cancel(order, f"{stage} now ({target.policy or 'default policy'})")
            return
        if policy.escalate_after_us:
            self._wake(self.at_us - worked_us + policy.escalate_after_us)
        if self.ledger.throttled_until_us > self.at_us or not book.instrument.open:
            self._wake(self.ledger.throttled_until_us)
            return  # what is left of the budget is for cancels
        checked_us = max(order.priced_us, book.quote.at_us if book.quote else 0)
        due_us = checked_us + policy.reprice_after_us
        if self.at_us < order.priced_us + policy.reprice_after_us:
            self._wake(due_us)
            return
        if self._quote_is_fresh() and book.quote is not None and book.quote.at_us == self.at_us:
            pricing = policies.price(policy, stage, order.side, book.quote, book.instrument.tick)
            self._wake(self.at_us + policy.reprice_after_us)
            if pricing is None or order.cancel_id or self._price_problem(pricing):
                return
            best = book.quote.bid if order.side > 0 else book.quote.ask
            then_us = worked_us - (self.at_us - order.priced_us)
            tick = book.instrument.tick
            if policies.worth_an_amend(policy, pricing, order.price, best, then_us, tick):
                self._decide_amend(order, pricing)
            return
        if self.at_us >= due_us:
            self.wants_quote = True
        else:
            self._wake(due_us)

    def _decide_amend(self, order: Order, pricing: Pricing) -> None:
        self.decisions.append(
            AmendOrder(
                request_id=self._next_id(),
                cl_ord_id=order.cl_ord_id,
                symbol=order.symbol,
                price=pricing.price,
                expires_us=self._expires_us(),
                reason=f"{pricing.stage} at {pricing.price}",
            )
        )

    def _cancel(self, order: Order, why: str) -> None:
        """Cancel, unless a cancel is out; repeat it with growing patience."""
        if order.cancel_id or order.over_us is not None:
            return
        if self.at_us < order.cancel_again_us:
            self._wake(order.cancel_again_us)
            return
        self.decisions.append(
            CancelOrder(
                request_id=self._next_id(),
                cl_ord_id=order.cl_ord_id,
                symbol=order.symbol,
                reason=why,
                order_id=order.order_id if order.zombie else "",
            )
        )

    # -- an order that must be looked up, or ended --------------------------------------------

    def _look_up(self, order: Order) -> None:
        """Ask the venue about an order in doubt, or one that lacks fills."""
        if not order.read_again_us or order.read_id or not self.ledger.in_sync:
            return
        if not (order.alive or order.status == "ended"):
            return
        if self.at_us < order.read_again_us:
            self._wake(order.read_again_us)
            return
        why = "in doubt" if order.doubt is not None else "what became of it"
        if order.status == "ended":
            why = f"{order.filled - order.booked} fills are missing"
        self.decisions.append(
            ReadOrder(
                request_id=self._next_id(),
                cl_ord_id=order.cl_ord_id,
                symbol=order.symbol,
                reason=why,
            )
        )

    def _end_doubt(self, order: Order) -> None:
        """Steps (a) to (d); evidence on the way ends it sooner. See docs/guarantees.md."""
        doubt = order.doubt
        ledger = self.ledger
        if doubt is None:
            return
        stop = self._stopped()
        if stop:  # it may be there: harmless if it is not, and no proof that it is not
            self._cancel(order, stop)
        if not ledger.in_sync:
            return
        if doubt.expired_us is None:
            if ledger.clock_is_good():  # a better clock is an event of its own
                error_us = ledger.clock_error_us or 0
                known_us = order.expires_us + self.timing.clock_margin_us + error_us
                self._wake(max(known_us - ledger.clock_offset_us + 1, self.at_us + 100_000))
        elif doubt.barrier_us is None and not stop:
            self._cancel(order, "barrier: it has expired; is there anything to cancel?")
        else:
            self._wake(max(doubt.expired_us + self.timing.hold_us, order.read_again_us))

    def _clear_away(self, order: Order) -> None:
        """An order beside the state's own one: whatever it is, it should not be alive."""
        if order.status == "working":
            self._cancel(order, "it was thought over")
        elif order.quarantined_until_us:
            self._wake(order.quarantined_until_us)

    # -- a new order ---------------------------------------------------------------------------

    def _place(self) -> None:
        ledger, book = self.ledger, self.book
        target = book.target
        if target is None:
            return
        policy = policies.policy_of(ledger.settings, target.policy)
        gap = target.contracts - book.position
        what = missing(ledger, book)
        if abs(gap) <= policy.band_contracts and not what:
            return
        if what or book.instrument is None:
            self.waiting_for = what
            opens_us = opens_at_us(ledger, book)
            if opens_us is not None:
                self._wake(opens_us)
            return
        size = sizing.next_size(ledger, book, target.contracts)
        if not size.contracts:
            self.waiting_for = size.why_not
            return
        if self._too_many_orders():
            return
        if not self._quote_is_fresh():
            self.waiting_for, self.wants_quote = "a price", True
            return
        assert book.quote is not None
        stage = policies.stage_of(policy, self.at_us - (target.gap_since_us or self.at_us))
        side = 1 if size.contracts > 0 else -1
        pricing = policies.price(policy, stage, side, book.quote, book.instrument.tick)
        problem = "a price on the right side" if pricing is None else self._price_problem(pricing)
        if problem or pricing is None:
            self.waiting_for = problem
            self._wake(self.at_us + LOOK_AGAIN_US)
            return
        self._decide_place(target, size, pricing)

    def _decide_place(self, target: Target, size: sizing.Size, pricing: Pricing) -> None:
        ledger, book = self.ledger, self.book
        assert book.quote is not None
        assert ledger.run is not None
        policy_name = target.policy or ledger.settings.default_policy
        cl_ord_id = f"{ledger.run.id_stem}{ledger.next_order_number:06d}"
        self.waiting_for = f"an answer about {cl_ord_id}"
        self._wake(self.at_us + self.timing.in_flight_deadline_us)
        self.decisions.append(
            PlaceOrder(
                request_id=self._next_id(),
                cl_ord_id=cl_ord_id,
                symbol=book.symbol,
                contracts=size.contracts,
                price=pricing.price,
                post_only=pricing.post_only,
                reduce_only=size.reduce_only,
                immediate=pricing.immediate,
                expires_us=self._expires_us(),
                deadline_us=self.at_us + self.timing.send_within_us,
                target_version=target.version,
                instrument_version=book.instrument_version,
                position=book.position,
                bid=book.quote.bid,
                ask=book.quote.ask,
                mark=book.quote.mark,
                policy=policy_name,
                reason=(
                    f"target {target.contracts:+d}, position {book.position:+d}, "
                    f"{pricing.stage} at {pricing.price} ({policy_name})"
                ),
            )
        )

    def _too_many_orders(self) -> bool:
        ledger, book = self.ledger, self.book
        most = ledger.settings.limits_of(book.symbol).max_orders_per_minute
        whole = ledger.settings.limits.max_orders_per_minute
        for placed_us, limit in ((book.placed_us, most), (ledger.placed_us, whole)):
            free_us = sizing.minute_is_full(placed_us, self.at_us, limit)
            if free_us is not None:
                self.waiting_for = f"limits.max_orders_per_minute = {limit}"
                self._wake(free_us)
                return True
        return False

    def _price_problem(self, pricing: Pricing) -> str:
        """What is wrong with the quote, or with the price that was drawn from it."""
        book = self.book
        quote, instrument = book.quote, book.instrument
        assert quote is not None
        assert instrument is not None
        limits = self.ledger.settings.limits_of(book.symbol)
        if quote.age_us > limits.stale_price_us:
            return f"a price younger than {limits.stale_price_us // 1_000_000} s"
        if quote.bid is not None and quote.ask is not None and quote.bid >= quote.ask:
            return "an uncrossed book"
        if quote.mark is None or quote.mark <= 0:
            return "the mark price"
        if policies.outside_collar(pricing.price, quote.mark, limits.price_collar_bps):
            return (
                f"a price within limits.price_collar_bps = {limits.price_collar_bps} "
                f"of the mark: {pricing.price} against {quote.mark}"
            )
        if pricing.price <= 0 or (instrument.max_price and pricing.price > instrument.max_price):
            return f"a price that the venue allows: {pricing.price}"
        return ""

    def _quote_is_fresh(self) -> bool:
        quote = self.book.quote
        return quote is not None and self.at_us - quote.at_us <= self.timing.quote_fresh_us

    # -- the position --------------------------------------------------------------------------

    def _check_position(self) -> None:
        """While the venue's row and the books differ, look; in the end read everything again."""
        ledger, book = self.ledger, self.book
        if not ledger.in_sync or book.confirmed:
            return
        if book.anchor is None:
            self._wake(book.anchor_again_us)
            if self.at_us >= book.anchor_again_us and (book.target or book.anchor_again_us):
                self._want_resync(f"{book.symbol} has no first position")
            return
        if book.frozen:
            return
        if book.state not in (State.IDLE, State.FILLED):
            return
        assert book.differs_since_us is not None  # in sync, and not confirmed
        repair_us = book.differs_since_us + self.timing.position_grace_us
        if book.repairs:
            self._wake(book.differs_since_us + 2 * self.timing.position_grace_us)
        elif self.at_us < repair_us:
            self._wake(repair_us)
        else:
            self._want_resync(f"position of {book.symbol} differs")
        if book.position_id:
            return
        if self.at_us < book.position_read_again_us:
            self._wake(book.position_read_again_us)
            return
        self.decisions.append(
            ReadPosition(
                request_id=self._next_id(),
                symbol=book.symbol,
                reason=f"is it {book.position:+d}?",
            )
        )

    def _want_resync(self, why: str) -> None:
        """Have everything read again. One resync serves all symbols: the account decides it."""
        if self.ledger.sync_asked_us is None:
            self.turn.resync_why = self.turn.resync_why or why
            self._wake(self.ledger.sync_again_us)

    # -- notes -----------------------------------------------------------------------------------

    def _next_id(self) -> int:
        return self.ledger.next_request_id + len(self.decisions)

    def _expires_us(self) -> int:
        """Venue time, in whole seconds as the venue wants it, rounded up."""
        return -(-(self.ledger.venue_now_us() + self.timing.expires_after_us) // 10**6) * 10**6

    def _wake(self, at_us: int) -> None:
        """Look again then. A moment that has passed asks for nothing: this is the look."""
        if at_us > self.at_us:
            self.wake_us = min(self.wake_us, at_us)

    def _take_note(self) -> None:
        book = self.book
        if book.target is not None and book.target.expires_us is not None:
            self._wake(book.target.expires_us)
        for order in book.own_orders():
            if order.status == "ended":
                self._wake(missing_fills_us(self.ledger, order))
        book.wake_us = self.wake_us
        book.wants_quote = self.wants_quote
        if book.waiting_for != self.waiting_for:
            book.waiting_for = self.waiting_for
            book.waiting_since_us = self.at_us
            self.turn.facts.append(WaitingFor(symbol=book.symbol, what=self.waiting_for))


def plan_account(turn: Turn) -> list[AnyDecision]:
    """What the account as a whole needs: a regular look at all of it, and the dead man's switch."""
    ledger = turn.ledger
    decisions: list[AnyDecision] = []
    if not ledger.in_sync:
        return decisions
    why = turn.resync_why
    if turn.at_us >= ledger.synced_us + AUDIT_EVERY_US:
        why = why or "regular audit"
    if why and ledger.sync_asked_us is None and turn.at_us >= ledger.sync_again_us:
        decisions.append(Resync(request_id=ledger.next_request_id, reason=why))
    limit_us = ledger.settings.dead_man_us
    if not limit_us:
        return decisions
    number = ledger.next_request_id + len(decisions)
    if turn.at_us < ledger.dead_man_due_us():
        return decisions
    if ledger.stopping:
        if ledger.dead_man_armed and not any(ledger.own_alive()):
            decisions.append(ArmDeadMan(request_id=number, timeout_ms=0))
    else:
        decisions.append(ArmDeadMan(request_id=number, timeout_ms=limit_us // 1000))
    return decisions
