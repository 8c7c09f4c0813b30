"""
The messages of 2019 to 2022, for programs that were written then (protocol sheet, section 15).

A layer over what the venue says today, and no other venue: rows are wide, with a null (or an empty
text) for all that is not set; a placement is three order messages; a position has no strategy;
book updates name no price. Who leaves this layer off never meets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .exchange import Exchange
from .legacy_tables import OLD_TABLES
from .orders import REJECTED, Row
from .protocol import Change, encode, partial_frame

VERSION = "2021-07-14T01:26:29.000Z"  # of the API, as the welcome told it
_CONSTANT = {"exDestination": "XBME", "multiLegReportingType": "SingleSecurity"}
_ALWAYS = ("currentQty", "markPrice", "liquidationPrice")  # in every position update (10.3)
_IDENTITY = ("orderID", "clOrdID", "account", "symbol")
_GONE_OR_NOT = ("ordStatus", "leavesQty", "cumQty", "avgPx", "text")
# REST: the table of a route's rows, the longest path first.
_ROUTES = {
    "/api/v1/order": "order", "/api/v1/execution": "execution", "/api/v1/position": "position",
    "/api/v1/user/margin": "margin", "/api/v1/user/wallet": "wallet",
    "/api/v1/instrument": "instrument", "/api/v1/instrument/active": "instrument",
    "/api/v1/order/all": "order", "/api/v1/order/closePosition": "order",
    "/api/v1/order/bulk": "order", "/api/v1/execution/tradeHistory": "execution",
    "/api/v1/position/leverage": "position", "/api/v1/position/isolate": "position",
    "/api/v1/position/riskLimit": "position", "/api/v1/position/transferMargin": "position",
    "/api/v1/instrument/activeAndIndices": "instrument",
    "/api/v1/instrument/indices": "instrument", "/api/v1/trade": "trade",
    "/api/v1/orderBook/L2": "orderBookL2", "/api/v1/trade/bucketed": "tradeBin1m",
}  # fmt: skip


def widen(table: str, row: Mapping[str, object]) -> Row:
    """A whole row with all its old fields; what is not set is null, or an empty text."""
    old = OLD_TABLES.get(table)
    if old is None:
        return dict(row)
    wide: Row = {}
    for name, kind in old.types.items():
        empty = "" if kind in ("symbol", "string") else None
        wide[name] = row.get(name, _CONSTANT.get(name, empty))
    if "error" in row:
        wide["error"] = row["error"]
    return wide


def narrow(table: str, row: Mapping[str, object]) -> Row:
    """A row of changes with the fields that there were."""
    old = OLD_TABLES.get(table)
    return {name: value for name, value in row.items() if old is None or name in old.types}


def partial(table: str, rows: Sequence[Row], where: Row) -> bytes:
    """A ``partial`` with foreign keys and attributes."""
    old = OLD_TABLES.get(table)
    if old is None:
        return partial_frame(table, rows, where)
    return encode(
        {
            "table": table, "action": "partial", "keys": old.keys, "types": old.types,
            "foreignKeys": old.foreign, "attributes": old.attributes, "filter": where,
            "data": [widen(table, row) for row in rows],
        }
    )  # fmt: skip


def book_rows(action: str, rows: Sequence[Row]) -> list[Row]:
    """Inserts had the price, updates the size alone, deletes the keys alone (section 10.5)."""
    names = {"insert": ("size", "price"), "update": ("size",)}.get(action, ())
    return [{name: row[name] for name in ("symbol", "id", "side", *names)} for row in rows]


class Legacy:
    """Today's changes in the words of then."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._held: dict[tuple[object, object], Row] = {}  # what every position update repeats

    def changes(self, changes: Sequence[Change]) -> list[Change]:
        """The rows to send in place of these."""
        found: list[Change] = []
        for change in changes:
            if change.table == "order" and change.action == "insert":
                found += self._placement(change)
            elif change.table == "position":
                found.append(change._replace(row=self._position(change)))
            elif change.action == "insert":
                found.append(change._replace(row=widen(change.table, change.row)))
            else:
                found.append(change._replace(row=narrow(change.table, change.row)))
        return found

    @staticmethod
    def _placement(change: Change) -> list[Change]:
        """
        New and not working; then working; then what has become of it (section 10.1).

        An order that never worked (a market order, a stop that waits) skips the second.
        """
        final = change.row
        whole = widen("order", final)
        if final["ordStatus"] == REJECTED:
            return [change._replace(row=whole)]
        first = {
            **whole, "ordStatus": "New", "workingIndicator": False, "leavesQty": final["orderQty"],
            "cumQty": 0, "avgPx": None, "text": str(final["text"]).rpartition("\n")[2],
        }  # fmt: skip
        who = {name: whole[name] for name in (*_IDENTITY, "timestamp")}
        steps: list[Row] = [first]
        ended = final["ordStatus"] not in ("New", "PartiallyFilled")
        rested = final["ordType"] == "Limit" and final.get("cumQty")
        if final["workingIndicator"] or (ended and rested):
            steps.append({**who, "workingIndicator": True})
        became = {name: whole[name] for name in _GONE_OR_NOT if whole[name] != first[name]}
        if became:
            idle = {"workingIndicator": False} if ended and len(steps) == 2 else {}
            steps.append({**who, **became, **idle})
        actions = ("insert", *("update",) * len(steps[1:]))
        return [
            change._replace(action=action, row=row)
            for action, row in zip(actions, steps, strict=True)
        ]

    def _position(self, change: Change) -> Row:
        key = (change.account, change.symbol)
        known = self._held.setdefault(key, dict.fromkeys(_ALWAYS))
        known.update({name: change.row[name] for name in _ALWAYS if name in change.row})
        if change.action == "insert":
            return widen("position", change.row)
        return {**narrow("position", change.row), **known}

    def rest(self, path: str, made: Any) -> Any:
        """What a route answered, wide."""
        table = _ROUTES.get(path.rstrip("/"))
        if table is None:
            return made
        if isinstance(made, list):
            return [self._rest_row(table, row) for row in made]
        return self._rest_row(table, made) if isinstance(made, dict) else made

    def _rest_row(self, table: str, row: Row) -> Row:
        if "error" not in row or table != "order":
            return widen(table, row)
        order = self._exchange.orders.get(str(row.get("orderID")))
        if order is None:
            return widen(table, row)
        text = f"Unable to cancel order due to existing state: {order.status}"  # section 4.4
        return {**widen(table, order.row()), "error": text}
