"""
Tables of times and targets, and targets that say what they replace: judged by what is recorded.

A row of a schedule has its turn once, in its order and not before its time, as a target or as a
refusal; never is it lost, whatever crashed, and never does it overrule what was said since. A
target takes the place of the version before it, and of no other: of two doors one wins, both are
in the audit.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from reconciler.core import events as e
from reconciler.core.targets.schedules import Entry
from reconciler.service.door import TargetRequest
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.draws import Draws
    from reconciler.simulation.process import Process
    from reconciler.simulation.world import World

NAMES = ("day", "night")
IF = "in the place of version"  # the reason of a target that says what it replaces


def rows(draws: Draws, now_us: int, symbols: tuple[str, ...]) -> tuple[Entry, ...]:
    """Some targets, seconds apart; now and then none, one that is past, or one too large."""
    rng, found, due_us = draws.of("table"), [], now_us
    kind = draws.one("kind of table", ("rows",) * 5 + ("none", "past", "too large"))
    for number in range(0 if kind == "none" else rng.randint(1, 5)):
        step_us = draws.ms("row", 200, 20_000)
        due_us += step_us
        contracts = rng.randint(-3, 3) * 100 if kind != "too large" else 10**6
        after = number > 0 and rng.random() < 0.5
        found.append(
            Entry(
                symbol=draws.one("table", symbols),
                contracts=contracts,
                at_us=None if after else due_us - (60 * SECOND if kind == "past" else 0),
                name=f"row {number}",
                after=f"row {number - 1}" if after else "",
                delay_us=step_us if after else None,
                policy="",
                reason="",
            )
        )
    return tuple(found)


class Timetable:
    """Judges one life's schedules, and who may replace what."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.turns = 0  # rows that had theirs: a life without any proves nothing
        self.pairs = 0
        self._rows: dict[str, tuple[e.ScheduleRow, ...]] = {}
        self._done: Counter[str] = Counter()
        self._due_since: dict[str, int] = {}  # the turn of this run that saw it
        self._stopping = False
        self._version: Counter[str] = Counter()
        self._set_us: dict[str, int] = {}
        self._said: Counter[str] = Counter()  # in the audit, by the reason of a pair

    def hear(self, event: e.AnyEvent) -> None:
        """What was just committed."""
        match event:
            case e.Started():
                self._stopping = False
                self._due_since.clear()
            case e.Stopping():
                self._stopping = True
            case e.ScheduleSet():
                self._set(event)
            case e.TargetSet() | e.TargetRefused():
                if event.schedule:
                    self._has_its_turn(event)
                self._replaces(event)
                if isinstance(event, e.TargetSet):
                    self._set_us[event.symbol] = event.at_us
        if self._rows:
            self._none_is_late(event.at_us)

    def _set(self, event: e.ScheduleSet) -> None:
        name = event.name
        moments = [row.due_us for row in event.rows]
        if moments != sorted(moments) or any(due_us <= event.at_us for due_us in moments):
            raise Broken("schedule", f"{name} was taken with rows at {moments}")
        self._rows.pop(name, None)
        self._done.pop(name, None)
        self._due_since.pop(name, None)
        if event.rows:
            self._rows[name] = event.rows

    def _has_its_turn(self, event: e.TargetSet | e.TargetRefused) -> None:
        name, _, text = event.schedule.rpartition("/")
        number, table = int(text), self._rows.get(name, ())
        if number != self._done[name] or number >= len(table):
            raise Broken("schedule", f"{event.schedule} came, after {self._done[name]} rows")
        row = table[number]
        if (row.symbol, row.contracts) != (event.symbol, event.contracts):
            raise Broken("schedule", f"{event.schedule} was {row}, and became {event}")
        if row.due_us > event.at_us:
            raise Broken("schedule", f"{event.schedule} came before its time")
        self.turns += 1
        self._done[name] += 1
        self._due_since.pop(name, None)
        newer = self._is_overtaken(row, name, number, event.at_us)
        if newer and isinstance(event, e.TargetSet):
            raise Broken("schedule", f"{event.schedule} overruled what was said after it")
        if isinstance(event, e.TargetRefused) and event.code == "superseded" and not newer:
            raise Broken("schedule", f"{event.text}, and nothing has")

    def _is_overtaken(self, row: e.ScheduleRow, name: str, number: int, at_us: int) -> bool:
        """Whether something newer about its symbol was said, or is due."""
        if self._set_us.get(row.symbol, 0) > row.due_us:
            return True
        own = row.due_us, name, number
        return any(
            other.symbol == row.symbol and own < (other.due_us, whose, place)
            for whose, table in self._rows.items()
            for place, other in enumerate(table)
            if place >= self._done[whose] and other.due_us <= at_us
        )

    def _none_is_late(self, at_us: int) -> None:
        """
        What a turn of the loop sees due has its turn in that one; at a start, in the first.

        The moments inside events are no measure: what has queued up while the process was suspended
        is recorded in one turn, and is seconds apart.
        """
        assert self._world.process is not None
        turn = self._world.process.turns
        for name, table in self._rows.items():
            done = self._done[name]
            if done == len(table) or table[done].due_us > at_us or self._stopping:
                continue
            if turn > self._due_since.setdefault(name, turn) + 1:
                raise Broken("schedule", f"{name}/{done} is due, and nothing comes of it")

    # -- who replaces what -------------------------------------------------------------------------

    def _replaces(self, event: e.TargetSet | e.TargetRefused) -> None:
        symbol, before = event.symbol, self._version[event.symbol]
        pair = event.reason.startswith(IF)
        if pair:
            self._said[event.reason] += 1
        asked = int(event.reason.removeprefix(IF).split(",")[0]) if pair else before
        if isinstance(event, e.TargetSet):
            if event.version != before + 1:
                raise Broken("IN-5", f"version {event.version} of {symbol} came after {before}")
            if asked != before:
                raise Broken("IN-5", f"{event.source} replaced {before} of {symbol}, not {asked}")
            self._version[symbol] = event.version
        elif event.code == "stale_version" and asked == before:
            raise Broken("IN-5", f"{event.source} was refused to replace {asked} of {symbol}")

    def two_doors(self, process: Process, symbol: str, version: int, draws: Draws) -> None:
        """Two want something else, in one millisecond, in the place of one version."""
        self.pairs += 1
        why = f"{IF} {version}, pair {self.pairs}"
        for door in ("a", "b"):
            process.ask(
                TargetRequest(
                    symbol=symbol,
                    contracts=draws.of("doors").randint(-3, 3) * 100,
                    source=f"door {door}",
                    reason=why,
                    key=f"{door}{self.pairs}",
                    if_version=version,
                )
            )

        def both_are_told() -> None:
            lost = process.deposed or process.engine.failed  # with its process: nobody was told
            if self._said[why] != 2 and not lost:
                raise Broken("IN-5", f"two doors, and {self._said[why]} words in the audit: {why}")

        process.then(both_are_told)
