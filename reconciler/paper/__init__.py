"""
The paper exchange: BitMEX's REST and websocket protocol on loopback, with a market behind it.

It imports nothing of the rest of the project: two readings of the protocol check each other.
"""

from .auth import Key
from .serving import serve
from .venue import PaperExchange

__all__ = ["Key", "PaperExchange", "serve"]
