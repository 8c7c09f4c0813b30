"""The gateway against the paper exchange, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from reconciler.bitmex import rest
from reconciler.bitmex.budget import MINUTE_RESERVE, ONE, READ_RESERVE
from reconciler.bitmex.clock import VenueClock
from reconciler.bitmex.connection import Connection
from reconciler.core.decisions import (
    AmendOrder,
    ArmDeadMan,
    CancelOrder,
    PlaceOrder,
    ReadOrder,
    ReadPosition,
    Resync,
)
from reconciler.core.events import (
    Answered,
    ClockMeasured,
    DeadManAcked,
    ExecutionKind,
    ExecutionSeen,
    InstrumentSeen,
    MarginSeen,
    OrderRead,
    OrderSeen,
    OrderStatus,
    Outcome,
    PositionSeen,
    Source,
    StreamLost,
    Synced,
    Throttled,
)
from reconciler.core.ledger import AUDIT_EVERY_US

from .conftest import Paper
from .loop import Loop
from .made import place

InSync = Callable[..., Loop]
FAR = Decimal("50000")  # a bid that nobody meets
HIGH = Decimal("70000")  # a bid that everybody meets


def order(loop: Loop, request_id: int, **changes: Any) -> PlaceOrder:
    now_us = loop.now_us()
    return place(
        **{
            "request_id": request_id,
            "cl_ord_id": f"rc-{request_id}",
            "contracts": 100,
            "price": FAR,
            "expires_us": now_us + 5_000_000,
            "deadline_us": now_us + 3_000_000,
            **changes,
        }
    )


def do(loop: Loop, decision: Any) -> Answered:
    """Send a decision and wait for its answer."""
    since = len(loop.events)
    loop.send(decision)
    answered = loop.wait_for(Answered, since, request_id=decision.request_id)
    assert isinstance(answered, Answered)
    return answered


def cancel(request_id: int, name: str) -> CancelOrder:
    return CancelOrder(request_id=request_id, cl_ord_id=name, symbol="XBTUSD", reason="test")


def test_into_sync(paper: Paper, in_sync: InSync) -> None:
    """A start tells rules, clock, a position of zero and, last, that all is in sync."""
    loop = in_sync()
    rules = loop.wait_for(InstrumentSeen)
    assert (rules.symbol, rules.lot, rules.tick) == ("XBTUSD", 100, Decimal("0.1"))
    (batch,) = [b for b in loop.batches if any(isinstance(e, Synced) for e in b)]
    assert isinstance(batch[-1], Synced)
    (position,) = [event for event in batch if isinstance(event, PositionSeen)]
    assert (position.symbol, position.contracts, position.source) == ("XBTUSD", 0, Source.READ)
    clock = loop.wait_for(ClockMeasured)
    assert abs(clock.offset_us) <= clock.error_us <= 1_000_000
    synced = batch[-1]
    assert synced.open_order_ids == ()
    assert abs(loop.now_us() - 2_000_000 - synced.watermark_us) < 3_000_000
    margin = loop.wait_for(MarginSeen, currency="XBt")
    assert margin.wallet_minor > 0
    assert not any(isinstance(event, StreamLost) for event in loop.events)
    at = [event.at_us for event in loop.events]
    assert at == sorted(at)


def test_place_fill_and_cancel(paper: Paper, in_sync: InSync) -> None:
    """A crossing order fills, a resting one is cancelled; stream and answers tell the same."""
    loop = in_sync()
    answered = do(loop, order(loop, 1, price=HIGH))
    assert (answered.outcome, answered.code) == (Outcome.DONE, "filled")
    fill = loop.wait_for(ExecutionSeen, type=ExecutionKind.TRADE)
    assert (fill.cl_ord_id, fill.contracts, fill.order_filled) == ("rc-1", 100, 100)
    assert fill.order_id == answered.venue_order_id
    assert fill.source is Source.STREAM
    assert (fill.currency, fill.liquidity) == ("XBt", "taker")
    truth = paper.truth()["executions"][-1]
    assert (fill.fee_minor, fill.cost_minor) == (truth["execComm"], truth["execCost"])
    assert loop.wait_for(PositionSeen, contracts=100, source=Source.STREAM)
    assert loop.wait_for(OrderSeen, cl_ord_id="rc-1", source=Source.STREAM).filled == 100

    assert do(loop, order(loop, 2, contracts=-100, price=HIGH)).code == "new"
    assert loop.wait_for(OrderSeen, cl_ord_id="rc-2", source=Source.REPLY).contracts == -100
    assert do(loop, cancel(3, "rc-2")).outcome is Outcome.DONE
    assert loop.wait_for(OrderSeen, cl_ord_id="rc-2", status=OrderStatus.CANCELLED)
    assert do(loop, cancel(4, "rc-2")).outcome is Outcome.NOTHING
    assert do(loop, cancel(5, "rc-9")).outcome is Outcome.NOTHING


def test_flags_of_an_order(paper: Paper, in_sync: InSync) -> None:
    """Post only, immediate and reduce only reach the venue and do there what they say."""
    loop = in_sync()
    assert do(loop, order(loop, 1, price=HIGH, post_only=True)).code == "cancelled"
    assert do(loop, order(loop, 2, immediate=True)).code == "cancelled"
    assert do(loop, order(loop, 3, reduce_only=True)).code == "nothing_to_reduce"
    assert paper.truth()["positions"].get("XBTUSD", 0) == 0


def test_amends(paper: Paper, in_sync: InSync) -> None:
    """An amend changes the price; one that changes nothing is done, one too late is nothing."""
    loop = in_sync()
    do(loop, order(loop, 1))
    for request_id, price, outcome in (
        (2, Decimal("50001.5"), Outcome.DONE),
        (3, Decimal("50001.5"), Outcome.DONE),
    ):
        amend = AmendOrder(
            request_id=request_id,
            cl_ord_id="rc-1",
            symbol="XBTUSD",
            price=price,
            expires_us=loop.now_us() + 5_000_000,
            reason="test",
        )
        assert do(loop, amend).outcome is outcome
    assert loop.wait_for(OrderSeen, price=Decimal("50001.5"), source=Source.STREAM)
    do(loop, cancel(4, "rc-1"))
    late = AmendOrder(
        request_id=5, cl_ord_id="rc-1", symbol="XBTUSD", price=FAR,
        expires_us=loop.now_us() + 5_000_000, reason="test",
    )  # fmt: skip
    assert do(loop, late).outcome is Outcome.NOTHING


def test_dead_man(paper: Paper, in_sync: InSync) -> None:
    """The switch is armed and disarmed, and each time the venue's promise is told."""
    loop = in_sync()
    assert do(loop, ArmDeadMan(request_id=1, timeout_ms=60_000)).outcome is Outcome.DONE
    assert loop.wait_for(DeadManAcked, timeout_ms=60_000)
    assert do(loop, ArmDeadMan(request_id=2, timeout_ms=0)).outcome is Outcome.DONE
    assert loop.wait_for(DeadManAcked, timeout_ms=0)


def test_look_ups(paper: Paper, in_sync: InSync) -> None:
    """One order with its executions, one that does not exist, and a position."""
    loop = in_sync()
    do(loop, order(loop, 1, price=HIGH))
    since = len(loop.events)
    loop.send(ReadOrder(request_id=2, cl_ord_id="rc-1", symbol="XBTUSD", reason="test"))
    read = loop.wait_for(OrderRead, since, request_id=2)
    assert (read.orders, read.executions) == (1, 2)
    (batch,) = [b for b in loop.batches if read in b]
    assert [e.source for e in batch[:-1]] == [Source.READ] * 3  # type: ignore[union-attr]
    loop.send(ReadOrder(request_id=3, cl_ord_id="rc-9", symbol="XBTUSD", reason="test"))
    read = loop.wait_for(OrderRead, request_id=3)
    assert (read.orders, read.executions) == (0, 0)
    for request_id, symbol, contracts in ((4, "XBTUSD", 100), (5, "ETHUSD", 0)):
        decision = ReadPosition(request_id=request_id, symbol=symbol, reason="test")
        assert do(loop, decision).outcome is Outcome.DONE
        assert loop.wait_for(
            PositionSeen, since, symbol=symbol, contracts=contracts, source=Source.READ
        )


def test_a_resync_on_request(paper: Paper, in_sync: InSync) -> None:
    """A resync reads executions, open orders and positions again, and ends in sync."""
    loop = in_sync()
    do(loop, order(loop, 1, price=HIGH))
    resting = do(loop, order(loop, 2))
    since = len(loop.events)
    assert do(loop, Resync(request_id=3, reason="test")).outcome is Outcome.DONE
    assert loop.wait_for(Synced, since).open_order_ids == (resting.venue_order_id,)
    assert loop.wait_for(
        ExecutionSeen, since, source=Source.READ, type=ExecutionKind.TRADE, cl_ord_id="rc-1"
    )
    assert loop.wait_for(OrderSeen, since, source=Source.READ, cl_ord_id="rc-2")
    assert loop.wait_for(PositionSeen, since, source=Source.READ, contracts=100)
    assert not any(isinstance(event, StreamLost) for event in loop.events)


def test_what_the_stream_lost_is_found_by_an_audit(paper: Paper, in_sync: InSync) -> None:
    """A resting order fills and no row of it comes: the audit tells fill, position and its end."""
    loop = in_sync()
    resting = do(loop, order(loop, 1))
    since = len(loop.events)
    paper.fault("lost-frame", count=None)
    paper.fault("lost-position", count=None)
    paper.tell("fill", order="rc-1", contracts=100)
    assert do(loop, Resync(request_id=2, reason="regular audit")).outcome is Outcome.DONE
    found = [e for e in loop.events[since:] if isinstance(e, ExecutionSeen) and e.contracts]
    assert [(e.cl_ord_id, e.contracts, e.source) for e in found] == [("rc-1", 100, Source.READ)]
    assert resting.venue_order_id not in loop.wait_for(Synced, since).open_order_ids
    assert loop.wait_for(PositionSeen, since, contracts=100, source=Source.READ)
    assert not any(isinstance(event, StreamLost) for event in loop.events)


def test_an_audit_is_cheap(paper: Paper, in_sync: InSync) -> None:
    """Orders, executions, positions and rules in at most six reads: a tenth of the budget."""
    loop = in_sync()
    gateway = loop.gateway
    assert gateway is not None
    for number in range(1, 4):
        do(loop, order(loop, number, price=HIGH))
    do(loop, Resync(request_id=10, reason="warm up"))
    before = gateway._vitals.budget.sent
    do(loop, Resync(request_id=11, reason="regular audit"))
    spent = gateway._vitals.budget.sent - before
    assert 4 <= spent <= 6
    assert spent * 60_000_000 // AUDIT_EVERY_US * 10 <= gateway._vitals.budget.minute.limit


def test_lost_and_found(paper: Paper, in_sync: InSync) -> None:
    """A lost connection is told once; what happened meanwhile comes before the next sync."""
    loop = in_sync()
    resting = do(loop, order(loop, 1))
    since = len(loop.events)
    paper.tell("disconnect")
    paper.trade(200)
    loop.wait_for(StreamLost, since)
    synced = loop.wait_for(Synced, since)
    assert synced.open_order_ids == (resting.venue_order_id,)
    between = loop.events[since : loop.events.index(synced, since)]
    assert any(isinstance(e, ExecutionSeen) and e.contracts == 200 for e in between)
    assert any(isinstance(e, PositionSeen) and e.contracts == 200 for e in between)
    assert sum(isinstance(e, StreamLost) for e in loop.events) == 1
    assert do(loop, order(loop, 2)).outcome is Outcome.DONE
    gateway = loop.gateway
    assert gateway is not None
    assert gateway.health()["reconnects"] == 1


def test_a_long_backfill(paper: Paper, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executions of before the start are read page by page: each once, and none left out."""
    monkeypatch.setattr(rest, "PAGE", 3)
    for number in range(1, 12):
        paper.trade(100 if number % 3 else -100)
    loop.run(paper.config(), watermark_us=loop.now_us())
    synced = loop.wait_for(Synced)
    seen = [e.exec_id for e in loop.events if isinstance(e, ExecutionSeen)]
    read = [
        e.exec_id
        for e in loop.events[: loop.events.index(synced)]
        if isinstance(e, ExecutionSeen) and e.source is Source.READ
    ]
    truth = [row["execID"] for row in paper.truth()["executions"]]
    assert sorted(read) == sorted(truth)
    assert set(seen) == set(truth)


@pytest.mark.parametrize(
    ("fault", "outcome", "at_the_venue"),
    [
        ("lost-answer", Outcome.IN_DOUBT, 1),
        ("lost-request", Outcome.IN_DOUBT, 0),
        ("overload-503", Outcome.REFUSED, 0),
        ("rate-limit-429", Outcome.REFUSED, 0),
        ("reject-in-200", Outcome.DONE, 1),
    ],
)
def test_bad_answers(
    fault: str, outcome: Outcome, at_the_venue: int, paper: Paper, in_sync: InSync
) -> None:
    """Whatever becomes of the answer, the order is at the venue at most once."""
    loop = in_sync()
    paper.fault(fault)
    assert do(loop, order(loop, 1)).outcome is outcome
    truth = paper.truth()
    assert sum(row.get("clOrdID") == "rc-1" for row in truth["orders"]) <= at_the_venue
    assert sum(entry.get("clOrdID") == "rc-1" for entry in truth["requests"]) <= 1


def test_an_answer_too_late_is_in_doubt(paper: Paper, in_sync: InSync) -> None:
    """A request whose answer takes too long is in doubt; the stream may still tell of it."""
    loop = in_sync(rest_timeout_s=0.1)
    paper.fault("slow-answer")
    answered = do(loop, order(loop, 1))
    assert (answered.outcome, answered.code) == (Outcome.IN_DOUBT, "timeout")
    assert loop.wait_for(OrderSeen, cl_ord_id="rc-1", source=Source.STREAM)


def test_a_name_used_twice_is_in_doubt(paper: Paper, in_sync: InSync) -> None:
    """The venue refuses a second order of one name while the first is open: that is no refusal."""
    with Loop() as another:  # one process never uses a name twice
        another.run(paper.config())
        another.wait_for(Synced)
        do(another, order(another, 1))
    answered = do(in_sync(), order(another, 2, cl_ord_id="rc-1"))
    assert (answered.outcome, answered.code) == (Outcome.IN_DOUBT, "duplicate_id")


@pytest.mark.parametrize("fault", ["duplicate-frame", "empty-frame", "second-partial"])
def test_harmless_frames(fault: str, paper: Paper, in_sync: InSync) -> None:
    """Repeated frames, empty ones and images in mid-stream lose nothing."""
    loop = in_sync()
    paper.fault(fault, count=None)
    for number in range(1, 4):
        do(loop, order(loop, number, price=HIGH))
        loop.wait_for(PositionSeen, contracts=100 * number, source=Source.STREAM)
    assert not any(isinstance(event, StreamLost) for event in loop.events)


def test_credentials_lost(paper: Paper, loop: Loop) -> None:
    """A stream that came up without our account is given up, and the next one is used."""
    paper.fault("auth-lost")
    loop.run(paper.config())
    lost = loop.wait_for(StreamLost)
    assert "401" in lost.reason
    assert loop.wait_for(Synced, loop.events.index(lost))


def test_a_stream_that_tells_nothing(paper: Paper, in_sync: InSync) -> None:
    """A socket that answers pings and shows no order of ours is given up."""
    loop = in_sync()
    paper.fault("silent-stream")
    do(loop, order(loop, 1))
    since = len(loop.events)
    for _ in range(3):
        loop.skew_us += 4_000_000
        time.sleep(0.2)
    lost = loop.wait_for(StreamLost, since)
    assert "accepted" in lost.reason
    assert loop.wait_for(Synced, loop.events.index(lost))


def test_a_stream_that_tells_nothing_and_nobody_trades(paper: Paper, in_sync: InSync) -> None:
    """No order of ours shows it, and pings are answered: the next audit does, by the prices."""
    loop = in_sync()
    gateway = loop.gateway
    assert gateway is not None
    paper.fault("silent-stream")
    paper.trade(100)  # its frame is the first that does not come
    since = len(loop.events)
    paper.tell("price", symbol="XBTUSD", price=61500.5)
    for _ in range(4):
        loop.skew_us += 4_000_000
        time.sleep(0.2)
    assert not any(isinstance(event, StreamLost) for event in loop.events)
    loop.send(Resync(request_id=1, reason="regular audit"))
    lost = loop.wait_for(StreamLost, since)
    assert "silent about XBTUSD" in lost.reason
    assert loop.wait_for(Synced, loop.events.index(lost))
    quote = gateway.quote("XBTUSD")
    assert quote is not None
    assert quote.bid == Decimal("61500.5")


def test_a_loop_that_stood_still(paper: Paper, in_sync: InSync) -> None:
    """After a pause of the whole process nothing is believed before it was read again."""
    loop = in_sync()
    since = len(loop.events)
    loop.skew_us += 600_000_000
    lost = loop.wait_for(StreamLost, since)
    assert "stood still" in lost.reason
    assert loop.wait_for(Synced, since)


def test_a_clock_that_is_not_known_well_enough_is_asked_for_soon(in_sync: InSync) -> None:
    """No order is placed until then: it must not wait for the next audit or heartbeat."""
    loop = in_sync()
    gateway, since = loop.gateway, len(loop.events)
    assert gateway is not None
    gateway._vitals.clock = VenueClock()  # contradicted, say, by an answer that took a second
    loop.skew_us += 4_000_000
    measured = loop.wait_for(ClockMeasured, since)
    assert measured.error_us <= 1_000_000


def test_nothing_is_placed_out_of_sync(paper: Paper, loop: Loop) -> None:
    """Before the first sync an order is not sent, and that is said at once."""
    paper.fault("auth-lost", count=None)
    loop.run(paper.config())
    loop.wait_for(StreamLost)
    answered = do(loop, order(loop, 1))
    assert (answered.outcome, answered.code) == (Outcome.NOT_SENT, "out_of_sync")
    assert do(loop, cancel(2, "rc-9")).outcome is Outcome.NOTHING
    assert paper.truth()["requests"] == []


def test_the_reserve_is_for_cancels(paper: Paper, in_sync: InSync) -> None:
    """When new orders have used their part of the budget they wait; a cancel still goes."""
    loop = in_sync()
    since = len(loop.events)
    for number in range(1, 12):
        loop.send(order(loop, number))
    for number in range(1, 12):
        loop.wait_for(Answered, since, request_id=number)
    held = [
        event for event in loop.events if isinstance(event, Answered) and event.code == "budget"
    ]
    assert held
    assert all(event.outcome is Outcome.NOT_SENT and event.retry_after_us > 0 for event in held)
    throttled = loop.wait_for(Throttled, since)
    assert throttled.until_us > throttled.at_us
    assert do(loop, cancel(20, "rc-1")).outcome is Outcome.DONE


def test_after_a_429_cancels_and_heartbeats_go_on(paper: Paper, in_sync: InSync) -> None:
    """What lowers the risk is never held back; what adds to it waits for the moment named."""
    loop = in_sync()
    do(loop, order(loop, 1))
    paper.fault("rate-limit-429")
    assert do(loop, order(loop, 2)).outcome is Outcome.REFUSED
    held = do(loop, order(loop, 3))
    assert (held.outcome, held.code) == (Outcome.NOT_SENT, "budget")
    assert held.retry_after_us > 0
    assert do(loop, ArmDeadMan(request_id=4, timeout_ms=60_000)).outcome is Outcome.DONE
    assert do(loop, cancel(5, "rc-1")).outcome is Outcome.DONE
    assert [row["ordStatus"] for row in paper.truth()["orders"]] == ["Canceled"]


def test_a_resync_goes_before_new_orders(paper: Paper, in_sync: InSync) -> None:
    """With little left above the reserve, what tells us where we stand is asked for first."""
    loop = in_sync()
    gateway = loop.gateway
    assert gateway is not None
    gateway._vitals.budget.minute.left = (MINUTE_RESERVE + READ_RESERVE - 1) * ONE
    assert do(loop, order(loop, 1)).code == "budget"
    assert do(loop, Resync(request_id=2, reason="test")).outcome is Outcome.DONE
    assert paper.truth()["requests"] == []


def test_quotes(paper: Paper, in_sync: InSync) -> None:
    """The newest prices are at hand, and whoever wants is told when they change."""
    loop = in_sync()
    gateway = loop.gateway
    assert gateway is not None
    before = gateway.quote("XBTUSD")
    assert before is not None
    assert before.bid is not None
    assert before.ask is not None
    assert before.bid < before.ask
    assert before.mark is not None
    changed: list[str] = []
    trades: list[Any] = []
    gateway.on_quote = changed.append
    gateway.on_trade = lambda *trade: trades.append(trade)
    paper.tell("price", symbol="XBTUSD", price=61500.5)
    until = time.monotonic() + 5
    while (quote := gateway.quote("XBTUSD")) is None or quote.bid != Decimal("61500.5"):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert set(changed) == {"XBTUSD"}
    assert quote.age_us < 5_000_000
    paper.trade(-100)
    while not trades:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert trades[-1][:2] == ("XBTUSD", -100)
    assert gateway.quote("NOSUCH") is None


def test_rules_that_change(paper: Paper, in_sync: InSync) -> None:
    """An instrument that closes is told, and what the venue says to an order then is a refusal."""
    loop = in_sync()
    paper.tell("market", symbol="XBTUSD", state="Closed")
    assert loop.wait_for(InstrumentSeen, open=False).state == "Closed"
    answered = do(loop, order(loop, 1))
    assert (answered.outcome, answered.code) == (Outcome.REFUSED, "market_closed")


def test_health(paper: Paper, in_sync: InSync) -> None:
    """People see the stream, the latency, the budget and the clock."""
    loop = in_sync()
    gateway = loop.gateway
    assert gateway is not None
    health = gateway.health()
    assert health["stream"] == "live"
    assert isinstance(health["latency_ms"], float)
    budget = health["budget"]
    assert isinstance(budget, dict)
    assert budget["per_minute"][1] == 120
    assert budget["per_second"] == [10, 10]
    assert health["reconnects"] == 0


def test_close_waits_for_answers(paper: Paper, in_sync: InSync) -> None:
    """An answer that is on its way when the gateway closes is still told."""
    loop = in_sync()
    paper.fault("slow-answer")
    loop.send(order(loop, 1))
    until = time.monotonic() + 5
    while not paper.truth()["orders"]:
        assert time.monotonic() < until
    gateway = loop.gateway
    assert gateway is not None
    gateway.close(5)
    assert loop.wait_for(Answered, request_id=1).outcome is Outcome.DONE


@pytest.mark.parametrize("part", ["_reader", "_wire", "_stream"])
def test_a_thread_that_dies_is_noticed(
    part: str, paper: Paper, in_sync: InSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw, in any thread, ends the trust in the stream and is reported."""

    def die(*args: object) -> Any:
        raise RuntimeError("nobody foresaw this")

    loop = in_sync()
    gateway = loop.gateway
    assert gateway is not None
    if part == "_reader":
        monkeypatch.setattr(gateway._reader, "_ask", die)
        loop.send(ReadPosition(request_id=1, symbol="XBTUSD", reason="test"))
    elif part == "_wire":
        monkeypatch.setattr(Connection, "_read", die)
        loop.send(order(loop, 1))
    else:
        monkeypatch.setattr(gateway._stream, "_connect", die)
        paper.tell("disconnect")
    lost = loop.wait(lambda event: isinstance(event, StreamLost) and "died" in event.reason)
    assert isinstance(lost, StreamLost)
    assert "RuntimeError" in lost.reason
    until = time.monotonic() + 5
    while not loop.errors:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert str(loop.errors.pop()) == "nobody foresaw this"
