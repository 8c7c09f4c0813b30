"""
Stories of the last look: between the decision and the wire something came, and the guards say no.

Each changes one thing in the ledger after the order was decided, as another event of the same
commit would, and asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from reconciler.core.decisions import AmendOrder, PlaceOrder
from reconciler.core.limits import guards
from reconciler.core.limits.results import Hit
from reconciler.core.settings import AccountLimits, Limits, Settings
from tests.stories.teller import SYMBOL, Teller, tell

HIT = {"x": Hit(words="limits.max_daily_loss_minor = 1: lost 2", limit=1, day=0)}


def decided(position: int = 0, target: int = 100) -> tuple[Teller, PlaceOrder]:
    teller = Teller(position=position)
    teller.do(["target", str(target)])
    decision = teller.done[-1]
    assert isinstance(decision, PlaceOrder)
    return teller, decision


def limited(teller: Teller, account: AccountLimits | None = None, **limits: int) -> None:
    teller.ledger.settings = Settings(
        symbols=(SYMBOL,),
        limits=Limits(**limits),
        account_limits=account or AccountLimits(),
    )


def quoted(teller: Teller, **changed: object) -> None:
    quote = teller.book.quote
    assert quote is not None
    teller.book.quote = msgspec.structs.replace(quote, **changed)


def day(orders: int) -> Callable[[Teller], None]:
    def change(teller: Teller) -> None:
        limited(teller, max_orders_per_day=3)
        teller.book.orders_today = orders

    return change


def minute(orders: int) -> Callable[[Teller], None]:
    def change(teller: Teller) -> None:
        limited(teller, max_orders_per_minute=3)
        teller.book.placed_us = [teller.now_us] * orders

    return change


ADDING: dict[str, tuple[Callable[[Teller], object], str]] = {
    "the position has moved": (
        lambda t: (limited(t, max_position_contracts=100), setattr(t.book, "position", 1)),
        "limits.max_position_contracts = 100: it could be 101",
    ),
    "a person's order rests": (
        lambda t: (
            limited(t, max_position_contracts=100),
            t.book.foreign_orders.update(f1=5),
        ),
        "it could be 105",
    ),
    "an order may have less": (
        lambda t: limited(t, max_order_contracts=99),
        "limits.max_order_contracts = 99",
    ),
    "an order may be worth less": (
        lambda t: limited(t, max_order_notional_minor=99_000_000),
        "limits.max_order_notional_minor = 99000000: the order is worth 100000000",
    ),
    "a position may be worth less": (
        lambda t: limited(t, max_position_notional_minor=99_800_398),
        "limits.max_position_notional_minor = 99800398: it could be 99800400",
    ),
    "nobody knows what it is worth": (
        lambda t: (
            limited(t, max_position_notional_minor=10**12),
            setattr(
                t.book, "instrument", msgspec.structs.replace(t.instrument(SYMBOL), multiplier=0)
            ),
        ),
        "limits.max_position_notional_minor = 1000000000000: it could be an amount that can't be",
    ),
    "too many are open": (
        lambda t: (
            limited(t, AccountLimits(max_open_orders=1)),
            t.book.foreign_orders.update(f1=5),
        ),
        "limits.account.max_open_orders = 1: 1 are open",
    ),
    "the day was lost": (lambda t: t.book.hits.update(HIT), "lost 2"),
    "the account has lost its day": (lambda t: t.ledger.hits.update(HIT), "lost 2"),
    "nobody knows the balance": (
        lambda t: limited(t, AccountLimits(min_margin_percent=1)),
        "a margin row",
    ),
    "nobody knows what was lost": (
        lambda t: (
            limited(t, AccountLimits(max_daily_loss_minor=0), max_daily_loss_minor=9),
            setattr(t.book, "paid_minor", None),
        ),
        "limits.max_daily_loss_minor: a mark to tell the result from",
    ),
    "nobody knows how far below its best it is": (
        lambda t: (
            limited(t, AccountLimits(max_drawdown_minor=0), max_drawdown_minor=9),
            setattr(t.book, "paid_minor", None),
        ),
        "limits.max_drawdown_minor: a mark to tell the result from",
    ),
    "nobody knows what the account has lost": (
        lambda t: (
            limited(t, AccountLimits(max_daily_loss_minor=9)),
            setattr(t.book, "paid_minor", None),
        ),
        "limits.max_daily_loss_minor: a mark to tell the result from",
    ),
    "nobody knows how far below its best the account is": (
        lambda t: (
            limited(t, AccountLimits(max_drawdown_minor=9)),
            setattr(t.book, "paid_minor", None),
        ),
        "limits.max_drawdown_minor: a mark to tell the result from",
    ),
    "nobody knows when it would be liquidated": (
        lambda t: (limited(t, min_liquidation_bps=9), setattr(t.book, "position", 1)),
        "a liquidation price",
    ),
}
ALL: dict[str, tuple[Callable[[Teller], object], str]] = {
    "the stream is lost": (lambda t: setattr(t.ledger, "in_sync", False), "the stream"),
    "there is no price": (lambda t: setattr(t.book, "quote", None), "a price younger than"),
    "the price is old": (lambda t: quoted(t, age_us=60_000_001), "a price younger than 60 s"),
    "the book is crossed": (lambda t: quoted(t, bid=Decimal(200)), "an uncrossed book"),
    "bid and ask are one price": (
        lambda t: quoted(t, bid=t.book.quote and t.book.quote.ask),
        "an uncrossed book",
    ),
    "the mark is gone": (lambda t: quoted(t, mark=None), "the mark price"),
    "the mark is nothing": (lambda t: quoted(t, mark=Decimal(0)), "the mark price"),
    "the mark is far away": (
        lambda t: quoted(t, mark=Decimal(102)),
        "limits.price_collar_bps = 50",
    ),
}
OF_ORDERS: dict[str, tuple[Callable[[Teller], object], str]] = {
    "too many were placed in a minute": (minute(4), "limits.max_orders_per_minute = 3"),
    "too many were placed in a day": (day(4), "limits.max_orders_per_day = 3"),
}


@pytest.mark.parametrize("what", [*ADDING, *ALL, *OF_ORDERS])
def test_an_order_that_may_not_go_any_more_does_not_go(what: str) -> None:
    """Whatever came in between: the rule says no, with its name."""
    teller, decision = decided()
    assert guards.last_look(teller.ledger, decision) == ""
    change, said = {**ADDING, **ALL, **OF_ORDERS}[what]
    change(teller)
    assert said in guards.last_look(teller.ledger, decision)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: quoted(t, age_us=60_000_000),
        lambda t: limited(t, max_order_notional_minor=100_000_000),
        lambda t: limited(t, max_position_notional_minor=99_800_400),
        lambda t: limited(t, max_order_contracts=100, max_position_contracts=100),
        lambda t: quoted(t, bid=None),
        lambda t: quoted(t, ask=None),
    ],
)
def test_a_limit_that_is_just_kept_is_kept(change: Callable[[Teller], object]) -> None:
    """What is allowed may be used, to the last contract and the last moment."""
    teller, decision = decided()
    change(teller)
    assert guards.last_look(teller.ledger, decision) == ""


@pytest.mark.parametrize(
    ("side", "foreign", "says"), [(1, 5, "105"), (-1, -5, "105"), (1, -5, ""), (-1, 5, "")]
)
def test_what_others_may_trade_counts_at_its_own_end(side: int, foreign: int, says: str) -> None:
    """A buy is held to the highest position that there could be, a sell to the lowest."""
    teller, decision = decided(target=side * 100)
    limited(teller, max_position_contracts=100)
    teller.book.foreign_orders["f1"] = foreign
    assert guards.last_look(teller.ledger, decision).endswith(says and f"it could be {says}")
    assert bool(guards.last_look(teller.ledger, decision)) == bool(says)


@pytest.mark.parametrize("what", ADDING)
def test_no_limit_of_risk_stops_an_order_that_only_reduces(what: str) -> None:
    """The way out is never shut by money."""
    teller, decision = decided(position=200, target=100)
    assert decision.reduce_only
    ADDING[what][0](teller)
    assert guards.last_look(teller.ledger, decision) == ""


@pytest.mark.parametrize("what", [*ALL, *OF_ORDERS])
def test_prices_and_the_number_of_requests_stop_what_reduces_as_well(what: str) -> None:
    """A bad price is bad in either direction, and a ban would be, too."""
    teller, decision = decided(position=200, target=100)
    change, said = {**ALL, **OF_ORDERS}[what]
    change(teller)
    assert said in guards.last_look(teller.ledger, decision)


@pytest.mark.parametrize("what", [minute(3), day(3)])
def test_the_order_itself_is_not_counted_twice(what: Callable[[Teller], None]) -> None:
    """The third of three may go, though the ledger has it already."""
    teller, decision = decided()
    what(teller)
    assert guards.last_look(teller.ledger, decision) == ""


def amended() -> tuple[Teller, AmendOrder]:
    teller = tell("target +100 -> place r1 +100\nok r1\nprice 101 101.5")
    teller.wait(10_000)
    decision = teller.done[-1]
    assert isinstance(decision, AmendOrder)
    assert guards.last_look(teller.ledger, decision) == ""
    return teller, decision


@pytest.mark.parametrize("what", ALL)
def test_an_amend_is_looked_at_as_well(what: str) -> None:
    """A new price is a price."""
    teller, decision = amended()
    change, said = ALL[what]
    change(teller)
    assert said in guards.last_look(teller.ledger, decision)


def test_an_amend_may_not_lift_an_order_over_its_notional() -> None:
    """What it may be worth has become less since."""
    teller, decision = amended()
    limited(teller, max_order_notional_minor=99_000_000)
    assert "limits.max_order_notional_minor" in guards.last_look(teller.ledger, decision)


@pytest.mark.parametrize("what", OF_ORDERS)
def test_an_amend_is_no_new_order(what: str) -> None:
    """It counts in no limit on the number of orders."""
    teller, decision = amended()
    OF_ORDERS[what][0](teller)
    assert guards.last_look(teller.ledger, decision) == ""


def test_a_price_that_the_venue_does_not_allow_is_not_asked_for() -> None:
    """Its rules may have changed in between."""
    teller, decision = decided()
    rules = teller.book.instrument
    assert rules is not None
    teller.book.instrument = msgspec.structs.replace(rules, max_price=Decimal(99))
    assert "a price that the venue allows" in guards.last_look(teller.ledger, decision)
    below = msgspec.structs.replace(decision, price=Decimal(0))
    limited(teller, price_collar_bps=10_000)
    assert "a price that the venue allows: 0" in guards.last_look(teller.ledger, below)


def test_what_is_not_in_the_books_does_not_go() -> None:
    """Neither an order that nobody decided, nor one of an instrument that nobody knows."""
    teller, decision = decided()
    stray = msgspec.structs.replace(decision, cl_ord_id="rc-test-1-999999")
    assert guards.last_look(teller.ledger, stray) == "its order is not in the books"
    teller.book.instrument = None
    assert guards.last_look(teller.ledger, decision) == "its order is not in the books"


def test_an_order_that_the_guards_kept_back_is_refused_and_tried_again_later() -> None:
    """It never left: proven, so there is no doubt, and the gap is worked again after a while."""
    tell(
        """
        target +100             -> place r1 +100
        guarded r1                                            = idle ~ a while after a refusal
        wait 1000               -> place r2 +100
        """
    )
