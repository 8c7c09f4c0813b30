"""Bad input: one clear sentence with the value and what to do, the right code, nothing stored."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
from contextlib import closing

import pytest

from reconciler.journal import Journal
from reconciler.paper import PaperExchange

NO_NUMBERS = [
    "NaN", "nan", "inf", "1e3", "3000.0", "3_000", "3,000", "٣", "+-3", "--3", "0x10", "three",
    " 3", "3 ", "", "-", "+", "²", "−3", "9" * 400,
]  # fmt: skip


def one_sentence(err: str) -> str:
    """What stands on standard error, if it is one line that says error."""
    assert re.fullmatch(r"error: [^\n]+\n", err), err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_whole_number_of_contracts_is_refused_by_name(run, stored, text):
    """Only a sign and ASCII digits are contracts; nothing is rounded, trimmed or guessed."""
    ended = run("set", "XBTUSD", "--", text)
    assert (ended.code, ended.out, stored()) == (2, "", 0)
    assert f"'{text[:30]}" in one_sentence(ended.err)
    assert "digits" in ended.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("XBTUSD", "20000"), 5, "+20000 is above max_position_contracts = 10000"),
        (("XBTUSD", "-20000"), 5, "-20000 is above max_position_contracts = 10000"),
        (("XBTUSD", "9" * 18), 5, "is above max_position_contracts"),
        (("DOGEUSD", "5"), 5, "'DOGEUSD' is not one of the configured symbols (XBTUSD, ETHUSD)"),
        (("xbtusd", "5"), 5, "'xbtusd' is not one of"),
        (("ХBTUSD", "5"), 5, "is not one of"),  # a Cyrillic letter
        (("XBTUSD", "300", "--if-version", "7"), 5, "version 7 was to be replaced"),
        (("XBTUSD", "300", "--policy", "yolo"), 5, "no policy is called 'yolo'"),
        (("XBTUSD", "300", "--on-expiry", "explode"), 5, "on_expiry is 'explode'"),
        (("XBTUSD", "300", "--ttl", "4 hours"), 2, "'4 hours' is not a duration"),
        (("XBTUSD", "300", "--ttl", "0s"), 5, "ttl is 0 s"),
        (("XBTUSD", "300", "--by", "5"), 2, "one of CONTRACTS, --by, --notional and --percent"),
        (("XBTUSD",), 2, "one of CONTRACTS, --by, --notional and --percent"),
        ((), 2, "missing argument 'SYMBOL'"),
        (("XBTUSD", "300", "--tll", "4h"), 2, "--tll"),
        (("XBTUSD", "300", "-400"), 2, "-400"),
        (("XBTUSD", "300", "--if-version", "x"), 2, "--if-version"),
        (("XBTUSD", "300", "--reason", "caf\udce9"), 2, "reason is not text"),  # Latin-1 typed
        (("XBTUSD", "300", "--source", "\ud800"), 2, "source is not text"),
        (("XBTUSD", "300", "--key", "\udcff"), 2, "key is not text"),
    ],
)
def test_a_target_that_cannot_be_is_refused(run, stored, database, words, code, says):
    """A refusal names value and rule, has its exit code; what a rule refused is kept for audit."""
    ended = run("set", *words)
    assert (ended.code, ended.out) == (code, "")
    assert says.lower() in one_sentence(ended.err).lower()
    if code == 2:
        assert stored() == 0
    else:
        assert rows(database, "SELECT count(*) FROM targets") == [(0,)]
        [(symbol, text)] = rows(database, "SELECT symbol, text FROM refusals")
        assert symbol == words[0]
        assert says in text


def rows(database, query):
    with closing(sqlite3.connect(database)) as db:
        return db.execute(query).fetchall()


def test_an_older_version_is_refused_and_changes_nothing(run, database):
    """Whoever read version 1 does not overwrite version 2."""
    assert run("set", "XBTUSD", "300").code == 0
    assert run("set", "XBTUSD", "400", "--if-version", "1").code == 0
    ended = run("set", "XBTUSD", "500", "--if-version", "1")
    assert ended.code == 5
    assert "version 1 was to be replaced, but version 2 is in force" in one_sentence(ended.err)
    assert rows(database, "SELECT contracts FROM targets") == [(300,), (400,)]
    assert rows(database, "SELECT contracts, code FROM refusals") == [(500, "stale_version")]


def test_a_target_between_two_lots_is_refused_once_the_lot_is_known(run, home, database):
    """With the lot known, the sentence names it and the nearest multiple."""
    with PaperExchange(symbols=["XBTUSD"]) as venue:
        (home / "reconciler.toml").write_text(
            f'[exchange]\nurl = "{venue.url}"\nsymbols = ["XBTUSD"]\n[api]\nlisten="127.0.0.1:0"\n'
        )
        assert run("run", "--for", "1s", "-q").code == 0
    ended = run("set", "XBTUSD", "350")
    assert ended.code == 5
    assert "+350 is not a whole multiple of the lot of 100" in one_sentence(ended.err)
    assert "+300" in ended.err


def test_a_database_of_another_program_is_not_touched(run, database):
    """It is named for what it is, and stays byte for byte what it was."""
    database.parent.mkdir(parents=True, mode=0o700)
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    database.chmod(0o600)
    before = database.read_bytes()
    for words in (("set", "XBTUSD", "300"), ("status",), ("replay",), ("db", "upgrade"), ("halt",)):
        ended = run(*words)
        assert ended.code == 3, words
        assert "database of another program" in one_sentence(ended.err)
        assert "recipes" in ended.err
    assert database.read_bytes() == before


def test_what_only_reads_makes_no_journal(run, home):
    """Without a journal the commands that look say so, and create nothing."""
    for words in (("status",), ("get", "fills"), ("history",), ("replay",), ("db", "current")):
        ended = run(*words)
        assert ended.code == 8, words
        assert "there is no journal at" in one_sentence(ended.err)
    assert list(home.iterdir()) == []


def test_a_port_in_use_is_a_matter_of_configuration(run, stored):
    """`run` names port and setting, before a row is written."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = {"RECONCILER_API__LISTEN": f"127.0.0.1:{port}"}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in options.items():
                patch.setenv(name, value)
            ended = run("run", "--for", "1s")
        assert ended.code == 3
        assert f"port {port} on 127.0.0.1 is in use" in one_sentence(ended.err)
        assert "api.listen" in ended.err
        simulated = run("simulate", "--port", str(port))
        assert simulated.code == 3
        assert f"port {port}" in one_sentence(simulated.err)
    assert stored() == 0


@pytest.mark.parametrize("which", ["KEY", "SECRET"])
def test_a_wrong_key_is_said_once_and_not_shown(run, stored, monkeypatch, which):
    """`run` with a key that the venue refuses ends at once; the key is in no output."""
    with PaperExchange(symbols=["XBTUSD"]) as venue:
        monkeypatch.setenv("RECONCILER_EXCHANGE__URL", venue.url)
        monkeypatch.setenv(f"RECONCILER_EXCHANGE__API_{which}", "canary-4711")
        ended = run("run", "--for", "5s")
    assert ended.code == 3
    assert f"{venue.url} does not accept the key of exchange.api_key" in one_sentence(ended.err)
    assert "canary" not in ended.out + ended.err
    assert stored() == 0


def test_a_journal_in_use_names_its_holder(run, database):
    """Without a service to ask, a held journal is unreachable, and the holder is named."""
    with Journal.open(database, account="main", mode="experiment"):
        ended = run("set", "XBTUSD", "300")
    assert ended.code == 8
    assert "is in use by experiment, pid" in one_sentence(ended.err)


def test_hostile_text_moves_no_cursor_and_forges_no_line(run):
    """Control characters in an argument are written out in the error."""
    ended = run("set", "XBT\x1b[2J\nerror: all is well", "300")
    assert ended.code == 5
    one_sentence(ended.err)
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("words", [("-o", "json", "set", "NO", "5"), ("set", "NO", "5", "-ojson")])
def test_an_error_is_a_problem_document_where_json_was_asked_for(run, words):
    """Programs get the code, the values and the same words."""
    ended = run(*words)
    told = json.loads(ended.err)
    assert (ended.code, ended.out, told["code"], told["status"]) == (5, "", "unknown_symbol", 422)
    assert told["fields"] == {"symbol": "NO"}
    assert "'NO' is not one of" in told["detail"]


def test_an_error_that_nobody_foresaw_is_one_line_too(run, monkeypatch):
    """A defect ends with code 1, one line, and how to see more; -vv shows the trace."""
    import reconciler.diagram

    def broken(*_: object) -> str:
        raise RuntimeError("secret-canary")

    monkeypatch.setitem(reconciler.diagram.FORMATS, "text", broken)
    ended = run("diagram", "--format", "text")
    assert (ended.code, ended.out) == (1, "")
    assert "-vv" in one_sentence(ended.err)
    assert "canary" not in ended.err
    assert "Traceback" in run("diagram", "--format", "text", "-vv").err
