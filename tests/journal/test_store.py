"""The store: one transaction a batch, one chain, one epoch, and a stop at the first fault."""

from __future__ import annotations

import sqlite3
import stat
import time
from pathlib import Path

import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.errors import Broken, NotLeader, StorageFault
from reconciler.journal import chain, codec
from tests.journal.making import (
    T0,
    Books,
    changed,
    execution,
    fill,
    opened,
    place,
    recovered,
    started,
    step,
    stepped,
    story,
    target,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "journal.db"


def all_rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        skipped = {"meta", "snapshots", "alembic_version"}
        return {n: db.execute(f"SELECT * FROM {n}").fetchall() for n in names if n not in skipped}


def test_a_new_journal_is_private_and_says_what_it_is(path: Path) -> None:
    """Its folder is 0700, each of its files 0600, and its header carries our application id."""
    with opened(path) as journal:
        journal.record([(started(journal.epoch), [], [])])
        journal.checkpoint_if_idle()
        assert journal.epoch == 1
        assert len(journal.installation) == 4
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert {"journal.db", "journal.db.lock", "journal.db.tip", "journal.db-wal"} <= set(files)
    assert set(files.values()) == {0o600}
    assert path.read_bytes()[68:72] == b"Recj"


def test_a_database_that_others_could_read_is_closed_to_them(path: Path) -> None:
    """A journal of ours with loose permissions is made private when it is opened."""
    opened(path).close()
    path.chmod(0o644)
    opened(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_commit_a_batch_or_one_an_event_make_the_same_rows(tmp_path: Path) -> None:
    """Group commit equals single commits: same chain, same rows in every table."""
    one, many = tmp_path / "one.db", tmp_path / "many.db"
    events = story(1, 200)
    with opened(one) as journal:
        for each in stepped(Books(), events):
            journal.record([each])
        journal.tell()
        single = journal.last_hash
        rows_one = all_rows(one)
        commits_one = [row[-1] for row in rows_one["journal"]]
        rows_one["journal"] = [row[:-1] for row in rows_one["journal"]]
    with opened(many) as journal:
        steps = stepped(Books(), events)
        for start in range(0, len(steps), 37):
            assert journal.record(steps[start : start + 37]) == min(start + 37, len(steps))
        journal.tell()
        assert journal.last_hash == single
        rows_many = all_rows(many)
        rows_many["journal"] = [row[:-1] for row in rows_many["journal"]]
        assert rows_many == rows_one
    assert any(commits_one)  # which rows shared a commit is all that differs
    assert len(rows_one["fills"]) > 20


def test_a_restart_goes_on_as_if_there_had_been_none(tmp_path: Path) -> None:
    """Rows of the newest state are the same whether the journal was reopened in between or not."""
    apart, whole = tmp_path / "apart.db", tmp_path / "whole.db"
    events = story(2, 120)
    books = Books()
    for part in (events[:50], events[50:]):
        with opened(apart) as journal:
            journal.record(stepped(books, part))
            journal.tell()
            rows = all_rows(apart)
    with opened(whole) as journal:
        journal.record(stepped(Books(), events))
        journal.tell()
        expected = all_rows(whole)
    for name in ("symbol_now", "orders", "fills", "daily", "on_target", "positions", "targets"):
        assert rows[name] == expected[name], name


def test_snapshot_and_tail_equal_the_full_fold(path: Path) -> None:
    """Recovery from a snapshot and the events since gives the bytes of a fold of everything."""
    events = story(3, 150)
    books = Books()
    with opened(path) as journal:
        journal.record(stepped(books, events[:100]))
        journal.snapshot(books, logic="stub")
        journal.record(stepped(books, events[100:]))
    with opened(path) as journal:
        found = journal.recover(
            fold=lambda ledger, event, _: step(ledger, event), shape=Books, logic="stub"
        )
        assert found.events_folded == 50
        assert found.seq == 150
        full = Books()
        stepped(full, events)
        assert codec.encode(found.ledger) == codec.encode(full) == codec.encode(books)
        assert codec.encode(
            journal.recover(fold=lambda ledger, event, _: step(ledger, event), shape=Books,
                            logic="other").ledger
        ) == codec.encode(full)  # fmt: skip


def test_a_snapshot_that_does_not_verify_is_passed_over(path: Path) -> None:
    """A damaged newest snapshot costs time, not truth: an older one and a longer tail are used."""
    books = Books()
    with opened(path) as journal:
        events = story(4, 90)
        for start in (0, 30, 60):
            journal.record(stepped(books, events[start : start + 30]))
            journal.snapshot(books, logic="stub")
    with sqlite3.connect(path) as db:
        db.execute("UPDATE snapshots SET data = zeroblob(length(data)) WHERE seq = 90")
    with opened(path) as journal:
        found = journal.recover(
            fold=lambda ledger, event, _: step(ledger, event), shape=Books, logic="stub"
        )
        assert found.events_folded == 30
        assert codec.encode(found.ledger) == codec.encode(books)


def test_three_snapshots_are_kept(path: Path) -> None:
    """The oldest goes when a fourth is made."""
    with opened(path) as journal:
        for event in story(5, 5):
            journal.record([(event, [], [])])
            journal.snapshot(Books(), logic="stub")
        found = journal._db.execute("SELECT seq FROM snapshots ORDER BY seq").fetchall()
    assert found == [(3,), (4,), (5,)]


def test_every_edited_byte_is_found_and_named_by_its_seq(path: Path) -> None:
    """Change any column of any row, and the next start refuses with the seq of that row."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(6, 12)))
    edits = {
        "at_us": "at_us + 1", "epoch": "epoch + 1", "kind": "'x'", "symbol": "'x'",
        "version": "version + 1", "event": "replace(event, '0', '1')", "decisions": "'[ ]'",
        "hash": "zeroblob(32)",
    }  # fmt: skip
    db = sqlite3.connect(path, isolation_level=None)
    trigger = db.execute("SELECT sql FROM sqlite_master WHERE name = 'journal_no_update'")
    (create,) = trigger.fetchone()
    for seq, (column, value) in enumerate(edits.items(), start=3):
        db.execute("DROP TRIGGER journal_no_update")
        (old,) = db.execute(f"SELECT {column} FROM journal WHERE seq = ?", (seq,)).fetchone()
        db.execute(f"UPDATE journal SET {column} = {value} WHERE seq = ?", (seq,))
        with pytest.raises(Broken) as refusal:
            opened(path)
        assert refusal.value.fields["seq"] == seq, column
        db.execute(f"UPDATE journal SET {column} = ? WHERE seq = ?", (old, seq))
        db.execute(create)
    opened(path).close()


@pytest.mark.parametrize(
    "table",
    ["journal", "intents", "fills", "cash", "transitions", "positions", "adjustments"],
)
def test_history_cannot_be_changed_or_deleted(path: Path, table: str) -> None:
    """The database itself refuses an update or a delete of a row that says what happened."""
    event = execution(1, "XBTUSD", 100)
    cash = d.CashBooked(exec_id="c1", symbol="XBTUSD", contracts=1, price=None, fee_minor=3,
                        currency="XBt", venue_us=1)  # fmt: skip
    adjusted = e.Adjusted(at_us=2, symbol="XBTUSD", contracts=1, by="me", reason="why")
    with opened(path) as journal:
        books = Books()
        journal.record(stepped(books, [target("XBTUSD", 100, 1), event]))
        journal.record([(adjusted, [], [cash])])
        for sql in (f"UPDATE {table} SET seq = seq", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                journal._db.execute(sql)
        copy = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1"
        with pytest.raises(sqlite3.IntegrityError):
            journal._db.execute(copy)


def test_the_journal_has_no_gaps(path: Path) -> None:
    """A row whose seq is not one more than the last is refused by the database."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(7, 3)))
        with pytest.raises(sqlite3.IntegrityError, match="out of order"):
            journal._db.execute(
                "INSERT INTO journal SELECT 9, at_us, epoch, kind, symbol, version, event,"
                " decisions, hash, NULL FROM journal WHERE seq = 3"
            )


def test_a_second_live_intent_is_impossible(path: Path) -> None:
    """The database refuses a second intent of a symbol while one is live, and the journal stops."""
    wish = target("XBTUSD", 100, 1)
    with opened(path) as journal:
        journal.record([(wish, [place(1, "rc-1", "XBTUSD", 100, wish)], [])])
        other = target("ETHUSD", 100, 1)
        journal.record([(other, [place(2, "rc-2", "ETHUSD", 100, other)], [])])
        journal.record([(wish, [], [changed("rc-1", "XBTUSD", "in_doubt")])])
        with pytest.raises(Broken, match="a second live intent of XBTUSD, rc-3, beside rc-1"):
            journal.record([(wish, [place(3, "rc-3", "XBTUSD", 100, wish)], [])])
        with pytest.raises(StorageFault, match="has stopped"):
            journal.record([(wish, [], [])])
    with opened(path) as journal:  # nothing of the refused step is there
        assert journal.last_seq == 3
        journal.record([(wish, [], [changed("rc-1", "XBTUSD", "void")])])
        journal.record([(wish, [place(3, "rc-3", "XBTUSD", 100, wish)], [])])


def test_an_order_that_lives_again_leaves_no_room_in_its_commit(path: Path) -> None:
    """Found alive and followed by a new intent in one commit: refused before a byte is sent."""
    wish = target("XBTUSD", 100, 1)
    with opened(path) as journal:
        journal.record([(wish, [place(1, "rc-1", "XBTUSD", 100, wish)], [])])
        journal.record([(wish, [], [changed("rc-1", "XBTUSD", "void")])])
        with pytest.raises(Broken, match="a second live intent of XBTUSD, rc-2, beside rc-1"):
            journal.record([
                (wish, [], [changed("rc-1", "XBTUSD", "working")]),
                (wish, [place(2, "rc-2", "XBTUSD", 100, wish)], []),
            ])  # fmt: skip
    with opened(path) as journal:
        assert journal.last_seq == 2


def test_an_order_and_its_successor_may_share_a_commit(path: Path) -> None:
    """One batch may end an intent and place the next one of the same symbol."""
    wish = target("XBTUSD", 100, 1)
    with opened(path) as journal:
        journal.record([
            (wish, [place(1, "rc-1", "XBTUSD", 100, wish)], []),
            (wish, [place(2, "rc-2", "XBTUSD", 100, wish)],
             [changed("rc-1", "XBTUSD", "closed")]),
        ])  # fmt: skip
        journal.tell()
        (live,) = journal._db.execute("SELECT cl_ord_id FROM orders WHERE live = 1")
        assert live == ("rc-2",)


def test_an_order_that_rises_from_the_dead_is_stored_beside_the_live_one(path: Path) -> None:
    """What a venue does is written down even if it breaks our rule; our own next intent is not."""
    wish = target("XBTUSD", 100, 1)
    with opened(path) as journal:
        journal.record([(wish, [place(1, "rc-1", "XBTUSD", 100, wish)], [])])
        journal.record([(wish, [], [changed("rc-1", "XBTUSD", "void")])])
        journal.record([(wish, [place(2, "rc-2", "XBTUSD", 100, wish)], [])])
        journal.record([(wish, [], [changed("rc-1", "XBTUSD", "working")])])
        found = dict(journal._db.execute("SELECT cl_ord_id, status FROM orders").fetchall())
        assert found == {"rc-1": "working", "rc-2": "intended"}
        with pytest.raises(Broken):
            journal.record([(wish, [place(3, "rc-3", "XBTUSD", 100, wish)], [])])


def test_a_fill_booked_twice_is_a_broken_promise(path: Path) -> None:
    """The same execution of the same order cannot be stored twice; the journal stops."""
    seen = execution(1, "XBTUSD", 100)
    with opened(path) as journal:
        journal.record([(seen, [], [fill(seen, 100, 0)])])
        with pytest.raises(Broken, match="fills"):
            journal.record([(seen, [], [fill(seen, 200, 0)])])
    with opened(path) as journal:
        assert journal.last_seq == 1


def test_a_fact_without_a_table_is_an_error(path: Path) -> None:
    """A kind of fact that nobody writes down stops the journal instead of being lost."""

    class Rumour(d.Fact, frozen=True, kw_only=True):
        pass

    with opened(path) as journal:
        with pytest.raises(TypeError, match="Rumour"):
            journal.record([(e.Tick(at_us=1), [], [Rumour()])])  # type: ignore[list-item]
        with pytest.raises(StorageFault):
            journal.record([(e.Tick(at_us=1), [], [])])


def test_an_older_epoch_writes_nothing_more(path: Path) -> None:
    """Once a newer epoch exists, a writer of an older one is refused by the database."""
    with opened(path) as journal:
        journal.record([(e.Tick(at_us=1), [], [])])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("UPDATE meta SET value = '2' WHERE key = 'epoch'")
        with pytest.raises(sqlite3.IntegrityError, match="never falls"):
            other.execute("UPDATE meta SET value = '1' WHERE key = 'epoch'")
        other.close()
        with pytest.raises(NotLeader):
            journal.record([(e.Tick(at_us=2), [], [])])
        with pytest.raises(StorageFault):
            journal.snapshot(Books(), logic="stub")


def test_each_start_is_a_new_epoch(path: Path) -> None:
    """The epoch rises with every open, also when nothing was recorded."""
    epochs = []
    for _ in range(3):
        with opened(path) as journal:
            epochs.append(journal.epoch)
    assert epochs == [1, 2, 3]


def test_a_full_disk_is_the_end(path: Path) -> None:
    """A commit that fails for want of space raises, leaves a whole prefix, and nothing follows."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(8, 5)))
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count = {pages}")
        long = e.StreamLost(at_us=1, reason="x" * 200_000)
        with pytest.raises(StorageFault, match="SQLITE_FULL"):
            journal.record([(e.Tick(at_us=1), [], []), (long, [], [])])
        with pytest.raises(StorageFault, match="has stopped"):
            journal.record([(e.Tick(at_us=2), [], [])])
        with pytest.raises(StorageFault, match="has stopped"):
            journal.checkpoint_if_idle()
    with opened(path) as journal:
        assert journal.last_seq == 5


def test_a_replaced_file_is_noticed(path: Path) -> None:
    """When the path names another file, or none, the identity check ends the journal."""
    journal = opened(path)
    journal.check_identity()
    aside = path.with_name("aside.db")
    path.rename(aside)
    with pytest.raises(StorageFault, match="is gone"):
        journal.check_identity()
    with pytest.raises(StorageFault, match="has stopped"):
        journal.record([(e.Tick(at_us=1), [], [])])
    journal.close()
    aside.rename(path)

    journal = opened(path)
    path.with_name("second name").hardlink_to(path)
    with pytest.raises(StorageFault, match="hard links"):
        journal.check_identity()
    journal.close()


def test_the_side_file_catches_a_journal_that_was_cut_off(path: Path) -> None:
    """A journal that ends before the end it once had is refused, with both ends named."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(9, 10)))
    early = path.read_bytes()
    with opened(path) as journal:
        journal.record([(e.Tick(at_us=1), [], [])])
    path.write_bytes(early)
    with pytest.raises(Broken, match="ends at event 10, but it had 11"):
        opened(path)


def test_the_side_file_catches_another_history(path: Path, tmp_path: Path) -> None:
    """A journal as long as ours but with another last row is not ours."""
    for file, seed in ((path, 10), (tmp_path / "other.db", 11)):
        with opened(file) as journal:
            journal.record(stepped(Books(), story(seed, 10)))
    path.write_bytes((tmp_path / "other.db").read_bytes())
    with pytest.raises(Broken, match="event 10 is not the one"):
        opened(path)


def test_the_side_file_follows_when_there_is_nothing_to_do(path: Path) -> None:
    """An idle moment works off the log and moves the remembered end along."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(12, 10)))
        journal.checkpoint_if_idle()
        seq, digest = path.with_name("journal.db.tip").read_text().split()
        assert (int(seq), bytes.fromhex(digest)) == (10, chain.hash_at(journal._db, 10))
        with sqlite3.connect(f"file:{path}?immutable=1", uri=True) as db:  # without its log
            assert db.execute("SELECT max(seq) FROM journal").fetchone() == (10,)


@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_reader_that_never_ends_is_not_waited_for(path: Path, durability: str) -> None:
    """While somebody reads on, the log stays, no moment is lost, and the tip claims no more."""
    tip = path.with_name("journal.db.tip")
    with opened(path, durability=durability) as journal:
        journal.record([(e.Tick(at_us=1), [], [])])
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM journal").fetchone()
            journal.record([(e.Tick(at_us=2), [], [])])
            started = time.monotonic()
            journal.checkpoint_if_idle()
            assert time.monotonic() - started < 1
            assert tip.exists() is (durability == "power")
        reader.close()
    assert tip.read_text().startswith("2 ")


def test_nothing_recorded_changes_nothing(path: Path) -> None:
    """An empty batch is no transaction."""
    with opened(path) as journal:
        assert journal.record([]) == 0
        assert recovered(journal) == Books()


def test_a_clean_end_and_a_lost_one_are_told_apart(path: Path) -> None:
    """A run that closed says why; one that never did is marked lost by the next."""
    with opened(path) as journal:
        journal.record([(started(1), [], []), (e.Stopping(at_us=2, reason="SIGTERM"), [], [])])
    journal = opened(path)
    journal.record([(started(2), [], [])])
    journal._writer.close()  # as if it had been killed
    journal._lock.release()
    with opened(path) as journal:
        journal.record([(started(3), [], [])])
        runs = journal._db.execute("SELECT run_id, exit_reason FROM v_runs").fetchall()
    assert runs == [("run-1", "SIGTERM"), ("run-2", "lost"), ("run-3", None)]


def test_a_journal_whose_decisions_cannot_be_folded_any_more_is_refused_in_words(
    path: Path,
) -> None:
    """An older program decided what the core of today thinks impossible: nothing is written."""

    def fold(books: Books, event: e.AnyEvent, _: object) -> list[d.AnyFact]:
        assert not isinstance(event, e.TargetSet), "XBTUSD: rc-1 is live"
        return step(books, event)[1]

    with opened(path) as journal:
        journal.record(stepped(Books(), [started(1), target("XBTUSD", 100, 1)]))
    with opened(path) as journal:
        with pytest.raises(Broken, match=r"event 2 of .* cannot be gone on from: XBTUSD: rc-1"):
            journal.recover(fold=fold, shape=Books, logic="stub")
        with pytest.raises(StorageFault, match="has stopped"):
            journal.record([(e.Tick(at_us=T0), [], [])])
    with opened(path) as journal:
        assert journal.last_seq == 2
