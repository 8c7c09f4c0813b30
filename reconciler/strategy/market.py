"""
What a strategy sees of the markets: `market["XBTUSD"].last`, `.bid`, `.bar("15s")`, `.book` ….

Pure: the news of a feed (`reconciler.feed`) and the venue's time come in, ticks, bar events and
snapshots come out. One thread uses a `Market`; nothing here locks.

    for event in market.take(news): ...       # Tick or BarEvent, in the order to be told
    for event in market.advance(venue_us): ...  # BarEvent or Snapshot: time alone closes bars, too

Rule 1: a repeated trade (the same id) counts once. A trade without an id is never a repeat.
Rule 2: `last` is the newest trade by the venue's time; one that comes late counts in its bars only.
Rule 3: nothing is silent. Trades from the future, repeats, rows of strangers and trades too late
for every bar are counted in `counts`; bars that may lack trades say so (`complete`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from reconciler.feed import (
    Best,
    BookRows,
    BookTop,
    FundingPaid,
    History,
    Joined,
    Lost,
    Marked,
    News,
    Rules,
    Trade,
    TradeImage,
)
from reconciler.strategy.bars import (
    KEEP,
    SECOND_US,
    Bar,
    BarEvent,
    Covers,
    length_us,
    value_minor,
)
from reconciler.strategy.book import Book
from reconciler.strategy.prices import Snapshot, Tick, Values
from reconciler.strategy.series import Series

__all__ = ["Bar", "BarEvent", "Book", "Market", "Snapshot", "SymbolMarket", "Tick"]

GRACE_US = 100_000  # for a stream over a network: so long trades may be on their way
TRADES = 1_000  # the newest that are kept
#: A trade farther in the future would close bars that are not over. No less: a paper exchange may
#: run a thousand times as fast as the clock, and be minutes ahead when its next frame comes.
AHEAD_US = 3_600 * SECOND_US
IDS = 4_096  # of the newest trades, to know a repeat by


class SymbolMarket:
    """One symbol: prices, book, bars. What is not known yet is None."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.last: Decimal | None = None
        self.previous: Decimal | None = None
        self.last_trade: Trade | None = None
        self.bid: Decimal | None = None
        self.ask: Decimal | None = None
        self.bid_contracts: int | None = None
        self.ask_contracts: int | None = None
        self.mark: Decimal | None = None
        self.index: Decimal | None = None
        self.funding: Decimal | None = None  # the rate of the next funding
        self.next_funding_us: int | None = None
        self.funding_paid: FundingPaid | None = None  # the last one
        self.rules: Rules | None = None
        self.book = Book()
        self.in_sync = False  # False: what is shown may be old
        self.history_note = ""  # why bars of the past are missing, if they are
        self.venue_us = 0  # of the newest news
        self._series: dict[int, Series] = {}
        self._seen: set[str] = set()
        self._ids: deque[str] = deque()
        self._trades: deque[Trade] = deque(maxlen=TRADES)
        self._counted_us = -1  # of the newest trade in the bars; images are not in them
        self._edge: Counter[Trade] = Counter()  # those of that moment without an id, before a gap

    def bar(self, length: str) -> Bar | None:
        """The bar of now, as far as it is made; None before the first price."""
        return self._of(length).current

    def previous_bar(self, length: str) -> Bar | None:
        """The newest closed bar."""
        return self._of(length).previous

    def bars(self, length: str, count: int) -> list[Bar]:
        """Up to *count* closed bars, oldest first; fewer where history does not reach."""
        return self._of(length).last(count)

    def revised(self, length: str) -> int:
        """How often a closed bar was changed, of whichever age."""
        return self._of(length).revised

    def trades(self, count: int) -> list[Trade]:
        """Up to *count* of the newest trades, oldest first, as they came."""
        return list(self._trades)[-count:] if count > 0 else []

    def tick(self, trade: Trade | None = None) -> Tick:
        """The prices as they are, after a change."""
        return Tick(*self._prices(self.venue_us), trade)

    def snapshot(self, venue_us: int) -> Snapshot:
        """The prices as they are at *venue_us*."""
        return Snapshot(*self._prices(venue_us))

    def _prices(self, venue_us: int) -> Values:
        return (
            self.symbol,
            venue_us,
            self.last,
            self.previous,
            self.bid,
            self.ask,
            self.bid_contracts,
            self.ask_contracts,
            self.mark,
            self.index,
            self.funding,
            self.next_funding_us,
        )

    def _of(self, length: str) -> Series:
        series = self._series.get(length_us(length))
        if series is None:
            raise KeyError(f"no bars of {length} of {self.symbol} were asked for")
        return series

    # -- for Market

    def _want(self, length: int, keep: int, grace_us: int) -> None:
        before = self._series.get(length)
        if before is None:
            series = Series(self.symbol, length, keep=keep, grace_us=grace_us)
            self._series[length] = series
            if self.rules is not None:
                series.multiplier = self.rules.multiplier
        else:
            before.keep_more(keep)

    def _repeats(self, trade: Trade) -> bool:
        name = trade.trade_id
        if not name:
            return False
        if name in self._seen:
            return True
        self._seen.add(name)
        self._ids.append(name)
        if len(self._ids) > IDS:
            self._seen.discard(self._ids.popleft())
        return False

    def _was_last(self, trade: Trade) -> bool:
        """Whether history tells once more of a trade without an id that came just before a gap."""
        if not self._edge or not self._edge[trade]:
            return False
        self._edge[trade] -= 1
        return True

    def _price(self, trade: Trade) -> bool:
        """Take its price, if it is the newest."""
        newest = self.last_trade
        if newest is not None and trade.venue_us < newest.venue_us:
            return False
        self.previous, self.last, self.last_trade = self.last, trade.price, trade
        return True

    def _value(self, trade: Trade) -> int:
        if trade.value_minor or self.rules is None:
            return trade.value_minor
        return value_minor(self.rules, trade.price, trade.contracts)

    def _count(self, trade: Trade) -> list[BarEvent]:
        """Count it in the bars."""
        self._note(trade)
        value = self._value(trade)
        told: list[BarEvent] = []
        for series in self._series.values():
            told += series.take(trade, value)
        return told

    def _note(self, trade: Trade) -> None:
        self._trades.append(trade)
        self._counted_us = max(self._counted_us, trade.venue_us)

    def _joined(self) -> None:
        self.in_sync = True

    def _lost(self) -> None:
        self.in_sync = False
        self.book.clear()
        last = (t for t in self._trades if t.venue_us == self._counted_us and not t.trade_id)
        self._edge = Counter(last)
        for series in self._series.values():
            series.gap(self._counted_us)


class Market(Mapping[str, SymbolMarket]):
    """
    All symbols that were asked for.

    Args:
        symbols: Their names.
        bars: Symbol -> lengths of bars, as ``("15s", "1h")``.
        keep: Closed bars of each length that are kept at least.
        grace_us: How long after its end a bar waits for trades on their way.

    Attributes:
        venue_us: The venue's time, as far as it was told.
        counts: repeats, strangers, from_the_future, late: what happened to trades out of line.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        bars: Mapping[str, Iterable[str]] | None = None,
        *,
        keep: int = KEEP,
        grace_us: int = 0,
    ) -> None:
        self._symbols = {symbol: SymbolMarket(symbol) for symbol in symbols}
        self._grace_us = grace_us
        self._second = 0
        self._advanced = False
        self._next_us = 0  # nothing of the bars is due before
        self.venue_us = 0
        self.counts = {"repeats": 0, "strangers": 0, "from_the_future": 0, "late": 0}
        for symbol, lengths in (bars or {}).items():
            for length in lengths:
                self.want(symbol, length, keep)

    def __getitem__(self, symbol: str) -> SymbolMarket:
        return self._symbols[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._symbols)

    def __len__(self) -> int:
        return len(self._symbols)

    @property
    def too_late(self) -> int:
        """Trades older than every bar of a length, counted once a length."""
        return sum(
            series.too_late
            for market in self._symbols.values()
            for series in market._series.values()
        )

    @property
    def due_us(self) -> int:
        """The venue's time at which `advance` has something to tell next."""
        return min(self._next_us, (self._second + 1) * SECOND_US)

    def add(self, symbols: Iterable[str]) -> None:
        """Look at more of them. Nothing is known of those until the stream begins anew."""
        new = [symbol for symbol in symbols if symbol not in self._symbols]
        self._symbols = self._symbols | {symbol: SymbolMarket(symbol) for symbol in new}

    def want(self, symbol: str, length: str, keep: int = KEEP) -> None:
        """Make bars of *length*, too. Those of the past come with the next history."""
        self._symbols[symbol]._want(length_us(length), keep, self._grace_us)
        self._next_us = 0

    def take(self, news: News) -> list[Tick | BarEvent]:
        """Take in what a feed told. What follows is to be told in this order."""
        if isinstance(news, (Joined, Lost)):
            for each in self._symbols.values():
                each._joined() if isinstance(news, Joined) else each._lost()
            return []
        market = self._symbols.get(news.symbol)
        if market is None:
            self.counts["strangers"] += 1
            return []
        if type(news) is Best:
            return self._best(market, news)
        if type(news) is Trade:
            return self._trade(market, news)
        if type(news) is Marked:
            return self._marked(market, news)
        return self._rare(market, news)

    def advance(self, venue_us: int) -> list[BarEvent | Snapshot]:
        """The venue's clock says *venue_us*: bars end, and each second has its snapshot."""
        told: list[BarEvent | Snapshot] = []
        self._advanced = True
        self.venue_us = max(self.venue_us, venue_us)
        if venue_us >= self._next_us:
            for market in self._symbols.values():
                for series in market._series.values():
                    told += series.advance(venue_us)
            self._due()
        second = self.venue_us // SECOND_US
        if second > self._second:
            self._second = second
            told += [m.snapshot(second * SECOND_US) for m in self._symbols.values()]
        return told

    # -- news, one by one

    def _best(self, market: SymbolMarket, best: Best) -> list[Tick | BarEvent]:
        changed = (
            best.bid != market.bid
            or best.ask != market.ask
            or best.bid_contracts != market.bid_contracts
            or best.ask_contracts != market.ask_contracts
        )
        if not changed:
            return []
        market.bid, market.ask = best.bid, best.ask
        market.bid_contracts, market.ask_contracts = best.bid_contracts, best.ask_contracts
        self._seen_at(market, best.venue_us)
        return [market.tick()]

    def _trade(self, market: SymbolMarket, trade: Trade) -> list[Tick | BarEvent]:
        if self._advanced and trade.venue_us > self.venue_us + AHEAD_US:
            self.counts["from_the_future"] += 1
            for series in market._series.values():
                series.lack_one()
            return []
        if market._repeats(trade):
            self.counts["repeats"] += 1
            return []
        told: list[Tick | BarEvent] = []
        newest = market._price(trade)
        told += market._count(trade)
        if market._series:
            if told or trade.venue_us >= self._next_us:  # one was opened: it is to be closed
                self._due()
        if newest:
            self._seen_at(market, trade.venue_us)
            told.append(market.tick(trade))
        else:
            self.counts["late"] += 1
        return told

    def _marked(self, market: SymbolMarket, said: Marked) -> list[Tick | BarEvent]:
        before = (market.mark, market.index, market.funding, market.next_funding_us)
        if said.mark is not None:
            market.mark = said.mark
        if said.index is not None:
            market.index = said.index
        if said.funding_rate is not None:
            market.funding = said.funding_rate
        if said.next_funding_us is not None:
            market.next_funding_us = said.next_funding_us
        if before == (market.mark, market.index, market.funding, market.next_funding_us):
            return []
        self._seen_at(market, said.venue_us)
        return [market.tick()]

    def _rare(self, market: SymbolMarket, news: News) -> list[Tick | BarEvent]:
        if isinstance(news, BookRows):
            market.book.take(news)
        elif isinstance(news, BookTop):
            market.book.replace(news)
        elif isinstance(news, FundingPaid):
            market.funding_paid = news
        elif isinstance(news, Rules):
            market.rules = news
            for series in market._series.values():
                series.multiplier = news.multiplier
        elif isinstance(news, TradeImage):
            return self._image(market, news)
        elif isinstance(news, History):
            return self._history(market, news)
        return []

    def _image(self, market: SymbolMarket, image: TradeImage) -> list[Tick | BarEvent]:
        """What was traded last, before the stream: prices, and no bars; those are of history."""
        changed = [market._price(trade) for trade in image.trades]
        if not any(changed) or market.last_trade is None:
            return []
        self._seen_at(market, market.last_trade.venue_us)
        return [market.tick()]

    def _history(self, market: SymbolMarket, history: History) -> list[Tick | BarEvent]:
        """
        What was before, joined to the next trade.

        It makes the bars of the past the first time, to be looked at and not to be acted on: they
        are not told. After a gap it fills in: what it changes is told as of any late trade.
        """
        market.history_note = history.note
        told: list[BarEvent] = []
        covers = Covers(history.buckets)
        begun: list[Series] = []
        known_us: dict[int, int] = {}
        for length, series in market._series.items():
            known_us[length] = history.since_us if history.complete else history.stream_us
            if series.goes_on(history.since_us):
                begun.append(series)
                continue
            series.begin_anew()
            if covers.fit(length):
                installed_us = series.install(covers, history.until_us)
                if installed_us is not None and history.complete:
                    known_us[length] = installed_us
        for trade in history.trades:
            told += self._past(market, trade, begun)
        for length, series in market._series.items():
            told += series.filled(known_us[length])
        self._due()
        if market.last_trade is not None:
            self._seen_at(market, market.last_trade.venue_us)
        lengths = {series.length_us for series in begun}
        told = [one for one in told if one.bar.length_us in lengths]
        return [*told, market.tick()]

    @staticmethod
    def _past(market: SymbolMarket, trade: Trade, begun: list[Series]) -> list[BarEvent]:
        """A trade of history: all that fresh bars have, and what a gap had hidden from others."""
        repeats = market._repeats(trade) or market._was_last(trade)
        if not repeats:
            market._price(trade)
            market._note(trade)
        told: list[BarEvent] = []
        value = market._value(trade)
        for series in market._series.values():
            if series not in begun or not (repeats or trade.venue_us < series.resume_us):
                told += series.take(trade, value)
        return told

    def _seen_at(self, market: SymbolMarket, venue_us: int) -> None:
        if not self._advanced or venue_us <= self.venue_us + AHEAD_US:
            market.venue_us = max(market.venue_us, venue_us)
            self.venue_us = max(self.venue_us, venue_us)

    def _due(self) -> None:
        """When the next bar is to be closed."""
        self._next_us = min(
            (
                series.next_us
                for market in self._symbols.values()
                for series in market._series.values()
                if series.next_us
            ),
            default=1 << 62,
        )
