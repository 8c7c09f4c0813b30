"""At least 100,000 hostile inputs, others for every state of the source; the script has more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import drawn
from tests.fuzz.subject import run
from tests.fuzz.subjects import SUBJECTS

pytestmark = pytest.mark.slow


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
    report = run(name, share.make, drawn.seed(name), tmp_path, share.inputs)
    assert report.inputs >= share.inputs
    assert len(report.seen) > 1, f"all inputs met the same end: {report.seen}"
