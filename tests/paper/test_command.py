"""The paper exchange as a command: `python -m reconciler.paper`, and `reconciler simulate`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
import requests
import typer
import websocket

from reconciler.cli import simulate  # noqa: F401 -- makes the command
from reconciler.cli.app import app
from reconciler.errors import UsageError
from reconciler.paper import Key, PaperExchange
from reconciler.paper.__main__ import main, parser
from tests.paper.conftest import Client


def test_both_commands_have_the_same_options_and_defaults():
    """Whoever knows one knows the other: they are one exchange."""
    light = {
        (word, str(action.default or ""))
        for action in parser()._actions
        for word in action.option_strings
        if word not in ("-h", "--help")
    }
    command = typer.main.get_command(app).commands["simulate"]
    whole = {
        (word, str(option.default or ""))
        for option in command.params
        for word in option.opts
        if not option.hidden
    }
    assert light == whole


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--symbols", "DOGE"], "symbols must be of "),
        (["--symbol", ","], "',' names no symbol: write --symbol XBTUSD,ETHUSD, or leave it out"),
        (["--symbol", ""], "'' names no symbol: write --symbol XBTUSD,ETHUSD, or leave it out"),
        (["--fault", "rain"], "unknown fault 'rain'; docs/paper-faults.md and GET /paper/faults"),
        (["--fault", "lost-anser"], "unknown fault 'lost-anser'; did you mean lost-answer"),
        (["--fault", "lost-answerx0"], "fault lost-answerx0 would strike 0 times: write x1 or m"),
        (["--fault", "lost-answer=often"], "'lost-answer=often' is no fault: write NAME or NAME=0"),
        (["--fault", "lost-answer=2"], "probability of lost-answer must be between 0 and 1"),
        (["--speed", "0"], "speed must be above zero"),
        (["--speed", "nan"], "speed must be above zero"),
        (["--speed", "inf"], "speed must be above zero and at most 1,000,000: inf"),
        (["--quotes", "100000000"], "quotes must be between 0 and 1,000 a second: 100000000"),
        (["--port", "99999"], "port must be 0-65535: 99999"),
        (["--fault", "lost-answer:DOGE=1"], "fault lost-answer is for 'DOGE', which is not listed"),
        (["--key", "a:b", "--key", "a:c:1002"], "key 'a' was given twice"),
        (["--replay-file", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file"),
        (
            ["--key", "only-an-id"],
            "'only-an-id' is no key: write ID:SECRET[:ACCOUNT[:PERMISSIONS]]",
        ),
        (["--key", "a:b:none"], "'a:b:none' is no key"),
        (["--key", "a:b:1:order:x"], "'a:b:1:order:x' is no key"),
        (["--key", "a:b:0"], "account 0 is the house's"),
        (["--key", "a:b:1:sudo"], "'sudo' is no permission of a key: order, orderCancel, withdraw"),
        (["--key", "a:b:1:order+orderCancel"], "order and orderCancel are not had together"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(words: list[str], why: str, capsys):
    """Nothing is served, nothing is printed but the reason, and the exit code says so."""
    assert main(["--port", "0", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"error: .*\n", said.err)
    assert why in said.err


@pytest.mark.parametrize("command", ["simulate", "demo"])
def test_the_larger_command_asks_for_a_symbol_too(command: str):
    """A comma alone is not silently another market than was asked for."""
    asked = typer.main.get_command(app).commands[command]
    with pytest.raises(UsageError, match=r"^',' names no symbol"):
        asked.main(["--port", "0", "--symbol", ","], standalone_mode=False, obj=None)


def test_a_port_in_use_is_told(capsys):
    """The other program keeps it."""
    with PaperExchange(symbols=["XBTUSD"], walk=False) as other:
        assert main(["--port", str(other.port)]) == 2
        assert other.position("XBTUSD") == 0
    assert capsys.readouterr().err == (
        f"error: port {other.port} on 127.0.0.1 is in use; choose another with --port\n"
    )


def test_keys_of_the_command_line_have_their_accounts_and_permissions():
    """Four keys of two accounts: each may do what it was given, on its account."""
    words = "--key a:s1 --key b:s2:1001: --key c:s3:7:orderCancel --key d:s4:7:order+withdraw"
    served = subprocess.Popen(
        [sys.executable, "-m", "reconciler.paper", "--port", "0", *words.split()],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert served.stdout is not None
        head = [served.stdout.readline() for _ in range(7)]
        url = head[0].split()[1].removesuffix("/api/v1")
        assert [line.split(None, 4)[1:] for line in head[3:]] == [
            ["1001", "a", "s1", "(order)\n"],
            ["1001", "b", "s2", "(read only)\n"],
            ["7", "c", "s3", "(orderCancel)\n"],
            ["7", "d", "s4", "(order, withdraw)\n"],
        ]
        a, b, c, d = (Client(url, name, f"s{i}") for i, name in enumerate("abcd", 1))
        wanted = {"orderQty": 100, "price": 40000}
        tried = [client.order(**wanted).status_code for client in (a, b, c, d)]
        assert tried == [200, 403, 403, 200]
        assert [len(x.call("GET", "/api/v1/order").json()) for x in (a, b, c, d)] == [1] * 4
        tried = [x.call("DELETE", "/api/v1/order/all").status_code for x in (b, c)]
        assert tried == [403, 200]
        rows = a.call("GET", "/api/v1/order").json() + d.call("GET", "/api/v1/order").json()
        assert [row["ordStatus"] for row in rows] == ["New", "Canceled"]
    finally:
        served.terminate()
        served.communicate(timeout=10)


def test_a_key_is_what_was_written():
    """An account of one's own is 1001; a key without permissions may read."""
    assert Key.parse("id:sec") == Key(key="id", secret="sec", account=1001)
    assert Key.parse("id:sec:") == Key(key="id", secret="sec", account=1001)
    assert Key.parse("id:sec::").permissions == ()
    assert Key.parse("id:sec:5:withdraw") == Key(
        key="id", secret="sec", account=5, permissions=("withdraw",)
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_right_after_the_first_word_ends_it_in_order(number: signal.Signals):
    """Who starts one and changes their mind at once sees no traceback, and the port is free."""
    served = subprocess.Popen(
        [sys.executable, "-m", "reconciler.paper", "--port", "0", "--symbol", "XBTUSD"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert served.stdout is not None
    first = served.stdout.readline()
    served.send_signal(number)
    _, errors = served.communicate(timeout=10)
    assert (served.returncode, errors) == (0, "")
    port = int(first.split()[1].removesuffix("/api/v1").rpartition(":")[2])
    with PaperExchange(port=port, symbols=["XBTUSD"], walk=False) as next_one:
        assert next_one.position("XBTUSD") == 0


def test_programs_that_speak_nothing_but_tls_are_served(tmp_path):
    """Orders and frames go through TLS as through plain sockets, and so does a lost answer."""
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED: TLS of the paper exchange, without openssl to make a certificate")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -out {files[0]} -keyout {files[1]} -days 2"
        " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(make.split(), check=True, capture_output=True, timeout=60)
    with PaperExchange(symbols=["XBTUSD"], walk=False, tls=files) as venue:
        client = Client(venue.url)
        client.session.verify = str(files[0])
        stream = websocket.create_connection(
            f"{venue.ws_url}?subscribe=trade:XBTUSD", timeout=8, sslopt={"ca_certs": str(files[0])}
        )
        said = [json.loads(stream.recv()) for _ in range(3)]  # welcome, answer, partial
        assert said[2]["action"] == "partial"
        placed = client.order(orderQty=100, ordType="Market")
        assert placed.json()["ordStatus"] == "Filled"
        traded = json.loads(stream.recv())
        assert (traded["action"], traded["data"][0]["size"]) == ("insert", 100)
        venue.fault("lost-answer", count=1)
        with pytest.raises(requests.ConnectionError):
            client.order(orderQty=100, ordType="Market")
        assert venue.position("XBTUSD") == 200
        with pytest.raises(requests.ConnectionError):
            requests.get(venue.url.replace("https", "http"), timeout=8)
        stream.close()
