"""
The table of limits: of each symbol, overridden for some, and of the account as a whole.

What each protects from is in docs/limits.md. 0 is no limit, from ``max_orders_per_day`` on.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from reconciler.core import settings as core

from .kinds import AtLeastOne, BasisPoints, Section, SomeSeconds, Whole

_LIMITS, _ACCOUNT = core.Limits(), core.AccountLimits()

Several = Annotated[AtLeastOne, Field(le=100)]
Remembered = Annotated[Whole, Field(le=1_000)]  # of so many orders the core knows when they were
Percent = Annotated[Whole, Field(le=100)]


class AccountLimits(Section):
    """Of the account. Unset: what holds for each symbol holds for all of them together, too."""

    max_orders_per_minute: AtLeastOne | None = None
    max_orders_per_day: Whole | None = None
    max_daily_loss_minor: Whole | None = None
    max_drawdown_minor: Whole | None = None
    runaway_orders: Remembered | None = None
    max_open_orders: Whole = _ACCOUNT.max_open_orders
    min_margin_percent: Percent = _ACCOUNT.min_margin_percent


class SymbolLimits(Section):
    """Of one symbol. Unset: what holds for each."""

    max_position_contracts: Whole | None = None
    max_order_contracts: AtLeastOne | None = None
    max_orders_per_minute: AtLeastOne | None = None
    price_collar_bps: BasisPoints | None = None
    stale_price_s: SomeSeconds | None = None
    max_orders_per_day: Whole | None = None
    max_order_notional_minor: Whole | None = None
    max_position_notional_minor: Whole | None = None
    max_daily_loss_minor: Whole | None = None
    max_drawdown_minor: Whole | None = None
    min_liquidation_bps: BasisPoints | None = None
    runaway_orders: Remembered | None = None
    runaway_s: SomeSeconds | None = None
    usual_times: Whole | None = None
    usual_last: Several | None = None
    usual_above_contracts: Whole | None = None
    max_change_contracts: Whole | None = None


class Limits(Section):
    """Of each symbol."""

    max_position_contracts: Whole = _LIMITS.max_position_contracts
    max_order_contracts: AtLeastOne = _LIMITS.max_order_contracts
    max_orders_per_minute: AtLeastOne = _LIMITS.max_orders_per_minute
    price_collar_bps: BasisPoints = _LIMITS.price_collar_bps
    stale_price_s: SomeSeconds = Decimal(_LIMITS.stale_price_us) / 1_000_000
    max_orders_per_day: Whole = _LIMITS.max_orders_per_day
    max_order_notional_minor: Whole = _LIMITS.max_order_notional_minor
    max_position_notional_minor: Whole = _LIMITS.max_position_notional_minor
    max_daily_loss_minor: Whole = _LIMITS.max_daily_loss_minor
    max_drawdown_minor: Whole = _LIMITS.max_drawdown_minor
    min_liquidation_bps: BasisPoints = _LIMITS.min_liquidation_bps
    runaway_orders: Remembered = _LIMITS.runaway_orders
    runaway_s: SomeSeconds = Decimal(_LIMITS.runaway_us) / 1_000_000
    usual_times: Whole = _LIMITS.usual_times
    usual_last: Several = _LIMITS.usual_last
    usual_above_contracts: Whole = _LIMITS.usual_above_contracts
    max_change_contracts: Whole = _LIMITS.max_change_contracts
    symbol: dict[str, SymbolLimits] = Field(default={})
    account: AccountLimits = AccountLimits()


def out_of_reach(settings: core.Settings) -> Iterator[str]:
    """Throttles that never strike, as a limit of a minute is reached before: one sentence each."""
    whole = settings.whole
    own = {"limits": settings.limits} if set(settings.symbols) - {*settings.symbol_limits} else {}
    own |= {f"limits.symbol.{symbol}": one for symbol, one in settings.symbol_limits.items()}
    for name, one in own.items():
        by = name
        if whole.max_orders_per_minute < one.max_orders_per_minute:
            by = "limits.account"
        a_minute = min(whole.max_orders_per_minute, one.max_orders_per_minute)
        yield from _never(name, by, one.runaway_orders, a_minute, one.runaway_us)
    if settings.account_limits.runaway_orders is not None and settings.symbols:
        each = [settings.limits_of(symbol) for symbol in settings.symbols]
        together = sum(one.max_orders_per_minute for one in each)
        by = "limits.account" if whole.max_orders_per_minute <= together else "limits"
        longest_us = max(one.runaway_us for one in each)
        a_minute = min(whole.max_orders_per_minute, together)
        yield from _never("limits.account", by, whole.runaway_orders, a_minute, longest_us)


def _never(name: str, by: str, orders: int, a_minute: int, within_us: int) -> Iterator[str]:
    most = a_minute * -(-within_us // 60_000_000)
    if orders > most:
        yield (
            f"{name}.runaway_orders = {orders} never strikes: {by}.max_orders_per_minute lets"
            f" {most} orders pass in {within_us // 1_000_000} s. Set it below that."
        )
