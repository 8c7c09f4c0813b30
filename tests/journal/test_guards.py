"""
Each guard of the journal has a test that misses it: without the guard, that test fails.

The stories are told where they belong; here they are told once more with one guard gone.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.core import events as e
from reconciler.errors import Broken, NotLeader, StorageFault
from reconciler.journal import care, ddl, files, recovery, schema, snapshots, writer
from reconciler.journal.lock import Lock
from reconciler.journal.store import Journal
from reconciler.simulation.disk import Disk, Fault
from tests.journal import test_care, test_open, test_store
from tests.journal.making import Books, opened, place, stepped, story, target

Plant = Callable[[pytest.MonkeyPatch], object]
Story = Callable[[Path], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "journal.db"


def rows(path: Path, table: str) -> int:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        found: tuple[int] = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    db.close()
    return found[0]


def taken_over(path: Path) -> Journal:
    """A journal whose process was paused while another, with the lock, began a newer epoch."""
    journal = opened(path)
    journal.record(stepped(Books(), story(1, 5)))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE meta SET value = '2' WHERE key = 'epoch'")
    other.close()
    return journal


def test_who_was_taken_over_records_nothing(path: Path) -> None:
    """A writer that wakes after a newer epoch began gets no row in, so it may send nothing."""
    journal = taken_over(path)
    with pytest.raises(NotLeader):
        journal.record([(e.Tick(at_us=1), [], [])])
    journal.close()
    assert rows(path, "journal") == 5


def test_who_was_taken_over_snapshots_nothing(path: Path) -> None:
    """Its ledger is old: as a snapshot it would be where the new epoch's next start begins."""
    journal = taken_over(path)
    with pytest.raises(NotLeader):
        journal.snapshot(Books(), logic="stub")
    journal.close()
    assert rows(path, "snapshots") == 0


def test_who_was_taken_over_ends_no_run(path: Path) -> None:
    """An orderly close after a takeover is refused like any other write, and lets the lock go."""
    journal = taken_over(path)
    with pytest.raises(NotLeader):
        journal.close()
    opened(path).close()


def test_a_file_replaced_underneath_is_noticed(path: Path) -> None:
    """A copy of the very journal under its name is not the file that we write to."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(1, 5)))
        copy = path.with_name("copy.db")
        shutil.copyfile(path, copy)
        copy.replace(path)
        with pytest.raises(StorageFault, match="another file now"):
            journal.check_identity()
        with pytest.raises(StorageFault, match="has stopped"):
            journal.record([(e.Tick(at_us=1), [], [])])


def test_a_lock_file_replaced_underneath_is_noticed(path: Path) -> None:
    """A lock that nobody else can find keeps nobody out: the journal stops."""
    with opened(path) as journal:
        lock = path.with_name("journal.db.lock")
        lock.unlink()
        lock.touch(0o600)
        with pytest.raises(StorageFault, match="gone or replaced"):
            journal.check_identity()
        with pytest.raises(StorageFault, match="has stopped"):
            journal.record([(e.Tick(at_us=1), [], [])])


def test_an_older_database_beside_a_newer_side_file_is_refused(path: Path) -> None:
    """Somebody put an old copy in place by hand: it ends before the end that was remembered."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(1, 5)))
    old = path.read_bytes()
    with opened(path) as journal:
        journal.record([(e.Tick(at_us=1), [], [])])
    path.write_bytes(old)
    with pytest.raises(Broken, match="ends at event 5, but it had 6"):
        opened(path)
    assert path.read_bytes() == old


def test_a_full_disk_stops_the_journal_for_good(path: Path) -> None:
    """After the first commit that found no room none is tried, though there is room again."""
    opened(path).close()
    with Disk(path.parent, fault=Fault(0, "full", only="sync")) as disk:
        disk.heal()
        journal = opened(path, durability="power")
        books = Books()
        journal.record(stepped(books, story(1, 5)))
        disk.fault = Fault(disk.requests["write"], "full", only="write")
        with pytest.raises(StorageFault, match="SQLITE_FULL"):
            journal.record([(e.Tick(at_us=1), [], [])])
        assert disk.refused == 1
        disk.heal()
        done = len(disk.ops)
        with pytest.raises(StorageFault, match="has stopped"):
            journal.record([(e.Tick(at_us=2), [], [])])
        journal.close()
        assert disk.ops[done:] == []
    with opened(path) as journal:
        assert journal.last_seq == 5


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TRIGGER journal_fence",
        "DROP INDEX orders_live",
        "CREATE TRIGGER more AFTER INSERT ON fills BEGIN DELETE FROM snapshots; END",
        "ALTER TABLE snapshots RENAME COLUMN digest TO diggst",
    ],
)
def test_a_schema_that_was_changed_is_refused_untouched(path: Path, sql: str) -> None:
    """A guard that is gone, or a column by another name: no epoch begins, no copy is made."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(1, 5)))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(sql)
    db.close()
    before = path.read_bytes()
    for refused in (lambda: opened(path), lambda: care.verify(path), lambda: care.backup(path)):
        with pytest.raises(Broken, match="not those that were made"):
            refused()
    assert path.read_bytes() == before
    log = path.with_name("journal.db-wal")  # an empty one is what a reader leaves
    assert not log.exists() or log.stat().st_size == 0
    assert not list(path.parent.glob("backups/*"))


def test_a_damaged_page_of_any_table_is_found(path: Path) -> None:
    """A start reads few tables; the page of one that it does not read is checked all the same."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(1, 60)))
        (page,) = journal._db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'adjustments'"
        ).fetchone()
    raw = bytearray(path.read_bytes())
    raw[4096 * (page - 1) : 4096 * page] = b"\xff" * 4096
    path.write_bytes(raw)
    with pytest.raises(Broken):
        opened(path).close()


def test_the_database_refuses_a_second_live_intent(path: Path) -> None:
    """What the program looks at first, the index of live orders refuses once more."""
    with opened(path) as journal:
        wish = target("XBTUSD", 100, 1)
        journal.record([(wish, [place(1, "rc-1", "XBTUSD", 100, wish)], [])])
    db = sqlite3.connect(path, isolation_level=None)
    names = [row[1] for row in db.execute("PRAGMA table_info(orders)")]
    others = ", ".join(names[1:])
    assert db.execute("SELECT count(*) FROM orders WHERE live = 1").fetchone() == (1,)
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE.*orders\.symbol"):
        db.execute(f"INSERT INTO orders SELECT 'rc-2', {others} FROM orders")
    db.close()


def test_a_backup_that_does_not_verify_is_not_restored(path: Path) -> None:
    """The journal that is there is better than a copy that somebody edited."""
    with opened(path) as journal:
        journal.record(stepped(Books(), story(1, 5)))
    copy = care.backup(path)
    db = sqlite3.connect(copy, isolation_level=None)
    (sql,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'journal_no_update'").fetchone()
    db.execute("DROP TRIGGER journal_no_update")
    db.execute("UPDATE journal SET at_us = 1 WHERE seq = 3")
    db.execute(sql)
    db.close()
    before = path.read_bytes()
    with pytest.raises(Broken, match="event 3"):
        care.restore(copy, path)
    assert path.read_bytes() == before


def without(name: str) -> Plant:
    """Journals are made without the trigger or index *name*."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = ddl.statements
        patch.setattr(
            ddl, "statements", lambda file: [sql for sql in real(file) if f" {name} " not in sql]
        )

    return plant


def no_check(of: object, name: str, answer: object = None) -> Plant:
    """A function that finds nothing wrong, or always says *answer*."""
    return lambda patch: patch.setattr(of, name, lambda *_, **__: answer)


def both(*plants: Plant) -> Plant:
    """A guard and the one that would catch the same behind it."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        for one in plants:
            one(patch)

    return plant


def no_epoch(patch: pytest.MonkeyPatch) -> None:
    """A start that goes on in the epoch that it finds."""

    def begin(journal: Journal) -> None:
        journal.epoch = max(1, writer.meta(journal._db)["epoch"])
        journal._db.execute("UPDATE meta SET value = '1' WHERE key = 'epoch' AND value = '0'")

    patch.setattr(Journal, "_begin_epoch", begin)


def no_fence_but_the_trigger(patch: pytest.MonkeyPatch) -> None:
    """Transactions without rows of the journal do not ask for the epoch."""
    from contextlib import contextmanager

    @contextmanager
    def transaction(journal: Journal):  # type: ignore[no-untyped-def]
        journal._db.execute("BEGIN IMMEDIATE")
        yield
        journal._db.execute("COMMIT")

    patch.setattr(Journal, "_transaction", transaction)


def any_snapshot(patch: pytest.MonkeyPatch) -> None:
    """Whatever can be unpacked counts as a snapshot."""
    patch.setattr(snapshots.codec, "digest", lambda raw: b"")
    real = snapshots.zlib.decompress

    def decompress(data: bytes) -> bytes:
        try:
            return bytes(real(data))
        except snapshots.zlib.error:
            return b"{}"

    patch.setattr(snapshots.zlib, "decompress", decompress)


class AnyHash(bytes):
    """Equal to every other."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False


def any_hash(patch: pytest.MonkeyPatch) -> None:
    """Of what the side file remembers only the length counts."""
    real = files.read_tip

    def read(database: Path) -> files.Tip | None:
        tip = real(database)
        return tip and tip._replace(hash=AnyHash(tip.hash))

    patch.setattr(files, "read_tip", read)


def clean_slate(patch: pytest.MonkeyPatch) -> None:
    """Where no journal is, one is made, whatever is left of another."""
    real = care.create

    def create(path: Path, *, account: str) -> None:
        for ending in (".tip", *files.SIDE_FILES):
            files.beside(path, ending).unlink(missing_ok=True)
        real(path, account=account)

    patch.setattr(care, "create", create)


def in_a_folder(told: Callable[[Path], object]) -> Story:
    """A story that is told the folder and not the journal."""

    def tell(path: Path) -> None:
        path.parent.mkdir()
        told(path.parent)

    return tell


def of_a_journal(told: Callable[[Path, Path], object]) -> Story:
    """A story that begins with a journal of 120 events."""

    def tell(path: Path) -> None:
        with opened(path) as journal:
            journal.record(stepped(Books(), story(50, 120)))
        told(path, path.parent.parent)

    return tell


GUARDS: dict[str, tuple[Plant, Story]] = {
    "fence": (without("journal_fence"), test_who_was_taken_over_records_nothing),
    "fence of snapshots": (no_fence_but_the_trigger, test_who_was_taken_over_snapshots_nothing),
    "fence of the end": (no_fence_but_the_trigger, test_who_was_taken_over_ends_no_run),
    "epoch never falls": (
        without("meta_epoch_rises"),
        test_store.test_an_older_epoch_writes_nothing_more,
    ),
    "a new epoch a start": (no_epoch, test_store.test_each_start_is_a_new_epoch),
    "identity": (no_check(files, "identity"), test_a_file_replaced_underneath_is_noticed),
    "second name": (no_check(files, "identity"), test_store.test_a_replaced_file_is_noticed),
    "second name at a start": (
        both(no_check(files, "private_file"), no_check(files, "identity")),
        in_a_folder(test_open.test_a_journal_with_two_names_is_refused),
    ),
    "the lock's file": (
        no_check(Lock, "is_ours", True),
        test_a_lock_file_replaced_underneath_is_noticed,
    ),
    "tip": (
        no_check(files, "read_tip"),
        test_an_older_database_beside_a_newer_side_file_is_refused,
    ),
    "tip's hash": (
        any_hash,
        in_a_folder(
            lambda folder: test_store.test_the_side_file_catches_another_history(
                folder / "journal.db", folder
            )
        ),
    ),
    "remains": (
        clean_slate,
        in_a_folder(test_open.test_a_journal_that_was_lost_is_not_made_anew),
    ),
    "full disk": (no_check(Journal, "_usable"), test_a_full_disk_stops_the_journal_for_good),
    "no gaps": (without("journal_in_order"), test_store.test_the_journal_has_no_gaps),
    "one live intent": (without("orders_live"), test_the_database_refuses_a_second_live_intent),
    "quick check": (no_check(writer, "check"), test_a_damaged_page_of_any_table_is_found),
    "account": (
        no_check(writer, "require_account"),
        in_a_folder(test_open.test_the_journal_of_another_account_is_refused),
    ),
    "schema's number": (
        no_check(schema, "require"),
        in_a_folder(test_open.test_a_newer_schema_is_refused_untouched),
    ),
    "snapshot's digest": (
        any_snapshot,
        test_store.test_a_snapshot_that_does_not_verify_is_passed_over,
    ),
    "chain": (
        both(no_check(recovery, "verify"), no_check(schema, "require_as_made")),
        test_store.test_every_edited_byte_is_found_and_named_by_its_seq,
    ),
    "copies verify": (
        no_check(care, "verify"),
        of_a_journal(test_care.test_a_copy_of_something_edited_is_not_kept),
    ),
    "restores verify": (
        no_check(care, "verify"),
        test_a_backup_that_does_not_verify_is_not_restored,
    ),
}
for table in ("journal", "intents", "fills", "cash", "transitions", "positions", "adjustments"):
    for verb in ("update", "delete"):
        GUARDS[f"no {verb} of {table}"] = (
            without(f"{table}_no_{verb}"),
            lambda path, table=table: test_store.test_history_cannot_be_changed_or_deleted(
                path, table
            ),
        )
for sql in ("DROP TRIGGER journal_fence", "DROP INDEX orders_live"):
    GUARDS[f"schema as made, {sql}"] = (
        no_check(schema, "require_as_made"),
        lambda path, sql=sql: test_a_schema_that_was_changed_is_refused_untouched(path, sql),
    )


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_that_is_gone_is_missed(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The story of a guard holds with it, and fails without it."""
    plant, tell = GUARDS[name]
    tell(path)
    shutil.rmtree(path.parent)
    plant(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        tell(path)
