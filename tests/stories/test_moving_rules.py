"""Stories of trading rules that change while an order rests: lot, step, fees, state."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import Policy, Settings
from tests.stories.teller import SYMBOL, Teller, tell

WORKING = "target +300 -> place r1 +300\nok r1 = working\n"


def change(teller: Teller, **rules: Any) -> list[str]:
    """The venue changes its rules; all that follows at once."""
    teller.now_us += 1_000
    seen = msgspec.structs.replace(teller.instrument(SYMBOL), at_us=teller.now_us, **rules)
    return teller.event(seen)


def placed(teller: Teller) -> list[d.PlaceOrder]:
    return [decision for decision in teller.done if isinstance(decision, d.PlaceOrder)]


@pytest.mark.parametrize(
    "rules",
    [
        {"lot": 100}, {"lot": 1_000}, {"tick": Decimal("0.1")}, {"tick": Decimal(5)},
        {"taker_fee": Decimal("0.01")}, {"maker_fee": Decimal("-0.00025")},
        {"max_contracts": 10}, {"max_price": Decimal(1)},
        {"open": False, "state": "Closed"}, {"open": False, "state": "Settled"},
    ],
)  # fmt: skip
def test_an_order_that_rests_is_left_as_it_is(rules: dict[str, Any]) -> None:
    """The venue took it in under the old rules: that they changed is no reason to touch it."""
    teller = tell(WORKING)
    assert change(teller, **rules) == []
    assert teller.book.live
    assert teller.do(["fill", "r1", "+300", "x1"]) == []
    assert teller.book.position == 300


def test_what_is_left_of_an_order_is_less_than_the_new_lot() -> None:
    """It is said, and nothing is placed; a target that fits the lot is reached from there."""
    teller = tell(WORKING + "fill r1 +50 x1 = working\nposition +50")
    change(teller, lot=100)
    for line in ("halt", "cancelled r1 50", "row r1 cancelled 50", "resume"):
        teller.do(line.split())
    teller.wait(5_000)
    assert [order.contracts for order in placed(teller)] == [300, 200], "in whole lots, toward it"
    story = "ok r2\nfill r2 +200 x2\nrow r2 filled 200\nposition +250"
    for line in story.splitlines():
        teller.do(line.split())
    assert "the gap +50 is less than a lot of 100" in teller.book.waiting_for
    assert len(placed(teller)) == 2


def test_a_price_follows_the_new_step() -> None:
    """The step grew while it rested: what takes its place is on the new one, on the safe side."""
    cross = Settings(symbols=(SYMBOL,), policies={"default": Policy(start="cross")})
    teller = Teller(cross)
    change(teller, tick=Decimal(5))
    teller.do(["target", "+300"])
    (order,) = placed(teller)
    assert order.price % 5 == 0
    assert order.price <= Decimal("100.5") * (
        1 + Decimal(cross.policies["default"].max_slippage_bps) / 10_000
    )
    assert order.instrument_version == teller.book.instrument_version == 2


def test_a_market_that_settles_ends_all_without_an_order() -> None:
    """The venue cancels what rests and closes the position: the books follow, the target waits."""
    teller = tell(WORKING + "fill r1 +100 x1 = working\nposition +100")
    change(teller, open=False, state="Settled")
    teller.do(["row", "r1", "cancelled", "100"])
    row = e.ExecutionSeen(
        at_us=teller.now_us, exec_id="s1", symbol=SYMBOL, order_id="venue", cl_ord_id="",
        type=e.ExecutionKind.SETTLEMENT, contracts=-100, price=Decimal(100), order_filled=100,
        fee_minor=0, cost_minor=0, currency="XBt", liquidity="", source=e.Source.STREAM,
        venue_us=teller.now_us,
    )  # fmt: skip
    teller.event(row)
    teller.do(["position", "+0"])
    teller.wait(60_000)
    assert teller.book.position == 0
    assert len(placed(teller)) == 1
    assert teller.book.waiting_for or teller.book.frozen
