"""Prices that are given, the other traders, and the same market from the same seed."""

import itertools
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path as File

import pytest

from reconciler.paper import PaperExchange
from reconciler.paper.floor import sum_of_contracts
from reconciler.paper.instruments import CATALOGUE
from reconciler.paper.market import BUY, SELL
from reconciler.paper.paths import BadPath, Path, load
from tests.paper.conftest import ME, NOW
from tests.paper.memory import Memory

BARS = """\
Timestamp,Open,High,Low,Close,Volume
2024-01-01T00:00:00Z,61000,61250.5,60800,61100,12
2024-01-01T00:01:00Z,61100,61100,60950,61000,7
2024-01-01T00:02:00Z,61000,61400,61000,61400,9
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="prices.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_path_goes_straight_from_point_to_point(written):
    """Between two points in a straight line, at a jump at once, and at its end it is over."""
    path = load(written("time,price\n0,61000\n10s,61100\n10s,60000\n20s,60000\n"), 1)
    assert [path.at(ms) for ms in (0, 5_000, 9_999, 10_000, 15_000, 20_000, 20_001)] == [
        61_000, 61_050, Decimal("61099.99"), 60_000, 60_000, 60_000, None,
    ]  # fmt: skip


def test_bars_are_touched_at_each_of_their_prices(written):
    """Open, high, low and close of every bar are reached exactly, none is left, by any seed."""
    file = written(BARS)
    for seed in range(5):
        path = load(file, seed)
        for n, (opens, high, low, close) in enumerate(
            [(61_000, Decimal("61250.5"), 60_800, 61_100), (61_100, 61_100, 60_950, 61_000),
             (61_000, 61_400, 61_000, 61_400)]
        ):  # fmt: skip
            prices = [path.at(ms) for ms in range(n * 60_000, (n + 1) * 60_000)]
            assert (prices[0], prices[-1]) == (opens, close)
            assert (max(prices), min(prices)) == (high, low)
    assert load(file, 1).points() == load(file, 1).points()
    assert any(load(file, seed).points() != load(file, 0).points() for seed in range(5))


def test_times_are_seconds_milliseconds_or_dates(written):
    """Three ways to write one minute of bars are one path."""
    paths = [
        load(written(f"time,open,high,low,close\n{a},1,4,1,2\n{b},2,2,1,1\n"), 3).points()
        for a, b in (("1704067200", "1704067260"), ("1704067200000", "1704067260000"),
                     ("2024-01-01 00:00", "2024-01-01 00:01"))
    ]  # fmt: skip
    assert paths[0] == paths[1] == paths[2]


WRONG = {
    "": "empty",
    "a,b\n1,2\n": "line 1: no column of time",
    "time,open\n1,2\n": "line 1: neither a column price nor high",
    "time,price\n0,61000\n1,much\n": "line 3: 'much' is no price",
    "time,price\n0,61000\n1,nan\n": "line 3: 'nan' is no price",
    "time,price\n0,0\n": "line 2: '0' is no price",
    "time,price\n5,1\n4,1\n": "line 3: its time is before",
    "time,price\nsoon,1\n": "line 2: 'soon' is no time",
    "time,price\n": "no prices",
    "time,price\n0\n": "line 2: '' is no price",
    "time,open,high,low,close\n0,5,4,1,2\n": "line 2: high and low do not hold",
    "time,open,high,low,close\n0,1,1,1,1\n0,1,1,1,1\n": "line 3: its time is not after",
    "time,open,high,low,close\n": "no bars",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_told_with_its_line(text, written):
    """The error names the file, the line and what is wrong, before anything opens."""
    with pytest.raises(BadPath) as refused:
        PaperExchange(prices={"XBTUSD": written(text)})
    assert WRONG[text] in str(refused.value)


def test_prices_of_what_is_not_listed_are_refused(written):
    """A typo in the symbol is no silent random walk."""
    with pytest.raises(ValueError, match="XBTUSDX"):
        PaperExchange(prices={"XBTUSDX": written(BARS)})


def test_the_market_follows_the_path(written):
    """The best bid is on the path all along, an order that it walks through fills at its price."""
    file = written('points = [[0, 61000], ["5s", 60000], ["10s", 62000]]', "path.toml")
    desk = Memory(paths={"XBTUSD": load(file, 1)}, walk=True, quotes=0)
    book = desk.exchange.markets["XBTUSD"].book
    assert desk.order(orderQty=100, price=60_500, clOrdID="a").status == 200
    for _ in range(100):
        desk.advance(100)
        wanted = load(file, 1).at(desk.now - NOW)
        assert abs(CATALOGUE["XBTUSD"].price(book.best(BUY)) - wanted) <= 1
    assert desk.status("a") == "Filled"
    assert desk.exchange.find(ME, cl_ord_id="a").traded == 60_500
    assert desk.do("price", symbol="XBTUSD", price=60_000)[0] == 400
    desk.advance(60_000)  # after its end it walks on from there
    assert abs(CATALOGUE["XBTUSD"].price(book.best(BUY)) - 62_000) < 200


def test_speed_is_one_notion(written):
    """At speed 60 a path of ten minutes takes ten seconds, and so does funding's schedule."""
    path = Path([(0, Decimal(61_000)), (600_000, Decimal(60_000))])
    desk = Memory(paths={"XBTUSD": path}, walk=True, speed=60.0, quotes=0)
    desk.advance(10_000)
    assert desk.exchange.markets["XBTUSD"].book.best(BUY) == 600_000
    still = Memory(speed=60.0)
    still.order(orderQty=100, ordType="Market")
    still.advance(59_000)  # from 11:00 on: 11:59
    assert "Funding" not in [row["execType"] for row in still.exchange.executions[ME]]
    still.advance(1_020)
    kinds = [row["execType"] for row in still.exchange.executions[ME]]
    assert "Funding" in kinds


@pytest.mark.parametrize("seed", range(3))
def test_the_market_is_alive(seed):
    """About a hundred quotes a second, trades on both sides, bursts; never crossed, adding up."""
    desk = Memory(walk=True, quotes=100, seed=seed)
    market = desk.exchange.markets["XBTUSD"]
    session = desk.listen("quote")
    quotes = 0
    for _ in range(200):
        desk.advance(100)
        quotes += len(desk.rows(session, "quote"))
        assert market.book.best(BUY) < market.book.best(SELL)
    assert 80 <= quotes / 20 <= 120
    sides = [t["side"] for t in market.trades]
    assert min(sides.count("Buy"), sides.count("Sell")) > 40
    longest = max(len(run) for run in "".join(s[0] for s in sides).replace("BS", "B S").replace(
        "SB", "S B").split())  # fmt: skip
    assert longest >= 6  # somebody has insisted
    assert sum_of_contracts(desk.exchange, "XBTUSD") == 0


def test_ten_lively_symbols_cost_less_than_half_a_core():
    """10 symbols at 100 quotes a second each, all of it heard: CPU time is under half of time."""
    symbols = list(CATALOGUE)
    desks = [
        Memory(symbols=symbols, walk=True, quotes=100, seed=seed)
        for seed in range(-(-10 // len(symbols)))
    ]
    for desk in desks:
        desk.session = desk.listen("quote", "trade", "orderBookL2_25", "instrument")
    began = time.process_time()
    for desk in desks:
        for _ in range(40):
            desk.advance(100)
            desk.session.take()
    spent = time.process_time() - began
    assert sum(len(desk.exchange.markets) for desk in desks) >= 10
    assert spent / 4.0 < 0.5


SAME = """
from tests.paper.memory import Memory
desk = Memory({"mark-spike": 0.2, "person-trade": 0.3, "fill-in-pieces": 0.3}, walk=True,
              symbols=("XBTUSD", "ETHUSD"), quotes=50, seed=11)
session = desk.listen("order", "execution", "position", "margin", "trade", "orderBookL2_25")
for number in range(40):
    desk.order(orderQty=100 * (number % 5 + 1), side="Buy" if number % 3 else "Sell",
               price=61_250 + number % 7, clOrdID=str(number))
    desk.advance(200)
import hashlib
print(len(session.outbox), hashlib.sha256(b"".join(session.outbox)).hexdigest())
"""


def test_the_same_seed_is_the_same_market_however_often_one_looks():
    """Prices and trades come in one order, whether time passes in small pieces, large or huge."""

    def trades(*pieces_ms):
        desk = Memory(walk=True, symbols=("XBTUSD", "ETHUSD"), quotes=50, seed=11)
        markets = desk.exchange.markets.values()
        for piece in itertools.cycle(pieces_ms):
            desk.now += piece
            desk.world.tick(desk.now)
            if all(len(market.trades) >= 80 for market in markets):
                break
        return [
            [(row["side"], row["size"], row["price"]) for row in market.trades][:80]
            for market in markets
        ]

    assert trades(20) == trades(13, 180, 20, 7) == trades(450) == trades(2_000, 20)


def test_the_same_seed_is_the_same_market_in_every_process():
    """Two processes with other hash seeds send the same frames, ids and fills, byte for byte."""
    said = [
        subprocess.run(
            [sys.executable, "-c", SAME], cwd=File(__file__).parents[2], text=True,
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "424242")
    ]  # fmt: skip
    assert said[0] == said[1]
    assert int(said[0].split()[0]) > 300
