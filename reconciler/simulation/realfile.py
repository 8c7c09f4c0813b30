"""
The real journal on the real SQLite, in the place of the one in memory.

Same lives, same oracle. A process that dies lets go of its connection and its lock, as the kernel
would do it; a suspended one keeps both, so whoever takes its place is refused first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from reconciler.core.decisions import PlaceOrder
from reconciler.errors import NotLeader, StorageFault
from reconciler.journal import chain, codec, replay
from reconciler.journal.recovery import Recovered
from reconciler.journal.store import Journal
from reconciler.simulation.memory import Step
from reconciler.simulation.promises import Broken


class FileJournal:
    """What `MemoryJournal` is to a world, on a disk. See there."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="reconciler-life-")
        self._path = Path(self._folder.name) / "journal.db"
        self._held: dict[int, Journal] = {}  # by epoch; of processes that still are
        self.epoch = self.last_seq = 0
        self.last_hash = chain.GENESIS
        self.intents: set[str] = set()
        self.fault = ""  # "before" or "after": the next commit fails, and is lost or stored
        self.broken = False
        self.has_snapshot = False

    def open(self) -> None:
        """Become the writer, in a new epoch."""
        for held in self._held.values():
            if not held._lock.is_ours():
                continue  # it lost its place before
            try:
                self._begin().close()
            except NotLeader:
                held._lock.release()  # a file system that forgets its locks: the fence is left
            else:
                raise Broken("R5", "a second process opened a journal that is in use")
        journal = self._begin()
        self.epoch = journal.epoch
        self._held[self.epoch] = journal
        self.broken, self.fault = False, ""

    def _begin(self) -> Journal:
        return Journal.open(self._path, account="main", durability="process")

    def ended(self, epoch: int) -> None:
        """The process of this epoch is gone, and has closed nothing."""
        journal = self._held.pop(epoch, None)
        if journal is not None:
            _kill(journal)

    def record(self, steps: Sequence[Step], epoch: int) -> int:
        """Write steps down, through the connection of the process that asks."""
        journal = self._held[epoch]
        fault = StorageFault("the disk is full", path=str(self._path))
        if self.fault == "before" and not self.broken:
            self.broken = True
            journal._fail(fault)
        seq = journal.record(steps)
        self.last_seq, self.last_hash = seq, journal.last_hash
        for _, decisions, _ in steps:
            self.intents.update(d.cl_ord_id for d in decisions if isinstance(d, PlaceOrder))
        if self.fault == "after":
            self.broken = True
            raise journal._fail(fault)
        return seq

    def tell(self) -> None:
        """Write the tables that did not precede the send."""
        self._held[self.epoch].tell()

    def snapshot(self, ledger: object) -> None:
        """Keep recovery short."""
        if self.last_seq and not self.broken:
            self._held[self.epoch].snapshot(ledger)
            self.has_snapshot = True

    def recover(self, *, whole: bool = False) -> Recovered:
        """The ledger after the last event; from the first row on if *whole*."""
        return self._held[self.epoch].recover(logic="none has this" if whole else "")

    def verify(self) -> None:
        """After the last process: open it once more, which looks at the chain; then all of it."""
        self.open()
        for _ in chain.verified(self._held[self.epoch]._db):
            pass

    def decide_again(self, found: bytes) -> str:
        """What `reconciler replay` says."""
        self.ended(self.epoch)
        report = replay(self._path)
        if report.difference is not None:
            return str(report.difference)
        same = report.ledger_hash == codec.digest(found).hex()
        return "" if same else "the ledger at the end is another"

    def close(self) -> None:
        """Nothing is left of it."""
        for epoch in list(self._held):
            self.ended(epoch)
        self._folder.cleanup()


def _kill(journal: Journal) -> None:
    """Let go as the kernel does for the dead: no snapshot, no last words."""
    journal._fault = journal._fault or StorageFault("killed", path=str(journal.path))
    if journal._db.in_transaction:
        journal._db.execute("ROLLBACK")
    journal.close()
