"""At least 100,000 hostile inputs a run, drawn afresh; `scripts/fuzz` gives millions."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.fuzz.subject import run
from tests.fuzz.subjects import SUBJECTS

FROM = "RECONCILER_FUZZ_SEED"  # in the environment: the inputs of a run that was, not fresh ones


def test_a_run_gives_a_hundred_thousand_inputs() -> None:
    """The shares of the subjects add up to what is promised."""
    assert sum(share.inputs for share in SUBJECTS.values()) >= 100_000


@pytest.mark.parametrize("name", SUBJECTS)
def test_nothing_from_outside_breaks_it(name: str, tmp_path: Path) -> None:
    """
    Hostile input is refused in words, never half-used, in less than 100 ms, and proves nothing
    that an honest reader of the same bytes would not see proven. What fails says how to repeat it.
    """
    share = SUBJECTS[name]
    seed = int(os.environ.get(FROM) or random.randrange(10**9))
    report = run(name, share.make, seed, tmp_path, share.inputs)
    assert report.inputs >= share.inputs
    assert len(report.seen) > 1, f"all inputs met the same end: {report.seen}"
