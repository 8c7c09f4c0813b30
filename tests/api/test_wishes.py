"""HTTP: several targets, plans, modes and schedules: what is answered, what is refused."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal

import pytest

from reconciler.client import HttpDoor
from reconciler.errors import (
    LimitExceeded,
    NotFound,
    PlanExpired,
    Refused,
    UnknownSymbol,
    UsageError,
)
from reconciler.remote import Client
from reconciler.service.door import (
    ModeRequest,
    ScheduleEntry,
    ScheduleRequest,
    TargetRequest,
    TargetsRequest,
)
from tests.api.test_api import TARGET, TOKEN, Api

BASE = "/api/v1"
FAR = "2099-01-01T08:00:00Z"


@pytest.fixture
def api(tmp_path):
    served = Api(tmp_path)
    served.server.start()
    yield served
    served.server.stop()


@pytest.fixture
def client(api):
    door = HttpDoor(api.server.url, TOKEN)
    yield door
    door.close()


def test_several_targets_are_set_in_one_request(api):
    """What a row does not say, the whole says; with prune, what is not named is set to zero."""
    body = {
        "source": "trend",
        "reason": "close",
        "targets": [
            {"symbol": "XBTUSD", "contracts": 300},
            {"symbol": "ETHUSD", "by": 40, "source": "other"},
        ],
    }
    api.put({"contracts": 100})
    api.ask("PUT", f"{BASE}/targets/ETHUSD", {"contracts": 10})
    said = api.ask("PUT", f"{BASE}/targets", body)
    assert (said.status, said.json["changed"]) == (200, 2)
    kept = api.ask("GET", f"{BASE}/targets").json["rows"]
    assert sorted((row["symbol"], row["contracts"], row["source"]) for row in kept) == [
        ("ETHUSD", 50, "other"), ("XBTUSD", 300, "trend"),
    ]  # fmt: skip
    only = {"targets": [{"symbol": "XBTUSD", "contracts": 300}]}
    pruned = api.ask("PUT", f"{BASE}/targets?prune=1", only).json
    assert [(one["symbol"], one["contracts"], one["changed"]) for one in pruned["targets"]] == [
        ("XBTUSD", 300, False), ("ETHUSD", 0, True),
    ]  # fmt: skip


NO_REQUESTS = (
    ("/targets", {"targets": []}),
    ("/targets", {"targets": [{"contracts": 5}]}),
    ("/targets", {"targets": [{"symbol": "XBTUSD", "contracts": 5.0}]}),
    ("/targets", {"targets": [{"symbol": "XBTUSD", "notional": 500}]}),
    ("/targets?prune=yes", {"targets": [{"symbol": "XBTUSD", "contracts": 5}]}),
    ("/targets", {"targets": [{"symbol": "XBTUSD", "contracts": 5}] * 2}),
    ("/targets/XBTUSD", {"notional": "1e5"}),
    ("/targets/XBTUSD", {"contracts": 5, "deadline": "14:00"}),
    ("/targets/XBTUSD", {"contracts": 5, "price": "NaN"}),
    ("/targets/XBTUSD", {"notional": "500", "percent": "5"}),
    ("/schedules/day", {"rows": []}),
    ("/schedules/day", {"rows": [{"symbol": "XBTUSD", "contracts": 5}]}),
    ("/schedules/day", {"rows": [{"symbol": "XBTUSD", "contracts": 5, "at": "noon"}]}),
    ("/schedules/a b", {"rows": [{"symbol": "XBTUSD", "contracts": 5, "at": FAR}]}),
)


def test_what_is_no_request_is_refused_and_not_recorded(api):
    """A number as text where it has to be exact, a moment with its zone, each symbol once."""
    for path, body in NO_REQUESTS:
        said = api.ask("PUT", f"{BASE}{path}".replace(" ", "%20"), body)
        assert (said.status, said.json["code"]) == (400, "bad_request"), (path, body)
    assert api.events() == 0


def test_one_that_is_refused_refuses_them_all_and_is_recorded(api):
    """With its symbol, its number and the rule; nothing else of the request is stored."""
    body = {
        "targets": [{"symbol": "ETHUSD", "contracts": 5}, {"symbol": "XBTUSD", "contracts": 99_999}]
    }
    said = api.ask("PUT", f"{BASE}/targets", body)
    assert (said.status, said.json["code"]) == (422, "limit_exceeded")
    assert api.targets() == []
    assert api.refusals() == [("http", 99_999, "limit_exceeded")]


def test_a_refusal_that_is_repeated_is_recorded_once_a_second(api):
    """A strategy that knocks without end leaves no journal without end; another one is kept."""
    for contracts in (99_999, 99_999, 99_999, 88_888):
        assert api.put({"contracts": contracts, "source": "bot"}).status == 422
    kept = api.refusals()
    assert kept[-1] == ("bot", 88_888, "limit_exceeded")
    assert kept.count(("bot", 99_999, "limit_exceeded")) <= 2  # the machine may be slow


def test_a_target_is_forgotten(api):
    """Nothing is wanted any more; of nothing there is nothing to forget."""
    assert api.ask("DELETE", TARGET).status == 404
    api.put({"contracts": 300})
    said = api.ask("DELETE", TARGET, {"reason": "done", "by": "me"})
    assert said.status == 200
    assert "unwatched" in said.json["note"]
    assert api.ask("GET", TARGET).status == 404
    assert api.ask("DELETE", TARGET, {"symbols": ["ETHUSD"]}).status == 400


def test_modes_have_routes_for_the_account_and_for_a_symbol(api):
    """What was done is told, and stands in the status; a path and a body have to agree."""
    said = api.ask("POST", f"{BASE}/symbols/XBTUSD/pause", {"by": "me", "until": FAR})
    assert (said.json["did"], said.json["symbols"]) == ("paused", ["XBTUSD"])
    assert said.json["until"] == "2099-01-01T08:00:00.000Z"
    assert api.ask("POST", f"{BASE}/reduce-only", {"reason": "lunch"}).json["did"] == "reduce-only"
    modes = api.ask("GET", f"{BASE}/status").json["modes"]
    assert [(mode["symbol"], mode["mode"], mode["why"]) for mode in modes] == [
        ("", "reduce_only", "lunch (http)"), ("XBTUSD", "pause", "by me"),
    ]  # fmt: skip
    assert api.ask("POST", f"{BASE}/symbols/XBTUSD/resume").json["did"] == "resumed"
    assert "reduce only" in api.ask("POST", f"{BASE}/symbols/XBTUSD/resume").json["note"]
    assert api.ask("POST", f"{BASE}/flatten").json["did"] == "flattened"
    assert api.ask("POST", f"{BASE}/freeze", {"until": FAR}).json["until"].startswith("2099-")
    assert api.ask("POST", f"{BASE}/pause", {"until": "2020-01-01T00:00:00Z"}).status == 400
    assert api.ask("POST", f"{BASE}/pause", {"adopt": True}).status == 400
    assert api.ask("POST", f"{BASE}/pause", {"by": "\ud800"}).status == 400
    assert api.ask("POST", f"{BASE}/symbols/XBTUSD/pause", {"symbols": ["ETHUSD"]}).status == 400
    assert api.ask("POST", f"{BASE}/symbols/DOGE/pause").status == 422
    assert api.ask("POST", f"{BASE}/halt", {"until": FAR}).json["until"] is not None


def test_a_plan_is_made_and_belongs_to_a_running_service(api):
    """201 with its rows; without a service nobody remembers it: 410."""
    said = api.ask("POST", f"{BASE}/plans", {"targets": [{"symbol": "XBTUSD", "contracts": 300}]})
    [row] = said.json["rows"]
    assert (said.status, row["gap"], row["refused"]) == (201, 300, "")
    over = {"targets": [{"symbol": "XBTUSD", "contracts": 99_999}]}
    [row] = api.ask("POST", f"{BASE}/plans", over).json["rows"]
    assert (row["refused"], "max_position_contracts" in row["limits"]) == ("limit_exceeded", True)
    assert api.ask("POST", f"{BASE}/plans/ABC/apply").status == 410
    assert api.events() == 0


def test_schedules_are_put_listed_and_deleted(api):
    """By name; one that cannot be is refused, and the one before stays."""
    path = f"{BASE}/schedules/day"
    rows = [
        {"symbol": "XBTUSD", "contracts": 300, "at": FAR, "name": "open"},
        {"symbol": "XBTUSD", "contracts": 0, "after": "open", "delay_s": 60},
    ]
    assert api.ask("PUT", path, {"rows": rows}).json["next_at"] == "2099-01-01T08:00:00.000Z"
    said = api.ask("PUT", path, {"rows": [rows[1] | {"name": "open"}]})
    assert (said.status, "goes in a circle" in said.json["detail"]) == (422, True)
    [shown] = api.ask("GET", f"{BASE}/schedules").json["rows"]
    assert [row["at"][11:19] for row in shown["rows"]] == ["08:00:00", "08:01:00"]
    assert api.ask("GET", path).json == shown
    assert api.ask("DELETE", path).json["rows"] == []
    assert [api.ask(method, path).status for method in ("GET", "DELETE")] == [404, 404]


def test_the_client_asks_the_same_and_raises_the_same(client):
    """One meaning, many doors."""
    one = TargetRequest(symbol="XBTUSD", contracts=300, source="py", key="", reason="up")
    assert client.set_targets(TargetsRequest(targets=(one,))).changed == 1
    over = TargetRequest(symbol="XBTUSD", contracts=99_999)
    with pytest.raises(LimitExceeded):
        client.set_targets(TargetsRequest(targets=(over,)))
    with pytest.raises(Refused, match="so money is no number of contracts"):
        client.set_target(TargetRequest(symbol="XBTUSD", notional="500"))
    with pytest.raises(UsageError, match="price is 'x', which is no number"):
        client.set_target(TargetRequest(symbol="XBTUSD", contracts=5, price="x"))
    assert client.plan(TargetsRequest(targets=(one,)))["rows"][0]["unchanged"]
    with pytest.raises(PlanExpired):
        client.apply_plan("ABC")
    assert client.set_mode(ModeRequest(mode="reduce_only", by="py")).did == "reduce-only"
    with pytest.raises(UnknownSymbol):
        client.set_mode(ModeRequest(mode="pause", by="py", symbols=("DOGE",)))
    row = ScheduleEntry(symbol="XBTUSD", contracts=5, at=FAR)
    assert client.set_schedule(ScheduleRequest(name="day", rows=(row,))).done == 0
    assert [one.name for one in client.schedules()] == ["day"]
    client.set_schedule(ScheduleRequest(name="day", rows=()))
    assert client.schedules() == []
    assert client.forget_target("XBTUSD", by="py").version == 2
    with pytest.raises(NotFound):
        client.forget_target("XBTUSD", by="py")
    assert client.halt(by="py", reason="", until=FAR).until is not None


def test_a_program_says_numbers_as_it_has_them_and_reads_its_rows(api):
    """Nothing is lost as a float; a duration is what the command line takes for one, too."""
    with closing(Client(api.server.url, TOKEN)) as rc:
        xbt = rc.target("XBTUSD", source="bot", ttl="1h30m")
        done = xbt.set(300, price=Decimal("64231.50"))
        assert done.expires_at is not None
        (row,) = rc.rows("targets", history=1, symbol="XBTUSD")
        assert (row["source"], row["price"]) == ("bot", "64231.5")
        for forms in ({"notional": 5000}, {"percent": Decimal("1E+1")}):  # nobody knows a price
            with pytest.raises(Refused, match="its contract is not known yet"):
                xbt.set(**forms)
        for text in ("", "5", "1h30", "h", "1.5h"):
            with pytest.raises(UsageError, match="is not a duration"):
                rc.target("XBTUSD", source="bot", ttl=text)
        with pytest.raises(UsageError, match="no blank at its ends"):
            rc.door.set_target(TargetRequest(symbol="XBTUSD", contracts=1, key=" a"))
