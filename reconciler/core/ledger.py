"""
The ledger: all that follows from the events so far. It can always be rebuilt from the journal.

For each symbol it keeps three accounts of one truth: the venue's position row; the anchor plus
the signed sum of booked executions; and for each own order the venue's count of its fills beside
our own. A new order needs all three to agree (see `reconciler.core.gate`).

Units as in `reconciler.core.events`.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from reconciler.core.events import (
    InstrumentSeen,
    MarginSeen,
    OrderStatus,
    Quoted,
    ScheduleSet,
    Share,
    Signalled,
    Started,
    StrategyChanged,
)
from reconciler.core.lifecycle import State
from reconciler.core.limits.results import Hit, Tally
from reconciler.core.settings import Settings

NEVER_US = 2**62  # later than any time that will come


class Doubt(msgspec.Struct, kw_only=True):
    """
    A request went out and nobody knows what became of it. Steps (a) to (d) end it, in this order.

    Any interruption of the stream begins them anew.
    """

    since_us: int
    why: str
    expired_us: int | None = None  # (a) since when no copy of the request can be let in any more
    barrier_us: int | None = None  # (b) when a cancel sent after (a) was known to change nothing
    empty_read_us: int | None = None  # (d) when the first empty look-up after (b) and (c) was asked


class Order(msgspec.Struct, kw_only=True):
    """An intent of ours and all the evidence about it."""

    cl_ord_id: str
    symbol: str
    contracts: int  # signed; the venue may have lowered it, if it is reduce-only
    asked: int  # contracts, as they were placed
    price: Decimal
    reduce_only: bool
    immediate: bool = False  # fills at once or not at all: it never rests
    post_only: bool = True
    rung: int = 0  # of its policy's stages
    policy_version: str = ""
    target_version: int
    position: int  # that it was planned from
    placed_us: int
    expires_us: int  # venue time
    policy: str
    request_id: int
    status: str = "intended"  # intended | working | in_doubt | ended | closed | refused | void
    venue_status: OrderStatus | None = None
    order_id: str = ""  # the venue's
    filled: int = 0  # as the venue says, no sign
    booked: int = 0  # as the stored fills say, no sign
    exec_ids: set[str] = msgspec.field(default_factory=set)
    over_us: int | None = None  # when a terminal row of it was first seen
    over_venue_us: int = 0
    seen_venue_us: int = 0  # venue time of the newest row
    working_us: int = 0  # when it was first seen alive
    doubt: Doubt | None = None
    cancel_id: int = 0  # the cancel that is out, or 0
    cancel_sent_us: int = 0  # when the newest cancel was decided; 0: none ever
    cancels: int = 0
    cancel_again_us: int = 0
    amend_id: int = 0
    amends: int = 0
    amended_from: Decimal | None = None
    price_in_doubt: bool = False
    priced_us: int = 0  # when its price was last chosen
    read_id: int = 0  # the look-up that is out, or 0
    read_asked_us: int = 0
    reads: int = 0
    read_again_us: int = 0
    quarantined_until_us: int = 0  # void, but still counted in the worst case
    zombie: bool = False  # it came back after it was thought over
    parts: dict[str, int] = {}  # signed contracts of it that are still to be filled, by strategy

    @property
    def side(self) -> int:
        """+1 buys, -1 sells."""
        return 1 if self.contracts > 0 else -1

    @property
    def alive(self) -> bool:
        """It may still trade, as far as we can prove."""
        return self.status in ("intended", "working", "in_doubt")

    @property
    def unbooked(self) -> int:
        """Signed contracts that could still be added to the books because of it."""
        if self.over_us is not None:
            return self.side * max(0, self.filled - self.booked)
        if self.alive or self.quarantined_until_us:
            return self.side * max(0, abs(self.contracts) - self.booked)
        return 0


class Work(msgspec.Struct, kw_only=True):
    """How far a policy has come with a target: see `ladder` and `slices`."""

    rung: int = 0  # of the policy's stages; it never falls while the gap is the same
    rung_since_us: int = 0
    why: str = ""  # it is on this rung
    arrival: Decimal | None = None  # the mid, at the first price for this gap
    path_us: int = 0  # what is spread over time begins then,
    path_from: int | None = None  # at this position


class Stranger(msgspec.Struct, kw_only=True):
    """A foreign order that is being cancelled."""

    request_id: int = 0  # the cancel that is out, or 0
    tries: int = 0
    again_us: int = 0


class Target(msgspec.Struct, kw_only=True):
    """The position that somebody wants."""

    contracts: int
    version: int
    source: str
    policy: str
    set_us: int
    expires_us: int | None
    on_expiry: str
    held: bool = False
    gap_since_us: int = 0  # since when there is a gap to work: for escalation
    deadline_us: int | None = None
    price: Decimal | None = None  # that the signal was given at
    shares: tuple[Share, ...] = ()
    work: Work = msgspec.field(default_factory=Work)


class Part(msgspec.Struct, kw_only=True):
    """What a strategy holds of a symbol, and what it made of it (see `portfolio.shares`)."""

    contracts: int = 0  # signed; nobody's are not counted here: they are what is left
    cost_contracts: int = 0  # of them, those whose cost is known
    cost_minor: int = 0
    realised_minor: int = 0  # by average cost, without fees
    fee_minor: int = 0  # above zero: paid
    funding_minor: int = 0


class Book(msgspec.Struct, kw_only=True):
    """All about one symbol."""

    symbol: str
    state: State = State.IDLE
    since_us: int = 0
    instrument: InstrumentSeen | None = None
    instrument_version: int = 0
    quote: Quoted | None = None
    target: Target | None = None
    version: int = 0  # of the newest target ever set
    version_us: int = 0  # when that was; it may be over since
    keys: dict[str, tuple[int, int, str]] = {}  # idempotency key: version, contracts, asked as
    netted: tuple[Share, ...] = ()  # shares of the newest target that a portfolio has set
    netted_expired: bool = False  # that target ran out, and no strategy has spoken since
    parts: dict[str, Part] = {}  # by strategy; "": what is nobody's

    anchor: int | None = None  # the venue's position at the first sure sight of it
    anchor_venue_us: int = 0  # of that sight: what others traded before is in it
    anchor_row: tuple[int, int] | None = None  # contracts, venue time: the anchor, if none is near
    anchor_read: tuple[int, int] | None = None  # the newest row that was looked up before it
    anchor_tries: int = 0  # rows that somebody traded too near to
    anchor_again_us: int = 0  # when to look again
    position: int = 0  # anchor and every booked execution and adjustment since
    venue_position: int | None = None
    venue_position_venue_us: int = 0
    confirmed: bool = False  # the venue's row came after the newest execution
    differs_since_us: int | None = None  # the row and the books have disagreed since
    moved_venue_us: int = 0  # venue time of what last moved one of the two
    repairs: int = 0  # resyncs asked for because of that
    position_id: int = 0  # the look-up that is out, or 0
    position_read_again_us: int = 0
    foreign_execs: dict[str, int] = {}  # execution id: venue time
    early: dict[str, tuple[int, int]] = {}  # before the anchor: id: (venue time, contracts)
    foreign_orders: dict[str, int] = {}  # venue order id: signed contracts still open
    foreign_names: dict[str, str] = {}  # of those, the client order ids, where there is one
    foreign_cancels: dict[str, Stranger] = {}  # of those, what is done to be rid of them
    foreign_until_us: int = 0  # a person just traded: let it settle

    orders: dict[str, Order] = {}  # every own order that a row may still speak of
    live: str = ""  # client order id of the one that the state speaks of
    strays: list[str] = []  # of others of ours that are, or may be, alive
    frozen: str = ""  # why no new order may be written until somebody decides
    frozen_by: str = ""  # the kind of incident that froze it
    frozen_until_us: int | None = None  # of a freeze by hand: then that ends by itself
    halted: str = ""
    halted_until_us: int | None = None
    mode: str = ""  # pause | flatten | reduce_only; "": none
    mode_why: str = ""
    mode_until_us: int | None = None
    refusals: int = 0
    refused_until_us: int = 0
    placed_us: list[int] = []  # of the orders in the last minute
    amended_us: list[int] = []  # of the amends in the last minute
    orders_day: int = -1  # of UTC; orders_today counts its orders
    orders_today: int = 0
    futile_us: list[int] = []  # of the orders since the newest own fill: for the throttle
    changes: list[int] = []  # the newest changes of the target, without sign: what is usual

    mark: Decimal | None = None  # the newest that was seen
    paid_minor: int | None = None  # for what is held, and all before; None: no mark yet
    result: Tally = msgspec.field(default_factory=Tally)
    liquidation_price: Decimal | None = None  # of the newest position row
    entry_price: Decimal | None = None  # of the same row; for people
    hits: dict[str, Hit] = {}  # limits of money that were reached
    settled_day: int = -1  # of UTC; settled_today counts its mismatches settled by rule
    settled_today: int = 0

    waiting_for: str = ""
    waiting_since_us: int = 0
    wake_us: int = NEVER_US
    wants_quote: bool = False

    @property
    def order(self) -> Order | None:
        """The one order that the state speaks of."""
        return self.orders[self.live] if self.live else None

    @property
    def may_place(self) -> bool:
        """Whether an order may follow the next row: no order works, and there is a gap."""
        if self.target is None or self.state in (State.PLACING, State.WORKING):
            return False
        return self.target.contracts != self.position

    def own_orders(self) -> list[Order]:
        """The symbol's orders that may still trade or still lack fills, the state's own first."""
        names = [self.live, *self.strays] if self.live else self.strays
        return [*map(self.orders.__getitem__, names)]

    def worst_case(self, count_foreign: bool = True) -> tuple[int, int]:
        """The lowest and the highest position that the account could come to have."""
        low = high = self.position
        pending = [*self.foreign_orders.values()] if count_foreign else []
        for order in self.own_orders():
            pending.append(order.unbooked)
        for contracts in pending:
            if contracts > 0:
                high += contracts
            else:
                low += contracts
        return low, high

    def wanted_at(self, at_us: int) -> int | None:
        """What is wanted then; None: nothing. What ran out is over, though nobody has looked."""
        target = self.target
        if target is None:
            return None
        if target.expires_us is None or at_us < target.expires_us:
            return target.contracts
        return 0 if target.on_expiry == "flatten" else None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request that went out and has no answer yet."""

    type: str  # the decision's kind
    asked_us: int
    symbol: str = ""
    cl_ord_id: str = ""


class Ledger(msgspec.Struct, kw_only=True):
    """The whole account."""

    at_us: int = 0  # of the newest event
    run: Started | None = None
    settings: Settings = Settings()
    books: dict[str, Book] = {}
    requests: dict[str, Request] = {}  # by request id, as text
    next_request_id: int = 1
    next_order_number: int = 1
    next_incident_id: int = 1
    incidents: dict[str, int] = {}  # open ones: "type symbol", and their numbers

    in_sync: bool = False
    synced_us: int = 0
    sync_asked_us: int | None = None  # a Resync is under way since
    sync_again_us: int = 0  # one failed: not another before
    watermark_us: int = 0  # venue time before which every execution is stored
    horizon_us: int = 0  # rows older than this are known and forgotten
    clock_offset_us: int = 0
    clock_error_us: int | None = None  # None: never measured
    clock_at_us: int = 0
    throttled_until_us: int = 0
    throttled_why: str = ""
    placed_us: list[int] = []  # of the account's orders in the last minute
    halted: str = ""
    halted_until_us: int | None = None
    frozen: str = ""
    frozen_until_us: int | None = None
    mode: str = ""  # as a book's, of the account
    mode_why: str = ""
    mode_until_us: int | None = None
    modes_end_us: int = NEVER_US  # when the next halt, mode or freeze ends by itself
    stopping: str = ""
    keep_orders: bool = False
    dead_man_acked_us: int = 0
    dead_man_asked_us: int = 0
    dead_man_armed: bool = False
    margins: dict[str, MarginSeen] = {}
    margins_told: list[str] = []  # of which currencies, since the stream was lost
    orders_day: int = -1  # as a book's, of the account
    orders_today: int = 0
    results: dict[str, Tally] = {}  # "XBt margin": the balance; "XBt books": of all symbols
    hits: dict[str, Hit] = {}
    signals: dict[str, dict[str, Signalled]] = {}  # in force, by symbol and strategy
    next_signal_number: int = 1
    strategies: dict[str, StrategyChanged] = {}  # the newest word of each
    schedules: dict[str, ScheduleSet] = {}  # in force, by name
    schedule_done: dict[str, int] = {}  # by name: rows that came due so far

    def book(self, symbol: str) -> Book:
        """
        The book of *symbol*, opened when it is first needed.

        Books stand in the order of their symbols, as they do in a snapshot: symbols that act in
        the same turn get the same numbers, whether the ledger was loaded or has grown.
        """
        book = self.books.get(symbol)
        if book is None:
            book = Book(symbol=symbol)
            self.books = dict(sorted([*self.books.items(), (symbol, book)]))
        return book

    def result_of(self, name: str) -> Tally:
        """The figure called *name*, noted from now on."""
        return self.results.setdefault(name, Tally())

    def venue_now_us(self) -> int:
        """Our best estimate of the venue's time at the newest event."""
        return self.at_us + self.clock_offset_us

    def clock_is_good(self) -> bool:
        """Whether the venue's time is known to a second."""
        error = self.clock_error_us
        return (
            error is not None and error <= 1_000_000 and self.at_us - self.clock_at_us < 120_000_000
        )

    def own_alive(self) -> Iterator[Order]:
        """Every own order that may still trade."""
        for book in self.books.values():
            for order in book.own_orders():
                if order.alive:
                    yield order

    def next_wake_us(self) -> int:
        """When the core wants a `Tick`."""
        wake = self.own_wake_us()
        for book in self.books.values():  # asked after every event: a plain loop is the fastest
            if book.wake_us < wake:
                wake = book.wake_us
        return wake

    def own_wake_us(self) -> int:
        """When the account itself, rather than a symbol, wants a `Tick`."""
        wake = self.modes_end_us
        for request in self.requests.values():
            wake = min(wake, request.asked_us + NO_ANSWER_US)
        if not self.in_sync:
            return wake
        if self.sync_asked_us is None:
            wake = min(wake, max(self.synced_us + AUDIT_EVERY_US, self.sync_again_us))
        if self.settings.dead_man_us:
            if not self.stopping or (self.dead_man_armed and not any(self.own_alive())):
                wake = min(wake, self.dead_man_due_us())
        return wake

    def dead_man_due_us(self) -> int:
        """When the venue is to be asked again to arm its switch, or at the end to disarm it."""
        if self.stopping:
            return self.dead_man_asked_us + DISARM_AGAIN_US
        wait_us = self.settings.dead_man_us // 4
        if self.dead_man_acked_us < self.dead_man_asked_us:  # it did not work: no order until then
            wait_us = min(wait_us, ARM_AGAIN_US)
        return self.dead_man_asked_us + wait_us


AUDIT_EVERY_US = 30_000_000  # a look at everything, in case a row was lost without a trace
NO_ANSWER_US = 60_000_000  # a request that nobody answered by then is in doubt, whoever forgot it
SYNC_AGAIN_US = 5_000_000
DISARM_AGAIN_US = 1_000_000
ARM_AGAIN_US = 5_000_000  # the venue does not want to be asked more often
