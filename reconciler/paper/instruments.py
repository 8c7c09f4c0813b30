"""
The contracts on offer, and the exact arithmetic of their value (protocol sheet, sections 8.1, 8.4).

Money is an integer count of the settlement currency's minor unit (satoshi for XBt, 1e-6 for USDt).
Prices are exact: an integer number of ticks inside the engine, a `Decimal` at the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

SATOSHI = 100_000_000  # minor units in one XBT

# Digits that BitMEX shows of an average price, by how the average is formed.
_AVERAGE_DIGITS = Decimal("0.0001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """What one contract is. Frozen: a changed specification is a new object."""

    symbol: str
    root: str
    kind: str  # `typ` on the wire
    underlying: str
    quote: str
    settle: str  # settlement currency, minor unit code
    position_currency: str
    lot: int  # contracts
    tick: Decimal  # quote currency
    multiplier: int  # minor units of settle; below zero: inverse
    is_quanto: bool = False
    init_margin: Decimal = Decimal("0.01")
    maint_margin: Decimal = Decimal("0.005")
    maker_fee: Decimal = Decimal("0.0005")
    taker_fee: Decimal = Decimal("0.0005")
    max_qty: int = 10_000_000  # contracts
    max_price: Decimal = Decimal(1_000_000)  # quote currency
    risk_limit: int = 20_000_000_000  # minor units
    risk_step: int = 10_000_000_000  # minor units
    reference: str = ""  # index symbol
    listing: str = "2016-05-13T12:00:00.000Z"
    start_price: Decimal  # quote currency; where the seeded walk begins
    house_size: int  # contracts; typical size of one house order
    underlying_scale: int = SATOSHI  # minor units in one of the underlying (linear contracts: 1e6)
    index: int  # place in the book-id space

    @property
    def is_inverse(self) -> bool:
        return self.multiplier < 0

    def price(self, ticks: int) -> Decimal:
        """The price that is *ticks* ticks, without trailing zeros."""
        return _price(self.tick, ticks)

    def ticks(self, price: Decimal) -> int | None:
        """*price* as a number of ticks, or None when it is between two ticks."""
        quotient = price / self.tick
        ticks = int(quotient)
        return ticks if ticks == quotient and ticks * self.tick == price else None

    def value(self, contracts: int, price: Decimal) -> int:
        """
        Value of a number of contracts at a price, in minor units, never below zero.

        Inverse contracts are rounded **per lot**, to nearest, and then multiplied
        (section 8.1); the others are rounded once, to nearest.
        """
        size = abs(contracts)
        if self.is_inverse:
            per_lot = _inverse_lot(-self.multiplier * self.lot, price)
            return per_lot * size // self.lot
        return nearest(price * self.multiplier * size)

    def cost(self, contracts: int, price: Decimal) -> int:
        """
        Signed cost of buying (contracts > 0) or selling (< 0), in minor units.

        A buy is negative for inverse contracts and positive for the others (section 8.1).
        """
        value = self.value(contracts, price)
        return value if (contracts > 0) != self.is_inverse else -value

    def notional(self, contracts: int, price: Decimal) -> tuple[Decimal, Decimal]:
        """(homeNotional, foreignNotional) of signed *contracts*: home is + for buys."""
        if self.is_inverse:
            home = Decimal(self.value(contracts, price)) / SATOSHI
            home = home if contracts > 0 else -home
            return home, Decimal(-contracts)
        if self.is_quanto:
            # One contract moves with `multiplier` satoshi a point; told in underlying units at
            # the published conversion of one XBT to its own reference price.
            home = Decimal(contracts) * self.multiplier / 100_000
            return home, -home * price
        home = Decimal(contracts) / self.underlying_scale
        return home, -home * price

    def average(self, held: int, average: Decimal | None, added: int, price: Decimal) -> Decimal:
        """
        Average entry price after *added* contracts at *price* join *held* at *average*.

        Harmonic for inverse contracts, arithmetic for the others; both counts unsigned.
        Kept to 40 digits so that it doesn't drift; `shown` rounds it for a row.
        """
        if average is None or held == 0:
            return price
        with localcontext() as context:
            context.prec = 40
            if self.is_inverse:
                return (held + added) / (held / average + added / price)
            return (held * average + added * price) / (held + added)


def shown(average: Decimal) -> Decimal:
    """An average price as a row shows it: at most four decimals, no trailing zeros."""
    return plain(average.quantize(_AVERAGE_DIGITS))


def plain(number: Decimal) -> Decimal:
    """*number* without trailing zeros and without a positive exponent."""
    number = number.normalize()
    exponent = number.as_tuple().exponent
    return number.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else number


def nearest(number: Decimal) -> int:
    """Round a number that is not below zero to the nearest integer, halves up."""
    return int(number + Decimal("0.5"))


def ceil_mul(amount: int, rate: Decimal) -> int:
    """⌈|amount| × rate⌉ in minor units: margins are rounded against the trader (section 8.2)."""
    product = abs(amount) * rate
    whole = int(product)
    return whole + 1 if product > whole else whole


def commission(value: int, rate: Decimal) -> int:
    """Fee on a trade of *value* minor units, truncated toward zero; above zero is paid (8.1)."""
    return int(value * rate)


@lru_cache(maxsize=200_000)
def _price(tick: Decimal, ticks: int) -> Decimal:
    return plain(tick * ticks)


@lru_cache(maxsize=200_000)
def _inverse_lot(scale: int, price: Decimal) -> int:
    top, bottom = price.as_integer_ratio()
    return (2 * scale * bottom + top) // (2 * top)


XBTUSD = Instrument(
    symbol="XBTUSD", root="XBT", kind="FFWCSX", underlying="XBT", quote="USD", settle="XBt",
    position_currency="USD", lot=100, tick=Decimal("0.1"), multiplier=-SATOSHI,
    reference=".BXBT", start_price=Decimal("61250.5"), house_size=6_000, index=88,
)  # fmt: skip
ETHUSD = Instrument(
    symbol="ETHUSD", root="ETH", kind="FFWCSX", underlying="ETH", quote="USD", settle="XBt",
    position_currency="", lot=1, tick=Decimal("0.05"), multiplier=100, is_quanto=True,
    risk_limit=7_500_000_000, risk_step=7_500_000_000, reference=".BETH",
    listing="2018-08-01T12:00:00.000Z", start_price=Decimal("2450.25"), house_size=40, index=297,
)  # fmt: skip
XBTUSDT = Instrument(
    symbol="XBTUSDT", root="XBT", kind="FFWCSX", underlying="XBT", quote="USDT", settle="USDt",
    position_currency="XBT", lot=100, tick=Decimal("0.1"), multiplier=1,
    max_qty=1_000_000_000, risk_limit=1_000_000_000_000, risk_step=1_000_000_000_000,
    reference=".BXBTT", listing="2021-03-30T04:00:00.000Z", start_price=Decimal("61262.5"),
    house_size=100_000, underlying_scale=1_000_000, index=610,
)  # fmt: skip

CATALOGUE: dict[str, Instrument] = {i.symbol: i for i in (XBTUSD, ETHUSD, XBTUSDT)}
