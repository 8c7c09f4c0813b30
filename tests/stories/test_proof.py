"""Stories of the proof that ends a doubt: what interrupts it, and what must not pass for a step."""

from __future__ import annotations

import msgspec

from reconciler.core import decisions as d
from reconciler.core.events import Answered, OrderRead, Outcome
from tests.stories.teller import Teller, check_replay, tell

SECOND = 1_000_000


def until_void(teller: Teller, name: str, seconds: int = 60) -> int:
    """
    Find nothing, whatever is asked, until the order is given up.

    Returns:
        The time at which it was.
    """
    for _ in range(seconds * 10):
        for number, request in list(teller.ledger.requests.items()):
            asked = {"at_us": teller.now_us, "request_id": int(number)}
            if request.type == "readorder":
                found = {"cl_ord_id": request.cl_ord_id, "orders": 0, "executions": 0}
                teller.event(msgspec.convert({**asked, **found}, OrderRead))
            elif request.type == "cancelorder":
                teller.event(Answered(**asked, outcome=Outcome.NOTHING))
            elif request.type == "resync":
                teller.event(Answered(**asked, outcome=Outcome.DONE))
                teller.synced(0)
        if teller.order(name).status == "void":
            return teller.now_us
        teller.wait(100)
    raise AssertionError(f"{name} is {teller.order(name).status} after {seconds} s")


def in_doubt() -> Teller:
    teller = Teller()
    for words in ("target +100", "lost r1", "read r1 empty"):
        teller.do(words.split())
    return teller


def test_the_proof_takes_every_second_that_it_needs() -> None:
    """From the expiry, by the latest clock, ten seconds and two look-ups, and not one less."""
    teller = in_doubt()
    order, timing = teller.order("r1"), teller.settings.timing
    dead_us = order.expires_us + timing.clock_margin_us + 300_000  # the error of the clock
    ended_us = until_void(teller, "r1")
    assert ended_us >= dead_us + timing.hold_us + timing.read_lag_us
    assert ended_us <= dead_us + timing.hold_us + 2 * timing.read_lag_us + 2 * SECOND
    check_replay(teller)


def test_what_expired_while_we_were_blind_is_held_from_our_first_look_on() -> None:
    """Rows that come in while the stream is not in sync begin no step of the proof."""
    teller = in_doubt()
    teller.do(["stream", "lost"])
    teller.now_us += 15 * SECOND
    teller.do(["position", "0"])  # a look at the symbol, while blind
    teller.now_us += 5 * SECOND
    teller.do(["sync", "0"])
    seen_us = teller.now_us
    ended_us = until_void(teller, "r1")
    assert ended_us >= seen_us + teller.settings.timing.hold_us


def test_an_interruption_of_the_stream_begins_the_proof_anew() -> None:
    """A barrier and an empty look-up from before the interruption count no more."""
    teller = in_doubt()
    for _ in range(19):  # nearly proven
        teller.wait(1_000)
        if teller.order("r1").read_id:
            teller.do(["read", "r1", "empty"])
        if teller.order("r1").cancel_id:
            teller.do(["nothing", "r1"])
    doubt = teller.order("r1").doubt
    assert doubt is not None
    assert doubt.empty_read_us is not None
    before = len(teller.done)
    teller.do(["stream", "lost"])
    teller.do(["sync", "0"])
    seen_us = teller.now_us
    ended_us = until_void(teller, "r1")
    assert ended_us >= seen_us + teller.settings.timing.hold_us
    assert any(isinstance(decision, d.CancelOrder) for decision in teller.done[before:])


def test_a_clock_that_was_measured_long_ago_proves_no_expiry() -> None:
    """Two minutes after its last measure the venue's time is not known; a new measure is enough."""
    teller = Teller()
    teller.wait(115_000)
    for request in list(teller.ledger.requests.values()):
        if request.type == "resync":
            teller.synced(0)
    for words in ("target +100", "lost r1", "read r1 empty"):
        teller.do(words.split())
    for _ in range(40):
        teller.wait(1_000)
        if teller.order("r1").read_id:
            teller.do(["read", "r1", "empty"])
        assert teller.order("r1").cancels == 0
    teller.do(["clock", "0"])
    assert teller.order("r1").cancels == 1
    until_void(teller, "r1")


def test_a_venue_that_is_behind_is_waited_for() -> None:
    """Expiry is the venue's time: if its clock is five seconds behind ours, so is the proof."""
    ends = []
    for offset_ms in ("0", "-5000"):
        teller = Teller()
        teller.do(["clock", offset_ms])
        for words in ("target +100", "lost r1", "read r1 empty"):
            teller.do(words.split())
        expires_us = teller.order("r1").expires_us
        until_void(teller, "r1")
        doubt_us = teller.now_us + teller.ledger.clock_offset_us - expires_us
        ends.append(doubt_us)
    assert all(12 * SECOND < after_us < 20 * SECOND for after_us in ends)


def test_a_cancel_that_a_restart_left_without_an_answer_is_no_barrier() -> None:
    """After a restart the barrier is asked for again: an old answer belongs to nobody."""
    teller = in_doubt()
    for _ in range(8):
        teller.wait(1_000)
        if teller.order("r1").read_id:
            teller.do(["read", "r1", "empty"])
    number = teller.last_request("cancelorder")
    teller.do(["restart"])
    teller.do(["sync", "0"])
    late = Answered(at_us=teller.now_us, request_id=number, outcome=Outcome.NOTHING)
    before = msgspec.json.encode(teller.ledger)
    assert teller.event(late) == []
    assert msgspec.json.encode(teller.ledger) == before
    doubt = teller.order("r1").doubt
    assert doubt is not None
    assert doubt.barrier_us is None


def test_nothing_to_cancel_before_the_expiry_is_no_barrier() -> None:
    """A copy of the request may still be let in: that nothing was there then proves nothing."""
    teller = tell("""
        target +100             -> place r1 +100
        lost r1                 -> read r1
        pause                   -> cancel r1
        nothing r1                                            = cancelling
    """)
    doubt = teller.order("r1").doubt
    assert doubt is not None
    assert (doubt.expired_us, doubt.barrier_us) == (None, None)
