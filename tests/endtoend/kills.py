"""
`kill -9` of the real process at random moments, while targets change.

After every kill the service is started again, the last targets are waited for, and what the
journal says is compared with what the venue recorded. `scripts/kills` runs it as long as one likes.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from reconciler.errors import InDoubt, Unreachable
from tests.endtoend.forked import Forked
from tests.endtoend.house import LOTS, House, wait_for
from tests.endtoend.zygote import Zygote

#: The longest that ending a doubt may take: expiry, margin, hold time, two look-ups, and slack.
SETTLED_S = 60
#: Answers that take a while leave more in flight at the moment of the kill.
FAULTS = ("slow-queue=0.2", "slow-answer=0.2", "position-lag=0.1", "lost-answer=0.01")


class Report(NamedTuple):
    """What a series of kills saw."""

    kills: int
    states: Counter[str]  # of all symbols at the moments of the kills
    in_doubt: int  # restarts that found a request without an answer
    orders: int
    fills: int
    events: int  # replayed
    recovery_ms: list[float]  # from start to an open door
    settle_s: list[float]  # from an open door to every target held


def one_more(house: House, rng: random.Random, targets: dict[str, int]) -> None:
    """Set a target whose answer may never come: if it did, it must be on the disk."""
    symbol = rng.choice(house.symbols)
    contracts = rng.randint(-9, 9) * LOTS[symbol]
    with contextlib.suppress(Unreachable, InDoubt, AssertionError):
        house.set_target(symbol, contracts, "urgent")
        targets[symbol] = contracts


def kill_many(folder: Path, times: int, seed: int, zygote: Zygote | None = None) -> Report:
    """
    Kill the service *times* times.

    Args:
        folder: Where it lives.
        times: How often.
        seed: Of targets and moments.
        zygote: Forks services whose doubts end in seconds and whose requests do not run out; none:
            each as a user starts it.

    Raises:
        AssertionError: a position is wrong, an order was doubled, a fill was lost or counted
            twice, or a replay differs.
    """
    rng = random.Random(seed)
    states: Counter[str] = Counter()
    in_doubt = 0
    recovery_ms: list[float] = []
    settle_s: list[float] = []
    made = (
        House(folder, seed=seed, faults=FAULTS)
        if zygote is None
        else Forked(folder, zygote, seed=seed, faults=FAULTS, generous=True)
    )
    with made as house:
        house.start()
        targets: dict[str, int] = {}
        for number in range(times):
            end = time.monotonic() + rng.uniform(0.05, 1.2)
            while time.monotonic() < end:
                symbol = rng.choice(house.symbols)
                targets[symbol] = rng.randint(-9, 9) * LOTS[symbol]
                policy = rng.choice(("urgent", "urgent", "passive"))
                house.set_target(symbol, targets[symbol], policy)
                time.sleep(rng.uniform(0, 0.1))
            last = None
            if rng.random() < 0.8:  # while a target is being taken in and acted on
                last = threading.Thread(target=one_more, args=(house, rng, targets))
                last.start()
                time.sleep(rng.uniform(0, 0.03))
            house.kill()
            if last is not None:
                last.join()
            states.update(row[0] for row in house.rows("select state from symbol_now"))
            in_doubt += house.unanswered()
            began = time.monotonic()
            house.start()
            recovery_ms.append((time.monotonic() - began) * 1000)
            for symbol, row in house.status().items():
                said = house.acknowledged.get(symbol)
                assert said is None or row["target"] == said, (
                    f"{symbol}: {said} was acknowledged, {row['target']} is there"
                )
            began = time.monotonic()
            for symbol, contracts in targets.items():
                house.set_target(symbol, contracts, "urgent")
            wait_for(
                f"kill {number + 1} of seed {seed}: {targets} held, but {house.status()}",
                lambda: house.held(targets) or None,
                SETTLED_S,
            )
            settle_s.append(time.monotonic() - began)
            counted = house.check()
        assert house.stop() == 0, house.tail()
        counted = house.check()
        events = house.replay()
    return Report(
        times,
        states,
        in_doubt,
        counted["orders"],
        counted["fills"],
        events,
        recovery_ms,
        settle_s,
    )
