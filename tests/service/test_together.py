"""Several services in one process: who fails takes nobody along, and signals mean all."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time

import pytest

from reconciler.errors import Broken, NotLeader
from reconciler.service import garbage, interval, together
from reconciler.service.together import Together


class Posted:
    """Of a service's loop what the signals use."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def now_us(self) -> int:
        return 1

    def post(self, events) -> None:
        self.events += events


class Fake:
    """A service that runs until it is stopped, or fails as it was told."""

    def __init__(self, failure: BaseException | None = None, *, stuck: bool = False) -> None:
        self.failure, self.stuck = failure, stuck
        self.loop = Posted()
        self.stops: list[str] = []
        self.read = 0
        self.running = threading.Event()
        self._end = threading.Event()

    def run(self) -> int:
        self.running.set()
        if self.failure is not None:
            raise self.failure
        assert self._end.wait(30)
        return 0

    def stop(self, reason: str) -> None:
        self.stops.append(reason)
        if not self.stuck:
            self._end.set()

    def read_again(self) -> None:
        self.read += 1

    def free(self) -> None:
        self._end.set()


def made(**services):
    said = []
    return Together(
        services, lambda name: lambda *words, **values: said.append((name, *words, values))
    ), said


def after(condition, do) -> None:
    """Do something in another thread once a condition holds."""

    def wait() -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        do()

    threading.Thread(target=wait, daemon=True).start()


def test_one_that_fails_is_said_and_the_others_go_on():
    """The exit code is the failure's; the others were running when it came, and after it."""
    good, bad = Fake(), Fake(Broken("the journal contradicts itself"))
    group, said = made(good=good, bad=bad)
    after(lambda: bool(said), lambda: group.stop("enough"))
    assert group.run() == Broken.exit_code
    assert good.stops == bad.stops == ["enough"]
    ((name, level, event, values),) = said
    assert (name, level, event) == ("bad", "critical", "account.fail")
    assert "contradicts itself" in values["error"]


@pytest.mark.parametrize(
    ("failures", "code"),
    [((), 0), ((NotLeader("held"),), 11), ((ValueError("x"),), 1), ((KeyError("x"),) * 2, 1)],
)
def test_the_exit_code_tells_of_the_first_failure(failures, code):
    """Nought only if every account ended in order; it ends when nobody is left."""
    group, said = made(**{f"a{n}": Fake(failure) for n, failure in enumerate(failures)})
    assert group.run() == code
    assert len(said) == len(failures)


def test_accounts_that_could_not_be_made_count():
    """Left out at the start is a failure, even if all others ended in order."""
    assert Together({}, lambda _: lambda *__, **___: None, {"a": NotLeader("held")}).run() == 11


def test_signals_are_for_all_of_them():
    """HUP, USR1 and TERM reach each account; afterwards the process has its own handlers back."""
    one, two = Fake(), Fake()
    group, _ = made(one=one, two=two)
    before = signal.getsignal(signal.SIGTERM)

    def send() -> None:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            os.kill(os.getpid(), number)

    after(lambda: one.running.is_set() and two.running.is_set(), send)
    assert group.run() == 0
    assert [one.stops, two.stops] == [["SIGTERM"]] * 2
    assert [one.read, two.read] == [1, 1]
    assert [len(one.loop.events), len(two.loop.events)] == [1, 1]
    assert signal.getsignal(signal.SIGTERM) == before


def test_one_that_does_not_stop_keeps_the_process_no_longer_than_promised(monkeypatch):
    """It is named, and the exit code is no nought."""
    monkeypatch.setattr(together, "STOP_WITHIN_S", 0.1)
    stuck, good = Fake(stuck=True), Fake()
    group, said = made(stuck=stuck, good=good)
    after(stuck.running.is_set, lambda: group.stop("now"))
    assert group.run() == 1
    assert [(name, values["error"]) for name, *_, values in said] == [
        ("stuck", "did not stop in time")
    ]
    stuck.free()


def test_the_collector_comes_back_with_the_last_service():
    """While one runs it is called when a loop is idle, and never comes by itself."""
    assert gc.isenabled()
    garbage.enter()
    garbage.enter()
    garbage.leave()
    assert not gc.isenabled()
    garbage.collect(0)
    assert gc.get_freeze_count() > 0
    garbage.leave()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0  # what services left behind can be collected again


def test_a_collector_that_was_off_stays_off():
    """Whoever embeds a service and minds the garbage himself is not overruled."""
    gc.disable()
    try:
        garbage.enter()
        garbage.leave()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_interval_of_the_interpreter_is_of_all_accounts():
    """Strategies of one account end: those of another still give the interpreter up soon."""
    before = sys.getswitchinterval()
    interval.enter()
    interval.enter()
    interval.leave()
    assert sys.getswitchinterval() <= interval.SHORT_S * 1.01
    interval.leave()
    assert sys.getswitchinterval() == pytest.approx(before)
