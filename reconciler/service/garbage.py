"""
The collector of garbage, shared by all services of a process.

A full collection stops every thread for tens of milliseconds, and it would come in the middle of a
decision. So it is off while a service runs, and each service calls it when its loop is idle.
"""

from __future__ import annotations

import gc
import threading

FULL_EVERY_US = 60_000_000

_lock = threading.Lock()
_running = 0
_full_us = 0
_was_on = True


def enter() -> None:
    """A service starts: what is there now stays; nothing is collected by itself any more."""
    global _running, _was_on
    with _lock:
        if not _running:
            _was_on = gc.isenabled()
        _running += 1
        gc.collect()
        gc.freeze()
        gc.disable()


def leave() -> None:
    """A service has ended; after the last one the collector is as it was."""
    global _running
    with _lock:
        _running -= 1
        if not _running:
            gc.unfreeze()
            if _was_on:
                gc.enable()


def collect(now_us: int) -> None:
    """Of an idle loop: the young objects, and once a minute in the whole process everything."""
    global _full_us
    with _lock:
        full = now_us - _full_us > FULL_EVERY_US
        if full:
            _full_us = now_us
    gc.collect() if full else gc.collect(0)
