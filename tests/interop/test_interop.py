"""Programs that are not ours find nothing amiss: see the module of each for what it does."""

from __future__ import annotations

import subprocess

import pytest

from tests.interop import runner

pytestmark = pytest.mark.slow

INSTALL_WITHIN_S = 90


def set_up(package: str) -> str:
    """Why its environment is not there, or nothing. It is made once, from the lock file."""
    try:
        done = subprocess.run(
            [runner.CHECKOUT / "scripts" / "interop", "--set-up", package],
            capture_output=True, text=True,
            timeout=INSTALL_WITHIN_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{package} could not be installed within {INSTALL_WITHIN_S} s"
    return "" if done.returncode == 0 else f"{package} could not be installed: {done.stderr[-300:]}"


@pytest.mark.parametrize("name", runner.PROGRAMS)
def test_a_program_that_is_not_ours_makes_a_whole_round_trip(name: str) -> None:
    """Place, amend, fill, cancel, positions, money, market data: library and venue agree on all."""
    program = runner.PROGRAMS[name]
    why = set_up(program.package) or runner.missing(program)
    if why:
        pytest.skip(f"NOT TESTED with programs that are not ours: {why}")
    code, said = runner.run(program)
    assert code == 0, said
    assert said.count("  ok  ") >= 10, said
