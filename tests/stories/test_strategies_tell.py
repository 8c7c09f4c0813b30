"""Stories of strategies that end: a person who looks at the account sees it."""

from __future__ import annotations

from decimal import Decimal

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


def test_the_newest_word_of_each_strategy_about_each_symbol_is_in_force():
    """What a start finds is what each of them said last; and a signal alone trades nothing."""
    teller = Teller()

    def says(number: int, strategy: str, symbol: str, strength: str) -> list[str]:
        return teller.event(
            e.Signalled(
                at_us=teller.now_us, number=number, strategy=strategy, symbol=symbol,
                strength=Decimal(strength),
            )
        )  # fmt: skip

    said = says(1, "A", "XBTUSD", "1"), says(2, "B", "XBTUSD", "-0.5")
    said += says(3, "A", "ETHUSD", "0.2"), says(4, "A", "XBTUSD", "0")
    assert said == ([], [], [], [])
    assert {
        (symbol, name): signal.strength
        for symbol, signals in teller.ledger.signals.items()
        for name, signal in signals.items()
    } == {
        ("XBTUSD", "A"): Decimal(0),
        ("XBTUSD", "B"): Decimal("-0.5"),
        ("ETHUSD", "A"): Decimal("0.2"),
    }
    assert teller.ledger.next_signal_number == 5
