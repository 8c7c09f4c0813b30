"""Stories of prices: which one is asked for, whose it is, and when there is none to ask for."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core.settings import Limits, Policy, Settings
from tests.stories.teller import SYMBOL, Teller, tell

WORKING = "target +100 -> place r1 +100\nok r1 = working\n"


@pytest.mark.parametrize(
    ("words", "price"),
    [("target +100 urgent", "price 100.0 -"), ("target -100 urgent", "price - 100.5")],
    ids=["nobody sells", "nobody buys"],
)
def test_nothing_is_taken_where_nobody_offers(words: str, price: str) -> None:
    """An urgent order needs the other side; without it the price is asked for again."""
    teller = tell(f"{price}\n{words} = idle ~ a price on the right side")
    teller.do(["price", "100.0", "100.5"])
    assert len(teller.wait(1_000)) == 1


def test_an_order_to_join_needs_nobody_on_the_other_side() -> None:
    """Whoever bids first sets the price that he asks for himself: ours is the best bid."""
    tell("price 100.0 -\ntarget +100 -> place r1 +100 = placing")


def test_an_order_that_joins_asks_for_a_price_of_the_grid() -> None:
    """Where the tick has just changed the best price may lie between two: ours is not above it."""
    tell("price 100.3 100.9\nmark 100.4\ntarget +100 -> place r1 +100 @ 100.0 = placing")
    tell("price 100.3 100.9\nmark 100.8\ntarget -100 -> place r1 -100 @ 101.0 = placing")


def test_an_order_that_improves_asks_for_a_price_of_the_grid_too() -> None:
    """A tick above a best price between two is between two as well, and the venue refuses it."""
    settings = Settings(symbols=(SYMBOL,), policies={"passive": Policy(start="inside")})
    market = "price 100.3 102.2\nmark 101.0\n"
    tell(market + "target +100 -> place r1 +100 @ 100.5", settings=settings)
    market = "price 100.3 101.7\nmark 101.3\n"
    tell(market + "target -100 -> place r1 -100 @ 101.5", settings=settings)


def test_inside_a_spread_of_one_tick_there_is_no_room() -> None:
    """Then it joins; and with nobody on the other side it joins, too."""
    settings = Settings(symbols=(SYMBOL,), policies={"passive": Policy(start="inside")})
    tell("target +100 -> place r1 +100", settings=settings)
    tell("price 100.0 101.0\ntarget +100 -> place r1 +100 @ 100.5", settings=settings)
    tell("price 100.0 101.0\ntarget -100 -> place r1 -100 @ 100.5", settings=settings)
    tell("price 100.0 -\ntarget +100 -> place r1 +100", settings=settings)


def test_the_best_bid_does_not_outbid_itself_but_goes_where_the_market_goes() -> None:
    """Being the best price it stays; once somebody is ahead of it, it improves again."""
    policies = {"passive": Policy(start="inside", reprice_ticks=1)}
    settings = Settings(symbols=(SYMBOL,), policies=policies)
    tell(
        """
        price 100.0 104.0
        mark 100.2
        target +100             -> place r1 +100 @ 100.5
        ok r1
        price 100.5 104.0
        mark 100.8
        wait 5_000
        price 101.0 104.0
        mark 101.0
        wait 5_000              -> amend r1 @ 101.5
        """,
        settings=settings,
    )


def test_a_price_above_what_the_venue_allows_is_not_asked_for() -> None:
    """It would be refused for ever: the symbol says what it waits for."""
    teller = Teller()
    rows = msgspec.structs.replace(teller.instrument(SYMBOL), max_price=Decimal("99.5"))
    teller.event(rows)
    assert teller.do(["target", "+100"]) == []
    assert teller.book.waiting_for == "a price that the venue allows: 100.0"
    allowed = msgspec.structs.replace(rows, max_price=Decimal("100.0"))
    assert teller.event(allowed) == ["place r1 +100"]


def test_a_venue_that_names_no_highest_price_has_none() -> None:
    """Nothing is as good as no limit."""
    teller = Teller()
    teller.event(msgspec.structs.replace(teller.instrument(SYMBOL), max_price=Decimal(0)))
    assert teller.do(["target", "+100"]) == ["place r1 +100"]


def test_a_price_of_nothing_is_not_asked_for() -> None:
    """Whatever the book shows: a price is above zero."""
    teller = tell("price 0.0 0.5\nmark 0.25")
    teller.ledger.settings = msgspec.structs.replace(
        teller.settings,
        limits=msgspec.structs.replace(teller.settings.limits, price_collar_bps=10_000),
    )
    assert teller.do(["target", "+100"]) == []
    assert "a price that the venue allows" in teller.book.waiting_for


def test_a_price_that_came_with_the_row_is_used_in_the_same_turn() -> None:
    """The row that frees the symbol brings the prices for what follows: no second look."""
    teller = tell(WORKING + "target +200\nfill r1 +100 x1 = filled\nrow r1 filled 100 = filled")
    row = msgspec.structs.replace(teller.position_row(100), quote=teller.quoted(SYMBOL))
    before = len(teller.history)
    assert teller.event(row) == ["place r2 +100"]
    assert len(teller.history) == before + 1
    place = teller.done[-1]
    assert isinstance(place, d.PlaceOrder)
    assert (place.bid, place.ask, place.mark) == (teller.bid, teller.ask, teller.mark)


def test_an_old_price_that_came_with_a_row_is_no_price() -> None:
    """It is as old as it says: past its time the symbol waits for a younger one."""
    teller = tell(WORKING + "target +200\nfill r1 +100 x1 = filled\nrow r1 filled 100 = filled")
    teller.do(["old", "price", "60_001"])
    row = msgspec.structs.replace(teller.position_row(100), quote=teller.quoted(SYMBOL))
    assert teller.event(row) == []
    assert "younger" in teller.book.waiting_for


MAY_FOLLOW = {
    "no target": ("", False),
    "on target": ("target 0", False),
    "waiting to place": ("market closed\ntarget +100", True),
    "placing": ("target +100 -> place r1 +100", False),
    "working": (WORKING, False),
    "cancelling": (WORKING + "target +50 -> cancel r1", True),
    "filled, with more to do": (WORKING + "target +200\nfill r1 +100 x1", True),
    "filled, and there": (WORKING + "fill r1 +100 x1", False),
}


@pytest.mark.parametrize("state", MAY_FOLLOW)
def test_prices_are_brought_where_an_order_may_follow_the_next_row(state: str) -> None:
    """There is a gap, and no order works: then the row that frees the symbol may lead to one."""
    story, follows = MAY_FOLLOW[state]
    assert tell(story).book.may_place is follows


def test_the_venues_own_largest_order_cuts_ours() -> None:
    """What it would refuse is not asked for; where it names no size, our limits are enough."""
    for most, said in ((30, "place r1 +30"), (0, "place r1 +100")):
        teller = Teller()
        teller.event(msgspec.structs.replace(teller.instrument(SYMBOL), max_contracts=most))
        assert teller.do(["target", "+100"]) == [said]


def test_an_order_limit_below_a_lot_allows_none_and_says_so() -> None:
    """Whole lots or nothing."""
    settings = Settings(symbols=(SYMBOL,), limits=Limits(max_order_contracts=50))
    teller = Teller(settings, lot=100)
    assert teller.do(["target", "+100"]) == []
    assert teller.book.waiting_for == "limits.max_order_contracts = 50 to allow a lot"
