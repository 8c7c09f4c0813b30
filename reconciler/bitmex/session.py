"""
One connection's way from welcome to in sync.

    welcome -> (login ->) subscribing -> tables -> reading -> live        any of them -> lost

Rule 1: nothing is sent before the welcome; the subscriptions follow the accepted login.
Rule 2: `tables` ends when every topic was acknowledged and every account table had its image; what
is missing after a while is asked for once more, and then an image that comes before the venue has
unsubscribed us is not the last.
Rule 3: `reading` ends when the look-ups by REST are done: only then is the stream in sync.
Rule 4: any error that we don't know to be harmless loses the connection: half a subscription set
would look like a quiet market.
Rule 5: silence of 5 s asks for a sign of life, 5 s more lose the connection.

Pure: it reads no clock and no socket. It says what to send and what to do next; `stream` and
`gateway` do it.

Source: https://www.bitmex.com/app/wsAPI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from .messages import Frame
from .rows import cleaned

SILENCE_US = 5_000_000
ASK_AGAIN_US = 5_000_000  # a topic without its image by then is subscribed to once more
SET_UP_US = 20_000_000  # a connection without all its tables by then is lost
RELOADS = 3  # tables read anew on one connection in RELOADS_US; more of them lose it
RELOADS_US = 60_000_000

ACCOUNT_TOPICS = ("order", "execution", "position", "margin")
SYMBOL_TOPICS = ("instrument", "quote", "trade")
TOPICS_PER_COMMAND = 30  # every acknowledgement echoes its whole command

_encode = msgspec.json.Encoder().encode


def account_topics(symbols: Sequence[str]) -> list[str]:
    """What an account and its symbols need."""
    return [
        *ACCOUNT_TOPICS,
        *(f"{topic}:{symbol}" for symbol in symbols for topic in SYMBOL_TOPICS),
    ]


class Session:
    """What one connection has reached, and what it waits for."""

    def __init__(
        self,
        symbols: Sequence[str],
        login: Callable[[], dict[str, object]] | None,
        now_us: int,
        topics: Sequence[str] | None = None,
    ) -> None:
        self.phase = "welcome"
        self.reason = ""  # why it was lost
        self.wait_us = 0  # asked for by the venue before the next attempt
        self.outbox: list[str] = []  # to be sent now; may hold a signature
        self.topics = list(topics or account_topics(symbols))
        self._login = login
        self._opened_us = self._heard_us = now_us
        self._pinged_us: int | None = None
        self._unacknowledged = set(self.topics)
        self._without_image = {topic for topic in self.topics if _has_image(topic)}
        self._leaving: list[str] = []  # unsubscribed from, and the venue has not said so yet
        self._reloads: list[int] = []
        self._asked_again = False

    @property
    def lost(self) -> bool:
        """Whether this connection is of no use any more."""
        return self.phase == "lost"

    @property
    def live(self) -> bool:
        """Whether the stream is in sync."""
        return self.phase == "live"

    @property
    def images(self) -> bool:
        """Whether every table had its image and the look-ups by REST may begin."""
        return self.phase == "reading"

    def lose(self, reason: str) -> None:
        """The connection is lost for *reason*; the first reason stays."""
        if self.phase != "lost":
            self.phase, self.reason = "lost", cleaned(reason)

    def heard(self, now_us: int) -> None:
        """Something came: any frame at all is a sign of life."""
        self._heard_us = now_us
        self._pinged_us = None

    def silence_us(self, now_us: int) -> int:
        """How long nothing came."""
        return now_us - self._heard_us

    def tick(self, now_us: int) -> None:
        """Time has passed."""
        if self.lost:
            return
        if self._pinged_us is not None:
            if now_us - self._pinged_us >= SILENCE_US:
                self.lose(f"silent for {self.silence_us(now_us) // 1_000_000} s")
        elif now_us - self._heard_us >= SILENCE_US:
            self._pinged_us = now_us
            self.outbox.append("ping")
        if self.phase in ("welcome", "login", "subscribing", "tables"):
            if now_us - self._opened_us >= SET_UP_US:
                missing = (self._missing() or self._leaving)[:3]
                self.lose(f"nothing came for {self.phase}: {', '.join(missing)}")
            elif now_us - self._opened_us >= ASK_AGAIN_US and self.phase == "tables":
                self._ask_again()

    def frame(self, frame: Frame, now_us: int) -> None:
        """A frame came. Table frames matter here only as images."""
        if frame.table:
            if frame.action == "partial":
                self._image(frame)
        elif frame.error is not None:
            self._error(frame)
        elif frame.info is not None:
            if self.phase == "welcome" and self._login is None:  # public tables need no key
                self._subscribe()
            elif self.phase == "welcome" and self._login is not None:
                self.phase = "login"
                self._send(self._login())
        elif frame.success is not None:
            self._answered(frame, now_us)

    def read_done(self) -> bool:
        """The look-ups by REST are done. Whether the stream is in sync with that."""
        if self.phase == "reading":
            self.phase = "live"
        return self.live

    def reload(self, table: str, now_us: int) -> None:
        """*table* can't be explained: subscribe to it anew, and be out of sync until then."""
        topics = [t for t in self.topics if t.partition(":")[0] == table]
        if self.lost or self._without_image.intersection(topics):
            return  # its image is on its way already
        self._reloads = [at for at in self._reloads if now_us - at < RELOADS_US] + [now_us]
        if len(self._reloads) > RELOADS:
            self.lose(f"{table}: changes of rows never seen, again and again")
            return
        self.phase = "tables"
        self._opened_us = now_us
        self._asked_again = False
        self._without_image.update(topics)
        self._subscribe_anew(topics)

    def _missing(self) -> list[str]:
        return sorted(self._without_image | self._unacknowledged)

    def _ask_again(self) -> None:
        """An image was never sent: the others stay good, and this one comes the second time."""
        if not self._asked_again:
            self._asked_again = True
            self._subscribe_anew(self._missing())

    def _subscribe_anew(self, topics: Sequence[str]) -> None:
        self._leaving.extend(topics)
        for chunk in _chunks(topics):
            self._send({"op": "unsubscribe", "args": chunk})
            self._send({"op": "subscribe", "args": chunk})

    def _send(self, command: dict[str, object]) -> None:
        self.outbox.append(_encode(command).decode())

    def _answered(self, frame: Frame, now_us: int) -> None:
        op = frame.request.op if frame.request else ""
        if frame.success is not True:
            self.lose(f"{op or 'a command'} was refused")
        elif frame.subscribe is not None:
            self._unacknowledged.discard(frame.subscribe)
            self._advance()
        elif frame.unsubscribe in self.topics:
            if frame.unsubscribe in self._leaving:
                self._leaving.remove(frame.unsubscribe)
            elif self.live:  # nobody asked: what was told as in sync is not any more
                self.lose(f"unsubscribed from {frame.unsubscribe}, unasked")
                return
            # An image that came before this is old: nothing is told until the one that follows.
            images = self._without_image if _has_image(frame.unsubscribe) else self._unacknowledged
            images.add(frame.unsubscribe)
            self.phase = "tables"
        elif op == "authKeyExpires" and self.phase == "login":
            self._subscribe()

    def _subscribe(self) -> None:
        self.phase = "subscribing"
        for chunk in _chunks(self.topics):
            self._send({"op": "subscribe", "args": chunk})

    def _image(self, frame: Frame) -> None:
        """An image came: of the topic with its symbol, or of the whole table."""
        symbol = (frame.filter or {}).get("symbol")
        for topic in self._without_image | self._unacknowledged:
            table, _, of = topic.partition(":")
            if table == frame.table and (not of or symbol is None or of == symbol):
                self._without_image.discard(topic)
                self._unacknowledged.discard(topic)
        self._advance()

    def _advance(self) -> None:
        if self.phase == "subscribing":
            self.phase = "tables"
        waiting = self._without_image or self._unacknowledged or self._leaving
        if self.phase == "tables" and not waiting:
            self.phase = "reading"

    def _error(self, frame: Frame) -> None:
        """An error frame; some of them lack `success`, some `status`, some `request`."""
        said = frame.error or "an error without words"
        if said.startswith("You are already subscribed"):
            self._advance()
            return
        op = frame.request.op if frame.request else ""
        if op == "unsubscribe":
            self._leaving.clear()
            return  # it was not subscribed: the subscription that follows decides
        retry = (frame.meta or {}).get("retryAfter")
        if frame.status == 429 or said.startswith("Rate limit exceeded"):
            seconds = retry if type(retry) is int else _seconds_in(said)
            self.wait_us = min(max(seconds, 1), 300) * 1_000_000
        status = "" if frame.status is None else f" ({frame.status})"
        self.lose(f"{op or 'stream'}: {said}{status}")


def _has_image(topic: str) -> bool:
    """Whether nothing can be said of a table before its image."""
    return not topic.startswith(("quote", "trade"))


def _chunks(topics: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(topics), TOPICS_PER_COMMAND):
        yield list(topics[start : start + TOPICS_PER_COMMAND])


def _seconds_in(said: str) -> int:
    """The number in "retry in 29 seconds", 1 when there is none."""
    for word in said.split():
        if word.isascii() and word.isdigit() and len(word) < 6:
            return int(word)
    return 1
