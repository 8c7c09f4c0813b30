"""A short spell of bad weather; `scripts/storm` makes as much of it as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import drawn
from tests.endtoend.forked import Forked
from tests.endtoend.weather import (
    Change,
    each_as_large_as_intended,
    endure,
    off_target,
    positions,
    spans_s,
    union_s,
)
from tests.endtoend.zygote import Zygote


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_in_bad_weather_nothing_is_doubled_or_lost_and_targets_are_held_after_it(
    tmp_path: Path,
) -> None:
    """Nearly every fault at 2 % each; then all is as the venue's own record says."""
    seed = drawn.seed("weather", 10**6)
    long = ("odd-retry-after", "stream-down", "rest-down")  # up to five minutes, ten seconds, five
    with Zygote() as zygote:
        with Forked(tmp_path, zygote, seed=seed, generous=True) as house:
            report = endure(house, 5, seed, change_every_s=0.5, faults=0.02, but=long)
    assert sum(report.struck.values()) > 3, report.struck
    assert report.fills >= 3
    assert report.targets > 10
    assert report.events > 100


class Traded:
    """As much of a house as the comparison of sizes asks for."""

    def rows(self, query: str) -> list[tuple[str, int]]:
        return [("rc-1", 300), ("rc-2", -200)]


@pytest.mark.parametrize(
    ("name", "side", "contracts", "fine"),
    [
        ("rc-1", "Buy", 300, True),
        ("rc-1", "Buy", 301, False),
        ("rc-1", "Sell", 100, False),
        ("rc-2", "Sell", 200, True),
        ("rc-2", "Buy", 100, False),
    ],
)
def test_an_order_that_trades_too_much_is_found(
    name: str, side: str, contracts: int, fine: bool
) -> None:
    """Or on the wrong side: the venue's trades are compared with what was decided."""
    pieces = [
        {"clOrdID": name, "side": side, "lastQty": 100},
        {"clOrdID": name, "side": side, "lastQty": contracts - 100},
    ]
    if fine:
        each_as_large_as_intended(Traded(), pieces)  # type: ignore[arg-type]
    else:
        with pytest.raises(AssertionError):
            each_as_large_as_intended(Traded(), pieces)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("held", "wanted", "spans", "first"),
    [
        ([], 0, [], 10.0),
        ([], 5, [10.0], None),
        ([(12.0, 5)], 5, [2.0], 12.0),
        ([(12.0, 3), (13.0, 5)], 5, [3.0], 13.0),
        ([(12.0, 5), (15.0, 4), (16.0, 5)], 5, [2.0, 1.0], 12.0),
        ([(12.0, 5), (19.0, 4)], 5, [2.0, 1.0], 12.0),
        ([(1.0, 5), (2.0, 4), (10.0, 5)], 5, [], 10.0),
        ([(9.0, 4), (20.0, 5)], 5, [10.0], 20.0),
        ([(9.0, 4), (20.5, 5)], 5, [10.0], None),
    ],
)
def test_misses_are_counted(
    held: list[Change], wanted: int, spans: list[float], first: float | None
) -> None:
    """Between 10 s and 20 s: each span in which the venue's position was another one."""
    assert off_target(held, wanted, 10.0, 20.0) == (spans, first)


def test_spans_are_added_up() -> None:
    """Each loss counts until the next resync; waits that overlap count once."""
    second = 1_000_000
    rows = [("synced", second), ("streamlost", 2 * second), ("streamlost", 3 * second)]
    assert spans_s([*rows, ("synced", 5 * second), ("synced", 9 * second)]) == 3.0
    waits = [(second, 4 * second), (2 * second, 3 * second), (3 * second, 6 * second)]
    assert union_s([*waits, (8 * second, 9 * second)]) == 6.0


def test_a_position_follows_from_the_venues_trades() -> None:
    """Buys add, sells take; each at its time."""
    rows = [
        {"side": "Buy", "lastQty": 3, "transactTime": "1970-01-01T00:00:01.500Z"},
        {"side": "Sell", "lastQty": 5, "transactTime": "1970-01-01T00:00:02.000Z"},
    ]
    assert positions(rows) == [(1.5, 3), (2.0, -2)]
