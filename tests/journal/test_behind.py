"""A commit with an order in it leaves its tables for after the send; a crash may come between."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from reconciler.core import events as e
from reconciler.errors import ReconcilerError
from reconciler.journal import codec, replay
from tests.journal.making import (
    T0,
    Books,
    changed,
    moved,
    opened,
    place,
    recall,
    started,
    step,
    stepped,
    story,
    target,
)

EVENTS = story(91, 80)


def killed_before_its_tables(folder: Path, size: int) -> tuple[Path, int]:
    """A journal as a kill leaves it between a commit of *size* with an order and its tables."""
    whole = folder / "whole" / "journal.db"
    steps = stepped(Books(), EVENTS)
    placed = [number for number, (_, decisions, _) in enumerate(steps) if decisions]
    start = placed[4] - size // 2
    with opened(whole) as journal:
        journal.record(steps[:start])
        journal.tell()
        end = journal.record(steps[start : start + size])
        left = folder / "left"
        left.mkdir(mode=0o700)
        for file in whole.parent.iterdir():
            if file.suffix != ".lock":
                shutil.copy(file, left / file.name)
    return left / "journal.db", end


def rows_of(path: Path, order: dict[str, str]) -> dict[str, list[tuple[object, ...]]]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return {
            name: db.execute(f"SELECT * FROM {name} ORDER BY {by}").fetchall()
            for name, by in order.items()
        }
    finally:
        db.close()


TABLES = {
    "intents": "cl_ord_id", "orders": "cl_ord_id", "fills": "seq, n", "transitions": "seq, n",
    "positions": "seq, n", "targets": "target_id", "symbol_now": "symbol", "daily": "day, symbol",
    "on_target": "day, symbol", "venue_orders": "n",
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 30])
def test_a_start_tells_what_a_crash_kept_from_being_told(tmp_path: Path, size: int) -> None:
    """Killed between the send and the tables, the next start has every row of a quiet life."""
    path, end = killed_before_its_tables(tmp_path, size)
    with opened(path) as journal:
        assert journal.last_seq == end
        found = journal.recover(fold=recall, shape=Books, logic="stub")
        told = rows_of(path, TABLES)
        expected = Books()
        stepped(expected, EVENTS[:end])
        assert codec.encode(found.ledger) == codec.encode(expected)
        journal.record(stepped(expected, EVENTS[end:]))
    undisturbed = tmp_path / "undisturbed.db"
    with opened(undisturbed) as journal:
        journal.record(stepped(Books(), EVENTS[:end]))
        journal.tell()
        assert rows_of(undisturbed, TABLES) == told
    report = replay(path, step=step, shape=Books)
    assert (report.difference, report.events) == (None, len(EVENTS))


def test_what_was_not_told_is_there_as_events(tmp_path: Path) -> None:
    """Before that start the journal is whole, with every order in it, and the replay agrees."""
    path, end = killed_before_its_tables(tmp_path, 30)
    report = replay(path, step=step, shape=Books)
    assert (report.difference, report.events) == (None, end)
    found = rows_of(path, {"journal": "seq", "intents": "seq, n", "transitions": "seq, n"})
    assert len(found["journal"]) == end
    told = {row[0] for row in found["intents"]}
    decided = {
        decision.cl_ord_id
        for _, decisions, _ in stepped(Books(), EVENTS[:end])
        for decision in decisions
    }
    untold = decided - told
    assert untold
    for name in untold:
        assert any(f'"{name}"' in str(row[7]) for row in found["journal"][-30:])
    assert max(row[0] for row in found["transitions"]) <= end - 30


def test_nothing_is_recorded_over_what_was_not_told(tmp_path: Path) -> None:
    """A journal that is behind its events takes no more before it was recovered."""
    path, end = killed_before_its_tables(tmp_path, 7)
    with opened(path) as journal:
        with pytest.raises(ReconcilerError, match="recover it first"):
            journal.record(stepped(Books(), EVENTS[:1]))
        assert journal.last_seq == end


def test_the_tables_are_there_once_they_were_told(tmp_path: Path) -> None:
    """`record` alone leaves the tables of an order out; `tell`, or the next commit, writes them."""
    path = tmp_path / "journal.db"
    steps = stepped(Books(), EVENTS)
    first = next(n for n, step in enumerate(steps) if step[1])
    with opened(path) as journal:
        for number, one in enumerate(steps[: first + 1]):
            assert journal.record([one]) == number + 1
        assert rows_of(path, {"orders": "cl_ord_id"})["orders"] == []
        journal.record([steps[first + 1]])
        assert len(rows_of(path, {"orders": "cl_ord_id"})["orders"]) == 1


def test_an_hour_and_an_answer_in_what_was_not_told_are_told_by_the_start(tmp_path: Path) -> None:
    """An hour ends, an answer comes and an order is decided in one commit: no row of it is lost."""
    us = 1_000_000
    late_us = (T0 // (3_600 * us) + 1) * 3_600 * us
    first, second = target("XBTUSD", 100, 1), target("ETHUSD", 100, 1, late_us)
    answer = e.Answered(at_us=late_us, request_id=1, outcome=e.Outcome.REFUSED, code="margin")
    steps = [
        (started(1), [], []),
        (first, [place(1, "rc-1", "XBTUSD", 100, first)],
         [moved("XBTUSD", "place", "idle", "placing", "rc-1", 1)]),
        (answer, [], [changed("rc-1", "XBTUSD", "refused")]),
        (second, [place(2, "rc-2", "ETHUSD", 100, second)],
         [moved("ETHUSD", "place", "idle", "placing", "rc-2", 1)]),
    ]  # fmt: skip
    whole, left = tmp_path / "whole" / "journal.db", tmp_path / "left"
    with opened(whole) as journal:
        journal.record(steps[:1])
        journal.record(steps[1:2])
        journal.tell()
        journal.record(steps[2:])
        shutil.copytree(whole.parent, left, ignore=shutil.ignore_patterns("*.lock"))
        left.chmod(0o700)
    order = TABLES | {"requests": "request_id"}
    with opened(left / "journal.db") as journal:
        told = {(event.at_us, type(event)): made for event, _, made in steps}
        journal.recover(
            fold=lambda _, event, __: told[event.at_us, type(event)], shape=Books, logic="stub"
        )
    assert rows_of(left / "journal.db", order) == rows_of(whole, order)
    (asked,) = rows_of(whole, {"requests": "request_id"})["requests"]
    assert (asked[0], asked[7], asked[8]) == (1, "refused", "margin")
