"""Opening a journal: one process, one schema, one account, and nothing of anybody else."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.errors import (
    Broken,
    ConfigError,
    NotLeader,
    ReconcilerError,
    SchemaError,
    StorageFault,
)
from reconciler.journal import History, Journal
from reconciler.journal.lock import Lock
from tests.journal.making import opened

HOLD = """
import sys, time
from pathlib import Path
from reconciler.journal import Journal
Journal.open(Path(sys.argv[1]), account="main")
print("open", flush=True)
time.sleep(60)
"""


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_revision(path: Path, revision: str) -> None:
    opened(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    db.close()


def test_a_second_process_is_refused_at_once_and_told_who_holds_it(tmp_path: Path) -> None:
    """Two processes, one journal: the second ends within a second and changes nothing."""
    path = tmp_path / "journal.db"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        started = time.monotonic()
        with pytest.raises(NotLeader, match=f"run, pid {holder.pid}"):
            opened(path)
        assert time.monotonic() - started < 1
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with opened(path) as journal:  # the kernel let go of the lock
        assert journal.epoch == 2


def test_the_lock_is_let_go_at_close_and_not_inherited(tmp_path: Path) -> None:
    """A lock ends with `close`, even while a child that was started meanwhile still lives."""
    path = tmp_path / "journal.db"
    journal = opened(path)
    child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        journal.close()
        journal.close()
        opened(path).close()
    finally:
        child.kill()
        child.wait()


def test_a_lock_file_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    """A lock on a file that the path no longer names protects nothing, and is told so."""
    lock = Lock.take(tmp_path / "journal.db", what="test")
    assert lock.is_ours()
    os.unlink(lock.path)
    assert not lock.is_ours()
    lock.release()


def test_another_program_s_database_is_refused_and_named(tmp_path: Path) -> None:
    """A database with tables that are not ours is a mistake in the configuration, untouched."""
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
        db.execute("PRAGMA application_id = 77")
    db.close()
    before = sum_of(path)
    with pytest.raises(ConfigError, match="0x0000004d, with tables recipes"):
        opened(path)
    assert sum_of(path) == before


@pytest.mark.parametrize("content", [b"", b"symbol,contracts\n" * 500])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    """An empty file where a journal is expected is not made into one, nor is any other file."""
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        opened(path)
    assert path.read_bytes() == content


def test_a_newer_schema_is_refused_untouched(tmp_path: Path) -> None:
    """The message names both schemas; not a byte of the file changes, and it takes no second."""
    path = tmp_path / "journal.db"
    with_revision(path, "0999")
    before = sum_of(path)
    started = time.monotonic()
    with pytest.raises(SchemaError, match="has schema 0999, this program needs 0003"):
        opened(path)
    assert time.monotonic() - started < 1
    with pytest.raises(SchemaError, match="0999"):
        History.open(path)
    assert sum_of(path) == before


def test_an_older_schema_says_what_to_run(tmp_path: Path) -> None:
    """An older database is not upgraded on the way; the message names the command."""
    path = tmp_path / "journal.db"
    with_revision(path, "0000")
    before = sum_of(path)
    with pytest.raises(SchemaError, match="reconciler db upgrade"):
        opened(path)
    assert sum_of(path) == before


def test_a_missing_journal_is_only_made_when_asked(tmp_path: Path) -> None:
    """``create=False`` never makes a database, and says how to."""
    path = tmp_path / "journal.db"
    with pytest.raises(ConfigError, match="reconciler run"):
        opened(path, create=False)
    assert not path.exists()


def test_a_journal_that_was_lost_is_not_made_anew(tmp_path: Path) -> None:
    """Where the side file of a journal is but the journal is not, something was lost."""
    path = tmp_path / "journal.db"
    opened(path).close()
    path.unlink()
    with pytest.raises(Broken, match="a journal was lost"):
        opened(path)


def test_an_interrupted_creation_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """What a killed creation left under its working name is swept away by the next one."""
    (tmp_path / "journal.db.new").write_bytes(b"half")
    opened(tmp_path / "journal.db").close()
    assert not (tmp_path / "journal.db.new").exists()


def test_the_journal_of_another_account_is_refused(tmp_path: Path) -> None:
    """One journal, one account, for ever."""
    path = tmp_path / "journal.db"
    opened(path).close()
    with pytest.raises(ConfigError, match="account 'main', not of 'second'"):
        opened(path, account="second")


def test_a_journal_with_two_names_is_refused(tmp_path: Path) -> None:
    """A hard link could be opened by another process under another lock."""
    path = tmp_path / "journal.db"
    opened(path).close()
    (tmp_path / "second.db").hardlink_to(path)
    with pytest.raises(ConfigError, match="hard links"):
        opened(path)


def test_a_folder_that_anybody_may_write_to_is_refused(tmp_path: Path) -> None:
    """Others could replace the files of a journal in such a folder."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match="anybody may write"):
        opened(folder / "journal.db")


def test_a_place_where_nothing_can_be_made_is_a_fault_of_storage(tmp_path: Path) -> None:
    """What the file system refuses is told as such, with the path."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageFault, match="file/journal"):
        opened(tmp_path / "file" / "journal.db")


def test_damage_is_found_before_anything_is_traded_on(tmp_path: Path) -> None:
    """A page full of other bytes is refused at the start."""
    path = tmp_path / "journal.db"
    opened(path).close()
    raw = bytearray(path.read_bytes())
    raw[4096 * 5 : 4096 * 6] = b"\xff" * 4096
    path.write_bytes(raw)
    with pytest.raises(ReconcilerError, match=r"damaged|malformed"):
        opened(path)


def test_an_installed_package_has_its_migrations_inside(tmp_path: Path) -> None:
    """Laid out as the wheel is, with no checkout around it, a journal can be made."""
    site = tmp_path / "site"
    checkout = Path(__file__).parents[2]
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(checkout / "reconciler", site / "reconciler", ignore=skip)
    shutil.copytree(checkout / "migrations", site / "reconciler" / "migrations", ignore=skip)
    code = (
        "import reconciler, sys; from pathlib import Path; from reconciler.journal import Journal;"
        "assert reconciler.__file__.startswith(sys.argv[2]), reconciler.__file__;"
        "Journal.open(Path(sys.argv[1]), account='main').close()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "journal.db"), str(site)]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)})
    assert (tmp_path / "journal.db").stat().st_size > 0


def test_the_settings_of_the_writing_connection(tmp_path: Path) -> None:
    """Durability, WAL and every guard are as the fault model has them."""
    for durability, synchronous in (("power", 3), ("process", 1)):
        with Journal.open(tmp_path / "j.db", account="main", durability=durability) as journal:
            found = {
                name: journal._db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in (
                    "synchronous", "journal_mode", "foreign_keys", "trusted_schema",
                    "cell_size_check", "mmap_size", "busy_timeout", "wal_autocheckpoint",
                )
            }  # fmt: skip
        assert list(found.values()) == [synchronous, "wal", 1, 0, 1, 0, 5000, 0]
