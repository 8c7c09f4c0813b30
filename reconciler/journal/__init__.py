"""
The journal: what happened, on disk, and every row that follows from it.

Everything that imports SQLAlchemy is in this folder. Names are imported when they are first used,
so that a command that only reads does not pay for what only the service needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.journal.history import History as History
    from reconciler.journal.replay import replay as replay
    from reconciler.journal.store import Journal as Journal
    from reconciler.journal.store import Recovered as Recovered

__all__ = ["History", "Journal", "Recovered", "replay"]


def __getattr__(name: str) -> object:
    if name == "History":
        from reconciler.journal.history import History

        return History
    if name == "replay":
        from reconciler.journal.replay import replay

        return replay
    if name in {"Journal", "Recovered"}:
        from reconciler.journal import store

        value: object = getattr(store, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
