"""
What happens to the exchange and when, from a TOML file.

    [[step]]
    at = "30s"              # after the start, in market time: 30, "30s", "1m30s", "500ms"
    do = "fault"            # any action of the control door
    name = "lost-answer"    # and its fields
    probability = 0.5

    [[step]]
    at = "2m"
    do = "maintenance"
    suspended = 10
    cancelOnly = 20

The whole file is checked before the exchange opens. A step that is refused when its time comes (a
position to liquidate that is not there) is noted in ``GET /paper/scenario``, and the next one goes
on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import errors
from .actions import ACTIONS, Do, Fields, check
from .times import duration_ms

if TYPE_CHECKING:
    from .world import World


class BadScenario(ValueError):
    """The file is no scenario; the text names the step and what is wrong."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, so long after the start."""

    number: int  # from 1
    at_ms: int
    action: str
    fields: Fields


class Script:
    """The steps of a file, in the order in which they come."""

    def __init__(self, steps: Sequence[Step], name: str = "scenario") -> None:
        self.steps = sorted(steps, key=lambda step: step.at_ms)
        self.name = name

    @classmethod
    def load(cls, path: Path) -> Script:
        """
        Read a file.

        Raises:
            OSError: it cannot be read.
            BadScenario: it is not TOML, or a step has no time or names no action.
        """
        try:
            with path.open("rb") as file:
                document = tomllib.load(file, parse_float=Decimal)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
            raise BadScenario(f"{path}: {problem}") from None
        return cls.parse(document, str(path))

    @classmethod
    def parse(cls, document: dict[str, object], name: str = "scenario") -> Script:
        """The same from what was read."""
        unknown = sorted(set(document) - {"step"})
        if unknown:
            raise BadScenario(f"{name}: {unknown[0]!r} is not known; steps begin with [[step]]")
        entries = document.get("step", [])
        if not isinstance(entries, list) or not entries:
            raise BadScenario(f"{name}: there is no [[step]]")
        return cls([_step(name, i, entry) for i, entry in enumerate(entries, 1)], name)

    def check(self, world: World) -> list[tuple[Step, Do]]:
        """
        Every step with what it will do to a world.

        Raises:
            BadScenario: a step cannot be done, whatever happens until then.
        """
        found = []
        for step in self.steps:
            try:
                found.append((step, check(world, step.action, dict(step.fields))))
            except errors.Refusal as refusal:
                raise BadScenario(
                    f"{self.name}, step {step.number} ({step.action}): {refusal.message}"
                ) from None
        return found


class Scenario:
    """A script that is being played."""

    def __init__(self, script: Script, world: World, now_ms: int) -> None:
        self._outcome: dict[int, object] = {}
        self._script = script
        opened_ms = world.clock.market_ms(now_ms)
        for step, do in script.check(world):
            due_ms = world.clock.wall_ms(opened_ms + step.at_ms)
            world.agenda.at(due_ms, partial(self._play, step, do))

    def _play(self, step: Step, do: Do, now_ms: int) -> None:
        try:
            self._outcome[step.number] = do(now_ms)
        except errors.Refusal as refusal:
            self._outcome[step.number] = refusal.body()

    def listing(self) -> list[dict[str, object]]:
        """Every step, whether it was done, and what was answered."""
        return [
            {
                "step": step.number, "at": Decimal(step.at_ms) / 1000, "do": step.action,
                "fields": step.fields, "done": step.number in self._outcome,
                "answer": self._outcome.get(step.number),
            }
            for step in self._script.steps
        ]  # fmt: skip


def _step(name: str, number: int, entry: object) -> Step:
    where = f"{name}, step {number}"
    if not isinstance(entry, dict):
        raise BadScenario(f"{where}: a step begins with [[step]]")
    fields = dict(entry)
    if "at" not in fields or "do" not in fields:
        raise BadScenario(f"{where}: 'at' and 'do' are needed")
    action = fields.pop("do")
    at_ms = duration_ms(fields.pop("at"))
    if at_ms is None:
        raise BadScenario(f'{where}: \'at\' is a time such as 30, "30s" or "1m30s"')
    if not isinstance(action, str) or action not in ACTIONS:
        raise BadScenario(f"{where}: cannot do {action!r}; one can {', '.join(ACTIONS)}")
    return Step(number, at_ms, action, fields)
