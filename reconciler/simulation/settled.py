"""
What became of a difference between books and venue, and of incidents that somebody decides.

The venue's position is moved at times, and nothing ever tells why. An adjustment is never more or
less than what was moved so: a fill on its way is none. It is signed by the rule, and there are only
so many a day; or by a person, whose word closes just the incident that it names. To adopt is to
want what the venue has, to trade back is to want what one wanted. Until then nothing is ordered.
What is open, and what was decided, is what a restart finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.core.ledger import Ledger
    from reconciler.simulation.oracle import Oracle

DAY_US = 86_400 * SECOND
OLD_US = 75 * SECOND  # a position row that is told now may be so old, however it was held up
WAITS_US = 10 * SECOND  # of fair weather: then a rule has settled what it may
PERSON = "ann"
RESUMES = "ben"  # and adopts, without a word on the incident
#: A word on what a symbol holds closes these of it, too.
OF_THE_BOOKS = ("position_differs", "missing_fills", "vanished_order")
RULES = {rule: f"on_mismatch = {rule}" for rule in ("adopt", "trade_back")}


class Settled:
    """Judges how one life's differences and incidents ended."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.open: dict[int, tuple[str, str]] = {}  # incidents: kind and symbol, by number
        self.by: Counter[str] = Counter()  # adjustments, by who signed: none prove nothing
        self.decided: Counter[str] = Counter()
        self._moved: dict[str, list[tuple[int, int]]] = {}  # since when, and how far in all
        self._adjusted: Counter[str] = Counter()
        self._since_us: dict[str, int] = {}  # symbols that differ, in the world's time
        self._day: dict[str, int] = {}  # the newest that has begun
        self._today: Counter[str] = Counter()  # settled by rule
        self._word: dict[str, e.Resolved] = {}  # the newest, by symbol
        self._adopts: dict[str, e.TargetSet] = {}  # a person's, and the word on it is to come
        self._newest: dict[str, e.TargetSet] = {}  # target
        self._ran_out: set[str] = set()  # to zero: from then on it has no end

    def drifted(self, symbol: str, contracts: int) -> None:
        """The venue's position was moved, and nothing will tell why."""
        moved = self._moved.setdefault(symbol, [(0, 0)])
        moved.append((self.oracle.world.agenda.now_us, moved[-1][1] + contracts))

    def hear(
        self, event: e.AnyEvent, choices: Sequence[d.AnyDecision], facts: Sequence[d.AnyFact]
    ) -> None:
        """What was committed; the oracle's positions are those before it."""
        if isinstance(event, e.Adjusted):
            self._adjusts(event)
        elif isinstance(event, e.Resolved):
            self._decides(event, facts)
        elif isinstance(event, e.TargetSet):
            self._wants(event)
        for fact in facts:
            if isinstance(fact, d.IncidentOpened):
                self._opened(fact)
            elif isinstance(fact, d.TargetClosed) and fact.outcome == "expired":
                if (last := self._newest.get(fact.symbol)) and last.version == fact.version:
                    self._ran_out.add(fact.symbol)
            elif isinstance(fact, d.IncidentClosed):
                kind, symbol = self.open.pop(fact.incident_id, ("", ""))
                if kind == "position_differs":
                    self._since_us.pop(symbol, None)
        for choice in choices:
            if self._since_us and isinstance(choice, d.PlaceOrder):
                if choice.symbol in self._since_us:
                    raise Broken("O5", f"{choice.cl_ord_id}, and {choice.symbol} differs for good")

    def _opened(self, fact: d.IncidentOpened) -> None:
        self.open[fact.incident_id] = fact.type, fact.symbol
        self.oracle.retold.symbol_of[fact.incident_id] = fact.symbol
        if fact.type == "position_differs":
            self._since_us[fact.symbol] = self.oracle.world.agenda.now_us

    # -- an adjustment -----------------------------------------------------------------------------

    def _adjusts(self, event: e.Adjusted) -> None:
        self.oracle.checks += 1
        symbol, books = event.symbol, self.oracle.position[event.symbol]
        row = self.oracle.retold.row.get(symbol, 0)
        if not event.contracts or books + event.contracts != row:
            raise Broken("F2", f"{symbol} is {books:+d}, the venue's row {row:+d}, and {event}")
        self.by[event.by] += 1
        self._adjusted[symbol] += event.contracts
        if self.oracle.strict:
            self._is_what_was_moved(event)
        if event.by == PERSON:
            word = self._word.pop(symbol, None)
            if word is None or word.at_us != event.at_us:
                raise Broken("F2", f"{event}, and nobody has decided anything")
        elif event.by != RESUMES:
            self._is_by_the_rule(event, books, row)
        self.oracle.something_changed(symbol)

    def _is_what_was_moved(self, event: e.Adjusted) -> None:
        """F2: nothing is taken in that has its own execution, and nothing twice."""
        symbol, moved = event.symbol, self._moved.get(event.symbol, [(0, 0)])
        before_us = self.oracle.world.agenda.now_us - OLD_US
        ends_us = [since_us for since_us, _ in moved[1:]] + [2**62]
        told = {far for (_, far), end_us in zip(moved, ends_us, strict=True) if end_us > before_us}
        if self._adjusted[symbol] not in told:
            raise Broken("F2", f"{event}: {self._adjusted[symbol]:+d} in all, moved was {told}")

    def _is_by_the_rule(self, event: e.Adjusted, books: int, row: int) -> None:
        oracle, symbol = self.oracle, event.symbol
        rule = oracle.world.settings.on_mismatch
        if event.by != RULES.get(rule):
            raise Broken("F2", f"{event}, and the rule is {rule}")
        if symbol not in self._since_us:
            raise Broken("F2", f"{event}, and nobody was told of a difference")
        if event.reason != f"the books said {books:+d}, the venue says {row:+d}":
            raise Broken("F2", f"{event}, of books at {books:+d} and a row of {row:+d}")
        if oracle.retold.is_halted(symbol):
            raise Broken("O7", f"{event}, and somebody has halted {symbol}")
        if rule == "adopt" and (wanted := oracle.wanted.get(symbol)) not in (None, row):
            raise Broken("O4", f"{event}, and {wanted:+d} is wanted of {symbol}")
        if self.today(symbol, event.at_us) >= oracle.world.settings.mismatches_per_day:
            raise Broken("O6", f"{event} is one more than there may be in a day")
        self._today[symbol] += 1

    def today(self, symbol: str, at_us: int) -> int:
        """How many differences were settled by rule. No day begins twice."""
        if at_us // DAY_US > self._day.get(symbol, 0):
            self._day[symbol] = at_us // DAY_US
            self._today[symbol] = 0
        return self._today[symbol]

    def _wants(self, event: e.TargetSet) -> None:
        """Who adopts wants the venue's own figure, by the policy and until the end of before."""
        symbol, before = event.symbol, self._newest.get(event.symbol)
        ran_out = symbol in self._ran_out
        self._newest[symbol] = event
        self._ran_out.discard(symbol)
        if event.source == PERSON:
            self._adopts[symbol] = event
        elif event.source not in RULES.values():
            return
        elif event.source != RULES["adopt"] or self.oracle.world.settings.on_mismatch != "adopt":
            raise Broken("O4", f"{event.source} wants {event.contracts:+d} of {symbol}")
        row = self.oracle.retold.row.get(symbol, 0)
        if event.contracts != row or before is None:
            raise Broken("O4", f"{event.source} wants {event.contracts:+d}, and {row:+d} is held")
        if event.policy != before.policy:
            raise Broken("O4", f"{event.source} wants {symbol} by {event.policy!r}: {before}")
        end_us = None if ran_out else before.expires_us
        if event.expires_us != end_us:
            raise Broken("O4", f"{event.source} wants {symbol} until {event.expires_us}: {before}")

    # -- a decision --------------------------------------------------------------------------------

    def _decides(self, event: e.Resolved, facts: Sequence[d.AnyFact]) -> None:
        self.oracle.checks += 1
        number = event.incident_id
        if number not in self.open:
            raise Broken("O7", f"INC-{number} is decided, and is not open: {event}")
        kind, symbol = self.open[number]
        closed = {one.incident_id: one for one in facts if isinstance(one, d.IncidentClosed)}
        if number not in closed or closed[number].by != event.by:
            raise Broken("O7", f"{event}: INC-{number} is left open")
        others = [self.open[one] for one, fact in closed.items() if fact.by == event.by]
        too = OF_THE_BOOKS if event.decision != "ignore" else ()
        if any(whose != symbol or what not in (kind, *too) for what, whose in others):
            raise Broken("O7", f"{event} has closed {others}")
        if self._adopts.pop(symbol, None) is not None and event.decision != "adopt":
            raise Broken("O4", f"{event}, and what is wanted of {symbol} is another number")
        self.decided[f"{kind}: {event.decision}"] += 1
        self._word.pop(symbol, None)
        if event.decision != "ignore":
            self._word[symbol] = event
            row, wanted = self.oracle.retold.row.get(symbol, 0), self.oracle.wanted.get(symbol)
            if event.decision == "adopt" and wanted not in (None, row):
                raise Broken("O4", f"{event}: {wanted} is wanted, and the venue has {row:+d}")
            self.oracle.something_changed(symbol)

    # -- over restarts, and in fair weather --------------------------------------------------------

    def none_is_lost(self, ledger: Ledger) -> None:
        """R3: a start finds the incidents that are open, and no other."""
        self.oracle.checks += 1
        if not self.oracle.inside:
            return
        found = {number: name.partition(" ")[::2] for name, number in ledger.incidents.items()}
        if found != self.open:
            raise Broken("R3", f"open were {self.open}, and after a restart {found}")

    def none_waits(self) -> None:
        """V1: in fair weather a rule has settled what it may."""
        for symbol, since_us in self._since_us.items():
            if self.oracle.world.agenda.now_us - since_us > WAITS_US and not self.waits(symbol):
                raise Broken("V1", f"{symbol} differs, and no rule settles it")

    def waits(self, symbol: str) -> bool:
        """Whether a difference waits for a person."""
        settings, process = self.oracle.world.settings, self.oracle.world.up
        if settings.on_mismatch not in RULES or process is None:
            return True
        return self.today(symbol, process.loop.now_us()) >= settings.mismatches_per_day
