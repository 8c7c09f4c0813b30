"""Market data without a key, over real sockets, from the paper exchange."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciler.bitmex import PublicFeed
from reconciler.bitmex.public import conflated
from reconciler.errors import ConfigError
from reconciler.feed import Best, BookRows, FundingPaid, History, Joined, Lost, News, Trade
from reconciler.paper import PaperExchange
from reconciler.strategy.history import Joiner, Needs
from reconciler.strategy.market import Market

from .conftest import Paper

SYMBOLS = ("XBTUSD", "ETHUSD")
BARS = {"1s": 30, "1m": 20, "1h": 3}


class Listener:
    """A feed and a market behind it; the feed's thread fills both."""

    def __init__(self, url: str, *, tables: Sequence[str] = (), **more: Any) -> None:
        self.told: list[News] = []
        self.changed = threading.Condition()
        self.market = Market(SYMBOLS, dict.fromkeys(SYMBOLS, BARS))
        self.crashes: list[BaseException] = []
        self.joiner = Joiner({symbol: Needs(BARS) for symbol in SYMBOLS})
        self.feed = PublicFeed(
            url,
            SYMBOLS,
            self.sink,
            tables=tables,
            joiner=self.joiner,
            rest_timeout_s=2,
            on_crash=self.crashes.append,
            **more,
        )
        self.feed.start()

    def sink(self, batch: Sequence[News]) -> None:
        with self.changed:
            self.told += batch
            for news in batch:
                self.market.take(news)
            self.changed.notify_all()

    def until(self, holds: Callable[[], bool], within_s: float = 30) -> None:
        with self.changed:
            assert self.changed.wait_for(holds, within_s), self.told[-5:]

    def count(self, kind: type) -> int:
        return sum(isinstance(news, kind) for news in self.told)

    @property
    def whole(self) -> bool:
        """In sync, and nothing of the past is missing."""
        return self.joiner.joined and all(one.in_sync for one in self.market.values())

    @property
    def losses(self) -> list[Lost]:
        return [news for news in self.told if isinstance(news, Lost)]

    def joined(self, times: int = 1) -> None:
        """In sync, with the history of both symbols, that many times."""
        self.until(lambda: self.count(History) >= times * len(SYMBOLS))


@pytest.fixture
def busy() -> Iterator[Paper]:
    """A paper exchange whose market moves, and trades."""
    with PaperExchange(port=0, seed=7, symbols=SYMBOLS, walk=True) as venue:
        yield Paper(venue)


@pytest.fixture
def listening(busy: Paper) -> Iterator[Callable[..., Listener]]:
    opened: list[Listener] = []

    def open_(**more: Any) -> Listener:
        opened.append(Listener(busy.url, **more))
        return opened[-1]

    yield open_
    for listener in opened:
        listener.feed.close(3)
        assert not listener.crashes
    assert not [t for t in threading.enumerate() if t.name == "bitmex-public"]


def test_the_market_is_seen_without_a_key(listening: Callable[..., Listener]) -> None:
    """Prices, book, funding, bars of the past: all that a strategy asks for, from nothing."""
    listener = listening(tables=("book25", "funding"))
    listener.joined()
    xbt = listener.market["XBTUSD"]
    listener.until(lambda: listener.count(Trade) > 0 and xbt.mark is not None)
    with listener.changed:
        assert xbt.in_sync
        assert xbt.bid is not None
        assert xbt.ask is not None
        assert xbt.bid < xbt.ask
        assert xbt.rules is not None
        assert xbt.rules.multiplier == -100_000_000
        assert xbt.index is not None
        assert xbt.next_funding_us is not None
        assert xbt.funding_paid is not None
        assert len(xbt.book.bids()) == len(xbt.book.asks()) == 25
        assert len(xbt.bars("1m", 20)) == 20
        assert all(bar.complete for bar in xbt.bars("1m", 20))
        assert len(xbt.bars("1h", 3)) == 3
        assert all(news.complete for news in listener.told if isinstance(news, History))
        assert listener.count(FundingPaid)
        assert abs(listener.feed.venue_us() - time.time_ns() // 1000) < 2_000_000
        assert listener.feed.health()["stream"] == "live"


def test_a_lost_stream_is_joined_again(busy: Paper, listening: Callable[..., Listener]) -> None:
    """
    The connection goes, by the venue or by us; what was traded meanwhile is filled in, so that bars
    of the stream and those that the venue has in the end agree to the last contract.
    """
    listener = listening()
    listener.joined()
    busy.tell("disconnect")
    listener.until(lambda: listener.count(Lost) == 1)
    listener.joined(2)
    listener.feed.rejoin("we fell behind")
    listener.joined(3)
    listener.until(lambda: listener.count(Joined) == 3)
    xbt = listener.market["XBTUSD"]
    bars_before = listener.count(Trade)
    listener.until(lambda: listener.count(Trade) > bars_before)
    names = [trade.trade_id for trade in xbt.trades(1_000)]
    assert len(names) == len(set(names))
    url = f"{busy.url}/api/v1/trade?symbol=XBTUSD&count=1000&reverse=true"
    with urllib.request.urlopen(url, timeout=5) as answer:
        theirs = [row["trdMatchID"] for row in json.load(answer)][::-1]
    with listener.changed:
        names = [trade.trade_id for trade in xbt.trades(1_000)]
    last = theirs.index(names[-1]) if names[-1] in theirs else len(theirs) - 1
    first = theirs.index(names[0])
    assert names[: last - first + 1] == theirs[first : last + 1]
    assert listener.feed.health()["reconnects"] == 2


def test_what_cannot_be_read_begins_anew(listening: Callable[..., Listener]) -> None:
    """
    A trade or a level that was not understood is missing from then on: images and history bring it.
    A quote is healed by the next one.
    """
    listener = listening(tables=("book",))
    listener.joined()

    def hear(frame: str) -> None:
        listener.feed._loop.call_soon(lambda: listener.feed.stream_said(frame.encode(), []) or ())

    hear('{"table":"quote","action":"insert","data":[{"symbol":5}]}')
    broken = (
        ('{"table":"trade","action":"insert","data":[{"symbol":"XBTUSD","size":"1"}]}', "trade"),
        (
            '{"table":"orderBookL2","action":"delete","data":[{"symbol":"XBTUSD","id":7}]}',
            "a change of a level never seen",
        ),
        ('{"status":429,"error":"Rate limit exceeded, retry in 1 seconds."}', "Rate limit"),
    )
    for frame, reason in broken:
        hear(frame)
        listener.until(lambda why=reason: any(why in one.reason for one in listener.losses))
        listener.until(lambda: listener.whole, 30)
    assert listener.feed.health()["frames_refused"] == 2
    assert listener.feed.health()["stream"] == "live"


def test_a_stamp_of_another_age_moves_no_clock(listening: Callable[..., Listener]) -> None:
    """One row of the year 9999 would close every bar of today, and none would come after it."""
    listener = listening()
    listener.joined()
    feed = listener.feed
    with listener.changed:
        listener.market.advance(feed.venue_us())
    row = '{"symbol":"XBTUSD","bidPrice":7,"askPrice":8,"timestamp":"9999-12-31T00:00:00.000Z"}'
    frame = f'{{"table":"quote","action":"insert","data":[{row}]}}'.encode()
    feed._loop.call_soon(lambda: feed.stream_said(frame, []) or ())
    listener.until(lambda: feed.health()["frames_refused"] == 1)
    assert abs(feed.venue_us() - time.time() * 1e6) < 60e6
    listener.until(lambda: listener.market["XBTUSD"].bid not in (None, Decimal(7)))
    assert abs(listener.market["XBTUSD"].venue_us - time.time() * 1e6) < 60e6


def test_an_error_of_ours_is_told_and_ends_it(busy: Paper) -> None:
    """Whoever listens raises: the feed does not go on as if nothing had happened."""
    crashed = threading.Event()
    errors: list[BaseException] = []

    def broken(batch: Sequence[News]) -> None:
        raise ZeroDivisionError("in the sink")

    def told(error: BaseException) -> None:
        errors.append(error)
        crashed.set()

    feed = PublicFeed(busy.url, SYMBOLS, broken, on_crash=told)
    feed.start()
    try:
        assert crashed.wait(10)
        assert str(errors[0]) == "in the sink"
        feed._loop.thread.join(5)
        assert not feed._loop.thread.is_alive()
        feed.rejoin("to nobody")
    finally:
        feed.close(3)


def test_more_can_be_asked_for_while_it_runs(listening: Callable[..., Listener]) -> None:
    """Another table is subscribed to with a new beginning."""
    listener = listening()
    listener.joined()
    assert not listener.count(BookRows)
    listener.feed.want({"XBTUSD": Needs({"1m": 40})}, ("book10", "book25"))
    listener.until(lambda: listener.market["XBTUSD"].book.known)


def test_the_example_of_the_documentation(busy: Paper) -> None:
    """What the page says can be typed works: prices, snapshots and bars come."""
    page = (Path(__file__).parents[2] / "docs/market-data.md").read_text()
    (example,) = re.findall(r"```python\n(import queue.*?)```", page, re.DOTALL)
    seen: set[str] = set()

    class Enough(Exception):
        """All kinds were seen."""

    def look(one: object) -> None:
        seen.add(type(one).__name__)
        if len(seen) == 3 or time.monotonic() > until:
            raise Enough

    until = time.monotonic() + 20
    names: dict[str, Any] = {"print": look}
    said = example.replace("http://127.0.0.1:8766", busy.url).replace("15s", "1s")
    with pytest.raises(Enough):
        exec(said, names)
    names["feed"].close(3)
    assert seen == {"Tick", "Snapshot", "BarEvent"}


def test_a_venue_that_is_not_there_is_waited_for() -> None:
    """No connection is no error: it is told in `health`, and tried again."""
    with PaperExchange(port=0, seed=7, symbols=SYMBOLS, walk=False) as venue:
        url = venue.url
    listener = Listener(url)
    try:
        until = time.monotonic() + 5
        while not listener.feed.health()["error"]:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert listener.feed.health()["stream"] == "connecting"
    finally:
        listener.feed.close(3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbols": ()}, "needs a symbol"),
        ({"tables": ("orders",)}, "no market data is called 'orders'"),
        ({"base_url": "ftp://127.0.0.1"}, "must begin with http"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    """At once, with the names that there are."""
    named = {"base_url": "http://127.0.0.1:1", "symbols": ("XBTUSD",), **changes}
    with pytest.raises(ConfigError, match=said):
        PublicFeed(named.pop("base_url"), named.pop("symbols"), print, **named)


def test_quotes_of_one_read_are_conflated() -> None:
    """The newest of each symbol stays, at its place; everything else does."""

    def best(symbol: str, bid: int) -> Best:
        return Best(symbol, Decimal(bid), None, 1, None, bid)

    trade = Trade("A", Decimal(1), 1, 1, 1)
    batch: list[News] = [best("A", 1), best("B", 2), trade, best("A", 3), trade, Joined()]
    assert conflated(batch) == [best("B", 2), trade, best("A", 3), trade, Joined()]
    assert conflated(batch[1:4]) == batch[1:4]
