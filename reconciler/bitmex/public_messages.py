"""
The words of BitMEX' public tables beside quotes and trades, decoded once. Pure; see `messages`.

Source: https://www.bitmex.com/app/wsAPI and https://www.bitmex.com/api/explorer.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .messages import Bytes, Moment, Whole, decoded


class BookRow(msgspec.Struct):
    """A row of orderBookL2 and orderBookL2_25; of changes, old ones hold only what changed."""

    symbol: str
    id: int
    side: str | None = None
    size: Whole | None = None
    price: object = None


class Depth10Row(msgspec.Struct):
    """A row of orderBook10: each time the whole of it, as pairs of price and size."""

    symbol: str
    bids: list[tuple[object, Whole]]
    asks: list[tuple[object, Whole]]
    timestamp: Moment | None = None


class InstrumentRow(msgspec.Struct):
    """What market data needs of a row of the instrument table: all of it, or only what changed."""

    symbol: str
    lotSize: Whole | None = None
    tickSize: object = None
    multiplier: Whole | None = None
    isInverse: bool | None = None
    markPrice: object = None
    indicativeSettlePrice: object = None
    fundingRate: object = None
    fundingTimestamp: Moment | None = None
    timestamp: Moment | None = None


class FundingRow(msgspec.Struct):
    """A row of the funding table."""

    symbol: str
    fundingRate: object = None
    timestamp: Moment | None = None


class BucketRow(msgspec.Struct):
    """A row of trade/bucketed. Its timestamp is the END of the bucket."""

    symbol: str
    timestamp: Moment
    open: object = None
    high: object = None
    low: object = None
    close: object = None
    trades: Whole | None = None
    volume: Whole | None = None
    turnover: Whole | None = None


_books = msgspec.json.Decoder(list[BookRow], float_hook=Decimal)
_depths = msgspec.json.Decoder(list[Depth10Row], float_hook=Decimal)
_instruments = msgspec.json.Decoder(list[InstrumentRow], float_hook=Decimal)
_fundings = msgspec.json.Decoder(list[FundingRow], float_hook=Decimal)
_buckets = msgspec.json.Decoder(list[BucketRow], float_hook=Decimal)


def books(said: Bytes) -> list[BookRow]:
    """The rows of a book's frame."""
    return decoded(_books, said, "book row")


def depths(said: Bytes) -> list[Depth10Row]:
    """The rows of an orderBook10 frame."""
    return decoded(_depths, said, "book row")


def instruments(said: Bytes) -> list[InstrumentRow]:
    """The rows of an instrument frame, as market data reads them."""
    return decoded(_instruments, said, "instrument row")


def fundings(said: Bytes) -> list[FundingRow]:
    """The rows of a funding frame."""
    return decoded(_fundings, said, "funding row")


def buckets(said: Bytes) -> list[BucketRow]:
    """The rows of an answer of trade/bucketed."""
    return decoded(_buckets, said, "bucket row")
