"""Stories of what should not be: it freezes what it touches, says why, and awaits a decision."""

from __future__ import annotations

from tests.stories.teller import START_US, Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"
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
"""


def test_an_unknown_order_under_our_ids_stops_the_account() -> None:
    """An own id without an intent: another instance, or a lost journal. Nothing more is placed."""
    tell(
        WORKING
        + """
        unknown new             -> cancel r1, incident unknown_own_order
        cancelled r1 0                                        = idle ~ frozen
        resume                  -> place r2 +100, closed 1
        """
    )


def test_two_orders_under_one_id_are_both_taken_away() -> None:
    """Something repeated our request: both are cancelled, and the fills of both are ours."""
    teller = tell(
        WORKING
        + """
        twin r1 new 0           -> cancel r1/b, cancel r1, incident twin_order
        twinfill r1 +10 x1
        cancelled r1 0                                        = idle
        twin r1 cancelled 10                                  = idle ~ frozen
        position +10                                          = idle ~ frozen
        """
    )
    assert teller.book.position == 10


def test_a_void_order_that_comes_back_goes_and_nothing_new_comes() -> None:
    """An assumption about the venue was wrong: the order is cancelled, the account frozen."""
    tell(
        VOID
        + """
        read r1 empty                                         = idle
        wait 1000               -> place r2 +100              = placing
        row r1 new              -> cancel r1                  = placing
        ok r2                   -> cancel r2                  = cancelling
        row r1 cancelled 0
        cancelled r2 0                                        = idle ~ was thought over
        """
    )


def test_a_void_order_that_filled_is_booked_and_not_chased() -> None:
    """Its fill is ours, once; the books and the venue agree; a person decides what follows."""
    teller = tell(
        VOID
        + """
        target 0
        read r1 empty                                         = idle
        fill r1 +100 x1         -> cancel r1                  = cancelling
        fill r1 +100 x1
        row r1 filled 100                                     = filled
        position +100                                         = idle ~ frozen
        resume                  -> place r2 -100 reduce
        """
    )
    assert teller.book.position == 100


def test_a_void_order_counts_in_the_worst_case_for_a_while() -> None:
    """Limits hold even if the proof was wrong: ten minutes long its contracts count."""
    teller = tell(VOID + "target 0\nread r1 empty = idle")
    assert teller.book.worst_case() == (0, 100)
    teller.wait(600_001)
    assert teller.book.worst_case() == (0, 0)


def test_an_order_revived_while_we_were_blind_is_seen_in_a_look_up() -> None:
    """A row that is younger than the order's end is believed, from whatever source."""
    teller = tell(WORKING + "target 0 -> cancel r1\ncancelled r1 0 = idle\nwait 1_000")
    said = teller.row("r1", "new", 0, "read")
    assert "cancel r1" in said
    assert teller.book.state == "cancelling"


def test_a_row_from_before_the_end_revives_nothing_though_the_venue_s_clock_was_set_back() -> None:
    """Its time is later than that of the end, but not than that of rows from before the end."""
    teller = tell(WORKING + "target 0 -> cancel r1")
    born_us = teller.order("r1").seen_venue_us
    teller.row("r1", "cancelled", 0, venue_us=born_us - 500_000)
    assert teller.row("r1", "new", 0, venue_us=born_us) == []
    assert (teller.book.state, teller.ledger.frozen) == ("idle", "")


def test_a_row_that_counts_fewer_fills_than_the_end_revives_nothing() -> None:
    """What an order has filled never shrinks: whatever its time, the row is older."""
    teller = tell(WORKING + "fill r1 +100 x1 = filled\nrow r1 filled 100")
    teller.wait(1_000)
    said = teller.row("r1", "new", 0)
    assert (said, teller.order("r1").zombie, teller.ledger.frozen) == ([], False, "")


def test_more_fills_than_were_asked_for_freeze_the_symbol() -> None:
    """An overfill is booked, and nobody trades it away before a person has looked."""
    tell(
        WORKING
        + """
        fill r1 +100 x1                                       = filled
        fill r1 +50 x2          -> incident overfill          = filled
        row r1 filled 150
        position +150                                         = idle ~ frozen
        """
    )


def test_a_liquidation_is_not_chased() -> None:
    """The venue took a part of the position: booked, shown, and left to a person."""
    tell(
        """
        target +100             -> held +100
        liquidation -60 y1      -> incident liquidation       = idle
        position +40                                          = idle ~ liquidation
        wait 20_000
        resume                  -> closed 1, place r1 +60
        """,
        position=100,
    )


def test_a_liquidation_is_not_hidden_by_a_difference_that_mends() -> None:
    """The position agreeing again ends its own freeze, and no other."""
    tell(
        """
        target +100             -> held +100
        position +40            -> read position
        position +40 read
        wait 2_000              -> read position
        position +40 read
        wait 2_000              -> read position
        position +40 read
        wait 2_000              -> resync, read position
        sync +40
        wait 12_000                                           ~ the books say +100
        liquidation -60 y1                                    ~ frozen
        position +40                                          = idle ~ liquidation
        """,
        position=100,
    )


DIFFERS = """
target +100             -> held +100
position +90            -> read position
position +90 read
wait 2_000              -> read position
position +90 read
wait 2_000              -> read position
position +90 read
wait 2_000              -> resync, read position
position +90 read
"""


def test_a_position_that_differs_is_read_again_and_mended() -> None:
    """A fill that was lost without a trace is found by the resync; nobody need know."""
    tell(DIFFERS + "foreign -10 y1\nsync +90 = idle ~ foreign trade", position=100)


def test_a_difference_that_outlives_the_repair_freezes_the_symbol() -> None:
    """What nobody can explain is shown with both figures, and ends by itself if it mends."""
    tell(
        DIFFERS
        + """
        sync +90
        wait 2_000              -> read position
        position +90 read
        wait 8_000              -> read position, incident position_differs ~ the books say +100
        position +100 read      -> closed 1                   = idle
        """,
        position=100,
    )


def test_an_adjustment_adopts_a_difference() -> None:
    """Somebody with a name says that the venue is right; the books follow, the symbol goes on."""
    tell(
        DIFFERS
        + """
        sync +90
        wait 2_000              -> read position
        position +90 read
        wait 8_000              -> read position, incident position_differs
        adjust -10              -> closed 1, place r1 +10     = placing
        """,
        position=100,
    )


def test_missing_fills_freeze_after_ten_seconds_and_thaw_when_found() -> None:
    """An order that is over counts until all its fills are found; then the symbol goes on."""
    teller = Teller()
    for line in ("target +100", "ok r1", "row r1 filled 100"):
        teller.do(line.split())
    look_until(teller, 11_000)
    assert teller.book.frozen_by == "missing_fills"
    teller.do(["fill", "r1", "+100", "x1"])
    teller.do(["position", "+100"])
    assert (teller.book.state, teller.book.frozen) == ("idle", "")
    assert teller.ledger.incidents == {}


def look_until(teller: Teller, milliseconds: int) -> None:
    """Let time pass; every look-up of an order fails."""
    for _ in range(milliseconds // 500):
        teller.wait(500)
        for request in list(teller.ledger.requests.values()):
            if request.type == "readorder":
                teller.answer("readorder", teller.names[request.cl_ord_id], "in_doubt")


def test_missing_fills_do_not_make_ticks_without_end() -> None:
    """A freeze waits for evidence, not for the clock."""
    teller = Teller()
    for line in ("target +100", "ok r1", "row r1 filled 100"):
        teller.do(line.split())
    look_until(teller, 12_000)
    before = len(teller.history)
    look_until(teller, 10_000)
    assert len(teller.history) - before < 30
    asked = teller.order("r1").reads
    look_until(teller, 200_000)
    assert teller.order("r1").reads - asked < 15  # less and less often


def test_an_order_that_vanished_is_an_incident() -> None:
    """The venue showed it alive and has no trace of it now: somebody must look."""
    tell(
        WORKING
        + """
        wait 3_000
        stream lost
        sync 0                  -> read r1
        read r1 empty           -> cancel r1, incident vanished_order = cancelling
        """
    )


def test_an_execution_of_an_unknown_kind_freezes_once() -> None:
    """It may have moved contracts. Once a person has decided, its repeat freezes nothing."""
    tell("""
        odd execution y1        -> incident unknown_execution
        resume                  -> closed 1
        odd execution y1
    """)


def test_a_status_without_a_word_is_looked_up() -> None:
    """A word of the venue that we don't know costs a look-up, and no guess."""
    tell(WORKING + "row r1 unknown 0 -> read r1 = working\nread r1 filled 100 = filled")


def test_an_order_that_shows_other_contracts_than_we_asked_for_stops_the_account() -> None:
    """Somebody, or something, changed our order: it goes, and a person looks."""
    teller = tell(WORKING)
    assert "cancel r1" in teller.row("r1", "new", 0, contracts=300)
    assert "asked for +100" in teller.ledger.frozen
    assert teller.book.worst_case() == (0, 300)


def test_a_reduce_only_order_that_the_venue_lowered_is_no_changed_order() -> None:
    """The venue shrinks it when the position shrinks; an older row of it, come late, is no news."""
    teller = tell("target 0 -> place r1 -100 reduce\nok r1", position=100)
    assert teller.row("r1", "new", 0, contracts=-60) == []
    assert teller.row("r1", "new", 0, contracts=-100, venue_us=START_US) == []
    assert (teller.ledger.frozen, teller.order("r1").contracts) == ("", -60)
