"""
The tables of policies: named ways to work a gap.

What each is for is in docs/policies.md. A table that bears the name of a policy that every
installation knows changes that one; any other begins as `core.settings.Policy` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field

from reconciler.core import settings as core

from .kinds import BasisPoints, Seconds, Section, SomeSeconds, Whole, micro

How = Literal["join", "inside", "post", "last", "signal", "cross", "market"]
Ticks = Annotated[int, Field(strict=True, ge=-10_000, le=10_000)]
Percent = Annotated[Whole, Field(le=100)]


class Stage(Section):
    """One rung of a ladder, and what ends it."""

    how: How
    for_s: SomeSeconds | None = None
    adverse_ticks: Annotated[Whole, Field(ge=1)] | None = None
    until_deadline: bool | None = None
    offset_ticks: Ticks | None = None


class Policy(Section):
    start: How | None = None
    escalate_after_s: Seconds | None = None
    escalate_to: How | None = None
    stages: tuple[Stage, ...] | None = None
    before_deadline_s: Seconds | None = None
    reprice_after_s: SomeSeconds | None = None
    reprice_ticks: Whole | None = None
    max_amends_per_order: Whole | None = None
    max_amends_per_minute: Whole | None = None
    band_contracts: Whole | None = None
    max_slippage_bps: BasisPoints | None = None
    slice_contracts: Whole | None = None
    slice_book_percent: Percent | None = None
    over_s: Seconds | None = None
    slice_every_s: Seconds | None = None
    catch_up: Literal["slices", "at_once"] | None = None


OLD_LADDER = ("start", "escalate_after_s", "escalate_to")


def policies_of(tables: Mapping[str, Policy]) -> dict[str, core.Policy]:
    """All policies that there are, in the core's units: the known ones, changed, and new ones."""
    policies = core.default_policies()
    for name, table in tables.items():
        known = policies.get(name, core.Policy())
        if table.stages is None and any(getattr(table, old) is not None for old in OLD_LADDER):
            known = msgspec.structs.replace(known, stages=())
        policies[name] = msgspec.structs.replace(known, **_in_core(table))
    return policies


def problem(table: Policy) -> str:
    """What two settings of a table say against each other; what they are for, the core knows."""
    both = [name for name in OLD_LADDER if getattr(table, name) is not None]
    if table.stages is not None and both:
        return f"has stages and {both[0]}: stages say it all, take {both[0]} away"
    return "has no stages: take the empty list away" if table.stages == () else ""


def _in_core(table: Section) -> dict[str, Any]:
    """The settings that are set, as the core names and counts them."""
    found: dict[str, Any] = {}
    for name, value in table:
        if value is None:
            continue
        if name == "stages":
            value = tuple(core.Stage(**_in_core(stage)) for stage in value)
        elif name.endswith("_s"):
            name, value = f"{name[:-2]}_us", micro(value)
        found[name] = value
    return found
