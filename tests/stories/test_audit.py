"""
Stories of the regular audit: half a minute after everything was read, everything is read again.

Nobody has to switch it on. It compares what the venue says of open orders and of the position with
the books, in case a row was lost on a stream that looks well.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from reconciler.core import decisions as d
from tests.stories.teller import Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"


@pytest.mark.parametrize(
    ("story", "resting"),
    [("", ()), ("target +100 -> place r1 +100\nok r1 = working", ("r1",)), ("halt", ())],
)
def test_an_audit_every_half_minute(story: str, resting: tuple[str, ...]) -> None:
    """With a target or without, halted or not; one is answered before the next is asked for."""
    teller = tell(story)
    asked = [
        (event.at_us, decision.reason)
        for event, decisions in _lived(teller, 120, resting)
        for decision in decisions
        if isinstance(decision, d.Resync)
    ]
    assert {reason for _, reason in asked} == {"regular audit"}
    assert len(asked) == 4
    assert {later - now for (now, _), (later, _) in pairwise(asked)} == {30_000_000}


def _lived(teller: Teller, seconds: int, resting: tuple[str, ...]) -> list[tuple[Any, Any]]:
    """The steps of some seconds; every audit is answered, and finds what was known."""
    begin = len(teller.history)
    for _ in range(seconds):
        teller.wait(1_000)
        if any(request.type == "resync" for request in teller.ledger.requests.values()):
            teller.synced(None, *resting)
            teller.do(["resync", "done"])
    return teller.history[begin:]


def test_a_fill_that_the_stream_lost_is_booked() -> None:
    """Order, execution and position rows were lost: the audit reads all three, and it goes on."""
    tell(
        WORKING
        + """
        wait 30_000             -> resync
        fill r1 +40 x1                                        = working
        position +40                                          = working
        sync +40 r1                                           = working
        fill r1 +60 x2                                        = filled
        """
    )


def test_an_order_that_rests_no_more_is_looked_up() -> None:
    """Its last row was lost. It is not among those that rest: what became of it is asked."""
    tell(
        WORKING
        + """
        wait 30_000             -> resync
        sync 0                  -> read r1                    = working
        read r1 cancelled 0                                   = idle ~ a while after
        """
    )


def test_an_order_that_rests_and_was_thought_over_freezes_the_account() -> None:
    """Our books say that it is gone, the venue's say that it may trade: nobody places anything."""
    teller = tell(
        WORKING
        + """
        halt                    -> cancel r1                  = cancelling
        cancelled r1 0                                        = idle
        resume                  -> place r2 +100              = placing
        ok r2                                                 = working
        wait 30_000             -> resync
        row r1 new 0            -> read r1, cancel r1, cancel r2 = cancelling
        """
    )
    assert "zombie" in str(teller.ledger.incidents)


def test_a_position_that_nothing_explains_is_put_to_a_person() -> None:
    """What two readings of the venue say and no execution tells of: frozen, with both figures."""
    teller = tell(
        """
        target +100             -> held +100                  = idle
        wait 30_000             -> resync
        position +70            -> read position              = idle ~ position to be +100
        sync +70
        """,
        position=100,
    )
    teller.do(["resync", "done"])
    for _ in range(60):
        teller.wait(1_000)
        for request in list(teller.ledger.requests.values()):
            if request.type == "resync":
                teller.synced(70)
                teller.do(["resync", "done"])
            elif request.type == "readposition":
                teller.do(["position", "+70", "read"])
    assert "+100" in teller.book.frozen
    assert "the venue says 70" in teller.book.frozen
    assert not [x for x in teller.done if isinstance(x, d.PlaceOrder)]
