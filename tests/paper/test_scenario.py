"""A scenario: what happens when, checked whole before anything does."""

import json
from decimal import Decimal

import pytest

from reconciler.paper import PaperExchange
from reconciler.paper.actions import ACTIONS
from reconciler.paper.market import BUY, SELL
from reconciler.paper.scenario import BadScenario, Script
from reconciler.paper.times import duration_ms
from tests.paper.memory import Memory


def played(*steps, **options):
    """A world with a scenario of (at, do, fields)."""
    entries = [{"at": at, "do": do, **fields} for at, do, fields in steps]
    return Memory(script=Script.parse({"step": entries}), **options)


def test_steps_come_at_their_times():
    """Nothing before its second, and everything at it: a fault, a price, a lot, a closed market."""
    desk = played(
        ("1s", "fault", {"name": "rate-limit-429", "count": 1}),
        ("2s", "price", {"symbol": "XBTUSD", "price": 60_000}),
        ("3s", "rules", {"symbol": "XBTUSD", "lotSize": 200}),
        ("4s", "market", {"symbol": "XBTUSD", "state": "Closed"}),
    )
    book = desk.exchange.markets["XBTUSD"].book
    desk.advance(980)
    assert desk.order(orderQty=100, price=50_000).status == 200
    desk.advance(20)
    assert desk.order(orderQty=100, price=50_000).status == 429
    desk.advance(1_000)
    assert book.best(BUY) == 600_000
    desk.advance(1_000)
    assert desk.order(orderQty=100, price=50_000).status == 400
    assert desk.order(orderQty=200, price=50_000).status == 200
    desk.advance(1_000)
    assert desk.order(orderQty=200, price=50_000).status == 400
    assert [step["done"] for step in desk.world.scenario.listing()] == [True] * 4


def test_a_scenario_goes_as_fast_as_the_market():
    """At speed 10 what is written for 20 seconds comes after two."""
    desk = played(("20s", "price", {"symbol": "XBTUSD", "price": 60_000}), speed=10.0)
    desk.advance(1_980)
    assert not desk.world.scenario.listing()[0]["done"]
    desk.advance(20)
    assert desk.world.scenario.listing()[0]["done"]


def test_maintenance_suspends_then_takes_cancels_and_opens():
    """Section 13: sockets closed at once, suspension, cancels alone, open; and it is announced."""
    desk = played((1, "maintenance", {"suspended": 2, "cancelOnly": 3}))
    session = desk.listen("order")
    board = desk.world.hub.open(lambda: None, platform=True)
    board.receive('{"op":"subscribe","args":["announcement"]}', desk.now)
    desk.heard(board)
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    desk.advance(1_020)
    assert session in desk.closed
    assert "Scheduled maintenance" in json.dumps(desk.heard(board))
    assert desk.call("DELETE", "/api/v1/order", {"clOrdID": "a"}).status == 400
    desk.advance(2_000)
    assert desk.cancel("a")[0]["ordStatus"] == "Canceled"
    refused = desk.order(orderQty=100, price=50_000)
    assert desk.json(refused)["error"]["message"] == "Market is not open"
    desk.advance(3_000)
    assert desk.order(orderQty=100, price=50_000).status == 200


def test_a_step_that_cannot_be_done_does_not_stop_the_next():
    """A position to liquidate is not there: the step says so, and the next one is done."""
    desk = played(
        (1, "liquidate", {"symbol": "XBTUSD"}), (2, "trade", {"symbol": "XBTUSD", "orderQty": 100})
    )
    desk.advance(2_020)
    first, second = desk.world.scenario.listing()
    assert first["answer"]["error"]["message"] == "no position to liquidate"
    assert second["answer"]["ordStatus"] == "Filled"
    assert desk.held() == 100


def test_an_instrument_is_announced_settled_and_paid_for():
    """Every kind of step can be taken: each action of the control door is one."""
    desk = played(
        (0, "trade", {"symbol": "XBTUSD", "orderQty": 300}), (1, "funding", {"symbol": "XBTUSD"}),
        (1, "announce", {"title": "Soon", "content": "It ends.", "urgent": True}),
        (2, "disconnect", {}), (2, "revoke", {}), (3, "settle", {"symbol": "XBTUSD"}),
    )  # fmt: skip
    desk.advance(3_020)
    assert all("error" not in str(step["answer"]) for step in desk.world.scenario.listing())
    assert desk.held() == 0
    assert desk.json(desk.call("GET", "/api/v1/announcement/urgent"))[-1]["title"] == "Soon"


def test_a_tick_can_change_while_the_market_walks():
    """On the new tick both books go on around the price; an order between two ticks is canceled."""
    tick = {"symbol": "XBTUSD", "tickSize": Decimal("0.5")}
    desk = played((1, "rules", tick), walk=True, quotes=50)
    desk.order(orderQty=100, price=50_000.3, clOrdID="odd")
    desk.order(orderQty=100, price=50_000.5, clOrdID="even")
    desk.advance(3_000)
    market = desk.exchange.markets["XBTUSD"]
    assert (desk.status("odd"), desk.status("even")) == ("Canceled", "New")
    assert desk.order(orderQty=100, price=50_000.1).status == 400
    bid, ask = (market.inst.price(market.book.best(side)) for side in (BUY, SELL))
    assert (bid % Decimal("0.5"), ask % Decimal("0.5")) == (0, 0)
    assert 0 < ask - bid <= 4
    assert abs(bid - Decimal("61250.5")) < 100
    assert len(market.book.levels(BUY)) > 20


WRONG = {
    "no step": ("x = 1", "'x' is not known"),
    "no TOML": ("[[step]", "Expected"),
    "no time": ('[[step]]\ndo = "disconnect"', "step 1: 'at' and 'do'"),
    "odd time": ('[[step]]\nat = "soon"\ndo = "disconnect"', "step 1: 'at' is a time"),
    "past": ('[[step]]\nat = -1\ndo = "disconnect"', "step 1: 'at' is a time"),
    "odd action": ('[[step]]\nat = 1\ndo = "dance"', "cannot do 'dance'; one can fault"),
    "odd field": (
        '[[step]]\nat = 1\ndo = "disconnect"\n[[step]]\nat = 2\ndo = "fault"\nnome = "late-fill"',
        "step 2 (fault): 'nome' is not allowed",
    ),
    "odd fault": ('[[step]]\nat = 1\ndo = "fault"\nname = "x"', "step 1 (fault): unknown fault"),
    "odd symbol": (
        '[[step]]\nat = 1\ndo = "price"\nsymbol = "NOPE"\nprice = 1', "step 1 (price): "
    ),
    "between ticks": (
        '[[step]]\nat = 1\ndo = "price"\nsymbol = "XBTUSD"\nprice = 0.03', "step 1 (price): "
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_before_anything_opens(name, tmp_path):
    """The error names file, step and reason; no port was taken."""
    text, reason = WRONG[name]
    path = tmp_path / "storm.toml"
    path.write_text(text)
    with pytest.raises(BadScenario) as refused:
        PaperExchange(scenario=path)
    assert "storm.toml" in str(refused.value)
    assert reason in str(refused.value)


def test_times_are_written_as_people_write_them():
    """Seconds, or parts with a unit; nothing else."""
    assert [duration_ms(t) for t in (0, Decimal("1.5"), "30s", "1m30s", "500ms", "2h")] == [
        0, 1_500, 30_000, 90_000, 500, 7_200_000,
    ]  # fmt: skip
    assert {duration_ms(t) for t in ("", "s", "-1s", "1x", True, None, -1, [], "1 s")} == {None}


def test_the_control_door_lists_what_it_can_do(client):
    """GET /paper/actions names every action with its fields and a sentence; scenario is empty."""
    listed = client.paper("actions")
    assert [row["name"] for row in listed] == list(ACTIONS)
    assert all(row["description"].endswith(".") for row in listed)
    assert client.paper("scenario") == []
