"""The settings that change decisions. They enter the core as an event, so a replay has them too."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What no decision about a symbol may exceed. Contracts are counted without sign."""

    max_position_contracts: int = 10_000
    max_order_contracts: int = 1_000
    max_orders_per_minute: int = 30
    price_collar_bps: int = 50  # from the mark price
    stale_price_us: int = 60_000_000  # an older quote is not acted on


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A named way to work a gap."""

    start: str = "join"  # join | inside | cross
    reprice_after_us: int = 5_000_000
    reprice_ticks: int = 2
    escalate_after_us: int = 60_000_000  # 0: never
    escalate_to: str = "cross"
    band_contracts: int = 0  # a gap up to this is left alone, and said so
    max_slippage_bps: int = 15  # how far through the touch a crossing price may go


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """
    How long things may take.

    ``hold_us`` and ``read_lag_us`` are the venue's assumed bounds: how long it may hold a command
    after letting it in, and how old a fact must be before every read shows it.
    """

    send_within_us: int = 1_000_000  # a decision not on the wire by then is dropped
    quote_fresh_us: int = 200_000  # how long a price that was asked for may be used
    expires_after_us: int = 5_000_000  # a request that reaches the venue later is void
    in_flight_deadline_us: int = 3_000_000  # then a request is in doubt
    clock_margin_us: int = 2_000_000  # added to an expiry before it is believed
    hold_us: int = 10_000_000
    read_lag_us: int = 2_000_000
    read_every_us: int = 2_000_000
    cancel_again_us: int = 1_000_000
    quarantine_us: int = 600_000_000
    position_grace_us: int = 5_000_000  # a difference this old calls for a repair
    position_read_us: int = 500_000
    foreign_settle_us: int = 1_000_000
    refusal_backoff_us: int = 1_000_000
    refusal_backoff_max_us: int = 60_000_000


def default_policies() -> dict[str, Policy]:
    """The two ways that every installation knows."""
    return {"passive": Policy(), "urgent": Policy(start="cross")}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    symbols: tuple[str, ...] = ()
    limits: Limits = Limits()
    symbol_limits: dict[str, Limits] = {}
    policies: dict[str, Policy] = msgspec.field(default_factory=default_policies)
    default_policy: str = "passive"
    timing: Timing = Timing()
    foreign_orders: str = "count"  # count | ignore | freeze
    dead_man_us: int = 0  # the venue cancels all if we fall silent this long; 0: off

    def limits_of(self, symbol: str) -> Limits:
        """The limits in force for *symbol*."""
        return self.symbol_limits.get(symbol, self.limits)
