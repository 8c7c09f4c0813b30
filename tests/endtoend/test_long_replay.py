"""A journal of 100,000 events, made by the real core, engine and journal, and replayed."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from reconciler.core import events as e
from reconciler.journal import Journal, replay
from reconciler.service.engine import Engine
from tests.endtoend.echo import START_US, SYMBOLS, EchoVenue

pytestmark = pytest.mark.slow

EVENTS = 100_000


def long_journal(path: Path) -> None:
    """Make a closed journal of at least EVENTS rows: targets, orders, fills, ticks, audits."""
    rng = random.Random(11)
    with Journal.open(path, account="main", durability="process") as journal:
        venue = EchoVenue()
        engine = Engine(journal.recover().ledger, journal, lambda: venue.now_us)
        engine.venue = venue
        engine.handle(venue.opening())
        versions = dict.fromkeys(SYMBOLS, 0)
        while journal.last_seq < EVENTS:
            venue.now_us += rng.randrange(1_000, 3_000_000)
            if engine.ledger.next_wake_us() <= venue.now_us:
                engine.handle([e.Tick(at_us=venue.now_us)])
            if (venue.now_us - START_US) // 60_000_000 % 2:
                engine.handle([e.ClockMeasured(at_us=venue.now_us, offset_us=0, error_us=1000)])
            symbol = rng.choice(SYMBOLS)
            versions[symbol] += 1
            engine.handle(
                [
                    e.ClockMeasured(at_us=venue.now_us, offset_us=0, error_us=1000),
                    e.TargetSet(
                        at_us=venue.now_us,
                        symbol=symbol,
                        contracts=rng.randint(-500, 500),
                        version=versions[symbol],
                        source="test",
                    ),
                ]
            )
            engine.snapshot_if_due()
        journal.close(engine.ledger)


EDITS = {
    "journal": "update journal set event = replace(event, '\"contracts\":', '\"contracts\":1')",
    "fills": "update fills set contracts = contracts + 1",
    "transitions": "update transitions set to_state = 'working'",
    "intents": "update intents set contracts = contracts + 1",
}


def test_a_long_life_replays_and_an_edited_row_is_named(tmp_path: Path) -> None:
    """
    Every transition, fill and intent of 100,000 events follows from them again, and whoever
    changes one row past the triggers is found out by its seq.
    """
    path = tmp_path / "life" / "journal.db"
    long_journal(path)
    report = replay(path)
    assert report.difference is None, str(report.difference)
    assert report.events >= EVENTS
    assert report.decisions > EVENTS // 20
    assert report.rows > EVENTS // 2
    for table, edit in EDITS.items():
        copy = tmp_path / table / "journal.db"
        copy.parent.mkdir(mode=0o700)
        shutil.copy(path, copy)
        seq = edit_one_row(copy, table, edit)
        found = replay(copy).difference
        assert found is not None, f"the edit of {table} at {seq} was not found"
        assert found.seq == seq, str(found)


def edit_one_row(path: Path, table: str, edit: str) -> int:
    """Change a row in the middle of the history, as somebody with a database tool would."""
    db = sqlite3.connect(path)
    where = {"journal": " and kind = 'targetset'", "transitions": " and to_state <> 'working'"}
    (seq,) = db.execute(
        f"select seq from {table} where seq > 20000{where.get(table, '')} order by seq limit 1"
    ).fetchone()
    for (trigger,) in db.execute(
        "select name from sqlite_master where type = 'trigger'"
    ).fetchall():
        db.execute(f"drop trigger {trigger}")
    with db:
        db.execute(f"{edit} where seq = {seq}")
    db.close()
    return int(seq)
