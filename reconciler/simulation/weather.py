"""
How hostile a life is: each seed draws which faults are on, and how strong.

Swarm testing: with all faults on at once most lives die of the same few; with a random choice of
them, rare meetings of two become common.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

from reconciler.simulation.agenda import SECOND


@dataclass(slots=True)
class Weather:
    """Odds of faults (0 to 1, each time), and mean times between events (0: never)."""

    # requests, on their way there
    lose_request: float = 0.0
    slow_request: float = 0.0
    refuse_connect: float = 0.0
    # what the venue says at its door
    overloaded: float = 0.0
    other_503: float = 0.0
    bad_gateway: float = 0.0
    rate_limited: float = 0.0
    # what its engine does
    hold: float = 0.0
    in_order: bool = True
    reject_in_200: float = 0.0
    kill_post_only: float = 0.0
    fill_at_once: float = 0.3
    fill_mean_us: int = 4 * SECOND
    # answers, on their way back
    lose_answer: float = 0.0
    slow_answer: float = 0.0
    cut_answer: float = 0.0
    read_lag: float = 0.0
    # the stream
    late_row: float = 0.0
    repeat_row: float = 0.0
    lose_row: float = 0.0
    late_position: float = 0.0
    old_position: float = 0.3
    unknown_word: float = 0.0
    strange_frame: float = 0.0
    # events, by their mean time between
    drop_us: int = 0
    half_open_us: int = 0
    mute_us: int = 0
    second_partial_us: int = 0
    crash_us: int = 0
    storage_us: int = 0
    pause_us: int = 0
    stop_us: int = 0
    person_us: int = 0
    person_order_us: int = 0
    liquidation_us: int = 0
    funding_us: int = 0
    market_us: int = 0
    rest_down_us: int = 0
    halt_us: int = 0
    venue_clock_us: int = 0
    target_us: int = 15 * SECOND
    quote_us: int = 3 * SECOND
    # clocks
    own_ahead_us: int = 0
    venue_ahead_us: int = 0
    drift_ppm: int = 0
    # the installation
    symbols: int = 1
    lot: int = 100
    dead_man_s: int = 0
    three_messages: bool = False
    storm_us: int = 90 * SECOND
    assumptions_hold: bool = True  # A1 and A2

    def shown(self) -> str:
        """What differs from fair weather, for people."""
        fair = Weather()
        return " ".join(
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(fair, field.name)
        )


ODDS: dict[str, tuple[float, float]] = {  # rare, common
    "lose_request": (0.03, 0.2),
    "slow_request": (0.05, 0.3),
    "refuse_connect": (0.02, 0.1),
    "overloaded": (0.05, 0.3),
    "other_503": (0.03, 0.15),
    "bad_gateway": (0.03, 0.15),
    "rate_limited": (0.02, 0.08),
    "hold": (0.05, 0.3),
    "reject_in_200": (0.03, 0.15),
    "kill_post_only": (0.05, 0.3),
    "lose_answer": (0.05, 0.3),
    "slow_answer": (0.05, 0.3),
    "cut_answer": (0.03, 0.15),
    "read_lag": (0.2, 1.0),
    "late_row": (0.05, 0.3),
    "repeat_row": (0.05, 0.3),
    "late_position": (0.1, 0.6),
    "strange_frame": (0.01, 0.05),
}
MEANS: dict[str, tuple[int, int]] = {  # seconds: rare, common
    "drop_us": (90, 20),
    "half_open_us": (150, 60),
    "mute_us": (150, 60),
    "second_partial_us": (60, 15),
    "crash_us": (90, 20),
    "storage_us": (200, 80),
    "pause_us": (120, 40),
    "stop_us": (200, 80),
    "person_us": (60, 20),
    "person_order_us": (60, 20),
    "liquidation_us": (300, 120),
    "funding_us": (100, 30),
    "market_us": (120, 50),
    "rest_down_us": (150, 60),
    "halt_us": (120, 50),
    "venue_clock_us": (120, 60),
}


def draw(rng: random.Random) -> Weather:
    """The weather of a seed. Each fault is off in half of the seeds, rare or common in the rest."""
    weather = Weather()
    for name, (rare, common) in ODDS.items():
        setattr(weather, name, rng.choice((0.0, 0.0, rare, common)))
    for name, (seldom, often) in MEANS.items():
        setattr(weather, name, rng.choice((0, 0, seldom, often)) * SECOND)
    weather.lose_row = rng.choice((0.0, 0.0, 0.0, 0.01))
    weather.unknown_word = rng.choice((0.0, 0.0, 0.0, 0.02))
    weather.in_order = rng.random() < 0.4
    weather.fill_at_once = rng.choice((0.0, 0.3, 0.8))
    weather.fill_mean_us = rng.choice((1, 4, 15)) * SECOND
    weather.target_us = rng.choice((40, 12, 4)) * SECOND
    weather.quote_us = rng.choice((1, 3, 8)) * SECOND
    weather.own_ahead_us = rng.choice((0, 0, -3, 7, -3_600, 3_600)) * SECOND
    weather.venue_ahead_us = rng.randint(-3 * SECOND, 3 * SECOND)
    weather.drift_ppm = rng.choice((0, 0, 50, -50, 300, -300))
    weather.symbols = rng.choice((1, 1, 2))
    weather.lot = rng.choice((1, 100, 100))
    weather.dead_man_s = rng.choice((0, 0, 60))
    weather.three_messages = rng.random() < 0.3
    if rng.random() < 0.25:  # slow, silent and now and then dead: what the proof of absence is for
        weather.slow_request = weather.hold = 0.5
        weather.lose_answer = 0.25
        weather.crash_us = rng.choice((0, 60)) * SECOND
        weather.drop_us = weather.half_open_us = weather.mute_us = 0
        weather.rest_down_us = weather.market_us = weather.halt_us = weather.stop_us = 0
        weather.pause_us = weather.storage_us = 0
    return weather
