"""
What happens, as it happens: server-sent events, from the journal.

Each row bears the number of its event. Who breaks off says the last one that came, as
``Last-Event-ID``, and misses nothing; a row may come twice then, never not at all.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from reconciler.api.answers import Answer, Live, Problem
from reconciler.api.listing import require_symbol
from reconciler.api.reading import Handler, Request, known
from reconciler.errors import ReconcilerError
from reconciler.journal import History, news
from reconciler.service.door import Door

T = TypeVar("T")
#: Runs a function that blocks in a thread.
InThread = Callable[[Callable[[], T]], Awaitable[T]]

LOOK_S = 0.25
SILENT_S = 15  # then a line that says nothing: the connection is there
MOST_AT_ONCE = 8


class Seat:
    """A place among those that look on."""


class Stream:
    """The handler, over a journal; the door knows the symbols that are not in it yet."""

    def __init__(self, door: Door, database: Path) -> None:
        self._door, self._database = door, database
        self._seats: WeakSet[Seat] = WeakSet()  # one whose stream never begins is not kept
        self._lock = threading.Lock()

    def table(self, base: str) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of the route."""
        return [("GET", f"{base}/stream", self.stream)]

    def stream(self, request: Request) -> Answer:
        """Rows of the kinds that are named, from now on or after the event that was the last."""
        known(request.query, ("kinds", "symbol"))
        kinds = tuple(request.query.get("kinds", "transition,fill").split(","))
        news.check(kinds)
        after = _after(request.headers.get("last-event-id"))
        if after is None:
            after = news.look(self._database, kinds, None).after
        symbol = request.query.get("symbol", "")
        if symbol:
            with History.open(self._database) as history:
                require_symbol(self._door, history, symbol)
        seat = self._taken()
        return Answer(200, Live(lambda to: self._lines(seat, kinds, symbol, after, to)))

    def _taken(self) -> Seat:
        """A place among those that look on; many may ask for the last one at once."""
        with self._lock:
            if len(self._seats) >= MOST_AT_ONCE:
                raise Problem(
                    429, "too_many_requests", f"{MOST_AT_ONCE} streams are open; end one of them."
                )
            self._seats.add(seat := Seat())
        return seat

    async def _lines(
        self,
        seat: Seat,
        kinds: tuple[str, ...],
        symbol: str,
        after: int,
        in_thread: InThread[news.News],
    ) -> AsyncIterator[str]:
        try:
            silent_s = 0.0
            yield f"id: {after}\n: hello\n\n"  # so that a break before the first row loses none
            while True:
                try:
                    found = await in_thread(partial(news.look, self._database, kinds, after))
                except ReconcilerError:
                    return  # the journal is gone or broken: whoever asks again is told so
                text = _events(found, symbol)
                moved, after = found.after > after, found.after
                if text:
                    silent_s = 0.0
                    yield text
                elif silent_s >= SILENT_S:
                    silent_s = 0.0
                    yield f"id: {after}\n: nothing\n\n"
                if not moved:
                    await asyncio.sleep(LOOK_S)
                    silent_s += LOOK_S
        finally:
            with self._lock:
                self._seats.discard(seat)


def _events(found: news.News, symbol: str) -> str:
    """Rows as events. Only the last of one number bears it: those before it come again."""
    told = [one for one in found.told if symbol in ("", one.row["symbol"])]
    lines = []
    for place, one in enumerate(told):
        whole = place + 1 == len(told) or told[place + 1].seq > one.seq
        number = one.seq if whole else one.seq - 1
        data = json.dumps({"seq": one.seq, **one.row}, default=str)
        lines.append(f"id: {number}\nevent: {one.kind}\ndata: {data}\n\n")
    return "".join(lines)


def _after(header: str | None) -> int | None:
    if header is None or header == "":
        return None
    if not (header.isascii() and header.isdigit() and len(header) <= 18):
        raise Problem(400, "bad_request", "Last-Event-ID is the number of an event.")
    return int(header)
