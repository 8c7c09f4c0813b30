"""
Stories: one line says what happened, what the reconciler must do at once, and the state after it.

    target +100             -> place r1 +100        = placing
    ok r1                                           = working
    fill r1 +100 x1                                 = filled
    position +100           -> held +100            = idle

Left of ``->`` is one event; right of it are *all* decisions that must follow, in order, separated
by commas; nothing right of it (or no arrow) means that nothing may follow. ``= state`` checks the
symbol's state; ``~ text`` that this text is in what the symbol waits for. ``#`` is a comment.

Orders are called r1, r2... in the order in which they were placed; r1/b is a second order at the
venue under the client order id of r1. The world is a symbol with a lot of 1 and a tick of 0.5,
quoted 100.0 / 100.5, marked 100.2, in sync and flat, unless told otherwise. A price is given
whenever the core wants one. Times are milliseconds. Incidents, thaws, halts and held targets are
only compared in stories that speak of them.

What may happen, besides what `Teller.do` makes plain:

    ok r1 [status filled]   the answer to its POST, with its row
    rejected r1             the same, and the row says that the engine refused it
    refused r1 / lost r1    its POST was refused / nobody knows
    row r1 status [filled]  a row of the order table; `old row` is an earlier one, come late
    fill r1 +40 x1          an execution; `foreign +40 x1` is somebody else's
    twin r1 status filled   a row of a second order under its client order id
    unknown status          a row of an order with our ids that we never placed
    rests f1 +50            a person's order rests; `gone f1`: no more
    cancelled r1 40         the cancel's answer shows it over, with 40 filled; `nothing r1`:
                            there was nothing to cancel
    read r1 empty           what a look-up found; or `read r1 status filled`, or `read r1 failed`
    position +100 [read]    a position row, from the stream or looked up
    sync +100 r1            a resync passed: the position, and the orders that rest
    resync refused          it did not
    pause / reduce_only / freeze / trade [XBTUSD] [for 5000]: a person's word about the account, or
                            about a symbol, with an end or without; `halt for 5000`
    price - 100.5           nobody bids; `old price 90_000`: prices are so old
    last 100.5              the last trade of all; `sizes 500 -`: what rests at bid and ask
    target +100 by ladder [price 101.0] [deadline 60_000]
    traded r1 40 x1         all that becomes of it: an answer, 40 filled, its end, the position
    pass 30_000             `wait`, with the clock measured and every audit answered as expected
"""

from __future__ import annotations

import re
import textwrap
from decimal import Decimal

import msgspec

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.ledger import Book, Ledger, Order
from reconciler.core.settings import Settings
from reconciler.core.step import recall, step
from reconciler.core.trouble import mismatch

START_US = 1_790_000_000_000_000
SYMBOL = "XBTUSD"
QUIET_US = 10_000_000


class Teller:
    """A ledger, a clock, and the names that a story gives to things."""

    def __init__(self, settings: Settings | None = None, lot: int = 1, position: int = 0) -> None:
        self.ledger = Ledger()
        self.now_us = START_US
        self.settings = settings or Settings(symbols=(SYMBOL,))
        self.lot = lot
        self.position = position
        self.bid: Decimal | None = Decimal("100.0")
        self.ask: Decimal | None = Decimal("100.5")
        self.mark: Decimal | None = Decimal("100.2")
        self.price_age_us = 0
        self.last: Decimal | None = Decimal("100.5")  # of all trades
        self.sizes: tuple[int | None, int | None] = None, None  # that rest at bid and ask
        self.names: dict[str, str] = {}  # client order id -> r1
        self.done: list[d.AnyDecision] = []
        self.facts: list[d.AnyFact] = []
        self.history: list[tuple[e.AnyEvent, list[d.AnyDecision]]] = []
        self.version = 0
        self.runs = 0
        self.symbol = SYMBOL
        self.fills: dict[str, int] = {}
        self.start()
        self.synced(position)

    # -- the world ---------------------------------------------------------------------------

    def event(self, event: e.AnyEvent) -> list[str]:
        """Step one event, answering at once when the core wants a price."""
        said: list[str] = []
        queue = [event]
        while queue:
            event = queue.pop(0)
            outcome = step(self.ledger, event)
            self.history.append((event, outcome.decisions))
            self.done.extend(outcome.decisions)
            self.facts.extend(outcome.facts)
            said.extend(self.say(decision) for decision in outcome.decisions)
            said.extend(self.say_fact(f) for f in outcome.facts if self.say_fact(f))
            for book in self.ledger.books.values():
                if book.wants_quote:
                    book.wants_quote = False
                    queue.append(self.quoted(book.symbol))
            if not queue:
                queue.extend(mismatch.settled(self.ledger))  # as the engine does
        return said

    def quoted(self, symbol: str) -> e.Quoted:
        return e.Quoted(
            at_us=self.now_us,
            symbol=symbol,
            bid=self.bid,
            ask=self.ask,
            mark=self.mark,
            age_us=self.price_age_us,
            last=self.last,
            bid_contracts=self.sizes[0],
            ask_contracts=self.sizes[1],
        )

    def start(self) -> list[str]:
        self.runs += 1
        said = self.event(
            e.Started(
                at_us=self.now_us,
                run_id=f"run{self.runs}",
                epoch=self.runs,
                id_family="rc-",
                id_install="rc-test-",
                id_stem=f"rc-test-{self.runs}-",
            )
        )
        said += self.event(e.Configured(at_us=self.now_us, settings=self.settings))
        for symbol in self.settings.symbols:
            said += self.event(self.instrument(symbol))
        said += self.event(e.ClockMeasured(at_us=self.now_us, offset_us=0, error_us=300_000))
        return said

    def instrument(self, symbol: str, is_open: bool = True) -> e.InstrumentSeen:
        return e.InstrumentSeen(
            at_us=self.now_us,
            symbol=symbol,
            open=is_open,
            state="Open" if is_open else "Closed",
            lot=self.lot,
            tick=Decimal("0.5"),
            max_contracts=10_000_000,
            max_price=Decimal(1_000_000),
            inverse=True,
            quanto=False,
            multiplier=-100_000_000,
            settle_currency="XBt",
            quote_currency="USD",
            maker_fee=Decimal("0.0005"),
            taker_fee=Decimal("0.0005"),
        )

    def synced(self, position: int | None = None, *resting: str) -> list[str]:
        said: list[str] = []
        if position is not None:
            for symbol in self.settings.symbols:
                row = self.position_row(position, e.Source.READ, symbol)
                # A quiet account's row is old: what it holds needs no second look.
                said += self.event(msgspec.structs.replace(row, venue_us=row.venue_us - QUIET_US))
        said += self.event(
            e.Synced(
                at_us=self.now_us,
                watermark_us=self.now_us - 2_000_000,
                open_order_ids=tuple(
                    f"v-{self.order(name).cl_ord_id}" if name in self.names.values() else name
                    for name in resting
                ),
            )
        )
        return said

    def position_row(
        self, contracts: int, source: e.Source = e.Source.STREAM, symbol: str = ""
    ) -> e.PositionSeen:
        return e.PositionSeen(
            at_us=self.now_us,
            symbol=symbol or self.symbol,
            contracts=contracts,
            source=source,
            venue_us=self.now_us,
        )

    def margin_row(self, balance: int, available: int) -> e.MarginSeen:
        return e.MarginSeen(
            at_us=self.now_us,
            currency="XBt",
            wallet_minor=balance,
            margin_minor=balance,
            available_minor=available,
            unrealised_minor=0,
        )

    # -- names -------------------------------------------------------------------------------

    @property
    def book(self) -> Book:
        return self.ledger.books.get(self.symbol) or Book(symbol=self.symbol)

    def name(self, cl_ord_id: str) -> str:
        base, _, twin = cl_ord_id.partition("/")
        name = self.names.setdefault(base, f"r{len(self.names) + 1}")
        return f"{name}/{twin}" if twin else name

    def order(self, name: str) -> Order:
        for cl_ord_id, known in self.names.items():
            if known == name:
                for book in self.ledger.books.values():
                    if cl_ord_id in book.orders:
                        return book.orders[cl_ord_id]
        raise AssertionError(f"the story speaks of {name}, which was never placed")

    def say(self, decision: d.AnyDecision) -> str:
        """A decision in the words of a story."""
        match decision:
            case d.PlaceOrder():
                words = f"place {self.name(decision.cl_ord_id)} {decision.contracts:+d}"
                words += f" @ {decision.price}" if decision.price != self.touch(decision) else ""
                words += " reduce" if decision.reduce_only else ""
                return words + (" now" if decision.immediate else "")
            case d.AmendOrder():
                return f"amend {self.name(decision.cl_ord_id)} @ {decision.price}"
            case d.CancelOrder():
                if not decision.cl_ord_id:
                    return f"cancel {decision.order_id}"  # somebody else's
                return f"cancel {self.name(decision.cl_ord_id)}"
            case d.ReadOrder():
                return f"read {self.name(decision.cl_ord_id)}"
            case d.ReadPosition():
                return "read position"
            case d.Resync():
                return "resync"
            case d.ArmDeadMan():
                return f"arm {decision.timeout_ms}" if decision.timeout_ms else "disarm"
        raise AssertionError(decision)

    def touch(self, decision: d.PlaceOrder) -> Decimal | None:
        return decision.bid if decision.contracts > 0 else decision.ask

    def say_fact(self, fact: d.AnyFact) -> str:
        """The few facts that a story speaks of."""
        match fact:
            case d.TargetHeld():
                return f"held {fact.position:+d}"
            case d.IncidentOpened():
                return f"incident {fact.type}"
            case d.IncidentClosed():
                return f"closed {fact.incident_id}"
            case d.ModeEnded():
                return f"ended {fact.mode}"
        return ""

    def last_request(self, kind: str, cl_ord_id: str = "") -> int:
        for number, request in reversed(self.ledger.requests.items()):
            if request.type == kind and cl_ord_id in ("", request.cl_ord_id):
                return int(number)
        raise AssertionError(f"no {kind} is out for {cl_ord_id or 'anything'}")

    # -- what may happen -------------------------------------------------------------------

    def row(
        self,
        name: str,
        status: str,
        filled: int | None = None,
        source: str = "stream",
        **odd: object,
    ) -> list[str]:
        order = self.order(name)
        filled = self.fills.get(name, 0) if filled is None else filled
        self.fills[name] = max(self.fills.get(name, 0), filled)
        over = e.OrderStatus(status) in e.OVER
        seen = e.OrderSeen(
            at_us=self.now_us,
            symbol=order.symbol,
            order_id=f"v-{order.cl_ord_id}",
            cl_ord_id=order.cl_ord_id,
            contracts=order.contracts,
            filled=filled,
            leaves=0 if over else abs(order.contracts) - filled,
            price=order.price,
            status=e.OrderStatus(status),
            source=e.Source(source),
            venue_us=self.now_us,
        )
        return self.event(msgspec.structs.replace(seen, **odd))

    def person_row(self, name: str, contracts: int) -> e.OrderSeen:
        """A row of an order that is not ours; 0 contracts: it is over."""
        return e.OrderSeen(
            at_us=self.now_us,
            symbol=self.symbol,
            order_id=name,
            cl_ord_id="",
            contracts=contracts,
            filled=0,
            leaves=abs(contracts),
            price=Decimal(100),
            status=e.OrderStatus.NEW if contracts else e.OrderStatus.CANCELLED,
            source=e.Source.STREAM,
            venue_us=self.now_us,
        )

    def answer(
        self,
        kind: str,
        name: str,
        outcome: str,
        code: str = "",
        text: str = "",
        retry_after_us: int = 0,
    ) -> list[str]:
        cl_ord_id = self.order(name).cl_ord_id if name else ""
        return self.event(
            e.Answered(
                at_us=self.now_us,
                request_id=self.last_request(kind, cl_ord_id),
                outcome=e.Outcome(outcome),
                code=code,
                text=text,
                retry_after_us=retry_after_us,
            )
        )

    def execution(self, name: str, contracts: int, exec_id: str, **odd: object) -> list[str]:
        order = self.order(name) if name else None
        if order is not None and exec_id not in order.exec_ids:
            self.fills[name] = max(self.fills.get(name, 0), order.booked + abs(contracts))
        seen = e.ExecutionSeen(
            at_us=self.now_us,
            exec_id=exec_id,
            symbol=order.symbol if order else self.symbol,
            order_id=f"v-{order.cl_ord_id}" if order else "v-foreign",
            cl_ord_id=order.cl_ord_id if order else "",
            type=e.ExecutionKind.TRADE,
            contracts=contracts,
            price=Decimal("100.0"),
            order_filled=self.fills.get(name, 0) if name else abs(contracts),
            fee_minor=1,
            cost_minor=-contracts * 1_000_000,
            currency="XBt",
            liquidity="maker",
            source=e.Source.STREAM,
            venue_us=self.now_us + 1,  # after the position row that was shown just before it
        )
        return self.event(msgspec.structs.replace(seen, **odd))

    def wait(self, milliseconds: int) -> list[str]:
        """Let time pass, with a tick at every moment that the core asked to be woken at."""
        end_us = self.now_us + milliseconds * 1000
        said: list[str] = []
        while self.ledger.next_wake_us() <= end_us:
            self.now_us = max(self.now_us, self.ledger.next_wake_us())
            said += self.event(e.Tick(at_us=self.now_us))
        self.now_us = end_us
        self.ledger.at_us = end_us if end_us > self.ledger.at_us else self.ledger.at_us
        return said

    def lives(self, milliseconds: int) -> list[str]:
        """Let time pass as it does when all is well: audits find what was known."""
        said: list[str] = []
        while milliseconds > 0:
            said += self.wait(min(milliseconds, 1_000))
            milliseconds -= 1_000
            self.event(e.ClockMeasured(at_us=self.now_us, offset_us=0, error_us=1_000))
            if self.ledger.sync_asked_us is not None:
                alive = [order.cl_ord_id for order in self.ledger.own_alive()]
                said += self.synced(None, *(self.name(one) for one in alive))
                said += self.answer("resync", "", "done")
        return [word for word in said if word != "resync"]

    def traded(self, name: str, filled: int, exec_id: str) -> list[str]:
        """An order of which so much is filled is over, and everybody says so."""
        order = self.order(name)
        said = self.row(name, "new", order.filled, "reply") if order.status == "intended" else []
        if filled:
            said += self.execution(name, order.side * filled, exec_id)
        whole = filled == abs(order.contracts)
        said += self.row(name, "filled" if whole else "cancelled", order.filled)
        return said + (self.event(self.position_row(self.book.position)) if filled else [])

    def target(self, contracts: int, **more: object) -> list[str]:
        self.version += 1
        return self.event(
            e.TargetSet(
                at_us=self.now_us,
                symbol=self.symbol,
                contracts=contracts,
                version=self.version,
                source="story",
                **more,  # type: ignore[arg-type]
            )
        )

    def do(self, words: list[str]) -> list[str]:
        """One event of a story."""
        verb, rest = words[0], words[1:]
        at_us = self.now_us
        match verb, rest:
            case "target", [contracts]:
                return self.target(int(contracts))
            case "target", [contracts, "urgent"]:
                return self.target(int(contracts), policy="urgent")
            case "target", [contracts, "by", policy, *more]:
                given = dict(zip(more[::2], more[1::2], strict=True))
                due_us = int(given["deadline"]) * 1000 + at_us if "deadline" in given else None
                price = Decimal(given["price"]) if "price" in given else None
                return self.target(int(contracts), policy=policy, price=price, deadline_us=due_us)
            case "target", [contracts, "for", ms, then]:
                return self.target(
                    int(contracts), expires_us=at_us + int(ms) * 1000, on_expiry=then
                )
            case "ok", [name]:
                return self.row(name, "new", source="reply") + self.answer(
                    "placeorder", name, "done"
                )
            case "ok", [name, status, filled]:
                return self.row(name, status, int(filled), "reply") + self.answer(
                    "placeorder", name, "done"
                )
            case "refused", [name, *text]:
                return self.answer("placeorder", name, "refused", text=" ".join(text))
            case "notsent", [name]:
                return self.answer("placeorder", name, "not_sent", "deadline")
            case "lost", [name]:
                return self.answer("placeorder", name, "in_doubt", "timeout")
            case "duplicate", [name]:
                return self.answer("placeorder", name, "in_doubt", "duplicate_id")
            case "row", [name, status]:
                return self.row(name, status)
            case "row", [name, status, filled]:
                return self.row(name, status, int(filled))
            case "old", ["row", name, status, filled]:
                return self.row(name, status, int(filled), venue_us=START_US)
            case "fill", [name, contracts, exec_id]:
                return self.execution(name, int(contracts), exec_id)
            case "foreign", [contracts, exec_id]:
                return self.execution("", int(contracts), exec_id)
            case "liquidation", [contracts, exec_id]:
                return self.execution("", int(contracts), exec_id, type=e.ExecutionKind.LIQUIDATION)
            case "funding", [contracts, exec_id]:
                return self.execution("", int(contracts), exec_id, type=e.ExecutionKind.FUNDING)
            case "position", [contracts]:
                return self.event(self.position_row(int(contracts)))
            case "position", [contracts, "read"]:
                said = self.event(self.position_row(int(contracts), e.Source.READ))
                return said + self.answer("readposition", "", "done")
            case "cancelled", [name, filled]:  # the cancel's answer shows the order over
                said = self.row(name, "cancelled", int(filled), "reply")
                return said + self.answer("cancelorder", name, "done")
            case "nothing", [name] if name[0] == "f":
                return self.answer("cancelorder", "", "nothing")
            case "nothing", [name]:
                return self.answer("cancelorder", name, "nothing")
            case "margin", [balance, available]:
                return self.event(self.margin_row(int(balance), int(available)))
            case "danger", ["at", price]:  # the liquidation price
                row = self.position_row(self.book.position)
                at = None if price == "-" else Decimal(price)
                return self.event(msgspec.structs.replace(row, liquidation_price=at))
            case "guarded", [name]:
                return self.answer("placeorder", name, "not_sent", "guard", "a limit")
            case "cancel", ["refused", name]:
                return self.answer("cancelorder", name, "refused", "rate_limited")
            case "cancel", ["lost", name]:
                return self.answer("cancelorder", name, "in_doubt", "timeout")
            case "amended", [name]:
                said = self.row(name, "new", source="reply")
                return said + self.answer("amendorder", name, "done")
            case "amend", [how, name]:
                outcomes = {"lost": "in_doubt", "refused": "refused", "nothing": "nothing"}
                return self.answer("amendorder", name, outcomes[how])
            case "read", [name, "empty"]:
                return self.looked_up(name, 0)
            case "read", [name, status, filled]:
                said = self.row(name, status, int(filled), "read")
                return said + self.looked_up(name, 1)
            case "read", [name, "failed"]:
                return self.answer("readorder", name, "in_doubt")
            case "price", [bid, ask]:
                self.bid = None if bid == "-" else Decimal(bid)
                self.ask = None if ask == "-" else Decimal(ask)
                if self.bid is not None and self.ask is not None:
                    self.mark = (self.bid + self.ask) / 2
                return []
            case "old", ["price", ms]:
                self.price_age_us = int(ms) * 1000
                return []
            case "last", [last]:
                self.last = None if last == "-" else Decimal(last)
                return []
            case "sizes", sizes:
                bids, asks = (None if size == "-" else int(size) for size in sizes)
                self.sizes = bids, asks
                return []
            case "traded", [name, filled, exec_id]:
                return self.traded(name, int(filled), exec_id)
            case "pass", [ms]:
                return self.lives(int(ms))
            case "mark", [mark]:
                self.mark = None if mark == "-" else Decimal(mark)
                return []
            case "rejected", [name]:
                return self.row(name, "rejected", 0, "reply", text="no") + self.answer(
                    "placeorder", name, "done"
                )
            case "twin", [name, status, filled]:
                return self.row(name, status, int(filled), order_id="b")
            case "twinfill", [name, contracts, exec_id]:
                return self.execution(
                    name, int(contracts), exec_id, order_id="b", order_filled=abs(int(contracts))
                )
            case "unknown", [status]:
                return self.event(
                    msgspec.structs.replace(self.person_row("u1", 10), cl_ord_id="rc-test-9-000001")
                    if status == "new"
                    else self.person_row("u1", 0)
                )
            case "rests", [name, contracts]:
                return self.event(self.person_row(name, int(contracts)))
            case "rested", [name, contracts]:  # since long before
                row = self.person_row(name, int(contracts))
                return self.event(msgspec.structs.replace(row, venue_us=at_us - 10**11))
            case "gone", [name]:
                return self.event(self.person_row(name, 0))
            case "odd", ["execution", exec_id]:
                return self.execution("", 0, exec_id, type=e.ExecutionKind.UNKNOWN)
            case "resync", [outcome]:
                return self.answer("resync", "", outcome)
            case "arming", [outcome]:
                return self.answer("armdeadman", "", outcome)
            case "retry", [name, ms]:
                return self.answer(
                    "placeorder", name, "refused", "rate_limited", retry_after_us=int(ms) * 1000
                )
            case "clock", [offset_ms]:
                return self.event(
                    e.ClockMeasured(at_us=at_us, offset_us=int(offset_ms) * 1000, error_us=1_000)
                )
            case "wait", [ms]:
                return self.wait(int(ms.replace("_", "")))
            case "stream", ["lost"]:
                return self.event(e.StreamLost(at_us=at_us, reason="story"))
            case "sync", [position, *resting]:
                return self.synced(int(position), *resting)
            case "restart", []:
                return self.start()
            case "halt", []:
                return self.event(e.Halted(at_us=at_us, by="story", reason="odd prices"))
            case "halt", ["for", ms]:
                until_us = at_us + int(ms) * 1000
                return self.event(
                    e.Halted(at_us=at_us, by="story", reason="odd prices", until_us=until_us)
                )
            case "pause" | "reduce_only" | "flatten" | "freeze" | "trade", [*more]:
                return self.mode("" if verb == "trade" else verb, more)
            case "resume", [symbol] if symbol != "adopt":
                return self.event(
                    e.Resumed(at_us=at_us, by="story", reason="fine", symbols=(symbol,))
                )
            case "resume", ["adopt"]:
                return self.event(e.Resumed(at_us=at_us, by="story", reason="adopted", adopt=True))
            case "resume", []:
                return self.event(e.Resumed(at_us=at_us, by="story", reason="fine"))
            case "stop", []:
                return self.event(e.Stopping(at_us=at_us, reason="SIGTERM"))
            case "stop", ["keep"]:
                return self.event(e.Stopping(at_us=at_us, reason="SIGTERM", keep_orders=True))
            case "adjust", [contracts]:
                return self.event(
                    e.Adjusted(
                        at_us=at_us,
                        symbol=self.symbol,
                        contracts=int(contracts),
                        by="story",
                        reason="adopted",
                    )
                )
            case "market", [word]:
                return self.event(self.instrument(self.symbol, word == "open"))
            case "symbol", [symbol]:
                self.symbol = symbol
                return []
            case "throttled", [ms]:
                return self.event(
                    e.Throttled(at_us=at_us, until_us=at_us + int(ms) * 1000, reason="budget")
                )
            case "armed", [ms]:
                return self.event(e.DeadManAcked(at_us=at_us, timeout_ms=int(ms)))
        raise AssertionError(f"a story can't say: {' '.join(words)}")

    def mode(self, mode: str, words: list[str]) -> list[str]:
        """``pause``, ``pause for 5000``, ``pause XBTUSD``, ``pause XBTUSD for 5000``."""
        symbols = tuple(words[:1]) if words and words[0] != "for" else ()
        until_us = self.now_us + int(words[-1]) * 1000 if "for" in words else None
        return self.event(
            e.ModeSet(
                at_us=self.now_us,
                mode=mode,
                by="story",
                reason="drill",
                symbols=symbols,
                until_us=until_us,
            )
        )

    def looked_up(self, name: str, orders: int) -> list[str]:
        cl_ord_id = self.order(name).cl_ord_id
        return self.event(
            e.OrderRead(
                at_us=self.now_us,
                request_id=self.last_request("readorder", cl_ord_id),
                cl_ord_id=cl_ord_id,
                orders=orders,
                executions=0,
            )
        )


LINE = re.compile(
    r"^(?P<event>[^#=~]*?)(?:->(?P<then>[^#=~]*))?(?:=(?P<state>[^#~]*))?(?:~(?P<waits>[^#]*))?(?:#.*)?$"
)


def tell(story: str, **world: object) -> Teller:
    """
    Play a story; say which line went otherwise.

    Afterwards the whole story is folded again from its stored decisions: `recall` must end in the
    same ledger, byte for byte, and `step` must decide the same again.
    """
    teller = Teller(**world)  # type: ignore[arg-type]
    teller_reads = "incident" in story or "closed" in story, "held" in story
    for number, line in enumerate(textwrap.dedent(story).strip().splitlines(), 1):
        match = LINE.match(line)
        assert match, f"line {number}: {line!r}"
        words = match["event"].split()
        said = teller.do(words) if words else []
        heard = [
            word
            for word in said
            if (teller_reads[0] or not word.startswith(("incident", "closed")))
            and (teller_reads[1] or not word.startswith("held"))
        ]
        wanted = [part.strip() for part in (match["then"] or "").split(",") if part.strip()]
        where = f"line {number}: {line.strip()}\n  wanted: {wanted}\n  heard:  {heard}"
        where += f"\n  state: {teller.book.state}, waits for: {teller.book.waiting_for!r}"
        assert heard == wanted, where
        if match["state"]:
            assert teller.book.state == match["state"].strip(), where
        if match["waits"]:
            assert match["waits"].strip() in teller.book.waiting_for, where
    check_replay(teller)
    return teller


def check_replay(teller: Teller) -> None:
    """Deciding again, and folding what was decided, both end where the story ended."""
    again, folded = Ledger(), Ledger()
    for event, decisions in teller.history:
        assert step(again, event).decisions == decisions
        recall(folded, event, decisions)
    assert canonical(again) == canonical(folded)


def canonical(ledger: Ledger) -> bytes:
    return msgspec.json.encode(ledger, order="deterministic")
