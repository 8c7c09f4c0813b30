"""
Several accounts in one process: each its own service, on a thread of its own.

They share nothing but the process: a journal, a lock, a loop and an API each. One that fails stop
is said and left; the others go on, and the exit code tells of it in the end. Signals are the
process's and mean all of them.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from types import FrameType

from reconciler.core.events import Halted
from reconciler.errors import ReconcilerError
from reconciler.service.service import Service
from reconciler.service.telling import Say

STOP_WITHIN_S = 14.5  # all of them; the promise is 15 s
LOOK_S = 0.2


class Together:
    """
    Run services side by side until the last one has ended.

    Args:
        services: By the name of the account.
        say: The log of an account.
        failed: Accounts that could not even be made, and why.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        say: Callable[[str], Say],
        failed: Mapping[str, ReconcilerError] | None = None,
    ) -> None:
        self._services = dict(services)
        self._say = {name: say(name) for name in services}
        self._failures: dict[str, BaseException] = dict(failed or {})
        self._stop_by_s: float | None = None
        self._before: dict[int, object] = {}

    def run(self) -> int:
        """
        Run them all.

        Returns:
            The exit code: 0 if every account ended in order, else that of the first failure.
        """
        threads = {
            name: threading.Thread(target=self._one, args=(name,), name=f"account-{name}")
            for name in self._services
        }
        self.handle_signals()
        try:
            for thread in threads.values():
                thread.daemon = True  # one that hangs must not keep the process from ending
                thread.start()
            while alive := [name for name, thread in threads.items() if thread.is_alive()]:
                if self._stop_by_s is not None and time.monotonic() > self._stop_by_s:
                    return self._given_up(alive)
                threads[alive[0]].join(LOOK_S)
        finally:
            self._give_signals_back()
        return self.code()

    def stop(self, reason: str) -> None:
        """Stop all in order, side by side; asked twice, at once."""
        if self._stop_by_s is None:
            self._stop_by_s = time.monotonic() + STOP_WITHIN_S
        for service in self._services.values():
            service.stop(reason)

    def code(self) -> int:
        """The exit code so far."""
        for failure in self._failures.values():
            return failure.exit_code if isinstance(failure, ReconcilerError) else 1
        return 0

    def _one(self, name: str) -> None:
        try:
            self._services[name].run()
        except BaseException as failure:
            self._failures[name] = failure
            self._say[name]("critical", "account.fail", error=told(failure))

    def _given_up(self, alive: list[str]) -> int:
        """The time is over: what they have sent is in their journals, as after a crash."""
        for name in alive:
            self._say[name]("critical", "account.fail", error="did not stop in time")
        return self.code() or 1

    def handle_signals(self) -> None:
        """Take the signals of the process, from its main thread; before `run` they wait for it."""
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, _: FrameType | None) -> None:
            self.stop(signal.Signals(number).name)

        def halt(_: int, __: FrameType | None) -> None:
            for service in self._services.values():
                now_us = service.loop.now_us()
                service.loop.post([Halted(at_us=now_us, by="SIGUSR1", reason="signal")])

        def read_again(_: int, __: FrameType | None) -> None:
            for service in self._services.values():
                service.read_again()

        wanted = {
            signal.SIGTERM: stop,
            signal.SIGINT: stop,
            signal.SIGUSR1: halt,
            signal.SIGHUP: read_again,
        }
        for number, handler in wanted.items():
            before = signal.signal(number, handler)
            self._before.setdefault(number, before)

    def _give_signals_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def told(failure: BaseException) -> str:
    """A failure in one sentence."""
    if isinstance(failure, ReconcilerError):
        return str(failure)
    return f"{type(failure).__name__}: {failure}"
