"""
Reading the configuration again while the service runs: whole, or not at all.

Limits, policies, strategies, portfolios and weights are taken up by a running service. What is
wrong in any of them is one clear error, and all that was in force stays. Files are read in a thread
of their own, for the loop must not wait for a disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from reconciler.core.events import AnyEvent, Configured
from reconciler.core.ledger import Ledger
from reconciler.errors import ReconcilerError, Refused
from reconciler.service.door import Reloaded
from reconciler.service.options import Options
from reconciler.service.standing import Adopted, gone, silenced
from reconciler.service.strategies import Strategies
from reconciler.service.telling import Say

if TYPE_CHECKING:
    from reconciler.service.loop import Loop
    from reconciler.service.signalling import Desk

WHY = "the configuration was read again"

#: Reads the configuration. Raises ConfigError: it makes no sense.
Read = Callable[[], Options]


class Reloader:
    """
    One a service.

    Args:
        options: In force; changed in place.
        read: None: the settings came from a program, and there is nothing to read.
    """

    def __init__(
        self,
        options: Options,
        loop: Loop,
        desk: Desk,
        strategies: Strategies | None,
        say: Say,
        read: Read | None,
    ) -> None:
        self._options, self._loop, self._desk = options, loop, desk
        self._strategies, self._say, self._read = strategies, say, read
        self._one_at_a_time = threading.Lock()
        self.can_read = read is not None

    def soon(self) -> None:
        """Read it in a thread of its own, and tell the log what came of it."""
        if self._read is not None:
            threading.Thread(target=self._quietly, name="reading", daemon=True).start()

    def _quietly(self) -> None:
        try:
            self.now()
        except (ReconcilerError, TimeoutError):
            pass  # it is in the log

    def now(self) -> Reloaded:
        """
        Read it and put it in force, in any thread but the loop's.

        Raises:
            ConfigError, Refused: It makes no sense, or cannot be taken up; nothing was changed.
        """
        if self._read is None:
            raise Refused(
                "this service was given its settings by a program, and has no file to read again"
            )
        with self._one_at_a_time:
            try:
                done = self._adopt(self._read())
            except ReconcilerError as refusal:
                self._say("error", "config.refused", error=str(refusal))
                raise
            except TimeoutError as busy:
                self._say("error", "config.refused", error=f"the service is busy: {busy}")
                raise
        self._say("warning", "config.reload", **in_words(done))
        return done

    def _adopt(self, new: Options) -> Reloaded:
        def make(ledger: Ledger) -> tuple[Sequence[AnyEvent], Callable[[Ledger], Reloaded]]:
            events, done = self._take_up(ledger, new)
            return events, lambda _: done

        done = self._loop.ask(make)
        self._loop.ask(lambda _: ((), lambda _: None))  # the targets that follow are recorded
        return done

    def _take_up(self, ledger: Ledger, new: Options) -> tuple[list[AnyEvent], Reloaded]:
        """In the loop: what changes, once nothing stands against it."""
        old, now_us = self._options, self._loop.now_us()
        if new.settings.symbols != old.settings.symbols:
            raise Refused(
                "other symbols need a new start: "
                f"{', '.join(old.settings.symbols)} are traded, "
                f"the file says {', '.join(new.settings.symbols)}",
                next_step="Put them back, or start the service again. Nothing was changed.",
            )
        limits, weights = new.settings != old.settings, new.weights != self._desk.weights
        became = Adopted()
        if self._strategies is not None:
            became = self._strategies.adopt(new.strategies, ledger)
            old.strategies = new.strategies
        old.settings, old.weights, old.read_weights = new.settings, new.weights, new.read_weights
        self._desk.adopt(new.weights, new.read_weights, WHY)
        changed = Reloaded(
            limits=limits,
            portfolios=weights,
            started=became.started,
            restarted=became.restarted,
            stopped=became.stopped,
            needs_start=tuple(
                name
                for name in dict.fromkeys((*old.fixed, *new.fixed))
                if old.fixed.get(name) != new.fixed.get(name)
            ),
        )
        told = list(became.events)
        named = {event.strategy for event in told}
        told += [one for one in gone(ledger, new.weights, now_us) if one.strategy not in named]
        ended = silenced(ledger, new.weights, now_us)
        return [*told, *ended, Configured(at_us=now_us, settings=new.settings)], changed


def in_words(done: Reloaded) -> dict[str, str]:
    """What has changed, for the log."""
    lists = {
        "started": done.started,
        "restarted": done.restarted,
        "stopped": done.stopped,
        "needs_start": done.needs_start,
    }
    plain = {"limits": done.limits, "portfolios": done.portfolios}
    return {name: "changed" for name, so in plain.items() if so} | {
        name: ",".join(names) for name, names in lists.items() if names
    }
