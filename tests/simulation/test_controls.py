"""Careless reconcilers die in the worlds that ours lives in, so those worlds prove something."""

from __future__ import annotations

import pytest

from reconciler.simulation.controls import WEAKNESSES, control_world
from reconciler.simulation.runs import live

MOST = 60


@pytest.mark.parametrize("weakness", WEAKNESSES)
def test_the_oracle_catches_every_control_and_not_us(weakness: str) -> None:
    """Some seed breaks a promise with the weakness, and keeps all of them with our core."""
    for seed in range(MOST):
        life = live(seed, lambda seed: control_world(seed, weakness))
        if life.invariant in {"O1", "O3", "O4"}:
            print(f"{weakness:>22} | seed {seed:3} | {life.error[:80]}")
            assert not live(seed).error
            return
    pytest.fail(f"{weakness}: no seed of {MOST} noticed")
