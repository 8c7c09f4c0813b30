"""Futures among the routes: series by time frame, what is listed, what an expired one leaves."""

from __future__ import annotations

import pytest

from reconciler.paper.instruments import quarterly
from tests.paper.conftest import NOW
from tests.paper.test_rest_market import Reader

FUTURE = quarterly(NOW).symbol


@pytest.fixture
def reader() -> Reader:
    return Reader(symbols=("XBTUSD", "XBT_USDT", FUTURE))


@pytest.mark.parametrize("frame", ["nearest", "quarterly"])
def test_a_time_frame_names_a_future(reader, frame):
    """`XBT:quarterly` is the next quarterly future; `XBT` alone is the perpetual."""
    for path in ("/instrument", "/trade/bucketed", "/quote"):
        rows = reader.get(path, symbol=f"xbt:{frame}", count=3)
        assert {row["symbol"] for row in rows} == {FUTURE}
    assert reader.get("/orderBook/L2", symbol=f"XBT:{frame}", depth=1)[0]["symbol"] == FUTURE
    assert {row["symbol"] for row in reader.get("/quote", symbol="XBT")} == {"XBTUSD"}
    assert reader.get("/instrument", symbol="XBT:daily") == []


def test_live_series_name_what_they_mean(reader):
    """Spot has no series; the perpetual and the future have."""
    told = reader.get("/instrument/activeIntervals")
    assert dict(zip(told["intervals"], told["symbols"], strict=True)) == {
        "XBT:perpetual": "XBTUSD", "XBT:nearest": FUTURE, "XBT:quarterly": FUTURE,
    }  # fmt: skip


def test_only_perpetuals_have_funding(reader):
    """Neither a future nor spot has a row of funding."""
    assert {row["symbol"] for row in reader.get("/funding", count=500)} == {"XBTUSD"}


def test_buckets_of_every_kind_of_contract_are_consistent(reader):
    """Inverse, spot and future: turnover and vwap of a past hour tell of the same price."""
    for symbol in ("XBTUSD", "XBT_USDT", FUTURE):
        for row in reader.get("/trade/bucketed", symbol=symbol, binSize="1h", count=20):
            assert row["low"] <= row["vwap"] <= row["high"]
            price = row["foreignNotional"] / row["homeNotional"]
            assert abs(price - row["vwap"]) < row["vwap"] / 1_000


def test_a_settled_future_is_told_for_a_day_and_then_only_on_demand(reader):
    """It is no series any more; `/instrument/active` shows it a day, `/instrument` for ever."""
    inst = reader.world.exchange.markets[FUTURE].inst
    assert inst.expiry_ms is not None
    reader.world.exchange.markets[FUTURE].state = "Settled"
    reader.now = inst.expiry_ms + 3_600_000

    def active() -> set[str]:
        return {row["symbol"] for row in reader.get("/instrument/active")}

    assert FUTURE in active()
    assert reader.get("/instrument/activeIntervals")["symbols"] == ["XBTUSD"]
    reader.now = inst.expiry_ms + 86_400_000
    assert FUTURE not in active()
    assert reader.get("/instrument", symbol=FUTURE)[0]["state"] == "Settled"
