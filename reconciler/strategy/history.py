"""
Look-back: what was traded before, joined to the stream without gap or overlap. Pure.

    subscribe ─> image of the trades, live trades (held back) ─┐
                  └─> pages of buckets, then of trades ────────┴─> History, then the live trades

Rule 1: the stream comes first. Trades are held back from the image of the subscription on; only
then is the past read. The newest trade of the image (else the first live one) is the *anchor*.
Rule 2: buckets are read whole, from coarse to fine, up to the newest whole minute that the venue
has; trades from there on. So every moment is told once, by a bucket or by trades.
Rule 3: trades are read until a row is the anchor, or newer than it (only newer, if the anchor has
no id: a row that looks alike may be another one). A venue whose history lags
behind its stream is asked again; when it stays behind, history ends there and says so.
Rule 4: what was held back follows, without the trades that the pages had; so do those that come
later, as pages may be ahead of the stream. A trade is known by its id; one without an id by time,
price, contracts and side, and by how many such there are.
Rule 5: a stream that was lost is joined anew, from the newest trade that was handed over on, also
when more is wanted by then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from reconciler.feed import (
    PAGE,
    Asked,
    Bucket,
    History,
    Joined,
    Lost,
    News,
    Page,
    Trade,
    TradeImage,
)
from reconciler.strategy.bars import DAY_US, SECOND_US, length_us

MINUTE_US = 60 * SECOND_US
SIZES_US = (DAY_US, 3_600 * SECOND_US, 5 * MINUTE_US, MINUTE_US)  # of buckets, coarse to fine
RETRY_US = 1_000_000  # doubled with each failure in a row
FAILURES = 8  # in a row, then history is given up until the next joining
LAGS = 60  # times that the venue may not yet have the anchor
LAG_US = 500_000
HELD = 200_000  # live trades of one symbol that are held back at most
PAGES = 200  # of trades, in one joining

Key = tuple[object, ...]


class Needs:
    """What has to be read of one symbol's past."""

    def __init__(self, bars: Mapping[str, int], trades_us: int = 0) -> None:
        """
        Args:
            bars: Length of bars -> how many of them.
            trades_us: How far back single trades are wanted.
        """
        self.bars = {length_us(name): count for name, count in bars.items()}
        self.trades_us = trades_us

    def bucket_starts(self, anchor_us: int) -> dict[int, int]:
        """Size of buckets -> from when on they are read, coarse to fine."""
        starts: dict[int, int] = {}
        for length, count in self.bars.items():
            size = next((size for size in SIZES_US if length % size == 0), 0)
            if size:
                start = anchor_us - anchor_us % length - count * length
                starts[size] = min(starts.get(size, start), start)
        for coarse, fine in pairwise(SIZES_US):
            if coarse in starts:  # the coarse bucket of now has not ended; the newest may lag
                start = anchor_us - anchor_us % coarse - coarse
                starts[fine] = min(starts.get(fine, start), start)
        return {size: max(starts[size], 0) for size in SIZES_US if size in starts}

    def trades_start(self, anchor_us: int) -> int:
        """From when on trades are read, if no bucket asks for earlier ones."""
        starts = [anchor_us - self.trades_us]
        for length, count in self.bars.items():
            if length % MINUTE_US:
                starts.append(anchor_us - anchor_us % length - count * length)
        return max(min(starts), 0)


@dataclass(slots=True)
class _Symbol:
    """How far the joining of one symbol has come."""

    symbol: str
    needs: Needs
    phase: str = "waiting"  # for the stream; then buckets, trades, joined
    round: int = 0
    newest_us: int = -1  # of the trades that were handed over
    afresh: bool = True  # all that is needed is read, and not only what is missing since then
    anchor: Trade | None = None
    at_us: int = 0  # of the anchor, or when there was none
    held: list[Trade] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # of buckets that are still to be read
    starts: dict[int, int] = field(default_factory=dict)
    buckets: list[Bucket] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    until_us: int = 0
    since_us: int = 0
    skip: int = 0
    asked: bool = False  # a page is on its way
    not_before_us: int = 0
    failures: int = 0
    lags: int = 0
    ahead: Counter[Key] = field(default_factory=Counter)  # what history had before the stream
    ahead_us: int = 0  # and until when


class Joiner:
    """
    Joins the past to the stream, symbol by symbol. Implements `reconciler.venue.Joiner`.

    Args:
        needs: Symbol -> what is wanted of its past. The trades of others pass as they come.
    """

    def __init__(self, needs: Mapping[str, Needs]) -> None:
        self._symbols = {symbol: _Symbol(symbol, each) for symbol, each in needs.items()}

    def want(self, needs: Mapping[str, Needs]) -> None:
        """More of the past is wanted. It comes with the next joining, which reads all of it."""
        for symbol, each in needs.items():
            before = self._symbols.get(symbol)
            if before is None:
                self._symbols[symbol] = _Symbol(symbol, each)
            else:
                before.needs, before.afresh = each, True

    @property
    def joined(self) -> bool:
        """Whether all of them are."""
        return all(each.phase == "joined" for each in self._symbols.values())

    def take(self, batch: Sequence[News], venue_us: int) -> list[News]:
        """What the stream told; returned is what may be handed over now."""
        told: list[News] = []
        for news in batch:
            kind = type(news)
            if kind is Trade or kind is TradeImage:
                self._traded(news, venue_us, told)  # type: ignore[arg-type]
            else:
                told.append(news)
                if kind is Joined:
                    for each in self._symbols.values():
                        if each.phase == "waiting":  # without an image of its trades
                            self._begin(each, None, venue_us)
                elif kind is Lost:
                    for each in self._symbols.values():
                        _leave(each)
        return told

    def asks(self, venue_us: int) -> list[Asked]:
        """Pages that are to be read now."""
        asks = []
        for each in self._symbols.values():
            if each.phase in ("buckets", "trades") and not each.asked:
                if venue_us >= each.not_before_us:
                    each.asked = True
                    asks.append(_next_page(each))
        return asks

    def page(self, page: Page, venue_us: int) -> list[News]:
        """A page of history came."""
        each = self._symbols.get(page.asked.symbol)
        if each is None or not each.asked or page.asked.round != each.round:
            return []  # of a joining that was given up
        each.asked = False
        if page.failed:
            each.failures += 1
            if each.failures >= FAILURES:
                return _hand_over(each, f"history could not be read: {page.failed}")
            each.not_before_us = venue_us + RETRY_US * 2 ** (each.failures - 1)
            return []
        each.failures = 0
        if page.asked.bucket_us:
            self._buckets(each, page)
            return []
        return self._trades(each, page, venue_us)

    # -- below

    def _traded(self, news: Trade | TradeImage, venue_us: int, told: list[News]) -> None:
        each = self._symbols.get(news.symbol)
        if isinstance(news, TradeImage):
            told.append(news)
            newest = news.trades[-1] if news.trades else None
            if each is not None and each.phase == "waiting":
                self._begin(each, newest, venue_us)
            elif each is not None and each.phase != "joined" and each.anchor is None:
                each.anchor = newest  # the images came after the word that all is in sync
            return
        if each is None:
            told.append(news)
        elif each.phase == "joined":
            if each.ahead:
                if _is_known(each, news):
                    return
                if news.venue_us > each.ahead_us + SECOND_US:
                    each.ahead.clear()
            told.append(news)
            each.newest_us = max(each.newest_us, news.venue_us)
        else:
            if each.phase == "waiting":
                self._begin(each, news, venue_us)
            elif each.anchor is None:
                each.anchor = news
            each.held.append(news)
            if len(each.held) > HELD:
                told += _hand_over(each, "too much was traded while history was read")

    @staticmethod
    def _begin(each: _Symbol, anchor: Trade | None, venue_us: int) -> None:
        _leave(each)
        each.anchor = anchor
        each.at_us = venue_us if anchor is None else max(anchor.venue_us, venue_us)
        if not each.afresh and each.newest_us >= 0:
            each.phase, each.since_us = "trades", each.newest_us
            return
        each.starts = each.needs.bucket_starts(each.at_us)
        each.sizes = list(each.starts)
        each.since_us = each.needs.trades_start(each.at_us)
        if anchor is not None:
            each.since_us = min(each.since_us, anchor.venue_us)
        if each.newest_us >= 0:
            each.since_us = min(each.since_us, each.newest_us)
        each.phase = "buckets" if each.sizes else "trades"

    @staticmethod
    def _buckets(each: _Symbol, page: Page) -> None:
        each.buckets += page.buckets
        each.skip += page.rows
        if page.rows >= PAGE:
            return
        each.sizes.pop(0)
        each.skip = 0
        if not each.sizes:
            each.phase = "trades"
            each.until_us = _end_of(each.buckets)
            if each.until_us:
                each.since_us = min(each.since_us, each.until_us)
            else:  # nothing was traded for so long: what trades there are, are all
                each.since_us = min(each.since_us, min(each.starts.values()))

    @staticmethod
    def _trades(each: _Symbol, page: Page, venue_us: int) -> list[News]:
        each.trades += page.trades
        each.skip += page.rows
        if page.rows >= PAGE:
            if each.skip >= PAGES * PAGE:
                return _hand_over(each, f"more than {PAGES * PAGE} trades are missing")
            return []
        if _reached(each.trades, each.anchor):
            return _hand_over(each, "")
        each.lags += 1
        if each.lags > LAGS:
            return _hand_over(each, "the venue's history stays behind its stream")
        each.not_before_us = venue_us + LAG_US
        return []


def _leave(each: _Symbol) -> None:
    """Begin anew: pages on their way are of no use, and what was held back will be read."""
    each.phase = "waiting"
    each.round += 1
    each.asked = False
    each.ahead = Counter()
    each.held, each.sizes, each.buckets, each.trades = [], [], [], []
    each.skip = each.failures = each.lags = each.until_us = each.not_before_us = 0


def _next_page(each: _Symbol) -> Asked:
    size = each.sizes[0] if each.phase == "buckets" else 0
    return Asked(
        symbol=each.symbol,
        bucket_us=size,
        start_us=each.starts[size] if size else each.since_us,
        skip=each.skip,
        round=each.round,
    )


def _end_of(buckets: Sequence[Bucket]) -> int:
    """The end of the newest bucket: whole minutes are read last, and reach farthest."""
    return max((bucket.start_us + bucket.length_us for bucket in buckets), default=0)


def _reached(trades: Sequence[Trade], anchor: Trade | None) -> bool:
    """Whether the pages have the anchor, or a newer trade."""
    if anchor is None:
        return True
    for trade in reversed(trades):
        if trade.venue_us > anchor.venue_us:
            return True
        if anchor.trade_id and trade.trade_id == anchor.trade_id:
            return True
        if trade.venue_us < anchor.venue_us:
            return False
    return False


def _key(trade: Trade) -> Key:
    if trade.trade_id:
        return (trade.trade_id,)
    return (trade.venue_us, trade.price, trade.contracts, trade.side)


def _is_known(each: _Symbol, trade: Trade) -> bool:
    """Whether history had that trade of the stream, which may be behind it."""
    key = _key(trade)
    if not each.ahead.get(key):
        return False
    each.ahead[key] -= 1
    return True


def _hand_over(each: _Symbol, note: str) -> list[News]:
    """History, then what was held back and is not in it."""
    named: set[str] = set()
    trades = [t for t in each.trades if not t.trade_id or _is_first(t.trade_id, named)]
    history = History(
        symbol=each.symbol,
        buckets=tuple(each.buckets) if each.phase == "trades" else (),
        until_us=each.until_us,
        trades=trades,
        since_us=each.since_us,
        stream_us=each.at_us,
        complete=not note,
        note=note,
        bars=each.needs.bars,
    )
    from_us = 0 if each.anchor is None else each.anchor.venue_us
    each.ahead = Counter(_key(trade) for trade in trades if trade.venue_us >= from_us)
    each.ahead_us = max((trade.venue_us for trade in trades), default=0)
    follow = [trade for trade in each.held if not _is_known(each, trade)]
    ahead, round_ = each.ahead, each.round
    each.newest_us = max([each.newest_us, *(trade.venue_us for trade in (*trades, *follow))])
    _leave(each)
    each.afresh = False
    each.phase, each.ahead, each.round = "joined", ahead, round_ + 1
    return [history, *follow]


def _is_first(name: str, seen: set[str]) -> bool:
    if name in seen:
        return False
    seen.add(name)
    return True
