"""
`kill -9` of the real process at random moments, while targets change.

After every kill the service is started again, the last targets are waited for, and what the
journal says is compared with what the venue recorded. `scripts/kills` runs it as long as one likes.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.endtoend.house import LOTS, House, wait_for

#: The longest that ending a doubt may take: expiry, margin, hold time, two look-ups, and slack.
SETTLED_S = 60


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


def kill_many(folder: Path, times: int, seed: int) -> Report:
    """
    Kill the service *times* times.

    Raises:
        AssertionError: a position is wrong, an order was doubled, a fill was lost or counted
            twice, or a replay differs.
    """
    rng = random.Random(seed)
    states: Counter[str] = Counter()
    in_doubt = 0
    recovery_ms: list[float] = []
    settle_s: list[float] = []
    with House(folder, seed=seed) as house:
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
            if rng.random() < 0.5:  # the very moment after a target is where most is in flight
                symbol = rng.choice(house.symbols)
                targets[symbol] = rng.randint(-9, 9) * LOTS[symbol]
                house.set_target(symbol, targets[symbol], "urgent")
                time.sleep(rng.uniform(0, 0.004))
            house.kill()
            states.update(row[0] for row in house.rows("select state from symbol_now"))
            in_doubt += sum(
                1 for _ in house.rows("select 1 from orders where status = 'intended'")
            )
            began = time.monotonic()
            house.start()
            recovery_ms.append((time.monotonic() - began) * 1000)
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
