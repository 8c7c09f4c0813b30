"""`resolve`, and how incidents are listed and described: with no service, and over HTTP."""

from __future__ import annotations

import json

import pytest

from reconciler.core.events import StrategyChanged
from reconciler.errors import CannotDecide, NotFound, UsageError
from reconciler.journal import Journal
from reconciler.service.clock import SteadyClock
from reconciler.service.engine import Engine
from tests.api.test_api import (
    Api,
    client,  # noqa: F401  (a fixture)
)
from tests.api.test_wishes import BASE

BY = "seen it"


def fail(database, strategy="Ema_1"):
    """A strategy fails: an incident that stops nothing."""
    clock = SteadyClock()
    journal = Journal.open(database, account="main", durability="process")
    engine = Engine(journal.recover().ledger, journal, clock.now_us)
    event = StrategyChanged(at_us=clock.now_us(), strategy=strategy, state="failed", detail="1/0")
    engine.handle([event])
    journal.close(engine.ledger)


def told(run, name="INC-1"):
    return run("describe", "incident", name).out


def test_what_stops_nothing_is_ignored_in_a_person_s_name(run, database):
    """The listing and the description tell who decided what, and why."""
    assert run("pause", "XBTUSD").code == 0
    fail(database)
    assert "open: reconciler resolve INC-1 (--adopt | --trade-back | --ignore)" in told(run)
    ended = run("resolve", "INC-1", "--ignore", "--reason", BY)
    assert (ended.code, ended.out) == (0, "INC-1  ignored: strategy_failed of Ema_1\n")
    (row,) = json.loads(run("get", "incidents", "-o", "json").out)
    assert (row["decision"], row["kind"]) == (f"ignored: {BY}", "strategy_failed")
    assert row["decided_by"].startswith("cli")
    assert f"closed by {row['decided_by']}: ignored: {BY}" in told(run)
    ended = run("resolve", "inc-1", "--ignore", "--reason", BY)
    assert (ended.code, "INC-1 is closed already" in ended.err) == (4, True)
    assert run("status", "-o", "json").code == 0
    assert json.loads(run("status", "-o", "json").out)["incidents"] == []


def test_without_a_service_nobody_knows_the_venue_s_figure(run):
    """What is frozen stays so, and the message says what to do."""
    assert run("freeze", "ETHUSD", "--reason", "odd").code == 0
    for way in ("--adopt", "--trade-back"):
        ended = run("resolve", "INC-1", way, "--reason", BY)
        assert (ended.code, ended.out) == (8, "")
        assert "the venue's position is not known. Start `reconciler run`" in ended.err
    ended = run("resolve", "INC-1", "--ignore", "--reason", BY)
    assert ended.code == 5
    assert "INC-1, by_hand of ETHUSD: it freezes ETHUSD, which stays frozen" in ended.err
    assert "closed" not in told(run)
    assert run("resume", "-y", "--reason", "looked").code == 0
    assert "resumed: looked" in told(run)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("INC-7", "--ignore", "--reason", "x"), 4, "there is no incident INC-7"),
        (("rubbish", "--ignore", "--reason", "x"), 4, "'rubbish' is the name of no incident"),
        (("INC-1", "--ignore"), 2, "a decision needs a reason"),
        (("INC-1", "--reason", "x"), 2, "Say --adopt, --trade-back or --ignore"),
        (("INC-1", "--ignore", "--adopt", "--reason", "x"), 2, "one of three"),
        ((), 2, "INCIDENT"),
    ],
)
def test_what_is_no_decision_is_refused_and_nothing_is_written(run, stored, words, code, said):
    """Unknown, closed, without a reason, without a choice: each says which."""
    run("freeze", "ETHUSD")
    before = stored()
    ended = run("resolve", *words)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert stored() == before


def test_an_unknown_incident_cannot_be_described(run):
    """And the next step is the listing."""
    run("freeze", "ETHUSD")
    ended = run("describe", "incident", "INC-9")
    assert ended.code == 4
    assert "reconciler get incidents" in ended.err


@pytest.fixture
def api(tmp_path):
    served = Api(tmp_path)
    served.server.start()
    yield served
    served.server.stop()


def test_over_http_a_decision_is_the_same(api, client):  # noqa: F811
    """200 with what became of it; 409 for what cannot be decided so, 404 for what is not open."""
    api.ask("POST", f"{BASE}/pause", {"symbols": ["XBTUSD"]})
    fail(api.database)
    said = api.ask("POST", f"{BASE}/incidents/INC-1/resolve", {"decision": "ignore"})
    assert (said.status, said.json["code"]) == (400, "bad_request")
    said = api.ask(
        "POST", f"{BASE}/incidents/INC-1/resolve", {"decision": "ignore", "reason": BY, "by": "eve"}
    )
    assert (said.status, said.json["kind"], said.json["decision"]) == (
        *(200, "strategy_failed", "ignore"),
    )
    (row,) = client.rows("incidents")
    assert (row["decision"], row["decided_by"]) == (f"ignored: {BY}", "eve")
    api.ask("POST", f"{BASE}/freeze", {"symbols": ["XBTUSD"]})
    body = {"decision": "ignore", "reason": BY}
    said = api.ask("POST", f"{BASE}/incidents/2/resolve", body)
    assert (said.status, said.json["code"]) == (409, "cannot_decide")
    assert api.ask("POST", f"{BASE}/incidents/1/resolve", body).status == 404
    assert api.ask("POST", f"{BASE}/incidents/..%2F2/resolve", body).status == 404
    for incident, decision, kind in (
        ("INC-2", "ignore", CannotDecide),
        ("INC-1", "ignore", NotFound),
        ("a/b?c", "ignore", NotFound),
        ("INC-2", "shrug", UsageError),
    ):
        with pytest.raises(kind):
            client.resolve(incident, decision, by="eve", reason=BY)
