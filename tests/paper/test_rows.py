"""
What rows are made of: the fields of each table, the words in them, the signs of costs, and the
terms of the contracts (protocol sheet, sections 5, 6, 8.1 and 8.4).
"""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from reconciler.paper.tables import types_of
from tests.paper.conftest import ME, OTHER, Bench
from tests.paper.ear import MINE, THEIRS, Stage
from tests.paper.test_rest_market import Reader
from tests.paper.test_ws_frames import rows_of
from tests.paper.test_ws_topics import PRIVATE, PUBLIC, busy_afternoon
from tests.paper.trading import market_at

# Section 5, in its order. A kind is written where the sheet tells it, and holds up to the next;
# `?` begins those of which it tells none.
ORDER = (
    "orderID:guid clOrdID:? clOrdLinkID account:long symbol:? side orderQty:long price:? "
    "displayQty:long stopPx:? pegOffsetValue pegPriceType currency settlCurrency ordType "
    "timeInForce execInst contingencyType ordStatus triggered workingIndicator:boolean "
    "ordRejReason:? leavesQty:long cumQty avgPx:? text transactTime timestamp strategy pool"
)
DOCUMENTED = {
    "Order": ORDER,
    "Execution": ORDER
    + " execID:guid lastQty:long lastPx:? lastLiquidityInd execType commission feeType "
    "tradePublishIndicator trdMatchID:guid execCost:long execComm homeNotional:? foreignNotional "
    "brokerCommission brokerExecComm realisedPnl:long trdType:? tradePool execCommCcy",
    "Position": "account:long symbol:? currency underlying quoteCurrency commission initMarginReq "
    "maintMarginReq riskLimit:long leverage:? crossMargin deleveragePercentile rebalancedPnl:long "
    "prevRealisedPnl prevUnrealisedPnl openingQty openOrderBuyQty openOrderBuyCost "
    "openOrderBuyPremium openOrderSellQty openOrderSellCost openOrderSellPremium currentQty "
    "currentCost currentComm realisedCost unrealisedCost grossOpenPremium isOpen:? markPrice "
    "markValue:long riskValue homeNotional:? foreignNotional posState posCost:long posCross "
    "posComm posLoss posMargin posMaint posInit initMargin maintMargin realisedPnl unrealisedPnl "
    "unrealisedPnlPcnt:? unrealisedRoePcnt avgCostPrice avgEntryPrice breakEvenPrice "
    "marginCallPrice liquidationPrice bankruptPrice timestamp strategy",
    "Margin": "account:long currency:? riskLimit:long state:? amount:long prevRealisedPnl "
    "grossComm grossOpenCost grossOpenPremium grossExecCost grossMarkValue riskValue initMargin "
    "maintMargin targetExcessMargin realisedPnl unrealisedPnl walletBalance marginBalance "
    "marginLeverage:? marginUsedPcnt excessMargin:long availableMargin withdrawableMargin "
    "foreignMarginBalance foreignRequirement systemWithdrawableMargin makerFeeDiscount:? "
    "takerFeeDiscount timestamp",
    "Wallet": "account:long currency:? deposited:long withdrawn transferIn transferOut amount "
    "pendingCredit pendingDebit confirmedDebit timestamp:?",
    "Instrument": "symbol:? rootSymbol state typ listing front expiry settle positionCurrency "
    "underlying quoteCurrency reference referenceSymbol maxOrderQty:long maxPrice:? minPrice "
    "lotSize:long tickSize:? multiplier:long settlCurrency:? underlyingToPositionMultiplier "
    "underlyingToSettleMultiplier quoteToSettleMultiplier isQuanto isInverse initMargin "
    "maintMargin riskLimit:long riskStep makerFee:? takerFee settlementFee fundingBaseSymbol "
    "fundingQuoteSymbol fundingPremiumSymbol fundingTimestamp fundingInterval fundingRate "
    "indicativeFundingRate limitDownPrice limitUpPrice lastPrice lastTickDirection bidPrice "
    "midPrice askPrice impactBidPrice impactMidPrice impactAskPrice markMethod markPrice "
    "fairPrice indicativeSettlePrice settledPrice openInterest openValue volume "
    "instantPnl:boolean hasLiquidity timestamp:?",
    "Trade": "timestamp:? symbol side size price tickDirection trdMatchID grossValue homeNotional "
    "foreignNotional trdType",
    "TradeBin": "timestamp:? symbol open high low close trades volume vwap lastSize turnover "
    "homeNotional foreignNotional",
    "Quote": "timestamp:? symbol bidSize bidPrice askPrice askSize",
    "OrderBookL2": "symbol:? id:long side:? size price timestamp",
    "Funding": "timestamp:? symbol fundingInterval fundingRate fundingRateDaily",
    "Liquidation": "orderID:? symbol side price leavesQty",
}
GONE = {  # section 13, January 2023
    "Order": "simpleOrderQty exDestination simpleLeavesQty simpleCumQty multiLegReportingType",
    "Execution": "underlyingLastPx lastMkt simpleOrderQty exDestination",
    "Position": "openingTimestamp openingCost openingComm execQty execCost execComm "
    "currentTimestamp grossOpenCost grossExecCost posCost2 posAllowance taxableMargin taxBase "
    "simpleQty simpleCost lastPrice lastValue",
    "Margin": "prevState action pendingCredit pendingDebit taxableMargin",
    "Wallet": "prevDeposited deltaDeposited prevAmount deltaAmount",
}  # fmt: skip


@pytest.mark.parametrize("model", DOCUMENTED)
def test_each_documented_field_is_there_and_of_its_kind(model):
    """What quantities, costs and money are counted in are integers, whatever the contract."""
    known = Reader().get("/schema", model=model)["types"]
    for name, kind in types_of(DOCUMENTED[model]).items():
        assert name in known, name
        assert kind in ("?", known[name]), (name, known[name])


@pytest.mark.parametrize("model", GONE)
def test_fields_that_were_dropped_are_gone(model):
    """A client that still waits for them has to be told by a failing test, not by its users."""
    known = Reader().get("/schema", model=model)["types"]
    assert set(known).isdisjoint(GONE[model].split())


WORDS = {  # section 6
    "ordStatus": "New PartiallyFilled Filled Canceled Rejected Expired PendingNew PendingReplace "
    "PendingCancel",
    "execType": "New Trade Canceled Replaced Rejected CancelReject AmendReject "
    "TriggeredOrActivatedBySystem Funding Settlement Suspended Released Insurance Rebalance "
    "Liquidation Bankruptcy TrialFill",
    "lastLiquidityInd": "AddedLiquidity RemovedLiquidity",
    "ordType": "Market Limit Stop StopLimit MarketIfTouched LimitIfTouched Pegged",
    "timeInForce": "Day GoodTillCancel ImmediateOrCancel FillOrKill AtTheClose",
    "execInst": "ParticipateDoNotInitiate ReduceOnly Close MarkPrice IndexPrice LastPrice Fixed "
    "LastWithinMark",
    "contingencyType": "OneCancelsTheOther OneTriggersTheOther",
    "tickDirection": "PlusTick ZeroPlusTick MinusTick ZeroMinusTick",
    "lastTickDirection": "PlusTick ZeroPlusTick MinusTick ZeroMinusTick",
    "trdType": "Regular Referential",
    "state": "Open Closed Unlisted Settled Delisted Expired Cleared",
    "typ": "FFWCSX FFWCSF FFCCSX FFICSX FFSCSX FFMCSX IFXXXP MRCXXX",
    "markMethod": "FairPrice FairPriceStox LastPrice LastPricePreLaunch CompositeIndex",
    "strategy": "OneWay Long Short",
    "feeType": "Maker Taker",
    "triggered": "StopOrderTriggered",
    "side": "Buy Sell",
}  # fmt: skip
SEEN = {  # of these words an afternoon must have had some, or the test says nothing
    "ordStatus": {"New", "PartiallyFilled", "Filled", "Canceled", "Rejected"},
    "execType": {"New", "Trade", "Canceled", "Replaced", "CancelReject", "Funding",
                 "TriggeredOrActivatedBySystem"},
    "typ": {"FFWCSX", "FFCCSX", "IFXXXP", "MRCXXX"},
    "ordType": set(WORDS["ordType"].split()),
    "lastLiquidityInd": set(WORDS["lastLiquidityInd"].split()),
    "trdType": {"Regular", "Referential"},
}  # fmt: skip


def test_every_word_of_a_row_is_on_its_list():
    """States, kinds, types, instructions: nothing comes that a client could not know."""
    stage = Stage(symbols=("XBTUSD", "ETHUSD", "XBTUSDT", "XBT_USDT", "XBTM26"))
    ears = [stage.ear(*PUBLIC, *PRIVATE, key=key) for key in (MINE, THEIRS)]
    for kind in ("StopLimit", "MarketIfTouched", "LimitIfTouched"):
        stage.place(orderQty=-100, ordType=kind, stopPx="61200" if kind == "StopLimit" else "62000",
                    **({} if kind == "MarketIfTouched" else {"price": "61900"}))  # fmt: skip
    stage.place(orderQty=100, pegPriceType="PrimaryPeg", pegOffsetValue="-5", execInst="Fixed")
    stage.place(OTHER, orderQty=500, price="61250.5", clOrdLinkID="l",
                contingencyType="OneCancelsTheOther")  # fmt: skip
    stage.place(orderQty=100, stopPx="61251", ordType="Stop", execInst="LastPrice")
    stage.place(orderQty=100_000, price="61252")
    busy_afternoon(stage)
    found: dict[str, set[str]] = {}
    for ear in ears:
        for frame in ear.frames():
            for row in frame.get("data", []) if isinstance(frame, dict) else []:
                for name, value in row.items():
                    if name in WORDS and value is not None:
                        found.setdefault(name, set()).update(str(value).split(","))
    for name, words in found.items():
        assert words <= set(WORDS[name].split()), (name, words)
    for name, words in SEEN.items():
        assert words <= found[name], (name, words - found[name])


TERMS = {  # section 8.4; fees and margins where it says [unsure] are the values that it names
    "XBTUSD": ("FFWCSX", 100, "0.1", -100_000_000, "XBt", True, False, "0.01", "0.005",
               "0.0005", "0.0005", 10_000_000),
    "XBTUSDT": ("FFWCSX", 100, "0.1", 1, "USDt", False, False, "0.01", "0.005",
                "0.0005", "0.0005", 1_000_000_000),
    "ETHUSD": ("FFWCSX", 1, "0.05", 100, "XBt", False, True, "0.01", "0.005",
               "0.0005", "0.0005", 10_000_000),
    "XBT_USDT": ("IFXXXP", 1_000, "0.5", 1, None, False, False, "1", "1",
                 "0.001", "0.001", 100_000_000_000),
}  # fmt: skip


@pytest.mark.parametrize("symbol", TERMS)
def test_a_contract_has_the_terms_that_it_last_had(symbol):
    """Kind, lot, tick, multiplier, currency, flags, margins, fees and the largest order."""
    [row] = Reader(symbols=tuple(TERMS)).get("/instrument", symbol=symbol)
    names = ("typ", "lotSize", "tickSize", "multiplier", "settlCurrency", "isInverse", "isQuanto",
             "initMargin", "maintMargin", "makerFee", "takerFee", "maxOrderQty")  # fmt: skip
    found = tuple(row.get(name) for name in names)
    assert found == tuple(Decimal(v) if isinstance(v, str) and v[0].isdigit() else v
                          for v in TERMS[symbol])  # fmt: skip


@pytest.mark.parametrize(("symbol", "sign"), [("XBTUSD", -1), ("XBTUSDT", 1), ("ETHUSD", 1)])
def test_costs_and_notionals_have_their_signs(symbol, sign):
    """A buy costs below zero where a contract is inverse; home is + for buys; trades are all +."""
    stage = Stage(symbols=(symbol,))
    buyer, public = stage.ear("execution", key=MINE), stage.ear(f"trade:{symbol}")
    seller = stage.ear("execution", key=THEIRS)
    for ear in (buyer, public, seller):
        ear.frames()
    stage.place(ME, symbol=symbol, orderQty=100, ordType="Market")
    stage.place(OTHER, symbol=symbol, orderQty=-100, ordType="Market")
    for ear, way in ((buyer, 1), (seller, -1)):
        trades = [r for _, r in rows_of(ear.tables(), "execution") if r["execType"] == "Trade"]
        assert trades
        for row in trades:
            assert row["execCost"] * sign * way > 0
            assert row["homeNotional"] * way > 0 > row["foreignNotional"] * way
            assert row["execComm"] > 0  # paid, whichever side
    for _, row in rows_of(public.tables(), "trade"):
        assert row["homeNotional"] > 0 < row["foreignNotional"]
        assert row["grossValue"] > 0


# -- what must add up ------------------------------------------------------------------------------


def drawn_life(stage, draw):
    """A hundred orders of two members in three kinds of contract, of which some trade."""
    for number in range(100):
        symbol = draw.choice(("XBTUSD", "ETHUSD", "XBTUSDT"))
        fields = {"symbol": symbol, "orderQty": 100 * draw.choice((-3, -2, -1, 1, 2, 3))}
        market = stage.exchange.markets[symbol]
        if draw.random() < 0.5:
            fields["ordType"] = "Market"
        else:
            fields["price"] = market.inst.price(
                market.inst.ticks(market.last) + draw.randint(-9, 9)
            )
        stage.place(draw.choice((ME, OTHER)), clOrdID=str(number), **fields)
        stage.pass_ms(700)


def test_totals_of_a_row_follow_from_its_parts():
    """Position and margin at every moment, by integer equality, in all kinds of contract."""
    stage = Stage(symbols=("XBTUSD", "ETHUSD", "XBTUSDT"), walk=True)
    for symbol in ("XBTUSD", "ETHUSD"):
        stage.exchange.set_leverage(ME, symbol, Decimal(10), stage.now)
    ears = [stage.ear("position", "margin", key=key) for key in (MINE, THEIRS)]
    drawn_life(stage, random.Random(1))
    seen = 0
    for ear in ears:
        held: dict[object, dict] = {}
        for frame in ear.frames():
            for row in frame.get("data", []):
                table = frame["table"]
                p = held.setdefault((table, row.get("symbol"), row["currency"]), {})
                p.update(row)
                seen += 1
                if table == "margin":
                    assert p["walletBalance"] == p["amount"] + p["realisedPnl"]
                    assert p["marginBalance"] == p["walletBalance"] + p["unrealisedPnl"]
                    free = p["marginBalance"] - p["initMargin"] - p["maintMargin"]
                    assert p["availableMargin"] == max(0, free)
                    leverage = Decimal(p["grossMarkValue"]) / p["marginBalance"]
                    assert abs(p["marginLeverage"] - leverage) <= Decimal("0.0001")
                    continue
                assert p["currentCost"] == p["realisedCost"] + p["unrealisedCost"]
                assert (
                    p["realisedPnl"] == -p["realisedCost"] - p["currentComm"] - p["rebalancedPnl"]
                )
                assert p["unrealisedPnl"] == p["markValue"] - p["unrealisedCost"]
                assert p["maintMargin"] == p["posMargin"] + p["unrealisedPnl"] * p["isOpen"]
                assert p["isOpen"] == (p["currentQty"] != 0)
                if not p["crossMargin"]:
                    assert p["posMargin"] == p["posInit"] + p["posComm"]
    assert seen > 200


def test_an_order_counts_up_and_an_execution_comes_once():
    """The one sequence that is safe: cumQty never falls, execIDs are never used again (11)."""
    stage = Stage(symbols=("XBTUSD", "ETHUSD", "XBTUSDT"), walk=True)
    ear = stage.ear("order", "execution", key=MINE)
    drawn_life(stage, random.Random(3))
    counted: dict[str, int] = {}
    traded: dict[str, int] = {}
    ids = []
    for table, row in [(f["table"], r) for f in ear.frames() for r in f.get("data", [])]:
        if table == "order":
            now = row.get("cumQty", counted.get(row["orderID"], 0))
            assert now >= counted.get(row["orderID"], 0)
            counted[row["orderID"]] = now
        else:
            ids.append(row["execID"])
            traded[row["orderID"]] = traded.get(row["orderID"], 0) + row["lastQty"]
    assert len(set(ids)) == len(ids) > 50
    assert counted == traded


def test_a_market_order_is_new_and_then_trades_at_one_time():
    """Its executions: New with a zero match id, then a row for each price, all of one moment."""
    stage = Stage(symbols=("XBTUSD",))
    ear = stage.ear("execution", key=MINE)
    ear.frames()
    stage.place(orderQty=20_000, ordType="Market")
    (new, *trades) = [row for _, row in rows_of(ear.tables(), "execution")]
    assert (new["execType"], new["ordStatus"], new["lastQty"]) == ("New", "New", 0)
    assert new["trdMatchID"] == "00000000-0000-0000-0000-000000000000"
    assert "lastLiquidityInd" not in new
    assert len(trades) > 1
    assert {row["execType"] for row in trades} == {"Trade"}
    assert {row["timestamp"] for row in trades} == {new["timestamp"]}
    assert [row["ordStatus"] for row in trades] == ["PartiallyFilled"] * (len(trades) - 1) + [
        "Filled"
    ]


def test_who_the_dead_mans_switch_cancels_is_told_so():
    """An ordinary cancel whose text names the switch [unsure: its words]."""
    stage = Stage(symbols=("XBTUSD",))
    ear = stage.ear("order", key=MINE)
    stage.place(orderQty=100, price="60000")
    ear.frames()
    ear.ask("cancelAllAfter", 1_000)
    stage.pass_ms(1_000)
    ((action, row),) = rows_of(ear.tables(), "order")
    assert (action, row["ordStatus"], row["leavesQty"]) == ("update", "Canceled", 0)
    assert row["text"] == "Canceled: cancelAllAfter timeout\nSubmitted via API."


@pytest.mark.parametrize(
    ("symbol", "average"), [("XBTUSD", "60746.888"), ("ETHUSD", "60750"), ("XBTUSDT", "60750")]
)
def test_an_average_is_harmonic_where_a_contract_is_inverse(symbol, average):
    """100 at 60000 and 300 at 61000: weighted by contracts, or by what they cost in bitcoin."""
    bench = Bench(balances={"XBt": 10**14, "USDt": 10**14})
    tick = bench.exchange.catalogue[symbol].tick
    for contracts, price in ((100, 60_000), (300, 61_000)):
        market_at(bench, price - tick, symbol)
        bench.place(symbol=symbol, orderQty=contracts, ordType="Market")
    row = [row for _, row in bench.rows("position")][-1]
    assert (row["currentQty"], str(row["avgEntryPrice"])) == (400, average)


@pytest.mark.parametrize(("symbol", "signs"), [("XBTUSD", (-1, -1)), ("ETHUSD", (1, 1))])
def test_open_orders_are_counted_and_costed_by_side(symbol, signs):
    """A placement is told with the old quantity; costs of inverse orders are below zero (8.2)."""
    stage = Stage()
    ear = stage.ear("position", key=MINE)
    stage.place(symbol=symbol, orderQty=300, price="2000")
    stage.place(symbol=symbol, orderQty=-200, price="70000")
    rows = {}
    for frame in ear.frames():
        for row in frame.get("data", []):
            rows.update(row)
    assert (rows["openOrderBuyQty"], rows["openOrderSellQty"], rows["currentQty"]) == (300, 200, 0)
    assert rows["openOrderBuyCost"] * signs[0] > 0
    assert rows["openOrderSellCost"] * signs[1] > 0
