"""
Bars of any length, made of trades. Pure: the venue's time comes in.

Rule 1: a bar holds the trades of [start, end), and there is one for every stretch.
Rule 2: `open` is the close of the bar before, as in the venue's own buckets; only a bar without one
before it opens at its first trade. So `open` may lie outside low … high. A bar without trades
carries the last close in all four prices, and no contracts.
Rule 3: within a bar trades count by venue time, and by arrival where that is equal: `close` is the
price of the newest.
Rule 4: a bar is closed when the venue's clock, told by `advance` or by a trade, has reached its end
and a grace beyond it. Then it is told, and so is the opening of the next one.
Rule 5: a trade of a bar that was closed is counted where it belongs. Each bar that it changes is
told once more as *revised*. So in the end bars do not depend on the order of arrival. Trades older
than the oldest bar that is kept are counted in `too_late`.
Rule 6: `complete` is False where trades may be missing: we began in the middle, lost the stream
and history did not fill the gap, or left one out whose time makes no sense.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from reconciler.feed import Bucket, Trade
from reconciler.strategy.bars import KEEP, Bar, BarEvent, Covers, merged


class _Making:
    """A bar that is being made. Without trades, its prices are those of the bar before."""

    __slots__ = (
        "close", "complete", "contracts", "high", "last_us", "low", "open", "start_us", "trades",
        "turnover_minor",
    )  # fmt: skip

    def __init__(self, start_us: int, before: Decimal, last_us: int, *, complete: bool) -> None:
        self.start_us = start_us
        self.open = self.high = self.low = self.close = before
        self.contracts = self.trades = self.turnover_minor = 0
        self.last_us = last_us
        self.complete = complete

    def add(self, trade: Trade, value: int) -> None:
        price = trade.price
        if not self.trades:
            self.high = self.low = self.close = price
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        if trade.venue_us >= self.last_us:
            self.close, self.last_us = price, trade.venue_us
        self.trades += 1
        self.contracts += trade.contracts
        self.turnover_minor += value

    def follow(self, before: Decimal, last_us: int) -> None:
        """The bar before it is now known to close at *before*."""
        self.open = before
        if not self.trades:
            self.high = self.low = self.close = before
            self.last_us = last_us


class Series:
    """The bars of one symbol and one length: those closed, and those being made."""

    def __init__(self, symbol: str, length: int, *, keep: int = KEEP, grace_us: int = 0) -> None:
        self.symbol = symbol
        self.length_us = length
        self.too_late = 0  # trades older than every bar that is kept
        self.revised = 0  # how often a closed bar was changed
        self.covered = 0  # trades that the buckets of history have counted
        self.skipped = 0  # bars that were not made, as the clock leapt over more than are kept
        self.multiplier = 0
        self._keep = max(keep, 2)
        self._grace_us = grace_us
        self._closed: list[Bar] = []  # oldest first, without holes
        self._making: list[_Making] = []  # the same, and the last of them is the current one
        self.next_us = 0  # when the oldest that is being made is to be closed
        self._known_us: int | None = None  # since when no trade is missing; None: some may be
        self._known_before: tuple[int, int] | None = None  # the same, and until when, before a gap
        self.resume_us = 0  # history that fills a gap is counted from here on
        self._from_us = 0  # trades before this are in the bars already
        self._origin = (-1, -1)  # start of a bar without one before it, time of its first trade

    # -- what is there

    @property
    def current(self) -> Bar | None:
        """The bar of now, as far as it is made; None before the first price."""
        return self._bar(self._making[-1]) if self._making else None

    @property
    def previous(self) -> Bar | None:
        """The newest closed bar."""
        return self._closed[-1] if self._closed else None

    def last(self, count: int) -> list[Bar]:
        """Up to *count* closed bars, oldest first."""
        return self._closed[-count:] if count > 0 else []

    # -- what happens

    def keep_more(self, keep: int) -> None:
        """At least *keep* closed bars are wanted."""
        self._keep = max(self._keep, keep)

    def _begin(self, at_us: int, price: Decimal) -> list[BarEvent]:
        """The first bar, that of *at_us*, opens at *price*."""
        start_us = at_us - at_us % self.length_us
        self._making.append(_Making(start_us, price, 0, complete=self._knows(start_us)))
        self.next_us = start_us + self.length_us + self._grace_us
        return [BarEvent("open", self._bar(self._making[0]))]

    def take(self, trade: Trade, value: int) -> list[BarEvent]:
        """Count a trade. Bars whose end and grace it shows to be over are closed before it."""
        told: list[BarEvent] = []
        if trade.venue_us < self._from_us:
            self.covered += 1
            return told
        if not self._making:
            told += self._begin(trade.venue_us, trade.price)
            self._origin = (self._making[0].start_us, trade.venue_us)
        told += self.advance(trade.venue_us)
        making = self._making
        start_us = trade.venue_us - trade.venue_us % self.length_us
        if start_us < making[0].start_us:
            return told + self._late(start_us, trade, value)
        while making[-1].start_us < start_us:  # within the grace of those before it
            self._open_next()
        bar = making[(start_us - making[0].start_us) // self.length_us]
        if self._opens(start_us, trade):
            bar.open = trade.price
        bar.add(trade, value)
        return told

    def advance(self, now_us: int) -> list[BarEvent]:
        """The venue's clock says *now_us*: close what is over, whether or not it had trades."""
        if not self._making or now_us < self.next_us:
            return []
        told: list[BarEvent] = []
        behind = (now_us - self.next_us) // self.length_us
        if behind > self._keep:
            return self._leap(now_us)
        while now_us >= self.next_us:
            told += self._close_oldest()
        return told

    def gap(self, newest_us: int) -> None:
        """After *newest_us* trades may be missing, until `filled`: no bar now made is complete."""
        if self._known_us is not None:
            self._known_before = (self._known_us, newest_us)
        self._known_us = None
        self.resume_us = newest_us
        for making in self._making:
            making.complete = False

    def lack_one(self) -> None:
        """A trade was left out, for its time makes no sense: it belongs to a bar that is made."""
        for making in self._making:
            making.complete = False

    def filled(self, since_us: int) -> list[BarEvent]:
        """No trade since *since_us* is missing: bars that begin then or later are complete."""
        before, self._known_before = self._known_before, None
        if before is not None and since_us <= before[1]:
            since_us = before[0]
        self._known_us = since_us
        told = []
        for at, bar in enumerate(self._closed):
            if bar.start_us >= since_us and not bar.complete:
                told.append(self._revise(at, complete=True))
        for making in self._making:
            making.complete = self._knows(making.start_us)
        return told

    def goes_on(self, since_us: int) -> bool:
        """Whether history from *since_us* on fills these bars in; else they begin with it."""
        return bool(self._making) and since_us > (self._closed or self._making)[0].start_us

    def begin_anew(self) -> None:
        """Forget what was made: history has all of it, and what was before."""
        self._making.clear()
        self._closed.clear()
        self._origin = (-1, -1)

    def install(self, covers: Covers, until_us: int) -> int | None:
        """
        Begin with what the venue's buckets say of the time before *until_us*.

        Only before the first price of the stream.

        Returns:
            Since when no trade is missing; None: they don't reach to the end of a bar of ours.
        """
        assert not self._making
        start_us = until_us - until_us % self.length_us
        parts = covers.of(start_us, until_us)
        bars: list[Bar] = []
        at_us = start_us
        while len(bars) < self._keep:
            whole = covers.of(at_us - self.length_us, at_us)
            if not whole:
                break
            at_us -= self.length_us
            bars.append(merged(whole, self.length_us, self.multiplier))
        if parts is None or not (parts or bars):
            return None
        self._closed = bars[::-1]
        self._making.append(self._begun(start_us, parts))
        self._from_us = until_us
        self.next_us = start_us + self.length_us + self._grace_us
        return at_us

    def _begun(self, start_us: int, parts: list[Bucket]) -> _Making:
        """The bar of now, as far as buckets have it."""
        if not parts:
            before = self._closed[-1]
            return _Making(start_us, before.close, before.last_us, complete=True)
        bar = merged(parts, self.length_us, self.multiplier)
        made = _Making(start_us, bar.open, 0, complete=True)
        made.high, made.low, made.close = bar.high, bar.low, bar.close
        made.contracts, made.trades = bar.contracts, bar.trades
        made.turnover_minor = bar.turnover_minor
        return made

    # -- below

    def _bar(self, made: _Making) -> Bar:
        return Bar(
            symbol=self.symbol,
            start_us=made.start_us,
            length_us=self.length_us,
            open=made.open,
            high=made.high,
            low=made.low,
            close=made.close,
            contracts=made.contracts,
            trades=made.trades,
            turnover_minor=made.turnover_minor,
            last_us=made.last_us,
            multiplier=self.multiplier,
            complete=made.complete,
        )

    def _open_next(self) -> None:
        newest = self._making[-1]
        start_us = newest.start_us + self.length_us
        complete = self._knows(start_us)
        self._making.append(_Making(start_us, newest.close, newest.last_us, complete=complete))

    def _knows(self, start_us: int) -> bool:
        return self._known_us is not None and start_us >= self._known_us

    def _opens(self, start_us: int, trade: Trade) -> bool:
        """Whether a bar without one before it opens at *trade*, which is older than its others."""
        if self._origin[0] != start_us or trade.venue_us >= self._origin[1]:
            return False
        self._origin = (start_us, trade.venue_us)
        return True

    def _close_oldest(self) -> list[BarEvent]:
        if len(self._making) == 1:
            self._open_next()
        over = self._making.pop(0)
        following = self._making[0]
        following.follow(over.close, over.last_us)
        self.next_us += self.length_us
        bar = self._bar(over)
        self._closed.append(bar)
        if len(self._closed) > 2 * self._keep:
            del self._closed[: -self._keep]
        return [BarEvent("close", bar), BarEvent("open", self._bar(following))]

    def _leap(self, now_us: int) -> list[BarEvent]:
        """The clock leapt over more bars than are kept: tell none of them, and begin anew."""
        told: list[BarEvent] = []
        while len(self._making) > 1 or self._making[0].trades:
            told += self._close_oldest()[:1]
        last = self._making.pop()
        begun_us = now_us - now_us % self.length_us
        self.skipped += (begun_us - last.start_us) // self.length_us
        self._closed.clear()
        self._origin = (-1, -1)
        return told + self._begin(now_us, last.close)

    def _late(self, start_us: int, trade: Trade, value: int) -> list[BarEvent]:
        """Count a trade of a closed bar, and tell each bar that it changes."""
        first_us = self._closed[0].start_us if self._closed else self._making[0].start_us
        if start_us < first_us:
            self.too_late += 1
            return []
        at = (start_us - first_us) // self.length_us
        bar = self._closed[at]
        newest = trade.venue_us >= bar.last_us or not bar.trades
        told = [
            self._revise(
                at,
                open=trade.price if self._opens(start_us, trade) else bar.open,
                high=max(bar.high, trade.price) if bar.trades else trade.price,
                low=min(bar.low, trade.price) if bar.trades else trade.price,
                close=trade.price if newest else bar.close,
                last_us=trade.venue_us if newest else bar.last_us,
                contracts=bar.contracts + trade.contracts,
                trades=bar.trades + 1,
                turnover_minor=bar.turnover_minor + value,
            )
        ]
        return told + self._carry(at) if newest else told

    def _carry(self, at: int) -> list[BarEvent]:
        """The bar at *at* closes elsewhere: the next one opens there, an empty one stays there."""
        told: list[BarEvent] = []
        before = self._closed[at]
        for place in range(at + 1, len(self._closed)):
            bar, price = self._closed[place], before.close
            if bar.trades:
                return [*told, self._revise(place, open=price)] if bar.open != price else told
            told.append(
                self._revise(
                    place, open=price, high=price, low=price, close=price, last_us=before.last_us
                )
            )
            before = self._closed[place]
        close, last_us = before.close, before.last_us
        for making in self._making:
            making.follow(close, last_us)
            if making.trades:
                break
            close, last_us = making.close, making.last_us
        return told

    def _revise(self, at: int, **changes: object) -> BarEvent:
        bar = self._closed[at]
        revised = msgspec.structs.replace(bar, revision=bar.revision + 1, **changes)
        self._closed[at] = revised
        self.revised += 1
        return BarEvent("revised", revised)
