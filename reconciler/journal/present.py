"""
The present, as far as rows depend on it: the newest state of each symbol, and which orders live.

Also how single values are stored: prices as plain text, ids of a venue in few bytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.errors import Broken
from reconciler.journal import chain

#: Order statuses in which an intent is live: at most one of these a symbol.
LIVE: Final = frozenset({"intended", "working", "in_doubt"})


@dataclass(slots=True)
class SymbolNow:
    """The row of a symbol in ``symbol_now``, in the order of its columns."""

    symbol: str
    state: str = "idle"
    waiting_for: str = ""
    target: int | None = None
    version: int = 0
    policy: str = ""
    source: str = ""
    position: int = 0
    venue_position: int | None = None
    anchor: int | None = None
    worst_short: int = 0
    worst_long: int = 0
    working: str = ""
    mark_price: str | None = None
    entry_price: str | None = None
    state_since_us: int = 0
    updated_us: int = 0
    cost_contracts: int = 0
    cost_minor: int = 0
    on_target: int = 0
    counted_us: int = 0


@dataclass(slots=True)
class Run:
    """What the row of a run says and its event does not know."""

    version: str = ""
    environment: str = ""
    host: str = ""
    recovered_events: int = 0


#: What the row of a request says of a new order: seq, at_us, epoch, cl_ord_id, symbol.
Place = tuple[int, int, int, str, str]


@dataclass(slots=True)
class Present:
    """What `Rows` starts from: read from the database, or empty for a journal's first row."""

    symbols: dict[str, SymbolNow] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)  # symbol -> cl_ord_id, as the unique index
    contracts: dict[str, int] = field(default_factory=dict)  # cl_ord_id -> signed, of live orders
    places: dict[int, Place] = field(default_factory=dict)  # by request_id, until it is answered
    last_us: int = 0  # time of the last event

    def require_room(
        self, steps: Sequence[tuple[e.AnyEvent, Sequence[Any], Sequence[Any]]]
    ) -> None:
        """
        The database's rule of one live intent a symbol, before its rows are made.

        Raises:
            Broken: A second one would be live.
        """
        live = dict(self.live)
        for _, decisions, facts in steps:
            for fact in facts:  # as `rows` takes it: one that is live again takes the room, too
                if type(fact) is d.OrderChanged:
                    if fact.status in LIVE:
                        live.setdefault(fact.symbol, fact.cl_ord_id)
                    elif live.get(fact.symbol) == fact.cl_ord_id:
                        del live[fact.symbol]
            for decision in decisions:
                if type(decision) is d.PlaceOrder:
                    name, symbol = decision.cl_ord_id, decision.symbol
                    if live.setdefault(symbol, name) != name:
                        raise Broken(
                            f"the journal refuses a row: a second live intent of {symbol}, {name},"
                            f" beside {live[symbol]}"
                        )


def load(db: sqlite3.Connection, behind: int | None = None) -> Present:
    """
    The newest state of symbols and live orders, as the last transaction left it.

    Args:
        behind: The first event whose tables are not written yet: the present is that before it.
    """
    columns = ", ".join(SymbolNow.__slots__)
    found = (SymbolNow(*row) for row in db.execute(f"SELECT {columns} FROM symbol_now"))
    present = Present({now.symbol: now for now in found}, last_us=chain.end(db)[2])
    if behind is not None:
        _step_back(present, db, behind)
    for name, symbol, live, contracts in db.execute(
        "SELECT cl_ord_id, symbol, live, contracts FROM orders"
        f" WHERE status IN ({', '.join('?' * len(LIVE))})",
        sorted(LIVE),
    ):
        if live:
            present.live[symbol] = name
        if contracts is not None:
            present.contracts[name] = contracts
    return present


def _step_back(present: Present, db: sqlite3.Connection, behind: int) -> None:
    """What only a process remembers, which is gone: when it was, and whose answers it awaited."""
    before = db.execute("SELECT at_us FROM journal WHERE seq = ?", (behind - 1,)).fetchone()
    present.last_us = before[0] if before else 0
    for request_id, *place in db.execute(UNANSWERED):
        present.places[request_id] = (*place,)


#: Orders without an answer. A start forgets those of older runs: who heard their answers is gone.
UNANSWERED: Final = """
    SELECT request_id, seq, at_us, epoch, cl_ord_id, symbol FROM intents i
    WHERE seq > (SELECT coalesce(max(seq), 0) FROM runs)
        AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.request_id = i.request_id)
"""

#: The row of a symbol, in the order of its columns.
values_of: Final[Callable[[SymbolNow], tuple[Any, ...]]] = attrgetter(*SymbolNow.__slots__)


def pack(venue_id: str) -> str | bytes:
    """A venue's id as stored: 16 bytes if it is a UUID in the usual spelling, else as it is."""
    if len(venue_id) == 36 and venue_id[8] == venue_id[13] == venue_id[18] == venue_id[23] == "-":
        digits = venue_id.replace("-", "")
        try:
            raw = bytes.fromhex(digits)
        except ValueError:
            return venue_id
        if len(digits) == 32 and raw.hex() == digits:
            return raw
    return venue_id


def unpack(stored: str | bytes) -> str:
    """The venue's id again."""
    if isinstance(stored, str):
        return stored
    digits = stored.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def exact(price: Decimal | None) -> str | None:
    """A price as text, without an exponent."""
    if price is None:
        return None
    words = str(price)
    return format(price, "f") if "E" in words else words
