"""
What every round trip needs, by the standard library alone: named steps, and the venue's own truth.

A step checks two things against each other: what the library says, and what the venue knows
(``/paper/truth``, which no library reads).
"""

from __future__ import annotations

import json
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

KEY, SECRET, ACCOUNT = "sim-key", "sim-secret", 1001
OTHER = 1002  # whoever trades with us
DEPOSIT = 10_000_000_000  # satoshi that an account begins with
SYMBOL, LOT = "XBTUSD", 100
DEADLINE_S = 10.0


_failed: list[str] = []


@contextmanager
def step(name: str) -> Iterator[None]:
    """One line of output for one thing that works; a failure is told, and the rest still runs."""
    began = time.monotonic()
    try:
        yield
    except Exception:
        _failed.append(name)
        print(f"  FAILED  {name}", flush=True)
        traceback.print_exc(limit=-3, file=sys.stdout)
        return
    print(f"  ok      {name}  ({1000 * (time.monotonic() - began):.0f} ms)", flush=True)


def verdict() -> int:
    """The exit code of a round trip."""
    return 1 if _failed else 0


class Refused:
    """What `refused` caught."""

    problem: Exception


@contextmanager
def refused(kind: type[Exception]) -> Iterator[Refused]:
    """What is done here must be refused with an error of *kind*."""
    caught = Refused()
    try:
        yield caught
    except kind as problem:
        caught.problem = problem
    else:
        raise AssertionError("it was not refused")


def soon(look: Callable[[], T], wanted: Callable[[T], object], what: str) -> T:
    """Look until what is seen is wanted; a stream may be a moment behind an answer."""
    until = time.monotonic() + DEADLINE_S
    while not wanted(seen := look()):
        assert time.monotonic() < until, f"{what} never came; last seen: {seen!r}"
        time.sleep(0.01)
    return seen


class Venue:
    """The paper exchange by its own door: what is true, and the hand that moves the market."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, *, posts: bool = False, **fields: object) -> Any:
        """GET without fields, POST with."""
        data = json.dumps(fields).encode() if fields or posts else None
        request = urllib.request.Request(
            f"{self.url}/paper/{path}", data, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.loads(answer.read())

    def truth(self, account: int = ACCOUNT) -> Any:
        return self.ask(f"truth?account={account}")

    def order(self, order_id: str) -> Any:
        """One of our orders as it is."""
        return next(o for o in self.truth()["orders"] if o["orderID"] == order_id)

    def fills(self, order_id: str = "") -> list[Any]:
        """Our executions that moved contracts, of one order or of all."""
        rows = self.truth()["executions"]
        return [
            r for r in rows
            if r["execType"] == "Trade" and (not order_id or r["orderID"] == order_id)
        ]  # fmt: skip

    def held(self) -> int:
        """Contracts that we hold."""
        return int(self.truth()["positions"].get(SYMBOL, 0))

    def open(self) -> list[str]:
        """Ids of our open orders."""
        return [o["orderID"] for o in self.truth()["orders"] if o["leavesQty"]]

    def sells(self, contracts: int) -> None:
        """Somebody else sells at market."""
        self.ask("trade", symbol=SYMBOL, side="Sell", orderQty=contracts, account=OTHER)

    def moves_to(self, price: float) -> None:
        self.ask("price", symbol=SYMBOL, price=price)

    def wealth_when_flat(self) -> int:
        """What we must own by our executions: the deposit less all that was paid (section 8)."""
        rows = self.truth()["executions"]
        paid = sum(r.get("execCost", 0) + r.get("execComm", 0) for r in rows)
        return DEPOSIT - int(paid)


def here() -> Venue:
    """The venue that the runner named."""
    return Venue(sys.argv[1])
