"""Accepted orders that the stream has yet to show: it may answer pings and tell nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconciler.core.events import AnyEvent, OrderSeen

UNSEEN_US = 10_000_000  # an accepted order that the stream does not show by then: it is not well


class Awaited:
    """
    The orders of one connection.

    Args:
        shows: Whether the stream has shown an order, by the venue's id.
    """

    def __init__(self, shows: Callable[[str], bool]) -> None:
        self._shows = shows
        self._until_us: dict[str, int] = {}

    def clear(self) -> None:
        """The connection is another."""
        self._until_us.clear()

    def accepted(self, events: Iterable[AnyEvent], now_us: int) -> None:
        """Wait for the orders that an answer told of."""
        for event in events:
            if isinstance(event, OrderSeen) and not self._shows(event.order_id):
                self._until_us[event.order_id] = now_us + UNSEEN_US

    def missed(self, now_us: int) -> bool:
        """Whether the stream should have shown one of them by now."""
        if not self._until_us:
            return False
        for order_id in list(self._until_us):
            if self._shows(order_id):
                del self._until_us[order_id]
        return any(now_us > until_us for until_us in self._until_us.values())
