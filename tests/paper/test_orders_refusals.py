"""
Every "no" of the order endpoints, word for word, and that it changes nothing.

Protocol sheet, section 7. Each table row is one way to bring a message about; where the sheet does
not say which message fits, the code says [unsure].
"""

import pytest

from reconciler.paper import intake
from reconciler.paper.errors import Refusal
from reconciler.paper.orders import POST_ONLY
from tests.paper.conftest import ME, OTHER, Bench

LIMIT = {"orderQty": 100, "price": "61000"}
STOP = {"orderQty": -100, "ordType": "Stop", "stopPx": "61000"}
TRAIL = {"orderQty": -100, "ordType": "Stop", "pegPriceType": "TrailingStopPeg"}
PEG = {"orderQty": 100, "pegPriceType": "PrimaryPeg", "pegOffsetValue": "-5", "execInst": "Fixed"}

MINE = "11111111-2222-3333-4444-555555555555"
UNCHANGED = "Invalid amend: orderQty, leavesQty, price, stopPx unchanged"

# (what is sent, status 400's message), grouped as the list of section 7 has them.
PLACING = [
    # identity
    ({**LIMIT, "clOrdID": "open"}, "Duplicate clOrdID"),
    ({**LIMIT, "clOrdID": "x" * 37}, "Invalid clOrdID"),
    ({**LIMIT, "orderID": "mine"}, "Invalid orderID"),
    ({**LIMIT, "orderID": MINE}, "Duplicate orderID"),
    ({**LIMIT, "symbol": "XBTXYZ"}, "Invalid symbol"),
    ({**LIMIT, "symbol": ""}, "'symbol' is a required arg."),
    ({**LIMIT, "strategy": "Long"}, "Invalid strategy"),
    # side and quantities
    ({**LIMIT, "side": "buy"}, "Invalid side"),
    ({"side": "", "execInst": "Close"}, "Invalid side"),
    ({"price": "61000"}, "'orderQty' is a required arg."),
    ({**LIMIT, "orderQty": 0}, "Invalid orderQty"),
    ({**LIMIT, "orderQty": "1.5"}, "Invalid orderQty"),
    ({**LIMIT, "orderQty": "many"}, "Invalid orderQty"),
    ({**LIMIT, "orderQty": "1_000"}, "Invalid orderQty"),
    ({**LIMIT, "orderQty": "\uff11\uff10\uff10"}, "Invalid orderQty"),
    ({**LIMIT, "orderQty": -100, "side": "Buy"}, "Invalid orderQty"),
    ({**LIMIT, "orderQty": 20_000_000}, "Invalid orderQty"),
    ({**LIMIT, "orderQty": 150}, "Order quantity must be a multiple of lot size"),
    ({**LIMIT, "displayQty": -100}, "Invalid displayQty"),
    ({**LIMIT, "displayQty": 200}, "Invalid displayQty"),
    ({**LIMIT, "displayQty": 50}, "Invalid displayQty"),
    ({**LIMIT, "displayQty": 0, "execInst": POST_ONLY}, "Invalid displayQty for execInst"),
    # prices
    ({"orderQty": 100, "ordType": "Limit"}, "Invalid price"),
    ({**LIMIT, "price": "0"}, "Invalid price"),
    ({**LIMIT, "price": "-5"}, "Invalid price"),
    ({**LIMIT, "price": "1000000.1"}, "Invalid price"),
    ({**LIMIT, "price": "61000.05"}, "Invalid price tickSize"),
    ({**STOP, "ordType": "StopLimit"}, "Invalid price"),
    ({**LIMIT, "price": "62000.1"}, "Price greater than limitUpPrice"),
    ({**LIMIT, "price": "59999.9"}, "Price less than limitDownPrice"),
    # triggers
    ({**LIMIT, "ordType": "Limit", "stopPx": "61000"}, "Invalid stopPx for ordType"),
    ({"orderQty": 100, "ordType": "Market", "stopPx": "61000"}, "Invalid stopPx for ordType"),
    ({"orderQty": 100, "ordType": "Stop"}, "Invalid stopPx for ordType"),
    ({"orderQty": 100, "ordType": "LimitIfTouched", "price": "61000"},
     "Invalid stopPx for ordType"),
    ({**STOP, "stopPx": "0"}, "Invalid stopPx for ordType"),
    ({**STOP, "stopPx": "61000.05"}, "Invalid stopPx tickSize"),
    # pegs
    ({**PEG, "pegPriceType": "MidPricePeg"}, "Unsupported pegPriceType"),
    ({**PEG, "ordType": "Market"}, "Invalid pegPriceType for ordType"),
    ({**PEG, "ordType": "Stop", "stopPx": "61000"}, "Invalid pegPriceType for ordType"),
    ({"orderQty": 100, "ordType": "Pegged", "execInst": "Fixed"},
     "Invalid pegPriceType for ordType"),
    ({**TRAIL, "ordType": "Pegged", "pegOffsetValue": "-5"}, "Invalid pegPriceType for ordType"),
    ({**LIMIT, "pegOffsetValue": "-5"}, "Invalid pegOffsetValue for pegPriceType"),
    (TRAIL, "Invalid pegOffsetValue for pegPriceType"),
    ({**TRAIL, "pegOffsetValue": "100"}, "Invalid pegOffsetValue for pegPriceType"),
    ({**TRAIL, "pegOffsetValue": "-100", "side": "Buy", "orderQty": 100},
     "Invalid pegOffsetValue for pegPriceType"),
    ({**TRAIL, "pegOffsetValue": "-70000"}, "Invalid pegOffsetValue for pegPriceType"),
    ({**TRAIL, "pegOffsetValue": "-0.05"}, "Invalid pegOffsetValue tickSize"),
    ({**PEG, "pegOffsetValue": "-61250.9"}, "Invalid price"),
    ({**PEG, "pegOffsetValue": "-2000"}, "Price less than limitDownPrice"),
    # types, times and instructions
    ({**LIMIT, "ordType": "Iceberg"}, "Unsupported ordType"),
    ({**LIMIT, "timeInForce": "GTC"}, "Unsupported timeInForce"),
    ({**LIMIT, "execInst": "Nope"}, "Unsupported execInst"),
    ({**LIMIT, "execInst": "AllOrNone"}, "Unsupported execInst"),
    ({**LIMIT, "execInst": "ReduceOnly,Close"}, "Invalid execInst"),
    ({**STOP, "execInst": "MarkPrice,LastPrice"}, "Invalid execInst"),
    ({**STOP, "execInst": "LastWithinMark"}, "Invalid execInst"),
    ({**PEG, "execInst": ""}, "Invalid execInst"),
    ({**LIMIT, "execInst": "LastPrice"}, "Invalid ordType for execInst"),
    ({**LIMIT, "execInst": "Fixed"}, "Invalid ordType for execInst"),
    ({**STOP, "ordType": "MarketIfTouched", "execInst": "LastPrice,LastWithinMark"},
     "Invalid ordType for execInst"),
    *[({**fields, "execInst": POST_ONLY}, "Invalid ordType or timeInForce for execInst")
      for fields in (
          {"orderQty": 100, "ordType": "Market"}, STOP,
          {**STOP, "ordType": "MarketIfTouched"}, {**LIMIT, "timeInForce": "ImmediateOrCancel"},
          {**LIMIT, "timeInForce": "FillOrKill"},
          {**STOP, "ordType": "StopLimit", "price": "61000", "timeInForce": "FillOrKill"},
      )],
    # links
    ({**LIMIT, "contingencyType": "OneUpdatesTheOtherAbsolute", "clOrdLinkID": "l"},
     "Unsupported contingencyType"),
    ({**LIMIT, "contingencyType": "OneCancelsTheOther"},
     "Invalid clOrdLinkID for contingencyType"),
    # the position
    ({**LIMIT, "execInst": "ReduceOnly"},
     "Order had execInst of ReduceOnly and side of Buy but current position is 500"),
    ({"side": "Buy", "execInst": "Close", "ordType": "Market"},
     "Order had execInst of Close and side of Buy but current position is 500"),
    # numbers that are none
    ({**LIMIT, "maxSlippagePct": "-1"}, "Invalid maxSlippagePct"),
    ({**LIMIT, "expiryTime": "tomorrow T"}, "Invalid expiryTime"),
    ({**LIMIT, "expiryTime": 1_779_274_799},
     "This request has expired - `expires` is in the past. Current time: 1779274800"),
]  # fmt: skip

AMENDING = [
    ({"orderID": "nobody", "orderQty": 100}, "Invalid orderID"),
    ({"origClOrdID": "nobody", "orderQty": 100}, "Invalid origClOrdID"),
    ({"orderQty": 100}, "orderID or origClOrdID must be sent."),
    ({"clOrdID": "b"}, "origClOrdID required when sending clOrdID."),
    ({"origClOrdID": "open", "clOrdID": "stop"}, "Duplicate clOrdID"),
    ({"origClOrdID": "open", "orderQty": 500}, UNCHANGED),
    ({"origClOrdID": "open", "text": "hello"}, UNCHANGED),
    ({"origClOrdID": "open", "orderQty": 200}, "Invalid orderQty"),
    ({"origClOrdID": "open", "orderQty": 450}, "Order quantity must be a multiple of lot size"),
    ({"origClOrdID": "open", "leavesQty": 150}, "Invalid leavesQty for lotSize"),
    ({"origClOrdID": "open", "leavesQty": 0}, "Invalid leavesQty"),
    ({"origClOrdID": "open", "orderQty": 400, "leavesQty": 100}, "Invalid leavesQty"),
    ({"origClOrdID": "open", "price": "0"}, "Invalid price"),
    ({"origClOrdID": "open", "price": "61250.95"}, "Invalid price tickSize"),
    ({"origClOrdID": "open", "price": "62000.1"}, "Price greater than limitUpPrice"),
    ({"origClOrdID": "open", "price": "59999.9"}, "Price less than limitDownPrice"),
    ({"origClOrdID": "open", "stopPx": "61000"}, "Invalid stopPx for ordType"),
    ({"origClOrdID": "open", "pegOffsetValue": "1"}, "Invalid pegOffsetValue for pegPriceType"),
    ({"origClOrdID": "stop", "price": "61000"}, "Invalid price"),
    ({"origClOrdID": "stop", "stopPx": "60000.05"}, "Invalid stopPx tickSize"),
    ({"origClOrdID": "stop", "stopPx": "61000"}, UNCHANGED),
    ({"origClOrdID": "done", "price": "61250.9"}, "Invalid ordStatus: Canceled"),
    ({"origClOrdID": "full", "price": "61250.9"}, "Invalid ordStatus: Filled"),
    ({"origClOrdID": "reduce", "orderQty": 400},
     "Order had execInst of ReduceOnly and side of Buy but current position is 500"),
]  # fmt: skip


def busy():
    """A bench where much is going on: a position of 500, orders of many kinds, price limits."""
    bench = Bench()
    market = bench.exchange.markets["XBTUSD"]
    bench.place(orderQty=300, ordType="Market", clOrdID="full")
    bench.place(orderQty=500, price="61250.9", clOrdID="open")
    bench.exchange.house_take("XBTUSD", -1, 200, None, bench.now)
    bench.cancel(bench.place(orderQty=100, price="61000", clOrdID="done", orderID=MINE))
    bench.place(**STOP, clOrdID="stop")
    reducing = bench.place(
        orderQty=100, ordType="StopLimit", stopPx="61900", price="61000", clOrdID="reduce",
        execInst="ReduceOnly",
    )  # fmt: skip
    reducing.triggered = "StopOrderTriggered"  # as after a short position that has gone since
    market.limit_up = bench.exchange.catalogue["XBTUSD"].price(620_000)
    market.limit_down = bench.exchange.catalogue["XBTUSD"].price(600_000)
    bench.flush()
    assert bench.held() == 500
    return bench


def state(bench):
    """Everything that a refusal must leave alone."""
    exchange = bench.exchange
    book = exchange.markets["XBTUSD"].book
    return (
        [(o.order_id, o.row(), o.versions[-1:]) for o in exchange.orders.values()],
        {number: list(rows) for number, rows in exchange.executions.items()},
        [(r.order_id, r.ticks, r.leaves, r.shown) for r in book.orders()],
        {
            account.number: (
                [(s, p.qty, p.unrealised_cost, p.comm) for s, p in account.positions.items()],
                account.wallet_balance("XBt"),
            )
            for account in exchange.accounts.values()
        },
        exchange.open_orders(ME),
        bench.flush(),
    )


def refuses(bench, call, message, **fields):
    before = state(bench)
    with pytest.raises(Refusal) as refused:
        call(**fields)
    assert refused.value.message == message
    assert state(bench) == before
    assert before[-1] == []
    return refused.value


@pytest.mark.parametrize(("fields", "message"), PLACING)
def test_a_refused_order_is_told_why_and_changes_nothing(fields, message):
    """The message is BitMEX's; orders, executions, books, money and tables are as they were."""
    bench = busy()
    refusal = refuses(bench, bench.place, message, **fields)
    assert refusal.status == (401 if "expired" in message else 400)


@pytest.mark.parametrize(("fields", "message"), AMENDING)
def test_a_refused_amend_is_told_why_and_changes_nothing(fields, message):
    """The order, and everything else, is as it was."""
    bench = busy()
    assert refuses(bench, bench.amend, message, **fields).status == 400


@pytest.mark.parametrize(
    ("state_name", "message"),
    [
        ("Closed", "Market is not open"),
        ("Unlisted", "Instrument not listed for trading yet"),
        ("Settled", "Instrument expired"),
        ("Expired", "Instrument expired"),
        ("Delisted", "Instrument expired"),
    ],
)
def test_a_market_that_is_not_open_takes_no_orders_and_no_amends(state_name, message):
    """Cancels it takes: so a member can always get out of the way."""
    bench = busy()
    bench.exchange.markets["XBTUSD"].state = state_name
    refuses(bench, bench.place, message, **LIMIT)
    refuses(bench, bench.amend, message, origClOrdID="open", price="61000")
    [order] = [o for o in bench.exchange.open_orders(ME) if o.cl_ord_id == "open"]
    [row] = bench.cancel(order)
    assert row["ordStatus"] == "Canceled"


def test_a_suspended_account_may_only_cancel():
    """Its orders and amends are refused; another account trades on."""
    bench = busy()
    bench.exchange.suspended.add(ME)
    refuses(bench, bench.place, "Account is suspended", **LIMIT)
    refuses(bench, bench.amend, "Account is suspended", origClOrdID="open", price="61000")
    assert bench.place(OTHER, **LIMIT).status == "New"
    [order] = [o for o in bench.exchange.open_orders(ME) if o.cl_ord_id == "open"]
    assert bench.cancel(order)[0]["ordStatus"] == "Canceled"


@pytest.mark.parametrize("inst", ["ReduceOnly", "Close", "LastPrice,LastWithinMark", "IndexPrice"])
def test_spot_knows_no_position_and_no_index(inst):
    """Instructions that need one of them are refused there."""
    bench = Bench()
    fields = {"symbol": "XBT_USDT", "orderQty": 1_000, "ordType": "Stop", "stopPx": "70000"}
    refuses(bench, bench.place, "Invalid execInst", **fields, execInst=inst)


def test_an_account_without_the_currency_of_a_contract_cannot_trade_it():
    """It is told which one it lacks."""
    bench = Bench(balances={"XBt": 100_000_000})
    fields = {"symbol": "XBTUSDT", "orderQty": 1_000, "price": "60000"}
    refuses(bench, bench.place, "Account has no USDt", **fields)
    assert bench.place(**LIMIT).status == "New"


def test_an_order_is_not_revived_beside_another_of_its_id():
    """A filled order's clOrdID may be used again; then the former one stays what it is."""
    bench = Bench()
    first = bench.place(orderQty=100, price="61251", clOrdID="a")
    bench.place(**LIMIT, clOrdID="a")
    bench.flush()
    refuses(bench, bench.amend, "Duplicate clOrdID", orderID=first.order_id, leavesQty=100)


def test_closing_a_position_that_is_not_there_cancels_nothing():
    """closePosition is refused before it touches the symbol's other orders."""
    bench = Bench()
    bench.place(**LIMIT)
    bench.flush()
    fields = {"symbol": "XBTUSD", "execInst": "Close", "side": "Sell", "ordType": "Market"}
    new = intake.new_order(fields, bench.exchange.catalogue)
    refuses(
        bench,
        lambda: bench.exchange.close_position(ME, new, bench.now),
        "Order had execInst of Close and side of Sell but current position is 0",
    )


def test_an_order_that_expires_in_time_is_taken():
    """expiryTime in seconds, with a fraction, in milliseconds, or as a date."""
    bench = Bench()
    for form in (1_779_274_801, "1779274800.001", 1_779_274_800_001, "2026-05-20T11:00:00.001Z"):
        assert bench.place(**LIMIT, expiryTime=form).status == "New"


def test_empty_fields_are_unset():
    """Old clients send every field, most of them empty (section 15)."""
    empty = dict.fromkeys(
        ("stopPx", "pegPriceType", "pegOffsetValue", "displayQty", "clOrdID", "clOrdLinkID",
         "contingencyType", "execInst", "timeInForce", "ordType", "side", "text", "strategy"), "",
    )  # fmt: skip
    assert Bench().place(**LIMIT, **empty).status == "New"


@pytest.mark.parametrize("tif", ["Day", "GoodTillCancel", "ImmediateOrCancel", "FillOrKill"])
@pytest.mark.parametrize("kind", ["Limit", "StopLimit", "LimitIfTouched", "Pegged", "Market"])
def test_every_time_in_force_goes_with_every_type(kind, tif):
    """What may not rest is canceled in its answer, all of it or what is left of it."""
    bench = Bench()
    fields = {"orderQty": 1_500, "timeInForce": tif, "ordType": kind, "price": "61251"}
    if kind == "StopLimit":
        fields["stopPx"] = "61000"
    elif kind == "LimitIfTouched":
        fields["stopPx"] = "61500"
    elif kind == "Pegged":
        fields |= {"pegPriceType": "MarketPeg", "pegOffsetValue": 0, "execInst": "Fixed"}
    order = bench.place(**fields)
    if kind == "Market":
        assert (order.status, order.cum) == ("Filled", 1_500)
        assert order.tif == (tif if tif == "FillOrKill" else "ImmediateOrCancel")
        return
    assert order.tif == tif
    assert (order.status, order.cum) == {
        "ImmediateOrCancel": ("Canceled", 1_000), "FillOrKill": ("Canceled", 0),
    }.get(tif, ("PartiallyFilled", 1_000))  # fmt: skip
