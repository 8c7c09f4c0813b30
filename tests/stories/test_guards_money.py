"""
Stories of limits in money: what contracts are worth, what was lost, margin, and liquidation.

In the world of these stories a contract is a dollar, paid in XBt: at 100.0 it is worth a million.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from reconciler.core.events import Adjusted, Configured, ExecutionKind
from reconciler.core.limits import worth
from reconciler.core.limits.results import Tally
from reconciler.core.settings import AccountLimits, Limits, Settings
from tests.stories.teller import SYMBOL, Teller, tell

ONLY_OF_SYMBOLS = AccountLimits(max_daily_loss_minor=0, max_drawdown_minor=0)
DAY_US = 86_400_000_000
HELD = """
    target +100             -> place r1 +100
    ok r1 filled 100
    fill r1 +100 x1
    position +100                                         = idle
"""


def of_symbol(**limits: int) -> Settings:
    return Settings(symbols=(SYMBOL,), limits=Limits(**limits), account_limits=ONLY_OF_SYMBOLS)


def of_account(**limits: int) -> Settings:
    return Settings(symbols=(SYMBOL,), account_limits=AccountLimits(**limits))


def to_midnight(teller: Teller) -> None:
    """The next day of UTC, with a clock that is known and a stream that never broke."""
    teller.wait((DAY_US - teller.now_us % DAY_US) // 1000)
    teller.do(["clock", "0"])


# -- what contracts are worth ----------------------------------------------------------------------


def test_an_order_is_cut_to_its_notional() -> None:
    """Worth a million each: of a hundred, thirty fit."""
    tell(
        "target +100 -> place r1 +30",
        settings=of_symbol(max_order_notional_minor=30_999_999),
    )


def test_an_order_to_sell_is_cut_to_its_notional() -> None:
    """At 100.5 they are worth 995,024.88 each: thirty-one fit, and they are still sold."""
    tell(
        "target -100 -> place r1 -31",
        settings=of_symbol(max_order_notional_minor=30_999_999),
    )


def test_no_order_where_not_even_a_lot_fits() -> None:
    """It waits, names the rule, and asks for no more than a price in five seconds."""
    teller = tell(
        "target +100 = idle ~ limits.max_order_notional_minor = 999999: none of +100 fits",
        settings=of_symbol(max_order_notional_minor=999_999),
    )
    before = len(teller.history)
    assert teller.wait(10_000) == []
    assert len(teller.history) - before == 4  # a tick and a quote each


def test_the_worst_case_of_the_position_is_held_to_its_notional() -> None:
    """At the mark of 100.2 a contract is worth 998,003.99…: a hundred, and no more."""
    tell(
        """
        target +200             -> place r1 +100
        ok r1 filled 100
        fill r1 +100 x1
        position +100                    = idle ~ room below limits.max_position_notional_minor
        """,
        settings=of_symbol(max_position_notional_minor=99_800_400),
    )


def test_what_a_person_may_come_to_hold_counts_in_the_notional() -> None:
    """His order may fill beside ours."""
    tell(
        "rests f1 +60\ntarget +100 -> place r1 +40",
        settings=of_symbol(max_position_notional_minor=99_800_400),
    )


def test_what_a_person_may_come_to_sell_counts_below_zero_and_nowhere_else() -> None:
    """The worst case has two ends: an order is held to that of its own side."""
    settings = of_symbol(max_position_notional_minor=99_800_400)
    tell("rests f1 -60\ntarget -100 -> place r1 -40", settings=settings)
    tell("rests f1 +60\ntarget -100 -> place r1 -100", settings=settings)


def test_a_position_past_its_notional_may_always_shrink() -> None:
    """No limit of money stands in the way of less risk, not even of an order over its notional."""
    tell(
        "target 0 -> place r1 -500 reduce",
        settings=of_symbol(max_position_notional_minor=1, max_order_notional_minor=1),
        position=500,
    )


def test_an_amend_may_not_lift_an_order_over_its_notional() -> None:
    """An inverse contract is worth more at a lower price: it stays where it is."""
    teller = tell(
        "target -100 -> place r1 -100\nok r1\nprice 99 99.5",
        settings=of_symbol(max_order_notional_minor=100_000_000),
    )
    assert [word for word in teller.wait(15_000) if word.startswith("amend")] == []
    free = tell("target -100 -> place r1 -100\nok r1\nprice 99 99.5")
    assert "amend r1 @ 99.5" in free.wait(15_000)


def test_an_instrument_without_a_multiplier_is_worth_nothing_known() -> None:
    """What can't be computed is a no, whichever limit asks."""
    for limit in ("max_order_notional_minor", "max_position_notional_minor"):
        teller = Teller(of_symbol(**{limit: 10**12}))
        nothing = msgspec.structs.replace(teller.instrument(SYMBOL), multiplier=0)
        teller.event(nothing)
        assert teller.do(["target", "+100"]) == []
        assert f"limits.{limit}" in teller.book.waiting_for


@pytest.mark.parametrize(
    ("inverse", "multiplier", "price", "contracts", "notional", "cost"),
    [
        (True, -100_000_000, "61250.5", 300, 489_792, -489_792),  # recorded: per lot, to nearest
        (False, 1, "64231.5", -1_000, 64_231_500, -64_231_500),
        (False, 100, "2450.25", 7, 1_715_175, 1_715_175),
    ],
)
def test_contracts_are_worth_what_the_venue_says(
    inverse: bool, multiplier: int, price: str, contracts: int, notional: int, cost: int
) -> None:
    """Inverse, linear and quanto; a notional is rounded up, a cost to the nearest."""
    rules = msgspec.structs.replace(
        Teller().instrument(SYMBOL), inverse=inverse, multiplier=multiplier
    )
    assert worth.notional(rules, contracts, Decimal(price)) == notional
    assert worth.cost(rules, contracts, Decimal(price)) == cost
    assert worth.most_contracts(rules, notional, Decimal(price)) == abs(contracts)
    assert worth.most_contracts(rules, notional - 1, Decimal(price)) == abs(contracts) - 1


# -- what was lost ---------------------------------------------------------------------------------


def test_a_loss_of_the_day_stops_what_adds_risk_and_lets_go_at_midnight() -> None:
    """Held at 100, marked at 99: a million is gone. Less risk is allowed, more is not."""
    teller = tell(
        HELD
        + """
        mark 99
        wait 10_000             -> incident limit
        target +200                             = idle ~ limits.max_daily_loss_minor = 1000000
        mark 101                # it came back; the limit has been reached all the same
        wait 10_000                                           = idle ~ max_daily_loss
        price 100.0 100.5
        target +50              -> place r2 -50 reduce
        ok r2 filled 50
        fill r2 -50 x2
        position +50                                          = idle
        target +60                                            = idle ~ max_daily_loss
        """,
        settings=of_symbol(max_daily_loss_minor=1_000_000),
    )
    to_midnight(teller)
    assert teller.book.hits == {}
    assert "limit " + SYMBOL not in teller.ledger.incidents
    assert teller.book.state == "placing"


def test_an_order_that_would_add_risk_is_taken_back_when_the_day_is_lost() -> None:
    """It rests at a price, and the limit is reached by what is held already."""
    tell(
        HELD
        + """
        target +200             -> place r2 +100
        ok r2                                                 = working
        mark 98
        wait 10_000             -> cancel r2
        cancelled r2 0                                        = idle ~ max_daily_loss
        """,
        settings=of_symbol(max_daily_loss_minor=1_000_000),
    )


def test_an_order_that_reduces_stays_when_the_day_is_lost() -> None:
    """It is the way out."""
    tell(
        HELD
        + """
        target 0                -> place r2 -100 reduce
        ok r2                                                 = working
        mark 98
        wait 4_000                                            = working
        """,
        settings=of_symbol(max_daily_loss_minor=1_000_000),
    )


def test_somebody_who_resumes_starts_the_count_anew() -> None:
    """He has seen what was lost; from here on it may be lost once more."""
    teller = tell(
        HELD
        + """
        mark 99
        wait 10_000             -> incident limit
        resume                  -> closed 1
        price 99 99.5
        wait 1000
        target +101             -> place r2 +1
        """,
        settings=of_symbol(max_daily_loss_minor=1_000_000),
    )
    assert teller.book.result.loss_minor < 600_000


def test_who_resumes_one_symbol_lets_go_of_no_other_and_not_of_the_account() -> None:
    """He has looked at one. What the others and all together have lost is still to be looked at."""
    names = ("ETHUSD", SYMBOL)
    limits = Limits(max_drawdown_minor=1_000_000)
    teller = Teller(Settings(symbols=names, limits=limits))
    teller.do(["margin", "1000000000", "1000000000"])
    for number, teller.symbol in enumerate(names, 1):
        teller.do(["target", "+100"])
        teller.traded(f"r{number}", 100, f"x{number}")
    teller.do(["mark", "97"])
    teller.wait(10_000)
    ledger = teller.ledger
    assert all(ledger.book(name).hits for name in names)
    assert list(ledger.hits) == ["account XBt books max_drawdown_minor"]
    ledger.book("ETHUSD").futile_us = [teller.now_us]
    teller.do(["resume", SYMBOL])
    assert not ledger.book(SYMBOL).hits
    assert ledger.book("ETHUSD").hits
    assert ledger.book("ETHUSD").futile_us
    assert ledger.hits
    teller.do(["resume"])
    assert (ledger.hits, ledger.book("ETHUSD").hits, ledger.book("ETHUSD").futile_us) == (
        {},
        {},
        [],
    )


def test_a_limit_that_was_changed_is_judged_anew() -> None:
    """Who allows more loss by the configuration needs not resume as well."""
    settings = of_symbol(max_daily_loss_minor=1_000_000)
    teller = tell(HELD + "mark 99\nwait 10_000 -> incident limit", settings=settings)
    more = of_symbol(max_daily_loss_minor=9_000_000)
    assert teller.event(Configured(at_us=teller.now_us, settings=more)) == ["closed 1"]
    none = of_symbol()
    assert teller.event(Configured(at_us=teller.now_us, settings=settings)) == ["incident limit"]
    assert teller.event(Configured(at_us=teller.now_us, settings=none)) == ["closed 2"]


@pytest.mark.parametrize("whose", [of_symbol, of_account])
def test_a_limit_that_was_off_counts_from_when_it_is_on_again(
    whose: Callable[..., Settings],
) -> None:
    """What was lost while nobody asked for it is not counted; what is lost from now on is."""
    off, on = whose(max_daily_loss_minor=0), whose(max_daily_loss_minor=2_000_000)
    teller = tell("margin 900000000 900000000\n" + HELD.strip() + "\nwait 10_000", settings=on)
    teller.event(Configured(at_us=teller.now_us, settings=off))
    teller.do(["mark", "95"])
    teller.wait(30_000)
    teller.do(["margin", "894000000", "894000000"])
    teller.event(Configured(at_us=teller.now_us, settings=on))
    teller.wait(20_000)
    assert not teller.ledger.incidents
    assert teller.ledger.results or whose is of_symbol
    teller.do(["mark", "92"])
    assert "incident limit" in teller.wait(10_000)


@pytest.mark.parametrize("whose", [of_symbol, of_account])
def test_a_loss_of_before_a_limit_was_off_is_not_held_against_who_turns_it_on(
    whose: Callable[..., Settings],
) -> None:
    """Also until the first mark comes: a limit that strikes too early stays until midnight."""
    off, more, less = (whose(max_daily_loss_minor=most) for most in (0, 9_000_000, 500_000))
    story = "margin 900000000 900000000\n" + HELD.strip() + "\nmark 99\nwait 10_000"
    teller = tell(story, settings=more)
    teller.event(Configured(at_us=teller.now_us, settings=off))
    teller.wait(10_000)
    teller.event(Configured(at_us=teller.now_us, settings=less))
    teller.wait(10_000)
    assert not teller.ledger.incidents


@pytest.mark.parametrize("whose", [of_symbol, of_account])
def test_a_reload_forgets_nothing_of_what_was_lost(whose: Callable[..., Settings]) -> None:
    """A limit that was on and stays on, lowered below what is lost already, strikes."""
    more, less = (whose(max_daily_loss_minor=most) for most in (9_000_000, 500_000))
    story = "margin 900000000 900000000\n" + HELD.strip() + "\nmark 99\nwait 10_000"
    teller = tell(story, settings=more)
    assert "incident limit" in teller.event(Configured(at_us=teller.now_us, settings=less))


def test_what_is_held_of_a_symbol_that_was_taken_out_keeps_no_limit_from_counting() -> None:
    """Nobody asks for its price any more: the others are counted without it."""
    teller = tell("margin 900000000 900000000", settings=of_account(max_daily_loss_minor=2_000_000))
    gone = teller.ledger.book("ETHUSD")
    gone.instrument, gone.position = teller.instrument("ETHUSD"), 5
    teller.ledger.results.clear()
    teller.do(["margin", "900000000", "900000000"])
    assert sorted(teller.ledger.results) == ["XBt books", "XBt margin"]


def test_a_drawdown_counts_from_the_best_and_lets_go_only_by_hand() -> None:
    """Up two millions, down one and a half: no loss of the day, and a drawdown, beyond midnight."""
    teller = tell(
        HELD
        + """
        mark 102.2
        wait 10_000
        mark 100.5
        wait 10_000             -> incident limit
        target +200                                           = idle ~ limits.max_drawdown_minor
        mark 102                # nearly all of it came back: no matter
        wait 10_000             -> resync                     = idle ~ limits.max_drawdown_minor
        """,
        settings=of_symbol(max_drawdown_minor=1_500_000),
    )
    to_midnight(teller)
    assert "max_drawdown" in teller.book.waiting_for
    teller.do(["mark", "100.2"])
    teller.wait(10_000)
    assert any(word.startswith("place r2 +100") for word in teller.do(["resume"]))


def test_fees_and_funding_are_lost_like_anything_else() -> None:
    """A position that never moves loses what is paid for holding it."""
    teller = tell(HELD + "mark 100\nwait 10_000", settings=of_symbol(max_daily_loss_minor=10**9))
    before = teller.book.result.loss_minor
    teller.execution("", 100, "f1", type=ExecutionKind.FUNDING, fee_minor=777)
    assert teller.book.result.loss_minor == before + 777
    teller.execution("", -10, "y1", fee_minor=333)
    teller.execution("", 10, "y2", fee_minor=222)
    assert teller.book.result.loss_minor == before + 777 + 333 + 222


def test_what_was_held_before_counts_from_its_first_mark() -> None:
    """Nobody knows what it cost: the loss begins with us."""
    teller = Teller(of_symbol(max_daily_loss_minor=1_000_000), position=100)
    teller.do(["target", "+100"])
    assert teller.wait(10_000) == []
    assert teller.book.result == Tally(
        day=teller.now_us // DAY_US, now_minor=0, began_minor=0, best_minor=0
    )
    teller.do(["mark", "99"])
    assert teller.wait(10_000) == ["incident limit"]


def test_an_adjustment_gains_and_loses_nothing() -> None:
    """Contracts that were never traded are taken in at the mark."""
    teller = tell(HELD + "wait 10_000", settings=of_symbol(max_daily_loss_minor=10**9))
    before = teller.book.result.now_minor
    teller.do(["adjust", "-40"])
    assert abs(teller.book.result.now_minor - before) <= 1
    other = Teller(position=100)
    other.event(
        Adjusted(at_us=other.now_us, symbol=SYMBOL, contracts=7, by="story", reason="no mark yet")
    )
    assert other.book.paid_minor is None


def test_what_is_lost_while_nothing_runs_is_the_new_day_s() -> None:
    """A day begins with the last figure of the one before it."""
    tally = Tally()
    tally.note(DAY_US - 1, 100)
    tally.note(3 * DAY_US, 40)
    assert (tally.loss_minor, tally.drawdown_minor) == (60, 60)
    tally.note(3 * DAY_US + 1, 70)
    assert (tally.loss_minor, tally.drawdown_minor) == (30, 30)


def test_what_was_lost_the_day_before_is_not_lost_today() -> None:
    """The new day begins where the old one ended; how far below its best it is, is no day's."""
    tally = Tally()
    tally.note(1, 100)
    tally.note(2, 0)
    assert (tally.loss_minor, tally.drawdown_minor) == (100, 100)
    tally.note(DAY_US, -5)
    assert (tally.loss_minor, tally.drawdown_minor) == (5, 105)


def test_a_restart_forgets_no_loss() -> None:
    """What was lost before a crash is lost after it, on the same day."""
    teller = tell(
        HELD
        + """
        mark 99
        wait 10_000             -> incident limit
        restart
        sync +100
        target +200                                           = idle ~ max_daily_loss
        """,
        settings=of_symbol(max_daily_loss_minor=1_000_000),
    )
    assert teller.book.result.loss_minor > 1_000_000


def test_a_clock_that_is_set_back_over_midnight_brings_no_day_back() -> None:
    """Neither is a loss of this day forgotten, nor does the day before begin once more."""
    teller = tell(HELD, settings=of_symbol(max_daily_loss_minor=1_000_000))
    to_midnight(teller)
    teller.do(["mark", "99"])
    teller.wait(10_000)
    teller.now_us -= DAY_US // 2
    teller.start()
    teller.synced(100)
    teller.do(["target", "+200"])
    assert "max_daily_loss" in teller.book.waiting_for
    assert teller.book.result.loss_minor > 1_000_000


def test_a_loss_under_a_clock_that_was_set_back_counts_for_the_day_it_is_of() -> None:
    """
    The day had begun, the clock was set back behind its midnight, and there the loss was reached.

    Seed 3611006045: the clock was right again after another start, and that let go of it.
    """
    teller = tell(HELD, settings=of_symbol(max_daily_loss_minor=1_000_000))
    to_midnight(teller)

    def start_by(clock_us: int) -> None:
        teller.now_us += clock_us
        teller.start()
        teller.synced(100)
        teller.wait(10_000)

    start_by(-DAY_US // 2)
    teller.do(["mark", "99"])
    assert "incident limit" in teller.wait(10_000)
    teller.do(["price", "100.5", "101.5"])
    teller.wait(10_000)
    start_by(DAY_US // 2)
    teller.do(["target", "+200"])
    assert "max_daily_loss" in teller.book.waiting_for
    to_midnight(teller)
    assert teller.book.hits == {}
    assert teller.book.state == "placing"


# -- the account -----------------------------------------------------------------------------------


def test_without_its_balances_the_account_adds_no_risk() -> None:
    """A limit of the account that can't be told is a no; and balances of before a break are old."""
    tell(
        """
        target +10                                            = idle ~ a margin row
        margin 1000000000 900000000 -> place r1 +10
        ok r1 filled 10
        fill r1 +10 x1
        position +10                                          = idle
        stream lost
        sync +10
        target +20                                            = idle ~ a margin row
        target 0                -> place r2 -10 reduce
        """,
        settings=of_account(max_daily_loss_minor=1_000_000),
    )


def test_the_account_loses_what_its_balance_falls_by() -> None:
    """Whatever lost it: it counts for every symbol, is told once, and ends with the day."""
    teller = tell(
        """
        margin 1000000000 900000000
        margin 999000000 900000000 -> incident limit
        target +10                      = idle ~ account XBt margin lost 1000000
        margin 1000000000 900000000                           = idle ~ max_daily_loss
        """,
        settings=of_account(max_daily_loss_minor=1_000_000),
    )
    assert teller.book.wake_us == (teller.now_us // DAY_US + 1) * DAY_US
    to_midnight(teller)
    assert teller.ledger.hits == {}
    assert teller.book.state == "placing"


def test_a_deposit_hides_no_loss() -> None:
    """Of two figures the worse one counts: the balance, and what all symbols brought together."""
    tell(
        "margin 1000000000 900000000"
        + HELD
        + """
        margin 5000000000 4900000000
        mark 98.5
        wait 10_000             -> incident limit
        target +200                                           = idle ~ account XBt books lost
        """,
        settings=of_account(max_daily_loss_minor=1_000_000),
    )


def test_a_gain_in_one_currency_hides_no_loss_in_another() -> None:
    """A million of XBt is no million of USDt: each currency is counted by itself."""
    account = AccountLimits(max_drawdown_minor=1_000_000)
    settings = Settings(symbols=("ETHUSD", SYMBOL), account_limits=account)
    teller = Teller(settings, position=100)
    linear = {"inverse": False, "multiplier": 1_000_000, "settle_currency": "USDt"}
    teller.event(msgspec.structs.replace(teller.instrument("ETHUSD"), **linear))
    for currency in ("XBt", "USDt"):
        row = teller.margin_row(10**9, 10**9)
        teller.event(msgspec.structs.replace(row, currency=currency))
    for symbol, mark in (("ETHUSD", "101"), (SYMBOL, "99.4"), ("ETHUSD", "102"), (SYMBOL, "98.7")):
        assert not teller.ledger.hits
        teller.mark = Decimal(mark)
        teller.event(teller.quoted(symbol))
    assert teller.ledger.book("ETHUSD").result.now_minor > 100_000_000
    assert list(teller.ledger.hits) == ["account XBt books max_drawdown_minor"]


def test_when_the_account_has_lost_too_much_orders_of_every_symbol_are_taken_back() -> None:
    """At once, whichever symbol has lost it: the others are not left until they are looked at."""
    names = ("ETHUSD", SYMBOL)
    account = AccountLimits(max_drawdown_minor=1_000_000)
    teller = Teller(Settings(symbols=names, account_limits=account))
    teller.do(["margin", "1000000000", "1000000000"])
    teller.do(["target", "+100"])
    teller.traded("r1", 100, "x1")
    teller.symbol = "ETHUSD"
    teller.do(["target", "+100"])
    assert teller.do(["ok", "r2"]) == []
    teller.mark = Decimal(97)
    assert "cancel r2" in teller.event(teller.quoted(SYMBOL))


def test_a_withdrawal_counts_as_a_loss_until_somebody_resumes() -> None:
    """It can't be told from one."""
    tell(
        """
        margin 1000000000 900000000
        margin 500000000 400000000 -> incident limit
        target +10                                            = idle ~ account XBt margin
        resume                  -> closed 1, place r1 +10
        """,
        settings=of_account(max_drawdown_minor=1_000_000),
    )


def test_margin_that_runs_low_stops_what_adds_risk_until_there_is_some_room() -> None:
    """Below a fifth nothing is added, and a tenth more than that is needed to go on."""
    tell(
        """
        margin 1000 199         -> incident limit
        target +10              = idle ~ min_margin_percent of XBt = 20: there is 19.9
        margin 1000 219                                       = idle ~ min_margin_percent
        margin 1000 220         -> closed 1, place r1 +10
        ok r1
        margin 1000 10          -> cancel r1, incident limit
        """,
        settings=of_account(min_margin_percent=20),
    )


def test_an_account_with_nothing_has_no_margin_left() -> None:
    """A balance of zero, or below it, is no share of anything."""
    tell(
        """
        margin 0 0              -> incident limit
        target +10                                            = idle ~ min_margin_percent
        """,
        settings=of_account(min_margin_percent=20),
    )


def test_who_takes_a_limit_of_margin_away_need_not_wait() -> None:
    """Without the rule there is nothing to hold it."""
    teller = tell("margin 1000 1 -> incident limit", settings=of_account(min_margin_percent=20))
    other = of_account(min_margin_percent=0)
    assert teller.event(Configured(at_us=teller.now_us, settings=other)) == ["closed 1"]


# -- liquidation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("position", "near", "far"), [(100, "95.3", "94.5"), (-100, "105", "106")])
def test_who_is_near_liquidation_adds_nothing(position: int, near: str, far: str) -> None:
    """Five parts in a hundred of the mark are asked for, on whichever side the venue waits."""
    more, less = ("+200", "+50") if position > 0 else ("-200", "-50")
    side = "+" if position > 0 else "-"
    back = "-50" if position > 0 else "+50"
    settings = of_symbol(min_liquidation_bps=500)
    tell(
        f"""
        target {more}                                         = idle ~ a liquidation price
        danger at {near}        -> incident limit             = idle ~ limits.min_liquidation_bps
        target {less}           -> place r1 {back} reduce
        ok r1
        target {more}           -> cancel r1
        cancelled r1 0                                        = idle ~ min_liquidation
        danger at {far}         -> place r2 {side}100, closed 1
        """,
        settings=settings,
        position=position,
    )


def test_who_holds_nothing_is_near_no_liquidation() -> None:
    """There is no price to be near to."""
    tell("target +10 -> place r1 +10", settings=of_symbol(min_liquidation_bps=500))


# -- marks -----------------------------------------------------------------------------------------


def test_what_is_held_is_valued_every_ten_seconds_and_only_where_a_limit_asks() -> None:
    """A loss is seen while nothing is traded; and nobody's journal fills for nothing."""
    watched = tell(HELD, settings=of_symbol(max_daily_loss_minor=10**9))
    before = sum(type(event).__name__ == "Quoted" for event, _ in watched.history)
    watched.wait(25_000)
    assert sum(type(event).__name__ == "Quoted" for event, _ in watched.history) - before == 2
    careless = tell(HELD, settings=of_symbol())
    before = len(careless.history)
    careless.wait(25_000)
    assert len(careless.history) == before


def test_without_a_mark_the_last_one_counts() -> None:
    """A quote that lacks one values nothing anew, and makes nothing known unknown."""
    teller = tell(HELD + "wait 10_000", settings=of_symbol(max_daily_loss_minor=10**9))
    before = teller.book.result.now_minor
    teller.do(["mark", "-"])
    teller.wait(10_000)
    assert teller.book.result.now_minor == before


def test_room_for_more_than_is_wanted_cuts_nothing() -> None:
    """A limit that is far away changes no order; least of all does it make one larger."""
    for limit in ("max_position_notional_minor", "max_order_notional_minor"):
        tell("target +100 -> place r1 +100", settings=of_symbol(**{limit: 10**12}))


@pytest.mark.parametrize("limit", ["max_daily_loss_minor", "max_drawdown_minor"])
def test_what_is_held_of_an_instrument_without_a_multiplier_has_no_result(limit: str) -> None:
    """It can't be valued: less of it is allowed, more is not; the limit that asks is named."""
    teller = Teller(position=100)
    nothing = msgspec.structs.replace(teller.instrument(SYMBOL), multiplier=0)
    teller.event(nothing)
    settings = of_symbol(**{limit: 10**9})
    teller.event(Configured(at_us=teller.now_us, settings=settings))
    assert teller.do(["target", "+200"]) == []
    assert f"limits.{limit}: a mark to tell the result from" in teller.book.waiting_for
    assert teller.do(["target", "+50"]) == ["place r1 -50 reduce"]
    teller.do(["adjust", "-10"])
    assert teller.book.paid_minor is None


def test_an_adjustment_that_can_t_be_valued_makes_the_cost_unknown() -> None:
    """Until the next mark: then what is held is taken in at it."""
    teller = tell(HELD + "wait 10_000", settings=of_symbol(max_daily_loss_minor=10**9))
    nothing = msgspec.structs.replace(teller.instrument(SYMBOL), multiplier=0)
    teller.event(nothing)
    before = teller.book.result.now_minor
    teller.do(["adjust", "-40"])
    assert teller.book.paid_minor is None
    teller.event(teller.instrument(SYMBOL))
    assert teller.book.paid_minor is not None
    assert teller.book.result.now_minor == before
