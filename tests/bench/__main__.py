"""
Time the reconciler against the least that could do the same, in one interleaved run.

    scripts/bench [--quick] [--folder FOLDER]

What is measured. Two contestants face one tiny venue on loopback (`venue`), each in a process of
its own: the real service with the real gateway and a journal on a real disk (`ours`), and a
prototype of raw sockets, msgspec and plain sqlite3 with the same syncs (`raw`). *Row to POST* is
the time from the last row that an order needs, here the position row after a fill, leaving the
venue until the whole POST of the order was read there; *fill to POST* has the execution, the end of
the order and the position row in one piece, all in the time. A burst is an order filled contract by
contract, two frames a contract, until everything is committed and the next order arrives. Both
contestants take turns, block by block; a ratio is the median of the ratios of neighbouring blocks,
p50 is of all rounds, a quiet p99 is the lower quartile of the p99s of 100 rounds each. What is not
measured: TLS, a real network, more than one symbol, a journal of years. The API is not running;
the log is, as JSON to a file. It always ends with 0: it measures, and asserts nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench import rounds, table
from tests.bench.rounds import Contestant
from tests.bench.venue import Venue


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="half a minute, for a first look")
    parser.add_argument("--folder", type=Path, help="where the journals stand: the disk to measure")
    wanted = parser.parse_args()
    times, each, bursts = (4, 50, 1) if wanted.quick else (6, 200, 3)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=wanted.folder or Path.cwd()) as name:
        print(rounds.machine(), flush=True)
        measure(Path(name), times, each, bursts)
    return 0


def measure(folder: Path, times: int, each: int, bursts: int) -> None:
    """All of it, in one run."""
    venue = Venue()
    everybody = {
        (name, durability): Contestant(
            name=name, durability=durability, folder=folder, seat=venue.seat()
        )
        for durability in ("process", "power")
        for name in ("raw", "ours")
    }
    staged = [
        Contestant(
            name="stages",
            durability=durability,
            folder=folder,
            seat=venue.seat(),
            stages=folder / f"{durability}.json",
        )
        for durability in ("process", "power")
    ]
    try:
        starts = {
            known: [
                rounds.first_order(venue, folder / f"{known}{n}", "power", known=known)
                for n in range(bursts)
            ]
            for known in (True, False)
        }
        for who in (*everybody.values(), *staged):
            who.start()
            who.get_ready(venue)
        for who in everybody.values():
            rounds.block(venue, who, each)  # warm
            who.blocks.clear()
        for number in range(times):
            for who in everybody.values():
                rounds.block(venue, who, each)
                rounds.block(venue, who, each // 2, whole=True)
            if number < bursts:
                for who in everybody.values():
                    rounds.burst(venue, who)
        for who in staged:
            rounds.block(venue, who, each)
            rounds.block(venue, who, each)
            who.stop(venue)
        peak = max(who.peak_mib() for who in everybody.values() if who.name == "ours")
    except (AssertionError, OSError) as error:
        for who in (*everybody.values(), *staged):
            print(f"{who.name}-{who.durability} at port {who.seat.port} said last:\n{who.tail()}")
        print(f"nothing was measured: {error}")
        return
    finally:
        for who in (*everybody.values(), *staged):
            who.kill()
    table.show(everybody, staged, starts, peak)


if __name__ == "__main__":
    sys.exit(main())
