"""
A round trip through ccxt pro: everything is watched over one websocket that signs in by message,
orders go by asynchronous REST. Its ``api-expires`` is *now* in milliseconds, which BitMEX took for
seconds and so found to be far in the future.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt.pro

from tests.interop.steps import DEADLINE_S, KEY, SECRET, Venue, here, refused, step, verdict

PAIR = "BTC/USD:BTC"
THROTTLE_MS = (
    25  # of ccxt's own: a quarter of its usual patience; the venue's limits stay as they are
)


def exchange(url: str) -> Any:
    """ccxt pro as its users have it; only the addresses are ours."""
    made = ccxt.pro.bitmex(
        {"apiKey": KEY, "secret": SECRET, "newUpdates": False, "rateLimit": THROTTLE_MS}
    )
    made.urls["api"] = {
        "public": url, "private": url, "ws": url.replace("http", "ws") + "/realtime",
    }  # fmt: skip
    return made


async def until(watch: Any, wanted: Any, what: str, first: Any = None) -> Any:
    """Watch until what is seen is wanted, beginning with what is there already."""
    seen = first
    try:
        async with asyncio.timeout(DEADLINE_S):
            while seen is None or not wanted(seen):
                seen = await watch()
    except TimeoutError:
        raise AssertionError(f"{what} never came; last seen: {seen!r}") from None
    return seen


def levels(book: Any) -> tuple[list[list[float]], list[list[float]]]:
    """A book as prices and sizes, without ccxt's third column."""
    return [row[:2] for row in book["bids"]], [row[:2] for row in book["asks"]]


async def same_book(x: Any) -> None:
    """The book that ccxt kept by its deltas is the book that REST has."""
    true = levels(await x.fetch_order_book(PAIR, 0))
    await until(
        lambda: x.watch_order_book(PAIR), lambda book: levels(book) == true, "the venue's book",
        x.orderbooks.get(PAIR),
    )  # fmt: skip


def order_in(x: Any, name: str) -> Any:
    return x.orders.hashmap.get(PAIR, {}).get(name) if x.orders is not None else None


async def watched_order(x: Any, name: str, wanted: Any, what: str) -> Any:
    """An order of ours by the stream, once it is as wanted."""

    async def watch() -> Any:
        await x.watch_orders(PAIR)
        return order_in(x, name)

    return await until(watch, wanted, what, order_in(x, name))


async def public_streams(x: Any, venue: Venue) -> None:
    with step("markets, ticker and order book by stream"):
        await x.load_markets()
        ticker = await x.watch_ticker(PAIR)
        book = await x.watch_order_book(PAIR)
        assert (ticker["bid"], ticker["ask"]) == (book["bids"][0][0], book["asks"][0][0])
        await same_book(x)
    with step("trades by stream: somebody sells"):
        watching = asyncio.ensure_future(x.watch_trades(PAIR))
        await asyncio.sleep(0)
        trades = await asyncio.wait_for(watching, DEADLINE_S)
        venue.sells(100)
        trades = await until(
            lambda: x.watch_trades(PAIR),
            lambda rows: rows[-1]["amount"] == 100 and rows[-1]["side"] == "sell", "the trade",
            trades,
        )  # fmt: skip
        assert trades[-1]["price"] == ticker["bid"]
    with step("candles by stream: the image has those of the past"):
        candles = await asyncio.wait_for(x.watch_ohlcv(PAIR, "1m"), DEADLINE_S)
        assert candles
        assert candles[-1][0] % 60_000 == 0


async def trading(x: Any, venue: Venue) -> None:
    with step("sign in by message; the account's tables come"):
        balance = await asyncio.wait_for(x.watch_balance(), DEADLINE_S)
        assert balance["BTC"]["total"] == 100.0
    bid, ahead = (await x.fetch_order_book(PAIR, 1))["bids"][0]
    with step("place and watch"):
        order = await x.create_order(PAIR, "limit", "buy", 300, bid - 50)
        name = order["id"]
        seen = await watched_order(x, name, lambda o: o["status"] == "open", "the order")
        assert (seen["price"], seen["remaining"]) == (bid - 50, 300)
        assert venue.open() == [name]
    with step("amend and watch"):
        await x.edit_order(name, PAIR, "limit", "buy", 500, bid)
        seen = await watched_order(x, name, lambda o: o["price"] == bid, "the new price")
        # ccxt looks the older row up in a wrong place, so fields that did not change are None.
        assert seen["remaining"] == 500
        assert venue.order(name)["leavesQty"] == 500
    with step("partial fill by stream: order, trade and position"):
        venue.sells(int(ahead) + 200)
        seen = await watched_order(x, name, lambda o: o["remaining"] == 300, "the fill")
        assert seen["status"] == "open"
        position = await until(
            lambda: x.watch_positions([PAIR]), lambda p: p[0]["contracts"] == 200, "the position"
        )
        assert position[0]["side"] == "long"
        assert venue.held() == 200
    with step("full fill by stream: every execution of the venue, once"):
        venue.sells(300)
        await watched_order(x, name, lambda o: o["status"] == "closed", "the end of the order")
        true = [fill["execID"] for fill in venue.fills(name)]
        trades = await until(
            lambda: x.watch_my_trades(PAIR), lambda rows: len(rows) >= len(true), "the fills",
            x.myTrades,
        )  # fmt: skip
        assert [trade["info"]["execID"] for trade in trades] == true
        assert sum(trade["amount"] for trade in trades) == 500 == venue.held()
    with step("cancel and watch"):
        order = await x.create_order(PAIR, "limit", "buy", 100, bid - 500)
        await x.cancel_order(order["id"], PAIR)
        await watched_order(x, order["id"], lambda o: o["status"] == "canceled", "the cancel")
        assert venue.open() == []


async def ending(x: Any, venue: Venue, bid: float) -> None:
    with step("the market moves: the kept book is the venue's"):
        for price in (bid + 20, bid - 35.5, bid + 3.7):
            venue.moves_to(round(price, 1))
            await same_book(x)
    with step("close at market; the balance is what the executions say"):
        await x.close_position(PAIR, "sell")
        assert venue.held() == 0
        await until(
            x.watch_balance,
            lambda b: round(b["BTC"]["total"] * 10**8) == venue.wealth_when_flat(), "the balance",
            x.balance,
        )  # fmt: skip
    with step("an unknown topic is refused, and ccxt hears it"):
        with refused(ccxt.ExchangeError) as caught:
            await asyncio.wait_for(x.watch_ohlcv(PAIR, "7m"), DEADLINE_S)
        assert "Unknown table: tradeBin7m" in str(caught.problem), str(caught.problem)


async def run(venue: Venue) -> None:
    x = exchange(venue.url)
    try:
        await public_streams(x, venue)
        bid = (await x.fetch_order_book(PAIR, 1))["bids"][0][0]
        await trading(x, venue)
        await ending(x, venue, bid)
    finally:
        await x.close()


def main() -> int:
    asyncio.run(run(here()))
    return verdict()


if __name__ == "__main__":
    raise SystemExit(main())
