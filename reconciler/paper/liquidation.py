"""
Positions that lose their margin, and who takes them (protocol sheet, section 8.3).

1. The mark reaches the liquidation price. The member's orders in the symbol are canceled; if what
   they held is enough, that was all.
2. The engine takes the position over at its bankruptcy price, by an order of the venue's own in the
   member's tables. What the member had behind the position is gone, and no more than that.
3. The engine trades its contracts in the book, at that price or better: the gain is the insurance
   fund's. What the book does not take rests there, and in the table ``liquidation``.
4. What rests too long trades at worse prices, as long as the insurance fund pays for it.
5. The rest is dealt to those who profit most, at the bankruptcy price and without a fee, whether
   they like it or not: auto-deleveraging. Their orders in the symbol are canceled, too.
"""

from __future__ import annotations

from decimal import Decimal

from . import executions
from .account import Account, Position
from .clearing import Clearing
from .instruments import commission
from .margin import bankrupt_price, in_danger, standing
from .market import BUY, SELL, Resting
from .orders import NewOrder, Order
from .protocol import Change, changed
from .records import liquidation_row
from .state import ENGINE, HOUSE, Takeover
from .venue_market import Market

REST_MS = 3_000  # market time that a liquidation order waits in the book before step 4
CANCELED = "Canceled: Position in liquidation"
TEXT = "Liquidation"


class Liquidation(Clearing):
    """The clearing house, with its engine."""

    def check_liquidations(self, now_ms: int) -> None:
        """Take over what is under its margin, and go on with what was taken over before."""
        for owner in self.accounts.values():
            while (found := self._worst(owner)) is not None:
                self._liquidate(owner, found, now_ms)
        for takeover in list(self.takeovers.values()):
            resting = self.markets[takeover.symbol].book.get(takeover.order_id)
            takeover.leaves = resting.leaves if resting is not None else 0
            if takeover.leaves and self.clock.market_ms(now_ms) >= takeover.due_ms:
                self._force(takeover, now_ms)

    def _worst(self, owner: Account) -> Position | None:
        """Of the positions in danger that can be traded, the one that loses most."""
        found = [
            p for symbol, p in owner.positions.items()
            if p.qty and self.markets[symbol].state == "Open" and in_danger(owner, p)
        ]  # fmt: skip
        return min(found, key=lambda p: p.unrealised_pnl, default=None)

    def _liquidate(self, owner: Account, p: Position, now_ms: int) -> None:
        """Steps 1 and 2 for a position in danger."""
        self._cancel_for(owner.number, p, now_ms)
        if not in_danger(owner, p):
            return
        self._take_over(owner, p, _affordable(owner, p), now_ms)

    def liquidate(self, account: int, symbol: str, now_ms: int) -> Order | None:
        """
        Take a position over that is in no danger, at its mark: an operator wants it so.

        Returns:
            The venue's order in the member's tables; None when there is no position.
        """
        owner, p = self.accounts[account], self.position(account, symbol)
        if not p.qty:
            return None
        self._cancel_for(account, p, now_ms)
        return self._take_over(owner, p, self._mark_price(self.markets[symbol]), now_ms)

    def deleverage(self, account: int, symbol: str, contracts: int, now_ms: int) -> Order | None:
        """
        Deal contracts of a position to the house at the mark, as when the liquidation of somebody
        else was too large for the book.

        Returns:
            The venue's order in the member's tables; None when there is no position.
        """
        owner, p = self.accounts[account], self.position(account, symbol)
        if not p.qty:
            return None
        market, size = self.markets[symbol], min(contracts, abs(p.qty))
        dealt, price = (-size if p.qty > 0 else size), self._mark_price(market)
        self._cancel_for(account, p, now_ms)
        order = self._deal(owner, p, dealt, price, "Deleverage", now_ms)
        cost = market.inst.cost(dealt, price)
        self._book_trade(self.engine, market, dealt, price, cost, 0, now_ms)
        self._book_trade(self.house, market, -dealt, price, -cost, 0, now_ms)
        return order

    @staticmethod
    def _mark_price(market: Market) -> Decimal:
        """The mark, on the nearest tick."""
        ticks = max(1, int((market.mark / market.inst.tick).to_integral_value()))
        return market.inst.price(ticks)

    def _cancel_for(self, account: int, p: Position, now_ms: int) -> None:
        for order in self.open_orders(account, p.instrument.symbol):
            self._end(order, f"{CANCELED}\n{order.text}", now_ms)
        self._count_orders(p)

    def _take_over(self, owner: Account, p: Position, price: Decimal, now_ms: int) -> Order:
        """Step 2, and 3 at once."""
        market, qty = self.markets[p.instrument.symbol], p.qty
        order = self._deal(owner, p, -qty, price, "Liquidation", now_ms)
        ticks = market.inst.ticks(price)
        assert ticks is not None
        side = SELL if qty > 0 else BUY
        takeover = Takeover(
            self._guid(), market.inst.symbol, side, ticks,
            self.clock.market_ms(now_ms) + REST_MS, abs(qty),
        )  # fmt: skip
        self.takeovers[takeover.order_id] = takeover
        self._tell(takeover)
        self._trade(takeover, market, ticks, now_ms)
        if takeover.leaves:
            market.book.rest(Resting(takeover.order_id, ENGINE, side, ticks, takeover.leaves))
        return order

    def _deal(
        self, owner: Account, p: Position, contracts: int, price: Decimal, state: str, now_ms: int
    ) -> Order:
        """A member trades signed *contracts* with the engine, by an order that nobody asked for."""
        market, inst = self.markets[p.instrument.symbol], p.instrument
        p.state = state
        self._flush_position(p, standing(owner, inst.settle), now_ms)
        p.state = ""
        size, side = abs(contracts), BUY if contracts > 0 else SELL
        forced = NewOrder(
            instrument=inst, side=side, qty=size, ticks=inst.ticks(price), ord_type="Limit",
            tif="ImmediateOrCancel", text=TEXT,
        )  # fmt: skip
        order = self._make(owner.number, forced, size, now_ms)
        self._keep(order)
        self._record(order, "New", now_ms)
        rate = inst.taker_fee if state == "Liquidation" else Decimal(0)
        cost = inst.cost(contracts, price)
        fee = commission(abs(cost), rate)
        order.fill(size, price)
        self._book_trade(owner, market, contracts, price, cost, fee, now_ms)
        self._book_trade(self.engine, market, -contracts, price, -cost, 0, now_ms)
        row = executions.trade(
            order, self._guid(), self._guid(), size, price, cost, fee, rate, True, now_ms
        )
        row["execType"] = "Liquidation"
        self._touch_order(order)
        self._tell_execution(owner.number, row)
        return order

    def _trade(self, takeover: Takeover, market: Market, limit: int, now_ms: int) -> None:
        """The engine takes from the book, no worse than *limit*."""
        self._unnamed_taker = ENGINE
        market.book.begin_sweep()
        while takeover.leaves:
            match = market.book.next_match(takeover.side, limit, takeover.leaves)
            if match is None:
                break
            takeover.leaves -= match.size
            self._settle(market, match, takeover.side, None, now_ms)
        self._unnamed_taker = HOUSE
        self._react(now_ms)

    # -- what the book does not take -------------------------------------------------------------

    def _force(self, takeover: Takeover, now_ms: int) -> None:
        """Steps 4 and 5."""
        market = self.markets[takeover.symbol]
        if market.state != "Open":
            return
        market.book.remove(takeover.order_id)
        # Two takeovers of opposite sides meet in the engine's own books: they need nobody else.
        held = self.engine.position(market.inst, market.mark).qty
        takeover.leaves = min(takeover.leaves, max(0, -held * takeover.side))
        self._pay(takeover, market, now_ms)
        if takeover.leaves:
            self._deleverage(takeover, market, now_ms)

    def _pay(self, takeover: Takeover, market: Market, now_ms: int) -> None:
        """Trade at any price, as far as the insurance fund bears the loss."""
        inst, side = market.inst, takeover.side
        while takeover.leaves:
            ticks = market.book.best(-side)
            if ticks is None:
                return
            size = min(takeover.leaves, market.book.size(-side, ticks))
            p = self.engine.position(inst, market.mark)
            released = p.unrealised_cost * size // abs(p.qty)
            loss = released + inst.cost(side * size, inst.price(ticks)) + 1
            funds = max(0, self.engine.wallet_balance(inst.settle))
            if loss > funds:
                size = funds * size // loss // inst.lot * inst.lot
            if not size:
                return
            whole = takeover.leaves
            takeover.leaves = size
            self._trade(takeover, market, ticks, now_ms)
            takeover.leaves = whole - size + takeover.leaves

    def _deleverage(self, takeover: Takeover, market: Market, now_ms: int) -> None:
        """
        Deal the rest to those on the other side, the first in the queue first.

        At the bankruptcy price to those who still profit there, then to the house. If that was not
        enough, the others lose no more than the mark takes from them: the fund bears the rest.
        """
        symbol, price = market.inst.symbol, market.inst.price(takeover.ticks)
        queue = self.deleverage_queue(symbol, takeover.side)
        for owner in queue:
            entry = owner.positions[symbol].average
            assert entry is not None
            if (price - entry) * takeover.side > 0:
                self._deal_rest(takeover, owner, price, now_ms)
        p = self.house.position(market.inst, market.mark)
        size = min(takeover.leaves, max(0, p.qty * takeover.side))
        if size:
            dealt = -takeover.side * size
            cost = market.inst.cost(dealt, price)
            self._book_trade(self.house, market, dealt, price, cost, 0, now_ms)
            self._book_trade(self.engine, market, -dealt, price, -cost, 0, now_ms)
            takeover.leaves -= size
        for owner in queue:
            self._deal_rest(takeover, owner, self._mark_price(market), now_ms)

    def _deal_rest(self, takeover: Takeover, owner: Account, price: Decimal, now_ms: int) -> None:
        p = owner.positions[takeover.symbol]
        size = min(takeover.leaves, abs(p.qty))
        if not size:
            return
        takeover.leaves -= size
        self._cancel_for(owner.number, p, now_ms)
        self._deal(owner, p, takeover.side * -size, price, "Deleverage", now_ms)

    def deleverage_queue(self, symbol: str, side: int) -> list[Account]:
        """
        Members whose positions a trade of the engine's *side* would close, first to go first.

        By profit in percent times effective leverage; those who lose come last, by their loss
        divided by it.
        """

        def rank(owner: Account) -> tuple[Decimal, int]:
            p = owner.positions[symbol]
            part = Decimal(p.unrealised_pnl) / abs(p.unrealised_cost)
            bankrupt = bankrupt_price(standing(owner, p.instrument.settle), p)
            assert bankrupt is not None
            value = p.instrument.cost(p.qty, bankrupt)
            leverage = Decimal(abs(p.mark_value)) / max(1, abs(p.mark_value - value))
            return (part * leverage if part > 0 else part / leverage), -owner.number

        # The engine sells (-1) to those who are short, and buys from those who are long.
        found = [
            owner for owner in self.accounts.values()
            if symbol in owner.positions and owner.positions[symbol].qty * side > 0
        ]  # fmt: skip
        return sorted(found, key=rank, reverse=True)

    def rank_all(self) -> None:
        """Every member's place in the queue, in fifths: 1 is first (`deleveragePercentile`)."""
        for symbol in self.markets:
            for side in (BUY, SELL):
                queue = self.deleverage_queue(symbol, side)
                for place, owner in enumerate(queue):
                    fifth = 5 - place * 5 // len(queue)
                    owner.positions[symbol].percentile = Decimal(fifth) / 5

    # -- the public table ------------------------------------------------------------------------

    def flush(self, now_ms: int) -> list[Change]:
        """All rows since the last call; those of liquidation orders among them."""
        for takeover in list(self.takeovers.values()):
            resting = self.markets[takeover.symbol].book.get(takeover.order_id)
            takeover.leaves = resting.leaves if resting is not None else 0
            self._tell(takeover)
            if not takeover.leaves:
                del self.takeovers[takeover.order_id]
        return super().flush(now_ms)

    def _tell(self, takeover: Takeover) -> None:
        """Insert, update or delete the row of a liquidation order."""
        inst = self.markets[takeover.symbol].inst
        row = liquidation_row(
            takeover.order_id, takeover.symbol, "Buy" if takeover.side == BUY else "Sell",
            inst.price(takeover.ticks), takeover.leaves,
        )  # fmt: skip
        if takeover.sent is None:
            action, delta = "insert", row
        elif not takeover.leaves:
            action, delta = "delete", {"orderID": takeover.order_id, "symbol": takeover.symbol}
        else:
            action = "update"
            found = changed({**takeover.sent, "timestamp": 0}, {**row, "timestamp": 0}, ())
            if found is None:
                return
            delta = {"orderID": takeover.order_id, "symbol": takeover.symbol, **found}
            del delta["timestamp"]
        takeover.sent = row
        if takeover.leaves:
            self.records.liquidation[takeover.order_id] = row
        else:
            self.records.liquidation.pop(takeover.order_id, None)
        self._changes.append(Change("liquidation", action, None, takeover.symbol, delta))


def _affordable(owner: Account, p: Position) -> Decimal:
    """
    The bankruptcy price, or as many ticks before it as it takes not to owe.

    Values are rounded for each lot, so that at the price itself a large position may have lost
    some units more than stands behind it.
    """
    inst, s = p.instrument, standing(owner, p.instrument.settle)
    backing = s.pos_margin(p) + (s.available if not p.leverage or s.available < 0 else 0)
    price = bankrupt_price(s, p)
    value = abs(p.unrealised_cost)
    part = Decimal(backing) / value
    former = None
    while price is not None and price != former:  # at the end of all prices it stays
        cost = inst.cost(-p.qty, price)
        short = p.unrealised_cost + cost + commission(abs(cost), inst.taker_fee) - backing
        if short <= 0:
            return price
        part = min(part, _lost_at(p, price)) - Decimal(short) / value
        former, price = price, p.price_at(part)
    assert price is not None, "a position that is open has a price"
    return price


def _lost_at(p: Position, price: Decimal) -> Decimal:
    """The part of its cost that a position has lost at a price (`Position.price_at` reversed)."""
    assert p.average is not None
    if p.instrument.is_inverse:
        return p.average / price - 1 if p.qty > 0 else 1 - p.average / price
    return 1 - price / p.average if p.qty > 0 else price / p.average - 1
