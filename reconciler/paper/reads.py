"""
The routes that look and the few that set something on a position (protocol sheet, section 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from . import errors, intake, topics
from .account import Account
from .instruments import plain
from .orders import Order, Row
from .protocol import margin_row, position_row, wallet_row
from .queries import select
from .times import iso, parse_iso

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked

READ_LAG_MS = 1_000
_BALANCE_MOVES = frozenset({"Trade", "Funding", "Settlement", "Liquidation", "Bankruptcy"})


def orders(api: Api, asked: Asked) -> object:
    """Oldest first; with the fault read-lag, as they stood a second ago."""
    lag_to = asked.now_ms - READ_LAG_MS if api.quirks.strikes("read-lag") else None
    rows: list[Row] = []
    for order in _candidates(api, asked):
        if lag_to is None and order.sent is not None:
            rows.append(order.sent)
            continue
        seen = [row for at, row in order.versions if lag_to is not None and at <= lag_to]
        if seen:
            rows.append(seen[-1])
    return select(rows, asked.fields, keys=("orderID",))


def _candidates(api: Api, asked: Asked) -> list[Order]:
    """Orders that can match: for ``{"open": true}`` the open ones, which are few among many."""
    if asked.fields.get("filter") == '{"open":true}' and not api.quirks.on("read-lag"):
        return api.exchange.open_orders(asked.account)
    return api.exchange.orders_of[asked.account]


def executions(api: Api, asked: Asked) -> object:
    return select(_executions(api, asked), asked.fields, keys=("execID",))


def trade_history(api: Api, asked: Asked) -> object:
    rows = [row for row in _executions(api, asked) if row["execType"] in _BALANCE_MOVES]
    return select(rows, asked.fields, keys=("execID",))


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
    return select(rows, asked.fields, keys=("account", "symbol", "strategy"))


def leverage(api: Api, asked: Asked) -> object:
    """0 is cross margin, 0.01 to 100 isolated."""
    inst = intake.instrument(asked.fields, api.exchange.catalogue)
    wanted = intake.number(asked.fields, "leverage")
    if wanted is None:
        raise errors.required("leverage")
    if wanted and not Decimal("0.01") <= wanted <= 100:
        raise errors.invalid("Invalid leverage")
    return api.exchange.set_leverage(asked.account, inst.symbol, plain(wanted), asked.now_ms)


def isolate(api: Api, asked: Asked) -> object:
    inst = intake.instrument(asked.fields, api.exchange.catalogue)
    wanted = Decimal(0)
    if intake.flag(asked.fields, "enabled", True):
        held = api.exchange.position(asked.account, inst.symbol).leverage
        wanted = held or plain(1 / inst.init_margin)
    return api.exchange.set_leverage(asked.account, inst.symbol, wanted, asked.now_ms)


def _currencies(account: Account, asked: Asked) -> list[str]:
    wanted = intake.text(asked.fields, "currency") or "XBt"
    if wanted == "all":
        return list(account.deposited)
    if wanted not in account.deposited:
        raise errors.bad_request("Invalid currency")
    return [wanted]


def margin(api: Api, asked: Asked) -> object:
    account = api.exchange.accounts[asked.account]
    rows = [margin_row(account, c, asked.now_ms) for c in _currencies(account, asked)]
    return rows if asked.fields.get("currency") == "all" else rows[0]


def wallet(api: Api, asked: Asked) -> object:
    account = api.exchange.accounts[asked.account]
    rows = [wallet_row(account, c, asked.now_ms) for c in _currencies(account, asked)]
    return rows if asked.fields.get("currency") == "all" else rows[0]


def wallet_history(api: Api, asked: Asked) -> object:
    """The deposits that the account began with; nothing else moves a wallet here."""
    account = api.exchange.accounts[asked.account]
    return [
        {
            "transactID": f"00000000-0000-0000-0000-{account.number:012d}", "currency": currency,
            "account": account.number, "transactType": "Deposit", "transactStatus": "Completed",
            "amount": account.deposited[currency], "fee": 0,
            "walletBalance": account.deposited[currency], "timestamp": iso(api.exchange.opened_ms),
        }
        for currency in _currencies(account, asked)
    ]  # fmt: skip


def user(api: Api, asked: Asked) -> object:
    return {
        "id": asked.account, "account": asked.account, "username": f"sim-{asked.account}",
        "email": f"sim-{asked.account}@example.com", "TFAEnabled": "", "country": "SC",
        "created": iso(api.exchange.opened_ms), "lastUpdated": iso(api.exchange.opened_ms),
        "preferences": {},
    }  # fmt: skip


def commission(api: Api, asked: Asked) -> object:
    return {
        symbol: {
            "makerFee": inst.maker_fee, "takerFee": inst.taker_fee, "settlementFee": 0,
            "maxFee": inst.taker_fee,
        }
        for symbol, inst in api.exchange.catalogue.items()
    }  # fmt: skip


def api_keys(api: Api, asked: Asked) -> object:
    return [
        {
            "id": key.key, "secret": "", "name": key.key, "nonce": 0, "cidr": "0.0.0.0/0",
            "permissions": list(key.permissions), "enabled": key.enabled, "userId": asked.account,
            "created": iso(api.exchange.opened_ms),
        }
        for key in api.keys.of_account(asked.account)
    ]  # fmt: skip


def assets(api: Api, asked: Asked) -> object:
    def row(asset: str, currency: str, major: str, scale: int) -> Row:
        return {
            "asset": asset, "currency": currency, "majorCurrency": major, "name": asset,
            "currencyType": "Crypto", "scale": scale, "enabled": True, "isMarginCurrency": True,
        }  # fmt: skip

    return [row("XBT", "XBt", "XBT", 8), row("USDT", "USDt", "USDT", 6)]


def instruments(api: Api, asked: Asked) -> object:
    rows = [market.row(asked.now_ms) for market in api.exchange.markets.values()]
    return select(rows, asked.fields, keys=("symbol",))


def active_instruments(api: Api, asked: Asked) -> object:
    return [market.row(asked.now_ms) for market in api.exchange.markets.values()]


def book(api: Api, asked: Asked) -> object:
    inst = intake.instrument(asked.fields, api.exchange.catalogue)
    depth = intake.whole(asked.fields, "depth")
    if depth is not None and depth < 0:
        raise errors.invalid("depth is invalid")
    wanted = 25 if depth is None else depth or None
    return api.exchange.markets[inst.symbol].levels(wanted, asked.now_ms)


def quotes(api: Api, asked: Asked) -> object:
    rows = [row for market in api.exchange.markets.values() for row in market.quotes]
    rows.sort(key=lambda row: str(row["timestamp"]))
    return select(rows, asked.fields, max_count=1_000)


def trades(api: Api, asked: Asked) -> object:
    rows = [row for market in api.exchange.markets.values() for row in market.trades]
    rows.sort(key=lambda row: str(row["timestamp"]))
    return select(rows, asked.fields, max_count=1_000)


def nothing(api: Api, asked: Asked) -> object:
    """Tables that stay empty here: their parameters are checked all the same."""
    return select([], asked.fields)


def websocket_help(api: Api, asked: Asked) -> object:
    return topics.subjects()


def about(api: Api, asked: Asked) -> object:
    return {"name": "BitMEX API", "version": "1.2.0", "timestamp": asked.now_ms}
