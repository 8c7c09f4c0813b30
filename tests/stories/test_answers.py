"""Stories of answers: refused, rejected in a 200, lost with each truth behind it, and amended."""

from __future__ import annotations

from reconciler.core.settings import Policy, Settings
from tests.stories.teller import SYMBOL, Teller, tell

IN_DOUBT = """
target +100             -> place r1 +100
lost r1                 -> read r1                    = placing ~ answer about
"""


def test_a_refusal_is_tried_again_after_a_growing_wait() -> None:
    """A definite no changes nothing; each next try waits longer than the one before."""
    tell("""
        target +100             -> place r1 +100
        refused r1 overloaded                                 = idle ~ a while after
        wait 1_000              -> place r2 +100
        refused r2 overloaded                                 = idle
        wait 1_000                                            = idle
        wait 1_000              -> place r3 +100
        refused r3 overloaded   -> incident refused           = idle
        wait 3_000
        wait 1_000              -> place r4 +100
        ok r4                                                 = working
        fill r4 +100 x1                                       = filled
        row r4 filled 100       -> closed 1                   = filled
    """)


def test_a_venue_that_always_refuses_is_asked_six_times_a_minute_at_most() -> None:
    """Refusals make no storm: six orders in the first minute, one a minute later on."""
    teller = Teller()
    teller.target(100)
    assert 5 <= posts_while_refused(teller, 60_000) <= 6
    posts_while_refused(teller, 60_000)
    assert posts_while_refused(teller, 120_000) <= 2


def posts_while_refused(teller: Teller, milliseconds: int) -> int:
    """Refuse every order at once; say how many there were."""
    before, end_us = len(teller.names), teller.now_us + milliseconds * 1000
    while teller.now_us < end_us:
        if teller.book.state == "placing":
            teller.answer("placeorder", teller.names[teller.book.live], "refused")
        for number, request in list(teller.ledger.requests.items()):
            if request.type == "resync":
                teller.synced(0)
                teller.ledger.requests.pop(number)
        teller.wait(100)
    return len(teller.names) - before


def test_post_only_that_would_take_is_no_success_whatever_row_comes_first() -> None:
    """Cancelled in the insert counts as a refusal, also when its 'new' execution was faster."""
    tell("""
        target +100             -> place r1 +100
        ok r1 cancelled 0                                     = idle ~ a while after
        wait 1_000              -> place r2 +100
        row r2 new                                            = working
        row r2 cancelled 0                                    = idle ~ a while after
        wait 1_000
        wait 1_000              -> place r3 +100              = placing
    """)


def test_rejected_in_a_200_is_a_refusal() -> None:
    """A reply that says done, with a row that says rejected, is a no."""
    tell("""
        target +100             -> place r1 +100
        rejected r1                                           = idle ~ a while after
        row r1 rejected 0                                     = idle
        wait 1_000              -> place r2 +100
    """)


def test_refused_after_it_was_seen_is_looked_up() -> None:
    """An order that a row showed is not over because an answer says no; it is looked up."""
    tell("""
        target +100             -> place r1 +100
        row r1 new                                            = working
        refused r1              -> read r1                    = working
        read r1 rejected 0                                    = idle ~ a while after
    """)


def test_never_sent_is_no_doubt() -> None:
    """Proven that no byte left, the next order follows without any look-up."""
    tell("""
        target +100             -> place r1 +100
        notsent r1                                            = idle
        wait 1_000              -> place r2 +100
    """)


def test_retry_after_holds_for_the_account_whatever_is_wanted() -> None:
    """A wait that the venue asked for is not cut short by a new target, nor by a resume."""
    tell("""
        target +100             -> place r1 +100
        retry r1 10_000                                       = idle ~ request budget
        wait 2_000
        target +50
        resume                                                = idle ~ request budget
        wait 7_000
        wait 1_000              -> place r2 +50               = placing
    """)


def test_lost_answer_of_an_order_that_rests() -> None:
    """The look-up finds it; it is taken back, and never sent again."""
    tell(IN_DOUBT + "read r1 new 0 = working\nfill r1 +100 x1 = filled")


def test_lost_answer_of_an_order_that_filled() -> None:
    """The look-up finds it filled; the position is reached by the one order."""
    teller = tell(
        IN_DOUBT
        + """
        fill r1 +100 x1                                       = filled
        read r1 filled 100                                    = filled
        position +100           -> held +100                  = idle
        """
    )
    assert len(teller.names) == 1


def test_no_answer_at_all_is_doubt_after_three_seconds() -> None:
    """Silence is no answer: after the deadline the order is looked up."""
    tell("""
        target +100             -> place r1 +100
        wait 2_999                                            = placing
        wait 1                  -> read r1                    = placing ~ answer about
        ok r1                                                 = working
    """)


def test_a_duplicate_id_is_doubt_and_an_incident() -> None:
    """An id in use, for an order sent once, says that it may be there."""
    tell("""
        target +100             -> place r1 +100
        duplicate r1            -> read r1, incident duplicate_id, incident in_doubt
        read r1 new 0           -> closed 2                   = working
    """)


def test_doubt_ends_late_while_the_clock_is_not_known() -> None:
    """Expiry is venue time: without it nothing is proven, and nothing ticks for ever."""
    teller = Teller()
    for words in ("target +100", "lost r1", "read r1 empty"):
        teller.do(words.split())
    teller.ledger.clock_error_us = None
    before = len(teller.history)
    said = teller.wait(1_900)
    assert (said, len(teller.history)) == ([], before)


def test_follows_the_market_by_amending_the_price() -> None:
    """A resting order is moved when the market moved far enough, not more often than asked."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        price 101.0 101.5
        wait 4_999                                            = working
        wait 1                  -> amend r1 @ 101.0           = working
        amended r1                                            = working
        price 101.5 102.0
        wait 5_000                                            = working
    """)


AMENDED = """
target +100             -> place r1 +100
ok r1
price 101.0 101.5
wait 5_000              -> amend r1 @ 101.0
"""


def test_an_amend_whose_answer_is_lost_costs_the_order() -> None:
    """Nobody knows its price any more, so it is cancelled, and another placed."""
    tell(
        AMENDED
        + """
        amend lost r1           -> read r1, cancel r1         = cancelling
        cancelled r1 0          -> place r2 +100              = placing
        """
    )


def test_an_amend_that_was_refused_changes_nothing() -> None:
    """The order keeps its price, and is asked about again after a while."""
    teller = tell(AMENDED + "amend refused r1 = working\nwait 5_000 -> amend r1 @ 101.0")
    assert teller.order("r1").amends == 2


def test_an_amend_that_found_nothing_is_looked_up() -> None:
    """The order may just have filled."""
    tell(AMENDED + "amend nothing r1 -> read r1 = working\nread r1 filled 100 = filled")


def test_no_amend_is_repeated_before_the_look_up_says_what_became_of_the_order() -> None:
    """It is most likely over: another amend would find nothing either, and cost a request."""
    tell(
        AMENDED
        + """
        amend nothing r1        -> read r1                    = working
        wait 6_000                                            = working
        read r1 failed                                        # while nobody knows, nobody amends
        wait 1_999
        wait 1                  -> read r1
        read r1 new 0           -> amend r1 @ 101.0           = working
        """
    )


def test_an_amend_races_a_fill() -> None:
    """A fill during an amend is booked; the amend asked for no quantity, so none comes back."""
    tell(
        AMENDED
        + """
        fill r1 +100 x1                                       = filled
        row r1 filled 100
        amend nothing r1                                      = filled
        position +100           -> held +100                  = idle
        """
    )


def test_tries_inside_the_spread_and_does_not_outbid_itself() -> None:
    """After a while an order improves the best price by a tick; once it is best, it stays there."""
    policies = {"passive": Policy(escalate_after_us=10_000_000, escalate_to="inside")}
    tell(
        """
        price 100.0 102.0
        mark 100.2
        target +100             -> place r1 +100
        ok r1
        wait 10_000             -> amend r1 @ 100.5
        amended r1
        price 100.5 102.0
        mark 100.2
        wait 10_000
        """,
        settings=Settings(symbols=(SYMBOL,), policies=policies),
    )


def test_amends_leave_the_reserve_to_cancels() -> None:
    """While the budget is down to its reserve nothing is amended; cancels go."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        price 101.0 101.5
        throttled 20_000
        wait 19_000                                           = working
        target 0                -> cancel r1                  = cancelling
    """)


def test_tries_harder_when_joining_was_not_enough() -> None:
    """After a minute the resting order is taken away, and the rest is bought at once."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        fill r1 +40 x1
        position +40
        wait 59_999             -> resync
        wait 1                  -> cancel r1                  = cancelling
        cancelled r1 40         -> place r2 +60 @ 100.5 now   = placing
    """)


def test_an_urgent_target_takes_the_place_of_a_passive_order() -> None:
    """The same target, urgent, does not wait behind the order that joined the queue."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        target +100 urgent      -> cancel r1
        cancelled r1 0          -> place r2 +100 @ 100.5 now
    """)


def test_the_same_target_again_does_not_start_the_patience_anew() -> None:
    """A strategy that repeats itself every bar still gets there."""
    tell("""
        target +100             -> place r1 +100
        ok r1
        wait 29_000
        target +100
        wait 30_999             -> resync
        target +100
        wait 1                  -> cancel r1
    """)


def test_immediate_or_cancel_filled_in_part_goes_on_with_the_rest() -> None:
    """What was there is taken; the rest is tried again once the books agree."""
    tell("""
        target +100 urgent      -> place r1 +100 @ 100.5 now
        fill r1 +30 x1                                        = working
        ok r1 cancelled 30                                    = filled
        position +30            -> place r2 +70 @ 100.5 now   = placing
    """)


def test_an_id_is_never_used_twice() -> None:
    """Client order ids differ from run to run and from order to order."""
    teller = tell("""
        target +100             -> place r1 +100
        notsent r1
        wait 1_000              -> place r2 +100
        notsent r2
        restart
        stream lost
        sync 0                  -> place r3 +100
    """)
    assert len(set(teller.names)) == 3
