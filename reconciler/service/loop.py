"""
The loop: one thread that owns the core, the writing connection and the gateway's sockets.

It waits for bytes, for events of other threads, or for the moment that the core asked to be woken
at; then it drains what is there and hands it to the engine as one batch, which is one commit.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from reconciler.core.events import AnyEvent, Tick
from reconciler.core.ledger import Ledger
from reconciler.core.targets import schedules
from reconciler.errors import Unreachable
from reconciler.service.clock import SteadyClock
from reconciler.service.engine import Engine
from reconciler.venue import Venue

T = TypeVar("T")
Call = Callable[[], Iterable[AnyEvent]]

BEAT_US = 250_000  # how often the venue's timers are looked at
IDLE_US = 1_000_000  # how often the house is kept


class Loop:
    """Implements `reconciler.venue.Host`."""

    def __init__(self) -> None:
        self._clock = SteadyClock()
        self._selector = selectors.DefaultSelector()
        self._calls: deque[tuple[Call, bool]] = deque()  # and whether it records by itself
        self._wake_in, self._wake_out = socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._asked: set[Future[Any]] = set()
        self._closed = False
        self._crash: BaseException | None = None
        self._until: list[tuple[Callable[[Ledger], bool], Future[bool], int]] = []
        self.housekeeping: Callable[[], None] | None = None
        self.thread: threading.Thread | None = None

    # -- for every thread ----------------------------------------------------------------------

    def now_us(self) -> int:
        """The time for events."""
        return self._clock.now_us()

    def post(self, events: Sequence[AnyEvent]) -> None:
        """Hand events over; they are stepped in this order, together."""
        self.call_soon(lambda: events)

    def call_soon(self, call: Call) -> None:
        """Run *call* in the loop and step what it returns."""
        self._queue(call, alone=False)

    def record(
        self, make: Callable[[Ledger], tuple[Sequence[AnyEvent], Callable[[Ledger], None]]]
    ) -> None:
        """As `ask`, and nobody waits for it."""

        def call() -> Iterable[AnyEvent]:
            assert self._engine is not None
            events, finish = make(self._engine.ledger)
            self._engine.handle(events)
            finish(self._engine.ledger)
            return ()

        self._queue(call, alone=True)

    def _queue(self, call: Call, *, alone: bool) -> None:
        self._calls.append((call, alone))
        with contextlib.suppress(BlockingIOError, OSError):  # awake already, or closed
            self._wake_out.send(b"\0")

    def ask(
        self,
        make: Callable[[Ledger], tuple[Sequence[AnyEvent], Callable[[Ledger], T]]],
        timeout_s: float = 10,
    ) -> T:
        """
        Run *make* on the ledger, record the events that it returns, then its second half.

        For doors: the answer is given after the commit, so what was acknowledged is on the disk.

        Raises:
            Exception: what *make* raised, and nothing was recorded then; or its second half, after
                it was. It is told to whoever asked: the service goes on.
            Unreachable: the service is stopping; nothing was recorded.
            TimeoutError: the loop is busy.
        """
        answer: Future[T] = Future()
        self._asked.add(answer)
        if self._closed:
            self._asked.discard(answer)
            raise Unreachable("the service is stopping")

        def call() -> Iterable[AnyEvent]:
            if not answer.set_running_or_notify_cancel():
                return ()
            assert self._engine is not None
            try:
                events, finish = make(self._engine.ledger)
            except Exception as refusal:  # of one question, whatever it is: nothing was done
                answer.set_exception(refusal)
                return ()
            try:
                self._engine.handle(events)
            except BaseException as failure:
                answer.set_exception(failure)
                raise
            try:
                answer.set_result(finish(self._engine.ledger))
            except Exception as refusal:  # that was recorded
                answer.set_exception(refusal)
            return ()

        self._queue(call, alone=True)
        try:
            return answer.result(timeout_s)
        except TimeoutError:
            answer.cancel()  # it must not be done after we said that it was not
            raise
        finally:
            self._asked.discard(answer)

    def when(self, condition: Callable[[Ledger], bool], timeout_s: float) -> bool:
        """Wait, in another thread, until *condition* holds of the ledger; False: it never did."""
        answer: Future[bool] = Future()
        end_us = self.now_us() + int(timeout_s * 1_000_000)

        def call() -> Iterable[AnyEvent]:
            self._until.append((condition, answer, end_us))
            return ()

        self.call_soon(call)
        try:
            return answer.result(timeout_s + 1)
        except TimeoutError:
            return False

    def crash(self, error: BaseException) -> None:
        """A thread died: the loop raises its error and ends."""
        self._crash = self._crash or error
        self.call_soon(tuple)

    # -- in the loop only ----------------------------------------------------------------------

    def add_reader(self, fileno: int, read: Call) -> None:
        """Call *read* whenever *fileno* has bytes."""
        self._selector.register(fileno, selectors.EVENT_READ, read)

    def remove_reader(self, fileno: int) -> None:
        """Undo `add_reader`."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(fileno)

    _engine: Engine | None = None
    beat_us = BEAT_US

    def run(self, engine: Engine, venue: Venue | None, done: Callable[[], bool]) -> None:
        """
        Turn until *done*.

        Raises:
            Whatever the core, the journal or a thread of the gateway raised: a fail stop.
        """
        self._engine = engine
        self.thread = threading.current_thread()
        next_beat_us = next_idle_us = 0
        while not done():
            now_us = self.now_us()
            wake_us = min(engine.due_us(), next_beat_us, next_idle_us)
            timeout_s = 0 if self._calls else max(0, wake_us - now_us) / 1_000_000
            ready = self._selector.select(timeout_s)
            events: list[AnyEvent] = []
            for key, _ in ready:
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        self._wake_in.recv(4096)
                else:
                    events.extend(key.data())
            if events:
                engine.handle(events)
            if self._calls:
                self._run_calls(engine)
            engine.use_quotes()
            now_us = self.now_us()
            if engine.due_us() <= now_us:
                self._keep_time(engine, now_us)
            if now_us >= next_beat_us:
                next_beat_us = now_us + self.beat_us
                if venue is not None:
                    engine.handle(venue.tick(now_us))
            overdue = now_us >= next_idle_us + 5 * IDLE_US  # it is never quiet: now, then
            if now_us >= next_idle_us and (overdue or not ready):
                next_idle_us = now_us + IDLE_US
                if self.housekeeping is not None:
                    self.housekeeping()
            if self._until:
                self._answer_waiters(engine.ledger, now_us)
            if self._crash is not None:
                raise self._crash

    def close(self) -> None:
        """Let go of the sockets, and of those who still wait for an answer."""
        self._closed = True
        for asked in tuple(self._asked):
            if not asked.done():
                asked.set_exception(Unreachable("the service is stopping"))
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        for _, answer, _ in self._until:
            answer.set_result(False)

    def _run_calls(self, engine: Engine) -> None:
        """What other threads have posted is one batch, up to a call that records by itself."""
        events: list[AnyEvent] = []
        for _ in range(len(self._calls)):
            call, alone = self._calls.popleft()
            if alone and events:
                engine.handle(events)
                events = []
            events.extend(call())
        if events:
            engine.handle(events)

    @staticmethod
    def _keep_time(engine: Engine, now_us: int) -> None:
        """A moment that the core asked for; rows that are due, each after what came before it."""
        if engine.ledger.next_wake_us() <= now_us:
            engine.handle([Tick(at_us=now_us)])
        while (event := schedules.next_event(engine.ledger, now_us)) is not None:
            if engine.failed:
                return  # it takes in nothing: the row would be due for ever
            engine.handle([event])

    def _answer_waiters(self, ledger: Ledger, now_us: int) -> None:
        still = []
        for condition, answer, end_us in self._until:
            if condition(ledger):
                answer.set_result(True)
            elif now_us >= end_us:
                answer.set_result(False)
            else:
                still.append((condition, answer, end_us))
        self._until = still
