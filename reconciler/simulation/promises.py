"""A broken promise, and what breaks one whenever it happens."""

from __future__ import annotations

from reconciler.simulation.agenda import SECOND

#: Incidents that cannot happen while the venue keeps to what is assumed of it.
NEVER = frozenset(
    {
        "zombie_order",
        "twin_order",
        "unknown_own_order",
        "changed_order",
        "vanished_order",
        "overfill",
        "wrong_side",
        "impossible",
    }
)
UNWANTED_US = 3 * SECOND
OVER = ("void", "refused", "closed")  # an order that is over stays over


class Broken(AssertionError):
    """A promise was not kept."""

    def __init__(self, invariant: str, what: str) -> None:
        self.invariant = invariant
        super().__init__(f"{invariant}: {what}")
