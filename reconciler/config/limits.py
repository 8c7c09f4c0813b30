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


def counted_longer(settings: core.Settings) -> Iterator[str]:
    """
    Throttles that look further back than `runaway_s`: one sentence each.

    A limit of a minute lets so few orders pass that they would never strike.
    """
    own = {"limits": settings.limits} if set(settings.symbols) - {*settings.symbol_limits} else {}
    own |= {f"limits.symbol.{symbol}": one for symbol, one in settings.symbol_limits.items()}
    for name, one in own.items():
        within_us = core.Rules(one, settings.whole, settings.orders_per_minute).runaway_us
        yield from _longer(name, one.runaway_orders, within_us, one.runaway_us)
    if settings.account_limits.runaway_orders is not None:
        rules = [settings.rules_of(symbol) for symbol in settings.symbols]
        within_us = max((one.runaway_of_all_us for one in rules), default=0)
        asked_us = max((one.limits.runaway_us for one in rules), default=0)
        yield from _longer("limits.account", settings.whole.runaway_orders, within_us, asked_us)


def _longer(name: str, orders: int, within_us: int, asked_us: int) -> Iterator[str]:
    if within_us > asked_us:
        yield (
            f"{name}.runaway_orders = {orders} is counted over {within_us // 1_000_000} s: in "
            f"{asked_us // 1_000_000} s max_orders_per_minute hardly lets so many pass"
        )
