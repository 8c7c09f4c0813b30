"""
The order path: from a decision to bytes on a warm connection, in the thread that decided.

Rule 1: one request is written once, on one connection, by one `send`. Nothing here repeats it:
no library, no redirect, no second connection.
Rule 2: not sent means proven: no connection, a deadline that passed, or a first `send` that took
no byte. Anything else without a whole answer is in doubt.
Rule 3: a connection belongs to whom took it from the idle list. The thread of a connection reads
the answers; the loop, or the sender thread, writes.
Rule 4: cancels go before new orders.

A connection costs some milliseconds to open, so two are kept open ("warm"). When none is idle, the
sender thread opens one.

Why not `requests`: `Session.post` takes 700 µs, most of it before the first byte; this takes 50.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable

from reconciler.venue import Host

from .answers import Failure, Reply
from .connection import CLOSED, Connection, named
from .net import Address, connect
from .outgoing import Job

WARM = 2
MOST = 8  # connections at a time
FULL_POLL_S = 0.5
WARM_POLL_S = 0.25
WARM_BACKOFF_MAX_S = 10.0

LATE = Failure(code="deadline", text="decided too long ago", unsent=True)
WITHDRAWN = Failure(code="withdrawn", text="stopped before it was sent", unsent=True)
CLOSING = Failure(code="closing", unsent=True)

#: Takes what became of a job, in any thread.
Settle = Callable[[Job, Reply | Failure], None]


class Wire:
    """Warm connections, and the queue for when there is none."""

    def __init__(
        self,
        to: Address,
        context: ssl.SSLContext | None,
        host: Host,
        settle: Settle,
        crashed: Callable[[BaseException], None],
        timeout_s: float,
    ) -> None:
        self.timeout_s = timeout_s
        self.settle = settle
        self.crashed = crashed
        self._to = to
        self._context = context
        self._host = host
        self._lock = threading.Lock()  # of all below
        self._work = threading.Condition(self._lock)  # the sender has something to do
        self._cold = threading.Condition(self._lock)  # the warmer has
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening = 0
        self._opened = 0
        self._urgent: deque[Job] = deque()
        self._orders: deque[Job] = deque()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._guard, args=(run,), name=name, daemon=True)
            for run, name in ((self._send, "bitmex-sender"), (self._warm, "bitmex-warmer"))
        ]

    def start(self) -> None:
        """Begin to keep connections warm."""
        for thread in self._threads:
            thread.start()

    def write(self, job: Job) -> Failure | None:
        """
        Send *job* now, or hand it to the sender thread. In the loop; never blocks.

        Returns:
            Why it is over already; None when it was sent or will be.
        """
        now_us = self._host.now_us()
        late = 0 < job.deadline_us < now_us
        failure: Failure | None = CLOSED
        while failure is CLOSED:
            with self._lock:
                if self._closing:
                    return CLOSING
                if late:
                    return LATE
                waiting = self._urgent or (self._orders and not job.urgent)
                if waiting or not self._idle:
                    (self._urgent if job.urgent else self._orders).append(job)
                    self._work.notify()
                    return None
                connection = self._idle.pop()
            failure = connection.write(job, now_us)
        return failure

    def withdraw(self) -> None:
        """Give up the orders that wait for a connection; cancels and heartbeats wait on."""
        with self._lock:
            jobs = list(self._orders)
            self._orders.clear()
        for job in jobs:
            self.settle(job, WITHDRAWN)

    def close(self, until_s: float) -> None:
        """Wait for answers until then, and end all connections and threads."""
        unsent = self._give_up()
        with self._lock:
            self._closing = True
            self._work.notify_all()
            self._cold.notify_all()
        for job in unsent:
            self.settle(job, CLOSING)
        while self._busy() and time.monotonic() < until_s:
            time.sleep(0.02)
        with self._lock:
            connections = list(self._all)
        for connection in connections:
            connection.shut()
        for thread in [*self._threads, *(c.thread for c in connections)]:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(until_s - time.monotonic(), 0.5))

    def _busy(self) -> bool:
        with self._lock:
            return len(self._idle) < len(self._all)

    def warm(self) -> int:
        """Connections that a request could take at once."""
        with self._lock:
            return len(self._idle)

    # -- for connections

    def take(self, connection: Connection) -> bool:
        """Take that one out of the idle list, if nobody else did."""
        with self._lock:
            if connection in self._idle:
                self._idle.remove(connection)
                return True
            return False

    def give(self, connection: Connection) -> None:
        """Put it back."""
        with self._lock:
            if connection in self._all:
                self._idle.append(connection)
            if self._urgent or self._orders:
                self._work.notify()

    def gone(self, connection: Connection) -> None:
        """It ends."""
        with self._lock:
            self._all.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._work.notify()
            self._cold.notify()

    # -- the two threads

    def _guard(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self.crashed(error)

    def _open(self) -> Connection:
        """A new connection, owned by the caller. Its place in `_opening` is taken already."""
        try:
            sock = connect(self._to, self._context)
        finally:
            with self._lock:
                self._opening -= 1
        with self._lock:
            self._opened += 1
            connection = Connection(self, sock, self._opened)
            if self._closing:
                sock.close()
                raise OSError("closing")
            self._all.add(connection)
        connection.thread.start()
        return connection

    def _send(self) -> None:
        """Send what found no idle connection."""
        while True:
            with self._lock:
                while not (self._closing or self._urgent or self._orders):
                    self._work.wait()
                if self._closing:
                    return
                connection = self._idle.pop() if self._idle else None
                full = connection is None and len(self._all) + self._opening >= MOST
                if full:
                    self._work.wait(FULL_POLL_S)
                elif connection is None:
                    self._opening += 1
            if full:
                self._expire()
                continue
            fresh = connection is None
            try:
                connection = connection or self._open()
            except OSError as error:
                failure = Failure(code="unreachable", text=named(error), unsent=True)
                for job in self._give_up():
                    self.settle(job, failure)
                continue
            self._send_next(connection, fresh)

    def _send_next(self, connection: Connection, fresh: bool) -> None:
        """Send the most urgent job on *connection*; the choice is made now, when it can go."""
        with self._lock:
            queue = self._urgent or self._orders
            job = queue.popleft() if queue else None
        now_us = self._host.now_us()
        if job is None:
            self.give(connection)
            return
        if 0 < job.deadline_us < now_us:
            self.give(connection)
            self.settle(job, LATE)
            return
        failure = connection.write(job, now_us)
        if failure is CLOSED and not fresh:
            with self._lock:
                queue.appendleft(job)
        elif failure is not None:
            self.settle(job, failure)

    def _expire(self) -> None:
        """Give up what waited too long while all connections were busy."""
        now_us = self._host.now_us()
        with self._lock:
            late = [job for job in self._orders if 0 < job.deadline_us < now_us]
            for job in late:
                self._orders.remove(job)
        for job in late:
            self.settle(job, LATE)

    def _give_up(self) -> list[Job]:
        """Take all that waits."""
        with self._lock:
            jobs = [*self._urgent, *self._orders]
            self._urgent.clear()
            self._orders.clear()
        return jobs

    def _warm(self) -> None:
        """Keep WARM connections, and one idle."""
        failures = 0
        while True:
            with self._lock:
                while not self._closing and not self._too_few():
                    self._cold.wait(WARM_POLL_S)  # nobody wakes us from the order path
                if self._closing:
                    return
                self._opening += 1
            try:
                self.give(self._open())
                failures = 0
            except OSError:
                failures += 1
                pause = random.uniform(0, min(0.25 * 2 ** min(failures, 8), WARM_BACKOFF_MAX_S))
                with self._lock:
                    self._cold.wait_for(lambda: self._closing, pause)

    def _too_few(self) -> bool:
        count = len(self._all) + self._opening
        return count < WARM or (not self._idle and not self._opening and count < MOST)
