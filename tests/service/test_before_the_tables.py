"""An order is sent between its commit and its tables: no end of the process there loses a row."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import Settings
from reconciler.errors import Broken, NotLeader, StorageFault
from reconciler.journal import History, care, chain, replay, store
from reconciler.journal.store import Journal
from reconciler.journal.tables import metadata
from reconciler.service import engine as engine_page
from reconciler.service.door import TargetRequest
from reconciler.service.engine import Engine
from reconciler.service.offline import OfflineDoor
from reconciler.service.options import Options
from tests.service.test_engine import Venue, full_disk, intents
from tests.stories.teller import Teller

SYMBOLS = ("ETHUSD", "XBTUSD")
PAGES = {engine_page.__file__, store.__file__}


class House:
    """Two symbols in sync and flat, an engine over a journal on the disk, a venue in front."""

    def __init__(self, database: Path, asleep: Path | None = None) -> None:
        self.database = database
        self.teller = Teller(Settings(symbols=SYMBOLS))
        if asleep is not None:
            database.parent.mkdir(mode=0o700)
            shutil.copy(asleep, database)
        self.journal = start(database)
        self.engine = Engine(
            self.journal.recover().ledger, self.journal, lambda: self.teller.now_us
        )
        self.venue = Venue(database, self.teller)
        self.engine.venue = self.venue  # type: ignore[assignment]
        if asleep is None:
            self.engine.handle([event for event, _ in self.teller.history])

    def target(self, symbol: str, contracts: int, version: int) -> e.TargetSet:
        return e.TargetSet(
            at_us=self.teller.now_us, symbol=symbol, contracts=contracts, version=version,
            source="test",
        )  # fmt: skip

    def two_orders(self) -> list[e.AnyEvent]:
        """One commit: the first order by a price of its own, the other by that of its event."""
        return [
            self.target("ETHUSD", 100, 1),
            e.MarginSeen(
                at_us=self.teller.now_us, currency="XBt", wallet_minor=1, margin_minor=1,
                available_minor=1, unrealised_minor=0,
            ),
            self.target("XBTUSD", -200, 1),
        ]  # fmt: skip

    def filled(self) -> list[e.AnyEvent]:
        """One commit: an answer, a fill, and the position after which the next order follows."""
        order = next(one for one in self.venue.orders() if one.symbol == "ETHUSD")
        now_us = self.teller.now_us
        row = e.OrderSeen(
            at_us=now_us, symbol="ETHUSD", order_id="v-1", cl_ord_id=order.cl_ord_id,
            contracts=order.contracts, filled=100, leaves=0, price=order.price,
            status=e.OrderStatus.FILLED, source=e.Source.STREAM, venue_us=now_us,
        )  # fmt: skip
        fill = e.ExecutionSeen(
            at_us=now_us, exec_id="x-1", symbol="ETHUSD", order_id="v-1",
            cl_ord_id=order.cl_ord_id, type=e.ExecutionKind.TRADE, contracts=100,
            price=order.price, order_filled=100, fee_minor=1, cost_minor=-100, currency="XBt",
            liquidity="maker", source=e.Source.STREAM, venue_us=now_us,
        )  # fmt: skip
        done = e.Answered(
            at_us=now_us, request_id=order.request_id, outcome=e.Outcome.DONE,
            venue_order_id="v-1",
        )  # fmt: skip
        position = self.teller.position_row(100, symbol="ETHUSD")
        return [done, fill, row, self.target("ETHUSD", 300, 2), position]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "home" / "journal.db")
    yield made
    made.journal.close()


@contextmanager
def at_each_line(do: Callable[[str], None]) -> Iterator[None]:
    """Call *do* with the place of each line of the engine and the store before it runs."""

    def trace(frame: FrameType, what: str, _: object) -> Any:
        if frame.f_code.co_filename not in PAGES:
            return None
        if what == "line":
            sys.settrace(None)
            do(f"{frame.f_code.co_filename}:{frame.f_lineno}")
            sys.settrace(trace)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def image_of(database: Path, folder: Path) -> Path:
    """What the files hold at this moment, as a kill would leave them."""
    folder.mkdir(mode=0o700)
    for file in database.parent.iterdir():
        if file.is_file() and file.suffix != ".lock":
            shutil.copy(file, folder / file.name)
    return folder / database.name


def bytes_of(database: Path) -> bytes:
    """Of the database, its log and its side file: what tells two images apart."""
    files = [database.with_name(database.name + ending) for ending in ("", "-wal", ".tip")]
    return b"".join(file.read_bytes() for file in files if file.exists())


def tables_of(database: Path) -> dict[str, list[Any]]:
    """Every table but the journal's own words about itself."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        return {
            name: sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in metadata.tables
            if name not in ("meta", "snapshots", "runs")
        }


def start(database: Path) -> Journal:
    journal = Journal.open(database, account="test", durability="process")
    journal.recover()
    return journal


def test_killed_at_any_line_the_next_start_has_all_that_was_sent_and_every_row(
    house: House, tmp_path: Path
) -> None:
    """
    Before each line of engine and store the files are copied, as `kill -9` would leave them. Every
    order that the venue had been given by then is in the copy, the replay agrees with it before
    the next start and after it, and the tables are then those of an undisturbed life.
    """
    numbers = count()
    images: dict[bytes, tuple[Path, set[str]]] = {}

    def look(_: str) -> None:
        seen = bytes_of(house.database)
        if seen not in images:
            images[seen] = image_of(house.database, tmp_path / f"image-{next(numbers)}"), set()
        images[seen][1].update(order.cl_ord_id for order in house.venue.orders())

    whole: dict[int, dict[str, list[Any]]] = {house.journal.last_seq: tables_of(house.database)}
    for batch in (house.two_orders, house.filled):
        events = batch()
        with at_each_line(look):
            house.engine.handle(events)
        whole[house.journal.last_seq] = tables_of(house.database)
    assert len(house.venue.orders()) == 3
    behind = 0
    for image, sent in images.values():
        assert sent <= intents(image)
        assert replay(image).difference is None
        with sqlite3.connect(f"file:{image}?mode=ro", uri=True) as db:
            behind += chain.behind(db) is not None
        journal = start(image)
        tables = tables_of(image)
        journal.close()
        assert tables == whole[journal.last_seq]
        assert replay(image).difference is None
    assert behind == 2


class Oddity(Exception):
    """Nobody foresees it."""


def ends_well(house: House) -> None:
    """After a failure: nothing new is sent, what may be alive is cancelled, a start goes on."""
    sent = house.venue.orders()
    named = house.engine.cancel_from_memory()
    assert {order.cl_ord_id for order in sent} <= set(named)
    house.engine.handle([house.target("XBTUSD", 500, 9)])
    assert house.venue.orders() == sent
    house.journal.close()
    assert {order.cl_ord_id for order in sent} <= intents(house.database)
    assert replay(house.database).difference is None
    journal = start(house.database)
    assert len(journal._rows.now.live) >= len(sent)
    journal.close()
    assert replay(house.database).difference is None


def test_an_error_at_any_line_stops_for_good_and_the_next_start_goes_on(tmp_path: Path) -> None:
    """Whatever is raised wherever: all that was sent is stored, and cancelled from memory."""
    asleep = House(tmp_path / "asleep" / "journal.db")
    asleep.journal.close()
    quiet = House(tmp_path / "quiet" / "journal.db", asleep.database)
    lines: list[str] = []
    with at_each_line(lines.append):
        quiet.engine.handle(quiet.two_orders())
    quiet.journal.close()
    assert len(set(lines)) > 70
    for line in sorted(set(lines)):
        house = House(tmp_path / f"{Path(line).name}" / "journal.db", asleep.database)
        events = house.two_orders()

        def fail(place: str, line: str = line) -> None:
            if place == line:
                raise Oddity

        with pytest.raises(Oddity), at_each_line(fail):
            house.engine.handle(events)
        ends_well(house)


class Interrupted(Venue):
    """Does something once, in the moment between an order's commit and its tables."""

    between: Callable[[], None] | None = None

    def send(self, decision: d.AnyDecision) -> Iterable[e.AnyEvent]:
        yield from super().send(decision)
        if isinstance(decision, d.PlaceOrder) and self.between is not None:
            between, self.between = self.between, None
            between()


def between(house: House, do: Callable[[], None]) -> None:
    """Have one order sent, and *do* done right after that."""
    venue = Interrupted(house.database, house.teller)
    venue.between = do
    house.engine.venue = house.venue = venue  # type: ignore[assignment]
    house.engine.handle([house.target("XBTUSD", -200, 1)])


def left_behind(house: House, folder: Path) -> Path:
    """A copy of the files as a kill between an order and its tables leaves them."""
    images: list[Path] = []
    between(house, lambda: images.append(image_of(house.database, folder)))
    return images[0]


def behind(database: Path) -> int | None:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        return chain.behind(db)


@pytest.mark.parametrize("trouble", ["a full disk", "a locked database"])
def test_tables_that_fail_after_the_send_stop_the_service(house: House, trouble: str) -> None:
    """The order is out: it is cancelled from memory, and the next start writes what is missing."""
    other = sqlite3.connect(house.database, isolation_level=None)
    house.journal._db.execute("PRAGMA busy_timeout = 10").fetchone()
    with ExitStack() as until:
        until.callback(other.close)

        def begin() -> None:
            if trouble == "a full disk":
                until.enter_context(full_disk(house.database))
            else:
                other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StorageFault):
            between(house, begin)
        assert house.engine.failed
        (order,) = house.venue.orders()
        assert house.engine.cancel_from_memory() == [order.cl_ord_id]
        assert isinstance(house.venue.sent[-1], d.CancelOrder)
    house.journal.close()
    assert behind(house.database) is not None
    assert replay(house.database).difference is None
    journal = start(house.database)
    assert [row[0] for row in tables_of(house.database)["orders"]] == [order.cl_ord_id]
    journal.close()


def test_a_start_that_is_killed_while_it_writes_the_tables_is_made_up_for_by_the_next(
    house: House, tmp_path: Path
) -> None:
    """Killed before any line of its recovery, it has written all of them or none."""
    left = left_behind(house, tmp_path / "left")
    expected = tables_of(house.database)
    numbers, images = count(), dict[bytes, Path]()

    def look(_: str) -> None:
        seen = bytes_of(left)
        if seen not in images:
            images[seen] = image_of(left, tmp_path / f"again-{next(numbers)}")

    with at_each_line(look):
        start(left).close()
    states = [behind(image) is None for image in images.values()]
    assert (True in states, False in states) == (True, True)
    for image in images.values():
        start(image).close()
        assert tables_of(image) == expected
        assert replay(image).difference is None


def test_a_journal_that_was_opened_and_not_recovered_is_as_far_behind_as_before(
    house: House, tmp_path: Path
) -> None:
    """Whoever opens it only to look or to copy it changes nothing of what a start has to do."""
    left = left_behind(house, tmp_path / "left")
    first = behind(left)
    journal = Journal.open(left, account="test", durability="process")
    copy = journal.backup()
    journal.close()
    assert (behind(left), behind(copy)) == (first, first)
    start(left).close()
    assert tables_of(left) == tables_of(house.database)


def test_a_backup_in_that_moment_is_whole_and_can_be_put_in_place(
    house: House, tmp_path: Path
) -> None:
    """Another thread copies the journal while the tables wait: the copy is a journal like any."""
    copies: list[Path] = []
    between(house, lambda: copies.append(house.journal.backup(tmp_path / "copy.db")))
    (copy,) = copies
    expected = tables_of(house.database)
    assert behind(copy) == care.verify(copy) == house.journal.last_seq
    house.journal.close()
    assert care.upgrade(copy).backup is None
    with History.open(copy) as history:
        assert history.status().values
        assert history.last_seq() == house.journal.last_seq
    care.restore(copy, house.database)
    start(house.database).close()
    assert tables_of(house.database) == expected
    assert replay(house.database).difference is None


def test_whose_place_was_taken_writes_no_table(house: House) -> None:
    """A process that slept between order and tables finds them written by its successor."""
    after: list[dict[str, list[Any]]] = []

    def take_over() -> None:
        house.journal._lock.release()  # a file system that forgot the lock
        journal = start(house.database)
        after.append(tables_of(house.database))
        journal._lock.release()

    with pytest.raises((NotLeader, Broken)):
        between(house, take_over)
    assert house.engine.failed
    assert tables_of(house.database) == after[0]


def test_a_command_without_a_service_finds_such_a_journal_in_order(
    house: House, tmp_path: Path
) -> None:
    """`set` and `halt` take the lock, write what is missing, and only then what they were told."""
    left = left_behind(house, tmp_path / "left")
    (order,) = house.venue.orders()
    options = Options(
        database=left, settings=Settings(symbols=SYMBOLS), account="test", durability="process"
    )
    door = OfflineDoor(options)
    done = door.set_target(TargetRequest(symbol="XBTUSD", contracts=-300))
    assert (done.version, done.previous) == (2, -200)
    halted = door.halt(by="eve", reason="odd prices")
    assert halted.resting == (order.cl_ord_id,)
    with History.open(left) as history:
        (row,) = history.rows("v_orders").dicts()
        assert (row["cl_ord_id"], row["status"]) == (order.cl_ord_id, "in_doubt")
    assert replay(left).difference is None


def test_a_target_that_is_repeated_does_not_keep_an_order_from_following_the_market(
    house: House,
) -> None:
    """A strategy says each second what it said before: the order is looked at when it is due."""
    teller = house.teller
    house.engine.handle([house.target("XBTUSD", 200, 1)])
    (order,) = house.venue.orders()
    house.engine.handle(
        [
            e.OrderSeen(
                at_us=teller.now_us, symbol="XBTUSD", order_id="v-1", cl_ord_id=order.cl_ord_id,
                contracts=200, filled=0, leaves=200, price=order.price,
                status=e.OrderStatus.NEW, source=e.Source.STREAM, venue_us=teller.now_us,
            )
        ]
    )  # fmt: skip
    teller.bid, teller.ask, teller.mark = Decimal("110.0"), Decimal("110.5"), Decimal("110.2")
    for second in range(1, 8):
        teller.now_us += 1_000_000
        told = msgspec.structs.replace(
            house.target("XBTUSD", 200, 1 + second),
            at_us=teller.now_us - 40,  # made a moment before the engine has it
            expires_us=teller.now_us + 60_000_000,
        )
        house.engine.handle([told])
    amends = [one for one in house.venue.sent if isinstance(one, d.AmendOrder)]
    assert [amend.price for amend in amends] == [Decimal("110.0")]
