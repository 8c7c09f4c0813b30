"""What a strategy sees: prices, ticks, snapshots, bars by their names, and what is not counted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from reconciler.feed import (
    Best,
    BookRows,
    BookTop,
    Bucket,
    FundingPaid,
    History,
    Joined,
    Level,
    Lost,
    Marked,
    News,
    Rules,
    Trade,
    TradeImage,
)
from reconciler.strategy.bars import BarEvent
from reconciler.strategy.market import IDS, Market, Snapshot, SymbolMarket, Tick
from tests.strategy.made import SECOND, START_US

XBT, ETH = "XBTUSD", "ETHUSD"
MINUTE = 60 * SECOND


def trade(price: str, seconds: float = 0, name: str = "", **more: Any) -> Trade:
    given = {"symbol": XBT, "contracts": 100, "side": 1, **more}
    at_us = START_US + round(seconds * SECOND)
    return Trade(price=Decimal(price), venue_us=at_us, trade_id=name, **given)


def best(bid: str, ask: str, seconds: float = 0, symbol: str = XBT) -> Best:
    at_us = START_US + round(seconds * SECOND)
    return Best(symbol, Decimal(bid), Decimal(ask), 300, 400, at_us)


@pytest.fixture
def market() -> Market:
    return Market((XBT, ETH), {XBT: ("1s", "1m")})


def ticks(market: Market, *news: News) -> list[Tick]:
    return [one for each in news for one in market.take(each) if isinstance(one, Tick)]


def bar_events(market: Market, *news: News) -> list[tuple[str, str]]:
    told = [one for each in news for one in market.take(each)]
    return [(one.kind, one.bar.length) for one in told if isinstance(one, BarEvent)]


def test_a_trade_is_a_tick(market: Market) -> None:
    """Last price, the one before it, and the trade itself."""
    first, second = ticks(market, trade("100", 1), trade("101", 2))
    assert (first.last, first.previous) == (100, None)
    assert (second.last, second.previous) == (101, 100)
    assert second.trade is not None
    assert second.trade.contracts == 100
    assert second.venue_us == START_US + 2 * SECOND
    assert (market[XBT].last, market[XBT].previous) == (101, 100)
    assert market[ETH].last is None


def test_a_quote_is_a_tick_when_it_changes(market: Market) -> None:
    """Price or size; the same again is nothing."""
    (first,) = ticks(market, best("100", "100.5"), best("100", "100.5", 1))
    assert (first.bid, first.ask, first.bid_contracts, first.ask_contracts) == (
        100, Decimal("100.5"), 300, 400,
    )  # fmt: skip
    assert first.trade is None
    for changed in (
        Best(XBT, Decimal(99), Decimal("100.5"), 300, 400, 0),
        Best(XBT, Decimal(99), Decimal(101), 300, 400, 0),
        Best(XBT, Decimal(99), Decimal(101), 1, 400, 0),
        Best(XBT, Decimal(99), Decimal(101), 1, None, 0),
        Best(XBT, None, Decimal(101), 1, None, 0),
    ):
        assert len(ticks(market, changed)) == 1
        assert ticks(market, changed) == []
    assert market[XBT].bid is None


def test_marks_add_up(market: Market) -> None:
    """Each word on an instrument holds until the next one about the same."""
    said = [
        Marked(symbol=XBT, mark=Decimal(100), venue_us=START_US),
        Marked(symbol=XBT, index=Decimal(101)),
        Marked(symbol=XBT, funding_rate=Decimal("0.0001"), next_funding_us=START_US + MINUTE),
        Marked(symbol=XBT, mark=Decimal(100)),
    ]
    assert len(ticks(market, *said)) == 3
    xbt = market[XBT]
    assert (xbt.mark, xbt.index, xbt.funding) == (100, 101, Decimal("0.0001"))
    assert xbt.next_funding_us == START_US + MINUTE
    paid = FundingPaid(XBT, Decimal("0.0002"), START_US)
    assert market.take(paid) == []
    assert xbt.funding_paid == paid


def test_a_late_trade_is_no_last_price(market: Market) -> None:
    """It counts in the bar of its second; the price is that of the newest."""
    assert len(ticks(market, trade("100", 0.5), trade("90", 0.2))) == 1
    assert market[XBT].last == 100
    assert market.counts["late"] == 1
    bar = market[XBT].bar("1s")
    assert bar is not None
    assert (bar.low, bar.close, bar.trades) == (90, 100, 2)


def test_a_repeat_counts_once(market: Market) -> None:
    """Known by its id, for the newest few thousand; a trade without one is never a repeat."""
    assert len(ticks(market, trade("100", 1, "a"), trade("100", 1, "a"))) == 1
    assert market.counts["repeats"] == 1
    assert len(ticks(market, trade("100", 1), trade("100", 1))) == 2
    bar = market[XBT].bar("1s")
    assert bar is not None
    assert bar.trades == 3
    for number in range(IDS):
        market.take(trade("100", 2, f"n{number}"))
    assert len(market[XBT]._seen) == IDS


def test_a_trade_from_the_future_closes_nothing(market: Market) -> None:
    """A wrong year in one row would end all bars; it is counted and left out."""
    ticks(market, trade("100", 1))
    market.advance(START_US + SECOND)
    assert market.take(trade("5", 3_602)) == []
    assert market.counts["from_the_future"] == 1
    assert market[XBT].last == 100
    assert bar_events(market, trade("101", 30))
    assert market.venue_us == START_US + 30 * SECOND
    market.take(best("1", "2", 10**6))
    assert market.venue_us == START_US + 30 * SECOND
    assert market[XBT].bid == 1


def test_a_bar_says_that_a_trade_from_the_future_was_left_out_of_it() -> None:
    """It was traded when it came, whatever its stamp says: bars of then lack it, later ones not."""
    market = Market([XBT], {XBT: ["15s", "1m"]})
    market.take(History(symbol=XBT, since_us=START_US, trades=[trade("100", 0)]))
    market.advance(START_US + 16 * SECOND)
    market.take(trade("5", 4_000))
    market.advance(START_US + 60 * SECOND)
    assert [bar.complete for bar in market[XBT].bars("15s", 9)] == [True, False, True, True]
    assert [bar.complete for bar in market[XBT].bars("1m", 9)] == [False]


def test_strangers_are_counted(market: Market) -> None:
    """A symbol that nobody asked for."""
    assert market.take(trade("100", symbol="DOGE")) == []
    assert market.counts["strangers"] == 1


def test_bars_by_their_names(market: Market) -> None:
    """The current one, the one before, and the last few; a length nobody asked for is an error."""
    for second in range(5):
        market.take(trade(str(100 + second), second))
    xbt = market[XBT]
    current, previous = xbt.bar("1s"), xbt.previous_bar("1s")
    assert current is not None
    assert previous is not None
    assert (current.close, previous.close) == (104, 103)
    assert [bar.close for bar in xbt.bars("1s", 2)] == [102, 103]
    assert xbt.bars("1s", 0) == []
    assert len(xbt.bars("60s", 9)) == 0, "another name of a minute"
    assert xbt.previous_bar("1m") is None
    with pytest.raises(KeyError, match="no bars of 5m of XBTUSD were asked for"):
        xbt.bar("5m")
    assert [t.price for t in xbt.trades(2)] == [103, 104]
    assert xbt.trades(0) == []


def test_a_length_that_is_wanted_again_goes_on(market: Market) -> None:
    """By another strategy, which wants more of it: what was made stays, and more is kept."""
    for second in range(3):
        market.take(trade("100", second))
    market.want(XBT, "1s", 2_000)
    assert len(market[XBT].bars("1s", 9)) == 2
    for second in range(3, 2_100):
        market.take(trade("100", second))
    assert len(market[XBT].bars("1s", 9_999)) >= 2_000
    assert market.too_late == 0
    market.take(trade("100", -5))
    assert market.too_late == 2, "once for each length"


def test_bars_open_before_the_tick_that_opens_them(market: Market) -> None:
    """In the order in which one wants to hear it: the bar is over, the next begins, the tick."""
    market.take(trade("100", 0.5))
    told = market.take(trade("101", 1.5))
    assert [type(one).__name__ for one in told] == ["BarEvent", "BarEvent", "Tick"]


def test_time_closes_bars_and_makes_snapshots(market: Market) -> None:
    """Without a trade, too; each second once, and at once only the newest of several."""
    market.take(trade("100", 0.5))
    market.take(best("99", "101", 0.6))
    assert market.advance(START_US + SECOND // 2 + 1)[:2] == [
        market[XBT].snapshot(START_US), market[ETH].snapshot(START_US)
    ]  # fmt: skip
    assert market.advance(START_US + SECOND - 1) == []
    told = market.advance(START_US + SECOND)
    assert [one.kind for one in told if isinstance(one, BarEvent)] == ["close", "open"]
    (xbt, eth) = [one for one in told if isinstance(one, Snapshot)]
    assert (xbt.symbol, xbt.venue_us, xbt.last, xbt.bid) == (XBT, START_US + SECOND, 100, 99)
    assert (eth.symbol, eth.last) == (ETH, None)
    told = market.advance(START_US + 4 * SECOND)
    assert len([one for one in told if isinstance(one, BarEvent)]) == 6
    assert len([one for one in told if isinstance(one, Snapshot)]) == 2
    assert market.advance(START_US) == [], "time does not run backwards"


def test_a_first_trade_after_a_while_has_its_bar_closed(market: Market) -> None:
    """Nothing was due while there was no bar; now there is one."""
    market.advance(START_US)
    market.take(trade("100", 0.5))
    told = market.advance(START_US + SECOND)
    assert [one.kind for one in told if isinstance(one, BarEvent)] == ["close", "open"]


def test_values_come_from_the_rules_when_rows_have_none(market: Market) -> None:
    """A venue that tells no value of a trade: it follows from the contract."""
    market.take(trade("50000", 1))
    bar = market[XBT].bar("1s")
    assert bar is not None
    assert bar.vwap is None, "nothing is made up while the contract is unknown"
    market.take(Rules(symbol=XBT, lot=100, tick=Decimal("0.5"), multiplier=-100_000_000))
    market.take(trade("50000", 2))
    bar = market[XBT].bar("1s")
    assert bar is not None
    assert bar.turnover_minor == 200_000
    assert bar.vwap == 50_000
    market.want(XBT, "5s")
    market.take(trade("50000", 3, value_minor=123))
    bar = market[XBT].bar("5s")
    assert bar is not None
    assert bar.turnover_minor == 123
    assert bar.multiplier == -100_000_000


def test_in_sync_or_not(market: Market) -> None:
    """Whoever looks can tell old prices from new ones; the book of a lost stream is none."""
    xbt = market[XBT]
    assert not xbt.in_sync
    market.take(Joined())
    market.take(BookRows(XBT, "image", [Level(1, 1, Decimal(5), 7)]))
    assert xbt.in_sync
    assert xbt.book.known
    market.take(trade("100", 1))
    market.take(Lost("the cable"))
    assert not xbt.in_sync
    assert not xbt.book.known
    assert len(xbt.book) == 0
    assert xbt.last == 100, "it is the last that is known"


def test_an_image_of_trades_is_a_price_and_no_bar(market: Market) -> None:
    """It may be an hour old: bars of that hour are history's to tell."""
    (tick,) = market.take(TradeImage(XBT, [trade("99", 0), trade("100", 1)]))
    assert isinstance(tick, Tick)
    assert (tick.last, tick.previous) == (100, 99)
    assert market[XBT].bar("1s") is None
    assert market.take(TradeImage(XBT, [trade("98", 0)])) == []
    assert market.take(TradeImage(ETH, [])) == []


def test_history_of_a_gap_keeps_the_bars_before_it(market: Market) -> None:
    """What began with the stream and not with history goes on where history only fills a gap."""
    for second in (1, 2, 3):
        market.take(trade(str(100 + second), second))
    market.take(Lost("the cable"))
    market.take(
        History(
            symbol=XBT, trades=[trade("200", 3.5)], since_us=START_US + 3 * SECOND,
            stream_us=START_US + 4 * SECOND,
        )
    )  # fmt: skip
    assert [bar.close for bar in market[XBT].bars("1s", 9)] == [101, 102]
    bar = market[XBT].bar("1s")
    assert bar is not None
    assert (bar.close, bar.trades) == (200, 2)


def test_history_that_reaches_no_bar(market: Market) -> None:
    """Buckets with a hole before now are of no use; bars begin with the trades then."""
    bucket = Bucket(
        symbol=XBT, start_us=START_US - 5 * MINUTE, length_us=MINUTE, open_=Decimal(1),
        high=Decimal(1), low=Decimal(1), close=Decimal(1), contracts=1, trades=1, turnover_minor=1,
    )  # fmt: skip
    market.take(
        History(
            symbol=XBT, buckets=[bucket], until_us=START_US + MINUTE // 2, since_us=START_US,
            trades=[trade("100", 20), trade("101", 40)],
        )
    )  # fmt: skip
    assert market[XBT].bars("1m", 9) == []
    bar = market[XBT].bar("1m")
    assert bar is not None
    assert (bar.trades, bar.complete) == (2, True)


class TestBook:
    """Levels by their ids."""

    @pytest.fixture
    def xbt(self, market: Market) -> SymbolMarket:
        market.take(
            BookRows(
                XBT,
                "image",
                [
                    Level(1, 1, Decimal(99), 10), Level(2, 1, Decimal(98), 20),
                    Level(3, -1, Decimal(101), 30), Level(4, -1, Decimal(102), 40),
                ],
            )
        )  # fmt: skip
        return market[XBT]

    def test_the_best_first(self, xbt: SymbolMarket) -> None:
        """Bids from the highest, asks from the lowest; as many as wanted, 0 for all."""
        assert xbt.book.bids() == [(99, 10), (98, 20)]
        assert xbt.book.asks(1) == [(101, 30)]
        assert xbt.book.bids(1) == [(99, 10)]
        assert xbt.book.asks(0) == [(101, 30), (102, 40)]
        xbt.book.bids().clear()
        assert len(xbt.book.bids()) == 2, "what is given out is a copy"

    def test_changes(self, market: Market, xbt: SymbolMarket) -> None:
        """A level comes, changes and goes; what a change does not say stays."""
        market.take(BookRows(XBT, "insert", [Level(5, 1, Decimal(100), 5)]))
        assert xbt.book.bids(1) == [(100, 5)]
        market.take(BookRows(XBT, "update", [Level(5, 1, None, 6), Level(1, 1, Decimal(97), None)]))
        assert xbt.book.bids() == [(100, 6), (98, 20), (97, 10)]
        market.take(BookRows(XBT, "delete", [Level(5, 1, None, None)]))
        assert xbt.book.bids() == [(98, 20), (97, 10)]
        assert xbt.book.unexplained == 0

    def test_what_cannot_be_is_counted(self, market: Market, xbt: SymbolMarket) -> None:
        """Levels never seen; a feed asks for a new image then."""
        market.take(BookRows(XBT, "update", [Level(9, 1, Decimal(1), 1)]))
        market.take(BookRows(XBT, "delete", [Level(9, 1, None, None)]))
        market.take(BookRows(XBT, "insert", [Level(9, 1, None, 1)]))
        assert xbt.book.unexplained == 3
        assert len(xbt.book) == 4
        market.take(BookRows(XBT, "image", []))
        assert xbt.book.unexplained == 0
        assert (xbt.book.bids(), xbt.book.asks()) == ([], [])

    def test_nothing_before_the_image(self, market: Market) -> None:
        """Changes of a book that is not known say nothing."""
        market.take(BookRows(ETH, "insert", [Level(1, 1, Decimal(1), 1)]))
        assert not market[ETH].book.known
        assert len(market[ETH].book) == 0

    def test_the_top_alone(self, market: Market) -> None:
        """A table that has only the best levels replaces them each time."""
        market.take(BookTop(ETH, [(Decimal(9), 1)], [(Decimal(10), 2)], 1))
        market.take(BookTop(ETH, [(Decimal(8), 3), (Decimal(7), 4)], [], 2))
        assert market[ETH].book.known
        assert market[ETH].book.bids() == [(8, 3), (7, 4)]
        assert market[ETH].book.asks() == []
