"""A real service and a real exchange: plans, modes, schedules, and two doors at one moment."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from typing import Any

import pytest

from reconciler import Client
from reconciler.cli import main
from reconciler.client import HttpDoor
from reconciler.embedded import Reconciler
from reconciler.errors import (
    CannotDecide,
    NotFound,
    PlanExpired,
    PlanMoved,
    Refused,
    StaleVersion,
    UsageError,
    WaitTimeout,
)
from reconciler.service.door import (
    ModeRequest,
    ScheduleEntry,
    ScheduleRequest,
    TargetRequest,
    TargetsRequest,
)
from reconciler.service.moments import iso

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running() -> Iterator[Reconciler]:
    """One service for all of them: each test has symbols and sources of its own."""
    with Reconciler.simulated(symbols=["XBTUSD", "ETHUSD"], seed=7) as service:
        yield service


def rows(service: Reconciler, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{service.database}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def until(look: Any, within_s: float = 15) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def test_two_doors_at_one_moment_leave_one_winner_and_both_in_the_audit(
    running: Reconciler,
) -> None:
    """Both read the same version and both write: one is recorded, the other refused, none lost."""
    doors = [HttpDoor(running.api_url, running.token) for _ in range(2)]
    won: list[int] = []
    lost: list[int] = []
    for number in range(8):
        version = running.status()["ETHUSD"]["version"]
        gate = threading.Barrier(2)

        def ask(which: int, version: int = version, gate: threading.Barrier = gate) -> None:
            contracts = 10 * (2 * len(won) + which + 1)
            request = TargetRequest(
                symbol="ETHUSD", contracts=contracts, source=f"door {which}", if_version=version
            )
            gate.wait(10)
            try:
                won.append(doors[which].set_target(request).contracts)
            except StaleVersion:
                lost.append(contracts)

        threads = [threading.Thread(target=ask, args=(which,)) for which in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert (len(won), len(lost)) == (number + 1, number + 1)
        assert running.status()["ETHUSD"]["target"] == won[-1]
    for door in doors:
        door.close()
    kept = "WHERE source LIKE 'door %' ORDER BY"
    assert rows(running, f"SELECT contracts FROM targets {kept} target_id") == [(n,) for n in won]
    refused = f"SELECT contracts, code FROM refusals {kept} seq"
    assert rows(running, refused) == [(n, "stale_version") for n in lost]


def test_a_plan_is_what_happens_and_holds_only_while_nothing_moves(running: Reconciler) -> None:
    """Shown, then applied by its id, once; what was set meanwhile makes it void."""
    targets = (TargetRequest(symbol="XBTUSD", contracts=700, source="planner", policy="urgent"),)
    plan = running.door.plan(TargetsRequest(targets=targets))
    [row] = plan["rows"]
    assert (row["position"], row["target"], row["gap"]) == (0, 700, 700)
    assert row["first_order"].startswith("Buy 700 @ ")
    assert (row["limits"], row["worst_case"]) == ("ok", [0, 700])
    assert float(row["cost_bps"]) > 0
    assert rows(running, "SELECT count(*) FROM targets WHERE source = 'planner'") == [(0,)]
    done = running.door.apply_plan(plan["plan_id"])
    assert [(one.contracts, one.changed) for one in done.targets] == [(700, True)]
    running.wait_on_target("XBTUSD")
    assert running.exchange.position("XBTUSD") == 700
    with pytest.raises(PlanExpired):
        running.door.apply_plan(plan["plan_id"])

    void = running.door.plan(TargetsRequest(targets=targets[:0], prune=True))
    running.set_target("XBTUSD", 800)
    with pytest.raises(PlanMoved, match="XBTUSD has moved since: version was"):
        running.door.apply_plan(void["plan_id"])
    running.wait_on_target("XBTUSD")


def test_money_is_turned_into_contracts_at_the_price_of_now(running: Reconciler) -> None:
    """500 dollars are 500 contracts of XBTUSD; the form that was asked in is kept."""
    done = running.door.set_target(
        TargetRequest(symbol="XBTUSD", notional="500.7", source="money", policy="urgent")
    )
    assert done.contracts == 500
    asked = "SELECT asked FROM targets WHERE source = 'money'"
    assert rows(running, asked)[0][0].startswith("notional 500.7 USD at ")
    until(lambda: rows(running, "SELECT count(*) FROM equity WHERE currency = 'XBt'") != [(0,)])
    part = running.door.set_target(
        TargetRequest(symbol="XBTUSD", percent="0.01", source="money", policy="urgent")
    )
    assert 0 < part.contracts < 5_000
    running.wait_on_target("XBTUSD")
    assert running.exchange.position("XBTUSD") == part.contracts


def test_a_pause_takes_the_order_away_and_a_flatten_closes_for_good(running: Reconciler) -> None:
    """Nothing rests after a pause; after a flatten a strategy that talks on opens nothing."""
    door = running.door
    running.set_target("XBTUSD", 900, policy="passive")
    paused = door.set_mode(ModeRequest(mode="pause", by="test", symbols=("XBTUSD",)))
    assert (paused.did, paused.resting) == ("paused", ())
    assert running.exchange.open_orders("XBTUSD") == []
    held = running.exchange.position("XBTUSD")
    assert "paused" in running.status()["XBTUSD"]["waiting_for"]
    assert door.status()["modes"][0]["mode"] == "pause"
    assert "pause XBTUSD: by test" in shown(running)
    flat = door.set_mode(ModeRequest(mode="flatten", by="test", symbols=("XBTUSD",)))
    assert flat.did == "flattened"
    until(lambda: running.exchange.position("XBTUSD") == 0, 90)
    running.set_target("XBTUSD", 900)
    until(lambda: "would add" in running.status()["XBTUSD"]["waiting_for"])
    assert running.exchange.position("XBTUSD") == 0
    door.resume(by="test", reason="", symbols=("XBTUSD",))
    running.wait_on_target("XBTUSD")
    assert running.exchange.position("XBTUSD") == 900
    assert held <= 900


def test_who_trades_by_hand_under_a_freeze_adopts_what_is_held(running: Reconciler) -> None:
    """The target becomes the position, in that person's name; an ignored freeze would stay one."""
    door = running.door
    running.set_target("ETHUSD", 30)
    running.wait_on_target("ETHUSD")
    door.set_mode(ModeRequest(mode="freeze", by="ann", symbols=("ETHUSD",)))
    running.exchange.trade("ETHUSD", -10)
    until(lambda: running.status()["ETHUSD"]["position"] == 20)
    (incident,) = door.status()["incidents"]
    name = f"INC-{incident['incident_id']}"
    with pytest.raises(CannotDecide):
        door.resolve(name, "ignore", by="ann", reason="by hand")
    until(lambda: adopted(running, name))
    status = running.status()["ETHUSD"]
    assert (status["position"], status["target"], running.exchange.position("ETHUSD")) == (20,) * 3
    assert door.status()["incidents"] == []
    (row,) = [r for r in door.rows("incidents") if r["incident_id"] == incident["incident_id"]]
    assert (row["decision"], row["decided_by"]) == ("adopted: by hand", "ann")
    running.wait_on_target("ETHUSD")


def adopted(service: Reconciler, name: str) -> bool:
    """Whether it could be adopted by now: the venue's row may be a moment behind."""
    try:
        service.door.resolve(name, "adopt", by="ann", reason="by hand")
    except CannotDecide:
        return False
    return True


def test_a_program_says_targets_and_waits_for_them(running: Reconciler) -> None:
    """The client of a script: set, wait, look; a repeat writes nothing; errors are of one tree."""
    with closing(Client(database=running.database)) as rc:
        xbt = rc.target("XBTUSD", source="script", policy="urgent")
        assert xbt.set(300, reason="up").changed
        assert not xbt.set(300, reason="up").changed
        assert xbt.wait(timeout_s=30)["position"] == 300
        version = xbt.set(by=-100).version
        assert rows(running, f"SELECT contracts, key <> '' FROM targets WHERE version = {version} "
                             "AND symbol = 'XBTUSD'") == [(200, 1)]  # fmt: skip
        with pytest.raises(StaleVersion):
            xbt.set(400, if_version=version - 1)
        plan = rc.plan({"XBTUSD": 200, "ETHUSD": 7}, source="script")
        assert [row["unchanged"] for row in plan.rows] == [False, False]  # another policy
        assert sorted(one.contracts for one in plan.apply()) == [7, 200]
        assert rc.set_many({"ETHUSD": 8}, source="script")[0].contracts == 8
        assert rc.pause("ETHUSD", reason="lunch").did == "paused"
        with pytest.raises(WaitTimeout, match="ETHUSD is still idle, waiting for resume: paused"):
            rc.wait("ETHUSD", timeout_s=0.2)
        assert rc.resume("ETHUSD").did == "resumed"
        assert "unwatched" in rc.forget("ETHUSD").note
        with pytest.raises(NotFound):
            rc.symbol("DOGE")
        with pytest.raises(UsageError, match="is not a duration"):
            rc.target("XBTUSD", source="script", ttl="2 hours")


def shown(service: Reconciler) -> str:
    """What `reconciler status` says to a person."""
    with redirect_stdout(io.StringIO()) as said:
        assert main(["--database", f"sqlite:///{service.database}", "status"]) == 0
    return said.getvalue()


def test_of_several_targets_one_that_is_refused_refuses_them_all(running: Reconciler) -> None:
    """And which, and why, is kept; nothing else is."""
    before = rows(running, "SELECT count(*) FROM targets")
    with pytest.raises(Refused, match="XBTUSD: no policy is called 'brave'"):
        running.door.set_targets(
            TargetsRequest(
                targets=(
                    TargetRequest(symbol="ETHUSD", contracts=11, source="many"),
                    TargetRequest(symbol="XBTUSD", contracts=11, source="many", policy="brave"),
                )
            )
        )
    assert rows(running, "SELECT count(*) FROM targets") == before
    assert rows(running, "SELECT symbol, contracts, code FROM refusals WHERE source = 'many'") == [
        ("XBTUSD", 11, "refused")
    ]


def test_a_schedule_is_kept_over_a_kill(running: Reconciler) -> None:
    """Killed before its rows are due: the newest that came due meanwhile is set, and once."""
    running.door.resume(by="test", reason="")
    begin_us = time.time_ns() // 1000

    def row(milliseconds: int, contracts: int) -> ScheduleEntry:
        at = iso(begin_us + milliseconds * 1000)
        return ScheduleEntry(symbol="ETHUSD", contracts=contracts, at=at, policy="urgent")

    running.door.set_schedule(
        ScheduleRequest(name="day", rows=(row(900, 40), row(1_000, 50)), source="plan")
    )
    running.kill()
    until(lambda: time.time_ns() // 1000 > begin_us + 1_000_000)
    running.start()
    until(lambda: running.status()["ETHUSD"]["target"] == 50)
    running.wait_on_target("ETHUSD")
    assert running.exchange.position("ETHUSD") == 50
    assert running.door.schedules()[0].done == 2
    sets = "SELECT contracts, schedule FROM targets WHERE source = 'plan'"
    assert rows(running, sets) == [(50, "day/1")]
    refused = "SELECT contracts, code, text FROM refusals WHERE source = 'plan'"
    assert rows(running, refused) == [
        (40, "superseded", "schedule day/0: day/1 of the same symbol has come due since")
    ]
