"""Stories of reaching a target, and of targets that change on the way."""

from __future__ import annotations

from tests.stories.teller import tell


def test_reaches_a_target_and_says_so() -> None:
    """A target is reached by one order, and held once every account of the position agrees."""
    tell("""
        target +100             -> place r1 +100              = placing
        ok r1                                                 = working
        fill r1 +100 x1                                       = filled
        row r1 filled 100                                     = filled ~ position to be +100
        position +100           -> held +100                  = idle
    """)


def test_a_reply_that_is_late_changes_nothing() -> None:
    """The stream may tell everything before the answer of the request comes."""
    tell("""
        target +100             -> place r1 +100
        fill r1 +100 x1                                       = filled
        position +100                                         = filled
        row r1 filled 100       -> held +100                  = idle
        ok r1 filled 100                                      = idle
    """)


def test_lost_answer_never_arrived() -> None:
    """A request that never got in is proven so, in four steps; then, after a while, another."""
    tell("""
        target +100             -> place r1 +100
        lost r1                 -> read r1                    = placing ~ answer about
        read r1 empty
        wait 2000               -> read r1
        read r1 empty
        wait 2000               -> read r1
        read r1 empty
        wait 2000               -> read r1
        read r1 empty
        wait 2000               -> cancel r1, read r1         = cancelling
        read r1 empty
        nothing r1              -> read r1
        read r1 empty
        wait 2000               -> read r1
        read r1 empty
        wait 2000               -> read r1
        read r1 empty
        wait 2000               -> read r1
        read r1 empty
        wait 2000               -> read r1
        read r1 empty
        wait 2000               -> read r1
        read r1 empty
        wait 2000               -> read r1
        read r1 empty                                         = idle ~ after a refusal
        wait 1000               -> place r2 +100
    """)
