"""The command behind `scripts/kills`."""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.endtoend.kills import kill_many
from tests.endtoend.storm import STORMS, Tally, many
from tests.endtoend.zygote import Zygote

HELP = {
    "random": "kills at random moments",
    "points": "kills at named points",
    "syscalls": "kills inside system calls",
    "faults": "failing system calls",
}


def main() -> None:
    """Run, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, help="kills that all is waited for after (200)")
    for kind, what in HELP.items():
        parser.add_argument(f"--{kind}", type=int, default=0, help=what)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    wanted = parser.parse_args()
    numbers = {kind: getattr(wanted, kind) for kind in STORMS}
    alone = not any(numbers.values())
    times = (200 if alone else 0) if wanted.times is None else wanted.times
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # also where a shell has it ignored
    print(f"seed {wanted.seed}", flush=True)
    if times:
        settled_each_time(times, wanted.seed)
    for kind, times in numbers.items():
        if times:
            batches(kind, times, wanted.seed)


def settled_each_time(times: int, seed: int) -> None:
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


def batches(kind: str, number: int, seed: int) -> None:
    """Batch after batch, several at once, each in a house of its own."""
    began = time.monotonic()

    tally = Tally(Counter())

    def say(so_far: Tally) -> None:
        nonlocal tally
        tally = so_far
        done, took = tally.deaths.total(), time.monotonic() - began
        print(f"{done} of {kind} in {took:.0f} s, {done / took:.1f}/s", flush=True)

    with Zygote() as zygote, contextlib.suppress(KeyboardInterrupt):  # says what it has seen
        many(STORMS[kind], zygote, seed, number, say)
    print(f"{HELP[kind]}: {tally.deaths.total()}, of them {tally.deaths['in time']} merely in time")
    for what, times in tally.deaths.most_common():
        print(f"    {times:5} {what}")
    print(f"starts that opened a door  {tally.starts}")
    print(f"requests without an answer {tally.unanswered}")
    print(f"orders, fills compared     {tally.orders}, {tally.fills}")
    print("doubled, lost, miscounted  0, 0, 0")
    print(f"events replayed            {tally.events}, 0 differ")


if __name__ == "__main__":
    main()
