"""Positions that lose their margin: takeover, insurance fund, deleveraging (sheet, 8.3)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reconciler.paper.audit import books
from reconciler.paper.liquidation import REST_MS
from reconciler.paper.market import BUY, SELL
from tests.paper.conftest import ME, NOW, OTHER, Bench
from tests.paper.trading import balanced, market_at, stands

XBT = 100_000_000


def at_ten(leverage: str = "10", **options) -> Bench:
    """Both members at ten-fold leverage, in front of a deep market at 61250.5."""
    bench = Bench(balances={"XBt": 10 * XBT, "USDt": 1}, **options)
    for account in (ME, OTHER):
        bench.exchange.set_leverage(account, "XBTUSD", Decimal(leverage), NOW)
    market_at(bench, "61250.5")
    bench.flush()
    return bench


def forced(bench, account=ME):
    return [o for o in bench.exchange.orders_of[account] if o.text == "Liquidation"]


def fund(bench) -> int:
    return bench.exchange.engine.wallet_balance("XBt")


@pytest.mark.parametrize("qty", [30_000, -30_000])
def test_it_comes_at_the_price_that_the_row_tells(qty):
    """A tick before liquidationPrice nothing happens; at it the position is gone."""
    bench = at_ten()
    bench.place(orderQty=qty, ordType="Market")
    bench.flush()
    p = bench.exchange.position(ME, "XBTUSD")
    limit = p.sent["liquidationPrice"]
    away = 1 if qty > 0 else -1
    # The mark is the middle of bid and offer.
    before, at = limit + Decimal("0.1") * away, limit - Decimal("0.1") * away
    market_at(bench, before if qty > 0 else before - Decimal("0.1"))
    assert bench.held() == qty
    market_at(bench, at if qty > 0 else at - Decimal("0.1"))
    assert bench.held() == 0
    balanced(bench.exchange)


def test_what_is_lost_is_the_margin_of_the_position_and_no_more():
    """An isolated position costs its posMargin, whatever the market did; the fund has the rest."""
    for bid in ("55936.5", "55000.5", "40000.5"):
        bench = at_ten()
        bench.place(orderQty=30_000, ordType="Market")
        bench.flush()
        account = bench.exchange.accounts[ME]
        margin = bench.exchange.position(ME, "XBTUSD").sent["posMargin"]
        before, insured = account.wallet_balance("XBt"), fund(bench)
        market_at(bench, bid)
        lost = before - account.wallet_balance("XBt")
        # The bankruptcy price is a tick on the safe side: what that is worth stays with the member.
        assert margin - 1_000 < lost <= margin
        assert (fund(bench) > insured) == (bid != "40000.5" and bid != "55000.5")
        balanced(bench.exchange)


def test_the_venues_order_stands_in_the_members_tables():
    """A foreign order, no clOrdID, Limit, IOC, "Liquidation"; posState, then no position."""
    bench = at_ten()
    bench.place(orderQty=300, ordType="Market")
    stop = bench.place(orderQty=-300, stopPx=50_000)
    resting = bench.place(orderQty=300, price="50000")
    bench.flush()
    end = bench.exchange.position(ME, "XBTUSD").sent["bankruptPrice"]
    market_at(bench, "55900.5")
    changes = bench.flush()
    [order] = forced(bench)
    row = order.row()
    assert (row["ordType"], row["timeInForce"], row["ordStatus"]) == (
        "Limit", "ImmediateOrCancel", "Filled"
    )  # fmt: skip
    assert "clOrdID" not in row
    assert (row["side"], row["orderQty"], row["price"]) == ("Sell", 300, end)
    [execution] = [
        c.row for c in changes if c.table == "execution" and c.row["execType"] == "Liquidation"
    ]
    assert (execution["lastQty"], execution["lastPx"], execution["text"]) == (
        300, end, "Liquidation"
    )  # fmt: skip
    states = [c.row.get("posState") for c in changes if c.table == "position"]
    assert "Liquidation" in states
    assert (resting.open, stop.open) == (False, False)
    assert resting.text.startswith("Canceled: Position in liquidation")
    last = [c.row for c in changes if c.table == "position"][-1]
    assert (last["currentQty"], last["isOpen"], last["posState"]) == (0, False, None)


def test_canceling_the_own_orders_can_be_enough():
    """A cross position is left alone when what its orders held brings it back above the margin."""
    bench = Bench(balances={"XBt": 4_000_000, "USDt": 1})
    market_at(bench, "61250.5")
    bench.place(orderQty=10_000, ordType="Market")
    bench.flush()
    orders = [bench.place(orderQty=30_000, price="52000") for _ in range(3)]
    bench.flush()
    assert stands(bench).init > 1_700_000
    market_at(bench, "54000.5")
    assert (bench.held(), [o.open for o in orders]) == (10_000, [False] * 3)
    assert forced(bench) == []
    market_at(bench, "49000.5")
    assert bench.held() == 0
    assert bench.exchange.accounts[ME].wallet_balance("XBt") >= 0
    balanced(bench.exchange)


def test_what_the_book_does_not_take_is_a_row_of_liquidation():
    """It rests at the bankruptcy price: insert, update as it trades, delete at the end."""
    bench = at_ten()
    bench.place(orderQty=30_000, ordType="Market")
    bench.flush()
    market_at(bench, "55900.5", size=10_000)
    changes = [c for c in bench.flush() if c.table == "liquidation"]
    assert changes[0].action == "insert"
    [(order_id, row)] = bench.exchange.records.liquidation.items()
    assert (row["side"], row["leavesQty"], row["symbol"]) == ("Sell", 20_000, "XBTUSD")
    assert set(row) == {"orderID", "symbol", "side", "price", "leavesQty"}
    assert row["price"] == forced(bench)[0].price
    bench.exchange.house_take("XBTUSD", BUY, 15_000, None, bench.now)
    told = [(c.action, c.row.get("leavesQty")) for c in bench.flush() if c.table == "liquidation"]
    # The house's own offer stood before it, so it is reached in part.
    left = bench.exchange.records.liquidation[order_id]["leavesQty"]
    assert told == [("update", left)]
    bench.exchange.house_take("XBTUSD", BUY, left + 10_000, None, bench.now)
    [(action, gone)] = [(c.action, c.row) for c in bench.flush() if c.table == "liquidation"]
    assert (action, gone["orderID"]) == ("delete", order_id)
    assert bench.exchange.records.liquidation == {}
    balanced(bench.exchange)


def test_the_insurance_fund_pays_what_the_market_does_not():
    """After some seconds the rest is sold at any price; the fund bears the difference."""
    bench = at_ten()
    bench.place(orderQty=30_000, ordType="Market")
    bench.flush()
    insured = fund(bench)
    market_at(bench, "40000.5")
    bench.flush()
    assert bench.exchange.engine.positions["XBTUSD"].qty == 30_000
    bench.now += REST_MS
    bench.exchange.pulse(bench.now, positions=True)
    assert bench.exchange.engine.positions["XBTUSD"].qty == 0
    assert fund(bench) < insured
    bench.flush()
    assert bench.exchange.records.liquidation == {}
    balanced(bench.exchange)


def test_an_empty_fund_deleverages_those_who_profit():
    """
    Without insurance the other side is closed at the bankruptcy price, the most profitable first,
    without a fee and by an order that nobody can tell from a liquidation.
    """
    bench = at_ten()
    # OTHER sells what ME buys: nobody else is in the market.
    bench.place(OTHER, orderQty=-30_000, price="61250.6")
    bench.exchange.engine.deposited["XBt"] = 0
    for order in list(bench.exchange.markets["XBTUSD"].book.orders()):
        if order.account == 0:
            bench.exchange.markets["XBTUSD"].book.remove(order.order_id)
    bench.place(orderQty=30_000, price="61250.6")
    assert (bench.held(ME), bench.held(OTHER)) == (30_000, -30_000)
    theirs = bench.place(OTHER, orderQty=300, price="30000")
    market_at(bench, "40000.5", size=100)
    bench.flush()
    bench.now += REST_MS
    bench.exchange.pulse(bench.now, positions=True)
    changes = bench.flush()
    assert (bench.held(ME), bench.held(OTHER)) == (0, 0)
    [order] = forced(bench, OTHER)
    [row] = [
        c.row for c in changes
        if c.table == "execution" and c.row.get("orderID") == order.order_id
        and c.row["execType"] == "Liquidation"
    ]  # fmt: skip
    assert (row["commission"], row["execComm"], row["text"]) == (0, 0, "Liquidation")
    assert row["lastPx"] == forced(bench)[0].price
    assert not theirs.open
    assert fund(bench) >= 0
    balanced(bench.exchange)


def test_the_queue_is_told_in_fifths():
    """deleveragePercentile: of those on one side, the one who profits most is at 1."""
    bench = at_ten()
    bench.place(orderQty=3_000, ordType="Market")
    market_at(bench, "62000.5")
    bench.place(OTHER, orderQty=3_000, ordType="Market")
    market_at(bench, "62500.5")
    bench.flush()
    rows = [bench.exchange.position(a, "XBTUSD").sent for a in (ME, OTHER)]
    assert rows[0]["deleveragePercentile"] == 1
    assert rows[1]["deleveragePercentile"] < 1


def test_an_operator_can_take_over_a_healthy_position():
    """At its mark: a demonstration costs the member a fee and no more."""
    bench = at_ten()
    bench.place(orderQty=300, ordType="Market")
    bench.flush()
    before = stands(bench).balance
    order = bench.exchange.liquidate(ME, "XBTUSD", bench.now)
    assert (order.status, order.text, bench.held()) == ("Filled", "Liquidation", 0)
    assert before - stands(bench).balance < 2_000
    assert bench.exchange.liquidate(ME, "XBTUSD", bench.now) is None
    balanced(bench.exchange)


def test_a_closed_market_liquidates_nobody():
    """What cannot be traded waits until it can."""
    bench = at_ten()
    bench.place(orderQty=30_000, ordType="Market")
    bench.exchange.markets["XBTUSD"].state = "Closed"
    market_at(bench, "50000.5")
    assert bench.held() == 30_000
    bench.exchange.markets["XBTUSD"].state = "Open"
    bench.exchange.pulse(bench.now, positions=True)
    assert bench.held() == 0
    assert books(bench.exchange, "XBt").gap == 0


@pytest.mark.parametrize("qty", [30_000, -30_000])
def test_a_market_order_runs_no_further_than_the_bankruptcy_price(qty):
    """In an empty book a close takes what pays, and the rest of it is canceled (section 4.2)."""
    bench = at_ten()
    bench.place(orderQty=qty, ordType="Market")
    bench.flush()
    end = bench.exchange.position(ME, "XBTUSD").sent["bankruptPrice"]
    market = bench.exchange.markets["XBTUSD"]
    for order in list(market.book.orders()):
        market.book.remove(order.order_id)
    ticks = market.inst.ticks(end)
    side = BUY if qty > 0 else SELL
    bench.exchange.house_rest("XBTUSD", side, ticks, 10_000, bench.now)
    bench.exchange.house_rest("XBTUSD", side, ticks - side, 50_000, bench.now)
    order = bench.place(orderQty=-qty, ordType="Market")
    assert (order.cum, order.status) == (10_000, "Canceled")
    assert abs(bench.held()) == 20_000
    assert stands(bench).wallet > 0
    balanced(bench.exchange)


@pytest.mark.parametrize("leverage", ["100", "0"])
@pytest.mark.parametrize("rate", ["0.003", "0.012", "0.05"])
def test_funding_beyond_the_free_balance_comes_out_of_the_position(leverage, rate):
    """
    A gambler with all his money in one position pays funding from its margin: liquidation comes
    nearer, at last it comes, and then he has nothing and owes nothing.
    """
    bench = Bench(balances={"XBt": XBT // 5, "USDt": 1})
    bench.exchange.set_leverage(ME, "XBTUSD", Decimal(leverage), NOW)
    market_at(bench, "61250.5")
    bench.place(orderQty=1_000_000, ordType="Market")
    bench.flush()
    p, account = bench.exchange.position(ME, "XBTUSD"), bench.exchange.accounts[ME]
    before = p.sent["liquidationPrice"]
    market = bench.exchange.markets["XBTUSD"]
    market.funding_rate = Decimal(rate)
    bench.exchange.fund(market, bench.now)
    bench.flush()
    assert p.sent["liquidationPrice"] > before
    row = account.margin_sent["XBt"]
    if p.sent["posMargin"]:  # it had enough for that
        spare = row["marginBalance"] - row["initMargin"] - row["maintMargin"]
        assert row["availableMargin"] == spare
    bench.exchange.pulse(bench.now + 500, positions=True)
    assert (p.qty == 0) == (p.sent["posMargin"] == 0)
    assert account.wallet_balance("XBt") >= 0
    if p.qty == 0:
        assert account.wallet_balance("XBt") < 20_000
    balanced(bench.exchange)
