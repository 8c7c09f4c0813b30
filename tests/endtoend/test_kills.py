"""A few kills of the real process; `scripts/kills` makes as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import drawn
from tests.endtoend.kills import kill_many
from tests.endtoend.zygote import Zygote


@pytest.mark.timeout(300)
def test_kill_nine_is_boring(tmp_path: Path) -> None:
    """
    Killed at random moments with targets changing, the service comes back to the right position:
    no order doubled, no fill lost or counted twice, and the replay finds no difference.
    """
    with Zygote() as zygote:
        report = kill_many(tmp_path, times=8, seed=drawn.seed("kills", 10**6), zygote=zygote)
    assert report.kills == 8
    assert report.fills
    assert report.events
