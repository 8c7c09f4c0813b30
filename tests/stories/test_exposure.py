"""Stories of exposure: what may still trade is counted, watched by a switch, and by a clock."""

from __future__ import annotations

from reconciler.core.events import ClockMeasured
from reconciler.core.settings import Settings
from tests.stories.teller import SYMBOL, Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"
GUARDED = Settings(symbols=(SYMBOL,), dead_man_us=60_000_000)
VOID = """
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


def test_the_fills_that_are_missing_count_in_the_worst_case_and_no_others() -> None:
    """An order that ended can add what its last row counts, and nothing of what was cancelled."""
    teller = tell(
        WORKING
        + """
        target +90              -> cancel r1
        fill r1 +30 x1
        cancelled r1 50                                       = filled
        """
    )
    assert (teller.book.position, teller.book.worst_case()) == (30, (30, 50))
    teller.do(["fill", "r1", "+20", "x2"])
    assert teller.book.worst_case() == (50, 50)


def test_more_booked_than_counted_takes_nothing_back() -> None:
    """An overfill is in the position already; the envelope does not shrink below it."""
    teller = tell(WORKING + "fill r1 +100 x1\nrow r1 filled 100\nfill r1 +50 x2")
    assert teller.book.worst_case() == (150, 150)


def test_a_sell_that_rests_counts_below_and_what_it_filled_does_not() -> None:
    """The envelope opens on the order's own side, by what is left of it."""
    teller = tell("target -100 -> place r1 -100\nok r1 = working\nfill r1 -40 x1 = working")
    assert teller.book.worst_case() == (-100, -40)


def test_a_clock_that_is_known_to_more_than_a_second_opens_nothing() -> None:
    """An expiry that may be off by more protects nobody; exactly a second is good enough."""
    for error_us, said in ((1_000_001, []), (1_000_000, ["place r1 +100"])):
        teller = Teller()
        teller.event(ClockMeasured(at_us=teller.now_us, offset_us=0, error_us=error_us))
        assert teller.do(["target", "+100"]) == said


def test_the_switch_stays_armed_until_no_order_of_ours_can_trade() -> None:
    """A stop disarms it only after the last cancel has ended."""
    teller = Teller(GUARDED)
    for words in ("armed 60000", "target +100", "ok r1"):
        teller.do(words.split())
    assert teller.do(["stop"]) == ["cancel r1"]
    assert "disarm" not in teller.wait(900)
    assert [*teller.do(["cancelled", "r1", "0"]), *teller.wait(1_000)] == ["disarm"]


def test_a_switch_that_is_off_is_not_disarmed_again() -> None:
    """A stop that waits for something else has nothing to ask of it."""
    teller = Teller(GUARDED)
    teller.do(["armed", "60000"])
    assert "disarm" in [*teller.do(["stop"]), *teller.wait(1_000)]
    teller.do(["armed", "0"])
    assert "disarm" not in teller.wait(60_000)


def test_an_order_in_quarantine_does_not_keep_the_switch_armed() -> None:
    """It was proven dead; ten more minutes are for the limits alone."""
    teller = Teller(GUARDED)
    for words in ("armed 60000", "target +100"):
        teller.do(words.split())
    for line in VOID.strip().splitlines():
        said = teller.do(line.partition("->")[0].partition("=")[0].split())
        if any(word.startswith("arm") for word in said):
            teller.do(["armed", "60000"])
    assert teller.order("r1").status == "void"
    teller.wait(2_000)
    assert "disarm" in [*teller.do(["stop"]), *teller.wait(1_000)]


def test_the_switch_is_refreshed_while_nothing_else_happens() -> None:
    """Every quarter of its time, by a tick that the account itself asks for."""
    teller = Teller(GUARDED)
    teller.do(["armed", "60000"])
    start_us = teller.now_us
    assert teller.wait(15_000).count("arm 60000") == 1
    teller.do(["armed", "60000"])
    assert teller.wait(14_999).count("arm 60000") == 0
    assert teller.ledger.dead_man_asked_us == start_us + 15_000_000
