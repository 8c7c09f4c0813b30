"""Which process runs a strategy: one at a time, and a dead one not for long."""

from __future__ import annotations

import pytest

from reconciler.core.events import StrategyChanged
from reconciler.core.ledger import Ledger
from reconciler.errors import AlreadyRuns, Refused
from reconciler.service.leases import FORGET_US, GRACE_US, LEASE_US, Leases
from reconciler.service.standing import GONE

NAME = "Far_XBTUSD_1"


class Clock:
    now_us = 1_790_000_000_000_000

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(clock: Clock) -> Leases:
    return Leases(clock)


def ledger(state: str = "running", detail: str = "") -> Ledger:
    said = StrategyChanged(at_us=1, strategy=NAME, state=state, detail=detail, parameters="{}")
    return Ledger(strategies={NAME: said})


def test_a_second_process_is_refused_as_long_as_the_first_is_heard_of(leases, clock) -> None:
    """It is told who has the name; of another name there is no question."""
    for _ in range(3):
        leases.hold(NAME, "a", "here pid 1")
        with pytest.raises(AlreadyRuns, match=r"is run by here pid 1"):
            leases.hold(NAME, "b", "here pid 2")
        clock.now_us += LEASE_US - 1
    leases.hold("Other_XBTUSD_1", "b")


def test_the_name_of_a_dead_one_is_free_after_five_seconds(leases, clock) -> None:
    """And the dead one, if it was only asleep, finds that its place was taken."""
    leases.hold(NAME, "a")
    clock.now_us += LEASE_US
    leases.hold(NAME, "b")
    with pytest.raises(AlreadyRuns):
        leases.hold(NAME, "a")
    leases.free(NAME, "a")  # not its own any more
    with pytest.raises(AlreadyRuns):
        leases.hold(NAME, "a")
    leases.free(NAME, "b")
    leases.hold(NAME, "a")


def test_a_process_that_is_not_heard_of_is_told_once_and_so_is_its_return(leases, clock) -> None:
    """Nobody says so when a process is killed: the service finds out, and it is an incident."""
    books = ledger()
    leases.hold(NAME, "a", "here pid 1")
    leases.hold(NAME, "a")
    assert leases.changes(books, [NAME]) == []
    clock.now_us += LEASE_US
    (lost,) = leases.changes(books, [NAME])
    assert (lost.state, lost.parameters) == ("failed", "{}")
    assert lost.detail == "nothing is heard of its process (here pid 1); its last signals hold"
    books.strategies[NAME] = lost
    assert leases.changes(books, [NAME]) == []
    leases.hold(NAME, "a")
    (back,) = leases.changes(books, [NAME])
    assert back.state == "running"
    books.strategies[NAME] = back
    assert leases.changes(books, [NAME]) == []


def test_after_a_start_of_the_service_there_is_time_for_a_first_word(leases, clock) -> None:
    """What is in the journal as running, and is not, is found out half a minute later."""
    assert leases.changes(ledger(), [NAME]) == []
    clock.now_us += GRACE_US
    assert [one.state for one in leases.changes(ledger(), [NAME])] == ["failed"]
    assert leases.changes(ledger(), []) == []  # of one that reports by itself nothing is known
    assert leases.changes(Ledger(), [NAME]) == []


def test_one_that_no_table_names_is_back_when_it_is_heard_of_again(leases, clock) -> None:
    """A program of one's own, a portfolio's source, is told of as any other."""
    leases.hold(NAME, "a")
    clock.now_us += LEASE_US
    books = ledger()
    (books.strategies[NAME],) = leases.changes(books, [])
    leases.hold(NAME, "a")
    assert [one.state for one in leases.changes(books, [])] == ["running"]


def test_a_process_that_had_a_name_says_nothing_of_one_that_the_service_runs(leases, clock) -> None:
    """Its table says otherwise now; that the process has gone is no failure of what runs here."""
    leases.hold(NAME, "a")
    clock.now_us += LEASE_US
    assert leases.changes(ledger(), [], [NAME]) == []


def test_what_was_long_on_its_way_is_refused_once_something_newer_was_said(leases, clock) -> None:
    """A broken network keeps bytes for a minute: they must not take back what came round it."""
    leases.hold(NAME, "a", "here", 1)
    leases.hold(NAME, "a", "here", 3)
    leases.hold(NAME, "a")  # a word without a number: that it is there
    for old in (1, 3):
        with pytest.raises(Refused, match="has said something newer"):
            leases.hold(NAME, "a", number=old)
    clock.now_us += LEASE_US
    leases.hold(NAME, "b", number=1)  # another one counts by itself


def test_names_that_nobody_holds_any_more_are_forgotten(leases, clock) -> None:
    """An hour after they ran out: whoever thinks of new names all day fills no memory."""
    leases.hold(NAME, "a")
    clock.now_us += LEASE_US + FORGET_US
    leases.hold("Other_XBTUSD_1", "a")
    assert list(leases._held) == ["Other_XBTUSD_1"]


def test_what_it_said_of_itself_stands(leases, clock) -> None:
    """One that has failed, or was stopped, is not running because its process is still there."""
    leases.hold(NAME, "a")
    assert leases.changes(ledger("failed", "on_tick: ValueError"), [NAME]) == []
    assert leases.changes(ledger("stopped", "its process was ended"), [NAME]) == []
    assert leases.changes(ledger("stopped", GONE), []) == []
    assert [one.state for one in leases.changes(ledger("stopped", GONE), [NAME])] == ["running"]
