"""
Every policy there is, in a hurry: in a life of minutes each of them has to come to its end.

Each way to ask, each way to climb and each way to slice is in one of them.
"""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.core.settings import Policy, Stage, default_policies
from reconciler.simulation.agenda import SECOND

SLICE = 100  # contracts: the least of all slices, however large the limits' orders are

_JOIN, _INSIDE, _CROSS = Stage(how="join"), Stage(how="inside"), Stage(how="cross")
_SOON = Policy(reprice_after_us=1 * SECOND, reprice_ticks=1, escalate_after_us=0)
_FEW = Policy(max_amends_per_order=3, max_amends_per_minute=6, before_deadline_us=5 * SECOND)

POLICIES: dict[str, Policy] = {
    **default_policies(),
    "ladder": replace(
        _FEW,
        reprice_after_us=1 * SECOND,
        stages=(
            Stage(how="join", for_us=6 * SECOND, adverse_ticks=2),
            Stage(how="inside", for_us=6 * SECOND, adverse_ticks=4),
            _CROSS,
        ),
    ),
    "trades": replace(
        _SOON,
        stages=(
            Stage(how="last", offset_ticks=-1, for_us=5 * SECOND),
            Stage(how="last", offset_ticks=1, for_us=5 * SECOND),
            Stage(how="post", adverse_ticks=3),
            Stage(how="cross", for_us=10 * SECOND),
            Stage(how="market"),
        ),
    ),
    "by the deadline": replace(
        _FEW, stages=(Stage(how="post", until_deadline=True), Stage(how="market"))
    ),
    "exact": Policy(start="cross", max_slippage_bps=0),
    "twap": Policy(
        stages=(Stage(how="join", for_us=3 * SECOND), _CROSS),
        over_us=30 * SECOND,
        slice_every_us=5 * SECOND,
    ),
    "twap at once": Policy(
        stages=(_INSIDE,), over_us=20 * SECOND, catch_up="at_once", band_contracts=1
    ),
    "slices": Policy(stages=(_CROSS,), slice_contracts=SLICE),
    "share": replace(_SOON, stages=(_JOIN,), slice_book_percent=10),
}
#: Follows every tick, as long as it has amends: it has few.
_CHASE = replace(_SOON, stages=(_JOIN,), max_amends_per_order=2, max_amends_per_minute=3)
#: Those that were there when the seeds of the short storms had been found, as often as then.
OLD = ("passive", "passive", "urgent")
NAMES = tuple(POLICIES)
POLICIES["chase"] = _CHASE
#: Of the lives with strategies.
ALL = (*POLICIES, "chase", "share", "by the deadline", "ladder")
