"""
What can be subscribed to, and the image of each table at this moment (protocol sheet, 9.2 to 9.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from .exchange import Exchange
from .orders import Row
from .protocol import PRIVATE_TABLES, TABLES, margin_row, wallet_row

BOOKS = {"orderBookL2": None, "orderBookL2_25": 25}
GROUPS = frozenset({"CONTRACTS", "DERIVATIVES", "INDICES", "SPOT"})
PLATFORM = ("announcement", "chat", "connected", "publicNotifications")
RECENT_EXECUTIONS = 20  # rows of the execution partial


class UnknownTopic(ValueError):
    """No such table, or no such symbol; the text is what BitMEX answers."""


@dataclass(frozen=True, slots=True)
class Topic:
    """``table`` or ``table:symbol``."""

    table: str
    symbol: str | None

    @property
    def private(self) -> bool:
        return self.table in PRIVATE_TABLES


def parse(name: object, exchange: Exchange) -> Topic:
    """
    A topic from its name.

    Raises:
        UnknownTopic: in BitMEX's words.
    """
    if not isinstance(name, str):
        raise UnknownTopic(f"Unknown table: {name}")
    table, _, symbol = name.partition(":")
    if table not in TABLES and table not in PLATFORM:
        raise UnknownTopic(f"Unknown table: {table}")
    if not symbol or table in ("margin", "wallet") or symbol in GROUPS:
        return Topic(table, symbol if symbol in GROUPS else None)
    if symbol.upper() not in exchange.catalogue:
        raise UnknownTopic("Unknown or expired symbol.")
    return Topic(table, symbol.upper())


def image(exchange: Exchange, topic: Topic, account: int | None, now_ms: int) -> list[Row]:
    """The rows of a ``partial``."""
    table, symbol = topic.table, topic.symbol
    if topic.private:
        assert account is not None
        return _private(exchange, table, symbol, account, now_ms)
    markets = [m for s, m in exchange.markets.items() if symbol in (None, s)]
    if symbol in GROUPS:
        markets = list(exchange.markets.values()) if symbol in ("CONTRACTS", "DERIVATIVES") else []
    if table == "instrument":
        return [market.row(now_ms) for market in markets]
    if table in BOOKS:
        return [row for market in markets for row in market.levels(BOOKS[table], now_ms)]
    if table == "orderBook10":
        return [market.ten(now_ms) for market in markets]
    if table == "quote":
        return [market.quotes[-1] for market in markets if market.quotes]
    if table == "trade":
        return [market.trades[-1] for market in markets if market.trades]
    return []


def _private(
    exchange: Exchange, table: str, symbol: str | None, account: int, now_ms: int
) -> list[Row]:
    owner = exchange.accounts[account]
    if table == "order":
        return [o.sent for o in exchange.open_orders(account, symbol) if o.sent is not None]
    if table == "execution":
        rows = exchange.executions[account]
        if symbol is not None:
            rows = [row for row in rows if row.get("symbol") == symbol]
        return rows[-RECENT_EXECUTIONS:]
    if table == "position":
        return [
            p.sent for p in owner.positions.values()
            if p.sent is not None and symbol in (None, p.instrument.symbol)
        ]  # fmt: skip
    if table == "margin":
        return [margin_row(owner, currency, now_ms) for currency in owner.deposited]
    if table == "wallet":
        return [wallet_row(owner, currency, now_ms) for currency in owner.deposited]
    return []


def where(topic: Topic, account: int | None) -> Row:
    """The ``filter`` of a partial."""
    found: Row = {}
    if topic.private and account is not None:
        found["account"] = account
    if topic.symbol is not None and topic.symbol not in GROUPS:
        found["symbol"] = topic.symbol
    return found


def subjects() -> dict[str, object]:
    """The answer of ``GET /schema/websocketHelp`` and of ``help`` on the socket."""
    public = sorted([t for t in TABLES if t not in PRIVATE_TABLES] + list(PLATFORM))
    return {
        "info": "Welcome to the BitMEX Realtime API.",
        "usage": 'Send JSON: {"op": "subscribe", "args": ["trade:XBTUSD", "order"]}',
        "ops": ["authKeyExpires", "cancelAllAfter", "subscribe", "unsubscribe", "help", "ping"],
        "subscribe": 'To subscribe, send {"op": "subscribe", "args": [subscriptionTopic]}.',
        "subscriptionSubjects": {
            "authenticationRequired": sorted(PRIVATE_TABLES),
            "public": public,
        },
    }
