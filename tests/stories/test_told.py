"""Stories of what is written down: who asks at 3 a.m. what happened reads these facts and words."""

from __future__ import annotations

import pytest

from reconciler.core import decisions as d
from reconciler.core.settings import Limits, Settings
from tests.stories.teller import Teller, tell

TRADED = """
    target +10              -> place r1 +10
    wait 40
    ok r1
    wait 300
    fill r1 +4 x1
    wait 200
    fill r1 +6 x2
    row r1 filled
    position +10                                              = idle
"""


def test_each_step_names_its_order_its_target_and_how_long_the_state_was() -> None:
    """From the first to the last; a step that leaves the state as it is does not end its time."""
    teller = tell(TRADED)
    steps = [fact for fact in teller.facts if isinstance(fact, d.Transition)]
    (name,) = teller.names
    assert {(step.cl_ord_id, step.target_version) for step in steps} == {(name, 1)}
    told = [(step.trigger, step.to_state.value, step.dwell_us // 1000) for step in steps]
    assert told == [
        ("place", "placing", 0),
        ("accept", "working", 40),
        ("part_fill", "working", 300),
        ("complete", "filled", 500),
        ("settle", "idle", 0),
    ]


def test_the_order_is_told_in_the_venue_s_words_once_it_has_some() -> None:
    """Decided, and then as its rows say."""
    teller = tell(TRADED)
    told = [f.venue_status for f in teller.facts if isinstance(f, d.OrderChanged)]
    assert told[0] == ""
    assert (told[1], told[-1]) == ("new", "filled")


def test_an_order_names_the_policy_that_made_it_where_its_target_named_none() -> None:
    """The default of today may be another one tomorrow."""
    teller = Teller()
    teller.do(["target", "+10"])
    placed = teller.done[-1]
    assert isinstance(placed, d.PlaceOrder)
    assert placed.policy == "passive"


def test_who_is_where_he_should_be_waits_for_nothing() -> None:
    """No words about a person who would have to resume something."""
    assert tell(TRADED).book.waiting_for == ""


def test_the_first_reason_of_a_freeze_of_the_account_stays() -> None:
    """The second is an incident of its own; what began it is what a person looks for."""
    teller = Teller()
    teller.do(["unknown", "new"])
    first = teller.ledger.frozen
    assert first
    teller.do(["freeze"])
    assert teller.ledger.frozen == first
    assert [name.split()[0] for name in teller.ledger.incidents] == ["unknown_own_order", "by_hand"]


def test_a_cancel_names_the_venue_s_id_where_our_own_no_longer_tells_which() -> None:
    """Two orders under one client id, or one that came back: each goes by the id that it has."""
    teller = tell("target +10 -> place r1 +10\nok r1\ntarget 0 -> cancel r1")
    (name,) = teller.names
    assert [one.order_id for one in teller.done if isinstance(one, d.CancelOrder)] == [""]
    teller.do(["cancel", "refused", "r1"])
    teller.do(["twin", "r1", "new", "0"])
    teller.wait(2_000)
    cancels = {one.order_id: one.cl_ord_id for one in teller.done if isinstance(one, d.CancelOrder)}
    assert cancels == {"": name, "b": f"{name}/b", f"v-{name}": name}


def test_the_end_of_a_mode_names_whose_it_was_and_the_wait_why_it_is() -> None:
    """Of a symbol, and in the words of whoever said it."""
    teller = tell("target +10 by passive -> place r1 +10\ntraded r1 10 x1\npause XBTUSD for 5000")
    assert teller.book.waiting_for == "resume: paused: drill (story)"
    assert "ended pause" in teller.wait(5_000)
    (ended,) = (fact for fact in teller.facts if isinstance(fact, d.ModeEnded))
    assert (ended.symbol, ended.why) == ("XBTUSD", "drill (story)")
    teller.do(["pause", "for", "5000"])
    teller.wait(5_000)
    assert [fact.symbol for fact in teller.facts if isinstance(fact, d.ModeEnded)] == ["XBTUSD", ""]


@pytest.mark.parametrize(("side", "asked"), [("+", "+60"), ("-", "-60")])
def test_who_has_no_room_reads_what_the_position_could_be(side: str, asked: str) -> None:
    """With all that rests filled, on the side that the order would be on."""
    settings = Settings(symbols=("XBTUSD",), limits=Limits(max_position_contracts=50))
    teller = tell(f"rests f1 {side}50", settings=settings)
    teller.do(["target", asked])
    assert teller.book.waiting_for.endswith(f"= 50: the position could be {side}50")
