"""
The present and sums, written over as it changes: symbols, instruments, money, days.
"""

from __future__ import annotations

from sqlalchemy import Index

from reconciler.journal.columns import event_seq, number, table, words

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
