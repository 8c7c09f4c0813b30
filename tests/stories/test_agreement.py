"""Stories of agreement: when three accounts of a position are one, and what only looks like it."""

from __future__ import annotations

from tests.stories.teller import Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"
FILLED = WORKING + "fill r1 +100 x1 = filled\n"


def test_a_position_row_that_comes_while_we_are_blind_settles_nothing() -> None:
    """The row agrees with the books, but nobody knows what the gap in the stream hides."""
    tell(
        FILLED
        + """
        row r1 filled 100
        stream lost                                           = filled
        position +100                                         = filled ~ the stream
        sync +100               -> held +100                  = idle
        """
    )


def test_a_target_is_not_held_while_a_second_order_of_ours_lives() -> None:
    """What is alive may still move the position away."""
    tell(
        """
        target +100             -> held +100
        target +200             -> place r1 +100
        ok r1                                                 = working
        twin r1 new 0           -> cancel r1/b, cancel r1     = cancelling
        cancelled r1 0                                        = idle
        target +100                                           = idle
        twin r1 cancelled 0     -> held +100                  = idle
        """,
        position=100,
    )


LATE_FILLS = (
    WORKING
    + """
halt                    -> cancel r1                  = cancelling
cancelled r1 0                                        = idle
row r1 cancelled 40                                   = idle
"""
)


def test_fills_that_a_row_counts_after_the_end_are_found_before_anything_new() -> None:
    """An order thought to have filled nothing did: the symbol waits for those contracts."""
    tell(
        LATE_FILLS
        + """
        resume                                                = idle ~ 40 fills of
        wait 1_000              -> read r1
        fill r1 +40 x1                                        = idle ~ position to be +40
        position +40            -> place r2 +60               = placing
        """
    )


def test_a_target_is_not_held_while_fills_are_missing() -> None:
    """The position row agrees with the books, and both of them lack what the order's row counts."""
    tell(
        LATE_FILLS
        + """
        target 0                                              = idle
        position 0                                            = idle
        fill r1 +40 x1                                        = idle
        position +40                                          = idle
        resume                  -> place r2 -40 reduce        = placing
        fill r2 -40 x2                                        = filled
        row r2 filled 40                                      = filled
        position 0              -> held +0                    = idle
        """
    )


def test_missing_fills_are_not_called_missing_while_we_are_blind() -> None:
    """Ten seconds of silence hide fills; ten seconds in sync without them freeze the symbol."""
    teller = tell(WORKING + "row r1 filled 100 = filled\nstream lost")
    teller.now_us += 30_000_000
    teller.do(["position", "0"])  # a look at the symbol, while blind
    assert teller.book.frozen == ""
    teller.do(["sync", "0"])
    for _ in range(19):
        teller.wait(500)
        assert teller.book.frozen == ""
        if teller.order("r1").read_id:
            teller.do(["read", "r1", "failed"])
    teller.wait(600)
    assert teller.book.frozen_by == "missing_fills"


def test_the_settled_symbol_forgets_its_order() -> None:
    """Idle means that no order is spoken of: the next one is free to be placed."""
    teller = tell(FILLED + "row r1 filled 100\nposition +100 -> held +100 = idle")
    assert teller.book.live == ""
    assert teller.book.order is None


def test_a_filled_order_is_settled_only_when_it_is_closed() -> None:
    """The last contract is booked and the position agrees, but the order's end was not seen."""
    tell(FILLED + "position +100 = filled ~ the end of\nrow r1 filled 100 -> held +100 = idle")


def test_a_difference_before_any_repair_freezes_nothing() -> None:
    """Rows may lag: only what a whole resync could not explain is put to a person."""
    teller = Teller(position=100)
    teller.do(["position", "+90"])
    for _ in range(60):
        teller.wait(500)
        for number, request in list(teller.ledger.requests.items()):
            if request.type == "readposition":
                teller.do(["position", "+90", "read"])
            elif request.type == "resync" and number in teller.ledger.requests:
                teller.do(["resync", "refused"])
        assert teller.book.frozen == ""


def test_a_freeze_for_a_liquidation_is_not_renamed_by_missing_fills() -> None:
    """The graver cause stays the one that a person sees, and ends by a person alone."""
    teller = tell(
        WORKING
        + """
        liquidation -10 y1      -> cancel r1, incident liquidation = cancelling
        row r1 filled 100                                     = filled
        """
    )
    for _ in range(24):
        teller.wait(500)
        for request in list(teller.ledger.requests.values()):
            if request.type == "readorder":
                teller.do(["read", "r1", "failed"])
    assert teller.book.frozen_by == "liquidation"
    teller.do(["fill", "r1", "+100", "x1"])
    assert teller.book.frozen_by == "liquidation"


def test_missing_fills_are_not_renamed_by_a_position_that_differs() -> None:
    """Of two causes that mend themselves the first keeps its name; both have to mend."""
    teller = tell(WORKING + "row r1 filled 100 = filled")
    for _ in range(24):
        teller.wait(500)
        for request in list(teller.ledger.requests.values()):
            if request.type == "readorder":
                teller.do(["read", "r1", "failed"])
    assert teller.book.frozen_by == "missing_fills"
    teller.do(["liquidation", "-10", "y1"])
    assert teller.book.frozen_by == "liquidation"


def test_a_row_that_is_late_freezes_nobody_whose_order_still_trades() -> None:
    """What it holds changes with each fill: it is compared once the order is over."""
    teller = Teller()
    for words in ("target +100", "ok r1", "fill r1 +40 x1"):
        teller.do(words.split())
    teller.wait(30_000)
    assert (teller.book.state, teller.book.frozen, teller.book.confirmed) == ("working", "", False)


def test_nobody_is_frozen_while_the_repair_is_under_way() -> None:
    """It may yet explain the difference; one that is refused has not happened."""
    teller = Teller()
    teller.do(["position", "+100"])
    assert "resync" in teller.wait(5_000)
    assert "resync" not in teller.wait(24_000)
    teller.do(["position", "+100"])  # a row of the same figure has the symbol looked at
    assert (teller.book.frozen, teller.book.repairs) == ("", 1)
    teller.do(["resync", "refused"])
    assert (teller.book.frozen, teller.book.repairs) == ("", 0)


def test_figures_that_are_equal_are_no_difference() -> None:
    """The row came before its fill, and no other since: it is asked for, and nobody is frozen."""
    teller = Teller()
    for words in ("target +100", "ok r1", "position +100", "fill r1 +100 x1", "row r1 filled"):
        teller.do(words.split())
    teller.wait(6_000)
    assert teller.book.repairs == 1
    teller.synced()
    teller.wait(20_000)
    assert (teller.book.confirmed, teller.book.frozen) == (False, "")
