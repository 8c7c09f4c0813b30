"""Careless reconcilers die where their weakness is asked for, and ours lives there."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from reconciler.bitmex.outgoing import Outgoing
from reconciler.simulation.controls import WEAKNESSES, control_world
from reconciler.simulation.runs import live
from reconciler.simulation.world import World
from tests.simulation.scenarios import gives_up, scenario, weather_of

MOST = 25
CAREFUL = "none"  # a cousin without any of the weaknesses: slower than ours, and as safe


class Fall(NamedTuple):
    """Where a weakness shows, and which promises it breaks there."""

    where: str
    breaks: frozenset[str]


TWO_OR_TOO_MUCH = frozenset({"O1", "O4"})
FALLS = {
    "naive": Fall("slow and silent", TWO_OR_TOO_MUCH),
    "timeout is refusal": Fall("slow and silent", TWO_OR_TOO_MUCH),
    "same id again": Fall("a proxy that gives up", frozenset({"O3"})),
    "position row is ledger": Fall("late positions", frozenset({"O4"})),
    "not found is gone": Fall("a proxy that gives up", TWO_OR_TOO_MUCH),
    "status is enough": Fall("late rows", frozenset({"O4"})),
}


def controlled(where: str, seed: int, weakness: str) -> World:
    """The world of a scenario with a control in it."""
    world = control_world(seed, weakness, weather_of(where))
    if where == "a proxy that gives up":
        gives_up(world)
    return world


@pytest.mark.parametrize("weakness", WEAKNESSES)
def test_a_weakness_breaks_the_promise_that_rests_on_its_rule(
    weakness: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the scenario that asks for the rule; a cousin that has it, and ours, keep the promise."""
    where, breaks = FALLS[weakness]
    if weakness == "same id again":  # our gateway would not let it: a second guard, gone here
        monkeypatch.setattr(Outgoing, "_place_once", lambda self, cl_ord_id: None)
    for seed in range(MOST):
        life = live(seed, lambda seed: controlled(where, seed, weakness))
        careful = live(seed, lambda seed: controlled(where, seed, CAREFUL))
        ours = live(seed, lambda seed: scenario(where, seed))
        assert not careful.error, f"seed {seed}, the careful cousin: {careful.error}"
        assert not ours.error, f"seed {seed}, ours: {ours.error}"
        if life.error:
            print(f"{weakness:>22} | {where} | seed {seed:3} | {life.error[:80]}")
            assert life.invariant in breaks, life.error
            return
    pytest.fail(f"{weakness}: no seed of {MOST} noticed")
