"""
One fault of the network each, between the real service and the paper exchange; then it heals.

After each of them nothing is doubled or lost, every target is held and the journal replays.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.forked import Forked
from tests.endtoend.house import wait_for
from tests.endtoend.proxy import Proxy
from tests.endtoend.zygote import Zygote

SYMBOL = "XBTUSD"
SETTLED_S = 60
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """The parent of all processes of this module."""
    with Zygote() as made:
        yield made


class Street:
    """A house whose only way to the venue is the proxy."""

    def __init__(self, house: Forked, proxy: Proxy) -> None:
        self.house = house
        self.proxy = proxy

    def hold(self, contracts: int) -> None:
        """Set the target, and wait until everybody agrees that it is held."""
        self.house.set_target(SYMBOL, contracts)
        self.wait(contracts)

    def wait(self, contracts: int) -> None:
        """Wait until everybody agrees that *contracts* are held."""
        wait_for(
            f"{contracts} held, but {self.house.status()}",
            lambda: self.house.held({SYMBOL: contracts}) or None,
            SETTLED_S,
        )

    def prove(self) -> None:
        """All is true now, after a stop, and again by replay."""
        self.house.check()
        assert self.house.stop() == 0, self.house.tail()
        self.house.check()
        self.house.replay()

    def held_ever(self) -> list[int]:
        """The position after each execution, by the venue's own record."""
        signed = (
            row["lastQty"] * (1 if row["side"] == "Buy" else -1)
            for row in self.house.truth()["executions"]
            if row["execType"] == "Trade"
        )
        return list(accumulate(signed))

    def incidents(self) -> list[Any]:
        """The kinds of all incidents so far."""
        return [row[0] for row in self.house.rows("select kind from v_incidents")]


@pytest.fixture
def street(zygote: Zygote, tmp_path: Path) -> Iterator[Street]:
    """The service runs, and holds 300."""
    with Forked(tmp_path, zygote, symbols=(SYMBOL,), more="") as house:
        with Proxy(house.venue_port) as proxy:
            house.redirect(proxy.url)
            house.start()
            made = Street(house, proxy)
            wait_for("in sync", lambda: house.service_row().get("in_sync") or None)
            made.hold(300)
            yield made


@pytest.mark.parametrize(
    "fault",
    [
        "drop-request",
        "drop-answer",
        "delay",
        "late",
        "swallow",
        "half-open",
        "truncate",
        "truncate-head",
        "html",
        "html-only",
        "reset",
        "drip",
    ],
)
def test_an_order_whose_way_is_bad_is_neither_doubled_nor_lost(fault: str, street: Street) -> None:
    """Whatever becomes of one order request, the target is held in the end, by single orders."""
    street.proxy.fault(fault, delay_s=0.8 if fault == "late" else 3.0)
    street.hold(600)
    assert street.proxy.struck[fault] == 1
    street.hold(-200)
    assert set(street.held_ever()) <= set(range(-200, 601)), "it went past its targets"
    street.prove()


def test_a_request_that_reaches_the_venue_twice_is_noticed(street: Street) -> None:
    """Two orders under one id: the account is frozen, and the fills of both are booked."""
    house = street.house
    street.proxy.fault("twice")
    house.set_target(SYMBOL, 500)
    wait_for("the freeze", lambda: "twin_order" in street.incidents() or None)
    names = [row["clOrdID"] for row in house.truth()["orders"] if row.get("clOrdID")]
    twice = {name for name in names if names.count(name) == 2}
    assert len(twice) == 1
    house.forgiven |= twice
    wait_for("the fills of both", lambda: house.all_booked() or None)
    assert house.truth()["positions"][SYMBOL] == 700
    wait_for("the position of both", lambda: house.status()[SYMBOL]["position"] == 700 or None)
    before = len(house.truth()["requests"])
    house.set_target(SYMBOL, 800)
    assert house.status()[SYMBOL]["target"] == 800
    assert house.status()[SYMBOL]["waiting_for"].startswith("a decision: frozen")
    assert len(house.truth()["requests"]) == before, "it is frozen, and places an order"
    assert not [row for row in house.truth()["orders"] if row["leavesQty"]]
    street.prove()


def test_a_copy_of_an_order_that_closes_finds_nothing_to_close(street: Street) -> None:
    """What only reduces cannot go through zero, however often it comes; nothing is frozen."""
    street.proxy.fault("twice")
    street.hold(0)
    assert street.proxy.struck["twice"] == 1
    requests = [row["clOrdID"] for row in street.house.truth()["requests"]]
    street.house.forgiven |= {name for name in requests if requests.count(name) == 2}
    assert street.house.forgiven
    street.hold(-200)
    street.prove()


def test_a_stream_that_tells_nothing_is_given_up(street: Street) -> None:
    """A half-open stream is found by its silence; fills in the gap are read by REST."""
    street.proxy.deafen()
    street.house.set_target(SYMBOL, -200)
    wait_for(
        "the stream is lost",
        lambda: not street.house.service_row().get("in_sync") or None,
        30,
    )
    street.proxy.heal()
    street.wait(-200)
    street.prove()


def test_cut_streams_while_orders_are_on_their_way(street: Street) -> None:
    """The stream ends again and again around orders; each fill is booked once."""
    for contracts in (-200, 400, -300):
        street.house.set_target(SYMBOL, contracts)
        street.proxy.cut_streams()
    street.wait(-300)
    street.prove()


def test_darkness_and_a_kill_in_it(street: Street) -> None:
    """Nothing reaches the venue, the process is killed meanwhile; then all is as it was told."""
    street.proxy.fault("drop-answer", times=2)
    street.house.set_target(SYMBOL, -400)
    street.proxy.darken()
    street.house.kill()
    street.house.never()
    street.house.start()
    street.house.set_target(SYMBOL, 200)
    street.proxy.heal()
    street.wait(200)
    street.prove()
