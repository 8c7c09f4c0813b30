"""Bars: what they hold, when they open and close; the order of arrival is nothing to them."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from reconciler.feed import Bucket, Rules, Trade
from reconciler.strategy.bars import (
    DAY_US,
    Bar,
    BarEvent,
    Covers,
    length_name,
    length_us,
    value_minor,
)
from reconciler.strategy.series import Series
from tests.strategy.made import SECOND, START_US, Plain, one_pass, shuffled, trades


def plain(bar: Bar) -> Plain:
    return (
        bar.start_us, bar.open, bar.high, bar.low, bar.close, bar.contracts, bar.trades,
        bar.turnover_minor,
    )  # fmt: skip


def fed(series: Series, found: list[Trade]) -> list[BarEvent]:
    told: list[BarEvent] = []
    for trade in found:
        told += series.take(trade, trade.value_minor)
    return told


def at(seconds: float, price: str, contracts: int = 100, name: str = "") -> Trade:
    return Trade("XBTUSD", Decimal(price), contracts, 1, START_US + round(seconds * SECOND), name)


@pytest.mark.parametrize("seed", range(12))
def test_bars_are_those_of_a_one_pass_builder(seed: int) -> None:
    """
    Whatever the order of arrival and the grace, in the end every bar is that of the trades sorted
    by time; each bar is closed once, in order, and revised whenever it changes after that.
    """
    rng = Random(seed)
    made = trades(rng, 1_500)
    until_us = made[-1].venue_us + 90 * SECOND
    length = rng.choice([SECOND, 15 * SECOND, 60 * SECOND, 7 * SECOND, 3_600 * SECOND])
    series = Series("XBTUSD", length, keep=50_000, grace_us=rng.choice([0, 0, 200_000, 2 * SECOND]))
    arrived = [made[0], *shuffled(rng, made[1:])]
    told: list[BarEvent] = []
    for trade in arrived:
        if rng.random() < 0.1:
            told += series.advance(trade.venue_us - rng.randrange(SECOND))
        told += series.take(trade, trade.value_minor)
    told += series.advance(until_us + 2 * SECOND)
    wanted = one_pass(made, length, until_us)
    assert [plain(bar) for bar in series.last(50_000)][: len(wanted)] == wanted
    closed = [event.bar for event in told if event.kind == "close"]
    assert [bar.start_us for bar in closed][: len(wanted)] == [bar[0] for bar in wanted]
    newest = {bar.start_us: bar for bar in closed}
    newest.update((event.bar.start_us, event.bar) for event in told if event.kind == "revised")
    assert list(newest.values()) == series.last(50_000), "whoever listens knows every bar as it is"
    opened = [event.bar.start_us for event in told if event.kind == "open"]
    assert opened == sorted(set(opened))
    assert opened[: len(wanted)] == [bar[0] for bar in wanted]


def test_the_recorded_session(shared_data: Path) -> None:
    """Bars of the real BitMEX' trades, its values taken from its rows."""
    found: list[Trade] = []
    for line in (shared_data / "bitmex-public-2021-07-22.jsonl").read_text().splitlines():
        frame = json.loads(line, parse_float=Decimal)["frame"]
        if frame.get("table") == "trade" and frame["action"] == "insert":
            for row in frame["data"]:
                hours, minutes, seconds = row["timestamp"][11:-1].split(":")
                second = (int(hours) * 60 + int(minutes)) * 60
                at_us = second * SECOND + round(Decimal(seconds) * SECOND)
                found.append(
                    Trade(
                        row["symbol"], Decimal(row["price"]), row["size"], 1,
                        at_us, row["trdMatchID"], row["grossValue"],
                    )
                )  # fmt: skip
    assert found
    for symbol in sorted({trade.symbol for trade in found}):
        for length in (SECOND, 15 * SECOND, 60 * SECOND):
            mine = [trade for trade in found if trade.symbol == symbol]
            series = Series(symbol, length)
            fed(series, mine)
            until_us = mine[-1].venue_us + 120 * SECOND
            series.advance(until_us)
            assert [plain(b) for b in series.last(500)] == one_pass(mine, length, until_us)


def test_time_alone_opens_and_closes_bars() -> None:
    """Without a trade each bar is told at its moment, with the last price and no contracts."""
    series = Series("XBTUSD", 15 * SECOND)
    series.multiplier = -100_000_000
    fed(series, [at(3, "100"), at(9, "102"), at(12, "101", 300)])
    assert series.advance(START_US + 15 * SECOND - 1) == []
    closed, opened = series.advance(START_US + 15 * SECOND)
    assert (closed.kind, opened.kind) == ("close", "open")
    assert plain(closed.bar)[1:7] == (100, 102, 100, 101, 500, 3)
    assert opened.bar.start_us == closed.bar.end_us == START_US + 15 * SECOND
    told = series.advance(START_US + 45 * SECOND)
    assert [event.kind for event in told] == ["close", "open"] * 2
    assert plain(told[2].bar)[1:] == (101, 101, 101, 101, 0, 0, 0)
    assert told[2].bar.vwap is None
    assert series.current == told[3].bar
    assert series.previous == told[2].bar


def test_the_first_bar_opens_at_its_oldest_trade() -> None:
    """Whenever that arrives: while the bar is made, or after it was closed."""
    series = Series("XBTUSD", SECOND)
    fed(series, [at(0.5, "100"), at(0.2, "90"), at(0.3, "95")])
    assert [bar.open for bar in (series.current,) if bar] == [90]
    fed(series, [at(1.5, "101"), at(0.1, "80"), at(0.15, "85")])
    assert [(bar.open, bar.low, bar.close) for bar in series.last(1)] == [(80, 80, 100)]
    fed(series, [at(1.2, "70")])
    assert [bar.open for bar in (series.current,) if bar] == [100]


def test_a_bar_opens_where_the_one_before_closed() -> None:
    """As the venue's own buckets do; the open may lie outside low … high."""
    series = Series("XBTUSD", SECOND)
    fed(series, [at(0, "100"), at(1.5, "105"), at(1.6, "103"), at(2, "104")])
    bar = series.previous
    assert bar is not None
    assert (bar.open, bar.high, bar.low, bar.close) == (100, 105, 103, 103)


def test_grace_lets_trades_on_their_way_arrive() -> None:
    """Within the grace a late trade is in the bar when it is told, and nothing is revised."""
    patient, hasty = Series("XBTUSD", SECOND, grace_us=300_000), Series("XBTUSD", SECOND)
    found = [at(0.5, "100"), at(1.1, "103"), at(0.9, "101"), at(1.3, "104")]
    kept, revised = fed(patient, found), fed(hasty, found)
    assert [event.kind for event in kept] == ["open", "close", "open"]
    assert [bar.start_us for bar in (patient.current,) if bar] == [START_US + SECOND]
    assert kept[1].bar.close == 101
    assert kept[2].bar.open == 101
    assert kept[2].bar.trades == 1, "a bar may open with trades that came in the grace before it"
    assert [event.kind for event in revised] == ["open", "close", "open", "revised"]
    assert revised[1].bar.close == 100
    assert revised[3].bar.close == 101
    assert revised[3].bar.revision == 1
    assert [plain(bar) for bar in patient.last(9)] == [plain(bar) for bar in hasty.last(9)]


def test_a_late_trade_within_the_grace_moves_the_empty_bars_after_it() -> None:
    """They were begun with another close; they are told with the right one."""
    series = Series("XBTUSD", SECOND, grace_us=5 * SECOND)
    told = fed(series, [at(0.5, "100"), at(2.5, "110"), at(0.7, "105")])
    assert [event.kind for event in told] == ["open"]
    told = series.advance(START_US + 9 * SECOND)
    closes = [event.bar for event in told if event.kind == "close"]
    assert [(bar.open, bar.close) for bar in closes[:3]] == [(100, 105), (105, 105), (105, 110)]
    assert not any(bar.revision for bar in closes)


def test_a_late_trade_moves_what_follows_it() -> None:
    """Empty bars after it close elsewhere, the first one with trades opens there: all are told."""
    series = Series("XBTUSD", SECOND)
    fed(series, [at(0, "100"), at(3.5, "110"), at(4.1, "111")])
    told = fed(series, [at(0.7, "105")])
    assert [event.bar.start_us - START_US for event in told] == [0, SECOND, 2 * SECOND, 3 * SECOND]
    assert {event.kind for event in told} == {"revised"}
    assert [bar.close for bar in series.last(4)] == [105, 105, 105, 110]
    assert series.last(1)[0].open == 105
    assert series.last(1)[0].low == 110


def test_a_trade_older_than_all_bars_is_counted() -> None:
    """It changes nothing, and it is not lost without a word."""
    series = Series("XBTUSD", SECOND)
    fed(series, [at(5, "100")])
    assert fed(series, [at(4.9, "99")]) == []
    assert series.too_late == 1


def test_only_so_many_bars_are_kept() -> None:
    """At least as many as were asked for, and not a day of seconds."""
    series = Series("XBTUSD", SECOND, keep=10)
    fed(series, [at(second, "100") for second in range(100)])
    assert 10 <= len(series.last(1_000)) <= 20
    assert series.last(1)[0].start_us == START_US + 98 * SECOND
    assert [event.kind for event in fed(series, [at(95, "100")])] == ["revised"]
    fed(series, [at(50, "101")])
    assert series.too_late == 1
    series.keep_more(30)
    fed(series, [at(second, "100") for second in range(100, 200)])
    assert 30 <= len(series.last(1_000)) <= 60


def test_a_clock_that_leaps_begins_anew() -> None:
    """After more bars than are kept nobody is told of thousands of empty ones."""
    series = Series("XBTUSD", SECOND, keep=10)
    fed(series, [at(0, "100"), at(1, "101")])
    told = series.advance(START_US + 1_000 * SECOND)
    assert [event.kind for event in told] == ["close", "open"]
    assert told[1].bar.start_us == START_US + 1_000 * SECOND
    assert told[1].bar.open == 101
    assert series.skipped == 998
    assert series.last(5) == []


def test_buckets_end_where_single_trades_begin() -> None:
    """A trade of the very moment at which the buckets end is not in them; one before it is."""
    bucket = Bucket(
        symbol="XBTUSD", start_us=START_US, length_us=60 * SECOND, open_=Decimal(1),
        high=Decimal(3), low=Decimal(1), close=Decimal(2), contracts=9, trades=4, turnover_minor=8,
    )  # fmt: skip
    later = replace(bucket, start_us=START_US + 60 * SECOND, open_=Decimal(2), high=Decimal(5))
    series = Series("XBTUSD", 120 * SECOND)
    assert series.install(Covers([bucket]), START_US + 60 * SECOND) == START_US
    assert [plain(bar)[1:7] for bar in (series.current,) if bar] == [(1, 3, 1, 2, 9, 4)]
    fed(series, [at(59.999, "7"), at(60, "4")])
    assert series.covered == 1
    assert [plain(bar)[1:7] for bar in (series.current,) if bar] == [(1, 4, 1, 4, 109, 5)]
    whole = Series("XBTUSD", 120 * SECOND)
    assert whole.install(Covers([bucket, later]), START_US + 120 * SECOND) == START_US
    assert plain(whole.last(1)[0])[1:7] == (1, 5, 1, 2, 18, 8)
    hole = Series("XBTUSD", 120 * SECOND)
    assert hole.install(Covers([later]), START_US + 120 * SECOND) is None
    assert hole.current is None
    fourth = replace(bucket, start_us=START_US + 240 * SECOND)
    third = replace(bucket, start_us=START_US + 120 * SECOND)
    late_hole = Series("XBTUSD", 180 * SECOND)
    found = Covers([bucket, later, third, fourth])
    assert late_hole.install(found, START_US + 300 * SECOND) is None
    assert late_hole.last(9) == []


def test_days_begin_at_midnight() -> None:
    """A trade of the last millisecond is yesterday's, one of 00:00:00.000 is today's."""
    series = Series("XBTUSD", DAY_US)
    fed(series, [at(86_399.999, "100"), at(86_400, "101")])
    assert series.previous is not None
    assert (series.previous.start_us, series.previous.close) == (START_US, 100)
    assert series.current is not None
    assert series.current.start_us == START_US + DAY_US


def test_only_bars_that_lack_nothing_are_complete() -> None:
    """
    The bar that we began in is not, nor is any that a gap touches, until its trades were filled in.
    """
    series = Series("XBTUSD", SECOND)
    fed(series, [at(0.5, "100")])
    series.filled(START_US + SECOND // 2)
    fed(series, [at(1.5, "101"), at(2.5, "102")])
    assert [bar.complete for bar in series.last(9)] == [False, True]
    series.gap(START_US + 5 * SECOND // 2)
    fed(series, [at(5.5, "103")])
    assert [bar.complete for bar in series.last(9)] == [False, True, False, False, False]
    told = series.filled(START_US + 3 * SECOND)
    assert [(event.kind, event.bar.complete) for event in told] == [("revised", True)] * 2
    assert [bar.complete for bar in series.last(9)] == [False, True, False, True, True]
    assert series.current is not None
    assert series.current.complete
    series.gap(START_US + 11 * SECOND // 2)
    fed(series, [at(6.5, "104")])
    told = series.filled(START_US + 11 * SECOND // 2)
    assert [event.bar.start_us - START_US for event in told] == [5 * SECOND], (
        "what was filled in from the last known trade on joins what was known before"
    )


def test_vwap_is_exact() -> None:
    """Harmonic for inverse contracts, as the venue's turnover has it; plain for the others."""
    inverse = Rules(symbol="XBTUSD", lot=100, tick=Decimal("0.5"), multiplier=-100_000_000)
    linear = Rules(symbol="XBTUSDT", lot=1, tick=Decimal("0.5"), multiplier=1)
    found = [("50000", 100), ("40000", 300)]
    harmonic = Fraction(400) / (Fraction(100, 50_000) + Fraction(300, 40_000))
    mean = Fraction(50_000 * 100 + 40_000 * 300, 400)
    for rules, wanted in ((inverse, harmonic), (linear, mean)):
        series = Series(rules.symbol, SECOND)
        series.multiplier = rules.multiplier
        for price, contracts in found:
            trade = Trade(rules.symbol, Decimal(price), contracts, 1, START_US)
            series.take(trade, value_minor(rules, trade.price, contracts))
        bar = series.current
        assert bar is not None
        assert replace(bar, multiplier=0).vwap is None, "what a contract is worth is not known"
        assert bar.vwap_ratio is not None
        assert Fraction(*bar.vwap_ratio) == wanted
        assert bar.vwap is not None
        assert abs(Fraction(bar.vwap) - wanted) < Fraction(1, 10**20)


def test_values_are_rounded_lot_by_lot() -> None:
    """The protocol sheet's example: 300 XBTUSD at 61250.5 are 3 x 163264 satoshi."""
    rules = Rules(symbol="XBTUSD", lot=100, tick=Decimal("0.1"), multiplier=-100_000_000)
    assert value_minor(rules, Decimal("61250.5"), 300) == 489_792
    assert value_minor(rules, Decimal(0), 300) == 0
    ether = Rules(symbol="ETHUSD", lot=1, tick=Decimal("0.05"), multiplier=100)
    assert value_minor(ether, Decimal("2450.25"), 7) == 1_715_175


@pytest.mark.parametrize(
    ("name", "us"), [("1s", SECOND), ("15s", 15 * SECOND), ("4h", 14_400 * SECOND), ("1d", DAY_US)]
)
def test_lengths_have_names(name: str, us: int) -> None:
    """A length is a number and a unit; its name is the shortest one."""
    assert length_us(name) == us
    assert length_name(us) == name
    assert length_name(60 * SECOND) == "1m"
    assert length_name(90 * SECOND) == "90s"


@pytest.mark.parametrize("name", ["", "0s", "1", "m", "-1m", "1.5h", "1M", "1 m", "1234567s"])
def test_what_is_no_length_is_refused(name: str) -> None:
    """The error repeats what was asked for."""
    with pytest.raises(ValueError, match="a bar is as long as"):
        length_us(name)
