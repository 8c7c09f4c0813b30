"""
How hostile a life is: each seed draws which faults are on, and how strong.

Swarm testing: with all faults on at once most lives die of the same few; with a random choice of
them, rare meetings of two become common.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

from reconciler.simulation.agenda import SECOND, START_US


@dataclass(slots=True)
class Weather:
    """Odds of faults (0 to 1, each time), and mean times between events (0: never)."""

    kind: str = "storm"
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
    bad_quote: float = 0.0
    slow_reader_us: int = 0  # what it takes to read one frame
    # the process
    crash_again: float = 0.0  # while it starts
    beat_us: int = 250_000  # how often the loop looks at the gateway's timers
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
    door_shut_us: int = 0
    flap_us: int = 0
    rules_us: int = 0
    settle_us: int = 0
    takeover_us: int = 0
    wall_us: int = 0
    table_us: int = 0
    doors_us: int = 0
    stranger_us: int = 0
    drift_us: int = 0
    resolve_us: int = 0
    ask_us: int = 0
    file_us: int = 0
    target_us: int = 15 * SECOND
    quote_us: int = 3 * SECOND
    signal_us: int = 0  # of strategies
    thin: bool = False  # the best prices show few contracts, now more and now less
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
    starts_us: int = 0  # after the usual moment: the time of day
    # what is assumed of the venue, and may not hold
    assumptions_hold: bool = True  # none of the following
    twice: float = 0.0  # A1: one request is acted on twice
    hold_most_us: int = 9_800_000  # A2, when it is out of order: longer than ten seconds
    lag_most_us: int = 1_990_000  # A3: a read is older than two seconds

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

MORE_MEANS: dict[str, tuple[int, int]] = {
    "door_shut_us": (150, 60),
    "flap_us": (120, 40),
    "rules_us": (120, 40),
    "takeover_us": (200, 80),
    "wall_us": (150, 60),
}
DRIFTS = (0, 0, 50, -50, 300, -300)

#: Seeds from here on are lives of every kind. Those before it are short storms, as they were when
#: the seeds that are kept had been found.
MIXED_FROM = 1_000_000_000
#: And from here on every policy is drawn, deadlines and prices of signals too.
MANNERED_FROM = 2_000_000_000
#: And from here on limits are so tight that each is reached, tables of targets come due, and two
#: doors want to replace one version.
WATCHED_FROM = 3_000_000_000
#: And from here on there are strategies and portfolios, and a book that is thin at times.
NETTED_FROM = 4_000_000_000
#: And from here on the position is moved at times and nothing ever tells why, a rule or a person
#: settles that, and strategies are in one life of ten.
PEOPLED_FROM = 5_000_000_000
#: Of so many seeds one is quiet, and one at a venue that breaks what is assumed of it: by number
#: and not by chance, so that many seeds have the hours and steps that they are meant to have.
QUIET_EVERY = 16
BROKEN_EVERY = 23
DAY_US = 86_400 * SECOND
HOUR = 3_600 * SECOND
TO_MIDNIGHT_US = DAY_US - START_US % DAY_US  # UTC, from the usual moment


def draw(seed: int, rng: random.Random) -> Weather:
    """The weather of a seed, of its kind."""
    if seed < MIXED_FROM:
        return storm(rng)
    if seed % QUIET_EVERY == 6:
        return quiet(rng)
    if seed % BROKEN_EVERY == 11:
        return _decided(broken(rng), seed)
    weather = long_storm(rng)
    if seed >= MANNERED_FROM and rng.random() < 0.4:  # nobody comes: policies have to try harder
        weather.fill_at_once, weather.fill_mean_us = 0.0, 30 * SECOND
        weather.quote_us = 1 * SECOND
        weather.drop_us = weather.half_open_us = weather.crash_us = 0
    if seed >= WATCHED_FROM:
        _watched(weather, rng)
    if seed >= NETTED_FROM:
        weather.signal_us = rng.choice((0, 0, 1, 5, 15)) * SECOND
        weather.thin = rng.random() < 0.5
    if seed >= PEOPLED_FROM:
        _peopled(weather, rng)
    return weather


def _decided(weather: Weather, seed: int) -> Weather:
    """Whatever a venue does that is not assumed of it: somebody has an opinion."""
    weather.resolve_us = 15 * SECOND if seed >= PEOPLED_FROM else 0
    return weather


def _peopled(weather: Weather, rng: random.Random) -> None:
    weather.drift_us = rng.choice((0, 40, 20)) * SECOND
    weather.resolve_us = rng.choice((0, 40, 10)) * SECOND
    weather.ask_us = rng.choice((0, 30, 8)) * SECOND
    weather.file_us = rng.choice((0, 40, 15)) * SECOND
    if rng.random() < 0.8:
        weather.signal_us = 0


def _watched(weather: Weather, rng: random.Random) -> None:
    weather.table_us = rng.choice((0, 0, 60, 20)) * SECOND
    weather.doors_us = rng.choice((0, 0, 60, 20)) * SECOND
    if rng.random() < 0.2:  # midnight comes
        weather.starts_us = TO_MIDNIGHT_US - rng.randint(10, 200) * SECOND


def storm(rng: random.Random) -> Weather:
    """Each fault is off in half of the seeds, rare or common in the rest."""
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
    weather.drift_ppm = rng.choice(DRIFTS)
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


def long_storm(rng: random.Random) -> Weather:
    """A storm of minutes, with what the short ones have not."""
    weather = storm(rng)
    _more(weather, rng)
    weather.storm_us = rng.choice((90, 180, 300)) * SECOND
    return weather


def _more(weather: Weather, rng: random.Random) -> None:
    for name, (seldom, often) in MORE_MEANS.items():
        setattr(weather, name, rng.choice((0, 0, seldom, often)) * SECOND)
    weather.bad_quote = rng.choice((0.0, 0.0, 0.05, 0.3))
    weather.slow_reader_us = rng.choice((0, 0, 0, 20_000, 200_000))
    weather.crash_again = rng.choice((0.0, 0.0, 0.3))
    weather.drift_ppm = rng.choice((*DRIFTS, 10_000, -10_000))
    weather.dead_man_s = rng.choice((0, 0, 60, 15))
    if rng.random() < 0.1:  # a contract that ends
        weather.settle_us = rng.choice((30, 90)) * SECOND


def quiet(rng: random.Random) -> Weather:
    """Hours in which little happens: audits, funding, midnight, drift, and now and then a fault."""
    weather = Weather(kind="quiet")
    faults = (*ODDS, *MEANS, *MORE_MEANS)
    for name in rng.sample(faults, 6):
        rare = ODDS[name][0] / 4 if name in ODDS else rng.choice((1, 2)) * HOUR
        setattr(weather, name, rare)
    weather.funding_us = rng.choice((1, 8)) * HOUR
    weather.fill_mean_us = rng.choice((4, 60)) * SECOND
    weather.target_us = rng.choice((10, 30, 60)) * 60 * SECOND
    weather.quote_us = rng.choice((20, 60)) * SECOND
    weather.own_ahead_us = rng.choice((0, -3, 7, 3_600)) * SECOND
    weather.venue_ahead_us = rng.randint(-3 * SECOND, 3 * SECOND)
    weather.drift_ppm = rng.choice((*DRIFTS, 10_000, -10_000))
    weather.lot = rng.choice((1, 100))
    weather.dead_man_s = rng.choice((0, 0, 0, 60))
    weather.beat_us = 250_000 if rng.random() < 0.1 else 1_000_000
    weather.storm_us = rng.choice((3, 4, 5)) * HOUR
    weather.starts_us = rng.randint(0, 24 * HOUR)
    return weather


def broken(rng: random.Random) -> Weather:
    """A storm at a venue that does not keep to what is assumed of it."""
    weather = storm(rng)
    weather.storm_us = rng.choice((90, 180)) * SECOND
    weather.kind, weather.assumptions_hold = "broken", False
    kind = rng.choice(("twice", "hold", "lag", "stranger"))
    if kind == "twice":
        weather.twice = rng.choice((0.1, 0.5))
        weather.fill_at_once, weather.fill_mean_us = 0.8, SECOND
    elif kind == "hold":
        _without_interruptions(weather)
        weather.in_order, weather.hold, weather.hold_most_us = False, 0.3, 60 * SECOND
        weather.lose_request = weather.slow_request = 0.0
        weather.storm_us, weather.target_us = 300 * SECOND, 12 * SECOND
    elif kind == "lag":
        _without_interruptions(weather)
        weather.read_lag, weather.lag_most_us = 0.9, 60 * SECOND
        weather.lose_row = 0.2
    else:
        weather.stranger_us = 40 * SECOND
    return weather


def _without_interruptions(weather: Weather) -> None:
    """So that many a proof of absence comes to its end, and is wrong."""
    weather.lose_answer = 0.4
    for name in MEANS:
        if name not in ("target_us", "person_us", "funding_us"):
            setattr(weather, name, 0)
