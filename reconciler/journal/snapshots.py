"""
Snapshots: the whole ledger at one seq, so that a start need not fold everything.

A snapshot is only a shortcut. One that does not verify, or that other logic folded, is passed
over for an older one, and without any the journal is folded from its first row.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from typing import Final, NamedTuple, TypeVar

import msgspec

from reconciler.journal import chain, codec

Shape = TypeVar("Shape")

#: How many are kept.
KEEP: Final = 3

INSERT = (
    "INSERT INTO snapshots (seq, made_us, logic, chain, digest, bytes, data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class Snapshot(NamedTuple):
    """A stored snapshot, verified."""

    seq: int
    logic: str
    raw: bytes  # canonical bytes of the ledger


def write(db: sqlite3.Connection, ledger: object, seq: int, hash: bytes, logic: str) -> None:
    """Store the ledger after event *seq*, and let the oldest go; in the open transaction."""
    raw = codec.encode(ledger)
    made = time.time_ns() // 1000
    values = (seq, made, logic, hash, codec.digest(raw), len(raw), zlib.compress(raw, 1))
    db.execute("DELETE FROM snapshots WHERE seq = ?", (seq,))  # it may be of other logic
    db.execute(INSERT, values)
    db.execute(
        "DELETE FROM snapshots WHERE seq NOT IN"
        " (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
        (KEEP,),
    )


def newest(db: sqlite3.Connection, logic: str | None = None) -> Snapshot | None:
    """The newest snapshot that verifies, of one *logic* if named; None if there is none."""
    for seq, made_by, link, digest, data in db.execute(
        "SELECT seq, logic, chain, digest, data FROM snapshots ORDER BY seq DESC"
    ).fetchall():
        if logic is not None and made_by != logic:
            continue
        try:
            raw = zlib.decompress(data)
        except (zlib.error, TypeError):
            continue
        if codec.digest(raw) == digest and chain.hash_at(db, seq) == link:
            return Snapshot(seq, made_by, raw)
    return None


def load(snapshot: Snapshot, shape: type[Shape]) -> Shape | None:
    """The ledger, or None if this program's ledger has another shape (its bytes would differ)."""
    try:
        ledger = codec.decode_ledger(snapshot.raw, shape)
    except msgspec.MsgspecError:
        return None
    return ledger if codec.encode(ledger) == snapshot.raw else None
