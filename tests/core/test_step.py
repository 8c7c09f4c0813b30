"""Any event in any state: no exception, the same outcome everywhere, and a ledger one can store."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import typing
from pathlib import Path

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.ledger import NEVER_US, Book, Ledger
from reconciler.core.lifecycle import ALIVE, State
from reconciler.core.step import recall, step
from tests.core.samples import (
    EVENT_TYPES,
    WAYS,
    canonical,
    copied,
    events_for,
    every_case,
    reached,
)
from tests.core.world import SECOND, World
from tests.stories.teller import SYMBOL

CHECKOUT = Path(__file__).resolve().parents[2]


def test_no_event_in_any_state_raises() -> None:
    """Whatever comes, whenever it comes, is an outcome; and every type of event has come."""
    seen = {type(event) for _, event, _, _ in every_case()}
    assert seen == EVENT_TYPES


def test_the_samples_cover_every_state() -> None:
    """Each of the five states is one of the samples."""
    assert {reached(way).book.state for way in WAYS.values()} == set(State)


def test_no_event_leads_to_two_orders_of_a_symbol_at_once() -> None:
    """One turn places one order a symbol at the most, and none while another may be alive."""
    for name, event, ledger, outcome in every_case():
        placed = [x for x in outcome.decisions if isinstance(x, d.PlaceOrder)]
        assert len(placed) <= 1, (name, event)
        for order in placed:
            alive = [o.cl_ord_id for o in ledger.books[order.symbol].own_orders() if o.alive]
            assert alive == [order.cl_ord_id], (name, event)


def test_request_numbers_are_never_used_again() -> None:
    """Every decision of a turn has its own number, above all that were before."""
    for name, event, ledger, outcome in every_case():
        numbers = [decision.request_id for decision in outcome.decisions]
        assert numbers == sorted(set(numbers)), (name, event)
        assert all(number < ledger.next_request_id for number in numbers)


def test_no_state_asks_to_be_woken_at_once_for_ever() -> None:
    """Ticks at the moments asked for, with nothing else happening, become rare."""
    for name, way in WAYS.items():
        teller = reached(way)
        start_us, ticks = teller.now_us, 0
        while teller.ledger.next_wake_us() <= start_us + 60 * SECOND:
            teller.now_us = max(teller.now_us + 1, teller.ledger.next_wake_us())
            step(teller.ledger, e.Tick(at_us=teller.now_us))
            ticks += 1
            assert ticks < 100, name


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_random_histories_leave_no_symbol_stuck_or_silent(first: int) -> None:
    """
    After any events in any order, however absurd: the state and its order fit together, a freeze
    has an open incident, and a symbol that waits for us has a request out or a wake to come.
    """
    for seed in range(first, first + 100):
        rng = random.Random(seed)
        teller = reached(rng.choice(list(WAYS.values())))
        for _ in range(40):
            teller.now_us += rng.choice((0, 1_000, 500_000, 3_000_000, 20_000_000))
            event = rng.choice([e.Tick(at_us=0), teller.quoted(SYMBOL), *events_for(teller)])
            outcome = step(teller.ledger, msgspec.structs.replace(event, at_us=teller.now_us))
            for decision in outcome.decisions:
                if isinstance(decision, d.PlaceOrder):
                    teller.name(decision.cl_ord_id)
            for book in teller.ledger.books.values():
                check_fits(teller.ledger, book)


def check_fits(ledger: Ledger, book: Book) -> None:
    order = book.order
    if book.state in ALIVE:
        assert order is not None
        assert order.alive
    elif book.state is State.FILLED:
        assert order is not None
    else:
        assert order is None or order.status == "ended"
    for one in book.orders.values():  # what has no answer yet is what the state speaks of
        assert one.status not in ("intended", "in_doubt") or one is order
    if ledger.in_sync and book.anchor is not None:
        assert book.confirmed == (book.differs_since_us is None)
    if book.frozen:
        assert f"{book.frozen_by} {book.symbol}" in ledger.incidents
    ours_to_do = book.state in (State.PLACING, State.CANCELLING, State.FILLED)
    if ours_to_do and ledger.in_sync and ledger.clock_is_good() and not book.frozen:
        asked = [request for request in ledger.requests.values() if request.symbol == book.symbol]
        assert asked or ledger.frozen or book.wake_us < NEVER_US, book.waiting_for


def test_the_same_in_every_process() -> None:
    """Nothing depends on the order of a set or on the hash of a text."""
    digests = set()
    for seed in ("0", "4242"):
        ran = subprocess.run(
            [sys.executable, "-m", "tests.core.samples"],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        digests.add(hashlib.sha256(ran.stdout).hexdigest())
        assert ran.stdout
    assert len(digests) == 1


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_a_ledger_from_the_disk_goes_on_like_the_one_in_memory(seed: int) -> None:
    """At every step of a random world: stored, loaded and stepped, it decides the same."""
    world = World(seed)
    world.live(30 * SECOND)
    ledger, folded = Ledger(), Ledger()
    for event, decisions in world.journal:
        stored = canonical(ledger)
        loaded = copied(ledger)
        assert canonical(loaded) == stored
        outcome = step(loaded, event)
        assert outcome == step(ledger, event)
        assert outcome.decisions == decisions
        recall(folded, event, decisions)
        assert canonical(loaded) == canonical(ledger) == canonical(folded)


def test_events_and_outcomes_survive_the_journal() -> None:
    """Every event, decision and fact is the same after a trip through JSON."""
    for _, event, _, outcome in every_case():
        assert msgspec.json.decode(canonical(event), type=e.AnyEvent) == event
        again = msgspec.json.decode(canonical(outcome.decisions), type=list[d.AnyDecision])
        assert again == outcome.decisions
        assert msgspec.json.decode(canonical(outcome.facts), type=list[d.AnyFact]) == outcome.facts


@pytest.mark.parametrize("words", [e.AnyEvent, d.AnyDecision, d.AnyFact, Ledger])
def test_no_word_of_the_core_is_a_float(words: object) -> None:
    """Contracts, money, prices and times are exact: no float in any annotation, however deep."""
    found = list(kinds(msgspec.inspect.type_info(words)))
    assert any(isinstance(kind, msgspec.inspect.DecimalType) for kind in found)  # it does look
    assert not any(isinstance(kind, msgspec.inspect.FloatType) for kind in found)


def kinds(info: object, seen: set[int] | None = None) -> typing.Iterator[object]:
    """A type and every type inside it."""
    seen = set() if seen is None else seen
    if id(info) in seen or not isinstance(info, (msgspec.inspect.Type, msgspec.inspect.Field)):
        return
    seen.add(id(info))
    yield info
    for name in info.__struct_fields__:
        inner = getattr(info, name)
        for part in inner if isinstance(inner, tuple) else (inner,):
            yield from kinds(part, seen)
