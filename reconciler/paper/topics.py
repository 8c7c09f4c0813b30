"""
What can be subscribed to, and the image of each table at this moment (protocol sheet, 9.2 to 9.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from . import errors
from .bins import SIZES
from .exchange import Exchange
from .orders import Row
from .protocol import encode, wallet_row
from .tables import PLATFORM_TABLES, PRIVATE_TABLES, TABLES, WITHOUT_SYMBOL

BOOKS: dict[str, int | None] = {"orderBookL2": None, "orderBookL2_25": 25}  # levels a side
GROUPS = frozenset({"CONTRACTS", "DERIVATIVES", "INDICES", "SPOT"})  # of `instrument` alone
RECENT_EXECUTIONS = 20  # rows of the execution partial
ANNOUNCEMENTS = 20  # rows of their partial
BIN_TABLES: dict[str, tuple[bool, str]] = {  # table: (of trades, size)
    f"{kind}Bin{size}": (kind == "trade", size) for kind in ("trade", "quote") for size in SIZES
}
_RECORDED = frozenset({"announcement", "funding", "insurance", "liquidation", "settlement"})


class UnknownTopic(ValueError):
    """No such table, or no such symbol; the text is what BitMEX answers."""


@dataclass(frozen=True, slots=True)
class Topic:
    """``table``, ``table:symbol`` or ``instrument:GROUP``."""

    table: str
    symbol: str | None

    @property
    def private(self) -> bool:
        return self.table in PRIVATE_TABLES


def parse(name: object, exchange: Exchange, *, platform: bool = False) -> Topic:
    """
    A topic from its name; on the *platform* address there are the platform's tables alone.

    Raises:
        UnknownTopic: in BitMEX's words.
    """
    if not isinstance(name, str):
        raise UnknownTopic(f"Unknown table: {encode(name).decode()}")
    table, _, symbol = name.partition(":")
    if table not in (PLATFORM_TABLES if platform else TABLES):
        raise UnknownTopic(f"Unknown table: {table}")
    if not symbol or table in WITHOUT_SYMBOL:
        return Topic(table, None)
    symbol = symbol.upper()
    if table == "instrument" and symbol in GROUPS:
        return Topic(table, symbol)
    if symbol not in exchange.markets and symbol not in exchange.indices.by_symbol:
        raise UnknownTopic(errors.UNKNOWN_SYMBOL)
    return Topic(table, symbol)


def group_of(kind: str) -> frozenset[str]:
    """The groups that an instrument of this ``typ`` belongs to (section 6: CFI-like codes)."""
    if kind.startswith("M"):
        return frozenset({"INDICES"})
    if kind.startswith("IF"):
        return frozenset({"SPOT"})
    return frozenset({"CONTRACTS", "DERIVATIVES"})


def image(exchange: Exchange, topic: Topic, account: int | None, now_ms: int) -> list[Row]:
    """The rows of a ``partial`` of a table whose state the exchange keeps."""
    table, symbol = topic.table, topic.symbol
    if topic.private:
        assert account is not None
        return _private(exchange, table, symbol, account, now_ms)
    if table in _RECORDED:
        return _recorded(exchange, table, symbol)
    if table == "instrument":
        return _instruments(exchange, symbol)
    markets = [m for s, m in exchange.markets.items() if symbol in (None, s)]
    if table in BOOKS:
        return [row for market in markets for row in market.levels(BOOKS[table], now_ms)]
    if table == "orderBook10":
        return [market.ten(now_ms) for market in markets]
    if table == "quote":
        return [market.quotes[-1] for market in markets if market.quotes]
    if table == "trade":
        ticks = [i.trades for s, i in exchange.indices.by_symbol.items() if symbol in (None, s)]
        found = [row for market in markets for row in market.latest()]
        return found + [trades[-1] for trades in ticks if trades]
    if table in BIN_TABLES:
        _, size = BIN_TABLES[table]
        return bins(exchange, table, now_ms // SIZES[size] * SIZES[size], symbol, now_ms)
    return []


def _instruments(exchange: Exchange, symbol: str | None) -> list[Row]:
    """What subscribers were sent, and not what is: the next update tells the difference."""
    rows = [m.sent for m in exchange.markets.values()]
    rows += [index.sent for index in exchange.indices.by_symbol.values()]
    if symbol in GROUPS:
        return [row for row in rows if symbol in group_of(str(row["typ"]))]
    return [row for row in rows if symbol in (None, row["symbol"])]


def _recorded(exchange: Exchange, table: str, symbol: str | None) -> list[Row]:
    """The newest row of each symbol or currency; of announcements the latest few."""
    records = exchange.records
    if table == "liquidation":
        rows = list(records.liquidation.values())
    elif table == "announcement":
        rows = list(records.announcement)[-ANNOUNCEMENTS:]
    else:
        kept = {"funding": records.funding, "settlement": records.settlement}
        history = kept.get(table, records.insurance)
        rows = list({row.get("symbol", row.get("currency")): row for row in history}.values())
    return [row for row in rows if symbol in (None, row.get("symbol"))]


def bins(exchange: Exchange, table: str, end_ms: int, symbol: str | None, now_ms: int) -> list[Row]:
    """Rows of a bin table for the bucket that ended at *end_ms*; indices have no quotes."""
    of_trades, size = BIN_TABLES[table]
    rows: list[Row | None] = []
    for name, market in exchange.markets.items():
        if symbol in (None, name):
            made = market.bins.trade_row if of_trades else market.bins.quote_row
            rows.append(made(size, end_ms, now_ms))
    if of_trades:
        for name, index in exchange.indices.by_symbol.items():
            if symbol in (None, name):
                rows.append(index.trade_row(size, end_ms, now_ms))
    return [row for row in rows if row is not None]


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
        # As for instruments: updates are differences to what was sent.
        return list(owner.margin_sent.values())
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
    return {
        "info": "See https://www.bitmex.com/app/wsAPI and https://www.bitmex.com/explorer for "
        "more documentation.",
        "usage": 'Send a JSON message: {"op": "subscribe", "args": ["trade:XBTUSD", "order"]}',
        "ops": ["authKeyExpires", "cancelAllAfter", "subscribe", "unsubscribe", "help", "ping"],
        "subscribe": 'To subscribe, send: {"op": "subscribe", "args": [subscriptionTopic, ...]}.',
        "subscriptionSubjects": {
            "authenticationRequired": sorted(PRIVATE_TABLES),
            "public": sorted(set(TABLES) - PRIVATE_TABLES),
        },
    }
