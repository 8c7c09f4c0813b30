"""A journal in memory: the same rows, chain and recovery as the one on the disk, without a disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reconciler.core.decisions import AnyDecision, AnyFact, PlaceOrder
from reconciler.core.events import AnyEvent
from reconciler.core.ledger import Ledger
from reconciler.core.step import recall, step
from reconciler.errors import Broken, NotLeader, StorageFault
from reconciler.journal import chain, codec
from reconciler.journal.present import Present, Run
from reconciler.journal.recovery import Recovered
from reconciler.journal.rows import Rows

Step = tuple[AnyEvent, Sequence[AnyDecision], Sequence[AnyFact]]


class MemoryJournal:
    """
    Keeps what `Journal` keeps of a life: encoded events and decisions, chained by their hashes.

    Attributes:
        last_seq: Of the last event.
        epoch: Of the run that may write.
    """

    def __init__(self, thorough: bool) -> None:
        self.rows: list[chain.Row] = []
        self.last_seq = 0
        self.epoch = 0
        self.last_hash = chain.GENESIS
        self.intents: set[str] = set()
        self.fault = ""  # "before" or "after": the next commit fails, and is lost or stored
        self.recall: Callable[[Any, AnyEvent, Sequence[AnyDecision]], object] = recall
        self.shape: Callable[[], Any] = Ledger
        self.broken = False
        self._snapshot = 0, b""  # after which event, and the ledger
        self._folded = 0, b""  # likewise; to be gone on from, as each start folds all before it
        self._derived = Rows(Present(), Run()) if thorough else None
        self._fills: set[tuple[object, ...]] = set()

    def open(self) -> None:
        """Become the writer: a new epoch."""
        self.epoch += 1
        self.broken = False
        self.fault = ""

    def close(self) -> None:
        """Nothing is left of it."""

    def ended(self, epoch: int) -> None:
        """The process of this epoch is gone."""

    def record(self, steps: Sequence[Step], epoch: int) -> int:
        """Write steps down; when it returns they are durable."""
        if epoch != self.epoch:
            raise NotLeader(f"epoch {epoch} is over: {self.epoch} has begun")
        if self.broken:
            raise StorageFault("the journal has stopped", path="memory")
        if self.fault:
            self.broken = True
            if self.fault == "after":
                self._store(steps)
            raise StorageFault("the disk is full", path="memory")
        self._store(steps)
        return self.last_seq

    def tell(self) -> None:
        """All is told with the commit: there are no tables here to be written later."""

    def _store(self, steps: Sequence[Step]) -> None:
        for event, decisions, facts in steps:
            self.last_seq += 1
            raw, decided = codec.encode(event), codec.encode_decisions(decisions)
            symbol = getattr(event, "symbol", "")
            head = (self.last_seq, event.at_us, self.epoch, codec.kind_of(event), symbol)
            self.last_hash = chain.digest(self.last_hash, *head, codec.FORMAT, raw, decided)
            self.rows.append(
                chain.Row(*head, codec.FORMAT, raw.decode(), decided.decode(), self.last_hash)
            )
            for decision in decisions:
                if isinstance(decision, PlaceOrder):
                    self.intents.add(decision.cl_ord_id)
            if self._derived is not None:
                self._derived.take(self.last_seq, self.epoch, event, decisions, facts)
        if self._derived is not None:
            self._check(self._derived.drain())

    def _check(self, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        """What the database's own indexes would refuse."""
        for row in rows.get("fills", ()):
            key = (row[2], row[3])
            if key in self._fills:
                raise Broken("the journal refuses a row: a fill booked twice")
            self._fills.add(key)

    def snapshot(self, ledger: object) -> None:
        """Keep recovery short."""
        if self.last_seq:
            self._snapshot = self.last_seq, codec.encode(ledger)

    @property
    def has_snapshot(self) -> bool:
        """Whether a start is shorter than the whole."""
        return bool(self._snapshot[0] or self._folded[0])

    def recover(self, *, whole: bool = False) -> Recovered:
        """The ledger after the last event; from the first row on if *whole*."""
        seq, ledger = 0, self.shape()
        found = max(self._snapshot, self._folded, key=lambda kept: kept[0])
        if found[0] and not whole:
            seq = found[0]
            ledger = codec.decode_ledger(found[1], self.shape)  # type: ignore[arg-type]
        for row in self.rows[seq:]:
            self.recall(ledger, *codec.decode_row(row.version, row.event, row.decisions))
        if not whole and self.last_seq > seq:
            self._folded = self.last_seq, codec.encode(ledger)
        return Recovered(ledger, self.last_seq, self.last_seq - seq, 0)

    def verify(self) -> None:
        """Every link of the chain."""
        before = chain.GENESIS
        for row in self.rows:
            computed = chain.digest(before, *row[:6], row.event.encode(), row.decisions.encode())
            if computed != row.hash:
                raise Broken(f"event {row.seq} is not what was written", seq=row.seq)
            before = row.hash

    def decide_again(self, found: bytes) -> str:
        """Where deciding anew on the stored events leads elsewhere than what is stored; or ""."""
        ledger = self.shape()
        for row in self.rows:
            event, _ = codec.decode_row(row.version, row.event, row.decisions)
            decided = codec.encode_decisions(step(ledger, event).decisions).decode()
            if decided != row.decisions:
                return f"event {row.seq}: stored {row.decisions}, computed {decided}"
        return "" if codec.encode(ledger) == found else "the ledger at the end is another"
