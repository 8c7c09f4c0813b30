"""Stories of strategies that end: a person who looks at the account sees it."""

from __future__ import annotations

from reconciler.core import decisions as d
from reconciler.core import events as e
from tests.stories.teller import Teller


def changed(teller: Teller, strategy: str, state: str, detail: str = "") -> None:
    teller.event(
        e.StrategyChanged(at_us=teller.now_us, strategy=strategy, state=state, detail=detail)
    )


def test_a_strategy_that_failed_is_an_incident_until_it_runs_again():
    """Who looks at the status at night sees which strategies failed, each for itself, and why."""
    teller = Teller()
    changed(teller, "A", "running")
    assert not teller.ledger.incidents
    changed(teller, "A", "failed", "on_tick: ZeroDivisionError")
    changed(teller, "B", "failed", "load: no such module")
    opened = [fact for fact in teller.facts if isinstance(fact, d.IncidentOpened)]
    assert [(one.symbol, one.severity, one.summary) for one in opened] == [
        ("A", "warning", "on_tick: ZeroDivisionError"),
        ("B", "warning", "load: no such module"),
    ]
    changed(teller, "A", "running")
    assert list(teller.ledger.incidents) == ["strategy_failed B"]
    changed(teller, "B", "stopped")
    assert not teller.ledger.incidents


def test_a_strategy_that_fails_stops_no_trading():
    """Its failure says nothing of the account: targets are worked as before."""
    teller = Teller()
    changed(teller, "A", "failed", "it raised")
    assert teller.do(["target", "+100"]) == ["place r1 +100"]
