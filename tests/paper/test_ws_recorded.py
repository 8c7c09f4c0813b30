"""Frames that the real BitMEX sent on 22 July 2021, against those that are sent here."""

import json

import pytest

from tests.paper.ear import Stage

# What the venue dropped or added between 2021 and 2025 (protocol sheet, sections 9.3 and 10.5).
GONE_FROM_PARTIALS = {"foreignKeys", "attributes"}
NEW_FIELDS = {"trade": {"trdType"}, "orderBookL2": {"timestamp", "transactTime"}, "quote": set()}


@pytest.fixture(scope="module")
def recorded(shared_data):
    lines = (shared_data / "bitmex-public-2021-07-22.jsonl").read_text().splitlines()
    return [json.loads(line)["frame"] for line in lines]


@pytest.fixture(scope="module")
def ours():
    """Frames of the same tables from a market in which something happens."""
    stage = Stage()
    stage.place(orderQty=100, ordType="Market")  # so that there is a last trade
    ear = stage.ear("orderBookL2:XBTUSD", "quote:XBTUSD", "trade:XBTUSD")
    ear.session.welcome(719, stage.now)
    stage.place(orderQty=300, price="61250.5")
    stage.place(orderQty=300, price="61250.45".rstrip("5"), clOrdID="x")
    stage.place(orderQty=-300, price="61300.7")
    stage.place(1002, orderQty=20_000, ordType="Market")
    return ear.frames()


def shapes(frames):
    """Frame fields, and row fields, of every table and action."""
    found = {}
    for frame in frames:
        if "table" in frame:
            entry = found.setdefault((frame["table"], frame["action"]), (set(), set()))
            entry[0].update(frame)
            for row in frame["data"]:
                entry[1].update(row)
    return found


def test_frames_have_the_recorded_fields(recorded, ours):
    """Each recorded kind of frame is sent here, with the recorded fields and the newer ones."""
    theirs, mine = shapes(recorded), shapes(ours)
    assert len(theirs) == 8
    for kind, (frame, row) in theirs.items():
        table, action = kind
        assert mine[kind][0] == frame - GONE_FROM_PARTIALS, kind
        added = NEW_FIELDS[table]
        if table == "orderBookL2" and action in ("update", "delete"):
            added = added | {"price"}  # since 2023
        assert mine[kind][1] == row | added, kind


def test_partials_have_the_recorded_keys_and_types(recorded, ours):
    """Keys are equal; every recorded type is named alike, in the recorded order."""
    mine = {f["table"]: f for f in ours if f.get("action") == "partial"}
    partials = [f for f in recorded if f.get("action") == "partial"]
    assert len(partials) == 30
    for frame in partials:
        own = mine[frame["table"]]
        assert own["keys"] == frame["keys"]
        assert frame["types"].items() <= own["types"].items()
        assert set(own["types"]) - set(frame["types"]) == NEW_FIELDS[frame["table"]]
        assert [name for name in own["types"] if name in frame["types"]] == list(frame["types"])
        assert list(own["filter"]) == list(frame["filter"]) == ["symbol"]


def test_values_are_of_the_recorded_kinds(recorded, ours):
    """A size is an integer and a price a number there and here; sides and ticks are their words."""
    words = ("side", "tickDirection")
    theirs = {
        (f["table"], name, value)
        for f in recorded
        for row in f.get("data", [])
        for name, value in row.items()
        if name in words
    }
    sizes = ("size", "bidSize", "askSize", "grossValue", "id")
    for frame in ours:
        for row in frame.get("data", []):
            for name, value in row.items():
                if name in words:
                    assert (frame["table"], name, value) in theirs
                if name in sizes:
                    assert type(value) is int
    assert all(type(row["size"]) is int for f in recorded if f.get("table") == "trade"
               for row in f["data"])  # fmt: skip


def test_a_book_row_names_its_level_as_the_recorded_ones_do(recorded):
    """One id a price level: it falls as the price rises, on both sides of a book."""
    stage = Stage()
    (_, mine) = stage.ear().ask("subscribe", "orderBookL2:XBTUSD")
    theirs = [f for f in recorded if f.get("action") == "partial" and "id" in f["types"]]
    for frame in [*theirs, mine]:
        ids = [row["id"] for row in frame["data"]]
        prices = [row["price"] for row in frame["data"]]
        assert ids == sorted(ids)
        assert prices == sorted(prices, reverse=True)
        assert len(set(ids)) == len(ids)


def test_the_welcome_and_the_acks_have_the_recorded_fields(recorded, ours):
    """The welcome has what it had and more; an ack is the same three fields, its echo the same."""
    welcomes = [f for f in recorded if "info" in f]
    own = next(f for f in ours if "info" in f)
    assert welcomes[0].keys() <= own.keys()
    assert own["info"] == welcomes[0]["info"]
    assert own["docs"] == welcomes[0]["docs"]
    acks = [f for f in recorded if "success" in f]
    mine = next(f for f in ours if "success" in f)
    assert len(acks) == 30
    for ack in acks:
        assert list(ack) == list(mine)
        assert ack["subscribe"] in ack["request"]["args"]
        assert list(ack["request"]) == list(mine["request"]) == ["op", "args"]


def test_every_recorded_instrument_field_has_a_type(shared_data):
    """All fields of the recorded instruments are named by the partial, with a kind that fits."""
    (_, partial) = Stage().ear().ask("subscribe", "instrument")
    kinds = {"long": int, "float": int | float, "boolean": bool, "symbol": str, "timestamp": str,
             "timespan": str}  # fmt: skip
    rows = json.loads((shared_data / "bitmex-instruments-2021-07-22.json").read_text())
    assert len(rows) == 34
    for row in rows:
        for name, value in row.items():
            assert name in partial["types"], name
            assert value is None or isinstance(value, kinds[partial["types"][name]]), name
    mine = next(row for row in partial["data"] if row["symbol"] == "XBTUSD")
    xbtusd = next(row for row in rows if row["symbol"] == "XBTUSD")
    strict = {  # what strict clients refuse a row without (section 5)
        "symbol", "rootSymbol", "state", "typ", "underlying", "quoteCurrency", "tickSize",
        "multiplier", "isQuanto", "isInverse", "instantPnl", "timestamp",
    }  # fmt: skip
    assert strict <= set(mine)
    for name in ("typ", "multiplier", "isQuanto", "isInverse", "settlCurrency", "referenceSymbol"):
        assert mine[name] == xbtusd[name]
