"""Stories of the first position: with which of the venue's rows the books may begin."""

from __future__ import annotations

import msgspec
import pytest

from reconciler.core import events as e
from reconciler.core.settings import Settings
from tests.stories.teller import START_US, Teller, check_replay

SECOND = 1_000_000
BOTH = Settings(symbols=("XBTUSD", "ETHUSD"))


def newcomer() -> Teller:
    """A symbol was configured since the last sync; nothing is known of it."""
    teller = Teller()
    teller.event(e.Configured(at_us=teller.now_us, settings=BOTH))
    teller.settings, teller.symbol = BOTH, "ETHUSD"
    teller.do(["market", "open"])
    return teller


def look(teller: Teller, contracts: int, row_age_s: float = 0.0) -> list[str]:
    """A resync: what its look-up of the position said, and how old that row is."""
    row = teller.position_row(contracts, e.Source.READ)
    said = teller.event(
        msgspec.structs.replace(row, venue_us=teller.now_us - int(row_age_s * SECOND))
    )
    return said + teller.synced()


def trade(teller: Teller, contracts: int, name: str, at_us: int) -> None:
    """Somebody's execution arrives; it happened at *at_us* by the venue's clock."""
    teller.execution("", contracts, name, venue_us=at_us)


def begins(teller: Teller) -> tuple[int | None, int]:
    return teller.book.anchor, teller.book.position


def test_a_quiet_account_is_known_at_the_first_look() -> None:
    """A row that nothing has moved for long needs no second look."""
    teller = newcomer()
    look(teller, 40, row_age_s=60)
    assert begins(teller) == (40, 40)
    assert teller.book.confirmed


def test_a_row_of_now_is_believed_once_all_around_it_is_known() -> None:
    """What happened in the last moments may not have been told yet: the second look knows."""
    teller = newcomer()
    look(teller, 40)
    assert begins(teller) == (None, 0)
    assert teller.do(["target", "+50"]) == []
    assert teller.book.waiting_for == "the first position"
    assert teller.wait(3_400) == []
    assert "resync" in teller.wait(200)
    assert look(teller, 40) == ["place r1 +10"]
    assert begins(teller) == (40, 40)
    check_replay(teller)


def test_a_row_of_the_old_quantity_that_bears_the_time_of_the_trade_is_no_beginning() -> None:
    """
    BitMEX shows a position twice around a trade, first as it was; the execution may come later.

    Seeds 1035, 200429, 200787 and 200816: the trade was taken to be in a row that did not hold it.
    """
    teller = newcomer()
    trade_us = teller.now_us
    look(teller, 0)
    trade(teller, 100, "y1", trade_us)
    assert begins(teller) == (None, 0)
    teller.wait(10_000)
    look(teller, 100)
    assert begins(teller) == (None, 0)
    teller.wait(10_000)
    look(teller, 100)
    assert begins(teller) == (100, 100)
    assert teller.book.frozen == ""


def test_trades_before_and_after_the_first_position_are_told_apart() -> None:
    """Executions that it contains are part of it; younger ones are added, each once."""
    teller = newcomer()
    trade(teller, 10, "y1", teller.now_us)
    teller.wait(10_000)
    look(teller, 40)
    row_us = teller.now_us
    teller.wait(3_000)
    trade(teller, 5, "y2", teller.now_us)
    teller.wait(3_000)
    look(teller, 45)
    assert begins(teller) == (40, 45)
    trade(teller, 5, "y2", row_us + 3 * SECOND)
    trade(teller, 3, "y0", row_us - 5 * SECOND)
    assert begins(teller) == (40, 45)
    trade(teller, -7, "y3", row_us + 4 * SECOND)
    assert begins(teller) == (40, 38)


def test_a_position_that_was_closed_a_moment_ago_is_known_soon() -> None:
    """Its row bears the time of the last trade for ever; a later look-up shows that it holds it."""
    teller = newcomer()
    closed_us = teller.now_us
    trade(teller, -40, "y1", closed_us)
    for _ in range(3):
        look(teller, 0, row_age_s=(teller.now_us - closed_us) / SECOND)
        if teller.book.anchor is not None:
            break
        teller.wait(5_000)
    assert begins(teller) == (0, 0)
    assert teller.now_us - START_US <= 10 * SECOND


@pytest.mark.parametrize("every_ms", [700, 1_500, 2_900])
def test_an_account_that_others_trade_on_all_the_time_is_known_in_the_end(every_ms: int) -> None:
    """Who never pauses is asked for less and less of a pause; the books are the truth then."""
    teller = newcomer()
    said, truth = teller.do(["target", "+1"]), 0
    while teller.book.anchor is None and truth < 400:
        assert not any(word.startswith("place") for word in said)
        said = teller.wait(every_ms // 2)
        truth += 1
        trade(teller, 1, f"y{truth}", teller.now_us)
        said += teller.wait(every_ms - every_ms // 2)
        if "resync" in said:
            look(teller, truth)
    assert begins(teller)[0] is not None, f"not after {truth} trades"
    assert teller.book.position == truth
    assert not teller.book.early


def test_what_is_remembered_before_the_first_position_is_bounded() -> None:
    """Trades from before any row that could still be the beginning are forgotten."""
    teller = newcomer()
    for number in range(200):
        trade(teller, 1, f"y{number}", teller.now_us)
        teller.wait(500)
        look(teller, number + 1)
        if teller.book.anchor is not None:
            return
        assert len(teller.book.early) < 20


def test_without_a_target_it_is_looked_for_too() -> None:
    """People want to see what is held before they say what should be."""
    teller = newcomer()
    look(teller, 40)
    assert "resync" in teller.wait(3_600)
    look(teller, 40)
    assert begins(teller) == (40, 40)


def test_books_that_have_not_begun_differ_from_nothing() -> None:
    """Nothing is frozen, read or held for a symbol whose first position is still looked for."""
    teller = newcomer()
    teller.do(["target", "0"])
    for number in range(12):
        look(teller, number)
        trade(teller, 1, f"y{number}", teller.now_us)
        said = teller.wait(1_000)
        if teller.book.anchor is not None:
            break
        assert not teller.book.confirmed
        assert teller.book.frozen == ""
        assert not any(word.startswith(("held", "read", "place", "incident")) for word in said)


def test_a_restart_goes_on_looking() -> None:
    """The row that waits to be believed outlives a crash, with all that happened since."""
    teller = newcomer()
    look(teller, 40)
    teller.do(["stream", "lost"])
    teller.now_us += 60 * SECOND
    teller.do(["restart"])
    trade(teller, 5, "y1", teller.now_us - 30 * SECOND)
    look(teller, 45)
    assert begins(teller) == (40, 45)
    check_replay(teller)


def test_only_what_was_looked_up_is_a_beginning() -> None:
    """A row of the stream may be late: it is what the books are compared with, and no more."""
    teller = newcomer()
    row = teller.position_row(40, e.Source.READ)
    teller.event(msgspec.structs.replace(row, venue_us=teller.now_us - 60 * SECOND))
    teller.do(["position", "+70"])
    teller.synced()
    assert begins(teller) == (40, 40)
    assert not teller.book.confirmed


def test_a_look_up_is_of_its_own_resync() -> None:
    """The venue tells no row of what is not held: an earlier one says nothing about now."""
    teller = newcomer()
    look(teller, 40)
    trade(teller, -40, "y1", teller.now_us)
    teller.wait(10_000)
    teller.synced()
    assert begins(teller) == (0, 0)


def test_a_trade_that_came_early_is_kept_until_the_books_begin() -> None:
    """It was too near for the first row and is not for a later one: it counts, whoever looks."""
    teller = newcomer()
    trade(teller, 1, "y1", teller.now_us)
    look(teller, 1)
    teller.wait(10_000)
    look(teller, 1)
    teller.wait(700)
    trade(teller, 1, "y2", teller.now_us)
    look(teller, 2)
    assert begins(teller) == (None, 0)
    teller.wait(10_000)
    look(teller, 2)
    assert begins(teller) == (1, 2)


def test_the_look_for_a_beginning_is_no_repair_of_it() -> None:
    """Books that differ when they begin have their own resync before anything is frozen."""
    teller = newcomer()
    teller.do(["target", "+10"])
    look(teller, 0)
    assert "resync" in teller.wait(3_600)
    teller.event(teller.position_row(5, e.Source.READ))
    teller.do(["position", "+7"])
    teller.synced()
    assert begins(teller) == (0, 0)
    assert "resync" in teller.wait(6_000)
    assert teller.book.frozen == ""
