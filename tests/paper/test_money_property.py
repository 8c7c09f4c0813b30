"""Contracts and money are conserved, whatever happens to them."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from reconciler.paper import intake
from reconciler.paper.audit import books, contracts
from reconciler.paper.errors import Refusal
from reconciler.paper.exchange import Exchange
from reconciler.paper.instruments import ETHUSD, XBT_USDT, XBTUSD, XBTUSDT, instrument
from reconciler.paper.margin import standing
from reconciler.paper.times import Clock
from tests.paper.conftest import ME, NOW, OTHER
from tests.paper.trading import balanced

THIRD = 1003
STEPS = 100
HOUR = 3_600_000


class Life:
    """A small venue and everything that can happen to its members' money, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"money/{seed}")
        self.now = NOW
        listed = [XBTUSD, ETHUSD, XBTUSDT, XBT_USDT, instrument("XBTM26")]
        self.exchange = Exchange(
            listed, [ME, OTHER, THIRD], seed=seed, now_ms=NOW, clock=Clock(NOW, Fraction(600)),
            # Some hundred dollars each, and hardly any insurance: somebody will be liquidated.
            balances={"XBt": 3_000_000, "USDt": 2_000_000_000},
        )  # fmt: skip
        for currency in self.exchange.engine.deposited:
            self.exchange.engine.deposited[currency] = self.rng.choice((0, 50_000, 10**12))
        self.prices = {inst.symbol: inst.start_price for inst in listed}
        for symbol in self.prices:
            self.quote(symbol)

    def step(self) -> None:
        what = self.rng.choices(
            (self.order, self.move, self.wait, self.margin, self.cancel, self.seize),
            (50, 20, 12, 8, 8, 2),
        )[0]  # fmt: skip
        what()
        self.exchange.flush(self.now)

    def quote(self, symbol: str) -> None:
        """The house around the price: sometimes deep, sometimes nearly nothing."""
        market = self.exchange.markets[symbol]
        if market.state != "Open":
            return
        for order in list(market.book.orders()):
            if order.account == 0:
                market.book.remove(order.order_id)
        bid = int(self.prices[symbol] / market.inst.tick)
        for level in range(4):
            lots = self.rng.choice((1, 5, 50, 20_000))
            for side in (1, -1):
                ticks = bid + (0 if side > 0 else 1) - side * level * (1 + bid // 500)
                self.exchange.house_rest(symbol, side, ticks, lots * market.inst.lot, self.now)

    def move(self) -> None:
        symbol = self.rng.choice(list(self.prices))
        factor = Decimal(self.rng.choice((60, 92, 97, 99, 101, 103, 108, 150))) / 100
        inst = self.exchange.catalogue[symbol]
        moved = self.prices[symbol] * factor
        if not inst.start_price / 4 < moved < inst.start_price * 4:
            moved = inst.start_price
        self.prices[symbol] = inst.price(int(moved / inst.tick))
        self.quote(symbol)
        self.exchange.pulse(self.now, positions=True)

    def wait(self) -> None:
        """Minutes at 600-fold speed: funding, noon, at last the end of the future."""
        self.now += self.rng.choice((2_000, 20_000, 60_000, 400_000))
        self.exchange.due(self.now)
        self.exchange.pulse(self.now, positions=False)

    def order(self) -> None:
        account = self.rng.choice(list(self.exchange.accounts))
        symbol = self.rng.choice(list(self.prices))
        inst = self.exchange.catalogue[symbol]
        lots = int(self.rng.choice((1, 3, 20, 100)) * max(1, inst.house_size // inst.lot // 10))
        fields: dict[str, object] = {
            "symbol": symbol, "orderQty": lots * inst.lot * self.rng.choice((1, -1)),
        }  # fmt: skip
        if self.rng.random() < 0.5:
            fields["ordType"] = "Market"
        else:
            ticks = int(self.prices[symbol] / inst.tick)
            fields["price"] = inst.price(ticks + self.rng.randint(-ticks // 50, ticks // 50))
        if self.rng.random() < 0.15:
            fields["execInst"] = "ReduceOnly"
        self.ask(self.place, account, fields)

    def place(self, account: int, fields: dict[str, object], now_ms: int) -> None:
        new = intake.new_order(fields, self.exchange.catalogue)
        self.exchange.place(account, new, now_ms)

    def margin(self) -> None:
        account = self.rng.choice(list(self.exchange.accounts))
        symbol = self.rng.choice(list(self.prices))
        leverage = Decimal(self.rng.choice(("0", "1", "5", "25", "100")))
        self.ask(self.exchange.set_leverage, account, symbol, leverage)
        self.ask(self.exchange.transfer_margin, account, symbol, self.rng.randint(-50_000, 50_000))

    def cancel(self) -> None:
        account = self.rng.choice(list(self.exchange.accounts))
        self.exchange.cancel_all(self.exchange.open_orders(account), "", self.now)

    def seize(self) -> None:
        account = self.rng.choice(list(self.exchange.accounts))
        if self.rng.random() < 0.5:
            self.exchange.liquidate(account, "XBTUSD", self.now)
        else:
            self.exchange.deleverage(account, "ETHUSD", self.rng.choice((1, 20)), self.now)

    def ask(self, call, *args) -> None:
        """What is refused changes nothing; this and more is checked after every step."""
        try:
            call(*args, self.now)
        except Refusal:
            return

    def kinds(self) -> set[str]:
        rows = [r for rows in self.exchange.executions.values() for r in rows]
        return {str(r["execType"]) for r in rows}


@pytest.mark.parametrize("seed", range(8))
def test_contracts_and_money_are_conserved_at_every_step(seed):
    """
    Orders of three members and the house, funding, noon, liquidation, deleveraging, settlement:
    contracts add up to nothing and money to the deposits, to the last unit. No member can owe.
    """
    life = Life(seed)
    for _ in range(STEPS):
        life.step()
        balanced(life.exchange)
        check_members(life.exchange)
    life.now += 60 * 24 * HOUR // 600 * 2
    life.exchange.due(life.now)
    life.exchange.flush(life.now)
    balanced(life.exchange)
    assert life.exchange.markets["XBTM26"].state == "Settled"
    assert contracts(life.exchange, "XBTM26") == 0


def check_members(exchange: Exchange) -> None:
    """The rows of each member say what the books say, and the margin adds up."""
    for account in exchange.accounts.values():
        for currency in account.deposited:
            s = standing(account, currency)
            assert s.wallet >= 0, (account.number, currency, s)
            if s.available > 0:
                assert s.balance == s.init + s.maint + s.available
            row = account.margin_sent[currency]
            assert row["walletBalance"] == row["amount"] + row["realisedPnl"]
        for p in account.positions.values():
            assert p.transferred >= 0
            assert (p.qty == 0) == (p.unrealised_cost == 0 and p.average is None)


def test_the_lives_are_eventful():
    """Together they have every way in which money moves, so the property says something."""
    seen: set[str] = set()
    lines: set[str] = set()
    fees = odd = insured = 0
    for seed in range(6):
        life = Life(seed)
        before = dict(life.exchange.engine.deposited)
        for _ in range(STEPS):
            life.step()
        life.now += 60 * 24 * HOUR // 600 * 2
        life.exchange.due(life.now)
        seen |= life.kinds()
        lines |= {
            str(h["transactType"]) for a in life.exchange.accounts.values() for h in a.history
        }
        fees += books(life.exchange, "XBt").fees
        odd += abs(books(life.exchange, "XBt").odd_units)
        insured += any(
            life.exchange.engine.wallet_balance(c) != amount for c, amount in before.items()
        )
    assert {"Trade", "Funding", "Settlement", "Liquidation", "Canceled"} <= seen
    assert lines == {"Deposit", "RealisedPNL", "SpotTrade"}
    assert fees > 0
    assert odd > 0
    assert insured >= 3
