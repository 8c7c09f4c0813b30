"""
The venue's bad days: one named switch for each (protocol sheet, section 15).

A fault is switched on with a probability and, if wished, for a number of times. Each draws from a
stream of its own, so switching one on does not move the draws of another.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

CATALOGUE: dict[str, str] = {
    "lost-answer": "The order request is acted on; the connection is closed without an answer.",
    "lost-request": "The connection is closed before the order request is acted on.",
    "overload-503": "New orders and amends are refused at the door with the exact overload text.",
    "bad-gateway-502": "An HTML page from the proxy; half of the requests behind it were acted on.",
    "rate-limit-429": "Order requests are refused with 429 and retry-after, budget or not.",
    "slow-answer": "The request is acted on at once; its answer takes 0.2 to 3 seconds.",
    "slow-queue": "The request queues for 0.2 to 3 seconds, then is acted on, expired or not.",
    "position-lag": "Position frames are held back by 0.2 to 3 seconds.",
    "execution-late": "Execution frames are held back by 0.2 to 2 seconds; order frames are not.",
    "order-late": "Order frames are held back by 0.2 to 2 seconds; execution frames are not.",
    "late-fill": "Order and execution frames of a fill come 0.2 to 2 seconds after the position's.",
    "cancel-race": "The order fills just before its cancel arrives, which then fails in its row.",
    "amend-race": "Part of the order fills just before its amend arrives.",
    "reject-in-200": "A new order is answered 200 with ordStatus Rejected.",
    "duplicate-frame": "A private frame is sent twice.",
    "empty-frame": "A private frame is followed by one of the same table with no rows.",
    "drop-stream": "A socket is closed in place of sending a private frame.",
    "silent-stream": "A socket stays open and sends no table frame any more.",
    "second-partial": "A private table is sent whole again, mid-stream.",
    "auth-lost": "A websocket's credentials are accepted and forgotten: private tables say 401.",
    "read-lag": "GET /order and /execution do not show the newest second.",
}


@dataclass(slots=True)
class Switch:
    """One fault's setting."""

    probability: float
    count: int | None = None  # times left to fire; None: no limit
    fired: int = 0


class UnknownFault(ValueError):
    """No fault has that name, or its probability is not between 0 and 1."""


class Quirks:
    """Which faults are on, and whether one strikes now."""

    def __init__(self, faults: Mapping[str, float] | None = None, *, seed: int = 0) -> None:
        self._seed = seed
        self._switches: dict[str, Switch] = {}
        self._streams: dict[str, random.Random] = {}
        for name, probability in (faults or {}).items():
            self.set(name, probability)

    def set(self, name: str, probability: float, count: int | None = None) -> None:
        """
        Switch a fault; probability 0 switches it off.

        Raises:
            UnknownFault: the name or the probability is wrong.
        """
        if name not in CATALOGUE:
            known = ", ".join(CATALOGUE)
            raise UnknownFault(f"unknown fault {name!r}; known: {known}")
        if not 0 <= probability <= 1:
            raise UnknownFault(f"probability of {name} must be between 0 and 1: {probability}")
        if count is not None and count < 0:
            raise UnknownFault(f"count of {name} must not be below zero: {count}")
        fired = self._switches[name].fired if name in self._switches else 0
        self._switches[name] = Switch(probability, count, fired)

    def strikes(self, name: str) -> bool:
        """Whether the fault happens this time."""
        switch = self._switches.get(name)
        if switch is None or switch.count == 0 or not switch.probability:
            return False
        if self.stream(name).random() >= switch.probability:
            return False
        switch.fired += 1
        if switch.count is not None:
            switch.count -= 1
        return True

    def on(self, name: str) -> bool:
        """Whether the fault may strike at all; draws nothing."""
        switch = self._switches.get(name)
        return switch is not None and switch.probability > 0 and switch.count != 0

    def seconds(self, name: str, low: float, high: float) -> float:
        """A duration drawn for a fault that struck."""
        return self.stream(name).uniform(low, high)

    def stream(self, name: str) -> random.Random:
        if name not in self._streams:
            self._streams[name] = random.Random(f"{self._seed}/fault/{name}")
        return self._streams[name]

    def listing(self) -> list[dict[str, object]]:
        """Every fault with its description and setting."""
        rows: list[dict[str, object]] = []
        for name, description in CATALOGUE.items():
            switch = self._switches.get(name, Switch(0.0))
            rows.append(
                {
                    "name": name,
                    "description": description,
                    "probability": switch.probability,
                    "count": switch.count,
                    "fired": switch.fired,
                }
            )
        return rows
