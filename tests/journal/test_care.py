"""Care: copies that verify, upgrades that are all or nothing, restores that lose nothing."""

from __future__ import annotations

import re
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from reconciler.core import events as e
from reconciler.errors import Broken, ConfigError, NotFound, NotLeader, SchemaError
from reconciler.journal import care, replay, schema
from reconciler.journal.ddl import statements
from tests.journal.making import Books, opened, recall, step, stepped, story


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "home" / "journal.db"
    with opened(path) as journal:
        journal.record(stepped(Books(), story(50, 120)))
    return path


def test_a_backup_is_private_whole_and_replays(path: Path) -> None:
    """A copy in ``backups`` is 0600 in a 0700 folder, and proves itself as the original does."""
    copy = care.backup(path)
    assert copy.parent == path.parent / "backups"
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert care.verify(copy) == 120
    report = replay(copy, step=step, shape=Books)
    assert report.difference is None
    assert report.ledger_hash == replay(path, step=step, shape=Books).ledger_hash
    assert [file.name for file in copy.parent.iterdir()] == [copy.name]


def test_a_backup_while_the_journal_is_written(path: Path) -> None:
    """The service copies its own journal from another thread and goes on recording meanwhile."""
    done: list[Path] = []
    with opened(path) as journal:
        thread = threading.Thread(target=lambda: done.append(journal.backup()))
        thread.start()
        for number in range(200):
            journal.record([(e.Tick(at_us=number), [], [])])
        thread.join()
        assert journal.last_seq == 320
        with pytest.raises(NotLeader):
            care.backup(path)  # from outside: the service has the lock
    assert 120 <= care.verify(done[0]) <= 320
    assert care.verify(path) == 320


def test_a_backup_never_overwrites(path: Path, tmp_path: Path) -> None:
    """A name that is taken is refused, and what is there stays."""
    taken = tmp_path / "taken.db"
    taken.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        care.backup(path, taken)
    assert taken.read_text() == "mine"


def test_a_copy_of_something_edited_is_not_kept(path: Path, tmp_path: Path) -> None:
    """A backup that does not verify is removed and the reason told."""
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER journal_no_update")
        db.execute("UPDATE journal SET event = replace(event, '0', '1') WHERE seq = 5")
    db.close()
    with pytest.raises(Broken, match="event 5"):
        care.backup(path, tmp_path / "copy.db")
    assert [file.name for file in tmp_path.iterdir()] == ["home"]


def newer(tmp_path: Path, sql: str) -> Path:
    """A folder of migrations with one more revision."""
    folder = tmp_path / "migrations"
    for file in schema.migrations_folder().rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            to = folder / file.relative_to(schema.migrations_folder())
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(file.read_bytes())
    (folder / "versions" / "0999_more.py").write_text(
        "from alembic import op\n"
        "revision, down_revision, branch_labels, depends_on = '0999', '0003', None, None\n"
        f"def upgrade():\n    for sql in {sql.split(';')!r}:\n"
        "        op.get_bind().exec_driver_sql(sql)\n"
    )
    return folder


def tables_of(path: Path) -> set[str]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return {row[0] for row in db.execute("SELECT name FROM sqlite_master")}


def test_an_upgrade_makes_a_backup_and_then_migrates(path: Path, tmp_path: Path) -> None:
    """The older file is kept, the newer one has the new table, the journal is what it was."""
    folder = newer(tmp_path, "CREATE TABLE notes (words TEXT) STRICT")
    before = replay(path, step=step, shape=Books).ledger_hash
    done = care.upgrade(path, migrations=folder, head="0999")
    assert (done.before, done.after) == ("0003", "0999")
    assert done.backup is not None
    assert care.current(done.backup) == ("0003", "0003")
    assert care.current(path).found == "0999"
    assert "notes" in tables_of(path)
    assert "notes" not in tables_of(done.backup)
    assert replay(done.backup, step=step, shape=Books).ledger_hash == before
    with pytest.raises(SchemaError, match="0999"):
        opened(path)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE nonsense (",
        "DROP TRIGGER journal_no_delete;DELETE FROM journal WHERE seq = 120",
        "DROP TRIGGER journal_no_update;UPDATE journal SET at_us = 1 WHERE seq = 3",
    ],
)
def test_an_upgrade_that_fails_changes_nothing(path: Path, tmp_path: Path, sql: str) -> None:
    """Whether SQL fails or the journal would change: the old schema and every row stay."""
    folder = newer(tmp_path, f"CREATE TABLE notes (words TEXT) STRICT;{sql}")
    with pytest.raises(Exception, match=r"nonsense|incomplete|would change|event 3|damaged"):
        care.upgrade(path, migrations=folder, head="0999")
    assert care.current(path).found == "0003"
    assert "notes" not in tables_of(path)
    with opened(path) as journal:
        assert journal.last_seq == 120


def test_nothing_to_upgrade(path: Path) -> None:
    """The newest schema needs no upgrade and makes no backup."""
    assert care.upgrade(path) == ("0003", "0003", None)
    assert not (path.parent / "backups").exists()


def test_a_restored_backup_begins_a_new_epoch(path: Path) -> None:
    """What was there is kept, the older end is accepted, and the epoch rises."""
    copy = care.backup(path)
    with opened(path) as journal:
        journal.record([(e.Tick(at_us=1), [], [])])
        epoch = journal.epoch
        with pytest.raises(NotLeader):
            care.restore(copy, path)
    kept = care.restore(copy, path)
    assert kept is not None
    assert care.verify(kept) == 121
    with opened(path) as journal:
        assert journal.last_seq == 120
        assert journal.epoch == epoch + 1
        journal.record([(e.Tick(at_us=1), [], [])])


@pytest.mark.parametrize("damage", [b"", b"nothing that SQLite knows" * 400])
def test_a_backup_in_the_place_of_a_wreck_begins_an_epoch_that_it_never_had(
    path: Path, damage: bytes
) -> None:
    """What cannot be read may have had any of the next epochs: none of them comes again."""
    copy = care.backup(path)
    with opened(path) as journal:
        epoch = journal.epoch
    path.write_bytes(damage)
    care.restore(copy, path)
    with opened(path) as journal:
        assert journal.last_seq == 120
        assert journal.epoch > epoch + 100


def test_old_backups_go_and_one_of_each_day_stays(tmp_path: Path) -> None:
    """The newest of each of 24 hours and of each of 7 days stays; other files are not touched."""
    for day in range(1, 11):
        for hour in (3, 23):
            for minute in (0, 30):
                (tmp_path / f"journal-202611{day:02}T{hour:02}{minute:02}00.000000Z.db").touch()
    (tmp_path / "mine.db").touch()
    care.prune(tmp_path, hourly=3, daily=7)
    assert sorted(file.stem.removeprefix("journal-") for file in tmp_path.iterdir()) == [
        *(f"202611{day:02}T233000.000000Z" for day in range(4, 10)),
        "20261110T033000.000000Z", "20261110T233000.000000Z", "mine",
    ]  # fmt: skip


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Care of a file that is not there says so and makes none."""
    for call in (care.backup, care.upgrade):
        with pytest.raises(NotFound):
            call(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def _as_schema_0002(db: sqlite3.Connection) -> None:
    """Undo what 0003 did: its tables, its columns, its views."""
    sql = schema.migrations_folder() / "sql"
    for (view,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
        db.execute(f"DROP VIEW {view}")
    made = re.findall(r"CREATE TABLE (\w+)", (sql / "0003_tables.sql").read_text())
    for name in set(made) - {"targets", "intents"}:
        db.execute(f"DROP TABLE {name}")
    for name, columns in NEW_COLUMNS.items():
        for column in columns:
            db.execute(f"ALTER TABLE {name} DROP COLUMN {column}")
    for statement in statements(sql / "0001_views.sql"):
        db.execute(statement)


#: What 0003 added to the tables that were there before.
NEW_COLUMNS = {
    "targets": ("deadline_us", "price", "asked", "schedule"),
    "intents": ("stage", "policy_version"),
}


def test_a_journal_of_the_first_release_is_upgraded(path: Path) -> None:
    """
    One of schema 0001, which kept no fingerprint and knows no commits, becomes one of ours: every
    row is there, the replay agrees, and it goes on.
    """
    before = replay(path, step=step, shape=Books)
    db = sqlite3.connect(path, isolation_level=None)
    _as_schema_0002(db)
    db.execute("ALTER TABLE journal DROP COLUMN commit_seq")
    db.execute("DELETE FROM meta WHERE key = ?", (schema.MADE,))
    db.execute("UPDATE alembic_version SET version_num = '0001'")
    db.close()
    with pytest.raises(SchemaError, match="db upgrade"):
        opened(path)
    assert care.upgrade(path)[:2] == ("0001", schema.SCHEMA)
    with opened(path) as journal:
        assert journal.last_seq == before.events
        books = journal.recover(fold=recall, shape=Books, logic="stub").ledger
        journal.record(stepped(books, story(50, 140)[120:]))
    after = replay(path, step=step, shape=Books)
    assert (after.difference, after.events) == (None, before.events + 20)
    care.verify(path)
