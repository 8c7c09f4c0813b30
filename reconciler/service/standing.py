"""
Which strategies may run: what the configuration says of each, and what the journal knows of it.

Pure. A strategy that a person stopped, or that failed while it ran, stays so over restarts and over
a configuration that is read again, until somebody starts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from reconciler.core.events import Signalled, StrategyChanged
from reconciler.core.ledger import Ledger
from reconciler.service.netting import Weights
from reconciler.strategy.portfolio import known
from reconciler.strategy.registry import Spec
from reconciler.strategy.signals import Signal

#: Of a strategy that no table and no source names: what it said counts no more, and nobody runs it.
GONE = "it was taken out of the configuration"
MOVED = "it does not run inside the service any more"
OFF = "enabled = false"
#: Stopped for one of these, it begins when the configuration says otherwise: no person has said no.
BY_CONFIGURATION = frozenset({GONE, MOVED, OFF})


class Adopted(NamedTuple):
    """What became of strategies, by identifier, when other tables were put in force."""

    started: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    events: Sequence[StrategyChanged] = ()


def gone(ledger: Ledger, weights: Weights, at_us: int) -> list[StrategyChanged]:
    """
    Tell of those that were taken out since the last run, whatever their state was.

    Where nobody at all is named, a file was lost or makes no sense: that is no word about anybody.
    """
    if not weights.strategies and not weights.portfolios:
        return []
    return [
        StrategyChanged(at_us=at_us, strategy=name, state="stopped", detail=GONE)
        for name, said in ledger.strategies.items()
        if said.detail != GONE and not known(weights.portfolios, weights.strategies, name)
    ]


def silenced(ledger: Ledger, weights: Weights, at_us: int) -> list[Signalled]:
    """
    The end of what was said by those that may not signal any more, table or source.

    What they hold is let go; put back, they are asked anew: what they said in another market moves
    nothing, least of all before they run.
    """
    if not weights.strategies and not weights.portfolios:
        return []
    left = [
        one
        for said in ledger.signals.values()
        for one in said.values()
        if one.strength and not weights.has_say(one.strategy)
    ]
    return [
        Signalled(
            at_us=at_us,
            number=number,
            strategy=one.strategy,
            symbol=one.symbol,
            strength=Decimal(0),
            reason=GONE,
        )
        for number, one in enumerate(left, ledger.next_signal_number)
    ]


def held_back(spec: Spec, ledger: Ledger) -> tuple[str, str] | None:
    """State and reason of one that does not begin by itself; None: it does."""
    if not spec.enabled:
        return "off", OFF
    before = ledger.strategies.get(spec.identifier)
    if before is None:
        return None
    was_stopped = before.state == "stopped" and before.detail not in BY_CONFIGURATION
    has_failed = before.state == "failed" and before.parameters
    return (before.state, before.detail) if was_stopped or has_failed else None


def in_force(ledger: Ledger, identifier: str) -> list[Signal]:
    """What a strategy said last, of each symbol."""
    return [
        Signal(
            strategy=one.strategy,
            symbol=one.symbol,
            strength=one.strength,
            reason=one.reason,
            price=one.price,
        )
        for said in ledger.signals.values()
        if (one := said.get(identifier)) is not None
    ]


def ended_elsewhere(before: Sequence[Spec], now: Sequence[Spec]) -> tuple[str, ...]:
    """Those in processes of their own that may not run any more: they are told when they ask."""
    on = {spec.identifier for spec in now if spec.enabled}
    return tuple(
        spec.identifier
        for spec in before
        if spec.runs != "service" and spec.enabled and spec.identifier not in on
    )


def is_new(spec: Spec, before: Spec | None) -> bool:
    """Whether its table was not there, or kept it off."""
    return before is None or (spec.enabled and not before.enabled)


def is_off(spec: Spec, before: Spec) -> bool:
    """Whether its table keeps it off, and did not: who was started in spite of it goes on."""
    return before.enabled and not spec.enabled


def differ(one: Spec, other: Spec) -> bool:
    """Whether what an instance is made of has changed; patience and the like need no new one."""
    return (one.kind, one.parameters) != (other.kind, other.parameters)
