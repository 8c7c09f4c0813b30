"""
One websocket conversation, without its socket (protocol sheet, sections 2.2 and 9).

Text in, frames out through the outbox, which the server empties as fast as the peer reads. What a
command is answered with is decided here; which rows a session hears, in `stream`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from . import errors, topics
from .auth import Key
from .intake import timeout_ms
from .legacy import VERSION
from .limits import Bucket
from .orders import Row
from .protocol import decode, encode, encoded
from .times import iso
from .topics import BOOKS, Topic

if TYPE_CHECKING:
    from .stream import Hub

OUTBOX_FRAMES = 20_000  # a reader that is slower than this is dropped (section 12.2)
OUTBOX_BYTES = 64_000_000
COMMANDS_A_MINUTE = 120  # subscribing and arming draw on a limiter of their own (section 12.2)
ANSWERS_BYTES = 8_000_000  # each topic's answer echoes the request: a few hundred topics at once
PENDING_IMAGES = 100  # partials that the peer has yet to take, before it may ask for more
ERRORS_A_MINUTE = 1_000  # "too many errors during a session will result in a disconnection" (blog)
_CREDENTIALS = ("api-key", "api-expires", "api-signature")


class Session:
    """One websocket: who it speaks for, what it hears, what it has yet to be sent."""

    def __init__(
        self, hub: Hub, wake: Callable[[], None], end: Callable[[], None], *, platform: bool
    ) -> None:
        self.hub = hub
        self.key: Key | None = None
        self.topics: dict[Topic, None] = {}
        self._outbox: deque[bytes] = deque()
        self.platform = platform  # on /realtimePlatform, which serves the platform's tables alone
        self.closing = False
        self.silent = False  # a fault: no table frame is sent any more
        self.mute = False  # a fault: nothing is sent any more
        self.lag_s = 0.0  # a fault: what is sent leaves so much later
        self.alive_ms = hub.now_ms  # when either side last said something
        self.address = ""  # where it comes from
        self.path = "/realtime"  # what is signed, whatever the address
        self._wake = wake
        self._end = end
        self._lagging: deque[bytes] = deque()
        self._held: dict[str, list[bytes]] = {}  # frames of tables that a fault holds back
        self._queued = 0  # bytes in the outbox
        self._images = 0  # partials in the outbox
        self._errors = Bucket(ERRORS_A_MINUTE, 60_000, hub.now_ms)
        self._commands = Bucket(COMMANDS_A_MINUTE, 60_000, hub.now_ms)

    @property
    def account(self) -> int | None:
        return None if self.key is None else self.key.account

    @property
    def outbox(self) -> deque[bytes]:
        """What it has yet to be sent."""
        self.hub.deliver()
        return self._outbox

    def wake(self) -> None:
        """There is something to send."""
        self._wake()

    # -- out ----------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Queue a frame; a peer that has left too many unread is dropped."""
        if self.closing or self.mute:
            return
        self.hub.deliver()  # what was said before comes before
        if self.lag_s:
            self._lagging.append(frame)
            self.hub.later(self.lag_s, lambda: self._queue(self._lagging.popleft()))
        else:
            self._queue(frame)

    def _queue(self, frame: bytes) -> None:
        if self.closing:
            return
        self._queued += len(frame)
        if len(self._outbox) >= OUTBOX_FRAMES or self._queued > OUTBOX_BYTES:
            self.close()
            return
        self._outbox.append(frame)
        self._wake()

    def send_all(self, tables: Sequence[str], frames: Sequence[bytes], size: int) -> None:
        """Queue table frames, *size* bytes in all, at once if no fault has this session in hand."""
        if self.silent or self.mute or self.lag_s or self._held:
            for table, frame in zip(tables, frames, strict=True):
                self.send_table(table, frame)
        elif not self.closing:
            self._outbox.extend(frames)
            self._queued += size
            if len(self._outbox) > OUTBOX_FRAMES or self._queued > OUTBOX_BYTES:
                self.close()

    def take(self) -> list[bytes]:
        """All frames in the outbox, which is empty then: they are on their way."""
        frames = list(self.outbox)
        self._outbox.clear()
        self._queued = self._images = 0
        self.alive_ms = self.hub.now_ms
        return frames

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

    def send_image(self, table: str, frame: bytes) -> None:
        self._images += 1
        self.send_table(table, frame)

    def _release(self, table: str) -> None:
        for frame in self._held.pop(table, []):
            self.send(frame)

    def close(self) -> None:
        """End the connection; what is still in the outbox is lost."""
        self.closing = True
        self.hub.forget(self)
        self._end()

    def error(self, status: int, message: str, request: object, meta: Row | None = None) -> None:
        frame: Row = {"status": status, "error": message, "meta": meta or {}, "request": request}
        if status == 503:
            del frame["meta"]  # the one error frame that was recorded without
        self.send(encode(frame))
        self._errors.refill(self.hub.now_ms)
        self._errors.take()
        if self._errors.remaining <= 0:
            self.hub.later(0.05, self.close)  # after the frame that says why

    def welcome(self, remaining: int, now_ms: int) -> None:
        greeting: Row = {
            "info": "Welcome to the BitMEX Realtime API.", "version": "2.0.0",
            "timestamp": iso(now_ms), "docs": "https://www.bitmex.com/app/wsAPI",
            "heartbeatEnabled": False, "limit": {"remaining": remaining},
            "appName": "ws-feedhandler-sim-1",
        }  # fmt: skip
        if self.hub.legacy is not None:
            greeting["version"] = VERSION
            del greeting["heartbeatEnabled"], greeting["appName"]
        self.send(encode(greeting))

    # -- in -----------------------------------------------------------------------------------

    def receive(self, message: str, now_ms: int) -> None:
        """Answer one message of the client."""
        self.hub.turn.end()
        self.alive_ms = now_ms
        if message == "ping":
            self.send(b"pong")
            return
        if message == "help":
            self.send(encode(topics.subjects()))
            return
        try:
            request = decode(message)
        except ValueError:
            request = {}  # what the testnet echoed of text that is no JSON
        if not isinstance(request, dict):
            self.error(400, errors.UNRECOGNIZED, request)
            return
        op, args, echo = request.get("op"), request.get("args"), encoded(request)
        if op in ("subscribe", "unsubscribe", "cancelAllAfter") and not self._afford(echo, now_ms):
            return
        if op in ("subscribe", "unsubscribe") and len(_listed(args)) * len(message) > ANSWERS_BYTES:
            self.error(503, errors.MAX_PENDING, echo)  # else everybody waits while it is written
        elif op == "subscribe":
            self.subscribe(_listed(args), echo, now_ms)
        elif op == "unsubscribe":
            self._unsubscribe(_listed(args), echo)
        elif op == "authKeyExpires":
            self._authenticate(_listed(args), echo, now_ms)
        elif op == "cancelAllAfter":
            self._cancel_all_after(args, echo, now_ms)
        elif op == "ping":
            self.send(b"pong")
        elif op == "help":
            self.send(encode(topics.subjects()))
        else:  # the testnet named an op that it did not know so in its echo
            unknown = {**request, "op": "UNKNOWN"} if "op" in request else request
            self.error(400, errors.UNRECOGNIZED, unknown)

    def _afford(self, request: object, now_ms: int) -> bool:
        """Whether the limiter lets a command through; if not, the 429 frame is sent."""
        if not self.hub.rate_limits:
            return True
        self._commands.refill(now_ms)
        wait_ms = self._commands.wait_ms()
        if wait_ms > 0:
            seconds = max(1, -(-int(wait_ms) // 1000))
            text = errors.rate_limited(seconds).message
            self.error(429, text, request, {"retryAfter": seconds})
            return False
        self._commands.take()
        return True

    def subscribe(self, names: list[object], request: object, now_ms: int) -> None:
        """Acknowledge every topic, then send their images, books last (section 11)."""
        if self._images >= PENDING_IMAGES:
            self.error(503, errors.MAX_PENDING, request)
            return
        if self.hub.faults.at_subscribe(self, request):
            return
        fresh: list[Topic] = []
        for name in names:
            if self.closing:  # each answer echoes the whole request: enough was said
                return
            try:
                topic = topics.parse(name, self.hub.exchange, platform=self.platform)
            except topics.UnknownTopic as problem:
                self.error(400, str(problem), request)
                continue
            if topic.private and self.key is None:
                note: Row = {"notes": errors.AUTH_TABLES_NOTE}
                self.error(401, errors.NO_AUTH_FOR_TABLE, request, note)
                continue
            if topic in self.topics:
                self.error(400, errors.already_subscribed(str(name)), request)
                continue
            self.topics[topic] = None
            self.hub.hear(self, topic)
            fresh.append(topic)
            self.send(encode({"success": True, "subscribe": name, "request": request}))
        for topic in sorted(fresh, key=lambda topic: topic.table in BOOKS):
            self.hub.send_image(self, topic, now_ms)

    def _unsubscribe(self, names: list[object], request: object) -> None:
        """Also a success for a topic that was not subscribed to, as on the testnet."""
        for name in names:
            if self.closing:  # each answer echoes the whole request: enough was said
                return
            try:
                topic = topics.parse(name, self.hub.exchange, platform=self.platform)
            except topics.UnknownTopic as problem:
                self.error(400, str(problem), request)
                continue
            if topic in self.topics:
                del self.topics[topic]
                self.hub.unhear(self, topic)
            self.send(encode({"success": True, "unsubscribe": name, "request": request}))

    # -- who it is ----------------------------------------------------------------------------

    def _authenticate(self, args: list[object], request: object, now_ms: int) -> None:
        if self.key is not None:
            self.error(400, "You are already authenticated.", request)
            return
        if not args:
            self.error(400, "Missing API key.", request)
            return
        texts = [str(value) for value in (*args, "", "")][: len(_CREDENTIALS)]
        try:
            self.sign_in(dict(zip(_CREDENTIALS, texts, strict=True)), now_ms)
        except errors.Refusal as refusal:
            self.error(refusal.status, refusal.message, request)
            self.hub.later(0.05, self.close)
            return
        self.send(encode({"success": True, "request": request}))

    def sign_in(self, credentials: dict[str, str], now_ms: int) -> None:
        """
        Take credentials from a message, the URL or the upgrade's headers (section 2.2).

        Raises:
            Refusal: 401, they are wrong; 403, the key is bound to other addresses.
        """
        key = self.hub.keys.verify(credentials, "GET", self.path, b"", now_ms)
        if not key.admits(self.address):
            raise errors.wrong_address()
        if not self.hub.quirks.strikes("auth-lost"):
            self.key = key

    def expire_token(self) -> None:
        """The key was revoked: each private subscription ends with a 419 (section 9.2)."""
        for topic in [t for t in self.topics if t.private]:
            del self.topics[topic]
            self.hub.unhear(self, topic)
            name = f"{topic.table}:{topic.symbol or '*'}"
            frame = {"error": errors.token_expired(name), "meta": {"note": errors.TOKEN_NOTE}}
            self.send(encode({**frame, "status": 419}))
        self.key = None

    def _cancel_all_after(self, args: object, request: object, now_ms: int) -> None:
        if self.key is None:
            self.error(401, "Please authenticate before using cancelAllAfter.", request)
            return
        if not self.key.may_cancel():
            refusal = errors.forbidden()
            self.error(refusal.status, refusal.message, request)
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


def _listed(args: object) -> list[object]:
    if args is None:
        return []
    return list(args) if isinstance(args, list) else [args]
