"""
BitMEX, behind the port `reconciler.venue.Venue`. No name of its protocol is known outside.

Bottom up: `rows`, `messages`, `tables`, `answers`, `budget`, `clock`, `vitals`, `quotes`,
`session`, `signing`, `outgoing`, `public_messages` and `public_rows` are pure; `net`, `stream`,
`connection`, `wire`, `rest` and `small_loop` own sockets and threads; `sync`, `lookups` and
`gateway` put them together, and `public` does so for market data, which needs no key.
"""

from .config import BitmexConfig, addresses
from .gateway import BitmexGateway
from .public import PublicFeed

__all__ = ["BitmexConfig", "BitmexGateway", "PublicFeed", "addresses"]
