"""What stories of money have in common: a market put where it is wanted, and the books added up."""

from __future__ import annotations

from decimal import Decimal

from reconciler.paper.audit import books, contracts
from reconciler.paper.exchange import Exchange
from reconciler.paper.margin import Standing, standing
from reconciler.paper.market import BUY, SELL
from tests.paper.conftest import ME, Bench

DEEP = 100_000_000  # contracts


def market_at(bench: Bench, bid: str | int, symbol: str = "XBTUSD", size: int = DEEP) -> None:
    """The house's book is one bid at *bid* and one offer a tick above; the mark follows."""
    exchange = bench.exchange
    market = exchange.markets[symbol]
    for order in list(market.book.orders()):
        if order.account == 0:
            market.book.remove(order.order_id)
    ticks = market.inst.ticks(Decimal(bid))
    assert ticks is not None
    for side, at in ((BUY, ticks), (SELL, ticks + 1)):
        exchange.house_rest(symbol, side, at, size, bench.now)
    exchange.pulse(bench.now, positions=True)


def stands(bench: Bench, account: int = ME, currency: str = "XBt") -> Standing:
    return standing(bench.exchange.accounts[account], currency)


def balanced(exchange: Exchange) -> None:
    """Contracts add up to nothing in every symbol, and no unit of money is missing anywhere."""
    for symbol in exchange.markets:
        assert contracts(exchange, symbol) == 0, symbol
    for currency in ("XBt", "USDt"):
        found = books(exchange, currency)
        assert found.gap == 0, (currency, found)
        assert found.gap_at_mark == 0, (currency, found)
