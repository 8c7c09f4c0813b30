"""
The paper exchange's own door, under ``/paper/``: unsigned, on loopback, no part of BitMEX.

GET  /paper                      this list
GET  /paper/truth?account=1001   everything that happened on an account, for an oracle
GET  /paper/books                contracts and money of everybody added up: do they balance?
GET  /paper/faults               every fault with its description and setting
GET  /paper/scenario             the steps of the scenario, and what became of them
GET  /paper/actions              what can be done to the exchange, with its fields
POST /paper/<action>             do it: fault, trade, fill, price, market, maintenance, and others
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import errors
from .actions import ACTIONS, Fields, account_of, check
from .audit import books, contracts
from .orders import Row
from .protocol import encode, fields_of
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


def answer(world: World, request: Request, now_ms: int) -> Answer:
    """Serve one control request."""
    path = request.path.rstrip("/")
    handler = ROUTES.get((request.verb, path))
    try:
        fields = fields_of(request.body, request.headers.get("content-type", ""), request.query)
        if handler is not None:
            result = handler(world, fields, now_ms)
        elif request.verb == "POST":
            result = check(world, path.removeprefix("/paper/"), fields)(now_ms)
        else:
            raise errors.not_found()
    except errors.Refusal as refusal:
        return Answer(status=refusal.status, body=encode(refusal.body()))
    world.publish(now_ms)
    return Answer(body=encode(result))


def truth(world: World, fields: Fields, now_ms: int) -> object:
    """
    Orders, executions, positions and received placements of one account (of a bulk call: one for
    each order): all of them, unless ``dropped`` says how many were forgotten (requests: of all
    accounts together).
    """
    account = account_of(world, fields)
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
        "dropped": {
            "orders": exchange.forgetting.orders.get(account, 0),
            "executions": exchange.forgetting.executions.get(account, 0),
            "requests": world.api.placed - len(world.api.placements),
        },
    }


def _pick(row: Row, columns: tuple[str, ...]) -> Row:
    return {name: row[name] for name in columns if name in row}


def scenario(world: World, fields: Fields, now_ms: int) -> object:
    """How far the scenario is, and what its steps were answered."""
    return [] if world.scenario is None else world.scenario.listing()


def added_up(world: World, fields: Fields, now_ms: int) -> object:
    """Contracts by symbol over all accounts (zero), and where the money of each currency is."""
    exchange = world.exchange
    return {
        "contracts": {symbol: contracts(exchange, symbol) for symbol in exchange.markets},
        "money": {
            currency: {**(found := books(exchange, currency))._asdict(), "gap": found.gap}
            for currency in exchange.engine.deposited
        },
    }


def actions(world: World, fields: Fields, now_ms: int) -> object:
    """What POST can do."""
    return [
        {"name": name, "fields": action.fields, "description": action.says}
        for name, action in ACTIONS.items()
    ]


def faults(world: World, fields: Fields, now_ms: int) -> object:
    """Every fault with its description, its setting, and how often it has struck."""
    return world.quirks.listing()


def index(world: World, fields: Fields, now_ms: int) -> object:
    """What there is, for whoever opens the address that was printed at the start."""
    lists = {path: (handler.__doc__ or "").strip() for (_, path), handler in ROUTES.items()}
    return {"GET": lists, "POST": {f"/paper/{name}": a.says for name, a in ACTIONS.items()}}


ROUTES: dict[tuple[str, str], Callable[[World, Fields, int], object]] = {
    ("GET", "/paper"): index,
    ("GET", "/paper/truth"): truth,
    ("GET", "/paper/actions"): actions,
    ("GET", "/paper/books"): added_up,
    ("GET", "/paper/faults"): faults,
    ("GET", "/paper/scenario"): scenario,
}
