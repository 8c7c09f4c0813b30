"""Stories of several targets at once: all or none, planned before, and what stands in their way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from reconciler.core import events as e
from reconciler.core.ledger import Ledger
from reconciler.core.settings import Limits, Settings
from reconciler.errors import NotFound, PlanExpired, PlanMoved, StaleVersion, UsageError
from reconciler.service import commands, targeting
from reconciler.service.door import ModeRequest, TargetRequest, TargetsRequest
from reconciler.service.moments import iso
from reconciler.service.planning import MOST_PLANS, VALID_US, Plans
from reconciler.service.targeting import OneRefused, Refusals
from tests.stories.teller import SYMBOL, Teller, canonical

SETTINGS = Settings(symbols=("ETHUSD", SYMBOL), limits=Limits(max_position_contracts=1_000))


class Desk:
    """A ledger, and the questions that a door puts to it."""

    def __init__(self, position: int = 0) -> None:
        self.teller = Teller(SETTINGS, position=position)
        self.plans, self.refusals = Plans(), Refusals()

    @property
    def ledger(self) -> Ledger:
        return self.teller.ledger

    def quote(self, symbol: str) -> e.Quoted:
        return self.teller.quoted(symbol)

    def ask(self, made: tuple[Any, Any]) -> Any:
        """Record what was made, in one go, and give the answer."""
        events, finish = made
        for event in events:
            self.teller.event(event)
        return finish(self.ledger)

    def set(self, request: TargetsRequest) -> Any:
        now_us = self.teller.now_us
        return self.ask(targeting.set_targets(request, "hold", now_us, self.ledger, self.quote))

    def plan(self, *targets: TargetRequest, prune: bool = False) -> dict[str, Any]:
        request = TargetsRequest(targets=targets, prune=prune)
        return self.plans.make(request, "hold", self.teller.now_us, self.ledger, self.quote)

    def take(self, plan: dict[str, Any]) -> TargetsRequest:
        return self.plans.take(plan["plan_id"], self.teller.now_us, self.ledger).request

    @property
    def targets(self) -> dict[str, int | None]:
        books = self.ledger.books.values()
        return {book.symbol: book.target.contracts if book.target else None for book in books}


def want(contracts: int | None = None, symbol: str = SYMBOL, **more: Any) -> TargetRequest:
    return TargetRequest(symbol=symbol, contracts=contracts, **more)


def test_two_doors_in_one_millisecond_leave_one_winner_and_the_other_in_the_audit() -> None:
    """Both read version 0: the first to be heard sets version 1, the other is refused, and kept."""
    desk = Desk()
    made: list[Any] = []
    for door, contracts in (("cli", 100), ("http", 200)):
        asked = want(contracts, source=door, if_version=0)

        def make(asked: TargetRequest = asked) -> Any:
            return targeting.set_target(asked, "hold", desk.teller.now_us, desk.ledger)

        made.append(desk.refusals.recorded(asked, make, desk.teller.now_us))
        if door == "cli":
            assert desk.ask(made[-1]).version == 1
        else:
            with pytest.raises(StaleVersion):
                desk.ask(made[-1])
    told = [event for event, _ in desk.teller.history[-2:] if not isinstance(event, e.Quoted)]
    heard = [event for event, _ in desk.teller.history]
    refused = [event for event in heard if isinstance(event, e.TargetRefused)]
    assert desk.targets[SYMBOL] == 100
    assert [(r.source, r.contracts, r.code) for r in refused] == [("http", 200, "stale_version")]
    assert told[-1] is refused[0]


def test_one_that_is_refused_refuses_them_all() -> None:
    """Nothing of them becomes an event; the refusal names the one that it is about."""
    desk = Desk()
    before = canonical(desk.ledger)
    with pytest.raises(OneRefused) as refused:
        desk.set(TargetsRequest(targets=(want(100), want(5_000, "ETHUSD", source="bot"))))
    assert canonical(desk.ledger) == before
    assert (refused.value.request.symbol, refused.value.refusal.code) == (
        "ETHUSD",
        "limit_exceeded",
    )


def test_prune_sets_to_zero_what_has_a_target_and_is_not_named() -> None:
    """What has none, or is at zero already, is left alone; so is what is no longer configured."""
    desk = Desk()
    desk.set(TargetsRequest(targets=(want(100), want(50, "ETHUSD"))))
    done = desk.set(TargetsRequest(targets=(want(100),), prune=True, source="basket"))
    assert [(one.symbol, one.contracts, one.changed) for one in done.targets] == [
        (SYMBOL, 100, False), ("ETHUSD", 0, True),
    ]  # fmt: skip
    assert desk.ledger.book("ETHUSD").target.source == "basket"  # type: ignore[union-attr]
    assert desk.set(TargetsRequest(targets=(want(100),), prune=True)).changed == 0
    fewer = msgspec.structs.replace(SETTINGS, symbols=("ETHUSD",))
    desk.teller.event(e.Configured(at_us=desk.teller.now_us, settings=fewer))
    done = desk.set(TargetsRequest(targets=(), prune=True))
    assert (done.targets, desk.targets[SYMBOL]) == ((), 100)


def test_prune_leaves_alone_what_is_wanted_no_more() -> None:
    """It ran out, to hold what is there, while nobody looked: nothing is left to set to zero."""
    desk = Desk()
    desk.set(TargetsRequest(targets=(want(100), want(50, "ETHUSD", ttl_s=60))))
    desk.teller.now_us += 3_600_000_000
    done = desk.set(TargetsRequest(targets=(want(100),), prune=True))
    assert [one.symbol for one in done.targets] == [SYMBOL]


def test_what_is_no_list_of_targets_is_refused() -> None:
    """A symbol twice, nothing at all, or more than any book has."""
    desk = Desk()
    for targets, says in (
        ((want(1), want(2)), "'XBTUSD' is there twice: which of the two is meant"),
        ((), "no target is named"),
        (tuple(want(1, f"S{n}") for n in range(501)), "501 targets at once; at most 500"),
    ):
        with pytest.raises(UsageError, match=says):
            desk.set(TargetsRequest(targets=targets))


def test_a_plan_is_what_the_planner_itself_decides_on_a_copy() -> None:
    """Order, cost, worth and worst case; the ledger stays as it is."""
    desk = Desk(position=40)
    before = canonical(desk.ledger)
    plan = desk.plan(want(100, policy="urgent"), want(-30, "ETHUSD"), prune=True)
    assert canonical(desk.ledger) == before
    crossing, turning = plan["rows"]
    assert crossing["first_order"] == "Buy 60 @ 100.5 immediate"
    assert (crossing["cost_bps"], crossing["gap"], crossing["worst_case"]) == (
        "29.9",
        60,
        [40, 100],
    )
    assert turning["first_order"] == "Sell 40 @ 100.5 post reduce-only"
    assert (turning["cost_bps"], turning["worst_case"]) == ("-19.9", [-30, 40])
    assert plan["changed"] == 2
    mark = desk.teller.mark
    assert mark is not None
    assert abs(crossing["margin_minor"] - 60 * 10**8 / mark) <= 2
    assert desk.set(desk.take(plan)).changed == 2
    assert desk.targets == {SYMBOL: 100, "ETHUSD": -30}


def test_a_plan_says_what_it_waits_for_what_goes_first_and_which_rule_says_no() -> None:
    """A halted symbol has no first order; one with an order has its end; a refusal, no plan."""
    desk = Desk()
    desk.teller.do(["target", "100"])
    desk.teller.do(["ok", "r1"])
    [row] = desk.plan(want(-100))["rows"]
    assert row["first_order"].startswith("cancel ")
    desk.teller.do(["halt"])
    [row] = desk.plan(want(50, "ETHUSD"))["rows"]
    assert (row["first_order"], row["waiting_for"]) == ("", "resume: halted: odd prices (story)")
    plan = desk.plan(want(5_000), want(10, "ETHUSD"))
    assert (plan["plan_id"], plan["rows"][0]["refused"]) == ("", "limit_exceeded")
    assert "max_position_contracts" in plan["rows"][0]["limits"]


def test_a_plan_names_the_limit_that_holds_the_first_order_back() -> None:
    """The target is allowed; the next order is not, for now."""
    desk = Desk()
    tight = Settings(symbols=SETTINGS.symbols, limits=Limits(max_orders_per_minute=0))
    desk.teller.event(e.Configured(at_us=desk.teller.now_us, settings=tight))
    [row] = desk.plan(want(100))["rows"]
    assert (row["limits"], row["first_order"]) == ("limits.max_orders_per_minute = 0", "")


def test_a_plan_of_what_is_so_already_changes_nothing() -> None:
    """And says so."""
    desk = Desk(position=100)
    desk.set(TargetsRequest(targets=(want(100),)))
    plan = desk.plan(want(100))
    assert (plan["changed"], plan["rows"][0]["unchanged"]) == (0, True)


MOVES: tuple[tuple[str, str], ...] = (
    ("target 300", "version was 1, is 2"),
    ("pause", "what stops it was none, is resume: paused"),
    ("reduce_only XBTUSD", "what stops it was none, is reduce only"),
    ("market closed", "rules was"),
)


@pytest.mark.parametrize(("move", "says"), MOVES)
def test_a_plan_is_void_once_something_moved(move: str, says: str) -> None:
    """What was looked at is not what would be done now: it says what moved."""
    desk = Desk()
    desk.teller.do(["target", "100"])
    plan = desk.plan(want(200))
    desk.teller.do(move.split())
    with pytest.raises(PlanMoved, match=f"XBTUSD has moved since: {says}"):
        desk.take(plan)


def test_a_plan_is_void_once_an_order_is_there_or_limits_are_others() -> None:
    """And when a position has moved, by whoever."""
    desk = Desk()
    plan = desk.plan(want(200))
    other = Settings(symbols=SETTINGS.symbols, limits=Limits(max_position_contracts=150))
    desk.teller.event(e.Configured(at_us=desk.teller.now_us, settings=other))
    with pytest.raises(PlanMoved, match="moved since: settings"):
        desk.take(plan)
    plan = desk.plan(want(100))
    desk.teller.do(["foreign", "+40", "x1"])
    with pytest.raises(PlanMoved, match="position was none, is 40"):
        desk.take(plan)


def test_prices_may_move_under_a_plan_but_not_time_and_it_is_used_once() -> None:
    """Five minutes, one use."""
    desk = Desk()
    plan, late = desk.plan(want(200)), desk.plan(want(300))
    desk.teller.do(["price", "90", "91"])
    assert desk.take(plan).targets == (want(200),)
    with pytest.raises(PlanExpired, match="is not known, used up, or older"):
        desk.take(plan)
    desk.teller.now_us += VALID_US
    with pytest.raises(PlanExpired):
        desk.take(late)


def test_a_plan_that_sets_all_others_to_zero_is_void_once_another_has_a_target() -> None:
    """Or it would leave open what it said that it closes."""
    desk = Desk()
    desk.teller.do(["target", "100"])
    plan = desk.plan(want(200), prune=True)
    desk.set(TargetsRequest(targets=(want(50, "ETHUSD"),)))
    with pytest.raises(PlanMoved, match="ETHUSD has moved since: version was none, is 1"):
        desk.take(plan)


def test_who_plans_without_end_loses_his_oldest_plan_and_not_the_newest() -> None:
    """A watch that plans each second leaves the others their plans of now."""
    desk = Desk()
    first, *_, last = (desk.plan(want(100 + n)) for n in range(MOST_PLANS + 1))
    assert desk.take(last).targets == (want(100 + MOST_PLANS),)
    with pytest.raises(PlanExpired):
        desk.take(first)


def test_one_that_makes_no_sense_is_named() -> None:
    """Among many, who should guess which has two forms?"""
    desk = Desk()
    both = want(100), want(1, "ETHUSD", by=2)
    for ask in (lambda: desk.set(TargetsRequest(targets=both)), lambda: desk.plan(*both)):
        with pytest.raises(UsageError, match="ETHUSD: a target is asked for as"):
            ask()


def test_a_halt_says_when_it_really_ends() -> None:
    """A halt never shortens another: who asks for half an hour is not told half an hour."""
    desk = Desk()
    until = iso(desk.teller.now_us + 1_800_000_000)
    for line, ends in (("", until), ("halt for 7200000", iso(desk.teller.now_us + 7_200_000_000)),
                       ("halt", None)):  # fmt: skip
        desk.teller.do(line.split()) if line else None
        for event in commands.halt(desk.ledger, desk.teller.now_us, "me", "", (), until):
            desk.teller.event(event)
        assert commands.command_result(desk.ledger, "halted", (), until=until).until == ends


def test_a_plan_keeps_the_contracts_that_were_shown() -> None:
    """What was asked for in money was turned into contracts when it was looked at."""
    desk = Desk()
    plan = desk.plan(want(notional="250.5"))
    desk.teller.do(["price", "90", "91"])
    done = desk.plans.take(plan["plan_id"], desk.teller.now_us, desk.ledger)
    assert done.request.targets == (want(250),)
    events, _ = targeting.set_targets(done.request, "hold", desk.teller.now_us, desk.ledger)
    (event,) = targeting.asked_as(done.forms, events)
    assert isinstance(event, e.TargetSet)
    assert "250.5" in event.asked


def test_the_status_has_the_venue_s_entry_price_of_what_is_held() -> None:
    """Of the newest row; of nothing there is none, whatever the row says."""
    for contracts, shown in ((40, "61250.5"), (0, None)):
        desk = Desk(position=contracts)
        row = desk.teller.position_row(contracts, e.Source.STREAM)
        desk.teller.event(msgspec.structs.replace(row, entry_price=Decimal("61250.5")))
        (one,) = [
            one for one in commands.status(desk.ledger, "main", {})["symbols"]
            if one["symbol"] == SYMBOL
        ]  # fmt: skip
        assert (one["position"], one["entry_price"]) == (contracts, shown)


def test_a_forgotten_target_leaves_the_position_and_takes_the_order_away() -> None:
    """Nothing is wanted any more: what is held is held, and nobody minds it."""
    desk = Desk(position=40)
    desk.teller.do(["target", "100"])
    desk.teller.do(["ok", "r1"])
    now_us = desk.teller.now_us
    done = desk.ask(targeting.forget(desk.ledger, SYMBOL, "me", "done", now_us))
    assert (done.version, done.note[:9]) == (2, "forgotten")
    assert desk.teller.book.target is None
    assert desk.teller.book.state == "cancelling"
    desk.teller.do(["cancelled", "r1", "0"])
    assert (desk.teller.book.position, desk.teller.book.waiting_for) == (40, "")
    with pytest.raises(NotFound):
        targeting.forget(desk.ledger, SYMBOL, "me", "", now_us)
    assert desk.ask(targeting.set_target(want(100), "hold", now_us, desk.ledger)).version == 3


def test_a_target_that_cannot_be_worked_is_recorded_with_a_note() -> None:
    """What stands in the way is said where it was asked, not only in the status."""
    desk = Desk()
    notes = []
    for line in ("pause", "reduce_only", "trade", "freeze XBTUSD", "halt"):
        desk.teller.do(line.split())
        request = want(100 + len(notes))
        notes.append(desk.set(TargetsRequest(targets=(request,))).targets[0].note)
    assert [note.partition(":")[0] for note in notes] == [
        "paused", "reduce only", "", "frozen", "halted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "ends_us"),
    [
        ("pause for 5000", 5_000_000), ("reduce_only XBTUSD for 5000", 5_000_000),
        ("freeze for 5000", 5_000_000), ("halt for 5000\npause XBTUSD for 9000", 9_000_000),
        ("halt for 5000\npause", None), ("freeze XBTUSD for 5000\nliquidation -60 y1", None),
        ("pause for 5000\nreduce_only XBTUSD", 5_000_000),
    ],
)  # fmt: skip
def test_a_note_says_when_what_stands_in_the_way_ends_by_itself(
    said: str, ends_us: int | None
) -> None:
    """Nobody gets up at night to resume what is over at four; what has no end is not waited for."""
    desk = Desk()
    began_us = desk.teller.now_us
    for line in said.splitlines():
        desk.teller.do(line.split())
    note = desk.set(TargetsRequest(targets=(want(100),))).targets[0].note
    end = f"{iso(began_us + ends_us)}, when that ends by itself, or " if ends_us else ""
    assert note.endswith(f" before {end}`reconciler resume`")


def test_a_flatten_closes_what_is_held_or_wanted_and_lets_nothing_open() -> None:
    """In one commit: the mode, and targets of zero; what is neither held nor wanted has none."""
    desk = Desk(position=40)
    desk.teller.do(["target", "100"])
    asked = ModeRequest(mode="flatten", by="me", reason="enough")
    events = commands.set_mode(desk.ledger, desk.teller.now_us, asked)
    assert [type(event).__name__ for event in events] == ["ModeSet", "TargetSet", "TargetSet"]
    for event in events:
        desk.teller.event(event)
    assert desk.targets == {"ETHUSD": 0, SYMBOL: 0}
    target = desk.teller.book.target
    assert target is not None
    assert target.source == "me"
    desk.set(TargetsRequest(targets=(want(100),)))
    assert desk.ledger.mode == "flatten"
    flat = commands.set_mode(Desk().ledger, desk.teller.now_us, asked)
    assert [type(event).__name__ for event in flat] == ["ModeSet"]


def test_a_flatten_needs_nobody_s_leave_however_large_it_is() -> None:
    """A limit of changes is against fat fingers; the way out is not held back by it."""
    desk = Desk(position=500)
    careful = Settings(symbols=SETTINGS.symbols, limits=Limits(max_change_contracts=100))
    desk.teller.event(e.Configured(at_us=desk.teller.now_us, settings=careful))
    with pytest.raises(OneRefused):
        desk.set(TargetsRequest(targets=(want(0),)))
    asked = ModeRequest(mode="flatten", by="me")
    for event in commands.set_mode(desk.ledger, desk.teller.now_us, asked):
        desk.teller.event(event)
    assert desk.targets == {"ETHUSD": 0, SYMBOL: 0}


def test_a_flatten_says_which_position_stays_as_its_symbol_is_configured_no_more() -> None:
    """Nobody may think that it is closed."""
    desk = Desk(position=40)
    for left, note in ((("ETHUSD", SYMBOL), ""), (("ETHUSD",), f"{SYMBOL} is no configured")):
        desk.teller.event(e.Configured(at_us=desk.teller.now_us, settings=Settings(symbols=left)))
        asked = ModeRequest(mode="flatten", by="me")
        for event in commands.set_mode(desk.ledger, desk.teller.now_us, asked):
            desk.teller.event(event)
        said = commands.command_result(desk.ledger, "flattened", ()).note
        assert said[: len(f"{SYMBOL} is no configured")] == note


def test_the_same_refusal_is_kept_once_a_second_and_another_at_once() -> None:
    """Of each source by itself: one that knocks without end hides nobody else's."""
    desk, kept = Desk(), []
    for wait_us, source, contracts in (
        (0, "a", 5_000), (10, "a", 5_000), (10, "b", 5_000), (10, "a", 5_000),
        (10, "a", 6_000), (10, "a", 5_000), (1_000_000, "a", 5_000),
    ):  # fmt: skip
        desk.teller.now_us += wait_us
        asked = want(contracts, source=source)
        now_us = desk.teller.now_us

        def make(asked: TargetRequest = asked, now_us: int = now_us) -> Any:
            return targeting.set_target(asked, "hold", now_us, desk.ledger)

        events, _ = desk.refusals.recorded(asked, make, now_us)
        kept.append(len(events))
    assert kept == [1, 0, 1, 0, 1, 1, 1]
