"""Stories of what a person may forbid: pause, reduce-only, freeze, halt; and how each ends."""

from __future__ import annotations

import pytest

from reconciler.core import decisions as d
from reconciler.core.events import Halted, ModeSet
from reconciler.core.settings import Policy, Settings
from reconciler.core.step import step
from tests.stories.teller import SYMBOL, Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"
TWO = Settings(symbols=("ETHUSD", SYMBOL))


def test_a_pause_takes_the_order_away_and_keeps_the_position() -> None:
    """What rests is cancelled, what is held is kept, the target waits until somebody resumes."""
    tell(
        WORKING
        + """
        fill r1 +40 x1
        position +40
        pause                   -> cancel r1                  = cancelling
        cancelled r1 40                                       = idle ~ resume: paused: drill (story)
        target +200                                           = idle ~ paused
        wait 20_000                                           = idle ~ paused
        resume                  -> place r2 +160              = placing
        """
    )


def test_a_paused_symbol_says_so_though_it_is_on_target() -> None:
    """Who looks at a quiet symbol has to see that it would not act."""
    tell("target 0\npause = idle ~ paused\ntrade")


def test_what_is_stopped_says_so_though_nobody_wants_anything() -> None:
    """Whoever looks at it finds out before he sets a target, and not by it."""
    tell(
        """
        halt                                                  = idle ~ resume: halted
        resume
        target +100 for 1000 freeze -> place r1 +100
        ok r1
        wait 1_000              -> cancel r1
        cancelled r1 0                                        = idle ~ a decision: frozen: target ve
        """
    )


def test_a_pause_of_one_symbol_leaves_the_others_alone() -> None:
    """Only the named symbol stops; a pause of the account stops all, whatever a symbol says."""
    teller = tell(
        """
        pause ETHUSD
        target +100             -> place r1 +100
        ok r1                                                 = working
        pause                   -> cancel r1
        cancelled r1 0
        trade XBTUSD                                          = idle ~ paused
        trade                   -> place r2 +100              = placing
        """,
        settings=TWO,
    )
    assert teller.ledger.books["ETHUSD"].mode == "pause"


def test_a_pause_with_an_end_ends_by_itself() -> None:
    """The core asks to be woken for it, and says that it is over."""
    teller = tell(
        """
        pause for 5000
        target +100                                           = idle ~ paused
        wait 4_999                                            = idle ~ paused
        wait 1                  -> ended pause, place r1 +100 = placing
        """
    )
    assert [f.symbol for f in teller.facts if isinstance(f, d.ModeEnded)] == [""]


def test_a_pause_of_a_symbol_with_an_end_ends_for_that_symbol() -> None:
    """And patience begins anew: nobody could work the gap, so nobody has to try harder at once."""
    teller = tell(
        """
        target +100             -> place r1 +100
        ok r1
        pause XBTUSD for 20000  -> cancel r1
        cancelled r1 0                                        = idle ~ paused
        wait 20_001             -> ended pause, place r2 +100 = placing
        """
    )
    assert teller.book.target is not None
    assert teller.book.target.gap_since_us == teller.order("r2").placed_us


def test_a_pause_outlives_a_crash_and_so_does_its_end() -> None:
    """A new run finds it in force; one that starts after its end begins by ending it."""
    teller = tell("pause for 5000\ntarget +100\nrestart\nsync 0 = idle ~ paused\n")
    teller.now_us += 10_000_000  # nobody ran
    assert "ended pause" in teller.start()
    assert "place r1 +100" in teller.synced(0)


def test_another_pause_replaces_the_first_with_its_end() -> None:
    """The newest word counts: one without an end does not end."""
    tell("""
        pause for 5000
        pause
        target +100
        wait 20_000                                           = idle ~ paused
        pause for 1000
        wait 1_001              -> ended pause, place r1 +100
    """)


def test_reduce_only_closes_and_never_opens() -> None:
    """What leads toward zero is worked, reduce-only; what would add waits, and says so."""
    tell(
        """
        reduce_only
        target +200                                           = idle ~ target +200 would add
        target +60              -> place r1 -40 reduce
        ok r1
        fill r1 -40 x1
        row r1 filled 40
        position +60                                          = idle
        """,
        position=100,
    )


def test_reduce_only_works_a_change_of_sign_as_far_as_zero() -> None:
    """The first leg closes; the second would open, and waits until somebody resumes."""
    tell(
        """
        reduce_only
        target -150             -> place r1 -100 reduce
        ok r1
        fill r1 -100 x1
        row r1 filled 100
        position 0                                            = idle ~ target -150 would add
        trade                   -> place r2 -150
        """,
        position=100,
    )


def test_reduce_only_works_a_short_position_too() -> None:
    """Nearer to zero is up, when it is below."""
    tell(
        "reduce_only\ntarget -200 = idle ~ would add\ntarget -30 -> place r1 +70 reduce",
        position=-100,
    )


def test_reduce_only_takes_an_order_away_that_adds() -> None:
    """And leaves alone one that reduces."""
    tell(WORKING + "reduce_only -> cancel r1 = cancelling\ncancelled r1 0 = idle ~ would add")
    tell("target 0 -> place r1 -100 reduce\nok r1\nreduce_only = working", position=100)


def test_reduce_only_takes_an_order_away_that_is_in_doubt_and_would_add() -> None:
    """It may be there: harmless if it is not."""
    tell("target +100 -> place r1 +100\nlost r1 -> read r1\nreduce_only -> cancel r1")


def test_reduce_only_has_an_end_too() -> None:
    """Then the second leg follows by itself."""
    tell("reduce_only for 5000\ntarget +10\nwait 5_000 -> ended reduce_only, place r1 +10")


def test_a_freeze_by_a_person_is_one_of_the_core_s_own() -> None:
    """An incident tells of it, of a symbol or of the account, and a resume ends it."""
    tell(
        WORKING
        + """
        freeze XBTUSD           -> cancel r1, incident by_hand
        cancelled r1 0                                        = idle ~ frozen: drill (story)
        resume                  -> place r2 +100, closed 1
        freeze                  -> incident by_hand
        ok r2                   -> cancel r2                  = cancelling
        cancelled r2 0                                        = idle ~ frozen
        resume                  -> place r3 +100, closed 2
        """
    )


def test_a_freeze_by_a_person_may_have_an_end() -> None:
    """Of a symbol or of the account: the incident is closed, and it goes on where it was."""
    teller = tell(
        WORKING
        + """
        freeze XBTUSD for 5000  -> cancel r1, incident by_hand
        cancelled r1 0                                        = idle ~ frozen: drill (story)
        wait 4_999                                            = idle ~ frozen
        wait 1                  -> ended freeze, closed 1, place r2 +100
        freeze for 5000         -> incident by_hand
        ok r2                   -> cancel r2
        cancelled r2 0                                        = idle ~ frozen
        wait 5_000              -> ended freeze, closed 2, place r3 +100
        """
    )
    assert (teller.book.frozen, teller.ledger.frozen, teller.ledger.incidents) == ("", "", {})
    ends = [fact.why for fact in teller.facts if isinstance(fact, d.ModeEnded)]
    assert ends == ["drill (story)"] * 2


@pytest.mark.parametrize("whose", ["", " XBTUSD"])
@pytest.mark.parametrize(
    ("freezes", "ends"),
    [
        ("freeze\nfreeze for 5000", False),
        ("freeze for 5000\nfreeze", False),
        ("freeze for 9000\nfreeze for 5000", True),
        ("freeze for 5000\nfreeze for 9000", True),
        ("freeze for 5000\nresume\nfreeze", False),
    ],
)
def test_a_freeze_never_shortens_another(freezes: str, ends: bool, whose: str) -> None:
    """A script's five minutes do not end what a person froze for good."""
    said = freezes.replace("freeze", f"freeze{whose}")
    teller = tell(said + "\ntarget +100\nwait 8_999 = idle ~ frozen")
    told = teller.wait(20_000)
    still = [name for name in teller.ledger.incidents if name.startswith("by_hand")]
    assert ("place r1 +100" in told) == ends == (not still)


@pytest.mark.parametrize("first", ["a person", "the venue"])
def test_the_end_of_a_person_s_freeze_ends_no_other(first: str) -> None:
    """What froze by itself still needs a person, whichever of the two came first."""
    both = ["freeze XBTUSD for 5000", "liquidation -60 y1"]
    teller = Teller(position=100)
    for line in both if first == "a person" else both[::-1]:
        teller.do(line.split())
    teller.do(["position", "+40"])
    words, number = teller.book.frozen, teller.ledger.incidents["by_hand XBTUSD"]
    assert "ended freeze" in teller.wait(5_000)
    (ended,) = [fact for fact in teller.facts if isinstance(fact, d.ModeEnded)]
    assert ended.why == f"by_hand (INC-{number})", "and not the words of the other one"
    assert (teller.book.frozen == words) == (first == "the venue")
    assert (teller.book.frozen_by, [*teller.ledger.incidents]) == (
        "liquidation",
        ["liquidation XBTUSD"],
    )


def test_a_doubt_keeps_nothing_frozen_once_a_person_s_freeze_is_over() -> None:
    """Its incident is open, and evidence ends it: nobody could thaw a symbol in its name."""
    teller = Teller()
    for line in ("target +100", "lost r1", "freeze XBTUSD for 5000"):
        teller.do(line.split())
    assert "ended freeze" in teller.wait(5_000)
    assert (teller.book.frozen, [*teller.ledger.incidents]) == ("", ["in_doubt XBTUSD"])


def test_a_foreign_order_that_came_during_a_person_s_freeze_freezes_after_it() -> None:
    """It came second, so the freeze was not in its name: it needs a decision all the same."""
    teller = Teller(Settings(symbols=(SYMBOL,), foreign_orders="freeze"))
    for line in ("freeze XBTUSD for 5000", "rests f1 +50", "target +100"):
        teller.do(line.split())
    assert "ended freeze" in teller.wait(5_000)
    assert teller.book.frozen_by == "foreign_order"
    assert [*teller.ledger.incidents] == ["foreign_order XBTUSD"]


def test_a_halt_with_an_end_ends_by_itself() -> None:
    """By time, with a fact that tells it."""
    tell(
        WORKING
        + """
        halt for 5000           -> cancel r1
        cancelled r1 0                                        = idle ~ halted
        wait 5_000              -> ended halt, place r2 +100
        """
    )


@pytest.mark.parametrize(
    ("halts", "ends"),
    [
        ("halt\nhalt for 5000", False),
        ("halt for 5000\nhalt", False),
        ("halt for 9000\nhalt for 5000", True),
        ("halt for 5000\nhalt for 9000", True),
    ],
)
def test_a_halt_never_shortens_another(halts: str, ends: bool) -> None:
    """A script's five minutes do not end what a person halted for good."""
    teller = tell(halts + "\ntarget +100\nwait 8_999 = idle ~ halted")
    said = teller.wait(20_000)
    assert said[:2] == (["ended halt", "place r1 +100"] if ends else [])


def test_a_resume_ends_the_end_as_well() -> None:
    """What is over does not end a second time, nor end what comes after it."""
    tell("""
        pause for 5000
        halt for 5000
        resume
        pause
        target +100
        wait 20_000                                           = idle ~ paused
    """)


@pytest.mark.parametrize("whose", ["", " XBTUSD"])
def test_what_was_resumed_has_no_end_to_come(whose: str) -> None:
    """Nobody is told a second time that a freeze is over."""
    teller = tell(f"freeze{whose} for 5000\nresume")
    assert "ended freeze" not in teller.wait(9_000)


def test_a_resume_of_the_account_is_one_of_each_symbol() -> None:
    """Who resumes everything has to name nothing."""
    tell("pause XBTUSD\ntarget +100 = idle ~ paused\nresume -> place r1 +100")


def test_a_resume_of_one_symbol_leaves_the_account_as_it_is() -> None:
    """The account's own word is ended by name of nothing else."""
    tell("pause\npause XBTUSD\ntarget +100\nresume XBTUSD = idle ~ paused\nresume -> place r1 +100")


def test_the_end_of_a_mode_that_is_none_ends_nothing() -> None:
    """To trade again has no end: nobody is told that nothing is over."""
    tell("pause\ntrade for 5000\ntarget +100 -> place r1 +100\nok r1\nwait 4_900\nwait 200")


def test_the_journal_can_be_folded_over_every_mode() -> None:
    """Modes, ends and resumes lead to the same ledger when they are given again."""
    teller = Teller()
    for line in ("pause for 10", "wait 20", "reduce_only XBTUSD", "halt for 30", "wait 40"):
        teller.do(line.split())
    again = type(teller.ledger)()
    facts = [fact for event, _ in teller.history for fact in step(again, event).facts]
    assert facts == teller.facts
    assert again.modes_end_us == teller.ledger.modes_end_us


def test_a_flatten_leads_to_zero_whatever_is_wanted_meanwhile() -> None:
    """A strategy that goes on talking neither keeps the rest of it open, nor opens it again."""
    tell(
        """
        flatten
        target 0                -> place r1 -100 reduce
        ok r1
        fill r1 -40 x1
        position +60
        target +100                                           = working
        target +60                                            = working
        fill r1 -60 x2
        row r1 filled 100
        position 0                           = idle ~ resume: flatten: drill (story): target +60 w
        wait 1_000                                            = idle ~ target +60 would add
        resume                  -> place r2 +60
        """,
        position=100,
    )


def test_a_flatten_closes_what_is_on_target() -> None:
    """The target is met, and the position has to go all the same: with patience, as any gap."""
    teller = tell("target +100\nflatten XBTUSD -> place r1 -100 reduce\nok r1", position=100)
    assert teller.book.target is not None
    assert teller.book.target.gap_since_us == teller.order("r1").placed_us
    tell("target +100\nreduce_only\nflatten -> place r1 -100 reduce", position=100)


def test_a_flatten_does_not_wait_for_the_path_of_another_target() -> None:
    """An hour of slices toward what somebody wants is no hour of holding what has to go."""
    policy = Policy(over_us=3_600_000_000)
    settings = Settings(symbols=(SYMBOL,), policies={"passive": policy}, default_policy="passive")
    teller = tell("target +100", settings=settings, position=100)
    assert "place r1 -100 reduce" in teller.do(["flatten"])


@pytest.mark.parametrize("first", ["pause", "halt", "freeze"])
@pytest.mark.parametrize("later", ["pause", "halt", "freeze"])
def test_the_end_of_one_ends_no_other_that_ends_later(first: str, later: str) -> None:
    """A short word about the account, a long one about a symbol: each has its own time."""
    teller = Teller(position=100)
    until_us = teller.now_us + 9_000_000
    long = Halted(
        at_us=teller.now_us, by="story", reason="drill", symbols=(SYMBOL,), until_us=until_us
    )
    teller.event(long if later == "halt" else mode(later, until_us, SYMBOL, teller.now_us))
    if first == "halt":
        teller.do(["halt", "for", "3000"])
    else:
        teller.event(mode(first, teller.now_us + 3_000_000, "", teller.now_us))
    teller.wait(5_000)
    account, book = teller.ledger, teller.book
    assert account.halted + account.frozen + account.mode == ""
    assert book.halted + book.frozen + book.mode != ""
    teller.wait(5_000)
    assert book.halted + book.frozen + book.mode == ""


def mode(name: str, until_us: int, symbol: str, at_us: int) -> ModeSet:
    symbols = (symbol,) if symbol else ()
    return ModeSet(
        at_us=at_us, mode=name, by="story", reason="drill", symbols=symbols, until_us=until_us
    )


def test_a_target_that_a_flatten_leads_away_from_is_not_held() -> None:
    """The position is where the flatten wants it: it is not where the target does."""
    teller = tell("flatten\ntarget +100                                = idle ~ would add")
    assert teller.book.target is not None
    assert not teller.book.target.held
    assert not any(isinstance(fact, d.TargetHeld) for fact in teller.facts)
