"""
What the venue tells of itself: funding, settlements, insurance, liquidations, announcements.

Row makers and the rows that were made, oldest first (protocol sheet, sections 5, 8.3, 10.5). REST
reads the rows; whoever brings something about calls the maker and sends the row it returns.
"""

from __future__ import annotations

import random
from collections import deque
from decimal import Decimal

from .numerals import engine
from .orders import Row
from .times import iso

KEPT = 5_000  # rows of each table
PAST_DAYS = 10
DAY_MS = 86_400_000
FUNDING_MS = 8 * 3_600_000
FUNDING_OFFSET_MS = 4 * 3_600_000  # 04:00, 12:00 and 20:00 UTC
INTERVAL = "2000-01-01T08:00:00.000Z"  # eight hours, as BitMEX writes a length of time
WELCOME = (
    "This is a paper exchange. It speaks BitMEX's protocol on this machine: no order leaves "
    "it, and no money is at risk."
)


def funding_row(symbol: str, rate: Decimal, at_ms: int) -> Row:
    """A row of ``funding``: what longs paid shorts, as a rate."""
    return {
        "timestamp": iso(at_ms), "symbol": symbol, "fundingInterval": INTERVAL,
        "fundingRate": engine(rate), "fundingRateDaily": engine(rate * 3),
    }  # fmt: skip


def liquidation_row(order_id: str, symbol: str, side: str, price: Decimal, leaves: int) -> Row:
    """A row of ``liquidation``: an order with which the venue closes somebody's position."""
    return {
        "orderID": order_id, "symbol": symbol, "side": side, "price": price, "leavesQty": leaves,
    }  # fmt: skip


class Records:
    """The rows of the venue's own tables."""

    def __init__(self, perpetuals: list[str], currencies: list[str], seed: int, now_ms: int):
        self.funding: deque[Row] = deque(maxlen=KEPT)
        self.settlement: deque[Row] = deque(maxlen=KEPT)
        self.insurance: deque[Row] = deque(maxlen=KEPT)
        self.announcement: deque[Row] = deque(maxlen=KEPT)
        self.urgent: deque[Row] = deque(maxlen=KEPT)
        self.liquidation: dict[str, Row] = {}  # those that are going on, by orderID
        self._announced = 0
        self._fundings_past(perpetuals, seed, now_ms)
        self._insurance_past(currencies, seed, now_ms)
        self.announce("Welcome to the paper exchange", WELCOME, now_ms)

    def _fundings_past(self, perpetuals: list[str], seed: int, now_ms: int) -> None:
        draws = {symbol: random.Random(f"{seed}/{symbol}/funding") for symbol in perpetuals}
        last = (now_ms - FUNDING_OFFSET_MS) // FUNDING_MS * FUNDING_MS + FUNDING_OFFSET_MS
        for ago in range(3 * PAST_DAYS - 1, -1, -1):
            for symbol, draw in draws.items():
                rate = Decimal(draw.randint(-150, 350)).scaleb(-6)
                self.fund(symbol, rate, last - ago * FUNDING_MS)

    def _insurance_past(self, currencies: list[str], seed: int, now_ms: int) -> None:
        noon = (now_ms - DAY_MS // 2) // DAY_MS * DAY_MS + DAY_MS // 2
        for currency in currencies:
            draw = random.Random(f"{seed}/{currency}/insurance")
            balance = 3_600_000_000_000
            for ago in range(PAST_DAYS - 1, -1, -1):
                balance += draw.randint(-200_000_000, 500_000_000)
                self.insure(currency, balance, noon - ago * DAY_MS)
        self.insurance = deque(sorted(self.insurance, key=lambda r: str(r["timestamp"])), KEPT)

    def fund(self, symbol: str, rate: Decimal, at_ms: int) -> Row:
        """Funding was paid at *rate*."""
        row = funding_row(symbol, rate, at_ms)
        self.funding.append(row)
        return row

    def settle(self, symbol: str, price: Decimal, at_ms: int) -> Row:
        """A future was settled at *price*."""
        row: Row = {
            "timestamp": iso(at_ms), "symbol": symbol, "settlementType": "Settlement",
            "settledPrice": price,
        }  # fmt: skip
        self.settlement.append(row)
        return row

    def insure(self, currency: str, balance: int, at_ms: int) -> Row:
        """The insurance fund of a currency holds *balance* minor units."""
        row: Row = {"currency": currency, "timestamp": iso(at_ms), "walletBalance": balance}
        self.insurance.append(row)
        return row

    def announce(self, title: str, content: str, at_ms: int, *, urgent: bool = False) -> Row:
        """Tell everybody something."""
        self._announced += 1
        row: Row = {
            "id": self._announced, "link": f"/app/announcement/{self._announced}", "title": title,
            "content": content, "date": iso(at_ms),
        }  # fmt: skip
        self.announcement.append(row)
        if urgent:
            self.urgent.append(row)
        return row
