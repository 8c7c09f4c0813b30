"""Random targets: repeatable by seed, within limits, whole lots, and never in a hurry."""

from __future__ import annotations

import threading
from itertools import islice
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from reconciler.strategy.random_targets import Range, draws, follow


@given(
    st.integers(0, 2**32),
    st.dictionaries(
        st.sampled_from(["XBTUSD", "ETHUSD", "XBTUSDT"]),
        st.integers(1, 500).flatmap(
            lambda lot: st.builds(Range, most=st.integers(lot, 10**7), lot=st.just(lot))
        ),
        min_size=1,
    ),
)
def test_draws_are_whole_lots_within_limits_and_named_by_the_seed(seed, ranges):
    """Whatever the lot and the limit, each target could be set, and a seed draws it again."""
    drawn = list(islice(draws(ranges, Random(seed)), 20))
    assert drawn == list(islice(draws(ranges, Random(seed)), 20))
    for targets in drawn:
        assert targets.keys() == ranges.keys()
        for symbol, contracts in targets.items():
            most, lot = ranges[symbol]
            assert contracts % lot == 0
            assert abs(contracts) <= most


def test_nothing_is_set_once_it_is_over():
    """Stopping ends the loop between two targets, not after the whole round."""
    stop, seen = threading.Event(), []

    def set_target(symbol: str, contracts: int) -> None:
        seen.append(symbol)
        stop.set()

    ranges = {"XBTUSD": Range(1000, 100), "ETHUSD": Range(10, 1)}
    follow(draws(ranges, Random(7)), set_target, 60, stop)
    assert seen == ["XBTUSD"]
