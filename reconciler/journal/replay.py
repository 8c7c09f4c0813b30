"""
The proof: run the journal through the core again and compare with all that was stored.

Each event is stepped on a fresh ledger. What the core decides must be what was decided, and every
row that follows must be the row that is there: none differs, none is missing, none is too many.
The first difference is named by its seq.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from reconciler.core.decisions import AnyDecision, AnyFact
from reconciler.core.events import AnyEvent
from reconciler.errors import Broken
from reconciler.journal import chain, codec, faults, files, readers, schema, snapshots
from reconciler.journal.present import Present, Run, SymbolNow, values_of
from reconciler.journal.rows import Rows, Values

StepResult = tuple[list[AnyDecision], list[AnyFact]]
StepFunction = Callable[[Any, AnyEvent], StepResult]

#: Table -> the column that, after seq, puts the rows of one event in order.
COMPARED: Mapping[str, str] = {
    "targets": "target_id",
    "intents": "n",
    "shares": "n",
    "signals": "number",
    "schedules": "n",
    "modes": "n",
    "fills": "n",
    "fill_shares": "n",
    "cash": "n",
    "transitions": "n",
    "positions": "n",
    "adjustments": "seq",
}

#: Fills as `rows` makes them: with all that their order says for them.
FILLS = """
    SELECT f.seq, f.n, f.symbol, f.exec_id, coalesce(f.cl_ord_id, v.cl_ord_id),
        coalesce(f.target_version, v.target_version), f.type, f.contracts, f.price, f.fee_minor,
        f.cost_minor, f.realised_minor, coalesce(f.currency, v.currency), f.maker, f.venue_us,
        f.position, v.symbol, v.order_id
    FROM fills f LEFT JOIN venue_orders v ON v.n = f.venue_order
    ORDER BY f.seq, f.n
"""

#: Columns that later events change; the rest of a row never changes.
LATER = {"held_us", "closed_us", "outcome", "expires_us", "on_expiry"}


class Difference(NamedTuple):
    """The first place where what was stored is not what follows."""

    seq: int
    what: str  # "chain", "decisions", "snapshot", or the name of a table
    stored: str  # empty: nothing is stored
    computed: str  # empty: nothing follows

    def __str__(self) -> str:
        return (
            f"event {self.seq}, {self.what}: stored {self.stored or 'nothing'},"
            f" computed {self.computed or 'nothing'}"
        )


class Report(NamedTuple):
    """What a replay found. *difference* is None when all agrees."""

    events: int
    decisions: int
    rows: int  # compared, of all tables
    difference: Difference | None
    ledger_hash: str  # SHA-256 of the canonical bytes of the ledger after the last event, hex
    took_us: int


class Differs(Exception):
    """Found one; ends the replay."""

    def __init__(self, seq: int, what: str, stored: object, computed: object) -> None:
        super().__init__(seq)
        self.difference = Difference(seq, what, _show(stored), _show(computed))


class Counts:
    """How much was compared so far."""

    events = decisions = rows = 0


def replay(
    path: Path, *, step: StepFunction | None = None, shape: type[Any] | None = None
) -> Report:
    """
    Run a journal through the core again. Only reads; the service may go on meanwhile.

    Args:
        path: Of the journal.
        step: Instead of `reconciler.core.step.step`: changes a ledger, returns decisions and facts.
        shape: Of the ledger, instead of `Ledger`.

    Raises:
        Unreachable, ConfigError, SchemaError, Broken: As `History.open`.
    """
    path = files.resolved(path)
    started = time.perf_counter_ns()
    step, shape = _core(step, shape)
    ledger, counts, difference = shape(), Counts(), None
    with faults.reading(path), closing(readers.connect(path)) as db:
        with faults.ours(path):
            schema.require(schema.identify(db, path), path)
        db.execute("BEGIN")  # one moment of the file, however long this takes
        try:
            _compare(db, path, ledger, step, counts)
        except Differs as found:
            difference = found.difference
        except Broken as broken:
            seq = broken.fields.get("seq")
            difference = Difference(
                seq if isinstance(seq, int) else 0,
                "chain",
                str(broken.fields.get("stored", broken.message)),
                str(broken.fields.get("computed", "")),
            )
    return Report(
        counts.events,
        counts.decisions,
        counts.rows,
        difference,
        codec.digest(codec.encode(ledger)).hex(),
        (time.perf_counter_ns() - started) // 1000,
    )


def _core(step: StepFunction | None, shape: type[Any] | None) -> tuple[StepFunction, type[Any]]:
    if step is None:
        from reconciler.core.step import step as real

        step = real
    if shape is None:
        from reconciler.core.ledger import Ledger

        shape = Ledger
    return step, shape


def _compare(
    db: sqlite3.Connection, path: Path, ledger: Any, step: StepFunction, counts: Counts
) -> None:
    rows = Rows(Present(), Run())
    with faults.ours(path):
        stored = {name: _Stored(db, name) for name in COMPARED}
        snapshot = snapshots.newest(db)
        behind = chain.behind(db)
    now = rows.now.symbols
    told: list[Values] | None = None
    for row in chain.verified(db):
        try:
            event, _ = codec.decode_row(row.version, row.event, row.decisions)
        except msgspec.MsgspecError as error:
            raise Differs(row.seq, "event", f"{row.event} ({error})", None) from None
        decisions, facts = step(ledger, event)
        if (decided := codec.encode_decisions(decisions).decode()) != row.decisions:
            raise Differs(row.seq, "decisions", row.decisions, decided)
        if row.seq == behind:  # a crash kept the tables from being written: the next start does
            told = [values_of(one) for _, one in sorted(now.items())]
        rows.take(row.seq, row.epoch, event, decisions, facts)
        made = rows.drain()
        for name, there in stored.items() if told is None else ():
            try:
                counts.rows += there.compare(row.seq, made.get(name, ()))
            except TypeError as error:  # a number that is none
                raise Differs(row.seq, name, error, None) from None
        if snapshot is not None and row.seq == snapshot.seq:
            if (raw := codec.encode(ledger)) != snapshot.raw:
                raise Differs(row.seq, "snapshot", *_first_apart(snapshot.raw, raw))
        counts.events += 1
        counts.decisions += len(decisions)
    for there in stored.values():
        there.expect_no_more()
    if told is None:
        told = [values_of(one) for _, one in sorted(now.items())]
    counts.rows += _compare_now(db, told)


def _compare_now(db: sqlite3.Connection, computed: list[Values]) -> int:
    """The newest state of each symbol; its seq is that of the last event."""
    columns = ", ".join(SymbolNow.__slots__)
    stored = db.execute(f"SELECT {columns} FROM symbol_now ORDER BY symbol").fetchall()
    for there, here in zip_longest(stored, computed):
        if there != here:
            raise Differs(chain.end(db)[0], "symbol_now", there, here)
    return len(stored)


class _Stored:
    """The rows of one table in the order of their events, read along with the journal."""

    def __init__(self, db: sqlite3.Connection, name: str) -> None:
        columns = [str(row[1]) for row in db.execute(f"PRAGMA table_info({name})")]
        self.name = name
        self._seq_at = columns.index("seq" if "seq" in columns else "target_id")
        self._later = [place for place, column in enumerate(columns) if column in LATER]
        quoted = ", ".join(f'"{column}"' for column in columns)
        order = ", ".join(dict.fromkeys((columns[self._seq_at], COMPARED[name])))
        found = db.execute(
            FILLS if name == "fills" else f"SELECT {quoted} FROM {name} ORDER BY {order}"
        )
        self._rows: Iterator[Values] = iter(found)
        self._next: Values | None = next(self._rows, None)

    def compare(self, seq: int, computed: list[Values] | tuple[()]) -> int:
        """Compare the rows of one event; how many there were."""
        if not computed and (self._next is None or self._next[self._seq_at] > seq):
            return 0
        there: list[Values] = []
        while self._next is not None and self._next[self._seq_at] <= seq:
            there.append(self._next)
            self._next = next(self._rows, None)
        for old, new in zip_longest(map(self._cut, there), map(self._cut, computed)):
            if old != new:
                raise Differs(seq, self.name, old, new)
        return len(there)

    def expect_no_more(self) -> None:
        """Rows of events that are not in the journal follow from nothing."""
        if self._next is not None:
            raise Differs(self._next[self._seq_at], self.name, self._next, None)

    def _cut(self, row: Values) -> Values:
        if not self._later:
            return row
        return tuple([value for place, value in enumerate(row) if place not in self._later])


def _first_apart(stored: bytes, computed: bytes) -> tuple[str, str]:
    """The neighbourhood of the first byte that differs, from both."""
    apart = next(
        (
            place
            for place, pair in enumerate(zip(stored, computed, strict=False))
            if pair[0] != pair[1]
        ),
        min(len(stored), len(computed)),
    )
    near = slice(max(0, apart - 60), apart + 60)
    return stored[near].decode(errors="replace"), computed[near].decode(errors="replace")


def _show(value: object) -> str:
    return "" if value is None else str(value)
