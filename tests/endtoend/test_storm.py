"""A part of the many kills; `scripts/kills` makes as many as one likes, of each kind."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import drawn
from tests.endtoend import storm
from tests.endtoend.zygote import Zygote


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """The parent of all processes of this module."""
    with Zygote() as made:
        yield made


@pytest.fixture(scope="module")
def strace() -> None:
    """Skips, and says so, where no process may look into another."""
    if shutil.which("strace") is None:
        pytest.skip("NOT TESTED at system calls: there is no strace")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("NOT TESTED at system calls: ptrace is not allowed here")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_moment_nothing_is_doubled_or_lost(zygote: Zygote) -> None:
    """
    Killed while it starts, stores, sends or waits, with others trading on the account or not, the
    service never has two orders, never goes past a target, and books every fill once.
    """
    tally = storm.many(storm.kill_at_random, zygote, drawn.seed("random", 10**6), times=120)
    assert tally.deaths.total() == 120
    assert tally.unanswered
    assert tally.fills
    assert tally.events


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_point_nothing_is_doubled_or_lost(zygote: Zygote) -> None:
    """The same before and after every step of its life, again before it has recovered."""
    tally = storm.many(storm.kill_at_points, zygote, drawn.seed("points", 10**6), times=80)
    assert tally.deaths.total() == 80
    assert tally.deaths["in time"] < 40, "points that nobody passes"
    assert tally.fills
    assert tally.events


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("strace")
def test_killed_inside_a_system_call_nothing_is_doubled_or_lost(zygote: Zygote) -> None:
    """The same when a write, a sync, a send or a read does not return."""
    tally = storm.many(storm.kill_at_calls, zygote, drawn.seed("calls", 10**6), times=40)
    assert tally.deaths.total() == 40
    assert tally.fills


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("strace")
def test_after_a_failed_write_nothing_is_sent(zygote: Zygote) -> None:
    """
    EIO or ENOSPC on a write or a sync ends the service with an error that names it; the venue
    gets no request whose intent is not on the disk; the next start loses nothing acknowledged.
    """
    tally = storm.many(storm.fail_at_calls, zygote, drawn.seed("faults", 10**6), times=30)
    assert tally.deaths.total() == 30
    assert tally.fills


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_catch_a_service_that_sends_again_at_a_restart(tmp_path: Path) -> None:
    """
    The same kills of a service without that one guard: it is seen, so it would be above.

    Killed where it needs the guard, with a request written: a few dozen kills at most. At random
    moments it was 9 in one run and some 190 in another, as busy as the machine was.
    """
    with Zygote(careless="sent again at a restart") as careless:
        with pytest.raises(AssertionError, match=r"sent twice|was doubled"):
            storm.kill_at_points(careless, tmp_path, seed=1, times=200, points=["write-after"])
