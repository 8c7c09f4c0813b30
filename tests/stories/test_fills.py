"""Stories of fills: in parts, late, repeated, overtaking, and of people who trade beside us."""

from __future__ import annotations

import itertools

import pytest

from tests.stories.teller import Teller, check_replay, tell


def test_flips_through_zero_in_two_legs() -> None:
    """A change of sign closes with a reduce-only order first, then opens."""
    tell(
        """
        target -100             -> place r1 -60 reduce
        ok r1
        fill r1 -60 x1
        row r1 filled 60
        position 0              -> place r2 -100              = placing
        """,
        position=60,
    )


def test_a_single_lot_is_closed_before_the_other_side_is_opened() -> None:
    """A lot can be traded, so it is a leg of its own, and reduce-only as each that closes."""
    tell("target +100 -> place r1 +100 reduce", lot=100, position=-100)
    tell("target -100 -> place r1 -100 reduce", lot=100, position=100)


def test_partial_fills_add_up() -> None:
    """An order may fill in any number of parts, each counted once."""
    tell("""
        target +100             -> place r1 +100
        ok r1 partly_filled 30                                = working
        fill r1 +30 x1
        fill r1 +30 x1
        fill r1 +50 x2
        fill r1 +20 x3                                        = filled
        fill r1 +50 x2
        row r1 filled 100
        position +100           -> held +100                  = idle
    """)


def test_a_cancel_that_races_a_fill_is_counted_out() -> None:
    """What filled before the cancel is booked, and only the rest is placed again."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        target +90              -> cancel r1                  = cancelling
        fill r1 +30 x1                                        = cancelling
        cancelled r1 50                                       = filled ~ 20 fills of
        wait 1_000              -> read position, read r1
        fill r1 +20 x2                                        = filled
        position +50            -> place r2 +40               = placing
    """)


def test_a_cancel_that_came_too_late_ends_filled() -> None:
    """A cancel that found nothing to cancel proves nothing; the look-up shows the last fill."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        target 0                -> cancel r1                  = cancelling
        nothing r1              -> read r1                    = cancelling
        fill r1 +100 x1                                       = filled
        read r1 filled 100                                    = filled
        position +100           -> place r2 -100 reduce       = placing
    """)


def test_a_cancel_whose_answer_is_lost_is_asked_for_again() -> None:
    """Until the order is seen over it counts as alive; the cancel is repeated, each time later."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        target 0                -> cancel r1
        cancel lost r1                                        = cancelling
        wait 1_000              -> cancel r1                  = cancelling
        cancel lost r1
        wait 1_000
        wait 1_000              -> cancel r1
        cancelled r1 0          -> held +0                    = idle
    """)


def test_a_cancel_that_was_refused_leaves_the_order_working() -> None:
    """A refused cancel changed nothing: the order lives, and the cancel follows a little later."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        target 0                -> cancel r1                  = cancelling
        cancel refused r1                                     = working
        wait 1_000              -> cancel r1                  = cancelling
    """)


def test_a_row_from_before_changes_nothing() -> None:
    """A late row with fewer fills takes none back and wakes no dead order."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        fill r1 +40 x1
        old row r1 new 0                                      = working
        fill r1 +60 x2                                        = filled
        row r1 filled 100
        old row r1 partly_filled 40                           = filled
        position +100           -> held +100                  = idle
        old row r1 new 0                                      = idle
    """)


ROWS = ("row r1 new", "fill r1 +40 x1", "fill r1 +60 x2", "row r1 filled 100", "position +100")


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_tables_may_overtake_one_another(order: tuple[int, ...]) -> None:
    """Rows of orders, executions and positions end in the same books, whichever comes first."""
    tables = [[ROWS[0], ROWS[3]], [ROWS[1], ROWS[2]], [ROWS[4]], ["ok"]]
    teller = Teller()
    teller.do(["target", "+100"])
    for table in (tables[index] for index in order):
        for line in table:
            if line == "ok":
                teller.answer("placeorder", "r1", "done")
            else:
                teller.do(line.split())
                teller.do(line.split())  # everything comes twice
    teller.wait(600)
    if any(request.type == "readposition" for request in teller.ledger.requests.values()):
        teller.do(["position", "+100", "read"])
    for request in list(teller.ledger.requests.values()):
        if request.type == "readorder":
            teller.do(["read", "r1", "filled", "100"])
    assert (teller.book.state, teller.book.position) == ("idle", 100)
    assert len(teller.names) == 1
    check_replay(teller)


def test_a_persons_trade_is_pulled_back_to_the_target() -> None:
    """A position moved by somebody else is booked as theirs, and after a moment traded back."""
    tell(
        """
        target +100             -> held +100                  = idle
        foreign +50 y1                                        = idle ~ position to be +150
        position +150                                         = idle ~ a foreign trade
        wait 1_000              -> place r1 -50 reduce        = placing
        """,
        position=100,
    )


def test_a_persons_trade_beside_our_order_takes_back_what_is_too_much() -> None:
    """An order that would now carry the position past the target is cancelled."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        foreign +60 y1          -> cancel r1                  = cancelling
        cancelled r1 0                                        = idle
        position +60                                          = idle ~ a foreign trade
        wait 1_000              -> place r2 +40               = placing
    """)


def test_no_order_from_a_position_that_lags() -> None:
    """The old position after a fill leads to no order; the position is looked up instead."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        position 0                                            = working
        fill r1 +100 x1                                       = filled
        row r1 filled 100
        position 0                                            = filled ~ position to be +100
        wait 500                -> read position
        position 0 read                                       = filled
        wait 2_000              -> read position
        position +100 read      -> held +100                  = idle
    """)


def test_funding_is_cash_and_no_position() -> None:
    """A funding row carries the whole position as its quantity; the books do not move."""
    teller = tell("target +100 -> held +100\nfunding +100 f1 = idle\nfunding +100 f1", position=100)
    assert teller.book.position == 100
    assert len([fact for fact in teller.facts if type(fact).__name__ == "CashBooked"]) == 1


def test_symbols_do_not_wait_for_one_another() -> None:
    """Doubt about one symbol leaves the other to its own target."""
    from reconciler.core.settings import Settings

    teller = tell(
        """
        target +100             -> place r1 +100              = placing
        lost r1                 -> read r1
        symbol ETHUSD
        target -20              -> place r2 -20               = placing
        ok r2                                                 = working
        fill r2 -20 x2                                        = filled
        row r2 filled 20
        position -20            -> held -20                   = idle
        symbol XBTUSD
        read r1 empty                                         = placing
        """,
        settings=Settings(symbols=("XBTUSD", "ETHUSD")),
    )
    assert teller.ledger.books["XBTUSD"].position == 0


def test_two_positions_that_differ_are_read_again_by_one_resync() -> None:
    """One resync serves every symbol, and replay from stored decisions ends in the same ledger."""
    from reconciler.core.settings import Settings

    teller = Teller(Settings(symbols=("XBTUSD", "ETHUSD")))
    said: list[str] = []
    for symbol in ("XBTUSD", "ETHUSD"):
        teller.symbol = symbol
        said += teller.do(["position", "+7"])
        teller.answer("readposition", "", "in_doubt")
    said += teller.wait(6_000)
    assert said.count("resync") == 1
    check_replay(teller)
