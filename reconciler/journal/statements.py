"""
The SQL of the hot path: compiled once from SQLAlchemy statements, run on its DBAPI connection.

A statement's parameters are positional, in the order that `rows` makes them. The order of `HOT`
is that in which a transaction runs them: what others refer to comes first.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Insert,
    Table,
    Update,
    bindparam,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import dialect, insert

from reconciler.journal import tables as t


def compiled(statement: Insert | Update) -> tuple[str, tuple[str, ...]]:
    """SQL text with question marks, and the names that they stand for, in their order."""
    done = statement.compile(dialect=dialect(paramstyle="qmark"))
    return str(done), tuple(done.positiontup or ())


def _all(table: Table) -> Insert:
    """Insert a whole row, values in the order of the table's columns."""
    return insert(table).values({column.name: bindparam(column.name) for column in table.c})


def _newest(table: Table, *keys: str) -> Insert:
    """Insert a whole row, or make it the newest state of what is there."""
    new = insert(table).values({column.name: bindparam(column.name) for column in table.c})
    values = {c.name: new.excluded[c.name] for c in table.c if c.name not in keys}
    return new.on_conflict_do_update(index_elements=keys, set_=values)


def _sums(table: Table, *keys: str) -> Insert:
    """Insert a row of sums, or add it to what is there."""
    new = insert(table).values({column.name: bindparam(column.name) for column in table.c})
    values = {c.name: c + new.excluded[c.name] for c in table.c if c.name not in keys}
    return new.on_conflict_do_update(index_elements=keys, set_=values)


def _order() -> Insert:
    """What was known first stays (who placed it, when); what changes is replaced."""
    new, old = _all(t.orders), t.orders.c
    kept = {"contracts", "price", "target_version", "acked_us"}
    changing = {"live", "status", "venue_status", "venue_order_id", "filled", "booked"}
    changing |= {"evidence", "updated_us", "updated_seq", "ended_us"}
    excluded = new.excluded  # type: ignore[attr-defined]
    values = {name: excluded[name] for name in changing}
    values |= {name: func.coalesce(old[name], excluded[name]) for name in kept}
    values["price"] = func.coalesce(excluded.price, old.price)
    ordered = {column.name: values[column.name] for column in t.orders.c if column.name in values}
    done: Insert = new.on_conflict_do_update(  # type: ignore[attr-defined]
        index_elements=["cl_ord_id"], set_=ordered
    )
    return done


def _venue_order() -> Insert:
    """What is known of an order of the venue; its first fill says it, the others agree."""
    columns = [column for column in t.venue_orders.c if column.name != "n"]
    new = insert(t.venue_orders).values({c.name: bindparam(c.name) for c in columns})
    return new.on_conflict_do_nothing(index_elements=["symbol", "order_id"])


def _fill() -> Insert:
    """A fill beside its order; what it says as the order does is not said again."""
    order = t.venue_orders.c
    values: dict[str, ColumnElement[Any]] = {c.name: bindparam(c.name) for c in t.fills.c}
    for name in ("cl_ord_id", "target_version", "currency"):
        values[name] = func.nullif(bindparam(name), order[name])
    values["venue_order"] = order.n
    this = order.symbol == bindparam("of_symbol"), order.order_id == bindparam("of_order")
    return insert(t.fills).from_select(list(values), select(*values.values()).where(*this))


def _target() -> Insert:
    """A target that is said again is the same target, with a new time to live."""
    new = insert(t.targets).values({c.name: bindparam(c.name) for c in t.targets.c})
    values = {name: new.excluded[name] for name in ("expires_us", "on_expiry")}
    return new.on_conflict_do_update(index_elements=["symbol", "version"], set_=values)


_runs, _targets = t.runs.c, t.targets.c
_this_target = (
    _targets.symbol == bindparam("of_symbol"),
    _targets.version == bindparam("of_version"),
)
_lost = func.coalesce(_runs.exit_reason, literal_column("'lost'"))

STATEMENTS: Final[dict[str, Insert | Update]] = {
    "journal": _all(t.journal),
    "runs_lost": update(t.runs)
    .where(_runs.ended_us.is_(null()), _runs.run_id != bindparam("of_run"))
    .values(ended_us=bindparam("last_us"), exit_reason=_lost),
    "runs": _all(t.runs),
    "runs_reason": update(t.runs)
    .where(_runs.epoch == bindparam("of_epoch"))
    .values(exit_reason=bindparam("reason")),
    "targets": _target(),
    "targets_held": update(t.targets)
    .where(*_this_target)
    .values(
        held_us=func.coalesce(_targets.held_us, bindparam("at_us")),
        outcome=func.coalesce(_targets.outcome, literal_column("'held'")),
    ),
    "targets_closed": update(t.targets)
    .where(*_this_target)
    .values(
        closed_us=bindparam("at_us"),
        # One that was held and then replaced was held; any other end of it is news.
        outcome=func.coalesce(
            func.nullif(bindparam("how"), literal_column("'replaced'")),
            _targets.outcome,
            literal_column("'replaced'"),
        ),
    ),
    "refusals": _all(t.refusals),
    "shares": _all(t.shares),
    "signals": _all(t.signals),
    "strategy_states": _all(t.strategy_states),
    "schedules": _all(t.schedules),
    "modes": _all(t.modes),
    "intents": _all(t.intents),
    "requests": _all(t.requests),
    "requests_answered": update(t.requests)
    .where(t.requests.c.request_id == bindparam("of_request"))
    .values(
        outcome=bindparam("outcome"),
        code=bindparam("code"),
        status=bindparam("status"),
        text=bindparam("text"),
        venue_order_id=bindparam("venue_order_id"),
        answered_us=bindparam("at_us"),
    ),
    "orders": _order(),
    "venue_orders": _venue_order(),
    "fills": _fill(),
    "fill_shares": _all(t.fill_shares),
    "cash": _all(t.cash),
    "transitions": _all(t.transitions),
    "positions": _all(t.positions),
    "adjustments": _all(t.adjustments),
    "incidents": _all(t.incidents),
    "incidents_closed": update(t.incidents)
    .where(t.incidents.c.incident_id == bindparam("of_incident"))
    .values(closed_us=bindparam("at_us"), decision=bindparam("how"), decided_by=bindparam("by")),
    "instruments": _newest(t.instruments, "symbol"),
    "equity": _all(t.equity),
    "daily": _sums(t.daily, "day", "symbol", "currency"),
    "on_target": _sums(t.on_target, "day", "symbol"),
    "symbol_now": _newest(t.symbol_now, "symbol"),
}

#: Statement -> SQL text, in the order of a transaction.
HOT: Final[dict[str, str]] = {name: compiled(made)[0] for name, made in STATEMENTS.items()}

#: Statement -> what its parameters mean, in their order.
PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    name: compiled(made)[1] for name, made in STATEMENTS.items()
}
