"""A recording of the real BitMEX of 22 Jul 2021, played through decoding and tables."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciler.bitmex import messages, rows
from reconciler.bitmex.quotes import Quotes
from reconciler.bitmex.tables import Books

Rebuilt = dict[str, dict[tuple[int, str], list[Any]]]


@pytest.fixture(scope="module")
def session(shared_data: Path) -> list[str]:
    """The frames as text; the recording keeps them inside an object a line."""
    lines = (shared_data / "bitmex-public-2021-07-22.jsonl").read_text().splitlines()
    # Cut out of the line, not decoded and encoded again: every digit is the venue's.
    return [line[line.index('"frame":') + 8 : -1] for line in lines]


def rebuild(frames: list[str]) -> Rebuilt:
    """The books again, from plain json, by nothing but the words of the protocol."""
    books: Rebuilt = {}
    for text in frames:
        said = json.loads(text, parse_float=Decimal)
        if said.get("table") != "orderBookL2":
            continue
        if said["action"] == "partial":
            books[said["filter"]["symbol"]] = {}
        for row in said["data"]:
            book = books.get(row["symbol"])
            if book is None:
                continue
            key = (row["id"], row["side"])
            if said["action"] in ("partial", "insert"):
                book[key] = [row["price"], row["size"]]
            elif said["action"] == "update":
                book[key][1] = row["size"]
            else:
                del book[key]
    return books


def test_books_equal_an_independent_rebuild(session: list[str]) -> None:
    """No frame is refused, and every level of every book is what plain json gives."""
    books = Books()
    for text in session:
        frame = messages.frame(text)
        assert frame.info or frame.success or frame.table
        if frame.table == "orderBookL2":
            books.take(frame)
    assert books.table.unexplained == 0
    expected = rebuild(session)
    assert len(expected) == 10
    for symbol, book in expected.items():
        bids, asks = books.levels(symbol)
        for side, levels in (("Buy", bids), ("Sell", asks)):
            wanted = sorted(
                (Decimal(price), size) for (_, of), (price, size) in book.items() if of == side
            )
            assert sorted(levels) == wanted
        assert bids[0][0] < asks[0][0]


def test_quotes_equal_the_last_rows(session: list[str]) -> None:
    """The quote of every symbol is the last row that named it; each change is told."""
    last: dict[str, dict[str, Any]] = {}
    for text in session:
        said = json.loads(text, parse_float=Decimal)
        if said.get("table") == "quote":
            for row in said["data"]:
                last[row["symbol"]] = row
    quotes = Quotes(tuple(last))
    changes = 0
    newest: dict[str, Any] = {}
    for number, text in enumerate(session, 1):
        said, frame = json.loads(text, parse_float=Decimal), messages.frame(text)
        if frame.table == "quote":
            changes += len(quotes.take(messages.quotes(frame.data), number))
        elif frame.table == "trade":
            trades = messages.trades(frame.data)
            assert all(row.size is not None for row in trades)
            quotes.trades(trades)
            newest.update((row["symbol"], row["price"]) for row in said["data"])
    assert changes >= len(last) == 10
    for symbol, row in last.items():
        quoted = quotes.quoted(symbol, len(session))
        assert quoted is not None
        assert (quoted.bid, quoted.ask) == (Decimal(row["bidPrice"]), Decimal(row["askPrice"]))
        assert (quoted.bid_contracts, quoted.ask_contracts) == (row["bidSize"], row["askSize"])
        assert quoted.last == Decimal(newest[symbol])


def test_instruments(shared_data: Path) -> None:
    """All 34 wide rows of the recorded listing give trading rules, exact to the digit."""
    raw = (shared_data / "bitmex-instruments-2021-07-22.json").read_bytes()
    plain = json.loads(raw, parse_float=Decimal)
    seen = [rows.instrument_seen(row, 1) for row in messages.rows(raw)]
    assert len(seen) == 34
    for rules, row in zip(seen, plain, strict=True):
        assert rules is not None
        assert (rules.symbol, rules.lot, rules.open) == (row["symbol"], row["lotSize"], True)
        assert rules.tick == row["tickSize"]
        assert rules.maker_fee == row["makerFee"]
        assert rules.inverse == row["isInverse"]
    (perpetual,) = [rules for rules in seen if rules is not None and rules.symbol == "XBTUSD"]
    assert (perpetual.tick, perpetual.lot, perpetual.multiplier) == (
        Decimal("0.5"),
        100,
        -100000000,
    )
