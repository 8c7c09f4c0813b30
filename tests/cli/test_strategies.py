"""The commands of strategies, and their tables in the configuration, without a service."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from reconciler.cli import wiring
from reconciler.cli.app import Ask
from reconciler.cli.elsewhere import Elsewhere
from reconciler.client import HttpDoor
from reconciler.errors import ReconcilerError, Refused, Unauthorized, UnknownStrategy, Unreachable
from reconciler.service.servicefile import ServiceFile
from reconciler.strategy.signals import Signal

SAME = '[strategy.{}]\nclass = "buy_and_hold"\nsymbols = ["XBTUSD"]\n'


@pytest.fixture
def written(home):
    """Write the configuration of this home."""

    def write(text: str) -> None:
        Path("reconciler.toml").write_text(text)

    return write


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SAME.format("a") + SAME.format("b"), "strategy.a and strategy.b are both"),
        (SAME.format("a").replace("buy_and_hold", "buy_and_sell"), "'buy_and_sell' is no strategy"),
        (SAME.format("a").replace("XBTUSD", "SOLUSD"), "is not in exchange.symbols"),
        (SAME.format("a") + 'bar = "15x"', "strategy.a.bar"),
        (SAME.format("a") + 'on_failure = "panic"', "must be 'hold' or 'zero'"),
        (SAME.format("a") + "enabled = 1", "must be true or false"),
        (SAME.format("a") + "patience_s = 0", "strategy.a.patience_s"),
        (SAME.format("a") + "patince_s = 1", "did you mean strategy.a.patience_s?"),
        (SAME.format("a") + 'parameters = { "a b" = 1 }', "which is no name"),
        ('[strategy.a]\nsymbols = ["XBTUSD"]', "strategy.a.class"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_at_the_start(run, written, text, said):
    """Two of one name, a class that is none, a symbol that is not traded: told, and not started."""
    written(text)
    ended = run("run", "--once")
    assert ended.code == 3
    assert said in ended.err


def test_without_a_service_the_list_says_what_would_be(run, written):
    """
    Wrong parameters and modules that are not there show before anything is started. A list runs
    nobody's code: a module that sends orders when it is imported must not do so for that.
    """
    written(
        SAME.format("a")
        + "parameters = { strenght = 2 }\n"
        + SAME.format("b")
        + "number = 2\nenabled = false\n"
        + SAME.format("c").replace("buy_and_hold", "nowhere.at_all:Thing")
        + SAME.format("d").replace("buy_and_hold", "acts_on_import:Other")
    )
    Path("acts_on_import.py").write_text(
        "import sys\nfrom reconciler.strategy import Strategy\nopen('it_was_run', 'w').close()\n"
        "class Other(Strategy):\n    def needs(self):\n        sys.exit('no')\n"
    )
    listed = run("-o", "json", "strategies", "list")
    assert (listed.code, [row["name"] for row in json.loads(listed.out)]) == (0, [*"abcd"])
    assert not Path("it_was_run").exists()
    checked = run("-o", "json", "strategies", "check", "d")
    assert (checked.code, Path("it_was_run").exists()) == (3, True)
    assert "to be made: SystemExit: no (acts_on_import.py:6)" in checked.out
    assert "d cannot be loaded as configured" in checked.err
    assert run("strategies", "check", "b").code == 0
    listed = run("-o", "json", "strategies", "check")
    assert listed.code == 3
    a, b, c, _ = json.loads(listed.out)
    assert a["state"] == "wrong"
    assert "'strenght' is no parameter; known are: strength" in a["detail"]
    assert (b["strategy"], b["state"], b["detail"]) == (
        "BuyAndHold_XBTUSD_2",
        "off",
        "enabled = false",
    )
    assert json.loads(b["parameters"]) == {"strength": "1"}
    assert "nowhere.at_all cannot be imported" in c["detail"]
    shown = run("strategies", "show", "b")
    assert "identifier" not in shown.err
    assert "BuyAndHold_XBTUSD_2" in shown.out


def test_what_needs_a_service_says_so(run, written):
    """Strategies run inside it; a name that is none is told with those that there are."""
    written(SAME.format("a"))
    for what in ("start", "stop", "restart"):
        ended = run("strategies", what, "a")
        assert ended.code == 8
        assert "no service is running" in ended.err
    unknown = run("strategies", "show", "b")
    assert (unknown.code, "There are: a." in unknown.err) == (4, True)
    inside = run("strategy", "run", "a")
    assert inside.code == 3
    assert 'Write runs = "process" in its table' in inside.err
    nobody = run("strategy", "run", "b")
    assert (nobody.code, "There are: a." in nobody.err) == (4, True)


class Service:
    """A service that answers a process as it is told to."""

    def __init__(self, error: ReconcilerError | None) -> None:
        self.error = error

    def hold_strategy(self, *_: str) -> None:
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Nothing is open."""


PROCESS = SAME.format("far") + 'runs = "process"\n'


def test_a_process_ends_when_its_service_wants_it_no_more(run, written):
    """Its table is gone or says no: nothing here is worth a line a second. Away is not gone."""
    written(PROCESS + "enabled = false\n")
    off = run("strategy", "run", "far")
    assert (off.code, "strategy.far has enabled = false" in off.err) == (3, True)
    written(PROCESS)
    for error, ends in (
        (None, False), (Unreachable("away"), False), (Unauthorized("a new start"), False),
        (UnknownStrategy("taken out"), True), (Refused("enabled = false"), True),
    ):  # fmt: skip
        far = Elsewhere(Ask(), "far", for_s=None)
        far._reader = Service(error)
        far._hold_on()
        assert (far._over.is_set(), far._unwanted) == (ends, error if ends else None)


def test_a_refusal_that_is_repeated_is_told_once(run, written, capsys):
    """A strategy says the same once a second; another refusal, or another symbol, is news."""
    written(PROCESS)
    far = Elsewhere(Ask(), "far", for_s=None)

    def refused(symbol: str, why: str) -> int:
        far._refused(Signal(strategy="Far", symbol=symbol, strength=Decimal(1)), Refused(why))
        return capsys.readouterr().err.count("signal.refused")

    said = [("XBTUSD", "a"), ("XBTUSD", "a"), ("ETHUSD", "a"), ("XBTUSD", "b"), ("XBTUSD", "b")]
    assert [refused(symbol, why) for symbol, why in said] == [1, 0, 1, 1, 0]


def test_who_was_answered_by_a_new_start_has_its_token(home, monkeypatch):
    """It listens before it answers: a question to the one that was killed waits, and reaches it."""
    file = ServiceFile(home / "journal.db")
    file.write("http://127.0.0.1:1", "of the one that was killed")

    def answers(door: HttpDoor) -> bool:
        file.write("http://127.0.0.1:1", "of the new start")
        return True

    monkeypatch.setattr(HttpDoor, "is_alive", answers)
    assert wiring.beside(home / "journal.db").token == "of the new start"
    monkeypatch.setattr(HttpDoor, "is_alive", lambda _: file.remove() or True)
    assert wiring.beside(home / "journal.db") is None  # ended meanwhile


def test_a_process_that_meets_a_service_on_its_way_up_looks_again(run, written, monkeypatch):
    """A no to an old token is none while the new one may not be written down yet."""
    written(PROCESS)
    far = Elsewhere(Ask(), "far", for_s=None)
    far._over.wait = lambda _: False
    answers = iter([Unauthorized("old"), Unreachable("away"), Unauthorized("old"), None])

    def new_fills() -> None:
        far._reader = Service(next(answers))

    monkeypatch.setattr(far, "_new_fills", new_fills)
    monkeypatch.setattr(far, "_signals", lambda: ["those in force"])
    assert far._first_contact() == ["those in force"]
