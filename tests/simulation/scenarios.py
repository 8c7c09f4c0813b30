"""
Worlds that need one guard more than others do, and judges that look where it would be missed.

In a storm of everything a rare guard is missed rarely. A scenario is fair weather but for what
asks for that guard; our own core lives in each of them without breaking a promise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from reconciler.bitmex.answers import Failure, Reply
from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import AccountLimits, Limits
from reconciler.core.step import Outcome
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.doors import HTML, Feed
from reconciler.simulation.oracle import Broken, Oracle
from reconciler.simulation.retold import Retold
from reconciler.simulation.weather import MANNERED_FROM, WATCHED_FROM, Weather
from reconciler.simulation.world import World

NOTICED_US = 10 * SECOND  # late rows included

#: name -> what differs from fair weather
WEATHERS: dict[str, dict[str, Any]] = {
    "refusals": {"reject_in_200": 0.9, "target_us": 40 * SECOND},
    "halts": {
        "refuse_connect": 0.8,
        "halt_us": 8 * SECOND,
        "target_us": 4 * SECOND,
        "fill_at_once": 0.8,
    },
    "pauses": {"pause_us": 15 * SECOND, "target_us": 4 * SECOND, "half_open_us": 20 * SECOND},
    "a slow way there": {"slow_request": 0.95},
    "late rows": {
        "late_row": 0.5,
        "late_position": 0.5,
        "old_position": 0.8,
        "fill_at_once": 0.5,
        "target_us": 5 * SECOND,
    },
    "late positions": {
        "late_position": 0.9,
        "old_position": 1.0,
        "fill_at_once": 0.8,
        "target_us": 5 * SECOND,
    },
    "slow and silent": {
        "slow_request": 0.5,
        "lose_answer": 0.4,
        "hold": 0.5,
        "in_order": False,
        "read_lag": 1.0,
        "target_us": 8 * SECOND,
    },
    "crashes": {
        "crash_us": 12 * SECOND,
        "slow_answer": 0.5,
        "fill_at_once": 0.8,
        "target_us": 4 * SECOND,
        "storm_us": 180 * SECOND,
    },
    "people": {
        "person_us": 5 * SECOND,
        "late_row": 0.3,
        "late_position": 0.3,
        "target_us": 8 * SECOND,
    },
    "gateways": {"bad_gateway": 0.4, "other_503": 0.2, "target_us": 5 * SECOND},
    "strange rows": {"strange_frame": 0.3, "target_us": 5 * SECOND},
    "a proxy that gives up": {
        "in_order": False,
        "hold": 0.4,
        "target_us": 8 * SECOND,
        "storm_us": 240 * SECOND,
    },
    "a market that runs away": {
        "fill_at_once": 0.0,
        "fill_mean_us": 600 * SECOND,
        "quote_us": SECOND // 2,
        "target_us": 60 * SECOND,
        "storm_us": 300 * SECOND,
    },
    "a loss while an order rests": {  # of which a part has filled: two symbols, in single contracts
        "fill_at_once": 0.0,
        "fill_mean_us": 20 * SECOND,
        "quote_us": SECOND // 2,
        "target_us": 30 * SECOND,
        "symbols": 2,
        "lot": 1,
    },
}
#: One or two ticks of a small position.
LOSING = Limits(
    max_position_contracts=1_000,
    max_order_contracts=300,
    price_collar_bps=200,
    max_daily_loss_minor=1_000_000,
)
PATIENT = ("chase", "ladder", "by the deadline")  # policies that follow, with few amends


class Close(Oracle):
    """Looks at every step, not only at what it told: F5 in the ledger, and what is called held."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.counted: dict[str, int] = {}
        self.seen = Retold()

    def step(self, ledger: Any, event: e.AnyEvent) -> Outcome:
        outcome = super().step(ledger, event)
        booked = {fact.symbol for fact in outcome.facts if isinstance(fact, d.FillBooked)}
        self.seen.hear(event, booked)
        for fact in outcome.facts:
            if isinstance(fact, d.TargetHeld):
                self.v1_held_is_agreed(fact)
        if isinstance(event, e.Started):
            self.counted.clear()  # what was stepped and not stored never happened
        for book in ledger.books.values():
            for order in book.own_orders():
                if order.filled < self.counted.get(order.cl_ord_id, 0):
                    raise Broken("F5", f"{order.cl_ord_id} counts fewer fills than before")
                self.counted[order.cl_ord_id] = order.filled
        return outcome

    def v1_held_is_agreed(self, fact: d.TargetHeld) -> None:
        """V1: a target is called held only when the venue has said so, after the last fill."""
        self.checks += 1
        seen, symbol = self.seen, fact.symbol
        agreed = symbol not in seen._stale and seen.row.get(symbol, 0) == fact.position
        if not (seen._sync and agreed):
            raise Broken("V1", f"{symbol} is called held at {fact.position:+d}, and nobody knows")


def weather_of(name: str) -> Weather:
    """The weather of this scenario."""
    weather = Weather()
    for field, value in WEATHERS[name].items():
        setattr(weather, field, value)
    return weather


def scenario(name: str, seed: int) -> World:
    """A world of this scenario."""
    if name == "a market that runs away":
        world = World(MANNERED_FROM + seed, weather=weather_of(name), oracle=Close)
        world.manners = PATIENT
        return world
    if name == "a loss while an order rests":
        world = World(WATCHED_FROM + seed, weather=weather_of(name), oracle=Close)
        world.manners = ("passive", "post", "share")
        world.settings = replace(
            world.settings, limits=LOSING, account_limits=AccountLimits(), foreign_orders="count"
        )
        return world
    world = World(seed, weather=weather_of(name), oracle=Close)
    if name == "a proxy that gives up":
        gives_up(world)
    if name == "strange rows":
        _watch_reloads(world)
    return world


def gives_up(world: World) -> None:
    """A page of a proxy comes at once, and the order goes in behind it, seconds later (REST-6)."""
    whole = world.network.request

    def request(data: bytes | str, answer: Callable[[Reply | Failure], None]) -> None:
        gives_up = isinstance(data, bytes) and data.startswith(b"POST /api/v1/order ")
        if gives_up and world.draws.strikes("gives_up", 0.5):
            page = Reply(status=502, headers={}, body=HTML)
            world.agenda.later(50_000, partial(answer, page))
            there = partial(world.door.command, data, lambda reply: None)  # type: ignore[arg-type]
            world.agenda.later(world.draws.ms("gave up", 100, 5_500), there)
        else:
            whole(data, answer)

    world.network.request = request  # type: ignore[method-assign]


def _watch_reloads(world: World) -> None:
    """NET-8: after a change of a row that was never seen, the table is asked for again."""
    whole = world.network.open_feed

    def open_feed(arrive: Callable[[bytes], None]) -> Feed:
        feed = whole(arrive)
        asked_us: list[int] = []
        said, strange = feed.said, feed._strange

        def hear(text: str) -> None:
            if '"subscribe"' in text:
                asked_us.append(world.agenda.now_us)
            said(text)

        def tell(table: str, action: str, row: dict[str, object]) -> bytes:
            told = strange(table, action, row)
            if b'"ffff"' in told and not world.draws.calm:
                world.later(NOTICED_US, partial(check, world.agenda.now_us))
            return told

        def check(since_us: int) -> None:
            noticed = [one for one in asked_us if one >= since_us - 2 * SECOND]
            if feed.open and not feed.silent and not noticed:
                raise Broken("NET-8", "a row that was never seen changed, and nobody asked again")

        feed.said, feed._strange = hear, tell  # type: ignore[method-assign]
        return feed

    world.network.open_feed = open_feed  # type: ignore[method-assign]
