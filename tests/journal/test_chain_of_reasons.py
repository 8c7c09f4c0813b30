"""From a signal to its fills, as the views show it: by the real core, replayed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.ledger import Ledger
from reconciler.core.portfolio import shares
from reconciler.core.step import step
from reconciler.journal import History, Journal
from reconciler.journal.replay import replay
from tests.stories.teller import SYMBOL, Teller


def tell(path: Path) -> Teller:
    """
    A asks for 100 and B for -60: 40 are bought. B changes its mind; a person, others and the
    venue's funding come in between; a schedule, a pause and a refused target, too.
    """
    teller = Teller()
    say(teller, 1, "A", "0.1", "crossed")
    say(teller, 2, "B", "-0.06", "tired")
    teller.target(40, shares=(share("A", 100, 1), share("B", -60, 2)), price=Decimal("100.5"))
    fill(teller, "r1", 40)
    teller.execution("", 0, "fund", type=e.ExecutionKind.FUNDING, fee_minor=41)
    teller.do(["foreign", "-7", "f1"])
    teller.do(["position", "33"])
    teller.do(["wait", "1_500"])
    fill(teller, "r2", 7)
    say(teller, 3, "B", "0", "rested")
    teller.target(
        40,
        shares=(share("A", 100, 1), share("B", 0, 3), share("", -60, 0)),
        deadline_us=teller.now_us + 5_000_000,
        asked="2.5 % of equity",
    )
    at = {"at_us": teller.now_us}
    teller.event(e.StrategyChanged(**at, strategy="B", state="failed", detail="division by zero"))
    row = {"symbol": SYMBOL, "reason": "open"}
    rows = tuple(
        e.ScheduleRow(due_us=teller.now_us + n, contracts=n * 10, **row) for n in range(1, 3)
    )
    teller.event(e.ScheduleSet(**at, name="day", rows=rows[:1], source="cli"))
    teller.event(e.ScheduleSet(**at, name="day", rows=rows, source="cli"))
    teller.target(40, schedule="day/0")
    teller.event(
        e.TargetRefused(**at, symbol=SYMBOL, contracts=9, source="cli", code="halted", text="no")
    )
    teller.event(e.ModeSet(**at, mode="pause", by="ann", reason="lunch", until_us=at["at_us"] + 1))
    record(path, teller)
    return teller


def share(strategy: str, contracts: int, signal: int) -> e.Share:
    weight = "main: 1 x 1000" if strategy else ""
    return e.Share(strategy=strategy, contracts=contracts, signal=signal, weight=weight)


def say(teller: Teller, number: int, strategy: str, strength: str, reason: str) -> None:
    teller.event(
        e.Signalled(
            at_us=teller.now_us,
            number=number,
            strategy=strategy,
            symbol=SYMBOL,
            strength=Decimal(strength),
            reason=reason,
        )
    )


def fill(teller: Teller, order: str, contracts: int) -> None:
    teller.do(["ok", order])
    teller.do(["fill", order, str(contracts), f"{order}-x"])
    teller.do(["row", order, "filled", str(abs(contracts))])
    teller.do(["position", str(teller.book.position)])


def record(path: Path, teller: Teller) -> None:
    """The whole story in a journal, as a service would have written it."""
    ledger = Ledger()
    with Journal.open(path, account="main", durability="process") as journal:
        for event, _ in teller.history:
            outcome = step(ledger, event)
            journal.record([(event, outcome.decisions, outcome.facts)])
        journal.tell()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[History, Teller]]:
    path = tmp_path_factory.mktemp("chain") / "journal.db"
    teller = tell(path)
    assert replay(path).difference is None  # every row of it follows from the events
    with History.open(path) as history:
        yield history, teller


def rows(history: History, view: str, *names: str) -> list[tuple[Any, ...]]:
    """Those columns of each row, oldest first."""
    found = history.rows(view, limit=0, newest_first=False).dicts()
    return [tuple(row[name] for name in names) for row in found]


def test_signals_are_kept_with_their_reasons(told: tuple[History, Teller]) -> None:
    assert rows(told[0], "v_signals", "number", "strategy", "strength", "reason") == [
        (1, "A", 0.1, "crossed"),
        (2, "B", -0.06, "tired"),
        (3, "B", 0.0, "rested"),
    ]


def test_shares_lead_from_a_target_to_its_signals(told: tuple[History, Teller]) -> None:
    """Contracts, weight and the reason of each; nobody's share has none."""
    names = ("version", "strategy", "contracts", "weight", "signal", "reason")
    found = [row for row in rows(told[0], "v_shares", *names) if row[0] == 2]
    assert sorted(found) == [
        (2, "", -60, "", None, ""),
        (2, "A", 100, "main: 1 x 1000", 1, "crossed"),
        (2, "B", 0, "main: 1 x 1000", 3, "rested"),
    ]


def test_parts_of_fills_lead_to_their_orders(told: tuple[History, Teller]) -> None:
    """Own fills name their order; what was passed on inside names no execution."""
    history, teller = told
    names = ("exec_id", "strategy", "contracts", "running_contracts", "cl_ord_id")
    r1, r2 = (teller.order(name).cl_ord_id for name in ("r1", "r2"))
    assert rows(history, "v_fill_shares", *names) == [
        ("r1-x", "A", 100, 100, r1),
        ("r1-x", "B", -60, -60, r1),
        ("fund", "A", 0, 100, ""),
        ("fund", "B", 0, -60, ""),
        ("f1", "", -7, -7, ""),
        ("r2-x", "", 7, 0, r2),
        ("", "B", 60, 0, ""),
        ("", "", -60, -60, ""),
    ]


def test_a_strategys_row_tells_what_it_holds_and_made(told: tuple[History, Teller]) -> None:
    """The rows of a symbol add up to the account's position; the ledger says the same."""
    history, teller = told
    names = ("strategy", "position", "fills", "traded_contracts", "funding_minor", "state")
    assert rows(history, "v_strategies", *names) == [
        ("", -60, 3, 74, 0, ""),
        ("A", 100, 1, 100, 103, ""),
        ("B", 0, 2, 120, -62, "failed"),
    ]
    found = history.rows("v_strategies").dicts()
    assert sum(row["position"] for row in found) == teller.book.position == 40
    for row in found:
        part = teller.book.parts[row["strategy"]]
        assert (row["realised_pnl_minor"], row["fee_minor"]) == (
            part.realised_minor,
            part.fee_minor,
        )
        worth = shares.value(teller.book.instrument, part.cost_contracts, Decimal("100.2"))
        assert row["unrealised_pnl_minor"] == worth - part.cost_minor
    made = sum(row["realised_pnl_minor"] + row["unrealised_pnl_minor"] for row in found)
    assert abs(made - all_in_all(teller)) <= 1, "what they made is what the account made"
    assert (found[2]["signal"], found[2]["strength"], found[2]["reason"]) == (3, 0.0, "rested")


def all_in_all(teller: Teller) -> int:
    """What the account holds is worth, less what it paid for it: of all its trades together."""
    paid = sum(fact.cost_minor for fact in teller.facts if isinstance(fact, d.FillBooked))
    return shares.value(teller.book.instrument, teller.book.position, Decimal("100.2")) - paid


def test_targets_tell_the_form_they_were_asked_in(told: tuple[History, Teller]) -> None:
    found = rows(told[0], "v_targets", "price", "asked", "schedule")
    assert found == [(100.5, None, None), (None, "2.5 % of equity", None), (None, None, "day/0")]
    (deadline,) = (row for (row,) in rows(told[0], "v_targets", "deadline_at") if row)
    assert deadline.endswith("Z")


def test_refusals_modes_and_schedules_are_shown(told: tuple[History, Teller]) -> None:
    """What was refused and why; who paused what; which row of a schedule became which target."""
    history, _ = told
    assert rows(history, "v_refusals", "contracts", "code", "text") == [(9, "halted", "no")]
    assert rows(history, "v_modes", "mode", "symbol", "by", "reason") == [
        ("pause", "", "ann", "lunch")
    ]
    (until,) = rows(history, "v_modes", "until_at")
    assert until[0].endswith("Z")
    newest = history.rows("v_targets", limit=1).dicts()[0]["target_id"]
    assert rows(history, "v_schedules", "name", "n", "contracts", "in_force", "target_id") == [
        ("day", 0, 10, 0, None),
        ("day", 0, 10, 1, newest),
        ("day", 1, 20, 1, None),
    ]
