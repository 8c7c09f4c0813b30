"""What stands between a decision and the wire, and what a rule settles: on a real journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.core import events as e
from reconciler.core.decisions import AmendOrder, PlaceOrder, WaitingFor
from reconciler.core.settings import Settings
from reconciler.core.trouble import mismatch
from reconciler.journal.replay import replay
from reconciler.journal.store import Journal
from reconciler.service.engine import Engine
from reconciler.service.telling import Teller as Log
from tests.service.test_engine import Venue
from tests.stories.teller import SYMBOL, Teller


class Shop:
    """An engine over a journal, a venue, the words of a teller, and a log."""

    def __init__(self, database: Path, settings: Settings | None = None, position: int = 0) -> None:
        self.database = database
        self.teller = Teller(settings, position=position)
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.journal = Journal.open(database, account="test", durability="process")
        self.engine = self.started()
        for event, _ in self.teller.history:
            self.engine.handle([event])

    def started(self) -> Engine:
        ledger = self.journal.recover().ledger
        engine = Engine(ledger, self.journal, lambda: self.teller.now_us)
        self.venue = Venue(self.database, self.teller)
        engine.venue = self.venue  # type: ignore[assignment]
        engine.watchers.append(Log(lambda _, name, **values: self.said.append((name, values))))
        return engine

    def foreign(self, contracts: int) -> e.ExecutionSeen:
        teller = Teller()
        teller.now_us = self.teller.now_us
        teller.execution("", contracts, "y1")
        (event,) = [ev for ev, _ in teller.history if isinstance(ev, e.ExecutionSeen)]
        return event

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.database) as reader:
            return list(reader.execute(query))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "journal.db")
    yield made
    made.journal.close()


def test_an_order_that_a_fill_in_its_own_commit_made_too_large_is_not_sent(shop: Shop) -> None:
    """Decided while flat; with it in one commit the position came near to its limit."""
    target = e.TargetSet(
        at_us=shop.teller.now_us,
        symbol=SYMBOL,
        contracts=100,
        version=1,
        source="test",
        quote=shop.teller.quoted(SYMBOL),
    )
    shop.engine.handle([target, shop.foreign(9_950)])
    assert [d for d in shop.venue.sent if isinstance(d, PlaceOrder)] == []
    assert shop.rows("SELECT outcome, code FROM requests WHERE kind = 'placeorder'") == [
        ("not_sent", "guard")
    ]
    (text,) = shop.rows("SELECT text FROM requests WHERE kind = 'placeorder'")[0]
    assert "limits.max_position_contracts = 10000: it could be 10050" in text
    book = shop.engine.ledger.books[SYMBOL]
    assert (book.state, [order.status for order in book.orders.values()]) == ("idle", ["refused"])
    assert ("limit.hit", text) in [(name, values.get("text")) for name, values in shop.said]


def test_an_amend_is_kept_back_as_an_order_is(shop: Shop) -> None:
    """The stream is lost in the commit in which the new price was chosen: the old one stays."""
    teller = shop.teller
    before = len(teller.history)
    teller.do(["target", "+100"])
    teller.do(["ok", "r1"])
    teller.do(["price", "101", "101.5"])
    teller.wait(10_000)
    told = teller.history[before:]
    there = next(n for n, (_, done) in enumerate(told) if done and type(done[0]) is AmendOrder)
    shop.venue.quote = lambda symbol: None  # type: ignore[assignment, method-assign]
    shop.engine.handle([event for event, _ in told[:there]])
    lost = e.StreamLost(at_us=teller.now_us, reason="test")
    shop.engine.handle([told[there][0], lost])
    assert [d for d in shop.venue.sent if isinstance(d, AmendOrder)] == []
    asked = "SELECT outcome, code, text FROM requests WHERE kind = 'amendorder'"
    assert shop.rows(asked) == [("not_sent", "guard", "the stream")]
    (order,) = shop.engine.ledger.books[SYMBOL].orders.values()
    assert (str(order.price), order.price_in_doubt) == ("100.0", False)


def test_a_limit_that_is_waited_for_is_told_once(shop: Shop) -> None:
    """One line when it is met, whatever its figures do since, and another when it is met anew."""
    for mark in ("110", "111", "112"):
        shop.teller.do(["mark", mark])
        quote = shop.teller.quoted(SYMBOL)
        version = shop.engine.ledger.book(SYMBOL).version + 1
        target = e.TargetSet(
            at_us=shop.teller.now_us,
            symbol=SYMBOL,
            contracts=version,
            version=version,
            source="test",
            quote=quote,
        )
        shop.engine.handle([target])
    hits = [values for name, values in shop.said if name == "limit.hit"]
    assert [(values["symbol"], values["rule"]) for values in hits] == [
        (SYMBOL, "limits.price_collar_bps")
    ]


def test_a_limit_that_is_met_again_and_again_is_counted() -> None:
    """One line in ten minutes for each limit, with how often it was met since: no log is filled."""
    said: list[tuple[int, object, object, object]] = []
    second = 0

    def say(_: str, name: str, **values: object) -> None:
        assert name == "limit.hit"
        said.append((second, values.get("symbol"), values["rule"], values.get("times_since", 0)))

    log = Log(say)
    for second in range(0, 1_300, 10):
        at_us = (1_790_000_000 + second) * 10**6
        for what in (
            f"limits.price_collar_bps = 50: {second} off",
            "limits.max_orders_per_minute = 30",
            "",
        ):
            log([(e.Tick(at_us=at_us), [], [WaitingFor(symbol=SYMBOL, what=what)])])
        kept_back = e.Answered(
            at_us=at_us,
            request_id=second,
            outcome=e.Outcome.NOT_SENT,
            code="guard",
            text="the stream",
        )
        log([(kept_back, [], [])])
    assert said == [
        (at, *which, times)
        for at, times in ((0, 0), (600, 59), (1_200, 59))
        for which in (
            (SYMBOL, "limits.price_collar_bps"),
            (SYMBOL, "limits.max_orders_per_minute"),
            (None, "the stream"),
        )
    ]


def differs(settings: Settings) -> list[e.AnyEvent]:
    """All that leads to the freeze, and nothing after it, as a teller without the rule has it."""
    teller = Teller(msgspec.structs.replace(settings, on_mismatch="halt"), position=100)
    before = len(teller.history)
    teller.do(["target", "+100"])
    teller.do(["position", "60"])
    while not teller.book.frozen:
        teller.wait(500)
        asked = {request.type for request in teller.ledger.requests.values()}
        if "readposition" in asked:
            teller.do(["position", "60", "read"])
        if "resync" in asked:
            teller.do(["sync", "60"])
            teller.do(["resync", "done"])
    return [event for event, _ in teller.history[before:]]


ADOPT = Settings(symbols=(SYMBOL,), on_mismatch="adopt")


def test_a_mismatch_is_settled_in_the_turn_that_froze_it(tmp_path: Path) -> None:
    """The journal has it as events and as an adjustment with an author; the replay agrees."""
    shop = Shop(tmp_path / "journal.db", ADOPT, position=100)
    for event in differs(ADOPT):
        shop.engine.handle([event])
    assert shop.engine.ledger.books[SYMBOL].position == 60
    shop.journal.close()
    assert shop.rows('SELECT contracts, "by" FROM adjustments') == [(-40, "on_mismatch = adopt")]
    report = replay(shop.database)
    assert report.difference is None


def test_a_crash_before_the_rule_has_settled_it_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The freeze was recorded, and the process died: the next one finds it, and settles it once."""
    shop = Shop(tmp_path / "journal.db", ADOPT, position=100)
    with monkeypatch.context() as crash:
        crash.setattr(mismatch, "settled", lambda ledger: [])
        for event in differs(ADOPT):
            shop.engine.handle([event])
    assert shop.engine.ledger.books[SYMBOL].frozen_by == "position_differs"
    shop.teller.now_us = shop.engine.ledger.at_us
    engine = shop.started()
    before = len(shop.teller.history)
    shop.teller.start()
    shop.teller.synced(60)
    for event, _ in shop.teller.history[before:]:
        engine.handle([event])
    assert engine.ledger.books[SYMBOL].position == 60
    assert engine.ledger.books[SYMBOL].frozen == ""
    assert [row[0] for row in shop.rows("SELECT contracts FROM adjustments")] == [-40]
    shop.journal.close()


def test_asking_for_another_price_is_not_meeting_the_limit_anew(shop: Shop) -> None:
    """What waits asks for a price every few seconds: the log is not filled with it."""
    shop.teller.do(["mark", "110"])
    for version in (1, 2, 3):
        shop.engine.handle(
            [
                e.TargetSet(
                    at_us=shop.engine.ledger.at_us + 1_000_000,
                    symbol=SYMBOL,
                    contracts=100,
                    version=version,
                    source="test",
                )
            ]
        )
    waits = [row[0] for row in shop.rows("SELECT waiting_for FROM symbol_now")]
    assert "limits.price_collar_bps" in waits[0]
    assert [name for name, _ in shop.said].count("limit.hit") == 1
