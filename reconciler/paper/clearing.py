"""
The clearing house: margin before an order, funding, the daily settlement, the end of a future.

Protocol sheet, sections 8.2 and 8.3. What time brings comes in market time (`times.Clock`); rows
are stamped with wall time. All money is in integer minor units, and nothing is lost: see `audit`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from decimal import Decimal

from . import errors, executions, margin
from .account import Account, Position
from .amending import Amending
from .instruments import Instrument, commission
from .market import BUY
from .money_rows import position_row, transaction
from .orders import AT_MARKET, NewOrder, Order, Row
from .protocol import Change
from .venue_market import Market

DAY_MS = 86_400_000
NOON_MS = DAY_MS // 2  # the daily settlement, UTC (section 8.2)
SETTLED = "Canceled: Settlement"


class Clearing(Amending):
    """The rules of margin and of payments between accounts."""

    @abstractmethod
    def _make(self, account: int, new: NewOrder, qty: int, now_ms: int) -> Order:
        """An order, not yet known to anybody."""

    # -- margin ----------------------------------------------------------------------------------

    def _check_margin(
        self, order: Order, market: Market, contracts: int, ticks: int | None = None
    ) -> None:
        """
        Refuse what the account cannot back (section 7).

        Args:
            order: A new, triggered, amended or revived order.
            market: Where.
            contracts: All that it shall have open.
            ticks: Its new price, None if that does not change.

        Raises:
            Refusal: 400, in BitMEX's words.
        """
        inst, account = order.instrument, self.accounts[order.account]
        position = self.position(order.account, inst.symbol)
        ticks = order.ticks if ticks is None else ticks
        if order.ord_type in AT_MARKET:
            ticks = None  # a revived one has the price of its former trades, which binds nobody
        if ticks is not None and not inst.is_spot:
            margin.check_price(account, position, order.side, inst.price(ticks))
        if order.reduce_only:
            return
        self._count_orders(position, without=order)
        resting = position.open_buy_qty if order.side == BUY else position.open_sell_qty
        closing = max(0, -position.qty * order.side)
        opening = min(contracts, contracts + resting - closing)
        try:
            if opening > 0:
                cost = self._cost(inst, market, order.side, opening, ticks)
                if not order.working or cost > inst.value(order.leaves, order.price or market.mark):
                    margin.check_order(account, position, order.side, opening, cost)
        finally:  # whatever is said, the order still holds its margin
            if order.working:
                self._count_orders(position)

    @staticmethod
    def _cost(
        inst: Instrument, market: Market, side: int, contracts: int, ticks: int | None
    ) -> int:
        """Value at the order's price; at market, of what the book would give, best first."""
        if ticks is not None:
            return inst.value(contracts, inst.price(ticks))
        total, left, price = 0, contracts, market.mark
        for level, size in market.book.levels(-side):
            price = inst.price(level)
            taken = min(left, size)
            total += inst.value(taken, price)
            left -= taken
            if not left:
                break
        return total + (inst.value(left, price) if left else 0)

    def _contract(self, account: int, symbol: str) -> tuple[Account, Position]:
        """Account and position for a change of margin; spot has none."""
        position = self.position(account, symbol)
        if position.instrument.is_spot:
            raise errors.bad_request("Invalid symbol")
        self._count_orders(position)
        return self.accounts[account], position

    def set_leverage(self, account: int, symbol: str, leverage: Decimal, now_ms: int) -> Row:
        """Set a position's leverage (0: cross); its row."""
        owner, position = self._contract(account, symbol)
        margin.set_leverage(owner, position, leverage)
        self._touch(account, symbol)
        return position_row(owner, position, now_ms)

    def set_risk_limit(self, account: int, symbol: str, limit: int, now_ms: int) -> Row:
        """Set a position's risk limit (minor units); its row."""
        owner, position = self._contract(account, symbol)
        margin.set_risk_limit(owner, position, limit)
        self._touch(account, symbol)
        return position_row(owner, position, now_ms)

    def transfer_margin(self, account: int, symbol: str, amount: int, now_ms: int) -> Row:
        """Move margin (minor units) into an isolated position or back out; its row."""
        owner, position = self._contract(account, symbol)
        margin.transfer(owner, position, amount)
        self._touch(account, symbol)
        return position_row(owner, position, now_ms)

    # -- funding ---------------------------------------------------------------------------------

    def fund(self, market: Market, now_ms: int) -> None:
        """
        Longs pay shorts |markValue| x rate when the rate is above zero (section 8.3).

        Every payment is truncated toward zero; what the two sides then differ by, less than a unit
        for each position, stays with the venue (`odd_units`).
        """
        inst = market.inst
        if not inst.is_perpetual:
            raise errors.bad_request("Invalid symbol")
        told = self.records.fund(inst.symbol, market.funding_rate, now_ms)
        self._changes.append(Change("funding", "insert", None, inst.symbol, told))
        for owner in (*self.accounts.values(), self.house, self.engine):
            position = owner.positions.get(inst.symbol)
            if position is None or not position.qty:
                continue
            position.mark = market.mark
            value = abs(position.mark_value)
            amount = commission(value if position.qty > 0 else -value, market.funding_rate)
            owner.charge(position, amount)
            self.odd_units[inst.settle] = self.odd_units.get(inst.settle, 0) + amount
            if owner.number in self.accounts:
                row = executions.funding(
                    self._guid(), position, market.funding_rate, amount, now_ms
                )
                self._tell_execution(owner.number, row)

    def _tell_execution(self, account: int, row: Row) -> None:
        symbol = str(row["symbol"])
        self.executions[account].append(row)
        self._changes.append(Change("execution", "insert", account, symbol, row))
        self._touch(account, symbol)

    # -- daily settlement ------------------------------------------------------------------------

    def rebalance(self, now_ms: int) -> None:
        """
        Move what was realised since yesterday into the wallets, a line of walletHistory a symbol.

        rebalancedPnl has the sign of the money that left the position: below zero for a profit, as
        recorded rows have it.
        """
        for owner in (*self.accounts.values(), self.house, self.engine):
            owner.prev_realised = dict.fromkeys(owner.realised, 0)
            for position in owner.positions.values():
                if position.unsettled:
                    self._settle_pnl(owner, position, now_ms)
            member = owner.number in self.accounts
            for currency, realised in owner.realised.items():
                assert realised == 0, "what was realised belongs to a position"
                if member:
                    self._touched_wallets[owner.number, currency] = None
        for currency in self.engine.deposited:
            told = self.records.insure(currency, self.engine.wallet_balance(currency), now_ms)
            self._changes.append(Change("insurance", "insert", None, None, told))

    def _settle_pnl(self, owner: Account, position: Position, now_ms: int) -> None:
        currency, gained = position.instrument.settle, position.unsettled
        owner.realised[currency] -= gained
        owner.move(currency, gained)
        owner.prev_realised[currency] += gained
        position.unsettled = 0
        position.rebalanced = -position.realised_pnl
        position.prev_realised_pnl = gained
        if owner.number not in self.accounts:
            return
        self._write(owner, currency, "RealisedPNL", gained, position.instrument.symbol, now_ms)
        self._touch(owner.number, position.instrument.symbol)

    def _write(
        self, owner: Account, currency: str, kind: str, amount: int, address: str, now_ms: int
    ) -> None:
        """A line of walletHistory, and its row in the ``transact`` table."""
        row = transaction(
            owner, currency, kind=kind, amount=amount, at_ms=now_ms, transact_id=self._guid(),
            address=address,
        )  # fmt: skip
        owner.history.append(row)
        self._touched_wallets[owner.number, currency] = None
        self._changes.append(Change("transact", "insert", owner.number, None, row))

    def _book_trade(
        self, owner: Account, market: Market, signed: int, price: Decimal, cost: int, fee: int,
        now_ms: int,
    ) -> None:  # fmt: skip
        """A trade; in spot it moves the wallet itself, a line of walletHistory a currency."""
        super()._book_trade(owner, market, signed, price, cost, fee, now_ms)
        inst = market.inst
        if inst.is_spot and owner.number in self.accounts:
            moved = ((inst.base, signed), (inst.settle, -cost - fee))
            for currency, amount in moved:
                self._write(owner, currency, "SpotTrade", amount, inst.symbol, now_ms)

    # -- the end of a future ---------------------------------------------------------------------

    def settle(self, symbol: str, now_ms: int, price: Decimal | None = None) -> None:
        """
        Settle a future: orders are canceled, positions closed at *price*, the market is over.

        Without a price it is the mark. Costs of whole lots add up to nothing; if the lot was
        changed meanwhile, what rounding leaves stays with the venue (`odd_units`).

        Raises:
            Refusal: it is no contract, or the price is none.
        """
        market = self.markets[symbol]
        if market.inst.is_spot:
            raise errors.bad_request("Invalid symbol")
        if price is not None and not 0 < price <= market.inst.max_price:
            raise errors.bad_request("Invalid price")
        if market.state == "Settled":
            return
        market.state = "Settled"
        if price is not None:
            market.mark = price
        market.settled_price = market.mark
        for account in self.accounts:
            for order in self.open_orders(account, symbol):
                self._end(order, f"{SETTLED}\n{order.text}", now_ms)
        for resting in list(market.book.orders()):
            market.book.remove(resting.order_id)
        for owner in (*self.accounts.values(), self.house, self.engine):
            position = owner.positions.get(symbol)
            if position is not None and position.qty:
                self._settle_position(owner, position, market, now_ms)
        told = self.records.settle(symbol, market.mark, now_ms)
        self._changes.append(Change("settlement", "insert", None, symbol, told))

    def _settle_position(
        self, owner: Account, position: Position, market: Market, now_ms: int
    ) -> None:
        inst = market.inst
        position.mark = market.mark
        signed = -position.qty
        cost = inst.cost(signed, market.mark)
        member = owner.number in self.accounts
        fee = commission(abs(cost), inst.settlement_fee) if member else 0
        row = executions.settlement(self._guid(), position, market.mark, cost, fee, now_ms)
        self._book_trade(owner, market, signed, market.mark, cost, fee, now_ms)
        self.odd_units[inst.settle] = self.odd_units.get(inst.settle, 0) + cost
        if member:
            self._tell_execution(owner.number, row)

    # -- a changed specification -----------------------------------------------------------------

    def respecify(self, symbol: str, now_ms: int, **changes: object) -> Instrument:
        """
        Change lot, tick, fees or margin rates of an instrument while it trades (section 8.4).

        Orders keep their quantities, even if they are no whole lots any more. Their prices must be
        on the new tick: an order between two ticks is canceled. House orders are dropped when the
        tick changes; who makes the market quotes anew.

        Args:
            symbol: The instrument.
            now_ms: Wall time.
            changes: Fields of `Instrument`, such as ``lot=1`` or ``tick=Decimal("0.5")``.

        Raises:
            TypeError: there is no such field.
            Refusal: nobody could trade by such a rule; nothing changed.
        """
        market = self.markets[symbol]
        former, inst = market.inst, replace(market.inst, **changes)  # type: ignore[arg-type]
        _check_rules(inst)
        market.inst = inst
        self.catalogue[symbol] = inst
        for owner in (*self.accounts.values(), self.house, self.engine):
            if symbol in owner.positions:
                owner.positions[symbol].instrument = inst
        for account in self.accounts:
            for order in self.open_orders(account, symbol):
                order.instrument = inst
                self._recount(order)
            if symbol in self.accounts[account].positions:
                self._touch(account, symbol)
        if inst.tick != former.tick:
            self._retick(market, former, now_ms)
        return inst

    def _retick(self, market: Market, former: Instrument, now_ms: int) -> None:
        """Move resting orders to the new tick, each in its place in the queue."""
        book, inst = market.book, market.inst
        resting = book.queues()  # hidden orders, too
        for placed in resting:
            book.remove(placed.order_id)
        for account in self.accounts:
            for order in self.open_orders(account, inst.symbol):
                for name in ("ticks", "stop_ticks", "peg_offset"):
                    found = getattr(order, name)
                    setattr(order, name, None if found is None else _moved(found, former, inst))
                    if found is not None and getattr(order, name) is None:
                        self._end(order, f"Canceled: Invalid price tickSize\n{order.text}", now_ms)
        for placed in resting:
            kept, takeover = self.orders.get(placed.order_id), self.takeovers.get(placed.order_id)
            if takeover is not None:  # the engine's goes to the next tick on its safe side
                takeover.ticks = max(1, int(former.price(placed.ticks) / inst.tick))
                placed.ticks = takeover.ticks
                book.rest(placed)
            elif kept is not None and kept.open and kept.ticks is not None:
                placed.ticks = kept.ticks
                book.rest(placed)


def _check_rules(inst: Instrument) -> None:
    """Refuse rules under which prices, margins or fees make no sense."""
    wrong = (
        ("lotSize", inst.lot <= 0),
        ("tickSize", inst.tick <= 0),
        ("maxOrderQty", inst.max_qty < inst.lot),
        ("initMargin", not 0 < inst.init_margin <= 1),
        ("maintMargin", not 0 <= inst.maint_margin <= inst.init_margin),
        ("makerFee", not -1 < inst.maker_fee < 1),
        ("takerFee", not 0 <= inst.taker_fee < 1),
        ("settlementFee", not 0 <= inst.settlement_fee < 1),
    )
    for name, is_wrong in wrong:
        if is_wrong:
            raise errors.bad_request(f"Invalid {name}")


def _moved(ticks: int, former: Instrument, inst: Instrument) -> int | None:
    return inst.ticks(former.price(ticks))
