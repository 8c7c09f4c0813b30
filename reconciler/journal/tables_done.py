"""
What was done for it, and what came of it: intents, orders, fills, cash, positions, incidents.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, UniqueConstraint, text

from reconciler.journal.columns import VenueId, event_seq, number, table, words
from reconciler.journal.ddl import iso

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
