"""
A round trip through the official client, bitmex-ws: subscriptions in the URL, credentials in the
headers of the upgrade, tables kept by `keys`. It has no REST; requests are made by the standard
library and signed by the package's own `generate_signature`.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.error
import urllib.request
from typing import Any

from bitmex_websocket import BitMEXWebsocket
from util.api_key import generate_signature

from tests.interop.steps import (
    DEADLINE_S,
    DEPOSIT,
    KEY,
    LOT,
    SECRET,
    SYMBOL,
    Venue,
    here,
    refused,
    soon,
    step,
    verdict,
)


class Rest:
    """Signed requests, as in the package's own examples."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, verb: str, path: str, **fields: object) -> Any:
        path = f"/api/v1{path}"
        body = json.dumps(fields) if fields else ""
        expires = int(time.time()) + 60
        request = urllib.request.Request(
            self.url + path, body.encode() or None, method=verb,
            headers={
                "content-type": "application/json", "api-key": KEY, "api-expires": str(expires),
                "api-signature": generate_signature(SECRET, verb, path, expires, body),
            },
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.loads(answer.read())


def sides(rows: list[Any]) -> dict[tuple[str, float], int]:
    """A book, whatever the order of its rows."""
    return {(row["side"], row["price"]): row["size"] for row in rows}


def start(venue: Venue) -> BitMEXWebsocket:
    with step("connect: signed upgrade, nine tables by URL, all images there"):
        ws = BitMEXWebsocket(
            endpoint=venue.url.replace("http", "ws") + "/realtime", symbol=SYMBOL,
            api_key=KEY, api_secret=SECRET,
        )  # fmt: skip
        names = "execution instrument margin order orderBookL2 position quote trade"
        soon(lambda: set(ws.data), lambda tables: set(names.split()) <= tables, "a table")
        # Keys are taken from the venue; these are BitMEX's since October 2025.
        assert ws.keys["position"] == ["account", "symbol", "strategy"]
        assert (ws.keys["order"], ws.keys["orderBookL2"]) == (
            ["orderID"],
            ["symbol", "id", "side"],
        )
        assert ws.open_orders("") == []
    return ws


def same_book(ws: BitMEXWebsocket, rest: Rest) -> None:
    """The table that the client kept row by row is the book that the venue has."""
    path = f"/orderBook/L2?symbol={SYMBOL}&depth=0"
    soon(
        lambda: (sides(ws.market_depth()), sides(rest("GET", path))),
        lambda both: both[0] == both[1], "the venue's book",
    )  # fmt: skip


def trading(ws: BitMEXWebsocket, rest: Rest, venue: Venue) -> None:
    def mine(name: str) -> list[Any]:
        return [o for o in ws.data["order"] if o.get("clOrdID") == name]

    with step("instrument and ticker"):
        instrument = ws.get_instrument()
        assert (instrument["lotSize"], instrument["tickLog"]) == (LOT, 1)
        ticker = ws.get_ticker()
        assert ticker["buy"] < ticker["sell"]
    bid = ticker["buy"]
    ahead = sides(ws.market_depth())["Buy", bid]
    with step("place: the order comes by REST and by stream"):
        order = rest(
            "POST", "/order", symbol=SYMBOL, side="Buy", orderQty=300, price=bid - 50,
            ordType="Limit", clOrdID="ws-1",
        )  # fmt: skip
        [row] = soon(lambda: ws.open_orders("ws-"), len, "the order")
        assert (row["orderID"], row["leavesQty"]) == (order["orderID"], 300)
        assert venue.order(order["orderID"])["price"] == bid - 50
    name = order["orderID"]
    with step("amend: only the changed fields come, and merge by key"):
        rest("PUT", "/order", orderID=name, price=bid, orderQty=500)
        [row] = soon(lambda: mine("ws-1"), lambda rows: rows[0]["price"] == bid, "the new price")
        assert (row["orderQty"], row["leavesQty"], row["side"]) == (500, 500, "Buy")
        same_book(ws, rest)
    with step("partial fill: order, execution and position rows agree"):
        venue.sells(ahead + 200)
        [row] = soon(lambda: mine("ws-1"), lambda rows: rows[0]["cumQty"] == 200, "the fill")
        assert (row["ordStatus"], row["leavesQty"]) == ("PartiallyFilled", 300)
        soon(ws.positions, lambda rows: rows and rows[0]["currentQty"] == 200, "the position")
        assert venue.held() == 200
    with step("full fill: the client forgets the order, and holds the position"):
        venue.sells(300)
        soon(lambda: mine("ws-1"), lambda rows: rows == [], "the end of the order")
        [held] = soon(ws.positions, lambda rows: rows[0]["currentQty"] == 500, "the position")
        assert (held["avgEntryPrice"], held["isOpen"], venue.held()) == (bid, True, 500)
    with step("executions: the same, once each, as the venue's"):
        true = [fill["execID"] for fill in venue.fills(name)]
        seen = soon(
            lambda: [e["execID"] for e in ws.data["execution"] if e["execType"] == "Trade"],
            lambda ids: len(ids) >= len(true), "an execution",
        )  # fmt: skip
        assert seen == true
    with step("trades: the public table has both sides of them"):
        matches = {fill["trdMatchID"] for fill in ws.data["execution"] if fill.get("lastQty")}
        assert matches <= {trade["trdMatchID"] for trade in ws.recent_trades()}
    with step("cancel"):
        far = rest(
            "POST", "/order", symbol=SYMBOL, side="Buy", orderQty=100, price=bid - 500,
            clOrdID="ws-2", execInst="ParticipateDoNotInitiate",
        )  # fmt: skip
        soon(lambda: mine("ws-2"), len, "the order")
        [row] = rest("DELETE", "/order", clOrdID="ws-2")
        assert row["ordStatus"] == "Canceled"
        soon(lambda: mine("ws-2"), lambda rows: rows == [], "the end of the order")
        assert (venue.order(far["orderID"])["ordStatus"], venue.open()) == ("Canceled", [])
    with step("the market moves: every level inserted, changed and gone is in the kept book"):
        for price in (bid + 20, bid - 35.5, bid + 3.7):
            venue.moves_to(round(price, 1))
            same_book(ws, rest)
        assert ws.get_ticker()["buy"] == round(bid + 3.7, 1)
    with step("close at market: flat, and the balance is what the executions say"):
        rest("POST", "/order", symbol=SYMBOL, side="Sell", ordType="Market", execInst="Close")
        soon(ws.positions, lambda rows: rows[0]["currentQty"] == 0, "the flat position")
        soon(ws.funds, lambda row: row["marginBalance"] == venue.wealth_when_flat(), "the balance")
        assert venue.held() == 0


def refusals(ws: BitMEXWebsocket, rest: Rest, venue: Venue) -> None:
    with step("a refusal says BitMEX's words and changes nothing"):
        before = venue.truth()["orders"]
        with refused(urllib.error.HTTPError) as caught:
            rest("POST", "/order", symbol=SYMBOL, orderQty=100, price=1000.03)
        said = json.loads(caught.problem.read())["error"]
        assert (caught.problem.code, said["message"]) == (400, "Invalid price tickSize")
        assert venue.truth()["orders"] == before
    with step("the venue drops everybody; a client started again is whole"):
        assert venue.ask("disconnect", posts=True)["closed"] >= 1
        soon(lambda: ws.ws.sock is None or not ws.ws.sock.connected, bool, "the end of the socket")
        again = start(venue)
        same_book(again, rest)
        again.exit()


def main() -> int:
    logging.getLogger("websocket").setLevel(logging.CRITICAL)  # it reports the planned disconnect
    logging.getLogger("bitmex_websocket").setLevel(logging.CRITICAL)
    venue = here()
    rest = Rest(venue.url)
    ws = start(venue)
    with step("the account's money"):
        assert ws.funds()["walletBalance"] == DEPOSIT
    trading(ws, rest, venue)
    refusals(ws, rest, venue)
    ws.exit()
    return verdict()


if __name__ == "__main__":
    raise SystemExit(main())
