"""
What can be done to a running exchange: by its control door, and step by step by a scenario.

An action is checked first and done later: `check` turns its fields into a function of the time, or
refuses them, and nothing has changed by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from . import errors, intake
from .orders import Order, Row
from .quirks import Quirks, UnknownFault

if TYPE_CHECKING:
    from .instruments import Instrument
    from .world import World

Fields = dict[str, object]
Do = Callable[[int], object]  # is given venue time in ms; returns what to answer
STATES = ("Open", "Closed")
SPECIFICATION = {  # field of the wire -> of Instrument
    "lotSize": "lot", "tickSize": "tick", "makerFee": "maker_fee", "takerFee": "taker_fee",
    "maxOrderQty": "max_qty", "initMargin": "init_margin", "maintMargin": "maint_margin",
}  # fmt: skip
COUNTED = {"lotSize", "maxOrderQty"}


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of thing that can be done."""

    fields: tuple[str, ...]
    says: str
    prepare: Callable[[World, Fields], Do]


ACTIONS: dict[str, Action] = {}


def _action(
    *fields: str,
) -> Callable[[Callable[[World, Fields], Do]], Callable[[World, Fields], Do]]:
    def keep(prepare: Callable[[World, Fields], Do]) -> Callable[[World, Fields], Do]:
        ACTIONS[prepare.__name__] = Action(fields, (prepare.__doc__ or "").strip(), prepare)
        return prepare

    return keep


def check(world: World, name: str, fields: Fields) -> Do:
    """
    What doing an action means, once it is due.

    Raises:
        Refusal: there is no such action, or a field is unknown, missing or wrong.
    """
    action = ACTIONS.get(name)
    if action is None:
        raise errors.not_found()
    for field in fields:
        if field not in action.fields:
            raise errors.invalid(f"'{field}' is not allowed; {name} has {', '.join(action.fields)}")
    return action.prepare(world, fields)


def account_of(world: World, fields: Fields) -> int:
    """The account that is meant; the first when none is named."""
    number = intake.whole(fields, "account")
    if number is None:
        return min(world.exchange.accounts)
    if number not in world.exchange.accounts:
        raise errors.bad_request("Invalid account")
    return number


def _instrument(world: World, fields: Fields) -> Instrument:
    return intake.instrument(fields, world.exchange.catalogue)


def _check_alive(world: World, symbol: str) -> None:
    """
    Refuse to bring a market back that is over.

    Raises:
        Refusal: it was settled.
    """
    state = world.exchange.markets[symbol].state
    if state not in STATES:
        raise errors.bad_request(f"{symbol} is {state}")


# -- faults and connections ----------------------------------------------------------------------


@_action("name", "probability", "count", "symbol")
def fault(world: World, fields: Fields) -> Do:
    """Switch a fault: how likely it strikes (default 1), how often at most, for which symbol."""
    name = intake.text(fields, "name")
    probability = intake.number(fields, "probability")
    likely = 1.0 if probability is None else float(probability)
    count = intake.whole(fields, "count")
    symbol = _instrument(world, fields).symbol if fields.get("symbol") else None
    try:
        Quirks().set(name, likely, count, symbol)
    except UnknownFault as problem:
        raise errors.bad_request(str(problem)) from None

    def do(now_ms: int) -> object:
        world.quirks.set(name, likely, count, symbol)
        return next((row for row in world.quirks.listing() if row["name"] == name), {"name": name})

    return do


@_action("all")  # the field says nothing: some clients need one to make a POST
def disconnect(world: World, fields: Fields) -> Do:
    """Close all websockets."""
    return lambda now_ms: {"closed": world.hub.disconnect_all()}


@_action("account")
def revoke(world: World, fields: Fields) -> Do:
    """End the private subscriptions of an account with a 419, as when its key is revoked."""
    account = account_of(world, fields)
    return lambda now_ms: {"revoked": world.hub.revoke(account)}


# -- trading -------------------------------------------------------------------------------------


@_action("symbol", "side", "orderQty", "account")
def trade(world: World, fields: Fields) -> Do:
    """A market order of a person: no clOrdID, so foreign to whoever else uses the account."""
    wanted = {k: fields.get(k) for k in ("symbol", "side", "orderQty")}
    new = intake.new_order({**wanted, "ordType": "Market"}, world.exchange.catalogue)
    account = account_of(world, fields)
    return lambda now_ms: world.exchange.place(account, new, now_ms).row()


@_action("order", "contracts")
def fill(world: World, fields: Fields) -> Do:
    """Trade with one resting order out of turn, for all of it or for some contracts."""
    name, contracts = intake.text(fields, "order"), intake.whole(fields, "contracts")
    if not name:
        raise errors.required("order")
    return partial(_fill, world, name, contracts)


def _fill(world: World, name: str, contracts: int | None, now_ms: int) -> Row:
    found = [o for a in world.exchange.accounts if (o := _order(world, a, name)) is not None]
    order = next((o for o in found if o.working), None)
    if order is None:
        raise errors.bad_request(f"{name} is no order that rests in a book")
    wanted = order.leaves if contracts is None else contracts
    if not 0 < wanted <= order.leaves or wanted % order.instrument.lot:
        raise errors.invalid("Invalid contracts")
    world.exchange.fill_from_house(order, wanted, now_ms)
    return order.row()


def _order(world: World, account: int, name: str) -> Order | None:
    """An order by the venue's id or by the client's."""
    exchange = world.exchange
    return exchange.find(account, order_id=name) or exchange.find(account, cl_ord_id=name)


# -- the market ----------------------------------------------------------------------------------


@_action("symbol", "price")
def price(world: World, fields: Fields) -> Do:
    """Recentre a book: its best bid is at the price, and resting orders it crosses fill."""
    inst = _instrument(world, fields)
    wanted = intake.number(fields, "price")
    if wanted is None:
        raise errors.required("price")
    if inst.ticks(wanted) is None or not 0 < wanted <= inst.max_price:
        intake.check_ticks(inst, wanted)
        raise errors.invalid("Invalid price")
    world.feed.check_movable(inst.symbol)

    def do(now_ms: int) -> object:
        _check_alive(world, inst.symbol)
        world.move_to(inst.symbol, wanted, now_ms)
        row = world.exchange.markets[inst.symbol].row(now_ms)
        shown = ("symbol", "bidPrice", "askPrice", "markPrice", "lastPrice", "timestamp")
        return {name: row[name] for name in shown if name in row}

    return do


@_action("symbol", "state")
def market(world: World, fields: Fields) -> Do:
    """Open or close an instrument: closed, it refuses orders with "Market is not open"."""
    inst = _instrument(world, fields)
    state = intake.text(fields, "state")
    if state not in STATES:
        raise errors.invalid("Invalid state")

    def do(now_ms: int) -> object:
        _check_alive(world, inst.symbol)
        world.set_state(inst.symbol, state, now_ms)
        return {"symbol": inst.symbol, "state": state}

    return do


@_action("symbol", "limitUpPrice", "limitDownPrice")
def limits(world: World, fields: Fields) -> Do:
    """Set the prices beyond which no order is taken; a field that is left out lifts a limit."""
    inst = _instrument(world, fields)
    bounds = [intake.number(fields, name) for name in ("limitUpPrice", "limitDownPrice")]
    for bound in bounds:
        if bound is not None:
            intake.check_ticks(inst, bound)

    def do(now_ms: int) -> object:
        found = world.exchange.markets[inst.symbol]
        found.limit_up, found.limit_down = bounds
        world.exchange.pulse(now_ms, positions=False)
        return {"symbol": inst.symbol, "limitUpPrice": bounds[0], "limitDownPrice": bounds[1]}

    return do


@_action("symbol", *SPECIFICATION)
def rules(world: World, fields: Fields) -> Do:
    """Change lot, tick, fees or margin rates of an instrument while it trades."""
    inst = _instrument(world, fields)
    changes: dict[str, object] = {}
    for wire, name in SPECIFICATION.items():
        if wire in COUNTED:
            whole = intake.whole(fields, wire)
            if whole is not None and whole <= 0:
                raise errors.invalid(f"Invalid {wire}")
            found: object = whole
        else:
            found = intake.number(fields, wire)
            if found is not None and wire == "tickSize" and found <= 0:
                raise errors.invalid(f"Invalid {wire}")
        if found is not None:
            changes[name] = found
    if not changes:
        raise errors.required("lotSize")

    def do(now_ms: int) -> object:
        world.respecify(inst.symbol, changes, now_ms)
        row = world.exchange.markets[inst.symbol].row(now_ms)
        return {name: row[name] for name in ("symbol", *SPECIFICATION) if name in row}

    return do


@_action("symbol", "price")
def settle(world: World, fields: Fields) -> Do:
    """Settle an instrument for good: orders canceled, positions closed at the price or the mark."""
    inst, at = _instrument(world, fields), intake.number(fields, "price")

    def do(now_ms: int) -> object:
        world.exchange.settle(inst.symbol, now_ms, at)
        return {"symbol": inst.symbol, "state": "Settled"}

    return do


@_action("symbol", "fundingRate")
def funding(world: World, fields: Fields) -> Do:
    """
    Pay funding on every position of a symbol, as at 04:00, 12:00 and 20:00 UTC; a fundingRate, if
    one is given, is the symbol's rate from then on.
    """
    inst, rate = _instrument(world, fields), intake.number(fields, "fundingRate")
    if not inst.is_perpetual:
        raise errors.bad_request("Invalid symbol")
    if rate is not None and not -1 < rate < 1:
        raise errors.invalid("Invalid fundingRate")

    def do(now_ms: int) -> object:
        found = world.exchange.markets[inst.symbol]
        if rate is not None:
            found.funding_rate = rate
        world.exchange.fund(found, now_ms)
        return {"symbol": inst.symbol, "paid": True, "fundingRate": found.funding_rate}

    return do


@_action("currency", "balance")
def insurance(world: World, fields: Fields) -> Do:
    """
    Set what the insurance fund of a currency holds, in minor units: with nothing there, what the
    book does not take of a liquidation is dealt to those on the other side (auto-deleveraging).
    """
    currency, balance = intake.text(fields, "currency"), intake.whole(fields, "balance")
    if currency not in world.exchange.engine.deposited:
        raise errors.bad_request("Invalid currency")
    if balance is None or balance < 0:
        raise errors.invalid("Invalid balance")

    def do(now_ms: int) -> object:
        engine = world.exchange.engine
        engine.deposited[currency] += balance - engine.wallet_balance(currency)
        return {"currency": currency, "balance": engine.wallet_balance(currency)}

    return do


@_action("symbol", "account")
def liquidate(world: World, fields: Fields) -> Do:
    """The venue closes a position with an order of its own, which nobody here asked for."""
    inst, account = _instrument(world, fields), account_of(world, fields)

    def do(now_ms: int) -> object:
        order = world.exchange.liquidate(account, inst.symbol, now_ms)
        if order is None:
            raise errors.bad_request("no position to liquidate")
        return order.row()

    return do


@_action("account", "suspended")
def suspend(world: World, fields: Fields) -> Do:
    """Suspend an account, or with ``"suspended": false`` no longer: it may only cancel."""
    account = account_of(world, fields)
    suspended = intake.flag(fields, "suspended", default=True)

    def do(now_ms: int) -> object:
        keep = world.exchange.suspended
        (keep.add if suspended else keep.discard)(account)
        return {"account": account, "suspended": suspended}

    return do


@_action("symbol", "account", "contracts")
def deleverage(world: World, fields: Fields) -> Do:
    """Contracts of a position (without a number: all) are dealt to others, at the mark."""
    inst, account = _instrument(world, fields), account_of(world, fields)
    contracts = intake.whole(fields, "contracts")
    if contracts is not None and (contracts <= 0 or contracts % inst.lot):
        raise errors.invalid("Invalid contracts")

    def do(now_ms: int) -> object:
        held = abs(world.exchange.position(account, inst.symbol).qty)
        order = world.exchange.deleverage(account, inst.symbol, contracts or held, now_ms)
        if order is None:
            raise errors.bad_request("no position to deleverage")
        return order.row()

    return do


@_action("suspended", "cancelOnly")
def maintenance(world: World, fields: Fields) -> Do:
    """Sockets are closed; for some seconds nothing is taken, then cancels alone, then all again."""
    lengths = []
    for name, default in (("suspended", 10), ("cancelOnly", 10)):
        seconds = intake.number(fields, name)
        if seconds is not None and seconds < 0:
            raise errors.invalid(f"Invalid {name}")
        lengths.append(int((default if seconds is None else seconds) * 1000))

    def do(now_ms: int) -> object:
        world.maintain(lengths[0], lengths[1], now_ms)
        return {"suspended": lengths[0] / 1000, "cancelOnly": lengths[1] / 1000}

    return do


@_action("title", "content", "urgent")
def announce(world: World, fields: Fields) -> Do:
    """Tell everybody something, by REST and on the platform's websocket."""
    title, content = intake.text(fields, "title"), intake.text(fields, "content")
    if not title:
        raise errors.required("title")
    urgent = intake.flag(fields, "urgent", default=False)
    return lambda now_ms: world.announce(title, content, urgent, now_ms)
