"""`bundle`: enough for a report, and nothing in it that opens a door."""

from __future__ import annotations

import json
import sqlite3
import stat
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.cli.bundle import Redaction
from reconciler.service.servicefile import ServiceFile

CANARY = "canary/4711+é"
SECRETS = (f"{CANARY}-key", f"{CANARY}-secret", f"{CANARY}-token", f"{CANARY}-sesame")


def parts(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read().decode()
            for member in archive.getmembers()
        }


@pytest.fixture
def secretive(home, database, monkeypatch, run):
    """A house that has every kind of secret in every place where one may stray to."""
    monkeypatch.setenv("RECONCILER_EXCHANGE__API_KEY", SECRETS[0])
    monkeypatch.setenv("RECONCILER_EXCHANGE__API_SECRET", SECRETS[1])
    monkeypatch.setenv("RECONCILER_TOKEN", SECRETS[2])
    (home / "reconciler.toml").write_text(
        "[strategy.one]\nclass = 'random'\nsymbols = ['XBTUSD']\nenabled = false\n"
        f"[strategy.one.parameters]\nservice_token = '{SECRETS[3]}'\nseed = 5\n"
    )
    assert run("set", "XBTUSD", "300", "--reason", f"with {SECRETS[1]}").code == 0
    assert run("set", "XBTUSD", "90000", "--source", "bot", "--reason", SECRETS[0]).code == 5
    (home / "service.log").write_text(
        json.dumps({"event": "x", "key": SECRETS[0], "other": "1234567"})
        + f"\nAuthorization: Bearer {SECRETS[2]} account=1234567 {SECRETS[3]} "
        "http://joe:pw@host/ end\n"
    )
    return home


def test_no_secret_is_in_any_part_of_it(secretive, run, database):
    """Keys, tokens, parameters that are called so, an account's number, and the home folder."""
    ServiceFile(database).write("http://127.0.0.1:9", f"{CANARY}-door")
    ended = run("bundle", "--log", "service.log", "--to", "b.tar.gz", "--since", "1h")
    assert ended.code == 0, ended.err
    assert stat.S_IMODE(Path("b.tar.gz").stat().st_mode) == 0o600
    found = parts(Path("b.tar.gz"))
    for name, text in found.items():
        for secret in ("canary", "4711", "1234567", "sesame", "joe", str(secretive)):
            assert secret not in text, (name, secret)
    assert "account=********** ********** http://**********@host/ end" in found["log.txt"]
    assert "exchange.api_key" in found["main/config.txt"]
    assert "reconciler.toml" in found["main/config.txt"]  # where it was written
    assert "seed" in found["main/config.txt"]
    events = [json.loads(line) for line in found["main/journal.jsonl"].splitlines()]
    (target,) = [row["event"] for row in events if row["kind"].lower() == "targetset"]
    assert (target["contracts"], target["reason"]) == (300, "with **********")
    (refused,) = map(json.loads, found["main/v_refusals.jsonl"].splitlines())
    assert (refused["contracts"], refused["code"]) == (90_000, "limit_exceeded")
    assert json.loads(found["main/replay.json"])["difference"] is None
    assert json.loads(found["versions.json"])["installed"]
    assert json.loads(found["main/service.json"]) == {"service": {"running": False}}


def test_what_is_broken_is_told_in_its_place(secretive, run, database):
    """It is asked for when things are broken: then the rest is there all the same."""
    database.write_bytes(b"no database at all")
    assert run("bundle", "--to", "b.tar.gz", "--no-replay", "--log", "gone.log").code == 0
    found = parts(Path("b.tar.gz"))
    assert "not a database" in found["main/journal.jsonl.error.txt"]
    assert "gone.log" in found["log.txt.error.txt"]
    assert "limits.max_order_contracts" in found["main/config.txt"]
    assert "main/replay.json" not in found
    Path("reconciler.toml").write_text(f"[exchange]\napi_key = '{SECRETS[0]}'\nwrong = 1\n")
    ended = run("bundle", "--to", "c.tar.gz")
    assert ended.code == 0
    assert "nothing of any journal is in it" in ended.err
    found = parts(Path("c.tar.gz"))
    assert sorted(found) == ["config.error.txt", "versions.json"]
    assert "wrong" in found["config.error.txt"]
    assert CANARY not in "".join(found.values())


def test_nothing_is_written_over_and_no_half_is_left(secretive, run, monkeypatch):
    """The file that is there stays; a disk that fills in the middle leaves none."""
    Path("b.tar.gz").write_text("mine")
    ended = run("bundle", "--to", "b.tar.gz")
    assert (ended.code, Path("b.tar.gz").read_text()) == (2, "mine")
    assert run("bundle", "--to", "no/such/b.tar.gz").code == 2
    assert run("bundle", "--since", "whenever").code == 2

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    assert run("bundle", "--to", "c.tar.gz").code == 1
    assert not Path("c.tar.gz").exists()


def test_a_secret_is_found_however_json_has_written_it() -> None:
    """Quotes, backslashes and letters beyond ASCII are escaped there."""
    secret = 'a"b\\cé'
    clean = Redaction([secret, ""])
    assert clean(json.dumps({"x": secret})) == '{"x": "**********"}'
    assert clean(f"{secret} and nothing else") == "********** and nothing else"


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_secret_is_found_in_json_in_json(times: int) -> None:
    """A strategy's parameters are a text in JSON, in an event, in a row."""
    secret = 'a"b\\cé'
    text = secret
    for _ in range(times):
        text = json.dumps({"x": text})
    assert "cé" not in Redaction([secret])(text)
    assert "u00e9" not in Redaction([secret])(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"service_token": "a\\"b", "seed": 5}', '{"service_token": "**********", "seed": 5}'),
        (r'"{\"webhook_key\": \"x\", \"n\": 1}"', r'"{\"webhook_key\": \"**********\", \"n\": 1}"'),
        ('{"api_keys": ["x", "y"], "n": 1}', '{"api_keys": "**********", "n": 1}'),
        ('{"passphrase": 4711, "key": "q1"}', '{"passphrase": "**********", "key": "q1"}'),
        ("postgres://joe:p/w@d@h/db x@y", "postgres://**********@h/db x@y"),
        ("https://t0ken@h/", "https://**********@h/"),
        ("https://h/x?sig=abc&n=1&api_key=d", "https://h/x?sig=**********&n=1&api_key=**********"),
    ],
)
def test_what_is_called_a_secret_is_masked_though_nobody_knows_it_any_more(text, left) -> None:
    """A journal remembers the parameters of strategies that are configured no more."""
    assert Redaction([])(text) == left


def test_secrets_in_lists_and_tables_of_a_strategy_are_secrets(home, run) -> None:
    """A parameter may be a list of tables, and a text with a quote in it."""
    (home / "reconciler.toml").write_text(
        "[strategy.one]\nclass = 'random'\nsymbols = ['XBTUSD']\nenabled = false\n"
        "[strategy.one.parameters]\nhosts = [{ password = 'canary-1' }]\n"
        "api_keys = ['canary-2', 'canary-3']\npassphrase = 'canary\"4'\npin_token = 471100\n"
    )
    (home / "x.log").write_text("canary-1 canary-2 canary-3 canary\"4 471100 '")
    assert run("bundle", "--log", "x.log", "--to", "b.tar.gz").code == 0
    found = "".join(parts(Path("b.tar.gz")).values())
    assert "canary" not in found
    assert "471100" not in found


def test_what_a_strategy_had_that_is_configured_no_more_is_masked_in_every_text(
    home, run, database
) -> None:
    """The journal remembers its parameters; a traceback may hold one of them."""
    assert run("set", "XBTUSD", "300", "--reason", "with canary-5").code == 0
    with closing(sqlite3.connect(database)) as db, db:
        row = (1, 1, "one", "failed", "no door for canary-5", '{"x": {"token": "canary-5"}}')
        db.execute("INSERT INTO strategy_states VALUES (?, ?, ?, ?, ?, ?)", row)
    assert run("bundle", "--to", "b.tar.gz", "--no-replay").code == 0
    found = parts(Path("b.tar.gz"))
    assert "with **********" in found["main/v_targets.jsonl"]
    assert "canary" not in "".join(found.values())


@pytest.mark.parametrize("one", ["?", "\\\\", '"', '"token": ["', "token_", "://", "&sig"])
def test_no_text_takes_longer_than_its_length(one: str) -> None:
    """A log may hold anything, also what a stranger sent; nobody waits for an hour."""
    began = time.process_time()
    Redaction([CANARY])(one * 5_000)
    assert time.process_time() - began < 3
