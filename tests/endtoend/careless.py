"""
Controls: services that lack one guard. The kills have to catch each, or they prove nothing.

Applied in the parent of all processes, so that every life is as careless as the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import pytest

from reconciler.core.decisions import PlaceOrder
from reconciler.core.events import AnyEvent, Synced
from reconciler.service.engine import Engine
from tests.simulation import planted


def sent_again_at_a_restart() -> None:
    """The newest request without an answer is sent once more, under its id: "it is idempotent"."""
    handle = Engine.handle

    def again(self: Engine, events: Iterable[AnyEvent]) -> None:
        found = list(events)
        handle(self, found)
        if any(isinstance(event, Synced) for event in found) and not hasattr(self, "resent"):
            self.resent = True  # type: ignore[attr-defined]
            assert self.venue is not None
            for book in self.ledger.books.values():
                if book.order is not None and book.order.status == "in_doubt":
                    handle(self, self.venue.send(_stored(self, book.order.cl_ord_id)))

    Engine.handle = again  # type: ignore[method-assign]


def _stored(engine: Engine, cl_ord_id: str) -> PlaceOrder:
    """The order as the journal has it."""
    rows = engine.journal._db.execute(
        "select request_id, contracts, price, post_only, reduce_only, immediate, symbol,"
        " target_version, instrument_version, position, policy, reason, bid, ask, mark"
        " from intents where cl_ord_id = ?",
        (cl_ord_id,),
    )
    keys = [column[0] for column in rows.description]
    row: dict[str, Any] = dict(zip(keys, rows.fetchone(), strict=True))
    for name in ("price", "bid", "ask", "mark"):
        row[name] = None if row[name] is None else Decimal(row[name])
    for name in ("post_only", "reduce_only", "immediate"):
        row[name] = bool(row[name])
    soon = engine._now_us() + 5_000_000
    return PlaceOrder(cl_ord_id=cl_ord_id, expires_us=soon, deadline_us=soon, **row)


def nothing_is_read_back() -> None:
    """A connection begins with what the stream shows: executions of the gap are not asked for."""
    from reconciler.bitmex.rest import Reader

    Reader.executions_since = lambda *_: []  # type: ignore[method-assign, assignment]


def of_the_simulation(name: str) -> Callable[[], None]:
    """A fault that is planted in the simulation, too."""
    return lambda: planted.FAULTS[name](pytest.MonkeyPatch())


GUARDS: dict[str, Callable[[], None]] = {
    "sent again at a restart": sent_again_at_a_restart,
    "nothing is read back": nothing_is_read_back,
    "sent before it is written down": of_the_simulation("sent_before_it_is_written_down"),
    "a restart forgets": of_the_simulation("a_restart_forgets"),
}
