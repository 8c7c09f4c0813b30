"""The tables: images, changes, keys, and what of it is news to the core."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from reconciler.bitmex.tables import Accounts, Table
from reconciler.core.events import (
    ExecutionKind,
    ExecutionSeen,
    InstrumentSeen,
    OrderSeen,
    OrderStatus,
    PositionSeen,
    Source,
)

from .made import ACCOUNT, ORDER_ID, frame, order

MINE = {"account": ACCOUNT}


def accounts() -> Accounts:
    """Tables after the images of order and position."""
    made = Accounts(["XBTUSD"])
    made.take(frame("order", "partial", keys=["orderID"], filter=MINE), 1)
    made.take(frame("position", "partial", keys=["account", "symbol", "strategy"], filter=MINE), 1)
    return made


def position(**changes: Any) -> dict[str, Any]:
    return {
        "account": ACCOUNT,
        "symbol": "XBTUSD",
        "strategy": "OneWay",
        "currency": "XBt",
        "currentQty": 300,
        "avgEntryPrice": 61250.5,
        "isOpen": True,
        "timestamp": "2026-05-20T11:00:09.913Z",
        **changes,
    }


def update(**changes: Any) -> dict[str, Any]:
    return {"orderID": ORDER_ID, "account": ACCOUNT, "symbol": "XBTUSD", **changes}


def test_what_comes_before_the_image_is_dropped() -> None:
    """An update and an insert before the first partial change nothing and tell nothing."""
    made = Accounts(["XBTUSD"])
    assert made.take(frame("order", "insert", order()), 1) == []
    assert made.take(frame("order", "update", update(cumQty=100)), 1) == []
    assert not made.unexplained("order")
    assert made.tables["order"].rows == {}


def test_an_update_is_merged() -> None:
    """An update row with three fields becomes an event with all of them."""
    made = accounts()
    made.take(frame("order", "insert", order(side="Sell")), 1)
    news = update(ordStatus="PartiallyFilled", leavesQty=200, cumQty=100)
    (event,) = made.take(frame("order", "update", news), 2)
    assert isinstance(event, OrderSeen)
    assert (event.contracts, event.filled, event.leaves) == (-300, 100, 200)
    assert (event.status, event.price) == (OrderStatus.PARTLY_FILLED, Decimal("61250.5"))


def test_null_unsets_and_absent_does_not() -> None:
    """A field that is null in an update is unset; one that is absent stays."""
    made = accounts()
    made.take(frame("order", "insert", order()), 1)
    (event,) = made.take(frame("order", "update", update(price=None)), 2)
    assert isinstance(event, OrderSeen)
    assert event.price is None
    assert event.contracts == 300


def test_an_insert_may_be_over_already() -> None:
    """Placement is one frame with the final state: filled, cancelled or rejected at once."""
    made = accounts()
    row = order(ordStatus="Canceled", leavesQty=0, text="Canceled: Order had execInst of ...")
    (event,) = made.take(frame("order", "insert", row), 1)
    assert isinstance(event, OrderSeen)
    assert event.status is OrderStatus.CANCELLED


def test_an_unknown_row_asks_for_a_reload() -> None:
    """A change of a row never seen is noticed, and the rows beside it are still taken in."""
    made = accounts()
    made.take(frame("order", "insert", order()), 1)
    events = made.take(frame("order", "update", update(orderID="another"), update(cumQty=100)), 2)
    assert [event.filled for event in events if isinstance(event, OrderSeen)] == [100]
    assert made.unexplained("order")
    made.take(frame("order", "partial", order(), keys=["orderID"], filter=MINE), 3)
    assert not made.unexplained("order")


def test_a_change_before_the_image_of_its_slice_is_dropped_too() -> None:
    """One symbol had its image, the other's is on its way: its changes are early, and no riddle."""
    made = Accounts(["XBTUSD", "ETHUSD"])
    first = {"keys": ["symbol"], "filter": {"symbol": "XBTUSD"}}
    made.take(frame("instrument", "partial", INSTRUMENT, **first), 1)
    early = frame("instrument", "update", {"symbol": "ETHUSD", "markPrice": 2450})
    assert made.take(early, 2) == []
    assert not made.unexplained("instrument")
    second = {"keys": ["symbol"], "filter": {"symbol": "ETHUSD"}}
    made.take(frame("instrument", "partial", **second), 3)
    made.take(early, 4)
    assert made.unexplained("instrument"), "its image came, and lacked the row"
    made.forget()
    made.take(frame("instrument", "partial", INSTRUMENT, **first), 5)
    made.take(early, 6)
    assert not made.unexplained("instrument")


def test_a_delete_of_an_unknown_row_is_unexplained_too() -> None:
    """As for updates."""
    table = Table("liquidation")
    table.apply("partial", [], ["orderID"])
    table.apply("delete", [{"orderID": "x"}])
    assert table.unexplained == 1


def test_empty_data_is_fine() -> None:
    """A frame without rows changes nothing, whatever its action."""
    made = accounts()
    made.take(frame("order", "insert", order()), 1)
    for action in ("insert", "update", "delete", "something new"):
        assert made.take(frame("order", action), 2) == []
    assert len(made.tables["order"].rows) == 1


def test_a_second_image_replaces_its_slice() -> None:
    """A partial with a filter replaces the rows of that filter, and no others."""
    table = Table("instrument")
    table.apply("partial", [{"symbol": "A", "x": 1}], ["symbol"], {"symbol": "A"})
    table.apply("partial", [{"symbol": "B", "x": 1}], ["symbol"], {"symbol": "B"})
    table.apply("partial", [{"symbol": "A", "x": 2}], ["symbol"], {"symbol": "A"})
    assert table.rows == {("A",): {"symbol": "A", "x": 2}, ("B",): {"symbol": "B", "x": 1}}
    table.apply("partial", [], ["symbol"], {"symbol": "B"})
    assert list(table.rows) == [("A",)]
    table.apply("partial", [], ["symbol"], {})
    assert table.rows == {}


def test_the_image_names_the_key() -> None:
    """Position rows are kept by the key that the partial names: before and after hedge mode."""
    for keys in (
        ["account", "symbol", "currency"],
        ["account", "symbol"],
        ["account", "symbol", "strategy"],
    ):
        made = Accounts(["XBTUSD"])
        image = frame("position", "partial", position(), keys=keys, filter=MINE)
        assert len(made.take(image, 1)) == 1
        (event,) = made.take(frame("position", "update", position(currentQty=200)), 2)
        assert isinstance(event, PositionSeen)
        assert event.contracts == 200


def test_the_key_may_change_while_connected() -> None:
    """A partial with another key sorts the rows that stay anew."""
    table = Table("position")
    table.apply("partial", [{"symbol": "A", "leg": 1}], ["symbol"], {"symbol": "A"})
    table.apply("partial", [{"symbol": "B", "leg": 1}], ["symbol", "leg"], {"symbol": "B"})
    assert set(table.rows) == {("A", 1), ("B", 1)}


def test_a_row_that_leaves_out_a_key_column() -> None:
    """An update without `strategy` is understood while it can mean only one row."""
    made = accounts()
    made.take(frame("position", "insert", position()), 1)
    short = {"account": ACCOUNT, "symbol": "XBTUSD", "currentQty": 100}
    (event,) = made.take(frame("position", "update", short), 2)
    assert isinstance(event, PositionSeen)
    assert event.contracts == 100
    made.take(frame("position", "insert", position(strategy="Short")), 3)
    assert made.take(frame("position", "update", short), 4) == []
    assert made.unexplained("position")


def test_both_legs_of_a_hedge_count() -> None:
    """In hedge mode the position of a symbol is the sum of its rows."""
    made = accounts()
    made.take(frame("position", "insert", position(strategy="Long")), 1)
    (event,) = made.take(
        frame("position", "insert", position(strategy="Short", currentQty=-100)), 2
    )
    assert isinstance(event, PositionSeen)
    assert event.contracts == 200


def test_only_news_of_a_position_is_told() -> None:
    """New marks are no news; a quantity is, and so is the first row after an execution."""
    made = accounts()
    assert len(made.take(frame("position", "insert", position()), 1)) == 1
    mark = {"account": ACCOUNT, "symbol": "XBTUSD", "strategy": "OneWay", "markPrice": 61000}
    assert made.take(frame("position", "update", mark), 2) == []
    made.executed(
        [
            ExecutionSeen(
                at_us=3, exec_id="e", symbol="XBTUSD", order_id="o", cl_ord_id="",
                type=ExecutionKind.TRADE, contracts=1, price=None, order_filled=1, fee_minor=0,
                cost_minor=0, currency="XBt", liquidity="", source=Source.STREAM, venue_us=3,
            )
        ]
    )  # fmt: skip
    assert len(made.take(frame("position", "update", mark), 4)) == 1
    assert made.take(frame("position", "update", mark), 5) == []


def test_a_position_without_quantity_is_not_zero() -> None:
    """A freshly inserted row of nulls says nothing, unless it says that nothing is open."""
    made = accounts()
    nulls = position(currentQty=None, isOpen=None, avgEntryPrice=None)
    assert made.take(frame("position", "insert", nulls), 1) == []
    (event,) = made.take(frame("position", "update", position(currentQty=None, isOpen=False)), 2)
    assert isinstance(event, PositionSeen)
    assert event.contracts == 0


def test_rows_of_other_accounts_are_left_out() -> None:
    """What a filter does not name as ours changes nothing."""
    made = accounts()
    assert made.take(frame("order", "insert", order(account=7)), 1) == []
    assert made.strangers == 1
    assert not made.tables["order"].rows


def test_orders_over_for_long_are_forgotten() -> None:
    """No delete ever comes for an order, so dead rows go by age; those that live stay."""
    made = accounts()
    for number in range(400):
        dead = order(orderID=str(number), ordStatus="Filled", leavesQty=0)
        made.take(frame("order", "insert", dead), number)
    made.take(frame("order", "insert", order()), 500)
    assert len(made.tables["order"].rows) == 401
    made.take(frame("order", "insert", order(orderID="new")), 400_000_000)
    assert set(made.tables["order"].rows) == {(ORDER_ID,), ("new",)}


INSTRUMENT: dict[str, Any] = {
    "symbol": "XBTUSD", "rootSymbol": "XBT", "state": "Open", "typ": "FFWCSX", "lotSize": 100,
    "tickSize": 0.1, "multiplier": -100000000, "settlCurrency": "XBt", "quoteCurrency": "USD",
    "isInverse": True, "isQuanto": False, "maxOrderQty": 10000000, "maxPrice": 1000000,
    "makerFee": 5.0e-4, "takerFee": 5.0e-4, "markPrice": 61310,
}  # fmt: skip


def test_rules_are_told_when_they_change() -> None:
    """An instrument is told once, then when a trading rule changed, over reconnections too."""
    made = Accounts(["XBTUSD"])
    image = frame("instrument", "partial", INSTRUMENT, keys=["symbol"])
    (first,) = made.take(image, 1)
    assert isinstance(first, InstrumentSeen)
    assert (first.lot, first.tick, first.multiplier) == (100, Decimal("0.1"), -100000000)
    moved = frame("instrument", "update", {"symbol": "XBTUSD", "markPrice": 61311.5})
    assert made.take(moved, 2) == []
    assert made.marks == {"XBTUSD": Decimal("61311.5")}
    made.forget()
    assert made.take(image, 3) == []
    (changed,) = made.take(
        frame("instrument", "update", {"symbol": "XBTUSD", "state": "Closed"}), 4
    )
    assert isinstance(changed, InstrumentSeen)
    assert (changed.open, changed.state) == (False, "Closed")


READ = {k: Decimal(str(v)) if type(v) is float else v for k, v in INSTRUMENT.items()}


def opened_and_lost() -> Accounts:
    """A market that is closed; that it has opened since was lost on the way."""
    made = Accounts(["XBTUSD"])
    closed = {**INSTRUMENT, "state": "Closed"}
    made.take(frame("instrument", "partial", closed, keys=["symbol"]), 1_000_000)
    return made


def test_a_market_that_opened_unseen_is_open_after_a_look_up() -> None:
    """And the next change of its mark price does not close it again."""
    made = opened_and_lost()
    seen = made.read_rules(READ, 4_000_000, 5_000_000)
    assert seen is not None
    assert (seen.at_us, seen.open) == (5_000_000, True)
    assert made.read_rules(READ, 5_000_000, 6_000_000) is None
    tick = {"symbol": "XBTUSD", "markPrice": 61_000}
    assert made.take(frame("instrument", "update", tick), 7_000_000) == []
    (closed,) = made.take(frame("instrument", "update", {**tick, "state": "Closed"}), 8_000_000)
    assert isinstance(closed, InstrumentSeen)
    assert not closed.open


def test_a_look_up_that_may_lag_does_not_overrule_the_stream() -> None:
    """What the stream said less than two seconds before the question is newer than the answer."""
    made = opened_and_lost()
    assert made.read_rules(READ, 2_999_999, 3_100_000) is None
    assert made.read_rules(READ, 3_000_000, 3_100_000) is not None


def test_a_look_up_without_rules_changes_none() -> None:
    """An answer that lacks lot or tick is no instrument; what is known of it stays."""
    made = opened_and_lost()
    assert made.read_rules({"symbol": "XBTUSD", "state": "Open"}, 9_000_000, 9_000_000) is None
    assert made.take(frame("instrument", "update", {"symbol": "XBTUSD"}), 9_000_001) == []


S = 1_000_000


@pytest.mark.parametrize("name", ["markPrice", "bidPrice", "askPrice"])
def test_a_stream_that_is_silent_while_the_market_moves_is_noticed(name: str) -> None:
    """It answers pings, so nothing else shows it: a look-up has another price than it told."""
    made = Accounts(["XBTUSD"])
    image = {**INSTRUMENT, "bidPrice": 61309.5, "askPrice": 61310.5}
    still = {**READ, "bidPrice": Decimal("61309.5"), "askPrice": Decimal("61310.5")}
    moved = {**still, name: Decimal("61320.5")}
    made.take(frame("instrument", "partial", image, keys=["symbol"]), S)
    made.read_rules(moved, 11 * S - 1, 11 * S)
    assert not made.mute, "the stream may be a little behind"
    made.read_rules(still, 11 * S, 12 * S)
    assert not made.mute, "a quiet market is no broken stream"
    made.take(frame("instrument", "update", {"symbol": "XBTUSD", "volume": 5}), 5 * S)
    made.read_rules(moved, 11 * S, 12 * S)
    assert not made.mute, "it spoke of it since"
    made.read_rules(moved, 15 * S, 16 * S)
    assert made.mute == "XBTUSD"
    made.forget()
    assert not made.mute, "another connection begins anew"
    made.read_rules(moved, 90 * S, 90 * S)
    assert not made.mute


def test_other_symbols_and_indices_are_no_instruments() -> None:
    """A symbol that was not asked for, or one that can't be traded, tells nothing."""
    made = Accounts(["XBTUSD", ".BXBT"])
    rows = [{**INSTRUMENT, "symbol": "ETHUSD"}, {"symbol": ".BXBT", "state": "Unlisted"}]
    assert made.take(frame("instrument", "partial", *rows, keys=["symbol"]), 1) == []


def test_balances_are_conflated() -> None:
    """Of many margin rows the newest of each currency is told, once, if it says anything new."""
    made = Accounts([])
    row = {
        "account": ACCOUNT, "currency": "XBt", "walletBalance": 100, "marginBalance": 110,
        "availableMargin": 90, "unrealisedPnl": 10,
    }  # fmt: skip
    keys = ["account", "currency"]
    made.take(frame("margin", "partial", row, keys=keys, filter=MINE), 1)
    made.take(frame("margin", "update", {**row, "availableMargin": 80}), 2)
    (seen,) = made.margins(9)
    assert seen.at_us == 9
    assert (seen.currency, seen.available_minor, seen.unrealised_minor) == ("XBt", 80, 10)
    made.take(frame("margin", "update", {**row, "availableMargin": 80, "riskValue": 5}), 3)
    assert made.margins(10) == []
