"""
The outbox: what strategies said and became, on its way to whoever records it.

A thread of its own hands over one after the other, so that no strategy waits for a disk or a
network. Signals of one strategy and symbol are conflated: the newest that waits counts. Changes are
never dropped, and keep their place among the signals of their strategy. What cannot be handed over
for now is tried again; what is refused is told, and left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from reconciler.errors import InDoubt, ReconcilerError, Unreachable
from reconciler.strategy.instance import Change
from reconciler.strategy.signals import Signal

AGAIN_AFTER_S = 0.5  # doubled with each failure in a row
AGAIN_WITHIN_S = 2.0

#: A repeat of these does no harm: a signal in force is no news, a state that was told is the same.
FOR_NOW = (Unreachable, InDoubt, TimeoutError)


class Outbox(threading.Thread):
    """
    Hands over, in order.

    Args:
        deliver: Records one; may block. Raises `Unreachable`, `InDoubt` or TimeoutError if it is
            to be tried again, any other error of ours if it is refused.
        refused: Told what was refused, and why.
        waiting: Told once when it cannot be handed over for now, and with "" when it can again.
        on_crash: Told an error of our own, and what was to be handed over: it is left, and the
            next one is tried.
    """

    def __init__(
        self,
        deliver: Callable[[Signal | Change], None],
        refused: Callable[[Signal | Change, ReconcilerError], None],
        *,
        waiting: Callable[[str], None] = lambda _: None,
        on_crash: Callable[[Signal | Change, Exception], None] = lambda *_: None,
    ) -> None:
        super().__init__(name="strategies-outbox", daemon=True)
        self._deliver = deliver
        self._refused = refused
        self._waiting = waiting
        self._on_crash = on_crash
        self._items: deque[Change | tuple[str, str]] = deque()
        self._newest: dict[tuple[str, str], Signal] = {}
        self._filled = threading.Condition()
        self._over = False
        self._busy = False

    def put(self, one: Signal | Change) -> None:
        """Take it; never blocks for long."""
        with self._filled:
            if isinstance(one, Signal):
                key = (one.strategy, one.symbol)
                if key in self._newest:
                    # Behind a change that waits, it must not overtake it.
                    self._items.remove(key)
                self._newest[key] = one
                self._items.append(key)
            else:
                self._items.append(one)
            self._filled.notify_all()

    def drained(self, timeout_s: float) -> bool:
        """Wait until all is handed over; False: it was not, in time."""
        with self._filled:
            return self._filled.wait_for(lambda: not self._items and not self._busy, timeout_s)

    def stop(self, timeout_s: float = 1) -> None:
        """Hand over nothing more."""
        with self._filled:
            self._over = True
            self._filled.notify_all()
        if self is not threading.current_thread() and self.is_alive():
            self.join(timeout_s)

    def run(self) -> None:
        """Hand over until it is over."""
        while (one := self._next()) is not None:
            try:
                self._hand_over(one)
            except Exception as error:
                self._on_crash(one, error)
            with self._filled:
                self._busy = False
                self._filled.notify_all()

    def _next(self) -> Signal | Change | None:
        with self._filled:
            self._filled.wait_for(lambda: self._items or self._over)
            if self._over:
                return None
            item = self._items.popleft()
            self._busy = True
            return self._newest.pop(item) if isinstance(item, tuple) else item

    def _hand_over(self, one: Signal | Change) -> None:
        pause_s = AGAIN_AFTER_S
        while True:
            try:
                self._deliver(one)
            except FOR_NOW as error:
                if self._is_overtaken(one):
                    return
                self._waiting(str(error))
                with self._filled:
                    if self._filled.wait_for(lambda: self._over, pause_s):
                        return
                pause_s = min(2 * pause_s, AGAIN_WITHIN_S)
                continue
            except ReconcilerError as error:
                self._refused(one, error)
            self._waiting("")
            return

    def _is_overtaken(self, one: Signal | Change) -> bool:
        """Whether a newer signal waits: that one is to be tried instead."""
        with self._filled:
            return isinstance(one, Signal) and (one.strategy, one.symbol) in self._newest
