"""Resyncs that fail, come too late, or are asked for twice."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from reconciler.bitmex import rest
from reconciler.bitmex.answers import Failure, Reply
from reconciler.bitmex.net import address
from reconciler.bitmex.rest import Exchange, Reader, ReadFailed
from reconciler.bitmex.signing import Signer
from reconciler.bitmex.sync import Sync
from reconciler.bitmex.tables import Accounts
from reconciler.core.events import Answered, AnyEvent, ExecutionSeen, OrderSeen, Synced
from reconciler.errors import ProtocolError

from .made import execution, order
from .rogue import Rogue, answer


class Host:
    """Calls wait until a test lets them through."""

    def __init__(self) -> None:
        self.time_us = 1_800_000_000_000_000
        self.calls: list[Callable[[], Any]] = []

    def now_us(self) -> int:
        return self.time_us

    def call_soon(self, call: Callable[[], Any]) -> None:
        self.calls.append(call)

    def run(self) -> list[AnyEvent]:
        calls, self.calls = self.calls, []
        return [event for call in calls for event in call()]


class Script:
    """A reader whose look-ups are done at once, from a script, when a test says so."""

    def __init__(self) -> None:
        self.tasks: list[Callable[[], None]] = []
        self.since_us: list[int] = []
        self.error: ReadFailed | ProtocolError | None = None
        self.rules: list[dict[str, object]] | ReadFailed | ProtocolError = []

    def ask(self, task: Callable[[], None]) -> None:
        self.tasks.append(task)

    def work(self) -> None:
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task()

    def executions_since(
        self, since_us: int, account: object, wanted: Callable[[], bool]
    ) -> list[AnyEvent]:
        self.since_us.append(since_us)
        if self.error is not None:
            raise self.error
        return []

    def open_orders(self, account: object, wanted: Callable[[], bool]) -> rest.Found:
        return rest.Found(open_order_ids=["o1"])

    def positions(self, *asked: object) -> list[AnyEvent]:
        return []

    def instruments(self, symbols: tuple[str, ...], wanted: object) -> list[dict[str, object]]:
        if isinstance(self.rules, Exception):
            raise self.rules
        return self.rules


def made(
    surely_us: Callable[[int], int | None] = lambda now_us: now_us + 7_000_000,
) -> tuple[Sync, Script, Host]:
    host, script = Host(), Script()
    sync = Sync(
        script,  # type: ignore[arg-type]
        host,  # type: ignore[arg-type]
        Accounts([]),
        (),
        surely_us,
        lambda: True,
    )
    return sync, script, host


def test_a_first_sync_looks_a_minute_back() -> None:
    """Without a watermark the last minute is read; with one, from a minute before it."""
    sync, script, host = made()
    sync.begin(host.time_us)
    script.work()
    (synced,) = host.run()
    venue_us = host.time_us + 7_000_000
    assert synced == Synced(
        at_us=host.time_us, watermark_us=venue_us - 2_000_000, open_order_ids=("o1",)
    )
    sync.begin(host.time_us)
    script.work()
    assert script.since_us == [venue_us - 60_000_000, venue_us - 62_000_000]


def test_what_comes_after_the_loss_is_thrown_away() -> None:
    """A result for a connection that is gone tells nothing, and the watermark stays."""
    sync, script, host = made()
    sync.begin(host.time_us)
    script.work()
    sync.abandon()
    assert host.run() == []
    assert sync.watermark_us == 0


def test_the_watermark_is_never_a_guess() -> None:
    """
    While the venue's clock is unknown, the watermark stays: on a machine an hour fast it would
    name a time to come, and every execution before that would be called known, and be lost.
    """
    ahead_us: list[int | None] = [7_000_000]
    sync, script, host = made(lambda now_us: None if ahead_us[0] is None else now_us + ahead_us[0])
    for known_us in (7_000_000, None):
        ahead_us[0] = known_us
        sync.begin(host.time_us)
        script.work()
        (synced,) = host.run()
        assert isinstance(synced, Synced)
        assert synced.watermark_us == 1_800_000_005_000_000
        host.time_us += 30_000_000
    assert script.since_us[1] == 1_800_000_005_000_000 - 60_000_000


def test_a_fast_machine_reads_its_first_minute_once_answers_have_told_the_time() -> None:
    """Executions were asked for since a time to come: none were found, and that says nothing."""
    ahead_us: list[int | None] = [None]
    sync, script, host = made(lambda now_us: None if ahead_us[0] is None else now_us + ahead_us[0])
    sync.ask(1)
    sync.begin(host.time_us)
    ahead_us[0] = -3_600_000_000  # the answers are dated
    script.work()
    assert host.run() == []
    script.work()
    synced, answered = host.run()
    venue_us = host.time_us - 3_600_000_000
    assert script.since_us == [host.time_us - 60_000_000, venue_us - 60_000_000]
    assert isinstance(synced, Synced)
    assert synced.watermark_us == venue_us - 2_000_000
    assert isinstance(answered, Answered)


def test_the_watermark_never_goes_back() -> None:
    """A clock that was set back does not take the watermark with it."""
    sync, script, host = made()
    sync.watermark_us = 2_000_000_000_000_000
    sync.begin(host.time_us)
    script.work()
    (synced,) = host.run()
    assert isinstance(synced, Synced)
    assert synced.watermark_us == 2_000_000_000_000_000


@pytest.mark.parametrize(
    "error", [ReadFailed(Failure(code="timeout")), ProtocolError("a row is wrong")]
)
def test_a_failed_sync_is_begun_again(error: ReadFailed | ProtocolError) -> None:
    """A failure is no sync; after a pause that grows it is tried again."""
    sync, script, host = made()
    script.error = error
    sync.begin(host.time_us)
    for _ in range(3):
        script.work()
        assert host.run() == []
        assert sync.busy
        sync.tick(host.time_us)
        assert script.tasks == []
        host.time_us += 16_000_000
        sync.tick(host.time_us)
        assert len(script.tasks) == 1
    script.error = None
    script.work()
    assert any(isinstance(event, Synced) for event in host.run())


def test_every_request_for_a_resync_is_answered_once() -> None:
    """Requests are answered by a sync that began after them, through failures and losses."""
    sync, script, host = made()
    sync.ask(1)
    sync.begin(host.time_us)
    sync.ask(2)
    sync.begin(host.time_us)
    assert len(script.tasks) == 1
    script.work()
    assert [e.request_id for e in host.run() if isinstance(e, Answered)] == [1]
    script.work()
    sync.abandon()
    assert host.run() == []
    sync.begin(host.time_us)
    script.work()
    assert [e.request_id for e in host.run() if isinstance(e, Answered)] == [2]


RULES: dict[str, object] = {
    "symbol": "XBTUSD", "state": "Closed", "lotSize": 100, "tickSize": Decimal("0.1"),
}  # fmt: skip


def of_xbtusd() -> tuple[Sync, Script, Host]:
    host, script = Host(), Script()
    sync = Sync(
        script,  # type: ignore[arg-type]
        host,  # type: ignore[arg-type]
        Accounts(["XBTUSD"]),
        ("XBTUSD",),
        lambda now_us: now_us,
        lambda: True,
    )
    return sync, script, host


def names_told(sync: Sync, script: Script, host: Host) -> list[str]:
    """What one resync tells."""
    sync.begin(host.time_us)
    script.work()
    return [type(event).__name__ for event in host.run()]


def test_rules_that_the_stream_did_not_tell_are_read() -> None:
    """Rules are told before a sync ends if they are news; a market that opened unseen is seen."""
    sync, script, host = of_xbtusd()
    script.rules = [RULES]
    assert names_told(sync, script, host) == ["InstrumentSeen", "Synced"]
    assert names_told(sync, script, host) == ["Synced"]
    script.rules = [{**RULES, "state": "Open"}]
    assert names_told(sync, script, host) == ["InstrumentSeen", "Synced"]


@pytest.mark.parametrize("why", [ReadFailed(Failure(code="timeout")), ProtocolError("wrong")])
def test_only_rules_that_were_never_seen_keep_a_sync_waiting(
    why: ReadFailed | ProtocolError,
) -> None:
    """Orders and fills don't wait for an instrument that cannot be read, once there are rules."""
    sync, script, host = of_xbtusd()
    script.rules = why
    assert names_told(sync, script, host) == []
    script.rules = [RULES]
    assert names_told(sync, script, host) == ["InstrumentSeen", "Synced"]
    script.rules = why
    assert names_told(sync, script, host) == ["Synced"]


def reader_of(rogue: Rogue) -> tuple[Reader, list[Exchange]]:
    exchanges: list[Exchange] = []
    reader = Reader(
        address(rogue.url, ("http", "https")),
        rest.authorities(),
        Signer("key", "secret"),
        Host(),  # type: ignore[arg-type]
        exchanges.append,
        lambda error: None,
        1.0,
        bytes,
    )
    return reader, exchanges


def pages(*of: list[dict[str, Any]]) -> Callable[[Rogue, socket.socket, bytes], bool]:
    """Answers with these pages, one a request, then with empty ones."""
    left = list(of)

    def conduct(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        answer(connection, left.pop(0) if left else [])
        return True

    return conduct


def at(number: int, second: int) -> dict[str, Any]:
    return execution(execID=f"e{number}", timestamp=f"2026-05-20T11:00:{second:02}.000Z")


def test_pages_of_one_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """More executions of one instant than a page holds are read by skipping, each once."""
    monkeypatch.setattr(rest, "PAGE", 2)
    script = pages([at(1, 1), at(2, 1)], [at(1, 1), at(2, 1)], [at(3, 1), at(4, 2)], [at(4, 2)], [])
    with Rogue(script) as rogue:
        reader, _ = reader_of(rogue)
        found = reader.executions_since(0, None, lambda: True)
        names = [event.exec_id for event in found if isinstance(event, ExecutionSeen)]
        assert names == ["e1", "e2", "e3", "e4"]
        queries = [request.split(b" ")[1] for request in rogue.requests]
        assert [b"start=2" in query for query in queries] == [False, False, True, False]


def test_a_short_page_is_checked_by_overlap() -> None:
    """A short page ends nothing until a page shows a known row again."""
    with Rogue(pages([at(1, 1)], [at(1, 1), at(2, 2)], [at(2, 2)])) as rogue:
        reader, _ = reader_of(rogue)
        found = reader.executions_since(0, None, lambda: True)
        assert len(found) == 2
        assert len(rogue.requests) == 2


def test_open_orders_are_paged(monkeypatch: pytest.MonkeyPatch) -> None:
    """All open orders are read, however many pages; those over in the meantime rest no more."""
    monkeypatch.setattr(rest, "PAGE", 2)
    script = pages(
        [order(orderID="a"), order(orderID="b", account=7)],
        [order(orderID="c", ordStatus="Filled", leavesQty=0)],
    )
    with Rogue(script) as rogue:
        reader, _ = reader_of(rogue)
        found = reader.open_orders(400123, lambda: True)
        assert [e.order_id for e in found.events if isinstance(e, OrderSeen)] == ["a", "c"]
        assert found.open_order_ids == ["a"]


@pytest.mark.parametrize("status", ["302 Found", "500 Oops", "429 Slow", "404 Not Found"])
def test_a_read_is_asked_once_and_not_redirected(status: str) -> None:
    """Nothing repeats a look-up by itself, nothing follows a redirect, and nobody misreads it."""

    def conduct(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        answer(connection, [], status, f"location: {other.url}/x\r\nretry-after: 0\r\n")
        return True

    with Rogue(pages()) as other, Rogue(conduct) as rogue:
        reader, exchanges = reader_of(rogue)
        with pytest.raises(ReadFailed) as failed:
            reader.position("XBTUSD", None)
        assert isinstance(failed.value.answer, Reply)
        assert len(rogue.requests) == len(exchanges) == 1
        assert other.connections == []


def test_a_read_that_is_cut_off_fails() -> None:
    """Half an answer is no answer, whatever the half says."""

    def conduct(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        answer(connection, b"[]" + b" " * 100, cut=100)
        return False

    with Rogue(conduct) as rogue:
        reader, _ = reader_of(rogue)
        with pytest.raises(ReadFailed):
            reader.position("XBTUSD", None)
        assert len(rogue.requests) == 1


def test_a_read_waits_for_the_budget() -> None:
    """While the budget is down to the reserve no look-up goes out; a useless one is given up."""
    with Rogue(pages()) as rogue:
        reader, _ = reader_of(rogue)
        reader.not_before_us = 2_000_000_000_000_000
        until = time.monotonic() + 0.1
        with pytest.raises(ReadFailed):
            reader.executions_since(0, None, lambda: time.monotonic() < until)
        assert rogue.requests == []


def test_a_signature_covers_the_query_as_sent() -> None:
    """What is signed is the request target byte for byte."""
    with Rogue(pages()) as rogue:
        reader, _ = reader_of(rogue)
        reader.order(1, "rc-ä/+ 17", None)
        for request in rogue.requests:
            lines = request.decode().split("\r\n")
            target = lines[0].split(" ")[1]
            fields = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:] if ": " in x)}
            expected = Signer("key", "secret").sign("GET", target, int(fields["api-expires"]))
            assert fields["api-signature"] == expected
        assert len(rogue.requests) == 2
        json.dumps([request.decode() for request in rogue.requests])
