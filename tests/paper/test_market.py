"""The matching engine: price, then time, then nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.paper.market import BUY, SELL, Book, Resting


def rest(book, name, side, ticks, size):
    book.rest(Resting(name, 1, side, ticks, size))


def take(book, side, limit, size):
    matches = []
    while size and (match := book.next_match(side, limit, size)):
        matches.append((match.maker_id, match.ticks, match.size))
        size -= match.size
    return matches


def test_the_better_price_trades_first_then_the_earlier_order():
    """A taker meets the best price first, and at one price those who came first."""
    book = Book()
    rest(book, "late best", SELL, 100, 5)
    rest(book, "worse", SELL, 101, 5)
    rest(book, "later best", SELL, 100, 5)
    assert take(book, BUY, None, 12) == [
        ("late best", 100, 5), ("later best", 100, 5), ("worse", 101, 2),
    ]  # fmt: skip
    assert book.levels(SELL) == [(101, 3)]


def test_a_limit_is_never_passed():
    """A taker trades at its limit or better, and leaves the rest."""
    book = Book()
    rest(book, "a", BUY, 100, 5)
    rest(book, "b", BUY, 99, 5)
    assert take(book, SELL, 100, 20) == [("a", 100, 5)]
    assert book.best(BUY) == 99


def test_a_smaller_size_keeps_its_place():
    """Lowering a size does not cost the order its place in the queue."""
    book = Book()
    rest(book, "first", BUY, 100, 9)
    rest(book, "second", BUY, 100, 9)
    book.shrink("first", 2)
    assert take(book, SELL, None, 3) == [("first", 100, 2), ("second", 100, 1)]


def test_available_counts_only_what_a_limit_reaches():
    """What an order could take at once is what rests within its limit."""
    book = Book()
    rest(book, "a", SELL, 100, 5)
    rest(book, "b", SELL, 102, 5)
    assert book.available(BUY, 101, 99) == 5
    assert book.available(BUY, None, 99) == 10
    assert book.available(BUY, None, 3) == 3


orders = st.lists(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(95, 105), st.integers(1, 20)), max_size=60
)


@given(orders, st.data())
def test_the_book_is_never_crossed_and_loses_no_contract(placed, data):
    """After any orders bids stay below asks, and what was placed rests, traded or was removed."""
    book = Book()
    placed_total = traded = removed = 0
    for number, (side, ticks, size) in enumerate(placed):
        placed_total += size
        left = size
        for _, at, got in take(book, side, ticks, size):
            assert side * (ticks - at) >= 0
            left -= got
            traded += 2 * got
        if left:
            rest(book, str(number), side, ticks, left)
        if data.draw(st.booleans()):
            removed += book.remove(str(data.draw(st.integers(0, number))))
        bid, ask = book.best(BUY), book.best(SELL)
        assert bid is None or ask is None or bid < ask
    resting = sum(order.leaves for order in book.orders())
    assert placed_total == traded + removed + resting
    for side in (BUY, SELL):
        for ticks, size in book.levels(side):
            queue = book.queue(side, ticks)
            assert size == sum(order.leaves for order in queue) == book.size(side, ticks)


def ice(book, name, side, ticks, size, display):
    book.rest(Resting(name, 1, side, ticks, size, display))


def test_an_iceberg_shows_one_slice_at_a_time_and_queues_anew_for_each():
    """The public book counts the slice; when it is eaten the next goes behind those who waited."""
    book = Book()
    ice(book, "berg", SELL, 100, 25, 10)
    rest(book, "plain", SELL, 100, 5)
    assert (book.size(SELL, 100), book.available(BUY, 100, 99)) == (15, 30)
    book.begin_sweep()
    assert take(book, BUY, None, 12) == [("berg", 100, 10), ("plain", 100, 2)]
    assert book.levels(SELL) == [(100, 13)]
    book.begin_sweep()
    assert take(book, BUY, None, 4) == [("plain", 100, 3), ("berg", 100, 1)]
    assert book.size(SELL, 100) == 9


def test_a_hidden_order_trades_after_all_that_is_shown_at_its_price():
    """Hidden contracts keep their price and give way to shown ones that came later."""
    book = Book()
    ice(book, "dark", SELL, 100, 5, 0)
    ice(book, "deep", SELL, 99, 3, 0)
    rest(book, "shown", SELL, 100, 5)
    assert (book.best(SELL), book.touch(SELL), book.levels(SELL)) == (100, 99, [(100, 5)])
    book.begin_sweep()
    assert take(book, BUY, None, 99) == [("deep", 99, 3), ("shown", 100, 5), ("dark", 100, 5)]
    assert (book.best(SELL), book.touch(SELL)) == (None, None)


def test_slices_that_trade_in_one_sweep_count_as_hidden():
    """A slice alone is a maker; with the hidden part in one transaction none of it is."""
    book = Book()
    ice(book, "berg", SELL, 100, 30, 10)
    book.begin_sweep()
    assert book.next_match(BUY, None, 10).hidden is False
    book.begin_sweep()
    assert [book.next_match(BUY, None, left).hidden for left in (15, 5)] == [True, True]
