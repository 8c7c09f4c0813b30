"""
A portfolio nets what strategies think to one target a symbol.

    contracts = strength x the strategy's weight x the symbol's contracts for a strength of 1

added up over its strategies, cut to its caps, then over all portfolios, then rounded to the lot.
All of it is exact: decimals in, whole numbers over one denominator inside, whole contracts out.

**Rounding cannot oscillate.** The target in force is kept while the sum is within three quarters
of a lot of it, and only then rounded anew; so whatever trembles by no more than a quarter of a lot
moves the target once at most. A sum of exactly zero is zero at once.

**Shares add up.** Each strategy's share is what it asks for, in whole contracts by largest
remainder. What rounding to the lot and the caps leave over is the share of "", nobody.

Pure: signals, weights and the shares in force in, targets out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import partial
from math import lcm
from typing import NamedTuple

import msgspec

from reconciler.core.events import Share, Signalled
from reconciler.core.portfolio.shares import NOBODY, wanted

KEEP_LOTS = Fraction(3, 4)  # half a lot is what rounding needs, the rest is what may tremble
_KEEP, _OF = KEEP_LOTS.as_integer_ratio()


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """Weights and caps, as configured under ``[portfolio.NAME]``."""

    name: str
    strategies: dict[str, Decimal]  # identifier or pattern: weight
    symbols: dict[str, Decimal]  # symbol: contracts for a strength of 1
    sources: tuple[str, ...] = ()  # who may signal beside the configured strategies
    max_strength: Decimal | None = None  # of one strategy, weighted, without sign
    max_contracts: dict[str, int] = {}  # symbol: of the portfolio's net, without sign
    max_gross: Decimal | None = None  # of all its symbols, each as the strength that it comes to
    policy: str = ""
    ttl_s: int | None = None
    on_expiry: str = ""
    weights_file: str = ""  # its [strategies] and [symbols] take the place of those here

    def weight_of(self, strategy: str) -> Decimal | None:
        """
        What a strategy's strength counts here; None: nothing, it is not one of ours.

        An identifier beats a pattern, and a longer pattern a shorter one.
        """
        if strategy in self.strategies:
            return self.strategies[strategy]
        fitting = [name for name in self.strategies if fnmatchcase(strategy, name)]
        if not fitting:
            return None
        return self.strategies[max(fitting, key=lambda name: (len(name), name))]


class Terms(NamedTuple):
    """What the portfolios that have a say in a symbol's target agree on."""

    portfolios: tuple[Portfolio, ...]
    source: str  # of the targets that follow: their names, with a plus between them
    policy: str  # the first that is named
    on_expiry: str  # the first that is named
    ttl_s: int | None  # the shortest

    @classmethod
    def of(cls, portfolios: tuple[Portfolio, ...]) -> Terms:
        lives = [one.ttl_s for one in portfolios if one.ttl_s is not None]
        return cls(
            portfolios=portfolios,
            source=f"portfolio {'+'.join(one.name for one in portfolios)}".strip(),
            policy=next((one.policy for one in portfolios if one.policy), ""),
            on_expiry=next((one.on_expiry for one in portfolios if one.on_expiry), ""),
            ttl_s=min(lives, default=None),
        )


class Netted(msgspec.Struct, frozen=True):
    """One symbol's target."""

    symbol: str
    contracts: int
    shares: tuple[Share, ...]
    terms: Terms


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What one strategy asks for in one portfolio."""

    contracts: int  # in parts, see `Asked.unit`
    strategy: str
    signal: int
    weight: str


class Factor(msgspec.Struct, frozen=True, gc=False):
    """What a strategy's strength is multiplied with in one portfolio, in whole numbers."""

    weight: int  # in parts, see `Netter`
    most: int | None  # of a weighted strength, in the same parts
    size: int  # contracts for a strength of 1, in parts
    told: str  # weight and size, for people


class Asked(msgspec.Struct, frozen=True):
    """What is asked for of one symbol, exactly."""

    unit: int  # so many parts are one contract
    asks: list[Ask]
    allowed: dict[int, int | Fraction]  # by number of the portfolio: what its caps let through


class Factors(dict[str, "Factor | None"]):
    """
    What each strategy counts in one portfolio for one symbol, worked out when first asked for.

    None: a strategy that is not the portfolio's.
    """

    __slots__ = ("_make", "most_contracts", "number")

    def __init__(
        self, number: int, most_contracts: int | None, make: Callable[[str], Factor | None]
    ) -> None:
        super().__init__()
        self.number = number  # of the portfolio
        self.most_contracts = most_contracts  # of its net in this symbol
        self._make = make

    def __missing__(self, strategy: str) -> Factor | None:
        made = self[strategy] = self._make(strategy)
        return made


NOTHING = Asked(1, [], {})


class Netter:
    """
    Portfolios, with what follows from their configuration worked out once.

    Weights, sizes and strengths are decimals. Each is kept as a whole number of parts, over one
    denominator for all weights and one for all sizes, so netting is exact without a fraction.

    Args:
        portfolios: With names of their own.
        has_say: Whether a strategy counts at all, whatever a pattern of weights fits.
    """

    def __init__(
        self,
        portfolios: Iterable[Portfolio],
        has_say: Callable[[str], bool] = lambda strategy: True,
    ) -> None:
        self._has_say = has_say
        self.portfolios = sorted(portfolios, key=lambda portfolio: portfolio.name)
        self._weight_parts = _denominator(
            number
            for one in self.portfolios
            for number in (*one.strategies.values(), one.max_strength)
        )
        self._size_parts = _denominator(
            size for one in self.portfolios for size in one.symbols.values()
        )
        self._parts = self._weight_parts * self._size_parts
        self._factors: dict[str, tuple[Factors, ...]] = {}  # by symbol
        self._agreed: dict[tuple[int, ...], Terms] = {}
        #: Whether a cap goes over all symbols: what one of them gets depends on the others.
        self.is_capped = any(one.max_gross is not None for one in self.portfolios)

    def net(
        self,
        signals: Mapping[str, Mapping[str, Signalled]],
        lots: Mapping[str, int],
        before: Mapping[str, tuple[Share, ...]],
    ) -> dict[str, Netted]:
        """
        The targets that follow from the signals in force.

        Args:
            signals: In force, by symbol and strategy; with a cap over all symbols, all of them.
            lots: Of each symbol that is asked about; one without a lot has no target yet.
            before: The shares of each symbol's netted target in force.

        Returns:
            One target a symbol of which some strategy has an opinion, or had one when it was netted
            last. Equal to the one in force, shares and all, if nothing of weight has changed.
        """
        asked = {
            symbol: self._asked(symbol, said, lots.get(symbol, 1))
            for symbol, said in signals.items()
        }
        for number, portfolio in enumerate(self.portfolios):
            if portfolio.max_gross is not None:
                _cut_to_gross(portfolio, number, portfolio.max_gross, asked)
        found: dict[str, Netted] = {}
        for symbol in sorted(lots):
            one, shares = asked.get(symbol, NOTHING), before.get(symbol, ())
            if (netted := self._netted(symbol, one, lots[symbol], shares)) is not None:
                found[symbol] = netted
        return found

    def net_one(
        self,
        symbol: str,
        said: Mapping[str, Signalled],
        lot: int,
        before: tuple[Share, ...],
    ) -> Netted | None:
        """The same of one symbol, where no cap goes over all of them; *said* is by strategy."""
        assert not self.is_capped
        return self._netted(symbol, self._asked(symbol, said, lot), lot, before)

    def _netted(
        self, symbol: str, asked: Asked, lot: int, shares: tuple[Share, ...]
    ) -> Netted | None:
        """The whole lots that follow, and whose they are; *shares* are those in force."""
        if not asked.asks and not shares:
            return None
        in_force = sum([share.contracts for share in shares])
        parts, below = sum(asked.allowed.values()).as_integer_ratio()
        contracts = to_lots(parts, asked.unit * below, lot, in_force)
        new = _shares(asked, contracts)
        if shares and contracts == in_force and not _differ(new, shares, lot):
            new = shares
        return Netted(symbol, contracts, new, self._terms(asked))

    def _asked(self, symbol: str, said: Mapping[str, Signalled], lot: int) -> Asked:
        """What each strategy asks for after its own cap, and what the symbol's caps let through."""
        strength_parts, exact = 1, []
        for _, signal in sorted(said.items()):
            above, below = signal.strength.as_integer_ratio()
            if below != 1:
                strength_parts = lcm(strength_parts, below)
            exact.append((signal, above, below))
        unit = strength_parts * self._parts
        asks: list[Ask] = []
        allowed: dict[int, int | Fraction] = {}
        for factors in self._factors_of(symbol):
            total, heard = 0, False
            for signal, above, below in exact:
                factor = factors[signal.strategy]
                if factor is None:
                    continue
                strength = above * (strength_parts // below) * factor.weight
                if factor.most is not None:
                    strength = _within(factor.most * strength_parts, strength)
                parts, heard = strength * factor.size, True
                asks.append(Ask(parts, signal.strategy, signal.number, factor.told))
                total += parts
            if not heard:
                continue
            if (most := factors.most_contracts) is not None:
                most -= most % lot  # else rounding to the lot would go beyond it
                total = _within(most * unit, total)
            allowed[factors.number] = total
        return Asked(unit, asks, allowed)

    def _terms(self, asked: Asked) -> Terms:
        key = tuple(asked.allowed)
        found = self._agreed.get(key)
        if found is None:
            found = Terms.of(tuple(self.portfolios[number] for number in key))
            self._agreed[key] = found
        return found

    def _factors_of(self, symbol: str) -> tuple[Factors, ...]:
        """Of each portfolio that has a say in it."""
        found = self._factors.get(symbol)
        if found is None:
            found = self._factors[symbol] = tuple(
                Factors(
                    number,
                    portfolio.max_contracts.get(symbol),
                    partial(self._factor, portfolio, portfolio.symbols[symbol]),
                )
                for number, portfolio in enumerate(self.portfolios)
                if symbol in portfolio.symbols
            )
        return found

    def _factor(self, portfolio: Portfolio, size: Decimal, strategy: str) -> Factor | None:
        weight, most = portfolio.weight_of(strategy), portfolio.max_strength
        if weight is None or not self._has_say(strategy):
            return None
        return Factor(
            weight=_parts(weight, self._weight_parts),
            most=None if most is None else _parts(most, self._weight_parts),
            size=_parts(size, self._size_parts),
            told=f"{portfolio.name}: {_plain(weight)} x {_plain(size)}",
        )


def _denominator(numbers: Iterable[Decimal | None]) -> int:
    """The least that makes all of them whole."""
    return lcm(*(number.as_integer_ratio()[1] for number in numbers if number is not None))


def _parts(number: Decimal, denominator: int) -> int:
    above, below = number.as_integer_ratio()
    return above * (denominator // below)


def _within(most: int, number: int) -> int:
    return max(-most, min(most, number))


def _cut_to_gross(
    portfolio: Portfolio, number: int, most: Decimal, asked: Mapping[str, Asked]
) -> None:
    """Scale what the portfolio is allowed down to its gross: fractions, for it divides."""
    spoken = {symbol: one for symbol, one in asked.items() if number in one.allowed}
    gross = sum(
        (
            abs(Fraction(one.allowed[number], one.unit)) / Fraction(portfolio.symbols[symbol])
            for symbol, one in spoken.items()
        ),
        Fraction(0),
    )
    if gross > Fraction(most):
        for one in spoken.values():
            one.allowed[number] *= Fraction(most) / gross


def to_lots(parts: int, unit: int, lot: int, in_force: int) -> int:
    """
    The whole lots nearest to what is asked for, or those in force while they are near enough.

    Args:
        parts: That are asked for; *unit* of them are one contract.
    """
    if not parts:
        return 0
    if in_force % lot == 0 and abs(parts - in_force * unit) * _OF <= _KEEP * lot * unit:
        return in_force
    lots, rest = divmod(abs(parts), lot * unit)
    lots += rest * 2 > lot * unit  # half a lot: toward zero
    return lots * lot if parts > 0 else -lots * lot


def _shares(asked: Asked, contracts: int) -> tuple[Share, ...]:
    """Each ask in whole contracts; the last share is nobody's, so that they add up."""
    whole = largest_remainder([ask.contracts for ask in asked.asks], asked.unit)
    shares = [
        Share(strategy=ask.strategy, contracts=size, signal=ask.signal, weight=ask.weight)
        for ask, size in zip(asked.asks, whole, strict=True)
    ]
    rest = contracts - sum(whole)
    if rest or not shares:
        shares.append(Share(strategy=NOBODY, contracts=rest, signal=0, weight=""))
    return tuple(shares)


def largest_remainder(parts: Sequence[int], unit: int) -> list[int]:
    """Whole numbers that add up to the rounded sum, each less than one off its own parts."""
    whole = [part // unit for part in parts]
    total, rest = divmod(sum(parts), unit)
    if not rest and total == sum(whole):
        return whole
    total += 2 * rest > unit or (2 * rest == unit and total % 2)  # half: to the even one
    missing = total - sum(whole)
    if missing:
        rests = sorted((whole[n] * unit - part, n) for n, part in enumerate(parts))
        for _, number in rests[:missing]:
            whole[number] += 1
    return whole


def _differ(new: Sequence[Share], old: Sequence[Share], lot: int) -> bool:
    """Whether somebody's share is another by a lot or more, or somebody came or went."""
    these, those = wanted(new), wanted(old)
    if {name for name in these if name} != {name for name in those if name}:
        return True
    return any(abs(these[name] - those[name]) >= lot for name in these if name)


def known(portfolios: Iterable[Portfolio], strategies: Iterable[str], identifier: str) -> bool:
    """Whether *identifier* may signal: it is configured, or a portfolio lists it as a source."""
    return identifier in strategies or any(
        fnmatchcase(identifier, source) for one in portfolios for source in one.sources
    )


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}" if number else "0"
