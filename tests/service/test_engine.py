"""Step, record, send: nothing is sent before it is on the disk, or after a write that failed."""

from __future__ import annotations

import resource
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.errors import StorageFault
from reconciler.journal.store import Journal
from reconciler.service.engine import Engine
from reconciler.service.options import Options
from reconciler.service.service import Service
from tests.stories.teller import SYMBOL, Teller


class Venue:
    """Takes what is sent, and notes what the disk held at that moment."""

    def __init__(self, database: Path, teller: Teller) -> None:
        self.database = database
        self.teller = teller
        self.sent: list[d.AnyDecision] = []
        self.on_disk: list[set[str]] = []  # the intents, each time that an order was sent
        self.withdrawn = 0

    def send(self, decision: d.AnyDecision) -> Iterable[e.AnyEvent]:
        self.sent.append(decision)
        if isinstance(decision, d.PlaceOrder):
            self.on_disk.append(intents(self.database))
        return ()

    def withdraw(self) -> None:
        self.withdrawn += 1

    def quote(self, symbol: str) -> e.Quoted:
        return self.teller.quoted(symbol)

    def orders(self) -> list[d.PlaceOrder]:
        return [decision for decision in self.sent if isinstance(decision, d.PlaceOrder)]


def intents(database: Path) -> set[str]:
    """The orders that the rows of the journal itself have decided on."""
    with sqlite3.connect(database) as reader:
        rows = [text for (text,) in reader.execute("SELECT decisions FROM journal")]
    decided = [one for text in rows for one in msgspec.json.decode(text, type=list[d.AnyDecision])]
    return {one.cl_ord_id for one in decided if isinstance(one, d.PlaceOrder)}


def events(database: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(database) as reader:
        return list(reader.execute("SELECT at_us, kind FROM journal ORDER BY seq"))


class House:
    """An engine over a journal on the disk, in sync and flat, with a venue in front of it."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.teller = Teller()  # for its words: the events of a symbol at rest
        self.journal = Journal.open(database, account="test", durability="process")
        ledger = self.journal.recover().ledger
        self.engine = Engine(ledger, self.journal, lambda: self.teller.now_us)
        self.venue = Venue(database, self.teller)
        self.engine.venue = self.venue  # type: ignore[assignment]
        for event, _ in self.teller.history:
            self.engine.handle([event])

    def target(self, contracts: int, version: int = 1, **more: object) -> None:
        event = e.TargetSet(
            at_us=self.teller.now_us,
            symbol=SYMBOL,
            contracts=contracts,
            version=version,
            source="test",
        )
        self.engine.handle([msgspec.structs.replace(event, **more)])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "journal.db")
    yield made
    made.journal.close()


@contextmanager
def full_disk(database: Path) -> Iterator[None]:
    """No file may grow past the journal's log as it is: what a full disk does to a commit."""
    log = database.with_name(database.name + "-wal").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_order_is_on_the_disk_when_it_is_sent(house: House) -> None:
    """Another process sees the intent before the venue sees its first byte."""
    house.target(100)
    (order,) = house.venue.orders()
    assert house.venue.on_disk == [{order.cl_ord_id}]


def test_a_commit_that_fails_sends_nothing_and_nothing_is_ever_sent_again(house: House) -> None:
    """Memory is ahead of the disk then: no order, no cancel, no request, and no further event."""
    house.venue.sent.clear()
    with full_disk(house.database), pytest.raises(StorageFault):
        house.target(100, reason="x" * 500_000)
    assert house.venue.sent == []
    written = events(house.database)
    with pytest.raises(StorageFault):  # there is room again, and the handle is not trusted
        house.journal.record([])
    house.target(200, version=2)
    assert house.venue.sent == []
    assert events(house.database) == written
    assert intents(house.database) == set()


def test_what_may_be_alive_is_cancelled_from_memory_after_a_failure(house: House) -> None:
    """The disk is gone, the venue is there: cancels need no journal, orders do."""
    house.target(100)
    (order,) = house.venue.orders()
    with full_disk(house.database), pytest.raises(StorageFault):
        house.target(-100, version=2, reason="x" * 500_000)
    house.venue.sent.clear()
    assert house.engine.cancel_from_memory() == [order.cl_ord_id]
    (cancel,) = house.venue.sent
    assert isinstance(cancel, d.CancelOrder)
    assert cancel.cl_ord_id == order.cl_ord_id


def test_a_new_start_finds_all_that_was_acknowledged_before_the_disk_was_full(
    house: House, tmp_path: Path
) -> None:
    """The commit that failed never happened; the one before it did."""
    house.target(100)
    with full_disk(house.database), pytest.raises(StorageFault):
        house.target(-100, version=2, reason="x" * 500_000)
    house.journal.close()
    again = Journal.open(house.database, account="test", durability="process")
    book = again.recover().ledger.books[SYMBOL]
    again.close()
    assert (book.version, book.state) == (1, "placing")
    house.journal = Journal.open(house.database, account="test", durability="process")


def test_time_never_runs_backwards_within_a_run(house: House) -> None:
    """An event that was made before the newest one, and came after it, is as young as that."""
    newest_us = house.engine.ledger.at_us
    house.engine.handle([e.Tick(at_us=newest_us + 5)])
    house.target(100, at_us=newest_us - 9_000_000)
    times = [at_us for at_us, _ in events(house.database)]
    assert times == sorted(times)
    assert house.engine.ledger.at_us == newest_us + 5
    target = house.engine.ledger.books[SYMBOL].target
    assert target is not None
    assert target.set_us == newest_us + 5


def test_a_start_may_be_earlier_than_the_run_before_it(house: House) -> None:
    """Clocks of two runs are not compared: the new run has its own time."""
    started = next(event for event, _ in house.teller.history if isinstance(event, e.Started))
    early_us = started.at_us - 3_600_000_000
    house.engine.handle([msgspec.structs.replace(started, at_us=early_us, run_id="next")])
    assert house.engine.ledger.at_us == early_us
    assert events(house.database)[-1][0] == early_us


def test_an_order_decided_in_the_commit_of_a_stop_is_not_sent(house: House) -> None:
    """The target came first, the halt behind it, and both are one commit: nothing is written."""
    now_us = house.teller.now_us
    target = e.TargetSet(at_us=now_us, symbol=SYMBOL, contracts=100, version=1, source="test")
    halt = e.Halted(at_us=now_us, by="eve", reason="odd prices")
    priced = msgspec.structs.replace(target, quote=house.teller.quoted(SYMBOL))
    house.engine.handle([priced, halt])
    assert intents(house.database) != set()
    assert house.venue.orders() == []
    assert house.venue.withdrawn == 1
    book = house.engine.ledger.books[SYMBOL]
    assert (book.state, [order.status for order in book.orders.values()]) == ("idle", ["refused"])


@pytest.mark.parametrize("mode", ["pause", "reduce_only", "freeze"])
def test_an_order_decided_in_the_commit_of_a_mode_is_not_sent(house: House, mode: str) -> None:
    """What a person forbids holds for what was decided a moment before: it has not left yet."""
    now_us = house.teller.now_us
    target = e.TargetSet(at_us=now_us, symbol=SYMBOL, contracts=100, version=1, source="test")
    forbids = e.ModeSet(at_us=now_us, mode=mode, by="eve", reason="lunch", symbols=(SYMBOL,))
    priced = msgspec.structs.replace(target, quote=house.teller.quoted(SYMBOL))
    house.engine.handle([priced, forbids])
    assert intents(house.database) != set()
    assert (house.venue.orders(), house.venue.withdrawn) == ([], 1)


def test_orders_that_wait_for_a_connection_are_withdrawn_at_a_stop(house: House) -> None:
    """Halt, stop, and every freeze; a target alone withdraws nothing."""
    house.target(100)
    assert house.venue.withdrawn == 0
    now_us = house.teller.now_us
    house.engine.handle([e.Halted(at_us=now_us, by="eve", reason="odd prices")])
    assert house.venue.withdrawn == 1
    house.engine.handle([e.Resumed(at_us=now_us, by="eve", reason="fine")])
    assert house.venue.withdrawn == 1
    unknown = house.teller.person_row("u1", 10)
    unknown = msgspec.structs.replace(unknown, cl_ord_id="rc-test-9-000001")
    house.engine.handle([unknown])
    assert house.venue.withdrawn == 2
    house.engine.handle([e.Stopping(at_us=now_us, reason="SIGTERM")])
    assert house.venue.withdrawn == 3


def test_a_running_service_tells_what_its_incidents_are(house: House, tmp_path: Path) -> None:
    """Kind and symbol are in the ledger, the words in the journal: `status` has both."""
    unknown = msgspec.structs.replace(
        house.teller.person_row("u1", 10), cl_ord_id="rc-test-9-000001"
    )
    house.engine.handle([unknown])
    house.journal.close()
    options = Options(
        database=house.database, settings=house.teller.settings, account="test",
        durability="process",
    )  # fmt: skip
    service = Service(options, None)
    thread = threading.Thread(target=service.run)
    thread.start()
    assert service.ready.wait(10)
    (incident,) = service.status()["incidents"]
    service.stop("told")
    thread.join()
    assert incident["severity"] == "critical"
    assert "rc-test-9-000001" in incident["summary"]
