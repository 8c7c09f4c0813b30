"""
A symbol in each of its states, and events of every type to throw at it.

    python -m tests.core.samples

prints what every event does in every state; two processes with different hash seeds must agree.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from reconciler.core import events as e
from reconciler.core.ledger import Ledger
from reconciler.core.step import Outcome, step
from tests.stories.teller import SYMBOL, Teller

#: Words that lead there from a symbol at rest, by the name of the state or condition.
WAYS: dict[str, tuple[str, ...]] = {
    "idle": (),
    "idle, with a target": ("market closed", "target +100"),
    "placing": ("target +100",),
    "placing, in doubt": ("target +100", "lost r1"),
    "working": ("target +100", "ok r1"),
    "working, partly filled": ("target +100", "ok r1", "fill r1 +40 x1"),
    "working, being repriced": ("target +100", "ok r1", "price 101 101.5", "wait 5000"),
    "cancelling": ("target +100", "ok r1", "target 0"),
    "cancelling, in doubt": ("target +100", "lost r1", "read r1 empty", "wait 9000"),
    "filled": ("target +100", "ok r1", "fill r1 +100 x1"),
    "filled, fills missing": ("target +100", "ok r1", "row r1 filled 100"),
    "idle, after a refusal": ("target +100", "refused r1"),
    "idle, after an order": ("target +100", "ok r1", "target 0", "cancelled r1 0"),
    "working, frozen": ("target +100", "ok r1", "unknown new"),
    "blind": ("target +100", "ok r1", "stream lost"),
    "started again": ("target +100", "restart"),
    "halted": ("target +100", "ok r1", "halt"),
    "two orders": ("target +100", "ok r1", "twin r1 new 0"),
}


def reached(way: tuple[str, ...]) -> Teller:
    """A world that has gone this way."""
    teller = Teller()
    for words in way:
        teller.do(words.split())
    return teller


def events_for(teller: Teller) -> Iterator[e.AnyEvent]:
    """Every type of event, every status, kind and outcome, about r1 (if there is one) or nobody."""
    us = teller.now_us + 1_000
    run = teller.ledger.run
    assert run is not None
    name = next(iter(teller.names), "rc-test-1-000001")
    yield msgspec.structs.replace(run, at_us=us, run_id="next", epoch=run.epoch + 1)
    yield e.Configured(at_us=us, settings=teller.settings)
    yield e.Stopping(at_us=us, reason="SIGTERM")
    yield e.Stopping(at_us=us, reason="SIGTERM", keep_orders=True)
    for is_open in (True, False):
        yield msgspec.structs.replace(teller.instrument(SYMBOL, is_open), at_us=us)
    yield msgspec.structs.replace(teller.quoted(SYMBOL), at_us=us)
    yield e.Quoted(at_us=us, symbol=SYMBOL, bid=None, ask=None, mark=None)
    for status in e.OrderStatus:
        for filled in (0, 40, 100):
            for source in e.Source:
                for order_id, cl_ord_id in ((f"v-{name}", name), ("v-x", name), ("p1", "")):
                    yield order_row(us, order_id, cl_ord_id, status, filled, source)
    for kind in e.ExecutionKind:
        for contracts in (40, 100, -40):
            for cl_ord_id in (name, "", "rc-test-9-000001", "rc-other-1"):
                yield execution_row(us, cl_ord_id, kind, contracts)
    for contracts in (0, 40, 100, -7):
        yield teller_position(us, contracts)
    yield e.TargetRefused(
        at_us=us, symbol=SYMBOL, contracts=7, source="s", code="not_a_lot", text="no"
    )
    yield e.Signalled(at_us=us, number=1, strategy="s", symbol=SYMBOL, strength=Decimal("0.5"))
    yield e.StrategyChanged(at_us=us, strategy="s", state="failed", detail="it raised")
    row = e.ScheduleRow(due_us=us + 1, symbol=SYMBOL, contracts=100)
    yield e.ScheduleSet(at_us=us, name="n", rows=(row,), source="s")
    yield e.ScheduleSet(at_us=us, name="n", rows=(), source="s")
    for mode in ("pause", "reduce_only", "flatten", "freeze", ""):
        for symbols in ((), (SYMBOL,)):
            yield e.ModeSet(at_us=us, mode=mode, by="me", reason="r", symbols=symbols)
    yield e.MarginSeen(
        at_us=us,
        currency="XBt",
        wallet_minor=1,
        margin_minor=1,
        available_minor=1,
        unrealised_minor=0,
    )
    yield e.StreamLost(at_us=us, reason="silence")
    for resting in ((), (f"v-{name}",)):
        yield e.Synced(at_us=us, watermark_us=us, open_order_ids=resting)
    yield e.ClockMeasured(at_us=us, offset_us=0, error_us=1)
    for number in (*(int(key) for key in teller.ledger.requests), 999):
        for outcome in e.Outcome:
            yield e.Answered(at_us=us, request_id=number, outcome=outcome, retry_after_us=7)
        for found in (0, 1):
            yield e.OrderRead(
                at_us=us, request_id=number, cl_ord_id=name, orders=found, executions=found
            )
    yield e.Throttled(at_us=us, until_us=us + 1, reason="budget")
    yield e.DeadManAcked(at_us=us, timeout_ms=60_000)
    for contracts in (0, 50, -100, 10**12):
        yield e.TargetSet(at_us=us, symbol=SYMBOL, contracts=contracts, version=9, source="x")
    yield e.TargetSet(at_us=us, symbol="NEVERSEEN", contracts=5, version=1, source="x", key="k")
    for symbols in ((), (SYMBOL,), ("NEVERSEEN",)):
        yield e.Halted(at_us=us, by="x", reason="", symbols=symbols)
        yield e.Resumed(at_us=us, by="x", reason="", symbols=symbols)
    yield e.Adjusted(at_us=us, symbol=SYMBOL, contracts=-3, by="x", reason="adopted")
    for decision in ("adopt", "trade_back", "ignore"):
        for number in (0, *sorted(teller.ledger.incidents.values())):
            yield e.Resolved(
                at_us=us, incident_id=number, decision=decision, by="x", reason="decided"
            )
    yield e.Tick(at_us=us)
    yield e.Tick(at_us=us + 3_600_000_000)


def order_row(
    us: int, order_id: str, cl_ord_id: str, status: e.OrderStatus, filled: int, source: e.Source
) -> e.OrderSeen:
    over = status in e.OVER
    return e.OrderSeen(
        at_us=us,
        symbol=SYMBOL,
        order_id=order_id,
        cl_ord_id=cl_ord_id,
        contracts=100,
        filled=filled,
        leaves=0 if over else 100 - filled,
        price=Decimal(100),
        status=status,
        source=source,
        venue_us=us,
    )


def execution_row(
    us: int, cl_ord_id: str, kind: e.ExecutionKind, contracts: int
) -> e.ExecutionSeen:
    return e.ExecutionSeen(
        at_us=us,
        exec_id=f"new-{contracts}",
        symbol=SYMBOL,
        order_id=f"v-{cl_ord_id}",
        cl_ord_id=cl_ord_id,
        type=kind,
        contracts=contracts,
        price=Decimal(100),
        order_filled=abs(contracts),
        fee_minor=1,
        cost_minor=1,
        currency="XBt",
        liquidity="maker",
        source=e.Source.STREAM,
        venue_us=us,
    )


def teller_position(us: int, contracts: int) -> e.PositionSeen:
    return e.PositionSeen(
        at_us=us, symbol=SYMBOL, contracts=contracts, source=e.Source.STREAM, venue_us=us
    )


def canonical(value: object) -> bytes:
    """The same bytes for the same value in every process."""
    return msgspec.json.encode(value, order="deterministic")


def copied(ledger: Ledger) -> Ledger:
    """The ledger as it comes back from the disk."""
    return msgspec.json.decode(canonical(ledger), type=Ledger)


def every_case() -> Iterator[tuple[str, e.AnyEvent, Ledger, Outcome]]:
    """Each event in each state: the state's name, the event, and what became of it."""
    for name, way in WAYS.items():
        teller = reached(way)
        stored = canonical(teller.ledger)
        for event in events_for(teller):
            ledger = msgspec.json.decode(stored, type=Ledger)
            yield name, event, ledger, step(ledger, event)


EVENT_TYPES = frozenset(typing.get_args(e.AnyEvent))

if __name__ == "__main__":
    for name, event, ledger, outcome in every_case():
        print(name, canonical(event), canonical(outcome), canonical(ledger))
