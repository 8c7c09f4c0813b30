"""The table of states: it fits a screen, it is the only way, and what it forbids is an incident."""

from __future__ import annotations

import inspect
import itertools

import pytest

from reconciler.core import lifecycle
from reconciler.core.decisions import IncidentOpened, Transition
from reconciler.core.gate import missing
from reconciler.core.ledger import Ledger
from reconciler.core.lifecycle import TABLE, TRIGGERS, IllegalTransition, State, advance
from reconciler.core.turn import Turn
from tests.core.world import World

ALLOWED = {(source, trigger): to for trigger, sources, to, _ in TABLE for source in sources}
PAIRS = list(itertools.product(State, TRIGGERS))


def test_the_table_fits_one_screen() -> None:
    """All states and all ways between them can be read at once."""
    lines = inspect.getsource(lifecycle).splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("TABLE"))
    last = next(n for n, line in enumerate(lines) if n > first and line.startswith(")"))
    assert last - first - 1 <= 24
    assert max(len(line) for line in lines[first : last + 1]) <= 100
    assert len(State) == 5


def test_the_table_says_one_thing_of_each_pair() -> None:
    """No state and trigger have two outcomes, every row is explained, every state is left again."""
    assert len(ALLOWED) == sum(len(sources) for _, sources, _, _ in TABLE)
    assert all(means for *_, means in TABLE)
    assert {source for source, _ in ALLOWED} == set(State) == set(ALLOWED.values())


@pytest.mark.parametrize(("state", "trigger"), PAIRS)
def test_every_pair_is_a_row_or_an_incident(state: State, trigger: str) -> None:
    """What the table allows is a transition; the rest freezes the symbol and moves nothing."""
    turn = Turn(Ledger(), 1)
    book = turn.ledger.book("XBTUSD")
    book.state = state
    moved = turn.move(book, trigger)
    facts = turn.facts
    if (state, trigger) in ALLOWED:
        assert moved
        assert book.state is ALLOWED[state, trigger]
        assert [type(fact) for fact in facts] == [Transition]
        assert not book.frozen
    else:
        assert not moved
        assert book.state is state
        assert [fact.type for fact in facts if isinstance(fact, IncidentOpened)] == ["impossible"]
        assert "frozen" in missing(turn.ledger, book)
    assert book.symbol in turn.touched


def test_an_unknown_trigger_is_illegal_too() -> None:
    """A word that is in no row moves nothing."""
    book = Ledger().book("XBTUSD")
    with pytest.raises(IllegalTransition):
        advance(book, "to_filled")
    assert book.state is State.IDLE


def test_random_worlds_use_nearly_every_row() -> None:
    """No row is there for show: worlds within the assumptions reach all but the two for worse."""
    used: set[tuple[str, str]] = set()
    for seed in range(90):
        world = World(seed, harsh=seed % 3 == 0)
        world.live()
        used |= world.rows_used
    never = {("void", State.PLACING), ("adopt", State.IDLE), ("adopt", State.FILLED)}
    assert {(trigger, state) for state, trigger in ALLOWED} - used <= never
