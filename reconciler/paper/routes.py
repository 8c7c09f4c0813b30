"""
Every REST route: what answers it, who may ask, and what it counts against.
"""

from __future__ import annotations

from . import order_routes, reads
from .web import Route

ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "/api/v1/order"): Route(order_routes.place, "order", burst=True, shed=True),
    ("PUT", "/api/v1/order"): Route(order_routes.amend, "order", burst=True, shed=True),
    ("POST", "/api/v1/order/bulk"): Route(order_routes.place_bulk, "order", burst=True, shed=True),
    ("PUT", "/api/v1/order/bulk"): Route(order_routes.amend_bulk, "order", burst=True, shed=True),
    ("DELETE", "/api/v1/order"): Route(order_routes.cancel, "cancel", burst=True),
    ("DELETE", "/api/v1/order/all"): Route(order_routes.cancel_all, "cancel", burst=True),
    ("POST", "/api/v1/order/cancelAllAfter"): Route(order_routes.cancel_all_after, "cancel"),
    ("POST", "/api/v1/order/closePosition"): Route(order_routes.close_position, "order"),
    ("POST", "/api/v1/position/leverage"): Route(reads.leverage, "order", burst=True, shed=True),
    ("POST", "/api/v1/position/isolate"): Route(reads.isolate, "order", burst=True, shed=True),
    ("GET", "/api/v1/order"): Route(reads.orders, "read"),
    ("GET", "/api/v1/execution"): Route(reads.executions, "read"),
    ("GET", "/api/v1/execution/tradeHistory"): Route(reads.trade_history, "read"),
    ("GET", "/api/v1/position"): Route(reads.positions, "read"),
    ("GET", "/api/v1/user"): Route(reads.user, "read"),
    ("GET", "/api/v1/user/margin"): Route(reads.margin, "read"),
    ("GET", "/api/v1/user/wallet"): Route(reads.wallet, "read"),
    ("GET", "/api/v1/user/walletHistory"): Route(reads.wallet_history, "read"),
    ("GET", "/api/v1/user/commission"): Route(reads.commission, "read"),
    ("GET", "/api/v1/apiKey"): Route(reads.api_keys, "read"),
    ("GET", "/api/v1/wallet/assets"): Route(reads.assets),
    ("GET", "/api/v1/instrument"): Route(reads.instruments),
    ("GET", "/api/v1/instrument/active"): Route(reads.active_instruments),
    ("GET", "/api/v1/instrument/activeAndIndices"): Route(reads.active_instruments),
    ("GET", "/api/v1/instrument/indices"): Route(reads.nothing),
    ("GET", "/api/v1/orderBook/L2"): Route(reads.book),
    ("GET", "/api/v1/quote"): Route(reads.quotes),
    ("GET", "/api/v1/trade"): Route(reads.trades),
    ("GET", "/api/v1/funding"): Route(reads.nothing),
    ("GET", "/api/v1/liquidation"): Route(reads.nothing),
    ("GET", "/api/v1/settlement"): Route(reads.nothing),
    ("GET", "/api/v1/announcement"): Route(reads.nothing),
    ("GET", "/api/v1/announcement/urgent"): Route(reads.nothing),
    ("GET", "/api/v1/schema/websocketHelp"): Route(reads.websocket_help),
    ("GET", "/api/v1"): Route(reads.about),
}
