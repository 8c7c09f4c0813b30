"""Stories of patience: when it counts, when it begins anew, and whose clock it runs by."""

from __future__ import annotations

from reconciler.core import decisions as d
from reconciler.core.events import OrderRead
from reconciler.core.settings import Policy, Settings
from tests.stories.teller import SYMBOL, Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"
HOUR_US = 3_600_000_000


def audited(teller: Teller, seconds: int, *resting: str) -> list[str]:
    """Let time pass; every audit is answered, and finds what was known."""
    said: list[str] = []
    for _ in range(seconds):
        said += teller.wait(1_000)
        if any(request.type == "resync" for request in teller.ledger.requests.values()):
            teller.synced(None, *resting)
            teller.do(["resync", "done"])
    return [word for word in said if word != "resync"]


def test_time_in_which_the_market_was_closed_is_not_time_spent_trying() -> None:
    """Whoever could not trade begins with the gentle price when he can."""
    teller = tell("market closed\ntarget +100 = idle ~ market to open")
    assert audited(teller, 100) == []
    assert teller.do(["market", "open"]) == ["place r1 +100"]


def test_a_row_of_an_open_market_does_not_start_the_patience_anew() -> None:
    """Instruments are told all the time; an order that waited its minute goes to the touch."""
    teller = tell(WORKING)
    for _ in range(3):
        assert "cancel r1" not in audited(teller, 19, "r1")
        assert teller.do(["market", "open"]) == []
    assert "cancel r1" in audited(teller, 4, "r1")


def test_an_audit_does_not_start_the_patience_anew() -> None:
    """Everything was read back and is as it was: the minute goes on."""
    teller = tell(WORKING)
    assert "cancel r1" not in audited(teller, 59, "r1")
    assert "cancel r1" in audited(teller, 1, "r1")


def test_time_spent_blind_is_not_time_spent_trying() -> None:
    """After a long gap in the stream a passive order has its whole minute again."""
    teller = tell(WORKING + "stream lost = working")
    teller.wait(100_000)
    assert teller.synced(0, "r1") == []
    assert "cancel r1" not in audited(teller, 59, "r1")
    assert "cancel r1" in audited(teller, 1, "r1")


def test_another_target_has_its_own_patience() -> None:
    """What was not reached for one position in a minute is no reason to pay up for another."""
    for words in ("target +90", "target +150"):
        teller = tell(WORKING)
        audited(teller, 50, "r1")
        said = teller.do(words.split())
        if said == ["cancel r1"]:
            assert teller.do(["cancelled", "r1", "0"]) == ["place r2 +90"]
            teller.do(["ok", "r2"])
        assert not [word for word in audited(teller, 20, "r1", "r2") if "cancel" in word]


def test_a_policy_without_an_end_of_patience_never_crosses() -> None:
    """Joined for ten minutes, and still there."""
    settings = Settings(symbols=(SYMBOL,), policies={"passive": Policy(escalate_after_us=0)})
    teller = tell(WORKING, settings=settings)
    teller.ledger.clock_at_us = HOUR_US * 10**6  # its clock is measured all the time
    assert audited(teller, 600, "r1") == []
    assert teller.book.state == "working"


def test_an_order_priced_by_the_clock_of_another_run_is_repriced_by_this_one() -> None:
    """The clock was set back an hour: the order still follows the market."""
    teller = tell(WORKING)
    teller.now_us -= HOUR_US
    teller.start()
    teller.synced(0, "r1")
    teller.do(["price", "101.0", "101.5"])
    assert "amend r1 @ 101.0" in teller.wait(5_000)


def test_fills_missing_since_another_run_are_called_missing_in_this_one() -> None:
    """The clock was set back an hour: ten seconds are ten seconds."""
    teller = tell(WORKING + "row r1 filled 100 = filled")
    teller.now_us -= HOUR_US
    teller.start()
    teller.synced(0)
    for _ in range(22):
        teller.wait(500)
        if teller.order("r1").read_id:
            teller.do(["read", "r1", "failed"])
    assert teller.book.frozen_by == "missing_fills"


def test_an_order_on_its_way_is_not_looked_up_by_an_audit() -> None:
    """It is not among those that rest, because it was sent a moment ago."""
    tell("target +100 -> place r1 +100\nsync 0 = placing\nok r1 = working")


def test_a_sync_tells_whether_the_books_agree_without_a_new_row() -> None:
    """The position row that was known before the gap is the venue's still, if nothing else came."""
    teller = tell(WORKING + "target 0 -> cancel r1\ncancelled r1 0 = idle\nstream lost")
    assert not teller.book.confirmed
    assert teller.synced() == []
    assert teller.book.confirmed
    assert teller.book.differs_since_us is None


def test_a_sync_drops_peoples_orders_that_rest_no_more() -> None:
    """What ended unseen takes no room below the limit; what rests does."""
    teller = tell("rests f1 +80\nrests f2 -30\nrests f3 +7")
    assert teller.book.worst_case() == (-30, 87)
    teller.synced(0, "f2", "f3")
    assert teller.book.foreign_orders == {"f2": -30, "f3": 7}
    assert teller.book.worst_case() == (-30, 7)


def test_an_order_of_others_freezes_once() -> None:
    """A person has decided about it: its next row changes nothing."""
    settings = Settings(symbols=(SYMBOL,), foreign_orders="freeze")
    tell(
        """
        rests f1 +80            -> incident foreign_order
        resume                  -> closed 1
        rests f1 +40
        rests f2 +10            -> incident foreign_order
        """,
        settings=settings,
    )


def test_a_void_order_is_remembered_for_as_long_as_rows_may_speak_of_it() -> None:
    """After its quarantine a row of it is still that of a zombie, not of an unknown order."""
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
    audited(teller, 700)
    assert teller.book.worst_case() == (0, 0)
    assert "incident zombie_order" in teller.do(["row", "r1", "new"])


def test_a_look_up_that_answered_its_question_is_not_repeated() -> None:
    """An order that works as it should is asked about once."""
    teller = tell(WORKING + "row r1 unknown 0 -> read r1\nread r1 new 0 = working")
    assert audited(teller, 40, "r1") == []


def test_fills_of_an_order_that_was_thought_to_have_none_are_looked_for_until_found() -> None:
    """Though the symbol is idle: the look-up is repeated, every two seconds at first."""
    tell(
        WORKING
        + """
        halt                    -> cancel r1                  = cancelling
        cancelled r1 0                                        = idle
        row r1 cancelled 40                                   = idle
        wait 1_000              -> read r1
        read r1 cancelled 40                                  = idle
        wait 1_999
        wait 1                  -> read r1
        """
    )


def test_the_end_of_a_filled_order_is_looked_for_until_it_is_seen() -> None:
    """Its last contract is booked; reads may lag behind that."""
    tell(
        WORKING
        + """
        fill r1 +100 x1                                       = filled
        wait 1_000              -> read position, read r1
        read r1 new 0                                         = filled
        wait 1_999
        wait 1                  -> read r1
        read r1 filled 100                                    = filled
        """
    )


def test_a_look_up_that_found_only_fills_found_something() -> None:
    """An order whose row is late and whose executions are there has not vanished."""
    teller = tell(WORKING + "wait 3_000\nrow r1 unknown 0 -> read r1")
    read = teller.last_request("readorder")
    name = teller.order("r1").cl_ord_id
    teller.do(["fill", "r1", "+40", "x1"])
    found = OrderRead(at_us=teller.now_us, request_id=read, cl_ord_id=name, orders=0, executions=1)
    assert teller.event(found) == []
    assert teller.book.frozen == ""


def test_a_switch_that_was_taken_off_is_not_armed() -> None:
    """Its answer is newer than any, and says that nothing will be cancelled for us."""
    teller = Teller(Settings(symbols=(SYMBOL,), dead_man_us=60_000_000))
    teller.do(["armed", "60000"])
    teller.do(["armed", "0"])
    assert teller.do(["target", "+100"]) == []
    assert "dead man" in teller.book.waiting_for


def test_a_replaced_target_is_closed_by_name() -> None:
    """Whoever set it can see what became of it; the first one replaces nothing."""
    teller = Teller()
    teller.do(["target", "+100"])
    assert not [fact for fact in teller.facts if isinstance(fact, d.TargetClosed)]
    teller.do(["target", "+50"])
    closed = [fact for fact in teller.facts if isinstance(fact, d.TargetClosed)]
    assert [(fact.version, fact.outcome) for fact in closed] == [(1, "replaced")]


def test_a_target_without_a_key_leaves_none_behind() -> None:
    """Nothing is nobody's key."""
    teller = Teller()
    teller.do(["target", "+100"])
    assert teller.book.keys == {}


def test_a_resume_leaves_agreeing_books_agreeing() -> None:
    """No difference is looked for where there is none."""
    teller = tell("halt\nresume")
    assert teller.book.differs_since_us is None


def test_a_resync_that_was_done_is_not_asked_for_again_before_its_rows() -> None:
    """Its answer and its rows are two events: between them nothing more is wanted."""
    teller = Teller()
    assert teller.wait(30_000) == ["resync"]
    assert teller.do(["resync", "done"]) == []
    assert teller.wait(6_000) == []


def test_the_same_target_again_does_not_end_the_wait_after_a_refusal() -> None:
    """A strategy that repeats itself every second makes no storm at a venue that refuses."""
    teller = Teller()
    teller.target(100, key="k0")
    for number in range(1, 120):
        if teller.book.state == "placing":
            teller.answer("placeorder", teller.names[teller.book.live], "refused")
        teller.wait(1_000)
        teller.target(100, key=f"k{number}")
    assert len(teller.names) <= 8
    assert "refused XBTUSD" in teller.ledger.incidents


def test_another_target_ends_the_wait_after_a_refusal() -> None:
    """What was refused is not wanted any more: within a second the new target is tried."""
    for words in ("target +60", "target +100 urgent"):
        teller = Teller()
        teller.target(100)
        for _ in range(20):
            if teller.book.state == "placing":
                teller.answer("placeorder", teller.names[teller.book.live], "refused")
            teller.wait(1_000)
        assert teller.book.refused_until_us > teller.now_us + 2_000_000
        teller.do(words.split())
        assert [said for said in teller.wait(1_000) if said.startswith("place")]
        assert "refused XBTUSD" not in teller.ledger.incidents


REFUSED = """
target 0                -> place r1 -100 reduce
refused r1
wait 1_000              -> place r2 -100 reduce
refused r2
wait 2_000              -> place r3 -100 reduce
refused r3              -> incident refused
"""


def test_refusals_are_over_when_others_bring_the_position_to_the_target() -> None:
    """There is nothing left to ask for: no alarm stays on for what nobody wants any more."""
    teller = tell(
        REFUSED
        + """
        foreign -100 x1
        position 0              -> closed 1, held +0            = idle
        """,
        position=100,
    )
    assert teller.book.refusals == 0


def test_refusals_are_over_also_where_the_venue_itself_closed_the_position() -> None:
    """It had nothing to reduce: the liquidation's row came late. That one waits for a person."""
    teller = tell(
        REFUSED
        + """
        liquidation -100 x1     -> incident liquidation
        position 0              -> closed 1, held +0            = idle ~ frozen: liquidation
        """,
        position=100,
    )
    assert list(teller.ledger.incidents) == ["liquidation XBTUSD"]


def test_refusals_are_explained_by_a_market_that_turns_out_to_be_closed() -> None:
    """Its row came late, or was lost: no alarm is left, and it opens without a long wait."""
    tell("""
        target +100             -> place r1 +100
        refused r1
        wait 1_000              -> place r2 +100
        refused r2
        wait 2_000              -> place r3 +100
        refused r3              -> incident refused
        market closed           -> closed 1          = idle ~ market to open
        wait 1_000
        market open             -> place r4 +100
        refused r4
        market open
        wait 999
        wait 1                  -> place r5 +100     # a row of the same is no news
        """)


def test_refusals_are_over_with_the_target_that_was_refused() -> None:
    """Nobody wants it any more; and the flat position that follows it is tried within a second."""
    for then in ("hold", "flatten", "freeze"):
        teller = Teller(position=100)
        teller.do(["target", "+300", "for", "20_000", then])
        while teller.book.target and teller.book.target.contracts:
            if teller.book.state == "placing":
                teller.answer("placeorder", teller.names[teller.book.live], "refused")
            said = teller.wait(1_000)
        said += teller.wait(1_000)
        assert "refused XBTUSD" not in teller.ledger.incidents
        assert any(word.endswith("-100 reduce") for word in said) == (then == "flatten")


def test_a_flat_target_that_expires_into_flat_asks_for_nothing_new() -> None:
    """What was refused is what is asked for still: the wait between two tries goes on growing."""
    teller = Teller(position=100)
    teller.do(["target", "0", "for", "20_000", "flatten"])
    while teller.book.target is not None and teller.book.target.expires_us is not None:
        if teller.book.state == "placing":
            teller.answer("placeorder", teller.names[teller.book.live], "refused")
        teller.wait(1_000)
    assert teller.book.refusals >= 3
    assert "refused XBTUSD" in teller.ledger.incidents
