"""REST over a real socket, with `requests` and with bare bytes."""

import http.client
import json
import socket
import time

import pytest
import requests

from reconciler.paper import Key, PaperExchange
from tests.paper.conftest import DEADLINE_S, Client


def test_a_first_trade(venue, client):
    """A stranger can read the instrument, trade it, and find order, fill and position again."""
    inst = requests.get(f"{venue.url}/api/v1/instrument?symbol=xbtusd", timeout=8).json()[0]
    assert (inst["lotSize"], inst["tickSize"], inst["isInverse"]) == (100, 0.1, True)
    placed = client.order(orderQty=300, ordType="Market", clOrdID="rc/1+a")
    assert placed.status_code == 200
    assert placed.json()["ordStatus"] == "Filled"
    assert placed.headers["date"].endswith("GMT")
    query = "/api/v1/order?filter=%7B%22clOrdID%22%3A%22rc%2F1%2Ba%22%7D&reverse=true"
    [row] = client.call("GET", query).json()
    assert row == placed.json()
    fills = client.call("GET", "/api/v1/execution/tradeHistory?symbol=XBTUSD").json()
    assert [(f["execCost"], f["execComm"], f["lastQty"]) for f in fills] == [(-489_792, 244, 300)]
    [position] = client.call("GET", "/api/v1/position").json()
    assert (position["currentQty"], position["currentCost"]) == (300, -489_792)
    margin = client.call("GET", "/api/v1/user/margin?currency=all").json()
    assert {m["currency"]: m["walletBalance"] for m in margin} == {
        "XBt": 10_000_000_000 - 244, "USDt": 1_000_000_000_000,
    }  # fmt: skip


def test_prices_keep_every_digit_on_the_wire(client):
    """A price goes out as the number it is: no float tail, no trailing zero, no text."""
    answer = client.order(orderQty=300, price="60999.9")
    assert b'"price":60999.9,' in answer.content
    answer = client.order(orderQty=300, price=61000.0)
    assert b'"price":61000,' in answer.content


def test_bodies_may_be_json_or_form_and_blanks_are_unset(client):
    """A form body with blanks and a JSON body with a negative quantity are both honest orders."""
    form = "symbol=xbtusd&orderQty=300.0&price=60000.5&clOrdID=f1&timeInForce=&execInst="
    row = client.call("POST", "/api/v1/order", form=form).json()
    assert (row["side"], row["orderQty"], row["clOrdID"]) == ("Buy", 300, "f1")
    row = client.order(orderQty=-300, price=62000.5).json()
    assert row["side"] == "Sell"
    ids = json.dumps(["f1", "nobody"])
    rows = client.call("DELETE", "/api/v1/order", form=f"clOrdID={ids}").json()
    assert [r.get("ordStatus") for r in rows] == ["Canceled", None]
    assert (
        client.call("DELETE", "/api/v1/order?orderID=" + row["orderID"]).json()[0]["leavesQty"] == 0
    )


def test_signatures_cover_the_target_as_sent(venue, client):
    """Differently encoded queries are all admitted, for each is signed as it is sent."""
    wire = http.client.HTTPConnection("127.0.0.1", venue.port, timeout=DEADLINE_S)
    for query in (
        "", "?",
        "?filter=%7B%22open%22%3Atrue%7D", "?filter={%22open%22:true}&count=5",
        "?filter=%7B%22symbol%22%3A+%22XBTUSD%22%7D", "?symbol=XBTUSD&reverse=true&count=500",
    ):  # fmt: skip
        path = "/api/v1/order" + query
        wire.request("GET", path, headers=client.signed("GET", path, b"", "99999999999"))
        answer = wire.getresponse()
        assert (answer.status, json.loads(answer.read())) == (200, []), query


@pytest.mark.parametrize(
    ("key", "secret", "expires", "message"),
    [
        ("sim-key", "wrong", None, "Signature not valid."),
        ("nobody", "sim-secret", None, "Invalid API Key."),
        ("sim-key", "sim-secret", "1600000000",
         "This request has expired - `expires` is in the past. Current time: "),
    ],
)  # fmt: skip
def test_strangers_and_the_late_are_turned_away(venue, key, secret, expires, message):
    """A wrong key, signature or expiry is a 401 in BitMEX's words, without rate-limit headers."""
    answer = Client(venue.url, key, secret).call("GET", "/api/v1/position", expires=expires)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"].startswith(message)
    assert "x-ratelimit-limit" not in answer.headers


def test_a_key_may_do_only_what_it_is_for():
    """A reading key places nothing, a cancel key only cancels, and each reads its own account."""
    keys = (
        Key(key="r", secret="r", account=7, permissions=()),
        Key(key="c", secret="c", account=7, permissions=("orderCancel",)),
    )
    with PaperExchange(walk=False, keys=keys) as venue:
        for name, statuses in (("r", (403, 403, 200)), ("c", (403, 200, 200))):
            client = Client(venue.url, name, name)
            assert statuses == (
                client.order(orderQty=100, ordType="Market").status_code,
                client.call("DELETE", "/api/v1/order/all", {}).status_code,
                client.call("GET", "/api/v1/order").status_code,
            )


def test_limits_are_told_and_kept():
    """The eleventh order request of a second is a 429 that names its wait; nothing is placed."""
    with PaperExchange(walk=False) as venue:
        client = Client(venue.url)
        answers = [client.order(orderQty=100, price=50_000 + i) for i in range(12)]
        refused = [a for a in answers if a.status_code == 429]
        assert refused
        assert refused[0].json()["error"] == {
            "message": "Rate limit exceeded, retry in 1 seconds.", "name": "RateLimitError",
        }  # fmt: skip
        assert refused[0].headers["retry-after"] == "1"
        assert answers[0].headers["x-ratelimit-remaining"] == "119"
        assert answers[0].headers["x-ratelimit-remaining-1s"] == "9"
        assert len(client.paper("truth")["orders"]) == 12 - len(refused)


def test_the_minute_bucket_is_refilled(venue):
    """An unsigned stranger has 30 requests a minute."""
    with PaperExchange(walk=False) as limited:
        session = requests.Session()
        url = f"{limited.url}/api/v1/instrument/active"
        statuses = [session.get(url, timeout=8).status_code for _ in range(33)]
    assert statuses[:30] == [200] * 30
    assert 429 in statuses[30:]


def test_cancel_all_honours_symbol_and_filter(client):
    """`DELETE /order/all` cancels what symbol and filter choose, and answers their rows."""
    client.order(orderQty=100, price=50_000)
    client.order(orderQty=-100, price=70_000)
    client.call("POST", "/api/v1/order", {"symbol": "ETHUSD", "orderQty": 1, "price": 2000})

    def cancel(body):
        return [r["symbol"] for r in client.call("DELETE", "/api/v1/order/all", body).json()]

    assert cancel({"symbol": "XBTUSD", "filter": {"side": "Sell"}}) == ["XBTUSD"]
    assert cancel({"symbol": "ETHUSD"}) == ["ETHUSD"]
    assert cancel({}) == ["XBTUSD"]
    assert cancel({}) == []


def test_tables_are_read_oldest_first_in_pages(client):
    """count, start, reverse, columns and times cut the same table the same way."""
    ids = [client.order(orderQty=100, price=50_000 + i).json()["orderID"] for i in range(5)]

    def read(query):
        rows = client.call("GET", f"/api/v1/order?_format=json&{query}").json()
        return [row["orderID"] for row in rows]

    assert read("") == ids
    assert read("reverse=true&count=2") == ids[:2:-1]
    assert read("start=1&count=2") == ids[1:3]
    assert read("reverse=true&start=1&count=2") == [ids[3], ids[2]]
    assert read("startTime=2999-01-01") == []
    assert read("endTime=2999-01-01T00:00:00.000Z") == ids
    [row] = client.call("GET", "/api/v1/order?count=1&columns=%5B%22price%22%5D").json()
    assert set(row) == {"orderID", "price"}
    assert client.call("GET", "/api/v1/order?count=501").status_code == 400
    assert client.call("GET", "/api/v1/order?filter=nonsense").status_code == 400


def test_cancel_all_after_answers_when(client):
    """The switch tells when it fires, and 0 once disarmed."""
    armed = client.call("POST", "/api/v1/order/cancelAllAfter", {"timeout": 60_000}).json()
    assert armed["cancelTime"][:10] >= armed["now"][:10]
    disarmed = client.call("POST", "/api/v1/order/cancelAllAfter", {"timeout": 0}).json()
    assert disarmed["cancelTime"] == 0


def test_the_switch_fires(client):
    """Orders are gone soon after the timeout of cancelAllAfter."""
    client.order(orderQty=100, price=50_000, clOrdID="a")
    client.call("POST", "/api/v1/order/cancelAllAfter", {"timeout": 50})
    deadline = time.monotonic() + DEADLINE_S
    while client.paper("truth")["orders"][0]["ordStatus"] != "Canceled":
        assert time.monotonic() < deadline


READS = [
    "/user", "/user/wallet", "/user/walletHistory", "/user/commission", "/apiKey", "/wallet/assets",
    "/instrument", "/instrument/active", "/instrument/activeAndIndices", "/quote?symbol=XBTUSD",
    "/trade?count=5", "/orderBook/L2?symbol=XBTUSD&depth=1", "/schema/websocketHelp", "/funding",
]  # fmt: skip


@pytest.mark.parametrize("path", READS)
def test_every_other_route_answers(client, path):
    """Each reading route answers 200 with JSON that has something to say, or an empty table."""
    answer = client.call("GET", "/api/v1" + path)
    assert answer.status_code == 200
    assert answer.json() or path in ("/funding", "/trade?count=5")


RUBBISH = [
    (b"{", "application/json"), (b"[1]", "application/json"), (b"\xff\xfe", "application/json"),
    (b'{"symbol":{},"orderQty":100}', "application/json"),
    (b'{"symbol":"XBTUSD","orderQty":1e400,"price":1}', "application/json"),
    (b'{"symbol":"XBTUSD","orderQty":"NaN","price":"Infinity"}', "application/json"),
    (b'{"symbol":"XBTUSD","orderQty":true,"price":[]}', "application/json"),
    (b'{"symbol":"XBTUSD","orderQty":100,"price":1e-300}', "application/json"),
    (b"%%%=&&&", "application/x-www-form-urlencoded"), (b"\xff=\xfe", "x-www-form-urlencoded"),
    (b"[" * 100_000, "application/json"), (b'{"symbol":"' + b"X" * 5000 + b'"}', "text/plain"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), RUBBISH)
def test_rubbish_is_refused_and_never_a_crash(venue, client, body, kind):
    """Whatever bytes come as a body, the answer is a 400 in BitMEX's form."""
    for verb, path in (("POST", "/api/v1/order"), ("PUT", "/api/v1/order"),
                       ("DELETE", "/api/v1/order")):  # fmt: skip
        headers = client.signed(verb, path, body, str(int(time.time()) + 60))
        headers["content-type"] = kind
        answer = requests.request(verb, venue.url + path, data=body, headers=headers, timeout=8)
        assert answer.status_code == 400, answer.text
        assert set(answer.json()["error"]) == {"message", "name"}


def test_unknown_routes_are_not_found(client):
    """A wrong route is a 404 in BitMEX's form."""
    answer = client.call("GET", "/api/v1/nowhere")
    assert (answer.status_code, answer.json()) == (
        404, {"error": {"message": "Not Found", "name": "HTTPError"}},
    )  # fmt: skip


def test_bad_http_does_not_end_the_venue(venue, client):
    """Bytes that are no HTTP are answered or dropped, and the venue goes on."""
    for rubbish in (b"\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", venue.port), timeout=8) as raw:
            raw.sendall(rubbish)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass
    assert client.call("GET", "/api/v1/user").status_code == 200


def test_a_taken_port_is_an_os_error(venue):
    """A second venue on the same port is refused before it starts."""
    with pytest.raises(OSError, match="in use"):
        PaperExchange(port=venue.port)


def test_wrong_options_are_told_at_once():
    """An unknown symbol, fault or speed is a ValueError that names it."""
    for options, name in (
        ({"symbols": ("NOPE",)}, "NOPE"), ({"faults": {"nope": 1}}, "nope"),
        ({"speed": 0}, "speed"),
        ({"faults": {"lost-answer": 2}}, "probability"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            PaperExchange(**options)
