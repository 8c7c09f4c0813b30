"""Commands beside a running service, its orderly stop, and the demo: real processes on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from reconciler.journal import History
from reconciler.paper import PaperExchange

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "reconciler"]


def until(look, within_s: float = 20):
    """What *look* finds, once it finds something."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


@pytest.fixture
def service(home, database):
    """A service on the default journal of an empty home, and an exchange for it."""
    with PaperExchange(symbols=["XBTUSD", "ETHUSD"]) as venue:
        (home / "reconciler.toml").write_text(
            f'[exchange]\nurl = "{venue.url}"\n[api]\nlisten = "127.0.0.1:0"\n'
        )
        process = subprocess.Popen(
            [*COMMAND, "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ.copy(), cwd=home,
        )  # fmt: skip
        try:
            until(Path(f"{database}.service").exists)
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def test_a_running_service_is_asked_and_stops_in_order(service, run, database):
    """Every command finds the service by the file beside the journal; SIGTERM ends it cleanly."""
    found = Path(f"{database}.service")
    assert stat.S_IMODE(found.stat().st_mode) == 0o600
    token = json.loads(found.read_text())["token"]
    until(lambda: json.loads(run("status", "-o", "json").out)["service"].get("in_sync"))

    words = ("set", "XBTUSD", "-300", "--policy", "urgent", "--wait", "--timeout", "30s")
    ended = run(*words)
    assert ended.code == 0
    assert re.search(r"XBTUSD  on target -300 after \d+\.\d s", ended.out)
    assert ended.err == ""
    refused = run("set", "XBTUSD", "350")
    assert (refused.code, refused.out) == (5, "")
    assert "+350 is not a whole multiple of the lot of 100" in refused.err
    (kept,) = json.loads(run("get", "refusals", "-o", "json").out)
    assert (kept["contracts"], kept["code"]) == (350, "not_a_lot")
    (target,) = json.loads(run("get", "targets", "-o", "json").out)
    assert target["contracts"] == -300
    assert run("set", "XBTUSD", "-400", "--if-version", "0").code == 5
    status = run("status")
    assert re.match(r"● running .* simulated/main .*stream live", status.out)
    assert re.search(r"XBTUSD +idle +-300 +-300 +0 ", status.out)
    price = json.loads(run("get", "fills", "-o", "json").out)[0]["price"]
    assert re.fullmatch(r"\d+(\.\d+)?", price)
    assert json.loads(run("history", "-o", "json").out)[0]["outcome"] == "held"

    assert run("run").code == 11
    assert Path(json.loads(run("db", "backup", "-o", "json").out)["path"]).is_file()
    halted = run("halt", "--reason", "odd prices")
    assert (halted.code, "0 orders rest" in halted.out) == (0, True)
    assert "HALTED" in run("status").out
    assert run("resume", "--yes").code == 0

    service.send_signal(signal.SIGTERM)
    out, err = service.communicate(timeout=15)
    assert (service.returncode, out) == (0, "")
    assert all(json.loads(line)["event"] for line in err.splitlines())
    assert token not in err
    assert not found.exists()
    assert "not running" in run("status").out
    assert "stopping" not in run("status").out
    rows = json.loads(run("status", "-o", "json").out)["symbols"]
    assert [row["waiting_for"] for row in rows] == ["", ""]
    assert json.loads(run("replay", "-o", "json").out)["differ"] == 0


def test_a_service_that_was_killed_leaves_a_journal_that_can_be_used(service, run, database):
    """The file of a dead service misleads nobody: the journal is asked instead."""
    service.kill()
    service.wait()
    assert Path(f"{database}.service").exists()
    assert "not running" in run("status").out
    ended = run("set", "XBTUSD", "300")
    assert ended.code == 0
    assert "no service is running" in ended.err


def test_the_demo_runs_by_itself_and_can_be_proved(run, home):
    """Targets, transitions and fills as lines, a summary, and a replay that differs nowhere."""
    demo = subprocess.run(
        [*COMMAND, "demo", "--for", "7s", "--every", "2s", "--seed", "7"],
        capture_output=True, text=True, timeout=60, cwd=home,
        env={**os.environ, "RECONCILER_API__LISTEN": "127.0.0.1:0"},
    )  # fmt: skip
    assert demo.returncode == 0, demo.stderr
    assert re.search(r"(?m)^\d\d:\d\d:\d\dZ  XBTUSD   target [+-]?\d+  \(demo\)$", demo.stdout)
    assert re.search(r"(?m)^\d\d:\d\d:\d\dZ  \w+ +idle → placing +\S", demo.stdout)
    assert re.search(r"(?m)^\d+ targets, \d+ reached; \d+ orders, [1-9]\d* fills", demo.stdout)
    database = home / ".local" / "state" / "reconciler" / "demo.db"
    told = json.loads(run("--database", str(database), "replay", "-o", "json").out)
    assert told["differ"] == 0
    assert told["events"] > 20


def test_the_demo_of_strategies_shows_what_led_to_what(run, home):
    """Signals of several strategies, one net target, orders, and who holds what: it all adds up."""
    demo = subprocess.run(
        [*COMMAND, "demo", "--strategies", "--plain", "--for", "8s"],
        capture_output=True, text=True, timeout=60, cwd=home,
        env={**os.environ, "RECONCILER_API__LISTEN": "127.0.0.1:0"},
    )  # fmt: skip
    assert demo.returncode == 0, demo.stderr
    assert re.search(r"(?m)^\d\d:\d\d:\d\dZ  XBTUSD   signal [+-]\S+  Random_XBTUSD_1", demo.stdout)
    assert re.search(
        r"(?m)^\d\d:\d\d:\d\dZ  XBTUSD   signal [+-]1  EmaCross_XBTUSD_1s_1", demo.stdout
    )
    database = home / ".local" / "state" / "reconciler" / "demo.db"
    with History.open(database) as journal:
        (position,) = (row["position"] for row in journal.status().dicts())
        net = journal.query("select sum(contracts) from v_shares where target_id ="
                            " (select max(target_id) from v_targets)").values[0][0]  # fmt: skip
        target = journal.query("select contracts from v_targets order by target_id desc").values[0][
            0
        ]
    held = re.findall(r"(?m)^\S+ +holds XBTUSD ([+-]?[\d,]+), made", demo.stdout)
    assert len(held) >= 2
    assert sum(int(contracts.replace(",", "")) for contracts in held) == position
    assert net == target
    wrong = run("demo", "--strategies", "--symbol", "ETHUSD")
    assert (wrong.code, "are on XBTUSD" in wrong.err) == (2, True)


def test_a_demo_puts_the_last_one_away(home):
    """The exchange forgot the old demo, so its journal gets another name and is kept."""
    from reconciler.cli.demo import _put_away
    from reconciler.journal import Journal

    database = home / "demo.db"
    for number in (1, 2):
        Journal.open(database, account="main").close()
        moved = _put_away(database)
        assert moved == home / f"demo-{number}.db"
        History.open(moved).close()
        assert not database.exists()
    Journal.open(database, account="main").close()  # nothing of the old one is in its way


def test_the_simulated_exchange_says_where_it_is(home):
    """The lines of `simulate` hold addresses and credentials; SIGTERM ends it."""
    venue = subprocess.Popen(
        [*COMMAND, "simulate", "--port", "0", "--symbols", "XBTUSD", "--fault", "lost-answer=0.5"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home,
    )  # fmt: skip
    try:
        lines = [venue.stdout.readline(), venue.stdout.readline()]
        with urllib.request.urlopen(f"{lines[0].split()[1][:-7]}/paper/faults", timeout=10) as told:
            faults = {row["name"]: row["probability"] for row in json.load(told)}
    finally:
        venue.terminate()
        venue.communicate(timeout=10)
    assert re.match(
        r"REST +http://127\.0\.0\.1:\d+/api/v1 +key sim-key +secret sim-secret", lines[0]
    )
    assert faults["lost-answer"] == 0.5
    assert re.match(r"websocket +ws://\S+ +1 instrument +1 fault kind on", lines[1])


@pytest.mark.parametrize(
    "words",
    [
        ("--fault", "nonsense"),
        ("--fault", "lost-answer=2"),
        ("--fault", "lost-answer=x"),
        ("--symbols", "DOGEUSD"),
    ],
)
def test_what_cannot_be_simulated_is_refused(run, words):
    """The name is told, with those that there are."""
    for command in ("simulate", "demo"):
        ended = run(command, *words, "--port", "0")
        assert (ended.code, ended.out) == (2, ""), ended
        assert words[1].partition("=")[0] in ended.err
        assert ended.err.startswith("error: ")


def test_the_picture_shows_state_and_last_transitions(home, database, capsys):
    """The live view is drawn from the journal, and its last picture needs no service."""
    from reconciler.cli.screen import Screen
    from reconciler.config import load
    from reconciler.service.door import TargetRequest
    from reconciler.service.offline import OfflineDoor
    from reconciler.service.options import Options

    settings = load(environ={}).core_settings()
    door = OfflineDoor(Options(database=database, settings=settings))
    door.set_target(TargetRequest(symbol="XBTUSD", contracts=-300, reason="\x1b[2J"))
    over = threading.Event()
    over.set()
    Screen(door, database, no_color=True).run(over)
    drawn = capsys.readouterr().out
    assert "stopped" in drawn
    assert re.search(r"XBTUSD .* idle .* -300 ", drawn)
    assert "the stream" in drawn


def test_ctrl_c_ends_a_demo_in_order(home):
    """One interrupt: orders are cancelled, the summary is printed, the exchange goes too."""
    demo = subprocess.Popen(
        [*COMMAND, "demo", "--every", "1s"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home,
        env={**os.environ, "RECONCILER_API__LISTEN": "127.0.0.1:0"}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert demo.stdout is not None
    while "idle → placing" not in (line := demo.stdout.readline()):
        assert line, demo.communicate()
    os.killpg(demo.pid, signal.SIGINT)
    out, err = demo.communicate(timeout=15)
    assert demo.returncode == 0, err
    assert re.search(r"(?m)^\d+ targets, .* orders", out)
    database = home / ".local" / "state" / "reconciler" / "demo.db"
    with History.open(database) as journal:
        statuses = {row["status"] for row in journal.rows("v_orders", limit=0).dicts()}
    assert not statuses & {"intended", "working", "in_doubt"}
