"""How the tests are dealt out to several processes."""

from __future__ import annotations

import pytest

from tests.dealing import dealt


@pytest.mark.parametrize("count", [0, 1, 2, 9, 100])
@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize("every", [1, 2, 7])
def test_every_test_once_and_the_slow_ones_first(count: int, processes: int, every: int) -> None:
    """Each stretch begins with its share of what is slow; what is not slow keeps its order."""
    items = list(range(count))
    slow = [number % every == 0 for number in items]
    order = dealt(items, slow, processes)
    assert sorted(order) == items
    small = [item for item in order if not slow[item]]
    assert small == sorted(small)
    begin = 0
    for number in range(processes):
        size = (count - begin) // (processes - number)
        stretch = [slow[item] for item in order[begin : begin + size]]
        assert stretch == sorted(stretch, reverse=True), "a slow one after a small one"
        assert abs(sum(stretch) - sum(slow) / processes) <= 1 or every == 1
        begin += size
