"""
BitMEX's JSON, both ways (protocol sheet, sections 3, 5, 9, 10): tables, rows, frames, bodies.

Rows are plain dicts without nulls. `Decimal` becomes a JSON number with all its digits, and JSON
numbers with a fraction come in as `Decimal`: no price passes through a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import compress
from operator import ne
from typing import NamedTuple
from urllib.parse import parse_qsl

import msgspec

from . import errors
from .instruments import Instrument
from .money_rows import margin_row as margin_row
from .money_rows import position_row as position_row
from .money_rows import wallet_row as wallet_row
from .numerals import Engine
from .orders import Row
from .tables import TABLES


def _number(value: object) -> msgspec.Raw:
    assert isinstance(value, Engine), value
    return msgspec.Raw(value.written().encode())


_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=_number)
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


def encoded(value: object) -> object:
    """A value that is put into many answers as it is: its JSON is made once."""
    return msgspec.Raw(_ENCODER.encode(value))


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
        fields.update(_pairs(query))
    if not body:
        return fields
    if "x-www-form-urlencoded" in content_type and body[:1] != b"{":
        try:
            fields.update(_pairs(body.decode()))
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


def _pairs(text: str) -> dict[str, object]:
    """
    The values of a query or form. A name that comes twice, or as ``name[]``, has a list: many HTTP
    libraries send lists so.
    """
    found: dict[str, object] = {}
    for written, value in parse_qsl(text, keep_blank_values=True):
        name = written.removesuffix("[]")
        before = found.get(name)
        if isinstance(before, list):
            before.append(value)
        elif name in found:
            found[name] = [before, value]
        else:
            found[name] = [value] if name != written else value
    return found


def changed(before: Row, after: Row, identity: Iterable[str]) -> Row | None:
    """
    The update row from *before* to *after*: changed fields and identity; None when nothing changed.

    A field that went away is sent as null once: null means "now unset" (section 10.1).
    """
    delta: Row = dict(compress(after.items(), map(ne, map(before.get, after), after.values())))
    delta.pop("timestamp", None)
    if not before.keys() <= after.keys():
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


def book_row(inst: Instrument, side: int, ticks: int, size: int, at: str) -> Row:
    """One price level of orderBookL2; ``id`` is opaque and stable per level (section 10.5)."""
    return {
        "symbol": inst.symbol, "id": inst.index * 100_000_000 - ticks,
        "side": "Buy" if side > 0 else "Sell", "size": size, "price": inst.price(ticks),
        "timestamp": at, "transactTime": at,
    }  # fmt: skip
