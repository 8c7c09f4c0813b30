"""Strategies in a thread of their own: the slow, the stuck, and what waits meanwhile."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal

import pytest

from reconciler.errors import Refused
from reconciler.feed import Best, Joined, Lost, Marked, Trade
from reconciler.strategy import Strategy
from reconciler.strategy.host import Host, Inbox
from reconciler.strategy.market import Market
from tests.strategy.teller import START_US, SYMBOL, spec

WITHIN_S = 10.0


class Counts(Strategy):
    """Says how many trades it has seen."""

    def on_start(self):
        self._seen = 0

    def on_tick(self, tick):
        if tick.trade is not None:
            self._seen += 1
            self.signal(SYMBOL, self._seen)


class Loops(Strategy):
    """Says something, and at the second trade never looks up again."""

    def on_start(self):
        self._seen = 0

    def on_tick(self, tick):
        self._seen += 1
        self.signal(SYMBOL, self._seen)
        while self._seen > 1:
            pass


class Waits(Strategy):
    """Waits for a lock that a test holds, as for an answer that does not come."""

    lock = threading.Lock()

    def on_tick(self, tick):
        with Waits.lock:
            self.signal(SYMBOL, 7)


class House:
    """A host, and what it told."""

    def __init__(self, *specs, **more):
        self.signals, self.changes, self.rejoins, self.crashes = [], [], [], []
        self.host = Host(
            specs,
            Market([SYMBOL]),
            venue_us=lambda: START_US,
            on_signal=self.signals.append,
            on_change=self.changes.append,
            rejoin=self.rejoins.append,
            on_crash=self.crashes.append,
            **more,
        )
        self.serial = 0

    def __enter__(self):
        self.host.start(spec for spec in self.host.runner.instances)
        self.host.offer([Joined()])
        return self

    def __exit__(self, *_):
        self.host.stop()
        assert self.crashes == []

    def trade(self, price: int = 100) -> None:
        self.serial += 1
        self.host.offer([Trade(SYMBOL, Decimal(price), 100, 1, START_US + self.serial)])

    def until(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while not what():
            assert time.monotonic() < deadline, (self.changes, self.signals)
            time.sleep(0.005)

    def said(self, kind: str) -> list[Decimal]:
        return [s.strength for s in list(self.signals) if s.strategy.startswith(kind)]

    def states(self) -> list[tuple[str, str]]:
        return [(change.strategy, change.state) for change in list(self.changes)]


@pytest.mark.parametrize("on_failure", ["hold", "zero"])
def test_an_endless_loop_is_given_up_and_the_others_go_on(on_failure):
    """A strategy that never comes back is reported and ended; the others wait for it once."""
    loops = spec(Loops, "loops", on_failure=on_failure, patience_s=0.3)
    with House(loops, spec(Counts, "counts")) as house:
        house.trade()
        house.trade()
        house.until(lambda: ("Loops_XBTUSD_1", "failed") in house.states())
        house.trade()
        house.until(lambda: house.said("Counts") == [1, 2, 3])
        detail = house.changes[-1].detail
        assert detail.startswith("on_tick: did not come back within 0.3 s (test_host.py:")
        assert house.said("Loops") == ([1, 0] if on_failure == "zero" else [1])
        house.until(lambda: house.host.health()["given_up"] == 0)  # its thread ended


def test_who_comes_back_once_it_was_given_up_says_nothing_more():
    """Also in the moment between the two: its failure is what counts, with the zero after it."""
    with House(spec(Waits, patience_s=0.1, on_failure="zero")) as house:
        finish, free = house.host.runner.finish, threading.Event()

        def late(call, outcome):
            if threading.current_thread().name == "strategies-watch":
                Waits.lock.release()  # it comes back while it is being given up
                free.wait(0.3)
            finish(call, outcome)

        house.host.runner.finish = late
        house.until(lambda: house.states() == [("Waits_XBTUSD_1", "running")])
        Waits.lock.acquire()
        house.trade()
        house.until(lambda: ("Waits_XBTUSD_1", "failed") in house.states())
        assert house.said("Waits") == []


def test_one_that_waits_for_ever_is_not_listened_to_any_more():
    """What a strategy that was given up says afterwards counts for nothing."""
    with House(spec(Waits, "waits", patience_s=0.2), spec(Counts, "counts")) as house:
        with Waits.lock:
            house.trade()
            house.until(lambda: ("Waits_XBTUSD_1", "failed") in house.states())
            house.until(lambda: house.said("Counts") == [1])
            assert house.host.health()["given_up"] == 1
        house.until(lambda: house.host.health()["given_up"] == 0)
        house.trade()
        house.until(lambda: house.said("Counts") == [1, 2])
        assert house.said("Waits") == []
        house.host.do(lambda runner: runner.start("waits"))
        house.until(lambda: house.states()[-1] == ("Waits_XBTUSD_1", "running"))
        house.trade()
        house.until(lambda: house.said("Waits") == [7])


def test_a_module_that_never_ends_its_import_is_given_up(tmp_path, monkeypatch):
    """Even loading is done where it can stop nobody."""
    (tmp_path / "endless_h5.py").write_text("while True:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    endless = spec("endless_h5:Thing", "endless", patience_s=0.2)
    with House(endless, spec(Counts, "counts")) as house:
        house.until(lambda: ("Thing_XBTUSD_1", "failed") in house.states())
        assert "load: did not come back within 0.2 s" in house.changes[0].detail
        house.trade()
        house.until(lambda: house.said("Counts") == [1])
    sys.modules.pop("endless_h5", None)


def test_commands_are_carried_out_between_calls_and_refusals_come_back():
    """A command is done when `do` returns; what the runner refuses, the caller is told."""
    with House(spec(Counts)) as house:
        house.until(lambda: house.states())
        house.host.do(lambda runner: runner.stop("one", "by hand"))
        assert house.states()[-1] == ("Counts_XBTUSD_1", "stopped")
        with pytest.raises(Refused, match="does not run"):
            house.host.do(lambda runner: runner.stop("one"))


def test_a_command_that_cannot_be_done_in_time_says_so():
    """While a strategy holds the thread up, nobody waits for ever."""
    with House(spec(Waits, patience_s=60)) as house, Waits.lock:
        house.trade()
        house.until(lambda: house.host._worker.call is not None)
        with pytest.raises(TimeoutError, match="busy"):
            house.host.do(lambda runner: None, timeout_s=0.05)


def test_prices_are_conflated_and_trades_are_not():
    """A slow strategy sees every trade, and of prices the newest, whole."""
    inbox = Inbox()
    trades = [Trade(SYMBOL, Decimal(n), 1, 1, n) for n in range(3)]
    bests = [Best(SYMBOL, Decimal(n), Decimal(n + 1), 1, 1, n) for n in range(3)]
    inbox.put([bests[0], trades[0], bests[1], trades[1]])
    inbox.put([Marked(symbol=SYMBOL, venue_us=1, mark=Decimal(5)), bests[2], trades[2]])
    inbox.put([Marked(symbol=SYMBOL, venue_us=2, index=Decimal(6))])
    marked = Marked(symbol=SYMBOL, venue_us=2, mark=Decimal(5), index=Decimal(6))
    assert inbox.take(0) == [bests[2], trades[0], trades[1], marked, trades[2]]
    assert inbox.take(0) == []
    inbox.put([bests[0]])
    assert inbox.take(0) == [bests[0]]


def test_too_much_is_told_and_begins_anew():
    """More trades than anybody could want: all are dropped, the market knows, the feed rejoins."""
    with House(spec(Waits, patience_s=60), most_waiting=10) as house:
        house.until(lambda: house.states())
        with Waits.lock:
            house.trade()
            house.until(lambda: house.host._worker.call is not None)
            assert house.rejoins == []
            for _ in range(11):
                house.trade()
            assert house.rejoins == ["the strategies were too far behind"]
            done = []
            house.host._inbox.put([lambda runner: done.append(runner.market[SYMBOL].in_sync)])
        house.until(lambda: done)
        assert done == [False]
        assert house.host.health()["overflows"] == 1


def test_what_people_asked_for_survives_an_overflow():
    """A command that waits is not market data: it is kept when the market is dropped."""
    inbox = Inbox(most=2)
    command = print
    assert inbox.put([command])
    assert not inbox.put([Joined(), Joined()])
    taken = inbox.take(0)
    assert [type(item) for item in taken] == [Lost, type(print)]
    assert inbox.overflows == 1


def test_an_error_of_our_own_fails_every_strategy(monkeypatch):
    """If what all stand on breaks, none goes on as if nothing were; it is told, once."""
    with House(spec(Counts), spec(Loops, "two")) as house:
        house.until(lambda: len(house.states()) == 2)

        def breaks(news):
            raise KeyError("ours")

        monkeypatch.setattr(house.host.runner.market, "take", breaks)
        house.trade()
        house.until(lambda: len(house.states()) == 4)
        assert [state for _, state in house.states()[2:]] == ["failed", "failed"]
        assert [type(error) for error in house.crashes] == [KeyError]
        house.crashes.clear()
