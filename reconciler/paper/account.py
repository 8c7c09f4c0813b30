"""
What an account holds and owes: positions, costs, PnL, margin and wallet (protocol sheet, 8.2).

Amounts are integer minor units of the settlement currency; contracts are signed integers. Costs
keep the sign rule of `Instrument.cost`: a long inverse position has a negative cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from .instruments import Instrument, ceil_mul

DEFAULT_BALANCES: dict[str, int] = {"XBt": 100 * 100_000_000, "USDt": 1_000_000 * 1_000_000}


@dataclass(slots=True)
class Position:
    """One account's position in one instrument."""

    account: int
    instrument: Instrument
    mark: Decimal  # quote currency
    risk_limit: int
    qty: int = 0
    realised_cost: int = 0
    unrealised_cost: int = 0  # cost of what is held now, at average
    comm: int = 0  # fees since the position was opened
    average: Decimal | None = None  # entry price, unrounded
    prev_realised_pnl: int = 0  # of the position before this one
    prev_close: Decimal | None = None
    leverage: Decimal = Decimal(0)  # 0: cross margin
    open_buy_qty: int = 0
    open_buy_cost: int = 0
    open_sell_qty: int = 0
    open_sell_cost: int = 0
    sent: dict[str, object] | None = None  # the row that subscribers have, None: never sent
    filled: bool = False  # traded since the row was last sent

    @property
    def current_cost(self) -> int:
        return self.realised_cost + self.unrealised_cost

    @property
    def realised_pnl(self) -> int:
        return -self.realised_cost - self.comm

    @property
    def mark_value(self) -> int:
        """Value at mark with the sign of the cost (long inverse: negative)."""
        return self.instrument.cost(self.qty, self.mark) if self.qty else 0

    @property
    def unrealised_pnl(self) -> int:
        return self.mark_value - self.unrealised_cost

    @property
    def init_margin_req(self) -> Decimal:
        if self.leverage:
            return max(self.instrument.init_margin, 1 / self.leverage)
        return self.instrument.init_margin

    def trade(self, contracts: int, price: Decimal, cost: int, fee: int) -> int:
        """
        Book an execution of signed *contracts*; returns the change of realised PnL (minor units).

        A position that opens from flat starts its costs afresh; what the former one
        realised moves to `prev_realised_pnl` (section 8.2: costs count since flat).
        """
        before = self.realised_pnl
        if self.qty == 0 and (self.realised_cost or self.comm):
            self.prev_realised_pnl = before
            self.realised_cost = self.unrealised_cost = self.comm = 0
            before = 0
        closing = min(abs(contracts), abs(self.qty)) if self.qty * contracts < 0 else 0
        if closing:
            released = (
                self.unrealised_cost
                if closing == abs(self.qty)
                else int(Decimal(self.unrealised_cost) * closing / abs(self.qty))
            )
            cost_of_closing = int(Decimal(cost) * closing / abs(contracts))
            self.realised_cost += released + cost_of_closing
            self.unrealised_cost -= released
            cost -= cost_of_closing
        opening = abs(contracts) - closing
        held = abs(self.qty) - closing
        self.qty += contracts
        self.comm += fee
        if opening:
            self.unrealised_cost += cost
            held_average = self.average if held else None
            self.average = self.instrument.average(held, held_average, opening, price)
        elif self.qty == 0:
            self.average = None
        self.filled = True
        return self.realised_pnl - before

    def order_margin(self, contracts: int, cost: int) -> int:
        """
        Initial margin of an order of unsigned *contracts* and *cost* (section 8.2).

        Entry at leverage, the fee to enter, and the fee to leave at bankruptcy.
        """
        if not contracts:
            return 0
        rate, fee = self.init_margin_req, self.instrument.taker_fee
        return ceil_mul(cost, rate) + ceil_mul(cost, fee) + ceil_mul(cost, fee * (1 + rate))

    @property
    def init_margin(self) -> int:
        """Margin held by open orders; contracts that would reduce the position need none."""
        total = 0
        for qty, cost, held in (
            (self.open_buy_qty, self.open_buy_cost, -self.qty),
            (self.open_sell_qty, self.open_sell_cost, self.qty),
        ):
            opening = qty - max(0, held)
            if opening > 0:
                total += self.order_margin(opening, abs(cost) * opening // qty)
        return total

    @property
    def pos_init(self) -> int:
        return ceil_mul(self.unrealised_cost, self.init_margin_req)

    @property
    def pos_comm(self) -> int:
        """Fee to leave at bankruptcy."""
        return ceil_mul(
            self.unrealised_cost, self.instrument.taker_fee * (1 + self.init_margin_req)
        )

    @property
    def pos_margin(self) -> int:
        return self.pos_init + self.pos_comm

    @property
    def pos_maint(self) -> int:
        return ceil_mul(self.unrealised_cost, self.instrument.maint_margin) + self.pos_comm

    @property
    def maint_margin(self) -> int:
        return self.pos_margin + self.unrealised_pnl if self.qty else 0

    def price_at_loss(self, loss: int) -> Decimal | None:
        """
        The price at which the position has lost *loss* minor units, on a tick toward safety.

        None when flat. A short inverse position whose loss is never reached gets the highest
        price of the instrument, a long one of the others the lowest.
        """
        if not self.qty:
            return None
        inst = self.instrument
        cost = abs(self.unrealised_cost)
        long = self.qty > 0
        if inst.is_inverse:
            value = cost + loss if long else cost - loss
            if value <= 0:
                return inst.max_price
            price = Decimal(-inst.multiplier * abs(self.qty)) / value
        else:
            value = cost - loss if long else cost + loss
            if value <= 0:
                return inst.tick
            price = Decimal(value) / (inst.multiplier * abs(self.qty))
        ticks = int(price / inst.tick)
        return min(inst.max_price, inst.price(max(1, ticks + 1 if long else ticks)))


@dataclass(slots=True)
class Account:
    """One trader: a wallet a currency and a position a symbol."""

    number: int
    deposited: dict[str, int]  # minor units by currency
    positions: dict[str, Position] = field(default_factory=dict)
    realised: dict[str, int] = field(default_factory=dict)  # minor units, since the start
    margin_sent: dict[str, dict[str, object]] = field(default_factory=dict)

    def position(self, instrument: Instrument, mark: Decimal) -> Position:
        """The position in *instrument*, made on first use (before that it has no row)."""
        found = self.positions.get(instrument.symbol)
        if found is None:
            found = Position(self.number, instrument, mark, instrument.risk_limit)
            self.positions[instrument.symbol] = found
        return found

    def trade(
        self, position: Position, contracts: int, price: Decimal, cost: int, fee: int
    ) -> None:
        """Book an execution on the position and what it realised in the wallet."""
        currency = position.instrument.settle
        gained = position.trade(contracts, price, cost, fee)
        self.realised[currency] = self.realised.get(currency, 0) + gained

    def charge(self, position: Position, amount: int) -> None:
        """Take a payment on a position, such as funding (minor units; below zero is received)."""
        currency = position.instrument.settle
        position.comm += amount
        self.realised[currency] = self.realised.get(currency, 0) - amount

    def wallet_balance(self, currency: str) -> int:
        return self.deposited.get(currency, 0) + self.realised.get(currency, 0)

    def in_currency(self, currency: str) -> list[Position]:
        return [p for p in self.positions.values() if p.instrument.settle == currency]

    def margin_balance(self, currency: str) -> int:
        gains = sum(p.unrealised_pnl for p in self.in_currency(currency))
        return self.wallet_balance(currency) + gains

    def available(self, currency: str) -> int:
        """availableMargin: balance less what orders and positions hold, not below zero."""
        held = sum(p.init_margin + p.maint_margin for p in self.in_currency(currency))
        return max(0, self.margin_balance(currency) - held)

    def liquidation_price(self, position: Position) -> Decimal | None:
        """Where the position meets its maintenance margin; cross margin risks the whole balance."""
        return position.price_at_loss(self._backing(position) - position.pos_maint)

    def bankrupt_price(self, position: Position) -> Decimal | None:
        return position.price_at_loss(self._backing(position))

    def in_danger(self) -> list[Position]:
        """Positions below their maintenance margin: isolated ones alone, cross ones together."""
        found = []
        for currency in self.deposited:
            held = [p for p in self.in_currency(currency) if p.qty]
            found += [
                p for p in held if p.leverage and p.pos_margin + p.unrealised_pnl < p.pos_maint
            ]
            crossed = [p for p in held if not p.leverage]
            isolated = sum(p.pos_margin for p in held if p.leverage)
            equity = self.wallet_balance(currency) - isolated
            equity += sum(p.unrealised_pnl for p in crossed)
            if crossed and equity < sum(p.pos_maint for p in crossed):
                found += crossed
        return found

    def _backing(self, position: Position) -> int:
        """Minor units that can be lost on *position*."""
        if position.leverage:
            return position.pos_margin
        currency = position.instrument.settle
        others = sum(p.maint_margin for p in self.in_currency(currency) if p is not position) + sum(
            p.init_margin for p in self.in_currency(currency)
        )
        return max(position.pos_margin, self.wallet_balance(currency) - others)
