"""Stories of policies: which price each of them asks for, and when that price is changed."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core.settings import Limits, Policy, Settings, Stage, default_policies
from tests.stories.teller import SYMBOL, Teller, tell

ALONE = Policy(escalate_after_us=0)


def settings(limits: Limits | None = None, **policies: Policy) -> Settings:
    """The known policies, and those of a story."""
    known = default_policies() | policies
    return Settings(symbols=(SYMBOL,), policies=known, limits=limits or Limits())


def alone(how: str, offset_ticks: int = 0, **more: object) -> Policy:
    stages = (Stage(how=how, offset_ticks=offset_ticks),)
    return msgspec.structs.replace(ALONE, stages=stages, **more)


# -- at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "bps", "said"),
    [
        ("target +100", 0, "place r1 +100 @ 100.5 now"),
        ("target -100", 0, "place r1 -100 @ 100.0 now"),
        ("target +100", 100, "place r1 +100 @ 101.5 now"),
        ("target -100", 100, "place r1 -100 @ 99.0 now"),
    ],
)
def test_crossing_pays_the_touch_and_so_much_slippage(words: str, bps: int, said: str) -> None:
    """Buy at the best offer, sell at the best bid; whoever allows no slippage pays none."""
    policy = msgspec.structs.replace(default_policies()["urgent"], max_slippage_bps=bps)
    wide = settings(Limits(price_collar_bps=500), urgent=policy)
    tell(f"{words} by urgent -> {said}", settings=wide)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("target +100", "place r1 +100 @ 101.0 now"),  # 101.202 is no price of the grid
        ("target -100", "place r1 -100 @ 99.5 now"),
    ],
)
def test_market_takes_what_is_there_up_to_the_collar(words: str, said: str) -> None:
    """A true market order has no edge: this one pays no more than the collar lets anybody pay."""
    tell(f"{words} by market -> {said}", settings=settings(Limits(price_collar_bps=100)))


def test_market_takes_nothing_from_beyond_the_collar() -> None:
    """An order that can only come back unfilled is not sent."""
    teller = tell(
        """
        price 100.0 102.0
        mark 100.0
        target +100 by market                       = idle ~ an offer within limits.price_collar
        target -100 by market   -> place r1 -100 @ 99.5 now
        """
    )
    assert teller.done[-1].stage == "market"


@pytest.mark.parametrize(
    ("world", "why"),
    [
        ("price 100.0 -\nmark 100.0", "a price on the right side"),
        ("mark -", "the mark price"),
    ],
)
def test_market_needs_a_mark_and_somebody_to_trade_with(world: str, why: str) -> None:
    """Without them there is no edge, or no sense in it."""
    tell(f"{world}\ntarget +100 by market = idle ~ {why}")


# -- resting --------------------------------------------------------------------------------------


def test_post_stands_one_tick_before_the_other_side() -> None:
    """The best price that takes nothing; where nobody stands on the other side, it joins."""
    wide = "price 100.0 103.0\nmark 101.5\n"
    limits = settings(Limits(price_collar_bps=500))
    tell(wide + "target +100 by post -> place r1 +100 @ 102.5", settings=limits)
    tell(wide + "target -100 by post -> place r1 -100 @ 100.5", settings=limits)
    tell("price 100.0 -\ntarget +100 by post -> place r1 +100")
    tell("price - 103.0\nmark 102.5\ntarget +100 by post -> place r1 +100 @ 102.5")


@pytest.mark.parametrize("how", ["join", "inside", "post"])
def test_whoever_rests_needs_a_price_to_rest_at(how: str) -> None:
    """With nobody on his own side he waits, and asks again."""
    own = settings(Limits(price_collar_bps=500), mine=alone(how))
    teller = tell("price - -\nmark 100.0\ntarget +100 by mine = idle ~ a price on the right side",
                  settings=own)  # fmt: skip
    teller.do(["price", "100.0", "100.5"])
    assert len(teller.wait(1_000)) == 1


def test_a_policy_that_is_no_longer_in_the_file_is_as_one_without_settings() -> None:
    """A target that names it is still worked: gently, and in the end at the touch."""
    teller = tell("target +100 by mine -> place r1 +100 @ 100.5 now", settings=settings(
        mine=alone("cross", max_slippage_bps=0)))  # fmt: skip
    teller.do(["traded", "r1", "40", "x1"])
    teller.do(["traded", "r2", "0", "x2"])
    teller.settings = settings()
    teller.start()
    assert teller.synced(40) == ["place r3 +60"]


def test_a_post_only_order_that_came_too_near_steps_back_and_waits() -> None:
    """It is priced anew, each time a tick further off and after a longer while: no loop."""
    teller = tell(
        """
        price 100.0 103.0
        mark 101.5
        target +100 by post     -> place r1 +100 @ 102.5
        ok r1
        row r1 cancelled 0                          = idle ~ a while after a refusal
        wait 999
        wait 1                  -> place r2 +100 @ 102.0
        ok r2
        row r2 cancelled 0                          = idle
        wait 2_000              -> place r3 +100 @ 101.5
        """,
        settings=settings(Limits(price_collar_bps=500)),
    )
    placed = 0
    for number in range(3, 12):  # V2: at most six a minute, whatever the venue does
        teller.row(f"r{number}", "new", 0, "reply")
        teller.row(f"r{number}", "cancelled", 0)
        before = len(teller.names)
        while len(teller.names) == before and placed < 60:
            teller.lives(1_000)
            placed += 1
        if placed >= 60:
            break
    assert len(teller.names) <= 3 + 6
    price = teller.order(f"r{len(teller.names)}").price
    assert price == Decimal("100.0")  # no further back than the best bid


def test_last_asks_for_the_price_of_the_last_trade_give_or_take() -> None:
    """Above zero: toward the other side. It may take: it is neither post-only nor immediate."""
    world = "price 100.0 102.0\nmark 101.0\nlast 101.0\n"
    for offset, buys, sells in (
        (0, "101.0", "101.0"),
        (2, "102.0", "100.0"),
        (-1, "100.5", "101.5"),
    ):
        own = settings(Limits(price_collar_bps=500), mine=alone("last", offset))
        teller = tell(world + f"target +100 by mine -> place r1 +100 @ {buys}", settings=own)
        place = teller.done[-1]
        assert isinstance(place, d.PlaceOrder)
        assert not place.post_only
        assert not place.immediate
        tell(world + f"target -100 by mine -> place r1 -100 @ {sells}", settings=own)
    tell("last -\ntarget +100 by last = idle ~ the price of a trade")


def test_last_follows_the_trades() -> None:
    """Away from it by two ticks, after five seconds."""
    tell(
        """
        price 100.0 104.0
        mark 101.0
        last 100.5
        target +100 by last     -> place r1 +100 @ 100.5
        ok r1
        last 101.0
        price 100.5 104.0                            # the best bid is ours
        wait 5_000
        last 101.5
        wait 5_000              -> amend r1 @ 101.5
        """,
        settings=settings(Limits(price_collar_bps=500)),
    )


def test_a_signal_has_its_price_and_is_then_let_be() -> None:
    """Its price, and so much slippage; whatever the market does, it stays where it is."""
    own = settings(Limits(price_collar_bps=500), signal=alone("signal", max_slippage_bps=100))
    for words, said in (("+100", "+100 @ 102.0"), ("-100", "-100 @ 100.0")):
        teller = tell(
            f"""
            price 100.0 104.0
            mark 101.0
            target {words} by signal price 101.0 -> place r1 {said}
            ok r1
            price 108.0 112.0
            pass 120_000                             = working
            price 90.0 92.0
            pass 120_000                             = working
            """,
            settings=own,
        )
        assert not teller.done[-1].post_only if isinstance(teller.done[-1], d.PlaceOrder) else True
    assert default_policies()["signal"] == Policy(start="signal", escalate_after_us=0)


@pytest.mark.parametrize(
    ("prices", "mark", "words", "said"),
    [
        ("90.0 91.0", "90.5", "+100", "+100 @ 95.0"),
        ("111.0 112.0", "111.5", "-100", "-100 @ 106.0"),
    ],
)
def test_a_market_better_than_the_signal_is_met_at_the_collar(
    prices: str, mark: str, words: str, said: str
) -> None:
    """Who would pay 101 need not wait for 90 to come back: the collar is as far as it asks."""
    tell(
        f"""
        price {prices}
        mark {mark}
        target {words} by signal price 101.0 -> place r1 {said}
        """,
        settings=settings(Limits(price_collar_bps=500)),
    )


def test_a_signal_that_comes_again_with_another_price_moves_its_order() -> None:
    """The market does not move it, whoever gave it does: by the rules of every amend."""
    tell(
        """
        price 100.0 104.0
        mark 101.0
        target +100 by mine price 101.0 -> place r1 +100 @ 101.0
        ok r1
        target +100 by mine price 101.5
        wait 5_001                                   # less than two ticks away
        target +100 by mine price 102.0
        wait 4_999              -> amend r1 @ 102.0
        amended r1
        target +100 by mine
        wait 10_000                                  = working
        """,
        settings=settings(Limits(price_collar_bps=500), mine=alone("signal", max_slippage_bps=0)),
    )


def test_a_signal_without_a_price_crosses_within_its_slippage() -> None:
    """A flatten at the end of its life has none: it must not rest for ever."""
    tell("target +100 by signal -> place r1 +100 @ 100.5 now")
    teller = tell(
        """
        target +100 by signal price 100.0 -> place r1 +100
        traded r1 100 x1        -> held +100         = idle
        """
    )
    teller.version += 1
    teller.event(
        msgspec.structs.replace(
            next(event for event, _ in reversed(teller.history) if hasattr(event, "on_expiry")),
            at_us=teller.now_us,
            version=teller.version,
            expires_us=teller.now_us + 1_000_000,
            on_expiry="flatten",
            deadline_us=teller.now_us + 900_000,
        )
    )
    assert teller.wait(1_000) == ["place r2 -100 @ 100.0 reduce now"]


# -- when a price is changed ----------------------------------------------------------------------


def test_only_a_market_that_moved_away_is_followed() -> None:
    """One that comes nearer will fill us: an amend would give away our place in the queue."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        price 98.0 98.5
        wait 10_000                                  = working
        price 101.0 101.5
        wait 4_999
        wait 1                  -> amend r1 @ 101.0
        """)
    tell("""
        target -100             -> place r1 -100
        ok r1
        price 101.0 101.5
        wait 10_000                                  = working
        price 99.0 99.5
        wait 5_000              -> amend r1 @ 99.5
        """)


def test_an_order_that_rested_through_a_restart_is_repriced_at_once() -> None:
    """Its price is old, and the new run knows none: it asks for one, and follows."""
    teller = tell("""
        target +100             -> place r1 +100
        ok r1
        wait 10_000
        price 101.0 101.5
        """)
    teller.start()
    assert teller.synced(0, "r1") == ["amend r1 @ 101.0"]


def test_a_policy_with_no_ticks_follows_each_and_asks_for_none_in_vain() -> None:
    """The venue refuses an amend that changes nothing."""
    own = settings(passive=Policy(reprice_ticks=0))
    tell(
        """
        target +100             -> place r1 +100
        ok r1
        wait 10_000
        price 100.5 101.0
        wait 5_000              -> amend r1 @ 100.5
        """,
        settings=own,
    )


def test_an_order_whose_amends_are_used_up_stays_and_says_so() -> None:
    """A harder stage takes its place; nothing else does."""
    policy = Policy(
        stages=(Stage(how="join", for_us=25_000_000), Stage(how="inside")), max_amends_per_order=2
    )
    teller = tell(
        """
        price 100.0 102.0
        mark 100.2
        target +100 by mine     -> place r1 +100
        ok r1
        price 101.0 103.0
        mark 101.0
        wait 5_000              -> amend r1 @ 101.0
        amended r1
        price 102.0 104.0
        mark 102.0
        wait 5_000              -> amend r1 @ 102.0
        amended r1
        price 103.0 105.0
        mark 103.0
        wait 14_999                                  = working ~ its 2 amends are used up
        wait 1                  -> cancel r1         = cancelling
        cancelled r1 0          -> place r2 +100 @ 103.5
        """,
        settings=settings(Limits(price_collar_bps=500), mine=policy),
    )
    cancel = next(one for one in teller.done if isinstance(one, d.CancelOrder))
    assert cancel.reason == "its 2 amends are used up, and its policy has gone on"


def test_no_minute_has_more_amends_than_its_budget() -> None:
    """Then the order stays where it is until the minute has passed."""
    policy = msgspec.structs.replace(ALONE, max_amends_per_minute=2)
    tell(
        """
        target +100 by mine     -> place r1 +100
        ok r1
        price 101.0 101.5
        wait 5_000              -> amend r1 @ 101.0
        amended r1
        price 102.0 102.5
        wait 5_000              -> amend r1 @ 102.0
        amended r1
        price 103.0 103.5
        pass 54_999                                  = working ~ the 2 amends of this minute
        wait 1                  -> amend r1 @ 103.0
        """,
        settings=settings(Limits(price_collar_bps=500), mine=policy),
    )


# -- another policy in the middle -----------------------------------------------------------------


def test_a_target_with_another_policy_reworks_the_order_that_rests() -> None:
    """An amend where that is enough, up or down and soon; else another order takes its place."""
    both = settings(
        Limits(price_collar_bps=500), inside=msgspec.structs.replace(ALONE, start="inside")
    )
    teller = tell(
        """
        price 100.0 102.0
        mark 101.0
        target +100             -> place r1 +100
        ok r1
        target +100 by inside
        wait 1_000              -> amend r1 @ 100.5
        amended r1
        target +100
        wait 1_000              -> amend r1 @ 100.0  # back: every tick counts
        amended r1
        target +100 by last
        wait 1_000              -> cancel r1         # an amend can't make it one that may take
        cancelled r1 0          -> place r2 +100 @ 100.5
        ok r2
        target +100 by urgent   -> cancel r2
        cancelled r2 0          -> place r3 +100 @ 102.0 now
        """,
        settings=both,
    )
    reasons = [one.reason for one in teller.done if isinstance(one, d.CancelOrder)]
    assert reasons == ["last now (last)", "cross now (urgent)"]
    amends = [one for one in teller.done if isinstance(one, d.AmendOrder)]
    assert [one.stage for one in amends] == ["inside", "join"]
    assert amends[0].reason == "inside at 100.5 (inside)"


def test_policies_that_change_all_the_time_are_followed_once_a_second() -> None:
    """A strategy that can't make up its mind must not eat the request budget."""
    both = settings(
        Limits(price_collar_bps=500), inside=msgspec.structs.replace(ALONE, start="inside")
    )
    teller = tell(
        "price 100.0 102.0\nmark 101.0\ntarget +100 -> place r1 +100\nok r1", settings=both
    )
    for number in range(300):
        teller.do(["target", "+100", "by", ("inside", "passive")[number % 2]])
        for word in teller.wait(10):
            teller.do(["amended", word.split()[1]])
    assert len([one for one in teller.done if isinstance(one, d.AmendOrder)]) <= 3


def test_orders_are_replaced_once_a_second_at_most_where_an_amend_is_not_enough() -> None:
    """Else the orders of a minute were spent in one second, and none were left for the rest."""
    teller = tell("target +100 -> place r1 +100\nok r1")
    for number in range(300):
        said = teller.do(["target", "+100", "by", ("last", "passive")[number % 2]])
        for word in said + teller.wait(10):
            if word.startswith("cancel"):
                said = teller.do(["cancelled", word.split()[1], "0"])
                teller.do(["ok", said[0].split()[1]])
    assert 2 <= len([one for one in teller.done if isinstance(one, d.PlaceOrder)]) <= 4


def test_a_policy_whose_settings_change_reworks_its_order_too() -> None:
    """The name is the same, what it means is not: the order knows by which settings it was made."""
    first = settings(Limits(price_collar_bps=500))
    teller = tell(
        "price 100.0 102.0\nmark 101.0\ntarget +100 -> place r1 +100\nok r1", settings=first
    )
    other = settings(Limits(price_collar_bps=500), passive=alone("inside"))
    teller.settings = other
    assert teller.start() == []
    assert teller.synced(0, "r1") == []
    assert teller.wait(1_000) == ["amend r1 @ 100.5"]


def test_an_order_says_by_which_stage_of_which_policy_it_was_priced() -> None:
    """Two policies with the same settings have one version, whatever their names."""
    own = settings(mine=default_policies()["passive"])
    versions = []
    for name in ("passive", "mine", "urgent"):
        teller = Teller(own)
        teller.do(["target", "+100", "by", name])
        place = teller.done[-1]
        assert isinstance(place, d.PlaceOrder)
        versions.append(place.policy_version)
        assert place.stage == ("cross" if name == "urgent" else "join")
    assert versions[0] == versions[1] != versions[2]
