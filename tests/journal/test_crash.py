"""Killed at any moment, a journal is a whole prefix of what was recorded."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.journal import codec, replay
from tests.journal.making import Books, opened, recall, step, stepped, story

pytestmark = pytest.mark.slow

#: Records batches of 7 for ever, says after each how far it is, and can die inside a commit.
CHILD = """
import os, signal, sys
from pathlib import Path
from tests.journal.making import Books, opened, stepped, story

path, seed, die_at = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
journal = opened(path)
if ":" in die_at:  # "orders:3": as the third statement on orders begins, mid-transaction
    name, count = die_at.split(":")
    left = int(count)
    def see(sql):
        global left
        if name in sql and sql.startswith(("INSERT", "COMMIT", "BEGIN")):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
    journal._db.set_trace_callback(see)
steps = stepped(Books(), story(seed, 5_000))
for start in range(0, len(steps), 7):
    print(journal.record(steps[start : start + 7]), flush=True)
    if start % 70 == 0:
        journal.checkpoint_if_idle()
"""

ROOT = Path(__file__).parents[2]


def run(path: Path, seed: int, die_at: str) -> tuple[subprocess.Popen[str], list[str]]:
    command = [sys.executable, "-c", CHILD, str(path), str(seed), die_at]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    lines = []
    assert child.stdout is not None
    if "outside" in die_at:  # at a moment that nobody chose
        while len(lines) < 3:
            lines.append(child.stdout.readline())
        time.sleep(random.Random(die_at).random() / 20)
        child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    assert child.wait() == -signal.SIGKILL
    return child, [line for line in lines if line.endswith("\n")]


@pytest.mark.parametrize(
    "die_at",
    ["BEGIN:4", "INTO journal:25", "INTO orders:9", "INTO fills:6", "symbol_now:11", "COMMIT:5",
     "outside 1", "outside 2", "outside 3"],
)  # fmt: skip
def test_a_kill_leaves_a_whole_prefix(tmp_path: Path, die_at: str) -> None:
    """
    Every batch is there whole or not at all, nothing that `record` returned is missing, and the
    next run goes on to the end that an undisturbed one would have reached.
    """
    path = tmp_path / "journal.db"
    seed = 60
    _, said = run(path, seed, die_at)
    acknowledged = int(said[-1]) if said else 0
    events = story(seed, 5_000)

    with opened(path) as journal:
        assert journal.last_seq >= acknowledged
        assert journal.last_seq % 7 == 0
        books = journal.recover(fold=recall, shape=Books, logic="stub").ledger
        expected = Books()
        stepped(expected, events[: journal.last_seq])
        assert codec.encode(books) == codec.encode(expected)
        rest = events[journal.last_seq : journal.last_seq + 70]
        journal.record(stepped(books, rest))
    report = replay(path, step=step, shape=Books)
    assert report.difference is None
    assert report.events >= acknowledged + 70


def test_killed_while_it_is_made(tmp_path: Path) -> None:
    """A creation that is killed leaves no journal, or a whole one: the next open just works."""
    path = tmp_path / "journal.db"
    code = "import sys; from pathlib import Path; from tests.journal.making import opened; "
    code += "print(1, flush=True); opened(Path(sys.argv[1]))"
    for delay_ms in (0, 60, 120, 180, 240, 300):
        command = [sys.executable, "-c", code, str(path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay_ms / 1000)
        child.kill()
        child.wait()
        with opened(path) as journal:
            assert journal.last_seq == 0
        for file in tmp_path.iterdir():
            file.unlink()
