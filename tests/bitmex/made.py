"""Rows, frames and decisions for tests: right in every field, but for what a test changes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from reconciler.bitmex import messages
from reconciler.bitmex.messages import Frame
from reconciler.core.decisions import PlaceOrder

ACCOUNT = 400123
ORDER_ID = "5d1f0c7e-2b9a-4c61-9a54-0f2d6a7c1e01"
AT = "2026-05-20T11:00:07.004Z"
AT_US = 1779274807004000


def order(**changes: Any) -> dict[str, Any]:
    """A row of the order table as of 2025; a field set to ... is left out."""
    row = {
        "orderID": ORDER_ID,
        "clOrdID": "rc-17",
        "account": ACCOUNT,
        "symbol": "XBTUSD",
        "side": "Buy",
        "orderQty": 300,
        "price": 61250.5,
        "currency": "USD",
        "settlCurrency": "XBt",
        "ordType": "Limit",
        "timeInForce": "GoodTillCancel",
        "ordStatus": "New",
        "workingIndicator": True,
        "leavesQty": 300,
        "cumQty": 0,
        "text": "Submitted via API.",
        "transactTime": AT,
        "timestamp": AT,
        **changes,
    }
    return {name: value for name, value in row.items() if value is not ...}


def execution(**changes: Any) -> dict[str, Any]:
    """A row of the execution table as of 2025: 100 contracts bought as a maker."""
    return order(
        **{
            "execID": "a0c4e7d2-61b8-4a7c-8d12-93f5b0e6c102",
            "lastQty": 100,
            "lastPx": 61250.5,
            "lastLiquidityInd": "AddedLiquidity",
            "execType": "Trade",
            "ordStatus": "PartiallyFilled",
            "leavesQty": 200,
            "cumQty": 100,
            "avgPx": 61250.5,
            "commission": 5.0e-4,
            "feeType": "Maker",
            "execCost": -163264,
            "execComm": 81,
            **changes,
        }
    )


def frame(table: str, action: str, *rows: dict[str, Any], **more: Any) -> Frame:
    """A table frame, encoded and decoded as if it had come by the wire."""
    return messages.frame(
        json.dumps({"table": table, "action": action, "data": list(rows), **more})
    )


def place(**changes: Any) -> PlaceOrder:
    """A decision to place an order."""
    fields: dict[str, Any] = {
        "request_id": 1,
        "cl_ord_id": "rc-17",
        "symbol": "XBTUSD",
        "contracts": 300,
        "price": Decimal("61250.5"),
        "post_only": False,
        "reduce_only": False,
        "immediate": False,
        "expires_us": 1779274812_000_000,
        "deadline_us": 0,
        "target_version": 1,
        "instrument_version": 1,
        "position": 0,
        "bid": None,
        "ask": None,
        "mark": None,
        "policy": "passive",
        "reason": "gap",
    }
    return PlaceOrder(**{**fields, **changes})
