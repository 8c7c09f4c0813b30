"""
The routes of the order family (protocol sheet, section 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import errors, intake
from .orders import CLOSE
from .queries import matches
from .times import iso

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked


def place(api: Api, asked: Asked) -> object:
    new = intake.new_order(asked.fields, api.exchange.catalogue)
    if api.quirks.strikes("reject-in-200"):
        refused = api.exchange.refuse_row(asked.account, new, "Market is not open", asked.now_ms)
        return refused.row()
    return api.exchange.place(asked.account, new, asked.now_ms).row()


def amend(api: Api, asked: Asked) -> object:
    amend = intake.amend(asked.fields)
    order = api.exchange.find(asked.account, amend.order_id, amend.orig_cl_ord_id)
    if order is not None and order.working and api.quirks.strikes("amend-race"):
        lot = order.instrument.lot
        part = max(lot, order.leaves // 2 // lot * lot)
        api.exchange.fill_from_house(order, part, asked.now_ms)
    return api.exchange.amend(asked.account, amend, asked.now_ms).row()


def cancel(api: Api, asked: Asked) -> object:
    fields = asked.fields
    order_ids = intake.names(fields, "orderID")
    client_ids = intake.names(fields, "clOrdID")
    if not order_ids and not client_ids:
        raise errors.invalid("orderID or clOrdID must be sent.")
    for order_id, client_id in [(i, "") for i in order_ids] + [("", c) for c in client_ids]:
        order = api.exchange.find(asked.account, order_id, client_id)
        if order is not None and order.working and api.quirks.strikes("cancel-race"):
            api.exchange.fill_from_house(order, order.leaves, asked.now_ms)
    note = intake.text(fields, "text")
    return api.exchange.cancel(asked.account, order_ids, client_ids, note, asked.now_ms)


def cancel_all(api: Api, asked: Asked) -> object:
    fields = asked.fields
    if intake.text(fields, "symbol"):
        intake.instrument(fields, api.exchange.catalogue)
    chosen = [
        order for order in api.exchange.open_orders(asked.account) if matches(order.row(), fields)
    ]
    return api.exchange.cancel_all(chosen, intake.text(fields, "text"), asked.now_ms)


def cancel_all_after(api: Api, asked: Asked) -> object:
    timeout = intake.timeout_ms(asked.fields.get("timeout"))
    fires = api.exchange.arm(asked.account, timeout, asked.now_ms)
    return {"now": iso(asked.now_ms), "cancelTime": iso(fires) if fires else 0}


def close_position(api: Api, asked: Asked) -> object:
    """Deprecated on BitMEX: Close the whole position, canceling the symbol's other orders."""
    inst = intake.instrument(asked.fields, api.exchange.catalogue)
    held = api.exchange.position(asked.account, inst.symbol).qty
    fields = {
        "symbol": inst.symbol, "execInst": CLOSE, "side": "Sell" if held >= 0 else "Buy",
        "price": asked.fields.get("price"), "text": asked.fields.get("text"),
    }  # fmt: skip
    new = intake.new_order(fields, api.exchange.catalogue)
    if held:
        others = api.exchange.open_orders(asked.account, inst.symbol)
        api.exchange.cancel_all(others, "Canceled via API.", asked.now_ms)
    return api.exchange.place(asked.account, new, asked.now_ms).row()
