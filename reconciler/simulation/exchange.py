"""
The venue's engine: orders, fills and positions, and what can be read of them. The truth.

It knows nothing of our core. Every change is shown as rows of BitMEX's tables to whoever
subscribed; how late, how often and whether those arrive is the network's affair.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal

from reconciler.simulation import wording
from reconciler.simulation.agenda import SECOND, Agenda, Clock
from reconciler.simulation.draws import Draws
from reconciler.simulation.listings import (
    ACCOUNT,
    OPEN,
    OWN,
    STRANGER,
    TICK,
    Order,
    Rules,
    Show,
    row_of,
)
from reconciler.simulation.promises import Broken
from reconciler.simulation.weather import Weather
from reconciler.simulation.wording import Row, iso


def cost_of(contracts: int, price: Decimal) -> int:
    """What an inverse contract of a dollar costs: below zero for a buy."""
    return int((-contracts * 10**8 / price).to_integral_value()) if price else 0


class Exchange:
    """One account, and everybody who trades on it."""

    def __init__(
        self, agenda: Agenda, clock: Clock, draws: Draws, weather: Weather, symbols: tuple[str, ...]
    ) -> None:
        self._agenda = agenda
        self.clock = clock
        self._draws = draws
        self.weather = weather
        self.symbols = symbols
        self.show: Show = lambda table, action, row: None
        self.traded: Callable[[Order, int], None] = lambda order, contracts: None
        self.placed: Callable[[Order], None] = lambda order: None
        rng = draws.of("start")
        lot = weather.lot
        self.rules = {symbol: Rules(lot, TICK) for symbol in symbols}
        self.position = {s: rng.choice((0, 0, 3, -2)) * 100 // lot * lot for s in symbols}
        self.positions = {s: [(0, n)] for s, n in self.position.items()}
        self.own = dict.fromkeys(symbols, 0)  # moved by orders of ours, in all
        self.marks = {s: Decimal(100) + 10 * n for n, s in enumerate(symbols)}
        self.paid = {s: cost_of(n, self.marks[s]) for s, n in self.position.items()}
        self.orders: dict[str, Order] = {}
        self.alive: dict[str, Order] = {}
        self.by_name: dict[str, list[Order]] = {}
        self.executions: list[tuple[int, Row]] = []  # world's time, row
        self.executions_by_name: dict[str, list[tuple[int, Row]]] = {}
        self.fills: dict[str, tuple[str, int, str]] = {}  # what moved it: symbol, signed, name
        self.past_marks = {s: deque[tuple[int, Decimal]](maxlen=200) for s in symbols}  # until when
        self.margins: set[tuple[int, int]] = set()  # that were told: balance, available
        self.liquidations = False  # whether a position row says where it would be taken away
        self._switch = 0
        self.switch = "never armed"  # the dead man's; or "armed", "disarmed", "fired"

    # -- what people and programs ask of it -------------------------------------------------------

    def place(self, asked: Row) -> tuple[int, object]:
        """Take in an order. Returns status and body of the answer."""
        symbol, name = str(asked["symbol"]), str(asked.get("clOrdID", ""))
        if symbol not in self.position:
            return 400, "Invalid symbol"
        rules = self.rules[symbol]
        if not rules.open:
            return 400, "Market is not open"
        if int(str(asked["orderQty"])) % rules.lot:
            return 400, "Invalid orderQty"
        if Decimal(str(asked["price"])) % rules.tick:
            return 400, "Invalid price tickSize"
        if any(o.open for o in self.by_name.get(name, ())) and name:
            return 400, "Duplicate clOrdID"
        words = str(asked.get("execInst", ""))
        order = self._new(
            name,
            symbol,
            1 if asked["side"] == "Buy" else -1,
            int(str(asked["orderQty"])),
            Decimal(str(asked["price"])),
            "ReduceOnly" in words,
        )
        if order.reduce_only and self.position[symbol] * order.side >= 0:
            self._end(order, "Rejected", "ReduceOnly: there is nothing to reduce", "insert")
            return 200, row_of(order)
        if self._draws.strikes("reject_in_200", self.weather.reject_in_200):
            self._end(order, "Rejected", "Account has insufficient Available Balance", "insert")
            return 200, row_of(order)
        self._execute(order, "New", 0, order.price)
        self._shrink(order, quiet=True)
        post_only = "ParticipateDoNotInitiate" in words
        if post_only and self._draws.strikes("kill_post_only", self.weather.kill_post_only):
            self._end(order, "Canceled", "Canceled: Order had execInst of ...Initiate", "insert")
            return 200, row_of(order)
        self.alive[order.order_id] = order
        self.placed(order)
        at_once = asked.get("timeInForce") == "ImmediateOrCancel"
        first = 0
        if at_once:
            first = self._draws.one("ioc", (order.leaves, order.leaves, self._part(order), 0))
        elif not post_only and self._draws.of("cross").random() < 0.5:
            first = order.leaves
        elif self._draws.of("at once").random() < self.weather.fill_at_once:
            first = self._part(order) if self._draws.of("at once").random() < 0.5 else 0
        if self.weather.three_messages or not first:
            self._tell(order, "insert")
            action = "update"
        else:
            action = "insert"  # one frame, with what became of it
        if first:
            self._trade(order, first, action=action)
        if at_once and order.open:
            self._end(order, "Canceled", "Canceled: IOC", "update")
        self._fill_later(order)
        return 200, row_of(order)

    def amend(self, asked: Row) -> tuple[int, object]:
        """Change a price."""
        name, price = str(asked["origClOrdID"]), Decimal(str(asked["price"]))
        for order in self.by_name.get(name, ()):
            if order.open:
                if order.price == price:
                    return 400, "Invalid amend: orderQty, leavesQty, price, stopPx unchanged"
                order.price = price
                self._execute(order, "Replaced", 0, price)
                self._tell(order, "update")
                return 200, row_of(order)
        return (400, "Invalid ordStatus") if name in self.by_name else (404, "Not Found")

    def cancel(self, name: str, order_id: str = "") -> tuple[int, object]:
        """Cancel what is open under a name, or an id of ours."""
        known = self.by_name.get(name, [])
        if not name and order_id in self.orders:
            known = [self.orders[order_id]]
            if known[0].cl_ord_id.startswith(OWN[:3]):
                raise Broken("VENUE-7", f"{known[0].cl_ord_id} is no order for us to cancel")
        if order_id:
            known = [order for order in known if order.order_id == order_id]
        answers: list[Row] = []
        for order in known:
            if order.open:
                self._execute(order, "Canceled", 0, order.price)
                self._end(order, "Canceled", "Canceled via API.", "update")
                answers.append(row_of(order))
        if answers:
            return 200, answers
        form = self._draws.of("cancel form").random()
        error = f"Unable to cancel order due to existing state: {known[-1].status}" if known else ""
        if form < 0.4:
            stub: Row = {"clOrdID": name, "error": error or "Not Found"}
            if known:
                stub = {**row_of(known[-1]), "error": error}
            return 200, [stub]
        if form < 0.5:
            exec_id = f"reject-{len(self.executions)}-{self._agenda.now_us}"
            rejected = known[-1].order_id if known else "0"
            row = wording.cancel_reject(ACCOUNT, exec_id, rejected, self.clock.now_us())
            self.show("execution", "insert", row)
        if form < 0.7:
            return 200, []
        return (400, error) if known else (404, "Not Found")

    def cancel_all_after(self, timeout_ms: int) -> tuple[int, object]:
        """Arm the dead man's switch, or disarm it with 0."""
        self._switch += 1
        armed = self._switch
        now_us = self.clock.now_us()
        self.switch = "armed" if timeout_ms else "disarmed"
        if not timeout_ms:
            return 200, {"now": iso(now_us), "cancelTime": 0}

        def fire() -> None:
            if self._switch == armed:
                self.switch = "fired"
                for order in list(self.alive.values()):
                    self._end(order, "Canceled", "Canceled: cancelAllAfter", "update")

        self._agenda.later(timeout_ms * 1000, fire)
        return 200, {"now": iso(now_us), "cancelTime": iso(now_us + timeout_ms * 1000)}

    def person_trades(self, symbol: str, contracts: int, kind: str = "Trade") -> None:
        """Somebody else, or the venue itself, moves the position."""
        order = self._new("", symbol, 1 if contracts > 0 else -1, abs(contracts), Decimal(0), False)
        order.price = self.marks[symbol]
        self._trade(order, abs(contracts), kind=kind, action="insert")
        for own in list(self.alive.values()):
            if own.symbol == symbol:
                self._shrink(own)

    def person_places(self, symbol: str, contracts: int, name: str = "") -> None:
        """Somebody else's order rests here for a while; it may be filled."""
        order = self._new(
            name, symbol, 1 if contracts > 0 else -1, abs(contracts), self.marks[symbol], False
        )
        self.alive[order.order_id] = order
        self._execute(order, "New", 0, order.price)
        self._tell(order, "insert")
        self._fill_later(order)

        def gives_up() -> None:
            if order.open:
                self._end(order, "Canceled", "Canceled by hand.", "update")

        self._agenda.later(self._draws.after("person gives up", 20 * SECOND), gives_up)

    def settle(self, symbol: str) -> None:
        """A contract has come to its end: no order is left, and no position."""
        self.rules[symbol].state = "Settled"
        for order in list(self.alive.values()):
            if order.symbol == symbol:
                self._end(order, "Canceled", "Canceled: Settlement", "update")
        if self.position[symbol]:
            self.person_trades(symbol, -self.position[symbol], "Settlement")

    def pay_funding(self, symbol: str) -> None:
        """Cash, dressed as an execution of the whole position."""
        held = self.position[symbol]
        if held:
            side = 1 if held > 0 else -1
            order = Order(
                order_id="00000000-0000-0000-0000-000000000000",
                cl_ord_id="",
                symbol=symbol,
                side=side,
                quantity=abs(held),
                price=self.marks[symbol],
                reduce_only=False,
                own=False,
            )
            self._execute(order, "Funding", abs(held), order.price)

    # -- what it does by itself --------------------------------------------------------------------

    def _new(
        self, name: str, symbol: str, side: int, quantity: int, price: Decimal, reduce_only: bool
    ) -> Order:
        order = Order(
            order_id=f"00000000-0000-4000-8000-{len(self.orders) + 1:012d}",
            cl_ord_id=name,
            symbol=symbol,
            side=side,
            quantity=quantity,
            price=price,
            reduce_only=reduce_only,
            own=name.startswith(OWN) and not name.startswith(("rc-zzzz-", STRANGER)),
            changed_us=self.clock.now_us(),
        )
        self.orders[order.order_id] = order
        if name:
            self.by_name.setdefault(name, []).append(order)
        return order

    def _fill_later(self, order: Order) -> None:
        """Somebody will trade with it, again and again until it is gone."""
        if not order.open:
            return

        def fill() -> None:
            if order.open:
                if self.rules[order.symbol].open:
                    self._trade(order, self._part(order), action="update")
                self._fill_later(order)

        self._agenda.later(self._draws.after("fill", self.weather.fill_mean_us), fill)

    def _part(self, order: Order) -> int:
        rng, lot = self._draws.of("part"), self.rules[order.symbol].lot
        if rng.random() < 0.4 or order.leaves <= lot:
            return order.leaves
        return int(rng.random() * (order.leaves // lot)) * lot + lot

    def _trade(self, order: Order, contracts: int, action: str, kind: str = "Trade") -> None:
        order.filled += contracts
        done = order.filled >= order.quantity
        order.status = "Filled" if done else "PartiallyFilled"
        signed = order.side * contracts
        symbol = order.symbol
        before = self.position[symbol]
        self.position[symbol] = after = before + signed
        self.positions[symbol].append((self._agenda.now_us, after))
        if order.own:
            self.own[symbol] += signed
        if done:
            self.alive.pop(order.order_id, None)
        self._execute(order, kind, contracts, order.price)
        self._tell(order, action)
        if self._draws.of("old position").random() < self.weather.old_position:
            self._show_position(symbol, before)
        self._show_position(symbol, after)
        self.traded(order, signed)
        if not order.own:
            return
        for other in list(self.alive.values()):
            if other is not order and other.symbol == symbol:
                self._shrink(other)

    def _shrink(self, order: Order, quiet: bool = False) -> None:
        """A reduce-only order never has more open than there is to reduce."""
        if not order.reduce_only or not order.open:
            return
        most = max(0, -self.position[order.symbol] * order.side)
        if order.leaves <= most:
            return
        if most == 0:
            self._end(order, "Canceled", "Canceled: ReduceOnly", "update")
            return
        order.quantity = order.filled + most
        if not quiet:
            self._tell(order, "update")

    def _end(self, order: Order, status: str, text: str, action: str) -> None:
        order.status, order.text = status, text
        self.alive.pop(order.order_id, None)
        self._tell(order, action)

    # -- what it shows -----------------------------------------------------------------------------

    def _tell(self, order: Order, action: str) -> None:
        order.changed_us = self.clock.now_us()
        row = row_of(order)
        order.past.append((self._agenda.now_us, row))
        if self._draws.strikes("unknown_word", self.weather.unknown_word):
            row = {**row, "ordStatus": "Pondering"}
        if action == "update":
            kept = ("orderID", "clOrdID", "account", "symbol", "timestamp")
            changed = ("ordStatus", "leavesQty", "cumQty", "orderQty", "price", "text")
            row = {name: row[name] for name in (*kept, *changed) if name in row}
        self.show("order", action, row)

    def _execute(self, order: Order, kind: str, contracts: int, price: Decimal) -> None:
        moves = kind not in ("New", "Canceled", "Replaced", "Funding")
        signed = order.side * contracts
        number = len(self.executions) + 1
        row: Row = {
            "execID": f"00000000-0000-4000-9000-{number:012d}",
            "orderID": order.order_id,
            "account": ACCOUNT,
            "symbol": order.symbol,
            "side": "Buy" if order.side > 0 else "Sell",
            "orderQty": order.quantity,
            "price": price,
            "settlCurrency": "XBt",
            "execType": kind,
            "ordStatus": order.status,
            "leavesQty": order.leaves,
            "cumQty": order.filled,
            "timestamp": iso(self.clock.now_us()),
        }
        if order.cl_ord_id:
            row["clOrdID"] = order.cl_ord_id
        if contracts:
            row["lastQty"], row["lastPx"] = contracts, price
            row["execCost"], row["execComm"] = cost_of(signed, price), contracts
            self.paid[order.symbol] += contracts + (cost_of(signed, price) if moves else 0)
            row["lastLiquidityInd"] = "AddedLiquidity"
        if moves:
            self.fills[str(row["execID"])] = (order.symbol, signed, order.cl_ord_id)
        entry = (self._agenda.now_us, row)
        self.executions.append(entry)
        self.executions_by_name.setdefault(order.cl_ord_id, []).append(entry)
        self.show("execution", "insert", row)

    def result(self, symbol: str) -> int:
        """What a symbol has brought since the beginning, in satoshi."""
        return cost_of(self.position[symbol], self.marks[symbol]) - self.paid[symbol]

    def taken(self, exec_id: str) -> int:
        """What an execution has cost, fee and all."""
        row = self.executions[int(exec_id[-12:]) - 1][1]
        cost = int(str(row["execCost"])) if exec_id in self.fills else 0
        return cost + int(str(row["execComm"]))

    def move_mark(self, symbol: str, mark: Decimal) -> None:
        """The market goes on."""
        self.past_marks[symbol].append((self._agenda.now_us, self.marks[symbol]))
        self.marks[symbol] = mark

    def liquidation(self, symbol: str, contracts: int) -> Decimal | None:
        """The mark at which *contracts* would be taken away: the nearer, the more they are."""
        if not contracts or not self.liquidations:
            return None
        first = Decimal(100 + 10 * self.symbols.index(symbol))
        price = first - first * 15 / contracts
        return max(price, TICK).quantize(TICK)

    def position_row(self, symbol: str, contracts: int, age_us: int = 0) -> Row:
        """A position row that says *contracts*, as it was *age_us* ago."""
        at_us = self.clock.now_us() - age_us
        row = wording.position(ACCOUNT, symbol, contracts, self.marks[symbol], at_us)
        taken_at = self.liquidation(symbol, contracts)
        return {**row, "liquidationPrice": taken_at} if taken_at is not None else row

    def _show_position(self, symbol: str, contracts: int) -> None:
        self.show("position", "update", self.position_row(symbol, contracts))

    def instrument_row(self, symbol: str) -> Row:
        """The whole row of an instrument."""
        rules, mark = self.rules[symbol], self.marks[symbol]
        return wording.instrument(
            symbol, rules.state, rules.lot, rules.tick, mark, self.clock.now_us()
        )

    # -- what a look-up finds, as things were at a moment ------------------------------------------

    def orders_at(self, then_us: int, name: str = "") -> list[Row]:
        """The row of each order then: of one name, or of all that were open."""
        found = []
        for order in self.by_name.get(name, []) if name else self.orders.values():
            if not name and not order.open and self._agenda.now_us - order.past[-1][0] > 3 * SECOND:
                continue
            row = next((r for at, r in reversed(order.past) if at <= then_us), None)
            if row is not None and (name or row["ordStatus"] in (*OPEN, "Pondering")):
                found.append(row)
        return found

    def executions_at(self, then_us: int, name: str = "", since: str = "") -> list[Row]:
        """Executions that could be seen then, of one name or since a time."""
        entries = self.executions_by_name.get(name, []) if name else self.executions
        return [row for at, row in entries if at <= then_us and str(row["timestamp"]) >= since]

    def filled_us(self, exec_id: str) -> int:
        """When an execution happened, in the world's time."""
        return self.executions[int(exec_id[-12:]) - 1][0]

    def position_at(self, symbol: str, then_us: int) -> int:
        """The position as it was."""
        return next(n for at, n in reversed(self.positions[symbol]) if at <= then_us)

    def own_open(self, symbol: str) -> list[Order]:
        """Every order of ours that rests on *symbol*."""
        return [order for order in self.alive.values() if order.own and order.symbol == symbol]
