"""Stories of fat fingers: a change far from the usual one is said twice, in numbers, or refused."""

from __future__ import annotations

import msgspec
import pytest

from reconciler.core.events import Share
from reconciler.core.settings import Limits, Settings
from reconciler.core.targets import intake
from reconciler.errors import LimitExceeded, NeedsConfirmation
from tests.stories.teller import SYMBOL, Teller


def wanted(contracts: int, confirm: int | None = None, **more: object) -> intake.Wanted:
    blank = intake.Wanted(
        symbol=SYMBOL,
        contracts=contracts,
        by=None,
        source="story",
        reason="",
        policy="",
        on_expiry="hold",
        expires_us=None,
        if_version=None,
        key="",
        confirm=confirm,
    )
    return msgspec.structs.replace(blank, **more)


def teller(**limits: int) -> Teller:
    return Teller(Settings(symbols=(SYMBOL,), limits=Limits(**limits)))


def say(story: Teller, contracts: int, confirm: int | None = None) -> None:
    """What a door does."""
    accepted = intake.accept(story.ledger, wanted(contracts, confirm), story.now_us)
    assert accepted.event is not None
    story.version = accepted.event.version
    story.event(accepted.event)


def used(story: Teller) -> Teller:
    """Changes of 10, 20, 10, 30 and 10 contracts: the usual one is 10."""
    for contracts in (10, 30, 20, 50, 40):
        say(story, contracts, contracts)
    assert story.book.changes == [10, 20, 10, 30, 10]
    return story


def test_a_hundred_times_the_usual_is_asked_about() -> None:
    """The refusal says how to mean it, and nothing has changed."""
    story = used(teller(usual_times=5))
    with pytest.raises(NeedsConfirmation) as refusal:
        intake.accept(story.ledger, wanted(1040), story.now_us)
    assert "--confirm 1040" in str(refusal.value)
    assert "change of 1000; the usual one is 10" in str(refusal.value)
    assert story.book.target is not None
    assert story.book.target.contracts == 40


def test_five_times_the_usual_is_usual_enough() -> None:
    """Only what is beyond the limit is asked about."""
    story = used(teller(usual_times=5))
    say(story, 90)
    with pytest.raises(NeedsConfirmation):
        say(story, 90 + 51)


def test_a_confirmation_is_worth_nothing_for_another_number() -> None:
    """Confirmed is the very value: a slip in either number is seen."""
    story = used(teller(usual_times=5))
    with pytest.raises(NeedsConfirmation) as refusal:
        say(story, 1040, confirm=104)
    assert "(+104 was confirmed)" in str(refusal.value)
    say(story, 1040, confirm=1040)
    assert story.book.changes[-1] == 1000


def test_small_changes_are_never_asked_about() -> None:
    """However small the usual ones are, up to a size nobody has to be asked."""
    story = used(teller(usual_times=2, usual_above_contracts=100))
    say(story, 140)
    with pytest.raises(NeedsConfirmation):
        say(story, 140 + 101)


def test_at_first_nothing_is_usual() -> None:
    """Without changes to compare with, all that is not small is confirmed."""
    story = teller(usual_times=10, usual_above_contracts=50)
    with pytest.raises(NeedsConfirmation) as refusal:
        say(story, 51)
    assert "the usual one is 0" in str(refusal.value)
    say(story, 50)


def test_the_usual_is_of_the_newest_changes() -> None:
    """Who has traded thousands for a while need not confirm them any more."""
    story = used(teller(usual_times=5, usual_last=3))
    for contracts in (1040, 2040):
        say(story, contracts, contracts)
    say(story, 3040)


def test_the_same_again_and_a_new_policy_are_no_change_of_size() -> None:
    """What moves nothing is not remembered as a size."""
    story = used(teller(usual_times=5))
    story.target(40, policy="urgent")
    assert story.book.changes[-1] == 10
    assert len(story.book.changes) == 5


def test_only_so_many_changes_are_remembered() -> None:
    """Years of targets don't grow the ledger."""
    story = teller()
    for number in range(120):
        story.target(number % 2 + 1)
    assert len(story.book.changes) == 100


def test_beyond_the_hard_limit_no_confirmation_helps() -> None:
    """A change so large is never meant."""
    story = teller(max_change_contracts=500)
    say(story, 500)
    with pytest.raises(LimitExceeded) as refusal:
        say(story, 1001, confirm=1001)
    assert "limits.max_change_contracts = 500" in str(refusal.value)
    say(story, 0)


def test_before_the_first_target_a_change_is_one_of_the_position() -> None:
    """Whoever holds five hundred and says so changes nothing."""
    story = Teller(Settings(symbols=(SYMBOL,), limits=Limits(max_change_contracts=1)), position=500)
    say(story, 500)
    assert story.book.changes == []


@pytest.mark.parametrize(
    "who",
    [
        {"shares": (Share(strategy="Ema_1", contracts=0, signal=1, weight=""),)},
        {"schedule": "day/0"},
    ],
)
def test_who_has_nobody_to_confirm_may_always_want_less(who: dict[str, object]) -> None:
    """A strategy that wants out at night is not kept in because it is a lot that it gives up."""
    story = teller(usual_times=5, max_change_contracts=1_200)
    for contracts in (10, 20, 30, 1_000):
        say(story, contracts, contracts)
    for contracts in (0, 500, 100):
        accepted = intake.accept(story.ledger, wanted(contracts, **who), story.now_us)
        assert accepted.contracts == contracts
    for contracts in (-1, 1_999, -1_000):
        with pytest.raises((NeedsConfirmation, LimitExceeded)):
            intake.accept(story.ledger, wanted(contracts, **who), story.now_us)
    with pytest.raises(NeedsConfirmation):
        intake.accept(story.ledger, wanted(0), story.now_us)  # a person can be asked
