"""
The venue's bad days: which faults of the catalogue are on, and whether one strikes now.

A fault is switched on with a probability and, if wished, for a number of times and for one symbol.
Each draws from a stream of its own, so switching one on does not move the draws of another.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from .faults import CATALOGUE

__all__ = ["CATALOGUE", "Quirks", "UnknownFault"]

ALL = "all"  # every fault of the catalogue that leaves nothing behind
_SETTING = re.compile(r"(?P<name>[a-z0-9-]+?)(?::(?P<symbol>[A-Za-z0-9_]+?))?(?:x(?P<count>\d+))?")


@dataclass(slots=True)
class Switch:
    """One fault's setting."""

    probability: float
    count: int | None = None  # times left to fire; None: no limit
    symbol: str | None = None  # None: every one
    fired: int = 0

    @property
    def live(self) -> bool:
        return self.probability > 0 and self.count != 0


class UnknownFault(ValueError):
    """No fault has that name, or its probability is not between 0 and 1."""


class Quirks:
    """Which faults are on, and whether one strikes now."""

    def __init__(self, faults: Mapping[str, float] | None = None, *, seed: int = 0) -> None:
        """*faults*: probabilities by ``name``, ``name:SYMBOL``, ``namex3`` or ``name:SYMBOLx3``."""
        self._seed = seed
        self._switches: dict[str, Switch] = {}
        self._streams: dict[str, random.Random] = {}
        for words, probability in (faults or {}).items():
            named = _SETTING.fullmatch(words)
            if named is None or named["name"] not in (*CATALOGUE, ALL):
                raise _unknown(words)
            if named["count"] is not None and not int(named["count"]):
                raise UnknownFault(
                    f"fault {words} would strike 0 times: write x1 or more, or leave it out"
                )
            count = None if named["count"] is None else int(named["count"])
            self.set(named["name"], probability, count, named["symbol"])

    def set(
        self, name: str, probability: float, count: int | None = None, symbol: str | None = None
    ) -> None:
        """
        Switch a fault; probability 0 switches it off. ``all`` stands for all that leave nothing
        behind.

        Raises:
            UnknownFault: the name, the probability, the count or the symbol is wrong.
        """
        if name not in CATALOGUE and name != ALL:
            raise _unknown(name)
        if not 0 <= probability <= 1:
            raise UnknownFault(f"probability of {name} must be between 0 and 1: {probability}")
        if count is not None and count < 0:
            raise UnknownFault(f"count of {name} must not be below zero: {count}")
        if symbol is not None and (name == ALL or not CATALOGUE[name].by_symbol):
            raise UnknownFault(f"{name} cannot be switched for one symbol alone")
        names = [name]
        if name == ALL:
            names = [fault.name for fault in CATALOGUE.values() if not fault.lasting]
        for one in names:
            fired = self._switches[one].fired if one in self._switches else 0
            self._switches[one] = Switch(probability, count, symbol, fired)

    def strikes(self, name: str, symbol: str | None = None) -> bool:
        """Whether the fault happens this time, to *symbol* if it is about one."""
        switch = self._switches.get(name)
        if switch is None or not switch.live:
            return False
        if switch.symbol is not None and switch.symbol != symbol:
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
        return switch is not None and switch.live

    def asked(self, name: str) -> bool:
        """Whether the fault was switched on, even if its count is spent: what it left lasts."""
        switch = self._switches.get(name)
        return switch is not None and switch.probability > 0

    @property
    def any_live(self) -> bool:
        """Whether a fault of any kind may strike; draws nothing."""
        return any(switch.live for switch in self._switches.values())

    def any_on(self, group: str) -> bool:
        """Whether a fault of a group may strike; draws nothing."""
        for name, switch in self._switches.items():
            if switch.live and CATALOGUE[name].group == group:
                return True
        return False

    def seconds(self, name: str, low: float, high: float) -> float:
        """A duration drawn for a fault that struck."""
        return self.stream(name).uniform(low, high)

    def stream(self, name: str) -> random.Random:
        if name not in self._streams:
            self._streams[name] = random.Random(f"{self._seed}/fault/{name}")
        return self._streams[name]

    def symbols(self) -> dict[str, str]:
        """The symbols of the faults that are for one alone, by fault."""
        return {name: s.symbol for name, s in self._switches.items() if s.symbol is not None}

    def count_on(self) -> int:
        """How many faults may strike."""
        return sum(1 for switch in self._switches.values() if switch.live)

    def listing(self) -> list[dict[str, object]]:
        """Every fault with its description and setting."""
        rows: list[dict[str, object]] = []
        for name, fault in CATALOGUE.items():
            switch = self._switches.get(name, Switch(0.0))
            rows.append(
                {
                    "name": name,
                    "group": fault.group,
                    "description": fault.description,
                    "rows": fault.rows,
                    "lasting": fault.lasting,
                    "probability": switch.probability,
                    "count": switch.count,
                    "symbol": switch.symbol,
                    "fired": switch.fired,
                }
            )
        return rows


def _unknown(words: str) -> UnknownFault:
    name = words.partition(":")[0]
    close = get_close_matches(name, [*CATALOGUE, ALL], 3) or [
        known for known in CATALOGUE if set(name.split("-")) & set(known.split("-"))
    ]
    listed = "docs/paper-faults.md and GET /paper/faults list them"
    hint = f"did you mean {' or '.join(close)}?" if close else listed
    return UnknownFault(f"unknown fault {words!r}; {hint}")
