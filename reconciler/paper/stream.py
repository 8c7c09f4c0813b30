"""
Who hears what (protocol sheet, sections 9 to 11).

The hub gives every change to the sessions that subscribed to it. A frame is serialised once for all
that hear it, and not at all for nobody: fifty clients cost fifty times a queue, not the JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from . import legacy, topics
from .auth import KeyRing
from .bins import SIZES
from .books import BookFeed
from .exchange import Exchange
from .history import MINUTE_MS
from .legacy import Legacy
from .orders import Row
from .protocol import Change, partial_frame, table_frame
from .quirks import Quirks
from .session import Session
from .stream_faults import StreamFaults
from .tables import TABLES
from .topics import BOOKS, Topic
from .turns import Turn

IDLE_MS = 180_000  # a connection on which neither side says anything is dropped (section 9.1)
BIN_LAG_MS = 3_000  # bins come a few seconds after the minute (section 10.5)
WAITING = 1_000  # frames that a crowd keeps at most for its sessions
BINS_CAUGHT_UP = 60  # minutes that are told of after a stall, or a leap of the clock
_TABLE_ORDER = ("order", "execution", "position", "margin", "wallet", "trade", "quote")

Later = Callable[[float, Callable[[], None]], object]
Audience = tuple[str, str | None, int | None]  # table, symbol or group, account


class Crowd:
    """Sessions that hear exactly the same: each frame is queued once for all of them."""

    __slots__ = ("called", "frames", "sessions", "tables")

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.frames: list[bytes] = []  # to be given to every one of them
        self.tables: list[str] = []  # of each frame
        self.called = False  # they know that there are frames


class Hub:
    """All sessions; gives every change to those that hear its table."""

    make_session = Session
    patient = True  # frames may wait in a crowd until one of its sessions looks for them

    def __init__(
        self, exchange: Exchange, keys: KeyRing, quirks: Quirks, later: Later, *,
        now_ms: int = 0, rate_limits: bool = False, legacy: bool = False,
    ) -> None:  # fmt: skip
        self.exchange = exchange
        self.keys = keys
        self.quirks = quirks
        self.later = later
        self.rate_limits = rate_limits
        self.legacy = Legacy(exchange) if legacy else None  # speaks as until 2022
        self.now_ms = now_ms
        self.sessions: dict[Session, None] = {}
        self.faults = StreamFaults(self)
        self.turn = Turn(self)
        self._audience: dict[Audience, dict[Session, None]] = {}
        self._crowds: list[Crowd] | None = None  # None: who hears what has changed
        self._crowds_of: dict[Audience, list[Crowd]] = {}
        self._quiet = False  # while frames are made that no fault can meet
        self._pending = False  # a crowd has frames
        self._books = BookFeed(exchange)
        self._connected = 0  # as last told
        self._binned_ms = (now_ms - BIN_LAG_MS) // MINUTE_MS * MINUTE_MS  # the last minute told of

    # -- sessions -----------------------------------------------------------------------------

    def open(
        self,
        wake: Callable[[], None],
        end: Callable[[], None] = lambda: None,
        *,
        platform: bool = False,
    ) -> Session:
        """A new session: *wake* is called when it has frames, *end* when it is to be closed."""
        session = self.make_session(self, wake, end, platform=platform)
        self.sessions[session] = None
        return session

    def leave(self, session: Session) -> None:
        """The connection is gone."""
        self.forget(session)
        self.sessions.pop(session, None)

    def forget(self, session: Session) -> None:
        """Send it nothing more."""
        for topic in session.topics:
            self.unhear(session, topic)
        session.topics.clear()

    def hear(self, session: Session, topic: Topic) -> None:
        account = session.account if topic.private else None
        key = (topic.table, topic.symbol, account)
        self.turn.end()
        self.deliver()
        self._audience.setdefault(key, {})[session] = None
        self._crowds = None

    def unhear(self, session: Session, topic: Topic) -> None:
        key = (topic.table, topic.symbol, session.account if topic.private else None)
        group = self._audience.get(key)
        if group is not None:
            self.turn.end()
            self.deliver()
            group.pop(session, None)
            self._crowds = None
            if not group:
                del self._audience[key]

    def audience(self, table: str, symbol: str | None, account: int | None) -> list[Session]:
        """The sessions that hear a row, each once however often it subscribed."""
        crowds = self._hearing(table, symbol, account)
        return [session for crowd in crowds for session in crowd.sessions]

    def _hearing(self, table: str, symbol: str | None, account: int | None) -> list[Crowd]:
        """The crowds that hear a row."""
        if self._crowds is None:
            self._crowds = self._gather()
            self._crowds_of.clear()
        key = (table, symbol, account)
        found = self._crowds_of.get(key)
        if found is None:
            hears: set[Session] = set()
            for name in self._names(table, symbol):
                hears |= self._audience.get((table, name, account), {}).keys()
            found = [crowd for crowd in self._crowds if crowd.sessions[0] in hears]
            self._crowds_of[key] = found
        return found

    def _gather(self) -> list[Crowd]:
        """Put those together who hear the same."""
        crowds: dict[tuple[int | None, frozenset[Topic]], Crowd] = {}
        for session in self.sessions:
            if session.topics:
                ears = (session.account, frozenset(session.topics))
                crowds.setdefault(ears, Crowd()).sessions.append(session)
        return list(crowds.values())

    def _names(self, table: str, symbol: str | None) -> list[str | None]:
        """What a row of this symbol can have been subscribed to as, after the colon."""
        names: list[str | None] = [None]
        if symbol is not None:
            names.append(symbol)
            if table == "instrument":
                market = self.exchange.markets.get(symbol)
                names += sorted(topics.group_of("MR" if market is None else market.inst.kind))
        return names

    def disconnect_all(self) -> int:
        """Close every socket at once, as at maintenance; how many there were."""
        count = len(self.sessions)
        for session in list(self.sessions):
            session.close()
        return count

    def disconnect(self, account: int) -> None:
        """Close the sockets of one account."""
        for session in list(self.sessions):
            if session.account == account:
                session.close()

    def revoke(self, account: int | None = None) -> int:
        """End the private subscriptions of an account (None: of all) with a 419; how many."""
        hit = [s for s in self.sessions if s.key is not None and account in (None, s.account)]
        for session in hit:
            session.expire_token()
        return len(hit)

    def tick(self, now_ms: int) -> None:
        """Drop connections on which nobody says anything; tell of minutes that are over."""
        self.now_ms = now_ms
        for session in list(self.sessions):
            if now_ms - session.alive_ms >= IDLE_MS:
                session.close()
        if len(self.sessions) != self._connected:
            self._connected = len(self.sessions)
            self._spread("connected", "update", None, None, self._connections(), now_ms)
            self.deliver()
        minute_ms = (now_ms - BIN_LAG_MS) // MINUTE_MS * MINUTE_MS
        self._binned_ms = max(self._binned_ms, minute_ms - BINS_CAUGHT_UP * MINUTE_MS)
        while self._binned_ms < minute_ms:
            self._binned_ms += MINUTE_MS
            self._publish_bins(self._binned_ms, now_ms)

    # -- images -------------------------------------------------------------------------------

    def send_image(self, session: Session, topic: Topic, now_ms: int) -> None:
        """A ``partial`` of one topic to one session."""
        if topic.table in BOOKS:
            for symbol in self.exchange.markets:
                if topic.symbol in (None, symbol):
                    self._books.begin(topic.table, symbol)
        rows = self.image(topic, session.account, now_ms)
        self.faults.image(session, topic, rows, now_ms)

    def image(self, topic: Topic, account: int | None, now_ms: int) -> list[Row]:
        """The rows of a topic as an account may see them."""
        if topic.table == "connected":
            return self._connections()
        return topics.image(self.exchange, topic, account, now_ms)

    def partial(self, topic: Topic, rows: list[Row], account: int | None) -> bytes:
        """The frame of an image."""
        make = partial_frame if self.legacy is None else legacy.partial
        return make(topic.table, rows, topics.where(topic, account))

    def _connections(self) -> list[Row]:
        """Everybody here is a program: nobody looks at a web page."""
        return [{"users": 0, "bots": self._connected}]

    # -- changes ------------------------------------------------------------------------------

    def publish(self, changes: list[Change], now_ms: int, *, merged: bool = False) -> None:
        """Send the rows of one operation, or (*merged*) of several."""
        self.now_ms = now_ms
        if self.legacy is not None:
            changes = self.legacy.changes(changes)
        if self.sessions:
            self.faults.begin(changes)
            self._quiet = self.faults.quiet(now_ms)
            for (table, action, account, symbol), rows in _grouped(changes, merged=merged):
                self._spread(table, action, account, symbol, rows, now_ms)
            self._publish_books(now_ms)
            self._call()
            self._quiet = False
            self.faults.end()
        for market in self.exchange.markets.values():
            market.book.settled()

    def _spread(
        self, table: str, action: str, account: int | None, symbol: str | None, rows: list[Row],
        now_ms: int,
    ) -> None:  # fmt: skip
        crowds = self._hearing(table, symbol, account)
        if not crowds:
            return
        frame = table_frame(table, action, rows)
        if self._quiet:
            for crowd in crowds:
                crowd.frames.append(frame)
                crowd.tables.append(table)
            self._pending = True
            return
        self.deliver()
        for session in [session for crowd in crowds for session in crowd.sessions]:
            self.faults.send(session, table, action, symbol, rows, frame, now_ms)

    def _call(self) -> None:
        """
        Tell everybody that frames wait for all of a crowd.

        They are handed out when one of them looks for its frames, or before anything is sent to
        one alone: to hand fifty sessions each order's frames cost more than to make them.
        """
        if not self.patient:
            self.deliver()
            return
        for crowd in self._crowds or () if self._pending else ():
            if len(crowd.frames) > WAITING:
                self.deliver()
                return
            if crowd.frames and not crowd.called:
                crowd.called = True
                for session in crowd.sessions:
                    session.wake()

    def deliver(self) -> None:
        """Give everybody what was queued for all."""
        if not self._pending:
            return
        self._pending = False
        for crowd in self._crowds or ():
            called, crowd.called = crowd.called, False
            if crowd.frames:
                frames, tables = crowd.frames, crowd.tables
                crowd.frames, crowd.tables = [], []
                size = sum(map(len, frames))
                for session in list(crowd.sessions):
                    session.send_all(tables, frames, size)
                    if not called:
                        session.wake()

    def _publish_books(self, now_ms: int) -> None:
        """Deltas of the book tables that somebody hears, for the books that changed."""
        for symbol, market in self.exchange.markets.items():
            if not market.book.touched:
                continue
            for table in BOOKS:
                if not self._hearing(table, symbol, None):
                    self._books.forget(table, symbol)
                    continue
                for action, rows in self._books.differences(table, symbol, now_ms):
                    if self.legacy is not None:
                        rows = legacy.book_rows(action, rows)
                    self._spread(table, action, None, symbol, rows, now_ms)
            if self._hearing("orderBook10", symbol, None):
                row = market.ten(now_ms)
                self._spread("orderBook10", "update", None, symbol, [row], now_ms)

    def _publish_bins(self, end_ms: int, now_ms: int) -> None:
        """A row a symbol of every bucket that ended; who hears all gets them in one frame."""
        for table, (_, size) in topics.BIN_TABLES.items():
            if end_ms % SIZES[size] or not any(key[0] == table for key in self._audience):
                continue
            rows = topics.bins(self.exchange, table, end_ms, None, now_ms)
            if self.legacy is not None:
                rows = [legacy.widen(table, row) for row in rows]
            everything = self._audience.get((table, None, None), {})
            frame = table_frame(table, "insert", rows)
            for session in list(everything):
                self.faults.send(session, table, "insert", None, rows, frame, now_ms)
            for row in rows:
                symbol = str(row["symbol"])
                one = self._audience.get((table, symbol, None), {})
                frame = table_frame(table, "insert", [row]) if one else b""
                for session in [s for s in one if s not in everything]:
                    self.faults.send(session, table, "insert", symbol, [row], frame, now_ms)


Group = tuple[str, str, int | None, str | None]  # table, action, account, symbol


def _grouped(changes: Iterable[Change], *, merged: bool = False) -> list[tuple[Group, list[Row]]]:
    """
    The frames of some changes: neighbouring rows of one table, action, account and symbol. Those
    that are *merged* come of several operations: what others did does not separate a member's rows.

    No frame tells of one key twice: a position's row with the old quantity and its row with
    the new one are two frames (section 10.3).
    """
    tables: dict[str, list[Change]] = {name: [] for name in _TABLE_ORDER}
    for change in changes:
        tables.setdefault(change.table, []).append(change)
    groups: list[tuple[Group, list[Row]]] = []
    for table, found in tables.items():
        if merged and len(found) > 1:
            found.sort(key=_member)
        keys = TABLES[table].keys
        last: Group | None = None
        rows: list[Row] = []
        told: set[tuple[object, ...]] = set()
        for change in found:
            fresh = change[:4] != last
            if not fresh and keys:  # as a rule a frame has one row, and nobody asks for its name
                told = told or {_name(rows[0], keys)}
                name = _name(change.row, keys)
                fresh = name in told
                told.add(name)
            if fresh:
                last, rows, told = change[:4], [], set()
                groups.append((last, rows))
            rows.append(change.row)
    return groups


def _member(change: Change) -> int:
    return change.account or 0


def _name(row: Row, keys: tuple[str, ...]) -> tuple[object, ...]:
    return tuple([row.get(key) for key in keys])
