"""What is fuzzed: batches of inputs with a seed, so that whatever is found can be repeated."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Protocol

BATCH = 100  # inputs, with the state that they leave behind
SLOWEST_S = 0.1  # of the processor, for one input
ATTEMPTS = 3  # at an input that was slow


class Subject(Protocol):
    """One batch: made from a seed, then given inputs until the batch is over."""

    seen: Counter[str]  # what became of the inputs

    def one(self) -> bytes:
        """Draw an input and give it; raises when a property does not hold. Returns the input."""

    def close(self) -> None:
        """Let go of what it holds."""


class Maker(Protocol):
    """How a subject is made."""

    def __call__(self, rng: random.Random, folder: Path) -> Subject: ...


class Found(Exception):
    """A property did not hold; says how to see it again."""


class Report(NamedTuple):
    """What a run saw."""

    inputs: int
    slowest_ms: float
    seen: Counter[str]


def run_batch(name: str, make: Maker, seed: int, batch: int, folder: Path) -> Report:
    """
    Give one batch; give it again if an input was slow, for the machine may have been busy.

    Raises:
        Found: A property did not hold, or an input took too long, every time.
    """
    for attempt in range(ATTEMPTS):
        report, slow = _give(name, make, seed, batch, folder)
        if not slow:
            return report
        if attempt == ATTEMPTS - 1:
            raise Found(
                f"input {slow} took {report.slowest_ms:.0f} ms\n{_again(name, seed, batch)}"
            )
    raise AssertionError("unreachable")


def _give(name: str, make: Maker, seed: int, batch: int, folder: Path) -> tuple[Report, int]:
    """One batch, and the number of an input that took too long; 0: none."""
    subject = make(random.Random(f"{name}/{seed}/{batch}"), folder)
    slowest, slow = 0.0, 0
    try:
        for number in range(1, BATCH + 1):
            began = time.thread_time()
            try:
                subject.one()
            except Exception as error:
                said = f"input {number}: {type(error).__name__}: {str(error)[:600]}"
                raise Found(f"{said}\n{_again(name, seed, batch)}") from error
            took = time.thread_time() - began
            slowest = max(slowest, took)
            slow = slow or (number if took > SLOWEST_S else 0)
    finally:
        subject.close()
    return Report(BATCH, slowest * 1000, subject.seen), slow


def _again(name: str, seed: int, batch: int) -> str:
    return f"again: scripts/fuzz --subject {name} --seed {seed} --batch {batch}"


def run(name: str, make: Maker, seed: int, folder: Path, inputs: int) -> Report:
    """Give at least *inputs*, batch after batch."""
    total, slowest, seen = 0, 0.0, Counter[str]()
    for batch in range(-(-inputs // BATCH)):
        report = run_batch(name, make, seed, batch, folder)
        total += report.inputs
        slowest = max(slowest, report.slowest_ms)
        seen.update(report.seen)
    return Report(total, slowest, seen)
