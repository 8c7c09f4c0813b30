"""The live picture of strategies: what led to what, and no number is cut, however narrow it is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from reconciler.cli import flow
from reconciler.cli.screen import _picture
from reconciler.journal import History
from tests.journal.test_chain_of_reasons import record, tell
from tests.stories.teller import Teller


@pytest.fixture
def journal(database: Path):
    """A where A wanted 100, B -60; B has failed since."""
    database.parent.mkdir(parents=True, mode=0o700)
    tell(database)
    with History.open(database) as journal:
        yield journal


def drawn(journal: History, width: int, height: int) -> str:
    console = Console(width=width, height=height, no_color=True, record=True, file=io.StringIO())
    console.print(_picture(journal, "● running", width, height))
    return console.export_text()


def test_a_signal_comes_before_its_target_its_order_and_its_fill(journal):
    """The chain in its order; of the newest steps only as many as asked for."""
    steps = flow.steps(journal, 100)
    first = {what: next(n for n, step in enumerate(steps) if step.what == what)
             for what in ("signal", "target", "order", "fill")}  # fmt: skip
    assert sorted(first, key=first.get) == ["signal", "target", "order", "fill"]
    assert flow.steps(journal, 3) == steps[-3:]
    assert flow.steps(journal, 0) == []
    said = [step.said for step in steps if step.what == "signal"]
    assert said[0] == "+0.1  A: crossed"


def test_fills_of_one_moment_stand_in_their_order(database):
    """An order that takes two prices at once: the position goes one way, and not to and fro."""
    database.parent.mkdir(parents=True, mode=0o700)
    teller = Teller()
    teller.do(["target", "40"])
    for line in ("ok r1", "fill r1 +30 x1", "fill r1 +10 x2"):
        teller.do(line.split())
    record(database, teller)
    with History.open(database) as journal:
        steps = flow.steps(journal, 100)
    said = [step.said for step in steps if step.what == "fill"]
    assert said == ["+30 @ 100, position +30", "+10 @ 100, position +40"]


def test_what_a_strategy_made_is_told_after_fees(journal):
    """What is realised hides what it costs to trade, which is most of it for one that flaps."""
    rows = {row.strategy: row.net_minor for row in flow.strategies(journal)}
    booked = journal.query(
        "SELECT strategy, sum(realised_pnl_minor - fee_minor) FROM v_fill_shares GROUP BY strategy"
    ).values
    assert rows == dict(booked)
    assert rows["A"] < 0


def test_each_strategy_shows_what_it_wants_and_holds(journal):
    """What strategies hold, and nobody, is what the account holds."""
    rows = flow.strategies(journal)
    (position,) = (row["position"] for row in journal.status().dicts())
    assert sum(row.holds for row in rows) == position
    assert [row.strategy for row in rows] == ["A", "B", ""]
    assert {row.strategy: row.state for row in rows}["B"] == "failed"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_picture_fits(journal, width, height):
    """Every line fits, and the numbers of the strategies are whole."""
    text = drawn(journal, width, height)
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) <= height
    for row in flow.strategies(journal):
        if row.holds:
            line = next(
                li for li in text.splitlines() if (row.strategy or "(nobody)") in li.split()
            )
            assert f"{row.holds:+,d}" in line.split()
    assert "signal" in text
