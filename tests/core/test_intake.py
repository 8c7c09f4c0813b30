"""Targets at the door: what becomes an event, and which sentence refuses what, with no trace."""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec
import pytest

from reconciler.core.ledger import Ledger
from reconciler.core.settings import Limits, Settings
from reconciler.core.step import step
from reconciler.core.targets.amounts import form_of
from reconciler.core.targets.intake import LONGEST_TEXT, MOST_CONTRACTS, Accepted, Wanted, accept
from reconciler.errors import (
    KeyReused,
    LimitExceeded,
    NotALot,
    ReconcilerError,
    Refused,
    StaleVersion,
    UnknownSymbol,
    UsageError,
)
from tests.stories.teller import SYMBOL, Teller, canonical

SETTINGS = Settings(symbols=(SYMBOL,), limits=Limits(max_position_contracts=1_000))


def wanted(contracts: int | None = 300, by: int | None = None, **more: object) -> Wanted:
    asked = Wanted(
        symbol=SYMBOL,
        contracts=contracts,
        by=by,
        source="story",
        reason="",
        policy="",
        on_expiry="hold",
        expires_us=None,
        if_version=None,
        key="",
    )
    return msgspec.structs.replace(asked, **more)


class Door:
    """A symbol of lot 100 that holds +200, and the door that its targets come through."""

    def __init__(self, position: int = 200) -> None:
        self.teller = Teller(SETTINGS, lot=100, position=position)

    def ask(self, asked: Wanted) -> Accepted:
        accepted = accept(self.teller.ledger, asked, self.teller.now_us)
        if accepted.event is not None:
            step(self.teller.ledger, accepted.event)
        return accepted

    @property
    def target(self) -> int | None:
        target = self.teller.book.target
        return target.contracts if target is not None else None


def test_a_target_becomes_an_event_with_all_that_was_said() -> None:
    """The first target is version 1, replaces nothing, and keeps each word."""
    door = Door()
    said = wanted(-300, source="bot", reason="signal", policy="urgent", expires_us=9, key="k1")
    accepted = door.ask(msgspec.structs.replace(said, on_expiry="freeze", if_version=0))
    assert accepted[1:] == (-300, None, 1, "")
    event = accepted.event
    assert event is not None
    assert (event.symbol, event.contracts, event.version) == (SYMBOL, -300, 1)
    assert (event.source, event.reason, event.policy) == ("bot", "signal", "urgent")
    assert (event.expires_us, event.on_expiry, event.key) == (9, "freeze", "k1")
    assert event.at_us == door.teller.now_us


def test_by_counts_from_the_target_and_without_one_from_the_position() -> None:
    """First from the +200 that are held, then from the target in force; down as well as up."""
    door = Door()
    assert door.ask(wanted(None, by=100)).contracts == 300
    assert door.ask(wanted(None, by=-500)).contracts == -200
    assert door.target == -200


@pytest.mark.parametrize(("then", "before", "after"), [("hold", None, 300), ("flatten", 0, 100)])
def test_by_does_not_count_from_a_target_that_ran_out_before_anybody_looked(
    then: str, before: int | None, after: int
) -> None:
    """No service was running at its end; what nobody wants any more is not added to."""
    door = Door()
    door.ask(wanted(900, expires_us=door.teller.now_us + 1, on_expiry=then))
    door.teller.now_us += 3_600_000_000
    accepted = door.ask(wanted(None, 100))
    assert (accepted.previous, accepted.contracts) == (before, after)


def test_the_same_target_again_is_recorded_once() -> None:
    """A repeat changes nothing and names the version in force."""
    door = Door()
    door.ask(wanted(300))
    assert door.ask(wanted(300)) == (None, 300, 300, 1, "")
    assert door.teller.book.version == 1


@pytest.mark.parametrize(
    "differs",
    [
        wanted(400),
        wanted(300, policy="urgent"),
        wanted(300, expires_us=2_000_000_000_000_000),
        wanted(300, key="k1"),
    ],
    ids=["contracts", "policy", "expiry", "key"],
)
def test_what_differs_in_anything_that_counts_is_a_new_target(differs: Wanted) -> None:
    """Other contracts, another policy, an end, or a key that has to be remembered."""
    door = Door()
    door.ask(wanted(300))
    assert door.ask(differs).version == 2


def test_a_target_that_has_an_end_is_not_the_same_without_it() -> None:
    """To take the end away from a target is a change."""
    door = Door()
    door.ask(wanted(300, expires_us=2_000_000_000_000_000))
    assert door.ask(wanted(300)).version == 2


def test_a_repeated_key_is_harmless_whatever_came_after_it() -> None:
    """The repeat of a recorded request names its own version and changes nothing, by or not."""
    door = Door()
    door.ask(wanted(300, key="k1"))
    door.ask(wanted(None, by=100, key="k2"))
    before = canonical(door.teller.ledger)
    again = door.ask(wanted(300, key="k1", if_version=77))
    assert again == (None, 300, 400, 1, "this key was recorded before")
    assert door.ask(wanted(None, by=100, key="k2"))[:4] == (None, 400, 400, 2)
    assert canonical(door.teller.ledger) == before


@pytest.mark.parametrize(
    ("again", "now"),
    [
        (wanted(None, by=300, key="k1"), "by +300"),
        (wanted(None, by=-100, key="k1"), "by -100"),
        (wanted(None, notional=Decimal(100), key="k1"), "notional 100"),
        (wanted(None, percent=Decimal("1.5"), key="k1"), "1.5 %"),
        (wanted(400, key="k1"), "+400"),
    ],
)
def test_a_key_remembers_the_number_that_was_asked_and_not_only_the_target(
    again: Wanted, now: str
) -> None:
    """A retry of `--by 100` is answered as the first was; another number is another request."""
    door = Door()
    first = door.ask(wanted(None, by=100, key="k1"))
    door.ask(wanted(-300))
    repeated = door.ask(wanted(None, by=100, key="k1"))
    assert (repeated.event, repeated.contracts, repeated.version) == (None, 300, first.version)
    with pytest.raises(
        KeyReused, match=re.escape(f"asked as by +100 (version 1), now it says {now}")
    ):
        door.ask(again)
    assert door.target == -300


@pytest.mark.parametrize(
    ("one", "other"), [("100", "100.0"), ("2.50", "2.5"), ("-7.0", "-7"), ("1200", "1200.00")]
)
def test_one_number_is_one_form_however_it_is_written(one: str, other: str) -> None:
    """A repeat that writes 25.0 for 25 is the same request; 2500 is another one."""
    first, second = Decimal(one), Decimal(other)
    assert form_of(None, first, None) == form_of(None, second, None)
    assert form_of(None, None, first) == form_of(None, None, second)
    assert form_of(None, first * 10, None) != form_of(None, second, None)


def test_a_text_of_the_longest_kind_is_kept() -> None:
    """The limit itself is allowed."""
    door = Door()
    assert door.ask(wanted(300, reason="x" * LONGEST_TEXT)).version == 1


def test_a_target_at_the_limit_is_allowed_on_either_side() -> None:
    """The most that may be held may be wanted."""
    door = Door()
    assert door.ask(wanted(1_000)).version == 1
    assert door.ask(wanted(-1_000)).version == 2


def test_before_the_venue_was_seen_a_lot_can_only_be_promised_to_be_checked() -> None:
    """Without an instrument the size is taken with a note."""
    ledger = Ledger(settings=SETTINGS)
    accepted = accept(ledger, wanted(150), 5)
    assert accepted.event is not None
    assert "lot size is not known yet" in accepted.note


REFUSALS: tuple[tuple[Wanted, type[ReconcilerError], str], ...] = (
    (wanted(symbol="XBTUSDT"), UnknownSymbol, "'XBTUSDT' is not one of .* .XBTUSD."),
    (wanted(symbol=" XBTUSD"), UnknownSymbol, "' XBTUSD' is not one of"),
    (wanted(symbol="xbtusd"), UnknownSymbol, "'xbtusd' is not one of"),
    (wanted(symbol="X" * 500), UnknownSymbol, f"'{'X' * 40}' is not one of"),
    (wanted(300, by=100), UsageError, "exactly one of them"),
    (wanted(None), UsageError, "exactly one of them"),
    (wanted(policy="brave"), Refused, "no policy is called 'brave'; there are: .*passive"),
    (wanted(on_expiry="panic"), Refused, "on_expiry is 'panic'; it may be hold, flatten, freeze"),
    (wanted(source="x" * 501), UsageError, "source has 501 characters; at most 500"),
    (wanted(reason="x" * 501), UsageError, "reason has 501 characters; at most 500"),
    (wanted(key="x" * 501), UsageError, "key has 501 characters; at most 500"),
    (wanted(1_100), LimitExceeded, "+1100 is above max_position_contracts = 1000"),
    (wanted(-1_100), LimitExceeded, "-1100 is above max_position_contracts = 1000"),
    (wanted(None, by=900), LimitExceeded, "+1300 is above"),
    (wanted(10**400), LimitExceeded, "beyond any account is above"),
    (wanted(-MOST_CONTRACTS - 1), LimitExceeded, "beyond any account is above"),
    (wanted(MOST_CONTRACTS), LimitExceeded, f"+{MOST_CONTRACTS} is above"),
    (wanted(250), NotALot, "+250 .* lot of 100; the nearest toward zero is +200"),
    (wanted(-250), NotALot, "-250 .* lot of 100; the nearest toward zero is -200"),
    (wanted(99), NotALot, "+99 .* the nearest toward zero is +0"),
    (wanted(if_version=0), StaleVersion, "version 0 was to be replaced, but version 1"),
    (wanted(500, key="k0"), KeyReused, "'k0' was used for +400 .version 1., now it says +500"),
)


@pytest.mark.parametrize(("asked", "error", "says"), REFUSALS, ids=[r[2] for r in REFUSALS])
def test_what_is_refused_leaves_no_trace(
    asked: Wanted, error: type[ReconcilerError], says: str
) -> None:
    """Each refusal is its own kind of error, names the value and the rule, and changes nothing."""
    door = Door()
    door.ask(wanted(400, key="k0"))
    before = canonical(door.teller.ledger)
    with pytest.raises(error, match=says.replace("+", r"\+")) as refused:
        door.ask(asked)
    assert type(refused.value) is error
    assert len(str(refused.value)) < 400
    assert canonical(door.teller.ledger) == before


def test_by_needs_no_position_when_there_is_a_target() -> None:
    """A target that was recorded before the venue was seen can be moved."""
    ledger = Ledger(settings=SETTINGS)
    first = accept(ledger, wanted(300), 5).event
    assert first is not None
    step(ledger, first)
    assert accept(ledger, wanted(None, by=-100), 6).contracts == 200


@pytest.mark.parametrize(
    ("contracts", "told"), [(1_100, 1_100), (MOST_CONTRACTS, MOST_CONTRACTS), (10**30, 0)]
)
def test_the_fields_of_a_refusal_are_numbers_that_programs_can_read(
    contracts: int, told: int
) -> None:
    """The value that was refused, unless no program could hold it."""
    with pytest.raises(LimitExceeded) as refused:
        accept(Ledger(settings=SETTINGS), wanted(contracts), 5)
    assert refused.value.fields == {
        "symbol": SYMBOL,
        "contracts": told,
        "limit": 1_000,
        "rule": "limits.max_position_contracts",
    }


def test_relative_to_nothing_is_refused() -> None:
    """Before a target and a position are known there is nothing to count from."""
    ledger = Ledger(settings=SETTINGS)
    with pytest.raises(Refused, match=re.escape(f"{SYMBOL}: +100 relative to what?")):
        accept(ledger, wanted(None, by=100), 5)
    assert ledger.book(SYMBOL).target is None


def test_a_symbol_is_refused_by_name_when_none_is_configured() -> None:
    """Nothing configured: nothing can be wanted."""
    with pytest.raises(UnknownSymbol, match=r"configured symbols \(none\)"):
        accept(Ledger(), wanted(), 5)
