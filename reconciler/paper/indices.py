"""
Price indices such as ``.BXBT``: what a contract refers to (protocol sheet, sections 5 and 10.5).

The house is all the outside world there is, so an index is where the house quotes its contract. It
ticks every five seconds as a trade of size 0, ``trdType: "Referential"``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from decimal import Decimal

from .bins import Bins
from .orders import Row
from .protocol import NO_ID, Change, changed
from .times import iso
from .venue_market import HISTORY, Market

TICK_MS = 5_000
CONSTITUENTS = ("BSTP", "GDAX", "KRKN")  # Bitstamp, Coinbase, Kraken: equal weights


class Index:
    """One price index, told by the market of a contract that refers to it."""

    def __init__(self, market: Market, seed: int, now_ms: int) -> None:
        self.market = market
        self.symbol = market.inst.reference
        inst = replace(market.inst, symbol=self.symbol, tick=Decimal("0.01"))
        self.bins = Bins(inst, seed, now_ms, market.bins.history)
        self.trades: deque[Row] = deque(maxlen=HISTORY)
        self.last = market.index
        self.direction = "ZeroPlusTick"
        self.sent = self.row(now_ms)  # the instrument row that subscribers have

    def tick(self, now_ms: int) -> Row:
        """The index is published: the row of ``trade``."""
        price = self.market.index
        if price != self.last:
            self.direction = "PlusTick" if price > self.last else "MinusTick"
        elif not self.direction.startswith("Zero"):
            self.direction = "Zero" + self.direction
        self.last = price
        self.bins.trade(price, 0, 0, Decimal(0), Decimal(0), now_ms)
        row: Row = {
            "timestamp": iso(now_ms), "symbol": self.symbol, "side": "Buy", "size": 0,
            "price": price, "tickDirection": self.direction, "trdMatchID": NO_ID,
            "trdType": "Referential",
        }  # fmt: skip
        self.trades.append(row)
        return row

    def trade_row(self, size: str, end_ms: int, now_ms: int) -> Row | None:
        """A bucket of the index: prices and ticks, for nothing is traded there."""
        row = self.bins.trade_row(size, end_ms, now_ms)
        if row is not None:
            row.pop("vwap", None)
            row.pop("lastSize", None)
            row.update(volume=0, turnover=0, homeNotional=0, foreignNotional=0)
        return row

    def row(self, now_ms: int) -> Row:
        """The full instrument row of the index."""
        inst, at = self.market.inst, iso(now_ms)
        return {
            "symbol": self.symbol, "rootSymbol": inst.root, "state": "Unlisted", "typ": "MRCXXX",
            "listing": inst.listing, "front": inst.listing, "positionCurrency": "",
            "underlying": inst.underlying, "quoteCurrency": inst.quote,
            "underlyingSymbol": f"{inst.underlying}{inst.quote}=", "reference": "BMI",
            "referenceSymbol": self.symbol, "calcInterval": "2000-01-01T00:00:05.000Z",
            "publishInterval": "2000-01-01T00:00:05.000Z", "tickSize": Decimal("0.01"),
            "multiplier": 1, "isQuanto": False, "isInverse": False, "lastPrice": self.last,
            "lastTickDirection": self.direction, "hasLiquidity": False, "markMethod": "LastPrice",
            "markPrice": self.last, "instantPnl": False, "timestamp": at,
        }  # fmt: skip

    def parts(self, at: str, price: Decimal) -> list[Row]:
        """
        Rows of ``/instrument/compositeIndex`` at one tick: each constituent, then the index itself,
        whose reference is ``BMI`` and which has no weight.
        """
        weight = Decimal("0.3333")
        rows: list[Row] = [
            {
                "timestamp": at, "symbol": f"{self.symbol}_{name}", "indexSymbol": self.symbol,
                "indexMultiplier": 1, "reference": name, "lastPrice": price, "weight": weight,
                "logged": at,
            }
            for name in CONSTITUENTS
        ]  # fmt: skip
        rows.append(
            {
                "timestamp": at, "symbol": self.symbol, "indexSymbol": self.symbol,
                "reference": "BMI", "lastPrice": price, "logged": at,
            }
        )  # fmt: skip
        return rows


class Indices:
    """All indices of a venue, by symbol."""

    def __init__(self, markets: list[Market], seed: int, now_ms: int) -> None:
        self.by_symbol: dict[str, Index] = {}
        for market in markets:
            if market.inst.reference and market.inst.reference not in self.by_symbol:
                self.by_symbol[market.inst.reference] = Index(market, seed, now_ms)
        self._next_ms = now_ms  # at once: an index has a price from the beginning

    def tick(self, now_ms: int) -> list[Change]:
        """Publish the indices when it is time: rows of ``trade`` and ``instrument``."""
        if now_ms < self._next_ms:
            return []
        self._next_ms = now_ms // TICK_MS * TICK_MS + TICK_MS
        changes: list[Change] = []
        for symbol, index in self.by_symbol.items():
            changes.append(Change("trade", "insert", None, symbol, index.tick(now_ms)))
            row = index.row(now_ms)
            delta = changed(index.sent, row, ("symbol",))
            index.sent = row
            if delta is not None:
                changes.append(Change("instrument", "update", None, symbol, delta))
        return changes
