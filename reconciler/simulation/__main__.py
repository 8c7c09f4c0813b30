"""
Live one seed and say all about it, or live many and say how many.

    python -m reconciler.simulation --seed 42
    python -m reconciler.simulation --seeds 1000 --from 0
"""

from __future__ import annotations

import argparse
import sys

from reconciler.simulation.runs import live_many, report


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m reconciler.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="live this one, shrink it if it fails")
    parser.add_argument("--seeds", type=int, default=0, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--minutes", type=float, default=0.0, help="or for how long")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--no-shrink", action="store_true")
    asked = parser.parse_args()
    if asked.seed is not None:
        return report(asked.seed, shrinking=not asked.no_shrink)
    return live_many(asked.first, asked.seeds, asked.minutes, asked.jobs)


if __name__ == "__main__":
    sys.exit(main())
