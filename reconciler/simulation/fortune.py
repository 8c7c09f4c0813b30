"""
O6 in money: a loss of the day, a drawdown, margin and liquidation, from what the venue has done.

Everything that a service can know of its account it has been told: fills and funding, marks, rows
of margin and of the position. What was told is taken from its events; what it is worth is the
venue's own: the cost of an execution from the venue's books, a mark and a margin row only if the
venue has had them, the price of a liquidation from the venue's rule. So the slack is exactly what
was on its way to the service, and nothing else: at the newest word that has reached it, no order
that adds risk may be beyond a limit.

A loss counts from the last figure of the day before, a drawdown from the best; both from here, once
somebody resumes. A day is one of UTC by the service's clock, and none begins twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import Limits
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.exchange import cost_of
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.world import World

DAY_US = 86_400 * SECOND
LATE_US = 5 * SECOND  # a mark on its way, beside the age that a price may have


class Sum:
    """A figure of money, and whether it has fallen too far."""

    __slots__ = ("began", "best", "day", "drawn", "lost", "now")

    def __init__(self) -> None:
        self.day = -1  # none yet
        self.now = self.began = self.best = 0
        self.lost = self.drawn = False

    def note(self, at_us: int, now: int, loss: int, drawdown: int) -> None:
        """A new figure, and its limits; 0: none."""
        self.turn(at_us)
        if self.day < 0:
            self.day, self.began, self.best = at_us // DAY_US, now, now
        self.now, self.best = now, max(self.best, now)
        self.lost |= 0 < loss <= self.began - now
        self.drawn |= 0 < drawdown <= self.best - now

    def turn(self, at_us: int) -> None:
        """Perhaps another day has begun."""
        if 0 <= self.day < at_us // DAY_US:
            self.day, self.began, self.lost = at_us // DAY_US, self.now, False

    def anew(self) -> None:
        """Somebody has seen it."""
        self.began = self.best = self.now
        self.lost = self.drawn = False


class Pocket:
    """What is known of one symbol."""

    __slots__ = ("anchored", "mark", "paid", "position", "sum")

    def __init__(self) -> None:
        self.anchored = False
        self.position = 0
        self.mark: Decimal | None = None
        self.paid: int | None = None  # since the first figure
        self.sum = Sum()


class Fortune:
    """Judges what one life may lose."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.reached: dict[str, str] = {}  # by symbol, "" for the account: the limit in force
        self._pockets: dict[str, Pocket] = {}
        self._margin: tuple[int, int] | None = None  # the newest row: balance, available
        self._margin_told = False  # since the stream was there
        self._short = False  # of margin, and not a tenth above the least again
        self._balance, self._books = Sum(), Sum()
        self._limits: Limits | None = None
        self._loss = self._drawdown = self._least_percent = 0  # of the account

    def hear(self, event: e.AnyEvent, facts: Sequence[d.AnyFact]) -> None:
        """An event and what followed from it, committed."""
        limits = self._limits or self._begin()
        if not self._asked(limits):
            return
        if isinstance(event, e.Resumed):
            self._resumed(event.symbols)
        elif isinstance(event, e.MarginSeen):
            self._see_margin(event)
        elif isinstance(event, (e.StreamLost, e.Started)):
            self._margin_told = False
        changed: set[str] = set()
        self._see_mark(event, changed)
        for fact in facts:
            self._see(fact, changed)
        if isinstance(event, e.Adjusted):
            self._adjust(self._pocket(event.symbol), event.contracts)
            changed.add(event.symbol)
        for symbol in sorted(changed):
            self._value(self._pocket(symbol), event.at_us, limits)
        if changed or isinstance(event, (e.MarginSeen, e.Resumed)):
            self._account(event.at_us)
            self._tell(limits)

    def _begin(self) -> Limits:
        settings = self.world.settings
        self._loss = settings.whole.max_daily_loss_minor
        self._drawdown = settings.whole.max_drawdown_minor
        self._least_percent = settings.account_limits.min_margin_percent
        self._limits = settings.limits
        return settings.limits

    def _asked(self, limits: Limits) -> bool:
        return bool(
            limits.max_daily_loss_minor
            or limits.max_drawdown_minor
            or limits.min_liquidation_bps
            or self._loss
            or self._drawdown
            or self._least_percent
        )

    def _pocket(self, symbol: str) -> Pocket:
        return self._pockets.setdefault(symbol, Pocket())

    # -- what is told ------------------------------------------------------------------------------

    def _see_mark(self, event: e.AnyEvent, changed: set[str]) -> None:
        quote = event if isinstance(event, e.Quoted) else getattr(event, "quote", None)
        if isinstance(quote, e.Quoted) and quote.mark is not None:
            self._pocket(quote.symbol).mark = quote.mark
            changed.add(quote.symbol)

    def _see(self, fact: d.AnyFact, changed: set[str]) -> None:
        if isinstance(fact, d.FillBooked):
            pocket = self._pocket(fact.symbol)
            if fact.position != pocket.position:  # else it is late, and in the first position
                self._pay(pocket, fact.exec_id)
            pocket.position = fact.position
            changed.add(fact.symbol)
        elif isinstance(fact, d.CashBooked):
            self._pay(self._pocket(fact.symbol), fact.exec_id)
            changed.add(fact.symbol)
        elif isinstance(fact, d.PositionMoved):
            pocket = self._pocket(fact.symbol)
            if (pocket.position, pocket.anchored) != (fact.contracts, fact.anchor is not None):
                pocket.position, pocket.anchored = fact.contracts, fact.anchor is not None
                changed.add(fact.symbol)

    def _pay(self, pocket: Pocket, exec_id: str) -> None:
        """What the venue took for it, by the venue's own books."""
        if pocket.paid is not None:
            pocket.paid += self.world.exchange.taken(exec_id)

    @staticmethod
    def _adjust(pocket: Pocket, contracts: int) -> None:
        """Nothing is gained or lost by it."""
        if pocket.paid is not None and pocket.mark is not None:
            pocket.paid += cost_of(contracts, pocket.mark)
        else:
            pocket.paid = None

    def _see_margin(self, event: e.MarginSeen) -> None:
        row = event.margin_minor, event.available_minor
        if row not in self.world.exchange.margins:
            raise Broken("O6", f"the venue has never told of a margin like {event}")
        self._margin, self._margin_told = row, True
        self._short = self._is_short(110 if self._short else 100)

    def _is_short(self, percent: int) -> bool:
        """Whether less is available than so much of the least."""
        if self._margin is None:
            return False
        balance, available = self._margin
        return available * 10_000 < balance * self._least_percent * percent

    def _resumed(self, symbols: tuple[str, ...]) -> None:
        for symbol in symbols or tuple(self._pockets):
            self._pocket(symbol).sum.anew()
        if not symbols:
            self._balance.anew()
            self._books.anew()
            self._short = self._is_short(100)

    # -- what follows ------------------------------------------------------------------------------

    @staticmethod
    def _value(pocket: Pocket, at_us: int, limits: Limits) -> None:
        if not pocket.anchored or (pocket.position and pocket.mark is None):
            return
        worth = cost_of(pocket.position, pocket.mark) if pocket.mark is not None else 0
        if pocket.paid is None:
            pocket.paid = worth - pocket.sum.now
        loss, drawdown = limits.max_daily_loss_minor, limits.max_drawdown_minor
        pocket.sum.note(at_us, worth - pocket.paid, loss, drawdown)

    def _account(self, at_us: int) -> None:
        if self._margin is None:
            return
        whole = sum(pocket.sum.now for pocket in self._pockets.values())
        self._balance.note(at_us, self._margin[0], self._loss, self._drawdown)
        self._books.note(at_us, whole, self._loss, self._drawdown)

    def _tell(self, limits: Limits) -> None:
        """Which limits are reached, by whom."""
        self.reached = {}
        for symbol, pocket in self._pockets.items():
            if pocket.sum.lost or pocket.sum.drawn:
                self.reached[symbol] = _words(pocket.sum)
        if self._balance.lost or self._books.lost or self._balance.drawn or self._books.drawn:
            self.reached[""] = _words(self._balance) or _words(self._books)
        elif self._short:
            self.reached[""] = f"a margin of {self._margin}"

    # -- what is asked -----------------------------------------------------------------------------

    def in_the_way(self, symbol: str) -> str:
        """Which limit of money lets nothing add risk."""
        return self.reached.get(symbol) or self.reached.get("", "")

    def writing(self, decision: d.PlaceOrder) -> None:
        """The first byte of a POST is about to be written."""
        self._mark_is_true(decision)
        limits = self._limits
        if decision.reduce_only or limits is None or not self._asked(limits):
            return
        name, symbol = decision.cl_ord_id, decision.symbol
        pocket = self._pocket(symbol)
        decided_us = decision.deadline_us - self.world.settings.timing.send_within_us
        for one in (pocket.sum, self._balance, self._books):
            one.turn(decided_us)
        self._tell(limits)
        if reached := self.in_the_way(symbol):
            raise Broken("O6", f"{name} adds risk, and {symbol} has {reached}")
        watched = limits.max_daily_loss_minor or limits.max_drawdown_minor
        if (watched or self._loss or self._drawdown) and pocket.paid is None:
            raise Broken("O6", f"{name} adds risk, and nobody knows what {symbol} has lost")
        if (self._least_percent or self._loss or self._drawdown) and not self._margin_told:
            raise Broken("O6", f"{name} adds risk, and nobody has told of a margin")
        self._liquidation(decision, limits.min_liquidation_bps)

    def _mark_is_true(self, decision: d.PlaceOrder) -> None:
        """The mark that an order is decided by is one that the venue has had, not long ago."""
        if decision.mark is None:
            return  # the collar is judged elsewhere
        world, symbol = self.world, decision.symbol
        oldest_us = world.settings.limits_of(symbol).stale_price_us + LATE_US
        since_us = world.agenda.now_us - oldest_us
        past: deque[tuple[int, Decimal]] = world.exchange.past_marks[symbol]
        if not any(mark == decision.mark and until_us >= since_us for until_us, mark in past):
            if decision.mark != world.exchange.marks[symbol]:
                raise Broken("O6", f"{decision.cl_ord_id}: {decision.mark} was never the mark")

    def _liquidation(self, decision: d.PlaceOrder, least: int) -> None:
        held, mark = decision.position, decision.mark
        if not least or not held:
            return
        at = self.world.exchange.liquidation(decision.symbol, held)
        if at is None or mark is None:
            raise Broken("O6", f"{decision.cl_ord_id} adds to {held}, liquidated who knows where")
        room = (mark - at) * (1 if held > 0 else -1) * 10_000
        if room < mark * least:
            raise Broken("O6", f"{decision.cl_ord_id} adds to {held}, liquidated at {at}: {mark}")


def _words(one: Sum) -> str:
    if one.lost:
        return f"lost {one.began - one.now} today"
    return f"come down by {one.best - one.now}" if one.drawn else ""
