"""
The paper exchange's own door, under ``/paper/``: unsigned, on loopback, no part of BitMEX.

GET  /paper/truth?account=1001   everything that happened on an account, for an oracle
GET  /paper/faults               every fault with its description and setting
POST /paper/fault                {"name", "probability", "count"}: switch one
POST /paper/trade                {"symbol", "side", "orderQty", "account"}: a person trades
POST /paper/fill                 {"order", "contracts"}: fill a resting order, named by either id
POST /paper/price                {"symbol", "price"}: move the market
POST /paper/market               {"symbol", "state"}: open or close an instrument for orders
POST /paper/funding              {"symbol"}: pay funding now
POST /paper/liquidate            {"symbol", "account"}: the venue closes a position by itself
POST /paper/disconnect           close all websockets
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import errors, intake
from .orders import Order, Row
from .protocol import encode, fields_of
from .quirks import UnknownFault
from .web import Answer, Request

if TYPE_CHECKING:
    from .world import World

TRUTH_COLUMNS = (
    "clOrdID", "orderID", "symbol", "side", "orderQty", "price", "ordType", "ordStatus", "cumQty",
    "leavesQty", "avgPx", "execInst", "transactTime",
)  # fmt: skip
EXECUTION_COLUMNS = (
    "execID", "orderID", "clOrdID", "symbol", "side", "lastQty", "lastPx", "execType", "execCost",
    "execComm", "transactTime",
)  # fmt: skip

Fields = dict[str, object]


def answer(world: World, request: Request, now_ms: int) -> Answer:
    """Serve one control request."""
    handler = ROUTES.get((request.verb, request.path.rstrip("/")))
    try:
        if handler is None:
            raise errors.not_found()
        fields = fields_of(request.body, request.headers.get("content-type", ""), request.query)
        result = handler(world, fields, now_ms)
    except errors.Refusal as refusal:
        return Answer(status=refusal.status, body=encode(refusal.body()))
    world.publish(now_ms)
    return Answer(body=encode(result))


def _account(world: World, fields: Fields) -> int:
    number = intake.whole(fields, "account")
    if number is None:
        return min(world.exchange.accounts)
    if number not in world.exchange.accounts:
        raise errors.bad_request("Invalid account")
    return number


def truth(world: World, fields: Fields, now_ms: int) -> object:
    """Orders, executions, positions and received placements of one account, complete."""
    account = _account(world, fields)
    exchange = world.exchange
    owner = exchange.accounts[account]
    mine = exchange.orders_of[account]
    return {
        "account": account,
        "orders": [_pick(order.row(), TRUTH_COLUMNS) for order in mine],
        "executions": [_pick(row, EXECUTION_COLUMNS) for row in exchange.executions[account]],
        "positions": {symbol: p.qty for symbol, p in owner.positions.items()},
        "requests": [
            {k: v for k, v in entry.items() if k != "account"}
            for entry in world.api.placements
            if entry["account"] in (account, None)
        ],
    }


def _pick(row: Row, columns: tuple[str, ...]) -> Row:
    return {name: row[name] for name in columns if name in row}


def trade(world: World, fields: Fields, now_ms: int) -> object:
    """A market order of a person: no clOrdID, so foreign to whoever else uses the account."""
    wanted = {k: fields.get(k) for k in ("symbol", "side", "orderQty")}
    new = intake.new_order({**wanted, "ordType": "Market"}, world.exchange.catalogue)
    return world.exchange.place(_account(world, fields), new, now_ms).row()


def fill(world: World, fields: Fields, now_ms: int) -> object:
    """Trade with one resting order out of turn, for all of it or for some contracts."""
    name = intake.text(fields, "order")
    if not name:
        raise errors.required("order")
    found = [o for a in world.exchange.accounts if (o := _order(world, a, name)) is not None]
    order = next((o for o in found if o.working), None)
    if order is None:
        raise errors.bad_request(f"{name} is no order that rests in a book")
    contracts = intake.whole(fields, "contracts")
    if contracts is None:
        contracts = order.leaves
    if not 0 < contracts <= order.leaves or contracts % order.instrument.lot:
        raise errors.invalid("Invalid contracts")
    world.exchange.fill_from_house(order, contracts, now_ms)
    return order.row()


def _order(world: World, account: int, name: str) -> Order | None:
    """An order by the venue's id or by the client's."""
    exchange = world.exchange
    return exchange.find(account, order_id=name) or exchange.find(account, cl_ord_id=name)


def price(world: World, fields: Fields, now_ms: int) -> object:
    """Recentre a book: its best bid is at the price, and resting orders it crosses fill."""
    inst = intake.instrument(fields, world.exchange.catalogue)
    wanted = intake.number(fields, "price")
    if wanted is None:
        raise errors.required("price")
    intake.check_ticks(inst, wanted)
    world.move_to(inst.symbol, wanted, now_ms)
    row = world.exchange.markets[inst.symbol].row(now_ms)
    return _pick(row, ("symbol", "bidPrice", "askPrice", "markPrice", "lastPrice", "timestamp"))


def fault(world: World, fields: Fields, now_ms: int) -> object:
    name = intake.text(fields, "name")
    probability = intake.number(fields, "probability")
    try:
        world.quirks.set(
            name, 1.0 if probability is None else float(probability), intake.whole(fields, "count")
        )
    except UnknownFault as problem:
        raise errors.bad_request(str(problem)) from None
    return next(row for row in world.quirks.listing() if row["name"] == name)


def faults(world: World, fields: Fields, now_ms: int) -> object:
    return world.quirks.listing()


def market(world: World, fields: Fields, now_ms: int) -> object:
    """Open or close an instrument: closed, it refuses orders with "Market is not open"."""
    inst = intake.instrument(fields, world.exchange.catalogue)
    state = intake.text(fields, "state")
    if state not in ("Open", "Closed"):
        raise errors.invalid("Invalid state")
    world.exchange.markets[inst.symbol].state = state
    world.exchange.pulse(now_ms, positions=False)
    return {"symbol": inst.symbol, "state": state}


def funding(world: World, fields: Fields, now_ms: int) -> object:
    """Pay funding on every position of a symbol, as at 04:00, 12:00 and 20:00 UTC."""
    inst = intake.instrument(fields, world.exchange.catalogue)
    world.exchange.fund(world.exchange.markets[inst.symbol], now_ms)
    return {"symbol": inst.symbol, "paid": True}


def liquidate(world: World, fields: Fields, now_ms: int) -> object:
    """The venue closes a position with an order of its own, which nobody here asked for."""
    inst = intake.instrument(fields, world.exchange.catalogue)
    order = world.exchange.liquidate(_account(world, fields), inst.symbol, now_ms)
    if order is None:
        raise errors.bad_request("no position to liquidate")
    return order.row()


def disconnect(world: World, fields: Fields, now_ms: int) -> object:
    return {"closed": world.hub.disconnect_all()}


ROUTES: dict[tuple[str, str], Callable[[World, Fields, int], object]] = {
    ("GET", "/paper/truth"): truth,
    ("GET", "/paper/faults"): faults,
    ("POST", "/paper/fault"): fault,
    ("POST", "/paper/trade"): trade,
    ("POST", "/paper/fill"): fill,
    ("POST", "/paper/price"): price,
    ("POST", "/paper/market"): market,
    ("POST", "/paper/funding"): funding,
    ("POST", "/paper/liquidate"): liquidate,
    ("POST", "/paper/disconnect"): disconnect,
}
