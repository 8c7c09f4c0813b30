"""
One keep-alive connection: written to by its owner, read by its own thread.

The thread sleeps on the socket. It wakes for an answer, or because the venue closed the
connection, which then leaves the pool before anybody writes to it.
"""

from __future__ import annotations

import http.client
import io
import random
import select
import socket
import ssl
import threading
import time
from typing import Protocol

from .answers import Failure, Reply
from .net import TimedReader
from .outgoing import Job

IDLE_S = (40.0, 55.0)  # then it is renewed, before the venue would close it; drawn for each
POLL_S = 0.5
BODY_MAX = 8 * 1024 * 1024

CLOSED = Failure(code="closed", text="the connection was closed", unsent=True)

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError)


class Pool(Protocol):
    """What a connection asks of those who own it."""

    timeout_s: float

    def take(self, connection: Connection) -> bool:
        """Take that one out of the idle list, if nobody else did."""

    def give(self, connection: Connection) -> None:
        """Put it back."""

    def gone(self, connection: Connection) -> None:
        """It ends."""

    def settle(self, job: Job, answer: Reply | Failure) -> None:
        """What became of *job*."""

    def crashed(self, error: BaseException) -> None:
        """The thread of a connection died of an error nobody foresaw."""


class Connection:
    """One keep-alive connection and the thread that reads its answers."""

    def __init__(self, pool: Pool, sock: socket.socket, number: int) -> None:
        sock.settimeout(0)
        self._pool = pool
        self._sock = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._lock = threading.Lock()  # writing is finished before reading begins
        self._job: Job | None = None
        self._dead = False
        self._used_s = time.monotonic()
        self._idle_s = random.uniform(*IDLE_S)
        self.thread = threading.Thread(
            target=self._run, name=f"bitmex-answers-{number}", daemon=True
        )

    def write(self, job: Job, now_us: int) -> Failure | None:
        """
        Send the whole request, once. Never blocks. The caller owns this connection.

        Returns:
            None when it is sent and its answer will be settled; else why not, and this
            connection ends. CLOSED when it was closed before: another one may be tried.
        """
        with self._lock:
            if not self._usable():
                self._end()
                return CLOSED
            job.sent_us, job.sent_ns = now_us, time.monotonic_ns()
            self._job = job
            try:
                size = self._sock.send(job.data)
            except OSError as error:
                self._job = None
                self._end()
                # A plain send that fails took nothing; of a TLS record a part may have left.
                return Failure(code="reset", text=named(error), unsent=not self._tls)
            if size < len(job.data):
                self._job = None
                self._end()
                return Failure(code="short_write", text=f"{size} of {len(job.data)} bytes left")
        return None

    def shut(self) -> None:
        """Wake the thread to its end."""
        self._dead = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already

    def _end(self) -> None:
        self.shut()
        self._pool.gone(self)

    def _usable(self) -> bool:
        """Whether the venue has neither closed it nor said anything unasked."""
        if self._dead:
            return False
        try:
            if self._tls:
                self._sock.recv(1)  # session tickets may be there to read, and no data
            else:
                self._sock.recv(1, socket.MSG_PEEK)
        except _WOULD_BLOCK:
            return True
        except OSError:
            return False
        return False

    # -- the thread

    def _run(self) -> None:
        try:
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            while not self._dead:
                ready = bool(poll.poll(POLL_S * 1000))
                with self._lock:
                    job = self._job
                if job is not None:
                    self._answer(job, ready)
                elif ready or time.monotonic() - self._used_s > self._idle_s:
                    if self._pool.take(self):  # else somebody is about to write
                        if ready and self._usable_now():
                            self._pool.give(self)
                        else:
                            self._end()
        except BaseException as error:
            self._end()
            self._pool.crashed(error)
        finally:
            with self._lock:
                self._sock.close()

    def _usable_now(self) -> bool:
        with self._lock:
            return self._usable()

    def _answer(self, job: Job, ready: bool) -> None:
        until_s = job.sent_ns / 1_000_000_000 + self._pool.timeout_s
        if not ready and time.monotonic() < until_s:
            return
        answer, reusable = self._read(until_s)
        self._job = None
        self._used_s = time.monotonic()
        if reusable:
            self._sock.settimeout(0)
            self._pool.give(self)  # before the answer is known: it may lead to the next request
        else:
            self._end()
        self._pool.settle(job, answer)

    def _read(self, until_s: float) -> tuple[Reply | Failure, bool]:
        """One answer, and whether another one may follow on this connection."""
        raw = TimedReader(self._sock, until_s, BODY_MAX)
        reader = _Kept(raw, 16_384)
        try:
            response = http.client.HTTPResponse(_Socket(reader))  # type: ignore[arg-type]
            response.begin()
            framed = response.length is not None or response.chunked
            body = response.read()
        except TimeoutError:
            return Failure(code="timeout", text="no whole answer in time"), False
        except http.client.RemoteDisconnected:
            return Failure(code="no_answer", text="closed without an answer"), False
        except http.client.IncompleteRead:
            return Failure(code="cut_off", text="the answer was cut off"), False
        except (http.client.HTTPException, ValueError) as error:
            # Its text may repeat what came, and that may repeat our own headers.
            return Failure(code="not_http", text=type(error).__name__), False
        except OSError as error:
            return Failure(code="reset", text=named(error)), False
        if not framed:  # or http.client took a cut-off head for a whole one
            return Failure(code="cut_off", text="an answer without a length"), False
        raw.ended = True
        reusable = not response.will_close and not reader.peek(1)
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(status=response.status, headers=headers, body=body), reusable


class _Kept(io.BufferedReader):
    """A reader that http.client can't close: what came too much must still be seen."""

    def close(self) -> None:
        pass


class _Socket:
    """As much of a socket as http.client asks for."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self._reader = reader

    def makefile(self, mode: str) -> io.BufferedReader:
        return self._reader


def named(error: BaseException) -> str:
    """An error in a few words."""
    text = str(error)
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__
