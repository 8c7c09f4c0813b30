"""The log: one event a line, fixed keys first, nothing hostile and no secret in it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

import reconciler
from reconciler import logs


@pytest.fixture
def log():
    """Say something in a form; what was written."""

    def log(form: str, *said, **values) -> str:
        stream = io.StringIO()
        say = logs.configure(
            stream=stream, form=form, level="info", secrets=["canary-4711"], account="main"
        )
        say(*said, **values)
        return stream.getvalue()

    return log


def test_json_has_the_fixed_keys_first(log):
    """Any reader finds time, level, event, account, symbol and seq at the same place."""
    line = log("json", "info", "target.held", contracts=300, seq=7, symbol="XBTUSD")
    assert line.count("\n") == 1
    told = json.loads(line)
    assert list(told) == ["ts", "level", "event", "account", "symbol", "seq", "contracts"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", told["ts"])


def test_words_say_what_a_user_would_tell_a_colleague(log):
    """A transition reads as one."""
    line = log(
        "words", "info", "symbol.transition", symbol="XBTUSD", trigger="place",
        from_state="idle", to_state="placing", detail="limit Buy 600 @ 64231.5",
    )  # fmt: skip
    assert re.fullmatch(
        r"\d\d:\d\d:\d\dZ  XBTUSD   idle → placing          limit Buy 600 @ 64231\.5\n", line
    )
    assert log("words", "warning", "target.accepted", symbol="X", contracts=-5).endswith(
        "X        WARNING  target -5\n"
    )


@pytest.mark.parametrize("form", ["json", "words"])
@pytest.mark.parametrize("hostile", ["a\nlevel=info", "\x1b[2J", "\r", "\x07", "\x9b31m", "\u202e",
                                     "\u2028", "\x00"])  # fmt: skip
def test_hostile_text_is_inert(log, form, hostile):
    """Text of the exchange or of a strategy forges no line and moves no cursor."""
    line = log(form, "info", "request.refused", text=f"x{hostile}y", symbol=hostile)
    assert line.count("\n") == 1
    assert line[:-1].isprintable()


@pytest.mark.parametrize("form", ["json", "words"])
def test_secrets_are_masked_wherever_they_stand(log, form):
    """By the name of their key, and by value, also deep inside."""
    line = log(
        form, "info", "api.fail", text="signed with canary-4711", token="t0ken",
        headers={"Authorization": "Bearer abcdef", "x": ["canary-4711"]},
    )  # fmt: skip
    assert not re.search("canary|t0ken|abcdef", line)
    assert "**********" in line


def test_less_important_events_are_left_out(log):
    """Below the level nothing is written."""
    assert log("json", "debug", "stream.resync") == ""


def test_a_terminal_that_is_gone_stops_nothing():
    """Trading does not end because nobody reads the log."""
    stream = io.StringIO()
    say = logs.configure(stream=stream, form="json")
    say("info", "service.start")
    written = stream.getvalue()
    stream.close()
    say("critical", "service.fail", error="x")
    assert json.loads(written)["event"] == "service.start"


def test_every_event_that_is_said_is_listed():
    """The names in the code are those of EVENTS, each noun.verb in lower case."""
    package = Path(reconciler.__file__).parent
    said = {
        name
        for path in (package / "service").glob("*.py")
        for name in re.findall(
            r'say\(\s*(?:"\w+"|"\w+" if [^"]* else "\w+"),\s*"([^"]+)"', path.read_text()
        )
    }
    assert said
    assert said <= set(logs.EVENTS)
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", name) for name in logs.EVENTS)
