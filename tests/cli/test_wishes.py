"""`apply`, `plan`, `forget`, `schedule` and the modes with no service: the journal's own door."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from reconciler.cli import parse
from reconciler.core.settings import Settings
from reconciler.errors import UsageError
from reconciler.journal import Journal
from reconciler.service.offline import OfflineDoor
from reconciler.service.options import Options


def rows(database, query):
    with closing(sqlite3.connect(database)) as db:
        return db.execute(query).fetchall()


def test_a_file_is_applied_whole_or_not_at_all(run, database, tmp_path):
    """One commit; the same again changes nothing; a bad line refuses the file and is kept."""
    path = tmp_path / "targets.toml"
    path.write_text('source = "trend"\n[targets]\nXBTUSD = 300\nETHUSD = -40\n')
    ended = run("apply", "-f", str(path))
    assert (ended.code, ended.out) == (
        0, "XBTUSD  +300   version 1\nETHUSD   -40   version 1\n2 symbols, 2 changed\n",
    )  # fmt: skip
    ended = run("apply", "-f", str(path))
    assert ended.out == "XBTUSD  +300   unchanged\nETHUSD   -40   unchanged\n2 symbols, 0 changed\n"
    path.write_text("[targets]\nXBTUSD = 500\nETHUSD = -99999\n")
    ended = run("apply", "-f", str(path))
    assert (ended.code, ended.out) == (5, "")
    assert "ETHUSD target -99999 is above max_position_contracts" in ended.err
    assert rows(database, "SELECT symbol, contracts, code FROM refusals") == [
        ("ETHUSD", -99999, "limit_exceeded")
    ]
    path.write_text("[targets]\nXBTUSD = 500\n")
    ended = run("apply", "-f", str(path), "--prune")
    assert "XBTUSD  +300 → +500   version 2" in ended.out
    assert "ETHUSD      -40 → 0   version 2" in ended.out
    assert rows(database, "SELECT symbol, contracts FROM targets ORDER BY target_id") == [
        ("XBTUSD", 300), ("ETHUSD", -40), ("XBTUSD", 500), ("ETHUSD", 0),
    ]  # fmt: skip
    moments = "SELECT version, count(DISTINCT set_us) FROM targets GROUP BY version"
    assert rows(database, moments) == [(1, 1), (2, 1)]


def test_status_tells_what_stops_it_though_no_service_runs(run, database):
    """As the ledger has it: a halt shortens no other, a mode takes the place of the one before."""
    said = (
        *("pause XBTUSD", "reduce-only XBTUSD --reason lunch", "halt", "halt --until 2h"),
        *("halt ETHUSD --until 1h", "halt ETHUSD --until 2h", "freeze ETHUSD", "flatten -y"),
    )
    for words in said:
        assert run(*words.split()).code == 0
    door = OfflineDoor(Options(database=database, settings=Settings(), durability="process"))
    told = json.loads(run("status", "-o", "json").out)["modes"]
    ours = door.status()["modes"]
    assert sorted(map(str, told)) == sorted(map(str, ours))
    assert len(told) == 4
    assert "reduce_only XBTUSD: lunch (cli" in run("status").out
    run("resume", "XBTUSD", "-y")
    assert len(json.loads(run("status", "-o", "json").out)["modes"]) == 3
    run("resume", "-y")
    assert json.loads(run("status", "-o", "json").out)["modes"] == door.status()["modes"] == []


def test_a_file_that_is_watched_is_applied_whenever_it_says_something_else(
    run, database, tmp_path, monkeypatch
):
    """Once it has stood for a second; what is refused is told once, and the targets before stay."""
    path = tmp_path / "targets.toml"
    both, half = "[targets]\nXBTUSD = 300\nETHUSD = 20\n", "[targets]\nXBTUSD = 300\n"
    looks = iter([both, both, half, both, "[targets]\nXBTUSD = 99999\n", None, None,
                  half.replace("00", "50"), None])  # fmt: skip

    def look(_: float) -> None:
        for text in looks:
            if text is not None:
                path.write_text(text)
            return
        raise KeyboardInterrupt

    monkeypatch.setattr("reconciler.cli.apply.time.sleep", look)
    look(1)
    ended = run("apply", "-f", str(path), "--watch", "--prune")
    assert ended.code == 130
    sets = rows(database, "SELECT symbol, contracts FROM targets ORDER BY target_id")
    assert sets == [("XBTUSD", 300), ("ETHUSD", 20), ("XBTUSD", 350), ("ETHUSD", 0)]
    assert ended.err.count("above max_position_contracts") == 1
    for wrong in (("-f", "-"), ("-f", str(path), "--wait"), ("--plan", "X")):
        assert run("apply", *wrong, "--watch").code == 2


def test_a_plan_without_a_service_sets_nothing_and_cannot_be_applied(run, database):
    """It shows what a target would change; there are no prices, and nobody remembers it."""
    ended = run("plan", "XBTUSD", "300", "-o", "json")
    shown = json.loads(ended.out)
    assert (shown["plan_id"], shown["rows"][0]["gap"], shown["changed"]) == ("", 300, 1)
    assert run("plan", "XBTUSD", "300", "--exit-code").code == 6
    assert run("plan", "XBTUSD", "99999").code == 5
    ended = run("apply", "--plan", "ABC")
    assert ended.code == 5
    assert "no service is running, so nobody remembers plan 'ABC'" in ended.err
    assert not database.parent.exists()


def test_who_only_looks_writes_nothing_and_waits_for_nobody(run, home, database):
    """A plan and the schedules are told of the journal, also while another process holds it."""
    assert run("schedule", "list").code == 8
    assert not database.parent.exists()
    assert run("set", "XBTUSD", "300").code == 0
    path = home / "day.toml"
    path.write_text('[[rows]]\nat = 2036-11-24T08:00:00Z\nsymbol = "XBTUSD"\ncontracts = 100\n')
    assert run("schedule", "set", "day", "-f", "day.toml").code == 0

    def bytes_of() -> dict[str, bytes]:
        files = sorted(database.parent.iterdir())
        return {one.name: one.read_bytes() for one in files if one.suffix != ".db-shm"}

    with Journal.open(database, account="main"):
        before = bytes_of()
        assert json.loads(run("schedule", "list", "-o", "json").out)[0]["name"] == "day"
        assert json.loads(run("schedule", "show", "day", "-o", "json").out)[0]["contracts"] == 100
        planned = json.loads(run("plan", "XBTUSD", "500", "-o", "json").out)
        assert [(row["target"], row["gap"]) for row in planned["rows"]] == [(500, 500)]
        assert bytes_of() == before


def test_a_mode_is_recorded_with_its_author_its_reason_and_its_end(run, database):
    """And a resume ends it; what is no mode, or has passed, is refused."""
    ended = run("pause", "XBTUSD", "--until", "2h", "--reason", "notice")
    assert ended.code == 0
    assert ended.out.startswith("XBTUSD  paused until 20")
    assert run("reduce-only").out.count("reduce-only; position +0") == 2
    assert run("freeze", "ETHUSD").out == "ETHUSD  frozen; position +0\n"
    assert run("freeze", "XBTUSD", "--until", "2h").out.startswith("XBTUSD  frozen until 20")
    assert run("flatten").code == 5  # nobody to confirm it
    assert run("flatten", "-y").out.count("target 0, until you resume; position +0") == 2
    assert "target 0, until 20" in run("flatten", "XBTUSD", "-y", "--until", "2h").out
    assert run("resume", "-y").code == 0
    kept = rows(database, "SELECT mode, symbol, reason, until_us IS NULL FROM modes ORDER BY seq")
    assert kept == [
        ("pause", "XBTUSD", "notice", 0),
        ("reduce_only", "", "", 1),
        ("freeze", "ETHUSD", "", 1),
        ("freeze", "XBTUSD", "", 0),
        ("flatten", "", "", 1),
        ("flatten", "XBTUSD", "", 0),
        ("resume", "", "", 1),
    ]
    assert all("cli" in by for (by,) in rows(database, "SELECT by FROM modes"))
    ended = run("pause", "--until", "2020-01-01")
    assert ended.code == 2
    assert "which has passed: it would end before it begins" in ended.err
    assert run("pause", "DOGE").code == 5


def test_a_flatten_is_a_target_of_zero_also_where_nobody_has_looked_yet(run, database):
    """The first command ever: what the account holds is not known, and is to be closed."""
    assert run("flatten", "XBTUSD", "-y", "--reason", "enough").code == 0
    kept = rows(database, "SELECT symbol, contracts, reason FROM targets ORDER BY symbol")
    assert kept == [("XBTUSD", 0, "enough")]
    assert run("flatten", "-y").code == 0
    assert rows(database, "SELECT symbol, contracts FROM targets ORDER BY symbol") == [
        ("ETHUSD", 0),
        ("XBTUSD", 0),
    ]


def test_a_target_that_is_forgotten_is_in_force_no_more(run, database):
    """A version that ends at once: the history says who forgot it, and why."""
    assert run("forget", "XBTUSD", "-y").code == 4
    run("set", "XBTUSD", "300")
    ended = run("forget", "XBTUSD", "-y", "--reason", "done")
    assert "the position of +0 is left as it is, unwatched" in ended.out
    kept = "SELECT version, outcome, asked, reason FROM targets ORDER BY version"
    assert rows(database, kept) == [
        (1, "replaced", None, ""), (2, "expired", "forget", "done"),
    ]  # fmt: skip


def test_a_schedule_is_set_shown_and_removed(run, tmp_path, database):
    """A circle, a past row or a symbol that nobody knows: refused, and the old one stays."""
    path = tmp_path / "day.csv"
    good = "symbol,contracts,at,name,after,by\nXBTUSD,300,2099-01-01T08:00:00Z,open,,\n"
    path.write_text(good + "XBTUSD,0,,,open,30m\n")
    ended = run("schedule", "set", "day", "-f", str(path))
    assert ended.out == "day  2 rows, the next at 2099-01-01T08:00:00.000Z\n"
    for line, says in (
        (
            "XBTUSD,0,,a,b,1m\nXBTUSD,0,,b,a,1m\n",
            "schedule day goes in a circle: a after b after a",
        ),
        (
            "XBTUSD,0,2020-01-01T08:00:00Z,,,\n",
            "schedule day, row 1: XBTUSD +0 would have been due",
        ),
        ("DOGE,0,,,open,1m\n", "schedule day, row 1: 'DOGE' is not one of the configured symbols"),
    ):
        path.write_text(good + line)
        ended = run("schedule", "set", "day", "-f", str(path))
        assert ended.code == 5
        assert says in ended.err
    assert len(rows(database, "SELECT text FROM refusals")) == 3
    assert "day      2     0  2099-01-01T08:00:00.000Z" in run("schedule", "list").out
    shown = json.loads(run("schedule", "show", "day", "-o", "json").out)
    assert [(row["at"], row["contracts"]) for row in shown] == [
        ("2099-01-01T08:00:00.000Z", 300), ("2099-01-01T08:30:00.000Z", 0),
    ]  # fmt: skip
    assert run("schedule", "remove", "day", "-y").out == "day  removed\n"
    assert run("schedule", "remove", "day", "-y").code == 4
    assert run("schedule", "show", "day").code == 4


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30m", "2026-11-01T12:30:00Z"),
        ("1h30m", "2026-11-01T13:30:00Z"),
        ("14:00Z", "2026-11-01T14:00:00Z"),
        ("11:59:30Z", "2026-11-02T11:59:30Z"),  # tomorrow
        ("2026-12-24", "2026-12-24T00:00:00Z"),
        ("2026-12-24T12:00Z", "2026-12-24T12:00:00Z"),
    ],
)
def test_a_moment_to_come_is_said_in_many_ways(text, moment):
    """In UTC, all of them; a time of day that has passed is tomorrow's."""
    noon_us = 1_793_534_400_000_000
    assert parse.until(text, noon_us) == moment


def test_a_time_of_day_that_was_is_the_last_one():
    """In UTC; one that is still to come is yesterday's."""
    noon_us, minute_us = 1_793_534_400_000_000, 60_000_000
    assert parse.moment_us("11:52Z", now_us=noon_us) == noon_us - 8 * minute_us
    assert parse.moment_us("12:00:00Z", now_us=noon_us) == noon_us
    assert parse.moment_us("12:01Z", now_us=noon_us) == noon_us + minute_us - 86_400_000_000
    with pytest.raises(UsageError, match="is not a time"):
        parse.moment_us("11:52", now_us=noon_us)


@pytest.mark.parametrize("text", ["soon", "14:00", "25:00Z", "2026-13-01", "-5m", "", "9999999w"])
def test_what_is_no_moment_is_refused(text):
    """Without a Z nobody knows whose clock is meant."""
    with pytest.raises(UsageError, match="is not a moment to come"):
        parse.until(text)
