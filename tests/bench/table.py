"""What is printed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from tests.bench import rounds
from tests.bench.rounds import Contestant

#: By durability: must and aim of p50, then of p99.
AIMS = {"process": ((1.8, 1.5), (2.0, 1.5)), "power": ((1.5, 1.25), (2.0, 1.5))}
BURST = (0.25, 0.5)  # of the prototype's events a second
LEAST_EVENTS = 10_000  # a second
FIRST_ORDER_S = (1.5, 0.8)
MEMORY_MIB = (110, 80)


def show(
    everybody: Mapping[tuple[str, str], Contestant],
    staged: Sequence[Contestant],
    starts: Mapping[bool, Sequence[float]],
    peak_mib: float,
) -> None:
    """Print everything."""
    line("", "", "ours", "raw", "ratio", "must", "aim", "")
    for durability, (p50_aims, p99_aims) in AIMS.items():
        ours, raw = everybody["ours", durability], everybody["raw", durability]
        for what, mine, theirs in (
            ("row to POST", ours.blocks, raw.blocks),
            ("fill to POST", ours.whole, raw.whole),
        ):
            a, b = rounds.p50(mine), rounds.p50(theirs)
            low(durability, f"{what}, p50 µs", a, b, rounds.ratio(mine, theirs), p50_aims)
            a, b = rounds.quiet_p99(mine), rounds.quiet_p99(theirs)
            low(durability, f"{what}, p99 µs", a, b, a / b, p99_aims)
        a, b = statistics.median(ours.bursts), statistics.median(raw.bursts)
        every = statistics.median(x / y for x, y in zip(ours.bursts, raw.bursts, strict=True))
        said = judged(every >= BURST[0] and a >= LEAST_EVENTS, every >= BURST[1])
        line(durability, "burst, events/s", f"{a:,.0f}", f"{b:,.0f}", f"{every:.2f}",
             f"{BURST[0]:.2f}", f"{BURST[1]:.2f}", said)  # fmt: skip
    alone("start to first order, s", statistics.median(starts[True]), FIRST_ORDER_S, 2)
    line("", "very first start, s", f"{statistics.median(starts[False]):.2f}", *[""] * 4, "")
    alone("peak memory, MiB", peak_mib, MEMORY_MIB, 0)
    print()
    print("where the time of a row to POST goes, quiet µs")
    for who in staged:
        stages = rounds.stage_times(who)
        words = "  ".join(f"{name} {took:.0f}" for name, took in stages.items())
        print(f"  {who.durability:<8} {words}  sum {sum(stages.values()):.0f}")


def line(*words: str) -> None:
    """One row of the table."""
    first, second, *numbers = words
    print(f"{first:<8} {second:<24}" + "".join(f"{word:>10}" for word in numbers))


def low(
    durability: str, what: str, ours: float, raw: float, ratio: float, aims: tuple[float, float]
) -> None:
    """A row where less is better."""
    must, aim = aims
    said = judged(ratio <= must, ratio <= aim)
    line(durability, what, f"{ours:.0f}", f"{raw:.0f}", f"{ratio:.2f}", f"{must}", f"{aim}", said)


def alone(what: str, ours: float, aims: tuple[float, float], digits: int) -> None:
    """A row that is compared with no prototype."""
    must, aim = aims
    said = judged(ours <= must, ours <= aim)
    line("", what, f"{ours:.{digits}f}", "", "", f"{must}", f"{aim}", said)


def judged(must: bool, aim: bool) -> str:
    """In a word."""
    return "aim met" if must and aim else "met" if must else "MISSED"
