"""
Frames of public tables as the values of `reconciler.feed`. Pure.

What it keeps is as little as telling needs: which books had their image and which levels are in
them, and the rules of instruments, of which updates hold only what changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from reconciler.feed import (
    Best,
    BookRows,
    BookTop,
    Bucket,
    FundingPaid,
    Level,
    Marked,
    News,
    Rules,
    Trade,
    TradeImage,
)

from . import messages, public_messages
from .messages import Frame, TradeRow
from .public_messages import BucketRow, InstrumentRow
from .rows import SIGN, exact, micros

ALWAYS = ("quote", "trade", "instrument")  # the order matters: trades have their image early
#: More that may be asked for -> the table that has it.
MORE = {
    "book": "orderBookL2",
    "book25": "orderBookL2_25",
    "book10": "orderBook10",
    "funding": "funding",
}
BOOKS = ("book", "book25", "book10")  # the first that is asked for is the best: one is enough
NO_ID = "00000000-0000-0000-0000-000000000000"
_SIDES = {"Buy": 1, "Sell": -1}


def tables_of(wanted: Iterable[str]) -> list[str]:
    """
    The venue's tables for names of `MORE`.

    Raises:
        KeyError: One is not among them.
    """
    names = list(dict.fromkeys(wanted))
    books = [name for name in BOOKS if name in names]
    return [*ALWAYS, *(MORE[name] for name in names if name not in books[1:])]


class PublicRows:
    """What follows from the frames of one connection."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._symbols = frozenset(symbols)
        self._levels: dict[str, set[int]] = {}  # ids in the book of each symbol that had its image
        self._rules: dict[str, InstrumentRow] = {}
        self.newest_us = 0  # the newest timestamp of a quote or a trade
        self.unexplained = ""  # a table that told of rows which were never seen

    def watch(self, symbols: Iterable[str]) -> None:
        """These are followed from now on."""
        self._symbols = frozenset(symbols)

    def forget(self) -> None:
        """A new connection begins."""
        self._levels.clear()
        self.unexplained = ""

    def take(self, frame: Frame) -> list[News]:
        """
        What a frame of a public table says.

        Raises:
            ProtocolError: It can't be read.
        """
        table, action = frame.table, frame.action
        if table == "quote":
            return self._quotes(frame) if action in ("partial", "insert") else []
        if table == "trade":
            return self._trades(frame) if action in ("partial", "insert") else []
        if table == "instrument":
            return self._instruments(frame) if action != "delete" else []
        if table in ("orderBookL2", "orderBookL2_25"):
            return self._book(frame)
        if table == "orderBook10":
            return self._top(frame) if action != "delete" else []
        if table == "funding":
            return self._fundings(frame) if action != "delete" else []
        return []

    def _quotes(self, frame: Frame) -> list[News]:
        """Only the newest of each symbol: an older quote is of no use any more."""
        told: dict[str, News] = {}
        for row in messages.quotes(frame.data):
            symbol = row.symbol
            if symbol in self._symbols:
                venue_us = 0 if row.timestamp is None else micros(row.timestamp)
                if venue_us > self.newest_us:
                    self.newest_us = venue_us
                told[symbol] = Best(
                    symbol,
                    exact(row.bidPrice, "bidPrice"),
                    exact(row.askPrice, "askPrice"),
                    row.bidSize,
                    row.askSize,
                    venue_us,
                )
        return list(told.values())

    def _trades(self, frame: Frame) -> list[News]:
        found = [
            trade
            for row in messages.trades(frame.data)
            if row.symbol in self._symbols and (trade := trade_of(row)) is not None
        ]
        if found and found[-1].venue_us > self.newest_us:
            self.newest_us = found[-1].venue_us
        if frame.action == "insert":
            return list(found)
        named = (frame.filter or {}).get("symbol")
        symbols = dict.fromkeys([named] if isinstance(named, str) else [t.symbol for t in found])
        return [TradeImage(s, [t for t in found if t.symbol == s]) for s in symbols]

    def _instruments(self, frame: Frame) -> list[News]:
        told: list[News] = []
        for row in public_messages.instruments(frame.data):
            if row.symbol not in self._symbols:
                continue
            if (rules := self._new_rules(row)) is not None:
                told.append(rules)
            said = Marked(
                symbol=row.symbol,
                venue_us=0 if row.timestamp is None else micros(row.timestamp),
                mark=exact(row.markPrice, "markPrice"),
                index=exact(row.indicativeSettlePrice, "indicativeSettlePrice"),
                funding_rate=exact(row.fundingRate, "fundingRate"),
                next_funding_us=(
                    None if row.fundingTimestamp is None else micros(row.fundingTimestamp)
                ),
            )
            told.append(said)
        return told

    def _new_rules(self, row: InstrumentRow) -> Rules | None:
        before = self._rules.get(row.symbol)
        names = ("lotSize", "tickSize", "multiplier", "isInverse")
        said = {name: getattr(row, name) for name in names if getattr(row, name) is not None}
        if before is None:
            known = row
        elif any(getattr(before, name) != value for name, value in said.items()):
            known = msgspec.structs.replace(before, **said)
        else:
            return None
        lot, tick, multiplier = known.lotSize, exact(known.tickSize, "tickSize"), known.multiplier
        if not lot or tick is None or not multiplier or lot < 0 or tick <= 0:
            return None
        self._rules[row.symbol] = known
        signed = -abs(multiplier) if known.isInverse else multiplier
        return Rules(symbol=row.symbol, lot=lot, tick=tick, multiplier=signed)

    def _book(self, frame: Frame) -> list[News]:
        by_symbol: dict[str, list[Level]] = {}
        for row in public_messages.books(frame.data):
            if row.symbol in self._symbols:
                level = Level(
                    row.id, _SIDES.get(row.side or "", 0), exact(row.price, "price"), row.size
                )
                by_symbol.setdefault(row.symbol, []).append(level)
        if frame.action == "partial":
            named = (frame.filter or {}).get("symbol")
            if isinstance(named, str) and named in self._symbols:
                by_symbol.setdefault(named, [])
            for symbol, levels in by_symbol.items():
                self._levels[symbol] = {level.level_id for level in levels}
            return [BookRows(symbol, "image", levels) for symbol, levels in by_symbol.items()]
        told: list[News] = []
        for symbol, levels in by_symbol.items():
            if (ids := self._levels.get(symbol)) is not None:
                told += self._book_changes(frame, symbol, levels, ids)
        return told

    def _book_changes(
        self, frame: Frame, symbol: str, levels: list[Level], ids: set[int]
    ) -> list[News]:
        changed = {level.level_id for level in levels}
        if frame.action == "insert":
            ids |= changed
            return [BookRows(symbol, "insert", levels)]
        if frame.action not in ("update", "delete"):
            return []
        if not changed <= ids:
            self.unexplained = frame.table
        if frame.action == "update":
            return [BookRows(symbol, "update", levels)]
        ids -= changed
        return [BookRows(symbol, "delete", levels)]

    def _top(self, frame: Frame) -> list[News]:
        told: list[News] = []
        for row in public_messages.depths(frame.data):
            if row.symbol in self._symbols:
                venue_us = 0 if row.timestamp is None else micros(row.timestamp)
                told.append(BookTop(row.symbol, _pairs(row.bids), _pairs(row.asks), venue_us))
        return told

    def _fundings(self, frame: Frame) -> list[News]:
        told: list[News] = []
        for row in public_messages.fundings(frame.data):
            rate = exact(row.fundingRate, "fundingRate")
            if row.symbol in self._symbols and rate is not None and row.timestamp is not None:
                told.append(FundingPaid(row.symbol, rate, micros(row.timestamp)))
        return told


def trade_of(row: TradeRow) -> Trade | None:
    """A trade; None for a row without contracts, as an index has them."""
    price = exact(row.price, "price")
    if price is None or not row.size or row.size < 0 or row.timestamp is None:
        return None
    return Trade(
        row.symbol,
        price,
        row.size,
        SIGN.get(row.side or "", 0),
        micros(row.timestamp),
        "" if row.trdMatchID is None or row.trdMatchID == NO_ID else row.trdMatchID,
        row.grossValue or 0,
    )


def bucket_of(row: BucketRow, length_us: int) -> Bucket | None:
    """A bucket; None for one of a time before the first trade, which has no price."""
    prices = (exact(row.open, "open"), exact(row.close, "close"))
    opened, close = prices
    if close is None:
        return None
    return Bucket(
        symbol=row.symbol,
        start_us=micros(row.timestamp) - length_us,
        length_us=length_us,
        open_=close if opened is None else opened,
        high=_or(exact(row.high, "high"), close),
        low=_or(exact(row.low, "low"), close),
        close=close,
        contracts=row.volume or 0,
        trades=row.trades or 0,
        turnover_minor=row.turnover or 0,
    )


def _or(value: Decimal | None, other: Decimal) -> Decimal:
    return other if value is None else value


def _pairs(found: list[tuple[object, int]]) -> list[tuple[Decimal, int]]:
    return [(price, size) for p, size in found if (price := exact(p, "price")) is not None]
