"""
A target asked for in money, or as a part of the equity, is turned into contracts at once.

Exact, at the mark price, and rounded toward zero to whole lots: never more than was asked for.

A *notional* is in the quote currency for linear and inverse contracts (USDT for XBTUSDT, USD for
XBTUSD). A quanto contract is worth nothing in its quote currency: there it is in the settlement
currency (XBT for ETHUSD). *Percent* is of the margin balance in the settlement currency, that is
wallet and unrealised profit; what the contracts are worth at the mark is that part of it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from reconciler.core.events import InstrumentSeen, Quoted
from reconciler.core.ledger import Book, Ledger
from reconciler.core.limits import worth
from reconciler.errors import Refused

#: Minor units in one of the currency that people speak of.
MINOR = {"XBt": 10**8, "USDt": 10**6, "Gwei": 10**9}
MOST_PERCENT = 100_000


class Amount(NamedTuple):
    """Contracts, and the form that they were asked in."""

    contracts: int  # signed
    asked: str


def form_of(by: int | None, notional: Decimal | None, percent: Decimal | None) -> str:
    """What was asked for, as it is recorded; of money, what it was worth then follows."""
    if by is not None:
        return f"by {by:+d}"
    if notional is not None:
        return f"notional {_said(notional)}"
    assert percent is not None
    return f"{_said(percent)} %"


def _said(number: Decimal) -> str:
    """One text for each number: a repeat may say 25.0 for 25."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def of_notional(ledger: Ledger, book: Book, amount: Decimal, quote: Quoted | None) -> Amount:
    """Contracts worth no more than *amount*; below zero: short."""
    instrument = _instrument(book)
    scale = MINOR.get(instrument.settle_currency)
    if scale is None:
        raise Refused(
            f"{book.symbol} settles in {instrument.settle_currency}, whose minor unit is not known",
            next_step="Say the target in contracts.",
            symbol=book.symbol,
        )
    mark = _mark(ledger, book, quote)
    minor = int(abs(amount) * scale)
    if instrument.inverse:  # a contract is a fixed sum of quote currency, whatever the price
        size = minor // abs(instrument.multiplier)
    else:
        size = worth.most_contracts(instrument, minor, mark) or 0
    currency = instrument.quote_currency
    if instrument.quanto:
        currency = instrument.settle_currency.upper()
    return _whole_lots(
        instrument, size, amount, f"{form_of(None, amount, None)} {currency} at {mark:f}"
    )


def of_percent(ledger: Ledger, book: Book, percent: Decimal, quote: Quoted | None) -> Amount:
    """Contracts worth no more than *percent* of the equity; below zero: short."""
    instrument = _instrument(book)
    if abs(percent) > MOST_PERCENT:
        raise Refused(f"{percent:f} % of the equity is beyond any account", symbol=book.symbol)
    mark = _mark(ledger, book, quote)
    margin = ledger.margins.get(instrument.settle_currency)
    if margin is None or margin.margin_minor <= 0:
        raise Refused(
            f"{book.symbol}: {percent:f} % of what? No balance in {instrument.settle_currency} "
            "is known",
            next_step="Say the target in contracts, or try again once `reconciler status` is live.",
            symbol=book.symbol,
        )
    minor = int(abs(percent) * margin.margin_minor / 100)
    size = worth.most_contracts(instrument, minor, mark) or 0
    of = f"{margin.margin_minor} {instrument.settle_currency} at {mark:f}"
    asked = f"{form_of(None, None, percent)} of {of}"
    return _whole_lots(instrument, size, percent, asked)


def _whole_lots(instrument: InstrumentSeen, size: int, sign: Decimal, asked: str) -> Amount:
    down = size // instrument.lot * instrument.lot
    return Amount(-down if sign < 0 else down, asked)


def _instrument(book: Book) -> InstrumentSeen:
    if book.instrument is None:
        raise Refused(
            f"{book.symbol}: its contract is not known yet, so money is no number of contracts",
            next_step="Start the service once, or say the target in contracts.",
            symbol=book.symbol,
        )
    if not book.instrument.multiplier:  # no number of contracts: least of all none, which closes
        raise Refused(
            f"{book.symbol}: what a contract of it is worth is not known, so money is no number of "
            "contracts",
            next_step="Say the target in contracts.",
            symbol=book.symbol,
        )
    return book.instrument


def _mark(ledger: Ledger, book: Book, quote: Quoted | None) -> Decimal:
    """The mark price, if it and the balance are sure to be of now."""
    most_us = ledger.settings.limits_of(book.symbol).stale_price_us
    known = quote is not None and quote.mark is not None and quote.mark > 0
    if not ledger.in_sync or not known:
        what = "it has no mark price" if ledger.in_sync else "the stream is not in sync"
        raise Refused(
            f"{book.symbol}: {what}, so money is no number of contracts now",
            next_step="Try again when `reconciler status` shows it live, or say contracts.",
            symbol=book.symbol,
        )
    assert quote is not None
    assert quote.mark is not None
    if quote.age_us > most_us:
        raise Refused(
            f"{book.symbol}: its price is {quote.age_us // 1_000_000} s old, and "
            f"limits.stale_price_s allows {most_us // 1_000_000}",
            symbol=book.symbol,
            age_us=quote.age_us,
        )
    return quote.mark
