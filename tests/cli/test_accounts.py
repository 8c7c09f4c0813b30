"""`accounts list|check|convert` and `run --all`: several accounts, and no key is ever told."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.config import load_all
from reconciler.paper import Key, PaperExchange

COMMAND = [sys.executable, "-m", "reconciler"]
CANARY = "canary-4711"
KEYS = [
    Key(key="ka", secret="sa", account=1001),
    Key(key="kb", secret="sb", account=1002),
    Key(key="kc", secret="sc", account=1002),
]


def until(look, within_s: float = 20):
    """What *look* finds, once it finds something."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def entry(name: str = "trend", **more) -> dict:
    made = {
        "name": name,
        "api_key": f"{CANARY}-key-{name}",
        "api_secret": f"{CANARY}-secret",
        "testnet": True,
    }
    return {key: value for key, value in (made | more).items() if value is not ...}


@pytest.fixture
def convert(run, home):
    """Convert what is written, into a file or text: ``convert([entry()])``."""

    def convert(entries, *words: str):
        text = entries if isinstance(entries, str) else json.dumps(entries)
        (home / "accounts.json").write_text(text)
        ended = run("accounts", "convert", "accounts.json", *words)
        assert CANARY not in ended.out + ended.err
        return ended

    return convert


def written(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir() if path.name != "accounts.json")


def test_a_list_of_keys_becomes_a_configuration_and_files_of_secrets(convert, run, home):
    """As many scripts have one; what is written is what runs, and nobody else can read it."""
    ended = convert([entry(), entry("Mean-Rev", testnet=False, symbols=["ETHUSD"], leverage=3)])
    assert ended.code == 0
    assert "left out: accounts.json[1].leverage" in ended.err
    found = load_all([home / "reconciler.toml"], {}, {})
    assert {name: c.credentials() for name, c in found.items()} == {
        name: (f"{CANARY}-key-{name}", f"{CANARY}-secret") for name in ("trend", "Mean-Rev")
    }
    assert [c.exchange.environment for c in found.values()] == ["testnet", "live"]
    assert found["Mean-Rev"].exchange.symbols == ("ETHUSD",)
    assert CANARY not in (home / "reconciler.toml").read_text()
    files = sorted((home / "reconciler.keys").iterdir())
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((home / "reconciler.keys").stat().st_mode) == 0o700
    assert written(home) == ["reconciler.keys", "reconciler.toml"]  # nothing is left beside them
    for form in ("table", "wide", "json", "csv"):
        ended = run("accounts", "list", "-o", form)
        assert (ended.code, "Mean-Rev" in ended.out) == (0, True)
        assert CANARY not in ended.out + ended.err
    assert run("run", "--all").code == 5  # one trades real money, and that was not said


@pytest.mark.parametrize(
    "entries",
    [
        [{"label": "trend", "apiKey": "k", "secret": "s", "sandbox": True}],
        [{"account": "trend", "key": "k", "apiSecret": "s", "env": "Testnet"}],
        [{"Name": "trend", "API_KEY": "k", "API-Secret": "s", "testnet": True, "enabled": True}],
        [{"name": "trend", "id": "k", "secret": "s", "environment": "testnet", "symbol": None}],
        {"accounts": [{"name": "trend", "api_key": "k", "api_secret": "s", "testnet": True}]},
        {"trend": {"api_key": "k", "api_secret": "s", "exchange": "BitMEX", "testnet": True}},
    ],
)
def test_the_usual_spellings_mean_the_same(convert, home, entries):
    """Scripts agree on what a key is, and not on what it is called."""
    assert convert(entries).code == 0
    (config,) = load_all([home / "reconciler.toml"], {}, {}).values()
    assert config.credentials() == ("k", "s")
    assert (config.exchange.account, config.exchange.environment) == ("trend", "testnet")


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([entry(), entry("b", api_key=...)], "[1].api_key is missing"),
        ([entry(api_secret="")], "[0].api_secret is missing"),
        ([entry(name=...)], "[0].name is missing"),
        ([entry(api_secret=4711)], "[0].api_secret is a number"),
        ([entry(api_key=[CANARY])], "[0].api_key is a list"),
        ([entry(api_key=f"{CANARY} x")], "[0].api_key is no plain text"),
        ([entry(api_secret=f"{CANARY}é")], "[0].api_secret is no plain text"),
        ([entry(name=7)], "[0].name is a number"),
        ([entry("my account", api_key="k")], "[0].name is no name of an account"),
        ([entry(CANARY, api_key=CANARY)], "[0].name is its api_key or api_secret"),
        ([entry("a__b")], "[0].name is no name of an account"),
        ([entry("a-")], "[0].name is no name of an account"),
        ([entry(), entry(api_key="k")], "[1] 'trend' and [0] 'trend' have one name"),
        ([entry("a-b"), entry("A_b")], "[1] 'A_b' and [0] 'a-b' have one name"),
        ([entry("a", api_key=CANARY), entry("b", api_key=CANARY)], "have one api_key"),
        ([entry(testnet="true")], "[0].testnet is text"),
        ([entry(enabled="no")], "[0].enabled is text"),
        ([entry(testnet=...)], "[0] says neither testnet nor environment"),
        ([entry(environment="moon")], "[0].environment is none of"),
        ([entry(environment="live")], "[0] says one thing as environment"),
        ([entry(key=CANARY)], "[0] has both api_key and key"),
        ([entry(exchange="binance")], "[0].exchange is not bitmex"),
        ([entry(url="host")], "[0].url is no address"),
        ([entry(url="https://www.bitmex.com")], "url is BitMEX's live"),
        ([entry(symbols="xbtusd")], "[0].symbols is no list"),
        ([entry(symbols=["XBTUSD", "XBTUSD"])], "has XBTUSD twice"),
        ([CANARY], "[0] is text, and an entry is an object"),
        ([], "the list holds no account"),
        ([entry(enabled=False)], "the list holds no account"),
        (5, "it is no list of accounts"),
        ({"a": CANARY}, "it is no list of accounts"),
        (f'[{{"name": "a", "secret": "{CANARY}"', "it is not JSON"),
        (f'[{{"secret": "{CANARY}", "secret": "{CANARY}"}}]', "secret is there twice"),
        ("[" * 100_000, "lists without end"),
        (json.dumps([entry()]) + " " * 1_000_000, "has more than 1 MB"),
        ([entry(f"a{n}", api_key=f"{CANARY}{n}") for n in range(201)], "holds 201 entries"),
        ([entry(api_key=f"{CANARY}\ud800")], "[0].api_key is no plain text"),
        ("[" + "9" * 5_000 + "]", "a number that is too long"),
    ],
)
def test_a_list_that_makes_no_sense_changes_nothing(convert, home, entries, says):
    """The entry and the field are named, no value of a secret is, and nothing is written."""
    ended = convert(entries)
    assert (ended.code, ended.out, written(home)) == (3, "", [])
    assert says in ended.err
    assert ended.err.startswith("error: ")
    assert len(ended.err.splitlines()) == 1


def test_a_list_is_read_as_machines_write_it_and_no_further_than_a_list_goes(convert, run, home):
    """A mark at the beginning and other ends of lines are no fault; a device has no end."""
    (home / "marked.json").write_bytes(
        b"\xef\xbb\xbf" + json.dumps([entry()], indent=1).replace("\n", "\r\n").encode()
    )
    assert run("accounts", "convert", "marked.json", "--to", "a.toml").code == 0
    assert load_all([home / "a.toml"], {}, {}).keys() == {"trend"}
    (home / "wide.json").write_bytes(json.dumps([entry()]).encode("utf-16"))
    for name, says in (("/dev/zero", "has more than 1 MB"), ("wide.json", "is not UTF-8 text")):
        ended = run("accounts", "convert", name)
        assert ended.code == 3
        assert says in ended.err
    assert not (home / "reconciler.toml").exists()


def test_nothing_is_written_over_what_is_there(convert, home):
    """Neither the configuration nor the keys of an earlier time are lost."""
    (home / "reconciler.toml").write_text("mine")
    assert "reconciler.toml is there already" in convert([entry()]).err
    assert (home / "reconciler.toml").read_text() == "mine"
    (home / "reconciler.toml").unlink()
    (home / "reconciler.keys").mkdir()
    assert "reconciler.keys is there already" in convert([entry()]).err
    assert written(home) == ["reconciler.keys"]
    assert convert([entry()], "--to", "other.toml", "--secrets", "k").code == 0
    assert written(home) == ["k", "other.toml", "reconciler.keys"]
    assert "cannot be written" in convert([entry()], "--to", "nowhere/x.toml").err
    assert ". is a folder" in convert([entry()], "--to", ".").err


def test_what_is_wrong_with_a_portfolio_is_told_of_its_account(run, home):
    """A portfolio of all is one of each account, and not each has its symbols."""
    (home / "reconciler.toml").write_text(
        "[portfolio.all]\nstrategies = { '*' = 1 }\nsymbols = { XBTUSD = 100 }\n"
        "[strategy.ema]\nclass = 'ema_cross'\nsymbols = ['XBTUSD']\nbar = '1m'\n"
        "[account.a]\nsymbols = ['XBTUSD']\n[account.b]\nsymbols = ['ETHUSD']\napi_key = 'k'\n"
        "strategy.ema.enabled = false\n"
    )
    ended = run("config", "check")
    assert (ended.code, "account b: portfolio.all.symbols" in ended.err) == (3, True)


def test_who_is_switched_off_or_has_no_environment_is_not_guessed_about(convert, run, home):
    """An account that was switched off stays off; --environment is for those that say nothing."""
    words = ("--environment", "simulated", "-o", "json")
    ended = convert([entry(testnet=...), entry("off", enabled=False)], *words)
    assert json.loads(ended.out)["accounts"] == ["trend"]
    assert "[1], which is switched off" in ended.err
    (config,) = load_all([home / "reconciler.toml"], {}, {}).values()
    assert config.exchange.environment == "simulated"
    assert convert([entry()], "--environment", "moon").code == 2
    (home / "accounts.json").unlink()
    assert "cannot be read" in run("accounts", "convert", "accounts.json").err


def two_accounts(url: str, second: str = "kb", secret: str = "sb", more: str = "") -> str:
    return f"""
[exchange]
url = "{url}"
symbols = ["XBTUSD"]
[limits]
max_orders_per_minute = 100
[account.alpha]
api_key = "ka"
api_secret = "sa"
[account.beta]
api_key = "{second}"
api_secret = "{secret}"
limits.max_position_contracts = 500
{more}
"""


def test_each_key_is_tried_at_its_venue(run, home):
    """A refused key, a venue that is silent, and two keys of one account are told apart."""
    config = home / "reconciler.toml"
    with PaperExchange(symbols=["XBTUSD"], keys=KEYS) as venue:
        config.write_text(two_accounts(venue.url))
        assert run("accounts", "check").code == 0
        checked = run("config", "check")
        assert checked.code == 0
        assert all(name in checked.out for name in ("simulated/alpha", "simulated/beta"))
        config.write_text(two_accounts(venue.url, secret=f"{CANARY}"))
        ended = run("accounts", "check", "-o", "json")
        assert (ended.code, CANARY in ended.out + ended.err) == (3, False)
        assert [row["ok"] for row in json.loads(ended.out)] == [True, False]
        assert run("accounts", "check", "-a", "alpha").code == 0
        config.write_text(
            two_accounts(venue.url, more='[account.gamma]\napi_key = "kc"\napi_secret = "sc"\n')
        )
        for words in (("accounts", "check"), ("run", "--all")):
            ended = run(*words)
            assert ended.code == 3
            assert "accounts beta and gamma have keys of one account of" in ended.err
    assert run("accounts", "check").code == 8
    assert run("run", "--all", "-a", "alpha").code == 2
    assert run("status").code == 2  # which one is never guessed


def test_all_accounts_in_one_process_and_none_takes_another_down(run, home, monkeypatch):
    """Each has its journal, limits and door; one that fails stop leaves the others at work."""
    folder = home / ".local" / "share" / "reconciler"
    with PaperExchange(symbols=["XBTUSD"], keys=KEYS) as venue:
        refused = '[account.gamma]\napi_key = "kc"\napi_secret = "wrong"\n'
        (home / "reconciler.toml").write_text(two_accounts(venue.url, more=refused))
        process = subprocess.Popen(
            [*COMMAND, "run", "--all"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ.copy(), cwd=home,
        )  # fmt: skip
        try:
            for name in ("alpha", "beta"):
                until((folder / f"journal-{name}.db.service").exists)
                words = ("set", "XBTUSD", "300", "--policy", "urgent", "--wait", "--timeout", "30s")
                until(lambda at=name: run("-a", at, "status", "-o", "json").code == 0)
                assert run("-a", name, *words).code == 0
            assert run("-a", "beta", "set", "XBTUSD", "600").code == 5  # its own limit
            assert run("-a", "alpha", "set", "XBTUSD", "600").code == 0
            listed = json.loads(run("accounts", "list", "-o", "json").out)
            assert [row["service"] == "not running" for row in listed] == [False, False, True]
            assert len({row["service"] for row in listed}) == 3

            beta = json.loads((folder / "journal-beta.db.service").read_text())
            monkeypatch.setenv("RECONCILER_TOKEN", beta["token"])
            ended = run("-a", "alpha", "--api", beta["url"], "set", "XBTUSD", "100")
            assert (ended.code, "-a says 'alpha'" in ended.err) == (2, True)
            assert run("-a", "beta", "--api", beta["url"], "status").code == 0
            monkeypatch.delenv("RECONCILER_TOKEN")

            journal = folder / "journal-alpha.db"
            journal.rename(folder / "elsewhere.db")  # it notices, and fails stop
            until(lambda: not (folder / "journal-alpha.db.service").exists())
            assert run("-a", "beta", "set", "XBTUSD", "-200", "--policy", "urgent", "--wait",
                       "--timeout", "30s").code == 0  # fmt: skip

            ended = run("accounts", "halt", "--reason", "enough", "-o", "json")
            rows = {row["account"]: row for row in json.loads(ended.out)}
            assert {name: row["halted"] for name, row in rows.items()} == {
                "alpha": False, "beta": True, "gamma": True,
            }  # fmt: skip
            assert "was lost" in rows["alpha"]["says"]
            assert (ended.code, "not every account" in ended.err) == (9, True)
            assert "HALTED" in run("-a", "beta", "status").out

            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=15)
        finally:
            process.kill()
            process.communicate()
    told = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    failures = [line["account"] for line in told if line["event"] == "account.fail"]
    assert sorted(failures) == ["alpha", "gamma"]
    assert process.returncode == 3  # of the first that failed: gamma's key
    stops = [line for line in told if line["event"] == "service.stop"]
    assert [line["account"] for line in stops] == ["beta"]
    assert not (folder / "journal-beta.db.service").exists()
    assert json.loads(run("-a", "beta", "replay", "-o", "json").out)["differ"] == 0
