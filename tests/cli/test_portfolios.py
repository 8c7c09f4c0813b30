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


def test_a_halt_needs_no_weights(run: Run, home: Path) -> None:
    """At 3 a.m. a file that is half written must not be in the way."""
    table = 'strategies = { "Ema*" = 1 }\nsymbols = { XBTUSD = 1 }\nweights_file = "no"'
    path = written(home, f"{STRATEGY}[portfolio.main]\n{table}\n")
    ended = run("halt", "-c", str(path), "--reason", "odd", "--yes")
    assert (ended.code, ended.out.split()[0]) == (0, "halted")
