"""Whatever a power loss leaves of what was not synced, a start finds all that was promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.__main__ import SHARES, memory
from tests.crash.campaign import Tally, campaign

#: Together 5,000; `scripts/crash` makes others, on seeds that are new each time.
IMAGES = 500
LIVED = [f"{name} {number}" for name, share in SHARES.items() for number in range(share)]


@pytest.fixture
def scratch() -> Iterator[Path]:
    with memory() as folder:
        yield folder


@pytest.mark.parametrize("lived", LIVED)
def test_power_may_fail_at_any_moment(lived: str, scratch: Path) -> None:
    """
    Every image starts: with a whole prefix of the commits, with everything acknowledged, with the
    ledger and the rows that were there at that commit, under a newer epoch; backups are whole.
    """
    tally = Tally()
    campaign(lived.split()[0], LIVED.index(lived), IMAGES, scratch, tally)
    assert len(tally) >= IMAGES
    assert not tally.failures, "\n".join(map(str, tally.failures[:5]))
