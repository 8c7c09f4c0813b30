"""
From one thing back to its causes: an order or a fill to its target, its shares and their signals.

What is gathered here is told in words by `reconciler why`, and as it is by HTTP.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reconciler.core.ledger import Book, Ledger
from reconciler.errors import NotFound, UsageError
from reconciler.journal import past
from reconciler.journal.history import History
from reconciler.shown import exact

Found = dict[str, Any]


def traced(history: History, name: str) -> Found:
    """An order, a fill or a symbol, whichever has that name."""
    if name in history.symbols():
        return of_symbol(history, name)
    try:
        return of_order(history, name)
    except NotFound:
        pass
    try:
        return of_fill(history, name)
    except NotFound:
        raise NotFound(
            f"{name[:60]!r} is neither an order, nor a fill, nor a symbol of this journal",
            next_step="See `reconciler get orders` and `reconciler get fills`.",
        ) from None


def of_order(history: History, name: str) -> Found:
    """An order: its intent, requests, transitions and fills, and the target that it was for."""
    stored = history.order(name)
    order = stored["v_orders"].dicts()[0]
    intent = next(iter(stored["intents"].dicts()), None)
    fills = [exact(row) for row in stored["v_fills"].dicts()]
    parts = history.parts(order["symbol"], name).dicts()
    return {
        "order": exact(order),
        "intent": intent,
        "requests": stored["requests"].dicts(),
        "transitions": stored["v_transitions"].dicts(),
        "fills": [{**row, "shares": _parts_of(parts, row["exec_id"])} for row in fills],
        **(of_target(history, order["symbol"], intent["target_version"]) if intent else {}),
    }


def of_fill(history: History, name: str) -> Found:
    """A fill with whose it is, and its order if that was ours."""
    fill = history.fill(name).dicts()[0]
    shares = history.query(
        "SELECT * FROM v_fill_shares WHERE exec_id = " + _quoted(name) + " ORDER BY strategy",
        within_ms=5_000,
    ).dicts()
    found = {"fill": {**exact(fill), "shares": [exact(row) for row in shares]}}
    if fill["cl_ord_id"]:
        found |= of_order(history, fill["cl_ord_id"])
    return found


def of_symbol(history: History, name: str) -> Found:
    """A symbol as it is now, and its target."""
    status = next(row for row in history.status().dicts() if row["symbol"] == name)
    found: Found = {"status": exact(status)}
    if status["version"]:
        found |= of_target(history, name, status["version"])
    return found


def of_target(history: History, symbol: str, version: int) -> Found:
    """A target with its shares."""
    rows, shares = history.target(symbol, version)
    return {
        "target": next((exact(row) for row in rows.dicts()), None),
        "shares": [exact(row) for row in shares.dicts()],
    }


def named_target(history: History, name: str) -> Found:
    """A target by its name: ``XBTUSD/42``."""
    symbol, _, version = name.rpartition("/")
    if not symbol or not version.isdecimal():
        raise UsageError(f"{name[:40]!r} is no target", next_step="Say it as XBTUSD/42.")
    found = of_target(history, symbol, int(version))
    if found["target"] is None:
        raise NotFound(f"there is no target {name[:40]!r}", target=name[:40])
    return found


def strategy(history: History, name: str) -> Found:
    """What a strategy holds, and its newest signals and fills."""
    holds = [
        row for row in history.rows("v_strategies", limit=0).dicts() if row["strategy"] == name
    ]
    if not holds:
        raise NotFound(
            f"{name[:60]!r} has neither signalled nor held anything",
            next_step="See `reconciler get strategies`.",
        )
    quoted = _quoted(name)
    newest = "ORDER BY {} DESC LIMIT 10"
    return {
        "holds": holds,
        "signals": history.query(
            f"SELECT * FROM v_signals WHERE strategy = {quoted} {newest.format('number')}"
        ).dicts(),
        "fills": history.query(
            f"SELECT * FROM v_fill_shares WHERE strategy = {quoted} {newest.format('seq')}"
        ).dicts(),
    }


def incident(history: History, name: str) -> Found:
    """An incident by its name: ``INC-12``."""
    number = name.upper().removeprefix("INC-")
    rows = history.rows("v_incidents", limit=0).dicts()
    for row in rows:
        if str(row["incident_id"]) == number:
            return row
    raise NotFound(
        f"there is no incident {name[:40]!r}", next_step="See `reconciler get incidents`."
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _parts_of(parts: list[Found], exec_id: str) -> list[Found]:
    return [exact(row) for row in parts if row["exec_id"] == exec_id]


def of_symbol_at(history: History, name: str, at_us: int) -> Found:
    """A symbol as it was known at a moment: what the ledger of then waited for, and wanted."""
    ledger: Ledger = past.ledger_at(history.path, at_us).ledger
    book = ledger.books.get(name)
    if book is None:
        raise NotFound(
            f"{name[:60]!r} was not a symbol of this journal then",
            next_step="See `reconciler get targets` for when it began.",
            symbol=name[:60],
        )
    found: Found = {"at_us": at_us, "status": _status(book)}
    if book.target is not None:
        found |= of_target(history, name, book.target.version)
        # It was in force: what came of it nobody knew.
        found["target"] |= {"outcome": None, "closed_at": None, "life_ms": None}
    return found


def state_at(path: Path, at_us: int) -> list[Found]:
    """Every symbol as it was known at a moment, with the orders that were alive."""
    ledger: Ledger = past.ledger_at(path, at_us).ledger
    return [_status(book) for book in ledger.books.values()]


def _status(book: Book) -> Found:
    return {
        "symbol": book.symbol,
        "state": str(book.state),
        "target": book.target.contracts if book.target is not None else None,
        "version": book.target.version if book.target is not None else None,
        "position": book.position,
        "waiting_for": book.waiting_for,
        "orders": [
            {
                "cl_ord_id": order.cl_ord_id,
                "contracts": order.contracts,
                "price": str(order.price),
                "filled": order.filled,
                "status": order.status,
            }
            for order in book.own_orders()
            if order.alive
        ],
    }


def counted(history: History, symbol: str | None) -> dict[tuple[str, str, str], int]:
    """How often each way was taken, of one symbol or of all: from, trigger, to."""
    whose = f" WHERE symbol = {_quoted(symbol)}" if symbol is not None else ""
    rows = history.query(
        f"SELECT from_state, trigger, to_state, count(*) FROM v_transitions{whose}"
        " GROUP BY from_state, trigger, to_state",
        within_ms=5_000,
    ).values
    return {(start, trigger, end): count for start, trigger, end, count in rows}
