"""The views: the documented columns, and right numbers in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.journal import History
from tests.journal.making import T0, changed, execution, fill, moved, opened, place, started, target

COLUMNS = {
    "v_status": "account, symbol, state, waiting_for, target, position, gap, working, worst_short,"
    " worst_long, entry_price, mark_price, source, policy, version, state_since, updated_at",
    "v_targets": "target_id, account, symbol, contracts, change, policy, source, reason, version,"
    " outcome, set_at, expires_at, closed_at, life_ms, deadline_at, price, asked, schedule",
    "v_executions": "target_id, account, symbol, set_at, change, target, source, policy, outcome,"
    " orders, fills, traded_contracts, vwap, arrival_price, slippage_bps, maker_share, fee_minor,"
    " realised_pnl_minor, first_fill_ms, duration_ms",
    "v_orders": "cl_ord_id, venue_order_id, account, symbol, side, contracts, price, order_type,"
    " status, filled_contracts, leaves_contracts, target_id, policy, stage, policy_version,"
    " created_at, queue_ms, ack_ms, life_ms, reason",
    "v_fills": "exec_id, at, at_ms, account, symbol, side, contracts, signed_contracts, price,"
    " fee_minor, realised_pnl_minor, currency, liquidity, cl_ord_id, target_id, feed_delay_ms,"
    " running_contracts",
    "v_transitions": "seq, at, at_ms, account, symbol, trigger, from_state, to_state, dwell_ms,"
    " target_id, cl_ord_id, cause_seq, run_id, detail",
    "v_incidents": "incident_id, opened_at, closed_at, severity, kind, account, symbol, summary,"
    " decision, decided_by, age_s",
    "v_daily": "account, symbol, currency, day, fills, volume, net_contracts, fee_minor,"
    " funding_minor, realised_pnl_minor, maker_share, on_target_share",
    "v_equity": "at, at_ms, account, currency, wallet_minor, margin_minor, unrealised_minor",
    "v_runs": "run_id, started_at, ended_at, exit_reason, version, environment, host,"
    " recovered_events, in_doubt_at_start",
    "v_signals": "number, at, at_ms, account, strategy, symbol, strength, price, reason",
    "v_shares": "target_id, at, at_ms, account, symbol, version, strategy, contracts, weight,"
    " signal, strength, reason",
    "v_fill_shares": "seq, at, at_ms, account, symbol, strategy, contracts, price, cost_minor,"
    " fee_minor, realised_pnl_minor, currency, running_contracts, exec_id, cl_ord_id",
    "v_strategies": "account, strategy, symbol, position, realised_pnl_minor,"
    " unrealised_pnl_minor, fee_minor, funding_minor, currency, fills, traded_contracts, signal,"
    " strength, signalled_at, reason, state, updated_at",
    "v_refusals": "seq, at, at_ms, account, symbol, contracts, source, code, text, reason, key",
    "v_modes": "seq, at, at_ms, account, symbol, mode, by, reason, until_at",
    "v_schedules": "seq, set_at, account, name, n, due_at, symbol, contracts, policy, source,"
    " reason, in_force, target_id",
}

ORDER_ID = "5d1f0c7e-2b9a-4c61-9a54-0f2d6a7c1e01"


def instrument(symbol: str, inverse: bool) -> e.InstrumentSeen:
    return e.InstrumentSeen(
        at_us=T0, symbol=symbol, open=True, state="Open", lot=100, tick=Decimal("0.5"),
        max_contracts=None, max_price=None, inverse=inverse, quanto=False, multiplier=1,
        settle_currency="XBt", quote_currency="USD", maker_fee=Decimal("-0.0001"),
        taker_fee=Decimal("0.0005"),
    )  # fmt: skip


def tell(path: Path, for_s: int = 3_600) -> None:
    """One target of 300 XBTUSD: one order, two fills, held after 2 s; what the views show of it."""
    us = 1_000_000
    first = execution(1, "XBTUSD", 100, T0 + us, "50000", order_id=ORDER_ID, cl_ord_id="rc-1",
                      cost_minor=-200_000, currency="XBt", fee_minor=-20)  # fmt: skip
    second = execution(2, "XBTUSD", 200, T0 + 2 * us, "51000", order_id=ORDER_ID,
                       cl_ord_id="rc-1", cost_minor=-392_157, currency="XBt", fee_minor=196,
                       liquidity="taker")  # fmt: skip
    wish = target("XBTUSD", 300, 7, T0, reason="trend", policy="passive")
    order = place(1, "rc-1", "XBTUSD", 300, wish, "51000")
    order = msgspec.structs.replace(order, stage="join", policy_version="c0ffee00")
    seen = {"venue_order_id": ORDER_ID, "price": None}
    held = d.TargetHeld(symbol="XBTUSD", version=7, contracts=300, position=300)
    books = d.PositionMoved(symbol="XBTUSD", contracts=300, venue_contracts=300, anchor=0,
                            worst_short=300, worst_long=300)  # fmt: skip
    waits = d.WaitingFor(symbol="XBTUSD", what="fill")
    opened_incident = d.IncidentOpened(incident_id=3, severity="warning", type="lag",
                                       symbol="XBTUSD", summary="late")  # fmt: skip
    closed_incident = d.IncidentClosed(incident_id=3, decision="repaired", by="core")
    funding = d.CashBooked(exec_id="f1", symbol="XBTUSD", contracts=300, price=None, fee_minor=50,
                           currency="XBt", venue_us=T0 + 3 * us)  # fmt: skip
    margin = {"currency": "XBt", "margin_minor": 10, "available_minor": 5, "unrealised_minor": -3}
    ack = e.Tick(at_us=T0 + 40_000)
    with opened(path) as journal:
        journal.record([
            (started(1), [], []),
            (instrument("XBTUSD", True), [], []),
            (wish, [order], [moved("XBTUSD", "place", "idle", "placing", "rc-1", 7, 1_500)]),
            (ack, [], [
                changed("rc-1", "XBTUSD", "working", **seen),
                moved("XBTUSD", "accept", "placing", "working", "rc-1", 7, 40_000), waits,
            ]),
            (first, [], [fill(first, 100, 7), opened_incident]),
            (second, [], [
                fill(second, 300, 7), changed("rc-1", "XBTUSD", "closed", 300, **seen), books,
                held, moved("XBTUSD", "complete", "working", "idle", "rc-1", 7, 1_960_000),
                d.WaitingFor(symbol="XBTUSD", what=""), closed_incident,
            ]),
            (e.Tick(at_us=T0 + 3 * us), [], [funding]),
            (e.Answered(at_us=T0 + 3 * us, request_id=1, outcome=e.Outcome.DONE), [], []),
            (e.MarginSeen(at_us=T0 + 3 * us, wallet_minor=99, **margin), [], []),
            (e.MarginSeen(at_us=T0 + 4 * us, wallet_minor=99, **margin), [], []),
            (e.MarginSeen(at_us=T0 + 5 * us, wallet_minor=98, **margin), [], []),
            (e.PositionSeen(at_us=T0 + 5 * us, symbol="XBTUSD", contracts=300, venue_us=T0,
                            source=e.Source.STREAM, entry_price=Decimal("50662.3")), [], []),
            (e.Quoted(at_us=T0 + 4 * us, symbol="XBTUSD", bid=None, ask=None,
                      mark=Decimal("50999.5")), [], []),
            (e.Tick(at_us=T0 + for_s * us), [], []),
        ])  # fmt: skip


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    path = tmp_path_factory.mktemp("views") / "journal.db"
    tell(path)
    with History.open(path) as found:
        yield found


def only(history: History, view: str) -> dict[str, Any]:
    (row,) = history.rows(view).dicts()
    return row


@pytest.mark.parametrize("view", sorted(COLUMNS))
def test_each_view_has_the_documented_columns(history: History, view: str) -> None:
    """Names and order of columns are the contract of `interfaces.md` section 7."""
    assert history.rows(view).columns == tuple(COLUMNS[view].split(", "))


def test_no_other_views(history: History) -> None:
    """Every view of the database is a documented one."""
    found = history.query("SELECT name FROM sqlite_master WHERE type = 'view'").values
    assert {row[0] for row in found} == set(COLUMNS)


def test_status_shows_the_present(history: History) -> None:
    """Target, position and gap are whole numbers; prices are doubles; nothing is waited for."""
    row = only(history, "v_status")
    shown = {key: row[key] for key in ("state", "waiting_for", "target", "position", "gap")}
    assert shown == {
        "state": "idle", "waiting_for": "", "target": 300, "position": 300, "gap": 0
    }  # fmt: skip
    assert (row["mark_price"], row["entry_price"]) == (50999.5, 50662.3)
    assert (row["worst_short"], row["worst_long"], row["working"]) == (300, 300, "")
    assert (row["account"], row["source"], row["version"]) == ("main", "test", 7)


def test_executions_weigh_inverse_prices_harmonically(history: History) -> None:
    """100 contracts at 50000 and 200 at 51000, bought from a mid of 100, are far worse than it."""
    row = only(history, "v_executions")
    vwap = 300 / (100 / 50_000 + 200 / 51_000)
    assert row["vwap"] == pytest.approx(vwap, rel=1e-12)
    assert row["arrival_price"] == 100.0
    assert row["slippage_bps"] == pytest.approx((vwap - 100) / 100 * 10_000)
    assert (row["orders"], row["fills"], row["traded_contracts"]) == (1, 2, 300)
    assert (row["fee_minor"], row["maker_share"]) == (176, pytest.approx(1 / 3))
    assert (row["first_fill_ms"], row["duration_ms"], row["outcome"]) == (1000.0, 2000.0, "held")


def test_orders_show_how_long_each_part_took(history: History) -> None:
    """Acknowledged after 40 ms, 960 ms in the queue, over after two seconds."""
    row = only(history, "v_orders")
    assert (row["ack_ms"], row["queue_ms"], row["life_ms"]) == (40.0, 960.0, 2000.0)
    assert (row["side"], row["contracts"], row["price"]) == ("Buy", 300, 51000.0)
    assert (row["filled_contracts"], row["leaves_contracts"]) == (300, 0)
    assert row["venue_order_id"] == ORDER_ID
    assert row["order_type"] == "Limit, post-only"
    assert row["target_id"] == 3


def test_orders_show_by_which_stage_of_which_policy_they_were_priced(history: History) -> None:
    """A policy that was changed since has the same name, and another version."""
    row = only(history, "v_orders")
    assert (row["policy"], row["stage"], row["policy_version"]) == ("passive", "join", "c0ffee00")


def test_fills_carry_sign_delay_and_running_position(history: History) -> None:
    """The newest fill comes first; ids read as the venue wrote them."""
    newest, oldest = history.rows("v_fills").dicts()
    assert newest["exec_id"] == "a0c4e7d2-61b8-4a7c-8d12-000000000002"
    assert (newest["signed_contracts"], newest["running_contracts"]) == (200, 300)
    assert (newest["feed_delay_ms"], newest["price"]) == (2.5, 51000.0)
    assert oldest["at"] == "2026-11-18T11:06:40.997Z"
    assert oldest["at_ms"] == (T0 + 1_000_000 - 2_500) // 1000
    assert {row["target_id"] for row in (newest, oldest)} == {3}


def test_transitions_say_how_long_and_why(history: History) -> None:
    """Dwell times are milliseconds; each names its event, its target and its run."""
    rows = history.rows("v_transitions", newest_first=False).dicts()
    assert [row["dwell_ms"] for row in rows] == [1.5, 40.0, 1960.0]
    assert [row["trigger"] for row in rows] == ["place", "accept", "complete"]
    assert {(row["run_id"], row["target_id"]) for row in rows} == {("run-1", 3)}
    assert all(row["seq"] == row["cause_seq"] for row in rows)


def test_a_day_adds_up(history: History) -> None:
    """Fills, fees and funding of a day; on target since the second second of the first hour."""
    row = only(history, "v_daily")
    assert (row["day"], row["fills"], row["volume"], row["net_contracts"]) == (
        "2026-11-18", 2, 300, 300
    )  # fmt: skip
    assert (row["fee_minor"], row["funding_minor"]) == (176, 50)
    assert row["realised_pnl_minor"] == 0
    assert row["on_target_share"] == pytest.approx(3598 / 3600)


def test_time_on_target_is_told_before_it_is_counted(tmp_path: Path) -> None:
    """It is counted when it changes and at the full hour; a day that has just begun has none."""
    tell(tmp_path / "journal.db", for_s=10)
    with History.open(tmp_path / "journal.db") as found:
        assert only(found, "v_daily")["on_target_share"] == pytest.approx(8 / 10)


def test_equity_is_thinned(history: History) -> None:
    """One row a minute and currency, and one whenever the wallet changed."""
    assert [row["wallet_minor"] for row in history.rows("v_equity").dicts()] == [98, 99]


def test_targets_incidents_and_runs(history: History) -> None:
    """A target's change, an incident's end, a run's start."""
    wish, incident, run = (only(history, f"v_{name}") for name in ("targets", "incidents", "runs"))
    assert (wish["contracts"], wish["change"], wish["outcome"]) == (300, 300, "held")
    assert wish["life_ms"] is None
    assert (incident["decision"], incident["decided_by"], incident["age_s"]) == (
        "repaired", "core", 1
    )  # fmt: skip
    assert (run["run_id"], run["exit_reason"], run["in_doubt_at_start"]) == ("run-1", "closed", 0)
    assert run["started_at"] == "2026-11-18T11:06:40.000Z"


def test_slippage_is_positive_when_worse_also_for_a_sale(tmp_path: Path) -> None:
    """Sold below the mid is worse; the mean of a linear contract is the plain one."""
    path = tmp_path / "journal.db"
    wish = target("ETHUSDT", -10, 1, T0)
    one = execution(1, "ETHUSDT", -4, T0, "99.5", cl_ord_id="rc-1")
    two = execution(2, "ETHUSDT", -6, T0, "99", cl_ord_id="rc-1")
    with opened(path) as journal:
        journal.record([
            (instrument("ETHUSDT", False), [], []),
            (wish, [place(1, "rc-1", "ETHUSDT", -10, wish)], []),
            (one, [], [fill(one, -4, 1)]),
            (two, [], [fill(two, -10, 1)]),
        ])  # fmt: skip
    with History.open(path) as history:
        row = only(history, "v_executions")
    assert row["vwap"] == pytest.approx(99.2)
    assert row["slippage_bps"] == pytest.approx(80.0)
    assert row["traded_contracts"] == -10


def test_profit_of_a_round_trip_is_in_fills_day_and_execution(tmp_path: Path) -> None:
    """Bought for 1000 and sold for 1100 minor units: 100, in each of the three views."""
    path = tmp_path / "journal.db"
    buy = execution(1, "ETHUSDT", 10, T0, cost_minor=1000)
    sell = execution(2, "ETHUSDT", -10, T0, cost_minor=-1100)
    back = target("ETHUSDT", 0, 2, T0)
    with opened(path) as journal:
        journal.record([(buy, [], [fill(buy, 10, 1)])])
    with opened(path) as journal:  # what it cost is remembered over a restart
        journal.record([(back, [], []), (sell, [], [fill(sell, 0, 2)])])
    with History.open(path) as history:
        assert [row["realised_pnl_minor"] for row in history.rows("v_fills").dicts()] == [100, 0]
        assert only(history, "v_daily")["realised_pnl_minor"] == 100
        assert only(history, "v_executions")["realised_pnl_minor"] == 100


def test_the_account_s_indices_serve_the_usual_questions(history: History) -> None:
    """The last fills of a symbol, a day of fills and the newest orders are found, not sorted."""
    for question, index in (
        ("SELECT * FROM v_fills WHERE at_ms >= 5 AND at_ms < 6 ORDER BY at_ms DESC", "by_ms"),
        ("SELECT * FROM v_fills WHERE symbol = 'A' ORDER BY at_ms DESC LIMIT 9", "by_symbol"),
        ("SELECT * FROM v_orders ORDER BY created_at DESC LIMIT 50", "orders_by_time"),
        ("SELECT * FROM v_transitions WHERE at_ms >= 5 ORDER BY at_ms", "transitions_by_ms"),
    ):
        plan = " ".join(str(row) for row in history._db.execute(f"EXPLAIN QUERY PLAN {question}"))
        assert index in plan
        assert "TEMP B-TREE" not in plan
    assert sqlite3.sqlite_version_info >= (3, 37)  # STRICT tables


@pytest.mark.parametrize("end", ["expired", "replaced"])
def test_a_target_that_was_held_tells_how_it_ended(tmp_path: Path, end: str) -> None:
    """Held and then replaced is held; held until its time was up is expired."""
    path = tmp_path / "journal.db"
    wish = target("XBTUSD", 100, 1)
    held = d.TargetHeld(symbol="XBTUSD", version=1, contracts=100, position=100)
    closed = d.TargetClosed(symbol="XBTUSD", version=1, outcome=end, now=None)
    with opened(path) as journal:
        journal.record([(wish, [], [held]), (e.Tick(at_us=T0 + 1), [], [closed])])
        with History.open(path) as history:
            (row,) = history.rows("v_targets").dicts()
    assert row["outcome"] == ("held" if end == "replaced" else end)
