"""
How long a thread that computes may keep the interpreter, shared by all services of a process.

Python's own setting is 5 ms: each fill would wait that long for a strategy of any account.
"""

from __future__ import annotations

import sys
import threading

SHORT_S = 0.000_2

_lock = threading.Lock()
_running = 0
_before_s = 0.0


def enter() -> None:
    """Strategies start: the trading loop gets the interpreter soon."""
    global _running, _before_s
    with _lock:
        if not _running:
            _before_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_before_s, SHORT_S))
        _running += 1


def leave() -> None:
    """Strategies have ended; after the last ones the interval is what it was."""
    global _running
    with _lock:
        _running -= 1
        if not _running:
            sys.setswitchinterval(_before_s)
