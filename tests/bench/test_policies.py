"""The harness of the policy table: the same markets for all, an honest wire, nothing invented."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from reconciler.core.settings import Settings, default_policies
from tests.bench import policies
from tests.bench.policies import BEGIN, END, SYMBOL, Row, measure, run, settings_of, text_of, write
from tests.bench.policy_venue import LATENCY_MS, START_MS, PolicyVenue

QUICK = ("passive", "urgent", "ladder", "post", "last", "signal", "market")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return settings_of()


@pytest.fixture(scope="module")
def rows(settings) -> dict[str, Row]:
    return {row.policy: row for row in measure(QUICK, 4, 1, settings)}


def test_the_same_seed_is_the_same_run_to_the_last_digit(rows, settings):
    """A table that others can't make again proves nothing."""
    assert run("passive", 2, settings) == rows["passive"].runs[1]
    assert len({one.cost_bps for one in rows["passive"].runs}) == 4  # other seeds, other markets


def test_every_policy_has_the_same_markets_and_the_same_targets(rows):
    """They differ by what they do, and not by luck."""
    asked = {tuple(one.contracts for one in row.runs) for row in rows.values()}
    assert len(asked) == 1
    assert {one > 0 for one in asked.pop()} == {True, False}  # they buy and they sell


def test_every_policy_reaches_its_target(rows):
    """All of it, in a market where that can be done; `run` checks the way there."""
    for row in rows.values():
        assert [one.filled for one in row.runs] == [1.0] * 4
        assert all(one.held_s is not None and one.messages >= 1 for one in row.runs)


def test_who_crosses_pays_and_is_quick_and_who_waits_makes(rows):
    """What the two ways are for."""
    passive, urgent = rows["passive"].runs, rows["urgent"].runs
    assert all(one.maker == 1.0 for one in passive)
    assert all(one.maker == 0.0 and one.cost_bps > 0 for one in urgent)
    assert all(q.held_s < p.held_s for p, q in zip(passive, urgent, strict=True))


def test_nothing_is_known_or_done_before_it_has_travelled(rows):
    """A request there and its rows back take two latencies at least."""
    least_s = 2 * LATENCY_MS[0] / 1000
    assert all(one.held_s >= least_s for row in rows.values() for one in row.runs)
    venue = PolicyVenue(1, SYMBOL)
    venue.run_until(START_MS + LATENCY_MS[0] - 1)
    assert venue.quote(SYMBOL) is None  # its prices are on their way
    venue.run_until(START_MS + LATENCY_MS[1] + 50)
    assert venue.quote(SYMBOL) is not None


def test_contracts_that_came_from_nowhere_are_seen(settings, monkeypatch):
    """The check of the run can fail: a venue that books one contract too many is caught."""
    honest = PolicyVenue.position
    monkeypatch.setattr(PolicyVenue, "position", lambda venue: honest(venue) + 1)
    monkeypatch.setattr(policies, "HORIZON_S", 20)
    with pytest.raises(AssertionError, match="fills and position"):
        run("urgent", 1, settings)


def test_what_is_left_at_the_end_is_paid_for(settings, monkeypatch):
    """A policy that fills only what is cheap must not look cheap: the rest counts as taken."""
    monkeypatch.setattr(policies, "HORIZON_S", 0.01)  # not even the request has arrived
    one = run("urgent", 1, settings)
    assert (one.held_s, one.filled, one.maker) == (None, 0.0, 0.0)
    assert one.cost_bps > 0  # half the spread


def test_the_table_has_a_row_for_each_and_replaces_itself(rows, tmp_path):
    """Between its marks, and nowhere else."""
    text = text_of(list(rows.values()), "scripts/policies")
    assert "`urgent` against `passive`, same markets: +" in text
    assert all(f"| `{name}` |" in text for name in QUICK)
    page = tmp_path / "policies.md"
    page.write_text("# Policies\n\nbefore\n")
    write(page, text)
    write(page, text.replace("`passive`", "`other`"))
    written = page.read_text()
    assert written.count(BEGIN) == written.count(END) == 1
    assert ("before" in written, "`other`" in written, "`passive`" in written) == (
        True,
        True,
        False,
    )


def test_a_measurement_goes_on_where_it_was_interrupted(rows, settings, tmp_path, monkeypatch):
    """To the same result: what is kept is not measured again."""
    keep = tmp_path / "runs.jsonl"
    (half,) = measure(["urgent"], 2, 1, settings, keep=keep)
    whole = measure(["urgent"], 4, 1, settings, keep=keep)[0]
    assert half.runs == whole.runs[:2]
    assert whole == rows["urgent"]
    fewer = measure(["passive", "urgent"], 2, 1, settings, fewer={"urgent": 1}, keep=keep)
    assert [len(row.runs) for row in fewer] == [2, 1]
    monkeypatch.delattr(policies, "run")
    assert measure(["urgent"], 4, 1, settings, keep=keep) == [whole]


def test_what_other_code_has_measured_is_measured_again(settings, tmp_path, monkeypatch, capsys):
    """A table of two programs would tell of neither; what is kept of the first stays its own."""
    keep, made = tmp_path / "runs.jsonl", []

    def run(policy, seed, settings):
        made.append(seed)
        return policies.Run(seed, 50, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1)

    monkeypatch.setattr(policies, "run", run)
    measure(["urgent"], 2, 1, settings, keep=keep)
    other = msgspec.structs.replace(settings, default_policy="urgent")
    assert policies.code(other) != policies.code(settings)
    measure(["urgent"], 2, 1, other, keep=keep)
    assert "2 kept runs are of other code: measured again" in capsys.readouterr().err
    monkeypatch.setattr(policies, "code", lambda _: "edited")
    measure(["urgent"], 2, 1, settings, keep=keep)
    assert made == [1, 2] * 3
    monkeypatch.undo()
    measure(["urgent"], 2, 1, settings, keep=keep)
    assert made == [1, 2] * 3


def test_every_policy_that_is_built_in_can_be_measured():
    """A new one is measured without a change here."""
    known = default_policies()
    assert set(QUICK) <= set(known)
    with pytest.raises(SystemExit):
        policies.main(["--policy", "no-such-policy"])


def test_the_page_has_what_was_measured_of_every_policy():
    """A policy that is new or gone is seen here: make the table again with scripts/policies."""
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    measured = page.partition(BEGIN)[2].partition(END)[0]
    named = re.findall(r"(?m)^\| `(\w+)` \|", measured)
    assert sorted(named) == sorted(default_policies())
