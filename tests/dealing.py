"""The order in which several processes get the tests."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def dealt(items: list[T], slow: list[bool], processes: int) -> list[T]:
    """
    Every process's stretch with its share of the slow ones in front.

    Each begins with an equal stretch of this list, and takes from the end of another's when it has
    none left: xdist's `worksteal`.
    """
    hard = [item for item, is_slow in zip(items, slow, strict=True) if is_slow]
    easy = [item for item, is_slow in zip(items, slow, strict=True) if not is_slow]
    order: list[T] = []
    for number in range(processes):
        size = (len(items) - len(order)) // (processes - number)
        share = hard[number::processes]
        room = max(size - len(share), 0)
        order += share + easy[:room]
        del easy[:room]
    return order + easy
