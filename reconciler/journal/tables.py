"""
The tables. `migrations/` creates them; a test holds that both say the same.

Numbers are exact. Contracts and money are INTEGER (money in minor units of its currency), prices
are TEXT that reads as a decimal, times are INTEGER microseconds since the epoch, UTC; flags are 0
or 1. Tables are STRICT: SQLite refuses a float where a number of contracts belongs. A venue's ids
are ANY: 16 bytes when they are UUIDs (`rows.pack`), else text.

``seq`` is the event that a row follows from, ``n`` counts the rows of one event, so (seq, n) is
the order in which things happened. Append-only tables are so by trigger.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import UserDefinedType

from reconciler.journal.ddl import iso

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


class VenueId(UserDefinedType[Any]):
    """An id of the venue: 16 bytes when it is a UUID, else text."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "ANY"


metadata = MetaData()


def number(name: str, *, null: bool = False, **more: Any) -> Column[int]:
    return Column(name, Integer, nullable=null, **more)


def words(name: str, *, null: bool = False, **more: Any) -> Column[str]:
    return Column(name, Text, nullable=null, **more)


def event_seq(*, key: bool = False) -> Column[int]:
    """The event that a row follows from; there is none without it."""
    return Column("seq", Integer, ForeignKey("journal.seq"), primary_key=key, nullable=False)


def table(name: str, *columns: Any, rowid: bool = True) -> Table:
    return Table(name, metadata, *columns, sqlite_strict=True, sqlite_with_rowid=rowid)


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

targets = table(
    "targets",
    number("target_id", primary_key=True),  # the seq of its event
    words("symbol"),
    number("version"),
    number("contracts"),
    number("previous"),  # contracts of the target before it, or 0
    words("policy"),
    words("source"),
    words("reason"),
    words("key"),
    number("set_us"),
    number("expires_us", null=True),
    words("on_expiry"),
    number("held_us", null=True),  # first time that the position was this, proven
    number("closed_us", null=True),
    words("outcome", null=True),  # held | replaced | expired; held, then replaced: held
    number("deadline_us", null=True),
    words("price", null=True),  # that the signal was given at
    words("asked", null=True),  # the form it was asked in, if not in contracts
    words("schedule", null=True),  # the row of a schedule that came due
    UniqueConstraint("symbol", "version"),
)

#: Targets that a rule said no to.
refusals = table(
    "refusals",
    event_seq(key=True),
    number("at_us"),
    words("symbol"),
    number("contracts", null=True),
    words("source"),
    words("reason"),
    words("key"),
    words("code"),
    words("text"),
)

#: Whose part of a target is what; the parts of a target add up to it.
shares = table(
    "shares",
    event_seq(key=True),  # of the target: its target_id
    number("n", primary_key=True),
    words("symbol"),
    number("version"),
    words("strategy"),
    number("contracts"),
    number("signal"),  # number of the signal; 0: what rounding left over
    words("weight"),
    Index("shares_by_target", "symbol", "version"),
    rowid=False,
)

signals = table(
    "signals",
    number("number", primary_key=True),
    event_seq(),
    number("at_us"),
    words("strategy"),
    words("symbol"),
    words("strength"),  # a decimal
    words("price", null=True),
    words("reason"),
    Index("signals_by_strategy", "strategy", "symbol"),
)

strategy_states = table(
    "strategy_states",
    event_seq(key=True),
    number("at_us"),
    words("strategy"),
    words("state"),  # running | stopped | failed
    words("detail"),
    words("parameters"),  # JSON
)

#: Every version of every schedule; the newest of a name is in force, no row of it: none is.
schedules = table(
    "schedules",
    event_seq(key=True),
    number("n", primary_key=True),
    words("name"),
    number("due_us", null=True),  # NULL: the schedule was taken away
    words("symbol"),
    number("contracts", null=True),
    words("policy"),
    words("reason"),
    words("source"),
    rowid=False,
)

#: Halts, pauses and what ended them, by whom and why.
modes = table(
    "modes",
    event_seq(key=True),
    number("n", primary_key=True),
    number("at_us"),
    words("mode"),  # halt | pause | reduce_only | freeze | resume
    words("symbol"),  # empty: the account
    words("by"),
    words("reason"),
    number("until_us", null=True),
    rowid=False,
)

intents = table(
    "intents",
    words("cl_ord_id", primary_key=True),
    event_seq(),
    number("n"),
    number("request_id"),
    number("at_us"),
    number("epoch"),
    words("symbol"),
    number("contracts"),
    words("price"),
    number("post_only"),
    number("reduce_only"),
    number("immediate"),
    number("expires_us"),
    number("deadline_us"),
    number("target_version"),
    number("instrument_version"),
    number("position"),
    words("bid", null=True),
    words("ask", null=True),
    words("mark", null=True),
    words("policy"),
    words("reason"),
    words("stage", null=True),  # how it was priced
    words("policy_version", null=True),  # names the policy's settings, whatever its name
    Index("intents_by_target", "symbol", "target_version"),
    rowid=False,
)

#: That of a new order is its intent: its row is written with the answer to it.
requests = table(
    "requests",
    number("request_id", primary_key=True),
    event_seq(),
    number("at_us"),
    number("epoch"),
    words("kind"),
    words("cl_ord_id"),  # empty: not about an order
    words("symbol"),
    words("outcome", null=True),  # NULL: no answer yet, or never sent
    words("code", null=True),
    number("status", null=True),  # HTTP
    words("text", null=True),
    Column("venue_order_id", VenueId, nullable=True),
    number("answered_us", null=True),
    Index("requests_by_order", "cl_ord_id"),
)

orders = table(
    "orders",
    words("cl_ord_id", primary_key=True),
    words("symbol"),
    number("live", null=True),  # 1 in a live status, else NULL; see the unique index
    words("status"),  # as OrderChanged.status
    words("venue_status"),
    Column("venue_order_id", VenueId, nullable=False),
    number("contracts", null=True),  # signed; NULL: an own order without an intent here
    words("price", null=True),
    number("filled"),
    number("booked"),
    words("evidence"),
    number("target_version", null=True),
    number("created_us"),
    number("acked_us", null=True),  # first sign of it from the venue
    number("ended_us", null=True),
    number("updated_us"),
    number("updated_seq"),
    Index("orders_live", "symbol", unique=True, sqlite_where=text("live = 1")),
    Index("orders_by_time", text(f"({iso('created_us')})")),
    rowid=False,
)

#: What the fills of one order have in common, said once: it halves the bytes of a fill.
venue_orders = table(
    "venue_orders",
    number("n", primary_key=True),
    words("symbol"),
    Column("order_id", VenueId, nullable=False),
    words("cl_ord_id"),  # empty: foreign
    number("target_version"),  # 0: foreign
    words("currency"),
    UniqueConstraint("symbol", "order_id"),
    Index("venue_orders_by_target", "symbol", "target_version"),
)

#: NULL in cl_ord_id, target_version and currency means: as its row in `venue_orders`.
fills = table(
    "fills",
    event_seq(key=True),
    number("n", primary_key=True),
    words("symbol"),
    Column("venue_order", Integer, ForeignKey("venue_orders.n"), nullable=False),
    Column("exec_id", VenueId, nullable=False),
    words("cl_ord_id", null=True),
    number("target_version", null=True),
    words("type", null=True),  # NULL: trade
    number("contracts"),
    words("price", null=True),
    number("fee_minor"),
    number("cost_minor"),  # signed as the venue's: of opposite sign when bought and when sold
    number("realised_minor"),  # profit of what it closed, by average cost, without fees
    words("currency", null=True),
    number("maker", null=True),  # 1 maker, 0 taker, NULL the venue did not say
    number("venue_us"),  # our own time of it is that of its event
    number("position"),  # after it
    UniqueConstraint("venue_order", "exec_id"),  # so: symbol, order, execution
    Index("fills_by_ms", text("(venue_us / 1000)")),
    Index("fills_by_symbol", "symbol", text("(venue_us / 1000)")),
    rowid=False,
)

#: Strategies' parts of fills, and what they passed among themselves (an empty exec_id).
fill_shares = table(
    "fill_shares",
    event_seq(key=True),
    number("n", primary_key=True),
    number("at_us"),
    words("symbol"),
    Column("exec_id", VenueId, nullable=False),
    words("strategy"),  # empty: what is no strategy's
    number("contracts"),
    words("price", null=True),
    number("cost_minor"),
    number("fee_minor"),
    number("realised_minor"),
    words("currency"),
    number("position"),  # the strategy's, after it
    Index("fill_shares_by_strategy", "strategy", "symbol"),
    rowid=False,
)

cash = table(
    "cash",
    event_seq(key=True),
    number("n", primary_key=True),
    number("at_us"),
    words("symbol"),
    Column("exec_id", VenueId, nullable=False),
    number("contracts"),
    words("price", null=True),
    number("fee_minor"),
    words("currency"),
    number("venue_us"),
    UniqueConstraint("symbol", "exec_id"),
    rowid=False,
)

transitions = table(
    "transitions",
    event_seq(key=True),
    number("n", primary_key=True),
    number("at_us"),
    words("symbol"),
    words("trigger"),
    words("from_state"),
    words("to_state"),
    words("cl_ord_id"),
    number("target_version"),
    number("dwell_us"),
    words("detail"),
    Index("transitions_by_symbol", "symbol"),
    Index("transitions_by_ms", text("(at_us / 1000)")),
    rowid=False,
)

#: Positions that no fill tells: anchors, and what somebody adjusted.
positions = table(
    "positions",
    event_seq(key=True),
    number("n", primary_key=True),
    number("at_us"),
    words("symbol"),
    number("contracts"),
    number("venue_contracts", null=True),
    number("anchor", null=True),
    rowid=False,
)

adjustments = table(
    "adjustments",
    event_seq(key=True),
    number("at_us"),
    words("symbol"),
    number("contracts"),
    words("by"),
    words("reason"),
)

incidents = table(
    "incidents",
    number("incident_id", primary_key=True),
    event_seq(),
    number("opened_us"),
    words("severity"),
    words("type"),
    words("symbol"),
    words("summary"),
    number("closed_us", null=True),
    words("decision", null=True),
    words("decided_by", null=True),
)

instruments = table(
    "instruments",
    words("symbol", primary_key=True),
    number("open"),
    words("state"),
    number("lot"),
    words("tick"),
    number("max_contracts", null=True),
    words("max_price", null=True),
    number("inverse"),
    number("quanto"),
    number("multiplier"),
    words("settle_currency"),
    words("quote_currency"),
    words("maker_fee"),
    words("taker_fee"),
    number("updated_us"),
    rowid=False,
)

symbol_now = table(
    "symbol_now",
    words("symbol", primary_key=True),
    words("state"),
    words("waiting_for"),
    number("target", null=True),
    number("version"),
    words("policy"),
    words("source"),
    number("position"),
    number("venue_position", null=True),
    number("anchor", null=True),
    number("worst_short"),
    number("worst_long"),
    words("working"),
    words("mark_price", null=True),
    words("entry_price", null=True),
    number("state_since_us"),
    number("updated_us"),
    number("cost_contracts"),  # of the position, those whose cost is known from fills
    number("cost_minor"),  # and what they cost
    number("on_target"),
    number("counted_us"),  # time on and off target is counted up to here
    rowid=False,
)

equity = table(
    "equity",
    event_seq(key=True),
    number("at_us"),
    words("currency"),
    number("wallet_minor"),
    number("margin_minor"),
    number("available_minor"),
    number("unrealised_minor"),
    Index("equity_by_time", "at_us"),
)

#: Sums a day, kept in the transaction of what they count.
daily = table(
    "daily",
    number("day", primary_key=True),  # days since the epoch, UTC
    words("symbol", primary_key=True),
    words("currency", primary_key=True),
    number("fills"),
    number("volume"),
    number("maker_volume"),
    number("net_contracts"),
    number("fee_minor"),
    number("funding_minor"),
    number("realised_minor"),
    rowid=False,
)

on_target = table(
    "on_target",
    number("day", primary_key=True),
    words("symbol", primary_key=True),
    number("on_us"),
    number("off_us"),
    rowid=False,
)
