"""How far an order reaches: hidden contracts, slippage, bankruptcy (sheet, sections 4.1, 4.2)."""

from decimal import Decimal

import pytest

from reconciler.paper.errors import Refusal
from reconciler.paper.market import BUY, SELL
from reconciler.paper.orders import POST_ONLY
from tests.paper.conftest import OTHER, Bench


def shown(bench, ticks=612_507):
    """What the public book has at a price."""
    return bench.exchange.markets["XBTUSD"].book.size(BUY, ticks)


def trades(bench, order):
    rows = bench.exchange.executions[order.account]
    return [r for r in rows if r["orderID"] == order.order_id and r["execType"] == "Trade"]


def test_an_iceberg_shows_its_slice_and_fills_its_whole(bench):
    """The public book counts displayQty, the owner's row everything; a sale of all fills all."""
    order = bench.place(orderQty=1_000, price="61250.7", displayQty=200)
    assert (shown(bench), order.leaves, order.row()["displayQty"]) == (200, 1_000, 200)
    bench.exchange.house_take("XBTUSD", SELL, 500, 612_507, bench.now)
    assert (shown(bench), order.leaves) == (100, 500)
    bench.exchange.house_take("XBTUSD", SELL, 600, 612_507, bench.now)
    assert (order.status, shown(bench)) == ("Filled", 0)


def test_a_hidden_order_is_in_no_public_table_and_pays_as_a_taker(bench):
    """displayQty 0: no level, no quote, the taker's fee although it waited."""
    inst = bench.exchange.catalogue["XBTUSD"]
    order = bench.place(orderQty=300, price="61250.7", displayQty=0)
    changes = bench.flush()
    assert shown(bench) == 0
    assert not [c for c in changes if c.table == "quote"]
    bench.exchange.house_take("XBTUSD", SELL, 300, 612_507, bench.now)
    [row] = trades(bench, order)
    assert (row["feeType"], row["commission"]) == ("Taker", inst.taker_fee)
    assert row["lastLiquidityInd"] == "AddedLiquidity"


def test_a_slice_alone_pays_as_a_maker_and_with_the_hidden_part_as_a_taker(bench):
    """The displayed slice earns the maker's fee only when it trades by itself."""
    order = bench.place(orderQty=1_000, price="61250.7", displayQty=200)
    bench.exchange.house_take("XBTUSD", SELL, 200, 612_507, bench.now)
    bench.exchange.house_take("XBTUSD", SELL, 300, 612_507, bench.now)
    assert [row["feeType"] for row in trades(bench, order)] == ["Maker", "Taker", "Taker"]


def test_shown_orders_trade_before_hidden_ones_at_their_price(bench):
    """Hiding costs priority at the price, never the price itself."""
    hidden = bench.place(orderQty=300, price="61250.7", displayQty=0)
    seen = bench.place(OTHER, orderQty=300, price="61250.7")
    better = bench.place(orderQty=300, price="61250.8", displayQty=0)
    bench.exchange.house_take("XBTUSD", SELL, 600, 612_507, bench.now)
    assert (better.status, seen.status, hidden.status) == ("Filled", "Filled", "New")


def test_post_only_does_not_feel_out_hidden_orders(bench):
    """It trades with what it cannot see, as a maker, and is canceled by what it can."""
    hidden = bench.place(OTHER, orderQty=-300, price="61250.8", displayQty=0)
    order = bench.place(orderQty=300, price="61250.8", execInst=POST_ONLY)
    assert (order.status, hidden.status) == ("Filled", "Filled")
    assert [row["feeType"] for row in trades(bench, order)] == ["Maker"]
    assert [row["feeType"] for row in trades(bench, hidden)] == ["Taker"]
    assert bench.place(orderQty=300, price="61251", execInst=POST_ONLY).status == "Canceled"


def test_fill_or_kill_counts_what_is_hidden(bench):
    """An order that hidden contracts can complete is completed."""
    bench.place(OTHER, orderQty=-500, price="61250.8", displayQty=0)
    order = bench.place(orderQty=1_500, price="61251", timeInForce="FillOrKill")
    assert (order.status, order.cum) == ("Filled", 1_500)


def test_an_iceberg_shrinks_from_its_hidden_part(bench):
    """A smaller total keeps slice and place; less than the slice, and the slice shrinks, too."""
    order = bench.place(orderQty=1_000, price="61250.7", displayQty=200)
    bench.amend(orderID=order.order_id, orderQty=500)
    assert (shown(bench), order.leaves) == (200, 500)
    bench.amend(orderID=order.order_id, orderQty=100)
    assert (shown(bench), order.leaves) == (100, 100)


def test_no_order_says_that_it_shows_more_than_it_is(bench):
    """Amended below its slice, or cut to the position: displayQty is orderQty at most."""
    order = bench.place(orderQty=1_000, price="61250.7", displayQty=200)
    assert bench.amend(orderID=order.order_id, orderQty=100).row()["displayQty"] == 100
    bench.cancel(order)
    bench.place(orderQty=1_000, ordType="Market")
    cut = bench.place(orderQty=-1_000, price="62000", execInst="ReduceOnly", displayQty=500)
    bench.place(orderQty=-700, ordType="Market")
    row = cut.row()
    assert (cut.open, row["orderQty"], row["displayQty"]) == (True, 300, 300)


@pytest.mark.parametrize("percent", ["0", "0.0005", "0.01"])
def test_max_slippage_bounds_a_market_order(bench, percent):
    """It trades no further from the touch than the percentage, and the rest is canceled."""
    order = bench.place(orderQty=100_000, ordType="Market", maxSlippagePct=percent)
    reach = int(612_510 * Decimal(percent) / 100)
    levels = min(5, reach + 1)
    assert (order.status, order.cum) == ("Canceled", 1_000 * levels)
    assert order.ticks == 612_510 + levels - 1


def test_a_market_order_does_not_close_below_bankruptcy():
    """What the book offers beyond the position's bankruptcy price is left alone."""
    bench = Bench(balances={"XBt": 1_000_000})
    bench.place(orderQty=5_000, ordType="Market")
    bench.exchange.house_take("XBTUSD", SELL, 4_000, None, bench.now)
    bench.exchange.house_rest("XBTUSD", BUY, 300_000, 50_000, bench.now)
    bench.exchange.house_rest("XBTUSD", SELL, 612_507, 1_000, bench.now)
    order = bench.place(orderQty=-5_000, ordType="Market", execInst="ReduceOnly")
    assert (order.status, order.cum, bench.held()) == ("Canceled", 1_000, 4_000)
    assert str(order.price) == "61250.1"


@pytest.mark.parametrize("whole", [True, False])
def test_an_order_at_market_trades_no_worse_than_its_account_was_asked_to_back(bench, whole):
    """
    A hidden bid far behind the shown book doesn't get the contracts of one who sells at market:
    he would owe more than he has, and the insurance fund would pay the one who hid it.
    """
    bench.place(OTHER, orderQty=100_000, price="1000", displayQty=0)
    if whole:  # nothing is shown any more
        bench.exchange.house_take("XBTUSD", SELL, 5_000, None, bench.now)
    fund = bench.exchange.engine.wallet_balance("XBt")
    order = bench.place(side="Sell", orderQty=50_000, ordType="Market")
    assert (order.status, order.cum) == ("Canceled", 0 if whole else 5_000)
    assert bench.held(OTHER) == 0
    bench.exchange.pulse(bench.now + 10_000, positions=True)
    assert bench.exchange.engine.wallet_balance("XBt") == fund


def test_a_revived_order_at_market_is_backed_at_what_the_book_asks_now(bench):
    """The price of its former trades is over: what it costs now is what the account must have."""
    order = bench.place(orderQty=1_000, ordType="Market")
    for resting in [o for o in bench.exchange.markets["XBTUSD"].book.orders() if o.side == SELL]:
        bench.exchange.markets["XBTUSD"].book.remove(resting.order_id)
    bench.exchange.house_rest("XBTUSD", SELL, 6_000_000, 10_000_000, bench.now)
    with pytest.raises(Refusal, match="immediate liquidation"):
        bench.amend(orderID=order.order_id, leavesQty=9_000_000)
    assert bench.held() == 1_000
