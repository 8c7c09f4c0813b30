"""
What a venue tells of its markets: the values that a feed hands over, whichever venue it is.

A feed (`reconciler.bitmex.public`) makes them of its venue's rows, `reconciler.strategy.market`
keeps what follows from them. Nothing here is an event of the core: nobody journals a tick. Prices
are `Decimal`, contracts and money whole numbers, times microseconds UTC by the venue's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

#: What of a market a feed tells when it is asked to, beside trades, quotes and marks.
TABLES = ("book", "book25", "book10", "funding")


class Trade(msgspec.Struct, frozen=True, gc=False):
    """Contracts changed hands in public."""

    symbol: str
    price: Decimal
    contracts: int  # without sign
    side: int  # 1: the taker bought; -1: it sold; 0: not told
    venue_us: int
    trade_id: str = ""  # empty: it has no name, and is never taken for a repeat
    value_minor: int = 0  # in minor units of the settlement currency; 0: not told


class TradeImage(msgspec.Struct, frozen=True):
    """The newest trades of a symbol as they stood when its subscription began, oldest first."""

    symbol: str
    trades: Sequence[Trade]


class Best(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask, and what rests there. None: that side is empty, or its size not told."""

    symbol: str
    bid: Decimal | None
    ask: Decimal | None
    bid_contracts: int | None
    ask_contracts: int | None
    venue_us: int


class Marked(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a venue says of an instrument all the time. None: it said nothing of that."""

    symbol: str
    venue_us: int = 0
    mark: Decimal | None = None
    index: Decimal | None = None
    funding_rate: Decimal | None = None  # what longs pay shorts at `next_funding_us`
    next_funding_us: int | None = None


class Rules(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What contracts of a symbol are worth."""

    symbol: str
    lot: int
    tick: Decimal
    multiplier: int  # minor units a contract; below zero: inverse, a contract is worth 1/price


class FundingPaid(msgspec.Struct, frozen=True, gc=False):
    """Funding was exchanged at that rate."""

    symbol: str
    rate: Decimal
    venue_us: int


class Level(msgspec.Struct, frozen=True, gc=False):
    """One price of an order book. None: what was known of it holds."""

    level_id: int
    side: int  # 1: bids; -1: asks
    price: Decimal | None
    contracts: int | None


class BookRows(msgspec.Struct, frozen=True):
    """Levels of one symbol's book, in the venue's order. An image replaces the whole book."""

    symbol: str
    action: Literal["image", "insert", "update", "delete"]
    levels: Sequence[Level]


class BookTop(msgspec.Struct, frozen=True):
    """The best levels of a book, each time all of them: (price, contracts), best first."""

    symbol: str
    bids: Sequence[tuple[Decimal, int]]
    asks: Sequence[tuple[Decimal, int]]
    venue_us: int


class Bucket(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    A bar as the venue's history has it.

    ``open_`` is the close of the bucket before, so it may lie outside low … high.
    """

    symbol: str
    start_us: int
    length_us: int
    open_: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    contracts: int
    trades: int
    turnover_minor: int


class History(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was before, joined to the stream: the next trade of the symbol that is handed over is the
    first one that is not in it.

    Attributes:
        buckets: Whole buckets of any sizes, those of one size without holes, up to `until_us`.
        until_us: Trades before it are in the buckets. 0 without buckets.
        trades: Every trade from `since_us` on, which is not after `until_us`, oldest first.
        stream_us: Since then the stream told of every trade.
        complete: False when the venue did not give all of that; `note` says why.
        bars: What was asked for, and is told with this or was told before: length of bars -> how
            many. None: all that anybody could want.
    """

    symbol: str
    buckets: Sequence[Bucket] = ()
    until_us: int = 0
    trades: Sequence[Trade] = ()
    since_us: int = 0
    stream_us: int = 0
    complete: bool = True
    note: str = ""
    bars: Mapping[int, int] | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One page of history that is to be read: from `start_us` on, oldest first, after *skip*."""

    symbol: str
    bucket_us: int  # length of the buckets; 0: trades
    start_us: int
    skip: int
    round: int  # of the joining that it is for


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Fewer `rows` than `PAGE` are the last ones there are."""

    asked: Asked
    trades: Sequence[Trade] = ()
    buckets: Sequence[Bucket] = ()
    rows: int = 0  # that came, with those that mean nothing
    failed: str = ""  # why nothing came


PAGE = 1_000  # rows


class Joined(msgspec.Struct, frozen=True):
    """The stream is in sync: every table had its image."""


class Lost(msgspec.Struct, frozen=True):
    """From here on something may be missing, until `Joined` and the images and history after it."""

    reason: str


News = (
    Trade | TradeImage | Best | Marked | Rules | FundingPaid | BookRows | BookTop | History
    | Joined | Lost
)  # fmt: skip
