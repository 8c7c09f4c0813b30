"""
What a portfolio's target is, written down once more as the documents say it: in fractions.

Slow, and short enough to be believed. `reconciler.strategy.portfolio` has to say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from reconciler.core.events import Share, Signalled
from reconciler.strategy.portfolio import Portfolio

Found = dict[str, tuple[int, tuple[Share, ...]]]


def targets(
    portfolios: Sequence[Portfolio],
    signals: Sequence[Signalled],
    lots: Mapping[str, int],
    before: Mapping[str, tuple[Share, ...]],
) -> Found:
    """Contracts and shares by symbol."""
    asks: dict[str, list[tuple[Fraction, Share]]] = {s: [] for s, there in before.items() if there}
    sums: dict[str, Fraction] = {}
    for portfolio in sorted(portfolios, key=lambda one: one.name):
        asked = asked_of(portfolio, signals)
        for symbol, allowed in capped(portfolio, asked, lots).items():
            asks.setdefault(symbol, []).extend(asked[symbol])
            sums[symbol] = sums.get(symbol, Fraction(0)) + allowed
    found: Found = {}
    for symbol in sorted(set(asks) & set(lots)):
        lot, held = lots[symbol], before.get(symbol, ())
        in_force = sum(share.contracts for share in held)
        contracts = rounded(sums.get(symbol, Fraction(0)), lot, in_force)
        shares = shared(asks[symbol], contracts)
        if held and contracts == in_force and is_near(shares, held, lot):
            shares = held
        found[symbol] = contracts, shares
    return found


def asked_of(
    portfolio: Portfolio, signals: Sequence[Signalled]
) -> dict[str, list[tuple[Fraction, Share]]]:
    """Strength x weight, cut to the strategy's cap, x the symbol's contracts."""
    found: dict[str, list[tuple[Fraction, Share]]] = {}
    for one in sorted(signals, key=lambda one: one.strategy):
        weight, size = portfolio.weight_of(one.strategy), portfolio.symbols.get(one.symbol)
        if weight is None or size is None:
            continue
        strength = Fraction(one.strength) * Fraction(weight)
        if portfolio.max_strength is not None:
            strength = within(portfolio.max_strength, strength)
        words = [f"{n.normalize():f}" if n else "0" for n in (weight, size)]
        told = f"{portfolio.name}: {words[0]} x {words[1]}"
        share = Share(strategy=one.strategy, contracts=0, signal=one.number, weight=told)
        found.setdefault(one.symbol, []).append((strength * Fraction(size), share))
    return found


def capped(
    portfolio: Portfolio,
    asked: Mapping[str, Sequence[tuple[Fraction, Share]]],
    lots: Mapping[str, int],
) -> dict[str, Fraction]:
    """Cut to whole lots inside each symbol's cap, then in proportion to the gross of all."""
    allowed = {}
    for symbol, asks in asked.items():
        allowed[symbol] = sum((exact for exact, _ in asks), Fraction(0))
        most = portfolio.max_contracts.get(symbol)
        if most is not None:
            lot = lots.get(symbol, 1)
            allowed[symbol] = within(Decimal(most // lot * lot), allowed[symbol])
    if portfolio.max_gross is not None:
        sizes = portfolio.symbols
        gross = sum((abs(n) / Fraction(sizes[s]) for s, n in allowed.items()), Fraction(0))
        if gross > Fraction(portfolio.max_gross):
            return {s: n * Fraction(portfolio.max_gross) / gross for s, n in allowed.items()}
    return allowed


def within(most: Decimal, number: Fraction) -> Fraction:
    return max(-Fraction(most), min(Fraction(most), number))


def rounded(exact: Fraction, lot: int, in_force: int) -> int:
    """Zero is zero; three quarters of a lot off is near enough; half a lot goes toward zero."""
    if not exact:
        return 0
    if in_force % lot == 0 and abs(exact - in_force) <= Fraction(3, 4) * lot:
        return in_force
    lots = abs(exact) / lot
    whole = lots.numerator // lots.denominator
    whole += lots - whole > Fraction(1, 2)
    return whole * lot if exact > 0 else -whole * lot


def shared(asks: Sequence[tuple[Fraction, Share]], contracts: int) -> tuple[Share, ...]:
    """Largest remainder; what is left over is nobody's."""
    whole = [exact.numerator // exact.denominator for exact, _ in asks]
    missing = round(sum((exact for exact, _ in asks), Fraction(0))) - sum(whole)
    by_rest = sorted((whole[n] - exact, n) for n, (exact, _) in enumerate(asks))
    for _, number in by_rest[:missing]:
        whole[number] += 1
    shares = [
        Share(strategy=one.strategy, contracts=n, signal=one.signal, weight=one.weight)
        for n, (_, one) in zip(whole, asks, strict=True)
    ]
    rest = contracts - sum(whole)
    if rest or not shares:
        shares.append(Share(strategy="", contracts=rest, signal=0, weight=""))
    return tuple(shares)


def is_near(new: Sequence[Share], old: Sequence[Share], lot: int) -> bool:
    """The same strategies, and none of them off by a lot."""
    these, those = ({s.strategy: 0 for s in shares if s.strategy} for shares in (new, old))
    for sums, shares in ((these, new), (those, old)):
        for share in shares:
            if share.strategy:
                sums[share.strategy] += share.contracts
    return set(these) == set(those) and all(abs(these[s] - those[s]) < lot for s in these)
