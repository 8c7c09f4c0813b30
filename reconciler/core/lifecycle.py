"""
The life of a symbol's order.

Rule 1: every state, and every way from one to another, is in TABLE.
Rule 2: TABLE knows no price, contract, clock or row. What it does not allow becomes an incident.
Rule 3: "in doubt", "frozen" and "halted" are conditions beside the state; they never hide in it.
"""

from __future__ import annotations

import enum
from typing import Any, Protocol

from transitions import Event, Machine, MachineError, Transition


class State(enum.StrEnum):
    """Where a symbol's one order is."""

    IDLE = "idle"  # no order of ours is alive or in doubt
    PLACING = "placing"  # an intent is committed; the venue has not shown it to us yet
    WORKING = "working"  # the venue shows the order live
    CANCELLING = "cancelling"  # a cancel is on its way
    FILLED = "filled"  # over, with fills: the books must agree before anything new


IDLE, PLACING, WORKING, CANCELLING, FILLED = State
ALIVE = (PLACING, WORKING, CANCELLING)

TABLE: tuple[tuple[str, tuple[State, ...], State, str], ...] = (
    # trigger      from                    to          means
    ("place",      (IDLE,),                PLACING,    "an intent is committed: it may be sent"),
    ("accept",     (PLACING,),             WORKING,    "the venue shows the order live"),
    ("accept",     (CANCELLING,),          CANCELLING, "it does exist; its cancel is on its way"),
    ("part_fill",  (PLACING, WORKING),     WORKING,    "some contracts, more to come"),
    ("part_fill",  (CANCELLING,),          CANCELLING, "the cancel races a fill"),
    ("reprice",    (WORKING,),             WORKING,    "an amend of the price is on its way"),
    ("cancel",     (PLACING, WORKING),     CANCELLING, "a cancel is on its way"),
    ("keep",       (CANCELLING,),          WORKING,    "the cancel changed nothing: it lives"),
    ("complete",   ALIVE,                  FILLED,     "the last contract"),
    ("cancelled",  ALIVE,                  IDLE,       "over, and nothing of it was filled"),
    ("cut_short",  ALIVE,                  FILLED,     "over, after some fills"),
    ("refuse",     (PLACING, CANCELLING),  IDLE,       "the venue said no, or no byte was sent"),
    ("void",       (PLACING, CANCELLING),  IDLE,       "proven: it never got there"),
    ("settle",     (FILLED,),              IDLE,       "all fills booked, the position agrees"),
    ("adopt",      (IDLE, FILLED),         WORKING,    "an own order thought over is found alive"),
)  # fmt: skip

TRIGGERS = tuple(dict.fromkeys(row[0] for row in TABLE))


class HasState(Protocol):
    """Whatever lives by the table."""

    state: State


class _Trigger(Event):
    """One trigger of the machine. Rows have no conditions, callbacks or queue to be searched."""

    def __init__(self, name: str, machine: Machine) -> None:
        super().__init__(name, machine)
        self.rows: dict[State, State] = {}

    def add_transition(self, transition: Transition) -> None:
        super().add_transition(transition)
        self.rows[State[str(transition.source)]] = State[str(transition.dest)]

    def trigger(self, model: Any, *_: object, **__: object) -> bool:
        to = self.rows.get(model.state)
        if to is None:
            raise MachineError(f"{model.state} allows no {self.name}")
        model.state = to
        return True


class _Machine(Machine):
    event_cls = _Trigger


# Symbols stay plain structs; auto_transitions would add ways round the table.
_MACHINE = _Machine(model=None, states=State, initial=None, auto_transitions=False)
for _trigger, _sources, _to, _means in TABLE:
    _MACHINE.add_transition(_trigger, list(_sources), _to)
_EVENTS = _MACHINE.events


class IllegalTransition(Exception):
    """The table has no row for this state and trigger; nothing was changed."""


def advance(model: HasState, trigger: str) -> None:
    """
    Move *model* along one row of TABLE.

    Raises:
        IllegalTransition: The table has no such row; the model is left as it was.
    """
    try:
        _EVENTS[trigger].trigger(model)
    except (MachineError, KeyError):
        raise IllegalTransition(f"{model.state} allows no {trigger}") from None
