"""
The tables as partials described them until 2022: more fields, foreign keys and attributes (9.3).

From recorded partials of 2018 to 2021, field by field and in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .tables import BINS, TABLES, types_of


@dataclass(frozen=True, slots=True)
class OldTable:
    """What a ``partial`` said of a table."""

    keys: tuple[str, ...]
    types: Mapping[str, str]
    foreign: Mapping[str, str]
    attributes: Mapping[str, str]


_SYMBOL = {"symbol": "instrument"}
_SIDE = {"symbol": "instrument", "side": "side"}
_STATUS = {"symbol": "instrument", "side": "side", "ordStatus": "ordStatus"}
_SORTED = {"timestamp": "sorted", "symbol": "grouped"}
_PER_CURRENCY = {"account": "sorted", "currency": "grouped"}

_ORDER = types_of(
    "orderID:guid clOrdID:string clOrdLinkID:symbol account:long symbol:symbol side "
    "simpleOrderQty:float orderQty:long price:float displayQty:long stopPx:float pegOffsetValue "
    "pegPriceType:symbol currency settlCurrency ordType timeInForce execInst contingencyType "
    "exDestination ordStatus triggered workingIndicator:boolean ordRejReason:symbol "
    "simpleLeavesQty:float leavesQty:long simpleCumQty:float cumQty:long avgPx:float "
    "multiLegReportingType:symbol text:string transactTime:timestamp timestamp"
)
_EXECUTION = types_of(
    "execID:guid orderID clOrdID:symbol clOrdLinkID account:long symbol:symbol side lastQty:long "
    "lastPx:float underlyingLastPx lastMkt:symbol lastLiquidityInd simpleOrderQty:float "
    "orderQty:long price:float displayQty:long stopPx:float pegOffsetValue pegPriceType:symbol "
    "currency settlCurrency execType ordType timeInForce execInst contingencyType exDestination "
    "ordStatus triggered workingIndicator:boolean ordRejReason:symbol simpleLeavesQty:float "
    "leavesQty:long simpleCumQty:float cumQty:long avgPx:float commission "
    "tradePublishIndicator:symbol multiLegReportingType text trdMatchID:guid execCost:long "
    "execComm homeNotional:float foreignNotional transactTime:timestamp timestamp"
)
_POSITION = types_of(
    "account:long symbol:symbol currency underlying quoteCurrency commission:float initMarginReq "
    "maintMarginReq riskLimit:long leverage:float crossMargin:boolean deleveragePercentile:float "
    "rebalancedPnl:long prevRealisedPnl prevUnrealisedPnl prevClosePrice:float "
    "openingTimestamp:timestamp openingQty:long openingCost openingComm openOrderBuyQty "
    "openOrderBuyCost openOrderBuyPremium openOrderSellQty openOrderSellCost openOrderSellPremium "
    "execBuyQty execBuyCost execSellQty execSellCost execQty execCost execComm "
    "currentTimestamp:timestamp currentQty:long currentCost currentComm realisedCost "
    "unrealisedCost grossOpenCost grossOpenPremium grossExecCost isOpen:boolean markPrice:float "
    "markValue:long riskValue homeNotional:float foreignNotional posState:symbol posCost:long "
    "posCost2 posCross posInit posComm posLoss posMargin posMaint posAllowance taxableMargin "
    "initMargin maintMargin sessionMargin targetExcessMargin varMargin realisedGrossPnl "
    "realisedTax realisedPnl unrealisedGrossPnl longBankrupt shortBankrupt taxBase "
    "indicativeTaxRate:float indicativeTax:long unrealisedTax unrealisedPnl "
    "unrealisedPnlPcnt:float unrealisedRoePcnt simpleQty simpleCost simpleValue simplePnl "
    "simplePnlPcnt avgCostPrice avgEntryPrice breakEvenPrice marginCallPrice liquidationPrice "
    "bankruptPrice timestamp:timestamp lastPrice:float lastValue:long"
)
_MARGIN = types_of(
    "account:long currency:symbol riskLimit:long prevState:symbol state action amount:long "
    "pendingCredit pendingDebit confirmedDebit prevRealisedPnl prevUnrealisedPnl grossComm "
    "grossOpenCost grossOpenPremium grossExecCost grossMarkValue riskValue taxableMargin "
    "initMargin maintMargin sessionMargin targetExcessMargin varMargin realisedPnl unrealisedPnl "
    "indicativeTax unrealisedProfit syntheticMargin walletBalance marginBalance "
    "marginBalancePcnt:float marginLeverage marginUsedPcnt excessMargin:long "
    "excessMarginPcnt:float availableMargin:long withdrawableMargin timestamp:timestamp "
    "grossLastValue:long commission:float"
)
_WALLET = types_of(
    "account:long currency:symbol prevDeposited:long prevWithdrawn prevTransferIn prevTransferOut "
    "prevAmount prevTimestamp:timestamp deltaDeposited:long deltaWithdrawn deltaTransferIn "
    "deltaTransferOut deltaAmount deposited withdrawn transferIn transferOut amount pendingCredit "
    "pendingDebit confirmedDebit timestamp:timestamp addr:symbol script withdrawalLock:symbols"
)
_L2 = OldTable(
    ("symbol", "id", "side"),
    types_of("symbol:symbol id:long side:symbol size:long price:float"),
    _SIDE,
    {"symbol": "parted", "id": "sorted"},
)
_NEW_OF_INSTRUMENTS = {"minPrice", "instantPnl"}
_NEW_OF_TRADES = {"trdType"}


def _without(table: str, names: set[str]) -> dict[str, str]:
    return {name: kind for name, kind in TABLES[table].types.items() if name not in names}


OLD_TABLES: dict[str, OldTable] = {
    "order": OldTable(
        ("orderID",), _ORDER, _STATUS,
        {"orderID": "grouped", "account": "grouped", "ordStatus": "grouped",
         "workingIndicator": "grouped"},
    ),
    "execution": OldTable(
        ("execID",), _EXECUTION, _STATUS,
        {"execID": "grouped", "account": "grouped", "execType": "grouped",
         "transactTime": "sorted"},
    ),
    "position": OldTable(
        ("account", "symbol", "currency"), _POSITION, _SYMBOL,
        {"account": "sorted", "symbol": "grouped", "currency": "grouped", "underlying": "grouped",
         "quoteCurrency": "grouped"},
    ),
    "margin": OldTable(("account", "currency"), _MARGIN, {}, _PER_CURRENCY),
    "wallet": OldTable(("account", "currency"), _WALLET, {}, _PER_CURRENCY),
    "instrument": OldTable(
        ("symbol",), _without("instrument", _NEW_OF_INSTRUMENTS), {}, {"symbol": "unique"}
    ),
    "orderBookL2": _L2,
    "orderBookL2_25": _L2,
    "orderBook10": OldTable(
        ("symbol",), TABLES["orderBook10"].types, _SYMBOL, {"symbol": "sorted"}
    ),
    "quote": OldTable((), TABLES["quote"].types, _SYMBOL, _SORTED),
    "trade": OldTable((), _without("trade", _NEW_OF_TRADES), _SIDE, _SORTED),
    "funding": OldTable(TABLES["funding"].keys, TABLES["funding"].types, _SYMBOL, _SORTED),
    **{
        f"{kind}Bin{size}": OldTable((), TABLES[f"{kind}Bin{size}"].types, _SYMBOL, _SORTED)
        for kind in ("trade", "quote") for size in BINS
    },
}  # fmt: skip
