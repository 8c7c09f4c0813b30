"""Stories of what a person, or patience, must end because nothing else will."""

from __future__ import annotations

from reconciler.core.events import Configured
from reconciler.core.settings import Settings
from tests.stories.teller import tell


def test_fills_that_are_never_found_are_closed_short_by_a_person() -> None:
    """An order whose last fills can't be found is ended by a name and a reason, and by no timer."""
    tell("""
        target +100             -> place r1 +100
        ok r1                                                 = working
        row r1 filled 100                                     = filled
        wait 1000               -> read r1
        read r1 filled 100
        wait 4000               -> read r1
        read r1 filled 100
        position +100           -> read position              = filled
        position +100 read                                    = filled
        resume                                                = filled
        adjust +100                                           = filled
        resume adopt                                          = idle
    """)


def test_a_cancel_that_nobody_ever_answers_is_asked_again() -> None:
    """A request without an answer and without an error is in doubt after a minute."""
    teller = tell("""
        target +100             -> place r1 +100
        ok r1                                                 = working
        halt                    -> cancel r1                  = cancelling
    """)
    said = teller.wait(62_000)
    assert said.count("cancel r1") == 1


def test_less_than_a_lot_on_the_other_side_is_no_leg_of_its_own() -> None:
    """A remainder below a lot can't be closed first, so the next order crosses it."""
    settings = Settings(symbols=("XBTUSD",))
    tell(
        """
        target -300             -> place r1 -300
        ok r1                                                 = working
    """,
        settings=settings,
        lot=100,
        position=50,
    )


def test_an_order_that_vanished_is_given_up_by_a_person() -> None:
    """An order of which the venue lost all trace is ended by a name; the symbol goes on."""
    tell("""
        target +100             -> place r1 +100
        ok r1                                                 = working
        stream lost
        wait 10000
        sync 0                  -> read r1                    = working
        read r1 empty           -> cancel r1                  = cancelling
        nothing r1              -> read r1
        resume adopt            -> place r2 +100              = placing
    """)


def test_an_order_in_a_symbol_that_is_configured_no_more_is_cancelled() -> None:
    """What was left out of the configuration is not traded on, and leaves nothing resting."""
    teller = tell("target +100 -> place r1 +100\nok r1 = working")
    less = Configured(at_us=teller.now_us, settings=Settings(symbols=("ETHUSD",)))
    assert teller.event(less) == ["cancel r1"]
    assert teller.do(["cancelled", "r1", "0"]) == []
    assert teller.book.waiting_for == "the symbol to be configured again"


def test_a_target_that_was_held_and_left_is_not_held() -> None:
    """A position that was moved away has to be reached again before it counts as held."""
    teller = tell("""
        target +100             -> place r1 +100
        ok r1
        fill r1 +100 x1
        row r1 filled 100
        position +100           -> held +100                  = idle
        foreign +50 x2
    """)
    assert teller.book.target is not None
    assert not teller.book.target.held
