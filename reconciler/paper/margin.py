"""
How an account stands: what its orders and positions hold, what is free, where it ends (sheet, 8.2).

Rule 1: posMargin = posInit + posCross + posComm; maintMargin = posMargin + unrealisedPnl.
Rule 2: availableMargin = marginBalance - initMargin - maintMargin. So a profit is not free before
        it is realised, and the loss of an isolated position is no one else's.
Rule 3: a cross position whose mark moves against it draws its loss from the free balance: that
        is its posCross. An isolated one has there what was added by hand.
Rule 4: liquidation comes where posMargin - posMaint is lost, bankruptcy where posInit + posCross
        is; for a cross position both with all of the free balance behind it.

Rule 5: what a payment takes beyond the free balance, such as funding, comes out of the positions:
        their posCross falls below zero, and their liquidation comes nearer.

Rules 1, 3 and 4 reproduce a recorded row of a cross position in liquidation: posInit 51428,
posCross 18335, posComm 3910 and posMargin 73673.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from . import errors
from .account import Account, Position
from .instruments import ceil_mul

# Minor units, of all positions and orders in a currency: 10,000 XBT, or about as much in dollars.
# That of USDt is [unsure]; it must leave room for the steps of an instrument's own risk limit.
ACCOUNT_RISK_LIMITS = {"XBt": 1_000_000_000_000, "USDt": 600_000_000_000_000}


@dataclass(slots=True)
class Standing:
    """What an account has and holds in one currency, in minor units."""

    wallet: int
    init: int = 0  # held by open orders
    gains: int = 0  # unrealised PnL
    gross: int = 0  # value of all positions at mark
    held: int = 0  # posMargin of all positions
    available: int = 0  # what is held by nothing; below zero: no position has anything to give
    # By symbol: posInit, posCross, posComm, and posComm before anything was drawn.
    pos_init: dict[str, int] = field(default_factory=dict)
    cross: dict[str, int] = field(default_factory=dict)
    comm: dict[str, int] = field(default_factory=dict)
    least_comm: dict[str, int] = field(default_factory=dict)
    borne: dict[str, int] = field(default_factory=dict)  # what posCross is lower for (rule 5)

    @property
    def maint(self) -> int:
        return self.held + self.gains

    @property
    def balance(self) -> int:
        return self.wallet + self.gains

    def pos_margin(self, p: Position) -> int:
        """posInit + posCross + posComm."""
        if not p.qty:
            return 0
        symbol = p.instrument.symbol
        return self.pos_init[symbol] + self.cross.get(symbol, 0) + self.comm[symbol]

    def pos_maint(self, p: Position) -> int:
        if not p.qty:
            return 0
        return p.maint + self.comm[p.instrument.symbol]


def standing(account: Account, currency: str) -> Standing:
    """How *account* stands in *currency* at the marks of its positions."""
    s = Standing(account.wallet_balance(currency))
    losing: list[tuple[Position, int]] = []
    for p in account.positions.values():
        inst = p.instrument
        if inst.base == currency:
            s.init += p.open_sell_qty
        if inst.settle != currency:
            continue
        if p.open_buy_qty or p.open_sell_qty:
            s.init += p.init_margin
        if not p.qty:
            continue
        symbol, value, init, comm = inst.symbol, p.mark_value, p.pos_init, p.pos_comm
        gain = value - p.unrealised_cost
        s.gains += gain
        s.gross += abs(value)
        s.pos_init[symbol] = init
        s.comm[symbol] = s.least_comm[symbol] = comm
        s.held += init + comm + p.transferred
        if p.leverage:
            s.cross[symbol] = p.transferred
        elif gain < 0:
            losing.append((p, -gain))
    s.available = s.wallet - s.init - s.held
    if s.available < 0:
        _bear(s, account.in_currency(currency))
    for p, loss in losing:
        _draw(s, p, loss)
    return s


def _bear(s: Standing, positions: list[Position]) -> None:
    """
    Take what is missing from what positions hold, as far as that goes (rule 5).

    Cross positions first, which share the balance that is gone; the one that holds most before
    others [unsure: which of several BitMEX took it from].
    """
    holding = [p for p in positions if p.qty and s.pos_margin(p) > 0]
    for p in sorted(holding, key=lambda p: (p.leverage > 0, -s.pos_margin(p))):
        symbol, taken = p.instrument.symbol, min(-s.available, s.pos_margin(p))
        s.cross[symbol] = s.cross.get(symbol, 0) - taken
        s.borne[symbol] = taken
        s.held -= taken
        s.available += taken


def _draw(s: Standing, p: Position, loss: int) -> None:
    """Back the loss of a cross position with what is free, as far as that goes (rule 3)."""
    backed = min(loss, max(0, _after_fee(s.available, p)))
    if not backed:
        return
    symbol = p.instrument.symbol
    comm = p.comm_with(backed)
    drawn = min(s.available, backed + comm - s.comm[symbol])
    s.cross[symbol] = backed
    s.comm[symbol] = comm
    s.held += drawn
    s.available -= drawn


def _after_fee(amount: int, p: Position) -> int:
    """What *amount* can back when the fee to leave grows with it."""
    return int(amount / p.rates.with_fee)


def _backing(s: Standing, p: Position) -> int:
    """Minor units that can be lost on *p* beside its own posInit."""
    symbol = p.instrument.symbol
    if p.leverage:
        return s.cross[symbol] + min(0, s.available)
    drawn = s.cross.get(symbol, 0) + s.comm[symbol] - s.least_comm[symbol]
    return _after_fee(s.available + drawn, p)


def liquidation_price(s: Standing, p: Position) -> Decimal | None:
    """Where the position meets its maintenance margin."""
    if not p.qty:
        return None
    extra = Decimal(_backing(s, p)) / abs(p.unrealised_cost)
    return p.price_at(p.rates.cushion + extra)


def bankrupt_price(s: Standing, p: Position) -> Decimal | None:
    """Where all that backs the position is lost."""
    if not p.qty:
        return None
    extra = _after_fee(_backing(s, p), p) if p.leverage else _backing(s, p)
    return p.price_at(p.init_margin_req + Decimal(extra) / abs(p.unrealised_cost))


def in_danger(account: Account, p: Position) -> bool:
    """Whether the mark has reached the liquidation price."""
    if not p.qty:
        return False
    price = liquidation_price(standing(account, p.instrument.settle), p)
    assert price is not None
    return p.mark <= price if p.qty > 0 else p.mark >= price


# -- may it be done? ------------------------------------------------------------------------------


def check_order(account: Account, p: Position, side: int, opening: int, cost: int) -> None:
    """
    Refuse an order that the account cannot back (section 7).

    Args:
        account: Whose order it is.
        p: Its position in the symbol, open orders counted.
        side: +1 buys, -1 sells.
        opening: Contracts of the order that would not reduce the position, above zero.
        cost: Value of these at the order's price, minor units, no sign.

    Raises:
        Refusal: 400, in BitMEX's words.
    """
    inst = p.instrument
    if inst.is_spot:
        _check_spot(account, p, side, opening, cost)
        return
    s = standing(account, inst.settle)
    _check_risk(account, s, p, side, cost)
    required = p.order_margin(opening, cost)
    if required > max(0, s.available):
        raise errors.insufficient(required, inst.settle)
    if _would_liquidate(s, p, side, opening, cost):
        raise errors.bad_request("Executing at order price would lead to immediate liquidation")


def _check_spot(account: Account, p: Position, side: int, contracts: int, cost: int) -> None:
    """A buyer has the price and the fee, a seller the goods."""
    inst = p.instrument
    currency = inst.settle if side > 0 else inst.base
    required = cost + ceil_mul(cost, inst.taker_fee) if side > 0 else contracts
    if required > max(0, standing(account, currency).available):
        raise errors.insufficient(required, currency)


def _check_risk(account: Account, s: Standing, p: Position, side: int, cost: int) -> None:
    """Position and orders of one direction, within the risk limits of position and account."""
    same = abs(p.mark_value) if p.qty * side > 0 else 0
    orders = abs(p.open_buy_cost) if side > 0 else abs(p.open_sell_cost)
    if p.risk_limit and same + orders + cost > p.risk_limit:
        raise errors.bad_request("Value of position and orders exceeds position Risk Limit")
    everything = s.gross + sum(
        max(abs(q.open_buy_cost), abs(q.open_sell_cost))
        for q in account.in_currency(p.instrument.settle)
    )
    if everything + cost > ACCOUNT_RISK_LIMITS[p.instrument.settle]:
        raise errors.bad_request("Value of positions and orders exceeds account Risk Limit")


def _would_liquidate(s: Standing, p: Position, side: int, opening: int, cost: int) -> bool:
    """Whether the position that an execution at the order's price leaves is under its margin."""
    inst = p.instrument
    grows = p.qty * side > 0
    after = Position(p.account, inst, p.mark, p.risk_limit, leverage=p.leverage, rated=p.rated)
    after.qty = side * opening + (p.qty if grows else 0)
    signed = cost if (side > 0) != inst.is_inverse else -cost
    after.unrealised_cost = signed + (p.unrealised_cost if grows else 0)
    needed = after.maint
    if p.leverage:
        left = after.pos_init + (p.transferred if grows else 0)
    else:
        entry = int(cost * inst.taker_fee)
        left = s.available + s.pos_margin(p) - entry - after.pos_comm
    return left + after.unrealised_pnl <= needed


def check_price(account: Account, p: Position, side: int, price: Decimal) -> None:
    """
    Refuse to close a position at a price behind its own liquidation (section 7).

    Raises:
        Refusal: 400, in BitMEX's words.
    """
    if p.qty * side >= 0:
        return
    limit = liquidation_price(standing(account, p.instrument.settle), p)
    assert limit is not None
    if p.qty > 0 and price < limit:
        raise errors.bad_request(
            "Order price is below the liquidation price of current long position"
        )
    if p.qty < 0 and price > limit:
        raise errors.bad_request(
            "Order price is above the liquidation price of current short position"
        )


# -- what a member sets on a position -------------------------------------------------------------


def set_leverage(account: Account, p: Position, leverage: Decimal) -> None:
    """
    Isolate the position at *leverage*, or (0) let it draw on the whole balance.

    Raises:
        Refusal: 400, the balance does not reach, or it would be liquidated at once.
    """
    former = p.leverage, p.transferred
    needed_before = _needs(standing(account, p.instrument.settle), p)
    p.leverage = leverage
    if not leverage:
        p.transferred = 0
    try:
        _check_held(account, p, needed_before)
    except errors.Refusal:
        p.leverage, p.transferred = former
        raise


def set_risk_limit(account: Account, p: Position, limit: int) -> None:
    """
    Another step of the risk limit: more value allowed, at a higher margin.

    Raises:
        Refusal: 400, no such step, too little for what is held, or the balance does not reach.
    """
    inst = p.instrument
    steps, rest = divmod(limit - inst.risk_limit, inst.risk_step) if inst.risk_step else (-1, 0)
    if rest or not 0 <= steps <= 10:
        raise errors.bad_request("Invalid riskLimit")
    value = abs(p.mark_value) + max(abs(p.open_buy_cost), abs(p.open_sell_cost))
    if value > limit:
        raise errors.bad_request("Value of position and orders exceeds position Risk Limit")
    former = p.risk_limit
    needed_before = _needs(standing(account, p.instrument.settle), p)
    p.risk_limit = limit
    try:
        _check_held(account, p, needed_before)
    except errors.Refusal:
        p.risk_limit = former
        raise


def transfer(account: Account, p: Position, amount: int) -> None:
    """
    Move margin into an isolated position, or (below zero) what was moved there back out.

    Raises:
        Refusal: 400, nothing is isolated there, or there is not as much.
    """
    if not p.qty or not p.leverage:
        raise errors.bad_request("Position is not isolated")  # [unsure] wording
    free = standing(account, p.instrument.settle).available
    if amount > max(0, free):
        raise errors.insufficient(amount, p.instrument.settle)
    if p.transferred + amount < 0:
        raise errors.bad_request("Invalid amount")  # [unsure] wording; posInit cannot be taken out
    p.transferred += amount
    if in_danger(account, p):
        p.transferred -= amount
        raise errors.bad_request("Executing at order price would lead to immediate liquidation")


def _needs(s: Standing, p: Position) -> int:
    """What position and orders are to hold, though there may be less."""
    return s.pos_margin(p) + s.borne.get(p.instrument.symbol, 0) + p.init_margin


def _check_held(account: Account, p: Position, before: int) -> None:
    """After a change of margin rates: the balance reaches, and the position is not in danger."""
    s = standing(account, p.instrument.settle)
    more = _needs(s, p) - before
    if more > 0 and (s.borne or s.available < 0):
        raise errors.insufficient(more, p.instrument.settle)
    if in_danger(account, p):
        # The page of messages has no sentence for leverage: the nearest one of its list.
        raise errors.bad_request("Executing at order price would lead to immediate liquidation")
