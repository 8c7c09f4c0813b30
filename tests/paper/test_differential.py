"""
What REST says and what the streams add up to are one and the same, whatever members do.

A client that knows nothing of the venue merges every table by the keys of its partial. After each
action of a drawn life of two members it is compared with REST, and its tables with one another.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from reconciler.paper.auth import Key, sign
from reconciler.paper.market import BUY
from reconciler.paper.protocol import decode
from reconciler.paper.rest import Admitted
from reconciler.paper.web import Request
from reconciler.paper.world import World
from tests.paper.conftest import NOW

Row = dict[str, Any]
SYMBOLS = ("XBTUSD", "ETHUSD", "XBT_USDT", "XBTM26")
KEYS = [Key.parse("k1:s1:1001"), Key.parse("k2:s2:1002")]
TABLES = ("order", "execution", "position", "margin", "wallet", "instrument", "orderBookL2",
          "orderBookL2_25", "quote", "liquidation")  # fmt: skip
SEEDS, STEPS = 3, 55
LINKS = ("OneCancelsTheOther", "OneTriggersTheOther", "")
MOVES = ("Trade", "Liquidation", "Settlement")


class Client:
    """One member: signed requests, and every table merged by its keys."""

    def __init__(self, life: Life, key: Key) -> None:
        self.life, self.key = life, key
        self.tables: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.lines: dict[str, list[Row]] = {}  # of tables without keys
        self.keys: dict[str, list[str]] = {}
        self.socket = life.world.hub.open(lambda: None)
        self.socket.sign_in(self.signed("GET", "/realtime", b""), life.now)
        self.socket.receive(json.dumps({"op": "subscribe", "args": TABLES}), life.now)

    def signed(self, verb: str, path: str, raw: bytes) -> dict[str, str]:
        expires = str(self.life.now // 1000 + 60)
        signature = sign(self.key.secret, verb, path, expires, raw)
        return {"api-key": self.key.key, "api-expires": expires, "api-signature": signature}

    def call(self, verb: str, path: str, **fields: Any) -> tuple[int, Any]:
        path = f"/api/v1/{path}"
        raw = json.dumps(fields, default=str).encode() if fields else b""
        headers = {**self.signed(verb, path, raw), "content-type": "application/json"}
        where, _, query = path.partition("?")
        request = Request(
            verb=verb, path=where, target=path, query=query, headers=headers, body=raw,
            address="127.0.0.1",
        )  # fmt: skip
        found = self.life.world.api.admit(request, self.life.now)
        if isinstance(found, Admitted):
            found = self.life.world.api.act(found, self.life.now)
        assert found.status in (200, 400), (path, fields, found.body)
        return found.status, decode(found.body)

    def ask(self, path: str) -> list[Row]:
        status, rows = self.call("GET", path)
        assert status == 200, (path, rows)
        return rows

    def read(self) -> None:
        """Merge the frames that have come, as section 9.3 of the sheet says."""
        for raw in self.socket.take():
            frame: Any = decode(raw) if raw != b"pong" else {}
            if "table" in frame:
                self.merge(**{k: frame.get(k) for k in ("table", "action", "keys", "data")})

    def merge(self, table: str, action: str, keys: list[str] | None, data: list[Row]) -> None:
        if action == "partial":
            self.keys[table], self.tables[table], self.lines[table] = keys or [], {}, []
        held = self.tables[table]
        for row in data:
            name = tuple(row[key] for key in self.keys[table])
            if not name:
                assert action in ("partial", "insert")
                self.lines[table].append(row)
            elif action in ("partial", "insert"):
                assert name not in held, (table, row)
                held[name] = row
            elif action == "update":
                merged = {**held[name], **row}
                held[name] = {k: v for k, v in merged.items() if v is not None}
            else:
                del held[name]


class Life:
    """Two members and an operator who do what a seed draws."""

    def __init__(self, seed: int) -> None:
        self.rng, self.now = random.Random(seed), NOW
        funds = self.rng.choice([(3_000_000, 2 * 10**9), (10**8, 10**11), (10**9, 10**12)])
        self.world = World(
            seed=seed, symbols=SYMBOLS, now_ms=NOW, later=lambda seconds, action: action(),
            walk=False, rate_limits=False, keys=KEYS,
            balances=dict(zip(("XBt", "USDt"), funds, strict=True)),
        )  # fmt: skip
        self.members = [Client(self, key) for key in KEYS]
        self.asked: list[Any] = []  # what a failure shows

    def step(self) -> None:
        draws = [self.place] * 6 + [self.amend] * 4 + [self.operate] * 4 + [self.position] * 2
        member, symbol = self.rng.choice(self.members), self.rng.choice(SYMBOLS)
        self.rng.choice([*draws, self.cancel, self.wait])(member, symbol)

    def around(self, symbol: str, ticks: int) -> Decimal:
        """A price so many ticks from the best bid."""
        market = self.world.exchange.markets[symbol]
        best = market.book.best(BUY) or int(market.mark / market.inst.tick)
        return market.inst.price(max(1, best + ticks))

    def lots(self, symbol: str) -> int:
        inst = self.world.exchange.catalogue[symbol]
        unit = self.rng.choice([1, max(1, inst.house_size // inst.lot // 5)])
        return self.rng.choice([1, 2, 3, 20, 300]) * unit * inst.lot

    def place(self, member: Client, symbol: str) -> None:
        rng = self.rng
        kinds = ("Limit", "Limit", "Limit", "Market", "Stop", "StopLimit", "LimitIfTouched")
        kind, near = rng.choice(kinds), [-40, -2, -1, 0, 1, 2, 40, rng.randint(-9_000, 9_000)]
        fields: Row = {
            "symbol": symbol, "ordType": kind, "orderQty": self.lots(symbol),
            "side": rng.choice(("Buy", "Sell")), "clOrdID": rng.choice(("", "", "a", "b")),
            "timeInForce": rng.choice(("", "", "", "Day", "ImmediateOrCancel", "FillOrKill")),
            "execInst": rng.choice(("", "", "", "", "ReduceOnly", "Close")),
        }  # fmt: skip
        if "Limit" in kind:
            fields["price"] = self.around(symbol, rng.choice(near))
            if rng.random() < 0.3:
                fields["displayQty"] = rng.choice((0, self.lots(symbol)))
        if kind not in ("Limit", "Market"):
            fields["stopPx"] = self.around(symbol, rng.choice(near))
        if rng.random() < 0.3:
            fields |= {"clOrdLinkID": "l", "contingencyType": rng.choice(LINKS)}
        self.tell(member, "POST", "order", fields)

    def amend(self, member: Client, symbol: str) -> None:
        orders = [o for o in member.tables["order"].values() if o["leavesQty"]]
        orders += list(member.tables["order"].values())[-2:]
        if not orders:
            return
        order, rng = self.rng.choice(orders), self.rng
        what = rng.choice(("orderQty", "leavesQty", "price", "stopPx"))
        ticks = rng.choice((-30, -1, 0, 1, 30, 3_000))
        wanted = (
            self.lots(order["symbol"]) if "Qty" in what else self.around(order["symbol"], ticks)
        )
        self.tell(member, "PUT", "order", {"orderID": order["orderID"], what: wanted})

    def cancel(self, member: Client, symbol: str) -> None:
        if self.rng.random() < 0.5:
            self.tell(member, "DELETE", "order/all", {"symbol": symbol})
        else:
            self.tell(member, "DELETE", "order", {"clOrdID": ["a", "b"]})

    def position(self, member: Client, symbol: str) -> None:
        path, fields = self.rng.choice(
            [
                ("leverage", {"leverage": self.rng.choice((0, 1, 5, 100))}),
                ("isolate", {"enabled": self.rng.random() < 0.5}),
                ("transferMargin", {"amount": self.rng.choice((-1_000, 1_000, 100_000))}),
            ]
        )
        self.tell(member, "POST", f"position/{path}", {"symbol": symbol, **fields})

    def tell(self, member: Client, verb: str, path: str, fields: Row) -> None:
        self.asked.append((member.key.account, verb, path, fields))
        member.call(verb, path, **fields)

    def operate(self, member: Client, symbol: str) -> None:
        rng, account = self.rng, member.key.account
        market = self.world.exchange.markets[symbol]
        there = market.inst.start_price * rng.choice((60, 95, 99, 100, 101, 104, 160)) / 100
        fields: Row = {"symbol": symbol}
        action, more = rng.choice(
            [
                ("price", {"price": market.inst.price(int(there / market.inst.tick))}),
                ("price", {"price": self.around(symbol, rng.randint(-400, 400))}),
                ("funding", {"fundingRate": rng.choice(("0.001", "-0.004", "0.02"))}),
                ("liquidate", {"account": account}),
                ("deleverage", {"account": account}),
                ("rules", {"tickSize": market.inst.tick * rng.choice((1, 2))}),
                ("rules", {"takerFee": rng.choice(("0.0005", "0.00075"))}),
                ("trade", {"account": account, "side": "Buy", "orderQty": self.lots(symbol)}),
            ]
        )
        self.asked.append((action, symbol, more))
        self.paper("POST", action, fields | more)

    def paper(self, verb: str, what: str, fields: Row) -> Any:
        request = Request(
            verb=verb, path=f"/paper/{what}", target=f"/paper/{what}", query="",
            headers={"content-type": "application/json"}, address="127.0.0.1",
            body=json.dumps(fields, default=str).encode() if fields else b"",
        )  # fmt: skip
        answer = self.world.control(request, self.now)
        assert answer.status in (200, 400), answer.body
        return decode(answer.body)

    def wait(self, member: Client, symbol: str) -> None:
        """Seconds, or hours: midnight, noon, funding, the end of what rests in liquidation."""
        milliseconds = self.rng.choice((500, 4_000, 60_000, 4 * 3_600_000))
        self.asked.append(("wait", milliseconds))
        self.now += milliseconds
        for session in self.world.hub.sessions:
            session.receive("ping", self.now)
        self.world.tick(self.now)

    def look(self) -> None:
        """Half a second passes, in which marks are renewed and told."""
        self.now += 20
        self.world.exchange.pulse(self.now, positions=True)
        self.world.exchange.pulse(self.now, positions=True)  # a liquidation came after its row
        self.world.publish(self.now)
        for member in self.members:
            member.read()


def by(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], Row]:
    return {tuple(row[key] for key in keys): row for row in rows}


def without(rows: dict[tuple[Any, ...], Row], *fields: str) -> dict[tuple[Any, ...], Row]:
    return {name: {k: v for k, v in row.items() if k not in fields} for name, row in rows.items()}


def agree(member: Client) -> None:
    """REST shows what the streams add up to."""
    told = member.tables
    assert told["order"] == by(member.ask("order?count=500"), "orderID")
    executions = by(member.ask("execution?count=500"), "execID")
    assert by(member.lines["execution"], "execID") == executions
    for table, path, keys, stale in (
        # A flat position's mark is told when something else changes (section 10.3).
        ("position", "position", ("account", "symbol", "strategy"), ("timestamp", "markPrice")),
        ("margin", "user/margin?currency=all", ("account", "currency"), ("timestamp",)),
        ("wallet", "user/wallet?currency=all", ("account", "currency"), ("timestamp",)),
        ("liquidation", "liquidation", ("orderID",), ()),
    ):
        assert without(told[table], *stale) == without(by(member.ask(path), *keys), *stale), table


def agree_on_the_market(member: Client) -> None:
    """The same of the public tables."""
    rows = by(member.ask("instrument/activeAndIndices"), "symbol")
    assert without(member.tables["instrument"], "timestamp") == without(rows, "timestamp")
    for symbol in SYMBOLS:
        for table, depth in (("orderBookL2", 0), ("orderBookL2_25", 25)):
            rows = by(
                member.ask(f"orderBook/L2?symbol={symbol}&depth={depth}"), "symbol", "id", "side"
            )
            mine = {name: row for name, row in member.tables[table].items() if name[0] == symbol}
            times = ("timestamp", "transactTime")
            assert without(mine, *times) == without(rows, *times), table


def add_up(member: Client) -> None:
    """Each table follows from the others."""
    orders, executions = list(member.tables["order"].values()), member.lines["execution"]
    for order in orders:
        mine = [r for r in executions if r["orderID"] == order["orderID"]]
        assert order["cumQty"] == sum(r["lastQty"] for r in mine if r["execType"] in MOVES), order
        assert order["leavesQty"] == 0 or order["orderQty"] == order["cumQty"] + order["leavesQty"]
        assert ("avgPx" in order) == (order["cumQty"] > 0)
    for row in executions:
        if row["execType"] in (*MOVES, "Funding"):
            assert row["execComm"] == int(abs(row["execCost"]) * Decimal(row["commission"])), row
    for p in member.tables["position"].values():
        here = [r for r in executions if r.get("symbol") == p["symbol"] and r["execType"] in MOVES]
        signed = [r["lastQty"] if r["side"] == "Buy" else -r["lastQty"] for r in here]
        assert p["currentQty"] == sum(signed)
        for side in ("Buy", "Sell"):
            working = [
                o["leavesQty"] for o in orders
                if (o["symbol"], o["side"], o["workingIndicator"]) == (p["symbol"], side, True)
            ]  # fmt: skip
            assert p[f"openOrder{side}Qty"] == sum(working)
        assert p["posMargin"] == p["posInit"] + p["posCross"] + p["posComm"]
    for row in member.tables["margin"].values():
        held = [p for p in member.tables["position"].values() if p["currency"] == row["currency"]]
        assert row["unrealisedPnl"] == sum(p["unrealisedPnl"] for p in held)
        assert row["maintMargin"] == sum(p["maintMargin"] for p in held)
        assert row["marginBalance"] == row["walletBalance"] + row["unrealisedPnl"]
        spare = row["marginBalance"] - row["initMargin"] - row["maintMargin"]
        assert row["availableMargin"] == max(0, spare)
        assert spare >= 0 or not any(p["posMargin"] for p in held)  # they gave what they had
        assert row["walletBalance"] >= 0
        wallet = member.tables["wallet"][member.key.account, row["currency"]]
        assert row["walletBalance"] == wallet["amount"] + row["realisedPnl"]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_streams_add_up_to_what_rest_says(seed):
    """
    After any action of two members and an operator: every table, merged by its keys, is what REST
    answers; orders count their executions, positions theirs, margins their positions; contracts
    and money of all add up to nothing missing.
    """
    life = Life(seed)
    life.look()
    for _ in range(STEPS):
        life.step()
        life.look()
        for member in life.members:
            agree(member)
            add_up(member)
        agree_on_the_market(life.members[0])
        books = life.paper("GET", "books", {})
        assert not any(books["contracts"].values()), life.asked[-3:]
        assert not any(money["gap"] for money in books["money"].values()), life.asked[-3:]


def test_the_lives_are_eventful():
    """Together they have every way in which orders and positions change, or it says little."""
    kinds: set[str] = set()
    for seed in range(SEEDS):
        life = Life(seed)
        life.look()
        for _ in range(STEPS):
            life.step()
            life.look()
        kinds |= {r["execType"] for m in life.members for r in m.lines["execution"]}
    assert kinds >= {
        "New", "Trade", "Replaced", "Canceled", "TriggeredOrActivatedBySystem", "Funding",
        "Liquidation", "CancelReject",
    }  # fmt: skip
