"""What people and strategies wish for, as the ledger takes it in: targets, signals, schedules."""

from __future__ import annotations

from reconciler.core.decisions import TargetClosed
from reconciler.core.events import (
    ScheduleSet,
    Signalled,
    StrategyChanged,
    TargetRefused,
    TargetSet,
)
from reconciler.core.ledger import Target
from reconciler.core.limits import usual
from reconciler.core.policy import policies, slices
from reconciler.core.turn import Turn

KEYS_KEPT = 1_000  # idempotency keys remembered for each symbol


def set_target(turn: Turn, event: TargetSet) -> None:
    book = turn.ledger.book(event.symbol)
    before, same, gap_since_us = book.target, False, 0
    if before is not None:
        turn.facts.append(
            TargetClosed(symbol=event.symbol, version=before.version, outcome="replaced")
        )
        same = (before.contracts, before.policy) == (event.contracts, event.policy)
        gap_since_us = before.gap_since_us if same else 0
    usual.remember(book, event.contracts, turn.at_us)
    book.version, book.version_us = event.version, turn.at_us
    book.target = Target(
        contracts=event.contracts,
        version=event.version,
        source=event.source,
        policy=event.policy,
        set_us=turn.at_us,
        expires_us=event.expires_us,
        on_expiry=event.on_expiry,
        gap_since_us=gap_since_us,
        deadline_us=event.deadline_us,
        price=event.price,
        shares=event.shares,
    )
    if before is not None and same:
        book.target.work = before.work
    else:
        policy = policies.policy_of(turn.ledger.settings, before.policy if before else "")
        slices.begin_path(book.target, before, policy, turn.at_us)
    if event.shares:
        book.netted, book.netted_expired = event.shares, False
    _row_done(turn, event.schedule)
    if not same:  # a strategy that repeats itself each bar is no reason to ask again
        turn.asked_anew(book, "a new target")
    if event.key:
        book.keys[event.key] = (event.version, event.contracts, event.asked)
        while len(book.keys) > KEYS_KEPT:
            del book.keys[min(book.keys, key=lambda key: book.keys[key])]
    turn.touch(book)


def refused(turn: Turn, event: TargetRefused) -> None:
    """Nothing follows from it, but that a row of a schedule has had its turn."""
    _row_done(turn, event.schedule)


def _row_done(turn: Turn, row: str) -> None:
    """A row of a schedule came due, and all before it: none of them comes due again."""
    name, _, number = row.rpartition("/")
    if name in turn.ledger.schedules:
        done = turn.ledger.schedule_done
        done[name] = max(done.get(name, 0), int(number) + 1)


def signalled(turn: Turn, event: Signalled) -> None:
    ledger = turn.ledger
    ledger.signals.setdefault(event.symbol, {})[event.strategy] = event
    ledger.next_signal_number = event.number + 1


def strategy_changed(turn: Turn, event: StrategyChanged) -> None:
    turn.ledger.strategies[event.strategy] = event
    how = f"the strategy is {event.state}"
    turn.close_incidents(event.strategy, how, "core", "strategy_failed")
    if event.state == "failed":  # in the place of a symbol: whoever it is that failed
        turn.incident("strategy_failed", event.strategy, event.detail)


def set_schedule(turn: Turn, event: ScheduleSet) -> None:
    turn.ledger.schedule_done.pop(event.name, None)
    if event.rows:
        turn.ledger.schedules[event.name] = event
    else:
        turn.ledger.schedules.pop(event.name, None)
