"""How a strategy's failure is told: in one line for people, and whole for the log."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

from reconciler.errors import ConfigError
from reconciler.logs import masked
from reconciler.strategy.base import BadSignal

LONGEST_DETAIL = 400
OURS = frozenset(str(Path(__file__).with_name(name)) for name in ("runner.py", "base.py"))


def told(callback: str, error: BaseException, hidden: Iterable[str] = ()) -> str:
    """
    ``on_tick: ZeroDivisionError: division by zero (trend.py:14)``: where, what, and the line.

    Args:
        callback: Where it was raised.
        error: What was.
        hidden: Texts that are not to be seen, whatever was raised.
    """
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
    last = str(masked(last, hidden))  # before a cut leaves half of one
    return f"{last[:LONGEST_DETAIL]}{where}".encode(errors="replace").decode()


def whole(error: BaseException, hidden: Iterable[str] = ()) -> str:
    """A traceback, as far as it can be stored."""
    text = str(masked("".join(traceback.format_exception(error)), hidden))
    return text[-4000:].encode(errors="replace").decode()


class Stuck(BaseException):
    """A callback did not come back in time."""
