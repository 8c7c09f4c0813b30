"""The command behind `scripts/storm`."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.endtoend.house import House
from tests.endtoend.weather import endure


def main() -> int:
    """Run, and print what was seen; the exit code is 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of bad weather (10)")
    parser.add_argument("--faults", type=float, default=0.01, help="probability of each (0.01)")
    parser.add_argument(
        "--fault", action="append", default=[], help="NAME=P from the start on; repeatable"
    )
    parser.add_argument(
        "--change", type=float, default=12.0, help="seconds that a target stays (12)"
    )
    parser.add_argument("--but", action="append", default=[], help="a fault that does not strike")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--keep", type=Path, help="folder for log and journal; kept")
    wanted = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    print(f"seed {wanted.seed}", flush=True)
    folder = wanted.keep or Path(tempfile.mkdtemp(prefix="storm-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with House(folder, seed=wanted.seed, faults=tuple(wanted.fault)) as house:
            report = endure(
                house,
                wanted.minutes * 60,
                wanted.seed,
                change_every_s=wanted.change,
                faults=wanted.faults,
                but=wanted.but,
                say=lambda line: print(line, flush=True),
            )
    except AssertionError as broken:
        print(f"BROKEN: {broken}\nlog and journal are in {folder}", file=sys.stderr)
        return 1
    print("\n".join(report.lines()))
    if wanted.keep is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
