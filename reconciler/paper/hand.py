"""
The exchange's own hand, for whoever runs it in the same process: a test moves prices, fills orders,
switches faults, and reads the truth.

Everything is done by the exchange's own door (`control`), in the exchange's thread, between two
requests. So nobody sees half of it, and what can be done here can be done by HTTP, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

#: Executions that changed a position.
MOVING = frozenset({"Trade", "Liquidation", "Bankruptcy", "Settlement"})

Row = dict[str, Any]
#: (verb, path under /paper/, fields) -> what the control door answers. Raises ValueError for a no.
Ask = Callable[[str, str, Mapping[str, object]], Any]


class Hand:
    """
    What one may do to a running exchange beside trading on it.

    Prices in rows are `Decimal`, or whole numbers; contracts and money are whole numbers.
    `account` is everywhere the first account unless another is named.

    Every method raises ValueError, in the exchange's words, when it refuses; nothing changed then.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def do(self, what: str, **fields: object) -> Any:
        """Any control request: ``do("funding", symbol="XBTUSD")`` is ``POST /paper/funding``."""
        return self._ask("POST", what, fields)

    # -- the market ----------------------------------------------------------------------------

    def move(self, symbol: str, price: Decimal | int | str) -> Row:
        """
        Put the best bid at *price*, the best ask a tick above; resting orders it crosses fill.

        Returns:
            symbol, bidPrice, askPrice, markPrice, lastPrice, timestamp.
        """
        return self._row("price", symbol=symbol, price=str(price))

    def fill(self, order: Row | str, contracts: int | None = None) -> Row:
        """
        Fill a resting order, all of it or some contracts, whatever stands before it in the queue.

        Args:
            order: The row that placing it returned, or its orderID or clOrdID.
        """
        name = order if isinstance(order, str) else str(order["orderID"])
        return self._row("fill", order=name, contracts=contracts)

    def trade(self, symbol: str, contracts: int, account: int | None = None) -> Row:
        """Trade at market by hand on an account: somebody's order that your program never sent."""
        side = "Buy" if contracts > 0 else "Sell"
        return self._row(
            "trade", symbol=symbol, side=side, orderQty=abs(contracts), account=account
        )

    # -- faults --------------------------------------------------------------------------------

    def fault(
        self, name: str, probability: Decimal | float | str = 1, count: int | None = None,
        symbol: str | None = None,
    ) -> Row:  # fmt: skip
        """
        Switch a fault; what it was set to before is over.

        Args:
            name: As in docs/paper-faults.md, or ``all``.
            probability: That it strikes, each time that it could; 0 switches it off.
            count: How often at most.
            symbol: For orders and frames of this one alone.
        """
        return self._row(
            "fault", name=name, probability=str(probability), count=count, symbol=symbol
        )

    def faults(self) -> list[Row]:
        """Every fault with its description, setting, and how often it has struck."""
        found: list[Row] = self._ask("GET", "faults", {})
        return found

    def disconnect(self) -> int:
        """Close every websocket; how many there were."""
        return int(self._row("disconnect")["closed"])

    # -- the truth -----------------------------------------------------------------------------

    def truth(self, account: int | None = None) -> Row:
        """All that ever happened on an account: orders, executions, positions, requests."""
        fields = {} if account is None else {"account": account}
        found: Row = self._ask("GET", "truth", fields)
        return found

    def orders(self, symbol: str | None = None, account: int | None = None) -> list[Row]:
        """Every order of an account, oldest first, the dead ones too."""
        return _of(symbol, self.truth(account)["orders"])

    def open_orders(self, symbol: str | None = None, account: int | None = None) -> list[Row]:
        """The orders that may still trade."""
        # A Close order without quantity has no leavesQty before it triggers: it is open.
        return [row for row in self.orders(symbol, account) if row.get("leavesQty", 1)]

    def fills(self, symbol: str | None = None, account: int | None = None) -> list[Row]:
        """Executions that moved contracts, oldest first: trades, liquidations, settlements."""
        rows = self.truth(account)["executions"]
        return _of(symbol, [row for row in rows if row["execType"] in MOVING])

    def position(self, symbol: str, account: int | None = None) -> int:
        """Contracts held; below zero is short."""
        return int(self.truth(account)["positions"].get(symbol, 0))

    def requests(self, account: int | None = None) -> list[Row]:
        """Every order that a POST asked for, the status of its answer, and when it arrived."""
        found: list[Row] = self.truth(account)["requests"]
        return found

    def _row(self, what: str, **fields: object) -> Row:
        found: Row = self._ask("POST", what, fields)
        return found


def _of(symbol: str | None, rows: list[Row]) -> list[Row]:
    return [row for row in rows if symbol is None or row["symbol"] == symbol]
