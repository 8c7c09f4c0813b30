"""The prices of one symbol, as strategies are told of them."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from reconciler.feed import Trade

_Price = Decimal | None
#: The fields of `Prices`, in their order.
Values = tuple[
    str, int, _Price, _Price, _Price, _Price, int | None, int | None, _Price, _Price, _Price,
    int | None,
]  # fmt: skip


class Prices(msgspec.Struct, frozen=True, gc=False):
    """
    The prices of one symbol at one moment. None: not known yet.

    Attributes:
        last: Price of the newest trade.
        previous: Price of the trade before it.
        index: The price of the underlying that the mark follows.
        funding: The rate of the next funding, at `next_funding_us`.
    """

    symbol: str
    venue_us: int
    last: Decimal | None
    previous: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    bid_contracts: int | None
    ask_contracts: int | None
    mark: Decimal | None
    index: Decimal | None
    funding: Decimal | None
    next_funding_us: int | None


class Tick(Prices, frozen=True, gc=False):
    """They changed. `trade` is what did it; None when a quote, a mark or an image did."""

    trade: Trade | None = None


class Snapshot(Prices, frozen=True, gc=False):
    """They are so at a whole second, `venue_us`, of the venue's clock, changed or not."""
