"""
Do the books of the venue balance? Contracts and money over all accounts, to the last unit.

Every trade has two sides with opposite costs, so contracts add up to nothing in every symbol, and
in every currency

    deposits = wallets - costs of what is held + fees + odd units

over members, house and engine (which holds the insurance fund). Fees are what members paid the
venue. The odd units are all that rounding leaves over, in three places and nowhere else: funding,
where each payment is truncated toward zero; and the settlement of positions that are no whole lots
(the lot was raised while they were held), where values are truncated. Costs that are split between
the closed and the open part of a position lose nothing: what is cut off stays with the open part.

With prices in place of costs, wallets + unrealisedPnl say the same as long as positions are whole
lots: then the values of all positions at one mark add up to nothing, too.
"""

from __future__ import annotations

from typing import NamedTuple

from .account import Account
from .state import State


class Books(NamedTuple):
    """One currency of the venue, in minor units."""

    deposits: int
    wallets: int
    open_costs: int
    gains: int  # unrealised, at the venue's marks
    fees: int
    odd_units: int

    @property
    def gap(self) -> int:
        """What is missing (above zero) or too much; always nothing."""
        return self.deposits - (self.wallets - self.open_costs + self.fees + self.odd_units)

    @property
    def gap_at_mark(self) -> int:
        """The same at marks: nothing while all positions are whole lots."""
        return self.deposits - (self.wallets + self.gains + self.fees + self.odd_units)


def owners(state: State) -> list[Account]:
    """Everybody who can hold contracts."""
    return [*state.accounts.values(), state.house, state.engine]


def contracts(state: State, symbol: str) -> int:
    """Contracts of everybody together: always zero."""
    return sum(o.positions[symbol].qty for o in owners(state) if symbol in o.positions)


def books(state: State, currency: str) -> Books:
    """Add up a currency."""
    held = [
        p for o in owners(state) for p in o.positions.values()
        if p.instrument.settle == currency and p.qty
    ]  # fmt: skip
    marks = {symbol: market.mark for symbol, market in state.markets.items()}
    values = [p.instrument.cost(p.qty, marks[p.instrument.symbol]) for p in held]
    costs = sum(p.unrealised_cost for p in held)
    return Books(
        deposits=sum(o.deposited.get(currency, 0) for o in owners(state)),
        wallets=sum(o.wallet_balance(currency) for o in owners(state)),
        open_costs=costs,
        gains=sum(values) - costs,
        fees=state.fees.get(currency, 0),
        odd_units=state.odd_units.get(currency, 0),
    )
