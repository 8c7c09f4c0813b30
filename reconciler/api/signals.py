"""What a strategy in another process says: its signals."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Annotated

import msgspec

from reconciler.api.answers import Answer, Problem
from reconciler.api.reading import Handler, Request, ask, parsed
from reconciler.service.door import Door
from reconciler.strategy.signals import Signal


class SignalBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a POST of a signal may say; see `Signal`."""

    strategy: str
    symbol: str
    strength: Annotated[object, msgspec.Meta(extra_json_schema={"type": "number"})]
    reason: str = ""
    price: Annotated[
        object, msgspec.Meta(extra_json_schema={"type": ["number", "string", "null"]})
    ] = None


class Signals:
    """The handlers, over a door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def table(self, base: str) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of every route."""
        return [("POST", f"{base}/signals", self.signal)]

    def signal(self, request: Request) -> Answer:
        """Record a signal and the targets that follow: 201 if it is new, 200 if it is in force."""
        body = parsed(request.body, SignalBody, number=Decimal)
        price = None if body.price is None else _number(body.price, "price", text=True)
        said = Signal(
            strategy=body.strategy,
            symbol=body.symbol,
            strength=_number(body.strength, "strength"),
            reason=body.reason,
            price=price,
        )
        if run := request.headers.get("strategy-run", ""):
            number = number_of(request)
            ask(lambda: self._door.hold_strategy(body.strategy, run, number=number))
        done = ask(lambda: self._door.signal(said))
        return Answer(201 if done.changed else 200, msgspec.to_builtins(done))


def number_of(request: Request) -> int:
    """Of what a process says, counted by itself; 0: it does not count."""
    said = request.headers.get("strategy-number", "0")
    if not re.fullmatch(r"[0-9]{1,18}", said):
        raise Problem(400, "bad_request", f"Strategy-Number is {said[:40]!r}, which is no number.")
    return int(said)


def _number(value: object, name: str, *, text: bool = False) -> Decimal:
    """An exact number out of JSON."""
    if type(value) is int or isinstance(value, Decimal):
        return Decimal(value)
    if text and isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", value):
        return Decimal(value)
    shown = json.dumps(value, default=str)[:40]
    raise Problem(400, "bad_request", f"{name} is {shown}, which is no number.")
