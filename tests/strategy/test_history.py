"""History and stream, joined: nothing missing, nothing twice, wherever the cut lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random

import pytest
from msgspec.structs import replace

from reconciler.feed import (
    PAGE,
    Asked,
    Bucket,
    History,
    Joined,
    Lost,
    Marked,
    News,
    Page,
    Trade,
    TradeImage,
)
from reconciler.strategy import history
from reconciler.strategy.history import FAILURES, LAGS, Joiner, Needs
from reconciler.strategy.market import Bar, Market
from tests.strategy.made import SECOND, START_US, one_pass, trades

SYMBOL = "XBTUSD"
MINUTE = 60 * SECOND
SIZES = (MINUTE, 5 * MINUTE, 3_600 * SECOND, 86_400 * SECOND)


class Venue:
    """Its tape, how much of that its history shows, and its buckets, made from the tape."""

    def __init__(self, tape: Sequence[Trade], *, lag: int = 0) -> None:
        self.tape = list(tape)
        self.lag = lag  # trades that history does not show yet
        self.shown = 0
        self.pages: list[Asked] = []

    def page(self, asked: Asked) -> Page:
        """As GET /trade and GET /trade/bucketed answer now."""
        self.pages.append(asked)
        past = self.tape[: max(self.shown - self.lag, 0)]
        if not asked.bucket_us:
            rows: list[Trade] = [t for t in past if t.venue_us >= asked.start_us]
            rows = rows[asked.skip : asked.skip + PAGE]
            return Page(asked=asked, trades=rows, rows=len(rows))
        buckets = [b for b in self.buckets(past, asked.bucket_us) if b.start_us >= asked.start_us]
        buckets = buckets[asked.skip : asked.skip + PAGE]
        return Page(asked=asked, buckets=buckets, rows=len(buckets))

    @staticmethod
    def buckets(past: Sequence[Trade], length: int) -> list[Bucket]:
        """Whole ones only; each has what was traded before its end."""
        if not past:
            return []
        return [
            Bucket(
                symbol=SYMBOL, start_us=start, length_us=length, open_=opened, high=high, low=low,
                close=close, contracts=contracts, trades=count, turnover_minor=turnover,
            )
            for start, opened, high, low, close, contracts, count, turnover
            in one_pass(past, length, past[-1].venue_us)
        ]  # fmt: skip


class House:
    """A joiner and a market, fed by a venue. Every trade of the tape is one moment."""

    def __init__(self, venue: Venue, bars: dict[str, int], trades_us: int = 0) -> None:
        self.venue = venue
        self.joiner = Joiner({SYMBOL: Needs(bars, trades_us)})
        self.market = Market([SYMBOL], {SYMBOL: bars}, keep=5_000)
        self.told: list[News] = []
        self.late: list[Page] = []
        self.now_us = 0

    def see(self, news: Iterable[News]) -> None:
        for one in news:
            self.told.append(one)
            self.market.take(one)

    def stream(self, *batch: News) -> None:
        self.see(self.joiner.take(batch, self.now_us))

    def subscribe(self, at: int, *, image: int = 1) -> None:
        """The image, as the stream stands before trade number *at*."""
        self.venue.shown = max(self.venue.shown, at)
        self.now_us = self.venue.tape[max(at - 1, 0)].venue_us
        self.stream(TradeImage(SYMBOL, self.venue.tape[max(at - image, 0) : at]))
        self.stream(Joined())

    def live(self, start: int, end: int) -> None:
        for number in range(start, end):
            self.venue.shown = max(self.venue.shown, number + 1)
            self.now_us = self.venue.tape[number].venue_us
            self.stream(self.venue.tape[number])

    def read(self) -> None:
        """Answer every page that is asked for now."""
        for asked in self.joiner.asks(self.now_us):
            self.see(self.joiner.page(self.venue.page(asked), self.now_us))

    def read_all(self) -> None:
        for _ in range(500):
            if self.joiner.joined:
                return
            self.now_us += SECOND // 2
            self.read()
        raise AssertionError("history does not end")

    @property
    def handed_over(self) -> list[Trade]:
        """Every trade that came out: of history, then of the stream."""
        found: list[Trade] = []
        for news in self.told:
            if isinstance(news, History):
                found += news.trades
            elif isinstance(news, Trade):
                found.append(news)
        return found

    @property
    def history(self) -> History:
        return [news for news in self.told if isinstance(news, History)][-1]


def plain(bar: Bar) -> tuple[object, ...]:
    return (
        bar.start_us, bar.open, bar.high, bar.low, bar.close, bar.contracts, bar.trades,
        bar.turnover_minor,
    )  # fmt: skip


def tape(seed: int, count: int) -> list[Trade]:
    return [t for t in trades(Random(seed), count * 2) if t.venue_us < START_US + 86_000 * SECOND][
        :count
    ]


@pytest.mark.parametrize("named", [True, False])
def test_trades_are_joined_at_every_cut(named: bool) -> None:
    """
    Wherever the subscription begins, however many trades come while history is read, and however
    far that lags behind: every trade once, in its order; with ids and without.
    """
    made = tape(1, 60)
    if not named:
        made = [replace(trade, trade_id="") for trade in made]
    for cut in range(1, len(made) - 6):
        for meanwhile, lag in ((0, 0), (1, 0), (5, 3), (3, 5)):
            house = House(Venue(made, lag=lag), {}, trades_us=20 * SECOND)
            house.subscribe(cut)
            house.live(cut, cut + meanwhile)
            house.read()
            house.live(cut + meanwhile, cut + meanwhile + 2)
            house.venue.lag = 0
            if not named:
                house.venue.shown = len(made)
            house.read_all()
            house.live(cut + meanwhile + 2, len(made))
            since = house.history.since_us
            assert house.history.complete
            assert house.handed_over == [t for t in made if t.venue_us >= since], (cut, meanwhile)


@pytest.mark.parametrize("seed", range(6))
def test_bars_are_joined_exactly(seed: int) -> None:
    """
    Bars of the venue's buckets, of trades read, and of the stream are one row: those of a one-pass
    builder over the whole tape, of all lengths at once, without one that is missing or doubled.
    """
    rng = Random(seed)
    made = tape(seed, 6_000)
    cut = rng.randrange(3_000, 5_500)
    house = House(Venue(made, lag=rng.choice([0, 0, 7])), {"15s": 40, "1m": 30, "1h": 2, "7m": 3})
    house.subscribe(cut, image=rng.choice([0, 1, 3]))
    at = cut
    while not house.joiner.joined:
        more = rng.choice([0, 1, 20])
        house.live(at, at + more)
        at += more
        house.venue.lag = 0 if rng.random() < 0.3 else house.venue.lag
        house.now_us += SECOND // 2
        house.read()
    house.live(at, len(made))
    until_us = made[-1].venue_us
    for name, us, least in (("15s", 15, 40), ("1m", 60, 30), ("1h", 3_600, 1), ("7m", 420, 3)):
        bars = house.market[SYMBOL].bars(name, 5_000)
        wanted = one_pass(made, us * SECOND, until_us)
        assert len(bars) >= min(least, len(wanted) - 1)
        # The first bar of single trades has none before it, and so it opens at its own first.
        first = 1 if name == "15s" else 0
        assert [plain(bar) for bar in bars][first:] == wanted[-len(bars) :][first:]
        assert all(bar.complete for bar in bars[first:])
    assert house.market.counts["repeats"] == 0


def test_a_gap_is_filled_and_told() -> None:
    """
    The stream is lost for a while: what was traded then is read, the bars that it changes are told
    as revised, and in the end nothing shows that there was a gap.
    """
    made = tape(3, 900)
    house = House(Venue(made), {"15s": 10})
    house.subscribe(300)
    house.read_all()
    house.live(300, 500)
    house.stream(Lost("the cable"))
    assert not house.market[SYMBOL].in_sync
    house.market.advance(made[650].venue_us)
    gap = house.market[SYMBOL].bars("15s", 2)
    assert not gap[-1].complete
    assert gap[-1].trades == 0
    house.subscribe(650)
    assert house.venue.pages[-1].skip == 0
    house.live(650, 700)
    house.read_all()
    house.live(700, len(made))
    bars = house.market[SYMBOL].bars("15s", 500)
    assert [plain(bar) for bar in bars] == one_pass(made, 15 * SECOND, made[-1].venue_us)[
        -len(bars) :
    ]
    assert any(bar.revision for bar in bars)
    assert all(bar.complete for bar in bars[1:])
    assert house.history.since_us == made[499].venue_us


def test_prices_flow_while_history_is_read() -> None:
    """Only the trades of a symbol wait; what else is told, and other symbols, pass."""
    made = tape(4, 20)
    house = House(Venue(made), {"1m": 5})
    house.subscribe(10)
    marked = Marked(symbol=SYMBOL, mark=made[0].price)
    other = replace(made[3], symbol="ETHUSD")
    house.stream(made[10], marked, other)
    assert house.told[-2:] == [marked, other]
    assert house.market[SYMBOL].mark == made[0].price
    assert house.market[SYMBOL].last == made[9].price, "the image has told the last price"
    house.venue.shown = 11
    house.read_all()
    house.live(11, 20)
    assert house.history.complete
    assert [t for t in house.handed_over if t.symbol == SYMBOL][-10:] == made[10:]


def test_a_stream_without_images_of_trades_is_joined_too() -> None:
    """Some venues send none: then the word that all is in sync begins it, or the first trade."""
    made = tape(11, 40)
    for first in (Joined(), made[20]):
        house = House(Venue(made), {}, trades_us=5 * SECOND)
        house.now_us, house.venue.shown = made[19].venue_us, 20
        house.stream(first)
        house.venue.shown = 21
        house.read_all()
        house.live(20 if isinstance(first, Joined) else 21, 40)
        since = house.history.since_us
        assert house.handed_over == [t for t in made if t.venue_us >= since]
        assert len(house.handed_over) > 20


def test_an_image_after_the_word_that_all_is_in_sync_is_the_anchor() -> None:
    """What it shows as traded has to be in history before that is believed to be whole."""
    made = tape(12, 40)
    house = House(Venue(made, lag=3), {}, trades_us=5 * SECOND)
    house.now_us, house.venue.shown = made[19].venue_us, 20
    house.stream(Joined())
    house.stream(TradeImage(SYMBOL, made[19:20]))
    house.now_us += SECOND
    house.read()
    assert not house.joiner.joined
    house.venue.lag = 0
    house.read_all()
    house.live(20, 40)
    since = house.history.since_us
    assert house.handed_over == [t for t in made if t.venue_us >= since]


def test_a_second_image_changes_nothing() -> None:
    """A venue may send one at any time: what is being read goes on, what is joined stays joined."""
    made = tape(13, 40)
    house = House(Venue(made), {}, trades_us=5 * SECOND)
    house.subscribe(10)
    (asked,) = house.joiner.asks(house.now_us)
    house.live(10, 12)
    house.stream(TradeImage(SYMBOL, made[11:12]), TradeImage("ETHUSD", []))
    assert isinstance(house.told[-1], TradeImage), "of other symbols it passes"
    house.see(house.joiner.page(house.venue.page(asked), house.now_us))
    assert house.joiner.joined
    house.live(12, 14)
    house.stream(TradeImage(SYMBOL, made[13:14]))
    assert house.joiner.joined
    assert house.joiner.asks(house.now_us + SECOND) == []
    house.live(14, 40)
    since = house.history.since_us
    assert house.handed_over == [t for t in made if t.venue_us >= since]


def test_trades_that_history_had_first_are_not_told_again() -> None:
    """Its pages may be ahead of the stream, which may be a little out of order, too."""
    made = tape(14, 40)
    house = House(Venue(made), {}, trades_us=5 * SECOND)
    house.subscribe(10)
    house.venue.shown = 14
    house.read_all()
    assert house.history.trades[-1] == made[13]
    for number in (14, 10, 12, 11, 13, 15):
        house.stream(made[number])
    assert house.told[-2:] == [made[14], made[15]]
    assert len(house.handed_over) == len(set(house.handed_over))


def test_pages_are_read_to_the_end() -> None:
    """More trades than one page: read on, with the rows of before skipped."""
    made = tape(5, 3_400)
    house = House(Venue(made), {}, trades_us=80_000 * SECOND)
    assert house.joiner.asks(made[0].venue_us) == [], "nothing before the stream"
    house.subscribe(3_300)
    (first,) = house.joiner.asks(house.now_us)
    assert house.joiner.asks(house.now_us) == [], "one page at a time"
    house.see(house.joiner.page(house.venue.page(first), house.now_us))
    house.live(3_300, 3_310)
    house.read_all()
    house.live(3_310, len(made))
    assert [asked.skip for asked in house.venue.pages] == [0, 1_000, 2_000, 3_000]
    assert house.joiner.asks(house.now_us + 10**9) == [], "all is joined"
    assert house.handed_over == made


def test_what_is_held_back_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that never answers must not fill the memory: the stream goes on without its past."""
    monkeypatch.setattr(history, "HELD", 3)
    made = tape(15, 40)
    house = House(Venue(made), {"1s": 5})
    house.subscribe(10)
    house.live(10, 13)
    assert not house.joiner.joined
    house.live(13, 14)
    assert house.joiner.joined
    assert not house.history.complete
    assert "too much was traded" in house.history.note
    house.live(14, 40)
    assert house.handed_over == made[10:]


def test_a_gap_of_too_many_trades_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading has an end, too; what was read until then is used."""
    monkeypatch.setattr(history, "PAGES", 2)
    made = tape(16, 3_000)
    house = House(Venue(made), {}, trades_us=80_000 * SECOND)
    house.subscribe(2_900)
    house.read_all()
    assert not house.history.complete
    assert "more than 2000 trades are missing" in house.history.note
    assert house.handed_over == made[:2_000]


def test_a_venue_without_history_of_a_symbol() -> None:
    """Nothing was ever traded: history is empty and complete, and the first trade begins it all."""
    made = tape(6, 5)
    house = House(Venue(made), {"1m": 5, "1s": 5})
    house.now_us = made[0].venue_us - SECOND
    house.stream(TradeImage(SYMBOL, []), Joined())
    house.read_all()
    assert house.history.complete
    house.live(0, 5)
    assert house.handed_over == made
    bar = house.market[SYMBOL].bar("1m")
    assert bar is not None
    assert bar.complete


def test_failures_are_repeated_and_then_told() -> None:
    """A page that does not come is asked for again, ever later; at last history says that it lacks
    something, and the stream goes on."""
    made = tape(7, 40)
    house = House(Venue(made), {"1m": 5})
    house.subscribe(20)
    house.live(20, 22)
    times = []
    while not house.joiner.joined:
        house.now_us += SECOND // 4
        for asked in house.joiner.asks(house.now_us):
            times.append(house.now_us)
            house.see(house.joiner.page(Page(asked=asked, failed="503"), house.now_us))
    assert len(times) == FAILURES
    waits = [after - before for before, after in pairwise(times)]
    assert waits == sorted(waits)
    assert waits[-1] > 30 * waits[0]
    assert not house.history.complete
    assert "503" in house.history.note
    assert house.market[SYMBOL].history_note == house.history.note
    assert house.handed_over == made[20:22]
    house.live(22, 40)
    bars = house.market[SYMBOL].bars("1m", 9)
    assert all(bar.complete == (bar.start_us >= made[19].venue_us) for bar in bars)


def test_a_history_that_never_catches_up_is_told() -> None:
    """What it has is used; that it ends too early is said, and the bars in between say it too."""
    made = tape(8, 60)
    house = House(Venue(made, lag=10), {"1s": 30})
    house.subscribe(40)
    house.read_all()
    assert "behind its stream" in house.history.note
    assert house.history.trades[-1] == made[29]
    house.live(40, 60)
    assert len(house.venue.pages) == LAGS + 1
    assert not all(bar.complete for bar in house.market[SYMBOL].bars("1s", 500))


@pytest.mark.parametrize("more", [False, True])
def test_an_answer_to_what_was_given_up_is_nothing(more: bool) -> None:
    """A page that comes after the stream was lost is of a joining that is over."""
    made = tape(9, 40)
    house = House(Venue(made), {}, trades_us=10 * SECOND)
    house.subscribe(10)
    (asked,) = house.joiner.asks(house.now_us)
    page = house.venue.page(asked)
    if more:
        house.joiner.want({SYMBOL: Needs({}, 12 * SECOND)})
    house.stream(Lost("the cable"))
    house.subscribe(20)
    (again,) = house.joiner.asks(house.now_us)
    assert house.joiner.page(page, house.now_us) == []
    assert house.joiner.page(Page(asked=replace(asked, symbol="ETHUSD")), house.now_us) == []
    house.see(house.joiner.page(house.venue.page(again), house.now_us))
    house.live(20, 40)
    since = house.history.since_us
    assert house.handed_over == [t for t in made if t.venue_us >= since]


def test_more_can_be_wanted_later() -> None:
    """
    Another length, while bars are being made: it gets its past with the next joining, and the
    others are not counted twice.
    """
    made = tape(10, 2_000)
    house = House(Venue(made), {"15s": 20})
    house.subscribe(800)
    house.read_all()
    house.live(800, 1_200)
    house.market.want(SYMBOL, "1m", 30)
    house.live(1_200, 1_300)
    house.joiner.want({SYMBOL: Needs({"15s": 20, "1m": 30})})
    house.joiner.want({"ETHUSD": Needs({"1m": 1})})
    house.stream(Lost("more is wanted"))
    house.subscribe(1_350)
    for _ in range(50):
        house.now_us += SECOND
        house.read()
    house.live(1_350, 2_000)
    for name, us in (("15s", 15), ("1m", 60)):
        bars = house.market[SYMBOL].bars(name, 5_000)
        wanted = one_pass(made, us * SECOND, made[-1].venue_us)
        assert len(bars) > 30 * 15 // us
        assert [plain(bar) for bar in bars] == wanted[-len(bars) :]


def test_needs_say_what_is_read() -> None:
    """Coarse buckets for long bars, finer ones for what the coarse one of now has not yet."""
    hour, day = 3_600 * SECOND, 86_400 * SECOND
    noon = START_US + 12 * hour + 34 * MINUTE
    assert Needs({"1d": 10}).bucket_starts(noon) == {
        day: START_US - 10 * day,
        hour: START_US - day,
        5 * MINUTE: START_US + 11 * hour,
        MINUTE: START_US + 12 * hour + 25 * MINUTE,
    }
    assert Needs({"15s": 10}).bucket_starts(noon) == {}
    assert Needs({"15s": 10}).trades_start(noon) == noon - 150 * SECOND
    assert Needs({"4h": 6, "3m": 5}).bucket_starts(noon)[MINUTE] == noon - MINUTE - 15 * MINUTE
    assert Needs({"1m": 10}).trades_start(noon) == noon, "buckets have them"
    assert Needs({}, 5 * SECOND).trades_start(noon) == noon - 5 * SECOND
