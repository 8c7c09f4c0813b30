"""
What a position cost, and what closing some of it brought: average cost, in exact integers.

Costs have the venue's signs: a buy and a sell have opposite ones, so what a round trip brought is
minus the sum of its costs, for linear and inverse contracts alike. Contracts whose cost nobody
knows (a position from before the journal, an adjustment) bring nothing when they are closed.
"""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """The part of a position whose cost is known from fills: contracts (signed) and minor units."""

    contracts: int = 0
    minor: int = 0


def count(cost: Cost, before: int, contracts: int, minor: int) -> tuple[Cost, int]:
    """
    Count one fill.

    Args:
        cost: What is known of the position's cost so far.
        before: The position before the fill, signed contracts.
        contracts: The fill's, signed.
        minor: The fill's cost, in minor units, signed as the venue signs it.

    Returns:
        What is known now, and the profit of the contracts that it closed, in minor units.
    """
    cost = _at_most(cost, before)
    if contracts == 0 or before == 0 or (before > 0) == (contracts > 0):
        return Cost(cost.contracts + contracts, cost.minor + minor), 0

    closed = min(abs(contracts), abs(before))
    known = min(closed, abs(cost.contracts))
    given = _part(cost.minor, known, abs(cost.contracts))
    profit = -(_part(minor, known, abs(contracts)) + given)
    if closed < abs(contracts):  # through zero: the rest opens a new position
        left = abs(contracts) - closed
        rest = minor - _part(minor, closed, abs(contracts))
        return Cost(left if contracts > 0 else -left, rest), profit
    left = abs(cost.contracts) - known
    return Cost(left if before > 0 else -left, cost.minor - given), profit


def _at_most(cost: Cost, position: int) -> Cost:
    """*cost* cut to a position that moved without a fill."""
    if cost.contracts == 0 or (cost.contracts > 0) != (position > 0) or position == 0:
        return Cost()
    if abs(cost.contracts) <= abs(position):
        return cost
    return Cost(position, _part(cost.minor, abs(position), abs(cost.contracts)))


def _part(minor: int, some: int, of: int) -> int:
    """``minor * some / of``, toward zero; all of it for all."""
    if of == 0 or some == 0:
        return 0
    size = abs(minor) * some // of
    return size if minor >= 0 else -size
