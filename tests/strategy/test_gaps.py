"""Streams that are lost, again and again, and joined: no bar says `complete` that lacks a trade."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from reconciler.feed import Joined, Lost, Page, TradeImage
from reconciler.strategy.history import Needs
from reconciler.strategy.market import Market
from tests.strategy.made import SECOND, START_US, one_pass
from tests.strategy.test_history import SYMBOL, House, Venue, plain, tape

LENGTHS = {"1s": 1, "15s": 15, "90s": 90, "1m": 60, "7m": 420, "1h": 3_600}


def check(house: House, names: list[str]) -> None:
    """Every bar that says it is complete is the one of a builder that saw the whole tape."""
    tape = house.venue.tape
    for name in names:
        bars = house.market[SYMBOL].bars(name, 5_000)
        wanted = {bar[0]: bar for bar in one_pass(tape, LENGTHS[name] * SECOND, tape[-1].venue_us)}
        joined = False  # to a bar before it: else its first price is that of nobody
        for bar in bars:
            made, right = plain(bar), wanted[bar.start_us]
            if bar.complete and joined:
                assert made == right, (name, bar)
            elif bar.complete and bar.trades:
                assert (made[0], *made[2:]) == (right[0], *right[2:]), (name, bar)
            joined = bar.complete and (joined or bar.trades > 0)


def test_a_stream_that_is_lost_again_before_it_was_joined() -> None:
    """The image of the second connection is no trade that was counted: history tells of it."""
    house = House(Venue(tape(4, 900)), {"15s": 5})
    house.subscribe(300)
    house.read_all()
    house.live(300, 400)
    house.stream(Lost("the cable"))
    house.subscribe(500)  # its image shows the price, and history is not read
    house.stream(Lost("once more"))
    house.subscribe(600)
    house.read_all()
    house.live(600, 900)
    check(house, ["15s"])
    assert all(bar.complete for bar in house.market[SYMBOL].bars("15s", 500)[1:])


def test_more_that_is_wanted_leaves_no_gap() -> None:
    """A short look-back of the new length does not reach to where the stream was left."""
    house = House(Venue(tape(5, 900)), {"15s": 1})
    house.subscribe(300)
    house.read_all()
    house.live(300, 400)
    house.market.want(SYMBOL, "1s", 5_000)
    house.joiner.want({SYMBOL: Needs({"15s": 1, "1s": 2})})
    house.stream(Lost("more is wanted"))
    house.subscribe(800)
    house.read_all()
    house.live(800, 900)
    check(house, ["15s", "1s"])
    assert all(bar.complete for bar in house.market[SYMBOL].bars("15s", 500)[1:])


def test_trades_without_ids_just_before_a_gap_count_once() -> None:
    """History begins with the moment of the newest trade that was seen; those are known."""
    made = [replace(trade, trade_id="") for trade in tape(6, 300)]
    made[99:102] = [replace(made[99], venue_us=made[102].venue_us)] * 3  # alike, one after the loss
    house = House(Venue(made), {"15s": 5})
    house.subscribe(50)
    house.live(50, 60)
    house.read_all()
    house.live(60, 101)
    house.stream(Lost("the cable"))
    house.subscribe(150)
    house.live(150, 160)
    house.read_all()
    house.live(160, 300)
    check(house, ["15s"])
    assert house.market[SYMBOL].bars("15s", 500)[2].complete


def test_without_an_image_the_first_live_trade_is_waited_for() -> None:
    """A history that lags behind would else end before the stream begins, and nobody would know."""
    made = tape(7, 200)
    house = House(Venue(made, lag=4), {"15s": 1})
    house.venue.shown, house.now_us = 100, made[99].venue_us
    house.stream(TradeImage(SYMBOL, []), Joined())
    house.live(100, 101)
    house.read()
    house.read()
    assert not house.joiner.joined
    house.venue.lag = 0
    house.read_all()
    assert house.history.complete
    assert made[100] in house.history.trades


@pytest.mark.parametrize("seed", range(25))
def test_whatever_is_lost_late_or_failing(seed: int) -> None:
    """Through losses, lag, failures, answers that come too late, and wishes for other lengths."""
    rng = Random(seed)
    made = tape(seed, rng.choice([60, 400, 1_500]))
    if rng.random() < 0.2:
        made = [replace(trade, trade_id="") for trade in made]
    bars = {name: rng.choice([1, 5, 20]) for name in rng.sample(list(LENGTHS), 3)}
    house = House(Venue(made, lag=rng.choice([0, 0, 3])), bars)
    grace_us = rng.choice([0, SECOND // 10])
    house.market = Market([SYMBOL], {SYMBOL: bars}, keep=5_000, grace_us=grace_us)
    at, connected = rng.randrange(1, 20), False
    house.market.advance(START_US)
    while at < len(made) - 1:
        draw = rng.random()
        if not connected:
            at = min(at + rng.choice([0, 1, 5, 50]), len(made) - 1)
            house.market.advance(made[at].venue_us - SECOND)
            house.subscribe(at, image=rng.choice([1, 3]))
            connected = True
        elif draw < 0.6:
            until = min(at + rng.choice([1, 5, 30]), len(made) - 1)
            house.live(at, until)
            at = until
        elif draw < 0.9:
            house.now_us += 600 * SECOND
            for asked in house.joiner.asks(house.now_us):
                page = house.venue.page(asked)
                if rng.random() < 0.1:
                    house.late.append(page)
                    continue
                failed = Page(asked=asked, failed="503") if rng.random() < 0.1 else page
                house.see(house.joiner.page(failed, house.now_us))
        elif draw < 0.95 or not house.late:
            if rng.random() < 0.3:
                name = rng.choice(list(LENGTHS))
                bars[name] = bars.get(name, 2)
                house.market.want(SYMBOL, name, 5_000)
                house.joiner.want({SYMBOL: Needs(bars)})
            house.stream(Lost("the cable"))
            connected = False
        else:
            house.see(house.joiner.page(house.late.pop(), house.now_us))
    house.live(at, len(made))
    check(house, list(bars))
