"""
Who runs which strategy, of those that run in processes of their own.

A process holds the name of its strategy by saying so once a second. A second one of that name is
refused; when the first is dead, its name is free some seconds later. Leases are not stored: after a
start of the service whoever comes first holds the name, and the others are refused.

What is recorded is what follows: a strategy whose process is not heard of any more has failed, and
runs again once it is heard of. Its signals hold meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import NamedTuple

from reconciler.core.events import StrategyChanged
from reconciler.core.ledger import Ledger
from reconciler.errors import AlreadyRuns, Refused
from reconciler.service.standing import GONE, MOVED

LEASE_US = 5_000_000  # without a word; one a second is said
GRACE_US = 30_000_000  # for the first word after a start of the service
FORGET_US = 3_600_000_000
LOST = "nothing is heard of its process"


class Lease(NamedTuple):
    """Held by one run of a process."""

    run: str
    who: str
    until_us: int
    number: int  # of what it said last


class Leases:
    """
    One a service; asked by any thread.

    Args:
        now_us: The time.
    """

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._lock = threading.Lock()
        self._held: dict[str, Lease] = {}
        self._began_us = now_us()

    def hold(self, strategy: str, run: str, who: str = "", number: int = 0) -> None:
        """
        Take the name, or hold it for longer.

        Args:
            strategy: The name.
            run: Who takes it.
            who: For people.
            number: Of what it says with this, counted by itself; 0: it says nothing.

        Raises:
            AlreadyRuns: Another run holds it.
            Refused: It has said something newer: this was long on its way.
        """
        now_us = self._now_us()
        with self._lock:
            held = self._held.get(strategy)
            if held is not None and held.run != run and held.until_us > now_us:
                raise AlreadyRuns(
                    f"{strategy} is run by {held.who or 'another process'}",
                    strategy=strategy,
                    who=held.who,
                )
            if held is None:
                self._forget(now_us)
            if held is not None and held.run == run:
                if 0 < number <= held.number:
                    raise Refused(
                        f"{strategy} has said something newer than this", strategy=strategy
                    )
                who, number = who or held.who, max(number, held.number)
            self._held[strategy] = Lease(run, who, now_us + LEASE_US, number)

    def _forget(self, now_us: int) -> None:
        """Those that ran out long ago, and were told: names may be many."""
        self._held = {
            name: one for name, one in self._held.items() if now_us - one.until_us < FORGET_US
        }

    def free(self, strategy: str, run: str) -> None:
        """Its process has ended in order."""
        with self._lock:
            held = self._held.get(strategy)
            if held is not None and held.run == run:
                del self._held[strategy]

    def changes(
        self, ledger: Ledger, configured: Collection[str], own: Collection[str] = ()
    ) -> list[StrategyChanged]:
        """
        Strategies whose process was lost, or is back.

        Args:
            ledger: As it is.
            configured: Identifiers of those that run in processes of their own.
            own: Of those that the service runs: a process that had one says nothing about it.
        """
        now_us = self._now_us()
        with self._lock:
            held = dict(self._held)
        found = []
        for name in sorted({*held, *configured}.difference(own)):
            said, lease = ledger.strategies.get(name), held.get(name)
            if said is None:
                continue
            if lease is not None:
                until_us, who = lease.until_us, f" ({lease.who})" if lease.who else ""
            else:
                until_us, who = self._began_us + GRACE_US, ""
            was_out = said.detail in (GONE, MOVED) and name in configured
            is_back = was_out or said.detail.startswith(LOST)
            if said.state == "running" and now_us >= until_us:
                state, detail = "failed", f"{LOST}{who}; its last signals hold"
            elif lease is not None and now_us < until_us and is_back:
                state, detail = "running", "its process is heard of again"
            else:
                continue
            found.append(
                StrategyChanged(
                    at_us=now_us,
                    strategy=name,
                    state=state,
                    detail=detail,
                    parameters=said.parameters,
                )
            )
        return found
