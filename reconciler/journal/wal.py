"""SQLite's log, worked off now and then, and the side file that follows it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from reconciler.journal import files
from reconciler.journal.writer import BUSY_MS

#: A log larger than this is worked off after a commit; an empty moment truncates it.
MOST_BYTES = 4 * 2**20
MOST_COMMITS = 200
#: The side file is replaced at most this often, in nanoseconds.
TIP_EVERY_NS = 5 * 10**9


class Wal:
    """
    The log of the one connection that writes.

    Attributes:
        commits: Since it was last worked off; counted by the store.
    """

    def __init__(self, db: sqlite3.Connection, path: Path, *, durable: bool, last_seq: int) -> None:
        self._db = db
        self._path = path
        self._durable = durable  # a commit is on the disk when it returns
        self.commits = 0
        self.tip_due_ns = 0
        self._tip_seq = last_seq

    def size(self) -> int:
        """Its size."""
        log = files.beside(self._path, "-wal")
        return log.stat().st_size if log.exists() else 0

    def care(self, tip: files.Tip, *, idle: bool) -> None:
        """
        Work it off if that is due, and move the side file along to *tip*.

        Args:
            tip: The newest row, committed.
            idle: False while events wait: then only a log that has grown large is worked on.
        """
        if self.size() > MOST_BYTES and self.commits > MOST_COMMITS:  # the file keeps its size
            self.checkpoint("PASSIVE")
        now = time.monotonic_ns()
        news = self.commits > 0 or self._tip_seq != tip.seq
        if idle and news and now >= self.tip_due_ns:
            self.tip_due_ns = now + TIP_EVERY_NS
            # Not truncated: the next commits write over it, and their syncs allocate nothing.
            self.work_off("PASSIVE", tip)

    def checkpoint(self, how: str) -> bool:
        """Whether all of the log is in the database now, and synced. Never waits for a reader."""
        self._db.execute("PRAGMA busy_timeout = 0").fetchone()
        busy, log, done = self._db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        self._db.execute(f"PRAGMA busy_timeout = {BUSY_MS}").fetchone()
        self.commits = 0
        return not busy and log == done

    def work_off(self, how: str, tip: files.Tip) -> None:
        """Work it off, and let the side file follow if the rows that it names are synced."""
        if self.checkpoint(how) or self._durable:
            files.write_tip(self._path, tip)
            self._tip_seq = tip.seq
