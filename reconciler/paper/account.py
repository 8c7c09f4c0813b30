"""
What an account holds and owes: positions, their costs and PnL, and the wallet (sheet, 8.2).

Amounts are integer minor units of the settlement currency; contracts are signed integers. Costs
keep the sign rule of `Instrument.cost`: a long inverse position has a negative cost. How much of it
all is held as margin, and where that runs out, is in `margin`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from .instruments import Instrument, ceil_mul, plain

DEFAULT_BALANCES: dict[str, int] = {"XBt": 100 * 100_000_000, "USDt": 1_000_000 * 1_000_000}


class Rates(NamedTuple):
    """What margins of a position are reckoned with, and what that follows from."""

    instrument: Instrument
    risk_limit: int
    leverage: Decimal
    init: Decimal
    maint: Decimal
    shown_init: Decimal
    shown_maint: Decimal
    shown_leverage: Decimal
    exit_fee: Decimal  # to leave at bankruptcy, of an order's cost
    worth: Decimal  # cost and margin, of a position's cost
    cushion: Decimal  # what may be lost of the margin before liquidation, of a position's cost
    with_fee: Decimal  # an amount and the fee to trade it


@dataclass(slots=True)
class Position:
    """One account's position in one instrument. In spot it only counts open orders."""

    account: int
    instrument: Instrument
    mark: Decimal  # quote currency
    risk_limit: int
    qty: int = 0
    realised_cost: int = 0
    unrealised_cost: int = 0  # cost of what is held now, at average
    comm: int = 0  # fees and funding since the position was opened
    average: Decimal | None = None  # entry price, unrounded
    rebalanced: int = 0  # realised PnL that went to the wallet: below zero for a profit (8.2)
    unsettled: int = 0  # realised since the last daily settlement
    prev_realised_pnl: int = 0  # of the position, or the day, before this one
    leverage: Decimal = Decimal(0)  # 0: cross margin
    transferred: int = 0  # margin added by hand, isolated positions only
    open_buy_qty: int = 0
    open_buy_cost: int = 0
    open_buy_premium: int = 0
    open_sell_qty: int = 0
    open_sell_cost: int = 0
    open_sell_premium: int = 0
    state: str = ""  # posState
    percentile: Decimal | None = None  # place in the queue for auto-deleveraging; 1 is first
    sent: dict[str, object] | None = None  # the row that subscribers have, None: never sent
    filled: bool = False  # traded since the row was last sent
    rated: Rates | None = None  # the last that was worked out

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

    def trade(self, contracts: int, price: Decimal, cost: int, fee: int) -> int:
        """
        Book an execution of signed *contracts*; returns the change of realised PnL (minor units).

        A position that opens from flat starts its costs afresh; what the former one
        realised moves to `prev_realised_pnl` (section 8.2: costs count since flat).
        """
        before = self.realised_pnl
        if self.qty == 0 and (self.realised_cost or self.comm):
            self.prev_realised_pnl = before
            self.realised_cost = self.unrealised_cost = self.comm = self.rebalanced = 0
            before = 0
        closing = min(abs(contracts), abs(self.qty)) if self.qty * contracts < 0 else 0
        if closing:
            # Shares are truncated, and what is cut off stays with the part that stays open: no
            # unit is lost.
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
        if not held:
            self.transferred = 0  # margin added by hand goes back when the position closes
        if opening:
            self.unrealised_cost += cost
            held_average = self.average if held else None
            self.average = self.instrument.average(held, held_average, opening, price)
        elif self.qty == 0:
            self.average = None
        self.filled = True
        gained = self.realised_pnl - before
        self.unsettled += gained
        return gained

    # -- margin of the position alone (section 8.2) ----------------------------------------------

    @property
    def rates(self) -> Rates:
        """Margin rates; they change when a person says so, and are asked for with every order."""
        r = self.rated
        if (
            r is None
            or r.instrument is not self.instrument
            or r.risk_limit != self.risk_limit
            or r.leverage != self.leverage
        ):
            inst, leverage = self.instrument, self.leverage
            least = inst.init_margin + self._risk_surcharge
            init = max(least, 1 / leverage) if leverage else least
            maint = inst.maint_margin + self._risk_surcharge
            r = self.rated = Rates(
                inst, self.risk_limit, leverage, init, maint, plain(init), plain(maint),
                leverage or plain(1 / init), inst.taker_fee * (1 + init),
                1 + init, init - maint, 1 + inst.taker_fee,
            )  # fmt: skip
        return r

    @property
    def init_margin_req(self) -> Decimal:
        """Of the risk limit, or more when the leverage is lower than that allows."""
        return self.rates.init

    @property
    def maint_margin_req(self) -> Decimal:
        return self.rates.maint

    @property
    def _risk_surcharge(self) -> Decimal:
        """Each step of the risk limit adds the base maintenance margin once more to both."""
        inst = self.instrument
        if self.risk_limit <= inst.risk_limit or not inst.risk_step:
            return Decimal(0)
        steps = -(-(self.risk_limit - inst.risk_limit) // inst.risk_step)
        return steps * inst.maint_margin

    def order_margin(self, contracts: int, cost: int) -> int:
        """
        Initial margin of an order of unsigned *contracts* and *cost* (section 8.2).

        Entry at leverage, the fee to enter, and the fee to leave at bankruptcy.
        """
        if not contracts:
            return 0
        rates, fee = self.rates, self.instrument.taker_fee
        return ceil_mul(cost, rates.init) + ceil_mul(cost, fee) + ceil_mul(cost, rates.exit_fee)

    @property
    def init_margin(self) -> int:
        """Margin held by open orders; contracts that would reduce the position need none."""
        if self.instrument.is_spot:  # paid in full, with the fee, out of the quote currency
            return self.open_buy_cost + ceil_mul(self.open_buy_cost, self.instrument.taker_fee)
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
        """Fee to leave at bankruptcy, before a cross position draws on the balance."""
        return self.comm_with(0)

    def comm_with(self, cross: int) -> int:
        """
        Fee to leave at bankruptcy, once *cross* minor units of the balance back the position.

        ⌈takerFee × (|cost| × (1 + initMarginReq) + cross)⌉ reproduces a recorded row of a cross
        position in liquidation (cost 5142779, cross 18335, fee 0.00075: 3910).
        """
        if not self.qty:
            return 0
        value = abs(self.unrealised_cost) * self.rates.worth + cross
        return ceil_mul_exact(value, self.instrument.taker_fee)

    @property
    def maint(self) -> int:
        """posMaint without the fee to leave."""
        return ceil_mul(self.unrealised_cost, self.maint_margin_req)

    def price_at(self, lost: Decimal) -> Decimal | None:
        """
        The price at which the position has lost that part of its cost, on a tick toward safety.

        None when flat. A short inverse position whose loss is never reached gets the highest
        price of the instrument, a long one of the others the lowest.
        """
        if not self.qty or self.average is None:
            return None
        inst, long = self.instrument, self.qty > 0
        if inst.is_inverse:
            part = 1 + lost if long else 1 - lost
            if part <= 0:
                return inst.max_price
            price = self.average / part
        else:
            price = self.average * (1 - lost if long else 1 + lost)
        whole = int(price / inst.tick)
        up = long and whole * inst.tick < price
        return min(inst.max_price, inst.price(max(1, whole + 1 if up else whole)))

    @property
    def break_even_price(self) -> Decimal | None:
        """Where leaving as a taker costs nothing: entry and one fee, on a tick toward safety."""
        return self.price_at(-self.instrument.taker_fee)


def ceil_mul_exact(value: Decimal, rate: Decimal) -> int:
    """⌈value × rate⌉ for a value that need not be whole."""
    product = value * rate
    whole = int(product)
    return whole + 1 if product > whole else whole


@dataclass(slots=True)
class Account:
    """One trader: a wallet a currency and a position a symbol."""

    number: int
    deposited: dict[str, int]  # minor units by currency
    positions: dict[str, Position] = field(default_factory=dict)
    realised: dict[str, int] = field(default_factory=dict)  # since the last daily settlement
    settled: dict[str, int] = field(default_factory=dict)  # realised and settled; spot trades
    prev_realised: dict[str, int] = field(default_factory=dict)  # of the last daily settlement
    history: list[dict[str, object]] = field(default_factory=list)  # walletHistory, oldest first
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
        """Book an execution on the position and what it realised; in spot, both currencies."""
        inst = position.instrument
        if inst.is_spot:
            self.move(inst.base, contracts)
            self.move(inst.settle, -cost - fee)
            return
        gained = position.trade(contracts, price, cost, fee)
        self.realised[inst.settle] = self.realised.get(inst.settle, 0) + gained

    def charge(self, position: Position, amount: int) -> None:
        """Take a payment on a position, such as funding (minor units; below zero is received)."""
        currency = position.instrument.settle
        position.comm += amount
        position.unsettled -= amount
        self.realised[currency] = self.realised.get(currency, 0) - amount

    def move(self, currency: str, amount: int) -> None:
        """Put *amount* into the wallet itself, or take it out."""
        self.settled[currency] = self.settled.get(currency, 0) + amount

    def amount(self, currency: str) -> int:
        """The wallet without what was realised since the last daily settlement."""
        return self.deposited.get(currency, 0) + self.settled.get(currency, 0)

    def wallet_balance(self, currency: str) -> int:
        return self.amount(currency) + self.realised.get(currency, 0)

    def in_currency(self, currency: str) -> list[Position]:
        return [p for p in self.positions.values() if p.instrument.settle == currency]
