"""A path of the search in the words of tests/stories, so that it can become a story there."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.simulation import search_moves
from reconciler.simulation.search_moves import Move
from reconciler.simulation.search_pages import forget
from reconciler.simulation.search_state import (
    UNIT_US,
    Bounds,
    Row,
    State,
    decode,
    encode,
    number_of,
)
from reconciler.simulation.search_views import hidden_at, position_of, view_of
from reconciler.simulation.search_world import World, opening

#: Moves that only the venue sees, and that a story can only mention.
_UNSEEN = {
    "arrive": "r{0} reaches the venue",
    "rest": "r{0} rests",
    "take": "r{0} rests and is filled at once",
    "kill": "r{0} is over as soon as it is there",
    "reject": "the engine rejects r{0}",
    "refuse": "r{0} is refused at the door",
    "fill": "{1} of r{0} are filled",
    "end": "the venue takes r{0} away",
    "drop": "the stream is dead",
    "crash": "the process is killed",
    "foreign": "somebody else trades",
}


def tell(bounds: Bounds, moves: Iterable[Move]) -> tuple[list[str], str]:
    """The lines of a story, and what was broken in the last of them; "" if nothing was."""
    forget()  # the core may be another one by now
    state = opening(bounds)
    lines: list[str] = []
    for move in moves:
        words = _words(state, bounds, move)
        world = World(state, bounds)
        broken = ""
        try:
            search_moves.make(world, move)
        except Exception as error:
            broken = f"{type(error).__name__}: {error}"
        then = ", ".join(say(decision) for decision in world.decided)
        comment = words.startswith("#")
        line = f"{words:<28}" + (f"{'  # ' if comment else ''}-> {then}" if then else "")
        lines.append(f"{line:<60}= {state.book.state}" if not comment else line)
        if broken:
            return lines, broken
        state = decode(encode(state))
    return lines, ""


def say(decision: d.AnyDecision) -> str:
    """A decision in the words of a story."""
    match decision:
        case d.PlaceOrder():
            reduce = " reduce" if decision.reduce_only else ""
            return f"place r{number_of(decision.cl_ord_id)} {decision.contracts:+d}{reduce}"
        case d.CancelOrder():
            return f"cancel r{number_of(decision.cl_ord_id)}"
        case d.ReadOrder():
            return f"read r{number_of(decision.cl_ord_id)}"
        case d.ReadPosition():
            return "read position"
    return type(decision).__name__.lower()


def _row(row: Row) -> str:
    return f"r{row.number} {row.status} {row.filled}"


def _words(state: State, bounds: Bounds, move: Move) -> str:
    """One move, before it is made."""
    name, first, second = move
    if name in _UNSEEN:
        return "# " + _UNSEEN[name].format(first, second)
    if name == "answer":
        return _answer(state, first)
    if name.startswith("lose "):
        kind = name.removeprefix("lose ")
        return {
            "placeorder": f"lost r{first}",
            "cancelorder": f"cancel lost r{first}",
            "readorder": f"read r{first} failed",
        }.get(kind, "# the look-up of the position is lost")
    if name in ("cancel", "queue cancel", "refuse cancel"):
        what = {"cancel": "reaches the engine", "queue cancel": "waits behind it"}
        return f"# the cancel of r{state.cancels[first].number} {what.get(name, 'is refused')}"
    hidden = hidden_at(state, second if name == "read" else first)
    world = World(state, bounds)
    match name:
        case "wait":
            return f"wait {UNIT_US // 1000:_}"
        case "target":
            return f"target {bounds.targets[state.targets]:+d}"
        case "order row":
            return f"row {_row(state.order_rows[0])}"
        case "execution row":
            number, index, _ = state.execution_rows[0]
            fills = state.post(number).fills if number else state.others
            whose = f"fill r{number}" if number else "foreign"
            return f"{whose} {fills[index].contracts:+d} x{number}.{index}"
        case "position row":
            return f"position {state.position_rows[0][0]:+d}"
        case "read":
            row = view_of(world, state.post(first), hidden)
            return f"read {_row(row)}" if row is not None else f"read r{first} empty"
        case "read position":
            return f"position {position_of(world, hidden):+d} read"
        case "notice":
            return "stream lost"
        case "sync":
            rows = [view_of(world, post, hidden) for post in state.posts]
            resting = [f" r{r.number}" for r in rows if r is not None and r.status not in e.OVER]
            return f"sync {position_of(world, hidden):+d}{''.join(resting)}"
        case "restart":
            return "restart"
    return f"# {name}"


def _answer(state: State, index: int) -> str:
    reply = state.replies[index]
    if reply.type == "placeorder":
        return f"ok {_row(reply.row)}" if reply.row is not None else f"refused r{reply.number}"
    if reply.outcome == e.Outcome.DONE and reply.row is not None:
        return f"cancelled r{reply.number} {reply.row.filled}"
    return (
        f"{'nothing' if reply.outcome == e.Outcome.NOTHING else 'cancel refused'} r{reply.number}"
    )
