"""Funding, settlement, the daily one, wallets, spot (sheet, sections 5, 8.1 to 8.3, 13)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from reconciler.paper.errors import Refusal
from reconciler.paper.exchange import Exchange
from reconciler.paper.instruments import (
    CATALOGUE,
    XBT_USDT,
    XBTUSD,
    commission,
    instrument,
    listing,
    quarterly,
)
from reconciler.paper.market import BUY, SELL
from reconciler.paper.money_rows import NO_ID, history_rows, wallet_row
from reconciler.paper.times import Clock, iso
from tests.paper.conftest import ME, NOW, OTHER, Bench
from tests.paper.trading import balanced, market_at

HOUR = 3_600_000
NOON = NOW + HOUR  # the bench opens at 11:00 UTC
EIGHT = NOW + 9 * HOUR  # 20:00, the second funding


def wallet(bench, currency="XBt", account=ME) -> int:
    return bench.exchange.accounts[account].wallet_balance(currency)


class Futures(Bench):
    """The bench with a quarterly future beside the perpetual."""

    def __init__(self, speed: int = 1, symbol: str = "XBTM26") -> None:
        self.now = NOW
        self.symbol = symbol
        self.exchange = Exchange(
            [XBTUSD, instrument(symbol)], [ME, OTHER], seed=1, now_ms=NOW,
            clock=Clock(NOW, Fraction(speed)),
        )  # fmt: skip
        market_at(self, "61400", symbol)
        market_at(self, "61250.5")
        self.flush()


# -- funding ------------------------------------------------------------------------------------


def test_longs_pay_shorts_the_rate_of_their_value(bench):
    """At 04:00, 12:00 and 20:00 UTC: |markValue| x rate, truncated; positive execComm is paid."""
    bench.place(orderQty=300, ordType="Market")
    bench.place(OTHER, orderQty=-300, ordType="Market")
    market_at(bench, "61309.9")
    bench.flush()
    market = bench.exchange.markets["XBTUSD"]
    market.funding_rate = Decimal("0.0003")
    assert iso(market.funding_ms) == "2026-05-20T12:00:00.000Z"
    value = XBTUSD.value(300, market.mark)
    before = wallet(bench), wallet(bench, account=OTHER)
    bench.now = NOON
    bench.exchange.due(NOON)
    changes = bench.flush()
    paid = commission(value, Decimal("0.0003"))
    rows = {c.account: c.row for c in changes if c.table == "execution"}
    assert (rows[ME]["execComm"], rows[OTHER]["execComm"]) == (paid, -paid)
    assert (rows[ME]["commission"], rows[OTHER]["commission"]) == (
        Decimal("0.0003"), Decimal("-0.0003"),
    )  # fmt: skip
    for row in rows.values():
        assert (row["execType"], row["ordType"], row["orderID"], row["text"]) == (
            "Funding", "Limit", NO_ID, "Funding",
        )  # fmt: skip
        assert row["lastQty"] == 300
    assert (wallet(bench), wallet(bench, account=OTHER)) == (before[0] - paid, before[1] + paid)
    [told] = [c.row for c in changes if c.table == "funding" and c.symbol == "XBTUSD"]
    assert told["fundingInterval"] == "2000-01-01T08:00:00.000Z"
    assert (told["fundingRate"], told["fundingRateDaily"]) == (
        Decimal("0.0003"), Decimal("0.0009")
    )  # fmt: skip
    assert iso(market.funding_ms) == "2026-05-20T20:00:00.000Z"
    assert (bench.held(), bench.held(OTHER)) == (300, -300)
    balanced(bench.exchange)


def test_a_negative_rate_is_paid_by_shorts(bench):
    """The same amount the other way round."""
    bench.place(orderQty=300, ordType="Market")
    bench.exchange.markets["XBTUSD"].funding_rate = Decimal("-0.0003")
    before = wallet(bench)
    bench.exchange.due(NOON)
    assert wallet(bench) > before
    balanced(bench.exchange)


def test_speed_brings_funding_and_noon_sooner_and_rows_tell_when():
    """At 480-fold speed the eight hours are a minute; fundingTimestamp is when that is."""
    bench = Futures(speed=480)
    market = bench.exchange.markets["XBTUSD"]
    bench.place(orderQty=300, ordType="Market")
    first = NOW + HOUR // 480
    assert market.row(NOW)["fundingTimestamp"] == iso(first)
    bench.exchange.due(first - 1)
    assert not [r for r in bench.exchange.executions[ME] if r["execType"] == "Funding"]
    bench.exchange.due(first)
    assert market.row(first)["fundingTimestamp"] == iso(first + 60_000)
    for minute in range(1, 4):
        bench.exchange.due(first + 60_000 * minute)
    rows = [r for r in bench.exchange.executions[ME] if r["execType"] == "Funding"]
    assert len(rows) == 4
    kinds = [line["transactType"] for line in bench.exchange.accounts[ME].history]
    assert kinds == ["Deposit", "Deposit", "RealisedPNL", "RealisedPNL"]  # two noons in 25 hours


# -- the daily settlement -----------------------------------------------------------------------


def test_noon_moves_what_was_realised_into_the_wallet(bench):
    """A line of walletHistory a symbol; rebalancedPnl and prevRealisedPnl tell it."""
    bench.exchange.markets["XBTUSD"].funding_rate = Decimal(0)
    bench.place(orderQty=600, ordType="Market")
    market_at(bench, "62000.5")
    bench.place(orderQty=-300, ordType="Market")
    bench.flush()
    account = bench.exchange.accounts[ME]
    p = account.positions["XBTUSD"]
    realised, before = p.realised_pnl, wallet(bench)
    assert realised > 0
    assert wallet_row(account, "XBt", NOW)["amount"] == account.deposited["XBt"]
    bench.now = NOON
    bench.exchange.due(NOON)
    changes = bench.flush()
    row = p.sent
    assert (row["rebalancedPnl"], row["prevRealisedPnl"], row["realisedPnl"]) == (
        -realised, realised, realised,
    )  # fmt: skip
    margin = account.margin_sent["XBt"]
    assert (margin["realisedPnl"], margin["prevRealisedPnl"]) == (0, realised)
    assert margin["amount"] == margin["walletBalance"] == before == wallet(bench)
    [line] = [c.row for c in changes if c.table == "transact" and c.row["currency"] == "XBt"]
    assert (line["transactType"], line["amount"], line["address"], line["transactStatus"]) == (
        "RealisedPNL", realised, "XBTUSD", "Completed",
    )  # fmt: skip
    assert line["walletBalance"] == before
    assert [c.row["amount"] for c in changes if c.table == "wallet" and c.account == ME] == [before]
    bench.exchange.due(NOON + 24 * HOUR)
    assert len([h for h in account.history if h["transactType"] == "RealisedPNL"]) == 1
    balanced(bench.exchange)


def test_wallet_history_is_newest_first_with_what_is_pending(bench):
    """Deposits at the end; at the head the unrealised line, with a zero transactID."""
    bench.place(orderQty=600, ordType="Market")
    bench.exchange.due(NOON)
    market_at(bench, "62000.5")
    rows = history_rows(bench.exchange.accounts[ME], "XBt")
    assert [r["transactType"] for r in rows] == ["UnrealisedPNL", "RealisedPNL", "Deposit"]
    assert (rows[0]["transactID"], rows[0]["transactStatus"]) == (NO_ID, "Pending")
    assert "timestamp" not in rows[0]
    assert rows[0]["amount"] == bench.exchange.position(ME, "XBTUSD").unrealised_pnl
    assert rows[1]["walletBalance"] == rows[2]["walletBalance"] + rows[1]["amount"]
    assert len({r["transactID"] for r in rows}) == 3


# -- the end of a future ------------------------------------------------------------------------


def test_dated_futures_end_on_the_last_friday_of_their_quarter_at_noon():
    """XBTM26 on 26 June 2026, XBTZ26 on Christmas; the series names the next one."""
    assert iso(instrument("XBTM26").expiry_ms) == "2026-06-26T12:00:00.000Z"
    assert iso(instrument("XBTZ26").expiry_ms) == "2026-12-25T12:00:00.000Z"
    assert iso(instrument("XBTH27").expiry_ms) == "2027-03-26T12:00:00.000Z"
    assert quarterly(NOW).symbol == "XBTM26"
    assert quarterly(instrument("XBTZ26").expiry_ms).symbol == "XBTH27"
    assert listing(["XBT:quarterly", "XBTUSD", "XBTM26"], NOW) == ("XBTM26", "XBTUSD")
    for wrong in (["XBTX26"], ["XBTM25"], [], ["XBTUSD", "DOGE"]):
        with pytest.raises(ValueError, match=r"symbols must be of|has expired"):
            listing(wrong, NOW)


def test_a_future_settles_and_is_over():
    """Positions go to zero at the mark, orders are canceled, the instrument is Settled for good."""
    bench = Futures()
    symbol = bench.symbol
    bench.place(orderQty=1_000, ordType="Market", symbol=symbol)
    resting = bench.place(orderQty=100, price="60000", symbol=symbol)
    stop = bench.place(orderQty=-100, stopPx=50_000, symbol=symbol)
    market_at(bench, "63000", symbol)
    bench.flush()
    account = bench.exchange.accounts[ME]
    worth = account.wallet_balance("XBt") + account.positions[symbol].unrealised_pnl
    bench.now = instrument(symbol).expiry_ms
    bench.exchange.due(bench.now - 1)
    assert bench.held(symbol=symbol) == 1_000
    bench.flush()
    bench.exchange.due(bench.now)
    bench.exchange.pulse(bench.now, positions=True)
    changes = bench.flush()
    [row] = [c.row for c in changes if c.table == "execution" and c.row["execType"] == "Settlement"]
    price = Decimal("63000.25")
    assert (row["side"], row["lastQty"], row["lastPx"], row["text"]) == (
        "Sell", 1_000, price, "Settlement",
    )  # fmt: skip
    assert (bench.held(symbol=symbol), resting.open, stop.open) == (0, False, False)
    assert account.wallet_balance("XBt") == worth
    [told] = [c.row for c in changes if c.table == "settlement"]
    assert (told["symbol"], told["settlementType"], told["settledPrice"]) == (
        symbol, "Settlement", price,
    )  # fmt: skip
    market = bench.exchange.markets[symbol]
    now = market.row(bench.now)
    assert (now["state"], now["settledPrice"], now["openInterest"]) == ("Settled", price, 0)
    assert not list(market.book.orders())
    with pytest.raises(Refusal, match="Instrument expired"):
        bench.place(orderQty=100, price="60000", symbol=symbol)
    balanced(bench.exchange)


def test_a_future_pays_no_funding_and_tells_its_expiry():
    """No funding field is in its row; expiry and settle are."""
    bench = Futures()
    row = bench.exchange.markets[bench.symbol].row(NOW)
    assert not [name for name in row if name.startswith("funding")]
    assert row["typ"] == "FFCCSX"
    assert row["expiry"] == row["settle"] == "2026-06-26T12:00:00.000Z"
    bench.place(orderQty=1_000, ordType="Market", symbol=bench.symbol)
    bench.exchange.due(EIGHT)
    assert not [r for r in bench.exchange.executions[ME] if r["execType"] == "Funding"]


# -- spot ---------------------------------------------------------------------------------------


def test_spot_changes_currencies_and_makes_no_position(bench):
    """1000 minor units at 61262.5 are 612625 of USDT, the fee comes on top; no settlCurrency."""
    market_at(bench, "61262.0", "XBT_USDT", size=10**10)
    bench.flush()
    assert XBT_USDT.cost(1_000, Decimal("61262.5")) == 612_625
    before = wallet(bench), wallet(bench, "USDt")
    order = bench.place(symbol="XBT_USDT", orderQty=1_000, price="61262.5")
    assert order.status == "Filled"
    fee = commission(612_625, Decimal("0.001"))
    assert wallet(bench) == before[0] + 1_000
    assert wallet(bench, "USDt") == before[1] - 612_625 - fee
    changes = bench.flush()
    assert not [c for c in changes if c.table == "position"]
    [row] = [c.row for c in changes if c.table == "execution" and c.row["execType"] == "Trade"]
    assert "settlCurrency" not in row
    assert (row["execCost"], row["execComm"]) == (612_625, fee)
    assert (row["homeNotional"], row["foreignNotional"]) == (
        Decimal("0.00001"), Decimal("-0.612625"),
    )  # fmt: skip
    assert {c.row["currency"] for c in changes if c.table == "margin"} == {"XBt", "USDt"}
    assert {c.row["currency"] for c in changes if c.table == "wallet"} == {"XBt", "USDt"}
    bench.place(symbol="XBT_USDT", orderQty=-1_000, ordType="Market")
    assert wallet(bench) == before[0]
    assert "settlCurrency" not in bench.exchange.markets["XBT_USDT"].row(NOW)
    balanced(bench.exchange)


def test_spot_orders_hold_what_they_would_spend():
    """The buyer's price and fee, the seller's goods; without them, a refusal."""
    bench = Bench(balances={"XBt": 1_000_000, "USDt": 1_000_000_000})
    market_at(bench, "61262.0", "XBT_USDT", size=10**10)
    with pytest.raises(Refusal, match=r"insufficient Available Balance, 6006000000 USDt required"):
        bench.place(symbol="XBT_USDT", orderQty=10_000_000, price="60000")
    with pytest.raises(Refusal, match=r"insufficient Available Balance, 1001000 XBt required"):
        bench.place(symbol="XBT_USDT", orderQty=-1_001_000, price="70000")
    bench.place(symbol="XBT_USDT", orderQty=-900_000, price="70000")
    bench.place(symbol="XBT_USDT", orderQty=1_000_000, price="60000")
    bench.flush()
    held = {
        c: bench.exchange.accounts[ME].margin_sent[c]["availableMargin"] for c in ("XBt", "USDt")
    }
    assert held == {"XBt": 100_000, "USDt": 1_000_000_000 - 600_600_000}
    bench.exchange.set_leverage(ME, "XBTUSD", Decimal(1), NOW)
    with pytest.raises(Refusal, match="100150 XBt required"):  # what is for sale backs no contract
        bench.place(orderQty=100, price="100000")


# -- a changed specification --------------------------------------------------------------------


def test_lot_tick_and_fees_change_while_orders_rest(bench):
    """Orders stay where they are in price; one between two ticks is canceled; new rules hold."""
    exchange = bench.exchange
    first = bench.place(orderQty=300, price="61000.5")
    second = bench.place(OTHER, orderQty=300, price="61000.5")
    between = bench.place(orderQty=300, price="61000.3")
    bench.place(orderQty=300, ordType="Market")
    inst = exchange.respecify("XBTUSD", NOW, tick=Decimal("0.5"), lot=1, taker_fee=Decimal("0.001"))
    assert (first.price, second.price, between.open) == (Decimal("61000.5"), first.price, False)
    book = exchange.markets["XBTUSD"].book
    assert [r.order_id for r in book.queue(BUY, 122_001)] == [first.order_id, second.order_id]
    assert exchange.catalogue["XBTUSD"] is inst
    exchange.house_take("XBTUSD", SELL, 300, None, NOW)
    assert (first.status, second.status) == ("Filled", "New")
    exchange.house_rest("XBTUSD", SELL, 122_600, 1_000, NOW)
    odd = bench.place(orderQty=7, ordType="Market")
    assert (odd.status, bench.held()) == ("Filled", 607)
    row = [r for r in exchange.executions[ME] if r["execType"] == "Trade"][-1]
    assert row["execComm"] == commission(abs(row["execCost"]), Decimal("0.001"))
    with pytest.raises(Refusal, match="Invalid price tickSize"):
        bench.place(orderQty=7, price="61000.3")
    assert CATALOGUE["XBTUSD"].lot == 100
    balanced(exchange)


def test_what_the_engine_holds_survives_a_new_tick():
    """A liquidation order keeps its place in the market when the tick grows, and is worked off."""
    bench = Bench(balances={"XBt": 10 * 10**8, "USDt": 1})
    bench.exchange.set_leverage(ME, "XBTUSD", Decimal(10), NOW)
    market_at(bench, "61250.5")
    bench.place(orderQty=30_000, ordType="Market")
    bench.flush()
    market_at(bench, "55000.5")
    bench.flush()
    assert bench.exchange.engine.positions["XBTUSD"].qty == 30_000
    bench.exchange.respecify("XBTUSD", NOW, tick=Decimal("0.5"))
    bench.flush()
    [row] = bench.exchange.records.liquidation.values()
    assert (row["leavesQty"], row["price"] % Decimal("0.5")) == (30_000, 0)
    bench.exchange.house_take("XBTUSD", BUY, 200_000, None, NOW)
    bench.flush()
    assert bench.exchange.engine.positions["XBTUSD"].qty == 0
    assert bench.exchange.records.liquidation == {}
    balanced(bench.exchange)
