"""
Rows of ``position``, ``margin``, ``wallet`` and walletHistory (protocol sheet, sections 5, 8.2,
10.3, 10.4).
"""

from __future__ import annotations

from decimal import Decimal

from .account import Account, Position
from .instruments import plain, shown
from .margin import ACCOUNT_RISK_LIMITS, Standing, bankrupt_price, liquidation_price, standing
from .orders import Row
from .times import iso

NO_ID = "00000000-0000-0000-0000-000000000000"
_RATIO = Decimal("0.0001")
_NONE = Decimal(0)


def position_row(account: Account, p: Position, now_ms: int, s: Standing | None = None) -> Row:
    """The full row of a position; *s* is the account's standing where it is known already."""
    inst = p.instrument
    if s is None:
        s = standing(account, inst.settle)
    value, rates = p.mark_value, p.rates
    gain = value - p.unrealised_cost
    row: Row = {
        "account": p.account, "symbol": inst.symbol, "strategy": "OneWay",
        "currency": inst.settle, "underlying": inst.underlying, "quoteCurrency": inst.quote,
        "commission": inst.taker_fee, "initMarginReq": rates.shown_init,
        "maintMarginReq": rates.shown_maint, "riskLimit": p.risk_limit,
        "leverage": rates.shown_leverage, "crossMargin": not p.leverage,
        "rebalancedPnl": p.rebalanced, "prevRealisedPnl": p.prev_realised_pnl,
        "openOrderBuyQty": p.open_buy_qty, "openOrderBuyCost": p.open_buy_cost,
        "openOrderBuyPremium": p.open_buy_premium,
        "openOrderSellQty": p.open_sell_qty, "openOrderSellCost": p.open_sell_cost,
        "openOrderSellPremium": p.open_sell_premium,
        "currentQty": p.qty, "currentCost": p.current_cost, "currentComm": p.comm,
        "realisedCost": p.realised_cost, "unrealisedCost": p.unrealised_cost,
        "grossOpenPremium": p.open_buy_premium + p.open_sell_premium,
        "isOpen": p.qty != 0, "markPrice": p.mark, "markValue": value,
        "riskValue": abs(value), "posState": p.state, "posCost": p.unrealised_cost,
        "initMargin": p.init_margin, "realisedPnl": p.realised_pnl, "unrealisedPnl": gain,
    }  # fmt: skip
    if not p.state:
        del row["posState"]
    home, foreign = inst.notional(p.qty, p.mark) if p.qty else (_NONE, _NONE)
    row.update(homeNotional=plain(home), foreignNotional=plain(foreign))
    _held(row, p, s, gain)
    row["timestamp"] = iso(now_ms)
    return row


def _held(row: Row, p: Position, s: Standing, gain: int) -> None:
    """What the position holds, and the prices that follow from it."""
    symbol = p.instrument.symbol
    if not p.qty:
        row.update(
            posInit=0, posCross=0, posComm=0, posLoss=0, posMargin=0, posMaint=0, maintMargin=0,
            unrealisedPnlPcnt=0, unrealisedRoePcnt=0,
        )  # fmt: skip
        return
    held = s.pos_margin(p)
    part = Decimal(gain) / abs(p.unrealised_cost)
    row.update(
        posInit=s.pos_init[symbol], posCross=s.cross.get(symbol, 0), posComm=s.comm[symbol],
        posLoss=0, posMargin=held, posMaint=s.pos_maint(p), maintMargin=held + gain,
        unrealisedPnlPcnt=plain(part.quantize(_RATIO)),
        unrealisedRoePcnt=plain((part / p.init_margin_req).quantize(_RATIO)),
    )  # fmt: skip
    assert p.average is not None
    entry = shown(p.average)
    limit = liquidation_price(s, p)
    row.update(
        avgCostPrice=entry, avgEntryPrice=entry, breakEvenPrice=p.break_even_price,
        # Every recorded row has the same price in both.
        marginCallPrice=limit, liquidationPrice=limit, bankruptPrice=bankrupt_price(s, p),
    )  # fmt: skip
    if p.percentile is not None:
        row["deleveragePercentile"] = p.percentile


def margin_row(account: Account, currency: str, now_ms: int, s: Standing | None = None) -> Row:
    """The full row of an account's margin in one currency (section 8.2)."""
    if s is None:
        s = standing(account, currency)
    positions = account.in_currency(currency)
    available = max(0, s.available)
    # A profit cannot be withdrawn before it is realised, nor what was realised since the last
    # daily settlement while it is a gain.
    withdrawable = max(0, min(available, available - account.realised.get(currency, 0)))
    comm = cost = premium = 0
    for p in positions:
        comm += p.comm
        cost += abs(p.open_buy_cost) + abs(p.open_sell_cost)
        premium += p.open_buy_premium + p.open_sell_premium
    return {
        "account": account.number, "currency": currency,
        "riskLimit": ACCOUNT_RISK_LIMITS.get(currency, 0),
        "amount": account.amount(currency),
        "prevRealisedPnl": account.prev_realised.get(currency, 0),
        "grossComm": comm, "grossOpenCost": cost, "grossOpenPremium": premium,
        "grossExecCost": 0, "grossMarkValue": s.gross, "riskValue": s.gross,
        "initMargin": s.init, "maintMargin": s.maint, "targetExcessMargin": 0,
        "realisedPnl": account.realised.get(currency, 0), "unrealisedPnl": s.gains,
        "walletBalance": s.wallet, "marginBalance": s.balance,
        "marginLeverage": _part(s.gross, s.balance, 0),
        "marginUsedPcnt": _part(s.init + s.maint, s.balance, 1),
        "excessMargin": available, "availableMargin": available,
        "withdrawableMargin": withdrawable, "systemWithdrawableMargin": withdrawable,
        "makerFeeDiscount": 0, "takerFeeDiscount": 0,
        "foreignMarginBalance": 0, "foreignRequirement": 0, "timestamp": iso(now_ms),
    }  # fmt: skip


def _part(amount: int, balance: int, otherwise: int) -> Decimal:
    if balance <= 0:
        return Decimal(otherwise)
    if not amount:
        return _NONE
    return plain((Decimal(amount) / balance).quantize(_RATIO))


def wallet_row(account: Account, currency: str, now_ms: int) -> Row:
    """The wallet moves at deposits, spot trades and the daily settlement (section 10.4)."""
    return {
        "account": account.number, "currency": currency,
        "deposited": account.deposited.get(currency, 0), "withdrawn": 0, "transferIn": 0,
        "transferOut": 0, "amount": account.amount(currency), "pendingCredit": 0,
        "pendingDebit": 0, "confirmedDebit": 0, "timestamp": iso(now_ms),
    }  # fmt: skip


def transaction(
    account: Account, currency: str, *, kind: str, amount: int, at_ms: int, transact_id: str,
    address: str = "", fee: int = 0,
) -> Row:  # fmt: skip
    """A line of walletHistory; the balance is the one it left."""
    return {
        "transactID": transact_id, "account": account.number, "currency": currency,
        "transactType": kind, "amount": amount, "fee": fee, "transactStatus": "Completed",
        "address": address, "tx": transact_id, "text": "", "transactTime": iso(at_ms),
        "walletBalance": account.amount(currency), "timestamp": iso(at_ms),
    }  # fmt: skip


def history_rows(account: Account, currency: str) -> list[Row]:
    """
    walletHistory, newest first: at its head what is unrealised, pending, with a zero transactID.

    That line has no time, as clients have met it: ccxt reads it as 1970.
    """
    s = standing(account, currency)
    rows = [row for row in reversed(account.history) if row["currency"] == currency]
    held = [p.instrument.symbol for p in account.in_currency(currency) if p.qty]
    if held:
        rows.insert(
            0,
            {
                "transactID": NO_ID, "account": account.number, "currency": currency,
                "transactType": "UnrealisedPNL", "amount": s.gains, "fee": 0,
                "transactStatus": "Pending", "address": held[0] if len(held) == 1 else "",
                "tx": "", "text": "", "walletBalance": s.wallet, "marginBalance": s.balance,
            },
        )  # fmt: skip
    return rows
