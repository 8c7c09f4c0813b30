"""
Websocket sessions and who hears what (protocol sheet, sections 2.2, 9 and 11).

A session here is a conversation without a socket: text in, text frames out through its outbox. The
server owns the sockets; the hub gives every change to the sessions that subscribed to it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

from . import errors, topics
from .auth import Key, KeyRing
from .exchange import Exchange
from .intake import timeout_ms
from .orders import Row
from .protocol import Change, book_row, decode, encode, partial_frame, table_frame
from .quirks import Quirks
from .tables import PLATFORM_TABLES, PRIVATE_TABLES
from .times import iso
from .topics import BOOKS, Topic

log = logging.getLogger("reconciler.paper")

OUTBOX_LIMIT = 20_000  # frames; a reader that is slower than this is dropped (section 12.2)
_TABLE_ORDER = ("order", "execution", "position", "margin", "wallet", "trade", "quote")

Later = Callable[[float, Callable[[], None]], object]


class Session:
    """One websocket: who it speaks for, what it hears, what it has yet to be sent."""

    def __init__(
        self, hub: Hub, wake: Callable[[], None], end: Callable[[], None] = lambda: None
    ) -> None:
        self.hub = hub
        self.key: Key | None = None
        self.topics: dict[Topic, None] = {}
        self.outbox: deque[bytes] = deque()
        self.closing = False
        self.silent = False
        self._wake = wake
        self._end = end
        self._held: dict[str, list[bytes]] = {}  # frames of tables that a fault holds back

    @property
    def account(self) -> int | None:
        return None if self.key is None else self.key.account

    def send(self, frame: bytes) -> None:
        if self.closing:
            return
        if len(self.outbox) >= OUTBOX_LIMIT:
            self.close()
            return
        self.outbox.append(frame)
        self._wake()

    def send_table(self, table: str, frame: bytes, delay_s: float = 0.0) -> None:
        """Send a table frame, after those of the same table that are still held back."""
        if self.silent:
            return
        held = self._held.get(table)
        if held is not None:
            held.append(frame)
        elif delay_s > 0:
            self._held[table] = [frame]
            self.hub.later(delay_s, lambda: self._release(table))
        else:
            self.send(frame)

    def _release(self, table: str) -> None:
        for frame in self._held.pop(table, []):
            self.send(frame)

    def close(self) -> None:
        """End the connection; what is still in the outbox is lost."""
        self.closing = True
        self._end()

    def hears(self, table: str, symbol: str | None) -> bool:
        if Topic(table, None) in self.topics:
            return True
        if symbol is not None and Topic(table, symbol) in self.topics:
            return True
        return table == "instrument" and any(
            Topic(table, group) in self.topics for group in ("CONTRACTS", "DERIVATIVES")
        )

    # -- commands -----------------------------------------------------------------------------

    def welcome(self, remaining: int, now_ms: int) -> None:
        self.send(
            encode(
                {
                    "info": "Welcome to the BitMEX Realtime API.", "version": "2.0.0",
                    "timestamp": iso(now_ms), "docs": "https://www.bitmex.com/app/wsAPI",
                    "heartbeatEnabled": False, "limit": {"remaining": remaining},
                    "appName": "ws-feedhandler-sim-1",
                }
            )
        )  # fmt: skip

    def receive(self, message: str, now_ms: int) -> None:
        """Answer one message of the client."""
        if message == "ping":
            self.send(b"pong")
            return
        if message == "help":
            self.send(encode(topics.subjects()))
            return
        try:
            request = decode(message)
        except ValueError:
            self.error(400, "Unexpected token in JSON", message[:200])
            return
        if not isinstance(request, dict):
            self.error(400, "Unrecognized request. Send `help` for usage.", request)
            return
        op = request.get("op")
        args = request.get("args")
        if op == "subscribe":
            self.subscribe(_listed(args), request, now_ms)
        elif op == "unsubscribe":
            self._unsubscribe(_listed(args), request)
        elif op == "authKeyExpires":
            self._authenticate(args, request, now_ms)
        elif op == "cancelAllAfter":
            self._cancel_all_after(args, request, now_ms)
        elif op == "ping":
            self.send(b"pong")
        elif op == "help":
            self.send(encode(topics.subjects()))
        else:
            self.error(400, f"Unknown or expired op: {op}", request)

    def subscribe(self, names: list[object], request: object, now_ms: int) -> None:
        """Acknowledge every topic, then send their images (section 11: acks come first)."""
        fresh: list[Topic] = []
        for name in names:
            try:
                topic = topics.parse(name, self.hub.exchange)
            except topics.UnknownTopic as problem:
                self.error(400, str(problem), request)
                continue
            if topic.private and self.key is None:
                self.error(
                    401, errors.NO_AUTH_FOR_TABLE, request, {"notes": errors.AUTH_TABLES_NOTE}
                )
                continue
            if topic in self.topics:
                self.error(400, f"You are already subscribed to this topic: {name}", request)
                continue
            self.topics[topic] = None
            fresh.append(topic)
            self.send(encode({"success": True, "subscribe": name, "request": request}))
        if not names:
            self.error(400, "No topics given.", request)
        for topic in fresh:
            self.hub.send_image(self, topic, now_ms)

    def _unsubscribe(self, names: list[object], request: object) -> None:
        if not names:
            self.error(400, "No topics given.", request)
        for name in names:
            try:
                topic = topics.parse(name, self.hub.exchange)
            except topics.UnknownTopic as problem:
                self.error(400, str(problem), request)
                continue
            if topic not in self.topics:
                self.error(400, f"You are not subscribed to this topic: {name}", request)
                continue
            del self.topics[topic]
            self.send(encode({"success": True, "unsubscribe": name, "request": request}))

    def _authenticate(self, args: object, request: object, now_ms: int) -> None:
        if self.key is not None:
            self.error(400, "You are already authenticated.", request)
            return
        if not isinstance(args, list) or len(args) != 3:
            self.error(400, "authKeyExpires takes [key, expires, signature].", request)
            return
        credentials = {
            name: str(value)
            for name, value in zip(("api-key", "api-expires", "api-signature"), args, strict=True)
        }
        try:
            self.sign_in(credentials, now_ms)
        except errors.Refusal as refusal:
            self.error(refusal.status, refusal.message, request)
            self.hub.later(0.05, self.close)
            return
        self.send(encode({"success": True, "request": request}))

    def sign_in(self, credentials: dict[str, str], now_ms: int) -> None:
        """
        Take credentials from a message, the URL or the upgrade's headers (section 2.2).

        Raises:
            Refusal: 401; they are wrong.
        """
        key = self.hub.keys.verify(credentials, "GET", "/realtime", b"", now_ms)
        if not self.hub.quirks.strikes("auth-lost"):
            self.key = key

    def _cancel_all_after(self, args: object, request: object, now_ms: int) -> None:
        if self.key is None or not self.key.may_cancel():
            self.error(401, "Please authenticate before using cancelAllAfter.", request)
            return
        value = args[0] if isinstance(args, list) and len(args) == 1 else args
        try:
            timeout = timeout_ms(value)
        except errors.Refusal as refusal:
            self.error(400, refusal.message, request)
            return
        fires = self.hub.exchange.arm(self.key.account, timeout, now_ms)
        answer = {"now": iso(now_ms), "cancelTime": iso(fires) if fires else 0}
        self.send(encode({**answer, "request": request}))

    def error(self, status: int, message: str, request: object, meta: Row | None = None) -> None:
        self.send(
            encode({"status": status, "error": message, "meta": meta or {}, "request": request})
        )


class Hub:
    """All sessions; gives every change to those that hear its table."""

    def __init__(self, exchange: Exchange, keys: KeyRing, quirks: Quirks, later: Later) -> None:
        self.exchange = exchange
        self.keys = keys
        self.quirks = quirks
        self.later = later
        self.sessions: dict[Session, None] = {}
        self._late: dict[int, float] = {}  # account -> seconds that its fill is held back
        # What subscribers of a book table have: (table, symbol) -> {(side, ticks): contracts}
        self._books: dict[tuple[str, str], dict[tuple[int, int], int]] = {}

    def open(self, wake: Callable[[], None], end: Callable[[], None] = lambda: None) -> Session:
        """A new session: *wake* is called when it has frames, *end* when it is to be closed."""
        session = Session(self, wake, end)
        self.sessions[session] = None
        return session

    def leave(self, session: Session) -> None:
        self.sessions.pop(session, None)

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

    def send_image(self, session: Session, topic: Topic, now_ms: int) -> None:
        """A ``partial`` of one topic to one session."""
        if topic.table in PLATFORM_TABLES:
            return
        if topic.table in BOOKS:
            for symbol in self._symbols(topic):
                if (topic.table, symbol) not in self._books:
                    self._books[topic.table, symbol] = self._levels(topic.table, symbol)
        rows = topics.image(self.exchange, topic, session.account, now_ms)
        frame = partial_frame(topic.table, rows, topics.where(topic, session.account))
        session.send_table(topic.table, frame)

    def publish(self, changes: list[Change], now_ms: int) -> None:
        """Send the rows of one or more operations."""
        if self.sessions:
            self._late = self._late_fills(changes)
            for (table, action, account, symbol), rows in _grouped(changes):
                self._spread(table, action, account, symbol, rows, now_ms)
            self._publish_books(now_ms)
        for market in self.exchange.markets.values():
            market.book.touched = False

    def _late_fills(self, changes: list[Change]) -> dict[int, float]:
        """Accounts whose fill among *changes* is struck by late-fill."""
        filled = {
            c.account
            for c in changes
            if c.table == "execution" and c.account is not None and c.row["execType"] == "Trade"
        }
        return {
            account: self.quirks.seconds("late-fill", 0.2, 2.0)
            for account in sorted(filled)
            if self.quirks.strikes("late-fill")
        }

    def _spread(
        self, table: str, action: str, account: int | None, symbol: str | None, rows: list[Row],
        now_ms: int,
    ) -> None:  # fmt: skip
        frame: bytes | None = None
        for session in list(self.sessions):
            if account is not None and session.account != account:
                continue
            if not session.hears(table, symbol):
                continue
            if frame is None:
                frame = table_frame(table, action, rows)
            if table in PRIVATE_TABLES:
                self._send_private(session, table, frame, now_ms)
            else:
                session.send_table(table, frame)

    def _send_private(self, session: Session, table: str, frame: bytes, now_ms: int) -> None:
        """A private frame, with the faults that befall one."""
        quirks = self.quirks
        if quirks.strikes("drop-stream"):
            session.close()
            return
        if quirks.strikes("silent-stream"):
            session.silent = True
        delay_s = 0.0
        if table == "position" and quirks.strikes("position-lag"):
            delay_s = quirks.seconds("position-lag", 0.2, 3.0)
        elif table == "execution" and quirks.strikes("execution-late"):
            delay_s = quirks.seconds("execution-late", 0.2, 2.0)
        elif table == "order" and quirks.strikes("order-late"):
            delay_s = quirks.seconds("order-late", 0.2, 2.0)
        elif table in ("order", "execution") and session.account in self._late:
            delay_s = self._late[session.account]
        session.send_table(table, frame, delay_s)
        if quirks.strikes("duplicate-frame"):
            session.send_table(table, frame)
        if quirks.strikes("empty-frame"):
            session.send_table(table, table_frame(table, "update", []))
        if quirks.strikes("second-partial"):
            for topic in session.topics:
                if topic.table == table:
                    self.send_image(session, topic, now_ms)

    # -- books --------------------------------------------------------------------------------

    def _symbols(self, topic: Topic) -> list[str]:
        return [s for s in self.exchange.markets if topic.symbol in (None, s)]

    def _levels(self, table: str, symbol: str) -> dict[tuple[int, int], int]:
        book = self.exchange.markets[symbol].book
        depth = BOOKS[table]
        return {(side, ticks): size for side in (1, -1) for ticks, size in book.levels(side, depth)}

    def _publish_books(self, now_ms: int) -> None:
        """Deltas of the book tables that somebody hears, for the books that changed."""
        for symbol, market in self.exchange.markets.items():
            if not market.book.touched:
                continue
            for table in BOOKS:
                if any(session.hears(table, symbol) for session in self.sessions):
                    self._publish_book(table, symbol, now_ms)
                else:
                    self._books.pop((table, symbol), None)
            if any(session.hears("orderBook10", symbol) for session in self.sessions):
                row = market.ten(now_ms)
                self._spread("orderBook10", "update", None, symbol, [row], now_ms)

    def _publish_book(self, table: str, symbol: str, now_ms: int) -> None:
        before = self._books.get((table, symbol), {})
        after = self._levels(table, symbol)
        self._books[table, symbol] = after
        inst, at = self.exchange.catalogue[symbol], iso(now_ms)
        rows: dict[str, list[Row]] = {"delete": [], "update": [], "insert": []}
        for (side, ticks), size in before.items():
            if (side, ticks) not in after:
                gone = book_row(inst, side, ticks, size, at)
                del gone["size"]
                rows["delete"].append(gone)
        for (side, ticks), size in after.items():
            known = before.get((side, ticks))
            if known != size:
                action = "insert" if known is None else "update"
                rows[action].append(book_row(inst, side, ticks, size, at))
        for action, found in rows.items():
            if found:
                self._spread(table, action, None, symbol, found, now_ms)


def _grouped(
    changes: Iterable[Change],
) -> list[tuple[tuple[str, str, int | None, str | None], list[Row]]]:
    """Neighbouring rows of one table, action, account and symbol, table by table."""
    tables: dict[str, list[Change]] = {name: [] for name in _TABLE_ORDER}
    for change in changes:
        tables.setdefault(change.table, []).append(change)
    groups: list[tuple[tuple[str, str, int | None, str | None], list[Row]]] = []
    for found in tables.values():
        last = None
        for change in found:
            key = change[:4]
            if key == last and change.action == "insert":
                groups[-1][1].append(change.row)
            else:
                groups.append((key, [change.row]))
                last = key
    return groups


def _listed(args: object) -> list[object]:
    if args is None:
        return []
    return list(args) if isinstance(args, list) else [args]
