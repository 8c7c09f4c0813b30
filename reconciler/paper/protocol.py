"""
BitMEX's JSON, both ways (protocol sheet, sections 3, 5, 9, 10): tables, rows, frames, bodies.

Rows are plain dicts without nulls. `Decimal` becomes a JSON number with all its digits, and JSON
numbers with a fraction come in as `Decimal`: no price passes through a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import parse_qsl

import msgspec

from . import errors
from .account import Account, Position
from .instruments import Instrument, plain, shown
from .orders import Row
from .tables import TABLES
from .times import iso

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)

NO_ID = "00000000-0000-0000-0000-000000000000"


class Change(NamedTuple):
    """One row of one table came into being, changed or went. The unit of all streams."""

    table: str
    action: str  # insert, update, delete
    account: int | None  # None: public
    symbol: str | None
    row: Row


def encode(value: object) -> bytes:
    """JSON bytes of rows, frames and answers."""
    return _ENCODER.encode(value)


def decode(raw: bytes | str) -> object:
    """
    A JSON value with `Decimal` for numbers that have a fraction.

    Raises:
        ValueError: not JSON.
    """
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, RecursionError, ArithmeticError) as error:
        raise ValueError(str(error)) from None


def fields_of(body: bytes, content_type: str, query: str) -> dict[str, object]:
    """
    The named values of a request: query string, then JSON or form body (section 2.1).

    Raises:
        Refusal: 400, the body is neither an object in JSON nor a form.
    """
    fields: dict[str, object] = {}
    if query:
        fields.update(parse_qsl(query, keep_blank_values=True))
    if not body:
        return fields
    if "x-www-form-urlencoded" in content_type and body[:1] != b"{":
        try:
            fields.update(parse_qsl(body.decode(), keep_blank_values=True))
        except ValueError:
            raise errors.invalid("Malformed form body") from None
        return fields
    try:
        parsed = decode(body)
    except ValueError:
        raise errors.invalid("Unexpected token in JSON body") from None
    if not isinstance(parsed, dict):
        raise errors.invalid("Body must be an object")
    fields.update(parsed)
    return fields


def changed(before: Row, after: Row, identity: Iterable[str]) -> Row | None:
    """
    The update row from *before* to *after*: changed fields and identity; None when nothing changed.

    A field that went away is sent as null once: null means "now unset" (section 10.1).
    """
    delta: Row = {k: v for k, v in after.items() if k != "timestamp" and before.get(k) != v}
    delta.update({k: None for k in before if k not in after})
    if not delta:
        return None
    row: Row = {key: after[key] for key in identity if key in after}
    row.update(delta)
    row["timestamp"] = after["timestamp"]
    return row


ORDER_IDENTITY = ("orderID", "clOrdID", "account", "symbol")
POSITION_IDENTITY = ("account", "symbol", "strategy", "currency")
MARGIN_IDENTITY = ("account", "currency")


def table_frame(table: str, action: str, rows: Sequence[Row]) -> bytes:
    return encode({"table": table, "action": action, "data": rows})


def partial_frame(table: str, rows: Sequence[Row], where: Row) -> bytes:
    spec = TABLES[table]
    return encode(
        {"table": table, "action": "partial", "keys": spec.keys, "types": spec.types,
         "filter": where, "data": rows}
    )  # fmt: skip


def position_row(account: Account, p: Position, now_ms: int) -> Row:
    """The full row of a position (section 8.2)."""
    inst = p.instrument
    row: Row = {
        "account": p.account, "symbol": inst.symbol, "strategy": "OneWay",
        "currency": inst.settle, "underlying": inst.underlying, "quoteCurrency": inst.quote,
        "commission": inst.taker_fee, "initMarginReq": p.init_margin_req,
        "maintMarginReq": inst.maint_margin, "riskLimit": p.risk_limit,
        "leverage": p.leverage or plain(1 / inst.init_margin), "crossMargin": not p.leverage,
        "rebalancedPnl": 0, "prevRealisedPnl": p.prev_realised_pnl,
        "openOrderBuyQty": p.open_buy_qty, "openOrderBuyCost": p.open_buy_cost,
        "openOrderSellQty": p.open_sell_qty, "openOrderSellCost": p.open_sell_cost,
        "currentQty": p.qty, "currentCost": p.current_cost, "currentComm": p.comm,
        "realisedCost": p.realised_cost, "unrealisedCost": p.unrealised_cost,
        "isOpen": p.qty != 0, "markPrice": p.mark, "markValue": p.mark_value,
        "riskValue": abs(p.mark_value), "posCost": p.unrealised_cost, "initMargin": p.init_margin,
        "realisedPnl": p.realised_pnl, "unrealisedPnl": p.unrealised_pnl,
    }  # fmt: skip
    home, foreign = inst.notional(p.qty, p.mark) if p.qty else (Decimal(0), Decimal(0))
    row.update(homeNotional=plain(home), foreignNotional=plain(foreign))
    if p.qty:
        row.update(
            posInit=p.pos_init, posComm=p.pos_comm, posMargin=p.pos_margin, posMaint=p.pos_maint
        )
    else:
        row.update(posInit=0, posComm=0, posMargin=0, posMaint=0)
    row["maintMargin"] = p.maint_margin
    if p.average is not None:
        entry = shown(p.average)
        row.update(avgCostPrice=entry, avgEntryPrice=entry)
    for name, price in (
        ("liquidationPrice", account.liquidation_price(p)),
        ("bankruptPrice", account.bankrupt_price(p)),
    ):
        if price is not None:
            row[name] = price
    row["timestamp"] = iso(now_ms)
    return row


def margin_row(account: Account, currency: str, now_ms: int) -> Row:
    """The full row of an account's margin in one currency (section 8.2)."""
    positions = account.in_currency(currency)
    init = sum(p.init_margin for p in positions)
    maint = sum(p.maint_margin for p in positions)
    wallet = account.wallet_balance(currency)
    gains = sum(p.unrealised_pnl for p in positions)
    gross = sum(abs(p.mark_value) for p in positions)
    balance = wallet + gains
    available = max(0, balance - init - maint)
    ratio = Decimal("0.0001")
    return {
        "account": account.number, "currency": currency, "riskLimit": 1_000_000_000_000,
        "amount": account.deposited.get(currency, 0), "prevRealisedPnl": 0,
        "grossComm": sum(p.comm for p in positions),
        "grossOpenCost": sum(abs(p.open_buy_cost) + abs(p.open_sell_cost) for p in positions),
        "grossMarkValue": gross, "riskValue": gross, "initMargin": init, "maintMargin": maint,
        "realisedPnl": account.realised.get(currency, 0), "unrealisedPnl": gains,
        "walletBalance": wallet, "marginBalance": balance,
        "marginLeverage": plain((Decimal(gross) / balance).quantize(ratio)) if balance > 0 else 0,
        "marginUsedPcnt": (
            plain((Decimal(init + maint) / balance).quantize(ratio)) if balance > 0 else 1
        ),
        "excessMargin": available, "availableMargin": available,
        "withdrawableMargin": max(0, min(available, wallet - init - maint)),
        "timestamp": iso(now_ms),
    }  # fmt: skip


def wallet_row(account: Account, currency: str, now_ms: int) -> Row:
    return {
        "account": account.number, "currency": currency,
        "deposited": account.deposited.get(currency, 0), "withdrawn": 0, "transferIn": 0,
        "transferOut": 0, "amount": account.wallet_balance(currency), "pendingCredit": 0,
        "pendingDebit": 0, "confirmedDebit": 0, "timestamp": iso(now_ms),
    }  # fmt: skip


def book_row(inst: Instrument, side: int, ticks: int, size: int, at: str) -> Row:
    """One price level of orderBookL2; ``id`` is opaque and stable per level (section 10.5)."""
    return {
        "symbol": inst.symbol, "id": inst.index * 100_000_000 - ticks,
        "side": "Buy" if side > 0 else "Sell", "size": size, "price": inst.price(ticks),
        "timestamp": at, "transactTime": at,
    }  # fmt: skip
