"""
What befalls the frames of a websocket, its subscriptions, and the connection itself.

A frame that a fault holds back keeps its place among those of its table, so each table stays in
order and the tables race one another, which is all that BitMEX ever promised (section 11).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from . import errors
from .faults import FRAME
from .orders import Row
from .protocol import Change, table_frame
from .tables import PRIVATE_TABLES
from .times import iso
from .topics import BOOKS, Topic

if TYPE_CHECKING:
    from .session import Session
    from .stream import Hub

NOBODY = "ffffffff-ffff-4fff-afff-ffffffffffff"  # an id that no order ever has
LATE: dict[str, tuple[str, float]] = {  # table -> its fault, and the longest that it holds back, s
    "position": ("position-lag", 3.0),
    "execution": ("execution-late", 2.0),
    "order": ("order-late", 2.0),
}
# Fields that rows had until 2023, and that were null in most of them.
OLD_FIELDS = ("simpleOrderQty", "exDestination", "simpleLeavesQty", "multiLegReportingType")
_NUMBER = re.compile(rb'(?<=":)-?\d+\.\d+(?=[,}])')


class StreamFaults:
    """The faults of all websockets of one venue."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._quirks = hub.quirks
        self.down_until_ms = 0  # nobody is let in until then
        self.silent_until_ms = 0  # no private frame is sent until then
        self._held: dict[tuple[int, str], float] = {}  # (account, table) -> s, for its next frame
        self._moved: dict[tuple[int | None, str | None], int] = {}  # contracts, in this operation
        self._gathered: dict[tuple[Session, str], list[Row]] = {}  # inserts that wait for more

    # -- the connection --------------------------------------------------------------------------

    def at_connect(self, now_ms: int) -> bool:
        """
        Whether the line of a connection that asks to be let in is to be cut.

        Raises:
            Refusal: it is refused with an answer.
        """
        if now_ms < self.down_until_ms:
            raise errors.Refusal(503, "Service unavailable")
        if self._quirks.strikes("connect-429"):
            raise errors.rate_limited(5)
        return self._quirks.strikes("connect-drop")

    def connected(self, session: Session) -> None:
        """A websocket was accepted."""
        if self._quirks.strikes("connect-close"):
            self._hub.later(0.0, session.close)

    def at_subscribe(self, session: Session, request: object) -> bool:
        """Whether a subscription ends here; the session was told why."""
        if self._quirks.strikes("subscribe-429"):
            refusal = errors.rate_limited(1)
            session.error(429, refusal.message, request, {"retryAfter": 1})
            return True
        if self._quirks.strikes("subscribe-503"):
            session.error(503, errors.MAX_PENDING, request)
            return True
        return False

    def image(self, session: Session, topic: Topic, rows: list[Row], now_ms: int) -> None:
        """Send the ``partial`` of a topic, or what a fault makes of it."""
        quirks, symbol = self._quirks, topic.symbol
        if quirks.strikes("early-update", symbol):
            row = rows[0] if rows else _stranger(topic.table, session.account, now_ms)
            session.send_table(topic.table, table_frame(topic.table, "update", [row]))
        if quirks.strikes("no-partial", symbol):
            return
        if quirks.strikes("late-partial", symbol):
            wait_s = quirks.seconds("late-partial", 0.5, 3.0)
            self._hub.later(wait_s, lambda: self._image_later(session, topic))
            return
        if rows and quirks.strikes("short-partial", symbol):
            rows = rows[:-1]
        self._send_image(session, topic, rows)

    def _image_later(self, session: Session, topic: Topic) -> None:
        if topic in session.topics:
            rows = self._image(session, topic, self._hub.now_ms)
            self._send_image(session, topic, rows)

    def _image(self, session: Session, topic: Topic, now_ms: int) -> list[Row]:
        return self._hub.image(topic, session.account, now_ms)

    @staticmethod
    def _send_image(session: Session, topic: Topic, rows: list[Row]) -> None:
        frame = session.hub.partial(topic, rows, session.account)
        session.send_image(topic.table, frame)

    # -- frames ----------------------------------------------------------------------------------

    def hold(self, account: int, table: str, seconds: float) -> None:
        """Hold back the next frame of a table of an account, and what follows it."""
        self._held[account, table] = seconds

    def begin(self, changes: Sequence[Change]) -> None:
        """Before the frames of one operation: what has traded, and who learns late of it."""
        if self._quirks.on("old-quantity"):
            for change in changes:
                if change.table == "execution" and change.row["execType"] == "Trade":
                    signed = _signed(change.row)
                    key = (change.account, change.symbol)
                    self._moved[key] = self._moved.get(key, 0) + signed
        if not self._quirks.on("late-fill"):
            return
        filled = {
            c.account
            for c in changes
            if c.table == "execution" and c.account is not None and c.row["execType"] == "Trade"
        }
        for account in sorted(filled):
            if self._quirks.strikes("late-fill"):
                wait_s = self._quirks.seconds("late-fill", 0.2, 2.0)
                self.hold(account, "order", wait_s)
                self.hold(account, "execution", wait_s)

    def end(self) -> None:
        """After the frames of one operation: what was to be held back was, or was never sent."""
        self._held.clear()
        self._moved.clear()

    def quiet(self, now_ms: int) -> bool:
        """Whether no frame that is sent now can meet a fault."""
        return not (
            self._held
            or self._gathered
            or now_ms < self.silent_until_ms
            or self._quirks.any_on(FRAME)
        )

    def send(
        self, session: Session, table: str, action: str, symbol: str | None, rows: list[Row],
        frame: bytes, now_ms: int,
    ) -> None:  # fmt: skip
        """Send one frame to one session, or what the faults make of it."""
        if self.quiet(now_ms):
            session.send_table(table, frame)
        elif table in PRIVATE_TABLES:
            self._private(session, table, action, symbol, rows, frame, now_ms)
        else:
            self._public(session, table, action, symbol, rows, frame, now_ms)

    def _public(
        self, session: Session, table: str, action: str, symbol: str | None, rows: list[Row],
        frame: bytes, now_ms: int,
    ) -> None:  # fmt: skip
        quirks = self._quirks
        if table == "quote" and rows and quirks.strikes("bad-quote", symbol):
            session.send_table(table, table_frame(table, "insert", [self._bad_quote(rows[-1])]))
        if table in BOOKS and action == "update" and quirks.strikes("book-stranger", symbol):
            stranger = {**rows[0], "id": 1, "size": 1}
            frame = table_frame(table, action, [stranger, *rows])
        if quirks.strikes("exponent-numbers", symbol):
            frame = exponents(frame)
        session.send_table(table, frame)

    def _private(
        self, session: Session, table: str, action: str, symbol: str | None, rows: list[Row],
        frame: bytes, now_ms: int,
    ) -> None:  # fmt: skip
        if now_ms < self.silent_until_ms:
            return
        waiting = self._gathered.get((session, table))
        if waiting is not None:
            if action == "insert":
                waiting += rows
                return
            self._release(session, table)
        if self._lost(session, table, symbol):
            return
        frame = self._altered(table, action, symbol, rows, frame, now_ms)
        if table in ("order", "execution") and action == "insert":
            if self._quirks.strikes("many-rows", symbol):
                self._gathered[session, table] = list(rows)
                self._hub.later(0.5, lambda: self._release(session, table))
                return
        delay_s = self._delay(session, table, symbol)
        if table == "position":
            delay_s = max(delay_s, self._old_quantity(session, symbol, rows))
        session.send_table(table, frame, delay_s)
        self._afterwards(session, table, symbol, rows, frame, now_ms)

    def _release(self, session: Session, table: str) -> None:
        rows = self._gathered.pop((session, table), None)
        if rows:
            session.send_table(table, table_frame(table, "insert", rows))

    def _lost(self, session: Session, table: str, symbol: str | None) -> bool:
        """Faults of the connection that a private frame meets; whether the frame is lost."""
        quirks = self._quirks
        if quirks.strikes("drop-stream", symbol):
            session.close()
            return True
        if not session.mute and quirks.strikes("half-open", symbol):  # else it is so already
            session.mute = True
        if not session.silent and quirks.strikes("silent-stream", symbol):
            session.silent = True
        if not session.lag_s and quirks.strikes("stream-lag", symbol):
            session.lag_s = quirks.seconds("stream-lag", 0.5, 5.0)
        if table == "position":
            return quirks.strikes("lost-position", symbol)
        return table in ("order", "execution") and quirks.strikes("lost-frame", symbol)

    def _delay(self, session: Session, table: str, symbol: str | None) -> float:
        """Seconds that a frame is held back."""
        held = 0.0 if session.account is None else self._held.get((session.account, table), 0.0)
        if table in LATE:
            name, most = LATE[table]
            if self._quirks.strikes(name, symbol):
                return max(held, self._quirks.seconds(name, 0.2, most))
        return held

    def _old_quantity(self, session: Session, symbol: str | None, rows: list[Row]) -> float:
        """Perhaps send a position's quantity of before; seconds that the new one has to wait."""
        for row in rows:
            now, moved = row.get("currentQty"), self._moved.get((session.account, symbol))
            if isinstance(now, int) and moved and self._quirks.strikes("old-quantity", symbol):
                old = {**row, "currentQty": now - moved}
                session.send_table("position", table_frame("position", "update", [old]))
                return self._quirks.seconds("old-quantity", 0.2, 2.0)
        return 0.0

    # -- what is in a frame ----------------------------------------------------------------------

    def _altered(
        self, table: str, action: str, symbol: str | None, rows: list[Row], frame: bytes,
        now_ms: int,
    ) -> bytes:  # fmt: skip
        """The frame with what faults do to its rows."""
        quirks = self._quirks
        changed = [dict(row) for row in rows]
        if changed and quirks.strikes("unknown-field", symbol):
            changed[0]["marginHint"] = {"levels": [1, 2]}
        if table == "order" and quirks.strikes("unknown-word", symbol):
            for row in changed:
                row["ordStatus"] = "Pondering"
        if table == "order" and quirks.strikes("wrong-numbers", symbol):
            for row in changed:
                cum = row.get("cumQty", 0)
                row["cumQty"] = (cum if isinstance(cum, int) else 0) + 1
        if table in ("order", "execution") and quirks.strikes("null-fields", symbol):
            for row in changed:
                row.update(dict.fromkeys(OLD_FIELDS))
        if action == "update" and changed and quirks.strikes("unknown-row", symbol):
            account = changed[0].get("account")
            changed.insert(0, _stranger(table, account, now_ms, changed[0].get("timestamp")))
        if changed != rows:
            frame = table_frame(table, action, changed)
        return exponents(frame) if quirks.strikes("exponent-numbers", symbol) else frame

    def _afterwards(
        self, session: Session, table: str, symbol: str | None, rows: list[Row], frame: bytes,
        now_ms: int,
    ) -> None:  # fmt: skip
        """What follows a private frame."""
        quirks = self._quirks
        if quirks.strikes("duplicate-frame", symbol):
            session.send_table(table, frame)
        if table == "execution" and quirks.strikes("repeat-execution", symbol):
            wait_s = quirks.seconds("repeat-execution", 0.5, 3.0)
            self._hub.later(wait_s, lambda: session.send_table(table, frame))
        if quirks.strikes("empty-frame", symbol):
            session.send_table(table, table_frame(table, "update", []))
        if table == "position" and symbol is not None and quirks.strikes("mark-noise", symbol):
            self._noise(session, symbol, rows)
        if table in ("position", "margin") and rows:
            if quirks.strikes("other-account-row", symbol):
                account = (session.account or 0) + 7
                foreign = {**rows[0], "account": account}
                if table == "position":
                    foreign["currentQty"] = 123_400
                session.send_table(table, table_frame(table, "update", [foreign]))
        if quirks.strikes("second-partial", symbol):
            for topic in session.topics:
                if topic.table == table:
                    self._send_image(session, topic, self._image(session, topic, now_ms))

    def _noise(self, session: Session, symbol: str, rows: list[Row]) -> None:
        """Updates that change a position's mark alone; the last has the true one."""
        market = self._hub.exchange.markets[symbol]
        tick = market.inst.tick
        for mark in (market.mark + tick, market.mark - tick, market.mark):
            names = ("account", "symbol", "strategy", "currency", "timestamp")
            row: Row = {name: rows[0][name] for name in names if name in rows[0]}
            row["markPrice"] = mark
            session.send_table("position", table_frame("position", "update", [row]))

    def _bad_quote(self, row: Row) -> Row:
        """A quote that nothing may be decided from; the true one follows it."""
        bid, ask = row.get("bidPrice"), row.get("askPrice")
        kind = self._quirks.stream("bad-quote").choice(("crossed", "one-sided", "far"))
        if kind == "one-sided" or not isinstance(bid, Decimal) or not isinstance(ask, Decimal):
            return {k: v for k, v in row.items() if not k.startswith("ask")}
        if kind == "crossed":
            return {**row, "bidPrice": ask, "askPrice": bid}
        return {**row, "bidPrice": bid / 2, "askPrice": ask / 2}


def _signed(row: Row) -> int:
    """Contracts of a trade, below zero for a sale."""
    size = row["lastQty"]
    assert isinstance(size, int)
    return size if row["side"] == "Buy" else -size


def exponents(frame: bytes) -> bytes:
    """A frame whose fractions are in exponent form, as BitMEX writes some (section 3)."""
    return _NUMBER.sub(lambda found: f"{Decimal(found[0].decode()):E}".encode(), frame)


def _stranger(table: str, account: object, now_ms: int, at: object = None) -> Row:
    """A row of a key that was never inserted."""
    row: Row = {"account": account, "timestamp": at or iso(now_ms)}
    if table in ("order", "execution"):
        return {"orderID": NOBODY, **row, "symbol": "XBTZ99", "leavesQty": 0, "cumQty": 0}
    if table == "position":
        return {**row, "symbol": "XBTZ99", "strategy": "OneWay", "currency": "XBt", "markPrice": 1}
    if table in ("margin", "wallet"):
        return {**row, "currency": "Xyz", "amount": 0}
    return {"symbol": "XBTZ99", "timestamp": row["timestamp"]}
