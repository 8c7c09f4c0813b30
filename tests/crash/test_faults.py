"""A disk that refuses once is not asked again, and nothing that was acknowledged is lost by it."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import StorageFault
from reconciler.journal.writer import Writer
from reconciler.simulation.disk import Disk, Fault
from reconciler.simulation.images import Damage, now
from tests.crash.__main__ import memory
from tests.crash.faulty import World, faults, suffer
from tests.crash.life import Life, whole
from tests.journal.making import Books, opened, stepped, story

pytestmark = pytest.mark.slow


@pytest.fixture
def scratch() -> Iterator[Path]:
    with memory() as folder:
        yield folder


@pytest.mark.parametrize(("world", "count"), [("old", 150), ("process", 70), ("new", 40)])
def test_the_first_refusal_is_the_last_request(world: str, count: int, scratch: Path) -> None:
    """
    Whatever the disk refuses, once or from then on: a storage fault, no file is changed after it,
    nothing is accepted after it, and a start from what is left finds all that was acknowledged.
    """
    seen, failures = faults(world, secrets.randbits(32), count, scratch)
    assert seen["StorageFault"] >= count
    assert not failures, "\n".join(map(str, failures[:5]))


def test_a_sync_that_fails_once_is_final(scratch: Path) -> None:
    """A failed sync that a second try would call a success is not tried a second time."""
    root = scratch / "disk"
    root.mkdir()
    path = root / "journal.db"
    with opened(path, durability="power") as journal:
        books = Books()
        journal.record(stepped(books, story(1, 10)))
    with Disk(root, fault=Fault(2, "io", only="sync")) as disk:
        journal = opened(path, durability="power")  # its epoch takes two syncs
        with pytest.raises(StorageFault, match="FSYNC"):
            journal.record(stepped(books, story(1, 20)[10:]))
        done = len(disk.ops)
        for refused in (
            lambda: journal.record(stepped(books, story(1, 20)[10:])),
            journal.checkpoint_if_idle,
            lambda: journal.snapshot(books),
            journal.check_identity,
            journal.recover,
        ):
            with pytest.raises(StorageFault, match="has stopped"):
                refused()
        journal.close()
        assert disk.ops[done:] == []
    with opened(path, durability="power") as journal:
        assert journal.last_seq in (10, 20)


def test_a_fault_that_is_worked_off_at_closing_is_seen(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close that lets SQLite sync again after a failed sync does not get through."""
    monkeypatch.setattr(Writer, "abandon", lambda writer, path: writer.close())
    world = World("old", 3, scratch)
    _, wrong = suffer(world, Fault(4, "io", only="sync"))
    assert any(words.startswith("V7: after") for words in wrong)


def test_the_disk_misses_nothing(scratch: Path) -> None:
    """All operations together make exactly the files that are there: none went by unseen."""
    root = scratch / "life"
    root.mkdir()
    life = Life(root, secrets.randbits(32))
    whole(life)
    there = {
        str(file.relative_to(root)): file.read_bytes()
        for file in root.rglob("*")
        if file.is_file() and not file.name.endswith("-shm")
    }
    assert now(life.disk).files == there
    assert {op.kind for op in life.disk.ops} >= {
        "write", "truncate", "sync", "name", "unname", "rename", "sync_names",
    }  # fmt: skip
    assert len(Damage) == 10


def test_sqlite_is_as_it_was(tmp_path: Path) -> None:
    """Connections that are opened after a disk was watched do not go through it."""
    with Disk(tmp_path) as disk:
        pass
    with opened(tmp_path / "home" / "journal.db"):
        pass
    assert disk.ops == []


#: A journal that was opened on a watched disk, and is closed by the end of the interpreter.
OUTLIVES = """
import builtins, sys
from pathlib import Path
from tests.crash.life import Life

life = Life(Path(sys.argv[1]), 3)
with life.disk:
    builtins.kept = life.open()
"""


def test_a_process_that_ends_with_a_watched_file_open_ends_in_peace(scratch: Path) -> None:
    """SQLite closes its files after Python has let go of our hooks: they are out of its way."""
    ran = subprocess.run([sys.executable, "-c", OUTLIVES, str(scratch)], check=False)
    assert ran.returncode == 0  # below zero: a signal
