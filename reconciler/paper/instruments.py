"""
The contracts on offer, and the exact arithmetic of their value (protocol sheet, sections 8.1, 8.4).

Money is an integer count of the settlement currency's minor unit (satoshi for XBt, 1e-6 for USDt).
Prices are exact: an integer number of ticks inside the engine, a `Decimal` at the edge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from functools import lru_cache

from .times import iso

SATOSHI = 100_000_000  # minor units in one XBT

# Digits that BitMEX shows of an average price, by how the average is formed.
_AVERAGE_DIGITS = Decimal("0.0001")
_ONE = Decimal(1)


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
    divisor: int = 1  # spot: minor units of the base for one of `multiplier`
    is_quanto: bool = False
    base: str = ""  # spot: minor unit code of what is bought
    expiry_ms: int | None = None  # a future settles then; market time, since the epoch
    init_margin: Decimal = Decimal("0.01")
    maint_margin: Decimal = Decimal("0.005")
    maker_fee: Decimal = Decimal("0.0005")
    taker_fee: Decimal = Decimal("0.0005")
    settlement_fee: Decimal = Decimal(0)
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

    @property
    def is_spot(self) -> bool:
        """Currencies change hands at once: no position, no margin, no funding."""
        return bool(self.base)

    @property
    def is_perpetual(self) -> bool:
        """Pays funding, never expires."""
        return not self.is_spot and self.expiry_ms is None

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
        if self.divisor != 1:
            return nearest(price * self.multiplier * size / self.divisor)
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
    return number.quantize(_ONE) if "E+" in str(number) else number


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

XBT_USDT = Instrument(
    symbol="XBT_USDT", root="XBT", kind="IFXXXP", underlying="XBT", quote="USDT", settle="USDt",
    position_currency="XBT", base="XBt", lot=1_000, tick=Decimal("0.5"), multiplier=1, divisor=100,
    init_margin=Decimal(1), maint_margin=Decimal(1), maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"), max_qty=100_000_000_000, risk_limit=0, risk_step=0,
    reference=".BXBTT", listing="2022-05-17T04:00:00.000Z", start_price=Decimal("61262.5"),
    house_size=10_000_000, index=820,
)  # fmt: skip

# What is listed for ever. Dated futures come and go, and are made from their names: `instrument`.
CATALOGUE: dict[str, Instrument] = {i.symbol: i for i in (XBTUSD, ETHUSD, XBTUSDT, XBT_USDT)}

LISTED_MS = 182 * 86_400_000  # a quarterly future is listed half a year before it expires
_QUARTERS = {"H": 3, "M": 6, "U": 9, "Z": 12}  # month codes of quarterly futures
_FUTURE = re.compile(r"XBT([HMUZ])(\d\d)")


def instrument(symbol: str) -> Instrument:
    """
    The instrument of that name: of `CATALOGUE`, or a quarterly future such as XBTZ26.

    Raises:
        KeyError: there is none.
    """
    found = CATALOGUE.get(symbol)
    if found is not None:
        return found
    named = _FUTURE.fullmatch(symbol)
    if named is None:
        raise KeyError(symbol)
    month, year = _QUARTERS[named[1]], 2000 + int(named[2])
    expiry_ms = _last_friday_noon(year, month)
    return Instrument(
        symbol=symbol, root="XBT", kind="FFCCSX", underlying="XBT", quote="USD", settle="XBt",
        position_currency="USD", lot=100, tick=Decimal("0.5"), multiplier=-SATOSHI,
        init_margin=Decimal("0.02"), maint_margin=Decimal("0.01"),
        expiry_ms=expiry_ms, listing=iso(expiry_ms - LISTED_MS), reference=".BXBT",
        start_price=Decimal("61400"), house_size=4_000,
        index=1_000 + (year - 2000) * 4 + month // 3,
    )  # fmt: skip


def quarterly(now_ms: int) -> Instrument:
    """The quarterly future that expires next, and not within a day."""
    moment = datetime.fromtimestamp(now_ms // 1000, UTC)
    for step in range(3):
        years, quarter = divmod((moment.month - 1) // 3 + step, 4)
        found = instrument(f"XBT{'HMUZ'[quarter]}{(moment.year + years) % 100:02d}")
        assert found.expiry_ms is not None
        if found.expiry_ms > now_ms + 86_400_000:
            return found
    raise AssertionError("no quarter ends")


def listing(symbols: Iterable[str], now_ms: int) -> tuple[str, ...]:
    """
    The symbols to list, each once; ``XBT:quarterly`` names the future that expires next.

    Raises:
        ValueError: there is no such instrument, or it has expired by *now_ms*.
    """
    found: dict[str, None] = {}
    unknown = []
    for symbol in symbols:
        try:
            inst = quarterly(now_ms) if symbol == "XBT:quarterly" else instrument(symbol)
        except KeyError:
            unknown.append(symbol)
            continue
        if inst.expiry_ms is not None and inst.expiry_ms <= now_ms:
            raise ValueError(f"{symbol} has expired; {quarterly(now_ms).symbol} is next")
        found[inst.symbol] = None
    if unknown or not found:
        known = ", ".join((*CATALOGUE, "XBT:quarterly", quarterly(now_ms).symbol))
        raise ValueError(f"symbols must be of {known}; not {unknown}")
    return tuple(found)


def _last_friday_noon(year: int, month: int) -> int:
    """Futures expire on the last Friday of their month at 12:00 UTC (section 13)."""
    first_of_next = datetime(year + month // 12, month % 12 + 1, 1, 12, tzinfo=UTC)
    last = first_of_next - timedelta(days=1)
    return int((last - timedelta(days=(last.weekday() - 4) % 7)).timestamp()) * 1000
