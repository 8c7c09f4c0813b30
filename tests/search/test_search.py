"""Every order of events within bounds keeps every promise; without a guard, one breaks it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import msgspec
import pytest

from reconciler.core.ledger import Book, Doubt, Ledger, Order, Target
from reconciler.simulation import search_tidy as tidy
from reconciler.simulation.search import Report, first_state, replay, search
from reconciler.simulation.search_moves import make, moves
from reconciler.simulation.search_pages import forget, page_at
from reconciler.simulation.search_runs import ALL, QUICK, command_for, retell, show
from reconciler.simulation.search_state import Bounds, Bytes, decode, encode
from reconciler.simulation.search_world import World
from tests.search.guards import GONE, Gone

SMALL = Bounds(targets=(1,), orders=2, crashes=1, patience=0)


@cache
def _searched(name: str) -> Report:
    return search(QUICK[name])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", QUICK)
def test_every_order_of_events_keeps_every_promise(name: str) -> None:
    """
    Within these bounds no order of events doubles an order, loses or repeats a fill or passes a
    target; and from every state, once the faults stop, the target is reached.
    """
    report = _searched(name)
    print(show(name, report))
    assert report.violation is None, show(name, report)
    assert report.complete
    assert set(report.fates) == {"on target"}
    assert sum(report.fates.values()) == report.states


#: Those that the search is to put into every order; an order expires on the wire as one waits.
KINDS = {
    "target", "arrive", "rest", "take", "fill", "answer", "read", "order row", "execution row",
    "position row", "cancel", "wait", "lose placeorder", "lose cancelorder", "lose readorder",
    "crash", "restart",
}  # fmt: skip


def test_every_kind_of_move_is_made() -> None:
    """Nothing holds of a move that no state allowed."""
    made = [kind for name in ("crash-and-loss", "two-targets") for kind in _searched(name).made]
    assert set(made) >= KINDS


@pytest.mark.parametrize("gone", GONE, ids=lambda gone: gone.take.__name__)
def test_without_this_guard_some_order_of_events_breaks_a_promise(
    gone: Gone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search can fail: take one guard away, and it shows a shortest path to the harm."""
    gone.take(monkeypatch)
    report = search(gone.bounds, most=40_000)
    assert report.violation is not None, f"nothing was noticed: {report}"
    found = report.violation
    print(f"{gone.take.__name__}: {len(found.moves)} moves deep, after {report.states} states:")
    print("\n".join([found.what, *found.story]))
    assert gone.breaks in found.what


@pytest.mark.parametrize(
    ("broken", "what"),
    [({"hold": 4}, "O1"), ({"lag": 3}, "vanished_order")],
    ids=["A2: held longer than assumed, and not in order", "A3: reads lag more than assumed"],
)
def test_the_assumptions_are_needed(broken: dict[str, int], what: str) -> None:
    """A venue that does not keep to what is assumed of it is noticed, so the bounds do bind."""
    report = search(msgspec.structs.replace(SMALL, **broken))
    assert report.violation is not None
    assert what in report.violation.what


def test_a_path_can_be_told_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was broken is shown as a story, and one command breaks it again."""
    gone = next(gone for gone in GONE if gone.bounds is QUICK["crash"])
    gone.take(monkeypatch)
    report = search(gone.bounds)
    assert report.violation is not None
    shown = show("crash", report)
    assert "target +1" in shown
    assert "place r1 +1" in shown
    assert command_for("crash", report.violation.moves) in shown
    text = msgspec.json.encode(report.violation.moves).decode()
    assert retell("crash", text) == 1
    assert report.violation.what in capsys.readouterr().out


def test_the_same_search_in_any_process() -> None:
    """No set and no hash seed has a say in the order, the number or the names of states."""
    code = (
        "from reconciler.simulation.search import *; from hashlib import sha256\n"
        "s = Search(Bounds(targets=(1,), orders=2, drops=1, patience=0)); r = s.run()\n"
        "print(r.states, r.transitions, sha256(b''.join(s.known)).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


@pytest.mark.timeout(400)
def test_two_processes_find_what_one_finds() -> None:
    """The number of workers changes the time and nothing else."""
    one, two = search(SMALL, workers=1), search(SMALL, workers=2)
    assert (one.states, one.transitions, one.made) == (two.states, two.transitions, two.made)


def test_every_time_in_the_ledger_is_accounted_for() -> None:
    """A new time in the ledger is moved when time passes, or is known to change nothing."""
    for kind, moved in (
        (Ledger, tidy.LEDGER_TIMES),
        (Book, tidy.BOOK_TIMES),
        (Order, tidy.ORDER_TIMES),
        (Doubt, tidy.DOUBT_TIMES),
        (Target, ()),
    ):
        times = {name for name in kind.__struct_fields__ if name.endswith("_us")}
        assert times - set(moved) <= tidy.IDLE_TIMES, kind


def test_a_tidy_state_has_one_form() -> None:
    """Bytes to state and back are the same bytes, along a whole path of fair moves."""
    path = [("target", 0, 0)]
    for _ in range(12):
        state = replay(SMALL, path)
        data = encode(state)
        assert encode(decode(data)) == data
        path.append(moves(state, SMALL)[0])


def test_the_searches_have_names_of_their_own() -> None:
    """No two named searches are the same one."""
    assert len(set(map(str, ALL.values()))) == len(ALL)


def _reached(bounds: Bounds) -> list[Bytes]:
    """Every state, in any order."""
    first = first_state(bounds)
    known, ahead = {first}, [first]
    while ahead:
        data = ahead.pop()
        for move in moves(decode(data), bounds):
            state = decode(data)
            make(World(state, bounds), move)
            if (found := encode(state)) not in known:
                known.add(found)
                ahead.append(found)
    return list(known)


FORGETFUL = {
    "crash": Bounds(targets=(1,), orders=2, crashes=1, patience=0, leaps=False),
    "loss": Bounds(targets=(1,), orders=2, losses=1, patience=0, leaps=False),
    "two targets": Bounds(targets=(1, -1), orders=2, patience=0, leaps=False),
}


@pytest.mark.parametrize("name", FORGETFUL)
def test_what_is_forgotten_of_an_order_could_make_no_difference(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forget as one goes, or only at the end: the same states are reached."""
    bounds = FORGETFUL[name]
    known = {data.digest for data in _reached(bounds)}
    with monkeypatch.context() as patch:
        patch.setattr(tidy, "_dead", lambda state, silent: ())
        patch.setattr(tidy, "_forget_notes", lambda order: None)
        everything = _reached(bounds)
    forget()
    forgotten = set()
    for data in everything:
        state = decode(data)
        tidy.tidy(state, bounds)
        forgotten.add(encode(state).digest)
    assert len(everything) > len(known)
    assert forgotten == known


@pytest.mark.parametrize("name", FORGETFUL)
def test_what_is_no_news_may_come_at_once(name: str) -> None:
    """With every row and answer in every order, the core gets into the same ledgers."""
    slowly = FORGETFUL[name]
    at_once = msgspec.structs.replace(slowly, leaps=True)
    every, some = _reached(slowly), _reached(at_once)
    assert len(every) > 1.3 * len(some)
    assert _ledgers(every, slowly) == _ledgers(some, at_once)


def _ledgers(states: list[Bytes], bounds: Bounds) -> set[bytes]:
    """But for what depends on that which is still on its way."""

    def answered(ledger: Ledger) -> None:
        ledger.requests, ledger.next_request_id = {}, 1
        for book in ledger.books.values():
            book.position_id = min(book.position_id, 1)
            for order in book.orders.values():
                order.cancel_id, order.read_id = 0, min(order.read_id, 1)
                if order.status in tidy.OVER:  # since when is forgotten when no row is on its way
                    order.over_venue_us = 0

    pages = {data.page for data in states}
    return {tidy.plain(page_at(data).form("answered", answered), bounds).data for data in pages}
