"""Stories of foreign orders that are cancelled: by the venue's id, with patience, and told."""

from __future__ import annotations

import msgspec

from reconciler.core.events import Configured
from reconciler.core.settings import Settings
from reconciler.core.trouble import resolve
from tests.stories.teller import SYMBOL, Teller, tell

CANCELS = Settings(symbols=(SYMBOL,), foreign_orders="cancel")


def named(teller: Teller, name: str, cl_ord_id: str) -> list[str]:
    """A foreign order that bears a name."""
    row = msgspec.structs.replace(teller.person_row(name, 50), cl_ord_id=cl_ord_id)
    return teller.event(row)


def test_a_foreign_order_is_cancelled_and_told_of() -> None:
    """Its row ends it, and the incident."""
    teller = tell(
        """
        rests f1 +50            -> cancel f1, incident foreign_order
        gone f1                 -> closed 1
        """,
        settings=CANCELS,
    )
    decision = teller.done[-1]
    assert (decision.cl_ord_id, decision.order_id) == ("", "f1")
    assert teller.book.foreign_cancels == {}


def test_a_cancel_that_came_to_nothing_is_repeated_with_patience() -> None:
    """A second, two, four…: nobody's budget is spent on an order that won't go."""
    tell(
        """
        rests f1 +50            -> cancel f1
        nothing f1
        wait 999
        wait 1                  -> cancel f1
        nothing f1
        wait 1999
        wait 1                  -> cancel f1
        nothing f1
        gone f1
        wait 20_000
        """,
        settings=CANCELS,
    )


def test_while_it_rests_it_counts_in_the_worst_case() -> None:
    """Until it is gone it may fill; and our own target is worked all the while."""
    teller = tell(
        "rests f1 +50 -> cancel f1\ntarget +100 -> place r1 +100\nok r1 = working",
        settings=CANCELS,
    )
    assert teller.book.worst_case() == (0, 150)


def test_an_order_with_a_person_s_name_is_cancelled_too() -> None:
    """Any name that is not one of this program's."""
    teller = Teller(CANCELS)
    assert "cancel f1" in named(teller, "f1", "by-hand-7")


def test_an_order_of_another_installation_is_left_alone() -> None:
    """It minds its own; two that cancel each other's orders would never end."""
    teller = Teller(CANCELS)
    assert named(teller, "f1", "rc-zzzz-1-000001") == []
    assert teller.wait(5_000) == []
    assert (
        teller.do(["sync", "0", "f1"]) == []
    )  # a list of ids without names: whose it is, is known
    assert teller.wait(5_000) == []


def test_an_order_under_our_own_ids_stops_the_account_and_is_not_cancelled() -> None:
    """Without an intent it may be anything: a person decides."""
    teller = Teller(CANCELS)
    assert named(teller, "f1", "rc-test-9-000001") == ["incident unknown_own_order"]
    assert teller.wait(5_000) == []


def test_who_turns_cancelling_on_means_what_rests_already() -> None:
    """A new configuration looks at the old orders, with the names that they bear."""
    teller = Teller()
    named(teller, "f1", "by-hand-7")
    named(teller, "f2", "rc-zzzz-1-000001")
    said = teller.event(Configured(at_us=teller.now_us, settings=CANCELS))
    assert said == ["cancel f1", "incident foreign_order"]


def test_a_restart_asks_again_at_once() -> None:
    """Nobody will hear the answer to what was asked before it."""
    teller = tell("rests f1 +50 -> cancel f1", settings=CANCELS)
    teller.start()
    said = teller.synced(0, "f1")
    assert said.count("cancel f1") <= 1
    assert [d.order_id for d in teller.done if getattr(d, "order_id", "")] == ["f1", "f1"]


def test_an_order_that_rests_no_more_after_a_resync_is_forgotten() -> None:
    """Its end was missed while nobody looked."""
    teller = tell(
        """
        rests f1 +50            -> cancel f1, incident foreign_order
        stream lost
        sync 0                  -> closed 1
        """,
        settings=CANCELS,
    )
    assert teller.book.foreign_names == {}


def test_orders_of_symbols_that_are_not_ours_are_not_touched() -> None:
    """Only what is configured is minded."""
    tell("symbol ETHUSD\nrests f1 +50\nwait 5_000", settings=CANCELS)


def test_each_has_its_own_patience() -> None:
    """The answer about one says nothing of the other."""
    tell(
        """
        rests f1 +50            -> cancel f1
        rests f2 -50            -> cancel f2
        nothing f2
        wait 1000               -> cancel f2
        """,
        settings=CANCELS,
    )


def test_a_freeze_that_a_foreign_order_caused_keeps_its_incident_until_somebody_decides() -> None:
    """Also where the rule says cancel by now, and the order is gone: there is what to decide."""
    teller = Teller(Settings(symbols=(SYMBOL,), foreign_orders="freeze"))
    teller.do(["rests", "f1", "+50"])
    assert teller.event(Configured(at_us=teller.now_us, settings=CANCELS)) == ["cancel f1"]
    no = resolve.objection(teller.ledger, "foreign_order", SYMBOL, "ignore")
    assert "stays frozen" in no
    teller.do(["gone", "f1"])
    assert teller.book.frozen_by == "foreign_order"
    assert [*teller.ledger.incidents] == ["foreign_order XBTUSD"]


def test_one_that_is_gone_ends_nothing_while_another_rests() -> None:
    """The incident tells of all of them; and of what is gone nothing is remembered."""
    teller = tell(
        """
        rests f1 +50            -> cancel f1, incident foreign_order
        rests f2 -20            -> cancel f2
        gone f1
        gone f2                 -> closed 1
        """,
        settings=CANCELS,
    )
    assert named(teller, "f3", "by-hand-7") == ["cancel f3", "incident foreign_order"]
    assert teller.book.foreign_names == {"f3": "by-hand-7"}
    teller.do(["gone", "f3"])
    assert teller.book.foreign_names == {}


def test_what_was_frozen_already_stays_frozen_for_a_foreign_order() -> None:
    """By hand, with an end: the order came and went meanwhile, and a person has to look."""
    tell(
        """
        freeze XBTUSD for 5000  -> incident by_hand
        rests f1 +50            -> incident foreign_order
        gone f1
        wait 5000               -> ended freeze, closed 1
        target +100                                     = idle ~ frozen: foreign_order (INC-2)
        """,
        settings=Settings(symbols=(SYMBOL,), foreign_orders="freeze"),
    )
