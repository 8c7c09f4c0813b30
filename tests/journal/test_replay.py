"""The replay: silent when all agrees, and exact about the first thing that does not."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest

from reconciler.core import events as e
from reconciler.journal import codec, replay
from reconciler.journal.replay import Report
from tests.journal.making import (
    T0,
    Books,
    execution,
    opened,
    place,
    started,
    step,
    stepped,
    story,
    target,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of 150 events in three runs, with a snapshot inside."""
    path, books, events = tmp_path / "journal.db", Books(), story(40, 150)
    for number, part in enumerate((events[:70], events[70:100], events[100:])):
        with opened(path) as journal:
            journal.record(stepped(books, part))
            if number == 1:
                journal.snapshot(books, logic="stub")
    return path


def again(path: Path) -> Report:
    return replay(path, step=step, shape=Books)


def meddle(path: Path, *statements: str) -> None:
    """Change the database behind its own back."""
    with sqlite3.connect(path) as db:
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in names:
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert db.execute(statement).rowcount > 0, statement
    db.close()


def test_an_honest_journal_replays_to_the_same_bytes(path: Path) -> None:
    """Decisions, rows and snapshot agree, and the hash is that of the ledger that lived it."""
    books = Books()
    decided = sum(len(decisions) for _, decisions, _ in stepped(books, story(40, 150)))
    report = again(path)
    assert report.difference is None
    assert (report.events, report.decisions) == (150, decided)
    assert report.rows > 100
    assert report.ledger_hash == codec.digest(codec.encode(books)).hex()


def test_a_replay_only_reads(path: Path) -> None:
    """Not a byte of the database changes."""
    before = path.read_bytes()
    again(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ("transitions", "trigger = 'complete'"),
        ("fills", "contracts > 0"),
        ("intents", "contracts <> 0"),
        ("positions", "contracts <> 0"),
        ("targets", "version = 2"),
    ],
)
def test_a_row_that_is_missing_is_named(path: Path, table: str, where: str) -> None:
    """Take away one row, and the first difference is its event, with what should be there."""
    key = "target_id" if table == "targets" else "seq"
    with sqlite3.connect(path) as db:
        (seq,) = db.execute(f"SELECT min({key}) FROM {table} WHERE {where}").fetchone()
    db.close()
    meddle(path, f"DELETE FROM {table} WHERE {key} = {seq}")
    difference = again(path).difference
    assert difference is not None
    assert (difference.seq, difference.what, difference.stored) == (seq, table, "")
    assert difference.computed.startswith("(")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("fills", "fee_minor = fee_minor + 1"),
        ("fills", "cl_ord_id = 'rc-other'"),
        ("transitions", "to_state = 'working'"),
        ("intents", "price = '100.0'"),
        ("positions", "contracts = contracts + 1"),
    ],
)
def test_a_row_that_differs_is_named(path: Path, table: str, change: str) -> None:
    """Change one value of one row, and the difference shows both sides."""
    with sqlite3.connect(path) as db:
        (seq,) = db.execute(f"SELECT max(seq) FROM {table}").fetchone()
    db.close()
    meddle(path, f"UPDATE {table} SET {change} WHERE seq = {seq}")
    difference = again(path).difference
    assert difference is not None
    assert (difference.seq, difference.what) == (seq, table)
    assert difference.stored != difference.computed


def test_a_row_too_many_is_named(path: Path) -> None:
    """A fill that no event led to is found, in the middle and at the end."""
    extra = (
        "INSERT INTO fills SELECT {seq}, 9, symbol, venue_order, {seq}, cl_ord_id, target_version,"
        " type, contracts, price, fee_minor, cost_minor, realised_minor, currency, maker,"
        " venue_us, position FROM fills LIMIT 1"
    )
    for seq in (150, 75):
        meddle(path, extra.format(seq=seq))
        difference = again(path).difference
        assert difference is not None
        assert (difference.seq, difference.what, difference.computed) == (seq, "fills", "")


def test_another_decision_is_named(path: Path) -> None:
    """If the core decides otherwise now, the first event on which it does is shown."""
    seen = []

    def bolder(books: Books, event: e.AnyEvent):  # type: ignore[no-untyped-def]
        decisions, facts = step(books, event)
        if isinstance(event, e.TargetSet) and decisions:
            seen.append(event)
            if len(seen) == 3:
                return [place(99, "rc-99", event.symbol, 1, event)], facts
        return decisions, facts

    difference = replay(path, step=bolder, shape=Books).difference
    assert difference is not None
    assert difference.what == "decisions"
    assert "rc-99" in difference.computed
    assert str(difference).startswith(f"event {difference.seq}, decisions: stored ")


def test_a_broken_chain_is_named(path: Path) -> None:
    """An edited event is found by its hash before anything is concluded from it."""
    meddle(path, "UPDATE journal SET event = replace(event, '00', '01') WHERE seq = 33")
    difference = again(path).difference
    assert difference is not None
    assert (difference.seq, difference.what) == (33, "chain")


def test_a_missing_event_is_named(path: Path) -> None:
    """A journal with a hole does not replay past it."""
    meddle(path, "DELETE FROM journal WHERE seq = 60")
    difference = again(path).difference
    assert difference is not None
    assert (difference.seq, difference.what) == (60, "chain")


def test_a_snapshot_of_another_ledger_is_named(path: Path) -> None:
    """A snapshot that verifies by itself but is not what the events lead to is found."""
    raw = codec.encode(Books(events=5))
    packed, digest = zlib.compress(raw).hex(), codec.digest(raw).hex()
    meddle(path, f"UPDATE snapshots SET data = x'{packed}', digest = x'{digest}'")
    difference = again(path).difference
    assert difference is not None
    assert (difference.seq, difference.what) == (100, "snapshot")
    assert '"events":5' in difference.stored


def test_the_present_is_compared_too(path: Path) -> None:
    """The row that people look at must follow from the events as well."""
    meddle(path, "UPDATE symbol_now SET position = 7 WHERE symbol = 'XBTUSD'")
    difference = again(path).difference
    assert difference is not None
    assert (difference.seq, difference.what) == (150, "symbol_now")


def test_the_real_core_replays(tmp_path: Path) -> None:
    """With nothing injected, recovery and replay use the core itself."""
    from reconciler.core.ledger import Ledger
    from reconciler.core.step import step as real

    path, ledger = tmp_path / "journal.db", Ledger()
    with opened(path) as journal:
        for event in (*story(41, 20)[:1], target("XBTUSD", 100, 1), e.Tick(at_us=9 * 10**15)):
            outcome = real(ledger, event)
            journal.record([(event, outcome.decisions, outcome.facts)])
    with opened(path) as journal:
        assert codec.encode(journal.recover().ledger) == codec.encode(ledger)
    report = replay(path)
    assert report.difference is None
    assert report.ledger_hash == codec.digest(codec.encode(ledger)).hex()


def test_an_hour_that_ends_over_a_symbol_without_a_target_is_no_difference(tmp_path: Path) -> None:
    """Time is counted each hour: up to when, is stored of every symbol for which it was."""
    path = tmp_path / "journal.db"
    events = [
        started(1),
        execution(1, "XBTUSD", 100),
        e.Tick(at_us=T0 + 2 * 3_600_000_000),
    ]
    with opened(path) as journal:
        journal.record(stepped(Books(), events))
        assert replay(path, step=step, shape=Books).difference is None
        journal.record(stepped(Books(), [e.Tick(at_us=T0 + 4 * 3_600_000_000)]))
    assert replay(path, step=step, shape=Books).difference is None
