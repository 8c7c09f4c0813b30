"""How many contracts the next order may have: the gap, cut to every limit, in whole lots."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from reconciler.core.ledger import Book, Ledger, Order


class Size(NamedTuple):
    """The next order's quantity, or why there is none."""

    contracts: int  # signed; 0: none
    reduce_only: bool
    why_not: str


def next_size(ledger: Ledger, book: Book, target: int) -> Size:
    """
    The quantity of the next order toward *target*.

    A change of sign is two legs, the first of which only closes, unless less than a lot is there.
    Rounded to the lot toward zero. Limits are checked at the worse end of the exposure envelope,
    so that they hold whatever happens.
    """
    assert book.instrument is not None
    limits = ledger.settings.limits_of(book.symbol)
    position, lot = book.position, book.instrument.lot
    if position * target < 0 and abs(position) >= lot:
        leg, reduce_only = -position, True
    else:
        leg, reduce_only = target - position, 0 <= target * position < position * position
    side = 1 if leg > 0 else -1
    wanted = abs(leg)
    if wanted < lot:
        return Size(0, reduce_only, f"nothing: the gap {leg:+d} is less than a lot of {lot}")
    allowed = min(wanted, limits.max_order_contracts, book.instrument.max_contracts or wanted)
    if allowed < lot:
        return Size(
            0,
            reduce_only,
            f"limits.max_order_contracts = {limits.max_order_contracts} to allow a lot",
        )
    if not reduce_only:
        low, high = book.worst_case(ledger.settings.foreign_orders != "ignore")
        room = limits.max_position_contracts - (high if side > 0 else -low)
        allowed = min(allowed, room)
        if allowed < lot:
            return Size(
                0,
                reduce_only,
                f"room below limits.max_position_contracts = {limits.max_position_contracts}: "
                f"the position could be {high if side > 0 else low:+d}",
            )
    return Size(side * (allowed // lot * lot), reduce_only, "")


def passes_the_target(book: Book, order: Order, target: int) -> bool:
    """Whether *order*, if all of it fills, carries the position past *target*, or away from it."""
    final = book.position + order.unbooked
    return (target - final) * order.side < 0


def minute_is_full(placed_us: list[int], at_us: int, most: int) -> int | None:
    """When the next order may be placed if *most* a minute are allowed; None: now."""
    if most <= 0:
        return at_us + 60_000_000
    if len(placed_us) < most:
        return None
    recent = len(placed_us) - bisect_right(placed_us, at_us - 60_000_000)
    return placed_us[-most] + 60_000_000 if recent >= most else None
