"""Stories of limits, prices, lots, expiry of targets, budgets, and people's orders."""

from __future__ import annotations

import pytest

from reconciler.core.events import Configured
from reconciler.core.settings import Limits, Policy, Settings, default_policies
from tests.stories.teller import SYMBOL, Teller, tell


def limits(**changed: int) -> Settings:
    return Settings(symbols=(SYMBOL,), limits=Limits(**changed))


def test_the_position_limit_cuts_the_order() -> None:
    """No order takes the worst case past the limit; a target beyond it is worked up to it."""
    tell(
        """
        target +100             -> place r1 +60
        ok r1
        fill r1 +60 x1
        row r1 filled 60
        position +60                                          = idle ~ room below
        """,
        settings=limits(max_position_contracts=60),
    )


def test_a_position_past_the_limit_may_always_shrink() -> None:
    """Limits never stand in the way of less risk."""
    tell(
        "target 0 -> place r1 -500 reduce",
        settings=limits(max_position_contracts=60),
        position=500,
    )


def test_orders_of_others_cut_no_order_that_only_reduces() -> None:
    """Whatever a person may yet sell: less of what is held is no more risk."""
    tell(
        "rests f1 -250\ntarget 0 -> place r1 -100 reduce",
        settings=Settings(symbols=(SYMBOL,), limits=Limits(max_position_contracts=100)),
        position=100,
    )


def test_an_order_is_cut_to_the_most_that_one_order_may_have() -> None:
    """A large gap takes several orders."""
    tell(
        """
        target +100             -> place r1 +40
        ok r1
        fill r1 +40 x1
        row r1 filled 40
        position +40            -> place r2 +40
        """,
        settings=limits(max_order_contracts=40),
    )


def test_orders_a_minute_are_counted() -> None:
    """The third order of a minute waits for the minute to pass."""
    tell(
        """
        target +100             -> place r1 +50
        ok r1 filled 50
        fill r1 +50 x1
        position +50            -> place r2 +50
        ok r2 filled 50
        fill r2 +50 x2
        position +100                                         = idle
        target 0                                              = idle ~ max_orders_per_minute
        wait 59_999             -> resync
        wait 1                  -> place r3 -50 @ 100.0 reduce now
        """,
        settings=limits(max_order_contracts=50, max_orders_per_minute=2),
    )


def test_no_orders_a_minute_means_none() -> None:
    """A limit of nothing allows nothing, and breaks nothing."""
    tell("target +100 = idle ~ max_orders", settings=limits(max_orders_per_minute=0))


def test_a_price_outside_the_collar_is_not_asked_for() -> None:
    """A book far from the mark is looked at again, and not traded on."""
    tell("""
        mark 110
        target +100                                           = idle ~ price_collar_bps
        mark 100.2
        wait 1_000              -> place r1 +100
    """)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("price 101 100", "uncrossed"),
        ("price - 100.5", "right side"),
        ("mark -", "mark price"),
        ("mark 0", "mark price"),
        ("old price 60_001", "younger"),
    ],
)
def test_no_order_on_a_bad_quote(bad: str, why: str) -> None:
    """Crossed, one-sided, unmarked or stale: the price is asked for again, once a second."""
    teller = tell(f"{bad}\ntarget +100 = idle ~ {why}")
    before = len(teller.history)
    assert teller.wait(5_000) == []
    assert len(teller.history) - before == 10  # a tick and a quote each


def test_lots_round_toward_zero() -> None:
    """Less than a lot is left alone, and said so."""
    tell(
        """
        target +250             -> place r1 +200
        ok r1
        fill r1 +200 x1
        row r1 filled 200
        position +200                                         = idle ~ less than a lot
        """,
        lot=100,
    )


def test_a_band_leaves_small_gaps_alone() -> None:
    """Inside the band the target counts as held."""
    policies = {**default_policies(), "passive": Policy(band_contracts=10)}
    tell(
        "target +5 -> held +0 = idle\ntarget +11 -> place r1 +11",
        settings=Settings(symbols=(SYMBOL,), policies=policies),
    )


@pytest.mark.parametrize("out", ["target 0 -> place r1 -8 reduce", "flatten -> place r1 -8 reduce"])
def test_a_band_holds_back_nobody_who_wants_out(out: str) -> None:
    """A rest of eight contracts would be held for ever, and pay funding: zero is zero."""
    policies = {**default_policies(), "passive": Policy(band_contracts=10)}
    settings = Settings(symbols=(SYMBOL,), policies=policies)
    tell(f"target +8\n{out}", settings=settings, position=8)


def test_a_target_that_expires_flat_leaves_no_rest_within_the_band() -> None:
    """Flat at its end is flat."""
    policies = {**default_policies(), "passive": Policy(band_contracts=10)}
    tell(
        "target +8 for 10000 flatten -> held +8\nwait 10_000 -> place r1 -8 reduce",
        settings=Settings(symbols=(SYMBOL,), policies=policies),
        position=8,
    )


def test_a_target_that_expires_and_holds_stays_where_it_is() -> None:
    """The order goes, the position stays, nothing more is wanted."""
    tell("""
        target +100 for 10000 hold -> place r1 +100
        ok r1
        fill r1 +40 x1
        position +40
        wait 10_000             -> cancel r1                  = cancelling
        cancelled r1 40                                       = idle
        wait 15_000
    """)


def test_a_target_that_expires_and_flattens_goes_to_zero() -> None:
    """Nothing wanted any more means flat."""
    tell("""
        target +100 for 10000 flatten -> place r1 +100
        ok r1 filled 100
        fill r1 +100 x1
        position +100                                         = idle
        wait 10_000             -> place r2 -100 reduce
    """)


def test_a_target_that_expires_and_freezes_asks_a_person() -> None:
    """The symbol waits for a decision."""
    tell("""
        target +100 for 10000 freeze -> place r1 +100
        ok r1
        wait 10_000             -> cancel r1, incident target_expired
        cancelled r1 0                                        = idle
        target +50                                            = idle ~ frozen
        resume                  -> closed 1, place r2 +50
    """)


def test_a_target_that_ran_out_while_nobody_looked_has_run_out() -> None:
    """A process that was suspended wakes with the next target in its hands: that came too late."""
    teller = tell("target +100 for 10000 freeze -> place r1 +100\nok r1")
    teller.now_us += 12_000_000
    said = teller.do(["target", "+50"])
    assert "incident target_expired" in said
    assert teller.book.frozen_by == "target_expired"
    assert teller.book.target is not None
    assert (teller.book.target.contracts, teller.book.version) == (50, 2)  # it waits for a person


def test_a_closed_market_is_waited_for() -> None:
    """Nothing is placed while the venue takes no orders."""
    tell("market closed\ntarget +100 = idle ~ market to open\nmarket open -> place r1 +100")


def test_a_spent_budget_is_waited_for() -> None:
    """New orders leave the reserve to cancels."""
    tell("""
        throttled 3_000
        target +100                                           = idle ~ request budget
        wait 3_000              -> place r1 +100
    """)


def test_a_clock_that_is_not_known_is_waited_for() -> None:
    """An expiry that the venue would read otherwise protects nobody."""
    teller = Teller()
    teller.ledger.clock_error_us = None
    assert teller.target(100) == []
    assert "clock" in teller.book.waiting_for
    assert teller.do(["clock", "0"]) == ["place r1 +100"]


def test_a_persons_order_counts_in_the_worst_case() -> None:
    """It is never cancelled by us, however long it has rested, and uses up the limit."""
    tell(
        """
        rested f1 +80
        target +100             -> place r1 +20
        ok r1
        gone f1
        """,
        settings=limits(max_position_contracts=100),
    )


def test_a_persons_order_may_be_ignored() -> None:
    """Those who trust their people may say so."""
    settings = Settings(
        symbols=(SYMBOL,), limits=Limits(max_position_contracts=100), foreign_orders="ignore"
    )
    tell("rests f1 +80\ntarget +100 -> place r1 +100", settings=settings)


def test_a_persons_order_may_freeze_the_symbol() -> None:
    """Those who don't, too."""
    settings = Settings(symbols=(SYMBOL,), foreign_orders="freeze")
    tell("rests f1 +80 -> incident foreign_order\ntarget +100 = idle ~ frozen", settings=settings)


def test_the_dead_mans_switch_is_armed_first_and_kept_so() -> None:
    """No order before the venue has promised to cancel it should we fall silent."""
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    assert teller.target(100) == []
    assert "dead man" in teller.book.waiting_for
    assert teller.do(["armed", "60000"]) == ["place r1 +100"]
    teller.do(["ok", "r1"])
    assert teller.wait(15_000) == ["arm 60000"]


def test_an_arming_that_failed_is_tried_again_soon_but_not_all_the_time() -> None:
    """No order may go until it worked; the venue wants five seconds between two."""
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    teller.target(100)
    armings = 0
    for _ in range(240):
        armings += teller.wait(100).count("arm 60000")
        if any(request.type == "armdeadman" for request in teller.ledger.requests.values()):
            teller.do(["arming", "refused"])
    assert 4 <= armings <= 5
    assert teller.do(["armed", "60000"]) == ["place r1 +100"]


def test_a_promise_that_was_read_late_is_as_old_as_its_request() -> None:
    """While we stood still the switch may have fired: an old answer says nothing of that."""
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    teller.do(["armed", "60000"])
    assert teller.wait(15_000) == ["arm 60000"]
    teller.now_us += 61_000_000  # the machine was asleep
    assert "arm 60000" in teller.do(["armed", "60000"])
    assert teller.target(100) == []
    assert "dead man" in teller.book.waiting_for
    assert teller.do(["armed", "60000"]) == ["place r1 +100"]


def test_an_orderly_stop_disarms_the_switch_once() -> None:
    """Disarmed when no order is left, and asked for again only if that failed."""
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    teller.do(["armed", "60000"])
    teller.wait(2_000)
    assert teller.do(["stop"]) == ["disarm"]
    assert teller.do(["position", "0"]) == []
    assert teller.do(["arming", "in_doubt"]) == []
    assert teller.wait(1_000) == ["disarm"]
    assert teller.do(["armed", "0"]) == []
    assert "disarm" not in teller.wait(20_000)


def test_a_stop_leaves_the_switch_armed_while_an_order_is_left() -> None:
    """Should its cancel come to nothing, the venue cancels it by itself."""
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    teller.do(["armed", "60000"])
    teller.target(100)
    teller.do(["ok", "r1"])
    teller.wait(2_000)
    assert teller.do(["stop"]) == ["cancel r1"]
    assert "disarm" not in teller.wait(2_000)
    assert "disarm" in [*teller.do(["cancelled", "r1", "0"]), *teller.wait(1_000)]


def test_a_resync_that_fails_is_not_asked_for_all_the_time() -> None:
    """While look-ups fail, one is tried every five seconds."""
    teller = Teller()
    resyncs = 0
    for _ in range(600):
        resyncs += teller.wait(100).count("resync")
        if any(request.type == "resync" for request in teller.ledger.requests.values()):
            assert "resync" not in teller.do(["resync", "refused"])
    assert 5 <= resyncs <= 8


def test_a_symbol_first_heard_of_after_the_sync_is_read_at_once() -> None:
    """A new symbol's first position is not left to the next audit."""
    teller = tell("symbol ETHUSD\ntarget +10 -> resync = idle ~ to be configured")
    both = Settings(symbols=("XBTUSD", "ETHUSD"))
    assert teller.event(Configured(at_us=teller.now_us, settings=both)) == []
    assert "first position" in teller.book.waiting_for
    teller.settings = both
    assert teller.do(["sync", "0"]) == []
    assert "instrument" in teller.book.waiting_for
    assert teller.do(["market", "open"]) == ["place r1 +10"]


def test_a_limit_that_was_lowered_takes_back_what_is_too_much() -> None:
    """An order that would end past a new limit is cancelled; the rest of the way stays open."""
    teller = tell("target +100 -> place r1 +100\nok r1")
    lower = Configured(at_us=teller.now_us, settings=limits(max_position_contracts=60))
    assert teller.event(lower) == ["cancel r1"]
    assert teller.do(["cancelled", "r1", "0"]) == ["place r2 +60"]
