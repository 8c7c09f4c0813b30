"""
The limits of a life, drawn with its settings; and what an order is worth, judged at the wire.

O6: at the first byte of a POST the limits of notional and of open orders are computed again, by
other arithmetic than the core's. `pace` counts the orders, `fortune` what was lost.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.core import decisions as d
from reconciler.core.settings import AccountLimits, Limits
from reconciler.simulation import pace
from reconciler.simulation.draws import Draws
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.world import World

MILLION = 1_000_000  # about what a contract is worth
OF_REQUESTS = ("limits.max_orders_per_day", "limits.account.max_orders_per_day")
#: What a symbol may wait for in the end, without anybody being wrong.
BLOCKED = (
    *OF_REQUESTS,
    "limits.max_order_notional_minor",
    "limits.max_daily_loss_minor",
    "limits.max_drawdown_minor",
    "limits.account.min_margin_percent",
    "limits.min_liquidation_bps",
    "room below limits.max_position_notional_minor",
)


def limits(draws: Draws, old: Limits) -> tuple[Limits, AccountLimits]:
    """The limits of a life: each off in most of them, and tight in the others."""
    one = draws.one
    most = one("notional", (0, 0, 0, 150 * MILLION, 250 * MILLION))
    held = one("notional held", (0, 0, 0, 250 * MILLION))
    own = Limits(
        max_position_contracts=old.max_position_contracts,
        max_order_contracts=old.max_order_contracts,
        max_orders_per_minute=old.max_orders_per_minute,
        price_collar_bps=old.price_collar_bps,
        max_orders_per_day=one("a day", (0, 0, 0, 6, 30)),
        max_order_notional_minor=most,
        max_position_notional_minor=held,
        max_daily_loss_minor=one("loss", (0, 0, 0, 4 * MILLION)),
        max_drawdown_minor=one("drawdown", (0, 0, 0, 0, 6 * MILLION)),
        runaway_orders=one("runaway", (150, 150, 150, 6)),
        runaway_us=pace.RUNAWAY_US,
    )
    account = AccountLimits(
        max_orders_per_day=one("all a day", (0, 0, 0, 15)),
        max_open_orders=one("open", (0, 0, 0, 1, 2)),
        min_margin_percent=one("margin", (0, 0, 0, 75)),
    )
    return own, account


def tight(draws: Draws, own: Limits, account: AccountLimits) -> tuple[Limits, AccountLimits]:
    """So tight that what others do on the account, a loss or a minute of orders reaches each."""
    one = draws.one
    own = replace(
        own,
        max_position_contracts=one("tight position", (300, 500, 1_000)),
        max_orders_per_minute=one("tight minute", (6, 10, 30)),
        max_daily_loss_minor=one("tight loss", (0, 0, 0, 1 * MILLION, 4 * MILLION)),
        max_drawdown_minor=one("tight drawdown", (0, 0, 0, 2 * MILLION, 6 * MILLION)),
        min_liquidation_bps=one("liquidation", (0, 0, 800, 1_000)),
        runaway_orders=one("tight runaway", (150, 150, 8, 4)),
    )
    account = replace(
        account,
        max_daily_loss_minor=one("all loss", (None, None, 0, 3 * MILLION)),
        max_drawdown_minor=one("all drawdown", (None, None, 0, 5 * MILLION)),
        min_margin_percent=one("tight margin", (0, 0, 75, 88)),
    )
    return own, account


class Purse:
    """Judges what one life's orders are worth, and how many rest."""

    def __init__(self, world: World) -> None:
        self.world = world

    def writing(self, decision: d.PlaceOrder) -> None:
        """The first byte of a POST is about to be written."""
        settings = self.world.settings
        own, account = settings.limits_of(decision.symbol), settings.account_limits
        if not decision.reduce_only:
            self._notional(decision, own)
            self._open(decision, account)

    def _notional(self, decision: d.PlaceOrder, own: Limits) -> None:
        size, price = abs(decision.contracts), decision.price
        most = own.max_order_notional_minor
        if most and Decimal(size) * 10**8 / price > most:
            raise Broken("O6", f"{decision.cl_ord_id}: {size} at {price} are worth too much")
        most, mark = own.max_position_notional_minor, decision.mark
        final = abs(decision.position + decision.contracts)
        if most and mark is not None and Decimal(final) * 10**8 / mark > most:
            raise Broken("O6", f"{decision.cl_ord_id} leads to {final} at {mark}: too much")

    def _open(self, decision: d.PlaceOrder, account: AccountLimits) -> None:
        resting = sum(order.own for order in self.world.exchange.alive.values())
        if account.max_open_orders and resting >= account.max_open_orders:
            raise Broken("O6", f"{decision.cl_ord_id} comes beside {resting} orders of ours")
