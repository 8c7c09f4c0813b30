"""
Signals of the first moments of `run`, kept for a service that is not there yet.

Its own handlers come with it, half a second after the process. Until then the usual ones are in
force: a halt by SIGUSR1 would end the process, and whoever watches over it would start it again,
without the halt.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

KEPT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
STOPS = (signal.SIGTERM, signal.SIGINT)

_seen: list[int] = []
_before: dict[int, Any] = {}


def listen() -> None:
    """Keep what comes from now on. A second word to stop ends the process at once."""
    if threading.current_thread() is threading.main_thread() and not _before:
        for number in KEPT:
            _before[number] = signal.signal(number, _keep)


def _keep(number: int, _: object) -> None:
    if stop_asked() and number in STOPS:
        raise KeyboardInterrupt
    _seen.append(number)


def stop_asked() -> str:
    """The name of the signal that means an orderly stop, if one has come."""
    return next((signal.Signals(number).name for number in _seen if number in STOPS), "")


def ended(say: Callable[..., None]) -> bool:
    """
    The service has its own handlers by now: it is given what came before.

    Returns:
        Whether that was to stop, and no more: nothing has begun, and nothing does. A halt is stored
        first: the next start must know of it.
    """
    if (why := stop_asked()) and signal.SIGUSR1 not in _seen:
        say("info", "service.stop", reason=f"{why}, before it began")
        return True
    _raise_again()
    return False


def not_for_us() -> None:
    """It is another command, which takes signals as usual."""
    _give_back()
    _raise_again()


def over() -> None:
    """What was in force before is so again."""
    _give_back()
    _seen.clear()


def _give_back() -> None:
    for number, before in _before.items():
        signal.signal(number, before)
    _before.clear()


def _raise_again() -> None:
    seen, _seen[:] = list(_seen), []
    for number in seen:
        signal.raise_signal(number)
