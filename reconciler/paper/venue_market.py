"""
What the venue knows of one instrument beside its book: mark, last trade, volume, history.

Makes the rows of the public tables ``instrument``, ``trade``, ``quote`` and ``orderBook*``
(protocol sheet, sections 5 and 10.5).
"""

from __future__ import annotations

import random
from collections import deque
from decimal import Decimal
from uuid import UUID

from .bins import Bins, vwap
from .instruments import Instrument, plain
from .market import BUY, SELL, Book
from .numerals import engine
from .orders import Row
from .protocol import book_row
from .times import Clock, iso

FUNDING_INTERVAL_MS = 8 * 3_600_000
FUNDING_OFFSET_MS = 4 * 3_600_000  # 04:00, 12:00 and 20:00 UTC
FUNDING_RATE = Decimal("0.0001")
HISTORY = 5_000  # rows of trades and of quotes kept for REST


def next_funding(now_ms: int) -> int:
    """The first funding time after *now_ms*."""
    past = (now_ms - FUNDING_OFFSET_MS) % FUNDING_INTERVAL_MS
    return now_ms - past + FUNDING_INTERVAL_MS


class Market:
    """One instrument's public state."""

    def __init__(
        self, inst: Instrument, now_ms: int, seed: int = 0, clock: Clock | None = None
    ) -> None:
        self.inst = inst
        self.clock = clock or Clock(now_ms)
        self.bins = Bins(inst, seed, now_ms)
        self.book = Book()
        self.state = "Open"
        self.limit_up: Decimal | None = None  # no order above this price is taken (section 7) ...
        self.limit_down: Decimal | None = None  # ... and none below this one
        self.mark = inst.start_price
        self.last = inst.start_price
        self.tick_direction = "ZeroPlusTick"
        self.volume = 0  # contracts since the start
        self.turnover = 0  # minor units since the start
        self.open_interest = 0  # contracts, kept by the exchange
        self.trades: deque[Row] = deque(maxlen=HISTORY)
        self.quotes: deque[Row] = deque(maxlen=HISTORY)
        self.settled_price: Decimal | None = None
        self.funding_ms = next_funding(now_ms)  # market time
        self.funding_rate = FUNDING_RATE
        self._quoted: tuple[int | None, int, int | None, int] = (None, 0, None, 0)
        self.sent: Row = self.row(now_ms)

    @property
    def mid(self) -> Decimal | None:
        bid, ask = self.book.best(BUY), self.book.best(SELL)
        if bid is None or ask is None:
            return None
        return plain(self.inst.tick * (bid + ask) / 2)

    @property
    def index(self) -> Decimal:
        """The price of the underlying: the house quotes around it, so it is the mark."""
        return self.mark

    def remark(self) -> None:
        """Move the mark to the middle of the book, on two decimals; without both sides it stays."""
        mid = self.mid
        if mid is not None:
            self.mark = plain(mid.quantize(Decimal("0.01")))

    def traded(self, side: int, ticks: int, size: int, match_id: str, now_ms: int) -> Row:
        """Count a trade and make its public row; both notionals are positive there (8.1)."""
        inst = self.inst
        price = inst.price(ticks)
        if price > self.last:
            self.tick_direction = "PlusTick"
        elif price < self.last:
            self.tick_direction = "MinusTick"
        elif not self.tick_direction.startswith("Zero"):
            self.tick_direction = "Zero" + self.tick_direction
        self.last = price
        value = inst.value(size, price)
        self.volume += size
        self.turnover += value
        home, foreign = inst.notional(size, price)
        home, foreign = plain(abs(home)), plain(abs(foreign))
        self.bins.trade(price, size, value, home, foreign, now_ms)
        row: Row = {
            "timestamp": iso(now_ms), "symbol": inst.symbol,
            "side": "Buy" if side == BUY else "Sell", "size": size, "price": price,
            "tickDirection": self.tick_direction, "trdMatchID": match_id, "grossValue": value,
            "homeNotional": home, "foreignNotional": foreign,
            "trdType": "Regular",
        }  # fmt: skip
        self.trades.append(row)
        return row

    def fund(self, market_ms: int) -> None:
        """Funding was paid: the next is due eight hours on, in market time."""
        self.funding_ms = next_funding(market_ms)

    def quote(self, now_ms: int) -> Row | None:
        """A row of ``quote`` when the best bid or ask changed, else None."""
        book = self.book
        bid, ask = book.best(BUY), book.best(SELL)
        now = (
            bid, 0 if bid is None else book.size(BUY, bid),
            ask, 0 if ask is None else book.size(SELL, ask),
        )  # fmt: skip
        if now == self._quoted:
            return None
        self._quoted = now
        price = self.inst.price
        self.bins.quote(
            (
                None if bid is None else price(bid), now[1],
                None if ask is None else price(ask), now[3],
            ),
            now_ms,
        )  # fmt: skip
        row: Row = {"timestamp": iso(now_ms), "symbol": self.inst.symbol}
        if bid is not None:
            row.update(bidSize=now[1], bidPrice=self.inst.price(bid))
        if ask is not None:
            row.update(askPrice=self.inst.price(ask), askSize=now[3])
        self.quotes.append(row)
        return row

    def latest(self) -> list[Row]:
        """
        The last trade, be it of the past: on BitMEX everything listed has traded before.

        The official client reads the last row of ``trade`` as soon as its image is there, and ccxt
        pro waits for one.
        """
        if self.trades:
            return [self.trades[-1]]
        inst, past = self.inst, self.bins.history
        minute = past.minute(past.until_ms)
        if minute is None or minute.last_size is None:
            return []
        size = minute.last_size
        home, foreign = inst.notional(size, minute.close)
        draw = random.Random(f"{past.seed}/{inst.symbol}/last trade")
        row: Row = {
            "timestamp": iso(past.until_ms - 1), "symbol": inst.symbol,
            "side": draw.choice(("Buy", "Sell")), "size": size, "price": minute.close,
            "tickDirection": self.tick_direction,
            "trdMatchID": str(UUID(int=draw.getrandbits(128), version=4)),
            "grossValue": inst.value(size, minute.close), "homeNotional": plain(abs(home)),
            "foreignNotional": plain(abs(foreign)), "trdType": "Regular",
        }  # fmt: skip
        return [row]

    def levels(self, depth: int | None, now_ms: int) -> list[Row]:
        """Rows of orderBookL2: the sells, best last, then the buys, best first."""
        at = iso(now_ms)
        sells = [book_row(self.inst, SELL, t, s, at) for t, s in self.book.levels(SELL, depth)]
        buys = [book_row(self.inst, BUY, t, s, at) for t, s in self.book.levels(BUY, depth)]
        return sells[::-1] + buys

    def ten(self, now_ms: int) -> Row:
        """The row of orderBook10: ten [price, size] pairs a side."""
        price = self.inst.price
        return {
            "symbol": self.inst.symbol,
            "bids": [[price(t), s] for t, s in self.book.levels(BUY, 10)],
            "asks": [[price(t), s] for t, s in self.book.levels(SELL, 10)],
            "timestamp": iso(now_ms),
        }

    def row(self, now_ms: int) -> Row:
        """The full instrument row."""
        inst = self.inst
        row: Row = {
            "symbol": inst.symbol, "rootSymbol": inst.root, "state": self.state, "typ": inst.kind,
            "listing": inst.listing, "front": inst.listing,
            "positionCurrency": inst.position_currency, "underlying": inst.underlying,
            "quoteCurrency": inst.quote, "underlyingSymbol": f"{inst.underlying}=",
            "reference": "BMEX", "referenceSymbol": inst.reference, "maxOrderQty": inst.max_qty,
            "maxPrice": inst.max_price, "lotSize": inst.lot, "tickSize": inst.tick,
            "multiplier": inst.multiplier, "isQuanto": inst.is_quanto,
            "isInverse": inst.is_inverse, "initMargin": inst.init_margin,
            "maintMargin": inst.maint_margin, "riskLimit": inst.risk_limit,
            "riskStep": inst.risk_step, "makerFee": inst.maker_fee, "takerFee": inst.taker_fee,
            "settlementFee": inst.settlement_fee, "totalVolume": self.volume,
            "volume": self.volume, "totalTurnover": self.turnover, "turnover": self.turnover,
            "lastPrice": self.last, "lastTickDirection": self.tick_direction,
            "hasLiquidity": True, "markMethod": "FairPrice", "markPrice": self.mark,
            "instantPnl": False,
        }  # fmt: skip
        self._of_kind(row)
        self._of_the_day(row, now_ms)
        bid, ask, mid = self.book.best(BUY), self.book.best(SELL), self.mid
        if bid is not None:
            row["bidPrice"] = inst.price(bid)
        if ask is not None:
            row["askPrice"] = inst.price(ask)
        if mid is not None:
            row["midPrice"] = mid
        if self.limit_up is not None:
            row["limitUpPrice"] = self.limit_up
        if self.limit_down is not None:
            row["limitDownPrice"] = self.limit_down
        row["timestamp"] = iso(now_ms)
        return row

    def _of_the_day(self, row: Row, now_ms: int) -> None:
        """What was traded in the last 24 hours, the past before the opening included."""
        day = self.bins.day(now_ms) if self.bins.opened else None
        if day is None:
            return
        change = (self.last - day.open) / day.open
        row.update(
            prevPrice24h=day.open, highPrice=day.high, lowPrice=day.low,
            lastChangePcnt=plain(change.quantize(Decimal("0.0001"))), volume24h=day.volume,
            turnover24h=day.turnover, homeNotional24h=plain(day.home),
            foreignNotional24h=plain(day.foreign),
        )  # fmt: skip
        if day.volume:
            row["vwap"] = vwap(self.inst, day.volume, day.turnover)

    def _of_kind(self, row: Row) -> None:
        """What only contracts have, or only perpetuals, or only futures."""
        inst = self.inst
        if inst.is_spot:
            row["underlyingToPositionMultiplier"] = inst.underlying_scale
            row["quoteToSettleMultiplier"] = 1_000_000
            row["markMethod"] = "LastPrice"
            return
        row.update(
            settlCurrency=inst.settle, openInterest=self.open_interest,
            openValue=inst.value(self.open_interest, self.mark), fairMethod="FundingRate",
            fairPrice=self.mark, indicativeSettlePrice=self.mark,
        )  # fmt: skip
        if inst.is_inverse:
            row["underlyingToSettleMultiplier"] = inst.multiplier
        elif inst.is_quanto:
            row["quoteToSettleMultiplier"] = 100
        else:
            row["underlyingToPositionMultiplier"] = inst.underlying_scale
            row["quoteToSettleMultiplier"] = 1_000_000
        if inst.expiry_ms is not None:
            at = iso(self.clock.wall_ms(inst.expiry_ms))
            row.update(expiry=at, settle=at, fairMethod="ImpactMidPrice")
            if self.settled_price is not None:
                row["settledPrice"] = self.settled_price
            return
        row.update(
            fundingBaseSymbol=f".{inst.underlying}BON8H", fundingQuoteSymbol=f".{inst.quote}BON8H",
            fundingPremiumSymbol=f".{inst.symbol}PI8H",
            fundingTimestamp=iso(self.clock.wall_ms(self.funding_ms)),
            fundingInterval="2000-01-01T08:00:00.000Z", fundingRate=engine(self.funding_rate),
            indicativeFundingRate=engine(self.funding_rate),
        )  # fmt: skip
