"""Files that were changed by somebody else: used if they are right, refused in words if not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests import drawn
from tests.crash.__main__ import memory
from tests.crash.hostile import Base, Spoilt, bases, hostile, odd_things
from tests.crash.life import HOME

pytestmark = pytest.mark.slow


@pytest.fixture
def scratch() -> Iterator[Path]:
    with memory() as folder:
        yield folder


@pytest.mark.parametrize("part", range(4))
def test_a_spoilt_journal_is_right_or_refused(part: int, scratch: Path) -> None:
    """
    Flipped bits, torn, swapped, cut and foreign pages of any file: opened, read, replayed or
    verified, it gives the ledger of a commit, or an error of ours; nothing is changed by looking,
    nor by a start that refuses.
    """
    seen, failures = hostile(drawn.seed(f"spoilt {part}"), 250, scratch)
    assert seen["files"] == 250
    assert seen["open: works"] > 25
    assert seen["open: Broken"] > 25
    assert not failures, "\n".join(map(str, failures[:5]))


@pytest.fixture(scope="module")
def both() -> Iterator[list[Base]]:
    with memory() as folder:
        yield bases(5, folder)


@pytest.mark.parametrize("closed", [True, False])
def test_what_is_no_file_is_no_journal(both: list[Base], closed: bool, scratch: Path) -> None:
    """
    Folders, pipes, links, devices and endless files in the place of any file of ours: used if
    they do no harm, refused in words if they might; never waited for, never written through.
    """
    base = both[0 if closed else 1]
    path = scratch / HOME
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits for ever"))
    base.image.put(scratch)
    for name in odd_things(path):
        base.image.put(scratch)
        odd_things(path)[name]()
        spoilt = Spoilt(base, name)
        signal.alarm(20)
        for look in (spoilt.read, spoilt.replay, spoilt.verify, spoilt.open):
            spoilt.look(look.__name__, partial(look, path))
        signal.alarm(0)
        assert not spoilt.wrong, spoilt.wrong
        assert path.with_name("victim").read_bytes() == b"somebody's own"


def test_a_journal_of_random_bytes(scratch: Path, both: list[Base]) -> None:
    """Bytes that never were a journal are called that, whatever is beside them."""
    draw = Random(2026)
    for size in (1, 15, 16, 99, 100, 511, 512, 4_096, 100_000):
        files = {**both[1].image.files, str(HOME): draw.randbytes(size)}
        both[1].image._replace(files=files).put(scratch)
        spoilt = Spoilt(both[1], f"{size} bytes")
        spoilt.look("open", partial(spoilt.open, scratch / HOME))
        assert not spoilt.wrong, spoilt.wrong
        assert not spoilt.seen["open: works"]
