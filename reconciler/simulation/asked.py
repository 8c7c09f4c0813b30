"""
What people ask of targets beside a number: money, a zero too many, a whole file.

Money is turned into contracts at once, by the mark and the balance that were in force, and what is
recorded says so: worked out again in fractions. A change that is far from the usual one is refused
until somebody says the number twice; a refusal leaves what was wanted. A file is set whole or not
at all, in one piece, and with *prune* whatever it does not name goes to zero; a plan is set as it
was shown, or not at all once something has moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from statistics import median_low
from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.service.door import TargetRequest, TargetsRequest
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.oracle import Oracle

CHANGES = 100  # that are remembered
NO_END_US = 2**63
LATE_US = 5 * SECOND  # a mark on its way, beside the age that a price may have
FILE = "file "  # and its number: the reason of what it sets


class Due(NamedTuple):
    """What has to come of a request."""

    contracts: int | None  # None: nobody can say
    recorded: str  # the form that it was asked in
    unusual: bool = False


class Asked:
    """Judges what came of one life's requests."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.seen: Counter[str] = Counter()  # requests of each kind: none prove nothing
        self._now: dict[str, int | None] = {}  # targets in force
        self._ends: dict[str, tuple[int, str]] = {}  # of those: when, and what then
        self._version: Counter[str] = Counter()
        self._changes: dict[str, list[int]] = {}
        self._balance: int | None = None
        self._unusual: set[str] = set()  # symbols of the file that is looked at
        self._files: dict[str, set[str]] = {}  # handed over: symbols, by reason
        self._left: set[str] = set()  # of the one of which a part is committed

    def hear(
        self, event: e.AnyEvent, choices: Sequence[d.AnyDecision], facts: Sequence[d.AnyFact]
    ) -> None:
        """What was committed; the oracle's positions are those before it."""
        if self._left:
            self._nothing_comes_between(event)
        for fact in facts:
            if isinstance(fact, d.TargetClosed) and fact.outcome == "expired":
                self._runs_out(event, fact)
                self._now[fact.symbol] = fact.now
                self._ends.pop(fact.symbol, None)
        if isinstance(event, e.TargetSet):
            if event.reason.startswith(FILE):
                self._is_of_the_file(event)
            self._takes_over(event)
        elif isinstance(event, e.TargetRefused):
            self._changes_nothing(event)
        elif isinstance(event, e.MarginSeen):
            self._balance = event.margin_minor

    def _runs_out(self, event: e.AnyEvent, fact: d.TargetClosed) -> None:
        """V1: what runs out is in force, has an end that has come, and leads where it said."""
        self.oracle.checks += 1
        symbol, version, end = fact.symbol, self._version[fact.symbol], self._ends.get(fact.symbol)
        if isinstance(event, e.TargetSet) and event.symbol == symbol and fact.version != version:
            version, end = event.version, (event.expires_us or NO_END_US, event.on_expiry)
        end_us, then = end or (NO_END_US, "")
        if fact.version != version or event.at_us < end_us:
            raise Broken("V1", f"{fact} at {event.at_us}, and {version} ends at {end_us}")
        if fact.now != (0 if then == "flatten" else None):
            raise Broken("V1", f"{fact}, and it was to {then}")

    def _takes_over(self, event: e.TargetSet) -> None:
        before = self._now.get(event.symbol)
        change = abs(event.contracts - self._from(event.symbol, before))
        if change:
            self._changes.setdefault(event.symbol, []).append(change)
        ended = event.expires_us is not None and event.at_us >= event.expires_us
        self._version[event.symbol] = event.version
        if not ended:  # else its end is among what it has led to
            self._now[event.symbol] = event.contracts
            self._ends.pop(event.symbol, None)
            if event.expires_us is not None:
                self._ends[event.symbol] = event.expires_us, event.on_expiry

    def _wanted(self, symbol: str) -> int | None:
        """What is wanted at this moment, whether or not anybody has looked since it ran out."""
        process, (end_us, then) = self.oracle.world.process, self._ends.get(symbol, (NO_END_US, ""))
        if process is None or process.loop.now_us() < end_us:
            return self._now.get(symbol)
        return 0 if then == "flatten" else None

    def _from(self, symbol: str, now: int | None) -> int:
        return self.oracle.position[symbol] if now is None else now

    def _changes_nothing(self, event: e.TargetRefused) -> None:
        """IN-5: what was wanted is wanted still."""
        self.oracle.checks += 1
        process, symbol = self.oracle.world.process, event.symbol
        if process is None or symbol not in process.engine.ledger.books:
            return
        book = process.engine.ledger.books[symbol]
        now = book.target.contracts if book.target is not None else None
        if (book.version, now) != (self._version[symbol], self._now.get(symbol)):
            raise Broken("IN-5", f"{event.text}, and {symbol} is {now} now, {book.version}")

    # -- one target --------------------------------------------------------------------------------

    def due(self, request: TargetRequest, quote: e.Quoted | None) -> Due:
        """What has to come of it now."""
        self.oracle.checks += 1
        contracts, recorded = request.contracts, ""
        if request.notional is not None or request.percent is not None:
            contracts, recorded = self._of_money(request, quote)
        if contracts is None:
            return Due(None, "")
        return Due(contracts, recorded, self._is_unusual(request, contracts))

    def _of_money(self, request: TargetRequest, quote: e.Quoted | None) -> tuple[int | None, str]:
        """Contracts of a dollar each: of a balance as many as it has dollars, by the mark."""
        rules = self.oracle.retold.rules.get(request.symbol)
        mark = quote.mark if quote is not None else None
        if rules is None or mark is None or quote is None or not self.oracle.retold.in_sync:
            return None, ""
        limits = self.oracle.world.settings.limits_of(request.symbol)
        if quote.age_us > limits.stale_price_us:
            return None, ""
        self._is_true(request.symbol, mark, limits.stale_price_us)
        if request.notional is not None:
            asked, dollars = Fraction(request.notional), Fraction(request.notional)
            recorded = f"notional {request.notional} USD at {mark:f}"
        else:
            if self._balance is None:
                return None, ""
            asked = Fraction(str(request.percent))
            dollars = asked / 100 * self._balance * Fraction(mark) / 10**8
            recorded = f"{request.percent} % of {self._balance} XBt at {mark:f}"
        lots = int(abs(dollars) / rules[0])
        return lots * rules[0] * (-1 if asked < 0 else 1), recorded

    def _is_true(self, symbol: str, mark: Decimal, stale_us: int) -> None:
        exchange, now_us = self.oracle.world.exchange, self.oracle.world.agenda.now_us
        past = exchange.past_marks[symbol]
        known = [at for until_us, at in past if until_us >= now_us - stale_us - LATE_US]
        if mark not in (*known, exchange.marks[symbol]):
            raise Broken("IN-5", f"{symbol}: money was turned at {mark}, which was no mark of late")

    def _is_unusual(self, request: TargetRequest, contracts: int) -> bool:
        limits = self.oracle.world.settings.limits_of(request.symbol)
        change = abs(contracts - self._from(request.symbol, self._wanted(request.symbol)))
        if not limits.usual_times or request.confirm == contracts:
            return False
        last = self._changes.get(request.symbol, [])[-CHANGES:][-limits.usual_last :]
        usual = median_low(last) if last else 0
        return change > limits.usual_above_contracts and change > limits.usual_times * usual

    def answered(self, request: TargetRequest, due: Due, events: Sequence[e.AnyEvent]) -> None:
        """What the door makes of it: events that will be committed, or not at all."""
        found = events[0] if events else None
        if isinstance(found, e.TargetSet):
            self.seen["accepted"] += 1
            if due.unusual:
                raise Broken("O6", f"{request} is far from the usual, and nobody confirmed it")
            if due.contracts is None or found.contracts != due.contracts:
                raise Broken("IN-5", f"{request} became {found.contracts:+d}, and {due} was due")
            if found.asked != due.recorded:
                raise Broken("IN-5", f"{request} is recorded as {found.asked!r}, not {due}")
        elif isinstance(found, e.TargetRefused):
            self.seen[found.code] += 1
            if found.code == "needs_confirmation" and not due.unusual:
                raise Broken("V1", f"{found.text}, and {due} is usual, or was confirmed")
            in_money = request.contracts is None
            if found.code == "refused" and in_money and due.contracts is not None:
                raise Broken("V1", f"{found.text}, and {due} was due")

    # -- a whole file ------------------------------------------------------------------------------

    def whole(self, request: TargetsRequest) -> dict[str, int]:
        """What has to be wanted of each symbol after it."""
        wanted = {one.symbol: one.contracts for one in request.targets if one.contracts is not None}
        for symbol in self.oracle.world.symbols if request.prune else ():
            if self._wanted(symbol):
                wanted.setdefault(symbol, 0)
        named = {one.symbol: one for one in request.targets}
        self._unusual = {
            symbol
            for symbol, contracts in wanted.items()
            if self._is_unusual(named.get(symbol, TargetRequest(symbol=symbol)), contracts)
        }
        return wanted

    def file_comes(self, name: str, wanted: dict[str, int], events: Sequence[e.AnyEvent]) -> None:
        """IN-5: all of it, or one refusal; symbols for which it says nothing new are left out."""
        self.oracle.checks += 1
        if not events or isinstance(events[0], e.TargetRefused):
            self.seen["files refused" if events else "files of nothing new"] += 1
            if len(events) > 1:
                raise Broken("IN-5", f"a file was refused, and {events} comes of it")
            new = {s for s, n in wanted.items() if self._now.get(s) != n}
            if new and not events:
                raise Broken("IN-5", f"a file wants {wanted} anew, not {self._now}: nothing came")
            return
        self.seen["files"] += 1
        found = {one.symbol: one.contracts for one in events if isinstance(one, e.TargetSet)}
        left = {s: n for s, n in wanted.items() if s not in found and self._now.get(s) != n}
        if left or any(wanted.get(symbol) != n for symbol, n in found.items()):
            raise Broken("IN-5", f"a file wants {wanted}, and {found} comes of it")
        if self._unusual:
            raise Broken("O6", f"{self._unusual} of {wanted} are unusual, and nobody confirmed it")
        self._files[name] = set(found)

    def _is_of_the_file(self, event: e.TargetSet) -> None:
        """IN-5: once a part of it is committed, the rest comes in the same breath."""
        left = self._left or self._files.pop(event.reason, set())
        if event.symbol not in left:
            raise Broken("IN-5", f"{event} is no part of {event.reason}, or comes twice")
        self._left = left - {event.symbol}

    def _nothing_comes_between(self, event: e.AnyEvent) -> None:
        if not (isinstance(event, e.TargetSet) and event.symbol in self._left):
            raise Broken("IN-5", f"of a file {self._left} is left out: {event}")

    # -- a plan ------------------------------------------------------------------------------------

    def plan_shows(self, wanted: dict[str, int], rows: Sequence[dict[str, Any]]) -> None:
        """IN-5: a plan shows all that is asked for, and nothing else."""
        self.oracle.checks += 1
        shown = {row["symbol"]: row["target"] for row in rows}
        if shown != wanted:
            raise Broken("IN-5", f"a file wants {wanted}, and the plan of it shows {shown}")

    def stands_on(self) -> dict[str, tuple[int, int | None, int]]:
        """What a plan stands on, as far as it is known here."""
        return {
            symbol: (self._version[symbol], self._now.get(symbol), self.oracle.position[symbol])
            for symbol in self.oracle.world.symbols
        }

    def plan_stands(self, wanted: dict[str, int], before: dict[str, Any]) -> None:
        """IN-5: a plan is taken only where nothing has moved since."""
        self.oracle.checks += 1
        self.seen["plans"] += 1
        now = self.stands_on()
        if any(now[symbol] != before[symbol] for symbol in wanted):
            raise Broken("IN-5", f"a plan of {before} was taken, and now it is {now}")
