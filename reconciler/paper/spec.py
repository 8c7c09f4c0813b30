"""
Every operation of the REST interface in words: for ``/explorer/swagger.json``.

Names are those that BitMEX's own description gives its operations, because clients that are made
from a description (``client.Order.Order_new``) call them by these names.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: its name, what it does, what it takes and what rows it answers with."""

    name: str
    summary: str
    model: str = ""  # of `MODELS`
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()  # of those, the required ones
    many: bool = True  # answers with an array
    deprecated: bool = False


# The models of the description, by the table that has their fields.
MODELS: dict[str, str] = {
    "Announcement": "announcement", "Execution": "execution", "Funding": "funding",
    "Instrument": "instrument", "Insurance": "insurance", "Liquidation": "liquidation",
    "Margin": "margin", "Order": "order", "OrderBookL2": "orderBookL2", "Position": "position",
    "Quote": "quote", "Settlement": "settlement", "Trade": "trade", "TradeBin": "tradeBin1m",
    "Transaction": "transact", "Wallet": "wallet",
}  # fmt: skip

PARAMETERS: dict[str, tuple[str, str]] = {
    "amount": ("long", "Minor units of the settlement currency; below zero takes margin away."),
    "binSize": ("string", "1m, 5m, 1h or 1d."),
    "clOrdID": ("string", "The client's own name of an order, up to 36 characters."),
    "clOrdLinkID": ("string", "Links orders: see contingencyType."),
    "columns": ("JSON", "Names of the columns to fetch; keys come anyway."),
    "contingencyType": ("string", "OneCancelsTheOther or OneTriggersTheOther."),
    "count": ("long", "Number of rows to fetch."),
    "currency": ("string", "Currency in its minor unit, such as XBt; all for every one."),
    "depth": ("long", "Levels a side; 0 for all."),
    "displayQty": ("long", "Contracts that the book shows; 0 hides the order."),
    "enabled": ("boolean", "True for isolated margin, false for cross margin."),
    "endTime": ("timestamp", "Rows up to this time."),
    "execInst": ("string", "Instructions, with commas between them."),
    "expiryTime": ("timestamp", "The engine does not take the order after this time."),
    "filter": ("JSON", 'Rows to fetch, such as {"open": true}.'),
    "leavesQty": ("long", "New open quantity."),
    "leverage": ("float", "0.01 to 100 for isolated margin, 0 for cross margin."),
    "maxSlippagePct": ("float", "How far a market order may trade away from the touch."),
    "model": ("string", "The one model to tell of."),
    "ordType": (
        "string",
        "Market, Limit, Stop, StopLimit, MarketIfTouched, LimitIfTouched, Pegged.",
    ),
    "orderID": ("string", "The venue's name of an order."),
    "orderQty": ("long", "Contracts; below zero sells."),
    "orders": ("JSON", "Orders, each with the fields of a single one."),
    "origClOrdID": ("string", "The client's name of the order to amend."),
    "partial": ("boolean", "Whether to send the bucket that is in the making, too."),
    "pegOffsetValue": ("float", "Distance from the peg."),
    "pegPriceType": ("string", "PrimaryPeg, MarketPeg or TrailingStopPeg."),
    "price": ("float", "Limit price."),
    "reverse": ("boolean", "True for the newest rows first."),
    "riskLimit": ("long", "Minor units of the settlement currency."),
    "side": ("string", "Buy or Sell."),
    "start": ("long", "How many rows to leave out first."),
    "startTime": ("timestamp", "Rows from this time on."),
    "stopPx": ("float", "Trigger price."),
    "strategy": ("string", "OneWay."),
    "symbol": ("string", "An instrument, or a series such as XBT or XBT:quarterly."),
    "targetAccountId": ("long", "The account itself: there are no others to ask about."),
    "targetAccountIds": ("JSON", "Accounts to ask about; only the account itself, or *."),
    "text": ("string", "A note that comes back with the order."),
    "timeInForce": ("string", "Day, GoodTillCancel, ImmediateOrCancel or FillOrKill."),
    "timeout": ("long", "Milliseconds until all orders are canceled; 0 disarms."),
}

_TABLE = ("symbol", "filter", "columns", "count", "start", "reverse", "startTime", "endTime")
_BINS = ("binSize", "partial", *_TABLE)
_ORDER = (
    "symbol", "side", "orderQty", "price", "displayQty", "stopPx", "clOrdID", "clOrdLinkID",
    "pegOffsetValue", "pegPriceType", "ordType", "timeInForce", "execInst", "contingencyType",
    "text", "strategy", "maxSlippagePct", "expiryTime",
)  # fmt: skip
_AMEND = (
    "orderID", "origClOrdID", "clOrdID", "orderQty", "leavesQty", "price", "stopPx",
    "pegOffsetValue", "text",
)  # fmt: skip
_SYMBOL = ("symbol",)
_V1 = "/api/v1"

OPERATIONS: dict[tuple[str, str], Operation] = {
    (verb, _V1 + path): operation
    for verb, path, operation in (
        ("POST", "/order", Operation("Order.new", "Create a new order.", "Order", _ORDER, _SYMBOL,
                                     many=False)),
        ("PUT", "/order", Operation("Order.amend", "Amend the quantity or price of an open order.",
                                    "Order", _AMEND, many=False)),
        ("DELETE", "/order", Operation("Order.cancel", "Cancel orders, by either name.", "Order",
                                       ("orderID", "clOrdID", "text"))),
        ("GET", "/order", Operation("Order.getOrders", "Get your orders.", "Order", _TABLE)),
        ("POST", "/order/bulk", Operation("Order.newBulk", "Create several orders.", "Order",
                                          ("orders",), ("orders",), deprecated=True)),
        ("PUT", "/order/bulk", Operation("Order.amendBulk", "Amend several orders.", "Order",
                                         ("orders",), ("orders",), deprecated=True)),
        ("DELETE", "/order/all", Operation("Order.cancelAll", "Cancel all of your orders.", "Order",
                                           ("symbol", "filter", "text"))),
        ("POST", "/order/cancelAllAfter", Operation(
            "Order.cancelAllAfter", "Cancel all orders after a timeout.", "", ("timeout",),
            ("timeout",), many=False)),
        ("POST", "/order/closePosition", Operation(
            "Order.closePosition", "Close a position.", "Order", ("symbol", "price"), _SYMBOL,
            many=False, deprecated=True)),
        ("GET", "/execution", Operation("Execution.get", "Get all raw executions.", "Execution",
                                        _TABLE)),
        ("GET", "/execution/tradeHistory", Operation(
            "Execution.getTradeHistory", "Get the executions that affected your balance.",
            "Execution", (*_TABLE, "targetAccountId", "targetAccountIds"))),
        ("GET", "/position", Operation("Position.get", "Get your positions.", "Position",
                                       ("filter", "columns", "count"))),
        ("POST", "/position/leverage", Operation(
            "Position.updateLeverage", "Choose the leverage of a position.", "Position",
            ("symbol", "leverage"), ("symbol", "leverage"), many=False)),
        ("POST", "/position/isolate", Operation(
            "Position.isolateMargin", "Choose isolated or cross margin.", "Position",
            ("symbol", "enabled"), _SYMBOL, many=False)),
        ("POST", "/position/riskLimit", Operation(
            "Position.updateRiskLimit", "Choose the risk limit of a position.", "Position",
            ("symbol", "riskLimit"), ("symbol", "riskLimit"), many=False)),
        ("POST", "/position/transferMargin", Operation(
            "Position.transferIsolatedMargin", "Move margin in or out of a position.", "Position",
            ("symbol", "amount"), ("symbol", "amount"), many=False)),
        ("GET", "/user", Operation("User.get", "Get yourself.", many=False)),
        ("GET", "/user/margin", Operation("User.getMargin", "Get your margin.", "Margin",
                                          ("currency",), many=False)),
        ("GET", "/user/wallet", Operation("User.getWallet", "Get your wallet.", "Wallet",
                                          ("currency",), many=False)),
        ("GET", "/user/walletHistory", Operation(
            "User.getWalletHistory", "Get everything that moved your wallet.", "Transaction",
            ("currency", "count", "start", "reverse"))),
        ("GET", "/user/commission", Operation("User.getCommission", "Get your fees, by symbol.",
                                              many=False)),
        ("GET", "/user/quoteFillRatio", Operation(
            "User.getQuoteFillRatio", "How many of your orders traded, by day.", "",
            ("targetAccountId",))),
        ("GET", "/user/quoteValueRatio", Operation(
            "User.getQuoteValueRatio", "What your orders traded, by day and symbol.", "",
            ("targetAccountId",))),
        ("GET", "/user/tradingVolume", Operation("User.getTradingVolume",
                                                 "Your average daily volume in dollars.")),
        ("GET", "/apiKey", Operation("APIKey.get", "Get your API keys.")),
        ("GET", "/apiKey/self", Operation("APIKey.getSelf", "Get the key that asks.", many=False)),
        ("GET", "/wallet/assets", Operation("Wallet.getAssetsConfig", "Get currencies.")),
        ("GET", "/wallet/networks", Operation("Wallet.getNetworksConfig", "Get networks.")),
        ("GET", "/instrument", Operation("Instrument.get", "Get instruments and indices.",
                                         "Instrument", _TABLE)),
        ("GET", "/instrument/active", Operation(
            "Instrument.getActive", "Get what is open or expired within a day.", "Instrument")),
        ("GET", "/instrument/activeAndIndices", Operation(
            "Instrument.getActiveAndIndices", "Get what is active, and all indices.",
            "Instrument")),
        ("GET", "/instrument/activeIntervals", Operation(
            "Instrument.getActiveIntervals", "Get the series that are live and what they mean.",
            many=False)),
        ("GET", "/instrument/compositeIndex", Operation(
            "Instrument.getCompositeIndex", "Get the parts of an index.", "", _TABLE)),
        ("GET", "/instrument/indices", Operation("Instrument.getIndices", "Get all indices.",
                                                 "Instrument")),
        ("GET", "/instrument/usdVolume", Operation(
            "Instrument.getUsdVolume", "Get turnover in dollars.", "", ("symbol", "columns"))),
        ("GET", "/orderBook/L2", Operation("OrderBook.getL2", "Get the order book.", "OrderBookL2",
                                           ("symbol", "depth"), _SYMBOL)),
        ("GET", "/quote", Operation("Quote.get", "Get quotes.", "Quote", _TABLE)),
        ("GET", "/quote/bucketed", Operation("Quote.getBucketed", "Get quotes in time buckets.",
                                             "Quote", _BINS)),
        ("GET", "/trade", Operation("Trade.get", "Get trades.", "Trade", _TABLE)),
        ("GET", "/trade/bucketed", Operation("Trade.getBucketed", "Get trades in time buckets.",
                                             "TradeBin", _BINS)),
        ("GET", "/funding", Operation("Funding.get", "Get the history of funding.", "Funding",
                                      _TABLE)),
        ("GET", "/liquidation", Operation("Liquidation.get", "Get the liquidations that go on.",
                                          "Liquidation", _TABLE)),
        ("GET", "/settlement", Operation("Settlement.get", "Get the history of settlements.",
                                         "Settlement", _TABLE)),
        ("GET", "/insurance", Operation("Insurance.get", "Get the history of the insurance fund.",
                                        "Insurance", ("currency", *_TABLE[1:]))),
        ("GET", "/announcement", Operation("Announcement.get", "Get announcements.", "Announcement",
                                           ("columns",))),
        ("GET", "/announcement/urgent", Operation("Announcement.getUrgent",
                                                  "Get urgent announcements.", "Announcement")),
        ("GET", "/stats", Operation("Stats.get", "Get turnover and open interest by series.")),
        ("GET", "/stats/history", Operation("Stats.history", "Get turnover by day and series.")),
        ("GET", "/stats/historyUSD", Operation("Stats.historyUSD",
                                               "Get turnover in dollars by series.")),
        ("GET", "/schema", Operation("Schema.get", "Get the models of rows.", "", ("model",),
                                     many=False)),
        ("GET", "/schema/websocketHelp", Operation(
            "Schema.websocketHelp", "Get what can be subscribed to.", many=False)),
    )
}  # fmt: skip
