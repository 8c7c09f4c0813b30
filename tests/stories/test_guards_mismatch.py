"""Stories of a difference that outlived its repair, and of the rule that settles it."""

from __future__ import annotations

import msgspec
import pytest

from reconciler.core.decisions import Resync
from reconciler.core.events import Adjusted, AnyEvent, Halted, TargetSet
from reconciler.core.settings import Settings
from reconciler.core.trouble import mismatch, resolve
from reconciler.errors import Refused
from reconciler.service import commands
from tests.stories.teller import SYMBOL, Teller, tell


def by_rule(rule: str, **more: int) -> Settings:
    return Settings(symbols=(SYMBOL,), on_mismatch=rule, **more)  # type: ignore[arg-type]


def differs(rule: str, venue: int = 60, **more: int) -> Teller:
    """The venue shows another position for ten seconds, and a full look brings no execution."""
    teller = Teller(by_rule(rule, **more), position=100)
    teller.do(["target", "+100"])
    again(teller, venue)
    return teller


def again(teller: Teller, venue: int, looks: int = 30) -> list[str]:
    said: list[str] = teller.do(["position", str(venue)])
    for _ in range(looks):
        asked = {request.type for request in teller.ledger.requests.values()}
        if "readposition" in asked:
            said += teller.do(["position", str(venue), "read"])
        if "resync" in asked:
            said += teller.do(["sync", str(venue)])
            said += teller.do(["resync", "done"])
        said += teller.wait(500)
        teller.do(["clock", "0"])
    return said


def adjustments(teller: Teller) -> list[Adjusted]:
    return [event for event, _ in teller.history if isinstance(event, Adjusted)]


def test_to_halt_leaves_it_to_a_person() -> None:
    """As it was: frozen, both figures shown, nothing adjusted."""
    teller = differs("halt")
    assert teller.book.frozen == "the books say +100, the venue says 60"
    assert adjustments(teller) == []


def test_to_adopt_takes_the_venue_s_figure_and_wants_it() -> None:
    """Signed by the rule, no fill invented, and nothing traded."""
    teller = differs("adopt")
    (adjusted,) = adjustments(teller)
    assert (adjusted.contracts, adjusted.by) == (-40, "on_mismatch = adopt")
    assert adjusted.reason == "the books said +100, the venue says +60"
    assert teller.book.target is not None
    assert (teller.book.position, teller.book.target.contracts) == (60, 60)
    assert teller.book.target.source == "on_mismatch = adopt"
    assert (teller.book.frozen, teller.book.waiting_for) == ("", "")
    assert [word for word in map(teller.say, teller.done) if word.startswith("place")] == []


def test_to_trade_back_adjusts_and_goes_for_the_target() -> None:
    """The books follow, the target stays: what is missing is bought."""
    teller = differs("trade_back")
    assert [(a.contracts, a.by) for a in adjustments(teller)] == [(-40, "on_mismatch = trade_back")]
    assert "place r1 +40" in map(teller.say, teller.done)
    assert teller.book.version == 1


def test_without_a_target_there_is_nothing_to_want() -> None:
    """Adopting is the adjustment alone."""
    teller = Teller(by_rule("adopt"), position=100)
    again(teller, 60)
    assert len(adjustments(teller)) == 1
    assert teller.book.target is None


def test_only_so_many_a_day_and_then_a_person() -> None:
    """A venue that is wrong again and again is not followed for ever; the next day it may be."""
    teller = differs("adopt", mismatches_per_day=2)
    again(teller, 30)
    assert len(adjustments(teller)) == 2
    again(teller, 10)
    assert len(adjustments(teller)) == 2
    assert teller.book.frozen == "the books say +30, the venue says 10"
    left_us = 86_400_000_000 - teller.now_us % 86_400_000_000
    teller.wait(left_us // 1000)
    teller.do(["clock", "0"])
    assert len(adjustments(teller)) == 3
    assert teller.book.position == 10
    again(teller, 5)  # the second of this day
    assert len(adjustments(teller)) == 4


@pytest.mark.parametrize("rule", ["halt", "adopt"])
def test_a_figure_that_is_younger_than_the_repair_is_not_taken(rule: str) -> None:
    """Others trade just before a difference is settled; the execution of that is on its way."""
    teller = Teller(by_rule(rule), position=100)
    teller.do(["target", "+100"])
    teller.do(["position", "60"])
    while not teller.book.repairs or teller.ledger.sync_asked_us is not None:
        if "resync" in {request.type for request in teller.ledger.requests.values()}:
            teller.do(["sync", "60"])
            teller.do(["resync", "done"])
        teller.wait(500)
    teller.do(["position", "0"])
    teller.wait(9_500)
    assert (adjustments(teller), teller.book.frozen) == ([], "")
    teller.do(["foreign", "-60", "y1"])
    again(teller, 0)
    said = [one.reason for one in adjustments(teller)] or [teller.book.frozen]
    assert said[0] in (
        "the books said +40, the venue says +0",
        "the books say +40, the venue says 0",
    )


def test_what_differs_anew_under_a_freeze_is_read_again_and_can_be_decided_then() -> None:
    """A person is not told a figure that an execution on its way explains."""
    teller = differs("halt")
    teller.do(["position", "0"])
    number = teller.ledger.incidents[f"position_differs {SYMBOL}"]
    why = resolve.objection(teller.ledger, "position_differs", SYMBOL, "adopt")
    assert "being compared just now" in why
    again(teller, 0)
    assert resolve.objection(teller.ledger, "position_differs", SYMBOL, "adopt") == ""
    assert teller.ledger.incidents[f"position_differs {SYMBOL}"] == number
    teller.wait(60_000)
    anew = [one for one in teller.done if isinstance(one, Resync) and one.reason.endswith("anew")]
    assert len(anew) == 2  # at once, and once more when that could have read it


def test_a_resume_that_adopts_waits_as_a_decision_does() -> None:
    """It is the same adjustment: not of a figure that an execution on its way explains."""
    teller = differs("halt")
    teller.do(["position", "0"])

    def resume() -> list[AnyEvent]:
        return commands.resume(teller.ledger, teller.now_us, "ann", "seen", (SYMBOL,), True)[0]

    with pytest.raises(Refused, match="being compared just now"):
        resume()
    again(teller, 0)
    for event in resume():
        teller.event(event)
    assert [one.contracts for one in adjustments(teller)] == [-100]
    assert (teller.book.frozen, teller.book.position) == ("", 0)


def test_what_a_person_adjusts_is_not_counted() -> None:
    """He has looked: the rule still has all its turns of the day."""
    teller = Teller(by_rule("adopt", mismatches_per_day=1), position=100)
    teller.do(["target", "+100"])
    teller.do(["adjust", "0"])
    again(teller, 60)
    assert [one.by for one in adjustments(teller)] == ["story", "on_mismatch = adopt"]


def test_a_figure_from_before_the_stream_was_lost_is_not_settled_by() -> None:
    """What the venue showed then may be wrong by now, and nobody sees it."""
    teller = Teller(by_rule("adopt"), position=100)
    teller.do(["target", "+100"])
    book = teller.book
    book.frozen_by, book.venue_position = "position_differs", 60
    assert len(mismatch.settled(teller.ledger)) == 2
    teller.ledger.in_sync = False
    assert mismatch.settled(teller.ledger) == []


def test_a_figure_that_came_while_it_could_not_be_settled_is_read_for_first() -> None:
    """A halt has kept the rule from it; what others traded meanwhile may be on its way."""
    teller = Teller(by_rule("adopt"), position=100)
    teller.do(["target", "+100"])
    teller.event(Halted(at_us=teller.now_us, by="story", reason="odd", symbols=(SYMBOL,)))
    again(teller, 60)
    teller.do(["position", "0"])
    teller.book.halted = ""  # as when its time is over
    assert mismatch.settled(teller.ledger) == []
    again(teller, 0)
    assert [one.contracts for one in adjustments(teller)] == [-100]


@pytest.mark.parametrize("symbols", [(), (SYMBOL,)])
def test_under_a_halt_nothing_is_settled_by_rule(symbols: tuple[str, ...]) -> None:
    """Whoever stopped it has a look at it first."""
    teller = Teller(by_rule("adopt"), position=100)
    teller.event(Halted(at_us=teller.now_us, by="story", reason="odd", symbols=symbols))
    again(teller, 60)
    assert adjustments(teller) == []
    assert "the venue says 60" in teller.book.frozen


def test_other_freezes_are_no_affair_of_the_rule() -> None:
    """A liquidation stays with a person, whatever the rule for differences."""
    teller = Teller(by_rule("adopt"), position=100)
    teller.do(["target", "+100"])
    teller.do(["liquidation", "-60", "y1"])
    again(teller, 40)
    assert adjustments(teller) == []
    assert "liquidation" in teller.book.frozen


def test_a_frozen_account_is_no_affair_of_it_either() -> None:
    """What nobody can explain is not made to fit."""
    teller = Teller(by_rule("trade_back"), position=100)
    teller.do(["unknown", "new"])
    again(teller, 60)
    assert adjustments(teller) == []


def test_a_replay_has_what_the_rule_decided() -> None:
    """Its events are in the journal like anybody's, and lead to the same ledger."""
    teller = differs("adopt")
    kinds = [type(event) for event, _ in teller.history]
    assert kinds.index(Adjusted) == kinds.index(TargetSet, kinds.index(TargetSet) + 1) + 1


def test_while_an_order_lives_nothing_is_settled() -> None:
    """What it fills on its way may be the very difference."""
    teller = tell("target +150 -> place r1 +50\nok r1", settings=by_rule("adopt"), position=100)
    book = teller.book
    book.frozen_by, book.venue_position = "position_differs", 60
    assert mismatch.settled(teller.ledger) == []
    teller.order("r1").status = "ended"
    assert mismatch.settled(teller.ledger) == []
    teller.order("r1").status = "closed"
    assert len(mismatch.settled(teller.ledger)) == 2


def test_before_the_venue_has_said_anything_nothing_is_settled() -> None:
    """There is no figure to take."""
    teller = Teller(by_rule("adopt"), position=100)
    book = teller.book
    book.frozen_by, book.venue_position = "position_differs", None
    assert mismatch.settled(teller.ledger) == []


def test_a_difference_is_not_hidden_by_a_venue_whose_clock_was_set_back() -> None:
    """Its row is of an hour that has yet to come: to wait for that would keep a person from it."""
    teller = Teller(position=100)
    row = teller.position_row(60)
    teller.event(msgspec.structs.replace(row, venue_us=row.venue_us + 3_600_000_000))
    again(teller, 60)
    assert teller.book.frozen == "the books say +100, the venue says 60"
    assert resolve.objection(teller.ledger, "position_differs", teller.symbol, "adopt") == ""


def test_a_difference_that_goes_on_moving_is_shown_to_a_person_in_the_end() -> None:
    """Each step is younger than what was read, and no execution ever tells of one."""
    teller = Teller(position=100)
    for venue in (60, 61) * 4:
        again(teller, venue, looks=16)
    assert teller.book.frozen.startswith("the books say +100, the venue says 6")
    assert sum(isinstance(one, Resync) for one in teller.done) >= mismatch.MOST_REPAIRS
