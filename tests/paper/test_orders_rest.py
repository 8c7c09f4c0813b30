"""Orders of all kinds through the door: REST, legacy bulk calls, and the frames they cause."""

import json
from urllib.parse import quote

import pytest
import requests

from tests.paper.conftest import Stream

BULK = "/api/v1/order/bulk"


def limit(price, **fields):
    return {"symbol": "XBTUSD", "orderQty": 100, "price": price, **fields}


def test_a_stop_is_told_by_rest_and_by_websocket_alike(venue, client):
    """One insert when it is placed, one update when it triggers, and the executions between."""
    stream = Stream(venue.url, "order", "execution", client=client)
    answer = client.order(
        orderQty=-300, ordType="Stop", stopPx=61000.5, execInst="LastPrice", clOrdID="s"
    ).json()
    [row] = stream.until(lambda f: f.get("table") == "order")["data"]
    told = {k: v for k, v in answer.items() if k not in ("stopPx", "timestamp")}
    assert row.items() >= told.items()
    assert (str(row["stopPx"]), row["workingIndicator"]) == ("61000.5", False)
    client.paper("price", symbol="XBTUSD", price=60900)
    client.paper("trade", symbol="XBTUSD", side="Buy", orderQty=100, account=1002)
    frame = stream.until(
        lambda f: f.get("table") == "order" and f["data"][0].get("triggered") is not None
    )
    [update] = frame["data"]
    assert (update["triggered"], update["ordStatus"]) == ("StopOrderTriggered", "Filled")
    assert "symbol" in update
    assert "stopPx" not in update
    where = quote(json.dumps({"clOrdID": "s"}))
    rows = client.call("GET", f"/api/v1/execution?filter={where}").json()
    assert [row["execType"] for row in rows] == ["New", "TriggeredOrActivatedBySystem", "Trade"]
    stream.close()


def test_a_form_body_places_a_trailing_stop(client):
    """Numbers as text and empty fields, as old clients send them."""
    body = (
        "symbol=XBTUSD&orderQty=-300&ordType=Stop&pegPriceType=TrailingStopPeg&pegOffsetValue=-50.0"
        "&execInst=LastPrice&timeInForce=&stopPx=&clOrdID="
    )
    row = client.call("POST", "/api/v1/order", form=body).json()
    assert (row["pegPriceType"], row["pegOffsetValue"], row["ordStatus"]) == (
        "TrailingStopPeg", -50, "New",
    )  # fmt: skip


def test_bulk_places_in_order_and_tells_each(client):
    """A row for each: what the engine refuses is Rejected in its place, the others stand."""
    orders = [
        limit(61000, clOrdID="a"), limit(61000, execInst="ReduceOnly", clOrdID="b"),
        limit(60000.5, clOrdID="c"),
    ]  # fmt: skip
    rows = client.call("POST", BULK, {"orders": orders}).json()
    assert [(row["clOrdID"], row["ordStatus"]) for row in rows] == [
        ("a", "New"), ("b", "Rejected"), ("c", "New"),
    ]  # fmt: skip
    assert rows[1]["ordRejReason"] == (
        "Order had execInst of ReduceOnly and side of Buy but current position is 0"
    )
    amends = [
        {"origClOrdID": "a", "price": 60999},
        {"orderID": rows[2]["orderID"], "orderQty": 200},
    ]
    rows = client.call("PUT", BULK, {"orders": amends}).json()
    assert [(row["price"], row["orderQty"]) for row in rows] == [(60999, 100), (60000.5, 200)]
    assert all(row["timestamp"] >= row["transactTime"] for row in rows)


def test_the_truth_has_each_order_of_a_bulk_call(venue, client):
    """A checker finds what was asked for, in a form too: taken in, refused, or never answered."""

    def asked():
        return [(r["clOrdID"], r["price"], r["status"]) for r in venue.requests()]

    taken = [limit(61000, clOrdID="a"), limit(60999, execInst="ReduceOnly", clOrdID="b")]
    refused = [limit(60998, clOrdID="c"), limit(-1, clOrdID="d")]
    assert client.call("POST", BULK, {"orders": taken}).status_code == 200
    assert client.call("POST", BULK, form="orders=" + quote(json.dumps(refused))).status_code == 400
    assert client.call("POST", BULK, {"orders": "rubbish"}).status_code == 400
    client.fault("lost-answer")
    with pytest.raises(requests.ConnectionError):
        client.call("POST", BULK, {"orders": [limit(60997, clOrdID="e")]})
    assert asked() == [
        ("a", 61000, 200), ("b", 60999, 200), ("c", 60998, 400), ("d", -1, 400), ("e", 60997, None),
    ]  # fmt: skip
    assert [order["clOrdID"] for order in venue.open_orders()] == ["a", "e"]
    assert venue.truth()["dropped"]["requests"] == 0


def test_bulk_in_a_form_is_json_text(client):
    """As for every list in a form body."""
    form = "orders=" + quote(json.dumps([limit(60000.5), limit(60001)]))
    assert [row["price"] for row in client.call("POST", BULK, form=form).json()] == [60000.5, 60001]


@pytest.mark.parametrize(
    ("orders", "message"),
    [
        (None, "'orders' is a required arg."),
        ("rubbish", "Invalid orders"),
        ([1], "Invalid orders"),
        ([limit(61000)] * 101, "Too many orders provided. The maximum count allowed is 100."),
        ([limit(61000), limit(61000.05)], "Invalid price tickSize"),
        ([limit(61000, clOrdID="x"), limit(61000, clOrdID="x")], "Duplicate clOrdID"),
    ],
)
def test_a_bulk_call_with_a_fault_in_its_form_does_nothing(client, orders, message):
    """All are refused for one."""
    answer = client.call("POST", BULK, {} if orders is None else {"orders": orders})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)
    assert client.call("GET", "/api/v1/order").json() == []


def test_a_bulk_amend_that_cannot_be_done_does_nothing(client):
    """The first amend is possible, the second is not: neither happens."""
    client.order(orderQty=100, price=60000, clOrdID="a")
    amends = [{"origClOrdID": "a", "price": 60001}, {"origClOrdID": "nobody", "price": 60001}]
    answer = client.call("PUT", BULK, {"orders": amends})
    assert answer.json()["error"]["message"] == "Invalid origClOrdID"
    assert [row["price"] for row in client.call("GET", "/api/v1/order").json()] == [60000]


def test_close_position_closes_and_cancels(client):
    """The whole position at market, and the symbol's other orders go, stops too."""
    client.order(orderQty=300, ordType="Market")
    client.order(orderQty=100, price=60000)
    client.order(orderQty=-300, ordType="Stop", stopPx=50000, execInst="Close")
    row = client.call("POST", "/api/v1/order/closePosition", {"symbol": "XBTUSD"}).json()
    assert (row["execInst"], row["ordStatus"], row["cumQty"]) == ("Close", "Filled", 300)
    assert client.call("GET", "/api/v1/order?filter=%7B%22open%22:true%7D").json() == []
    answer = client.call("POST", "/api/v1/order/closePosition", {"symbol": "XBTUSD"})
    assert answer.json()["error"]["message"] == (
        "Order had execInst of Close and side of Sell but current position is 0"
    )


def test_price_limits_and_suspension_are_set_at_the_control_door(client):
    """The instrument shows the limits, orders beyond are refused; a suspended account waits."""
    client.paper("limits", symbol="XBTUSD", limitUpPrice=62000, limitDownPrice=60000)
    answer = client.order(orderQty=100, price=62000.1)
    assert answer.json()["error"]["message"] == "Price greater than limitUpPrice"
    [row] = client.call("GET", "/api/v1/instrument?symbol=XBTUSD").json()
    assert (row["limitUpPrice"], row["limitDownPrice"]) == (62000, 60000)
    client.paper("limits", symbol="XBTUSD")
    assert client.order(orderQty=-100, price=62000.1).status_code == 200
    client.paper("suspend", account=1001)
    assert client.order(orderQty=100, price=61000).json() == {
        "error": {"message": "Account is suspended", "name": "HTTPError"}
    }
    client.paper("suspend", account=1001, suspended=False)
    assert client.order(orderQty=100, price=61000).status_code == 200


def test_a_symbol_is_taken_in_any_case_and_by_its_series(client):
    """`xbtusd` and `XBT:perpetual` are XBTUSD, for orders and for what cancels them."""
    for symbol in ("xbtusd", "XBT:perpetual", "XBT"):
        row = client.call("POST", "/api/v1/order", limit(61000) | {"symbol": symbol}).json()
        assert row["symbol"] == "XBTUSD"
    gone = client.call("DELETE", "/api/v1/order/all", {"symbol": "XBT"}).json()
    assert len(gone) == 3


@pytest.mark.parametrize("field", ["reduceOnly", "postOnly", "simpleOrderQty"])
def test_a_field_that_is_not_known_is_refused(client, field):
    """Whatever is in it: so a bot learns that its order would not have reduced."""
    answer = client.order(orderQty=100, price=61000, **{field: False})
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        400, f'Unrecognized field "{field}" (class NewOrderBean), not marked as ignorable',
    )  # fmt: skip
    assert client.call("GET", "/api/v1/order").json() == []


def test_an_order_may_be_named_and_bounded(client):
    """Its orderID is the trader's, and maxSlippagePct comes back."""
    name = "11111111-2222-3333-4444-555555555555"
    row = client.order(orderID=name, orderQty=100, ordType="Market", maxSlippagePct=0.5).json()
    assert (row["orderID"], row["maxSlippagePct"], row["ordStatus"]) == (name, 0.5, "Filled")
    assert client.order(orderQty=100, price=61000, targetAccountId=1001).status_code == 200
    answer = client.order(orderQty=100, price=61000, targetAccountId=1002)
    assert answer.json()["error"]["message"] == "Invalid account"
