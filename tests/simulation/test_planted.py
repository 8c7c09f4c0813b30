"""A guard that is taken away is missed: some seed of the simulation breaks a promise without it."""

from __future__ import annotations

import pytest

from tests.simulation.planted import FAULTS, SLOW, UNSEEN, find

MOST = 120


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in {*UNSEEN, *SLOW}])
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is found within a few seeds."""
    FAULTS[name](monkeypatch)
    found = find(MOST)
    assert found is not None, f"{name}: no seed of {MOST} noticed"


@pytest.mark.parametrize("name", SLOW)
def test_a_rarely_missed_guard_is_missed_by_its_seed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these is found by a seed that is known."""
    FAULTS[name](monkeypatch)
    assert find(1, SLOW[name]) is not None
