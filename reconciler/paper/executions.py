"""
Rows of the ``execution`` table (protocol sheet, sections 5, 8.3 and 10.2).

Each starts from the order as it stands at that moment and adds what happened.
"""

from __future__ import annotations

from decimal import Decimal

from .account import Position
from .instruments import plain
from .numerals import engine
from .orders import REJECTED, Order, Row
from .protocol import NO_ID
from .times import iso


def _base(order: Order, exec_id: str, exec_type: str, now_ms: int) -> Row:
    row: Row = {"execID": exec_id}
    row.update(order.row())
    row["execType"] = exec_type
    row["timestamp"] = row["transactTime"] = iso(now_ms)
    return row


def event(order: Order, exec_id: str, exec_type: str, now_ms: int) -> Row:
    """New, Canceled, Replaced or Rejected: no contracts move, so the match id is zero."""
    row = _base(order, exec_id, exec_type, now_ms)
    row["trdMatchID"] = NO_ID
    row["lastQty"] = 0
    if exec_type == "New":
        row.update(ordStatus="New", workingIndicator=False)
    return row


def trade(
    order: Order,
    exec_id: str,
    match_id: str,
    size: int,
    price: Decimal,
    cost: int,
    fee: int,
    rate: Decimal,
    takes: bool,
    now_ms: int,
    *,
    hidden: bool = False,
) -> Row:
    """*size* contracts changed hands on *order* at *price*; cost and fee in minor units."""
    row = _base(order, exec_id, "Trade", now_ms)
    home, foreign = order.instrument.notional(order.side * size, price)
    row.update(
        lastQty=size, lastPx=price,
        lastLiquidityInd="RemovedLiquidity" if takes else "AddedLiquidity",
        commission=engine(rate), feeType="Taker" if takes or hidden else "Maker",
        tradePublishIndicator="PublishTrade", trdMatchID=match_id, execCost=cost, execComm=fee,
        homeNotional=plain(home), foreignNotional=plain(foreign),
    )  # fmt: skip
    return row


def funding(exec_id: str, position: Position, rate: Decimal, amount: int, now_ms: int) -> Row:
    """Funding paid (amount > 0) or received, in minor units; nothing is bought or sold (8.3)."""
    inst = position.instrument
    home, foreign = inst.notional(position.qty, position.mark)
    return {
        "execID": exec_id, "orderID": NO_ID, "account": position.account, "symbol": inst.symbol,
        "lastQty": abs(position.qty), "lastPx": position.mark, "orderQty": abs(position.qty),
        "price": position.mark, "currency": inst.quote, "settlCurrency": inst.settle,
        "execType": "Funding", "ordType": "Limit", "timeInForce": "AtTheClose",
        "ordStatus": "Filled", "workingIndicator": False, "leavesQty": 0,
        "cumQty": abs(position.qty), "avgPx": position.mark,
        "commission": engine(rate if position.qty > 0 else -rate), "text": "Funding",
        "trdMatchID": NO_ID, "execCost": position.mark_value, "execComm": amount,
        "homeNotional": plain(home), "foreignNotional": plain(foreign), "strategy": "OneWay",
        "transactTime": iso(now_ms), "timestamp": iso(now_ms),
    }  # fmt: skip


def settlement(
    exec_id: str, position: Position, price: Decimal, cost: int, fee: int, now_ms: int
) -> Row:
    """A future came to its end: the position is closed at the settlement price (8.3)."""
    inst, size = position.instrument, abs(position.qty)
    home, foreign = inst.notional(-position.qty, price)
    return {
        "execID": exec_id, "orderID": NO_ID, "account": position.account, "symbol": inst.symbol,
        "side": "Sell" if position.qty > 0 else "Buy", "lastQty": size, "lastPx": price,
        "orderQty": size, "price": price, "currency": inst.quote, "settlCurrency": inst.settle,
        "execType": "Settlement", "ordType": "Limit", "timeInForce": "AtTheClose",
        "ordStatus": "Filled", "workingIndicator": False, "leavesQty": 0, "cumQty": size,
        "avgPx": price, "commission": inst.settlement_fee, "text": "Settlement",
        "trdMatchID": NO_ID, "execCost": cost, "execComm": fee, "homeNotional": plain(home),
        "foreignNotional": plain(foreign), "strategy": "OneWay", "transactTime": iso(now_ms),
        "timestamp": iso(now_ms),
    }  # fmt: skip


def cancel_reject(exec_id: str, order_id: str, account: int, now_ms: int) -> Row:
    """A cancel that found nothing; ``ordStatus`` speaks of the request, not the order (10.2)."""
    at = iso(now_ms)
    return {
        "execID": exec_id, "orderID": order_id, "account": account, "execType": "CancelReject",
        "ordStatus": REJECTED, "workingIndicator": False, "ordRejReason": "Invalid orderID",
        "text": "Invalid orderID", "transactTime": at, "timestamp": at,
    }  # fmt: skip
