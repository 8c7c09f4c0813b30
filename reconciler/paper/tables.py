"""
What a ``partial`` says of each table: its keys, and the type of every field (sheet, 9.3, 9.4).

Fields stand in BitMEX's order, as the partials of 2024 and 2025 list them. A type may be ``""``:
BitMEX left some fields untyped. Tables that nobody here fills (`affiliate`, `chat`) are served all
the same, empty: a client that subscribes to all there is must find all there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """What a ``partial`` says of a table."""

    keys: tuple[str, ...]
    types: Mapping[str, str]


def types_of(fields: str) -> dict[str, str]:
    """``name:kind`` by blanks; a kind holds until the next is named."""
    found: dict[str, str] = {}
    kind = ""
    for field in fields.split():
        name, colon, named = field.partition(":")
        kind = named if colon else kind
        found[name] = kind
    return found


_ORDER = types_of(
    "orderID:guid clOrdID:string clOrdLinkID account:long symbol:symbol strategy side "
    "orderQty:long price:float displayQty:long stopPx:float pegOffsetValue pegPriceType:symbol "
    "currency settlCurrency ordType timeInForce execInst contingencyType ordStatus triggered "
    "workingIndicator:boolean ordRejReason:string leavesQty:long cumQty avgPx:float text:string "
    "transactTime:timestamp timestamp pool:symbol expiryTime:timestamp maxSlippagePct:float"
)
_EXECUTION = types_of(
    "execID:guid orderID clOrdID: clOrdLinkID account:long symbol:symbol strategy side "
    "lastQty:long lastPx:float lastLiquidityInd:symbol orderQty:long price:float displayQty:long "
    "stopPx:float pegOffsetValue pegPriceType:symbol currency settlCurrency execType ordType "
    "timeInForce execInst contingencyType ordStatus triggered workingIndicator:boolean "
    "ordRejReason: leavesQty:long cumQty avgPx:float commission brokerCommission feeType:symbol "
    "tradePublishIndicator text: trdMatchID:guid execCost:long execComm brokerExecComm "
    "homeNotional:float foreignNotional transactTime:timestamp timestamp realisedPnl:long "
    "trdType:symbol tradePool execCommCcy pool expiryTime:timestamp maxSlippagePct:float"
)
_POSITION = types_of(
    "account:long symbol:symbol strategy currency underlying quoteCurrency commission:float "
    "initMarginReq maintMarginReq riskLimit:long leverage:float crossMargin:boolean "
    "deleveragePercentile:float rebalancedPnl:long prevRealisedPnl prevUnrealisedPnl openingQty "
    "openOrderBuyQty openOrderBuyCost openOrderBuyPremium openOrderSellQty openOrderSellCost "
    "openOrderSellPremium currentQty currentCost currentComm realisedCost unrealisedCost "
    "grossOpenPremium isOpen:boolean markPrice:float markValue:long riskValue homeNotional:float "
    "foreignNotional posState:symbol posCost:long posCross posComm posLoss posMargin posMaint "
    "posInit initMargin maintMargin realisedPnl unrealisedPnl unrealisedPnlPcnt:float "
    "unrealisedRoePcnt avgCostPrice avgEntryPrice breakEvenPrice marginCallPrice liquidationPrice "
    "bankruptPrice timestamp:timestamp"
)
_MARGIN = types_of(
    "account:long currency:symbol riskLimit:long state:symbol amount:long prevRealisedPnl "
    "grossComm grossOpenCost grossOpenPremium grossExecCost grossMarkValue riskValue initMargin "
    "maintMargin targetExcessMargin realisedPnl unrealisedPnl walletBalance marginBalance "
    "marginLeverage:float marginUsedPcnt excessMargin:long availableMargin withdrawableMargin "
    "systemWithdrawableMargin makerFeeDiscount:float takerFeeDiscount timestamp:timestamp "
    "foreignMarginBalance:long foreignRequirement"
)
_WALLET = types_of(
    "account:long currency:symbol deposited:long withdrawn transferIn transferOut amount "
    "pendingCredit pendingDebit confirmedDebit timestamp:timestamp"
)
_INSTRUMENT = types_of(
    "symbol:symbol rootSymbol state typ listing:timestamp front expiry settle listedSettle "
    "relistInterval:timespan inverseLeg:symbol sellLeg buyLeg optionStrikePcnt:float "
    "optionStrikeRound optionStrikePrice optionMultiplier positionCurrency:symbol underlying "
    "quoteCurrency underlyingSymbol reference referenceSymbol calcInterval:timespan "
    "publishInterval publishTime maxOrderQty:long minPrice:float maxPrice lotSize:long "
    "tickSize:float multiplier:long settlCurrency:symbol underlyingToPositionMultiplier:long "
    "underlyingToSettleMultiplier quoteToSettleMultiplier isQuanto:boolean isInverse "
    "initMargin:float maintMargin riskLimit:long riskStep limit:float capped:boolean taxed "
    "deleverage makerFee:float takerFee settlementFee insuranceFee fundingBaseSymbol:symbol "
    "fundingQuoteSymbol fundingPremiumSymbol fundingTimestamp:timestamp fundingInterval:timespan "
    "fundingRate:float indicativeFundingRate rebalanceTimestamp:timestamp "
    "rebalanceInterval:timespan openingTimestamp:timestamp closingTimestamp "
    "sessionInterval:timespan prevClosePrice:float limitDownPrice limitUpPrice "
    "bankruptLimitDownPrice bankruptLimitUpPrice prevTotalVolume:long totalVolume volume volume24h "
    "prevTotalTurnover totalTurnover turnover turnover24h homeNotional24h:float foreignNotional24h "
    "prevPrice24h vwap highPrice lowPrice lastPrice lastPriceProtected lastTickDirection:symbol "
    "lastChangePcnt:float bidPrice midPrice askPrice impactBidPrice impactMidPrice impactAskPrice "
    "hasLiquidity:boolean openInterest:long openValue fairMethod:symbol fairBasisRate:float "
    "fairBasis fairPrice markMethod:symbol markPrice:float indicativeTaxRate indicativeSettlePrice "
    "optionUnderlyingPrice settledPriceAdjustmentRate settledPrice instantPnl:boolean "
    "timestamp:timestamp"
)
_L2 = types_of(
    "symbol:symbol id:long side:symbol size:long price:float timestamp:timestamp transactTime"
)
_QUOTE = types_of(
    "timestamp:timestamp symbol:symbol bidSize:long bidPrice:float askPrice askSize:long"
)
_TRADE = types_of(
    "timestamp:timestamp symbol:symbol side size:long price:float tickDirection:symbol "
    "trdMatchID:guid grossValue:long homeNotional:float foreignNotional trdType:symbol"
)
_TRADE_BIN = types_of(
    "timestamp:timestamp symbol:symbol open:float high low close trades:long volume vwap:float "
    "lastSize:long turnover homeNotional:float foreignNotional"
)
_NOTIFICATION = types_of(
    "id:long date:timestamp title:string body ttl:long type:symbol closable:boolean persist "
    "waitForVisibility sound:string"
)
BINS = ("1m", "5m", "1h", "1d")

TABLES: dict[str, Table] = {
    # private
    "affiliate": Table(
        ("account", "currency"),
        types_of(
            "account:long currency:symbol prevPayout:long prevTurnover prevComm "
            "prevTimestamp:timestamp execTurnover:long execComm totalReferrals totalTurnover "
            "totalComm payoutPcnt:float pendingPayout:long timestamp:timestamp "
            "referrerAccount:float referralDiscount affiliatePayout"
        ),
    ),
    "execution": Table((), _EXECUTION),
    "margin": Table(("account", "currency"), _MARGIN),
    "order": Table(("orderID",), _ORDER),
    "position": Table(("account", "symbol", "strategy"), _POSITION),
    "privateNotifications": Table(("id",), {**_NOTIFICATION, "account": "long"}),
    "transact": Table(
        ("transactID",),
        types_of(
            "transactID:guid account:long currency:symbol transactType amount:long fee "
            "transactStatus:symbol address:string tx text transactTime:timestamp "
            "walletBalance:long marginBalance timestamp:timestamp"
        ),
    ),
    "wallet": Table(("account", "currency"), _WALLET),
    # public
    "funding": Table(
        ("timestamp", "symbol"),
        types_of(
            "timestamp:timestamp symbol:symbol fundingInterval:timespan fundingRate:float "
            "fundingRateDaily"
        ),
    ),
    "instrument": Table(("symbol",), _INSTRUMENT),
    "insurance": Table(
        ("currency", "timestamp"),
        types_of("currency:symbol timestamp:timestamp walletBalance:long"),
    ),
    "liquidation": Table(
        ("orderID",), types_of("orderID:guid symbol:symbol side price:float leavesQty:long")
    ),
    "orderBook10": Table(("symbol",), types_of("symbol:symbol bids: asks timestamp:timestamp")),
    "orderBookL2": Table(("symbol", "id", "side"), _L2),
    "orderBookL2_25": Table(("symbol", "id", "side"), _L2),
    "quote": Table((), _QUOTE),
    "settlement": Table(
        ("timestamp", "symbol"),
        types_of(
            "timestamp:timestamp symbol:symbol settlementType settledPrice:float "
            "optionStrikePrice optionUnderlyingPrice bankrupt:long taxBase taxRate:float"
        ),
    ),
    "trade": Table((), _TRADE),
    # The keys of the bin tables are not known (section 16); with none a client appends, which is
    # what the rows are for.
    **{f"quoteBin{size}": Table((), _QUOTE) for size in BINS},
    **{f"tradeBin{size}": Table((), _TRADE_BIN) for size in BINS},
    # of the platform
    "announcement": Table(("id",), types_of("id:long link:string title content date:timestamp")),
    "chat": Table(
        ("id",),
        types_of("id:long date:timestamp user:string message html fromBot:boolean channelID:long"),
    ),
    "connected": Table((), types_of("users:long bots")),
    "publicNotifications": Table(("id",), _NOTIFICATION),
}

PRIVATE_TABLES = frozenset(
    {"affiliate", "execution", "margin", "order", "position", "privateNotifications", "transact",
     "wallet"}
)  # fmt: skip
# Served on /realtimePlatform and on /realtime, which is the older host's one address for all.
PLATFORM_TABLES = frozenset(
    {"announcement", "chat", "connected", "publicNotifications", "privateNotifications"}
)
# Of a member or of the whole platform, and not of one contract: a symbol after them says nothing.
WITHOUT_SYMBOL = (
    frozenset({"affiliate", "insurance", "margin", "transact", "wallet"}) | PLATFORM_TABLES
)
