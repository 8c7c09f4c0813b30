"""Whole lives in a simulated world: every promise is kept, and the same seed is the same life."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.core.turn import Turn
from reconciler.simulation.memory import MemoryJournal
from reconciler.simulation.realfile import FileJournal
from reconciler.simulation.runs import (
    Figures,
    command,
    live,
    live_batch,
    muted_of,
    netted,
    older,
    story,
)
from reconciler.simulation.weather import BROKEN_EVERY, MIXED_FROM, NETTED_FROM, PEOPLED_FROM
from reconciler.simulation.world import World
from tests import drawn

SEEDS = Path(__file__).with_name("seeds.txt")
ONCE_BROKEN = [int(line.split()[0]) for line in SEEDS.read_text().splitlines() if line[0] != "#"]
#: Not repaired yet: seed and how it fails. No part of the source that seeds are drawn from.
OPEN = {
    int(line.split()[0]): line.split(maxsplit=1)[1].strip()
    for line in SEEDS.with_name("open.txt").read_text().splitlines()
    if line[0] != "#"
}
#: Fresh seeds: of each 16 one is hours long, of each 50 one on a disk, of each eight one with
#: strategies.
PARTS, PART = 20, 45
OLDER = 53  # and in each part so many without tight limits and tables, which cost two thirds
NETTED = 2  # and so many with nothing but strategies, which are twice as dear: 2,000 lives in all
SAMPLED, SAMPLE = 4, 25  # in so many parts so many are lived again in another process: a twentieth
FROM = "RECONCILER_SEEDS_FROM"  # in the environment: lives that were, instead of fresh ones
TRACES = """
import sys
from reconciler.simulation.runs import live
for seed in map(int, sys.argv[1:]):
    print(seed, live(seed).trace)
"""


def first_seed() -> int:
    """Others for every state of the source."""
    if FROM in os.environ:
        return int(os.environ[FROM])
    return PEOPLED_FROM + drawn.seed("lives") // 1_000 * 1_000


def other_traces(seeds: list[int], hash_seed: int) -> dict[int, str]:
    """The hashes of their journals' last rows, lived in a process with another hash seed."""
    ran = subprocess.run(
        [sys.executable, "-c", TRACES, *map(str, seeds)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (line.split() for line in ran.stdout.splitlines())
    return {int(seed): trace for seed, trace in pairs}


FIRST = first_seed()


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_a_seed_that_once_broke_a_promise_keeps_it_now(seed: int) -> None:
    """What was found once does not come back."""
    assert live(seed).error == ""


@pytest.mark.parametrize("seed", OPEN)
def test_a_seed_that_is_not_repaired_yet_fails_as_it_is_known_to(seed: int) -> None:
    """Whoever repairs it takes it from this list into seeds.txt."""
    assert OPEN[seed] in live(seed).error


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_fresh_lives_keep_every_promise(part: int) -> None:
    """
    In storms, in quiet hours and at a venue that is not as we assume it, no promise is broken.

    And the same seed is the same life in another process, whatever its hash seed (D1).

    Other seeds for every state of the source. To live others, set RECONCILER_SEEDS_FROM.
    """
    figures = Figures(FIRST + part * PART, jobs=1)
    print(f"{FROM}={FIRST}")
    lives = live_batch(figures.first, PART) + live_batch(netted(FIRST + part * NETTED), NETTED)
    lives += live_batch(older(FIRST + part * OLDER), OLDER)
    for life in lives:
        figures.take(life)
        if life.error and life.seed not in OPEN:
            pytest.fail(story(life))
    print(figures.table())
    assert figures.total["simulated_s"] > 15 * 3_600
    assert figures.total["steps"] > 25_000
    if part < SAMPLED:
        sampled = lives[2 :: len(lives) // SAMPLE][:SAMPLE]  # a quiet one, too
        sample = {life.seed: life.trace for life in sampled}
        assert len(sample) == SAMPLE
        assert other_traces(list(sample), hash_seed=part + 1) == sample


@pytest.mark.parametrize("seed", [MIXED_FROM, MIXED_FROM + 50, MIXED_FROM + 100])
def test_a_life_on_the_disk_is_the_life_in_memory(seed: int) -> None:
    """What the real journal makes of a life is row for row what the simulation's makes of it."""
    on_disk = live(seed, lambda seed: World(seed, journal=FileJournal()))
    in_memory = live(seed, lambda seed: World(seed, journal=MemoryJournal(thorough=True)))
    assert (on_disk.error, in_memory.error) == ("", "")
    assert (on_disk.trace, on_disk.steps) == (in_memory.trace, in_memory.steps)


def test_strategies_are_netted_and_policies_judged() -> None:
    """What never happens proves nothing: targets of portfolios, prices that were worked out."""
    worlds = [World(seed) for seed in range(NETTED_FROM, NETTED_FROM + 6)]
    for world in worlds:
        world.live()
    assert sum(world.desks.nets.moved for world in worlds) > 20
    assert sum(world.oracle.worked.shown for world in worlds) > 1


def test_people_decide_and_ask() -> None:
    """Settled by each rule and by a person; money, files, plans, and numbers that were refused."""
    worlds = [World(PEOPLED_FROM + number) for number in (1, 11, 13)]
    for world in worlds:
        world.live()
    signed = {who for world in worlds for who in world.oracle.settled.by}
    seen = {what for world in worlds for what in world.oracle.asked.seen}
    assert signed == {"on_mismatch = adopt", "on_mismatch = trade_back", "ann"}
    assert seen >= {"accepted", "needs_confirmation", "files", "files refused", "plans"}


def test_a_journal_without_a_fence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended process that wakes and can still write breaks R5, so the takeovers are real."""
    guarded = MemoryJournal.record

    def unguarded(self: MemoryJournal, steps: list[object], epoch: int) -> int:
        return guarded(self, steps, self.epoch)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryJournal, "record", unguarded)
    lives = (live(seed) for seed in range(MIXED_FROM, MIXED_FROM + 200))
    assert any(life.invariant == "R5" for life in lives)


def test_a_broken_assumption_that_nobody_is_told_of_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the account is never frozen, a venue that breaks A1 to A3 breaks a life."""
    monkeypatch.setattr(Turn, "freeze_account", lambda *_: None)
    first = MIXED_FROM + (11 - MIXED_FROM) % BROKEN_EVERY
    lives = (live(seed) for seed in range(first, first + 20 * BROKEN_EVERY, BROKEN_EVERY))
    assert any(life.invariant == "detection" for life in lives)


def test_the_command_of_a_failure_names_what_it_mutes() -> None:
    """What is printed for people is understood again."""
    muted = frozenset({("crash_us", 0), ("lose_answer", 3)})
    words = command(42, muted).split()
    assert words[-3:] == ["42", "--mute", "crash_us,lose_answer:3"]
    assert muted_of(words[-1]) == muted
