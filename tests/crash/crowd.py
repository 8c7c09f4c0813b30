"""Many lives, in one process or in several."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from tests.crash.campaign import Tally, campaign

#: How often each life is lived, of ten, and images of each.
SHARES = {"whole": 6, "process": 2, "upgrade": 1, "restore": 1}
EACH = 500
#: Failures after which a run ends.
ENOUGH = 20


class Task(NamedTuple):
    """A life, and how many images of it."""

    name: str
    seed: int
    count: int
    scratch: Path


def tasks(images: int, seed: int, scratch: Path) -> Iterator[Task]:
    """Lives for so many images, each in a folder of its own."""
    order = [name for name, share in SHARES.items() for _ in range(share)]
    for number, first in enumerate(range(0, images, EACH)):
        folder = scratch / str(number)
        yield Task(order[number % len(order)], seed + number, min(EACH, images - first), folder)


def lived(task: Task) -> Tally:
    """One task, done."""
    tally = Tally()
    campaign(task.name, task.seed, task.count, task.scratch, tally, enough=ENOUGH)
    shutil.rmtree(task.scratch)
    return tally


def run(images: int, seed: int, tally: Tally, scratch: Path, jobs: int) -> None:
    """Live one life after another, *jobs* at a time, until there were so many images."""
    planned = tasks(images, seed, scratch)
    if jobs == 1:
        gather(map(lived, planned), tally)
        return
    fresh = multiprocessing.get_context("spawn")  # SQLite is taken over once a process
    with ProcessPoolExecutor(jobs, mp_context=fresh) as pool:
        futures = [pool.submit(lived, task) for task in planned]
        try:
            gather((future.result() for future in as_completed(futures)), tally)
        finally:
            pool.shutdown(cancel_futures=True)


def gather(found: Iterator[Tally], tally: Tally) -> None:
    """Count what each task has seen, until enough has failed."""
    for one in found:
        tally.add(one)
        if len(tally.failures) >= ENOUGH:
            return
