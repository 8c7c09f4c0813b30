"""Stories of rows: what each proves about an order of ours, early, late, contradicting or wrong."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.core.events import ExecutionKind
from tests.stories.teller import Teller, tell

PLACED = "target +100 -> place r1 +100\n"
WORKING = PLACED + "ok r1 = working\n"
IN_DOUBT = PLACED + "lost r1 -> read r1 = placing\n"


def order_state(teller: Teller, name: str) -> list[str]:
    """An execution row that moves no contracts: new, cancelled, replaced..."""
    return teller.execution(name, 0, "s1", type=ExecutionKind.ORDER_STATE, order_filled=0)


def test_an_execution_row_without_contracts_shows_that_an_order_exists() -> None:
    """It ends a doubt like any other row under our id, and books nothing."""
    teller = tell(IN_DOUBT)
    assert order_state(teller, "r1") == ["closed 1"]
    order = teller.order("r1")
    assert (teller.book.state, order.status, order.order_id) == (
        "working",
        "working",
        f"v-{order.cl_ord_id}",
    )
    assert (teller.book.position, order.booked, teller.ledger.incidents) == (0, 0, {})


@pytest.mark.parametrize(
    "over",
    [
        WORKING + "target 0 -> cancel r1\ncancelled r1 0 = idle",
        PLACED + "refused r1 = idle",
        WORKING + "row r1 filled 100 = filled",
    ],
    ids=["closed", "refused", "ended"],
)
def test_an_execution_row_without_contracts_wakes_no_order_that_is_over(over: str) -> None:
    """The venue tells the history of an order after its end."""
    teller = tell(over)
    state = teller.book.state
    assert order_state(teller, "r1") == []
    assert (teller.book.state, teller.ledger.frozen) == (state, "")


def test_an_execution_row_without_contracts_of_others_is_nothing() -> None:
    """People's orders have histories, too."""
    teller = Teller()
    assert order_state(teller, "") == []
    assert (teller.book.position, teller.book.frozen) == (0, "")


def test_an_order_that_was_refused_and_filled_is_a_zombie() -> None:
    """A no that was none: the fill is booked, the rest is cancelled, the account waits."""
    teller = tell(
        PLACED
        + """
        refused r1                                            = idle
        fill r1 +40 x1          -> cancel r1, incident zombie_order = cancelling
        cancelled r1 40                                       = filled
        position +40                                          = idle ~ frozen
        """
    )
    assert teller.book.position == 40


def test_an_order_that_was_given_up_and_is_filled_in_its_first_row_is_a_zombie() -> None:
    """Held for a minute, then filled at once: nobody saw it alive, and the account waits for us."""
    teller = tell("""
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
        target 0
        read r1 empty                                         = idle
    """)
    assert "incident zombie_order" in teller.do(["row", "r1", "filled", "100"])
    assert teller.book.waiting_for.startswith("a decision: frozen")
    teller.do(["fill", "r1", "+100", "x1"])
    teller.do(["position", "+100"])
    assert (teller.book.position, teller.book.state) == (100, "idle")
    assert teller.ledger.frozen


def test_an_execution_on_the_wrong_side_is_booked_and_stops_the_symbol() -> None:
    """The books follow what happened; nobody trades on before a person has looked."""
    teller = tell(WORKING)
    assert teller.do(["fill", "r1", "-40", "x1"]) == ["cancel r1", "incident wrong_side"]
    assert (teller.book.position, teller.book.frozen_by) == (-40, "wrong_side")


def test_a_fill_after_the_last_one_is_an_overfill() -> None:
    """More than the terminal row counted, on an order that is closed: booked, and frozen."""
    teller = tell(
        WORKING
        + """
        target +40              -> cancel r1                  = cancelling
        fill r1 +40 x1
        cancelled r1 40                                       = filled
        fill r1 +10 x2          -> incident overfill          = filled
        position +50                                          = idle ~ frozen
        """
    )
    assert teller.book.position == 50


def test_executions_that_say_more_than_their_order_are_an_overfill() -> None:
    """Contracts and counts that contradict one another are not settled by guessing."""
    teller = tell(WORKING)
    assert "incident overfill" in teller.execution("r1", 60, "x1", order_filled=40)
    teller.row("r1", "cancelled", 40)
    assert (teller.book.position, teller.book.frozen_by) == (60, "overfill")


def test_a_row_that_counts_more_than_its_order_has_is_impossible_and_stops_the_symbol() -> None:
    """After the last contract there is no part fill; the table has no such way."""
    teller = tell(WORKING + "fill r1 +100 x1 = filled")
    assert "incident impossible" in teller.do(["row", "r1", "partly_filled", "120"])
    assert teller.book.state == "filled"
    assert "filled allows no part_fill" in teller.book.frozen


def test_an_order_that_ends_cancelled_with_all_its_contracts_is_filled() -> None:
    """The last contract came before the word about the end."""
    tell(
        WORKING
        + """
        fill r1 +100 x1                                       = filled
        row r1 cancelled 100                                  = filled
        position +100           -> held +100                  = idle
        """
    )


def test_a_later_count_of_an_order_that_ended_is_believed() -> None:
    """A terminal row may be overtaken by one that counts more; each fill is waited for."""
    tell(
        WORKING
        + """
        target +40              -> cancel r1                  = cancelling
        cancelled r1 20                                       = filled ~ 20 fills of
        row r1 cancelled 30                                   = filled ~ 30 fills of
        fill r1 +20 x1                                        = filled ~ 10 fills of
        fill r1 +10 x2                                        = filled ~ position to be +30
        row r1 cancelled 40                                   = filled ~ 10 fills of
        fill r1 +10 x3                                        = filled ~ position to be +40
        position +40            -> held +40                   = idle
        """
    )


def test_an_order_that_comes_back_beside_another_is_cancelled_as_well() -> None:
    """Two are alive: both go, and the account waits for a person."""
    tell(
        WORKING
        + """
        target -50              -> cancel r1
        cancelled r1 0          -> place r2 -50
        ok r2                                                 = working
        wait 1_000
        row r1 new 0            -> read r1, cancel r1, cancel r2, incident zombie_order
        row r1 cancelled 0
        cancelled r2 0                                        = idle ~ frozen
        """
    )


def test_a_row_that_is_older_than_the_end_wakes_nobody() -> None:
    """What lived before it ended is history."""
    tell(
        WORKING + "target 0 -> cancel r1\ncancelled r1 0 -> held +0 = idle\nold row r1 new 0 = idle"
    )


def test_an_order_whose_price_somebody_changed_rests_where_it_is_shown() -> None:
    """The venue's row says the price; the next reprice starts from there."""
    teller = tell(WORKING)
    assert teller.row("r1", "new", 0, price=Decimal("98.5")) == []
    assert teller.order("r1").price == Decimal("98.5")
    assert teller.wait(5_000) == ["amend r1 @ 100.0"]
    assert teller.row("r1", "new", 0, price=Decimal("98.5")) == []  # from before the amend
    assert teller.order("r1").price == Decimal("100.0")
    teller.answer("amendorder", "r1", "done")
    teller.row("r1", "new", 0, price=None)
    assert teller.order("r1").price == Decimal("100.0")


def test_a_late_row_does_not_put_an_old_price_back() -> None:
    """A row from before the amend, come after its answer, is stale by the venue's time."""
    teller = tell(
        WORKING + "price 101.0 101.5\nwait 5_000 -> amend r1 @ 101.0\namended r1 = working"
    )
    early_us = teller.now_us - 6_000_000
    assert teller.row("r1", "new", 0, price=Decimal("100.0"), venue_us=early_us) == []
    assert teller.order("r1").price == Decimal("101.0")


def test_a_look_up_after_a_lost_cancel_that_shows_it_alive_keeps_it() -> None:
    """The cancel did nothing: the order works on, and is cancelled anew."""
    tell(
        WORKING
        + """
        halt                    -> cancel r1                  = cancelling
        cancel lost r1                                        = cancelling
        wait 500
        row r1 unknown 0        -> read r1                    = cancelling
        read r1 new 0                                         = working
        wait 500                -> cancel r1                  = cancelling
        """
    )


def test_a_look_up_from_before_the_cancel_does_not_keep_an_order() -> None:
    """It shows what was, not what the cancel left."""
    tell(
        WORKING
        + """
        row r1 unknown 0        -> read r1                    = working
        wait 100
        halt                    -> cancel r1                  = cancelling
        cancel lost r1                                        = cancelling
        read r1 new 0                                         = cancelling
        """
    )


def test_an_answer_that_says_no_about_an_order_that_is_over_changes_nothing() -> None:
    """Its rows have said more."""
    tell(
        PLACED
        + """
        row r1 filled 100                                     = filled
        refused r1                                            = filled
        wait 1_000              -> read r1
        fill r1 +100 x1
        position +100                                         = idle
        """
    )


def test_a_refused_cancel_of_an_order_in_doubt_proves_nothing() -> None:
    """The doubt goes on, the state stays, and the barrier is asked for again."""
    tell(
        IN_DOUBT
        + """
        read r1 empty
        wait 9_000              -> read r1, cancel r1         = cancelling
        cancel refused r1                                     = cancelling ~ answer about
        read r1 empty
        wait 1_000              -> cancel r1                  = cancelling
        """
    )


def test_a_reduce_only_order_that_was_lowered_is_not_raised_by_a_late_row() -> None:
    """Of two lowered sizes the smaller one is the later one."""
    teller = tell("target 0 -> place r1 -100 reduce\nok r1", position=100)
    assert teller.row("r1", "new", 0, contracts=-60) == []
    assert teller.row("r1", "new", 0, contracts=-80) == []
    assert (teller.order("r1").contracts, teller.ledger.frozen) == (-60, "")


@pytest.mark.parametrize("shown", [+40, -140], ids=["reversed", "raised"])
def test_a_reduce_only_order_is_changed_when_it_is_not_smaller(shown: int) -> None:
    """Lowered is the one thing that the venue may do to it."""
    teller = tell("target 0 -> place r1 -100 reduce\nok r1", position=100)
    assert "incident changed_order" in teller.row("r1", "new", 0, contracts=shown)


def test_a_reversed_order_stops_the_account_and_counts_as_it_was_asked_for() -> None:
    """The other side is no size of ours: exposure stays that of the order that we know."""
    teller = tell(WORKING)
    assert "incident changed_order" in teller.row("r1", "new", 0, contracts=-100)
    assert teller.book.worst_case() == (0, 100)


def test_executions_under_our_ids_without_an_intent_stop_the_account() -> None:
    """Another journal of this installation is at work: booked as foreign, and nothing is placed."""
    teller = Teller()
    said = teller.execution("", 30, "y1", cl_ord_id="rc-test-9-000001")
    assert "incident unknown_own_order" in said
    assert (teller.book.position, bool(teller.ledger.frozen)) == (30, True)


def test_a_trace_of_an_order_under_our_ids_without_an_intent_stops_the_account_once() -> None:
    """It came and went while nobody looked: the history of its states is all that tells of it."""
    teller = Teller()
    trace = {"type": ExecutionKind.ORDER_STATE, "order_filled": 0, "cl_ord_id": "rc-test-9-000001"}
    assert "incident unknown_own_order" in teller.execution("", 0, "y1", **trace)
    assert (teller.book.position, bool(teller.ledger.frozen)) == (0, True)
    teller.ledger.frozen = ""
    assert teller.execution("", 0, "y1", **trace) == []
    assert teller.ledger.frozen == ""


def test_executions_of_another_installation_are_told_and_stop_nobody() -> None:
    """They are foreign, with a warning that somebody else works this account."""
    teller = Teller()
    said = teller.execution("", 30, "y1", cl_ord_id="rc-zzzz-1-000001")
    assert said == ["incident sibling"]
    assert (teller.book.position, teller.ledger.frozen, teller.book.frozen) == (30, "", "")


def test_orders_that_can_trade_no_more_add_nothing_to_the_worst_case() -> None:
    """Refused, closed, or given up for longer than its quarantine: it counts for nothing."""
    teller = tell(PLACED + "refused r1 = idle")
    assert (teller.order("r1").unbooked, teller.book.worst_case()) == (0, (0, 0))
