"""
Every REST route: what answers it, who may ask, and what it counts against.
"""

from __future__ import annotations

from . import members, money_routes, order_routes, public, reads, schema, stats
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
    ("POST", "/api/v1/position/leverage"): Route(
        money_routes.leverage, "order", burst=True, shed=True
    ),
    ("POST", "/api/v1/position/isolate"): Route(
        money_routes.isolate, "order", burst=True, shed=True
    ),
    ("POST", "/api/v1/position/riskLimit"): Route(money_routes.risk_limit, "order", shed=True),
    ("POST", "/api/v1/position/transferMargin"): Route(
        money_routes.transfer_margin, "order", burst=True, shed=True
    ),
    ("GET", "/api/v1/order"): Route(reads.orders, "read"),
    ("GET", "/api/v1/execution"): Route(reads.executions, "read"),
    ("GET", "/api/v1/execution/tradeHistory"): Route(reads.trade_history, "read"),
    ("GET", "/api/v1/position"): Route(reads.positions, "read"),
    ("GET", "/api/v1/user"): Route(members.user, "read"),
    ("GET", "/api/v1/user/margin"): Route(money_routes.margin, "read"),
    ("GET", "/api/v1/user/wallet"): Route(money_routes.wallet, "read"),
    ("GET", "/api/v1/user/walletHistory"): Route(money_routes.wallet_history, "read"),
    ("GET", "/api/v1/user/commission"): Route(money_routes.commission, "read"),
    ("GET", "/api/v1/user/quoteFillRatio"): Route(members.quote_fill_ratio, "read"),
    ("GET", "/api/v1/user/quoteValueRatio"): Route(members.quote_value_ratio, "read"),
    ("GET", "/api/v1/user/tradingVolume"): Route(members.trading_volume, "read"),
    ("GET", "/api/v1/apiKey"): Route(members.api_keys, "read"),
    ("GET", "/api/v1/apiKey/self"): Route(members.api_key_self, "read"),
    ("GET", "/api/v1/wallet/assets"): Route(members.assets),
    ("GET", "/api/v1/wallet/networks"): Route(members.networks),
    ("GET", "/api/v1/instrument"): Route(public.instruments),
    ("GET", "/api/v1/instrument/active"): Route(public.active),
    ("GET", "/api/v1/instrument/activeAndIndices"): Route(public.active_and_indices),
    ("GET", "/api/v1/instrument/activeIntervals"): Route(public.active_intervals),
    ("GET", "/api/v1/instrument/compositeIndex"): Route(public.composite_index),
    ("GET", "/api/v1/instrument/indices"): Route(public.indices),
    ("GET", "/api/v1/instrument/usdVolume"): Route(stats.usd_volume),
    ("GET", "/api/v1/orderBook/L2"): Route(public.book),
    ("GET", "/api/v1/quote"): Route(public.quotes),
    ("GET", "/api/v1/quote/bucketed"): Route(public.quote_buckets),
    ("GET", "/api/v1/trade"): Route(public.trades),
    ("GET", "/api/v1/trade/bucketed"): Route(public.trade_buckets),
    ("GET", "/api/v1/funding"): Route(public.funding),
    ("GET", "/api/v1/liquidation"): Route(public.liquidation),
    ("GET", "/api/v1/settlement"): Route(public.settlement),
    ("GET", "/api/v1/insurance"): Route(public.insurance),
    ("GET", "/api/v1/announcement"): Route(public.announcements),
    ("GET", "/api/v1/announcement/urgent"): Route(public.urgent_announcements),
    ("GET", "/api/v1/stats"): Route(stats.stats),
    ("GET", "/api/v1/stats/history"): Route(stats.stats_history),
    ("GET", "/api/v1/stats/historyUSD"): Route(stats.stats_history_usd),
    ("GET", "/api/v1/schema"): Route(schema.models),
    ("GET", "/api/v1/schema/websocketHelp"): Route(schema.websocket_help),
    ("GET", "/api/explorer/swagger.json"): Route(schema.swagger),
    ("GET", "/api/v1"): Route(schema.about),
}
