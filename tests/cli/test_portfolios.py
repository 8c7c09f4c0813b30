"""[portfolio.NAME]: what the documentation says is what is read; what makes no sense is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from reconciler.cli import wiring
from reconciler.config import load
from reconciler.config.portfolios import Portfolio
from reconciler.errors import ConfigError
from tests.cli.conftest import Run

PAGE = Path(__file__).resolve().parents[2] / "docs/portfolio.md"
STRATEGY = '[strategy.fast]\nclass = "ema_cross"\nsymbols = ["XBTUSD"]\nbar = "15s"\n'


def written(home: Path, text: str) -> Path:
    path = home / "reconciler.toml"
    path.write_text(text)
    return path


def documented() -> str:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_of_the_page_is_read_whole(home: Path) -> None:
    """Every setting is in it, and it comes out as it was meant."""
    (home / "weights.toml").write_text("[symbols]\nXBTUSD = 7\n")
    config = load([written(home, STRATEGY + documented())], environ={})
    for name in Portfolio.model_fields:
        assert f"`{name}`" in PAGE.read_text()
        assert re.search(rf"^{name} = ", documented(), re.MULTILINE), name
    (main,) = wiring.weights(config).portfolios
    assert main.weight_of("EmaCross_XBTUSD_15s_1") == 2
    assert main.weight_of("notebook_7") == -0.5
    assert main.symbols == {"XBTUSD": 7}
    assert wiring.weights(config).strategies == ("EmaCross_XBTUSD_15s_1",)


def test_weights_are_told_once_they_change(home: Path) -> None:
    """None while nothing changes; one error for a bad file; then those of the good one."""
    file = home / "weights.toml"
    file.write_text("[strategies]\nnotebook_7 = 1\n")
    again = wiring.weights_again(load([written(home, STRATEGY + documented())], environ={}))
    assert again is not None
    assert again() is None
    for number, (bad, said) in enumerate(
        (
            ("[strategies]\nNobody = 1\n", "'Nobody' has a weight"),
            ("[strategies]\nnotebook_7 = 1e9999999999\n", "the weight of notebook_7 is"),
            ("[strategies]\nnotebook_7 = 1e9999999999999999999\n", "a number that is too long"),
        )
    ):
        file.write_text(bad)
        os.utime(file, ns=(number, number))
        assert again() is None, "it may still be being written"
        with pytest.raises(ConfigError, match=said):
            again()
        assert again() is None
    file.write_text("")  # on its way: an editor empties it first, and that would be other weights
    assert again() is None
    file.write_text("[strategies]\nnotebook_7 = 3\n")
    assert again() is None
    found = again()
    assert found is not None
    assert found.portfolios[0].strategies == {"notebook_7": 3}
    without = load([written(home, STRATEGY)], environ={})
    assert wiring.weights_again(without) is None


BAD = [
    ("strategies = { Nobody_1 = 1 }\nsymbols = { XBTUSD = 1 }", "'Nobody_1' has a weight"),
    ('strategies = { "Ema*" = 1 }\nsymbols = { DOGEUSD = 1 }', "'DOGEUSD' is not one of the"),
    ('strategies = { "Ema*" = nan }\nsymbols = { XBTUSD = 1 }', "must be a number"),
    ('strategies = { "Ema*" = "much" }\nsymbols = { XBTUSD = 1 }', "must be a number"),
    ('strategies = { "Ema*" = true }\nsymbols = { XBTUSD = 1 }', "must be a number"),
    ('strategies = { "Ema*" = 1 }\nsymbols = { XBTUSD = -5 }', "XBTUSD must be above zero"),
    ('strategies = { "Ema*" = 1 }\nsymbols = { XBTUSD = 1 }\npolicy = "yolo"', "is none of"),
    ('strategies = { "Ema*" = 1 }\nsymbols = { XBTUSD = 1 }\nmax_gross = 0', "max_gross"),
    ('strategies = { "Ema*" = 1 }\nsymbols = { XBTUSD = 1 }\nweights_file = "no"', "No such file"),
    ('strategies = { "Ema*" = 1 }', "portfolio.main.symbols"),
    ('strategies = { "Ema*" = 1 }\nsymbols = { XBTUSD = 1 }\nweight = 1', "weight"),
]


@pytest.mark.parametrize(("table", "said"), BAD)
def test_what_makes_no_sense_is_said_before_anything_runs(
    run: Run, home: Path, table: str, said: str
) -> None:
    """By `config check`, with the name of the setting; a start is refused the same."""
    path = written(home, f"{STRATEGY}[portfolio.main]\n{table}\n")
    ended = run("config", "check", "-c", str(path))
    assert ended.code == 3
    assert said in ended.err
    assert "portfolio.main" in ended.err


SHARED = """
[portfolio.main]
strategies = { "Ema*" = 1 }
symbols = { XBTUSD = 1 }
policy = "passive"

[portfolio.other]
strategies = { "Ema*" = 1 }
weights_file = "other.toml"
"""


@pytest.mark.parametrize(
    ("setting", "value", "other"),
    [("policy", "urgent", "passive"), ("on_expiry", "freeze", "hold")],
)
def test_portfolios_that_share_a_symbol_agree_on_how_it_is_worked(
    home: Path, setting: str, value: str, other: str
) -> None:
    """Two policies of one target: one of them would not be followed, and nobody would say so."""
    text = f"{STRATEGY}{SHARED}symbols = {{ XBTUSD = 2 }}\n{setting} = '{value}'\n"
    text = text.replace("[portfolio.main]", "[portfolio.main]\non_expiry = 'hold'")
    (home / "other.toml").write_text("")
    path = written(home, text)
    with pytest.raises(ConfigError) as refused:
        wiring.weights(load([path], environ={}))
    said = f"portfolio.other.{setting} = '{value}' and portfolio.main.{setting} = '{other}'"
    assert refused.value.message.startswith(f"{said}: both trade XBTUSD")
    assert "let only one of them say it" in refused.value.next_step
    path.write_text(text.replace(f"{setting} = '{value}'", ""))
    assert wiring.weights(load([path], environ={})).portfolios, "one that names none follows"
    (home / "other.toml").write_text("[symbols]\nETHUSD = 2\n")
    path.write_text("[exchange]\nsymbols = ['XBTUSD', 'ETHUSD']\n" + text)
    assert wiring.weights(load([path], environ={})).portfolios, "they share nothing"


def test_a_weights_file_may_not_bring_two_policies_to_one_symbol(home: Path) -> None:
    """The weights before it stay in force."""
    (home / "other.toml").write_text("[symbols]\nETHUSD = 2\n")
    shared = f"{SHARED}symbols = {{ XBTUSD = 2 }}\npolicy = 'urgent'\n"
    path = written(home, "[exchange]\nsymbols = ['XBTUSD', 'ETHUSD']\n" + STRATEGY + shared)
    again = wiring.weights_again(load([path], environ={}))
    assert again is not None
    (home / "other.toml").write_text("")
    assert again() is None, "it may still be being written"
    with pytest.raises(ConfigError, match="both trade XBTUSD"):
        again()


def test_a_halt_needs_no_weights(run: Run, home: Path) -> None:
    """At 3 a.m. a file that is half written must not be in the way."""
    table = 'strategies = { "Ema*" = 1 }\nsymbols = { XBTUSD = 1 }\nweights_file = "no"'
    path = written(home, f"{STRATEGY}[portfolio.main]\n{table}\n")
    ended = run("halt", "-c", str(path), "--reason", "odd", "--yes")
    assert (ended.code, ended.out.split()[0]) == (0, "halted")
