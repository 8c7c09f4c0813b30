"""
The words of BitMEX, decoded once: frames of the stream, rows of REST answers, and request bodies.

Pure. Fractions become exact decimals (exponent forms included), unknown fields are skipped, and
what has the wrong type is refused with `ProtocolError`. The hot rows, executions and quotes, are
decoded straight into typed structs; the others into dicts, for `tables` merges them, and of those
only the columns that somebody reads.

Source: https://www.bitmex.com/app/wsAPI and https://www.bitmex.com/api/explorer.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, TypedDict, TypeVar

import msgspec

from reconciler.core.decisions import AmendOrder, ArmDeadMan, CancelOrder, PlaceOrder
from reconciler.core.events import ExecutionKind, ExecutionSeen, Source
from reconciler.errors import ProtocolError

from .rows import LARGEST, SIGN, cleaned, exact, micros

_T = TypeVar("_T")
Whole = Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Echo(msgspec.Struct):
    """The part of an echoed request that is safe to keep: logins echo their signature."""

    op: str = ""


class Frame(msgspec.Struct):
    """Any frame of the stream. ``data`` stays undecoded until its table is known."""

    table: str = ""
    action: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")
    keys: list[str] | None = None
    filter: dict[str, object] | None = None
    info: str | None = None
    timestamp: str | None = None
    success: bool | None = None
    subscribe: str | None = None
    unsubscribe: str | None = None
    request: Echo | None = None
    error: str | None = None
    status: int | None = None
    meta: dict[str, object] | None = None


class ExecutionRow(msgspec.Struct):
    """A row of the execution table: wide ones of old and narrow ones of now."""

    execID: str
    execType: str | None = None
    symbol: str | None = None
    orderID: str | None = None
    clOrdID: str | None = None
    account: Whole | None = None
    side: str | None = None
    lastQty: Whole | None = None
    lastPx: object = None
    cumQty: Whole | None = None
    settlCurrency: str | None = None
    execComm: Whole | None = None
    execCommCcy: str | None = None
    execCost: Whole | None = None
    lastLiquidityInd: str | None = None
    text: str | None = None
    timestamp: Moment | None = None


class QuoteRow(msgspec.Struct):
    """A row of the quote table."""

    symbol: str
    bidPrice: object = None
    askPrice: object = None
    bidSize: Whole | None = None
    askSize: Whole | None = None
    timestamp: Moment | None = None


class TradeRow(msgspec.Struct):
    """A row of the public trade table."""

    symbol: str
    side: str | None = None
    size: Whole | None = None
    price: object = None
    timestamp: Moment | None = None
    trdMatchID: str | None = None
    grossValue: Whole | None = None


class OrderColumns(TypedDict, total=False):
    """The columns of the order table that we read; what is absent stays absent."""

    orderID: object
    clOrdID: object
    account: object
    symbol: object
    side: object
    orderQty: object
    price: object
    ordStatus: object
    leavesQty: object
    cumQty: object
    text: object
    timestamp: object


class PositionColumns(TypedDict, total=False):
    """Those of the position table."""

    account: object
    symbol: object
    currency: object
    strategy: object
    currentQty: object
    isOpen: object
    avgEntryPrice: object
    liquidationPrice: object
    timestamp: object


KINDS = {
    "Trade": ExecutionKind.TRADE,
    "Liquidation": ExecutionKind.LIQUIDATION,
    "Bankruptcy": ExecutionKind.BANKRUPTCY,
    "Settlement": ExecutionKind.SETTLEMENT,
    "Funding": ExecutionKind.FUNDING,
    "Insurance": ExecutionKind.FUNDING,  # cash, like funding: no contracts change hands
    "Rebalance": ExecutionKind.FUNDING,
    "New": ExecutionKind.ORDER_STATE,
    "PendingNew": ExecutionKind.ORDER_STATE,
    "Canceled": ExecutionKind.ORDER_STATE,
    "PendingCancel": ExecutionKind.ORDER_STATE,
    "Replaced": ExecutionKind.ORDER_STATE,
    "PendingReplace": ExecutionKind.ORDER_STATE,
    "Rejected": ExecutionKind.ORDER_STATE,
    "Expired": ExecutionKind.ORDER_STATE,
    "Restated": ExecutionKind.ORDER_STATE,
    "Suspended": ExecutionKind.ORDER_STATE,
    "Released": ExecutionKind.ORDER_STATE,
    "TriggeredOrActivatedBySystem": ExecutionKind.ORDER_STATE,
}
MOVING = frozenset(
    {
        ExecutionKind.TRADE,
        ExecutionKind.LIQUIDATION,
        ExecutionKind.BANKRUPTCY,
        ExecutionKind.SETTLEMENT,
    }
)
#: A forced order's fills are of type Liquidation or Trade; then only their text tells. Taken for
#: a person's trade, it would be bought back, and liquidated again.
FORCED = "Liquidation"
#: These speak of a request that was refused, not of the order that it named.
ABOUT_REQUESTS = frozenset({"CancelReject", "AmendReject"})
LIQUIDITY = {"AddedLiquidity": "maker", "RemovedLiquidity": "taker"}

_frame = msgspec.json.Decoder(Frame)
_executions = msgspec.json.Decoder(list[ExecutionRow], float_hook=Decimal)
_quotes = msgspec.json.Decoder(list[QuoteRow], float_hook=Decimal)
_trades = msgspec.json.Decoder(list[TradeRow], float_hook=Decimal)
_rows = msgspec.json.Decoder(list[dict[str, object]], float_hook=Decimal)
_columns = {
    "order": msgspec.json.Decoder(list[OrderColumns], float_hook=Decimal),
    "position": msgspec.json.Decoder(list[PositionColumns], float_hook=Decimal),
}
#: Table -> the columns that `columns` decodes.
COLUMNS = {
    "order": frozenset(OrderColumns.__annotations__),
    "position": frozenset(PositionColumns.__annotations__),
}
_object = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)

Bytes = bytes | bytearray | memoryview | msgspec.Raw


def frame(said: bytes | str) -> Frame:
    """A frame of the stream, its rows still undecoded."""
    try:
        return _frame.decode(said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("frame", error) from None


def executions(said: Bytes) -> list[ExecutionRow]:
    """The rows of an execution frame or answer."""
    return decoded(_executions, said, "execution row")


def quotes(said: Bytes) -> list[QuoteRow]:
    """The rows of a quote frame."""
    return decoded(_quotes, said, "quote row")


def trades(said: Bytes) -> list[TradeRow]:
    """The rows of a trade frame."""
    return decoded(_trades, said, "trade row")


def rows(said: Bytes) -> list[dict[str, object]]:
    """The rows of any other frame or answer."""
    return decoded(_rows, said, "row")


def columns(table: str, said: Bytes) -> list[dict[str, object]]:
    """The rows of a frame of one of the tables in `COLUMNS`, without the columns not read."""
    return decoded(_columns[table], said, "row")  # type: ignore[arg-type]


def one_object(said: Bytes) -> dict[str, object]:
    """An answer that is one JSON object."""
    return decoded(_object, said, "answer")


def decoded(decoder: msgspec.json.Decoder[_T], said: Bytes, what: str) -> _T:
    """What *said* holds, or `ProtocolError`."""
    try:
        return decoder.decode(said)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError) as error:
        raise _refused(what, error) from None


def _refused(what: str, error: Exception) -> ProtocolError:
    # msgspec names the field and the types, never the value: no secret can be in it.
    return ProtocolError(f"a {what} cannot be read: {cleaned(str(error))}")


def execution_seen(row: ExecutionRow, source: Source, at_us: int) -> ExecutionSeen | None:
    """
    What an execution row says.

    Returns:
        None for a row that speaks of a request and not of an order.
    """
    word = row.execType or ""
    if word in ABOUT_REQUESTS:
        return None
    kind = KINDS.get(word, ExecutionKind.UNKNOWN)
    if kind is ExecutionKind.TRADE and not row.clOrdID and (row.text or "").startswith(FORCED):
        kind = ExecutionKind.LIQUIDATION
    contracts = 0
    if kind in MOVING:
        sign = SIGN.get(row.side or "")
        if sign is None or row.lastQty is None or row.lastQty < 0:
            kind = ExecutionKind.UNKNOWN  # it moves contracts, we can't tell which way
        else:
            contracts = sign * row.lastQty
    elif kind is ExecutionKind.FUNDING:
        contracts = row.lastQty or 0
    counts = kind is not ExecutionKind.ORDER_STATE
    return ExecutionSeen(
        at_us=at_us,
        exec_id=row.execID,
        symbol=row.symbol or "",
        order_id=row.orderID or "",
        cl_ord_id=row.clOrdID or "",
        type=kind,
        contracts=contracts,
        price=exact(row.lastPx, "lastPx") if counts else None,
        order_filled=row.cumQty or 0,
        fee_minor=(row.execComm or 0) if counts else 0,
        cost_minor=(row.execCost or 0) if counts else 0,
        currency=row.settlCurrency or row.execCommCcy or "",
        liquidity=LIQUIDITY.get(row.lastLiquidityInd or "", ""),
        source=source,
        venue_us=0 if row.timestamp is None else micros(row.timestamp),
        text=cleaned(row.text or ""),
    )


def executions_seen(
    found: Iterable[ExecutionRow], account: int | None, source: Source, at_us: int
) -> list[ExecutionSeen]:
    """The events of many rows, without those of other accounts."""
    events = []
    for row in found:
        if account is not None and row.account is not None and row.account != account:
            continue
        event = execution_seen(row, source, at_us)
        if event is not None:
            events.append(event)
    return events


class _Place(msgspec.Struct, omit_defaults=True):
    symbol: str
    side: str
    orderQty: int
    price: msgspec.Raw
    clOrdID: str
    ordType: str
    timeInForce: str
    execInst: str = ""


class _Amend(msgspec.Struct):
    origClOrdID: str
    price: msgspec.Raw


class _Cancel(msgspec.Struct):
    clOrdID: str


class _CancelById(msgspec.Struct):
    orderID: str


class _CancelAllAfter(msgspec.Struct):
    timeout: int


_encode = msgspec.json.Encoder().encode


def _number(price: Decimal) -> msgspec.Raw:
    if not price.is_finite():
        raise ValueError(f"a price must be a number, not {price}")
    return msgspec.Raw(format(price, "f").encode())


def place_body(order: PlaceOrder) -> bytes:
    """The body of POST /order. Same decision, same bytes."""
    instructions = [
        name
        for name, wanted in (
            ("ParticipateDoNotInitiate", order.post_only),
            ("ReduceOnly", order.reduce_only),
        )
        if wanted
    ]
    return _encode(
        _Place(
            symbol=order.symbol,
            side="Buy" if order.contracts > 0 else "Sell",
            orderQty=abs(order.contracts),
            price=_number(order.price),
            clOrdID=order.cl_ord_id,
            ordType="Limit",
            timeInForce="ImmediateOrCancel" if order.immediate else "GoodTillCancel",
            execInst=",".join(instructions),
        )
    )


def amend_body(order: AmendOrder) -> bytes:
    """The body of PUT /order: a price and nothing else, so that no quantity can change."""
    return _encode(_Amend(origClOrdID=order.cl_ord_id, price=_number(order.price)))


def cancel_body(order: CancelOrder) -> bytes:
    """The body of DELETE /order."""
    if not order.cl_ord_id:  # nobody gave it a name, or another did
        return _encode(_CancelById(orderID=order.order_id))
    return _encode(_Cancel(clOrdID=order.cl_ord_id))


def dead_man_body(order: ArmDeadMan) -> bytes:
    """The body of POST /order/cancelAllAfter."""
    return _encode(_CancelAllAfter(timeout=order.timeout_ms))
