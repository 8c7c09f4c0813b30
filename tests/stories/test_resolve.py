"""Stories of a person who decides an incident, and of what only evidence or a resume ends."""

from __future__ import annotations

import pytest

from reconciler.core.decisions import IncidentClosed
from reconciler.core.events import Adjusted, Resolved, StrategyChanged, TargetSet
from reconciler.core.settings import Settings
from reconciler.core.trouble import resolve
from reconciler.errors import CannotDecide, NotFound, UsageError
from reconciler.service import deciding
from reconciler.service.door import Decided
from tests.stories.teller import SYMBOL, Teller, check_replay, tell
from tests.stories.test_guards_mismatch import again, differs

LIQUIDATED = """
target +100
liquidation -60 y1      -> incident liquidation
"""


def number(teller: Teller, kind: str, symbol: str = SYMBOL) -> int:
    return teller.ledger.incidents[f"{kind} {symbol}"]


def decide(
    teller: Teller, kind: str, decision: str, symbol: str = SYMBOL
) -> tuple[list[str], Decided]:
    """What a person's word leads to, and what is told of it; every step is deterministic."""
    name = f"INC-{number(teller, kind, symbol)}"
    events, told = deciding.resolve(
        teller.ledger, teller.now_us, name, decision, "ann", "seen in the web UI"
    )
    said = [word for event in events for word in teller.event(event)]
    check_replay(teller)
    return said, told(teller.ledger)


def objects(teller: Teller, kind: str, decision: str, symbol: str = SYMBOL) -> str:
    with pytest.raises(CannotDecide) as no:
        decide(teller, kind, decision, symbol)
    return str(no.value)


def closed(teller: Teller) -> list[tuple[str, str]]:
    facts = [fact for fact in teller.facts if isinstance(fact, IncidentClosed)]
    return [(fact.decision, fact.by) for fact in facts]


def placed(said: list[str]) -> list[str]:
    return [word for word in said if word.startswith("place")]


def adjusted(teller: Teller) -> list[tuple[int, str]]:
    events = [event for event, _ in teller.history if isinstance(event, Adjusted)]
    return [(event.contracts, event.by) for event in events]


def test_to_adopt_a_difference_is_to_want_what_the_venue_has() -> None:
    """Signed by the person, no fill invented, nothing traded, and the symbol goes on."""
    teller = differs("halt")
    said, done = decide(teller, "position_differs", "adopt")
    assert placed(said) == []
    assert adjusted(teller) == [(-40, "ann")]
    assert (done.adjusted, done.position, done.target, done.note) == (-40, 60, 60, "")
    assert (teller.book.frozen, teller.book.waiting_for) == ("", "")
    assert teller.ledger.incidents == {}
    assert ("adopted: seen in the web UI", "ann") in closed(teller)


def test_to_trade_back_keeps_the_target_and_goes_for_it() -> None:
    """The books take the figure; what is missing is bought."""
    teller = differs("halt")
    said, done = decide(teller, "position_differs", "trade_back")
    assert placed(said) == ["place r1 +40"]
    assert (done.adjusted, done.position, done.target) == (-40, 60, 100)
    assert teller.book.version == 1
    assert ("traded back: seen in the web UI", "ann") in closed(teller)


def test_what_is_adopted_ends_when_the_target_would_have() -> None:
    """Whoever wanted it for an hour, and flat then, has not said otherwise."""
    teller = differs("halt")
    target = teller.book.target
    assert target is not None
    target.expires_us, target.on_expiry = teller.now_us + 3_600_000_000, "flatten"
    events, _ = deciding.resolve(teller.ledger, teller.now_us, "inc-1", "adopt", "ann", "by hand")
    (wanted,) = [event for event in events if isinstance(event, TargetSet)]
    assert (wanted.expires_us, wanted.on_expiry) == (target.expires_us, "flatten")


def test_what_freezes_is_not_ignored() -> None:
    """It would go on waiting, and nobody would see for what."""
    teller = differs("halt")
    assert f"it freezes {SYMBOL}, which stays frozen" in objects(
        teller, "position_differs", "ignore"
    )
    assert teller.book.frozen
    assert "position_differs XBTUSD" in teller.ledger.incidents


@pytest.mark.parametrize(("decision", "orders"), [("adopt", []), ("trade_back", ["place r1 +60"])])
def test_a_freeze_where_the_books_agree_needs_no_adjustment(
    decision: str, orders: list[str]
) -> None:
    """A liquidation is booked as it is told; what is decided is what to hold now."""
    teller = tell(LIQUIDATED + "position +40", position=100)
    said, done = decide(teller, "liquidation", decision)
    assert (teller.book.frozen, teller.ledger.incidents) == ("", {})
    said += teller.wait(5_000)  # after others have traded it lets things settle
    assert (placed(said), adjusted(teller)) == (orders, [])
    assert (done.adjusted, done.position) == (0, 40)
    assert done.target == (40 if decision == "adopt" else 100)


def test_while_books_and_venue_are_being_compared_nothing_is_taken() -> None:
    """The venue's row is from before the liquidation: its figure would be booked twice."""
    teller = tell(LIQUIDATED, position=100)
    assert "try again in some seconds" in objects(teller, "liquidation", "adopt")
    assert "stays frozen" in objects(teller, "liquidation", "ignore")


def test_a_figure_from_before_the_stream_was_lost_is_not_taken() -> None:
    """Nobody knows what happened since."""
    teller = differs("halt")
    teller.do(["stream", "lost"])
    assert "wait until the stream is in sync" in objects(teller, "position_differs", "adopt")
    teller.ledger.in_sync, teller.book.venue_position = True, None
    assert "wait until the stream is in sync" in objects(teller, "position_differs", "adopt")


def test_while_an_order_may_trade_nothing_is_settled() -> None:
    """What it fills on its way may be the very difference."""
    teller = tell("target +150 -> place r1 +50\nok r1 = working", position=100)
    teller.do(["liquidation", "-60", "y1"])
    teller.do(["position", "40"])
    assert "r1 may still trade" in objects(teller, "liquidation", "adopt").replace(
        teller.order("r1").cl_ord_id, "r1"
    )


def test_an_order_without_a_trace_is_given_up() -> None:
    """It is closed in the name of whoever decides; the target is gone for again."""
    teller = vanished()
    said, _ = decide(teller, "vanished_order", "trade_back")
    assert placed(said) == ["place r2 +100"]
    assert teller.order("r1").status == "closed"


def vanished() -> Teller:
    teller = tell("target +100 -> place r1 +100\nok r1 = working")
    teller.order("r1").working_us = 0
    for _ in range(300):
        if any(request.type == "readorder" for request in teller.ledger.requests.values()):
            teller.do(["read", "r1", "empty"])
        if "vanished_order XBTUSD" in teller.ledger.incidents:
            return teller
        if "resync" in {request.type for request in teller.ledger.requests.values()}:
            teller.do(["sync", "0"])
            teller.do(["resync", "done"])
        teller.wait(1_000)
        teller.do(["clock", "0"])
    raise AssertionError("the order was never missed")


def test_fills_that_are_never_found_are_given_up_with_the_venue_s_figure() -> None:
    """The order is closed short, the books take what the venue holds."""
    teller = tell(
        """
        target +100             -> place r1 +100
        ok r1                                                 = working
        fill r1 +60 x1
        row r1 filled 100                                     = filled
        position +100
        """
    )
    again(teller, 100)
    assert teller.book.frozen_by == "missing_fills"
    said, done = decide(teller, "missing_fills", "trade_back")
    assert (placed(said), done.adjusted, done.position) == ([], 40, 100)
    assert (teller.order("r1").status, teller.book.state) == ("closed", "idle")
    assert (teller.book.frozen, teller.ledger.incidents) == ("", {})


def test_another_reason_to_be_frozen_stays_one() -> None:
    """Who decides one of two has not looked at the other."""
    teller = tell("target +100\nfreeze XBTUSD", position=100)
    teller.do(["liquidation", "-60", "y1"])
    teller.do(["position", "40"])
    left = number(teller, "liquidation")
    _, done = decide(teller, "by_hand", "trade_back")
    assert teller.book.frozen == f"liquidation (INC-{left})"
    assert f"liquidation (INC-{left})" in done.note
    said, done = decide(teller, "liquidation", "adopt")
    assert (placed(said), done.note, done.target) == ([], "", 40)


def test_a_person_s_freeze_that_was_decided_does_not_end_the_next_one() -> None:
    """A freeze has the end that it was given, or none."""
    teller = tell("freeze XBTUSD for 5000 -> incident by_hand")
    decide(teller, "by_hand", "trade_back")
    assert "ended freeze" not in teller.wait(9_000)
    teller.do(["freeze", "XBTUSD"])
    assert "ended freeze" not in teller.wait(20_000)
    assert teller.book.frozen_by == "by_hand"


def test_a_decision_about_something_else_leaves_a_person_s_freeze_its_end() -> None:
    """Else it would stay frozen for good, though somebody said until when."""
    teller = tell("target +100\nfreeze XBTUSD for 60000", position=100)
    teller.do(["liquidation", "-60", "y1"])
    teller.do(["position", "40"])
    decide(teller, "liquidation", "adopt")
    assert teller.book.frozen_by == "by_hand"
    assert "ended freeze" in teller.wait(60_000)
    assert teller.book.frozen == ""


def test_a_decision_about_the_second_leaves_the_first() -> None:
    """The freeze is of the incident that came first, and that one is still open."""
    teller = tell("target +100\nfreeze XBTUSD", position=100)
    teller.do(["liquidation", "-60", "y1"])
    teller.do(["position", "40"])
    decide(teller, "liquidation", "adopt")
    assert teller.book.frozen_by == "by_hand"
    assert list(teller.ledger.incidents) == [f"by_hand {SYMBOL}"]


def test_a_halt_is_not_ended_by_it() -> None:
    """Whoever halted said nothing of this incident."""
    teller = differs("halt")
    teller.do(["halt"])
    said, done = decide(teller, "position_differs", "trade_back")
    assert placed(said) == []
    assert "halted" in done.note
    assert teller.ledger.halted


def test_what_freezes_the_account_is_about_more_than_a_position() -> None:
    """Only a resume ends it, whichever way it is decided."""
    teller = tell("unknown new")
    for decision in ("adopt", "trade_back", "ignore"):
        assert "`resume` ends that" in objects(teller, "unknown_own_order", decision, "")
    assert teller.ledger.frozen


def test_a_doubt_is_ended_by_evidence_and_by_nothing_else() -> None:
    """An order that may live is not decided away."""
    teller = tell("target +100 -> place r1 +100\nlost r1 -> read r1")
    for decision in ("adopt", "trade_back", "ignore"):
        assert "evidence from the venue ends it" in objects(teller, "in_doubt", decision)
    assert teller.order("r1").doubt is not None


def refused_thrice() -> Teller:
    teller = Teller()
    teller.do(["target", "+100"])
    for name in ("r1", "r2", "r3"):
        teller.do(["refused", name])
        if name != "r3":
            teller.wait(10_000)
            teller.do(["clock", "0"])
    return teller


def test_what_stops_nothing_may_be_ignored() -> None:
    """It is closed in the name of whoever has seen it, and there is nothing to adopt."""
    teller = refused_thrice()
    assert "it can be ignored" in objects(teller, "refused", "adopt")
    said, done = decide(teller, "refused", "ignore")
    assert (placed(said), done.adjusted) == ([], 0)
    assert closed(teller)[-1] == ("ignored: seen in the web UI", "ann")
    assert teller.ledger.incidents == {}


@pytest.mark.parametrize(("rule", "may"), [("freeze", False), ("cancel", True)])
def test_a_foreign_order_is_ignored_where_it_freezes_nothing(rule: str, may: bool) -> None:
    """The same kind, told of under two rules."""
    settings = Settings(symbols=(SYMBOL,), foreign_orders=rule)
    teller = Teller(settings)
    teller.do(["target", "0"])
    teller.do(["rests", "f1", "+50"])
    if may:
        decide(teller, "foreign_order", "ignore")
        assert teller.ledger.incidents == {}
    else:
        assert "stays frozen" in objects(teller, "foreign_order", "ignore")


def test_a_word_of_the_journal_is_checked_as_well() -> None:
    """A decision that is written and does not fit changes nothing: nor does one that is late."""
    teller = differs("halt")
    for incident, decision in ((1, "ignore"), (77, "adopt")):
        teller.event(
            Resolved(
                at_us=teller.now_us,
                incident_id=incident,
                decision=decision,  # type: ignore[arg-type]
                by="x",
                reason="y",
            )
        )
        assert teller.book.frozen_by == "position_differs"
        assert list(teller.ledger.incidents) == ["position_differs XBTUSD"]


def test_without_a_target_or_with_the_right_one_nothing_is_wanted_anew() -> None:
    """To adopt is the adjustment alone."""
    teller = Teller(position=100)
    again(teller, 60)
    _, done = decide(teller, "position_differs", "adopt")
    assert (done.target, done.position, teller.book.version) == (None, 60, 0)
    teller = Teller(position=100)
    teller.do(["freeze", "XBTUSD"])
    teller.do(["target", "+100"])
    _, done = decide(teller, "by_hand", "adopt")
    assert (done.target, teller.book.version, adjusted(teller)) == (100, 1, [])


def test_names_reasons_and_decisions_that_make_no_sense() -> None:
    """Each is said, and nothing is written."""
    teller = differs("halt")
    ledger, now_us = teller.ledger, teller.now_us
    decide_so = [
        ("INC-99", "adopt", "x", NotFound, "there is no incident INC-99"),
        ("INC-0", "adopt", "x", NotFound, "there is no incident INC-0"),
        ("rubbish", "adopt", "x", NotFound, "'rubbish' is the name of no incident"),
        ("INC-1", "adopt", " ", UsageError, "a decision needs a reason"),
        ("INC-1", "shrug", "x", UsageError, "'shrug' is no decision"),
        ("INC-1", "adopt", "\udcff", UsageError, "reason is not text"),
    ]
    for name, decision, reason, kind, said in decide_so:
        with pytest.raises(kind, match=said):
            deciding.resolve(ledger, now_us, name, decision, "ann", reason)
    decide(teller, "position_differs", "adopt")
    with pytest.raises(NotFound, match="INC-1 is closed already"):
        deciding.resolve(ledger, now_us, "1", "adopt", "ann", "again")


def test_every_kind_of_incident_is_known_here() -> None:
    """What freezes nothing is listed; a name in two lists would be decided by chance."""
    assert not set(resolve.NOTICES) & set(resolve.LASTING)
    assert not set(resolve.OF_THE_BOOKS) & (set(resolve.NOTICES) | set(resolve.LASTING))


def test_what_only_tells_of_something_keeps_nothing_frozen() -> None:
    """The freeze is over, though an incident that stops nothing is still open."""
    teller = refused_thrice()
    teller.do(["freeze", SYMBOL])
    decide(teller, "by_hand", "trade_back")
    assert (teller.book.frozen, list(teller.ledger.incidents)) == ("", [f"refused {SYMBOL}"])


def test_a_strategy_that_failed_is_about_no_symbol() -> None:
    """Whoever has seen it says so; there is no position to tell of."""
    teller = Teller()
    teller.event(
        StrategyChanged(at_us=teller.now_us, strategy="Ema_1", state="failed", detail="1/0")
    )
    _, done = decide(teller, "strategy_failed", "ignore", "Ema_1")
    assert (done.symbol, done.position, teller.ledger.incidents) == ("Ema_1", None, {})
