"""The newest prices of each symbol. Market data is conflated: only the last word counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from reconciler.core.events import Quoted

from .messages import QuoteRow
from .rows import exact


@dataclass(slots=True)
class _Prices:
    bid: Decimal | None = None
    ask: Decimal | None = None
    mark: Decimal | None = None
    at_us: int = 0  # when the venue last spoke of the symbol


class Quotes:
    """Best bid and ask from the quote table, and marks from the instrument table."""

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
            if bid != prices.bid or ask != prices.ask:
                prices.bid, prices.ask = bid, ask
                changed.append(symbol)
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
        )
