"""
Many kills, cheaply: at named points and at system calls, again and again while it still recovers.

A kill costs what a fork and a start cost, for nobody waits until everything is settled: what may
never happen is looked at after each death, and the whole truth once at the end of the batch.
"""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from reconciler.errors import ReconcilerError
from tests.endtoend.house import LOTS, Forked, wait_for
from tests.endtoend.kill_at import FIRST, ONCE, POINTS
from tests.endtoend.zygote import Child, Zygote

SETTLED_S = 60
LIFE_S = 1.2  # with an open door; who came past its point too seldom is killed where it stands
START_S = 10.0
STOP_S = 1.0  # then it is killed while it stops
FAULTS = ("slow-answer=0.2", "position-lag=0.1", "lost-answer=0.05", "execution-late=0.1")

#: Groups of system calls, and how often each is passed in a second of trading, roughly.
CALLS = {
    "pwrite64": 60,
    "fdatasync,fsync": 25,
    "sendto,sendmsg": 30,
    "recvfrom": 60,
    "write": 20,
    "ftruncate": 1,
    "rename": 1,
    "unlink": 2,
    "openat": 30,
}
STORING = ("pwrite64", "fdatasync,fsync")
ERRORS = ("EIO", "ENOSPC")


class Tally(NamedTuple):
    """What a batch saw."""

    deaths: Counter[str]  # by point or call; "in time" for those that never reached theirs
    starts: int  # that opened their door
    orders: int
    fills: int
    events: int  # replayed


def drive(house: Forked, rng: random.Random, seconds: float, wanted: str = "") -> bool:
    """
    Set targets while it lives, not longer than *seconds* after its door was opened.

    Args:
        house: With a service that has begun.
        rng: Draws the targets.
        seconds: At most.
        wanted: What it is asked for more often: "backup" or "stop".

    Returns:
        Whether its door was open.
    """
    end, opened = time.monotonic() + START_S, False
    assert house.service is not None
    while time.monotonic() < end and house.service.poll() is None:
        with contextlib.suppress(
            ReconcilerError, AssertionError, OSError, subprocess.TimeoutExpired
        ):
            if not opened:
                opened = house.compare_targets()
                end = time.monotonic() + seconds if opened else end
            elif rng.random() < (0.3 if wanted == "backup" else 0.03):
                house.backup()
            elif rng.random() < (0.3 if wanted == "stop" else 0.01):
                house.stop(STOP_S)
            else:
                symbol = rng.choice(house.symbols)
                house.set_target(
                    symbol,
                    rng.randint(-9, 9) * LOTS[symbol],
                    rng.choice(("urgent", "urgent", "passive")),
                )
        house.raise_lost()
        time.sleep(rng.uniform(0, 0.02))
    return opened


def die(house: Forked, what: str, deaths: Counter[str]) -> None:
    """Note how it ended; it is killed if it did not."""
    assert house.service is not None
    code = house.service.poll()
    if code is None:
        house.kill()
        what = "in time"
    elif code == 0:
        what = "stopped"
    deaths[what] += 1
    house.never()


def settle(house: Forked, deaths: Counter[str], starts: int) -> Tally:
    """Start once more without harm: everything is held in the end, and everything is booked."""
    house.start()
    targets = dict.fromkeys(house.symbols, 0)
    for symbol in house.symbols:
        targets[symbol] = LOTS[symbol] * 2
        house.set_target(symbol, targets[symbol], "urgent")
    wait_for("every target is held", lambda: house.held(targets) or None, SETTLED_S)
    counted = house.check()
    assert house.stop() == 0, house.tail()
    counted = house.check()
    return Tally(deaths, starts, counted["orders"], counted["fills"], house.replay())


def kill_at_points(zygote: Zygote, folder: Path, seed: int, times: int) -> Tally:
    """
    Kill *times* at named points, every one of them in turn, then look whether all is true.

    Raises:
        AssertionError: something was doubled, lost or forgotten, or a replay differs.
    """
    rng = random.Random(seed)
    deaths: Counter[str] = Counter()
    starts = 0
    later = [point for point in POINTS if point not in FIRST]
    rng.shuffle(later)
    order = [*sorted(FIRST, key=lambda _: rng.random()), *later]
    with Forked(folder, zygote, seed=seed, faults=FAULTS) as house:
        for number in range(times):
            point = order[number] if number < len(order) else rng.choice(later)
            name = point.partition("-")[0]
            often = point not in ONCE | FIRST and name not in ("snapshot", "backup")
            house.begin(point=(point, 1 + int(rng.expovariate(0.3)) if often else 1))
            wanted = {"snapshot": "stop", "checkpoint": "stop"}.get(name, name)
            starts += drive(house, rng, LIFE_S, wanted)
            die(house, point, deaths)
        return settle(house, deaths, starts)


def kill_at_calls(zygote: Zygote, folder: Path, seed: int, times: int) -> Tally:
    """The same at the boundaries of system calls: the N-th of its kind does not return."""

    def harm(rng: random.Random) -> tuple[str, str]:
        calls = rng.choice(list(CALLS))
        when = 1 + int(rng.random() * CALLS[calls] * LIFE_S)
        return calls, f"signal=KILL:when={when}"

    return _at_calls(zygote, folder, seed, times, harm, lambda house, hit: None)


def fail_at_calls(zygote: Zygote, folder: Path, seed: int, times: int) -> Tally:
    """A write or a sync of the journal fails: it ends at once, says why, and sends nothing more."""

    def harm(rng: random.Random) -> tuple[str, str]:
        calls, error = rng.choice(STORING), rng.choice(ERRORS)
        when = 1 + int(rng.random() * CALLS[calls] * LIFE_S)
        return calls, f"error={error}:when={when}{rng.choice(('', '+'))}"

    def ended(house: Forked, hit: str) -> None:
        if not hit:
            return
        assert house.service is not None
        code = house.service.wait(10)
        assert code > 0, f"{hit}: it ended with {code}"
        said = house.tail()
        assert re.search(r"error: .*(failed|disk|Input/output|No space|damaged)", said), said

    return _at_calls(zygote, folder, seed, times, harm, ended)


def _at_calls(
    zygote: Zygote,
    folder: Path,
    seed: int,
    times: int,
    harm: Callable[[random.Random], tuple[str, str]],
    judge: Callable[[Forked, str], None],
) -> Tally:
    rng = random.Random(seed)
    deaths: Counter[str] = Counter()
    starts = 0
    with Forked(folder, zygote, seed=seed, faults=FAULTS) as house:
        house.start()  # the journal is made
        house.kill()
        for _ in range(times):
            calls, how = harm(rng)
            house.clear()
            house.begin(held=True)
            with traced(house.service, folder / "strace", calls, how) as hit:
                starts += drive(house, rng, LIFE_S)
                judge(house, hit())
                found = hit()
                assert house.service is not None
                if house.service.poll() is None:
                    house.kill()
                    found = ""
            deaths[f"{calls} {how.partition(':')[0]}" if found else "in time"] += 1
            house.never()
        return settle(house, deaths, starts)


@contextlib.contextmanager
def traced(child: object, log: Path, calls: str, how: str) -> Iterator[Callable[[], str]]:
    """A held child under strace, which does *how* to its *calls*; gives what was injected."""
    assert isinstance(child, Child)
    log.unlink(missing_ok=True)
    words = ["strace", "-f", "-p", str(child.pid), "-o", str(log), "-e", f"trace={calls}"]
    tracer = subprocess.Popen(
        [*words, "-e", f"inject={calls}:{how}"], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, said
    child.go()

    def hit() -> str:
        text = log.read_text(errors="replace")
        if "signal=KILL" in how:
            return "killed" if child.poll() == -9 else ""
        return next((line for line in text.splitlines() if "INJECTED" in line), "")

    try:
        yield hit
    finally:
        tracer.terminate()
        tracer.wait()
        tracer.stderr.close()
