"""A websocket client without a socket: it asks a session of a world in memory, and reads frames."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from reconciler.paper import intake
from reconciler.paper.auth import DEFAULT_KEYS, Key, sign
from reconciler.paper.world import World
from tests.paper.conftest import ME, NOW

FAR = "99999999999"  # api-expires: the year 5138


class Stage:
    """A world in memory whose market stands still, and whose clock is moved by hand."""

    def __init__(self, *, now: int = NOW, **options: Any) -> None:
        self.now = now
        self.delayed: list[Any] = []
        options = {"walk": False, "rate_limits": False, "symbols": ("XBTUSD", "ETHUSD")} | options
        self.world = World(seed=1, now_ms=now, later=self._later, **options)
        self.exchange = self.world.exchange

    def _later(self, delay_s: float, action: Any) -> None:
        self.delayed.append(action)

    def settle(self) -> None:
        """Let what was put off happen."""
        while self.delayed:
            self.delayed.pop(0)()

    def pass_ms(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.world.tick(self.now)

    def ear(self, *topics: str, key: Key | None = None, platform: bool = False) -> Ear:
        return Ear(self, *topics, key=key, platform=platform)

    def place(self, account: int = ME, **fields: Any) -> Any:
        fields.setdefault("symbol", "XBTUSD")
        fields = {
            k: Decimal(v) if k in ("price", "stopPx", "pegOffsetValue") else v
            for k, v in fields.items()
        }
        new = intake.new_order(fields, self.exchange.catalogue)
        order = self.exchange.place(account, new, self.now)
        self.world.publish(self.now)
        return order

    def amend(self, account: int = ME, **fields: Any) -> Any:
        fields = {k: Decimal(v) if k in ("price", "stopPx") else v for k, v in fields.items()}
        order = self.exchange.amend(account, intake.amend(fields), self.now)
        self.world.publish(self.now)
        return order

    def cancel(self, *orders: Any) -> None:
        ids = [order.order_id for order in orders]
        self.exchange.cancel(orders[0].account, ids, [], "", self.now)
        self.world.publish(self.now)


class Ear:
    """One session, as its client sees it."""

    def __init__(self, stage: Stage, *topics: str, key: Key | None, platform: bool) -> None:
        self.stage = stage
        self.ended = False
        self.session = stage.world.hub.open(lambda: None, self._end, platform=platform)
        if key is not None:
            self.session.sign_in(credentials(key), stage.now)
        if topics:
            asked = json.dumps({"op": "subscribe", "args": topics})
            self.session.receive(asked, stage.now)

    def _end(self) -> None:
        self.ended = True

    def say(self, text: str) -> list[Any]:
        """Send one message; every frame that was not yet read, its answers last."""
        self.session.receive(text, self.stage.now)
        return self.frames()

    def ask(self, op: str, args: Any) -> list[Any]:
        return self.say(json.dumps({"op": op, "args": args}))

    def frames(self) -> list[Any]:
        """The frames since the last look."""
        return [
            "pong" if raw == b"pong" else json.loads(raw, parse_float=Decimal)
            for raw in self.session.take()
        ]

    def tables(self, table: str | None = None) -> list[Any]:
        """Table frames since the last look, partials left out."""
        return [
            f for f in self.frames()
            if "table" in f and f["action"] != "partial" and table in (None, f["table"])
        ]  # fmt: skip


def credentials(key: Key) -> dict[str, str]:
    signature = sign(key.secret, "GET", "/realtime", FAR)
    return {"api-key": key.key, "api-expires": FAR, "api-signature": signature}


MINE, THEIRS = DEFAULT_KEYS[:2]
