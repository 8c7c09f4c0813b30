"""
Hostile frames all the way: gateway, core and a real journal. Whatever the venue says, the service
does not end, and what it wrote replays.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.journal import Journal, replay
from reconciler.service.engine import Engine
from tests.endtoend.echo import EchoVenue
from tests.fuzz.frames import ACCOUNT, SYMBOLS, Frames, drawn, execution, order
from tests.fuzz.material import hostile

REPLAYED = 0.1  # of the batches


class Silent(EchoVenue):
    """A venue that is asked, and seldom answers: what it says comes as frames."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self.named: list[str] = []

    def send(self, decision: d.AnyDecision) -> Iterable[e.AnyEvent]:
        if isinstance(decision, d.PlaceOrder):
            self.named.append(decision.cl_ord_id)
        outcome = self._rng.choice((None, None, *e.Outcome))
        if outcome is None or not decision.request_id:
            return ()
        return [e.Answered(at_us=self.now_us, request_id=decision.request_id, outcome=outcome)]


class Whole:
    """Targets and hostile frames to the engine."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()
        self.frames = Frames(rng, folder)
        self.path = folder / f"{rng.getrandbits(60):x}" / "journal.db"
        self.journal = Journal.open(self.path, account="main", durability="process")
        self.venue = Silent(rng)
        self.venue.now_us = self.frames.host.at_us
        self.engine = Engine(self.journal.recover().ledger, self.journal, lambda: self.at_us)
        self.engine.venue = self.venue
        self.engine.handle(self.venue.opening())
        self.versions = dict.fromkeys(SYMBOLS, 0)

    @property
    def at_us(self) -> int:
        return self.frames.host.at_us

    def close(self) -> None:
        self.journal.close(self.engine.ledger)
        self.frames.close()
        if self.rng.random() < REPLAYED:
            report = replay(self.path)
            assert report.difference is None, report.difference
        for path in self.path.parent.iterdir():
            path.unlink()
        self.path.parent.rmdir()

    def one(self) -> bytes:
        rng, frames = self.rng, self.frames
        frames.host.at_us += rng.choice((1_000, 200_000, 3_000_000))
        self.venue.now_us = self.at_us
        if frames.gateway._session is None:
            self.engine.handle([*self.connect(), self.venue.synced()])
        if rng.random() < 0.2:
            self.engine.handle([self.target(rng.choice(SYMBOLS))])
        if rng.random() < 0.1:
            self.engine.handle([e.Resumed(at_us=self.at_us, by="fuzz", reason="go on")])
        said = hostile(rng, self.tree())
        events: list[e.AnyEvent] = frames.give(said)
        self.engine.handle(events)
        if self.engine.ledger.next_wake_us() <= self.at_us:
            self.engine.handle([e.Tick(at_us=self.at_us)])
        book = self.engine.ledger.book("XBTUSD")
        self.seen["frozen" if book.frozen else str(book.state)] += 1
        return said

    def connect(self) -> list[e.AnyEvent]:
        """A new connection; what it told of instruments and positions."""
        self.frames.connect()
        return [self.venue.position(symbol) for symbol in SYMBOLS]

    def target(self, symbol: str) -> e.TargetSet:
        self.versions[symbol] += 1
        return e.TargetSet(
            at_us=self.at_us,
            symbol=symbol,
            contracts=self.rng.randrange(-900, 900),
            version=self.versions[symbol],
            source="fuzz",
            policy="urgent",
        )

    def tree(self) -> dict[str, Any]:
        """A frame about an order of ours, more often than not."""
        rng, named = self.rng, self.venue.named
        if not named or rng.random() < 0.4:
            return drawn(rng)
        name = rng.choice(named[-3:])
        row = order(rng) if rng.random() < 0.5 else execution(rng)
        row |= {"clOrdID": name, "orderID": f"of-{name}", "account": ACCOUNT}
        table = "execution" if "execID" in row else "order"
        return {"table": table, "action": "insert", "keys": ["orderID"], "data": [row]}
