"""What the venue forgets, what it never does, and that it says so."""

import json

import pytest

from reconciler.paper import PaperExchange, control
from reconciler.paper.audit import books
from tests.paper.conftest import ME
from tests.paper.memory import Memory

KEEP = (
    1_000  # requests; of each account 250 orders and executions, 50 of orders that came to nothing
)
HOUR_MS = 3_600_000


def truth(desk):
    return control.truth(desk.world, {}, desk.now)


def canceled(desk, count, name):
    for number in range(count):
        assert desk.order(orderQty=100, price=50_000, clOrdID=f"{name}{number}").status == 200
        desk.cancel(f"{name}{number}")


def traded(desk, count, name):
    for number in range(count):
        side = "Sell" if number % 2 else "Buy"
        fields = {"orderQty": 100, "side": side, "ordType": "Market", "clOrdID": f"{name}{number}"}
        assert desk.order(**fields).status == 200


def shown(desk, **where):
    """The orders of a filter by REST."""
    return desk.json(desk.call("GET", f"/api/v1/order?count=500&filter={json.dumps(where)}"))


def test_what_came_to_nothing_is_forgotten_after_an_hour_but_for_the_newest():
    """A maker that cancels all day does not fill the memory; his open order stays, however old."""
    desk = Memory(keep=KEEP)
    desk.order(orderQty=100, price=49_000, clOrdID="patient")
    traded(desk, 1, "dealt")
    canceled(desk, 100, "old")
    assert truth(desk)["dropped"]["orders"] == 0, "they are of this hour"
    desk.now += HOUR_MS
    canceled(desk, 100, "new")
    exchange = desk.exchange
    assert truth(desk)["dropped"]["orders"] == 100
    assert exchange.find(ME, cl_ord_id="old0") is None
    assert len(exchange.orders) == len(exchange.orders_of[ME]) == 102
    assert [row["clOrdID"] for row in shown(desk, open=True)] == ["patient"]
    assert [row["ordStatus"] for row in shown(desk, clOrdID="dealt0")] == ["Filled"]
    assert shown(desk, clOrdID="old5") == []
    assert desk.cancel("old5")[0]["error"].endswith("Not found or not owned by user")
    assert desk.cancel("patient")[0]["ordStatus"] == "Canceled"


def test_a_storm_is_bounded_within_the_hour_and_leaves_money_and_position_as_they_are():
    """Fills are kept in their number, and what follows from them does not hang on it."""
    desk, small = Memory(keep=0), Memory(keep=KEEP)
    for one in (desk, small):
        traded(one, 601, "t")
    whole, told = truth(desk), truth(small)
    assert len(whole["orders"]) == 601
    assert whole["dropped"] == {"orders": 0, "executions": 0, "requests": 0}
    kept = {name: len(told[name]) for name in ("orders", "executions")}
    assert all(250 <= count <= 250 + 63 for count in kept.values()), kept
    for name, count in kept.items():
        assert told["dropped"][name] == len(whole[name]) - count
        assert told[name] == whole[name][-count:], "the newest"
    assert told["positions"] == whole["positions"] == {"XBTUSD": 100}
    assert books(small.exchange, "XBt") == books(desk.exchange, "XBt")
    assert books(small.exchange, "XBt").gap == 0
    margin = [one.json(one.call("GET", "/api/v1/user/margin")) for one in (desk, small)]
    assert margin[0] == margin[1]


def test_the_truth_says_how_many_requests_it_no_longer_has():
    """Who looks there for what was sent twice must know that it is not all there is."""
    desk = Memory(keep=KEEP)
    for number in range(KEEP + 7):
        desk.order(orderQty=1, price=1, clOrdID=f"r{number}")  # refused: no whole lot
    found = truth(desk)
    assert found["dropped"]["requests"] == 7
    assert [row["clOrdID"] for row in found["requests"]] == [f"r{n}" for n in range(7, KEEP + 7)]


def test_linked_orders_stay_while_one_of_them_is_open():
    """An OTO secondary waits for its primary, be that the oldest order of all."""
    desk = Memory(keep=KEEP)
    link = {"clOrdLinkID": "pair", "orderQty": 100}
    desk.order(**link, price=50_000, clOrdID="first", contingencyType="OneTriggersTheOther")
    desk.order(**link, side="Sell", price=70_000, clOrdID="second")
    desk.now += HOUR_MS
    canceled(desk, 400, "n")
    desk.now += HOUR_MS
    canceled(desk, 400, "m")
    assert truth(desk)["dropped"]["orders"] > 0
    first = desk.exchange.find(ME, cl_ord_id="first")
    desk.exchange.fill_from_house(first, 100, desk.now)
    desk.world.publish(desk.now)
    [second] = shown(desk, clOrdID="second")
    assert (second["ordStatus"], second["workingIndicator"]) == ("New", True)
    assert len(desk.exchange._links) == 1


def test_too_little_to_keep_is_refused():
    """A venue that forgets an order while its answer is under way is of no use."""
    with pytest.raises(ValueError, match="keep must be 0, for everything, or at least 1,000: 10"):
        PaperExchange(keep=10)
