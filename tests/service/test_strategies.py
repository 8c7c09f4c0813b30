"""Strategies inside the service: when they begin, who stays stopped, and what is recorded."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest

from reconciler.core.decisions import FillShared
from reconciler.core.events import Signalled, StrategyChanged, Synced, Tick
from reconciler.core.ledger import Ledger
from reconciler.errors import (
    AlreadyRuns,
    ConfigError,
    NotFound,
    Refused,
    UnknownStrategy,
    UsageError,
)
from reconciler.feed import History, Joined, Trade
from reconciler.service import interval
from reconciler.service.door import StrategyReport
from reconciler.service.leases import Leases
from reconciler.service.netting import Weights
from reconciler.service.standing import GONE, MOVED, OFF, gone
from reconciler.service.strategies import Strategies
from reconciler.service.strategy_door import StrategyDoor
from reconciler.strategy import Needs, Strategy
from reconciler.strategy.portfolio import Portfolio
from reconciler.strategy.registry import Spec

AT_US = 1_790_000_000_000_000
SYMBOL = "XBTUSD"


class Echo(Strategy):
    """Says how many contracts it holds, and how many bars it looked back on."""

    back: int = 0

    def needs(self):
        return Needs(look_back=self.back)

    def on_start(self):
        self.warn(f"knew {[str(s.strength) for s in self.signals.values()]}")

    def on_tick(self, tick):
        if tick.trade is not None:
            self.signal(SYMBOL, tick.last)

    def on_fill(self, fill):
        self.signal(SYMBOL, fill.position)


class Feed:
    """A source of market data that a test plays."""

    def __init__(self, needs, tables, sink, on_crash) -> None:
        self.asked = [needs]
        self.sink, self.on_crash = sink, on_crash
        self.closed = False

    def start(self) -> None:
        self.sink([Joined(), *(History(symbol=symbol) for symbol in self.asked[0])])

    def want(self, needs, tables) -> None:
        self.asked.append(needs)
        self.sink([History(symbol=symbol) for symbol in needs])

    def venue_us(self) -> int:
        return AT_US

    def rejoin(self, reason: str) -> None:
        raise AssertionError("nothing was dropped")

    def health(self) -> dict[str, object]:
        return {}

    def close(self, timeout_s: float) -> None:
        self.closed = True


class House:
    """The part of a service that strategies are in."""

    def __init__(self, *specs: Spec, before: Ledger | None = None) -> None:
        self.ledger = before or Ledger()
        self.feeds: list[Feed] = []
        self.signals: list[Decimal] = []
        self.said: list[tuple[str, str, dict]] = []
        self.serial = 0
        self.strategies = Strategies(
            specs,
            self.make_feed,
            in_loop=self.step,
            now_us=lambda: AT_US,
            record=self.record,
            take=lambda ledger, signals, refused: self.take(signals, refused),
            say=lambda level, event, **values: self.said.append((level, event, values)),
        )
        self.watch = self.strategies.watcher(self.ledger)

    def make_feed(self, *asked) -> Feed:
        self.feeds.append(Feed(*asked))
        return self.feeds[-1]

    def step(self, call) -> None:
        for event in call():
            self.ledger.strategies[event.strategy] = event

    def record(self, make) -> None:
        events, finish = make(self.ledger)
        self.step(lambda: events)
        finish(self.ledger)

    def take(self, signals, refused):
        self.signals += [signal.strength for signal in signals]
        return ()

    def adopt(self, *specs: Spec):
        adopted = self.strategies.adopt(specs, self.ledger)
        self.step(lambda: adopted.events)
        return adopted

    def sync(self) -> None:
        self.watch([(Synced(at_us=AT_US, watermark_us=AT_US, open_order_ids=()), (), ())])

    def trade(self, price: int) -> None:
        self.serial += 1
        self.feeds[0].sink([Trade(SYMBOL, Decimal(price), 1, 1, AT_US + self.serial)])

    def states(self) -> dict[str, str]:
        return {row["name"]: row["state"] for row in self.strategies.table()}

    def recorded(self) -> dict[str, str]:
        return {name: event.state for name, event in self.ledger.strategies.items()}

    def until(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not what():
            assert time.monotonic() < deadline, (self.states(), self.signals, self.said)
            time.sleep(0.005)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.strategies.close()
        assert all(feed.closed for feed in self.feeds)


def echo(name: str = "echo", number: int = 1, **more) -> Spec:
    kind = "tests.service.test_strategies:Echo"
    return Spec(**{"name": name, "kind": kind, "symbols": (SYMBOL,), "number": number, **more})


def fails(identifier: str):
    """A command after which it has failed."""
    return lambda runner: runner._fail(runner.instance(identifier), "on_tick", ValueError("so"))


def changed(state: str, parameters: str = "{}", number: int = 1) -> Ledger:
    """A ledger of a service in which the strategy was left in *state*."""
    name = f"Echo_XBTUSD_{number}"
    event = StrategyChanged(
        at_us=1, strategy=name, state=state, detail="so it was", parameters=parameters
    )
    return Ledger(strategies={name: event})


def test_they_begin_when_the_service_is_in_sync():
    """Not before: what they say would be weighed against a position nobody knows yet."""
    with House(echo()) as house:
        house.watch([(Tick(at_us=AT_US), (), ())])
        assert (house.states(), house.feeds) == ({"echo": "off"}, [])
        house.sync()
        house.until(lambda: house.recorded() == {"Echo_XBTUSD_1": "running"})
        assert house.states() == {"echo": "running"}
        house.trade(100)
        house.until(lambda: house.signals == [100])
        house.sync()
        assert len(house.feeds) == 1


def test_a_service_that_stops_begins_none():
    """A halt without a service connects to end orders, and for nothing else."""
    with House(echo(), before=Ledger(stopping="halted")) as house:
        house.sync()
        assert (house.states(), house.feeds) == ({"echo": "off"}, [])


@pytest.mark.parametrize(
    ("before", "then"),
    [
        (changed("running"), "running"),
        (changed("stopped"), "stopped"),
        (changed("failed"), "failed"),
        (changed("failed", parameters=""), "running"),  # it was never loaded: tried again
        (changed("stopped", number=2), "running"),  # that was another one
    ],
)
def test_who_was_stopped_or_failed_stays_so(before, then):
    """A restart starts nobody that a person, or its own failure, has stopped; and says so."""
    with House(echo(), before=before) as house:
        house.sync()
        house.until(lambda: house.states() == {"echo": then})
        told = [values for _, event, values in house.said if event == "strategy.stop"]
        if then == "running":
            assert told == []
            return
        assert told == [
            {
                "strategy": "Echo_XBTUSD_1",
                "detail": f"{then} in an earlier run: so it was",
                "next": "reconciler strategies start echo",
            }
        ]
        row = house.strategies.do("echo", "start", by="test")
        assert row["strategy"] == "Echo_XBTUSD_1"
        house.until(lambda: house.recorded()["Echo_XBTUSD_1"] == "running")


def test_who_was_taken_out_begins_when_it_is_configured_again():
    """That was the configuration's word, and no person's."""
    before = changed("failed")
    assert gone(before, Weights(), AT_US) == []  # a file that was lost is no word about anybody
    others = Weights((), ("Other_XBTUSD_1",))
    (told,) = gone(before, others, AT_US)
    before.strategies[told.strategy] = told
    assert gone(before, others, AT_US) == []
    with House(echo(), before=before) as house:
        house.sync()
        house.until(lambda: house.states() == {"echo": "running"})


def test_one_that_is_not_enabled_begins_by_command_only():
    """enabled = false keeps it off; its market data is asked for when it is started."""
    with House(echo(enabled=False)) as house:
        house.sync()
        assert house.states() == {"echo": "off"}
        assert house.feeds == []
        house.strategies.do("echo", "start", by="test")
        house.until(lambda: house.states() == {"echo": "running"})
        assert len(house.feeds) == 1


def test_a_strategy_is_told_what_it_said_before():
    """The signals of the journal are there at on_start."""
    before = Ledger(
        signals={
            SYMBOL: {
                "Echo_XBTUSD_1": Signalled(
                    at_us=1,
                    number=4,
                    strategy="Echo_XBTUSD_1",
                    symbol=SYMBOL,
                    strength=Decimal("0.5"),
                )
            }
        }
    )
    with House(echo(), before=before) as house:
        house.sync()
        house.until(lambda: house.states() == {"echo": "running"})
        notes = [values["text"] for _, event, values in house.said if event == "strategy.note"]
        assert notes == ["knew ['0.5']"]


def test_it_hears_of_its_own_fills():
    """Its part of a fill, and nobody else's."""

    def part(strategy: str, position: int) -> FillShared:
        return FillShared(
            exec_id="x", symbol=SYMBOL, strategy=strategy, contracts=1, price=Decimal(1),
            cost_minor=1, fee_minor=0, realised_minor=0, currency="XBt", position=position,
        )  # fmt: skip

    with House(echo()) as house:
        house.sync()
        house.until(lambda: house.states() == {"echo": "running"})
        house.watch([(Tick(at_us=AT_US), (), (part("Other", 5), part("Echo_XBTUSD_1", 7)))])
        house.until(lambda: house.signals == [7])


def test_more_of_the_market_is_asked_for_when_it_is_needed():
    """One that is started later and looks back further: the feed brings the rest; else nothing."""
    near = echo(bar="1s", parameters={"back": 5})
    alike = echo("alike", 2, bar="1s", parameters={"back": 3}, enabled=False)
    far = echo("far", 3, bar="1s", parameters={"back": 50}, enabled=False)
    with House(near, alike, far) as house:
        house.sync()
        house.until(lambda: house.states()["echo"] == "running")
        house.strategies.do("alike", "start", by="test")
        house.until(lambda: house.states()["alike"] == "running")
        (feed,) = house.feeds
        assert len(feed.asked) == 1
        house.strategies.do("far", "start", by="test")
        house.until(lambda: house.states()["far"] == "running")
        assert [asked[SYMBOL].bars for asked in feed.asked] == [{1_000_000: 5}, {1_000_000: 50}]


def test_without_market_data_every_strategy_has_failed():
    """The feed's thread died: that is told, and nobody goes on blindly; the service does."""
    with House(echo(), echo("off", 2, enabled=False)) as house:
        house.sync()
        house.until(lambda: house.states()["echo"] == "running")
        house.feeds[0].on_crash(KeyError("ours"))
        house.until(lambda: house.states() == {"echo": "failed", "off": "off"})
        assert ("critical", "strategy.fail") in [(level, event) for level, event, _ in house.said]
        house.until(lambda: house.recorded() == {"Echo_XBTUSD_1": "failed"})
        assert "KeyError: 'ours'" in house.ledger.strategies["Echo_XBTUSD_1"].detail


def test_other_tables_begin_end_and_begin_anew_just_what_they_are_about():
    """Whoever a person stopped stays so; one that failed is tried again, once its table changed."""
    specs = {n: echo(str(n), n) for n in range(1, 8)}
    with House(*specs.values()) as house:
        house.sync()
        house.until(lambda: set(house.states().values()) == {"running"})
        house.strategies.do("1", "stop", by="me")
        for number in (2, 3):
            house.strategies._host.later(fails(f"Echo_XBTUSD_{number}"))
        house.until(lambda: house.recorded()["Echo_XBTUSD_3"] == "failed")
        lives = {name: one.life for name, one in house.strategies._host.runner.instances.items()}
        back = {"parameters": {"back": 0}}
        now = [
            echo("1", 1, **back),
            echo("2", 2),
            echo("3", 3, **back),
            echo("4", 4, **back),
            echo("renamed", 5, patience_s=1.0),
            echo("6", 6, runs="process"),
            echo("8", 8),
            echo("9", 9, enabled=False),
        ]  # and 7 is gone
        adopted = house.adopt(*now)
        assert adopted.started == ("Echo_XBTUSD_8",)
        assert adopted.restarted == ("Echo_XBTUSD_3", "Echo_XBTUSD_4")
        assert adopted.stopped == ("Echo_XBTUSD_6", "Echo_XBTUSD_7")
        house.until(
            lambda: (
                house.states()
                == {
                    "1": "stopped", "2": "failed", "3": "running", "4": "running",
                    "renamed": "running", "8": "running", "9": "off",
                }
            )
        )  # fmt: skip
        instances = house.strategies._host.runner.instances
        assert instances["Echo_XBTUSD_5"].life == lives["Echo_XBTUSD_5"]
        assert instances["Echo_XBTUSD_5"].spec.patience_s == 1
        assert {e.strategy[-1]: e.detail for e in adopted.events} == {"6": MOVED, "7": GONE}

        off = [echo("4", 4, **back, enabled=False), echo("6", 6), echo("9", 9)]
        adopted = house.adopt(*off)
        assert adopted.started == ("Echo_XBTUSD_6", "Echo_XBTUSD_9")
        assert "Echo_XBTUSD_4" in adopted.stopped
        house.until(lambda: house.states() == {"4": "stopped", "6": "running", "9": "running"})
        house.until(lambda: house.ledger.strategies["Echo_XBTUSD_4"].detail == OFF)
        assert house.adopt(*(echo("4", 4, **back), *off[1:])).started == ("Echo_XBTUSD_4",)
        house.until(lambda: house.states()["4"] == "running")


def test_tables_that_are_read_again_while_a_callback_takes_its_time():
    """What was asked before comes first: a stop stands, and nobody is lost between two readings."""
    first, second, third = echo("1", 1), echo("2", 2), echo("3", 3)
    with House(first, second, third) as house:
        house.sync()
        house.until(lambda: set(house.states().values()) == {"running"})
        busy, free = threading.Event(), threading.Event()
        house.strategies._host.later(lambda _: (busy.set(), free.wait(10)))
        assert busy.wait(10)
        with ThreadPoolExecutor(1) as person:
            stop = person.submit(house.strategies.do, "1", "stop", by="me")
            house.until(lambda: len(house.strategies._host._inbox._items) == 1)
            other = echo("1", 1, parameters={"back": 0})
            house.adopt(other, echo("3", 3, enabled=False))
            assert house.adopt(other, second, third).started == ("Echo_XBTUSD_2",)
            free.set()
            assert stop.result()["state"] == "stopped"
        running = {"1": "stopped", "2": "running", "3": "running"}
        house.until(lambda: house.states() == running)
        house.until(lambda: set(house.recorded().values()) == {"stopped", "running"})


def test_one_that_was_started_in_spite_of_its_table_goes_on_when_tables_are_read_again():
    """A person did that by name; who reads limits again has not said anything about it."""
    with House(echo(enabled=False)) as house:
        house.sync()
        house.strategies.do("echo", "start", by="me")
        house.until(lambda: house.states() == {"echo": "running"})
        assert house.adopt(echo(enabled=False), echo("other", 2)).stopped == ()
        house.until(lambda: house.states() == {"echo": "running", "other": "running"})


def test_the_first_table_of_all_begins_at_once_if_the_service_is_in_sync():
    """A service without strategies runs none of their threads; then one is configured."""
    with House() as house:
        house.sync()
        assert house.feeds == []
        house.adopt(echo())
        assert house.states() == {"echo": "off"}  # not in sync: at the next word that it is
        house.sync()
        house.until(lambda: house.states() == {"echo": "running"})
    with House() as house:
        house.ledger.in_sync = True
        assert house.adopt(echo()).started == ("Echo_XBTUSD_1",)
        house.until(lambda: house.states() == {"echo": "running"})


def test_a_restart_is_no_stop_that_a_kill_could_make_last():
    """What is recorded of it is that it runs again: between the two there is nothing to find."""
    with House(echo()) as house:
        house.sync()
        house.until(lambda: house.recorded() == {"Echo_XBTUSD_1": "running"})
        recorded = []
        step = house.step
        house.step = lambda call: step(lambda: [recorded.append(e.state) or e for e in call()])
        house.strategies.do("echo", "restart", by="me")
        house.until(lambda: recorded)
        assert recorded == ["running"]


def test_market_data_that_cannot_be_asked_for_fails_the_strategies_and_not_the_loop():
    """The loop asks for it: what goes wrong there must not go up its stack, and end the service."""
    with House(echo()) as house:
        in_loop = []
        house.strategies._in_loop = lambda call: in_loop.append(call)

        def refuse(*_):
            raise ConfigError("market data needs an address")

        house.strategies._make_feed = refuse
        house.sync()
        house.until(lambda: in_loop)
        assert list(in_loop.pop(0)()) == []
        house.until(lambda: house.states() == {"echo": "failed"})
        assert "needs an address" in house.strategies.table()[0]["detail"]


def test_a_stop_is_recorded_before_it_is_answered():
    """A kill after the answer must not find it running: what a person stopped stays stopped."""
    with House(echo()) as house:
        door = Door(house)
        house.sync()
        house.until(lambda: house.recorded() == {"Echo_XBTUSD_1": "running"})
        record = house.strategies._handover._record
        with ThreadPoolExecutor(1) as slow_loop:  # it keeps the order, and takes its time
            house.strategies._handover._record = lambda make: slow_loop.submit(
                lambda: (time.sleep(0.1), record(make))
            )
            door.strategy("echo", "stop", by="me")
            assert house.recorded() == {"Echo_XBTUSD_1": "stopped"}


def test_what_breaks_whoever_records_it_fails_who_said_it_and_nobody_else():
    """An error of our own at one signal: its strategy is told to have failed, the other goes on."""
    with House(echo(), echo("other", 2)) as house:
        take = house.take

        def breaks(signals, refused):
            if any(signal.strategy == "Echo_XBTUSD_1" for signal in signals):
                raise KeyError("ours")
            return take(signals, refused)

        house.take = breaks
        house.sync()
        house.until(lambda: set(house.states().values()) == {"running"})
        house.trade(5)
        house.until(lambda: house.states() == {"echo": "failed", "other": "running"})
        house.until(lambda: house.signals == [5])
        assert "KeyError: 'ours'" in house.strategies.table()[0]["detail"]


def test_a_refused_signal_is_told_in_the_log():
    """Nobody weighs it: a strategy that leads nowhere is no secret."""
    with House(echo()) as house:

        def refuse(signals, refused):
            for signal in signals:
                refused(signal, Refused("nobody weighs it"))
            return ()

        house.take = refuse
        house.sync()
        house.until(lambda: house.states() == {"echo": "running"})
        house.trade(5)
        house.until(lambda: "signal.refused" in [event for _, event, _ in house.said])
        assert house.states() == {"echo": "running"}


def test_the_loop_gets_the_interpreter_soon_while_strategies_run():
    """A strategy that computes keeps fills waiting for less than a millisecond, not for five."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.004)
    try:
        with House(echo()) as house:
            house.sync()
            assert sys.getswitchinterval() <= interval.SHORT_S * 1.01
        assert sys.getswitchinterval() == pytest.approx(0.004)
    finally:
        sys.setswitchinterval(before)


class Door(StrategyDoor):
    def __init__(self, house: House) -> None:
        self._strategies, self.house = house.strategies, house
        self._say = lambda level, event, **values: house.said.append((level, event, values))
        self._loop = SimpleNamespace(now_us=lambda: AT_US, ask=self.ask)
        source = Portfolio(name="all", strategies={}, symbols={}, sources=("Program_*",))
        named = tuple(spec.identifier for spec in house.strategies.specs)
        self.desk = SimpleNamespace(weights=Weights((source,), named))
        self.leases = Leases(lambda: AT_US)

    def ask(self, make):
        events, finish = make(self.house.ledger)
        for event in events:
            self.house.ledger.strategies[event.strategy] = event
        return finish(self.house.ledger)


def test_what_a_door_is_asked():
    """Commands by name or identifier; what makes no sense is refused with what would."""
    with House(echo(), echo("far", 2, runs="process")) as house:
        door = Door(house)
        with pytest.raises(Refused, match="begin once the service is in sync"):
            door.strategy("echo", "stop", by="test")
        house.sync()
        house.until(lambda: house.states() == {"echo": "running"})
        assert [row["name"] for row in door.strategies()] == ["echo", "far"]
        with pytest.raises(UsageError, match="One of start, stop, restart"):
            door.strategy("echo", "shoot", by="test")
        with pytest.raises(Refused, match="runs in a process of its own"):
            door.strategy("far", "start", by="test")
        with pytest.raises(NotFound, match="There are: Echo_XBTUSD_1"):
            door.strategy("nobody", "stop", by="test")
        assert door.strategy("Echo_XBTUSD_1", "stop", by="me")["detail"] == "by me"
        assert door.strategy("echo", "restart", by="me")["state"] in ("waiting", "running")
        house.until(lambda: house.states() == {"echo": "running"})
        assert door.strategy("echo", "restart", by="me")["state"] in ("waiting", "running")


def test_a_report_from_elsewhere_is_recorded():
    """Of itself only: nobody reports for a strategy that the service runs."""
    with House(echo(), echo("far", 2, runs="process")) as house:
        door = Door(house)
        door.report_strategy(
            StrategyReport(strategy="Echo_XBTUSD_2", state="failed", detail="a\ud800b")
        )
        far = door.strategies()[1]
        assert (far["state"], far["detail"]) == ("failed", "a?b")
        with pytest.raises(AlreadyRuns, match="runs inside the service"):
            door.report_strategy(StrategyReport(strategy="Echo_XBTUSD_1", state="failed"))
        with pytest.raises(UsageError, match="is the identifier of no strategy"):
            door.report_strategy(StrategyReport(strategy="a b", state="failed"))
        door.report_strategy(StrategyReport(strategy="Stranger_1", state="running"))
        assert door.strategies()[2]["runs"] == "elsewhere"


def test_a_process_that_nobody_wants_is_refused_and_one_switched_off_is_told_as_that():
    """Its table says no, or there is none and no source: told at its next hold, within a second."""
    far = echo("far", 2, runs="process")
    with House(far) as house:
        door, name = Door(house), far.identifier
        door.hold_strategy(name, "run-1")
        door.hold_strategy("Program_1", "run-2")  # some portfolio's source
        door.report_strategy(StrategyReport(strategy=name, state="running", run="run-1"))
        assert house.adopt(far).stopped == ()
        assert house.adopt(msgspec.structs.replace(far, enabled=False)).stopped == (name,)
        with pytest.raises(Refused, match="has enabled = false in its table"):
            door.hold_strategy(name, "run-1")
        (off,) = door.lost_strategies(house.ledger)
        assert (off.strategy, off.state, off.detail) == (name, "stopped", "enabled = false")
        house.ledger.strategies[name] = off
        assert door.lost_strategies(house.ledger) == []
        with pytest.raises(UnknownStrategy, match="is in no table and no portfolio's source"):
            door.hold_strategy("Nobody_1", "run-3")


def test_every_thread_ends_with_the_service():
    """Nothing is left running behind a service that has stopped."""
    before = {thread.name for thread in threading.enumerate()}
    with House(echo()) as house:
        house.sync()
        house.until(lambda: house.states() == {"echo": "running"})
    house.until(
        lambda: (
            not any(
                thread.name.startswith("strategies") and thread.name not in before
                for thread in threading.enumerate()
            )
        )
    )
