"""
Targets as strangers send them: JSON to the API, words to the command line, requests to the core.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from reconciler.api.answers import Problem, encoded, problem
from reconciler.api.reading import Request
from reconciler.api.wishes import Wishes
from reconciler.cli import parse
from reconciler.core import events as e
from reconciler.core.ledger import Ledger
from reconciler.core.settings import Limits, Settings
from reconciler.core.step import step
from reconciler.errors import ReconcilerError, UsageError
from reconciler.journal import codec
from reconciler.service import commands, deciding, targeting
from reconciler.service.door import (
    CommandResult,
    Decided,
    ModeRequest,
    TargetRequest,
    TargetVersion,
)
from tests.endtoend.echo import START_US, EchoVenue
from tests.fuzz.material import hostile

MOST = 10_000
LOT = 100
SYMBOLS = ("XBTUSD", "XBTUSD", "XBTUSD", "ETHUSD", "xbtusd", " XBTUSD", "XВTUSD", "", "X" * 5_000)
WORDS = (
    *("3000", "-300", "+300", "0", "-0", "+0", "00300", "3e3", "3.0", "3_000", "3,000", "0x10"),
    *("NaN", "nan", "inf", "-inf", "Infinity", "1e30", "٣٠٠", "３００", "", "--", "+-3", "3-"),
    *("999999999999999999", "9999999999999999999", "true", "null", "None", "½", "3\u00a0"),
)
TIMES = (
    *("2h", "1d", "90s", "1h30m", "0s", "999999999w", "2026-11-01", "2026-11-01T12:00Z", "today"),
    *("2026-11-01T12:00:00.123Z", "2026-13-01", "2026-02-30", "9999-12-31T23:59", "0000-01-01"),
    *("0001-01-01", "-1h", "1.5h", "h", "1y", "٣h", "tomorrow"),
)


def ledger() -> Ledger:
    """A ledger in sync, with a lot of 100 on one symbol and unknown rules on the other."""
    venue, made = EchoVenue(), Ledger()
    limits = Limits(max_position_contracts=MOST, max_order_contracts=MOST)
    settings = Settings(symbols=("XBTUSD", "ETHUSD"), limits=limits)
    rules = msgspec.structs.replace(venue.instrument("XBTUSD"), lot=LOT)
    for event in venue.opening():
        if isinstance(event, e.Configured):
            event = msgspec.structs.replace(event, settings=settings)
        if not isinstance(event, e.InstrumentSeen):
            step(made, event)
    step(made, rules)
    return made


#: What is drawn: below COMMANDS it is a target.
COMMANDS, DECISION = 8, 10
INCIDENTS = ("INC-1", "INC-2", "inc-3", "4", "INC-99999999999999999999", "", "INC-", "INC--1", "١")
UNTIL = ("", "2h", "14:00", "2099-01-01T00:00:00Z", "2001-01-01T00:00:00Z", "9999-99-99T99:99Z")
MONEY = ("5000", "-2.5", "NaN", "1e400", "Infinity", "", "2099-01-01T00:00:00Z", "0." + "3" * 400)


class HouseDoor:
    """The door as the service has it, over a ledger in this thread."""

    def __init__(self) -> None:
        self.ledger = ledger()
        self.now_us = START_US + 1_000_000
        self.recorded: list[e.AnyEvent] = []

    def _record(self, events: list[e.AnyEvent]) -> None:
        for event in events:
            codec.encode(event)
            step(self.ledger, event)
        self.recorded.extend(events)

    def set_target(self, request: TargetRequest) -> TargetVersion:
        events, finish = targeting.set_target(request, "hold", self.now_us, self.ledger)
        self._record(events)
        return finish(self.ledger)

    def halt(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), until: str = ""
    ) -> CommandResult:
        self._record(commands.halt(self.ledger, self.now_us, by, reason, symbols, until))
        return commands.command_result(self.ledger, "halted", symbols, until=until)

    def set_mode(self, request: ModeRequest) -> CommandResult:
        self._record(commands.set_mode(self.ledger, self.now_us, request))
        did = commands.DID[request.mode]
        return commands.command_result(self.ledger, did, request.symbols, until=request.until)

    def resolve(self, incident: str, decision: str, *, by: str, reason: str) -> Decided:
        events, finish = deciding.resolve(self.ledger, self.now_us, incident, decision, by, reason)
        self._record(events)
        return finish(self.ledger)

    def resume(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), adopt: bool = False
    ) -> CommandResult:
        events, adopted = commands.resume(self.ledger, self.now_us, by, reason, symbols, adopt)
        self._record(events)
        return commands.command_result(self.ledger, "resumed", symbols, adopted)

    def status(self) -> dict[str, Any]:
        return commands.status(self.ledger, "main", {})

    def backup(self) -> str:
        return "nowhere"

    def close(self) -> None: ...


class Targets:
    """Bodies, headers and names given to the routes of the API that change something."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()
        self.door = HouseDoor()
        wishes = Wishes(self.door)  # type: ignore[arg-type]  # it has what is asked here
        routes = {(verb, path): handler for verb, path, handler in wishes.table("")}
        self.set_target = routes["PUT", "/targets/{symbol}"]
        self.commands = [
            routes["POST", path]
            for path in ("/halt", "/resume", "/pause", "/reduce-only", "/freeze", "/flatten")
        ]
        self.decide = routes["POST", "/incidents/{incident}/resolve"]

    def close(self) -> None: ...

    def one(self) -> bytes:
        rng, door = self.rng, self.door
        door.now_us += 1_000
        what = rng.randrange(11)
        symbol = rng.choice(SYMBOLS)
        body = hostile(rng, self.tree(what))
        if len(body) > 65_536:  # the guard lets none through
            body = body[:65_536]
        drawn = {
            "if-match": rng.choice(('"1"', '"0"', "1", '"-1"', '"9999999999999999999"', "*", "")),
            "idempotency-key": rng.choice(("a", "b", "k" * 600, "\x00")),
        }
        headers = {name: value for name, value in drawn.items() if rng.random() < 0.15}
        names = {"symbol": symbol}
        handler = self.set_target
        if what == DECISION:
            now = [str(number) for number in door.ledger.incidents.values()]
            names = {"incident": rng.choice((*INCIDENTS, *now * 4))}
            handler = self.decide
        elif what >= COMMANDS:
            handler, names = rng.choice(self.commands), {}
        request = Request(names, {}, headers, body)
        before, count = codec.encode(door.ledger), len(door.recorded)
        try:
            answer = handler(request)
        except (Problem, ReconcilerError) as error:
            answer = problem(error)
            refused(answer.status, before == codec.encode(door.ledger))
        encoded(answer)
        self.seen[str(answer.status)] += 1
        for event in door.recorded[count:]:
            if isinstance(event, e.TargetSet) and handler is self.set_target:
                self.judge(event, request)
        return body

    def tree(self, what: int) -> dict[str, Any]:
        rng = self.rng
        if what == DECISION:
            decision = rng.choice(("adopt", "trade_back", "ignore", "ignore", "no"))
            return {"by": "me", "reason": rng.choice(("why", "", " ")), "decision": decision}
        if what >= COMMANDS:
            symbols = rng.choice(([], [], ["XBTUSD"], ["nope"]))
            said = {"by": "me", "reason": "why", "symbols": symbols}
            return said | ({"until": rng.choice(UNTIL)} if rng.random() < 0.3 else {})
        tree: dict[str, Any] = {rng.choice(("contracts",) * 5 + ("by",)): self.contracts()}
        if rng.random() < 0.2:
            tree |= {rng.choice(("notional", "percent", "price", "deadline")): rng.choice(MONEY)}
        if rng.random() < 0.5:
            tree |= {"source": "fuzz", "reason": "r" * rng.choice((0, 10, 600))}
            tree |= {"policy": rng.choice(("", "urgent", "passive", "no")), "ttl_s": rng.choice(
                (None, 60, 0, -1, 10**12))}  # fmt: skip
        return tree

    def contracts(self) -> Any:
        rng = self.rng
        if rng.random() < 0.7:
            return rng.randrange(-110, 110) * LOT
        return rng.choice((b"1e3", b"100.0", 50, 2**63, -(2**63), 10**40, "300", True, None, b"-0"))

    def judge(self, event: e.TargetSet, request: Request) -> None:
        """An accepted target is the whole number that plain json reads, in lots, in the limits."""
        said = json.loads(request.body)
        assert event.symbol == request.names["symbol"]
        if said.get("contracts") is not None:
            assert type(said["contracts"]) is int
            assert event.contracts == said["contracts"]
        else:
            assert type(said["by"]) is int
        assert abs(event.contracts) <= MOST
        if event.symbol == "XBTUSD":
            assert event.contracts % LOT == 0
        codec.encode(event)


class Words:
    """Numbers, durations and moments as people type them."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()

    def close(self) -> None: ...

    def one(self) -> bytes:
        rng = self.rng
        word = rng.choice(WORDS + TIMES)
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(word) + 1)
            word = word[:at] + rng.choice("0159+-.eE_ ,\n\x00hdsm:TZ\u0660\u2212") + word[at:]
        if rng.random() < 0.02:
            word *= rng.choice((50, 5_000))
        for read in (parse.contracts, parse.seconds, parse.moment_us):
            try:
                found = read(word)
            except UsageError as refusal:
                self.seen["refused"] += 1
                if len(str(refusal)) > 500:
                    raise AssertionError("a refusal that fills the screen") from None
                continue
            self.seen["read"] += 1
            assert type(found) is int
            if read is parse.contracts:
                plain = word.removeprefix("\x00")
                assert re.fullmatch(r"[+-]?[0-9]+", plain, re.ASCII)
                assert int(plain) == found
            else:
                assert abs(found) < 2**63
        return word.encode()


def refused(status: int, unchanged: bool) -> None:
    """What a refusal has to be."""
    assert status < 500
    assert unchanged, "it was refused, and changed something"
