"""Margin: what orders and positions hold, what is refused, where it ends (sheet, 7, 8.2)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.paper.account import Account
from reconciler.paper.errors import Refusal
from reconciler.paper.instruments import ETHUSD, XBTUSD, XBTUSDT, instrument
from reconciler.paper.margin import (
    ACCOUNT_RISK_LIMITS,
    bankrupt_price,
    liquidation_price,
    standing,
)
from reconciler.paper.money_rows import margin_row, position_row
from tests.paper.conftest import ME, NOW, Bench
from tests.paper.trading import market_at, stands

XBT = 100_000_000


def isolated(leverage: str = "10", balance: int = XBT, **options) -> Bench:
    bench = Bench(balances={"XBt": balance, "USDt": 10**12}, **options)
    bench.exchange.set_leverage(ME, "XBTUSD", Decimal(leverage), NOW)
    return bench


def row_of(bench, symbol="XBTUSD"):
    bench.flush()
    return bench.exchange.accounts[ME].positions[symbol].sent


def refused(call, *args, **kwargs) -> str:
    with pytest.raises(Refusal) as caught:
        call(*args, **kwargs)
    assert caught.value.status == 400
    return caught.value.message


# -- the numbers of the sheet -------------------------------------------------------------------


def test_the_worked_position_to_the_unit():
    """300 XBTUSD at 61250.5 and the mark at 61310: every number of the sheet's position row."""
    account = Account(ME, {"XBt": XBT})
    p = account.position(XBTUSD, Decimal(61_310))
    p.leverage = Decimal(10)
    account.trade(p, 300, Decimal("61250.5"), XBTUSD.cost(300, Decimal("61250.5")), 244)
    row = position_row(account, p, NOW)
    told = {
        "currentQty": 300, "currentCost": -489_792, "currentComm": 244, "unrealisedCost": -489_792,
        "isOpen": True, "markPrice": 61_310, "markValue": -489_318, "unrealisedPnl": 474,
        "homeNotional": Decimal("0.00489318"), "foreignNotional": -300,
        "avgEntryPrice": Decimal("61250.5"), "liquidationPrice": Decimal("55936.6"),
    }  # fmt: skip
    assert {name: row[name] for name in told} == told
    # Section 8.2: posInit = ceil(489792 / 10), posComm = ceil(489792 x 0.0005 x 1.1).
    assert (row["posInit"], row["posComm"], row["posMargin"]) == (48_980, 270, 49_250)
    assert row["posMaint"] == 2_449 + 270
    assert row["maintMargin"] == 49_250 + 474
    assert row["realisedPnl"] == -244


def test_a_recorded_cross_position_in_liquidation():
    """
    posInit 51428, posCross 18335, posComm 3910, posMargin 73673, maintMargin 34324, bankrupt at
    34532.5: what a BitMEX of 2021 told of 1800 contracts that had lost 39349.
    """
    old = {"lot": 100, "tick": Decimal("0.5"), "taker_fee": Decimal("0.00075")}
    inst = instrument("XBTUSD").__class__(
        **{name: getattr(XBTUSD, name) for name in XBTUSD.__slots__} | old
    )
    # posMargin is all that there is: 51428 + 3910 and the 18335 that the loss has drawn.
    account = Account(359_347, {"XBt": 73_673})
    p = account.position(inst, Decimal("34734.8"))
    p.qty, p.unrealised_cost, p.average = 1_800, -5_142_779, Decimal(1_800) * XBT / 5_142_779
    row = position_row(account, p, NOW)
    assert (row["markValue"], row["unrealisedPnl"]) == (-5_182_128, -39_349)
    assert (row["posInit"], row["posCross"]) == (51_428, 18_335)
    assert (row["posComm"], row["posMargin"], row["maintMargin"]) == (3_910, 73_673, 34_324)
    assert (row["unrealisedPnlPcnt"], row["unrealisedRoePcnt"]) == (
        Decimal("-0.0077"), Decimal("-0.7651")
    )  # fmt: skip
    assert row["bankruptPrice"] == Decimal("34532.5")
    assert row["marginCallPrice"] == row["liquidationPrice"]


@pytest.mark.parametrize(
    ("leverage", "long", "short"),
    [
        ("1", ("30702.1", "30625.3"), ("1000000", "1000000")),
        ("10", ("55936.6", "55682.3"), ("67680.1", "68056.1")),
        ("100", ("60945.8", "60644.1"), ("61558.2", "61869.1")),
    ],
)
def test_liquidation_and_bankruptcy_of_inverse_positions(leverage, long, short):
    """
    entry / (1 + init - maint) and entry / (1 + init), with minus signs for a short, on a tick away
    from the danger (section 8.2). A short at one-fold leverage cannot lose it all.
    """
    for qty, (limit, end) in ((300, long), (-300, short)):
        account = Account(ME, {"XBt": XBT})
        p = account.position(XBTUSD, Decimal("61250.5"))
        p.leverage = Decimal(leverage)
        cost = XBTUSD.cost(qty, Decimal("61250.5"))
        account.trade(p, qty, Decimal("61250.5"), cost, 0)
        s = standing(account, "XBt")
        assert (liquidation_price(s, p), bankrupt_price(s, p)) == (Decimal(limit), Decimal(end))


def test_liquidation_of_linear_and_quanto_positions():
    """entry x (1 - init + maint) long, x (1 + init - maint) short; bankrupt without the maint."""
    for inst, price in ((XBTUSDT, Decimal(60_000)), (ETHUSD, Decimal(2_000))):
        for qty, limit, end in ((1_000, "0.905", "0.9"), (-1_000, "1.095", "1.1")):
            account = Account(ME, {inst.settle: 10**12})
            p = account.position(inst, price)
            p.leverage = Decimal(10)
            account.trade(p, qty, price, inst.cost(qty, price), 0)
            s = standing(account, inst.settle)
            assert liquidation_price(s, p) == price * Decimal(limit)
            assert bankrupt_price(s, p) == price * Decimal(end)


def test_break_even_pays_one_fee():
    """A short of SOL from 16.523 broke even at 16.51 with a fee of 0.00075 (a recorded row)."""
    inst = XBTUSDT.__class__(
        **{name: getattr(XBTUSDT, name) for name in XBTUSDT.__slots__}
        | {"tick": Decimal("0.01"), "taker_fee": Decimal("0.00075")}
    )
    account = Account(ME, {"USDt": 10**12})
    p = account.position(inst, Decimal("16.739"))
    account.trade(p, -10_000, Decimal("16.523"), inst.cost(-10_000, Decimal("16.523")), 0)
    assert p.break_even_price == Decimal("16.51")


# -- orders -------------------------------------------------------------------------------------


def test_the_published_refusal_word_for_word():
    """100000 contracts at 100000, one-fold leverage, too little: 100150000 XBt required."""
    bench = isolated("1", balance=100_149_999)
    market_at(bench, 100_001)
    said = refused(bench.place, orderQty=100_000, price="100000")
    assert said == "Account has insufficient Available Balance, 100150000 XBt required"
    assert not bench.exchange.open_orders(ME)
    assert stands(bench).available == 100_149_999
    bench = isolated("1", balance=100_150_000)
    market_at(bench, 100_001)
    assert bench.place(orderQty=100_000, price="100000").open
    bench.flush()
    assert stands(bench).available == 0


def test_margin_of_orders_and_position_adds_up():
    """marginBalance is initMargin, maintMargin and availableMargin together."""
    bench = isolated("10")
    bench.place(orderQty=300, ordType="Market")
    bench.place(orderQty=500, price="60000")
    bench.flush()
    market_at(bench, "62000.5")
    bench.flush()
    row = margin_row(bench.exchange.accounts[ME], "XBt", NOW)
    cost = XBTUSD.value(500, Decimal(60_000))
    # Section 8.2: entry at leverage, the fee to enter, the fee to leave at bankruptcy.
    assert row["initMargin"] == -(-cost // 10) + 417 + 459
    assert row["marginBalance"] == row["initMargin"] + row["maintMargin"] + row["availableMargin"]
    assert row["marginBalance"] == row["walletBalance"] + row["unrealisedPnl"]
    assert row["walletBalance"] == row["amount"] + row["realisedPnl"] == XBT - 244


def test_what_reduces_needs_no_margin():
    """An order against the position holds nothing; past the position, only the rest does."""
    bench = isolated("10")
    bench.place(orderQty=300, ordType="Market")
    bench.flush()
    bench.place(orderQty=-300, price="62000")
    bench.flush()
    assert stands(bench).init == 0
    bench.place(orderQty=-100, price="62000")
    bench.flush()
    p = bench.exchange.position(ME, "XBTUSD")
    whole = XBTUSD.value(100, Decimal(62_000))
    assert stands(bench).init == p.order_margin(100, whole)


def test_an_amend_must_be_backed_at_its_new_price():
    """A linear order that rests far away cannot be walked to the market without the money."""
    bench = Bench(balances={"XBt": XBT, "USDt": 1_000_000_000})  # 1000 USDT
    market_at(bench, 61_250, "XBTUSDT")
    bench.exchange.set_leverage(ME, "XBTUSDT", Decimal(1), NOW)
    order = bench.place(symbol="XBTUSDT", orderQty=100_000, price="6000")  # 600 USDT
    bench.flush()
    said = refused(bench.amend, orderID=order.order_id, price="61000")
    assert said.startswith("Account has insufficient Available Balance, 6109")
    assert (order.price, order.leaves) == (Decimal(6_000), 100_000)
    bench.amend(orderID=order.order_id, price="5000")  # less is always granted
    assert order.price == Decimal(5_000)


def test_an_order_that_would_be_liquidated_at_once_is_refused():
    """At a hundredfold, buying one percent above the mark leaves less than the maintenance."""
    bench = isolated("100")
    market_at(bench, "61250.5")
    said = refused(bench.place, orderQty=300, price="61900")
    assert said == "Executing at order price would lead to immediate liquidation"
    assert bench.place(orderQty=300, price="61400").status == "Filled"


def test_no_price_behind_the_own_liquidation():
    """A long cannot be sold below its liquidation price, a short not bought back above it."""
    bench = isolated("10")
    bench.place(orderQty=300, ordType="Market")
    assert refused(bench.place, orderQty=-300, price="55000") == (
        "Order price is below the liquidation price of current long position"
    )
    bench.place(orderQty=-600, ordType="Market")
    assert bench.held() == -300
    assert refused(bench.place, orderQty=300, price="70000") == (
        "Order price is above the liquidation price of current short position"
    )


def test_risk_limits_of_position_and_account():
    """Position and orders of one direction stay within it; a higher one costs more margin."""
    bench = Bench(balances={"XBt": 10_000 * XBT, "USDt": 1})
    market_at(bench, "61250.5")
    qty = 12_250_000 // 100 * 100  # a little more than 200 XBT at 61250
    assert qty > XBTUSD.max_qty
    bench.place(orderQty=10_000_000, price="61000")
    bench.flush()
    said = refused(bench.place, orderQty=5_000_000, price="61000")
    assert said == "Value of position and orders exceeds position Risk Limit"
    row = bench.exchange.set_risk_limit(ME, "XBTUSD", 30_000_000_000, NOW)
    assert (row["riskLimit"], row["initMarginReq"], row["maintMarginReq"]) == (
        30_000_000_000, Decimal("0.015"), Decimal("0.01"),
    )  # fmt: skip
    assert bench.place(orderQty=5_000_000, price="61000").open
    bench.flush()
    assert refused(bench.exchange.set_risk_limit, ME, "XBTUSD", 20_000_000_000, NOW) == (
        "Value of position and orders exceeds position Risk Limit"
    )
    for wrong in (30_000_000_001, 10_000_000_000, 10**12, -1):
        assert refused(bench.exchange.set_risk_limit, ME, "XBTUSD", wrong, NOW) == (
            "Invalid riskLimit"
        )
    assert bench.exchange.position(ME, "XBTUSD").risk_limit == 30_000_000_000


def test_the_risk_limit_of_the_account_is_above_that_of_its_positions(monkeypatch):
    """Where a position may be larger than everything together, the account's limit speaks."""
    monkeypatch.setitem(ACCOUNT_RISK_LIMITS, "USDt", 10**12)
    bench = Bench(balances={"XBt": 1, "USDt": 10**13})
    market_at(bench, "61250.5", "XBTUSDT", size=10**9)
    bench.exchange.set_risk_limit(ME, "XBTUSDT", 2 * 10**12, NOW)
    assert bench.place(symbol="XBTUSDT", orderQty=10_000_000, price="61000").open
    bench.flush()
    said = refused(bench.place, symbol="XBTUSDT", orderQty=10_000_000, price="61000")
    assert said == "Value of positions and orders exceeds account Risk Limit"


# -- leverage -----------------------------------------------------------------------------------


def test_leverage_is_isolated_and_zero_is_cross():
    """Each way the row says so, and the margin of the position follows."""
    bench = isolated("10", balance=10 * XBT)
    bench.place(orderQty=3_000, ordType="Market")
    held = row_of(bench)["posMargin"]
    row = bench.exchange.set_leverage(ME, "XBTUSD", Decimal(2), NOW)
    assert (row["crossMargin"], row["leverage"], row["initMarginReq"]) == (False, 2, Decimal("0.5"))
    assert row["posMargin"] > 4 * held
    row = bench.exchange.set_leverage(ME, "XBTUSD", Decimal(0), NOW)
    assert (row["crossMargin"], row["leverage"]) == (True, 100)
    assert row["liquidationPrice"] < 10_000  # ten bitcoin stand behind it


def test_leverage_that_cannot_be_backed_is_refused():
    """Lower leverage asks for margin, in BitMEX's words; what does not fit changes nothing."""
    bench = isolated("50", balance=2_000_000)
    market_at(bench, "61250.5")
    bench.place(orderQty=10_000, ordType="Market")
    before = row_of(bench)
    said = refused(bench.exchange.set_leverage, ME, "XBTUSD", Decimal(1), NOW)
    assert said == "Account has insufficient Available Balance, 16007872 XBt required"
    market_at(bench, "60700.5")  # lost 0.9 %: at a hundredfold that is the end
    said = refused(bench.exchange.set_leverage, ME, "XBTUSD", Decimal(100), NOW)
    assert said == "Executing at order price would lead to immediate liquidation"
    after = row_of(bench)
    assert [after[n] for n in ("leverage", "posInit")] == [
        before[n] for n in ("leverage", "posInit")
    ]


def test_margin_can_be_moved_into_an_isolated_position_and_back():
    """It counts in posMargin, liquidation moves away; no more comes out than went in."""
    bench = isolated("10")
    bench.place(orderQty=30_000, ordType="Market")
    before = row_of(bench)
    free = stands(bench).available
    row = bench.exchange.transfer_margin(ME, "XBTUSD", 1_000_000, NOW)
    assert row["posMargin"] == before["posMargin"] + 1_000_000
    assert row["liquidationPrice"] < before["liquidationPrice"]
    assert stands(bench).available == free - 1_000_000
    assert refused(bench.exchange.transfer_margin, ME, "XBTUSD", free, NOW) == (
        f"Account has insufficient Available Balance, {free} XBt required"
    )
    assert refused(bench.exchange.transfer_margin, ME, "XBTUSD", -1_000_001, NOW)
    row = bench.exchange.transfer_margin(ME, "XBTUSD", -1_000_000, NOW)
    assert row["liquidationPrice"] == before["liquidationPrice"]
    assert refused(bench.exchange.transfer_margin, ME, "ETHUSD", 5, NOW)


def test_a_cross_position_draws_its_loss_from_the_balance():
    """Its posCross is the loss; a profit is not free before it is realised."""
    bench = Bench(balances={"XBt": XBT, "USDt": 1})
    market_at(bench, "61250.5")
    bench.place(orderQty=30_000, ordType="Market")
    bench.flush()
    market_at(bench, "61000.5")
    losing = row_of(bench)
    assert losing["posCross"] == -losing["unrealisedPnl"] > 0
    assert losing["posMargin"] == losing["posInit"] + losing["posCross"] + losing["posComm"]
    free = stands(bench).available
    market_at(bench, "62000.5")
    winning = row_of(bench)
    assert (winning["posCross"], winning["unrealisedPnl"] > 0) == (0, True)
    assert stands(bench).available > free
    at_entry = stands(bench).available
    market_at(bench, "64000.5")
    assert stands(bench).available == at_entry


@pytest.mark.parametrize("symbol", ["XBTUSD", "ETHUSD", "XBTUSDT", "XBTM26"])
def test_the_accounts_risk_limit_leaves_room_for_every_step_of_the_instruments(symbol):
    """Who raised a riskLimit as far as it goes can hold as much as it says."""
    inst = instrument(symbol)
    highest = inst.risk_limit + 10 * inst.risk_step
    account = Account(ME, {inst.settle: 0})
    assert margin_row(account, inst.settle, NOW)["riskLimit"] > highest
