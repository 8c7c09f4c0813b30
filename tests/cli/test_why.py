"""`why` and `describe`: from a fill back to the reason of a signal, and what there is not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from reconciler.cli import parse
from reconciler.journal import History, past, tracing
from tests.cli.conftest import Run
from tests.journal.test_chain_of_reasons import tell
from tests.stories.teller import Teller


@pytest.fixture
def told(database: Path) -> Teller:
    """A journal where A wanted 100, B -60, and a person, others and funding came in between."""
    database.parent.mkdir(parents=True, mode=0o700)
    return tell(database)


def test_an_order_leads_back_to_its_signals(run: Run, told: Teller) -> None:
    """Target, shares with weights, the reason of each signal; then the fills and whose they are."""
    order = told.order("r1").cl_ord_id
    said = run("why", order)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == f"{order} was sent because"
    assert lines[1].startswith("  XBTUSD target +40 (version 1, story)")
    assert '    +100  A   main: 1 x 1000 x +0.1   signal 1, "crossed"' in lines
    assert '    -60  B   main: 1 x 1000 x -0.06   signal 2, "tired"' in lines
    assert "  and the position was +0, nothing in doubt" in said.out
    assert "  order: +40 @ 100.0, post-only" in lines
    assert "    shared: A +100, B -60" in lines
    assert lines[-1] == "it is closed: 40 of 40 filled"


def test_a_fill_leads_to_its_order_or_to_nobody(run: Run, told: Teller) -> None:
    """An own fill names its order and goes on from there; a stranger's ends there."""
    own = run("why", "r1-x").out
    assert own.startswith("fill +40 @ 100.0 maker")
    assert f"{told.order('r1').cl_ord_id} was sent because" in own
    strangers = run("why", "f1").out
    assert "shared: nobody -7" in strangers
    assert strangers.rstrip().endswith("somebody else traded, or the venue did")


def test_a_symbol_tells_what_it_holds_and_for_whom(run: Run, told: Teller) -> None:
    said = run("why", "XBTUSD").out
    assert said.startswith("XBTUSD is idle at +40, and waits for")
    assert "target +40 (version 3, story)" in said


def test_all_of_it_is_there_for_programs(run: Run, told: Teller) -> None:
    """Prices are text, contracts are numbers."""
    found = json.loads(run("why", "r1-x", "-o", "json").out)
    assert found["fill"]["price"] == "100.0"
    assert [(s["strategy"], s["contracts"]) for s in found["fills"][0]["shares"]] == [
        ("A", 100),
        ("B", -60),
    ]
    assert [share["signal"] for share in found["shares"]] == [1, 2]


def test_describe_shows_a_life_a_share_and_a_strategy(run: Run, told: Teller) -> None:
    """Each kind with what is around it."""
    order = told.order("r1").cl_ord_id
    life = run("describe", "order", order).out
    assert life.startswith(f"order {order}   XBTUSD Buy 40 @ 100.0")
    assert life.index("idle → placing") < life.index("filled → idle") < life.index("fill +40")
    target = run("describe", "target", "XBTUSD/2").out
    assert "asked as 2.5 % of equity" in target
    assert "-60  nobody: rounding and caps" in target
    strategy = run("describe", "strategy", "B").out
    assert strategy.startswith("B   XBTUSD +0   realised")
    assert "failed" in strategy.splitlines()[0]
    assert "signal 3  XBTUSD +0  rested" in strategy
    assert "XBTUSD +60 @ 100.2 → +0  among strategies" in strategy
    assert "XBTUSD funding -62 XBt" in strategy
    assert "shared: A +100, B -60" in run("describe", "fill", "r1-x").out
    assert json.loads(run("describe", "strategy", "B", "-o", "json").out)["holds"]


def test_a_moment_of_the_past_is_told_as_it_was_known_then(
    run: Run, told: Teller, database: Path
) -> None:
    """What it held, wanted and waited for; the journal is folded up to there, and no further."""
    with History.open(database) as history:
        targets = history.query(
            "SELECT set_us, min(version) AS first, max(version) AS last FROM targets"
            " WHERE symbol = 'XBTUSD' GROUP BY set_us ORDER BY set_us"
        ).dicts()
    last = run("why", "XBTUSD", "--at", parse.iso(told.now_us + 1_000_000)).out
    assert "target +40 (version 3, story)" in last
    assert " at +40" in last.splitlines()[0]
    assert len(targets) > 1
    for row in targets:
        found = past.ledger_at(database, row["set_us"]).ledger.books["XBTUSD"]
        assert found.version == row["last"]
        before = past.ledger_at(database, row["set_us"] - 1).ledger.books.get("XBTUSD")
        assert (before.version if before is not None else 0) == row["first"] - 1
    ended = run("why", "XBTUSD", "--at", "2001-01-01")
    assert (ended.code, "was not a symbol of this journal then" in ended.err) == (4, True)
    assert run("state", "--at", "whenever").code == 2


def test_what_came_later_is_not_told_of_a_moment(run: Run, database: Path) -> None:
    """Also where the newest snapshot is of later."""
    moments = []
    for contracts in (100, 200, 300):
        assert run("set", "XBTUSD", str(contracts)).code == 0
        moments.append(time.time_ns() // 1000)
    with History.open(database) as history:
        assert history.query("SELECT max(seq) FROM snapshots").values[0][0] is not None
    found = [past.ledger_at(database, at_us).ledger.books["XBTUSD"].target for at_us in moments]
    assert [target.contracts for target in found] == [100, 200, 300]
    with History.open(database) as history:
        first = tracing.of_symbol_at(history, "XBTUSD", moments[0])["target"]
    assert (first["contracts"], first["outcome"], first["closed_at"]) == (100, None, None)


def test_a_moment_when_nobody_wanted_anything_is_told_as_one(run: Run) -> None:
    """As a line for people, and as rows for programs."""
    assert run("pause", "XBTUSD", "--reason", "lunch").code == 0
    now = parse.iso(time.time_ns() // 1000 + 1_000_000)
    said = run("why", "XBTUSD", "--at", now).out
    assert said.startswith(f"XBTUSD at {now} was idle at +0, waiting for resume: paused: lunch")
    assert "nobody wanted anything of it" in said
    rows = json.loads(run("state", "--at", now, "-o", "json").out)
    assert rows["at"] == now
    assert [(row["symbol"], row["target"], row["orders"]) for row in rows["symbols"]] == [
        ("ETHUSD", None, []),
        ("XBTUSD", None, []),
    ]
    assert "XBTUSD" in run("state", "--at", now).out


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["why", "rc-nobody"], "neither an order, nor a fill, nor a symbol", 4),
        (["why", "' OR 1=1 --"], "neither an order", 4),
        (["describe", "order", "rc-nobody"], "there is no order 'rc-nobody'", 4),
        (["describe", "fill", "x'y"], "there is no fill", 4),
        (["describe", "target", "XBTUSD"], "Say it as XBTUSD/42", 2),
        (["describe", "target", "XBTUSD/99"], "there is no target", 4),
        (["describe", "strategy", "Z'"], "neither signalled nor held", 4),
        (["describe", "weather", "today"], "Say one of order, fill, target, strategy", 2),
    ],
)
def test_what_there_is_not_is_said(
    run: Run, told: Teller, words: list[str], said: str, code: int
) -> None:
    ended = run(*words)
    assert ended.code == code
    assert said in ended.err


@pytest.mark.parametrize(
    "kind", ["signals", "shares", "fill_shares", "strategies", "refusals", "modes", "schedules"]
)
def test_each_of_them_can_be_listed(run: Run, told: Teller, kind: str) -> None:
    """As a table, and whole for programs."""
    assert len(run("get", kind).out.splitlines()) > 1
    assert json.loads(run("get", kind, "-o", "json").out)
