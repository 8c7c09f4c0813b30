"""
Buckets of trades and quotes: 1m, 5m, 1h, 1d (protocol sheet, sections 5 and 10.5).

Rule 1: a bucket's ``timestamp`` is its END; it holds what happened before that moment.
Rule 2: ``open`` is the close of the bucket before, so it may lie outside low to high.
Rule 3: every bucket exists. One in which nothing traded has ``trades: 0`` and no ``vwap``.

Only minutes are stored; larger buckets are put together from them. REST and the websocket make
their rows here: `Bins.trade_row` and `Bins.quote_row`.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from .history import MINUTE_MS, History, Minute
from .instruments import Instrument, plain
from .orders import Row
from .times import iso

SIZES: dict[str, int] = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "1h": 3_600_000, "1d": 86_400_000}
KEPT = 7 * 1_440  # live minutes; older ones are forgotten

Quote = tuple[Decimal | None, int, Decimal | None, int]


class Bins:
    """The minutes of one instrument, from its seeded past to now."""

    def __init__(
        self, inst: Instrument, seed: int, now_ms: int, history: History | None = None
    ) -> None:
        self.inst = inst
        self.history = history or History(inst, seed, now_ms)
        self._minutes: dict[int, Minute] = {}  # by end, oldest first
        self._end_ms = self.history.until_ms + MINUTE_MS  # of the minute that is being made
        self._opened = history is not None  # whether the past has its last price
        self._close: Decimal | None = None  # of the minute before
        self._quote: Quote = (None, 0, None, 0)
        self._made: dict[tuple[str, int], Minute] = {}  # large buckets that are complete
        self._day: tuple[int, Minute | None] = (0, None)  # the whole minutes of 24 hours, by end
        self._clear()

    def _clear(self) -> None:
        self._last: Decimal | None = None
        self._high = self._low = Decimal(0)
        self._trades = self._volume = self._turnover = 0
        self._last_size: int | None = None
        self._home = self._foreign = Decimal(0)

    # -- what happens ---------------------------------------------------------------------------

    def trade(
        self, price: Decimal, size: int, value: int, home: Decimal, foreign: Decimal, now_ms: int
    ) -> None:
        """Count a trade of *size* contracts worth *value* minor units; the notionals unsigned."""
        self._begin(price)
        if now_ms >= self._end_ms:
            self.roll(now_ms)
        if self._last is None:
            self._high = self._low = price
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._last = price
        self._trades += 1
        self._volume += size
        self._turnover += value
        self._last_size = size or None
        self._home += home
        self._foreign += foreign

    def quote(self, quote: Quote, now_ms: int) -> None:
        """Take in the best prices: (bid, contracts, ask, contracts)."""
        if quote[0] is not None:
            self._begin(quote[0])
        if now_ms >= self._end_ms:
            self.roll(now_ms)
        self._quote = quote

    def _begin(self, price: Decimal) -> None:
        """The first price that is seen is where the past ends."""
        if not self._opened:
            self._opened = True
            self.history.anchor = price

    def roll(self, now_ms: int) -> None:
        """Complete the minutes that are over."""
        while self._end_ms <= now_ms:
            self._minutes[self._end_ms] = self._minute()
            if len(self._minutes) > KEPT:
                del self._minutes[next(iter(self._minutes))]
            self._close = self._minutes[self._end_ms].close
            self._clear()
            self._end_ms += MINUTE_MS
            if now_ms - self._end_ms > KEPT * MINUTE_MS:  # a clock that leapt: nothing to tell
                self._end_ms = now_ms // MINUTE_MS * MINUTE_MS

    def _minute(self) -> Minute:
        """The minute that is being made, as it stands."""
        before = self.history.anchor if self._close is None else self._close
        if self._last is None:
            return Minute(before, before, before, before, quote=self._quote)
        return Minute(
            before, self._high, self._low, self._last, self._trades, self._volume, self._turnover,
            self._last_size, self._home, self._foreign, self._quote,
        )  # fmt: skip

    # -- what is told ---------------------------------------------------------------------------

    @property
    def since_ms(self) -> int:
        """Where the oldest minute that is known begins."""
        first = next(iter(self._minutes), self._end_ms)
        if first - MINUTE_MS > self.history.until_ms:
            return first - MINUTE_MS  # the past was forgotten, too: there is no hole in a chart
        return self.history.since_ms

    def ends(self, size: str, now_ms: int, *, partial: bool) -> range:
        """The ends of all buckets, oldest first; with *partial* also of the one in the making."""
        step = SIZES[size]
        first = -(-self.since_ms // step) * step + step
        last = now_ms // step * step + (step if partial else 0)
        return range(first, last + 1, step)

    def bucket(self, size: str, end_ms: int, now_ms: int) -> Minute | None:
        """The bucket that ends at *end_ms* (for the one in the making: what there is of it)."""
        self.roll(now_ms)
        if size == "1m":
            return self._at(end_ms)
        made = self._made.get((size, end_ms))
        if made is None:
            made = _merged(self._between(end_ms - SIZES[size], end_ms))
            if made is not None and end_ms <= now_ms and size in ("1h", "1d"):
                self._made[size, end_ms] = made
        return made

    def _at(self, end_ms: int) -> Minute | None:
        if end_ms == self._end_ms:
            return self._minute()
        return self._minutes.get(end_ms) or self.history.minute(end_ms)

    def _between(self, start_ms: int, end_ms: int) -> Iterator[Minute]:
        for at in range(start_ms + MINUTE_MS, min(end_ms, self._end_ms) + 1, MINUTE_MS):
            found = self._at(at)
            if found is not None:
                yield found

    def trade_row(self, size: str, end_ms: int, now_ms: int) -> Row | None:
        """The row of ``trade/bucketed`` and of ``tradeBin*``."""
        made = self.bucket(size, end_ms, now_ms)
        if made is None:
            return None
        row: Row = {
            "timestamp": iso(end_ms), "symbol": self.inst.symbol, "open": made.open,
            "high": made.high, "low": made.low, "close": made.close, "trades": made.trades,
            "volume": made.volume,
        }  # fmt: skip
        if made.volume:
            row["vwap"] = vwap(self.inst, made.volume, made.turnover)
        if made.last_size is not None:
            row["lastSize"] = made.last_size
        row["turnover"] = made.turnover
        row["homeNotional"] = plain(made.home)
        row["foreignNotional"] = plain(made.foreign)
        return row

    def quote_row(self, size: str, end_ms: int, now_ms: int) -> Row | None:
        """The row of ``quote/bucketed`` and of ``quoteBin*``: the best prices at its end."""
        made = self.bucket(size, end_ms, now_ms)
        if made is None:
            return None
        bid, bid_size, ask, ask_size = made.quote
        row: Row = {"timestamp": iso(end_ms), "symbol": self.inst.symbol}
        if bid is not None:
            row.update(bidSize=bid_size, bidPrice=bid)
        if ask is not None:
            row.update(askPrice=ask, askSize=ask_size)
        return row

    def day(self, now_ms: int) -> Minute | None:
        """The last 24 hours in one bucket: whole minutes, and the one in the making."""
        self.roll(now_ms)
        last_ms = self._end_ms - MINUTE_MS
        if self._day[0] != last_ms:
            self._day = last_ms, _merged(self._between(self._end_ms - SIZES["1d"], last_ms))
        whole = self._day[1]
        return _merged(iter([self._minute()] if whole is None else [whole, self._minute()]))

    @property
    def opened(self) -> bool:
        """Whether there was a first price; before it the past has no end to start from."""
        return self._opened


def vwap(inst: Instrument, volume: int, turnover: int) -> Decimal:
    """
    Volume-weighted average price of *volume* contracts worth *turnover*.

    Harmonic for inverse contracts, from the value of a lot in whole minor units: rows of 2018 agree
    with 1e8 / ⌊turnover / volume⌋ (the lot was one contract then).
    """
    digits = max(4, 2 - int(inst.tick.normalize().as_tuple().exponent))
    if inst.is_inverse:
        a_lot = max(1, turnover * inst.lot // volume)
        price = Decimal(-inst.multiplier * inst.lot) / a_lot
    else:
        one = inst.value(inst.lot, Decimal(1)) or 1  # what a lot is worth at a price of one
        price = Decimal(turnover * inst.lot) / (volume * one)
    return plain(price.quantize(Decimal(1).scaleb(-digits)))


def _merged(minutes: Iterator[Minute]) -> Minute | None:
    """Several minutes as one bucket; None when there are none."""
    first = last = next(minutes, None)
    if first is None or last is None:
        return None
    high = low = None
    trades = volume = turnover = 0
    size: int | None = None
    home = foreign = Decimal(0)
    minute: Minute | None = first
    while minute is not None:
        last = minute
        if minute.trades:
            high = minute.high if high is None or minute.high > high else high
            low = minute.low if low is None or minute.low < low else low
            trades += minute.trades
            volume += minute.volume
            turnover += minute.turnover
            size = minute.last_size
            home += minute.home
            foreign += minute.foreign
        minute = next(minutes, None)
    if high is None or low is None:
        high = low = last.close
    return Minute(
        first.open, high, low, last.close, trades, volume, turnover, size, home, foreign, last.quote
    )
