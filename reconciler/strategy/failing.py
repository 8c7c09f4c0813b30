"""How a strategy's failure is told: in one line for people, and whole for the log."""

from __future__ import annotations

import traceback
from pathlib import Path

from reconciler.errors import ConfigError
from reconciler.strategy.base import BadSignal

LONGEST_DETAIL = 400
OURS = frozenset(str(Path(__file__).with_name(name)) for name in ("runner.py", "base.py"))


def told(callback: str, error: BaseException) -> str:
    """``on_tick: ZeroDivisionError: division by zero (trend.py:14)``: where, what, and the line."""
    last = traceback.format_exception_only(error)[-1].strip()
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in OURS
    ]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    if isinstance(error, BadSignal):
        last = f"{callback}: {error}"
    elif not isinstance(error, (ConfigError, Stuck)):
        last = f"{callback}: {last}"
    else:
        last, where = str(error), ""
    return f"{last[:LONGEST_DETAIL]}{where}".encode(errors="replace").decode()


def whole(error: BaseException) -> str:
    """A traceback, as far as it can be stored."""
    text = "".join(traceback.format_exception(error))[-4000:]
    return text.encode(errors="replace").decode()


class Stuck(BaseException):
    """A callback did not come back in time."""
