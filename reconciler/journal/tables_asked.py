"""
What was asked for: targets and what led to them, schedules, modes, and what was refused.
"""

from __future__ import annotations

from sqlalchemy import Index, UniqueConstraint

from reconciler.journal.columns import event_seq, number, table, words

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
