"""
An order as the venue keeps it, and as BitMEX writes it (protocol sheet, sections 4.1, 5, 10.1).

Prices are integer ticks here; `row` makes the null-stripped 2025 row of the ``order`` table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from .instruments import Instrument, plain, shown
from .market import BUY
from .times import iso

Row = dict[str, object]

NEW = "New"
PARTIAL = "PartiallyFilled"
FILLED = "Filled"
CANCELED = "Canceled"
REJECTED = "Rejected"
EXPIRED = "Expired"
PENDING_CANCEL = "PendingCancel"  # since 2024: asked for, and not done yet (section 4.4)
TERMINAL = frozenset({FILLED, CANCELED, REJECTED, EXPIRED})

POST_ONLY = "ParticipateDoNotInitiate"
REDUCE_ONLY = "ReduceOnly"
CLOSE = "Close"
FIXED = "Fixed"
LAST_WITHIN_MARK = "LastWithinMark"
TRIGGERS = ("MarkPrice", "LastPrice", "IndexPrice")  # the first is the default (section 4.1)
SUBMITTED = "Submitted via API."

STOPS = frozenset({"Stop", "StopLimit"})
TOUCHES = frozenset({"MarketIfTouched", "LimitIfTouched"})
WAITING = STOPS | TOUCHES  # types that rest untriggered until a price is reached
AT_MARKET = frozenset({"Market", "Stop", "MarketIfTouched"})  # types without a limit price
TRAILING = "TrailingStopPeg"
OCO = "OneCancelsTheOther"
OTO = "OneTriggersTheOther"


@dataclass(slots=True, kw_only=True)
class NewOrder:
    """A placement that passed the checks of its form. Nothing has looked at the market yet."""

    instrument: Instrument
    side: int
    qty: int | None  # contracts; None only for Close: the whole position
    ticks: int | None  # None: at market
    ord_type: str
    tif: str
    exec_inst: tuple[str, ...] = ()
    cl_ord_id: str = ""
    cl_ord_link_id: str = ""
    display_qty: int | None = None
    stop_ticks: int | None = None
    peg_type: str = ""
    peg_offset: int | None = None  # ticks
    contingency: str = ""
    slippage: Decimal | None = None  # most percent from the touch; None: no limit
    expiry_ms: int | None = None
    order_id: str = ""  # as the trader wants it; empty: the venue names it
    text: str = ""
    strategy: str = "OneWay"


@dataclass(slots=True, kw_only=True)
class Order:
    """One order from placement to end."""

    order_id: str
    account: int
    instrument: Instrument
    side: int
    qty: int  # contracts, in total
    ticks: int | None
    ord_type: str
    tif: str
    exec_inst: tuple[str, ...]
    cl_ord_id: str
    text: str
    placed_ms: int
    seq: int  # order of arrival at the venue
    cl_ord_link_id: str = ""
    display_qty: int | None = None
    stop_ticks: int | None = None
    peg_type: str = ""
    peg_offset: int | None = None  # ticks
    peg_base: Decimal | None = None  # the reference when the stop price was last pegged
    pegged_ms: int = 0  # market time
    contingency: str = ""
    slippage: Decimal | None = None
    linked: bool = False  # waits for the primary order of its link (OTO)
    triggered: str = ""
    whole: bool = False  # Close without a quantity: the position decides when it triggers
    strategy: str = "OneWay"
    status: str = NEW
    working: bool = False
    leaves: int = 0
    cum: int = 0
    traded: Decimal | None = None  # average of fills, unrounded
    reject_reason: str = ""
    transact_ms: int = 0  # when a request or a trigger last changed it; fills do not (10.1)
    filled_ms: int = 0  # when it last traded
    changed_ms: int = 0
    sent: Row | None = None
    versions: list[tuple[int, Row]] = field(default_factory=list)  # rows by time, newest last
    reduce_only: bool = field(init=False)  # asked for whenever a position changes

    def __post_init__(self) -> None:
        self.reduce_only = REDUCE_ONLY in self.exec_inst or CLOSE in self.exec_inst

    @property
    def side_name(self) -> str:
        return "Buy" if self.side == BUY else "Sell"

    @property
    def open(self) -> bool:
        return self.status not in TERMINAL

    @property
    def price(self) -> Decimal | None:
        return None if self.ticks is None else self.instrument.price(self.ticks)

    @property
    def stop_px(self) -> Decimal | None:
        return None if self.stop_ticks is None else self.instrument.price(self.stop_ticks)

    @property
    def untriggered(self) -> bool:
        """Open, and outside the market until a price is reached."""
        return self.open and self.ord_type in WAITING and not self.triggered

    @property
    def dormant(self) -> bool:
        """Open, and outside the market until a price or another order lets it in."""
        return self.untriggered or (self.open and self.linked)

    def fill(self, contracts: int, price: Decimal) -> None:
        """Count a trade; the status follows."""
        self.traded = self.instrument.average(self.cum, self.traded, contracts, price)
        self.cum += contracts
        self.leaves -= contracts
        self.status = FILLED if self.leaves == 0 else PARTIAL
        if self.status == FILLED:
            self.working = False

    def hurry(self) -> None:
        """It enters the market: at market that is now or never, though it was to wait for a day."""
        if self.ord_type in AT_MARKET and self.tif == "Day":
            self.tif = "ImmediateOrCancel"

    def end(self, status: str, text: str) -> None:
        """Finish without filling the rest."""
        self.status, self.text = status, text
        self.working, self.leaves = False, 0

    def identity(self) -> Row:
        """What every row about this order carries."""
        row: Row = {"orderID": self.order_id}
        if self.cl_ord_id:
            row["clOrdID"] = self.cl_ord_id
        row["account"] = self.account
        row["symbol"] = self.instrument.symbol
        return row

    def row(self) -> Row:
        """The full row, without nulls."""
        inst = self.instrument
        row = self.identity()
        if self.cl_ord_link_id:
            row["clOrdLinkID"] = self.cl_ord_link_id
        row["side"] = "Buy" if self.side == BUY else "Sell"
        row["orderQty"] = self.qty
        if self.ticks is not None:
            row["price"] = inst.price(self.ticks)
        if self.display_qty is not None:
            # As asked, and never more than there is, whoever made the order smaller.
            row["displayQty"] = min(self.display_qty, self.qty)
        if self.stop_ticks is not None:
            row["stopPx"] = inst.price(self.stop_ticks)
        if self.peg_type:
            row["pegPriceType"] = self.peg_type
        if self.peg_offset is not None:
            row["pegOffsetValue"] = plain(inst.tick * self.peg_offset)
        row["currency"] = inst.quote
        if not inst.base:  # spot settles in what it is quoted in
            row["settlCurrency"] = inst.settle
        row["ordType"] = self.ord_type
        row["timeInForce"] = self.tif
        if self.exec_inst:
            row["execInst"] = ",".join(self.exec_inst)
        if self.contingency:
            row["contingencyType"] = self.contingency
        row["ordStatus"] = self.status
        if self.triggered:
            row["triggered"] = self.triggered
        row["workingIndicator"] = self.working
        if self.reject_reason:
            row["ordRejReason"] = self.reject_reason
        row["leavesQty"] = self.leaves
        row["cumQty"] = self.cum
        if self.traded is not None:
            row["avgPx"] = shown(self.traded)
        if self.slippage is not None:
            row["maxSlippagePct"] = plain(self.slippage)
        row["strategy"] = self.strategy
        row["text"] = self.text
        row["transactTime"] = iso(self.transact_ms)
        row["timestamp"] = iso(self.changed_ms)
        return row
