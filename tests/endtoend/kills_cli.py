"""The command behind `scripts/kills`."""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.endtoend import storm
from tests.endtoend.kills import kill_many
from tests.endtoend.zygote import Zygote

BATCH = 40  # kills between two looks at the whole truth


def main() -> None:
    """Run, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, help="kills at random moments (200 if alone)")
    parser.add_argument("--points", type=int, default=0, help="kills at named points")
    parser.add_argument("--syscalls", type=int, default=0, help="kills inside system calls")
    parser.add_argument("--faults", type=int, default=0, help="failing writes and syncs")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    wanted = parser.parse_args()
    kinds: list[tuple[str, Callable[[Zygote, Path, int, int], storm.Tally], int]] = [
        ("points", storm.kill_at_points, wanted.points),
        ("system calls", storm.kill_at_calls, wanted.syscalls),
        ("failing calls", storm.fail_at_calls, wanted.faults),
    ]
    alone = not any(times for _, _, times in kinds)
    times = (200 if alone else 0) if wanted.times is None else wanted.times
    print(f"seed {wanted.seed}", flush=True)
    if times:
        at_random(times, wanted.seed)
    for name, storms, number in kinds:
        if number:
            batches(name, storms, number, wanted.seed)


def at_random(times: int, seed: int) -> None:
    """Kills at random moments, each waited for until all is settled."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_many(Path(folder), times, seed)
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


def batches(
    name: str, storms: Callable[[Zygote, Path, int, int], storm.Tally], number: int, seed: int
) -> None:
    """Batch after batch, each in a house of its own."""
    began = time.monotonic()
    deaths: Counter[str] = Counter()
    starts = orders = fills = events = 0
    with Zygote() as zygote:
        for batch in range(-(-number // BATCH)):
            times = min(BATCH, number - batch * BATCH)
            with tempfile.TemporaryDirectory() as folder:
                tally = storms(zygote, Path(folder), seed + batch, times)
            deaths.update(tally.deaths)
            starts, orders = starts + tally.starts, orders + tally.orders
            fills, events = fills + tally.fills, events + tally.events
            so_far = sum(deaths.values())
            print(f"{so_far} at {name} in {time.monotonic() - began:.0f} s", flush=True)
    print(f"at {name}: {sum(deaths.values())}, of them {deaths['in time']} merely in time")
    for what, times in deaths.most_common():
        print(f"    {times:5} {what}")
    print(f"starts that opened a door  {starts}")
    print(f"orders, fills compared     {orders}, {fills}")
    print("doubled, lost, miscounted  0, 0, 0")
    print(f"events replayed            {events}, 0 differ")


if __name__ == "__main__":
    main()
