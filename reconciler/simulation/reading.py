"""The reader of the real gateway in virtual time: its look-ups wait without a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from reconciler.bitmex.answers import Failure, Reply
from reconciler.bitmex.rest import API, Exchange, Reader, ReadFailed
from reconciler.venue import Host

if TYPE_CHECKING:
    from reconciler.simulation.network import Network


class _Pause(BaseException):
    """A look-up waits for an answer. Its task is run again, from the start, when that is there."""


class SimReader(Reader):
    """
    Runs the real look-ups in virtual time.

    A task is run until it needs an answer that is not there; that is fetched, and the task runs
    again with all the answers so far. Tasks do nothing but ask and hand over, so this is the same
    as waiting.
    """

    def __init__(
        self,
        network: Network,
        host: Host,
        exchanged: Callable[[Exchange], None],
        redact: Callable[[bytes], bytes],
    ) -> None:
        self._network = network
        self._host = host
        self._exchanged = exchanged
        self._redact = redact
        self._tasks = deque()
        self._answers: list[bytes | ReadFailed] = []
        self._at = 0
        self._busy = False
        self._wanted: Callable[[], bool] = lambda: True
        self.dead = False
        self.not_before_us = 0
        self.sent = self.sent_orders = 0
        self.offset_us = 0

    def ask(self, task: Callable[[], None]) -> None:
        """Queue *task*."""
        self._tasks.append(task)
        if not self._busy:
            self._busy = True
            self._network.agenda.later(50, self._run)

    def _run(self) -> None:
        if self.dead:
            return
        self._at = 0
        try:
            self._tasks[0]()
        except _Pause:
            return
        self._tasks.popleft()
        self._answers = []
        if self._tasks:
            self._network.agenda.later(50, self._run)
        else:
            self._busy = False

    def _get(self, path: str, query: Mapping[str, object], wanted: Callable[[], bool]) -> bytes:
        if self._at < len(self._answers):
            answer = self._answers[self._at]
            self._at += 1
            if isinstance(answer, ReadFailed):
                raise answer
            return answer
        self._wanted = wanted
        self._send(f"{API}{path}?{urlencode(query, quote_via=quote)}")
        raise _Pause

    def _send(self, target: str) -> None:
        """Wait for the request budget, then ask."""
        if self.dead:
            return
        agenda = self._network.agenda
        if not self._wanted():
            self._answers.append(ReadFailed(Failure(code="abandoned", unsent=True)))
            agenda.later(1, self._run)
            return
        wait_us = self.not_before_us - self._host.now_us()
        if wait_us > 0:
            agenda.later(min(wait_us, 250_000), partial(self._send, target))
            return
        sent, sent_orders, sent_us = self.sent, self.sent_orders, self._host.now_us()

        def came(reply: Reply | Failure) -> None:
            if self.dead:
                return
            self._exchanged(
                Exchange(
                    reply=reply,
                    sent=sent,
                    sent_orders=sent_orders,
                    sent_us=sent_us,
                    received_us=self._host.now_us(),
                )
            )
            whole = isinstance(reply, Reply) and reply.status == 200
            self._answers.append(
                reply.body if isinstance(reply, Reply) and whole else ReadFailed(reply)
            )
            self._run()

        self._network.request(target, came)
