"""What must never be, though everything else was right: the run ends, or the symbol stops."""

from __future__ import annotations

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core.expect import expect
from reconciler.core.turn import Turn
from tests.stories.teller import Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"


def another(teller: Teller) -> d.PlaceOrder:
    """A decision to place one more order, as a planner without a gate would make it."""
    (first,) = [decision for decision in teller.done if isinstance(decision, d.PlaceOrder)]
    return msgspec.structs.replace(
        first, request_id=teller.ledger.next_request_id, cl_ord_id="rc-test-1-000099"
    )


@pytest.mark.parametrize("stray", [False, True])
def test_a_second_order_beside_one_that_is_alive_ends_the_run(stray: bool) -> None:
    """Whatever a planner decides, no second intent of a symbol is taken down, let alone sent."""
    teller = tell(WORKING)
    if stray:
        teller.book.strays.append(teller.book.live)
        teller.book.live = ""
    before = set(teller.book.orders)
    with pytest.raises(AssertionError, match=r"is (live|alive)"):
        expect(Turn(teller.ledger, teller.now_us), another(teller))
    assert set(teller.book.orders) == before


def test_more_booked_than_the_venue_counts_stops_the_symbol_while_the_order_works() -> None:
    """Executions whose sum is more than the newest total contradict it: nothing is added."""
    teller = tell(WORKING)
    teller.do(["fill", "r1", "+40", "x1"])
    said = teller.execution("r1", 20, "x2", order_filled=50)
    assert "incident overfill" in said
    assert (teller.book.position, teller.book.frozen_by) == (60, "overfill")
