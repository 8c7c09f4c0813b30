"""Faults of frames, subscriptions and connections: what a websocket hears, and what it does not."""

import json
from decimal import Decimal

import pytest
import websocket

from reconciler.paper.stream_faults import NOBODY
from tests.paper.conftest import ME, Client, Stream
from tests.paper.memory import Memory


@pytest.fixture
def desk():
    return Memory()


def heard(desk, session, table):
    return [f for f in desk.heard(session) if isinstance(f, dict) and f.get("table") == table]


@pytest.mark.parametrize(
    ("name", "table"), [("lost-position", "position"), ("lost-frame", "order")]
)
def test_a_frame_can_be_lost(desk, name, table):
    """The frame never comes, later ones do, and the connection stays up."""
    session = desk.listen("order", "position")
    desk.fault(name)
    desk.order(orderQty=100, ordType="Market")
    desk.advance(40)
    first = heard(desk, session, table)
    desk.order(orderQty=100, ordType="Market")
    assert len(heard(desk, session, table)) == len(first) + 1
    assert session not in desk.closed


def test_a_position_can_be_told_as_it_was(desk):
    """old-quantity: first the quantity of before, and 0.2 to 2 seconds later the true one."""
    session = desk.listen("position")
    desk.order(orderQty=100, ordType="Market")
    desk.heard(session)
    desk.fault("old-quantity")
    desk.order(orderQty=100, ordType="Market")
    early = [r["currentQty"] for _, r in desk.rows(session, "position") if "currentQty" in r]
    assert set(early) == {100}
    desk.advance(2_020)
    late = [r["currentQty"] for _, r in desk.rows(session, "position") if "currentQty" in r]
    assert late == [200]


def test_a_mark_is_no_trade(desk):
    """mark-noise: three updates of markPrice alone, the last of them true."""
    desk.order(orderQty=100, ordType="Market")
    session = desk.listen("position")
    desk.fault("mark-noise")
    desk.order(orderQty=100, price=50_000)
    marks = [row for _, row in desk.rows(session, "position")][1:]
    assert all("currentQty" not in row for row in marks)
    assert len(marks) == 3
    assert marks[-1]["markPrice"] == desk.exchange.markets["XBTUSD"].mark


def test_an_execution_can_come_again_much_later(desk):
    """repeat-execution: the same bytes within three seconds."""
    session = desk.listen("execution")
    desk.fault("repeat-execution")
    desk.order(orderQty=100, price=50_000)
    [first] = heard(desk, session, "execution")
    desk.advance(3_020)
    assert heard(desk, session, "execution") == [first]


def test_many_rows_can_come_in_one_frame(desk):
    """many-rows: inserts of half a second are one frame, and an update does not overtake them."""
    session = desk.listen("order", "execution")
    desk.fault("many-rows", count=None)
    for number in range(4):
        desk.order(orderQty=100, price=50_000 + number)
    desk.advance(600)
    [frame] = heard(desk, session, "execution")
    assert [row["execType"] for row in frame["data"]] == ["New"] * 4
    desk.order(orderQty=100, price=50_000, clOrdID="z")
    desk.cancel("z")
    assert [f["action"] for f in heard(desk, session, "order")] == ["insert", "update"]


def test_rows_can_hold_what_nobody_knows(desk):
    """An unknown field, an unknown word, nulls, and numbers in exponent form; the rest is true."""
    session = desk.listen("order")
    for name in ("unknown-field", "unknown-word", "null-fields", "exponent-numbers"):
        desk.fault(name)
    desk.order(orderQty=100, price=50_000.5, clOrdID="a")
    [raw] = [f.decode() for f in session.take()]
    [row] = json.loads(raw, parse_float=Decimal)["data"]
    assert row["marginHint"] == {"levels": [1, 2]}
    assert row["ordStatus"] == "Pondering"
    assert row["simpleOrderQty"] is None
    assert '"price":5.00005E+4' in raw
    assert (row["price"], row["clOrdID"], row["orderQty"]) == (Decimal("50000.5"), "a", 100)


def test_an_update_can_name_a_stranger(desk):
    """unknown-row: the first row is of an order that never was, the second is the true one."""
    session = desk.listen("order")
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    desk.heard(session)
    desk.fault("unknown-row")
    desk.cancel("a")
    [frame] = heard(desk, session, "order")
    assert [row.get("orderID") == NOBODY for row in frame["data"]] == [True, False]
    assert frame["data"][1]["ordStatus"] == "Canceled"


def test_numbers_can_contradict_each_other(desk):
    """wrong-numbers: cumQty says one more than was filled."""
    session = desk.listen("order")
    desk.fault("wrong-numbers")
    desk.order(orderQty=100, price=50_000)
    assert desk.rows(session, "order")[0][1]["cumQty"] == 1


def test_rows_of_other_accounts_can_come_by(desk):
    """other-account-row: a position of somebody else, in a frame of its own."""
    session = desk.listen("position")
    desk.fault("other-account-row")
    desk.order(orderQty=100, ordType="Market")
    rows = [row for _, row in desk.rows(session, "position")]
    assert {row["account"] for row in rows} == {ME, ME + 7}
    assert desk.held() == 100


def test_a_socket_can_be_half_open(desk):
    """half-open: nothing comes any more, pong neither, and nobody closes."""
    session = desk.listen("order")
    desk.fault("half-open")
    desk.order(orderQty=100, price=50_000)
    session.receive("ping", desk.now)
    assert desk.heard(session) == []
    assert session not in desk.closed


def test_a_stream_can_lag_behind(desk):
    """stream-lag: from the struck frame on, all of them come late, in their order."""
    session = desk.listen("order")
    desk.fault("stream-lag")
    for number in range(5):
        desk.order(orderQty=100, price=50_000, clOrdID=str(number))
    assert desk.heard(session) == []
    desk.advance(5_020)
    assert [row["clOrdID"] for _, row in desk.rows(session, "order")] == list("01234")


@pytest.mark.parametrize("fault", ["half-open", "silent-stream", "stream-lag"])
def test_a_fault_that_stays_strikes_a_socket_once(desk, fault):
    """Its count is of sockets, however many frames they miss afterwards."""
    sessions = [desk.listen("order") for _ in range(3)]
    desk.fault(fault, count=2)
    desk.order(orderQty=100, price=50_000)
    desk.order(orderQty=100, price=50_001)
    assert [len(desk.heard(session)) for session in sessions] == [0, 0, 2]


def test_quotes_can_be_nonsense_before_they_are_true():
    """bad-quote: crossed, one-sided or far quotes, each followed by the true one."""
    desk = Memory(walk=True, quotes=20)
    session = desk.listen("quote")
    desk.fault("bad-quote", count=30)
    desk.advance(5_000)
    rows = [row for _, row in desk.rows(session, "quote")]
    crossed = [r for r in rows if r.get("askPrice", 10**9) <= r["bidPrice"]]
    one_sided = [r for r in rows if "askPrice" not in r]
    far = [r for r in rows if r["bidPrice"] < 40_000]
    assert crossed
    assert one_sided
    assert far
    assert rows[-1]["bidPrice"] < rows[-1]["askPrice"]


def test_a_book_can_name_a_level_that_never_was():
    """book-stranger: one row of an unknown id among known ones."""
    desk = Memory(walk=True)
    session = desk.listen("orderBookL2:XBTUSD")
    desk.fault("book-stranger")
    desk.advance(3_000)
    odd = [row for _, row in desk.rows(session, "orderBookL2") if row["id"] == 1]
    assert len(odd) == 1


def test_private_tables_can_be_silent_for_a_while():
    """private-silence: what came meanwhile is lost, public tables go on, and then all is well."""
    desk = Memory(walk=True)
    session = desk.listen("order", "quote")
    desk.fault("private-silence")
    desk.advance(1_100)
    desk.heard(session)
    desk.order(orderQty=100, price=50_000)
    desk.advance(1_000)
    assert {frame["table"] for frame in desk.heard(session)} == {"quote"}
    desk.advance(10_000)
    desk.heard(session)
    desk.order(orderQty=100, price=50_000)
    assert desk.rows(session, "order")


def test_partials_can_be_missing_late_short_or_overtaken(desk):
    """Four ways in which the first image goes wrong; the state behind it is right each time."""
    for name in "ab":
        desk.order(orderQty=100, price=50_000, clOrdID=name)
    subscribe = json.dumps({"op": "subscribe", "args": ["order"]})

    def frames(fault, ms=0):
        session = desk.connect()
        desk.fault(fault)
        session.receive(subscribe, desk.now)
        desk.advance(ms)
        return [(f["action"], len(f["data"])) for f in desk.heard(session) if "table" in f]

    assert frames("no-partial", 4_000) == []
    assert frames("short-partial") == [("partial", 1)]
    assert frames("early-update") == [("update", 1), ("partial", 2)]
    assert frames("late-partial") == []
    session = desk.connect()
    desk.fault("late-partial")
    session.receive(subscribe, desk.now)
    desk.order(orderQty=100, price=50_000, clOrdID="c")
    desk.advance(3_020)
    kinds = [(f["action"], len(f["data"])) for f in desk.heard(session) if "table" in f]
    assert kinds == [("insert", 1), ("partial", 3)]


def test_a_table_can_come_whole_again(desk):
    """second-partial: the image of all that is there, behind the frame that was struck."""
    for name in "ab":
        desk.order(orderQty=100, price=50_000, clOrdID=name)
    session = desk.listen("order", "position")
    desk.fault("second-partial")
    desk.order(orderQty=100, price=50_000, clOrdID="c")
    frames = [f for f in desk.heard(session) if f.get("table") == "order"]
    told = [(f["action"], [row["clOrdID"] for row in f["data"]]) for f in frames]
    assert told == [("insert", ["c"]), ("partial", ["a", "b", "c"])]
    assert {"keys", "types", "filter"} <= set(frames[1])
    desk.cancel("a")
    assert [f["action"] for f in heard(desk, session, "order")] == ["update"]


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [("subscribe-429", 429, "Rate limit exceeded, retry in 1 seconds."),
     ("subscribe-503", 503, "Max Pending subscription limit reached, please try again later.")],
)  # fmt: skip
def test_a_subscription_can_be_refused(desk, name, status, text):
    """An error frame without `success`; the same request is taken the next time."""
    session = desk.connect()
    desk.fault(name)
    request = {"op": "subscribe", "args": ["order"]}
    session.receive(json.dumps(request), desk.now)
    [frame] = desk.heard(session)
    assert (frame["status"], frame["error"], frame["request"]) == (status, text, request)
    assert "success" not in frame
    session.receive(json.dumps(request), desk.now)
    assert desk.heard(session)[0]["success"] is True


def test_a_token_can_expire(desk):
    """token-expired: 419 for each private table, and the connection is closed."""
    session = desk.listen("order")
    desk.fault("token-expired")
    desk.advance(1_200)
    assert [f["status"] for f in desk.heard(session)] == [419]
    assert session in desk.closed


def test_a_connection_can_be_refused_cut_or_closed_at_once(venue, client):
    """429 at the upgrade, a line that is cut, a socket that is closed as soon as it is open."""
    address = venue.url.replace("http", "ws") + "/realtime"
    client.fault("connect-429")
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(address, timeout=8)
    assert refused.value.status_code == 429
    client.fault("connect-drop")
    with pytest.raises((websocket.WebSocketException, ConnectionError)):
        websocket.create_connection(address, timeout=8)
    client.fault("connect-close")
    stream = Stream(venue.url)
    assert stream.socket.recv() == ""
    assert Stream(venue.url).welcome["info"]


def test_the_stream_can_be_down_while_rest_is_up(venue, client):
    """stream-down: sockets are closed and refused, and orders are taken all the while."""
    stream = Stream(venue.url)
    client.fault("stream-down")
    assert stream.socket.recv() == ""
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        Stream(venue.url)
    assert refused.value.status_code == 503
    assert Client(venue.url).order(orderQty=100, price=50_000).status_code == 200
