"""The error tree: every error says what to do next, and ends a command with a known number."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from reconciler import errors
from reconciler.errors import LimitExceeded, ReconcilerError, Refused

EXIT_CODES = {
    "ReconcilerError": 1,
    "UsageError": 2,
    "ConfigError": 3,
    "NotFound": 4,
    "Refused": 5,
    "Unauthorized": 5,
    "StaleVersion": 5,
    "LimitExceeded": 5,
    "Halted": 5,
    "UnknownSymbol": 5,
    "UnknownStrategy": 5,
    "AlreadyRuns": 5,
    "NotALot": 5,
    "NeedsConfirmation": 5,
    "CannotDecide": 5,
    "KeyReused": 5,
    "NeedsLive": 5,
    "PlanExpired": 5,
    "PlanMoved": 5,
    "Differs": 6,
    "WaitTimeout": 7,
    "Unreachable": 8,
    "InDoubt": 9,
    "SchemaError": 10,
    "NotLeader": 11,
    "Broken": 12,
    "JournalError": 1,
    "ProtocolError": 1,
    "StorageFault": 1,
}
TREE = {
    name: item
    for name, item in vars(errors).items()
    if inspect.isclass(item) and issubclass(item, ReconcilerError)
}


def test_every_error_has_the_exit_code_that_is_promised():
    """A script may trust the exit codes: none moves, appears or goes away unnoticed."""
    assert {name: error.exit_code for name, error in TREE.items()} == EXIT_CODES


def test_a_code_names_one_error():
    """A program that reads ``code`` knows which error it was."""
    codes = [error.code for error in TREE.values()]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("name", TREE)
def test_the_drawing_shows_every_error_where_it_hangs(name):
    """The tree at the top of the module is the tree."""
    line = next(line for line in errors.__doc__.splitlines() if re.search(rf"(^|─ ){name}\b", line))
    depth = len(TREE[name].mro()) - len(ReconcilerError.mro())
    assert line.index(name) == 4 * depth
    number = re.search(r" (\d+)   ", line)
    parent = TREE[name].__base__.exit_code if depth else None
    assert (int(number[1]) if number else parent) == TREE[name].exit_code


@pytest.mark.parametrize("error", TREE.values(), ids=TREE)
def test_says_what_happened_and_what_to_do_next(error):
    """The message ends with a next step, the docstring of the class too."""
    raised = error("XBTUSD: it went wrong")
    assert str(raised) == f"XBTUSD: it went wrong. {error.advice}"
    assert error.advice.endswith(".")
    assert ":" in error.__doc__.strip().splitlines()[0]


def test_the_caller_may_know_a_better_next_step_or_none():
    """A next step given with the error stands in for that of the class; an empty one is none."""
    assert str(Refused("It is closed.", next_step="Wait for Monday.")) == (
        "It is closed. Wait for Monday."
    )
    assert str(Refused("It is closed.", next_step="")) == "It is closed."


def test_carries_its_values_by_name_also_across_processes():
    """The values come along for programs, and survive a trip to another process."""
    error = LimitExceeded("XBTUSD target +12000 is above 10000", symbol="XBTUSD", limit=10_000)
    again = pickle.loads(pickle.dumps(error))
    assert again.fields == error.fields == {"symbol": "XBTUSD", "limit": 10_000}
    assert str(again) == str(error)
    assert isinstance(again, Refused)
