"""Stories of starts, halts and answers that come out of time: nothing of an old run is believed."""

from __future__ import annotations

from reconciler.core.events import Answered, Halted, OrderRead, Outcome, Resumed
from reconciler.core.settings import Settings
from tests.stories.teller import SYMBOL, Teller, canonical, tell

TWO = Settings(symbols=("XBTUSD", "ETHUSD"))
WORKING = "target +100 -> place r1 +100\nok r1 = working\n"
AMENDED = WORKING + "price 101.0 101.5\nwait 5_000 -> amend r1 @ 101.0\n"
VOID = """
target +100             -> place r1 +100
lost r1                 -> read r1
read r1 empty
wait 9_000              -> read r1, cancel r1
nothing r1
read r1 empty
wait 8_000              -> read r1
read r1 empty
wait 2_000              -> read r1
read r1 empty
wait 2_000              -> read r1
target 0
read r1 empty                                         = idle
"""


def test_an_amend_under_way_at_a_restart_leaves_a_price_that_nobody_knows() -> None:
    """The old price or the new one: the order goes, and another is placed at a known price."""
    teller = tell(
        AMENDED
        + """
        restart                 -> cancel r1                  = cancelling
        stream lost
        sync 0 r1
        cancelled r1 0          -> place r2 +100              = placing
        """
    )
    assert [order.price_in_doubt for order in teller.book.orders.values()] == [True, False]


def test_an_order_over_before_the_restart_that_comes_alive_again_is_cancelled() -> None:
    """No answer of the old run is waited for, not even about an order that was over by then."""
    tell(
        WORKING
        + """
        target 0                -> cancel r1                  = cancelling
        row r1 cancelled 0                                    = idle
        restart
        stream lost
        sync 0
        wait 1
        row r1 new 0            -> cancel r1, incident zombie_order = cancelling
        """
    )


def test_an_amend_that_was_answered_before_the_restart_costs_nothing() -> None:
    """Its price is known, so the order stays."""
    tell(AMENDED + "amended r1\nrestart = working\nstream lost\nsync 0 r1 = working")


def test_a_void_order_is_quarantined_for_ten_minutes_of_the_new_run() -> None:
    """The clocks of two runs are not compared: the worst case counts it from the start anew."""
    teller = tell(VOID)
    teller.now_us -= 3_600_000_000  # the new run's clock is behind
    teller.start()
    teller.synced(0)
    assert teller.book.worst_case() == (0, 100)
    teller.wait(599_000)
    assert teller.book.worst_case() == (0, 100)
    teller.wait(1_001)
    assert teller.book.worst_case() == (0, 0)


def test_an_order_that_was_never_void_is_in_no_quarantine_after_a_start() -> None:
    """Only what is quarantined already is counted anew."""
    teller = tell(WORKING + "restart = working\nstream lost\nsync 0 r1 = working")
    assert teller.order("r1").quarantined_until_us == 0


def test_an_answer_to_a_request_of_an_earlier_run_changes_nothing() -> None:
    """It is kept in the journal, and proves nothing about what the new run asked."""
    teller = tell(WORKING + "target 0 -> cancel r1 = cancelling")
    number = teller.last_request("cancelorder")
    teller.do(["restart"])
    teller.do(["sync", "0", "r1"])
    again = teller.last_request("cancelorder")
    assert again != number
    before = canonical(teller.ledger)
    at_us = teller.now_us
    assert teller.event(Answered(at_us=at_us, request_id=number, outcome=Outcome.NOTHING)) == []
    read = OrderRead(at_us=at_us, request_id=number, cl_ord_id="", orders=0, executions=0)
    assert teller.event(read) == []
    assert canonical(teller.ledger) == before
    assert teller.last_request("cancelorder") == again


def test_a_look_up_is_not_answered_by_the_end_of_another_request() -> None:
    """What was read belongs to the request that asked for it, and to no other kind."""
    teller = tell(WORKING + "target 0 -> cancel r1 = cancelling")
    number = teller.last_request("cancelorder")
    read = OrderRead(at_us=teller.now_us, request_id=number, cl_ord_id="", orders=0, executions=0)
    assert teller.event(read) == []
    assert teller.last_request("cancelorder") == number
    assert teller.order("r1").cancel_id == number


def test_a_second_measure_of_a_good_clock_is_no_reason_to_look() -> None:
    """Only a clock that becomes known opens anything."""
    tell(WORKING + "clock 0 = working\nclock 10 = working")


def halt(teller: Teller, *symbols: str, reason: str = "odd prices") -> list[str]:
    return teller.event(Halted(at_us=teller.now_us, by="eve", reason=reason, symbols=symbols))


def resume(teller: Teller, *symbols: str) -> list[str]:
    return teller.event(Resumed(at_us=teller.now_us, by="eve", reason="fine", symbols=symbols))


def test_a_halt_of_one_symbol_leaves_the_other_alone() -> None:
    """Its order is cancelled and nothing of it placed, until its own resume."""
    teller = tell(
        """
        target +100             -> place r1 +100
        ok r1                                                 = working
        symbol ETHUSD
        target +10              -> place r2 +10
        ok r2                                                 = working
        """,
        settings=TWO,
    )
    assert halt(teller, SYMBOL) == ["cancel r1"]
    assert teller.do(["target", "+5"]) == ["cancel r2"]
    assert teller.do(["cancelled", "r2", "0"]) == ["place r3 +5"]
    teller.symbol = SYMBOL
    assert teller.do(["cancelled", "r1", "0"]) == []
    assert teller.book.waiting_for == "resume: halted: odd prices (eve)"
    assert resume(teller, "ETHUSD") == []
    assert resume(teller, SYMBOL) == ["place r4 +100"]


def test_a_halt_of_everything_is_not_ended_by_the_resume_of_one_symbol() -> None:
    """What was halted as a whole is resumed as a whole, whoever halted what beside it."""
    teller = tell("target +100 -> place r1 +100\nok r1 = working", settings=TWO)
    assert halt(teller, reason="") == ["cancel r1"]
    assert teller.do(["cancelled", "r1", "0"]) == []
    assert teller.book.waiting_for == "resume: halted: by eve"
    assert resume(teller, SYMBOL) == []
    assert teller.ledger.halted
    assert resume(teller) == ["place r2 +100"]


def test_the_resume_of_one_symbol_does_not_thaw_the_account() -> None:
    """A frozen account is a decision about the account."""
    teller = tell(WORKING + "unknown new -> cancel r1\ncancelled r1 0 = idle ~ frozen")
    assert resume(teller, SYMBOL) == []
    assert (bool(teller.ledger.frozen), len(teller.ledger.incidents)) == (True, 1)
    assert resume(teller) == ["place r2 +100", "closed 1"]
    assert (teller.ledger.frozen, teller.ledger.incidents) == ("", {})


def test_a_resume_starts_the_patience_of_a_target_anew_and_only_then() -> None:
    """A symbol without a target is resumed without one."""
    teller = Teller()
    assert halt(teller) == []
    assert resume(teller) == []
    assert teller.book.target is None


def test_a_resync_that_was_done_is_answered_by_its_sync_alone() -> None:
    """Its answer says nothing of the books, and asks for no other one."""
    teller = Teller()
    assert teller.wait(30_000) == ["resync"]
    assert teller.do(["resync", "done"]) == []
    assert teller.do(["sync", "0"]) == []
    assert teller.wait(29_999) == []
    assert teller.wait(1) == ["resync"]


def test_a_resync_that_failed_is_tried_again_when_the_venue_said() -> None:
    """Five seconds later at the earliest, or as long as it asked us to stay away."""
    for retry_after_ms, wait_ms in ((0, 5_000), (20_000, 20_000)):
        teller = Teller()
        assert teller.wait(30_000) == ["resync"]
        said = teller.answer("resync", "", "in_doubt", retry_after_us=retry_after_ms * 1000)
        assert said == []
        assert teller.wait(wait_ms - 1) == []
        assert teller.wait(1) == ["resync"]


def test_an_answer_about_the_dead_mans_switch_touches_no_symbol() -> None:
    """Armed or not is told by its own event; an answer only ends the request."""
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    before = teller.book.waiting_for, teller.ledger.dead_man_armed
    assert teller.do(["arming", "in_doubt"]) == []
    assert (teller.book.waiting_for, teller.ledger.dead_man_armed) == before
    assert teller.ledger.requests == {}


def test_a_switch_that_was_armed_too_long_ago_is_as_good_as_none() -> None:
    """Past half of its time nothing is placed until the venue promises again."""
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    teller.do(["armed", "60000"])
    teller.wait(30_000)
    assert teller.do(["target", "+100"]) == ["place r1 +100"]
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    teller.do(["armed", "60000"])
    teller.wait(30_001)
    assert teller.do(["target", "+100"]) == []
    assert teller.book.waiting_for == "the dead man's switch to be armed"
