"""
The door of REST: who is let in, in what words others are not, and that a "no" changes nothing.

Protocol sheet, sections 2, 3, 7 and 12. The refusals of orders are in `test_orders_refusals`, those
of table queries in `test_rest_market`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from reconciler.paper import Key, PaperExchange
from reconciler.paper.auth import sign
from reconciler.paper.quirks import Quirks
from reconciler.paper.web import Answer, Request
from reconciler.paper.world import World
from tests.paper.conftest import NOW

HOUR_MS = 3_600_000
ACCOUNT = 7
KEYS = (
    Key(key="trader", secret="s", account=ACCOUNT),
    Key(key="reader", secret="s", account=ACCOUNT, permissions=()),
    Key(key="canceler", secret="s", account=ACCOUNT, permissions=("orderCancel",)),
    Key(key="banker", secret="s", account=ACCOUNT, permissions=("withdraw",)),
    Key(key="disabled", secret="s", account=ACCOUNT, enabled=False),
    Key(key="elsewhere", secret="s", account=ACCOUNT, cidrs=("192.0.2.0/24", "2001:db8::/32")),
)
ORDER = {"symbol": "XBTUSD", "orderQty": 100, "price": 60_000}


class Door:
    """Requests to a venue in memory, signed well or badly."""

    def __init__(
        self, *, rate_limits: bool = False, faults: dict[str, float] | None = None,
        balances: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.now = NOW
        self.world = World(
            seed=1, symbols=("XBTUSD",), now_ms=NOW, later=lambda delay, action: None, walk=False,
            rate_limits=rate_limits, keys=KEYS, quirks=Quirks(faults, seed=1),
            balances=balances,
        )  # fmt: skip

    def ask(
        self, verb: str, path: str, body: object = None, *, key: str = "trader", secret: str = "s",
        expires: str = "1900000000", query: str = "", raw: bytes | None = None,
        kind: str = "application/json", leave: str = "", address: str = "10.0.0.1",
    ) -> Answer:  # fmt: skip
        """One request; *leave* names a header that is left out, *key* "" signs nothing."""
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        target = f"/api/v1{path}" + (f"?{query}" if query else "")
        headers = {"content-type": kind}
        if key:
            signature = sign(secret, verb, target, expires, sent)
            headers |= {"api-key": key, "api-expires": expires, "api-signature": signature}
        headers.pop(leave, None)
        request = Request(
            verb=verb, path=f"/api/v1{path}", target=target, query=query, headers=headers,
            body=sent, address=address,
        )  # fmt: skip
        admitted = self.world.api.admit(request, self.now)
        return admitted if isinstance(admitted, Answer) else self.world.api.act(admitted, self.now)

    def picture(self) -> str:
        """All that a refusal must not change."""
        exchange = self.world.exchange
        account = exchange.accounts[ACCOUNT]
        return repr(
            [
                [order.row() for order in exchange.orders_of[ACCOUNT]],
                exchange.executions[ACCOUNT], exchange.switches, account.positions,
                [account.wallet_balance(currency) for currency in account.deposited],
                exchange.markets["XBTUSD"].levels(None, NOW), exchange.house_qty,
            ]
        )  # fmt: skip


@pytest.fixture
def door() -> Door:
    made = Door()
    assert made.ask("POST", "/order", {**ORDER, "clOrdID": "mine"}).status == 200
    assert made.ask("POST", "/order", {**ORDER, "price": None, "ordType": "Market"}).status == 200
    return made


EXPIRED = "This request has expired - `expires` is in the past. Current time: 1779274800"
REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    # who asks
    ("POST", "/order", {"key": ""}, 401, "Authorization Required"),
    ("POST", "/order", {"leave": "api-signature"}, 401, "Authorization Required"),
    ("POST", "/order", {"leave": "api-expires"}, 401, "Authorization Required"),
    ("POST", "/order", {"secret": "wrong"}, 401, "Signature not valid."),
    ("POST", "/order", {"expires": "1900000000.5"}, 401, "Signature not valid."),
    ("POST", "/order", {"key": "nobody"}, 401, "Invalid API Key."),
    ("POST", "/order", {"key": "disabled"}, 401, "This key is disabled."),
    ("POST", "/order", {"expires": "1779274800"}, 401, EXPIRED),
    ("GET", "/position", {"expires": "1600000000"}, 401, EXPIRED),
    ("GET", "/instrument", {"secret": "wrong"}, 401, "Signature not valid."),
    ("POST", "/order", {"key": "elsewhere"}, 403,
     "This IP address is not allowed to use this key."),
    # what they may do
    ("POST", "/order", {"key": "reader"}, 403, "Access Denied"),
    ("PUT", "/order", {"key": "canceler"}, 403, "Access Denied"),
    ("POST", "/order", {"key": "canceler"}, 403, "Access Denied"),
    ("POST", "/order", {"key": "banker"}, 403, "Access Denied"),
    ("DELETE", "/order/all", {"key": "reader"}, 403, "Access Denied"),
    ("POST", "/order/cancelAllAfter", {"key": "banker"}, 403, "Access Denied"),
    ("POST", "/order/closePosition", {"key": "canceler"}, 403, "Access Denied"),
    ("POST", "/position/leverage", {"key": "reader"}, 403, "Access Denied"),
    ("POST", "/position/isolate", {"key": "canceler"}, 403, "Access Denied"),
    ("POST", "/position/transferMargin", {"key": "reader"}, 403, "Access Denied"),
    ("POST", "/position/riskLimit", {"key": "reader"}, 403, "Access Denied"),
    # where
    ("POST", "/ordre", {}, 404, "Not Found"),
    ("PATCH", "/order", {}, 404, "Not Found"),
    ("DELETE", "/position", {}, 404, "Not Found"),
    # in what form
    ("POST", "/order", {"raw": b"{"}, 400, "Unexpected token in JSON body"),
    ("POST", "/order", {"raw": b"[1]"}, 400, "Body must be an object"),
    ("POST", "/order", {"raw": b"\xff\xfe"}, 400, "Unexpected token in JSON body"),
    ("POST", "/order", {"raw": b""}, 400, "'symbol' is a required arg."),
    ("POST", "/order", {"body": {"symbol": ["XBTUSD"]}}, 400, "Invalid symbol"),
    ("PUT", "/order", {"body": {}}, 400, "orderID or origClOrdID must be sent."),
    ("PUT", "/order", {"body": {"origClOrdID": "none"}}, 400, "Invalid origClOrdID"),
    ("PUT", "/order", {"body": {"orderID": "none"}}, 400, "Invalid orderID"),
    ("DELETE", "/order", {"body": {}}, 400, "orderID or clOrdID must be sent."),
    ("DELETE", "/order", {"body": {"orderID": {"a": 1}}}, 400, "Invalid orderID"),
    ("DELETE", "/order/all", {"body": {"symbol": "NOPE"}}, 400, "Invalid symbol"),
    ("DELETE", "/order/all", {"body": {"filter": "x"}}, 400, "filter values are not valid"),
    ("POST", "/order/cancelAllAfter", {"body": {}}, 400, "'timeout' is a required arg."),
    ("POST", "/order/cancelAllAfter", {"body": {"timeout": -1}}, 400, "Invalid timeout"),
    ("POST", "/order/cancelAllAfter", {"body": {"timeout": 10**15}}, 400, "Invalid timeout"),
    ("POST", "/position/leverage", {"body": {"leverage": 5}}, 400, "'symbol' is a required arg."),
    ("POST", "/position/leverage", {"body": {"symbol": "XBTUSD"}}, 400,
     "'leverage' is a required arg."),
    ("GET", "/order", {"query": "count=501"}, 400,
     "Maximum result count is 500. Please use the start & count params to paginate."),
    ("GET", "/execution", {"query": "startTime=never"}, 400, "startTime is invalid"),
    ("GET", "/position", {"query": "filter=%7B"}, 400, "filter values are not valid"),
    ("GET", "/user/margin", {"query": "currency=EUR"}, 400, "Invalid currency"),
    ("GET", "/execution/tradeHistory", {"query": "targetAccountIds=[8]"}, 400, "Invalid account"),
    ("GET", "/user/quoteFillRatio", {"query": "targetAccountId=8"}, 400, "Invalid account"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "path", "request_", "status", "message"), REFUSED)
def test_a_refusal_is_in_bitmex_words_and_changes_nothing(
    door, verb, path, request_, status, message
):
    """Status, sentence and form are BitMEX's; orders, money, books and switches stay as is."""
    before = door.picture()
    asked = {"body": None if verb == "GET" else ORDER, **request_}
    answer = door.ask(verb, path, **asked)
    error = json.loads(answer.body)["error"]
    assert (answer.status, error["message"]) == (status, message)
    assert error["name"] in ("HTTPError", "ValidationError")
    assert ("x-ratelimit-limit" in answer.headers) == (status == 400)
    assert door.picture() == before


def test_a_table_may_be_told_apart_by_its_keys_permissions(door):
    """A key that may only read reads everything; one that may only cancel also cancels."""
    for path in ("/order", "/execution", "/position", "/user", "/user/margin", "/apiKey"):
        for key in ("reader", "canceler", "banker"):
            assert door.ask("GET", path, key=key).status == 200
    assert door.ask("DELETE", "/order", {"clOrdID": "mine"}, key="canceler").status == 200
    assert door.ask("POST", "/order/cancelAllAfter", {"timeout": 0}, key="canceler").status == 200


def test_the_key_that_asks_can_read_itself(door):
    """`/apiKey/self` is the one that signed, without its secret; `/apiKey` are all of them."""
    own = json.loads(door.ask("GET", "/apiKey/self", key="canceler").body)
    assert (own["id"], own["secret"], own["permissions"]) == ("canceler", "", ["orderCancel"])
    every = json.loads(door.ask("GET", "/apiKey").body)
    assert [key["id"] for key in every] == [key.key for key in KEYS]
    assert own in every


def test_a_key_can_be_bound_to_addresses(door):
    """From an address of its list it is let in, from another it is not."""
    for address, status in (("192.0.2.77", 200), ("2001:db8::5", 200), ("192.0.3.1", 403)):
        assert door.ask("GET", "/user", key="elsewhere", address=address).status == status


def test_a_lack_of_balance_has_a_code():
    """Since 2025 this refusal is a CodedHTTPError whose details are a number in a text."""
    answer = Door(balances={"XBt": 1_000}).ask("POST", "/order", ORDER)
    error = json.loads(answer.body)["error"]
    assert (error["name"], error["details"]) == ("CodedHTTPError", "19000")
    assert error["message"].startswith("Account has insufficient Available Balance, ")


def test_every_answer_names_its_request(door):
    """Refused or not, an answer has an id of its own and the id of its stream."""
    answers = [
        door.ask("GET", "/user"), door.ask("POST", "/order", {}), door.ask("GET", "/nowhere"),
        door.ask("GET", "/user", secret="wrong"),
    ]  # fmt: skip
    assert len({answer.headers["x-request-id"] for answer in answers}) == 4
    assert all("x-stream-id" in answer.headers for answer in answers)


def test_burst_headers_stand_on_burst_routes_alone():
    """Orders tell what is left of the second; other requests only of the minute."""
    door = Door(rate_limits=True)
    order, read = door.ask("POST", "/order", ORDER), door.ask("GET", "/order")
    assert (order.headers["x-ratelimit-limit-1s"], order.headers["x-ratelimit-remaining-1s"]) == (
        "10", "9",
    )  # fmt: skip
    assert "x-ratelimit-remaining-1s" not in read.headers
    assert (read.headers["x-ratelimit-limit"], read.headers["x-ratelimit-remaining"]) == (
        "120", "118",
    )  # fmt: skip
    assert int(read.headers["x-ratelimit-reset"]) > NOW // 1000


def test_tokens_come_back_all_the_time():
    """Two a second for a member: after the 429's wait the next request is let in."""
    door = Door(rate_limits=True)
    statuses = [door.ask("GET", "/user").status for _ in range(121)]
    assert statuses == [200] * 120 + [429]
    refused = door.ask("GET", "/user")
    assert json.loads(refused.body)["error"] == {
        "message": "Rate limit exceeded, retry in 1 seconds.", "name": "RateLimitError",
    }  # fmt: skip
    assert (refused.headers["retry-after"], refused.headers["x-ratelimit-remaining"]) == ("1", "0")
    door.now += 1_000
    assert [door.ask("GET", "/user").status for _ in range(3)] == [200, 200, 429]


def test_who_ignores_429s_is_banned_for_an_hour_then_for_a_week():
    """The ban is on the address, whatever key it uses; it is 403, and it ends."""
    door = Door(rate_limits=True, faults={"ip-ban": 1.0})

    def hammer() -> None:
        while door.ask("GET", "/user").status != 403:
            door.now += 1

    hammer()
    assert door.ask("GET", "/instrument", key="").status == 403
    assert door.ask("GET", "/user", address="10.0.0.2").status != 403
    door.now += HOUR_MS
    assert door.ask("GET", "/user").status == 200
    hammer()
    door.now += 24 * HOUR_MS
    assert door.ask("GET", "/user").status == 403
    door.now += 6 * 24 * HOUR_MS - 60_000
    assert door.ask("GET", "/user").status == 403
    door.now += 60_000
    assert door.ask("GET", "/user").status == 200


def test_a_ban_strikes_as_likely_and_as_often_as_asked():
    """Drawn at each offence: some are forgiven, then one is banned for its hour, and told."""
    door = Door(rate_limits=True, faults={"ip-banx1": 0.1})
    refusals = 0
    while (status := door.ask("GET", "/user").status) != 403:
        refusals += status == 429
        door.now += 1
    assert refusals > 30, "the first offence was forgiven"
    assert refusals % 30 == 0
    [ban] = [row for row in door.world.quirks.listing() if row["name"] == "ip-ban"]
    assert (ban["fired"], ban["count"]) == (1, 0)
    assert door.ask("GET", "/user").status == 403, "though no more bans are to come"
    door.now += HOUR_MS
    statuses = {door.ask("GET", "/user").status for _ in range(500)}
    assert statuses == {200, 429}, "the one ban is over"


def test_who_waits_as_told_is_never_banned():
    """A member who takes every 429 to heart goes on all day."""
    door = Door(rate_limits=True, faults={"ip-ban": 1.0})
    for _ in range(2_000):
        answer = door.ask("GET", "/user")
        assert answer.status in (200, 429)
        door.now += int(answer.headers.get("retry-after", "0")) * 1_000 + 10


LISTS = [
    ("", "clOrdID=a&clOrdID=b"), ("", "clOrdID[]=a&clOrdID[]=b"), ("", "clOrdID=a,b"),
    ("", "clOrdID=%5B%22a%22%2C%22b%22%5D"), ("clOrdID=a&clOrdID=b", ""),
    ('clOrdID=["a","b"]', ""), ('{"clOrdID":["a","b"]}', ""), ('{"clOrdID":"a,b"}', ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "query"), LISTS)
def test_a_list_of_names_may_be_written_in_many_ways(body, query):
    """Query or body, form or JSON, repeated or as one text: the same two orders are canceled."""
    door = Door()
    for name in ("a", "b", "c"):
        door.ask("POST", "/order", {**ORDER, "clOrdID": name})
    kind = "application/json" if body.startswith("{") else "application/x-www-form-urlencoded"
    answer = door.ask("DELETE", "/order", raw=body.encode(), query=query, kind=kind)
    assert [row["clOrdID"] for row in json.loads(answer.body)] == ["a", "b"]
    assert [order.cl_ord_id for order in door.world.exchange.open_orders(ACCOUNT)] == ["c"]


def test_how_an_account_quotes_and_trades_is_told(door):
    """Two orders were sent and one traded: that is the ratio; the account may be named."""
    [day] = json.loads(door.ask("GET", "/user/quoteFillRatio", query="targetAccountId=7").body)
    assert (day["quoteCount"], day["dealtCount"], day["quoteFillRatioMavg7"]) == (2, 1, 0.5)
    [row] = json.loads(door.ask("GET", "/user/quoteValueRatio").body)
    assert (row["symbol"], row["quoteCount"]) == ("XBTUSD", 2)
    [volume] = json.loads(door.ask("GET", "/user/tradingVolume").body)
    assert volume["advUsd"] == pytest.approx(100 / 30, abs=1e-4)
    history = door.ask("GET", "/execution/tradeHistory", query="targetAccountIds=[7]")
    assert len(json.loads(history.body)) == 1


def test_filters_of_orders_know_what_is_open(door):
    """`open`, and what old clients send, choose the live orders; so do arrays of states."""
    door.ask("POST", "/order", {**ORDER, "clOrdID": "dead"})
    door.ask("DELETE", "/order", {"clOrdID": "dead"})

    def found(where: object, more: str = "") -> list[str]:
        query = f"filter={json.dumps(where)}{more}"
        return [
            row.get("clOrdID", "")
            for row in json.loads(door.ask("GET", "/order", query=query).body)
        ]

    assert found({"open": True}) == found({"ordStatus.isTerminated": False}) == ["mine"]
    assert found({"open": False}) == found({"ordStatus.isTerminated": True}) == ["", "dead"]
    assert found({"ordStatus": ["New", "Canceled"]}) == ["mine", "dead"]
    assert found({"clOrdID": "dead"}) == ["dead"]
    assert found({"open": True, "symbol": "ETHUSD"}) == []
    assert found({"ordStatus": ["New", "Canceled"]}, "&reverse=true&count=1") == ["dead"]


def test_answers_over_a_socket_have_date_and_survive_rubbish():
    """HEAD tells the time without a body; a body that is too large is refused."""
    with PaperExchange(walk=False, rate_limits=False) as venue:
        url = f"{venue.url}/api/v1/instrument/active"
        head = requests.head(url, timeout=8)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["date"].endswith("GMT")
        large = requests.post(f"{venue.url}/api/v1/order", data=b"x" * 1_100_000, timeout=8)
        assert (large.status_code, large.json()["error"]["name"]) == (413, "HTTPError")
        assert requests.get(url, timeout=8).json()[0]["symbol"] == "XBTUSD"
