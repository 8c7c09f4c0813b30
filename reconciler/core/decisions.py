"""
Decisions (what the core wants done) and facts (what follows from an event).

Both are outcomes of `step`. A decision is written to the journal with the event that led to it,
in one transaction, before a byte of it is sent. A fact needs no sending: it is kept for people,
for audit, and to be compared when the journal is replayed.

Units as in `reconciler.core.events`.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Decision(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """What every decision carries: a number of its own, never used again in this account."""

    request_id: int


class PlaceOrder(Decision, frozen=True, kw_only=True):
    """An intent: place one order. Sent at most once, ever."""

    cl_ord_id: str
    symbol: str
    contracts: int  # signed
    price: Decimal
    post_only: bool
    reduce_only: bool
    immediate: bool  # fill what can be filled now, cancel the rest
    expires_us: int  # venue time after which the venue must not let it in
    deadline_us: int  # our time after which it must not be sent
    target_version: int
    instrument_version: int
    position: int  # that it was planned from
    bid: Decimal | None  # the quote that it was planned from
    ask: Decimal | None
    mark: Decimal | None
    policy: str
    reason: str
    stage: str = ""  # of the policy: how it was priced
    policy_version: str = ""  # names the policy's settings, whatever its name
    rung: int = 0  # of the policy's stages, from 0


class AmendOrder(Decision, frozen=True, kw_only=True):
    """Change the price of a live order, and nothing else of it."""

    cl_ord_id: str
    symbol: str
    price: Decimal
    expires_us: int
    reason: str
    stage: str = ""  # as of an order that is placed
    policy_version: str = ""
    rung: int = 0


class CancelOrder(Decision, frozen=True, kw_only=True):
    """Cancel an own order, by its client order id. Harmless when repeated."""

    cl_ord_id: str
    symbol: str
    reason: str
    order_id: str = ""  # the venue's, when the client order id names two orders


class ReadOrder(Decision, frozen=True, kw_only=True):
    """Look up the order and the executions of one client order id."""

    cl_ord_id: str
    symbol: str
    reason: str


class ReadPosition(Decision, frozen=True, kw_only=True):
    """Look up the position of a symbol."""

    symbol: str
    reason: str


class Resync(Decision, frozen=True, kw_only=True):
    """Something can't be explained: read everything again from before the watermark."""

    reason: str


class ArmDeadMan(Decision, frozen=True, kw_only=True):
    """Ask the venue to cancel everything unless told again in time. 0 disarms."""

    timeout_ms: int


AnyDecision = PlaceOrder | AmendOrder | CancelOrder | ReadOrder | ReadPosition | Resync | ArmDeadMan


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """What every fact has: a kind. Its time and number are those of the event that caused it."""


class Transition(Fact, frozen=True, kw_only=True):
    """A symbol went from one state to another, along one row of the table."""

    symbol: str
    trigger: str
    from_state: str
    to_state: str
    cl_ord_id: str
    target_version: int
    dwell_us: int  # how long it had been in from_state
    detail: str = ""


class FillBooked(Fact, frozen=True, kw_only=True):
    """Contracts changed hands, and the ledger counts them."""

    exec_id: str
    symbol: str
    cl_ord_id: str  # the intent's; empty: foreign
    order_id: str
    type: str
    contracts: int  # signed
    price: Decimal | None
    fee_minor: int
    cost_minor: int
    currency: str
    liquidity: str
    venue_us: int
    target_version: int  # 0: foreign
    position: int  # after it


class FillShared(Fact, frozen=True, kw_only=True):
    """
    A strategy's part of a fill, or of what strategies passed among themselves (no exec_id).

    The parts of a fill add up to it: in contracts, in cost and in fee.
    """

    exec_id: str
    symbol: str
    strategy: str  # "": what is no strategy's
    contracts: int  # signed
    price: Decimal | None
    cost_minor: int
    fee_minor: int
    realised_minor: int  # profit of what it closed, by average cost, without fees
    currency: str
    position: int  # the strategy's, after it


class CashBooked(Fact, frozen=True, kw_only=True):
    """Funding was paid (above zero) or received."""

    exec_id: str
    symbol: str
    contracts: int  # the position that it was counted on
    price: Decimal | None
    fee_minor: int
    currency: str
    venue_us: int


class OrderChanged(Fact, frozen=True, kw_only=True):
    """
    What we know of an own order now. The newest one is the order's row.

    ``status`` is the intent's: intended, working, in_doubt, ended (over, but fills are missing),
    closed, refused, void.
    """

    cl_ord_id: str
    symbol: str
    status: str
    venue_status: str
    venue_order_id: str
    price: Decimal | None
    filled: int  # as the venue says, no sign
    booked: int  # as the stored fills say, no sign
    evidence: str  # why it is in this status


class PositionMoved(Fact, frozen=True, kw_only=True):
    """The books of a symbol, and the interval that the account could be in."""

    symbol: str
    contracts: int
    venue_contracts: int | None
    anchor: int | None
    worst_short: int
    worst_long: int


class WaitingFor(Fact, frozen=True, kw_only=True):
    """What a symbol waits for, in words; empty: it is on target and waits for nothing."""

    symbol: str
    what: str


class TargetClosed(Fact, frozen=True, kw_only=True):
    """A target is in force no more."""

    symbol: str
    version: int
    outcome: str  # replaced | expired
    now: int | None = None  # contracts wanted after it; None: none, or those of the next version


class TargetHeld(Fact, frozen=True, kw_only=True):
    """The position equals the target, proven by every account of it."""

    symbol: str
    version: int
    contracts: int
    position: int


class ModeEnded(Fact, frozen=True, kw_only=True):
    """A halt, a pause or reduce-only had an end, and has reached it."""

    symbol: str  # empty: the account
    mode: str  # halt | pause | reduce_only
    why: str


class IncidentOpened(Fact, frozen=True, kw_only=True):
    """Something happened that should not have."""

    incident_id: int
    severity: str  # warning | critical
    type: str
    symbol: str  # empty: the account
    summary: str


class IncidentClosed(Fact, frozen=True, kw_only=True):
    """It was repaired, or somebody decided."""

    incident_id: int
    decision: str
    by: str


AnyFact = (
    Transition
    | FillBooked
    | FillShared
    | CashBooked
    | OrderChanged
    | PositionMoved
    | WaitingFor
    | TargetClosed
    | TargetHeld
    | ModeEnded
    | IncidentOpened
    | IncidentClosed
)
