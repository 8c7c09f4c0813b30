"""One connection's way into sync, and every way out of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.bitmex import messages
from reconciler.bitmex.session import ASK_AGAIN_US, RELOADS, SET_UP_US, SILENCE_US, Session

TOPICS = [
    "order", "execution", "position", "margin", "instrument:XBTUSD", "quote:XBTUSD", "trade:XBTUSD",
]  # fmt: skip


def new(symbols: tuple[str, ...] = ("XBTUSD",)) -> Session:
    return Session(symbols, lambda: {"op": "authKeyExpires", "args": ["k", 1, "s"]}, 0)


def say(session: Session, now_us: int = 1, **said: Any) -> list[dict[str, Any]]:
    """A frame comes; what the session sends for it."""
    session.heard(now_us)
    session.frame(messages.frame(json.dumps(said)), now_us)
    sent, session.outbox = session.outbox, []
    return [json.loads(text) for text in sent]


def welcome(session: Session) -> list[dict[str, Any]]:
    return say(session, info="Welcome", version="2.0.0", limit={"remaining": 719})


def log_in(session: Session) -> list[dict[str, Any]]:
    welcome(session)
    return say(session, success=True, request={"op": "authKeyExpires", "args": ["k", 1, "s"]})


def image(session: Session, table: str, symbol: str = "") -> None:
    where = {"symbol": symbol} if symbol else {"account": 1}
    say(session, table=table, action="partial", keys=[], filter=where, data=[])


def acknowledge(session: Session) -> None:
    for topic in TOPICS:
        say(session, success=True, subscribe=topic, request={"op": "subscribe", "args": TOPICS})


def left(session: Session, *topics: str, now_us: int = 1) -> None:
    """The venue says that it has unsubscribed us, as it was asked to."""
    for topic in topics:
        say(session, now_us, success=True, unsubscribe=topic, request={"op": "unsubscribe"})


def in_sync() -> Session:
    session = new()
    log_in(session)
    acknowledge(session)
    for table in TOPICS[:4]:
        image(session, table)
    image(session, "instrument", "XBTUSD")
    assert session.images
    assert session.read_done()
    return session


def test_the_way_into_sync() -> None:
    """Nothing before the welcome, topics after the login, look-ups after the last image."""
    session = new()
    assert session.outbox == []
    (login,) = welcome(session)
    assert login["op"] == "authKeyExpires"
    (subscribe,) = say(session, success=True, request={"op": "authKeyExpires"})
    assert subscribe == {"op": "subscribe", "args": TOPICS}
    acknowledge(session)
    for table in TOPICS[:4]:
        assert not session.images
        image(session, table)
    assert not session.images
    image(session, "instrument", "XBTUSD")
    assert session.images
    assert not session.live
    assert session.read_done()
    assert session.live


def test_images_may_come_before_acknowledgements() -> None:
    """An image proves its subscription, so the two may come in any order."""
    session = new()
    log_in(session)
    for table in TOPICS[:4]:
        image(session, table)
    image(session, "instrument", "XBTUSD")
    assert not session.images  # quote and trade were not acknowledged yet
    acknowledge(session)
    assert session.images


def test_many_topics_go_in_many_commands() -> None:
    """Each acknowledgement echoes its command, so no command is long; no topic is forgotten."""
    session = new(tuple(f"SYM{number}" for number in range(100)))
    commands = log_in(session)
    assert len(commands) > 10
    assert [topic for command in commands for topic in command["args"]] == session.topics


@pytest.mark.parametrize(
    "said",
    [
        {"status": 401, "error": "Signature not valid.", "request": {"op": "authKeyExpires"}},
        {"status": 400, "error": "Unknown table: ordr", "request": {"op": "subscribe"}},
        {"status": 401, "error": "User requested an account-locked subscription but no ..."},
        {"status": 419, "error": "Access Token expired for subscription: order"},
        {"status": 503, "error": "Max Pending subscription limit reached, please try again later."},
        {"error": "Something without a status"},
        {"success": False, "request": {"op": "subscribe"}},
    ],
)
def test_errors_lose_the_connection(said: dict[str, Any]) -> None:
    """An error frame, with or without `success` and `status`, is never overlooked."""
    for session in (in_sync(), new()):
        say(session, **said)
        assert session.lost
        assert session.reason
        assert not session.read_done()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"status": 429, "error": "Rate limit exceeded", "meta": {"retryAfter": 7}}, 7),
        ({"error": "Rate limit exceeded, retry in 29 seconds."}, 29),
        ({"status": 429, "error": "no"}, 1),
        ({"status": 429, "error": "no", "meta": {"retryAfter": 10**9}}, 300),
    ],
)
def test_a_limit_names_the_wait(said: dict[str, Any], seconds: int) -> None:
    """A connection lost to the rate limit is not tried again before the time it named."""
    session = in_sync()
    say(session, **said)
    assert session.wait_us == seconds * 1_000_000


def test_subscribed_already_is_harmless() -> None:
    """The venue may say that we are subscribed: so we are."""
    session = in_sync()
    say(session, status=400, error="You are already subscribed to this topic: order")
    assert session.live


def test_silence() -> None:
    """Five seconds of silence ask for a sign of life, five more lose the connection."""
    session = in_sync()
    session.heard(0)
    session.tick(SILENCE_US - 1)
    assert session.outbox == []
    session.tick(SILENCE_US)
    assert session.outbox == ["ping"]
    session.tick(SILENCE_US + 1)
    assert session.outbox == ["ping"]
    session.tick(2 * SILENCE_US - 1)
    assert not session.lost
    session.tick(2 * SILENCE_US)
    assert session.lost
    assert "silent" in session.reason


def test_any_frame_is_a_sign_of_life() -> None:
    """Whatever comes after the ping ends the silence, and the next one is counted anew."""
    session = in_sync()
    session.heard(0)
    session.tick(SILENCE_US)
    session.heard(SILENCE_US + 1)
    session.tick(2 * SILENCE_US)
    assert not session.lost
    session.tick(2 * SILENCE_US + 1)
    assert session.outbox == ["ping", "ping"]


def test_a_missing_image_loses_the_connection() -> None:
    """A table whose image never comes is not waited for without end, and is named."""
    session = new()
    log_in(session)
    acknowledge(session)
    image(session, "order")
    session.heard(SET_UP_US)
    session.tick(SET_UP_US)
    assert session.lost
    assert "execution" in session.reason


def test_a_missing_image_is_asked_for_once_more() -> None:
    """The venue forgot one table: it is subscribed to again, and the others stay as they are."""
    session = new()
    log_in(session)
    acknowledge(session)
    for table in ("order", "position", "margin"):
        image(session, table)
    session.tick(ASK_AGAIN_US - 1)
    assert session.outbox == []
    for _ in range(3):
        session.heard(ASK_AGAIN_US)
        session.tick(ASK_AGAIN_US)
    commands = [json.loads(text) for text in session.outbox]
    assert [(c["op"], c["args"]) for c in commands] == [
        ("unsubscribe", ["execution", "instrument:XBTUSD"]),
        ("subscribe", ["execution", "instrument:XBTUSD"]),
    ]
    left(session, "execution", "instrument:XBTUSD")
    image(session, "execution")
    image(session, "instrument", "XBTUSD")
    assert session.images


def test_an_image_that_crossed_the_second_question_is_not_the_last() -> None:
    """It came late, but we had unsubscribed: what happens until the next image nobody tells us."""
    session = new()
    log_in(session)
    acknowledge(session)
    for table in TOPICS[:4]:
        image(session, table)
    session.heard(ASK_AGAIN_US)
    session.tick(ASK_AGAIN_US)
    image(session, "instrument", "XBTUSD")
    assert not session.images  # or the look-ups could be done, and orders leave, before the word
    left(session, "instrument:XBTUSD", now_us=ASK_AGAIN_US)
    assert not session.images
    assert not session.read_done()
    image(session, "instrument", "XBTUSD")
    assert session.images
    assert session.read_done()


def test_each_question_has_its_word() -> None:
    """Unsubscribed twice: the image between the first word and the second is not the last."""
    session = in_sync()
    session.reload("position", 5)
    session.heard(5 + ASK_AGAIN_US)
    session.tick(5 + ASK_AGAIN_US)
    left(session, "position")
    image(session, "position")
    assert not session.images
    left(session, "position")
    image(session, "position")
    assert session.read_done()


def test_a_word_that_never_comes_is_not_waited_for_without_end() -> None:
    """The venue forgot to say that it unsubscribed us: the connection is lost, and names it."""
    session = in_sync()
    session.reload("position", 5)
    image(session, "position")
    session.heard(5 + SET_UP_US)
    session.tick(5 + SET_UP_US)
    assert session.lost
    assert "position" in session.reason


def test_an_unsubscription_that_was_refused_is_not_waited_for() -> None:
    """What was not subscribed is by the next command: its image is new."""
    session = in_sync()
    session.reload("position", 5)
    say(session, error="Not subscribed", request={"op": "unsubscribe", "args": ["position"]})
    image(session, "position")
    assert session.read_done()


def test_unsubscribed_and_nobody_asked() -> None:
    """A live stream that leaves a table out looks like a quiet market: it is lost, and told."""
    session = in_sync()
    left(session, "order")
    assert session.lost
    assert session.reason == "unsubscribed from order, unasked"


def test_a_reload_is_out_of_sync() -> None:
    """A table read anew means a new image and new look-ups before the stream is in sync again."""
    session = in_sync()
    session.reload("position", 5)
    assert not session.live
    assert [json.loads(text)["op"] for text in session.outbox] == ["unsubscribe", "subscribe"]
    session.reload("position", 6)
    assert len(session.outbox) == 2
    say(session, success=True, unsubscribe="position", request={"op": "unsubscribe"})
    image(session, "position")
    assert session.images
    assert session.read_done()


def test_reloads_are_bounded() -> None:
    """A table that can't be explained again and again loses the connection."""
    session = in_sync()
    for number in range(RELOADS):
        session.reload("order", number)
        left(session, "order")
        image(session, "order")
        session.read_done()
        assert session.live
    session.reload("order", RELOADS)
    assert session.lost
