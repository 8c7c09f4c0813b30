"""What strategies said, on its way: conflated, in order, tried again, never lost."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest

from reconciler.errors import InDoubt, Refused, Unreachable
from reconciler.strategy import outbox
from reconciler.strategy.instance import Change
from reconciler.strategy.outbox import Outbox
from reconciler.strategy.signals import Signal


def says(strength: int, strategy: str = "a", symbol: str = "XBTUSD") -> Signal:
    return Signal(strategy=strategy, symbol=symbol, strength=Decimal(strength))


class Desk:
    """Takes what is handed over, when it is open; raises what it is told to before."""

    def __init__(self) -> None:
        self.taken, self.refused, self.waits, self.crashes = [], [], [], []
        self.errors: list[Exception] = []
        self.open = threading.Event()
        self.came = threading.Event()
        self.outbox = Outbox(
            self._take,
            lambda one, error: self.refused.append((one, str(error))),
            waiting=self.waits.append,
            on_crash=lambda one, error: self.crashes.append((one, type(error))),
        )

    def _take(self, one) -> None:
        self.came.set()
        assert self.open.wait(10)
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(one)

    def __enter__(self):
        self.outbox.start()
        return self

    def __exit__(self, *_):
        self.open.set()
        self.outbox.stop()
        assert not self.outbox.is_alive()


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(outbox, "AGAIN_AFTER_S", 0.01)


def test_the_newest_signal_counts_and_changes_keep_their_place():
    """A hundred minds a second: the last one is handed over, behind what came before it."""
    failed = Change(strategy="a", state="failed")
    with Desk() as desk:
        desk.outbox.put(says(1))
        assert desk.came.wait(10)  # it is on its way; what comes now waits
        for strength in range(2, 100):
            desk.outbox.put(says(strength))
        desk.outbox.put(says(7, "b"))
        desk.outbox.put(failed)
        desk.outbox.put(says(0))
        desk.open.set()
        assert desk.outbox.drained(10)
        assert desk.taken == [says(1), says(7, "b"), failed, says(0)]


def test_what_cannot_be_handed_over_for_now_is_tried_again():
    """A service that is away, or gave no answer: the signal waits, and it is told once."""
    with Desk() as desk:
        desk.errors = [Unreachable("away"), InDoubt("no answer"), TimeoutError("busy")]
        desk.open.set()
        desk.outbox.put(says(1))
        assert desk.outbox.drained(10)
        assert desk.taken == [says(1)]
        assert [why.split(".")[0] for why in desk.waits] == ["away", "no answer", "busy", ""]


def test_a_signal_that_a_newer_one_overtook_is_not_tried_again():
    """What is no opinion any more is not delivered late."""
    with Desk() as desk:
        desk.errors = [Unreachable("away")]
        desk.outbox.put(says(1))
        assert desk.came.wait(10)
        desk.outbox.put(says(2))
        desk.open.set()
        assert desk.outbox.drained(10)
        assert desk.taken == [says(2)]


def test_what_is_refused_is_told_and_left():
    """A rule said no: it would say so again."""
    with Desk() as desk:
        desk.errors = [Refused("nobody weighs it")]
        desk.open.set()
        desk.outbox.put(says(1))
        desk.outbox.put(says(2, "b"))
        assert desk.outbox.drained(10)
        assert desk.taken == [says(2, "b")]
        assert desk.refused == [(says(1), "nobody weighs it. Nothing was changed.")]


def test_an_error_of_our_own_is_told_and_the_others_are_handed_over():
    """One that cannot be dealt with silences nobody else; nobody waits for one that is over."""
    desk = Desk()
    with desk:
        desk.errors = [KeyError("ours")]
        desk.open.set()
        desk.outbox.put(says(1))
        desk.outbox.put(says(2, "b"))
        assert desk.outbox.drained(10)
        assert (desk.crashes, desk.taken) == ([(says(1), KeyError)], [says(2, "b")])
    away = Desk()
    with away:
        away.errors = [Unreachable("away")] * 10**6
        away.open.set()
        away.outbox.put(says(1))
        assert not away.outbox.drained(0.05)
    assert away.taken == []
