"""Stories of slices: a gap worked by size, by a share of the book, or spread evenly over time."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import decisions as d
from reconciler.core.ledger import NEVER_US, Target, Work
from reconciler.core.policy import slices
from reconciler.core.settings import Limits, Policy, Settings, Stage
from tests.stories.teller import SYMBOL, Teller, tell

SECOND = 1_000_000
ALONE = Policy(escalate_after_us=0)
CROSS = (Stage(how="cross"),)


def settings(limits: Limits | None = None, **more: object) -> Settings:
    policy = msgspec.structs.replace(ALONE, **more)
    return Settings(symbols=(SYMBOL,), policies={"mine": policy, "passive": ALONE},
                    limits=limits or Limits())  # fmt: skip


def trade(teller: Teller, said: list[str]) -> None:
    """Whatever is placed is filled at once."""
    for word in said:
        if word.startswith("place"):
            name = word.split()[1]
            number = len(teller.names)
            trade(teller, teller.traded(name, abs(teller.order(name).contracts), f"x{number}"))


def placed(teller: Teller) -> list[int]:
    return [one.contracts for one in teller.done if isinstance(one, d.PlaceOrder)]


# -- by size --------------------------------------------------------------------------------------


def test_a_slice_has_so_many_contracts_at_most() -> None:
    """One after the other, each as soon as the one before is booked; the last is what is left."""
    tell(
        """
        target +100 by mine     -> place r1 +40
        traded r1 40 x1         -> place r2 +40
        traded r2 40 x2         -> place r3 +20
        traded r3 20 x3         -> held +100         = idle
        """,
        settings=settings(slice_contracts=40),
    )


def test_a_slice_is_whole_lots_and_one_at_least() -> None:
    """Whoever asks for less than the venue trades gets the least that it trades."""
    for most, said in ((250, "place r1 +200"), (50, "place r1 +100")):
        teller = Teller(settings(slice_contracts=most), lot=100)
        assert teller.do(["target", "+1000", "by", "mine"]) == [said]


def test_a_slice_that_closes_is_reduce_only() -> None:
    """Each part of a leg that reduces is as harmless as the whole."""
    teller = Teller(settings(slice_contracts=40), position=100)
    assert teller.do(["target", "-50", "by", "mine"]) == ["place r1 -40 reduce"]
    assert teller.do(["traded", "r1", "40", "x1"]) == ["place r2 -40 reduce"]
    assert teller.do(["traded", "r2", "40", "x2"]) == ["place r3 -20 reduce"]
    assert teller.do(["traded", "r3", "20", "x3"]) == ["place r4 -40"]


@pytest.mark.parametrize(
    ("stages", "words", "said"),
    [
        ((), "+100", "place r1 +30"),  # of the 300 that it stands among
        ((), "-100", "place r1 -50"),
        (CROSS, "+100", "place r1 +50 @ 100.5 now"),  # of the 500 that it takes from
        (CROSS, "-100", "place r1 -30 @ 100.0 now"),
        ((Stage(how="market"),), "+100", "place r1 +50 @ 100.5 now"),
    ],
)
def test_a_slice_is_a_share_of_what_rests(stages: tuple[Stage, ...], words: str, said: str) -> None:
    """A taker does not sweep the other side, a maker does not double the queue."""
    own = settings(stages=stages, slice_book_percent=10, max_slippage_bps=0)
    tell(f"sizes 300 500\ntarget {words} by mine -> {said}", settings=own)


def test_where_the_book_is_not_known_a_slice_is_cut_by_the_rest_and_says_so() -> None:
    """A feed without sizes is no reason to stand still, nor to pretend."""
    own = settings(slice_book_percent=10, slice_contracts=40)
    teller = tell("target +100 by mine -> place r1 +40", settings=own)
    assert "size of the book unknown" in teller.done[-1].reason
    teller = tell("sizes 300 500\ntarget +100 by mine -> place r1 +30", settings=own)
    assert "unknown" not in teller.done[-1].reason


def test_limits_hold_for_slices_too() -> None:
    """The smaller of the two."""
    own = settings(Limits(max_order_contracts=25), slice_contracts=40)
    tell("target +100 by mine -> place r1 +25", settings=own)


# -- over time ------------------------------------------------------------------------------------

TWAP = settings(over_us=100 * SECOND, slice_every_us=20 * SECOND)


def test_a_target_is_spread_evenly_over_its_time() -> None:
    """A fifth at once, one more each twenty seconds; between them it says what it waits for."""
    teller = tell(
        """
        target +100 by mine     -> place r1 +20
        traded r1 20 x1                              = idle ~ slice 2 of 5
        pass 19_999                                  = idle
        wait 1                  -> place r2 +20
        traded r2 20 x2                              = idle ~ slice 3 of 5
        pass 20_000             -> place r3 +20
        traded r3 20 x3
        pass 20_000             -> place r4 +20
        traded r4 20 x4                              = idle ~ slice 5 of 5
        pass 20_000             -> place r5 +20
        traded r5 20 x5         -> held +100         = idle
        """,
        settings=TWAP,
    )
    reasons = [one.reason for one in teller.done if isinstance(one, d.PlaceOrder)]
    assert reasons[1] == "target +100, position +20, join at 100.0 (mine, slice 2 of 5)"


def test_a_slice_that_was_not_filled_goes_on_with_the_next() -> None:
    """An order can't be enlarged: it rests, and the next one makes up for what it missed."""
    tell(
        """
        target +100 by mine     -> place r1 +20
        ok r1
        pass 25_000                                  = working
        traded r1 20 x1         -> place r2 +20
        traded r2 20 x2                              = idle ~ slice 3 of 5
        """,
        settings=TWAP,
    )


def test_each_slice_begins_at_the_first_stage() -> None:
    """Ten seconds gently, then at once: for each step of the path anew."""
    stages = (Stage(how="join", for_us=10 * SECOND), Stage(how="cross"))
    own = settings(over_us=100 * SECOND, slice_every_us=20 * SECOND, stages=stages,
                   max_slippage_bps=0)  # fmt: skip
    tell(
        """
        target +100 by mine     -> place r1 +20
        ok r1
        pass 10_000             -> cancel r1
        cancelled r1 0          -> place r2 +20 @ 100.5 now
        traded r2 20 x1                              = idle ~ slice 2 of 5
        pass 10_000             -> place r3 +20
        """,
        settings=own,
    )


def test_progress_survives_a_restart() -> None:
    """How far the path is follows from its beginning and the time, and not from what was sent."""
    teller = tell(
        """
        target +100 by mine     -> place r1 +20
        traded r1 20 x1
        pass 20_000             -> place r2 +20
        traded r2 20 x2                              = idle ~ slice 3 of 5
        """,
        settings=TWAP,
    )
    assert teller.start() == []
    assert teller.synced(40) == []
    assert teller.book.waiting_for == "slice 3 of 5"
    assert teller.lives(19_000) == []
    assert teller.lives(1_000) == ["place r3 +20"]


def test_what_an_outage_left_undone_is_no_single_large_order() -> None:
    """Two slices an order at most, and half a step between them: unless it was asked for."""
    story = "target +100 by mine -> place r1 +20\ntraded r1 20 x1\nstream lost\nwait 65_000"
    teller = tell(story, settings=TWAP)
    assert teller.synced(20) == ["place r2 +40"]
    assert teller.do(["traded", "r2", "40", "x2"]) == ["place r3 +20"]  # not late any more
    late = tell(story + "\nwait 300_000", settings=TWAP)
    late.do(["clock", "0"])
    assert late.synced(20) == ["place r2 +40"]
    assert late.do(["traded", "r2", "40", "x2"]) == []
    assert late.book.waiting_for == "slice 5 of 5, which is late"
    assert late.lives(10_000) == ["place r3 +40"]
    at_once = settings(over_us=100 * SECOND, slice_every_us=20 * SECOND, catch_up="at_once")
    teller = tell(story, settings=at_once)
    assert teller.synced(20) == ["place r2 +60"]
    assert teller.do(["traded", "r2", "10", "x2"]) == ["place r3 +50"]


def test_a_path_ends_before_the_deadline() -> None:
    """With less time than it would like it takes larger steps; at the end it waits for nothing."""
    tell(
        """
        target +100 by mine deadline 50_000 -> place r1 +50
        traded r1 50 x1                              = idle ~ slice 2 of 2
        pass 20_000             -> place r2 +50
        """,
        settings=TWAP,
    )
    teller = tell(
        "target +100 by mine deadline 60_000 -> place r1 +33\ntraded r1 33 x1\nstream lost\n"
        "wait 51_000",
        settings=TWAP,
    )
    assert teller.synced(33) == ["place r2 +67"]
    tell("target +100 by mine deadline 5_000 -> place r1 +100", settings=TWAP)


def test_a_crash_is_an_outage_too() -> None:
    """Whatever it was that could not be done: two slices an order."""
    story = "target +100 by mine -> place r1 +20\ntraded r1 20 x1\nstream lost\nwait 70_000"
    teller = tell(story, settings=TWAP)
    teller.start()
    assert teller.synced(20) == ["place r2 +40"]


def test_before_a_deadline_nothing_is_left_for_later() -> None:
    """The slices that an outage left follow one another at once: none of them is large for that."""
    teller = tell("stream lost\ntarget +100 by mine deadline 200_000\nwait 191_000", settings=TWAP)
    teller.do(["clock", "0"])
    assert teller.synced(0) == ["place r1 +40"]
    assert teller.do(["traded", "r1", "40", "x1"]) == ["place r2 +40"]
    assert teller.do(["traded", "r2", "40", "x2"]) == ["place r3 +20"]


def test_a_path_without_a_step_has_twenty_of_a_second_at_least() -> None:
    """So much is said by its length alone."""
    target = Target(contracts=100, version=1, source="", policy="", set_us=0, expires_us=None,
                    on_expiry="hold", work=Work(path_from=0))  # fmt: skip
    for seconds, steps in ((600, 20), (20, 20), (10, 10)):
        path = slices.path_of(Policy(over_us=seconds * SECOND), target, 0)
        assert path is not None
        assert (path.steps, path.due) == (steps, 1)


def test_a_path_that_is_at_its_end_does_not_begin_the_next_one() -> None:
    """An hour later the next target has its own first slice, and no more."""
    teller = Teller(TWAP)
    trade(teller, teller.do(["target", "+100", "by", "mine"]))
    trade(teller, teller.lives(100_000))
    assert teller.book.position == 100
    trade(teller, teller.lives(600_000))
    (said,) = teller.do(["target", "+200", "by", "mine"])
    assert said.endswith(" +20")


def test_what_is_less_than_a_lot_at_the_end_of_a_path_is_no_slice_to_come() -> None:
    """It says what it says of every gap that can't be traded."""
    teller = Teller(TWAP, lot=100, position=50)
    trade(teller, teller.do(["target", "+100", "by", "mine"]))
    assert teller.book.waiting_for == "slice 2 of 5"
    teller.lives(100_000)
    assert teller.book.waiting_for == "nothing: the gap +50 is less than a lot of 100"


def test_whoever_changes_his_mind_all_the_time_gets_one_slice_a_step() -> None:
    """A first slice for each new target would be all of it at once, whatever its policy."""
    slow = {"slow": msgspec.structs.replace(ALONE, over_us=500 * SECOND)}
    teller = Teller(msgspec.structs.replace(TWAP, policies=TWAP.policies | slow))
    for number in range(1_000):  # ten seconds
        trade(teller, teller.do(["target", f"{100 + number % 2:+d}", "by", "mine"]))
        trade(teller, teller.wait(10))
    assert placed(teller) == [20]
    trade(teller, teller.lives(10_000))
    assert placed(teller) == [20, 16]  # a fifth of the 81 that are left
    trade(teller, teller.do(["target", "+200", "by", "slow"]))  # spread by another policy
    assert placed(teller) == [20, 16]
    trade(teller, teller.do(["target", "-100", "by", "passive"]))  # at once
    assert teller.book.position == -100


def test_a_repeat_of_the_target_goes_on_with_the_path() -> None:
    """A strategy that repeats itself each bar is not at the beginning each bar."""
    teller = Teller(TWAP)
    for _ in range(100):
        trade(teller, teller.do(["target", "+100", "by", "mine"]))
        trade(teller, teller.lives(1_000))
    assert teller.book.position == 100
    assert placed(teller) == [20] * 5


def test_who_is_ahead_of_the_path_waits_and_who_is_beyond_the_target_comes_back() -> None:
    """A person bought, too: nothing is sold to be on the path, only to be on the target."""
    teller = tell("target +100 by mine -> place r1 +20\ntraded r1 20 x1", settings=TWAP)
    teller.do(["foreign", "+50", "f1"])
    teller.do(["position", "+70"])
    assert teller.lives(45_000) == []
    assert teller.book.waiting_for == "slice 4 of 5"
    assert teller.lives(15_000) == ["place r2 +10"]
    teller.do(["traded", "r2", "10", "x2"])
    teller.do(["foreign", "+50", "f2"])
    teller.do(["position", "+130"])
    assert teller.lives(10_000) == ["place r3 -30 reduce"]


def test_an_order_that_rests_is_not_made_softer_by_others_who_trade() -> None:
    """Ahead of the path there is no gap, and the next one begins gently: with the next order."""
    stages = (Stage(how="join", for_us=5 * SECOND), Stage(how="last"))
    own = settings(over_us=100 * SECOND, slice_every_us=20 * SECOND, stages=stages)
    tell(
        """
        target +100 by mine     -> place r1 +20
        ok r1
        wait 5_000              -> cancel r1
        cancelled r1 0          -> place r2 +20 @ 100.5
        ok r2
        foreign +30 f1
        position +30
        pass 14_000                                  = working
        """,
        settings=own,
    )


def test_a_path_through_zero_closes_first() -> None:
    """Its slices are of the way, and none of them is of two legs."""
    teller = Teller(settings(over_us=40 * SECOND, slice_every_us=10 * SECOND), position=-50)
    assert teller.do(["target", "+50", "by", "mine"]) == ["place r1 +25 reduce"]
    teller.do(["traded", "r1", "25", "x1"])
    assert teller.lives(10_000) == ["place r2 +25 reduce"]
    assert teller.do(["traded", "r2", "25", "x2"]) == []
    assert teller.lives(10_000) == ["place r3 +25"]


def test_a_target_that_waited_for_its_first_position_has_its_path_from_there() -> None:
    """Nobody knows where a path begins before the account has been seen."""
    teller = Teller(TWAP)
    teller.ledger.books[SYMBOL].anchor = None
    teller.do(["target", "+100", "by", "mine"])
    assert teller.book.target is not None
    assert teller.book.target.work.path_from is None


def test_a_clock_that_was_set_back_delays_a_path_and_does_not_stop_it() -> None:
    """It begins anew then, at the latest: what was done is ahead of it."""
    teller = tell("target +100 by mine -> place r1 +20\ntraded r1 20 x1", settings=TWAP)
    teller.now_us -= 3_600 * SECOND
    teller.start()
    teller.synced(20)
    trade(teller, teller.lives(101_000))
    assert teller.book.position == 100


def test_a_target_that_is_flattened_at_its_end_is_flattened_in_slices() -> None:
    """Its policy is still its policy."""
    teller = tell("target +100 by passive -> place r1 +100\ntraded r1 100 x1", settings=TWAP)
    teller.target(100, policy="mine", expires_us=teller.now_us + 5 * SECOND, on_expiry="flatten")
    assert teller.lives(5_000) == ["place r2 -20 reduce"]


def test_a_way_to_zero_under_a_flatten_is_taken_step_by_step() -> None:
    """It leads where the flatten leads: nothing is ahead of it, and it gets there."""
    teller = tell("flatten\ntarget 0 by mine -> place r1 -20 reduce", settings=TWAP, position=100)
    teller.do(["traded", "r1", "20", "x1"])
    trade(teller, teller.lives(101_000))
    assert teller.book.position == 0


times = st.integers(0, 200 * SECOND)


@given(
    began=st.integers(-1_000, 1_000),
    contracts=st.integers(-1_000, 1_000),
    position=st.integers(-2_000, 2_000),
    moments=st.lists(times, min_size=2, max_size=10).map(sorted),
    every=st.integers(0, 120),
    deadline=st.none() | st.integers(-10, 200),
)
def test_a_path_leads_from_where_it_began_to_the_target_and_never_back(
    began: int, contracts: int, position: int, moments: list[int], every: int, deadline: int | None
) -> None:
    """At any time the goal lies between position and target, nearer to it later, and there in the
    end."""
    policy = Policy(over_us=100 * SECOND, slice_every_us=every * SECOND)
    target = Target(
        contracts=contracts, version=1, source="", policy="", set_us=0, expires_us=None,
        on_expiry="hold", work=Work(path_us=0, path_from=began),
        deadline_us=None if deadline is None else deadline * SECOND,
    )  # fmt: skip
    low, high = min(position, contracts), max(position, contracts)
    goals = [slices.goal(policy, target, position, at_us) for at_us in moments]
    assert all(low <= goal <= high for goal in goals)
    assert goals == sorted(goals, reverse=position > contracts)
    assert slices.goal(policy, target, position, 100 * SECOND) == contracts
    path = slices.path_of(policy, target, moments[0])
    assert path is not None
    assert path.next_us == NEVER_US or path.next_us > moments[0]
    assert 0 <= path.due <= path.steps
