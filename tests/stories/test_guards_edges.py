"""
Stories of limits of money at their edges: one that is off, changed, or can't be told; told once.

The world is that of `test_guards_money`.
"""

from __future__ import annotations

import msgspec
import pytest

from reconciler.core.decisions import WaitingFor
from reconciler.core.events import Configured, Quoted
from reconciler.core.settings import Settings
from tests.stories.teller import Teller, tell
from tests.stories.test_guards_money import DAY_US, HELD, of_account, of_symbol, to_midnight


def configured(teller: Teller, settings: Settings) -> list[str]:
    return teller.event(Configured(at_us=teller.now_us, settings=settings))


def marks_wanted(teller: Teller, milliseconds: int) -> int:
    """How often a price was asked for in so long a time."""
    before = len(teller.history)
    teller.wait(milliseconds)
    return sum(isinstance(event, Quoted) for event, _ in teller.history[before:])


# -- off, or of something that is not there --------------------------------------------------------


def test_a_reload_of_something_else_lets_go_of_no_distance_to_liquidation() -> None:
    """The mark that it was told by is still the newest: nobody forgets it in the middle of this."""
    settings = of_symbol(min_liquidation_bps=500)
    teller = tell("target +200\ndanger at 99 -> incident limit", settings=settings, position=100)
    more = of_symbol(min_liquidation_bps=500, max_order_contracts=500)
    assert configured(teller, more) == []
    assert "limits.min_liquidation_bps" in teller.book.waiting_for


def test_a_distance_to_liquidation_that_nobody_asks_for_stops_nobody() -> None:
    """Beyond it, even: the limit is off, and the venue will do what it does."""
    tell("danger at 101\ntarget +200 -> place r1 +100", settings=of_symbol(), position=100)
    settings = of_symbol(max_daily_loss_minor=10**9)
    tell("danger at 101\ntarget +200 -> place r1 +100", settings=settings, position=100)


def test_a_liquidation_price_of_no_position_is_none() -> None:
    """A row may carry the price of what was held before."""
    settings = of_symbol(min_liquidation_bps=500)
    tell("danger at 99\ntarget +10 -> place r1 +10", settings=settings)


def test_a_liquidation_price_before_any_mark_is_waited_with() -> None:
    """There is nothing to tell the distance from yet."""
    teller = Teller(of_symbol(min_liquidation_bps=500), position=100)
    teller.book.quote = teller.book.mark = None
    row = msgspec.structs.replace(teller.position_row(100), liquidation_price=teller.bid)
    assert teller.event(row) == ["incident limit"], "once the mark that it asks for has come"


def test_margin_below_nothing_stops_nobody_who_has_no_limit_of_it() -> None:
    """What is asked for is a limit of losses, and nothing is lost."""
    settings = of_account(max_daily_loss_minor=10**9)
    tell("margin 1000 -5\ntarget +10 -> place r1 +10", settings=settings)


def test_a_symbol_whose_contract_is_not_known_keeps_no_account_from_counting() -> None:
    """A row of something that was never configured is no reason to stop."""
    teller = Teller(of_account(max_daily_loss_minor=1_000_000))
    teller.event(teller.position_row(5, symbol="DOGEUSD"))
    teller.do(["margin", "1000000000", "900000000"])
    assert teller.do(["margin", "999000000", "900000000"]) == ["incident limit"]


def test_nobody_asks_for_the_price_of_what_is_no_longer_configured() -> None:
    """None would come, and it would be asked for without end."""
    teller = tell(HELD, settings=of_symbol(max_daily_loss_minor=10**9))
    assert marks_wanted(teller, 25_000) == 2
    limits = teller.settings.limits
    configured(teller, Settings(symbols=("ETHUSD",), limits=limits))
    assert marks_wanted(teller, 25_000) == 0


# -- changed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("least", "then"), [(18, ["closed 1"]), (30, [])])
def test_a_least_margin_that_was_changed_is_judged_anew(least: int, then: list[str]) -> None:
    """Lowered to what is there it lets go, without a tenth more; the words are the new one's."""
    teller = tell("margin 1000 190 -> incident limit", settings=of_account(min_margin_percent=20))
    assert configured(teller, of_account(min_margin_percent=least)) == then
    words = [hit.words for hit in teller.ledger.hits.values()]
    assert words == (
        [] if then else ["limits.account.min_margin_percent of XBt = 30: there is 19.0"]
    )


# -- told once -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        (of_account(max_drawdown_minor=1_000), ("9000 9000", "7000 7000", "6000 6000")),
        (of_account(min_margin_percent=20), ("1000 190", "1000 180", "1000 120")),
    ],
)
def test_a_limit_that_was_reached_is_told_once(settings: Settings, rows: tuple[str, ...]) -> None:
    """It gets worse with every row: what a symbol waits for says what it said when it was hit."""
    teller = Teller(settings)
    for row in rows[:2]:
        teller.do(["margin", *row.split()])
    teller.do(["target", "+10"])
    waits, before = teller.book.waiting_for, len(teller.facts)
    assert "limits." in waits
    teller.do(["margin", *rows[2].split()])
    assert teller.book.waiting_for == waits
    assert not any(isinstance(fact, WaitingFor) for fact in teller.facts[before:])


# -- the way out -----------------------------------------------------------------------------------


def test_patience_runs_for_less_risk_while_a_loss_holds_back_what_adds() -> None:
    """A minute without a price to be believed: then the way out is not asked for softly."""
    tell(
        HELD
        + """
        mark 99
        wait 10_000
        price 100.5 99.5
        wait 1000
        target 0                                              = idle ~ an uncrossed book
        pass 60_000                                           = idle ~ an uncrossed book
        price 99.0 99.5
        wait 1000               -> place r2 -100 @ 99.0 reduce now
        """,
        settings=of_symbol(max_daily_loss_minor=1_000_000),
    )


def test_a_loss_of_the_day_lets_go_at_midnight_also_of_who_holds_nothing() -> None:
    """No mark is asked for any more and nothing happens: the new day is a moment of its own."""
    teller = tell(
        HELD
        + """
        mark 99
        wait 10_000
        price 98.5 99.0
        wait 1000
        target 0                -> place r2 -100 reduce
        traded r2 100 x2                                      = idle
        target +10                                            = idle ~ limits.max_daily_loss_minor
        """,
        settings=of_symbol(max_daily_loss_minor=1_000_000),
    )
    assert teller.book.wake_us == (teller.now_us // DAY_US + 1) * DAY_US
    to_midnight(teller)
    assert teller.book.state == "placing"


def test_while_the_stream_is_lost_nothing_is_valued() -> None:
    """Whatever price came would be of before; what is held is valued again once it can be."""
    teller = tell(HELD + "wait 10_000\nstream lost", settings=of_symbol(max_daily_loss_minor=10**9))
    assert marks_wanted(teller, 25_000) == 0
    before = len(teller.history)
    teller.synced(100)
    assert any(isinstance(event, Quoted) for event, _ in teller.history[before:])


def test_books_that_move_where_no_limit_asks_cost_nothing_known() -> None:
    """Neither with a mark and nothing paid, nor with what was paid and no mark since."""
    careless = tell(HELD, settings=of_symbol())
    careless.do(["adjust", "-40"])
    assert (careless.book.position, careless.book.paid_minor) == (60, None)
    on, off = of_symbol(max_daily_loss_minor=10**9), of_symbol()
    teller = tell(HELD + "wait 10_000\nstream lost", settings=on)
    assert teller.book.paid_minor is not None
    configured(teller, off)
    configured(teller, on)
    assert teller.book.mark is None
    teller.do(["adjust", "-40"])
    assert (teller.book.position, teller.book.paid_minor) == (60, None)
