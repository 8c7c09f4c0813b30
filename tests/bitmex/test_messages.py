"""Frames and rows to events, decisions to bodies."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.bitmex import messages, rows
from reconciler.core.decisions import AmendOrder, ArmDeadMan, CancelOrder
from reconciler.core.events import ExecutionKind, ExecutionSeen, OrderStatus, Source
from reconciler.errors import ProtocolError

from .made import AT_US, ORDER_ID, execution, order, place


def seen(row: dict[str, Any]) -> ExecutionSeen | None:
    decoded = messages.executions(json.dumps([row]).encode())
    events = messages.executions_seen(decoded, None, Source.STREAM, 5)
    return events[0] if events else None


def need(row: dict[str, Any]) -> ExecutionSeen:
    event = seen(row)
    assert event is not None
    return event


def order_of(row: dict[str, Any]) -> Any:
    return rows.order_seen(messages.rows(json.dumps([row]).encode())[0], Source.READ, 5)


def test_a_fill() -> None:
    """A trade row becomes a signed fill with exact numbers and the venue's own time."""
    assert need(execution(side="Sell")) == ExecutionSeen(
        at_us=5,
        exec_id="a0c4e7d2-61b8-4a7c-8d12-93f5b0e6c102",
        symbol="XBTUSD",
        order_id=ORDER_ID,
        cl_ord_id="rc-17",
        type=ExecutionKind.TRADE,
        contracts=-100,
        price=Decimal("61250.5"),
        order_filled=100,
        fee_minor=81,
        cost_minor=-163264,
        currency="XBt",
        liquidity="maker",
        source=Source.STREAM,
        venue_us=AT_US,
        text="Submitted via API.",
    )


@pytest.mark.parametrize(
    ("changes", "kind", "contracts"),
    [
        ({"execType": "Liquidation"}, ExecutionKind.LIQUIDATION, 100),
        ({"text": "Liquidation", "clOrdID": ""}, ExecutionKind.LIQUIDATION, 100),
        ({"text": "Liquidation", "clOrdID": None}, ExecutionKind.LIQUIDATION, 100),
        ({"text": "Liquidation", "clOrdID": "rc-a-1-x-1"}, ExecutionKind.TRADE, 100),
        ({"execType": "Bankruptcy", "side": "Sell"}, ExecutionKind.BANKRUPTCY, -100),
        ({"execType": "Settlement", "side": "Sell"}, ExecutionKind.SETTLEMENT, -100),
        ({"execType": "Funding", "lastQty": 4_000, "side": "Sell"}, ExecutionKind.FUNDING, 4_000),
        ({"execType": "Funding", "lastQty": -4_000}, ExecutionKind.FUNDING, -4_000),
        ({"execType": "New", "lastQty": 0}, ExecutionKind.ORDER_STATE, 0),
        ({"execType": "Canceled", "lastQty": 100}, ExecutionKind.ORDER_STATE, 0),
        ({"execType": "Replaced", "lastQty": ...}, ExecutionKind.ORDER_STATE, 0),
        ({"execType": "Rejected"}, ExecutionKind.ORDER_STATE, 0),
        ({"execType": "TriggeredOrActivatedBySystem"}, ExecutionKind.ORDER_STATE, 0),
        ({"execType": "TrialFill"}, ExecutionKind.UNKNOWN, 0),
        ({"execType": "SomethingNew"}, ExecutionKind.UNKNOWN, 0),
        ({"execType": ...}, ExecutionKind.UNKNOWN, 0),
        ({"side": "Both"}, ExecutionKind.UNKNOWN, 0),
        ({"side": ...}, ExecutionKind.UNKNOWN, 0),
        ({"lastQty": None}, ExecutionKind.UNKNOWN, 0),
        ({"lastQty": -100}, ExecutionKind.UNKNOWN, 0),
    ],
)
def test_kinds_of_executions(changes: dict[str, Any], kind: ExecutionKind, contracts: int) -> None:
    """Only four kinds move contracts; a word or a side that we don't know is not guessed at."""
    event = need(execution(**changes))
    assert (event.type, event.contracts) == (kind, contracts)


@pytest.mark.parametrize("word", ["CancelReject", "AmendReject"])
def test_refused_requests_are_no_executions(word: str) -> None:
    """A row about a refused request, without symbol and client id, tells nothing of an order."""
    row = execution(execType=word, ordStatus="Rejected", symbol=..., clOrdID=..., lastPx=...)
    assert seen(row) is None


def test_wide_row_of_old() -> None:
    """A row as before 2023, all nulls and empty texts, reads like one without those fields."""
    wide = execution(
        clOrdID="", simpleOrderQty=None, displayQty=None, lastMkt="XBME", ordRejReason="",
        stopPx=None, contingencyType="", underlyingLastPx=None, execType="New", lastPx=None,
        lastQty=None, lastLiquidityInd="", execCost=None, execComm=None, price=None,
    )  # fmt: skip
    narrow = execution(
        clOrdID=..., execType="New", lastPx=..., lastQty=..., lastLiquidityInd=..., execCost=...,
        execComm=..., price=...,
    )  # fmt: skip
    assert need(wide) == need(narrow)


def test_other_accounts_are_left_out() -> None:
    """A row of another account is none of ours."""
    decoded = messages.executions(json.dumps([execution(), execution(account=7)]))
    assert len(messages.executions_seen(decoded, 400123, Source.STREAM, 5)) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("61250.5", "61250.5"),
        ("5", "5"),
        ("1.0E-4", "0.0001"),
        ("3.0000000000000003E-4", "0.00030000000000000003"),
        ("1e6", "1000000"),
        ("0.1", "0.1"),
    ],
)
def test_numbers_are_exact(text: str, value: str) -> None:
    """Every digit of a number survives, exponent forms included."""
    raw = json.dumps([execution(lastPx="@")]).replace('"@"', text)
    event = messages.execution_seen(messages.executions(raw.encode())[0], Source.READ, 5)
    assert event is not None
    assert event.price == Decimal(value)


@pytest.mark.parametrize(
    "changes",
    [
        {"execID": ...},
        {"execID": 5},
        {"execID": None},
        {"lastQty": "100"},
        {"lastQty": 100.0},
        {"lastQty": True},
        {"lastQty": 2**63},
        {"lastPx": "61250.5"},
        {"lastPx": True},
        {"lastPx": [1]},
        {"lastPx": 1e300},
        {"execComm": 1.5},
        {"timestamp": "yesterday"},
        {"timestamp": 1779274807},
        {"symbol": 5},
    ],
)
def test_wrong_types_are_refused(changes: dict[str, Any]) -> None:
    """Nothing is converted: a field of the wrong type refuses its row."""
    with pytest.raises(ProtocolError):
        seen(execution(**changes))


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("New", OrderStatus.NEW),
        ("PartiallyFilled", OrderStatus.PARTLY_FILLED),
        ("Filled", OrderStatus.FILLED),
        ("Canceled", OrderStatus.CANCELLED),
        ("Rejected", OrderStatus.REJECTED),
        ("Expired", OrderStatus.EXPIRED),
        ("PendingNew", OrderStatus.PENDING),
        ("PendingReplace", OrderStatus.PENDING),
        ("PendingCancel", OrderStatus.PENDING),
        ("DoneForDay", OrderStatus.UNKNOWN),
        (..., OrderStatus.UNKNOWN),
    ],
)
def test_order_statuses(word: Any, status: OrderStatus) -> None:
    """Every word for a status is understood, or known not to be."""
    assert order_of(order(ordStatus=word)).status is status


def test_an_order() -> None:
    """An order's quantity is signed, its price exact; without a client id that is empty."""
    event = order_of(order(side="Sell", clOrdID=..., cumQty=100, leavesQty=200))
    assert (event.contracts, event.filled, event.leaves) == (-300, 100, 200)
    assert (event.price, event.cl_ord_id, event.venue_us) == (Decimal("61250.5"), "", AT_US)


@pytest.mark.parametrize(
    "changes",
    [
        {"orderID": ...},
        {"symbol": ...},
        {"orderQty": "300"},
        {"orderQty": 300.0},
        {"cumQty": True},
        {"price": "61250.5"},
        {"side": 1},
        {"timestamp": "2026-05-20T11:00:07.004"},
    ],
)
def test_wrong_orders_are_refused(changes: dict[str, Any]) -> None:
    """An order without a name, or with a field of the wrong type, is refused."""
    with pytest.raises(ProtocolError):
        order_of(order(**changes))


def test_text_stays_on_one_line() -> None:
    """Control characters of a text from outside don't reach a log."""
    event = order_of(order(text="Canceled: x\nSubmitted\x1b[31m via API." + "y" * 900))
    assert event.text.isprintable()
    assert len(event.text) == 200


def test_a_login_echo_is_not_kept() -> None:
    """The echo of a login carries its signature; what is decoded of it does not."""
    said = b'{"success":true,"request":{"op":"authKeyExpires","args":["k",1,"SIGNATURE"]}}'
    frame = messages.frame(said)
    assert frame.request is not None
    assert frame.request.op == "authKeyExpires"
    assert "SIGNATURE" not in repr(frame)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(execution())), _json), st.binary(max_size=60))
def test_any_row_is_read_or_refused(changes: dict[str, Any], noise: bytes) -> None:
    """Whatever comes is an event or a ProtocolError, and never another error."""
    for read in (
        lambda: seen({**execution(), **changes}),
        lambda: order_of({**order(), **changes}),
    ):
        try:
            read()
        except ProtocolError:
            pass
    try:
        messages.executions(messages.frame(noise).data)
    except ProtocolError:
        pass


def test_deep_nesting_is_refused() -> None:
    """A frame nested without end is refused, not followed."""
    with pytest.raises(ProtocolError):
        messages.rows(b"[" * 100_000)


def test_body_of_an_order() -> None:
    """A placement names everything that it wants, its price digit by digit, and nothing else."""
    body = messages.place_body(place(contracts=-300, price=Decimal("1E-8"), post_only=True))
    assert body == (
        b'{"symbol":"XBTUSD","side":"Sell","orderQty":300,"price":0.00000001,"clOrdID":"rc-17",'
        b'"ordType":"Limit","timeInForce":"GoodTillCancel",'
        b'"execInst":"ParticipateDoNotInitiate"}'
    )
    crossing = json.loads(messages.place_body(place(immediate=True, reduce_only=True)))
    assert crossing["timeInForce"] == "ImmediateOrCancel"
    assert crossing["execInst"] == "ReduceOnly"
    assert "execInst" not in json.loads(messages.place_body(place()))


def test_other_bodies() -> None:
    """An amend changes the price only; a cancel names the order; the dead man its time."""
    amend = AmendOrder(
        request_id=1, cl_ord_id="rc-1", symbol="X", price=Decimal("1.50"), expires_us=1, reason=""
    )
    cancel = CancelOrder(request_id=1, cl_ord_id='rc-"1', symbol="X", reason="")
    assert messages.amend_body(amend) == b'{"origClOrdID":"rc-1","price":1.50}'
    assert messages.cancel_body(cancel) == b'{"clOrdID":"rc-\\"1"}'
    assert messages.dead_man_body(ArmDeadMan(request_id=1, timeout_ms=60000)) == (
        b'{"timeout":60000}'
    )
