"""Strategies in the runner: what is called when, and what becomes of one that fails."""

from __future__ import annotations

import json
import os
import sys
from decimal import Decimal
from random import Random as Rng

import pytest

from reconciler.core.decisions import FillShared
from reconciler.errors import ConfigError, NotFound, Refused
from reconciler.feed import History, Joined, Lost, Trade
from reconciler.logs import MASK
from reconciler.strategy import Needs, Strategy
from reconciler.strategy.base import CALLBACKS, BadSignal, price_of, strength_of
from reconciler.strategy.registry import Spec, check_distinct, load
from reconciler.strategy.signals import Signal
from tests.strategy.teller import SECOND_US, SYMBOL, Teller, spec


class Diary(Strategy):
    """Writes down what it is called for."""

    def on_start(self):
        bars = self.market[self.symbols[0]].bars(self.bar, 100) if self.bar else ()
        self.lines = [f"start {len(bars)}"]

    def on_tick(self, tick):
        self.lines.append(f"tick {tick.last} {tick.bid}")

    def on_bar_open(self, bar):
        self.lines.append(f"open {bar.open}")

    def on_bar_close(self, bar):
        self.lines.append(f"close {bar.close} {bar.contracts}")

    def on_snapshot(self, snapshot):
        self.lines.append(f"snapshot {snapshot.last}")

    def on_fill(self, fill):
        self.lines.append(f"fill {fill.contracts} {fill.position}")


class LooksBack(Diary):
    def needs(self):
        return Needs(look_back=3)


class Follows(Strategy):
    """Long after a rise, short after a fall."""

    size: Decimal = Decimal(1)

    def on_tick(self, tick):
        if tick.previous is not None and tick.last != tick.previous:
            up = tick.last > tick.previous
            self.signal(SYMBOL, self.size if up else -self.size, f"{tick.last}", tick.last)


class Fails(Strategy):
    """Raises where it is told to, after it has said something."""

    where: str = "on_tick"

    def _act(self, where):
        if where == self.where:
            self.signal(SYMBOL, 5, "half a thought")
            raise ZeroDivisionError(f"in {where}")
        if where == "on_start":
            self.signal(SYMBOL, 2, "a whole one")

    def needs(self):
        if self.where == "needs":
            raise ZeroDivisionError("in needs")
        return Needs()

    def on_start(self):
        self._act("on_start")

    def on_tick(self, tick):
        self._act("on_tick")

    def on_bar_open(self, bar):
        self._act("on_bar_open")

    def on_bar_close(self, bar):
        self._act("on_bar_close")

    def on_snapshot(self, snapshot):
        self._act("on_snapshot")

    def on_fill(self, fill):
        self._act("on_fill")


class Says(Strategy):
    """Signals whatever it is given, of whatever symbol."""

    what: object = None
    symbol: str = SYMBOL
    price: object = None
    reason: object = ""

    def on_tick(self, tick):
        if tick.trade is not None:
            self.signal(self.symbol, self.what, self.reason, self.price)


class Leaves(Strategy):
    def on_tick(self, tick):
        sys.exit("I would rather not")


def fill(strategy: str, contracts: int = 100) -> FillShared:
    return FillShared(
        exec_id="e1", symbol=SYMBOL, strategy=strategy, contracts=contracts, price=Decimal(100),
        cost_minor=1, fee_minor=0, realised_minor=0, currency="XBt", position=contracts,
    )  # fmt: skip


def test_callbacks_come_in_the_order_of_the_market():
    """First the start, with the look-back there; then ticks, bars that end, seconds, fills."""
    told = Teller(spec(LooksBack, bar="1s"))
    assert told.state() == "waiting"
    told.join([100, 101, 102, 103, 104])
    diary = told.runner.instance("one").strategy
    told.trade(105)
    told.quote(104, 106)
    told.wait()
    told.runner.fill(fill("LooksBack_XBTUSD_1s_1"))
    told.runner.fill(fill("Somebody_XBTUSD_1"))
    told.runner.drain()
    assert told.state() == "running"
    assert diary.lines == [
        "start 5", "tick 105 None", "tick 105 104", "close 105 100", "open 105", "snapshot 105",
        "fill 100 100",
    ]  # fmt: skip


def test_it_waits_for_the_past_that_it_asked_for():
    """In sync is not enough for one that looks back: its bars have to be there."""
    told = Teller(spec(LooksBack, bar="1s"), spec(Diary, "two"), spec(Diary, "three", number=2))
    told.runner.stop("three")
    told.take(History(symbol=SYMBOL))
    assert (told.state("one"), told.state("two")) == ("waiting", "waiting")
    assert told.detail("one") == "waiting for the market: XBTUSD: not in sync"
    told.take(Lost("away"), Joined())
    assert (told.state("one"), told.state("two")) == ("waiting", "running")
    assert told.detail("one") == ("waiting for the market: XBTUSD: history is read, 3 bars of 1s")
    told.join([100] * 3)
    assert (told.state("one"), told.detail("one")) == ("running", "")
    told.runner.stop("one")
    told.take(Lost("away again"))
    told.runner.start("one")
    told.runner.start("three")
    told.runner.drain()
    assert (told.state("one"), told.state("three")) == ("waiting", "waiting")
    told.take(Joined())
    assert (told.state("one"), told.state("three")) == ("waiting", "running")


def test_it_begins_once():
    """However much is told before its first call is carried out."""
    told = Teller(spec(Follows))
    for news in (Joined(), History(symbol=SYMBOL), History(symbol=SYMBOL)):
        told.runner.take(news)
    told.runner.drain()
    assert [change.state for change in told.changes] == ["running"]


def test_a_bar_that_nobody_asked_for_is_told_to_nobody():
    """Each hears of the lengths that it has, and of its own symbols."""
    told = Teller(
        spec(Diary, "a", bar="1s"),
        spec(Diary, "b", bar="1m"),
        spec(Diary, "c", bar="1s", symbols=("ETHUSD",)),
    )
    told.join()
    a, b, c = (told.runner.instance(name).strategy for name in "abc")
    told.trade(100)
    told.wait()
    assert [line for line in a.lines if "close" in line] == ["close 100 100"]
    assert [line for line in b.lines if "close" in line] == []
    assert [line for line in c.lines if "100" in line] == []


@pytest.mark.parametrize("where", [*CALLBACKS, "needs"])
@pytest.mark.parametrize("on_failure", ["hold", "zero"])
def test_one_that_raises_is_stopped_and_told_and_the_others_go_on(where, on_failure):
    """
    Whatever callback raises: it has said nothing by it, it is called no more, and its last signal
    is held or zeroed.
    """
    told = Teller(
        spec(Fails, "bad", bar="1s", on_failure=on_failure, parameters={"where": where}),
        spec(Follows, "good"),
    )
    told.join([100])
    told.trade(100)
    told.runner.fill(fill("Fails_XBTUSD_1s_1"))
    told.trade(101)
    told.wait()
    told.trade(102)
    assert (told.state("bad"), told.state("good")) == ("failed", "running")
    failed = [change for change in told.changes if change.state == "failed"]
    assert len(failed) == 1
    callback = "load" if where == "needs" else where
    assert failed[0].detail.startswith(
        f"{callback}: ZeroDivisionError: in {where} (test_runner.py:"
    )
    assert "Traceback" in failed[0].traceback
    began = where not in ("on_start", "needs")
    bad = [s.strength for s in told.signals if s.strategy == "Fails_XBTUSD_1s_1"]
    assert bad == ([2, 0] if on_failure == "zero" else [2]) * began
    assert [s.strength for s in told.signals if "Follows" in s.strategy] == [1, 1]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (float("nan"), "strength is NaN; it must be finite"),
        (float("inf"), "strength is Infinity; it must be finite"),
        (Decimal("sNaN"), "strength is sNaN; it must be finite"),
        (True, "strength is 'True', a bool: no number"),
        ("1", "strength is '1', a str: no number"),
        (None, "strength is 'None', a NoneType: no number"),
        (10**30, "strength is 1.000E+30; at most 1,000,000 is believed"),
        (Decimal("-1e400"), "strength is -1.000E+400; at most 1,000,000 is believed"),
        (1j, "strength is '1j', a complex: no number"),
    ],
)
def test_a_strength_that_is_none_is_a_failure(what, said):
    """What no portfolio could use is refused where it was said, with the reason."""
    told = Teller(spec(Says))
    told.join()
    told.runner.instance("one").strategy.what = what
    told.trade(100)
    assert told.signals == []
    assert told.state() == "failed"
    assert f"on_tick: {said}" in told.changes[-1].detail


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("symbol", "ETHUSD", "signal for 'ETHUSD': the strategy's symbols are XBTUSD"),
        ("symbol", 7, "signal for '7'"),
        ("price", 0, "price is 0; it must be above zero"),
        ("price", Decimal("1e-9999999999"), "at most 40 places are believed"),
        ("price", float("nan"), "price is NaN; it must be finite"),
        ("reason", b"x", "reason is a bytes; it must be text"),
    ],
)
def test_a_signal_of_something_else_is_a_failure(name, value, said):
    """A foreign symbol, a price that is none, a reason that is no text."""
    told = Teller(spec(Says))
    told.join()
    strategy = told.runner.instance("one").strategy
    strategy.what = 1
    setattr(strategy, name, value)
    told.trade(100)
    assert told.signals == []
    assert said in told.changes[-1].detail


class Mean(str):
    """Text that lies."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1

    def __str__(self):
        raise ZeroDivisionError("whoever asks")


class Lies(Strategy):
    def on_tick(self, tick):
        if tick.trade is not None:
            self.signal(Mean(SYMBOL), 1, Mean("because"))

    def on_fill(self, fill):
        self.identifier = Mean("Somebody")
        self.signal(SYMBOL, 2)


def test_text_is_nothing_but_text():
    """Types of a stranger's go no further than his strategy: others store and compare the text."""
    told = Teller(spec(Lies))
    told.join()
    told.trade(100)
    (said,) = told.signals
    assert {type(said.symbol), type(said.strategy), type(said.reason)} == {str}
    assert (said.symbol, said.reason) == (SYMBOL, "because")
    told.runner.fill(fill("Lies_XBTUSD_1"))
    told.runner.drain()
    assert (told.state(), told.signals) == ("failed", [said])


class Floods(Strategy):
    """Says a hundred things at once, and writes each to the log."""

    def on_tick(self, tick):
        for number in range(100 if tick.trade is not None else 0):
            self.signal(SYMBOL, number)
            self.warn(f"{number}")


def test_who_talks_without_end_is_believed_at_the_last_word():
    """Neither memory nor the log grows with what one callback says."""
    told = Teller(spec(Floods))
    told.join()
    told.trade(100)
    assert told.strengths == [99]
    assert told.warnings == [str(number) for number in range(20)]
    told.wait()
    told.trade(101)
    assert told.warnings[20:22] == ["80 more lines were left out", "0"]


def test_strengths_are_exact():
    """A float counts as it is written; noise below any lot is gone; there is no minus zero."""
    assert strength_of(0.1 + 0.2) == Decimal("0.3")
    assert all(str(strength_of(n)) == str(strength_of(Decimal(n))) for n in range(-120, 121))
    assert str(strength_of(-0.0)) == "0"
    assert str(strength_of(Decimal("-1e-12"))) == "0"
    assert strength_of(Decimal("999999.123456789")) == Decimal("999999.123456789")
    assert price_of(Decimal("64231.5")) == Decimal("64231.5")
    with pytest.raises(BadSignal):
        price_of(10**12)


def test_not_even_an_exit_leaves_the_strategy():
    """sys.exit() in a callback ends the strategy, not the service."""
    told = Teller(spec(Leaves), spec(Follows, "two"))
    told.join()
    told.trade(100)
    assert told.changes[-1].detail.startswith("on_tick: SystemExit: I would rather not (")
    assert told.state("two") == "running"


def test_the_same_signal_again_is_told_once_a_second():
    """A repeat is no news; but a target with a time to live lives on by it."""
    told = Teller(spec(Says))
    told.join()
    told.runner.instance("one").strategy.what = 1
    for _ in range(5):
        told.trade(100)
    assert told.strengths == [1]
    told.wait()
    for _ in range(5):
        told.trade(101)
    assert told.strengths == [1, 1]
    told.runner.instance("one").strategy.what = 2
    told.trade(101)
    assert told.strengths == [1, 1, 2]


def test_signals_of_before_are_there_at_the_start():
    """After a restart a strategy knows what it said; saying it again is no news."""
    before = Signal(strategy="Says_XBTUSD_1", symbol=SYMBOL, strength=Decimal(1))
    told = Teller(spec(Says), signals=[before])
    told.join()
    strategy = told.runner.instance("one").strategy
    assert strategy.signals[SYMBOL] == before
    strategy.what = 2
    told.trade(100)
    assert told.strengths == [2]
    assert told.runner.instance("one").signals[SYMBOL].strength == 2


def test_one_that_had_failed_is_zeroed_at_the_next_start_if_a_kill_came_first():
    """Its failure was on the disk and the zero was not: zero is what was configured."""
    before = [Signal(strategy="Says_XBTUSD_1", symbol=SYMBOL, strength=Decimal(3))]
    for state, on_failure, said in (
        ("failed", "zero", ["Says_XBTUSD_1 XBTUSD +0"]),
        ("failed", "hold", []),
        ("stopped", "zero", []),
    ):
        told = Teller(spec(Says, on_failure=on_failure), signals=before, start=False)
        told.runner.leave("Says_XBTUSD_1", state, "as it was")
        assert told.said == said


class Poses(Strategy):
    """Takes the name of another, or his symbol."""

    field: str
    value: object

    def on_start(self):
        setattr(self, self.field, self.value)

    def on_tick(self, tick):
        self.signal("ETHUSD" if self.field == "symbols" else SYMBOL, 5)


@pytest.mark.parametrize(
    ("field", "value"), [("identifier", "Diary_XBTUSD_1"), ("symbols", ("ETHUSD",))]
)
def test_nobody_speaks_as_somebody_else(field, value):
    """What a strategy is called and may signal is not its own to change: shares hang on it."""
    told = Teller(spec(Poses, parameters={"field": field, "value": value}), spec(Diary, "two"))
    told.join()
    told.trade(100)
    assert told.said == []
    assert told.changes[-1].state == "failed"
    assert told.changes[-1].detail.endswith("it spoke as somebody else")


def test_one_that_fails_before_it_speaks_zeroes_what_it_said_before():
    """Zero means zero, also for a signal of an earlier life; what is zero stays so, unsaid."""
    before = [
        Signal(strategy="Fails_XBTUSD-ETHUSD_1", symbol=symbol, strength=Decimal(strength))
        for symbol, strength in ((SYMBOL, 3), ("ETHUSD", 0))
    ]
    both = (SYMBOL, "ETHUSD")
    told = Teller(
        spec(Fails, symbols=both, on_failure="zero", parameters={"where": "on_start"}),
        signals=before,
    )
    told.join()
    assert told.said == ["Fails_XBTUSD-ETHUSD_1 XBTUSD +0"]
    assert told.signals[0].reason.startswith("failed: on_start: ZeroDivisionError")


def test_stop_start_and_stop_again():
    """A stopped strategy is called no more; started again it begins from the beginning."""
    told = Teller(spec(Follows))
    told.join()
    told.trade(100)
    told.trade(101)
    told.runner.stop("one", "by hand")
    told.trade(90)
    assert told.strengths == [1]
    with pytest.raises(Refused, match="does not run: it is stopped"):
        told.runner.stop("one")
    told.runner.start("one")
    told.runner.drain()
    with pytest.raises(Refused, match="running already"):
        told.runner.start("one")
    told.trade(80)
    told.runner.stop("Follows_XBTUSD_1", "again", zero=True)
    assert told.strengths == [1, -1, 0]
    assert [change.state for change in told.changes] == ["running", "stopped"] * 2
    with pytest.raises(NotFound, match="there is no strategy 'three'"):
        told.runner.stop("three")


def test_who_looks_back_further_than_the_others_waits_for_the_rest():
    """A history that was read for others, with fewer bars, is not the one that was asked for."""
    told = Teller(spec(Diary, bar="1s"))
    told.join([100] * 3, bars={SECOND_US: 0})
    told.runner.adopt(spec(LooksBack, "two", bar="1s"))
    told.runner.start("two")
    told.runner.drain()
    assert told.state("two") == "waiting"
    told.take(Lost("more is wanted"))
    told.join([100] * 3, bars={SECOND_US: 3})
    assert told.state("two") == "running"


def test_instances_come_and_go_while_the_others_run():
    """A new one sees what it said before; one that is dropped is heard of no more."""
    told = Teller(spec(Follows))
    told.join()
    before = Signal(strategy="Says_ETHUSD_1", symbol="ETHUSD", strength=Decimal(3))
    told.runner.adopt(spec(Says, "two", symbols=("ETHUSD",), parameters={"what": 1}), [before])
    assert told.state("two") == "off"
    told.runner.start("two")
    told.runner.drain()
    assert told.state("two") == "waiting"  # of its symbol nothing is known yet
    told.take(Lost("more is wanted"))
    told.join()
    assert told.state("two") == "running"
    assert dict(told.runner.instance("two").strategy.signals) == {"ETHUSD": before}
    told.trade(100)
    told.runner.drop("Follows_XBTUSD_1")
    told.trade(101)
    assert (told.signals, list(told.runner.instances)) == ([], ["Says_ETHUSD_1"])
    assert [change.strategy for change in told.changes] == ["Follows_XBTUSD_1", "Says_ETHUSD_1"]


class Guest(Strategy):
    """Has the key of somebody else's door."""

    api_token: str = "canary"
    hosts: tuple[dict[str, str], ...] = ({"password": "canary", "name": "a"},)
    size: int = 2


def test_a_secret_of_a_strategy_is_neither_shown_nor_recorded():
    """It works with it; the journal and those who look are given the other parameters."""
    told = Teller(spec(Guest))
    told.join()
    assert told.runner.instance(spec(Guest).identifier).strategy.api_token == "canary"
    hidden = {"api_token": MASK, "hosts": [{"password": MASK, "name": "a"}], "size": 2}
    assert json.loads(told.changes[-1].parameters) == hidden
    assert json.loads(told.runner.table()[0]["parameters"]) == hidden


class Chatter(Guest):
    """Says its key whenever it may."""

    after: int = 0

    def on_start(self):
        self.warn(f"my key is {self.api_token}")
        self.signal(SYMBOL, 1, f"{self.api_token} and {self.hosts[0]['password']} say so")

    def on_tick(self, tick):
        raise ValueError("x" * self.after + f"no entry with {self.api_token}")


@pytest.mark.parametrize("after", [0, 360])
def test_a_secret_that_a_strategy_says_is_masked_before_anybody_hears_it(after):
    """In its reasons, its lines and its last words: all of them are recorded."""
    hosts = [{"password": "canary", "name": "a"}]
    chatter = spec(Chatter, parameters={"api_token": "canary-long", "hosts": hosts, "after": after})
    told = Teller(chatter)
    told.join()
    told.trade(100)
    assert [signal.reason for signal in told.signals] == [f"{MASK} and {MASK} say so"]
    assert told.warnings == [f"my key is {MASK}"]
    failed = told.changes[-1]
    assert (failed.state, MASK[:5] in failed.detail) == ("failed", True)
    assert "canary" not in repr((told.changes, told.warnings, told.signals, told.runner.table()))


def test_a_secret_that_is_of_the_wrong_kind_is_not_told_with_the_error():
    """What was written for it may be the key all the same."""
    told = Teller(
        spec(Guest, "a", parameters={"api_token": 12345}),
        spec(Guest, "b", number=2, parameters={"hosts": {"password": "ca"}}),
    )
    told.join()
    assert [change.state for change in told.changes] == ["failed", "failed"]
    assert not [one for one in ("12345", "'ca'") if one in repr(told.changes)]


def test_other_parameters_are_those_of_the_next_life():
    """A table that has changed changes nothing by itself; started afresh, it is in force."""
    told = Teller(spec(Follows))
    told.join()
    told.close(100, 101)
    told.runner.adopt(spec(Follows, "renamed", parameters={"size": 3}))
    told.close(102)
    told.runner.restart("renamed")
    told.runner.drain()
    told.close(103, 104)
    assert told.opinions == [1, 3]
    assert [change.state for change in told.changes] == ["running", "running"]
    told.runner.restart("renamed", zero=True)
    assert told.opinions == [1, 3, 0]


def test_code_that_was_written_anew_is_not_taken_and_that_is_told(tmp_path, monkeypatch):
    """Whoever corrects a file and restarts the strategy must not believe that the new one runs."""
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "written_by_me.py"
    file.write_text("from reconciler.strategy import Strategy\nclass Mine(Strategy): pass\n")
    told = Teller(spec("written_by_me:Mine"))
    told.runner.restart("one")
    told.runner.drain()
    assert told.warnings == []
    os.utime(file, ns=(1, 1))
    told.runner.restart("one")
    told.runner.drain()
    (warning,) = told.warnings
    assert warning.startswith(f"{file} was written anew")


def test_a_call_that_was_due_is_dropped_when_its_strategy_stops():
    """Between what is due and what is carried out, a person may have said no."""
    told = Teller(spec(Follows))
    told.join()
    told.trade(100)
    told.now_us += 1
    told.runner.take(Trade(SYMBOL, Decimal(101), 1, 1, told.now_us))
    told.runner.stop("one")
    assert told.runner.next_call() is None
    assert told.signals == []


def test_what_was_said_in_a_call_that_was_overtaken_counts_for_nothing():
    """Whoever stops a strategy while its callback runs does not hear of it afterwards."""
    told = Teller(spec(Follows))
    told.join()
    told.trade(100)
    told.now_us += 1
    told.runner.take(Trade(SYMBOL, Decimal(101), 100, 1, told.now_us))
    call = told.runner.next_call()
    outcome = told.runner.carry_out(call)
    told.runner.stop("one")
    told.runner.start("one")
    told.runner.finish(call, outcome)
    told.runner.drain()
    assert (told.signals, told.state()) == ([], "running")


def test_a_failure_of_an_earlier_life_is_not_one_of_this():
    """Started anew while an old callback was under way: how that one ends is nobody's business."""
    told = Teller(spec(Fails, parameters={"where": "on_tick"}))
    told.join()
    told.runner.start("one")
    told.runner.drain()
    told.runner.take(Trade(SYMBOL, Decimal(101), 100, 1, told.now_us))
    call = told.runner.next_call()
    outcome = told.runner.carry_out(call)
    told.runner.stop("one")
    told.runner.start("one")
    told.runner.finish(call, outcome)
    assert isinstance(outcome.error, ZeroDivisionError)
    assert told.state() == "waiting"


def test_who_is_stopped_before_it_was_loaded_holds_nobody_up():
    """The market is asked for once nobody is to be loaded any more, however it came to that."""
    for order in ("ab", "ba"):
        told = Teller(spec(Follows, "a"), spec(Diary, "b"), start=False)
        loaded = []
        told.runner._on_loaded = lambda loaded=loaded: loaded.append(len(loaded))
        for name in order:
            told.runner.start(name)
        first = told.runner.next_call()
        told.runner.finish(first, told.runner.carry_out(first))
        assert loaded == []
        told.runner.stop(order[1])
        assert loaded == [0]
        told.runner.drain()
        assert loaded == [0]


class NeedsOne(Strategy):
    length: int
    name: str = "x"


class Meddles(Strategy):
    low: int = 1
    high: int = 2

    def check(self):
        if self.low > self.high:
            raise ValueError("low must not be above high")


class Broken(Strategy):
    odd: Nothing = 1  # noqa: F821


class NoNeeds(Strategy):
    def needs(self):
        return None


class OddBar(Strategy):
    def needs(self):
        return Needs(bars=("15x",))


class Wants(Strategy):
    """Needs what it is told to need."""

    back: object = 0
    table: str = "book"

    def needs(self):
        return Needs(self.back, (self.table,))


class Awaits(Strategy):
    async def on_tick(self, tick):
        self.signal(SYMBOL, 1)


class Named(Strategy):
    symbols: tuple[str, ...] = ("ETHUSD",)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (spec(Wants, parameters={"back": "9"}), "load: ValueError: look_back is 9; it must be"),
        (spec(Wants, parameters={"back": -1}), "load: ValueError: look_back is -1; it must be"),
        (spec(Wants, parameters={"back": 10**6}), "it must be a whole number to 100,000"),
        (
            spec(Wants, parameters={"table": "order"}),
            "load: ValueError: no market data is called 'order': there are book, book25, book10,",
        ),
        (spec(Awaits), "Awaits_XBTUSD_1: on_tick must be def, not async def: nobody awaits it"),
        (spec(Named), "Named: 'symbols' is given to it, and is no parameter"),
        (spec(NeedsOne), "NeedsOne_XBTUSD_1: the parameter 'length' is missing"),
        (
            spec(NeedsOne, parameters={"lenght": 3}),
            "NeedsOne_XBTUSD_1: 'lenght' is no parameter; known are: length, name",
        ),
        (
            spec(NeedsOne, parameters={"length": "3"}),
            "NeedsOne_XBTUSD_1: length = '3': expected `int`, got `str`",
        ),
        (
            spec(NeedsOne, parameters={"length": Decimal("3.5")}),
            "NeedsOne_XBTUSD_1: length = '3.5': expected `int`, got `decimal`",
        ),
        (
            spec(NeedsOne, parameters={"length": True}),
            "NeedsOne_XBTUSD_1: length = 'True': expected `int`, got `bool`",
        ),
        (
            spec("buy_and_hold", parameters={"strength": Decimal("NaN")}),
            "BuyAndHold_XBTUSD_1: strength = NaN: must be finite",
        ),
        (
            spec("buy_and_hold", parameters={"strength": 1_000_001}),
            "BuyAndHold_XBTUSD_1: strength = 1000001: must be <= 1000000",
        ),
        (
            spec("ema_cross", bar="1s", parameters={"strength": 0}),
            "EmaCross_XBTUSD_1s_1: strength = 0: must be > 0",
        ),
        (spec(Follows, parameters={"size": Decimal("inf")}), "size = Infinity: must be finite"),
        (spec(Meddles, parameters={"low": 3}), "Meddles_XBTUSD_1: low must not be above high"),
        (spec(Broken), "Broken: an annotation is not understood: name 'Nothing' is not defined"),
        (spec(NoNeeds), "load: TypeError: needs() gave a NoneType, not Needs"),
        (spec(OddBar), "load: ValueError: a bar is as long as"),
        (
            spec("tests.strategy.no_such:Thing"),
            "tests.strategy.no_such cannot be imported: ModuleNotFoundError: No module named",
        ),
        (spec("tests.strategy.test_runner:Nobody"), "has no strategy 'Nobody'"),
        (spec("tests.strategy.test_runner:spec"), "has no strategy 'spec'"),
        (
            spec("ema_cross", bar="1s", parameters={"fast": 9, "slow": 9}),
            "EmaCross_XBTUSD_1s_1: fast = 9 must be below slow = 9",
        ),
        (spec("ema_cross"), 'EmaCross_XBTUSD_1: bar is missing: write bar = "15s"'),
        (spec("ema_cross", bar="1s", parameters={"fast": 0}), "fast = '0': expected `int` >= 1"),
    ],
)
def test_what_cannot_be_loaded_is_told_and_hurts_nobody_else(one, said):
    """A wrong parameter, a module that is not there, a class that is none: a clear sentence."""
    told = Teller(one, spec(Diary, "good"))
    told.join()
    assert [change.state for change in told.changes] == ["failed", "running"]
    assert said in told.changes[0].detail
    assert told.state("good") == "running"


def test_identifiers_are_stable_and_unique():
    """Class, symbols, bar and number make the name; two of one name are refused."""
    assert Spec(name="x", kind="ema_cross", symbols=("XBTUSD",), bar="15s").identifier == (
        "EmaCross_XBTUSD_15s_1"
    )
    both = Spec(name="y", kind="my.own:Pair", symbols=("XBTUSD", "ETHUSD"), number=2)
    assert both.identifier == "Pair_XBTUSD-ETHUSD_2"
    with pytest.raises(
        ConfigError, match=r"strategy.one and strategy.two are both Follows_XBTUSD_1"
    ):
        check_distinct([spec(Follows), spec(Follows, "two")])
    check_distinct([spec(Follows), spec(Follows, "two", number=2)])
    check_distinct([spec(Follows, "Follows_XBTUSD_1")])
    with pytest.raises(ConfigError, match=r"is the identifier of strategy\.two"):
        check_distinct([spec(Follows, "Follows_XBTUSD_2"), spec(Follows, "two", number=2)])
    with pytest.raises(ConfigError, match="'nothing' is no strategy"):
        load("nothing")


def test_entry_points_are_found(monkeypatch):
    """A package of somebody else's may bring strategies, by name."""
    from importlib.metadata import EntryPoint

    from reconciler.strategy import registry

    def points(group):
        assert group == "reconciler.strategies"
        return [EntryPoint("diary", "tests.strategy.test_runner:Diary", group)]

    monkeypatch.setattr(registry, "entry_points", points)
    assert spec("diary").identifier == "Diary_XBTUSD_1"
    assert registry.load("diary").__name__ == "Diary"
    with pytest.raises(ConfigError, match="diary, or module:Class"):
        registry.load("dairy")


def walk(seed: int, steps: int = 300) -> list[str]:
    """Signals of several strategies on a walk."""
    rng, price = Rng(seed), 10_000
    told = Teller(
        spec("ema_cross", "a", bar="1s", parameters={"fast": 2, "slow": 5}),
        spec("ema_cross", "b", bar="1s", number=2, parameters={"fast": 3, "slow": 9}),
        spec("random", "c", parameters={"every_s": 7}),
        spec(Follows, "d"),
    )
    told.join([10_000] * 20)
    for _ in range(steps):
        price += rng.randint(-20, 20)
        told.trade(price)
        if rng.random() < 0.5:
            told.wait()
    return [f"{line} {signal.reason}" for line, signal in zip(told.said, told.signals, strict=True)]


def test_the_same_market_gives_the_same_signals():
    """Nothing but the market, the time and the seed has a say."""
    assert walk(3) == walk(3)
    assert walk(3) != walk(4)
    assert {line.split()[0] for line in walk(3)} == {
        "EmaCross_XBTUSD_1s_1", "EmaCross_XBTUSD_1s_2", "Random_XBTUSD_1", "Follows_XBTUSD_1"
    }  # fmt: skip
