"""Faults of the engine: what becomes of an order; account and book agree with it."""

import json

import pytest

from reconciler.paper.floor import sum_of_contracts
from tests.paper.memory import Memory

CANCELED = "Canceled: Order had execInst of ParticipateDoNotInitiate\nSubmitted via API."


def told(desk, session):
    """Status and cumQty of every order row, and type and lastQty of every execution row."""
    orders, executions = [], []
    for frame in desk.heard(session):
        for row in frame["data"]:
            if frame["table"] == "order":
                orders.append((frame["action"], row.get("ordStatus"), row.get("cumQty")))
            elif frame["table"] == "execution":
                executions.append((row["execType"], row.get("lastQty") or None))
    return orders, executions


@pytest.fixture(autouse=True)
def _contracts_add_up(request):
    """Whatever happened: contracts of all accounts and the house are none."""
    yield
    for desk in request.node.funcargs.values():
        if isinstance(desk, Memory):
            assert sum_of_contracts(desk.exchange, "XBTUSD") == 0


@pytest.fixture
def desk():
    return Memory()


def test_a_post_only_order_can_be_killed_in_its_first_row(desk):
    """One message: inserted as Canceled, with the text of a post-only that would have taken."""
    session = desk.listen("order")
    desk.fault("post-only-killed")
    row = desk.json(
        desk.order(orderQty=100, price=50_000, execInst="ParticipateDoNotInitiate", clOrdID="a")
    )
    assert (row["ordStatus"], row["text"], row["leavesQty"]) == ("Canceled", CANCELED, 0)
    [(action, shown)] = desk.rows(session, "order")
    assert (action, shown["ordStatus"]) == ("insert", "Canceled")


def test_an_insert_can_be_filled_already(desk):
    """fill-at-once: the first row of a limit order far from the market is Filled."""
    session = desk.listen("order", "execution")
    desk.fault("fill-at-once")
    assert desk.json(desk.order(orderQty=300, price=50_000))["ordStatus"] == "Filled"
    assert told(desk, session) == ([("insert", "Filled", 300)], [("New", None), ("Trade", 300)])
    assert desk.held() == 300


def test_fills_can_share_a_moment(desk):
    """fill-in-pieces: five trades of one timestamp, each counted once."""
    session = desk.listen("execution")
    desk.fault("fill-in-pieces")
    desk.order(orderQty=1_100, price=50_000)
    rows = [row for _, row in desk.rows(session, "execution") if row["execType"] == "Trade"]
    assert [row["lastQty"] for row in rows] == [200, 200, 200, 200, 300]
    assert len({row["timestamp"] for row in rows}) == 1
    assert len({row["execID"] for row in rows}) == 5
    assert desk.held() == 1_100


def test_an_order_can_fill_while_nobody_listens(desk):
    """drop-and-fill: the sockets are closed, and then the order that had come to rest fills."""
    session = desk.listen("order")
    desk.fault("drop-and-fill")
    assert desk.json(desk.order(orderQty=100, price=50_000, clOrdID="a"))["ordStatus"] == "New"
    assert session in desk.closed
    assert (desk.status("a"), desk.held()) == ("New", 0)
    desk.advance(1_100)
    assert (desk.status("a"), desk.held()) == ("Filled", 100)


def test_a_rejection_can_come_twice(desk):
    """reject-twice: REST says 400, and the tables show the order as Rejected."""
    session = desk.listen("order")
    desk.fault("reject-twice")
    answer = desk.order(orderQty=100, price=50_000, clOrdID="a")
    assert answer.status == 400
    desk.advance(20)
    assert [(a, r["ordStatus"]) for a, r in desk.rows(session, "order")] == [("insert", "Rejected")]


def test_a_duplicate_can_be_the_first_one(desk):
    """duplicate-refusal: the answer is Duplicate clOrdID, and the order is in the book."""
    desk.fault("duplicate-refusal")
    answer = desk.order(orderQty=100, price=50_000, clOrdID="a")
    assert desk.json(answer)["error"]["message"] == "Duplicate clOrdID"
    assert desk.status("a") == "New"


def test_a_request_can_arrive_twice(desk):
    """double-request: two orders rest under one clOrdID, each with an id of its own."""
    desk.fault("double-request")
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    rows = desk.json(desk.call("GET", '/api/v1/order?filter={"open":true}'))
    assert [row["clOrdID"] for row in rows] == ["a", "a"]
    assert len({row["orderID"] for row in rows}) == 2


def test_a_cancel_can_be_refused_for_no_reason(desk):
    """cancel-refused: HTTP 200, an error in the row, a CancelReject without symbol; it rests on."""
    session = desk.listen("execution")
    desk.order(orderQty=100, price=50_000, clOrdID="a")
    desk.fault("cancel-refused")
    [row] = desk.cancel("a")
    assert row["error"] == "Unable to cancel order"
    reject = desk.rows(session, "execution")[-1][1]
    assert (reject["execType"], reject["ordStatus"]) == ("CancelReject", "Rejected")
    assert "symbol" not in reject
    assert desk.status("a") == "New"


def test_a_cancel_can_be_pending_and_then_done_or_too_late(desk):
    """pending-cancel: PendingCancel in the row, and within two seconds Canceled, or Filled."""
    ends = set()
    for number in range(12):
        desk.order(orderQty=100, price=50_000, clOrdID=f"a{number}")
        desk.fault("pending-cancel")
        [row] = desk.cancel(f"a{number}")
        assert (row["ordStatus"], row["leavesQty"]) == ("PendingCancel", 100)
        assert desk.status(f"a{number}") == "PendingCancel"
        desk.advance(2_020)
        ends.add(desk.status(f"a{number}"))
    assert ends == {"Canceled", "Filled"}


def test_a_fill_can_be_told_after_the_cancel(desk):
    """fill-after-cancel: the cancel's row counts a fill whose execution comes later."""
    session = desk.listen("order", "execution")
    desk.order(orderQty=1_000, price=50_000, clOrdID="a")
    desk.heard(session)
    desk.fault("fill-after-cancel")
    [row] = desk.cancel("a")
    assert (row["ordStatus"], row["cumQty"]) == ("Canceled", 500)
    assert told(desk, session) == ([("update", "Canceled", 500)], [])
    desk.advance(2_020)
    assert told(desk, session) == ([], [("Trade", 500), ("Canceled", None)])


def test_faults_of_cancels_take_one_id_of_a_list(desk):
    """Of two ids in one cancel only the one that is struck fails; the rows come in order."""
    for name in "ab":
        desk.order(orderQty=100, price=50_000, clOrdID=name)
    desk.fault("cancel-refused")
    rows = desk.json(desk.call("DELETE", "/api/v1/order", {"clOrdID": ["a", "b"]}))
    assert ["error" in row for row in rows] == [True, False]
    assert (desk.status("a"), desk.status("b")) == ("New", "Canceled")


def test_engine_faults_spare_what_does_not_rest(desk):
    """An order that was filled at once is not filled again, however many faults are on."""
    for name in ("fill-at-once", "fill-in-pieces", "post-only-killed", "drop-and-fill"):
        desk.fault(name, count=None)
    row = desk.json(desk.order(orderQty=100, ordType="Market"))
    assert (row["ordStatus"], row["cumQty"]) == ("Filled", 100)
    assert json.loads(desk.order(orderQty=0, price=1).body)["error"]
