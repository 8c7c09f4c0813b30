"""What is fuzzed: batches of inputs with a seed, so that whatever is found can be repeated."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Protocol

BATCH = 100  # inputs, with the state that they leave behind
SLOWEST_S = 0.1  # of the processor, for one input


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
    Give one batch.

    Raises:
        Found: A property did not hold, or an input took too long.
    """
    subject = make(random.Random(f"{name}/{seed}/{batch}"), folder)
    slowest = 0.0
    try:
        for number in range(BATCH):
            again = f"scripts/fuzz --subject {name} --seed {seed} --batch {batch}"
            began = time.thread_time()
            try:
                subject.one()
            except Exception as error:
                said = f"{type(error).__name__}: {str(error)[:600]}"
                raise Found(f"input {number + 1}: {said}\nagain: {again}") from error
            took = time.thread_time() - began
            slowest = max(slowest, took)
            if took > SLOWEST_S:
                raise Found(f"input {number + 1} took {took * 1000:.0f} ms\nagain: {again}")
    finally:
        subject.close()
    return Report(BATCH, slowest * 1000, subject.seen)


def run(name: str, make: Maker, seed: int, folder: Path, inputs: int) -> Report:
    """Give at least *inputs*, batch after batch."""
    total, slowest, seen = 0, 0.0, Counter[str]()
    for batch in range(-(-inputs // BATCH)):
        report = run_batch(name, make, seed, batch, folder)
        total += report.inputs
        slowest = max(slowest, report.slowest_ms)
        seen.update(report.seen)
    return Report(total, slowest, seen)
