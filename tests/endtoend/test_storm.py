"""A part of the many kills; `scripts/kills --points N --syscalls N` makes as many as one likes."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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
@pytest.mark.parametrize("half", range(2))
def test_killed_at_any_point_nothing_is_doubled_or_lost(
    half: int, zygote: Zygote, tmp_path: Path
) -> None:
    """
    Killed before and after every step of its life, again before it has recovered, the service
    never has two orders, forgets no acknowledged target, and books every fill once.
    """
    tally = storm.kill_at_points(zygote, tmp_path, random.randrange(10**6), times=55)
    assert sum(tally.deaths.values()) == 55
    assert tally.fills
    assert tally.events


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("strace")
def test_killed_inside_a_system_call_nothing_is_doubled_or_lost(
    zygote: Zygote, tmp_path: Path
) -> None:
    """The same when a write, a sync, a send or a read does not return."""
    tally = storm.kill_at_calls(zygote, tmp_path, random.randrange(10**6), times=30)
    assert sum(tally.deaths.values()) == 30
    assert tally.fills


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("strace")
def test_after_a_failed_write_nothing_is_sent(zygote: Zygote, tmp_path: Path) -> None:
    """
    EIO or ENOSPC on a write or a sync ends the service with an error that names it; the venue
    gets no request whose intent is not on the disk; the next start loses nothing acknowledged.
    """
    tally = storm.fail_at_calls(zygote, tmp_path, random.randrange(10**6), times=20)
    assert sum(tally.deaths.values()) == 20
    assert tally.fills
