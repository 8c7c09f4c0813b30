"""What a service must know, retold from the events that it was given: the gate, a second time."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from reconciler.core import events as e
from reconciler.core.decisions import PlaceOrder

CLOCK_GOOD_US = 1_000_000
CLOCK_OLD_US = 120_000_000


class Retold:
    """The conditions of a new order, kept by other code than the core's."""

    def __init__(self) -> None:
        self._sync = self._synced_once = False
        self._row_us: dict[str, int] = {}
        self._stopping = ""
        self._halted_all = False
        self._halted: set[str] = set()
        self._modes: dict[
            str, tuple[str, int | None]
        ] = {}  # by symbol, "" for the account: and end
        self.rules: dict[str, tuple[int, Decimal]] = {}  # lot and tick
        self._open: dict[str, bool] = {}
        self._clock: tuple[int, int] | None = None  # when, error
        self._throttled_us = 0
        self._row: dict[str, int] = {}  # the newest position row
        self._stale: set[str] = set()  # symbols traded since their newest row
        self.missing: Counter[str] = Counter()

    def hear(self, event: e.AnyEvent, booked: set[str]) -> None:
        """Take in an event; *booked* are the symbols that it booked a fill for."""
        for symbol, (_, until_us) in tuple(self._modes.items()):
            if until_us is not None and event.at_us >= until_us:  # for good: clocks may go back
                del self._modes[symbol]
        match event:
            case e.Started():
                self._sync, self._clock, self._stopping = False, None, ""
                self._throttled_us = 0
            case e.Synced():
                self._sync = self._synced_once = True
            case e.StreamLost():
                self._sync = False
            case e.Stopping():
                self._stopping = event.reason
            case e.Halted():
                self._halted.update(event.symbols)
                self._halted_all = self._halted_all or not event.symbols
            case e.ModeSet():
                for symbol in event.symbols or ("",):
                    self._modes[symbol] = event.mode, event.until_us
            case e.Resumed():
                for symbol in event.symbols or tuple(self._modes):
                    self._modes.pop(symbol, None)
                self._halted.difference_update(event.symbols or tuple(self._halted))
                self._halted_all = self._halted_all and bool(event.symbols)
            case e.InstrumentSeen():
                self._open[event.symbol] = event.open
                self.rules[event.symbol] = event.lot, event.tick
            case e.ClockMeasured():
                self._clock = event.at_us, event.error_us
            case e.Throttled():
                self._throttled_us = max(self._throttled_us, event.until_us)
            case e.PositionSeen():
                symbol = event.symbol
                if self._synced_once or event.venue_us >= self._row_us.get(symbol, 0):
                    self._row[symbol], self._row_us[symbol] = event.contracts, event.venue_us
                    self._stale.discard(symbol)
        if self._synced_once:  # before, it may be in the first position
            self._stale |= booked

    def halted(self, symbol: str) -> bool:
        """Whether somebody stopped it."""
        stopped = bool(self._stopping) or self._halted_all or symbol in self._halted
        return stopped or "pause" in self._in_force(symbol)

    def reach(self, symbol: str, target: int | None) -> int | None:
        """Where the position is to be led, if anybody wants one."""
        return 0 if target is not None and "flatten" in self._in_force(symbol) else target

    def _in_force(self, symbol: str) -> list[str]:
        """The modes of the account and of a symbol."""
        return [self._modes[whose][0] for whose in ("", symbol) if whose in self._modes]

    def missing_for(self, order: PlaceOrder, at_us: int) -> str:
        """The first condition of a new order that does not hold."""
        symbol, position = order.symbol, order.position
        if self.halted(symbol):
            return "it is stopped"
        adds = order.contracts * position >= 0 or not order.reduce_only
        if adds and {"reduce_only", "flatten"}.intersection(self._in_force(symbol)):
            return "only to reduce is allowed"
        if not self._sync:
            return "it is not in sync"
        if not self._open.get(symbol):
            return "the market is closed"
        if self._clock is None or self._clock[1] > CLOCK_GOOD_US:
            return "the clock is unknown"
        if at_us - self._clock[0] > CLOCK_OLD_US:
            return "the clock is old"
        if at_us < self._throttled_us:
            return "the budget is spent"
        if symbol in self._stale or self._row.get(symbol, 0) != position:
            return f"the position row is {self._row.get(symbol, 0):+d}, planned from {position:+d}"
        return ""
