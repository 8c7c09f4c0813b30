"""
The store: every event and all that follows from it, in one transaction, before anything is sent.

    journal = Journal.open(path, account="main")
    ledger = journal.recover().ledger
    ...
    outcome = step(ledger, event)
    journal.record([(event, outcome.decisions, outcome.facts)])  # returned: it is on the disk
    ...  # send
    journal.tell()
    ...
    journal.close(ledger)

An order waits for nothing but what makes it safe: the events, and with them what was decided, the
order itself among it. All tables follow from these, so a commit with an order in it leaves them to
`tell`, right after the send; a start tells what a crash kept from being told. All other commits
hold everything.

One thread at a time. After the first error that leaves a write in question, every call refuses:
a disk that failed once is not asked again.
"""

from __future__ import annotations

import platform
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec

from reconciler.core.decisions import AnyDecision, AnyFact, PlaceOrder
from reconciler.core.events import AnyEvent
from reconciler.errors import ConfigError, NotLeader, ReconcilerError, StorageFault
from reconciler.journal import (
    chain,
    codec,
    faults,
    files,
    readers,
    recovery,
    schema,
    snapshots,
    writer,
)
from reconciler.journal.lock import Lock
from reconciler.journal.present import Run, load
from reconciler.journal.recovery import Recall, Recovered
from reconciler.journal.rows import Rows, Values
from reconciler.journal.statements import HOT
from reconciler.journal.wal import Wal

Step = tuple[AnyEvent, Sequence[AnyDecision], Sequence[AnyFact]]


class Journal:
    """An open journal, and the only one: see `open`."""

    def __init__(self, path: Path, lock: Lock, connection: writer.Writer, run: Run) -> None:
        self.path = path
        self._lock = lock
        self._writer = connection
        self._db = connection.db
        self._fault: BaseException | None = None
        self._synchronous = int(self._db.execute("PRAGMA synchronous").fetchone()[0])
        self._durable = self._synchronous >= 2
        self._identity = files.identity(path)
        self._run = run
        self._meta = writer.meta(self._db)
        self.last_seq, self._hash, _ = chain.end(self._db)
        self._behind = chain.behind(self._db)  # the first event that a crash kept from being told
        self._rows = Rows(load(self._db, self._behind), run)
        self._wal = Wal(self._db, path, durable=self._durable, last_seq=self.last_seq)
        self._untold: list[Step] = []  # the newest steps, if their tables are to be written yet
        self._open = True
        self.epoch = 0

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        account: str,
        mode: str = "run",
        create: bool = True,
        durability: str = "power",
        environment: str = "",
        version: str = "",
    ) -> Self:
        """
        Become the writer of a journal, make sure that it is whole, and begin a new epoch.

        Args:
            path: Of the database; ``.lock``, ``.tip`` and SQLite's own files stand beside it.
            account: Whose journal it is, or becomes.
            mode: One word for what we do with it, for others who find it locked.
            create: Make it if there is none.
            durability: What a commit survives: "power", or only the death of the "process".
            environment: Of the venue, for the row of this run.
            version: Of the program, for the same row.

        Raises:
            NotLeader: Another process has it.
            ConfigError: It is not a journal, not of this account, or not there.
            SchemaError: Its schema is older or newer than the program.
            Broken: It was changed, cut off or damaged.
            StorageFault: The file system refuses.
        """
        path = files.resolved(path)
        lock: Lock | None = None
        connection: writer.Writer | None = None
        try:
            files.private_folder(path.parent)
            lock = Lock.take(path, what=mode)
            if not path.exists():
                if not create:
                    raise ConfigError(
                        f"there is no journal at {path}",
                        next_step="Start `reconciler run` once, or name another in [database] url.",
                        path=str(path),
                    )
                from reconciler.journal import care  # late: it is needed once in a life

                care.create(path, account=account)
            files.private_file(path)
            with faults.ours(path), closing(readers.connect(path)) as db:  # may be a stranger's
                schema.require(schema.identify(db, path), path)
                writer.require_account(writer.meta(db), account, path)
            connection = writer.Writer.open(path, durability=durability)
            writer.check(connection.db, path)
            run = Run(version, environment, platform.node())
            with faults.ours(path):
                journal = cls(path, lock, connection, run)
                recovery.verify(connection.db, path)
                schema.require_as_made(connection.db, path)
            journal._begin_epoch()
            return journal
        except BaseException as error:
            if connection is not None:
                connection.abandon(path)
            if lock is not None:
                lock.release()
            if (told := faults.of(error, path)) is error:
                raise
            raise told from error

    @property
    def installation(self) -> str:
        """Four letters or digits that keep the ids of two installations apart."""
        return str(self._meta["installation"])

    @property
    def database_id(self) -> str:
        """Names this database, through copies and renames."""
        return str(self._meta["database_id"])

    @property
    def last_hash(self) -> bytes:
        """The hash of the last row: it vouches for every row."""
        return self._hash

    def recover(
        self, *, fold: Recall | None = None, shape: type[Any] | None = None, logic: str = ""
    ) -> Recovered:
        """
        The ledger after the last event: the newest snapshot that verifies, and the events since.

        Nothing is decided again: each event is folded with the decisions stored with it.

        Args:
            fold: Instead of `reconciler.core.step.recall`.
            shape: Of the ledger, instead of `Ledger`; called without arguments it is empty.
            logic: Whose snapshots may be used, instead of the core's.
        """
        self._usable()
        started = time.perf_counter_ns()
        fold, shape, logic = recovery.core(fold, shape, logic)
        ledger, seq, folded = None, 0, 0
        with self._failing():
            found = snapshots.newest(self._db, logic)
            if found is not None and (ledger := snapshots.load(found, shape)) is not None:
                seq = found.seq
            else:
                ledger = shape()
            for row in chain.verified(self._db, seq):
                try:
                    event, decisions = codec.decode_row(row.version, row.event, row.decisions)
                except msgspec.MsgspecError as error:
                    raise faults.damaged(self.path, f"event {row.seq}: {error}") from error
                try:
                    facts = fold(ledger, event, decisions)
                except AssertionError as error:
                    raise recovery.contradiction(row.seq, self.path, error) from error
                folded += 1
                if self._behind is not None and row.seq >= self._behind:
                    self._rows.take(row.seq, row.epoch, event, decisions, facts)
            if self._behind is not None:
                self._write_tables()
        self._run.recovered_events = folded
        took = (time.perf_counter_ns() - started) // 1000
        return Recovered(ledger, self.last_seq, folded, took)

    def record(self, steps: Sequence[Step]) -> int:
        """
        Write steps down, all in one transaction. When it returns they are on the disk.

        With an order among them it is the least that the order needs; `tell` writes the rest.

        Args:
            steps: Event, decisions and facts of each, in the order in which they were stepped.

        Returns:
            The seq of the last event.

        Raises:
            Broken: A row is refused: a second live intent, a fill booked twice.
            NotLeader: A newer epoch exists; another process has taken over.
            StorageFault: Writing failed, or nobody knows whether it did.
        """
        if self._untold or self._behind is not None:
            self.tell()
        self._usable()
        if not steps:
            return self.last_seq
        rows, epoch, first = self._rows, self.epoch, self.last_seq + 1
        seq, link = self.last_seq, self._hash
        encode, encode_decisions, digest = codec.encode, codec.encode_decisions, chain.digest
        journal: list[Values] = []
        orders = False
        try:
            for event, decisions, _ in steps:
                seq += 1
                raw, decided = encode(event), encode_decisions(decisions)
                kind, symbol = codec.kind_of(event), getattr(event, "symbol", "")
                head = (seq, event.at_us, epoch, kind, symbol, codec.FORMAT)
                link = digest(link, *head, raw, decided)
                journal.append((*head, raw.decode(), decided.decode(), link, None))
                orders = orders or any(type(one) is PlaceOrder for one in decisions)
            if orders:
                rows.now.require_room(steps)
                journal[-1] = (*journal[-1][:-1], first)
                self._write(journal, {})
            else:
                self._take(first, steps)
                self._write(journal, rows.drain())
            self.last_seq, self._hash = seq, link  # an interruption between these ends it, too
            self._untold = list(steps) if orders else []
            self._wal.commits += 1
        except BaseException as error:
            if (told := self._fail(error)) is error:
                raise
            raise told from error
        return seq

    def tell(self) -> None:
        """
        Write the tables of what was recorded ahead of them. Harmless when nothing was.

        Not synced by itself: a power failure may take it, and then the next start tells it again.

        Raises:
            As `record`.
        """
        self._usable()
        if self._behind is not None:
            raise ReconcilerError("the journal is behind its events: recover it first")
        if not self._untold:
            return
        with self._failing():
            self._take(self.last_seq + 1 - len(self._untold), self._untold)
            self._untold = []
            self._write_tables()

    def _take(self, first: int, steps: Sequence[Step]) -> None:
        for seq, (event, decisions, facts) in enumerate(steps, first):
            self._rows.take(seq, self.epoch, event, decisions, facts)

    def _write_tables(self) -> None:
        """All that `rows` has."""
        others = self._rows.drain()
        if self._durable:
            self._db.execute("PRAGMA synchronous = NORMAL")
        self._write([], others)
        if self._durable:
            self._db.execute(f"PRAGMA synchronous = {self._synchronous}")
        self._behind = None
        self._wal.commits += 1

    def _write(self, journal: Sequence[Values], others: Mapping[str, Sequence[Values]]) -> None:
        """One transaction."""
        db = self._db
        if len(journal) == 1 and not others:  # a statement is a transaction
            db.execute(HOT["journal"], journal[0])
            return
        db.execute("BEGIN IMMEDIATE")
        if journal:
            db.executemany(HOT["journal"], journal)
        if others:
            for name, sql in HOT.items():
                if name in others:
                    db.executemany(sql, others[name])
        db.execute("COMMIT")

    def snapshot(self, ledger: object, *, logic: str = "") -> None:
        """Store *ledger* as it is after the last event, and let the oldest of three go."""
        self.tell()
        if self.last_seq == 0:
            return
        logic = logic or recovery.core_logic()
        with self._failing(), self._transaction():
            snapshots.write(self._db, ledger, self.last_seq, self._hash, logic)

    def checkpoint_if_idle(self, *, idle: bool = True) -> None:
        """
        Work off SQLite's log, and move the side file along. Call it when there is nothing to do.

        Args:
            idle: False while events wait: then only a log that has grown large is worked on.
        """
        self.tell()
        with self._failing():
            self._wal.care(files.Tip(self.last_seq, self._hash), idle=idle)

    def check_identity(self) -> None:
        """
        See that the path still names our file and the lock is still ours.

        Raises:
            StorageFault: The file was deleted, replaced, renamed or linked; fail stop.
        """
        self._usable()
        with self._failing():
            if files.identity(self.path) != self._identity:
                raise StorageFault(f"{self.path} is another file now", path=str(self.path))
            if not self._lock.is_ours():
                raise StorageFault(f"{self._lock.path} is gone or replaced", path=str(self.path))

    def log_bytes(self) -> int:
        """Size of SQLite's log: one that keeps growing means that a reader never ends."""
        return self._wal.size()

    def free_bytes(self) -> int:
        """Space left where the journal is, in bytes."""
        return files.free_bytes(self.path.parent)

    def backup(self, to: Path | None = None) -> Path:
        """
        Copy the journal to a new private file, verified. From any thread; the writer goes on.

        Returns:
            The copy: *to*, or a name with the time in it, in ``backups`` beside the journal.
        """
        self._usable()
        from reconciler.journal import care

        return care.copy(self.path, to)

    def close(self, ledger: object | None = None) -> None:
        """
        End the run: snapshot of *ledger* if given, log worked off, lock let go.

        After a fault only the lock is let go, and no file is changed. Harmless when repeated.
        """
        if not self._open:
            return
        self._open = False
        close: Callable[[], None] = partial(self._writer.abandon, self.path)
        try:
            if self._fault is None and self._behind is None:
                self.tell()
                if ledger is not None:
                    self.snapshot(ledger)
                with self._failing():
                    with self._transaction():
                        self._db.execute(
                            "UPDATE runs SET ended_us = ?, exit_reason = coalesce(exit_reason, ?)"
                            " WHERE epoch = ? AND ended_us IS NULL",
                            (time.time_ns() // 1000, "closed", self.epoch),
                        )
                    self._wal.work_off("TRUNCATE", files.Tip(self.last_seq, self._hash))
                close = self._writer.close
        finally:
            self._fault = self._fault or ReconcilerError("it was closed")
            close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What is beneath.

    def _usable(self) -> None:
        if self._fault is not None:
            raise StorageFault(
                f"the journal has stopped: {self._fault}", path=str(self.path)
            ) from self._fault

    def _fail(self, error: BaseException) -> BaseException:
        """Refuse everything from now on; the error to raise for *error*."""
        told = faults.of(error, self.path)
        self._fault = told
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # closing the connection, or the next start, rolls it back
        return told

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if (told := self._fail(error)) is error:
                raise
            raise told from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A write transaction that only the newest epoch gets through."""
        self._db.execute("BEGIN IMMEDIATE")
        if (newest := writer.meta(self._db)["epoch"]) != self.epoch:
            raise NotLeader(f"epoch {self.epoch} is over: {newest} has begun")
        yield
        self._db.execute("COMMIT")

    def _begin_epoch(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self.epoch = writer.meta(self._db)["epoch"] + 1
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (str(self.epoch),))
        self._db.execute("COMMIT")
