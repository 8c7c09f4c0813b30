"""
Events: the facts that reached us, each complete in itself.

An event is all that the core ever learns from. It is decoded once, at the edge, written to the
journal, and given to `step`; given again, to a fresh ledger, it has the same effect. No name of
a venue's field is known here.

Times are integer microseconds since the epoch, UTC. ``at_us`` is when the event reached us, by a
clock that never runs backwards within a run; ``venue_us`` is the venue's own time.
Contracts are signed integers (below zero: sold, or short). Money is in integer minor units of
its currency. Prices are exact decimals in quote currency.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Literal

import msgspec

from reconciler.core.settings import Settings


class Source(enum.StrEnum):
    """Where a row was seen. Only rows of one source are in order among themselves."""

    STREAM = "stream"
    REPLY = "reply"  # the answer to a request of ours
    READ = "read"  # looked up on purpose


class OrderStatus(enum.StrEnum):
    """What the venue says of an order."""

    NEW = "new"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    PENDING = "pending"  # a request about it is queued at the venue
    UNKNOWN = "unknown"  # a word we don't know: it must be looked up


#: Statuses after which an order trades no more.
OVER = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
)


class ExecutionKind(enum.StrEnum):
    """What an execution row reports. Only the first four move the position."""

    TRADE = "trade"
    LIQUIDATION = "liquidation"
    BANKRUPTCY = "bankruptcy"
    SETTLEMENT = "settlement"
    FUNDING = "funding"  # cash only
    ORDER_STATE = "order_state"  # new, cancelled, replaced...: evidence that an order exists
    UNKNOWN = "unknown"  # freezes its symbol


class Outcome(enum.StrEnum):
    """How a request of ours ended, as far as anybody can know."""

    DONE = "done"  # the venue acted; rows with the same answer came just before
    REFUSED = "refused"  # a definite no: nothing changed at the venue
    NOTHING = "nothing"  # a cancel (or amend) that definitely changed nothing; it proves no more
    IN_DOUBT = "in_doubt"  # no usable answer: it may or may not have happened
    NOT_SENT = "not_sent"  # proven: not one byte left


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """What every event carries."""

    at_us: int


class Started(Event, frozen=True, kw_only=True):
    """A run of the program began. Whatever was unanswered before it is in doubt now."""

    run_id: str
    epoch: int  # rises with every run that may write
    id_family: str  # "rc-": client order ids of every installation of this program
    id_install: str  # "rc-k3f9-": those of this installation
    id_stem: str  # "rc-k3f9-12-x7q2ab-": those of this run; a running number follows
    mode: str = "run"  # "run", or "command": a target was written with no service running


class Configured(Event, frozen=True, kw_only=True):
    """The settings that change decisions, whole."""

    settings: Settings


class Stopping(Event, frozen=True, kw_only=True):
    """An orderly stop was asked for: no new orders; own orders are cancelled unless kept."""

    reason: str
    keep_orders: bool = False


class InstrumentSeen(Event, frozen=True, kw_only=True):
    """The trading rules of a symbol, at first sight and whenever one of them changed."""

    symbol: str
    open: bool  # the venue accepts orders
    state: str  # the venue's own word
    lot: int  # contracts; quantities are whole multiples
    tick: Decimal  # prices are whole multiples
    max_contracts: int | None
    max_price: Decimal | None
    inverse: bool
    quanto: bool
    multiplier: int
    settle_currency: str
    quote_currency: str
    maker_fee: Decimal
    taker_fee: Decimal


class Quoted(Event, frozen=True, kw_only=True):
    """
    The prices that a decision is about to use, when the ledger wants them.

    An event of its own, or part of the row after which an order is likely: one turn, not two.
    """

    symbol: str
    bid: Decimal | None
    ask: Decimal | None
    mark: Decimal | None
    age_us: int = 0  # how long before at_us the venue last said so
    last: Decimal | None = None  # price of the newest public trade
    bid_contracts: int | None = None  # resting at the best bid; None: not known
    ask_contracts: int | None = None


class OrderSeen(Event, frozen=True, kw_only=True):
    """A row of the venue's order table, merged with what was known of the order."""

    symbol: str
    order_id: str  # the venue's
    cl_ord_id: str  # ours; empty when the order has none
    contracts: int  # signed total
    filled: int  # contracts filled so far, no sign
    leaves: int  # contracts still open, no sign
    price: Decimal | None
    status: OrderStatus
    source: Source
    venue_us: int
    text: str = ""
    quote: Quoted | msgspec.UnsetType = msgspec.UNSET  # prices that came at the same moment


class ExecutionSeen(Event, frozen=True, kw_only=True):
    """A row of the venue's execution table. Applying it twice changes nothing."""

    exec_id: str
    symbol: str
    order_id: str
    cl_ord_id: str
    type: ExecutionKind
    contracts: int  # signed; 0 for rows that move none
    price: Decimal | None
    order_filled: int  # the order's running total after this row, no sign
    fee_minor: int  # above zero: paid
    cost_minor: int
    currency: str  # that fee and cost are in
    liquidity: str  # "maker", "taker" or ""
    source: Source
    venue_us: int
    text: str = ""
    quote: Quoted | msgspec.UnsetType = msgspec.UNSET  # prices that came at the same moment


class PositionSeen(Event, frozen=True, kw_only=True):
    """A row of the venue's position table. It checks the ledger and never leads it."""

    symbol: str
    contracts: int
    source: Source
    venue_us: int
    entry_price: Decimal | None = None
    liquidation_price: Decimal | None = None
    quote: Quoted | msgspec.UnsetType = msgspec.UNSET


class MarginSeen(Event, frozen=True, kw_only=True):
    """Balances of one currency."""

    currency: str
    wallet_minor: int
    margin_minor: int
    available_minor: int
    unrealised_minor: int


class StreamLost(Event, frozen=True, kw_only=True):
    """The stream is gone or can't be trusted. Nothing is in sync until the next `Synced`."""

    reason: str


class Synced(Event, frozen=True, kw_only=True):
    """
    A full resync has passed; its rows came as events just before.

    Attributes:
        watermark_us: Venue time before which every execution is now known.
        open_order_ids: The venue's ids of every order that rests on the account.
    """

    watermark_us: int
    open_order_ids: tuple[str, ...]


class ClockMeasured(Event, frozen=True, kw_only=True):
    """Venue time is ``at_us + offset_us``, give or take ``error_us``."""

    offset_us: int
    error_us: int


class Answered(Event, frozen=True, kw_only=True):
    """A request of ours ended."""

    request_id: int
    outcome: Outcome
    code: str = ""  # "rate_limited", "overloaded", "timeout"...: for people and for back-off
    status: int | None = None  # HTTP
    text: str = ""  # what the venue said, cut short and without secrets
    retry_after_us: int = 0
    venue_order_id: str = ""


class OrderRead(Event, frozen=True, kw_only=True):
    """A look-up of one order by its client order id succeeded; its rows came just before."""

    request_id: int
    cl_ord_id: str
    orders: int  # rows found
    executions: int


class Throttled(Event, frozen=True, kw_only=True):
    """The venue's request budget is down to the reserve for cancels until a moment."""

    until_us: int
    reason: str


class DeadManAcked(Event, frozen=True, kw_only=True):
    """The venue promised to cancel everything at ``cancel_us`` unless told again."""

    timeout_ms: int  # 0: disarmed


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a target is whose: the shares of a target add up to its contracts."""

    strategy: str  # identifier of the instance, as EmaCross_XBTUSD_15s_1
    contracts: int  # signed
    signal: int  # number of the signal that asks for it; 0: what rounding left over
    weight: str  # what the strength was multiplied with, as text


class TargetSet(Event, frozen=True, kw_only=True):
    """Somebody wants a position. Checked before it became an event."""

    symbol: str
    contracts: int
    version: int
    source: str
    reason: str = ""
    policy: str = ""
    key: str = ""  # makes a repeat harmless
    expires_us: int | None = None
    on_expiry: str = "hold"  # hold | flatten | freeze
    quote: Quoted | msgspec.UnsetType = msgspec.UNSET
    deadline_us: int | None = None  # to be held by then: policies try harder as it comes near
    price: Decimal | None = None  # that the signal was given at
    asked: str = ""  # the form it was asked in, if not in contracts: "by +500", "2.5 % of equity"
    shares: tuple[Share, ...] = ()  # of a portfolio; none: nobody's but the source's
    schedule: str = ""  # "NAME/NUMBER": the row of a schedule that has come due


class TargetRefused(Event, frozen=True, kw_only=True):
    """Somebody wanted a position, and a rule said no. Nothing follows: it is kept for audit."""

    symbol: str
    contracts: int | None
    source: str
    code: str  # of the error, as "stale_version"
    text: str
    reason: str = ""
    key: str = ""
    schedule: str = ""  # "NAME/NUMBER": the row of a schedule that came due, and was refused


class Signalled(Event, frozen=True, kw_only=True):
    """A strategy has an opinion. The newest of a strategy about a symbol is the one in force."""

    number: int  # 1, 2, 3… over the life of the journal
    strategy: str
    symbol: str
    strength: Decimal  # signed; what it is worth in contracts, a portfolio says
    reason: str = ""
    price: Decimal | None = None  # that it was given at


class StrategyChanged(Event, frozen=True, kw_only=True):
    """A strategy was started, stopped, or failed."""

    strategy: str
    state: str  # running | stopped | failed
    detail: str = ""
    parameters: str = ""  # JSON


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a schedule: from this moment on, this target."""

    due_us: int
    symbol: str
    contracts: int
    policy: str = ""
    reason: str = ""


class ScheduleSet(Event, frozen=True, kw_only=True):
    """A table of times and targets, whole, under a name. No rows: there is none any more."""

    name: str
    rows: tuple[ScheduleRow, ...]  # in the order of their times
    source: str
    reason: str = ""


class ModeSet(Event, frozen=True, kw_only=True):
    """
    How far symbols may trade. No symbols: the account.

    ``pause``: no order at all, what is held is kept. ``reduce_only``: only toward zero.
    ``flatten``: to zero, whatever the target. ``freeze``: as a freeze of the core's own. "" ends
    the others.
    """

    mode: str  # pause | reduce_only | flatten | freeze | ""
    by: str
    reason: str
    symbols: tuple[str, ...] = ()
    until_us: int | None = None  # then it ends by itself


class Halted(Event, frozen=True, kw_only=True):
    """Stop: cancel own orders and send nothing more. No symbols: everything."""

    by: str
    reason: str
    symbols: tuple[str, ...] = ()
    until_us: int | None = None  # then it ends by itself


class Resumed(Event, frozen=True, kw_only=True):
    """
    End a halt or a freeze. No symbols: everything.

    With ``adopt``, an order whose last fills can't be found is closed short, in the name of *by*.
    """

    by: str
    reason: str
    symbols: tuple[str, ...] = ()
    adopt: bool = False


class Adjusted(Event, frozen=True, kw_only=True):
    """Somebody with a name moved the books, without a fill, for a reason. It can be reversed."""

    symbol: str
    contracts: int  # signed difference
    by: str
    reason: str


class Resolved(Event, frozen=True, kw_only=True):
    """
    Somebody decides an incident; an `Adjusted` beside it, if books and venue differ.

    ``adopt`` and ``trade_back`` end a freeze of its symbol. ``ignore`` ends none.
    """

    incident_id: int
    decision: Literal["adopt", "trade_back", "ignore"]
    by: str
    reason: str


class Tick(Event, frozen=True, kw_only=True):
    """Time has passed: the moment that the ledger asked to be woken at has come."""


#: Events that may bring the prices for the order that follows from them.
Priced = OrderSeen | ExecutionSeen | PositionSeen | TargetSet

AnyEvent = (
    Started
    | Configured
    | Stopping
    | InstrumentSeen
    | Quoted
    | OrderSeen
    | ExecutionSeen
    | PositionSeen
    | MarginSeen
    | StreamLost
    | Synced
    | ClockMeasured
    | Answered
    | OrderRead
    | Throttled
    | DeadManAcked
    | TargetSet
    | TargetRefused
    | Signalled
    | StrategyChanged
    | ScheduleSet
    | ModeSet
    | Halted
    | Resumed
    | Adjusted
    | Resolved
    | Tick
)
