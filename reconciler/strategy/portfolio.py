"""
A portfolio nets what strategies think to one target a symbol.

    contracts = strength x the strategy's weight x the symbol's contracts for a strength of 1

added up over its strategies, cut to its caps, then over all portfolios, then rounded to the lot.
All of it is exact: decimals in, fractions inside, whole contracts out.

**Rounding cannot oscillate.** The target in force is kept while the sum is within three quarters
of a lot of it, and only then rounded anew; so whatever trembles by no more than a quarter of a lot
moves the target once at most. A sum of exactly zero is zero at once.

**Shares add up.** Each strategy's share is what it asks for, in whole contracts by largest
remainder. What rounding to the lot and the caps leave over is the share of "", nobody.

Pure: signals, weights and the shares in force in, targets out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import NamedTuple

import msgspec

from reconciler.core.events import Share, Signalled
from reconciler.core.shares import NOBODY, wanted
from reconciler.errors import ConfigError

KEEP_LOTS = Fraction(3, 4)  # half a lot is what rounding needs, the rest is what may tremble


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


class Netted(NamedTuple):
    """One symbol's target."""

    symbol: str
    contracts: int
    shares: tuple[Share, ...]
    portfolios: tuple[Portfolio, ...]  # that have a say in it


class _Ask(NamedTuple):
    """What one strategy asks for in one portfolio, exactly."""

    contracts: Fraction
    strategy: str
    signal: int
    weight: str


def net(
    portfolios: Iterable[Portfolio],
    signals: Mapping[str, Signalled],
    lots: Mapping[str, int],
    before: Mapping[str, tuple[Share, ...]],
) -> dict[str, Netted]:
    """
    The targets that follow from the signals in force.

    Args:
        portfolios: With names of their own.
        signals: In force, one a strategy and symbol.
        lots: Of each symbol; one without a lot has no target yet.
        before: The shares of each symbol's netted target in force.

    Returns:
        One target a symbol of which some strategy has an opinion, or had one when it was netted
        last. Equal to the one in force, shares and all, if nothing of weight has changed.
    """
    in_order = sorted(portfolios, key=lambda portfolio: portfolio.name)
    asks: dict[str, list[_Ask]] = {symbol: [] for symbol, shares in before.items() if shares}
    sums: dict[str, Fraction] = {}
    says: dict[str, list[Portfolio]] = {}
    for portfolio in in_order:
        asked = _asked(portfolio, signals)
        for symbol, allowed in _capped(portfolio, asked, lots).items():
            asks.setdefault(symbol, []).extend(asked[symbol])
            sums[symbol] = sums.get(symbol, Fraction(0)) + allowed
            says.setdefault(symbol, []).append(portfolio)
    found: dict[str, Netted] = {}
    for symbol in sorted(asks):
        if symbol not in lots:
            continue
        shares = before.get(symbol, ())
        in_force = sum(share.contracts for share in shares)
        contracts = to_lots(sums.get(symbol, Fraction(0)), lots[symbol], in_force)
        new = _shares(asks[symbol], contracts)
        if shares and contracts == in_force and not _differ(new, shares, lots[symbol]):
            new = shares
        found[symbol] = Netted(symbol, contracts, new, tuple(says.get(symbol, ())))
    return found


def to_lots(exact: Fraction, lot: int, in_force: int) -> int:
    """The whole lots nearest to *exact*, or those in force as long as they are near enough."""
    if not exact:
        return 0
    if in_force % lot == 0 and abs(exact - in_force) <= KEEP_LOTS * lot:
        return in_force
    lots, rest = divmod(abs(exact), lot)
    size = int(lots) + (rest * 2 > lot)  # half a lot: toward zero
    return size * lot if exact > 0 else -size * lot


def _asked(portfolio: Portfolio, signals: Mapping[str, Signalled]) -> dict[str, list[_Ask]]:
    """What each strategy asks for, by symbol, after its own cap."""
    found: dict[str, list[_Ask]] = {}
    for name in sorted(signals):
        signal = signals[name]
        weight, size = portfolio.weight_of(signal.strategy), portfolio.symbols.get(signal.symbol)
        if weight is None or size is None:
            continue
        strength = Fraction(signal.strength) * Fraction(weight)
        if portfolio.max_strength is not None:
            most = Fraction(portfolio.max_strength)
            strength = max(-most, min(most, strength))
        told = f"{portfolio.name}: {_plain(weight)} x {_plain(size)}"
        ask = _Ask(strength * Fraction(size), signal.strategy, signal.number, told)
        found.setdefault(signal.symbol, []).append(ask)
    return found


def _capped(
    portfolio: Portfolio, asked: Mapping[str, Sequence[_Ask]], lots: Mapping[str, int]
) -> dict[str, Fraction]:
    """What the portfolio's caps let through of each symbol's sum."""
    allowed: dict[str, Fraction] = {}
    for symbol, asks in asked.items():
        total = sum((ask.contracts for ask in asks), Fraction(0))
        most = portfolio.max_contracts.get(symbol)
        if most is not None:
            most -= most % lots.get(symbol, 1)  # else rounding to the lot would go beyond it
        allowed[symbol] = (
            total if most is None else max(Fraction(-most), min(Fraction(most), total))
        )
    if portfolio.max_gross is None:
        return allowed
    gross = sum(
        (abs(total) / Fraction(portfolio.symbols[symbol]) for symbol, total in allowed.items()),
        Fraction(0),
    )
    if gross <= Fraction(portfolio.max_gross):
        return allowed
    scale = Fraction(portfolio.max_gross) / gross
    return {symbol: total * scale for symbol, total in allowed.items()}


def _shares(asks: Sequence[_Ask], contracts: int) -> tuple[Share, ...]:
    """Each ask in whole contracts; the last share is nobody's, so that they add up."""
    whole = largest_remainder([ask.contracts for ask in asks])
    shares = [
        Share(strategy=ask.strategy, contracts=size, signal=ask.signal, weight=ask.weight)
        for ask, size in zip(asks, whole, strict=True)
    ]
    rest = contracts - sum(whole)
    if rest or not shares:
        shares.append(Share(strategy=NOBODY, contracts=rest, signal=0, weight=""))
    return tuple(shares)


def largest_remainder(exact: Sequence[Fraction]) -> list[int]:
    """Whole numbers that add up to the rounded sum, each less than one off its own."""
    whole = [part.numerator // part.denominator for part in exact]
    missing = round(sum(exact, Fraction(0))) - sum(whole)
    rests = sorted((whole[n] - part, n) for n, part in enumerate(exact))
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


def check(portfolio: Portfolio, strategies: Sequence[str], symbols: Sequence[str]) -> None:
    """
    Refuse weights of what there is not.

    Raises:
        ConfigError: A strategy or a symbol is unknown, or a number is out of bounds.
    """
    where = f"portfolio.{portfolio.name}"
    for name, weight in portfolio.strategies.items():
        if not _names_somebody(name, strategies, portfolio.sources):
            there = ", ".join([*strategies, *portfolio.sources]) or "none"
            kind = "pattern fits" if any(mark in name for mark in "*?[") else "identifier is"
            raise ConfigError(
                f"{where}: {name[:80]!r} has a weight, and that {kind} no strategy's: "
                f"there are {there}",
                next_step="Configure it under [strategy.NAME], or list it in sources.",
                setting=f"{where}.strategies",
            )
        _bounded(f"{where}: the weight of {name[:80]}", weight, zero=True)
    for name, size in portfolio.symbols.items():
        _known_symbol(f"{where}.symbols", name, symbols)
        _bounded(f"{where}: the contracts of {name}", size, zero=False)
        if size < 0:
            raise ConfigError(f"{where}: the contracts of {name} are {size}; weights have the sign")
    for name in portfolio.max_contracts:
        _known_symbol(f"{where}.max_contracts", name, symbols)


def _names_somebody(name: str, strategies: Sequence[str], sources: Sequence[str]) -> bool:
    if any(fnmatchcase(strategy, name) for strategy in strategies):
        return True
    return any(fnmatchcase(name, source) or fnmatchcase(source, name) for source in sources)


def _known_symbol(where: str, name: str, symbols: Sequence[str]) -> None:
    if name not in symbols:
        there = ", ".join(symbols)
        raise ConfigError(
            f"{where}: {name[:40]!r} is not one of the configured symbols ({there})", setting=where
        )


def _bounded(what: str, number: Decimal, *, zero: bool) -> None:
    if not number.is_finite() or abs(number) > 10**9 or (not number and not zero):
        raise ConfigError(f"{what} is {str(number)[:40]}; it must be a number up to 1,000,000,000")


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}" if number else "0"
