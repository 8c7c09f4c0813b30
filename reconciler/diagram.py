"""
The state diagram, drawn from the table that the core lives by. Pure: text in, text out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reconciler.core.lifecycle import TABLE, State


class Edge(NamedTuple):
    """All triggers from one state to another."""

    start: str
    end: str
    triggers: tuple[str, ...]


def edges(table: Sequence[tuple[str, tuple[State, ...], State, str]] = TABLE) -> list[Edge]:
    """The edges of a table, in its order, triggers with the same ends together."""
    found: dict[tuple[str, str], list[str]] = {}
    for trigger, starts, end, _ in table:
        for start in starts:
            found.setdefault((start.value, end.value), []).append(trigger)
    return [Edge(start, end, tuple(triggers)) for (start, end), triggers in found.items()]


def mermaid(mark: str | None = None, label: str = "") -> str:
    """
    For Markdown.

    Args:
        mark: The state to mark.
        label: What the mark means, such as a symbol.
    """
    lines = ["stateDiagram-v2", f"  [*] --> {State.IDLE.value}"]
    lines += [f"  {edge.start} --> {edge.end}: {', '.join(edge.triggers)}" for edge in edges()]
    if mark is not None:
        lines += [
            "  classDef now fill:#f5a524,stroke:#000,stroke-width:3px,color:#000",
            f"  class {mark} now",
        ]
        if label:
            lines += [f"  note right of {mark}: {label}"]
    return "\n".join(lines)


def dot(mark: str | None = None, label: str = "") -> str:
    """For Graphviz; see `mermaid`."""
    lines = ["digraph symbol {", "  rankdir=LR;", '  node [shape=box, style="rounded"];']
    lines += ["  start [shape=point];", f"  start -> {State.IDLE.value};"]
    for state in State:
        if state.value == mark:
            text = f"{mark}\\n{label}" if label else mark
            lines.append(f'  {mark} [label="{text}", style="rounded,filled,bold"];')
        else:
            lines.append(f"  {state.value};")
    for edge in edges():
        lines.append(f'  {edge.start} -> {edge.end} [label="{", ".join(edge.triggers)}"];')
    return "\n".join([*lines, "}"])


def text(mark: str | None = None, label: str = "") -> str:
    """For a terminal: the table, row by row, and what each row means."""
    lines = []
    for trigger, starts, end, means in TABLE:
        names = ", ".join(start.value for start in starts)
        lines.append(f"{trigger:<10} {names:<28} → {end.value:<11} {means}")
    if mark is not None:
        lines += ["", f"{label or 'now'}: {mark}"]
    return "\n".join(lines)


FORMATS = {"mermaid": mermaid, "dot": dot, "text": text}
