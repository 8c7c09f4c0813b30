"""Frames of public tables as the values of `reconciler.feed`: whole, in order, nothing made up."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciler.bitmex import messages, public_messages
from reconciler.bitmex.public_rows import MORE, PublicRows, bucket_of, tables_of
from reconciler.errors import ProtocolError
from reconciler.feed import (
    TABLES,
    Best,
    BookRows,
    BookTop,
    FundingPaid,
    Marked,
    News,
    Rules,
    Trade,
    TradeImage,
)
from reconciler.strategy.market import Market

AT = "2026-05-20T11:00:00.250Z"
AT_US = 1_779_274_800_250_000


def frame(table: str, action: str, *data: dict[str, Any], **more: Any) -> messages.Frame:
    said = {"table": table, "action": action, "data": list(data), **more}
    return messages.frame(json.dumps(said).encode())


def take(
    rows: PublicRows, table: str, action: str, *data: dict[str, Any], **more: Any
) -> list[News]:
    return rows.take(frame(table, action, *data, **more))


def level(number: int, **more: Any) -> dict[str, Any]:
    return {"symbol": "XBTUSD", "id": number, "side": "Buy", **more}


@pytest.fixture
def rows() -> PublicRows:
    return PublicRows(("XBTUSD",))


def test_the_recorded_session(shared_data: Path) -> None:
    """
    Through decoding and the market, 30 s of the real BitMEX give the books, quotes and last prices
    that a plain reading of the frames gives.
    """
    books: dict[str, dict[tuple[int, str], tuple[Decimal, int]]] = {}
    last: dict[str, Decimal] = {}
    quotes: dict[str, tuple[Any, ...]] = {}
    symbols: set[str] = set()
    lines = (shared_data / "bitmex-public-2021-07-22.jsonl").read_text().splitlines()
    frames = [json.loads(line, parse_float=Decimal)["frame"] for line in lines]
    for said in frames:
        if said.get("action") == "partial":
            symbols.add(said["filter"]["symbol"])
    rows, market = PublicRows(symbols), Market(symbols)
    trades = 0
    for line, said in zip(lines, frames, strict=True):
        start = line.index('"frame":') + len('"frame":')
        for news in rows.take(messages.frame(line[start:-1].encode())):
            market.take(news)
            trades += isinstance(news, Trade)
        for row in said.get("data", ()):
            symbol = row["symbol"]
            if said["table"] == "quote":
                quotes[symbol] = (row["bidPrice"], row["askPrice"], row["bidSize"], row["askSize"])
            elif said["table"] == "trade":
                last[symbol] = row["price"]
            elif said["action"] == "delete":
                del books[symbol][row["id"], row["side"]]
            else:
                book = books.setdefault(symbol, {})
                price = row.get("price") or book[row["id"], row["side"]][0]
                book[row["id"], row["side"]] = (Decimal(price), row["size"])
    assert trades == 17
    assert not rows.unexplained
    assert len(symbols) == 10
    for symbol in symbols:
        seen = market[symbol]
        assert (seen.bid, seen.ask, seen.bid_contracts, seen.ask_contracts) == quotes[symbol]
        assert seen.last == last[symbol]
        for side, told in (("Buy", seen.book.bids(0)), ("Sell", seen.book.asks(0))):
            plain = sorted(pair for (_, of), pair in books[symbol].items() if of == side)
            assert sorted(told) == plain
        assert seen.book.unexplained == 0
        assert seen.book.bids(25) == seen.book.bids(0)[:25]
        assert seen.book.asks(25) == seen.book.asks(0)[:25]
        assert seen.book.bids(1)[0][0] < seen.book.asks(1)[0][0]


def test_trades(rows: PublicRows) -> None:
    """Rows with contracts are trades; an image says what was, an insert what is."""
    row = {
        "symbol": "XBTUSD", "side": "Sell", "size": 300, "price": 61250.5, "timestamp": AT,
        "trdMatchID": "a-b", "grossValue": 489792,
    }  # fmt: skip
    wanted = Trade("XBTUSD", Decimal("61250.5"), 300, -1, AT_US, "a-b", 489_792)
    nameless = {**row, "trdMatchID": "00000000-0000-0000-0000-000000000000", "side": None}
    index = {**row, "size": 0}
    assert take(rows, "trade", "insert", row, index, {**row, "symbol": "ETHUSD"}) == [wanted]
    (bare,) = take(rows, "trade", "insert", nameless)
    assert isinstance(bare, Trade)
    assert (bare.trade_id, bare.side) == ("", 0)
    assert take(rows, "trade", "partial", row, filter={"symbol": "XBTUSD"}) == [
        TradeImage("XBTUSD", [wanted])
    ]
    assert take(rows, "trade", "partial", filter={"symbol": "XBTUSD"}) == [TradeImage("XBTUSD", [])]
    assert take(rows, "trade", "update", row) == []
    assert rows.newest_us == AT_US


def test_quotes_are_conflated(rows: PublicRows) -> None:
    """Of many quotes in a frame only the newest matters; an empty side is None."""
    quote = {"symbol": "XBTUSD", "bidPrice": 1, "askPrice": 2.5, "bidSize": 10, "timestamp": AT}
    told = take(rows, "quote", "insert", {**quote, "bidPrice": 7}, quote)
    assert told == [Best("XBTUSD", Decimal(1), Decimal("2.5"), 10, None, AT_US)]
    assert take(rows, "quote", "insert") == []
    assert take(rows, "quote", "delete", quote) == []


def test_instruments(rows: PublicRows) -> None:
    """Rules are told when they are whole and new; marks, index and funding whenever they move."""
    full = {
        "symbol": "XBTUSD", "lotSize": 100, "tickSize": 0.5, "multiplier": -100000000,
        "isInverse": True, "markPrice": 61000, "indicativeSettlePrice": 61001.5,
        "fundingRate": 1e-4, "fundingTimestamp": "2026-05-20T12:00:00.000Z", "timestamp": AT,
    }  # fmt: skip
    rules = Rules(symbol="XBTUSD", lot=100, tick=Decimal("0.5"), multiplier=-100_000_000)
    told = take(rows, "instrument", "partial", full)
    assert told == [
        rules,
        Marked(
            symbol="XBTUSD", venue_us=AT_US, mark=Decimal(61000), index=Decimal("61001.5"),
            funding_rate=Decimal("0.0001"), next_funding_us=1_779_278_400_000_000,
        ),
    ]  # fmt: skip
    mark = {"symbol": "XBTUSD", "markPrice": 61002}
    assert take(rows, "instrument", "update", mark) == [
        Marked(symbol="XBTUSD", mark=Decimal(61002))
    ]
    (changed, _) = take(rows, "instrument", "update", {"symbol": "XBTUSD", "lotSize": 1})
    assert changed == Rules(symbol="XBTUSD", lot=1, tick=Decimal("0.5"), multiplier=-100_000_000)
    assert len(take(rows, "instrument", "update", {"symbol": "XBTUSD", "lotSize": 1})) == 1
    assert take(rows, "instrument", "delete", mark) == []
    linear = PublicRows(("XBTUSDT",))
    row = {"symbol": "XBTUSDT", "lotSize": 1, "tickSize": 0.5, "multiplier": 1}
    (rules, _) = take(linear, "instrument", "partial", {**row, "isInverse": False})
    assert isinstance(rules, Rules)
    assert rules.multiplier == 1
    assert (
        len(take(PublicRows(("XBTUSDT",)), "instrument", "partial", {**row, "lotSize": None})) == 1
    )


def test_books(rows: PublicRows) -> None:
    """Nothing before the image; a change of a level never seen asks for a new one."""
    assert take(rows, "orderBookL2", "insert", level(1, price=5, size=7)) == []
    image = take(
        rows, "orderBookL2", "partial", level(1, price=5, size=7), filter={"symbol": "XBTUSD"}
    )
    assert [(b.symbol, b.action, len(b.levels)) for b in image if isinstance(b, BookRows)] == [
        ("XBTUSD", "image", 1)
    ]
    for action, row in (
        ("insert", level(2, price=4, size=9)),
        ("update", level(1, size=8)),
        ("delete", level(2)),
    ):
        (told,) = take(rows, "orderBookL2", action, row)
        assert isinstance(told, BookRows)
        assert told.action == action
        assert rows.unexplained == ""
    take(rows, "orderBookL2", "update", level(2, size=1))
    assert rows.unexplained == "orderBookL2"
    rows.forget()
    assert rows.unexplained == ""
    assert take(rows, "orderBookL2", "update", level(1, size=1)) == []


def test_an_empty_image_empties_the_book(rows: PublicRows) -> None:
    """A market without a single order is a book without levels, and no missing word."""
    (told,) = take(rows, "orderBookL2_25", "partial", filter={"symbol": "XBTUSD"})
    assert told == BookRows("XBTUSD", "image", [])


def test_the_top_ten_and_funding(rows: PublicRows) -> None:
    """Each row of orderBook10 is the whole; funding rows tell what was paid."""
    row = {"symbol": "XBTUSD", "bids": [[5, 7], [4.5, 1]], "asks": [[6, 2]], "timestamp": AT}
    assert take(rows, "orderBook10", "update", row) == [
        BookTop("XBTUSD", [(Decimal(5), 7), (Decimal("4.5"), 1)], [(Decimal(6), 2)], AT_US)
    ]
    paid = {"symbol": "XBTUSD", "fundingRate": -1e-4, "timestamp": AT}
    assert take(rows, "funding", "insert", paid) == [
        FundingPaid("XBTUSD", Decimal("-0.0001"), AT_US)
    ]
    assert take(rows, "liquidation", "insert", paid) == []


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("trade", {"symbol": "XBTUSD", "price": "61000", "size": 1, "timestamp": AT}),
        ("trade", {"symbol": "XBTUSD", "price": 1, "size": 1.5, "timestamp": AT}),
        ("quote", {"symbol": "XBTUSD", "bidPrice": True}),
        ("quote", {"bidPrice": 1}),
        ("orderBookL2", {"symbol": "XBTUSD", "id": "1"}),
        ("orderBook10", {"symbol": "XBTUSD", "bids": [[1]], "asks": []}),
        ("instrument", {"symbol": "XBTUSD", "markPrice": 1e-99}),
        ("funding", {"symbol": "XBTUSD", "fundingRate": [], "timestamp": AT}),
    ],
)
def test_rubbish_is_refused(rows: PublicRows, table: str, row: dict[str, Any]) -> None:
    """A field of the wrong type is an error, and no guess."""
    action = "partial" if table == "orderBookL2" else "insert"
    with pytest.raises(ProtocolError):
        take(rows, table, action, row)


def test_buckets_bear_their_end() -> None:
    """The venue dates a bucket with its end; a bar is known by its start."""
    said = (
        b'[{"timestamp":"2026-05-20T11:01:00.000Z","symbol":"XBTUSD","open":1.5,"high":3,"low":2,'
        b'"close":2.5,"trades":4,"volume":400,"vwap":2.4,"turnover":99},'
        b'{"timestamp":"2026-05-20T11:02:00.000Z","symbol":"XBTUSD","close":2.5,"trades":0},'
        b'{"timestamp":"2026-05-20T11:03:00.000Z","symbol":"XBTUSD","trades":0}]'
    )
    traded, empty, nothing = (bucket_of(row, 60_000_000) for row in public_messages.buckets(said))
    assert traded is not None
    assert traded.start_us == AT_US - 250_000
    assert (traded.open_, traded.high, traded.low, traded.close) == (
        Decimal("1.5"), 3, 2, Decimal("2.5"),
    )  # fmt: skip
    assert (traded.contracts, traded.trades, traded.turnover_minor) == (400, 4, 99)
    assert empty is not None
    assert {empty.open_, empty.high, empty.low, empty.close} == {Decimal("2.5")}
    assert nothing is None


def test_one_book_is_enough() -> None:
    """Of several books the deepest is subscribed to; a name that is none is refused."""
    always = ["quote", "trade", "instrument"]
    assert tables_of(()) == always
    assert tables_of(("book10", "funding", "book25")) == [*always, "funding", "orderBookL2_25"]
    assert Counter(tables_of(("book", "book25", "book10")))["orderBookL2"] == 1
    with pytest.raises(KeyError):
        tables_of(("orders",))


def test_every_table_that_a_strategy_may_ask_for_is_the_venues() -> None:
    """And none is left out: a name that the venue lacks would fail only when it is asked for."""
    assert tuple(MORE) == TABLES
