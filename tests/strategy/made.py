"""Trades made up for tests of market data, and an independent one-pass builder of bars."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from random import Random

from reconciler.feed import Trade

SECOND = 1_000_000
START_US = 1_779_235_200 * SECOND  # 2026-05-20 00:00 UTC
SATOSHI = 100_000_000


def trades(
    rng: Random, count: int, start_us: int = START_US, symbol: str = "XBTUSD"
) -> list[Trade]:
    """
    As a busy and a quiet market make them, in the order of time: several in one millisecond,
    seconds apart, and now and then a gap of minutes or hours.
    """
    made: list[Trade] = []
    at_us, price = start_us + rng.randrange(0, 3 * SECOND, 1_000), 600_000
    for number in range(count):
        draw = rng.random()
        if draw > 0.9999:
            at_us += rng.randrange(600, 7_200) * SECOND
        elif draw > 0.5:
            at_us += rng.randrange(1, 1_500) * 1_000
        price = max(price + rng.randint(-20, 20), 10)
        contracts = rng.randint(1, 500) * 100
        made.append(
            Trade(
                symbol,
                Decimal(price) / 10,
                contracts,
                rng.choice((1, -1)),
                at_us,
                f"t{number}",
                contracts // 100 * round(Fraction(SATOSHI * 1_000, price)),
            )
        )
    return made


def shuffled(rng: Random, made: list[Trade], within_us: int = SECOND) -> list[Trade]:
    """Each arrives up to *within_us* late; those of one moment stay in their order."""
    delays: dict[int, int] = {}
    for trade in made:
        delays.setdefault(trade.venue_us, rng.randrange(within_us) if rng.random() < 0.3 else 0)
    return sorted(made, key=lambda trade: trade.venue_us + delays[trade.venue_us])


Plain = tuple[int, Decimal, Decimal, Decimal, Decimal, int, int, int]


def one_pass(found: Iterable[Trade], length_us: int, until_us: int) -> list[Plain]:
    """
    Closed bars as (start, open, high, low, close, contracts, trades, turnover), by slices of trades
    in the order of time: nothing of ours, and no state but the last price.
    """
    slices: dict[int, list[Trade]] = {}
    for trade in sorted(found, key=lambda trade: trade.venue_us):
        slices.setdefault(trade.venue_us // length_us, []).append(trade)
    made: list[Plain] = []
    close: Decimal | None = None
    for number in range(min(slices), until_us // length_us):
        inside = slices.get(number, [])
        prices = [trade.price for trade in inside] or [close]
        opened = prices[0] if close is None else close
        assert opened is not None
        known = [price for price in prices if price is not None]
        made.append((
            number * length_us, opened, max(known), min(known), known[-1],
            sum(t.contracts for t in inside), len(inside), sum(t.value_minor for t in inside),
        ))  # fmt: skip
        close = known[-1]
    return made
