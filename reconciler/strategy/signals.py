"""A signal: what a strategy thinks of a symbol. Portfolios make targets of signals."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Signal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One opinion. The newest of a strategy about a symbol replaces the one before.

    Attributes:
        strategy: Identifier of the instance, as ``EmaCross_XBTUSD_15s_1``.
        strength: Signed and finite; a portfolio says how many contracts 1 is.
        price: That the strategy saw when it made up its mind.
    """

    strategy: str
    symbol: str
    strength: Decimal
    reason: str = ""
    price: Decimal | None = None
