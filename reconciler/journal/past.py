"""
The ledger of now, or of a past moment, for who only looks: nothing is locked, made or written.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from reconciler.journal import chain, codec, faults, files, readers, recovery, schema, snapshots


class Past(NamedTuple):
    """What the journal knew."""

    ledger: Any
    seq: int  # of the last event in it; 0: there was none yet


def ledger_at(path: Path, until_us: int | None = None) -> Past:
    """
    The ledger after the last event, or after the last one that came by *until_us*.

    Nothing is decided again: events are folded with the decisions stored with them, from the newest
    snapshot that is old enough.

    Raises:
        Unreachable, ConfigError, SchemaError, Broken: As `History.open`.
    """
    path = files.resolved(path)
    fold, shape, logic = recovery.core(None, None, "")
    ledger, seq = shape(), 0
    with faults.reading(path), closing(readers.connect(path)) as db:
        with faults.ours(path):
            schema.require(schema.identify(db, path), path)
        db.execute("BEGIN")  # one moment of the file, however long this takes
        found = snapshots.newest(db, logic)
        kept = snapshots.load(found, shape) if found is not None else None
        if kept is not None and found is not None and (until_us is None or kept.at_us <= until_us):
            ledger, seq = kept, found.seq
        for row in chain.verified(db, seq):
            if until_us is not None and row.at_us > until_us:
                break
            try:
                event, decisions = codec.decode_row(row.version, row.event, row.decisions)
            except msgspec.MsgspecError as error:
                raise faults.damaged(path, f"event {row.seq}: {error}") from error
            try:
                fold(ledger, event, decisions)
            except AssertionError as error:
                raise recovery.contradiction(row.seq, path, error) from error
            seq = row.seq
    return Past(ledger, seq)
