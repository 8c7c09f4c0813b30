"""
What the venue forgets, so that it can run for weeks.

Rule 1: what is open is never forgotten, nor a member of a link (OCO, OTO) that has open orders.
Rule 2: of each account the newest orders, executions and lines of walletHistory are kept; orders
        that ended without a fill, of those, only the newest and the last hour's of market time.
        (How long BitMEX kept canceled orders is not known [unsure].)
Rule 3: positions, balances and sums are never made from what can be forgotten.
Rule 4: orders, executions and requests that were forgotten are counted, and the truth says how many
        (`control.truth`): who looks there for what was doubled must know that he cannot see it all.

A list is looked through when it has grown by a quarter, so an order costs the same on the last day
as on the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .orders import Order

if TYPE_CHECKING:
    from .state import State

KEEP = 200_000  # requests in the truth; of the rest a part of that: see `Forgetting`
HOUR_MS = 3_600_000  # market time


class Forgetting:
    """How much is kept, and what was forgotten, by account."""

    def __init__(self, keep: int) -> None:
        """*keep*: as many requests as the truth holds; 0: nothing is forgotten."""
        self.keep = keep
        self.most = keep // 4  # orders, executions, lines of walletHistory
        self.most_unfilled = keep // 20  # orders, whatever became of them
        self.slack = max(1, self.most // 4)
        self.orders: dict[int, int] = {}
        self.executions: dict[int, int] = {}
        self._look_at: dict[int, int] = {}  # account -> length of its orders at the next look

    def sweep(self, state: State, now_ms: int) -> None:
        """Forget what is too old, if enough of it has come together; after every operation."""
        if not self.keep:
            return
        for number, rows in state.executions.items():
            if len(rows) > self.most + self.slack:
                gone = len(rows) - self.most
                del rows[:gone]
                self.executions[number] = self.executions.get(number, 0) + gone
            count = len(state.orders_of[number])
            if count > self._look_at.get(number, self.most_unfilled + self.slack):
                self._sweep_orders(state, number, now_ms)
                self._look_at[number] = len(state.orders_of[number]) + self.slack
            history = state.accounts[number].history
            if len(history) > self.most + self.slack:
                del history[: len(history) - self.most]

    def _sweep_orders(self, state: State, number: int, now_ms: int) -> None:
        mine = state.orders_of[number]
        hour_ago_ms = state.clock.wall_ms(state.clock.market_ms(now_ms) - HOUR_MS)
        kept: list[Order] = []
        for newer, order in zip(range(len(mine) - 1, -1, -1), mine, strict=True):
            recent = newer < self.most_unfilled or (
                newer < self.most and (order.cum > 0 or order.changed_ms > hour_ago_ms)
            )
            if recent or order.open or state.is_linked(order):
                kept.append(order)
                if not order.open:
                    del order.versions[:-1]  # how it came there is asked for a second later only
            else:
                state.forget(order)
        self.orders[number] = self.orders.get(number, 0) + len(mine) - len(kept)
        mine[:] = kept
