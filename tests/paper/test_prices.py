"""Where prices come from: the seeded walk, the control door, a recording."""

import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from reconciler.paper import PaperExchange
from reconciler.paper.floor import sum_of_contracts
from reconciler.paper.market import BUY, SELL
from reconciler.paper.recording import BadRecording, Recording
from reconciler.paper.world import World
from tests.paper.conftest import ME, NOW, Client

SYMBOLS = ("XBTUSD", "ETHUSD", "XBTUSDT")


def world(**options):
    options = {"seed": 7, "symbols": SYMBOLS, "later": lambda delay, action: None} | options
    return World(now_ms=NOW, **options)


def history(made, seconds):
    """(price, size, side) of every trade in some seconds of a world."""
    for now in range(NOW, NOW + seconds * 1000, 20):
        made.tick(now)
    return [
        (t["symbol"], t["price"], t["size"], t["side"])
        for market in made.exchange.markets.values()
        for t in market.trades
    ]


def test_the_same_seed_is_the_same_market():
    """Two venues with one seed trade alike to the contract; another seed does not."""
    first = history(world(), 60)
    assert first == history(world(), 60)
    assert first != history(world(seed=8), 60)
    assert {row[0] for row in first} == set(SYMBOLS)


def test_the_book_is_always_there_and_never_crossed():
    """In two minutes of walking every book has both sides, a narrow spread and depth."""
    made = world()
    for now in range(NOW, NOW + 120_000, 100):
        made.tick(now)
        for symbol in SYMBOLS:
            book = made.exchange.markets[symbol].book
            assert 0 < book.best(SELL) - book.best(BUY) <= 8
            assert len(book.levels(BUY)) >= 25
            assert sum_of_contracts(made.exchange, symbol) == 0


@pytest.mark.parametrize("seed", range(5))
def test_an_order_at_the_touch_is_filled_in_seconds(seed):
    """A few thousand contracts at the best bid, kept there, fill within half a minute."""
    made = world(seed=seed)
    exchange = made.exchange
    book = exchange.markets["XBTUSD"].book
    order = None
    for now in range(NOW, NOW + 30_000, 100):
        made.tick(now)
        best = book.best(BUY)
        if order is None or (order.open and order.ticks != best):
            left = 3_000 if order is None else order.leaves
            if order is not None:
                exchange.cancel(ME, [order.order_id], [], "", now)
            order = place(made, left, best, now)
        if exchange.position(ME, "XBTUSD").qty == 3_000:
            return
    raise AssertionError("not filled")


def place(made, contracts, ticks, now):
    from reconciler.paper import intake

    price = made.exchange.catalogue["XBTUSD"].price(ticks)
    fields = {"symbol": "XBTUSD", "orderQty": contracts, "price": price}
    return made.exchange.place(ME, intake.new_order(fields, made.exchange.catalogue), now)


def test_a_still_market_moves_when_told(venue, client):
    """Without a walk the book stays; the control door moves it and fills what it crosses."""
    client.order(orderQty=1_000_000, price=61_000, clOrdID="deep")
    client.order(orderQty=100, price=60_000, clOrdID="deeper")
    moved = client.paper("price", symbol="XBTUSD", price=60_500)
    assert (moved["bidPrice"], moved["askPrice"]) == (60_500, 60_500.1)
    truth = client.paper("truth")
    assert {o["clOrdID"]: o["ordStatus"] for o in truth["orders"]} == {
        "deep": "Filled", "deeper": "New",
    }  # fmt: skip
    assert truth["positions"] == {"XBTUSD": 1_000_000}


def test_a_person_trades_beside_the_reconciler(client):
    """A trade through the control door is an order without clOrdID on the account."""
    row = client.paper("trade", symbol="XBTUSD", side="Sell", orderQty=500)
    assert "clOrdID" not in row
    assert client.paper("truth")["positions"] == {"XBTUSD": -500}
    assert client.paper("truth?account=1002")["orders"] == []


def test_a_closed_market_takes_no_orders(client):
    """An instrument that is closed refuses orders and still cancels them."""
    client.order(orderQty=100, price=50_000, clOrdID="a")
    client.paper("market", symbol="XBTUSD", state="Closed")
    refused = client.order(orderQty=100, price=50_000)
    assert refused.json()["error"]["message"] == "Market is not open"
    rows = client.call("DELETE", "/api/v1/order", {"clOrdID": ["a"]}).json()
    assert rows[0]["ordStatus"] == "Canceled"


def frames(*steps):
    return "".join(json.dumps({"received_at": at, "frame": frame}) + "\n" for at, frame in steps)


def level(side, price, size, action="partial"):
    row = {"symbol": "XBTUSD", "id": int(price * 10), "side": side, "size": size, "price": price}
    return row


@pytest.fixture
def recorded(tmp_path):
    """A recording in which a bid goes and a trade takes the ask."""
    path = tmp_path / "frames.jsonl"
    book = [level("Buy", 32_180.0, 5_000), level("Buy", 32_179.5, 700),
            level("Sell", 32_180.5, 900)]  # fmt: skip
    gone = {"symbol": "XBTUSD", "id": 321_800, "side": "Buy"}
    trade = {"symbol": "XBTUSD", "side": "Buy", "size": 400, "price": 32_180.5}
    path.write_text(
        frames(
            (0, {"info": "Welcome"}),
            (1, {"table": "orderBookL2", "action": "partial", "data": book}),
            (2, {"table": "orderBookL2", "action": "delete", "data": [gone]}),
            (3, {"table": "trade", "action": "insert", "data": [trade]}),
        )
    )
    return path


def test_a_recording_is_the_market(recorded):
    """The house quotes the recorded levels and takes the recorded trades, when they came."""
    made = world(recording=Recording.load(recorded))
    market = made.exchange.markets["XBTUSD"]
    made.tick(NOW + 1_000)
    assert market.book.levels(BUY) == [(321_800, 5_000), (321_795, 700)]
    made.tick(NOW + 2_000)
    assert market.book.levels(BUY) == [(321_795, 700)]
    made.tick(NOW + 3_000)
    assert [(t["size"], t["price"]) for t in market.trades] == [(400, Decimal("32180.5"))]
    assert market.book.levels(SELL) == [(321_805, 500)]
    assert made.exchange.markets["ETHUSD"].book.best(BUY) is not None


def test_a_bad_recording_is_told_with_its_line(tmp_path):
    """A file that is no recording is refused with the line that is wrong."""
    path = tmp_path / "bad.jsonl"
    path.write_text('{"received_at": 1, "frame": {}}\nnonsense\n')
    with pytest.raises(BadRecording, match="line 2"):
        PaperExchange(replay=path)


def test_the_command_serves_until_a_signal(tmp_path):
    """`serve` prints where it listens, answers, and ends in order at SIGTERM."""
    code = (
        "from reconciler.paper import PaperExchange, serve;"
        "serve(PaperExchange(symbols=['XBTUSD'], faults={'lost-answer': 0.01})); print('ended')"
    )
    root = Path(__file__).parents[2]
    served = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True
    )
    try:
        assert served.stdout is not None
        first, second = served.stdout.readline(), served.stdout.readline()
        assert "key sim-key  secret sim-secret" in first
        assert second.endswith("1 instrument   1 fault kind on\n")
        assert [served.stdout.readline().split()[0] for _ in range(3)] == [
            "control",
            *["account"] * 2,
        ]
        client = Client(first.split()[1].removesuffix("/api/v1"))
        assert client.call("GET", "/api/v1/user").json()["account"] == ME
        served.terminate()
        assert served.stdout.read() == "ended\n"
        assert served.wait(10) == 0
    finally:
        served.kill()
        served.wait()


def test_a_walking_market_reaches_the_wire():
    """With the walk on, trades and quotes of the seed arrive by REST within seconds."""
    with PaperExchange(seed=7, speed=5.0, rate_limits=False) as venue:
        client = Client(venue.url)
        deadline = time.monotonic() + 8
        while len(client.call("GET", "/api/v1/trade?symbol=XBTUSD").json()) < 3:
            assert time.monotonic() < deadline
