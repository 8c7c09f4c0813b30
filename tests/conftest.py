"""What every test may lean on. Little: a story brings its own world."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.dealing import dealt

CHECKOUT = Path(__file__).resolve().parents[1]
#: Folders of tests that run the migrations for every journal, as users do (see tests/fresh.py).
OF_THE_JOURNAL = {"journal", "crash"}

# How long an example takes says something of the machine, and nothing of the example.
settings.register_profile("reconciler", deadline=None, print_blob=True)
settings.load_profile("reconciler")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    What is slow goes first, dealt out to the processes: then the end of the suite is even.

    The small ones, which follow, fill what the slow ones leave open.
    """
    if processes := getattr(config, "workerinput", {}).get("workercount"):
        slow = [item.get_closest_marker("slow") is not None for item in items]
        items[:] = dealt(items, slow, processes)


def pytest_collection_finish() -> None:
    """
    Look for cycles more rarely than Python does by itself: an eighth of the suite's time.

    What was collected (modules, thousands of tests) stays to the end, and was looked at again and
    again. A test that means the collector calls it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Journals are copies of the first one, where a test is not of the journal itself."""
    if item.path.parent.name in OF_THE_JOURNAL or "reconciler.journal.care" not in sys.modules:
        return (yield)
    from tests import fresh  # only now: not every run of one test needs the libraries behind it

    with fresh.journals():
        return (yield)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with recordings of the real BitMEX, beside the checkout; too large to be in it."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            "NOT TESTED against recordings of the real BitMEX: "
            "no folder ../shared/data beside the checkout"
        )
    return folder
