"""A venue in memory, a venue behind sockets, and a client written from the fact sheet."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests
import websocket

from reconciler.paper import PaperExchange, intake
from reconciler.paper.exchange import Exchange
from reconciler.paper.instruments import CATALOGUE
from reconciler.paper.market import BUY, SELL
from reconciler.paper.orders import Order
from reconciler.paper.protocol import Change

NOW = 1_779_274_800_000  # 2026-05-20T11:00:00.000Z
ME, OTHER = 1001, 1002
DEADLINE_S = 8.0


class Bench:
    """An exchange in memory with a small still book around 61250.5 in XBTUSD."""

    def __init__(self, **options: Any) -> None:
        self.now = NOW
        self.exchange = Exchange(
            list(CATALOGUE.values()), [ME, OTHER], seed=1, now_ms=NOW, **options
        )
        for level in range(5):
            self.exchange.house_rest("XBTUSD", BUY, 612_505 - level, 1_000, NOW)
            self.exchange.house_rest("XBTUSD", SELL, 612_510 + level, 1_000, NOW)
        self.flush()

    def place(self, account: int = ME, **fields: Any) -> Order:
        fields.setdefault("symbol", "XBTUSD")
        fields = {k: Decimal(v) if k == "price" else v for k, v in fields.items()}
        new = intake.new_order(fields, self.exchange.catalogue)
        return self.exchange.place(account, new, self.now)

    def amend(self, account: int = ME, **fields: Any) -> Order:
        fields = {k: Decimal(v) if k == "price" else v for k, v in fields.items()}
        return self.exchange.amend(account, intake.amend(fields), self.now)

    def cancel(self, order: Order) -> list[dict[str, object]]:
        return self.exchange.cancel(order.account, [order.order_id], [], "", self.now)

    def flush(self) -> list[Change]:
        return self.exchange.flush(self.now)

    def rows(self, table: str, account: int | None = ME) -> list[tuple[str, dict[str, Any]]]:
        """(action, row) of one table since the last flush."""
        found = self.flush()
        return [(c.action, c.row) for c in found if c.table == table and c.account == account]

    def held(self, account: int = ME, symbol: str = "XBTUSD") -> int:
        return self.exchange.position(account, symbol).qty


@pytest.fixture
def bench() -> Bench:
    return Bench()


class Client:
    """A trader who signs by hand."""

    def __init__(self, url: str, key: str = "sim-key", secret: str = "sim-secret") -> None:
        self.url = url
        self.key, self.secret = key, secret
        self.session = requests.Session()
        self.session.trust_env = False

    def signed(self, verb: str, path: str, body: bytes, expires: str) -> dict[str, str]:
        message = (verb + path + expires).encode() + body
        signature = hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()
        return {"api-key": self.key, "api-expires": expires, "api-signature": signature}

    def call(
        self, verb: str, path: str, body: object = None, *, expires: str | None = None,
        form: str | None = None,
    ) -> requests.Response:  # fmt: skip
        raw = b"" if body is None else json.dumps(body).encode()
        kind = "application/json"
        if form is not None:
            raw, kind = form.encode(), "application/x-www-form-urlencoded"
        headers = self.signed(verb, path, raw, expires or str(int(time.time()) + 60))
        headers["content-type"] = kind
        request = requests.Request(verb, self.url, data=raw or None, headers=headers)
        prepared = self.session.prepare_request(request)
        prepared.url = self.url + path  # the target exactly as it was signed
        return self.session.send(prepared, timeout=DEADLINE_S)

    def order(self, **fields: object) -> requests.Response:
        return self.call("POST", "/api/v1/order", {"symbol": "XBTUSD", **fields})

    def paper(self, path: str, **fields: object) -> Any:
        """A control request: GET without fields, POST with."""
        url = f"{self.url}/paper/{path}"
        send = self.session.post if fields else self.session.get
        answer = send(url, json=fields, timeout=DEADLINE_S) if fields else send(url, timeout=8)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, name: str, probability: float = 1.0, count: int = 1) -> None:
        self.paper("fault", name=name, probability=probability, count=count)


class Stream:
    """A websocket whose table frames can be awaited."""

    def __init__(self, url: str, *topics: str, query: str = "", client: Client | None = None):
        address = url.replace("http", "ws") + "/realtime" + query
        self.socket = websocket.create_connection(address, timeout=DEADLINE_S)
        self.welcome = self.next()
        if client is not None:
            expires = int(time.time()) + 60
            signed = client.signed("GET", "/realtime", b"", str(expires))
            args = [client.key, expires, signed["api-signature"]]
            self.ask("authKeyExpires", args)
            assert self.next()["success"] is True
        if topics:
            self.ask("subscribe", list(topics))
            for _ in topics:
                self.until(lambda frame: "subscribe" in frame)
            for topic in topics:
                name = topic.partition(":")[0]
                self.until(lambda f, n=name: f.get("table") == n and f["action"] == "partial")

    def ask(self, op: str, args: object) -> None:
        self.socket.send(json.dumps({"op": op, "args": args}))

    def next(self) -> Any:
        text = self.socket.recv()
        return text if text == "pong" else json.loads(text, parse_float=Decimal)

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first frame that is wanted; the deadline is the socket's."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            frame = self.next()
            if isinstance(frame, dict) and wanted(frame):
                return frame
        raise AssertionError("no such frame in time")

    def rows(self, table: str, count: int) -> list[dict[str, Any]]:
        """The next *count* rows of a table, partials left out."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = self.until(lambda f: f.get("table") == table and f["action"] != "partial")
            found += frame["data"]
        return found

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def venue() -> Iterator[PaperExchange]:
    with PaperExchange(seed=7, walk=False, rate_limits=False) as served:
        yield served


@pytest.fixture
def client(venue: PaperExchange) -> Client:
    return Client(venue.url)
