"""Stories of ladders: a policy tries harder on time, on an adverse move, and before a deadline."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import decisions as d
from reconciler.core.policy import ladder
from reconciler.core.settings import Limits, Policy, Settings, Stage, default_policies
from tests.stories.teller import SYMBOL, Teller, tell

SECOND = 1_000_000
WIDE = "price 100.0 102.0\nmark 101.0\n"
CLIMBING = (
    Stage(how="join", for_us=20 * SECOND),
    Stage(how="inside", adverse_ticks=4),
    Stage(how="cross"),
)


def settings(*stages: Stage, **more: object) -> Settings:
    policies = default_policies() | {"mine": Policy(stages=stages or CLIMBING, **more)}  # type: ignore[arg-type]
    return Settings(symbols=(SYMBOL,), policies=policies, limits=Limits(price_collar_bps=500))


def test_a_ladder_climbs_on_time_and_then_on_an_adverse_move() -> None:
    """Twenty seconds at the best price; a tick better until the mid is four ticks away; then it
    pays. Each step says why."""
    teller = tell(
        WIDE
        + """
        target +100 by mine     -> place r1 +100
        ok r1
        wait 19_999
        wait 1                  -> amend r1 @ 100.5
        amended r1
        price 101.5 103.5                            # three ticks
        mark 102.5
        wait 5_000              -> amend r1 @ 102.0
        amended r1
        price 102.0 104.0
        mark 103.0
        pass 5_000              -> cancel r1         # the mid was 101.0, it is 103.0
        cancelled r1 0          -> place r2 +100 @ 104.0 now
        """,
        settings=settings(max_slippage_bps=0),
    )
    reasons = [one.reason for one in teller.done if hasattr(one, "cl_ord_id")]
    assert reasons == [
        "target +100, position +0, join at 100.0 (mine, stage 1 of 3)",
        "inside at 100.5 (mine, stage 2 of 3: join for 20 s)",
        "inside at 102.0 (mine, stage 2 of 3: join for 20 s)",
        "cross now (mine, stage 3 of 3: 4 ticks against us)",
        "target +100, position +0, cross at 104.0 (mine, stage 3 of 3: 4 ticks against us)",
    ]
    places = [one for one in teller.done if isinstance(one, d.PlaceOrder)]
    assert [(one.stage, one.rung) for one in places] == [("join", 0), ("cross", 2)]


def test_a_stage_that_changes_no_price_is_told_all_the_same() -> None:
    """Bid and ask are a tick apart: a tick better is no other price, and why it is on is shown."""
    teller = tell(
        """
        price 100.0 100.5
        mark 100.0
        target +100 by mine     -> place r1 +100
        ok r1
        pass 19_000
        """,
        settings=settings(),
    )
    name = teller.order("r1").cl_ord_id
    assert teller.book.waiting_for == f"a fill of {name}"
    assert teller.lives(2_000) == []
    assert teller.book.waiting_for == f"a fill of {name}, stage 2 of 3: join for 20 s"
    told = [fact.what for fact in teller.facts if isinstance(fact, d.WaitingFor)]
    assert told[-1] == teller.book.waiting_for


@pytest.mark.parametrize(("words", "bid", "ask"), [("+100", 98, 100), ("-100", 102, 104)])
def test_a_market_that_comes_nearer_is_no_adverse_move(words: str, bid: int, ask: int) -> None:
    """Down is good for a buyer, up for a seller."""
    own = settings(Stage(how="join", adverse_ticks=4), Stage(how="cross"))
    teller = tell(WIDE + f"target {words} by mine -> place r1 {words}\nok r1", settings=own)
    teller.do(["price", str(bid), str(ask)])
    assert teller.lives(20_000) == []


def test_a_ladder_never_goes_back_to_a_softer_stage_for_the_same_gap() -> None:
    """Neither when the market returns, nor when the stream was lost, nor for a repeat of the
    target: but a part that was filled is no new gap either."""
    own = settings(Stage(how="join", adverse_ticks=4), Stage(how="inside", for_us=60 * SECOND),
                   Stage(how="cross"))  # fmt: skip
    tell(
        WIDE
        + """
        target +100 by mine     -> place r1 +100
        ok r1
        price 102.0 104.0
        mark 103.0
        wait 5_000              -> amend r1 @ 102.5
        amended r1
        price 100.0 102.0
        mark 101.0
        pass 10_000
        traded r1 40 x1         -> place r2 +60 @ 100.5
        ok r2
        stream lost
        wait 55_000
        sync +40 r2
        target +100 by mine
        wait 4_999                                   = working
        wait 55_001             -> resync, cancel r2 # a minute, of which it could be worked
        """,
        settings=own,
    )


def test_the_next_gap_begins_at_the_first_stage() -> None:
    """What was urgent for one position is not for the next: nor for the same, once it was held."""
    tell(
        WIDE
        + """
        target +100 by mine     -> place r1 +100
        pass 0
        ok r1
        wait 20_000             -> amend r1 @ 100.5
        amended r1
        traded r1 100 x1        -> held +100         = idle
        target +200 by mine     -> place r2 +100
        ok r2
        wait 20_000             -> resync, amend r2 @ 100.5
        target +150 by mine     -> cancel r2
        cancelled r2 0          -> place r3 +50
        """,
        settings=settings(),
    )


def test_the_deadline_brings_the_last_stage_in_time() -> None:
    """Ten seconds before it, or as many as the policy says: also for an order that rests."""
    teller = tell(
        WIDE
        + """
        target +100 by passive deadline 30_000 -> place r1 +100
        ok r1
        wait 19_999
        wait 1                  -> cancel r1
        """,
        settings=settings(),
    )
    assert teller.done[-1].reason == "cross now (passive, stage 2 of 2: 10 s before the deadline)"
    own = settings(
        Stage(how="join", until_deadline=True), Stage(how="cross"), before_deadline_us=3 * SECOND
    )
    tell(
        WIDE
        + """
        target +100 by mine deadline 30_000 -> place r1 +100
        ok r1
        wait 26_999
        wait 1                  -> cancel r1
        """,
        settings=own,
    )
    teller = tell(WIDE + "target +100 by mine -> place r1 +100\nok r1", settings=own)
    assert teller.lives(300_000) == []  # no deadline: it joins as long as it takes


def test_a_last_stage_that_is_on_already_is_left_alone_by_the_deadline() -> None:
    """It was reached for another reason, and that is what its amends say."""
    own = settings(Stage(how="join", for_us=5 * SECOND), Stage(how="inside"))
    teller = tell(
        WIDE
        + """
        target +100 by mine deadline 20_000 -> place r1 +100
        ok r1
        wait 5_000              -> amend r1 @ 100.5
        amended r1
        wait 6_000
        price 102.0 104.0
        mark 103.0
        wait 5_000              -> amend r1 @ 102.5
        """,
        settings=own,
    )
    assert teller.done[-1].reason == "inside at 102.5 (mine, stage 2 of 2: join for 5 s)"


def test_a_stage_of_the_same_kind_is_an_amend() -> None:
    """From one tick away from the last trade to one tick toward the other side of it."""
    tell(
        WIDE
        + """
        last 101.0
        target +100 by mine     -> place r1 +100 @ 100.5
        ok r1
        wait 5_000              -> amend r1 @ 101.5
        """,
        settings=settings(
            Stage(how="last", offset_ticks=-1, for_us=5 * SECOND), Stage(how="last", offset_ticks=1)
        ),
    )


def test_a_deadline_that_is_near_at_once_begins_with_the_last_stage() -> None:
    """There is no time to be gentle."""
    tell(WIDE + "target +100 by mine deadline 9_000 -> place r1 +100 @ 102.0 now",
         settings=settings(max_slippage_bps=0))  # fmt: skip


def test_a_deadline_that_passes_under_a_limit_is_known_to_the_very_next_order() -> None:
    """The limit is lifted after the stages were looked at, in the turn that places the order."""
    tell(
        WIDE
        + """
        target +200 by passive deadline 20_000                = idle ~ a liquidation price
        danger at 98.0          -> incident limit             = idle ~ limits.min_liquidation_bps
        wait 15_000
        price 104.0 106.0
        mark 105.0
        wait 7_000              -> place r1 +100 @ 106.0 now, closed 1
        """,
        settings=msgspec.structs.replace(
            settings(), limits=Limits(price_collar_bps=500, min_liquidation_bps=500)
        ),
        position=100,
    )


def test_a_deadline_that_comes_while_nobody_can_trade_is_made_up_for() -> None:
    """As soon as the market opens the last stage is on; the time it was closed is no patience."""
    tell(
        WIDE
        + """
        market closed
        target +100 by mine     = idle ~ market to open
        wait 25_000
        market open             -> place r1 +100
        """,
        settings=settings(),
    )
    tell(
        WIDE
        + """
        market closed
        target +100 by mine deadline 30_000 = idle
        wait 21_000
        market open             -> place r1 +100 @ 102.0 now
        """,
        settings=settings(max_slippage_bps=0),
    )


@pytest.mark.parametrize(
    "odd", ["price 102.0 -", "price 104.0 103.0", "price 102.0 104.0\nold price 60_001"]
)
def test_an_adverse_move_is_not_read_from_prices_that_can_not_be_believed(odd: str) -> None:
    """A side that is missing, a crossed book, a stale quote: no reason to pay."""
    own = settings(Stage(how="join", adverse_ticks=1), Stage(how="cross"), reprice_ticks=1_000)
    teller = tell(WIDE + f"target +100 by mine -> place r1 +100\nok r1\n{odd}", settings=own)
    assert teller.lives(20_000) == []
    teller.price_age_us = 0
    teller.do(["price", "102.0", "104.0"])
    assert teller.lives(5_000) == ["cancel r1"]


def test_an_adverse_move_counts_from_the_first_price_that_could_be_believed() -> None:
    """The arrival price is the mid when the gap came to be; none then: the first after."""
    own = settings(Stage(how="join", adverse_ticks=4), Stage(how="cross"))
    teller = tell("price 100.0 -\nmark 100.0\ntarget +100 by mine -> place r1 +100\nok r1",
                  settings=own)  # fmt: skip
    assert teller.book.target is not None
    assert teller.book.target.work.arrival is None
    teller.do(["price", "101.0", "103.0"])
    assert teller.lives(5_000) == ["amend r1 @ 101.0"]
    assert teller.book.target.work.arrival == 102


def test_the_arrival_price_of_a_gap_is_not_that_of_the_one_before() -> None:
    """What was quoted for the last order is long gone: the next gap begins at the prices of now."""
    own = settings(Stage(how="join", adverse_ticks=4), Stage(how="cross"))
    tell(
        WIDE
        + """
        target +100 by mine     -> place r1 +100
        traded r1 100 x1        -> held +100         = idle
        pass 60_000
        price 110.0 112.0
        mark 111.0
        target +200 by mine     -> place r2 +100
        """,
        settings=own,
    )


def test_a_policy_with_fewer_stages_than_were_climbed_is_at_its_last() -> None:
    """The file was changed while an order worked."""
    teller = tell(
        WIDE + "target +100 by mine -> place r1 +100\nok r1\nwait 20_000 -> amend r1 @ 100.5",
        settings=settings(),
    )
    teller.do(["amended", "r1"])
    teller.settings = settings(Stage(how="join"))
    teller.start()
    assert teller.synced(0, "r1") == []
    assert teller.wait(1_000) == ["amend r1 @ 100.0"]


def test_the_next_stage_does_not_wait_for_the_next_repricing() -> None:
    """It comes in its time, if the order was priced a moment ago, too; but for one second."""
    own = settings(Stage(how="join", for_us=5_500_000), Stage(how="inside"))
    tell(
        WIDE
        + """
        target +100 by mine     -> place r1 +100
        ok r1
        price 101.0 104.0
        mark 102.0
        wait 5_000              -> amend r1 @ 101.0
        amended r1
        wait 999
        wait 1                  -> amend r1 @ 101.5
        """,
        settings=own,
    )


# -- what can't be meant --------------------------------------------------------------------------

ODD = {
    "no end": ((Stage(how="join"), Stage(how="cross")), "does not say what ends stage 1 (join)"),
    "an end too many": ((Stage(how="join", for_us=1),), "says what ends stage 1 (join)"),
    "softer": (
        (Stage(how="inside", for_us=1), Stage(how="join")),
        "goes from inside back to join, which is softer",
    ),
    "rests after it crossed": (
        (Stage(how="cross", for_us=1), Stage(how="last")),
        "goes from cross to last: what does not rest",
    ),
    "at the deadline and before": (
        (Stage(how="join", for_us=1, until_deadline=True), Stage(how="cross")),
        "ends stage 1 (join) only at the deadline, and before it",
    ),
    "at the deadline and for a move": (
        (Stage(how="join", adverse_ticks=1, until_deadline=True), Stage(how="cross")),
        "ends stage 1 (join) only at the deadline, and before it",
    ),
    "an offset from nothing": (
        (Stage(how="join", offset_ticks=1),),
        "has offset_ticks in stage 1, and join knows none",
    ),
}
ODD_SLICES = {
    "has slice_every_s without over_s": Policy(slice_every_us=SECOND),
    "has a slice_every_s that is longer": Policy(over_us=20 * SECOND, slice_every_us=30 * SECOND),
    "has an over_s below 10": Policy(over_us=9 * SECOND),
    "has a slice_every_s below 1": Policy(over_us=20 * SECOND, slice_every_us=SECOND // 2),
    'has catch_up = "at_once" without over_s': Policy(catch_up="at_once"),
}


@pytest.mark.parametrize("kind", ODD)
def test_stages_that_can_not_be_meant_are_named(kind: str) -> None:
    """A ladder that could never be climbed, or only down, is a mistake: it says so, and where."""
    stages, why = ODD[kind]
    assert ladder.problem(Policy(stages=stages)).startswith(why)


@pytest.mark.parametrize("why", ODD_SLICES)
def test_slices_that_can_not_be_meant_are_named(why: str) -> None:
    """What is spread over time needs a time, and orders that keep up."""
    assert ladder.problem(ODD_SLICES[why]).startswith(why)


def test_the_known_policies_can_all_be_meant() -> None:
    """And no two of them are the same."""
    known = default_policies()
    assert {name: ladder.problem(policy) for name, policy in known.items()} == dict.fromkeys(
        known, ""
    )
    assert len({policy.version for policy in known.values()}) == len(known)
    for stages in (
        (Stage(how="last", until_deadline=True), Stage(how="market")),
        (Stage(how="cross", for_us=SECOND), Stage(how="market")),
        (Stage(how="join", adverse_ticks=1), Stage(how="last", for_us=1), Stage(how="post")),
        (Stage(how="signal", offset_ticks=2, for_us=1), Stage(how="last", offset_ticks=-2)),
    ):
        assert ladder.problem(Policy(stages=stages)) == ""
    assert ladder.problem(Policy(over_us=20 * SECOND, catch_up="at_once")) == ""


def test_a_version_names_the_settings_and_not_the_policy() -> None:
    """It is stored with each order: another name for the same settings would be another policy."""
    assert Policy().version == Policy(start="join").version
    fields = {name: getattr(Policy(), name) for name in Policy.__struct_fields__}
    changed = [
        msgspec.structs.replace(Policy(), **{name: "market" if isinstance(was, str) else 12_345})
        for name, was in fields.items()
        if name != "stages"
    ]
    changed.append(Policy(stages=CLIMBING))
    versions = [policy.version for policy in (*changed, Policy())]
    assert len(set(versions)) == len(versions)


ENDS = st.builds(
    Stage,
    how=st.sampled_from(["join", "inside", "post", "last"]),
    for_us=st.integers(0, 40).map(lambda s: s * SECOND),
    adverse_ticks=st.integers(0, 6),
)


@given(
    stages=st.lists(ENDS, min_size=1, max_size=4),
    mids=st.lists(st.integers(90, 110), min_size=1, max_size=20),
)
def test_whatever_the_market_does_a_ladder_only_climbs(
    stages: list[Stage], mids: list[int]
) -> None:
    """The stage that is on never falls while the gap is there, and each step has its reason."""
    own = settings(*stages, Stage(how="market"))
    teller = Teller(own)
    teller.do(["target", "+100", "by", "mine"])
    rungs = []
    for mid in mids:
        teller.do(["price", str(mid), str(mid + 1)])
        for word in teller.lives(5_000):
            act, name = word.split()[:2]
            if act == "place":
                teller.do(["ok", name])
            elif act == "amend":
                teller.do(["amended", name])
            elif act == "cancel":
                teller.do(["cancelled", name, "0"])
        assert teller.book.target is not None
        rungs.append(teller.book.target.work.rung)
    assert all(before <= after for before, after in itertools.pairwise(rungs))
    for one in teller.done:
        if isinstance(one, (d.PlaceOrder, d.AmendOrder)) and one.rung:
            assert " for " in one.reason or "ticks against us" in one.reason
