"""The command behind `scripts/fuzz`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.subject import BATCH, Found, run_batch
from tests.fuzz.subjects import SUBJECTS


class Told(NamedTuple):
    """What one process saw of one subject."""

    inputs: int
    slowest_ms: float
    seen: Counter[str]
    found: list[str]


def work(seed: int, first: int, step: int, names: list[str], until_s: float) -> dict[str, Told]:
    """Batches number first, first + step... of every subject, in turns, until the time is over."""
    told = {name: Told(0, 0.0, Counter(), []) for name in names}
    batch = first
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < until_s:
            for name in names:
                share = SUBJECTS[name]
                for number in range(max(share.inputs // 3_000, 1)):
                    one = batch * 100 + number
                    try:
                        report = run_batch(name, share.make, seed, one, Path(folder))
                    except Found as found:
                        told[name].found.append(str(found))
                        continue
                    before = told[name]
                    before.seen.update(report.seen)
                    told[name] = before._replace(
                        inputs=before.inputs + BATCH,
                        slowest_ms=max(before.slowest_ms, report.slowest_ms),
                    )
            batch += step
    return told


def main() -> None:
    """Run, and print what was seen; ends with 1 when a property did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--subject", choices=SUBJECTS, action="append")
    parser.add_argument("--batch", type=int, help="repeat this one, with --subject and --seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    wanted = parser.parse_args()
    names = wanted.subject or list(SUBJECTS)
    if wanted.batch is not None:
        with tempfile.TemporaryDirectory() as folder:
            make = SUBJECTS[names[0]].make
            print(run_batch(names[0], make, wanted.seed, wanted.batch, Path(folder)))
        return
    print(f"seed {wanted.seed}, {wanted.processes} processes, {wanted.minutes:g} min", flush=True)
    began = time.monotonic()
    until_s = began + wanted.minutes * 60
    count = wanted.processes
    with multiprocessing.Pool(count) as pool:
        told = pool.starmap(
            work, [(wanted.seed, number, count, names, until_s) for number in range(count)]
        )
    found: list[str] = []
    total = 0
    for name in names:
        parts = [part[name] for part in told]
        inputs, seen = sum(part.inputs for part in parts), Counter[str]()
        for part in parts:
            seen.update(part.seen)
            found += part.found
        total += inputs
        ends = ", ".join(f"{what} {times:,}" for what, times in seen.most_common(6))
        slowest = max(part.slowest_ms for part in parts)
        print(f"{name:8} {inputs:>12,} inputs, slowest {slowest:.0f} ms: {ends}")
    print(f"{'all':8} {total:>12,} inputs in {time.monotonic() - began:.0f} s, {len(found)} found")
    for one in found[:20]:
        print(f"\n{one}")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
