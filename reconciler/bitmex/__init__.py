"""
BitMEX, behind the port `reconciler.venue.Venue`. No name of its protocol is known outside.

Bottom up: `rows`, `messages`, `tables`, `answers`, `budget`, `clock`, `vitals`, `quotes`,
`session`, `signing` and `outgoing` are pure; `net`, `stream`, `connection`, `wire` and `rest` own
sockets and threads; `sync`, `lookups` and `gateway` put them together.
"""

from .config import BitmexConfig, addresses
from .gateway import BitmexGateway

__all__ = ["BitmexConfig", "BitmexGateway", "addresses"]
