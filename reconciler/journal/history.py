"""
Questions about the past, for people and programs that must not disturb the service.

    with History.open(path) as history:
        for row in history.rows("v_fills", symbol=["XBTUSD"], limit=10): ...

Readers never create, migrate, lock or checkpoint (see `readers`).
"""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from reconciler.errors import NotFound, Refused, UsageError
from reconciler.journal import chain, faults, files, readers, schema
from reconciler.journal.present import pack

#: View -> the column that its times are compared by, and how its rows follow one another in time.
#: A column that ends in ``_ms`` is an integer; the others are text, ``day`` without a clock time.
VIEWS: Final[dict[str, tuple[str, str]]] = {
    "v_status": ("updated_at", "symbol"),
    "v_targets": ("set_at", "target_id"),
    "v_executions": ("set_at", "target_id"),
    "v_orders": ("created_at", "created_at"),
    "v_fills": ("at_ms", "at_ms"),
    "v_transitions": ("at_ms", "seq"),
    "v_incidents": ("opened_at", "incident_id"),
    "v_daily": ("day", "day"),
    "v_equity": ("at_ms", "at_ms"),
    "v_runs": ("started_at", "started_at"),
    "v_signals": ("at_ms", "number"),
    "v_shares": ("at_ms", "target_id"),
    "v_fill_shares": ("at_ms", "seq"),
    "v_strategies": ("updated_at", "symbol, strategy"),
    "v_refusals": ("at_ms", "seq"),
    "v_modes": ("at_ms", "seq"),
    "v_schedules": ("due_at", "seq, n"),
}
#: Those whose rows are the present of something, in the order of its name.
NOW: Final = frozenset({"v_status", "v_strategies", "v_schedules"})

#: Requests about one order. A new order that has no answer yet is only an intent.
REQUESTS: Final = """
    SELECT * FROM requests WHERE cl_ord_id = :name
    UNION ALL
    SELECT request_id, seq, at_us, epoch, 'placeorder', cl_ord_id, symbol,
        NULL, NULL, NULL, NULL, NULL, NULL
    FROM intents i
    WHERE cl_ord_id = :name
        AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.request_id = i.request_id)
    ORDER BY request_id
"""

#: What a query of `History.query` may do: read, call functions, recurse. Never write or attach.
_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
#: Functions that reach outside, or that a single call of keeps busy for seconds (our views may).
_FORBIDDEN_FUNCTIONS = {"load_extension", "zeroblob", "randomblob", "printf", "format"}


class Rows(NamedTuple):
    """An answer: names of columns, and rows of values in that order."""

    columns: tuple[str, ...]
    values: list[tuple[Any, ...]]

    def dicts(self) -> list[dict[str, Any]]:
        """Each row by name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.values]


class History:
    """An open journal that can only be read. One thread at a time."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """
        Raises:
            Unreachable: There is no such file.
            ConfigError: It is not a journal.
            SchemaError: Its schema is older or newer than the program.
            Broken: It is damaged where it says so; so may any question, later.
        """
        path = files.resolved(path)
        with faults.reading(path), faults.ours(path):
            db = readers.connect(path)
            try:
                schema.require(schema.identify(db, path), path)
            except BaseException:
                db.close()
                raise
        return cls(db, path)

    def rows(
        self,
        view: str,
        *,
        symbol: Sequence[str] = (),
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int = 50,
        newest_first: bool = True,
    ) -> Rows:
        """
        Rows of one of the documented views.

        Args:
            view: Its name, as `v_fills`.
            symbol: Only these symbols; none named: all.
            since_us: Only rows from this time on.
            until_us: Only rows from before this time.
            limit: At most so many; 0: all.
            newest_first: Else oldest first. What is `NOW` is in the order of its name.

        Raises:
            NotFound: There is no such view, or it has no symbols to choose by.
        """
        conditions, values = _chosen(view, symbol, since_us, until_us)
        order = VIEWS[view][1]
        direction = "DESC" if newest_first and view not in NOW else "ASC"
        return self._ask(
            f"SELECT * FROM {view}{_where(conditions)} ORDER BY {order} {direction} LIMIT ?",
            [*values, limit or -1],
        )

    def page(
        self,
        view: str,
        *,
        symbol: Sequence[str] = (),
        since_us: int | None = None,
        until_us: int | None = None,
        limit: int = 50,
        cursor: str = "",
    ) -> tuple[Rows, str]:
        """
        As `rows`, the newest first, in pages: what comes meanwhile moves none of them.

        Args:
            cursor: That the page before gave; "": the first.

        Returns:
            The rows, and the cursor of the next page; "": there is none.

        Raises:
            UsageError: The cursor is none of ours.
        """
        conditions, values = _chosen(view, symbol, since_us, until_us)
        order = VIEWS[view][1]
        if view in NOW:
            return self._ask(
                f"SELECT * FROM {view}{_where(conditions)} ORDER BY {order}", values
            ), ""
        key, skip = _of_cursor(cursor) if cursor else (None, 0)
        if cursor:
            conditions.append(f"{order} <= ?")
            values.append(key)
        found = self._ask(
            f"SELECT * FROM {view}{_where(conditions)} ORDER BY {order} DESC LIMIT ? OFFSET ?",
            [*values, limit + 1, skip],
        )
        page = Rows(found.columns, found.values[:limit])
        if len(found.values) <= limit:
            return page, ""
        keys = [row[found.columns.index(order)] for row in page.values]
        of_last = keys.count(keys[-1])  # rows of one key stand together
        return page, _cursor(keys[-1], of_last + (skip if keys[-1] == key else 0))

    def status(self) -> Rows:
        """What is so now, one row a symbol."""
        return self.rows("v_status", limit=0)

    def symbols(self) -> list[str]:
        """Every symbol that the journal knows."""
        return [row[0] for row in self._ask("SELECT symbol FROM symbol_now ORDER BY symbol").values]

    def instruments(self) -> Rows:
        """The trading rules of each symbol as last seen."""
        return self._ask("SELECT * FROM instruments ORDER BY symbol")

    def meta(self) -> dict[str, str]:
        """What the journal says of itself: account, installation, epoch, when it was made."""
        return dict(self._ask("SELECT key, value FROM meta").values)

    def last_seq(self) -> int:
        """The number of the newest event."""
        with faults.reading(self.path):
            return chain.end(self._db)[0]

    def events(self, *, after: int = 0, limit: int = 50) -> Rows:
        """Events after seq *after* with what was decided on each, as canonical JSON."""
        return self._ask(
            "SELECT seq, at_us, epoch, kind, symbol, version, event, decisions FROM journal"
            " WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit or -1),
        )

    def order(self, cl_ord_id: str) -> dict[str, Rows]:
        """
        All that is stored about one order of ours: order, intent, requests, fills, transitions.

        Raises:
            NotFound: No order has this client order id.
        """
        found = {
            name: self._ask(f"SELECT * FROM {name} WHERE cl_ord_id = ?", (cl_ord_id,))
            for name in ("v_orders", "intents")
        }
        if not found["v_orders"].values:
            raise NotFound(
                f"there is no order {cl_ord_id[:60]!r}",
                next_step="See `reconciler get orders`.",
                cl_ord_id=cl_ord_id[:60],
            )
        found["requests"] = self._ask(REQUESTS, {"name": cl_ord_id})
        symbol = found["v_orders"].dicts()[0]["symbol"]
        for name, order in (("v_fills", "at_ms"), ("v_transitions", "seq")):
            found[name] = self._ask(
                f"SELECT * FROM {name} WHERE symbol = ? AND cl_ord_id = ? ORDER BY {order}",
                (symbol, cl_ord_id),
            )
        return found

    def fill(self, exec_id: str) -> Rows:
        """
        An execution as `v_fills` has it. Found by reading them all.

        Raises:
            NotFound: None has this id.
        """
        found = self._ask(
            "SELECT * FROM v_fills WHERE symbol = (SELECT symbol FROM fills WHERE exec_id = :id)"
            " AND exec_id = :name LIMIT 1",
            {"id": pack(exec_id), "name": exec_id},
        )
        if not found.values:
            raise NotFound(f"there is no fill {exec_id[:60]!r}", exec_id=exec_id[:60])
        return found

    def target(self, symbol: str, version: int) -> tuple[Rows, Rows]:
        """One target as `v_targets` has it, and its shares as `v_shares`."""
        row = self._ask(
            "SELECT * FROM v_targets WHERE symbol = ? AND version = ?", (symbol, version)
        )
        shares = self._ask(
            "SELECT * FROM v_shares WHERE symbol = ? AND version = ?"
            " ORDER BY abs(contracts) DESC, strategy",
            (symbol, version),
        )
        return row, shares

    def parts(self, symbol: str, cl_ord_id: str) -> Rows:
        """Whose the fills of one order are, as `v_fill_shares` has them, oldest first."""
        return self._ask(
            "SELECT * FROM v_fill_shares WHERE seq IN"
            " (SELECT f.seq FROM venue_orders v JOIN fills f ON f.venue_order = v.n"
            " WHERE v.symbol = ? AND v.cl_ord_id = ?) AND cl_ord_id = ? ORDER BY seq",
            (symbol, cl_ord_id, cl_ord_id),
        )

    def query(self, sql: str, *, limit: int = 10_000, within_ms: int = 500) -> Rows:
        """
        Run somebody's own SQL. It can read this file, for a while, and nothing else.

        Args:
            sql: One SELECT.
            limit: More rows than this are refused, not cut.
            within_ms: How long it may take.

        Raises:
            UsageError: It is not valid SQL.
            Refused: It would do more than read, or took too long or too much.
        """
        until = time.monotonic_ns() + within_ms * 1_000_000
        db = self._db
        before = {kind: db.setlimit(kind, most) for kind, most in _LIMITS.items()}
        db.set_authorizer(_authorise)
        db.set_progress_handler(lambda: time.monotonic_ns() > until, 1_000)
        try:
            found = self._fetch(sql, most=limit)
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_INTERRUPT:
                raise Refused(f"the query took longer than {within_ms} ms") from None
            refused = {sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_TOOBIG}
            if code in refused or "not authorized" in str(error):
                raise Refused(f"the query may only read: {error}") from None
            raise UsageError(f"the query is not understood: {error}") from None
        except sqlite3.Warning as error:
            raise UsageError(f"the query is not understood: {error}") from None
        finally:
            db.set_progress_handler(None, 0)
            db.set_authorizer(None)
            for kind, most in before.items():
                db.setlimit(kind, most)
        if len(found.values) > limit:
            raise Refused(f"the query has more than {limit} rows", next_step="Add a LIMIT.")
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Rows:
        with faults.reading(self.path):
            return self._fetch(sql, values)

    def _fetch(
        self, sql: str, values: Sequence[Any] | Mapping[str, Any] = (), *, most: int | None = None
    ) -> Rows:
        found = self._db.execute(sql, values)
        try:
            columns = tuple(column[0] for column in found.description or ())
            return Rows(columns, found.fetchall() if most is None else found.fetchmany(most + 1))
        finally:
            found.close()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Every event, in order, in one stable view of the file; see `events` for the columns."""
        after = 0
        while page := self.events(after=after, limit=1_000).values:
            yield from page
            if page[-1][0] <= after:  # an index that leads in a circle
                raise faults.damaged(self.path, f"event {after} is followed by {page[-1][0]}")
            after = page[-1][0]


def _chosen(
    view: str, symbol: Sequence[str], since_us: int | None, until_us: int | None
) -> tuple[list[str], list[Any]]:
    """Conditions of SQL, and their values."""
    if view not in VIEWS:
        raise NotFound(f"there is no view {view!r}", next_step=f"One of {', '.join(VIEWS)}.")
    when = VIEWS[view][0]
    conditions: list[str] = []
    values: list[Any] = []
    if symbol:
        if view in {"v_equity", "v_runs"}:
            raise NotFound(f"{view} has no symbols", next_step="Leave the symbol out.")
        conditions.append(f"symbol IN ({', '.join('?' * len(symbol))})")
        values.extend(symbol)
    for bound, compare in ((since_us, ">="), (until_us, "<")):
        if bound is not None:
            conditions.append(f"{when} {compare} ?")
            values.append(_bound(when, bound))
    return conditions, values


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _cursor(key: int | str, skip: int) -> str:
    """The place after *skip* rows of a key, as text that nobody has to understand."""
    return base64.urlsafe_b64encode(json.dumps([key, skip]).encode()).decode().rstrip("=")


def _of_cursor(cursor: str) -> tuple[int | str, int]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key, skip = json.loads(raw)
        known = type(key) in (int, str) and type(skip) is int and 0 <= skip < 2**31
        if not known or (type(key) is int and abs(key) >= 2**63):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise UsageError(
            f"{cursor[:40]!r} is no cursor", next_step="Give the one of the page before as it is."
        ) from None
    return key, skip


#: A query's own bounds: length of text and of any value in bytes, depth, columns, attached files.
_LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 20_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}


def _authorise(
    action: int, _: str | None, second: str | None, __: str | None, view: str | None
) -> int:
    if action == sqlite3.SQLITE_FUNCTION and view is None and second in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _bound(column: str, at_us: int) -> int | str:
    """A time as a view's column has it; views count milliseconds, bounds are rounded up to them."""
    at_ms = -(-at_us // 1_000)
    if column.endswith("_ms"):
        return at_ms
    moment = datetime.fromtimestamp(at_ms // 1_000, UTC)
    if column == "day":
        return moment.strftime("%Y-%m-%d")
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03}Z"
