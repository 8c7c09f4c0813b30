"""Signals over HTTP: exact numbers in, one clear error for whatever is none."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from reconciler.client import HttpDoor
from reconciler.errors import UnknownStrategy, UnknownSymbol, UsageError
from reconciler.service.leases import Leases
from reconciler.service.netting import Weights
from reconciler.strategy.portfolio import Portfolio
from reconciler.strategy.signals import Signal
from tests.api.test_api import TOKEN, Api

SIGNALS = "/api/v1/signals"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    served = Api(tmp_path)
    main = Portfolio(name="main", strategies={"*": Decimal(1)}, symbols={"XBTUSD": Decimal(1000)})
    served.door.options.weights = Weights((main,), ("A",))
    served.server.start()
    yield served
    served.server.stop()


def test_a_signal_is_new_and_then_the_same(api: Api) -> None:
    """201 for a new strength, 200 for one that is in force; both are listed once."""
    body = {"strategy": "A", "symbol": "XBTUSD", "strength": 0.1, "price": "64231.5"}
    first, again = api.ask("POST", SIGNALS, body), api.ask("POST", SIGNALS, body)
    assert (first.status, again.status) == (201, 200)
    assert (first.json["number"], again.json["number"], again.json["changed"]) == (1, 1, False)
    (row,) = api.ask("GET", SIGNALS).json["rows"]
    assert (row["strategy"], row["strength"], row["price"]) == ("A", 0.1, "64231.5")


@pytest.mark.parametrize(
    "strength",
    [b"1e9999999999", b"1e99999999999999999999", b"NaN", b"Infinity",
     b"-Infinity", b"1e999999", b"1e7", b"true", b'"0.5"', b"null", b"[1]",
     b"[0.5]", b"{}", b'"NaN"', b"0x10", b"1" * 5000],
)  # fmt: skip
def test_no_strength_is_guessed_out_of_something_else(api: Api, strength: bytes) -> None:
    """NaN, text, a truth value, a number beyond reason: refused, and the journal is untouched."""
    body = b'{"strategy": "A", "symbol": "XBTUSD", "strength": ' + strength + b"}"
    said = api.ask("POST", SIGNALS, body)
    assert (said.status, said.json["code"]) == (400, "bad_request")
    assert api.events() == 0


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"strategy": "Z"}, 422, "unknown_strategy"),
        ({"symbol": "DOGEUSD"}, 422, "unknown_symbol"),
        ({"symbol": 7}, 400, "bad_request"),
        ({"price": "cheap"}, 400, "bad_request"),
        ({"price": -1}, 400, "bad_request"),
        ({"price": True}, 400, "bad_request"),
        ({"weight": 1}, 400, "bad_request"),
        ({"reason": "\ud800"}, 400, "bad_request"),
    ],
)
def test_what_is_wrong_is_told_by_its_code(
    api: Api, change: dict[str, object], status: int, code: str
) -> None:
    """And nothing is recorded."""
    body = {"strategy": "A", "symbol": "XBTUSD", "strength": 1} | change
    said = api.ask("POST", SIGNALS, body)
    assert (said.status, said.json["code"]) == (status, code)
    assert api.events() == 0


def test_the_client_speaks_in_exact_numbers(api: Api) -> None:
    """What a float would lose arrives; errors are those of the door itself."""
    client = HttpDoor(api.server.url, TOKEN)
    exact = Decimal("0.123456789")
    said = client.signal(
        Signal(strategy="A", symbol="XBTUSD", strength=exact, price=Decimal("0.1"))
    )
    assert (said.number, said.changed) == (1, True)
    (row,) = client.rows("signals")
    assert Decimal(str(row["strength"])) == exact
    for signal, error in (
        (Signal(strategy="Z", symbol="XBTUSD", strength=exact), UnknownStrategy),
        (Signal(strategy="A", symbol="DOGEUSD", strength=exact), UnknownSymbol),
        (Signal(strategy="A", symbol="XBTUSD", strength=Decimal(10**7)), UsageError),
    ):
        with pytest.raises(error):
            client.signal(signal)
    client.close()


def test_a_signal_that_was_long_on_its_way_does_not_take_back_a_newer_one(api: Api) -> None:
    """The client counts what it says; the bytes of a connection that broke may come late."""
    api.door.hold_strategy = Leases(lambda: 1).hold
    client = HttpDoor(api.server.url, TOKEN)
    client.run, client.numbers = "a", count(7)
    signal = Signal(strategy="A", symbol="XBTUSD", strength=Decimal(1))
    assert client.signal(signal).changed
    late = {"strategy": "A", "symbol": "XBTUSD", "strength": -1}
    said = api.ask("POST", SIGNALS, late, Strategy_Run="a", Strategy_Number="6")
    assert (said.status, said.json["code"]) == (422, "refused")
    said = api.ask("POST", SIGNALS, late, Strategy_Run="a", Strategy_Number="six")
    assert (said.status, said.json["code"]) == (400, "bad_request")
    assert not client.signal(signal).changed
    client.close()


@pytest.mark.parametrize(
    "kind", ["signals", "shares", "fill_shares", "refusals", "modes", "holdings"]
)
def test_each_listing_is_there(api: Api, kind: str) -> None:
    api.ask("POST", SIGNALS, {"strategy": "A", "symbol": "XBTUSD", "strength": 1})
    found = api.ask("GET", f"/api/v1/{kind}")
    assert found.status == 200
    assert len(found.json["rows"]) == (kind in {"signals", "holdings"})
