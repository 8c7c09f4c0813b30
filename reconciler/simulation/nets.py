"""
V1 and O6 for signals: what portfolios make of them, worked out a second time, in fractions.

From the signals as they were committed and the portfolios that somebody drew: the target that
was asked for last is within three quarters of a lot of the net, and moves only if it was not; it
is a whole number of lots and beyond no cap; it names the signals that it follows from; and no
signal that was taken is ever lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.errors import ReconcilerError
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.core.ledger import Ledger
    from reconciler.simulation.oracle import Oracle
    from reconciler.strategy.portfolio import Portfolio
    from reconciler.strategy.signals import Signal

TREMBLE = Fraction(3, 4)  # of a lot


class Net(NamedTuple):
    """What is wanted of one symbol."""

    contracts: Fraction
    cap: int | None  # that rounding may not pass; None: there is none
    asks: dict[str, Fraction]  # by strategy, before the caps of all
    said: int  # portfolios that have a say


class Part(NamedTuple):
    """What one portfolio wants of one symbol."""

    asks: dict[str, Fraction]  # by strategy
    let_through: Fraction  # of all of them, by the cap of the symbol


class Nets:
    """Judges one life's netting."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.portfolios: tuple[Portfolio, ...] = ()
        self.moved = 0  # targets that were judged: a life without any proves nothing
        self._signals: dict[str, dict[str, e.Signalled]] = {}  # in force, by symbol
        self._whose: dict[int, tuple[str, str]] = {}  # of each number: strategy, symbol
        self._netted: dict[str, int] = {}  # the newest target of portfolios
        self._newest: dict[str, int] = {}  # its version
        self._ran_out: set[str] = set()  # it has: who speaks of it brings it back
        self._shares: dict[tuple[str, int], tuple[e.Share, ...]] = {}  # by symbol and version
        # What was worked out of these portfolios, and still holds:
        self._of: tuple[Portfolio, ...] = ()
        self._known: dict[tuple[str, int], Net] = {}  # by symbol and lot
        self._parts: dict[tuple[str, str, int], Part] = {}  # by symbol, portfolio and lot
        self._weights: dict[tuple[str, str], Fraction | None] = {}  # by portfolio and strategy

    def hear(
        self, event: e.AnyEvent, choices: Sequence[d.AnyDecision], facts: Sequence[d.AnyFact]
    ) -> None:
        """What was committed."""
        if isinstance(event, e.Signalled):
            if event.number != len(self._whose) + 1:
                raise Broken("R3", f"signal {event.number} comes after {len(self._whose)}")
            self._whose[event.number] = event.strategy, event.symbol
            self._signals.setdefault(event.symbol, {})[event.strategy] = event
            self._known.clear()  # a cap over all symbols depends on the signals of all
            for known in [known for known in self._parts if known[0] == event.symbol]:
                del self._parts[known]
        elif isinstance(event, e.InstrumentSeen):
            self._known.clear()  # and on the lots of all
        elif isinstance(event, e.TargetSet) and event.shares:
            self._target(event)
        for choice in choices:
            if isinstance(choice, d.PlaceOrder):
                self._chain(choice)
        for fact in facts:
            if isinstance(fact, d.TargetClosed) and fact.outcome == "expired":
                if fact.version == self._newest.get(fact.symbol):  # whoever set another since
                    self._ran_out.add(fact.symbol)

    def committed(self, events: Iterable[e.AnyEvent]) -> None:
        """All of a commit was heard: whatever was said in it has had its effect."""
        for symbol in dict.fromkeys(one.symbol for one in events if isinstance(one, e.Signalled)):
            self._look(symbol)

    def look(self, symbols: Iterable[str]) -> None:
        """V1: the newest target of portfolios is what is wanted, but for what may tremble."""
        for symbol in symbols:
            if symbol not in self._ran_out:
                self._look(symbol)

    def _look(self, symbol: str) -> None:
        rules, held = self.oracle.retold.rules.get(symbol), self._netted.get(symbol, 0)
        if rules is None or not self.portfolios or self._is_near(symbol, rules[0], held):
            return
        wanted = self._net(symbol, rules[0]).contracts
        most = self.oracle.world.settings.limits_of(symbol).max_position_contracts
        if abs(wanted) + Fraction(rules[0], 2) <= most:  # or it was refused: that before stays
            said = f"{float(wanted):+.3f} are wanted in all, {held:+d} in force"
            raise Broken("V1", f"{symbol}: {said}")

    def _is_near(self, symbol: str, lot: int, held: int) -> bool:
        """Whether rounding has no reason to move it."""
        net = self._net(symbol, lot)
        if not net.contracts or not net.said:
            return held == 0
        return held % lot == 0 and abs(net.contracts - held) <= TREMBLE * lot

    def _target(self, target: e.TargetSet) -> None:
        """O6, V1: a target of portfolios, as it is set."""
        symbol, held = target.symbol, self._netted.get(target.symbol, 0)
        lot = self.oracle.retold.rules[symbol][0]
        net = self._net(symbol, lot)
        self.moved += 1
        self.oracle.checks += 1
        if target.contracts != held and self._is_near(symbol, lot, held):
            wanted = float(net.contracts)
            raise Broken("V1", f"{symbol}: {held:+d} moved to {target.contracts:+d}, for {wanted}")
        if net.cap is not None and abs(target.contracts) > net.cap:
            raise Broken("O6", f"{symbol}: {target.contracts:+d} are beyond a cap of {net.cap}")
        if sum(share.contracts for share in target.shares) != target.contracts:
            raise Broken("F2", f"{symbol}: {target.shares} are not {target.contracts:+d}")
        self._names_its_signals(target, net, lot)
        self._netted[symbol], self._newest[symbol] = target.contracts, target.version
        self._ran_out.discard(symbol)
        self._shares[symbol, target.version] = target.shares

    def _names_its_signals(self, target: e.TargetSet, net: Net, lot: int) -> None:
        """R1: each share is of a signal of that strategy: of the one in force, or as good as it."""
        symbol, sums = target.symbol, dict[str, int]()
        old: set[str] = set()
        for share in target.shares:
            if not share.strategy:
                continue
            if self._whose.get(share.signal) != (share.strategy, symbol):
                raise Broken("R1", f"{symbol}: {share} is of no signal that it could be of")
            if self._signals[symbol][share.strategy].number != share.signal:
                old.add(share.strategy)
            sums[share.strategy] = sums.get(share.strategy, 0) + share.contracts
        for name, ask in net.asks.items():
            off = abs(ask - sums.get(name, 0))
            if off >= net.said + (lot if name in old or self._is_kept(target) else 0):
                raise Broken("R1", f"{symbol}: {name} asks for {float(ask)}, and is told {sums}")

    def _is_kept(self, target: e.TargetSet) -> bool:
        """Shares that nobody's change was worth another of."""
        before = self._shares.get((target.symbol, target.version - 1))
        return target.contracts == self._netted.get(target.symbol, 0) or before == target.shares

    def _chain(self, order: d.PlaceOrder) -> None:
        """R1: an order leads to its target, and that to signals which were taken before it."""
        for share in self._shares.get((order.symbol, order.target_version), ()):
            if share.strategy and share.signal not in self._whose:
                raise Broken("R1", f"{order.cl_ord_id} is for signal {share.signal}: there is none")

    def answered(self, said: Signal, number: int | None, refusal: ReconcilerError | None) -> None:
        """R3: a signal is refused, or in the journal: it or a newer one of that strategy."""
        self.oracle.checks += 1
        if number is None and (refusal is None or said.strength.is_finite()):
            raise Broken("R3", f"{said} was handed in, and {refusal or 'nothing'} came of it")
        if number and self._whose.get(number) != (said.strategy, said.symbol):
            raise Broken("R3", f"signal {number} was answered, and is not in the journal")

    def none_is_lost(self, ledger: Ledger) -> None:
        """R3: a start finds every signal that was in force."""
        self.oracle.checks += 1
        if ledger.signals != self._signals:
            raise Broken("R3", f"signals were lost: {self._signals}, and now {ledger.signals}")

    def quiet(self) -> None:
        """V1: once nobody speaks any more the targets are what was said last."""
        self.look(self.oracle.world.symbols)

    # -- the second reading of a portfolio ---------------------------------------------------------

    def _net(self, symbol: str, lot: int) -> Net:
        if self._of is not self.portfolios:
            self._of = self.portfolios
            for cache in (self._known, self._parts, self._weights):
                cache.clear()
        known = self._known.get((symbol, lot))
        if known is None:
            known = self._known[symbol, lot] = self._worked_out(symbol, lot)
        return known

    def _worked_out(self, symbol: str, lot: int) -> Net:
        total, cap, asks, said = Fraction(0), 0, dict[str, Fraction](), 0
        capped = True
        for portfolio in self.portfolios:
            part = self._part(portfolio, symbol, lot)
            if not part.asks:
                continue
            said += 1
            for name, ask in part.asks.items():
                asks[name] = asks[name] + ask if name in asks else ask
            most = portfolio.max_contracts.get(symbol)
            capped = capped and most is not None
            cap += most // lot * lot if most is not None else 0
            total += part.let_through * self._scale(portfolio)
        return Net(total, cap if capped and said else None, asks, said)

    def _part(self, portfolio: Portfolio, symbol: str, lot: int) -> Part:
        part = self._parts.get((symbol, portfolio.name, lot))
        if part is None:
            asks = self._asks(portfolio, symbol)
            total = sum(asks.values(), Fraction(0))
            most = portfolio.max_contracts.get(symbol)
            total = total if most is None else _within(Fraction(most // lot * lot), total)
            part = self._parts[symbol, portfolio.name, lot] = Part(asks, total)
        return part

    def _asks(self, portfolio: Portfolio, symbol: str) -> dict[str, Fraction]:
        found, size = {}, portfolio.symbols[symbol]
        for name, signal in self._signals.get(symbol, {}).items():
            key = portfolio.name, name
            if key not in self._weights:
                self._weights[key] = _weight(portfolio.strategies, name)
            weight = self._weights[key]
            if weight is not None:
                found[name] = _ask(signal.strength, weight, portfolio.max_strength, size)
        return found

    def _scale(self, portfolio: Portfolio) -> Fraction | int:
        """What is left of each symbol under the cap over all of them."""
        if portfolio.max_gross is None:
            return 1
        gross, rules = Fraction(0), self.oracle.retold.rules
        for symbol, size in portfolio.symbols.items():
            lot = rules[symbol][0] if symbol in rules else 1
            gross += abs(self._part(portfolio, symbol, lot).let_through) / Fraction(size)
        most = Fraction(portfolio.max_gross)
        return most / gross if gross > most else 1


@lru_cache(10_000)
def _ask(strength: Decimal, weight: Fraction, most: Decimal | None, size: Decimal) -> Fraction:
    """Contracts: few opinions are said again and again, and a product of fractions is dear."""
    weighed = Fraction(strength) * weight
    if most is not None:
        weighed = _within(Fraction(most), weighed)
    return weighed * Fraction(size)


def _weight(listed: dict[str, Decimal], name: str) -> Fraction | None:
    """Its own weight, or that of the longest pattern."""
    patterns = sorted(listed, key=lambda pattern: (len(pattern), pattern))
    fitting = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
    if name in listed:
        return Fraction(listed[name])
    return Fraction(listed[fitting[-1]]) if fitting else None


def _within(most: Fraction, number: Fraction) -> Fraction:
    return min(max(number, -most), most)
