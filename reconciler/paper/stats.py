"""
Turnover and open interest of the venue as a whole (protocol sheet, section 5: /stats and its like).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bins import SIZES
from .orders import Row
from .queries import page
from .times import iso
from .venue_market import Market

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked

_DAY_MS = SIZES["1d"]


def _by_root(api: Api) -> dict[tuple[str, str], list[Market]]:
    """Markets by root symbol and settlement currency."""
    found: dict[tuple[str, str], list[Market]] = {}
    for market in api.exchange.markets.values():
        found.setdefault((market.inst.root, market.inst.settle), []).append(market)
    return found


def stats(api: Api, asked: Asked) -> object:
    """By root symbol: what was traded in 24 hours and what is open; then the total."""
    rows: list[Row] = []
    for (root, currency), markets in _by_root(api).items():
        days = [market.bins.day(asked.now_ms) for market in markets]
        rows.append(
            {
                "rootSymbol": root, "currency": currency,
                "volume24h": sum(day.volume for day in days if day is not None),
                "turnover24h": sum(day.turnover for day in days if day is not None),
                "openInterest": sum(market.open_interest for market in markets),
                "openValue": sum(m.inst.value(m.open_interest, m.mark) for m in markets),
            }
        )  # fmt: skip
    bitcoin = [row for row in rows if row["currency"] == "XBt"]
    total: Row = {"rootSymbol": "Total", "currency": "XBt"}
    for name in ("turnover24h", "openValue"):
        total[name] = sum(int(str(row[name])) for row in bitcoin)
    return [*rows, total]


def stats_history(api: Api, asked: Asked) -> object:
    """By day and root symbol, the latest day first."""
    today = asked.now_ms // _DAY_MS * _DAY_MS
    rows: list[Row] = []
    groups = _by_root(api)
    first = next(iter(api.exchange.markets.values())).bins
    for end in reversed(first.ends("1d", asked.now_ms, partial=False)):
        for (root, currency), markets in groups.items():
            days = [market.bins.bucket("1d", end, today) for market in markets]
            rows.append(
                {
                    "date": iso(end - _DAY_MS), "rootSymbol": root, "currency": currency,
                    "volume": sum(day.volume for day in days if day is not None),
                    "turnover": sum(day.turnover for day in days if day is not None),
                }
            )  # fmt: skip
    return rows


def _dollars(market: Market, now_ms: int) -> int:
    """What a market turned over in its quote currency, as far back as is known; today included."""
    ends = market.bins.ends("1d", now_ms, partial=True)
    made = [market.bins.bucket("1d", end, now_ms) for end in ends]
    return sum(int(day.foreign) for day in made if day is not None)


def _turnovers(markets: list[Market], now_ms: int) -> Row:
    """Nothing is known of more than thirty days, so the longer periods are alike."""
    days = [market.bins.day(now_ms) for market in markets]
    known = sum(_dollars(market, now_ms) for market in markets)
    return {
        "currency": "USD",
        "turnover24h": sum(int(day.foreign) for day in days if day is not None),
        "turnover30d": known, "turnover365d": known, "turnover": known,
    }  # fmt: skip


def stats_history_usd(api: Api, asked: Asked) -> object:
    """Turnover in dollars by root symbol, and in total; a USDT is a dollar here."""
    roots: dict[str, list[Market]] = {}
    for market in api.exchange.markets.values():
        roots.setdefault(market.inst.root, []).append(market)
    every = list(api.exchange.markets.values())
    return [
        {"rootSymbol": root, **_turnovers(markets, asked.now_ms)}
        for root, markets in [*roots.items(), ("Total", every)]
    ]


def usd_volume(api: Api, asked: Asked) -> object:
    """Turnover in dollars by instrument, and in total."""
    wanted = page(asked.fields)
    rows: list[Row] = [
        {"symbol": symbol, **_turnovers([market], asked.now_ms)}
        for symbol, market in api.exchange.markets.items()
        if str(wanted.where.get("symbol", symbol)).upper() == symbol
    ]
    if "symbol" not in wanted.where:
        every = list(api.exchange.markets.values())
        rows.append({"symbol": "Total", **_turnovers(every, asked.now_ms)})
    return wanted.strip(rows, ("symbol",))
