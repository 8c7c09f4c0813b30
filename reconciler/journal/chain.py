"""
The hash chain: each row of the journal vouches for itself and for every row before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Final, NamedTuple

from reconciler.errors import Broken

#: What stands before the first row.
GENESIS: Final = bytes(32)

ROWS = (
    "SELECT seq, at_us, epoch, kind, symbol, version, event, decisions, hash"
    " FROM journal WHERE seq > ? ORDER BY seq"
)


class Row(NamedTuple):
    """A row of the journal, as stored."""

    seq: int
    at_us: int
    epoch: int
    kind: str
    symbol: str
    version: int
    event: str
    decisions: str
    hash: bytes


def digest(
    before: bytes,
    seq: int,
    at_us: int,
    epoch: int,
    kind: str,
    symbol: str,
    version: int,
    event: bytes,
    decisions: bytes,
) -> bytes:
    """The hash of a row, from that of the row *before* it and from everything in it."""
    head = f"{seq} {at_us} {epoch} {version} {len(event)} {kind} {symbol}\n".encode()
    return sha256(b"".join((before, head, event, decisions))).digest()


def verified(db: sqlite3.Connection, after: int = 0) -> Iterator[Row]:
    """
    Every row after seq *after*, in order, each verified before it is handed out.

    Raises:
        Broken: A row is missing, or is not what was written; it is named by its seq.
    """
    before = GENESIS if after == 0 else hash_at(db, after)
    expected = after
    for row in map(Row._make, db.execute(ROWS, (after,))):
        expected += 1
        if row.seq != expected:
            raise Broken(f"event {expected} is missing from the journal", seq=expected)
        try:
            computed = digest(before, *row[:6], row.event.encode(), row.decisions.encode())
        except (AttributeError, TypeError) as error:  # not even of the type
            raise Broken(f"event {row.seq} is not what was written: {error}", seq=row.seq) from None
        if computed != row.hash:
            raise Broken(
                f"event {row.seq} is not what was written: its hash does not fit",
                seq=row.seq,
                stored=row.hash.hex(),
                computed=computed.hex(),
            )
        before = row.hash
        yield row


def hash_at(db: sqlite3.Connection, seq: int) -> bytes:
    """
    The stored hash of one row; 32 zero bytes for seq 0.

    Raises:
        Broken: There is no such row.
    """
    if seq == 0:
        return GENESIS
    found: tuple[bytes] | None = db.execute(
        "SELECT hash FROM journal WHERE seq = ?", (seq,)
    ).fetchone()
    if found is None:
        raise Broken(f"event {seq} is missing from the journal", seq=seq)
    return found[0]


def end(db: sqlite3.Connection) -> tuple[int, bytes, int]:
    """Seq, hash and time (microseconds) of the last row; 0, 32 zero bytes and 0 if none."""
    found: tuple[int, bytes, int] | None = db.execute(
        "SELECT seq, hash, at_us FROM journal ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return found or (0, GENESIS, 0)


def behind(db: sqlite3.Connection) -> int | None:
    """
    The first event whose tables were not written, because the process ended before it could.

    Only the newest commit can be such a one: no other begins before the tables are written. And
    where an order was placed there is a transition.
    """
    found: tuple[int | None] | None = db.execute(
        "SELECT commit_seq FROM journal ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    if found is None or found[0] is None:
        return None
    told = db.execute("SELECT 1 FROM transitions WHERE seq >= ? LIMIT 1", found).fetchone()
    return found[0] if told is None else None
