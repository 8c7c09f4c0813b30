"""Whole lives in a simulated world: every promise is kept, and the same seed is the same life."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.simulation.runs import live

SEEDS = Path(__file__).with_name("seeds.txt")
ONCE_BROKEN = [int(line.split()[0]) for line in SEEDS.read_text().splitlines() if line[0] != "#"]
FRESH_S = 25.0  # in each of the two tests of fresh seeds
TRACES = """
from reconciler.simulation.runs import live
for seed in range(8):
    print(seed, live(seed).trace)
"""


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_a_seed_that_once_broke_a_promise_keeps_it_now(seed: int) -> None:
    """What was found once does not come back."""
    assert live(seed).error == ""


@pytest.mark.parametrize("part", [0, 1])
def test_fresh_seeds_keep_every_promise(part: int) -> None:
    """Seeds that nobody has lived before, as many as fit into the time."""
    until_s = time.monotonic() + FRESH_S
    draw = random.SystemRandom()
    lived = 0
    while time.monotonic() < until_s:
        seed = draw.randrange(10**9)
        life = live(seed)
        assert not life.error, f"python -m reconciler.simulation --seed {seed}: {life.error}"
        lived += 1
    assert lived > 20


def test_the_same_seed_is_the_same_life_in_another_process() -> None:
    """D1: whatever the hash seed, the last row's hash is the same."""
    traces = set()
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", TRACES],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        traces.add(ran.stdout)
    assert len(traces) == 1
    assert len(traces.pop().splitlines()) == 8
