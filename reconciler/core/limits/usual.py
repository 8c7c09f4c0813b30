"""
Fat fingers: a change of target that is far from the usual one has to be said twice.

The usual size is the median of the newest accepted changes, which are in the ledger, so that a
replay agrees. A confirmation names the very number that it confirms, and is worth nothing for
another one. Portfolios and schedules have nobody to confirm: they may always want less.
"""

from __future__ import annotations

from reconciler.core.ledger import Book, Ledger
from reconciler.errors import LimitExceeded, NeedsConfirmation

CHANGES_KEPT = 100


def check(ledger: Ledger, book: Book, contracts: int, confirm: int | None, at_us: int) -> None:
    """
    Look at the change from what is wanted now to *contracts*.

    Raises:
        LimitExceeded: It is beyond the hard limit, which no confirmation opens.
        NeedsConfirmation: It is unusual, and nobody confirmed just this number.
    """
    limits = ledger.settings.limits_of(book.symbol)
    change = abs(contracts - _from(book, at_us))
    if limits.max_change_contracts and change > limits.max_change_contracts:
        raise LimitExceeded(
            f"{book.symbol} target {contracts:+d} is a change of {change}, above "
            f"limits.max_change_contracts = {limits.max_change_contracts}",
            symbol=book.symbol,
            contracts=contracts,
            limit=limits.max_change_contracts,
            rule="limits.max_change_contracts",
        )
    if not limits.usual_times or change <= limits.usual_above_contracts or confirm == contracts:
        return
    usual = median(book.changes[-limits.usual_last :])
    if change > limits.usual_times * usual:
        other = "" if confirm is None else f" ({confirm:+d} was confirmed)"
        raise NeedsConfirmation(
            f"{book.symbol} target {contracts:+d} is a change of {change}; the usual one is "
            f"{usual}, and limits.usual_times = {limits.usual_times}{other}",
            next_step=f"If you mean it, say it again with --confirm {contracts}.",
            symbol=book.symbol,
            contracts=contracts,
            usual=usual,
            rule="limits.usual_times",
        )


def leads_out(book: Book, contracts: int, at_us: int) -> bool:
    """Whether it is a change toward zero: by whom nobody can ask, it is not held back."""
    now = _from(book, at_us)
    return contracts * now >= 0 and abs(contracts) < abs(now)


def remember(book: Book, contracts: int, at_us: int) -> None:
    """A target was accepted: call before it takes the place of the old one."""
    change = abs(contracts - _from(book, at_us))
    if change:
        book.changes = [*book.changes[-CHANGES_KEPT + 1 :], change]


def median(changes: list[int]) -> int:
    """The middle one, of two the lower; 0 of none: then nothing is usual."""
    return sorted(changes)[(len(changes) - 1) // 2] if changes else 0


def _from(book: Book, at_us: int) -> int:
    wanted = book.wanted_at(at_us)
    return wanted if wanted is not None else book.position
