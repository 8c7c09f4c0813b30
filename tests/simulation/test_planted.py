"""A guard that is taken away is missed: some seed of the simulation breaks a promise without it."""

from __future__ import annotations

from functools import partial

import pytest

from reconciler.simulation.runs import live
from tests.simulation.hunt import LATE, SCENES, UNSEEN, find
from tests.simulation.planted_limits import FAULTS
from tests.simulation.scenarios import WEATHERS, scenario

MOST = 120


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in UNSEEN])
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is found within a few seeds, in a storm or in the scenario that needs the guard."""
    FAULTS[name](monkeypatch)
    found = find(name, MOST, LATE.get(name, 0))
    assert found is not None, f"{name}: no seed of {MOST} noticed"


@pytest.mark.parametrize("name", WEATHERS)
def test_nothing_is_found_where_nothing_was_planted(name: str) -> None:
    """Our own core keeps every promise in every scenario, so a scenario finds only the fault."""
    for seed in range(12):
        life = live(seed, partial(scenario, name))
        assert not life.error, f"{name}, seed {seed}: {life.error}"


def test_every_scenario_is_needed_by_a_fault() -> None:
    """What no fault needs proves nothing."""
    assert set(SCENES.values()) <= set(WEATHERS)
    assert len(FAULTS.keys() - UNSEEN) >= 46
