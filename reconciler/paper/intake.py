"""
From the fields of a request to a checked order (protocol sheet, sections 4.1, 4.3, 7, 15).

Accepts what BitMEX accepts: numbers as text (form bodies), empty strings for unset, a negative
quantity for a sale, symbols in any case. Everything else is refused in BitMEX's words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from . import errors, order_rules
from .instruments import Instrument
from .market import BUY, SELL
from .orders import AT_MARKET, CLOSE, SUBMITTED, NewOrder
from .times import parse_iso

Fields = Mapping[str, object]

_LONGEST_TIMEOUT_MS = 366 * 86_400_000
_SECONDS_END = 100_000_000_000  # a later time is counted in milliseconds
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)
_SMALL = 10**18  # whole numbers below need no look at their digits
_MAX_DIGITS = 40  # of a number as text; more is rubbish, and slow to compute with


def text(fields: Fields, name: str) -> str:
    """A text field; empty when unset."""
    value = fields.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise errors.invalid(f"Invalid {name}")
    return value


def number(fields: Fields, name: str) -> Decimal | None:
    """A number, given as such or as text; None when unset."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if type(value) is int and abs(value) < _SMALL:  # as a rule
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise errors.invalid(f"Invalid {name}")
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:  # Decimal reads "1_000", too
        raise errors.invalid(f"Invalid {name}")
    try:
        parsed = Decimal(value)
    except InvalidOperation:
        raise errors.invalid(f"Invalid {name}") from None
    _, digits, exponent = parsed.as_tuple()
    if not parsed.is_finite() or len(digits) > _MAX_DIGITS:
        raise errors.invalid(f"Invalid {name}")
    if isinstance(exponent, int) and abs(exponent) > _MAX_DIGITS:
        raise errors.invalid(f"Invalid {name}")
    return parsed


def whole(fields: Fields, name: str) -> int | None:
    """A whole number, or None when unset; ``300.0`` is whole."""
    value = fields.get(name)
    if type(value) is int and abs(value) < _SMALL:  # as a rule
        return value
    parsed = number(fields, name)
    if parsed is None:
        return None
    if parsed != parsed.to_integral_value():
        raise errors.invalid(f"Invalid {name}")
    return int(parsed)


def timeout_ms(value: object) -> int:
    """The timeout of cancelAllAfter, in milliseconds; 0 disarms."""
    timeout = whole({"timeout": value}, "timeout")
    if timeout is None:
        raise errors.required("timeout")
    if not 0 <= timeout <= _LONGEST_TIMEOUT_MS:
        raise errors.invalid("Invalid timeout")
    return timeout


def flag(fields: Fields, name: str, default: bool) -> bool:
    value = fields.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool):
        return value
    if value in ("true", "1", 1):
        return True
    if value in ("false", "0", 0):
        return False
    raise errors.invalid(f"Invalid {name}")


def names(fields: Fields, name: str) -> list[str]:
    """One id or a list of ids; a list may also come as JSON text or with commas (section 2.1)."""
    value = fields.get(name)
    if value is None or value == "":
        return []
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return [part.strip() for part in value.split(",") if part.strip()]
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise errors.invalid(f"Invalid {name}") from None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise errors.invalid(f"Invalid {name}")
    return list(value)


def objects(fields: Fields, name: str) -> list[dict[str, object]]:
    """A list of objects, as such or, in a form body, as JSON text."""
    value = fields.get(name)
    if value is None or value == "":
        raise errors.required(name)
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise errors.invalid(f"Invalid {name}") from None
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise errors.invalid(f"Invalid {name}")
    return list(value)


def instrument(fields: Fields, catalogue: Mapping[str, Instrument]) -> Instrument:
    """The instrument that ``symbol`` names."""
    symbol = text(fields, "symbol")
    if not symbol:
        raise errors.required("symbol")
    found = catalogue.get(symbol.upper()) or catalogue.get(symbol)
    if found is None:
        raise errors.bad_request("Invalid symbol")
    return found


def check_ticks(inst: Instrument, price: Decimal) -> int:
    """*price* in ticks, or a refusal."""
    if price <= 0 or price > inst.max_price:
        raise errors.bad_request("Invalid price")
    ticks = inst.ticks(price)
    if ticks is None:
        raise errors.bad_request("Invalid price tickSize")
    return ticks


def check_stop_ticks(inst: Instrument, price: Decimal) -> int:
    """*price* as a trigger in ticks, or a refusal."""
    if price <= 0 or price > inst.max_price:
        raise errors.bad_request("Invalid stopPx for ordType")
    ticks = inst.ticks(price)
    if ticks is None:
        raise errors.bad_request("Invalid stopPx tickSize")
    return ticks


def check_qty(inst: Instrument, qty: int) -> int:
    """*qty* contracts, or a refusal."""
    if qty <= 0 or qty > inst.max_qty:
        raise errors.invalid("Invalid orderQty")
    if qty % inst.lot:
        raise errors.bad_request("Order quantity must be a multiple of lot size")
    return qty


def new_order(fields: Fields, catalogue: Mapping[str, Instrument]) -> NewOrder:
    """
    Check the form of a placement.

    Args:
        fields: The body's fields, numbers as `Decimal` or int or text.
        catalogue: Instruments by symbol.

    Raises:
        Refusal: 400, the first thing wrong, in BitMEX's words.
    """
    inst = instrument(fields, catalogue)
    exec_inst = order_rules.instructions(text(fields, "execInst"))
    price, stop = number(fields, "price"), number(fields, "stopPx")
    peg = text(fields, "pegPriceType")
    kind = order_rules.ord_type(
        text(fields, "ordType"), price=price is not None, stop=stop is not None, peg=peg
    )
    tif = order_rules.time_in_force(text(fields, "timeInForce"), kind)
    side, qty = _side_and_qty(fields, inst, exec_inst)
    order_rules.check_stop(kind, peg, stop=stop is not None)
    offset = peg_offset(inst, number(fields, "pegOffsetValue"))
    order_rules.check_peg(peg, kind, side, offset)
    display = whole(fields, "displayQty")
    order_rules.check_display(display, qty, inst.lot)
    order_rules.check_instructions(exec_inst, kind, tif, display)
    if inst.is_spot:
        order_rules.check_spot(exec_inst)
    contingency, link = text(fields, "contingencyType"), client_id(fields, "clOrdLinkID")
    order_rules.check_contingency(contingency, link)
    order_rules.check_strategy(text(fields, "strategy"))
    order_id = text(fields, "orderID")
    order_rules.check_order_id(order_id)
    limited = kind not in AT_MARKET and kind != "Pegged"
    if limited and price is None:
        raise errors.bad_request("Invalid price")
    return NewOrder(
        instrument=inst, side=side, qty=qty,
        ticks=check_ticks(inst, price) if limited and price is not None else None,
        ord_type=kind, tif=tif, exec_inst=exec_inst, cl_ord_id=client_id(fields, "clOrdID"),
        cl_ord_link_id=link, display_qty=display,
        stop_ticks=None if stop is None else check_stop_ticks(inst, stop),
        peg_type=peg, peg_offset=offset, contingency=contingency,
        slippage=_slippage(fields), expiry_ms=_expiry_ms(fields), order_id=order_id.lower(),
        text=submitted_text(text(fields, "text")),
        strategy=text(fields, "strategy") or "OneWay",
    )  # fmt: skip


def submitted_text(annotation: str) -> str:
    """The trader's annotation comes back behind the venue's own words."""
    return f"{SUBMITTED}\n{annotation}" if annotation else SUBMITTED


def client_id(fields: Fields, name: str) -> str:
    value = text(fields, name)
    if len(value) > 36:
        raise errors.invalid(f"Invalid {name}")
    return value


def peg_offset(inst: Instrument, offset: Decimal | None) -> int | None:
    """An offset in ticks, of either sign."""
    if offset is None:
        return None
    ticks = inst.ticks(offset)
    if ticks is None:
        raise errors.bad_request("Invalid pegOffsetValue tickSize")
    return ticks


def _slippage(fields: Fields) -> Decimal | None:
    """maxSlippagePct: how far past the touch an order may trade, in percent (2026)."""
    slippage = number(fields, "maxSlippagePct")
    if slippage is not None and not 0 <= slippage <= 100:
        raise errors.invalid("Invalid maxSlippagePct")
    return slippage


def _expiry_ms(fields: Fields) -> int | None:
    """
    expiryTime: the engine takes the order no later than this (2026).

    Its form is not documented [unsure]: seconds, with or without a fraction, milliseconds (too
    large for seconds, like an `api-expires` in milliseconds) and ISO 8601 are all understood.
    """
    value = fields.get("expiryTime")
    if isinstance(value, str) and "T" in value:
        try:
            return parse_iso(value)
        except ValueError:
            raise errors.invalid("Invalid expiryTime") from None
    seconds = number(fields, "expiryTime")
    if seconds is None:
        return None
    return int(seconds if seconds > _SECONDS_END else seconds * 1_000)


def _side_and_qty(
    fields: Fields, inst: Instrument, exec_inst: tuple[str, ...]
) -> tuple[int, int | None]:
    """Side and contracts; a negative quantity sells, `Close` needs no quantity but a side."""
    named = text(fields, "side")
    if named not in ("", "Buy", "Sell"):
        raise errors.bad_request("Invalid side")
    qty = whole(fields, "orderQty")
    if qty is None:
        if CLOSE not in exec_inst:
            raise errors.required("orderQty")
        if not named:
            raise errors.bad_request("Invalid side")
        return (BUY if named == "Buy" else SELL), None
    if qty < 0 and named == "Buy":
        raise errors.invalid("Invalid orderQty")
    side = SELL if named == "Sell" or qty < 0 else BUY
    return side, check_qty(inst, abs(qty))


@dataclass(frozen=True, slots=True, kw_only=True)
class Amend:
    """An amend that passed the checks of its form."""

    order_id: str
    orig_cl_ord_id: str
    cl_ord_id: str
    qty: int | None  # new total
    leaves: int | None  # new open quantity
    price: Decimal | None
    stop: Decimal | None
    peg_offset: Decimal | None
    text: str


def amend(fields: Fields) -> Amend:
    """Check the form of an amend (section 4.3); the order's own state is checked later."""
    order_id, original = text(fields, "orderID"), text(fields, "origClOrdID")
    renamed = client_id(fields, "clOrdID")
    if renamed and not original:
        raise errors.invalid("origClOrdID required when sending clOrdID.")
    if not order_id and not original:
        raise errors.invalid("orderID or origClOrdID must be sent.")
    qty, leaves = whole(fields, "orderQty"), whole(fields, "leavesQty")
    if qty is not None and leaves is not None:
        raise errors.invalid("Invalid leavesQty")
    return Amend(
        order_id=order_id, orig_cl_ord_id=original, cl_ord_id=renamed, qty=qty, leaves=leaves,
        price=number(fields, "price"), stop=number(fields, "stopPx"),
        peg_offset=number(fields, "pegOffsetValue"), text=text(fields, "text"),
    )  # fmt: skip
