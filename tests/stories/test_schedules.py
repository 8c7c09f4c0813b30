"""Stories of schedules: what is refused at once, what comes due when, what counts after a gap."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core import events as e
from reconciler.core.ledger import NEVER_US, Ledger
from reconciler.core.settings import Limits, Settings
from reconciler.core.targets import schedules
from reconciler.core.targets.schedules import Entry
from reconciler.errors import (
    LimitExceeded,
    NotALot,
    ReconcilerError,
    Refused,
    UnknownSymbol,
    UsageError,
)
from reconciler.service.door import TargetRequest
from reconciler.service.targeting import forget, set_target
from tests.stories.teller import START_US, SYMBOL, Teller, canonical, check_replay

SETTINGS = Settings(symbols=("ETHUSD", SYMBOL), limits=Limits(max_position_contracts=1_000))
SECOND = 1_000_000


def at(seconds: int, contracts: int, symbol: str = SYMBOL, **more: object) -> Entry:
    """A row that is due so many seconds after the start."""
    return row(symbol, contracts, at_us=START_US + seconds * SECOND, **more)


def row(symbol: str, contracts: int, **more: object) -> Entry:
    words = {"at_us": None, "name": "", "after": "", "delay_us": None, "policy": "", "reason": ""}
    return Entry(symbol=symbol, contracts=contracts, **words | more)  # type: ignore[arg-type]


def after(other: str, **more: object) -> Entry:
    """A row that is due a moment after another."""
    return row(SYMBOL, 1, after=other, delay_us=1, **more)


class Timetable:
    """A ledger that is kept by the clock, as the service keeps it."""

    def __init__(self, settings: Settings = SETTINGS, lot: int = 1) -> None:
        self.teller = Teller(settings, lot=lot)

    def set(self, *rows: Entry, name: str = "day", reason: str = "plan") -> e.ScheduleSet:
        now_us = self.teller.now_us
        event = schedules.accept(self.ledger, name, rows, "desk", reason, now_us)
        self.teller.event(event)
        return event

    @property
    def ledger(self) -> Ledger:
        return self.teller.ledger

    @property
    def now(self) -> tuple[int, Ledger]:
        return self.teller.now_us, self.ledger

    def wait(self, seconds: int) -> list[str]:
        """Time passes; each row has its turn when it is due."""
        end_us = self.teller.now_us + seconds * SECOND
        said: list[str] = []
        while (due_us := schedules.next_due_us(self.ledger)) <= end_us:
            self.teller.wait(max(0, due_us - self.teller.now_us) // 1000)
            said += self.look()
        self.teller.wait((end_us - self.teller.now_us) // 1000)
        return said

    def look(self) -> list[str]:
        """What the service does whenever a row is due."""
        said: list[str] = []
        while (event := schedules.next_event(self.ledger, self.teller.now_us)) is not None:
            self.teller.event(event)
            said.append(in_words(event))
        return said

    def down(self, seconds: int) -> list[str]:
        """Nobody runs for a while; then a new run begins, and looks."""
        self.teller.now_us += seconds * SECOND
        self.teller.start()
        return self.look()

    def target(self, symbol: str = SYMBOL) -> int | None:
        target = self.ledger.book(symbol).target
        return target.contracts if target is not None else None


def in_words(event: e.TargetSet | e.TargetRefused) -> str:
    if isinstance(event, e.TargetSet):
        return f"{event.schedule} {event.symbol} {event.contracts:+d}"
    return f"{event.schedule} {event.code}"


def test_each_row_becomes_a_target_when_it_is_due() -> None:
    """Not before, and once; the target names its row, who planned it and why."""
    table = Timetable()
    table.set(at(10, 100, reason="open"), at(20, -50), at(20, 7, "ETHUSD"))
    assert table.wait(9) == []
    assert table.wait(1) == ["day/0 XBTUSD +100"]
    assert table.wait(60) == ["day/1 XBTUSD -50", "day/2 ETHUSD +7"]
    sets = [event for event, _ in table.teller.history if isinstance(event, e.TargetSet)]
    assert [(s.version, s.source, s.reason) for s in sets] == [
        (1, "desk", "open"), (2, "desk", "plan"), (1, "desk", "plan"),
    ]  # fmt: skip
    assert schedules.next_due_us(table.ledger) == NEVER_US
    check_replay(table.teller)


def test_a_row_may_come_after_another() -> None:
    """By name, also one that is relative itself."""
    table = Timetable()
    hour_us = 3_600 * SECOND
    made = table.set(
        at(10, 100, name="open"),
        row(SYMBOL, 200, name="more", after="open", delay_us=hour_us),
        row(SYMBOL, 0, after="more", delay_us=hour_us),
    )
    assert [r.due_us - START_US for r in made.rows] == [
        10 * SECOND, 10 * SECOND + hour_us, 10 * SECOND + 2 * hour_us,
    ]  # fmt: skip


def test_a_target_that_is_in_force_already_is_set_again_by_its_row() -> None:
    """The row has had its turn: a version of its own says so."""
    table = Timetable()
    table.teller.target(100)
    table.set(at(10, 100))
    table.wait(11)
    assert table.ledger.book(SYMBOL).version == 2
    assert table.ledger.schedule_done == {"day": 1}


def test_what_is_refused_when_it_is_due_is_recorded_and_the_next_row_still_comes() -> None:
    """Limits may have been lowered since: the row's refusal is its turn."""
    table = Timetable()
    table.set(at(10, 900), at(20, 200))
    lower = Settings(symbols=SETTINGS.symbols, limits=Limits(max_position_contracts=500))
    table.teller.event(e.Configured(at_us=table.teller.now_us, settings=lower))
    assert table.wait(30) == ["day/0 limit_exceeded", "day/1 XBTUSD +200"]
    refused = [event for event, _ in table.teller.history if isinstance(event, e.TargetRefused)]
    assert (refused[0].symbol, refused[0].contracts, refused[0].source) == (SYMBOL, 900, "desk")
    assert "schedule day/0: XBTUSD target +900 is above max_position_contracts" in refused[0].text


def test_of_rows_that_came_due_while_nobody_ran_the_newest_of_each_symbol_counts() -> None:
    """The others are recorded as superseded; none of them comes a second time."""
    table = Timetable()
    table.set(at(10, 100), at(20, 5, "ETHUSD"), at(30, 300), at(900, 0))
    assert table.down(60) == ["day/0 superseded", "day/1 ETHUSD +5", "day/2 XBTUSD +300"]
    assert (table.target(), table.target("ETHUSD")) == (300, 5)
    assert table.down(5) == []
    assert table.down(900) == ["day/3 XBTUSD +0"]


def test_the_newest_row_counts_across_schedules() -> None:
    """Two tables may speak of one symbol: its newest row counts, whatever their names are."""
    table = Timetable()
    table.set(at(20, 200), name="a")
    table.set(at(10, 100), name="b")
    assert table.down(60) == ["b/0 superseded", "a/0 XBTUSD +200"]


def test_a_row_from_before_a_newer_target_is_no_news() -> None:
    """A person set one while nobody kept the timetable: that is newer than the row."""
    table = Timetable()
    table.set(at(10, 100), at(900, 300))
    table.teller.now_us += 60 * SECOND
    table.teller.target(-5)
    assert table.look() == ["day/0 superseded"]
    assert table.target() == -5
    assert table.wait(900) == ["day/1 XBTUSD +300"]


def test_who_said_the_same_again_or_forgot_it_is_newer_than_a_row_from_before() -> None:
    """Zero, said again after the row was due, is no news and means zero; forgotten is forgotten."""
    table = Timetable()
    table.teller.target(0)
    table.set(at(5, 10, "ETHUSD"), at(10, 100), at(900, 300))
    table.teller.now_us += 60 * SECOND
    said = set_target(TargetRequest(symbol=SYMBOL, contracts=0), "hold", *table.now)[0]
    assert [type(event).__name__ for event in said] == ["TargetSet"]
    table.teller.event(said[0])
    assert table.look() == ["day/0 ETHUSD +10", "day/1 superseded"]
    assert set_target(TargetRequest(symbol=SYMBOL, contracts=0), "hold", *table.now)[0] == []
    table.teller.now_us += 900 * SECOND
    table.teller.event(forget(table.ledger, SYMBOL, "me", "", table.teller.now_us)[0][0])
    assert table.look() == ["day/2 superseded"]
    assert table.target() is None
    table.teller.target(0)
    assert set_target(TargetRequest(symbol=SYMBOL, contracts=0), "hold", *table.now)[0] == []


def test_a_target_of_the_very_moment_is_no_newer_than_the_row() -> None:
    """The table is a promise: only what came after it was due takes it back."""
    table = Timetable()
    table.set(at(10, 100))
    table.teller.now_us += 10 * SECOND
    table.teller.target(-5)
    assert table.look() == ["day/0 XBTUSD +100"]


def test_a_crash_before_the_commit_gives_the_row_its_turn_again_and_after_it_never() -> None:
    """The event that the row becomes is what marks it done: there is no moment in between."""
    table = Timetable()
    table.set(at(10, 100))
    table.teller.now_us += 10 * SECOND
    lost = schedules.next_event(table.ledger, table.teller.now_us)
    assert lost == schedules.next_event(table.ledger, table.teller.now_us)  # it was not committed
    assert table.down(0) == ["day/0 XBTUSD +100"]
    assert table.down(0) == []


def test_a_stop_leaves_what_comes_due_to_the_next_run() -> None:
    """Nothing is decided any more, and the loop is not woken for it either."""
    table = Timetable()
    table.set(at(10, 100))
    table.teller.do(["stop"])
    assert schedules.next_due_us(table.ledger) == NEVER_US
    assert table.wait(20) == []
    table.teller.now_us += 20 * SECOND
    assert table.look() == []
    assert table.down(1) == ["day/0 XBTUSD +100"]


def test_another_schedule_of_that_name_replaces_it_and_an_empty_one_removes_it() -> None:
    """Whole: nothing of the old one comes due any more."""
    table = Timetable()
    table.set(at(10, 100), at(20, 200))
    table.wait(15)
    table.set(at(30, 300))
    assert table.wait(20) == ["day/0 XBTUSD +300"]
    table.set(at(60, 400))
    table.set()
    assert table.wait(60) == []
    assert (table.ledger.schedules, table.ledger.schedule_done) == ({}, {})


def test_a_row_of_a_schedule_that_is_gone_marks_nothing_done() -> None:
    """An old journal's event is folded all the same."""
    teller = Teller()
    teller.target(100, schedule="gone/3")
    assert teller.ledger.schedule_done == {}


REFUSALS: tuple[tuple[tuple[Entry, ...], type[ReconcilerError], str], ...] = (
    ((at(-5, 100),), Refused, "row 0: XBTUSD +100 would have been due 5 s ago"),
    ((at(0, 100),), Refused, "row 0: XBTUSD +100 would have been due 0 s ago"),
    ((at(37_000 * 86_400, 1),), Refused, "row 0 would be due more than a hundred years from now"),
    ((at(10, 100), at(9, 200)), Refused, "row 1 is due before row 0: put the rows in order"),
    ((at(10, 100), at(10, 200)), Refused, "row 1: XBTUSD has another target at the same moment"),
    (
        (after("b", name="a"), after("a", name="b")),
        Refused,
        "goes in a circle: a after b after a",
    ),
    (
        (row(SYMBOL, 0, after="a", delay_us=5), after("b", name="a"), after("a", name="b")),
        Refused,
        "goes in a circle: row 0 after a after b after a",
    ),
    ((after("a", name="a"),), Refused, "in a circle: a after a"),
    (
        (at(5, 1, name="x"), after("b"), at(9, 1, name="b"), at(10, 1, name="b")),
        Refused,
        "two rows are called 'b'",
    ),
    ((at(5, 1), row(SYMBOL, 1, after="b", delay_us=1)), Refused, "row 1 comes after 'b', and no"),
    ((row(SYMBOL, 1),), UsageError, "row 0: say either at, or after and by"),
    ((at(5, 1, after="a", delay_us=1, name="a"),), UsageError, "row 0: say either at, or after"),
    ((at(5, 1, after="a", name="a"),), UsageError, "row 0: say either at, or after"),
    ((at(5, 1, delay_us=5),), UsageError, "row 0: say either at, or after and by"),
    ((at(5, 1, name="a"), row(SYMBOL, 1, after="a", delay_us=-1)), UsageError, "row 1: say either"),
    ((at(5, 100), at(6, 1, "DOGE")), UnknownSymbol, "row 1: 'DOGE' is not one of the configured"),
    ((at(5, 100, policy="brave"),), Refused, "row 0: no policy is called 'brave'"),
    ((at(5, 100, reason="x" * 501),), UsageError, "row 0: reason has 501 characters"),
    ((at(5, 150),), NotALot, "row 0: XBTUSD target +150 is not a whole multiple"),
    ((at(5, -1_100),), LimitExceeded, "row 0: XBTUSD target -1100 is above max_position"),
    (tuple(at(n, 100) for n in range(1, 1_002)), Refused, "has 1001 rows; at most 1000"),
)


@pytest.mark.parametrize(("rows", "error", "says"), REFUSALS, ids=[r[2] for r in REFUSALS])
def test_a_schedule_that_cannot_be_is_refused_whole_and_the_old_one_stays(
    rows: tuple[Entry, ...], error: type[ReconcilerError], says: str
) -> None:
    """With the number of the row and the rule; the previous one of that name goes on."""
    table = Timetable(lot=100)
    table.set(at(50, 500))
    before = canonical(table.ledger)
    with pytest.raises(error, match=re.escape(says)) as refused:
        table.set(*rows)
    assert type(refused.value) is error
    assert str(refused.value).startswith("schedule day")
    assert canonical(table.ledger) == before
    assert table.wait(60) == ["day/0 XBTUSD +500"]


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 61, "..", "-a", "é"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """It is part of what an order leads back to, and of a path."""
    with pytest.raises(UsageError, match="is no name of a schedule"):
        Timetable().set(at(5, 1), name=name)


def test_schedules_are_few() -> None:
    """What a ledger remembers is bounded; one that is there can still be changed and removed."""
    table = Timetable()
    for number in range(schedules.MOST_SCHEDULES):
        table.set(at(500, 1), name=f"s{number}")
    with pytest.raises(Refused, match="there are 50 schedules already"):
        table.set(at(500, 1), name="more")
    table.set(at(600, 1), name="s7")
    table.set(name="s7")
    table.set(at(600, 1), name="more")


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 40), st.integers(-9, 9), st.sampled_from(SETTINGS.symbols)),
        min_size=1,
        max_size=12,
        unique_by=lambda row: (row[0], row[2]),
    ),
    gaps=st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=8),
)
def test_each_row_has_one_turn_and_the_newest_that_is_due_is_in_force(
    rows: list[tuple[int, int, str]], gaps: list[tuple[int, bool]]
) -> None:
    """Whatever stands still and starts again: a row is set or superseded, once, in order."""
    table = Timetable()
    planned = sorted(rows, key=lambda planned: planned[0])
    table.set(*(at(due, contracts, symbol) for due, contracts, symbol in planned))
    turns: list[str] = []
    for seconds, is_down in (*gaps, (60, False)):
        turns += table.down(seconds) if is_down else table.wait(seconds)
        now_s = (table.teller.now_us - START_US) // SECOND
        for symbol in SETTINGS.symbols:
            past = [contracts for due, contracts, of in planned if due <= now_s and of == symbol]
            assert table.target(symbol) == (past[-1] if past else None)
    assert [turn.split()[0] for turn in turns] == [f"day/{n}" for n in range(len(planned))]
    check_replay(table.teller)


def test_a_schedule_that_is_one_long_chain_holds_nobody_up() -> None:
    """Each row after the one before: orders wait while it is checked, so it may take no second."""
    chain = [
        row(SYMBOL, n % 7, name=f"n{n}", after=f"n{n - 1}", delay_us=SECOND)
        for n in range(1, schedules.MOST_ROWS)
    ]
    table, began_s = Timetable(), time.process_time()
    made = table.set(at(5, 1, name="n0"), *chain)
    assert time.process_time() - began_s < 1
    assert [one.due_us for one in made.rows] == [
        START_US + (5 + n) * SECOND for n in range(schedules.MOST_ROWS)
    ]
