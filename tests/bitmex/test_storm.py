"""Many faults at once: whatever happens to stream and answers, nothing is missed or repeated."""

from __future__ import annotations

import random
import time

import pytest

from reconciler.bitmex import stream as stream_module
from reconciler.core.decisions import CancelOrder, Resync
from reconciler.core.events import Answered, ExecutionSeen, StreamLost, Synced
from reconciler.paper import PaperExchange

from .conftest import Paper
from .loop import Loop
from .test_gateway import FAR, HIGH, InSync, do, order

FAULTS = {
    "lost-answer": 0.1,
    "lost-request": 0.1,
    "bad-gateway-502": 0.1,
    "overload-503": 0.05,
    "execution-late": 0.2,
    "order-late": 0.2,
    "position-lag": 0.2,
    "cancel-race": 0.3,
    "duplicate-frame": 0.2,
    "empty-frame": 0.2,
    "second-partial": 0.05,
    "drop-stream": 0.02,
}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_execution_is_told_and_no_order_repeated(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a storm all executions of the account were told, and no request came twice."""
    monkeypatch.setattr(stream_module, "BACKOFF_S", 0.02)
    draws = random.Random(seed)
    with (
        PaperExchange(seed=seed, symbols=("XBTUSD",), faults=FAULTS, rate_limits=False) as venue,
        Loop() as loop,
    ):
        paper = Paper(venue)
        gateway = loop.run(paper.config(rest_timeout_s=0.5))
        loop.wait_for(Synced)
        until = time.monotonic() + 2
        number = 0
        while time.monotonic() < until:
            number += 1
            price = draws.choice([HIGH, FAR])
            gateway._vitals.budget.second.left = gateway._vitals.budget.minute.left = 10**9
            decision = order(loop, number, price=price, contracts=draws.choice([100, 200]))
            since = len(loop.events)
            answered = do(loop, decision)
            if answered.code == "out_of_sync":
                loop.wait_for(Synced, since)
                continue
            assert answered.outcome != "not_sent" or answered.code == "unreachable"
            if price == FAR:
                do(
                    loop,
                    CancelOrder(
                        request_id=10_000 + number,
                        cl_ord_id=decision.cl_ord_id,
                        symbol="XBTUSD",
                        reason="test",
                    ),
                )
            if draws.random() < 0.05:
                paper.tell("disconnect")
        for fault in FAULTS:
            paper.fault(fault, count=None, probability=0)
        do(loop, Resync(request_id=99_999, reason="calm again"))

        truth = paper.truth()
        told = {event.exec_id for event in loop.events if isinstance(event, ExecutionSeen)}
        # Rows about refused cancels speak of requests, not of orders: they are not told.
        of_orders = [row for row in truth["executions"] if row["execType"] != "CancelReject"]
        assert told == {row["execID"] for row in of_orders}
        names = [entry["clOrdID"] for entry in truth["requests"]]
        assert len(names) == len(set(names)) > 5
        answers = [e.request_id for e in loop.events if isinstance(e, Answered)]
        assert len(answers) == len(set(answers))
        told_at = [event.at_us for event in loop.events]
        assert told_at == sorted(told_at)
        losses = sum(isinstance(event, StreamLost) for event in loop.events)
        syncs = sum(isinstance(event, Synced) for event in loop.events)
        assert losses > 0
        assert syncs > 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_machine_with_a_wrong_clock_logs_in(hours: int, loop: Loop, in_sync: InSync) -> None:
    """The welcome says what time it is: no login is called expired because our clock is slow."""
    loop.skew_us = hours * 3_600_000_000
    in_sync()
    assert [event for event in loop.events if isinstance(event, StreamLost)] == []
