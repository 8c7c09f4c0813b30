"""Stories of an order that rests, and of what its policy does with it: little, and for a reason."""

from __future__ import annotations

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import (
    AccountLimits,
    Limits,
    Policy,
    Settings,
    Stage,
    default_policies,
)
from tests.stories.teller import SYMBOL, Teller, tell

SECOND = 1_000_000


def settings(*stages: Stage, **more: object) -> Settings:
    policies = default_policies() | {"mine": Policy(stages=stages, **more)}  # type: ignore[arg-type]
    return Settings(symbols=(SYMBOL,), policies=policies, limits=Limits(price_collar_bps=500))


def asked(teller: Teller) -> int:
    """How many times a price was asked for."""
    return sum(isinstance(event, e.Quoted) for event, _ in teller.history)


def test_a_step_that_changes_no_price_asks_for_one_once() -> None:
    """The next stage asks the same here; rows that come later are no reason to look again."""
    own = settings(Stage(how="join", for_us=2 * SECOND), Stage(how="inside"))
    teller = tell(
        """
        target +100 by mine     -> place r1 +100
        ok r1
        wait 2_000
        """,
        settings=own,
    )
    before = asked(teller)
    for _ in range(20):
        assert teller.wait(100) == []
        assert teller.do(["row", "r1", "new"]) == []
    assert asked(teller) == before


def test_a_price_that_was_looked_at_before_the_step_does_not_delay_it() -> None:
    """The next stage comes in its time, though the last look at the market was two seconds ago."""
    tell(
        """
        price 100.0 102.0
        target +100 by mine     -> place r1 +100
        ok r1
        wait 6_999                                   = working
        wait 1                  -> amend r1 @ 100.5
        """,
        settings=settings(Stage(how="join", for_us=7 * SECOND), Stage(how="inside")),
    )


def test_where_nobody_stands_on_its_side_an_order_stays_where_it_is() -> None:
    """There is nothing to join: that is no reason to move, nor to fall."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        price - 100.5
        wait 20_000                                  = working
        price 101.0 101.5
        wait 5_000              -> amend r1 @ 101.0
        """)


def test_what_is_done_to_an_order_names_the_policy_that_nobody_chose() -> None:
    """Also where the target names none: then it is the default one's doing."""
    teller = tell("""
        target +100             -> place r1 +100
        ok r1
        price 101.0 101.5
        wait 5_000              -> amend r1 @ 101.0
        amended r1
        pass 55_000             -> cancel r1
        """)
    amend, cancel = (one for one in teller.done if isinstance(one, (d.AmendOrder, d.CancelOrder)))
    assert amend.reason == "join at 101.0 (passive, stage 1 of 2)"
    assert cancel.reason == "cross now (passive, stage 2 of 2: join for 60 s)"


@pytest.mark.parametrize(
    ("touch", "words", "said"),
    [
        ("104.0 104.5", "+100", "place r1 +100 @ 105.0 now"),
        ("95.5 96.0", "-100", "place r1 -100 @ 95.0 now"),
    ],
)
def test_crossing_stops_at_the_collar_and_not_before_it(touch: str, words: str, said: str) -> None:
    """Offers inside the collar are taken, also where the policy's slippage would lead out of it."""
    own = settings(Stage(how="cross"), max_slippage_bps=100)
    teller = Teller(own)
    teller.do(["price", *touch.split()])
    teller.do(["mark", "100.0"])
    assert teller.do(["target", words, "by", "mine"]) == [said]


@pytest.mark.parametrize(
    ("mark", "why"), [("100.0", "limits.price_collar_bps = 500"), ("-", "the mark price")]
)
def test_crossing_takes_nothing_from_beyond_the_collar(mark: str, why: str) -> None:
    """Nor where nobody can tell where it is."""
    teller = Teller(settings(Stage(how="cross"), max_slippage_bps=100))
    teller.do(["price", "106.0", "106.5"])
    teller.do(["mark", mark])
    assert teller.do(["target", "+100", "by", "mine"]) == []
    assert why in teller.book.waiting_for


# -- time in which nobody could work a gap is no time that it was worked ---------------------------


def world(limits: Limits | None = None, **account: int) -> Settings:
    return Settings(
        symbols=(SYMBOL,),
        limits=limits or Limits(),
        account_limits=AccountLimits(**account),  # type: ignore[arg-type]
    )


KEPT = {
    "too many orders are open": (
        world(max_open_orders=1), "rests f1 +1", "gone f1", "max_open_orders"),
    "too little margin": (
        world(min_margin_percent=20), "margin 100 10", "margin 100 90", "min_margin_percent"),
    "no price that is new": (world(), "old price 90_000", "old price 0", "a price younger"),
    "frozen": (world(), "freeze XBTUSD", "resume", "frozen"),
    "paused": (world(), "pause", "trade", "paused"),
    "no stream": (world(), "stream lost", "sync 0", "the stream"),
}  # fmt: skip


@pytest.mark.parametrize("why", KEPT)
def test_who_was_kept_back_for_long_begins_at_the_first_stage(why: str) -> None:
    """Two minutes of waiting are no patience: the first order rests, as the policy says."""
    own, before, after, said = KEPT[why]
    teller = tell(f"{before}\ntarget +100 = idle ~ {said}", settings=own)
    quiet = teller.wait(120_000)
    assert [word for word in quiet if word.startswith("place")] == []
    teller.do(["clock", "0"])
    placed = [*teller.do(after.split()), *teller.wait(6_000)]
    assert "place r1 +100" in placed


def test_a_stage_that_was_reached_is_not_lost_while_nobody_may_add() -> None:
    """It begins anew, at the rung where it was: never softer."""
    own = msgspec.structs.replace(
        settings(Stage(how="join", for_us=10 * SECOND), Stage(how="inside", for_us=20 * SECOND),
                 Stage(how="cross")),
        account_limits=AccountLimits(min_margin_percent=20),
    )  # fmt: skip
    tell(
        """
        price 100.0 102.0
        margin 100 90
        target +100 by mine     -> place r1 +100
        ok r1
        wait 10_000             -> amend r1 @ 100.5
        amended r1
        margin 100 10           -> cancel r1
        cancelled r1 0                               = idle ~ min_margin_percent
        pass 120_000
        margin 100 90           -> place r2 +100 @ 100.5
        ok r2
        wait 19_999
        wait 1                  -> cancel r2, resync
        """,
        settings=own,
    )


def test_what_only_reduces_is_not_kept_back_and_so_its_time_counts() -> None:
    """A limit of money is no reason to be more patient with what leads toward zero."""
    tell(
        """
        margin 100 10
        target 0                -> place r1 -100 reduce
        ok r1
        wait 60_000             -> resync, cancel r1
        """,
        settings=world(min_margin_percent=20),
        position=100,
    )


def test_a_restart_gives_nobody_a_new_minute() -> None:
    """Whoever crashes after each order would have as many a minute as he can start."""
    own = Settings(symbols=(SYMBOL,), limits=Limits(max_orders_per_minute=2))
    teller = Teller(own)
    for name, contracts in (("r1", "+10"), ("r2", "+20")):
        teller.do(["target", contracts])
        teller.traded(name, 10, f"x{name}")
    teller.do(["target", "+30"])
    teller.wait(20_000)
    teller.start()
    assert teller.synced(20) == []
    assert "max_orders_per_minute" in teller.book.waiting_for
    assert "place r3 +10" not in teller.wait(39_999)
    assert "place r3 +10" in teller.wait(1_000)


def test_a_clock_that_was_set_back_makes_the_minute_no_longer() -> None:
    """Orders that seem to come from the future are of just now."""
    own = Settings(symbols=(SYMBOL,), limits=Limits(max_orders_per_minute=1))
    teller = tell("target +10 -> place r1 +10\ntraded r1 10 x1 -> held +10", settings=own)
    teller.now_us -= 1_800 * SECOND
    teller.start()
    teller.synced(10)
    teller.do(["target", "+20"])
    assert "max_orders_per_minute" in teller.book.waiting_for
    assert "place r2 +10" in teller.lives(61_000)
