"""Websockets over real sockets: upgrades, their refusals, long frames, slow peers (9.1, 12.2)."""

import json
import socket
import struct

import pytest
import requests
import websocket

from reconciler.paper import PaperExchange
from reconciler.paper.auth import Key
from reconciler.paper.sockets import CONNECTS_AN_HOUR, CONNECTS_AT_ONCE, CONNECTS_WINDOW_MS
from reconciler.paper.sockets import Connects as Connecting
from tests.paper.conftest import NOW, Client, Stream


def refusal_of(address):
    """(status, body, headers) of an upgrade that was refused."""
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(address, timeout=8)
    assert refused.value.resp_body is not None
    headers = {k.lower(): v for k, v in (refused.value.resp_headers or {}).items()}
    return refused.value.status_code, json.loads(refused.value.resp_body), headers


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/realtime?api-key=nobody&api-expires=99999999999&api-signature=00", 401,
         "Invalid API Key."),
        ("/realtime?api-key=sim-key&api-expires=99999999999&api-signature=00", 401,
         "Signature not valid."),
        ("/realtime?subscribe=trade:XBTUSD,quote:NOPE", 400, "Unknown or expired symbol."),
        ("/realtime?subscribe=ordr", 400, "Unknown table: ordr"),
        ("/realtimePlatform?subscribe=trade", 400, "Unknown table: trade"),
    ],
)  # fmt: skip
def test_an_upgrade_is_refused_in_http(venue, path, status, error):
    """Before the 101 a refusal is an HTTP answer whose `error` is a plain text (2.2, 9.2)."""
    found, body, _ = refusal_of(venue.ws_url.removesuffix("/realtime") + path)
    assert (found, body) == (status, {"error": error})


def test_a_key_that_is_bound_to_another_address_is_refused():
    """403 at the upgrade, and as an error frame to authKeyExpires (section 9.2)."""
    key = Key(key="elsewhere", secret="s", account=1001, cidrs=("10.0.0.0/8",))
    with PaperExchange(walk=False, keys=[key], symbols=["XBTUSD"]) as venue:
        client = Client(venue.url, "elsewhere", "s")
        signed = client.signed("GET", "/realtime", b"", "99999999999")
        query = "&".join(f"{name}={value}" for name, value in signed.items())
        status, body, _ = refusal_of(f"{venue.ws_url}?{query}")
        assert (status, body) == (
            403, {"error": "This IP address is not allowed to use this key."}
        )  # fmt: skip
        stream = Stream(venue.url)
        stream.ask("authKeyExpires", ["elsewhere", "99999999999", signed["api-signature"]])
        assert stream.next()["status"] == 403


def test_a_banned_address_cannot_connect():
    """Who ignored 429s is banned for an hour: 403 at the upgrade, too (section 12.1)."""
    with PaperExchange(walk=False, faults={"ip-ban": 1.0}, symbols=["XBTUSD"]) as venue:
        for _ in range(200):
            if requests.get(f"{venue.url}/api/v1/nowhere", timeout=8).status_code == 403:
                break
        status, body, _ = refusal_of(venue.ws_url)
        assert (status, body) == (403, {"error": "Access Denied"})


def test_connections_are_counted_and_refused_with_the_limiters_headers(monkeypatch):
    """The welcome counts down; too many at once are a 429 with headers; the others live on."""
    monkeypatch.setattr("reconciler.paper.sockets.CONNECTS_WINDOW_MS", 3_600_000)
    with PaperExchange(walk=False) as venue:
        streams = [Stream(venue.url) for _ in range(3)]
        left = [stream.welcome["limit"]["remaining"] for stream in streams]
        assert left[0] in (CONNECTS_AN_HOUR - 1, CONNECTS_AN_HOUR)
        assert left == sorted(left, reverse=True)
        streams += [Stream(venue.url) for _ in range(CONNECTS_AT_ONCE - len(streams))]
        status, body, headers = refusal_of(venue.ws_url)
        assert status == 429
        assert body["error"].startswith("Rate limit exceeded, retry in ")
        assert int(headers["retry-after"]) >= 1
        assert headers["x-ratelimit-remaining"] == "0"
        streams[0].socket.send("ping")
        assert streams[0].next() == "pong"


def test_the_connection_limit_recovers_with_time():
    """About three a second, and 720 an hour; what was spent comes back."""
    connects = Connecting(enabled=True)
    for _ in range(CONNECTS_AT_ONCE):
        connects.admit("here", NOW)
    with pytest.raises(Exception, match="Rate limit exceeded, retry in 1 seconds"):
        connects.admit("here", NOW)
    assert connects.admit("elsewhere", NOW) == CONNECTS_AN_HOUR - 1
    before = connects.admit("here", NOW + CONNECTS_WINDOW_MS)
    assert before < CONNECTS_AN_HOUR - CONNECTS_AT_ONCE
    assert connects.admit("here", NOW + 3_600_000) == CONNECTS_AN_HOUR - 1


def test_topics_in_the_url_are_acknowledged_with_a_request(venue, client):
    """Acks of `?subscribe=` echo a request object, too; private ones unsigned are 401 frames."""
    stream = Stream(venue.url, query="?subscribe=instrument,orderBookL2_25:XBTUSD,order")
    request = {"op": "subscribe", "args": ["instrument", "orderBookL2_25:XBTUSD", "order"]}
    answers = [stream.next() for _ in range(3)]
    assert [f.get("subscribe") for f in answers] == ["instrument", "orderBookL2_25:XBTUSD", None]
    assert all(f["request"] == request for f in answers)
    assert answers[2]["status"] == 401
    assert [stream.next()["table"] for _ in range(2)] == ["instrument", "orderBookL2_25"]


def test_what_the_client_sends_at_once_comes_after_the_welcome(venue):
    """The welcome is the first frame, however early the client speaks (section 9.1)."""
    raw = socket.create_connection(("127.0.0.1", venue.port), timeout=8)
    masked = bytes((0x81, 0x80 | 4)) + b"\0\0\0\0" + b"ping"
    raw.sendall(
        b"GET /realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    received = raw.recv(12)  # of the 101; whatever follows is on its way
    raw.sendall(masked)
    while not received.endswith(b"pong"):
        received += raw.recv(65_536)
    assert received.index(b"Welcome") < received.index(b"pong")
    raw.close()


def test_frames_of_every_length_are_framed_right(venue):
    """Short, longer than 125 and longer than 65535 bytes: what was framed by hand is read whole."""
    stream = Stream(venue.url)
    for length in (0, 90, 100, 110, 120, 130, 70_000):
        name = "x" * length
        stream.ask("subscribe", name)
        assert stream.next()["request"]["args"] == name


def test_text_that_is_no_utf8_ends_the_socket_and_nothing_else(venue, caplog):
    """Closed with 1007, as the protocol wants it, and no defect is reported: it is the client's."""
    stream = Stream(venue.url)
    stream.socket.send(b"\xff\xfe", websocket.ABNF.OPCODE_TEXT)
    opcode, frame = stream.socket.recv_data()
    assert (opcode, frame[:2]) == (websocket.ABNF.OPCODE_CLOSE, (1007).to_bytes(2, "big"))
    assert not caplog.records
    assert Stream(venue.url).welcome["info"]


def test_pings_of_the_protocol_are_answered(venue):
    """Libraries that ping by themselves get their pong (section 9.1)."""
    stream = Stream(venue.url)
    stream.socket.ping(b"are you there")
    opcode, payload = stream.socket.recv_data(control_frame=True)
    assert (opcode, payload) == (websocket.ABNF.OPCODE_PONG, b"are you there")


@pytest.mark.parametrize(
    "bytes_",
    [
        bytes((0x81, 4)) + b"ping",  # not masked
        bytes((0x83, 0x80)) + b"\0" * 4,  # an opcode that does not exist
        bytes((0x81, 0xFF)) + struct.pack("!Q", 2**62) + b"\0" * 4,  # longer than anything
        bytes((0x81, 0x82)) + b"\0\0\0\0" + b"\xff\xfe",  # text that is no text
    ],
)
def test_a_broken_frame_ends_its_own_connection_alone(venue, client, bytes_):
    """A peer that breaks the protocol is closed; the venue and other peers do not notice."""
    other = Stream(venue.url)
    stream = Stream(venue.url)
    stream.socket.sock.sendall(bytes_)
    with pytest.raises((websocket.WebSocketConnectionClosedException, OSError)):
        _read_on(stream)
    other.socket.send("ping")
    assert other.next() == "pong"
    assert client.call("GET", "/api/v1/user").status_code == 200


def _read_on(stream):
    while stream.socket.recv_data()[0] != websocket.ABNF.OPCODE_CLOSE:
        pass
    raise websocket.WebSocketConnectionClosedException("closed by the venue")


def test_a_slow_reader_is_dropped_and_harms_nobody(monkeypatch):
    """What it does not take is queued up to a bound; then the connection is cut (section 12.2)."""
    monkeypatch.setattr("reconciler.paper.session.OUTBOX_BYTES", 2_000_000)
    monkeypatch.setattr("reconciler.paper.session.PENDING_IMAGES", 10**9)
    with PaperExchange(walk=False, rate_limits=False, symbols=["XBTUSD"]) as venue:
        slow, quick = Stream(venue.url), Stream(venue.url, "connected")
        commands = ["unsubscribe", "subscribe"] * 1_000  # of images that are never read
        try:
            for op in commands:
                slow.ask(op, "orderBookL2")
        except OSError:
            pass  # cut while it was still asking
        gone = quick.until(lambda f: f["action"] == "update" and f["data"][0]["bots"] == 1)
        assert gone["table"] == "connected"
        quick.socket.send("ping")
        assert quick.next() == "pong"


def test_all_clients_of_an_account_see_its_orders_and_no_others(venue, client):
    """Ten clients of one account hear each order once; another account's client hears its own."""
    other = Client(venue.url, "sim-key-2", "sim-secret-2")
    mine = [Stream(venue.url, "order", "execution", client=client) for _ in range(10)]
    theirs = Stream(venue.url, "order", client=other)
    client.order(orderQty=100, price=50_000, clOrdID="mine")
    other.order(orderQty=100, price=50_000, clOrdID="theirs")
    for stream in mine:
        assert stream.rows("order", 1)[0]["clOrdID"] == "mine"
    assert theirs.rows("order", 1)[0]["clOrdID"] == "theirs"


def test_a_plain_get_of_the_stream_is_no_upgrade(venue):
    """Who asks for /realtime by HTTP alone gets an HTTP answer."""
    answer = requests.get(venue.url + "/realtime", timeout=8)
    assert answer.status_code in (400, 404, 426)


def test_several_conversations_share_a_multiplexed_socket(venue, client):
    """/realtimemd: each stream has its own key, topics and end (protocol sheet, section 1)."""
    wire = websocket.create_connection(f"ws://127.0.0.1:{venue.port}/realtimemd", timeout=8)

    def say(*frame):
        wire.send(json.dumps(frame))

    def until(name, wanted):
        while True:
            kind, stream, topic, *payload = json.loads(wire.recv())
            if stream == name and (kind == 2 or wanted in payload[0]):
                return kind, topic, payload

    other = Client(venue.url, "sim-key-2", "sim-secret-2")
    for name, owner in (("one", client), ("two", other)):
        say(1, name, "user")
        assert until(name, "info")[1] == "user"
        signed = owner.signed("GET", "/realtimemd", b"", "99999999999")
        args = [owner.key, 99_999_999_999, signed["api-signature"]]
        say(0, name, "user", {"op": "authKeyExpires", "args": args})
        assert until(name, "success")[2][0]["success"] is True
        say(0, name, "user", {"op": "subscribe", "args": "order"})
        until(name, "keys")
    client.order(orderQty=100, price=50_000, clOrdID="mine")
    other.order(orderQty=100, price=50_000, clOrdID="theirs")
    assert until("two", "data")[2][0]["data"][0]["clOrdID"] == "theirs"
    say(2, "one", "user")
    assert until("one", "nothing")[0] == 2
    for rubbish in ([1], {"op": "subscribe"}, [0, "nobody", "user", "ping"], [7, "two", "user"]):
        wire.send(json.dumps(rubbish))
        assert json.loads(wire.recv())[3]["status"] == 400
    say(0, "two", "user", "ping")
    assert until("two", "pong")[2] == ["pong"]
    client.paper("disconnect", all=True)  # what was not sent yet is lost
    while wire.recv_data()[0] != websocket.ABNF.OPCODE_CLOSE:
        pass
