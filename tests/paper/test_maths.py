"""The arithmetic of contracts, against the worked examples of the protocol sheet, section 8."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.paper.account import Account, Position
from reconciler.paper.instruments import (
    ETHUSD,
    XBTUSD,
    XBTUSDT,
    ceil_mul,
    commission,
    plain,
    shown,
)
from reconciler.paper.margin import bankrupt_price, liquidation_price, standing


def test_the_worked_inverse_trade():
    """300 XBTUSD at 61250.5 cost -489792 satoshi, 244 in fees, and are 0.00489792 XBT."""
    price = Decimal("61250.5")
    assert XBTUSD.cost(300, price) == -489_792
    assert XBTUSD.cost(-300, price) == 489_792
    assert commission(489_792, Decimal("0.0005")) == 244
    assert XBTUSD.notional(300, price) == (Decimal("0.00489792"), Decimal(-300))


def test_the_worked_quanto_and_linear_trades():
    """7 ETHUSD at 2450.25 are 1715175 satoshi; 100 XBTUSDT at 61250.5 are 6.12505 USDT."""
    assert ETHUSD.cost(7, Decimal("2450.25")) == 1_715_175
    assert XBTUSDT.cost(100, Decimal("61250.5")) == 6_125_050


def test_a_rebate_is_truncated_toward_zero():
    """A maker rebate of -697.8 is -697, as a fee of 697.8 is 697."""
    assert commission(2_791_200, Decimal("-0.00025")) == -697
    assert commission(2_791_200, Decimal("0.00025")) == 697


@given(st.integers(1, 5_000), st.integers(10_000, 10_000_000))
def test_inverse_value_is_rounded_a_lot_at_a_time(lots, ticks):
    """The value of n lots is n times the value of one, within half a satoshi of exact a lot."""
    price = XBTUSD.price(ticks)
    one = XBTUSD.value(100, price)
    assert XBTUSD.value(100 * lots, price) == lots * one
    assert abs(Decimal(one) - Decimal(10**10) / price) <= Decimal("0.5000001")


@given(st.integers(1, 10_000_000))
def test_ticks_and_prices_are_each_others_inverse(ticks):
    """Every whole number of ticks is a price, and that price is that many ticks."""
    for inst in (XBTUSD, ETHUSD, XBTUSDT):
        assert inst.ticks(inst.price(ticks)) == ticks
        assert inst.ticks(inst.price(ticks) + inst.tick / 2) is None


def test_numbers_are_shown_plainly():
    """A price has no trailing zeros and no exponent, an average at most four decimals."""
    assert str(plain(Decimal("61250.50"))) == "61250.5"
    assert str(plain(Decimal("6.10E+4"))) == "61000"
    assert str(shown(Decimal("61250.318749"))) == "61250.3187"
    assert ceil_mul(-100, Decimal("0.001")) == 1


def position(inst=XBTUSD):
    return Position(1, inst, inst.start_price, inst.risk_limit)


def test_a_round_trip_leaves_its_profit_and_fees():
    """Bought at 61250.5 and sold at 61310, 300 contracts realise the difference less both fees."""
    p = position()
    buy, sell = XBTUSD.cost(300, Decimal("61250.5")), XBTUSD.cost(-300, Decimal(61310))
    p.trade(300, Decimal("61250.5"), buy, 244)
    assert (p.qty, p.unrealised_cost, shown(p.average)) == (300, -489_792, Decimal("61250.5"))
    p.trade(-300, Decimal(61310), sell, 244)
    assert (p.qty, p.unrealised_cost, p.average) == (0, 0, None)
    assert p.realised_pnl == -(buy + sell) - 488


trades = st.lists(
    st.tuples(st.integers(-30, 30).filter(bool), st.integers(500_000, 700_000)), max_size=30
)


@given(trades, st.sampled_from([XBTUSD, ETHUSD, XBTUSDT]))
def test_costs_are_conserved_over_any_trades(deals, inst):
    """Realised and unrealised cost are the sum of all costs; flat means nothing is left open."""
    account = Account(1, {inst.settle: 0})
    p = account.position(inst, inst.start_price)
    spent = fees = 0
    for lots, ticks in deals:
        price = inst.price(ticks)
        cost = inst.cost(lots * inst.lot, price)
        fee = commission(abs(cost), inst.taker_fee)
        account.trade(p, lots * inst.lot, price, cost, fee)
        spent += cost
        fees += fee
        if p.qty == 0:
            assert p.unrealised_cost == 0
            assert account.wallet_balance(inst.settle) == -spent - fees
        else:
            assert (p.unrealised_cost < 0) == ((p.qty > 0) == inst.is_inverse)
            assert p.average is not None
        assert account.realised[inst.settle] == -(spent - p.unrealised_cost) - fees


@pytest.mark.parametrize(("leverage", "asked"), [(Decimal(1), 100_150_000)])
def test_the_published_initial_margin(leverage, asked):
    """100000 contracts at 100000 and one-fold leverage asked for 100150000 XBt."""
    p = position()
    p.leverage = leverage
    assert p.order_margin(100_000, XBTUSD.value(100_000, Decimal(100_000))) == asked


def test_liquidation_lies_on_the_losing_side():
    """A leveraged long is liquidated below its entry and above its bankruptcy, a short mirrored."""
    for contracts, sign in ((30_000, 1), (-30_000, -1)):
        account = Account(1, {"XBt": 10**8})
        p = account.position(XBTUSD, XBTUSD.start_price)
        p.leverage = Decimal(10)
        account.trade(p, contracts, Decimal(60_000), XBTUSD.cost(contracts, Decimal(60_000)), 0)
        s = standing(account, "XBt")
        liquidation, bankrupt = liquidation_price(s, p), bankrupt_price(s, p)
        assert 60_000 * sign > liquidation * sign > bankrupt * sign
