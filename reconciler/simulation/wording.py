"""BitMEX's words, as its server writes them: rows, frames and answers as bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from functools import lru_cache

import msgspec

Row = dict[str, object]

encode = msgspec.json.Encoder(decimal_format="number").encode

KEYS: dict[str, list[str]] = {
    "order": ["orderID"],
    "execution": [],
    "position": ["account", "symbol", "strategy"],
    "margin": ["account", "currency"],
    "instrument": ["symbol"],
    "quote": [],
    "trade": [],
}


@lru_cache(4096)
def _second(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%S}"


@lru_cache(1024)
def http_date(at_s: int) -> str:
    """A whole second as the header `Date` has it."""
    return format_datetime(datetime.fromtimestamp(at_s, UTC), usegmt=True)


def iso(at_us: int) -> str:
    """A time as the venue writes it, cut to the millisecond."""
    return f"{_second(at_us // 1_000_000)}.{at_us // 1000 % 1000:03d}Z"


def frame(table: str, action: str, data: list[Row]) -> bytes:
    """A frame of changes."""
    return encode({"table": table, "action": action, "data": data})


def image(table: str, filter: Row, data: list[Row]) -> bytes:
    """A frame that is the whole image of a table, or of the slice that *filter* names."""
    return encode(
        {
            "table": table,
            "action": "partial",
            "keys": KEYS[table],
            "types": {},
            "filter": filter,
            "data": data,
        }
    )


def error(message: str) -> bytes:
    """The body of a refusal."""
    return encode({"error": {"message": message, "name": "HTTPError"}})


def cancel_reject(account: int, exec_id: str, order_id: str, at_us: int) -> Row:
    """A row of the execution table: a cancel came too late, or of no order at all."""
    return {
        "execID": exec_id,
        "orderID": order_id,
        "account": account,
        "execType": "CancelReject",
        "ordStatus": "Rejected",
        "ordRejReason": "Invalid orderID",
        "timestamp": iso(at_us),
    }


def position(account: int, symbol: str, contracts: int, mark: Decimal, at_us: int) -> Row:
    """A row of the position table."""
    return {
        "account": account,
        "symbol": symbol,
        "strategy": "OneWay",
        "currency": "XBt",
        "currentQty": contracts,
        "isOpen": contracts != 0,
        "markPrice": mark,
        "timestamp": iso(at_us),
    }


def instrument(symbol: str, state: str, lot: int, tick: Decimal, mark: Decimal, at_us: int) -> Row:
    """A row of the instrument table."""
    return {
        "symbol": symbol,
        "state": state,
        "lotSize": lot,
        "tickSize": tick,
        "maxOrderQty": 10_000_000,
        "maxPrice": 1_000_000,
        "isInverse": True,
        "isQuanto": False,
        "multiplier": -100_000_000,
        "settlCurrency": "XBt",
        "quoteCurrency": "USD",
        "makerFee": Decimal("0.0005"),
        "takerFee": Decimal("0.0005"),
        "markPrice": mark,
        "timestamp": iso(at_us),
    }
