"""Requests that are read in one turn of the loop: what is told of each, and what is told once."""

import json
import random

import pytest

from reconciler.paper.auth import sign
from reconciler.paper.web import Request
from tests.paper.conftest import ME, OTHER
from tests.paper.ear import FAR, MINE, THEIRS, Stage

PRIVATE = ("order", "execution", "position", "margin", "wallet")
PUBLIC = ("trade", "quote", "orderBookL2_25", "orderBookL2", "instrument")
DERIVED = ("position", "margin", "quote", "orderBookL2", "orderBookL2_25")
KEYS = {"order": "orderID", "position": "symbol", "margin": "currency", "orderBookL2_25": "id"}


class Turning(Stage):
    """A world that is told when a turn is over."""

    def __init__(self, **options):
        super().__init__(symbols=("XBTUSD",), **options)
        self.untold = []
        self.world.hub.turn.soon = self.untold.append

    def turn(self):
        while self.untold:
            self.untold.pop()()

    def request(self, verb, fields, key=MINE):
        body = json.dumps(fields).encode()
        headers = {"api-key": key.key, "api-expires": FAR, "content-type": "application/json"}
        headers["api-signature"] = sign(key.secret, verb, "/api/v1/order", FAR, body)
        asked = Request(
            verb=verb, path="/api/v1/order", target="/api/v1/order", query="", headers=headers,
            body=body, address="127.0.0.1",
        )  # fmt: skip
        found = self.world.api.act(self.world.api.admit(asked, self.now), self.now)
        return found.status, json.loads(found.body)

    def buy(self, contracts, price, key=MINE, **more):
        fields = {"symbol": "XBTUSD", "orderQty": contracts, "price": price, **more}
        return self.request("POST", fields, key)


@pytest.fixture
def turning():
    return Turning()


def lives(stage, each, seed):
    """Forty requests of two members, *each* of them in a turn; the answers, and what they heard."""
    draws = random.Random(seed)
    ears = [stage.ear(*PRIVATE, *PUBLIC, key=key) for key in (MINE, THEIRS)]
    heard = [ear.frames() for ear in ears]
    answers = []
    for number in range(40):
        key = draws.choice((MINE, THEIRS))
        if draws.random() < 0.2:
            answers.append(
                stage.request("DELETE", {"clOrdID": f"n{draws.randint(0, number)}"}, key)
            )
        else:
            side = draws.choice((1, -1))
            price = 61_250.5 - side * draws.choice((-1, 0, 0.1, 2))
            name = f"n{number}"
            answers.append(stage.buy(side * 100 * draws.randint(1, 4), price, key, clOrdID=name))
        if number % each == each - 1:
            stage.turn()
    for frames, ear in zip(heard, ears, strict=True):
        frames += ear.frames()
    return answers, heard


def rows_of(frames, table):
    return [
        (f["action"], row)
        for f in frames
        if f.get("table") == table and f["action"] != "partial"
        for row in f["data"]
    ]


def image(frames, table):
    """What a client has of a table in the end, by the rules of section 10."""
    found = {}
    for frame in (f for f in frames if f.get("table") == table):
        for row in frame["data"]:
            key = row[KEYS[table]]
            if frame["action"] == "delete":
                del found[key]
            elif frame["action"] == "update":
                found[key] = {**found[key], **row}
            else:
                assert frame["action"] == "partial" or key not in found
                found[key] = dict(row)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_turn_of_one_request_says_what_is_said_without_turns(seed):
    plain, turning = Stage(symbols=("XBTUSD",)), Turning()
    plain.turn, plain.request, plain.buy = (
        lambda: None, Turning.request.__get__(plain), Turning.buy.__get__(plain),
    )  # fmt: skip
    assert lives(turning, 1, seed) == lives(plain, 1, seed)


@pytest.mark.parametrize("seed", range(5))
def test_what_happens_to_each_order_is_told_alike_however_many_share_a_turn(seed):
    alone, together = lives(Turning(), 1, seed), lives(Turning(), 8, seed)
    assert together[0] == alone[0]  # answers: same market, same fills, same ids
    for one, many in zip(alone[1], together[1], strict=True):
        for table in ("order", "execution", "trade"):
            assert rows_of(many, table) == rows_of(one, table)


@pytest.mark.parametrize("seed", range(5))
def test_what_follows_is_the_same_in_the_end_and_told_less_often(seed):
    alone, together = lives(Turning(), 1, seed), lives(Turning(), 8, seed)
    for one, many in zip(alone[1], together[1], strict=True):
        for table in ("position", "margin", "orderBookL2_25"):
            assert image(many, table) == image(one, table)
        assert rows_of(many, "quote")[-1] == rows_of(one, "quote")[-1]
        count = [sum(f.get("table") in DERIVED for f in frames) for frames in (one, many)]
        assert count[1] * 2 < count[0]


def test_a_position_is_told_once_of_a_turn_in_which_it_went_there_and_back(turning):
    ear = turning.ear("position", key=MINE)
    turning.buy(300, 61_300)
    turning.turn()
    assert rows_of(ear.frames(), "position")[-1][1]["currentQty"] == 300
    turning.buy(500, 61_300)
    turning.buy(-500, 61_200)
    turning.turn()
    found = rows_of(ear.frames(), "position")
    assert len(found) == 1
    assert "currentQty" not in found[0][1]  # it is what it was
    assert turning.exchange.position(ME, "XBTUSD").qty == 300


def test_rows_of_a_member_share_a_frame_whatever_others_did_between_them(turning):
    ears = [turning.ear("execution", key=key) for key in (MINE, THEIRS)]
    for _ in range(3):
        turning.buy(100, 61_000, MINE)
        turning.buy(100, 61_000, THEIRS)
    turning.turn()
    for ear, account in zip(ears, (ME, OTHER), strict=True):
        [frame] = ear.tables("execution")
        assert [row["account"] for row in frame["data"]] == [account] * 3


def test_nothing_is_told_before_the_turn_is_over_and_all_of_it_then(turning):
    ear = turning.ear(*PRIVATE, key=MINE)
    ear.frames()
    status, row = turning.buy(100, 61_000)
    assert (status, row["ordStatus"]) == (200, "New")
    assert not ear.tables()
    turning.turn()
    assert {f["table"] for f in ear.tables()} == {"order", "execution", "position", "margin"}


def test_who_subscribes_in_the_middle_of_a_turn_hears_of_nothing_twice(turning):
    first = turning.ear("order", key=MINE)
    first.frames()
    turning.buy(100, 61_000)
    late = turning.ear("order", key=MINE)
    turning.buy(100, 61_001)
    turning.turn()
    assert len(rows_of(first.frames(), "order")) == 2
    frames = late.frames()
    assert [len(f["data"]) for f in frames if f.get("action") == "partial"] == [1]
    assert len(rows_of(frames, "order")) == 1


def test_time_and_the_control_door_come_after_the_turn_that_they_meet(turning):
    ear = turning.ear("order", "instrument", key=MINE)
    ear.frames()
    turning.buy(100, 61_000)
    turning.pass_ms(1_000)
    assert [f["table"] for f in ear.tables()] == ["order", "instrument"]
    turning.buy(100, 61_001)
    turning.exchange.markets["XBTUSD"].state = "Closed"
    turning.pass_ms(1_000)
    turning.turn()
    assert [f["table"] for f in ear.tables()] == ["order", "instrument"]


def test_where_faults_are_on_every_request_is_told_at_once():
    stage = Turning()
    ear = stage.ear("order", "margin", key=MINE)
    ear.frames()
    stage.buy(100, 61_000)
    stage.world.quirks.set("slow-read", 0.5)
    stage.buy(100, 61_001)  # ends the turn of the first, and waits for none
    assert len([f for f in ear.tables() if f["table"] == "margin"]) == 2
    stage.turn()
    assert not ear.tables()


def test_a_refused_order_tells_nothing_and_leaves_the_others_of_its_turn_alone(turning):
    ear = turning.ear("order", key=MINE)
    ear.frames()
    turning.buy(100, 61_000)
    assert turning.buy(100, 61_000.05)[0] == 400
    turning.buy(100, 61_001)
    turning.turn()
    assert [row["price"] for _, row in rows_of(ear.frames(), "order")] == [61_000, 61_001]
