"""Whatever a power loss leaves of what was not synced, a start finds all that was promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.simulation.images import Damage
from tests import drawn
from tests.crash.__main__ import again, memory, once_failed
from tests.crash.campaign import NAMING, Moment, Tally, campaign, images, live
from tests.crash.checks import check
from tests.crash.crowd import SHARES
from tests.crash.life import Life, restore_again

pytestmark = pytest.mark.slow

#: Together 5,000, beside those of further power losses.
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

    Each state of the source draws lives of its own; a failure names the command that repeats it.
    Put its case into cases.txt.
    """
    tally = Tally()
    campaign(lived.split()[0], drawn.seed(lived, 2**32), IMAGES, scratch, tally, enough=5)
    assert not tally.failures, "\n".join(map(str, tally.failures))
    assert len(tally) >= IMAGES


@pytest.mark.parametrize("case", once_failed())
def test_a_case_that_once_failed_holds_now(case: str, scratch: Path) -> None:
    """What was found once does not come back."""
    failure = again(case, scratch)
    assert failure is None, str(failure)


@pytest.mark.parametrize("seed", [0, 1])  # without a side file, and with one
def test_a_restore_that_lost_power_is_finished_by_the_next(seed: int, scratch: Path) -> None:
    """Power lost at any change of names in a restore: the same restore again ends as the backup."""
    life = live("restore", seed, scratch / "life")
    begun = next(at for at, name in life.phases if name == "restore")
    last = len(life.disk.ops)
    named = [at for at in range(begun, last) if life.disk.ops[at].kind in NAMING]
    moments = [
        Moment(done, damage, "1")
        for done in sorted({*named, last})
        for damage in (Damage.LOST, Damage.KEPT, Damage.NAMES_ANY)
    ]
    assert len(named) > 8
    root = scratch / "image"
    for moment, image in images(life, moments):
        image.put(root)
        again = Life(root, seed)
        again.states, again.database_id = life.states, life.database_id
        again.copies, again.promise = life.copies, life.promise_at(begun)
        restore_again(again)
        assert check(root, again, len(again.disk.ops)) == again.promise.copies[0][1], moment
