"""The rest of an order's life: Close, Day, and amends of everything (sheet, sections 4.2, 4.3)."""

import pytest

from reconciler.paper.errors import Refusal
from reconciler.paper.market import BUY, SELL
from tests.paper.conftest import ME, NOW, Bench
from tests.paper.trading import market_at

MIDNIGHT = NOW + 13 * 3_600_000  # NOW is 11:00 UTC


@pytest.mark.parametrize("qty", [None, 300, 500, 900])
def test_close_never_goes_further_than_flat(qty):
    """With a quantity it closes that much, without one or with too much the whole position."""
    bench = Bench()
    bench.place(orderQty=500, ordType="Market")
    fields = {"side": "Sell", "execInst": "Close", "ordType": "Market"}
    order = bench.place(**fields, **({} if qty is None else {"orderQty": qty}))
    closed = min(qty or 500, 500)
    assert (order.qty, order.status, bench.held()) == (closed, "Filled", 500 - closed)


def test_close_makes_room_only_when_there_is_too_little(bench):
    """Others of its side stay while all together fit the position; beyond that they go."""
    bench.place(orderQty=500, ordType="Market")
    other = bench.place(orderQty=-200, price="61300")
    bid = bench.place(orderQty=200, price="61000")
    bench.place(orderQty=-300, price="61310", execInst="Close")
    assert other.status == "New"
    bench.place(orderQty=-100, price="61320", execInst="Close")
    assert (other.status, bid.status) == ("Canceled", "New")


def test_a_negative_quantity_and_a_side_agree_on_a_sale(bench):
    """-100, and 100 with side Sell, and -100 with side Sell are one and the same."""
    for fields in ({"orderQty": -100}, {"orderQty": 100, "side": "Sell"},
                   {"orderQty": -100, "side": "Sell"}):  # fmt: skip
        order = bench.place(price="62000", **fields)
        assert (order.side_name, order.qty) == ("Sell", 100)


def test_day_orders_end_at_midnight(bench):
    """At 00:00 UTC, resting or waiting; orders of other times in force stay."""
    day = bench.place(orderQty=100, price="61000", timeInForce="Day")
    stop = bench.place(
        orderQty=100, ordType="StopLimit", stopPx="62000", price="62000", timeInForce="Day"
    )
    lasting = bench.place(orderQty=100, price="61000")
    bench.exchange.due(MIDNIGHT - 1)
    assert day.open
    bench.exchange.due(MIDNIGHT)
    assert (day.status, stop.status, lasting.status) == ("Canceled", "Canceled", "New")


@pytest.mark.parametrize(
    "waits",
    [{"ordType": "Stop", "stopPx": "62000"}, {"ordType": "MarketIfTouched", "stopPx": "61000"},
     {"ordType": "Market", "clOrdLinkID": "l"}],
)  # fmt: skip
def test_what_waits_for_a_day_to_trade_at_market_is_gone_at_midnight(bench, waits):
    """It says Day while it waits for its price or its primary, and doesn't outlive the day."""
    primary = {"clOrdLinkID": "l", "contingencyType": "OneTriggersTheOther"}
    bench.place(orderQty=100, price="60000", **primary)
    order = bench.place(orderQty=100, timeInForce="Day", **waits)
    lasting = bench.place(orderQty=100, **waits)
    assert (order.row()["timeInForce"], order.working) == ("Day", False)
    bench.exchange.due(MIDNIGHT)
    assert (order.status, lasting.status) == ("Canceled", "New")


def test_a_stop_of_the_day_that_triggers_never_rests(bench):
    """At market it fills as far as it goes, and what is left ends at once and says why."""
    order = bench.place(orderQty=9_000, ordType="Stop", stopPx="62000", timeInForce="Day")
    market_at(bench, 62_000, size=1_000)
    assert (order.status, order.cum, order.tif) == ("Canceled", 1_000, "ImmediateOrCancel")
    assert order.text.startswith("Canceled: Order had timeInForce of ImmediateOrCancel\n")


def test_an_order_is_renamed_by_an_amend(bench):
    """It is found by its new clOrdID, the old one is free, and other terms may change with it."""
    order = bench.place(orderQty=100, price="61000", clOrdID="a")
    bench.amend(origClOrdID="a", clOrdID="b", leavesQty=200)
    assert (order.cl_ord_id, order.leaves) == ("b", 200)
    assert bench.exchange.find(ME, cl_ord_id="b") is order
    other = bench.place(orderQty=100, price="61000", clOrdID="a")
    assert bench.exchange.find(ME, cl_ord_id="a") is other
    with pytest.raises(Refusal, match=r"^Duplicate clOrdID$"):
        bench.amend(origClOrdID="a", clOrdID="b")


def test_the_text_of_an_amend_names_what_changed(bench):
    """The first line the fields, by blanks; the second the annotation."""
    order = bench.place(orderQty=100, price="61000", clOrdID="a", text="first")
    assert order.text == "Submitted via API.\nfirst"
    bench.amend(origClOrdID="a", orderQty=200, price="61000.5")
    assert order.text == "Amended orderQty price\nSubmitted via API."
    bench.amend(origClOrdID="a", leavesQty=300, text="more")
    assert order.text == "Amended leavesQty\nmore"


def test_a_smaller_amend_keeps_the_place_in_the_queue(bench):
    """Less keeps it, more or another price loses it."""
    first = bench.place(orderQty=300, price="61250.7")
    second = bench.place(orderQty=300, price="61250.7")
    bench.amend(orderID=first.order_id, orderQty=200)
    bench.exchange.house_take("XBTUSD", SELL, 100, 612_507, bench.now)
    assert (first.cum, second.cum) == (100, 0)
    bench.amend(orderID=first.order_id, orderQty=400)
    bench.exchange.house_take("XBTUSD", SELL, 100, 612_507, bench.now)
    assert (first.cum, second.cum) == (100, 100)


def test_an_amended_peg_takes_its_price_anew(bench):
    """A new pegOffsetValue counts from where the touch is now."""
    order = bench.place(
        orderQty=-100, pegPriceType="PrimaryPeg", pegOffsetValue="10", execInst="Fixed"
    )
    bench.exchange.house_take("XBTUSD", BUY, 2_000, None, bench.now)
    bench.amend(orderID=order.order_id, pegOffsetValue="20")
    assert (str(order.price), order.row()["pegOffsetValue"]) == ("61271.2", 20)


def test_a_larger_amend_asks_for_margin(bench):
    """What the account cannot back is refused, and the order stays what it was."""
    poor = Bench(balances={"XBt": 1_000_000})
    order = poor.place(orderQty=10_000, price="61000")
    with pytest.raises(Refusal, match=r"^Account has insufficient Available Balance, \d+ XBt req"):
        poor.amend(orderID=order.order_id, orderQty=1_000_000)
    assert (order.leaves, order.status) == (10_000, "New")
    assert poor.exchange.position(ME, "XBTUSD").open_buy_qty == 10_000


def test_reducing_orders_give_way_the_least_aggressive_first(bench):
    """The one furthest from the market is cut first, then amended down is the next."""
    bench.place(orderQty=600, ordType="Market")
    near, mid, far = [
        bench.place(orderQty=-200, price=price, execInst="ReduceOnly")
        for price in ("61260", "61270", "61280")
    ]
    bench.place(orderQty=-300, ordType="Market")
    assert [o.leaves for o in (near, mid, far)] == [200, 100, 0]
    assert (mid.status, mid.qty, far.status) == ("New", 100, "Canceled")
    kinds = [row["execType"] for row in bench.exchange.executions[ME]
             if row["orderID"] == mid.order_id]  # fmt: skip
    assert kinds == ["New", "Replaced"]


def test_what_the_venue_cancels_keeps_what_its_trader_wrote(bench):
    """A bot that finds its orders by their text finds those that gave way, too."""
    bench.place(orderQty=300, ordType="Market")
    first = bench.place(orderQty=-300, price="61300", execInst="ReduceOnly", text="hedge 7")
    bench.place(orderQty=-300, ordType="Market")
    assert first.text == ("Canceled: Order had execInst of ReduceOnly\nSubmitted via API.\nhedge 7")
    day = bench.place(orderQty=100, price="61000", timeInForce="Day", text="hedge 8")
    bench.exchange.due(MIDNIGHT)
    assert day.text == "Canceled: End of day\nSubmitted via API.\nhedge 8"
    last = bench.place(orderQty=100, price="61000", text="hedge 9")
    bench.exchange.arm(ME, 1_000, MIDNIGHT)
    bench.exchange.due(MIDNIGHT + 1_000)
    assert last.text == "Canceled: cancelAllAfter timeout\nSubmitted via API.\nhedge 9"
