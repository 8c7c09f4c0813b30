"""
Rows of all ages and moods of BitMEX: wide with nulls, narrow, exponents, words to come, strangers.

What they mean to the core must not depend on how they are dressed.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from reconciler.bitmex import messages, rows
from reconciler.bitmex.tables import Accounts
from reconciler.core.events import (
    AnyEvent,
    InstrumentSeen,
    OrderSeen,
    OrderStatus,
    PositionSeen,
    Quoted,
    Source,
)
from reconciler.core.policy import policies
from reconciler.core.settings import Policy, Stage

from .made import ACCOUNT, ORDER_ID, frame, order, place
from .test_tables import INSTRUMENT, MINE, accounts, position, update

#: What rows had until January 2023, null or empty when unset.
WIDE_ORDER: dict[str, Any] = {
    "clOrdLinkID": "", "simpleOrderQty": None, "displayQty": None, "stopPx": None,
    "pegOffsetValue": None, "pegPriceType": "", "execInst": "", "contingencyType": "",
    "exDestination": "XBME", "triggered": "", "ordRejReason": "", "simpleLeavesQty": None,
    "simpleCumQty": None, "avgPx": None, "multiLegReportingType": "SingleSecurity",
}  # fmt: skip
WIDE_POSITION: dict[str, Any] = {
    "underlying": "XBT", "quoteCurrency": "USD", "openingTimestamp": "2019-05-20T11:00:00.000Z",
    "openingCost": 0, "execQty": 300, "execCost": -489792, "execComm": 244,
    "currentTimestamp": "2019-05-20T11:00:09.913Z", "grossOpenCost": 0, "grossExecCost": 489792,
    "posState": "", "posCost2": -489792, "posAllowance": 0, "taxableMargin": 0, "taxBase": 0,
    "indicativeTax": 0, "indicativeTaxRate": None, "simpleQty": 0.0049, "simpleCost": 300,
    "simplePnl": 0, "lastPrice": 61310, "lastValue": -489318, "marginCallPrice": None,
}  # fmt: skip
WIDE_INSTRUMENT: dict[str, Any] = {
    "listing": "2016-05-13T12:00:00.000Z", "expiry": None, "settle": None, "relistInterval": None,
    "inverseLeg": "", "sellLeg": "", "buyLeg": "", "optionStrikePcnt": None, "taxed": True,
    "positionCurrency": "USD", "limitDownPrice": None, "limitUpPrice": None, "settledPrice": None,
    "bankruptLimitDownPrice": None, "deleverage": True, "capped": False,
}  # fmt: skip


def told(table: str, keys: list[str], *sent: dict[str, Any], **more: Any) -> list[AnyEvent]:
    """What an image of *sent* tells."""
    made = Accounts(["XBTUSD"])
    return made.take(frame(table, "partial", *sent, keys=keys, **more), 5)


@pytest.mark.parametrize(
    ("table", "keys", "narrow", "wide"),
    [
        ("order", ["orderID"], order(), WIDE_ORDER),
        ("order", ["orderID"], order(clOrdID=..., price=...),
         {**WIDE_ORDER, "clOrdID": "", "price": None}),
        ("position", ["account", "symbol", "currency"], position(), WIDE_POSITION),
        ("instrument", ["symbol"], INSTRUMENT, WIDE_INSTRUMENT),
    ],
)  # fmt: skip
def test_a_wide_row_means_what_the_narrow_one_means(
    table: str, keys: list[str], narrow: dict[str, Any], wide: dict[str, Any]
) -> None:
    """Nulls and empty texts are unset, columns of old are passed over."""
    (event,) = told(table, keys, narrow)
    assert told(table, keys, {**narrow, **wide}) == [event]


def test_three_messages_of_old_and_one_of_now_tell_the_same_order() -> None:
    """Until 2020 a placement was New, then working, then filled; now it is one frame."""
    old, new = accounts(), accounts()
    first = {**order(workingIndicator=False), **WIDE_ORDER}
    seen = old.take(frame("order", "insert", first), 5)
    seen += old.take(frame("order", "update", update(workingIndicator=True)), 5)
    filled = {"ordStatus": "Filled", "leavesQty": 0, "cumQty": 300, "avgPx": 61250.5}
    seen += old.take(frame("order", "update", update(**filled)), 5)
    assert new.take(frame("order", "insert", order(**filled)), 5) == [seen[-1]]
    assert [e.status for e in seen if isinstance(e, OrderSeen)] == [
        OrderStatus.NEW,
        OrderStatus.NEW,
        OrderStatus.FILLED,
    ]


def test_the_narrowest_rows_that_mean_something() -> None:
    """A stub of a row tells what it has; what it lacks is not made up."""
    (event,) = told("order", ["orderID"], {"orderID": ORDER_ID, "symbol": "XBTUSD"})
    assert isinstance(event, OrderSeen)
    assert (event.status, event.cl_ord_id, event.price) == (OrderStatus.UNKNOWN, "", None)
    (event,) = told("position", ["symbol"], {"symbol": "XBTUSD", "currentQty": -7})
    assert isinstance(event, PositionSeen)
    assert (event.contracts, event.venue_us, event.entry_price) == (-7, 0, None)
    assert told("position", ["symbol"], {"symbol": "XBTUSD"}) == []
    assert told("instrument", ["symbol"], {"symbol": "XBTUSD", "lotSize": 100}) == []
    assert told("margin", ["account", "currency"], {"currency": "XBt"}) == []


def exact_frame(table: str, action: str, text: str, keys: str) -> messages.Frame:
    """A frame of rows written as the venue writes them, digit by digit."""
    return messages.frame(
        f'{{"table":"{table}","action":"{action}","keys":["{keys}"],"data":[{text}]}}'
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.0E-6", "0.000001"),
        ("1E-6", "0.000001"),
        ("0.000001", "0.000001"),
        ("5.0E-4", "0.0005"),
        ("3.0000000000000003E-4", "0.00030000000000000003"),
        ("1.0E0", "1"),
        ("0.1", "0.1"),
        ("1", "1"),
    ],
)
def test_exponents_are_numbers_like_others(written: str, value: str) -> None:
    """However a step, a fee or a price is written, it is the same exact decimal."""
    row = json.dumps({**INSTRUMENT, "tickSize": "@", "makerFee": "@", "takerFee": "@"})
    made = Accounts(["XBTUSD"])
    text = row.replace('"@"', written)
    (event,) = made.take(exact_frame("instrument", "partial", text, "symbol"), 5)
    assert isinstance(event, InstrumentSeen)
    assert event.tick == event.maker_fee == event.taker_fee == Decimal(value)
    assert made.take(exact_frame("instrument", "partial", text, "symbol"), 6) == []


def test_an_order_fits_a_step_that_came_as_an_exponent() -> None:
    """Whoever counts the digits of its text rounds to whole numbers: we place on the step."""
    text = json.dumps({**INSTRUMENT, "tickSize": "@"}).replace('"@"', "1.0E-6")
    (rules,) = Accounts(["XBTUSD"]).take(exact_frame("instrument", "partial", text, "symbol"), 5)
    assert isinstance(rules, InstrumentSeen)
    bid, ask = Decimal("0.012345"), Decimal("0.012349")
    quote = Quoted(at_us=5, symbol="XBTUSD", bid=bid, ask=ask, mark=bid)
    for stage in ("inside", "cross"):
        for side, most in ((1, ask), (-1, bid)):
            basis = policies.Basis(side, quote, rules.tick)
            pricing = policies.price(Policy(), Stage(how=stage), basis)
            assert isinstance(pricing, policies.Pricing)
            assert pricing.price % Decimal("0.000001") == 0
            assert abs(pricing.price - most) < Decimal("0.00002")
            sent = messages.place_body(place(price=pricing.price))
            assert f'"price":{pricing.price:f},'.encode() in sent


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("ordStatus", "DoneForDay"), ("ordType", "Quantum"), ("timeInForce", "UntilTuesday"),
        ("execInst", "Politely"), ("contingencyType", "OneUpdatesTheOther"), ("strategy", "Both"),
        ("pool", "Tertiary"), ("triggered", "ByTheMoon"), ("settlCurrency", "XYz"),
        ("aColumnToCome", {"nested": [1, None]}),
    ],
)  # fmt: skip
def test_words_to_come_do_not_stop_the_table(field: str, word: object) -> None:
    """A value that nobody knew is no error: of a status it means that we have to ask."""
    (event,) = told("order", ["orderID"], order(**{field: word}))
    assert isinstance(event, OrderSeen)
    known = OrderStatus.UNKNOWN if field == "ordStatus" else OrderStatus.NEW
    assert (event.status, event.contracts) == (known, 300)


@pytest.mark.parametrize(
    "state", ["Closed", "Unlisted", "Settled", "Delisted", "Expired", "Cleared", "Napping", ""]
)
def test_whatever_is_not_open_is_not_traded(state: str) -> None:
    """Only one word means that orders are taken; one to come does not."""
    (event,) = told("instrument", ["symbol"], {**INSTRUMENT, "state": state, "typ": "FFNEWX"})
    assert isinstance(event, InstrumentSeen)
    assert (event.open, event.state) == (False, state)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"lotSize": 1000}, {"lot": 1000}),
        ({"tickSize": 0.5}, {"tick": Decimal("0.5")}),
        ({"state": "Settled"}, {"open": False, "state": "Settled"}),
        ({"takerFee": 7.5e-4}, {"taker_fee": Decimal("0.00075")}),
        ({"makerFee": -2.5e-4}, {"maker_fee": Decimal("-0.00025")}),
        ({"maxOrderQty": 100}, {"max_contracts": 100}),
        ({"maxPrice": None}, {"max_price": None}),
    ],
)
def test_a_moving_instrument(change: dict[str, Any], seen: dict[str, Any]) -> None:
    """Lot, step, state, fees and limits may change at any time; each change is told, once."""
    made = Accounts(["XBTUSD"])
    made.take(frame("instrument", "partial", INSTRUMENT, keys=["symbol"]), 1)
    made.take(frame("order", "partial", order(), keys=["orderID"], filter=MINE), 1)
    news = frame("instrument", "update", {"symbol": "XBTUSD", **change})
    (event,) = made.take(news, 2)
    assert {name: getattr(event, name) for name in seen} == seen
    assert made.take(news, 3) == []
    assert made.shows(ORDER_ID), "the order that rests is as it was"


def test_an_instrument_of_rubbish_rules_is_not_traded_by_them() -> None:
    """A lot or a step of nothing is no rule; what was known before stays known."""
    made = Accounts(["XBTUSD"])
    made.take(frame("instrument", "partial", INSTRUMENT, keys=["symbol"]), 1)
    for rubbish in ({"lotSize": 0}, {"lotSize": -100}, {"tickSize": 0}, {"lotSize": None}):
        assert made.take(frame("instrument", "update", {"symbol": "XBTUSD", **rubbish}), 2) == []
        made.take(frame("instrument", "partial", INSTRUMENT, keys=["symbol"]), 3)
    assert made.knows_rules("XBTUSD")


def balance(currency: str, amount: int, **more: Any) -> dict[str, Any]:
    return {"account": ACCOUNT, "currency": currency, "walletBalance": amount, **more}


def test_balances_of_two_currencies_are_two() -> None:
    """A change in one currency says nothing of the other."""
    made = Accounts([])
    keys = ["account", "currency"]
    made.take(
        frame("margin", "partial", balance("XBt", 10), balance("USDt", 7), keys=keys, filter=MINE),
        1,
    )
    assert {(m.currency, m.wallet_minor) for m in made.margins(2)} == {("XBt", 10), ("USDt", 7)}
    made.take(frame("margin", "update", balance("USDt", 8)), 3)
    assert [(m.currency, m.wallet_minor) for m in made.margins(4)] == [("USDt", 8)]


def test_two_currencies_under_a_key_that_does_not_tell_them_apart() -> None:
    """Some images of 2021 had the account alone as key: no currency takes another's balance."""
    made = Accounts([])
    both = [balance("XBt", 10, availableMargin=9), balance("USDt", 7, availableMargin=5)]
    made.take(frame("margin", "partial", *both, keys=["account"], filter=MINE), 1)
    made.margins(2)
    change = {"account": ACCOUNT, "currency": "XBt", "availableMargin": 4}
    made.take(frame("margin", "update", change), 3)
    assert [(m.currency, m.wallet_minor, m.available_minor) for m in made.margins(4)] == [
        ("XBt", 10, 4)
    ]


def test_balances_of_another_account_do_not_make_it_ours() -> None:
    """The key may see two accounts' balances; the one that trades is named by its orders."""
    made = accounts()
    other = {"account": 7}
    assert made.account == ACCOUNT
    keys = ["account", "currency"]
    strange = {**balance("XBt", 99), **other}
    made.take(frame("margin", "partial", strange, balance("XBt", 10), keys=keys, filter=other), 2)
    assert [(m.currency, m.wallet_minor) for m in made.margins(3)] == [("XBt", 10)]
    assert made.take(frame("order", "insert", order()), 4), "our own orders are still ours"
    assert (made.strangers, made.stranger) == (1, 7)


@pytest.mark.parametrize("table", ["order", "position", "margin"])
@pytest.mark.parametrize("action", ["partial", "insert", "update", "delete"])
def test_rows_of_strangers_are_counted_and_change_nothing(table: str, action: str) -> None:
    """In whatever frame they come: they are neither news nor a reason to read all anew."""
    made = accounts()
    made.take(frame("margin", "partial", keys=["account", "currency"], filter=MINE), 1)
    row = {**order(), **position(), **balance("XBt", 5), "account": 8}
    more = {"keys": list(made.tables[table].keys or ()), "filter": MINE}
    assert made.take(frame(table, action, row, **(more if action == "partial" else {})), 2) == []
    assert made.margins(3) == []
    assert not made.unexplained(table)
    assert (made.strangers, made.stranger) == (1, 8)


@pytest.mark.parametrize("table", ["order", "position", "instrument", "margin"])
def test_known_rows_beside_one_that_nobody_knows_are_taken_in(table: str) -> None:
    """The official client stopped at the unknown row and lost the rest: we take them, and ask."""
    made = accounts()
    keys = {"order": "orderID", "instrument": "symbol"}.get(table, "account")
    row = {**INSTRUMENT, **order(), **position(), **balance("XBt", 5)}
    made.take(frame(table, "partial", row, keys=[keys], filter={}), 1)
    made.margins(2)
    unknown = {**row, keys: "nobody" if keys != "account" else None, "symbol": "X", "currency": "Y"}
    change = {**row, "cumQty": 100, "currentQty": 7, "lotSize": 1000, "walletBalance": 6}
    if keys == "account":
        unknown = {"account": None, "symbol": "ETHUSD", "currency": "Z"}
        made.tables[table].keys = ("symbol", "currency")
        made.tables[table].rows = {("XBTUSD", row["currency"]): dict(row)}
    events = made.take(frame(table, "update", unknown, change, unknown), 3)
    assert made.tables[table].unexplained == 2
    assert len(events) + len(made.margins(4)) == 1


def test_a_stub_of_a_cancel_that_failed_is_no_order() -> None:
    """No symbol, no client id, no status: it can't be read as an order, and is refused as one."""
    stub = {"account": ACCOUNT, "error": "Unable to cancel order", "orderID": ORDER_ID}
    with pytest.raises(rows.ProtocolError):
        rows.order_seen(stub, Source.READ, 5)
