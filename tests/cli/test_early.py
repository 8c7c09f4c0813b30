"""Signals that come before the service is there: none is lost, and none leaves a traceback."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from reconciler.cli import early
from reconciler.journal import History

Send = Callable[[int], None]


@pytest.fixture
def at_once(monkeypatch, home) -> Send:
    """Has a signal come in the first moment that this process can know of it."""
    (home / "reconciler.toml").write_text('[exchange]\nurl = "http://127.0.0.1:9"\n')
    listen = early.listen

    def send(number: int) -> None:
        def first() -> None:
            listen()
            os.kill(os.getpid(), number)

        monkeypatch.setattr(early, "listen", first)

    return send


@pytest.fixture
def heard():
    """Signals that reach whoever runs these tests."""
    found: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: found.append(number))
        for number in early.KEPT
    }
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("words", [("run", "--no-api"), ("run", "--all", "--no-api")])
@pytest.mark.parametrize("number", early.STOPS)
def test_a_stop_before_it_began_is_an_orderly_one(at_once, run, database, heard, words, number):
    """Nothing has begun and nothing does: no journal is made, and a supervisor sees a clean end."""
    at_once(number)
    ended = run(*words)
    assert ended.code == 0
    assert f"{signal.Signals(number).name}, before it began" in ended.err
    assert "Traceback" not in ended.err
    assert not database.exists()
    assert heard == []


def test_a_halt_before_it_began_is_the_first_thing_it_does(at_once, run, database, heard):
    """The usual SIGUSR1 would end the process: the next start would trade, and know of no halt."""
    at_once(signal.SIGUSR1)
    ended = run("run", "--no-api", "--for", "1s")
    assert ended.code == 0
    with History.open(database) as history:
        (halt,) = history.rows("v_modes").dicts()
    assert (halt["mode"], halt["by"]) == ("halt", "SIGUSR1")
    assert heard == []


@pytest.mark.parametrize("words", [("run", "--no-api"), ("run", "--all", "--no-api")])
def test_a_stop_that_comes_with_a_halt_does_not_undo_it(
    at_once, monkeypatch, run, database, heard, words
):
    """Whoever halts and then stops a service that is starting finds it halted at the next start."""
    at_once(signal.SIGUSR1)
    listen = early.listen

    def both() -> None:
        listen()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(early, "listen", both)
    assert run(*words).code == 0
    with History.open(database) as history:
        (halt,) = history.rows("v_modes").dicts()
    assert (halt["mode"], halt["by"]) == ("halt", "SIGUSR1")
    assert heard == []


def test_another_command_takes_signals_as_usual(at_once, run, heard):
    """A word `run` in its arguments keeps nothing from it."""
    at_once(signal.SIGTERM)
    assert run("set", "XBTUSD", "300", "--reason", "run").code == 0
    assert heard == [signal.SIGTERM]


def test_a_second_stop_ends_it_at_once(monkeypatch, run, heard):
    """As it does later; the first may wait for a venue that does not answer."""
    listen = early.listen

    def twice() -> None:
        listen()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(early, "listen", twice)
    assert run("run").code == 130
    assert signal.getsignal(signal.SIGINT) is not early._keep
