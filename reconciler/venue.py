"""
The port: what a venue's gateway offers the service, and what it may ask of it.

One folder a venue implements `Venue`; `reconciler.bitmex` is the first. The service owns one
thread, *the loop*, which owns the core and the journal. A gateway's sockets are read in that
thread, and orders are written to the wire in it, so that a fill becomes the next order without
waking a second thread. Whatever may block (connecting, look-ups, waiting for an answer) a
gateway does in threads of its own, and hands over what it learned as events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from reconciler.core.decisions import AnyDecision
from reconciler.core.events import AnyEvent, Quoted
from reconciler.feed import Asked, News, Page


class Host(Protocol):
    """What the service lends a gateway."""

    def now_us(self) -> int:
        """The time for events: microseconds UTC, never running backwards within a run."""

    def post(self, events: Sequence[AnyEvent]) -> None:
        """Hand events to the loop, from any thread. They are stepped in this order, together."""

    def call_soon(self, call: Callable[[], Iterable[AnyEvent]]) -> None:
        """Run *call* in the loop, from any thread, and step what it returns."""

    def add_reader(self, fileno: int, read: Callable[[], Iterable[AnyEvent]]) -> None:
        """In the loop only: call *read* whenever *fileno* has bytes; step what it returns."""

    def remove_reader(self, fileno: int) -> None:
        """In the loop only: undo `add_reader`."""


class Venue(Protocol):
    """What the service asks of a gateway."""

    def start(self, watermark_us: int) -> None:
        """
        Begin to connect, and keep connected until `close`.

        Args:
            watermark_us: Venue time before which every execution is already stored; 0 if none.
        """

    def tick(self, now_us: int) -> Iterable[AnyEvent]:
        """In the loop, a few times a second: silence, pings, clocks. Never blocks."""

    def send(self, decision: AnyDecision) -> Iterable[AnyEvent]:
        """
        In the loop, after the decision was committed: send it, once. Never blocks.

        Returns:
            Events known at once, such as an `Answered` that says not one byte left.
        """

    def withdraw(self) -> None:
        """In the loop: give up, as not sent, every new order that is not yet being written."""

    def quote(self, symbol: str) -> Quoted | None:
        """The newest prices of *symbol*, or None before the stream had any."""

    def health(self) -> dict[str, object]:
        """For people: stream, latency, request budget, clock."""

    def close(self, timeout_s: float) -> None:
        """End every thread and connection."""


class Feed(Protocol):
    """What a source of public market data offers; what it hands over is in `reconciler.feed`."""

    def start(self) -> None:
        """Begin to connect, and keep connected until `close`."""

    def rejoin(self, reason: str) -> None:
        """From any thread: something was dropped on our side. Begin anew with images."""

    def want(self, needs: Mapping[str, Any], tables: Iterable[str] = ()) -> None:
        """From any thread: more symbols, tables or history are wanted. Begins anew with them."""

    def venue_us(self) -> int:
        """The time by the venue's clock, as well as it is known."""

    def health(self) -> dict[str, object]:
        """For people."""

    def close(self, timeout_s: float) -> None:
        """End every thread and connection."""


class Joiner(Protocol):
    """Who joins history to the stream of a feed: `reconciler.strategy.history`."""

    def take(self, batch: Sequence[News], venue_us: int) -> list[News]:
        """What the stream told; returned is what may be handed over now."""

    def page(self, page: Page, venue_us: int) -> list[News]:
        """A page of history came."""

    def want(self, needs: Mapping[str, Any]) -> None:
        """Symbol -> what is wanted of its past, with the next joining."""

    def asks(self, venue_us: int) -> list[Asked]:
        """Pages that are to be read now."""
