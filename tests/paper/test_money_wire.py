"""Money over real sockets: routes, refusals, permissions, tables (sheet, 2.3, 5, 7, 8, 10)."""

from __future__ import annotations

import time

import pytest

from reconciler.paper import Key, PaperExchange
from reconciler.paper.routes import ROUTES
from tests.paper.conftest import Client, Stream

KEYS = (
    Key(key="trader", secret="t", account=1),
    Key(key="other", secret="o", account=2),
    Key(key="reader", secret="r", account=1, permissions=()),
    Key(key="canceler", secret="c", account=1, permissions=("orderCancel",)),
    Key(key="cashier", secret="w", account=1, permissions=("withdraw",)),
)
ROOT = "/api/v1"


@pytest.fixture(scope="module")
def till():
    """A still venue with all kinds of instrument, keys of all kinds, and a shilling each."""
    with PaperExchange(
        symbols=("XBTUSD", "XBT_USDT", "XBT:quarterly"), keys=KEYS, walk=False, rate_limits=False,
        balances={"XBt": 10_000_000, "USDt": 1_000_000_000},
    ) as venue:  # fmt: skip
        yield venue


def as_key(venue: PaperExchange, name: str) -> Client:
    return Client(venue.url, name, next(key.secret for key in KEYS if key.key == name))


@pytest.fixture
def me(till):
    client = as_key(till, "trader")
    yield client
    client.call("DELETE", f"{ROOT}/order/all")
    for row in client.call("GET", f"{ROOT}/position").json():
        if row["isOpen"]:
            client.order(symbol=row["symbol"], execInst="Close", ordType="Market",
                         side="Sell" if row["currentQty"] > 0 else "Buy")  # fmt: skip


def post(client, path, **fields):
    answer = client.call("POST", ROOT + path, fields)
    return answer.status_code, answer.json()


def said(client, path, **fields):
    status, body = post(client, path, **fields)
    assert status == 400, body
    return body["error"]["message"]


def test_every_route_asks_for_the_permission_that_it_needs(till):
    """A reader and a cashier read, a canceler cancels; none places, amends or sets leverage."""
    clients = {name: as_key(till, name) for name in ("reader", "canceler", "cashier")}
    denied = {name: set() for name in clients}
    for (verb, path), route in ROUTES.items():
        if route.access == "public":
            continue
        for name, client in clients.items():
            status = client.call(verb, path, None if verb == "GET" else {}).status_code
            assert status in (200, 400, 403), (verb, path, name, status)
            if status == 403:
                denied[name].add((verb, path.removeprefix(ROOT)))
    place = {
        ("POST", "/order"), ("PUT", "/order"), ("POST", "/order/bulk"), ("PUT", "/order/bulk"),
        ("POST", "/order/closePosition"), ("POST", "/position/leverage"),
        ("POST", "/position/isolate"), ("POST", "/position/riskLimit"),
        ("POST", "/position/transferMargin"),
    }  # fmt: skip
    cancel = {
        ("DELETE", "/order"), ("DELETE", "/order/all"), ("POST", "/order/cancelAllAfter")
    }  # fmt: skip
    assert denied["canceler"] == place
    assert denied["reader"] == denied["cashier"] == place | cancel


def test_the_position_routes_answer_rows_and_refusals(me):
    """Leverage, isolate, riskLimit and transferMargin: a Position row, or BitMEX's words."""
    status, row = post(me, "/position/leverage", symbol="xbtusd", leverage=5)
    assert (status, row["leverage"], row["crossMargin"]) == (200, 5, False)
    status, row = post(me, "/position/isolate", symbol="XBTUSD", enabled=False)
    assert (status, row["leverage"], row["crossMargin"]) == (200, 100, True)
    status, row = post(me, "/position/isolate", symbol="XBTUSD")
    assert (row["leverage"], row["crossMargin"]) == (100, False)
    status, row = post(me, "/position/riskLimit", symbol="XBTUSD", riskLimit=30_000_000_000)
    assert (status, row["riskLimit"], row["maintMarginReq"]) == (200, 30_000_000_000, 0.01)
    post(me, "/position/riskLimit", symbol="XBTUSD", riskLimit=20_000_000_000)
    for leverage in (-1, 0.001, 101, 1e30, "much", [], True):
        assert said(me, "/position/leverage", symbol="XBTUSD", leverage=leverage) == (
            "Invalid leverage"
        )
    assert said(me, "/position/leverage", symbol="XBTUSD") == "'leverage' is a required arg."
    assert said(me, "/position/leverage", leverage=3) == "'symbol' is a required arg."
    assert said(me, "/position/riskLimit", symbol="XBTUSD", riskLimit=1) == "Invalid riskLimit"
    assert said(me, "/position/riskLimit", symbol="XBTUSD") == "'riskLimit' is a required arg."
    assert said(me, "/position/transferMargin", symbol="XBTUSD") == "'amount' is a required arg."
    assert said(me, "/position/leverage", symbol="XBT_USDT", leverage=3) == "Invalid symbol"
    assert said(me, "/position/transferMargin", symbol="XBTUSD", amount=5) == (
        "Position is not isolated"
    )
    assert said(me, "/position/transferMargin", symbol="XBTUSD", amount=10**40) == "Invalid amount"


def test_the_order_that_asks_too_much_is_refused_with_its_margin(me):
    """A cross order of 10 million contracts: N is what section 8.2 makes of it, to the unit."""
    cost = round(10**10 / 60_000) * 100_000
    needed = -(-cost // 100) + -(-cost // 2_000) + -(-cost * 101 // 200_000)
    assert said(me, "/order", symbol="XBTUSD", orderQty=10_000_000, price=60_000) == (
        f"Account has insufficient Available Balance, {needed} XBt required"
    )


def test_balances_of_one_and_of_all_currencies(me):
    """One object for a currency, a list for all; an unknown one is refused."""
    for route in ("margin", "wallet"):
        one = me.call("GET", f"{ROOT}/user/{route}").json()
        both = me.call("GET", f"{ROOT}/user/{route}?currency=all").json()
        assert one["currency"] == "XBt"
        assert [row["currency"] for row in both] == ["XBt", "USDt"]
        answer = me.call("GET", f"{ROOT}/user/{route}?currency=DOGe")
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Invalid currency")
    lines = me.call("GET", f"{ROOT}/user/walletHistory?currency=all&reverse=false").json()
    assert {line["transactType"] for line in lines[:2]} == {"Deposit"}
    fees = me.call("GET", f"{ROOT}/user/commission").json()["XBTUSD"]
    assert fees == {"makerFee": 0.0005, "takerFee": 0.0005, "settlementFee": 0, "maxFee": 0.0005}


def test_a_symbol_never_traded_has_no_position_row(till):
    """The first trade inserts it; closed, it stays with currentQty 0 (section 5)."""
    client = as_key(till, "other")
    assert client.call("GET", f"{ROOT}/position").json() == []
    stream = Stream(till.url, "position", client=client)
    client.order(orderQty=100, ordType="Market")
    frame = stream.until(lambda f: f.get("table") == "position" and f["action"] != "partial")
    assert frame["action"] == "insert"
    client.order(orderQty=-100, ordType="Market")
    [row] = client.call("GET", f"{ROOT}/position").json()
    assert (row["currentQty"], row["isOpen"]) == (0, False)
    stream.close()


def row_of(stream, table, wanted):
    """The first row of a table, of however many in its frame, that is wanted."""
    frame = stream.until(lambda f: f.get("table") == table and any(map(wanted, f["data"])))
    return next(row for row in frame["data"] if wanted(row))


def test_a_liquidation_is_seen_by_everybody_who_should(till, me):
    """The member gets a foreign order and an execution, the public a row of liquidation."""
    mine = Stream(till.url, "execution", "position", client=me)
    public = Stream(till.url, "liquidation")
    post(me, "/position/leverage", symbol="XBTUSD", leverage=20)
    assert me.order(orderQty=10_000, ordType="Market").json()["ordStatus"] == "Filled"
    me.paper("price", symbol="XBTUSD", price=57_000)
    found = row_of(mine, "execution", lambda row: row["execType"] == "Liquidation")
    assert (found["side"], found["lastQty"], found["text"]) == ("Sell", 10_000, "Liquidation")
    assert row_of(mine, "position", lambda row: row.get("isOpen") is False)["currentQty"] == 0
    told = public.until(lambda f: f.get("table") == "liquidation" and f["action"] == "insert")
    assert (told["data"][0]["symbol"], told["data"][0]["side"]) == ("XBTUSD", "Sell")
    gone = public.until(lambda f: f.get("table") == "liquidation" and f["action"] == "delete")
    assert gone["data"][0]["orderID"] == told["data"][0]["orderID"]
    me.paper("price", symbol="XBTUSD", price=61_250)
    mine.close()
    public.close()


def test_control_refuses_rules_that_make_no_sense(me):
    """No zero lot, tick, margin or price; what is refused changes nothing."""
    before = me.call("GET", f"{ROOT}/instrument?symbol=XBTUSD").json()[0]
    for name, value in (
        ("lotSize", 0), ("tickSize", 0), ("initMargin", 0), ("maintMargin", 2), ("takerFee", 5),
        ("makerFee", -1), ("lotSize", 10**9),
    ):  # fmt: skip
        answer = me.session.post(
            f"{me.url}/paper/rules", json={"symbol": "XBTUSD", name: value}, timeout=8
        )
        assert answer.status_code == 400, (name, value, answer.text)
    for fields in (
        {"symbol": "XBTUSD", "price": 0}, {"symbol": "XBTUSD", "price": -5},
        {"symbol": "XBT_USDT"},
    ):  # fmt: skip
        assert me.session.post(f"{me.url}/paper/settle", json=fields, timeout=8).status_code == 400
    after = me.call("GET", f"{ROOT}/instrument?symbol=XBTUSD").json()[0]
    for name in ("lotSize", "tickSize", "initMargin", "maintMargin", "takerFee", "state"):
        assert after[name] == before[name]


def test_the_books_balance_and_say_so(me):
    """After all that was done here: no contract too many, no unit missing, and where it all is."""
    me.order(orderQty=300, ordType="Market")
    me.paper("funding", symbol="XBTUSD", fundingRate=-0.0003)
    me.paper("insurance", currency="XBt", balance=5)
    me.order(symbol="XBT_USDT", orderQty=10_000, ordType="Market")
    found = me.paper("books")
    assert set(found["contracts"].values()) == {0}
    assert {currency: sums["gap"] for currency, sums in found["money"].items()} == {
        "USDt": 0, "XBt": 0,
    }  # fmt: skip
    assert found["money"]["XBt"]["fees"] > 0


def test_speed_is_seen_in_the_rows():
    """At 86400-fold speed a second is a day: funding and noon come while one looks on."""
    with PaperExchange(speed=86_400, walk=False, rate_limits=False) as venue:
        client = Client(venue.url)
        client.order(orderQty=300, ordType="Market")
        deadline = time.monotonic() + 30
        want = {"Funding", "RealisedPNL"}
        while want and time.monotonic() < deadline:
            rows = client.call("GET", f"{ROOT}/execution/tradeHistory").json()
            lines = client.call("GET", f"{ROOT}/user/walletHistory").json()
            want -= {r["execType"] for r in rows} | {line["transactType"] for line in lines}
            time.sleep(0.25)  # a look every quarter of a second
        assert want == set()
        books = client.paper("books")["money"]["XBt"]
        assert books["gap"] == 0
