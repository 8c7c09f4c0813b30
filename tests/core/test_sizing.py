"""Sizes and prices: whatever the numbers, inside the limits and on the right side."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.ledger import Book, Ledger
from reconciler.core.limits.sizing import minute_is_full, next_size
from reconciler.core.policy.policies import Basis, Pricing, outside_collar, price, to_tick
from reconciler.core.settings import Limits, Policy, Settings, Stage
from tests.stories.teller import SYMBOL, Teller

TICK = Decimal("0.5")
contracts = st.integers(-3_000, 3_000)


def book_at(position: int, lot: int, foreign: list[int], limits: Limits) -> tuple[Ledger, Book]:
    ledger = Ledger(settings=Settings(symbols=(SYMBOL,), limits=limits))
    book = ledger.book(SYMBOL)
    book.instrument = Teller(lot=lot).instrument(SYMBOL)
    book.position = position
    book.foreign_orders = {f"f{number}": size for number, size in enumerate(foreign)}
    return ledger, book


@given(
    position=contracts,
    target=contracts,
    lot=st.sampled_from([1, 7, 100]),
    foreign=st.lists(contracts, max_size=3),
    most=st.integers(0, 3_000),
    an_order=st.integers(0, 1_000),
)
def test_a_size_is_in_whole_lots_toward_the_target_and_within_the_limits(
    position: int, target: int, lot: int, foreign: list[int], most: int, an_order: int
) -> None:
    """Never past the target or zero, never more than a limit allows at the worse end."""
    limits = Limits(max_position_contracts=most, max_order_contracts=an_order)
    ledger, book = book_at(position, lot, foreign, limits)
    size = next_size(ledger, book, target)
    after = position + size.contracts
    assert size.contracts % lot == 0
    assert abs(size.contracts) <= an_order
    assert min(position, target) <= after <= max(position, target)
    if abs(position) >= lot:
        assert after * position >= 0  # a change of sign takes two legs
    assert bool(size.contracts) != bool(size.why_not)
    if size.contracts and not size.reduce_only:
        low, high = book.worst_case()
        worst = high + size.contracts if size.contracts > 0 else -(low + size.contracts)
        assert worst <= most
    if size.reduce_only:
        assert abs(after) <= abs(position)


@given(position=contracts, target=contracts, an_order=st.integers(1, 1_000))
def test_size_after_size_reaches_the_target(position: int, target: int, an_order: int) -> None:
    """Filled one after the other, sizes end at the target, unless a limit says why not."""
    ledger, book = book_at(position, 1, [], Limits(max_order_contracts=an_order))
    for _ in range(2 + (abs(position) + abs(target)) // an_order):
        book.position += next_size(ledger, book, target).contracts
    assert book.position == target


@given(times=st.lists(st.integers(0, 10**9), max_size=20).map(sorted), most=st.integers(-1, 10))
def test_no_minute_has_more_orders_than_its_limit(times: list[int], most: int) -> None:
    """An order is allowed exactly when fewer than the limit lie in the minute before it."""
    now = 10**9
    recent = [time for time in times if time > now - 60_000_000]
    free = minute_is_full(times, now, most)
    assert (free is None) == (len(recent) < most)
    assert free is None or free > now


prices = st.decimals(Decimal("0.5"), Decimal(100_000), places=1).map(lambda p: to_tick(p, TICK, -1))


@given(
    bid=prices,
    ticks=st.integers(1, 50),
    side=st.sampled_from([1, -1]),
    stage=st.sampled_from(["join", "inside", "post", "cross"]),
    slip=st.integers(0, 100),
)
def test_a_price_is_on_the_tick_and_on_its_side(
    bid: Decimal, ticks: int, side: int, stage: str, slip: int
) -> None:
    """Passive stages never take; crossing goes past the touch by the slippage at most."""
    quote = Teller().quoted(SYMBOL)
    ask = bid + ticks * TICK
    quote = type(quote)(at_us=0, symbol=SYMBOL, bid=bid, ask=ask, mark=bid)
    own, other = (bid, ask) if side > 0 else (ask, bid)
    basis = Basis(side, quote, TICK)
    pricing = price(Policy(max_slippage_bps=slip), Stage(how=stage), basis)
    assert isinstance(pricing, Pricing)
    assert pricing.price % TICK == 0
    assert pricing.post_only != pricing.immediate
    if stage == "cross":
        assert 0 <= (pricing.price - other) * side <= other * slip / 10_000
    else:
        assert (other - pricing.price) * side > 0
        assert (pricing.price - own) * side >= 0


@given(price_asked=prices, mark=prices, bps=st.integers(0, 1_000))
def test_the_collar_is_symmetric_and_exact(price_asked: Decimal, mark: Decimal, bps: int) -> None:
    """Inside exactly when the distance is at most so many ten-thousandths of the mark."""
    inside = abs(price_asked - mark) <= mark * bps / 10_000
    assert outside_collar(price_asked, mark, bps) != inside


@given(after=st.integers(0, 10**9))
def test_a_start_that_escalates_is_a_ladder_of_two(after: int) -> None:
    """Zero means for ever: one stage, and nothing after it."""
    stages = Policy(start="join", escalate_after_us=after).rungs
    assert [stage.how for stage in stages] == (["join", "cross"] if after else ["join"])
    assert stages[0].for_us == after
