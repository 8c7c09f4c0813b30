"""
What strategies in the service said and became, on its way into the loop.

No thread stands between the strategies' and the loop: to wake one up costs more than all that is
done with a signal. Whatever waits when the loop comes to it is one batch and one commit, however
many strategies spoke; of one strategy and symbol, the newest that waits counts. A change of state
keeps its place among the signals.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from reconciler.core.events import AnyEvent
from reconciler.core.ledger import Ledger
from reconciler.strategy.instance import Change
from reconciler.strategy.signals import Signal

Made = tuple[Sequence[AnyEvent], Callable[[Ledger], None]]
#: Of the loop: run it there, record the events that it returns, then its second half.
Record = Callable[[Callable[[Ledger], Made]], None]
Waiting = dict[tuple[str, str], Signal]  # by strategy and symbol, the oldest first


class Handover:
    """
    Hands over, in order, from any thread.

    Args:
        record: Of the loop; it returns at once, and keeps the order.
        take: In the loop, what is to be recorded of signals.
        event: The same of a change.
        broke: Told in the loop of a signal that `take` broke over: it is left, the others are not.
    """

    def __init__(
        self,
        record: Record,
        take: Callable[[Ledger, Iterable[Signal]], Sequence[AnyEvent]],
        event: Callable[[Change], AnyEvent],
        broke: Callable[[Signal, Exception], None],
    ) -> None:
        self._record = record
        self._take = take
        self._event = event
        self._broke = broke
        self._lock = threading.Lock()
        self._open: Waiting | None = None  # signals that the loop has not come to yet

    def put(self, one: Signal | Change) -> None:
        """Take it; never blocks for long."""
        if isinstance(one, Change):
            with self._lock:
                self._open = None  # what is said from now on stands behind it
            self._record(lambda _: ([self._event(one)], _nothing))
            return
        key = (one.strategy, one.symbol)
        with self._lock:
            waiting = self._open
            if waiting is not None:
                waiting.pop(key, None)
                waiting[key] = one
                return
            waiting = self._open = {key: one}
        self._record(partial(self._signals, waiting))

    def handed_over(self, timeout_s: float) -> bool:
        """Wait until all that was put before now is recorded; False: it was not, in time."""
        done = threading.Event()

        def mark(_: Ledger) -> Made:
            done.set()
            return (), _nothing

        self._record(mark)
        return done.wait(timeout_s)

    # -- in the loop

    def _signals(self, waiting: Waiting, ledger: Ledger) -> Made:
        with self._lock:
            if self._open is waiting:
                self._open = None
        try:
            return self._take(ledger, waiting.values()), _nothing
        except Exception as error:  # an error of our own: the service goes on, and the others do
            self._one_by_one(list(waiting.values()), error)
            return (), _nothing

    def _one_by_one(self, signals: Sequence[Signal], error: Exception) -> None:
        """One of them broke whoever is to record it: find out which."""
        if len(signals) == 1:
            self._broke(signals[0], error)
            return
        for signal in signals:
            self._record(partial(self._signals, {(signal.strategy, signal.symbol): signal}))


def _nothing(_: Ledger) -> None:
    """Nobody waits for an answer."""
