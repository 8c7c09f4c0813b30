"""
What the venue does by itself on a bad day: once a second, each EVENT fault is drawn.

All of it goes through the same doors as what members do. A person who trades is an order; a halt is
a state of the instrument; sockets that close are closed.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from . import errors, intake
from .faults import EVENT
from .market import BUY, SELL
from .orders import FILLED, Order

if TYPE_CHECKING:
    from .world import World

EVERY_MS = 1_000
REVIVE_MS = 60_000  # how long a filled order can be revived (section 4.3)
SPIKE_MS = 1_000


class Happenings:
    """Draws the events of one world."""

    def __init__(self, world: World, now_ms: int) -> None:
        self._world = world
        self._quirks = world.quirks
        self._next_ms = now_ms + EVERY_MS

    def tick(self, now_ms: int) -> None:
        """Draw, when a second has passed."""
        if now_ms < self._next_ms:
            return
        self._next_ms = max(self._next_ms + EVERY_MS, now_ms)  # what was slept through is past
        if self._quirks.any_on(EVENT):
            self._connections(now_ms)
            for symbol in list(self._world.exchange.markets):
                self._market(symbol, now_ms)
                for account in list(self._world.exchange.accounts):
                    self._member(account, symbol, now_ms)

    def _until(self, name: str, low: float, high: float, now_ms: int) -> int:
        """The end of something that begins now."""
        return now_ms + int(self._quirks.seconds(name, low, high) * 1000)

    # -- connections -----------------------------------------------------------------------------

    def _connections(self, now_ms: int) -> None:
        quirks, hub, api = self._quirks, self._world.hub, self._world.api
        if quirks.strikes("close-all"):
            hub.disconnect_all()
        if quirks.strikes("stream-down"):
            hub.disconnect_all()
            hub.faults.down_until_ms = self._until("stream-down", 2, 10, now_ms)
        if quirks.strikes("rest-down"):
            api.faults.down_until_ms = self._until("rest-down", 1, 5, now_ms)
        if quirks.strikes("private-silence"):
            hub.faults.silent_until_ms = self._until("private-silence", 2, 10, now_ms)
        if quirks.strikes("suspension"):
            api.faults.suspended_until_ms = self._until("suspension", 1, 3, now_ms)
        known = [session for session in hub.sessions if session.key is not None]
        if known and quirks.strikes("token-expired"):
            session = quirks.stream("token-expired").choice(known)
            session.expire_token()
            hub.later(0.05, session.close)  # after the frame that says why
        for account in sorted(self._world.exchange.switches):
            if quirks.strikes("dead-man-fires"):
                self._world.exchange.switches[account] = now_ms
                self._world.exchange.due(now_ms)

    # -- an instrument ---------------------------------------------------------------------------

    def _market(self, symbol: str, now_ms: int) -> None:
        quirks, world = self._quirks, self._world
        market = world.exchange.markets[symbol]
        if market.state != "Open":
            return
        if market.inst.is_perpetual and quirks.strikes("funding", symbol):
            world.exchange.fund(market, now_ms)
        if quirks.strikes("mark-spike", symbol) and world.movable(symbol):
            self._spike(symbol, now_ms)
        if quirks.strikes("rules-change", symbol):
            lot = market.inst.lot
            first = world.listed[symbol].lot
            world.respecify(symbol, {"lot": first if lot != first else 2 * lot}, now_ms)
        if not market.inst.is_spot and quirks.strikes("settle", symbol):
            world.exchange.settle(symbol, now_ms)
        elif quirks.strikes("cancel-only", symbol):
            world.set_state(symbol, "Closed", now_ms)
            until_ms = self._until("cancel-only", 1, 5, now_ms)
            world.agenda.at(until_ms, partial(world.reopen, symbol))

    def _spike(self, symbol: str, now_ms: int) -> None:
        """Move the price for a second, and back; stops and resting orders meet it."""
        world, draws = self._world, self._quirks.stream("mark-spike")
        market = world.exchange.markets[symbol]
        best = market.book.best(BUY)
        if best is None:
            return
        permille = draws.randint(5, 20) * draws.choice((-1, 1))
        there = max(2, best + best * permille // 1000)

        was = market.inst.price(best)

        def back(at_ms: int) -> None:
            if market.state in ("Open", "Closed"):
                world.move_to(symbol, was, at_ms)

        world.move_to(symbol, market.inst.price(there), now_ms)
        world.agenda.at(now_ms + SPIKE_MS, back)

    # -- a member --------------------------------------------------------------------------------

    def _member(self, account: int, symbol: str, now_ms: int) -> None:
        """What happens to an account in a symbol in which it has ever done anything."""
        exchange, quirks = self._world.exchange, self._quirks
        position = exchange.accounts[account].positions.get(symbol)
        if position is None:
            return
        if quirks.strikes("person-trade", symbol):
            self._person(account, symbol, "person-trade", now_ms)
        if quirks.strikes("person-order", symbol):
            order = self._person(account, symbol, "person-order", now_ms, rests=True)
            if order is not None:
                until_ms = self._until("person-order", 5, 20, now_ms)
                self._world.agenda.at(until_ms, partial(self._withdraw, order))
        newest = self._newest(account, symbol)
        if newest is not None and quirks.strikes("stranger-order", symbol):
            name = f"{newest.cl_ord_id[:35]}x"
            self._person(account, symbol, "stranger-order", now_ms, rests=True, name=name)
        if newest is not None and newest.status == FILLED:
            if now_ms - newest.filled_ms <= REVIVE_MS and quirks.strikes("revive", symbol):
                self._revive(newest, now_ms)
        if position.qty and quirks.strikes("liquidation", symbol):
            exchange.liquidate(account, symbol, now_ms)
        if position.qty and quirks.strikes("deleverage", symbol):
            lot = exchange.catalogue[symbol].lot
            half = max(lot, abs(position.qty) // 2 // lot * lot)
            exchange.deleverage(account, symbol, half, now_ms)

    def _person(
        self, account: int, symbol: str, fault: str, now_ms: int, *, rests: bool = False,
        name: str = "",
    ) -> Order | None:  # fmt: skip
        """An order that somebody gives by hand; None when it is refused."""
        draws, exchange = self._quirks.stream(fault), self._world.exchange
        market = exchange.markets[symbol]
        side = draws.choice((BUY, SELL))
        fields: dict[str, object] = {
            "symbol": symbol, "side": "Buy" if side == BUY else "Sell",
            "orderQty": market.inst.lot * draws.randint(1, 3), "clOrdID": name,
        }  # fmt: skip
        best = market.book.best(side)
        if rests and best is not None:
            fields["price"] = market.inst.price(max(1, best - side * best // 20))
        else:
            fields["ordType"] = "Market"
        try:
            return exchange.place(account, intake.new_order(fields, exchange.catalogue), now_ms)
        except errors.Refusal:
            return None  # a person is told no like anybody

    def _withdraw(self, order: Order, now_ms: int) -> None:
        if order.open:
            self._world.exchange.cancel(order.account, [order.order_id], [], "", now_ms)

    def _newest(self, account: int, symbol: str) -> Order | None:
        mine = reversed(self._world.exchange.orders_of[account])
        return next((o for o in mine if o.cl_ord_id and o.instrument.symbol == symbol), None)

    def _revive(self, order: Order, now_ms: int) -> None:
        lot = Decimal(order.instrument.lot)
        asked = intake.amend({"orderID": order.order_id, "leavesQty": lot})
        try:
            self._world.exchange.amend(order.account, asked, now_ms)
        except errors.Refusal:
            pass  # too late, or no margin for it
