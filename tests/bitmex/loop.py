"""A loop as small as it can be, to run a gateway in a test; it keeps every event."""

from __future__ import annotations

import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from reconciler.bitmex import BitmexConfig, BitmexGateway
from reconciler.core.decisions import AnyDecision
from reconciler.core.events import AnyEvent

Call = Callable[[], Iterable[AnyEvent]]
TICK_S = 0.05


class Loop:
    """One thread: calls handed over, readable sockets, ticks; what they return is kept."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.batches: list[list[AnyEvent]] = []
        self.errors: list[BaseException] = []
        self.skew_us = 0  # added to the clock
        self.ticking = True
        self._changed = threading.Condition()
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._start_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="loop")
        self.gateway: BitmexGateway | None = None

    # -- what a gateway is lent

    def now_us(self) -> int:
        return self._start_us + time.monotonic_ns() // 1000 + self.skew_us

    def post(self, events: Sequence[AnyEvent]) -> None:
        self.call_soon(lambda: events)

    def call_soon(self, call: Call) -> None:
        self._calls.put(call)
        try:
            self._waker.send(b".")
        except OSError:
            pass  # it ended

    def add_reader(self, fileno: int, read: Call) -> None:
        assert threading.current_thread() is self._thread
        self._selector.register(fileno, selectors.EVENT_READ, read)

    def remove_reader(self, fileno: int) -> None:
        if fileno in self._selector.get_map():
            self._selector.unregister(fileno)

    # -- what a test does

    def __enter__(self) -> Loop:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.gateway is not None:
            self.gateway.close(2)
        self._ended = True
        self.call_soon(tuple)
        self._thread.join(5)
        self._wake.close()
        self._waker.close()
        assert not self.errors, self.errors

    def run(self, config: BitmexConfig, watermark_us: int = 0) -> BitmexGateway:
        """A gateway in this loop, started."""
        gateway = BitmexGateway(config, self)
        gateway.on_crash = self.errors.append
        self.gateway = gateway
        gateway.start(watermark_us)
        return gateway

    def send(self, decision: AnyDecision) -> None:
        """Give the gateway a decision, in the loop."""
        gateway = self.gateway
        assert gateway is not None
        self.call_soon(lambda: gateway.send(decision))

    def wait(
        self, wanted: Callable[[AnyEvent], bool], since: int = 0, within_s: float = 10
    ) -> AnyEvent:
        """The first event, from number *since* on, that is *wanted*."""
        until_s = time.monotonic() + within_s
        at = since
        with self._changed:
            while True:
                while at < len(self.events):
                    if wanted(self.events[at]):
                        return self.events[at]
                    at += 1
                if not self._changed.wait(until_s - time.monotonic()):
                    told = "\n".join(str(event) for event in self.events[-20:])
                    raise AssertionError(f"it did not come in time; the last events:\n{told}")

    def wait_for(self, kind: type, since: int = 0, within_s: float = 10, **fields: object):
        """The first event of that kind with those fields."""
        return self.wait(
            lambda event: (
                isinstance(event, kind)
                and all(getattr(event, name) == value for name, value in fields.items())
            ),
            since,
            within_s,
        )

    # -- inside

    def _woken(self) -> Iterable[AnyEvent]:
        self._wake.recv(4096)
        return ()

    def _run(self) -> None:
        next_tick = 0.0
        while not self._ended:
            try:
                ready = self._selector.select(TICK_S)
                for key, _ in ready:
                    self._keep(key.data())
                while not self._calls.empty():
                    self._keep(self._calls.get_nowait()())
                if self.gateway is not None and self.ticking and time.monotonic() > next_tick:
                    next_tick = time.monotonic() + TICK_S
                    self._keep(self.gateway.tick(self.now_us()))
            except Exception as error:
                self.errors.append(error)
                raise

    def _keep(self, events: Iterable[AnyEvent]) -> None:
        batch = list(events)
        if batch:
            with self._changed:
                self.events.extend(batch)
                self.batches.append(batch)
                self._changed.notify_all()
