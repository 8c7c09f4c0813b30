"""What every command promises: help, output, exit codes, options on either side."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from reconciler.core.lifecycle import TABLE
from reconciler.errors import StorageFault
from reconciler.journal import Journal
from reconciler.journal.lock import Lock

COMMANDS = [
    ("demo",), ("run",), ("simulate",), ("set",), ("wait",), ("halt",), ("resume",), ("status",),
    ("get",), ("history",), ("replay",), ("diagram",), ("version",), ("db", "upgrade"),
    ("db", "current"), ("db", "backup"), ("config", "check"), ("config", "show"),
    ("config", "path"), ("strategies", "list"), ("strategies", "show"), ("strategies", "start"),
    ("strategies", "stop"), ("strategies", "restart"), ("strategy", "run"),
    ("bundle",), ("state",),
]  # fmt: skip
GLOBALS = [
    "--config", "--database", "--api", "--account", "--output", "--no-color", "--quiet",
    "--verbose", "--yes", "--version",
]  # fmt: skip


def test_help_names_every_command_and_global_option(run):
    """What is promised can be found without a manual."""
    ended = run("--help")
    assert ended.code == 0
    assert all(re.search(rf"(?m)^  {words[0]}  ", ended.out) for words in COMMANDS)
    assert all(option in ended.out for option in GLOBALS)


@pytest.mark.parametrize("words", COMMANDS, ids="-".join)
def test_every_command_has_help(run, words):
    """Help says what a command does, on standard output, and succeeds."""
    ended = run(*words, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: reconciler {' '.join(words)}")
    assert run(*words, "-h").out == ended.out


@pytest.mark.parametrize("words", [("nonsense",), ("db", "nonsense"), ("get", "nonsense"), ("get",),
                                   ("status", "--nonsense"), ("-o", "xml", "status")])  # fmt: skip
def test_a_command_that_is_not_there_is_a_usage_error(run, words):
    """An unknown command, kind or option ends with 2."""
    ended = run(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")


@pytest.mark.parametrize("contracts", ["-300", "+300", "300", "0"])
def test_a_target_may_be_any_signed_number_without_dashes(run, contracts):
    """``set XBTUSD -300`` works as it stands, wherever the options are."""
    ended = run("set", "XBTUSD", contracts, "--reason", "trend", "-o", "json")
    told = json.loads(ended.out)
    assert ended.code == 0
    assert (told["contracts"], told["version"], told["changed"]) == (int(contracts), 1, True)
    row = json.loads(run("get", "targets", "-o", "json").out)[0]
    assert (row["contracts"], row["reason"], row["source"]) == (int(contracts), "trend", "cli")


def test_a_value_of_an_option_may_look_like_a_number(run):
    """What stands after an option is its value, not a target."""
    assert run("set", "XBTUSD", "-300", "--reason", "-5").code == 0
    assert json.loads(run("get", "targets", "-o", "json").out)[0]["reason"] == "-5"


def test_a_relative_target_is_absolute_at_once(run):
    """``--by`` counts from the target in force, and is recorded as a number of contracts."""
    run("set", "XBTUSD", "300")
    assert json.loads(run("set", "XBTUSD", "--by", "-500", "-o", "json").out)["contracts"] == -200


def test_a_target_with_a_time_to_live_says_when_it_ends(run):
    """The line of `set` holds all that was decided."""
    run("set", "XBTUSD", "300")
    line = run("set", "XBTUSD", "-400", "--ttl", "4h", "--on-expiry", "flatten").out
    assert re.fullmatch(
        r"XBTUSD  target -400  was \+300  change -700  version 2  expires 20\S+Z  "
        r"on_expiry flatten\n",
        line,
    )


def test_a_repeat_with_its_key_changes_nothing(run, stored):
    """A key makes a second try harmless; for another number it is refused."""
    run("set", "XBTUSD", "300", "--key", "k1")
    before = stored()
    again = json.loads(run("set", "XBTUSD", "300", "--key", "k1", "-o", "json").out)
    assert (again["changed"], again["version"], stored()) == (False, 1, before)
    assert run("set", "XBTUSD", "400", "--key", "k1").code == 5


def test_global_options_count_on_either_side(run, home):
    """Before and after the command means the same; after it wins."""
    other, third = home / "a" / "other.db", home / "b" / "third.db"
    assert run("--database", str(other), "set", "XBTUSD", "300").code == 0
    assert run("status", "--database", f"sqlite:///{other}", "-o", "name").out == (
        "symbol/XBTUSD\n"
    )
    assert run("--database", str(third), "status", "--database", str(other)).code == 0
    assert not third.exists()
    assert run("-q", "set", "ETHUSD", "5", "--database", str(other)).err == ""


def test_without_a_service_status_says_so(run):
    """The journal is read, and nobody takes it for live."""
    run("set", "XBTUSD", "300")
    ended = run("status")
    assert ended.code == 0
    assert "not running" in ended.out
    assert re.search(r"XBTUSD +idle +\+300 +0 +\+300 .*the stream", ended.out)
    told = json.loads(run("status", "-o", "json").out)
    assert told["service"]["running"] is False
    assert told["symbols"][0]["target"] == 300
    assert run("status", "NOPE").code == 4


def test_set_without_a_service_says_who_will_act(run):
    """The note is on standard error; the result alone is on standard output."""
    ended = run("set", "XBTUSD", "300")
    assert ended.out.count("\n") == 1
    assert "no service is running" in ended.err
    assert "reconciler run" in ended.err


@pytest.mark.parametrize("kind", ["targets", "positions", "orders", "executions", "runs", "daily",
                                  "equity"])  # fmt: skip
def test_a_listing_has_its_columns_in_every_form(run, kind):
    """JSON, JSON lines and CSV agree on rows and columns, also when there are none."""
    run("set", "XBTUSD", "300")
    run("set", "XBTUSD", "400")
    rows = json.loads(run("get", kind, "-o", "json").out)
    lines = [json.loads(line) for line in run("get", kind, "-o", "jsonl").out.splitlines()]
    table = list(csv.reader(io.StringIO(run("get", kind, "-o", "csv").out)))
    assert rows == lines
    assert len(table) == 1 + len(rows)
    assert all(list(row) == table[0] for row in rows)
    for form in ("table", "wide", "name"):
        assert run("get", kind, "-o", form).code == 0


def test_a_cell_of_csv_is_no_formula(run):
    """What a strategy calls its reason is text to every program; numbers stay numbers."""
    for number, reason in enumerate(("=1+1", "@SUM(A1)", "-2+3", "+x", "-5", "plain")):
        run("set", "XBTUSD", "--reason", reason, "--", str(-100 * (number + 1)))
    table = csv.DictReader(io.StringIO(run("get", "targets", "-o", "csv", "--reverse").out))
    assert [(row["reason"], row["contracts"]) for row in table] == [
        ("'=1+1", "-100"), ("'@SUM(A1)", "-200"), ("'-2+3", "-300"), ("'+x", "-400"),
        ("-5", "-500"), ("plain", "-600"),
    ]  # fmt: skip


def test_a_listing_can_be_cut_turned_and_chosen(run):
    """Limit, direction, symbol and time choose the rows."""
    for contracts in ("100", "200", "300"):
        run("set", "XBTUSD", contracts)
    run("set", "ETHUSD", "5")

    def contracts_of(*words: str) -> list[int]:
        return [
            row["contracts"] for row in json.loads(run("get", "targets", "-o", "json", *words).out)
        ]

    assert contracts_of("--symbol", "XBTUSD") == [300, 200, 100]
    assert contracts_of("-n", "2") == [5, 300]
    assert contracts_of("--reverse", "-n", "1") == [100]
    assert contracts_of("--since", "1h", "-n", "0") == [5, 300, 200, 100]
    assert contracts_of("--until", "1h") == contracts_of("--since", "2099-01-01") == []
    assert len(contracts_of("--since", "today")) == 4
    assert run("get", "targets", "--since", "yesteryear").code == 2
    assert contracts_of("--symbol", "ETHUSD", "--until", "1h") == []
    typo = run("get", "targets", "--symbol", "XBTUSDT")
    assert (typo.code, "'XBTUSDT' is not among the symbols (XBTUSD, ETHUSD)" in typo.err) == (
        4,
        True,
    )
    assert json.loads(run("history", "-o", "json").out) == (
        json.loads(run("get", "executions", "-o", "json").out)
    )


def test_wait_says_what_it_waits_for_and_ends_with_seven(run):
    """A wait that runs out names state, gap and reason."""
    run("set", "XBTUSD", "300")
    ended = run("wait", "XBTUSD", "--timeout", "1s")
    assert ended.code == 7
    assert re.search(
        r"XBTUSD  still idle after 1\.\d s: gap \+300, waiting for the stream", ended.err
    )
    assert run("wait", "XBTUSD", "--for", "idle", "--timeout", "1s").code == 0
    assert run("wait", "NOPE", "--timeout", "1s").code == 4
    assert run("wait", "XBTUSD", "--for", "godot").code == 2
    assert run("wait").code == 2


def test_resume_has_to_be_confirmed(run, stored):
    """Where nobody can be asked, only --yes ends a halt."""
    run("set", "XBTUSD", "300")
    assert run("halt", "--reason", "odd prices").code == 0
    before = stored()
    ended = run("resume")
    assert (ended.code, stored()) == (5, before)
    assert "--yes" in ended.err
    assert run("resume", "--yes").code == 0
    assert stored() > before


def test_replay_of_what_was_done_here_differs_nowhere(run):
    """The commands' own rows are part of the proof."""
    run("set", "XBTUSD", "300")
    run("halt")
    told = json.loads(run("replay", "-o", "json").out)
    assert (told["differ"], told["first_difference"]) == (0, None)
    assert told["events"] == json.loads(run("status", "-o", "json").out)["service"]["last_seq"]
    assert re.fullmatch(r"\d+ events, .* 0 differ, .* hash [0-9a-f]+\n", run("replay").out)


def test_the_diagram_is_the_table(run):
    """Every row of the table is an edge, in each format, and a symbol's state is marked."""
    run("set", "XBTUSD", "300")
    for form in ("mermaid", "dot", "text"):
        drawn = run("diagram", "--format", form).out
        assert all(trigger in drawn for trigger, *_ in TABLE)
    mermaid = run("diagram").out
    assert all(
        re.search(rf"(?m)^  {start.value} --> {end.value}: .*\b{trigger}\b", mermaid)
        for trigger, starts, end, _ in TABLE
        for start in starts
    )
    assert "class idle now" in run("diagram", "--symbol", "XBTUSD").out
    assert run("diagram", "--symbol", "NOPE").code == 4
    assert run("diagram", "--format", "crayon").code == 2


def test_the_database_can_be_looked_after(run, database):
    """Current, upgrade and backup say what they found and did."""
    run("set", "XBTUSD", "300")
    told = json.loads(run("db", "current", "-o", "json").out)
    assert told == {"path": str(database), "schema": told["needed"], "needed": told["needed"]}
    assert "nothing to do" in run("db", "upgrade").out
    copy = json.loads(run("db", "backup", "-o", "json").out)["path"]
    assert run("replay", "--database", copy).code == 0
    assert run("db", "backup", "--to", copy).code == 3


@pytest.mark.parametrize(("schema", "advice"), [("0000", "db upgrade"), ("9999", "newer")])
def test_a_database_of_another_schema_ends_with_ten(run, database, schema, advice):
    """Older or newer: which one, and what to do, and nothing is changed."""
    import sqlite3

    run("set", "XBTUSD", "300")
    with sqlite3.connect(database) as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (schema,))
    for words in (("status",), ("set", "XBTUSD", "400"), ("replay",)):
        ended = run(*words)
        assert ended.code == 10, words
        assert schema in ended.err
        assert advice in ended.err


def test_a_contradiction_in_the_journal_ends_with_twelve(run, database):
    """A row that does not follow from its event is found, and named by its seq."""
    import sqlite3

    run("set", "XBTUSD", "300")
    with sqlite3.connect(database) as db:
        db.execute("UPDATE targets SET contracts = 400")
    ended = run("replay")
    assert ended.code == 12
    assert re.search(r"event 3, targets", ended.err)


def test_real_money_has_to_be_said(run, monkeypatch):
    """Live needs both the configuration and --live; --live without it is refused too."""
    assert run("run", "--live").code == 2
    monkeypatch.setenv("RECONCILER_EXCHANGE__ENVIRONMENT", "live")
    ended = run("run")
    assert ended.code == 5
    assert "--live" in ended.err
    assert run("run", "--live").code == 3  # no credentials


def test_an_address_without_a_service_is_unreachable(run, monkeypatch):
    """--api needs a token, and somebody who answers."""
    assert run("--api", "http://127.0.0.1:9", "status").code == 2
    monkeypatch.setenv("RECONCILER_TOKEN", "canary-token")
    ended = run("--api", "http://127.0.0.1:9", "status")
    assert ended.code == 8
    assert "canary" not in ended.err


def test_a_second_service_on_a_journal_ends_with_eleven(run, database, home):
    """One writer: another `run` says who it is and what to do."""
    with Journal.open(database, account="main", mode="run"):
        (home / "reconciler.toml").write_text(
            '[api]\nlisten = "127.0.0.1:0"\n[exchange]\nurl = "http://127.0.0.1:9"\n'
        )
        ended = run("run", "--for", "1s")
    assert ended.code == 11
    assert re.search(r"in use by run, pid \d+", ended.err)


def test_a_command_waits_for_a_service_that_starts_and_not_for_one_that_hangs(run, database):
    """Who types `run &` and then `set` means just that; a lock of yesterday is told at once."""
    database.parent.mkdir(parents=True)
    lock = Lock.take(database, what="run")
    began = time.monotonic()
    threading.Timer(0.3, lock.release).start()
    assert run("set", "XBTUSD", "300").code == 0
    assert time.monotonic() - began > 0.3
    lock = Lock.take(database, what="run")
    os.utime(lock.path, (1, 1))
    hangs = run("set", "XBTUSD", "400")
    assert (hangs.code, "which does not answer" in hangs.err) == (8, True)
    lock.release()


def test_versions_are_told(run):
    """Program, schema, Python, SQLite and SQLAlchemy, for people and programs."""
    told = json.loads(run("version", "-o", "json").out)
    assert set(told) == {"reconciler", "schema", "python", "sqlite", "sqlalchemy"}
    assert told["reconciler"] in run("version").out
    assert told["reconciler"] in run("--version").out


def test_help_is_quick(home):
    """Help imports nothing heavy: no database, no server, no terminal library."""
    seen = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "reconciler", "--help"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert seen.returncode == 0
    heavy = {"rich", "sqlalchemy", "structlog", "requests", "starlette", "uvicorn", "alembic"}
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in seen.stderr.splitlines()}
    assert not heavy & imported


def test_a_reader_who_goes_away_is_no_error(home):
    """A closed pipe ends a command quietly."""
    done = subprocess.run(
        f"{sys.executable} -m reconciler diagram | true; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stdout.strip() in {"0", "141"}
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["diagram"], ["--help"], ["get", "targets", "-o", "csv"]])
def test_a_full_disk_under_the_output_is_told(run, home, words):
    """What could not be printed is an error that happens: one sentence, and a code."""
    run("set", "XBTUSD", "300")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "reconciler", *words],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=30,
        )  # fmt: skip
    assert done.stderr == (
        "error: what was to be printed could not be written: No space left on device."
        " Print it elsewhere.\n"
    )
    assert done.returncode == StorageFault.exit_code


def test_an_interrupted_wait_ends_with_the_signals_number(run, home):
    """SIGINT ends a client command with 130, and says nothing."""
    run("set", "XBTUSD", "300")
    waiting = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "wait", "XBTUSD"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy(),
    )  # fmt: skip
    time.sleep(2)
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=10)
    assert (waiting.returncode, out, err) == (130, "", "")
