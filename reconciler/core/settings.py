"""The settings that change decisions. They enter the core as an event, so a replay has them too."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """
    What no decision about a symbol may exceed. Contracts are counted without sign.

    Amounts are minor units of the symbol's settlement currency. 0: no such limit, from
    ``max_orders_per_day`` on. docs/limits.md says what each protects from.
    """

    max_position_contracts: int = 10_000
    max_order_contracts: int = 1_000
    max_orders_per_minute: int = 30
    price_collar_bps: int = 50  # from the mark price
    stale_price_us: int = 60_000_000  # an older quote is not acted on
    max_orders_per_day: int = 0  # of UTC
    max_order_notional_minor: int = 0
    max_position_notional_minor: int = 0  # of the worst case, at the mark
    max_daily_loss_minor: int = 0  # fees, funding and what is not realised counted in
    max_drawdown_minor: int = 0  # from the best result since somebody resumed
    min_liquidation_bps: int = 0  # of the mark, between it and the liquidation price
    runaway_orders: int = 150  # so many without a contract filled, and it freezes
    runaway_us: int = 600_000_000  # in so long a time
    usual_times: int = 0  # a change of target so many times the usual one is to be confirmed
    usual_last: int = 20  # of how many changes the usual one is the median
    usual_above_contracts: int = 0  # a change up to this needs no confirmation
    max_change_contracts: int = 0  # a change beyond it is refused, confirmed or not


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the account as a whole may not exceed. None: what `Limits` says of each symbol.

    Amounts count for each currency by itself.
    """

    max_orders_per_minute: int | None = None
    max_orders_per_day: int | None = None
    max_daily_loss_minor: int | None = None
    max_drawdown_minor: int | None = None
    runaway_orders: int | None = None
    max_open_orders: int = 0  # ours and foreign ones
    min_margin_percent: int = 0  # of the margin balance that must be available


IMMEDIATE = ("cross", "market")  # stages that take what is there, and never rest


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One rung of a ladder: how to ask, and what ends it. Whichever comes first; none: nothing."""

    how: str = "join"  # join | inside | post | last | signal | cross | market
    for_us: int = 0
    adverse_ticks: int = 0  # the mid has moved so far against us since arrival
    until_deadline: bool = False  # only a deadline that comes near ends it
    offset_ticks: int = 0  # of last and signal: toward the other side


class Policy(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A named way to work a gap. What each setting is for: docs/policies.md."""

    start: str = "join"  # with the two below a ladder of two; `stages` takes their place
    escalate_after_us: int = 60_000_000  # 0: never
    escalate_to: str = "cross"
    stages: tuple[Stage, ...] = ()
    before_deadline_us: int = 10_000_000  # the last stage begins so long before a deadline
    reprice_after_us: int = 5_000_000  # a price is kept so long, and
    reprice_ticks: int = 2  # until the book has moved against it by so many
    max_amends_per_order: int = 0  # 0: as many as the above
    max_amends_per_minute: int = 0
    band_contracts: int = 0  # a gap up to this is left alone, but for the way to zero
    max_slippage_bps: int = 15  # how far through the touch a crossing price may go
    slice_contracts: int = 0  # the most of an order; 0: the limits'
    slice_book_percent: int = 0  # of what it meets: of the other side, or of those it joins
    over_us: int = 0  # spread evenly over so long; 0: at once
    slice_every_us: int = 0  # a step of that; 0: a twentieth
    catch_up: str = "slices"  # slices | at_once: what an outage has left undone

    @cached_property
    def rungs(self) -> tuple[Stage, ...]:
        """Its stages; a start that can escalate, and does, is a ladder of two."""
        if self.stages:
            return self.stages
        if not self.escalate_after_us or self.start in IMMEDIATE:
            return (Stage(how=self.start),)
        first = Stage(how=self.start, for_us=self.escalate_after_us)
        return first, Stage(how=self.escalate_to)

    @cached_property
    def version(self) -> str:
        """Names the settings of a policy: equal ones have one name, in every process."""
        digest = 0xCBF29CE484222325  # FNV-1a, of 64 bits
        for byte in msgspec.json.encode(self, order="deterministic"):
            digest = (digest ^ byte) * 0x100000001B3 % 2**64
        return f"{digest:016x}"[:8]


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
    """The ways that every installation knows."""
    second = 1_000_000
    alone = Policy(escalate_after_us=0)
    budget = msgspec.structs.replace(alone, max_amends_per_order=20, max_amends_per_minute=10)
    return {
        "passive": Policy(),
        "urgent": Policy(start="cross"),
        "ladder": msgspec.structs.replace(
            budget,
            stages=(
                Stage(how="join", for_us=20 * second, adverse_ticks=4),
                Stage(how="inside", for_us=20 * second, adverse_ticks=8),
                Stage(how="cross"),
            ),
        ),
        "twap": msgspec.structs.replace(
            budget,
            stages=(Stage(how="join", for_us=15 * second), Stage(how="cross")),
            over_us=600 * second,
            slice_every_us=30 * second,
        ),
        "post": msgspec.structs.replace(budget, start="post"),
        "last": msgspec.structs.replace(budget, start="last"),
        "signal": msgspec.structs.replace(alone, start="signal"),
        "market": msgspec.structs.replace(alone, start="market"),
    }


class Whole(NamedTuple):
    """`AccountLimits` with what holds for each symbol in place of None."""

    max_orders_per_minute: int
    max_orders_per_day: int
    max_daily_loss_minor: int
    max_drawdown_minor: int
    runaway_orders: int
    max_open_orders: int
    min_margin_percent: int

    @property
    def of_losses(self) -> bool:
        """Whether one of them is about what was lost."""
        return bool(self.max_daily_loss_minor or self.max_drawdown_minor)


class Rules:
    """
    All limits that the orders of one symbol have to keep.

    Attributes:
        limits: The symbol's own.
        whole: The account's.
        of_losses: Whether a loss of it counts.
        of_money: Whether one of them needs the value of what the symbol holds.
        runaway_us: How far back the throttle looks, for orders of the symbol.
        runaway_of_all_us: The same for orders of the account.
    """

    __slots__ = ("limits", "of_losses", "of_money", "runaway_of_all_us", "runaway_us", "whole")

    def __init__(self, limits: Limits, whole: Whole, a_minute: int) -> None:
        self.limits = limits
        self.whole = whole
        own = min(limits.max_orders_per_minute, whole.max_orders_per_minute)
        of_all = min(a_minute, whole.max_orders_per_minute)
        self.runaway_us = _reached_within_us(limits.runaway_orders, limits.runaway_us, own)
        self.runaway_of_all_us = _reached_within_us(whole.runaway_orders, limits.runaway_us, of_all)
        own = limits.max_daily_loss_minor or limits.max_drawdown_minor
        self.of_losses = bool(own) or whole.of_losses
        self.of_money = self.of_losses or bool(limits.min_liquidation_bps)


def _reached_within_us(orders: int, within_us: int, a_minute: int) -> int:
    """
    *within_us*; longer, where so few *a_minute* are allowed that *orders* would never be reached.

    Then they are if nine tenths of what is allowed are used, for as long as that takes.
    """
    return max(within_us, orders * 60_000_000 * 10 // (max(a_minute, 1) * 9))


class Settings(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All of it; what follows from it is made when it is first asked for, and kept."""

    symbols: tuple[str, ...] = ()
    limits: Limits = Limits()
    symbol_limits: dict[str, Limits] = {}
    account_limits: AccountLimits = AccountLimits()
    policies: dict[str, Policy] = msgspec.field(default_factory=default_policies)
    default_policy: str = "passive"
    timing: Timing = Timing()
    foreign_orders: str = "count"  # count | ignore | cancel | freeze
    on_mismatch: str = "halt"  # halt | adopt | trade_back
    mismatches_per_day: int = 3  # that are settled so for one symbol; the next one halts
    dead_man_us: int = 0  # the venue cancels all if we fall silent this long; 0: off

    def limits_of(self, symbol: str) -> Limits:
        """The limits in force for *symbol*."""
        return self.symbol_limits.get(symbol, self.limits)

    def rules_of(self, symbol: str) -> Rules:
        """All that orders of *symbol* have to keep."""
        rules = self._rules.get(symbol)
        if rules is None:
            rules = self._rules[symbol] = Rules(
                self.limits_of(symbol), self.whole, self.orders_per_minute
            )
        return rules

    @cached_property
    def named(self) -> frozenset[str]:
        """The symbols, to look one up among many."""
        return frozenset(self.symbols)

    @cached_property
    def whole(self) -> Whole:
        """The limits of the account as a whole: its own, or what holds for each symbol."""
        names = Whole._fields
        said = [getattr(self.account_limits, name) for name in names]
        return Whole(
            *(getattr(self.limits, k) if v is None else v for k, v in zip(names, said, strict=True))
        )

    @cached_property
    def orders_per_minute(self) -> int:
        """As many as the limits of the symbols allow together."""
        return sum(self.limits_of(symbol).max_orders_per_minute for symbol in self.symbols)

    @cached_property
    def of_margin(self) -> bool:
        """Whether a limit of the account can't do without its balances."""
        return self.whole.of_losses or bool(self.whole.min_margin_percent)

    @cached_property
    def _rules(self) -> dict[str, Rules]:
        return {}
