"""
Live one seed and say all about it, or live many and say how many.

    python -m reconciler.simulation --seed 42
    python -m reconciler.simulation --seeds 1000 --from 0
    python -m reconciler.simulation --minutes 10          fresh seeds, of every kind
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reconciler.simulation.runs import live_many, muted_of, report


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m reconciler.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="live this one, shrink it if it fails")
    parser.add_argument("--seeds", type=int, default=0, help="how many")
    parser.add_argument("--from", type=int, dest="first", help="the first; else a fresh one")
    parser.add_argument("--minutes", type=float, default=0.0, help="or for how long")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--mute", default="", help="faults that do not strike: kind or kind:number")
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--failures", type=Path, default=Path("soak-failures.txt"))
    asked = parser.parse_args()
    if asked.seed is not None:
        return report(asked.seed, shrinking=not asked.no_shrink, muted=muted_of(asked.mute))
    if not asked.seeds and not asked.minutes:
        parser.error("say --seed, --seeds or --minutes")
    return live_many(asked.first, asked.seeds, asked.minutes, asked.jobs, asked.failures)


if __name__ == "__main__":
    sys.exit(main())
