"""
The routes by which members see their orders, executions and positions (protocol sheet, section 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import members, series
from .money_rows import position_row
from .orders import Order, Row
from .queries import Page, page, paged, select
from .times import parse_iso

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked

READ_LAG_MS = 1_000
_BALANCE_MOVES = frozenset({"Trade", "Funding", "Settlement", "Liquidation", "Bankruptcy"})


def _fields(api: Api, asked: Asked) -> dict[str, object]:
    return series.resolved(asked.fields, api.exchange)


def orders(api: Api, asked: Asked) -> object:
    """Oldest first; with the fault read-lag, as they stood a second ago."""
    wanted = page(_fields(api, asked))
    lag_to = asked.now_ms - READ_LAG_MS if api.quirks.strikes("read-lag") else None
    if lag_to is not None:
        seen = [_version(order, lag_to) for order in api.exchange.orders_of[asked.account]]
        return paged([row for row in seen if row is not None], wanted, keys=("orderID",))
    rows = [o.sent for o in _candidates(api, asked.account, wanted) if o.sent is not None]
    return paged(rows, wanted, keys=("orderID",))


def _version(order: Order, at_ms: int) -> Row | None:
    """The order's row as it was at a time."""
    seen = [row for at, row in order.versions if at <= at_ms]
    return seen[-1] if seen else None


def _candidates(api: Api, account: int, wanted: Page) -> list[Order]:
    """Orders that can match: the open ones, or one that is named, are few among very many."""
    where = wanted.where
    if where.get("open") is True or where.get("ordStatus.isTerminated") is False:
        return api.exchange.open_orders(account)
    if isinstance(where.get("orderID"), str):
        order = api.exchange.find(account, str(where["orderID"]))
        return [] if order is None else [order]
    if isinstance(where.get("clOrdID"), str):
        named = where["clOrdID"]
        return [o for o in api.exchange.orders_of[account] if o.cl_ord_id == named]
    return api.exchange.orders_of[account]


def executions(api: Api, asked: Asked) -> object:
    return select(_executions(api, asked), _fields(api, asked), keys=("execID",))


def trade_history(api: Api, asked: Asked) -> object:
    members.check_target(asked)
    rows = [row for row in _executions(api, asked) if row["execType"] in _BALANCE_MOVES]
    return select(rows, _fields(api, asked), keys=("execID",))


def _executions(api: Api, asked: Asked) -> Sequence[Row]:
    rows = api.exchange.executions[asked.account]
    if api.quirks.strikes("read-lag"):
        lag_to = asked.now_ms - READ_LAG_MS
        return [row for row in rows if parse_iso(str(row["timestamp"])) <= lag_to]
    return rows


def positions(api: Api, asked: Asked) -> object:
    account = api.exchange.accounts[asked.account]
    rows = [
        position_row(account, p, asked.now_ms)
        for p in account.positions.values()
        if p.sent is not None
    ]
    return select(rows, _fields(api, asked), keys=("account", "symbol", "strategy"))
