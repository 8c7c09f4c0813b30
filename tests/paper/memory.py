"""A whole exchange in memory: time passes when it is told to, and nothing waits."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from typing import Any

from reconciler.paper.auth import sign
from reconciler.paper.protocol import decode
from reconciler.paper.quirks import Quirks
from reconciler.paper.rest import Admitted
from reconciler.paper.session import Session
from reconciler.paper.web import Answer, Request
from reconciler.paper.world import World
from tests.paper.conftest import ME, NOW


class Memory:
    """A world, a virtual clock, and a member who signs."""

    def __init__(self, faults: dict[str, float] | None = None, **options: Any) -> None:
        self.now = NOW
        self._put_off = 0
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        options = {"seed": 7, "symbols": ("XBTUSD",), "walk": False, "rate_limits": False} | options
        self.closed: set[Session] = set()
        self.world = World(
            now_ms=NOW,
            later=self.later,
            quirks=Quirks(faults, seed=options["seed"]),
            **options,
        )
        self.exchange = self.world.exchange

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._put_off += 1
        heapq.heappush(self._later, (self.now + round(delay_s * 1000), self._put_off, action))

    def advance(self, ms: int) -> None:
        """Let time pass, in ticks of 20 ms."""
        end = self.now + ms
        while self.now < end:
            self.now += 20
            while self._later and self._later[0][0] <= self.now:
                heapq.heappop(self._later)[2]()
            self.world.tick(self.now)

    def fault(
        self, name: str, probability: float = 1.0, count: int | None = 1, **more: Any
    ) -> None:
        self.world.quirks.set(name, probability, count, **more)

    # -- REST ------------------------------------------------------------------------------------

    def call(self, verb: str, path: str, body: object = None) -> Answer:
        """A signed request, and its answer without the waiting."""
        raw = b"" if body is None else json.dumps(body).encode()
        expires = str(self.now // 1000 + 60)
        headers = {
            "api-key": "sim-key", "api-expires": expires, "content-type": "application/json",
            "api-signature": sign("sim-secret", verb, path, expires, raw),
        }  # fmt: skip
        request = Request(
            verb=verb, path=path.partition("?")[0], target=path, query=path.partition("?")[2],
            headers=headers, body=raw, address="127.0.0.1",
        )  # fmt: skip
        found = self.world.api.admit(request, self.now)
        if isinstance(found, Admitted):
            self.waited = found.wait_s
            return self.world.api.act(found, self.now)
        return found

    def order(self, **fields: object) -> Answer:
        return self.call("POST", "/api/v1/order", {"symbol": "XBTUSD", **fields})

    def cancel(self, name: str) -> list[dict[str, Any]]:
        return self.json(self.call("DELETE", "/api/v1/order", {"clOrdID": name}))

    @staticmethod
    def json(answer: Answer) -> Any:
        return decode(answer.body)

    # -- websocket -------------------------------------------------------------------------------

    def listen(self, *topics: str) -> Session:
        """A member's websocket that has its partials behind it."""
        session = self.connect()
        session.receive(json.dumps({"op": "subscribe", "args": list(topics)}), self.now)
        self.heard(session)
        return session

    def connect(self) -> Session:
        session: Session
        session = self.world.hub.open(lambda: None, lambda: self.closed.add(session))
        expires = str(self.now // 1000 + 60)
        given = {
            "api-key": "sim-key", "api-expires": expires,
            "api-signature": sign("sim-secret", "GET", "/realtime", expires),
        }  # fmt: skip
        session.sign_in(given, self.now)
        return session

    @staticmethod
    def heard(session: Session) -> list[Any]:
        """What a websocket was sent since it was last asked."""
        return [decode(f) if f[:1] == b"{" else f.decode() for f in session.take()]

    def rows(self, session: Session, table: str) -> list[tuple[str, dict[str, Any]]]:
        """(action, row) of one table since it was last asked."""
        return [
            (frame["action"], row)
            for frame in self.heard(session)
            if isinstance(frame, dict) and frame.get("table") == table
            for row in frame["data"]
        ]

    # -- the truth -------------------------------------------------------------------------------

    def held(self, symbol: str = "XBTUSD") -> int:
        return self.exchange.position(ME, symbol).qty

    def status(self, name: str) -> str:
        order = self.exchange.find(ME, cl_ord_id=name)
        assert order is not None
        return order.status

    def do(self, action: str, **fields: Any) -> Any:
        """An action of the control door."""
        body = json.dumps(fields, default=str).encode()
        request = Request(
            verb="POST", path=f"/paper/{action}", target=f"/paper/{action}", query="",
            headers={"content-type": "application/json"}, body=body, address="127.0.0.1",
        )  # fmt: skip
        answer = self.world.control(request, self.now)
        return answer.status, decode(answer.body)
