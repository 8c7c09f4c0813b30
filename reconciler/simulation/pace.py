"""
O6 in numbers: how many orders there are in a minute, in a day, and without a contract filled.

Counted at the first byte of each, over all runs of the service: a limit that a restart renews is
none. A minute is counted in the world's own time. A day is one of UTC by the service's clock, which
somebody may set back: the day that has begun goes on then, and no day begins twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import Settings
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.world import World

DAY_US = 86_400 * SECOND
#: Sixty seconds of a clock that is 1 % fast, less the second in which a decision must be written.
MINUTE_US = 58 * SECOND
#: As much of the throttle's ten minutes, less what restarts may take of it.
RUNAWAY_US = 600 * SECOND
SLOW_US = 30 * SECOND  # of a clock that is 5 % slow, or fast
ALL = ""  # in the place of a symbol


class Pace:
    """Judges how many orders one life has."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._minute: defaultdict[str, deque[int]] = defaultdict(deque)
        self._day = 0  # the newest that has begun
        self._today: Counter[str] = Counter()
        self._futile: defaultdict[str, deque[int]] = defaultdict(deque)
        self._fills: dict[str, int] = {}  # own fills when that was last looked at

    def hear(self, event: e.AnyEvent) -> None:
        """Whoever resumes has seen it, and starts the throttle anew."""
        if isinstance(event, e.Resumed):
            for symbol in event.symbols or self.world.symbols:
                self._futile.pop(symbol, None)

    def writing(self, decision: d.PlaceOrder) -> None:
        """The first byte of a POST is about to be written."""
        settings = self.world.settings
        self._orders_a_minute(decision, settings)
        self._orders_a_day(decision, settings)
        self._throttle(decision, settings)

    def _orders_a_minute(self, decision: d.PlaceOrder, settings: Settings) -> None:
        now_us = self.world.agenda.now_us
        for whose, most in (
            (decision.symbol, settings.limits_of(decision.symbol).max_orders_per_minute),
            (ALL, settings.whole.max_orders_per_minute),
        ):
            posts = self._minute[whose]
            posts.append(now_us)
            while posts[0] <= now_us - MINUTE_US:
                posts.popleft()
            if len(posts) > most:
                raise Broken("O6", f"{len(posts)} orders of {whose or 'all'} in a minute")

    def _orders_a_day(self, decision: d.PlaceOrder, settings: Settings) -> None:
        day = (decision.deadline_us - settings.timing.send_within_us) // DAY_US
        if day > self._day:
            self._day = day
            self._today.clear()
        for whose, most in (
            (decision.symbol, settings.limits_of(decision.symbol).max_orders_per_day),
            (ALL, settings.whole.max_orders_per_day),
        ):
            self._today[whose] += 1
            if most and self._today[whose] > most:
                raise Broken("O6", f"{self._today[whose]} orders of {whose or 'all'} in a day")

    def _throttle(self, decision: d.PlaceOrder, settings: Settings) -> None:
        """
        Of one symbol exactly; of all by one more for each other symbol: of the orders of one turn
        none knows of the others.
        """
        symbol, now_us = decision.symbol, self.world.agenda.now_us
        for filled, fills in self.world.oracle.own_fills.items():
            if self._fills.get(filled) != fills:
                self._fills[filled] = fills
                self._futile.pop(filled, None)
        self._futile[symbol].append(now_us)
        for futile in self._futile.values():
            while futile and futile[0] < now_us - RUNAWAY_US + SLOW_US:
                futile.popleft()
        whole = sum(len(futile) for futile in self._futile.values())
        for whose, orders, most in (
            (symbol, len(self._futile[symbol]), settings.limits_of(symbol).runaway_orders),
            (ALL, whole - len(self._futile) + 1, settings.whole.runaway_orders),
        ):
            if most and orders > most:
                said = f"{orders} orders of {whose or 'all'}, and not a contract filled"
                raise Broken("O6", said)
