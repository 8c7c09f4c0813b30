"""
The routes of the order family (protocol sheet, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import errors, intake, order_rules
from .members import check_target
from .orders import CLOSE, NewOrder
from .queries import matches
from .series import resolved
from .times import iso

MOST_IN_BULK = 100

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked


def place(api: Api, asked: Asked) -> object:
    order_rules.check_fields(asked.fields)
    target = intake.whole(asked.fields, "targetAccountId")
    if target not in (None, asked.account):
        raise errors.bad_request("Invalid account")  # no account here is linked to another
    new = _new_order(api, asked.fields)
    return api.order_faults.place(asked.account, new, asked.now_ms)


def amend(api: Api, asked: Asked) -> object:
    return api.order_faults.amend(asked.account, intake.amend(asked.fields), asked.now_ms)


def cancel(api: Api, asked: Asked) -> object:
    fields = asked.fields
    order_ids = intake.names(fields, "orderID")
    client_ids = intake.names(fields, "clOrdID")
    if not order_ids and not client_ids:
        raise errors.invalid("orderID or clOrdID must be sent.")
    note = intake.text(fields, "text")
    return api.order_faults.cancel(asked.account, order_ids, client_ids, note, asked.now_ms)


def cancel_all(api: Api, asked: Asked) -> object:
    check_target(asked)
    fields = resolved(asked.fields, api.exchange)
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
    inst = intake.instrument(resolved(asked.fields, api.exchange), api.exchange.catalogue)
    held = api.exchange.position(asked.account, inst.symbol).qty
    fields = {
        "symbol": inst.symbol, "execInst": CLOSE, "side": "Sell" if held >= 0 else "Buy",
        "price": asked.fields.get("price"), "text": asked.fields.get("text"),
    }  # fmt: skip
    new = intake.new_order(fields, api.exchange.catalogue)
    return api.exchange.close_position(asked.account, new, asked.now_ms).row()


def _new_order(api: Api, fields: Mapping[str, object]) -> NewOrder:
    """The checked form of a placement; its symbol may be that of a series (section 3)."""
    return intake.new_order(resolved(fields, api.exchange), api.exchange.catalogue)


def place_bulk(api: Api, asked: Asked) -> object:
    """
    Legacy: up to 100 orders at once (section 4.4), a row for each.

    What is wrong with the form of one, or with its clOrdID, refuses them all; what the engine
    refuses comes back as a Rejected row in its place [unsure: clients saw both].
    """
    exchange = api.exchange
    batch = [_new_order(api, fields) for fields in _batch(asked)]
    named = [new.cl_ord_id for new in batch if new.cl_ord_id]
    taken = any(exchange.client_id_is_open(asked.account, name) for name in named)
    if taken or len(set(named)) < len(named):
        raise errors.bad_request("Duplicate clOrdID")
    rows = []
    for new in batch:
        try:
            order = exchange.place(asked.account, new, asked.now_ms)
        except errors.Refusal as refusal:
            order = exchange.refuse_row(asked.account, new, refusal.message, asked.now_ms)
        rows.append(order.row())
    return rows


def amend_bulk(api: Api, asked: Asked) -> object:
    """
    Legacy: up to 100 amends at once. One that cannot be done refuses them all.

    A row carries ``error`` when an earlier amend of the batch made it impossible [unsure].
    """
    exchange = api.exchange
    batch = [intake.amend(fields) for fields in _batch(asked)]
    for amend in batch:
        exchange.check_amend(asked.account, amend, asked.now_ms)
    rows = []
    for amend in batch:
        try:
            row = exchange.amend(asked.account, amend, asked.now_ms).row()
        except errors.Refusal as refusal:
            found = exchange.find(asked.account, amend.order_id, amend.orig_cl_ord_id)
            row = {} if found is None else found.row()
            row["error"] = refusal.message
        rows.append(row)
    return rows


def _batch(asked: Asked) -> list[dict[str, object]]:
    """The list of a bulk call; in a form body it is JSON text."""
    orders = intake.objects(asked.fields, "orders")
    if len(orders) > MOST_IN_BULK:
        raise errors.bad_request(
            f"Too many orders provided. The maximum count allowed is {MOST_IN_BULK}."
        )
    return orders
