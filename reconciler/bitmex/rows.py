"""
Rows of BitMEX's tables, and the core events that they mean.

A row is a plain dict as decoded by `messages`: its fractions are `Decimal`, its whole numbers
`int`. Old rows are wide and full of nulls and empty strings, new ones leave out what is unset: a
field that is null, empty or absent is unset here. A field of the wrong type is refused; nothing
is converted (the text "5", true and 5.0 are not 5). A word that we don't know is not an error.

Source: https://www.bitmex.com/api/explorer, models Order, Execution, Position, Margin, Instrument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from reconciler.core.events import (
    InstrumentSeen,
    MarginSeen,
    OrderSeen,
    OrderStatus,
    PositionSeen,
    Source,
)
from reconciler.errors import ProtocolError

Row = Mapping[str, object]

STATUS = {
    "New": OrderStatus.NEW,
    "PartiallyFilled": OrderStatus.PARTLY_FILLED,
    "Filled": OrderStatus.FILLED,
    "Canceled": OrderStatus.CANCELLED,
    "Rejected": OrderStatus.REJECTED,
    "Expired": OrderStatus.EXPIRED,
    "PendingNew": OrderStatus.PENDING,
    "PendingReplace": OrderStatus.PENDING,
    "PendingCancel": OrderStatus.PENDING,
    "Untriggered": OrderStatus.NEW,
    "Triggered": OrderStatus.NEW,
}
SIGN = {"Buy": 1, "Sell": -1}
#: The columns of an instrument that `instrument_seen` reads.
RULES = (
    "symbol", "state", "lotSize", "tickSize", "maxOrderQty", "maxPrice", "isInverse", "isQuanto",
    "multiplier", "settlCurrency", "quoteCurrency", "makerFee", "takerFee",
)  # fmt: skip
#: Those that move all the time, and show whether the stream still tells of them.
PRICES = ("markPrice", "bidPrice", "askPrice")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST = 2**53  # of a whole number: a thousand of them still fit a column of the journal
_EXPONENT = 30  # a price beyond 10^±30 is rubbish, and slow to compute with; so is a zero there


def text(row: Row, name: str) -> str:
    """A text, empty when unset."""
    value = row.get(name)
    if value is None:
        return ""
    if type(value) is not str:
        raise wrong(name, value)
    return value


def need_text(row: Row, name: str) -> str:
    """A text that must be there."""
    value = text(row, name)
    if not value:
        raise ProtocolError(f"a row has no {name}", field=name)
    return value


def whole(row: Row, name: str) -> int | None:
    """A whole number, None when unset."""
    value = row.get(name)
    if value is None:
        return None
    if type(value) is not int or not -LARGEST <= value <= LARGEST:
        raise wrong(name, value)
    return value


def exact(value: object, name: str) -> Decimal | None:
    """A number as an exact decimal, None when unset."""
    if value is None:
        return None
    if type(value) is int:
        value = Decimal(value)
    elif type(value) is not Decimal:
        raise wrong(name, value)
    if not -_EXPONENT < value.adjusted() < _EXPONENT or value != +value:
        raise wrong(name, value)  # `+` rounds to what arithmetic keeps: 28 digits
    return value


def flag(row: Row, name: str) -> bool | None:
    """Yes or no, None when unset."""
    value = row.get(name)
    if value is None or type(value) is bool:
        return value
    raise wrong(name, value)


def micros(moment: datetime) -> int:
    """Microseconds since the epoch."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def time_us(row: Row, name: str = "timestamp") -> int:
    """A time in microseconds since the epoch, 0 when unset."""
    value = row.get(name)
    if value is None or value == "":
        return 0
    if type(value) is not str:
        raise wrong(name, value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise wrong(name, value) from None
    if moment.tzinfo is None:
        raise wrong(name, value)
    return micros(moment)


def wrong(name: str, value: object) -> ProtocolError:
    """The error for a field of the wrong type or size."""
    return ProtocolError(f"the field {name} of a row is a wrong {type(value).__name__}", field=name)


def order_seen(row: Row, source: Source, at_us: int) -> OrderSeen:
    """
    What a full row of the order table says.

    Raises:
        ProtocolError: It lacks what every order has, or a field is of the wrong type.
    """
    status = STATUS.get(text(row, "ordStatus"), OrderStatus.UNKNOWN)
    sign = SIGN.get(text(row, "side"))
    total = whole(row, "orderQty")
    filled = whole(row, "cumQty") or 0
    leaves = whole(row, "leavesQty")
    if total is None:
        total = filled + (leaves or 0)
    if sign is None:
        sign, status = 1, OrderStatus.UNKNOWN
    return OrderSeen(
        at_us=at_us,
        symbol=need_text(row, "symbol"),
        order_id=need_text(row, "orderID"),
        cl_ord_id=text(row, "clOrdID"),
        contracts=sign * total,
        filled=filled,
        leaves=max(total - filled, 0) if leaves is None else leaves,
        price=exact(row.get("price"), "price"),
        status=status,
        source=source,
        venue_us=time_us(row),
        text=cleaned(text(row, "text")),
    )


def position_seen(
    symbol: str, rows: Iterable[Row], source: Source, at_us: int
) -> PositionSeen | None:
    """
    What the rows of one symbol say together: one row, or one a strategy in hedge mode.

    Returns:
        None when a row does not say how much is held: a row freshly inserted may be all nulls.
    """
    contracts, venue_us, entry, liquidation, parts = 0, 0, None, None, 0
    for row in rows:
        quantity = whole(row, "currentQty")
        if quantity is None:
            if flag(row, "isOpen") is not False:
                return None
            quantity = 0
        contracts += quantity
        venue_us = max(venue_us, time_us(row))
        if quantity:
            entry = exact(row.get("avgEntryPrice"), "avgEntryPrice")
            liquidation = exact(row.get("liquidationPrice"), "liquidationPrice")
            parts += 1
    return PositionSeen(
        at_us=at_us,
        symbol=symbol,
        contracts=contracts,
        source=source,
        venue_us=venue_us,
        entry_price=entry if parts == 1 else None,
        liquidation_price=liquidation if parts == 1 else None,
    )


def margin_seen(row: Row, at_us: int) -> MarginSeen | None:
    """What a row of the margin table says; None while it has no wallet balance."""
    wallet = whole(row, "walletBalance")
    if wallet is None:
        return None
    unrealised = whole(row, "unrealisedPnl") or 0
    margin = whole(row, "marginBalance")
    return MarginSeen(
        at_us=at_us,
        currency=need_text(row, "currency"),
        wallet_minor=wallet,
        margin_minor=wallet + unrealised if margin is None else margin,
        available_minor=whole(row, "availableMargin") or 0,
        unrealised_minor=unrealised,
    )


def instrument_seen(row: Row, at_us: int) -> InstrumentSeen | None:
    """The trading rules of a full instrument row; None for what can't be traded, as an index."""
    lot, tick = whole(row, "lotSize"), exact(row.get("tickSize"), "tickSize")
    if lot is None or tick is None or lot <= 0 or tick <= 0:
        return None
    state = text(row, "state")
    return InstrumentSeen(
        at_us=at_us,
        symbol=need_text(row, "symbol"),
        open=state == "Open",
        state=cleaned(state),
        lot=lot,
        tick=tick,
        max_contracts=whole(row, "maxOrderQty"),
        max_price=exact(row.get("maxPrice"), "maxPrice"),
        inverse=flag(row, "isInverse") or False,
        quanto=flag(row, "isQuanto") or False,
        multiplier=whole(row, "multiplier") or 0,
        settle_currency=text(row, "settlCurrency"),
        quote_currency=text(row, "quoteCurrency"),
        maker_fee=exact(row.get("makerFee"), "makerFee") or Decimal(0),
        taker_fee=exact(row.get("takerFee"), "takerFee") or Decimal(0),
    )


def cleaned(said: str, limit: int = 200) -> str:
    """Text from outside on one line, without control characters, cut short."""
    if said.isprintable() and len(said) <= limit:
        return said
    return "".join(c if c.isprintable() else " " for c in said[:limit])
