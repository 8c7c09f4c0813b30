"""
One turn of the event loop: the requests that were read together, and what they changed.

What an order does is told of that order, one by one: its answer, its rows, its executions, the
trades. What follows from all of them (positions, margins, wallets, quotes, books) is compared and
framed once, when the turn is over, as a venue does that is busy. A turn in which one request came
says what it always said; the more there is to do, the less of it each order costs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stream import Hub

Soon = Callable[[Callable[[], None]], object]


class Turn:
    """What has been done since the loop last turned, and is not told in full yet."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.soon: Soon | None = None  # calls when this turn is over; None: nothing turns here
        self._operations = 0
        self._now_ms = 0  # of the last of them

    def begin(self, now_ms: int) -> None:
        """An operation begins: it is told alone where a fault might befall its frames."""
        if self._operations and not self._joins(now_ms):
            self.end()

    def done(self, now_ms: int) -> None:
        """An operation is done: tell of it, at once or when the turn is over."""
        hub = self._hub
        if self.soon is None or not self._joins(now_ms):
            self._operations = 0
            hub.publish(hub.exchange.flush(now_ms), now_ms)
            return
        hub.exchange.flush_orders(now_ms)
        if not self._operations:
            self.soon(self.end)
        self._operations += 1
        self._now_ms = now_ms

    def end(self) -> None:
        """Tell what is still untold; before anything else happens to the venue, and in its time."""
        count, self._operations = self._operations, 0
        if count:
            hub, now_ms = self._hub, self._now_ms
            hub.publish(hub.exchange.flush(now_ms), now_ms, merged=count > 1)

    def _joins(self, now_ms: int) -> bool:
        """Whether what follows may be told together with what others did."""
        hub = self._hub
        return (
            hub.patient
            and hub.legacy is None
            and not hub.quirks.any_live
            and hub.faults.quiet(now_ms)
        )
