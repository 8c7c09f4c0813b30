"""Buy and hold: the same opinion for ever."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta

from reconciler.strategy.base import Strategy


class BuyAndHold(Strategy):
    """Leans by *strength* on each of its symbols, from the start on."""

    strength: Annotated[Decimal, Meta(ge=-1_000_000, le=1_000_000)] = Decimal(1)

    def on_start(self) -> None:
        for symbol in self.symbols:
            self.signal(symbol, self.strength, "buy and hold")
