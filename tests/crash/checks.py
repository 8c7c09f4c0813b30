"""What must hold in every image of a disk, whatever was lost: see fault-model part 2."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from reconciler.errors import Broken, ConfigError, ReconcilerError, SchemaError
from reconciler.journal import care, chain, codec, faults, readers, replay
from reconciler.journal.files import read_tip
from reconciler.journal.schema import SCHEMA
from reconciler.journal.store import Journal
from tests.crash.life import HOME, NEWER, Life, Promise, rows_in
from tests.journal.making import Books, recall, step, stepped


class Lost(AssertionError):
    """An invariant does not hold in an image; the message begins with its name."""


def check(root: Path, life: Life, done: int, *, power: bool = True, deep: bool = False) -> int:
    """
    Start the journal of an image as the service does, and compare with what was promised.

    Args:
        root: Of the image.
        life: Of which it is an image.
        done: Operations after which the power went.
        power: What was promised holds. Else only that what is there is a prefix.
        deep: Also go on with it, and prove the whole of it by a replay.

    Returns:
        The seq that it starts with.

    Raises:
        Lost: Something does not hold.
    """
    promise = life.promise_at(done)
    if not power:
        promise = promise._replace(seq=0, epoch=0)
    path = root / HOME
    try:
        if promise.schema != SCHEMA or life.phase_at(done) == "upgrade":
            return _upgraded(path, life, promise)
        if life.phase_at(done) in ("restore", "restored"):
            return _restoring(path, life, promise)
        return _opened(path, life, promise, deep=deep)
    except SchemaError as error:
        raise Lost(f"R7: {error}") from error
    except Lost:
        raise
    except ReconcilerError as error:
        raise Lost(f"R2: refused: {type(error).__name__}: {error}") from error
    finally:
        _copies(root, life, promise)


def _opened(path: Path, life: Life, promise: Promise, *, deep: bool) -> int:
    if promise.made and not path.exists():
        raise Lost("R3: the journal is gone")
    with Journal.open(path, account="main") as journal:
        if promise.made and journal.database_id != life.database_id:
            raise Lost("R3: this is another journal")
        if journal.epoch <= promise.epoch:
            raise Lost(f"R5: epoch {journal.epoch} after {promise.epoch}")
        ledger = journal.recover(fold=recall, shape=Books, logic="stub").ledger
        seq = journal.last_seq
        _same(life, seq, codec.encode(ledger), rows_in(journal._db))
        if seq < promise.seq:
            raise Lost(f"R3: {promise.seq} was acknowledged, {seq} is there")
        if deep:
            said = [row[0] for row in journal._db.execute("PRAGMA integrity_check")]
            if said != ["ok"]:
                raise Lost(f"R2: integrity: {said[:3]}")
            journal.record(stepped(ledger, life.events[seq : seq + 3]))
            journal.snapshot(ledger, logic="stub")
    if deep:
        report = replay(path, step=step, shape=Books)
        if report.difference is not None:
            raise Lost(f"R1: {report.difference}")
        if report.events != min(seq + 3, len(life.events)):
            raise Lost(f"R2: {report.events} events after {seq} and three more")
    return seq


def _same(life: Life, seq: int, ledger: bytes, rows: str) -> None:
    if seq == 0:
        expected = life.expected(0) or (codec.encode(Books()), rows)
    else:
        found = life.expected(seq)
        if found is None:
            raise Lost(f"R2: no commit ended at {seq}")
        expected = found
    if ledger != expected[0]:
        raise Lost(f"R1: another ledger at {seq}")
    if rows != expected[1]:
        raise Lost(f"R2: other rows at {seq}")


def _upgraded(path: Path, life: Life, promise: Promise) -> int:
    """The old schema or the new one, whole; and it can still be brought to the new one."""
    found = care.current(path).found
    if found not in (promise.schema, NEWER):
        raise Lost(f"R7: schema {found} after {promise.schema}")
    seq = care.verify(path)
    if seq < promise.seq:
        raise Lost(f"R3: {promise.seq} was acknowledged, {seq} is there")
    with closing(readers.connect(path)) as db:
        notes = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'notes'").fetchone()[0]
        rows = rows_in(db)
        behind = chain.behind(db)  # then rows are missing, which the next start will write
    if bool(notes) != (found == NEWER):
        raise Lost(f"R7: schema {found} with {notes} tables of the next")
    expected = life.expected(seq)
    if expected is None or (rows != expected[1] and behind is None):
        raise Lost(f"R2: other rows at {seq}")
    if found == SCHEMA:
        return _opened(path, life, promise, deep=False)
    return seq


def _copies(root: Path, life: Life, promise: Promise) -> None:
    for name, least in promise.copies:
        copy = root / name
        if not copy.exists():
            raise Lost(f"R3: the backup {name} is gone")
        if copy.read_bytes() == life.copies[name]:  # which verified when it was made
            continue
        try:
            seq = care.verify(copy)
        except ReconcilerError as error:
            raise Lost(f"R4: the backup {name}: {error}") from error
        if seq < least:
            raise Lost(f"R3: the backup {name} ends at {seq}, not {least}")


def _restoring(path: Path, life: Life, promise: Promise) -> int:
    """
    While a restore goes on: the older journal, whole; or the newer; or none, said aloud.

    Never the older one without its log, and never one with the other's log.
    """
    try:
        with Journal.open(path, account="main", create=not promise.restored) as journal:
            if journal.database_id != life.database_id:
                raise Lost("R3: this is another journal")
            ledger = journal.recover(fold=recall, shape=Books, logic="stub").ledger
            seq = journal.last_seq
            _same(life, seq, codec.encode(ledger), rows_in(journal._db))
    except (Broken, ConfigError):
        if promise.restored or (path.exists() and not _side_file_refuses(path)):
            raise
        return 0
    backup = promise.copies[0][1]
    if promise.restored and seq != backup:
        raise Lost(f"R3: restored to {backup}, and {seq} is there")
    if seq not in (promise.seq, backup):
        raise Lost(f"R3: {promise.seq} was acknowledged, {backup} restored, {seq} is there")
    return seq


def _side_file_refuses(path: Path) -> bool:
    """The one reason to refuse a journal that is there: the side file remembers a later end."""
    tip = read_tip(path)
    with faults.reading(path), closing(readers.connect(path)) as db:
        return tip is not None and tip.seq > chain.end(db)[0]
