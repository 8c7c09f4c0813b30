"""
What has happened since: rows of the views as they come, for who looks on.

Read by event, so that whoever breaks off goes on after the last one. Of rows that the tables still
lack (see `Journal.tell`) nothing is told yet: they are news when they are there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from reconciler.errors import UsageError
from reconciler.journal import chain, faults, files, readers, schema
from reconciler.journal.present import pack
from reconciler.shown import exact

MOST_EVENTS: Final = 2_000  # in one look


class Told(NamedTuple):
    """One row that is new."""

    seq: int
    kind: str
    row: dict[str, Any]


class News(NamedTuple):
    """What one look found, and after which event the next one begins."""

    told: list[Told]
    after: int


def look(path: Path, kinds: Sequence[str], after: int | None) -> News:
    """
    What has happened after event *after*; None: only which event is the last.

    Raises:
        UsageError: There is no such kind.
        Unreachable, ConfigError, SchemaError, Broken: As `History.open`.
    """
    check(kinds)
    path = files.resolved(path)
    with faults.reading(path), closing(readers.connect(path)) as db:
        with faults.ours(path):
            schema.require(schema.identify(db, path), path)
        db.row_factory = sqlite3.Row
        db.execute("BEGIN")  # tables and journal of one moment
        behind = chain.behind(db)
        last = chain.end(db)[0] if behind is None else behind - 1
        if after is None:
            return News([], last)
        until = min(last, after + MOST_EVENTS)
        found = [one for kind in kinds for one in KINDS[kind](db, after, until)]
        return News(sorted(found, key=lambda one: one.seq), max(after, until))


def check(kinds: Sequence[str]) -> None:
    """Refuse what is no kind."""
    for kind in kinds:
        if kind not in KINDS:
            known = ", ".join(KINDS)
            raise UsageError(f"{kind[:40]!r} is no kind of news", next_step=f"One of {known}.")


def _by(kind: str, view: str, seq: str) -> Callable[[sqlite3.Connection, int, int], Iterator[Told]]:
    """Rows of a view that has the event's number in a column."""

    def read(db: sqlite3.Connection, after: int, until: int) -> Iterator[Told]:
        sql = f"SELECT * FROM {view} WHERE {seq} > ? AND {seq} <= ? ORDER BY {seq}"
        for row in db.execute(sql, (after, until)):
            yield Told(row[seq], kind, exact(dict(row)))

    return read


def _fills(db: sqlite3.Connection, after: int, until: int) -> Iterator[Told]:
    new = db.execute(
        "SELECT seq, symbol, venue_us / 1000 AS at_ms, exec_id FROM fills"
        " WHERE seq > ? AND seq <= ? ORDER BY seq, n",
        (after, until),
    )
    for fill in new.fetchall():
        for row in db.execute(
            "SELECT * FROM v_fills WHERE at_ms = ? AND symbol = ?", (fill["at_ms"], fill["symbol"])
        ):
            if pack(row["exec_id"]) == fill["exec_id"]:
                yield Told(fill["seq"], "fill", exact(dict(row)))


def _beside(
    kind: str, table: str, number: str
) -> Callable[[sqlite3.Connection, int, int], Iterator[Told]]:
    """Rows of a view that leaves the event's number to its table."""

    def read(db: sqlite3.Connection, after: int, until: int) -> Iterator[Told]:
        for row in db.execute(
            f"SELECT t.seq AS event_seq, v.* FROM {table} t JOIN v_{table} v USING ({number})"
            f" WHERE t.seq > ? AND t.seq <= ? ORDER BY t.{number}",
            (after, until),
        ):
            whole = exact(dict(row))
            yield Told(whole.pop("event_seq"), kind, whole)

    return read


KINDS: Final[dict[str, Callable[[sqlite3.Connection, int, int], Iterator[Told]]]] = {
    "transition": _by("transition", "v_transitions", "seq"),
    "fill": _fills,
    "target": _by("target", "v_targets", "target_id"),
    "refusal": _by("refusal", "v_refusals", "seq"),
    "mode": _by("mode", "v_modes", "seq"),
    "signal": _beside("signal", "signals", "number"),
    "incident": _beside("incident", "incidents", "incident_id"),  # one that opens
}
