"""The websocket over a real socket, with `websocket-client`."""

import json
import time

import pytest
import websocket

from reconciler.paper import PaperExchange
from reconciler.paper.protocol import Change
from reconciler.paper.session import OUTBOX_FRAMES
from reconciler.paper.stream import WAITING
from reconciler.paper.times import iso
from reconciler.paper.world import World
from tests.paper.conftest import ME, NOW, Client, Stream
from tests.paper.ear import MINE, Ear, Stage


def test_welcome_comes_first_and_ping_is_answered(venue):
    """The first frame is the welcome; a bare ping is answered with a bare pong."""
    stream = Stream(venue.url)
    assert stream.welcome["info"] == "Welcome to the BitMEX Realtime API."
    assert isinstance(stream.welcome["limit"]["remaining"], int)
    stream.socket.send("ping")
    assert stream.next() == "pong"


def test_an_ack_for_each_topic_echoes_the_request(venue):
    """Each topic has its own acknowledgement with the request as it was sent, then its image."""
    stream = Stream(venue.url)
    stream.ask("subscribe", ["quote:XBTUSD", "trade:XBTUSD"])
    for topic in ("quote:XBTUSD", "trade:XBTUSD"):
        assert stream.next() == {
            "success": True, "subscribe": topic,
            "request": {"op": "subscribe", "args": ["quote:XBTUSD", "trade:XBTUSD"]},
        }  # fmt: skip
    partial = stream.next()
    assert (partial["table"], partial["action"], partial["keys"]) == ("quote", "partial", [])
    assert partial["filter"] == {"symbol": "XBTUSD"}
    stream.next()
    stream.ask("subscribe", "instrument")
    assert stream.next()["request"] == {"op": "subscribe", "args": "instrument"}
    stream.until(lambda f: f.get("table") == "instrument" and f["keys"] == ["symbol"])
    stream.ask("unsubscribe", "instrument")
    assert stream.until(lambda f: "unsubscribe" in f)["success"] is True


@pytest.mark.parametrize(
    ("message", "status", "error"),
    [
        ({"op": "subscribe", "args": "ordr"}, 400, "Unknown table: ordr"),
        ({"op": "subscribe", "args": "trade:NOPE"}, 400, "Unknown or expired symbol."),
        ({"op": "subscribe", "args": ["margin"]}, 401,
         "User requested an account-locked subscription but no authorization was provided."),
        ({"op": "cancelAllAfter", "args": 60000}, 401, "Please authenticate"),
        ({"op": "authKeyExpires", "args": ["sim-key", 1, "x"]}, 401, "Signature not valid."),
        ({"op": "authKeyExpires", "args": "x"}, 401, "Authorization Required"),
        ({"op": "authKeyExpires"}, 400, "Missing API key."),
        ({"op": "subscribe", "args": [{}, None, 5]}, 400, "Unknown table: "),
        ({"args": "trade"}, 400, "Unrecognized request"),
        ([1, 2], 400, "Unrecognized request"),
    ],
)  # fmt: skip
def test_wrong_commands_are_error_frames(venue, message, status, error):
    """A wrong command is answered with status, error, meta and the request, and not more."""
    stream = Stream(venue.url)
    stream.socket.send(json.dumps(message))
    frame = stream.next()
    assert frame["status"] == status
    assert frame["error"].startswith(error)
    assert frame["request"] == message
    assert "meta" in frame
    assert "success" not in frame


def test_rubbish_frames_do_not_end_the_conversation(venue):
    """Text that is no JSON, and bytes that are no text, are errors; the socket lives on."""
    stream = Stream(venue.url)
    for rubbish in ("{", "", "nonsense", "[" * 5000):
        stream.socket.send(rubbish)
        assert stream.next()["status"] == 400
    stream.socket.send_binary(b"\xff\xfe\x00")
    assert stream.next()["status"] == 400
    stream.socket.send("help")
    assert "order" in stream.next()["subscriptionSubjects"]["authenticationRequired"]


@pytest.mark.parametrize("way", ["message", "query", "headers"])
def test_there_are_three_ways_to_sign_in(venue, client, way):
    """By message, in the URL or in the upgrade's headers: each opens the private tables."""
    expires = str(int(time.time()) + 60)
    signed = client.signed("GET", "/realtime", b"", expires)
    if way == "message":
        stream = Stream(venue.url, "order", client=client)
    elif way == "query":
        query = "?" + "&".join(f"{k}={v}" for k, v in signed.items()) + "&subscribe=order"
        stream = Stream(venue.url, query=query)
        assert stream.next()["subscribe"] == "order"
        assert stream.next()["filter"] == {"account": 1001}
    else:
        address = venue.url.replace("http", "ws") + "/realtime"
        bare = websocket.create_connection(address, header=signed, timeout=8)
        bare.recv()
        bare.send('{"op":"subscribe","args":"order"}')
        assert json.loads(bare.recv())["success"] is True
        return
    client.order(orderQty=100, price=50_000, clOrdID="a")
    assert stream.rows("order", 1)[0]["clOrdID"] == "a"


def test_a_wrong_key_is_refused_at_the_upgrade(venue):
    """Bad credentials in the URL are an HTTP 401 whose error is a plain text."""
    address = venue.url.replace("http", "ws") + "/realtime"
    query = "?api-key=nobody&api-expires=99999999999&api-signature=00"
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(address + query, timeout=8)
    assert refused.value.status_code == 401
    assert json.loads(refused.value.resp_body) == {"error": "Invalid API Key."}
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(address + "/elsewhere", timeout=8)
    assert refused.value.status_code == 404


def test_the_life_of_an_order_in_four_tables(venue, client):
    """Order, execution, position and margin tell the same story of a fill."""
    stream = Stream(venue.url, "order", "execution", "position", "margin", client=client)
    client.order(orderQty=300, ordType="Market", clOrdID="a")
    frames = {}
    while len(frames) < 4:
        frame = stream.until(lambda f: f.get("action") in ("insert", "update"))
        frames[frame["table"]] = frame
    assert frames["order"]["data"][0]["ordStatus"] == "Filled"
    assert [r["execType"] for r in frames["execution"]["data"]] == ["New", "Trade"]
    assert frames["position"]["data"][0]["currentQty"] == 300
    assert frames["margin"]["data"][0]["realisedPnl"] == -244


def test_accounts_do_not_hear_each_other(venue, client):
    """A private frame goes to its own account and to no other."""
    other = Client(venue.url, "sim-key-2", "sim-secret-2")
    theirs = Stream(venue.url, "order", client=other)
    client.order(orderQty=100, price=50_000, clOrdID="mine")
    other.order(orderQty=100, price=50_000, clOrdID="theirs")
    assert theirs.rows("order", 1)[0]["clOrdID"] == "theirs"


def test_a_symbol_is_a_filter_on_private_tables_too(venue, client):
    """`order:ETHUSD` hears ETHUSD alone, and its image says so."""
    stream = Stream(venue.url, client=client)
    stream.ask("subscribe", "order:ETHUSD")
    partial = stream.until(lambda f: f.get("action") == "partial")
    assert partial["filter"] == {"account": 1001, "symbol": "ETHUSD"}
    client.order(orderQty=100, price=50_000)
    client.call("POST", "/api/v1/order", {"symbol": "ETHUSD", "orderQty": 1, "price": 2000})
    assert stream.rows("order", 1)[0]["symbol"] == "ETHUSD"


@pytest.mark.parametrize("table", ["orderBookL2_25", "orderBookL2"])
def test_a_book_kept_by_deltas_is_the_book(venue, client, table):
    """Image plus inserts, updates and deletes give the same book as REST does."""
    stream = Stream(venue.url)
    stream.ask("subscribe", f"{table}:XBTUSD")
    partial = stream.until(lambda f: f.get("action") == "partial")
    book = {row["id"]: row for row in partial["data"]}
    client.order(orderQty=300, price="61250.5")
    client.paper("price", symbol="XBTUSD", price=61249.3)
    client.paper("trade", symbol="XBTUSD", side="Sell", orderQty=20_000)
    client.order(orderQty=77_700, price=61260.1)
    depth = 25 if table.endswith("25") else 0
    wanted = client.call("GET", f"/api/v1/orderBook/L2?symbol=XBTUSD&depth={depth}").json()
    levels = {(r["id"], r["side"], r["size"]) for r in wanted}
    while {(r["id"], r["side"], r["size"]) for r in book.values()} != levels:
        frame = stream.until(lambda f: f.get("table") == table)
        for row in frame["data"]:
            if frame["action"] == "delete":
                assert {"price", "timestamp", "transactTime"} <= set(row)
                del book[row["id"]]
            elif frame["action"] == "insert":
                assert row["id"] not in book
                book[row["id"]] = row
            else:
                book[row["id"]].update(row)


def test_the_switch_can_be_armed_on_the_socket(venue, client):
    """cancelAllAfter on the socket answers when it fires and echoes the request."""
    stream = Stream(venue.url, client=client)
    stream.ask("cancelAllAfter", 60_000)
    frame = stream.next()
    assert frame["request"] == {"op": "cancelAllAfter", "args": 60_000}
    assert frame["cancelTime"] > frame["now"]
    stream.ask("cancelAllAfter", [0])
    assert stream.next()["cancelTime"] == 0


def test_a_partial_holds_the_open_orders(venue, client):
    """A late subscriber's image is the open orders and the recent executions."""
    client.order(orderQty=100, price=50_000, clOrdID="open")
    client.order(orderQty=100, ordType="Market", clOrdID="done")
    stream = Stream(venue.url, client=client)
    stream.ask("subscribe", ["order", "execution", "position"])
    images = {}
    while len(images) < 3:
        frame = stream.until(lambda f: f.get("action") == "partial")
        images[frame["table"]] = frame
    assert [r["clOrdID"] for r in images["order"]["data"]] == ["open"]
    assert len(images["execution"]["data"]) == 3
    assert images["position"]["keys"] == ["account", "symbol", "strategy"]
    assert images["position"]["data"][0]["currentQty"] == 100
    for frame in images.values():
        for row in frame["data"]:
            assert set(row) <= set(frame["types"])


def test_a_reader_that_stops_reading_is_cut_off():
    """A socket whose peer takes no more bytes ends when told, and does not hold up the venue."""
    with PaperExchange(walk=False, rate_limits=False) as venue:
        stream = Stream(venue.url)
        client = Client(venue.url)
        for _ in range(300):  # some 40 KB each, which nobody reads
            stream.ask("subscribe", "orderBookL2")
            stream.ask("unsubscribe", "orderBookL2")
        assert client.call("GET", "/api/v1/user").status_code == 200
        began = time.monotonic()
        assert client.paper("disconnect", all=True) == {"closed": 1}
        assert client.call("GET", "/api/v1/user").status_code == 200
    assert time.monotonic() - began < 3


def test_an_instrument_that_never_traded_here_has_its_last_trade_of_the_past():
    """The official client reads the last row of ``trade`` at once; the same seed, the same row."""

    def image() -> list[dict[str, object]]:
        world = World(seed=5, symbols=("XBTUSD",), now_ms=NOW, later=lambda s, f: None, walk=False)
        session = world.hub.open(lambda: None)
        session.receive('{"op":"subscribe","args":"trade:XBTUSD"}', NOW)
        return list(json.loads(session.outbox[-1])["data"])

    [row] = image()
    assert row["size"] > 0
    assert row["timestamp"] < iso(NOW)
    assert image() == [row]


def test_what_waits_for_many_comes_before_what_is_said_to_one():
    """Frames for all stand together until someone looks; an answer in between keeps its place."""
    stage = Stage()
    first, second = (stage.ear("order", "quote:XBTUSD", key=MINE) for _ in range(2))
    first.frames(), second.frames()
    stage.place(side="Buy", orderQty=100, price="61000", clOrdID="before")
    first.session.receive("ping", stage.now)
    stage.place(side="Buy", orderQty=100, price="60000", clOrdID="after")
    late = stage.ear("order", key=MINE)

    def told(ear: Ear) -> list[str]:
        return [
            "pong" if f == "pong" else f"{f['action']} {f['data'][0]['clOrdID']}"
            for f in ear.frames()
            if f == "pong" or f.get("table") == "order"
        ]

    assert told(first) == ["insert before", "pong", "insert after"]
    assert told(second) == ["insert before", "insert after"]
    assert told(late) == ["partial before"], "both are in its image, and it heard of neither"
    stage.cancel(stage.exchange.find(ME, cl_ord_id="before"))
    assert told(first) == told(second) == told(late) == ["update before"]


def test_who_hears_is_woken_once_for_what_waits():
    """Until frames are fetched, more of them wake nobody; then the next frame does."""
    stage, calls = Stage(), []
    session = stage.world.hub.open(lambda: calls.append(1))
    session.receive('{"op":"subscribe","args":"trade:XBTUSD"}', stage.now)
    session.take()
    calls.clear()
    for _ in range(3):
        stage.place(side="Buy", orderQty=100, ordType="Market")
    assert len(calls) == 1
    assert len(session.take()) == 3
    stage.place(side="Buy", orderQty=100, ordType="Market")
    assert len(calls) == 2


def test_a_reader_of_nothing_is_dropped_for_what_waits_for_all():
    """Who leaves too many frames unread is cut off, though nobody hands them out one by one."""
    stage = Stage()
    sleeper = stage.ear("quote:XBTUSD")
    reader = stage.ear("quote:XBTUSD")
    for number in range(1, OUTBOX_FRAMES + WAITING + 2):
        row = {"timestamp": iso(NOW), "symbol": "XBTUSD", "bidSize": number}
        stage.world.hub.publish([Change("quote", "insert", None, "XBTUSD", row)], NOW)
        if number % 5_000 == 0:
            reader.session.take()
    assert sleeper.ended
    assert not reader.ended
