"""
What a start does with what it finds: whether the end is the one that was, and who folds it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reconciler.core.decisions import AnyDecision, AnyFact
from reconciler.core.events import AnyEvent
from reconciler.errors import Broken
from reconciler.journal import chain, files

#: Folds an event and what was decided on it then into a ledger; the facts that follow.
Recall = Callable[[Any, AnyEvent, Sequence[AnyDecision]], Sequence[AnyFact]]

#: Rows whose chain is verified at every start, even if a snapshot is newer.
VERIFY_ROWS = 1_000


class Recovered(NamedTuple):
    """What `Journal.recover` found."""

    ledger: Any
    seq: int  # of the last event in it
    events_folded: int  # after the snapshot
    took_us: int


def verify(db: sqlite3.Connection, path: Path) -> None:
    """
    The chain of the newest rows, and the end that the side file remembers.

    Raises:
        Broken: A row was changed, or rows at the end are gone.
    """
    last_seq = chain.end(db)[0]
    newest = db.execute("SELECT max(seq) FROM snapshots").fetchone()[0] or 0
    for _ in chain.verified(db, max(0, min(newest, last_seq - VERIFY_ROWS))):
        pass
    tip = files.read_tip(path)
    if tip is None or tip.seq == 0:
        return
    if tip.seq > last_seq:
        raise Broken(
            f"the journal ends at event {last_seq}, but it had {tip.seq}:"
            " its end, or SQLite's log, was lost or replaced",
            seq=last_seq + 1,
            tip=tip.seq,
        )
    if chain.hash_at(db, tip.seq) != tip.hash:
        raise Broken(
            f"event {tip.seq} is not the one that was here: this is another journal"
            " or another history of it",
            seq=tip.seq,
        )


def contradiction(seq: int, path: Path, error: AssertionError) -> Broken:
    """The core of today finds what was decided then impossible: an older program decided it."""
    return Broken(
        f"event {seq} of {path} cannot be gone on from: {error}",
        next_step="Use the program that wrote it. Or begin anew: move the journal away, with the"
        " files beside it, see at the exchange that no order rests, and start.",
        seq=seq,
        path=str(path),
    )


def core(fold: Recall | None, shape: type[Any] | None, logic: str) -> tuple[Recall, type[Any], str]:
    """The core's own function, ledger and logic version, where none are given."""
    if fold is None:
        from reconciler.core.step import recall

        fold = recall
    if shape is None:
        from reconciler.core.ledger import Ledger

        shape = Ledger
    return fold, shape, logic or core_logic()


def core_logic() -> str:
    """Version of the core's logic: a snapshot of another is not used."""
    from reconciler.core.step import LOGIC_VERSION

    return str(LOGIC_VERSION)
