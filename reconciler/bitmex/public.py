"""
Public market data of BitMEX, without a key: a connection and a reader of history of their own.

    stream ─> PublicRows ─┐
                          ├─> Joiner ─> sink          all in the thread `bitmex-public`
    reader <─ asks, pages ┘

It shares nothing with the connection that trades: whatever strategies ask for, and however far they
fall behind, orders keep their own socket, thread and request budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from reconciler.core.events import AnyEvent
from reconciler.errors import ConfigError, ProtocolError
from reconciler.feed import PAGE, Asked, Best, Joined, Lost, News, Page
from reconciler.venue import Feed, Joiner

from . import messages, net, public_messages, rest
from .answers import Failure, Reply, said
from .config import stream_address
from .net import address
from .public_rows import MORE, PublicRows, bucket_of, tables_of, trade_of
from .session import Session
from .small_loop import SmallLoop
from .stream import Stream
from .vitals import Vitals

Sink = Callable[[Sequence[News]], None]
BIN_NAMES = {60_000_000: "1m", 300_000_000: "5m", 3_600_000_000: "1h", 86_400_000_000: "1d"}
LIMIT_WITHOUT_KEY = 30  # requests a minute
ABSURD_US = 86_400_000_000  # a stamp that is so far ahead of the venue's clock says no time


class PublicFeed(Feed):
    """
    Market data of *symbols*, kept flowing until `close`.

    Args:
        base_url: Of the venue.
        symbols: Instruments.
        sink: Told news in the feed's thread, many at once; it must not block.
        tables: More than trades, quotes and marks: "book" (all levels), "book25", "book10",
            "funding".
        joiner: Joins history to the stream; without one only the stream is told.
        ws_url: Of the stream, when it is not on the host of *base_url*.
        on_crash: Told an error that nobody foresaw: the feed has ended.

    Raises:
        ConfigError: A URL or a table is none.
    """

    def __init__(
        self,
        base_url: str,
        symbols: Iterable[str],
        sink: Sink,
        *,
        tables: Iterable[str] = (),
        joiner: Joiner | None = None,
        ws_url: str = "",
        ca_file: str = "",
        rest_timeout_s: float = 7.0,
        on_crash: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.symbols = tuple(dict.fromkeys(symbols))
        if not self.symbols:
            raise ConfigError("market data needs a symbol")
        try:
            named = tables_of(tables)
        except KeyError as unknown:
            known = ", ".join(MORE)
            raise ConfigError(f"no market data is called {unknown}: there are {known}") from None
        to, stream_to = address(base_url, ("http", "https")), stream_address(base_url, ws_url)
        ca_file = ca_file or rest.authorities()
        secure = to.secure or stream_to.secure
        self._tables = named
        self._sink = sink
        self._joiner = joiner
        self._on_crash = on_crash
        self._rows = PublicRows(self.symbols)
        self._vitals = Vitals()
        self._vitals.budget.minute.limit = LIMIT_WITHOUT_KEY
        self._batch: list[News] = []
        self._session: Session | None = None
        self._offset_us = 0
        self._frames = self._refused = 0
        self._lost_why = ""
        self._loop = SmallLoop(self._after, self._crashed, "bitmex-public")
        context = net.tls(ca_file) if secure else None
        self._stream = Stream(stream_to, context, self._loop, self)
        self._reader = rest.Reader(
            to, ca_file, None, self._loop, self._exchanged, self._crashed, rest_timeout_s, bytes
        )

    # -- from any thread

    def start(self) -> None:
        """Begin to connect, and keep connected until `close`."""
        self._loop.start()
        self._reader.start()
        self._stream.start()

    def rejoin(self, reason: str) -> None:
        """Something was dropped on our side: begin anew with images, and fill what is missing."""
        self._loop.call_soon(partial(self._lose, reason))

    def want(self, needs: Mapping[str, Any], tables: Iterable[str] = ()) -> None:
        """More symbols, tables or history are wanted: begin anew with them."""
        self._loop.call_soon(partial(self._want, dict(needs), tables_of(tables)))

    def venue_us(self) -> int:
        """What the venue's clock has reached, as well as it is known."""
        return self._loop.now_us() + self._offset_us

    def health(self) -> dict[str, object]:
        """For people."""
        session = self._session
        return {
            "stream": "connecting" if session is None else session.phase,
            "topics": len(self.symbols) * len(self._tables),
            "reconnects": max(self._stream.connections - 1, 0),
            "frames": self._frames,
            "frames_refused": self._refused,
            "error": self._stream.connect_error or self._lost_why,
        }

    def close(self, timeout_s: float) -> None:
        """End every thread and connection."""
        until_s = time.monotonic() + timeout_s
        self._loop.close(until_s)
        self._stream.close(until_s)
        self._reader.close(until_s)

    # -- the stream; in the loop, as all that follows

    def stream_opened(self) -> Iterable[AnyEvent]:
        """A connection stands."""
        self._rows.forget()
        topics = [f"{table}:{symbol}" for symbol in self.symbols for table in self._tables]
        self._session = Session(self.symbols, None, self._loop.now_us(), topics)
        return ()

    def stream_alive(self) -> None:
        """A frame without words came."""
        if self._session is not None:
            self._session.heard(self._loop.now_us())

    def stream_said(self, said: bytes, events: list[AnyEvent]) -> None:
        """A frame came: decode it once, here."""
        session = self._session
        if session is None or session.lost:
            return
        now_us = self._loop.now_us()
        session.heard(now_us)
        self._frames += 1
        if said == b"pong":
            return
        try:
            frame = messages.frame(said)
            if frame.table:
                self._table(session, frame)
                if frame.action != "partial":
                    return
            if frame.info is not None:
                self._vitals.welcomed(frame.timestamp, now_us)
            session.frame(frame, now_us)
        except ProtocolError as error:
            session.lose(error.message)

    def stream_closed(self, reason: str) -> Iterable[AnyEvent]:
        """The connection is gone."""
        return self._lose(reason)

    def stream_crashed(self, error: BaseException) -> None:
        """The connecting thread died."""
        self._crashed(error)

    def _table(self, session: Session, frame: messages.Frame) -> None:
        try:
            self._batch += self._rows.take(frame)
        except ProtocolError as error:
            self._refused += 1
            if frame.table != "quote" and frame.table != "instrument":  # the next row heals those
                session.lose(f"{frame.table}: {error.message}")
        if self._rows.unexplained:
            session.lose(f"{self._rows.unexplained}: a change of a level never seen")

    def _want(self, needs: dict[str, Any], tables: list[str]) -> Iterable[AnyEvent]:
        self.symbols = tuple(dict.fromkeys((*self.symbols, *needs)))
        self._tables = list(dict.fromkeys((*self._tables, *tables)))
        self._rows.watch(self.symbols)
        if self._joiner is not None:
            self._joiner.want(needs)
        return self._lose("more is wanted")

    def _lose(self, reason: str) -> Iterable[AnyEvent]:
        if self._session is not None:
            self._session.lose(reason)
        return ()

    # -- after each piece of work

    def _after(self) -> None:
        now_us = self._loop.now_us()
        if self._session is not None:
            self._follow(self._session, now_us)
        surely_us = self._vitals.surely_us(now_us)
        if stamp_us := self._rows.newest_us:
            self._rows.newest_us = 0
            if surely_us is None or stamp_us < surely_us + ABSURD_US:
                self._vitals.clock.stamped(stamp_us, now_us)
                surely_us = self._vitals.surely_us(now_us)
            else:
                self._refused += 1
        if surely_us is not None:
            self._offset_us = surely_us - now_us
        self._hand_over(now_us)

    def _follow(self, session: Session, now_us: int) -> None:
        """Do what the session asks for."""
        session.tick(now_us)
        if session.outbox and not session.lost:
            words, session.outbox = session.outbox, []
            try:
                self._stream.send(words)
            except OSError as error:
                session.lose(str(error))
        if session.lost:
            self._session = None
            self._lost_why = session.reason
            self._batch.append(Lost(session.reason))
            self._stream.drop(session.wait_us)
        elif session.images:
            session.read_done()
            self._stream.settled()
            self._lost_why = ""
            self._batch.append(Joined())

    def _hand_over(self, now_us: int) -> None:
        batch: list[News] = self._batch
        if batch:
            self._batch = []
            batch = conflated(batch)
        if self._joiner is not None:
            venue_us = now_us + self._offset_us
            if batch:
                batch = self._joiner.take(batch, venue_us)
            self._ask(self._joiner, venue_us, now_us)
        if batch:
            self._sink(batch)

    # -- history

    def _ask(self, joiner: Joiner, venue_us: int, now_us: int) -> None:
        asks = joiner.asks(venue_us)
        if asks:
            self._reader.not_before_us = self._vitals.budget.free_us(now_us, order=False)
            for asked in asks:
                self._reader.ask(partial(self._read, asked))

    def _read(self, asked: Asked) -> None:
        """In the reader's thread."""
        try:
            page = self._page(asked)
        except rest.ReadFailed as failed:
            why = failed.answer
            page = Page(asked=asked, failed=_named(why))
        except ProtocolError as error:
            page = Page(asked=asked, failed=error.message)
        self._loop.call_soon(partial(self._came, page))

    def _page(self, asked: Asked) -> Page:
        query: dict[str, object] = {
            "symbol": asked.symbol,
            "count": PAGE,
            "start": asked.skip,
            "reverse": "false",
        }
        if not asked.bucket_us:
            query["startTime"] = rest.iso(asked.start_us)
            rows = messages.trades(self._reader.body("/trade", query))
            trades = [t for row in rows if (t := trade_of(row)) is not None]
            return Page(asked=asked, trades=trades, rows=len(rows))
        query["binSize"] = BIN_NAMES[asked.bucket_us]
        query["startTime"] = rest.iso(asked.start_us + asked.bucket_us)  # rows bear their end
        found = public_messages.buckets(self._reader.body("/trade/bucketed", query))
        buckets = [b for row in found if (b := bucket_of(row, asked.bucket_us)) is not None]
        return Page(asked=asked, buckets=buckets, rows=len(found))

    def _came(self, page: Page) -> Iterable[AnyEvent]:
        if self._joiner is not None:
            told = self._joiner.page(page, self.venue_us())
            if told:
                self._sink(told)
        return ()

    def _exchanged(self, exchange: rest.Exchange) -> None:
        """The reader got an answer; in its thread."""
        self._loop.call_soon(partial(self._learn, exchange))

    def _learn(self, exchange: rest.Exchange) -> Iterable[AnyEvent]:
        now_us, budget = self._loop.now_us(), self._vitals.budget
        budget.spend(now_us, order=False)
        if isinstance(exchange.reply, Reply):
            self._vitals.learn(
                exchange.reply, budget.sent, 0, exchange.sent_us, exchange.received_us
            )
        self._reader.not_before_us = budget.free_us(now_us, order=False)
        return ()

    def _crashed(self, error: BaseException) -> None:
        if self._on_crash is None:
            raise error
        self._on_crash(error)


def conflated(batch: list[News]) -> list[News]:
    """The batch without quotes that a later one of the same symbol has made old."""
    if len(batch) < 2:
        return batch
    newest: dict[str, int] = {}
    quotes = 0
    for number, news in enumerate(batch):
        if type(news) is Best:
            newest[news.symbol] = number
            quotes += 1
    if quotes == len(newest):
        return batch
    return [
        news
        for number, news in enumerate(batch)
        if type(news) is not Best or newest[news.symbol] == number
    ]


def _named(answer: Reply | Failure) -> str:
    """Why an answer is of no use, in a few words."""
    if isinstance(answer, Failure):
        return answer.text or answer.code
    return f"{answer.status} {said(answer) or ''}".strip()
