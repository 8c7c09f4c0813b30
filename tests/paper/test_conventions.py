"""
What all of REST has in common: pages, times, tokens, load shedding (protocol sheet, 3, 4, 7, 12).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.paper.rest_faults import AMBIGUOUS
from reconciler.paper.routes import ROUTES
from reconciler.paper.sockets import CONNECTS_AN_HOUR, CONNECTS_AT_ONCE, CONNECTS_WINDOW_MS
from reconciler.paper.stream import BIN_LAG_MS, IDLE_MS
from tests.paper.conftest import NOW
from tests.paper.ear import MINE, Stage
from tests.paper.memory import Memory
from tests.paper.test_rest_door import ORDER, Door
from tests.paper.test_rest_market import TOO_MANY

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STAMPS = ("timestamp", "transactTime", "created", "date", "listing", "expiry", "fundingTimestamp")


def get(door: Door, path: str, query: str = "") -> Any:
    answer = door.ask("GET", path, query=query)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def said(door: Door, verb: str, path: str, **fields: object) -> tuple[int, str, str]:
    """Status, message and name of a refusal."""
    answer = door.ask(verb, path, fields)
    error = json.loads(answer.body)["error"]
    return answer.status, error["message"], error["name"]


@pytest.fixture
def door() -> Door:
    """A member who has an open order, a dead one, a position, and funding behind them."""
    made = Door()
    made.ask("POST", "/order", {**ORDER, "clOrdID": "mine"})
    made.ask("POST", "/order", {"symbol": "XBTUSD", "orderQty": 300, "ordType": "Market"})
    made.ask("POST", "/order", {**ORDER, "clOrdID": "dead"})
    made.ask("DELETE", "/order", {"clOrdID": "dead"})
    exchange = made.world.exchange
    exchange.fund(exchange.markets["XBTUSD"], NOW)
    made.world.publish(NOW)
    return made


# -- rows and pages --------------------------------------------------------------------------------

ALIVE = sorted(
    path.removeprefix("/api/v1")
    for verb, path in ROUTES
    if verb == "GET" and path.startswith("/api/v1/") and "/schema" not in path
)


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every value of an answer that is neither list nor object, under its name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, name)
    else:
        yield name, value


@pytest.mark.parametrize("path", ALIVE)
def test_what_is_read_has_no_null_and_its_times_are_utc_to_the_millisecond(door, path):
    """Since 2023 what is not set is absent; a time is 2026-05-20T11:00:00.000Z."""
    query = "symbol=XBTUSD&depth=1" if path == "/orderBook/L2" else "count=20"
    for name, value in leaves(get(door, path, query)):
        assert value is not None, name
        if name in STAMPS:
            assert TIME.fullmatch(str(value)), (name, value)


LONGEST = {
    "/order": 500, "/execution": 500, "/execution/tradeHistory": 500, "/position": 500,
    "/instrument": 500, "/funding": 500, "/trade": 1_000, "/quote": 1_000,
    "/trade/bucketed": 1_000, "/quote/bucketed": 1_000, "/user/walletHistory": 10_000,
}  # fmt: skip


@pytest.mark.parametrize(("path", "most"), LONGEST.items())
def test_a_page_has_a_largest_count(door, path, most):
    """As many rows as clients ask for at once are allowed, and one more is refused."""
    assert door.ask("GET", path, query=f"count={most}").status == 200
    answer = door.ask("GET", path, query=f"count={most + 1}")
    assert (answer.status, json.loads(answer.body)["error"]["message"]) == (
        400, TOO_MANY.format(most),
    )  # fmt: skip


def test_a_hundred_rows_come_unless_told(door):
    """The oldest hundred; the newest are had with `reverse`, the next hundred with `start`."""
    rows = get(door, "/trade/bucketed", "symbol=XBTUSD&count=250")
    assert get(door, "/trade/bucketed", "symbol=XBTUSD") == rows[:100]
    assert get(door, "/trade/bucketed", "symbol=XBTUSD&start=100") == rows[100:200]
    newest = get(door, "/trade/bucketed", "symbol=XBTUSD&reverse=true")
    assert len(newest) == 100
    assert newest[0]["timestamp"] > rows[-1]["timestamp"]


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/order", {"orderID"}), ("/execution", {"execID"}),
        ("/position", {"account", "symbol", "strategy"}), ("/instrument", {"symbol"}),
    ],
)  # fmt: skip
def test_key_columns_come_whatever_columns_are_asked_for(door, path, keys):
    """Rows that cannot be told apart would be of no use."""
    rows = get(door, path, 'columns=["timestamp"]')
    assert rows
    assert all(set(row) == keys | {"timestamp"} for row in rows)


# -- what a request costs --------------------------------------------------------------------------

BURST = {
    ("POST", "/order"), ("PUT", "/order"), ("DELETE", "/order"), ("DELETE", "/order/all"),
    ("POST", "/position/isolate"), ("POST", "/position/leverage"),
    ("POST", "/position/transferMargin"), ("POST", "/order/bulk"), ("PUT", "/order/bulk"),
}  # fmt: skip  # section 12.1; the bulk calls, which are older than the bucket, count as orders do


def test_the_second_bucket_is_for_these_routes():
    """Ten a second: order family and three of the position family, and no other route."""
    door = Door(rate_limits=True)
    told = set()
    for (verb, path), route in ROUTES.items():
        name = path.removeprefix("/api/v1")
        if route.access == "public" or not path.startswith("/api/v1/"):
            continue
        door.now += 10_000
        if "x-ratelimit-limit-1s" in door.ask(verb, name, None if verb == "GET" else {}).headers:
            told.add((verb, name))
    assert told == BURST


def test_a_stranger_has_thirty_requests_a_minute():
    """By address; half a token a second comes back, and a member's minute is not touched."""
    door = Door(rate_limits=True)
    answers = [door.ask("GET", "/instrument", key="") for _ in range(31)]
    assert [answer.status for answer in answers] == [200] * 30 + [429]
    assert (answers[0].headers["x-ratelimit-limit"], left(answers[0])) == ("30", 29)
    assert door.ask("GET", "/instrument", key="", address="10.0.0.2").status == 200
    assert left(door.ask("GET", "/instrument")) == 119
    door.now += 2_000
    assert [door.ask("GET", "/instrument", key="").status for _ in range(2)] == [200, 429]


def test_a_429_of_the_second_says_that_nothing_remains():
    """`x-ratelimit-remaining: 0` and `retry-after: 1`, however much of the minute is left."""
    door = Door(rate_limits=True)
    answers = [door.ask("POST", "/order", ORDER) for _ in range(11)]
    assert [answer.status for answer in answers] == [200] * 10 + [429]
    headers = answers[-1].headers
    assert (headers["retry-after"], left(answers[-1])) == ("1", 0)
    assert headers["x-ratelimit-remaining-1s"] == "0"
    assert left(door.ask("GET", "/user")) == 109


def left(answer: Any) -> int:
    return int(answer.headers["x-ratelimit-remaining"])


def test_a_cancel_of_many_costs_one_token():
    """Thirty ids, or all there is: one request each of the minute's and of the second's."""
    door = Door(rate_limits=True)
    for name in range(5):
        door.ask("POST", "/order", {**ORDER, "clOrdID": str(name)})
    before = left(door.ask("GET", "/user"))
    many = door.ask("DELETE", "/order", {"clOrdID": [str(n) for n in range(30)]})
    assert len(json.loads(many.body)) == 30
    every = door.ask("DELETE", "/order/all", {})
    assert (left(many), left(every)) == (before - 1, before - 2)


def test_cancels_count_and_are_refused_as_all_others():
    """[unsure: some never saw it]. A program that keeps a reserve for cancels does not mind."""
    door = Door(rate_limits=True)
    door.ask("POST", "/order", {**ORDER, "clOrdID": "a"})
    statuses = [door.ask("DELETE", "/order", {"clOrdID": "b"}).status for _ in range(10)]
    assert statuses == [200] * 9 + [429]
    assert door.ask("DELETE", "/order/all", {}).status == 429
    assert len(door.world.exchange.open_orders(7)) == 1
    door.now += 1_000
    assert door.ask("DELETE", "/order/all", {}).status == 200
    assert door.world.exchange.open_orders(7) == []


def test_a_request_that_was_shed_was_counted():
    """Who hammers an overloaded venue spends tokens; its 503 tells what is left."""
    door = Door(rate_limits=True, faults={"overload-503": 1.0})
    answers = [door.ask("POST", "/order", ORDER) for _ in range(11)]
    assert [answer.status for answer in answers] == [503] * 10 + [429]
    assert [left(answer) for answer in answers[:2]] == [119, 118]


SHED = [
    ("POST", "/order", ORDER),
    ("POST", "/order", {"symbol": "XBTUSD", "side": "Sell", "execInst": "Close", "orderQty": 100}),
    ("PUT", "/order", {"origClOrdID": "mine", "price": 60_001}),
    ("POST", "/position/leverage", {"symbol": "XBTUSD", "leverage": 5}),
    ("POST", "/position/isolate", {"symbol": "XBTUSD"}),
    ("POST", "/position/transferMargin", {"symbol": "XBTUSD", "amount": 1}),
    ("POST", "/position/riskLimit", {"symbol": "XBTUSD", "riskLimit": 30_000_000_000}),
]
ALWAYS_QUEUED = [
    ("DELETE", "/order", {"clOrdID": "mine"}),
    ("DELETE", "/order/all", {}),
    ("POST", "/order/cancelAllAfter", {"timeout": 60_000}),
    ("POST", "/order", {"symbol": "XBTUSD", "side": "Sell", "execInst": "Close",
                        "ordType": "Market"}),
    ("POST", "/order/closePosition", {"symbol": "XBTUSD"}),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "path", "body"), SHED)
def test_an_overloaded_venue_sheds_what_can_wait(door, verb, path, body):
    """New orders, amends and settings: the exact sentence, and nothing has changed."""
    door.world.api.quirks.set("overload-503", 1.0)
    before = door.picture()
    answer = door.ask(verb, path, body)
    assert (answer.status, json.loads(answer.body)) == (503, {"error": {
        "message": "The system is currently overloaded. Please try again later.",
        "name": "HTTPError",
    }})  # fmt: skip
    assert door.picture() == before


@pytest.mark.parametrize(("verb", "path", "body"), ALWAYS_QUEUED)
def test_an_overloaded_venue_takes_what_lowers_risk(door, verb, path, body):
    """Cancels, and Close without a quantity, are queued however full the queue is."""
    door.world.api.quirks.set("overload-503", 1.0)
    assert door.ask(verb, path, body).status == 200


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "path", "fields", "message", "name"),
    [
        ("POST", "/order", {**ORDER, "clOrdID": "mine"}, "Duplicate clOrdID", "HTTPError"),
        ("POST", "/order", {**ORDER, "orderQty": 150},
         "Order quantity must be a multiple of lot size", "HTTPError"),
        ("POST", "/order", {**ORDER, "orderQty": 0}, "Invalid orderQty", "ValidationError"),
        ("POST", "/order", {"orderQty": 100}, "'symbol' is a required arg.", "ValidationError"),
        ("PUT", "/order", {"clOrdID": "new"}, "origClOrdID required when sending clOrdID.",
         "ValidationError"),
        ("PUT", "/order", {"origClOrdID": "dead", "price": 60_001}, "Invalid ordStatus: Canceled",
         "HTTPError"),
    ],
)  # fmt: skip
def test_a_refusal_has_the_name_that_bitmex_gave_it(door, verb, path, fields, message, name):
    """The engine's are HTTPErrors, those of a request's form ValidationErrors."""
    assert said(door, verb, path, **fields) == (400, message, name)


def test_a_client_id_is_no_key_of_idempotency(door):
    """A repeated POST is only caught while the first order is open: here both of them trade."""
    twice = {"symbol": "XBTUSD", "orderQty": 100, "ordType": "Market", "clOrdID": "again"}
    rows = [json.loads(door.ask("POST", "/order", twice).body) for _ in range(2)]
    assert [row["ordStatus"] for row in rows] == ["Filled", "Filled"]
    assert rows[0]["orderID"] != rows[1]["orderID"]
    found = get(door, "/order", 'filter={"clOrdID":"again"}&reverse=true')
    assert [row["orderID"] for row in found] == [row["orderID"] for row in reversed(rows)]


def test_a_failed_cancel_was_a_whole_row_with_its_state_until_2022():
    """HTTP 200, all fields of the order, and an error that names what has become of it."""
    desk = Memory(legacy=True)
    desk.order(orderQty=100, ordType="Market", clOrdID="done")
    desk.order(orderQty=100, price=60_000, clOrdID="gone")
    desk.cancel("gone")
    for name, state in (("done", "Filled"), ("gone", "Canceled")):
        [row] = desk.cancel(name)
        assert row["error"] == f"Unable to cancel order due to existing state: {state}"
        assert (row["symbol"], row["clOrdID"], row["ordStatus"]) == ("XBTUSD", name, state)


@pytest.mark.parametrize(
    "fields",
    [
        {"price": 1_000_000, "orderQty": -100}, {"price": 10, "orderQty": 100},
        {"clOrdID": "mm_bitmex_1a/oemUeQ4CAJZgP3fjHsA+abc"}, {"orderQty": 10_000_000},
    ],
)  # fmt: skip
def test_what_is_just_allowed_is_taken(fields):
    """No price is too far below maxPrice, 36 characters are a name, maxOrderQty is a quantity."""
    desk = Memory(balances={"XBt": 10**17})
    row = desk.json(desk.order(**{"orderQty": 100, "price": 60_000, **fields}))
    assert row["ordStatus"] == "New"
    assert row.items() >= {k: abs(v) if k == "orderQty" else v for k, v in fields.items()}.items()


def test_a_rejected_order_is_not_amended():
    """The detail of December 2021 names each kind of end."""
    desk = Memory({"reject-twice": 1.0})
    desk.order(orderQty=100, price=60_000, clOrdID="a")
    answer = desk.call("PUT", "/api/v1/order", {"origClOrdID": "a", "price": 60_001})
    assert (answer.status, desk.json(answer)["error"]["message"]) == (
        400, "Invalid ordStatus: Rejected",
    )  # fmt: skip


def test_accounts_that_are_not_ones_own_are_refused(door):
    """`targetAccountIds` of cancel-all: the own account is one, somebody else's is none."""
    assert said(door, "DELETE", "/order/all", targetAccountIds=[8]) == (
        400, "Invalid account", "HTTPError",
    )  # fmt: skip
    assert len(door.world.exchange.open_orders(7)) == 1
    assert len(json.loads(door.ask("DELETE", "/order/all", {"targetAccountIds": [7]}).body)) == 1


@pytest.mark.parametrize("symbol", ["xbtusd", "XBT", "XBT:perpetual"])
def test_the_position_routes_take_a_symbol_as_all_others_do(door, symbol):
    """In any case, and by its series."""
    for path, more in (
        ("leverage", {"leverage": 5}), ("isolate", {}), ("transferMargin", {"amount": 1_000}),
        ("riskLimit", {"riskLimit": 30_000_000_000}),
    ):  # fmt: skip
        answer = door.ask("POST", f"/position/{path}", {"symbol": symbol, **more})
        assert (answer.status, json.loads(answer.body).get("symbol")) == (200, "XBTUSD")


@pytest.mark.parametrize(
    ("leverage", "status"),
    [("0.01", 200), ("0.0099", 400), (100, 200), ("100.01", 400), (0, 200), ("-0.01", 400)],
)
def test_leverage_is_from_a_hundredth_to_a_hundred(leverage, status):
    """And 0, which is cross (section 5)."""
    desk = Memory()
    body = {"symbol": "XBTUSD", "leverage": leverage}
    answer = desk.call("POST", "/api/v1/position/leverage", body)
    assert answer.status == status
    if status == 200:
        assert desk.json(answer)["crossMargin"] == (leverage == 0)


def test_a_fault_of_one_symbol_befalls_its_series_too(door):
    """An order for `XBT` is one for XBTUSD, to whatever has been switched on for that."""
    door.world.api.quirks.set("overload-503", 1.0, symbol="XBTUSD")
    assert door.ask("POST", "/order", {**ORDER, "symbol": "xbt"}).status == 503


def test_assets_tell_the_scale_of_a_minor_unit(door):
    """A satoshi is 1e-8 XBT, a USDt 1e-6 USDT, a Gwei 1e-9 ETH."""
    scales = {row["currency"]: (row["asset"], row["scale"]) for row in get(door, "/wallet/assets")}
    assert scales == {"XBt": ("XBT", 8), "USDt": ("USDT", 6), "Gwei": ("ETH", 9)}


# -- the dead man's switch, and orders over the stream ---------------------------------------------


def test_a_new_call_replaces_the_timer():
    """Armed again every 15 seconds it never fires; left alone, a minute after the last call."""
    desk = Memory(symbols=("XBTUSD", "ETHUSD"))
    desk.order(orderQty=100, price=60_000, clOrdID="a")
    desk.order(symbol="ETHUSD", orderQty=1, price=2_000, clOrdID="b")
    for _ in range(5):
        answer = desk.json(desk.call("POST", "/api/v1/order/cancelAllAfter", {"timeout": 60_000}))
        assert list(answer) == ["now", "cancelTime"]
        desk.exchange.due(desk.now + 15_000)
        desk.now += 15_000
    desk.exchange.due(desk.now + 44_999)
    assert (desk.status("a"), desk.status("b")) == ("New", "New")
    desk.exchange.due(desk.now + 45_000)
    assert (desk.status("a"), desk.status("b")) == ("Canceled", "Canceled")


@pytest.mark.parametrize("op", ["order", "placeOrder", "cancel", "amend"])
def test_the_stream_takes_no_orders(op):
    """Orders go over REST alone; on the socket they are no request at all."""
    stage = Stage()
    (refused,) = stage.ear(key=MINE).ask(op, ORDER)
    assert refused["status"] == 400
    assert refused["error"].startswith("Unrecognized request.")
    assert stage.exchange.open_orders(1001) == []


def test_frames_come_before_the_answer_or_after_it():
    """REST and stream are not in step: a slow answer is overtaken, a late frame is awaited."""
    desk = Memory()
    session = desk.listen("order")
    desk.fault("slow-answer")
    answer = desk.order(orderQty=100, price=60_000, clOrdID="a")
    assert answer.delay_s >= 0.2
    assert [row["clOrdID"] for _, row in desk.rows(session, "order")] == ["a"]
    desk.fault("order-late")
    answer = desk.order(orderQty=100, price=60_000, clOrdID="b")
    assert (answer.status, answer.delay_s) == (200, 0)
    assert desk.rows(session, "order") == []
    desk.advance(2_020)
    assert [row["clOrdID"] for _, row in desk.rows(session, "order")] == ["b"]


# -- numbers that other stories count with ---------------------------------------------------------


def test_the_numbers_of_the_stream_are_the_documented_ones():
    """Stories of idle, crowded and late streams take these by name: here is what they are."""
    assert IDLE_MS == 180_000  # section 9.1
    assert CONNECTS_AN_HOUR == 720  # section 12.2
    assert CONNECTS_AT_ONCE / (CONNECTS_WINDOW_MS / 1_000) == 3  # a second
    assert 1_000 <= BIN_LAG_MS <= 10_000  # "a few seconds after the minute", section 10.5


def test_what_is_ambiguous_has_the_documented_statuses_and_words():
    """Section 7: HTML of the proxy, `Server Error`, `Service unavailable`, and a 409."""
    told = {status: (words, html) for status, words, html in AMBIGUOUS.values()}
    assert set(told) == {409, 500, 502, 503, 504, 520}
    assert (told[500], told[503]) == (("Server Error", False), ("Service unavailable", False))
    assert told[502][1]
    assert told[504][1]


def test_a_late_client_is_told_the_newest_twenty_executions():
    """[unsure: how many]. Oldest first, and the last of them is the last there is."""
    stage = Stage()
    for number in range(25):
        stage.place(orderQty=100, price="60000", clOrdID=str(number))
    [partial] = [f for f in stage.ear("execution", key=MINE).frames() if "keys" in f]
    names = [row["clOrdID"] for row in partial["data"]]
    assert names == [str(number) for number in range(5, 25)]
