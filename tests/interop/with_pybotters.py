"""
A round trip through pybotters: form bodies, times of expiry in milliseconds, parameters of DELETE
in the body, a stream that is signed at the upgrade, tables in its own store.

pybotters knows BitMEX by its name and by https, so this venue is behind TLS here, and the name
www.bitmex.com means this machine: a resolver and a certificate of our own, both options of aiohttp.

Its store drops what is inserted into a table that is empty at that moment (``if target_store :=
self[table]`` asks for its length), on any BitMEX. So the account begins with an order far away, a
trade and a position, and the market moves in steps that leave some levels standing.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from typing import Any

import aiohttp
import pybotters
from aiohttp.abc import AbstractResolver

from tests.interop.steps import DEADLINE_S, KEY, LOT, SECRET, SYMBOL, Venue, here, step, verdict


class Local(AbstractResolver):
    """Every name is this machine: nothing can leave it."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> Any:
        return [{
            "hostname": host, "host": "127.0.0.1", "port": port, "family": socket.AF_INET,
            "proto": 0, "flags": 0,
        }]  # fmt: skip

    async def close(self) -> None:
        pass


async def until(look: Any, wanted: Any, what: str) -> Any:
    """Look until what is in the store is wanted."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not wanted(seen := look()):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} never came; last seen: {look()!r}") from None
    return seen


class Trader:
    """A client, its store, and what the story needs of them."""

    def __init__(self, client: pybotters.Client, store: pybotters.BitMEXDataStore) -> None:
        self.client = client
        self.store = store

    async def ask(self, verb: str, path: str, **fields: Any) -> Any:
        """Form bodies, as pybotters sends them; parameters of GET in the query."""
        where = {"params": fields} if verb == "GET" else {"data": fields}
        answer = await self.client.fetch(verb, f"/api/v1{path}", **where)
        assert answer.response.status == 200, answer.text
        return answer.data

    def order(self, name: str) -> Any:
        return self.store.order.get({"orderID": name})

    def held(self) -> int:
        row = self.store.position.find({"symbol": SYMBOL})
        return row[0]["currentQty"] if row else 0

    def book(self) -> dict[tuple[str, float], int]:
        return {(r["side"], r["price"]): r["size"] for r in self.store.orderbook.find()}

    async def prepare(self) -> None:
        """Leave something in every table; see above."""
        rows = await self.ask("GET", "/orderBook/L2", symbol=SYMBOL, depth="1")
        bid = min(row["price"] for row in rows)
        await self.ask("POST", "/order", symbol=SYMBOL, orderQty=100, price=bid - 20_000)
        await self.ask("POST", "/order", symbol=SYMBOL, orderQty=100, ordType="Market")
        await self.ask("POST", "/order", symbol=SYMBOL, orderQty=-100, ordType="Market")

    async def same_book(self) -> None:
        rows = await self.ask("GET", "/orderBook/L2", symbol=SYMBOL, depth="0")
        true = {(row["side"], row["price"]): row["size"] for row in rows}
        await until(self.book, lambda book: book == true, "the venue's book")


async def trading(t: Trader, venue: Venue) -> None:
    with step("instruments by REST and by stream"):
        rows = await t.ask("GET", "/instrument/active")
        assert SYMBOL in {row["symbol"] for row in rows}
        [row] = await until(lambda: t.store.instrument.find({"symbol": SYMBOL}), len, "its row")
        assert (row["lotSize"], row["state"]) == (LOT, "Open")
    with step("order book and trades by stream"):
        await until(t.book, len, "the book")
        await t.same_book()
        best = t.store.orderbook.sorted(limit=1)
        bid, ahead = best["Buy"][0]["price"], best["Buy"][0]["size"]
        assert bid < best["Sell"][0]["price"]
    with step("place: a form body; numbers are text there"):
        row = await t.ask(
            "POST", "/order", symbol=SYMBOL, side="Buy", ordType="Limit", orderQty=300,
            price=bid - 50, clOrdID="py/+1", execInst="ParticipateDoNotInitiate",
        )  # fmt: skip
        name = row["orderID"]
        seen = await until(lambda: t.order(name), bool, "the order")
        assert (seen["clOrdID"], seen["leavesQty"], venue.open()[1:]) == ("py/+1", 300, [name])
    with step("amend"):
        await t.ask("PUT", "/order", origClOrdID="py/+1", price=bid, orderQty=500)
        seen = await until(lambda: t.order(name), lambda o: o["price"] == bid, "the new price")
        assert (seen["leavesQty"], seen["side"]) == (500, "Buy")
        assert venue.order(name)["price"] == bid
    with step("open orders by a filter in the query, encoded in pybotters' way"):
        wanted = json.dumps({"open": True, "symbol": SYMBOL})
        rows = await t.ask("GET", "/order", filter=wanted, reverse="true")
        assert [row["orderID"] for row in rows] == venue.open()[::-1]
    with step("partial fill"):
        venue.sells(ahead + 200)
        await until(lambda: t.order(name), lambda o: o["cumQty"] == 200, "the fill")
        await until(t.held, lambda held: held == 200, "the position")
        assert venue.held() == 200
    with step("full fill: the order leaves the store, the executions are the venue's"):
        venue.sells(300)
        await until(lambda: t.order(name), lambda o: o is None, "the end of the order")
        true = [fill["execID"] for fill in venue.fills(name)]
        seen = await until(
            lambda: [e["execID"] for e in t.store.execution.find({"orderID": name})
                     if e["execType"] == "Trade"],
            lambda ids: len(ids) >= len(true), "the fills",
        )  # fmt: skip
        assert seen == true
        await until(t.held, lambda held: held == 500, "the position")
        assert venue.held() == 500
    with step("cancel by a list of names, as JSON in a form field"):
        for client_id in ("py-2", "py-3"):
            await t.ask(
                "POST", "/order", symbol=SYMBOL, side="Buy", orderQty=100, price=bid - 300,
                clOrdID=client_id,
            )  # fmt: skip
        rows = await t.ask("DELETE", "/order", clOrdID=json.dumps(["py-2", "py-3"]))
        assert [row["ordStatus"] for row in rows] == ["Canceled", "Canceled"]
        await until(t.store.order.find, lambda rows: len(rows) == 1, "the end of both")
        assert len(venue.open()) == 1


async def money(t: Trader, venue: Venue) -> None:
    with step("the market moves: the kept book is the venue's"):
        bid = t.store.orderbook.sorted(limit=1)["Buy"][0]["price"]
        for price in (bid + 0.4, bid - 0.3, bid + 0.2):
            venue.moves_to(round(price, 1))
            await t.same_book()
    with step("candles by REST"):
        rows = await t.ask(
            "GET", "/trade/bucketed", symbol=SYMBOL, binSize="5m", count="12", reverse="true"
        )
        assert len(rows) == 12
        assert all(row["timestamp"].endswith(":00.000Z") for row in rows)
    with step("close by quantity below zero; flat, and the balance is what the executions say"):
        await t.ask("POST", "/order", symbol=SYMBOL, orderQty=-500, ordType="Market")
        await until(t.held, lambda held: held == 0, "the flat position")
        await until(
            lambda: t.store.margin.find({"currency": "XBt"}),
            lambda rows: rows[0]["marginBalance"] == venue.wealth_when_flat(), "the balance",
        )  # fmt: skip
        margin = await t.ask("GET", "/user/margin", currency="XBt")
        assert (margin["marginBalance"], venue.held()) == (venue.wealth_when_flat(), 0)
        await t.ask("DELETE", "/order/all", symbol=SYMBOL)
        assert venue.open() == []


async def strangers(base: str, connector: Any, venue: Venue) -> None:
    with step("a wrong secret is refused by REST, with BitMEX's words"):
        before = venue.truth()["orders"]
        async with pybotters.Client(
            {"bitmex": [KEY, "another"]}, base, connector=connector, connector_owner=False
        ) as client:
            answer = await client.fetch(
                "POST", "/api/v1/order", data={"symbol": SYMBOL, "orderQty": 100, "price": 100}
            )
        assert answer.response.status == 401
        assert answer.data["error"]["message"] == "Signature not valid."
        assert venue.truth()["orders"] == before


async def run(venue: Venue, front: str, authority: str) -> None:
    base = front.replace("127.0.0.1", "www.bitmex.com")
    trusted = ssl.create_default_context(cafile=authority)
    connector = aiohttp.TCPConnector(resolver=Local(), ssl=trusted)
    tables = "instrument orderBookL2 trade quote order execution position"
    topics = [f"{table}:{SYMBOL}" for table in tables.split()]
    async with pybotters.Client(
        {"bitmex": [KEY, SECRET]}, base, connector=connector, connector_owner=False
    ) as client:
        store = pybotters.BitMEXDataStore()
        trader = Trader(client, store)
        with step("first requests: signed forms"):
            await trader.prepare()
        with step("connect: signed at the upgrade, subscribed by message"):
            ws = client.ws_connect(
                base.replace("https", "wss") + "/realtime",
                send_json={"op": "subscribe", "args": [*topics, "margin", "wallet"]},
                hdlr_json=store.onmessage,
            )
            await asyncio.wait_for(ws._wait_handshake(), DEADLINE_S)
            await until(lambda: store.margin.find(), len, "the margin")
        await trading(trader, venue)
        await money(trader, venue)
    await strangers(base, connector, venue)
    await connector.close()


def main() -> int:
    venue = here()
    asyncio.run(run(venue, sys.argv[2], sys.argv[3]))
    return verdict()


if __name__ == "__main__":
    raise SystemExit(main())
