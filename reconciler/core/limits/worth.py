"""What contracts are worth, exactly: inverse, linear and quanto, in minor units."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from reconciler.core.events import InstrumentSeen


def of_one(instrument: InstrumentSeen, price: Decimal) -> Fraction | None:
    """One contract at *price*, without sign; None: the instrument's rules don't say."""
    if instrument.multiplier == 0 or price <= 0:
        return None
    size = abs(instrument.multiplier)
    return size / Fraction(price) if instrument.inverse else size * Fraction(price)


def notional(instrument: InstrumentSeen, contracts: int, price: Decimal) -> int | None:
    """*contracts* at *price*, without sign and rounded up: a limit is never passed by a half."""
    one = of_one(instrument, price)
    return None if one is None else -(-abs(contracts) * one.numerator // one.denominator)


def most_contracts(instrument: InstrumentSeen, minor: int, price: Decimal) -> int | None:
    """How many contracts at *price* are worth no more than *minor*."""
    one = of_one(instrument, price)
    return None if one is None else minor * one.denominator // one.numerator


def cost(instrument: InstrumentSeen, contracts: int, price: Decimal) -> int | None:
    """
    What opening *contracts* at *price* costs, with the venue's sign.

    A buy costs above zero, if the contract is linear, and below if it is inverse. So a position is
    worth its cost at the mark, and what was gained is that less what was paid.
    """
    one = of_one(instrument, price)
    if one is None:
        return None
    return round((-contracts if instrument.inverse else contracts) * one)
