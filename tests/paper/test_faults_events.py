"""Faults that come by themselves, once a second: what becomes of the market and of the account."""

from decimal import Decimal

import pytest

from reconciler.paper.audit import books
from reconciler.paper.faults import CATALOGUE, EVENT
from reconciler.paper.floor import sum_of_contracts
from reconciler.paper.market import BUY
from tests.paper.conftest import ME
from tests.paper.memory import Memory


@pytest.fixture
def desk():
    return Memory()


def executions(desk):
    return [row["execType"] for row in desk.exchange.executions[ME]]


def test_nothing_happens_by_itself_in_fair_weather():
    """A minute in which no fault is on: the account is as it was, to the last field."""
    desk = Memory()
    desk.order(orderQty=100, ordType="Market")
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    before = len(desk.exchange.executions[ME]), len(desk.exchange.orders), desk.held()
    desk.advance(60_000)
    assert (len(desk.exchange.executions[ME]), len(desk.exchange.orders), desk.held()) == before


def test_all_sockets_can_close_at_once(desk):
    """close-all, as at maintenance; new ones are let in."""
    sessions = [desk.listen("order") for _ in range(3)]
    desk.fault("close-all")
    desk.advance(1_020)
    assert desk.closed == set(sessions)


def test_rest_can_be_down_while_the_stream_is_up(desk):
    """rest-down: no request is answered for a while, cancels neither, and then all are."""
    session = desk.listen("order")
    desk.fault("rest-down")
    desk.advance(1_020)
    assert desk.order(orderQty=100, price=50_000).dropped
    assert desk.call("GET", "/api/v1/position").dropped
    desk.advance(5_000)
    assert desk.order(orderQty=100, price=50_000).status == 200
    assert session not in desk.closed


def test_a_dead_mans_switch_can_fire_early(desk):
    """dead-man-fires: armed for a minute, it cancels everything within a second."""
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    desk.call("POST", "/api/v1/order/cancelAllAfter", {"timeout": 60_000})
    desk.fault("dead-man-fires")
    desk.advance(1_100)
    assert desk.status("a") == "Canceled"


def test_a_person_trades_and_reduce_only_orders_are_cut(desk):
    """person-trade: the position shrinks by a hand that is not ours, and the order with it."""
    desk.order(orderQty=300, ordType="Market")
    desk.order(
        orderQty=300, side="Sell", price=90_000, execInst="ReduceOnly", clOrdID="out"
    )  # fmt: skip
    for _ in range(40):
        desk.fault("person-trade", symbol="XBTUSD")
        desk.advance(1_000)
        order = desk.exchange.find(ME, cl_ord_id="out")
        assert order.leaves == max(0, min(order.leaves, desk.held()))
    foreign = [o for o in desk.exchange.orders_of[ME] if not o.cl_ord_id]
    assert len(foreign) == 40 + 1  # and our own, which has no name either


def test_a_persons_order_rests_and_goes(desk):
    """person-order: it has no clOrdID, rests far from the market, and is withdrawn in time."""
    desk.order(orderQty=100, ordType="Market", clOrdID="mine")
    desk.fault("person-order")
    desk.advance(1_100)
    [order] = desk.exchange.open_orders(ME)
    assert order.cl_ord_id == ""
    desk.advance(20_000)
    assert desk.exchange.open_orders(ME) == []
    assert desk.held() == 100


def test_a_stranger_can_use_our_names(desk):
    """stranger-order: an order under a clOrdID that nearly is our newest."""
    desk.order(orderQty=100, price=50_000, clOrdID="rc-000017")
    desk.fault("stranger-order")
    desk.advance(1_100)
    assert {o.cl_ord_id for o in desk.exchange.open_orders(ME)} == {"rc-000017", "rc-000017x"}


def test_a_filled_order_can_live_again(desk):
    """revive: a person amends it by leavesQty; it rests with one lot."""
    desk.fault("fill-at-once")
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    assert desk.status("a") == "Filled"
    desk.fault("revive")
    desk.advance(1_100)
    order = desk.exchange.find(ME, cl_ord_id="a")
    assert (order.open, order.leaves, order.cum) == (True, 100, 100)


def test_a_position_can_be_liquidated(desk):
    """liquidation: closed by an order of the venue's, own orders canceled, nobody was asked."""
    desk.order(orderQty=300, ordType="Market", clOrdID="in")
    desk.order(orderQty=100, price=50_000, clOrdID="rest")
    desk.fault("liquidation")
    desk.advance(1_100)
    assert (desk.held(), desk.status("rest")) == (0, "Canceled")
    assert sum_of_contracts(desk.exchange, "XBTUSD") == 0


def test_a_position_can_be_deleveraged(desk):
    """deleverage: half of it goes without a fee, by an order that nobody sent; books add up."""
    desk.order(orderQty=1_000, ordType="Market", clOrdID="in")
    desk.order(orderQty=100, price=50_000, clOrdID="rest")
    desk.fault("deleverage")
    desk.advance(1_100)
    assert (desk.held(), desk.status("rest")) == (500, "Canceled")
    row = desk.exchange.executions[ME][-1]
    assert (row["execType"], row["lastQty"], row["execComm"]) == ("Liquidation", 500, 0)
    assert "clOrdID" not in row
    assert sum_of_contracts(desk.exchange, "XBTUSD") == 0
    assert desk.exchange.engine.positions["XBTUSD"].qty == 0
    assert desk.do("deleverage", symbol="XBTUSD")[1]["orderQty"] == 500
    assert (desk.held(), books(desk.exchange, "XBt").gap) == (0, 0)
    assert desk.do("deleverage", symbol="XBTUSD")[0] == 400


def test_funding_comes_out_of_its_time(desk):
    """funding: a Funding execution of the whole position, which stays what it was."""
    desk.order(orderQty=300, ordType="Market")
    desk.fault("funding")
    desk.advance(1_100)
    row = desk.exchange.executions[ME][-1]
    assert (row["execType"], row["lastQty"], desk.held()) == ("Funding", 300, 300)


def test_what_has_no_funding_and_no_end_is_left_alone():
    """funding strikes perpetuals, settle contracts: spot trades on, and so does the venue."""
    desk = Memory(symbols=("XBT_USDT", "XBTZ26"))
    for fault in ("funding", "settle"):
        desk.fault(fault, count=None)
    desk.advance(2_100)
    states = {symbol: market.state for symbol, market in desk.exchange.markets.items()}
    assert states == {"XBT_USDT": "Open", "XBTZ26": "Settled"}
    fired = {row["name"]: row["fired"] for row in desk.world.quirks.listing()}
    assert (fired["funding"], fired["settle"]) == (0, 1)


def test_a_spike_triggers_stops_and_goes(desk):
    """mark-spike: the price is where it was two seconds later, and a close stop was triggered."""
    book = desk.exchange.markets["XBTUSD"].book
    before = book.best(BUY)
    desk.order(orderQty=100, ordType="Stop", stopPx=61_350, clOrdID="up")
    desk.order(orderQty=100, side="Sell", ordType="Stop", stopPx=61_150, clOrdID="down")
    desk.fault("mark-spike")
    desk.advance(3_000)
    assert book.best(BUY) == before
    assert sorted((desk.status("up"), desk.status("down"))) == ["Filled", "New"]


def test_a_market_can_take_cancels_alone(desk):
    """cancel-only: new orders are refused, cancels are done, and it opens again by itself."""
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    desk.fault("cancel-only")
    desk.advance(1_020)
    refused = desk.order(orderQty=100, price=50_000)
    assert desk.json(refused)["error"]["message"] == "Market is not open"
    assert desk.cancel("a")[0]["ordStatus"] == "Canceled"
    desk.advance(5_000)
    assert desk.order(orderQty=100, price=50_000).status == 200


def test_a_suspension_takes_nothing(desk):
    """suspension: neither order nor cancel, for at most three seconds."""
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    desk.fault("suspension")
    desk.advance(1_020)
    refused = desk.call("DELETE", "/api/v1/order", {"clOrdID": "a"})
    assert (refused.status, desk.status("a")) == (400, "New")
    desk.advance(3_000)
    assert desk.cancel("a")[0]["ordStatus"] == "Canceled"


def test_a_lot_can_change_and_change_back(desk):
    """rules-change: 200 contracts a lot, told in the instrument's row; the next time 100 again."""
    session = desk.listen("instrument")
    lots = []
    for _ in range(2):
        desk.fault("rules-change")
        desk.advance(1_000)
        lots += [r["lotSize"] for _, r in desk.rows(session, "instrument") if "lotSize" in r]
    assert lots == [200, 100]


def test_an_instrument_can_be_settled(desk):
    """settle: the position is closed by a Settlement row, orders are gone, the market is over."""
    desk.order(orderQty=300, ordType="Market")
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    desk.fault("settle")
    desk.advance(1_100)
    assert (desk.held(), desk.status("a")) == (0, "Canceled")
    assert "Settlement" in executions(desk)
    assert desk.order(orderQty=100, price=50_000).status == 400
    for action, field, value in (("market", "state", "Open"), ("price", "price", 60_000)):
        status, body = desk.do(action, symbol="XBTUSD", **{field: value})
        assert (status, body["error"]["message"]) == (400, "XBTUSD is Settled")
    market = desk.exchange.markets["XBTUSD"]
    assert (market.state, market.book.levels(BUY)) == ("Settled", [])


@pytest.mark.parametrize("seed", range(3))
def test_a_venue_stays_whole_whatever_befalls_it(seed):
    """
    A minute and a half with every fault of the catalogue at a tenth, the lasting ones too: no
    contract and no satoshi is lost, no book is crossed, and once the faults are off orders are
    taken again.
    """
    for_good = {"settle", "ip-ban"}
    desk = Memory({name: 0.1 for name in CATALOGUE if name not in for_good}, seed=seed, walk=True)
    session = desk.listen("order", "execution", "position", "margin")
    for number in range(300):
        desk.order(
            orderQty=100 * (number % 7 + 1), side="Buy" if number % 2 else "Sell",
            price=61_250 + (number % 11 - 5) * 20, clOrdID=f"n{number}",
        )  # fmt: skip
        if number % 3 == 0:
            desk.call("DELETE", "/api/v1/order", {"clOrdID": f"n{number - 1}"})
        desk.advance(300)
        assert sum_of_contracts(desk.exchange, "XBTUSD") == 0
        assert books(desk.exchange, "XBt").gap == 0
        book = desk.exchange.markets["XBTUSD"].book
        assert not book.levels(1, 1) or not book.levels(-1, 1) or book.best(BUY) < book.best(-1)
        if session in desk.closed or session.mute:
            session = desk.listen("order", "execution", "position", "margin")
        session.take()
    fired = {row["name"]: row["fired"] for row in desk.world.quirks.listing()}
    events = {f.name for f in CATALOGUE.values() if f.group == EVENT}
    assert {name for name in events if not fired[name]} <= for_good | {"dead-man-fires"}
    for name in CATALOGUE:
        desk.fault(name, 0.0)
    desk.advance(12_000)
    desk.call("DELETE", "/api/v1/order/all", {})
    for _ in range(2):  # the lot may have doubled
        assert desk.order(orderQty=200, price=str(Decimal(50_000)), clOrdID=None).status == 200
