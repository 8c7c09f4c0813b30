"""What comes on the socket when something happens, field by field (protocol sheet, section 10)."""

import random

import pytest

from reconciler.paper.market import BUY, SELL
from reconciler.paper.stream import BIN_LAG_MS
from tests.paper.conftest import ME, NOW
from tests.paper.ear import MINE, THEIRS, Stage
from tests.paper.test_ws_topics import PRIVATE, PUBLIC

BEST = {BUY: 612_505, SELL: 612_506}  # ticks of the still market


@pytest.fixture
def stage():
    """A market whose best bid is the test's alone once the house's is taken away."""
    made = Stage(symbols=("XBTUSD",))
    book = made.exchange.markets["XBTUSD"].book
    for resting in book.queue(BUY, BEST[BUY]):
        book.remove(resting.order_id)
    made.world.publish(made.now)
    return made


def sell_into(stage, contracts):
    """A house taker sells *contracts* at the best bid, seven seconds on."""
    stage.now += 7_004
    stage.exchange.house_take("XBTUSD", SELL, contracts, BEST[BUY], stage.now)
    stage.world.publish(stage.now)


def rows_of(frames, table):
    """(action, row) of one table's frames, in order."""
    return [(f["action"], row) for f in frames if f["table"] == table for row in f["data"]]


# -- order -------------------------------------------------------------------------------------


def test_a_placement_is_one_insert_with_the_whole_row(stage):
    """One frame, all fields and no nulls, as strict clients need them (sections 10.1 and 15)."""
    ear = stage.ear("order", key=MINE)
    ear.frames()
    order = stage.place(orderQty=300, price="61250.5", clOrdID="rc-000017-a")
    assert ear.tables() == [
        {
            "table": "order", "action": "insert",
            "data": [{
                "orderID": order.order_id, "clOrdID": "rc-000017-a", "account": ME,
                "symbol": "XBTUSD", "side": "Buy", "orderQty": 300, "price": order.price,
                "currency": "USD", "settlCurrency": "XBt", "ordType": "Limit",
                "timeInForce": "GoodTillCancel", "ordStatus": "New", "workingIndicator": True,
                "leavesQty": 300, "cumQty": 0, "strategy": "OneWay", "text": "Submitted via API.",
                "transactTime": "2026-05-20T11:00:00.000Z",
                "timestamp": "2026-05-20T11:00:00.000Z",
            }],
        }
    ]  # fmt: skip


def test_updates_of_an_order_hold_what_changed_and_who_it_is(stage):
    """Partial fill, full fill: the fields of the sheet's example and no other."""
    ear = stage.ear("order", key=MINE)
    order = stage.place(orderQty=300, price="61250.5", clOrdID="a")
    ear.frames()
    who = {"orderID": order.order_id, "clOrdID": "a", "account": ME, "symbol": "XBTUSD"}
    sell_into(stage, 100)
    assert ear.tables()[0]["data"] == [
        {
            **who, "ordStatus": "PartiallyFilled", "leavesQty": 200, "cumQty": 100,
            "avgPx": order.price, "timestamp": "2026-05-20T11:00:07.004Z",
        }
    ]  # fmt: skip
    sell_into(stage, 200)
    assert ear.tables()[0]["data"] == [
        {
            **who, "ordStatus": "Filled", "workingIndicator": False, "leavesQty": 0, "cumQty": 300,
            "timestamp": "2026-05-20T11:00:14.008Z",
        }
    ]  # fmt: skip


def test_cancel_amend_and_trigger_change_these_fields(stage):
    """A cancel has no transactTime, an amend and a trigger have (section 10.1)."""
    ear = stage.ear("order", key=MINE)
    order = stage.place(orderQty=300, price="61000")
    stop = stage.place(orderQty=100, stopPx="61252", ordType="Stop", execInst="LastPrice")
    ear.frames()
    stage.now += 1
    stage.amend(orderID=order.order_id, price="61001")
    stage.amend(orderID=order.order_id, orderQty=200)
    stage.cancel(order)
    who = {"orderID", "account", "symbol", "timestamp"}
    fields = [set(row) - who for _, row in rows_of(ear.tables(), "order")]
    assert fields == [
        {"price", "text", "transactTime"},
        {"orderQty", "leavesQty", "text"},  # in the same millisecond: transactTime stays
        {"ordStatus", "workingIndicator", "leavesQty", "text"},
    ]
    stage.now += 1
    stage.exchange.house_take("XBTUSD", BUY, 10**7, 612_530, stage.now)
    stage.pass_ms(600)
    (_, row), *_ = rows_of(ear.tables(), "order")
    assert row["orderID"] == stop.order_id
    assert row["triggered"] == "StopOrderTriggered"
    assert {"transactTime", "ordStatus", "cumQty", "leavesQty"} <= set(row)
    assert "ordType" not in row  # a triggered stop stays a stop (section 4.2)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"ordType": "Market"}, "Filled"),
        ({"price": "61251", "execInst": "ParticipateDoNotInitiate"}, "Canceled"),
        ({"price": "60000", "timeInForce": "ImmediateOrCancel"}, "Canceled"),
        ({"price": "60000", "timeInForce": "FillOrKill"}, "Canceled"),
    ],
)
def test_an_insert_may_already_be_the_end(stage, fields, status):
    """Since 2020 a placement is one order frame with its final state; executions tell each step."""
    ear = stage.ear("order", "execution", key=MINE)
    ear.frames()
    stage.place(orderQty=100, **fields)
    frames = ear.tables()
    ((action, row),) = rows_of(frames, "order")
    assert (action, row["ordStatus"], row["workingIndicator"]) == ("insert", status, False)
    steps = [row["execType"] for _, row in rows_of(frames, "execution")]
    assert steps == ["New", "Trade" if status == "Filled" else "Canceled"]
    stage.pass_ms(1_000)
    assert rows_of(ear.tables(), "order") == []  # no delete ever follows


def test_many_orders_that_end_at_once_share_a_frame(stage):
    """A client that reads the first row of a frame alone loses the others (section 9.3)."""
    ear = stage.ear("order", key=MINE)
    orders = [stage.place(orderQty=100, price=f"6000{n}", clOrdID=str(n)) for n in range(5)]
    ear.frames()
    stage.cancel(*orders)
    (frame,) = ear.tables()
    assert [row["clOrdID"] for row in frame["data"]] == ["0", "1", "2", "3", "4"]
    assert {row["ordStatus"] for row in frame["data"]} == {"Canceled"}


# -- execution -----------------------------------------------------------------------------------


def test_an_execution_row_is_whole_and_its_match_is_shared(stage):
    """The sheet's row of a maker's fill, number by number; both sides name one trdMatchID."""
    mine, theirs = stage.ear("execution", key=MINE), stage.ear("execution", key=THEIRS)
    public = stage.ear("trade")
    order = stage.place(orderQty=300, price="61250.5", clOrdID="a")
    for ear in (mine, theirs, public):
        ear.frames()
    stage.now += 7_004
    stage.place(1002, orderQty=-100, ordType="Market")
    ((_, row),) = rows_of(mine.tables(), "execution")
    assert row.items() >= {
        "orderID": order.order_id, "clOrdID": "a", "account": ME, "symbol": "XBTUSD",
        "side": "Buy", "lastQty": 100, "lastPx": order.price,
        "lastLiquidityInd": "AddedLiquidity", "orderQty": 300, "price": order.price,
        "currency": "USD", "settlCurrency": "XBt", "execType": "Trade", "ordType": "Limit",
        "timeInForce": "GoodTillCancel", "ordStatus": "PartiallyFilled", "workingIndicator": True,
        "leavesQty": 200, "cumQty": 100, "avgPx": order.price, "feeType": "Maker",
        "tradePublishIndicator": "PublishTrade", "text": "Submitted via API.",
        "execCost": -163264, "execComm": 81, "foreignNotional": -100, "strategy": "OneWay",
        "transactTime": "2026-05-20T11:00:07.004Z", "timestamp": "2026-05-20T11:00:07.004Z",
    }.items()  # fmt: skip
    taken = [r for _, r in rows_of(theirs.tables(), "execution") if r["execType"] == "Trade"]
    ((_, told),) = rows_of(public.tables(), "trade")
    assert taken[0]["trdMatchID"] == row["trdMatchID"] == told["trdMatchID"]
    assert taken[0]["execID"] != row["execID"]


def test_a_cancel_reject_names_no_symbol(stage):
    """Its ordStatus speaks of the request; symbol and clOrdID are missing (section 10.2)."""
    ear = stage.ear("execution", key=MINE)
    ear.frames()
    nobody = "5d1f0c7e-2b9a-4c61-9a54-0f2d6a7c1e01"
    stage.exchange.cancel(ME, [nobody], [], "", stage.now)
    stage.world.publish(stage.now)
    ((action, row),) = rows_of(ear.tables(), "execution")
    assert action == "insert"
    assert row.pop("execID")
    at = "2026-05-20T11:00:00.000Z"
    assert row == {
        "orderID": nobody, "account": ME, "execType": "CancelReject", "ordStatus": "Rejected",
        "workingIndicator": False, "ordRejReason": "Invalid orderID", "text": "Invalid orderID",
        "transactTime": at, "timestamp": at,
    }  # fmt: skip


# -- position, margin ----------------------------------------------------------------------------


def test_a_fill_is_two_position_frames_the_first_with_the_old_quantity(stage):
    """First what rests, then what is held: who acts on the first trades twice (section 10.3)."""
    ear = stage.ear("position", key=MINE)
    stage.place(orderQty=300, price="61250.5")
    ear.frames()
    stage.place(orderQty=-100, price="70000")
    ((_, placed),) = rows_of(ear.tables(), "position")
    assert placed["openOrderSellQty"] == 100
    assert "currentQty" not in placed
    sell_into(stage, 300)
    first, second = ear.tables()
    who = {"account": ME, "symbol": "XBTUSD", "strategy": "OneWay", "currency": "XBt"}
    for frame in (first, second):
        assert frame["action"] == "update"
        assert frame["data"][0].items() >= who.items()
    assert first["data"][0]["openOrderBuyQty"] == 0
    assert first["data"][0].get("currentQty", 0) == 0
    assert second["data"][0]["currentQty"] == 300
    assert second["data"][0]["currentCost"] == -489792
    assert second["data"][0]["currentComm"] == 244


def test_an_open_position_is_told_its_mark_and_a_flat_one_is_silent(stage):
    """Every few seconds, without a word of quantity; flat, nothing at all (section 10.3)."""
    ear = stage.ear("position", key=MINE)
    ear.frames()
    stage.world.move_to("XBTUSD", stage.exchange.markets["XBTUSD"].inst.price(613_000), stage.now)
    stage.pass_ms(6_000)
    assert ear.tables() == []
    stage.place(orderQty=300, ordType="Market")
    ear.frames()
    stage.world.move_to("XBTUSD", stage.exchange.markets["XBTUSD"].inst.price(613_500), stage.now)
    stage.pass_ms(6_000)
    updates = rows_of(ear.tables(), "position")
    assert updates
    for action, row in updates:
        assert action == "update"
        assert "markPrice" in row
        assert "currentQty" not in row


def test_margin_updates_hold_changed_totals(stage):
    """account, currency, what changed, timestamp (section 10.4)."""
    ear = stage.ear("margin", key=MINE)
    ear.frames()
    stage.place(orderQty=300, price="61250.5")
    ((action, row),) = rows_of(ear.tables(), "margin")
    assert action == "update"
    assert {"account", "currency", "initMargin", "availableMargin", "timestamp"} <= set(row)
    assert row["currency"] == "XBt"
    assert "walletBalance" not in row


def test_what_a_late_client_is_sent_is_what_an_early_one_has(stage):
    """Image plus updates equals a later image, for every keyed table, after all that happened."""
    tables = ("order", "position", "margin", "instrument", "orderBookL2_25", "orderBook10")
    early = stage.ear(*tables, key=MINE)
    held = {f["table"]: _image(f) for f in early.frames() if "table" in f}
    order = stage.place(orderQty=300, price="61250.5")
    sell_into(stage, 100)
    stage.amend(orderID=order.order_id, price="61250.4")
    stage.place(orderQty=-800, ordType="Market")
    stage.pass_ms(6_000)
    stage.cancel(order) if order.open else None
    stage.world.move_to("XBTUSD", stage.exchange.markets["XBTUSD"].inst.price(613_100), stage.now)
    stage.pass_ms(6_000)
    for frame in early.tables():
        _apply(held[frame["table"]], frame)
    late = stage.ear(*tables, key=MINE)
    for frame in late.frames():
        if "table" in frame:
            rows = {key: _still(row) for key, row in _image(frame)[1].items()}
            mine = {key: _still(row) for key, row in held[frame["table"]][1].items()}
            if frame["table"] == "order":  # ended ones leave the image and not the client
                mine = {k: r for k, r in mine.items() if k in rows}
            assert mine == rows, frame["table"]


def _image(frame):
    keys = frame["keys"]
    return keys, {tuple(row[k] for k in keys): dict(row) for row in frame["data"]}


def _apply(held, frame):
    keys, rows = held
    for row in frame["data"]:
        key = tuple(row[k] for k in keys)
        if frame["action"] == "delete":
            del rows[key]
        elif frame["action"] == "insert":
            assert key not in rows
            rows[key] = dict(row)
        else:
            rows[key].update(row)


def _still(row):
    """A row without its times and what is unset."""
    times = ("timestamp", "transactTime")
    return {k: v for k, v in row.items() if v is not None and k not in times}


# -- public tables -------------------------------------------------------------------------------


def test_the_window_of_25_moves_by_inserts_and_deletes(stage):
    """A better price pushes the 26th out; what is behind the window is not told (section 10.5)."""
    ear = stage.ear("orderBookL2_25:XBTUSD")
    (partial,) = [f for f in ear.frames() if f.get("action") == "partial"]
    bids = [row for row in partial["data"] if row["side"] == "Buy"]
    assert len(bids) == 25
    fields = {"symbol", "id", "side", "size", "price", "timestamp", "transactTime"}
    assert {frozenset(row) for row in partial["data"]} == {frozenset(fields)}
    stage.place(orderQty=300, price="61250.5")
    gone, came = ear.tables()
    assert (gone["action"], came["action"]) == ("delete", "insert")
    assert gone["data"][0]["id"] == bids[-1]["id"]
    assert set(gone["data"][0]) == fields - {"size"}
    assert came["data"][0]["size"] == 300
    stage.place(orderQty=300, price="50000")
    assert ear.tables() == []
    stage.place(orderQty=100, price="61250.5")
    (changed,) = ear.tables()
    assert changed["action"] == "update"
    assert changed["data"][0].items() >= {"id": came["data"][0]["id"], "size": 400}.items()
    assert set(changed["data"][0]) == fields


@pytest.mark.parametrize("table", ["orderBookL2", "orderBookL2_25"])
def test_a_book_kept_by_frames_is_the_book(table):
    """Through 400 drawn orders, icebergs and hidden ones, image plus frames is what REST says."""
    draw = random.Random(f"books/{table}")
    stage = Stage(symbols=("XBTUSD",))
    ear = stage.ear(f"{table}:XBTUSD")
    held = _image(next(f for f in ear.frames() if f.get("action") == "partial"))
    market = stage.exchange.markets["XBTUSD"]
    placed = []
    for number in range(400):
        away = draw.choice((draw.randint(-3, 8), draw.randint(0, 60)))
        side = draw.choice((BUY, SELL))
        fields = {} if draw.random() < 0.8 else {"displayQty": draw.choice((0, 100))}
        if placed and draw.random() < 0.4:
            order = placed.pop(draw.randrange(len(placed)))
            stage.cancel(order)
        else:
            price = market.inst.price(BEST[side] - side * away)
            contracts = side * 100 * draw.randint(2, 80)
            placed.append(stage.place(1002, orderQty=contracts, price=price, **fields))
        if number % 50 == 0:
            stage.world.move_to("XBTUSD", market.inst.price(612_505 + draw.randint(-9, 9)), NOW)
            stage.world.publish(NOW)
        for frame in ear.tables():
            assert frame["data"]
            _apply(held, frame)
        depth = 25 if table.endswith("25") else None
        rows = {(r["symbol"], r["id"], r["side"]): r["size"] for r in market.levels(depth, NOW)}
        assert {key: row["size"] for key, row in held[1].items()} == rows


def test_book10_is_whole_in_every_update(stage):
    """Ten and ten [price, size] pairs, best first, each time (section 9.4)."""
    ear = stage.ear("orderBook10:XBTUSD")
    ear.frames()
    order = stage.place(orderQty=300, price="61250.5")
    ((action, row),) = rows_of(ear.tables(), "orderBook10")
    assert (action, row["bids"][0]) == ("update", [order.price, 300])
    assert (len(row["bids"]), len(row["asks"])) == (10, 10)
    assert row["asks"][0][0] < row["asks"][-1][0]


def test_quotes_and_trades_are_inserts(stage):
    """A sweep is one trade frame of several rows with one time, and one quote (section 10.5)."""
    ear = stage.ear("quote:XBTUSD", "trade:XBTUSD")
    ear.frames()
    stage.place(orderQty=20_000, ordType="Market")
    frames = ear.tables()
    assert [(f["table"], f["action"]) for f in frames] == [("trade", "insert"), ("quote", "insert")]
    trades = frames[0]["data"]
    assert len(trades) > 1
    assert len({row["timestamp"] for row in trades}) == 1
    assert sum(row["size"] for row in trades) == 20_000
    assert set(frames[1]["data"][0]) == {
        "timestamp", "symbol", "bidSize", "bidPrice", "askPrice", "askSize"
    }  # fmt: skip


def test_an_instrument_update_is_symbol_what_changed_and_time(stage):
    """Marks and last prices come so; a closed market does, too (section 10.5)."""
    ear = stage.ear("instrument:XBTUSD")
    ear.frames()
    stage.exchange.markets["XBTUSD"].state = "Closed"
    stage.pass_ms(600)
    ((action, row),) = rows_of(ear.tables(), "instrument")
    assert action == "update"
    assert row["state"] == "Closed"
    assert {"symbol", "timestamp"} <= set(row)
    assert "tickSize" not in row


def test_indices_tick_as_referential_trades(stage):
    """`.BXBT` trades with size 0 and says so (section 10.5)."""
    ear = stage.ear("trade:.BXBT", "instrument:.BXBT")
    ear.frames()
    stage.pass_ms(5_100)
    ((_, row),) = rows_of(ear.tables(), "trade")
    assert (row["symbol"], row["size"], row["trdType"]) == (".BXBT", 0, "Referential")


@pytest.mark.parametrize("kind", ["trade", "quote"])
def test_bins_come_seconds_after_the_minute(kind):
    """An insert a minute with the minute's end as its time; all symbols of a client in a frame."""
    stage = Stage(now=NOW + 30_000)
    table = f"{kind}Bin1m"
    ear, one = stage.ear(table), stage.ear(f"{table}:XBTUSD", f"{kind}Bin5m")
    (image,) = [f for f in ear.frames() if f.get("action") == "partial"]
    assert {row["timestamp"] for row in image["data"]} == {"2026-05-20T11:00:00.000Z"}
    one.frames()
    stage.place(orderQty=300, ordType="Market")
    stage.pass_ms(30_000)
    stage.pass_ms(BIN_LAG_MS - 1)
    assert ear.tables() == one.tables() == []
    stage.pass_ms(1)
    (frame,) = ear.tables()
    assert (frame["table"], frame["action"]) == (table, "insert")
    rows = {row["symbol"]: row for row in frame["data"]}
    assert {"XBTUSD", "ETHUSD"} <= set(rows)
    assert {row["timestamp"] for row in frame["data"]} == {"2026-05-20T11:01:00.000Z"}
    (frame,) = one.tables()
    assert frame["data"] == [rows["XBTUSD"]]
    if kind == "trade":
        assert (rows["XBTUSD"]["trades"], rows["XBTUSD"]["volume"]) == (1, 300)
        assert rows["ETHUSD"]["trades"] == 0
        assert not {"vwap", "lastSize"} & set(rows["ETHUSD"])
    heard = []
    for _ in range(4):
        stage.pass_ms(60_000)
        heard += one.tables()
    (five,) = [f for f in heard if f["table"] == f"{kind}Bin5m"]
    assert len(heard) == 5
    assert {row["timestamp"] for row in five["data"]} == {"2026-05-20T11:05:00.000Z"}


def test_funding_is_an_insert_and_an_execution(stage):
    """The table tells the rate, the execution what it cost; the position stays (section 8.3)."""
    public, mine = stage.ear("funding:XBTUSD"), stage.ear("execution", "position", key=MINE)
    stage.place(orderQty=300, ordType="Market")
    (image,) = [f for f in public.frames() if f.get("action") == "partial"]
    assert image["data"][0]["timestamp"] == "2026-05-20T04:00:00.000Z"
    mine.frames()
    stage.exchange.fund(stage.exchange.markets["XBTUSD"], stage.now)
    stage.world.publish(stage.now)
    ((action, row),) = rows_of(public.tables(), "funding")
    assert action == "insert"
    assert row["fundingInterval"] == "2000-01-01T08:00:00.000Z"
    assert row["fundingRateDaily"] == 3 * row["fundingRate"]
    frames = mine.tables()
    ((_, paid),) = rows_of(frames, "execution")
    assert (paid["execType"], paid["lastQty"], paid["text"]) == ("Funding", 300, "Funding")
    assert all("currentQty" not in row for _, row in rows_of(frames, "position"))


def test_the_same_seed_says_the_same_to_the_byte():
    """A walking market, orders and time: two venues of one seed send identical frames."""

    def told():
        stage = Stage(symbols=("XBTUSD",), walk=True)
        ear = stage.ear(*PUBLIC, *PRIVATE, key=MINE)
        frames = [*ear.session.take()]
        for number in range(40):
            stage.pass_ms(100)
            stage.place(orderQty=100 * (-1) ** number, ordType="Market", clOrdID=str(number))
            frames += ear.session.take()
        return frames

    first, second = told(), told()
    assert len(first) > 200
    assert first == second
