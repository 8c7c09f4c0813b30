"""A new target, a restart, a lost stream, a halt and a stop, in every state of a symbol."""

from __future__ import annotations

import pytest

from tests.stories.teller import tell

IDLE = ""
PLACING = "target +100 -> place r1 +100 = placing\n"
IN_DOUBT = PLACING + "lost r1 -> read r1 = placing ~ answer about\n"
WORKING = PLACING + "ok r1 = working\n"
PARTLY = WORKING + "fill r1 +40 x1 = working\n"
CANCELLING = WORKING + "target 0 -> cancel r1 = cancelling\n"
FILLED = WORKING + "fill r1 +100 x1 = filled\n"

NEW_TARGET = {
    "idle": (IDLE, "target -50 -> place r1 -50 = placing"),
    "placing": (
        PLACING,
        """
        target -50                                            = placing
        ok r1                   -> cancel r1                  = cancelling
        cancelled r1 0          -> place r2 -50               = placing
        """,
    ),
    "in doubt": (
        IN_DOUBT,
        """
        target -50                                            = placing ~ answer about
        read r1 new 0           -> cancel r1                  = cancelling
        cancelled r1 0          -> place r2 -50               = placing
        """,
    ),
    "working": (
        WORKING,
        """
        target -50              -> cancel r1                  = cancelling
        cancelled r1 0          -> place r2 -50               = placing
        """,
    ),
    "working, further the same way": (
        WORKING,
        """
        target +150                                           = working
        fill r1 +100 x1                                       = filled
        row r1 filled 100
        position +100           -> place r2 +50               = placing
        """,
    ),
    "partly filled": (
        PARTLY,
        """
        target +40              -> cancel r1                  = cancelling
        cancelled r1 40                                       = filled ~ position to be +40
        position +40            -> held +40                   = idle
        """,
    ),
    "cancelling": (
        CANCELLING,
        """
        target +100                                           = cancelling
        cancelled r1 0          -> place r2 +100              = placing
        """,
    ),
    "filled": (
        FILLED,
        """
        target -50                                            = filled
        row r1 filled 100                                     = filled
        position +100           -> place r2 -100 reduce       = placing
        """,
    ),
}


@pytest.mark.parametrize("state", NEW_TARGET)
def test_a_new_target_waits_for_the_end_of_the_old_order(state: str) -> None:
    """Whatever the old order is doing, it is over and complete before another is placed."""
    before, after = NEW_TARGET[state]
    tell(before + after)


RESTART = {
    "idle": (IDLE, "sync 0", 0),
    "placing": (
        PLACING,
        """
        sync 0 r1               -> read r1                    = placing ~ answer about
        read r1 new 0                                         = working
        """,
        1,
    ),
    "placing, and it filled": (
        PLACING,
        """
        fill r1 +100 x1                                       = filled
        sync +100                                             = filled ~ the end of
        wait 1_000              -> read r1
        read r1 filled 100      -> held +100                  = idle
        """,
        1,
    ),
    "in doubt": (
        IN_DOUBT,
        """
        sync 0                  -> read r1                    = placing
        read r1 cancelled 0                                   = idle ~ a while
        """,
        1,
    ),
    "working": (WORKING, "sync 0 r1 = working", 1),
    "working, and it ended meanwhile": (
        WORKING,
        """
        sync 0                  -> read r1                    = working
        read r1 cancelled 0                                   = idle ~ a while after
        """,
        1,
    ),
    "partly filled": (PARTLY, "sync +40 r1 = working", 1),
    "filled, its fills not seen": (
        WORKING + "row r1 filled 100 = filled ~ 100 fills of",
        """
        sync +100               -> read r1, read position     = filled ~ 100 fills of
        fill r1 +100 x1                                       = filled
        position +100           -> held +100                  = idle
        """,
        1,
    ),
    "filled": (
        FILLED + "row r1 filled 100 = filled",
        "sync +100 -> held +100 = idle",
        1,
    ),
}


@pytest.mark.parametrize("state", RESTART)
def test_a_restart_sends_nothing_again(state: str) -> None:
    """After a restart an old intent is looked for, never sent again."""
    before, after, placed = RESTART[state]
    teller = tell(f"{before}\nrestart\nstream lost\n{after}")
    assert len(teller.names) == placed


def test_a_restart_asks_again_for_a_cancel_under_way() -> None:
    """A cancel that a crash interrupted is asked for again; that is harmless."""
    tell(CANCELLING + "restart -> cancel r1 = cancelling\nsync 0 r1\ncancelled r1 0 = idle")


def test_a_restart_with_the_clock_set_back_waits_for_no_old_time() -> None:
    """Clocks of two runs are not compared: the position is read although the old time is ahead."""
    teller = tell(FILLED + "row r1 filled 100")
    teller.now_us -= 3_600_000_000
    teller.start()
    assert teller.synced(0) == ["read position"]


@pytest.mark.parametrize("before", [PLACING, IN_DOUBT, WORKING, PARTLY, CANCELLING, FILLED])
def test_a_lost_stream_adds_no_order(before: str) -> None:
    """Without the stream nothing is placed or amended, whatever the target, until a full resync."""
    teller = tell(f"{before}\nstream lost")
    placed = len(teller.names)
    said = teller.target(300) + teller.wait(60_000)
    assert not [word for word in said if word.startswith(("place", "amend"))]
    assert len(teller.names) == placed


def test_an_order_that_filled_while_we_were_blind_is_found() -> None:
    """Fills from a gap in the stream are found by the resync, each once."""
    tell(
        WORKING
        + """
        stream lost                                           = working
        fill r1 +100 x1                                       = filled
        fill r1 +100 x1                                       = filled
        sync +100                                             = filled
        wait 1_000              -> read r1
        read r1 filled 100      -> held +100                  = idle
        """
    )


def test_a_lost_stream_starts_every_proof_anew() -> None:
    """Empty look-ups from before a gap prove nothing after it."""
    teller = tell(IN_DOUBT + "read r1 empty\nwait 9_000 -> read r1, cancel r1")
    teller.do(["read", "r1", "empty"])
    teller.do(["nothing", "r1"])
    teller.do(["read", "r1", "empty"])
    teller.do(["stream", "lost"])
    order = teller.order("r1")
    assert order.doubt is not None
    teller.do(["sync", "0"])
    assert order.doubt.expired_us == teller.now_us
    assert (order.doubt.barrier_us, order.doubt.empty_read_us) == (None, None)


HALT = {
    "idle": (IDLE, "", "target +10"),
    "placing": (PLACING, "", "ok r1 -> cancel r1 = cancelling"),
    "in doubt": (IN_DOUBT, " -> cancel r1 = cancelling", "read r1 new 0 = cancelling"),
    "working": (WORKING, " -> cancel r1 = cancelling", "cancelled r1 0 = idle"),
    "partly filled": (PARTLY, " -> cancel r1 = cancelling", "cancelled r1 40 = filled"),
    "cancelling": (CANCELLING, "", "cancelled r1 0 = idle"),
    "filled": (FILLED, "", "row r1 filled 100\nposition +100 = idle"),
}


@pytest.mark.parametrize("verb", ["halt", "stop"])
@pytest.mark.parametrize("state", HALT)
def test_a_halt_or_a_stop_takes_our_order_away_and_places_none(state: str, verb: str) -> None:
    """From then on nothing is placed; what rests, or may rest, is cancelled, blind or not."""
    before, at_once, then = HALT[state]
    teller = tell(f"{before}\n{verb}{at_once}\n{then}")
    assert not [word for word in teller.target(-300) + teller.wait(30_000) if "place" in word]


def test_a_halt_while_blind_cancels_an_order_in_doubt() -> None:
    """Cancels need no stream: a halt reaches even an order that nobody has seen."""
    tell(
        IN_DOUBT + "stream lost\nhalt -> cancel r1 = cancelling\nrow r1 new\ncancelled r1 0 = idle"
    )


def test_a_resume_goes_on_where_the_halt_began() -> None:
    """The target was kept through the halt, and is worked again."""
    tell(WORKING + "halt -> cancel r1\ncancelled r1 0 = idle ~ resume\nresume -> place r2 +100")


def test_time_spent_halted_is_not_time_spent_trying() -> None:
    """After a long halt a passive target is worked passively first."""
    tell(
        WORKING
        + """
        halt                    -> cancel r1
        cancelled r1 0                                        = idle
        wait 100_000            -> resync, resync
        resume                  -> place r2 +100              = placing
        """
    )


def test_a_stop_may_leave_orders_where_they_are() -> None:
    """Asked to keep orders, a stop cancels none and places none."""
    tell(WORKING + "stop keep = working\nfill r1 +100 x1\nrow r1 filled 100\nposition +100")
