"""
Orders that wait: for a price (stops, touches, trailing stops) or for another order (links).

Protocol sheet, sections 4.1 and 4.2. A waiting order is open, outside the book, uses no margin, and
its ``workingIndicator`` is false. What lets it in is looked at after every trade of its symbol and
whenever the mark moves; it is let in between trades, never in the middle of one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal

from . import errors
from .floor import Floor
from .market import BUY, SELL
from .orders import (
    CLOSE,
    FILLED,
    LAST_WITHIN_MARK,
    OCO,
    OTO,
    REJECTED,
    STOPS,
    TRAILING,
    Order,
)
from .venue_market import Market

TRIGGERED = "StopOrderTriggered"
OCO_CANCELED = "Canceled: Order had contingencyType of OneCancelsTheOther"  # [unsure] wording
OTO_CANCELED = "Canceled: Order had contingencyType of OneTriggersTheOther"  # [unsure] wording
PEG_MS = 1_000  # a trailing stop follows once a second of market time ...
PEG_MOVE = Decimal("0.001")  # ... and only when its reference moved by more than this part
WITHIN_MARK = Decimal("0.05")  # LastWithinMark: the last price is no further from the mark


def reference(exec_inst: tuple[str, ...], market: Market) -> Decimal:
    """The price that triggers an order: the mark, unless execInst names another."""
    if "LastPrice" in exec_inst:
        return market.last
    if "IndexPrice" in exec_inst:
        return market.index
    return market.mark


def reached(order: Order, market: Market) -> bool:
    """Whether the order's price is reached: stops with the market, touches against it."""
    stop = order.stop_px
    assert stop is not None
    upward = (order.ord_type in STOPS) == (order.side == BUY)
    price = reference(order.exec_inst, market)
    if not (price >= stop if upward else price <= stop):
        return False
    if LAST_WITHIN_MARK not in order.exec_inst:
        return True
    if order.side == SELL:
        return market.last >= market.mark * (1 - WITHIN_MARK)
    return market.last <= market.mark * (1 + WITHIN_MARK)


def trailed(exec_inst: tuple[str, ...], offset: int, market: Market) -> int:
    """Where a trailing stop belongs now, in ticks: *offset* from its reference, to the tick."""
    tick = market.inst.tick
    return int((reference(exec_inst, market) / tick).to_integral_value()) + offset


class Triggers(Floor, ABC):
    """The floor, with orders that wait outside it."""

    _cascading = False  # orders of a link are being canceled for one of them

    @abstractmethod
    def _check_margin(
        self, order: Order, market: Market, contracts: int, ticks: int | None = None
    ) -> None:
        """Refuse what the account cannot back."""

    def _sleep(self, order: Order, now_ms: int) -> None:
        """Set an order aside until its price, or the order it is linked to, lets it in."""
        symbol = order.instrument.symbol
        self._touch_order(order)
        self._touch(order.account, symbol)
        if order.peg_type == TRAILING:
            self._begin_trail(order, self.markets[symbol], now_ms)
        if order.linked:
            return
        self._asleep.setdefault(symbol, {})[order.order_id] = order
        self._moved.add(symbol)

    def _begin_trail(self, order: Order, market: Market, now_ms: int) -> None:
        assert order.peg_offset is not None
        order.stop_ticks = trailed(order.exec_inst, order.peg_offset, market)
        order.peg_base = reference(order.exec_inst, market)
        order.pegged_ms = self.clock.market_ms(now_ms)

    def _wake(self, order: Order) -> None:
        group = self._asleep.get(order.instrument.symbol)
        if group is not None:
            group.pop(order.order_id, None)
            if not group:
                del self._asleep[order.instrument.symbol]

    def _react(self, now_ms: int) -> None:
        """Let in what trades, marks or filled primaries have set off, one after another."""
        if self._reacting:
            return
        self._reacting = True
        try:
            while self._roused or self._moved:
                if self._roused:
                    self._rouse(self._roused.pop(0), now_ms)
                    continue
                symbol = min(self._moved)
                market = self.markets[symbol]
                found = self._first_reached(market)
                if found is None:
                    self._moved.discard(symbol)
                else:
                    self._trigger(found, market, now_ms)
        finally:
            self._reacting = False

    def _first_reached(self, market: Market) -> Order | None:
        if market.state != "Open":
            return None
        waiting = self._asleep.get(market.inst.symbol, {}).values()
        return next((order for order in waiting if reached(order, market)), None)

    def _rouse(self, order: Order, now_ms: int) -> None:
        """The primary filled: its secondary may trade, or begins to wait for its own price."""
        if not order.open:
            return
        order.linked = False
        if order.untriggered:
            self._sleep(order, now_ms)
        else:
            self._let_in(order, now_ms)

    def _trigger(self, order: Order, market: Market, now_ms: int) -> None:
        self._wake(order)
        order.triggered = TRIGGERED
        order.text = (
            f"Triggered: Order triggered at {reference(order.exec_inst, market)}\n{order.text}"
        )
        self._let_in(order, now_ms)
        if order.contingency == OCO:
            self._end_rivals(order, now_ms)  # activation counts as execution

    def _let_in(self, order: Order, now_ms: int) -> None:
        """A waiting order meets the checks of a new one, now that it would use margin."""
        market = self.markets[order.instrument.symbol]
        order.transact_ms = now_ms
        self._touch_order(order)
        self._touch(order.account, order.instrument.symbol)
        if order.reduce_only and not self._fit_to_position(order, now_ms):
            return
        order.hurry()
        self._record(order, "TriggeredOrActivatedBySystem", now_ms)
        try:
            self._check_margin(order, market, order.leaves)
        except errors.Refusal as refusal:
            order.reject_reason = refusal.message
            order.end(REJECTED, f"Rejected: {refusal.message}\n{order.text}")
            self._close(order)
            self._record(order, "Rejected", now_ms)
            self._after_end(order, now_ms)
            return
        if CLOSE in order.exec_inst:
            self._make_room_for_close(order, now_ms)
        self._enter(order, market, now_ms)

    def _fit_to_position(self, order: Order, now_ms: int) -> bool:
        """Cut a reducing order to what there is to reduce; False when there is nothing."""
        held = self.position(order.account, order.instrument.symbol).qty
        reducible = max(0, -held * order.side)
        if not reducible:
            inst = CLOSE if CLOSE in order.exec_inst else "ReduceOnly"
            reason = errors.nothing_to_reduce(inst, order.side_name, held).message
            self._end(order, f"Canceled: {reason}\n{order.text}", now_ms)
            return False
        order.leaves = reducible if order.whole else min(order.leaves, reducible)
        order.qty = order.cum + order.leaves
        return True

    def _make_room_for_close(self, order: Order, now_ms: int) -> None:
        """Close cancels own other orders of its side when together they exceed the position."""
        held = abs(self.position(order.account, order.instrument.symbol).qty)
        others = [
            other
            for other in self.open_orders(order.account, order.instrument.symbol)
            if other.working and other.side == order.side and other is not order
        ]
        if order.leaves + sum(other.leaves for other in others) > held:
            for other in others:
                self._end(other, f"Canceled: Order had execInst of Close\n{other.text}", now_ms)

    # -- links -----------------------------------------------------------------------------------

    def _primary(self, account: int, link: str) -> Order | None:
        """The newest order of a link whose fill lets in the others; it may have ended."""
        found = self._links.get((account, link), []) if link else []
        return next((order for order in reversed(found) if order.contingency == OTO), None)

    def _linked(self, account: int, link: str) -> list[Order]:
        return [o for o in self._links.get((account, link), ()) if o.open] if link else []

    def _link(self, order: Order) -> None:
        """Remember an order by its link; those that are over are forgotten, but for the primary."""
        if order.cl_ord_link_id:
            key = (order.account, order.cl_ord_link_id)
            primary = self._primary(*key)
            kept = [o for o in self._links.get(key, ()) if o.open or o is primary]
            self._links[key] = [*kept, order]

    def _end_rivals(self, order: Order, now_ms: int) -> None:
        """Cancel the other OCO orders of a link, which must not cancel this one in their turn."""
        if self._cascading:
            return
        self._cascading = True
        for rival in self._linked(order.account, order.cl_ord_link_id):
            if rival.contingency == OCO and rival is not order:
                self._end(rival, f"{OCO_CANCELED}\n{rival.text}", now_ms)
        self._cascading = False

    def _after_fill(self, order: Order, now_ms: int) -> None:
        """One of an OCO executed: the rest go. An OTO primary filled: its secondaries come in."""
        if order.contingency == OCO:
            self._end_rivals(order, now_ms)
        elif order.contingency == OTO and order.status == FILLED:
            for other in self._linked(order.account, order.cl_ord_link_id):
                if other.linked:
                    self._roused.append(other)

    def _after_end(self, order: Order, now_ms: int) -> None:
        """An OCO goes together; the secondaries of a primary that is gone could never trade."""
        self._wake(order)
        if order.contingency == OCO:
            self._end_rivals(order, now_ms)
        elif order.contingency == OTO:
            for other in self._linked(order.account, order.cl_ord_link_id):
                if other.linked:
                    self._end(other, f"{OTO_CANCELED}\n{other.text}", now_ms)

    # -- time ------------------------------------------------------------------------------------

    def _trail(self, now_ms: int) -> None:
        """Pull trailing stops after a market that moved away from them; they never give way."""
        if not self._asleep:
            return
        market_ms = self.clock.market_ms(now_ms)
        for symbol, group in self._asleep.items():
            market = self.markets[symbol]
            for order in group.values():
                if order.peg_type == TRAILING and market_ms - order.pegged_ms >= PEG_MS:
                    order.pegged_ms = market_ms
                    self._repeg(order, market, now_ms)

    def _repeg(self, order: Order, market: Market, now_ms: int) -> None:
        now, base = reference(order.exec_inst, market), order.peg_base
        assert base is not None
        assert order.peg_offset is not None
        assert order.stop_ticks is not None
        if abs(now - base) <= base * PEG_MOVE:
            return
        order.peg_base = now
        follow = min if order.peg_offset > 0 else max
        wanted = follow(order.stop_ticks, trailed(order.exec_inst, order.peg_offset, market))
        if wanted != order.stop_ticks:
            order.stop_ticks, order.transact_ms = wanted, now_ms
            self._touch_order(order)
            self._record(order, "Replaced", now_ms)
