"""What a position cost and what closing it brought."""

from __future__ import annotations

import random

import pytest

from reconciler.core.portfolio.costs import Cost, count


def run(*fills: tuple[int, int]) -> tuple[Cost, int]:
    cost, position, profit = Cost(), 0, 0
    for contracts, minor in fills:
        cost, brought = count(cost, position, contracts, minor)
        position += contracts
        profit += brought
    return cost, profit


def test_a_round_trip_brings_minus_the_sum_of_its_costs() -> None:
    """Linear: bought for 1000, sold for 1100. Inverse: costs have the other sign."""
    assert run((10, 1000), (-10, -1100)) == (Cost(), 100)
    assert run((100, -1_000_000), (-100, 909_091)) == (Cost(), 90_909)
    assert run((-10, -1000), (10, 900)) == (Cost(), 100)


def test_closing_a_part_takes_its_part_of_the_cost() -> None:
    """Average cost: three tenths of the position carry three tenths of what it cost."""
    assert run((10, 1000), (-3, -330)) == (Cost(7, 700), 30)


def test_through_zero_closes_first_and_then_opens() -> None:
    """A fill that changes the sign brings the profit of the old side and the cost of the new."""
    assert run((10, 1000), (-15, -1650)) == (Cost(-5, -550), 100)


def test_what_nobody_paid_for_brings_nothing() -> None:
    """Contracts from before the journal, or adjusted, have no known cost and so no profit."""
    assert count(Cost(), 100, -40, -4000) == (Cost(), 0)
    assert count(Cost(10, 1000), 4, -4, -440) == (Cost(), 40)


@pytest.mark.parametrize("seed", range(50))
def test_flat_again_the_profit_is_minus_all_costs(seed: int) -> None:
    """Whatever the way, nothing is lost to rounding once the position is zero again."""
    draw = random.Random(seed)
    fills = [(draw.choice([-7, -3, -1, 1, 2, 5]), draw.randrange(1, 10**7)) for _ in range(30)]
    signed = [(contracts, minor if contracts > 0 else -minor) for contracts, minor in fills]
    left = -sum(contracts for contracts, _ in signed)
    if left:
        signed.append((left, left * 12_345))
    cost, profit = run(*signed)
    assert cost == Cost()
    assert profit == -sum(minor for _, minor in signed)
