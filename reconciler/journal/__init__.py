"""
The journal: what happened, on disk, and every row that follows from it.

Everything that imports SQLAlchemy is in this folder, and only `Journal`, which writes, needs it:
it is imported when it is first used, so that a command that only reads does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.journal.history import History
from reconciler.journal.replay import replay

if TYPE_CHECKING:
    from reconciler.journal.recovery import Recovered as Recovered
    from reconciler.journal.store import Journal as Journal

__all__ = ["History", "Journal", "Recovered", "replay"]


def __getattr__(name: str) -> object:
    if name == "Journal":
        from reconciler.journal.store import Journal

        return Journal
    if name == "Recovered":
        from reconciler.journal.recovery import Recovered

        return Recovered
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
