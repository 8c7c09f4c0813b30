"""The layer that speaks as BitMEX did until 2022 (protocol sheet, sections 9.4, 10 and 15)."""

import json

import pytest

from reconciler.paper import PaperExchange
from reconciler.paper.legacy_tables import OLD_TABLES
from tests.paper.conftest import ME, Client
from tests.paper.ear import MINE, Stage
from tests.paper.test_ws_recorded import shapes
from tests.paper.test_ws_topics import PRIVATE, PUBLIC, busy_afternoon


def then(**options):
    return Stage(legacy=True, **options)


def orders(ear):
    """(action, row) of the order frames since the last look."""
    return [(f["action"], row) for f in ear.tables("order") for row in f["data"]]


def test_a_placement_is_three_messages():
    """New and not working, then working, then filled: what bots of 2019 wait for (section 10.1)."""
    stage = then()
    ear = stage.ear("order", key=MINE)
    ear.frames()
    stage.place(orderQty=300, price="61300", clOrdID="a")
    (first, whole), (second, working), (third, filled) = orders(ear)
    assert (first, second, third) == ("insert", "update", "update")
    assert set(whole) == set(OLD_TABLES["order"].types)
    assert (whole["ordStatus"], whole["workingIndicator"]) == ("New", False)
    assert (whole["leavesQty"], whole["cumQty"], whole["avgPx"]) == (300, 0, None)
    assert whole["clOrdLinkID"] == whole["triggered"] == ""
    assert (whole["exDestination"], whole["stopPx"]) == ("XBME", None)
    assert "strategy" not in whole
    identity = {"orderID", "clOrdID", "account", "symbol", "timestamp"}
    assert set(working) == identity | {"workingIndicator"}
    assert (filled["ordStatus"], filled["workingIndicator"]) == ("Filled", False)
    assert (filled["leavesQty"], filled["cumQty"]) == (0, 300)


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ({"price": "60000"}, ["insert", "update"]),  # rests: New, then working
        ({"ordType": "Market"}, ["insert", "update"]),  # never works: New, then Filled
        ({"price": "61300", "execInst": "ParticipateDoNotInitiate"}, ["insert", "update"]),
        ({"stopPx": "70000", "ordType": "Stop"}, ["insert"]),  # waits
    ],
)
def test_what_the_messages_add_up_to_is_the_order(fields, messages):
    """However many there are, applied one after the other they give the row that REST gives."""
    stage = then()
    ear = stage.ear("order", key=MINE)
    ear.frames()
    order = stage.place(orderQty=100, **fields)
    heard = orders(ear)
    assert [action for action, _ in heard] == messages
    held = {}
    for _, row in heard:
        held.update(row)
    row = stage.world.hub.legacy.rest("/api/v1/order", [order.row()])[0]
    assert {k: str(v) for k, v in held.items()} == {k: str(v) for k, v in row.items()}


def test_a_position_has_no_strategy_and_repeats_three_fields():
    """Its key is account, symbol, currency; updates carry quantity, mark and liquidation price."""
    stage = then()
    ear = stage.ear(key=MINE)
    (_, partial) = ear.ask("subscribe", "position")
    assert partial["keys"] == ["account", "symbol", "currency"]
    assert "strategy" not in partial["types"]
    stage.place(orderQty=300, ordType="Market")
    ear.frames()
    stage.place(orderQty=100, price="60000")
    ((_, row),) = [(f["action"], r) for f in ear.tables("position") for r in f["data"]]
    assert row["currentQty"] == 300
    assert row["openOrderBuyQty"] == 100
    assert {"markPrice", "liquidationPrice"} <= set(row)
    assert "strategy" not in row


def test_every_whole_row_has_every_old_field():
    """Partials and inserts of all old tables are wide: a client that indexes finds its field."""
    stage = then()
    ear = stage.ear(*PUBLIC, *PRIVATE, key=MINE)
    frames = ear.frames()
    busy_afternoon(stage)
    frames += ear.frames()
    for frame in frames:
        if frame.get("action") not in ("partial", "insert"):
            continue
        old = OLD_TABLES.get(frame["table"])
        for row in frame["data"] if old is not None else ():
            assert list(row) == list(old.types), frame["table"]


def test_frames_are_the_recorded_ones(shared_data):
    """Frame fields, keys, types, foreign keys, attributes and rows: equal to those of 2021."""
    lines = (shared_data / "bitmex-public-2021-07-22.jsonl").read_text().splitlines()
    recorded = [json.loads(line)["frame"] for line in lines]
    stage = then()
    stage.place(orderQty=100, ordType="Market")
    ear = stage.ear("orderBookL2:XBTUSD", "quote:XBTUSD", "trade:XBTUSD")
    stage.place(orderQty=300, price="61250.5")
    stage.place(orderQty=-300, price="61300.7")
    stage.place(1002, orderQty=20_000, ordType="Market")
    ours = ear.frames()
    theirs, mine = shapes(recorded), shapes(ours)
    assert theirs == mine
    partials = {f["table"]: f for f in ours if f.get("action") == "partial"}
    for frame in recorded:
        if frame.get("action") == "partial":
            own = partials[frame["table"]]
            for name in ("keys", "types", "foreignKeys", "attributes"):
                assert json.dumps(own[name]) == json.dumps(frame[name])
    ear.session.welcome(39, stage.now)
    welcome = next(f for f in recorded if "info" in f)
    assert list(ear.frames()[0]) == list(welcome)


def test_rows_of_instruments_are_the_recorded_ones(shared_data):
    """An instrument row has the fields of the recorded rows, in their order."""
    rows = json.loads((shared_data / "bitmex-instruments-2021-07-22.json").read_text())
    with PaperExchange(walk=False, rate_limits=False, legacy=True) as venue:
        client = Client(venue.url)
        mine = client.call("GET", "/api/v1/instrument/active").json()
        failed = client.call("DELETE", "/api/v1/order", {"orderID": _filled(client)}).json()
        held = client.call("GET", "/api/v1/position").json()
    assert list(mine[0]) == list(rows[0])
    assert failed[0]["error"] == "Unable to cancel order due to existing state: Filled"
    assert failed[0]["ordStatus"] == "Filled"
    assert (held[0]["account"], held[0]["currentQty"], held[0]["simpleQty"]) == (ME, 100, None)


def _filled(client):
    return client.order(orderQty=100, ordType="Market").json()["orderID"]
