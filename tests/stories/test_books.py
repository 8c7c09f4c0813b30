"""Stories of the books: which rows move them, which are too late to, and what is only cash."""

from __future__ import annotations

import msgspec

from reconciler.core import decisions as d
from reconciler.core.events import Answered, Configured, MarginSeen, OrderRead, Outcome
from reconciler.core.settings import Settings
from tests.stories.teller import START_US, Teller, check_replay, tell

HOUR_US = 3_600_000_000


def fills(teller: Teller) -> list[d.FillBooked]:
    return [fact for fact in teller.facts if isinstance(fact, d.FillBooked)]


def test_a_trade_from_before_the_first_position_is_in_it_already() -> None:
    """Somebody's fill that comes in late is stored, and not added to what contained it."""
    teller = Teller(position=70)
    teller.execution("", 30, "y0", venue_us=START_US - 10_000_000)
    assert teller.book.position == 70
    assert [fill.exec_id for fill in fills(teller)] == ["y0"]
    teller.execution("", 30, "y1", venue_us=START_US + 1)
    assert teller.book.position == 100


def test_our_own_fill_counts_whatever_the_venues_clock_says() -> None:
    """No own order is in the first position, so each of its fills moves the books, and names it."""
    teller = tell("target +100 -> place r1 +100\nok r1 = working")
    teller.execution("r1", 40, "x1", venue_us=START_US - 5_000_000)
    assert teller.book.position == 40
    (fill,) = fills(teller)
    assert (fill.cl_ord_id, fill.target_version, fill.position) == (
        teller.order("r1").cl_ord_id,
        1,
        40,
    )
    teller.do(["foreign", "+5", "y1"])
    assert (fills(teller)[1].cl_ord_id, fills(teller)[1].target_version) == ("", 0)


def test_funding_is_booked_at_its_first_sight() -> None:
    """Cash once, at the first row, never at its repeat."""
    teller = Teller(position=100)
    for _ in range(2):
        teller.do(["funding", "+100", "f1"])
        cash = [fact for fact in teller.facts if isinstance(fact, d.CashBooked)]
        assert [fact.exec_id for fact in cash] == ["f1"]
    assert teller.book.position == 100


def an_hour_on(teller: Teller, position: int) -> None:
    """Two hours later, everything read back: what lies before the last of them is history."""
    teller.now_us += 2 * HOUR_US
    teller.do(["clock", "0"])
    teller.synced(position)


def test_a_trade_that_was_forgotten_is_not_counted_again() -> None:
    """A row from before the horizon is known, though its id is no longer kept."""
    teller = Teller()
    teller.execution("", 50, "y1", venue_us=START_US + 1)
    teller.do(["position", "+50"])
    an_hour_on(teller, 50)
    assert teller.book.foreign_execs == {}
    teller.execution("", 50, "y1", venue_us=START_US + 1)
    assert teller.book.position == 50
    teller.execution("", 50, "y2", venue_us=teller.now_us)
    assert teller.book.position == 100
    check_replay(teller)


def test_an_order_that_is_long_over_is_forgotten_and_its_old_rows_change_nothing() -> None:
    """Memory stays small, and history that is told again moves no book and freezes nobody."""
    teller = tell("""
        target +100             -> place r1 +100
        ok r1                                                 = working
        fill r1 +100 x1                                       = filled
        row r1 filled 100
        position +100                                         = idle
    """)
    name = teller.order("r1").cl_ord_id
    row = next(e for e, _ in teller.history if type(e).__name__ == "ExecutionSeen")
    order = [e for e, _ in teller.history if type(e).__name__ == "OrderSeen"][-1]
    an_hour_on(teller, 100)
    assert name not in teller.book.orders
    for event in (row, order):
        said = teller.event(msgspec.structs.replace(event, at_us=teller.now_us))
        assert said == []
    assert (teller.book.position, teller.book.frozen, teller.ledger.frozen) == (100, "", "")


def test_an_order_that_may_still_trade_is_never_forgotten() -> None:
    """However long it rests, and however far the horizon moves."""
    teller = tell("target +100 -> place r1 +100\nok r1 = working")
    an_hour_on(teller, 0)
    assert teller.order("r1").status == "working"


def test_answers_about_a_forgotten_order_change_nothing() -> None:
    """A machine that slept for hours gets answers to what nobody waits for any more."""
    teller = tell("""
        target +100             -> place r1 +100
        ok r1                                                 = working
        target 0                -> cancel r1                  = cancelling
        row r1 unknown 0        -> read r1
        row r1 cancelled 0                                    = idle
    """)
    cancel = teller.last_request("cancelorder")
    read = teller.last_request("readorder")
    an_hour_on(teller, 0)
    assert teller.book.orders == {}
    before = teller.book.position, teller.book.state, teller.ledger.frozen
    at_us = teller.now_us
    assert teller.event(Answered(at_us=at_us, request_id=cancel, outcome=Outcome.NOTHING)) == []
    nothing = OrderRead(at_us=at_us, request_id=read, cl_ord_id="", orders=0, executions=0)
    assert teller.event(nothing) == []
    assert (teller.book.position, teller.book.state, teller.ledger.frozen) == before
    assert str(cancel) not in teller.ledger.requests
    assert str(read) not in teller.ledger.requests


def test_a_first_position_that_was_overtaken_is_not_the_anchor() -> None:
    """A look-up may lag behind the stream: the books begin with it, and confirm it once more."""
    teller = with_a_new_symbol()
    teller.do(["position", "+30"])
    teller.now_us += 500_000
    assert "read position" in teller.synced(10)
    assert (teller.book.anchor, teller.book.position, teller.book.confirmed) == (10, 10, False)
    late = teller.now_us - 500_000
    teller.execution("", 20, "y0", venue_us=late)
    assert teller.do(["position", "+30"]) == []
    assert (teller.book.position, teller.book.confirmed) == (30, True)


def with_a_new_symbol() -> Teller:
    """A second symbol was configured since the last sync; nothing is known of it."""
    both = Settings(symbols=("XBTUSD", "ETHUSD"))
    teller = Teller()
    teller.event(Configured(at_us=teller.now_us, settings=both))
    teller.settings, teller.symbol = both, "ETHUSD"
    teller.do(["market", "open"])
    return teller


def test_no_row_at_the_first_sync_is_no_position() -> None:
    """The venue tells no row of a symbol that was never traded: the books begin at nothing."""
    teller = with_a_new_symbol()
    teller.now_us += 10_000_000
    teller.synced()
    assert (teller.book.anchor, teller.book.position, teller.book.confirmed) == (0, 0, False)
    assert teller.do(["position", "0"]) == []
    assert teller.do(["target", "+10"]) == ["place r1 +10"]


def test_a_row_of_nothing_is_no_agreement_before_the_books_have_begun() -> None:
    """Books that are empty because nobody looked agree with nobody: everything is read."""
    teller = with_a_new_symbol()
    assert teller.do(["position", "0"]) == []
    assert not teller.book.confirmed
    assert teller.do(["target", "+10"]) == ["resync"]


def test_books_that_begin_as_the_venue_says_differ_from_nothing() -> None:
    """The first position is its own confirmation."""
    teller = Teller(position=70)
    assert (teller.book.confirmed, teller.book.differs_since_us) == (True, None)


def test_position_rows_count_as_they_come() -> None:
    """The newest to arrive is the venue's word, though an earlier one bore a later time."""
    teller = tell(
        """
        target +100             -> place r1 +100
        ok r1
        fill r1 +100 x1                                       = filled
        row r1 filled 100                                     = filled
        """
    )
    row = teller.position_row(100)
    teller.event(msgspec.structs.replace(row, contracts=0, venue_us=row.venue_us + 5_000_000))
    assert teller.book.state == "filled"
    teller.event(row)
    assert teller.book.state == "idle"


def test_a_resync_for_one_symbol_finds_no_difference_in_another() -> None:
    """What agreed before it agrees still, and counts no repair."""
    teller = Teller(Settings(symbols=("XBTUSD", "ETHUSD")))
    teller.do(["position", "+7"])
    teller.answer("readposition", "", "in_doubt")
    assert teller.wait(6_000).count("resync") == 1
    differs, agrees = teller.ledger.books["XBTUSD"], teller.ledger.books["ETHUSD"]
    assert (differs.repairs, differs.differs_since_us is None) == (1, False)
    assert (agrees.repairs, agrees.differs_since_us, agrees.confirmed) == (0, None, True)


def test_what_the_account_is_worth_is_kept_by_currency() -> None:
    """The newest row of each currency, for people to see."""
    teller = Teller()
    row = MarginSeen(
        at_us=teller.now_us,
        currency="XBt",
        wallet_minor=5,
        margin_minor=4,
        available_minor=3,
        unrealised_minor=0,
    )
    assert teller.event(row) == []
    teller.event(msgspec.structs.replace(row, wallet_minor=7))
    teller.event(msgspec.structs.replace(row, currency="USDt"))
    assert {name: one.wallet_minor for name, one in teller.ledger.margins.items()} == {
        "XBt": 7,
        "USDt": 5,
    }


def test_the_newest_keys_are_remembered_and_the_oldest_are_not() -> None:
    """A thousand repeats are harmless; memory does not grow for ever."""
    teller = Teller()
    for number in range(1, 1_003):
        teller.target(number % 2 + 1, key=f"k{number}")
    assert len(teller.book.keys) == 1_000
    assert "k2" not in teller.book.keys
    assert teller.book.keys["k3"] == (3, 2, "")
    assert teller.book.keys["k1002"] == (1_002, 1, "")


def test_an_adjustment_that_explains_only_a_part_leaves_the_difference_open() -> None:
    """The books move by what was adopted; the rest is still looked for."""
    teller = tell(
        """
        target +100             -> held +100
        position +80            -> read position
        adjust -10              ~ the venue's position to be +90
        position +80 read
        position +90            -> place r1 +10
        """,
        position=100,
    )
    assert teller.book.differs_since_us is None
