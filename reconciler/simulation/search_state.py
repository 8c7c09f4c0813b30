"""
A state of the search: the real ledger, the truth at the venue, and what is on its way between them.

Time is counted in units. Within a unit everything may happen in any order; the next unit begins
when nothing is overdue. *Now* is always the same moment: when time passes, every time that is
stored moves into the past instead, and what is older than anything asks for is called old. So two
states that differ only in when they were reached have the same bytes, and are one state.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import msgspec

from reconciler.core.events import OrderStatus, Started
from reconciler.core.ledger import NEVER_US, Book, Ledger
from reconciler.core.settings import Limits, Policy, Settings, Timing
from reconciler.simulation.search_pages import Page, page_at

SYMBOL = "XBTUSD"
UNIT_US = 10_000_000  # the core's fixed times (10 s, 30 s...) are then one unit, three units...
NOW_US = 1_790_000_000_000_000
STEM = "rc-s-1-"


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much may happen on one path. Counts of faults are per path, times are in units."""

    targets: tuple[int, ...] = (1, -1)  # the first is set at the start, the others at any time
    start: int = 0  # the position before
    orders: int = 3  # a path on which the core decides on one more is not followed
    crashes: int = 0
    drops: int = 0  # of the stream
    losses: int = 0  # requests that are given up without an answer
    refusals: int = 0  # at the venue's door, or by its engine
    ends: int = 0  # orders that the venue takes away by itself
    foreign: tuple[int, ...] = ()  # trades of somebody else, in this order, at any time
    audits: int = 0  # regular resyncs, at any time
    hold: int = 1  # the venue keeps an order no longer than this after it was let in
    in_order: bool = False  # commands are handled in order, and kept as long as the venue likes
    lag: int = 1  # a read shows all that is older
    patience: int = 1  # rows, answers and cancels take no longer; what does was lost
    leaps: bool = True  # what is no news arrives at once: see `search_news`
    core_hold: int = 1  # what the core assumes of the venue
    core_lag: int = 1

    @property
    def old(self) -> int:
        """The age at which every age is alike."""
        return max(self.hold, self.core_hold, self.lag, self.core_lag) + self.patience + 2


class Fill(msgspec.Struct, array_like=True):
    """An execution."""

    at_us: int
    contracts: int
    booked: bool = False  # by the core


class Row(msgspec.Struct, array_like=True, frozen=True):
    """An order as it was when a row of it was made."""

    number: int
    filled: int
    status: OrderStatus
    at_us: int


class Post(msgspec.Struct, array_like=True):
    """The one request that an intent may make, and the order that becomes of it."""

    number: int
    contracts: int
    reduce_only: bool
    expires_us: int
    low: int  # our fills must leave our position between these
    high: int
    phase: str = "wire"  # wire | queued | open | over | never
    at_us: int = NOW_US  # when the phase or the order last changed
    sent_us: int = NOW_US  # 0: nobody waits for its answer
    filled: int = 0
    status: OrderStatus = OrderStatus.NEW
    fills: list[Fill] = []

    @property
    def side(self) -> int:
        """+1 buys, -1 sells."""
        return 1 if self.contracts > 0 else -1

    @property
    def leaves(self) -> int:
        """Contracts still open, no sign."""
        return abs(self.contracts) - self.filled


class Cancel(msgspec.Struct, array_like=True):
    """A cancel on its way, or queued behind the order that it is to cancel."""

    number: int
    sent_us: int
    awaited: bool = True  # by the run that sent it
    queued: bool = False


class Reply(msgspec.Struct, array_like=True):
    """An answer on its way."""

    type: str
    number: int
    outcome: str
    row: Row | None
    at_us: int


class Change(msgspec.Struct, array_like=True, frozen=True):
    """Something happened at the venue. Reads may not show it for a while."""

    at_us: int
    number: int  # of the order; 0: somebody else's trade
    what: str  # in | fill | over


class State(msgspec.Struct, array_like=True, dict=True):
    """All of it: what is written here, and `page`, which holds the ledger."""

    posts: list[Post]
    cancels: list[Cancel]
    replies: list[Reply]
    order_rows: list[Row]  # the stream's tables, each in order
    execution_rows: list[tuple[int, int, int]]  # order, which of its fills, venue time
    position_rows: list[tuple[int, int]]  # contracts, venue time
    changes: list[Change]  # that a read may still hide
    others: list[Fill]  # trades of somebody else
    stream: str  # up | dead (not noticed yet) | down | joining | gone (so is the process)
    stream_us: int  # since then
    resync_us: int  # a resync that was asked for on a live stream began then; 0: none
    position_asked_us: int
    targets: int  # set so far
    crashes: int
    drops: int
    losses: int
    refusals: int
    ends: int
    audits: int
    beyond: bool = False  # the core wanted one order more than the bounds allow

    @property
    def page(self) -> Page:
        """Where the ledger stands."""
        page: Page = self.__dict__["page"]
        return page

    @page.setter
    def page(self, page: Page) -> None:
        self.__dict__["page"] = page

    @property
    def ledger(self) -> Ledger:
        """To be read only: other states have the same one."""
        return self.page.ledger

    @property
    def book(self) -> Book:
        """The only one."""
        return self.ledger.books[SYMBOL]

    def post(self, number: int) -> Post:
        """The order with that number."""
        return self.posts[number - 1]

    def own(self) -> int:
        """What our own fills add up to."""
        return sum(fill.contracts for post in self.posts for fill in post.fills)

    def foreign_booked(self) -> int:
        """What the core knows of the trades of others."""
        return sum(fill.contracts for fill in self.others if fill.booked)

    def request(self, kind: str, cl_ord_id: str = "") -> int:
        """The number of a request that has no answer yet; 0: there is none."""
        for number, request in self.ledger.requests.items():
            if request.type == kind and request.cl_ord_id == cl_ord_id:
                return int(number)
        return 0


def cl_ord_id_of(number: int) -> str:
    """What the core calls the order with that number."""
    return f"{STEM}{number:06d}"


def number_of(cl_ord_id: str) -> int:
    """And back."""
    return int(cl_ord_id[len(STEM) :].partition("/")[0])


def started() -> Started:
    """A run began. All runs bear one name: the running number tells their orders apart."""
    return Started(
        at_us=NOW_US, run_id="s", epoch=1, id_family="rc-", id_install="rc-s-", id_stem=STEM
    )


def settings_of(bounds: Bounds) -> Settings:
    """The core's settings: every time it waits for is a unit."""
    unit = UNIT_US
    timing = Timing(
        send_within_us=unit,
        quote_fresh_us=unit // 2,
        expires_after_us=unit,
        in_flight_deadline_us=unit,
        clock_margin_us=0,
        hold_us=bounds.core_hold * unit,
        read_lag_us=bounds.core_lag * unit,
        read_every_us=unit,
        cancel_again_us=unit,
        quarantine_us=2 * unit,
        position_grace_us=2 * unit,  # longer than a read may lag
        position_read_us=unit // 4,  # so that four times as much is one
        foreign_settle_us=unit,
        refusal_backoff_us=unit,
        refusal_backoff_max_us=unit,
    )
    policy = Policy(reprice_after_us=NEVER_US // 4, escalate_after_us=0)
    return Settings(
        symbols=(SYMBOL,),
        limits=Limits(max_orders_per_minute=1_000),
        policies={"passive": policy},
        timing=timing,
    )


_DECODER = msgspec.msgpack.Decoder(State)
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


class Bytes(NamedTuple):
    """The canonical bytes of a tidy state."""

    page: bytes
    rest: bytes

    @property
    def digest(self) -> bytes:
        """The name of the state."""
        return blake2b(self.rest + page_at(self.page).digest, digest_size=16).digest()


def encode(state: State) -> Bytes:
    """The canonical bytes of a tidy state."""
    return Bytes(state.page.data, _ENCODER.encode(state))


def decode(data: Bytes) -> State:
    """The state again, to be changed at will."""
    state = _DECODER.decode(data.rest)
    state.page = page_at(data.page)
    return state
