"""Say which position to hold: the reconciler makes the account get there, and can prove it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reconciler.remote import Client as Client

__version__ = "0.1.0"
__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    """`Client`, once somebody asks for it: the command line starts without it."""
    if name == "Client":
        from reconciler.remote import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
