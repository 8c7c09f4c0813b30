"""
The BitMEX gateway: the parts of this folder put together behind the port `Venue`.

    stream ─> messages, tables, session ─> events        decisions ─> budget, signing ─> wire
    reader <─ sync, look-ups ─> events                   answers ─> events

What the loop owns (session, tables, quotes, budget, clock) is touched in the loop only: threads
hand over what they learned with `Host.call_soon`, so nothing here needs a lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from functools import partial

from reconciler.core.decisions import (
    AmendOrder,
    AnyDecision,
    PlaceOrder,
    ReadOrder,
    ReadPosition,
    Resync,
)
from reconciler.core.events import (
    AnyEvent,
    Quoted,
    Source,
    StreamLost,
)
from reconciler.errors import ProtocolError
from reconciler.venue import Host, Venue

from . import answers, messages, net, rest, rows
from .answers import Failure, Kind, Reply
from .awaited import Awaited
from .config import BitmexConfig
from .lookups import LookUps
from .messages import Frame
from .outgoing import Job, Outgoing
from .quotes import Quotes
from .session import Session
from .signing import Signer
from .stream import Stream
from .sync import Sync
from .tables import Accounts
from .vitals import Vitals
from .wire import Wire

PAUSE_US = 10_000_000  # a loop that stood still so long trusts nothing that it finds waiting
BLIND_US = 10_000_000  # a stream silent for longer is not believed
MARGIN_EVERY_US = 1_000_000
EXPIRES_S = 60  # of logins, cancels and heartbeats: they do no harm when late


class BitmexGateway(Venue):
    """
    One account at BitMEX, or at any venue that speaks its protocol.

    Args:
        config: Where it is, and the key.
        host: The service that runs the loop.

    Attributes:
        on_quote: Called in the loop with a symbol whose bid, ask or mark changed.
        on_trade: Called in the loop with symbol, signed contracts (below zero: the taker sold),
            price and venue time of every public trade.
        on_stranger: Called once, in the loop, with the first other account that rows came of.
        on_crash: Called in a thread of the gateway that dies of an error nobody foresaw.
    """

    def __init__(self, config: BitmexConfig, host: Host) -> None:
        self.config = config
        self.on_quote: Callable[[str], None] | None = None
        self.on_trade: Callable[[str, int, Decimal, int], None] | None = None
        self.on_stranger: Callable[[object], None] | None = None
        self.on_crash: Callable[[BaseException], None] | None = None
        self._host = host
        self._signer = Signer(config.api_key, config.api_secret)
        self._accounts = Accounts(config.symbols)
        self._quotes = Quotes(config.symbols)
        self._vitals = Vitals()
        self._session: Session | None = None
        self._loss_untold = False  # of the connection, or of a resync that was told
        self._executions_begun = False  # the execution table had its image
        self._ticked_us = self._margins_us = self._audited_us = 0
        self._awaited = Awaited(self._accounts.shows)
        self._public_refused = 0  # frames of public tables that could not be read

        to, ca_file = config.rest, config.ca_file or rest.authorities()
        secure = to.secure or config.stream.secure
        context = net.tls(ca_file) if secure else None
        self._outgoing = Outgoing(to, self._signer)
        self._reader = rest.Reader(
            to,
            ca_file,
            self._signer,
            host,
            self._exchanged,
            self._crashed,
            config.rest_timeout_s,
            config.redacted_bytes,
        )
        self._wire = Wire(to, context, host, self._settle, self._crashed, config.rest_timeout_s)
        self._stream = Stream(config.stream, context, host, self)
        self._look_ups = LookUps(self._reader, host, self._accounts, config.symbols)
        self._sync = Sync(
            self._reader,
            host,
            self._accounts,
            config.symbols,
            self._vitals.surely_us,
            self._read_all,
        )

    def __repr__(self) -> str:
        return f"BitmexGateway({self.config.account!r} at {self.config.base_url!r})"

    # -- the port

    def start(self, watermark_us: int) -> None:
        """Begin to connect, and keep connected until `close`."""
        self._sync.watermark_us = watermark_us
        self._reader.start()
        self._wire.start()
        self._stream.start()

    def tick(self, now_us: int) -> Iterable[AnyEvent]:
        """Silence, pings, clocks, budgets; in the loop, a few times a second."""
        events: list[AnyEvent] = []
        session = self._session
        if session is not None:
            self._note_pause(session, now_us)
            session.tick(now_us)
            if self._awaited.missed(now_us):
                session.lose("the stream does not show an order that was accepted")
            self._follow(session, events, now_us)
        self._ticked_us = now_us
        if self._session is not None and now_us - self._margins_us >= MARGIN_EVERY_US:
            self._margins_us = now_us
            events.extend(self._accounts.margins(now_us))
        self._sync.tick(now_us)
        if self._accounts.strangers and self.on_stranger is not None:
            self.on_stranger(self._accounts.stranger)
            self.on_stranger = None
        heard_us = max(self._vitals.answered_us, self._audited_us)
        if self._live and now_us - heard_us > self._vitals.patience_us(now_us):
            self._audited_us = now_us
            self._look_ups.audit()
        self._tell_reader(now_us)
        events.extend(self._vitals.news(now_us))
        return events

    def send(self, decision: AnyDecision) -> Iterable[AnyEvent]:
        """Send *decision* once; what is known at once is returned. In the loop."""
        now_us = self._host.now_us()
        budget = self._vitals.budget
        if isinstance(decision, (PlaceOrder, AmendOrder)):
            if isinstance(decision, PlaceOrder) and not self._sees(now_us):
                return [answers.not_sent(decision.request_id, now_us, "out_of_sync")]
            wait_us = budget.free_us(now_us, order=True) - now_us
            if wait_us > 0:
                unsent = answers.not_sent(decision.request_id, now_us, "budget", wait_us)
                return [*self._vitals.throttled(now_us), unsent]
        elif isinstance(decision, Resync):
            self._sync.ask(decision.request_id)
            if self._live:
                self._sync.begin(now_us)
            return ()
        elif isinstance(decision, (ReadOrder, ReadPosition)):
            self._look_ups.ask(decision)
            return ()
        expires_s = 0  # a new order brings its own
        if not isinstance(decision, PlaceOrder):
            expires_s = self._vitals.venue_us(now_us) // 1_000_000 + EXPIRES_S
        job = self._outgoing.job(decision, expires_s)
        failure = self._wire.write(job)
        budget.spend(now_us, order=job.asked.kind is not Kind.DEAD_MAN)
        job.sent, job.sent_orders = budget.sent, budget.sent_orders  # read in this thread, later
        events = self._vitals.throttled(now_us) if budget.low else []
        if failure is not None:
            events = [*answers.events_of(job.asked, failure, now_us), *events]
        return events

    def withdraw(self) -> None:
        """Give up what waits for a connection, but not cancels and heartbeats."""
        self._wire.withdraw()

    def quote(self, symbol: str) -> Quoted | None:
        """The newest prices of *symbol*, or None before the stream had any."""
        return self._quotes.quoted(symbol, self._host.now_us())

    def health(self) -> dict[str, object]:
        """For people."""
        now_us = self._host.now_us()
        session = self._session
        states = {"live": "live", "reading": "syncing", "tables": "syncing", "lost": "lost"}
        return {
            "stream": "connecting" if session is None else states.get(session.phase, "connecting"),
            "stream_age_ms": None if session is None else session.silence_us(now_us) // 1000,
            **self._vitals.health(now_us),
            "reconnects": max(self._stream.connections - 1, 0),
            "warm_connections": self._wire.warm(),
            "rows_of_others": self._accounts.strangers,
            "frames_refused": self._public_refused,
            "error": self._vitals.blocked(now_us) or self._stream.connect_error or self._sync.error,
        }

    def close(self, timeout_s: float) -> None:
        """End every thread and connection; answers on their way may still come until then."""
        until_s = time.monotonic() + timeout_s
        self._sync.abandon()
        self._wire.close(until_s)
        self._stream.close(until_s)
        self._reader.close(until_s)

    # -- the stream, in the loop

    def stream_opened(self) -> Iterable[AnyEvent]:
        """A connection stands."""
        now_us = self._host.now_us()
        self._accounts.forget()
        self._executions_begun = False
        self._awaited.clear()
        self._session = Session(self.config.symbols, self._login, now_us)
        self._loss_untold = True
        return ()

    def stream_alive(self) -> None:
        """A frame without words came."""
        if self._session is not None:
            self._session.heard(self._host.now_us())

    def stream_said(self, said: bytes, events: list[AnyEvent]) -> None:
        """A frame came: decode it once, here."""
        session = self._session
        if session is None:
            return
        now_us = self._host.now_us()
        self._note_pause(session, now_us)
        session.heard(now_us)
        if said != b"pong" and not session.lost:
            try:
                frame = messages.frame(said)
                if frame.table:
                    self._table(session, frame, events, now_us)
                    if frame.action != "partial":
                        if session.outbox or session.lost:
                            self._follow(session, events, now_us)
                        return
                if frame.error is not None:
                    frame.error = self.config.redacted(frame.error)
                    self._vitals.expired(frame.status, frame.error, now_us)
                if frame.info is not None:  # the welcome: before the login, which needs the time
                    self._vitals.welcomed(frame.timestamp, now_us)
                if frame.unsubscribe is not None:
                    self._sync.abandon()  # what is being read is older than the image to come
                session.frame(frame, now_us)
            except ProtocolError as error:
                session.lose(error.message)
        self._follow(session, events, now_us)

    def stream_closed(self, reason: str) -> Iterable[AnyEvent]:
        """The connection is gone."""
        events: list[AnyEvent] = []
        if self._session is not None:
            self._session.lose(reason)
            self._follow(self._session, events, self._host.now_us())
        return events

    def stream_crashed(self, error: BaseException) -> None:
        """The connecting thread died."""
        self._crashed(error)

    def _login(self) -> dict[str, object]:
        expires_s = self._vitals.venue_us(self._host.now_us()) // 1_000_000 + EXPIRES_S
        return self._signer.stream_login(expires_s)

    def _table(self, session: Session, frame: Frame, events: list[AnyEvent], now_us: int) -> None:
        table = frame.table
        if table == "execution":
            self._executions(session, frame, events, now_us)
        elif table in self._accounts.tables:
            events.extend(self._accounts.take(frame, now_us))
            if table == "instrument":
                self._changed(self._quotes.marks(self._accounts.marks, now_us))
            if self._accounts.unexplained(table):
                self._reload(session, table, events, now_us)
        elif table == "quote" or table == "trade":
            try:
                self._public(frame, now_us)
            except ProtocolError:
                self._public_refused += 1

    def _executions(
        self, session: Session, frame: Frame, events: list[AnyEvent], now_us: int
    ) -> None:
        """Executions only tell: they need no table, and the core knows which are new."""
        if frame.action == "partial":
            self._executions_begun = True
        elif not self._executions_begun:
            return
        told = [r for r in messages.executions(frame.data) if self._accounts.is_mine(r.account)]
        if frame.action not in ("partial", "insert") and told:
            self._reload(session, "execution", events, now_us)
            return
        found = messages.executions_seen(told, None, Source.STREAM, now_us)
        self._accounts.executed(found)
        events.extend(found)
        if found and frame.action == "insert":
            self._vitals.clock.stamped(found[-1].venue_us, now_us)

    def _public(self, frame: Frame, now_us: int) -> None:
        if frame.action not in ("partial", "insert"):
            return
        if frame.table == "quote":
            found = messages.quotes(frame.data)
            self._changed(self._quotes.take(found, now_us))
            if found and found[-1].timestamp is not None:
                self._vitals.clock.stamped(rows.micros(found[-1].timestamp), now_us)
            return
        trades = messages.trades(frame.data)
        self._changed(self._quotes.trades(trades))
        if self.on_trade is not None and frame.action == "insert":
            for row in trades:
                price = rows.exact(row.price, "price")
                sign = rows.SIGN.get(row.side or "", 0)
                if price is not None and row.size and row.timestamp is not None:
                    venue_us = rows.micros(row.timestamp)
                    self.on_trade(row.symbol, sign * row.size, price, venue_us)

    def _changed(self, symbols: list[str]) -> None:
        if self.on_quote is not None:
            for symbol in symbols:
                self.on_quote(symbol)

    def _reload(self, session: Session, table: str, events: list[AnyEvent], now_us: int) -> None:
        """A table can't be explained: nothing is in sync until it and the rest were read anew."""
        session.reload(table, now_us)
        if table == "execution":
            self._executions_begun = False
        else:
            self._accounts.tables[table].forget()
        self._sync.abandon()
        self._tell_loss(f"{table}: a change that can't be explained", events, now_us)

    def _follow(self, session: Session, events: list[AnyEvent], now_us: int) -> None:
        """Do what the session asks for."""
        if session.outbox and not session.lost:
            said, session.outbox = session.outbox, []
            try:
                self._stream.send(said)
            except OSError as error:
                session.lose(str(error))
        if session.lost:
            self._session = None
            self._sync.abandon()
            self._tell_loss(session.reason, events, now_us)
            self._stream.drop(session.wait_us)
        elif session.images and not self._sync.busy:
            self._sync.begin(now_us)

    def _tell_loss(self, reason: str, events: list[AnyEvent], now_us: int) -> None:
        self._wire.withdraw()  # what waits was decided on what is no longer seen
        if self._loss_untold:
            self._loss_untold = False
            self._accounts.tell_margins_again()  # for those who trust none from before the loss
            events.append(StreamLost(at_us=now_us, reason=reason))

    def _note_pause(self, session: Session, now_us: int) -> None:
        """After a pause, what waits in the socket is old: read it from the venue instead."""
        if self._ticked_us and now_us - self._ticked_us > PAUSE_US:
            session.lose(f"the loop stood still for {(now_us - self._ticked_us) // 1_000_000} s")

    def _read_all(self) -> bool:
        """The look-ups of a resync are done: whether the stream is in sync with that."""
        if self._session is None:
            return False
        if self._accounts.mute:  # pings are answered, and nothing is told
            self._session.lose(f"the stream is silent about {self._accounts.mute}, which moves")
        if not self._session.read_done():
            return False
        self._loss_untold = True
        self._stream.settled()
        return True

    @property
    def _live(self) -> bool:
        return self._session is not None and self._session.live

    def _sees(self, now_us: int) -> bool:
        """Whether a new order may leave: after a pause, nobody has looked at the stream yet."""
        session = self._session
        if session is None or not session.live or session.silence_us(now_us) > BLIND_US:
            return False
        return now_us - self._ticked_us <= PAUSE_US

    # -- requests

    def _settle(self, job: Job, answer: Reply | Failure) -> None:
        """In the thread that got the answer."""
        received_us = self._host.now_us()
        self._host.call_soon(partial(self._settled, job, answer, received_us))

    def _settled(self, job: Job, answer: Reply | Failure, received_us: int) -> list[AnyEvent]:
        now_us = self._host.now_us()
        if isinstance(answer, Reply):
            answer = replace(answer, body=self.config.redacted_bytes(answer.body))
            self._vitals.learn(answer, job.sent, job.sent_orders, job.sent_us, received_us)
        events = answers.events_of(job.asked, answer, now_us)
        if job.asked.kind is Kind.PLACE and self._live:
            self._awaited.accepted(events, now_us)
        events.extend(self._vitals.news(now_us))
        return events

    def _exchanged(self, exchange: rest.Exchange) -> None:
        """The reader got an answer; in its thread."""
        self._host.call_soon(partial(self._read_one, exchange))

    def _read_one(self, exchange: rest.Exchange) -> list[AnyEvent]:
        now_us = self._host.now_us()
        self._vitals.budget.spend(now_us, order=False)
        if isinstance(exchange.reply, Reply):
            self._vitals.learn(
                exchange.reply,
                exchange.sent + 1,
                exchange.sent_orders,
                exchange.sent_us,
                exchange.received_us,
            )
        self._tell_reader(now_us)
        return self._vitals.news(now_us)

    def _tell_reader(self, now_us: int) -> None:
        reader, budget = self._reader, self._vitals.budget
        reader.sent, reader.sent_orders = budget.sent, budget.sent_orders
        reader.not_before_us = budget.free_us(now_us, order=False)
        reader.offset_us = self._vitals.clock.offset_us(now_us)

    def _crashed(self, error: BaseException) -> None:
        """A thread of ours dies: nobody may believe any more that we see the venue."""
        reason = f"a thread of the gateway died: {type(error).__name__}"
        self._host.post([StreamLost(at_us=self._host.now_us(), reason=reason)])
        if self.on_crash is None:
            raise error
        self.on_crash(error)
