"""What anybody may read: instruments and indices, buckets, the venue's own tables, the schema."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from reconciler.paper.bins import KEPT, SIZES, Bins, vwap
from reconciler.paper.history import HOURS
from reconciler.paper.instruments import CATALOGUE
from reconciler.paper.market import BUY, SELL
from reconciler.paper.routes import ROUTES
from reconciler.paper.schema import BASE, description
from reconciler.paper.spec import OPERATIONS
from reconciler.paper.times import iso, parse_iso
from reconciler.paper.web import Answer, Request
from reconciler.paper.world import World
from tests.paper.conftest import NOW

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class Reader:
    """A stranger without a key before a venue in memory, whose clock stands until it is moved."""

    def __init__(self, seed: int = 7, **options: Any) -> None:
        self.now = NOW
        options = {"symbols": ("XBTUSD", "ETHUSD"), "walk": False, "rate_limits": False, **options}
        self.world = World(seed=seed, now_ms=NOW, later=lambda delay, action: None, **options)

    def answer(self, path: str, **query: object) -> Answer:
        line = urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()})
        request = Request(
            verb="GET", path="/api/v1" + path, target=path, query=line, headers={}, body=b"",
            address="10.0.0.1",
        )  # fmt: skip
        admitted = self.world.api.admit(request, self.now)
        return admitted if isinstance(admitted, Answer) else self.world.api.act(admitted, self.now)

    def get(self, path: str, **query: object) -> Any:
        answer = self.answer(path, **query)
        assert answer.status == 200, answer.body
        return json.loads(answer.body, parse_float=Decimal)

    def error(self, path: str, **query: object) -> tuple[int, str, str]:
        answer = self.answer(path, **query)
        error = json.loads(answer.body)["error"]
        return answer.status, error["message"], error["name"]

    def trade(self, side: int, size: int, after_ms: int = 0) -> None:
        """The house takes contracts some time from now."""
        self.now += after_ms
        self.world.exchange.house_take("XBTUSD", side, size, None, self.now)
        self.world.publish(self.now)


@pytest.fixture
def reader() -> Reader:
    return Reader()


# -- buckets ---------------------------------------------------------------------------------------


def test_a_bucket_is_named_by_its_end_and_opens_where_the_last_one_closed(reader):
    """Trades of 11:00:10 are in the bucket of 11:01; the next opens at their last price."""
    book = reader.world.exchange.markets["XBTUSD"].book
    reader.trade(BUY, 500, after_ms=10_000)
    reader.trade(SELL, 300, after_ms=20_000)
    bid = reader.world.exchange.markets["XBTUSD"].last
    reader.now = NOW + 2 * MINUTE + 1
    last = reader.get("/trade/bucketed", symbol="XBTUSD", reverse=True, count=3)
    assert [row["timestamp"] for row in last] == [
        "2026-05-20T11:02:00.000Z", "2026-05-20T11:01:00.000Z", "2026-05-20T11:00:00.000Z",
    ]  # fmt: skip
    _flat, busy, past = last
    assert (busy["trades"], busy["volume"], busy["lastSize"]) == (2, 800, 300)
    assert (busy["open"], busy["low"], busy["close"]) == (past["close"], bid, bid)
    trades = reader.get("/trade", symbol="XBTUSD", startTime=iso(NOW))
    assert busy["turnover"] == sum(row["grossValue"] for row in trades)
    assert book.best(BUY) is not None


def test_a_bucket_in_which_nothing_traded_exists(reader):
    """It has no trades, no vwap and no last size, and its four prices are the close before."""
    reader.trade(BUY, 500)
    reader.now = NOW + 2 * MINUTE
    [flat] = reader.get("/trade/bucketed", symbol="XBTUSD", reverse=True, count=1)
    assert flat["trades"] == flat["volume"] == flat["turnover"] == 0
    assert "vwap" not in flat
    assert "lastSize" not in flat
    assert {flat[name] for name in ("open", "high", "low", "close")} == {flat["close"]}


def test_the_bucket_in_the_making_is_told_only_when_asked_for(reader):
    """With `partial` the newest bucket ends in the future."""
    reader.trade(BUY, 500, after_ms=1_000)
    [done] = reader.get("/trade/bucketed", symbol="XBTUSD", reverse=True, count=1)
    [making] = reader.get("/trade/bucketed", symbol="XBTUSD", reverse=True, count=1, partial=True)
    assert (done["timestamp"], making["timestamp"]) == (iso(NOW), iso(NOW + MINUTE))
    assert making["volume"] == 500


@pytest.mark.parametrize("size", ["5m", "1h", "1d"])
def test_large_buckets_are_the_sum_of_their_minutes(reader, size):
    """Volumes add up, extremes are those of all minutes, open and close of the first and last."""
    reader.trade(BUY, 500)
    [large] = reader.get("/trade/bucketed", symbol="XBTUSD", binSize=size, reverse=True, count=1)
    end, step = parse_iso(large["timestamp"]), SIZES[size]
    minutes = []
    for start in range(0, step // MINUTE, 1_000):
        minutes += reader.get(
            "/trade/bucketed", symbol="XBTUSD", startTime=iso(end - step + MINUTE),
            endTime=iso(end), count=1_000, start=start,
        )  # fmt: skip
    assert len(minutes) == step // MINUTE
    traded = [row for row in minutes if row["trades"]]
    for name in ("trades", "volume", "turnover", "homeNotional", "foreignNotional"):
        assert large[name] == sum(row[name] for row in minutes)
    assert large["high"] == max(row["high"] for row in traded)
    assert large["low"] == min(row["low"] for row in traded)
    assert (large["open"], large["close"]) == (minutes[0]["open"], minutes[-1]["close"])


def test_a_chart_has_a_past_that_leads_to_the_present(reader):
    """
    There are days of minutes before the venue opened: whole, each opening at the last close, and
    the last of them ends at the first price that was quoted.
    """
    first = reader.get("/trade/bucketed", symbol="XBTUSD", count=1)[0]
    assert parse_iso(first["timestamp"]) == NOW - HOURS * HOUR + MINUTE
    assert HOURS >= 3 * 24
    rows = reader.get("/trade/bucketed", symbol="XBTUSD", count=1_000, reverse=True)[::-1]
    for before, row in pairwise(rows):
        assert parse_iso(row["timestamp"]) - parse_iso(before["timestamp"]) == MINUTE
        assert row["open"] == before["close"]
        if row["trades"]:
            assert row["low"] <= row["close"] <= row["high"]
            slack = Decimal(row["low"]) / 100_000  # the value of a lot is a whole number of satoshi
            assert row["low"] - slack <= row["vwap"] <= row["high"] + slack
    quoted = reader.get("/quote", symbol="XBTUSD")[0]
    assert rows[-1]["close"] == quoted["bidPrice"]


def test_the_past_follows_from_the_seed():
    """The same seed tells the same past, another one another."""

    def past(seed: int) -> object:
        return Reader(seed).get("/trade/bucketed", symbol="XBTUSD", binSize="1h", count=50)

    assert past(3) == past(3)
    assert past(3) != past(4)


def test_quotes_are_bucketed_by_the_last_of_each(reader):
    """A bucket of quotes holds the best prices at its end."""
    quoted = reader.get("/quote", symbol="XBTUSD", reverse=True, count=1)[0]
    reader.now = NOW + MINUTE
    [row] = reader.get("/quote/bucketed", symbol="XBTUSD", reverse=True, count=1)
    assert row == {**quoted, "timestamp": iso(NOW + MINUTE)}


def test_buckets_of_all_instruments_come_by_time(reader):
    """Without a symbol each time has a row of each instrument; pages do not overlap."""
    rows = reader.get("/trade/bucketed", binSize="1h", count=4)
    assert [row["symbol"] for row in rows] == ["XBTUSD", "ETHUSD"] * 2
    assert rows[0]["timestamp"] == rows[1]["timestamp"] < rows[2]["timestamp"]
    later = reader.get("/trade/bucketed", binSize="1h", count=2, start=2)
    assert later == rows[2:]


def test_buckets_can_be_filtered(reader):
    """A filter looks at every bucket of the range: here the hours that end at noon."""
    rows = reader.get(
        "/trade/bucketed", symbol="XBTUSD", binSize="1h", filter={"timestamp.time": "12:00"}
    )
    assert rows
    assert {row["timestamp"][11:] for row in rows} == {"12:00:00.000Z"}


@pytest.mark.parametrize(
    ("volume", "turnover", "price"),
    [
        (74_881, 1_113_600_921, "6724.4973"), (10_004, 148_854_696, "6720.8818"),
        (12_993, 1_341_256_747, "968.72"),
    ],
)  # fmt: skip
def test_vwap_is_that_of_published_rows(volume, turnover, price):
    """Rows of BitMEX of 2017 and 2018, when a lot was one contract, have exactly this vwap."""
    inst = replace(CATALOGUE["XBTUSD"], lot=1)
    assert vwap(inst, volume, turnover).quantize(Decimal(price)) == Decimal(price)


def test_minutes_are_kept_for_a_week_and_no_chart_has_a_hole():
    """After nine days the past and the first days are forgotten; what is told is gapless."""
    bins = Bins(CATALOGUE["XBTUSD"], 7, NOW)
    for minute in range(0, 9 * 1_440, 10):
        now = NOW + minute * MINUTE
        bins.trade(Decimal(61_000 + minute), 100, 163_934, Decimal(1), Decimal(100), now)
    bins.roll(now := NOW + 9 * DAY)
    ends = bins.ends("1m", now, partial=False)
    assert (ends[0], ends[-1]) == (now - KEPT * MINUTE + MINUTE, now)
    rows = [bins.trade_row("1m", end, now) for end in ends]
    assert all(row is not None for row in rows)
    for before, row in pairwise(rows):
        assert row is not None
        assert before is not None
        assert row["open"] == before["close"]


def test_a_clock_that_leaps_by_a_year_costs_nothing():
    """The venue goes on with the minute that it is now."""
    bins = Bins(CATALOGUE["XBTUSD"], 7, NOW)
    bins.trade(Decimal(61_000), 100, 163_934, Decimal(1), Decimal(100), NOW)
    later = NOW + 365 * DAY + 30_000
    bins.trade(Decimal(70_000), 200, 285_714, Decimal(1), Decimal(200), later)
    making = bins.trade_row("1m", later // MINUTE * MINUTE + MINUTE, later)
    assert making is not None
    assert (making["open"], making["close"], making["volume"]) == (61_000, 70_000, 200)


# -- instruments and indices -----------------------------------------------------------------------


def test_indices_have_prices_and_tick(reader):
    """`.BXBT` is an instrument with a price; it ticks as a trade of size 0."""
    [row] = reader.get("/instrument", symbol=".bxbt")
    assert (row["typ"], row["state"], row["lastPrice"] > 0) == ("MRCXXX", "Unlisted", True)
    reader.now = NOW + 5_000
    reader.world.tick(reader.now)
    [tick] = reader.get("/trade", symbol=".BXBT", reverse=True, count=1)
    assert (tick["size"], tick["trdType"]) == (0, "Referential")
    [bucket] = reader.get("/trade/bucketed", symbol=".BXBT", reverse=True, count=1, partial=True)
    assert (bucket["close"], bucket["volume"]) == (tick["price"], 0)
    assert reader.get("/quote/bucketed", symbol=".BXBT") == []
    parts = reader.get("/instrument/compositeIndex", symbol=".BXBT", startTime=tick["timestamp"])
    assert [p["reference"] for p in parts] == ["BSTP", "GDAX", "KRKN", "BMI"]
    assert "weight" not in parts[-1]
    assert {p["lastPrice"] for p in parts} == {tick["price"]}


def test_the_instrument_routes_agree(reader):
    """Active ones and indices make up the joined answer, and all there is."""

    def symbols(path: str) -> list[str]:
        return [row["symbol"] for row in reader.get("/instrument" + path)]

    assert symbols("/active") == ["XBTUSD", "ETHUSD"]
    assert symbols("/indices") == [".BXBT", ".BETH"]
    assert symbols("/activeAndIndices") == symbols("/active") + symbols("/indices") == symbols("")


STRICT = [
    "symbol",
    "rootSymbol",
    "state",
    "typ",
    "underlying",
    "quoteCurrency",
    "tickSize",
    "multiplier",
    "isQuanto",
    "isInverse",
    "instantPnl",
    "timestamp",
]


def test_every_instrument_row_satisfies_strict_clients(reader):
    """Clients that are strict refuse rows without these fields."""
    for row in reader.get("/instrument/activeAndIndices"):
        assert [name for name in STRICT if name not in row] == []


def test_the_last_day_is_told_from_the_start(reader):
    """An instrument row has the 24 hours' figures of the buckets, the past included."""
    reader.trade(BUY, 500)
    [row] = reader.get("/instrument", symbol="XBTUSD")
    minutes = []
    for start in (0, 1_000):
        minutes += reader.get(
            "/trade/bucketed", symbol="XBTUSD", startTime=iso(NOW - DAY + 2 * MINUTE), partial=True,
            count=1_000, start=start,
        )  # fmt: skip
    assert len(minutes) == 24 * 60
    assert row["volume24h"] == sum(m["volume"] for m in minutes)
    assert row["turnover24h"] == sum(m["turnover"] for m in minutes)
    assert row["prevPrice24h"] == minutes[0]["open"]
    assert row["lowPrice"] <= row["vwap"] <= row["highPrice"]
    change = (row["lastPrice"] - row["prevPrice24h"]) / row["prevPrice24h"]
    assert abs(row["lastChangePcnt"] - change) <= Decimal("0.00005")


@pytest.mark.parametrize("named", ["xbtusd", "XBT", "xbt:perpetual", "XBTUSD"])
def test_a_symbol_may_be_in_any_case_or_a_series(reader, named):
    """A bare series is its perpetual contract."""
    for path in ("/instrument", "/quote", "/trade/bucketed"):
        assert {row["symbol"] for row in reader.get(path, symbol=named)} == {"XBTUSD"}
    assert reader.get("/orderBook/L2", symbol=named, depth=1)[0]["symbol"] == "XBTUSD"


def test_live_series_are_listed(reader):
    """Series and what they mean stand at the same places."""
    assert reader.get("/instrument/activeIntervals") == {
        "intervals": ["XBT:perpetual", "ETH:perpetual"], "symbols": ["XBTUSD", "ETHUSD"],
    }  # fmt: skip


def test_an_unknown_symbol_has_no_rows(reader):
    """Tables answer with nothing; a book there is none of is a refusal."""
    for path in (
        "/trade",
        "/quote",
        "/trade/bucketed",
        "/quote/bucketed",
        "/funding",
        "/instrument",
    ):
        assert reader.get(path, symbol="NOPE") == []
    assert reader.error("/orderBook/L2", symbol="NOPE") == (400, "Invalid symbol", "HTTPError")


@pytest.mark.parametrize(("depth", "levels"), [(None, 25), (1, 1), (5, 5), (0, 45)])
def test_the_book_has_as_many_levels_as_asked(reader, depth, levels):
    """25 a side unless told, 0 for all; sells come first, the best of both in the middle."""
    query = {} if depth is None else {"depth": depth}
    rows = reader.get("/orderBook/L2", symbol="XBTUSD", **query)
    assert [row["side"] for row in rows] == ["Sell"] * levels + ["Buy"] * levels
    prices = [row["price"] for row in rows]
    assert prices == sorted(prices, reverse=True)


# -- the venue's own tables ------------------------------------------------------------------------


def test_funding_is_every_eight_hours_and_goes_on(reader):
    """Past rows stand at 04:00, 12:00 and 20:00 UTC; one more comes when funding is paid."""
    rows = reader.get("/funding", symbol="XBTUSD", count=500)
    assert {row["timestamp"][11:16] for row in rows} == {"04:00", "12:00", "20:00"}
    assert {row["fundingInterval"] for row in rows} == {"2000-01-01T08:00:00.000Z"}
    assert all(row["fundingRateDaily"] == 3 * row["fundingRate"] for row in rows)
    exchange = reader.world.exchange
    exchange.fund(exchange.markets["XBTUSD"], NOW)
    assert len(reader.get("/funding", symbol="XBTUSD", count=500)) == len(rows) + 1


def test_small_numbers_of_the_engine_have_exponents(reader):
    """0.0001 comes as 1.0E-4, as the engine of BitMEX writes it since 2023."""
    exchange = reader.world.exchange
    exchange.fund(exchange.markets["XBTUSD"], NOW)
    body = reader.answer("/funding", symbol="XBTUSD", reverse=True, count=1).body
    assert b'"fundingRate":1.0E-4,"fundingRateDaily":3.0E-4' in body


def test_the_insurance_fund_is_told_by_currency(reader):
    """One row a day, at noon."""
    rows = reader.get("/insurance", currency="XBt", reverse=True, count=2)
    assert [row["currency"] for row in rows] == ["XBt"] * 2
    assert parse_iso(rows[0]["timestamp"]) - parse_iso(rows[1]["timestamp"]) == DAY


def test_announcements_come_newest_first(reader):
    """What is announced can be read, and apart from the rest when it is urgent."""
    reader.world.exchange.records.announce("Maintenance", "At noon.", NOW + 1, urgent=True)
    titles = [row["title"] for row in reader.get("/announcement")]
    assert titles == ["Maintenance", "Welcome to the paper exchange"]
    assert [row["title"] for row in reader.get("/announcement/urgent")] == ["Maintenance"]
    [first, _] = reader.get("/announcement", columns=["title"])
    assert first == {"id": 2, "title": "Maintenance"}


def test_statistics_are_those_of_the_buckets(reader):
    """Turnover of 24 hours is the instrument's; a day of history is the daily bucket."""
    [inst] = reader.get("/instrument", symbol="XBTUSD")
    [xbt, eth, total] = reader.get("/stats")
    assert (xbt["rootSymbol"], xbt["turnover24h"]) == ("XBT", inst["turnover24h"])
    assert total["turnover24h"] == xbt["turnover24h"] + eth["turnover24h"]
    [day] = reader.get("/trade/bucketed", symbol="XBTUSD", binSize="1d", reverse=True, count=1)
    history = reader.get("/stats/history")
    assert history[0]["date"] == iso(parse_iso(day["timestamp"]) - DAY)
    assert history[0]["turnover"] == day["turnover"]
    dollars = {row["symbol"]: row["turnover24h"] for row in reader.get("/instrument/usdVolume")}
    assert dollars["XBTUSD"] == inst["foreignNotional24h"]
    assert dollars["Total"] == sum(v for symbol, v in dollars.items() if symbol != "Total")
    assert reader.get("/stats/historyUSD")[-1]["turnover24h"] == dollars["Total"]


def test_tables_without_events_are_empty(reader):
    """Nothing was settled, and nobody is being liquidated."""
    assert reader.get("/settlement") == reader.get("/liquidation") == []
    reader.world.exchange.records.settle("XBTM26", Decimal("61000.5"), NOW)
    [row] = reader.get("/settlement", symbol="XBTM26")
    assert (row["settlementType"], row["settledPrice"]) == ("Settlement", Decimal("61000.5"))


# -- forms of an answer ----------------------------------------------------------------------------


def test_a_table_can_be_had_as_csv_and_xml(reader):
    """The same rows, in another form, under its content type."""
    rows = reader.get("/trade/bucketed", symbol="XBTUSD", count=2)
    csv = reader.answer("/trade/bucketed", symbol="XBTUSD", count=2, _format="csv")
    lines = csv.body.decode().splitlines()
    assert csv.content_type == "text/csv; charset=utf-8"
    assert lines[0] == ",".join(f'"{name}"' for name in rows[0])
    assert lines[1].startswith(f'"{rows[0]["timestamp"]}","XBTUSD",{rows[0]["open"]},')
    assert len(lines) == 3
    xml = reader.answer("/trade/bucketed", symbol="XBTUSD", count=2, _format="xml")
    assert xml.content_type == "application/xml; charset=utf-8"
    parsed = [{e.tag: e.text for e in row} for row in ElementTree.fromstring(xml.body)]
    assert [p["close"] for p in parsed] == [str(row["close"]) for row in rows]
    assert reader.answer("/settlement", _format="csv").body == b""


# -- refusals --------------------------------------------------------------------------------------

TOO_MANY = "Maximum result count is {}. Please use the start & count params to paginate."
WRONG_QUERIES = [
    ("/trade", {"count": 1_001}, TOO_MANY.format(1_000)),
    ("/quote/bucketed", {"count": 1_001}, TOO_MANY.format(1_000)),
    ("/funding", {"count": 501}, TOO_MANY.format(500)),
    ("/instrument", {"count": 501}, TOO_MANY.format(500)),
    ("/trade", {"count": "many"}, "count is invalid"),
    ("/trade", {"count": -1}, "count is invalid"),
    ("/trade", {"count": 1.5}, "count is invalid"),
    ("/trade", {"count": "NaN"}, "count is invalid"),
    ("/quote", {"start": -1}, "start is invalid"),
    ("/quote", {"start": 10**30}, "start is invalid"),
    ("/trade", {"reverse": "perhaps"}, "reverse is invalid"),
    ("/trade/bucketed", {"partial": "perhaps"}, "partial is invalid"),
    ("/trade/bucketed", {"binSize": "7m"}, "binSize is invalid."),
    ("/trade/bucketed", {"startTime": "1483234740000"}, "startTime is invalid"),
    ("/trade", {"startTime": "yesterday"}, "startTime is invalid"),
    ("/trade", {"endTime": "2026-13-01"}, "endTime is invalid"),
    ("/trade", {"filter": {"endTime": 5}}, "endTime is invalid"),
    ("/trade", {"columns": {"a": 1}}, "columns is invalid"),
    ("/trade", {"columns": "[1]"}, "columns is invalid"),
    ("/trade", {"filter": "nonsense"}, "filter values are not valid"),
    ("/trade", {"filter": "[]"}, "filter values are not valid"),
    ("/trade", {"filter": {"size": {"more": 1}}}, "filter values are not valid"),
    ("/trade", {"filter": {"timestamp.nn": 1}}, "filter values are not valid"),
    ("/orderBook/L2", {"symbol": "XBTUSD", "depth": "deep"}, "depth is invalid"),
    ("/orderBook/L2", {"symbol": "XBTUSD", "depth": -1}, "depth is invalid"),
    ("/schema", {"model": "Nothing"}, "table is not valid"),
]


@pytest.mark.parametrize(("path", "query", "message"), WRONG_QUERIES)
def test_a_wrong_query_is_refused_in_bitmex_words(reader, path, query, message):
    """Each wrong parameter of a table has its sentence (protocol sheet, section 7, GET errors)."""
    assert reader.error(path, **query) == (400, message, "HTTPError")


TIMES = [
    ({"timestamp.date": "2026-05-20"}, 2), ({"timestamp.date": "2026-05-21"}, 0),
    ({"timestamp.hh": 11}, 2), ({"timestamp.hh": "11"}, 2), ({"timestamp.hh": 12}, 0),
    ({"timestamp.uu": 1}, 1), ({"timestamp.uu": "00"}, 1), ({"timestamp.ss": 30}, 1),
    ({"timestamp.time": "11:00"}, 1), ({"timestamp.minute": "11:01"}, 1),
    ({"timestamp.month": "2026-05"}, 2), ({"timestamp.mm": 5}, 2), ({"timestamp.dd": 20}, 2),
    ({"timestamp.year": 2026}, 2), ({"timestamp.ww": 4}, 2), ({"timestamp.ww": 6}, 0),
    ({"timestamp": "2026-05-20T11:01:30.000Z"}, 1), ({"timestamp": "2026-05-20 11:00"}, 1),
    ({"startTime": "2026-05-20 11:01"}, 1), ({"endTime": "2026-05-20T11:01:00Z"}, 1),
    ({"side": "Buy"}, 1), ({"side": ["Buy", "Sell"]}, 2), ({"size": 500}, 1),
    ({"side": "Buy", "size": 300}, 0), ({"symbol": "xbtusd"}, 2), ({"symbol": ["ETHUSD"]}, 0),
]  # fmt: skip


@pytest.mark.parametrize(("where", "count"), TIMES)
def test_filters_know_values_lists_and_parts_of_a_time(reader, where, count):
    """Two trades, on Wednesday 2026-05-20 at 11:00:00 and 11:01:30, found by their parts."""
    reader.trade(BUY, 500)
    reader.trade(SELL, 300, after_ms=90_000)
    found = [row for row in reader.get("/trade", filter=where) if row["timestamp"] >= iso(NOW)]
    assert len(found) == count


# -- descriptions ----------------------------------------------------------------------------------


def test_every_route_is_described():
    """swagger.json tells of every route that is served, and of none that is not."""
    served = {route for route in ROUTES if route[1].startswith(BASE + "/")}
    assert served == set(OPERATIONS)


def test_the_description_is_whole():
    """Every reference leads somewhere, names are unique, required parameters are among the rest."""
    told = description()
    text = json.dumps(told)
    for name in {part.split('"')[0] for part in text.split("#/definitions/")[1:]}:
        assert name in told["definitions"]  # type: ignore[operator]
    assert all(model["required"] for model in told["definitions"].values())  # type: ignore[attr-defined]
    names = [operation.name for operation in OPERATIONS.values()]
    assert len(names) == len(set(names))
    for operation in OPERATIONS.values():
        assert set(operation.needs) <= set(operation.takes)
    paths = told["paths"]
    assert isinstance(paths, dict)
    for (verb, path), route in ROUTES.items():
        if path.startswith(BASE + "/"):
            operation = paths[path.removeprefix(BASE)][verb.lower()]
            assert ("security" in operation) == (route.access != "public")


def test_the_description_is_served(reader):
    """`/api/explorer/swagger.json` is beside the routes, and `/schema` has keys and types."""
    request = Request(
        verb="GET", path="/api/explorer/swagger.json", target="", query="", headers={}, body=b"",
        address="10.0.0.1",
    )  # fmt: skip
    admitted = reader.world.api.admit(request, NOW)
    assert not isinstance(admitted, Answer)
    assert json.loads(reader.world.api.act(admitted, NOW).body)["swagger"] == "2.0"
    assert reader.get("/schema", model="order")["keys"] == ["orderID"]
    assert reader.get("/schema")["Trade"]["types"]["price"] == "float"
    subjects = reader.get("/schema/websocketHelp")["subscriptionSubjects"]
    assert "order" in subjects["authenticationRequired"]
    assert "trade" in subjects["public"]


# -- the same rows by both ways --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "path", "query"),
    [
        ("tradeBin1m", "/trade/bucketed", {"binSize": "1m"}),
        ("quoteBin1m", "/quote/bucketed", {"binSize": "1m"}),
        ("tradeBin5m", "/trade/bucketed", {"binSize": "5m"}),
        ("trade", "/trade", {}),
        ("quote", "/quote", {}),
        ("funding", "/funding", {}),
    ],
)
def test_rest_and_websocket_tell_the_same_rows(table, path, query):
    """What a socket was sent of a table in five minutes is what REST answers for that time."""
    reader = Reader(symbols=("XBTUSD",), walk=True)
    session = reader.world.hub.open(lambda: None)
    session.subscribe([f"{table}:XBTUSD"], {}, reader.now)
    exchange = reader.world.exchange
    while reader.now < NOW + 5 * MINUTE + 10_000:
        reader.now += 1_000
        session.receive("ping", reader.now)  # who is silent for three minutes is dropped
        reader.world.tick(reader.now)
        if table == "funding" and reader.now == NOW + MINUTE:
            exchange.fund(exchange.markets["XBTUSD"], reader.now)
            reader.world.publish(reader.now)
    frames = [frame for frame in session.outbox if frame != b"pong"]
    told = [json.loads(frame, parse_float=Decimal) for frame in frames]
    rows = [
        row for frame in told if frame.get("table") == table and frame["action"] == "insert"
        for row in frame["data"]
    ]  # fmt: skip
    since = NOW if "Bin" in table else NOW + 1  # the bucket that ended as the venue opened is told
    read = reader.get(path, symbol="XBTUSD", startTime=iso(since), count=500, **query)
    assert rows[: len(read)] == read
    assert len(rows) == len(read) or len(read) == 500
    assert rows
