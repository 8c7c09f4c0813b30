"""
The service, killed at a named point: `python -m tests.endtoend.kill_at POINT N -- run ...`

A point is a function of the product and a side of it. The N-th time that it is passed the process
kills itself with SIGKILL: no handler runs and nothing is flushed. The product knows nothing of it.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from reconciler.core.settings import Settings, Timing

#: Name -> module and the function in it.
PLACES: dict[str, tuple[str, str]] = {
    "create": ("reconciler.journal.care", "create"),
    "migrate": ("reconciler.journal.care", "_run_migrations"),
    "lock": ("reconciler.journal.lock", "Lock.take"),
    "open": ("reconciler.journal.writer", "Writer.open"),
    "check": ("reconciler.journal.writer", "check"),
    "verify": ("reconciler.journal.recovery", "verify"),
    "epoch": ("reconciler.journal.store", "Journal._begin_epoch"),
    "recover": ("reconciler.journal.store", "Journal.recover"),
    "connect": ("reconciler.bitmex.stream", "Stream._connect"),
    "said": ("reconciler.bitmex.gateway", "BitmexGateway.stream_said"),
    "synced": ("reconciler.bitmex.sync", "Sync._done"),
    "step": ("reconciler.service.engine", "Engine._step_all"),
    "engine": ("reconciler.service.engine", "Engine._record"),
    "record": ("reconciler.journal.store", "Journal.record"),
    "tell": ("reconciler.journal.store", "Journal.tell"),
    "send": ("reconciler.bitmex.gateway", "BitmexGateway.send"),
    "wire": ("reconciler.bitmex.wire", "Wire.write"),
    "write": ("reconciler.bitmex.connection", "Connection.write"),
    "read": ("reconciler.bitmex.connection", "Connection._read"),
    "answer": ("reconciler.bitmex.gateway", "BitmexGateway._settled"),
    "looked": ("reconciler.bitmex.lookups", "LookUps._look_up"),
    "snapshot": ("reconciler.journal.snapshots", "write"),
    "checkpoint": ("reconciler.journal.wal", "Wal.checkpoint"),
    "tip": ("reconciler.journal.files", "write_tip"),
    "backup": ("reconciler.journal.care", "copy"),
    "door": ("reconciler.service.asking", "Asking.set_target"),
}
SIDES = ("before", "after")
POINTS = tuple(f"{name}-{side}" for name in PLACES for side in SIDES)
#: Passed only while a journal is made.
FIRST = frozenset(f"{name}-{side}" for name in ("create", "migrate") for side in SIDES)
#: Passed once in a life.
ONCE = frozenset(
    f"{name}-{side}"
    for name in ("lock", "open", "check", "verify", "epoch", "recover", "connect", "synced")
    for side in SIDES
)
SNAPSHOT_EVERY = 40  # journal rows, so that a short life has snapshots
#: The exchange of a house in a hurry waits so many times shorter wherever a fault makes it wait.
HASTE = 3
#: So its services may be sure sooner. What is assumed of the venue holds of that exchange: it keeps
#: no request longer than `hold_us` behind its door.
TIMING = Timing(
    expires_after_us=2_000_000,
    in_flight_deadline_us=400_000,
    clock_margin_us=500_000,
    hold_us=1_000_000,
    read_lag_us=500_000,
    read_every_us=500_000,
)


def arm(point: str, number: int) -> None:
    """Die at the *number*-th passage of *point*."""
    name, _, side = point.partition("-")
    module_name, path = PLACES[name]
    owner: Any = importlib.import_module(module_name)
    *outer, last = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    raw = owner.__dict__[last]
    plain: Callable[..., Any] = raw.__func__ if isinstance(raw, classmethod) else raw
    passed = 0

    @functools.wraps(plain)
    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal passed
        passed += 1
        mine = passed == number
        if mine and side == "before":
            die()
        result = plain(*args, **kwargs)
        if mine:
            die()
        return result

    setattr(owner, last, classmethod(counted) if isinstance(raw, classmethod) else counted)


def die() -> None:
    """As if the plug was pulled."""
    os.kill(os.getpid(), signal.SIGKILL)


def hurry() -> None:
    """Snapshots often, and all that waits waits shorter, at the exchange too: see `TIMING`."""
    from reconciler.config import AppConfig
    from reconciler.paper.quirks import Quirks
    from reconciler.service import engine

    engine.SNAPSHOT_EVERY = SNAPSHOT_EVERY
    usual = AppConfig.core_settings
    seconds = Quirks.seconds

    def quick(self: AppConfig) -> Settings:
        return msgspec.structs.replace(usual(self), timing=TIMING)

    def short(self: Quirks, name: str, low: float, high: float) -> float:
        return seconds(self, name, low, high) / HASTE

    AppConfig.core_settings = quick  # type: ignore[method-assign]
    Quirks.seconds = short  # type: ignore[method-assign]


def be_generous() -> None:
    """
    A hundred times the requests, at the exchange and in what the service believes of it.

    A start costs six of the 120 a minute: services that are killed every second never trade.
    """
    from reconciler.bitmex.budget import MINUTE_RESERVE, SECOND_RESERVE, Bucket, Budget
    from reconciler.paper.limits import Limits

    Limits.PER_MINUTE, Limits.PER_SECOND = 12_000, 1_000
    usual = Budget.__init__

    def generous(self: Budget) -> None:
        usual(self)
        self.minute = Bucket(12_000, 60_000_000, MINUTE_RESERVE)
        self.second = Bucket(1_000, 1_000_000, SECOND_RESERVE)

    Budget.__init__ = generous  # type: ignore[method-assign]


def main() -> int:
    """Arm the point, then be the command."""
    from reconciler.cli import main as command

    point, number, _, *words = sys.argv[1:]
    arm(point, int(number))
    return command(words)


if __name__ == "__main__":
    sys.exit(main())
