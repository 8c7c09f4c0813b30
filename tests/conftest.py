"""What every test may lean on. Little: a story brings its own world."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import settings

from tests.dealing import dealt

CHECKOUT = Path(__file__).resolve().parents[1]

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
