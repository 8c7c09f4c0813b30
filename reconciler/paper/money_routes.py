"""
The routes of money: margin of a position, balances, wallet, fees (protocol sheet, section 5).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from . import errors, intake
from .account import Account
from .instruments import Instrument, plain
from .money_rows import history_rows, margin_row, wallet_row
from .orders import Row
from .queries import page, paged
from .series import resolved

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked

MOST_LINES = 10_000  # of walletHistory, and as many unless asked for fewer


def _instrument(api: Api, asked: Asked) -> Instrument:
    """The one that is named, in any case or by its series (section 3)."""
    return intake.instrument(resolved(asked.fields, api.exchange), api.exchange.catalogue)


# -- what is set on a position --------------------------------------------------------------------


def leverage(api: Api, asked: Asked) -> object:
    """0 is cross margin, 0.01 to 100 isolated."""
    inst = _instrument(api, asked)
    wanted = intake.number(asked.fields, "leverage")
    if wanted is None:
        raise errors.required("leverage")
    if wanted and not Decimal("0.01") <= wanted <= 100:
        raise errors.invalid("Invalid leverage")
    return api.exchange.set_leverage(asked.account, inst.symbol, plain(wanted), asked.now_ms)


def isolate(api: Api, asked: Asked) -> object:
    """Isolated at the leverage it has, or at the highest; ``enabled`` false: cross."""
    inst = _instrument(api, asked)
    wanted = Decimal(0)
    if intake.flag(asked.fields, "enabled", True):
        position = api.exchange.position(asked.account, inst.symbol)
        wanted = position.leverage or plain(1 / position.init_margin_req)
    return api.exchange.set_leverage(asked.account, inst.symbol, wanted, asked.now_ms)


def risk_limit(api: Api, asked: Asked) -> object:
    """A step of the instrument's risk limit, in minor units."""
    inst = _instrument(api, asked)
    wanted = intake.whole(asked.fields, "riskLimit")
    if wanted is None:
        raise errors.required("riskLimit")
    return api.exchange.set_risk_limit(asked.account, inst.symbol, wanted, asked.now_ms)


def transfer_margin(api: Api, asked: Asked) -> object:
    """Minor units into an isolated position; below zero, back out of it."""
    inst = _instrument(api, asked)
    amount = intake.whole(asked.fields, "amount")
    if amount is None:
        raise errors.required("amount")
    return api.exchange.transfer_margin(asked.account, inst.symbol, amount, asked.now_ms)


# -- balances -------------------------------------------------------------------------------------


def _currencies(account: Account, asked: Asked) -> list[str]:
    wanted = intake.text(asked.fields, "currency") or "XBt"
    if wanted == "all":
        return list(account.deposited)
    if wanted not in account.deposited:
        raise errors.bad_request("Invalid currency")
    return [wanted]


def _one_or_all(asked: Asked, rows: list[Row]) -> object:
    return rows if asked.fields.get("currency") == "all" else rows[0]


def margin(api: Api, asked: Asked) -> object:
    account = api.exchange.accounts[asked.account]
    rows = [margin_row(account, c, asked.now_ms) for c in _currencies(account, asked)]
    return _one_or_all(asked, rows)


def wallet(api: Api, asked: Asked) -> object:
    account = api.exchange.accounts[asked.account]
    rows = [wallet_row(account, c, asked.now_ms) for c in _currencies(account, asked)]
    return _one_or_all(asked, rows)


def wallet_history(api: Api, asked: Asked) -> object:
    """Newest first unless ``reverse`` is false; a pending unrealised line is the newest."""
    account = api.exchange.accounts[asked.account]
    wanted = page(asked.fields, max_count=MOST_LINES, default_count=MOST_LINES, reverse=True)
    rows = [row for c in _currencies(account, asked) for row in history_rows(account, c)]
    rows.sort(key=lambda row: str(row.get("timestamp", "pending")), reverse=True)
    return paged(rows[::-1], wanted, keys=("transactID",))


def commission(api: Api, asked: Asked) -> object:
    """Fee rates by symbol."""
    return {
        symbol: {
            "makerFee": inst.maker_fee, "takerFee": inst.taker_fee,
            "settlementFee": inst.settlement_fee, "maxFee": max(inst.maker_fee, inst.taker_fee),
        }
        for symbol, inst in api.exchange.catalogue.items()
    }  # fmt: skip
