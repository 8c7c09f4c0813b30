"""
A seeded market in memory: the paper exchange's own floor and traders, and an honest wire to it.

Nothing is known of the venue before it has travelled, and nothing reaches it before that: prices,
rows and requests take `LATENCY_MS` each way, in order. What an order meets there, the queue before
it and who takes, is the paper exchange's matching; it is told nothing of us but the order.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.paper.audit import contracts as contracts_of_all
from reconciler.paper.errors import Refusal
from reconciler.paper.exchange import Exchange
from reconciler.paper.feed import Feed
from reconciler.paper.instruments import instrument
from reconciler.paper.intake import Amend
from reconciler.paper.market import BUY, SELL
from reconciler.paper.orders import NewOrder, Order
from reconciler.paper.protocol import Change
from reconciler.paper.times import Clock

START_MS = 1_790_000_000_000
ACCOUNT = 1001
TICK_MS = 50  # how often time is looked at; a request brings the market up to its own moment
PULSE_MS = 500  # marks
CLOCK_MS = 30_000  # how often the venue's clock is measured
LATENCY_MS = (10, 40)  # one way
STATUS = {
    "New": e.OrderStatus.NEW,
    "PartiallyFilled": e.OrderStatus.PARTLY_FILLED,
    "Filled": e.OrderStatus.FILLED,
    "Canceled": e.OrderStatus.CANCELLED,
    "Rejected": e.OrderStatus.REJECTED,
}
Sent = d.PlaceOrder | d.AmendOrder | d.CancelOrder


class Floor(Exchange):
    """The paper exchange without its public tables: nobody here reads them."""

    def tell_quote(self, symbol: str, now_ms: int) -> None:
        """No row of every quote."""

    def remark(self) -> None:
        """The mark follows the middle of the book; the rest of a pulse are public rows."""
        for symbol, market in self.markets.items():
            market.remark()
            self.position(ACCOUNT, symbol).mark = market.mark

    def private(self, now_ms: int) -> list[Change]:
        """Our rows since the last call."""
        if self._touched_orders or self._touched_positions or self._touched_wallets:
            return [one for one in self.flush(now_ms) if one.account == ACCOUNT]
        self._changes.clear()
        return []


class RealTime(Clock):
    """Market time is wall time: no fractions."""

    def market_ms(self, wall_ms: int) -> int:
        return wall_ms

    def wall_ms(self, market_ms: int) -> int:
        return market_ms


class PolicyVenue:
    """A market of one symbol and the wire to it; implements what the engine asks of a venue."""

    def __init__(self, seed: int, symbol: str) -> None:
        self.symbol = symbol
        self.now_ms = START_MS
        self.inst = instrument(symbol)
        clock = RealTime(START_MS)
        self.exchange = Floor([self.inst], [ACCOUNT], seed=seed, now_ms=START_MS, clock=clock)
        self.feed = Feed(self.exchange, clock, seed, START_MS)
        self.market = self.exchange.markets[symbol]
        self.messages = 0
        self.fills: list[e.ExecutionSeen] = []  # as they happened there
        self.tell: Callable[[Iterable[e.AnyEvent]], None] = lambda _: None
        self.priced: Callable[[], None] = lambda: None
        self._wire = random.Random(f"{seed}/{symbol}/wire")
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._due = {"up": 0, "down": 0}
        self._next_tick = self._next_pulse = START_MS
        self._next_clock = START_MS + CLOCK_MS
        self._seen: e.Quoted | None = None  # the newest price that has arrived
        self._told: tuple[object, ...] = ()

    # -- time ----------------------------------------------------------------------------------

    def next_ms(self) -> int:
        """When something happens next here."""
        return min(self._next_tick, self._agenda[0][0] if self._agenda else self._next_tick)

    def run_until(self, now_ms: int) -> None:
        """Let everything happen that is due by then, in the order of its time."""
        while (at_ms := self.next_ms()) <= now_ms:
            self.now_ms = max(self.now_ms, at_ms)
            if self._next_tick <= at_ms:
                self._next_tick += TICK_MS
                self._go_on()
            while self._agenda and self._agenda[0][0] <= self.now_ms:
                heapq.heappop(self._agenda)[2]()
        self.now_ms = now_ms

    def mid(self) -> Decimal:
        """The middle of the book at the venue, now."""
        bid, ask = self._touch()
        return (bid + ask) / 2

    def other_side(self, side: int) -> Decimal:
        """The best price that an order of *side* could take, now."""
        bid, ask = self._touch()
        return ask if side > 0 else bid

    def position(self) -> int:
        """Contracts that the account really holds."""
        return self.exchange.position(ACCOUNT, self.symbol).qty

    def missing(self) -> int:
        """Contracts that came from nowhere: of all accounts together there are none."""
        return contracts_of_all(self.exchange, self.symbol)

    def _touch(self) -> tuple[Decimal, Decimal]:
        book = self.market.book
        bid, ask = book.best(BUY), book.best(SELL)
        assert bid is not None, "the house quotes both sides"
        assert ask is not None
        return self.inst.price(bid), self.inst.price(ask)

    def _go_on(self) -> None:
        """The market up to now, and what it has to tell."""
        self.feed.tick(self.now_ms)
        if self.now_ms >= self._next_pulse:
            self._next_pulse += PULSE_MS
            self.exchange.remark()
        if self.now_ms >= self._next_clock:
            self._next_clock += CLOCK_MS
            self._later("down", lambda: self._arrive([self._clock()]))
        self._show()

    def _later(self, way: str, do: Callable[[], None]) -> None:
        """After a latency, and never before what set out earlier the same way."""
        at_ms = max(self.now_ms + self._wire.randint(*LATENCY_MS), self._due[way])
        self._due[way] = at_ms
        heapq.heappush(self._agenda, (at_ms, next(self._number), do))

    # -- what is seen of it ----------------------------------------------------------------------

    def _show(self) -> None:
        """Private rows and prices set out to us."""
        changes = self.exchange.private(self.now_ms)
        rows = [self._event(change.table, change.row) for change in changes]
        if events := [row for row in rows if row is not None]:
            self._later("down", lambda: self._arrive(events))
        book = self.market.book
        bid, ask = book.best(BUY), book.best(SELL)
        if bid is None or ask is None:
            return
        now = (bid, ask, book.size(BUY, bid), book.size(SELL, ask), self.market.mark)
        if now != self._told:
            self._told = now
            self._later("down", lambda: self._price(now, self.market.last))

    def _arrive(self, events: list[e.AnyEvent]) -> None:
        self.tell(events)

    def _price(self, now: tuple[Any, ...], last: Decimal) -> None:
        bid, ask, bid_contracts, ask_contracts, mark = now
        self._seen = e.Quoted(
            at_us=self.now_ms * 1000,
            symbol=self.symbol,
            bid=self.inst.price(bid),
            ask=self.inst.price(ask),
            mark=mark,
            last=last,
            bid_contracts=bid_contracts,
            ask_contracts=ask_contracts,
        )
        self.priced()

    def quote(self, symbol: str) -> e.Quoted | None:
        """The newest prices that have reached us. The stream is never silent: they hold now."""
        if self._seen is None:
            return None
        return msgspec.structs.replace(self._seen, at_us=self.now_ms * 1000)

    def _event(self, table: str, row: dict[str, Any]) -> e.AnyEvent | None:
        if table == "order":
            return self._order(self.exchange.orders[row["orderID"]], e.Source.STREAM)
        if table == "execution":
            seen = self._execution(row)
            if seen.type is e.ExecutionKind.TRADE:
                self.fills.append(seen)
            return seen
        return self._position(e.Source.STREAM) if table == "position" else None

    def _order(self, order: Order, source: e.Source) -> e.OrderSeen:
        return e.OrderSeen(
            at_us=self.now_ms * 1000,
            symbol=self.symbol,
            order_id=order.order_id,
            cl_ord_id=order.cl_ord_id,
            contracts=order.side * order.qty,
            filled=order.cum,
            leaves=order.leaves,
            price=order.price,
            status=STATUS[order.status],
            source=source,
            venue_us=self.now_ms * 1000,
            text=order.text,
        )

    def _execution(self, row: dict[str, Any]) -> e.ExecutionSeen:
        trade = row["execType"] == "Trade"
        return e.ExecutionSeen(
            at_us=self.now_ms * 1000,
            exec_id=row["execID"],
            symbol=self.symbol,
            order_id=row["orderID"],
            cl_ord_id=row.get("clOrdID", ""),
            type=e.ExecutionKind.TRADE if trade else e.ExecutionKind.ORDER_STATE,
            contracts=row["lastQty"] * (1 if row["side"] == "Buy" else -1),
            price=row.get("lastPx"),
            order_filled=row["cumQty"],
            fee_minor=row.get("execComm", 0),
            cost_minor=row.get("execCost", 0),
            currency=self.inst.settle,
            liquidity={"AddedLiquidity": "maker", "RemovedLiquidity": "taker"}.get(
                row.get("lastLiquidityInd", ""), ""
            ),
            source=e.Source.STREAM,
            venue_us=self.now_ms * 1000,
        )

    def _position(self, source: e.Source) -> e.PositionSeen:
        return e.PositionSeen(
            at_us=self.now_ms * 1000,
            symbol=self.symbol,
            contracts=self.position(),
            source=source,
            venue_us=self.now_ms * 1000,
        )

    def _clock(self) -> e.ClockMeasured:
        error_us = LATENCY_MS[1] * 1000 // 2
        return e.ClockMeasured(at_us=self.now_ms * 1000, offset_us=0, error_us=error_us)

    def opening(self) -> list[e.AnyEvent]:
        """What a service knows once it is in sync: the symbol's rules, and an empty account."""
        at_us, inst = self.now_ms * 1000, self.inst
        return [
            e.InstrumentSeen(
                at_us=at_us, symbol=self.symbol, open=True, state="Open", lot=inst.lot,
                tick=inst.tick, max_contracts=inst.max_qty, max_price=inst.max_price,
                inverse=inst.is_inverse, quanto=inst.is_quanto, multiplier=inst.multiplier,
                settle_currency=inst.settle, quote_currency=inst.quote,
                maker_fee=inst.maker_fee, taker_fee=inst.taker_fee,
            ),
            self._clock(),
            self._position(e.Source.STREAM),
            e.Synced(at_us=at_us, watermark_us=at_us - 2_000_000, open_order_ids=()),
        ]  # fmt: skip

    # -- what is asked of it ---------------------------------------------------------------------

    def send(self, decision: d.AnyDecision) -> Iterable[e.AnyEvent]:
        """A request sets out; its answer comes by itself."""
        if isinstance(decision, Sent):
            self.messages += 1
        self._later("up", lambda: self._asked(decision))
        return ()

    def withdraw(self) -> None:
        """Nothing waits here to be sent."""

    def _asked(self, decision: d.AnyDecision) -> None:
        """A request has arrived: the market is brought up to this moment first."""
        self.feed.tick(self.now_ms)
        outcome, code, text = e.Outcome.DONE, "", ""
        rows: list[e.AnyEvent] = []
        try:
            match decision:
                case d.PlaceOrder():
                    rows = [self._order(self._place(decision), e.Source.REPLY)]
                case d.AmendOrder():
                    rows = [self._order(self._amend(decision), e.Source.REPLY)]
                case d.CancelOrder():
                    rows = self._cancel(decision)
                    outcome = e.Outcome.DONE if rows else e.Outcome.NOTHING
                case d.ReadPosition():
                    rows = [self._position(e.Source.READ)]
                case d.Resync():
                    rows = self._everything()
                case _:
                    raise AssertionError(f"nothing is ever lost here, and yet: {decision}")
        except Refusal as refusal:
            outcome, text = e.Outcome.REFUSED, str(refusal)
            if isinstance(decision, d.AmendOrder):
                outcome = e.Outcome.NOTHING
        self._show()
        at_us = self.now_ms * 1000
        answer = e.Answered(
            at_us=at_us, request_id=decision.request_id, outcome=outcome, code=code, text=text
        )
        self._later("down", lambda: self._arrive([*rows, answer]))

    def _everything(self) -> list[e.AnyEvent]:
        """What a resync reads: every execution, the open orders, the position."""
        exchange, at_us = self.exchange, self.now_ms * 1000
        resting = exchange.open_orders(ACCOUNT)
        executions = [self._execution(row) for row in exchange.executions[ACCOUNT]]
        return [
            *(msgspec.structs.replace(row, source=e.Source.READ) for row in executions),
            *(self._order(order, e.Source.READ) for order in resting),
            self._position(e.Source.READ),
            e.Synced(
                at_us=at_us,
                watermark_us=at_us - 2_000_000,
                open_order_ids=tuple(order.order_id for order in resting),
            ),
        ]

    def _place(self, asked: d.PlaceOrder) -> Order:
        instructions = [
            word
            for word, said in (
                ("ParticipateDoNotInitiate", asked.post_only),
                ("ReduceOnly", asked.reduce_only),
            )
            if said
        ]
        ticks = self.inst.ticks(asked.price)
        assert ticks is not None, f"{asked.price} is on the grid"
        return self.exchange.place(
            ACCOUNT,
            NewOrder(
                instrument=self.inst,
                side=BUY if asked.contracts > 0 else SELL,
                qty=abs(asked.contracts),
                ticks=ticks,
                ord_type="Limit",
                tif="ImmediateOrCancel" if asked.immediate else "GoodTillCancel",
                exec_inst=tuple(instructions),
                cl_ord_id=asked.cl_ord_id,
            ),
            self.now_ms,
        )

    def _amend(self, asked: d.AmendOrder) -> Order:
        return self.exchange.amend(
            ACCOUNT,
            Amend(
                order_id="", orig_cl_ord_id=asked.cl_ord_id, cl_ord_id="", qty=None, leaves=None,
                price=asked.price, stop=None, peg_offset=None, text="",
            ),
            self.now_ms,
        )  # fmt: skip

    def _cancel(self, asked: d.CancelOrder) -> list[e.AnyEvent]:
        order = self.exchange.find(ACCOUNT, asked.order_id, asked.cl_ord_id)
        if order is None or not order.open:
            return []
        self.exchange.cancel_all([order], "", self.now_ms)
        return [self._order(order, e.Source.REPLY)]
