"""What a service must know, retold from the events that it was given: the gate, a second time."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from reconciler.core import events as e
from reconciler.core.decisions import PlaceOrder

CLOCK_GOOD_US = 1_000_000
CLOCK_OLD_US = 120_000_000
OURS = "rc-simu-"  # orders of this installation


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
        self.row: dict[str, int] = {}  # the newest position row
        self.symbol_of: dict[int, str] = {}  # of incidents, by number
        self._stale: set[str] = set()  # symbols traded since their newest row
        self.freezes_strangers = False  # by the rule for foreign orders
        self.resting: dict[str, dict[str, int]] = {}  # of others: signed, by the venue's id
        self._frozen: set[str] = set()  # by a stranger, or because a target ran out
        self._ends: dict[str, tuple[int, str]] = {}  # of targets: when, and what then
        self._ran_out: dict[str, str] = {}  # targets that have, and what was said of it
        self._deadline: dict[str, int] = {}
        self.missing: Counter[str] = Counter()

    def hear(self, event: e.AnyEvent, booked: set[str]) -> None:
        """Take in an event; *booked* are the symbols that it booked a fill for."""
        for symbol, (_, until_us) in tuple(self._modes.items()):
            if until_us is not None and event.at_us >= until_us:  # for good: clocks may go back
                del self._modes[symbol]
        if self._ends:
            self._run_out(event.at_us)
        match event:
            case e.Started():
                self._sync, self._clock, self._stopping = False, None, ""
                self._throttled_us = 0
            case e.Synced():
                self._sync = self._synced_once = True
                for symbol, resting in self.resting.items():
                    self.resting[symbol] = {
                        k: resting[k] for k in event.open_order_ids if k in resting
                    }
            case e.OrderSeen() if not event.cl_ord_id.startswith(OURS):
                self._see_stranger(event)
            case e.TargetSet():
                self._want(event)
            case e.Resolved() if event.decision != "ignore":
                self._frozen.discard(self.symbol_of.get(event.incident_id, ""))
            case e.Adjusted():
                self._stale.discard(event.symbol)  # the venue's figure of now: see `settled`
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
                self._frozen.difference_update(event.symbols or tuple(self._frozen))
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
                    self.row[symbol], self._row_us[symbol] = event.contracts, event.venue_us
                    self._stale.discard(symbol)
        if self._synced_once:  # before, it may be in the first position
            self._stale |= booked

    def _see_stranger(self, row: e.OrderSeen) -> None:
        resting = self.resting.setdefault(row.symbol, {})
        if row.status in e.OVER:
            resting.pop(row.order_id, None)
            return
        if self.freezes_strangers and row.order_id not in resting:
            self._frozen.add(row.symbol)
        resting[row.order_id] = row.leaves if row.contracts > 0 else -row.leaves

    def _want(self, target: e.TargetSet) -> None:
        symbol = target.symbol
        for past in (self._ran_out, self._ends, self._deadline):
            past.pop(symbol, None)
        if target.expires_us is not None:
            self._ends[symbol] = target.expires_us, target.on_expiry
            self._run_out(target.at_us)
        if target.deadline_us is not None:
            self._deadline[symbol] = target.deadline_us

    def _run_out(self, at_us: int) -> None:
        for symbol, (until_us, then) in tuple(self._ends.items()):
            if at_us >= until_us:  # for good, as a mode
                del self._ends[symbol]
                self._deadline.pop(symbol, None)
                self._ran_out[symbol] = then
                if then == "freeze":
                    self._frozen.add(symbol)

    def unwanted(self, symbol: str) -> bool:
        """Whether no order may rest there: nobody wants anything, or it is frozen."""
        return symbol in self._frozen or self._ran_out.get(symbol, "flatten") != "flatten"

    def others(self, symbol: str, side: int) -> int:
        """Contracts that orders of others may still add on one side."""
        return sum(n for n in self.resting.get(symbol, {}).values() if n * side > 0)

    def is_late(self, symbol: str, before_us: int, at_us: int) -> bool:
        """Whether it is so near to the deadline, or past it."""
        return at_us >= self._deadline.get(symbol, 2**62) - before_us

    def halted(self, symbol: str) -> bool:
        """Whether somebody stopped it."""
        stopped = bool(self._stopping) or self._halted_all or symbol in self._halted
        return stopped or "pause" in self._in_force(symbol)

    @property
    def in_sync(self) -> bool:
        """Whether the stream is there, and all was read since."""
        return self._sync

    def is_halted(self, symbol: str) -> bool:
        """Whether somebody said just that."""
        return self._halted_all or symbol in self._halted

    def reach(self, symbol: str, target: int | None) -> int | None:
        """Where the position is to be led, if anybody wants one."""
        return 0 if target is not None and "flatten" in self._in_force(symbol) else target

    def only_reduces(self, symbol: str) -> bool:
        """Whether a mode leads elsewhere than the target does."""
        return not {"reduce_only", "flatten"}.isdisjoint(self._in_force(symbol))

    def could_work(self, symbol: str) -> bool:
        """Whether somebody could do something about an order that rests."""
        stopped = self.halted(symbol) or symbol in self._frozen or self.only_reduces(symbol)
        return self._sync and self._open.get(symbol, False) and not stopped

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
        if symbol in self._frozen:
            return "it is frozen"
        if (then := self._ran_out.get(symbol)) is not None and (adds or then != "flatten"):
            return f"its target has run out: {then}"
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
        if symbol in self._stale or self.row.get(symbol, 0) != position:
            return f"the position row is {self.row.get(symbol, 0):+d}, planned from {position:+d}"
        return ""
