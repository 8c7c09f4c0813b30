"""Faults of requests and answers: what comes back, and what became of the order all the same."""

import http.client
import json
import time
from collections import Counter

import pytest
import requests

from reconciler.paper.rest_faults import AMBIGUOUS, RETRY_AFTER
from tests.paper.memory import Memory

REFUSED = {
    "rate-limit-429": (429, "Rate limit exceeded, retry in 1 seconds."),
    "odd-retry-after": (429, "Rate limit exceeded, retry in 1 seconds."),
    "overload-503": (503, "The system is currently overloaded. Please try again later."),
    "market-not-open": (400, "Market is not open"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_at_the_door_is_no_order(name):
    """The answer is BitMEX's, and neither the book nor the account knows of the order."""
    desk = Memory({name: 1.0})
    answer = desk.order(orderQty=100, price=50_000, clOrdID="a")
    assert (answer.status, desk.json(answer)["error"]["message"]) == REFUSED[name]
    assert desk.exchange.orders == {}


def test_an_expired_request_is_told_the_time():
    """clock-skew refuses with the words that clients read the venue's clock from."""
    desk = Memory({"clock-skew": 1.0})
    answer = desk.order(orderQty=100, price=50_000)
    assert answer.status == 401
    assert desk.json(answer)["error"]["message"] == (
        f"This request has expired - `expires` is in the past. Current time: {desk.now // 1000}"
    )
    assert "x-ratelimit-remaining" not in answer.headers


def test_retry_after_can_be_anything():
    """A date, nothing, a day, less than nothing, half a second: all of them come."""
    desk = Memory({"odd-retry-after": 1.0})
    seen = {desk.order(orderQty=100).headers.get("retry-after", "") for _ in range(60)}
    assert seen == set(RETRY_AFTER)


def test_a_redirect_leads_elsewhere():
    """302 to a host that nobody should follow to; nothing was acted on."""
    desk = Memory({"redirect": 1.0})
    answer = desk.order(orderQty=100, price=50_000)
    assert answer.status == 302
    assert answer.headers["location"] == "https://elsewhere.invalid/api/v1/order"
    assert desk.exchange.orders == {}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_answer_of_a_gateway_tells_nothing(name):
    """Of forty such answers some stand for an order and some do not; all look the same."""
    desk = Memory({name: 1.0})
    answers = [desk.order(orderQty=100, price=50_000, clOrdID=f"a{n}") for n in range(40)]
    status, title, html = AMBIGUOUS[name]
    assert {a.status for a in answers} == {status}
    assert all(
        (a.content_type == "text/html") == html and title in a.body.decode() for a in answers
    )
    assert 5 < len(desk.exchange.orders) < 35


def test_a_stream_can_drop_while_an_order_is_under_way():
    """drop-in-flight closes the account's sockets; the request waits, and is acted on."""
    desk = Memory({"drop-in-flight": 1.0})
    session = desk.listen("order")
    assert desk.order(orderQty=100, price=50_000, clOrdID="a").status == 200
    assert session in desk.closed
    assert 0.2 <= desk.waited <= 1.0
    assert desk.status("a") == "New"


def test_a_cut_answer_breaks_in_its_body(client):
    """The client sees half a body and an end; the order is there."""
    client.fault("cut-answer")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.order(orderQty=100, price=50_000, clOrdID="a")
    assert [o["clOrdID"] for o in client.paper("truth")["orders"]] == ["a"]


def test_an_idle_connection_can_be_closed_behind_an_answer(venue, client):
    """The answer is whole and does not say that the connection behind it is at its end."""
    client.fault("idle-close")
    body = b'{"symbol":"XBTUSD","orderQty":100,"price":50000}'
    headers = client.signed("POST", "/api/v1/order", body, str(int(time.time()) + 60))
    line = http.client.HTTPConnection("127.0.0.1", venue.port, timeout=8)
    line.request("POST", "/api/v1/order", body, headers | {"content-type": "application/json"})
    answer = line.getresponse()
    assert (answer.status, answer.headers.get("connection")) == (200, None)
    assert json.loads(answer.read())["ordStatus"] == "New"
    assert line.sock.recv(1) == b""


def test_reads_fail_by_themselves():
    """lost-read, bad-read-502 and slow-read befall GETs, and spare orders."""
    desk = Memory()
    for name in ("lost-read", "bad-read-502", "slow-read"):
        desk.fault(name)
        assert desk.order(orderQty=100, price=50_000).status == 200
    assert desk.call("GET", "/api/v1/position").dropped
    assert desk.call("GET", "/api/v1/position").status == 502
    assert desk.call("GET", "/api/v1/position").delay_s >= 0.2
    assert desk.call("GET", "/api/v1/position").prompt


def test_a_fault_can_be_meant_for_one_symbol():
    """Orders in XBTUSD are refused, those in ETHUSD are not; a cancel counts by its order."""
    desk = Memory(symbols=("XBTUSD", "ETHUSD"))
    assert desk.order(orderQty=100, price=50_000, clOrdID="x").status == 200
    desk.fault("rate-limit-429", count=None, symbol="XBTUSD")
    assert desk.order(orderQty=100, price=50_000).status == 429
    ether = {"symbol": "ETHUSD", "orderQty": 1, "price": 2000, "clOrdID": "e"}
    assert desk.call("POST", "/api/v1/order", ether).status == 200
    assert desk.call("DELETE", "/api/v1/order", {"clOrdID": "x"}).status == 429
    assert desk.call("DELETE", "/api/v1/order", {"clOrdID": "e"}).status == 200


def test_all_means_all_that_leave_nothing_behind():
    """`all` switches on every fault but the lasting ones, and each can be switched off again."""
    desk = Memory({"all": 0.25})
    listed = {row["name"]: row for row in desk.world.quirks.listing()}
    on = Counter((row["lasting"], row["probability"]) for row in listed.values())
    assert set(on) == {(False, 0.25), (True, 0.0)}
    desk.do("fault", name="lost-answer", probability=0)
    assert not desk.world.quirks.on("lost-answer")


def test_settings_are_told_apart_or_refused():
    """Name, symbol and count are read from one word; nonsense is refused by name."""
    desk = Memory({"overload-503:XBTUSDx3": 0.5})
    row = next(r for r in desk.world.quirks.listing() if r["name"] == "overload-503")
    assert (row["symbol"], row["count"], row["probability"]) == ("XBTUSD", 3, 0.5)
    for wrong in ({"lost-answerx": 1.0}, {"nope": 1.0}, {"auth-lost:XBTUSD": 1.0}, {"all": 2.0}):
        with pytest.raises(ValueError, match=next(iter(wrong)).partition(":")[0]):
            Memory(wrong)


def test_bad_control_requests_change_nothing():
    """Wrong names, numbers and rubbish are answered 400 or 404 with a reason."""
    desk = Memory()
    before = json.dumps(desk.world.quirks.listing())
    for action, fields in (
        ("fault", {}), ("fault", {"name": "nope"}), ("fault", {"name": "late-fill", "count": -1}),
        ("fault", {"name": "late-fill", "probability": "much"}), ("fault", {"nome": "late-fill"}),
        ("price", {"symbol": "XBTUSD"}), ("price", {"symbol": "XBTUSD", "price": 0.03}),
        ("price", {"symbol": "XBTUSD", "price": -1}), ("price", {"symbol": "NOPE", "price": 1}),
        ("market", {"symbol": "XBTUSD", "state": "Ajar"}), ("rules", {"symbol": "XBTUSD"}),
        ("rules", {"symbol": "XBTUSD", "lotSize": 0}), ("maintenance", {"suspended": -1}),
        ("liquidate", {"symbol": "XBTUSD"}), ("announce", {}), ("trade", {"symbol": "XBTUSD"}),
        ("fill", {"order": "nobody"}), ("trade", {"account": 5, "symbol": "XBTUSD"}),
    ):  # fmt: skip
        status, body = desk.do(action, **fields)
        assert status == 400, (action, fields, body)
        assert body["error"]["message"]
    assert desk.do("dance")[0] == 404
    assert json.dumps(desk.world.quirks.listing()) == before


def test_faults_of_one_answer_do_not_hinder_each_other(client, caplog):
    """An answer that is cut and whose connection is closed is cut; the venue finds no fault."""
    for name in ("cut-answer", "idle-close", "slow-answer"):
        client.fault(name)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.order(orderQty=100, price=50_000, clOrdID="a")
    assert client.paper("truth")["orders"][0]["ordStatus"] == "New"
    assert caplog.records == []
