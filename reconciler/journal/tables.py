"""
The tables. `migrations/` creates them; a test holds that both say the same.

Here are those that make a journal of it. What was asked for is in `tables_asked`, what was done and
what came of it in `tables_done`, the present and sums in `tables_now`; all have their names here.

Numbers are exact. Contracts and money are INTEGER (money in minor units of its currency), prices
are TEXT that reads as a decimal, times are INTEGER microseconds since the epoch, UTC; flags are 0
or 1. Tables are STRICT: SQLite refuses a float where a number of contracts belongs. A venue's ids
are ANY: 16 bytes when they are UUIDs (`present.pack`), else text.

``seq`` is the event that a row follows from, ``n`` counts the rows of one event, so (seq, n) is
the order in which things happened. Append-only tables are so by trigger.
"""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary

from reconciler.journal.columns import event_seq, metadata, number, table, words
from reconciler.journal.tables_asked import (
    modes,
    refusals,
    schedules,
    shares,
    signals,
    strategy_states,
    targets,
)
from reconciler.journal.tables_done import (
    adjustments,
    cash,
    fill_shares,
    fills,
    incidents,
    intents,
    orders,
    positions,
    requests,
    transitions,
    venue_orders,
)
from reconciler.journal.tables_now import daily, equity, instruments, on_target, symbol_now

__all__ = [
    "APPEND_ONLY",
    "adjustments",
    "cash",
    "daily",
    "equity",
    "fill_shares",
    "fills",
    "incidents",
    "instruments",
    "intents",
    "journal",
    "meta",
    "metadata",
    "modes",
    "on_target",
    "orders",
    "positions",
    "refusals",
    "requests",
    "runs",
    "schedules",
    "shares",
    "signals",
    "snapshots",
    "strategy_states",
    "symbol_now",
    "targets",
    "transitions",
    "venue_orders",
]

#: Tables whose rows never change or go, by trigger.
APPEND_ONLY = (
    "journal",
    "intents",
    "fills",
    "cash",
    "transitions",
    "positions",
    "adjustments",
    "refusals",
    "modes",
    "schedules",
    "signals",
    "strategy_states",
    "shares",
    "fill_shares",
)

meta = table("meta", words("key", primary_key=True), words("value"), rowid=False)

journal = table(
    "journal",
    number("seq", primary_key=True),  # 1, 2, 3… without a gap, by trigger
    number("at_us"),
    number("epoch"),  # the newest one, by trigger: an older writer is shut out
    words("kind"),
    words("symbol"),  # empty: the account
    number("version"),  # of the form of event and decisions: `codec.FORMAT`
    words("event"),  # canonical JSON
    words("decisions"),  # canonical JSON, an array
    Column("hash", LargeBinary, nullable=False),  # `chain.digest` of the row before and this one
    # In the last row of a commit whose tables were written after it: the first of its rows.
    number("commit_seq", null=True),
)

snapshots = table(
    "snapshots",
    event_seq(key=True),  # the ledger after this event
    number("made_us"),
    words("logic"),  # version of the program that folded it
    Column("chain", LargeBinary, nullable=False),  # hash of the journal row
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the canonical bytes
    number("bytes"),  # before compression
    Column("data", LargeBinary, nullable=False),  # zlib
)

runs = table(
    "runs",
    event_seq(key=True),
    words("run_id", unique=True),
    number("epoch"),
    words("mode"),  # run | command
    number("started_us"),
    words("version"),
    words("environment"),
    words("host"),
    number("recovered_events"),
    number("in_doubt_at_start"),
    number("ended_us", null=True),
    words("exit_reason", null=True),  # "lost": it never said that it stopped
)
