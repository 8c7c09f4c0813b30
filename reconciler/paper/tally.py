"""
The open orders of one position, summed as they come and go (protocol sheet, section 10.3).

Orders that changed are marked, and counted anew when somebody asks: a maker with two hundred orders
pays for the one that he moved. Only the premium is made each time, because the mark moves, and only
of the few orders that are priced beyond it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from typing import NamedTuple

from .account import Position
from .market import BUY, SELL
from .orders import Order


class Share(NamedTuple):
    """What one working order adds."""

    side: int
    leaves: int
    cost: int  # with the sign of a buy on both sides
    ticks: int


class Tally:
    """Sums over the working orders of one account in one symbol."""

    __slots__ = ("_cost", "_marked", "_priced", "_qty", "_shares")

    def __init__(self) -> None:
        self._marked: dict[str, Order] = {}  # to be counted anew
        self._shares: dict[str, Share] = {}  # as they are counted, by order
        self._qty = {BUY: 0, SELL: 0}
        self._cost = {BUY: 0, SELL: 0}
        self._priced: dict[int, list[tuple[int, str]]] = {BUY: [], SELL: []}  # (ticks, order) up

    def mark(self, order: Order) -> None:
        """Something about the order has changed, or is about to."""
        self._marked[order.order_id] = order

    def count(self, p: Position, without: Order | None = None) -> None:
        """Write quantity, cost, and premium over the mark of all orders but one to *p*."""
        if self._marked:
            for order in self._marked.values():
                self._recount(order)
            self._marked.clear()
        but = None if without is None else self._shares.get(without.order_id)
        if but is not None:
            assert without is not None
            self._drop(without.order_id, but)
        p.open_buy_qty, p.open_buy_cost = self._qty[BUY], self._cost[BUY]
        p.open_sell_qty, p.open_sell_cost = self._qty[SELL], self._cost[SELL]
        p.open_buy_premium = p.open_sell_premium = 0
        if self._shares:
            mark = p.mark / p.instrument.tick
            p.open_buy_premium = self._premium(BUY, math.floor(mark), p)
            p.open_sell_premium = self._premium(SELL, math.ceil(mark), p)
        if but is not None:
            assert without is not None
            self._add(without.order_id, but)

    def _recount(self, order: Order) -> None:
        former = self._shares.get(order.order_id)
        if former is not None:
            self._drop(order.order_id, former)
        ticks = order.ticks
        if order.working and ticks is not None:  # an untriggered one uses no margin (section 4.2)
            inst = order.instrument
            cost = inst.cost(order.leaves, inst.price(ticks))
            self._add(order.order_id, Share(order.side, order.leaves, cost, ticks))

    def _add(self, order_id: str, share: Share) -> None:
        self._shares[order_id] = share
        self._qty[share.side] += share.leaves
        self._cost[share.side] += share.cost
        insort(self._priced[share.side], (share.ticks, order_id))

    def _drop(self, order_id: str, share: Share) -> None:
        del self._shares[order_id]
        self._qty[share.side] -= share.leaves
        self._cost[share.side] -= share.cost
        priced = self._priced[share.side]
        del priced[bisect_left(priced, (share.ticks, order_id))]

    def _premium(self, side: int, mark: int, p: Position) -> int:
        """Minor units that the orders beyond the mark (whole ticks) cost more than there."""
        total = 0
        for ticks, order_id in reversed(self._priced[BUY]) if side == BUY else self._priced[SELL]:
            if side * (ticks - mark) <= 0:
                break
            share = self._shares[order_id]
            total += abs(abs(share.cost) - p.instrument.value(share.leaves, p.mark))
        return total
