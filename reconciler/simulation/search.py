"""
Exhaustive search: every order of events within bounds, around the real `step`.

Breadth first, so that the first path found to a broken promise is a shortest one. A state is known
by the hash of its canonical bytes; the bytes themselves are kept for the frontier only.
Which searches are made, and the command, are in `search_runs`.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from reconciler.simulation import search_judge, search_moves, search_story
from reconciler.simulation.search_moves import Move
from reconciler.simulation.search_pages import forget
from reconciler.simulation.search_state import Bounds, Bytes, State, decode, encode
from reconciler.simulation.search_world import World, opening

CHUNK = 200  # states that a worker takes at once
SETTLES_WITHIN = 600  # fair moves, once no fault is left


class Expanded(NamedTuple):
    """What may follow on one state."""

    digests: bytes  # 16 bytes for each move
    new: list[tuple[int, Bytes]]  # move number, and a state that this worker had not seen
    end: str  # why a path may rest here
    broken: str  # by the last of the moves
    beyond: bool
    made: list[str]  # the kind of each move


class Violation(NamedTuple):
    """A shortest path to a broken promise."""

    what: str
    moves: list[Move]
    story: list[str]


class Report(NamedTuple):
    """What was searched, and what was found."""

    bounds: Bounds
    states: int
    transitions: int
    depth: int  # of the deepest state
    seconds: float
    complete: bool
    beyond: int  # states where one order more was wanted than the bounds allow
    fates: dict[str, int]  # where the fair continuations of all states end
    violation: Violation | None
    made: dict[str, int]  # how often each kind of move was made

    def __str__(self) -> str:
        whole = "complete" if self.complete else "INCOMPLETE"
        fates = ", ".join(f"{count:,} {fate}" for fate, count in sorted(self.fates.items()))
        made = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.made.items()))
        return (
            f"{self.states:,} states, {self.transitions:,} transitions, depth {self.depth}, "
            f"{self.seconds:.1f} s, {whole}; {self.beyond:,} wanted an order more; ends: {fates}; "
            f"moves: {made}"
        )


class Worker:
    """Expands states. Remembers which it has handed over, and hands nothing over twice."""

    def __init__(self, bounds: Bounds, fold_one_in: int) -> None:
        self.bounds = bounds
        self.fold_one_in = fold_one_in
        self.sent: set[bytes] = set()

    def expand(self, data: Bytes) -> Expanded:
        """Make every move that *data* allows."""
        bounds, sent = self.bounds, self.sent
        state = decode(data)
        end = search_judge.end_of(state, bounds)
        digests, made = bytearray(), list[str]()
        new: list[tuple[int, Bytes]] = []
        for number, move in enumerate(search_moves.moves(state, bounds)):
            after = decode(data)
            try:
                search_moves.make(World(after, bounds, self.fold_one_in), move)
            except Exception as error:  # whatever the core trips over is a finding
                broken = f"{type(error).__name__}: {error}"
                return Expanded(bytes(digests), new, end, broken, state.beyond, made)
            found = encode(after)
            digest = found.digest
            digests += digest
            made.append(move[0])
            if digest not in sent:
                sent.add(digest)
                new.append((number, found))
        return Expanded(bytes(digests), new, end, "", state.beyond, made)


_worker: Worker


def _begin(bounds: Bounds, fold_one_in: int) -> None:
    global _worker
    _worker = Worker(bounds, fold_one_in)


def _expand(chunk: list[Bytes]) -> list[Expanded]:
    return [_worker.expand(data) for data in chunk]


class Search:
    """
    One search.

    Args:
        bounds: How much may happen.
        workers: Processes; 1 searches in this one.
        most: Give up after so many states.
        fold_one_in: How many moves go by for each whose events are also folded (R1); 0: none.
    """

    def __init__(
        self, bounds: Bounds, workers: int = 1, most: int = 50_000_000, fold_one_in: int = 16
    ) -> None:
        self.bounds = bounds
        self.workers = workers
        self.most = most
        self.fold_one_in = fold_one_in
        self.known: dict[bytes, int] = {}
        self.parents = array("l")  # each state's
        self.by = array("H")  # the number of the move that led to it from there
        self.fair = array("l")  # where the fair move leads; itself: to nothing new
        self.ends: dict[int, str] = {}
        self.made: Counter[str] = Counter()
        self.transitions = self.depth = self.beyond = 0

    def run(self) -> Report:
        """Search; then follow every state's fair moves to where they end."""
        began = time.monotonic()
        violation, complete = self._breadth_first()
        fates: dict[str, int] = {}
        if violation is None and complete:
            fates, violation = self._fates()
        return Report(
            self.bounds,
            len(self.known),
            self.transitions,
            self.depth,
            time.monotonic() - began,
            complete and violation is None,
            self.beyond,
            fates,
            violation,
            dict(self.made),
        )

    # -- the search --------------------------------------------------------------------------------

    def _breadth_first(self) -> tuple[Violation | None, bool]:
        first = first_state(self.bounds)
        self._learn(first.digest, 0, 0)
        frontier = [first]
        base = 0  # the number of the frontier's first state
        with _pool(self.workers, self.bounds, self.fold_one_in) as expand:
            while frontier:
                if len(self.known) > self.most:
                    return None, False
                following: list[Bytes] = []
                # Those that hold the same ledger one after the other: it is worked out once.
                order = sorted(range(len(frontier)), key=lambda index: frontier[index].page)
                results = expand([frontier[index] for index in order])
                for index, result in zip(order, results, strict=True):
                    if result.broken:
                        return self._violation(base + index, result), False
                    self._take_in(base + index, result, following)
                base += len(frontier)
                frontier = following
                self.depth += bool(frontier)
        return None, True

    def _learn(self, digest: bytes, parent: int, move: int) -> None:
        self.known[digest] = len(self.known)
        self.parents.append(parent)
        self.by.append(move)
        self.fair.append(-1)

    def _take_in(self, number: int, result: Expanded, following: list[Bytes]) -> None:
        digests, known = result.digests, self.known
        self.transitions += len(digests) // 16
        self.made.update(result.made)
        for move, data in result.new:
            digest = digests[16 * move : 16 * move + 16]
            if digest not in known:
                self._learn(digest, number, move)
                following.append(data)
        if digests:
            self.fair[number] = known[digests[:16]]
        self.beyond += result.beyond
        if result.end:
            self.ends[number] = result.end

    def path(self, number: int) -> list[Move]:
        """The moves that lead to a state."""
        numbers = []
        while number:
            numbers.append(self.by[number])
            number = self.parents[number]
        state, path = opening(self.bounds), []
        moves = [first_move()]
        for which in [0, *reversed(numbers)]:
            path.append(moves[which])
            search_moves.make(World(state, self.bounds), moves[which])
            state = decode(encode(state))
            moves = search_moves.moves(state, self.bounds)
        return path

    def _violation(self, number: int, result: Expanded) -> Violation:
        path = self.path(number)
        state = replay(self.bounds, path)
        path.append(search_moves.moves(state, self.bounds)[len(result.digests) // 16])
        story, _ = search_story.tell(self.bounds, path)
        return Violation(result.broken, path, story)

    # -- where it all ends -------------------------------------------------------------------------

    def _fates(self) -> tuple[dict[str, int], Violation | None]:
        """Every state's fair moves come to an end that has a name; and how often to which."""
        fate: list[str] = [""] * len(self.known)
        for number in range(len(fate)):
            chain, here = [], number
            on_it: set[int] = set()
            while not fate[here] and here not in on_it:
                chain.append(here)
                on_it.add(here)
                if here in self.ends:
                    fate[here] = self.ends[here]
                elif self.fair[here] < 0 or self.fair[here] in on_it:
                    fate[here] = self._settle(here)
                else:
                    here = self.fair[here]
            end = fate[here]
            if end.startswith("stuck"):
                path = self.path(here)
                return {}, Violation(f"V1: {end}", path, search_story.tell(self.bounds, path)[0])
            for passed in chain:
                fate[passed] = end
        return dict(Counter(fate)), None

    def _settle(self, number: int) -> str:
        """Beyond the bounds, or when only a regular audit helps: go on alone, by the real clock."""
        bounds = msgspec.structs.replace(self.bounds, orders=10_000)
        state = replay(self.bounds, self.path(number))
        for _ in range(SETTLES_WITHIN):
            state.beyond = False
            end = search_judge.end_of(state, bounds)
            if end:
                return end
            try:
                search_moves.make(
                    World(state, bounds), search_moves.moves(state, bounds)[0], real=True
                )
            except Exception as error:
                return f"stuck: {type(error).__name__}: {error}"
            state = decode(encode(state))
        return f"stuck: {state.book.state}, {state.book.position:+d}, {state.book.frozen}"


class _pool:
    """Expands frontiers, in this process or in several."""

    def __init__(self, workers: int, bounds: Bounds, fold_one_in: int) -> None:
        self.workers, self.given = workers, (bounds, fold_one_in)

    def __enter__(self) -> _pool:
        self.alone = Worker(*self.given) if self.workers == 1 else None
        gc.disable()  # what refers to itself, `forget` takes apart
        if self.alone is None:
            context = multiprocessing.get_context("fork")  # with whatever guard a test took away
            self.pool = context.Pool(self.workers, _begin, self.given)
        return self

    def __exit__(self, *_: object) -> None:
        gc.enable()
        if self.alone is None:
            self.pool.terminate()
            self.pool.join()

    def __call__(self, frontier: list[Bytes]) -> Iterator[Expanded]:
        if self.alone is not None:
            yield from map(self.alone.expand, frontier)
            return
        states = iter(frontier)
        chunks = iter(lambda: list(islice(states, CHUNK)), [])
        for results in self.pool.imap(_expand, chunks):
            yield from results


def first_move() -> Move:
    """Somebody wants the first target."""
    return "target", 0, 0


def first_state(bounds: Bounds) -> Bytes:
    """Where every search begins."""
    return encode(replay(bounds, [first_move()]))


def replay(bounds: Bounds, moves: list[Move]) -> State:
    """The state that *moves* lead to."""
    forget()  # the core may be another one by now
    state = opening(bounds)
    for move in moves:
        search_moves.make(World(state, bounds), move)
        state = decode(encode(state))
    return state


def search(bounds: Bounds, workers: int = 1, **more: int) -> Report:
    """Search everything within *bounds*."""
    return Search(bounds, workers, **more).run()
