"""The newest prices of each symbol. Market data is conflated: only the last word counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from reconciler.core.events import Quoted

from .messages import QuoteRow, TradeRow
from .rows import exact, micros


@dataclass(slots=True)
class _Prices:
    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_contracts: int | None = None
    ask_contracts: int | None = None
    last: Decimal | None = None
    last_us: int = 0  # of the newest trade, by the venue's clock
    mark: Decimal | None = None
    at_us: int = 0  # when the venue last spoke of the symbol


class Quotes:
    """Best bid and ask of the quote table, the last price of trades, marks of instruments."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        self._prices = {symbol: _Prices() for symbol in symbols}

    def take(self, found: list[QuoteRow], now_us: int) -> list[str]:
        """Rows of the quote table, oldest first. Returns the symbols whose prices changed."""
        changed = []
        for symbol, row in {row.symbol: row for row in found}.items():
            prices = self._prices.get(symbol)
            if prices is None:
                continue
            bid, ask = exact(row.bidPrice, "bidPrice"), exact(row.askPrice, "askPrice")
            prices.at_us = now_us
            prices.bid_contracts, prices.ask_contracts = row.bidSize, row.askSize
            if bid != prices.bid or ask != prices.ask:
                prices.bid, prices.ask = bid, ask
                changed.append(symbol)
        return changed

    def trades(self, found: list[TradeRow]) -> list[str]:
        """
        Rows of the trade table, an image or news. Returns the symbols whose last price changed.

        They don't make bid and ask any newer: `at_us` stays.
        """
        changed = []
        for row in found:
            prices = self._prices.get(row.symbol)
            price = exact(row.price, "price")
            if prices is None or price is None or not row.size or row.timestamp is None:
                continue
            venue_us = micros(row.timestamp)
            if venue_us < prices.last_us:
                continue  # an image that is older than what was told since
            prices.last_us = venue_us
            if price != prices.last:
                prices.last = price
                changed.append(row.symbol)
        return changed

    def marks(self, marks: dict[str, Decimal], now_us: int) -> list[str]:
        """Marks of symbols that the instrument table just spoke of. Returns those that changed."""
        changed = []
        for symbol, mark in marks.items():
            prices = self._prices[symbol]
            prices.at_us = now_us
            if mark != prices.mark:
                prices.mark = mark
                changed.append(symbol)
        return changed

    def quoted(self, symbol: str, now_us: int) -> Quoted | None:
        """The newest prices, None before there were any."""
        prices = self._prices.get(symbol)
        if prices is None or not prices.at_us:
            return None
        return Quoted(
            at_us=now_us,
            symbol=symbol,
            bid=prices.bid,
            ask=prices.ask,
            mark=prices.mark,
            age_us=max(now_us - prices.at_us, 0),
            last=prices.last,
            bid_contracts=prices.bid_contracts,
            ask_contracts=prices.ask_contracts,
        )
