"""
The real service under every fault of the paper exchange at once, for as long as one likes.

Targets change at random; a person looks in now and then and lifts a freeze. When the weather has
become fair, all that is promised is compared with the venue's own record, and for how long targets
were missed is counted from it: from the venue's executions, and not from what the service says.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reconciler.errors import Refused
from tests.endtoend.house import LOTS, MOVING, House, wait_for

CALM_S = 420  # after the last fault: a venue may just have said that we should wait 5 minutes
LOOK_S = 2.0  # how often the person looks in
MOST_LOTS = 9

Change = tuple[float, int]  # when, in seconds since the epoch; what it was from then on


@dataclass(slots=True, kw_only=True)
class Report:
    """What was seen. Whatever breaks a promise is no number in here, but an AssertionError."""

    seconds: float = 0.0  # in bad weather
    settled_s: float = 0.0  # from the last fault to all targets held
    struck: dict[str, int] = field(default_factory=dict)
    targets: int = 0
    reached_s: list[float] = field(default_factory=list)  # of each target that was reached
    replaced: int = 0  # targets that another one took the place of before they were reached
    missed_share: float = 0.0  # of the time and the symbols
    longest_miss_s: float = 0.0
    blind_s: float = 0.0  # the stream was not in sync
    told_to_wait_s: float = 0.0  # by the venue, in a 429
    frozen: Counter[str] = field(default_factory=Counter)  # why a person had to decide
    incidents: dict[str, int] = field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    foreign: int = 0  # fills of other people
    reconnects: int = 0
    events: int = 0  # replayed

    def lines(self) -> list[str]:
        """The report for people."""
        most = sorted(self.struck.items(), key=lambda pair: -pair[1])
        calm = [name for name, times in most if not times]
        reached = sorted(self.reached_s) or [0.0]
        times = self.struck.values()
        kinds = len(most) - len(calm)
        tenth, slowest = reached[len(reached) * 9 // 10], reached[-1]
        median, share = statistics.median(reached), f"{self.missed_share:.1%}"
        told = {
            "bad weather": f"{self.seconds:.0f} s, {sum(times)} faults of {kinds} kinds",
            "never struck": ", ".join(sorted(calm)) or "none",
            "targets": f"{self.targets}, {len(reached)} reached, {self.replaced} replaced before",
            "target to position": f"median {median:.1f} s, 90 % {tenth:.1f} s, all {slowest:.1f} s",
            "off target": f"{share} of the time, at the longest {self.longest_miss_s:.1f} s",
            "stream not in sync": f"{self.blind_s:.0f} s",
            "told to wait by a 429": f"{self.told_to_wait_s:.0f} s",
            "frozen, resumed by hand": str(dict(self.frozen) or "never"),
            "incidents": str(self.incidents or "none"),
            "reconnections": str(self.reconnects),
            "orders, fills compared": f"{self.orders}, {self.fills} ({self.foreign} of others)",
            "doubled, lost, miscounted": "0, 0, 0",
            "fair again to all held": f"{self.settled_s:.1f} s",
            "events replayed": f"{self.events}, 0 differ",
        }
        return [f"{what:27}{value}" for what, value in told.items()]


def endure(
    house: House,
    seconds: float,
    seed: int,
    change_every_s: float,
    faults: float | Mapping[str, float],
    but: Container[str] = (),
    calm_s: float = CALM_S,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """
    Change targets for *seconds*, then calm the weather, and check everything.

    Args:
        house: Its exchange runs; its service does not.
        seconds: Of bad weather, from when the first targets are held.
        seed: Of the targets.
        change_every_s: How long a symbol's target stays, about.
        faults: How likely each fault of the catalogue strikes that fair weather heals; or these.
        but: Faults that don't, besides those that were switched on before.
        calm_s: How long it may take, in fair weather, until everything is held.
        say: Is told how it goes, every half minute.

    Raises:
        AssertionError: A promise was broken, or a target is not held in fair weather.
    """
    rng, report = random.Random(seed), Report()
    asked: dict[str, list[Change]] = {symbol: [] for symbol in house.symbols}
    due = dict.fromkeys(house.symbols, 0.0)
    house.start()
    for symbol in house.symbols:
        _set(house, symbol, _drawn(rng, symbol), asked)
    _wait_until_held(house, report, asked, calm_s)
    _switch_on(house, faults, but)
    began = looked = said = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        for symbol in [symbol for symbol in house.symbols if now >= due[symbol]]:
            due[symbol] = now + rng.uniform(0.3, 1.7) * change_every_s
            policy = rng.choice(("urgent", "urgent", "passive"))
            _set(house, symbol, _drawn(rng, symbol), asked, policy)
        if now >= looked + LOOK_S:
            looked = now
            _look_in(house, report)
        if now >= said + 30:
            said = now
            house.never()
            say(f"{now - began:4.0f} s  {_in_a_line(house)}")
        time.sleep(0.05)
    report.seconds = time.monotonic() - began
    _calm(house, report, asked, calm_s)
    _compare(house, report, asked)
    return report


def _set(
    house: House,
    symbol: str,
    contracts: int,
    asked: dict[str, list[Change]],
    policy: str = "urgent",
) -> None:
    house.set_target(symbol, contracts, policy)
    asked[symbol].append((time.time(), contracts))


def _drawn(rng: random.Random, symbol: str) -> int:
    return rng.randint(-MOST_LOTS, MOST_LOTS) * LOTS[symbol]


def _in_a_line(house: House) -> str:
    return ", ".join(
        f"{symbol} {row['position']:+d} of {row['target']:+d} {row['waiting_for']}".rstrip()
        for symbol, row in house.status().items()
        if row["target"] is not None
    )


def _service(house: House) -> dict[str, Any]:
    door = house.door_or_none()
    assert door is not None
    found: dict[str, Any] = door.status()["service"]
    return found


def _look_in(house: House, report: Report) -> None:
    """
    As a person would: read why it waits for a decision, compare, and let it go on.

    Nothing is adopted but what is so by the venue's own record already: a resume moves no books.
    """
    door = house.door_or_none()
    assert door is not None
    status = door.status()
    rows = {row["symbol"]: row for row in status["symbols"]}
    frozen = {s: row["waiting_for"] for s, row in rows.items() if "frozen" in row["waiting_for"]}
    if not frozen and not status["service"]["frozen"]:
        return
    positions = house.truth()["positions"]
    same = [symbol for symbol in rows if rows[symbol]["position"] == positions.get(symbol, 0)]
    if len(same) < len(rows):
        return  # look again, when what is on its way has come
    report.frozen.update({incident["kind"] for incident in status["incidents"]})
    with contextlib.suppress(Refused):  # of no position yet
        door.resume(by="weather", reason="compared with the venue's record", adopt=True)


def _calm(house: House, report: Report, asked: dict[str, list[Change]], calm_s: float) -> None:
    """No more faults; then everything that was asked for last is held."""
    on = [row for row in house.get("/paper/faults") if row["probability"]]
    report.struck = {row["name"]: row["fired"] for row in on}
    for name in report.struck:
        house.post("/paper/fault", name=name, probability=0)
    began = time.monotonic()
    for symbol, changes in asked.items():  # nobody waits for the market to come to a passive order
        _set(house, symbol, changes[-1][1], asked)
    _wait_until_held(house, report, asked, calm_s)
    report.settled_s = time.monotonic() - began
    report.reconnects = _service(house)["reconnects"]


def _switch_on(house: House, faults: float | Mapping[str, float], but: Container[str]) -> None:
    if not isinstance(faults, Mapping):
        rows = house.get("/paper/faults")
        healing = [row["name"] for row in rows if not row["lasting"] and not row["probability"]]
        faults = dict.fromkeys((name for name in healing if name not in but), faults)
    for name, probability in faults.items():
        house.post("/paper/fault", name=name, probability=probability)


def _wait_until_held(
    house: House, report: Report, asked: dict[str, list[Change]], within_s: float
) -> None:
    targets = {symbol: changes[-1][1] for symbol, changes in asked.items()}

    def held() -> bool | None:
        _look_in(house, report)
        return house.held(targets) or None

    try:
        wait_for("every target is held", held, within_s, every_s=0.25)
    except AssertionError as error:
        _, _, stored, venue = house.never()
        lost = sorted(set(venue) - set(stored))
        raise AssertionError(
            f"{error}: {targets}, but {house.status()}; fills that are lost: {lost}"
        ) from None


def _compare(house: House, report: Report, asked: dict[str, list[Change]]) -> None:
    """Everything that is promised, against the venue's record; then once more after a stop."""
    house.check()
    assert house.stop() == 0, house.tail()
    counted = house.check()
    truth = house.truth()
    moving = [row for row in truth["executions"] if row["execType"] in MOVING]
    mine = [row for row in moving if row.get("clOrdID", "").startswith("rc-")]
    each_as_large_as_intended(house, mine)
    report.orders, report.fills = counted["orders"], counted["fills"]
    report.foreign = len(moving) - len(mine)
    report.events = house.replay()
    report.incidents = dict(house.rows("select type, count(*) from incidents group by 1"))
    report.blind_s = spans_s(
        house.rows("select kind, at_us from journal where kind in ('streamlost', 'synced')")
    )
    report.told_to_wait_s = union_s(
        house.rows(
            "select at_us, json_extract(event, '$.until_us') from journal where kind = 'throttled'"
            " and json_extract(event, '$.reason') like 'rate_limited%' order by at_us"
        )
    )
    _count_misses(report, asked, moving)


def each_as_large_as_intended(house: House, mine: list[dict[str, Any]]) -> None:
    """No order of ours traded on the wrong side, or more than was decided."""
    wanted = dict(house.rows("select cl_ord_id, contracts from intents"))
    traded: Counter[str] = Counter()
    for row in mine:
        traded[row["clOrdID"]] += row["lastQty"] * (1 if row["side"] == "Buy" else -1)
    for name, contracts in traded.items():
        side = 1 if wanted[name] > 0 else -1
        assert 0 < contracts * side <= abs(wanted[name]), (name, contracts, wanted[name])


def _count_misses(
    report: Report, asked: dict[str, list[Change]], moving: list[dict[str, Any]]
) -> None:
    """How long the venue's position was not the target."""
    missed = whole = 0.0
    for symbol, targets in asked.items():
        held = positions(row for row in moving if row["symbol"] == symbol)
        end = max(targets[-1][0], held[-1][0] if held else 0.0)
        for number, (set_at, wanted) in enumerate(targets):
            last = number + 1 == len(targets)
            until = end if last else targets[number + 1][0]
            report.targets += 1
            gone, reached = off_target(held, wanted, set_at, until)
            if reached is None:
                report.replaced += 1
            else:
                report.reached_s.append(reached - set_at)
            missed += sum(gone)
            whole += until - set_at
            report.longest_miss_s = max(report.longest_miss_s, *gone, 0.0)
    report.missed_share = missed / whole if whole else 0.0


def spans_s(rows: Iterable[tuple[str, int]]) -> float:
    """Seconds from each loss of the stream to the next whole resync."""
    total, since = 0, None
    for kind, at_us in rows:
        if kind == "synced":
            total += 0 if since is None else at_us - since
            since = None
        elif since is None:
            since = at_us
    return total / 1e6


def union_s(rows: Iterable[tuple[int, int]]) -> float:
    """Seconds that are in any of these spans, which are ordered by their beginning."""
    total = end = 0
    for begin, until in rows:
        total += max(until - max(begin, end), 0)
        end = max(end, until)
    return total / 1e6


def positions(rows: Iterable[dict[str, Any]]) -> list[Change]:
    """What the venue's executions made of the position of one symbol, oldest first."""
    found: list[Change] = []
    contracts = 0
    for row in rows:
        contracts += row["lastQty"] * (1 if row["side"] == "Buy" else -1)
        found.append((datetime.fromisoformat(row["transactTime"]).timestamp(), contracts))
    return found


def off_target(
    held: list[Change], wanted: int, begin: float, end: float
) -> tuple[list[float], float | None]:
    """
    The spans between *begin* and *end* in which the position was not *wanted*.

    Returns:
        Their lengths in seconds, and when it was *wanted* first; None: never.
    """
    spans: list[float] = []
    now = next((contracts for at, contracts in reversed(held) if at <= begin), 0)
    first = begin if now == wanted else None
    since = None if now == wanted else begin
    for at, contracts in held:
        if not begin < at <= end:
            continue
        if contracts != wanted:
            since = at if since is None else since
        elif since is not None:
            spans.append(at - since)
            first, since = first or at, None
    return [*spans, *([] if since is None else [end - since])], first
