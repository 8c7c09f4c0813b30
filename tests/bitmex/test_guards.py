"""What the guards need of the venue: liquidation prices, balances of today, cancels by its id."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from reconciler.bitmex import answers, messages
from reconciler.bitmex.answers import Asked, Kind, Reply
from reconciler.bitmex.tables import Accounts
from reconciler.core.decisions import CancelOrder
from reconciler.core.events import Answered, MarginSeen, OrderSeen, Outcome, PositionSeen

from .loop import Loop
from .made import ACCOUNT, ORDER_ID, frame, order
from .test_tables import MINE, accounts, position

ROW = {"account": ACCOUNT, "currency": "XBt", "walletBalance": 100, "availableMargin": 90}


def seen(made: Accounts, **changes: object) -> list[Decimal | None]:
    """The liquidation prices that a change of the position row tells."""
    row = position(**changes)
    events = made.take(frame("position", "update", row), 2)
    return [event.liquidation_price for event in events if isinstance(event, PositionSeen)]


def test_a_liquidation_price_is_told_with_its_position_and_when_it_has_moved() -> None:
    """A thousandth of it is news; what each mark does to it is none."""
    made = accounts()
    made.take(frame("position", "insert", position(liquidationPrice=50_000)), 1)
    assert seen(made, liquidationPrice=50_050) == []
    assert seen(made, liquidationPrice=50_051) == [Decimal(50_051)]
    assert seen(made, liquidationPrice=None) == [None]
    assert seen(made, liquidationPrice=None) == []
    assert seen(made, liquidationPrice=50_000) == [Decimal(50_000)]


def test_in_two_parts_there_is_no_one_liquidation_price() -> None:
    """Of a position long here and short there nobody knows."""
    made = accounts()
    made.take(frame("position", "insert", position(strategy="Long", liquidationPrice=50_000)), 1)
    assert seen(made, strategy="Short", currentQty=-100, liquidationPrice=70_000) == []
    row = position(strategy="Short", currentQty=-100, liquidationPrice=70_000)
    (event,) = made.take(frame("position", "insert", row), 3)
    assert isinstance(event, PositionSeen)
    assert (event.contracts, event.liquidation_price) == (200, None)


def test_balances_are_told_anew_after_a_loss_of_the_stream() -> None:
    """Unchanged as they are: who trusts none of before is told those of now, once."""
    made = Accounts([])
    keys = ["account", "currency"]
    made.take(frame("margin", "partial", ROW, keys=keys, filter=MINE), 1)
    assert len(made.margins(2)) == 1
    assert made.margins(3) == []
    made.tell_margins_again()
    (again,) = made.margins(4)
    assert (again.at_us, again.available_minor) == (4, 90)
    assert made.margins(5) == []


def test_balances_of_a_connection_that_is_gone_are_not_told() -> None:
    """The next one brings its own."""
    made = Accounts([])
    keys = ["account", "currency"]
    made.take(frame("margin", "partial", ROW, keys=keys, filter=MINE), 1)
    made.forget()
    assert made.margins(2) == []
    made.take(frame("margin", "partial", ROW, keys=keys, filter=MINE), 3)
    assert len(made.margins(4)) == 1


def test_an_order_without_a_name_of_ours_is_cancelled_by_its_id() -> None:
    """And by nothing else: no client order id is in the request."""
    decision = CancelOrder(
        request_id=7, cl_ord_id="", symbol="XBTUSD", reason="foreign", order_id=ORDER_ID
    )
    assert json.loads(messages.cancel_body(decision)) == {"orderID": ORDER_ID}


@pytest.mark.parametrize("name", ["", "by-hand-7"])
def test_the_answer_to_such_a_cancel_is_its_row_whatever_its_name(name: str) -> None:
    """It was asked for by id: the name that it bears is somebody else's affair."""
    row = order(clOrdID=name, ordStatus="Canceled", leavesQty=0)
    asked = Asked(kind=Kind.CANCEL, request_id=7, cl_ord_id="", symbol="XBTUSD")
    reply = Reply(status=200, headers={}, body=json.dumps([row]).encode())
    shown, answered = answers.events_of(asked, reply, 9)
    assert isinstance(shown, OrderSeen)
    assert isinstance(answered, Answered)
    assert (shown.order_id, answered.outcome) == (ORDER_ID, Outcome.DONE)


def test_a_loss_on_a_connection_that_stays_has_balances_told_anew(
    in_sync: Callable[..., Loop],
) -> None:
    """A row that can't be explained: nothing reconnects, and nothing may change for hours."""
    loop = in_sync()
    loop.wait_for(MarginSeen, currency="XBt")
    gateway, since = loop.gateway, len(loop.events)
    assert gateway is not None
    gateway._tell_loss("a change that can't be explained", [], loop.now_us())
    assert loop.wait_for(MarginSeen, since, currency="XBt")
