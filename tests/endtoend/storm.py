"""
Many kills, cheaply: at any moment, at named points and at system calls, again and again while the
service still recovers.

A kill costs what a fork and a start cost, for nobody waits until everything is settled: what may
never happen is looked at after each death, and the whole truth once at the end of the batch.
Several houses live at once, since a house mostly waits.
"""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from reconciler.errors import ReconcilerError
from tests.endtoend.forked import Forked
from tests.endtoend.house import LOTS, wait_for
from tests.endtoend.kill_at import FIRST, ONCE, POINTS
from tests.endtoend.zygote import Child, Zygote

BATCH = 20  # kills between two looks at the whole truth
HOUSES = 4  # at once
SETTLED_S = 60
LIFE_S = 0.8  # with an open door; who came past its point too seldom is killed where it stands
STARTING_S = 0.25  # half of all random moments are not much later than the fork
BUSY_S = 0.02  # a target is taken in, stored, and becomes an order
START_S = 10.0
STOP_S = 1.0  # then it is killed while it stops
FAULTS = (
    "slow-answer=0.3",
    "slow-queue=0.1",
    "position-lag=0.1",
    "lost-answer=0.03",
    "execution-late=0.1",
)

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
TALKING = ("sendto,sendmsg", "recvfrom", "write")
ERRORS = ("EIO", "ENOSPC")


class Tally(NamedTuple):
    """What a batch saw, or several."""

    deaths: Counter[str]  # by point or call; "in time" for those that never reached theirs
    starts: int = 0  # that opened their door
    unanswered: int = 0  # requests that were without an answer at a death
    orders: int = 0
    fills: int = 0
    events: int = 0  # replayed

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(self.deaths + other.deaths, *map(sum, zip(self[1:], other[1:], strict=True)))


Storm = Callable[[Zygote, Path, int, int], Tally]


def many(
    storm: Storm,
    zygote: Zygote,
    seed: int,
    times: int,
    say: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """
    Batches of a storm, each in a house of its own, several at once.

    Args:
        storm: One of `STORMS`.
        zygote: Forks them all.
        seed: Of the first batch; each has its own.
        times: Kills, all in all.
        say: Is told what was seen so far.

    Raises:
        AssertionError: As the storm, with the command for the batch that failed.
    """
    sizes = [min(BATCH, times - done) for done in range(0, times, BATCH)]
    tally = Tally(Counter())
    with ThreadPoolExecutor(HOUSES) as pool:
        batches = [
            pool.submit(_batch, storm, zygote, seed + number, size)
            for number, size in enumerate(sizes)
        ]
        try:
            for batch in as_completed(batches):
                tally = tally.plus(batch.result())
                say(tally)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return tally


def _batch(storm: Storm, zygote: Zygote, seed: int, times: int) -> Tally:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return storm(zygote, Path(folder), seed, times)
        except Exception as error:
            kind = next(kind for kind, known in STORMS.items() if known is storm)
            log = (Path(folder) / "service.log").read_text(errors="replace")[-3000:]
            raise AssertionError(
                f"{error!r}\nThe like again: scripts/kills --{kind} {times} --seed {seed}\n{log}"
            ) from error


def house_of(folder: Path, zygote: Zygote, seed: int) -> Forked:
    """A house for one batch. In every fifth the requests run out, and that is what is killed."""
    return Forked(folder, zygote, seed=seed, faults=FAULTS, generous=bool(seed % 5))


def drive(
    house: Forked,
    rng: random.Random,
    seconds: float,
    wanted: str = "",
    busy: threading.Event | None = None,
    others: float = 0,
) -> bool:
    """
    Set targets while it lives, not longer than *seconds* after its door was opened.

    Args:
        house: With a service that has begun.
        rng: Draws the targets.
        seconds: At most.
        wanted: What it is asked for more often: "backup" or "stop".
        busy: Set when a target is about to be set, not always the first.
        others: How likely somebody else trades on the account meanwhile.

    Returns:
        Whether its door was open.
    """
    end, is_open = time.monotonic() + START_S, False
    assert house.service is not None
    while time.monotonic() < end and house.service.poll() is None:
        with contextlib.suppress(
            ReconcilerError, AssertionError, OSError, subprocess.TimeoutExpired
        ):
            if not is_open:
                is_open = house.compare_targets()
                end = time.monotonic() + seconds if is_open else end
            elif rng.random() < (0.3 if wanted == "backup" else 0.03):
                house.backup()
            elif rng.random() < (0.3 if wanted == "stop" else 0.01):
                house.stop(STOP_S)
            elif rng.random() < others:
                somebody_trades(house, rng)
            else:
                symbol = rng.choice(house.symbols)
                if busy is not None and rng.random() < 0.2:
                    busy.set()
                house.set_target(
                    symbol,
                    rng.randint(-9, 9) * LOTS[symbol],
                    rng.choice(("urgent", "urgent", "passive")),
                )
        house.raise_lost()
        time.sleep(rng.uniform(0, 0.03))
    return is_open


def somebody_trades(house: Forked, rng: random.Random) -> None:
    """A person trades on the same account."""
    symbol, side = rng.choice(house.symbols), rng.choice(("Buy", "Sell"))
    house.post("/paper/trade", symbol=symbol, side=side, orderQty=rng.randint(1, 3) * LOTS[symbol])


def die(house: Forked, what: str, deaths: Counter[str]) -> int:
    """
    Note how it ended; it is killed if it did not.

    Returns:
        How many requests have no answer now.
    """
    assert house.service is not None
    code = house.service.poll()
    if code is None:
        house.kill()
        what = "in time"
    elif code == 0:
        what = "stopped"
    elif code > 0:
        raise AssertionError(f"at {what} it ended with {code} by itself")
    deaths[what] += 1
    house.never()
    return house.unanswered()


def settle(house: Forked, deaths: Counter[str], starts: int, unanswered: int) -> Tally:
    """Start once more without harm: everything is held in the end, and everything is booked."""
    house.start()
    targets = dict.fromkeys(house.symbols, 0)
    for symbol in house.symbols:
        targets[symbol] = LOTS[symbol] * 2
        house.set_target(symbol, targets[symbol], "urgent")
    wait_for("every target is held", lambda: house.held(targets) or None, SETTLED_S, every_s=0.2)
    counted = house.check()
    assert house.stop() == 0, house.tail()
    counted = house.check()
    events = house.replay()
    return Tally(deaths, starts, unanswered, counted["orders"], counted["fills"], events)


def kill_at_random(zygote: Zygote, folder: Path, seed: int, times: int) -> Tally:
    """
    Kill *times* at random moments, while it starts or trades, then look whether all is true.

    In every second batch somebody else trades, too, with the service alive or dead.

    Raises:
        AssertionError: something was doubled, lost or forgotten, or a replay differs.
    """
    rng = random.Random(seed)
    deaths: Counter[str] = Counter()
    starts = unanswered = 0
    others = 0.05 if seed % 2 else 0.0
    with house_of(folder, zygote, seed) as house:
        house.start()  # it has to see the account once before others trade on it
        wait_for("in sync", lambda: house.service_row().get("in_sync") or None)
        house.kill()
        for _ in range(times):
            house.begin()
            assert house.service is not None
            busy = threading.Event()
            starting = rng.random() < 0.4
            moment = rng.uniform(0, STARTING_S if starting else rng.choice((BUSY_S, LIFE_S)))
            plug = threading.Thread(
                target=pull, args=(house.service, None if starting else busy, moment)
            )
            plug.start()
            try:
                starts += drive(house, rng, LIFE_S, busy=busy, others=others)
            finally:
                busy.set()
                plug.join()
            unanswered += die(house, "starting" if starting else "trading", deaths)
            if rng.random() < 6 * others:
                somebody_trades(house, rng)
        return settle(house, deaths, starts, unanswered)


def pull(child: Child | subprocess.Popen[bytes], after: threading.Event | None, s: float) -> None:
    """Pull the plug, *s* seconds from now or after *after*."""
    if after is not None:
        after.wait()
    time.sleep(s)
    child.kill()


def kill_at_points(
    zygote: Zygote, folder: Path, seed: int, times: int, points: Sequence[str] = ()
) -> Tally:
    """
    Kill *times* at named points, every one of them in turn, then look whether all is true.

    Args:
        zygote: Forks them all.
        folder: For the house.
        seed: Draws what is not named.
        times: Kills.
        points: Only these, in turn.

    Raises:
        AssertionError: something was doubled, lost or forgotten, or a replay differs.
    """
    rng = random.Random(seed)
    deaths: Counter[str] = Counter()
    starts = unanswered = 0
    later = [point for point in POINTS if point not in FIRST]
    begin = seed * (BATCH - len(FIRST)) % len(later)  # four seeds in turn reach every point
    later = later[begin:] + later[:begin]
    order = [*sorted(FIRST, key=lambda _: rng.random()), *later]
    with house_of(folder, zygote, seed) as house:
        for number in range(times):
            point = order[number] if number < len(order) else rng.choice(later)
            point = points[number % len(points)] if points else point
            name = point.partition("-")[0]
            often = point not in ONCE | FIRST and name not in ("snapshot", "backup")
            deep = int(rng.expovariate(rng.choice((0.3, 0.05)))) if often else 0
            house.begin(point=(point, 1 + deep))
            wanted = {"snapshot": "stop", "checkpoint": "stop"}.get(name, name)
            starts += drive(house, rng, LIFE_S, wanted)
            unanswered += die(house, point, deaths)
        return settle(house, deaths, starts, unanswered)


def kill_at_calls(zygote: Zygote, folder: Path, seed: int, times: int) -> Tally:
    """The same at the boundaries of system calls: the N-th of its kind does not return."""

    def harm(rng: random.Random) -> tuple[str, str]:
        calls = rng.choice(list(CALLS))
        when = 1 + int(rng.random() * CALLS[calls] * LIFE_S)
        return calls, f"signal=KILL:when={when}"

    return _at_calls(zygote, folder, seed, times, harm, lambda house, hit: None)


def fail_at_calls(zygote: Zygote, folder: Path, seed: int, times: int) -> Tally:
    """
    A write or a sync fails: the service ends at once, says why, and sends nothing more. Where a
    connection, the log or its own pipe fails, it may live on, or end and say why.
    """

    def harm(rng: random.Random) -> tuple[str, str]:
        calls = rng.choice(STORING if rng.random() < 0.7 else TALKING)
        error = rng.choice(ERRORS)
        when = 1 + int(rng.random() * CALLS[calls] * LIFE_S)
        return calls, f"error={error}:when={when}{rng.choice(('', '+'))}"

    def ended(house: Forked, hit: str) -> None:
        if not hit:
            return
        assert house.service is not None
        if any(name in hit for name in ("pwrite64", "sync")):
            code = house.service.wait(10)
            assert code > 0, f"{hit}: it ended with {code}"
            said = house.tail()
            assert re.search(r"error: .*(failed|disk|Input/output|No space|damaged)", said), said
        said = house.tail()
        assert "Exception in thread" not in said, f"{hit}: it lives on without a thread"
        if (code := house.service.poll()) is not None:
            assert code >= 0, f"{hit}: it ended with {code}"
            if code == 0:
                return  # it was asked to stop
            # Where the log itself fails nothing can be said.
            assert "error: " in said or "write(" in hit, f"{hit}: it ended and did not say why"

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
    starts = unanswered = 0
    with house_of(folder, zygote, seed) as house:
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
            deaths[f"{calls} {how.partition(':')[0]}" if found else "in time"] += 1
            house.never()
            unanswered += house.unanswered()
        return settle(house, deaths, starts, unanswered)


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


#: As the options of `scripts/kills` call them.
STORMS: dict[str, Storm] = {
    "random": kill_at_random,
    "points": kill_at_points,
    "syscalls": kill_at_calls,
    "faults": fail_at_calls,
}
