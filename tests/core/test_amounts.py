"""Targets in money and in percent of the equity: exact, toward zero, and only when all is known."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.events import InstrumentSeen, MarginSeen, Quoted
from reconciler.core.ledger import Book, Ledger
from reconciler.core.limits import worth
from reconciler.core.settings import Limits, Settings
from reconciler.core.step import step
from reconciler.core.targets import amounts
from reconciler.core.targets.intake import Wanted, accept
from reconciler.errors import KeyReused, Refused, UsageError
from tests.stories.teller import START_US, SYMBOL, Teller

BIG = Settings(symbols=(SYMBOL,), limits=Limits(max_position_contracts=10**12))
KINDS = {
    "inverse": {"inverse": True, "multiplier": -(10**8)},  # XBTUSD: a contract is a dollar
    "linear": {
        "inverse": False, "multiplier": 1, "settle_currency": "USDt", "quote_currency": "USDT",
    },  # XBTUSDT: a contract is a millionth of a coin
    "quanto": {"inverse": False, "quanto": True, "multiplier": 100},  # ETHUSD, settled in XBt
}  # fmt: skip


class World:
    """A symbol of one kind, in sync, marked at 50000, with two coins or 10000 dollars."""

    def __init__(self, kind: str = "inverse", lot: int = 1) -> None:
        self.teller = Teller(BIG, lot=lot)
        shape = msgspec.structs.replace(self.teller.instrument(SYMBOL), **KINDS[kind])
        self.teller.event(shape)
        for currency, minor in (("XBt", 2 * 10**8), ("USDt", 10_000 * 10**6)):
            self.balance(currency, minor)
        self.quote: Quoted | None = Quoted(
            at_us=START_US, symbol=SYMBOL, bid=None, ask=None, mark=Decimal(50_000)
        )

    @property
    def ledger(self) -> Ledger:
        return self.teller.ledger

    @property
    def book(self) -> Book:
        return self.teller.book

    def balance(self, currency: str, minor: int) -> None:
        self.teller.event(
            MarginSeen(
                at_us=START_US,
                currency=currency,
                wallet_minor=1,
                margin_minor=minor,
                available_minor=1,
                unrealised_minor=0,
            )
        )

    def notional(self, amount: str) -> amounts.Amount:
        return amounts.of_notional(self.ledger, self.book, Decimal(amount), self.quote)

    def percent(self, percent: str) -> amounts.Amount:
        return amounts.of_percent(self.ledger, self.book, Decimal(percent), self.quote)


@pytest.mark.parametrize(
    ("kind", "amount", "contracts", "asked"),
    [
        ("inverse", "5000", 5_000, "notional 5000 USD at 50000"),
        ("inverse", "-5000.99", -5_000, "notional -5000.99 USD at 50000"),
        ("linear", "5000", 100_000, "notional 5000 USDT at 50000"),  # 0.1 coins
        ("linear", "-0.04", 0, "notional -0.04 USDT at 50000"),
        ("quanto", "0.5", 10, "notional 0.5 XBT at 50000"),  # 0.05 XBT each
        ("quanto", "-0.5499", -10, "notional -0.5499 XBT at 50000"),
    ],
)
def test_a_notional_is_so_many_contracts(
    kind: str, amount: str, contracts: int, asked: str
) -> None:
    """In the quote currency; a quanto, which is worth nothing there, in the settlement currency."""
    assert World(kind).notional(amount) == (contracts, asked)


@pytest.mark.parametrize(
    ("kind", "percent", "contracts", "asked"),
    [
        ("inverse", "25", 25_000, "25 % of 200000000 XBt at 50000"),  # half a coin
        ("inverse", "-0.001", -1, "-0.001 % of 200000000 XBt at 50000"),
        ("linear", "50", 100_000, "50 % of 10000000000 USDt at 50000"),
        ("quanto", "5.1", 2, "5.1 % of 200000000 XBt at 50000"),  # 0.102 XBT
    ],
)
def test_a_percentage_is_of_the_margin_balance(
    kind: str, percent: str, contracts: int, asked: str
) -> None:
    """What the contracts are worth at the mark is that part of it, and no more."""
    assert World(kind).percent(percent) == (contracts, asked)


def test_a_lot_is_whole() -> None:
    """Toward zero, on either side."""
    world = World(lot=100)
    assert (world.notional("5050").contracts, world.notional("-5099").contracts) == (5000, -5000)
    assert (world.percent("0.14").contracts, world.percent("-0.14").contracts) == (100, -100)


@given(
    kind=st.sampled_from(sorted(KINDS)),
    mark=st.decimals(min_value=Decimal("0.01"), max_value=10**6, places=2),
    percent=st.decimals(min_value=Decimal("0.01"), max_value=500, places=2),
)
def test_never_more_than_was_asked_for_and_at_most_one_contract_less(
    kind: str, mark: Decimal, percent: Decimal
) -> None:
    """Whatever the price: the next contract would be too much."""
    world = World(kind)
    assert world.quote is not None
    world.quote = msgspec.structs.replace(world.quote, mark=mark)
    found = world.percent(str(percent)).contracts
    instrument = world.book.instrument
    assert isinstance(instrument, InstrumentSeen)
    balance = world.ledger.margins[instrument.settle_currency].margin_minor
    one = worth.of_one(instrument, mark)
    assert one is not None
    part = int(percent * balance / 100)
    assert found * one <= part < (found + 1) * one


def test_without_a_price_of_now_money_is_no_number_of_contracts() -> None:
    """No quote, no mark, one that is too old, or a stream that cannot be trusted: refused."""
    world = World()
    quote = world.quote
    assert quote is not None
    for missing in (None, msgspec.structs.replace(quote, mark=None),
                    msgspec.structs.replace(quote, mark=Decimal(0))):  # fmt: skip
        world.quote = missing
        with pytest.raises(Refused, match="it has no mark price, so money is no number"):
            world.notional("100")
    world.quote = msgspec.structs.replace(quote, age_us=60_000_001)
    with pytest.raises(Refused, match=r"its price is 60 s old, and limits.stale_price_s allows 60"):
        world.percent("1")
    world.quote = msgspec.structs.replace(quote, age_us=60_000_000)
    assert world.notional("100").contracts == 100
    world.teller.do(["stream", "lost"])
    with pytest.raises(Refused, match="the stream is not in sync, so money is no number"):
        world.notional("100")


def test_without_a_balance_a_percentage_is_of_nothing() -> None:
    """Unknown, or used up."""
    world = World()
    world.balance("XBt", 0)
    with pytest.raises(Refused, match=r"1 % of what\? No balance in XBt is known"):
        world.percent("1")
    world.ledger.margins.clear()
    with pytest.raises(Refused, match="No balance in XBt is known"):
        world.percent("1")
    with pytest.raises(Refused, match="100001 % of the equity is beyond any account"):
        world.percent("-100001")


def test_without_a_contract_nothing_can_be_counted() -> None:
    """Not seen yet, in a currency that we do not know, or without a multiplier."""
    world = World()
    shape = world.book.instrument
    assert shape is not None
    world.teller.event(msgspec.structs.replace(shape, settle_currency="DOGe"))
    with pytest.raises(Refused, match="settles in DOGe, whose minor unit is not known"):
        world.notional("100")
    world.teller.event(msgspec.structs.replace(shape, multiplier=0))
    for money in (world.notional, world.percent):  # a target of zero would close what is held
        with pytest.raises(Refused, match="what a contract of it is worth is not known"):
            money("100")
    world.book.instrument = None
    with pytest.raises(Refused, match="its contract is not known yet"):
        world.percent("100")


def wanted(**form: object) -> Wanted:
    blank = Wanted(
        symbol=SYMBOL, contracts=None, by=None, source="story", reason="", policy="",
        on_expiry="hold", expires_us=None, if_version=None, key="",
    )  # fmt: skip
    return msgspec.structs.replace(blank, **form)


def test_the_form_that_was_asked_in_is_recorded_with_the_contracts() -> None:
    """So that an audit finds both: what was said, and what it was turned into."""
    world = World()
    for form, contracts, asked in (
        ({"notional": Decimal(700)}, 700, "notional 700 USD at 50000"),
        ({"percent": Decimal(1)}, 1_000, "1 % of 200000000 XBt at 50000"),
        ({"by": -250}, 750, "by -250"),
        ({"contracts": 5}, 5, ""),
    ):
        event = accept(world.ledger, wanted(**form), START_US, world.quote).event
        assert event is not None
        assert (event.contracts, event.asked) == (contracts, asked)
        step(world.ledger, event)


def test_a_repeat_of_a_request_in_money_is_what_it_was_then() -> None:
    """The price has moved, or is not there any more; the key says that it is the same request."""
    world = World()
    form = {"notional": Decimal(700), "key": "k1", "deadline_us": START_US + 5}
    event = accept(world.ledger, wanted(**form), START_US, world.quote).event
    assert event is not None
    step(world.ledger, event)
    again = accept(world.ledger, wanted(**form), START_US + 50, None)
    assert (again.event, again.contracts, again.version) == (None, 700, 1)
    for other in ({"contracts": 701}, {"notional": Decimal(7000)}, {"percent": Decimal(700)}):
        with pytest.raises(KeyReused):
            accept(world.ledger, wanted(**other, key="k1"), START_US, world.quote)


def test_deadline_and_price_go_with_the_target() -> None:
    """They are the policy's; a change of either is a change of the target."""
    world = World()
    form = {"contracts": 5, "deadline_us": START_US + 5, "price": Decimal("99.5")}
    event = accept(world.ledger, wanted(**form), START_US).event
    assert event is not None
    assert (event.deadline_us, event.price) == (START_US + 5, Decimal("99.5"))
    step(world.ledger, event)
    assert accept(world.ledger, wanted(**form), START_US).event is None
    for other in ({"deadline_us": None}, {"price": None}, {"schedule": "day/0"}):
        assert accept(world.ledger, wanted(**form | other), START_US).event is not None


def test_two_forms_at_once_are_none() -> None:
    """Which of the two would count?"""
    with pytest.raises(UsageError, match="contracts, by, notional or percent: exactly one"):
        accept(World().ledger, wanted(notional=Decimal(1), percent=Decimal(1)), START_US)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"deadline_us": START_US}, "the deadline has passed 0 s ago"),
        ({"deadline_us": START_US - 9_000_000}, "the deadline has passed 9 s ago"),
        ({"price": Decimal(0)}, "0 is no price that a signal is given at"),
        ({"price": Decimal(-1)}, "-1 is no price"),
        ({"price": Decimal("NaN")}, "NaN is no price"),
    ],
)
def test_a_deadline_that_has_passed_and_a_price_that_is_none_are_refused(
    form: dict[str, object], says: str
) -> None:
    """Nobody can be there in time, or let a signal be."""
    with pytest.raises(Refused, match=says):
        accept(World().ledger, wanted(contracts=5, **form), START_US)
