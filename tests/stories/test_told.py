"""Stories of what is written down: who asks at 3 a.m. what happened reads these facts and words."""

from __future__ import annotations

from reconciler.core import decisions as d
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
