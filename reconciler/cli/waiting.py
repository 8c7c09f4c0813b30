"""Wait until symbols are as they should be: looking at the journal, or at the service."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reconciler.cli import output
from reconciler.cli.app import Ask
from reconciler.cli.doing import closing, tell
from reconciler.errors import NotFound, Unreachable, WaitTimeout

ON_TARGET = "on-target"
STATES = ("idle", "placing", "working", "cancelling", "filled")


def wait_for(
    ask: Ask,
    symbols: list[str],
    what: str,
    limit_s: int | None,
    *,
    versions: Mapping[str, int] | None = None,
) -> None:
    """Look until every symbol is as it should be, with these versions of their targets or newer."""
    least = versions or {}
    began = time.monotonic()
    with _rows_now(ask) as look:
        while True:
            rows = {row["symbol"]: row for row in look()}
            chosen = symbols or [name for name, row in rows.items() if row["target"] is not None]
            for name in chosen:
                if name not in rows:
                    raise NotFound(f"{name[:40]!r} has never had a target", symbol=name[:40])
            left = [n for n in chosen if not _is(rows[n], what, least.get(n, 0))]
            seconds = time.monotonic() - began
            looked_after = bool(left) or what != ON_TARGET or _is_looked_after(ask)
            if not left and looked_after:
                break
            if not looked_after and limit_s is not None and seconds >= limit_s:
                raise Unreachable(
                    "no service is running: what the journal says of the venue may be old",
                    next_step="Start `reconciler run`.",
                )
            if limit_s is not None and seconds >= limit_s:
                raise WaitTimeout(
                    "; ".join(_still(rows[name], what, seconds) for name in left),
                    next_step="See `reconciler status`, or wait longer.",
                    symbols=", ".join(left),
                )
            time.sleep(0.1)
    for name in chosen:
        row = rows[name]
        held = f"on target {row['target']:+d}" if what == ON_TARGET else row["state"]
        tell(ask, f"{name}  {held} after {seconds:.1f} s", row)


def _is_looked_after(ask: Ask) -> bool:
    """Whether a service keeps the journal up to the venue, so that "on target" is true now."""
    if ask.api is not None:
        return True
    from reconciler.journal.lock import is_held
    from reconciler.service.servicefile import ServiceFile

    database = ask.settings().database_path
    found = ServiceFile(database).read()
    return is_held(database) and (found is None or _lives(found.pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _rows_now(ask: Ask) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What tells the state of all symbols: the journal, or the service that was named."""
    if ask.api is not None:
        from reconciler.cli import wiring

        door = wiring.running(ask)
        assert door is not None
        with closing(door):
            yield lambda: list(door.status()["symbols"])
        return
    from reconciler.journal import History

    with History.open(ask.settings().database_path) as journal:
        yield lambda: journal.status().dicts()


def _is(row: output.Row, what: str, version: int) -> bool:
    if row["version"] < version:
        return False
    if what != ON_TARGET:
        return bool(row["state"] == what)
    return row["target"] is not None and row["state"] == "idle" and not row["waiting_for"]


def _still(row: output.Row, what: str, seconds: float) -> str:
    if row["target"] is None and what == ON_TARGET:
        return f"{row['symbol']}  has no target"
    gap = f"gap {row['gap']:+d}, " if row["gap"] is not None else ""
    waiting = f"waiting for {row['waiting_for']}" if row["waiting_for"] else "waiting for nothing"
    return f"{row['symbol']}  still {row['state']} after {seconds:.1f} s: {gap}{waiting}"
