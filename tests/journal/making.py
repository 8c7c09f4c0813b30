"""A small core of its own for the tests of the journal: it has every kind of fact, and no cares."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.journal.store import Journal

T0 = 1_795_000_000_000_000  # 2026-11-18T11:06:40Z


class Books(msgspec.Struct):
    """A ledger: the position and the target of each symbol."""

    events: int = 0
    requests: int = 0
    positions: dict[str, int] = {}
    targets: dict[str, int] = {}
    versions: dict[str, int] = {}
    orders: dict[str, str] = {}
    seen: set[str] = set()


def step(books: Books, event: e.AnyEvent) -> tuple[list[d.AnyDecision], list[d.AnyFact]]:
    """One order a target, whole; a fill of it ends it."""
    books.events += 1
    decisions: list[d.AnyDecision] = []
    facts: list[d.AnyFact] = []
    if isinstance(event, e.TargetSet):
        symbol = event.symbol
        books.targets[symbol] = event.contracts
        books.versions[symbol] = event.version
        gap = event.contracts - books.positions.get(symbol, 0)
        if gap and symbol not in books.orders:
            books.requests += 1
            name = f"rc-k3f9-1-{books.requests}"
            books.orders[symbol] = name
            decisions.append(place(books.requests, name, symbol, gap, event))
            facts.append(moved(symbol, "place", "idle", "placing", name, event.version))
    elif isinstance(event, e.ExecutionSeen) and event.exec_id not in books.seen:
        books.seen.add(event.exec_id)
        position = books.positions.get(event.symbol, 0) + event.contracts
        books.positions[event.symbol] = position
        version = books.versions.get(event.symbol, 0)
        facts.append(fill(event, position, version))
        name = books.orders.pop(event.symbol, "")
        if name:
            facts.append(changed(name, event.symbol, "closed", abs(event.contracts)))
            facts.append(moved(event.symbol, "complete", "placing", "idle", name, version))
        facts.append(d.PositionMoved(
            symbol=event.symbol, contracts=position, venue_contracts=None, anchor=0,
            worst_short=min(0, position), worst_long=max(0, position),
        ))  # fmt: skip
        if position == books.targets.get(event.symbol):
            facts.append(d.TargetHeld(
                symbol=event.symbol, version=version, contracts=position, position=position
            ))  # fmt: skip
    return decisions, facts


def recall(books: Books, event: e.AnyEvent, _: Sequence[d.AnyDecision]) -> list[d.AnyFact]:
    """The stub's decisions follow from the event, so recalling is stepping."""
    return step(books, event)[1]


def place(
    number: int, name: str, symbol: str, contracts: int, event: e.TargetSet, price: str = "100"
) -> d.PlaceOrder:
    return d.PlaceOrder(
        request_id=number, cl_ord_id=name, symbol=symbol, contracts=contracts,
        price=Decimal(price), post_only=True, reduce_only=False, immediate=False,
        expires_us=event.at_us + 5_000_000, deadline_us=event.at_us + 3_000_000,
        target_version=event.version, instrument_version=1, position=0,
        bid=Decimal("99.5"), ask=Decimal("100.5"), mark=Decimal("100.1"),
        policy="passive", reason="gap",
    )  # fmt: skip


def changed(name: str, symbol: str, status: str, filled: int = 0, **more: Any) -> d.OrderChanged:
    values: dict[str, Any] = {
        "venue_status": "new", "venue_order_id": f"venue-{name}", "price": Decimal("100"),
        "booked": filled, "evidence": "a row",
    }  # fmt: skip
    values |= more
    return d.OrderChanged(cl_ord_id=name, symbol=symbol, status=status, filled=filled, **values)


def moved(
    symbol: str, trigger: str, before: str, after: str, name: str, version: int, dwell_us: int = 0
) -> d.Transition:
    return d.Transition(
        symbol=symbol, trigger=trigger, from_state=before, to_state=after, cl_ord_id=name,
        target_version=version, dwell_us=dwell_us,
    )  # fmt: skip


def fill(event: e.ExecutionSeen, position: int, version: int) -> d.FillBooked:
    return d.FillBooked(
        exec_id=event.exec_id, symbol=event.symbol, cl_ord_id=event.cl_ord_id,
        order_id=event.order_id, type=event.type.value, contracts=event.contracts,
        price=event.price, fee_minor=event.fee_minor, cost_minor=event.cost_minor,
        currency=event.currency, liquidity=event.liquidity, venue_us=event.venue_us,
        target_version=version, position=position,
    )  # fmt: skip


def started(epoch: int, at_us: int = T0, mode: str = "run") -> e.Started:
    stem = f"rc-k3f9-{epoch}-"
    return e.Started(
        at_us=at_us, run_id=f"run-{epoch}", epoch=epoch, id_family="rc-", id_install="rc-k3f9-",
        id_stem=stem, mode=mode,
    )  # fmt: skip


def target(symbol: str, contracts: int, version: int, at_us: int = T0, **more: Any) -> e.TargetSet:
    return e.TargetSet(
        at_us=at_us, symbol=symbol, contracts=contracts, version=version, source="test", **more
    )


def execution(
    number: int, symbol: str, contracts: int, at_us: int = T0, price: str = "100", **more: Any
) -> e.ExecutionSeen:
    values: dict[str, Any] = {
        "exec_id": f"a0c4e7d2-61b8-4a7c-8d12-{number:012x}", "order_id": f"order-{number}",
        "cl_ord_id": "", "type": e.ExecutionKind.TRADE, "order_filled": abs(contracts),
        "fee_minor": 5, "cost_minor": contracts * 100, "currency": "USDt", "liquidity": "maker",
        "source": e.Source.STREAM, "venue_us": at_us - 2_500,
    }  # fmt: skip
    values |= more
    return e.ExecutionSeen(
        at_us=at_us, symbol=symbol, contracts=contracts, price=Decimal(price), **values
    )


def story(seed: int, length: int = 60, epoch: int = 1) -> list[e.AnyEvent]:
    """Targets, fills and ticks, drawn from a seed."""
    draw = random.Random(seed)
    events: list[e.AnyEvent] = [started(epoch)]
    versions: dict[str, int] = {}
    for number in range(1, length):
        at_us = T0 + number * 250_000
        symbol = draw.choice(["XBTUSD", "ETHUSD", "SOLUSD"])
        kind = draw.random()
        if kind < 0.3:
            versions[symbol] = versions.get(symbol, 0) + 1
            wanted = draw.randrange(-500, 500, 100)
            events.append(target(symbol, wanted, versions[symbol], at_us))
        elif kind < 0.7:
            events.append(execution(number, symbol, draw.choice([-100, 100]), at_us))
        else:
            events.append(e.Tick(at_us=at_us))
    return events


def stepped(books: Books, events: Sequence[e.AnyEvent]) -> list[Any]:
    """What `Journal.record` takes, for events that the stub core has stepped."""
    return [(event, *step(books, event)) for event in events]


def opened(path: Path, **more: Any) -> Journal:
    """A journal for a test: commits survive the death of the process."""
    return Journal.open(path, **({"account": "main", "durability": "process"} | more))


def recovered(journal: Journal) -> Books:
    """The stub's ledger, from what is stored."""
    books: Books = journal.recover(fold=recall, shape=Books, logic="stub").ledger
    return books
