"""The venue's bad days: each switch does what its line in the catalogue says, and no more."""

import json
import time
from pathlib import Path

import pytest
import requests

from reconciler.paper.auth import sign
from reconciler.paper.catalogue import page
from reconciler.paper.quirks import CATALOGUE, Quirks
from reconciler.paper.rest import Admitted
from reconciler.paper.times import parse_iso
from reconciler.paper.web import Answer, Request
from tests.paper.conftest import DEADLINE_S, Stream
from tests.paper.memory import Memory


def orders(client):
    return {o.get("clOrdID"): o["ordStatus"] for o in client.paper("truth")["orders"]}


def statuses(client):
    return {r["clOrdID"]: r["status"] for r in client.paper("truth")["requests"]}


def test_a_lost_answer_is_an_order_nonetheless(client):
    """The connection is cut without a byte, and the order is in the book; a replay says so."""
    client.fault("lost-answer")
    with pytest.raises(requests.ConnectionError):
        client.order(orderQty=100, price=50_000, clOrdID="a")
    assert orders(client) == {"a": "New"}
    assert statuses(client) == {"a": None}
    again = client.order(orderQty=100, price=50_000, clOrdID="a")
    assert (again.status_code, again.json()["error"]["message"]) == (400, "Duplicate clOrdID")


def test_a_lost_request_is_no_order(client):
    """The connection is cut before anything happened."""
    client.fault("lost-request")
    with pytest.raises(requests.ConnectionError):
        client.order(orderQty=100, price=50_000, clOrdID="a")
    assert orders(client) == {}
    assert statuses(client) == {"a": None}


def test_overload_spares_cancels_and_bare_close(client):
    """The exact text refuses new orders and amends; cancels and Close without quantity pass."""
    client.order(orderQty=100, ordType="Market", clOrdID="a")
    client.fault("overload-503", count=99)
    refused = client.order(orderQty=100, price=50_000, clOrdID="b")
    assert (refused.status_code, refused.json()) == (
        503,
        {"error": {"message": "The system is currently overloaded. Please try again later.",
                   "name": "HTTPError"}},
    )  # fmt: skip
    assert client.call("DELETE", "/api/v1/order/all", {}).status_code == 200
    assert client.order(side="Sell", execInst="Close", ordType="Market").status_code == 200
    assert "b" not in orders(client)


def test_a_bad_gateway_tells_nothing(client):
    """A 502 is an HTML page, and behind it some orders live and some do not."""
    client.fault("bad-gateway-502", count=30)
    for number in range(30):
        answer = client.order(orderQty=100, price=50_000, clOrdID=f"g{number}")
        assert answer.status_code == 502
        assert answer.text.startswith("<html>")
    assert 0 < len(orders(client)) < 30


def test_a_429_can_come_at_any_time(client):
    """rate-limit-429 refuses with retry-after and places nothing."""
    client.fault("rate-limit-429")
    answer = client.order(orderQty=100, price=50_000, clOrdID="a")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert orders(client) == {}


def test_a_slow_answer_is_late_but_the_order_is_not(client):
    """The order is in the book at once; its answer takes at least a fifth of a second."""
    client.fault("slow-answer")
    sent = time.monotonic()
    assert client.order(orderQty=100, price=50_000, clOrdID="a").status_code == 200
    assert time.monotonic() - sent >= 0.2


def test_the_queue_does_not_look_at_expiry():
    """What waits in the queue beyond its expiry is acted on; what comes as late is refused."""
    desk = Memory({"slow-queue": 1.0})
    expires, target = str(desk.now // 1000 + 1), "/api/v1/order"
    beyond = 0
    for number in range(10):
        order = {"symbol": "XBTUSD", "orderQty": 100, "price": 50_000, "clOrdID": str(number)}
        body = json.dumps(order).encode()
        headers = {
            "api-key": "sim-key", "api-expires": expires, "content-type": "application/json",
            "api-signature": sign("sim-secret", "POST", target, expires, body),
        }  # fmt: skip
        request = Request(
            verb="POST", path=target, target=target, query="", headers=headers, body=body,
            address="127.0.0.1",
        )  # fmt: skip
        queued = desk.world.api.admit(request, desk.now)
        assert isinstance(queued, Admitted)
        beyond += queued.wait_s > 1
        answer = desk.world.api.act(queued, desk.now + round(queued.wait_s * 1_000))
        assert (answer.status, desk.status(str(number))) == (200, "New")
        late = desk.world.api.admit(request, desk.now + 1_000)
        assert isinstance(late, Answer)
        assert late.status == 401
    assert beyond > 2


def test_a_request_can_wait_in_the_queue(client):
    """slow-queue: for at least a fifth of a second nothing is acted on, nor answered."""
    client.fault("slow-queue")
    sent = time.monotonic()
    assert client.order(orderQty=100, price=50_000, clOrdID="a").status_code == 200
    assert time.monotonic() - sent >= 0.2
    [request] = client.paper("truth")["requests"]
    [order] = client.paper("truth")["orders"]
    assert parse_iso(order["transactTime"]) - parse_iso(request["at"]) >= 200


def test_a_cancel_can_lose_the_race(client):
    """The order fills just before its cancel, whose row then fails with HTTP 200."""
    client.order(orderQty=100, price=50_000, clOrdID="a")
    client.fault("cancel-race")
    answer = client.call("DELETE", "/api/v1/order", {"clOrdID": "a"})
    assert answer.status_code == 200
    assert answer.json()[0]["error"] == "Unable to cancel order"
    assert orders(client) == {"a": "Filled"}
    assert client.paper("truth")["positions"]["XBTUSD"] == 100


def test_an_amend_can_race_a_fill(client):
    """Part of the order fills just before the amend, which then counts from there."""
    client.order(orderQty=1_000, price=50_000, clOrdID="a")
    client.fault("amend-race")
    row = client.call("PUT", "/api/v1/order", {"origClOrdID": "a", "leavesQty": 800}).json()
    assert (row["cumQty"], row["leavesQty"], row["orderQty"]) == (500, 800, 1_300)


def test_a_200_can_be_a_rejection(venue, client):
    """reject-in-200 answers and streams a Rejected row; nothing rests."""
    stream = Stream(venue.url, "order", client=client)
    client.fault("reject-in-200")
    answer = client.order(orderQty=100, price=50_000, clOrdID="a")
    assert (answer.status_code, answer.json()["ordStatus"]) == (200, "Rejected")
    assert stream.rows("order", 1)[0]["ordStatus"] == "Rejected"
    assert client.call("GET", "/api/v1/order?filter=%7B%22open%22:true%7D").json() == []


@pytest.mark.parametrize(
    ("name", "late", "prompt"),
    [("position-lag", "position", "order"), ("execution-late", "execution", "order"),
     ("order-late", "order", "execution")],
)  # fmt: skip
def test_one_table_can_lag_behind_the_others(venue, client, name, late, prompt):
    """Frames of one table are held back, in their order, while the others go through."""
    stream = Stream(venue.url, late, prompt, client=client)
    client.fault(name)
    client.order(orderQty=100, ordType="Market", clOrdID="a")
    client.order(orderQty=200, ordType="Market", clOrdID="b")
    seen, told = [], []
    while seen.count(late) < 2 or seen.count(prompt) < 2:
        frame = stream.until(lambda f: f.get("action") in ("insert", "update"))
        seen.append(frame["table"])
        told += [row for row in frame["data"] if frame["table"] == late]
    assert seen[0] == prompt
    names = [row["clOrdID"] for row in told if "clOrdID" in row]
    held = [row["currentQty"] for row in told if row.get("currentQty")]
    assert (names, held) == (sorted(names), sorted(held))


def test_a_fill_can_be_told_late(venue, client):
    """late-fill: the position moves before the order or the execution says why."""
    stream = Stream(venue.url, "order", "execution", "position", client=client)
    client.fault("late-fill")
    client.order(orderQty=100, ordType="Market")
    seen = []
    while len(seen) < 3:
        seen.append(stream.until(lambda f: f.get("action") in ("insert", "update"))["table"])
    assert seen == ["position", "order", "execution"]


def test_frames_can_come_twice_or_empty(venue, client):
    """A duplicated frame is the same bytes again; an empty one has no rows."""
    stream = Stream(venue.url, "order", client=client)
    client.fault("duplicate-frame")
    client.fault("empty-frame")
    client.order(orderQty=100, price=50_000)
    first, second, third = [stream.next() for _ in range(3)]
    assert first == second
    assert third["data"] == []


def test_a_stream_can_be_dropped(venue, client):
    """drop-stream closes the socket in place of a frame; disconnect closes them all."""
    stream = Stream(venue.url, "order", client=client)
    client.fault("drop-stream")
    client.order(orderQty=100, price=50_000)
    assert stream.socket.recv() == ""
    others = [Stream(venue.url) for _ in range(2)]
    assert client.paper("disconnect", all=True) == {"closed": 2}
    assert [s.socket.recv() for s in others] == ["", ""]


def test_a_stream_can_fall_silent(venue, client):
    """A silent stream still answers ping and tells nothing more of the tables."""
    stream = Stream(venue.url, "order", client=client)
    client.fault("silent-stream")
    client.order(orderQty=100, price=50_000)
    stream.socket.send("ping")
    assert stream.next() == "pong"


def test_credentials_can_be_forgotten(venue, client):
    """auth-lost says success, and then 401 to the private tables."""
    client.fault("auth-lost")
    stream = Stream(venue.url, client=client)
    stream.ask("subscribe", "order")
    assert stream.next()["status"] == 401


def test_reads_can_lag(client):
    """read-lag hides an order of this second from GET /order, and shows it later."""
    client.order(orderQty=100, price=50_000)
    client.paper("fault", name="read-lag", probability=1, count=100_000)
    assert client.call("GET", "/api/v1/order").json() == []
    assert client.call("GET", "/api/v1/execution").json() == []
    deadline = time.monotonic() + DEADLINE_S
    while not client.call("GET", "/api/v1/order").json():
        assert time.monotonic() < deadline


def test_the_catalogue_is_listed_and_guarded(client):
    """Every fault is listed with a sentence, and an unknown one is refused by name."""
    listed = client.paper("faults")
    assert [row["name"] for row in listed] == list(CATALOGUE)
    assert all(row["description"].endswith(".") for row in listed)
    answer = client.session.post(
        f"{client.url}/paper/fault", json={"name": "nope", "probability": 1}, timeout=8
    )
    assert answer.status_code == 400
    assert "nope" in answer.text


def test_every_row_of_the_fault_model_has_a_switch():
    """Each NET, REST and VENUE row is stood for by at least one fault, and each stands for one."""
    told = {row for fault in CATALOGUE.values() for row in fault.rows.split()}
    model = {"NET": 9, "REST": 13, "VENUE": 11}
    assert told == {"15"} | {f"{kind}-{n + 1}" for kind, most in model.items() for n in range(most)}


def test_the_page_of_faults_is_what_the_code_says():
    """docs/paper-faults.md is made from the code: run the command in its first lines."""
    written = Path(__file__).parents[2] / "docs" / "paper-faults.md"
    assert written.read_text() == page()


def test_a_seed_gives_each_fault_its_own_draws():
    """The draws of a fault depend on the seed and on nothing else that is switched on."""
    alone = Quirks({"lost-answer": 0.5}, seed=3)
    busy = Quirks({"lost-answer": 0.5, "lost-request": 0.5}, seed=3)
    draws = []
    for _ in range(200):
        draws.append(alone.strikes("lost-answer"))
        busy.strikes("lost-request")
        assert busy.strikes("lost-answer") == draws[-1]
    assert 60 < sum(draws) < 140
