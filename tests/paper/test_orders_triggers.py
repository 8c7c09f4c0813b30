"""Orders that wait for a price: stops, touches, trailing stops (protocol sheet, 4.1, 4.2, 6)."""

import pytest

from reconciler.paper.errors import Refusal
from reconciler.paper.margin import standing
from reconciler.paper.market import BUY, SELL
from tests.paper.conftest import ME, NOW, OTHER, Bench


def move(bench, bid):
    """Put the whole book around a best bid of *bid* dollars; the mark follows, no trade does."""
    exchange = bench.exchange
    book = exchange.markets["XBTUSD"].book
    for order in list(book.orders()):
        if order.account == 0:
            book.remove(order.order_id)
    ticks = round(bid * 10)
    for level in range(5):
        exchange.house_rest("XBTUSD", BUY, ticks - level, 1_000, bench.now)
        exchange.house_rest("XBTUSD", SELL, ticks + 5 + level, 1_000, bench.now)
    exchange.pulse(bench.now, positions=True)


def trade_at(bench, price):
    """Two house orders meet and more rests there: the last price is *price*, the mark as it was."""
    ticks = round(price * 10)
    side = BUY if ticks > 612_505 else SELL
    book = bench.exchange.markets["XBTUSD"].book
    held = [o for o in book.orders() if o.account == 0]
    for order in held:
        book.remove(order.order_id)
    bench.exchange.house_rest("XBTUSD", -side, ticks, 5_100, bench.now)
    bench.exchange.house_take("XBTUSD", side, 100, ticks, bench.now)
    for order in held:
        book.rest(order)


def steps(bench, order):
    """The execution types of one order, as its owner sees them."""
    rows = bench.exchange.executions[order.account]
    return [row["execType"] for row in rows if row["orderID"] == order.order_id]


def test_a_stop_waits_outside_the_book_and_uses_no_margin(bench):
    """Untriggered: New, not working, in no book, and the account is as rich as before."""
    before = standing(bench.exchange.accounts[ME], "XBt").available
    order = bench.place(orderQty=-300, ordType="Stop", stopPx="61000")
    [(action, row)] = bench.rows("order")
    assert action == "insert"
    assert (row["ordType"], row["ordStatus"], row["workingIndicator"]) == ("Stop", "New", False)
    assert (row["stopPx"], row["leavesQty"], row["timeInForce"]) == (
        61000,
        300,
        "ImmediateOrCancel",
    )
    assert "price" not in row
    assert "triggered" not in row
    assert bench.exchange.markets["XBTUSD"].book.get(order.order_id) is None
    assert standing(bench.exchange.accounts[ME], "XBt").available == before
    assert bench.exchange.position(ME, "XBTUSD").open_sell_qty == 0


def test_a_stop_triggers_in_one_update_and_its_executions_tell_the_steps(bench):
    """The order shows its final state at once; `execution` has the activation and the trade."""
    bench.place(orderQty=300, ordType="Market")
    order = bench.place(orderQty=-300, ordType="Stop", stopPx="61000", clOrdID="s")
    bench.flush()
    move(bench, 61_000.5)
    assert order.status == "New"
    move(bench, 60_999)
    rows = [c.row for c in bench.flush() if c.table == "order"]
    [row] = [row for row in rows if row["orderID"] == order.order_id]
    assert (row["triggered"], row["ordStatus"], row["cumQty"]) == (
        "StopOrderTriggered", "Filled", 300,
    )  # fmt: skip
    assert "ordType" not in row
    assert row["text"].startswith("Triggered: Order triggered at 60999.25\n")
    assert steps(bench, order) == ["New", "TriggeredOrActivatedBySystem", "Trade"]
    assert bench.held() == 0


@pytest.mark.parametrize(
    ("kind", "side", "stop", "away", "hit"),
    [
        ("Stop", "Sell", "61000", 61_300, 60_900),
        ("Stop", "Buy", "61500", 61_200, 61_600),
        ("MarketIfTouched", "Sell", "61500", 61_200, 61_600),
        ("MarketIfTouched", "Buy", "61000", 61_300, 60_900),
    ],
)
def test_stops_go_with_the_market_and_touches_against_it(kind, side, stop, away, hit):
    """A sell stop and a buy touch trigger from above, a buy stop and a sell touch from below."""
    bench = Bench()
    order = bench.place(side=side, orderQty=100, ordType=kind, stopPx=stop)
    move(bench, away)
    assert (order.status, order.triggered) == ("New", "")
    move(bench, hit)
    assert (order.status, order.triggered) == ("Filled", "StopOrderTriggered")


@pytest.mark.parametrize(
    ("kind", "stop", "hit"),
    [("StopLimit", "61500", 61_500), ("LimitIfTouched", "61000", 60_999)],
)
def test_a_limit_type_rests_at_its_price_once_triggered(kind, stop, hit):
    """After the trigger it is a limit order: in the book, working, of the same ordType."""
    bench = Bench()
    order = bench.place(orderQty=100, ordType=kind, stopPx=stop, price="60500")
    move(bench, hit)
    assert (order.status, order.working, order.ord_type) == ("New", True, kind)
    assert bench.exchange.markets["XBTUSD"].book.get(order.order_id).ticks == 605_000


def test_the_type_follows_from_the_prices_that_are_given(bench):
    """`Limit` with price, `Stop` with stopPx, `StopLimit` with both, `Pegged` with a peg alone."""
    kinds = [
        ({"price": "61000"}, "Limit"),
        ({"stopPx": "61500"}, "Stop"),
        ({"price": "61600", "stopPx": "61500"}, "StopLimit"),
        ({"pegPriceType": "PrimaryPeg", "pegOffsetValue": "-5", "execInst": "Fixed"}, "Pegged"),
        ({}, "Market"),
    ]
    for fields, kind in kinds:
        assert bench.place(orderQty=100, **fields).ord_type == kind


def test_the_trigger_is_the_mark_unless_execinst_names_another(bench):
    """The same trade triggers a LastPrice stop and leaves one on the mark alone."""
    marked = bench.place(orderQty=-100, ordType="Stop", stopPx="61000")
    named = bench.place(orderQty=-100, ordType="Stop", stopPx="61000", execInst="MarkPrice")
    index = bench.place(orderQty=-100, ordType="Stop", stopPx="61000", execInst="IndexPrice")
    last = bench.place(orderQty=-100, ordType="Stop", stopPx="61000", execInst="LastPrice")
    trade_at(bench, 61_000)
    assert (marked.triggered, named.triggered, index.triggered) == ("", "", "")
    assert (last.triggered, last.status) == ("StopOrderTriggered", "Filled")
    move(bench, 60_999)
    assert all(order.status == "Filled" for order in (marked, named, index))


def test_last_within_mark_does_not_trigger_on_a_last_price_far_from_the_mark(bench):
    """A print more than 5 % from the mark is taken for an accident."""
    fields = {"orderQty": -100, "ordType": "Stop", "stopPx": "61000"}
    careful = bench.place(**fields, execInst="LastPrice,LastWithinMark")
    plain = bench.place(**fields, execInst="LastPrice")
    trade_at(bench, 58_000)
    assert (careful.triggered, plain.triggered) == ("", "StopOrderTriggered")
    trade_at(bench, 58_200)
    assert careful.triggered == "StopOrderTriggered"


def test_a_stop_that_is_reached_already_triggers_at_once(bench):
    """It is one insert in its final state, like any new order."""
    order = bench.place(orderQty=100, ordType="Stop", stopPx="61000")
    [(action, row)] = bench.rows("order")
    assert (action, row["ordStatus"], row["triggered"]) == (
        "insert", "Filled", "StopOrderTriggered",
    )  # fmt: skip
    assert steps(bench, order) == ["New", "TriggeredOrActivatedBySystem", "Trade"]


def test_a_stop_asks_for_margin_when_it_triggers(bench):
    """What the account cannot back by then is Rejected, with the reason, and nothing trades."""
    poor = Bench(balances={"XBt": 1_000_000})
    order = poor.place(orderQty=1_000_000, ordType="Stop", stopPx="61500")
    move(poor, 61_600)
    assert order.status == "Rejected"
    assert order.row()["ordRejReason"].startswith("Account has insufficient Available Balance, ")
    assert steps(poor, order)[-1] == "Rejected"
    assert poor.held() == 0


def test_a_close_stop_without_quantity_closes_what_there_is_by_then(bench):
    """The position decides when it triggers, and orders in its way are canceled."""
    stop = bench.place(side="Sell", ordType="Stop", stopPx="61000", execInst="Close,LastPrice")
    assert (stop.qty, stop.status) == (0, "New")
    bench.place(orderQty=700, ordType="Market")
    late = bench.place(side="Sell", ordType="Stop", stopPx="60000", execInst="Close")
    assert (late.row()["orderQty"], late.row()["leavesQty"]) == (700, 700)
    target = bench.place(orderQty=-700, price="62000", execInst="ReduceOnly")
    trade_at(bench, 60_999)
    assert (stop.status, stop.qty, stop.cum, bench.held()) == ("Filled", 700, 700, 0)
    assert target.status == "Canceled"


def test_a_reducing_stop_with_nothing_to_reduce_is_canceled_when_it_triggers(bench):
    """Its text names instruction, side and position."""
    stop = bench.place(orderQty=-300, ordType="Stop", stopPx="61000", execInst="ReduceOnly")
    move(bench, 60_900)
    assert stop.status == "Canceled"
    assert stop.text.startswith(
        "Canceled: Order had execInst of ReduceOnly and side of Sell but current position is 0\n"
    )
    assert bench.held() == 0


def test_a_trailing_stop_follows_once_a_second_and_never_gives_way(bench):
    """The stop keeps its offset behind a market that runs off by more than 0.1 %; else it waits."""
    bench.place(orderQty=300, ordType="Market")
    order = bench.place(
        orderQty=-300, ordType="Stop", pegPriceType="TrailingStopPeg", pegOffsetValue="-100"
    )
    row = order.row()
    assert (row["pegPriceType"], row["pegOffsetValue"]) == ("TrailingStopPeg", -100)
    assert str(row["stopPx"]) == "61150.5"  # 100 behind the mark of 61250.5
    seen = []
    for seconds, bid in ((0.5, 61_400), (1.5, 61_400), (2.0, 61_500), (2.6, 61_430), (3.6, 61_600)):
        bench.now = NOW + int(seconds * 1_000)
        move(bench, bid)
        bench.exchange.due(bench.now)
        seen.append(str(order.stop_px))
    # Too early; followed; too early; 0.05 % is too little; followed.
    assert seen == ["61150.5", "61300.2", "61300.2", "61300.2", "61500.2"]
    assert steps(bench, order).count("Replaced") == 2
    bench.now += 5_000
    move(bench, 61_501)
    bench.exchange.due(bench.now)
    assert (str(order.stop_px), order.status) == ("61500.2", "New")
    move(bench, 61_499)
    assert (order.status, bench.held()) == ("Filled", 0)
    assert order.triggered == "StopOrderTriggered"


@pytest.mark.parametrize(("bid", "stop"), [(61_310, "61150.5"), (61_312, "61212.2")])
def test_a_trailing_stop_waits_for_a_move_of_a_thousandth(bench, bid, stop):
    """From a mark of 61250.5: one to 61310.25 is 0.098 %, one to 61312.25 is 0.101 %."""
    order = bench.place(
        orderQty=-300, ordType="Stop", pegPriceType="TrailingStopPeg", pegOffsetValue="-100"
    )
    bench.now += 1_000
    move(bench, bid)
    bench.exchange.due(bench.now)
    assert str(order.stop_px) == stop


def test_a_trailing_touch_to_buy_follows_from_below(bench):
    """Its offset is negative, like that of a stop to sell, and its trigger moves up."""
    order = bench.place(
        orderQty=100, ordType="MarketIfTouched", pegPriceType="TrailingStopPeg",
        pegOffsetValue="-200", execInst="LastPrice",
    )  # fmt: skip
    trade_at(bench, 61_400)
    bench.now += 1_000
    bench.exchange.due(bench.now)
    assert str(order.stop_px) == "61200"


@pytest.mark.parametrize(
    ("peg", "side", "offset", "price"),
    [
        ("PrimaryPeg", "Buy", "-1", "61249.5"),
        ("PrimaryPeg", "Sell", "2", "61253"),
        ("MarketPeg", "Buy", "-3", "61248"),
        ("MarketPeg", "Sell", "1", "61251.5"),
    ],
)
def test_a_peg_sets_its_price_once(peg, side, offset, price):
    """The near touch, or the far one, and the offset; afterwards the market goes its own way."""
    bench = Bench()
    order = bench.place(
        side=side, orderQty=100, ordType="Pegged", pegPriceType=peg, pegOffsetValue=offset,
        execInst="Fixed",
    )  # fmt: skip
    assert (str(order.price), order.status, order.row()["ordType"]) == (price, "New", "Pegged")
    move(bench, 61_250)
    assert str(order.price) == price


def test_ten_stops_and_two_hundred_orders_a_symbol_and_account(bench):
    """One more of either is refused; other symbols and accounts are free."""
    for _ in range(10):
        bench.place(orderQty=-100, ordType="Stop", stopPx="61000")
    with pytest.raises(Refusal, match=r"^Too many open stop orders$"):
        bench.place(orderQty=-100, ordType="MarketIfTouched", stopPx="62000")
    bench.place(OTHER, orderQty=-100, ordType="Stop", stopPx="61000")
    bench.place(symbol="ETHUSD", orderQty=-1, ordType="Stop", stopPx="2400")
    for _ in range(190):
        bench.place(orderQty=100, price="60000")
    with pytest.raises(Refusal, match=r"^Too many open orders$"):
        bench.place(orderQty=100, price="60000")
    assert len(bench.exchange.open_orders(ME, "XBTUSD")) == 200
    bench.cancel(bench.exchange.open_orders(ME, "XBTUSD")[-1])
    assert bench.place(orderQty=100, price="60000").status == "New"


def test_stops_are_canceled_like_any_order(bench):
    """By id, all at once, and by the dead man's switch."""
    stops = [bench.place(orderQty=-100, ordType="Stop", stopPx="61000") for _ in range(3)]
    [row] = bench.cancel(stops[0])
    assert row["ordStatus"] == "Canceled"
    bench.exchange.cancel_all([stops[1]], "", bench.now)
    bench.exchange.arm(ME, 1_000, bench.now)
    bench.exchange.due(bench.now + 1_000)
    assert [order.status for order in stops] == ["Canceled"] * 3
    move(bench, 60_000)
    assert bench.held() == 0


def test_nothing_triggers_while_the_market_is_closed(bench):
    """A stop that is reached meanwhile triggers when the market opens."""
    order = bench.place(orderQty=-100, ordType="Stop", stopPx="61000")
    bench.exchange.markets["XBTUSD"].state = "Closed"
    move(bench, 60_900)
    assert order.triggered == ""
    bench.exchange.markets["XBTUSD"].state = "Open"
    bench.exchange.pulse(bench.now, positions=True)
    assert order.status == "Filled"


def test_a_stop_may_set_off_another(bench):
    """The trade of one stop is the last price that triggers the next, in the same moment."""
    bench.place(orderQty=6_000, ordType="Market")
    move(bench, 61_250.5)
    first = bench.place(orderQty=-3_500, ordType="Stop", stopPx="61000")
    second = bench.place(
        OTHER, orderQty=-100, ordType="Stop", stopPx="60998.8", execInst="LastPrice"
    )
    move(bench, 60_999)
    assert (first.status, second.status) == ("Filled", "Filled")


def test_a_stop_is_amended_before_it_triggers_and_not_after(bench):
    """Price, trigger and size change freely; then `stopPx` is past."""
    order = bench.place(orderQty=-300, ordType="StopLimit", stopPx="61000", price="61300")
    bench.amend(orderID=order.order_id, stopPx="61100", price="61400", orderQty=500)
    assert (str(order.stop_px), str(order.price), order.leaves) == ("61100", "61400", 500)
    assert order.text == "Amended orderQty price stopPx\nSubmitted via API."
    assert order.dormant
    bench.amend(orderID=order.order_id, stopPx="61260")
    assert (order.triggered, order.working) == ("StopOrderTriggered", True)
    with pytest.raises(Refusal, match=r"^Invalid triggered$"):
        bench.amend(orderID=order.order_id, stopPx="61000")


def test_a_trailing_offset_is_amended_from_where_the_market_is(bench):
    """A new pegOffsetValue pegs anew; the stop may come closer or go further."""
    order = bench.place(
        orderQty=-300, ordType="Stop", pegPriceType="TrailingStopPeg", pegOffsetValue="-100"
    )
    bench.amend(orderID=order.order_id, pegOffsetValue="-300")
    assert str(order.stop_px) == "60950.5"
    assert order.text == "Amended pegOffsetValue\nSubmitted via API."
    with pytest.raises(Refusal, match=r"^Invalid pegOffsetValue for pegPriceType$"):
        bench.amend(orderID=order.order_id, pegOffsetValue="300")
    with pytest.raises(Refusal, match=r"^Invalid stopPx for ordType$"):
        bench.amend(orderID=order.order_id, stopPx="60000")


def test_what_a_trade_sets_off_meets_the_rest_of_the_taker(bench):
    """A stop-limit let in by a trade trades with what its taker leaves in the book."""
    bench.place(orderQty=-100, price="61250.9")
    stop = bench.place(
        OTHER, orderQty=-100, ordType="LimitIfTouched", stopPx="61250.9", price="61250.6",
        execInst="LastPrice",
    )  # fmt: skip
    bench.exchange.house_rest("XBTUSD", BUY, 612_509, 300, bench.now)
    assert (stop.status, stop.row()["avgPx"]) == ("Filled", bench.exchange.markets["XBTUSD"].last)
    book = bench.exchange.markets["XBTUSD"].book
    assert (book.best(BUY), book.size(BUY, 612_509)) == (612_509, 100)
