"""
What a life may cost, and how many orders it may have: drawn with its settings, and judged in truth.

O6 in money: at the first byte of a POST the limits are recomputed from what the venue has done,
by other arithmetic than the core's. Losses are told with some room: the core knows marks that are
seconds old.
"""

from __future__ import annotations

from collections import Counter, deque
from decimal import Decimal
from typing import TYPE_CHECKING

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import AccountLimits, Limits
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.draws import Draws
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.world import World

DAY_US = 86_400 * SECOND
MILLION = 1_000_000  # about what a contract is worth
LOSS_ROOM = 20 * MILLION  # what marks may move before they are known, at the largest position
RUNAWAY_US = 600 * SECOND
#: What a symbol may wait for in the end, without anybody being wrong.
BLOCKED = (
    "limits.max_orders_per_day",
    "limits.account.max_orders_per_day",
    "limits.max_order_notional_minor",
    "limits.max_daily_loss_minor",
    "limits.max_drawdown_minor",
    "limits.account.min_margin_percent",
    "room below limits.max_position_notional_minor",
)


def limits(draws: Draws, old: Limits) -> tuple[Limits, AccountLimits]:
    """The limits of a life: each off in most of them, and tight in the others."""
    one = draws.one
    most = one("notional", (0, 0, 0, 150 * MILLION, 250 * MILLION))
    held = one("notional held", (0, 0, 0, 250 * MILLION))
    own = Limits(
        max_position_contracts=old.max_position_contracts,
        max_order_contracts=old.max_order_contracts,
        max_orders_per_minute=old.max_orders_per_minute,
        price_collar_bps=old.price_collar_bps,
        max_orders_per_day=one("a day", (0, 0, 0, 6, 30)),
        max_order_notional_minor=most,
        max_position_notional_minor=held,
        max_daily_loss_minor=one("loss", (0, 0, 0, 4 * MILLION)),
        max_drawdown_minor=one("drawdown", (0, 0, 0, 0, 6 * MILLION)),
        runaway_orders=one("runaway", (150, 150, 150, 6)),
        runaway_us=RUNAWAY_US,
    )
    account = AccountLimits(
        max_orders_per_day=one("all a day", (0, 0, 0, 15)),
        max_open_orders=one("open", (0, 0, 0, 1, 2)),
        min_margin_percent=one("margin", (0, 0, 0, 75)),
    )
    return own, account


class Purse:
    """Judges one life's limits of money and of numbers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._day = -1
        self._today: Counter[str] = Counter()
        self._futile: dict[str, deque[int]] = {}
        self._fills: dict[str, int] = {}  # own fills when that was last looked at
        self._start: dict[str, int] = {}  # the venue's result when losses were last counted anew

    def hear(self, event: e.AnyEvent) -> None:
        """Whoever resumes has seen what was lost, and starts the throttle anew."""
        if isinstance(event, e.Resumed):
            for symbol in event.symbols or self.world.symbols:
                self._start.pop(symbol, None)
                self._futile.pop(symbol, None)

    def writing(self, decision: d.PlaceOrder) -> None:
        """The first byte of a POST is about to be written."""
        settings = self.world.settings
        own, account = settings.limits_of(decision.symbol), settings.account_limits
        self._orders_a_day(decision, own, account)
        self._throttle(decision, own)
        if not decision.reduce_only:
            self._notional(decision, own)
            self._open(decision, account)
            self._loss(decision, own)

    def _orders_a_day(self, decision: d.PlaceOrder, own: Limits, account: AccountLimits) -> None:
        timing = self.world.settings.timing
        day = (decision.deadline_us - timing.send_within_us) // DAY_US
        if day != self._day:
            self._day = day
            self._today.clear()
        for whose, most in (
            (decision.symbol, own.max_orders_per_day),
            ("", account.max_orders_per_day),
        ):
            self._today[whose] += 1
            if most and self._today[whose] > most:
                raise Broken("O6", f"{self._today[whose]} orders of {whose or 'all'} in a day")

    def _throttle(self, decision: d.PlaceOrder, own: Limits) -> None:
        symbol, now_us = decision.symbol, self.world.agenda.now_us
        booked = self.world.oracle.own_fills[symbol]
        if self._fills.get(symbol) != booked:
            self._fills[symbol] = booked
            self._futile.pop(symbol, None)
        futile = self._futile.setdefault(symbol, deque())
        futile.append(now_us)
        while futile[0] < now_us - RUNAWAY_US + 30 * SECOND:  # of a clock that is 5 % slow
            futile.popleft()
        if own.runaway_orders and len(futile) > own.runaway_orders:
            raise Broken("O6", f"{len(futile)} orders for {symbol}, and not a contract filled")

    def _notional(self, decision: d.PlaceOrder, own: Limits) -> None:
        size, price = abs(decision.contracts), decision.price
        most = own.max_order_notional_minor
        if most and Decimal(size) * 10**8 / price > most:
            raise Broken("O6", f"{decision.cl_ord_id}: {size} at {price} are worth too much")
        most, mark = own.max_position_notional_minor, decision.mark
        final = abs(decision.position + decision.contracts)
        if most and mark is not None and Decimal(final) * 10**8 / mark > most:
            raise Broken("O6", f"{decision.cl_ord_id} leads to {final} at {mark}: too much")

    def _open(self, decision: d.PlaceOrder, account: AccountLimits) -> None:
        resting = sum(order.own for order in self.world.exchange.alive.values())
        if account.max_open_orders and resting >= account.max_open_orders:
            raise Broken("O6", f"{decision.cl_ord_id} comes beside {resting} orders of ours")

    def _loss(self, decision: d.PlaceOrder, own: Limits) -> None:
        symbol = decision.symbol
        now = self.world.exchange.result(symbol)
        lost = self._start.setdefault(symbol, now) - now
        most = own.max_daily_loss_minor
        if most and lost > most + LOSS_ROOM:
            raise Broken("O6", f"{decision.cl_ord_id} after {symbol} has lost {lost}")
