"""What a session answers to commands, and when it ends (protocol sheet, 2.2, 9 and 12.2)."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.paper import errors
from reconciler.paper import session as sessions
from reconciler.paper.auth import Key, sign
from reconciler.paper.stream import IDLE_MS
from tests.paper.conftest import ME, NOW
from tests.paper.ear import FAR, MINE, THEIRS, Stage

READER = Key(key="reader", secret="r", account=1001, permissions=())
CANCELER = Key(key="canceler", secret="c", account=1001, permissions=("orderCancel",))
KEYS = (MINE, THEIRS, READER, CANCELER)


def auth(key=MINE, expires=FAR, **changes):
    """The arguments of authKeyExpires."""
    signature = changes.get("signature") or sign(key.secret, "GET", "/realtime", str(expires))
    return [key.key, expires, signature]


def test_ping_is_answered_bare():
    """`ping` is answered with the text `pong`; `{"op":"ping"}`, which some send, is tolerated."""
    ear = Stage().ear()
    assert ear.say("ping") == ["pong"]
    assert ear.ask("ping", None) == ["pong"]


def test_the_welcome_is_the_sheets():
    """Field by field: version, docs, heartbeat, what is left of the connections, and who speaks."""
    stage = Stage()
    ear = stage.ear()
    ear.session.welcome(719, NOW)
    assert ear.frames() == [
        {
            "info": "Welcome to the BitMEX Realtime API.", "version": "2.0.0",
            "timestamp": "2026-05-20T11:00:00.000Z", "docs": "https://www.bitmex.com/app/wsAPI",
            "heartbeatEnabled": False, "limit": {"remaining": 719},
            "appName": "ws-feedhandler-sim-1",
        }
    ]  # fmt: skip


@pytest.mark.parametrize("args", ["order", ["order"], ["order", "trade:XBTUSD"]])
def test_an_ack_echoes_what_was_sent(args):
    """String stays string and list stays list; each topic has an ack of its own."""
    ear = Stage().ear(key=MINE)
    acks = [f for f in ear.ask("subscribe", args) if "success" in f]
    assert [ack["subscribe"] for ack in acks] == ([args] if isinstance(args, str) else args)
    assert all(ack["request"] == {"op": "subscribe", "args": args} for ack in acks)
    acks = ear.ask("unsubscribe", args)
    assert [ack["unsubscribe"] for ack in acks] == ([args] if isinstance(args, str) else args)
    assert all(list(ack) == ["success", "unsubscribe", "request"] for ack in acks)


def test_a_second_subscription_is_a_harmless_error():
    """Already subscribed is a 400 that starts as clients expect; the stream goes on."""
    stage = Stage()
    ear = stage.ear("trade:XBTUSD")
    ear.frames()
    (refused,) = ear.ask("subscribe", "trade:XBTUSD")
    assert refused["status"] == 400
    assert refused["error"].startswith("You are already subscribed to this topic:trade:XBTUSD")
    stage.place(orderQty=100, ordType="Market")
    assert len(ear.tables("trade")) == 1


def test_one_wrong_topic_does_not_spoil_the_others():
    """Of three topics two are served and one is refused, with the whole request echoed."""
    answers = Stage().ear().ask("subscribe", ["trade", "ordr", "margin", "quote"])
    request = {"op": "subscribe", "args": ["trade", "ordr", "margin", "quote"]}
    assert [f["subscribe"] for f in answers if "subscribe" in f] == ["trade", "quote"]
    refused = [f for f in answers if "error" in f]
    assert refused[0] == {
        "status": 400, "error": "Unknown table: ordr", "meta": {}, "request": request
    }  # fmt: skip
    assert refused[1] == {
        "status": 401,
        "error": "User requested an account-locked subscription but no authorization was provided.",
        "meta": {
            "notes": "Account-locked tables include the following: account,affiliate,execution,"
            "margin,order,position,privateNotifications,transact,wallet"
        },
        "request": request,
    }


@pytest.mark.parametrize(
    ("said", "echo"),
    [
        ("nonsense", {}),
        ("", {}),
        ("{", {}),
        ('{"args":"trade"}', {"args": "trade"}),
        ('{"op":"dance","args":1}', {"op": "UNKNOWN", "args": 1}),
        ('{"op":"authKey","args":["k",1,"s"]}', {"op": "UNKNOWN", "args": ["k", 1, "s"]}),
        ("[1]", [1]),
        ("null", None),
        ("7", 7),
    ],
)
def test_what_is_no_command_is_answered_as_the_testnet_did(said, echo):
    """One 400 frame in the venue's words; the echo says how much was understood."""
    (refused,) = Stage().ear().say(said)
    assert refused == {
        "status": 400,
        "error": "Unrecognized request. See the docs or send 'help' for more details. Please see "
        "the documentation at https://www.bitmex.com/app/wsAPI.",
        "meta": {}, "request": echo,
    }  # fmt: skip


@pytest.mark.parametrize("args", [None, []])
def test_a_subscription_to_nothing_is_not_answered(args):
    """The testnet said nothing to it, and to an unsubscription from what was never asked for."""
    ear = Stage().ear()
    assert ear.ask("subscribe", args) == []
    (ack,) = ear.ask("unsubscribe", "trade")
    assert ack["success"] is True


# -- who it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("expires", [9_999_999_999, 9_999_999_999_999, "9999999999"])
def test_signing_in_takes_seconds_milliseconds_and_text(expires):
    """Clients send all three; the answer echoes the arguments."""
    ear = Stage().ear()
    args = auth(expires=expires)
    assert ear.ask("authKeyExpires", args) == [
        {"success": True, "request": {"op": "authKeyExpires", "args": args}}
    ]
    assert ear.ask("subscribe", "order")[0]["success"] is True


@pytest.mark.parametrize(
    ("args", "status", "error"),
    [
        (["nobody", FAR, "00"], 401, "Invalid API Key."),
        (auth(signature="00"), 401, "Signature not valid."),
        (auth(expires=1), 401, "This request has expired - `expires` is in the past."),
        (auth(expires="1588000000.123"), 401, "Signature not valid."),
        ([MINE.key], 401, "Authorization Required"),
    ],
)
def test_a_failed_sign_in_is_an_error_and_the_end(args, status, error):
    """Error frame, then the socket closes (section 2.2)."""
    stage = Stage()
    ear = stage.ear()
    (refused,) = ear.ask("authKeyExpires", args)
    assert refused["status"] == status
    assert refused["error"].startswith(error)
    assert not ear.ended
    stage.settle()
    assert ear.ended


def test_signing_in_twice_is_an_error_and_not_the_end():
    """An authenticated socket answers a second authKeyExpires with an error (section 2.2)."""
    stage = Stage()
    ear = stage.ear(key=MINE)
    (refused,) = ear.ask("authKeyExpires", auth())
    assert refused["status"] == 400
    stage.settle()
    assert not ear.ended
    assert ear.ask("subscribe", "order")[0]["success"] is True


def test_a_revoked_key_is_told_and_hears_nothing_more():
    """419 for each private topic; public ones go on, and a new signature opens the others again."""
    stage = Stage()
    ear, other = stage.ear("order", "trade", key=MINE), stage.ear("order", key=THEIRS)
    ear.frames()
    assert stage.world.hub.revoke(ME) == 1
    (told,) = ear.frames()
    assert told["status"] == 419
    assert told["error"].startswith("Access Token expired")
    stage.place(orderQty=100, ordType="Market")
    assert {f["table"] for f in ear.tables()} == {"trade"}
    assert ear.ask("subscribe", "order")[0]["status"] == 401
    assert ear.ask("authKeyExpires", auth())[0]["success"] is True
    assert ear.ask("subscribe", "order")[0]["success"] is True
    stage.place(1002, orderQty=100, price="50000")
    assert len(other.tables("order")) == 1


# -- the dead man's switch ------------------------------------------------------------------


@pytest.mark.parametrize("args", [60_000, "60000", [60_000]])
def test_the_switch_answers_when_it_fires(args):
    """now, cancelTime and the echo; 0 disarms; when it fires the orders are canceled."""
    stage = Stage(keys=KEYS)
    order = stage.place(orderQty=100, price="50000")
    ear = stage.ear(key=CANCELER)
    assert ear.ask("cancelAllAfter", args) == [
        {
            "now": "2026-05-20T11:00:00.000Z", "cancelTime": "2026-05-20T11:01:00.000Z",
            "request": {"op": "cancelAllAfter", "args": args},
        }
    ]  # fmt: skip
    assert ear.ask("cancelAllAfter", 0)[0]["cancelTime"] == 0
    stage.pass_ms(60_000)
    assert order.open
    ear.ask("cancelAllAfter", args)
    stage.pass_ms(60_000)
    assert order.status == "Canceled"


@pytest.mark.parametrize(
    ("key", "args", "status"),
    [(None, 60_000, 401), (READER, 60_000, 403), (MINE, "soon", 400), (MINE, -1, 400)],
)
def test_the_switch_needs_a_key_and_a_time(key, args, status):
    """Without a key 401, with one that may not cancel 403, without a time 400; nothing is armed."""
    stage = Stage(keys=KEYS)
    (refused,) = stage.ear(key=key).ask("cancelAllAfter", args)
    assert (refused["status"], "cancelTime" in refused) == (status, False)
    assert stage.exchange.switches == {}


# -- limits -----------------------------------------------------------------------------------


def test_commands_draw_on_a_limiter_of_their_own():
    """Past it: 429 with retryAfter and the echo, nothing is done; it refills."""
    stage = Stage(rate_limits=True)
    ear = stage.ear()
    for _ in range(sessions.COMMANDS_A_MINUTE):
        ear.ask("unsubscribe", "trade")
    assert ear.ask("subscribe", "trade") == [
        {
            "status": 429, "error": "Rate limit exceeded, retry in 1 seconds.",
            "meta": {"retryAfter": 1}, "request": {"op": "subscribe", "args": "trade"},
        }
    ]  # fmt: skip
    assert ear.say("ping") == ["pong"]
    stage.pass_ms(1_000)
    assert ear.ask("subscribe", "trade")[0]["success"] is True


def test_images_that_nobody_takes_stop_further_subscriptions():
    """503 Max Pending while the peer has not taken what it asked for; afterwards it may ask on."""
    stage = Stage()
    ear = stage.ear()
    for _ in range(sessions.PENDING_IMAGES):
        for op in ("subscribe", "unsubscribe"):
            ear.session.receive(json.dumps({"op": op, "args": "trade"}), stage.now)
    ear.session.receive('{"op":"subscribe","args":"quote"}', stage.now)
    refused = ear.frames()[-1]
    assert refused["status"] == 503
    assert refused["error"] == "Max Pending subscription limit reached, please try again later."
    assert ear.ask("subscribe", "quote")[0]["success"] is True


def test_a_reader_that_lags_is_queued_for_and_then_dropped(monkeypatch):
    """Frames wait for a slow peer up to a bound; past it the connection ends. Others live on."""
    monkeypatch.setattr(sessions, "OUTBOX_FRAMES", 10)
    stage = Stage()
    slow, quick = stage.ear("trade"), stage.ear("trade")
    slow.frames()
    for number in range(12):
        stage.place(orderQty=100, ordType="Market")
        assert len(quick.tables("trade")) == 1
        assert slow.ended == (number >= 10)
    assert slow.session not in stage.world.hub.audience("trade", "XBTUSD", None)


@pytest.mark.parametrize("op", ["subscribe", "unsubscribe"])
def test_a_command_that_asks_for_too_much_is_refused_at_once(op):
    """Each answer echoes the whole request: ten thousand topics would make everybody wait."""
    stage = Stage()
    greedy, other = stage.ear(), stage.ear("trade")
    other.frames()
    [refused] = greedy.ask(op, ["trade:NOPE"] * 10_000)
    assert (refused["status"], refused["error"]) == (503, errors.MAX_PENDING)
    assert len(greedy.ask(op, ["trade:XBTUSD", "quote:XBTUSD"] * 100)) >= 200
    assert not greedy.ended
    stage.place(orderQty=100, ordType="Market")
    assert len(other.tables("trade")) == 1


def test_too_many_errors_end_a_session():
    """BitMEX hung up on clients that kept sending nonsense."""
    stage = Stage()
    ear = stage.ear()
    for _ in range(3):  # as many as a careless client makes in an hour
        for _ in range(sessions.ERRORS_A_MINUTE // 3):
            ear.say("nonsense")
            stage.settle()
        stage.pass_ms(60_000)
    for _ in range(sessions.ERRORS_A_MINUTE):
        assert not ear.ended
        ear.say("nonsense")
        stage.settle()
    assert ear.ended


def test_a_connection_on_which_nobody_speaks_is_dropped():
    """After 180 s without a word of either side; a ping, or a frame that was sent, keeps it."""
    stage = Stage()
    silent, pinging, hearing = stage.ear(), stage.ear(), stage.ear("trade")
    stage.pass_ms(IDLE_MS - 1_000)
    assert pinging.say("ping") == ["pong"]
    stage.place(orderQty=100, ordType="Market")
    assert hearing.frames()
    stage.pass_ms(999)
    assert not silent.ended
    stage.pass_ms(1)
    assert (silent.ended, pinging.ended, hearing.ended) == (True, False, False)


# -- rubbish ----------------------------------------------------------------------------------

words = st.one_of(
    st.sampled_from(["order", "trade:XBTUSD", "orderBookL2_25", "instrument:SPOT", "margin", ":",
                     "connected", "quote:", "tradeBin1m:.BXBT", "orderBook10:XBTUSD", "execution"]),
    st.text(max_size=12), st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
ops = st.sampled_from(
    ["subscribe", "unsubscribe", "authKeyExpires", "cancelAllAfter", "ping", "help", "authKey", 7]
)
messages = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["ping", "help", "[" * 3_000, '{"op":' * 400, '"\ud800"', "1e999999", "{}"]),
    st.fixed_dictionaries(
        {"op": ops}, optional={"args": words | st.lists(words, max_size=5), "id": words}
    ).map(json.dumps),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(messages, st.integers(0, 2)), max_size=15))
def test_no_message_harms_another_client(said):
    """Whatever three clients send, each frame is JSON or pong, and a fourth hears its order."""
    stage = Stage(symbols=("XBTUSD",))
    talkers = [stage.ear(), stage.ear(key=THEIRS), stage.ear(platform=True)]
    witness = stage.ear("order", key=MINE)
    witness.frames()
    for message, who in said:
        for frame in talkers[who].say(message):
            assert frame == "pong" or isinstance(frame, dict)
            if frame != "pong" and "error" in frame:
                assert frame["status"] in (400, 401, 403)
                assert list(frame) == ["status", "error", "meta", "request"]
        stage.settle()
    order = stage.place(orderQty=100, price="50000")
    (frame,) = witness.tables("order")
    assert frame["data"][0]["orderID"] == order.order_id
