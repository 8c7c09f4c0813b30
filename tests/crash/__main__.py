"""Crash images in number: see scripts/crash."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from reconciler.simulation.images import Damage
from tests.crash.campaign import Failure, Tally, repeat
from tests.crash.crowd import EACH, ENOUGH, run
from tests.crash.faulty import Case, World, faults, suffer
from tests.crash.hostile import hostile
from tests.crash.life import LIVES

#: Cases that once failed, one a line, and what it was. They are tried in every run of the tests.
CASES = Path(__file__).with_name("cases.txt")


def once_failed() -> list[str]:
    """The cases in CASES."""
    return [line.split()[0] for line in CASES.read_text().splitlines() if line[0] != "#"]


@contextlib.contextmanager
def memory() -> Iterator[Path]:
    """A folder in memory, if there is one."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="crash-", dir=shared if shared.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(tally: Tally, seconds: float) -> str:
    names = [*LIVES, "again"]
    lines = [f"{'':14}" + "".join(f"{name:>9}" for name in names) + f"{'all':>9}"]
    for damage in Damage:
        counts = [tally.images[name, damage] for name in names]
        lines.append(f"{damage:14}" + "".join(f"{n:9,}" for n in [*counts, sum(counts)]))
    sums = [sum(n for (life, _), n in tally.images.items() if life == name) for name in names]
    lines.append(f"{'all':14}" + "".join(f"{n:9,}" for n in [*sums, sum(sums)]))
    phases = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.phases.items()))
    lines += [
        "",
        f"power lost while: {phases}",
        f"{tally.operations.total():,} disk operations recorded",
        f"{tally.deep:,} of the images were also written to, and replayed",
        f"{tally.alike:,} more were like one of the same life, and not looked at again",
        f"{len(tally):,} images in {seconds:.1f} s: {len(tally) / seconds:.0f} a second",
        f"{len(tally.failures)} failed",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/crash", description=__doc__)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes that make images")
    parser.add_argument("--faults", type=int, default=0, help="refusals of the disk, instead")
    parser.add_argument("--hostile", type=int, default=0, help="spoilt files, instead")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--repeat", metavar="CASE", help="one case, as a failure names it")
    parser.add_argument("--keep", type=Path, help="with --repeat: leave the image in this folder")
    given = parser.parse_args()
    with memory() as scratch:
        if given.repeat:
            failure = again(given.repeat, scratch)
            if given.keep:
                shutil.copytree(scratch, given.keep, dirs_exist_ok=True)
            print(failure or "all holds")
            return 1 if failure else 0
        print(f"seed {given.seed}", flush=True)
        tally = Tally()
        started = time.monotonic()
        if given.faults or given.hostile:
            seen, tally.failures = others(given.faults, given.hostile, given.seed, scratch)
            print("\n".join(f"{count:9,}  {what}" for what, count in sorted(seen.items())))
            print(f"{time.monotonic() - started:.1f} s, {len(tally.failures)} failed")
        else:
            with contextlib.suppress(KeyboardInterrupt):  # then with what there is
                run(given.images, given.seed, tally, scratch, given.jobs)
            print(table(tally, time.monotonic() - started))
        for failure in tally.failures[:ENOUGH]:
            print(failure)
        return 1 if tally.failures else 0


def others(
    refusals: int, spoilt: int, seed: int, scratch: Path
) -> tuple[Counter[str], list[Failure]]:
    """Refusals of the disk, shared out over the worlds; and spoilt files."""
    seen: Counter[str] = Counter()
    failures: list[Failure] = []
    for at, world in enumerate(("old", "process", "new")):
        for first in range(0, refusals // 3, EACH):
            count = min(EACH, refusals // 3 - first)
            found, failed = faults(world, seed + 3 * first + at, count, scratch)
            seen += found
            failures += failed
    for first in range(0, spoilt, EACH):
        found, failed = hostile(seed + first, min(EACH, spoilt - first), scratch)
        seen += found
        failures += failed
    return seen, failures


def again(case: str, scratch: Path) -> Failure | None:
    """One case of any kind, by what it is called."""
    if case.startswith("hostile:"):
        _, seed, number = case.split(":")
        _, failed = hostile(int(seed), 0, scratch, number=int(number))
        return failed[0] if failed else None
    if case.startswith("fault:"):
        one = Case.read(case)
        _, wrong = suffer(World(one.world, one.seed, scratch), one.fault)
        return Failure(case, "a fault", wrong[0]) if wrong else None
    return repeat(case, scratch)


if __name__ == "__main__":
    sys.exit(main())
