"""A loop for a feed of its own: one thread, its sockets, calls of other threads, and a tick."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from reconciler.core.events import AnyEvent

Call = Callable[[], Iterable[AnyEvent]]
TICK_S = 0.1


class SmallLoop:
    """
    Implements `reconciler.venue.Host`. What calls return is nobody's: there is no core behind it.

    Args:
        after: Called in the loop after each piece of work, and ten times a second.
        crashed: Called in the loop with an error that nobody foresaw; the loop has ended then.
    """

    def __init__(
        self, after: Callable[[], None], crashed: Callable[[BaseException], None], name: str
    ) -> None:
        self._after = after
        self._crashed = crashed
        self._calls: deque[Call] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._ended = False
        self._start_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def now_us(self) -> int:
        """The wall clock as it was at the start, counted on by one that never jumps."""
        return self._start_us + time.monotonic_ns() // 1000

    def post(self, events: Sequence[AnyEvent]) -> None:
        """Nobody here steps events."""

    def call_soon(self, call: Call) -> None:
        self._calls.append(call)
        with contextlib.suppress(OSError):  # awake already, or closed
            self._wake_out.send(b"\0")

    def add_reader(self, fileno: int, read: Call) -> None:
        self._selector.register(fileno, selectors.EVENT_READ, read)

    def remove_reader(self, fileno: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(fileno)

    def start(self) -> None:
        self.thread.start()

    def close(self, until_s: float) -> None:
        """End the thread, and what it owns."""
        self._ended = True
        self.call_soon(tuple)
        if self.thread.ident is not None and self.thread is not threading.current_thread():
            self.thread.join(max(until_s - time.monotonic(), 0.01))

    def _run(self) -> None:
        try:
            while not self._ended:
                self._turn()
        except BaseException as error:
            self._crashed(error)
        finally:
            self._selector.close()
            self._wake_in.close()
            self._wake_out.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(TICK_S):
            if key.data is not None:
                key.data()
            else:
                with contextlib.suppress(BlockingIOError):
                    self._wake_in.recv(4096)
        for _ in range(len(self._calls)):
            self._calls.popleft()()
        self._after()
