"""
The trading floor: orders meet books, trades change accounts, changes become rows.

Rule 1: no I/O and no clock. Venue time in milliseconds comes with every call.
Rule 2: what a caller may see is decided here; how it travels is not.
Rule 3: every call leaves its rows in `flush`, in the order of each table. Between tables the order
        means nothing (protocol sheet, section 11).

House orders (account 0) make the market: they trade like others, pay no fees, and appear in no
private table. The engine (account -1) holds what was taken over in liquidations, and the insurance
fund. Both have books like everybody, so that contracts and money add up (`audit`).
"""

from __future__ import annotations

import math
from decimal import Decimal

from . import errors, executions, margin
from .account import Account
from .audit import contracts
from .instruments import commission
from .market import BUY, SELL, Match, Resting
from .orders import (
    AT_MARKET,
    CANCELED,
    FILLED,
    POST_ONLY,
    Order,
)
from .protocol import Change
from .state import ENGINE, HOUSE, State
from .venue_market import Market


class Floor(State):
    """The state of the venue, and what happens in it."""

    # -- trading ---------------------------------------------------------------------------------

    def _enter(self, order: Order, market: Market, now_ms: int) -> None:
        """Match an order that isn't in the book, then rest or end what is left of it."""
        self._touch_order(order)
        self._touch(order.account, order.instrument.symbol)
        book = market.book
        limit = self._limit(order, market)
        if POST_ONLY in order.exec_inst and self._would_show(order, limit, market):
            self._end(order, f"{errors.POST_ONLY_CANCELED}\n{order.text}", now_ms)
            return
        if order.tif == "FillOrKill":
            if book.available(order.side, limit, order.leaves) < order.leaves:
                self._end(order, f"{errors.FOK_CANCELED}\n{order.text}", now_ms)
                return
        book.begin_sweep()
        while order.leaves:
            match = book.next_match(order.side, limit, order.leaves)
            if match is None:
                break
            if order.ord_type in AT_MARKET:
                order.ticks = match.ticks  # the row shows the last price touched (section 4.1)
            self._settle(market, match, order.side, order, now_ms)
        if not order.leaves:
            self._close(order)
        elif order.tif in ("ImmediateOrCancel", "FillOrKill"):
            self._end(order, f"{errors.IOC_CANCELED}\n{order.text}", now_ms)
        else:
            assert order.ticks is not None
            order.working = True
            book.rest(
                Resting(
                    order.order_id, order.account, order.side, order.ticks, order.leaves,
                    order.display_qty,
                )
            )  # fmt: skip
        self._trim_reduce_only(order.account, market, now_ms)

    def _limit(self, order: Order, market: Market) -> int | None:
        """
        The worst price in ticks at which the order may trade; None: any.

        An order at market goes no further than its maxSlippagePct from the touch, closes a position
        no worse than at its bankruptcy price (section 4.2), and opens one no worse than its account
        was asked to back: at what the book shows.
        """
        if order.ord_type not in AT_MARKET:
            return order.ticks
        bounds = []
        touch = market.book.best(-order.side)
        if order.slippage is not None and touch is not None:
            reach = int(touch * order.slippage / 100)  # whole ticks, never past the percentage
            bounds.append(touch + order.side * reach)
        position = self.position(order.account, order.instrument.symbol)
        if order.leaves > max(0, -position.qty * order.side):
            bounds.append(_backed(order.side, market))
        if position.qty * order.side < 0:
            owner = self.accounts[order.account]
            held = margin.standing(owner, order.instrument.settle)
            price = margin.bankrupt_price(held, position)
            ticks = None if price is None else order.instrument.ticks(price)
            if ticks is not None:
                bounds.append(ticks)
        if not bounds:
            return None
        return min(bounds) if order.side == BUY else max(bounds)

    @staticmethod
    def _would_show(order: Order, limit: int | None, market: Market) -> bool:
        """
        Whether an order would take what the book shows.

        A post-only order is not canceled for hidden contracts, or it would feel them out: it trades
        with them as the maker, and the hidden side pays as the taker [unsure].
        """
        best = market.book.best(-order.side)
        return best is not None and (limit is None or order.side * (limit - best) >= 0)

    def _settle(
        self, market: Market, match: Match, taker_side: int, taker: Order | None, now_ms: int
    ) -> None:
        """
        Book one match on both sides and in the public tables.

        Both may be orders of one account: BitMEX's rules forbid to trade with oneself, and nothing
        published says that its engine prevents it [unsure]. The position ends where it was.
        """
        match_id = self._guid()
        maker = self.orders.get(match.maker_id)
        self._book_side(market, maker, -taker_side, match, match_id, False, now_ms)
        self._book_side(market, taker, taker_side, match, match_id, True, now_ms)
        row = market.traded(taker_side, match.ticks, match.size, match_id, now_ms)
        self._changes.append(Change("trade", "insert", None, market.inst.symbol, row))
        if maker is not None:
            self._trim_reduce_only(maker.account, market, now_ms)
        if market.inst.symbol in self._asleep:
            self._moved.add(market.inst.symbol)
        for order in (maker, taker):
            if order is not None:
                self._after_fill(order, now_ms)

    def _after_fill(self, order: Order, now_ms: int) -> None:
        """What a fill sets off among linked orders; told by `Triggers`."""

    def _after_end(self, order: Order, now_ms: int) -> None:
        """What an order's end without a fill sets off; told by `Triggers`."""

    def _react(self, now_ms: int) -> None:
        """Let in the orders that waited for what just happened; told by `Triggers`."""

    def _book_side(
        self, market: Market, order: Order | None, side: int, match: Match, match_id: str,
        takes: bool, now_ms: int,
    ) -> None:  # fmt: skip
        inst = market.inst
        signed = side * match.size
        price = inst.price(match.ticks)
        cost = inst.cost(signed, price)
        if order is None:
            number = self._unnamed_taker if takes else match.maker_account
            owner = self.engine if number == ENGINE else self.house
            self._book_trade(owner, market, signed, price, cost, 0, now_ms)
            return
        # Hidden contracts pay the taker's fee, and a post-only order never does.
        hidden = match.hidden and not takes
        takes = takes and POST_ONLY not in order.exec_inst
        rate = inst.taker_fee if takes or hidden else inst.maker_fee
        fee = commission(abs(cost), rate)
        order.fill(match.size, price)
        order.filled_ms = now_ms
        owner = self.accounts[order.account]
        self._book_trade(owner, market, signed, price, cost, fee, now_ms)
        self._touch_order(order)
        self._touch(order.account, inst.symbol)
        row = executions.trade(
            order,
            self._guid(),
            match_id,
            match.size,
            price,
            cost,
            fee,
            rate,
            takes,
            now_ms,
            hidden=hidden,
        )
        self.executions[order.account].append(row)
        self._changes.append(Change("execution", "insert", order.account, inst.symbol, row))
        if order.status == FILLED:
            self._close(order)

    def _book_trade(
        self, owner: Account, market: Market, signed: int, price: Decimal, cost: int, fee: int,
        now_ms: int,
    ) -> None:  # fmt: skip
        """Book signed contracts on an account; its fee is the venue's."""
        inst = market.inst
        position = owner.position(inst, market.mark)
        if not inst.is_spot:
            market.open_interest += max(0, position.qty + signed) - max(0, position.qty)
        owner.trade(position, signed, price, cost, fee)
        if fee:
            self.fees[inst.settle] = self.fees.get(inst.settle, 0) + fee

    def _trim_reduce_only(self, account: int, market: Market, now_ms: int) -> None:
        """Amend down or cancel resting ReduceOnly orders that now exceed the position (4.2)."""
        group = self._open.get((account, market.inst.symbol))
        if not group:
            return
        resting = [o for o in group.values() if o.reduce_only and o.working]
        if not resting:
            return
        held = self.position(account, market.inst.symbol).qty
        # Least aggressive first: furthest from the touch, and of those the youngest.
        resting.sort(key=lambda o: (o.side * (o.ticks or 0), -o.seq))
        for side in (BUY, SELL):
            mine = [o for o in resting if o.side == side]
            excess = sum(o.leaves for o in mine) - max(0, -held * side)
            for order in mine:
                if excess <= 0:
                    break
                cut = min(excess, order.leaves)
                excess -= cut
                self._cut(order, cut, market, now_ms)

    def _cut(self, order: Order, contracts: int, market: Market, now_ms: int) -> None:
        if contracts == order.leaves:
            self._end(order, f"Canceled: Order had execInst of ReduceOnly\n{order.text}", now_ms)
            return
        order.leaves -= contracts
        order.qty -= contracts
        market.book.shrink(order.order_id, order.leaves)
        order.transact_ms = now_ms
        order.text = f"Amended orderQty: Order had execInst of ReduceOnly\n{order.text}"
        self._touch_order(order)
        self._touch(order.account, order.instrument.symbol)
        self._record(order, "Replaced", now_ms)

    def _end(self, order: Order, text: str, now_ms: int) -> None:
        """Take an open order out of the market as Canceled; nothing if it has ended already."""
        if not order.open:
            return
        self.markets[order.instrument.symbol].book.remove(order.order_id)
        order.end(CANCELED, text)
        self._close(order)
        self._record(order, "Canceled", now_ms)
        self._after_end(order, now_ms)

    def _close(self, order: Order) -> None:
        self._open[order.account, order.instrument.symbol].pop(order.order_id, None)
        self._touch_order(order)
        self._touch(order.account, order.instrument.symbol)

    # -- the house -------------------------------------------------------------------------------

    def house_rest(self, symbol: str, side: int, ticks: int, size: int, now_ms: int) -> str:
        """A house order trades with what it crosses, then rests; its id, or "" if none rests."""
        left = self._house_trade(symbol, side, size, ticks, now_ms)
        order_id = ""
        if left:
            self._house_seq += 1
            order_id = f"house-{self._house_seq}"
            self.markets[symbol].book.rest(Resting(order_id, HOUSE, side, ticks, left))
        self._react(now_ms)  # only now: what comes in must find the rest of this order
        return order_id

    def house_take(self, symbol: str, side: int, size: int, limit: int | None, now_ms: int) -> int:
        """The house takes up to *size* contracts; returns those it did not get."""
        left = self._house_trade(symbol, side, size, limit, now_ms)
        self._react(now_ms)
        return left

    def _house_trade(
        self, symbol: str, side: int, size: int, limit: int | None, now_ms: int
    ) -> int:
        market = self.markets[symbol]
        market.book.begin_sweep()
        while size:
            match = market.book.next_match(side, limit, size)
            if match is None:
                break
            self._settle(market, match, side, None, now_ms)
            size -= match.size
        return size

    def fill_from_house(self, order: Order, size: int, now_ms: int) -> None:
        """The house trades with one resting order out of turn, as a racing taker would."""
        market = self.markets[order.instrument.symbol]
        match = market.book.hit(order.order_id, size)
        self._settle(market, match, -order.side, None, now_ms)
        self._react(now_ms)


def _backed(side: int, market: Market) -> int:
    """
    The worst price in ticks at which `Clearing._cost` values an order at market: the last that is
    shown to it, or the mark where nothing is. A hidden order further away must not take more from
    an account than it has.
    """
    shown = market.book.last(-side)
    if shown is not None:
        return shown
    mark = market.mark / market.inst.tick
    return max(1, math.floor(mark) if side == BUY else math.ceil(mark))


def sum_of_contracts(exchange: State, symbol: str) -> int:
    """Contracts of all accounts, the house and the engine together: always zero."""
    return contracts(exchange, symbol)
