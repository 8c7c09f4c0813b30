"""Stories of shares: whose contracts are whose, when strategies share a symbol."""

from __future__ import annotations

import random
from decimal import Decimal

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.portfolio import shares
from reconciler.core.settings import Policy, Settings
from tests.stories.teller import SYMBOL, Teller, check_replay


def wants(teller: Teller, contracts: int, **asked: int) -> list[str]:
    """A portfolio's target; what its strategies do not ask for of it is nobody's."""
    parts = [
        e.Share(strategy=name, contracts=size, signal=n, weight="1 x 1000")
        for n, (name, size) in enumerate(asked.items(), 1)
    ]
    rest = contracts - sum(asked.values())
    if rest or not parts:
        parts.append(e.Share(strategy="", contracts=rest, signal=0, weight=""))
    return teller.target(contracts, shares=tuple(parts))


def reach(teller: Teller, order: str, *fills: int) -> None:
    """The order is let in and fills, in so many parts; the venue's position agrees."""
    teller.do(["ok", order])
    for contracts in fills:
        teller.do(["fill", order, str(contracts), f"{order}-{len(teller.facts)}"])
    teller.do(["row", order, "filled", str(abs(teller.order(order).contracts))])
    teller.do(["position", str(teller.book.position)])


def holdings(teller: Teller) -> dict[str, int]:
    """Who holds what."""
    names = sorted({"", *teller.book.parts})
    return {name: held for name in names if (held := shares.held(teller.book, name))}


def shared(teller: Teller, exec_id: str | None = None) -> list[tuple[str, int, int, int]]:
    """Strategy, contracts, cost and fee of the parts of one execution, or of all."""
    return [
        (fact.strategy, fact.contracts, fact.cost_minor, fact.fee_minor)
        for fact in teller.facts
        if isinstance(fact, d.FillShared) and exec_id in (None, fact.exec_id)
    ]


def positions(teller: Teller) -> list[tuple[str, int]]:
    """What each had after each of its parts."""
    return [(f.strategy, f.position) for f in teller.facts if isinstance(f, d.FillShared)]


def test_a_fill_is_shared_by_what_each_lacks() -> None:
    """Three quarters of the gap are one's: so are three quarters of the contracts and the cost."""
    teller = Teller()
    assert wants(teller, 400, A=300, B=100) == ["place r1 +400"]
    reach(teller, "r1", 400)
    assert holdings(teller) == {"A": 300, "B": 100}
    assert shared(teller) == [("A", 300, -300_000_000, 1), ("B", 100, -100_000_000, 0)]
    check_replay(teller)


def test_parts_of_a_fill_are_whole_and_lose_nothing() -> None:
    """Ten contracts for three who lack as much: 4, 3, 3, and each fill goes on where it stood."""
    teller = Teller()
    wants(teller, 30, A=10, B=10, C=10)
    reach(teller, "r1", 10, 10, 10)
    sizes = [contracts for _, contracts, _, _ in shared(teller)]
    assert sizes[:3] == [4, 3, 3]
    assert holdings(teller) == {"A": 10, "B": 10, "C": 10}


def test_a_fill_too_small_for_all_is_told_of_those_who_got_some() -> None:
    """One contract can't be shared; who got nothing of it has no row of it."""
    teller = Teller()
    wants(teller, 3, A=1, B=1, C=1)
    reach(teller, "r1", 1, 1, 1)
    assert [name for name, *_ in shared(teller)] == ["A", "B", "C"]
    wants(teller, 2, A=1, B=2, C=-1)
    reach(teller, "r2", -1)
    assert [(name, size) for name, size, *_ in shared(teller)][3:] == [("B", 1), ("C", -2)]


def test_what_is_passed_on_is_whole_too() -> None:
    """One gives up a contract that three would like to have: the first of them gets it."""
    settings = Settings(symbols=(SYMBOL,), policies={"passive": Policy(band_contracts=10)})
    teller = Teller(settings)
    wants(teller, 20, A=20)
    reach(teller, "r1", 20)
    wants(teller, 22, A=19, B=1, C=1, D=1)
    assert holdings(teller) == {"A": 19, "B": 1}
    assert [name for name, *_ in shared(teller, "")] == ["B", "A"]


def test_who_stands_against_the_net_trades_inside() -> None:
    """A wants 100, B is short 60: 40 are bought, A has 100 and B -60, at the price of the fill."""
    teller = Teller()
    assert wants(teller, 40, A=100, B=-60) == ["place r1 +40"]
    reach(teller, "r1", 40)
    assert holdings(teller) == {"A": 100, "B": -60}
    assert shared(teller) == [("A", 100, -100_000_000, 1), ("B", -60, 60_000_000, 0)]


def test_strategies_that_cancel_out_pass_contracts_on_at_the_mark() -> None:
    """The net does not change, no order is needed, and both books are right all the same."""
    teller = Teller()
    wants(teller, 50, A=50)
    reach(teller, "r1", 50)
    teller.mark = Decimal("100.2")
    assert wants(teller, 50, B=50) == ["held +50"]
    assert holdings(teller) == {"B": 50}
    cost = round(Decimal(50 * 10**8) / Decimal("100.2"))  # inverse: contracts x 10^8 / 100.2
    assert shared(teller, "") == [("B", 50, -cost, 0), ("A", -50, cost, 0)]
    check_replay(teller)


def test_without_a_mark_they_wait_for_one() -> None:
    """An old price would give one of them what is the other's."""
    teller = Teller()
    wants(teller, 50, A=50)
    reach(teller, "r1", 50)
    teller.do(["mark", "-"])
    teller.now_us += 70_000_000
    wants(teller, 50, B=50)
    assert holdings(teller) == {"A": 50}
    teller.do(["mark", "0"])
    teller.now_us += 1_000_000
    teller.do(["position", "50"])
    teller.do(["mark", "100.2"])
    teller.price_age_us = 90_000_000
    teller.now_us += 1_000_000
    teller.do(["position", "50"])
    assert teller.book.quote is not None
    assert teller.book.quote.age_us == 90_000_000
    assert holdings(teller) == {"A": 50}
    teller.price_age_us = 0
    teller.wait(5_000)  # and nothing else happens
    assert holdings(teller) == {"B": 50}
    check_replay(teller)


def test_inside_the_band_strategies_still_get_what_others_give() -> None:
    """A gap in the band is not traded; what one lacks and the other has too much of is passed."""
    settings = Settings(symbols=(SYMBOL,), policies={"passive": Policy(band_contracts=10)})
    teller = Teller(settings)
    wants(teller, 50, A=50)
    reach(teller, "r1", 50)
    wants(teller, 55, B=55)
    assert holdings(teller) == {"B": 50}
    told = len(teller.history)
    teller.now_us += 1_000_000
    teller.do(["position", "50"])
    assert len(teller.history) == told + 1  # nobody gives the rest: no price is asked for


def test_what_people_ask_for_is_nobodys() -> None:
    """A strategy goes on holding what it asked for; the person's decision has its own account."""
    teller = Teller()
    wants(teller, 100, A=100)
    reach(teller, "r1", 100)
    assert teller.do(["target", "20"]) == ["place r2 -80 reduce"]
    reach(teller, "r2", -80)
    assert holdings(teller) == {"": -80, "A": 100}
    wants(teller, 120, A=120)
    reach(teller, "r3", 100)
    assert holdings(teller) == {"A": 120}


def test_an_order_stays_theirs_whom_it_was_placed_for() -> None:
    """A fill that comes after they changed their mind was asked for by them, and is theirs."""
    teller = Teller()
    wants(teller, 100, A=100)
    teller.do(["ok", "r1"])
    assert teller.do(["target", "0"]) == ["cancel r1"]
    teller.do(["fill", "r1", "60", "x1"])
    assert holdings(teller) == {"A": 60}


def test_others_trades_and_adjustments_are_nobodys() -> None:
    """Whatever moves the account from outside moves no strategy."""
    teller = Teller()
    wants(teller, 100, A=100)
    reach(teller, "r1", 100)
    teller.do(["foreign", "-30", "f1"])
    assert shared(teller, "f1") == [("", -30, 30_000_000, 1)]
    assert positions(teller)[-1] == ("", -30)
    teller.execution("", 30, "f2", cost_minor=-29_000_000)
    assert teller.book.parts[""].realised_minor == -1_000_000
    assert positions(teller)[-1] == ("", 0)
    teller.do(["foreign", "-30", "f3"])
    teller.do(["adjust", "7"])
    assert holdings(teller) == {"": -23, "A": 100}


def test_more_than_was_ordered_is_nobodys() -> None:
    """A venue that fills beyond an order gives strategies no more than they asked for."""
    teller = Teller()
    wants(teller, 100, A=100)
    teller.do(["ok", "r1"])
    teller.do(["fill", "r1", "130", "x1"])
    assert holdings(teller) == {"": 30, "A": 100}
    teller.do(["fill", "r1", "5", "x2"])
    assert holdings(teller) == {"": 35, "A": 100}


def test_rounding_and_caps_have_an_account_of_their_own() -> None:
    """The strategies ask for 1600, a cap lets 1000 through: nobody is short of 600."""
    teller = Teller()
    wants(teller, 1000, A=800, B=800)
    reach(teller, "r1", 1000)
    assert holdings(teller) == {"": -600, "A": 800, "B": 800}
    assert positions(teller) == [("", -600), ("A", 800), ("B", 800)]
    wants(teller, 1000, A=500, B=500)
    assert positions(teller)[3:] == [("", 0), ("A", 500), ("B", 500)]


def test_shares_that_do_not_add_up_leave_the_rest_to_nobody() -> None:
    """The core does not count on whoever made the event."""
    teller = Teller()
    teller.target(100, shares=(e.Share(strategy="A", contracts=60, signal=1, weight="1"),))
    reach(teller, "r1", 100)
    assert holdings(teller) == {"": 40, "A": 60}


def test_an_order_that_leads_away_is_nobodys() -> None:
    """What reduces for reasons of its own, or is larger than the gap, nobody asked for."""
    teller = Teller()
    wants(teller, 100, A=100)
    assert shares.order_parts(teller.book, -20) == {}
    assert shares.order_parts(teller.book, 130) == {"": 0, "A": 100}
    teller.do(["ok", "r1"])
    teller.execution("r1", -5, "x1")  # a venue beside itself: it sold for an order that buys
    assert shared(teller, "x1") == [("", -5, 5_000_000, 1)]


def test_a_row_from_before_the_anchor_is_shared_with_nobody() -> None:
    """It moves nothing: it is in the position that everything began with."""
    teller = Teller()
    wants(teller, 100, A=100)
    reach(teller, "r1", 100)
    teller.execution("", -7, "late", venue_us=teller.book.anchor_venue_us - 1)
    assert teller.book.position == 100
    assert shared(teller, "late") == []


def test_a_target_that_expires_flat_takes_from_each_his_own() -> None:
    """What a portfolio's own time to live ends is ended for its strategies, not for nobody."""
    teller = Teller()
    teller.target(
        90,
        shares=(
            e.Share(strategy="A", contracts=60, signal=1, weight="1"),
            e.Share(strategy="B", contracts=30, signal=2, weight="1"),
        ),
        expires_us=teller.now_us + 5_000_000,
        on_expiry="flatten",
    )
    reach(teller, "r1", 90)
    assert not teller.book.netted_expired
    assert teller.do(["wait", "6_000"])[-1] == "place r2 -90 reduce"
    reach(teller, "r2", -90)
    assert holdings(teller) == {}
    assert teller.book.netted_expired
    wants(teller, 10, A=10)
    assert not teller.book.netted_expired


def test_one_strategy_in_two_portfolios_has_one_account() -> None:
    """Its shares are added up."""
    teller = Teller()
    one = e.Share(strategy="A", contracts=60, signal=1, weight="main 1")
    teller.target(100, shares=(one, msgspec.structs.replace(one, contracts=40, weight="alt 1")))
    reach(teller, "r1", 100)
    assert holdings(teller) == {"A": 100}


def test_each_has_the_profit_of_his_own_trades() -> None:
    """A bought at 100 and sold at 110; B only came in between: average cost, apart for each."""
    teller = Teller()
    wants(teller, 100, A=100)
    reach(teller, "r1", 100)  # for -100 million
    wants(teller, 150, A=100, B=50)
    reach(teller, "r2", 50)
    wants(teller, 50, B=50)
    teller.do(["ok", "r3"])
    teller.execution("r3", -100, "x9", cost_minor=110_000_000)
    assert {name: part.realised_minor for name, part in teller.book.parts.items() if name} == {
        "A": -10_000_000,
        "B": 0,
    }
    assert teller.book.parts["A"].fee_minor == 2


def test_funding_is_borne_by_those_who_hold() -> None:
    """In proportion to what they hold, the short one being paid; it moves no position."""
    teller = Teller()
    wants(teller, 40, A=100, B=-60)
    reach(teller, "r1", 40)
    funding = {"type": e.ExecutionKind.FUNDING, "fee_minor": 41}
    teller.execution("", 0, "fund1", **funding)
    assert shared(teller, "fund1") == [("A", 0, 0, 103), ("B", 0, 0, -62)]
    assert teller.book.parts["A"].funding_minor == 103
    wants(teller, 0, A=60, B=-60)
    teller.do(["ok", "r2"])
    teller.do(["fill", "r2", "-40", "x2"])
    teller.execution("", 0, "fund2", **funding)
    assert shared(teller, "fund2") == [("", 0, 0, 41)]  # flat: nobody's in particular


def test_where_no_strategy_ever_was_nothing_is_said_of_shares() -> None:
    """An account without strategies pays nothing for them, in rows or in time."""
    teller = Teller()
    teller.do(["target", "50"])
    reach(teller, "r1", 50)
    teller.execution("", 0, "fund1", type=e.ExecutionKind.FUNDING, fee_minor=41)
    assert shared(teller) == []
    assert teller.book.parts == {}


def test_linear_and_quanto_contracts_cost_their_price() -> None:
    """Passing on at the mark uses the venue's own sum."""
    teller = Teller()
    inverse = teller.instrument(SYMBOL)
    linear = msgspec.structs.replace(inverse, inverse=False, multiplier=100, quanto=True)
    assert shares.value(linear, 7, Decimal("2450.25")) == 1_715_175
    assert shares.value(inverse, 300, Decimal("61250.5")) == -489_792


@pytest.mark.parametrize("seed", range(40))
def test_parts_always_add_up_to_the_account(seed: int) -> None:
    """
    Whatever portfolios, people and others do: each fill is its parts, what strategies pass among
    themselves is nothing in all, and what each holds is the sum of his parts.
    """
    draw = random.Random(seed)
    teller = Teller()
    for n in range(60):
        teller.now_us += 700_000
        what = draw.random()
        if what < 0.15:
            asked = {name: draw.randrange(-300, 300) for name in draw.sample("ABCD", 3)}
            wants(teller, draw.choice([sum(asked.values()), draw.randrange(-400, 400)]), **asked)
        elif what < 0.2:
            teller.do(["target", str(draw.randrange(-200, 200))])
        elif what < 0.25:
            teller.do(["foreign", str(draw.choice([-9, -1, 3, 8])), f"f{n}"])
        elif what < 0.3:
            fee = draw.randrange(-99, 99)
            teller.execution("", 0, f"fund{n}", type=e.ExecutionKind.FUNDING, fee_minor=fee)
        elif what < 0.35:
            teller.do(["adjust", str(draw.choice([-2, 5]))])
        else:
            work(teller, draw, n)
        teller.do(["position", str(teller.book.position)])
    add_up(teller)
    check_replay(teller)


def work(teller: Teller, draw: random.Random, n: int) -> None:
    """The order that is there, if one is, goes on its way: let in, filled, or cancelled."""
    live = teller.book.order
    if live is None or live.over_us is not None:
        return
    name, left = teller.name(live.cl_ord_id), abs(live.contracts) - live.booked
    if live.status == "intended":
        teller.do(["ok", name])
    elif live.cancel_id:
        teller.do(["cancelled", name, str(live.booked)])
    else:
        size = live.side * draw.choice([left, draw.randint(1, left)])
        teller.execution(name, size, f"x{n}", cost_minor=-size * 99_991, fee_minor=size % 7 - 2)
        if live.booked == abs(live.contracts):
            teller.do(["row", name, "filled", str(live.booked)])


def add_up(teller: Teller) -> None:
    fills = {f.exec_id: f for f in teller.facts if isinstance(f, d.FillBooked)}
    parts = [f for f in teller.facts if isinstance(f, d.FillShared)]
    known = {f.exec_id for f in parts}
    assert len(known) > 5
    for exec_id in known & fills.keys():
        fill, of = fills[exec_id], [f for f in parts if f.exec_id == exec_id]
        assert sum(f.contracts for f in of) == fill.contracts
        assert sum(f.cost_minor for f in of) == fill.cost_minor
        assert sum(f.fee_minor for f in of) == fill.fee_minor
    inside = [f for f in parts if not f.exec_id]
    assert sum(f.contracts for f in inside) == sum(f.cost_minor for f in inside) == 0
    book = teller.book
    assert sum(shares.held(book, name) for name in {"", *book.parts}) == book.position
    for name in book.parts:
        own = [f for f in parts if f.strategy == name]
        if name and own:
            assert sum(f.contracts for f in own) == shares.held(book, name) == own[-1].position
            assert book.parts[name].realised_minor == sum(f.realised_minor for f in own)


def test_a_person_s_target_does_not_make_a_portfolio_forget_what_it_asked_for() -> None:
    """Else the next look of the portfolio would be news, and the person's word be over at once."""
    teller = Teller()
    wants(teller, 400, A=300, B=100)
    asked = teller.book.netted
    assert [share.contracts for share in asked] == [300, 100]
    teller.do(["target", "+50"])
    assert teller.book.target is not None
    assert (teller.book.target.contracts, teller.book.target.shares) == (50, ())
    assert teller.book.netted == asked


@pytest.mark.parametrize(("whose", "expired"), [("portfolio", True), ("person", False)])
def test_only_the_end_of_its_own_target_silences_a_portfolio(whose: str, expired: bool) -> None:
    """A person's word that ran out is no reason to wait until a strategy speaks again."""
    teller = Teller()
    until = {"expires_us": teller.now_us + 1_000_000, "on_expiry": "flatten"}
    part = e.Share(strategy="A", contracts=400, signal=1, weight="1 x 1000")
    teller.target(400, shares=(part,), **(until if whose == "portfolio" else {}))
    if whose == "person":
        teller.target(50, **until)
    teller.wait(2_000)
    (ended,) = (f for f in teller.facts if isinstance(f, d.TargetClosed) and f.outcome == "expired")
    assert (ended.now, teller.book.netted_expired) == (0, expired)
