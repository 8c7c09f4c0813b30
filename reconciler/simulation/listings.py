"""What the venue lists and keeps: instruments with their rules, orders with their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from reconciler.simulation.wording import Row, iso

ACCOUNT = 400_123
TICK = Decimal("0.5")
OPEN = ("New", "PartiallyFilled")
OWN = "rc-"
STRANGER = "rc-simu-9-zzzzzz-"  # our very installation, and no intent of ours

#: Shows one row of a table: table, action, row.
Show = Callable[[str, str, Row], None]


@dataclass(slots=True)
class Rules:
    """What an instrument asks of an order."""

    lot: int
    tick: Decimal
    state: str = "Open"

    @property
    def open(self) -> bool:
        """Whether it trades."""
        return self.state == "Open"


@dataclass(slots=True, kw_only=True)
class Order:
    """An order as the venue knows it."""

    order_id: str
    cl_ord_id: str
    symbol: str
    side: int
    quantity: int
    price: Decimal
    reduce_only: bool
    own: bool  # it bears an id of ours
    filled: int = 0
    status: str = "New"
    text: str = "Submitted via API."
    changed_us: int = 0  # venue time
    past: list[tuple[int, Row]] = field(default_factory=list)  # world's time, row

    @property
    def open(self) -> bool:
        """It may still trade."""
        return self.status in OPEN

    @property
    def leaves(self) -> int:
        """Contracts still to be traded."""
        return self.quantity - self.filled if self.open else 0


def row_of(order: Order) -> Row:
    """The whole row of an order, as it is now."""
    row: Row = {
        "orderID": order.order_id,
        "clOrdID": order.cl_ord_id,
        "account": ACCOUNT,
        "symbol": order.symbol,
        "side": "Buy" if order.side > 0 else "Sell",
        "orderQty": order.quantity,
        "price": order.price,
        "currency": "USD",
        "settlCurrency": "XBt",
        "ordType": "Limit",
        "timeInForce": "GoodTillCancel",
        "ordStatus": order.status,
        "workingIndicator": order.open,
        "leavesQty": order.leaves,
        "cumQty": order.filled,
        "text": order.text,
        "transactTime": iso(order.changed_us),
        "timestamp": iso(order.changed_us),
    }
    if not order.cl_ord_id:
        del row["clOrdID"]
    return row
