"""Stories of what a person gives up: only what is lost, and nothing that still lives."""

from __future__ import annotations

from reconciler.core.events import Answered, Outcome
from tests.stories.teller import Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"
VANISHED = """
stream lost
wait 10_000
sync {position}         -> read r1                    = working
read r1 empty           -> cancel r1                  = cancelling
nothing r1              -> read r1
"""


def test_an_order_that_lives_is_not_given_up_by_a_resume() -> None:
    """Adopting closes what is over and short; what works goes on working."""
    tell(WORKING + "resume adopt = working\nfill r1 +100 x1 = filled")


def test_a_vanished_order_that_had_filled_in_part_is_settled_with_its_fills() -> None:
    """What it traded is in the books; the rest of it is gone, and placed anew."""
    tell(
        WORKING
        + "fill r1 +40 x1\nposition +40\n"
        + VANISHED.format(position="+40")
        + "resume adopt -> place r2 +60 = placing"
    )


def test_a_twin_is_given_up_with_the_order_that_vanished() -> None:
    """Neither is at the venue any more: nothing of either is left in the way, or in the books."""
    teller = tell(
        WORKING
        + """
        twin r1 new 0           -> cancel r1/b, cancel r1     = cancelling
        """
    )
    teller.do(["stream", "lost"])
    teller.now_us += 10_000_000
    teller.do(["sync", "0"])
    teller.do(["read", "r1", "empty"])
    assert teller.book.frozen_by == "vanished_order"
    assert len(teller.book.strays) == 1
    teller.do(["resume", "adopt"])
    assert teller.book.strays == []
    assert teller.book.worst_case()[0] == 0
    assert not [order for order in teller.book.own_orders() if order.cl_ord_id.count("/")]


def test_an_order_given_up_that_filled_completely_is_settled_as_filled() -> None:
    """All its contracts are booked; only its end was never seen."""
    tell(
        WORKING
        + """
        fill r1 +100 x1                                       = filled
        stream lost
        wait 10_000
        sync +100               -> read r1                    = filled
        read r1 empty           -> incident vanished_order    = filled
        resume adopt            -> closed 1                   = idle
        """
    )


def test_missing_fills_of_one_order_keep_the_symbol_frozen_when_those_of_another_are_found() -> (
    None
):
    """Two orders lack fills; the last of them ends the freeze."""
    teller = Teller()
    for words in ("target +100", "ok r1", "twin r1 new 0"):
        teller.do(words.split())
    teller.do(["row", "r1", "cancelled", "20"])
    teller.do(["twin", "r1", "cancelled", "10"])
    for _ in range(24):
        teller.wait(500)
        for request in list(teller.ledger.requests.values()):
            if request.type == "readorder":
                number = teller.last_request("readorder", request.cl_ord_id)
                teller.event(in_doubt(teller, number))
    assert teller.book.frozen_by == "missing_fills"
    teller.do(["twinfill", "r1", "+10", "x1"])
    assert teller.book.frozen_by == "missing_fills"
    teller.do(["fill", "r1", "+20", "x2"])
    assert (teller.book.frozen_by, teller.book.position) == ("", 30)


def in_doubt(teller: Teller, number: int) -> Answered:
    return Answered(at_us=teller.now_us, request_id=number, outcome=Outcome.IN_DOUBT)
