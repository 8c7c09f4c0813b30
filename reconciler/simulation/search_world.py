"""One move of the search: the venue acts, the wire carries, or the real core takes a `step`."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.ledger import Book, Ledger
from reconciler.core.step import recall
from reconciler.core.step import step as real_step
from reconciler.simulation import search_judge as judge
from reconciler.simulation.search_pages import Led, Page, page_of
from reconciler.simulation.search_state import (
    NOW_US,
    SYMBOL,
    UNIT_US,
    Bounds,
    Cancel,
    Change,
    Fill,
    Post,
    Reply,
    Row,
    State,
    cl_ord_id_of,
    number_of,
    settings_of,
    started,
)
from reconciler.simulation.search_tidy import plain

BID, ASK, MARK = Decimal(100), Decimal("100.5"), Decimal("100.2")
QUOTE = e.Quoted(at_us=NOW_US, symbol=SYMBOL, bid=BID, ask=ASK, mark=MARK)
INSTRUMENT = e.InstrumentSeen(
    at_us=NOW_US,
    symbol=SYMBOL,
    open=True,
    state="Open",
    lot=1,
    tick=Decimal("0.5"),
    max_contracts=None,
    max_price=None,
    inverse=True,
    quanto=False,
    multiplier=-100_000_000,
    settle_currency="XBt",
    quote_currency="USD",
    maker_fee=Decimal(0),
    taker_fee=Decimal(0),
)
CLOCK = e.ClockMeasured(at_us=NOW_US, offset_us=0, error_us=0)


class World:
    """A state that something is done to."""

    def __init__(self, state: State, bounds: Bounds, fold_one_in: int = 0) -> None:
        self.state = state
        self.bounds = bounds
        self.fold_one_in = fold_one_in  # pages go by for one where `recall` must end as `step` does
        self.decided: list[d.AnyDecision] = []
        self.facts: list[d.AnyFact] = []

    # -- the core --------------------------------------------------------------------------------

    def feed(self, event: e.AnyEvent) -> None:
        """Step, judge, and put what was decided on the wire."""
        page = self.state.page
        led = page.after.get(event)
        is_new = led is None
        if led is None:
            led = page.after[event] = self.step(page, event)
        self.state.page = led.page
        self.facts.extend(led.facts)
        self.decided.extend(led.decisions)
        judge.judge_facts(self.state, led.facts)
        for decision in led.decisions:
            self._send(decision)
        if is_new:  # what harm it does is judged first, and is not hidden by how it came about
            self.check(page, event, led)
        if self.state.book.wants_quote:
            self.feed(QUOTE)

    def step(self, page: Page, event: e.AnyEvent) -> Led:
        """The real thing."""
        ledger = page.fresh()
        outcome = real_step(ledger, event)
        return Led(page_of(ledger), tuple(outcome.decisions), tuple(outcome.facts))

    def check(self, page: Page, event: e.AnyEvent, led: Led) -> None:
        """The journal would tell the same; when prices come makes no difference."""
        if self.fold_one_in and page.digest[0] % self.fold_one_in == 0:
            _check_fold(page.fresh(), event, led)
        self._check_quote(page, event, led)

    def _check_quote(self, page: Page, event: e.AnyEvent, bare: Led) -> None:
        """A row that brings the prices along does what it does if they are asked for after it."""
        if not isinstance(event, e.Priced) or isinstance(event.quote, e.Quoted):
            return
        if not (_the_book(page.ledger).may_place or isinstance(event, e.TargetSet)):
            return  # the engine does not look for prices then
        priced = msgspec.structs.replace(event, quote=QUOTE)
        whole = self.step(page, priced)
        self.check(page, priced, whole)
        decided = bare.decisions
        if _the_book(bare.page.ledger).wants_quote:
            bare = self.step(bare.page, QUOTE)
            decided += bare.decisions
        if _nameless(whole.decisions) != _nameless(decided):
            raise judge.Broken(f"{event} with prices: {whole.decisions}, without: {decided}")
        if plain(whole.page, self.bounds) is not plain(bare.page, self.bounds):
            raise judge.Broken(f"{event} with prices leads to another ledger")

    def _send(self, decision: d.AnyDecision) -> None:
        state = self.state
        match decision:
            case d.PlaceOrder():
                judge.judge_place(state, decision)
                state.beyond = len(state.posts) >= self.bounds.orders
                state.posts.append(self._post(decision))
            case d.CancelOrder():
                state.cancels.append(Cancel(number_of(decision.cl_ord_id), NOW_US))
            case d.ReadPosition():
                state.position_asked_us = NOW_US
            case d.Resync():
                if state.stream == "up":
                    state.resync_us = NOW_US
            case d.ReadOrder():
                pass  # the ledger knows since when
            case _:
                raise judge.Broken(f"nobody asked for {decision}")

    def _post(self, asked: d.PlaceOrder) -> Post:
        state = self.state
        assert state.book.target is not None
        foreign = state.foreign_booked()
        start, goal = asked.position - foreign, state.book.target.contracts - foreign
        return Post(
            number=number_of(asked.cl_ord_id),
            contracts=asked.contracts,
            reduce_only=asked.reduce_only,
            expires_us=asked.expires_us,
            low=min(start, goal),
            high=max(start, goal),
        )

    # -- what the venue shows ----------------------------------------------------------------------

    def position(self) -> int:
        """The truth."""
        return judge.venue_position(self.state, self.bounds)

    def row_of(self, post: Post) -> Row:
        """The order as it is."""
        return Row(post.number, post.filled, post.status, post.at_us)

    def show_order(self, post: Post) -> None:
        """Its row sets out on the stream, if there is one."""
        if self.state.stream in ("up", "joining"):
            self.state.order_rows.append(self.row_of(post))

    def show_fill(self, number: int, index: int) -> None:
        """So do the rows of a trade."""
        if self.state.stream in ("up", "joining"):
            self.state.execution_rows.append((number, index, NOW_US))
            self.state.position_rows.append((self.position(), NOW_US))

    def order_event(self, row: Row, source: e.Source) -> e.OrderSeen:
        """A row of the order table."""
        post = self.state.post(row.number)
        over = row.status in e.OVER
        return e.OrderSeen(
            at_us=NOW_US,
            symbol=SYMBOL,
            order_id=f"v{row.number}",
            cl_ord_id=cl_ord_id_of(row.number),
            contracts=post.contracts,
            filled=row.filled,
            leaves=0 if over else abs(post.contracts) - row.filled,
            price=BID if post.contracts > 0 else ASK,
            status=row.status,
            source=source,
            venue_us=row.at_us,
        )

    def execution_event(self, number: int, index: int, source: e.Source) -> e.ExecutionSeen:
        """A row of the execution table; order 0 is somebody else's."""
        fills = self.state.post(number).fills if number else self.state.others
        fill = fills[index]
        return e.ExecutionSeen(
            at_us=NOW_US,
            exec_id=f"x{number}.{index}",
            symbol=SYMBOL,
            order_id=f"v{number}" if number else f"f{index}",
            cl_ord_id=cl_ord_id_of(number) if number else "",
            type=e.ExecutionKind.TRADE,
            contracts=fill.contracts,
            price=BID,
            order_filled=sum(abs(f.contracts) for f in fills[: index + 1]) if number else 1,
            fee_minor=0,
            cost_minor=0,
            currency="XBt",
            liquidity="maker",
            source=source,
            venue_us=fill.at_us,
        )

    def position_event(self, contracts: int, at_us: int, source: e.Source) -> e.PositionSeen:
        """A row of the position table."""
        return e.PositionSeen(
            at_us=NOW_US, symbol=SYMBOL, contracts=contracts, source=source, venue_us=at_us
        )

    # -- what the venue does -----------------------------------------------------------------------

    def change(self, number: int, what: str) -> None:
        """Something that a read may not show yet."""
        self.state.changes.append(Change(NOW_US, number, what))

    def rest(self, post: Post) -> None:
        """The order comes to be."""
        post.phase, post.at_us = "open", NOW_US
        if post.reduce_only and -self.position() * post.side < abs(post.contracts):
            self.end(post, e.OrderStatus.REJECTED)
            return
        self.change(post.number, "in")
        self.show_order(post)

    def fill(self, post: Post, contracts: int) -> None:
        """Somebody trades with it."""
        state = self.state
        post.filled += contracts
        post.fills.append(Fill(NOW_US, post.side * contracts))
        post.at_us = NOW_US
        post.status = e.OrderStatus.PARTLY_FILLED
        if not post.leaves:
            post.phase, post.status = "over", e.OrderStatus.FILLED
        self.change(post.number, "fill")
        judge.judge_fill(state, post)
        self.show_fill(post.number, len(post.fills) - 1)
        self.show_order(post)

    def end(self, post: Post, status: e.OrderStatus) -> None:
        """It trades no more."""
        post.phase, post.status, post.at_us = "over", status, NOW_US
        self.change(post.number, "over")
        self.show_order(post)

    def somebody_trades(self, contracts: int) -> None:
        """Not us. A reduce-only order that has become too big is taken away."""
        state = self.state
        state.others.append(Fill(NOW_US, contracts))
        self.change(0, "fill")
        self.show_fill(0, len(state.others) - 1)
        position = self.position()
        for post in state.posts:
            if post.phase == "open" and post.reduce_only and -position * post.side < post.leaves:
                self.end(post, e.OrderStatus.CANCELLED)

    def reply(self, kind: str, number: int, outcome: e.Outcome, row: Row | None = None) -> None:
        """An answer sets out, if anybody still waits for it."""
        waiting = self.state.stream != "gone" and self.state.request(kind, cl_ord_id_of(number))
        if waiting:
            self.state.replies.append(Reply(kind, number, outcome, row, NOW_US))

    def answered(self, kind: str, cl_ord_id: str, outcome: e.Outcome) -> None:
        """An answer reaches the core."""
        number = self.state.request(kind, cl_ord_id)
        self.feed(e.Answered(at_us=NOW_US, request_id=number, outcome=outcome))


def _the_book(ledger: Ledger) -> Book:
    return ledger.books[SYMBOL]


def _nameless(decisions: Iterable[d.AnyDecision]) -> list[d.AnyDecision]:
    """But for the order of requests, and for their numbers."""
    bare = (msgspec.structs.replace(decision, request_id=0) for decision in decisions)
    return sorted(bare, key=repr)


def _check_fold(folded: Ledger, event: e.AnyEvent, led: Led) -> None:
    """R1, one event at a time: what the journal folds to is what the run held in memory."""
    recall(folded, event, led.decisions)
    if folded != led.page.ledger:
        raise judge.Broken(f"R1: {event} folds to another ledger")


def opening(bounds: Bounds) -> State:
    """In sync, at the first target's very beginning."""
    state = State(
        posts=[], cancels=[], replies=[], order_rows=[], execution_rows=[],
        position_rows=[], changes=[], others=[], stream="up", stream_us=0, resync_us=0,
        position_asked_us=0, targets=0, crashes=0, drops=0, losses=0, refusals=0, ends=0, audits=0,
    )  # fmt: skip
    ledger = Ledger()
    for event in (
        started(),
        e.Configured(at_us=NOW_US, settings=settings_of(bounds)),
        INSTRUMENT,
        CLOCK,
    ):
        real_step(ledger, event)
    state.page = page_of(ledger)
    world = World(state, bounds)
    # Nobody has traded here for long: the first position is sure at once.
    world.feed(world.position_event(bounds.start, NOW_US - 2 * UNIT_US, e.Source.READ))
    world.feed(e.Synced(at_us=NOW_US, watermark_us=NOW_US - UNIT_US, open_order_ids=()))
    return state
