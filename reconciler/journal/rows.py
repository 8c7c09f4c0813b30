"""
From events, decisions and facts to rows.

The store writes what this makes and the replay compares with it, so each kind of fact has exactly
one writer: a line in `rows_of_facts.FACTS`, or in `rows_of_events.EVENTS` for what follows from the
event alone. A fact of a kind that is not in the table is an error, never a silence.

`Rows` knows the present of each symbol, because some rows are the newest state of something. It
is a pure function of what it was given: the same steps, in one batch or in many, make the same
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.journal.present import Present, Run, SymbolNow, values_of
from reconciler.journal.rows_of_events import EVENTS
from reconciler.journal.rows_of_facts import FACTS, place

Values = tuple[Any, ...]
DAY_US: Final = 86_400_000_000
HOUR_US: Final = 3_600_000_000


class Rows:
    """
    Collects rows, by statement (see `statements.HOT`), until `drain`.

    Args:
        present: The state after everything that is stored; changed in place.
        run: For the row of the run that is about to start.
    """

    def __init__(self, present: Present, run: Run) -> None:
        self.now = present
        self.run = run
        self.out: dict[str, list[Values]] = {}
        self.seq = self.n = self.at_us = self.epoch = 0
        self._dirty: set[str] = set()
        self._orders: dict[str, Values] = {}  # their newest rows, by client order id
        self._daily: dict[tuple[int, str, str], list[int]] = {}
        self._on_target: dict[tuple[int, str], list[int]] = {}
        self.equity: dict[str, tuple[int, int]] = {}  # currency -> when, wallet
        self._hour = present.last_us // HOUR_US

    def take(
        self,
        seq: int,
        epoch: int,
        event: e.AnyEvent,
        decisions: Sequence[d.AnyDecision],
        facts: Sequence[d.AnyFact],
    ) -> None:
        """
        Make the rows of one step.

        Raises:
            TypeError: A fact has a type that no line of `FACTS` knows.
        """
        self.seq, self.epoch, self.at_us, self.n = seq, epoch, event.at_us, 0
        if writer := EVENTS.get(type(event)):
            writer(self, event)
        for fact in facts:  # before the decisions: what ends an intent makes room for the next
            self.n += 1
            try:
                FACTS[type(fact)](self, fact)
            except KeyError:
                if type(fact) in FACTS:
                    raise
                raise TypeError(f"no table is named for facts of type {type(fact)!r}") from None
        for decision in decisions:
            self._decided(decision)
        self.now.last_us = event.at_us
        if event.at_us // HOUR_US != self._hour:
            self._hour = event.at_us // HOUR_US
            for symbol in self.now.symbols.values():
                self.count_time(symbol)

    def drain(self) -> dict[str, list[Values]]:
        """Every row since the last time, by statement; the caller may keep the lists."""
        out, self.out = self.out, {}
        if self._dirty:
            out["symbol_now"] = [values_of(self.now.symbols[name]) for name in sorted(self._dirty)]
            self._dirty.clear()
        if self._orders:  # those that live last: those that ended make room for them
            out["orders"] = sorted(self._orders.values(), key=lambda row: row[2] is not None)
            self._orders.clear()
        if self._daily:
            out["daily"] = [(*key, *sums) for key, sums in self._daily.items()]
            self._daily.clear()
        if self._on_target:
            out["on_target"] = [(*key, *sums) for key, sums in self._on_target.items()]
            self._on_target.clear()
        return out

    # Helpers of the writers.

    def add(self, statement: str, *values: Any) -> None:
        rows = self.out.get(statement)
        if rows is None:
            rows = self.out[statement] = []
        rows.append(values)

    def order(self, *row: Any) -> None:
        """A row of ``orders``; over an older one of this batch as `statements` writes it over."""
        old = self._orders.get(row[0])
        if old is not None:
            name, symbol, live, status, venue_status, order_id, *_ = row
            contracts, price, filled, booked, evidence, version, _, acked, *rest = row[6:]
            row = (
                *(name, symbol, live, status, venue_status, order_id),
                *(contracts if old[6] is None else old[6], old[7] if price is None else price),
                *(filled, booked, evidence, version if old[11] is None else old[11]),
                *(old[12], acked if old[13] is None else old[13], *rest),
            )
        self._orders[row[0]] = row

    def symbol(self, name: str) -> SymbolNow:
        """The present of a symbol, about to be changed."""
        found = self.now.symbols.get(name)
        if found is None:
            found = SymbolNow(name, state_since_us=self.at_us, counted_us=self.at_us)
            self.now.symbols[name] = found
        found.updated_us = self.at_us
        self._dirty.add(name)
        return found

    def set_on_target(self, now: SymbolNow, on_target: bool) -> None:
        if bool(now.on_target) is not on_target:
            self.count_time(now)
            now.on_target = int(on_target)

    def count_time(self, now: SymbolNow) -> None:
        """Add the time since it was last counted to the days that it fell on."""
        start, now.counted_us = now.counted_us, max(now.counted_us, self.at_us)
        self._dirty.add(now.symbol)
        if now.target is None:
            return
        while start < now.counted_us:
            until = min(now.counted_us, (start // DAY_US + 1) * DAY_US)
            sums = self._on_target.setdefault((start // DAY_US, now.symbol), [0, 0])
            sums[0 if now.on_target else 1] += until - start
            start = until

    def count_day(self, at_us: int, symbol: str, currency: str, *sums: int) -> None:
        day = self._daily.setdefault((at_us // DAY_US, symbol, currency), [0] * 7)
        for column, amount in enumerate(sums):
            day[column] += amount

    def _decided(self, decision: d.AnyDecision) -> None:
        if isinstance(decision, d.PlaceOrder):  # its intent says that it was asked for
            self.n += 1
            place(self, decision)
            return
        name, symbol = getattr(decision, "cl_ord_id", ""), getattr(decision, "symbol", "")
        self.add(
            "requests",
            *(decision.request_id, self.seq, self.at_us, self.epoch),
            *(decision.__struct_config__.tag, name, symbol),
            *(None, None, None, None, None, None),
        )
