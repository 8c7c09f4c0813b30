"""What is timed: rounds on the wire, bursts, and a start."""

from __future__ import annotations

import itertools
import json
import os
import platform
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.venue import Seat, Venue

TARGET = 2**31  # never reached
SLICE = 2_500  # contracts an order
PAUSE_S = 0.004  # lets a contestant finish what it does after a send
KNOWN_S = 8.0  # lets a first position be found
CHUNK = 100  # rounds of which one p99 is taken
SYNCHRONOUS = {"process": "NORMAL", "power": "EXTRA"}


@dataclass(kw_only=True)
class Contestant:
    """A process, its seat, and what was measured of it."""

    name: str
    durability: str
    folder: Path
    seat: Seat
    process: subprocess.Popen[bytes] | None = None
    stages: Path | None = None
    blocks: list[list[float]] = field(default_factory=list)  # µs, from the last row to the POST
    whole: list[list[float]] = field(default_factory=list)  # µs, with fill and end in the time
    bursts: list[float] = field(default_factory=list)  # events a second
    sent_ns: dict[str, tuple[int, int]] = field(default_factory=dict)  # order: row out, POST in

    @property
    def database(self) -> Path:
        return self.folder / f"{self.name}-{self.durability}.db"

    def start(self, target: int = TARGET) -> None:
        """Spawn it."""
        words = [str(self.seat.port), str(self.database)]
        if self.name == "raw":
            words += [SYNCHRONOUS[self.durability], str(target), str(SLICE)]
        else:
            words += [self.durability, str(target), str(SLICE)]
            words += [str(self.stages)] if self.stages is not None else []
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                f"tests.bench.{'raw' if self.name == 'raw' else 'ours'}",
                *words,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def get_ready(self, venue: Venue) -> None:
        """Wait for its first order; it rests until its turn comes."""
        venue.serve_until_post(self.seat)
        self.seat.accept()
        venue.serve(PAUSE_S)

    def kill(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, venue: Venue) -> None:
        """Ask it to end; it may have something to write."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 15
        while self.process.poll() is None and time.monotonic() < until:
            venue.serve(0.05)
        self.kill()

    def tail(self) -> str:
        """The end of its log, if it keeps one."""
        log = self.database.with_suffix(".log")
        return log.read_text()[-1_000:] if log.exists() else ""

    def peak_mib(self) -> float:
        """The most memory that it had."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        return 0.0


def block(venue: Venue, who: Contestant, rounds: int, *, whole: bool = False) -> None:
    """
    Some rounds with one contestant.

    Each: its order, which rests, is filled, and after a pause the position row comes, with which
    it may place the next: that row is timed. With *whole*, fill, end and position come in one
    piece. The new order is accepted, and rests until it is this contestant's turn again.
    """
    seat, took = who.seat, []
    for number in range(rounds):
        if number % 10 == 0:
            seat.quote()  # it may be long since its last turn
            venue.serve(PAUSE_S)
        if whole:
            out_ns = seat.fill_and_settle()
        else:
            seat.fill()
            venue.serve(PAUSE_S)
            out_ns = seat.settle()
        venue.serve_until_post(seat)
        who.sent_ns[seat.order["clOrdID"]] = out_ns, seat.post_ns
        took.append((seat.post_ns - out_ns) / 1000)
        seat.accept()
        venue.serve(PAUSE_S)
    (who.whole if whole else who.blocks).append(took)


def burst(venue: Venue, who: Contestant) -> None:
    """One order filled contract by contract, a frame a row, until its position row is answered."""
    seat = who.seat
    frames, events = seat.fill_in_pieces()
    out_ns = seat.say(*frames)
    venue.serve_until_post(seat)
    who.bursts.append(events * 1e9 / (seat.post_ns - out_ns))
    seat.accept()
    venue.serve(0.3)  # whoever checkpoints when idle does it now


def first_order(venue: Venue, folder: Path, durability: str, *, known: bool) -> float:
    """
    Seconds from the spawn of a service whose target stands in its journal to its first POST.

    Args:
        known: The journal knows the position from an earlier run. If not, this is the account's
            very first start, and its position is looked at until nothing happened near it.
    """
    who = Contestant(name="first", durability=durability, folder=folder, seat=venue.seat())
    if known:
        who.start(target=0)
        venue.serve(KNOWN_S)
        who.stop(venue)
    prepare = [sys.executable, "-m", "tests.bench.ours", "0", str(who.database), durability]
    subprocess.run([*prepare, str(TARGET), str(SLICE)], check=True, stdin=subprocess.DEVNULL)
    began_ns = time.monotonic_ns()
    who.start()
    try:
        venue.serve_until_post(who.seat)
        return (who.seat.post_ns - began_ns) / 1e9
    finally:
        who.kill()


def p50(blocks: list[list[float]]) -> float:
    """Of all rounds."""
    return statistics.median(took for one in blocks for took in one)


def quiet_p99(blocks: list[list[float]]) -> float:
    """The lower quartile of the p99 of chunks: what is left when the machine's noise is not."""
    every = [took for one in blocks for took in one]
    tops = sorted(
        sorted(chunk)[int(len(chunk) * 0.99) - 1]
        for start in range(0, len(every), CHUNK)
        if len(chunk := every[start : start + CHUNK]) == CHUNK
    )
    return tops[len(tops) // 4] if tops else float("nan")


def ratio(ours: list[list[float]], raw: list[list[float]]) -> float:
    """Block by block, so that a machine that changes its speed changes both."""
    pairs = zip(ours, raw, strict=True)
    return statistics.median(statistics.median(a) / statistics.median(b) for a, b in pairs)


def stage_times(who: Contestant) -> dict[str, float]:
    """Quiet time of each stage, µs: the lower quartile of all rounds."""
    assert who.stages is not None
    names = ("receive", "decode", "step", "record", "send")
    found: list[list[float]] = []
    for order, moments in json.loads(who.stages.read_text()).items():
        if order in who.sent_ns:
            out_ns, in_ns = who.sent_ns[order]
            at = [out_ns, *moments, in_ns]
            found.append([(b - a) / 1000 for a, b in itertools.pairwise(at)])
    columns = zip(*found, strict=True)
    return {
        name: statistics.quantiles(column, n=4)[0]
        for name, column in zip(names, columns, strict=True)
    }


def machine() -> str:
    """What this ran on, in a line."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return (
        f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
