"""Stories of an order that rests: what may move it, and what must leave it alone."""

from __future__ import annotations

from reconciler.core.settings import Limits, Settings
from tests.stories.teller import SYMBOL, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"


def test_no_amend_to_a_price_that_no_order_might_have() -> None:
    """Outside the collar, on a crossed book, or of unknown worth: it stays where it is."""
    tell(WORKING + "price 101.0 101.5\nmark 110\nwait 20_000")
    tell(WORKING + "price 101.0 100.5\nmark 101.0\nwait 20_000")
    tell(WORKING + "price 101.0 101.5\nold price 60_001\nwait 20_000")
    tell(WORKING + "price - 101.5\nmark 101.0\nwait 20_000")


def test_no_amend_while_the_market_is_closed() -> None:
    """It follows the market again once that has opened."""
    tell(
        WORKING
        + """
        market closed
        price 101.0 101.5
        wait 20_000                                           = working
        market open             -> amend r1 @ 101.0           = working
        """
    )


def test_no_second_amend_before_the_first_has_an_answer() -> None:
    """Of two under way nobody could tell which price is the later one."""
    tell(
        WORKING
        + """
        price 101.0 101.5
        wait 5_000              -> amend r1 @ 101.0
        price 102.0 102.5
        wait 20_000                                           = working
        amended r1              -> amend r1 @ 102.0           = working
        """
    )


def test_an_order_that_shrinks_a_position_past_its_limit_stays() -> None:
    """Even where it ends the position would be too large: it is the way back."""
    limits = Limits(max_position_contracts=60, max_order_contracts=100)
    settings = Settings(symbols=(SYMBOL,), limits=limits)
    tell("target 0 -> place r1 -100 reduce\nok r1 = working", settings=settings, position=500)


def test_a_cancel_that_is_under_way_is_asked_for_again_though_the_order_is_wanted_again() -> None:
    """It may be gone already: what is wanted is placed once that is known, and not before."""
    tell("""
        target +100             -> place r1 +100
        ok r1                                                 = working
        target +50              -> cancel r1                  = cancelling
        target +100                                           = cancelling ~ the end of r
        cancel lost r1                                        = cancelling
        wait 1000               -> cancel r1                  = cancelling
        cancelled r1 0          -> place r2 +100              = placing
    """)


def test_an_order_that_came_back_goes_even_if_it_would_be_wanted() -> None:
    """Whoever resumes decides about the freeze; what was thought over is taken back."""
    tell("""
        target +100             -> place r1 +100
        refused r1                                            = idle
        row r1 new 0            -> cancel r1                  = cancelling
        cancel refused r1                                     = working
        resume
        wait 1000               -> cancel r1                  = cancelling
        cancelled r1 0          -> place r2 +100              = placing
    """)
