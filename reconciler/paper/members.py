"""
What the venue knows of who is asking, and the currencies it deals in (protocol sheet, section 5).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from . import errors
from .auth import Key
from .bins import SIZES
from .instruments import plain
from .orders import Row
from .times import iso, parse_iso

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked

DAY_MS = SIZES["1d"]
SATOSHI = Decimal(100_000_000)
ANYWHERE = ("0.0.0.0/0",)


def user(api: Api, asked: Asked) -> object:
    opened = iso(api.exchange.opened_ms)
    return {
        "id": asked.account, "account": asked.account, "username": f"sim-{asked.account}",
        "email": f"sim-{asked.account}@example.com", "TFAEnabled": "", "country": "SC",
        "created": opened, "lastUpdated": opened, "preferences": {}, "typ": "Individual",
    }  # fmt: skip


def api_keys(api: Api, asked: Asked) -> object:
    return [_key_row(api, key) for key in api.keys.of_account(asked.account)]


def api_key_self(api: Api, asked: Asked) -> object:
    """The key that signed this request."""
    assert asked.key is not None
    return _key_row(api, asked.key)


def _key_row(api: Api, key: Key) -> Row:
    allowed = list(key.cidrs or ANYWHERE)
    return {
        "id": key.key, "secret": "", "name": key.key, "nonce": 0, "cidr": allowed[0],
        "cidrs": allowed, "permissions": list(key.permissions), "enabled": key.enabled,
        "userId": key.account, "created": iso(api.exchange.opened_ms),
    }  # fmt: skip


# -- quoting and trading ---------------------------------------------------------------------------


def _days(api: Api, asked: Asked, count: int) -> list[int]:
    """Where the last days begin, the latest first; none before the venue opened."""
    today = asked.now_ms // DAY_MS * DAY_MS
    first = api.exchange.opened_ms // DAY_MS * DAY_MS
    return [at for at in (today - n * DAY_MS for n in range(count)) if at >= first]


def quote_fill_ratio(api: Api, asked: Asked) -> object:
    """Seven days: orders that were sent, and those of them that traded."""
    check_target(asked)
    quotes: dict[int, int] = {}
    dealt: dict[int, set[object]] = {}
    for row in api.exchange.executions[asked.account]:
        day = parse_iso(str(row["timestamp"])) // DAY_MS * DAY_MS
        if row["execType"] == "New":
            quotes[day] = quotes.get(day, 0) + 1
        elif row["execType"] == "Trade":
            dealt.setdefault(day, set()).add(row["orderID"])
    days = _days(api, asked, 7)
    sent = Decimal(sum(quotes.get(day, 0) for day in days)) / 7
    traded = Decimal(sum(len(dealt.get(day, ())) for day in days)) / 7
    ratio = traded / sent if sent else Decimal(0)
    return [
        {
            "date": iso(day), "account": asked.account, "quoteCount": quotes.get(day, 0),
            "dealtCount": len(dealt.get(day, ())), "quotesMavg7": _short(sent),
            "dealtMavg7": _short(traded), "quoteFillRatioMavg7": _short(ratio),
        }
        for day in days
    ]  # fmt: skip


def quote_value_ratio(api: Api, asked: Asked) -> object:
    """Three days, by symbol: orders that were sent, and the bitcoin that was traded by an order."""
    check_target(asked)
    quotes: dict[tuple[int, object], int] = {}
    volume: dict[tuple[int, object], Decimal] = {}
    for row in api.exchange.executions[asked.account]:
        place = (parse_iso(str(row["timestamp"])) // DAY_MS * DAY_MS, row.get("symbol"))
        if row["execType"] == "New":
            quotes[place] = quotes.get(place, 0) + 1
        elif row["execType"] == "Trade":
            value = _bitcoin(api, str(row["symbol"]), int(str(row["execCost"])))
            volume[place] = volume.get(place, Decimal(0)) + value
    rows: list[Row] = []
    for day in _days(api, asked, 3):
        for place in sorted(set(quotes) | set(volume), key=str):
            if place[0] != day:
                continue
            traded, sent = volume.get(place, Decimal(0)), quotes.get(place, 0)
            rows.append(
                {
                    "timestamp": iso(day), "account": asked.account, "symbol": place[1],
                    "quoteCount": sent, "volumeXBT": _short(traded),
                    "QVR": _short(traded / sent) if sent else 0, "id": len(rows) + 1,
                }
            )  # fmt: skip
    return rows


def check_target(asked: Asked) -> None:
    """``targetAccountId(s)`` may only name the account that asks: it has no sub-accounts here."""
    for field in ("targetAccountId", "targetAccountIds"):
        named = re.findall(r"[^\s\[\],\"]+", str(asked.fields.get(field) or ""))
        if any(name not in (str(asked.account), "*") for name in named):
            raise errors.bad_request("Invalid account")


def _bitcoin(api: Api, symbol: str, cost: int) -> Decimal:
    """A trade's value in XBT; dollars count at the price of bitcoin here."""
    inst = api.exchange.markets[symbol].inst
    if inst.settle == "XBt":
        return abs(cost) / SATOSHI
    prices = [m.mark for m in api.exchange.markets.values() if m.inst.root == "XBT"]
    return abs(cost) / Decimal(1_000_000) / prices[0] if prices else Decimal(0)


def trading_volume(api: Api, asked: Asked) -> object:
    """Average daily volume in dollars over thirty days."""
    total = Decimal(0)
    for row in api.exchange.executions[asked.account]:
        if row["execType"] == "Trade":
            total += abs(Decimal(str(row["foreignNotional"])))
    return [{"advUsd": _short(total / 30)}]


def _short(number: Decimal) -> Decimal:
    return plain(number.quantize(Decimal("0.0001")))


# -- currencies ------------------------------------------------------------------------------------

_ASSETS = (
    # asset, minor unit, name, decimal places, network
    ("XBT", "XBt", "Bitcoin", 8, "btc"),
    ("USDT", "USDt", "Tether", 6, "eth"),
    ("ETH", "Gwei", "Ethereum", 9, "eth"),
)
_NETWORKS = (
    # network, name, its own minor unit, its symbol, confirmations
    ("btc", "Bitcoin", "XBt", "BTC", 1),
    ("eth", "Ethereum", "Gwei", "ETH", 12),
)


def assets(api: Api, asked: Asked) -> object:
    """Currencies and their scales. Nothing can be deposited or withdrawn: this is play money."""
    held = {
        currency for account in api.exchange.accounts.values() for currency in account.deposited
    }
    return [
        {
            "asset": asset, "currency": minor, "majorCurrency": asset, "name": name,
            "currencyType": "Crypto", "scale": scale, "enabled": True,
            "isMarginCurrency": minor in held,
            "networks": [
                {
                    "asset": network, "tokenAddress": "", "depositEnabled": False,
                    "withdrawalEnabled": False, "withdrawalFee": 0, "minFee": 0, "maxFee": 0,
                }
            ],
        }
        for asset, minor, name, scale, network in _ASSETS
    ]  # fmt: skip


def networks(api: Api, asked: Asked) -> object:
    return [
        {
            "network": network, "name": name, "currency": minor, "networkSymbol": symbol,
            "transactionExplorer": "", "tokenExplorer": "", "depositConfirmations": confirmations,
            "enabled": False,
        }
        for network, name, minor, symbol, confirmations in _NETWORKS
    ]  # fmt: skip
